/* SPDX-License-Identifier: Apache-2.0
 *
 * The ledger step by step: what a pod counts for, who may take its place, what
 * nodes that come and go leave behind, quota. scheduler.md sections 4.5, 4.6,
 * 6.8, 6.9, 11 and 12.
 */
#include "fixture.h"

static Cluster *one_node(uint32_t n_cards, uint64_t mib)
{
    static char uuids[8][8];
    struct card cards[8];
    Cluster *c = cluster_new(families());
    for (uint32_t i = 0; i < n_cards; i++) {
        g_snprintf(uuids[i], sizeof uuids[i], "dev-%u", i);
        cards[i] = card(GPU, uuids[i], mib);
    }
    cluster_node_set(c, &(struct node_spec){.name = "node", .n_cards = n_cards, .cards = cards});
    return c;
}

static enum sched_reason place(Cluster *c, const struct pod_request *r, struct cluster_answer *a)
{
    cluster_place(c, r, (ClusterNode[]){0, 1, 2, 3}, 4, a);
    return a->reason;
}

/* Places and reserves until `deadline`. */
static bool take(Cluster *c, const struct pod_request *r, int64_t deadline)
{
    struct cluster_answer a;
    bool done = place(c, r, &a) == SCHED_FITS && cluster_reserve(c, r, &a, deadline);
    assert_sound(c);
    return done;
}

static void used(const Cluster *c, uint32_t card, uint64_t mib, uint32_t cores, uint16_t slots)
{
    const struct card_use *use = cluster_node_use(c, 0);
    g_assert_cmpuint(use[card].mem_bytes, ==, MIB(mib));
    g_assert_cmpuint(use[card].cores, ==, cores);
    g_assert_cmpuint(use[card].slots, ==, slots);
    assert_sound(c);
}

/* An init container of 20000 MiB and 10 cores, an app of 10000 and 10. */
static struct pod_request with_init(const char *uid)
{
    return ask_twice(uid, 20000, 10000, 10);
}

/* ---- what a pod counts for ---------------------------------------------------------- */

static void a_pod_counts_for_its_peak_and_less_once_started(void)
{
    Cluster *c = one_node(1, 30000);
    struct pod_request r = with_init("a");
    uint64_t freed;
    g_assert_true(take(c, &r, 10));
    used(c, 0, 20000, 10, 1);
    freed = cluster_freed(c);
    cluster_started(c, "a");
    used(c, 0, 10000, 10, 1);
    g_assert_cmpuint(cluster_freed(c), >, freed);
    cluster_started(c, "a");
    used(c, 0, 10000, 10, 1);
    g_assert_true(cluster_release(c, "a"));
    used(c, 0, 0, 0, 0);
    cluster_free(c);
}

static void app_containers_on_one_card_add_up(void)
{
    Cluster *c = one_node(1, 30000);
    struct pod_request r = with_init("a");
    r.slot_kind[0] = SLOT_APP;
    g_assert_false(take(c, &(struct pod_request){0}, 0));
    r.requests[0].mem_bytes = MIB(5000);
    g_assert_true(take(c, &r, 10));
    used(c, 0, 15000, 20, 2);
    cluster_free(c);
}

static void slots_keep_their_numbers_and_kinds(void)
{
    Cluster *c = one_node(1, 30000);
    struct pod_request r = ask("a", GPU, 1, 100, 0);
    struct cluster_pod p;
    r.n_slots = 3; /* a mesh's init container and a sidecar without cards (B1, B9) */
    r.slot_kind[0] = SLOT_INIT;
    r.slot_kind[1] = SLOT_SIDECAR;
    r.slot_kind[2] = SLOT_APP;
    r.requests[0].slot = 2;
    g_assert_true(take(c, &r, 10));
    cluster_started(c, "a"); /* the app's card is not taken for the init container's */
    used(c, 0, 100, 0, 1);
    g_assert_true(cluster_pod_get(c, "a", &p));
    g_assert_cmpuint(p.n_slots, ==, 3);
    g_assert_cmpint(memcmp(p.slot_kind, r.slot_kind, 3), ==, 0);
    g_assert_cmpuint(p.grants[0].slot, ==, 2);
    cluster_free(c);
}

/* ---- reservations --------------------------------------------------------------------- */

