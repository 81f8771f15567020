/* SPDX-License-Identifier: Apache-2.0
 *
 * Quota: what admission counts of a request, in each family's units, and what
 * placement holds it against. scheduler.md sections 6.4 step 10, 6.8 and 12
 * (TestFitResourceQuota..., TestFitQuota, Test_ResourceQuota).
 */
#include <string.h>

#include "world.h"

/* One container's part of a request. */
struct part {
    uint8_t kind;
    uint32_t n, cores, mib; /* cards; of each */
};

static void ask(struct world *w, const char *word, const struct part *parts, size_t n, struct pod_request *r)
{
    world_request(w, r, word, 1);
    struct card_request one = r->requests[0];
    r->n_slots = r->n_requests = 0;
    for (size_t i = 0; i < n && parts[i].n; i++) {
        r->slot_kind[r->n_slots] = parts[i].kind;
        r->requests[r->n_requests] = one;
        r->requests[r->n_requests].slot = r->n_slots++;
        r->requests[r->n_requests].n_cards = parts[i].n;
        r->requests[r->n_requests].mem_bytes = MIB(parts[i].mib);
        r->requests[r->n_requests++].cores = parts[i].cores;
    }
    r->namespace_ = "default";
}

/* Somebody holds this much of a node of his own. */
static void hold(struct world *w, const char *word, uint32_t mib, uint32_t cores)
{
    struct pod_request r;
    const struct part whole = {SLOT_APP, 1, cores, mib};
    ask(w, word, &whole, 1, &r);
    r.uid = r.name = "holder";
    g_assert_true(world_run(w, &r));
}

struct admission_row {
    const char *name, *family;
    uint32_t factor; /* 0 = the family's own */
    const char *mem, *cores;
    int64_t mem_limit, cores_limit; /* -1 = none */
    uint32_t used_mib, used_cores;
    struct part parts[3];
    const char *exceeded; /* NULL = allowed */
};

#define GPU "NVIDIA", 0, "nvidia.com/gpumem", "nvidia.com/gpucores"
#define UNITS "MLU", 0, "cambricon.com/mlu.smlu.vmemory", "cambricon.com/mlu.smlu.vcore"
#define HYGON(factor) "DCU", factor, "hygon.com/dcumem", "hygon.com/dcucores"
#define ASCEND(factor) "Ascend310P", factor, "huawei.com/Ascend310P-memory", ""

