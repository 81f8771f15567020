/* SPDX-License-Identifier: Apache-2.0
 *
 * The client itself: what its requests share. A request's life is request.c.
 */
#include "kube/client.h"

#include <string.h>

#include "kube/client_private.h"
#include "kube/session.h"

static void fill_in(struct kube_client_options *o)
{
    o->burst = o->burst ? o->burst : 10;
    o->timeout_ms = o->timeout_ms ? o->timeout_ms : 30000;
    o->answer_max = o->answer_max ? o->answer_max : (size_t)64 << 20;
    o->attempts = o->attempts ? o->attempts : 5;
    o->user_agent = g_strdup(o->user_agent);
}

static void lane_clear(struct kube_lane *lane)
{
    if (lane->session)
        soup_session_abort(lane->session);
    g_clear_object(&lane->session);
}

struct kube_lane *kube_client_lane(KubeClient *client, bool aside)
{
    struct kube_lane *lane = aside ? &client->aside : &client->lanes[0];
    for (unsigned i = 1; !aside && i < KUBE_LANES && lane->requests >= KUBE_LANE_CONNECTIONS; i++)
        if (client->lanes[i].requests < lane->requests)
            lane = &client->lanes[i];
    if (!lane->session)
        lane->session = kube_session_new(client->config, &client->options, client->anchors,
                                         aside ? KUBE_ASIDE_CONNECTIONS : KUBE_LANE_CONNECTIONS);
    return lane;
}

/* A certificate is shown as a connection begins, and an API server asks for each request whether it is in
 * force: with another one others begin. What is under way goes on, and its connections end with it. */
GTlsCertificate *kube_client_certificate(KubeClient *client)
{
    GTlsCertificate *certificate = kube_credentials_certificate(client->credentials);
    if (!g_set_object(&client->shown, certificate))
        return certificate;
    for (unsigned i = 0; i < KUBE_LANES; i++)
        g_clear_object(&client->lanes[i].session);
    g_clear_object(&client->aside.session);
    return certificate;
}

/* ---- deadlines ------------------------------------------------------------- */

struct clock {
    GSource source;
    KubeClient *client;
};

/* Set later than it was only when it rings: each setting wakes the main loop up once more. */
static void set_clock(KubeClient *client, gint64 at_us)
{
    client->clock_us = at_us;
    g_source_set_ready_time(client->clock, at_us == G_MAXINT64 ? -1 : at_us);
}

/* The first that has passed, else NULL and when the next one will have. */
static struct kube_deadline *first_passed(const KubeClient *client, gint64 now_us, gint64 *ret_next_us)
{
    *ret_next_us = G_MAXINT64;
    for (GList *l = client->deadlines.head; l; l = l->next) {
        struct kube_deadline *d = l->data;
        if (d->at_us <= now_us)
            return d;
        *ret_next_us = MIN(*ret_next_us, d->at_us);
    }
    return NULL;
}

static gboolean clock_dispatch(GSource *source, GSourceFunc callback, void *data)
{
    KubeClient *client = kube_client_ref(((struct clock *)source)->client); /* a call may be its last user */
    gint64 now = g_get_monotonic_time(), next_us;
    (void)callback, (void)data;
    set_clock(client, G_MAXINT64);
    for (struct kube_deadline *d; (d = first_passed(client, now, &next_us));) {
        kube_deadline_drop(client, d);
        d->passed(d->data);
    }
    if (next_us < client->clock_us)
        set_clock(client, next_us);
    kube_client_unref(client);
    return G_SOURCE_CONTINUE;
}

static GSourceFuncs clock_functions = {NULL, NULL, clock_dispatch, NULL, NULL, NULL};

static void clock_start(KubeClient *client)
{
    client->clock = g_source_new(&clock_functions, sizeof(struct clock));
    ((struct clock *)client->clock)->client = client;
    g_source_attach(client->clock, client->context);
    set_clock(client, G_MAXINT64);
}

