/* SPDX-License-Identifier: Apache-2.0
 *
 * Requests against a fake server: what is repeated, what is not, and what
 * failures are called (Kubernetes API conventions, "Response Status Kind").
 */
#include <glib/gstdio.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

#include "tests/unit/kube/ask.h"

#define assert_body(a, text)                                                                                 \
    do {                                                                                                     \
        g_assert_no_error((a).error);                                                                        \
        g_autofree char *got_ = g_strndup(g_bytes_get_data((a).body, NULL), g_bytes_get_size((a).body));     \
        g_assert_cmpstr(got_, ==, text);                                                                     \
    } while (0)

static void echo(struct fake_api *api, const struct fake_request *r)
{
    (void)api;
    g_autofree char *text = g_strdup_printf("%s %s?%s %s", r->method, r->path, r->query, r->body);
    fake_answer(r, 201, text);
}

static void test_request_reaches_the_server_as_it_is(void)
{
    struct fake_api api;
    fake_api_open(&api, echo, NULL);
    g_autoptr(KubeClient) client = fake_api_client(&api, NULL);
    g_autofree char *path = kube_path("api", "v1", "namespaces", "a b/c", "pods", "d.", NULL);
    g_autofree char *query = kube_query("labelSelector", "a=b,c!=d", "skip", NULL, "limit", "5", NULL);
    g_assert_cmpstr(path, ==, "/api/v1/namespaces/a%20b%2Fc/pods/d.");
    struct answer a = ask(
        client, (struct kube_request){.method = "POST", .path = path, .query = query, .body = "{\"x\":1}"});
    assert_body(a,
                "POST /api/v1/namespaces/a%20b%2Fc/pods/d.?labelSelector=a%3Db%2Cc%21%3Dd&limit=5 {\"x\":1}");
    g_assert_cmpuint(a.status, ==, 201);
    answer_clear(&a);
    fake_api_close(&api);
}

static void test_path_cannot_be_climbed(void)
{
    static const char *const names[] = {"..", "."};
    struct fake_api api;
    fake_api_open(&api, echo, NULL);
    g_autoptr(KubeClient) client = fake_api_client(&api, NULL);
    for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *path = kube_path("api", "v1", "nodes", names[i], NULL);
        struct answer a = ask(client, (struct kube_request){.method = "DELETE", .path = path});
        g_assert_error(a.error, KUBE_ERROR, KUBE_ERROR_INVALID);
        answer_clear(&a);
    }
    g_assert_cmpuint(api.requests, ==, 0);
    fake_api_close(&api);
}

/* Of a server that answers nothing, 32 at once know; what must not wait behind them does not. */
static void hold_writes(struct fake_api *api, const struct fake_request *r)
{
    (void)api;
    if (strcmp(r->path, "/held") != 0) {
        echo(api, r);
        return;
    }
    soup_server_message_set_status(r->message, 200, NULL);
    soup_server_message_pause(r->message);
}

static void on_held(GObject *source, GAsyncResult *result, void *data)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GBytes) body = kube_request_finish(result, NULL, &error);
    (void)source;
    g_assert_null(body);
    ++*(unsigned *)data;
}

static void test_writes_that_hang_hold_up_no_lease(void)
{
    enum { AT_ONCE = 32, MORE = 60 };
    struct fake_api api;
    unsigned ended = 0;
    fake_api_open(&api, hold_writes, NULL);
    g_autoptr(KubeClient) client = fake_api_client(&api, NULL);
    g_autoptr(GCancellable) cancellable = g_cancellable_new();
    for (unsigned i = 0; i < MORE; i++)
        kube_request_async(client, &(struct kube_request){.method = "POST", .path = "/held", .body = "{}"},
                           cancellable, on_held, &ended);
    wait_count(&api.requests, AT_ONCE);
    struct answer a =
        ask(client, (struct kube_request){.method = "PUT", .path = "/lease", .unlimited = true});
    g_assert_no_error(a.error);
    answer_clear(&a);
    g_cancellable_cancel(cancellable);
    wait_count(&ended, MORE);
    a = ask(client, (struct kube_request){.method = "POST", .path = "/after"});
    g_assert_no_error(a.error);
    answer_clear(&a);
    fake_api_close(&api);
}

