/* SPDX-License-Identifier: Apache-2.0
 *
 * Listeners and connections of the HTTP server, until and beside the engine.
 */
#include <errno.h>
#include <glib-unix.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/http_server_private.h"

#define ACCEPTS 32   /* per turn of the main loop */
#define PAUSE_MS 100 /* without descriptors */
#define RECORD_HEAD 5
#define RECORD_MAX 16384
#define RECORD_HANDSHAKE 22

struct http_listener {
    HttpServer *server;
    GSocket *socket;
    GSource *source;
};

static void drop_source(GSource **source)
{
    if (*source)
        g_source_destroy(*source);
    g_clear_pointer(source, g_source_unref);
}

/* ---- connections ----------------------------------------------------------- */

static bool is_loopback(const struct sockaddr_storage *peer, socklen_t len)
{
    union {
        const void *peer;
        void *native;
    } both = {peer};
    g_autoptr(GSocketAddress) address = g_socket_address_new_from_native(both.native, len);
    return G_IS_INET_SOCKET_ADDRESS(address) &&
           g_inet_address_get_is_loopback(g_inet_socket_address_get_address(G_INET_SOCKET_ADDRESS(address)));
}

static struct http_connection *connection_new(HttpServer *server, int fd)
{
    struct http_connection *c = g_new0(struct http_connection, 1);
    c->server = server;
    c->fd = fd;
    c->link.data = c->waits.data = c->begins.data = c;
    c->target = g_string_new(NULL);
    server->counters.connections++;
    g_queue_push_tail_link(&server->connections, &c->link);
    http_connection_due(c, HTTP_CLIENT_SENDS, server->options.request_ms);
    return c;
}

static void connection_free(struct http_connection *c)
{
    HttpServer *server = c->server;
    http_connection_due(c, HTTP_NOBODY, 0);
    if (c->in_hellos)
        g_queue_unlink(&server->hellos, &c->begins);
    if (server->identity && !c->shaken)
        server->counters.refused_handshakes++;
    g_queue_unlink(&server->connections, &c->link);
    server->counters.connections--;
    drop_source(&c->hello);
    http_identity_unref(c->identity);
    g_string_free(c->target, TRUE);
    g_clear_pointer(&c->kept, g_byte_array_unref);
    g_free(c->peer);
    g_free(c);
}

struct http_connection *http_connection_of(struct MHD_Connection *mhd)
{
    return MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
}

void http_connection_cut(struct http_connection *c)
{
    http_connection_due(c, HTTP_NOBODY, 0);
    shutdown(c->fd, SHUT_RDWR);
    if (c->mhd) {
        if (c->request)
            http_request_abandon(c->request);
        return;
    }
    close(c->fd);
    connection_free(c);
}

void http_connection_notify(void *data, struct MHD_Connection *mhd, void **context,
                            enum MHD_ConnectionNotificationCode what)
{
    HttpServer *server = data;
    if (what == MHD_CONNECTION_NOTIFY_CLOSED) {
        connection_free(*context);
        return;
    }
    struct http_connection *c = g_steal_pointer(&server->adding);
    *context = c;
    c->mhd = mhd;
    if (!server->identity)
        return;
    c->identity = http_identity_ref(server->identity);
    http_identity_apply(c, MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_GNUTLS_SESSION)->tls_session);
}

/* To the engine, which closes what it cannot take. */
static void hand_over(struct http_connection *c)
{
    HttpServer *server = c->server;
    struct sockaddr_storage peer = {0};
    socklen_t len = sizeof peer;
    if (getpeername(c->fd, (struct sockaddr *)&peer, &len) != 0) {
        http_connection_cut(c); /* gone already */
        return;
    }
    c->local = is_loopback(&peer, len);
    server->adding = c;
    MHD_add_connection(server->engine, c->fd, (struct sockaddr *)&peer, len);
    if (server->adding)
        connection_free(g_steal_pointer(&server->adding));
}

/* ---- before a handshake ---------------------------------------------------- */

/* The last to come first: who floods us waits behind who comes after. One at a
 * time, for a handshake is half a millisecond of computing. */
