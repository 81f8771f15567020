/* SPDX-License-Identifier: Apache-2.0
 *
 * GnuTLS pieces that the files of net share. For src/net only.
 */
#ifndef HAMI_NET_TLS_X509_H
#define HAMI_NET_TLS_X509_H

#include <gio/gio.h>
#include <gnutls/x509.h>
#include <stdbool.h>

#include "net/tls.h"

/* False and an error for a negative result. */
bool tls_check(int rc, const char *what, GError **error);

/* The first certificate of a text; caller deinits. */
gnutls_x509_crt_t tls_x509_read(const char *cert_pem, GError **error);

/* Caller frees; NULL without one. */
char *tls_x509_common_name(gnutls_x509_crt_t crt);

/* Whether the key is the certificate's. */
bool tls_belong_together(const struct tls_pem *pem, GError **error);

/* PEM text of at most 1 MiB; caller frees. */
char *tls_file_read(const char *path, GError **error);

#endif
