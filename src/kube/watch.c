/* SPDX-License-Identifier: Apache-2.0
 *
 * See watch.h. One operation is under way at any time:
 *
 *     list page -> ... -> synced -> open -> read lines -> (end) open again
 *         ^                           |          |
 *         +------ 410: list anew -----+----------+
 *
 * or a wait before the one that `listing` says is next.
 */
#include "kube/watch.h"

#include <string.h>

#include "kube/client_private.h"
#include "kube/reader.h"
#include "kube/watch_parse.h"

#define PAGE_TIMEOUT_MS 60000
#define DENIED_TRIES                                                                                         \
    3 /* an API server that has just started denies everything until it has read the roles                   \
       */
#define OPEN_TIMEOUT_MS 30000
#define SHARE (256u << 10) /* bytes per turn of the main loop */
#define HEALTHY_US (5 * G_USEC_PER_SEC)
#define BUFFER_KEEP (1u << 20)

struct kube_watch {
    unsigned references;
    bool freed;
    KubeClient *client;
    struct kube_watch_vtable vtable;
    void *data;
    char *path, *label_selector, *field_selector;
    uint32_t page, page_now, min_s, max_s;

    bool started, listing;
    struct kube_page at; /* where the list or the watch has come to */
    uint64_t generation;
    struct kube_backoff backoff, relist;
    gint64 silent_us, grace_us;
    uint32_t denied; /* watches in a row that might not be watched */
    bool told;       /* of this streak of failures */
    bool gone;       /* the last failure was a 410 */

    GCancellable *cancellable;
    GSource *wait, *readable, *overdue;
    GInputStream *in;
    GByteArray *buffer;
    size_t searched; /* no newline before this */
    gint64 opened_us;
    struct kube_watch_counters counters;
};

static void next(KubeWatch *w);

static void drop_source(GSource **source)
{
    if (*source)
        g_source_destroy(*source);
    g_clear_pointer(source, g_source_unref);
}

static void unref(KubeWatch *w)
{
    if (--w->references)
        return;
    kube_client_unref(w->client);
    g_object_unref(w->cancellable);
    g_byte_array_unref(w->buffer);
    g_free(w->path);
    g_free(w->label_selector);
    g_free(w->field_selector);
    g_free(w);
}

static void close_stream(KubeWatch *w)
{
    drop_source(&w->readable);
    drop_source(&w->overdue);
    if (w->in)
        kube_reader_abandon(g_steal_pointer(&w->in));
    w->searched = 0;
    w->counters.watching = false;
    if (w->buffer->len > BUFFER_KEEP) {
        g_byte_array_unref(w->buffer);
        w->buffer = g_byte_array_new();
    }
    g_byte_array_set_size(w->buffer, 0);
}

static gboolean on_waited(void *data)
{
    KubeWatch *w = data;
    drop_source(&w->wait);
    w->references++;
    next(w);
    unref(w);
    return G_SOURCE_REMOVE;
}

static void wait_then_next(KubeWatch *w, uint32_t wait_ms)
{
    drop_source(&w->wait);
    w->wait = kube_client_timer(w->client, (gint64)wait_ms * 1000, on_waited, w);
}

static void healthy(KubeWatch *w)
{
    kube_backoff_reset(&w->backoff);
    w->told = false;
    w->gone = false;
    w->denied = 0;
}

static void list_anew(KubeWatch *w)
{
    w->listing = true;
    w->at = (struct kube_page){0};
    w->counters.synced = false;
}

/* Takes the error. */
static void failed(KubeWatch *w, GError *error)
{
    g_autoptr(GError) why = error;
    close_stream(w);
    if (w->freed)
        return;
    w->counters.failures++;
    if (g_error_matches(why, KUBE_ERROR, KUBE_ERROR_GONE)) {
        /* Part of the protocol and a sign of life, unless it comes again and again. */
        bool first = !w->gone;
        if (first)
            kube_backoff_reset(&w->backoff);
        w->gone = true;
        uint32_t wait_ms = kube_backoff_next_ms(&w->backoff);
        w->counters.expired++;
        list_anew(w);
        wait_then_next(w, first ? 0 : wait_ms);
        return;
    }
    if (g_error_matches(why, KUBE_ERROR, KUBE_ERROR_TOO_LARGE) && w->listing && w->page_now > 1) {
        w->page_now /= 2;
        wait_then_next(w, 0);
        return;
    }
    uint32_t wait_ms = MAX(kube_backoff_next_ms(&w->backoff), kube_error_retry_after_ms(why));
    if (g_error_matches(why, KUBE_ERROR, KUBE_ERROR_FORBIDDEN) && !w->listing) {
        if (w->denied < DENIED_TRIES) {
            w->denied++;
            wait_then_next(w, wait_ms);
            return;
        }
        list_anew(w); /* what changed meanwhile would never come */
        wait_ms = kube_backoff_next_ms(&w->relist);
    }
    wait_then_next(w, wait_ms);
    if (!w->told && w->vtable.error) {
        w->told = true;
        w->vtable.error(w->data, why);
    }
}

