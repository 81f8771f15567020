/* SPDX-License-Identifier: Apache-2.0
 *
 * What became of a binding whose answer was lost (bind.c). Sending it again would be wrong, so would giving
 * its cards to others: the API server is asked for the pod, again and again where it cannot be reached, until
 * it is known. Until then the cards stay reserved.
 *
 *   bound                counted, as the watch would
 *   gone, or another     given back: a binding carries the UID and cannot arrive any more
 *   not bound            given back once GRACE_MS have passed since the answer was lost, for until then the
 *                        write may still be on its way through the server
 *
 * The list is used, for no right beyond those that are needed anyway; without a resourceVersion it is newer
 * than the write that we know of. The watch may be faster, and is believed too.
 */
#include "kube/watch_parse.h"
#include "scheduler/assigned.h"
#include "scheduler/nodelock.h"

#define GRACE_MS 10000

struct fate {
    struct scheduler *s;
    char *uid, *namespace_, *name;
    int64_t since_ms;
    struct kube_backoff backoff;
    guint timer;
};

enum outcome { UNBOUND, BOUND, GONE };

static void fate_free(gpointer data)
{
    struct fate *f = data;
    g_clear_handle_id(&f->timer, g_source_remove);
    g_free(f->uid);
    g_free(f->namespace_);
    g_free(f->name);
    g_free(f);
}

/* Did the watch tell, or the pod end, meanwhile? */
static bool is_known(struct fate *f)
{
    const struct assignment *a = assigned_get(f->s, f->uid);
    struct cluster_pod pod;
    return !a || !a->unknown || !cluster_pod_get(f->s->cluster, f->uid, &pod) || pod.state == POD_BOUND;
}

/* The cards, and on nodes that have them the locks: each lock knows whose it is. */
static void give_back(struct fate *f)
{
    struct scheduler *s = f->s;
    struct cluster_pod pod;
    if (!cluster_pod_get(s->cluster, f->uid, &pod) || pod.state != POD_RESERVED)
        return;
    for (int kind = NODE_LOCKS; pod.node_name && kind-- > 0;)
        nodelock_release(s, pod.node_name, (enum node_lock)kind, f->namespace_, f->name);
    if (cluster_release(s->cluster, f->uid))
        waiting_capacity_changed(s);
}

/* Frees it. */
static void settle(struct fate *f, const char *what)
{
    struct scheduler *s = f->s;
    const struct assignment *a = assigned_get(s, f->uid);
    log_line(LOG_INFO, "bind-settled", "namespace", f->namespace_, "pod", f->name, "as", what, NULL);
    if (a && a->unknown) {
        assigned_drop(s, f->uid);
        give_back(f);
    }
    g_hash_table_remove(s->fates, f->uid);
}

struct look {
    struct fate *f;
    enum outcome outcome;
};

static bool look_at(const char *json, size_t len, void *data)
{
    struct look *look = data;
    struct fate *f = look->f;
    struct pod_object p;
    const char *why;
    if (!pod_object_parse_leniently(f->s->reader, json, len, &p, &why))
        return true;
    bool is_it = g_strcmp0(p.uid, f->uid) == 0;
    bool is_over = p.phase == POD_SUCCEEDED || p.phase == POD_FAILED;
    bool is_bound = p.node && *p.node;
    pod_object_clear(&p);
    if (!is_it)
        return true;
    look->outcome = is_over ? GONE : is_bound ? BOUND : UNBOUND;
    if (look->outcome == BOUND)
        pods_listed_again(f->s, json, len);
    return false;
}

static void ask_in(struct fate *f, int64_t wait_ms);

static void listed(GObject *source, GAsyncResult *result, gpointer data)
{
    struct fate *f = data;
    g_autoptr(GError) error = NULL;
    g_autoptr(GBytes) answer = kube_request_finish(result, NULL, &error);
    struct look look = {f, GONE};
    struct kube_page page;
    const char *fault = NULL;
    gsize len = 0;
    (void)source;
    if (is_known(f)) {
        settle(f, "the watch told");
        return;
    }
    const char *json = answer ? g_bytes_get_data(answer, &len) : NULL;
    bool whole = json && (kube_page_parse(json, len, look_at, &look, &page, &fault) || !fault);
    if (!whole) {
        log_line(LOG_WARN, "bind-unknown", "namespace", f->namespace_, "pod", f->name, "why",
                 error ? error->message : fault, NULL);
        ask_in(f, kube_backoff_next_ms(&f->backoff));
        return;
    }
    int64_t left_ms = f->since_ms + GRACE_MS - scheduler_now_ms();
    if (look.outcome == UNBOUND && left_ms > 0)
        ask_in(f, left_ms);
    else
        settle(f, look.outcome == BOUND ? "bound" : look.outcome == GONE ? "gone" : "not bound");
}

static gboolean ask(gpointer data)
{
    struct fate *f = data;
    f->timer = 0;
    if (is_known(f)) {
        settle(f, "the watch told");
        return G_SOURCE_REMOVE;
    }
    g_autofree char *path = kube_path("api", "v1", "namespaces", f->namespace_, "pods", NULL);
    g_autofree char *field = g_strdup_printf("metadata.name=%s", f->name);
    g_autofree char *query = kube_query("fieldSelector", field, NULL);
    kube_request_async(f->s->client, &(struct kube_request){.method = "GET", .path = path, .query = query},
                       NULL, listed, f);
    return G_SOURCE_REMOVE;
}

static void ask_in(struct fate *f, int64_t wait_ms)
{
    f->timer = g_timeout_add((guint)CLAMP(wait_ms, 1, G_MAXINT), ask, f);
}

void fate_ask(struct scheduler *s, const char *namespace_, const char *name, const char *uid)
{
    struct fate *f = g_hash_table_lookup(s->fates, uid);
    if (f)
        return;
    f = g_new0(struct fate, 1);
    *f = (struct fate){.s = s,
                       .uid = g_strdup(uid),
                       .namespace_ = g_strdup(namespace_),
                       .name = g_strdup(name),
                       .since_ms = scheduler_now_ms(),
                       .backoff = {.first_ms = 1000, .cap_ms = 10000}};
    g_hash_table_replace(s->fates, f->uid, f);
    ask_in(f, kube_backoff_next_ms(&f->backoff));
}

void fate_start(struct scheduler *s)
{
    s->fates = g_hash_table_new_full(g_str_hash, g_str_equal, NULL, fate_free);
}

void fate_stop(struct scheduler *s)
{
    g_clear_pointer(&s->fates, g_hash_table_unref);
}
