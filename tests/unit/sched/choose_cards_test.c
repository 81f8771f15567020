/* SPDX-License-Identifier: Apache-2.0
 *
 * Which cards of a node a request gets, and the field's words for why not:
 * the cases of scheduler.md section 12 ("Device fit", "Ordering/score") and the
 * vectors of vendors.md section 9, with product names as real cards have them.
 */
#include "bench.h"

/* ---- feasibility ------------------------------------------------------------------ */

struct fit_row {
    const char *name;
    uint64_t total, used_mib;
    uint32_t total_cores; /* 0 = 100 */
    uint32_t used_cores;
    uint16_t used_slots;
    uint32_t n_cards; /* asked for */
    uint64_t mib;
    uint32_t percent, cores;
    const char *use_types, *not_types, *use_uuids, *not_uuids;
    bool sick, cordoned, mutex, exclusive;
    uint8_t modes;
    const char *want;
};

static const struct fit_row fit_rows[] = {
    {.name = "an idle card", .total = 8000, .mib = 8000, .want = "dev-0"},
    {.name = "memory", .total = 128, .mib = 512, .want = "1/1 CardInsufficientMemory"},
    {.name = "one MiB short",
     .total = 1000,
     .used_mib = 501,
     .used_slots = 1,
     .mib = 500,
     .want = "1/1 CardInsufficientMemory"},
    {.name = "to the MiB", .total = 1000, .used_mib = 500, .used_slots = 1, .mib = 500, .want = "dev-0"},
    {.name = "cores",
     .total = 1000,
     .used_cores = 100,
     .used_slots = 1,
     .mib = 1,
     .cores = 50,
     .want = "1/1 CardInsufficientCore"},
    {.name = "a type that is not wanted",
     .total = 1000,
     .mib = 1,
     .use_types = "H100,A100",
     .want = "1/1 CardTypeMismatch"},
    {.name = "a type that is refused",
     .total = 1000,
     .mib = 1,
     .use_types = "V100",
     .not_types = "tesla",
     .want = "1/1 CardTypeMismatch"},
    {.name = "a part of the type, trimmed, whatever the case",
     .total = 1000,
     .mib = 1,
     .use_types = ", A100 , tesla v100 ,",
     .want = "dev-0"},
    {.name = "a blank list", .total = 1000, .mib = 1, .use_types = " , ", .use_uuids = " ", .want = "dev-0"},
    {.name = "another UUID is wanted",
     .total = 1000,
     .mib = 1,
     .use_uuids = "dev-1",
     .want = "1/1 CardUuidMismatch"},
    {.name = "UUIDs match exactly",
     .total = 1000,
     .mib = 1,
     .use_uuids = "dev-00,dev-",
     .want = "1/1 CardUuidMismatch"},
    {.name = "the UUID is refused",
     .total = 1000,
     .mib = 1,
     .use_uuids = "dev-0",
     .not_uuids = "x, dev-0",
     .want = "1/1 CardUuidMismatch"},
    {.name = "all slots are taken",
     .total = 1000,
     .used_slots = 10,
     .mib = 1,
     .want = "1/1 CardTimeSlicingExhausted"},
    {.name = "more than 100 cores are 100", .total = 1000, .mib = 1, .cores = 120, .want = "dev-0"},
    {.name = "a whole share in company",
     .total = 1000,
     .used_slots = 1,
     .mib = 1,
     .cores = 100,
     .want = "1/1 ExclusiveDeviceAllocateConflict"},
    {.name = "no cores asked of a card that gave all",
     .total = 1000,
     .used_cores = 100,
     .used_slots = 1,
     .mib = 1,
     .want = "1/1 CardComputeUnitsExhausted"},
    {.name = "more cards than there are",
     .total = 1000,
     .mib = 1,
     .n_cards = 2,
     .want = "NodeInsufficientDevice"},
    {.name = "ten percent", .total = 1000, .used_mib = 900, .used_slots = 1, .percent = 10, .want = "dev-0"},
    {.name = "percents are whole MiB",
     .total = 1009,
     .used_mib = 909,
     .used_slots = 1,
     .percent = 10,
     .want = "dev-0"},
    {.name = "no amount is the whole card",
     .total = 11264,
     .used_mib = 4,
     .used_slots = 1,
     .want = "1/1 CardInsufficientMemory"},
    {.name = "a fault", .total = 1000, .mib = 1, .sick = true, .want = "1/1 CardNotHealth"},
    {.name = "out of service", .total = 1000, .mib = 1, .cordoned = true, .want = "1/1 CardCordoned"},
    {.name = "a fault is said first",
     .total = 1,
     .mib = 2,
     .sick = true,
     .cordoned = true,
     .not_types = "v100",
     .want = "1/1 CardNotHealth"},
    {.name = "mutex beside somebody",
     .total = 1000,
     .used_slots = 1,
     .mib = 1,
     .mutex = true,
     .want = "1/1 ExclusiveDeviceAllocateConflict"},
    {.name = "mutex alone", .total = 1000, .mib = 1, .mutex = true, .want = "dev-0"},
    {.name = "exclusive beside somebody",
     .total = 1000,
     .used_slots = 1,
     .mib = 1,
     .exclusive = true,
     .want = "1/1 ExclusiveDeviceAllocateConflict"},
    {.name = "the mode that the card is in",
     .total = 1000,
     .mib = 1,
     .modes = 1 << CARD_HAMI_CORE | 1 << CARD_MPS,
     .want = "dev-0"},
    {.name = "6.4 step 13: two cards' worth of cores is not one card",
     .total = 1000,
     .total_cores = 200,
     .used_slots = 1,
     .mib = 1,
     .cores = 100,
     .want = "dev-0"},
    {.name = "6.4 step 12: overcommitted cores end as well",
     .total = 1000,
     .total_cores = 200,
     .used_cores = 101,
     .used_slots = 1,
     .mib = 1,
     .cores = 100,
     .want = "1/1 CardInsufficientCore"},
    {.name = "6.4 step 14: a card without cores is never used up",
     .total = 1000,
     .total_cores = UINT32_MAX, /* none */
     .used_slots = 1,
     .mib = 1,
     .want = "dev-0"},
    {.name = "6.4 the type is said before the UUID",
     .total = 1000,
     .mib = 1,
     .use_types = "A100",
     .use_uuids = "dev-9",
     .want = "1/1 CardTypeMismatch"},
    {.name = "6.4 the UUID before the slots",
     .total = 1000,
     .used_slots = 10,
     .mib = 1,
     .use_uuids = "dev-9",
     .want = "1/1 CardUuidMismatch"},
    {.name = "6.4 the slots before mutex",
     .total = 1000,
     .used_slots = 10,
     .mib = 1,
     .mutex = true,
     .want = "1/1 CardTimeSlicingExhausted"},
    {.name = "6.4 mutex before the memory",
     .total = 1000,
     .used_slots = 1,
     .mib = 2000,
     .mutex = true,
     .want = "1/1 ExclusiveDeviceAllocateConflict"},
    {.name = "6.4 the memory before the cores",
     .total = 1000,
     .used_cores = 100,
     .used_slots = 1,
     .mib = 2000,
     .cores = 50,
     .want = "1/1 CardInsufficientMemory"},
    {.name = "another mode", .total = 1000, .mib = 1, .modes = 1 << CARD_MIG, .want = "1/1 CardTypeMismatch"},
};

