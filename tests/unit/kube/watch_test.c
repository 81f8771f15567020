/* SPDX-License-Identifier: Apache-2.0
 *
 * The reflector against a fake server, fault by fault. What a server may send:
 * Kubernetes API concepts, "Efficient detection of changes", "410 Gone
 * responses", "Watch bookmarks", "Retrieving large results sets in chunks".
 */
#include <stdio.h>
#include <string.h>

#include "kube/watch.h"
#include "kube/watch_parse.h"
#include "tests/unit/kube/watch_fixture.h"

static bool is_watch(const struct fake_request *r)
{
    return strstr(r->query, "watch=1") != NULL;
}

static void pages(struct fake_api *api, const struct fake_request *r)
{
    switch (r->number) {
    case 1:
        g_assert_cmpstr(r->query, ==, "limit=2&labelSelector=a%3Db&fieldSelector=spec.nodeName%3Dn");
        fake_answer(r, 200, LIST("7", ",\"continue\":\"t/1\"", OBJECT("a", "1") "," OBJECT("b", "2")));
        break;
    case 2:
        g_assert_nonnull(strstr(r->query, "limit=2&continue=t%2F1&"));
        /* Items first: the order of keys is the server's. */
        fake_answer(r, 200, "{\"items\":[" OBJECT("c", "3") "],\"metadata\":{\"resourceVersion\":\"7\"}}");
        break;
    default:
        g_assert_nonnull(strstr(r->query, "allowWatchBookmarks=true&resourceVersion=7&timeoutSeconds=300&"));
        fake_stream(api, r, EVENT("ADDED", "d", "8"));
    }
}

static void test_list_in_pages_then_watch_from_its_version(void)
{
    struct fixture f;
    open_fixture(&f, pages,
                 &(struct kube_watch_options){
                     .page = 2, .label_selector = "a=b", .field_selector = "spec.nodeName=n"});
    wait_count(&f.record.objects, 4);
    g_assert_cmpstr(f.record.log->str, ==, "begin 1|ADDED a|ADDED b|ADDED c|synced|ADDED d");
    struct kube_watch_counters c = kube_watch_counters(f.record.watch);
    g_assert_cmpuint(c.pages, ==, 2);
    g_assert_cmpuint(c.lists, ==, 1);
    g_assert_cmpuint(c.events, ==, 1);
    g_assert_true(c.watching && c.synced);
    close_fixture(&f);
}

/* The server comes back and has forgotten: what waited for it does not wait on. */
static void down_then_gone(struct fake_api *api, const struct fake_request *r)
{
    struct fixture *f = api->data;
    if (is_watch(r) && f->resets < 3)
        fake_reset(r), f->resets++;
    else if (is_watch(r) && f->resets++ == 3)
        fake_status(r, 410, "Expired", NULL), f->moment_us = g_get_monotonic_time();
    else if (is_watch(r))
        fake_stream(api, r, "");
    else
        fake_answer(r, 200, LIST("5", "", ""));
}

static void test_expired_after_failures_lists_at_once(void)
{
    struct fixture f;
    open_fixture(&f, down_then_gone,
                 &(struct kube_watch_options){.backoff_first_ms = 400, .backoff_cap_ms = 60000});
    wait_count(&f.record.begins, 2);
    /* The next wait would have been 800 ms. */
    g_assert_cmpint(g_get_monotonic_time() - f.moment_us, <, 500 * 1000);
    g_assert_cmpstr(f.record.log->str, ==, "begin 1|synced|error|begin 2");
    close_fixture(&f);
}

/* An empty list, and a stream for every watch. */
static void plain(struct fake_api *api, const struct fake_request *r)
{
    if (is_watch(r))
        fake_stream(api, r, "");
    else
        fake_answer(r, 200, LIST("5", "", ""));
}

static void wait_stream(struct fixture *f, unsigned requests)
{
    wait_count(&f->api.requests, requests);
}

static void test_events_split_anywhere_are_put_together(void)
{
    static const char text[] =
        EVENT("ADDED", "a", "6") EVENT("MODIFIED", "a", "7") "\r\n" EVENT("DELETED", "a", "8");
    struct fixture f;
    open_fixture(&f, plain, NULL);
    wait_stream(&f, 2);
    for (const char *c = text; *c; c++) {
        char one[2] = {*c, '\0'};
        fake_send(&f.api, one);
    }
    wait_count(&f.record.objects, 3);
    g_assert_cmpstr(f.record.log->str, ==, "begin 1|synced|ADDED a|MODIFIED a|DELETED a");
    close_fixture(&f);
}

