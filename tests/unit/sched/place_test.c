/* SPDX-License-Identifier: Apache-2.0
 *
 * The field's own cases of filtering and of quota (scheduler.md section 12).
 */
#include "fixture.h"

/* Two nodes of two cards of 8000 MiB, the first and the last in use. */
struct filter_row {
    const char *name;
    enum node_policy node;
    enum card_policy card;
    const char *want_node, *want_card; /* NULL = either */
};

static const struct filter_row filter_rows[] = {
    {"binpack and binpack", NODE_BINPACK, CARD_BINPACK, "node2", "device4"},
    {"binpack and spread", NODE_BINPACK, CARD_SPREAD, "node2", NULL},
    {"spread and binpack", NODE_SPREAD, CARD_BINPACK, "node1", "device1"},
    {"spread and spread", NODE_SPREAD, CARD_SPREAD, "node1", "device2"},
};

static Cluster *two_nodes(void)
{
    Cluster *c = cluster_new(families());
    struct card one[2] = {card(GPU, "device1", 8000), card(GPU, "device2", 8000)};
    struct card two[2] = {card(GPU, "device3", 8000), card(GPU, "device4", 8000)};
    uint8_t app = SLOT_APP;
    cluster_node_set(c, &(struct node_spec){.name = "node1", .n_cards = 2, .cards = one});
    cluster_node_set(c, &(struct node_spec){.name = "node2", .n_cards = 2, .cards = two});
    struct pod_grant g = {.n = 1, .grants = {{.mem_bytes = MIB(2000), .cores = 25, .card = 0, .slices = 1}}};
    cluster_bound(c, "uid-a", "default", "a", "node1", &g, &app, 1, 0, false);
    g.grants[0] = (struct card_grant){.mem_bytes = MIB(6000), .cores = 75, .card = 1, .slices = 1};
    cluster_bound(c, "uid-b", "default", "b", "node2", &g, &app, 1, 0, false);
    assert_sound(c);
    return c;
}

static void filter_chooses_node_and_card_by_policy(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(filter_rows); i++) {
        const struct filter_row *row = &filter_rows[i];
        Cluster *c = two_nodes();
        struct pod_request r = ask("uid-c", GPU, 1, 1000, 20);
        struct cluster_answer a;
        r.node_policy = row->node;
        r.card_policy[0] = row->card;
        cluster_place(c, &r, (ClusterNode[]){0, 1}, 2, &a);
        g_assert_cmpint(a.reason, ==, SCHED_FITS);
        const struct node_spec *n = cluster_node_spec(c, a.node);
        g_test_message("%s", row->name);
        g_assert_cmpstr(n->name, ==, row->want_node);
        if (row->want_card)
            g_assert_cmpstr(n->cards[a.grant.grants[0].card].uuid, ==, row->want_card);
        g_assert_true(cluster_reserve(c, &r, &a, 1000));
        assert_sound(c);
        cluster_free(c);
    }
}

/* Test_Filter: an init container of 5000 and an app of 4000 leave only the idle card of the fuller node. */
static void init_and_app_containers_find_the_card_that_has_both(void)
{
    Cluster *c = two_nodes();
    struct pod_request r = ask_twice("uid-c", 5000, 4000, 20);
    struct cluster_answer a;
    r.card_policy[0] = CARD_BINPACK;
    cluster_place(c, &r, (ClusterNode[]){0, 1}, 2, &a);
    g_assert_cmpint(a.reason, ==, SCHED_FITS);
    const struct node_spec *n = cluster_node_spec(c, a.node);
    g_assert_cmpstr(n->name, ==, "node2");
    g_assert_cmpuint(a.grant.n, ==, 2);
    g_assert_cmpstr(n->cards[a.grant.grants[0].card].uuid, ==, "device3");
    g_assert_cmpstr(n->cards[a.grant.grants[1].card].uuid, ==, "device3");
    cluster_free(c);
}

