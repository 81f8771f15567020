/* SPDX-License-Identifier: Apache-2.0
 *
 * The life of one request:
 *
 *     permit (qps) -> attempt -> headers -> body -> done
 *                        ^                    |
 *                        +---- back-off <-----+  where repeating is allowed
 *
 * Every state has its one source or operation under way; `inner` cancels it,
 * for the caller's cancellable and the deadline alike.
 */
#include <string.h>

#include "kube/client_private.h"
#include "kube/reader.h"
#include "kube/session.h"

#define SHARE (256u << 10) /* bytes of one answer per turn of the loop */
#define BODY_MAX (16u << 20)

/* Before libsoup's own queue, which has the default. When a kept connection turns out to be closed at the
 * first write, libsoup (3.2.3 to 3.6) lets the queue send a GET, PUT or DELETE once more, and tells its own
 * callback of the failure in the loop's next turn. Where the queue is faster and has another kept connection,
 * the callback takes that for the failure of the second exchange, ends it, and the second one's callback then
 * reads from what is gone. */
#define HEADERS_PRIORITY (G_PRIORITY_DEFAULT - 1)

struct call {
    KubeClient *client;
    GTask *task;
    char *method, *path, *query, *content_type;
    GBytes *body;
    bool repeatable, once, unlimited, stream;

    gint64 deadline_us;
    uint32_t timeout_ms, attempts;
    struct kube_backoff backoff;
    bool renewed;   /* the token was read again after a 401 */
    bool expired;   /* the deadline has passed */
    bool sent;      /* of this attempt something may have reached the server */
    bool forbidden; /* libsoup was about to repeat what must not be */

    GCancellable *inner, *outer;
    gulong outer_id;
    struct kube_deadline deadline;
    GSource *wait, *readable;
    struct kube_lane *lane; /* that the attempt is under way in */
    SoupMessage *message;
    GInputStream *in;
    GByteArray *buffer;
};

static void drop_source(GSource **source)
{
    if (*source)
        g_source_destroy(*source);
    g_clear_pointer(source, g_source_unref);
}

static void attempt_clear(struct call *c)
{
    drop_source(&c->wait);
    drop_source(&c->readable);
    if (c->message)
        g_signal_handlers_disconnect_by_data(c->message, c);
    if (c->in)
        kube_reader_abandon(g_steal_pointer(&c->in));
    g_clear_object(&c->message);
    if (c->lane)
        c->lane->requests--;
    c->lane = NULL;
    g_clear_pointer(&c->buffer, g_byte_array_unref);
}

static void call_free(struct call *c)
{
    attempt_clear(c);
    kube_deadline_drop(c->client, &c->deadline);
    if (c->outer_id)
        g_signal_handler_disconnect(c->outer, c->outer_id);
    g_clear_object(&c->outer);
    g_clear_object(&c->inner);
    g_clear_pointer(&c->body, g_bytes_unref);
    g_free(c->method);
    g_free(c->path);
    g_free(c->query);
    g_free(c->content_type);
    c->client->counters.in_flight--;
    kube_client_unref(c->client);
    g_free(c);
}

/* Ends the call. Takes the error, or the result with its destructor. */
static void call_end(struct call *c, GError *error, void *result, GDestroyNotify destroy)
{
    g_autoptr(GTask) task = c->task;
    if (error)
        c->client->counters.failures++;
    call_free(c);
    if (error)
        g_task_return_error(task, error);
    else
        g_task_return_pointer(task, result, destroy);
}

static void call_fail(struct call *c, GError *error)
{
    const struct kube_client_options *o = &c->client->options;
    if (error->domain == KUBE_ERROR)
        g_prefix_error(&error, "%s %s: ", c->method, c->path);
    if (o->refused && g_error_matches(error, KUBE_ERROR, KUBE_ERROR_FORBIDDEN))
        o->refused(o->refused_data, error);
    call_end(c, error, NULL, NULL);
}

static void attempt(struct call *c);

static bool cancelled(struct call *c)
{
    return c->outer && g_cancellable_is_cancelled(c->outer);
}

static GError *expired_error(struct call *c)
{
    return g_error_new(KUBE_ERROR, KUBE_ERROR_TIMEOUT, "no answer within %u ms", c->timeout_ms);
}

static gboolean on_waited(void *data)
{
    struct call *c = data;
    drop_source(&c->wait);
    if (cancelled(c))
        call_end(c, g_error_new_literal(G_IO_ERROR, G_IO_ERROR_CANCELLED, "cancelled"), NULL, NULL);
    else if (c->expired)
        call_fail(c, expired_error(c));
    else
        attempt(c);
    return G_SOURCE_REMOVE;
}