static gboolean on_begin(void *data)
{
    HttpServer *server = data;
    if (server->hellos.length) {
        struct http_connection *c = g_queue_pop_tail_link(&server->hellos)->data;
        c->in_hellos = false;
        hand_over(c);
    }
    if (server->hellos.length)
        return G_SOURCE_CONTINUE;
    g_clear_pointer(&server->begin, g_source_unref);
    return G_SOURCE_REMOVE;
}

static void want(struct http_connection *c, int bytes)
{
    c->wanted = bytes;
    setsockopt(c->fd, SOL_SOCKET, SO_RCVLOWAT, &bytes, sizeof bytes);
}

/* Called when that many bytes are there, or never will be. A record: its kind,
 * version, length (RFC 8446 section 5.1). */
static gboolean on_hello(int fd, GIOCondition condition, void *data)
{
    struct http_connection *c = data;
    HttpServer *server = c->server;
    uint8_t record[RECORD_HEAD + RECORD_MAX];
    ssize_t n = recv(fd, record, (size_t)c->wanted, MSG_PEEK | MSG_DONTWAIT);
    (void)condition;
    int len = n >= RECORD_HEAD ? RECORD_HEAD + (record[3] << 8 | record[4]) : 0;
    if (n < c->wanted || record[0] != RECORD_HANDSHAKE || len > (int)sizeof record) {
        http_connection_cut(c);
        return G_SOURCE_REMOVE;
    }
    if (n < len) {
        want(c, len);
        return G_SOURCE_CONTINUE;
    }
    want(c, 1);
    c->in_hellos = true;
    g_queue_push_tail_link(&server->hellos, &c->begins);
    if (!server->begin)
        server->begin = http_server_timer(server, 0, on_begin, server);
    g_clear_pointer(&c->hello, g_source_unref);
    return G_SOURCE_REMOVE;
}

/* Who says nothing costs no computing, and no buffers. */
static void await_hello(struct http_connection *c)
{
    want(c, RECORD_HEAD);
    c->hello = g_unix_fd_source_new(c->fd, G_IO_IN);
    g_source_set_callback(c->hello, G_SOURCE_FUNC(on_hello), c, NULL);
    g_source_attach(c->hello, c->server->context);
}

/* ---- listeners ------------------------------------------------------------- */

/* Room for one more: whoever keeps us waiting longest makes it. */
static bool make_room(HttpServer *server)
{
    struct http_connection *longest = g_queue_peek_head(&server->waiting);
    if (server->counters.connections < server->options.connections_max)
        return true;
    server->counters.refused_connections++;
    if (longest)
        http_connection_cut(longest);
    return longest != NULL;
}