static const struct failure {
    const char *name;
    unsigned status;
    const char *reason;
    enum kube_error code;
    bool transient;
} failures[] = {
    {"bad_request", 400, "BadRequest", KUBE_ERROR_BAD_REQUEST, false},
    {"unauthorized", 401, "Unauthorized", KUBE_ERROR_UNAUTHORIZED, false},
    {"forbidden", 403, "Forbidden", KUBE_ERROR_FORBIDDEN, false},
    {"not_found", 404, "NotFound", KUBE_ERROR_NOT_FOUND, false},
    {"not_allowed", 405, "MethodNotAllowed", KUBE_ERROR_NOT_ALLOWED, false},
    {"conflict", 409, "Conflict", KUBE_ERROR_CONFLICT, false},
    {"already_exists", 409, "AlreadyExists", KUBE_ERROR_ALREADY_EXISTS, false},
    {"gone", 410, "Expired", KUBE_ERROR_GONE, false},
    {"too_large", 413, "RequestEntityTooLarge", KUBE_ERROR_TOO_LARGE, false},
    {"unsupported", 415, "UnsupportedMediaType", KUBE_ERROR_UNSUPPORTED, false},
    {"invalid", 422, "Invalid", KUBE_ERROR_INVALID, false},
    {"internal", 500, "InternalError", KUBE_ERROR_INTERNAL, true},
    {"unavailable", 503, "ServiceUnavailable", KUBE_ERROR_UNAVAILABLE, true},
    {"timeout", 504, "Timeout", KUBE_ERROR_TIMEOUT, true},
};

static void refuse(struct fake_api *api, const struct fake_request *r)
{
    const struct failure *f = api->data;
    fake_status(r, f->status, f->reason, NULL);
}

static void test_failure_has_its_code(gconstpointer data)
{
    const struct failure *f = &failures[GPOINTER_TO_SIZE(data)];
    struct fake_api api;
    struct failure copy = *f;
    fake_api_open(&api, refuse, &copy);
    g_autoptr(KubeClient) client = fake_api_client(&api, NULL);
    struct answer a = ask(client, (struct kube_request){.method = "POST", .path = "/x", .body = "{}"});
    g_autofree char *text = g_strdup_printf("POST /x: the %s text", f->reason);
    g_assert_error(a.error, KUBE_ERROR, (int)f->code);
    g_assert_cmpstr(a.error->message, ==, text);
    g_assert_cmpstr(kube_error_reason(a.error), ==, f->reason);
    g_assert_cmpuint(kube_error_status(a.error), ==, f->status);
    g_assert_cmpint(kube_error_is_transient(a.error), ==, f->transient);
    /* A write is not repeated, whatever came. */
    g_assert_cmpuint(api.requests, ==, 1);
    g_autoptr(GError) copied = g_error_copy(a.error);
    g_assert_cmpuint(kube_error_status(copied), ==, f->status);
    answer_clear(&a);
    fake_api_close(&api);
}

static void not_a_status(struct fake_api *api, const struct fake_request *r)
{
    (void)api;
    fake_answer(r, 502, "<html>bad\x01 gateway</html>");
}

static void test_failure_of_a_proxy_is_told_too(void)
{
    struct fake_api api;
    fake_api_open(&api, not_a_status, NULL);
    g_autoptr(KubeClient) client = fake_api_client(&api, NULL);
    struct answer a = ask(client, (struct kube_request){.method = "GET", .path = "/x", .once = true});
    g_assert_error(a.error, KUBE_ERROR, KUBE_ERROR_UNAVAILABLE);
    g_assert_cmpstr(a.error->message, ==, "GET /x: HTTP status 502: <html>bad  gateway</html>");
    answer_clear(&a);
    fake_api_close(&api);
}

static void busy_once(struct fake_api *api, const struct fake_request *r)
{
    (void)api;
    if (r->number == 1)
        fake_status(r, 429, "TooManyRequests", "1");
    else
        fake_answer(r, 200, "{}");
}

