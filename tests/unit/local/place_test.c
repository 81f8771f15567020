/* SPDX-License-Identifier: Apache-2.0
 *
 * Feasibility, policies, explanations; and the properties that must hold for
 * every request on every machine.
 */
#include <glib.h>
#include <stdlib.h>
#include <string.h>

#include "local/why.h"

#define G(n) ((uint64_t)(n) << 30)

static struct machine *machine(uint32_t n)
{
    struct machine *set = g_new0(struct machine, 1);
    set->n = n;
    for (uint32_t i = 0; i < n; i++) {
        g_snprintf(set->text[i].uuid, sizeof set->text[i].uuid, "GPU-%u", i);
        g_strlcpy(set->text[i].type, "NVIDIA A100", sizeof set->text[i].type);
        set->cards[i] = (struct card){.uuid = set->text[i].uuid,
                                      .type = set->text[i].type,
                                      .group = (int32_t)i,
                                      .index = (uint16_t)i,
                                      .mem_bytes = G(40),
                                      .cores = 100,
                                      .slots = 10,
                                      .numa = (int16_t)(i / 2),
                                      .healthy = true};
    }
    return set;
}

static struct request ask(uint64_t mem, uint32_t cores)
{
    return (struct request){.n_devices = 1, .mem = {.bytes = mem}, .cores_pct = cores};
}

/* ---- feasibility ------------------------------------------------------- */

struct fit_row {
    const char *name;
    struct card_use use;
    uint64_t mem;
    uint32_t cores;
    bool exclusive, sick, cordoned;
    const char *types, *uuids;
    enum sched_reason want;
};

static const struct fit_row fit_rows[] = {
    {.name = "an empty card takes it", .mem = G(40), .cores = 100, .want = SCHED_FITS},
    {.name = "one byte short",
     .use = {.mem_bytes = G(32) + 1, .slots = 1},
     .mem = G(8),
     .want = SCHED_MEMORY},
    {.name = "to the byte", .use = {.mem_bytes = G(32), .slots = 1}, .mem = G(8), .want = SCHED_FITS},
    {.name = "one percent short",
     .use = {.cores = 71, .slots = 1},
     .mem = 1,
     .cores = 30,
     .want = SCHED_CORES},
    {.name = "to the percent", .use = {.cores = 70, .slots = 1}, .mem = 1, .cores = 30, .want = SCHED_FITS},
    {.name = "all cores given, none asked",
     .use = {.cores = 100, .slots = 2},
     .mem = 1,
     .want = SCHED_CORES_EXHAUSTED},
    {.name = "the eleventh slice", .use = {.slots = 10}, .mem = 1, .want = SCHED_SLICES},
    {.name = "exclusive beside somebody",
     .use = {.slots = 1},
     .mem = 1,
     .exclusive = true,
     .want = SCHED_EXCLUSIVE},
    {.name = "beside somebody exclusive",
     .use = {.slots = 1, .exclusive = 1},
     .mem = 1,
     .want = SCHED_EXCLUSIVE},
    {.name = "100 % beside somebody", .use = {.slots = 1}, .mem = 1, .cores = 100, .want = SCHED_EXCLUSIVE},
    {.name = "a sick card", .mem = 1, .sick = true, .want = SCHED_UNHEALTHY},
    {.name = "a cordoned card", .mem = 1, .cordoned = true, .want = SCHED_CORDONED},
    {.name = "another type", .mem = 1, .types = "H100", .want = SCHED_TYPE},
    {.name = "another uuid", .mem = 1, .uuids = "GPU-7", .want = SCHED_UUID},
    {.name = "more than the card has", .mem = G(200), .want = SCHED_MEMORY},
    {.name = "use above the total does not wrap",
     .use = {.mem_bytes = G(50), .slots = 1},
     .mem = 1,
     .want = SCHED_MEMORY},
};

static void test_fit(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(fit_rows); i++) {
        const struct fit_row *row = &fit_rows[i];
        g_autofree struct machine *set = machine(1);
        struct request r = ask(row->mem, row->cores);
        enum sched_reason all[MACHINE_CARDS];
        r.exclusive = row->exclusive;
        r.use_types = row->types;
        r.use_uuids = row->uuids;
        set->cards[0].healthy = !row->sick;
        set->cards[0].cordoned = row->cordoned;
        set->use[0] = row->use;
        g_test_message("%s", row->name);
        place_reasons(set, &r, all);
        g_assert_cmpint(all[0], ==, row->want);
    }
}