static void continues(struct fake_api *api, const struct fake_request *r)
{
    static const char *const versions[] = {"resourceVersion=5&", "resourceVersion=9&", "resourceVersion=10&"};
    if (!is_watch(r)) {
        fake_answer(r, 200, LIST("5", "", ""));
        return;
    }
    g_assert_cmpuint(r->number - 2, <, G_N_ELEMENTS(versions));
    g_assert_nonnull(strstr(r->query, versions[r->number - 2]));
    fake_stream(api, r, "");
}

static void test_watch_goes_on_from_the_last_version(void)
{
    struct fixture f;
    open_fixture(&f, continues, NULL);
    wait_stream(&f, 2);
    /* A bookmark moves the version and is no object. */
    fake_send(&f.api,
              EVENT("ADDED", "a", "6") "{\"type\":\"BOOKMARK\",\"object\":{\"kind\":\"Pod\",\"metadata\":"
                                       "{\"resourceVersion\":\"9\",\"creationTimestamp\":null}}}\n");
    fake_end(&f.api);
    wait_stream(&f, 3);
    fake_send(&f.api, EVENT("MODIFIED", "a", "10"));
    wait_count(&f.record.objects, 2);
    fake_break(&f.api);
    wait_stream(&f, 4);
    g_assert_cmpuint(f.record.begins, ==, 1); /* no list anew */
    g_assert_cmpuint(kube_watch_counters(f.record.watch).bookmarks, ==, 1);
    close_fixture(&f);
}

static void test_whole_event_without_newline_at_the_end_counts(void)
{
    struct fixture f;
    open_fixture(&f, plain, NULL);
    wait_stream(&f, 2);
    g_autofree char *event = g_strdup(EVENT("ADDED", "a", "6"));
    fake_send(&f.api, g_strchomp(event));
    fake_end(&f.api);
    wait_stream(&f, 3);
    g_assert_cmpstr(f.record.log->str, ==, "begin 1|synced|ADDED a");
    close_fixture(&f);
}

static void test_half_an_event_is_not_given(void)
{
    struct fixture f;
    open_fixture(&f, plain, NULL);
    wait_stream(&f, 2);
    fake_send(&f.api, EVENT("ADDED", "a", "6") "{\"type\":\"ADDED\",\"object\":{\"n\":\"b\"");
    fake_end(&f.api);
    wait_stream(&f, 3);
    g_assert_cmpstr(f.record.log->str, ==, "begin 1|synced|ADDED a|error");
    close_fixture(&f);
}

static const struct {
    const char *name, *line;
} broken_lines[] = {
    {"not_json", "hello\n"},
    {"cut", "{\"type\":\"ADDED\",\"object\":{\n"},
    {"no_type", "{\"object\":" OBJECT("a", "1") "}\n"},
    {"unknown_type", EVENT("SYNC", "a", "1")},
    {"no_version", "{\"type\":\"ADDED\",\"object\":{\"n\":\"a\",\"metadata\":{}}}\n"},
    {"no_object", "{\"type\":\"ADDED\",\"object\":7}\n"},
    {"version_too_long",
     EVENT("ADDED", "a", "0123456789012345678901234567890123456789012345678901234567890123")},
    {"error_without_status", "{\"type\":\"ERROR\",\"object\":{\"kind\":\"Pod\"}}\n"},
};

static void test_broken_line_ends_the_stream(gconstpointer data)
{
    struct fixture f;
    open_fixture(&f, plain, NULL);
    wait_stream(&f, 2);
    fake_send(&f.api, broken_lines[GPOINTER_TO_SIZE(data)].line);
    wait_stream(&f, 3);
    g_assert_cmpstr(f.record.log->str, ==, "begin 1|synced|error");
    fake_send(&f.api, EVENT("ADDED", "b", "6"));
    wait_count(&f.record.objects, 1);
    close_fixture(&f);
}

#define GONE                                                                                                 \
    "{\"type\":\"ERROR\",\"object\":{\"kind\":\"Status\",\"apiVersion\":\"v1\",\"status\":\"Failure\","      \
    "\"message\":\"too old resource version: 5 (9)\",\"reason\":\"Expired\",\"code\":410}}\n"