static void filtering_again_does_not_count_twice(void)
{
    Cluster *c = one_node(1, 1000);
    struct pod_request r = ask("a", GPU, 1, 900, 0), other = ask("b", GPU, 1, 900, 0);
    g_assert_true(take(c, &r, 10));
    g_assert_false(take(c, &other, 10));
    g_assert_true(take(c, &r, 20));
    used(c, 0, 900, 0, 1);
    g_assert_cmpint(cluster_expire(c, 10), ==, 20);
    used(c, 0, 900, 0, 1);
    cluster_free(c);
}

static void a_reservation_ends_at_its_deadline_unless_bound(void)
{
    Cluster *c = one_node(1, 1000);
    struct pod_request a = ask("a", GPU, 1, 100, 0), b = ask("b", GPU, 1, 100, 0),
                       d = ask("d", GPU, 1, 100, 0);
    g_assert_cmpint(cluster_expire(c, 0), ==, INT64_MAX);
    g_assert_true(take(c, &a, 10) && take(c, &b, 5) && take(c, &d, 7));
    g_assert_true(cluster_binding(c, "d"));
    g_assert_cmpint(cluster_expire(c, 4), ==, 5);
    g_assert_cmpint(cluster_expire(c, 8), ==, 10);
    used(c, 0, 200, 0, 2);
    cluster_bound(c, "a", "default", "a", "node", NULL, NULL, 0, 0, false);
    g_assert_cmpint(cluster_expire(c, 1000), ==, INT64_MAX);
    used(c, 0, 200, 0, 2);
    g_assert_true(cluster_unbind(c, "d", 2000)); /* B2: a failed bind does not hold for ever */
    g_assert_cmpint(cluster_expire(c, 1000), ==, 2000);
    g_assert_cmpint(cluster_expire(c, 2000), ==, INT64_MAX);
    used(c, 0, 100, 0, 1);
    g_assert_false(cluster_release(c, "b"));
    cluster_free(c);
}

static void what_is_bound_or_being_bound_is_not_replaced(void)
{
    Cluster *c = one_node(1, 1000);
    struct pod_request r = ask("a", GPU, 1, 100, 0);
    g_assert_true(take(c, &r, 10));
    g_assert_true(cluster_binding(c, "a"));
    g_assert_false(cluster_binding(c, "a"));
    g_assert_false(take(c, &r, 10));
    cluster_bound(c, "a", "default", "a", "node", NULL, NULL, 0, 0, false);
    g_assert_false(take(c, &r, 10));
    g_assert_false(cluster_unbind(c, "a", 10));
    used(c, 0, 100, 0, 1);
    cluster_free(c);
}

static void an_answer_that_no_longer_fits_is_not_reserved(void)
{
    Cluster *c = one_node(1, 1000);
    struct pod_request a = ask("a", GPU, 1, 600, 0), b = ask("b", GPU, 1, 600, 0);
    struct cluster_answer first, second;
    g_assert_cmpint(place(c, &a, &first), ==, SCHED_FITS);
    g_assert_cmpint(place(c, &b, &second), ==, SCHED_FITS);
    g_assert_true(cluster_reserve(c, &a, &first, 10));
    g_assert_false(cluster_reserve(c, &b, &second, 10));
    second.grant.grants[0].card = 7;
    g_assert_false(cluster_reserve(c, &b, &second, 10));
    second.node = 99;
    g_assert_false(cluster_reserve(c, &b, &second, 10));
    used(c, 0, 600, 0, 1);
    cluster_free(c);
}