static void take(HttpServer *server, int fd)
{
    int on = 1;
    if (!make_room(server)) {
        close(fd);
        return;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    struct http_connection *c = connection_new(server, fd);
    if (server->identity)
        await_hello(c);
    else
        hand_over(c);
}

static gboolean on_connections(GSocket *socket, GIOCondition condition, void *data);

static void arm(struct http_listener *l)
{
    l->source = g_socket_create_source(l->socket, G_IO_IN, NULL);
    g_source_set_callback(l->source, G_SOURCE_FUNC(on_connections), l, NULL);
    g_source_attach(l->source, l->server->context);
}

static gboolean on_pause_over(void *data)
{
    struct http_listener *l = data;
    drop_source(&l->source);
    arm(l);
    return G_SOURCE_REMOVE;
}

static gboolean on_connections(GSocket *socket, GIOCondition condition, void *data)
{
    struct http_listener *l = data;
    HttpServer *server = l->server;
    (void)condition;
    for (int i = 0; i < ACCEPTS; i++) {
        int fd = accept4(g_socket_get_fd(socket), NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        int why = errno;
        if (fd >= 0) {
            take(server, fd);
        } else if (why == EAGAIN || why == EWOULDBLOCK) {
            break;
        } else if (why != EINTR) {
            /* No descriptors, or a connection that failed while it waited:
             * the listener goes on, without spinning. */
            struct http_connection *longest = g_queue_peek_head(&server->waiting);
            if (longest && (why == EMFILE || why == ENFILE))
                http_connection_cut(longest);
            g_source_unref(l->source);
            l->source = http_server_timer(server, PAUSE_MS, on_pause_over, l);
            return G_SOURCE_REMOVE;
        }
    }
    return G_SOURCE_CONTINUE;
}

void http_listener_free(void *listener)
{
    struct http_listener *l = listener;
    drop_source(&l->source);
    g_socket_close(l->socket, NULL);
    g_object_unref(l->socket);
    g_free(l);
}

/* "HOST:PORT" with an address, "localhost", or nothing as the host. */
static GSocketAddress *parse_address(const char *text, GError **error)
{
    const char *colon = strrchr(text, ':');
    guint64 port = 0;
    g_autoptr(GInetAddress) inet = NULL;
    if (colon && g_ascii_string_to_unsigned(colon + 1, 10, 0, 65535, &port, NULL)) {
        g_autofree char *host = g_strndup(text, (gsize)(colon - text));
        size_t len = strlen(host);
        if (len == 0)
            inet = g_inet_address_new_any(G_SOCKET_FAMILY_IPV6);
        else if (strcmp(host, "localhost") == 0)
            inet = g_inet_address_new_loopback(G_SOCKET_FAMILY_IPV4);
        else if (host[0] == '[' && host[len - 1] == ']') {
            host[len - 1] = '\0';
            inet = g_inet_address_new_from_string(host + 1);
        } else if (!strchr(host, ':'))
            inet = g_inet_address_new_from_string(host);
    }
    if (inet)
        return g_inet_socket_address_new(inet, (guint16)port);
    g_set_error(error, G_IO_ERROR, G_IO_ERROR_INVALID_ARGUMENT,
                "listening on \"%.100s\": write ADDRESS:PORT, e.g. 127.0.0.1:8080, [::1]:8080 or :443", text);
    return NULL;
}

static GSocket *bind_socket(GSocketAddress *address, GError **error)
{
    g_autoptr(GSocket) socket = g_socket_new(g_socket_address_get_family(address), G_SOCKET_TYPE_STREAM,
                                             G_SOCKET_PROTOCOL_TCP, error);
    if (!socket)
        return NULL;
    if (g_socket_address_get_family(address) == G_SOCKET_FAMILY_IPV6)
        g_socket_set_option(socket, IPPROTO_IPV6, IPV6_V6ONLY, 0, NULL);
    g_socket_set_blocking(socket, FALSE);
    g_socket_set_listen_backlog(socket, 512);
    return g_socket_bind(socket, address, TRUE, error) && g_socket_listen(socket, error)
               ? g_steal_pointer(&socket)
               : NULL;
}

/* Machines without IPv6 have an "every address" of their own. */
static GSocket *open_socket(const char *text, GSocketAddress *address, GError **error)
{
    g_autoptr(GError) why = NULL;
    GSocket *socket = bind_socket(address, &why);
    if (!socket && text[0] == ':') {
        g_autoptr(GInetAddress) any = g_inet_address_new_any(G_SOCKET_FAMILY_IPV4);
        g_autoptr(GSocketAddress) v4 =
            g_inet_socket_address_new(any, g_inet_socket_address_get_port(G_INET_SOCKET_ADDRESS(address)));
        g_clear_error(&why);
        socket = bind_socket(v4, &why);
    }
    if (!socket)
        g_set_error(error, G_IO_ERROR, why->code, "listening on %s: %s", text, why->message);
    return socket;
}

bool http_server_listen(HttpServer *server, const char *text, GError **error)
{
    g_autoptr(GSocketAddress) address = parse_address(text, error);
    if (!address)
        return false;
    GInetAddress *inet = g_inet_socket_address_get_address(G_INET_SOCKET_ADDRESS(address));
    if (!server->identity && !server->options.plain_anywhere && !g_inet_address_get_is_loopback(inet)) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED,
                    "listening on %s: without TLS only on loopback; give a certificate and key, or 127.0.0.1",
                    text);
        return false;
    }
    GSocket *socket = http_server_open(server, error) ? open_socket(text, address, error) : NULL;
    if (!socket)
        return false;
    struct http_listener *l = g_new0(struct http_listener, 1);
    l->server = server;
    l->socket = socket;
    arm(l);
    g_ptr_array_add(server->listeners, l);
    g_autoptr(GSocketAddress) bound = g_socket_get_local_address(socket, NULL);
    if (!server->port && bound)
        server->port = g_inet_socket_address_get_port(G_INET_SOCKET_ADDRESS(bound));
    return true;
}
