/* SPDX-License-Identifier: Apache-2.0
 *
 * Feasibility, policies, explanations; and the properties that must hold for
 * every request on every machine.
 */
#include <glib.h>
#include <stdlib.h>
#include <string.h>

#include "sched/choose.h"
#include "sched/explain.h"

#define G(n) ((uint64_t)(n) << 30)

static struct device_set *machine(uint32_t n)
{
    struct device_set *set = g_new0(struct device_set, 1);
    set->n = n;
    for (uint32_t i = 0; i < n; i++) {
        struct device *d = &set->devices[i];
        g_snprintf(d->uuid, sizeof d->uuid, "GPU-%u", i);
        g_strlcpy(d->type, "NVIDIA A100", sizeof d->type);
        d->card = d->index = i;
        d->mem_bytes = d->physical_bytes = G(40);
        d->cores_pct = 100;
        d->split_count = 10;
        d->numa_node = (int32_t)(i / 2);
        d->healthy = true;
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
    struct device_use use;
    uint64_t mem;
    uint32_t cores;
    bool exclusive, sick, cordoned;
    const char *types, *uuids;
    enum sched_reason want;
};

static const struct fit_row fit_rows[] = {
    {.name = "an empty card takes it", .mem = G(40), .cores = 100, .want = SCHED_FITS},
    {.name = "one byte short",
     .use = {.mem_bytes = G(32) + 1, .slices = 1},
     .mem = G(8),
     .want = SCHED_MEMORY},
    {.name = "to the byte", .use = {.mem_bytes = G(32), .slices = 1}, .mem = G(8), .want = SCHED_FITS},
    {.name = "one percent short",
     .use = {.cores_pct = 71, .slices = 1},
     .mem = 1,
     .cores = 30,
     .want = SCHED_CORES},
    {.name = "to the percent",
     .use = {.cores_pct = 70, .slices = 1},
     .mem = 1,
     .cores = 30,
     .want = SCHED_FITS},
    {.name = "all cores given, none asked",
     .use = {.cores_pct = 100, .slices = 2},
     .mem = 1,
     .want = SCHED_CORES_EXHAUSTED},
    {.name = "the eleventh slice", .use = {.slices = 10}, .mem = 1, .want = SCHED_SLICES},
    {.name = "exclusive beside somebody",
     .use = {.slices = 1},
     .mem = 1,
     .exclusive = true,
     .want = SCHED_EXCLUSIVE},
    {.name = "beside somebody exclusive",
     .use = {.slices = 1, .exclusive = true},
     .mem = 1,
     .want = SCHED_EXCLUSIVE},
    {.name = "100 % beside somebody", .use = {.slices = 1}, .mem = 1, .cores = 100, .want = SCHED_EXCLUSIVE},
    {.name = "a sick card", .mem = 1, .sick = true, .want = SCHED_UNHEALTHY},
    {.name = "a cordoned card", .mem = 1, .cordoned = true, .want = SCHED_CORDONED},
    {.name = "another type", .mem = 1, .types = "H100", .want = SCHED_TYPE},
    {.name = "another uuid", .mem = 1, .uuids = "GPU-7", .want = SCHED_UUID},
    {.name = "more than the card has", .mem = G(200), .want = SCHED_MEMORY},
    {.name = "use above the total does not wrap",
     .use = {.mem_bytes = G(50), .slices = 1},
     .mem = 1,
     .want = SCHED_MEMORY},
};

static void test_fit(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(fit_rows); i++) {
        const struct fit_row *row = &fit_rows[i];
        g_autofree struct device_set *set = machine(1);
        struct request r = ask(row->mem, row->cores);
        r.exclusive = row->exclusive;
        r.use_types = row->types;
        r.use_uuids = row->uuids;
        set->devices[0].healthy = !row->sick;
        set->devices[0].cordoned = row->cordoned;
        g_test_message("%s", row->name);
        g_assert_cmpint(sched_fit(&set->devices[0], &row->use, &r), ==, row->want);
    }
}

static void test_overcommit(void)
{
    g_autofree struct device_set *set = machine(1);
    struct request r = ask(G(40), 100);
    struct request_grant g;
    set->devices[0].mem_bytes = G(80);
    set->devices[0].cores_pct = 200;
    for (int i = 0; i < 2; i++) {
        g_assert_cmpint(sched_choose(set, &r, &g), ==, SCHED_FITS);
        g_assert_true(sched_use_add(set, &g));
    }
    g_assert_cmpint(sched_choose(set, &r, &g), ==, SCHED_MEMORY);
}

/* ---- policies ---------------------------------------------------------- */

static uint32_t chosen(struct device_set *set, enum request_policy policy)
{
    struct request r = ask(G(1), 10);
    struct request_grant g;
    r.policy = policy;
    g_assert_cmpint(sched_choose(set, &r, &g), ==, SCHED_FITS);
    return g.shares[0].device;
}

