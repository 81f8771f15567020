/* SPDX-License-Identifier: Apache-2.0
 *
 * The kubeconfig format: YAML (or JSON, which is YAML) to struct kube_config.
 * Only the context in use is read; what it names and we do not do is refused,
 * what is unknown is passed over as client-go does.
 */
#include <string.h>
#include <yaml.h>

#include "kube/config.h"
#include "kube/config_files.h"
#include "kube/error.h"

#define VALUE_MAX (256 << 10) /* bytes of one value: certificates are a few KiB */

struct reader {
    yaml_document_t document;
    const char *name, *folder;
};

#define FAIL(error, r, ...) fail(error, r, g_strdup_printf(__VA_ARGS__))

/* Takes the text. */
static bool fail(GError **error, const struct reader *r, char *text)
{
    g_set_error(error, KUBE_ERROR, KUBE_ERROR_CONFIG, "%s: %s", r->name, text);
    g_free(text);
    return false;
}

static const char *scalar(const yaml_node_t *n)
{
    return n && n->type == YAML_SCALAR_NODE ? (const char *)n->data.scalar.value : NULL;
}

/* NULL also where the value is an explicit null. */
static yaml_node_t *field(struct reader *r, const yaml_node_t *map, const char *key)
{
    if (!map || map->type != YAML_MAPPING_NODE)
        return NULL;
    for (yaml_node_pair_t *p = map->data.mapping.pairs.start; p < map->data.mapping.pairs.top; p++) {
        const char *k = scalar(yaml_document_get_node(&r->document, p->key));
        yaml_node_t *value = yaml_document_get_node(&r->document, p->value);
        if (!k || strcmp(k, key) != 0)
            continue;
        const char *v = scalar(value);
        bool plain = v && value->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
        return plain && (!v[0] || strcmp(v, "null") == 0 || strcmp(v, "~") == 0) ? NULL : value;
    }
    return NULL;
}

/* A string that is not there is NULL, one of another kind or with a NUL in it
 * an error. Borrowed from the document. */
static bool text_field(struct reader *r, const yaml_node_t *map, const char *where, const char *key,
                       const char **ret, GError **error)
{
    yaml_node_t *n = field(r, map, key);
    const char *v = scalar(n);
    *ret = NULL;
    if (!n)
        return true;
    if (!v)
        return FAIL(error, r, "%s.%s is not a string", where, key);
    if (strlen(v) != n->data.scalar.length || n->data.scalar.length > VALUE_MAX)
        return FAIL(error, r, "%s.%s holds a NUL or more than %d bytes", where, key, VALUE_MAX);
    *ret = v[0] ? v : NULL;
    return true;
}

/* The entry of `list` whose name is `name`: its `kind` part. */
static yaml_node_t *named(struct reader *r, const char *list, const char *kind, const char *name,
                          GError **error)
{
    yaml_node_t *all = field(r, yaml_document_get_root_node(&r->document), list);
    if (all && all->type == YAML_SEQUENCE_NODE)
        for (yaml_node_item_t *i = all->data.sequence.items.start; i < all->data.sequence.items.top; i++) {
            yaml_node_t *entry = yaml_document_get_node(&r->document, *i);
            const char *found = scalar(field(r, entry, "name"));
            if (!found || strcmp(found, name) != 0)
                continue;
            yaml_node_t *part = field(r, entry, kind);
            if (part && part->type == YAML_MAPPING_NODE)
                return part;
            FAIL(error, r, "%s: the entry \"%.64s\" has no %s", list, name, kind);
            return NULL;
        }
    FAIL(error, r, "%s has no entry \"%.64s\"", list, name);
    return NULL;
}

static char *absolute(const struct reader *r, const char *path)
{
    return g_path_is_absolute(path) ? g_strdup(path) : g_build_filename(r->folder, path, NULL);
}

/* Inline base64 wins over a file, as in client-go. *ret_path (may be NULL) is
 * set where the text came from a file. */
