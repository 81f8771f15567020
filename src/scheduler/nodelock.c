/* SPDX-License-Identifier: Apache-2.0
 *
 * Invariant: per node and lock at most one attempt is under way; the others queue.
 */
#include "scheduler/nodelock.h"

#include <string.h>

#include "base/json_write.h"
#include "kube/patch.h"
#include "model/annotation.h"

#define QUEUE_MAX 64
#define DSMLU_STALE_MS 120000 /* vendors.md section 3.2 */

static const struct {
    const char *key;
    bool named;        /* says who holds it */
    uint32_t stale_ms; /* 0 = --node-lock-timeout */
} kinds[NODE_LOCKS] = {
    [NODE_LOCK_DSMLU] = {annotation_dsmlu_lock, false, DSMLU_STALE_MS},
    [NODE_LOCK_MUTEX] = {annotation_mutex_lock, true, 0},
};

struct taker {
    char *namespace_, *pod;
    void (*done)(const char *error, void *data);
    void *data;
    int64_t deadline_ms;
};

struct nodelock {
    struct scheduler *s;
    char *node;
    enum node_lock kind;
    GQueue takers; /* the head is trying */
    bool busy;     /* with a call: writing, or asking whether the holder exists */
    char *tried;   /* the version that the write under way was based on */
    char *draft;   /* what it says */
    char *text;    /* what was written last, and for whom */
    char *holder;
    char *asked; /* the lock whose holder was looked up, and whether it is gone */
    bool gone;
    char *seen; /* the lock's text, and since when it has been that */
    int64_t seen_ms;
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
    g_free(l->draft);
    g_free(l->text);
    g_free(l->holder);
    g_free(l->asked);
    g_free(l->seen);
    g_free(l->node);
    g_free(l);
}

static struct nodelock *lock_of(const struct scheduler *s, const char *node, enum node_lock kind)
{
    return g_hash_table_lookup(s->locking[kind], node);
}

static uint32_t stale_ms(const struct nodelock *l)
{
    return kinds[l->kind].stale_ms ? kinds[l->kind].stale_ms : l->s->o.lock_timeout_ms;
}

/* ---- what a lock's text says ------------------------------------------------ */

/* What is left of the time by its own clock, and at most what is left since we saw it first: whoever
 * wrote it may have a clock that is ahead, and ours may have been set back. */
static int64_t left_ms(struct nodelock *l, const char *text, GDateTime *since)
{
    int64_t stale = stale_ms(l), now = scheduler_now_ms();
    int64_t age = (g_get_real_time() / G_USEC_PER_SEC - g_date_time_to_unix(since)) * 1000;
    if (g_strcmp0(l->seen, text) != 0) {
        g_free(l->seen);
        l->seen = g_strdup(text);
        l->seen_ms = now;
    }
    return MAX(MIN(stale - age, l->seen_ms + stale - now), 0);
}

/* Milliseconds for which a text keeps this pod out, 0 = it does not. One that
 * nobody could have written, or that has run out, keeps nobody out
 * (scheduler.md, S8). ret_holder: "<namespace>,<pod>" within text, NULL = not said. */
static int64_t held_for(struct nodelock *l, const char *text, const struct taker *t, const char **ret_holder)
{
    g_auto(GStrv) parts = g_strsplit(text ? text : "", ",", 4);
    guint n = g_strv_length(parts);
    g_autoptr(GTimeZone) utc = g_time_zone_new_utc();
    g_autoptr(GDateTime) since = n ? g_date_time_new_from_iso8601(parts[0], utc) : NULL;
    g_autofree char *us = g_strdup_printf("%s,%s", t->namespace_, t->pod);
    const char *comma = text ? strchr(text, ',') : NULL;
    *ret_holder = n == 3 && comma ? comma + 1 : NULL;
    if (!since || (n != 1 && n != 3))
        return 0;
    if (*ret_holder ? strcmp(*ret_holder, us) == 0
                    : g_strcmp0(text, l->text) == 0 && g_strcmp0(l->holder, us) == 0)
        return 0;
    return left_ms(l, text, since);
}

/* ---- waiting ------------------------------------------------------------------ */

static void attempt(struct nodelock *l);

static void finish(struct nodelock *l, const char *error)
{
    struct taker *t = g_queue_pop_head(&l->takers);
    g_clear_handle_id(&l->timer, g_source_remove);
    t->done(error, t->data);
    taker_free(t);
    attempt(l);
}

