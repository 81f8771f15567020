/* SPDX-License-Identifier: Apache-2.0
 *
 * Requests and answers of the HTTP server.
 */
#include <string.h>

#include "net/http_server_private.h"

#define EXCESS_MAX (4u << 20) /* bytes of a too large body that are read to answer it */
#define RESPONDER "http-responder"
#define PIECE_BYTES (128u << 10)

/* Referenced by whoever is to answer, and by the message until it is over. */
struct http_responder {
    unsigned references;
    HttpServer *server;
    SoupServerMessage *message; /* NULL: over */
    GSource *late;
    bool in_handler, paused, answered;

    /* While the body comes in. */
    const struct http_route *route; /* NULL: none fits */
    uint64_t body_len;
    size_t kept; /* of it, in the server's sum */
    bool refused, too_large, crowded, cut;

    struct http_pieces pieces; /* of the answer; more NULL: no more */
};

static void drop_late(struct http_responder *r)
{
    if (r->late)
        g_source_destroy(r->late);
    g_clear_pointer(&r->late, g_source_unref);
}

static void responder_unref(struct http_responder *r)
{
    if (--r->references)
        return;
    drop_late(r);
    if (r->pieces.gone)
        r->pieces.gone(r->pieces.data);
    http_server_unref(r->server);
    g_free(r);
}

/* False when it is answered already or the client is gone. */
static bool begin_answer(struct http_responder *r, unsigned status, const char *content_type)
{
    if (!r->message || r->answered)
        return false;
    r->answered = true;
    drop_late(r);
    struct http_connection *c = http_connection_of(r->message);
    if (c)
        http_connection_drain(c, r->server->options.request_ms);
    SoupMessageHeaders *headers = soup_server_message_get_response_headers(r->message);
    soup_server_message_set_status(r->message, status, NULL);
    soup_message_headers_replace(headers, "Content-Type",
                                 content_type ? content_type : "text/plain; charset=utf-8");
    return true;
}

static void answer(struct http_responder *r, unsigned status, const char *content_type, GBytes *body)
{
    if (!begin_answer(r, status, content_type))
        return;
    soup_message_body_append_bytes(soup_server_message_get_response_body(r->message), body);
    soup_message_body_complete(soup_server_message_get_response_body(r->message));
    if (r->paused)
        soup_server_message_unpause(r->message);
}

/* The piece before has gone out, and the client has its time anew. */
static void next_piece(SoupServerMessage *message, void *data)
{
    struct http_responder *r = data;
    struct http_connection *c = http_connection_of(message);
    SoupMessageBody *body = soup_server_message_get_response_body(message);
    if (!r->pieces.more)
        return;
    GString *piece = g_string_sized_new(PIECE_BYTES);
    bool last = !r->pieces.more(piece, r->pieces.data);
    gsize len = piece->len;
    g_autoptr(GBytes) bytes = g_bytes_new_take(g_string_free(piece, FALSE), len);
    if (c)
        http_connection_drain(c, r->server->options.request_ms);
    if (len)
        soup_message_body_append_bytes(body, bytes);
    if (last) {
        r->pieces.more = NULL;
        soup_message_body_complete(body);
    }
    soup_server_message_unpause(message);
}

void http_respond_pieces(struct http_responder *r, unsigned status, const char *content_type,
                         const struct http_pieces *pieces)
{
    r->pieces = *pieces;
    if (begin_answer(r, status, content_type)) {
        soup_message_headers_set_encoding(soup_server_message_get_response_headers(r->message),
                                          SOUP_ENCODING_CHUNKED);
        soup_message_body_set_accumulate(soup_server_message_get_response_body(r->message), FALSE);
        g_signal_connect(r->message, "wrote-headers", G_CALLBACK(next_piece), r);
        g_signal_connect(r->message, "wrote-chunk", G_CALLBACK(next_piece), r);
        if (r->paused)
            soup_server_message_unpause(r->message);
    }
    responder_unref(r);
}

static void answer_text(struct http_responder *r, unsigned status, const char *text)
{
    g_autoptr(GBytes) body = g_bytes_new(text, strlen(text));
    answer(r, status, NULL, body);
}

void http_header(struct http_responder *r, const char *name, const char *value)
{
    if (r->message && !r->answered)
        soup_message_headers_replace(soup_server_message_get_response_headers(r->message), name, value);
}

