/* SPDX-License-Identifier: Apache-2.0 */
#include "scheduler/scheduler.h"

#include <glib-unix.h>
#include <malloc.h>
#include <signal.h>
#include <string.h>

#include "base/build_info.h"
#include "base/status.h"
#include "scheduler/assigned.h"
#include "scheduler/nodelock.h"
#include "scheduler/rights.h"

#define EXPIRE_AGAIN_MS                                                                                      \
    100 /* a sweep looks at all: not once for each of many that end one after the other                      \
         */

bool scheduler_is_synced(const struct scheduler *s)
{
    return s->nodes_synced && s->pods_synced && s->quotas_synced;
}

bool scheduler_may_write(const struct scheduler *s)
{
    return s->leading && leader_is_valid(s);
}

bool scheduler_may_decide(const struct scheduler *s)
{
    return scheduler_is_synced(s) && scheduler_may_write(s) && !s->marker && !s->relisting;
}

int64_t scheduler_now_ms(void)
{
    return g_get_monotonic_time() / 1000;
}

static gboolean expire(gpointer data)
{
    struct scheduler *s = data;
    uint32_t before = cluster_pod_count(s->cluster);
    int64_t now = scheduler_now_ms();
    s->expire_timer = 0;
    int64_t reserved = cluster_expire(s->cluster, now), assigned = assigned_expire(s, now);
    s->count.reservations_expired += before - cluster_pod_count(s->cluster);
    if (MIN(reserved, assigned) != INT64_MAX)
        scheduler_expire_by(s, MAX(MIN(reserved, assigned), now + EXPIRE_AGAIN_MS));
    waiting_capacity_changed(s);
    return G_SOURCE_REMOVE;
}

void scheduler_expire_by(struct scheduler *s, int64_t at_ms)
{
    if (s->expire_timer && s->expire_at_ms <= at_ms)
        return;
    g_clear_handle_id(&s->expire_timer, g_source_remove);
    s->expire_at_ms = at_ms;
    s->expire_timer = g_timeout_add((guint)CLAMP(at_ms - scheduler_now_ms() + 1, 1, G_MAXINT), expire, s);
}

void scheduler_watch_failed(struct scheduler *s, const char *what, const GError *error)
{
    if (!s->collecting) {
        log_line(LOG_WARN, "watch", "what", what, "why", error->message, NULL);
        return;
    }
    if (!s->failure)
        s->failure = g_error_new(STATUS_ERROR, STATUS_FAILED, "%s: %s", what, error->message);
    g_main_loop_quit(s->loop);
}

static gboolean trim(gpointer data)
{
    ((struct scheduler *)data)->trim_timer = 0;
    trim_memory();
    return G_SOURCE_REMOVE;
}

void scheduler_goes_on(struct scheduler *s)
{
    if (!scheduler_may_decide(s))
        return;
    extender_answer_held(s);
    waiting_capacity_changed(s);
}

void scheduler_became_ready(struct scheduler *s)
{
    if (s->collecting && scheduler_is_synced(s)) {
        g_main_loop_quit(s->loop);
        return;
    }
    if (!scheduler_may_decide(s))
        return;
    log_line(LOG_INFO, "ready", NULL, NULL);
    if (!s->trim_timer)
        s->trim_timer = g_idle_add(trim, s);
    scheduler_goes_on(s);
}

/* ---- life -------------------------------------------------------------- */

static void token_stale(void *data, const GError *error)
{
    (void)data;
    log_line(LOG_WARN, "token-unreadable", "why", error->message, "remedy",
             "the token read before is used until it expires; write the file again", NULL);
}

static void server_silent(void *data, const GError *error)
{
    (void)data;
    if (error)
        log_line(LOG_WARN, "server-silent", "why", error->message, "remedy",
                 "asked again until it answers; is the address right, and does the API server run?", NULL);
    else
        log_line(LOG_INFO, "server-answers", NULL, NULL);
}