static const struct admission_row admissions[] = {
    {"12 TestFitResourceQuota: 100", GPU, 2000, 400, 1000, 100, {{SLOT_APP, 1, 10, 100}}, NULL},
    {"12 1024 of 1000 left", GPU, 2000, 400, 1000, 100, {{SLOT_APP, 1, 10, 1024}}, "nvidia.com/gpumem"},
    {"12 exactly what is left", GPU, 2000, 400, 1000, 100, {{SLOT_APP, 1, 10, 1000}}, NULL},
    {"12 2 x 1024", GPU, 2000, 400, 1000, 100, {{SLOT_APP, 2, 10, 1024}}, "nvidia.com/gpumem"},
    {"12 2 x 400", GPU, 2000, 400, 1000, 100, {{SLOT_APP, 2, 10, 400}}, NULL},
    {"12 init 800 and 800, app 500",
     GPU,
     2000,
     400,
     1000,
     100,
     {{SLOT_INIT, 1, 10, 800}, {SLOT_INIT, 1, 10, 800}, {SLOT_APP, 1, 10, 500}},
     NULL},
    {"12 init 1500", GPU, 2000, 400, 1000, 100, {{SLOT_INIT, 1, 10, 1500}}, "nvidia.com/gpumem"},
    {"6.8 app containers add up",
     GPU,
     2000,
     400,
     1000,
     100,
     {{SLOT_APP, 1, 10, 600}, {SLOT_APP, 1, 10, 600}},
     "nvidia.com/gpumem"},
    {"B24 a sidecar stays",
     GPU,
     2000,
     400,
     1000,
     100,
     {{SLOT_SIDECAR, 1, 10, 600}, {SLOT_APP, 1, 10, 600}},
     "nvidia.com/gpumem"},
    {"6.8 cores", GPU, 2000, 150, 1000, 100, {{SLOT_APP, 1, 51, 100}}, "nvidia.com/gpucores"},
    {"6.8 cores of every card", GPU, 2000, 150, 1000, 100, {{SLOT_APP, 2, 26, 100}}, "nvidia.com/gpucores"},
    {"12 ExplicitZeroBlocks", GPU, 0, -1, 0, 0, {{SLOT_APP, 1, 10, 1}}, "nvidia.com/gpumem"},
    {"6.8 a whole card counts no memory here", GPU, 10, -1, 0, 0, {{SLOT_APP, 1, 10, 0}}, NULL},
    {"12 InitContainerPeakSequence: used 20000",
     GPU,
     30000,
     -1,
     20000,
     1,
     {{SLOT_INIT, 1, 1, 20000}, {SLOT_APP, 1, 1, 10000}},
     "nvidia.com/gpumem"},
    {"12 InitContainerPeakSequence: used 10000",
     GPU,
     30000,
     -1,
     10000,
     1,
     {{SLOT_INIT, 1, 1, 20000}, {SLOT_APP, 1, 1, 10000}},
     NULL},
    {"12 MLU, 50 units of 100", UNITS, 100, -1, 0, 0, {{SLOT_APP, 1, 1, 50 * 256}}, NULL},
    {"12 MLU, 200 units of 100",
     UNITS,
     100,
     -1,
     0,
     0,
     {{SLOT_APP, 1, 1, 200 * 256}},
     "cambricon.com/mlu.smlu.vmemory"},
    {"12 MLU cores, 20 used of 50, 60 asked",
     UNITS,
     -1,
     50,
     256,
     20,
     {{SLOT_APP, 1, 60, 256}},
     "cambricon.com/mlu.smlu.vcore"},
    {"12 CountsEveryDevice: 2 x 40 units of 60",
     UNITS,
     60,
     -1,
     0,
     0,
     {{SLOT_APP, 2, 1, 40 * 256}},
     "cambricon.com/mlu.smlu.vmemory"},
    {"12 DCU factor 2, 1000: 800", HYGON(2), 1000, -1, 0, 0, {{SLOT_APP, 1, 1, 2 * 800}}, NULL},
    {"12 DCU factor 2, 1000: 1200",
     HYGON(2),
     1000,
     -1,
     0,
     0,
     {{SLOT_APP, 1, 1, 2 * 1200}},
     "hygon.com/dcumem"},
    {"12 AscendMemoryFactor 4, 8192: 4096", ASCEND(4), 8192, -1, 0, 0, {{SLOT_APP, 1, 0, 4 * 4096}}, NULL},
    {"12 AscendMemoryFactor 4, 8192: 8193",
     ASCEND(4),
     8192,
     -1,
     0,
     0,
     {{SLOT_APP, 1, 0, 4 * 8193}},
     "huawei.com/Ascend310P-memory"},
};

/* A world whose families' factor is set before the ledger is made: it reads it then. */
static void world_with_factor(struct world *w, const char *word, uint32_t factor)
{
    world_init(w, 1);
    if (!factor)
        return;
    for (uint32_t i = 0; i < w->families->n; i++)
        if (strcmp(w->families->rows[i]->word, word) == 0)
            w->families->rows[i]->quota_mem_factor = factor;
    cluster_free(w->cluster);
    w->cluster = cluster_new(w->families);
}

static void admission_counts_the_peak_in_the_family_s_units(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(admissions); i++) {
        const struct admission_row *row = &admissions[i];
        struct world w;
        struct pod_request r;
        world_with_factor(&w, row->family, row->factor);
        world_add_node(&w, row->family, 4);
        if (row->used_mib)
            hold(&w, row->family, row->used_mib, row->used_cores);
        if (row->mem_limit >= 0)
            cluster_quota_set(w.cluster, "default", "q", row->mem, row->mem_limit);
        if (row->cores_limit >= 0)
            cluster_quota_set(w.cluster, "default", "q", row->cores, row->cores_limit);
        ask(&w, row->family, row->parts, G_N_ELEMENTS(row->parts), &r);
        g_test_message("%s", row->name);
        g_assert_cmpstr(cluster_quota_exceeded(w.cluster, &r), ==, row->exceeded);
        r.namespace_ = "elsewhere";
        g_assert_cmpstr(cluster_quota_exceeded(w.cluster, &r), ==, NULL);
        world_clear(&w);
    }
}

/* ---- placement ---------------------------------------------------------------- */

struct placement_row {
    const char *name;
    uint32_t n, mib; /* mib 0 = whole cards */
    int64_t limit;
    const char *want; /* MiB of the card that is given, or the reasons */
};

