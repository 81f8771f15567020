/* SPDX-License-Identifier: Apache-2.0
 *
 * The event recorder: what is counted together, what is dropped, and the Event
 * that is written (core v1; naming and limits as client-go's tools/record).
 */
#include <jansson.h>
#include <string.h>

#include "kube/event_body.h"
#include "kube/events.h"
#include "tests/unit/kube/fake_api.h"

static gint64 now_us;

static gint64 test_clock(void)
{
    return now_us;
}

struct fixture {
    struct fake_api api;
    KubeClient *client;
    KubeEvents *events;
    GPtrArray *log; /* "POST PATH BODY" */
    unsigned posts, patches;
    unsigned fail_posts, fail_patches; /* HTTP status, 0 = none */
    bool hold;
    bool flushed;
};

static void serve(struct fake_api *api, const struct fake_request *r)
{
    struct fixture *f = api->data;
    bool post = strcmp(r->method, "POST") == 0;
    unsigned fail = post ? f->fail_posts : f->fail_patches;
    g_ptr_array_add(f->log, g_strdup_printf("%s %s %s", r->method, r->path, r->body));
    if (fail)
        fake_status(r, fail, fail == 404 ? "NotFound" : fail == 409 ? "AlreadyExists" : "Forbidden", NULL);
    else
        fake_answer(r, post ? 201 : 200, "{}");
    if (f->hold) {
        g_ptr_array_add(api->streams, g_object_ref(r->message));
        soup_server_message_pause(r->message);
    }
    if (post)
        f->posts++;
    else
        f->patches++;
}

static void open_fixture(struct fixture *f, const struct kube_events_options *options)
{
    struct kube_events_options o = options ? *options : (struct kube_events_options){0};
    memset(f, 0, sizeof *f);
    now_us = 1;
    o.now_us = test_clock;
    o.component = o.component ? o.component : "hami-scheduler";
    f->log = g_ptr_array_new_with_free_func(g_free);
    fake_api_open(&f->api, serve, f);
    f->client = fake_api_client(&f->api, NULL);
    f->events = kube_events_new(f->client, &o);
}

static void close_fixture(struct fixture *f)
{
    kube_events_free(f->events);
    kube_client_unref(f->client);
    fake_api_close(&f->api);
    g_ptr_array_unref(f->log);
}

static void on_flushed(void *data)
{
    struct fixture *f = data;
    f->flushed = true;
}

static void flush(struct fixture *f)
{
    f->flushed = false;
    kube_events_flush_async(f->events, on_flushed, f);
    wait_for(&f->flushed);
}

static const struct kube_object_ref pod = {"v1", "Pod", "team", "job-1", "u-1"};

static json_t *body_of(struct fixture *f, guint i)
{
    g_assert_cmpuint(i, <, f->log->len);
    json_t *body = json_loads(strchr(f->log->pdata[i], '{'), 0, NULL);
    g_assert_nonnull(body);
    return body;
}

static const char *text(json_t *object, const char *part, const char *key)
{
    const char *value =
        json_string_value(json_object_get(part ? json_object_get(object, part) : object, key));
    return value ? value : "";
}

static void test_event_is_written_as_core_v1(void)
{
    struct fixture f;
    open_fixture(&f, NULL);
    kube_events_emit(f.events, &pod, "Warning", "FilteringFailed", "no available node, 3 nodes do not meet");
    flush(&f);
    g_assert_true(g_str_has_prefix(f.log->pdata[0], "POST /api/v1/namespaces/team/events {"));
    json_t *body = body_of(&f, 0);
    g_assert_cmpstr(text(body, NULL, "kind"), ==, "Event");
    g_assert_cmpstr(text(body, NULL, "apiVersion"), ==, "v1");
    g_assert_cmpstr(text(body, NULL, "type"), ==, "Warning");
    g_assert_cmpstr(text(body, NULL, "reason"), ==, "FilteringFailed");
    g_assert_cmpstr(text(body, NULL, "message"), ==, "no available node, 3 nodes do not meet");
    g_assert_cmpstr(text(body, "source", "component"), ==, "hami-scheduler");
    g_assert_cmpstr(text(body, "metadata", "namespace"), ==, "team");
    g_assert_true(g_str_has_prefix(text(body, "metadata", "name"), "job-1."));
    g_assert_cmpstr(text(body, "involvedObject", "kind"), ==, "Pod");
    g_assert_cmpstr(text(body, "involvedObject", "uid"), ==, "u-1");
    g_assert_cmpstr(text(body, "involvedObject", "namespace"), ==, "team");
    g_assert_cmpint(json_integer_value(json_object_get(body, "count")), ==, 1);
    g_assert_true(g_regex_match_simple("^\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\dZ$",
                                       text(body, NULL, "lastTimestamp"), 0, 0));
    json_decref(body);
    close_fixture(&f);
}

