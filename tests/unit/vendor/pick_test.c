/* SPDX-License-Identifier: Apache-2.0
 *
 * The families' hooks against vectors derived from scheduler.md sections 6.4
 * and 12, vendors.md sections 3, 8 and 9; and what must hold for every input.
 */
#include <string.h>

#include "model/reason.h"
#include "scene.h"

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
