/* SPDX-License-Identifier: Apache-2.0
 *
 * Any text as a certificate, as a pair with a key, and as a CA bundle: what a
 * mounted Secret or a webhook configuration may hold.
 */
#include <stdlib.h>
#include <string.h>

#include "net/tls.h"
#include "net/tls_x509.h"
#include "tests/fuzz/fuzz.h"

/* GnuTLS 3.7 loses 136 bytes of a certificate that it cannot make a public key of. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libgnutls.so\n";
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autofree char *text = g_strndup((const char *)data, size);
    g_autoptr(GError) validity = NULL, pair = NULL, anchors = NULL, made = NULL;
    gint64 from = 0, until = 0;
    struct tls_pem pem = {text, text}; /* certificate and key in one text, as many tools write them */
    bool valid = tls_validity(text, &from, &until, &validity), together = tls_belong_together(&pem, &pair);
    if (valid != (validity == NULL) || together != (pair == NULL))
        abort();
    if (!valid && (tls_names(text, "localhost") || tls_signed_by(text, text)))
        abort();
    tls_names(text, "127.0.0.1");
    tls_signed_by(text, text);
    gnutls_x509_crt_t crt = tls_x509_read(text, NULL);
    g_autofree char *name = crt ? tls_x509_common_name(crt) : NULL;
    if (name && strlen(name) >= 256)
        abort();
    if (crt)
        gnutls_x509_crt_deinit(crt);
    g_autoptr(GTlsDatabase) database = tls_anchors(text, &anchors);
    g_autoptr(GTlsCertificate) certificate = tls_certificate(&pem, &made);
    if ((database == NULL) != (anchors != NULL) || (certificate == NULL) != (made != NULL))
        abort();
    return 0;
}
