/* SPDX-License-Identifier: Apache-2.0
 *
 * The fake API server, over the wire. What is expected is what a real one does
 * (Kubernetes 1.34): revisions and 410, preconditions and 409, consistent pages,
 * Binding annotations in one write.
 */
#include <gio/gio.h>
#include <stdint.h>
#include <string.h>

#include "fake.h"

#define JSON "application/json"
#define PODS "/api/v1/namespaces/default/pods"

static uint64_t revision_of(json_t *object)
{
    return g_ascii_strtoull(fake_text_at(object, "metadata/resourceVersion"), NULL, 10);
}

static uint64_t revision(struct fake *f)
{
    json_t *list = fake_call(f, 200, "GET", "/api/v1/secrets?limit=1", JSON, "");
    uint64_t rv = revision_of(list);
    json_decref(list);
    return rv;
}

static void create_pod(struct fake *f, const char *name)
{
    g_autofree char *body =
        g_strdup_printf("{\"metadata\":{\"name\":\"%s\",\"labels\":{\"app\":\"x\"},\"annotations\":"
                        "{\"kept\":\"1\",\"over\":\"old\"}},\"spec\":{\"containers\":[{\"name\":\"c\"}]}}",
                        name);
    fake_done(f, 201, "POST", PODS, JSON, body);
}

static void watch_open(struct fake *f, struct http *w, const char *path, uint64_t rv)
{
    g_autofree char *full = g_strdup_printf("%s%cwatch=true&resourceVersion=%" G_GUINT64_FORMAT, path,
                                            strchr(path, '?') ? '&' : '?', rv);
    g_assert_true(http_init(w, f->url, "watcher"));
    w->timeout_ms = 20000;
    g_assert_cmpint(http_stream(w, full), ==, 200);
}

/* "TYPE name" of the next frame; its object by *ret when wanted. */
static char *next_event(struct http *w, json_t **ret)
{
    g_assert_true(http_line(w));
    json_t *frame = json_loads(w->body->str, 0, NULL);
    g_assert_nonnull(frame);
    char *words =
        g_strdup_printf("%s %s", fake_text_at(frame, "type"), fake_text_at(frame, "object/metadata/name"));
    if (ret)
        *ret = json_incref(json_object_get(frame, "object"));
    json_decref(frame);
    return words;
}

static void expect_event(struct http *w, const char *expected, uint64_t *rv)
{
    json_t *object;
    g_autofree char *got = next_event(w, &object);
    g_assert_cmpstr(got, ==, expected);
    g_assert_cmpstr(fake_text_at(object, "kind"), ==, "Pod");
    if (rv) {
        g_assert_cmpuint(revision_of(object), >, *rv);
        *rv = revision_of(object);
    }
    json_decref(object);
}

static const char binding[] =
    "{\"metadata\":{\"name\":\"a\",\"labels\":{\"not\":\"copied\"},\"annotations\":{\"over\":\"new\","
    "\"added\":\"2\"}},\"target\":{\"kind\":\"Node\",\"name\":\"node-1\"}}";

static void watch_sees_every_write_in_order(void)
{
    struct fake f;
    struct http early, late;
    fake_start(&f, NULL);
    uint64_t begin = revision(&f), rv = begin;
    watch_open(&f, &early, "/api/v1/pods", begin);
    create_pod(&f, "a");
    fake_done(&f, 200, "PATCH", PODS "/a", "application/merge-patch+json",
              "{\"metadata\":{\"labels\":{\"y\":\"z\"}}}");
    fake_done(&f, 201, "POST", PODS "/a/binding", JSON, binding);
    create_pod(&f, "b");
    fake_done(&f, 200, "DELETE", PODS "/a", JSON, "");
    watch_open(&f, &late, "/api/v1/pods", begin);
    for (struct http *w = &early; w; w = w == &early ? &late : NULL) {
        rv = begin;
        expect_event(w, "ADDED a", &rv);
        expect_event(w, "MODIFIED a", &rv);
        expect_event(w, "MODIFIED a", &rv);
        expect_event(w, "ADDED b", &rv);
        expect_event(w, "DELETED a", &rv);
        g_assert_cmpuint(rv, ==, revision(&f));
    }
    http_clear(&early);
    http_clear(&late);
    fake_stop(&f);
}