static void one_card_takes_or_says_why_not(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(fit_rows); i++) {
        const struct fit_row *row = &fit_rows[i];
        struct bench b = {0};
        struct pod_request r = ask("p", GPU, row->n_cards ? row->n_cards : 1, row->mib, row->cores);
        add_card(&b, GPU, row->total, 0, row->used_mib, row->used_cores, row->used_slots);
        b.cards[0].healthy = !row->sick;
        b.cards[0].cordoned = row->cordoned;
        if (row->total_cores)
            b.cards[0].cores = row->total_cores == UINT32_MAX ? 0 : row->total_cores;
        r.requests[0].mem_percent = row->percent;
        r.requests[0].exclusive = row->exclusive;
        r.mutex = row->mutex;
        r.modes = row->modes;
        r.n_selections = 1;
        r.selections[0] = (struct pod_selection){.family = GPU,
                                                 .use_types = row->use_types,
                                                 .not_types = row->not_types,
                                                 .use_uuids = {row->use_uuids},
                                                 .not_uuids = {row->not_uuids}};
        expect(row->name, &b, &r, row->want);
    }
}

static void modes_are_words_and_only_of_families_that_have_them(void)
{
    struct bench b = {0}, other = {0};
    struct pod_request r = ask("p", GPU, 1, 1, 0);
    add_card(&b, GPU, 1000, 0, 0, 0, 0);
    b.cards[0].mode = CARD_MODE_NONE; /* B15: nothing is not a part of every word */
    r.modes = 1 << CARD_HAMI_CORE;
    expect("a card without a mode", &b, &r, "1/1 CardTypeMismatch");
    add_card(&other, MLU, 1000, 0, 0, 0, 0);
    other.cards[0].mode = CARD_MODE_NONE;
    r.requests[0].family = MLU;
    expect("another family", &other, &r, "dev-0");
}

