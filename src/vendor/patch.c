/* SPDX-License-Identifier: Apache-2.0 */
#include "vendor/patch.h"

#include "base/json_write.h"

void patch_clear(struct patch *p)
{
    if (p->operations)
        g_string_free(p->operations, TRUE);
    if (p->path)
        g_string_free(p->path, TRUE);
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

GString *patch_open(struct patch *p, bool exists, const char *const *keys, unsigned n)
{
    if (!p->operations) {
        p->operations = g_string_sized_new(1024);
        p->path = g_string_sized_new(128);
    }
    g_string_append_c(p->operations, p->operations->len ? ',' : '[');
    g_string_append(p->operations, exists ? "{\"op\":\"replace\",\"path\":" : "{\"op\":\"add\",\"path\":");
    g_string_truncate(p->path, 0);
    for (unsigned i = 0; i < n; i++)
        append_pointer(p->path, keys[i]);
    json_write_string(p->operations, p->path->str);
    g_string_append(p->operations, ",\"value\":");
    return p->operations;
}

void patch_close(struct patch *p)
{
    g_string_append_c(p->operations, '}');
}

void patch_string(struct patch *p, bool exists, const char *const *keys, unsigned n, const char *value)
{
    json_write_string(patch_open(p, exists, keys, n), value);
    patch_close(p);
}

char *patch_steal(struct patch *p)
{
    if (!p->operations)
        return NULL;
    g_string_append_c(p->operations, ']');
    return g_string_free(g_steal_pointer(&p->operations), FALSE);
}
