/* SPDX-License-Identifier: Apache-2.0
 *
 * Requests and answers of the HTTP server.
 *
 * The engine calls http_request_step() with the head, with each part of the
 * body, and at the end; what is to be answered then is either there or the
 * connection is suspended, and the step is called once more when it is.
 */
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>

#include "net/http_gzip.h"
#include "net/http_server_private.h"

#define EXCESS_MAX (4u << 20) /* bytes of a too large body that are read to answer it */
#define PIECE_BYTES (128u << 10)
#define BLOCK_BYTES (32u << 10) /* the engine asks for at most so many at once */
#define BODY_BEGINS (64u << 10) /* of a promised length that is believed at once */
#define LEFT (POLLRDHUP | POLLHUP | POLLERR)

/* Referenced by whoever is to answer, by the request until it is over, and by an
 * answer in pieces. */
struct http_responder {
    unsigned references;
    HttpServer *server;
    struct http_connection *connection; /* NULL: over */
    const char *method;
    char *path; /* percent-decoded; NULL: it cannot be */
    const char *query;
    GPtrArray *headers; /* names and values in turn; NULL without */
    struct MHD_Response *answer;
    unsigned status;
    bool suspended, answered, abandoned;
    bool watched;  /* whether its client leaves */
    bool has_body; /* the answer */

    /* While the body comes in. */
    const struct http_route *route; /* NULL: none fits */
    GByteArray *body;               /* NULL: none */
    uint64_t body_len;
    size_t kept; /* of it, in the server's sum */
    bool refused, too_large, crowded, whole;

    struct http_pieces pieces; /* of the answer; more NULL: no more */
    struct http_gzip *gzip;    /* NULL: they go out as they are */
    GString *piece;
    size_t piece_at;
};

/* ---- life ------------------------------------------------------------------ */

static void drop_left(struct http_responder *r)
{
    if (r->watched)
        epoll_ctl(r->server->leaving, EPOLL_CTL_DEL, r->connection->fd, NULL);
    r->watched = false;
}

static void forget_body(struct http_responder *r)
{
    r->server->bodies -= r->kept;
    r->kept = 0;
    g_clear_pointer(&r->body, g_byte_array_unref);
}

static void responder_unref(void *data) /* also the engine's */
{
    struct http_responder *r = data;
    if (--r->references)
        return;
    if (r->pieces.gone)
        r->pieces.gone(r->pieces.data);
    if (r->piece)
        g_string_free(r->piece, TRUE);
    http_gzip_free(r->gzip);
    g_clear_pointer(&r->headers, g_ptr_array_unref);
    g_free(r->path);
    http_server_unref(r->server);
    g_free(r);
}

/* The engine is done with the request, in whatever way. */
void http_request_over(void *data, struct MHD_Connection *mhd, void **context,
                       enum MHD_RequestTerminationCode how)
{
    struct http_responder *r = *context;
    (void)data, (void)mhd, (void)how;
    if (!r)
        return;
    *context = NULL;
    drop_left(r);
    struct http_connection *c = g_steal_pointer(&r->connection);
    c->request = NULL;
    http_identity_flush(c);
    forget_body(r);
    g_clear_pointer(&r->answer, MHD_destroy_response);
    if (!r->abandoned)
        http_connection_due(c, HTTP_CLIENT_SENDS, r->server->options.idle_ms);
    responder_unref(r);
}

/* The engine's next turn calls http_request_step(). */
static void resume(struct http_responder *r)
{
    if (!r->suspended)
        return;
    r->suspended = false;
    drop_left(r);
    r->server->resumed = true;
    MHD_resume_connection(r->connection->mhd);
}

void http_request_abandon(struct http_responder *r)
{
    r->abandoned = true;
    resume(r);
}

gboolean http_requests_left(int fd, GIOCondition condition, void *data)
{
    struct epoll_event events[16]; /* the rest the next time */
    int n = epoll_wait(fd, events, G_N_ELEMENTS(events), 0);
    (void)condition, (void)data;
    for (int i = 0; i < n; i++)
        http_connection_cut(((struct http_responder *)events[i].data.ptr)->connection);
    return G_SOURCE_CONTINUE;
}

