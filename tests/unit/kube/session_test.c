/* SPDX-License-Identifier: Apache-2.0
 *
 * The client over TLS: whom it believes and who it says that it is.
 */
#include <glib/gstdio.h>
#include <string.h>

#include "net/http_server.h"
#include "net/tls.h"
#include "tests/unit/kube/fake_api.h"

struct fixture {
    HttpServer *server;
    struct tls_pem ca, other_ca, pem;
    KubeConfig *config;
};

static void on_peer(const struct http_request *r, struct http_responder *responder, void *data)
{
    const char *peer = r->peer ? r->peer : "nobody";
    (void)data;
    http_respond(responder, 200, "application/json", peer, strlen(peer));
}

static struct http_responder *held;

static void on_hold(const struct http_request *r, struct http_responder *responder, void *data)
{
    (void)r, (void)data;
    held = responder;
}

static const struct http_route routes[] = {{"GET", "/x", 0, on_peer, false},
                                           {"GET", "/hold", 0, on_hold, false}};

/* A server whose certificate is for `name`. */
static void open_fixture(struct fixture *f, const char *name, bool mutual)
{
    const char *const names[] = {name, NULL};
    GError *error = NULL;
    memset(f, 0, sizeof *f);
    g_assert_true(tls_make_ca("ca", 10 * TLS_DAY_S, &f->ca, &error) &&
                  tls_make_ca("other", 10 * TLS_DAY_S, &f->other_ca, &error) &&
                  tls_make_server(&f->ca, "server", names, 10 * TLS_DAY_S, &f->pem, &error));
    f->server = http_server_new(routes, G_N_ELEMENTS(routes), NULL, NULL);
    http_server_set_tls(f->server, &f->pem, mutual ? f->ca.cert : NULL, &error);
    g_assert_no_error(error);
    http_server_listen(f->server, "127.0.0.1:0", &error);
    g_assert_no_error(error);
    f->config = g_new0(struct kube_config, 1);
    f->config->server = g_strdup_printf("https://127.0.0.1:%u", http_server_port(f->server));
    f->config->source = g_strdup("test");
    f->config->namespace = g_strdup("default");
}

static void close_fixture(struct fixture *f)
{
    http_server_free(f->server);
    tls_pem_clear(&f->ca);
    tls_pem_clear(&f->other_ca);
    tls_pem_clear(&f->pem);
    while (g_main_context_iteration(NULL, FALSE))
        ;
}

static KubeClient *client_of(struct fixture *f)
{
    GError *error = NULL;
    KubeClient *client = kube_client_new(g_steal_pointer(&f->config), NULL, &error);
    g_assert_no_error(error);
    return client;
}

static char *ask(KubeClient *client, GError **error)
{
    g_autoptr(GBytes) body = kube_request_sync(
        client, &(struct kube_request){.method = "GET", .path = "/x", .once = true}, NULL, error);
    return body ? g_strndup(g_bytes_get_data(body, NULL), g_bytes_get_size(body)) : NULL;
}

static void assert_answer(KubeClient *client, const char *expected)
{
    GError *error = NULL;
    g_autofree char *text = ask(client, &error);
    g_assert_no_error(error);
    g_assert_cmpstr(text, ==, expected);
}

static const struct {
    const char *name, *certificate_for, *tls_server_name;
    bool right_ca, both_cas, insecure;
    const char *refused; /* part of the text; NULL: it works */
} rows[] = {
    {"right_ca", "127.0.0.1", NULL, true, false, false, NULL},
    {"one_of_two_cas", "127.0.0.1", NULL, true, true, false, NULL},
    {"wrong_ca", "127.0.0.1", NULL, false, false, false, "not signed by the configured CA"},
    {"wrong_name", "kubernetes.default", NULL, true, false, false, "for another name (tls-server-name)"},
    {"name_that_was_configured", "kubernetes.default", "kubernetes.default", true, false, false, NULL},
    {"other_name_than_configured", "127.0.0.1", "kubernetes.default", true, false, false, "for another name"},
    {"wrong_name_does_not_matter", "kubernetes.default", NULL, false, false, true, NULL},
};

