/* SPDX-License-Identifier: Apache-2.0
 *
 * How full a card counts as, and what weights make of it: the figures of
 * scheduler.md sections 6.3 and 12 ("Ordering/score").
 */
#include "bench.h"

/* 6.3: slot (1 + used) / count + core (asked + used) / total + memory (asked + used) / total, each times its
 * weight. Of ten slots, 100 cores and 1000 MiB, with 10 MiB asked for, the three cards below have
 *     dev-0   0.6   0     0.11
 *     dev-1   0.2   0.6   0.11
 *     dev-2   0.2   0     0.51
 */
struct weight_row {
    const char *name;
    uint32_t slot, core, mem;
    enum card_policy policy;
    const char *want;
};

static const struct weight_row weight_rows[] = {
    {"all alike: 0.71, 0.91, 0.71", 1, 1, 1, CARD_BINPACK, "dev-1"},
    {"slots alone: 0.6, 0.2, 0.2", 1, 0, 0, CARD_BINPACK, "dev-0"},
    {"cores alone: 0, 0.6, 0", 0, 1, 0, CARD_BINPACK, "dev-1"},
    {"memory alone: 0.11, 0.11, 0.51", 0, 0, 1, CARD_BINPACK, "dev-2"},
    {"slots twice: 1.31, 1.11, 0.91", 2, 1, 1, CARD_BINPACK, "dev-0"},
    {"slots twice, spread", 2, 1, 1, CARD_SPREAD, "dev-2"},
    {"memory three times: 0.93, 1.13, 1.73", 1, 1, 3, CARD_BINPACK, "dev-2"},
    {"memory three times, spread", 1, 1, 3, CARD_SPREAD, "dev-0"},
    {"cores four times, slots twice: 1.31, 2.91, 0.91", 2, 4, 1, CARD_SPREAD, "dev-2"},
};

static void weights_shift_what_counts_as_full(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(weight_rows); i++) {
        const struct weight_row *row = &weight_rows[i];
        struct bench b = {0};
        struct pod_request r = ask("p", GPU, 1, 10, 0);
        add_card(&b, GPU, 1000, 0, 100, 0, 5);
        add_card(&b, GPU, 1000, 0, 100, 60, 1);
        add_card(&b, GPU, 1000, 0, 500, 0, 1);
        r.card_policy[0] = row->policy;
        r.weight_slot = row->slot;
        r.weight_core = row->core;
        r.weight_mem = row->mem;
        expect(row->name, &b, &r, row->want);
    }
}

/* ---- figures ---------------------------------------------------------------------- */

struct figure_row {
    const char *name;
    uint32_t cores, mib; /* the card's; ten slots */
    uint16_t used_slots;
    uint32_t used_cores, used_mib;
    uint32_t asked_mib, asked_percent, asked_cores; /* no memory: nothing of it */
    uint32_t slot, core, mem;                       /* weights */
    uint32_t yardstick_cores; /* used of the other card, so that its memory can make up the rest */
    double figure;
};

static const struct figure_row figure_rows[] = {
    {"TestComputeScore: 2 of 10, 1 of 4, 2048 of 8192 with the slot asked for", 4, 8192, 1, 1, 2048, 0, 0, 0,
     1, 1, 1, 10, 7.0},
    {"TestComputeScore: 3 of 10, 2 of 4, 3072 of 8192", 4, 8192, 2, 1, 2048, 1024, 0, 1, 1, 1, 1, 50, 11.75},
    {"TestComputeScore: 1 of 10, 2 of 10, a half", 10, 10000, 0, 0, 0, 0, 50, 2, 1, 1, 1, 10, 8.0},
    {"TestComputeScoreWithResourceWeights: gpu-a", 100, 100, 1, 90, 10, 0, 40, 0, 1, 1, 1, 90, 16},
    {"TestComputeScoreWithResourceWeights: gpu-b", 100, 100, 7, 10, 20, 0, 40, 0, 1, 1, 1, 90, 15},
    {"TestComputeScoreWithResourceWeights: gpu-a, memory 3", 100, 100, 1, 90, 10, 0, 40, 0, 1, 1, 3, 90, 26},
    {"TestComputeScoreWithResourceWeights: gpu-b, memory 3", 100, 100, 7, 10, 20, 0, 40, 0, 1, 1, 3, 90, 27},
    {"TestComputeScoreWithResourceWeights: gpu-a, core 3", 100, 100, 1, 90, 10, 0, 40, 0, 1, 3, 1, 90, 34},
    {"TestComputeScoreWithResourceWeights: gpu-b, core 3", 100, 100, 7, 10, 20, 0, 40, 0, 1, 3, 1, 30, 17},
};

/* A card of 1 000 000 MiB that is, by 6.3, as full as the figure says, and then a little more or less than
 * it. */
static void a_card_s_figure_is_the_contract_s(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(figure_rows); i++) {
        const struct figure_row *row = &figure_rows[i];
        struct bench b = {0};
        struct pod_request r = ask("p", GPU, 1, row->asked_mib, row->asked_cores);
        r.requests[0].mem_percent = row->asked_percent;
        r.requests[0].mem_none = row->asked_mib == 0 && row->asked_percent == 0;
        r.card_policy[0] = CARD_BINPACK;
        r.weight_slot = row->slot;
        r.weight_core = row->core;
        r.weight_mem = row->mem;
        double of_memory = (row->figure / 10 - row->slot / 10.0 -
                            row->core * (row->asked_cores + row->yardstick_cores) / 100.0) /
                           row->mem;
        double used = 1e6 * of_memory - (row->asked_percent ? 1e4 * row->asked_percent : row->asked_mib);
        add_card(&b, GPU, row->mib, 0, row->used_mib, row->used_cores, row->used_slots);
        b.cards[0].cores = row->cores;
        g_assert_cmpfloat(used, >=, 2);
        add_card(&b, GPU, 1000000, 0, (uint64_t)used + 2, row->yardstick_cores, 0);
        expect(row->name, &b, &r, "dev-1");
        b.use[1].mem_bytes = MIB((uint64_t)used - 2);
        expect(row->name, &b, &r, "dev-0");
    }
}

