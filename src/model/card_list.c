/* SPDX-License-Identifier: Apache-2.0 */
#include "model/card_list.h"

#include "base/arena.h"
#include "base/json_fields.h"

#define ESCAPED 6 /* a character may be written as \u003e */

void card_list_free(struct card_list *list)
{
    if (!list)
        return;
    arena_free(list->arena);
    g_free(list->cards);
    g_free(list);
}

void card_reader_init(struct card_reader *r, const struct family *f)
{
    *r = (struct card_reader){.family = f, .list = g_new0(struct card_list, 1)};
}

void *card_reader_alloc(struct card_reader *r, size_t size)
{
    return arena_take(&r->list->arena, size);
}

bool card_reader_fail(struct card_reader *r, const char *format, ...)
{
    va_list args;
    if (r->why)
        return false;
    va_start(args, format);
    g_autofree char *message = g_strdup_vprintf(format, args);
    va_end(args);
    r->why =
        r->list->n ? g_strdup_printf("device %u: %s", r->list->n - 1, message) : g_steal_pointer(&message);
    return false;
}

struct card *card_reader_add(struct card_reader *r)
{
    struct card_list *list = r->list;
    if (r->why)
        return NULL;
    if (list->n == CARD_PER_NODE) {
        r->why = g_strdup_printf("there are more than %d devices", CARD_PER_NODE);
        return NULL;
    }
    if ((list->n & (list->n - 1)) == 0) /* room for the next power of two */
        list->cards = g_renew(struct card, list->cards, list->n ? 2 * list->n : 1);
    struct card *card = &list->cards[list->n++];
    *card = (struct card){.uuid = "", .type = r->family->word, .family = r->family->id, .group = -1};
    return card;
}

/* The four that separate an annotation's parts, and what no name holds. */
static bool is_safe(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f || strchr(",;:", text[i]))
            return false;
    return true;
}

bool card_reader_text(struct card_reader *r, const char *field, const char *text, size_t len, size_t max,
                      bool empty, const char **ret)
{
    g_autofree char *excerpt = json_fields_excerpt(text, len);
    if (len == 0 && !empty)
        return card_reader_fail(r, "%s is missing", field);
    if (len > max)
        return card_reader_fail(r, "%s %s is longer than %zu characters", field, excerpt, max);
    if (!g_utf8_validate(text, (gssize)len, NULL))
        return card_reader_fail(r, "%s %s is not UTF-8", field, excerpt);
    if (!is_safe(text, len))
        return card_reader_fail(r, "%s %s holds a comma, colon, semicolon or control character", field,
                                excerpt);
    if (r->why)
        return false;
    *ret = arena_text(&r->list->arena, text, len);
    return true;
}

bool card_reader_json(struct card_reader *r, const char *field, struct json_text text, size_t max, bool empty,
                      const char **ret)
{
    g_autofree char *copy = NULL;
    if (text.len > max * ESCAPED)
        return card_reader_fail(r, "%s is longer than %zu characters", field, max);
    if (text.len && !(copy = json_text_dup(text)))
        return card_reader_fail(r, "%s is not readable text", field);
    return card_reader_text(r, field, copy ? copy : "", copy ? strlen(copy) : 0, max, empty, ret);
}

bool card_reader_mode(struct card_reader *r, const char *text, size_t len, uint8_t *ret)
{
    for (unsigned i = 0; i < CARD_MODES; i++)
        if (strlen(card_mode_names[i]) == len && memcmp(card_mode_names[i], text, len) == 0) {
            *ret = (uint8_t)i;
            return true;
        }
    *ret = CARD_MODE_NONE;
    if (!family_writes(r->family, FAMILY_WRITE_MIG))
        return true;
    g_autofree char *excerpt = json_fields_excerpt(text, len);
    return card_reader_fail(r, "mode %s is none of hami-core, mig and mps", excerpt);
}

int32_t card_reader_group(struct card_reader *r, const char *word, size_t len)
{
    for (uint32_t i = 0; i < r->n_infos; i++)
        if (strlen(r->infos[i]) == len && memcmp(r->infos[i], word, len) == 0)
            return (int32_t)i;
    if (len == 0 || len > CARD_TYPE_MAX || r->n_infos == CARD_PER_NODE)
        return -1;
    r->infos[r->n_infos] = arena_text(&r->list->arena, word, len);
    return (int32_t)r->n_infos++;
}

static bool uuids_differ(struct card_reader *r)
{
    const struct card_list *list = r->list;
    for (uint32_t i = 1; i < list->n; i++)
        for (uint32_t j = 0; j < i; j++)
            if (strcmp(list->cards[i].uuid, list->cards[j].uuid) == 0) {
                r->why = g_strdup_printf("devices %u and %u have the same id %s", j, i, list->cards[i].uuid);
                return false;
            }
    return true;
}

/* Insertion sort: stable, and the usual list is in order. */
static void sort_by_index(struct card_list *list)
{
    for (uint32_t i = 1; i < list->n; i++) {
        struct card card = list->cards[i];
        uint32_t at = i;
        for (; at > 0 && list->cards[at - 1].index > card.index; at--)
            list->cards[at] = list->cards[at - 1];
        list->cards[at] = card;
    }
}

struct card_list *card_reader_end(struct card_reader *r, char **ret_why)
{
    if (!r->why && uuids_differ(r)) {
        sort_by_index(r->list);
        return r->list;
    }
    *ret_why = r->why;
    card_list_free(r->list);
    return NULL;
}
