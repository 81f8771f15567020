/* SPDX-License-Identifier: Apache-2.0
 *
 * See world.h.
 */
#include "world.h"

#include <string.h>

/* What a card of the family looks like. */
static const struct model {
    const char *word, *type;
    uint64_t mib;
    uint32_t cores, slots;
} models[] = {
    {"NVIDIA", "NVIDIA A100-SXM4-40GB", 40960, 100, 10},
    {"MLU", "MLU", 24576, 100, 100},
    {"DCU", "DCU-K100", 65536, 100, 4},
    {"Ascend910B3", "Ascend910B3", 65536, 20, 4},
    {"Ascend310P", "Ascend310P", 21527, 8, 7},
    {"Mthreads", "Mthreads", 49152, 16, 100},
    {"Metax-SGPU", "Metax-SGPU", 65536, 100, 16},
    {"Enflame", "Enflame", 49152, 100, 6},
    {"kunlun", "kunlun", 98304, 100, 100},
    {"XPU", "XPU", 98304, 100, 4},
    {"AWSNeuron", "AWSNeuron", 0, 3, 2},
    {"AMD", "AMD Instinct MI300X", 196608, 304, 10},
    {"Biren", "Biren", 65536, 100, 1},
};

void world_init(struct world *w, uint32_t seed)
{
    struct vendor_options all = {true, true};
    g_autoptr(GError) error = NULL;
    memset(w, 0, sizeof *w);
    w->families = vendor_config_parse(NULL, 0, &all, NULL, &error);
    g_assert_no_error(error);
    w->cluster = cluster_new(w->families);
    w->rand = g_rand_new_with_seed(seed);
    for (size_t i = 0; i < G_N_ELEMENTS(w->kinds); i++)
        w->kinds[i] = world_pick(w, G_N_ELEMENTS(models));
}

static void free_cards(struct node_spec *spec)
{
    for (uint32_t i = 0; i < spec->n_cards; i++)
        g_free((char *)(uintptr_t)spec->cards[i].uuid);
    g_free(spec->cards);
}

void world_clear(struct world *w)
{
    for (uint32_t i = 0; i < w->n_nodes; i++)
        free_cards(&w->specs[i]);
    cluster_free(w->cluster);
    vendor_config_free(w->families);
    g_rand_free(w->rand);
}

uint32_t world_pick(struct world *w, uint32_t n)
{
    return n ? (uint32_t)g_rand_int_range(w->rand, 0, (gint32)n) : 0;
}

const struct family *world_family(const struct world *w, const char *word)
{
    const struct family *f = family_of_word(w->families, word);
    g_assert_nonnull(f);
    return f;
}

/* ---- nodes ------------------------------------------------------------------ */

struct world_shapes {
    uint32_t n;
    struct card_shape shapes[5];
};

static const struct world_shapes a100 = {
    .n = 5,
    .shapes = {
        {.name = "1g.5gb",
         .mem_bytes = MIB(4864),
         .cores = 15,
         .slices = 1,
         .n_placements = 7,
         .placements = {{0, 1}, {1, 1}, {2, 1}, {3, 1}, {4, 1}, {5, 1}, {6, 1}}},
        {.name = "2g.10gb",
         .mem_bytes = MIB(9856),
         .cores = 29,
         .slices = 2,
         .n_placements = 3,
         .placements = {{0, 2}, {2, 2}, {4, 2}}},
        {.name = "3g.20gb",
         .mem_bytes = MIB(19968),
         .cores = 43,
         .slices = 3,
         .n_placements = 2,
         .placements = {{0, 4}, {4, 4}}},
        {.name = "4g.20gb",
         .mem_bytes = MIB(19968),
         .cores = 58,
         .slices = 4,
         .n_placements = 1,
         .placements = {{0, 4}}},
        {.name = "7g.40gb",
         .mem_bytes = MIB(40192),
         .cores = 100,
         .slices = 7,
         .n_placements = 1,
         .placements = {{0, 8}}},
    }};

static const struct world_shapes drs = {
    .n = 4,
    .shapes = {{.name = "1g.8gb", .mem_bytes = MIB(8192), .cores = 17, .slices = 1},
               {.name = "2g.16gb", .mem_bytes = MIB(16384), .cores = 34, .slices = 2},
               {.name = "3g.24gb", .mem_bytes = MIB(24576), .cores = 50, .slices = 3},
               {.name = "6g.48gb", .mem_bytes = MIB(49152), .cores = 100, .slices = 6}}};

static const struct model *model_of(const char *word)
{
    for (size_t i = 0; i < G_N_ELEMENTS(models); i++)
        if (strcmp(models[i].word, word) == 0)
            return &models[i];
    g_assert_not_reached();
}

