/* SPDX-License-Identifier: Apache-2.0 */
#include "vendor/manifest_lint.h"

#include <glib.h>
#include <stdarg.h>
#include <string.h>

#include "base/words.h"

struct lint {
    const struct family_set *set;
    GPtrArray *resources, *annotations; /* the names that are known */
    void (*say)(enum lint_level level, const char *message, void *data);
    void *data;
};

G_GNUC_PRINTF(3, 4) static void say(const struct lint *x, enum lint_level level, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    g_autofree char *valid = g_utf8_make_valid(text, -1); /* names are cut, perhaps inside a character */
    x->say(level, valid, x->data);
}

/* ---- names that are known ---- */

static void know(GPtrArray *names, const char *name)
{
    if (name && *name)
        g_ptr_array_add(names, (gpointer)(uintptr_t)name);
}

static void know_family(struct lint *x, const struct family *f)
{
    const char *const keys[] = {f->use_type_key,    f->not_type_key,    f->use_uuid_key[0],
                                f->use_uuid_key[1], f->not_uuid_key[0], f->not_uuid_key[1],
                                f->soft_key};
    for (int i = 0; i < FAMILY_RESOURCES; i++)
        know(x->resources, f->resource[i]);
    for (size_t i = 0; i < G_N_ELEMENTS(keys); i++)
        know(x->annotations, keys[i]);
}

/* Annotations that users write on pods. */
static void know_contract(GPtrArray *names)
{
    static const struct {
        const char *key, *where, *writers;
    } rows[] = {
#define ANNOTATION(symbol, key, where, writers, readers, content) {key, where, writers},
#include "annotations.def"
#undef ANNOTATION
    };
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++)
        if (strcmp(rows[i].where, "pod") == 0 && strstr(rows[i].writers, "users"))
            know(names, rows[i].key);
}

static bool is_known(const GPtrArray *names, const char *name)
{
    for (guint i = 0; i < names->len; i++)
        if (strcmp(names->pdata[i], name) == 0)
            return true;
    return false;
}

static gsize domain_len(const char *name)
{
    const char *slash = strchr(name, '/');
    return slash ? (gsize)(slash - name) + 1 : 0;
}

/* The known name of the same domain that is nearest behind the slash. Without one: the same behind the
 * slash in a domain that is nearly the same. NULL = none. *ret_domain: whether its domain is a known one. */
static const char *nearest(const GPtrArray *names, const char *name, bool *ret_domain)
{
    gsize len = domain_len(name);
    g_autoptr(GPtrArray) tails = g_ptr_array_new(), domains = g_ptr_array_new_with_free_func(g_free);
    for (guint i = 0; i < names->len; i++) {
        const char *known = names->pdata[i];
        if (domain_len(known) == len && strncmp(known, name, len) == 0)
            g_ptr_array_add(tails, (gpointer)(uintptr_t)(known + len));
        else if (len && strcmp(known + domain_len(known), name + len) == 0)
            g_ptr_array_add(domains, g_strndup(known, domain_len(known)));
    }
    *ret_domain = len && tails->len;
    g_ptr_array_add(tails, NULL);
    g_ptr_array_add(domains, NULL);
    const char *tail = words_nearest(name + len, (const char *const *)tails->pdata);
    if (tail || *ret_domain || !len)
        return tail ? tail - len : NULL;
    g_autofree char *domain = g_strndup(name, len);
    const char *near = words_nearest(domain, (const char *const *)domains->pdata);
    for (guint i = 0; near && i < names->len; i++) {
        const char *known = names->pdata[i];
        if (g_str_has_prefix(known, near) && strcmp(known + strlen(near), name + len) == 0)
            return known;
    }
    return NULL;
}

/* ---- resources ---- */

static void lint_resource(const struct lint *x, const char *container, const char *section, const char *name)
{
    bool domain;
    if (!strchr(name, '/') || is_known(x->resources, name))
        return;
    const char *near = nearest(x->resources, name, &domain);
    if (near)
        say(x, LINT_WARNING,
            "container %.63s: resources.%s[%.253s] is no resource of any family; did you mean %s?", container,
            section, name, near);
    else if (domain)
        say(x, LINT_NOTE,
            "container %.63s: resources.%s[%.253s] is no resource of any family: the scheduler does not "
            "count it",
            container, section, name);
}