/* As the reference writes it: 2m0s, 1h0m0s, 300ms. Caller frees. */
static char *duration(uint32_t ms)
{
    uint32_t s = ms / 1000;
    if (ms < 1000)
        return g_strdup_printf("%ums", ms);
    return s >= 3600 ? g_strdup_printf("%uh%um%us", s / 3600, s / 60 % 60, s % 60)
           : s >= 60 ? g_strdup_printf("%um%us", s / 60, s % 60)
                     : g_strdup_printf("%us", s);
}

static gboolean time_is_up(gpointer data)
{
    struct nodelock *l = data;
    struct taker *t = g_queue_peek_head(&l->takers);
    g_autofree char *age = duration(stale_ms(l));
    g_autofree char *why =
        g_strdup_printf("node lock contention: node %s has been locked within %s", l->node, age);
    l->timer = 0;
    if (l->busy || !t)
        return G_SOURCE_REMOVE;
    if (t->deadline_ms <= scheduler_now_ms())
        finish(l, why);
    else
        attempt(l);
    return G_SOURCE_REMOVE;
}

/* Until the taker's deadline, or until the lock runs out if that is earlier. */
static void wait(struct nodelock *l, const struct taker *t, int64_t runs_out_ms)
{
    int64_t left = MIN(t->deadline_ms - scheduler_now_ms(), runs_out_ms);
    if (!l->timer)
        l->timer = g_timeout_add((guint)CLAMP(left, 0, G_MAXINT), time_is_up, l);
}

/* ---- a holder that is no more -------------------------------------------------- */

static void looked_up(GObject *source, GAsyncResult *result, gpointer data)
{
    struct nodelock *l = data;
    g_autoptr(GError) error = NULL;
    g_autoptr(GBytes) answer = kube_request_finish(result, NULL, &error);
    (void)source;
    l->busy = false;
    l->gone = !answer && kube_error_status(error) == 404;
    attempt(l);
}

/* True when the answer is awaited. holder: "<namespace>,<pod>". */
static bool look_up(struct nodelock *l, const char *text, const char *holder)
{
    if (g_strcmp0(l->asked, text) == 0)
        return false;
    g_auto(GStrv) parts = g_strsplit(holder, ",", 2);
    g_autofree char *path = kube_path("api", "v1", "namespaces", parts[0], "pods", parts[1], NULL);
    struct kube_request request = {.method = "GET", .path = path, .repeatable = true};
    g_free(l->asked);
    l->asked = g_strdup(text);
    l->gone = false;
    l->busy = true;
    kube_request_async(l->s->client, &request, NULL, looked_up, l);
    return true;
}

/* ---- taking -------------------------------------------------------------------- */

static void take_over(struct nodelock *l)
{
    const struct taker *t = g_queue_peek_head(&l->takers);
    g_free(l->text);
    g_free(l->holder);
    l->text = g_steal_pointer(&l->draft);
    l->holder = g_strdup_printf("%s,%s", t->namespace_, t->pod);
}

static void wrote(GObject *source, GAsyncResult *result, gpointer data)
{
    struct nodelock *l = data;
    g_autoptr(GError) error = NULL;
    g_autoptr(GBytes) answer = kube_request_finish(result, NULL, &error);
    (void)source;
    l->busy = false;
    if (!g_error_matches(error, KUBE_ERROR, KUBE_ERROR_CONFLICT)) {
        const struct taker *t = g_queue_peek_head(&l->takers);
        take_over(l); /* an answer that was lost may have been a yes */
        if (!answer && kube_error_status(error) / 100 != 4)
            nodelock_release(l->s, l->node, l->kind, t->namespace_, t->pod);
        finish(l, answer ? NULL : error->message);
    } else if (g_strcmp0(l->tried, nodes_version_of(l->s, l->node)) != 0) {
        attempt(l);
    } else { /* the node has changed: its event brings us back */
        wait(l, g_queue_peek_head(&l->takers), G_MAXINT);
    }
}

