/* SPDX-License-Identifier: Apache-2.0
 *
 * WATCH: a stream that reads the log of its kind from a position on. A reader
 * too slow for the log's length is told 410 like one that comes too late.
 *
 * Invariants:
 *   1. Without faults every change after the asked revision arrives once, in
 *      order, seen through the selector: what comes into it is ADDED, what
 *      leaves it is DELETED.
 *   2. A bookmark never names a revision whose changes were not sent.
 */
#include <string.h>

#include "api.h"
#include "selector.h"

#define HOLD_NS 200000000u /* a reordered event waits so long for one to come after it */
#define LIST_STEP 200u

struct watch {
    struct api *api;
    Connection *connection;
    struct counter *counter;
    enum resource kind;
    struct selector selector;
    char *prefix;
    uint64_t position, sent_rv, bookmarked_rv, reader;
    bool bookmarks;
    /* The state at the beginning, when no revision was asked for. */
    bool listing;
    uint64_t list_rv;
    char *list_after;
    GString *out;
    GString *held; /* frame that the next one overtakes */
    bool release, ending, cut, expired, bookmark_wanted;
    void *bookmark_timer, *end_timer, *hold_timer;
};

static void frame_begin(const char *type, GString *out)
{
    g_string_append_printf(out, "{\"type\":\"%s\",\"object\":", type);
}

static void append_error(const struct watch *w, GString *out)
{
    frame_begin("ERROR", out);
    g_autofree char *message =
        g_strdup_printf("too old resource version: %" G_GUINT64_FORMAT " (%" G_GUINT64_FORMAT ")", w->sent_rv,
                        store_compacted(w->api->store, w->kind));
    api_append_failure(410, "Expired", message, out);
    g_string_append(out, "}\n");
}

static void append_bookmark(struct watch *w, GString *out)
{
    frame_begin("BOOKMARK", out);
    api_append_kind(w->kind, "", out);
    g_string_append_printf(
        out, "\"metadata\":{\"resourceVersion\":\"%" G_GUINT64_FORMAT "\",\"creationTimestamp\":null}}}\n",
        w->sent_rv);
    w->bookmarked_rv = w->sent_rv;
}

static void append_object(const struct watch *w, const char *type, const struct version *v, GString *out)
{
    frame_begin(type, out);
    api_append_version(w->api, w->kind, v, out);
    g_string_append(out, "}\n");
}

static bool selects(const struct watch *w, const struct version *v)
{
    if (!v || !w->selector.terms)
        return v != NULL;
    json_t *object = version_parse(w->api->store, w->kind, v);
    bool result = selector_matches(&w->selector, object);
    json_decref(object);
    return result;
}

/* What the change is to this reader; NULL when it is nothing. */
static const char *type_of(const struct watch *w, const struct change_event *e)
{
    static const char *const types[] = {"ADDED", "MODIFIED", "DELETED"};
    if (!g_str_has_prefix(e->key, w->prefix))
        return NULL;
    if (!w->selector.terms)
        return types[e->what];
    bool before = selects(w, e->was), after = e->what != CHANGE_DELETED && selects(w, e->now);
    return before && after ? "MODIFIED" : after ? "ADDED" : before ? "DELETED" : NULL;
}

static void release_held(void *user)
{
    struct watch *w = user;
    w->hold_timer = NULL;
    w->release = true;
    serve_wake(w->connection);
}

static void hold(struct watch *w, GString *frame)
{
    w->held = g_string_new_len(frame->str, (gssize)frame->len);
    w->hold_timer = serve_after(w->api->server, HOLD_NS, release_held, w);
}

static void append_held(struct watch *w, GString *out)
{
    if (!w->held)
        return;
    g_string_append_len(out, w->held->str, (gssize)w->held->len);
    g_string_free(g_steal_pointer(&w->held), TRUE);
    serve_cancel(w->api->server, g_steal_pointer(&w->hold_timer));
    w->release = false;
}

/* One change; false when the stream is to be cut here. */
static bool append_change(struct watch *w, const struct change_event *e, GString *out)
{
    const char *type = type_of(w, e);
    enum disturbance d = type ? faults_event(&w->api->faults, w->kind, e->rv, w->reader) : DISTURB_NONE;
    if (d == DISTURB_CUT)
        return false;
    w->position++;
    w->sent_rv = e->rv;
    if (!type || d == DISTURB_DROP)
        return true;
    gsize at = out->len;
    append_object(w, type, e->now, out);
    w->api->events_sent++;
    if (d == DISTURB_DUPLICATE) {
        append_object(w, type, e->now, out);
    } else if (d == DISTURB_REORDER && !w->held) {
        g_autoptr(GString) frame = g_string_new_len(out->str + at, (gssize)(out->len - at));
        g_string_truncate(out, at);
        hold(w, frame);
    } else {
        append_held(w, out);
    }
    return true;
}

static bool visit(void *user, const char *key, const struct version *v)
{
    struct watch *w = user;
    g_free(w->list_after);
    w->list_after = g_strdup(key);
    if (!selects(w, v))
        return false;
    append_object(w, "ADDED", v, w->out);
    return true;
}

static enum pull pull_list(struct watch *w, GString *out)
{
    bool more;
    w->out = out;
    if (!store_snapshot(w->api->store, w->kind, w->prefix, w->list_after, w->list_rv, LIST_STEP, visit, w,
                        &more) ||
        (!more && !store_position(w->api->store, w->kind, w->list_rv, &w->position))) {
        append_error(w, out);
        return PULL_END;
    }
    w->listing = more;
    return PULL_MORE;
}

