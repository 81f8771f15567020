/* SPDX-License-Identifier: Apache-2.0
 *
 * The families' hooks against vectors derived from scheduler.md sections 6.4
 * and 12, vendors.md sections 3, 8 and 9; and what must hold for every input.
 */
#include <string.h>

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
    uint32_t seed = g_test_rand_int() ? (uint32_t)g_test_rand_int() : 1;
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
        g_assert_true(mig_place(shapes, taken, MIB(steps[i].mib), &p));
        g_assert_cmpstr(shapes->shapes[p.shape].name, ==, steps[i].want);
        g_assert_cmpuint(p.start, ==, steps[i].start);
        taken |= mig_slices(p.start, p.size);
    }
    struct mig_place none;
    g_assert_cmphex(taken, ==, 0xff);
    g_assert_false(mig_place(shapes, taken, 1, &none));
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
    uint32_t seed = (uint32_t)g_test_rand_int();
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

/* ---- Kunlunxin ---------------------------------------------------------- */

struct wing_row {
    const char *name;
    uint32_t n_cards, wanted;
    const char *order, *busy, *want;
};

static const struct wing_row wing_rows[] = {
    {"vendors 9.10: card 5 busy, request 4", 8, 4, NULL, "5", "0 1 2 3"},
    {"W21: whatever the order of preference", 8, 4, "7 6 4 3 2 1 0", "5", "0 1 2 3"},
    {"W21: card 7 busy, request 4", 8, 4, "6 5 4 3 2 1 0", "7", "0 1 2 3"},
    {"W21: card 0 busy, request 4", 8, 4, NULL, "0", "4 5 6 7"},
    {"3.9: eight are all", 8, 8, NULL, "", "0 1 2 3 4 5 6 7"},
    {"3.9: eight of seven", 8, 8, NULL, "3", NULL},
    {"3.9: three never fit", 8, 3, NULL, "", NULL},
    {"3.9: one card from the wing with one free", 8, 1, NULL, "4 5 6", "7"},
    {"3.9: one card: three free before two", 8, 1, NULL, "0 1 4", "5"},
    {"3.9: one card: two free before four", 8, 1, NULL, "4 5", "6"},
    {"3.9: two cards from the wing with two", 8, 2, NULL, "0 4 5", "6 7"},
    {"3.9: two cards: left before right", 8, 2, NULL, "0 4", "1 2"},
    {"3.9: a pair across the wings", 8, 2, NULL, "0 1 2 4 5 6", "3 7"},
    {"3.9: two that are not linked", 8, 2, NULL, "0 1 2 5 6 7", NULL},
    {"3.9: the first quad, four free", 8, 4, NULL, "2 3 6 7", "0 1 4 5"},
    {"3.9: the second quad, four free", 8, 4, NULL, "0 1 4 5", "2 3 6 7"},
    {"3.9: a later quad", 8, 4, NULL, "0 3 4 7", "1 2 5 6"},
    {"3.9: four free and no quad", 8, 4, NULL, "3 5 6 7", NULL},
    {"3.9: six free: the leftovers, 2 and 6, are linked", 8, 4, NULL, "3 7", "0 1 4 5"},
    {"3.9: six free: none leaves linked ones, so the last", 8, 4, NULL, "0 7", "1 2 5 6"},
    {"more than one board: the tighter wing", 16, 4, NULL, "1", "4 5 6 7"},
    {"more than one board: all of the second", 16, 8, NULL, "1", "8 9 10 11 12 13 14 15"},
    {"more than one board: no quad across boards", 16, 4, NULL, "0 1 2 4 5 6 8 9 10 12 13 14", NULL},
    {"a node with four cards", 4, 4, NULL, "", "0 1 2 3"},
};

