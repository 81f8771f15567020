/* SPDX-License-Identifier: Apache-2.0
 *
 * Leader election between candidates of one process and a fake server that
 * keeps one Lease as a real one would: versions, conflicts, watches. Rules:
 * client-go tools/leaderelection.
 */
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "kube/lease.h"
#include "kube/lease_term.h"
#include "tests/unit/kube/fake_api.h"

#define NAMED "/apis/coordination.k8s.io/v1/namespaces/ns/leases/l"

/* The server. */
struct store {
    struct fake_api api;
    json_t *lease;
    unsigned version, writes;
    const char *deaf_to; /* identity whose writes are not answered */
    bool no_list;
    bool slow, slow_look; /* the next answer waits, as `waiting` */
    SoupServerMessage *waiting;
};

static char *text_of(struct store *s)
{
    char *text = json_dumps(s->lease, JSON_COMPACT);
    char *copy = g_strdup(text);
    free(text);
    return copy;
}

static void tell(struct store *s, const char *type)
{
    g_autofree char *text = text_of(s);
    g_autofree char *line = g_strdup_printf("{\"type\":\"%s\",\"object\":%s}\n", type, text);
    fake_send_all(&s->api, line);
}

static void set_version(struct store *s)
{
    g_autofree char *version = g_strdup_printf("%u", ++s->version);
    json_object_set_new(json_object_get(s->lease, "metadata"), "resourceVersion", json_string(version));
}

static void store_lease(struct store *s, json_t *lease)
{
    bool fresh = !s->lease;
    json_decref(s->lease);
    s->lease = lease;
    set_version(s);
    tell(s, fresh ? "ADDED" : "MODIFIED");
}

static void store_delete(struct store *s)
{
    set_version(s);
    tell(s, "DELETED");
    json_decref(s->lease);
    s->lease = NULL;
}

static const char *text_at(const json_t *lease, const char *part, const char *key)
{
    const char *text = json_string_value(json_object_get(json_object_get(lease, part), key));
    return text ? text : "";
}

static void on_write(struct store *s, const struct fake_request *r)
{
    json_t *lease = json_loads(r->body, 0, NULL);
    bool create = strcmp(r->method, "POST") == 0;
    g_assert_nonnull(lease);
    s->writes++;
    if (s->deaf_to && strcmp(text_at(lease, "spec", "holderIdentity"), s->deaf_to) == 0) {
        soup_server_message_pause(r->message);
        json_decref(lease);
        return;
    }
    if (create ? s->lease != NULL : !s->lease) {
        fake_status(r, create ? 409 : 404, create ? "AlreadyExists" : "NotFound", NULL);
        json_decref(lease);
        return;
    }
    if (!create && strcmp(text_at(lease, "metadata", "resourceVersion"),
                          text_at(s->lease, "metadata", "resourceVersion")) != 0) {
        fake_status(r, 409, "Conflict", NULL);
        json_decref(lease);
        return;
    }
    store_lease(s, lease);
    g_autofree char *text = text_of(s);
    fake_answer(r, 200, text);
    if (s->slow) {
        s->slow = false;
        s->waiting = r->message;
        soup_server_message_pause(r->message);
    }
}

static void serve(struct fake_api *api, const struct fake_request *r)
{
    struct store *s = api->data;
    if (strcmp(r->method, "GET") != 0) {
        on_write(s, r);
    } else if (strcmp(r->path, NAMED) == 0) {
        g_autofree char *text = s->lease ? text_of(s) : NULL;
        if (text)
            fake_answer(r, 200, text);
        else
            fake_status(r, 404, "NotFound", NULL);
        if (s->slow_look) {
            s->slow_look = false;
            s->waiting = r->message;
            soup_server_message_pause(r->message);
        }
    } else if (s->no_list) {
        fake_status(r, 403, "Forbidden", NULL);
    } else if (strstr(r->query, "watch=1")) {
        fake_stream(api, r, "");
    } else {
        g_assert_nonnull(strstr(r->query, "fieldSelector=metadata.name%3Dl"));
        g_autofree char *text = s->lease ? text_of(s) : g_strdup("");
        g_autofree char *list = g_strdup_printf("{\"metadata\":{\"resourceVersion\":\"%u\"},\"items\":[%s]}",
                                                s->version + 1, text);
        fake_answer(r, 200, list);
    }
}

