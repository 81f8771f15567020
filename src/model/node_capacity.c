/* SPDX-License-Identifier: Apache-2.0
 *
 * Cards of families whose plugins write no inventory: the node's capacity says
 * how many there are (scheduler.md appendix A and vendors.md section 3 of the
 * specification). Everything but the numbers comes from the family's row.
 */
#include "model/card_list.h"
#include "model/node_formats.h"
#include "model/quantity.h"

char *node_capacity_id(const char *format, const char *node_name, uint32_t number)
{
    GString *s = g_string_new(NULL);
    for (const char *p = format; *p; p++)
        if (strncmp(p, "%s", 2) == 0) {
            g_string_append(s, node_name);
            p++;
        } else if (strncmp(p, "%u", 2) == 0) {
            g_string_append_printf(s, "%u", number);
            p++;
        } else
            g_string_append_c(s, *p);
    return g_string_free(s, FALSE);
}

/* What all cards of the node are like. */
struct plan {
    uint64_t n; /* cards */
    uint64_t mem_bytes;
    uint32_t cores, slots;
};

static uint64_t amount_of(const struct family *f, enum family_resource resource,
                          uint64_t (*amount)(const char *, void *), void *data)
{
    const char *name = f->resource[resource];
    return name && *name ? amount(name, data) : 0;
}

/* Some families advertise cores only: a card is so many of them, and its memory
 * that share of the node's. */
static void plan_by_cores(struct plan *p, const struct family *f, uint64_t cores, uint64_t mem)
{
    unsigned __int128 bytes = (unsigned __int128)mem * f->mem_unit_bytes * f->capacity_divisor;
    p->n = cores / f->capacity_divisor + (cores % f->capacity_divisor != 0);
    p->mem_bytes = cores ? (uint64_t)MIN(bytes / cores, (unsigned __int128)UINT64_MAX) : 0;
    p->mem_bytes -= p->mem_bytes % QUANTITY_MIB; /* annotations count MiB */
}

/* A mask of the cores of one device; two, where the plugin does not say. */
static void plan_by_mask(struct plan *p, uint64_t cores)
{
    uint64_t each = 2;
    if (p->n > 0 && cores >= p->n)
        each = cores / p->n;
    p->slots = (uint32_t)MIN(each, 31); /* annotations hold signed 32-bit masks */
    p->cores = (uint32_t)((UINT64_C(1) << p->slots) - 1);
}

static bool add(struct card_reader *r, const char *node_name, const struct plan *p, uint32_t i)
{
    const struct family *f = r->family;
    struct card *card = card_reader_add(r);
    g_autofree char *id = node_capacity_id(f->capacity_id ? f->capacity_id : "%s-%u", node_name, i);
    if (!card || !card_reader_text(r, "id", id, strlen(id), CARD_UUID_MAX, false, &card->uuid))
        return false;
    card->mem_bytes = p->mem_bytes;
    card->cores = p->cores;
    card->slots = (uint16_t)MIN(p->slots, UINT16_MAX);
    card->index = (uint16_t)i;
    card->numa = f->score == FAMILY_SCORE_WINGS && i >= p->n / 2; /* one wing on each socket */
    card->healthy = true;
    return true;
}

static struct card_list *cards_of(const struct plan *p, const struct family *f, const char *node_name,
                                  char **ret_why)
{
    struct card_reader r;
    card_reader_init(&r, f);
    if (p->n > CARD_PER_NODE)
        card_reader_fail(&r,
                         "the node's capacity makes %" G_GUINT64_FORMAT " cards of %s; at most %d are taken",
                         p->n, f->title, CARD_PER_NODE);
    else if (p->mem_bytes > (uint64_t)CARD_MIB_MAX * QUANTITY_MIB)
        card_reader_fail(&r, "the node's capacity gives a card of %s more than %d MiB", f->title,
                         CARD_MIB_MAX);
    for (uint32_t i = 0; i < p->n && !r.why && add(&r, node_name, p, i); i++)
        ;
    return card_reader_end(&r, ret_why);
}

struct card_list *node_codec_from_capacity(const struct family *f, const char *node_name,
                                           uint64_t (*amount)(const char *resource, void *data), void *data,
                                           char **ret_why)
{
    uint64_t cores = amount_of(f, FAMILY_CORES, amount, data);
    struct plan p = {.n = amount_of(f, FAMILY_COUNT, amount, data),
                     .mem_bytes = f->capacity_mem_bytes,
                     .cores = f->cores_unit,
                     .slots = f->capacity_slots};
    if (f->capacity_divisor > 1)
        plan_by_cores(&p, f, cores, amount_of(f, FAMILY_MEM, amount, data));
    if (f->cores_kind == FAMILY_CORES_MASK)
        plan_by_mask(&p, cores);
    return cards_of(&p, f, node_name, ret_why);
}

struct card_list *node_codec_from_template(const struct family *f, const char *node_name,
                                           uint64_t (*amount)(const char *resource, void *data), void *data,
                                           char **ret_why)
{
    uint64_t count = amount_of(f, FAMILY_COUNT, amount, data), mem = amount_of(f, FAMILY_MEM, amount, data);
    uint64_t cores = amount_of(f, FAMILY_CORES, amount, data);
    *ret_why = NULL;
    if (f->cores_kind != FAMILY_CORES_PERCENT || f->cores_unit == 0 || cores < f->cores_unit || mem == 0 ||
        count == 0)
        return NULL;
    struct plan p = {.n = cores / f->cores_unit, .cores = f->cores_unit};
    unsigned __int128 bytes = (unsigned __int128)mem * f->mem_unit_bytes / p.n;
    p.mem_bytes = (uint64_t)MIN(bytes, (unsigned __int128)UINT64_MAX);
    p.mem_bytes -= p.mem_bytes % QUANTITY_MIB;
    p.slots = (uint32_t)MIN(MAX(count / p.n, 1), UINT16_MAX);
    return cards_of(&p, f, node_name, ret_why);
}