static void watch_without_revision_begins_with_what_is_there(void)
{
    struct fake f;
    struct http w;
    fake_start(&f, NULL);
    create_pod(&f, "a");
    create_pod(&f, "b");
    watch_open(&f, &w, "/api/v1/pods", 0);
    expect_event(&w, "ADDED a", NULL);
    expect_event(&w, "ADDED b", NULL);
    create_pod(&f, "c");
    expect_event(&w, "ADDED c", NULL);
    http_clear(&w);
    fake_stop(&f);
}

static void a_write_that_changes_nothing_is_no_event(void)
{
    struct fake f;
    fake_start(&f, NULL);
    create_pod(&f, "a");
    uint64_t rv = revision(&f);
    fake_done(&f, 200, "PATCH", PODS "/a", "application/merge-patch+json",
              "{\"metadata\":{\"annotations\":{\"kept\":\"1\"}}}");
    g_assert_cmpuint(revision(&f), ==, rv);
    fake_stop(&f);
}

static void compaction_expires_old_revisions(void)
{
    struct fake f;
    struct http w;
    fake_start(&f, NULL);
    create_pod(&f, "a");
    create_pod(&f, "b");
    json_t *page = fake_call(&f, 200, "GET", PODS "?limit=1", JSON, "");
    uint64_t rv = revision_of(page) - 1;
    g_autofree char *token = g_uri_escape_string(fake_text_at(page, "metadata/continue"), NULL, FALSE);
    g_autofree char *next = g_strdup_printf(PODS "?limit=1&continue=%s", token);
    g_assert_cmpstr(token, !=, "");
    json_decref(page);
    json_decref(fake_call(&f, 200, "GET", next, JSON, ""));
    create_pod(&f, "c");
    fake_done(&f, 200, "POST", "/control/compact", JSON, "");
    json_t *status = fake_call(&f, 410, "GET", next, JSON, "");
    g_assert_cmpstr(fake_text_at(status, "reason"), ==, "Expired");
    json_decref(status);
    watch_open(&f, &w, "/api/v1/pods", rv);
    json_t *error;
    g_autofree char *words = next_event(&w, &error);
    g_assert_cmpstr(words, ==, "ERROR ");
    g_assert_cmpint(json_integer_value(json_object_get(error, "code")), ==, 410);
    json_decref(error);
    g_assert_false(http_line(&w));
    g_assert_true(w.over);
    http_clear(&w);
    /* Also of a kind that nobody changed. */
    watch_open(&f, &w, "/api/v1/services", rv);
    g_autofree char *unchanged = next_event(&w, NULL);
    g_assert_cmpstr(unchanged, ==, "ERROR ");
    http_clear(&w);
    fake_stop(&f);
}

static void history_is_bounded_and_a_late_watch_is_told(void)
{
    struct fake f;
    struct http w;
    fake_start(&f, "--history", "16", NULL);
    uint64_t rv = revision(&f);
    for (int i = 0; i < 20; i++) {
        g_autofree char *name = g_strdup_printf("p%02d", i);
        create_pod(&f, name);
    }
    watch_open(&f, &w, "/api/v1/pods", rv);
    g_autofree char *words = next_event(&w, NULL);
    g_assert_cmpstr(words, ==, "ERROR ");
    http_clear(&w);
    fake_stop(&f);
}

static void binding_merges_annotations_in_one_write(void)
{
    struct fake f;
    fake_start(&f, NULL);
    create_pod(&f, "a");
    uint64_t rv = revision(&f);
    fake_done(&f, 201, "POST", PODS "/a/binding", JSON, binding);
    g_assert_cmpuint(revision(&f), ==, rv + 1);
    json_t *pod = fake_call(&f, 200, "GET", PODS "/a", JSON, "");
    const struct {
        const char *path, *value;
    } rows[] = {{"spec/nodeName", "node-1"},          {"metadata/annotations/kept", "1"},
                {"metadata/annotations/over", "new"}, {"metadata/annotations/added", "2"},
                {"metadata/labels/app", "x"},         {"metadata/labels/not", ""},
                {"spec/containers/0/name", "c"},      {"status/conditions/0/type", "PodScheduled"}};
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++)
        g_assert_cmpstr(fake_text_at(pod, rows[i].path), ==, rows[i].value);
    json_decref(pod);
    fake_stop(&f);
}