void kube_deadline_set(KubeClient *client, struct kube_deadline *d, gint64 at_us, void (*passed)(void *data),
                       void *data)
{
    *d = (struct kube_deadline){.link.data = d, .at_us = at_us, .passed = passed, .data = data};
    g_queue_push_tail_link(&client->deadlines, &d->link);
    if (at_us < client->clock_us)
        set_clock(client, at_us);
}

void kube_deadline_drop(KubeClient *client, struct kube_deadline *d)
{
    if (d->link.data)
        g_queue_unlink(&client->deadlines, &d->link);
    d->link.data = NULL;
}

/* ---- the object ------------------------------------------------------------ */

static void client_free(KubeClient *client)
{
    for (unsigned i = 0; i < KUBE_LANES; i++)
        lane_clear(&client->lanes[i]);
    lane_clear(&client->aside);
    g_clear_object(&client->anchors);
    g_clear_object(&client->shown);
    kube_credentials_free(client->credentials);
    kube_config_free(client->config);
    g_free((char *)(uintptr_t)client->options.user_agent);
    g_source_destroy(client->clock);
    g_source_unref(client->clock);
    g_main_context_unref(client->context);
    g_free(client);
}

KubeClient *kube_client_new(KubeConfig *config, const struct kube_client_options *options, GError **error)
{
    KubeClient *client = g_new0(KubeClient, 1);
    struct kube_client_options none = {0};
    g_atomic_ref_count_init(&client->references);
    client->config = config;
    client->options = options ? *options : none;
    fill_in(&client->options);
    client->context = g_main_context_ref_thread_default();
    clock_start(client);
    GError *why = NULL;
    client->anchors = kube_session_anchors(config, &why);
    client->credentials = why ? NULL : kube_credentials_new(config, &why);
    if (!client->credentials) {
        g_propagate_error(error, why);
        client_free(client);
        return NULL;
    }
    return client;
}

KubeClient *kube_client_ref(KubeClient *client)
{
    g_atomic_ref_count_inc(&client->references);
    return client;
}

void kube_client_unref(KubeClient *client)
{
    if (client && g_atomic_ref_count_dec(&client->references))
        client_free(client);
}

const KubeConfig *kube_client_config(const KubeClient *client)
{
    return client->config;
}

struct kube_client_counters kube_client_counters(const KubeClient *client)
{
    struct kube_client_counters c = client->counters;
    c.tokens_read = kube_credentials_reads(client->credentials);
    return c;
}

gint64 kube_client_permit_us(KubeClient *client, gint64 now_us)
{
    if (!(client->options.qps > 0))
        return 0;
    gint64 each_us = (gint64)MAX(1e6 / client->options.qps, 1);
    gint64 depth_us = each_us * (gint64)client->options.burst;
    client->full_us = MAX(client->full_us, now_us) + each_us;
    return MAX(client->full_us - depth_us - now_us, 0);
}

GSource *kube_client_timer(KubeClient *client, gint64 wait_us, GSourceFunc callback, void *data)
{
    GSource *source = g_timeout_source_new(0);
    g_source_set_ready_time(source, g_get_monotonic_time() + MAX(wait_us, 0));
    g_source_set_callback(source, callback, data, NULL);
    g_source_attach(source, client->context);
    return source;
}

struct waited {
    GBytes *body;
    unsigned status;
    GError *error;
    bool done;
};

static void on_waited(GObject *source, GAsyncResult *result, void *data)
{
    struct waited *w = data;
    (void)source;
    w->body = kube_request_finish(result, &w->status, &w->error);
    w->done = true;
}

GBytes *kube_request_sync(KubeClient *client, const struct kube_request *request, unsigned *ret_status,
                          GError **error)
{
    struct waited w = {0};
    kube_request_async(client, request, NULL, on_waited, &w);
    while (!w.done)
        g_main_context_iteration(client->context, TRUE);
    if (w.error)
        g_propagate_error(error, w.error);
    else if (ret_status)
        *ret_status = w.status;
    return w.body;
}
