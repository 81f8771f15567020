/* SPDX-License-Identifier: Apache-2.0 */
#include "patch.h"

#include <glib.h>
#include <string.h>

#define DEPTH_MAX 64

static const struct {
    const char *list, *key;
} merge_keys[] = {{"conditions", "type"},
                  {"containers", "name"},
                  {"initContainers", "name"},
                  {"ownerReferences", "uid"},
                  {"taints", "key"},
                  {"addresses", "type"},
                  {"env", "name"},
                  {"webhooks", "name"},
                  {"volumes", "name"}};

static const char *merge_key(const char *list)
{
    for (size_t i = 0; i < G_N_ELEMENTS(merge_keys); i++)
        if (strcmp(merge_keys[i].list, list) == 0)
            return merge_keys[i].key;
    return NULL;
}

static json_t *merged(json_t *object, json_t *patch, bool strategic, unsigned depth);

static ssize_t item_with(json_t *list, const char *key, json_t *value)
{
    for (size_t i = 0; i < json_array_size(list); i++)
        if (json_equal(json_object_get(json_array_get(list, i), key), value))
            return (ssize_t)i;
    return -1;
}

static json_t *merged_list(json_t *list, json_t *patch, const char *key, unsigned depth)
{
    json_t *result = json_is_array(list) ? json_copy(list) : json_array();
    size_t i;
    json_t *item;
    json_array_foreach(patch, i, item)
    {
        ssize_t at = item_with(result, key, json_object_get(item, key));
        const char *directive = json_string_value(json_object_get(item, "$patch"));
        if (directive && strcmp(directive, "delete") == 0 && at >= 0)
            json_array_remove(result, (size_t)at);
        else if (at >= 0)
            json_array_set_new(result, (size_t)at,
                               merged(json_array_get(result, (size_t)at), item, true, depth));
        else if (!directive)
            json_array_append(result, item);
    }
    return result;
}

static json_t *merged(json_t *object, json_t *patch, bool strategic, unsigned depth)
{
    if (!json_is_object(patch) || depth > DEPTH_MAX)
        return json_deep_copy(patch);
    json_t *result = json_is_object(object) ? json_copy(object) : json_object();
    const char *name;
    json_t *value;
    json_object_foreach(patch, name, value)
    {
        const char *key = strategic && json_is_array(value) ? merge_key(name) : NULL;
        if (json_is_null(value))
            json_object_del(result, name);
        else if (key)
            json_object_set_new(result, name,
                                merged_list(json_object_get(result, name), value, key, depth + 1));
        else
            json_object_set_new(result, name,
                                merged(json_object_get(result, name), value, strategic, depth + 1));
    }
    return result;
}

json_t *patch_merge(json_t *object, json_t *patch)
{
    return merged(object, patch, false, 0);
}

json_t *patch_strategic(json_t *object, json_t *patch)
{
    return merged(object, patch, true, 0);
}

/* ---- RFC 6902 */

static char *unescaped(const char *token)
{
    GString *s = g_string_new(NULL);
    for (; *token; token++)
        if (token[0] == '~' && (token[1] == '0' || token[1] == '1'))
            g_string_append_c(s, *++token == '0' ? '~' : '/');
        else
            g_string_append_c(s, *token);
    return g_string_free(s, FALSE);
}

static bool list_index(json_t *list, const char *token, size_t last, size_t *ret_index)
{
    guint64 n;
    if (strcmp(token, "-") == 0)
        n = json_array_size(list);
    else if (!g_ascii_string_to_unsigned(token, 10, 0, G_MAXUINT32, &n, NULL))
        return false;
    *ret_index = n;
    return n <= last;
}

/* The container that a pointer's last token is in, borrowed; NULL when the way there does not exist. */
static json_t *parent_of(json_t *root, const char *pointer, char **ret_token)
{
    g_auto(GStrv) tokens = g_strsplit(pointer, "/", DEPTH_MAX);
    guint n = g_strv_length(tokens);
    json_t *at = root;
    if (n < 2 || *tokens[0])
        return NULL;
    for (guint i = 1; i + 1 < n && at; i++) {
        g_autofree char *token = unescaped(tokens[i]);
        size_t index = 0;
        if (json_is_array(at))
            at = list_index(at, token, json_array_size(at) - 1, &index) ? json_array_get(at, index) : NULL;
        else
            at = json_object_get(at, token);
    }
    *ret_token = unescaped(tokens[n - 1]);
    return at;
}

static json_t *value_at(json_t *root, const char *pointer)
{
    g_autofree char *token = NULL;
    if (!*pointer)
        return root;
    json_t *parent = parent_of(root, pointer, &token);
    size_t index = 0;
    if (json_is_array(parent))
        return list_index(parent, token, json_array_size(parent), &index) ? json_array_get(parent, index)
                                                                          : NULL;
    return json_object_get(parent, token);
}

/* Borrows value; NULL removes. */
static bool set_at(json_t *root, const char *pointer, json_t *value, bool insert)
{
    g_autofree char *token = NULL;
    json_t *parent = parent_of(root, pointer, &token);
    size_t index = 0;
    if (json_is_object(parent))
        return (value ? json_object_set(parent, token, value) : json_object_del(parent, token)) == 0;
    if (!json_is_array(parent) || !list_index(parent, token, json_array_size(parent), &index))
        return false;
    if (!value)
        return json_array_remove(parent, index) == 0;
    return (insert ? json_array_insert(parent, index, value) : json_array_set(parent, index, value)) == 0;
}

static bool one_operation(json_t **root, json_t *operation)
{
    const char *op = json_string_value(json_object_get(operation, "op"));
    const char *path = json_string_value(json_object_get(operation, "path"));
    const char *from = json_string_value(json_object_get(operation, "from"));
    json_t *value = json_object_get(operation, "value");
    if (!op || !path)
        return false;
    if (strcmp(op, "test") == 0)
        return value && json_equal(value_at(*root, path), value);
    if (strcmp(op, "remove") == 0)
        return value_at(*root, path) && set_at(*root, path, NULL, false);
    if (strcmp(op, "add") == 0 || strcmp(op, "replace") == 0) {
        if (!value || (*op == 'r' && !value_at(*root, path)))
            return false;
        if (!*path) {
            json_decref(*root);
            *root = json_incref(value);
            return true;
        }
        return set_at(*root, path, value, *op == 'a');
    }
    bool move = strcmp(op, "move") == 0;
    json_t *moved = from && *from ? json_deep_copy(value_at(*root, from)) : NULL;
    bool done = moved && (move || strcmp(op, "copy") == 0) && (!move || set_at(*root, from, NULL, false)) &&
                set_at(*root, path, moved, true);
    json_decref(moved);
    return done;
}

bool patch_operations(json_t **object, json_t *operations, const char **ret_why)
{
    *ret_why = "a JSON patch is a list of operations";
    if (!json_is_array(operations))
        return false;
    *ret_why = "an operation of the JSON patch cannot be applied";
    for (size_t i = 0; i < json_array_size(operations); i++)
        if (!one_operation(object, json_array_get(operations, i)))
            return false;
    return true;
}