/* What was decided a moment ago, and what has come in between. */
static void an_answer_is_reserved_only_beside_what_came_since(void)
{
    static const struct {
        const char *name;
        uint64_t mib; /* of what came, on the same card */
        uint32_t cores, asked_cores;
        uint16_t slots;
        int64_t quota; /* 0 = none */
        bool reserved, alone;
    } rows[] = {
        {"little", 100, 10, 10, 1, 0, true, false},
        {"memory to the last MiB", 600, 10, 10, 1, 0, true, false},
        {"memory", 601, 10, 10, 1, 0, false, false},
        {"cores to the last one", 100, 90, 10, 1, 0, true, false},
        {"cores", 100, 91, 10, 1, 0, false, false},
        {"more cores than there are", 100, 300, 10, 1, 0, false, false},
        {"slots to the last one", 100, 10, 10, 9, 0, true, false},
        {"slots", 100, 10, 10, 10, 0, false, false},
        {"more slots than there are", 100, 10, 10, 300, 0, false, false},
        {"somebody, on a card that is to be the pod's alone", 100, 0, 100, 1, 0, false, true},
        {"a quota to its last MiB", 100, 10, 10, 1, 500, true, false},
        {"a quota", 100, 10, 10, 1, 499, false, false},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        Cluster *c = one_node(1, 1000);
        struct pod_request r = ask("a", GPU, 1, 400, rows[i].asked_cores);
        struct cluster_answer a;
        uint8_t app = SLOT_APP;
        struct pod_grant g = {
            .n = 1,
            .grants = {{.mem_bytes = MIB(rows[i].mib), .cores = rows[i].cores, .slices = rows[i].slots}}};
        r.requests[0].exclusive = rows[i].alone;
        g_test_message("%s", rows[i].name);
        g_assert_cmpint(place(c, &r, &a), ==, SCHED_FITS);
        cluster_bound(c, "other", "default", "other", "node", &g, &app, 1, 0, false);
        if (rows[i].quota)
            cluster_quota_set(c, "default", "q", "nvidia.com/gpumem", rows[i].quota);
        g_assert_cmpint(cluster_reserve(c, &r, &a, 10), ==, rows[i].reserved);
        assert_sound(c);
        cluster_free(c);
    }
}

/* ---- room that comes back: whoever waits is looked at --------------------------------- */

static void room_that_comes_back_is_told_and_nothing_else(void)
{
    Cluster *c = one_node(1, 10000);
    struct pod_grant g = {.n = 1, .grants = {{.mem_bytes = MIB(100), .slices = 1}}};
    uint8_t app = SLOT_APP;
    struct pod_request a = ask("a", GPU, 1, 100, 0), b = ask("b", GPU, 1, 100, 0);
    uint64_t before = cluster_freed(c);
#define TOLD(what)                                                                                           \
    do {                                                                                                     \
        what;                                                                                                \
        g_assert_cmpuint(cluster_freed(c), >, before);                                                       \
        before = cluster_freed(c);                                                                           \
    } while (0)
#define SILENT(what)                                                                                         \
    do {                                                                                                     \
        what;                                                                                                \
        g_assert_cmpuint(cluster_freed(c), ==, before);                                                      \
    } while (0)
    SILENT(g_assert_true(take(c, &a, 10) && take(c, &b, 20)));
    SILENT(cluster_expire(c, 9));
    TOLD(cluster_expire(c, 10));
    SILENT(cluster_expire(c, 11));
    SILENT(g_assert_true(cluster_binding(c, "b")));
    SILENT(cluster_bound(c, "b", "default", "b", "node", NULL, NULL, 0, 0, false)); /* as it was reserved */
    SILENT(cluster_bound(c, "b", "default", "b", "node", &g, &app, 1, 0, false));
    g.grants[0].mem_bytes = MIB(50);
    TOLD(cluster_bound(c, "b", "default", "b", "node", &g, &app, 1, 0, false));
    SILENT(cluster_sweep_begin(c); cluster_touch(c, "b"); cluster_sweep_end(c));
    TOLD(cluster_sweep_begin(c); cluster_sweep_end(c));
    TOLD(cluster_quota_set(c, "default", "q", "nvidia.com/gpumem", 500));
    TOLD(cluster_quota_remove(c, "default", "q"));
    SILENT(g_assert_false(cluster_release(c, "b")));
    g_assert_true(take(c, &b, 20));
    TOLD(g_assert_true(cluster_release(c, "b")));
    cluster_free(c);
}

