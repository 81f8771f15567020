/* SPDX-License-Identifier: Apache-2.0
 *
 * Kubeconfig files and service accounts. Field names and precedence: client-go
 * clientcmd/api/v1 types and rest.InClusterConfig.
 */
#include <glib/gstdio.h>
#include <string.h>

#include "kube/config.h"
#include "kube/error.h"

#define PEM "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n"
#define PEM64 "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCkFBPT0KLS0tLS1FTkQgQ0VSVElGSUNBVEUtLS0tLQo="
#define HEAD                                                                                                 \
    "current-context: c\n"                                                                                   \
    "contexts: [{name: other, context: {cluster: x}}, {name: c, context: {cluster: k, user: u}}]\n"

static KubeConfig *parse(const char *text, GError **error)
{
    return kube_config_parse(text, strlen(text), "file", "/folder", NULL, error);
}

static void test_everything_is_read(void)
{
    GError *error = NULL;
    g_autoptr(KubeConfig) c =
        parse("apiVersion: v1\nkind: Config\ncurrent-context: c\n"
              "contexts:\n- name: c\n  context: {cluster: k, user: u, namespace: team}\n"
              "clusters:\n- name: k\n  cluster:\n    server: https://api.example:6443/base/\n"
              "    certificate-authority-data: " PEM64 "\n    tls-server-name: kubernetes\n"
              "users:\n- name: u\n  user:\n    client-certificate-data: " PEM64
              "\n    client-key-data: " PEM64 "\n    token: abc\n",
              &error);
    g_assert_no_error(error);
    g_assert_cmpstr(c->server, ==, "https://api.example:6443/base");
    g_assert_cmpstr(c->ca_pem, ==, PEM);
    g_assert_cmpstr(c->tls_server_name, ==, "kubernetes");
    g_assert_cmpstr(c->cert_pem, ==, PEM);
    g_assert_cmpstr(c->key_pem, ==, PEM);
    g_assert_cmpstr(c->token, ==, "abc");
    g_assert_cmpstr(c->namespace, ==, "team");
    g_assert_false(c->insecure);
    g_assert_null(c->cert_path);
}

static void test_json_is_yaml(void)
{
    GError *error = NULL;
    g_autoptr(KubeConfig) c =
        parse("{\"current-context\":\"c\",\"contexts\":[{\"name\":\"c\",\"context\":"
              "{\"cluster\":\"k\"}}],\"clusters\":[{\"name\":\"k\",\"cluster\":"
              "{\"server\":\"http://[::1]:8080\",\"insecure-skip-tls-verify\":false}}]}",
              &error);
    g_assert_no_error(error);
    g_assert_cmpstr(c->server, ==, "http://[::1]:8080");
    g_assert_cmpstr(c->namespace, ==, "default");
}

static void test_token_file_wins_and_is_relative_to_the_file(void)
{
    GError *error = NULL;
    g_autoptr(KubeConfig) c = parse(HEAD "clusters: [{name: k, cluster: {server: 'https://h'}}]\n"
                                         "users: [{name: u, user: {token: abc, tokenFile: t/token}}]\n",
                                    &error);
    g_assert_no_error(error);
    g_assert_null(c->token);
    g_assert_cmpstr(c->token_path, ==, "/folder/t/token");
}

static void test_another_context_can_be_asked_for(void)
{
    GError *error = NULL;
    const char *text =
        HEAD "clusters: [{name: k, cluster: {server: 'https://h'}}, {name: x, cluster: {server: "
             "'https://x'}}]\nusers: [{name: u, user: {exec: {command: aws}}}]\n";
    g_autoptr(KubeConfig) c = kube_config_parse(text, strlen(text), "file", "/", "other", &error);
    g_assert_no_error(error);
    g_assert_cmpstr(c->server, ==, "https://x");
}

#define CLUSTER(fields) HEAD "clusters: [{name: k, cluster: {" fields "}}]\nusers: [{name: u, user: {}}]\n"
#define USER(fields)                                                                                         \
    HEAD "clusters: [{name: k, cluster: {server: 'https://h'}}]\nusers: [{name: u, user: {" fields "}}]\n"

