/* SPDX-License-Identifier: Apache-2.0
 *
 * Listeners and connections of the HTTP server, until and beside SoupServer.
 */
#include <gnutls/x509.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

#include "net/http_server_private.h"
#include "net/http_stream.h"
#include "net/tls_x509.h"

#define ACCEPTS 32   /* per turn of the main loop */
#define PAUSE_MS 100 /* without descriptors */
#define CONNECTION "http-connection"
#define HANDSHAKES 8 /* at once: GIO begins with ten threads */
#define STALLED_MS 500
#define RECORD_HEAD 5
#define RECORD_MAX 16384
#define RECORD_HANDSHAKE 22

struct http_listener {
    HttpServer *server;
    GSocket *socket;
    GSource *source;
};

static void give_up_hello(struct http_connection *c);

static void drop_source(GSource **source)
{
    if (*source)
        g_source_destroy(*source);
    g_clear_pointer(source, g_source_unref);
}

static void leave_queue(struct http_connection *c)
{
    if (c->waiting)
        g_queue_unlink(&c->server->waiting, &c->link);
    c->waiting = false;
}

static void set_deadline(struct http_connection *c, uint32_t ms)
{
    g_source_set_ready_time(c->deadline, g_get_monotonic_time() + (gint64)ms * 1000);
}

static gboolean on_due(void *data)
{
    struct http_connection *c = data;
    c->server->counters.slow_clients++;
    http_connection_cut(c);
    return G_SOURCE_CONTINUE;
}

void http_connection_wait(struct http_connection *c, uint32_t ms)
{
    leave_queue(c);
    c->waiting = true;
    g_queue_push_tail_link(&c->server->waiting, &c->link);
    set_deadline(c, ms);
}

void http_connection_drain(struct http_connection *c, uint32_t ms)
{
    leave_queue(c);
    set_deadline(c, ms);
}

void http_connection_ours(struct http_connection *c)
{
    leave_queue(c);
    g_source_set_ready_time(c->deadline, -1);
}

void http_connection_idle(struct http_connection *c, bool idle)
{
    if (c->stream)
        http_stream_set_idle(c->stream, idle);
}

/* Whoever reads or writes it sees the end and cleans up. */
void http_connection_cut(struct http_connection *c)
{
    http_connection_ours(c);
    give_up_hello(c);
    g_socket_shutdown(c->socket, TRUE, TRUE, NULL);
}

struct http_connection *http_connection_of(SoupServerMessage *message)
{
    GSocketAddress *remote = soup_server_message_get_remote_address(message);
    return remote ? g_object_get_data(G_OBJECT(remote), CONNECTION) : NULL;
}

static void on_stream_gone(void *data, GObject *stream)
{
    struct http_connection *c = data;
    (void)stream;
    leave_queue(c);
    drop_source(&c->deadline);
    if (c->remote)
        g_object_set_data(G_OBJECT(c->remote), CONNECTION, NULL);
    g_clear_object(&c->remote);
    g_clear_weak_pointer(&c->stream);
    c->server->counters.connections--;
    g_object_unref(c->socket);
    http_server_unref(c->server);
    g_free(c->peer);
    g_free(c);
}

/* The record lives as long as the TCP stream, whoever holds that. */
static struct http_connection *connection_new(HttpServer *server, GSocket *socket, GSocketConnection *tcp)
{
    struct http_connection *c = g_new0(struct http_connection, 1);
    c->server = http_server_ref(server);
    c->socket = g_object_ref(socket);
    c->link.data = c;
    c->deadline = http_server_timer(server, G_MAXINT, on_due, c);
    server->counters.connections++;
    g_object_weak_ref(G_OBJECT(tcp), on_stream_gone, c);
    http_connection_wait(c, server->options.request_ms);
    return c;
}

static bool is_loopback(GSocketAddress *address)
{
    return G_IS_INET_SOCKET_ADDRESS(address) &&
           g_inet_address_get_is_loopback(g_inet_socket_address_get_address(G_INET_SOCKET_ADDRESS(address)));
}

static void hand_over(struct http_connection *c, GIOStream *stream)
{
    HttpServer *server = c->server;
    g_autoptr(GSocketAddress) local = g_socket_get_local_address(c->socket, NULL);
    g_autoptr(GSocketAddress) remote = g_socket_get_remote_address(c->socket, NULL);
    if (!local || !remote || server->freed)
        return; /* gone already */
    g_autoptr(GIOStream) wrapped = http_stream_new(stream, c->socket);
    g_set_weak_pointer(&c->stream, wrapped);
    c->remote = g_object_ref(remote);
    c->local = is_loopback(remote);
    g_object_set_data(G_OBJECT(remote), CONNECTION, c);
    soup_server_accept_iostream(server->soup, wrapped, local, remote, NULL);
}