static void test_event_of_a_node_lies_in_default(void)
{
    struct fixture f;
    open_fixture(&f, NULL);
    kube_events_emit(f.events, &(struct kube_object_ref){"v1", "Node", NULL, "n1", "u"}, "Normal", "R", "m");
    flush(&f);
    g_assert_true(g_str_has_prefix(f.log->pdata[0], "POST /api/v1/namespaces/default/events {"));
    json_t *body = body_of(&f, 0);
    g_assert_null(json_object_get(json_object_get(body, "involvedObject"), "namespace"));
    json_decref(body);
    close_fixture(&f);
}

static void test_equal_events_are_counted(void)
{
    struct fixture f;
    open_fixture(&f, NULL);
    for (int i = 0; i < 3; i++) {
        kube_events_emit(f.events, &pod, "Normal", "R", "m");
        flush(&f);
    }
    kube_events_emit(f.events, &pod, "Normal", "R", "another message");
    flush(&f);
    g_assert_cmpuint(f.posts, ==, 2);
    g_assert_cmpuint(f.patches, ==, 2);
    json_t *created = body_of(&f, 0), *counted = body_of(&f, 2);
    g_autofree char *path =
        g_strdup_printf("PATCH /api/v1/namespaces/team/events/%s {", text(created, "metadata", "name"));
    g_assert_true(g_str_has_prefix(f.log->pdata[2], path));
    g_assert_cmpint(json_integer_value(json_object_get(counted, "count")), ==, 3);
    json_decref(created);
    json_decref(counted);
    close_fixture(&f);
}

static void test_equal_events_in_a_row_are_one_request(void)
{
    struct fixture f;
    open_fixture(&f, &(struct kube_events_options){.in_flight_max = 1});
    for (int i = 0; i < 20; i++)
        kube_events_emit(f.events, &pod, "Normal", "R", "m");
    flush(&f);
    g_assert_cmpuint(f.posts, ==, 1);
    g_assert_cmpuint(f.patches, ==, 1);
    json_t *counted = body_of(&f, 1);
    g_assert_cmpint(json_integer_value(json_object_get(counted, "count")), ==, 20);
    json_decref(counted);
    close_fixture(&f);
}

static void test_window_of_ten_minutes_begins_anew(void)
{
    struct fixture f;
    open_fixture(&f, NULL);
    kube_events_emit(f.events, &pod, "Normal", "R", "m");
    flush(&f);
    now_us += 600 * G_USEC_PER_SEC;
    kube_events_emit(f.events, &pod, "Normal", "R", "m");
    flush(&f);
    g_assert_cmpuint(f.patches, ==, 1);
    now_us += 601 * G_USEC_PER_SEC;
    kube_events_emit(f.events, &pod, "Normal", "R", "m");
    flush(&f);
    g_assert_cmpuint(f.posts, ==, 2);
    close_fixture(&f);
}

static void test_event_that_the_server_dropped_is_made_anew(void)
{
    struct fixture f;
    open_fixture(&f, NULL);
    kube_events_emit(f.events, &pod, "Normal", "R", "m");
    flush(&f);
    f.fail_patches = 404;
    kube_events_emit(f.events, &pod, "Normal", "R", "m");
    flush(&f);
    g_assert_cmpuint(f.posts, ==, 2);
    json_t *body = body_of(&f, 2);
    g_assert_cmpint(json_integer_value(json_object_get(body, "count")), ==, 2);
    json_decref(body);
    close_fixture(&f);
}

static void test_repeated_creation_is_no_failure(void)
{
    struct fixture f;
    open_fixture(&f, NULL);
    f.fail_posts = 409;
    kube_events_emit(f.events, &pod, "Normal", "R", "m");
    flush(&f);
    g_assert_cmpuint(kube_events_counters(f.events).failed, ==, 0);
    kube_events_emit(f.events, &pod, "Normal", "R", "m");
    flush(&f);
    g_assert_cmpuint(f.patches, ==, 1);
    close_fixture(&f);
}

static void test_refused_event_is_counted_and_forgotten(void)
{
    struct fixture f;
    open_fixture(&f, NULL);
    f.fail_posts = 403;
    kube_events_emit(f.events, &pod, "Normal", "R", "m");
    flush(&f);
    g_assert_cmpuint(kube_events_counters(f.events).failed, ==, 1);
    f.fail_posts = 0;
    kube_events_emit(f.events, &pod, "Normal", "R", "m");
    flush(&f);
    g_assert_cmpuint(f.posts, ==, 2);
    g_assert_cmpuint(f.patches, ==, 0);
    close_fixture(&f);
}

static void test_one_object_cannot_crowd_out_others(void)
{
    struct fixture f;
    open_fixture(&f, NULL);
    for (int i = 0; i < 40; i++) {
        g_autofree char *message = g_strdup_printf("message %d", i);
        kube_events_emit(f.events, &pod, "Normal", "R", message);
    }
    kube_events_emit(f.events, &(struct kube_object_ref){"v1", "Pod", "team", "job-2", "u-2"}, "Normal", "R",
                     "m");
    flush(&f);
    g_assert_cmpuint(f.posts, ==, 26);
    g_assert_cmpuint(kube_events_counters(f.events).dropped_rate, ==, 15);
    /* One more every five minutes. */
    now_us += 301 * G_USEC_PER_SEC;
    kube_events_emit(f.events, &pod, "Normal", "R", "x");
    kube_events_emit(f.events, &pod, "Normal", "R", "y");
    flush(&f);
    g_assert_cmpuint(f.posts, ==, 27);
    close_fixture(&f);
}