/* A candidate. */
struct candidate {
    KubeClient *client;
    KubeLease *lease;
    const char *name;
    unsigned started, stopped, errors, *leaders;
    gint64 started_us, stopped_us;
    bool done;
};

static void on_started(void *data)
{
    struct candidate *c = data;
    g_assert_cmpuint(c->started, ==, c->stopped);
    g_assert_true(kube_lease_is_valid(c->lease));
    c->started++;
    c->started_us = g_get_monotonic_time();
    g_assert_cmpuint(++*c->leaders, ==, 1); /* never two */
}

static void on_stopped(void *data)
{
    struct candidate *c = data;
    g_assert_cmpuint(c->started, ==, c->stopped + 1);
    g_assert_false(kube_lease_is_valid(c->lease));
    c->stopped++;
    c->stopped_us = g_get_monotonic_time();
    --*c->leaders;
}

static void on_error(void *data, const GError *error)
{
    struct candidate *c = data;
    (void)error;
    c->errors++;
}

static void on_done(void *data)
{
    struct candidate *c = data;
    c->done = true;
}

static const struct kube_lease_vtable vtable = {on_started, on_stopped, NULL, on_error};

struct fixture {
    struct store store;
    struct candidate a, b;
    unsigned leaders;
    uint32_t rest_ms;
};

/* One second is the shortest duration that the API knows. */
static void join(struct fixture *f, struct candidate *c, const char *name)
{
    GError *error = NULL;
    struct kube_lease_options o = {.namespace = "ns",
                                   .name = "l",
                                   .identity = name,
                                   .duration_ms = 1000,
                                   .renew_deadline_ms = 600,
                                   .retry_ms = 100,
                                   .rest_ms = f->rest_ms};
    c->name = name;
    c->leaders = &f->leaders;
    c->client = fake_api_client(&f->store.api, NULL);
    c->lease = kube_lease_new(c->client, &o, &vtable, c, &error);
    g_assert_no_error(error);
    kube_lease_start(c->lease);
}

static void leave(struct candidate *c)
{
    g_clear_pointer(&c->lease, kube_lease_free);
    g_clear_pointer(&c->client, kube_client_unref);
}

static void open_fixture(struct fixture *f)
{
    memset(f, 0, sizeof *f);
    fake_api_open(&f->store.api, serve, &f->store);
    f->store.version = 10;
}

static void close_fixture(struct fixture *f)
{
    leave(&f->a);
    leave(&f->b);
    fake_api_close(&f->store.api);
    json_decref(f->store.lease);
}

static void wait_watches(struct fixture *f, guint n)
{
    while (f->store.api.streams->len < n)
        g_main_context_iteration(NULL, TRUE);
}

static void test_first_candidate_leads(void)
{
    struct fixture f;
    open_fixture(&f);
    join(&f, &f.a, "a");
    wait_count(&f.a.started, 1);
    g_assert_true(kube_lease_is_valid(f.a.lease));
    g_assert_cmpstr(kube_lease_holder(f.a.lease), ==, "a");
    g_assert_cmpstr(text_at(f.store.lease, "spec", "holderIdentity"), ==, "a");
    g_assert_cmpint(
        json_integer_value(json_object_get(json_object_get(f.store.lease, "spec"), "leaseDurationSeconds")),
        ==, 1);
    /* It is renewed, beyond its first term. */
    wait_count(&f.store.writes, 12);
    g_assert_true(kube_lease_is_valid(f.a.lease));
    g_assert_cmpuint(f.a.stopped, ==, 0);
    close_fixture(&f);
}