static void what_the_api_server_says_counts_even_above_what_there_is(void)
{
    Cluster *c = one_node(2, 1000);
    uint8_t app[2] = {SLOT_APP, SLOT_APP};
    struct pod_grant g = {.n = 4};
    struct pod_request r = ask("b", GPU, 1, 100, 0);
    struct cluster_answer a;
    g.grants[0] =
        (struct card_grant){.mem_bytes = MIB(5000), .cores = 300, .card = 0, .slices = 1, .slot = 1};
    g.grants[1] =
        (struct card_grant){.mem_bytes = UINT64_MAX, .cores = UINT32_MAX, .card = 1, .slices = UINT16_MAX};
    g.grants[2] = (struct card_grant){.mem_bytes = MIB(1), .card = 2, .slices = 1}; /* no such card */
    g.grants[3] = (struct card_grant){.mem_bytes = MIB(1), .slot = 2, .slices = 1}; /* no such slot */
    cluster_bound(c, "a", "default", "a", "node", &g, app, 2, 0, false);
    cluster_bound(c, "again", "default", "again", "node", &g, app, 2, 0, false);
    assert_sound(c);
    g_assert_cmpuint(cluster_node_use(c, 0)[1].mem_bytes, ==, UINT64_MAX);
    g_assert_cmpint(place(c, &r, &a), !=, SCHED_FITS);
    cluster_release(c, "a");
    g_assert_cmpuint(cluster_node_use(c, 0)[1].mem_bytes, ==, UINT64_MAX);
    used(c, 0, 5000, 300, 1);
    cluster_release(c, "again");
    used(c, 1, 0, 0, 0);
    g_assert_cmpint(place(c, &r, &a), ==, SCHED_FITS);
    cluster_free(c);
}

static void uids_of_any_form_are_kept(void)
{
    static const char *const uids[] = {
        "7c8ff5b6-9bb7-4d7e-a5c7-1f2b3c4d5e6f", "7C8FF5B6-9BB7-4D7E-A5C7-1F2B3C4D5E6F",
        "7c8ff5b6-9bb7-4d7e-a5c7-1f2b3c4d5e6f0", "0123456789abcdef0123456789abcdef", "x"};
    Cluster *c = one_node(1, 1000);
    g_autofree char *name = g_strnfill(253, 'n'), *too_long = g_strnfill(300, 'u');
    uint8_t slots[64] = {0};
    struct cluster_pod p;
    static struct pod_grant many = {.n = 400};
    for (int i = 0; i < many.n; i++)
        many.grants[i] = (struct card_grant){.mem_bytes = 1, .slices = 1, .slot = (uint8_t)(i % 64)};
    for (size_t i = 0; i < G_N_ELEMENTS(uids); i++)
        cluster_bound(c, uids[i], "default", name, "node", &many, slots, 64, 3, false);
    cluster_bound(c, too_long, "default", name, "node", &many, slots, 64, 3, false);
    cluster_bound(c, "", "default", name, "other", &many, slots, 64, 3, false);
    g_assert_cmpuint(cluster_pod_count(c), ==, G_N_ELEMENTS(uids));
    assert_sound(c);
    for (size_t i = 0; i < G_N_ELEMENTS(uids); i++) {
        g_assert_true(cluster_pod_get(c, uids[i], &p));
        g_assert_cmpstr(p.uid, ==, uids[i]);
        g_assert_cmpstr(p.name, ==, name);
        g_assert_cmpuint(p.n_grants, ==, 400);
        g_assert_cmpint(p.priority, ==, 3);
        g_assert_true(cluster_release(c, uids[i]));
    }
    used(c, 0, 0, 0, 0);
    g_assert_cmpuint(cluster_node_find(c, "other", 5), ==, CLUSTER_NO_NODE);
    cluster_free(c);
}

/* ---- nodes come and go ------------------------------------------------------------------ */

static void set_cards(Cluster *c, const char *const *uuids, uint32_t n)
{
    struct card cards[8];
    for (uint32_t i = 0; i < n; i++)
        cards[i] = card(GPU, uuids[i], 1000);
    cluster_node_set(c, &(struct node_spec){.name = "node", .n_cards = n, .cards = cards});
    assert_sound(c);
}