static void ties_go_to_the_lower_name_whatever_the_order(void)
{
    static const char *const names[] = {"b", "node-10", "node-9", "a", "node-1"};
    Cluster *c = cluster_new(families());
    struct card one[1] = {card(GPU, "d", 1000)};
    struct pod_request r = ask("p", GPU, 1, 100, 0);
    struct cluster_answer a;
    for (size_t i = 0; i < G_N_ELEMENTS(names); i++)
        cluster_node_set(c, &(struct node_spec){.name = names[i], .n_cards = 1, .cards = one});
    cluster_place(c, &r, (ClusterNode[]){0, 1, 2, 4, 3, 3, 77}, 7, &a);
    g_assert_cmpstr(cluster_node_spec(c, a.node)->name, ==, "a");
    cluster_place(c, &r, (ClusterNode[]){2, 1, 0}, 3, &a);
    g_assert_cmpstr(cluster_node_spec(c, a.node)->name, ==, "b");
    r.node_policy = NODE_SPREAD;
    cluster_place(c, &r, (ClusterNode[]){2, 4, 1}, 3, &a);
    g_assert_cmpstr(cluster_node_spec(c, a.node)->name, ==, "node-1");
    cluster_node_remove(c, "node-1");
    cluster_place(c, &r, (ClusterNode[]){2, 4, 1}, 3, &a);
    g_assert_cmpstr(cluster_node_spec(c, a.node)->name, ==, "node-10");
    cluster_free(c);
}

/* Half the slots, all cores, all memory: 10 * (0.5 + 1 + 1). */
static void a_node_s_score_is_how_full_it_was_before(void)
{
    Cluster *c = cluster_new(families());
    struct card two[2] = {card(GPU, "a", 1000), card(GPU, "b", 1000)};
    uint8_t app = SLOT_APP;
    struct pod_grant g = {.n = 2};
    struct pod_request r = ask("p", GPU, 1, 1, 0);
    struct cluster_answer a;
    two[0].slots = two[1].slots = 2;
    r.requests[0].mem_none = true;
    r.requests[0].mem_bytes = 0;
    for (uint16_t i = 0; i < 2; i++)
        g.grants[i] = (struct card_grant){.mem_bytes = MIB(1000), .cores = 99, .card = i, .slices = 1};
    two[0].cores = two[1].cores = 99;
    cluster_node_set(c, &(struct node_spec){.name = "n", .n_cards = 2, .cards = two});
    cluster_bound(c, "full", "default", "full", "n", &g, &app, 1, 0, false);
    r.requests[0].cores = 0;
    g_assert_cmpint(cluster_fit(c, &r, 0, &a, NULL), ==, SCHED_CORES_EXHAUSTED);
    two[0].cores = two[1].cores = 0; /* a measure is missing: the score is 0, and cores are not asked for */
    cluster_node_set(c, &(struct node_spec){.name = "n", .n_cards = 2, .cards = two});
    g_assert_cmpint(cluster_fit(c, &r, 0, &a, NULL), ==, SCHED_FITS);
    g_assert_cmpfloat(a.score, ==, 0);
    cluster_release(c, "full");
    two[0].cores = two[1].cores = 100;
    g.grants[0].cores = g.grants[1].cores = 50;
    g.grants[0].mem_bytes = g.grants[1].mem_bytes = MIB(500);
    cluster_node_set(c, &(struct node_spec){.name = "n", .n_cards = 2, .cards = two});
    cluster_bound(c, "half", "default", "half", "n", &g, &app, 1, 0, false);
    g_assert_cmpint(cluster_fit(c, &r, 0, &a, NULL), ==, SCHED_FITS);
    g_assert_cmpfloat(a.score, ==, 15);
    r.node_policy = NODE_SPREAD;
    g_assert_cmpint(cluster_fit(c, &r, 0, &a, NULL), ==, SCHED_FITS);
    g_assert_cmpfloat(a.score, ==, -15);
    cluster_free(c);
}