static void kunlun_stays_within_wings(void)
{
    static struct scene s;
    for (size_t i = 0; i < G_N_ELEMENTS(wing_rows); i++) {
        const struct wing_row *r = &wing_rows[i];
        scene_init(&s, r->n_cards, r->wanted);
        scene_busy(&s, r->busy);
        if (r->order)
            scene_candidates(&s, r->order);
        check(&s, pick_kunlun, r->name, r->want);
    }
}

static unsigned picked_mask(const struct scene *s)
{
    unsigned mask = 0;
    for (uint32_t i = 0; i < s->choice.n_picked; i++)
        mask |= 1U << s->cards[s->choice.picked[i].card].index;
    return mask;
}

static bool is_in(unsigned mask, const unsigned *sets, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (mask == sets[i])
            return true;
    return false;
}

/* All 256 states of a board: fits exactly when a wing, a pair or a quad is there. */
static void kunlun_is_right_for_every_board(void)
{
    static const unsigned pairs[] = {0x11, 0x22, 0x44, 0x88};
    static const unsigned quads[] = {0x33, 0xcc, 0x55, 0xaa, 0x99, 0x66};
    static struct scene s;
    for (unsigned free = 0; free < 256; free++)
        for (uint32_t n = 1; n <= 8; n *= 2) {
            unsigned left = free & 0xf, right = free >> 4;
            bool wing = (uint32_t)__builtin_popcount(left) >= n || (uint32_t)__builtin_popcount(right) >= n;
            bool across = false;
            for (size_t i = 0; n == 2 && i < G_N_ELEMENTS(pairs); i++)
                across |= (free & pairs[i]) == pairs[i];
            for (size_t i = 0; n == 4 && i < G_N_ELEMENTS(quads); i++)
                across |= (free & quads[i]) == quads[i];
            scene_init(&s, 8, n);
            s.choice.n_candidates = 0;
            for (uint16_t i = 8; i-- > 0;)
                if (free & 1U << i)
                    s.choice.candidates[s.choice.n_candidates++] = i;
            bool fits = pick_kunlun(&s.choice);
            g_assert_true(fits == (wing || across || (n == 8 && free == 255)));
            if (!fits)
                continue;
            unsigned got = picked_mask(&s);
            g_assert_cmphex(got & ~free, ==, 0);
            g_assert_cmpint(__builtin_popcount(got), ==, (int)n);
            if (wing)
                g_assert_true((got & 0xf) == got || (got & 0xf0) == got);
            else if (n == 2)
                g_assert_true(is_in(got, pairs, 4));
            else if (n == 4)
                g_assert_true(is_in(got, quads, 6));
        }
}

static void vxpu_slices_are_equal(void)
{
    static struct scene s;
    scene_init(&s, 8, 1);
    s.family.cores_kind = FAMILY_CORES_OF_MEM;
    s.cards[0].mem_bytes = MIB(98304);
    s.pod.requests[0].mem_bytes = MIB(49152);
    g_assert_cmpint(admits_xpu(&s.choice, 0), ==, 0);
    s.use[0] = (struct card_use){.slots = 1, .mem_bytes = MIB(24576)};
    g_test_message("vendors 9.7: a card with one 24576 slice refuses 49152");
    g_assert_cmpint(admits_xpu(&s.choice, 0), ==, SCHED_SIZE);
    s.use[0] = (struct card_use){.slots = 2, .mem_bytes = MIB(2 * 49152)};
    g_assert_cmpint(admits_xpu(&s.choice, 0), ==, 0);
}

static double kunlun_score(const char *busy, const char *given)
{
    static struct scene s;
    struct card_grant grants[8] = {0};
    scene_init(&s, 8, 1);
    scene_busy(&s, busy);
    g_auto(GStrv) words = g_strsplit(given, " ", -1);
    uint32_t n = g_strv_length(words);
    for (uint32_t i = 0; i < n; i++)
        grants[i].card = (uint16_t)g_ascii_strtoull(words[i], NULL, 10);
    return score_kunlun(&s.family, &s.node, s.use, &s.pod, grants, n);
}

