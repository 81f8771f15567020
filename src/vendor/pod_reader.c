/* SPDX-License-Identifier: Apache-2.0
 *
 * Open addressing over the few hundred names of a family set. What others
 * write is only looked up, never put in, so nobody can make it slow.
 */
#include "vendor/pod_reader.h"

#include "base/arena.h"

#define OWN_PREFIX "hami.io/vgpu-" /* whatever follows, it is no user's */

struct pod_reader {
    uint32_t n, mask;
    struct pod_name *names;
    void *texts;
};

static const struct {
    const char *key, *where, *writers;
} common[] = {
#define ANNOTATION(symbol, key, where, writers, readers, content) {key, where, writers},
#include "annotations.def"
#undef ANNOTATION
};

static uint32_t hash(const char *at, size_t len)
{
    uint32_t h = (uint32_t)len * 0x9e3779b1u;
    for (size_t i = 0; i < len; i++)
        h = (h ^ (uint8_t)at[i]) * 0x01000193u;
    return h ^ h >> 15;
}

/* The name, or the free place where it belongs. */
static struct pod_name *place(const struct pod_reader *r, bool resource, const char *at, size_t len)
{
    for (uint32_t i = hash(at, len);; i++) {
        struct pod_name *n = &r->names[i & r->mask];
        if (!n->text || (n->len == len && n->resource == resource && memcmp(n->text, at, len) == 0))
            return n;
    }
}

/* Adds the name, or what is said of it to one that is there. */
static void add(struct pod_reader *r, const struct pod_name *name)
{
    if (!name->text || !*name->text)
        return;
    struct pod_name *n = place(r, name->resource, name->text, strlen(name->text));
    if (!n->text) {
        n->len = strlen(name->text);
        n->text = arena_text(&r->texts, name->text, n->len);
        n->resource = name->resource;
        r->n++;
        g_assert(r->n < r->mask); /* sized for all that a set can hold */
    }
    n->kept |= name->kept;
    n->assigned |= name->assigned;
    n->families |= name->families;
}

/* The contract says who writes it; of pods, what neither users nor the webhook write is assigned. */
static void add_common(struct pod_reader *r)
{
    for (size_t i = 0; i < G_N_ELEMENTS(common); i++)
        add(r, &(struct pod_name){.text = common[i].key,
                                  .kept = true,
                                  .assigned = g_str_has_prefix(common[i].where, "pod") &&
                                              !strstr(common[i].writers, "users") &&
                                              !strstr(common[i].writers, "webhook")});
}

/* A family's writing is no user's, in force or not. */
static void add_assigned(struct pod_reader *r, const struct family *f)
{
    struct pod_name n = {.kept = f->enabled, .assigned = true};
    n.text = f->to_allocate_key;
    add(r, &n);
    n.text = f->allocated_key;
    add(r, &n);
    for (const struct family_write *w = f->writes; w < f->writes + FAMILY_WRITES_MAX && w->key; w++) {
        n.text = w->key;
        add(r, &n);
    }
}

static void add_asked(struct pod_reader *r, const struct family *f, uint32_t row)
{
    const char *const keys[] = {f->use_type_key,    f->not_type_key,    f->use_uuid_key[0],
                                f->use_uuid_key[1], f->not_uuid_key[0], f->not_uuid_key[1],
                                f->soft_key};
    for (int i = 0; i < FAMILY_RESOURCES; i++)
        add(r, &(struct pod_name){
                   .text = f->resource[i], .resource = true, .kept = true, .families = UINT64_C(1) << row});
    for (size_t i = 0; i < G_N_ELEMENTS(keys); i++)
        if (keys[i])
            add(r, &(struct pod_name){
                       .text = keys[i], .kept = true, .assigned = g_str_has_prefix(keys[i], OWN_PREFIX)});
}

struct pod_reader *pod_reader_new(const struct family_set *set)
{
    uint32_t most = G_N_ELEMENTS(common) + set->n * (FAMILY_RESOURCES + 9 + FAMILY_WRITES_MAX), size = 64;
    while (size < 2 * most)
        size *= 2;
    struct pod_reader *r = g_new0(struct pod_reader, 1);
    r->mask = size - 1;
    r->names = g_new0(struct pod_name, size);
    add_common(r);
    for (uint32_t i = 0; i < set->n; i++) {
        add_assigned(r, set->rows[i]);
        if (set->rows[i]->enabled)
            add_asked(r, set->rows[i], i);
    }
    return r;
}

void pod_reader_free(struct pod_reader *r)
{
    if (!r)
        return;
    arena_free(r->texts);
    g_free(r->names);
    g_free(r);
}

static const struct pod_name *known(const struct pod_reader *r, bool resource, struct json_text name)
{
    g_autofree char *plain = name.escaped ? json_text_dup(name) : NULL;
    if (name.escaped && !plain)
        return NULL;
    const struct pod_name *n = place(r, resource, plain ? plain : name.at, plain ? strlen(plain) : name.len);
    return n->text ? n : NULL;
}

const struct pod_name *pod_reader_resource(const struct pod_reader *r, struct json_text name)
{
    return known(r, true, name);
}

const struct pod_name *pod_reader_annotation(const struct pod_reader *r, struct json_text key)
{
    return known(r, false, key);
}

bool pod_reader_is_assigned(const struct pod_name *n, struct json_text key)
{
    if (n)
        return n->assigned;
    g_autofree char *plain = key.escaped ? json_text_dup(key) : NULL;
    return plain ? g_str_has_prefix(plain, OWN_PREFIX)
                 : key.len >= strlen(OWN_PREFIX) && memcmp(key.at, OWN_PREFIX, strlen(OWN_PREFIX)) == 0;
}