static void wait_then_attempt(struct call *c, gint64 wait_us)
{
    g_autoptr(GSource) cut = g_cancellable_source_new(c->inner);
    g_source_set_dummy_callback(cut);
    c->wait = kube_client_timer(c->client, wait_us, on_waited, c);
    g_source_add_child_source(c->wait, cut);
}

/* Whether the failure allows another attempt, and after which wait. */
static bool may_repeat(struct call *c, const GError *error, uint32_t *ret_wait_ms)
{
    bool harmless = c->repeatable || strcmp(c->method, "GET") == 0;
    uint32_t asked_ms = kube_error_retry_after_ms(error);
    if (c->once || c->stream || c->attempts >= c->client->options.attempts || c->forbidden)
        return false;
    *ret_wait_ms = MAX(kube_backoff_next_ms(&c->backoff), asked_ms);
    if (g_get_monotonic_time() + (gint64)*ret_wait_ms * 1000 >= c->deadline_us)
        return false;
    /* Refused before anything was done: 429, and a 503 that says when to come back. A 500 or 504 may say it
     * too, of a write that its store did not answer (apiserver storage/errors, InterpretCreateError). */
    if (g_error_matches(error, KUBE_ERROR, KUBE_ERROR_TOO_MANY) ||
        (asked_ms && kube_error_status(error) == 503))
        return true;
    if (g_error_matches(error, KUBE_ERROR, KUBE_ERROR_UNAVAILABLE) && !c->sent)
        return true;
    return harmless && kube_error_is_transient(error);
}

/* Whether it may come once more with another token; who may not leaves it to the next. */
static bool renew(struct call *c, const GError *error)
{
    if (c->renewed || !g_error_matches(error, KUBE_ERROR, KUBE_ERROR_UNAUTHORIZED))
        return false;
    c->renewed = true;
    const char *header =
        soup_message_headers_get_one(soup_message_get_request_headers(c->message), "Authorization");
    return kube_credentials_renew(c->client->credentials, header) && !c->once;
}

/* error NULL: there was an answer. */
static void tell_silent(KubeClient *client, const GError *error)
{
    if (!client->options.silent || client->silent == (error != NULL))
        return;
    client->silent = error != NULL;
    client->options.silent(client->options.silent_data, error);
}

/* An attempt has failed: repeats or ends the call. Takes the error. */
static void attempt_failed(struct call *c, GError *error)
{
    uint32_t wait_ms = 0;
    if (cancelled(c)) {
        g_error_free(error);
        call_end(c, g_error_new_literal(G_IO_ERROR, G_IO_ERROR_CANCELLED, "cancelled"), NULL, NULL);
        return;
    }
    if (c->expired) {
        g_error_free(error);
        call_fail(c, expired_error(c));
        return;
    }
    if (!renew(c, error) && !may_repeat(c, error, &wait_ms)) {
        call_fail(c, error);
        return;
    }
    /* One failure is that of a connection whose other end was started again. */
    if (c->attempts >= 2 && kube_error_status(error) == 0 &&
        (g_error_matches(error, KUBE_ERROR, KUBE_ERROR_UNAVAILABLE) ||
         g_error_matches(error, KUBE_ERROR, KUBE_ERROR_TIMEOUT)))
        tell_silent(c->client, error);
    g_error_free(error);
    attempt_clear(c);
    c->client->counters.retries++;
    wait_then_attempt(c, (gint64)wait_ms * 1000);
}

static GError *below_http(struct call *c, GError *error)
{
    if (c->forbidden) {
        g_error_free(error);
        return g_error_new(KUBE_ERROR, KUBE_ERROR_UNAVAILABLE,
                           "%s: connection lost; it may have been carried out", c->client->config->server);
    }
    return kube_session_error(c->client->config, c->message, error);
}

static void answer_complete(struct call *c)
{
    unsigned status = soup_message_get_status(c->message);
    SoupMessageHeaders *headers = soup_message_get_response_headers(c->message);
    c->client->counters.received_bytes += c->buffer->len;
    g_clear_object(&c->in); /* read to its end: the connection is kept */
    if (status < 200 || status > 299) {
        attempt_failed(c, kube_error_from_answer(status, soup_message_headers_get_one(headers, "Retry-After"),
                                                 (const char *)c->buffer->data, c->buffer->len));
        return;
    }
    if (c->stream) {
        call_fail(c,
                  g_error_new(KUBE_ERROR, KUBE_ERROR_PROTOCOL, "HTTP status %u instead of a stream", status));
        return;
    }
    g_object_set_data(G_OBJECT(c->task), "status", GUINT_TO_POINTER(status));
    GBytes *body = g_byte_array_free_to_bytes(g_steal_pointer(&c->buffer));
    call_end(c, NULL, body, (GDestroyNotify)g_bytes_unref);
}