static bool pem_field(struct reader *r, const yaml_node_t *map, const char *where, const char *key,
                      char **ret_pem, char **ret_path, GError **error)
{
    g_autofree char *data_key = g_strdup_printf("%s-data", key);
    const char *data = NULL, *path = NULL;
    if (!text_field(r, map, where, data_key, &data, error) || !text_field(r, map, where, key, &path, error))
        return false;
    if (data) {
        size_t len = 0;
        g_autofree guchar *pem = g_base64_decode(data, &len);
        *ret_pem = g_strndup((const char *)pem, len);
        if (len == 0 || strlen(*ret_pem) != len || !strstr(*ret_pem, "-----BEGIN "))
            return FAIL(error, r, "%s.%s is not base64 of PEM text", where, data_key);
    } else if (path) {
        g_autofree char *file = absolute(r, path);
        *ret_pem = kube_config_read(file, KUBE_CONFIG_MAX, NULL, error);
        if (!*ret_pem) {
            g_prefix_error(error, "%s: %s.%s: ", r->name, where, key);
            return false;
        }
        if (ret_path)
            *ret_path = g_steal_pointer(&file);
    }
    return true;
}

static bool bool_field(struct reader *r, const yaml_node_t *map, const char *where, const char *key,
                       bool *ret, GError **error)
{
    const char *v = NULL;
    if (!text_field(r, map, where, key, &v, error))
        return false;
    *ret = v && g_ascii_strcasecmp(v, "true") == 0;
    if (v && !*ret && g_ascii_strcasecmp(v, "false") != 0)
        return FAIL(error, r, "%s.%s is \"%.32s\"; write true or false", where, key, v);
    return true;
}

static const struct refused {
    const char *field, *remedy;
} refused_of_cluster[] =
    {
        {"proxy-url", "connections go straight to the server; remove the field or use a route to it"},
},
  refused_of_user[] = {
      {"exec",
       "programs are not run for credentials; use a token, tokenFile or client certificate, e.g. from "
       "`kubectl create token`"},
      {"auth-provider", "providers left Kubernetes in 1.26; use a token, tokenFile or client certificate"},
      {"username", "basic authentication left Kubernetes in 1.19; use a token or client certificate"},
      {"password", "basic authentication left Kubernetes in 1.19; use a token or client certificate"},
      {"as", "impersonation is not supported; use a kubeconfig of the user itself"},
      {"as-uid", "impersonation is not supported; use a kubeconfig of the user itself"},
      {"as-groups", "impersonation is not supported; use a kubeconfig of the user itself"},
      {"as-user-extra", "impersonation is not supported; use a kubeconfig of the user itself"},
};

static bool refuse(struct reader *r, const yaml_node_t *map, const char *where, const struct refused *rows,
                   size_t n, GError **error)
{
    for (size_t i = 0; i < n; i++)
        if (field(r, map, rows[i].field))
            return FAIL(error, r, "%s.%s: %s", where, rows[i].field, rows[i].remedy);
    return true;
}

static bool check_server(struct reader *r, const char *where, struct kube_config *c, GError **error)
{
    g_autoptr(GUri) uri = g_uri_parse(c->server, G_URI_FLAGS_NONE, NULL);
    bool http = g_str_has_prefix(c->server, "http://"), https = g_str_has_prefix(c->server, "https://");
    bool graphic = true;
    for (const char *t = c->server; *t; t++)
        graphic = graphic && g_ascii_isgraph(*t) && !strchr("\"<>\\^`{|}", *t);
    if (!uri || !graphic || (!http && !https) || !g_uri_get_host(uri) || !g_uri_get_host(uri)[0])
        return FAIL(error, r, "%s.server is \"%.200s\"; write https://HOST:PORT", where, c->server);
    if (g_uri_get_userinfo(uri) || g_uri_get_query(uri) || g_uri_get_fragment(uri))
        return FAIL(error, r, "%s.server: a user, query or fragment has no meaning there", where);
    if (http && (c->ca_pem || c->tls_server_name))
        return FAIL(error, r, "%s.server is http, but a certificate is asked for; write https", where);
    if (c->insecure && c->ca_pem)
        return FAIL(error, r, "%s: insecure-skip-tls-verify and certificate-authority exclude each other",
                    where);
    for (const char *t = c->tls_server_name; t && *t; t++)
        if (!g_ascii_isalnum(*t) && *t != '.' && *t != '-')
            return FAIL(error, r, "%s.tls-server-name is \"%.64s\", which is no host name", where,
                        c->tls_server_name);
    while (g_str_has_suffix(c->server, "/"))
        c->server[strlen(c->server) - 1] = '\0';
    return true;
}