static void test_released_lease_is_taken_at_once(void)
{
    struct fixture f;
    open_fixture(&f);
    join(&f, &f.a, "a");
    wait_count(&f.a.started, 1);
    join(&f, &f.b, "b");
    wait_watches(&f, 2);
    wait_ms(150);
    g_assert_cmpuint(f.b.started, ==, 0);
    kube_lease_stop(f.a.lease, on_done, &f.a);
    g_assert_cmpuint(f.a.stopped, ==, 1); /* before anybody is told */
    wait_count(&f.b.started, 1);
    wait_for(&f.a.done);
    g_assert_cmpint(f.b.started_us - f.a.stopped_us, <, 500 * 1000);
    g_assert_cmpint(
        json_integer_value(json_object_get(json_object_get(f.store.lease, "spec"), "leaseTransitions")), ==,
        1);
    close_fixture(&f);
}

static void test_dead_holder_is_waited_out(void)
{
    struct fixture f;
    open_fixture(&f);
    join(&f, &f.a, "a");
    wait_count(&f.a.started, 1);
    join(&f, &f.b, "b");
    wait_watches(&f, 2);
    gint64 dead_us = g_get_monotonic_time();
    leave(&f.a);
    f.leaders = 0;
    wait_count(&f.b.started, 1);
    /* The last renewal was at most a retry period before. */
    g_assert_cmpint(f.b.started_us - dead_us, >=, (1000 - 150) * 1000);
    g_assert_cmpint(f.b.started_us - dead_us, <, 1500 * 1000);
    close_fixture(&f);
}

static void test_leader_without_server_stops_before_another_starts(void)
{
    struct fixture f;
    open_fixture(&f);
    join(&f, &f.a, "a");
    wait_count(&f.a.started, 1);
    join(&f, &f.b, "b");
    wait_watches(&f, 2);
    f.store.deaf_to = "a";
    gint64 deaf_us = g_get_monotonic_time();
    wait_count(&f.a.stopped, 1);
    g_assert_cmpint(f.a.stopped_us - deaf_us, <, 650 * 1000);
    wait_count(&f.b.started, 1); /* on_started() asserts that there is one */
    g_assert_cmpint(f.b.started_us, >, f.a.stopped_us);
    g_assert_cmpuint(f.a.errors, >=, 1);
    close_fixture(&f);
}

static void test_what_others_write_into_the_object_stays(void)
{
    struct fixture f;
    open_fixture(&f);
    join(&f, &f.a, "a");
    wait_count(&f.a.started, 1);
    json_t *edited = json_deep_copy(f.store.lease);
    json_object_set_new(json_object_get(edited, "metadata"), "labels", json_pack("{s:s}", "k", "v"));
    store_lease(&f.store, edited); /* a new version under the leader: its next write conflicts */
    unsigned writes = f.store.writes;
    wait_count(&f.store.writes, writes + 4);
    g_assert_cmpuint(f.a.stopped, ==, 0);
    g_assert_cmpstr(json_string_value(json_object_get(
                        json_object_get(json_object_get(f.store.lease, "metadata"), "labels"), "k")),
                    ==, "v");
    close_fixture(&f);
}

static void test_leader_that_was_replaced_stops(void)
{
    struct fixture f;
    open_fixture(&f);
    join(&f, &f.a, "a");
    wait_count(&f.a.started, 1);
    wait_watches(&f, 1);
    json_t *edited = json_deep_copy(f.store.lease);
    json_object_set_new(json_object_get(edited, "spec"), "holderIdentity", json_string("x"));
    store_lease(&f.store, edited);
    wait_count(&f.a.stopped, 1);
    g_assert_cmpstr(kube_lease_holder(f.a.lease), ==, "x");
    close_fixture(&f);
}

static void earlier_run(struct fixture *f)
{
    open_fixture(f);
    store_lease(&f->store, json_pack("{s:{s:s}, s:{s:s, s:i, s:s, s:i}}", "metadata", "name", "l", "spec",
                                     "holderIdentity", "a", "leaseDurationSeconds", 60, "renewTime",
                                     "2026-01-01T00:00:00.000000Z", "leaseTransitions", 3));
}