static void test_429_is_waited_out_as_the_server_says(void)
{
    struct fake_api api;
    fake_api_open(&api, busy_once, NULL);
    g_autoptr(KubeClient) client = fake_api_client(&api, NULL);
    gint64 begin_us = g_get_monotonic_time();
    struct answer a = ask(client, (struct kube_request){.method = "POST", .path = "/x", .body = "{}"});
    assert_body(a, "{}");
    g_assert_cmpint(g_get_monotonic_time() - begin_us, >=, G_USEC_PER_SEC);
    g_assert_cmpuint(api.requests, ==, 2);
    answer_clear(&a);
    fake_api_close(&api);
}

struct later {
    const char *name;
    unsigned status;
    const char *reason;
    struct kube_request request;
    unsigned requests;
};

/* Retry-After says that nothing was done, and when to come back, where something may come of it. */
static const struct later laters[] = {
    {"busy", 429, "TooManyRequests", {.method = "POST", .body = "{}"}, 2},
    {"unavailable", 503, "ServiceUnavailable", {.method = "POST", .body = "{}"}, 2},
    /* The store did not answer: it may have been written, whatever it says. */
    {"unanswered", 500, "ServerTimeout", {.method = "POST", .body = "{}"}, 1},
    {"unanswered_in_time", 504, "Timeout", {.method = "POST", .body = "{}"}, 1},
    {"unanswered_repeatable", 500, "ServerTimeout", {.method = "POST", .body = "{}", .repeatable = true}, 2},
    {"unanswered_get", 504, "Timeout", {.method = "GET"}, 2},
    {"conflict", 409, "Conflict", {.method = "POST", .body = "{}"}, 1},
    {"forbidden", 403, "Forbidden", {.method = "GET"}, 1},
    {"busy_once", 429, "TooManyRequests", {.method = "POST", .body = "{}", .once = true}, 1},
    {"unavailable_once", 503, "ServiceUnavailable", {.method = "POST", .body = "{}", .once = true}, 1},
};

static void later_once(struct fake_api *api, const struct fake_request *r)
{
    const struct later *l = api->data;
    if (r->number == 1)
        fake_status(r, l->status, l->reason, "1");
    else
        fake_answer(r, 200, "{}");
}

static void test_retry_after(gconstpointer data)
{
    struct later l = laters[GPOINTER_TO_SIZE(data)];
    struct fake_api api;
    fake_api_open(&api, later_once, &l);
    g_autoptr(KubeClient) client = fake_api_client(&api, NULL);
    l.request.path = "/x";
    struct answer a = ask(client, l.request);
    g_assert_cmpint(a.error == NULL, ==, l.requests == 2);
    g_assert_cmpuint(api.requests, ==, l.requests);
    answer_clear(&a);
    fake_api_close(&api);
}

/* RFC 9110, 10.2.3: seconds, or a date; a server that says "tomorrow" is not asked again at once. */
static void test_retry_after_is_bounded(void)
{
    static const struct {
        const char *header;
        uint32_t wait_ms;
    } rows[] = {
        {"0", 0},          {"1", 1000},        {"3600", 3600000},
        {"3601", 3600000}, {"86400", 3600000}, {"18446744073709551616", 3600000},
        {"-1", 0},         {"soon", 0},        {"Fri, 31 Dec 1999 23:59:59 GMT", 0},
        {"", 0},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GError) error = kube_error_from_answer(429, rows[i].header, "", 0);
        g_test_message("%s", rows[i].header);
        g_assert_cmpuint(kube_error_retry_after_ms(error), ==, rows[i].wait_ms);
    }
}

/* The token would go along. */
static void elsewhere(struct fake_api *api, const struct fake_request *r)
{
    (void)api;
    if (strcmp(r->path, "/x") == 0)
        soup_server_message_set_redirect(r->message, 307, "/elsewhere");
    else
        fake_answer(r, 200, "{}");
}