static void what_is_held_follows_the_card_s_uuid(void)
{
    Cluster *c = one_node(3, 1000); /* dev-0 dev-1 dev-2 */
    struct pod_request r = ask("a", GPU, 3, 100, 0);
    struct cluster_pod p;
    g_assert_true(take(c, &r, 10));
    set_cards(c, (const char *const[]){"new", "dev-2", "dev-0"}, 3);
    used(c, 0, 0, 0, 0);
    used(c, 1, 100, 0, 1);
    used(c, 2, 100, 0, 1);
    g_assert_true(cluster_pod_get(c, "a", &p));
    g_assert_cmpuint(p.n_grants, ==, 3);
    set_cards(c, (const char *const[]){"dev-1"}, 1);
    used(c, 0, 100, 0, 1);
    set_cards(c, NULL, 0);
    set_cards(c, (const char *const[]){"dev-0", "dev-1", "dev-2"}, 3);
    for (uint32_t i = 0; i < 3; i++)
        used(c, i, 100, 0, 1);
    g_assert_true(cluster_release(c, "a"));
    used(c, 1, 0, 0, 0);
    cluster_free(c);
}

/* A register that cannot be read keeps cards that the ledger itself knows. */
static void cards_may_be_made_of_those_they_replace(void)
{
    Cluster *c = one_node(2, 1000);
    struct card cards[3];
    const struct node_spec *known = cluster_node_spec(c, 0);
    g_autofree char *type = g_strdup(known->cards[0].type);
    memcpy(cards, known->cards, 2 * sizeof *cards);
    cards[2] = card(GPU, "dev-2", 1000);
    cards[2].type = "another product";
    cluster_node_set(c, &(struct node_spec){.name = "node", .n_cards = 3, .cards = cards});
    known = cluster_node_spec(c, 0);
    for (uint32_t i = 0; i < 2; i++) {
        g_autofree char *uuid = g_strdup_printf("dev-%u", i);
        g_assert_cmpstr(known->cards[i].uuid, ==, uuid);
        g_assert_cmpstr(known->cards[i].type, ==, type);
    }
    assert_sound(c);
    cluster_free(c);
}

static void pods_outlive_their_node(void)
{
    Cluster *c = one_node(1, 1000);
    struct pod_request r = ask("a", GPU, 1, 100, 0);
    struct cluster_pod p;
    g_assert_true(take(c, &r, 10));
    cluster_node_remove(c, "node");
    cluster_node_remove(c, "node");
    assert_sound(c);
    g_assert_cmpuint(cluster_node_count(c), ==, 0);
    g_assert_true(cluster_pod_get(c, "a", &p));
    g_assert_cmpuint(p.node, ==, CLUSTER_NO_NODE);
    g_assert_cmpstr(p.node_name, ==, "node");
    g_assert_null(cluster_node_spec(c, 0));
    g_assert_false(take(c, &r, 10));
    set_cards(c, (const char *const[]){"dev-0"}, 1);
    used(c, 0, 100, 0, 1);
    cluster_node_remove(c, "node");
    g_assert_cmpint(cluster_expire(c, 10), ==, INT64_MAX);
    g_assert_cmpuint(cluster_node_find(c, "node", 4), ==, CLUSTER_NO_NODE);
    cluster_free(c);
}

static void a_node_with_less_than_is_taken_takes_no_more(void)
{
    Cluster *c = one_node(1, 4000);
    struct pod_request a = ask("a", GPU, 1, 3000, 0), b = ask("b", GPU, 1, 500, 0);
    g_assert_true(take(c, &a, 10));
    set_cards(c, (const char *const[]){"dev-0"}, 1); /* 1000 MiB */
    used(c, 0, 3000, 0, 1);
    g_assert_false(take(c, &b, 10));
    cluster_release(c, "a");
    g_assert_true(take(c, &b, 10));
    cluster_free(c);
}

/* B4: the reference sees a cordon only when the node registers again. */
static void a_cordon_is_seen_at_once_and_survives_registering(void)
{
    Cluster *c = one_node(2, 1000);
    struct pod_request r = ask("a", GPU, 1, 100, 0);
    struct cluster_answer a;
    g_assert_true(cluster_node_cordon(c, 0, "dev-1, "));
    g_assert_cmpint(place(c, &r, &a), ==, SCHED_FITS);
    g_assert_cmpuint(a.grant.grants[0].card, ==, 0);
    g_assert_true(cluster_node_cordon(c, 0, "dev-1,dev-0"));
    g_assert_cmpint(place(c, &r, &a), ==, SCHED_CORDONED);
    set_cards(c, (const char *const[]){"dev-0", "dev-1"}, 2);
    g_assert_cmpint(place(c, &r, &a), ==, SCHED_CORDONED);
    uint64_t freed = cluster_freed(c);
    g_assert_true(cluster_node_cordon(c, 0, NULL));
    g_assert_cmpuint(cluster_freed(c), >, freed);
    g_assert_cmpint(place(c, &r, &a), ==, SCHED_FITS);
    g_assert_false(cluster_node_cordon(c, 5, "dev-0"));
    cluster_free(c);
}