static void test_server_is_believed(gconstpointer data)
{
    size_t i = GPOINTER_TO_SIZE(data);
    struct fixture f;
    g_autoptr(GError) error = NULL;
    open_fixture(&f, rows[i].certificate_for, false);
    if (!rows[i].insecure)
        f.config->ca_pem = g_strconcat(rows[i].right_ca && !rows[i].both_cas ? "" : f.other_ca.cert,
                                       rows[i].right_ca ? f.ca.cert : "", NULL);
    f.config->tls_server_name = g_strdup(rows[i].tls_server_name);
    f.config->insecure = rows[i].insecure;
    g_autoptr(KubeClient) client = client_of(&f);
    if (!rows[i].refused) {
        assert_answer(client, "nobody");
    } else {
        g_assert_null(ask(client, &error));
        g_assert_error(error, KUBE_ERROR, KUBE_ERROR_TLS);
        g_assert_nonnull(strstr(error->message, rows[i].refused));
    }
    close_fixture(&f);
}

static void test_system_anchors_are_used_without_a_ca(void)
{
    struct fixture f;
    g_autoptr(GError) error = NULL;
    open_fixture(&f, "127.0.0.1", false);
    /* One with a CA before: its anchors must not stand in for the system's. */
    KubeConfig *first = g_new0(struct kube_config, 1);
    first->server = g_strdup(f.config->server);
    first->source = g_strdup("first");
    first->ca_pem = g_strdup(f.ca.cert);
    g_autoptr(KubeClient) with = kube_client_new(first, NULL, &error);
    g_assert_no_error(error);
    g_autoptr(KubeClient) without = client_of(&f);
    assert_answer(with, "nobody");
    g_assert_null(ask(without, &error));
    g_assert_error(error, KUBE_ERROR, KUBE_ERROR_TLS);
    close_fixture(&f);
}

static void put(const char *path, const char *text)
{
    g_assert_true(g_file_set_contents(path, text, -1, NULL));
}

static void on_held(GObject *source, GAsyncResult *result, void *data)
{
    (void)source;
    g_autoptr(GBytes) body = kube_request_finish(result, NULL, NULL);
    *(bool *)data = body && g_bytes_get_size(body) == 4;
}

static void test_client_certificate_rotates(void)
{
    struct fixture f;
    struct tls_pem one = {0}, two = {0};
    GError *error = NULL;
    g_autofree char *folder = g_dir_make_tmp("hami-client-XXXXXX", NULL);
    g_autofree char *cert = g_build_filename(folder, "cert", NULL);
    g_autofree char *key = g_build_filename(folder, "key", NULL);
    open_fixture(&f, "127.0.0.1", true);
    g_assert_true(tls_make_client(&f.ca, "one", NULL, 10 * TLS_DAY_S, &one, &error) &&
                  tls_make_client(&f.ca, "two", "system:nodes", 10 * TLS_DAY_S, &two, &error));
    put(cert, one.cert);
    put(key, one.key);
    f.config->ca_pem = g_strdup(f.ca.cert);
    f.config->cert_pem = g_strdup(one.cert);
    f.config->key_pem = g_strdup(one.key);
    f.config->cert_path = g_strdup(cert);
    f.config->key_path = g_strdup(key);
    g_autoptr(KubeClient) client = client_of(&f);
    assert_answer(client, "one");
    bool answered = false;
    kube_request_async(client, &(struct kube_request){.method = "GET", .path = "/hold"}, NULL, on_held,
                       &answered);
    put(cert, two.cert);
    put(key, two.key);
    wait_ms(1100); /* files are looked at once a second; the connection before is open still */
    assert_answer(client, "two");
    g_assert_nonnull(held);
    http_respond(g_steal_pointer(&held), 200, NULL, "late", 4); /* what was under way goes on */
    wait_for(&answered);
    /* Half of a rotation: the pair before stays. */
    put(cert, one.cert);
    wait_ms(1100);
    assert_answer(client, "two");
    g_unlink(cert);
    g_unlink(key);
    g_rmdir(folder);
    tls_pem_clear(&one);
    tls_pem_clear(&two);
    close_fixture(&f);
}

/* Says back who asked. */
static void who(struct fake_api *api, const struct fake_request *r)
{
    (void)api;
    fake_answer(r, 200, r->authorization);
}

static void on_stale(void *data, const GError *error)
{
    g_assert_nonnull(error);
    ++*(unsigned *)data;
}

#define LOOK_MS 1100 /* files are looked at once a second */

