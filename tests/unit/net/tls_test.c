/* SPDX-License-Identifier: Apache-2.0
 *
 * Certificates: what is made is what was asked for, and files that change are
 * noticed in every way in which they are changed.
 */
#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

#include "../wait.h"
#include "net/tls.h"

static void test_certificates_are_what_was_asked_for(void)
{
    static const char *const names[] = {"hami.kube-system.svc", "10.0.0.7", "fd00::7", NULL};
    g_auto(TlsPem) ca = {0}, other = {0}, server = {0};
    GError *error = NULL;
    gint64 now_s = g_get_real_time() / G_USEC_PER_SEC, from_s = 0, until_s = 0;
    g_assert_true(tls_make_ca("hami CA", 3650 * TLS_DAY_S, &ca, &error));
    g_assert_true(tls_make_ca("hami CA", 3650 * TLS_DAY_S, &other, &error));
    g_assert_true(tls_make_server(&ca, "hami", names, 30 * TLS_DAY_S, &server, &error));
    g_assert_no_error(error);
    g_assert_true(tls_validity(server.cert, &from_s, &until_s, &error));
    g_assert_cmpint(from_s, <=, now_s - 20 * 365 * 86400); /* a clock may be set back by far */
    g_assert_cmpint(until_s, >=, now_s + 30 * 86400 - 10);
    g_assert_cmpint(until_s, <=, now_s + 30 * 86400 + 10);
    for (size_t i = 0; names[i]; i++)
        g_assert_true(tls_names(server.cert, names[i]));
    g_assert_false(tls_names(server.cert, "kube-system.svc"));
    g_assert_false(tls_names(server.cert, "10.0.0.8"));
    g_assert_true(tls_signed_by(server.cert, ca.cert));
    /* The same name is not the same CA. */
    g_assert_false(tls_signed_by(server.cert, other.cert));
    g_assert_false(tls_signed_by("", ca.cert));
}

/* What GIO, and with it every client of ours, thinks of them. */
static void test_certificates_verify(void)
{
    static const char *const names[] = {"hami.svc", "127.0.0.1", NULL};
    g_auto(TlsPem) ca = {0}, other = {0}, server = {0};
    GError *error = NULL;
    g_assert_true(tls_make_ca("a", 10 * TLS_DAY_S, &ca, &error) &&
                  tls_make_ca("b", 10 * TLS_DAY_S, &other, &error) &&
                  tls_make_server(&ca, "hami", names, 10 * TLS_DAY_S, &server, &error));
    g_autofree char *bundle = g_strconcat(other.cert, ca.cert, NULL);
    g_autoptr(GTlsDatabase) anchors = tls_anchors(bundle, &error);
    g_autoptr(GTlsCertificate) certificate = tls_certificate(&server, &error);
    g_assert_no_error(error);
    static const struct {
        const char *host;
        GTlsCertificateFlags flaws;
    } rows[] = {{"hami.svc", 0}, {"127.0.0.1", 0}, {"other.svc", G_TLS_CERTIFICATE_BAD_IDENTITY}};
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GSocketConnectable) identity = g_network_address_new(rows[i].host, 443);
        GTlsCertificateFlags flaws =
            g_tls_database_verify_chain(anchors, certificate, G_TLS_DATABASE_PURPOSE_AUTHENTICATE_SERVER,
                                        identity, NULL, G_TLS_DATABASE_VERIFY_NONE, NULL, &error);
        g_assert_no_error(error);
        g_assert_cmpuint(flaws, ==, rows[i].flaws);
    }
    g_autoptr(GTlsDatabase) alone = tls_anchors(other.cert, &error);
    g_assert_cmpuint(g_tls_database_verify_chain(alone, certificate,
                                                 G_TLS_DATABASE_PURPOSE_AUTHENTICATE_SERVER, NULL, NULL,
                                                 G_TLS_DATABASE_VERIFY_NONE, NULL, &error) &
                         G_TLS_CERTIFICATE_UNKNOWN_CA,
                     !=, 0);
}

