/* SPDX-License-Identifier: Apache-2.0 */
#include "scheduler/collect.h"

#include <string.h>

#include "base/status.h"
#include "scheduler/assigned.h"

/* Somebody waits for the answer: fewer attempts than the service makes. */
static KubeClient *client_of(const struct scheduler_options *o, GError **error)
{
    struct kube_client_options options = {.attempts = 3};
    KubeConfig *config = kube_config_find(o->kubeconfig, o->kube_context, error);
    return config ? kube_client_new(config, &options, error) : NULL;
}

static void clear(struct scheduler *s)
{
    nodes_stop(s);
    pods_stop(s);
    quotas_stop(s);
    waiting_free(s);
    g_clear_pointer(&s->client, kube_client_unref);
    g_clear_pointer(&s->assigned, g_hash_table_unref);
    g_clear_pointer(&s->mig_texts, g_hash_table_unref);
    g_clear_pointer(&s->reader, pod_reader_free);
    g_clear_pointer(&s->loop, g_main_loop_unref);
}

Snapshot *collect_snapshot(const struct scheduler_options *options, GError **error)
{
    struct scheduler s = {.o = *options, .collecting = true};
    Snapshot *snapshot = NULL;
    s.o.events = SCHEDULER_EVENTS_NONE;
    log_set_level(LOG_WARN, false); /* who asks wants the answer, not how it was found */
    s.families = vendor_config_parse(options->device_config,
                                     options->device_config ? strlen(options->device_config) : 0,
                                     &options->vendors, NULL, error);
    if (!s.families || !(s.client = client_of(options, error))) {
        g_clear_pointer(&s.families, vendor_config_free);
        return NULL;
    }
    s.defaults = (struct pod_defaults){options->node_policy, options->card_policy};
    s.reader = pod_reader_new(s.families);
    s.cluster = cluster_new(s.families);
    s.assigned = assigned_new();
    s.mig_texts = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    s.loop = g_main_loop_new(NULL, FALSE);
    nodes_start(&s);
    quotas_start(&s);
    g_main_loop_run(s.loop);
    clear(&s);
    if (s.failure) {
        cluster_free(s.cluster);
        vendor_config_free(s.families);
        g_propagate_error(error, s.failure);
        return NULL;
    }
    snapshot = g_new0(Snapshot, 1);
    snapshot->families = s.families;
    snapshot->cluster = s.cluster;
    snapshot->waiting = g_new0(char *, 1);
    return snapshot;
}

char *collect_pod(const struct scheduler_options *options, const char *namespace_, const char *name,
                  GError **error)
{
    KubeClient *client = client_of(options, error);
    if (!client)
        return NULL;
    g_autofree char *path = kube_path("api", "v1", "namespaces", namespace_, "pods", name, NULL);
    struct kube_request request = {.method = "GET", .path = path};
    g_autoptr(GBytes) answer = kube_request_sync(client, &request, NULL, error);
    if (!answer && g_error_matches(*error, KUBE_ERROR, KUBE_ERROR_NOT_FOUND)) {
        g_clear_error(error);
        g_set_error(error, STATUS_ERROR, STATUS_USAGE,
                    "no pod %s/%s in this cluster; `kubectl get pods -A` lists them", namespace_, name);
    }
    kube_client_unref(client);
    gsize len = 0;
    const char *text = answer ? g_bytes_get_data(answer, &len) : NULL;
    return text ? g_strndup(text, len) : NULL;
}