/* Two NPUs of one network beat two of different ones under either policy (vendors.md 6.5). */
static void a_family_s_grade_counts_for_good_under_both_policies(void)
{
    Cluster *c = cluster_new(families());
    struct card mixed[2] = {card(NPU, "a", 1000), card(NPU, "b", 1000)};
    struct card same[2] = {card(NPU, "c", 1000), card(NPU, "d", 1000)};
    struct pod_request r = ask("p", NPU, 2, 100, 0);
    struct cluster_answer a;
    mixed[0].group = 1;
    mixed[1].group = 2;
    same[0].group = same[1].group = 1;
    cluster_node_set(c, &(struct node_spec){.name = "1-mixed", .n_cards = 2, .cards = mixed});
    cluster_node_set(c, &(struct node_spec){.name = "2-same", .n_cards = 2, .cards = same});
    for (int policy = 0; policy < 2; policy++) {
        r.node_policy = policy ? NODE_SPREAD : NODE_BINPACK;
        cluster_place(c, &r, (ClusterNode[]){0, 1}, 2, &a);
        g_assert_cmpstr(cluster_node_spec(c, a.node)->name, ==, "2-same");
    }
    cluster_free(c);
}

/* ---- quota ------------------------------------------------------------------------- */

static Cluster *four_cards(void)
{
    Cluster *c = cluster_new(families());
    struct card cards[4] = {card(GPU, "device1", 2000), card(GPU, "device2", 8000),
                            card(GPU, "device3", 4000), card(GPU, "device4", 6000)};
    cluster_node_set(c, &(struct node_spec){.name = "node", .n_cards = 4, .cards = cards});
    return c;
}

struct quota_row {
    const char *name;
    int64_t mem, cores; /* limits; -1 = none */
    uint32_t n_cards;
    uint64_t mib;
    uint32_t ask_cores;
    const char *want; /* card of a single one, "" = whichever, or reasons */
};

static const struct quota_row quota_rows[] = {
    {"two of 2000 within", 4000, 200, 2, 2000, 0, ""},
    {"two of 3000", 4000, 200, 2, 3000, 0, "1/4 AllocatedCardsInsufficientRequest, 3/4 ResourceQuotaNotFit"},
    {"one whole card: the only one within", 2000, -1, 1, 0, 0, "device1"},
    {"no whole card is within", 1500, -1, 1, 0, 0, "4/4 ResourceQuotaNotFit"},
    {"cores", -1, 30, 1, 100, 31, "4/4 ResourceQuotaNotFit"},
    {"cores to the last", -1, 30, 1, 100, 30, ""},
    {"an explicit zero blocks", 0, -1, 1, 1, 0, "4/4 ResourceQuotaNotFit"},
    {"no limit", -1, -1, 1, 8000, 100, "device2"},
};

static void quota_of_the_namespace_is_a_rule_of_cards(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(quota_rows); i++) {
        const struct quota_row *row = &quota_rows[i];
        Cluster *c = four_cards();
        struct pod_request r = ask("p", GPU, row->n_cards, row->mib, row->ask_cores);
        struct cluster_answer a, placed;
        g_autoptr(GString) got = g_string_new(NULL);
        if (row->mem >= 0)
            cluster_quota_set(c, "default", "q", "nvidia.com/gpumem", row->mem);
        if (row->cores >= 0)
            cluster_quota_set(c, "default", "q", "nvidia.com/gpucores", row->cores);
        cluster_quota_set(c, "other", "q", "nvidia.com/gpumem", 0);
        cluster_quota_set(c, "default", "q", "requests.cpu", 0);
        enum sched_reason reason = cluster_fit(c, &r, 0, &a, got);
        cluster_place(c, &r, (ClusterNode[]){0}, 1, &placed);
        g_assert_true((reason == SCHED_FITS) == (placed.reason == SCHED_FITS));
        if (reason == SCHED_FITS && *row->want)
            g_string_append(got, cluster_node_spec(c, 0)->cards[a.grant.grants[0].card].uuid);
        g_test_message("%s: %s", row->name, got->str);
        g_assert_cmpstr(got->str, ==, row->want);
        cluster_free(c);
    }
}