/* GIO verifies the chain, not what the certificate is for. */
static bool is_for_clients(GTlsCertificate *certificate)
{
    g_autofree char *pem = NULL;
    g_object_get(certificate, "certificate-pem", &pem, NULL);
    gnutls_x509_crt_t crt = pem ? tls_x509_read(pem, NULL) : NULL;
    if (!crt)
        return false;
    bool yes = gnutls_x509_crt_check_key_purpose(crt, GNUTLS_KP_TLS_WWW_CLIENT, 0) != 0;
    gnutls_x509_crt_deinit(crt);
    return yes;
}

/* For servers GIO asks whatever the verification said. */
static gboolean on_client_certificate(GTlsConnection *tls, GTlsCertificate *certificate,
                                      GTlsCertificateFlags flaws, void *data)
{
    (void)tls, (void)data;
    return flaws == 0 && is_for_clients(certificate);
}

struct handshake {
    struct http_connection *connection;
    bool mutual;
    gint64 begun_us;
    GList link; /* in server->handshakes */
};

static void begin_next(HttpServer *server);

static void on_handshake(GObject *object, GAsyncResult *result, void *data)
{
    struct handshake *h = data;
    struct http_connection *c = h->connection;
    GTlsConnection *tls = G_TLS_CONNECTION(object);
    HttpServer *server = http_server_ref(c->server);
    bool ok = g_tls_connection_handshake_finish(tls, result, NULL);
    g_queue_unlink(&server->handshakes, &h->link);
    if (ok && h->mutual)
        c->peer = tls_common_name(g_tls_connection_get_peer_certificate(tls));
    g_free(h);
    if (ok) {
        hand_over(c, G_IO_STREAM(tls));
    } else {
        c->server->counters.refused_handshakes++;
        http_connection_cut(c);
    }
    g_object_unref(tls); /* the last one ends the connection */
    begin_next(server);
    http_server_unref(server);
}

/* The database is said at birth, also that there is none: else GIO reads and
 * parses the system's 140 anchors for each connection, 8 ms. */
static GTlsConnection *new_tls(HttpServer *server, GSocketConnection *tcp)
{
    GTlsAuthenticationMode mode = server->anchors ? G_TLS_AUTHENTICATION_REQUIRED : G_TLS_AUTHENTICATION_NONE;
    return g_initable_new(g_tls_backend_get_server_connection_type(g_tls_backend_get_default()), NULL, NULL,
                          "base-io-stream", tcp, "certificate", server->certificate, "database",
                          server->anchors, "authentication-mode", mode, "require-close-notify", FALSE, NULL);
}

static void begin_tls(struct http_connection *c, GSocketConnection *tcp)
{
    HttpServer *server = c->server;
    GTlsConnection *tls = new_tls(server, tcp);
    if (!tls) {
        server->counters.refused_handshakes++;
        return;
    }
    struct handshake *h = g_new0(struct handshake, 1);
    h->connection = c;
    h->mutual = server->anchors != NULL;
    h->begun_us = g_get_monotonic_time();
    h->link.data = h;
    g_queue_push_tail_link(&server->handshakes, &h->link);
    g_signal_connect(tls, "accept-certificate", G_CALLBACK(on_client_certificate), NULL);
    g_tls_connection_handshake_async(tls, G_PRIORITY_DEFAULT, NULL, on_handshake, h);
}

/* A connection whose client has not said hello yet. */
struct hello {
    struct http_connection *connection;
    GSocketConnection *tcp;
    int wanted; /* bytes */
    GList link; /* in server->hellos */
};

static void hello_free(void *data)
{
    struct hello *h = data;
    g_object_unref(h->tcp); /* perhaps the last one: it ends the connection */
    g_free(h);
}

static gboolean on_stalled(void *data)
{
    HttpServer *server = data;
    const struct handshake *oldest = g_queue_peek_head(&server->handshakes);
    drop_source(&server->stalled);
    if (oldest && server->hellos.length &&
        g_get_monotonic_time() - oldest->begun_us >= STALLED_MS * G_USEC_PER_SEC / 1000)
        http_connection_cut(oldest->connection);
    begin_next(server);
    return G_SOURCE_REMOVE;
}

/* The last to come first: who floods us waits behind who comes after. While
 * some wait, a handshake whose client does not answer makes room. */