static void test_nonsense_is_refused(void)
{
    g_auto(TlsPem) ca = {0}, other = {0};
    GError *error = NULL;
    g_assert_true(tls_make_ca("a", 10 * TLS_DAY_S, &ca, &error) &&
                  tls_make_ca("b", 10 * TLS_DAY_S, &other, &error));
    struct tls_pem mixed = {.cert = ca.cert, .key = other.key};
    g_assert_null(tls_certificate(&mixed, &error));
    g_assert_nonnull(error);
    g_clear_error(&error);
    g_assert_null(tls_anchors("no certificate", &error));
    g_assert_nonnull(error);
    g_clear_error(&error);
    g_assert_false(
        tls_validity("-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n", NULL, NULL, &error));
    g_assert_nonnull(error);
    g_clear_error(&error);
}

struct watched {
    char *folder, *cert, *key, *ca;
    unsigned changes, failures;
    char *last_cert, *last_ca;
};

static void on_changed(const struct tls_pem *pem, const char *ca_pem, void *data)
{
    struct watched *w = data;
    w->changes++;
    g_free(w->last_cert);
    g_free(w->last_ca);
    w->last_cert = g_strdup(pem->cert);
    w->last_ca = g_strdup(ca_pem);
}

static void on_failed(const GError *error, void *data)
{
    struct watched *w = data;
    g_assert_nonnull(strstr(error->message, "tls."));
    w->failures++;
}

static void put(const char *folder, const char *name, const char *text)
{
    g_autofree char *path = g_build_filename(folder, name, NULL);
    g_assert_true(g_file_set_contents(path, text, -1, NULL));
}

static void put_pem(const char *folder, const struct tls_pem *pem, const char *ca)
{
    put(folder, "tls.crt", pem->cert);
    put(folder, "tls.key", pem->key);
    put(folder, "ca.crt", ca);
}

static void watched_init(struct watched *w)
{
    *w = (struct watched){0};
    w->folder = g_dir_make_tmp("hami-tls-XXXXXX", NULL);
    w->cert = g_build_filename(w->folder, "tls.crt", NULL);
    w->key = g_build_filename(w->folder, "tls.key", NULL);
    w->ca = g_build_filename(w->folder, "ca.crt", NULL);
}

static void remove_all(const char *folder)
{
    g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
    const char *name;
    while (dir && (name = g_dir_read_name(dir))) {
        g_autofree char *path = g_build_filename(folder, name, NULL);
        if (g_file_test(path, G_FILE_TEST_IS_DIR) && !g_file_test(path, G_FILE_TEST_IS_SYMLINK))
            remove_all(path);
        else
            g_unlink(path);
    }
    g_rmdir(folder);
}

static void watched_clear(struct watched *w)
{
    remove_all(w->folder);
    g_free(w->folder);
    g_free(w->cert);
    g_free(w->key);
    g_free(w->ca);
    g_free(w->last_cert);
    g_free(w->last_ca);
}

static void make_two(struct tls_pem *ca, struct tls_pem *one, struct tls_pem *two)
{
    static const char *const names[] = {"a", NULL};
    GError *error = NULL;
    g_assert_true(tls_make_ca("ca", 10 * TLS_DAY_S, ca, &error) &&
                  tls_make_server(ca, "one", names, 10 * TLS_DAY_S, one, &error) &&
                  tls_make_server(ca, "two", names, 10 * TLS_DAY_S, two, &error));
}