static gboolean on_readable(GObject *stream, void *data);
static gboolean on_more(void *data);

/* Reads what is there; small answers lie there already. */
static void read_body(struct call *c)
{
    GError *error = NULL;
    size_t max = c->stream ? 1u << 20 : c->client->options.answer_max;
    switch (kube_reader_fill(c->in, c->buffer, max, SHARE, &error)) {
    case KUBE_READER_WAIT:
        c->readable = kube_reader_wait(c->in, c->inner, c->client->context, on_readable, c);
        break;
    case KUBE_READER_MORE:
        c->readable = kube_client_timer(c->client, 0, on_more, c);
        break;
    case KUBE_READER_FAILED:
        attempt_failed(c, below_http(c, error));
        break;
    case KUBE_READER_FULL:
        call_fail(c,
                  g_error_new(KUBE_ERROR, KUBE_ERROR_TOO_LARGE, "the answer has more than %zu bytes", max));
        break;
    case KUBE_READER_END:
        answer_complete(c);
        break;
    }
}

static gboolean on_more(void *data)
{
    struct call *c = data;
    drop_source(&c->readable);
    if (cancelled(c) || c->expired)
        attempt_failed(c, expired_error(c));
    else
        read_body(c);
    return G_SOURCE_REMOVE;
}

static gboolean on_readable(GObject *stream, void *data)
{
    (void)stream;
    return on_more(data);
}

/* Streams are asked for as they are: events would be held up in the packer. */
static bool is_packed(SoupMessage *message)
{
    const char *encoding =
        soup_message_headers_get_list(soup_message_get_response_headers(message), "Content-Encoding");
    return encoding && g_ascii_strcasecmp(encoding, "identity") != 0;
}

static void on_headers(GObject *session, GAsyncResult *result, void *data)
{
    struct call *c = data;
    GError *error = NULL;
    c->in = soup_session_send_finish(SOUP_SESSION(session), result, &error);
    if (c->in)
        tell_silent(c->client, NULL);
    if (!c->in) {
        attempt_failed(c, below_http(c, error));
    } else if (!G_IS_POLLABLE_INPUT_STREAM(c->in) ||
               !g_pollable_input_stream_can_poll(G_POLLABLE_INPUT_STREAM(c->in))) {
        call_fail(c,
                  g_error_new_literal(KUBE_ERROR, KUBE_ERROR_PROTOCOL, "an answer in an unknown encoding"));
    } else if (c->stream && is_packed(c->message)) {
        call_fail(c, g_error_new_literal(KUBE_ERROR, KUBE_ERROR_PROTOCOL,
                                         "a packed stream, which was not asked for (a proxy?)"));
    } else if (c->stream && soup_message_get_status(c->message) == 200) {
        kube_reader_set_socket(c->in, kube_session_socket(c->message));
        call_end(c, NULL, g_steal_pointer(&c->in), g_object_unref);
    } else {
        c->buffer = g_byte_array_new();
        read_body(c);
    }
}

static void on_wrote_headers(SoupMessage *message, void *data)
{
    struct call *c = data;
    (void)message;
    c->sent = true;
}

/* libsoup repeats PUT and DELETE whose connection was closed under them. */
static void on_restarted(SoupMessage *message, void *data)
{
    struct call *c = data;
    (void)message;
    if (c->repeatable || strcmp(c->method, "GET") == 0)
        return;
    c->forbidden = true;
    g_cancellable_cancel(c->inner);
}

static void tell_stale(KubeClient *client)
{
    g_autoptr(GError) why = kube_credentials_trouble(client->credentials);
    if (why && client->options.stale)
        client->options.stale(client->options.stale_data, why);
}