static void both_uuid_annotations_of_a_family_count(void)
{
    struct bench b = {0};
    struct pod_request r = ask("p", GPU, 1, 1, 0);
    for (int i = 0; i < 3; i++)
        add_card(&b, GPU, 1000, 0, 0, 0, 0);
    r.n_selections = 1;
    r.selections[0] = (struct pod_selection){.family = GPU, .use_uuids = {"dev-0,dev-1", "dev-1,dev-2"}};
    expect("in both", &b, &r, "dev-1");
}

static void reasons_are_counted_and_sorted(void)
{
    struct bench b = {0};
    struct pod_request r = ask("p", GPU, 2, 500, 0);
    add_card(&b, GPU, 100, 0, 0, 0, 0);
    add_card(&b, GPU, 1000, 0, 0, 0, 0);
    add_card(&b, GPU, 1000, 0, 0, 0, 0);
    add_card(&b, GPU, 1000, 0, 0, 0, 10);
    b.cards[2].healthy = false;
    expect("four cards", &b, &r,
           "1/4 AllocatedCardsInsufficientRequest, 1/4 CardInsufficientMemory, 1/4 CardNotHealth, "
           "1/4 CardTimeSlicingExhausted");
    r.requests[0].family = NPU;
    expect("no such family", &b, &r, "NodeInsufficientDevice");
    b.node.n_cards = 0;
    expect("no cards at all", &b, &r, "NodeInsufficientDevice");
}

static void several_cards_are_different_ones(void)
{
    struct bench b = {0};
    struct pod_request r = ask("p", GPU, 2, 100, 10);
    add_card(&b, GPU, 1000, 0, 0, 0, 0);
    add_card(&b, GPU, 1000, 0, 0, 0, 0);
    expect("two of two", &b, &r, "dev-1 dev-0");
    b.cards[0].healthy = false;
    expect("never two slices of one", &b, &r, "1/2 AllocatedCardsInsufficientRequest, 1/2 CardNotHealth");
}

/* ---- order ------------------------------------------------------------------------ */

struct order_row {
    const char *name;
    enum card_policy policy[CARD_POLICIES];
    uint8_t n;
    bool numa_bind;
    const char *want;
};