static void test_token_that_changes_is_used_from_then_on(void)
{
    struct fake_api api;
    GError *error = NULL;
    unsigned stale = 0;
    g_autofree char *folder = g_dir_make_tmp("hami-token-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(folder, "token", NULL);
    g_autofree char *text = NULL;
    g_assert_true(g_file_set_contents(path, "one\n", -1, NULL));
    fake_api_open(&api, who, NULL);
    KubeConfig *at = fake_api_config(&api);
    text = g_strdup_printf("{apiVersion: v1, kind: Config, current-context: c, contexts: [{name: c, context: "
                           "{cluster: k, user: u}}],\nclusters: [{name: k, cluster: {server: \"%s\"}}],\n"
                           "users: [{name: u, user: {tokenFile: token}}]}\n",
                           at->server);
    kube_config_free(at);
    KubeConfig *config = kube_config_parse(text, strlen(text), "test", folder, NULL, &error);
    g_assert_no_error(error);
    g_autoptr(KubeClient) client = kube_client_new(
        config, &(struct kube_client_options){.stale = on_stale, .stale_data = &stale}, &error);
    g_assert_no_error(error);
    assert_answer(client, "Bearer one");
    g_assert_true(g_file_set_contents(path, "two\n", -1, NULL)); /* the same size */
    wait_ms(LOOK_MS);
    assert_answer(client, "Bearer two");
    static const char *const unusable[] = {NULL, "", "t w o\n"}; /* gone, empty, no token */
    for (unsigned i = 0; i < G_N_ELEMENTS(unusable); i++) {
        if (unusable[i])
            g_assert_true(g_file_set_contents(path, unusable[i], -1, NULL));
        else
            g_unlink(path);
        wait_ms(LOOK_MS);
        assert_answer(client, "Bearer two");
        g_assert_cmpuint(stale, ==, 1); /* of the whole time in which it cannot be read */
    }
    g_assert_true(g_file_set_contents(path, "three\n", -1, NULL));
    wait_ms(LOOK_MS);
    assert_answer(client, "Bearer three");
    g_unlink(path);
    wait_ms(LOOK_MS);
    assert_answer(client, "Bearer three");
    g_assert_cmpuint(stale, ==, 2);
    g_rmdir(folder);
    fake_api_close(&api);
}

static void test_no_client_certificate_is_a_tls_failure(void)
{
    struct fixture f;
    g_autoptr(GError) error = NULL;
    open_fixture(&f, "127.0.0.1", true);
    f.config->ca_pem = g_strdup(f.ca.cert);
    g_autoptr(KubeClient) client = client_of(&f);
    g_assert_null(ask(client, &error));
    g_assert_true(g_error_matches(error, KUBE_ERROR, KUBE_ERROR_TLS) ||
                  g_error_matches(error, KUBE_ERROR, KUBE_ERROR_UNAVAILABLE));
    close_fixture(&f);
}

static void test_broken_material_refuses_the_start(void)
{
    struct fixture f;
    g_autoptr(GError) error = NULL;
    open_fixture(&f, "127.0.0.1", false);
    f.config->ca_pem = g_strdup("-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n");
    g_assert_null(kube_client_new(g_steal_pointer(&f.config), NULL, &error));
    g_assert_nonnull(strstr(error->message, "test: "));
    close_fixture(&f);
    g_clear_error(&error);
    open_fixture(&f, "127.0.0.1", false);
    f.config->cert_pem = g_strdup(f.ca.cert);
    f.config->key_pem = g_strdup(f.other_ca.key);
    g_assert_null(kube_client_new(g_steal_pointer(&f.config), NULL, &error));
    g_assert_nonnull(strstr(error->message, "client certificate"));
    close_fixture(&f);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *path = g_strdup_printf("/kube/session/server/%s", rows[i].name);
        g_test_add_data_func(path, GSIZE_TO_POINTER(i), test_server_is_believed);
    }
#define ADD(name) g_test_add_func("/kube/session/" #name, test_##name)
    ADD(system_anchors_are_used_without_a_ca);
    ADD(client_certificate_rotates);
    ADD(token_that_changes_is_used_from_then_on);
    ADD(no_client_certificate_is_a_tls_failure);
    ADD(broken_material_refuses_the_start);
    return g_test_run();
}