/* B3: containers that run together add up, an init container before them does not. */
static void quota_counts_the_peak_of_the_pod(void)
{
    Cluster *c = four_cards();
    struct pod_request r = ask("p", GPU, 1, 1500, 0);
    struct cluster_answer a;
    cluster_quota_set(c, "default", "q", "nvidia.com/gpumem", 2000);
    r.n_selections = 1;
    r.selections[0] = (struct pod_selection){.family = GPU, .use_uuids = {"device2"}};
    r.n_slots = r.n_requests = 3;
    for (uint8_t i = 1; i < 3; i++) {
        r.requests[i] = r.requests[0];
        r.requests[i].slot = i;
        r.requests[i].mem_bytes = MIB(900);
    }
    r.slot_kind[0] = SLOT_INIT;
    r.slot_kind[1] = r.slot_kind[2] = SLOT_APP;
    g_assert_cmpint(cluster_fit(c, &r, 0, &a, NULL), ==, SCHED_FITS);
    g_assert_null(cluster_quota_exceeded(c, &r));
    r.slot_kind[0] = SLOT_SIDECAR;
    g_autoptr(GString) why = g_string_new(NULL);
    g_assert_cmpint(cluster_fit(c, &r, 0, &a, why), !=, SCHED_FITS);
    g_assert_cmpstr(why->str, ==, "1/4 ResourceQuotaNotFit, 3/4 CardUuidMismatch");
    g_assert_cmpstr(cluster_quota_exceeded(c, &r), ==, "nvidia.com/gpumem");
    cluster_free(c);
}

static bool first_used(const struct cluster_quota *q, void *data)
{
    if (strcmp(q->resource, "nvidia.com/gpumem") == 0)
        *(struct cluster_quota *)data = *q;
    return true;
}

static void used_follows_the_pods_and_the_lowest_limit_counts(void)
{
    Cluster *c = four_cards();
    struct pod_request r = ask("p", GPU, 1, 1500, 0);
    struct cluster_answer a;
    struct cluster_quota q = {0};
    cluster_place(c, &r, (ClusterNode[]){0}, 1, &a);
    g_assert_true(cluster_reserve(c, &r, &a, 10)); /* before there is a quota */
    cluster_quota_set(c, "default", "one", "nvidia.com/gpumem", 3000);
    cluster_quota_set(c, "default", "two", "nvidia.com/gpumem", 2000);
    cluster_quota_each(c, first_used, &q);
    g_assert_cmpint(q.used, ==, 1500);
    g_assert_cmpint(q.limit, ==, 2000);
    r.uid = "other";
    g_assert_cmpint(cluster_fit(c, &r, 0, &a, NULL), ==, SCHED_QUOTA);
    cluster_quota_remove(c, "default", "two"); /* B19: the other stays */
    g_assert_cmpint(cluster_fit(c, &r, 0, &a, NULL), ==, SCHED_FITS);
    cluster_quota_each(c, first_used, &q);
    g_assert_cmpint(q.limit, ==, 3000);
    r.uid = "p"; /* what it holds itself does not count against it */
    g_assert_cmpint(cluster_fit(c, &r, 0, &a, NULL), ==, SCHED_FITS);
    g_assert_true(cluster_reserve(c, &r, &a, 20));
    cluster_release(c, "p");
    cluster_quota_each(c, first_used, &q);
    g_assert_cmpint(q.used, ==, 0);
    cluster_quota_remove(c, "default", "one");
    cluster_quota_remove(c, "nowhere", "one");
    assert_sound(c);
    cluster_free(c);
}

struct admission_row {
    const char *name;
    uint16_t family;
    int64_t mem_limit, cores_limit;
    uint64_t used_mib; /* of the namespace, with used_cores */
    uint32_t used_cores;
    uint32_t n_cards;
    uint64_t mib[4];
    uint32_t cores;
    unsigned n_init;
    bool exceeded;
};