static void gone_then_new(struct fake_api *api, const struct fake_request *r)
{
    switch (r->number) {
    case 1:
        fake_answer(r, 200, LIST("5", "", OBJECT("a", "1")));
        break;
    case 2:
        fake_stream(api, r, GONE);
        break;
    case 3:
        fake_answer(r, 200, LIST("9", "", OBJECT("b", "9")));
        break;
    default:
        g_assert_nonnull(strstr(r->query, "resourceVersion=9&"));
        fake_stream(api, r, "");
    }
}

static void test_expired_version_lists_anew(void)
{
    struct fixture f;
    open_fixture(&f, gone_then_new, NULL);
    wait_stream(&f, 4);
    g_assert_cmpstr(f.record.log->str, ==, "begin 1|ADDED a|synced|begin 2|ADDED b|synced");
    g_assert_cmpuint(kube_watch_counters(f.record.watch).expired, ==, 1);
    close_fixture(&f);
}

/* 410 may also be the HTTP status of the watch. */
static void gone_by_status(struct fake_api *api, const struct fake_request *r)
{
    if (r->number == 2)
        fake_status(r, 410, "Expired", NULL);
    else
        gone_then_new(api, r);
}

static void test_expired_by_status_lists_anew(void)
{
    struct fixture f;
    open_fixture(&f, gone_by_status, NULL);
    wait_stream(&f, 4);
    g_assert_cmpstr(f.record.log->str, ==, "begin 1|ADDED a|synced|begin 2|ADDED b|synced");
    close_fixture(&f);
}

static void gone_in_pages(struct fake_api *api, const struct fake_request *r)
{
    switch (r->number) {
    case 1:
        fake_answer(r, 200, LIST("5", ",\"continue\":\"t\"", OBJECT("a", "1")));
        break;
    case 2:
        fake_status(r, 410, "Expired", NULL);
        break;
    case 3:
        g_assert_null(strstr(r->query, "continue"));
        fake_answer(r, 200, LIST("9", "", OBJECT("b", "9")));
        break;
    default:
        fake_stream(api, r, "");
    }
}

static void test_expired_page_begins_the_list_again(void)
{
    struct fixture f;
    open_fixture(&f, gone_in_pages, NULL);
    wait_stream(&f, 4);
    g_assert_cmpstr(f.record.log->str, ==, "begin 1|ADDED a|begin 2|ADDED b|synced");
    close_fixture(&f);
}

static void always_gone(struct fake_api *api, const struct fake_request *r)
{
    if (is_watch(r))
        fake_stream(api, r, GONE);
    else
        fake_answer(r, 200, LIST("5", "", ""));
}

static void test_server_that_always_says_gone_is_not_hammered(void)
{
    struct fixture f;
    open_fixture(&f, always_gone, NULL);
    gint64 begin_us = g_get_monotonic_time();
    wait_count(&f.record.begins, 6);
    /* 0, 10, 20, 20, 20 ms without jitter (half of 20, 40, 40, 40). */
    g_assert_cmpint(g_get_monotonic_time() - begin_us, >=, 70 * 1000);
    close_fixture(&f);
}

static void cut_page(struct fake_api *api, const struct fake_request *r)
{
    if (r->number == 1)
        fake_answer(r, 200, "{\"metadata\":{\"resourceVersion\":\"5\"},\"items\":[" OBJECT("a", "1") ",");
    else
        plain(api, r);
}

static void test_cut_page_is_taken_again(void)
{
    struct fixture f;
    open_fixture(&f, cut_page, NULL);
    wait_count(&f.record.syncs, 1);
    g_assert_cmpstr(f.record.log->str, ==, "begin 1|ADDED a|error|begin 2|synced");
    close_fixture(&f);
}

static void failing(struct fake_api *api, const struct fake_request *r)
{
    if (r->number <= 3)
        fake_status(r, 403, "Forbidden", NULL);
    else
        plain(api, r);
}

static void test_streak_of_failures_is_told_once(void)
{
    struct fixture f;
    open_fixture(&f, failing, NULL);
    wait_count(&f.record.syncs, 1);
    g_assert_cmpuint(f.record.errors, ==, 1);
    g_assert_cmpuint(kube_watch_counters(f.record.watch).failures, ==, 3);
    close_fixture(&f);
}

/* Pages of more than two objects are beyond the client's bound of 1 MiB. */
static void large_pages(struct fake_api *api, const struct fake_request *r)
{
    unsigned limit = 0;
    if (is_watch(r)) {
        fake_stream(api, r, "");
        return;
    }
    g_assert_cmpint(sscanf(r->query, "limit=%u", &limit), ==, 1);
    g_autofree char *blanks = g_strnfill(limit > 2 ? 2u << 20 : 0, ' ');
    g_autofree char *text = g_strconcat(LIST("5", "", OBJECT("a", "1")), blanks, NULL);
    fake_answer(r, 200, text);
}

