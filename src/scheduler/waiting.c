/* SPDX-License-Identifier: Apache-2.0
 *
 * Pods that found no place, and waking them the moment one appears.
 *
 * kube-scheduler tries an unschedulable pod again when something happens that
 * concerns it, else after minutes. It cannot know that cards were freed in our
 * ledger, or may ask before we have seen it. So when capacity comes back,
 * the waiting pods are placed once more, in order of priority and age, each on top of
 * the ones before it; those that fit now get the annotation hami.io/wake, an
 * update that makes kube-scheduler take them up at once. No more pods are
 * woken than there is room for.
 */
#include <string.h>

#include "kube/body.h"
#include "model/annotation.h"
#include "scheduler/service.h"

#define WAITING_MAX 4096 /* beyond it kube-scheduler's own retries have to do */
#define SETTLE_MS 5      /* what ends together is looked at together */
#define PASS_US 5000     /* then other work gets its turn */
#define WOKEN_MS 10000   /* how long a woken pod has to come */

struct waiting {
    char *uid, *namespace_, *name;
    char *text;
    size_t len;
    int32_t priority;
    int64_t since_ms, woken_ms;
};

static struct pod_request wanted;
static struct cluster_answer answer;

static void waiting_destroy(gpointer data)
{
    struct waiting *w = data;
    g_free(w->uid);
    g_free(w->namespace_);
    g_free(w->name);
    g_free(w->text);
    g_free(w);
}

void waiting_add(struct scheduler *s, const struct pod_request *r, const char *pod, size_t len)
{
    if (!s->waiting)
        s->waiting = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, waiting_destroy);
    struct waiting *old = g_hash_table_lookup(s->waiting, r->uid);
    int64_t since = old ? old->since_ms : scheduler_now_ms();
    if (!old && g_hash_table_size(s->waiting) >= WAITING_MAX)
        return;
    struct waiting *w = g_new0(struct waiting, 1);
    *w = (struct waiting){g_strdup(r->uid),
                          g_strdup(r->namespace_),
                          g_strdup(r->name),
                          g_memdup2(pod, len),
                          len,
                          r->priority,
                          since,
                          0};
    g_hash_table_replace(s->waiting, w->uid, w);
}

void waiting_remove(struct scheduler *s, const char *uid)
{
    if (s->waiting)
        g_hash_table_remove(s->waiting, uid);
}

static int by_priority_and_age(gconstpointer a, gconstpointer b)
{
    const struct waiting *x = *(struct waiting *const *)a, *y = *(struct waiting *const *)b;
    if (x->priority != y->priority)
        return x->priority > y->priority ? -1 : 1;
    return (x->since_ms > y->since_ms) - (x->since_ms < y->since_ms);
}

static void woken(GObject *source, GAsyncResult *result, gpointer data)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GBytes) done = kube_request_finish(result, NULL, &error);
    g_autofree char *pod = data;
    (void)source;
    if (done)
        log_line(LOG_INFO, "woken", "pod", pod, NULL);
    else if (!g_error_matches(error, KUBE_ERROR, KUBE_ERROR_NOT_FOUND))
        log_line(LOG_WARN, "wake-failed", "pod", pod, "why", error->message, NULL);
}

static void wake(struct scheduler *s, struct waiting *w)
{
    g_autofree char *now = g_strdup_printf("%" G_GINT64_FORMAT, g_get_real_time() / 1000);
    struct kube_annotation a = {annotation_wake, now};
    struct kube_target target = {w->namespace_, w->name, w->uid, NULL};
    g_autofree char *body = kube_body_annotate(&target, &a, 1, NULL, 0, NULL);
    g_autofree char *path = kube_path("api", "v1", "namespaces", w->namespace_, "pods", w->name, NULL);
    struct kube_request request = {.method = "PATCH",
                                   .path = path,
                                   .content_type = KUBE_MERGE_PATCH,
                                   .body = body,
                                   .body_len = body ? strlen(body) : 0,
                                   .repeatable = true};
    w->woken_ms = scheduler_now_ms();
    s->count.wakes++;
    if (body)
        kube_request_async(s->client, &request, NULL, woken,
                           g_strdup_printf("%s/%s", w->namespace_, w->name));
}