static void binding_holds_its_preconditions(void)
{
    struct fake f;
    fake_start(&f, NULL);
    create_pod(&f, "a");
    create_pod(&f, "gated");
    fake_done(&f, 200, "PATCH", PODS "/gated", "application/merge-patch+json",
              "{\"spec\":{\"schedulingGates\":[{\"name\":\"g\"}]}}");
    json_t *pod = fake_call(&f, 200, "GET", PODS "/a", JSON, "");
    g_autofree char *uid = g_strdup(fake_text_at(pod, "metadata/uid"));
    g_autofree char *stale = g_strdup(fake_text_at(pod, "metadata/resourceVersion"));
    json_decref(pod);
    fake_done(&f, 200, "PATCH", PODS "/a", "application/merge-patch+json",
              "{\"metadata\":{\"labels\":{\"n\":\"1\"}}}");
    g_autofree char *present = g_strdup_printf("%" G_GUINT64_FORMAT, revision(&f));
    const struct {
        const char *what, *pod, *uid, *rv, *node;
        int code;
    } rows[] = {{"wrong uid", "a", "11111111-1111-4111-8111-111111111111", "", "n", 409},
                {"stale revision", "a", uid, stale, "n", 409},
                {"no node", "a", "", "", "", 422},
                {"gated", "gated", "", "", "n", 409},
                {"no such pod", "none", "", "", "n", 404},
                {"both right", "a", uid, present, "n", 201},
                {"second time", "a", uid, "", "n", 409}};
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *path = g_strdup_printf(PODS "/%s/binding", rows[i].pod);
        g_autofree char *body =
            g_strdup_printf("{\"metadata\":{\"name\":\"%s\",\"uid\":\"%s\",\"resourceVersion\":\"%s\"},"
                            "\"target\":{\"name\":\"%s\"}}",
                            rows[i].pod, rows[i].uid, rows[i].rv, rows[i].node);
        g_test_message("%s", rows[i].what);
        fake_done(&f, rows[i].code, "POST", path, JSON, body);
    }
    fake_stop(&f);
}

static void names_of(json_t *list, GHashTable *names)
{
    size_t i;
    json_t *item;
    json_array_foreach(json_object_get(list, "items"), i, item)
    {
        g_assert_true(g_hash_table_add(names, g_strdup(fake_text_at(item, "metadata/name"))));
    }
}

static void assert_same_names(GHashTable *a, GHashTable *b)
{
    GHashTableIter i;
    void *name;
    g_assert_cmpuint(g_hash_table_size(a), ==, g_hash_table_size(b));
    for (g_hash_table_iter_init(&i, a); g_hash_table_iter_next(&i, &name, NULL);)
        g_assert_true(g_hash_table_contains(b, name));
}

/* Pages of 7 while pods come before, between and behind them, go and change. */
static void pages_are_one_moment_under_concurrent_writes(void)
{
    struct fake f;
    g_autoptr(GHashTable) then = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_autoptr(GHashTable) paged = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_autofree char *path = g_strdup("/api/v1/pods?limit=7");
    fake_start(&f, "--nodes", "3", NULL);
    for (int i = 0; i < 40; i++) {
        g_autofree char *name = g_strdup_printf("p%02d", i);
        create_pod(&f, name);
    }
    json_t *whole = fake_call(&f, 200, "GET", "/api/v1/pods", JSON, ""), *page;
    names_of(whole, then);
    uint64_t rv = revision_of(whole);
    json_decref(whole);
    g_assert_cmpuint(g_hash_table_size(then), >, 80);
    for (int round = 0;; round++) {
        page = fake_call(&f, 200, "GET", path, JSON, "");
        g_assert_cmpuint(revision_of(page), ==, rv);
        names_of(page, paged);
        g_free(path);
        g_autofree char *token = g_uri_escape_string(fake_text_at(page, "metadata/continue"), NULL, FALSE);
        path = g_strdup_printf("/api/v1/pods?limit=7&continue=%s", token);
        bool more = *token;
        json_decref(page);
        if (!more)
            break;
        g_autofree char *born = g_strdup_printf("p%02d-new", (round * 17) % 40);
        g_autofree char *dead = g_strdup_printf(PODS "/p%02d", (39 - round * 3 + 400) % 40);
        create_pod(&f, born);
        if (round < 12)
            fake_done(&f, 200, "DELETE", dead, JSON, "");
    }
    assert_same_names(then, paged);
    /* What followed is in the watch from that moment: both together are what is there now. */
    struct http w;
    uint64_t end = revision(&f), seen = rv;
    watch_open(&f, &w, "/api/v1/pods", rv);
    while (seen < end) {
        json_t *object;
        g_autofree char *event = next_event(&w, &object);
        seen = revision_of(object);
        json_decref(object);
        if (g_str_has_prefix(event, "DELETED "))
            g_assert_true(g_hash_table_remove(paged, event + 8));
        else
            g_hash_table_add(paged, g_strdup(strchr(event, ' ') + 1));
    }
    http_clear(&w);
    g_autoptr(GHashTable) now = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    whole = fake_call(&f, 200, "GET", "/api/v1/pods", JSON, "");
    names_of(whole, now);
    json_decref(whole);
    assert_same_names(now, paged);
    fake_stop(&f);
}