static void test_page_that_is_too_large_is_halved(void)
{
    struct fixture f;
    open_fixture(&f, large_pages, &(struct kube_watch_options){.page = 8});
    wait_count(&f.record.syncs, 1);
    g_assert_cmpuint(f.api.requests, >=, 3); /* 8, 4, 2 */
    g_assert_cmpuint(f.record.errors, ==, 0);
    close_fixture(&f);
}

static char *huge_event(size_t len)
{
    g_autofree char *filler = g_strnfill(len, 'x');
    return g_strdup_printf(
        "{\"type\":\"ADDED\",\"object\":{\"n\":\"h\",\"metadata\":{\"resourceVersion\":\"6\"},"
        "\"x\":\"%s\"}}\n",
        filler);
}

static void test_three_mebibytes_are_an_object(void)
{
    struct fixture f;
    g_autofree char *event = huge_event(3u << 20);
    open_fixture(&f, plain, NULL);
    wait_stream(&f, 2);
    fake_send(&f.api, event);
    fake_send(&f.api, EVENT("ADDED", "a", "7"));
    wait_count(&f.record.objects, 2);
    g_assert_cmpstr(f.record.log->str, ==, "begin 1|synced|ADDED h|ADDED a");
    close_fixture(&f);
}

static void test_endless_object_is_refused(void)
{
    struct fixture f;
    g_autofree char *event = huge_event(KUBE_OBJECT_MAX + (1u << 20));
    open_fixture(&f, plain, NULL);
    wait_stream(&f, 2);
    fake_send(&f.api, event);
    wait_count(&f.record.errors, 1);
    g_assert_cmpuint(f.record.objects, ==, 0);
    close_fixture(&f);
}

static void test_twice_the_same_event_comes_twice(void)
{
    struct fixture f;
    open_fixture(&f, plain, NULL);
    wait_stream(&f, 2);
    fake_send(&f.api, EVENT("MODIFIED", "a", "6") EVENT("MODIFIED", "a", "6"));
    wait_count(&f.record.objects, 2);
    close_fixture(&f);
}

static void test_abandoned_stream_takes_its_connection_along(void)
{
    struct fixture f;
    open_fixture(&f, plain, NULL);
    wait_stream(&f, 2);
    unsigned connections = g_hash_table_size(f.api.sockets);
    fake_send(&f.api, "hello\n" EVENT("ADDED", "a", "6"));
    wait_stream(&f, 3);
    g_assert_cmpuint(g_hash_table_size(f.api.sockets), >, connections);
    close_fixture(&f);
}

/* The first event comes with the headers, so that it lies in a buffer already. */
static void with_first_event(struct fake_api *api, const struct fake_request *r)
{
    if (is_watch(r))
        fake_stream(api, r, EVENT("ADDED", "a", "6") "{\"type\":");
    else
        fake_answer(r, 200, LIST("5", "", ""));
}

static void test_watch_on_which_nothing_comes_costs_nothing(void)
{
    struct fixture f;
    open_fixture(&f, with_first_event, NULL);
    wait_count(&f.record.objects, 1);
    wait_ms(20);
    g_assert_cmpuint(wait_ms(100), <, 10);
    close_fixture(&f);
}

#define BOOKMARK                                                                                             \
    "{\"type\":\"BOOKMARK\",\"object\":{\"kind\":\"Pod\",\"metadata\":{\"resourceVersion\":\"9\"}}}\n"

static void test_silent_stream_is_opened_anew_where_it_was(void)
{
    struct fixture f;
    open_fixture(&f, continues, &(struct kube_watch_options){.silent_ms = 300});
    wait_stream(&f, 2);
    fake_send(&f.api, BOOKMARK);
    gint64 begin_us = g_get_monotonic_time();
    wait_stream(&f, 3); /* from the bookmark's version: "continues" looks */
    g_assert_cmpint(g_get_monotonic_time() - begin_us, >=, 290 * 1000);
    g_assert_cmpuint(kube_watch_counters(f.record.watch).overdue, ==, 1);
    g_assert_cmpstr(f.record.log->str, ==, "begin 1|synced");
    close_fixture(&f);
}