static void suspend(struct http_responder *r)
{
    struct http_connection *c = r->connection;
    r->suspended = true;
    MHD_suspend_connection(c->mhd);
    http_connection_due(c, HTTP_WE_ANSWER, r->server->options.answer_ms);
    struct epoll_event event = {.events = EPOLLRDHUP, .data.ptr = r}; /* hang-up and error come unasked */
    r->watched = epoll_ctl(r->server->leaving, EPOLL_CTL_ADD, c->fd, &event) == 0;
}

bool http_is_gone(const struct http_responder *r)
{
    if (!r->connection || r->abandoned || r->answered)
        return true;
    struct pollfd p = {.fd = r->connection->fd, .events = POLLRDHUP};
    return poll(&p, 1, 0) > 0 && p.revents & LEFT;
}

static const char *header_of(const struct http_responder *r, const char *name)
{
    return MHD_lookup_connection_value(r->connection->mhd, MHD_HEADER_KIND, name);
}

/* ---- answers --------------------------------------------------------------- */

void http_header(struct http_responder *r, const char *name, const char *value)
{
    if (r->answered)
        return;
    if (!r->headers)
        r->headers = g_ptr_array_new_with_free_func(g_free);
    g_ptr_array_add(r->headers, g_strdup(name));
    g_ptr_array_add(r->headers, g_strdup(value));
}

/* Takes the answer. Whether it goes out is seen by who asked. */
static void answer(struct http_responder *r, unsigned status, const char *content_type,
                   struct MHD_Response *response)
{
    if (!r->connection || r->answered || !response) {
        if (response)
            MHD_destroy_response(response);
        return;
    }
    r->answered = true;
    r->status = status;
    r->answer = response;
    MHD_add_response_header(response, "Content-Type",
                            content_type ? content_type : "text/plain; charset=utf-8");
    for (guint i = 0; r->headers && i + 1 < r->headers->len; i += 2)
        MHD_add_response_header(response, r->headers->pdata[i], r->headers->pdata[i + 1]);
    resume(r);
}

static enum MHD_Result send_answer(struct http_responder *r)
{
    struct MHD_Response *response = g_steal_pointer(&r->answer);
    struct http_connection *c = r->connection;
    http_connection_due(c, HTTP_CLIENT_TAKES, r->server->options.request_ms);
    if (r->has_body && strcmp(r->method, "HEAD") != 0)
        http_identity_keep_next(c);
    enum MHD_Result queued = MHD_queue_response(c->mhd, r->status, response);
    MHD_destroy_response(response);
    return queued;
}

static void answer_copy(struct http_responder *r, unsigned status, const char *content_type, const void *body,
                        size_t len)
{
    union {
        const void *body;
        void *data;
    } both = {body};
    r->has_body |= len && !r->answered;
    answer(r, status, content_type, MHD_create_response_from_buffer(len, both.data, MHD_RESPMEM_MUST_COPY));
}

static void answer_text(struct http_responder *r, unsigned status, const char *text)
{
    answer_copy(r, status, NULL, text, strlen(text));
}

static void bytes_unref(void *bytes)
{
    g_bytes_unref(bytes);
}

void http_respond_bytes(struct http_responder *r, unsigned status, const char *content_type, GBytes *body)
{
    union {
        const void *body;
        void *data;
    } both;
    size_t len;
    both.body = g_bytes_get_data(body, &len);
    r->has_body |= len && !r->answered;
    if (len)
        answer(r, status, content_type,
               MHD_create_response_from_buffer_with_free_callback_cls(len, both.data, bytes_unref,
                                                                      g_bytes_ref(body)));
    else
        answer_text(r, status, "");
    responder_unref(r);
}

void http_respond(struct http_responder *r, unsigned status, const char *content_type, const void *body,
                  size_t body_len)
{
    answer_copy(r, status, content_type, body, body_len);
    responder_unref(r);
}

void http_drop(struct http_responder *r)
{
    answer_text(r, 500, "no answer\n");
    responder_unref(r);
}

void http_request_late(struct http_responder *r)
{
    r->server->counters.slow_answers++;
    answer_text(r, 503, "no answer in time; try again\n");
}

/* The engine wants more once what it had has gone out; with each piece the
 * client has its time anew. */
