/* SPDX-License-Identifier: Apache-2.0
 *
 * Placing looks at few nodes closely. Here every node is fitted by the rules
 * and all answers are sorted: both must choose the same, on random clusters and
 * for random requests; of families of our own making, and of all the field's
 * with their hooks. HAMI_TEST_OPS (20000) and HAMI_TEST_SEED as elsewhere.
 */
#include "chance.h"
#include "fixture.h"
#include "vendor/config.h"

enum { NODES = 40, CARDS = 8 };

static const char *const types[] = {"NVIDIA A100", "NVIDIA H100", "Tesla V100", "MLU370", "Ascend910B3"};
static const char *const lists[] = {NULL, NULL,   NULL,   NULL,     "a100", "A100,H100",
                                    " ,", "v100", "none", "nvidia", "910"};

/* A card that can be cut: 1g and 3g of a MIG card, and a slice of a third for others. */
static const struct card_shapes *random_shapes(void)
{
    static struct card_shapes *shapes;
    if (!shapes) {
        shapes = g_malloc0(sizeof *shapes + 2 * sizeof shapes->shapes[0]);
        shapes->n = 2;
        shapes->shapes[0] = (struct card_shape){.name = "1g.5gb",
                                                .mem_bytes = MIB(4864),
                                                .cores = 15,
                                                .slices = 1,
                                                .n_placements = 4,
                                                .placements = {{0, 1}, {1, 1}, {2, 1}, {3, 1}}};
        shapes->shapes[1] = (struct card_shape){.name = "3g.20gb",
                                                .mem_bytes = MIB(9856),
                                                .cores = 45,
                                                .slices = 3,
                                                .n_placements = 2,
                                                .placements = {{0, 4}, {4, 4}}};
    }
    return shapes;
}

static Cluster *random_cluster(const struct family_set *set)
{
    static char names[NODES][32], uuids[NODES][CARDS][32];
    Cluster *c = cluster_new(set);
    uint32_t n_nodes = 1 + chance(NODES), kinds = 1 + chance(set->n);
    for (uint32_t i = 0; i < n_nodes; i++) {
        struct card cards[CARDS];
        uint32_t n = chance(12) ? 1 + chance(CARDS) : 0, low = chance(kinds),
                 high = low + chance(set->n - low);
        g_snprintf(names[i], sizeof names[i], "n%u", chance(3) ? i : 100 - i);
        for (uint32_t k = 0; k < n; k++) {
            g_snprintf(uuids[i][k], sizeof uuids[i][k], "GPU-%u-%u", i, k);
            cards[k] = card(GPU, uuids[i][k], chance(3) ? 16000 : 1 + chance(40000));
            cards[k].family = (uint16_t)(k < n / 2 ? low : high);
            cards[k].type = types[chance(G_N_ELEMENTS(types))];
            cards[k].index = (uint16_t)k;
            cards[k].numa = (int16_t)(k / 2);
            cards[k].group = chance(4) ? (int32_t)chance(3) : -1;
            cards[k].healthy = chance(15) != 0;
            cards[k].mode = (uint8_t)(chance(3) ? CARD_HAMI_CORE : chance(CARD_MODES));
            cards[k].slots = (uint16_t)(chance(4) ? 10 : 1 + chance(3));
            if (chance(3) == 0)
                cards[k].shapes = random_shapes();
            cards[k].qos = (uint8_t)chance(CARD_QOS_KINDS);
            if (set->rows[cards[k].family]->cores_kind == FAMILY_CORES_MASK)
                cards[k].cores = 0xf;
            else if (chance(3) == 0)
                cards[k].cores = 1 + chance(300);
            if (chance(20) == 0)
                cards[k].mem_bytes += chance(1000000);
        }
        cluster_node_set(c, &(struct node_spec){.name = names[i],
                                                .n_cards = n,
                                                .cards = cards,
                                                .soft_slicing = chance(2),
                                                .contiguous_anywhere = chance(2)});
    }
    return c;
}

