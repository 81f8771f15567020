/* SPDX-License-Identifier: Apache-2.0
 *
 * Paths and queries of requests.
 */
#include <stdarg.h>

#include "kube/client.h"

static void append_escaped(GString *to, const char *text)
{
    g_string_append_uri_escaped(to, text, NULL, FALSE);
}

char *kube_path(const char *first, ...)
{
    GString *path = g_string_new(NULL);
    va_list segments;
    va_start(segments, first);
    for (const char *s = first; s; s = va_arg(segments, const char *)) {
        g_string_append_c(path, '/');
        append_escaped(path, s);
    }
    va_end(segments);
    return g_string_free(path, FALSE);
}

char *kube_query(const char *key, ...)
{
    GString *query = g_string_new(NULL);
    va_list rest;
    va_start(rest, key);
    for (const char *k = key; k; k = va_arg(rest, const char *)) {
        const char *value = va_arg(rest, const char *);
        if (!value)
            continue;
        if (query->len)
            g_string_append_c(query, '&');
        append_escaped(query, k);
        g_string_append_c(query, '=');
        append_escaped(query, value);
    }
    va_end(rest);
    return g_string_free(query, FALSE);
}
