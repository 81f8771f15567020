/* SPDX-License-Identifier: Apache-2.0
 *
 * Preemption: enough, no more than needed, the least important.
 */
#include <stdio.h>
#include <string.h>

#include "../seed.h"
#include "sched/explain_pod.h"
#include "world.h"

static char *uid_of(uint32_t n)
{
    return g_strdup_printf("00000000-0000-4000-8000-%012u", n);
}

/* Pods on one node with one card of 40960 MiB: "mib/priority", numbered from 0. */
static void one_card(struct world *w, const char *const *holders)
{
    world_init(w, 1);
    world_add_node(w, "NVIDIA", 1);
    for (; *holders; holders++) {
        uint32_t mib;
        int priority;
        uint8_t kind = SLOT_APP;
        g_autofree char *uid = uid_of(w->n_pods++);
        struct pod_grant *g = g_new0(struct pod_grant, 1);
        g_assert_cmpint(sscanf(*holders, "%u/%d", &mib, &priority), ==, 2);
        g->n = 1;
        g->grants[0] = (struct card_grant){.mem_bytes = MIB(mib), .slices = 1, .shape = CARD_NO_SHAPE};
        cluster_bound(w->cluster, uid, "default", "holder", w->names[0], g, &kind, 1, priority, false);
        g_free(g);
    }
}

static char *join(GPtrArray *uids)
{
    GString *text = g_string_new(NULL);
    for (uint32_t i = 0; i < uids->len; i++)
        g_string_append_printf(text, "%s%d", i ? " " : "", atoi((char *)uids->pdata[i] + 24));
    return g_string_free(text, FALSE);
}

struct row {
    const char *name;
    const char *holders[8];
    uint64_t mib;
    int32_t priority;
    const char *allowed; /* numbers, NULL = any */
    const char *want;    /* NULL: no set is enough */
};

static const struct row rows[] = {
    {"nobody when it fits", {"1000/0"}, 1000, 1, NULL, ""},
    {"one that is enough rather than two", {"10000/0", "10000/0", "20000/0"}, 20000, 1, NULL, "2"},
    {"the lowest priority of equals", {"20000/3", "20000/1"}, 20000, 5, NULL, "1"},
    {"number before priority", {"10000/0", "10000/0", "20000/4"}, 20000, 5, NULL, "2"},
    {"equal priority is no victim", {"20000/5", "20000/1"}, 40000, 5, NULL, NULL},
    {"only those that are allowed", {"20000/1", "20000/2"}, 20000, 5, "1", "1"},
    {"the younger of equals", {"20000/1", "20000/1"}, 20000, 5, "0 1", "1"},
    {"two where one is not enough", {"15000/0", "15000/1", "10000/2"}, 25000, 5, NULL, "0 1"},
};

static void fewest_and_least_important_first(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        struct world w;
        struct pod_request r;
        one_card(&w, rows[i].holders);
        world_request(&w, &r, "NVIDIA", 1);
        r.requests[0].mem_bytes = MIB(rows[i].mib);
        r.priority = rows[i].priority;
        g_autoptr(GPtrArray) allowed = g_ptr_array_new_with_free_func(g_free);
        g_auto(GStrv) numbers = g_strsplit(rows[i].allowed ? rows[i].allowed : "", " ", -1);
        for (char **n = numbers; *n; n++)
            g_ptr_array_add(allowed, uid_of((uint32_t)atoi(*n)));
        g_ptr_array_add(allowed, NULL);
        g_autoptr(GPtrArray) uids =
            sched_victims(w.cluster, &r, w.nodes[0],
                          rows[i].allowed ? (const char *const *)(const void *)allowed->pdata : NULL);
        g_test_message("%s", rows[i].name);
        g_assert_true((uids != NULL) == (rows[i].want != NULL));
        if (uids) {
            g_autofree char *got = join(uids);
            g_assert_cmpstr(got, ==, rows[i].want);
        }
        world_clear(&w);
    }
}