static bool give_item(const char *json, size_t len, void *data)
{
    KubeWatch *w = data;
    w->vtable.object(w->data, KUBE_ADDED, json, len);
    return !w->freed;
}

static void take_page(KubeWatch *w, GBytes *body)
{
    const char *fault = NULL;
    size_t len = 0;
    const char *json = g_bytes_get_data(body, &len);
    struct kube_page page;
    if (!kube_page_parse(json, len, give_item, w, &page, &fault)) {
        if (fault)
            failed(w, g_error_new(KUBE_ERROR, KUBE_ERROR_PROTOCOL, "GET %s: %s", w->path, fault));
        return;
    }
    w->counters.pages++;
    w->at = page;
    if (page.more[0]) {
        next(w);
        return;
    }
    w->listing = false;
    w->counters.synced = true;
    w->counters.last_event_us = g_get_monotonic_time();
    w->vtable.synced(w->data);
    if (!w->freed)
        next(w);
}

static void on_page(GObject *source, GAsyncResult *result, void *data)
{
    KubeWatch *w = data;
    GError *error = NULL;
    (void)source;
    g_autoptr(GBytes) body = kube_request_finish(result, NULL, &error);
    if (w->freed)
        g_clear_error(&error);
    else if (body)
        take_page(w, body);
    else
        failed(w, error);
    unref(w);
}

static void list_page(KubeWatch *w)
{
    g_autofree char *limit = g_strdup_printf("%u", w->page_now);
    g_autofree char *query =
        kube_query("limit", limit, "continue", w->at.more[0] ? w->at.more : NULL, "labelSelector",
                   w->label_selector, "fieldSelector", w->field_selector, NULL);
    if (!w->at.more[0]) {
        w->counters.lists++;
        w->vtable.begin(w->data, ++w->generation);
        if (w->freed)
            return;
    }
    w->references++;
    kube_request_async(w->client,
                       &(struct kube_request){
                           .method = "GET", .path = w->path, .query = query, .timeout_ms = PAGE_TIMEOUT_MS},
                       w->cancellable, on_page, w);
}

/* False when the stream is not to be read further. */
static bool take_line(KubeWatch *w, const char *line, size_t len)
{
    struct kube_frame frame;
    const char *fault = NULL;
    if (len == 0 || (len == 1 && line[0] == '\r'))
        return true;
    if (!kube_frame_parse(line, len, &frame, &fault)) {
        failed(w, g_error_new(KUBE_ERROR, KUBE_ERROR_PROTOCOL, "watch of %s: %s", w->path, fault));
        return false;
    }
    if (frame.type == KUBE_FRAME_ERROR) {
        GError *error = kube_error_from_status(frame.object, frame.len);
        g_prefix_error(&error, "watch of %s: ", w->path);
        failed(w, error);
        return false;
    }
    healthy(w);
    g_strlcpy(w->at.version, frame.version, sizeof w->at.version);
    w->counters.last_event_us = g_get_monotonic_time();
    if (frame.type == KUBE_FRAME_BOOKMARK) {
        w->counters.bookmarks++;
        return true;
    }
    w->counters.events++;
    w->vtable.object(w->data, (enum kube_event)frame.type, frame.object, frame.len);
    return !w->freed;
}