static bool collect(ClusterNode n, void *data)
{
    g_array_append_val((GArray *)data, n);
    return true;
}

/* Places the pod for a moment, so that the next one sees it there. */
static bool fits_now(struct scheduler *s, const struct waiting *w, const GArray *nodes)
{
    struct pod_object pod;
    const char *fault;
    g_autofree char *why = NULL;
    bool fits = false;
    if (!pod_object_parse(s->reader, w->text, w->len, &pod, &fault))
        return false;
    if (vendor_request_parse(s->families, &pod, &s->defaults, &wanted, NULL, &why)) {
        cluster_place(s->cluster, &wanted, (const ClusterNode *)(const void *)nodes->data, nodes->len,
                      &answer);
        fits = answer.reason == SCHED_FITS && cluster_reserve(s->cluster, &wanted, &answer, INT64_MAX);
        pod_request_clear(&wanted);
    }
    pod_object_clear(&pod);
    return fits;
}

static gboolean look(gpointer data)
{
    struct scheduler *s = data;
    g_autoptr(GPtrArray) order = g_ptr_array_new(), placed = g_ptr_array_new();
    g_autoptr(GArray) nodes = g_array_new(FALSE, FALSE, sizeof(ClusterNode));
    int64_t now = scheduler_now_ms(), until = g_get_monotonic_time() + PASS_US;
    GHashTableIter i;
    gpointer value;
    s->wake_timer = 0;
    if (!scheduler_may_decide(s))
        return G_SOURCE_REMOVE;
    g_hash_table_iter_init(&i, s->waiting);
    while (g_hash_table_iter_next(&i, NULL, &value))
        g_ptr_array_add(order, value);
    g_ptr_array_sort(order, by_priority_and_age);
    cluster_node_each(s->cluster, collect, nodes);
    for (guint k = 0; k < order->len; k++) {
        struct waiting *w = order->pdata[k];
        struct cluster_pod known;
        if (cluster_pod_get(s->cluster, w->uid, &known) || !fits_now(s, w, nodes))
            continue;
        g_ptr_array_add(placed, w->uid);
        if (now - w->woken_ms > WOKEN_MS || w->woken_ms == 0)
            wake(s, w);
        if (g_get_monotonic_time() > until)
            break; /* whoever is woken brings us back when it is placed */
    }
    for (guint k = 0; k < placed->len; k++)
        cluster_release(s->cluster, placed->pdata[k]);
    s->freed_seen = cluster_freed(s->cluster);
    return G_SOURCE_REMOVE;
}

void waiting_capacity_changed(struct scheduler *s)
{
    if (s->wake_timer || !s->waiting || g_hash_table_size(s->waiting) == 0 ||
        cluster_freed(s->cluster) == s->freed_seen)
        return;
    s->wake_timer = g_timeout_add(SETTLE_MS, look, s);
}

void waiting_free(struct scheduler *s)
{
    g_clear_handle_id(&s->wake_timer, g_source_remove);
    g_clear_pointer(&s->waiting, g_hash_table_unref);
}

void waiting_append(GString *out, void *data)
{
    struct scheduler *s = data;
    GHashTableIter i;
    gpointer value;
    bool first = true;
    if (!s->waiting)
        return;
    g_hash_table_iter_init(&i, s->waiting);
    while (g_hash_table_iter_next(&i, NULL, &value)) {
        const struct waiting *w = value;
        g_string_append(out, first ? "\n" : ",\n");
        g_string_append_len(out, w->text, (gssize)w->len);
        first = false;
    }
}
