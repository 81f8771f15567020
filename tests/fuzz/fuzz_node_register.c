/* SPDX-License-Identifier: Apache-2.0
 *
 * Node annotations of every format. The first character chooses the family (or
 * the pair scores). What is taken must be within bounds, and what is written of
 * it must be taken again and be written the same.
 */
#include <glib.h>
#include <stdlib.h>
#include <string.h>

#include "model/node_codec.h"
#include "tests/fuzz/fuzz.h"
#include "vendor/config.h"

static const char *const words[] = {"NVIDIA", "DCU", "Ascend910B2", "Vastai", "Metax-SGPU", "Enflame"};

static const struct family *family(unsigned i)
{
    static struct family_set *set;
    static const struct vendor_options all = {true, true};
    if (!set)
        set = vendor_config_parse(NULL, 0, &all, NULL, NULL);
    return family_of_word(set, words[i]);
}

static char *format(const struct family *f, const struct card_list *list)
{
    return f->inventory == FAMILY_INV_COLON ? node_codec_format_colon(list->cards, list->n)
                                            : node_codec_format_json(f, list->cards, list->n);
}

static void check_again(const struct family *f, const struct card_list *list)
{
    g_autofree char *text = format(f, list), *why = NULL;
    struct card_list *again = NULL;
    if (list->n && (again = node_codec_parse(f, "n", text, strlen(text), &why)) == NULL)
        abort();
    g_autofree char *twice = again ? format(f, again) : NULL;
    if (again && strcmp(text, twice) != 0)
        abort();
    card_list_free(again);
}

static void check(const struct family *f, const struct card_list *list)
{
    if (list->n > CARD_PER_NODE)
        abort();
    for (uint32_t i = 0; i < list->n; i++) {
        const struct card *c = &list->cards[i];
        if (!*c->uuid || strlen(c->uuid) > CARD_UUID_MAX || strlen(c->type) > CARD_TYPE_MAX ||
            c->mode >= CARD_MODES || c->mem_bytes >> 20 > CARD_MIB_MAX || c->family != f->id || c->group < -1)
            abort();
    }
    if (f->inventory == FAMILY_INV_COLON || f->inventory == FAMILY_INV_JSON)
        check_again(f, list);
}

static void scores(const char *text, size_t n)
{
    static const struct card cards[] = {{.uuid = "GPU-0"}, {.uuid = "GPU-1"}};
    g_autofree char *why = NULL;
    g_autofree uint16_t *table = node_codec_parse_scores(text, n, cards, 2, &why);
    if ((table == NULL) != (why != NULL))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autofree char *why = NULL;
    if (size == 0)
        return 0;
    const char *text = (const char *)data + 1;
    unsigned i = data[0] % (G_N_ELEMENTS(words) + 1);
    if (i == G_N_ELEMENTS(words)) {
        scores(text, size - 1);
        return 0;
    }
    struct card_list *list = node_codec_parse(family(i), "node-1", text, size - 1, &why);
    if ((list == NULL) != (why != NULL))
        abort();
    if (list)
        check(family(i), list);
    card_list_free(list);
    return 0;
}
