/* SPDX-License-Identifier: Apache-2.0
 *
 * Follows ResourceQuota objects: spec.hard["limits.<resource>"] of a memory or
 * cores resource of any family is a limit that placement keeps. (A plain
 * quota of the API server counts pods' numbers; it knows nothing of percent
 * or default memory.)
 */
#include <string.h>

#include "base/json_members.h"
#include "model/kube_quantity.h"
#include "scheduler/service.h"

#define PREFIX "limits."

static uint64_t generation; /* of the list under way */

static const char *counted_resource(const struct scheduler *s, const char *name)
{
    for (uint32_t i = 0; i < s->families->n; i++) {
        const struct family *f = s->families->rows[i];
        const char *ours[] = {f->resource[FAMILY_MEM], f->resource[FAMILY_CORES]};
        for (size_t k = 0; k < G_N_ELEMENTS(ours); k++)
            if (ours[k] && *ours[k] && strcmp(ours[k], name) == 0)
                return ours[k];
    }
    return NULL;
}

struct quota {
    struct json_text name, namespace_, hard; /* hard: an object's text */
};

static void read_text(struct json_scan *scan, void *data, size_t at)
{
    json_scan_text(scan, (struct json_text *)(void *)((char *)data + at));
}

static void read_metadata(struct json_scan *scan, void *data, size_t at)
{
    static const struct json_member members[] = {
        JSON_MEMBER("name", read_text, offsetof(struct quota, name)),
        JSON_MEMBER("namespace", read_text, offsetof(struct quota, namespace_)),
    };
    (void)at;
    json_members_read(scan, members, G_N_ELEMENTS(members), data);
}

/* Set aside: the name decides where the limits go, and may come behind them. */
static void read_hard(struct json_scan *scan, void *data, size_t at)
{
    struct quota *q = data;
    (void)at;
    json_scan_raw(scan, &q->hard.at, &q->hard.len);
}

static void read_spec(struct json_scan *scan, void *data, size_t at)
{
    static const struct json_member members[] = {JSON_MEMBER("hard", read_hard, 0)};
    (void)at;
    json_members_read(scan, members, G_N_ELEMENTS(members), data);
}

static void set_limits(struct scheduler *s, const struct quota *q, const char *namespace_, const char *name)
{
    struct json_scan scan;
    struct json_text key, value;
    char resource[256];
    json_scan_init(&scan, q->hard.at, q->hard.len);
    if (!json_scan_object(&scan))
        return;
    while (json_scan_key(&scan, &key)) {
        int64_t limit;
        const char *known;
        if (!json_scan_text(&scan, &value) || json_text_copy(key, resource, sizeof resource) < 0 ||
            !g_str_has_prefix(resource, PREFIX) || !(known = counted_resource(s, resource + strlen(PREFIX))))
            continue;
        if (kube_quantity_parse(value.at, value.len, &limit) == KUBE_QUANTITY_INTEGER && limit >= 0)
            cluster_quota_set(s->cluster, namespace_, name, known, limit);
        else
            log_line(LOG_WARN, "quota-unreadable", "namespace", namespace_, "quota", name, "resource", known,
                     "why", "not a whole number of at least 0", NULL);
    }
}

static void apply(struct scheduler *s, enum kube_event event, const char *json, size_t len)
{
    static const struct json_member members[] = {
        JSON_MEMBER("metadata", read_metadata, 0),
        JSON_MEMBER("spec", read_spec, 0),
    };
    struct json_scan scan;
    struct quota q = {0};
    json_scan_init(&scan, json, len);
    json_members_read(&scan, members, G_N_ELEMENTS(members), &q);
    g_autofree char *quota = json_text_dup(q.name), *where = json_text_dup(q.namespace_);
    if (scan.fault || !quota || !where)
        return;
    cluster_quota_remove(s->cluster, where, quota);
    g_autofree char *id = g_strdup_printf("%s/%s", where, quota);
    if (event == KUBE_DELETED) {
        g_hash_table_remove(s->quotas, id);
        return;
    }
    g_hash_table_insert(s->quotas, g_steal_pointer(&id), g_memdup2(&generation, sizeof generation));
    set_limits(s, &q, where, quota);
}

static void begin(void *data, uint64_t number)
{
    (void)data;
    generation = number;
}

static void object_event(void *data, enum kube_event event, const char *json, size_t len)
{
    apply(data, event, json, len);
    waiting_capacity_changed(data);
}

/* Quotas that the new list no longer has. Until now they held. */
static void synced(void *data)
{
    struct scheduler *s = data;
    GHashTableIter i;
    gpointer key, value;
    g_hash_table_iter_init(&i, s->quotas);
    while (g_hash_table_iter_next(&i, &key, &value)) {
        if (*(uint64_t *)value == generation)
            continue;
        g_auto(GStrv) parts = g_strsplit(key, "/", 2);
        cluster_quota_remove(s->cluster, parts[0], parts[1]);
        g_hash_table_iter_remove(&i);
    }
    waiting_capacity_changed(s);
    if (s->quotas_synced)
        return;
    s->quotas_synced = true;
    scheduler_became_ready(s);
}

static void failed(void *data, const GError *error)
{
    scheduler_watch_failed(data, "resourcequotas", error);
}

void quotas_start(struct scheduler *s)
{
    static const struct kube_watch_vtable vtable = {begin, object_event, synced, failed};
    s->quotas = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    s->quota_watch =
        kube_watch_new(s->client, &(struct kube_watch_options){.path = "/api/v1/resourcequotas"}, &vtable, s);
    kube_watch_start(s->quota_watch);
}

void quotas_stop(struct scheduler *s)
{
    g_clear_pointer(&s->quota_watch, kube_watch_free);
    g_clear_pointer(&s->quotas, g_hash_table_unref);
}
