/* SPDX-License-Identifier: Apache-2.0
 *
 * Certificates: made by ourselves, read, and watched. PEM text is the one form
 * that passes between rooms; keys are ECDSA P-256.
 *
 * 1. What is made here is signed by the CA it was made with, names its use
 *    (server, client) and is valid for its life in seconds, and for all clocks
 *    that are behind.
 * 2. A watched pair changes only as a pair: a certificate that does not fit
 *    its key (half of a rotation was seen) is not reported.
 * Main thread of the context that is the thread's default only.
 */
#ifndef HAMI_NET_TLS_H
#define HAMI_NET_TLS_H

#include <gio/gio.h>
#include <stdbool.h>

#define TLS_DAY_S 86400u

/* A certificate with its key, both PEM. Owned strings. */
struct tls_pem {
    char *cert, *key;
};
void tls_pem_clear(struct tls_pem *pem);
typedef struct tls_pem TlsPem;
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(TlsPem, tls_pem_clear)

/* A self-signed CA. */
bool tls_make_ca(const char *common_name, unsigned life_s, struct tls_pem *ret, GError **error);

/* For servers: names are DNS names or IP addresses, NULL-terminated, at least one. */
bool tls_make_server(const struct tls_pem *ca, const char *common_name, const char *const *names,
                     unsigned life_s, struct tls_pem *ret, GError **error);

/* For clients; organization may be NULL (a Kubernetes group otherwise). */
bool tls_make_client(const struct tls_pem *ca, const char *common_name, const char *organization,
                     unsigned life_s, struct tls_pem *ret, GError **error);

/* When the first certificate of the text begins and ends to be valid, Unix
 * seconds. Either may be NULL. */
bool tls_validity(const char *cert_pem, gint64 *ret_from_s, gint64 *ret_until_s, GError **error);

/* Whether the certificate is good for a DNS name or IP address. */
bool tls_names(const char *cert_pem, const char *name);

/* Whether the certificate was signed by the CA. */
bool tls_signed_by(const char *cert_pem, const char *ca_pem);

/* Reads two files, at most 1 MiB each, and looks whether they fit together. */
bool tls_pem_load(const char *cert_path, const char *key_path, struct tls_pem *ret, GError **error);

/* For GIO. Caller unrefs. */
GTlsCertificate *tls_certificate(const struct tls_pem *pem, GError **error);

/* The CA certificates of a PEM text as the only anchors. Caller unrefs. */
GTlsDatabase *tls_anchors(const char *ca_pem, GError **error);

/* Files that are watched: pair and, where wanted, a CA bundle. */
typedef struct tls_files TlsFiles;
struct tls_files_paths {
    const char *cert, *key; /* both or none */
    const char *ca;         /* may be NULL */
};

/* `changed` comes from the main loop, 200 ms after the first sign of a change,
 * with what is in them now (borrowed; ca_pem NULL without one). `failed` says
 * what cannot be used; what was before stays good. The first content is
 * reported inside tls_files_new(), or it fails. */
typedef void (*tls_files_changed)(const struct tls_pem *pem, const char *ca_pem, void *data);
typedef void (*tls_files_failed)(const GError *error, void *data);
TlsFiles *tls_files_new(const struct tls_files_paths *paths, tls_files_changed changed,
                        tls_files_failed failed, void *data, GError **error);
void tls_files_free(TlsFiles *files);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(TlsFiles, tls_files_free)

#endif
