/* SPDX-License-Identifier: Apache-2.0
 *
 * See webhook_ca.h.
 */
#include "scheduler/webhook_ca.h"

#include <jansson.h>
#include <string.h>

#include "kube/watch.h"
#include "net/tls.h"
#include "scheduler/service.h"

#define BUNDLE_MAX (64 << 10)
#define FIRST_MS 5000
#define CAP_MS 60000
#define QUIET_MS (10 * CAP_MS) /* who has not overwritten for so long is answered at once */
#define WEBHOOK_NAME "vgpu.hami.io"

struct webhook_ca {
    KubeClient *client;
    const char *name;
    void (*entered)(void *data);
    void *data;
    char *path;
    KubeWatch *watch;
    GCancellable *cancellable;
    char *ca;            /* PEM; NULL: none yet */
    char *told;          /* what is wrong; NULL: nothing */
    bool told_by_watch;  /* an event will tell when it is right */
    bool there;          /* in the list */
    bool holds, again;   /* it held the authority once; and does not any more */
    bool writing, stale; /* a patch is under way; configuration or authority have changed since */
    bool replaced;       /* the authority has */
    struct kube_backoff failing, overwritten;
    int64_t not_before_ms;
    guint timer; /* reads */
};

static void look(struct webhook_ca *w);

static gboolean look_again(gpointer data)
{
    struct webhook_ca *w = data;
    w->timer = 0;
    if (!w->told_by_watch || !kube_watch_counters(w->watch).watching)
        look(w);
    return G_SOURCE_REMOVE;
}

static void look_in(struct webhook_ca *w, int64_t wait_ms)
{
    g_clear_handle_id(&w->timer, g_source_remove);
    w->timer = g_timeout_add((guint)wait_ms, look_again, w);
}

static void wrong(struct webhook_ca *w, const char *why, bool by_watch)
{
    if (g_strcmp0(w->told, why) != 0) {
        log_line(LOG_WARN, "webhook-configuration", "name", w->name, "why", why, NULL);
        g_free(w->told);
        w->told = g_strdup(why);
    }
    w->told_by_watch = by_watch;
    look_in(w, kube_backoff_next_ms(&w->failing));
}

static void not_found(struct webhook_ca *w)
{
    w->holds = w->again = false;
    wrong(w, "not found; apply deploy/scheduler/webhook.yaml", true);
}

static void is_good(struct webhook_ca *w)
{
    if (w->told)
        log_line(LOG_INFO, "webhook-configuration-good", "name", w->name, NULL);
    g_clear_pointer(&w->told, g_free);
    bool is_first = !w->holds;
    w->told_by_watch = false;
    w->holds = true;
    w->again = false;
    kube_backoff_reset(&w->failing);
    g_clear_handle_id(&w->timer, g_source_remove);
    if (is_first)
        w->entered(w->data);
}

/* ---- what is to be changed ------------------------------------------------- */

/* The certificates of a bundle that are still in force, in their order, and ours: where it is, else at the
 * end. Each instance moving its own there would never leave the others in peace. What is too much goes at the
 * front: the oldest. */
static char *merged_bundle(const struct webhook_ca *w, const char *old)
{
    static const char begin[] = "-----BEGIN CERTIFICATE-----", end[] = "-----END CERTIFICATE-----";
    g_autoptr(GPtrArray) kept = g_ptr_array_new_with_free_func(g_free);
    g_autofree char *mine = g_strstrip(g_strdup(w->ca));
    GString *out = g_string_new("");
    int64_t now = g_get_real_time() / G_USEC_PER_SEC, until;
    size_t total = strlen(mine) + 1;
    bool have_ours = false;
    for (const char *p = strstr(old, begin), *stop; p && (stop = strstr(p, end)); p = strstr(stop, begin)) {
        stop += strlen(end);
        g_autofree char *pem = g_strndup(p, (size_t)(stop - p));
        bool ours = strcmp(pem, mine) == 0;
        if (ours ? have_ours : !tls_validity(pem, NULL, &until, NULL) || until <= now)
            continue;
        have_ours |= ours;
        total += ours ? 0 : strlen(pem) + 1;
        g_ptr_array_add(kept, g_steal_pointer(&pem));
    }
    if (!have_ours)
        g_ptr_array_add(kept, g_strdup(mine));
    for (guint i = 0; i < kept->len; i++) {
        const char *pem = kept->pdata[i];
        bool dropped = total > BUNDLE_MAX && strcmp(pem, mine) != 0;
        if (dropped)
            total -= strlen(pem) + 1;
        else
            g_string_append_printf(out, "%s\n", pem);
    }
    return g_string_free(out, FALSE);
}

