/* SPDX-License-Identifier: Apache-2.0
 *
 * Reading certificates: what is in them, and into GIO's types.
 */
#include "net/tls.h"

#include <errno.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/status.h"
#include "net/tls_x509.h"

#define FILE_MAX (1u << 20)

void tls_pem_clear(struct tls_pem *pem)
{
    if (pem->key)
        explicit_bzero(pem->key, strlen(pem->key));
    g_clear_pointer(&pem->cert, g_free);
    g_clear_pointer(&pem->key, g_free);
}

bool tls_check(int rc, const char *what, GError **error)
{
    if (rc >= 0)
        return true;
    g_set_error(error, G_TLS_ERROR, G_TLS_ERROR_BAD_CERTIFICATE, "%s: %s", what, gnutls_strerror(rc));
    return false;
}

gnutls_x509_crt_t tls_x509_read(const char *cert_pem, GError **error)
{
    gnutls_datum_t text = {(unsigned char *)g_strdup(cert_pem), (unsigned)strlen(cert_pem)};
    gnutls_x509_crt_t crt = NULL;
    bool ok = tls_check(gnutls_x509_crt_init(&crt), "certificate", error) &&
              tls_check(gnutls_x509_crt_import(crt, &text, GNUTLS_X509_FMT_PEM), "certificate", error);
    g_free(text.data);
    if (!ok && crt)
        gnutls_x509_crt_deinit(crt);
    return ok ? crt : NULL;
}

bool tls_validity(const char *cert_pem, gint64 *ret_from_s, gint64 *ret_until_s, GError **error)
{
    gnutls_x509_crt_t crt = tls_x509_read(cert_pem, error);
    if (!crt)
        return false;
    if (ret_from_s)
        *ret_from_s = gnutls_x509_crt_get_activation_time(crt);
    if (ret_until_s)
        *ret_until_s = gnutls_x509_crt_get_expiration_time(crt);
    gnutls_x509_crt_deinit(crt);
    return true;
}

bool tls_names(const char *cert_pem, const char *name)
{
    gnutls_x509_crt_t crt = tls_x509_read(cert_pem, NULL);
    if (!crt)
        return false;
    bool yes = gnutls_x509_crt_check_hostname2(crt, name, 0) != 0;
    gnutls_x509_crt_deinit(crt);
    return yes;
}

bool tls_signed_by(const char *cert_pem, const char *ca_pem)
{
    gnutls_x509_crt_t crt = tls_x509_read(cert_pem, NULL);
    gnutls_x509_crt_t ca = tls_x509_read(ca_pem, NULL);
    unsigned flaws = GNUTLS_CERT_INVALID;
    bool yes = crt && ca &&
               gnutls_x509_crt_verify(crt, &ca, 1, GNUTLS_VERIFY_DISABLE_TIME_CHECKS, &flaws) == 0 &&
               flaws == 0;
    if (crt)
        gnutls_x509_crt_deinit(crt);
    if (ca)
        gnutls_x509_crt_deinit(ca);
    return yes;
}

char *tls_x509_common_name(gnutls_x509_crt_t crt)
{
    char name[256];
    size_t size = sizeof name;
    int rc = gnutls_x509_crt_get_dn_by_oid(crt, GNUTLS_OID_X520_COMMON_NAME, 0, 0, name, &size);
    /* A name with a NUL inside would read as another one. */
    return rc == 0 && strlen(name) == size ? g_strdup(name) : NULL;
}

char *tls_file_read(const char *path, GError **error)
{
    g_autoptr(GFile) file = g_file_new_for_path(path);
    g_autoptr(GError) why = NULL;
    g_autoptr(GFileInputStream) in = g_file_read(file, NULL, &why);
    g_autofree char *text = g_malloc(FILE_MAX + 2);
    size_t len = 0;
    if (!in || !g_input_stream_read_all(G_INPUT_STREAM(in), text, FILE_MAX + 1, &len, NULL, &why)) {
        g_set_error(error, why->domain, why->code, "%s: %s", path, status_reason(why));
        return NULL;
    }
    text[len] = '\0';
    if (len > FILE_MAX || strlen(text) != len) {
        g_set_error(error, G_TLS_ERROR, G_TLS_ERROR_BAD_CERTIFICATE, "%s: %s", path,
                    len > FILE_MAX ? "more than 1 MiB" : "not PEM text");
        return NULL;
    }
    return g_realloc(g_steal_pointer(&text), len + 1);
}

/* GIO does not look whether a key belongs to its certificate. */
bool tls_belong_together(const struct tls_pem *pem, GError **error)
{
    gnutls_certificate_credentials_t both = NULL;
    gnutls_datum_t cert = {(unsigned char *)pem->cert, (unsigned)strlen(pem->cert)};
    gnutls_datum_t key = {(unsigned char *)pem->key, (unsigned)strlen(pem->key)};
    bool ok = tls_check(gnutls_certificate_allocate_credentials(&both), "certificate", error) &&
              tls_check(gnutls_certificate_set_x509_key_mem(both, &cert, &key, GNUTLS_X509_FMT_PEM),
                        "certificate and key", error);
    if (both)
        gnutls_certificate_free_credentials(both);
    return ok;
}

bool tls_pem_load(const char *cert_path, const char *key_path, struct tls_pem *ret, GError **error)
{
    g_auto(TlsPem) pem = {0};
    pem.cert = tls_file_read(cert_path, error);
    pem.key = pem.cert ? tls_file_read(key_path, error) : NULL;
    if (!pem.key)
        return false;
    if (!tls_belong_together(&pem, error)) {
        g_prefix_error(error, "%s, %s: ", cert_path, key_path);
        return false;
    }
    *ret = pem;
    pem = (struct tls_pem){0};
    return true;
}

GTlsCertificate *tls_certificate(const struct tls_pem *pem, GError **error)
{
    if (!tls_belong_together(pem, error))
        return NULL;
    g_autofree char *both = g_strconcat(pem->cert, "\n", pem->key, NULL);
    GTlsCertificate *certificate = g_tls_certificate_new_from_pem(both, -1, error);
    explicit_bzero(both, strlen(both));
    return certificate;
}

/* GIO takes anchors from a file only, and reads it again when it likes: so it
 * gets a file without a name that lives as long as the database. */
static void close_anchors(void *data)
{
    close(GPOINTER_TO_INT(data) - 1);
}

GTlsDatabase *tls_anchors(const char *ca_pem, GError **error)
{
    size_t len = strlen(ca_pem);
    if (!strstr(ca_pem, "-----BEGIN ")) {
        g_set_error(error, G_TLS_ERROR, G_TLS_ERROR_BAD_CERTIFICATE, "CA bundle: no PEM certificate in it");
        return NULL;
    }
    int fd = memfd_create("anchors", MFD_CLOEXEC);
    if (fd < 0 || write(fd, ca_pem, len) != (ssize_t)len) {
        g_set_error(error, G_IO_ERROR, (int)g_io_error_from_errno(errno), "CA bundle: %s", g_strerror(errno));
        if (fd >= 0)
            close(fd);
        return NULL;
    }
    g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", fd);
    GTlsDatabase *database = g_tls_file_database_new(path, error);
    if (!database) {
        g_prefix_error(error, "CA bundle: ");
        close(fd);
        return NULL;
    }
    g_object_set_data_full(G_OBJECT(database), "anchors-fd", GINT_TO_POINTER(fd + 1), close_anchors);
    return database;
}
