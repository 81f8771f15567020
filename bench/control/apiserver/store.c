/* SPDX-License-Identifier: Apache-2.0 */
#include "store.h"

#include <stdlib.h>
#include <string.h>

struct log {
    struct change_event *ring;
    uint64_t first, next; /* positions, counted from the beginning of time */
    uint64_t compacted;   /* changes up to this revision may be missing */
};

struct store {
    GTree *rows[RESOURCE_KINDS]; /* GRefString -> struct version */
    struct log logs[RESOURCE_KINDS];
    size_t history;
    uint64_t rv;
    StoreRender render;
    void *render_user;
    StoreChanged changed;
    void *changed_user;
};

static struct version *version_new(uint64_t rv, const char *text, size_t size)
{
    struct version *v = g_malloc(sizeof *v + size + 1);
    *v = (struct version){.refs = 1, .rv = rv, .size = size};
    memcpy(v->text, text, size);
    v->text[size] = 0;
    return v;
}

static struct version *version_ref(struct version *v)
{
    if (v)
        v->refs++;
    return v;
}

static void version_unref(void *data)
{
    struct version *v = data;
    if (v && --v->refs == 0)
        g_free(v);
}

static int by_key(const void *a, const void *b, void *user)
{
    (void)user;
    return strcmp(a, b);
}

static void key_free(void *key)
{
    g_ref_string_release(key);
}

Store *store_new(size_t history)
{
    Store *s = g_new0(Store, 1);
    s->history = MAX(history, 16);
    s->rv = 1000;
    for (unsigned k = 0; k < RESOURCE_KINDS; k++) {
        s->rows[k] = g_tree_new_full(by_key, NULL, key_free, version_unref);
        s->logs[k].compacted = s->rv;
    }
    return s;
}

static void event_clear(struct change_event *e)
{
    g_ref_string_release(e->key);
    version_unref(e->now);
    version_unref(e->was);
    *e = (struct change_event){0};
}

static void log_forget(const Store *s, struct log *log, uint64_t position)
{
    for (; log->first < position; log->first++) {
        struct change_event *e = &log->ring[log->first % s->history];
        log->compacted = e->rv;
        event_clear(e);
    }
}

void store_free(Store *s)
{
    for (unsigned k = 0; k < RESOURCE_KINDS; k++) {
        log_forget(s, &s->logs[k], s->logs[k].next);
        g_free(s->logs[k].ring);
        g_tree_unref(s->rows[k]);
    }
    g_free(s);
}

void store_set_render(Store *s, StoreRender render, void *user)
{
    s->render = render;
    s->render_user = user;
}

void store_set_changed(Store *s, StoreChanged changed, void *user)
{
    s->changed = changed;
    s->changed_user = user;
}

uint64_t store_revision(const Store *s)
{
    return s->rv;
}

uint64_t store_compacted(const Store *s, enum resource kind)
{
    return s->logs[kind].compacted;
}

size_t store_count(const Store *s, enum resource kind)
{
    return (size_t)g_tree_nnodes(s->rows[kind]);
}

const struct version *store_get(const Store *s, enum resource kind, const char *key)
{
    return g_tree_lookup(s->rows[kind], key);
}

void version_append(const Store *s, enum resource kind, const struct version *v, GString *out)
{
    if (v->generated)
        s->render(s->render_user, kind, v->generated - 1, v->rv, out);
    else
        g_string_append_len(out, v->text, (gssize)v->size);
}

json_t *version_parse(const Store *s, enum resource kind, const struct version *v)
{
    if (!v->generated)
        return json_loadb(v->text, v->size, JSON_ALLOW_NUL, NULL);
    g_autoptr(GString) text = g_string_sized_new(4096);
    version_append(s, kind, v, text);
    return json_loadb(text->str, text->len, JSON_ALLOW_NUL, NULL);
}

/* Takes the references of now and was. */
static void log_append(Store *s, enum resource kind, enum change what, char *key, struct version *now,
                       struct version *was)
{
    struct log *log = &s->logs[kind];
    if (!log->ring)
        log->ring = g_new0(struct change_event, s->history);
    if (log->next - log->first == s->history)
        log_forget(s, log, log->first + 1);
    log->ring[log->next++ % s->history] = (struct change_event){
        .rv = now->rv, .what = what, .key = g_ref_string_acquire(key), .now = now, .was = was};
    if (s->changed)
        s->changed(s->changed_user, kind);
}

/* metadata first, and what identifies the object first in it. */
static void put_in_order(json_t *object, uint64_t rv)
{
    static const char *const first[] = {"name", "generateName", "namespace", "uid"};
    char text[24];
    json_t *old = json_object_get(object, "metadata"), *metadata = json_object();
    for (size_t i = 0; i < G_N_ELEMENTS(first); i++)
        if (json_object_get(old, first[i]))
            json_object_set(metadata, first[i], json_object_get(old, first[i]));
    g_snprintf(text, sizeof text, "%" G_GUINT64_FORMAT, rv);
    json_object_set_new(metadata, "resourceVersion", json_string(text));
    json_object_update_missing(metadata, old);
    json_t *rest = json_copy(object);
    json_object_clear(object);
    json_object_set_new(object, "metadata", metadata);
    json_object_update_missing(object, rest);
    json_decref(rest);
    json_object_del(object, "kind");
    json_object_del(object, "apiVersion");
}

static bool is_unchanged(const Store *s, enum resource kind, const struct version *was, json_t *object)
{
    g_autoptr(GString) before = g_string_sized_new(4096);
    version_append(s, kind, was, before);
    put_in_order(object, was->rv);
    char *after = json_dumps(object, JSON_COMPACT);
    bool same = strcmp(after, before->str) == 0;
    free(after);
    return same;
}

