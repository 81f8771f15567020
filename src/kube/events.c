/* SPDX-License-Identifier: Apache-2.0
 *
 * See events.h. An entry is one Event object: known under its key (object,
 * type, reason, message) for the window, queued when the server does not know
 * its count yet, and sent by at most `in_flight_max` requests. Keys and buckets
 * are bounded: the longest unused one goes first.
 */
#include "kube/events.h"

#include <string.h>

#include "kube/client_private.h"
#include "kube/event_body.h"

#define KNOWN_MAX 4096 /* entries, buckets; client-go's maxLruCacheEntries */

struct entry {
    unsigned references; /* table, queue, request */
    KubeEvents *events;
    struct kube_event_text text;
    char *key, *event_name; /* event_name NULL: the server has none yet */
    GList link;             /* in `used` */
    unsigned count, sent;   /* sent: the count the server knows */
    gint64 first_s, last_s, last_us;
    bool queued, flying, known;
};

struct bucket {
    char *owner; /* an object, or a namespace */
    GList link;
    gint64 full_us;
};

struct kube_events {
    unsigned references;
    bool freed;
    KubeClient *client;
    GCancellable *cancellable;
    char *component;
    struct kube_events_options options;
    GHashTable *known;   /* key -> entry */
    GQueue used;         /* entries, longest unused first */
    GHashTable *buckets; /* owner -> bucket */
    GQueue buckets_used;
    GQueue queue;
    unsigned in_flight;
    guint64 unique;
    void (*flushed)(void *data);
    void *flushed_data;
    struct kube_events_counters counters;
};

static gint64 clock_us(void)
{
    return g_get_monotonic_time();
}

static void entry_unref(struct entry *e)
{
    if (--e->references)
        return;
    kube_event_text_clear(&e->text);
    g_free(e->key);
    g_free(e->event_name);
    g_free(e);
}

static void forget(KubeEvents *events, struct entry *e)
{
    if (!e->known)
        return;
    e->known = false;
    g_queue_unlink(&events->used, &e->link);
    g_hash_table_remove(events->known, e->key);
    entry_unref(e);
}

static void forget_bucket(KubeEvents *events, struct bucket *b)
{
    g_queue_unlink(&events->buckets_used, &b->link);
    g_hash_table_remove(events->buckets, b->owner);
    g_free(b->owner);
    g_free(b);
}

static void unref(KubeEvents *events)
{
    if (--events->references)
        return;
    g_hash_table_unref(events->known);
    g_hash_table_unref(events->buckets);
    kube_client_unref(events->client);
    g_object_unref(events->cancellable);
    g_free(events->component);
    g_free(events);
}

/* Takes one of `burst` out of the bucket, which gets one back each `each_us`. False: it is empty. */
static bool take(KubeEvents *events, char *owner, guint64 burst, gint64 each_us, gint64 now_us)
{
    g_autofree char *key = owner;
    struct bucket *b = g_hash_table_lookup(events->buckets, key);
    if (!b) {
        if (g_hash_table_size(events->buckets) >= KNOWN_MAX)
            forget_bucket(events, events->buckets_used.head->data);
        b = g_new0(struct bucket, 1);
        b->owner = g_steal_pointer(&key);
        b->link.data = b;
        g_hash_table_insert(events->buckets, b->owner, b);
    } else {
        g_queue_unlink(&events->buckets_used, &b->link);
    }
    g_queue_push_tail_link(&events->buckets_used, &b->link);
    gint64 full_us = MAX(b->full_us, now_us) + each_us;
    if (full_us - now_us > each_us * (gint64)burst)
        return false;
    b->full_us = full_us;
    return true;
}

/* Whether the object may speak once more, and then its namespace: what an object has spent for nothing is
 * not charged to the others beside it. */