/* By fullness: dev-2, dev-1, dev-0 = dev-3. NUMA nodes: 0, 1, 0, 1. */
static const struct order_row order_rows[] = {
    {"binpack: the fullest, then the higher NUMA node", {CARD_BINPACK}, 1, false, "dev-2 dev-1 dev-3 dev-0"},
    {"spread: the emptiest, then the higher NUMA node", {CARD_SPREAD}, 1, false, "dev-3 dev-0 dev-1 dev-2"},
    {"numa: the higher node, then the higher index", {CARD_NUMA}, 1, false, "dev-3 dev-1 dev-2 dev-0"},
    {"numa, binpack", {CARD_NUMA, CARD_BINPACK}, 2, false, "dev-1 dev-3 dev-2 dev-0"},
    {"numa, spread", {CARD_NUMA, CARD_SPREAD}, 2, false, "dev-3 dev-1 dev-0 dev-2"},
    {"binpack, spread: the first decides, then the index",
     {CARD_BINPACK, CARD_SPREAD},
     2,
     false,
     "dev-2 dev-1 dev-3 dev-0"},
    {"binpack bound to a node: the lower node first", {CARD_BINPACK}, 1, true, "dev-2 dev-0 dev-1 dev-3"},
    {"spread bound to a node: the higher node first", {CARD_SPREAD}, 1, true, "dev-3 dev-1 dev-0 dev-2"},
    {"a list bound to a node: the higher node first",
     {CARD_BINPACK, CARD_SPREAD},
     2,
     true,
     "dev-1 dev-3 dev-2 dev-0"},
};

static void cards_are_taken_in_the_order_of_the_policy(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(order_rows); i++) {
        struct bench b = {0};
        struct pod_request r = ask("p", GPU, 4, 10, 0);
        add_card(&b, GPU, 1000, 0, 0, 0, 0);
        add_card(&b, GPU, 1000, 1, 200, 0, 1);
        add_card(&b, GPU, 1000, 0, 400, 0, 1);
        add_card(&b, GPU, 1000, 1, 0, 0, 0);
        memcpy(r.card_policy, order_rows[i].policy, sizeof r.card_policy);
        r.n_card_policy = order_rows[i].n;
        r.numa_bind = order_rows[i].numa_bind;
        expect(order_rows[i].name, &b, &r, order_rows[i].want);
    }
}

/* 6.3, TestDeviceUsageList_Less: mutex alone prefers the least used card, then the higher NUMA node, bound to
 * one or not; and 6.4.7 leaves only idle cards. */
static void alone_means_idle_cards_the_higher_node_first(void)
{
    static const struct {
        const char *name;
        uint32_t wanted;
        bool numa_bind;
        const char *want;
    } rows[] = {
        {"two idle ones", 2, false, "dev-3 dev-0"},
        {"one", 1, false, "dev-3"},
        {"bound to a node", 2, true, "dev-3 dev-0"},
        {"three", 3, false, "2/4 AllocatedCardsInsufficientRequest, 2/4 ExclusiveDeviceAllocateConflict"},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        struct bench b = {0};
        struct pod_request r = ask("p", GPU, rows[i].wanted, 10, 0);
        add_card(&b, GPU, 1000, 0, 0, 0, 0);
        add_card(&b, GPU, 1000, 1, 200, 0, 1);
        add_card(&b, GPU, 1000, 0, 400, 0, 1);
        add_card(&b, GPU, 1000, 1, 0, 0, 0);
        r.mutex = true;
        r.numa_bind = rows[i].numa_bind;
        expect(rows[i].name, &b, &r, rows[i].want);
    }
}

static void of_equal_cards_the_last_is_taken(void)
{
    struct bench b = {0};
    struct pod_request r = ask("p", GPU, 1, 10, 0);
    add_card(&b, GPU, 1000, 0, 0, 0, 0);
    add_card(&b, GPU, 1000, 0, 0, 0, 0);
    expect("two", &b, &r, "dev-1");
    b.cards[1].cordoned = true;
    expect("the last is cordoned", &b, &r, "dev-0");
    b.cards[0].cordoned = true;
    expect("both are", &b, &r, "2/2 CardCordoned");
}