const struct version *store_put(Store *s, enum resource kind, const char *key, json_t *object)
{
    struct version *was = g_tree_lookup(s->rows[kind], key), *now;
    if (was && is_unchanged(s, kind, was, object))
        return was;
    put_in_order(object, ++s->rv);
    char *dumped = json_dumps(object, JSON_COMPACT);
    now = version_new(s->rv, dumped, strlen(dumped));
    free(dumped);
    char *shared = g_ref_string_new(key);
    version_ref(was);
    g_tree_replace(s->rows[kind], g_ref_string_acquire(shared), version_ref(now));
    log_append(s, kind, was ? CHANGE_MODIFIED : CHANGE_ADDED, shared, now, was);
    g_ref_string_release(shared);
    return now;
}

void store_put_generated(Store *s, enum resource kind, const char *key, uint32_t number)
{
    struct version *v = g_new(struct version, 1);
    *v = (struct version){.refs = 1, .generated = number + 1, .rv = ++s->rv};
    g_tree_replace(s->rows[kind], g_ref_string_new(key), v);
    s->logs[kind].compacted = s->rv;
}

/* The same state under another revision. Its place is known: the first one of the text (invariant 4). */
static struct version *version_renamed(const Store *s, enum resource kind, const struct version *v,
                                       uint64_t rv)
{
    static const char word[] = "\"resourceVersion\":\"";
    g_autoptr(GString) text = g_string_sized_new(4096), renamed = g_string_sized_new(4096);
    version_append(s, kind, v, text);
    const char *from = strstr(text->str, word) + sizeof word - 1;
    g_string_append_len(renamed, text->str, from - text->str);
    g_string_append_printf(renamed, "%" G_GUINT64_FORMAT, rv);
    g_string_append(renamed, strchr(from, '"'));
    return version_new(rv, renamed->str, renamed->len);
}

const struct version *store_remove(Store *s, enum resource kind, const char *key)
{
    struct version *was = g_tree_lookup(s->rows[kind], key);
    if (!was)
        return NULL;
    struct version *now = version_renamed(s, kind, was, ++s->rv);
    char *shared = g_ref_string_new(key);
    version_ref(was);
    g_tree_remove(s->rows[kind], key);
    log_append(s, kind, CHANGE_DELETED, shared, now, was);
    g_ref_string_release(shared);
    return now;
}

bool store_position(const Store *s, enum resource kind, uint64_t rv, uint64_t *ret_position)
{
    const struct log *log = &s->logs[kind];
    if (rv < log->compacted)
        return false;
    uint64_t low = log->first, high = log->next;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (log->ring[middle % s->history].rv > rv)
            high = middle;
        else
            low = middle + 1;
    }
    *ret_position = low;
    return true;
}

const struct change_event *store_event(const Store *s, enum resource kind, uint64_t position, bool *ret_lost)
{
    const struct log *log = &s->logs[kind];
    *ret_lost = position < log->first || position > log->next;
    return *ret_lost || position == log->next ? NULL : &log->ring[position % s->history];
}

/* What every key that changed since rv was at rv: key -> struct version, NULL when it did not exist. */
static GTree *changed_since(const Store *s, enum resource kind, uint64_t position)
{
    const struct log *log = &s->logs[kind];
    GTree *then = NULL;
    for (; position < log->next; position++) {
        const struct change_event *e = &log->ring[position % s->history];
        if (!then)
            then = g_tree_new_with_data(by_key, NULL);
        if (!g_tree_lookup_extended(then, e->key, NULL, NULL))
            g_tree_insert(then, e->key, e->was);
    }
    return then;
}

static GTreeNode *node_from(GTree *tree, const char *prefix, const char *after)
{
    if (!tree)
        return NULL;
    return after ? g_tree_upper_bound(tree, after) : g_tree_lower_bound(tree, prefix);
}

bool store_snapshot(Store *s, enum resource kind, const char *prefix, const char *after, uint64_t rv,
                    size_t limit, StoreVisit visit, void *user, bool *ret_more)
{
    uint64_t position;
    size_t counted = 0;
    if (!store_position(s, kind, rv, &position))
        return false;
    GTree *then = changed_since(s, kind, position);
    GTreeNode *a = node_from(s->rows[kind], prefix, after), *b = node_from(then, prefix, after);
    *ret_more = false;
    while (a || b) {
        const char *key_a = a ? g_tree_node_key(a) : NULL, *key_b = b ? g_tree_node_key(b) : NULL;
        int order = !a ? 1 : !b ? -1 : strcmp(key_a, key_b);
        const char *key = order < 0 ? key_a : key_b;
        const struct version *v = g_tree_node_value(order < 0 ? a : b);
        if (!g_str_has_prefix(key, prefix))
            break;
        if (v && limit && counted == limit) {
            *ret_more = true;
            break;
        }
        if (v && visit(user, key, v))
            counted++;
        a = order <= 0 ? g_tree_node_next(a) : a;
        b = order >= 0 ? g_tree_node_next(b) : b;
    }
    if (then)
        g_tree_unref(then);
    return true;
}

void store_compact(Store *s)
{
    for (unsigned k = 0; k < RESOURCE_KINDS; k++) {
        log_forget(s, &s->logs[k], s->logs[k].next);
        s->logs[k].compacted = s->rv;
    }
}

void store_rebase(Store *s, uint64_t rv)
{
    s->rv = rv;
    store_compact(s);
}