static struct card card_of(const struct world *w, const struct model *m, uint32_t node, uint32_t i)
{
    const struct family *f = world_family(w, m->word);
    struct card c = {.uuid = g_strdup_printf("%s-%u-%u", m->word, node, i),
                     .type = m->type,
                     .mem_bytes = MIB(m->mib),
                     .cores = m->cores,
                     .slots = (uint16_t)m->slots,
                     .group = strcmp(m->word, "Metax-SGPU") == 0 ? 1 + (int32_t)i / 4 : -1,
                     .index = (uint16_t)i,
                     .family = f->id,
                     .numa = (int16_t)(i / 2),
                     .healthy = true};
    memcpy(c.aux, f->aux_total, sizeof c.aux);
    if (strcmp(m->word, "NVIDIA") == 0)
        c.mode = CARD_HAMI_CORE;
    if (strcmp(m->word, "Enflame") == 0)
        c.shapes = (const struct card_shapes *)(const void *)&drs;
    return c;
}

struct node_spec *world_add_node(struct world *w, const char *word, uint32_t n)
{
    uint32_t at = w->n_nodes++;
    struct node_spec *spec = &w->specs[at];
    g_assert_cmpuint(at, <, WORLD_NODES);
    g_snprintf(w->names[at], sizeof w->names[at], "node-%02u", at);
    *spec = (struct node_spec){.name = w->names[at], .n_cards = n, .cards = g_new0(struct card, n)};
    for (uint32_t i = 0; i < n; i++)
        spec->cards[i] = card_of(w, model_of(word), at, i);
    world_set_node(w, at);
    return spec;
}

void world_set_node(struct world *w, uint32_t i)
{
    w->nodes[i] = cluster_node_set(w->cluster, &w->specs[i]);
    g_assert_cmpuint(w->nodes[i], !=, CLUSTER_NO_NODE);
}

void world_cut(struct node_spec *spec)
{
    for (uint32_t i = 0; i < spec->n_cards; i++) {
        spec->cards[i].mode = CARD_MIG;
        spec->cards[i].shapes = (const struct card_shapes *)(const void *)&a100;
        spec->cards[i].slots = 7;
    }
}

void world_add_random_nodes(struct world *w, uint32_t n)
{
    while (n--) {
        const struct model *m = &models[w->kinds[world_pick(w, G_N_ELEMENTS(w->kinds))]];
        bool board = strcmp(m->word, "kunlun") == 0 || strcmp(m->word, "XPU") == 0;
        struct node_spec *spec = world_add_node(w, m->word, board ? 8 : 1 + world_pick(w, 8));
        if (strcmp(m->word, "NVIDIA") == 0 && world_pick(w, 3) == 0)
            world_cut(spec);
        for (uint32_t i = 0; i < spec->n_cards; i++) {
            spec->cards[i].healthy = world_pick(w, 12) != 0;
            spec->cards[i].cordoned = world_pick(w, 12) == 0;
            if (world_pick(w, 6) == 0)
                spec->cards[i].slots = 1;
        }
        spec->contiguous_anywhere = world_pick(w, 2);
        world_set_node(w, w->n_nodes - 1);
    }
}

/* ---- pods ------------------------------------------------------------------- */

void world_request(struct world *w, struct pod_request *r, const char *word, uint32_t n)
{
    static char uid[40];
    memset(r, 0, sizeof *r);
    g_snprintf(uid, sizeof uid, "00000000-0000-4000-8000-%012u", w->n_pods);
    r->n_slots = r->n_requests = 1;
    r->slot_kind[0] = SLOT_APP;
    r->slot_name[0] = "main";
    r->requests[0] = (struct card_request){.family = world_family(w, word)->id, .n_cards = n};
    r->n_card_policy = 1;
    r->card_policy[0] = CARD_SPREAD;
    r->weight_slot = r->weight_core = r->weight_mem = 1;
    r->topology_wanted = -1;
    r->uid = uid;
    r->namespace_ = "default";
    r->name = "pod";
}

static uint64_t step_of(struct world *w, const struct family *f, const struct model *m)
{
    uint32_t n = 0;
    if (f->mem_round == FAMILY_ROUND_SHAPES) {
        uint32_t i = world_pick(w, f->shapes->n + 1);
        return i == f->shapes->n ? f->mem_allocatable_bytes : f->shapes->shapes[i].mem_bytes;
    }
    if (f->mem_round == FAMILY_ROUND_LADDER || f->mem_round == FAMILY_ROUND_SET) {
        while (f->ladder[n])
            n++;
        return f->ladder[world_pick(w, n)] * f->mem_unit_bytes;
    }
    return MIB(1 + world_pick(w, (uint32_t)m->mib));
}