static bool is_ours(json_t *webhooks, json_t *webhook)
{
    const char *name = json_string_value(json_object_get(webhook, "name"));
    return json_array_size(webhooks) == 1 || g_strcmp0(name, WEBHOOK_NAME) == 0;
}

/* *ret_found: there is a webhook of ours. The first operation only tests the version. */
static json_t *bundle_patch(const struct webhook_ca *w, json_t *configuration, bool *ret_found)
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
        g_autofree char *merged = merged_bundle(w, old), *path = NULL, *value = NULL;
        if (strcmp(merged, old) == 0)
            continue;
        path = g_strdup_printf("/webhooks/%zu/clientConfig/caBundle", i);
        value = g_base64_encode((const guchar *)merged, strlen(merged));
        json_array_append_new(patch, json_pack("{s:s,s:s,s:s}", "op", "add", "path", path, "value", value));
    }
    return patch;
}

/* ---- changing it ----------------------------------------------------------- */

/* Another instance entered its own meanwhile: nothing to speak of, the first time. */
static bool is_race(const struct webhook_ca *w, const GError *error)
{
    return w->failing.failures == 0 && (g_error_matches(error, KUBE_ERROR, KUBE_ERROR_INVALID) ||
                                        g_error_matches(error, KUBE_ERROR, KUBE_ERROR_CONFLICT));
}

static void tell_entered(struct webhook_ca *w)
{
    log_line(w->again ? LOG_WARN : LOG_INFO, "ca-published", "name", w->name, "again",
             w->again ? "yes" : "no", NULL);
    int64_t now = scheduler_now_ms();
    if (w->again && now > w->not_before_ms + QUIET_MS)
        kube_backoff_reset(&w->overwritten);
    w->not_before_ms = w->again ? now + kube_backoff_next_ms(&w->overwritten) : 0;
    is_good(w);
}

static void patched(GObject *source, GAsyncResult *result, gpointer data)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GBytes) done = kube_request_finish(result, NULL, &error);
    (void)source;
    if (g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
        return;
    struct webhook_ca *w = data;
    bool look_now = w->stale || (!done && is_race(w, error));
    if (done && !w->replaced)
        tell_entered(w);
    else if (look_now)
        kube_backoff_next_ms(&w->failing);
    else
        wrong(w, error->message, false);
    w->writing = w->stale = w->replaced = false;
    if (look_now)
        look(w);
}

static void enter(struct webhook_ca *w, json_t *patch)
{
    int64_t wait_ms = w->not_before_ms - scheduler_now_ms();
    w->again |= w->holds;
    if (w->writing) {
        w->stale = true;
        return;
    }
    if (w->again && wait_ms > 0) {
        w->told_by_watch = false;
        look_in(w, wait_ms);
        return;
    }
    char *body = json_dumps(patch, JSON_COMPACT);
    struct kube_request request = {.method = "PATCH",
                                   .path = w->path,
                                   .content_type = KUBE_JSON_PATCH,
                                   .body = body,
                                   .body_len = strlen(body)};
    w->writing = true;
    kube_request_async(w->client, &request, w->cancellable, patched, w);
    free(body);
}

static void consider(struct webhook_ca *w, const char *text, size_t len)
{
    json_t *configuration = json_loadb(text, len, 0, NULL);
    bool found;
    json_t *patch = bundle_patch(w, configuration, &found);
    if (!found)
        wrong(w, "it holds no webhook " WEBHOOK_NAME, true);
    else if (json_array_size(patch) > 1)
        enter(w, patch);
    else if (!w->writing)
        is_good(w);
    json_decref(patch);
    json_decref(configuration);
}