/* The statuses of 300 requests, and the frames of a watch over their writes. */
static char *faulty_run(const char *seed)
{
    struct fake f;
    struct http w;
    GString *story = g_string_new(NULL);
    fake_start(&f, "--seed", seed, NULL);
    fake_done(&f, 200, "POST", "/control/set?errors=0.3", JSON, "");
    for (int i = 0; i < 300; i++) {
        g_autofree char *body = g_strdup_printf("{\"metadata\":{\"name\":\"p%03d\"}}", i);
        g_string_append_printf(story, "%d ", http_call(&f.http, "POST", PODS, JSON, body, strlen(body)));
    }
    fake_done(&f, 200, "POST", "/control/set?errors=0&duplicate=0.2&reorder=0.2&drop=0.2", JSON, "");
    json_t *list = fake_call(&f, 200, "GET", PODS "?limit=1", JSON, "");
    watch_open(&f, &w, "/api/v1/pods?timeoutSeconds=1", 1000);
    while (http_line(&w)) {
        json_t *frame = json_loads(w.body->str, 0, NULL);
        g_string_append_printf(story, "%s ", fake_text_at(frame, "object/metadata/name"));
        json_decref(frame);
    }
    json_decref(list);
    http_clear(&w);
    fake_stop(&f);
    return g_string_free(story, FALSE);
}

static void faults_are_what_their_seed_says(void)
{
    g_autofree char *first = faulty_run("7"), *again = faulty_run("7"), *other = faulty_run("8");
    g_assert_cmpstr(first, ==, again);
    g_assert_cmpstr(first, !=, other);
    for (const char *const *word = (const char *const[]){"-1 ", "500 ", "503 ", "429 ", "201 ", NULL}; *word;
         word++)
        g_assert_nonnull(strstr(first, *word));
}

/* A reply that is lost after the write: the pod is there though the caller was cut. */
static void a_cut_may_come_after_the_write(void)
{
    struct fake f;
    unsigned made = 0, not_made = 0;
    fake_start(&f, NULL);
    fake_done(&f, 200, "POST", "/control/set?errors=0.5", JSON, "");
    for (int i = 0; i < 100; i++) {
        g_autofree char *body = g_strdup_printf("{\"metadata\":{\"name\":\"p%03d\"}}", i);
        g_autofree char *path = g_strdup_printf(PODS "/p%03d", i);
        if (http_call(&f.http, "POST", PODS, JSON, body, strlen(body)) != -1)
            continue;
        fake_done(&f, 200, "POST", "/control/set?errors=0", JSON, "");
        *(http_call(&f.http, "GET", path, JSON, "", 0) == 200 ? &made : &not_made) += 1;
        fake_done(&f, 200, "POST", "/control/set?errors=0.5", JSON, "");
    }
    g_assert_cmpuint(made, >, 0);
    g_assert_cmpuint(not_made, >, 0);
    fake_stop(&f);
}

static void a_broken_watch_goes_on_where_it_was(void)
{
    struct fake f;
    struct http w;
    fake_start(&f, NULL);
    uint64_t rv = revision(&f);
    watch_open(&f, &w, "/api/v1/pods", rv);
    create_pod(&f, "a");
    expect_event(&w, "ADDED a", &rv);
    fake_done(&f, 200, "POST", "/control/break?how=cut", JSON, "");
    g_assert_false(http_line(&w));
    g_assert_false(w.over);
    http_clear(&w);
    create_pod(&f, "b");
    watch_open(&f, &w, "/api/v1/pods", rv);
    expect_event(&w, "ADDED b", &rv);
    fake_done(&f, 200, "POST", "/control/break?how=expired", JSON, "");
    g_autofree char *words = next_event(&w, NULL);
    g_assert_cmpstr(words, ==, "ERROR ");
    http_clear(&w);
    fake_stop(&f);
}

