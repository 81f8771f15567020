/* SPDX-License-Identifier: Apache-2.0
 *
 * Making certificates. Serial numbers are random, so that a CA made again under
 * the same name is not mistaken for the former one.
 */
#include <arpa/inet.h>
#include <gnutls/crypto.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <string.h>
#include <time.h>

#include "net/tls.h"
#include "net/tls_x509.h"

#define FROM_S 946684800 /* the year 2000: clocks differ, and are set back */

struct plan {
    const char *common_name, *organization; /* organization may be NULL */
    const char *const *names;               /* NULL: none */
    const char *purpose;                    /* OID of the extended use; NULL: a CA */
    unsigned life_s;
};

static bool set_name(gnutls_x509_crt_t crt, const char *oid, const char *name, GError **error)
{
    return !name ||
           tls_check(gnutls_x509_crt_set_dn_by_oid(crt, oid, 0, name, (unsigned)strlen(name)), name, error);
}

static bool set_names(gnutls_x509_crt_t crt, const char *const *names, GError **error)
{
    for (; names && *names; names++) {
        unsigned char ip[16];
        int rc;
        if (inet_pton(AF_INET, *names, ip) == 1)
            rc = gnutls_x509_crt_set_subject_alt_name(crt, GNUTLS_SAN_IPADDRESS, ip, 4, GNUTLS_FSAN_APPEND);
        else if (inet_pton(AF_INET6, *names, ip) == 1)
            rc = gnutls_x509_crt_set_subject_alt_name(crt, GNUTLS_SAN_IPADDRESS, ip, 16, GNUTLS_FSAN_APPEND);
        else
            rc = gnutls_x509_crt_set_subject_alt_name(crt, GNUTLS_SAN_DNSNAME, *names,
                                                      (unsigned)strlen(*names), GNUTLS_FSAN_APPEND);
        if (!tls_check(rc, *names, error))
            return false;
    }
    return true;
}

static bool set_times(gnutls_x509_crt_t crt, unsigned life_s, GError **error)
{
    time_t now = time(NULL);
    return tls_check(gnutls_x509_crt_set_activation_time(crt, MIN(now, FROM_S)), "validity", error) &&
           tls_check(gnutls_x509_crt_set_expiration_time(crt, now + (time_t)life_s), "validity", error);
}

static bool set_serial(gnutls_x509_crt_t crt, GError **error)
{
    unsigned char serial[16];
    if (!tls_check(gnutls_rnd(GNUTLS_RND_NONCE, serial, sizeof serial), "serial number", error))
        return false;
    serial[0] = (serial[0] & 0x7f) | 0x40; /* positive, and of full length */
    return tls_check(gnutls_x509_crt_set_serial(crt, serial, sizeof serial), "serial number", error);
}

static bool set_use(gnutls_x509_crt_t crt, const char *purpose, GError **error)
{
    unsigned use = purpose ? GNUTLS_KEY_DIGITAL_SIGNATURE : GNUTLS_KEY_KEY_CERT_SIGN | GNUTLS_KEY_CRL_SIGN;
    return tls_check(gnutls_x509_crt_set_basic_constraints(crt, purpose ? 0 : 1, purpose ? -1 : 0), "use",
                     error) &&
           tls_check(gnutls_x509_crt_set_key_usage(crt, use), "use", error) &&
           (!purpose || tls_check(gnutls_x509_crt_set_key_purpose_oid(crt, purpose, 0), "use", error));
}

static bool set_key_ids(gnutls_x509_crt_t crt, gnutls_x509_crt_t ca, GError **error)
{
    unsigned char id[64];
    size_t len = sizeof id;
    if (!tls_check(gnutls_x509_crt_get_key_id(crt, 0, id, &len), "key id", error) ||
        !tls_check(gnutls_x509_crt_set_subject_key_id(crt, id, len), "key id", error))
        return false;
    len = sizeof id;
    return !ca || (tls_check(gnutls_x509_crt_get_subject_key_id(ca, id, &len, NULL), "key id", error) &&
                   tls_check(gnutls_x509_crt_set_authority_key_id(crt, id, len), "key id", error));
}