static void test_binpack_and_spread(void)
{
    g_autofree struct device_set *set = machine(3);
    set->use[1] = (struct device_use){.mem_bytes = G(10), .cores_pct = 20, .slices = 1};
    set->use[0] = (struct device_use){.mem_bytes = G(2), .cores_pct = 5, .slices = 1};
    g_assert_cmpuint(chosen(set, REQUEST_BINPACK), ==, 1);
    g_assert_cmpuint(chosen(set, REQUEST_SPREAD), ==, 2);
}

static void test_distinct_cards(void)
{
    g_autofree struct device_set *set = machine(4);
    struct request r = ask(G(1), 10);
    struct request_grant g;
    set->devices[1].card = 0; /* two slices of one MIG card */
    set->devices[2].card = 0;
    r.n_devices = 2;
    g_assert_cmpint(sched_choose(set, &r, &g), ==, SCHED_FITS);
    g_assert_cmpuint(set->devices[g.shares[0].device].card, !=, set->devices[g.shares[1].device].card);
    r.n_devices = 3;
    g_assert_cmpint(sched_choose(set, &r, &g), ==, SCHED_NO_CARDS);
    g = (struct request_grant){.n = 2, .shares = {{0, 1, 1}, {1, 1, 1}}};
    g_assert_false(sched_use_add(set, &g));
}

static void test_numa(void)
{
    g_autofree struct device_set *set = machine(6);
    struct request r = ask(G(20), 10);
    struct request_grant g;
    r.n_devices = 2;
    r.policy = REQUEST_NUMA;
    set->use[0] = set->use[2] = (struct device_use){.mem_bytes = G(39), .slices = 1};
    g_assert_cmpint(sched_choose(set, &r, &g), ==, SCHED_FITS);
    g_assert_cmpint(set->devices[g.shares[0].device].numa_node, ==, 2);
    g_assert_cmpint(set->devices[g.shares[1].device].numa_node, ==, 2);
    set->use[4] = set->use[0];
    g_assert_cmpint(sched_choose(set, &r, &g), ==, SCHED_NUMA);
}

static void test_topology(void)
{
    g_autofree struct device_set *set = machine(4);
    struct request r = ask(G(1), 10);
    struct request_grant g;
    for (uint32_t i = 0; i < 4; i++)
        for (uint32_t j = 0; j < 4; j++)
            set->pair_score[i][j] = i == j ? 0 : i / 2 == j / 2 ? 410 : 10;
    set->pair_score[2][3] = set->pair_score[3][2] = 1200;
    r.policy = REQUEST_TOPOLOGY;
    r.n_devices = 2;
    g_assert_cmpint(sched_choose(set, &r, &g), ==, SCHED_FITS);
    g_assert_cmpuint(g.shares[0].device + g.shares[1].device, ==, 5);
    /* One card: the one whose links nobody will miss. */
    r.n_devices = 1;
    g_assert_cmpint(sched_choose(set, &r, &g), ==, SCHED_FITS);
    g_assert_cmpuint(g.shares[0].device, <, 2);
}

/* ---- explanations ------------------------------------------------------ */

static void test_explain(void)
{
    g_autofree struct device_set *set = machine(2);
    g_autofree struct sched_explanation *why = g_new0(struct sched_explanation, 1);
    struct request r = ask(G(200), 0);
    sched_explain(set, &r, why);
    g_assert_cmpint(why->reason, ==, SCHED_MEMORY);
    g_assert_cmpint(why->kind, ==, SCHED_CHANGE_MEM);
    g_assert_cmpuint(why->mem_bytes, ==, G(40));
    r = ask(G(1), 50);
    set->use[0] = set->use[1] = (struct device_use){.mem_bytes = G(1), .cores_pct = 80, .slices = 1};
    sched_explain(set, &r, why);
    g_assert_cmpint(why->kind, ==, SCHED_CHANGE_CORES);
    g_assert_cmpuint(why->cores_pct, ==, 20);
    r = ask(G(1), 10);
    r.n_devices = 5;
    sched_explain(set, &r, why);
    g_assert_cmpint(why->kind, ==, SCHED_CHANGE_COUNT);
    g_assert_cmpuint(why->n_devices, ==, 2);
    for (int i = 0; i < SCHED_REASONS; i++)
        g_assert_cmpuint(strlen(sched_reason_words((enum sched_reason)i)->code), >, 3);
}

/* ---- properties -------------------------------------------------------- */

struct world {
    struct device_set *set;
    GArray *grants;
    GRand *rand;
};

