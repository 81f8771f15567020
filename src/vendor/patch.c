/* SPDX-License-Identifier: Apache-2.0
 *
 * Invariants:
 *   1. Applying `operations` to the original gives `document`.
 *   2. Only what is in `owned` is changed: the way to a change is copied, one
 *      level at a time, everything beside it is shared with the original.
 */
#include "vendor/patch.h"

static json_t *own(struct patch *p, json_t *value)
{
    g_hash_table_add(p->owned, value);
    return value;
}

void patch_init(struct patch *p, json_t *document)
{
    *p = (struct patch){.owned = g_hash_table_new(NULL, NULL), .operations = json_array()};
    p->document = own(p, json_copy(document));
}

void patch_clear(struct patch *p)
{
    json_decref(p->document);
    json_decref(p->operations);
    g_hash_table_destroy(p->owned);
    *p = (struct patch){0};
}

/* RFC 6901: ~ is ~0, / is ~1. */
static void append_pointer(GString *path, const char *key)
{
    g_string_append_c(path, '/');
    for (; *key; key++)
        if (*key == '~')
            g_string_append(path, "~0");
        else if (*key == '/')
            g_string_append(path, "~1");
        else
            g_string_append_c(path, *key);
}

/* With the value as it is now: what was made here is filled later. */
static void record(struct patch *p, bool replace, const char *path, const json_t *value)
{
    json_t *operation = json_pack("{s:s, s:s, s:o}", "op", replace ? "replace" : "add", "path", path, "value",
                                  json_deep_copy(value));
    json_array_append_new(p->operations, operation);
}

static json_t *child(json_t *parent, const char *key)
{
    json_t *found = json_is_array(parent) ? json_array_get(parent, (size_t)g_ascii_strtoull(key, NULL, 10))
                                          : json_object_get(parent, key);
    return json_is_null(found) ? NULL : found;
}

static void replace_child(json_t *parent, const char *key, json_t *value)
{
    if (json_is_array(parent))
        json_array_set_new(parent, (size_t)g_ascii_strtoull(key, NULL, 10), value);
    else
        json_object_set_new(parent, key, value);
}

/* The child of an owned value, itself owned; NULL = none. */
static json_t *owned_child(struct patch *p, json_t *parent, const char *key)
{
    json_t *found = child(parent, key);
    if (!found || g_hash_table_contains(p->owned, found) || !(json_is_object(found) || json_is_array(found)))
        return found;
    json_t *copy = own(p, json_copy(found));
    replace_child(parent, key, copy);
    return copy;
}

json_t *patch_hold(struct patch *p, const char *const *keys)
{
    json_t *at = p->document;
    for (; at && *keys; keys++)
        at = owned_child(p, at, *keys);
    return at;
}

static bool is_object(struct patch *p, json_t *value)
{
    if (!json_is_object(value))
        p->broken = true;
    return json_is_object(value);
}

/* Down to the last key's parent; objects that are missing are made. NULL = broken. */
static json_t *descend(struct patch *p, const char *const *keys, GString *path)
{
    json_t *at = p->document;
    for (; keys[1]; keys++) {
        json_t *next = owned_child(p, at, keys[0]);
        append_pointer(path, keys[0]);
        if (!next && is_object(p, at)) {
            next = own(p, json_object());
            record(p, json_object_get(at, keys[0]) != NULL, path->str, next);
            json_object_set_new(at, keys[0], next);
        }
        if (!next)
            return NULL;
        at = next;
    }
    append_pointer(path, keys[0]);
    return json_is_array(at) || is_object(p, at) ? at : NULL;
}

void patch_set(struct patch *p, json_t *value, const char *const *keys)
{
    g_autoptr(GString) path = g_string_new(NULL);
    json_t *parent = descend(p, keys, path);
    while (keys[1])
        keys++;
    json_t *old = json_is_array(parent) ? child(parent, keys[0]) : json_object_get(parent, keys[0]);
    if (json_is_array(parent) && !old) {
        p->broken = true;
    } else if (parent && !json_equal(old, value)) {
        record(p, old != NULL, path->str, value);
        replace_child(parent, keys[0], json_incref(value));
    }
    json_decref(value);
}

void patch_append(struct patch *p, json_t *value, const char *const *keys)
{
    g_autoptr(GString) path = g_string_new(NULL);
    json_t *parent = descend(p, keys, path);
    while (keys[1])
        keys++;
    json_t *list = parent ? owned_child(p, parent, keys[0]) : NULL;
    if (json_is_object(parent) && !list) {
        list = own(p, json_array());
        record(p, json_object_get(parent, keys[0]) != NULL, path->str, list);
        json_object_set_new(parent, keys[0], list);
    }
    if (json_is_array(list)) {
        g_string_append(path, "/-");
        record(p, false, path->str, value);
        json_array_append(list, value);
    } else {
        p->broken = true;
    }
    json_decref(value);
}