/* ---- groups ----------------------------------------------------------------------- */

struct group_row {
    const char *name;
    uint16_t family;
    int n_cards, groups[CARDS];
    const char *busy; /* their numbers */
    uint32_t wanted;
    const char *want;
};

static const struct group_row group_rows[] = {
    {"networks: from the larger one", NPU, 6, {1, 1, 2, 2, 2, 1}, "0", 2, "dev-4 dev-3"},
    {"networks: filled up from the next", NPU, 5, {1, 1, 2, 2, 2}, "", 4, "dev-4 dev-3 dev-2 dev-1"},
    {"networks: equal ones in the order of the policy", NPU, 4, {1, 1, 2, 2}, "", 2, "dev-3 dev-2"},
    {"networks: not all are known", NPU, 5, {1, -1, 2, 2, 1}, "", 2, "dev-4 dev-3"},
    {"networks: one card is the first", NPU, 4, {1, 1, 1, 2}, "", 1, "dev-3"},
    {"modules: only where both dies are free", DIE, 8, {0}, "367", 4, "dev-4 dev-5 dev-0 dev-1"},
    {"modules: none has both dies free", DIE, 8, {0}, "1357", 2, "0/2 AllocatedCardsInsufficientRequest"},
};

static void groups_are_picked_by_the_family_s_rule(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(group_rows); i++) {
        const struct group_row *row = &group_rows[i];
        struct bench b = {0};
        struct pod_request r = ask("p", row->family, row->wanted, 100, 0);
        for (int k = 0; k < row->n_cards; k++) {
            add_card(&b, row->family, 1000, 0, 0, 0, 0);
            b.cards[k].group = row->groups[k];
        }
        for (const char *busy = row->busy; *busy; busy++)
            b.cards[*busy - '0'].healthy = false;
        expect(row->name, &b, &r, row->want);
    }
}

/* App. A: dies of one card are one card for a pod that wants to be alone. */
static void a_die_beside_a_used_one_is_not_alone(void)
{
    struct bench b = {0};
    struct pod_request r = ask("p", NPU, 1, 100, 0);
    for (int k = 0; k < 4; k++) {
        add_card(&b, NPU, 1000, 0, 0, 0, k == 0);
        b.cards[k].group = k / 2;
    }
    b.cards[2].healthy = b.cards[3].healthy = false;
    expect("whoever does not mind", &b, &r, "dev-1");
    r.mutex = true;
    expect("cards of their own", &b, &r, "dev-1");
    b.node.die_mode = true;
    expect("dies", &b, &r, "2/4 CardNotHealth, 2/4 ExclusiveDeviceAllocateConflict");
    b.cards[2].healthy = true;
    expect("another card's die", &b, &r, "dev-2");
}

static void windows_are_consecutive_and_idle(void)
{
    struct bench b = {0};
    struct pod_request r = ask("p", CORE, 2, 0, 0);
    r.requests[0].whole = r.requests[0].mem_none = true;
    for (int k = 0; k < 8; k++) {
        add_card(&b, CORE, 0, 0, 0, 0, 0);
        b.cards[k].cores = 3;
    }
    expect("two are no window", &b, &r, "0/2 AllocatedCardsInsufficientRequest");
    b.use[0] = (struct card_use){.cores = 1, .slots = 1};
    b.node.contiguous_anywhere = true;
    expect("two anywhere", &b, &r, "dev-1 dev-2");
    b.node.contiguous_anywhere = false;
    r.requests[0].n_cards = 4;
    expect("four at a multiple of four", &b, &r, "dev-4 dev-5 dev-6 dev-7");
}

