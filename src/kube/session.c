/* SPDX-License-Identifier: Apache-2.0
 *
 * See session.h.
 */
#include "kube/session.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

#include "kube/error.h"
#include "kube/named_address.h"
#include "net/tls.h"

#define IDLE_S 60 /* below the server's 90 s, so that it is we who close */

/* A peer that is gone without a word is noticed after 15 + 3 * 5 seconds, also
 * on a watch that nothing comes on; unacknowledged data after 30. */
static void watch_over(GSocket *socket)
{
    g_socket_set_option(socket, SOL_SOCKET, SO_KEEPALIVE, 1, NULL);
    g_socket_set_option(socket, IPPROTO_TCP, TCP_KEEPIDLE, 15, NULL);
    g_socket_set_option(socket, IPPROTO_TCP, TCP_KEEPINTVL, 5, NULL);
    g_socket_set_option(socket, IPPROTO_TCP, TCP_KEEPCNT, 3, NULL);
    g_socket_set_option(socket, IPPROTO_TCP, TCP_USER_TIMEOUT, 30000, NULL);
}

static const char socket_key[] = "kube-socket"; /* of a stream's message */

static void on_network_event(SoupMessage *message, GSocketClientEvent event, GIOStream *connection,
                             void *stream)
{
    if (event != G_SOCKET_CLIENT_CONNECTED || !G_IS_SOCKET_CONNECTION(connection))
        return;
    GSocket *socket = g_socket_connection_get_socket(G_SOCKET_CONNECTION(connection));
    watch_over(socket);
    if (stream)
        g_object_set_data_full(G_OBJECT(message), socket_key, g_object_ref(socket), g_object_unref);
}

GSocket *kube_session_socket(SoupMessage *message)
{
    return g_object_get_data(G_OBJECT(message), socket_key);
}

static gboolean accept_any(SoupMessage *message, GTlsCertificate *certificate, GTlsCertificateFlags flaws,
                           void *data)
{
    (void)message, (void)certificate, (void)flaws, (void)data;
    return TRUE;
}

/* libsoup 3.2 says HTTP/2 where the server can, and has no call to prevent it
 * but this. HTTP/1.1 it is because one lost or stalled connection then holds up
 * one request, not every watch. */
static void prefer_http1(void)
{
    static gsize done;
    if (g_once_init_enter(&done)) {
        g_setenv("SOUP_FORCE_HTTP1", "1", FALSE);
        g_once_init_leave(&done, 1);
    }
}

static GSocketConnectable *connectable_of(const struct kube_config *config)
{
    if (!config->tls_server_name)
        return NULL;
    g_autoptr(GUri) uri = g_uri_parse(config->server, G_URI_FLAGS_NONE, NULL);
    int port = uri ? g_uri_get_port(uri) : -1;
    return uri ? kube_named_address_new(g_uri_get_host(uri), (guint16)(port < 0 ? 443 : port),
                                        config->tls_server_name)
               : NULL;
}

/* GIO reads the system's anchors for every first TLS connection, whatever it is
 * then told to use, and keeps them: 8 MB. So what is configured is the default,
 * and only who configures nothing gets the system's. */
GTlsDatabase *kube_session_anchors(const struct kube_config *config, GError **error)
{
    GTlsBackend *backend = g_tls_backend_get_default();
    if (!g_str_has_prefix(config->server, "https:"))
        return NULL;
    if (!g_tls_backend_supports_tls(backend)) {
        g_set_error_literal(error, KUBE_ERROR, KUBE_ERROR_TLS, "no TLS: install glib-networking");
        return NULL;
    }
    GTlsDatabase *anchors = config->ca_pem ? tls_anchors(config->ca_pem, error) : NULL;
    if (config->ca_pem && !anchors) {
        g_prefix_error(error, "%s: ", config->source);
        return NULL;
    }
    g_tls_backend_set_default_database(backend, anchors);
    return anchors ? anchors : g_tls_backend_get_default_database(backend);
}

SoupSession *kube_session_new(const struct kube_config *config, const struct kube_client_options *options,
                              GTlsDatabase *anchors, unsigned connections)
{
    prefer_http1();
    g_autoptr(GSocketConnectable) connectable = connectable_of(config);
    SoupSession *session =
        g_object_new(SOUP_TYPE_SESSION, "max-conns", (int)connections, "max-conns-per-host", (int)connections,
                     "timeout", 0, "idle-timeout", IDLE_S, "user-agent",
                     options->user_agent ? options->user_agent : "hami/" HAMI_VERSION, "remote-connectable",
                     connectable, NULL);
    if (anchors)
        soup_session_set_tls_database(session, anchors);
    soup_session_set_proxy_resolver(session, NULL);
    soup_session_remove_feature_by_type(session, SOUP_TYPE_AUTH_MANAGER);
    if (options->no_gzip)
        soup_session_remove_feature_by_type(session, SOUP_TYPE_CONTENT_DECODER);
    return session;
}