static void test_replaced_files_are_noticed(void)
{
    g_auto(TlsPem) ca = {0}, one = {0}, two = {0};
    struct watched w;
    GError *error = NULL;
    make_two(&ca, &one, &two);
    watched_init(&w);
    put_pem(w.folder, &one, ca.cert);
    TlsFiles *files =
        tls_files_new(&(struct tls_files_paths){w.cert, w.key, w.ca}, on_changed, on_failed, &w, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(w.changes, ==, 1);
    g_assert_cmpstr(w.last_cert, ==, one.cert);
    g_assert_cmpstr(w.last_ca, ==, ca.cert);
    put_pem(w.folder, &two, ca.cert);
    WAIT(w.changes == 2);
    g_assert_cmpstr(w.last_cert, ==, two.cert);
    tls_files_free(files);
    watched_clear(&w);
}

static void test_half_a_rotation_is_not_reported(void)
{
    g_auto(TlsPem) ca = {0}, one = {0}, two = {0};
    struct watched w;
    make_two(&ca, &one, &two);
    watched_init(&w);
    put_pem(w.folder, &one, ca.cert);
    TlsFiles *files =
        tls_files_new(&(struct tls_files_paths){w.cert, w.key, NULL}, on_changed, on_failed, &w, NULL);
    put(w.folder, "tls.crt", two.cert);
    WAIT(w.failures == 1);
    g_assert_cmpuint(w.changes, ==, 1);
    put(w.folder, "tls.key", two.key);
    WAIT(w.changes == 2);
    g_assert_cmpstr(w.last_cert, ==, two.cert);
    tls_files_free(files);
    watched_clear(&w);
}

/* As the kubelet mounts a Secret: tls.crt -> ..data/tls.crt, ..data -> ..1. */
static void link_to(const char *folder, const char *target, const char *name)
{
    g_autofree char *path = g_build_filename(folder, name, NULL);
    g_autofree char *fresh = g_build_filename(folder, "..tmp", NULL);
    g_assert_cmpint(symlink(target, fresh), ==, 0);
    g_assert_cmpint(g_rename(fresh, path), ==, 0);
}

static void test_mounted_secret_is_noticed(void)
{
    g_auto(TlsPem) ca = {0}, one = {0}, two = {0};
    struct watched w;
    GError *error = NULL;
    make_two(&ca, &one, &two);
    watched_init(&w);
    g_autofree char *first = g_build_filename(w.folder, "..1", NULL);
    g_autofree char *second = g_build_filename(w.folder, "..2", NULL);
    g_assert_cmpint(g_mkdir(first, 0700), ==, 0);
    g_assert_cmpint(g_mkdir(second, 0700), ==, 0);
    put_pem(first, &one, ca.cert);
    put_pem(second, &two, ca.cert);
    link_to(w.folder, "..1", "..data");
    link_to(w.folder, "..data/tls.crt", "tls.crt");
    link_to(w.folder, "..data/tls.key", "tls.key");
    TlsFiles *files =
        tls_files_new(&(struct tls_files_paths){w.cert, w.key, NULL}, on_changed, on_failed, &w, &error);
    g_assert_no_error(error);
    link_to(w.folder, "..2", "..data");
    WAIT(w.changes == 2);
    g_assert_cmpstr(w.last_cert, ==, two.cert);
    g_assert_cmpuint(w.failures, ==, 0);
    tls_files_free(files);
    watched_clear(&w);
}

static void test_missing_files_fail_at_once(void)
{
    struct watched w;
    GError *error = NULL;
    watched_init(&w);
    g_assert_null(
        tls_files_new(&(struct tls_files_paths){w.cert, w.key, NULL}, on_changed, on_failed, &w, &error));
    g_assert_nonnull(strstr(error->message, w.cert));
    g_clear_error(&error);
    watched_clear(&w);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define ADD(name) g_test_add_func("/net/tls/" #name, test_##name)
    ADD(certificates_are_what_was_asked_for);
    ADD(certificates_verify);
    ADD(nonsense_is_refused);
    ADD(replaced_files_are_noticed);
    ADD(half_a_rotation_is_not_reported);
    ADD(mounted_secret_is_noticed);
    ADD(missing_files_fail_at_once);
    return g_test_run();
}
