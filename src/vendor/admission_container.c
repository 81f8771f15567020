/* SPDX-License-Identifier: Apache-2.0
 *
 * A container's amounts and variables: read from the pod's object, written to
 * it and into the patch.
 */
#include "base/arena.h"
#include "base/json_write.h"
#include "model/kube_quantity.h"
#include "vendor/admission.h"

/* ---- amounts ---- */

static struct pod_resource *row_of(const struct admission *a, const char *resource)
{
    struct pod_container *c = a->container;
    if (resource && *resource)
        for (unsigned i = 0; i < c->n_resources; i++)
            if (strcmp(c->resources[i].name, resource) == 0)
                return &c->resources[i];
    return NULL;
}

static const struct json_text *present(const struct json_text *amount)
{
    return amount->at ? amount : NULL;
}

const struct json_text *admission_limit(const struct admission *a, const char *resource)
{
    const struct pod_resource *r = row_of(a, resource);
    return r ? present(&r->limit) : NULL;
}

const struct json_text *admission_given(const struct admission *a, const char *resource)
{
    const struct pod_resource *r = row_of(a, resource);
    return r ? present(r->limit.at ? &r->limit : &r->request) : NULL;
}

const struct json_text *admission_asked(const struct admission *a, const struct family *f,
                                        enum family_resource which)
{
    return f->source_hook == FAMILY_LIMITS ? admission_limit(a, f->resource[which])
                                           : admission_given(a, f->resource[which]);
}

bool admission_integer(const struct json_text *amount, int64_t *ret)
{
    return amount && kube_quantity_parse(amount->at, amount->len, ret) == KUBE_QUANTITY_INTEGER;
}

static struct pod_resource *row_for(struct admission *a, const char *resource)
{
    struct pod_container *c = a->container;
    struct pod_resource *row = row_of(a, resource), *rows;
    if (row || c->n_resources == UINT8_MAX)
        return row;
    rows = arena_take(&a->pod->arena, (c->n_resources + 1u) * sizeof *rows);
    if (c->n_resources)
        memcpy(rows, c->resources, c->n_resources * sizeof *rows);
    c->resources = rows;
    rows[c->n_resources].name = resource;
    return &rows[c->n_resources++];
}

static void set_section(struct admission *a, bool limits, const char *resource, const char *value)
{
    struct pod_container *c = a->container;
    const char *keys[] = {"spec", a->list, a->index, "resources", limits ? "limits" : "requests", resource};
    struct pod_resource *row = row_for(a, resource);
    if (!row || c->kind != JSON_IS_OBJECT) {
        a->patch.broken = true;
        return;
    }
    if (!admission_need(a, &c->resources_kind, JSON_IS_OBJECT, keys, 4) ||
        !admission_need(a, limits ? &c->limits_kind : &c->requests_kind, JSON_IS_OBJECT, keys, 5))
        return;
    patch_string(&a->patch, limits ? row->has_limit : row->has_request, keys, 6, value);
    *(limits ? &row->limit : &row->request) =
        (struct json_text){.at = arena_text(&a->pod->arena, value, strlen(value)), .len = strlen(value)};
    *(limits ? &row->has_limit : &row->has_request) = true;
}

static bool is_value(const struct json_text *amount, uint64_t value)
{
    int64_t now;
    return admission_integer(amount, &now) && now >= 0 && (uint64_t)now == value;
}

void admission_set_amount(struct admission *a, const char *resource, uint64_t value,
                          enum admission_sections sections)
{
    const struct pod_resource *row = row_of(a, resource);
    const struct json_text *request = row ? present(&row->request) : NULL;
    bool follows = (request || sections == ADMISSION_BOTH) && !is_value(request, value);
    char text[24];
    if (!resource || !*resource)
        return;
    g_snprintf(text, sizeof text, "%" G_GUINT64_FORMAT, value);
    if (!row || !is_value(&row->limit, value))
        set_section(a, true, resource, text);
    if (follows)
        set_section(a, false, resource, text);
}

/* ---- variables ---- */

/* One of the container's, to its end. Whether it has that name; *ret_same: and just this value. */
static bool is_variable(struct json_scan *s, const char *name, const char *value, bool *ret_same)
{
    struct json_text key, its = {0}, text = {0};
    bool more = false;
    if (!json_scan_object(s))
        return false;
    while (json_scan_key(s, &key)) {
        if (json_text_reads(key, "name"))
            json_scan_text(s, &its);
        else if (json_text_reads(key, "value"))
            json_scan_text(s, &text);
        else
            more = true, json_scan_skip(s);
    }
    *ret_same = !more && text.at && json_text_reads(text, value);
    return its.at && json_text_reads(its, name);
}

/* Position of the last variable of that name, which is the one that counts; -1 when there is none. */
static int find_variable(const struct admission *a, const char *name, const char *value, bool *ret_same)
{
    struct json_scan s;
    int found = -1;
    json_scan_init(&s, a->container->env.at, a->container->env.len);
    if (!a->container->env.at || !json_scan_array(&s))
        return -1;
    for (int i = 0; json_scan_element(&s); i++) {
        bool same;
        if (!is_variable(&s, name, value, &same))
            continue;
        found = i;
        *ret_same = same;
    }
    return found;
}

static bool is_written(const struct admission *a, const char *name)
{
    for (unsigned i = 0; i < a->n_written; i++)
        if (strcmp(a->written[i], name) == 0)
            return true;
    return false;
}

void admission_set_env(struct admission *a, const char *name, const char *value, bool keep)
{
    struct pod_container *c = a->container;
    bool same = false;
    char at[12] = "-";
    const char *keys[] = {"spec", a->list, a->index, "env", at};
    int i = is_written(a, name) ? 0 : find_variable(a, name, value, &same);
    if (is_written(a, name) || (i >= 0 && (keep || same)))
        return;
    if (c->kind != JSON_IS_OBJECT || a->n_written == ADMISSION_VARIABLES_MAX) {
        a->patch.broken = true;
        return;
    }
    if (!admission_need(a, &c->env_kind, JSON_IS_ARRAY, keys, 4))
        return;
    if (i >= 0)
        g_snprintf(at, sizeof at, "%d", i);
    GString *out = patch_open(&a->patch, i >= 0, keys, 5);
    g_string_append(out, "{\"name\":");
    json_write_string(out, name);
    g_string_append(out, ",\"value\":");
    json_write_string(out, value);
    g_string_append_c(out, '}');
    patch_close(&a->patch);
    a->written[a->n_written++] = name;
    if (strcmp(name, "NVIDIA_VISIBLE_DEVICES") == 0)
        c->visible = POD_VISIBLE_NOTHING; /* the only value that is ever written */
}