static void write_lock(struct nodelock *l, const struct taker *t, const char *version)
{
    g_autoptr(GDateTime) now = g_date_time_new_now_utc();
    g_autofree char *time = g_date_time_format(now, "%Y-%m-%dT%H:%M:%SZ");
    g_free(l->draft);
    l->draft =
        kinds[l->kind].named ? g_strdup_printf("%s,%s,%s", time, t->namespace_, t->pod) : g_strdup(time);
    struct kube_annotation a = {kinds[l->kind].key, l->draft};
    struct kube_target target = {NULL, l->node, NULL, version};
    l->busy = true;
    g_free(l->tried);
    l->tried = g_strdup(version);
    kube_patch_async(l->s->client, &target, &a, NULL, wrote, l);
}

static void attempt(struct nodelock *l)
{
    struct taker *t = g_queue_peek_head(&l->takers);
    const char *version = t ? nodes_version_of(l->s, l->node) : NULL, *holder;
    if (!t || l->busy)
        return;
    if (!version) {
        finish(l, "the node is gone");
        return;
    }
    const char *text = nodes_lock_of(l->s, l->node, l->kind);
    int64_t held = held_for(l, text, t, &holder);
    if (held && holder && look_up(l, text, holder))
        return;
    if (held && !(holder && l->gone))
        wait(l, t, held);
    else
        write_lock(l, t, version);
}

void nodelock_take(struct scheduler *s, const char *node, enum node_lock kind, const char *namespace_,
                   const char *pod, void (*done)(const char *error, void *data), void *data)
{
    struct nodelock *l = lock_of(s, node, kind);
    if (!l) {
        l = g_new0(struct nodelock, 1);
        l->s = s;
        l->node = g_strdup(node);
        l->kind = kind;
        g_queue_init(&l->takers);
        g_hash_table_insert(s->locking[kind], l->node, l);
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
    for (int kind = 0; kind < NODE_LOCKS; kind++) {
        struct nodelock *l = lock_of(s, node, (enum node_lock)kind);
        if (l)
            attempt(l);
    }
}

void nodelock_pod_gone(struct scheduler *s, const char *node)
{
    struct nodelock *l = lock_of(s, node, NODE_LOCK_MUTEX);
    if (!l)
        return;
    g_clear_pointer(&l->asked, g_free);
    attempt(l);
}

/* ---- giving back ------------------------------------------------------------------ */

static void released(GObject *source, GAsyncResult *result, gpointer data)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GBytes) answer = kube_request_finish(result, NULL, &error);
    (void)source, (void)data;
    /* 422: it is not that text any more, so not ours. */
    if (!answer && kube_error_status(error) != 422)
        log_line(LOG_WARN, "lock-release-failed", "why", error->message, NULL);
}

/* The key as a JSON pointer needs it: RFC 6901. */
static char *pointer_of(const char *key)
{
    GString *s = g_string_new(key);
    g_string_replace(s, "~", "~0", 0);
    g_string_replace(s, "/", "~1", 0);
    return g_string_free(s, FALSE);
}

/* The API server compares: what another has written in the meantime stays. */
void nodelock_release(struct scheduler *s, const char *node, enum node_lock kind, const char *namespace_,
                      const char *pod)
{
    const struct nodelock *l = lock_of(s, node, kind);
    g_autofree char *us = g_strdup_printf("%s,%s", namespace_, pod);
    if (!l || !l->text || g_strcmp0(l->holder, us) != 0)
        return;
    g_autofree char *pointer = pointer_of(kinds[kind].key);
    g_autofree char *path = kube_path("api", "v1", "nodes", node, NULL);
    g_autoptr(GString) body = g_string_new("");
    g_string_append_printf(body,
                           "[{\"op\":\"test\",\"path\":\"/metadata/annotations/%s\",\"value\":", pointer);
    json_write_string(body, l->text);
    g_string_append_printf(body, "},{\"op\":\"remove\",\"path\":\"/metadata/annotations/%s\"}]", pointer);
    struct kube_request request = {.method = "PATCH",
                                   .path = path,
                                   .content_type = KUBE_JSON_PATCH,
                                   .body = body->str,
                                   .body_len = body->len,
                                   .repeatable = true};
    kube_request_async(s->client, &request, NULL, released, NULL);
}

void nodelock_free(struct scheduler *s)
{
    for (int kind = 0; kind < NODE_LOCKS; kind++) {
        GHashTableIter i;
        gpointer value;
        if (!s->locking[kind])
            continue;
        g_hash_table_iter_init(&i, s->locking[kind]);
        while (g_hash_table_iter_next(&i, NULL, &value))
            nodelock_destroy(value);
        g_clear_pointer(&s->locking[kind], g_hash_table_unref);
    }
}