/* Test_ResourceQuota: one node with cards of 2000, 8000, 4000 and 6000 MiB, 200 cores at most. */
static const struct placement_row placements[] = {
    {"12 2 x 2000 of 4000", 2, 2000, 4000, "fits"},
    {"12 2 x 3000 of 4000", 2, 3000, 4000, "1/4 AllocatedCardsInsufficientRequest, 3/4 ResourceQuotaNotFit"},
    {"12 a whole card of 2000", 1, 0, 2000, "fits 2000"},
    {"12 a whole card of 1500", 1, 0, 1500, "4/4 ResourceQuotaNotFit"},
};

static void placement_holds_every_card_against_the_limit(void)
{
    static const uint64_t sizes[] = {2000, 8000, 4000, 6000};
    for (size_t i = 0; i < G_N_ELEMENTS(placements); i++) {
        const struct placement_row *row = &placements[i];
        struct world w;
        struct pod_request r;
        struct cluster_answer a;
        g_autoptr(GString) got = g_string_new("");
        const struct part part = {SLOT_APP, row->n, 0, row->mib};
        world_init(&w, 1);
        struct node_spec *spec = world_add_node(&w, "NVIDIA", 4);
        for (uint32_t c = 0; c < 4; c++)
            spec->cards[c].mem_bytes = MIB(sizes[c]);
        world_set_node(&w, 0);
        cluster_quota_set(w.cluster, "default", "q", "nvidia.com/gpumem", row->limit);
        cluster_quota_set(w.cluster, "default", "q", "nvidia.com/gpucores", 200);
        ask(&w, "NVIDIA", &part, 1, &r);
        if (cluster_fit(w.cluster, &r, w.nodes[0], &a, got) == SCHED_FITS) {
            g_string_append(got, "fits");
            if (!row->mib)
                g_string_append_printf(got, " %u", (unsigned)(a.grant.grants[0].mem_bytes >> 20));
        }
        g_test_message("%s", row->name);
        g_assert_cmpstr(got->str, ==, row->want);
        cluster_place(w.cluster, &r, w.nodes, w.n_nodes, &a);
        g_assert_cmpint(a.reason == SCHED_FITS, ==, g_str_has_prefix(row->want, "fits"));
        world_clear(&w);
    }
}

/* TestFitQuota: a limit of 2048, and pods whose init containers count with their peak. */
static void placement_counts_init_containers_with_their_peak(void)
{
    static const struct {
        const char *name;
        struct part parts[3];
        bool fits;
    } cases[] = {
        {"12 2048", {{SLOT_APP, 1, 0, 2048}}, true},
        {"12 2049", {{SLOT_APP, 1, 0, 2049}}, false},
        {"12 init 2048, app 2048", {{SLOT_INIT, 1, 0, 2048}, {SLOT_APP, 1, 0, 2048}}, true},
        {"12 init 2048 twice, app 1024",
         {{SLOT_INIT, 1, 0, 2048}, {SLOT_INIT, 1, 0, 2048}, {SLOT_APP, 1, 0, 1024}},
         true},
        {"12 init 2049", {{SLOT_INIT, 1, 0, 2049}, {SLOT_APP, 1, 0, 1}}, false},
        {"B3 init, then two apps of 1025: never the larger one alone",
         {{SLOT_INIT, 1, 0, 100}, {SLOT_APP, 1, 0, 1025}, {SLOT_APP, 1, 0, 1025}},
         false},
        {"6.8 two apps of 1024", {{SLOT_APP, 1, 0, 1024}, {SLOT_APP, 1, 0, 1024}}, true},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        struct world w;
        struct pod_request r;
        struct cluster_answer a;
        world_init(&w, 1);
        world_add_node(&w, "NVIDIA", 1);
        cluster_quota_set(w.cluster, "default", "q", "nvidia.com/gpumem", 2048);
        ask(&w, "NVIDIA", cases[i].parts, G_N_ELEMENTS(cases[i].parts), &r);
        cluster_place(w.cluster, &r, w.nodes, w.n_nodes, &a);
        g_test_message("%s", cases[i].name);
        g_assert_cmpint(a.reason, ==, cases[i].fits ? SCHED_FITS : SCHED_QUOTA);
        world_clear(&w);
    }
}