static void test_bookmarks_are_a_sign_of_life(void)
{
    struct fixture f;
    open_fixture(&f, plain, &(struct kube_watch_options){.silent_ms = 1500});
    wait_stream(&f, 2);
    for (int i = 0; i < 10; i++) {
        fake_send(&f.api, BOOKMARK);
        wait_ms(200);
    }
    g_assert_cmpuint(f.api.requests, ==, 2);
    g_assert_cmpuint(kube_watch_counters(f.record.watch).overdue, ==, 0);
    close_fixture(&f);
}

/* However lively it is: the server was asked to end it after a second. */
static void test_stream_that_is_not_ended_in_time_is_opened_anew(void)
{
    struct fixture f;
    open_fixture(&f, plain,
                 &(struct kube_watch_options){.watch_min_s = 1, .watch_max_s = 1, .grace_ms = 200});
    wait_stream(&f, 2);
    gint64 begin_us = g_get_monotonic_time();
    while (f.api.requests < 3 && g_get_monotonic_time() - begin_us < 10 * G_USEC_PER_SEC) {
        fake_send(&f.api, BOOKMARK);
        wait_ms(100);
    }
    g_assert_cmpuint(f.api.requests, ==, 3);
    g_assert_cmpint(g_get_monotonic_time() - begin_us, >=, 1150 * 1000);
    g_assert_cmpuint(kube_watch_counters(f.record.watch).overdue, ==, 1);
    close_fixture(&f);
}

/* The watch is denied `patience` times, then served; each list has another object. */
static unsigned patience;

static void denied(struct fake_api *api, const struct fake_request *r)
{
    struct fixture *f = api->data;
    if (is_watch(r) && f->resets < patience)
        fake_status(r, 403, "Forbidden", NULL), f->resets++;
    else if (is_watch(r))
        fake_stream(api, r, EVENT("ADDED", "c", "8"));
    else if (f->resets)
        fake_answer(r, 200, LIST("6", "", OBJECT("b", "6")));
    else
        fake_answer(r, 200, LIST("5", "", OBJECT("a", "1")));
}

/* As by an API server that has not read the roles yet. */
static void test_watch_that_is_denied_for_a_moment_is_tried_again(void)
{
    struct fixture f;
    patience = 3;
    open_fixture(&f, denied, &(struct kube_watch_options){.relist_ms = 3600 * 1000});
    wait_count(&f.record.objects, 2);
    g_assert_cmpstr(f.record.log->str, ==, "begin 1|ADDED a|synced|ADDED c");
    g_assert_cmpuint(f.record.errors, ==, 0);
    close_fixture(&f);
}

/* Its list would grow old, and nobody would know. */
static void test_who_may_not_watch_lists_again_and_again(void)
{
    struct fixture f;
    patience = 5;
    open_fixture(&f, denied, &(struct kube_watch_options){.relist_ms = 400});
    wait_count(&f.record.syncs, 1);
    gint64 begin_us = g_get_monotonic_time();
    wait_count(&f.record.objects, 4);
    g_assert_cmpint(g_get_monotonic_time() - begin_us, >=, 2 * 190 * 1000); /* half of 400 without jitter */
    g_assert_cmpstr(f.record.log->str, ==,
                    "begin 1|ADDED a|synced|error|begin 2|ADDED b|synced|begin 3|ADDED b|synced|ADDED c");
    g_assert_cmpuint(f.record.errors, ==, 1);
    close_fixture(&f);
}

static void ends_at_once(struct fake_api *api, const struct fake_request *r)
{
    if (is_watch(r)) {
        fake_stream(api, r, "");
        fake_end(api);
    } else {
        fake_answer(r, 200, LIST("5", "", ""));
    }
}

static void test_server_that_ends_each_watch_at_once_is_not_hammered(void)
{
    struct fixture f;
    open_fixture(&f, ends_at_once, NULL);
    gint64 begin_us = g_get_monotonic_time();
    wait_stream(&f, 8);
    /* 5, 10, 20, 20, 20, 20 ms: half of 10, 20, 40, 40, ... */
    g_assert_cmpint(g_get_monotonic_time() - begin_us, >=, 90 * 1000);
    g_assert_cmpuint(f.record.begins, ==, 1);
    close_fixture(&f);
}

static void busy_watch(struct fake_api *api, const struct fake_request *r)
{
    struct fixture *f = api->data;
    if (is_watch(r) && f->resets++ == 0)
        fake_status(r, 429, "TooManyRequests", "1"), f->moment_us = g_get_monotonic_time();
    else
        plain(api, r);
}

static void test_watch_comes_back_when_the_server_says(void)
{
    struct fixture f;
    open_fixture(&f, busy_watch, NULL);
    wait_stream(&f, 3);
    g_assert_cmpint(g_get_monotonic_time() - f.moment_us, >=, G_USEC_PER_SEC);
    close_fixture(&f);
}

