/* SPDX-License-Identifier: Apache-2.0
 *
 * See body.h. Rules for keys: apimachinery util/validation IsQualifiedName; for
 * label values: IsValidLabelValue.
 */
#include "kube/body.h"

#include <stdbool.h>
#include <string.h>

#include "base/json_write.h"
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

/* Whether the i-th pair can be written; *total grows by its bytes. */
static bool check_pair(const struct kube_target *t, const struct kube_annotation *pairs, size_t i,
                       bool removal, size_t *total, GError **error)
{
    const char *key = pairs[i].key, *value = pairs[i].value;
    if (!is_key(key))
        return invalid(error, t, key,
                       "not a key: a name of at most 63 letters, digits, - _ . after an "
                       "optional DNS prefix and /");
    if (!value && !removal)
        return invalid(error, t, key, "has no value");
    for (size_t k = 0; k < i; k++) /* a dozen at most */
        if (strcmp(pairs[k].key, key) == 0)
            return invalid(error, t, key, "is there twice");
    *total += strlen(key) + (value ? strlen(value) : 0);
    if (*total > KUBE_ANNOTATIONS_MAX)
        return invalid(error, t, key, "annotations of more than 262144 bytes");
    return value && !g_utf8_validate(value, -1, NULL) ? invalid(error, t, key, "the value is not UTF-8")
                                                      : true;
}

/* Adds the pairs to `map`. */
static bool add_pairs(json_t *map, const struct kube_target *t, const struct kube_annotation *pairs, size_t n,
                      bool labels, GError **error)
{
    size_t total = 0;
    for (size_t i = 0; i < n; i++) {
        const char *key = pairs[i].key, *value = pairs[i].value;
        if (!check_pair(t, pairs, i, true, &total, error))
            return false;
        if (labels && value && value[0] && !is_word(value, strlen(value)))
            return invalid(error, t, key, "not a label value: at most 63 letters, digits, - _ .");
        json_object_set_new(map, key, value ? json_string(value) : json_null());
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

char *kube_body_text(json_t *object)
{
    char *text = json_dumps(object, JSON_COMPACT);
    char *copy = g_strdup(text);
    free(text);
    json_decref(object);
    return copy;
}

static bool is_text(const char *value)
{
    return value && value[0] && g_utf8_validate(value, -1, NULL);
}

/* `"key":"value"` behind what is there; nothing without a value. */
static void append_member(GString *out, const char *key, const char *value)
{
    if (!value || !value[0])
        return;
    if (out->str[out->len - 1] != '{')
        g_string_append_c(out, ',');
    json_write_string(out, key);
    g_string_append_c(out, ':');
    json_write_string(out, value);
}

/* One for each pod: written as text, a tree would be ten times the work. */
char *kube_body_binding(const struct kube_target *pod, const char *node,
                        const struct kube_annotation *annotations, size_t n, GError **error)
{
    size_t total = 0;
    if (!is_text(pod->name) || !is_text(pod->namespace)) {
        invalid(error, pod, "pod", "its name or namespace is empty or not UTF-8");
        return NULL;
    }
    if (!is_text(node)) {
        invalid(error, pod, "node", "its name is empty or not UTF-8");
        return NULL;
    }
    for (size_t i = 0; i < n; i++)
        if (!check_pair(pod, annotations, i, false, &total, error))
            return NULL;
    GString *out = g_string_sized_new(512 + total);
    g_string_append(out, "{\"apiVersion\":\"v1\",\"kind\":\"Binding\",\"metadata\":{");
    append_member(out, "uid", pod->uid);
    append_member(out, "resourceVersion", pod->resource_version);
    g_string_append(out, out->str[out->len - 1] == '{' ? "\"annotations\":{" : ",\"annotations\":{");
    for (size_t i = 0; i < n; i++) {
        g_string_append(out, i ? "," : "");
        json_write_string(out, annotations[i].key);
        g_string_append_c(out, ':');
        json_write_string(out, annotations[i].value);
    }
    g_string_append_c(out, '}');
    append_member(out, "name", pod->name);
    append_member(out, "namespace", pod->namespace);
    g_string_append(out, "},\"target\":{\"apiVersion\":\"v1\",\"kind\":\"Node\"");
    append_member(out, "name", node);
    g_string_append(out, "}}");
    return g_string_free(out, FALSE);
}

char *kube_body_annotate(const struct kube_target *object, const struct kube_annotation *annotations,
                         size_t n_annotations, const struct kube_annotation *labels, size_t n_labels,
                         GError **error)
{
    json_t *metadata = metadata_of(object), *body = json_object();
    json_t *annotation_map = json_object(), *label_map = json_object();
    bool ok = add_pairs(annotation_map, object, annotations, n_annotations, false, error) &&
              add_pairs(label_map, object, labels, n_labels, true, error);
    if (ok && n_annotations)
        json_object_set(metadata, "annotations", annotation_map);
    if (ok && n_labels)
        json_object_set(metadata, "labels", label_map);
    json_decref(annotation_map);
    json_decref(label_map);
    json_object_set_new(body, "metadata", metadata);
    if (ok)
        return kube_body_text(body);
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
    return kube_body_text(body);
}