static void kunlun_scores_full_wings(void)
{
    g_assert_cmpfloat(kunlun_score("0 1 2", "3"), ==, 1.0);      /* 3000: the wing is full */
    g_assert_cmpfloat(kunlun_score("", "0 1 2 3"), ==, 2.0 / 3); /* 2000 */
    g_assert_cmpfloat(kunlun_score("", "0 1"), ==, 1.0 / 3);     /* 1000 */
    g_assert_cmpfloat(kunlun_score("", "0"), ==, 0.0);           /* 0: breaks an empty board */
    g_assert_cmpfloat(kunlun_score("0", "1"), ==, 1.0);
}

/* ---- MetaX sGPU --------------------------------------------------------- */

static void classes_and_policies_are_kept_apart(void)
{
    static const struct {
        const char *name;
        struct card_use use;
        uint8_t reported, app_class, qos;
        uint32_t cores;
        int want;
    } cases[] = {
        {"an idle card takes any", {0}, CARD_QOS_FIXED_SHARE, POD_CLASS_OFFLINE, CARD_QOS_BEST_EFFORT, 10, 0},
        {"3.7: online beside online", {.slots = 1, .online = 1}, 0, POD_CLASS_ONLINE, 0, 0, 0},
        {"3.7: online beside offline", {.slots = 1, .offline = 1}, 0, POD_CLASS_ONLINE, 0, 0, 0},
        {"3.7: offline beside online", {.slots = 1, .online = 1}, 0, POD_CLASS_OFFLINE, 0, 10, SCHED_CLASS},
        {"3.7: online beside a pod without class", {.slots = 1}, 0, POD_CLASS_ONLINE, 0, 0, SCHED_CLASS},
        {"3.7: no class beside offline", {.slots = 1, .offline = 1}, 0, POD_CLASS_NONE, 1, 10, SCHED_CLASS},
        {"3.7: equal policy",
         {.slots = 1, .qos = {[CARD_QOS_FIXED_SHARE] = 1}},
         CARD_QOS_BEST_EFFORT,
         POD_CLASS_NONE,
         CARD_QOS_FIXED_SHARE,
         10,
         0},
        {"W52: the holders' policy counts before the node reports it",
         {.slots = 1, .qos = {[CARD_QOS_FIXED_SHARE] = 1}},
         CARD_QOS_BEST_EFFORT,
         POD_CLASS_NONE,
         CARD_QOS_BEST_EFFORT,
         10,
         SCHED_QOS},
        {"3.7: the reported policy",
         {.slots = 1},
         CARD_QOS_BURST_SHARE,
         POD_CLASS_NONE,
         CARD_QOS_BEST_EFFORT,
         10,
         SCHED_QOS},
        {"3.7: a whole card has no policy",
         {.slots = 1},
         CARD_QOS_BURST_SHARE,
         POD_CLASS_NONE,
         CARD_QOS_BEST_EFFORT,
         100,
         0},
    };
    static struct scene s;
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        scene_init(&s, 1, 1);
        s.use[0] = cases[i].use;
        s.cards[0].qos = cases[i].reported;
        s.pod.app_class = cases[i].app_class;
        s.pod.qos = cases[i].qos;
        s.pod.requests[0].cores = cases[i].cores;
        g_test_message("%s", cases[i].name);
        g_assert_cmpint(admits_metax_sgpu(&s.choice, 0), ==, cases[i].want);
    }
}

static void online_pods_spread_out(void)
{
    static struct scene s;
    scene_init(&s, 4, 1);
    s.pod.app_class = POD_CLASS_ONLINE;
    s.use[0] = (struct card_use){.slots = 1, .offline = 1};
    s.use[1] = (struct card_use){.slots = 2, .online = 2};
    s.use[2] = (struct card_use){.slots = 2, .online = 1, .offline = 1};
    s.use[3] = (struct card_use){.slots = 1, .online = 1};
    check(&s, pick_metax_sgpu, "3.7: fewest online, then fewest offline", "3");
    scene_candidates(&s, "0 1");
    check(&s, pick_metax_sgpu, "3.7: a card with offline pods alone is last", "1");
    scene_candidates(&s, "0");
    check(&s, pick_metax_sgpu, "3.7: but it is taken", "0");
}

