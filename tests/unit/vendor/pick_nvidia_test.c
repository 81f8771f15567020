/* SPDX-License-Identifier: Apache-2.0
 *
 * NVIDIA's hook (pair scores, NUMA, MIG) against vectors derived from scheduler.md sections 6.4
 * and 12, vendors.md sections 3, 8 and 9; and what must hold for every input.
 */
#include <string.h>

#include "../seed.h"
#include "model/reason.h"
#include "scene.h"
#include "vendor/mig.h"
#include "vendor/near.h"

static void check(struct scene *s, bool (*pick)(struct choice *), const char *name, const char *want)
{
    g_autofree char *got = NULL;
    bool picked = pick(&s->choice);
    g_test_message("%s", name);
    if (!want) {
        g_assert_false(picked);
        return;
    }
    g_assert_true(picked);
    got = scene_picked(s);
    g_assert_cmpstr(got, ==, want);
}

/* ---- NVIDIA: pair scores and NUMA ------------------------------------- */

struct near_row {
    const char *name;
    uint32_t n, wanted;
    const char *order;
    struct {
        uint8_t a, b;
        uint16_t score;
    } pairs[8];
    const char *want;
};

static const struct near_row near_rows[] = {
    {"12 TestFit_TopologyExactMatch: all of them", 2, 2, "1 0", {{0, 1, 10}}, "1 0"},
    {"12 TestFit_TopologyWorstSingleCard: the lowest sum",
     3,
     1,
     "0 1 2",
     {{0, 1, 10}, {0, 2, 100}, {1, 2, 10}},
     "1"},
    {"12 TestFit_TopologyBestCombination: the highest sum",
     3,
     2,
     "0 1 2",
     {{0, 1, 10}, {0, 2, 100}, {1, 2, 10}},
     "0 2"},
    {"12 TestFit_TopologyZeroScores: the first of one", 3, 1, "2 1 0", {{0}}, "2"},
    {"12 TestFit_TopologyZeroScores: the first two", 3, 2, "2 1 0", {{0}}, "2 1"},
    {"6.4: first in order on a tie", 4, 2, "3 2 1 0", {{0, 1, 50}, {2, 3, 50}}, "3 2"},
    {"6.4: three of four", 4, 3, "0 1 2 3", {{0, 1, 10}, {1, 2, 30}, {1, 3, 30}, {2, 3, 30}}, "1 2 3"},
};

static void near_cards_are_found(void)
{
    static struct scene s;
    for (size_t i = 0; i < G_N_ELEMENTS(near_rows); i++) {
        const struct near_row *r = &near_rows[i];
        scene_init(&s, r->n, r->wanted);
        s.pod.topology_aware = true;
        scene_candidates(&s, r->order);
        for (size_t p = 0; p < G_N_ELEMENTS(r->pairs); p++)
            if (r->pairs[p].score)
                scene_pair(&s, r->pairs[p].a, r->pairs[p].b, r->pairs[p].score);
        check(&s, pick_nvidia, r->name, r->want);
    }
}

static void topology_is_asked_for(void)
{
    static struct scene s;
    scene_init(&s, 3, 2);
    scene_pair(&s, 0, 2, 100);
    check(&s, pick_nvidia, "without it the order of preference counts", "0 1");
}

static uint64_t sum_of(const struct node_spec *node, const uint16_t *cards, uint32_t k)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < k; i++)
        for (uint32_t j = i + 1; j < k; j++)
            sum += node_pair_score(node, cards[i], cards[j]);
    return sum;
}

/* Every subset, lexicographically, as the reference enumerates them. */
static void enumerate(const struct node_spec *node, const uint16_t *cards, uint32_t n, uint32_t k,
                      uint16_t *ret)
{
    uint16_t now[16];
    uint64_t best = 0;
    bool found = false;
    for (uint32_t mask = (1U << n) - 1; mask > 0; mask--) { /* highest bit = first card */
        uint32_t m = 0;
        if ((uint32_t)__builtin_popcount(mask) != k)
            continue;
        for (uint32_t i = 0; i < n; i++)
            if (mask & 1U << (n - 1 - i))
                now[m++] = cards[i];
        if (!found || sum_of(node, now, k) > best) {
            memcpy(ret, now, k * sizeof *now);
            best = sum_of(node, now, k);
            found = true;
        }
    }
}