/* Whose hook copies what is on one side only to the other. */
static bool is_mirrored(const struct lint *x, const char *name)
{
    for (uint32_t i = 0; i < x->set->n; i++)
        for (int r = 0; r < FAMILY_RESOURCES; r++)
            if (g_strcmp0(x->set->rows[i]->resource[r], name) == 0)
                return x->set->rows[i]->mem_round == FAMILY_ROUND_CARD_SHAPE;
    return false;
}

static bool amount_of(json_t *limits, const char *resource, guint64 *ret)
{
    json_t *amount = resource && *resource ? json_object_get(limits, resource) : NULL;
    const char *text = json_string_value(amount);
    *ret = json_is_integer(amount) ? (guint64)MAX(json_integer_value(amount), 0) : 0;
    return json_is_integer(amount) ||
           (text && g_ascii_string_to_unsigned(text, 10, 0, G_MAXINT32, ret, NULL));
}

/* Numbers that are taken, but not as they are written. */
static void lint_amounts(const struct lint *x, const struct family *f, const char *container, json_t *limits)
{
    const char *cores = f->resource[FAMILY_CORES], *mem = f->resource[FAMILY_MEM],
               *percent = f->resource[FAMILY_MEM_PERCENT];
    guint64 n, m;
    if (f->cores_kind == FAMILY_CORES_PERCENT && !f->cores_div_by_count && amount_of(limits, cores, &n) &&
        n > f->cores_unit)
        say(x, LINT_NOTE,
            "container %.63s: resources.limits[%s] is %" G_GUINT64_FORMAT
            ", which is more than a card: it counts as %u, the whole card",
            container, cores, n, f->cores_unit);
    if (amount_of(limits, mem, &m) && m && amount_of(limits, percent, &n) && n)
        say(x, LINT_NOTE,
            "container %.63s: resources.limits[%s] does not count beside %s; leave one of them out",
            container, percent, mem);
}

static void lint_container(const struct lint *x, json_t *container)
{
    json_t *resources = json_object_get(container, "resources"),
           *limits = json_object_get(resources, "limits"), *requests = json_object_get(resources, "requests"),
           *amount;
    const char *name = json_string_value(json_object_get(container, "name")), *key;
    name = name ? name : "";
    json_object_foreach(limits, key, amount) lint_resource(x, name, "limits", key);
    for (uint32_t f = 0; f < x->set->n; f++)
        lint_amounts(x, x->set->rows[f], name, limits);
    json_object_foreach(requests, key, amount)
    {
        if (json_object_get(limits, key))
            continue;
        lint_resource(x, name, "requests", key);
        if (is_known(x->resources, key) && !is_mirrored(x, key))
            say(x, LINT_ERROR,
                "container %.63s: resources.requests[%.253s] has no limit, which the API server refuses of "
                "extended resources; write it into resources.limits",
                name, key);
    }
}

/* ---- annotations ---- */

static void lint_annotation(const struct lint *x, const char *key, json_t *value)
{
    bool domain;
    if (!json_is_string(value) && !json_is_null(value)) { /* null is "" */
        g_autofree char *written = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
        say(x, LINT_ERROR,
            "annotation %.253s: its value %.64s is not a text, which the API server refuses; write it in "
            "quotes",
            key, written ? written : "");
    }
    const char *near = is_known(x->annotations, key) ? NULL : nearest(x->annotations, key, &domain);
    if (near)
        say(x, LINT_WARNING, "annotation %.253s is not read by anybody; did you mean %s?", key, near);
}

void manifest_lint(const struct family_set *set, json_t *pod,
                   void (*say_)(enum lint_level level, const char *message, void *data), void *data)
{
    static const char *const lists[] = {"initContainers", "containers"};
    g_autoptr(GPtrArray) resources = g_ptr_array_new(), annotations = g_ptr_array_new();
    struct lint x = {set, resources, annotations, say_, data};
    json_t *spec = json_object_get(pod, "spec"), *value;
    const char *key;
    size_t i;
    for (uint32_t f = 0; f < set->n; f++)
        know_family(&x, set->rows[f]);
    know_contract(annotations);
    for (size_t l = 0; l < G_N_ELEMENTS(lists); l++)
        json_array_foreach(json_object_get(spec, lists[l]), i, value) lint_container(&x, value);
    json_object_foreach(json_object_get(json_object_get(pod, "metadata"), "annotations"), key, value)
        lint_annotation(&x, key, value);
}