/* Its last requests may be on their way still. */
static void test_own_lease_of_an_earlier_run_rests_first(void)
{
    struct fixture f;
    earlier_run(&f);
    f.rest_ms = 300;
    gint64 begin_us = g_get_monotonic_time();
    join(&f, &f.a, "a");
    wait_count(&f.a.started, 1);
    g_assert_cmpint(f.a.started_us - begin_us, >=, 300 * 1000);
    g_assert_cmpuint(f.store.writes, ==, 1);
    close_fixture(&f);
}

static void test_own_lease_of_an_earlier_run_is_taken_up(void)
{
    struct fixture f;
    earlier_run(&f);
    gint64 begin_us = g_get_monotonic_time();
    join(&f, &f.a, "a");
    wait_count(&f.a.started, 1);
    g_assert_cmpint(f.a.started_us - begin_us, <, 500 * 1000);
    g_assert_cmpint(
        json_integer_value(json_object_get(json_object_get(f.store.lease, "spec"), "leaseTransitions")), ==,
        3);
    close_fixture(&f);
}

static void test_deleted_lease_does_not_make_two_leaders(void)
{
    struct fixture f;
    open_fixture(&f);
    join(&f, &f.a, "a");
    wait_count(&f.a.started, 1);
    join(&f, &f.b, "b");
    wait_watches(&f, 2);
    store_delete(&f.store);
    unsigned writes = f.store.writes;
    wait_count(&f.store.writes, writes + 3);
    g_assert_cmpuint(f.a.stopped, ==, 0);
    g_assert_cmpuint(f.b.started, ==, 0);
    g_assert_cmpstr(text_at(f.store.lease, "spec", "holderIdentity"), ==, "a");
    close_fixture(&f);
}

static void test_stopped_within_a_write_is_released_all_the_same(void)
{
    struct fixture f;
    open_fixture(&f);
    f.store.slow = true;
    join(&f, &f.a, "a");
    wait_count(&f.store.writes, 1);
    kube_lease_stop(f.a.lease, on_done, &f.a);
    soup_server_message_unpause(f.store.waiting);
    wait_for(&f.a.done);
    g_assert_cmpuint(f.a.started, ==, 0);
    g_assert_cmpstr(text_at(f.store.lease, "spec", "holderIdentity"), ==, "");
    close_fixture(&f);
}

/* The answer of a look may be older than what the watch has told meanwhile. */
static void test_release_within_a_look_is_not_missed(void)
{
    struct fixture f;
    open_fixture(&f);
    store_lease(&f.store,
                json_pack("{s:{s:s}, s:{s:s, s:i, s:s}}", "metadata", "name", "l", "spec", "holderIdentity",
                          "x", "leaseDurationSeconds", 60, "renewTime", "2026-01-01T00:00:00.000000Z"));
    f.store.slow_look = true;
    join(&f, &f.a, "a");
    wait_watches(&f, 1);
    while (!f.store.waiting)
        g_main_context_iteration(NULL, TRUE);
    json_t *released = json_deep_copy(f.store.lease);
    json_object_set_new(json_object_get(released, "spec"), "holderIdentity", json_string(""));
    store_lease(&f.store, released);
    wait_ms(100);
    g_assert_cmpuint(f.a.started, ==, 0);
    soup_server_message_unpause(f.store.waiting);
    wait_count(&f.a.started, 1);
    close_fixture(&f);
}

static void test_stop_ends_without_server_too(void)
{
    struct fixture f;
    open_fixture(&f);
    join(&f, &f.a, "a");
    wait_count(&f.a.started, 1);
    f.store.deaf_to = "";
    kube_lease_stop(f.a.lease, on_done, &f.a);
    wait_for(&f.a.done);
    close_fixture(&f);
}

static void test_candidate_that_may_not_watch_looks(void)
{
    struct fixture f;
    open_fixture(&f);
    f.store.no_list = true;
    join(&f, &f.a, "a");
    wait_count(&f.a.started, 1);
    join(&f, &f.b, "b");
    wait_ms(200);
    kube_lease_stop(f.a.lease, NULL, NULL);
    wait_count(&f.b.started, 1);
    g_assert_cmpint(f.b.started_us - f.a.stopped_us, <, 500 * 1000);
    g_assert_cmpuint(f.b.errors, >=, 1);
    close_fixture(&f);
}

