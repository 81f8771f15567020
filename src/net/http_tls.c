/* SPDX-License-Identifier: Apache-2.0
 *
 * The certificate that clients meet, and the ones that they are asked for.
 * Each connection keeps the identity that it met, so that another may be set
 * at any moment.
 */
#include <errno.h>
#include <gnutls/x509.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "net/http_server_private.h"
#include "net/tls_x509.h"

#define CHAIN_MAX 8
#define KEPT_MAX 4096
#define PARTS_MAX 8

struct http_identity {
    unsigned references;
    gnutls_pcert_st chain[CHAIN_MAX];
    unsigned n;
    gnutls_privkey_t key;
    gnutls_x509_trust_list_t anchors; /* NULL: nobody is asked */
};

struct http_identity *http_identity_ref(struct http_identity *identity)
{
    identity->references++;
    return identity;
}

void http_identity_unref(struct http_identity *identity)
{
    if (!identity || --identity->references)
        return;
    for (unsigned i = 0; i < identity->n; i++)
        gnutls_pcert_deinit(&identity->chain[i]);
    if (identity->key)
        gnutls_privkey_deinit(identity->key);
    if (identity->anchors)
        gnutls_x509_trust_list_deinit(identity->anchors, 1);
    g_free(identity);
}

static gnutls_datum_t datum(const char *text)
{
    union {
        const char *text;
        unsigned char *data;
    } both = {text};
    return (gnutls_datum_t){both.data, (unsigned)strlen(text)};
}

static bool read_pair(struct http_identity *identity, const struct tls_pem *pem, GError **error)
{
    gnutls_datum_t cert = datum(pem->cert), key = datum(pem->key);
    unsigned n = CHAIN_MAX;
    if (!tls_belong_together(pem, error) ||
        !tls_check(gnutls_pcert_list_import_x509_raw(identity->chain, &n, &cert, GNUTLS_X509_FMT_PEM, 0),
                   "certificate", error))
        return false;
    identity->n = n;
    return tls_check(gnutls_privkey_init(&identity->key), "key", error) &&
           tls_check(gnutls_privkey_import_x509_raw(identity->key, &key, GNUTLS_X509_FMT_PEM, NULL, 0), "key",
                     error);
}

static bool read_anchors(struct http_identity *identity, const char *ca_pem, GError **error)
{
    gnutls_datum_t text = datum(ca_pem);
    if (!tls_check(gnutls_x509_trust_list_init(&identity->anchors, 0), "CA bundle", error))
        return false;
    int n = gnutls_x509_trust_list_add_trust_mem(identity->anchors, &text, NULL, GNUTLS_X509_FMT_PEM, 0, 0);
    return tls_check(n ? n : GNUTLS_E_NO_CERTIFICATE_FOUND, "CA bundle", error);
}

struct http_identity *http_identity_new(const struct tls_pem *pem, const char *client_ca_pem, GError **error)
{
    struct http_identity *identity = g_new0(struct http_identity, 1);
    identity->references = 1;
    if (read_pair(identity, pem, error) && (!client_ca_pem || read_anchors(identity, client_ca_pem, error)))
        return identity;
    http_identity_unref(identity);
    return NULL;
}

static struct http_connection *connection_of(gnutls_session_t session)
{
    return http_connection_of(gnutls_session_get_ptr(session));
}

int http_identity_retrieve(gnutls_session_t session, const gnutls_datum_t *authorities, int n_authorities,
                           const gnutls_pk_algorithm_t *algorithms, int n_algorithms,
                           gnutls_pcert_st **ret_chain, unsigned *ret_n, gnutls_privkey_t *ret_key)
{
    struct http_identity *identity = connection_of(session)->identity;
    (void)authorities, (void)n_authorities, (void)algorithms, (void)n_algorithms;
    *ret_chain = identity->chain;
    *ret_n = identity->n;
    *ret_key = identity->key;
    return 0;
}

/* Signed by an anchor, in force, and for client use: its own key usage too. */
static bool is_believed(const struct http_identity *identity, gnutls_x509_crt_t *chain, unsigned n)
{
    gnutls_typed_vdata_st purpose = {.type = GNUTLS_DT_KEY_PURPOSE_OID};
    static char oid[] = GNUTLS_KP_TLS_WWW_CLIENT;
    unsigned flaws = GNUTLS_CERT_INVALID;
    purpose.data = (unsigned char *)oid;
    return gnutls_x509_trust_list_verify_crt2(identity->anchors, chain, n, &purpose, 1, 0, &flaws, NULL) ==
               0 &&
           flaws == 0 && gnutls_x509_crt_check_key_purpose(chain[0], oid, 0) != 0;
}