static void a_restart_is_another_server_without_history(void)
{
    struct fake f;
    struct http w;
    fake_start(&f, NULL);
    create_pod(&f, "a");
    uint64_t rv = revision(&f);
    create_pod(&f, "b");
    watch_open(&f, &w, "/api/v1/pods", rv);
    expect_event(&w, "ADDED b", NULL);
    json_t *before = fake_call(&f, 200, "GET", "/version", JSON, "");
    fake_done(&f, 200, "POST", "/control/restart", JSON, "");
    json_t *after = fake_call(&f, 200, "GET", "/version", JSON, "");
    g_assert_cmpstr(fake_text_at(before, "gitCommit"), !=, fake_text_at(after, "gitCommit"));
    json_decref(before);
    json_decref(after);
    g_assert_false(http_line(&w));
    http_clear(&w);
    watch_open(&f, &w, "/api/v1/pods", rv);
    g_autofree char *words = next_event(&w, NULL);
    g_assert_cmpstr(words, ==, "ERROR ");
    http_clear(&w);
    fake_done(&f, 200, "GET", PODS "/b", JSON, "");
    fake_done(&f, 200, "POST", "/control/restart?rv=500", JSON, "");
    g_assert_cmpuint(revision(&f), ==, 500);
    g_autofree char *future = g_strdup_printf("/api/v1/pods?watch=1&resourceVersion=%" G_GUINT64_FORMAT, rv);
    fake_done(&f, 504, "GET", future, JSON, "");
    fake_stop(&f);
}

static void a_bookmark_follows_what_other_kinds_did(void)
{
    struct fake f;
    struct http w;
    json_t *object;
    fake_start(&f, "--bookmark-ms", "20", NULL);
    uint64_t rv = revision(&f);
    watch_open(&f, &w, "/api/v1/nodes?allowWatchBookmarks=true", rv);
    create_pod(&f, "a");
    g_autofree char *words = next_event(&w, &object);
    g_assert_cmpstr(words, ==, "BOOKMARK ");
    g_assert_cmpstr(fake_text_at(object, "kind"), ==, "Node");
    g_assert_cmpuint(revision_of(object), ==, rv + 1);
    json_decref(object);
    http_clear(&w);
    fake_stop(&f);
}

static void a_selected_watch_sees_what_comes_and_goes(void)
{
    struct fake f;
    struct http w;
    fake_start(&f, NULL);
    uint64_t rv = revision(&f);
    watch_open(&f, &w, "/api/v1/pods?fieldSelector=spec.nodeName%3Dnode-1&labelSelector=app+in+(x,y)", rv);
    create_pod(&f, "other");
    create_pod(&f, "a");
    fake_done(&f, 201, "POST", PODS "/a/binding", JSON, binding);
    fake_done(&f, 200, "PATCH", PODS "/a", "application/merge-patch+json",
              "{\"metadata\":{\"labels\":{\"app\":\"z\"}}}");
    expect_event(&w, "ADDED a", NULL);
    expect_event(&w, "DELETED a", NULL);
    http_clear(&w);
    json_t *list = fake_call(&f, 200, "GET", "/api/v1/pods?labelSelector=app%3Dx", JSON, "");
    g_assert_cmpuint(json_array_size(json_object_get(list, "items")), ==, 1);
    json_decref(list);
    fake_stop(&f);
}