/* A loop that is busy with something else does not make a term longer: who is about to write asks the clock.
 */
static void test_term_ends_by_the_clock_though_nobody_was_told(void)
{
    struct fixture f;
    open_fixture(&f);
    join(&f, &f.a, "a");
    wait_count(&f.a.started, 1);
    f.store.deaf_to = "a";
    g_usleep(650 * 1000); /* the renew deadline is 600 ms */
    g_assert_cmpuint(f.a.stopped, ==, 0);
    g_assert_false(kube_lease_is_valid(f.a.lease));
    wait_count(&f.a.stopped, 1);
    close_fixture(&f);
}

/* The others count from when the server wrote it, which is before we hear of it. */
static void test_term_counts_from_when_the_renewal_was_sent(void)
{
    struct fixture f;
    open_fixture(&f);
    join(&f, &f.a, "a");
    wait_count(&f.a.started, 1);
    f.store.slow = true;
    while (!f.store.waiting)
        g_main_context_iteration(NULL, TRUE);
    gint64 there_us = g_get_monotonic_time();
    uint64_t renewals = kube_lease_counters(f.a.lease).renewals;
    wait_ms(200);
    f.store.deaf_to = "a";
    soup_server_message_unpause(f.store.waiting);
    while (kube_lease_counters(f.a.lease).renewals == renewals && f.a.stopped == 0)
        g_main_context_iteration(NULL, TRUE);
    g_usleep((gulong)MAX(there_us + 650 * 1000 - g_get_monotonic_time(), 0));
    g_assert_false(kube_lease_is_valid(f.a.lease));
    close_fixture(&f);
}

/* Looked at every 100 ms, and the same each time. */
static void test_record_that_does_not_change_is_no_sign_of_life(void)
{
    struct fixture f;
    open_fixture(&f);
    f.store.no_list = true;
    store_lease(&f.store,
                json_pack("{s:{s:s}, s:{s:s, s:i, s:s}}", "metadata", "name", "l", "spec", "holderIdentity",
                          "x", "leaseDurationSeconds", 1, "renewTime", "2026-01-01T00:00:00.000000Z"));
    gint64 begin_us = g_get_monotonic_time();
    join(&f, &f.a, "a");
    wait_count(&f.a.started, 1);
    g_assert_cmpint(f.a.started_us - begin_us, >=, 990 * 1000);
    close_fixture(&f);
}

/* Whatever a record says of itself, it does not hold for ever. */
static void test_foreign_term_is_bounded(void)
{
    static const struct {
        int64_t says_s, lasts_s;
    } rows[] = {{15, 15}, {86400, 86400}, {86401, 86400}, {INT64_MAX, 86400},
                {0, 7},   {-1, 7},        {INT64_MIN, 7}};
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        struct kube_lease_term t = {0};
        struct kube_lease_record record = {.holder = "x", .duration_s = rows[i].says_s};
        kube_lease_term_observe(&t, json_object(), &record, 1000);
        g_assert_cmpint(kube_lease_term_free_from_us(&t, 7 * G_USEC_PER_SEC), ==,
                        1000 + rows[i].lasts_s * G_USEC_PER_SEC);
        kube_lease_term_clear(&t);
    }
}

static void test_options_that_contradict_are_refused(void)
{
    static const struct kube_lease_options rows[] = {
        {.name = "l", .identity = "a"},
        {.namespace = "n", .name = "l", .identity = ""},
        {.namespace = "n", .name = "l", .identity = "a", .duration_ms = 1500},
        {.namespace = "n", .name = "l", .identity = "a", .duration_ms = 10000},
        {.namespace = "n", .name = "l", .identity = "a", .retry_ms = 9000},
    };
    struct fixture f;
    open_fixture(&f);
    g_autoptr(KubeClient) client = fake_api_client(&f.store.api, NULL);
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        GError *error = NULL;
        g_assert_null(kube_lease_new(client, &rows[i], &vtable, NULL, &error));
        g_assert_error(error, KUBE_ERROR, KUBE_ERROR_INVALID);
        g_clear_error(&error);
    }
    close_fixture(&f);
}