static void a_victim_of_the_namespace_frees_its_quota(void)
{
    static const char *const holders[] = {"1000/0", "5000/1", NULL};
    struct world w;
    struct pod_request r;
    one_card(&w, holders);
    cluster_quota_set(w.cluster, "default", "q", "nvidia.com/gpumem", 6000);
    world_request(&w, &r, "NVIDIA", 1);
    r.requests[0].mem_bytes = MIB(3000);
    r.priority = 5;
    g_autoptr(GPtrArray) uids = sched_victims(w.cluster, &r, w.nodes[0], NULL);
    g_assert_nonnull(uids);
    g_autofree char *got = join(uids);
    g_assert_cmpstr(got, ==, "1");
    world_clear(&w);
}

/* Reservations: nobody can delete what is not bound yet; the pod's own is no hindrance to itself. */
static void reservations_are_no_victims_and_ones_own_is_no_hindrance(void)
{
    static const char *const nobody[] = {NULL};
    static const char *const words[] = {"another's", "its own"};
    for (size_t own = 0; own < G_N_ELEMENTS(words); own++) {
        struct world w;
        struct pod_request r, high;
        static struct cluster_answer a;
        one_card(&w, nobody);
        world_request(&w, &r, "NVIDIA", 1);
        r.requests[0].mem_bytes = MIB(30000);
        high = r;
        high.priority = 5;
        g_autofree char *uid = own ? g_strdup(r.uid) : uid_of(77);
        r.uid = uid;
        g_test_message("%s", words[own]);
        g_assert_cmpint(cluster_fit(w.cluster, &r, w.nodes[0], &a, NULL), ==, SCHED_FITS);
        g_assert_true(cluster_reserve(w.cluster, &r, &a, 10));
        g_autoptr(GPtrArray) uids = sched_victims(w.cluster, &high, w.nodes[0], NULL);
        g_assert_true((uids != NULL) == own);
        if (uids)
            g_assert_cmpuint(uids->len, ==, 0);
        world_clear(&w);
    }
}

static bool fits(struct world *w, const struct pod_request *r)
{
    static struct cluster_answer a;
    return cluster_fit(w->cluster, r, w->nodes[0], &a, NULL) == SCHED_FITS;
}

struct holder {
    char uid[64];
    int32_t priority;
    struct pod_grant grant;
    uint8_t kinds[POD_SLOTS_MAX];
    uint8_t n_kinds;
};

static bool collect(const struct cluster_pod *p, void *data)
{
    GPtrArray *holders = data;
    struct holder *h = g_new0(struct holder, 1);
    g_strlcpy(h->uid, p->uid, sizeof h->uid);
    h->priority = p->priority;
    h->n_kinds = (uint8_t)p->n_slots;
    memcpy(h->kinds, p->slot_kind, p->n_slots);
    h->grant.n = p->n_grants;
    memcpy(h->grant.grants, p->grants, p->n_grants * sizeof *p->grants);
    g_ptr_array_add(holders, h);
    return true;
}

static void put_back(struct world *w, const struct holder *h)
{
    cluster_bound(w->cluster, h->uid, "default", "pod", w->names[0], &h->grant, h->kinds, h->n_kinds,
                  h->priority, false);
}

static const struct holder *holder_of(GPtrArray *holders, const char *uid)
{
    for (uint32_t i = 0; i < holders->len; i++)
        if (strcmp(((struct holder *)holders->pdata[i])->uid, uid) == 0)
            return holders->pdata[i];
    g_assert_not_reached();
}

/* The size of the smallest set by trying all; UINT32_MAX when none is enough. */
static uint32_t smallest(struct world *w, const struct pod_request *r, GPtrArray *holders)
{
    const struct holder *lower[10];
    uint32_t n = 0, best = UINT32_MAX;
    for (uint32_t i = 0; i < holders->len && n < 10; i++)
        if (((struct holder *)holders->pdata[i])->priority < r->priority)
            lower[n++] = holders->pdata[i];
    for (uint32_t set = 0; set < 1U << n; set++) {
        for (uint32_t i = 0; i < n; i++)
            if (set & 1U << i)
                cluster_release(w->cluster, lower[i]->uid);
        if (fits(w, r))
            best = MIN(best, (uint32_t)__builtin_popcount(set));
        for (uint32_t i = 0; i < n; i++)
            if (set & 1U << i)
                put_back(w, lower[i]);
    }
    return best;
}

