/* SPDX-License-Identifier: Apache-2.0
 *
 * See body.h. Rules for keys: apimachinery util/validation IsQualifiedName; for
 * label values: IsValidLabelValue.
 */
#include "kube/body.h"

#include <jansson.h>
#include <stdbool.h>
#include <string.h>

#include "kube/error.h"

#define NAME_MAX_LEN 63
#define PREFIX_MAX_LEN 253

static bool is_word(const char *text, size_t len)
{
    if (len == 0 || len > NAME_MAX_LEN || !g_ascii_isalnum(text[0]) || !g_ascii_isalnum(text[len - 1]))
        return false;
    for (size_t i = 0; i < len; i++)
        if (!g_ascii_isalnum(text[i]) && text[i] != '-' && text[i] != '_' && text[i] != '.')
            return false;
    return true;
}

/* A DNS subdomain; annotations' prefixes are compared in lower case. */
static bool is_prefix(const char *text, size_t len)
{
    if (len == 0 || len > PREFIX_MAX_LEN)
        return false;
    bool begin = true;
    for (size_t i = 0; i < len; i++) {
        char c = g_ascii_tolower(text[i]);
        bool edge = begin || i + 1 == len || text[i + 1] == '.';
        if (c == '.') {
            if (begin)
                return false;
            begin = true;
            continue;
        }
        if (!g_ascii_isalnum(c) && (c != '-' || edge))
            return false;
        begin = false;
    }
    return !begin;
}

static bool is_key(const char *key)
{
    const char *slash = strchr(key, '/');
    if (!slash)
        return is_word(key, strlen(key));
    return is_prefix(key, (size_t)(slash - key)) && is_word(slash + 1, strlen(slash + 1));
}

static bool invalid(GError **error, const struct kube_target *t, const char *key, const char *why)
{
    g_set_error(error, KUBE_ERROR, KUBE_ERROR_INVALID, "%s/%s: %.80s: %s", t->namespace ? t->namespace : "",
                t->name ? t->name : "", key, why);
    return false;
}

/* Adds the pairs to `map`. */
static bool add_pairs(json_t *map, const struct kube_target *t, const struct kube_annotation *pairs, size_t n,
                      bool labels, bool removal, GError **error)
{
    size_t total = 0;
    for (size_t i = 0; i < n; i++) {
        const char *key = pairs[i].key, *value = pairs[i].value;
        if (!is_key(key))
            return invalid(error, t, key,
                           "not a key: a name of at most 63 letters, digits, - _ . after an "
                           "optional DNS prefix and /");
        if (!value && !removal)
            return invalid(error, t, key, "has no value");
        if (json_object_get(map, key))
            return invalid(error, t, key, "is there twice");
        if (labels && value && value[0] && !is_word(value, strlen(value)))
            return invalid(error, t, key, "not a label value: at most 63 letters, digits, - _ .");
        total += strlen(key) + (value ? strlen(value) : 0);
        if (total > KUBE_ANNOTATIONS_MAX)
            return invalid(error, t, key, "annotations of more than 262144 bytes");
        json_t *text = value ? json_string(value) : json_null();
        if (!text)
            return invalid(error, t, key, "the value is not UTF-8");
        json_object_set_new(map, key, text);
    }
    return true;
}

static json_t *metadata_of(const struct kube_target *t)
{
    json_t *metadata = json_object();
    if (t->uid && t->uid[0])
        json_object_set_new(metadata, "uid", json_string(t->uid));
    if (t->resource_version && t->resource_version[0])
        json_object_set_new(metadata, "resourceVersion", json_string(t->resource_version));
    return metadata;
}

/* Consumes the object. */
static char *text_of(json_t *object)
{
    char *text = json_dumps(object, JSON_COMPACT);
    char *copy = g_strdup(text);
    free(text);
    json_decref(object);
    return copy;
}

/* False for what is no UTF-8, or empty. */
static bool set_text(json_t *object, const char *key, const char *value)
{
    return value && value[0] && json_object_set_new(object, key, json_string(value)) == 0;
}

char *kube_body_binding(const struct kube_target *pod, const char *node,
                        const struct kube_annotation *annotations, size_t n, GError **error)
{
    json_t *body = json_object(), *metadata = metadata_of(pod), *target = json_object(), *map = json_object();
    set_text(body, "apiVersion", "v1");
    set_text(body, "kind", "Binding");
    json_object_set_new(body, "metadata", metadata);
    json_object_set_new(body, "target", target);
    json_object_set_new(metadata, "annotations", map);
    set_text(target, "apiVersion", "v1");
    set_text(target, "kind", "Node");
    bool ok = true;
    if (!set_text(metadata, "name", pod->name) || !set_text(metadata, "namespace", pod->namespace))
        ok = invalid(error, pod, "pod", "its name or namespace is empty or not UTF-8");
    else if (!set_text(target, "name", node))
        ok = invalid(error, pod, "node", "its name is empty or not UTF-8");
    if (ok && add_pairs(map, pod, annotations, n, false, false, error))
        return text_of(body);
    json_decref(body);
    return NULL;
}

char *kube_body_annotate(const struct kube_target *object, const struct kube_annotation *annotations,
                         size_t n_annotations, const struct kube_annotation *labels, size_t n_labels,
                         GError **error)
{
    json_t *metadata = metadata_of(object), *body = json_object();
    json_t *annotation_map = json_object(), *label_map = json_object();
    bool ok = add_pairs(annotation_map, object, annotations, n_annotations, false, true, error) &&
              add_pairs(label_map, object, labels, n_labels, true, true, error);
    if (ok && n_annotations)
        json_object_set(metadata, "annotations", annotation_map);
    if (ok && n_labels)
        json_object_set(metadata, "labels", label_map);
    json_decref(annotation_map);
    json_decref(label_map);
    json_object_set_new(body, "metadata", metadata);
    if (ok)
        return text_of(body);
    json_decref(body);
    return NULL;
}

char *kube_body_delete(const struct kube_target *object, int grace_s)
{
    json_t *body = json_object(), *preconditions = metadata_of(object);
    json_object_set_new(body, "apiVersion", json_string("v1"));
    json_object_set_new(body, "kind", json_string("DeleteOptions"));
    if (json_object_size(preconditions))
        json_object_set(body, "preconditions", preconditions);
    json_decref(preconditions);
    if (grace_s >= 0)
        json_object_set_new(body, "gracePeriodSeconds", json_integer(grace_s));
    return text_of(body);
}