static void test_redirects_are_not_followed(void)
{
    static const char *const methods[] = {"GET", "PATCH"};
    for (size_t i = 0; i < G_N_ELEMENTS(methods); i++) {
        struct fake_api api;
        fake_api_open(&api, elsewhere, NULL);
        g_autoptr(KubeClient) client = fake_api_client(&api, NULL);
        struct answer a =
            ask(client, (struct kube_request){.method = methods[i], .path = "/x", .body = i ? "{}" : NULL});
        g_assert_nonnull(a.error);
        g_assert_cmpuint(kube_error_status(a.error), ==, 307);
        g_assert_cmpuint(api.requests, ==, 1);
        answer_clear(&a);
        fake_api_close(&api);
    }
}

/* Sockets of this process that give a peer up which is gone without a word. */
static unsigned watched_sockets(void)
{
    unsigned n = 0;
    for (int fd = 3; fd < 256; fd++) {
        int keepalive = 0, timeout_ms = 0;
        socklen_t len = sizeof(int), timeout_len = sizeof(int);
        if (getsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &keepalive, &len) == 0 && keepalive &&
            getsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout_ms, &timeout_len) == 0 && timeout_ms)
            n++;
    }
    return n;
}

static void test_peer_that_is_gone_without_a_word_is_noticed(void)
{
    struct fake_api api;
    fake_api_open(&api, echo, NULL);
    g_autoptr(KubeClient) client = fake_api_client(&api, NULL);
    g_assert_cmpuint(watched_sockets(), ==, 0);
    struct answer a = ask(client, (struct kube_request){.method = "GET", .path = "/x"});
    g_assert_no_error(a.error);
    g_assert_cmpuint(watched_sockets(), ==, 1);
    answer_clear(&a);
    fake_api_close(&api);
}

static void busy(struct fake_api *api, const struct fake_request *r)
{
    (void)api;
    fake_status(r, 429, "TooManyRequests", "7");
}

static void test_429_beyond_the_deadline_is_handed_on(void)
{
    struct fake_api api;
    fake_api_open(&api, busy, NULL);
    g_autoptr(KubeClient) client = fake_api_client(&api, NULL);
    struct answer a = ask(client, (struct kube_request){.method = "GET", .path = "/x", .timeout_ms = 5000});
    g_assert_error(a.error, KUBE_ERROR, KUBE_ERROR_TOO_MANY);
    g_assert_cmpuint(kube_error_retry_after_ms(a.error), ==, 7000);
    answer_clear(&a);
    fake_api_close(&api);
}

static void lose_first(struct fake_api *api, const struct fake_request *r)
{
    (void)api;
    if (r->number == 1)
        fake_reset(r);
    else
        fake_answer(r, 200, "{}");
}

static const struct {
    const char *name;
    struct kube_request request;
    unsigned requests; /* 1: the loss is told */
} losses[] = {
    {"get_is_repeated", {.method = "GET"}, 2},
    {"get_once_is_not", {.method = "GET", .once = true}, 1},
    {"post_is_not", {.method = "POST", .body = "{}"}, 1},
    {"repeatable_post_is", {.method = "POST", .body = "{}", .repeatable = true}, 2},
    {"patch_is_not", {.method = "PATCH", .body = "{}"}, 1},
    {"delete_is_not", {.method = "DELETE"}, 1},
};

static void test_lost_connection(gconstpointer data)
{
    size_t i = GPOINTER_TO_SIZE(data);
    struct fake_api api;
    fake_api_open(&api, lose_first, NULL);
    g_autoptr(KubeClient) client = fake_api_client(&api, NULL);
    struct kube_request r = losses[i].request;
    r.path = "/x";
    struct answer a = ask(client, r);
    if (losses[i].requests == 1)
        g_assert_error(a.error, KUBE_ERROR, KUBE_ERROR_UNAVAILABLE);
    else
        assert_body(a, "{}");
    g_assert_cmpuint(api.requests, ==, losses[i].requests);
    answer_clear(&a);
    fake_api_close(&api);
}

