/* SPDX-License-Identifier: Apache-2.0 */
#include "pods.h"

struct family_set *pods_families(void)
{
    static const struct vendor_options all = {.enable_ascend = true, .enable_iluvatar = true};
    GError *error = NULL;
    struct family_set *set = vendor_config_parse(NULL, 0, &all, NULL, &error);
    g_assert_no_error(error);
    g_assert_nonnull(set);
    return set;
}

char *pods_text(const char *quoted)
{
    return g_strdelimit(g_strdup(quoted), "'", '"');
}

char *pods_one(const char *limits, const char *annotations)
{
    g_autofree char *quoted =
        g_strdup_printf("{'metadata':{'name':'p','namespace':'ns','uid':'u1','annotations':{%s}},"
                        "'spec':{'containers':[{'name':'main','resources':{'limits':{%s}}}]}}",
                        annotations ? annotations : "", limits);
    return pods_text(quoted);
}

/* ---- RFC 6902 ---- */

static char *unescaped(const char *token)
{
    GString *s = g_string_new(token);
    g_string_replace(s, "~1", "/", 0);
    g_string_replace(s, "~0", "~", 0);
    return g_string_free(s, FALSE);
}

static json_t *member(json_t *at, const char *token)
{
    g_autofree char *key = unescaped(token);
    return json_is_array(at) ? json_array_get(at, (size_t)atoi(key)) : json_object_get(at, key);
}

static void apply_one(json_t *pod, json_t *op)
{
    const char *kind = json_string_value(json_object_get(op, "op"));
    g_auto(GStrv) tokens = g_strsplit(json_string_value(json_object_get(op, "path")), "/", -1);
    json_t *at = pod, *value = json_object_get(op, "value");
    unsigned n = g_strv_length(tokens);
    g_autofree char *last = unescaped(tokens[n - 1]);
    g_assert_cmpuint(n, >=, 2);
    for (unsigned i = 1; i + 1 < n; i++) {
        at = member(at, tokens[i]);
        g_assert_nonnull(at); /* a parent that is missing makes the whole patch fail */
    }
    g_assert_true(json_is_object(at) || json_is_array(at));
    if (strcmp(kind, "replace") == 0)
        g_assert_nonnull(member(at, tokens[n - 1]));
    else
        g_assert_cmpstr(kind, ==, "add");
    if (json_is_object(at))
        json_object_set(at, last, value);
    else if (strcmp(last, "-") == 0)
        json_array_append(at, value);
    else if (strcmp(kind, "replace") == 0)
        json_array_set(at, (size_t)atoi(last), value);
    else
        json_array_insert(at, (size_t)atoi(last), value);
}

void pods_apply(json_t *pod, const char *patch)
{
    json_error_t error;
    json_t *operations = patch ? json_loads(patch, JSON_REJECT_DUPLICATES, &error) : NULL, *op;
    size_t i;
    if (patch && !json_is_array(operations))
        g_error("no patch (%s): %s", error.text, patch);
    json_array_foreach(operations, i, op)
    {
        apply_one(pod, op);
    }
    json_decref(operations);
}