void http_respond_bytes(struct http_responder *r, unsigned status, const char *content_type, GBytes *body)
{
    answer(r, status, content_type, body);
    responder_unref(r);
}

void http_respond(struct http_responder *r, unsigned status, const char *content_type, const void *body,
                  size_t body_len)
{
    g_autoptr(GBytes) bytes = g_bytes_new(body, body_len);
    http_respond_bytes(r, status, content_type, bytes);
}

void http_drop(struct http_responder *r)
{
    answer_text(r, 500, "no answer\n");
    responder_unref(r);
}

static gboolean on_late(void *data)
{
    struct http_responder *r = data;
    drop_late(r);
    r->server->counters.slow_answers++;
    answer_text(r, 503, "no answer in time; try again\n");
    return G_SOURCE_REMOVE;
}

static bool path_fits(const struct http_route *route, const char *path)
{
    size_t len = strlen(route->path);
    if (len >= 2 && strcmp(route->path + len - 2, "/*") == 0)
        return strncmp(route->path, path, len - 1) == 0;
    return strcmp(route->path, path) == 0;
}

static bool method_fits(const struct http_route *route, const char *method)
{
    return strcmp(route->method, method) == 0 ||
           (strcmp(method, "HEAD") == 0 && strcmp(route->method, "GET") == 0);
}

static const struct http_route *find_route(HttpServer *server, const char *method, const char *path)
{
    for (size_t i = 0; i < server->n_routes; i++)
        if (path_fits(&server->routes[i], path) && method_fits(&server->routes[i], method))
            return &server->routes[i];
    return NULL;
}

static void answer_refused(struct http_responder *r)
{
    r->server->counters.refused_routes++;
    answer_text(r, 403, "only from this machine, or with a client certificate\n");
}

/* 405 with the methods that there are, or 404. */
static void answer_no_route(struct http_responder *r, const char *method, const char *path)
{
    g_autoptr(GString) allowed = g_string_new(NULL);
    for (size_t i = 0; i < r->server->n_routes; i++)
        if (path_fits(&r->server->routes[i], path))
            g_string_append_printf(allowed, "%s%s", allowed->len ? ", " : "", r->server->routes[i].method);
    g_autofree char *text = allowed->len
                                ? g_strdup_printf("%.200s takes %s, not %.20s\n", path, allowed->str, method)
                                : g_strdup_printf("no such path: %.200s\n", path);
    r->server->counters.refused_routes++;
    if (allowed->len)
        http_header(r, "Allow", allowed->str);
    answer_text(r, allowed->len ? 405 : 404, text);
}

static void forget_body(struct http_responder *r)
{
    r->server->bodies -= r->kept;
    r->kept = 0;
}

static void on_chunk(SoupServerMessage *message, GBytes *chunk, void *data)
{
    struct http_responder *r = data;
    size_t max = r->route && !r->refused ? r->route->body_max : 0, len = g_bytes_get_size(chunk);
    r->body_len += len;
    r->crowded |= r->server->bodies + len > r->server->options.bodies_max;
    if (r->body_len <= max && !r->crowded) {
        r->kept += len;
        r->server->bodies += len;
        return;
    }
    forget_body(r);
    /* Read on, without keeping it, so that the client gets to read the answer. */
    soup_message_body_set_accumulate(soup_server_message_get_request_body(message), FALSE);
    soup_message_body_truncate(soup_server_message_get_request_body(message));
    r->too_large = r->body_len > max;
    struct http_connection *c = http_connection_of(message);
    if (c && !r->cut && r->body_len > (uint64_t)max + EXCESS_MAX) {
        r->cut = true;
        r->server->counters.refused_bodies++;
        http_connection_cut(c);
    }
}

static void on_finished(SoupServerMessage *message, void *data)
{
    struct http_responder *r = data;
    struct http_connection *c = http_connection_of(message);
    r->message = NULL;
    forget_body(r);
    drop_late(r);
    if (c) {
        http_connection_idle(c, true);
        http_connection_wait(c, r->server->options.idle_ms);
    }
}

static void on_message_gone(void *data)
{
    struct http_responder *r = data;
    r->message = NULL;
    forget_body(r);
    drop_late(r);
    responder_unref(r);
}