static bool take_lines(KubeWatch *w)
{
    const char *text = (const char *)w->buffer->data;
    size_t done = 0, len = w->buffer->len;
    for (;;) {
        const char *newline = memchr(text + MAX(done, w->searched), '\n', len - MAX(done, w->searched));
        if (!newline)
            break;
        size_t end = (size_t)(newline - text);
        if (!take_line(w, text + done, end - done))
            return false;
        done = end + 1;
    }
    if (done)
        g_byte_array_remove_range(w->buffer, 0, (guint)done);
    w->searched = w->buffer->len;
    if (w->buffer->len == 0 && done > BUFFER_KEEP) {
        g_byte_array_unref(w->buffer);
        w->buffer = g_byte_array_new();
    }
    return true;
}

/* The stream has ended in order. */
static void ended(KubeWatch *w)
{
    gint64 open_us = g_get_monotonic_time() - w->opened_us;
    bool rest = w->buffer->len > 0;
    if (rest) {
        /* A whole event whose newline is missing counts; half of one does not. */
        const char *fault = NULL;
        struct kube_frame frame;
        if (!kube_frame_parse((const char *)w->buffer->data, w->buffer->len, &frame, &fault)) {
            failed(w, g_error_new(KUBE_ERROR, KUBE_ERROR_UNAVAILABLE,
                                  "watch of %s: it broke off within an event", w->path));
            return;
        }
        if (!take_line(w, (const char *)w->buffer->data, w->buffer->len))
            return;
    }
    bool fruitful = w->backoff.failures == 0 && open_us >= G_USEC_PER_SEC;
    close_stream(w);
    if (open_us >= HEALTHY_US)
        healthy(w);
    if (fruitful || open_us >= HEALTHY_US)
        next(w);
    else
        wait_then_next(w, kube_backoff_next_ms(&w->backoff));
}

static gboolean on_readable(GObject *stream, void *data);
static gboolean on_socket(int fd, GIOCondition condition, void *data);
static gboolean on_more(void *data);

static void wait_for_more(KubeWatch *w)
{
    if (w->readable) /* on_socket() goes on */
        return;
    w->readable = kube_reader_watch(w->in, w->client->context, on_socket, w);
    if (!w->readable)
        w->readable = kube_reader_wait(w->in, NULL, w->client->context, on_readable, w);
}

/* The caller holds a reference. */
static void read_stream(KubeWatch *w)
{
    GError *error = NULL;
    enum kube_reader state = kube_reader_fill(w->in, w->buffer, KUBE_OBJECT_MAX + SHARE, SHARE, &error);
    if (!take_lines(w)) {
        g_clear_error(&error);
    } else if (state == KUBE_READER_END) {
        ended(w);
    } else if (state == KUBE_READER_FAILED) {
        failed(w,
               g_error_new(KUBE_ERROR, KUBE_ERROR_UNAVAILABLE, "watch of %s: %s", w->path, error->message));
        g_clear_error(&error);
    } else if (state == KUBE_READER_FULL || w->buffer->len > KUBE_OBJECT_MAX) {
        failed(w, g_error_new(KUBE_ERROR, KUBE_ERROR_TOO_LARGE, "watch of %s: an event of more than %u bytes",
                              w->path, KUBE_OBJECT_MAX));
    } else if (state == KUBE_READER_MORE) {
        drop_source(&w->readable);
        w->readable = kube_client_timer(w->client, 0, on_more, w);
    } else {
        wait_for_more(w);
    }
}

static gboolean on_more(void *data)
{
    KubeWatch *w = data;
    drop_source(&w->readable);
    w->references++;
    read_stream(w);
    unref(w);
    return G_SOURCE_REMOVE;
}

static gboolean on_readable(GObject *stream, void *data)
{
    (void)stream;
    return on_more(data);
}

static gboolean on_socket(int fd, GIOCondition condition, void *data)
{
    KubeWatch *w = data;
    (void)fd, (void)condition;
    w->references++;
    read_stream(w); /* drops the source unless there is more to wait for */
    unref(w);
    return G_SOURCE_CONTINUE; /* of one that was destroyed nothing comes */
}

/* When nothing is known of the server any more: it did not end the watch in time, or has been silent too
 * long. */
static gint64 due_us(const KubeWatch *w)
{
    gint64 end_us = w->opened_us + (gint64)w->max_s * G_USEC_PER_SEC + w->grace_us;
    return MIN(end_us, MAX(w->opened_us, w->counters.last_event_us) + w->silent_us);
}

