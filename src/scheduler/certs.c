/* SPDX-License-Identifier: Apache-2.0
 *
 * The certificate that the API server meets at /webhook.
 *
 * Mounted (--cert_file, --key_file: cert-manager, the chart's job, or by hand):
 * watched, and in use for new connections as soon as the files have changed.
 * Otherwise self-made: a CA and a serving certificate that live in memory, made anew
 * after two thirds of their life (or on SIGHUP); the CA is added to the webhook configuration's
 * caBundle beside those of other instances, so that any of them may answer. Only the webhook of our name gets
 * it, or the only one there is: another's calls are not ours to vouch for. The configuration is looked at
 * every minute, for it may be made anew; while there is none more often at first, and said once.
 */
#include <glib-unix.h>
#include <jansson.h>
#include <string.h>

#include "kube/backoff.h"
#include "net/tls.h"
#include "scheduler/service.h"

#define BUNDLE_MAX (64 << 10)
#define RETRY_MS 5000
#define LOOK_MS 60000
#define WEBHOOK_NAME "vgpu.hami.io"

struct certs {
    struct scheduler *s;
    TlsFiles *files;
    struct tls_pem ca;           /* self-made */
    struct kube_backoff backoff; /* of looking at the configuration in vain */
    char *told;                  /* why in vain; said once, NULL = it went well */
    guint rotate_timer, look_timer, hangup;
};

static bool use(struct scheduler *s, const struct tls_pem *pem, const char *client_ca, GError **error)
{
    return (!s->webhook || http_server_set_tls(s->webhook, pem, NULL, error)) &&
           (!s->extender_tls || http_server_set_tls(s->extender, pem, client_ca, error));
}

/* ---- files ------------------------------------------------------------- */

static void files_changed(const struct tls_pem *pem, const char *ca_pem, void *data)
{
    struct scheduler *s = data;
    g_autoptr(GError) error = NULL;
    if (use(s, pem, s->o.client_ca_file && *s->o.client_ca_file ? ca_pem : NULL, &error))
        log_line(LOG_INFO, "certificate-loaded", "file", s->o.cert_file, NULL);
    else
        log_line(LOG_ERROR, "certificate-unusable", "file", s->o.cert_file, "why", error->message, NULL);
}

static void files_failed(const GError *error, void *data)
{
    struct scheduler *s = data;
    log_line(LOG_ERROR, "certificate-unreadable", "file", s->o.cert_file, "why", error->message, NULL);
}

/* ---- self-made: the CA into the webhook configuration --------------------- */

static void publish(struct certs *c);

static gboolean look_again(gpointer data)
{
    struct certs *c = data;
    c->look_timer = 0;
    publish(c);
    return G_SOURCE_REMOVE;
}

static void look_in(struct certs *c, uint32_t wait_ms)
{
    g_clear_handle_id(&c->look_timer, g_source_remove);
    c->look_timer = g_timeout_add(wait_ms, look_again, c);
}

static void retry(struct certs *c, const char *why)
{
    if (g_strcmp0(c->told, why) != 0) {
        log_line(LOG_WARN, "webhook-configuration", "name", c->s->o.webhook_configuration, "why", why, NULL);
        g_free(c->told);
        c->told = g_strdup(why);
    }
    look_in(c, kube_backoff_next_ms(&c->backoff));
}

/* The configuration holds our authority. */
static void is_good(struct certs *c)
{
    if (c->told)
        log_line(LOG_INFO, "webhook-configuration-good", "name", c->s->o.webhook_configuration, NULL);
    g_clear_pointer(&c->told, g_free);
    kube_backoff_reset(&c->backoff);
    look_in(c, LOOK_MS);
}

static void published(GObject *source, GAsyncResult *result, gpointer data)
{
    struct certs *c = data;
    g_autoptr(GError) error = NULL;
    g_autoptr(GBytes) done = kube_request_finish(result, NULL, &error);
    (void)source;
    if (done) {
        log_line(LOG_INFO, "ca-published", "name", c->s->o.webhook_configuration, NULL);
        is_good(c);
    } else if (!g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED)) {
        retry(c, error->message);
    }
}