static void check_sums(struct world *w)
{
    static struct device_use sum[DEVICE_MAX];
    memset(sum, 0, sizeof sum);
    for (guint i = 0; i < w->grants->len; i++) {
        struct request_grant *g = &g_array_index(w->grants, struct request_grant, i);
        for (uint32_t k = 0; k < g->n; k++) {
            sum[g->shares[k].device].mem_bytes += g->shares[k].mem_bytes;
            sum[g->shares[k].device].cores_pct += g->shares[k].cores_pct;
            sum[g->shares[k].device].slices++;
            sum[g->shares[k].device].exclusive |= g->exclusive;
        }
    }
    for (uint32_t d = 0; d < w->set->n; d++) {
        const struct device *device = &w->set->devices[d];
        const struct device_use *use = &w->set->use[d];
        g_assert_cmpuint(use->mem_bytes, ==, sum[d].mem_bytes);
        g_assert_cmpuint(use->cores_pct, ==, sum[d].cores_pct);
        g_assert_cmpuint(use->slices, ==, sum[d].slices);
        g_assert_cmpint(use->exclusive, ==, sum[d].exclusive);
        g_assert_cmpuint(use->mem_bytes, <=, device->mem_bytes);
        g_assert_cmpuint(use->slices, <=, device->split_count);
        if (device->cores_pct)
            g_assert_cmpuint(use->cores_pct, <=, device->cores_pct);
        g_assert_true(!use->exclusive || use->slices == 1);
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
        g_assert_true(sched_use_remove(w->set, &g_array_index(w->grants, struct request_grant, i)));
        g_array_remove_index_fast(w->grants, i);
        return;
    }
    struct request r;
    struct request_grant g;
    random_request(w, &r);
    if (sched_choose(w->set, &r, &g) != SCHED_FITS)
        return;
    /* What is chosen can be added: the two rules agree. */
    g_assert_true(sched_use_add(w->set, &g));
    g_array_append_val(w->grants, g);
}

static void test_random_operations(void)
{
    const char *named = g_getenv("HAMI_TEST_SEED");
    guint32 seed = named ? (guint32)strtoul(named, NULL, 0) : g_random_int();
    struct world w = {.set = machine(8),
                      .grants = g_array_new(FALSE, FALSE, sizeof(struct request_grant)),
                      .rand = g_rand_new_with_seed(seed)};
    unsigned n = g_test_thorough() ? 10000000 : 1000000;
    g_test_message("HAMI_TEST_SEED=%u", seed);
    for (uint32_t i = 0; i < w.set->n; i++) {
        w.set->devices[i].mem_bytes = G(g_rand_int_range(w.rand, 1, 141));
        w.set->devices[i].cores_pct = i == 7 ? 0 : i == 6 ? 150 : 100;
        w.set->devices[i].card = i == 1 ? 0 : i;
        for (uint32_t j = 0; j < w.set->n; j++)
            w.set->pair_score[i][j] = (uint32_t)g_rand_int_range(w.rand, 0, 1800);
    }
    for (unsigned i = 0; i < n; i++) {
        one_operation(&w);
        if (i % 64 == 0)
            check_sums(&w);
    }
    while (w.grants->len) {
        g_assert_true(
            sched_use_remove(w.set, &g_array_index(w.grants, struct request_grant, w.grants->len - 1)));
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
    g_autofree struct sched_explanation *why = g_new0(struct sched_explanation, 1);
    g_test_message("HAMI_TEST_SEED=%u", seed);
    for (int i = 0; i < 3000; i++) {
        struct request r;
        struct request_grant g;
        one_operation(&w);
        random_request(&w, &r);
        sched_explain(w.set, &r, why);
        if (why->reason == SCHED_FITS)
            continue;
        if (why->kind == SCHED_CHANGE_MEM || why->kind == SCHED_CHANGE_MEM_AND_CORES)
            r.mem = (struct quantity_mem){.bytes = why->mem_bytes};
        if (why->kind == SCHED_CHANGE_CORES || why->kind == SCHED_CHANGE_MEM_AND_CORES)
            r.cores_pct = why->cores_pct;
        if (why->kind == SCHED_CHANGE_COUNT)
            r.n_devices = why->n_devices;
        if (why->kind == SCHED_CHANGE_SHARED)
            r.exclusive = false;
        if (why->kind == SCHED_CHANGE_POLICY)
            r.policy = REQUEST_BINPACK;
        if (why->kind != SCHED_CHANGE_NONE)
            g_assert_cmpint(sched_choose(w.set, &r, &g), ==, SCHED_FITS);
    }
    g_array_unref(w.grants);
    g_rand_free(w.rand);
    g_free(w.set);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/sched/each_reason_at_its_border", test_fit);
    g_test_add_func("/sched/overcommit_ratios_widen_a_card", test_overcommit);
    g_test_add_func("/sched/binpack_fills_and_spread_empties", test_binpack_and_spread);
    g_test_add_func("/sched/shares_lie_on_distinct_physical_cards", test_distinct_cards);
    g_test_add_func("/sched/numa_keeps_all_cards_on_one_node", test_numa);
    g_test_add_func("/sched/topology_takes_the_nearest_set", test_topology);
    g_test_add_func("/sched/a_refusal_names_the_smallest_change", test_explain);
    g_test_add_func("/sched/a_million_operations_never_overcommit", test_random_operations);
    g_test_add_func("/sched/what_is_proposed_fits", test_proposals_fit);
    return g_test_run();
}