static bool only_graphic(const char *text)
{
    for (; text && *text; text++)
        if (!g_ascii_isgraph(*text) || *text == '#')
            return false;
    return true;
}

SoupMessage *kube_session_message(const struct kube_config *config, const char *method, const char *path,
                                  const char *query, bool stream, GError **error)
{
    g_autofree char *url = g_strconcat(config->server, path, query && query[0] ? "?" : NULL, query, NULL);
    g_autoptr(SoupMessage) message = NULL;
    if (path[0] == '/' && !strchr(path, '?') && only_graphic(path) && only_graphic(query))
        message = soup_message_new(method, url);
    /* Dot segments, from a name that is hostile, would have been resolved. */
    if (!message || !g_str_has_suffix(g_uri_get_path(soup_message_get_uri(message)), path)) {
        g_set_error(error, KUBE_ERROR, KUBE_ERROR_INVALID, "%s%s%s is not a request path with a query", path,
                    query ? "?" : "", query ? query : "");
        return NULL;
    }
    /* The flag is about connections: without it libsoup opens one per POST. It
     * repeats by the method's name only, and that is caught by "restarted". */
    soup_message_add_flags(message, SOUP_MESSAGE_NO_REDIRECT | SOUP_MESSAGE_IDEMPOTENT);
    soup_message_headers_replace(soup_message_get_request_headers(message), "Accept", "application/json");
    if (stream) { /* on a connection of its own, whose socket is known then */
        soup_message_add_flags(message, SOUP_MESSAGE_NEW_CONNECTION);
        soup_message_disable_feature(message, SOUP_TYPE_CONTENT_DECODER);
    }
    if (config->insecure)
        g_signal_connect(message, "accept-certificate", G_CALLBACK(accept_any), NULL);
    g_signal_connect(message, "network-event", G_CALLBACK(on_network_event), GINT_TO_POINTER(stream));
    return g_steal_pointer(&message);
}

static const char *flaw_text(GTlsCertificateFlags flaws)
{
    static const struct {
        GTlsCertificateFlags flag;
        const char *text;
    } rows[] = {
        {G_TLS_CERTIFICATE_UNKNOWN_CA, "its certificate is not signed by the configured CA"},
        {G_TLS_CERTIFICATE_BAD_IDENTITY, "its certificate is for another name (tls-server-name)"},
        {G_TLS_CERTIFICATE_EXPIRED, "its certificate has expired"},
        {G_TLS_CERTIFICATE_NOT_ACTIVATED, "its certificate is not valid yet (clock?)"},
        {G_TLS_CERTIFICATE_REVOKED, "its certificate was revoked"},
        {G_TLS_CERTIFICATE_INSECURE, "its certificate uses an insecure algorithm"},
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++)
        if (flaws & rows[i].flag)
            return rows[i].text;
    return "its certificate cannot be verified";
}

GError *kube_session_error(const struct kube_config *config, SoupMessage *message, GError *error)
{
    g_autoptr(GError) why = error;
    if (g_error_matches(why, G_TLS_ERROR, G_TLS_ERROR_BAD_CERTIFICATE))
        return g_error_new(KUBE_ERROR, KUBE_ERROR_TLS, "%s: %s", config->server,
                           flaw_text(soup_message_get_tls_peer_certificate_errors(message)));
    if (g_error_matches(why, G_TLS_ERROR, G_TLS_ERROR_CERTIFICATE_REQUIRED) ||
        g_error_matches(why, G_TLS_ERROR, G_TLS_ERROR_NOT_TLS) ||
        g_error_matches(why, G_TLS_ERROR, G_TLS_ERROR_HANDSHAKE))
        return g_error_new(KUBE_ERROR, KUBE_ERROR_TLS, "%s: %s", config->server, why->message);
    if (why->domain == SOUP_SESSION_ERROR && why->code == SOUP_SESSION_ERROR_PARSING)
        return g_error_new(KUBE_ERROR, KUBE_ERROR_PROTOCOL, "%s: %s", config->server, why->message);
    return g_error_new(KUBE_ERROR, KUBE_ERROR_UNAVAILABLE, "%s: %s", config->server, why->message);
}
