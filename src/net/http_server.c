/* SPDX-License-Identifier: Apache-2.0
 *
 * See http_server.h.
 */
#include "net/http_server.h"

#include <sys/socket.h>
#include <unistd.h>

#include "net/http_server_private.h"

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

/* SoupServer's own listeners stop for ever when one accept() fails and know no
 * limits, so connections are handed to it. But it keeps connections open only
 * while it has a listener: this one is an end of a pair on which nothing comes. */
static void add_quiet_listener(HttpServer *server)
{
    int pair[2];
    g_autoptr(GError) error = NULL;
    server->keep_fd = -1;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) != 0)
        return;
    g_autoptr(GSocket) quiet = g_socket_new_from_fd(pair[0], NULL);
    if (!quiet)
        close(pair[0]);
    server->keep_fd = pair[1];
    if (!quiet || !soup_server_listen_socket(server->soup, quiet, 0, &error))
        g_debug("connections will not be kept open: %s", error ? error->message : "no socket");
}

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
    server->soup = soup_server_new(NULL, NULL);
    add_quiet_listener(server);
    http_route_setup(server);
    return server;
}

void http_server_free(HttpServer *server)
{
    if (!server || server->freed)
        return;
    server->freed = true;
    g_ptr_array_unref(server->listeners);
    if (server->stalled)
        g_source_destroy(server->stalled);
    g_clear_pointer(&server->stalled, g_source_unref);
    while (server->waiting.head)
        http_connection_cut(server->waiting.head->data);
    soup_server_disconnect(server->soup);
    g_object_unref(server->soup);
    g_clear_object(&server->certificate);
    g_clear_object(&server->anchors);
    if (server->keep_fd >= 0)
        close(server->keep_fd);
    http_server_unref(server);
}

void http_server_set_tls(HttpServer *server, GTlsCertificate *certificate, GTlsDatabase *client_anchors)
{
    g_set_object(&server->certificate, certificate);
    g_set_object(&server->anchors, client_anchors);
}

uint16_t http_server_port(const HttpServer *server)
{
    return server->port;
}

struct http_server_counters http_server_counters(const HttpServer *server)
{
    return server->counters;
}