static void a_sweep_ends_what_is_bound_and_not_listed(void)
{
    Cluster *c = one_node(1, 10000);
    struct pod_grant g = {.n = 1, .grants = {{.mem_bytes = MIB(100), .slices = 1}}};
    uint8_t app = SLOT_APP;
    struct pod_request r = ask("reserved", GPU, 1, 100, 0), w = ask("binding", GPU, 1, 100, 0);
    for (int i = 0; i < 3; i++)
        cluster_bound(c, i == 0 ? "a" : i == 1 ? "b" : "d", "default", "x", "node", &g, &app, 1, 0, false);
    g_assert_true(take(c, &r, 10) && take(c, &w, 10) && cluster_binding(c, "binding"));
    cluster_sweep_begin(c);
    cluster_touch(c, "a");
    cluster_sweep_begin(c); /* the list was begun again */
    cluster_touch(c, "d");
    cluster_bound(c, "e", "default", "x", "node", &g, &app, 1, 0, false);
    cluster_sweep_end(c);
    g_assert_false(cluster_release(c, "a") || cluster_release(c, "b"));
    g_assert_cmpuint(cluster_pod_count(c), ==, 4);
    cluster_sweep_begin(c);
    cluster_sweep_end(c);
    g_assert_cmpuint(cluster_pod_count(c), ==, 2);
    used(c, 0, 200, 0, 2);
    cluster_free(c);
}

static void a_template_node_is_fitted_and_leaves_nothing_behind(void)
{
    Cluster *c = one_node(1, 1000);
    struct card cards[1] = {card(GPU, "t", 4000)};
    struct node_spec template = {.name = "template", .n_cards = 1, .cards = cards}, bare = {.name = "bare"};
    struct pod_request r = ask("a", GPU, 1, 3000, 0), large = ask("b", GPU, 1, 5000, 0);
    struct cluster_answer a;
    g_autoptr(GString) why = g_string_new(NULL);
    g_assert_cmpint(cluster_fit_spec(c, &r, &template, &a, why), ==, SCHED_FITS);
    g_assert_cmpuint(a.grant.n, ==, 1);
    g_assert_cmpint(cluster_fit_spec(c, &large, &template, &a, why), ==, SCHED_MEMORY);
    g_assert_cmpstr(why->str, ==, "1/1 CardInsufficientMemory");
    g_string_truncate(why, 0);
    g_assert_cmpint(cluster_fit_spec(c, &large, &bare, &a, why), ==, SCHED_UNREGISTERED);
    g_assert_cmpstr(why->str, ==, "node unregistered");
    g_assert_cmpuint(cluster_node_count(c), ==, 1);
    g_assert_cmpuint(cluster_pod_count(c), ==, 0);
    used(c, 0, 0, 0, 0);
    cluster_free(c);
}

static void fitting_without_some_pods_is_as_if_they_had_ended(void)
{
    Cluster *c = one_node(1, 1000);
    struct pod_request a = ask("a", GPU, 1, 400, 0), b = ask("b", GPU, 1, 400, 0),
                       r = ask("r", GPU, 1, 900, 0);
    struct cluster_answer answer;
    g_assert_true(take(c, &a, 10) && take(c, &b, 10));
    g_assert_cmpint(cluster_fit_without(c, &r, 0, (const char *const[]){"a"}, 1, &answer), ==, SCHED_MEMORY);
    g_assert_cmpint(cluster_fit_without(c, &r, 0, (const char *const[]){"a", "b", "none"}, 3, &answer), ==,
                    SCHED_FITS);
    used(c, 0, 800, 0, 2);
    cluster_free(c);
}