/* ---- reading it ------------------------------------------------------------ */

static void have_read(GObject *source, GAsyncResult *result, gpointer data)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GBytes) answer = kube_request_finish(result, NULL, &error);
    gsize len = 0;
    (void)source;
    if (answer) {
        const char *text = g_bytes_get_data(answer, &len);
        consider(data, text, len);
    } else if (g_error_matches(error, KUBE_ERROR, KUBE_ERROR_NOT_FOUND)) {
        not_found(data);
    } else if (!g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED)) {
        wrong(data, error->message, false);
    }
}

static void look(struct webhook_ca *w)
{
    struct kube_request request = {.method = "GET", .path = w->path};
    g_clear_handle_id(&w->timer, g_source_remove);
    kube_request_async(w->client, &request, w->cancellable, have_read, w);
}

static void list_begins(void *data, uint64_t generation)
{
    struct webhook_ca *w = data;
    (void)generation;
    w->there = false;
}

static void seen(void *data, enum kube_event event, const char *json, size_t len)
{
    struct webhook_ca *w = data;
    w->there = event != KUBE_DELETED;
    if (w->there)
        consider(w, json, len);
    else
        not_found(w);
}

static void listed(void *data)
{
    struct webhook_ca *w = data;
    if (!w->there)
        not_found(w);
}

/* Only who may not watch is without news (rights.c has said so): all else the watch gets over by itself. */
static void watch_failed(void *data, const GError *error)
{
    struct webhook_ca *w = data;
    if (g_error_matches(error, KUBE_ERROR, KUBE_ERROR_FORBIDDEN))
        look(w);
    else
        log_line(LOG_WARN, "watch-webhook-configuration", "name", w->name, "why", error->message, NULL);
}

/* ---------------------------------------------------------------------------- */

struct webhook_ca *webhook_ca_new(KubeClient *client, const char *name, void (*entered)(void *data),
                                  void *data)
{
    static const struct kube_watch_vtable vtable = {list_begins, seen, listed, watch_failed};
    if (!name || !*name)
        return NULL;
    struct webhook_ca *w = g_new0(struct webhook_ca, 1);
    g_autofree char *all =
        kube_path("apis", "admissionregistration.k8s.io", "v1", "mutatingwebhookconfigurations", NULL);
    g_autofree char *field = g_strdup_printf("metadata.name=%s", name);
    w->client = client;
    w->name = name;
    w->entered = entered;
    w->data = data;
    w->path =
        kube_path("apis", "admissionregistration.k8s.io", "v1", "mutatingwebhookconfigurations", name, NULL);
    w->failing = w->overwritten = (struct kube_backoff){.first_ms = FIRST_MS, .cap_ms = CAP_MS};
    w->cancellable = g_cancellable_new();
    w->watch = kube_watch_new(client, &(struct kube_watch_options){.path = all, .field_selector = field},
                              &vtable, w);
    return w;
}

void webhook_ca_set(struct webhook_ca *w, const char *ca_pem)
{
    if (!w)
        return;
    bool is_first = !w->ca;
    g_free(w->ca);
    w->ca = g_strdup(ca_pem);
    w->holds = w->again = false;
    w->not_before_ms = 0;
    kube_backoff_reset(&w->failing);
    kube_backoff_reset(&w->overwritten);
    if (is_first)
        kube_watch_start(w->watch);
    else if (w->writing)
        w->stale = w->replaced = true;
    else
        look(w);
}

void webhook_ca_free(struct webhook_ca *w)
{
    if (!w)
        return;
    g_cancellable_cancel(w->cancellable);
    g_object_unref(w->cancellable);
    kube_watch_free(w->watch);
    g_clear_handle_id(&w->timer, g_source_remove);
    g_free(w->path);
    g_free(w->ca);
    g_free(w->told);
    g_free(w);
}