static bool fill(gnutls_x509_crt_t crt, gnutls_x509_privkey_t key, gnutls_x509_crt_t ca, const struct plan *p,
                 GError **error)
{
    return tls_check(gnutls_x509_crt_set_version(crt, 3), "version", error) &&
           tls_check(gnutls_x509_crt_set_key(crt, key), "key", error) &&
           set_name(crt, GNUTLS_OID_X520_ORGANIZATION_NAME, p->organization, error) &&
           set_name(crt, GNUTLS_OID_X520_COMMON_NAME, p->common_name, error) &&
           set_names(crt, p->names, error) && set_times(crt, p->life_s, error) && set_serial(crt, error) &&
           set_use(crt, p->purpose, error) && set_key_ids(crt, ca, error);
}

static bool export_pem(gnutls_x509_crt_t crt, gnutls_x509_privkey_t key, struct tls_pem *ret, GError **error)
{
    gnutls_datum_t cert_pem = {0}, key_pem = {0};
    bool ok = tls_check(gnutls_x509_crt_export2(crt, GNUTLS_X509_FMT_PEM, &cert_pem), "certificate", error) &&
              tls_check(gnutls_x509_privkey_export2_pkcs8(key, GNUTLS_X509_FMT_PEM, NULL, GNUTLS_PKCS_PLAIN,
                                                          &key_pem),
                        "key", error);
    if (ok) {
        ret->cert = g_strndup((const char *)cert_pem.data, cert_pem.size);
        ret->key = g_strndup((const char *)key_pem.data, key_pem.size);
    }
    if (key_pem.data)
        gnutls_memset(key_pem.data, 0, key_pem.size);
    gnutls_free(cert_pem.data);
    gnutls_free(key_pem.data);
    return ok;
}

/* Signs with the CA's key, or with its own where there is none. */
static bool make_signed(gnutls_x509_crt_t ca, gnutls_x509_privkey_t ca_key, const struct plan *p,
                        struct tls_pem *ret, GError **error)
{
    gnutls_x509_privkey_t key = NULL;
    gnutls_x509_crt_t crt = NULL;
    unsigned bits = GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1);
    bool ok = tls_check(gnutls_x509_privkey_init(&key), "key", error) &&
              tls_check(gnutls_x509_privkey_generate(key, GNUTLS_PK_ECDSA, bits, 0), "key", error) &&
              tls_check(gnutls_x509_crt_init(&crt), "certificate", error) && fill(crt, key, ca, p, error) &&
              tls_check(gnutls_x509_crt_sign2(crt, ca ? ca : crt, ca ? ca_key : key, GNUTLS_DIG_SHA256, 0),
                        "signature", error) &&
              export_pem(crt, key, ret, error);
    if (crt)
        gnutls_x509_crt_deinit(crt);
    if (key)
        gnutls_x509_privkey_deinit(key);
    return ok;
}

static bool make_by(const struct tls_pem *ca, const struct plan *p, struct tls_pem *ret, GError **error)
{
    gnutls_datum_t text = {(unsigned char *)ca->key, (unsigned)strlen(ca->key)};
    gnutls_x509_crt_t crt = tls_x509_read(ca->cert, error);
    gnutls_x509_privkey_t key = NULL;
    bool ok =
        crt && tls_check(gnutls_x509_privkey_init(&key), "CA key", error) &&
        tls_check(gnutls_x509_privkey_import2(key, &text, GNUTLS_X509_FMT_PEM, NULL, 0), "CA key", error) &&
        make_signed(crt, key, p, ret, error);
    if (crt)
        gnutls_x509_crt_deinit(crt);
    if (key)
        gnutls_x509_privkey_deinit(key);
    return ok;
}

bool tls_make_ca(const char *common_name, unsigned life_s, struct tls_pem *ret, GError **error)
{
    struct plan p = {.common_name = common_name, .life_s = life_s};
    return make_signed(NULL, NULL, &p, ret, error);
}

bool tls_make_server(const struct tls_pem *ca, const char *common_name, const char *const *names,
                     unsigned life_s, struct tls_pem *ret, GError **error)
{
    struct plan p = {
        .common_name = common_name, .names = names, .life_s = life_s, .purpose = GNUTLS_KP_TLS_WWW_SERVER};
    return make_by(ca, &p, ret, error);
}

bool tls_make_client(const struct tls_pem *ca, const char *common_name, const char *organization,
                     unsigned life_s, struct tls_pem *ret, GError **error)
{
    struct plan p = {.common_name = common_name,
                     .organization = organization,
                     .life_s = life_s,
                     .purpose = GNUTLS_KP_TLS_WWW_CLIENT};
    return make_by(ca, &p, ret, error);
}