static gboolean on_overdue(void *data)
{
    KubeWatch *w = data;
    gint64 left_us = due_us(w) - g_get_monotonic_time();
    drop_source(&w->overdue);
    if (left_us > 0) {
        w->overdue = kube_client_timer(w->client, left_us, on_overdue, w);
        return G_SOURCE_REMOVE;
    }
    w->counters.overdue++;
    close_stream(w);
    next(w);
    return G_SOURCE_REMOVE;
}

static void on_open(GObject *source, GAsyncResult *result, void *data)
{
    KubeWatch *w = data;
    GError *error = NULL;
    (void)source;
    GInputStream *in = kube_stream_finish(result, &error);
    if (w->freed) {
        g_clear_error(&error);
        if (in)
            kube_reader_abandon(in);
    } else if (!in) {
        failed(w, error);
    } else {
        w->in = in;
        w->opened_us = g_get_monotonic_time();
        w->counters.watching = true;
        w->readable = kube_client_timer(w->client, 0, on_more, w);
        w->overdue = kube_client_timer(w->client, due_us(w) - w->opened_us, on_overdue, w);
    }
    unref(w);
}

static void open_watch(KubeWatch *w)
{
    uint32_t span = w->max_s - w->min_s + 1;
    kube_jitter jitter = w->backoff.jitter ? w->backoff.jitter : kube_jitter_random;
    g_autofree char *seconds = g_strdup_printf("%u", w->min_s + jitter(span, w->backoff.jitter_data));
    g_autofree char *query = kube_query("watch", "1", "allowWatchBookmarks", "true", "resourceVersion",
                                        w->at.version, "timeoutSeconds", seconds, "labelSelector",
                                        w->label_selector, "fieldSelector", w->field_selector, NULL);
    w->counters.watches++;
    w->references++;
    kube_stream_async(w->client,
                      &(struct kube_request){
                          .method = "GET", .path = w->path, .query = query, .timeout_ms = OPEN_TIMEOUT_MS},
                      w->cancellable, on_open, w);
}

static void next(KubeWatch *w)
{
    if (w->listing)
        list_page(w);
    else
        open_watch(w);
}

KubeWatch *kube_watch_new(KubeClient *client, const struct kube_watch_options *o,
                          const struct kube_watch_vtable *vtable, void *data)
{
    KubeWatch *w = g_new0(KubeWatch, 1);
    w->references = 1;
    w->client = kube_client_ref(client);
    w->vtable = *vtable;
    w->data = data;
    w->path = g_strdup(o->path);
    w->label_selector = g_strdup(o->label_selector);
    w->field_selector = g_strdup(o->field_selector);
    w->page = w->page_now = o->page ? o->page : 500;
    w->min_s = o->watch_min_s ? o->watch_min_s : 300;
    w->max_s = MAX(o->watch_max_s ? o->watch_max_s : 600, w->min_s);
    w->backoff = (struct kube_backoff){.first_ms = o->backoff_first_ms ? o->backoff_first_ms : 500,
                                       .cap_ms = o->backoff_cap_ms ? o->backoff_cap_ms : 10000,
                                       .jitter = client->options.jitter,
                                       .jitter_data = client->options.jitter_data};
    w->relist = w->backoff;
    w->relist.first_ms = w->relist.cap_ms = o->relist_ms ? o->relist_ms : 15000;
    w->silent_us = (gint64)(o->silent_ms ? o->silent_ms : 150000) * 1000;
    w->grace_us = (gint64)(o->grace_ms ? o->grace_ms : 60000) * 1000;
    w->cancellable = g_cancellable_new();
    w->buffer = g_byte_array_new();
    return w;
}

void kube_watch_start(KubeWatch *w)
{
    if (w->started)
        return;
    w->started = true;
    list_anew(w);
    wait_then_next(w, 0);
}

void kube_watch_free(KubeWatch *w)
{
    if (!w || w->freed)
        return;
    w->freed = true;
    drop_source(&w->wait);
    drop_source(&w->readable);
    drop_source(&w->overdue);
    if (w->in)
        kube_reader_abandon(g_steal_pointer(&w->in));
    g_cancellable_cancel(w->cancellable);
    unref(w);
}

struct kube_watch_counters kube_watch_counters(const KubeWatch *w)
{
    return w->counters;
}