static void attempt(struct call *c)
{
    GError *error = NULL;
    const char *authorization = NULL;
    KubeClient *client = c->client;
    c->attempts++;
    c->sent = false;
    c->message = kube_session_message(client->config, c->method, c->path, c->query, c->stream, &error);
    if (!c->message || !kube_credentials_header(client->credentials, &authorization, &error)) {
        call_fail(c, error);
        return;
    }
    tell_stale(client);
    SoupMessageHeaders *headers = soup_message_get_request_headers(c->message);
    if (authorization)
        soup_message_headers_replace(headers, "Authorization", authorization);
    soup_message_set_tls_client_certificate(c->message, kube_client_certificate(client));
    if (c->body) {
        soup_message_set_request_body_from_bytes(c->message, c->content_type, c->body);
        client->counters.sent_bytes += g_bytes_get_size(c->body);
    }
    g_signal_connect(c->message, "wrote-headers", G_CALLBACK(on_wrote_headers), c);
    g_signal_connect(c->message, "restarted", G_CALLBACK(on_restarted), c);
    client->counters.requests++;
    c->lane = kube_client_lane(client, c->stream || c->unlimited);
    c->lane->requests++;
    soup_session_send_async(c->lane->session, c->message, HEADERS_PRIORITY, c->inner, on_headers, c);
}

static void on_deadline(void *data)
{
    struct call *c = data;
    c->expired = true;
    g_cancellable_cancel(c->inner);
}

static void on_outer(GCancellable *outer, void *data)
{
    (void)outer;
    g_cancellable_cancel(data);
}

static struct call *call_new(KubeClient *client, const struct kube_request *r, GTask *task)
{
    struct call *c = g_new0(struct call, 1);
    c->client = kube_client_ref(client);
    c->task = task;
    c->method = g_strdup(r->method);
    c->path = g_strdup(r->path);
    c->query = g_strdup(r->query);
    c->content_type = g_strdup(r->content_type ? r->content_type : "application/json");
    c->body = r->body ? g_bytes_new(r->body, r->body_len) : NULL;
    c->repeatable = r->repeatable;
    c->once = r->once;
    c->unlimited = r->unlimited;
    c->timeout_ms = r->timeout_ms ? r->timeout_ms : client->options.timeout_ms;
    c->backoff = (struct kube_backoff){.first_ms = 100,
                                       .cap_ms = 10000,
                                       .jitter = client->options.jitter,
                                       .jitter_data = client->options.jitter_data};
    c->inner = g_cancellable_new();
    client->counters.in_flight++;
    return c;
}

static void call_begin(struct call *c, GCancellable *outer)
{
    gint64 now_us = g_get_monotonic_time();
    c->deadline_us = now_us + (gint64)c->timeout_ms * 1000;
    kube_deadline_set(c->client, &c->deadline, c->deadline_us, on_deadline, c);
    if (outer) {
        c->outer = g_object_ref(outer);
        c->outer_id = g_signal_connect(outer, "cancelled", G_CALLBACK(on_outer), c->inner);
    }
    if (outer && g_cancellable_is_cancelled(outer))
        g_cancellable_cancel(c->inner);
    gint64 wait_us = c->unlimited ? 0 : kube_client_permit_us(c->client, now_us);
    if (wait_us > 0)
        c->client->counters.throttled++;
    if (wait_us > 0 || g_cancellable_is_cancelled(c->inner))
        wait_then_attempt(c, wait_us);
    else
        attempt(c);
}

static void start(KubeClient *client, const struct kube_request *r, bool stream, GCancellable *cancellable,
                  GAsyncReadyCallback callback, void *data)
{
    GTask *task = g_task_new(NULL, NULL, callback, data);
    g_task_set_source_tag(task, stream ? (void *)kube_stream_async : (void *)kube_request_async);
    if (r->body_len > BODY_MAX) {
        g_task_return_new_error(task, KUBE_ERROR, KUBE_ERROR_TOO_LARGE,
                                "%s %s: the body has more than %u bytes", r->method, r->path, BODY_MAX);
        g_object_unref(task);
        return;
    }
    struct call *c = call_new(client, r, task);
    c->stream = stream;
    call_begin(c, cancellable);
}

void kube_request_async(KubeClient *client, const struct kube_request *request, GCancellable *cancellable,
                        GAsyncReadyCallback callback, void *data)
{
    start(client, request, false, cancellable, callback, data);
}

GBytes *kube_request_finish(GAsyncResult *result, unsigned *ret_status, GError **error)
{
    GBytes *body = g_task_propagate_pointer(G_TASK(result), error);
    if (body && ret_status)
        *ret_status = GPOINTER_TO_UINT(g_object_get_data(G_OBJECT(result), "status"));
    return body;
}

void kube_stream_async(KubeClient *client, const struct kube_request *request, GCancellable *cancellable,
                       GAsyncReadyCallback callback, void *data)
{
    start(client, request, true, cancellable, callback, data);
}

GInputStream *kube_stream_finish(GAsyncResult *result, GError **error)
{
    return g_task_propagate_pointer(G_TASK(result), error);
}
