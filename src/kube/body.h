/* SPDX-License-Identifier: Apache-2.0
 *
 * Bodies of writes: Bindings and patches of annotations, with the
 * preconditions that make them safe.
 *
 * The API server takes the annotations of a Binding unchecked (any key, any
 * size) and the pod can never be patched again; so keys, values and their sum
 * are checked here by its own rules for everything else: qualified names,
 * 262144 bytes in all (apimachinery ValidateAnnotations). A uid or
 * resourceVersion that does not match is answered by 409.
 */
#ifndef HAMI_KUBE_BODY_H
#define HAMI_KUBE_BODY_H

#include <glib.h>
#include <jansson.h>
#include <stddef.h>

#define KUBE_ANNOTATIONS_MAX 262144 /* bytes, keys and values */

struct kube_annotation {
    const char *key;
    const char *value; /* NULL: remove (patches only) */
};

/* Borrowed. uid and resource_version: preconditions, NULL = none. */
struct kube_target {
    const char *namespace, *name;
    const char *uid, *resource_version;
};

/* POST .../pods/NAME/binding. Caller frees;
 * KUBE_ERROR_INVALID names the key. */
char *kube_body_binding(const struct kube_target *pod, const char *node,
                        const struct kube_annotation *annotations, size_t n, GError **error);

/* PATCH with KUBE_MERGE_PATCH. labels may be NULL. Caller frees. */
char *kube_body_annotate(const struct kube_target *object, const struct kube_annotation *annotations,
                         size_t n_annotations, const struct kube_annotation *labels, size_t n_labels,
                         GError **error);

/* DELETE with preconditions. grace_s below 0: the object's own. Caller frees. */
char *kube_body_delete(const struct kube_target *object, int grace_s);

/* A body that was built as a tree, which is consumed. Caller frees. */
char *kube_body_text(json_t *object);

#endif
