/* SPDX-License-Identifier: Apache-2.0
 *
 * See http_server.h.
 */
#include "net/http_server.h"

#include <errno.h>
#include <glib-unix.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "net/http_server_private.h"

#define CONNECTION_BYTES (32u << 10) /* of each: for its head and what is read at once */
#define TURNS_US 500                 /* of the engine, before others of the main loop get theirs */
#define PRIORITIES "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2"

HttpServer *http_server_ref(HttpServer *server)
{
    server->references++;
    return server;
}

void http_server_unref(HttpServer *server)
{
    if (--server->references)
        return;
    g_main_context_unref(server->context);
    g_free(server);
}

GSource *http_server_timer(HttpServer *server, uint32_t ms, GSourceFunc callback, void *data)
{
    GSource *source = g_timeout_source_new(ms);
    g_source_set_callback(source, callback, data, NULL);
    g_source_attach(source, server->context);
    return source;
}

/* ---- the engine in our main loop ------------------------------------------ */

struct turns {
    GSource source;
    HttpServer *server;
    void *epoll; /* tag */
};

static gboolean is_pending(const struct turns *t)
{
    MHD_UNSIGNED_LONG_LONG ms;
    return t->server->resumed || (MHD_get_timeout(t->server->engine, &ms) == MHD_YES && ms == 0);
}

static gboolean turns_prepare(GSource *source, int *ret_timeout)
{
    *ret_timeout = -1;
    return is_pending((struct turns *)source);
}

static gboolean turns_check(GSource *source)
{
    struct turns *t = (struct turns *)source;
    return g_source_query_unix_fd(source, t->epoll) != 0 || is_pending(t);
}

/* The engine takes several turns for one request: one to see that there is
 * something, one for each 16 KiB of it. They follow each other at once; with
 * the main loop's own turns between them an answer would take twice as long,
 * and wait for whatever else comes in. */
static gboolean turns_dispatch(GSource *source, GSourceFunc callback, void *data)
{
    const struct turns *t = (struct turns *)source;
    HttpServer *server = t->server;
    (void)callback, (void)data;
    g_return_val_if_fail(!server->turning, G_SOURCE_CONTINUE);
    int64_t until = g_get_monotonic_time() + TURNS_US;
    server->turning = true;
    do {
        server->resumed = false;
        MHD_run(server->engine);
    } while (is_pending(t) && g_get_monotonic_time() < until);
    server->turning = false;
    return G_SOURCE_CONTINUE;
}

static GSourceFuncs turns_functions = {turns_prepare, turns_check, turns_dispatch, NULL, NULL, NULL};

static GSource *turns_new(HttpServer *server)
{
    GSource *source = g_source_new(&turns_functions, sizeof(struct turns));
    struct turns *t = (struct turns *)source;
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(server->engine, MHD_DAEMON_INFO_EPOLL_FD);
    t->server = server;
    /* GLib blocks other sources while they run, and wakes itself up for it. */
    g_source_set_can_recurse(source, TRUE);
    t->epoll = g_source_add_unix_fd(source, info->epoll_fd, G_IO_IN);
    g_source_attach(source, server->context);
    return source;
}

/* Connections are handed to it: its own listeners know nothing of our bounds. */
bool http_server_open(HttpServer *server, GError **error)
{
    unsigned flags = MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET | MHD_ALLOW_SUSPEND_RESUME;
    unsigned limit = 2 * server->options.connections_max + 64; /* ours comes first */
    struct MHD_OptionItem tls[] = {
        {MHD_OPTION_HTTPS_CERT_CALLBACK, 0, (void *)(uintptr_t)http_identity_retrieve},
        {MHD_OPTION_HTTPS_PRIORITIES, 0, (void *)(uintptr_t)PRIORITIES},
        {MHD_OPTION_END, 0, NULL},
    };
    if (server->engine)
        return true;
    if (server->identity)
        flags |= MHD_USE_TLS;
    else
        tls[0].option = MHD_OPTION_END;
    server->engine = MHD_start_daemon(
        flags, 0, NULL, NULL, http_request_step, server, MHD_OPTION_ARRAY, tls, MHD_OPTION_CONNECTION_LIMIT,
        limit, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_BYTES, MHD_OPTION_NOTIFY_CONNECTION,
        http_connection_notify, server, MHD_OPTION_NOTIFY_COMPLETED, http_request_over, server,
        MHD_OPTION_URI_LOG_CALLBACK, http_request_target, server, MHD_OPTION_END);
    if (!server->engine) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED, "the HTTP server does not start");
        return false;
    }
    server->leaving = epoll_create1(EPOLL_CLOEXEC);
    if (server->leaving < 0) {
        g_set_error(error, G_IO_ERROR, (gint)g_io_error_from_errno(errno),
                    "the HTTP server does not start: %s", g_strerror(errno));
        MHD_stop_daemon(g_steal_pointer(&server->engine));
        return false;
    }
    server->turns = turns_new(server);
    server->left = g_unix_fd_source_new(server->leaving, G_IO_IN);
    g_source_set_can_recurse(server->left, TRUE);
    g_source_set_callback(server->left, G_SOURCE_FUNC(http_requests_left), NULL, NULL);
    g_source_attach(server->left, server->context);
    return true;
}

