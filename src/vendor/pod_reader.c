/* SPDX-License-Identifier: Apache-2.0
 *
 * Open addressing over the few hundred names of a family set. What others
 * write is only looked up, never put in, so nobody can make it slow.
 */
#include "vendor/pod_reader.h"

enum name_kind { NAME_RESOURCE, NAME_ANNOTATION };

struct name {
    char *text; /* NULL = free */
    size_t len;
    enum name_kind kind;
};

struct pod_reader {
    uint32_t n, mask;
    struct name *names;
};

static uint32_t hash(const char *at, size_t len)
{
    uint32_t h = (uint32_t)len * 0x9e3779b1u;
    for (size_t i = 0; i < len; i++)
        h = (h ^ (uint8_t)at[i]) * 0x01000193u;
    return h ^ h >> 15;
}

/* The name, or the free place where it belongs. */
static struct name *place(const struct pod_reader *r, enum name_kind kind, const char *at, size_t len)
{
    for (uint32_t i = hash(at, len);; i++) {
        struct name *n = &r->names[i & r->mask];
        if (!n->text || (n->len == len && n->kind == kind && memcmp(n->text, at, len) == 0))
            return n;
    }
}

static void add(struct pod_reader *r, enum name_kind kind, const char *text)
{
    if (!text || !*text)
        return;
    struct name *n = place(r, kind, text, strlen(text));
    if (n->text)
        return;
    *n = (struct name){.text = g_strdup(text), .len = strlen(text), .kind = kind};
    r->n++;
    g_assert(r->n < r->mask); /* sized for all that a set can hold */
}

static void add_family(struct pod_reader *r, const struct family *f)
{
    const char *const keys[] = {f->use_type_key,    f->not_type_key,    f->use_uuid_key[0],
                                f->use_uuid_key[1], f->not_uuid_key[0], f->not_uuid_key[1],
                                f->soft_key,        f->to_allocate_key, f->allocated_key};
    for (int i = 0; i < FAMILY_RESOURCES; i++)
        add(r, NAME_RESOURCE, f->resource[i]);
    for (size_t i = 0; i < G_N_ELEMENTS(keys); i++)
        add(r, NAME_ANNOTATION, keys[i]);
    for (const struct family_write *w = f->writes; w < f->writes + FAMILY_WRITES_MAX && w->key; w++)
        add(r, NAME_ANNOTATION, w->key);
}

struct pod_reader *pod_reader_new(const struct family_set *set)
{
    static const char *const common[] = {
#define ANNOTATION(symbol, key, where, writers, readers, content) key,
#include "annotations.def"
#undef ANNOTATION
    };
    uint32_t most = G_N_ELEMENTS(common) + set->n * (FAMILY_RESOURCES + 9 + FAMILY_WRITES_MAX), size = 64;
    while (size < 2 * most)
        size *= 2;
    struct pod_reader *r = g_new0(struct pod_reader, 1);
    r->mask = size - 1;
    r->names = g_new0(struct name, size);
    for (size_t i = 0; i < G_N_ELEMENTS(common); i++)
        add(r, NAME_ANNOTATION, common[i]);
    for (uint32_t i = 0; i < set->n; i++)
        if (set->rows[i]->enabled)
            add_family(r, set->rows[i]);
    return r;
}

void pod_reader_free(struct pod_reader *r)
{
    if (!r)
        return;
    for (uint32_t i = 0; i <= r->mask; i++)
        g_free(r->names[i].text);
    g_free(r->names);
    g_free(r);
}

const char *pod_reader_resource(const struct pod_reader *r, struct json_text name)
{
    return name.escaped ? NULL : place(r, NAME_RESOURCE, name.at, name.len)->text;
}

const char *pod_reader_annotation(const struct pod_reader *r, struct json_text key)
{
    return key.escaped ? NULL : place(r, NAME_ANNOTATION, key.at, key.len)->text;
}