static void patches_do_what_their_type_says(void)
{
    struct fake f;
    fake_start(&f, "--nodes", "1", NULL);
    const struct {
        const char *what, *type, *patch;
        int code;
        const char *path, *value;
    } rows[] = {{"merge sets", "merge-patch", "{\"metadata\":{\"annotations\":{\"k\":\"v\"}}}", 200,
                 "metadata/annotations/k", "v"},
                {"merge removes", "merge-patch", "{\"metadata\":{\"annotations\":{\"k\":null}}}", 200,
                 "metadata/annotations/k", ""},
                {"strategic sets", "strategic-merge-patch", "{\"metadata\":{\"labels\":{\"s\":\"t\"}}}", 200,
                 "metadata/labels/s", "t"},
                {"strategic merges by key", "strategic-merge-patch",
                 "{\"status\":{\"conditions\":[{\"type\":\"Ready\",\"status\":\"False\"}]}}", 200,
                 "status/conditions/3/status", "False"},
                {"and keeps the rest of the item", "strategic-merge-patch", "{}", 200,
                 "status/conditions/3/reason", "KubeletReady"},
                {"operations", "json-patch",
                 "[{\"op\":\"add\",\"path\":\"/metadata/labels/a~1b\",\"value\":\"c\"}]", 200,
                 "metadata/labels/gpu", "on"},
                {"a failing test", "json-patch",
                 "[{\"op\":\"test\",\"path\":\"/metadata/labels/gpu\",\"value\":\"off\"}]", 422, "", ""},
                {"wrong revision", "merge-patch", "{\"metadata\":{\"resourceVersion\":\"1\"}}", 409, "", ""},
                {"wrong uid", "merge-patch", "{\"metadata\":{\"uid\":\"1\"}}", 409, "", ""},
                {"uid cannot be taken away", "merge-patch", "{\"metadata\":{\"name\":\"else\"}}", 200,
                 "metadata/name", "gpu-node-00000.pool.internal"},
                {"no JSON", "merge-patch", "{", 400, "", ""}};
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *type = g_strdup_printf("application/%s+json", rows[i].type);
        g_test_message("%s", rows[i].what);
        json_t *node = fake_call(&f, rows[i].code, "PATCH", "/api/v1/nodes/gpu-node-00000.pool.internal",
                                 type, rows[i].patch);
        if (rows[i].code == 200)
            g_assert_cmpstr(fake_text_at(node, rows[i].path), ==, rows[i].value);
        json_decref(node);
    }
    json_t *node = fake_call(&f, 200, "GET", "/api/v1/nodes/gpu-node-00000.pool.internal", JSON, "");
    g_assert_cmpstr(json_string_value(
                        json_object_get(json_object_get(json_object_get(node, "metadata"), "labels"), "a/b")),
                    ==, "c");
    json_decref(node);
    fake_stop(&f);
}

static void a_lease_is_taken_by_one(void)
{
    static const char leases[] = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases";
    struct fake f;
    fake_start(&f, NULL);
    json_t *lease = fake_call(&f, 201, "POST", leases, JSON,
                              "{\"metadata\":{\"name\":\"l\"},\"spec\":{\"holderIdentity\":\"a\"}}");
    fake_done(&f, 409, "POST", leases, JSON, "{\"metadata\":{\"name\":\"l\"}}");
    g_autofree char *path = g_strdup_printf("%s/l", leases);
    g_autofree char *body = g_strdup_printf(
        "{\"metadata\":{\"name\":\"l\",\"resourceVersion\":\"%s\"},\"spec\":{\"holderIdentity\":\"b\"}}",
        fake_text_at(lease, "metadata/resourceVersion"));
    fake_done(&f, 200, "PUT", path, JSON, body);
    json_t *status = fake_call(&f, 409, "PUT", path, JSON, body);
    g_assert_cmpstr(fake_text_at(status, "reason"), ==, "Conflict");
    json_decref(status);
    json_decref(lease);
    fake_stop(&f);
}

static void finalizers_keep_what_is_deleted(void)
{
    struct fake f;
    fake_start(&f, NULL);
    fake_done(&f, 201, "POST", PODS, JSON, "{\"metadata\":{\"name\":\"a\",\"finalizers\":[\"x/y\"]}}");
    json_t *pod = fake_call(&f, 200, "DELETE", PODS "/a", JSON, "");
    g_assert_cmpstr(fake_text_at(pod, "metadata/deletionTimestamp"), !=, "");
    json_decref(pod);
    fake_done(&f, 409, "POST", PODS "/a/binding", JSON, binding);
    fake_done(&f, 200, "PATCH", PODS "/a", "application/merge-patch+json",
              "{\"metadata\":{\"finalizers\":null}}");
    fake_done(&f, 404, "GET", PODS "/a", JSON, "");
    fake_stop(&f);
}