static void near_combination_equals_enumeration(void)
{
    static struct scene s;
    uint32_t seed = test_seed() | 1;
    g_autoptr(GRand) rand = g_rand_new_with_seed(seed);
    g_test_message("seed %u", seed);
    for (int round = 0; round < 400; round++) {
        uint32_t n = (uint32_t)g_rand_int_range(rand, 2, 11), k = (uint32_t)g_rand_int_range(rand, 1, (int)n);
        uint16_t got[16], want[16];
        scene_init(&s, n, k);
        for (uint32_t a = 0; a < n; a++)
            for (uint32_t b = a + 1; b < n; b++)
                scene_pair(&s, a, b, (uint16_t)(10 * g_rand_int_range(rand, 0, 5)));
        for (uint32_t i = n - 1; i > 0; i--) {
            uint32_t j = (uint32_t)g_rand_int_range(rand, 0, (int)i + 1);
            uint16_t other = s.choice.candidates[i];
            s.choice.candidates[i] = s.choice.candidates[j];
            s.choice.candidates[j] = other;
        }
        near_combination(&s.node, s.choice.candidates, n, k, got);
        enumerate(&s.node, s.choice.candidates, n, k, want);
        g_assert_true(memcmp(got, want, k * sizeof *want) == 0);
    }
}

/* 128 cards in boards of 8: C(128,8) combinations are not listed (B12). */
static void near_cards_of_a_large_node_are_found_quickly(void)
{
    static struct scene s;
    scene_init(&s, 128, 8);
    s.pod.topology_aware = true;
    for (uint32_t a = 0; a < 128; a++)
        for (uint32_t b = a + 1; b < 128; b++)
            scene_pair(&s, a, b, a / 8 == b / 8 ? 300 : 10);
    scene_pair(&s, 0, 1, 10); /* the first board is not the best */
    gint64 start = g_get_monotonic_time();
    check(&s, pick_nvidia, "B12", "8 9 10 11 12 13 14 15");
    g_assert_cmpint(g_get_monotonic_time() - start, <, G_USEC_PER_SEC);
}

struct numa_row {
    const char *name, *numa, *order;
    uint32_t wanted;
    enum card_policy policy;
    bool topology;
    const char *want; /* NULL: SCHED_NUMA */
};

static const struct numa_row numa_rows[] = {
    {"12 TestFit_NumaSwitching: numa 1,1,0", "110", "2 1 0", 2, CARD_SPREAD, false, "1 0"},
    {"6.4 step 4: one node is enough", "0011", "2 0 1 3", 2, CARD_SPREAD, false, "2 3"},
    {"6.4 step 4: no node has three", "0011", "0 1 2 3", 3, CARD_SPREAD, false, NULL},
    {"binpack leaves the larger node alone", "0001", "0 1 2 3", 1, CARD_BINPACK, false, "3"},
    {"spread takes the best card's", "0001", "0 1 2 3", 1, CARD_SPREAD, false, "0"},
    {"B12: topology inside the first node that is enough", "00011", "0 1 2 3 4", 2, CARD_SPREAD, true, "1 2"},
};

static void numa_binding_stays_on_one_node(void)
{
    static struct scene s;
    for (size_t i = 0; i < G_N_ELEMENTS(numa_rows); i++) {
        const struct numa_row *r = &numa_rows[i];
        scene_init(&s, (uint32_t)strlen(r->numa), r->wanted);
        for (size_t c = 0; r->numa[c]; c++)
            s.cards[c].numa = (int16_t)(r->numa[c] - '0');
        s.pod.numa_bind = true;
        s.pod.topology_aware = r->topology;
        s.pod.card_policy[0] = r->policy;
        scene_pair(&s, 1, 2, 100);
        scene_candidates(&s, r->order);
        check(&s, pick_nvidia, r->name, r->want);
        if (!r->want)
            g_assert_cmpint(s.choice.reason, ==, SCHED_NUMA);
    }
}

static void too_few_cards_are_counted(void)
{
    static struct scene s;
    scene_init(&s, 2, 3);
    check(&s, pick_nvidia, "12: 3 of 2", NULL);
    g_assert_cmpint(s.choice.reason, ==, SCHED_COUNT);
    s.pod.numa_bind = true;
    check(&s, pick_nvidia, "and with numa-bind", NULL);
    g_assert_cmpint(s.choice.reason, ==, SCHED_COUNT);
}

/* ---- NVIDIA: MIG -------------------------------------------------------- */