static void test_one_namespace_cannot_crowd_out_others(void)
{
    struct fixture f;
    open_fixture(&f, NULL);
    for (int i = 0; i < 900; i++) {
        g_autofree char *name = g_strdup_printf("pod-%d", i);
        kube_events_emit(f.events, &(struct kube_object_ref){"v1", "Pod", "evil", name, name}, "Warning", "R",
                         "m");
    }
    kube_events_emit(f.events, &pod, "Normal", "R", "m");
    flush(&f);
    g_assert_cmpuint(f.posts, ==, 501);
    g_assert_cmpuint(kube_events_counters(f.events).dropped_rate, ==, 400);
    now_us += G_USEC_PER_SEC;
    for (int i = 0; i < 100; i++) {
        g_autofree char *name = g_strdup_printf("late-%d", i);
        kube_events_emit(f.events, &(struct kube_object_ref){"v1", "Pod", "evil", name, name}, "Warning", "R",
                         "m");
    }
    flush(&f);
    g_assert_cmpuint(f.posts, ==, 521);
    close_fixture(&f);
}

static void test_full_queue_drops_and_never_waits(void)
{
    struct fixture f;
    open_fixture(&f, &(struct kube_events_options){.queue_max = 10, .in_flight_max = 2});
    f.hold = true;
    for (int i = 0; i < 100; i++) {
        g_autofree char *name = g_strdup_printf("pod-%d", i);
        kube_events_emit(f.events, &(struct kube_object_ref){"v1", "Pod", "team", name, name}, "Normal", "R",
                         "m");
    }
    struct kube_events_counters c = kube_events_counters(f.events);
    g_assert_cmpuint(c.emitted, ==, 100);
    g_assert_cmpuint(c.queued, ==, 10);
    g_assert_cmpuint(c.dropped_full, ==, 88);
    wait_count(&f.posts, 2);
    close_fixture(&f); /* with requests under way */
}

static void test_many_objects_are_forgotten_in_turn(void)
{
    struct fixture f;
    open_fixture(&f, &(struct kube_events_options){
                         .queue_max = 100000, .in_flight_max = 1, .namespace_burst = 100000});
    for (int i = 0; i < 10000; i++) {
        g_autofree char *name = g_strdup_printf("pod-%d", i);
        kube_events_emit(f.events, &(struct kube_object_ref){"v1", "Pod", "team", name, name}, "Normal", "R",
                         "m");
    }
    g_assert_cmpuint(kube_events_counters(f.events).dropped_rate, ==, 0);
    g_assert_cmpuint(kube_events_counters(f.events).queued, ==, 9999);
    close_fixture(&f);
}

static void test_texts_are_cut_between_characters(void)
{
    struct kube_event_text t;
    g_autofree char *a = g_strnfill(KUBE_EVENT_TEXT_MAX - 1, 'a');
    g_autofree char *message = g_strconcat(a, "\xc3\xa9", NULL); /* one byte too many */
    kube_event_text_init(&t, &pod, "Normal", "R", message);
    g_assert_cmpstr(t.message, ==, a);
    kube_event_text_clear(&t);
    kube_event_text_init(&t, &pod, "Normal", "R", "bad \xff byte");
    g_assert_true(g_utf8_validate(t.message, -1, NULL));
    kube_event_text_clear(&t);
}

static void test_names_are_valid(void)
{
    g_autofree char *longest = g_strnfill(253, 'a');
    longest[235] = '-';
    g_autofree char *cut = kube_event_name(longest, 0x123);
    g_autofree char *plain = kube_event_name("job-1", 0x123);
    g_assert_cmpstr(plain, ==, "job-1.0000000000000123");
    g_assert_cmpuint(strlen(cut), ==, 235 + 17); /* a name does not end in "-" before the dot */
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define ADD(name) g_test_add_func("/kube/events/" #name, test_##name)
    ADD(event_is_written_as_core_v1);
    ADD(event_of_a_node_lies_in_default);
    ADD(equal_events_are_counted);
    ADD(equal_events_in_a_row_are_one_request);
    ADD(window_of_ten_minutes_begins_anew);
    ADD(event_that_the_server_dropped_is_made_anew);
    ADD(repeated_creation_is_no_failure);
    ADD(refused_event_is_counted_and_forgotten);
    ADD(one_object_cannot_crowd_out_others);
    ADD(one_namespace_cannot_crowd_out_others);
    ADD(full_queue_drops_and_never_waits);
    ADD(many_objects_are_forgotten_in_turn);
    ADD(texts_are_cut_between_characters);
    ADD(names_are_valid);
    return g_test_run();
}
