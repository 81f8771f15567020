/* SPDX-License-Identifier: Apache-2.0
 *
 * Finding and reading configurations; the YAML part is kubeconfig.c.
 */
#include "kube/config.h"

#include <errno.h>
#include <gio/gio.h>
#include <string.h>

#include "base/status.h"
#include "kube/config_files.h"
#include "kube/error.h"

void kube_config_free(struct kube_config *c)
{
    if (!c)
        return;
    /* Keys and tokens do not stay behind in freed memory. */
    if (c->key_pem)
        explicit_bzero(c->key_pem, strlen(c->key_pem));
    if (c->token)
        explicit_bzero(c->token, strlen(c->token));
    char *owned[] = {c->server,   c->ca_pem, c->tls_server_name, c->cert_pem,  c->key_pem, c->cert_path,
                     c->key_path, c->token,  c->token_path,      c->namespace, c->source};
    for (size_t i = 0; i < G_N_ELEMENTS(owned); i++)
        g_free(owned[i]);
    g_free(c);
}

char *kube_config_read(const char *path, size_t max, size_t *ret_len, GError **error)
{
    g_autoptr(GError) why = NULL;
    g_autoptr(GFile) file = g_file_new_for_path(path);
    g_autoptr(GFileInputStream) in = g_file_read(file, NULL, &why);
    g_autofree char *text = g_malloc(max + 2);
    size_t len = 0;
    if (!in || !g_input_stream_read_all(G_INPUT_STREAM(in), text, max + 1, &len, NULL, &why)) {
        g_set_error(error, KUBE_ERROR, KUBE_ERROR_CONFIG, "%s: %s", path, status_reason(why));
        return NULL;
    }
    if (len > max) {
        g_set_error(error, KUBE_ERROR, KUBE_ERROR_CONFIG, "%s: more than %zu bytes", path, max);
        return NULL;
    }
    text[len] = '\0';
    if (ret_len)
        *ret_len = len;
    return g_realloc(g_steal_pointer(&text), len + 1);
}

char *kube_config_token(const char *path, GError **error)
{
    g_autofree char *token = kube_config_read(path, KUBE_TOKEN_MAX, NULL, error);
    if (!token)
        return NULL;
    g_strstrip(token);
    for (const char *c = token; *c; c++)
        if (!g_ascii_isgraph(*c)) {
            g_set_error(error, KUBE_ERROR, KUBE_ERROR_CONFIG,
                        "%s: not a token: it holds blanks or control characters", path);
            return NULL;
        }
    if (!token[0]) {
        g_set_error(error, KUBE_ERROR, KUBE_ERROR_CONFIG, "%s: the token file is empty", path);
        return NULL;
    }
    return g_steal_pointer(&token);
}

KubeConfig *kube_config_load(const char *path, const char *context, GError **error)
{
    size_t len = 0;
    g_autofree char *text = kube_config_read(path, KUBE_CONFIG_MAX, &len, error);
    if (!text)
        return NULL;
    g_autofree char *folder = g_path_get_dirname(path);
    return kube_config_parse(text, len, path, folder, context, error);
}

static bool is_port(const char *text)
{
    return g_ascii_string_to_unsigned(text, 10, 1, 65535, NULL, NULL);
}

KubeConfig *kube_config_in_cluster(const char *folder, const char *host, const char *port, GError **error)
{
    if (!host || !host[0] || strpbrk(host, "/@ ?#") || !port || !is_port(port)) {
        g_set_error(error, KUBE_ERROR, KUBE_ERROR_CONFIG,
                    "KUBERNETES_SERVICE_HOST=%s and KUBERNETES_SERVICE_PORT=%s name no API server",
                    host ? host : "", port ? port : "");
        return NULL;
    }
    g_autoptr(KubeConfig) c = g_new0(struct kube_config, 1);
    g_autofree char *ca = g_build_filename(folder, "ca.crt", NULL);
    g_autofree char *namespace = g_build_filename(folder, "namespace", NULL);
    bool v6 = strchr(host, ':') && host[0] != '[';
    c->server = g_strdup_printf(v6 ? "https://[%s]:%s" : "https://%s:%s", host, port);
    c->source = g_strdup("service account");
    c->token_path = g_build_filename(folder, "token", NULL);
    g_autofree char *token = kube_config_token(c->token_path, error);
    c->ca_pem = token ? kube_config_read(ca, KUBE_CONFIG_MAX, NULL, error) : NULL;
    if (!c->ca_pem) {
        g_prefix_error(error, "service account: ");
        return NULL;
    }
    c->namespace = kube_config_read(namespace, 253, NULL, NULL);
    if (!c->namespace || !g_strstrip(c->namespace)[0]) {
        g_free(c->namespace);
        c->namespace = g_strdup("default");
    }
    return g_steal_pointer(&c);
}

KubeConfig *kube_config_find(const char *path, const char *context, GError **error)
{
    const char *from_environment = g_getenv("KUBECONFIG");
    const char *host = g_getenv("KUBERNETES_SERVICE_HOST");
    const char *port = g_getenv("KUBERNETES_SERVICE_PORT");
    if (path && path[0])
        return kube_config_load(path, context, error);
    if (from_environment && strchr(from_environment, G_SEARCHPATH_SEPARATOR)) {
        g_set_error(error, KUBE_ERROR, KUBE_ERROR_CONFIG,
                    "KUBECONFIG=%s names several files, which are not merged here; name one, or write it by "
                    "`kubectl config view --flatten`",
                    from_environment);
        return NULL;
    }
    bool named = from_environment && from_environment[0];
    g_autofree char *file =
        named ? g_strdup(from_environment) : g_build_filename(g_get_home_dir(), ".kube", "config", NULL);
    /* As the reference: a file that is not there is no reason to fail in a pod. */
    if (g_file_test(file, G_FILE_TEST_EXISTS) || (named && !host))
        return kube_config_load(file, context, error);
    if (host)
        return kube_config_in_cluster(KUBE_ACCOUNT_DIR, host, port, error);
    g_set_error(
        error, KUBE_ERROR, KUBE_ERROR_CONFIG,
        "no API server: %s does not exist, and this is not a pod (KUBERNETES_SERVICE_HOST is not set); "
        "give --kubeconfig FILE",
        file);
    return NULL;
}