static void test_nobody_listens(void)
{
    struct fake_api api;
    fake_api_open(&api, echo, NULL);
    g_autoptr(KubeClient) client = fake_api_client(&api, &(struct kube_client_options){.attempts = 2});
    fake_api_close(&api);
    struct answer a = ask(client, (struct kube_request){.method = "POST", .path = "/x", .body = "{}"});
    g_assert_error(a.error, KUBE_ERROR, KUBE_ERROR_UNAVAILABLE);
    /* It cannot have been carried out, so it was tried again. */
    g_assert_cmpuint(kube_client_counters(client).retries, ==, 1);
    answer_clear(&a);
}

struct heard {
    unsigned silent, answers;
};

static void on_silent(void *data, const GError *error)
{
    struct heard *h = data;
    if (error)
        h->silent++;
    else
        h->answers++;
}

/* The 1st request meets no answer once, the 2nd three times. */
static void lose_some(struct fake_api *api, const struct fake_request *r)
{
    (void)api;
    if (r->number == 1 || (r->number >= 3 && r->number <= 5))
        fake_reset(r);
    else
        fake_answer(r, 200, "{}");
}

static void test_silence_is_told_while_it_lasts(void)
{
    struct fake_api api;
    struct heard h = {0, 0};
    fake_api_open(&api, lose_some, NULL);
    g_autoptr(KubeClient) client =
        fake_api_client(&api, &(struct kube_client_options){.silent = on_silent, .silent_data = &h});
    struct answer a = ask(client, (struct kube_request){.method = "GET", .path = "/x"});
    assert_body(a, "{}");
    answer_clear(&a);
    g_assert_cmpuint(h.silent + h.answers, ==, 0); /* once may be a server that was started again */
    a = ask(client, (struct kube_request){.method = "GET", .path = "/x"});
    assert_body(a, "{}");
    answer_clear(&a);
    g_assert_cmpuint(h.silent, ==, 1);
    g_assert_cmpuint(h.answers, ==, 1);
    fake_api_close(&api);
}

static void never(struct fake_api *api, const struct fake_request *r)
{
    (void)api;
    soup_server_message_pause(r->message);
    g_ptr_array_add(api->streams, g_object_ref(r->message));
}

static void test_silence_ends_at_the_deadline(void)
{
    struct fake_api api;
    fake_api_open(&api, never, NULL);
    g_autoptr(KubeClient) client = fake_api_client(&api, NULL);
    struct answer a = ask(client, (struct kube_request){.method = "GET", .path = "/x", .timeout_ms = 50});
    g_assert_error(a.error, KUBE_ERROR, KUBE_ERROR_TIMEOUT);
    g_assert_cmpstr(a.error->message, ==, "GET /x: no answer within 50 ms");
    g_assert_cmpuint(kube_client_counters(client).in_flight, ==, 0);
    answer_clear(&a);
    fake_api_close(&api);
}

static gboolean cancel(void *data)
{
    g_cancellable_cancel(data);
    return G_SOURCE_REMOVE;
}