static void begin_next(HttpServer *server)
{
    while (server->hellos.length && server->handshakes.length < HANDSHAKES) {
        struct hello *h = g_queue_pop_tail_link(&server->hellos)->data;
        struct http_connection *c = h->connection;
        c->hello = NULL;
        begin_tls(c, h->tcp);
        hello_free(h);
    }
    if (server->hellos.length && !server->stalled)
        server->stalled = http_server_timer(server, STALLED_MS / 5, on_stalled, server);
}

/* Cut while it waited for its handshake. */
static gboolean on_given_up(void *data)
{
    hello_free(data);
    return G_SOURCE_REMOVE;
}

static void give_up_hello(struct http_connection *c)
{
    struct hello *h = c->hello;
    if (!h)
        return;
    c->hello = NULL;
    g_queue_unlink(&c->server->hellos, &h->link);
    c->server->counters.refused_handshakes++;
    g_source_unref(http_server_timer(c->server, 0, on_given_up, h));
}

static void want(struct hello *h, int bytes)
{
    h->wanted = bytes;
    g_socket_set_option(h->connection->socket, SOL_SOCKET, SO_RCVLOWAT, bytes, NULL);
}

/* Called when that many bytes are there, or never will be. A record: its kind,
 * version, length (RFC 8446 section 5.1). */
static gboolean on_hello(GSocket *socket, GIOCondition condition, void *data)
{
    struct hello *h = data;
    struct http_connection *c = h->connection;
    uint8_t record[RECORD_HEAD + RECORD_MAX];
    ssize_t n = recv(g_socket_get_fd(socket), record, (size_t)h->wanted, MSG_PEEK | MSG_DONTWAIT);
    (void)condition;
    int len = n >= RECORD_HEAD ? RECORD_HEAD + (record[3] << 8 | record[4]) : 0;
    if (c->server->freed || n < h->wanted || record[0] != RECORD_HANDSHAKE || len > (int)sizeof record) {
        c->server->counters.refused_handshakes++;
        http_connection_cut(c);
        return G_SOURCE_REMOVE;
    }
    if (n < len) {
        want(h, len);
        return G_SOURCE_CONTINUE;
    }
    want(h, 1);
    struct hello *waits = g_memdup2(h, sizeof *h);
    g_object_ref(waits->tcp);
    waits->link = (GList){.data = waits};
    c->hello = waits;
    g_queue_push_tail_link(&c->server->hellos, &waits->link);
    begin_next(c->server);
    return G_SOURCE_REMOVE;
}

/* Who says nothing must not take a thread, as a handshake does. */
static void await_hello(struct http_connection *c, GSocketConnection *tcp)
{
    struct hello *h = g_new0(struct hello, 1);
    h->connection = c;
    h->tcp = g_object_ref(tcp);
    want(h, RECORD_HEAD);
    g_autoptr(GSource) source = g_socket_create_source(c->socket, G_IO_IN, NULL);
    g_source_set_callback(source, G_SOURCE_FUNC(on_hello), h, hello_free);
    g_source_attach(source, c->server->context);
}

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

static void take(HttpServer *server, GSocket *socket)
{
    if (!make_room(server)) {
        g_socket_close(socket, NULL);
        return;
    }
    g_socket_set_blocking(socket, FALSE);
    g_socket_set_option(socket, IPPROTO_TCP, TCP_NODELAY, 1, NULL);
    g_autoptr(GSocketConnection) tcp = g_socket_connection_factory_create_connection(socket);
    struct http_connection *c = connection_new(server, socket, tcp);
    if (server->certificate)
        await_hello(c, tcp);
    else
        hand_over(c, G_IO_STREAM(tcp));
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
    (void)condition;
    for (int i = 0; i < ACCEPTS; i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(GSocket) accepted = g_socket_accept(socket, NULL, &error);
        if (accepted) {
            take(l->server, accepted);
        } else if (g_error_matches(error, G_IO_ERROR, G_IO_ERROR_WOULD_BLOCK)) {
            break;
        } else {
            /* No descriptors, or a connection that failed while it waited:
             * the listener goes on, without spinning. */
            struct http_connection *longest = g_queue_peek_head(&l->server->waiting);
            if (longest && g_error_matches(error, G_IO_ERROR, G_IO_ERROR_TOO_MANY_OPEN_FILES))
                http_connection_cut(longest);
            g_source_unref(l->source);
            l->source = http_server_timer(l->server, PAUSE_MS, on_pause_over, l);
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
    if (!server->certificate && !server->options.plain_anywhere && !g_inet_address_get_is_loopback(inet)) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_PERMISSION_DENIED,
                    "listening on %s: without TLS only on loopback; give a certificate and key, or 127.0.0.1",
                    text);
        return false;
    }
    GSocket *socket = open_socket(text, address, error);
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