/* A guess that is compared must mean what reading the text would. */
static void a_guessed_name_is_what_reading_it_gives(void)
{
    static const struct {
        const char *name, *text;
        size_t spelled;
    } rows[] = {
        {"node-1", "\"node-1\"", 8},
        {"node-1", "\"node-1\",\"node-2\"]", 8},
        {"node-1", "\"node-10\"", 0},
        {"node-1", "\"node-\"", 0},
        {"node-1", "\"node-1", 0},
        {"node-1", "node-1\"", 0},
        {"node-1", "\"node\\u002d1\"", 0},
        {"node-1", "", 0},
        {"a\"", "\"a\"\"", 0}, /* read: a, then a fault */
        {"a\\", "\"a\\\"", 0}, /* read: a text that does not end */
        {"a\n", "\"a\n\"", 0},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        Cluster *c = cluster_new(families());
        ClusterNode n = cluster_node_set(c, &(struct node_spec){.name = rows[i].name});
        size_t len = strlen(rows[i].text);
        g_autofree char *text = g_memdup2(rows[i].text, MAX(len, 1)); /* no byte more */
        g_test_message("%s for %s", rows[i].text, rows[i].name);
        g_assert_cmpuint(cluster_node_spelled(c, n, text, text + len), ==, rows[i].spelled);
        g_assert_cmpuint(cluster_node_spelled(c, n + 1, text, text + len), ==, 0);
        g_assert_cmpuint(cluster_node_spelled(c, CLUSTER_NO_NODE, text, text + len), ==, 0);
        cluster_node_remove(c, rows[i].name);
        g_assert_cmpuint(cluster_node_spelled(c, n, text, text + len), ==, 0);
        cluster_free(c);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/cluster/a_pod_counts_for_its_peak_and_less_once_started",
                    a_pod_counts_for_its_peak_and_less_once_started);
    g_test_add_func("/cluster/app_containers_on_one_card_add_up", app_containers_on_one_card_add_up);
    g_test_add_func("/cluster/a_guessed_name_is_what_reading_it_gives",
                    a_guessed_name_is_what_reading_it_gives);
    g_test_add_func("/cluster/slots_keep_their_numbers_and_kinds", slots_keep_their_numbers_and_kinds);
    g_test_add_func("/cluster/filtering_again_does_not_count_twice", filtering_again_does_not_count_twice);
    g_test_add_func("/cluster/a_reservation_ends_at_its_deadline_unless_bound",
                    a_reservation_ends_at_its_deadline_unless_bound);
    g_test_add_func("/cluster/what_is_bound_or_being_bound_is_not_replaced",
                    what_is_bound_or_being_bound_is_not_replaced);
    g_test_add_func("/cluster/an_answer_that_no_longer_fits_is_not_reserved",
                    an_answer_that_no_longer_fits_is_not_reserved);
    g_test_add_func("/cluster/an_answer_is_reserved_only_beside_what_came_since",
                    an_answer_is_reserved_only_beside_what_came_since);
    g_test_add_func("/cluster/room_that_comes_back_is_told_and_nothing_else",
                    room_that_comes_back_is_told_and_nothing_else);
    g_test_add_func("/cluster/what_the_api_server_says_counts_even_above_what_there_is",
                    what_the_api_server_says_counts_even_above_what_there_is);
    g_test_add_func("/cluster/uids_of_any_form_are_kept", uids_of_any_form_are_kept);
    g_test_add_func("/cluster/what_is_held_follows_the_card_s_uuid", what_is_held_follows_the_card_s_uuid);
    g_test_add_func("/cluster/cards_may_be_made_of_those_they_replace",
                    cards_may_be_made_of_those_they_replace);
    g_test_add_func("/cluster/pods_outlive_their_node", pods_outlive_their_node);
    g_test_add_func("/cluster/a_node_with_less_than_is_taken_takes_no_more",
                    a_node_with_less_than_is_taken_takes_no_more);
    g_test_add_func("/cluster/a_cordon_is_seen_at_once_and_survives_registering",
                    a_cordon_is_seen_at_once_and_survives_registering);
    g_test_add_func("/cluster/a_sweep_ends_what_is_bound_and_not_listed",
                    a_sweep_ends_what_is_bound_and_not_listed);
    g_test_add_func("/cluster/a_template_node_is_fitted_and_leaves_nothing_behind",
                    a_template_node_is_fitted_and_leaves_nothing_behind);
    g_test_add_func("/cluster/fitting_without_some_pods_is_as_if_they_had_ended",
                    fitting_without_some_pods_is_as_if_they_had_ended);
    return g_test_run();
}