static void a_soft_slice_needs_a_node_that_cuts(void)
{
    struct bench b = {0};
    struct pod_request r = ask("p", NPU, 1, 100, 60);
    add_card(&b, NPU, 1000, 0, 0, 0, 0);
    b.cards[0].cores = 20; /* aiCores: soft slices count percent */
    r.soft = true;
    expect("it does not", &b, &r, "ModeNotFit");
    b.node.soft_slicing = true;
    expect("it does", &b, &r, "dev-0");
}

/* ---- containers -------------------------------------------------------------------- */

struct slot_row {
    const char *name;
    uint8_t kind[4];
    uint64_t mib[4];
    const char *want;
};

static const struct slot_row slot_rows[] = {
    /* one card of 1000 */
    {"apps add up", {SLOT_APP, SLOT_APP}, {600, 500}, "1/1 CardInsufficientMemory"},
    {"init containers come one by one",
     {SLOT_INIT, SLOT_INIT, SLOT_APP},
     {900, 1000, 800},
     "dev-0 dev-0 dev-0"},
    {"a sidecar stays (B24)", {SLOT_SIDECAR, SLOT_APP}, {600, 500}, "1/1 CardInsufficientMemory"},
    {"an init container beside a sidecar",
     {SLOT_SIDECAR, SLOT_INIT, SLOT_APP},
     {300, 800, 700},
     "1/1 CardInsufficientMemory"},
    {"an init container before a sidecar",
     {SLOT_INIT, SLOT_SIDECAR, SLOT_APP},
     {1000, 300, 700},
     "dev-0 dev-0 dev-0"},
};

static void containers_count_while_they_run(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(slot_rows); i++) {
        struct bench b = {0};
        struct pod_request r = ask("p", GPU, 1, 0, 0);
        add_card(&b, GPU, 1000, 0, 0, 0, 0);
        r.n_slots = r.n_requests = 0;
        for (; r.n_slots < 4 && slot_rows[i].mib[r.n_slots]; r.n_slots++, r.n_requests++) {
            r.slot_kind[r.n_slots] = slot_rows[i].kind[r.n_slots];
            r.requests[r.n_slots] = (struct card_request){.family = GPU,
                                                          .slot = r.n_slots,
                                                          .n_cards = 1,
                                                          .mem_bytes = MIB(slot_rows[i].mib[r.n_slots])};
        }
        expect(slot_rows[i].name, &b, &r, slot_rows[i].want);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/choose/one_card_takes_or_says_why_not", one_card_takes_or_says_why_not);
    g_test_add_func("/choose/modes_are_words_and_only_of_families_that_have_them",
                    modes_are_words_and_only_of_families_that_have_them);
    g_test_add_func("/choose/both_uuid_annotations_of_a_family_count",
                    both_uuid_annotations_of_a_family_count);
    g_test_add_func("/choose/reasons_are_counted_and_sorted", reasons_are_counted_and_sorted);
    g_test_add_func("/choose/several_cards_are_different_ones", several_cards_are_different_ones);
    g_test_add_func("/choose/cards_are_taken_in_the_order_of_the_policy",
                    cards_are_taken_in_the_order_of_the_policy);
    g_test_add_func("/choose/alone_means_idle_cards_the_higher_node_first",
                    alone_means_idle_cards_the_higher_node_first);
    g_test_add_func("/choose/of_equal_cards_the_last_is_taken", of_equal_cards_the_last_is_taken);
    g_test_add_func("/choose/groups_are_picked_by_the_family_s_rule", groups_are_picked_by_the_family_s_rule);
    g_test_add_func("/choose/a_die_beside_a_used_one_is_not_alone", a_die_beside_a_used_one_is_not_alone);
    g_test_add_func("/choose/windows_are_consecutive_and_idle", windows_are_consecutive_and_idle);
    g_test_add_func("/choose/a_soft_slice_needs_a_node_that_cuts", a_soft_slice_needs_a_node_that_cuts);
    g_test_add_func("/choose/containers_count_while_they_run", containers_count_while_they_run);
    return g_test_run();
}