static void random_amounts(struct world *w, struct card_request *q, const struct model *m)
{
    const struct family *f = world_family(w, m->word);
    static const uint32_t powers[] = {1, 2, 4, 8};
    q->family = f->id;
    q->n_cards = world_pick(w, 2) ? 1 : 1 + world_pick(w, 4);
    if (f->count_rule == FAMILY_COUNT_POWER_8)
        q->n_cards = powers[world_pick(w, 4)];
    if (f->mem_default == FAMILY_MEM_NOTHING || !f->resource[FAMILY_MEM])
        q->mem_none = f->mem_default == FAMILY_MEM_NOTHING;
    else if (f->mem_round != FAMILY_ROUND_NONE || world_pick(w, 3))
        q->mem_bytes = step_of(w, f, m);
    else if (world_pick(w, 2))
        q->mem_percent = 1 + world_pick(w, 100);
    if (f->cores_kind == FAMILY_CORES_OF_MEM)
        q->cores = (uint32_t)(q->mem_bytes * 100 / MIB(m->mib));
    else if (f->cores_kind == FAMILY_CORES_UNITS)
        q->cores = world_pick(w, 17);
    else if (f->cores_kind != FAMILY_CORES_NONE && !f->soft_key)
        q->cores = world_pick(w, 4) ? world_pick(w, 60) : 100;
    if (f->cores_kind == FAMILY_CORES_OF_TOTAL && q->cores == 0)
        q->cores = 100;
    if (f->count_rule == FAMILY_COUNT_IS_SIZE) {
        q->n_cards = 1;
        if (world_pick(w, 2))
            *q = (struct card_request){
                .family = f->id, .n_cards = 1, .size = (uint16_t)(1 + world_pick(w, 6)), .slot = q->slot};
    }
    if (f->cores_kind == FAMILY_CORES_MASK) {
        q->whole = world_pick(w, 2);
        q->cores = q->whole ? 0 : q->n_cards > 1 ? 2 : 1 + world_pick(w, 2);
    }
    if (q->n_cards > 1 && (f->multi_mem_whole || f->mem_round == FAMILY_ROUND_SHAPES)) {
        q->mem_bytes = f->mem_round == FAMILY_ROUND_SHAPES ? f->mem_allocatable_bytes : 0;
        q->cores = f->multi_is_whole ? f->cores_unit : q->cores;
    }
}

void world_random_request(struct world *w, struct pod_request *r)
{
    const struct model *m = &models[w->kinds[world_pick(w, G_N_ELEMENTS(w->kinds))]];
    world_request(w, r, m->word, 1);
    r->n_slots = (uint8_t)(1 + (world_pick(w, 4) == 0));
    r->n_requests = r->n_slots;
    for (uint8_t i = 0; i < r->n_slots; i++) {
        r->slot_kind[i] = i + 1 < r->n_slots && world_pick(w, 2) ? SLOT_INIT : SLOT_APP;
        r->slot_name[i] = i ? "second" : "first";
        r->requests[i].slot = i;
        random_amounts(w, &r->requests[i], m);
    }
    r->card_policy[0] = world_pick(w, 2) ? CARD_SPREAD : CARD_BINPACK;
    r->mutex = world_pick(w, 8) == 0;
    r->numa_bind = world_pick(w, 6) == 0;
    r->topology_aware = world_pick(w, 4) == 0;
    r->priority = (int32_t)world_pick(w, 4);
    if (strcmp(m->word, "Metax-SGPU") == 0) {
        r->app_class = (uint8_t)world_pick(w, 3);
        r->qos = r->app_class == POD_CLASS_ONLINE ? 0 : (uint8_t)(1 + world_pick(w, CARD_QOS_KINDS - 1));
    }
    if (world_pick(w, 6) == 0) {
        r->n_selections = 1;
        r->selections[0] = (struct pod_selection){.family = r->requests[0].family};
        *(world_pick(w, 2) ? &r->selections[0].use_types : &r->selections[0].not_types) = "A100,H100";
        if (world_pick(w, 2))
            r->selections[0].use_uuids[0] = "NVIDIA-0-0, XPU-1-1,MLU-2-0,AMD-3-0";
    }
    if (world_pick(w, 10) == 0)
        r->modes = (uint8_t)(1U << CARD_MPS);
}

bool world_run(struct world *w, struct pod_request *r)
{
    static struct cluster_answer a;
    cluster_place(w->cluster, r, w->nodes, w->n_nodes, &a);
    if (a.reason != SCHED_FITS)
        return false;
    cluster_bound(w->cluster, r->uid, r->namespace_, r->name, cluster_node_spec(w->cluster, a.node)->name,
                  &a.grant, r->slot_kind, r->n_slots, r->priority, false);
    w->n_pods++;
    return true;
}

uint32_t world_count(struct world *w, const struct pod_request *r)
{
    static struct cluster_answer a;
    uint32_t n = 0;
    for (uint32_t i = 0; i < w->n_nodes; i++)
        n += cluster_fit(w->cluster, r, w->nodes[i], &a, NULL) == SCHED_FITS;
    return n;
}
