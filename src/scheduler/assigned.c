/* SPDX-License-Identifier: Apache-2.0 */
#include "scheduler/assigned.h"

#include "model/pod_codec.h"

static void clear_annotation(void *data)
{
    struct kube_annotation *a = data;
    g_free((char *)(uintptr_t)a->key);
    g_free((char *)(uintptr_t)a->value);
}

static void assignment_free(void *data)
{
    struct assignment *a = data;
    g_array_unref(a->annotations);
    g_free(a);
}

GHashTable *assigned_new(void)
{
    return g_hash_table_new_full(g_str_hash, g_str_equal, g_free, assignment_free);
}

static void put(const char *key, const char *value, void *data)
{
    struct kube_annotation a = {g_strdup(key), g_strdup(value)};
    g_array_append_val((GArray *)data, a);
}

void assigned_put(struct scheduler *s, const char *uid, const struct pod_request *r,
                  const struct cluster_answer *answer)
{
    static uint64_t decisions;
    struct assignment *a = g_new0(struct assignment, 1);
    a->number = ++decisions;
    a->ours = r != NULL;
    a->deadline_ms = scheduler_now_ms() + s->o.reserve_ms;
    a->annotations = g_array_new(FALSE, FALSE, sizeof(struct kube_annotation));
    g_array_set_clear_func(a->annotations, clear_annotation);
    if (r)
        pod_codec_write(s->families, cluster_node_spec(s->cluster, answer->node), r, &answer->grant,
                        g_get_real_time() * 1000, put, a->annotations);
    g_hash_table_replace(s->assigned, g_strdup(uid), a);
    scheduler_expire_by(s, a->deadline_ms);
}

struct assignment *assigned_get(struct scheduler *s, const char *uid)
{
    return g_hash_table_lookup(s->assigned, uid);
}

void assigned_drop(struct scheduler *s, const char *uid)
{
    g_hash_table_remove(s->assigned, uid);
}

struct sweep {
    int64_t now_ms, next_ms;
};

static gboolean is_over(gpointer key, gpointer value, gpointer data)
{
    const struct assignment *a = value;
    struct sweep *sweep = data;
    (void)key;
    if (a->deadline_ms <= sweep->now_ms)
        return TRUE;
    sweep->next_ms = MIN(sweep->next_ms, a->deadline_ms);
    return FALSE;
}

int64_t assigned_expire(struct scheduler *s, int64_t now_ms)
{
    struct sweep sweep = {now_ms, INT64_MAX};
    guint n = g_hash_table_foreach_remove(s->assigned, is_over, &sweep);
    g_autofree char *ended = g_strdup_printf("%u", n);
    if (n)
        log_line(LOG_DEBUG, "decisions-expired", "pods", ended, NULL);
    return sweep.next_ms;
}
