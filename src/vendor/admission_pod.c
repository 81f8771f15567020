/* SPDX-License-Identifier: Apache-2.0
 *
 * What admission writes into a pod outside its containers: into the patch, and
 * into the object that the request is read from.
 */
#include "base/arena.h"
#include "vendor/admission.h"

bool admission_need(struct admission *a, uint8_t *kind, enum json_kind wanted, const char *const *keys,
                    unsigned n)
{
    if (*kind == wanted)
        return true;
    if (*kind != JSON_IS_NONE && *kind != JSON_IS_NULL) {
        a->patch.broken = true;
        return false;
    }
    g_string_append(patch_open(&a->patch, *kind == JSON_IS_NULL, keys, n),
                    wanted == JSON_IS_OBJECT ? "{}" : "[]");
    patch_close(&a->patch);
    *kind = (uint8_t)wanted;
    return true;
}

static struct pod_annotation *row_of(struct pod_object *pod, const char *key)
{
    for (unsigned i = 0; i < pod->n_annotations; i++)
        if (strcmp(pod->annotations[i].key, key) == 0)
            return &pod->annotations[i];
    return NULL;
}

static void keep_annotation(struct pod_object *pod, const char *key, const char *value)
{
    struct pod_annotation *row = row_of(pod, key);
    if (!row) {
        struct pod_annotation *rows = arena_take(&pod->arena, (pod->n_annotations + 1) * sizeof *rows);
        if (pod->n_annotations)
            memcpy(rows, pod->annotations, pod->n_annotations * sizeof *rows);
        pod->annotations = rows;
        row = &rows[pod->n_annotations++];
        row->key = key;
    }
    row->value = arena_text(&pod->arena, value, strlen(value));
}

void admission_set_annotation(struct admission *a, const char *key, const char *value)
{
    const char *keys[] = {"metadata", "annotations", key};
    struct pod_object *pod = a->pod;
    if (g_strcmp0(admission_annotation(a, key), value) == 0 ||
        !admission_need(a, &pod->metadata_kind, JSON_IS_OBJECT, keys, 1) ||
        !admission_need(a, &pod->annotations_kind, JSON_IS_OBJECT, keys, 2))
        return;
    patch_string(&a->patch, row_of(pod, key) != NULL, keys, 3, value);
    keep_annotation(pod, key, value);
}

const char *admission_annotation(const struct admission *a, const char *key)
{
    return key ? pod_object_annotation(a->pod, key) : NULL;
}

/* A text of the spec, which is an object: it has containers. */
static void set_text(struct admission *a, const char *key, const char **text, uint8_t *kind,
                     const char *value)
{
    if (*kind == JSON_IS_STRING && strcmp(*text, value) == 0)
        return;
    patch_string(&a->patch, *kind != JSON_IS_NONE, (const char *const[]){"spec", key}, 2, value);
    *text = value;
    *kind = JSON_IS_STRING;
}

void admission_set_runtime_class(struct admission *a, const char *name)
{
    if (name && *name && !*a->pod->runtime_class)
        set_text(a, "runtimeClassName", &a->pod->runtime_class, &a->pod->runtime_class_kind, name);
}

void admission_set_scheduler(struct admission *a, const char *name)
{
    set_text(a, "schedulerName", &a->pod->scheduler, &a->pod->scheduler_kind, name);
}
