/* SPDX-License-Identifier: Apache-2.0
 *
 * The certificate that the API server meets at /webhook.
 *
 * Mounted (--cert_file, --key_file: cert-manager, the chart's job, or by hand):
 * watched, and in use for new connections as soon as the files have changed.
 * Otherwise self-made: a CA and a serving certificate that live in memory, made anew
 * after two thirds of their life (or on SIGHUP, or once a clock that was set says so); the CA is entered into
 * the webhook configuration (webhook_ca.h), and only when the API server knows it is what it signed shown: a
 * renewal refuses no pod.
 */
#include <glib-unix.h>

#include "net/tls.h"
#include "scheduler/service.h"
#include "scheduler/webhook_ca.h"

#define LOOK_S 20
#define SETTLE_MS 1000 /* until all API servers have read the configuration */

struct certs {
    struct scheduler *s;
    TlsFiles *files;
    struct webhook_ca *published; /* self-made: its authority */
    struct tls_pem next;          /* self-made: waits for its authority to be entered */
    bool serving;                 /* one that was self-made */
    int64_t until_s;              /* self-made: its end, by the wall clock */
    guint renew_timer, serve_timer, look_timer, hangup;
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

/* ---- self-made: what is shown --------------------------------------------- */

static gboolean serve_next(gpointer data)
{
    struct certs *c = data;
    g_autoptr(GError) error = NULL;
    c->serve_timer = 0;
    if (use(c->s, &c->next, NULL, &error))
        log_line(LOG_INFO, "certificate-served", NULL, NULL);
    else
        log_line(LOG_ERROR, "certificate-unusable", "why", error->message, NULL);
    tls_pem_clear(&c->next);
    return G_SOURCE_REMOVE;
}

static void serve_in(struct certs *c, uint32_t ms)
{
    g_clear_handle_id(&c->serve_timer, g_source_remove);
    c->serve_timer = g_timeout_add(ms, serve_next, c);
}

static void authority_entered(void *data)
{
    struct certs *c = data;
    if (c->next.cert)
        serve_in(c, SETTLE_MS);
}

/* The first is shown at once; a later one when its authority is entered, or, where that does not come
 * about, while the one before is still good. Takes the PEM. */
static bool show(struct certs *c, struct tls_pem *pem, GError **error)
{
    if (!c->serving || !c->published) {
        c->serving = use(c->s, pem, NULL, error);
        return c->serving;
    }
    tls_pem_clear(&c->next);
    c->next = *pem;
    *pem = (struct tls_pem){0};
    serve_in(c, (uint32_t)MIN((uint64_t)c->s->o.cert_life_s * 1000 / 6, (uint64_t)G_MAXINT));
    return true;
}

/* ---- self-made: making ----------------------------------------------------- */

static gboolean renew_in_time(gpointer data);

static bool make(struct certs *c, GError **error)
{
    struct scheduler *s = c->s;
    g_auto(TlsPem) ca = {0}, pem = {0};
    g_auto(GStrv) names = g_strsplit(
        s->o.webhook_names && *s->o.webhook_names ? s->o.webhook_names : "localhost,127.0.0.1", ",", -1);
    if (!tls_make_ca("hami scheduler CA", s->o.cert_life_s, &ca, error) ||
        !tls_make_server(&ca, "hami-scheduler", (const char *const *)names, s->o.cert_life_s, &pem, error) ||
        !show(c, &pem, error))
        return false;
    g_clear_handle_id(&c->renew_timer, g_source_remove);
    c->renew_timer = g_timeout_add_seconds(MAX(s->o.cert_life_s / 3 * 2, 1), renew_in_time, c);
    c->until_s = g_get_real_time() / G_USEC_PER_SEC + s->o.cert_life_s;
    webhook_ca_set(c->published, ca.cert);
    return true;
}

static void renew(struct certs *c)
{
    g_autoptr(GError) error = NULL;
    if (make(c, &error))
        log_line(LOG_INFO, "certificate-made", NULL, NULL);
    else
        log_line(LOG_ERROR, "certificate-failed", "why", error->message, NULL);
}

static gboolean renew_in_time(gpointer data)
{
    struct certs *c = data;
    c->renew_timer = 0;
    renew(c);
    return G_SOURCE_REMOVE;
}

/* Timers know nothing of a wall clock that was set forward, or of a machine that slept. */
static gboolean look(gpointer data)
{
    struct certs *c = data;
    if (c->until_s - g_get_real_time() / G_USEC_PER_SEC < c->s->o.cert_life_s / 4)
        renew(c);
    return G_SOURCE_CONTINUE;
}

static gboolean hangup(gpointer data)
{
    renew(data);
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
    c->look_timer = g_timeout_add_seconds(LOOK_S, look, c);
    c->published = webhook_ca_new(s->client, s->o.webhook_configuration, authority_entered, c);
    return make(c, error);
}

void certs_stop(struct scheduler *s)
{
    struct certs *c = s->certs;
    if (!c)
        return;
    g_clear_pointer(&c->files, tls_files_free);
    g_clear_handle_id(&c->renew_timer, g_source_remove);
    g_clear_handle_id(&c->serve_timer, g_source_remove);
    g_clear_handle_id(&c->look_timer, g_source_remove);
    g_clear_handle_id(&c->hangup, g_source_remove);
    webhook_ca_free(c->published);
    tls_pem_clear(&c->next);
    g_clear_pointer(&s->certs, g_free);
}
