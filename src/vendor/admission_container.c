/* SPDX-License-Identifier: Apache-2.0
 *
 * A container's amounts and variables, read from and written to the pod's tree.
 */
#include "model/kube_quantity.h"
#include "vendor/admission.h"

json_t *admission_amount(const struct admission *a, const char *section, const char *resource)
{
    json_t *amounts = json_object_get(json_object_get(a->container, "resources"), section);
    json_t *amount = resource && *resource ? json_object_get(amounts, resource) : NULL;
    return json_is_null(amount) ? NULL : amount;
}

json_t *admission_given(const struct admission *a, const char *resource)
{
    json_t *limit = admission_amount(a, "limits", resource);
    return limit ? limit : admission_amount(a, "requests", resource);
}

json_t *admission_asked(const struct admission *a, const struct family *f, enum family_resource which)
{
    return f->source_hook == FAMILY_LIMITS ? admission_amount(a, "limits", f->resource[which])
                                           : admission_given(a, f->resource[which]);
}

bool admission_integer(const json_t *amount, int64_t *ret)
{
    if (json_is_integer(amount)) {
        *ret = json_integer_value(amount);
        return true;
    }
    return json_is_string(amount) &&
           kube_quantity_parse(json_string_value(amount), json_string_length(amount), ret) ==
               KUBE_QUANTITY_INTEGER;
}

static void set_section(struct admission *a, const char *section, const char *resource, const char *value)
{
    patch_set(&a->patch, json_string(value),
              (const char *const[]){"spec", a->list, a->index, "resources", section, resource, NULL});
}

static bool is_value(const json_t *amount, uint64_t value)
{
    int64_t now;
    return admission_integer(amount, &now) && now >= 0 && (uint64_t)now == value;
}

void admission_set_amount(struct admission *a, const char *resource, uint64_t value,
                          enum admission_sections sections)
{
    json_t *limit = admission_amount(a, "limits", resource),
           *request = admission_amount(a, "requests", resource);
    char text[24];
    if (!resource || !*resource)
        return;
    g_snprintf(text, sizeof text, "%" G_GUINT64_FORMAT, value);
    if (!is_value(limit, value))
        set_section(a, "limits", resource, text);
    if ((request || sections == ADMISSION_BOTH) && !is_value(request, value))
        set_section(a, "requests", resource, text);
}

/* Position of the last variable of that name, which is the one that counts; -1 when there is none. */
static int find_env(const struct admission *a, const char *name)
{
    json_t *env = json_object_get(a->container, "env"), *variable;
    size_t i;
    int found = -1;
    json_array_foreach(env, i, variable)
    {
        const char *its = json_string_value(json_object_get(variable, "name"));
        if (its && strcmp(its, name) == 0)
            found = (int)i;
    }
    return found;
}

void admission_set_env(struct admission *a, const char *name, const char *value, bool keep)
{
    int i = find_env(a, name);
    char at[12];
    if (i >= 0 && keep)
        return;
    json_t *variable = json_pack("{s:s, s:s}", "name", name, "value", value);
    g_snprintf(at, sizeof at, "%d", i);
    if (i >= 0)
        patch_set(&a->patch, variable, (const char *const[]){"spec", a->list, a->index, "env", at, NULL});
    else
        patch_append(&a->patch, variable, (const char *const[]){"spec", a->list, a->index, "env", NULL});
}

void admission_set_annotation(struct admission *a, const char *key, const char *value)
{
    patch_set(&a->patch, json_string(value), (const char *const[]){"metadata", "annotations", key, NULL});
}

const char *admission_annotation(const struct admission *a, const char *key)
{
    json_t *annotations = json_object_get(json_object_get(a->patch.document, "metadata"), "annotations");
    return key ? json_string_value(json_object_get(annotations, key)) : NULL;
}

void admission_set_runtime_class(struct admission *a, const char *name)
{
    const char *now =
        json_string_value(json_object_get(json_object_get(a->patch.document, "spec"), "runtimeClassName"));
    if (name && *name && (!now || !*now))
        patch_set(&a->patch, json_string(name), (const char *const[]){"spec", "runtimeClassName", NULL});
}