static void mig_packs_an_a100(void)
{
    static const struct {
        uint64_t mib;
        const char *want;
        unsigned start;
    } steps[] = {{19968, "3g.20gb", 4}, {9856, "2g.10gb", 0}, {4864, "1g.5gb", 3}, {4864, "1g.5gb", 2}};
    const struct card_shapes *shapes = scene_a100();
    uint16_t taken = 0;
    for (size_t i = 0; i < G_N_ELEMENTS(steps); i++) {
        struct mig_place p;
        g_test_message("6.4: expected sequence, step %zu", i);
        g_assert_true(mig_place(shapes, taken, 0, MIB(steps[i].mib), &p));
        g_assert_cmpstr(shapes->shapes[p.shape].name, ==, steps[i].want);
        g_assert_cmpuint(p.start, ==, steps[i].start);
        taken |= mig_slices(p.start, p.size);
    }
    struct mig_place none;
    g_assert_cmphex(taken, ==, 0xff);
    g_assert_false(mig_place(shapes, taken, 0, 1, &none));
}

/* Where whatever fits is searched for, no half stays half taken. */
static void mig_takes_the_least_from_others(void)
{
    static const struct {
        const char *name;
        uint16_t taken, avoid;
        uint64_t mib;
        unsigned start;
    } rows[] = {
        {"the slice that no 2g can have", 0, 0, 4864, 6},
        {"then the one that is left of a pair", 1 << 6 | 1 << 5, 0, 4864, 4},
        {"a pair of the broken half", 1 << 4, 0, 9856, 0},
        {"the half that is taken in part", 1 << 0, 0, 9856, 2},
        {"not where it may not start", 0, 1 << 6, 4864, 5},
        {"the only place that is not to be avoided", 0, 1 << 0 | 1 << 2, 9856, 4},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        struct mig_place p;
        g_test_message("%s", rows[i].name);
        g_assert_true(mig_place_tight(scene_a100(), rows[i].taken, rows[i].avoid, MIB(rows[i].mib), &p));
        g_assert_cmpuint(p.start, ==, rows[i].start);
    }
}

struct mig_row {
    const char *name;
    uint32_t n_cards, wanted;
    struct card_request ask;
    uint16_t taken; /* of card 0 */
    const char *want;
};

static const struct mig_row mig_rows[] = {
    {"12 mig_allocation: two 1g on one GPU", 1, 2, {.mem_bytes = MIB(4000)}, 0, "0:1g.5gb@6 0:1g.5gb@5"},
    {"6.4 step 17: seven on one GPU",
     1,
     7,
     {.mem_bytes = MIB(4864)},
     0,
     "0:1g.5gb@6 0:1g.5gb@5 0:1g.5gb@4 0:1g.5gb@3 0:1g.5gb@2 0:1g.5gb@1 0:1g.5gb@0"},
    {"12 mig_allocation: insufficient placements", 1, 8, {.mem_bytes = MIB(4864)}, 0, NULL},
    {"the rest goes to the next GPU",
     2,
     3,
     {.mem_bytes = MIB(19968)},
     0,
     "0:3g.20gb@4 0:3g.20gb@0 1:3g.20gb@4"},
    {"6.4: two free slices where no profile of two starts", 1, 1, {.mem_bytes = MIB(9000)}, 0x3f, NULL},
    {"6.4: 3g at its other place", 1, 1, {.mem_bytes = MIB(19968)}, 0xf0, "0:3g.20gb@0"},
    {"B11: the whole card is the largest profile", 1, 1, {0}, 0, "0:7g.40gb@0"},
    {"B11: 100 % too", 1, 1, {.mem_percent = 100}, 0, "0:7g.40gb@0"},
    {"50 % of 40960 MiB is more than 3g has", 1, 1, {.mem_percent = 50}, 0, "0:7g.40gb@0"},
    {"48 % is 3g", 1, 1, {.mem_percent = 48}, 0, "0:3g.20gb@4"},
    {"more bytes than the largest profile", 1, 1, {.mem_bytes = MIB(40500)}, 0, NULL},
};

static void mig_scene(struct scene *s, const struct mig_row *r)
{
    scene_init(s, r->n_cards, r->wanted);
    s->pod.requests[0] = r->ask;
    s->pod.requests[0].n_cards = r->wanted;
    for (uint32_t i = 0; i < r->n_cards; i++) {
        s->cards[i].mode = CARD_MIG;
        s->cards[i].mem_bytes = MIB(40960);
        s->cards[i].shapes = scene_a100();
        s->cards[i].slots = 7;
    }
    s->use[0].mig_mask = r->taken;
}