static const struct {
    const char *name, *text, *field, *remedy;
} refused[] = {
    {"nothing", "", "mapping", ""},
    {"not_yaml", "a: 1\nb: c: d", "line 2, column 5", ""},
    {"no_context", "clusters: []", "current-context", "use-context"},
    {"context_missing", "current-context: z\ncontexts: []", "\"z\"", "contexts"},
    {"cluster_missing", HEAD, "\"k\"", "clusters"},
    {"no_server", CLUSTER("insecure-skip-tls-verify: true"), "server", "https://HOST:PORT"},
    {"server_without_host", CLUSTER("server: 'https://'"), "server", "https://HOST:PORT"},
    {"server_of_another_scheme", CLUSTER("server: 'ftp://h'"), "server", "https://HOST:PORT"},
    {"server_with_password", CLUSTER("server: 'https://a:b@h'"), "server", "user"},
    {"tls_server_name_with_a_path", CLUSTER("server: 'https://h', tls-server-name: a/b"), "tls-server-name",
     "host"},
    {"server_with_a_blank", CLUSTER("server: 'https://h h'"), "server", "https://HOST:PORT"},
    {"scheme_in_upper_case", CLUSTER("server: 'HTTPS://h'"), "server", "https://HOST:PORT"},
    {"proxy", CLUSTER("server: 'https://h', proxy-url: 'http://p'"), "proxy-url", "remove"},
    {"ca_not_base64", CLUSTER("server: 'https://h', certificate-authority-data: '%%'"),
     "certificate-authority-data", "base64"},
    {"ca_not_there", CLUSTER("server: 'https://h', certificate-authority: /no/such/file"),
     "certificate-authority", "/no/such/file"},
    {"ca_and_insecure",
     CLUSTER("server: 'https://h', insecure-skip-tls-verify: true, certificate-authority-data: " PEM64),
     "insecure-skip-tls-verify", "exclude"},
    {"insecure_is_a_word", CLUSTER("server: 'https://h', insecure-skip-tls-verify: yes"),
     "insecure-skip-tls-verify", "true or false"},
    {"http_with_ca", CLUSTER("server: 'http://h', certificate-authority-data: " PEM64), "server", "https"},
    {"server_is_a_list", CLUSTER("server: [a]"), "server", "string"},
    {"exec", USER("exec: {command: aws}"), "user.exec", "create token"},
    {"auth_provider", USER("auth-provider: {name: gcp}"), "auth-provider", "tokenFile"},
    {"basic_authentication", USER("username: a, password: b"), "username", "1.19"},
    {"impersonation", USER("as: root"), ".as", "impersonation"},
    {"certificate_without_key", USER("client-certificate-data: " PEM64), "client-key", "client-certificate"},
    {"token_with_a_line_break", USER("token: \"a\\nX-Other: b\""), "token", "control"},
    {"token_with_a_nul", USER("token: \"a\\0b\""), "token", "NUL"},
};

static void test_refused(gconstpointer data)
{
    size_t i = GPOINTER_TO_SIZE(data);
    g_autoptr(GError) error = NULL;
    g_assert_null(parse(refused[i].text, &error));
    g_assert_error(error, KUBE_ERROR, KUBE_ERROR_CONFIG);
    g_assert_nonnull(strstr(error->message, "file"));
    g_assert_nonnull(strstr(error->message, refused[i].field));
    g_assert_nonnull(strstr(error->message, refused[i].remedy));
}

static void put(const char *folder, const char *name, const char *text)
{
    g_autofree char *path = g_build_filename(folder, name, NULL);
    g_assert_true(g_file_set_contents(path, text, -1, NULL));
}

static char *account_folder(void)
{
    char *folder = g_dir_make_tmp("hami-account-XXXXXX", NULL);
    put(folder, "token", "tok\n");
    put(folder, "ca.crt", PEM);
    put(folder, "namespace", "kube-system");
    return folder;
}

static void remove_account(char *folder)
{
    static const char *const files[] = {"token", "ca.crt", "namespace"};
    for (size_t i = 0; i < G_N_ELEMENTS(files); i++) {
        g_autofree char *path = g_build_filename(folder, files[i], NULL);
        g_unlink(path);
    }
    g_rmdir(folder);
    g_free(folder);
}