static void whole_cards_come_from_one_zone(void)
{
    static const struct {
        const char *name, *zones;
        uint32_t wanted;
        const char *want;
    } cases[] = {
        {"3.7: the smallest zone that is enough", "1111220", 2, "4 5"},
        {"3.7: a larger one when needed", "1111220", 3, "0 1 2"},
        {"3.7: across zones, largest first", "1112200", 4, "2 1 0 4"},
        {"3.7: cards without a zone", "1200000", 3, "2 3 4"},
        {"3.7: else the first", "120", 3, "0 1 2"},
        {"W52: equal zones in a fixed order", "221100", 2, "2 3"},
    };
    static struct scene s;
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        scene_init(&s, (uint32_t)strlen(cases[i].zones), cases[i].wanted);
        for (size_t c = 0; cases[i].zones[c]; c++)
            s.cards[c].group = cases[i].zones[c] - '0';
        s.pod.requests[0].cores = 100;
        check(&s, pick_metax_sgpu, cases[i].name, cases[i].want);
    }
}

static double metax_score(uint8_t app_class, bool topology, const char *given)
{
    static struct scene s;
    struct card_grant grants[8] = {0};
    scene_init(&s, 8, 1);
    for (uint32_t i = 0; i < 8; i++)
        s.cards[i].group = 1 + (int32_t)i / 4;
    s.use[6] = (struct card_use){.slots = 1, .offline = 1};
    s.use[7] = (struct card_use){.slots = 1, .online = 1};
    s.family.topology_aware = topology;
    s.pod.app_class = app_class;
    g_auto(GStrv) words = g_strsplit(given, " ", -1);
    uint32_t n = g_strv_length(words);
    for (uint32_t i = 0; i < n; i++)
        grants[i] = (struct card_grant){.card = (uint16_t)g_ascii_strtoull(words[i], NULL, 10), .cores = 100};
    return score_metax_sgpu(&s.family, &s.node, s.use, &s.pod, grants, n);
}

static void metax_scores_links_and_company(void)
{
    /* 10 * 10 got; lost: 70 of links among idle ones - 10 - 20 that remain */
    g_assert_cmpfloat(metax_score(POD_CLASS_NONE, true, "0 1"), ==, 0.5 + 60.0 / 320);
    g_assert_cmpfloat(metax_score(POD_CLASS_NONE, true, "4 5"), ==, 0.5 + 100.0 / 400);
    g_assert_cmpfloat(metax_score(POD_CLASS_NONE, true, "0 4"), <, 0.5);
    g_assert_cmpfloat(metax_score(POD_CLASS_NONE, false, "4 5"), ==, 0.5);
    g_assert_cmpfloat(metax_score(POD_CLASS_ONLINE, true, "0"), ==, 0.5);
    g_assert_cmpfloat(metax_score(POD_CLASS_ONLINE, true, "7"), ==, 0.5 - 20.0 / 240);
    g_assert_cmpfloat(metax_score(POD_CLASS_ONLINE, true, "6"), ==, 0.5 - 100.0 / 400);
}

/* ---- AWS Neuron --------------------------------------------------------- */

struct neuron_row {
    const char *name;
    uint32_t n_devices, mask;
    bool anywhere, whole;
    uint32_t n, cores;
    const char *busy;
    uint32_t taken_of_0;
    const char *want;
    int reason;
};