static bool permit(KubeEvents *events, const struct kube_object_ref *about, gint64 now_us)
{
    const struct kube_events_options *o = &events->options;
    const char *namespace = about->namespace ? about->namespace : "";
    char *object = g_strjoin("\n", about->kind ? about->kind : "", namespace, about->name ? about->name : "",
                             about->uid ? about->uid : "", NULL);
    return take(events, object, o->burst, (gint64)o->refill_s * G_USEC_PER_SEC, now_us) &&
           take(events, g_strdup(namespace), o->namespace_burst, G_USEC_PER_SEC / (gint64)o->namespace_per_s,
                now_us);
}

static void pump(KubeEvents *events);

static void enqueue(KubeEvents *events, struct entry *e)
{
    e->queued = true;
    e->references++;
    g_queue_push_tail(&events->queue, e);
}

/* What the answer means for the entry. */
static void settle(KubeEvents *events, struct entry *e, unsigned count, bool created, const GError *error)
{
    if (!error || (created && g_error_matches(error, KUBE_ERROR, KUBE_ERROR_ALREADY_EXISTS))) {
        e->sent = count;
        if (created)
            events->counters.created++;
        else
            events->counters.counted_up++;
        if (e->count > e->sent && !e->queued)
            enqueue(events, e);
    } else if (!created && g_error_matches(error, KUBE_ERROR, KUBE_ERROR_NOT_FOUND)) {
        /* The server has dropped it (an hour after it was made): a new one. */
        g_clear_pointer(&e->event_name, g_free);
        if (!e->queued)
            enqueue(events, e);
    } else {
        events->counters.failed++;
        forget(events, e);
    }
}

struct flight {
    struct entry *entry;
    unsigned count;
    bool created;
};

static void on_answer(GObject *source, GAsyncResult *result, void *data)
{
    struct flight *f = data;
    struct entry *e = f->entry;
    KubeEvents *events = e->events;
    g_autoptr(GError) error = NULL;
    (void)source;
    GBytes *body = kube_request_finish(result, NULL, &error);
    g_clear_pointer(&body, g_bytes_unref);
    e->flying = false;
    events->in_flight--;
    if (!events->freed) {
        settle(events, e, f->count, f->created, error);
        pump(events);
    }
    entry_unref(e);
    g_free(f);
    unref(events);
}

static void send_entry(KubeEvents *events, struct entry *e)
{
    struct flight *f = g_new0(struct flight, 1);
    const char *namespace = kube_event_namespace(&e->text);
    g_autofree char *body = NULL, *path = NULL;
    f->entry = e; /* takes over the queue's reference */
    f->count = e->count;
    f->created = !e->event_name;
    if (f->created) {
        e->event_name =
            kube_event_name(e->text.name, (guint64)g_get_real_time() * 1000 + events->unique++ % 1000);
        path = kube_path("api", "v1", "namespaces", namespace, "events", NULL);
        body = kube_event_create_body(&e->text, e->event_name, events->component, e->count, e->first_s,
                                      e->last_s);
    } else {
        path = kube_path("api", "v1", "namespaces", namespace, "events", e->event_name, NULL);
        body = kube_event_count_body(e->count, e->last_s, e->text.message);
    }
    e->flying = true;
    events->in_flight++;
    events->references++;
    kube_request_async(events->client,
                       &(struct kube_request){.method = f->created ? "POST" : "PATCH",
                                              .path = path,
                                              .content_type = f->created ? NULL : KUBE_MERGE_PATCH,
                                              .body = body,
                                              .body_len = strlen(body),
                                              .repeatable = true},
                       events->cancellable, on_answer, f);
}

static void pump(KubeEvents *events)
{
    while (events->in_flight < events->options.in_flight_max && events->queue.head) {
        struct entry *e = g_queue_pop_head(&events->queue);
        e->queued = false;
        send_entry(events, e);
    }
    if (events->in_flight == 0 && events->flushed) {
        void (*flushed)(void *data) = events->flushed;
        events->flushed = NULL;
        flushed(events->flushed_data);
    }
}

