/* SPDX-License-Identifier: Apache-2.0
 *
 * The pair scores beside a JSON register: [{"uuid":"GPU-0","score":{"GPU-1":50}}]
 * (scheduler.md section 3.4 of the specification). Agents write
 * each pair from both sides; each side is kept as said, and what is not is 0.
 */
#include "base/json_fields.h"
#include "model/node_codec.h"

struct row {
    struct json_text uuid, score;
};
static const struct json_field row_fields[] = {
    {"uuid", JSON_FIELD_TEXT, offsetof(struct row, uuid), 0, 0},
    {"score", JSON_FIELD_RAW, offsetof(struct row, score), 0, 0},
};

static uint32_t find(const struct card *cards, uint32_t n, struct json_text uuid)
{
    uint32_t i = 0;
    while (i < n && !json_text_equal(uuid, cards[i].uuid))
        i++;
    return i;
}

static bool read_scores(struct json_text text, const struct card *cards, uint32_t n, uint16_t *ret,
                        char **ret_why)
{
    struct json_scan s;
    struct json_text key;
    int64_t score;
    json_scan_init(&s, text.at, text.len);
    if (text.len && json_scan_peek(&s) != JSON_IS_OBJECT) {
        *ret_why = g_strdup("score is not an object");
        return false;
    }
    if (text.len == 0 || !json_scan_object(&s))
        return true;
    while (json_scan_key(&s, &key)) {
        g_autofree char *other = json_fields_excerpt(key.at, key.len);
        if (!json_scan_int(&s, &score) || score < 0 || score > UINT16_MAX) {
            *ret_why =
                g_strdup_printf("the score to %s is not an integer within 0 and %d", other, UINT16_MAX);
            return false;
        }
        uint32_t i = find(cards, n, key);
        if (i < n)
            ret[i] = (uint16_t)score;
    }
    return true;
}

static bool read_row(struct json_scan *s, const struct card *cards, uint32_t n, uint16_t *table,
                     char **ret_why)
{
    struct row row = {0};
    uint16_t unknown[CARD_PER_NODE];
    if (!json_fields_read(s, row_fields, G_N_ELEMENTS(row_fields), &row, ret_why))
        return false;
    uint32_t i = find(cards, n, row.uuid);
    return read_scores(row.score, cards, n, i < n ? table + i * n : unknown, ret_why);
}

uint16_t *node_codec_parse_scores(const char *text, size_t len, const struct card *cards, uint32_t n,
                                  char **ret_why)
{
    g_autofree uint16_t *table = g_new0(uint16_t, MAX(n * n, 1));
    g_autofree char *why = NULL;
    struct json_scan s;
    unsigned at = 0;
    json_scan_init(&s, text, len);
    if (n > CARD_PER_NODE || json_scan_peek(&s) != JSON_IS_ARRAY) {
        *ret_why = g_strdup("the pair scores are not an array");
        return NULL;
    }
    json_scan_array(&s);
    for (; json_scan_element(&s); at++)
        if (!read_row(&s, cards, n, table, &why)) {
            *ret_why = g_strdup_printf("row %u: %s", at, why);
            return NULL;
        }
    if (!json_scan_end(&s)) {
        *ret_why = g_strdup(s.fault);
        return NULL;
    }
    return g_steal_pointer(&table);
}