static void test_overcommit(void)
{
    g_autofree struct machine *set = machine(1);
    struct request r = ask(G(40), 100);
    struct request_grant g;
    set->cards[0].mem_bytes = G(80);
    set->cards[0].cores = 200;
    for (int i = 0; i < 2; i++) {
        g_assert_cmpint(place_choose(set, &r, &g), ==, SCHED_FITS);
        g_assert_true(place_add(set, &g));
    }
    g_assert_cmpint(place_choose(set, &r, &g), ==, SCHED_MEMORY);
}

/* ---- policies ---------------------------------------------------------- */

static uint32_t chosen(struct machine *set, enum request_policy policy)
{
    struct request r = ask(G(1), 10);
    struct request_grant g;
    r.policy = policy;
    g_assert_cmpint(place_choose(set, &r, &g), ==, SCHED_FITS);
    return g.shares[0].device;
}

static void test_binpack_and_spread(void)
{
    g_autofree struct machine *set = machine(3);
    set->use[1] = (struct card_use){.mem_bytes = G(10), .cores = 20, .slots = 1};
    set->use[0] = (struct card_use){.mem_bytes = G(2), .cores = 5, .slots = 1};
    g_assert_cmpuint(chosen(set, REQUEST_BINPACK), ==, 1);
    g_assert_cmpuint(chosen(set, REQUEST_SPREAD), ==, 2);
}

static void test_distinct_cards(void)
{
    g_autofree struct machine *set = machine(4);
    struct request r = ask(G(1), 10);
    struct request_grant g;
    set->cards[1].group = 0; /* two slices of one MIG card */
    set->cards[2].group = 0;
    r.n_devices = 2;
    g_assert_cmpint(place_choose(set, &r, &g), ==, SCHED_FITS);
    g_assert_cmpint(set->cards[g.shares[0].device].group, !=, set->cards[g.shares[1].device].group);
    r.n_devices = 3;
    g_assert_cmpint(place_choose(set, &r, &g), ==, SCHED_NO_CARDS);
    g = (struct request_grant){.n = 2, .shares = {{0, 1, 1}, {1, 1, 1}}};
    g_assert_false(place_add(set, &g));
}

static void test_numa(void)
{
    g_autofree struct machine *set = machine(6);
    struct request r = ask(G(20), 10);
    struct request_grant g;
    r.n_devices = 2;
    r.policy = REQUEST_NUMA;
    set->use[0] = set->use[2] = (struct card_use){.mem_bytes = G(39), .slots = 1};
    g_assert_cmpint(place_choose(set, &r, &g), ==, SCHED_FITS);
    g_assert_cmpint(set->cards[g.shares[0].device].numa, ==, 2);
    g_assert_cmpint(set->cards[g.shares[1].device].numa, ==, 2);
    set->use[4] = set->use[0];
    g_assert_cmpint(place_choose(set, &r, &g), ==, SCHED_NUMA);
}

static void test_topology(void)
{
    g_autofree struct machine *set = machine(4);
    struct request r = ask(G(1), 10);
    struct request_grant g;
    for (uint32_t i = 0; i < 4; i++)
        for (uint32_t j = 0; j < 4; j++)
            set->pair_score[i][j] = i == j ? 0 : i / 2 == j / 2 ? 410 : 10;
    set->pair_score[2][3] = set->pair_score[3][2] = 1200;
    r.policy = REQUEST_TOPOLOGY;
    r.n_devices = 2;
    g_assert_cmpint(place_choose(set, &r, &g), ==, SCHED_FITS);
    g_assert_cmpuint(g.shares[0].device + g.shares[1].device, ==, 5);
    /* One card: the one whose links nobody will miss. */
    r.n_devices = 1;
    g_assert_cmpint(place_choose(set, &r, &g), ==, SCHED_FITS);
    g_assert_cmpuint(g.shares[0].device, <, 2);
}

static void test_pair_scores(void)
{
    g_assert_cmpuint(machine_pair_score(0, 0), ==, 60);
    g_assert_cmpuint(machine_pair_score(10, 0), ==, 50);
    g_assert_cmpuint(machine_pair_score(50, 0), ==, 10);
    g_assert_cmpuint(machine_pair_score(50, 4), ==, 410);
    g_assert_cmpuint(machine_pair_score(200, 99), ==, 1800);
}

/* ---- explanations ------------------------------------------------------ */