static bool start(struct scheduler *s, GError **error)
{
    g_autoptr(GPtrArray) warnings = g_ptr_array_new_with_free_func(g_free);
    KubeConfig *config = kube_config_find(s->o.kubeconfig, s->o.kube_context, error);
    s->rights = rights_new();
    struct kube_client_options options = {.refused = rights_refused,
                                          .refused_data = s->rights,
                                          .stale = token_stale,
                                          .silent = server_silent,
                                          .qps = s->o.kube_qps,
                                          .burst = s->o.kube_burst,
                                          .timeout_ms = s->o.kube_timeout_ms};
    struct kube_events_options events = {.component = s->o.scheduler_name};
    if (!config || !(s->client = kube_client_new(config, &options, error)))
        return false;
    s->families = vendor_config_parse(s->o.device_config, s->o.device_config ? strlen(s->o.device_config) : 0,
                                      &s->o.vendors, warnings, error);
    if (!s->families)
        return false;
    log_config_warnings(&s->o, warnings);
    s->reader = pod_reader_new(s->families);
    s->cluster = cluster_new(s->families);
    s->events = kube_events_new(s->client, &events);
    s->assigned = assigned_new();
    for (int kind = 0; kind < NODE_LOCKS; kind++)
        s->locking[kind] = g_hash_table_new(g_str_hash, g_str_equal);
    s->mig_texts = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    s->defaults = (struct pod_defaults){s->o.node_policy, s->o.card_policy};
    if (!servers_start(s, error) || !leader_start(s, error))
        return false;
    reload_start(s);
    fate_start(s);
    nodes_start(s);
    quotas_start(s);
    return true;
}

static void quit(void *data)
{
    g_main_loop_quit(((struct scheduler *)data)->loop);
}

static gboolean stop_signal(gpointer data)
{
    struct scheduler *s = data;
    log_line(LOG_INFO, "stopping", NULL, NULL);
    s->leading = false;
    leader_stop(s, quit, s);
    return G_SOURCE_REMOVE;
}

static void clear(struct scheduler *s)
{
    servers_stop(s);
    nodelock_free(s);
    waiting_free(s);
    reload_stop(s);
    fate_stop(s);
    nodes_stop(s);
    pods_stop(s);
    quotas_stop(s);
    g_clear_handle_id(&s->expire_timer, g_source_remove);
    g_clear_handle_id(&s->trim_timer, g_source_remove);
    g_clear_pointer(&s->lease, kube_lease_free);
    if (s->identity_socket > 0)
        close(s->identity_socket);
    g_clear_pointer(&s->events, kube_events_free);
    g_clear_pointer(&s->client, kube_client_unref);
    g_clear_pointer(&s->rights, rights_free);
    g_clear_pointer(&s->assigned, g_hash_table_unref);
    g_clear_pointer(&s->mig_texts, g_hash_table_unref);
    g_clear_pointer(&s->cluster, cluster_free);
    g_clear_pointer(&s->reader, pod_reader_free);
    g_clear_pointer(&s->families, vendor_config_free);
    g_clear_pointer(&s->marker, g_free);
}

int scheduler_run(const struct scheduler_options *options, GError **error)
{
    struct scheduler *s = g_new0(struct scheduler, 1);
    signal(SIGPIPE, SIG_IGN); /* whoever reads our lines may go */
    signal(SIGHUP, SIG_IGN);  /* unless certificates are ours to make anew */
    mallopt(M_ARENA_MAX, 1);  /* one thread does the work; GIO's helpers need no heap of their own */
    s->o = *options;
    log_set_level(options->log_level == 0  ? LOG_WARN
                  : options->log_level < 5 ? LOG_INFO
                                           : LOG_DEBUG,
                  options->log_json);
    g_queue_init(&s->held);
    s->loop = g_main_loop_new(NULL, FALSE);
    bool good = start(s, error);
    if (good) {
        g_autofree char *families = g_strdup_printf("%u", s->families->n);
        g_autofree char *http = servers_address(s->o.http_bind, s->extender);
        g_autofree char *webhook = servers_address(s->o.webhook_bind, s->webhook);
        g_autofree char *metrics = servers_address(s->o.metrics_bind, s->metrics);
        log_line(LOG_INFO, "started", "version", HAMI_VERSION, "revision", build_info()->revision, "server",
                 kube_client_config(s->client)->server, "families", families, "http", http, "webhook",
                 webhook, "metrics", metrics, NULL);
        guint term = g_unix_signal_add(SIGTERM, stop_signal, s),
              interrupt = g_unix_signal_add(SIGINT, stop_signal, s);
        log_gather(true);
        g_main_loop_run(s->loop);
        log_gather(false);
        (void)term, (void)interrupt;
    }
    clear(s);
    g_main_loop_unref(s->loop);
    g_free(s);
    return good ? STATUS_OK : -1;
}