static const struct neuron_row neuron_rows[] = {
    {.name = "9.8: neuroncore 1", .n_devices = 2, .mask = 3, .n = 1, .cores = 1, .want = "0/1"},
    {.name = "9.8: and the second",
     .n_devices = 1,
     .mask = 3,
     .n = 1,
     .cores = 1,
     .taken_of_0 = 1,
     .want = "0/2"},
    {.name = "9.8: neuroncore 4 is two devices of an inf2",
     .n_devices = 4,
     .mask = 3,
     .anywhere = true,
     .n = 2,
     .cores = 2,
     .busy = "0",
     .want = "1/3 2/3"},
    {.name = "W22: and one of an inf1", .n_devices = 4, .mask = 15, .n = 2, .cores = 2, .want = "0/15"},
    {.name = "W22: four of eight cores, beside two",
     .n_devices = 1,
     .mask = 255,
     .n = 2,
     .cores = 2,
     .taken_of_0 = 3,
     .want = "0/60"},
    {.name = "W22: three cores of two devices never fit",
     .n_devices = 4,
     .mask = 3,
     .n = 3,
     .cores = 1,
     .reason = SCHED_MODE},
    {.name = "no device has two free cores",
     .n_devices = 1,
     .mask = 3,
     .n = 1,
     .cores = 2,
     .taken_of_0 = 2,
     .reason = SCHED_CORES},
    {.name = "9.8: trn, neuron 4 starts at a multiple",
     .n_devices = 16,
     .mask = 3,
     .whole = true,
     .n = 4,
     .busy = "1",
     .want = "4/3 5/3 6/3 7/3"},
    {.name = "9.8: trn, neuron 2 never fits",
     .n_devices = 16,
     .mask = 3,
     .whole = true,
     .n = 2,
     .reason = SCHED_MODE},
    {.name = "9.8: any pair on inf2",
     .n_devices = 6,
     .mask = 3,
     .anywhere = true,
     .whole = true,
     .n = 2,
     .busy = "0 2",
     .want = "3/3 4/3"},
    {.name = "no run is long enough",
     .n_devices = 4,
     .mask = 3,
     .anywhere = true,
     .whole = true,
     .n = 2,
     .busy = "1 3",
     .reason = SCHED_NUMA},
    {.name = "more devices than are idle",
     .n_devices = 4,
     .mask = 3,
     .anywhere = true,
     .whole = true,
     .n = 4,
     .busy = "1",
     .reason = SCHED_COUNT},
    {.name = "one whole device",
     .n_devices = 4,
     .mask = 3,
     .whole = true,
     .n = 1,
     .busy = "0",
     .want = "1/3"},
    {.name = "all sixteen", .n_devices = 4, .mask = 3, .whole = true, .n = 4, .want = "0/3 1/3 2/3 3/3"},
};

static void neuron_devices_and_cores_are_found(void)
{
    static struct scene s;
    for (size_t i = 0; i < G_N_ELEMENTS(neuron_rows); i++) {
        const struct neuron_row *r = &neuron_rows[i];
        scene_init(&s, r->n_devices, r->n);
        s.family.cores_kind = FAMILY_CORES_MASK;
        for (uint32_t d = 0; d < r->n_devices; d++)
            s.cards[d].cores = r->mask;
        s.node.contiguous_anywhere = r->anywhere;
        s.pod.requests[0] =
            (struct card_request){.n_cards = r->n, .cores = r->cores, .whole = r->whole, .mem_none = true};
        if (r->busy)
            scene_busy(&s, r->busy);
        s.use[0].cores |= r->taken_of_0;
        s.use[0].slots = (uint16_t)(s.use[0].slots + (r->taken_of_0 != 0));
        check(&s, pick_neuron, r->name, r->want);
        if (!r->want)
            g_assert_cmpint(s.choice.reason, ==, r->reason);
    }
}

static void neuron_windows_keep_to_the_candidates(void)
{
    static struct scene s;
    scene_init(&s, 8, 2);
    s.family.cores_kind = FAMILY_CORES_MASK;
    s.node.contiguous_anywhere = true;
    s.pod.requests[0].whole = true;
    scene_candidates(&s, "7 6 4 2");
    check(&s, pick_neuron, "W22: numbers, not places; lists and mutex hold", "6/100 7/100");
}