/* ---- the clock ------------------------------------------------------------- */

/* One source for all connections, set later than it was only when it rings:
 * each setting wakes the main loop up once more. */
static void set_clock(HttpServer *server, int64_t at_us)
{
    server->clock_us = at_us;
    g_source_set_ready_time(server->clock, at_us == INT64_MAX ? -1 : at_us);
}

struct clock {
    GSource source;
    HttpServer *server;
};

static gboolean clock_dispatch(GSource *source, GSourceFunc callback, void *data)
{
    HttpServer *server = ((struct clock *)source)->server;
    (void)callback, (void)data;
    int64_t now = g_get_monotonic_time(), next = INT64_MAX;
    server->clock_us = INT64_MAX;
    for (GList *l = server->connections.head, *after; l; l = after) {
        struct http_connection *c = l->data;
        after = l->next;
        if (c->due == HTTP_NOBODY)
            continue;
        if (c->due_us > now) {
            next = MIN(next, c->due_us);
        } else if (c->due == HTTP_WE_ANSWER) {
            http_request_late(c->request);
        } else {
            server->counters.slow_clients++;
            http_connection_cut(c);
        }
    }
    set_clock(server, MIN(next, server->clock_us));
    return G_SOURCE_CONTINUE;
}

static GSourceFuncs clock_functions = {NULL, NULL, clock_dispatch, NULL, NULL, NULL};

static GSource *clock_new(HttpServer *server)
{
    GSource *source = g_source_new(&clock_functions, sizeof(struct clock));
    ((struct clock *)source)->server = server;
    g_source_attach(source, server->context);
    return source;
}

void http_connection_due(struct http_connection *c, enum http_due due, uint32_t ms)
{
    HttpServer *server = c->server;
    if (c->in_waiting)
        g_queue_unlink(&server->waiting, &c->waits);
    c->in_waiting = due == HTTP_CLIENT_SENDS;
    if (c->in_waiting)
        g_queue_push_tail_link(&server->waiting, &c->waits);
    c->due = due;
    if (due == HTTP_NOBODY)
        return;
    c->due_us = g_get_monotonic_time() + (int64_t)ms * 1000;
    if (c->due_us < server->clock_us)
        set_clock(server, c->due_us);
}

/* ---- the object ------------------------------------------------------------ */

HttpServer *http_server_new(const struct http_route *routes, size_t n_routes,
                            const struct http_server_options *options, void *data)
{
    HttpServer *server = g_new0(HttpServer, 1);
    struct http_server_options *o = &server->options;
    server->references = 1;
    server->routes = routes;
    server->n_routes = n_routes;
    server->data = data;
    if (options)
        *o = *options;
    o->request_ms = o->request_ms ? o->request_ms : 10000;
    o->idle_ms = o->idle_ms ? o->idle_ms : 120000;
    o->answer_ms = o->answer_ms ? o->answer_ms : 30000;
    o->connections_max = o->connections_max ? o->connections_max : 256;
    o->bodies_max = o->bodies_max ? o->bodies_max : 128u << 20;
    server->context = g_main_context_ref_thread_default();
    server->listeners = g_ptr_array_new_with_free_func(http_listener_free);
    server->clock = clock_new(server);
    set_clock(server, INT64_MAX);
    return server;
}

static void drop_source(GSource **source)
{
    if (*source)
        g_source_destroy(*source);
    g_clear_pointer(source, g_source_unref);
}

void http_server_free(HttpServer *server)
{
    if (!server || server->freed)
        return;
    server->freed = true;
    g_ptr_array_unref(server->listeners);
    for (GList *l = server->connections.head, *after; l; l = after) {
        after = l->next;
        http_connection_cut(l->data);
    }
    drop_source(&server->turns);
    if (server->engine)
        MHD_stop_daemon(server->engine);
    if (server->left) {
        drop_source(&server->left);
        close(server->leaving);
    }
    drop_source(&server->begin);
    drop_source(&server->clock);
    http_identity_unref(server->identity);
    http_server_unref(server);
}

bool http_server_set_tls(HttpServer *server, const struct tls_pem *pem, const char *client_ca_pem,
                         GError **error)
{
    if (server->engine && !server->identity) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED, "the server listens without TLS already");
        return false;
    }
    struct http_identity *identity = http_identity_new(pem, client_ca_pem, error);
    if (!identity)
        return false;
    http_identity_unref(server->identity);
    server->identity = identity;
    return true;
}

uint16_t http_server_port(const HttpServer *server)
{
    return server->port;
}

struct http_server_counters http_server_counters(const HttpServer *server)
{
    return server->counters;
}