/* TestFitResourceQuota and its kin; MLU counts in units of 256 MiB. */
static const struct admission_row admission_rows[] = {
    {"100 more", GPU, 2000, 400, 1000, 100, 1, {100}, 0, 0, false},
    {"1024 more", GPU, 2000, 400, 1000, 100, 1, {1024}, 0, 0, true},
    {"two of 1024", GPU, 2000, 400, 1000, 100, 2, {1024}, 0, 0, true},
    {"two of 400", GPU, 2000, 400, 1000, 100, 2, {400}, 0, 0, false},
    {"init containers one by one", GPU, 2000, 400, 1000, 100, 1, {800, 800, 500}, 0, 2, false},
    {"an init container alone", GPU, 2000, 400, 1000, 100, 1, {1500, 500}, 0, 1, true},
    {"the init peak decides", GPU, 30000, 400, 20000, 100, 1, {20000, 10000}, 0, 1, true},
    {"the init peak fits", GPU, 30000, 400, 10000, 100, 1, {20000, 10000}, 0, 1, false},
    {"50 units of 100", MLU, 100, 50, 0, 20, 1, {50 * 256}, 0, 0, false},
    {"200 units of 100", MLU, 100, 50, 0, 20, 1, {200 * 256}, 0, 0, true},
    {"every device counts", MLU, 60, 500, 0, 20, 2, {40 * 256}, 0, 0, true},
    {"cores of an MLU", MLU, 100, 50, 0, 20, 1, {256}, 60, 0, true},
    {"a whole card counts nothing at admission", GPU, 2000, 400, 1000, 100, 1, {0}, 0, 0, false},
    {"a family without a quota", NPU, 1, 1, 1000, 100, 1, {1024}, 0, 0, false},
};

static void admission_counts_what_is_asked(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(admission_rows); i++) {
        const struct admission_row *row = &admission_rows[i];
        uint16_t of = row->family == NPU ? GPU : row->family;
        Cluster *c = cluster_new(families());
        struct card one[1] = {card(of, "d", 1000000)};
        uint8_t app = SLOT_APP;
        struct pod_grant g = {.n = 1};
        struct pod_request r = ask("p", row->family, row->n_cards, row->mib[0], row->cores);
        g.grants[0] =
            (struct card_grant){.mem_bytes = MIB(row->used_mib), .cores = row->used_cores, .slices = 1};
        cluster_node_set(c, &(struct node_spec){.name = "n", .n_cards = 1, .cards = one});
        cluster_bound(c, "u", "default", "u", "n", &g, &app, 1, 0, false);
        cluster_quota_set(c, "default", "q", families_[of].resource[FAMILY_MEM], row->mem_limit);
        cluster_quota_set(c, "default", "q", families_[of].resource[FAMILY_CORES], row->cores_limit);
        for (uint8_t k = 1; k < 4 && row->mib[k]; k++) {
            r.requests[k] = r.requests[0];
            r.requests[k].slot = k;
            r.requests[k].mem_bytes = MIB(row->mib[k]);
            r.n_slots = r.n_requests = (uint8_t)(k + 1);
        }
        for (uint8_t k = 0; k < r.n_slots; k++)
            r.slot_kind[k] = k < row->n_init ? SLOT_INIT : SLOT_APP;
        g_test_message("%s", row->name);
        g_assert_true((cluster_quota_exceeded(c, &r) != NULL) == row->exceeded);
        cluster_free(c);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/place/filter_chooses_node_and_card_by_policy", filter_chooses_node_and_card_by_policy);
    g_test_add_func("/place/init_and_app_containers_find_the_card_that_has_both",
                    init_and_app_containers_find_the_card_that_has_both);
    g_test_add_func("/place/ties_go_to_the_lower_name_whatever_the_order",
                    ties_go_to_the_lower_name_whatever_the_order);
    g_test_add_func("/place/a_node_s_score_is_how_full_it_was_before",
                    a_node_s_score_is_how_full_it_was_before);
    g_test_add_func("/place/a_family_s_grade_counts_for_good_under_both_policies",
                    a_family_s_grade_counts_for_good_under_both_policies);
    g_test_add_func("/place/quota_of_the_namespace_is_a_rule_of_cards",
                    quota_of_the_namespace_is_a_rule_of_cards);
    g_test_add_func("/place/quota_counts_the_peak_of_the_pod", quota_counts_the_peak_of_the_pod);
    g_test_add_func("/place/used_follows_the_pods_and_the_lowest_limit_counts",
                    used_follows_the_pods_and_the_lowest_limit_counts);
    g_test_add_func("/place/admission_counts_what_is_asked", admission_counts_what_is_asked);
    return g_test_run();
}
