/* SPDX-License-Identifier: Apache-2.0
 *
 * The webhook over TLS, the metrics page, and the certificate both sides use.
 */
#include <errno.h>
#include <gnutls/x509.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "bench/measure.h"
#include "crowd.h"
#include "load.h"
#include "samples.h"

struct reviews {
    const GString *review;
    GArray *samples; /* of who reviews --count alone; else NULL */
    unsigned *patched;
};

static void review(struct crowd_member *v)
{
    const struct reviews *all = v->shared;
    struct http http;
    http_init(&http, v->options->url, "kube-apiserver-admission");
    http.timeout_ms = v->options->timeout_s * 1000;
    g_autoptr(GString) request = http_request(&http, "POST", "/webhook?timeout=10s", "application/json",
                                              all->review->str, all->review->len);
    for (int i = 0; all->samples ? i < v->options->count : now_ns() < v->until_ns; i++) {
        http_connect(&http);
        double before = now_ns();
        bool answered = http_exchange(&http, request->str, request->len) == 200 &&
                        strstr(http.body->str, "\"allowed\":true");
        if (all->samples) {
            samples_add(all->samples, now_ns() - before);
            *all->patched += answered && strstr(http.body->str, "\"patch\"");
        }
        *(answered ? &v->done : &v->errors) += 1;
        if (!answered && v->errors == 1)
            g_printerr("replay: the webhook answered %d: %.300s\n", http.code, http.body->str);
    }
    http_clear(&http);
}

int verb_webhook(const struct options *o, json_t **ret_result)
{
    int n = MAX(1, MIN(o->connections, 64));
    struct http probe;
    if (!o->url || !http_init(&probe, o->url, "replay")) {
        g_printerr("replay: --url https://IP:PORT is needed\n");
        return 2;
    }
    if (!http_connect(&probe)) {
        g_printerr("replay: no connection to %s: %s\n", o->url, g_strerror(errno));
        http_clear(&probe);
        return 1;
    }
    http_clear(&probe);
    g_autoptr(GString) body = load_review((unsigned)o->containers);
    unsigned patched = 0;
    struct reviews timed = {body, samples_new(), &patched}, together = {.review = body};
    struct crowd_member alone = {.options = o, .shared = &timed};
    review(&alone);
    *ret_result = samples_json(timed.samples);
    struct crowd c = crowd_run(o, n, review, &together);
    unsigned errors = alone.errors + c.errors;
    json_object_update_new(*ret_result,
                           json_pack("{s:i, s:i, s:f, s:f, s:i}", "errors", (int)errors, "patched",
                                     (int)patched, "per_s", c.done / c.span_s, "per_core_s",
                                     crowd_per_core(&c), "request_bytes", (int)body->len));
    g_array_unref(timed.samples);
    return errors ? 1 : 0;
}

int verb_scrape(const struct options *o, json_t **ret_result)
{
    struct http http;
    size_t lines = 0;
    GArray *samples = samples_new();
    if (!o->url || !http_init(&http, o->url, "Prometheus/3")) {
        g_printerr("replay: --url http://IP:PORT is needed\n");
        return 2;
    }
    http.timeout_ms = o->timeout_s * 1000;
    g_autoptr(GString) request = http_request(&http, "GET", "/metrics", "", "", 0);
    if (o->gzip)
        g_string_insert(request, (gssize)request->len - 2, "Accept-Encoding: gzip\r\n");
    for (int i = 0; i < o->count; i++) {
        double before = now_ns();
        int code = http_exchange(&http, request->str, request->len);
        samples_add(samples, now_ns() - before);
        if (code != 200) {
            g_printerr("replay: metrics answered %d\n", code);
            return 1;
        }
    }
    for (const char *at = http.body->str; (at = strchr(at, '\n')); at++)
        lines++;
    *ret_result = samples_json(samples);
    json_object_update_new(*ret_result,
                           json_pack("{s:i, s:i}", "bytes", (int)http.body->len, "lines", (int)lines));
    g_array_unref(samples);
    http_clear(&http);
    return 0;
}

static bool write_pem(const char *folder, const char *name, const gnutls_datum_t *pem)
{
    g_autofree char *path = g_build_filename(folder, name, NULL);
    return g_file_set_contents(path, (const char *)pem->data, pem->size, NULL) && chmod(path, 0600) == 0;
}

/* FOLDER/tls.crt and FOLDER/tls.key: a P-256 key and a certificate it signed itself, for 127.0.0.1 and a day.
 */
int verb_certificate(const struct options *o, json_t **ret_result)
{
    static const unsigned char loopback[] = {127, 0, 0, 1};
    gnutls_x509_privkey_t key;
    gnutls_x509_crt_t crt;
    gnutls_datum_t pem_key = {0}, pem_crt = {0};
    time_t now = time(NULL);
    if (!o->folder) {
        g_printerr("replay: --folder is needed\n");
        return 2;
    }
    gnutls_x509_privkey_init(&key);
    gnutls_x509_crt_init(&crt);
    bool made = gnutls_x509_privkey_generate(key, GNUTLS_PK_ECDSA,
                                             GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0) == 0 &&
                gnutls_x509_crt_set_version(crt, 3) == 0 && gnutls_x509_crt_set_serial(crt, "\1", 1) == 0 &&
                gnutls_x509_crt_set_activation_time(crt, now - 3600) == 0 &&
                gnutls_x509_crt_set_expiration_time(crt, now + 86400) == 0 &&
                gnutls_x509_crt_set_dn(crt, "CN=bench", NULL) == 0 &&
                gnutls_x509_crt_set_key(crt, key) == 0 &&
                gnutls_x509_crt_set_subject_alt_name(crt, GNUTLS_SAN_IPADDRESS, loopback, sizeof loopback,
                                                     GNUTLS_FSAN_SET) == 0 &&
                gnutls_x509_crt_sign2(crt, crt, key, GNUTLS_DIG_SHA256, 0) == 0 &&
                gnutls_x509_privkey_export2_pkcs8(key, GNUTLS_X509_FMT_PEM, NULL, 0, &pem_key) == 0 &&
                gnutls_x509_crt_export2(crt, GNUTLS_X509_FMT_PEM, &pem_crt) == 0 &&
                write_pem(o->folder, "tls.key", &pem_key) && write_pem(o->folder, "tls.crt", &pem_crt);
    gnutls_free(pem_key.data);
    gnutls_free(pem_crt.data);
    gnutls_x509_crt_deinit(crt);
    gnutls_x509_privkey_deinit(key);
    *ret_result = NULL;
    if (!made)
        g_printerr("replay: no certificate could be made in %s\n", o->folder);
    return !made;
}