static void test_record_is_written_as_the_api_defines(void)
{
    /* 2026-11-26T08:00:00.000012Z */
    char *text =
        kube_lease_write(NULL, KUBE_LEASE_TAKE, "ns", "l", "me", 15, G_GINT64_CONSTANT(1795680000000012));
    g_assert_cmpstr(
        text, ==,
        "{\"apiVersion\":\"coordination.k8s.io/v1\",\"kind\":\"Lease\",\"metadata\":{\"namespace\":\"ns\","
        "\"name\":\"l\"},\"spec\":{\"leaseTransitions\":0,\"holderIdentity\":\"me\","
        "\"leaseDurationSeconds\":15,\"renewTime\":\"2026-11-26T08:00:00.000012Z\","
        "\"acquireTime\":\"2026-11-26T08:00:00.000012Z\"}}");
    g_free(text);
}

/* int32 in the API: a number beyond is refused, whoever else wrote the last one that is not. */
static void test_transitions_stay_within_their_type(void)
{
    static const json_int_t rows[][2] = {
        {0, 1},        {INT32_MAX - 1, INT32_MAX}, {INT32_MAX, INT32_MAX}, {INT64_MAX, INT32_MAX}, {-1, 0},
        {INT64_MIN, 0}};
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        json_t *object = json_pack("{s:{s:I}}", "spec", "leaseTransitions", rows[i][0]);
        char *text = kube_lease_write(object, KUBE_LEASE_TAKE, "ns", "l", "me", 15, 0);
        json_t *written = json_loads(text, 0, NULL);
        json_int_t transitions =
            json_integer_value(json_object_get(json_object_get(written, "spec"), "leaseTransitions"));
        g_assert_cmpint(transitions, ==, rows[i][1]);
        json_decref(written);
        json_decref(object);
        g_free(text);
    }
}

static void test_record_that_is_none_is_refused(void)
{
    static const char *const rows[] = {"", "[]", "{\"spec\":{}}",
                                       "{\"metadata\":{\"resourceVersion\":\"1\"},\"spec\":[]}",
                                       "{\"metadata\":{\"resourceVersion\":7}}"};
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        struct kube_lease_record record;
        GError *error = NULL;
        g_assert_null(kube_lease_read(rows[i], strlen(rows[i]), &record, &error));
        g_assert_error(error, KUBE_ERROR, KUBE_ERROR_PROTOCOL);
        g_clear_error(&error);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define ADD(name) g_test_add_func("/kube/lease/" #name, test_##name)
    ADD(first_candidate_leads);
    ADD(released_lease_is_taken_at_once);
    ADD(dead_holder_is_waited_out);
    ADD(leader_without_server_stops_before_another_starts);
    ADD(what_others_write_into_the_object_stays);
    ADD(leader_that_was_replaced_stops);
    ADD(own_lease_of_an_earlier_run_is_taken_up);
    ADD(own_lease_of_an_earlier_run_rests_first);
    ADD(deleted_lease_does_not_make_two_leaders);
    ADD(stopped_within_a_write_is_released_all_the_same);
    ADD(release_within_a_look_is_not_missed);
    ADD(stop_ends_without_server_too);
    ADD(candidate_that_may_not_watch_looks);
    ADD(term_ends_by_the_clock_though_nobody_was_told);
    ADD(term_counts_from_when_the_renewal_was_sent);
    ADD(record_that_does_not_change_is_no_sign_of_life);
    ADD(foreign_term_is_bounded);
    ADD(transitions_stay_within_their_type);
    ADD(options_that_contradict_are_refused);
    ADD(record_is_written_as_the_api_defines);
    ADD(record_that_is_none_is_refused);
    return g_test_run();
}