static enum pull pull(void *user, GString *out)
{
    struct watch *w = user;
    bool lost = false;
    const struct change_event *e;
    gsize before = out->len;
    if (w->cut)
        return PULL_BREAK;
    if (w->listing)
        return pull_list(w, out);
    while (!w->expired && out->len < (64u << 10) &&
           (e = store_event(w->api->store, w->kind, w->position, &lost)))
        if (!append_change(w, e, out))
            return PULL_BREAK;
    if (w->counter)
        w->counter->bytes_out += out->len - before;
    if (lost || w->expired) {
        append_held(w, out);
        append_error(w, out);
        return PULL_END;
    }
    if (out->len >= (64u << 10))
        return PULL_MORE;
    if (w->release || w->ending)
        append_held(w, out);
    if (!w->held) /* all sent: also what other kinds did since is known */
        w->sent_rv = MAX(w->sent_rv, store_revision(w->api->store));
    if (w->ending) {
        if (w->bookmarks)
            append_bookmark(w, out);
        return PULL_END;
    }
    return PULL_IDLE;
}

static void bookmark_due(void *user)
{
    struct watch *w = user;
    w->bookmark_timer = serve_after(w->api->server, w->api->bookmark_ns, bookmark_due, w);
    w->bookmark_wanted = true;
    serve_wake(w->connection);
}

/* A bookmark goes out only behind everything else. */
static enum pull pull_with_bookmarks(void *user, GString *out)
{
    struct watch *w = user;
    enum pull result = pull(user, out);
    if (result == PULL_IDLE && w->bookmark_wanted && !w->held) {
        if (w->sent_rv > w->bookmarked_rv)
            append_bookmark(w, out);
        w->bookmark_wanted = false;
    }
    return result;
}

static void end_due(void *user)
{
    struct watch *w = user;
    w->end_timer = NULL;
    w->ending = true;
    serve_wake(w->connection);
}

static void watch_free(void *user)
{
    struct watch *w = user;
    g_hash_table_remove(w->api->watches, w);
    serve_cancel(w->api->server, w->bookmark_timer);
    serve_cancel(w->api->server, w->end_timer);
    serve_cancel(w->api->server, w->hold_timer);
    selector_clear(&w->selector);
    if (w->held)
        g_string_free(w->held, TRUE);
    g_free(w->prefix);
    g_free(w->list_after);
    g_free(w);
}

/* Where the stream begins; false when replied. */
static bool begin(struct api *api, struct request *r, const struct target *t, struct watch *w)
{
    uint64_t rv;
    if (!read_revision(api, r, t, &rv))
        return false;
    w->list_rv = store_revision(api->store);
    w->listing = rv == 0;
    w->sent_rv = w->bookmarked_rv = rv ? rv : w->list_rv;
    w->expired = rv && !store_position(api->store, t->kind, rv, &w->position);
    return true;
}

void watch_start(struct api *api, struct request *r, const struct target *t)
{
    guint64 seconds = 0;
    if (target_flag(t, "sendInitialEvents")) {
        api_fail(api, r, 422, "Invalid",
                 "sendInitialEvents: Forbidden: sendInitialEvents is forbidden for watch unless the "
                 "WatchList feature gate is enabled");
        return;
    }
    struct watch *w = g_new0(struct watch, 1);
    w->api = api;
    w->connection = r->connection;
    w->counter = api->counting;
    w->kind = t->kind;
    w->reader = hash_text(api->faults.seed, r->agent);
    w->prefix = *t->namespace ? g_strdup_printf("%s/", t->namespace) : g_strdup("");
    w->bookmarks = target_flag(t, "allowWatchBookmarks");
    if (!selector_parse(&w->selector, target_query(t, "labelSelector"), target_query(t, "fieldSelector")))
        api_fail(api, r, 400, "BadRequest", "unable to parse the label or field selector");
    else if (begin(api, r, t, w)) {
        if (g_ascii_string_to_unsigned(target_query(t, "timeoutSeconds"), 10, 1, G_MAXUINT16, &seconds, NULL))
            w->end_timer = serve_after(api->server, seconds * 1000000000u, end_due, w);
        if (w->bookmarks)
            w->bookmark_timer = serve_after(api->server, api->bookmark_ns, bookmark_due, w);
        g_hash_table_add(api->watches, w);
        reply_stream(r, pull_with_bookmarks, w, watch_free);
        return;
    }
    selector_clear(&w->selector);
    g_free(w->prefix);
    g_free(w);
}

void watch_changed(void *user, enum resource kind)
{
    struct api *api = user;
    GHashTableIter i;
    void *w;
    for (g_hash_table_iter_init(&i, api->watches); g_hash_table_iter_next(&i, &w, NULL);)
        if (((struct watch *)w)->kind == kind)
            serve_wake(((struct watch *)w)->connection);
}

void watch_end_all(struct api *api, enum watch_end how)
{
    GHashTableIter i;
    void *key;
    for (g_hash_table_iter_init(&i, api->watches); g_hash_table_iter_next(&i, &key, NULL);) {
        struct watch *w = key;
        w->cut |= how == WATCH_CUT;
        w->ending |= how == WATCH_END;
        w->expired |= how == WATCH_EXPIRED;
        serve_wake(w->connection);
    }
}