static bool read_cluster(struct reader *r, const char *name, struct kube_config *c, GError **error)
{
    g_autofree char *where = g_strdup_printf("clusters[%.64s].cluster", name);
    yaml_node_t *map = named(r, "clusters", "cluster", name, error);
    const char *server = NULL, *tls_name = NULL;
    if (!map || !refuse(r, map, where, refused_of_cluster, G_N_ELEMENTS(refused_of_cluster), error) ||
        !text_field(r, map, where, "server", &server, error) ||
        !text_field(r, map, where, "tls-server-name", &tls_name, error) ||
        !bool_field(r, map, where, "insecure-skip-tls-verify", &c->insecure, error) ||
        !pem_field(r, map, where, "certificate-authority", &c->ca_pem, NULL, error))
        return false;
    if (!server)
        return FAIL(error, r, "%s has no server; write https://HOST:PORT", where);
    c->server = strstr(server, "://") ? g_strdup(server) : g_strdup_printf("https://%s", server);
    c->tls_server_name = g_strdup(tls_name);
    return check_server(r, where, c, error);
}

static bool read_user(struct reader *r, const char *name, struct kube_config *c, GError **error)
{
    g_autofree char *where = g_strdup_printf("users[%.64s].user", name);
    yaml_node_t *map = named(r, "users", "user", name, error);
    const char *token = NULL, *token_file = NULL;
    if (!map || !refuse(r, map, where, refused_of_user, G_N_ELEMENTS(refused_of_user), error) ||
        !text_field(r, map, where, "token", &token, error) ||
        !text_field(r, map, where, "tokenFile", &token_file, error) ||
        !pem_field(r, map, where, "client-certificate", &c->cert_pem, &c->cert_path, error) ||
        !pem_field(r, map, where, "client-key", &c->key_pem, &c->key_path, error))
        return false;
    if (!c->cert_pem != !c->key_pem)
        return FAIL(error, r, "%s has client-%s but no client-%s", where, c->cert_pem ? "certificate" : "key",
                    c->cert_pem ? "key" : "certificate");
    for (const char *t = token; t && *t; t++)
        if (!g_ascii_isgraph(*t))
            return FAIL(error, r, "%s.token holds blanks or control characters", where);
    c->token = token_file ? NULL : g_strdup(token);
    c->token_path = token_file ? absolute(r, token_file) : NULL;
    return true;
}

static bool read_context(struct reader *r, const char *context, struct kube_config *c, GError **error)
{
    yaml_node_t *root = yaml_document_get_root_node(&r->document);
    const char *cluster = NULL, *user = NULL, *namespace = NULL;
    if (!root || root->type != YAML_MAPPING_NODE)
        return FAIL(error, r, "not a kubeconfig: it is no mapping");
    if (!context && !text_field(r, root, "kubeconfig", "current-context", &context, error))
        return false;
    if (!context)
        return FAIL(error, r, "current-context is not set; `kubectl config use-context NAME` sets it");
    g_autofree char *where = g_strdup_printf("contexts[%.64s].context", context);
    yaml_node_t *map = named(r, "contexts", "context", context, error);
    if (!map || !text_field(r, map, where, "cluster", &cluster, error) ||
        !text_field(r, map, where, "user", &user, error) ||
        !text_field(r, map, where, "namespace", &namespace, error))
        return false;
    if (!cluster)
        return FAIL(error, r, "%s has no cluster", where);
    c->namespace = g_strdup(namespace ? namespace : "default");
    return read_cluster(r, cluster, c, error) && (!user || read_user(r, user, c, error));
}

static bool parse(struct reader *r, const char *text, size_t len, GError **error)
{
    yaml_parser_t parser;
    if (len > KUBE_CONFIG_MAX)
        return FAIL(error, r, "more than %d bytes", KUBE_CONFIG_MAX);
    if (!yaml_parser_initialize(&parser))
        return FAIL(error, r, "out of memory");
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, len);
    bool ok = yaml_parser_load(&parser, &r->document) != 0;
    if (!ok)
        FAIL(error, r, "line %zu, column %zu: %s", parser.problem_mark.line + 1,
             parser.problem_mark.column + 1, parser.problem ? parser.problem : "not YAML");
    yaml_parser_delete(&parser);
    return ok;
}

KubeConfig *kube_config_parse(const char *text, size_t len, const char *name, const char *folder,
                              const char *context, GError **error)
{
    struct reader r = {.name = name, .folder = folder};
    g_autoptr(KubeConfig) c = g_new0(struct kube_config, 1);
    if (!parse(&r, text, len, error))
        return NULL;
    c->source = g_strdup(name);
    bool ok = read_context(&r, context, c, error);
    yaml_document_delete(&r.document);
    return ok ? g_steal_pointer(&c) : NULL;
}