/* The headers are there. */
static void on_headers(SoupServer *soup, SoupServerMessage *message, const char *path, GHashTable *form,
                       void *data)
{
    HttpServer *server = data;
    (void)soup, (void)form;
    struct http_responder *r = g_new0(struct http_responder, 1);
    SoupMessageHeaders *headers = soup_server_message_get_request_headers(message);
    r->references = 1;
    r->server = http_server_ref(server);
    r->message = message;
    r->route = find_route(server, soup_server_message_get_method(message), path);
    struct http_connection *c = http_connection_of(message);
    r->refused = r->route && r->route->guarded && !(c && (c->local || c->peer));
    g_object_set_data_full(G_OBJECT(message), RESPONDER, r, on_message_gone);
    g_signal_connect(message, "got-chunk", G_CALLBACK(on_chunk), r);
    g_signal_connect(message, "finished", G_CALLBACK(on_finished), r);
    /* Who asks before sending is told before sending. */
    bool asks = soup_message_headers_get_expectations(headers) & SOUP_EXPECTATION_CONTINUE;
    goffset length = soup_message_headers_get_content_length(headers);
    if (asks && (!r->route || r->refused || length > (goffset)r->route->body_max)) {
        soup_message_headers_replace(soup_server_message_get_response_headers(message), "Connection",
                                     "close");
        if (!r->route) {
            answer_no_route(r, soup_server_message_get_method(message), path);
        } else if (r->refused) {
            answer_refused(r);
        } else {
            server->counters.refused_bodies++;
            answer_text(r, 413, "the body is larger than this path takes\n");
        }
    }
}

static void call_handler(struct http_responder *r, const char *path)
{
    SoupServerMessage *message = r->message;
    struct http_connection *c = http_connection_of(message);
    SoupMessageHeaders *headers = soup_server_message_get_request_headers(message);
    SoupMessageBody *body = soup_server_message_get_request_body(message);
    g_autoptr(GBytes) flat = soup_message_body_flatten(body); /* with a NUL behind it */
    struct http_request request = {.method = soup_server_message_get_method(message),
                                   .path = path,
                                   .query = g_uri_get_query(soup_server_message_get_uri(message)),
                                   .content_type = soup_message_headers_get_one(headers, "Content-Type"),
                                   .body = body->data ? body->data : "",
                                   .body_len = g_bytes_get_size(flat),
                                   .peer = c ? c->peer : NULL,
                                   .local = c && c->local};
    r->references++; /* the handler's */
    r->in_handler = true;
    r->route->handler(&request, r, r->server->data);
    r->in_handler = false;
    if (!r->answered && r->message) {
        r->paused = true;
        soup_server_message_pause(message);
        r->late = http_server_timer(r->server, r->server->options.answer_ms, on_late, r);
    }
}

/* The whole request is there. */
static void on_request(SoupServer *soup, SoupServerMessage *message, const char *path, GHashTable *form,
                       void *data)
{
    HttpServer *server = data;
    struct http_responder *r = g_object_get_data(G_OBJECT(message), RESPONDER);
    struct http_connection *c = http_connection_of(message);
    (void)soup, (void)form;
    server->counters.requests++;
    if (c)
        http_connection_ours(c);
    r->references++;
    if (!r->route) {
        answer_no_route(r, soup_server_message_get_method(message), path);
    } else if (r->refused) {
        answer_refused(r);
    } else if (r->too_large) {
        g_autofree char *text =
            g_strdup_printf("the body has %" G_GUINT64_FORMAT " bytes; %.200s takes %zu\n", r->body_len, path,
                            r->route->body_max);
        if (!r->cut)
            server->counters.refused_bodies++;
        answer_text(r, 413, text);
    } else if (r->crowded) {
        server->counters.refused_bodies++;
        answer_text(r, 503, "too many large requests at once; try again\n");
    } else {
        call_handler(r, path);
    }
    responder_unref(r);
}

/* The first byte of a request after another; or a fresh connection, whose time
 * is running already. */
static void on_started(SoupServer *soup, SoupServerMessage *message, void *data)
{
    HttpServer *server = data;
    struct http_connection *c = http_connection_of(message);
    (void)soup;
    if (!c)
        return;
    if (c->used)
        http_connection_wait(c, server->options.request_ms);
    c->used = true;
    http_connection_idle(c, false);
}

void http_route_setup(HttpServer *server)
{
    soup_server_add_early_handler(server->soup, NULL, on_headers, server, NULL);
    soup_server_add_handler(server->soup, NULL, on_request, server, NULL);
    g_signal_connect(server->soup, "request-started", G_CALLBACK(on_started), server);
}