static unsigned n_sets, n_none;

static void check(uint32_t seed)
{
    struct world w;
    static struct pod_request r;
    world_init(&w, seed);
    world_add_random_nodes(&w, 1);
    for (int i = 0; i < 400 && w.n_pods < 9; i++) {
        world_random_request(&w, &r);
        world_run(&w, &r);
    }
    g_autoptr(GPtrArray) holders = g_ptr_array_new_with_free_func(g_free);
    cluster_pod_each(w.cluster, collect, holders);
    for (int i = 0; i < 30; i++) {
        world_random_request(&w, &r);
        g_autoptr(GPtrArray) uids = sched_victims(w.cluster, &r, w.nodes[0], NULL);
        uint32_t best = smallest(&w, &r, holders);
        g_assert_true((uids == NULL) == (best == UINT32_MAX));
        n_none += uids == NULL;
        if (!uids)
            continue;
        n_sets += uids->len > 0;
        g_assert_cmpuint(uids->len, ==, best);
        for (uint32_t v = 0; v < uids->len; v++)
            cluster_release(w.cluster, uids->pdata[v]);
        g_assert_true(fits(&w, &r));
        for (uint32_t v = 0; v < uids->len; v++) {
            put_back(&w, holder_of(holders, uids->pdata[v]));
            g_assert_false(fits(&w, &r));
            cluster_release(w.cluster, uids->pdata[v]);
        }
        for (uint32_t v = 0; v < uids->len; v++)
            put_back(&w, holder_of(holders, uids->pdata[v]));
    }
    world_clear(&w);
}

static void victims_are_enough_and_not_one_too_many(void)
{
    uint32_t first = test_seed();
    for (uint32_t i = 0; i < 60; i++) {
        g_test_message("seed %u", first + i);
        check(first + i);
    }
    g_test_message("%u sets, %u times none", n_sets, n_none);
    g_assert_cmpuint(n_sets, >, 0);
}

/* Where sets are too many to try: forty small holders, thirty of them in the way. */
static void many_small_victims_are_brought_back(void)
{
    const char *holders[41] = {0};
    struct world w;
    struct pod_request r;
    for (int i = 0; i < 40; i++)
        holders[i] = i % 2 ? "1000/1" : "1000/2";
    one_card(&w, holders);
    w.specs[0].cards[0].slots = 100;
    world_set_node(&w, 0);
    world_request(&w, &r, "NVIDIA", 1);
    r.requests[0].mem_bytes = MIB(25960 + 960);
    r.priority = 9;
    g_autoptr(GPtrArray) uids = sched_victims(w.cluster, &r, w.nodes[0], NULL);
    g_assert_nonnull(uids);
    g_assert_cmpuint(uids->len, ==, 26); /* 960 are free, 1000 come back with each */
    uint32_t low = 0;
    for (uint32_t i = 0; i < uids->len; i++)
        low += (uint32_t)atoi((char *)uids->pdata[i] + 24) % 2;
    g_assert_cmpuint(low, ==, 20); /* all of the lower priority first */
    world_clear(&w);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/victims/fewest_and_least_important_first", fewest_and_least_important_first);
    g_test_add_func("/victims/a_victim_of_the_namespace_frees_its_quota",
                    a_victim_of_the_namespace_frees_its_quota);
    g_test_add_func("/victims/victims_are_enough_and_not_one_too_many",
                    victims_are_enough_and_not_one_too_many);
    g_test_add_func("/victims/many_small_victims_are_brought_back", many_small_victims_are_brought_back);
    g_test_add_func("/victims/reservations_are_no_victims_and_ones_own_is_no_hindrance",
                    reservations_are_no_victims_and_ones_own_is_no_hindrance);
    return g_test_run();
}
