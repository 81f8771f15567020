/* SPDX-License-Identifier: Apache-2.0
 *
 * Invariant: per node at most one attempt is under way; the others queue.
 */
#include "scheduler/nodelock.h"

#include <string.h>

#include "kube/body.h"
#include "model/annotation.h"

#define KEY annotation_mutex_lock
#define QUEUE_MAX 64

struct taker {
    char *namespace_, *pod;
    void (*done)(const char *error, void *data);
    void *data;
    int64_t deadline_ms;
};

struct nodelock {
    struct scheduler *s;
    char *node;
    GQueue takers; /* the head is trying */
    bool writing;
    char *tried; /* the version that the write under way was based on */
    guint timer;
};

static void taker_free(struct taker *t)
{
    g_free(t->namespace_);
    g_free(t->pod);
    g_free(t);
}

static void nodelock_destroy(gpointer data)
{
    struct nodelock *l = data;
    struct taker *t;
    while ((t = g_queue_pop_head(&l->takers))) {
        t->done("the scheduler stops", t->data);
        taker_free(t);
    }
    g_clear_handle_id(&l->timer, g_source_remove);
    g_free(l->tried);
    g_free(l->node);
    g_free(l);
}

static void attempt(struct nodelock *l);

static void finish(struct nodelock *l, const char *error)
{
    struct taker *t = g_queue_pop_head(&l->takers);
    g_clear_handle_id(&l->timer, g_source_remove);
    t->done(error, t->data);
    taker_free(t);
    attempt(l);
}

/* Whether a lock's text keeps this pod out. A text that nobody could have
 * written, or one that has run out, keeps nobody out (scheduler.md, S8). */
static bool is_held(const struct nodelock *l, const char *text, const struct taker *t)
{
    g_auto(GStrv) parts = g_strsplit(text ? text : "", ",", 4);
    guint n = g_strv_length(parts);
    g_autoptr(GTimeZone) utc = g_time_zone_new_utc();
    g_autoptr(GDateTime) since = n ? g_date_time_new_from_iso8601(parts[0], utc) : NULL;
    if (!since || (n != 1 && n != 3))
        return false;
    if (n == 3 && strcmp(parts[1], t->namespace_) == 0 && strcmp(parts[2], t->pod) == 0)
        return false;
    int64_t age_ms = (g_get_real_time() / G_USEC_PER_SEC - g_date_time_to_unix(since)) * 1000;
    return age_ms < (int64_t)l->s->o.lock_timeout_ms;
}

static gboolean too_late(gpointer data)
{
    struct nodelock *l = data;
    struct taker *t = g_queue_peek_head(&l->takers);
    g_autofree char *why = g_strdup_printf("node lock contention: node %s has been locked within %u ms",
                                           l->node, l->s->o.lock_timeout_ms);
    l->timer = 0;
    if (t && !l->writing)
        finish(l, why);
    return G_SOURCE_REMOVE;
}

static void wait(struct nodelock *l, const struct taker *t)
{
    int64_t left = t->deadline_ms - scheduler_now_ms();
    if (!l->timer)
        l->timer = g_timeout_add((guint)CLAMP(left, 0, G_MAXINT), too_late, l);
}

static void wrote(GObject *source, GAsyncResult *result, gpointer data)
{
    struct nodelock *l = data;
    g_autoptr(GError) error = NULL;
    g_autoptr(GBytes) answer = kube_request_finish(result, NULL, &error);
    (void)source;
    l->writing = false;
    if (answer) {
        finish(l, NULL);
    } else if (g_error_matches(error, KUBE_ERROR, KUBE_ERROR_CONFLICT)) {
        /* The node changed. Its event brings us back, unless it was here already. */
        if (g_strcmp0(l->tried, nodes_version_of(l->s, l->node)) != 0)
            attempt(l);
        else
            wait(l, g_queue_peek_head(&l->takers));
    } else {
        finish(l, error->message);
    }
}