/* The PEM blocks of a bundle that are certificates still in force and not one
 * of ours, then ours. */
static char *merged_bundle(const struct certs *c, const char *old)
{
    static const char begin[] = "-----BEGIN CERTIFICATE-----", end[] = "-----END CERTIFICATE-----";
    GString *out = g_string_new("");
    g_autofree char *mine = g_strstrip(g_strdup(c->ca.cert));
    int64_t now = g_get_real_time() / G_USEC_PER_SEC, until;
    for (const char *p = strstr(old, begin), *stop; p && (stop = strstr(p, end)); p = strstr(stop, begin)) {
        g_autofree char *pem = g_strdup_printf("%.*s\n", (int)(stop + strlen(end) - p), p);
        bool ours = strcmp(g_strstrip(pem), mine) == 0;
        if (!ours && out->len < BUNDLE_MAX && tls_validity(pem, NULL, &until, NULL) && until > now)
            g_string_append_printf(out, "%s\n", pem);
        stop += strlen(end);
    }
    g_string_append(out, c->ca.cert);
    return g_string_free(out, FALSE);
}

static bool is_ours(json_t *webhooks, json_t *webhook)
{
    const char *name = json_string_value(json_object_get(webhook, "name"));
    return json_array_size(webhooks) == 1 || g_strcmp0(name, WEBHOOK_NAME) == 0;
}

/* *ret_found: there is a webhook of ours. */
static json_t *bundle_patch(const struct certs *c, json_t *configuration, bool *ret_found)
{
    json_t *patch = json_array(), *webhooks = json_object_get(configuration, "webhooks"), *webhook;
    size_t i;
    *ret_found = false;
    const char *version =
        json_string_value(json_object_get(json_object_get(configuration, "metadata"), "resourceVersion"));
    json_array_append_new(patch, json_pack("{s:s,s:s,s:s}", "op", "test", "path", "/metadata/resourceVersion",
                                           "value", version ? version : ""));
    json_array_foreach(webhooks, i, webhook)
    {
        if (!is_ours(webhooks, webhook))
            continue;
        *ret_found = true;
        const char *coded =
            json_string_value(json_object_get(json_object_get(webhook, "clientConfig"), "caBundle"));
        gsize len = 0;
        g_autofree guchar *raw = coded ? g_base64_decode(coded, &len) : NULL;
        g_autofree char *old = g_strndup(raw ? (char *)raw : "", len);
        g_autofree char *merged = merged_bundle(c, old), *path = NULL, *value = NULL;
        if (strcmp(merged, old) == 0)
            continue;
        path = g_strdup_printf("/webhooks/%zu/clientConfig/caBundle", i);
        value = g_base64_encode((const guchar *)merged, strlen(merged));
        json_array_append_new(patch, json_pack("{s:s,s:s,s:s}", "op", "add", "path", path, "value", value));
    }
    return patch;
}

