/* SPDX-License-Identifier: Apache-2.0
 *
 * The colon register: "uuid,count,devmem,devcore,type,numa,health[,index,mode]:"
 * per device (scheduler.md section 3.2 of the specification). The seven-field form
 * is of old agents: index 0, mode hami-core. Writers emit nine.
 */
#include "model/card_list.h"
#include "model/node_formats.h"
#include "model/quantity.h"

#include "base/json_fields.h"

#define FIELDS_MAX 9

struct field {
    const char *at;
    size_t len;
};

/* A decimal integer with optional sign. */
static bool read_int(struct card_reader *r, const char *name, struct field f, int64_t min, int64_t max,
                     int64_t *ret)
{
    g_autofree char *text = g_strndup(f.at, f.len), *excerpt = json_fields_excerpt(f.at, f.len);
    const char *digits = text + (*text == '+' || *text == '-');
    gint64 n;
    if (strlen(text) != f.len || !*digits || strspn(digits, "0123456789") != strlen(digits) ||
        !g_ascii_string_to_signed(*text == '+' ? digits : text, 10, G_MININT64, G_MAXINT64, &n, NULL))
        return card_reader_fail(r, "%s \"%s\" is not an integer", name, excerpt);
    if (n < 0 && min == 0)
        return card_reader_fail(r, "%s %s is negative", name, excerpt);
    if (n < min || n > max)
        return card_reader_fail(r, "%s %s is not within %" G_GINT64_FORMAT " and %" G_GINT64_FORMAT, name,
                                excerpt, min, max);
    *ret = n;
    return true;
}

static bool read_health(struct card_reader *r, struct field f, bool *ret)
{
    static const char *const words[] = {"0",     "1",    "f",     "t",    "F",     "T",
                                        "false", "true", "FALSE", "TRUE", "False", "True"};
    for (size_t i = 0; i < G_N_ELEMENTS(words); i++)
        if (strlen(words[i]) == f.len && memcmp(words[i], f.at, f.len) == 0) {
            *ret = i % 2 == 1;
            return true;
        }
    g_autofree char *excerpt = json_fields_excerpt(f.at, f.len);
    return card_reader_fail(r, "health \"%s\" is neither true nor false", excerpt);
}

static bool read_device(struct card_reader *r, const struct field *f, unsigned n, struct card *card)
{
    int64_t count = 0, mib = 0, cores = 0, numa = 0, index = 0;
    card->mode = CARD_HAMI_CORE;
    if (!card_reader_text(r, "id", f[0].at, f[0].len, CARD_UUID_MAX, false, &card->uuid) ||
        !read_int(r, "count", f[1], 0, INT32_MAX, &count) ||
        !read_int(r, "devmem", f[2], 0, CARD_MIB_MAX, &mib) ||
        !read_int(r, "devcore", f[3], 0, INT32_MAX, &cores) ||
        !card_reader_text(r, "type", f[4].at, f[4].len, CARD_TYPE_MAX, true, &card->type) ||
        !read_int(r, "numa", f[5], -1, INT16_MAX, &numa) || !read_health(r, f[6], &card->healthy))
        return false;
    if (n == FIELDS_MAX && (!read_int(r, "index", f[7], 0, UINT16_MAX, &index) ||
                            !card_reader_mode(r, f[8].at, f[8].len, &card->mode)))
        return false;
    card->slots = (uint16_t)MIN(count, UINT16_MAX);
    card->mem_bytes = (uint64_t)mib * QUANTITY_MIB;
    card->cores = r->family->force_cores ? r->family->force_cores : (uint32_t)cores;
    card->numa = (int16_t)numa;
    card->index = (uint16_t)index;
    return true;
}

/* Cuts a segment at its commas; the number of fields, of which at most nine are kept. */
static unsigned split(const char *at, size_t len, struct field *ret)
{
    const char *end = at + len;
    unsigned n = 0;
    for (;;) {
        const char *comma = memchr(at, ',', (size_t)(end - at));
        if (n < FIELDS_MAX)
            ret[n] = (struct field){at, (size_t)((comma ? comma : end) - at)};
        n++;
        if (!comma)
            return n;
        at = comma + 1;
    }
}

static bool read_segment(struct card_reader *r, const char *at, size_t len)
{
    struct field fields[FIELDS_MAX];
    struct card *card = card_reader_add(r);
    unsigned n = card ? split(at, len, fields) : 0;
    if (!card)
        return false;
    if (n == 1) {
        g_autofree char *excerpt = json_fields_excerpt(at, len);
        return card_reader_fail(r, "\"%s\" has no commas", excerpt);
    }
    if (n != 7 && n != 9)
        return card_reader_fail(r, "there are %u fields where 7 or 9 are expected", n);
    return read_device(r, fields, n, card);
}

struct card_list *node_colon_parse(const struct family *f, const char *text, size_t len, char **ret_why)
{
    struct card_reader r;
    const char *end = text + len;
    card_reader_init(&r, f);
    if (!memchr(text, ':', len))
        card_reader_fail(&r, "there is no colon behind a device");
    while (text < end && !r.why) {
        const char *colon = memchr(text, ':', (size_t)(end - text));
        size_t n = (size_t)((colon ? colon : end) - text);
        if (n)
            read_segment(&r, text, n);
        text += n + 1;
    }
    return card_reader_end(&r, ret_why);
}

char *node_codec_format_colon(const struct card *cards, uint32_t n)
{
    GString *s = g_string_new(NULL);
    for (uint32_t i = 0; i < n; i++) {
        const struct card *c = &cards[i];
        g_string_append_printf(s, "%s,%u,%" G_GUINT64_FORMAT ",%u,%s,%d,%s,%u,%s:", c->uuid, c->slots,
                               quantity_mib_of_bytes(c->mem_bytes), c->cores, c->type, c->numa,
                               c->healthy ? "true" : "false", c->index, card_mode_names[c->mode]);
    }
    return g_string_free(s, FALSE);
}