/* 6.8: placement checks NVIDIA and MLU; the others' quota is kept at admission. */
static void placement_checks_the_families_of_the_contract(void)
{
    static const struct {
        const char *family, *resource;
        int64_t limit; /* for 4096 MiB */
        enum sched_reason want;
        bool admitted;
    } cases[] = {
        {"NVIDIA", "nvidia.com/gpumem", 4095, SCHED_QUOTA, false},
        {"NVIDIA", "nvidia.com/gpumem", 4096, SCHED_FITS, true},
        {"MLU", "cambricon.com/mlu.smlu.vmemory", 15, SCHED_QUOTA, false}, /* units of 256 MiB */
        {"MLU", "cambricon.com/mlu.smlu.vmemory", 16, SCHED_FITS, true},
        {"MLU", "cambricon.com/mlu.smlu.vcore", 0, SCHED_QUOTA, false},
        {"DCU", "hygon.com/dcumem", 1, SCHED_FITS, false},
        {"Metax-SGPU", "metax-tech.com/vmemory", 3, SCHED_FITS, false},
        {"Metax-SGPU", "metax-tech.com/vmemory", 4, SCHED_FITS, true},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        struct world w;
        struct pod_request r;
        struct cluster_answer a;
        const struct part part = {SLOT_APP, 1, 1, 4096};
        world_init(&w, 1);
        world_add_node(&w, cases[i].family, 1);
        cluster_quota_set(w.cluster, "default", "q", cases[i].resource, cases[i].limit);
        ask(&w, cases[i].family, &part, 1, &r);
        cluster_place(w.cluster, &r, w.nodes, w.n_nodes, &a);
        g_test_message("%s: %d", cases[i].family, (int)cases[i].limit);
        g_assert_cmpint(a.reason, ==, cases[i].want);
        g_assert_cmpstr(cluster_quota_exceeded(w.cluster, &r), ==,
                        cases[i].admitted ? NULL : cases[i].resource);
        world_clear(&w);
    }
}

/* ---- what counts -------------------------------------------------------------------- */

struct sought {
    const char *resource;
    int64_t used, limit;
};

static bool look(const struct cluster_quota *q, void *data)
{
    struct sought *s = data;
    if (strcmp(q->resource, s->resource) == 0 && strcmp(q->namespace_, "default") == 0) {
        s->used = q->used;
        s->limit = q->limit;
    }
    return true;
}

static void expect(const struct world *w, const char *resource, int64_t used, int64_t limit)
{
    struct sought s = {resource, 0, -1};
    cluster_quota_each(w->cluster, look, &s);
    g_assert_cmpint(s.used, ==, used);
    g_assert_cmpint(s.limit, ==, limit);
}

/* TestAddUsageAndRmUsage, TestDelQuotaNonLimitsKey, TestUpdateQuotaKeepsLimitEnforced; B19. */
static void usage_comes_and_goes_with_pods_and_limits_with_their_objects(void)
{
    struct world w;
    const char *mem = "cambricon.com/mlu.smlu.vmemory";
    world_init(&w, 1);
    world_add_node(&w, "MLU", 4);
    expect(&w, mem, 0, -1);
    hold(&w, "MLU", 50 * 256, 10);
    expect(&w, mem, 50 * 256, -1); /* counted before there is a quota */
    cluster_quota_set(w.cluster, "default", "q", mem, 100);
    expect(&w, mem, 50 * 256, 100); /* as it is written */
    cluster_quota_set(w.cluster, "default", "q", mem, 60);
    expect(&w, mem, 50 * 256, 60);
    cluster_quota_set(w.cluster, "default", "lower", mem, 40);
    cluster_quota_set(w.cluster, "default", "nothing", "requests.cpu", 1);
    expect(&w, mem, 50 * 256, 40);
    cluster_quota_remove(w.cluster, "default", "nothing");
    cluster_quota_remove(w.cluster, "elsewhere", "lower");
    expect(&w, mem, 50 * 256, 40);
    cluster_quota_remove(w.cluster, "default", "lower");
    expect(&w, mem, 50 * 256, 60);
    g_assert_true(cluster_release(w.cluster, "holder"));
    g_assert_false(cluster_release(w.cluster, "holder"));
    expect(&w, mem, 0, 60); /* never below 0 */
    cluster_quota_remove(w.cluster, "default", "q");
    expect(&w, mem, 0, -1);
    world_clear(&w);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define TEST(name) g_test_add_func("/quota/" #name, name)
    TEST(admission_counts_the_peak_in_the_family_s_units);
    TEST(placement_holds_every_card_against_the_limit);
    TEST(placement_counts_init_containers_with_their_peak);
    TEST(placement_checks_the_families_of_the_contract);
    TEST(usage_comes_and_goes_with_pods_and_limits_with_their_objects);
    return g_test_run();
}