static void test_freed_inside_a_callback(void)
{
    struct fixture f;
    open_fixture(&f, plain, NULL);
    f.record.free_at_object = true;
    wait_stream(&f, 2);
    fake_send(&f.api, EVENT("ADDED", "a", "6") EVENT("ADDED", "b", "7"));
    wait_count(&f.record.objects, 1);
    while (g_main_context_iteration(NULL, FALSE))
        ;
    g_assert_cmpstr(f.record.log->str, ==, "begin 1|synced|ADDED a");
    close_fixture(&f);
}

static void test_freed_inside_a_page(void)
{
    struct fixture f;
    open_fixture(&f, gone_then_new, NULL);
    f.record.free_at_object = true;
    wait_count(&f.record.objects, 1);
    while (g_main_context_iteration(NULL, FALSE))
        ;
    g_assert_cmpstr(f.record.log->str, ==, "begin 1|ADDED a");
    close_fixture(&f);
}

static void test_freed_with_a_request_under_way(void)
{
    struct fixture f;
    open_fixture(&f, plain, NULL);
    wait_count(&f.record.begins, 1);
    close_fixture(&f);
}

/* 204 and its like are answers without a stream: they must not be taken for one. */
static void empty_watch_first(struct fake_api *api, const struct fake_request *r)
{
    if (!is_watch(r))
        fake_answer(r, 200, LIST("5", "", ""));
    else if (r->number == 2)
        fake_answer(r, 206, EVENT("ADDED", "x", "6"));
    else
        fake_stream(api, r, EVENT("ADDED", "a", "6"));
}

static void test_watch_answered_by_another_success_is_opened_again(void)
{
    struct fixture f;
    open_fixture(&f, empty_watch_first, NULL);
    wait_count(&f.record.objects, 1);
    g_assert_cmpstr(f.record.log->str, ==, "begin 1|synced|error|ADDED a");
    close_fixture(&f);
}

static void test_freed_at_the_beginning(void)
{
    struct fixture f;
    open_fixture(&f, plain, NULL);
    f.record.free_at_begin = true;
    wait_count(&f.record.begins, 1);
    wait_ms(20);
    g_assert_null(f.record.watch);
    g_assert_cmpuint(f.api.requests, ==, 0);
    close_fixture(&f);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define ADD(name) g_test_add_func("/kube/watch/" #name, test_##name)
    ADD(list_in_pages_then_watch_from_its_version);
    ADD(events_split_anywhere_are_put_together);
    ADD(watch_goes_on_from_the_last_version);
    ADD(whole_event_without_newline_at_the_end_counts);
    ADD(half_an_event_is_not_given);
    for (size_t i = 0; i < G_N_ELEMENTS(broken_lines); i++) {
        g_autofree char *path = g_strdup_printf("/kube/watch/broken_line/%s", broken_lines[i].name);
        g_test_add_data_func(path, GSIZE_TO_POINTER(i), test_broken_line_ends_the_stream);
    }
    ADD(expired_version_lists_anew);
    ADD(expired_by_status_lists_anew);
    ADD(expired_after_failures_lists_at_once);
    ADD(expired_page_begins_the_list_again);
    ADD(server_that_always_says_gone_is_not_hammered);
    ADD(cut_page_is_taken_again);
    ADD(streak_of_failures_is_told_once);
    ADD(page_that_is_too_large_is_halved);
    ADD(three_mebibytes_are_an_object);
    ADD(endless_object_is_refused);
    ADD(twice_the_same_event_comes_twice);
    ADD(abandoned_stream_takes_its_connection_along);
    ADD(watch_on_which_nothing_comes_costs_nothing);
    ADD(silent_stream_is_opened_anew_where_it_was);
    ADD(bookmarks_are_a_sign_of_life);
    ADD(stream_that_is_not_ended_in_time_is_opened_anew);
    ADD(watch_that_is_denied_for_a_moment_is_tried_again);
    ADD(who_may_not_watch_lists_again_and_again);
    ADD(server_that_ends_each_watch_at_once_is_not_hammered);
    ADD(watch_comes_back_when_the_server_says);
    ADD(watch_answered_by_another_success_is_opened_again);
    ADD(freed_at_the_beginning);
    ADD(freed_inside_a_callback);
    ADD(freed_inside_a_page);
    ADD(freed_with_a_request_under_way);
    return g_test_run();
}