static void random_request(const struct family_set *set, struct pod_request *r, const char *uid)
{
    *r = ask(uid, 0, 1, 0, 0);
    r->node_policy = chance(2) ? NODE_BINPACK : NODE_SPREAD;
    r->n_card_policy = (uint8_t)(1 + chance(2));
    r->card_policy[0] = (enum card_policy)chance(CARD_POLICIES);
    r->card_policy[1] = (enum card_policy)chance(CARD_POLICIES);
    r->weight_mem = chance(4);
    r->mutex = chance(10) == 0;
    r->numa_bind = chance(10) == 0;
    r->soft = chance(6) == 0;
    r->topology_aware = chance(5) == 0;
    r->app_class = (uint8_t)(chance(3) ? POD_CLASS_NONE : chance(3));
    r->qos = (uint8_t)chance(CARD_QOS_KINDS);
    r->modes = (uint8_t)(chance(3) ? 0 : chance(1 << CARD_MODES));
    r->n_slots = r->n_requests = (uint8_t)(chance(3) ? 1 : 1 + chance(3));
    for (uint8_t i = 0; i < r->n_slots; i++) {
        r->slot_kind[i] = (uint8_t)(i + 1 < r->n_slots ? chance(3) : SLOT_APP);
        r->requests[i] = (struct card_request){.family = (uint16_t)(chance(2) ? GPU : chance(set->n)),
                                               .slot = i,
                                               .n_cards = chance(3) ? 1 : 1 + chance(5),
                                               .mem_bytes = chance(3) ? MIB(chance(8000)) : chance(1 << 30),
                                               .mem_percent = chance(2) ? 0 : 1 + chance(110),
                                               .mem_none = chance(10) == 0,
                                               .cores = chance(2) ? chance(30) : chance(120),
                                               .exclusive = chance(30) == 0};
        if (chance(5) == 0)
            r->requests[i].mem_bytes = 0;
        const struct family *f = set->rows[r->requests[i].family];
        if (f->cores_kind == FAMILY_CORES_MASK)
            r->requests[i].cores = 1 + chance(4);
        if (f->mem_round == FAMILY_ROUND_CARD_SHAPE && chance(2))
            r->requests[i].size = (uint16_t)(1 + chance(3));
        r->requests[i].whole = chance(8) == 0;
    }
    if (chance(3) == 0) {
        r->n_selections = 2;
        r->selections[0] = (struct pod_selection){.family = GPU,
                                                  .use_types = lists[chance(G_N_ELEMENTS(lists))],
                                                  .not_types = lists[chance(G_N_ELEMENTS(lists))]};
        r->selections[1] =
            (struct pod_selection){.family = MLU, .use_types = lists[chance(G_N_ELEMENTS(lists))]};
        if (chance(2))
            r->selections[0].use_uuids[chance(2)] = "GPU-1-0, GPU-2-1,GPU-3-0 ,GPU-4-4,GPU-0-0";
        if (chance(3) == 0)
            r->selections[0].not_uuids[chance(2)] = "GPU-1-0,GPU-0-0";
    }
}

/* By fitting every candidate. */
static void place_slowly(const Cluster *c, const struct pod_request *r, const ClusterNode *candidates,
                         uint32_t n, struct cluster_answer *best)
{
    struct cluster_answer a;
    best->reason = SCHED_NO_CARDS;
    best->node = CLUSTER_NO_NODE;
    for (uint32_t i = 0; i < n; i++) {
        if (cluster_fit(c, r, candidates[i], &a, NULL) != SCHED_FITS)
            continue;
        bool first = best->node == CLUSTER_NO_NODE;
        int by_name =
            first ? 0 : strcmp(cluster_node_spec(c, a.node)->name, cluster_node_spec(c, best->node)->name);
        if (first || a.score > best->score || (!(a.score < best->score) && by_name < 0))
            *best = a;
    }
}

static bool same_grants(const struct pod_grant *a, const struct pod_grant *b)
{
    for (uint16_t i = 0; a->n == b->n && i < a->n; i++)
        if (a->grants[i].card != b->grants[i].card || a->grants[i].mem_bytes != b->grants[i].mem_bytes ||
            a->grants[i].cores != b->grants[i].cores || a->grants[i].slot != b->grants[i].slot)
            return false;
    return a->n == b->n;
}

static uint64_t fill_and_compare(const struct family_set *set, uint64_t n)
{
    static struct cluster_answer fast, slow;
    Cluster *c = random_cluster(set);
    ClusterNode candidates[NODES + 4];
    uint64_t placed = 0;
    if (chance(4) == 0)
        cluster_quota_set(c, "default", "q", set->rows[GPU]->resource[chance(2) ? FAMILY_MEM : FAMILY_CORES],
                          chance(60000));
    for (uint64_t i = 0; i < n; i++) {
        char uid[16];
        struct pod_request r;
        uint32_t n_candidates = 1 + chance(NODES + 4);
        g_snprintf(uid, sizeof uid, "pod-%u", chance(60));
        random_request(set, &r, uid);
        for (uint32_t k = 0; k < n_candidates; k++)
            candidates[k] = chance(30) ? k : chance(NODES + 2);
        place_slowly(c, &r, candidates, n_candidates, &slow);
        cluster_place(c, &r, candidates, n_candidates, &fast);
        g_assert_cmpuint(fast.node, ==, slow.node);
        g_assert_true((fast.reason == SCHED_FITS) == (slow.reason == SCHED_FITS));
        if (fast.reason != SCHED_FITS)
            continue;
        g_assert_true(fast.score <= slow.score && fast.score >= slow.score);
        g_assert_true(same_grants(&fast.grant, &slow.grant));
        placed += cluster_reserve(c, &r, &fast, 1);
    }
    assert_sound(c);
    cluster_free(c);
    return placed;
}

static void compare_all(const struct family_set *set)
{
    uint64_t n = chance_begin(20000), placed = 0;
    for (uint64_t i = 0; i < n; i += 50)
        placed += fill_and_compare(set, 50);
    g_test_message("%" G_GUINT64_FORMAT " placed", placed);
    g_assert_cmpuint(placed, >, n / 20);
}

static void the_fast_way_chooses_as_the_slow_one(void)
{
    compare_all(families());
}

static void so_it_does_for_all_families_of_the_field(void)
{
    const struct vendor_options all = {.enable_ascend = true, .enable_iluvatar = true};
    g_autoptr(GError) error = NULL;
    struct family_set *set = vendor_config_parse(NULL, 0, &all, NULL, &error);
    g_assert_no_error(error);
    compare_all(set);
    vendor_config_free(set);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/place/the_fast_way_chooses_as_the_slow_one", the_fast_way_chooses_as_the_slow_one);
    g_test_add_func("/place/so_it_does_for_all_families_of_the_field",
                    so_it_does_for_all_families_of_the_field);
    return g_test_run();
}