static void test_cancelled_request_says_so(void)
{
    struct fake_api api;
    fake_api_open(&api, never, NULL);
    g_autoptr(KubeClient) client = fake_api_client(&api, NULL);
    g_autoptr(GCancellable) cancellable = g_cancellable_new();
    struct answer a = {0};
    kube_request_async(client, &(struct kube_request){.method = "GET", .path = "/x"}, cancellable, on_answer,
                       &a);
    g_idle_add(cancel, cancellable);
    wait_for(&a.done);
    g_assert_error(a.error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
    answer_clear(&a);
    fake_api_close(&api);
}

static void want_new(struct fake_api *api, const struct fake_request *r)
{
    (void)api;
    if (strcmp(r->authorization, "Bearer new") == 0)
        fake_answer(r, 200, "{}");
    else
        fake_status(r, 401, "Unauthorized", NULL);
}

/* The path of a file that has it; the caller unlinks it. */
static char *old_token(void)
{
    char *path = g_build_filename(g_get_tmp_dir(), "hami-token-XXXXXX", NULL);
    g_close(g_mkstemp(path), NULL);
    g_assert_true(g_file_set_contents(path, "old\n", -1, NULL));
    return path;
}

static void test_token_is_read_again_after_401(void)
{
    struct fake_api api;
    GError *error = NULL;
    g_autofree char *path = old_token();
    fake_api_open(&api, want_new, NULL);
    KubeConfig *config = fake_api_config(&api);
    config->token_path = g_strdup(path);
    g_autoptr(KubeClient) client = kube_client_new(config, NULL, &error);
    g_assert_no_error(error);
    struct answer a = ask(client, (struct kube_request){.method = "POST", .path = "/x", .body = "{}"});
    g_assert_error(a.error, KUBE_ERROR, KUBE_ERROR_UNAUTHORIZED);
    g_assert_cmpuint(api.requests, ==, 1); /* the same token again would be in vain */
    answer_clear(&a);
    /* In place, same size, within the second in which states are not looked at. */
    g_assert_true(g_file_set_contents_full(path, "new\n", -1, G_FILE_SET_CONTENTS_NONE, 0600, NULL));
    a = ask(client, (struct kube_request){.method = "POST", .path = "/x", .body = "{}"});
    assert_body(a, "{}");
    g_assert_cmpuint(api.requests, ==, 3);
    answer_clear(&a);
    g_assert_true(g_file_set_contents_full(path, "old\n", -1, G_FILE_SET_CONTENTS_NONE, 0600, NULL));
    wait_ms(1100);
    answer_clear(&a);
    a = ask(client, (struct kube_request){.method = "GET", .path = "/x"});
    answer_clear(&a);
    g_assert_true(g_file_set_contents_full(path, "new\n", -1, G_FILE_SET_CONTENTS_NONE, 0600, NULL));
    unsigned before = api.requests;
    a = ask(client, (struct kube_request){.method = "POST", .path = "/x", .body = "{}", .once = true});
    g_assert_error(a.error, KUBE_ERROR, KUBE_ERROR_UNAUTHORIZED);
    g_assert_cmpuint(api.requests, ==, before + 1); /* once is once; the next one has the new token */
    answer_clear(&a);
    a = ask(client, (struct kube_request){.method = "POST", .path = "/x", .body = "{}", .once = true});
    assert_body(a, "{}");
    answer_clear(&a);
    g_unlink(path);
    fake_api_close(&api);
}

/* All of them were sent with the old token; the first 401 reads the new one. */
static void test_new_token_is_for_all_that_were_refused(void)
{
    struct fake_api api;
    struct answer a[3] = {0};
    g_autofree char *path = old_token();
    fake_api_open(&api, want_new, NULL);
    KubeConfig *config = fake_api_config(&api);
    config->token_path = g_strdup(path);
    g_autoptr(KubeClient) client = kube_client_new(config, NULL, NULL);
    for (size_t i = 0; i < G_N_ELEMENTS(a); i++)
        kube_request_async(
            client, &(struct kube_request){.method = "POST", .path = "/x", .body = "{}", .body_len = 2}, NULL,
            on_answer, &a[i]);
    g_assert_true(g_file_set_contents_full(path, "new\n", -1, G_FILE_SET_CONTENTS_NONE, 0600, NULL));
    for (size_t i = 0; i < G_N_ELEMENTS(a); i++) {
        wait_for(&a[i].done);
        assert_body(a[i], "{}");
        answer_clear(&a[i]);
    }
    g_assert_cmpuint(api.requests, ==, 6);
    g_unlink(path);
    fake_api_close(&api);
}

static void on_counted(GObject *source, GAsyncResult *result, void *data)
{
    (void)source;
    g_autoptr(GBytes) body = kube_request_finish(result, NULL, NULL);
    g_assert_nonnull(body);
    ++*(unsigned *)data;
}

static void test_rate_is_limited_with_a_burst(void)
{
    struct fake_api api;
    unsigned done = 0;
    fake_api_open(&api, echo, NULL);
    g_autoptr(KubeClient) client =
        fake_api_client(&api, &(struct kube_client_options){.qps = 50, .burst = 2});
    gint64 begin_us = g_get_monotonic_time();
    for (int i = 0; i < 5; i++)
        kube_request_async(client, &(struct kube_request){.method = "GET", .path = "/x"}, NULL, on_counted,
                           &done);
    kube_request_async(client, &(struct kube_request){.method = "GET", .path = "/x", .unlimited = true}, NULL,
                       on_counted, &done);
    wait_count(&done, 3);
    wait_count(&done, 6);
    g_assert_cmpint(g_get_monotonic_time() - begin_us, >=, 3 * 20 * 1000);
    g_assert_cmpuint(kube_client_counters(client).throttled, ==, 3);
    fake_api_close(&api);
}

static void test_sync_is_the_same(void)
{
    struct fake_api api;
    GError *error = NULL;
    unsigned status = 0;
    fake_api_open(&api, echo, NULL);
    g_autoptr(KubeClient) client = fake_api_client(&api, NULL);
    g_autoptr(GBytes) body =
        kube_request_sync(client, &(struct kube_request){.method = "GET", .path = "/x"}, &status, &error);
    g_assert_no_error(error);
    g_assert_nonnull(body);
    g_assert_cmpuint(status, ==, 201);
    g_assert_null(
        kube_request_sync(client, &(struct kube_request){.method = "GET", .path = "no path"}, NULL, &error));
    g_assert_error(error, KUBE_ERROR, KUBE_ERROR_INVALID);
    g_clear_error(&error);
    fake_api_close(&api);
}

static void test_backoff_doubles_within_its_bounds(void)
{
    struct kube_backoff b = {.first_ms = 100, .cap_ms = 1000, .jitter = no_jitter};
    static const uint32_t lowest_ms[] = {50, 100, 200, 400, 500, 500};
    for (size_t i = 0; i < G_N_ELEMENTS(lowest_ms); i++)
        g_assert_cmpuint(kube_backoff_next_ms(&b), ==, lowest_ms[i]);
    kube_backoff_reset(&b);
    b.jitter = NULL;
    uint32_t least_ms = UINT32_MAX, most_ms = 0;
    for (int i = 0; i < 1000; i++) {
        uint32_t wait_ms = kube_backoff_next_ms(&b);
        g_assert_true(wait_ms >= 50 && wait_ms < 1000);
        if (wait_ms >= 500) { /* at the cap: those who failed together come back apart */
            least_ms = MIN(least_ms, wait_ms);
            most_ms = MAX(most_ms, wait_ms);
        }
    }
    g_assert_cmpuint(most_ms - least_ms, >, 250);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define ADD(name) g_test_add_func("/kube/request/" #name, test_##name)
    ADD(request_reaches_the_server_as_it_is);
    ADD(path_cannot_be_climbed);
    ADD(writes_that_hang_hold_up_no_lease);
    for (size_t i = 0; i < G_N_ELEMENTS(failures); i++) {
        g_autofree char *path = g_strdup_printf("/kube/request/failure/%s", failures[i].name);
        g_test_add_data_func(path, GSIZE_TO_POINTER(i), test_failure_has_its_code);
    }
    for (size_t i = 0; i < G_N_ELEMENTS(laters); i++) {
        g_autofree char *path = g_strdup_printf("/kube/request/retry_after/%s", laters[i].name);
        g_test_add_data_func(path, GSIZE_TO_POINTER(i), test_retry_after);
    }
    ADD(redirects_are_not_followed);
    ADD(peer_that_is_gone_without_a_word_is_noticed);
    ADD(failure_of_a_proxy_is_told_too);
    ADD(429_is_waited_out_as_the_server_says);
    ADD(429_beyond_the_deadline_is_handed_on);
    ADD(retry_after_is_bounded);
    for (size_t i = 0; i < G_N_ELEMENTS(losses); i++) {
        g_autofree char *path = g_strdup_printf("/kube/request/lost_connection/%s", losses[i].name);
        g_test_add_data_func(path, GSIZE_TO_POINTER(i), test_lost_connection);
    }
    ADD(nobody_listens);
    ADD(silence_is_told_while_it_lasts);
    ADD(silence_ends_at_the_deadline);
    ADD(cancelled_request_says_so);
    ADD(token_is_read_again_after_401);
    ADD(new_token_is_for_all_that_were_refused);
    ADD(rate_is_limited_with_a_burst);
    ADD(sync_is_the_same);
    ADD(backoff_doubles_within_its_bounds);
    return g_test_run();
}
