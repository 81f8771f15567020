/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "api.h"

/* /api/v1/..., /apis/GROUP/VERSION/...: cuts group and version off, leaving the rest. */
static char **cut_group(char **parts, const char **ret_group, const char **ret_version)
{
    if (g_strcmp0(parts[0], "api") == 0 && parts[1]) {
        *ret_group = "";
        *ret_version = parts[1];
        return parts + 2;
    }
    if (g_strcmp0(parts[0], "apis") == 0 && parts[1] && parts[2]) {
        *ret_group = parts[1];
        *ret_version = parts[2];
        return parts + 3;
    }
    return NULL;
}

static bool find_kind(const char *group, const char *version, const char *plural, enum resource *ret_kind)
{
    for (unsigned k = 0; k < RESOURCE_KINDS; k++)
        if (strcmp(resource_words[k].group, group) == 0 && strcmp(resource_words[k].version, version) == 0 &&
            strcmp(resource_words[k].plural, plural) == 0) {
            *ret_kind = (enum resource)k;
            return true;
        }
    return false;
}

/* NULL when an escape is broken or makes a zero byte. */
static GHashTable *parse_query(const char *query)
{
    GHashTable *result = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    g_auto(GStrv) pairs = g_strsplit(query, "&", -1);
    for (char **p = pairs; *p; p++) {
        char *equals = strchr(*p, '=');
        for (char *c = *p; *c; c++)
            if (*c == '+')
                *c = ' ';
        if (equals)
            *equals = 0;
        char *name = g_uri_unescape_string(*p, NULL),
             *value = g_uri_unescape_string(equals ? equals + 1 : "", NULL);
        if (!name || !value) {
            g_free(name);
            g_free(value);
            g_hash_table_unref(result);
            return NULL;
        }
        g_hash_table_replace(result, name, value);
    }
    return result;
}

static enum target_result parse_names(struct target *t, char **rest)
{
    bool spaced = false;
    const char *group = NULL, *version = NULL;
    rest = cut_group(rest, &group, &version);
    if (!rest)
        return TARGET_UNKNOWN;
    if (g_strcmp0(rest[0], "namespaces") == 0 && rest[1] && rest[2]) {
        if (g_strlcpy(t->namespace, rest[1], sizeof t->namespace) >= sizeof t->namespace)
            return TARGET_BAD;
        rest += 2;
        spaced = true;
    }
    if (!rest[0] || !find_kind(group, version, rest[0], &t->kind))
        return TARGET_UNKNOWN;
    if (spaced && !resource_words[t->kind].namespaced)
        return TARGET_UNKNOWN;
    if (!rest[1])
        return TARGET_OK;
    if (resource_words[t->kind].namespaced && !spaced)
        return TARGET_UNKNOWN;
    if (!*rest[1] || g_strlcpy(t->name, rest[1], sizeof t->name) >= sizeof t->name)
        return TARGET_BAD;
    if (rest[2] && g_strlcpy(t->sub, rest[2], sizeof t->sub) >= sizeof t->sub)
        return TARGET_UNKNOWN;
    return rest[2] && rest[3] ? TARGET_UNKNOWN : TARGET_OK;
}

enum target_result target_parse(const struct request *r, struct target *ret)
{
    *ret = (struct target){0};
    g_autofree char *path = g_uri_unescape_string(r->path, "/");
    if (!path || *path != '/' || !(ret->query = parse_query(r->query)))
        return TARGET_BAD;
    g_auto(GStrv) parts = g_strsplit(path + 1, "/", 12);
    return parse_names(ret, parts);
}

void target_clear(struct target *t)
{
    g_clear_pointer(&t->query, g_hash_table_unref);
}

const char *target_query(const struct target *t, const char *name)
{
    const char *value = g_hash_table_lookup(t->query, name);
    return value ? value : "";
}

bool target_flag(const struct target *t, const char *name)
{
    const char *value = target_query(t, name);
    return strcmp(value, "true") == 0 || strcmp(value, "1") == 0;
}

char *target_key(const struct target *t)
{
    return *t->namespace ? g_strdup_printf("%s/%s", t->namespace, t->name) : g_strdup(t->name);
}