static void test_explain(void)
{
    g_autofree struct machine *set = machine(2);
    g_autofree struct why *why = g_new0(struct why, 1);
    struct request r = ask(G(200), 0);
    why_find(set, &r, why);
    g_assert_cmpint(why->reason, ==, SCHED_MEMORY);
    g_assert_cmpint(why->kind, ==, WHY_CHANGE_MEM);
    g_assert_cmpuint(why->mem_bytes, ==, G(40));
    r = ask(G(1), 50);
    set->use[0] = set->use[1] = (struct card_use){.mem_bytes = G(1), .cores = 80, .slots = 1};
    why_find(set, &r, why);
    g_assert_cmpint(why->kind, ==, WHY_CHANGE_CORES);
    g_assert_cmpuint(why->cores_pct, ==, 20);
    r = ask(G(1), 10);
    r.n_devices = 5;
    why_find(set, &r, why);
    g_assert_cmpint(why->kind, ==, WHY_CHANGE_COUNT);
    g_assert_cmpuint(why->n_devices, ==, 2);
    for (int i = 0; i < SCHED_REASONS; i++)
        g_assert_cmpuint(strlen(sched_reason_words((enum sched_reason)i)->code), >, 3);
}

/* ---- properties -------------------------------------------------------- */

struct world {
    struct machine *set;
    GArray *grants;
    GRand *rand;
};

static void check_sums(struct world *w)
{
    static struct card_use sum[MACHINE_CARDS];
    memset(sum, 0, sizeof sum);
    for (guint i = 0; i < w->grants->len; i++) {
        struct request_grant *g = &g_array_index(w->grants, struct request_grant, i);
        for (uint32_t k = 0; k < g->n; k++) {
            sum[g->shares[k].device].mem_bytes += g->shares[k].mem_bytes;
            sum[g->shares[k].device].cores += g->shares[k].cores_pct;
            sum[g->shares[k].device].slots++;
            sum[g->shares[k].device].exclusive += g->exclusive;
        }
    }
    for (uint32_t d = 0; d < w->set->n; d++) {
        const struct card *device = &w->set->cards[d];
        const struct card_use *use = &w->set->use[d];
        g_assert_cmpuint(use->mem_bytes, ==, sum[d].mem_bytes);
        g_assert_cmpuint(use->cores, ==, sum[d].cores);
        g_assert_cmpuint(use->slots, ==, sum[d].slots);
        g_assert_cmpint(use->exclusive, ==, sum[d].exclusive);
        g_assert_cmpuint(use->mem_bytes, <=, device->mem_bytes);
        g_assert_cmpuint(use->slots, <=, device->slots);
        g_assert_cmpuint(use->cores, <=, device->cores);
        g_assert_true(!use->exclusive || use->slots == 1);
    }
}

static void random_request(struct world *w, struct request *r)
{
    *r = (struct request){.n_devices = (uint32_t)g_rand_int_range(w->rand, 1, 5),
                          .cores_pct = (uint32_t)g_rand_int_range(w->rand, 0, 60),
                          .policy = (enum request_policy)g_rand_int_range(w->rand, 0, REQUEST_POLICIES),
                          .exclusive = g_rand_int_range(w->rand, 0, 20) == 0};
    if (g_rand_boolean(w->rand))
        r->mem.percent = (uint32_t)g_rand_int_range(w->rand, 1, 101);
    else
        r->mem.bytes = (uint64_t)g_rand_int(w->rand) * (uint64_t)g_rand_int_range(w->rand, 1, 20) + 1;
}

static void one_operation(struct world *w)
{
    if (w->grants->len && g_rand_int_range(w->rand, 0, 100) < 48) {
        guint i = (guint)g_rand_int_range(w->rand, 0, (gint32)w->grants->len);
        g_assert_true(place_remove(w->set, &g_array_index(w->grants, struct request_grant, i)));
        g_array_remove_index_fast(w->grants, i);
        return;
    }
    struct request r;
    struct request_grant g;
    random_request(w, &r);
    if (place_choose(w->set, &r, &g) != SCHED_FITS)
        return;
    /* What is chosen can be added: the two rules agree. */
    g_assert_true(place_add(w->set, &g));
    g_array_append_val(w->grants, g);
}

static void test_random_operations(void)
{
    const char *named = g_getenv("HAMI_TEST_SEED");
    guint32 seed = named ? (guint32)strtoul(named, NULL, 0) : g_random_int();
    struct world w = {.set = machine(8),
                      .grants = g_array_new(FALSE, FALSE, sizeof(struct request_grant)),
                      .rand = g_rand_new_with_seed(seed)};
    unsigned n = g_test_thorough() ? 1000000 : 100000;
    g_test_message("HAMI_TEST_SEED=%u", seed);
    for (uint32_t i = 0; i < w.set->n; i++) {
        w.set->cards[i].mem_bytes = G(g_rand_int_range(w.rand, 1, 141));
        w.set->cards[i].cores = i == 6 ? 150 : 100;
        w.set->cards[i].group = i == 1 ? 0 : (int32_t)i;
        for (uint32_t j = 0; j < w.set->n; j++)
            w.set->pair_score[i][j] = (uint16_t)g_rand_int_range(w.rand, 0, 1800);
    }
    for (unsigned i = 0; i < n; i++) {
        one_operation(&w);
        if (i % 64 == 0)
            check_sums(&w);
    }
    while (w.grants->len) {
        g_assert_true(place_remove(w.set, &g_array_index(w.grants, struct request_grant, w.grants->len - 1)));
        g_array_set_size(w.grants, w.grants->len - 1);
    }
    check_sums(&w);
    g_array_unref(w.grants);
    g_rand_free(w.rand);
    g_free(w.set);
}