static struct entry *entry_new(KubeEvents *events, const struct kube_event_text *text, char *key,
                               gint64 now_us)
{
    if (g_hash_table_size(events->known) >= KNOWN_MAX)
        forget(events, events->used.head->data);
    struct entry *e = g_new0(struct entry, 1);
    e->references = 1;
    e->events = events;
    e->text = *text;
    e->key = key;
    e->link.data = e;
    e->known = true;
    e->last_us = now_us;
    e->first_s = g_get_real_time() / G_USEC_PER_SEC;
    g_hash_table_insert(events->known, e->key, e);
    g_queue_push_tail_link(&events->used, &e->link);
    return e;
}

/* The entry for the text, which is taken over; with room in the queue assured. */
static struct entry *entry_for(KubeEvents *events, struct kube_event_text *text, gint64 now_us)
{
    char *key = g_strjoin("\n", text->kind, text->namespace, text->name, text->uid, text->type, text->reason,
                          text->message, NULL);
    struct entry *e = g_hash_table_lookup(events->known, key);
    if (e && now_us - e->last_us > (gint64)events->options.window_s * G_USEC_PER_SEC) {
        forget(events, e);
        e = NULL;
    }
    if (!e)
        return entry_new(events, text, key, now_us);
    g_free(key);
    kube_event_text_clear(text);
    g_queue_unlink(&events->used, &e->link);
    g_queue_push_tail_link(&events->used, &e->link);
    e->last_us = now_us;
    return e;
}

void kube_events_emit(KubeEvents *events, const struct kube_object_ref *about, const char *type,
                      const char *reason, const char *message)
{
    gint64 now_us = events->options.now_us();
    struct kube_event_text text;
    events->counters.emitted++;
    if (g_queue_get_length(&events->queue) >= events->options.queue_max) {
        events->counters.dropped_full++;
        return;
    }
    if (!permit(events, about, now_us)) {
        events->counters.dropped_rate++;
        return;
    }
    kube_event_text_init(&text, about, type, reason, message);
    struct entry *e = entry_for(events, &text, now_us);
    e->count++;
    e->last_s = g_get_real_time() / G_USEC_PER_SEC;
    if (!e->queued && !e->flying)
        enqueue(events, e);
    pump(events);
}

void kube_events_flush_async(KubeEvents *events, void (*done)(void *data), void *data)
{
    events->flushed = done;
    events->flushed_data = data;
    pump(events);
}

struct kube_events_counters kube_events_counters(const KubeEvents *events)
{
    struct kube_events_counters c = events->counters;
    c.queued = events->queue.length;
    return c;
}

KubeEvents *kube_events_new(KubeClient *client, const struct kube_events_options *options)
{
    KubeEvents *events = g_new0(KubeEvents, 1);
    struct kube_events_options *o = &events->options;
    events->references = 1;
    events->client = kube_client_ref(client);
    events->cancellable = g_cancellable_new();
    events->component = g_strdup(options->component ? options->component : "hami");
    *o = *options;
    o->component = NULL;
    o->queue_max = o->queue_max ? o->queue_max : 1024;
    o->in_flight_max = o->in_flight_max ? o->in_flight_max : 4;
    o->burst = o->burst ? o->burst : 25;
    o->refill_s = o->refill_s ? o->refill_s : 300;
    o->namespace_burst = o->namespace_burst ? o->namespace_burst : 500;
    o->namespace_per_s = o->namespace_per_s ? o->namespace_per_s : 20;
    o->window_s = o->window_s ? o->window_s : 600;
    o->now_us = o->now_us ? o->now_us : clock_us;
    events->known = g_hash_table_new(g_str_hash, g_str_equal);
    events->buckets = g_hash_table_new(g_str_hash, g_str_equal);
    g_queue_init(&events->used);
    g_queue_init(&events->buckets_used);
    g_queue_init(&events->queue);
    return events;
}

void kube_events_free(KubeEvents *events)
{
    if (!events || events->freed)
        return;
    events->freed = true;
    events->flushed = NULL;
    g_cancellable_cancel(events->cancellable);
    while (events->queue.head)
        entry_unref(g_queue_pop_head(&events->queue));
    while (events->used.head)
        forget(events, events->used.head->data);
    while (events->buckets_used.head)
        forget_bucket(events, events->buckets_used.head->data);
    unref(events);
}