static void configuration_read(GObject *source, GAsyncResult *result, gpointer data)
{
    struct certs *c = data;
    g_autoptr(GError) error = NULL;
    g_autoptr(GBytes) answer = kube_request_finish(result, NULL, &error);
    gsize len;
    (void)source;
    if (!answer) {
        if (!g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
            retry(c, error->message);
        return;
    }
    const char *text = g_bytes_get_data(answer, &len);
    json_t *configuration = json_loadb(text, len, 0, NULL);
    bool found;
    json_t *patch = bundle_patch(c, configuration, &found);
    if (!found) {
        retry(c, "it holds no webhook " WEBHOOK_NAME);
    } else if (json_array_size(patch) > 1) {
        g_autofree char *body = json_dumps(patch, JSON_COMPACT);
        g_autofree char *path =
            kube_path("apis", "admissionregistration.k8s.io", "v1", "mutatingwebhookconfigurations",
                      c->s->o.webhook_configuration, NULL);
        struct kube_request request = {.method = "PATCH",
                                       .path = path,
                                       .content_type = KUBE_JSON_PATCH,
                                       .body = body,
                                       .body_len = strlen(body)};
        kube_request_async(c->s->client, &request, NULL, published, c);
    } else {
        is_good(c);
    }
    json_decref(patch);
    json_decref(configuration);
}

static void publish(struct certs *c)
{
    if (!c->s->o.webhook_configuration || !*c->s->o.webhook_configuration)
        return;
    g_autofree char *path = kube_path("apis", "admissionregistration.k8s.io", "v1",
                                      "mutatingwebhookconfigurations", c->s->o.webhook_configuration, NULL);
    struct kube_request request = {.method = "GET", .path = path};
    kube_request_async(c->s->client, &request, NULL, configuration_read, c);
}

/* ---- self-made: making -------------------------------------------------- */

static gboolean rotate(gpointer data);

static bool make(struct certs *c, GError **error)
{
    struct scheduler *s = c->s;
    g_auto(TlsPem) ca = {0}, pem = {0};
    g_auto(GStrv) names = g_strsplit(
        s->o.webhook_names && *s->o.webhook_names ? s->o.webhook_names : "localhost,127.0.0.1", ",", -1);
    if (!tls_make_ca("hami scheduler CA", s->o.cert_days, &ca, error) ||
        !tls_make_server(&ca, "hami-scheduler", (const char *const *)names, s->o.cert_days, &pem, error) ||
        !use(s, &pem, NULL, error))
        return false;
    tls_pem_clear(&c->ca);
    c->ca = ca;
    ca = (struct tls_pem){0};
    int64_t ms = MIN((int64_t)s->o.cert_days * 86400000 / 3 * 2, G_MAXINT);
    g_clear_handle_id(&c->rotate_timer, g_source_remove);
    c->rotate_timer = g_timeout_add((guint)ms, rotate, c);
    publish(c);
    return true;
}

static gboolean rotate(gpointer data)
{
    struct certs *c = data;
    g_autoptr(GError) error = NULL;
    c->rotate_timer = 0;
    if (make(c, &error))
        log_line(LOG_INFO, "certificate-made", NULL, NULL);
    else
        log_line(LOG_ERROR, "certificate-failed", "why", error->message, NULL);
    return G_SOURCE_REMOVE;
}

static gboolean hangup(gpointer data)
{
    rotate(data);
    return G_SOURCE_CONTINUE;
}

bool certs_start(struct scheduler *s, GError **error)
{
    struct certs *c = s->certs = g_new0(struct certs, 1);
    c->s = s;
    if (s->o.cert_file && *s->o.cert_file) {
        struct tls_files_paths paths = {s->o.cert_file, s->o.key_file,
                                        s->o.client_ca_file && *s->o.client_ca_file ? s->o.client_ca_file
                                                                                    : NULL};
        c->files = tls_files_new(&paths, files_changed, files_failed, s, error);
        return c->files != NULL;
    }
    if (!s->webhook)
        return true;
    c->hangup = g_unix_signal_add(SIGHUP, hangup, c);
    c->backoff = (struct kube_backoff){.first_ms = RETRY_MS, .cap_ms = LOOK_MS};
    return make(c, error);
}

void certs_stop(struct scheduler *s)
{
    struct certs *c = s->certs;
    if (!c)
        return;
    g_clear_pointer(&c->files, tls_files_free);
    g_clear_handle_id(&c->rotate_timer, g_source_remove);
    g_clear_handle_id(&c->look_timer, g_source_remove);
    g_clear_handle_id(&c->hangup, g_source_remove);
    tls_pem_clear(&c->ca);
    g_free(c->told);
    g_clear_pointer(&s->certs, g_free);
}