/* ---- one card per pod ------------------------------------------------------ */

static struct scene_shapes profiles = {
    .n = 2,
    .shapes = {{.name = "3g.24gb", .mem_bytes = MIB(24576), .cores = 50, .slices = 3},
               {.name = "1g.8gb", .mem_bytes = MIB(8192), .cores = 17, .slices = 1}}};

static void two_containers(struct scene *s, uint8_t first_kind)
{
    scene_init(s, 2, 1);
    s->family.mem_round = FAMILY_ROUND_CARD_SHAPE;
    for (int i = 0; i < 2; i++) {
        s->cards[i].shapes = (const struct card_shapes *)(const void *)&profiles;
        s->cards[i].mem_bytes = MIB(49152);
        s->cards[i].slots = 6;
    }
    s->pod.n_slots = s->pod.n_requests = 2;
    s->pod.slot_kind[0] = first_kind;
    s->pod.slot_kind[1] = SLOT_APP;
    for (uint8_t i = 0; i < 2; i++)
        s->pod.requests[i] = (struct card_request){.n_cards = 1, .size = 3, .slot = i};
}

static void containers_share_one_card(void)
{
    static struct scene s;
    struct card_grant earlier = {.card = 1};
    two_containers(&s, SLOT_APP);
    g_assert_cmpint(admits_same_card(&s.choice, 0), ==, 0);
    s.use[0] = (struct card_use){.slots = 1, .mem_bytes = MIB(8192), .cores = 17};
    g_test_message("W25: the first container leaves room for the second");
    g_assert_cmpint(admits_same_card(&s.choice, 0), ==, SCHED_CUSTOM);
    g_assert_cmpint(admits_same_card(&s.choice, 1), ==, 0);
    s.choice.request = &s.pod.requests[1];
    s.choice.earlier = &earlier;
    s.choice.n_earlier = 1;
    g_test_message("W25: the second is on the first's");
    g_assert_cmpint(admits_same_card(&s.choice, 0), ==, SCHED_CUSTOM);
    g_assert_cmpint(admits_same_card(&s.choice, 1), ==, 0);
    two_containers(&s, SLOT_INIT);
    s.use[0] = (struct card_use){.slots = 1, .mem_bytes = MIB(8192), .cores = 17};
    g_test_message("an init container is over when the other starts");
    g_assert_cmpint(admits_same_card(&s.choice, 0), ==, 0);
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
    g_test_add_func("/vendor/mig_instances_are_placed", mig_instances_are_placed);
    g_test_add_func("/vendor/mig_grant_is_the_profile", mig_grant_is_the_profile);
    g_test_add_func("/vendor/mig_instances_never_overlap", mig_instances_never_overlap);
    g_test_add_func("/vendor/kunlun_stays_within_wings", kunlun_stays_within_wings);
    g_test_add_func("/vendor/kunlun_is_right_for_every_board", kunlun_is_right_for_every_board);
    g_test_add_func("/vendor/vxpu_slices_are_equal", vxpu_slices_are_equal);
    g_test_add_func("/vendor/kunlun_scores_full_wings", kunlun_scores_full_wings);
    g_test_add_func("/vendor/classes_and_policies_are_kept_apart", classes_and_policies_are_kept_apart);
    g_test_add_func("/vendor/online_pods_spread_out", online_pods_spread_out);
    g_test_add_func("/vendor/whole_cards_come_from_one_zone", whole_cards_come_from_one_zone);
    g_test_add_func("/vendor/metax_scores_links_and_company", metax_scores_links_and_company);
    g_test_add_func("/vendor/neuron_devices_and_cores_are_found", neuron_devices_and_cores_are_found);
    g_test_add_func("/vendor/neuron_windows_keep_to_the_candidates", neuron_windows_keep_to_the_candidates);
    g_test_add_func("/vendor/containers_share_one_card", containers_share_one_card);
    return g_test_run();
}