static ssize_t next_bytes(void *data, uint64_t at, char *buffer, size_t max)
{
    struct http_responder *r = data;
    (void)at;
    while (r->piece_at == r->piece->len) {
        if (!r->pieces.more)
            return MHD_CONTENT_READER_END_OF_STREAM;
        g_string_truncate(r->piece, 0);
        r->piece_at = 0;
        if (!r->pieces.more(r->piece, r->pieces.data))
            r->pieces.more = NULL;
        if (r->gzip && !http_gzip_pack(r->gzip, r->piece, !r->pieces.more))
            return MHD_CONTENT_READER_END_WITH_ERROR;
        http_connection_due(r->connection, HTTP_CLIENT_TAKES, r->server->options.request_ms);
    }
    size_t n = MIN(max, r->piece->len - r->piece_at);
    memcpy(buffer, r->piece->str + r->piece_at, n);
    r->piece_at += n;
    return (ssize_t)n;
}

void http_respond_pieces(struct http_responder *r, unsigned status, const char *content_type,
                         const struct http_pieces *pieces)
{
    r->pieces = *pieces;
    r->piece = g_string_sized_new(PIECE_BYTES);
    if (pieces->may_pack)
        http_header(r, "Vary", "Accept-Encoding");
    if (pieces->may_pack && r->connection && http_asks_for_gzip(header_of(r, "Accept-Encoding"))) {
        http_header(r, "Content-Encoding", "gzip");
        r->gzip = http_gzip_new();
    }
    r->references++; /* the answer's */
    answer(r, status, content_type,
           MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, BLOCK_BYTES, next_bytes, r, responder_unref));
    responder_unref(r);
}

/* ---- routes ---------------------------------------------------------------- */

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
    for (size_t i = 0; path && i < server->n_routes; i++)
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
static void answer_no_route(struct http_responder *r)
{
    g_autoptr(GString) allowed = g_string_new(NULL);
    r->server->counters.refused_routes++;
    if (!r->path) {
        answer_text(r, 400, "the path is not well-formed\n");
        return;
    }
    for (size_t i = 0; i < r->server->n_routes; i++)
        if (path_fits(&r->server->routes[i], r->path))
            g_string_append_printf(allowed, "%s%s", allowed->len ? ", " : "", r->server->routes[i].method);
    g_autofree char *text =
        allowed->len ? g_strdup_printf("%.200s takes %s, not %.20s\n", r->path, allowed->str, r->method)
                     : g_strdup_printf("no such path: %.200s\n", r->path);
    if (allowed->len)
        http_header(r, "Allow", allowed->str);
    answer_text(r, allowed->len ? 405 : 404, text);
}

static void answer_too_large(struct http_responder *r)
{
    g_autofree char *text = g_strdup_printf("the body has %" G_GUINT64_FORMAT " bytes; %.200s takes %zu\n",
                                            r->body_len, r->path, r->route->body_max);
    r->server->counters.refused_bodies++;
    answer_text(r, 413, text);
}

/* ---- requests -------------------------------------------------------------- */

/* The request line is there; the engine's own reading of it has lost where the
 * query begins. */
void *http_request_target(void *data, const char *target, struct MHD_Connection *mhd)
{
    HttpServer *server = data;
    struct http_connection *c = http_connection_of(mhd);
    bool first = c->target->len == 0; /* its time is running already */
    g_string_assign(c->target, target);
    if (!first)
        http_connection_due(c, HTTP_CLIENT_SENDS, server->options.request_ms);
    return NULL;
}

static void read_target(struct http_responder *r, GString *target)
{
    const char *query = strchr(target->str, '?'), *end = query ? query : target->str + target->len;
    r->query = query ? query + 1 : NULL;
    r->path = g_uri_unescape_segment(target->str, end, NULL);
}

/* What is said of the body before it comes. Who asks before sending is told
 * before sending; then the connection ends. */