/* Inside the handshake: anything but 0 ends it. */
static int on_client_certificate(gnutls_session_t session)
{
    struct http_connection *c = connection_of(session);
    unsigned n = 0;
    const gnutls_datum_t *raw = gnutls_certificate_get_peers(session, &n);
    gnutls_x509_crt_t chain[CHAIN_MAX] = {NULL};
    bool ok = raw && n && n <= CHAIN_MAX && gnutls_certificate_type_get(session) == GNUTLS_CRT_X509;
    for (unsigned i = 0; ok && i < n; i++)
        ok = gnutls_x509_crt_init(&chain[i]) == 0 &&
             gnutls_x509_crt_import(chain[i], &raw[i], GNUTLS_X509_FMT_DER) == 0;
    ok = ok && is_believed(c->identity, chain, n);
    if (ok) {
        g_free(c->peer);
        c->peer = tls_x509_common_name(chain[0]);
    }
    for (unsigned i = 0; i < CHAIN_MAX; i++)
        if (chain[i])
            gnutls_x509_crt_deinit(chain[i]);
    return ok ? 0 : GNUTLS_E_CERTIFICATE_ERROR;
}

static int on_finished(gnutls_session_t session, unsigned type, unsigned when, unsigned incoming,
                       const gnutls_datum_t *message)
{
    (void)type, (void)when, (void)message;
    if (incoming)
        connection_of(session)->shaken = true;
    return 0;
}

/* ---- sending --------------------------------------------------------------- */

void http_identity_keep_next(struct http_connection *c)
{
    c->keeps_next = c->kept != NULL;
}

/* As much as the socket takes, what was kept first; counts only what is new. */
static ssize_t send_parts(struct http_connection *c, const giovec_t *parts, int n)
{
    struct iovec all[PARTS_MAX + 1] = {{.iov_base = c->kept->data, .iov_len = c->kept->len}};
    struct msghdr message = {.msg_iov = all, .msg_iovlen = (size_t)MIN(n, PARTS_MAX) + 1};
    for (size_t i = 1; i < message.msg_iovlen; i++)
        all[i] = (struct iovec){parts[i - 1].iov_base, parts[i - 1].iov_len};
    ssize_t sent = sendmsg(c->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0)
        return -1;
    size_t old = MIN((size_t)sent, c->kept->len);
    if (old)
        g_byte_array_remove_range(c->kept, 0, (guint)old);
    if (n && (size_t)sent == old) {
        errno = EAGAIN;
        return -1;
    }
    return sent - (ssize_t)old;
}

static ssize_t push(gnutls_transport_ptr_t transport, const giovec_t *parts, int n)
{
    struct http_connection *c = transport;
    size_t len = 0;
    for (int i = 0; i < n; i++)
        len += parts[i].iov_len;
    if (!c->keeps_next || c->kept->len + len > KEPT_MAX)
        return send_parts(c, parts, n);
    c->keeps_next = false;
    for (int i = 0; i < n; i++)
        g_byte_array_append(c->kept, parts[i].iov_base, (guint)parts[i].iov_len);
    return (ssize_t)len;
}

void http_identity_flush(struct http_connection *c)
{
    c->keeps_next = false;
    if (c->kept && c->kept->len && (send_parts(c, NULL, 0) < 0 || c->kept->len))
        shutdown(c->fd, SHUT_RDWR); /* it does not take a few hundred bytes */
}

void http_identity_apply(struct http_connection *c, gnutls_session_t session)
{
    union {
        intptr_t fd;
        void *pointer;
    } both = {c->fd};
    c->kept = g_byte_array_new();
    gnutls_transport_set_ptr2(session, both.pointer, c);
    gnutls_transport_set_vec_push_function(session, push);
    gnutls_handshake_set_hook_function(session, GNUTLS_HANDSHAKE_FINISHED, GNUTLS_HOOK_POST, on_finished);
    if (!c->identity->anchors)
        return;
    gnutls_certificate_server_set_request(session, GNUTLS_CERT_REQUIRE);
    gnutls_session_set_verify_function(session, on_client_certificate);
}