static void test_service_account_is_read(void)
{
    GError *error = NULL;
    char *folder = account_folder();
    g_autoptr(KubeConfig) c = kube_config_in_cluster(folder, "fd00::1", "443", &error);
    g_assert_no_error(error);
    g_assert_cmpstr(c->server, ==, "https://[fd00::1]:443");
    g_assert_cmpstr(c->ca_pem, ==, PEM);
    g_assert_cmpstr(c->namespace, ==, "kube-system");
    g_assert_true(g_str_has_suffix(c->token_path, "/token"));
    g_assert_null(c->token);
    remove_account(folder);
}

static void test_service_account_needs_its_parts(void)
{
    char *folder = account_folder();
    GError *error = NULL;
    static const char *const hosts[][2] = {
        {"", "443"}, {"h", "0"}, {"h", "66000"}, {"h/x", "443"}, {"h", ""}};
    for (size_t i = 0; i < G_N_ELEMENTS(hosts); i++) {
        g_assert_null(kube_config_in_cluster(folder, hosts[i][0], hosts[i][1], &error));
        g_assert_error(error, KUBE_ERROR, KUBE_ERROR_CONFIG);
        g_clear_error(&error);
    }
    put(folder, "token", " \n");
    g_assert_null(kube_config_in_cluster(folder, "h", "443", &error));
    g_assert_error(error, KUBE_ERROR, KUBE_ERROR_CONFIG);
    g_assert_nonnull(strstr(error->message, "empty"));
    g_clear_error(&error);
    remove_account(folder);
}

static void test_sources_are_tried_in_order(void)
{
    char *folder = account_folder();
    GError *error = NULL;
    put(folder, "namespace", CLUSTER("server: 'https://from-file'"));
    g_autofree char *file = g_build_filename(folder, "namespace", NULL);
    g_setenv("KUBECONFIG", file, TRUE);
    g_setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1", TRUE);
    g_setenv("KUBERNETES_SERVICE_PORT", "443", TRUE);
    g_autoptr(KubeConfig) c = kube_config_find(NULL, NULL, &error);
    g_assert_no_error(error);
    g_assert_cmpstr(c->server, ==, "https://from-file");
    /* The path that was given is the only one. */
    g_assert_null(kube_config_find("/no/such/file", NULL, &error));
    g_assert_nonnull(strstr(error->message, "/no/such/file"));
    g_clear_error(&error);
    /* No file: the service account, which this is none. */
    g_setenv("KUBECONFIG", "/no/such/file", TRUE);
    g_assert_null(kube_config_find(NULL, NULL, &error));
    g_assert_nonnull(strstr(error->message, "service account"));
    g_clear_error(&error);
    g_unsetenv("KUBERNETES_SERVICE_HOST");
    g_setenv("KUBECONFIG", "/a:/b", TRUE);
    g_assert_null(kube_config_find(NULL, NULL, &error));
    g_assert_nonnull(strstr(error->message, "--flatten"));
    g_clear_error(&error);
    g_unsetenv("KUBECONFIG");
    remove_account(folder);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/kube/config/everything_is_read", test_everything_is_read);
    g_test_add_func("/kube/config/json_is_yaml", test_json_is_yaml);
    g_test_add_func("/kube/config/token_file_wins_and_is_relative_to_the_file",
                    test_token_file_wins_and_is_relative_to_the_file);
    g_test_add_func("/kube/config/another_context_can_be_asked_for", test_another_context_can_be_asked_for);
    for (size_t i = 0; i < G_N_ELEMENTS(refused); i++) {
        g_autofree char *path = g_strdup_printf("/kube/config/refuses/%s", refused[i].name);
        g_test_add_data_func(path, GSIZE_TO_POINTER(i), test_refused);
    }
    g_test_add_func("/kube/config/service_account_is_read", test_service_account_is_read);
    g_test_add_func("/kube/config/service_account_needs_its_parts", test_service_account_needs_its_parts);
    g_test_add_func("/kube/config/sources_are_tried_in_order", test_sources_are_tried_in_order);
    return g_test_run();
}