/* 6.3: 0 where a card has nothing of one measure, however full it is of the others. */
static void a_card_that_lacks_a_measure_counts_as_empty(void)
{
    static const struct {
        const char *name;
        uint32_t cores, mib;
        enum card_policy policy;
        const char *want;
    } rows[] = {
        {"no memory, binpack", 100, 0, CARD_BINPACK, "dev-1"},
        {"no memory, spread", 100, 0, CARD_SPREAD, "dev-0"},
        {"no cores, binpack", 0, 1000, CARD_BINPACK, "dev-1"},
        {"no cores, spread", 0, 1000, CARD_SPREAD, "dev-0"},
        {"all of them, binpack", 100, 1000, CARD_BINPACK, "dev-0"},
        {"all of them, spread", 100, 1000, CARD_SPREAD, "dev-1"},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        struct bench b = {0};
        struct pod_request r = ask("p", GPU, 1, 0, 0);
        r.requests[0].mem_none = true;
        r.card_policy[0] = rows[i].policy;
        add_card(&b, GPU, rows[i].mib, 0, rows[i].mib / 2, rows[i].cores / 2, 5);
        b.cards[0].cores = rows[i].cores;
        add_card(&b, GPU, 1000, 0, 0, 0, 0);
        expect(rows[i].name, &b, &r, rows[i].want);
    }
}

/* TestCalcScoreUsesPodDeviceScoringWeights and ...ForInitContainers: of 16 and 15 the first, of 26 and 27 the
 * second. */
static void weights_count_for_init_containers_too(void)
{
    static const enum slot_kind kinds[] = {SLOT_APP, SLOT_INIT};
    for (size_t i = 0; i < G_N_ELEMENTS(kinds); i++) {
        struct bench b = {0};
        struct pod_request r = ask("p", GPU, 1, 0, 0);
        r.n_slots = 2; /* the second asks for nothing */
        r.slot_kind[0] = (uint8_t)kinds[i];
        r.slot_kind[1] = SLOT_APP;
        r.requests[0].mem_percent = 40;
        r.card_policy[0] = CARD_BINPACK;
        add_card(&b, GPU, 100, 0, 10, 90, 1);
        add_card(&b, GPU, 100, 0, 20, 10, 7);
        expect("all alike", &b, &r, "dev-0");
        r.weight_mem = 3;
        expect("memory three times", &b, &r, "dev-1");
    }
}

/* What the pod takes itself counts, of slots and cores as well. */
static void the_request_counts_in_each_measure(void)
{
    struct bench b = {0};
    struct pod_request r = ask("p", GPU, 1, 10, 20);
    add_card(&b, GPU, 1000, 0, 0, 30, 3);
    add_card(&b, GPU, 1000, 0, 0, 10, 1);
    b.cards[1].slots = 4;
    b.cards[1].cores = 50;
    r.card_policy[0] = CARD_BINPACK;
    r.weight_core = r.weight_mem = 0;
    expect("slots: (1 + 3) / 10 and (1 + 1) / 4, not 3 / 10 and 1 / 4", &b, &r, "dev-1");
    r.weight_slot = 0;
    r.weight_core = 1;
    expect("cores: (20 + 30) / 100 and (20 + 10) / 50, not 30 / 100 and 10 / 50", &b, &r, "dev-1");
    b.use[0].slots = 4;
    r.weight_slot = 1;
    r.weight_core = 0;
    expect("slots: equal, and the higher index", &b, &r, "dev-1");
    b.use[0].slots = 5;
    expect("slots: 0.6 and 0.5", &b, &r, "dev-0");
}

/* B13: 100 MiB make a card of 1000 fuller than one of 10000, whatever they are called. */
static void the_request_counts_for_how_full_a_card_gets(void)
{
    struct bench b = {0};
    struct pod_request r = ask("p", GPU, 1, 100, 0);
    add_card(&b, GPU, 1000, 0, 0, 0, 0);
    add_card(&b, GPU, 10000, 0, 0, 0, 0);
    r.card_policy[0] = CARD_BINPACK;
    expect("binpack", &b, &r, "dev-0");
    r.card_policy[0] = CARD_SPREAD;
    expect("spread", &b, &r, "dev-1");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/card-score/weights_shift_what_counts_as_full", weights_shift_what_counts_as_full);
    g_test_add_func("/card-score/a_card_s_figure_is_the_contract_s", a_card_s_figure_is_the_contract_s);
    g_test_add_func("/card-score/a_card_that_lacks_a_measure_counts_as_empty",
                    a_card_that_lacks_a_measure_counts_as_empty);
    g_test_add_func("/card-score/weights_count_for_init_containers_too",
                    weights_count_for_init_containers_too);
    g_test_add_func("/card-score/the_request_counts_in_each_measure", the_request_counts_in_each_measure);
    g_test_add_func("/card-score/the_request_counts_for_how_full_a_card_gets",
                    the_request_counts_for_how_full_a_card_gets);
    return g_test_run();
}