static void mig_instances_are_placed(void)
{
    static struct scene s;
    for (size_t i = 0; i < G_N_ELEMENTS(mig_rows); i++) {
        mig_scene(&s, &mig_rows[i]);
        check(&s, pick_nvidia, mig_rows[i].name, mig_rows[i].want);
        if (!mig_rows[i].want)
            g_assert_cmpint(s.choice.reason, ==, SCHED_MIG);
        if (mig_rows[i].wanted == 1)
            g_assert_cmpint(admits_nvidia(&s.choice, 0), ==, mig_rows[i].want ? 0 : SCHED_MIG);
    }
}

static void mig_grant_is_the_profile(void)
{
    static struct scene s;
    mig_scene(&s, &mig_rows[0]);
    g_assert_true(pick_nvidia(&s.choice));
    g_assert_cmpuint(s.choice.picked[1].mem_bytes, ==, MIB(4864));
    g_assert_cmpuint(s.choice.picked[1].cores, ==, 15);
    g_assert_cmpuint(s.choice.picked[1].mig_size, ==, 1);
}

/* Whatever a node's annotation says, and whatever is taken: instances never overlap. */
static void mig_instances_never_overlap(void)
{
    static struct scene s;
    static struct scene_shapes shapes;
    uint32_t seed = test_seed();
    g_autoptr(GRand) rand = g_rand_new_with_seed(seed);
    g_test_message("seed %u", seed);
    for (int round = 0; round < 2000; round++) {
        struct mig_row r = {.n_cards = 2,
                            .wanted = (uint32_t)g_rand_int_range(rand, 1, 9),
                            .taken = (uint16_t)g_rand_int(rand)};
        mig_scene(&s, &r);
        shapes.n = SCENE_SHAPES;
        for (uint32_t i = 0; i < shapes.n; i++) {
            struct card_shape *p = &shapes.shapes[i];
            g_snprintf(p->name, sizeof p->name, "%dg.x", g_rand_int_range(rand, 1, 8));
            p->mem_bytes = MIB(g_rand_int_range(rand, 0, 5));
            p->n_placements = (uint16_t)g_rand_int_range(rand, 0, CARD_PLACEMENTS_MAX + 4);
            for (int k = 0; k < CARD_PLACEMENTS_MAX; k++) {
                p->placements[k].start = (uint8_t)g_rand_int_range(rand, 0, g_rand_boolean(rand) ? 8 : 256);
                p->placements[k].size = (uint8_t)g_rand_int_range(rand, 0, g_rand_boolean(rand) ? 4 : 256);
            }
        }
        s.pod.requests[0].mem_bytes = MIB(g_rand_int_range(rand, 1, 5));
        s.cards[0].shapes = s.cards[1].shapes = (const struct card_shapes *)(const void *)&shapes;
        if (!pick_nvidia(&s.choice))
            continue;
        uint32_t taken[2] = {s.use[0].mig_mask, s.use[1].mig_mask};
        g_assert_cmpuint(s.choice.n_picked, ==, r.wanted);
        for (uint32_t i = 0; i < s.choice.n_picked; i++) {
            const struct card_grant *g = &s.choice.picked[i];
            uint16_t mask = mig_slices(g->mig_start, g->mig_size);
            g_assert_cmphex(mask, !=, 0);
            g_assert_cmphex(mask & taken[g->card], ==, 0);
            g_assert_cmpuint(g->mem_bytes, >=, s.pod.requests[0].mem_bytes);
            taken[g->card] |= mask;
        }
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/vendor/near_cards_are_found", near_cards_are_found);
    g_test_add_func("/vendor/topology_is_asked_for", topology_is_asked_for);
    g_test_add_func("/vendor/near_combination_equals_enumeration", near_combination_equals_enumeration);
    g_test_add_func("/vendor/near_cards_of_a_large_node_are_found_quickly",
                    near_cards_of_a_large_node_are_found_quickly);
    g_test_add_func("/vendor/numa_binding_stays_on_one_node", numa_binding_stays_on_one_node);
    g_test_add_func("/vendor/too_few_cards_are_counted", too_few_cards_are_counted);
    g_test_add_func("/vendor/mig_packs_an_a100", mig_packs_an_a100);
    g_test_add_func("/vendor/mig_takes_the_least_from_others", mig_takes_the_least_from_others);
    g_test_add_func("/vendor/mig_instances_are_placed", mig_instances_are_placed);
    g_test_add_func("/vendor/mig_grant_is_the_profile", mig_grant_is_the_profile);
    g_test_add_func("/vendor/mig_instances_never_overlap", mig_instances_never_overlap);
    return g_test_run();
}