/* Whatever is proposed does fit. */
static void test_proposals_fit(void)
{
    const char *named = g_getenv("HAMI_TEST_SEED");
    guint32 seed = named ? (guint32)strtoul(named, NULL, 0) : g_random_int();
    struct world w = {.set = machine(4),
                      .grants = g_array_new(FALSE, FALSE, sizeof(struct request_grant)),
                      .rand = g_rand_new_with_seed(seed)};
    g_autofree struct why *why = g_new0(struct why, 1);
    g_test_message("HAMI_TEST_SEED=%u", seed);
    for (int i = 0; i < 3000; i++) {
        struct request r;
        struct request_grant g;
        one_operation(&w);
        random_request(&w, &r);
        why_find(w.set, &r, why);
        if (why->reason == SCHED_FITS)
            continue;
        if (why->kind == WHY_CHANGE_MEM || why->kind == WHY_CHANGE_MEM_AND_CORES)
            r.mem = (struct quantity_mem){.bytes = why->mem_bytes};
        if (why->kind == WHY_CHANGE_CORES || why->kind == WHY_CHANGE_MEM_AND_CORES)
            r.cores_pct = why->cores_pct;
        if (why->kind == WHY_CHANGE_COUNT)
            r.n_devices = why->n_devices;
        if (why->kind == WHY_CHANGE_SHARED)
            r.exclusive = false;
        if (why->kind == WHY_CHANGE_POLICY)
            r.policy = REQUEST_BINPACK;
        if (why->kind != WHY_CHANGE_NONE)
            g_assert_cmpint(place_choose(w.set, &r, &g), ==, SCHED_FITS);
    }
    g_array_unref(w.grants);
    g_rand_free(w.rand);
    g_free(w.set);
}

/* Cards that are out of the question, and what is said of the machine. */
static void test_headline(void)
{
    static const struct {
        const char *name, *types;
        bool cordoned[3], full[3];
        enum sched_reason want;
    } rows[] = {
        {"two are cordoned, the third is full",
         NULL,
         {true, true, false},
         {false, false, true},
         SCHED_MEMORY},
        {"all are cordoned", NULL, {true, true, true}, {false, false, true}, SCHED_CORDONED},
        {"two are of other types, the third is full", "H100", {0}, {false, false, true}, SCHED_MEMORY},
        {"none is of that type", "V100", {0}, {false, false, true}, SCHED_TYPE},
        {"two are full", NULL, {true, false, false}, {false, true, true}, SCHED_MEMORY},
    };
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree struct machine *set = machine(3);
        struct request r = ask(G(8), 0);
        struct request_grant g;
        r.use_types = rows[i].types;
        g_strlcpy(set->text[2].type, "NVIDIA H100", sizeof set->text[2].type);
        for (uint32_t c = 0; c < 3; c++) {
            set->cards[c].cordoned = rows[i].cordoned[c];
            if (rows[i].full[c])
                set->use[c] = (struct card_use){.mem_bytes = G(39), .slots = 1};
        }
        g_test_message("%s", rows[i].name);
        g_assert_cmpint(place_choose(set, &r, &g), ==, rows[i].want);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/place/each_reason_at_its_border", test_fit);
    g_test_add_func("/place/a_refusal_speaks_of_cards_that_could_do", test_headline);
    g_test_add_func("/place/overcommit_ratios_widen_a_card", test_overcommit);
    g_test_add_func("/place/binpack_fills_and_spread_empties", test_binpack_and_spread);
    g_test_add_func("/place/shares_lie_on_distinct_physical_cards", test_distinct_cards);
    g_test_add_func("/place/numa_keeps_all_cards_on_one_node", test_numa);
    g_test_add_func("/place/topology_takes_the_nearest_set", test_topology);
    g_test_add_func("/place/pair_scores_are_the_fields_figures", test_pair_scores);
    g_test_add_func("/place/a_refusal_names_the_smallest_change", test_explain);
    g_test_add_func("/place/random_operations_never_overcommit", test_random_operations);
    g_test_add_func("/place/what_is_proposed_fits", test_proposals_fit);
    return g_test_run();
}