static enum MHD_Result look_at_head(struct http_responder *r)
{
    const char *coding = header_of(r, "Transfer-Encoding"), *expects = header_of(r, "Expect");
    const char *length = header_of(r, "Content-Length");
    uint64_t promised = length ? g_ascii_strtoull(length, NULL, 10) : 0;
    bool asks = expects && g_ascii_strcasecmp(expects, "100-continue") == 0;
    size_t max = r->route && !r->refused ? r->route->body_max : 0;
    if (coding && (length || g_ascii_strcasecmp(coding, "chunked") != 0)) {
        http_header(r, "Connection", "close");
        answer_text(r, 400, "a body has either a length or comes in chunks\n");
    } else if (asks && (!r->route || r->refused || promised > max)) {
        http_header(r, "Connection", "close");
        if (!r->route) {
            answer_no_route(r);
        } else if (r->refused) {
            answer_refused(r);
        } else {
            r->server->counters.refused_bodies++;
            answer_text(r, 413, "the body is larger than this path takes\n");
        }
    } else if (promised && promised <= max) {
        r->body = g_byte_array_sized_new((guint)MIN(promised, BODY_BEGINS) + 1);
    }
    return r->answer ? send_answer(r) : MHD_YES;
}

static enum MHD_Result begin_request(HttpServer *server, struct http_connection *c, const char *method,
                                     void **context)
{
    struct http_responder *r = g_new0(struct http_responder, 1);
    r->references = 1;
    r->server = http_server_ref(server);
    r->connection = c;
    r->method = method;
    read_target(r, c->target);
    r->route = find_route(server, method, r->path);
    r->refused = r->route && r->route->guarded && !(c->local || c->peer);
    c->request = r;
    *context = r;
    return look_at_head(r);
}

static enum MHD_Result take_chunk(struct http_responder *r, const char *chunk, size_t len)
{
    size_t max = r->route && !r->refused ? r->route->body_max : 0;
    r->body_len += len;
    r->crowded |= r->server->bodies + len > r->server->options.bodies_max;
    if (r->body_len <= max && !r->crowded) {
        if (!r->body)
            r->body = g_byte_array_new();
        g_byte_array_append(r->body, (const guint8 *)chunk, (guint)len);
        r->kept += len;
        r->server->bodies += len;
        return MHD_YES;
    }
    /* Read on, without keeping it, so that the client gets to read the answer. */
    forget_body(r);
    r->too_large = r->body_len > max;
    if (r->body_len <= (uint64_t)max + EXCESS_MAX)
        return MHD_YES;
    r->server->counters.refused_bodies++;
    return MHD_NO;
}

static void call_handler(struct http_responder *r)
{
    struct http_connection *c = r->connection;
    if (r->body)
        g_byte_array_append(r->body, (const guint8 *)"", 1);
    struct http_request request = {.method = r->method,
                                   .path = r->path,
                                   .query = r->query,
                                   .content_type = header_of(r, "Content-Type"),
                                   .body = r->body ? (const char *)r->body->data : "",
                                   .body_len = r->body ? r->body->len - 1 : 0,
                                   .peer = c->peer,
                                   .local = c->local};
    r->references++; /* the handler's */
    r->route->handler(&request, r, r->server->data);
}

/* The whole request is there. */
static enum MHD_Result finish_request(struct http_responder *r)
{
    HttpServer *server = r->server;
    r->whole = true;
    server->counters.requests++;
    http_connection_due(r->connection, HTTP_NOBODY, 0);
    if (!r->route) {
        answer_no_route(r);
    } else if (r->refused) {
        answer_refused(r);
    } else if (r->too_large) {
        answer_too_large(r);
    } else if (r->crowded) {
        server->counters.refused_bodies++;
        answer_text(r, 503, "too many large requests at once; try again\n");
    } else {
        call_handler(r);
    }
    if (r->answer)
        return send_answer(r);
    suspend(r);
    return MHD_YES;
}

enum MHD_Result http_request_step(void *data, struct MHD_Connection *mhd, const char *url, const char *method,
                                  const char *version, const char *chunk, size_t *len, void **context)
{
    struct http_responder *r = *context;
    (void)url, (void)version;
    if (!r)
        return begin_request(data, http_connection_of(mhd), method, context);
    if (r->abandoned)
        return MHD_NO;
    if (*len) {
        size_t n = *len;
        *len = 0;
        return take_chunk(r, chunk, n);
    }
    return r->whole ? send_answer(r) : finish_request(r);
}