static void calls_are_counted_by_caller_verb_and_kind(void)
{
    struct fake f;
    struct http other;
    unsigned found = 0;
    fake_start(&f, NULL);
    create_pod(&f, "a");
    fake_done(&f, 200, "POST", "/control/reset", JSON, "");
    create_pod(&f, "b");
    fake_done(&f, 409, "POST", PODS, JSON, "{\"metadata\":{\"name\":\"b\"}}");
    g_assert_true(http_init(&other, f.url, "hami/1 (x)"));
    g_assert_cmpint(http_call(&other, "POST", PODS "/b/binding", JSON, binding, strlen(binding)), ==, 201);
    http_clear(&other);
    json_t *stats = fake_call(&f, 200, "GET", "/control/stats", JSON, ""), *row;
    const struct {
        const char *agent, *verb, *resource;
        int calls, failed;
    } rows[] = {{"test", "create", "pods", 2, 1}, {"hami/1", "create", "pods/binding", 1, 0}};
    size_t i;
    json_array_foreach(json_object_get(stats, "requests"), i, row)
    {
        for (size_t k = 0; k < G_N_ELEMENTS(rows); k++)
            if (strcmp(fake_text_at(row, "agent"), rows[k].agent) == 0 &&
                strcmp(fake_text_at(row, "resource"), rows[k].resource) == 0) {
                g_assert_cmpstr(fake_text_at(row, "verb"), ==, rows[k].verb);
                g_assert_cmpint(json_integer_value(json_object_get(row, "calls")), ==, rows[k].calls);
                g_assert_cmpint(json_integer_value(json_object_get(row, "failed")), ==, rows[k].failed);
                found++;
            }
    }
    g_assert_cmpuint(found, ==, 2);
    json_decref(stats);
    fake_stop(&f);
}

static void latency_is_waited_before_the_write(void)
{
    struct fake f;
    fake_start(&f, "--latency-ms", "30", NULL);
    gint64 begin = g_get_monotonic_time();
    create_pod(&f, "a");
    g_assert_cmpint(g_get_monotonic_time() - begin, >=, 30000);
    fake_stop(&f);
}

static void a_list_is_packed_for_who_takes_it(void)
{
    struct fake f;
    fake_start(&f, "--gzip", "--nodes", "5", NULL);
    const char request[] = "GET /api/v1/nodes?limit=5 HTTP/1.1\r\nAccept-Encoding: gzip\r\n\r\n";
    g_assert_cmpint(http_exchange(&f.http, request, strlen(request)), ==, 200);
    g_autofree char *room = g_malloc(1 << 20);
    gsize read, written;
    g_autoptr(GConverter) gunzip = G_CONVERTER(g_zlib_decompressor_new(G_ZLIB_COMPRESSOR_FORMAT_GZIP));
    g_assert_cmpint(g_converter_convert(gunzip, f.http.body->str, f.http.body->len, room, 1 << 20,
                                        G_CONVERTER_INPUT_AT_END, &read, &written, NULL),
                    ==, G_CONVERTER_FINISHED);
    g_autofree char *unpacked = g_strndup(room, written);
    g_assert_cmpint(http_call(&f.http, "GET", "/api/v1/nodes?limit=5", "", "", 0), ==, 200);
    g_assert_cmpstr(f.http.body->str, ==, unpacked);
    fake_stop(&f);
}

static void a_token_is_asked_for(void)
{
    struct fake f;
    fake_start(&f, "--token", "secret", NULL);
    fake_done(&f, 401, "GET", PODS, JSON, "");
    fake_stop(&f);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define ADD(name) g_test_add_func("/fake-apiserver/" #name, name)
    ADD(watch_sees_every_write_in_order);
    ADD(watch_without_revision_begins_with_what_is_there);
    ADD(a_write_that_changes_nothing_is_no_event);
    ADD(compaction_expires_old_revisions);
    ADD(history_is_bounded_and_a_late_watch_is_told);
    ADD(binding_merges_annotations_in_one_write);
    ADD(binding_holds_its_preconditions);
    ADD(pages_are_one_moment_under_concurrent_writes);
    ADD(faults_are_what_their_seed_says);
    ADD(a_cut_may_come_after_the_write);
    ADD(a_broken_watch_goes_on_where_it_was);
    ADD(a_restart_is_another_server_without_history);
    ADD(a_bookmark_follows_what_other_kinds_did);
    ADD(a_selected_watch_sees_what_comes_and_goes);
    ADD(patches_do_what_their_type_says);
    ADD(a_lease_is_taken_by_one);
    ADD(finalizers_keep_what_is_deleted);
    ADD(calls_are_counted_by_caller_verb_and_kind);
    ADD(latency_is_waited_before_the_write);
    ADD(a_list_is_packed_for_who_takes_it);
    ADD(a_token_is_asked_for);
    return g_test_run();
}