static void attempt(struct nodelock *l)
{
    struct taker *t = g_queue_peek_head(&l->takers);
    const char *version = t ? nodes_version_of(l->s, l->node) : NULL;
    if (!t || l->writing)
        return;
    if (!version) {
        finish(l, "the node is gone");
        return;
    }
    if (is_held(l, nodes_lock_of(l->s, l->node), t)) {
        wait(l, t);
        return;
    }
    g_autoptr(GDateTime) now = g_date_time_new_now_utc();
    g_autofree char *time = g_date_time_format(now, "%Y-%m-%dT%H:%M:%SZ");
    g_autofree char *value = g_strdup_printf("%s,%s,%s", time, t->namespace_, t->pod);
    struct kube_annotation a = {KEY, value};
    struct kube_target target = {NULL, l->node, NULL, version};
    g_autofree char *body = kube_body_annotate(&target, &a, 1, NULL, 0, NULL);
    g_autofree char *path = kube_path("api", "v1", "nodes", l->node, NULL);
    struct kube_request request = {.method = "PATCH",
                                   .path = path,
                                   .content_type = KUBE_MERGE_PATCH,
                                   .body = body,
                                   .body_len = body ? strlen(body) : 0};
    l->writing = true;
    g_free(l->tried);
    l->tried = g_strdup(version);
    kube_request_async(l->s->client, &request, NULL, wrote, l);
}

void nodelock_take(struct scheduler *s, const char *node, const char *namespace_, const char *pod,
                   void (*done)(const char *error, void *data), void *data)
{
    struct nodelock *l = g_hash_table_lookup(s->locking, node);
    if (!l) {
        l = g_new0(struct nodelock, 1);
        l->s = s;
        l->node = g_strdup(node);
        g_queue_init(&l->takers);
        g_hash_table_insert(s->locking, l->node, l);
    }
    if (l->takers.length >= QUEUE_MAX) {
        done("node lock contention: too many pods wait for the node", data);
        return;
    }
    struct taker *t = g_new0(struct taker, 1);
    *t = (struct taker){g_strdup(namespace_), g_strdup(pod), done, data,
                        scheduler_now_ms() + s->o.lock_retry_ms};
    g_queue_push_tail(&l->takers, t);
    if (l->takers.length == 1)
        attempt(l);
}

void nodelock_changed(struct scheduler *s, const char *node)
{
    struct nodelock *l = g_hash_table_lookup(s->locking, node);
    if (l)
        attempt(l);
}

static void released(GObject *source, GAsyncResult *result, gpointer data)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GBytes) answer = kube_request_finish(result, NULL, &error);
    (void)source, (void)data;
    if (!answer)
        log_line(LOG_WARN, "lock-release-failed", "why", error->message, NULL);
}

void nodelock_release(struct scheduler *s, const char *node, const char *namespace_, const char *pod)
{
    const char *text = nodes_lock_of(s, node);
    g_autofree char *suffix = g_strdup_printf(",%s,%s", namespace_, pod);
    struct kube_annotation a = {KEY, NULL};
    struct kube_target target = {NULL, node, NULL, NULL};
    /* Our own write may not have come back yet: no text is taken for ours. */
    if (text && !g_str_has_suffix(text, suffix))
        return;
    g_autofree char *body = kube_body_annotate(&target, &a, 1, NULL, 0, NULL);
    g_autofree char *path = kube_path("api", "v1", "nodes", node, NULL);
    struct kube_request request = {.method = "PATCH",
                                   .path = path,
                                   .content_type = KUBE_MERGE_PATCH,
                                   .body = body,
                                   .body_len = body ? strlen(body) : 0,
                                   .repeatable = true};
    if (body)
        kube_request_async(s->client, &request, NULL, released, NULL);
}

void nodelock_free(struct scheduler *s)
{
    GHashTableIter i;
    gpointer value;
    if (!s->locking)
        return;
    g_hash_table_iter_init(&i, s->locking);
    while (g_hash_table_iter_next(&i, NULL, &value))
        nodelock_destroy(value);
    g_clear_pointer(&s->locking, g_hash_table_unref);
}
