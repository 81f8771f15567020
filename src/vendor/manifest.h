/* SPDX-License-Identifier: Apache-2.0
 *
 * Manifests of pods that ask for cards: written from flags, and read from
 * whatever carries a pod template. Pure: trees in, trees out.
 */
#ifndef HAMI_VENDOR_MANIFEST_H
#define HAMI_VENDOR_MANIFEST_H

#include <glib.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "model/family.h"

/* Borrowed texts; NULL = not given. */
struct manifest_options {
    const char *kind; /* "pod", "deployment" or "job" */
    const char *name, *namespace_, *image, *scheduler_name;
    const char *const *command; /* NULL-terminated; NULL = the image's */
    uint32_t replicas;
    const char *vendor; /* a family's word or the head of its resource names; NULL = NVIDIA */
    /* "nvidia.com/gpu=1,nvidia.com/gpumem=8000", NULL-terminated, in the place of vendor and of the next
     * line. */
    const char *const *request;
    const char *gpus, *size, *mem, *cores, *priority;
    const char *use_type, *not_type, *use_uuid, *not_uuid;
    const char *node_policy, *card_policy, *weights, *mode;
    const char *qos, *app_class, *topology; /* MetaX sGPU */
    bool numa;
};

/* The object, judged as admission would. NULL and error (STATUS_USAGE) naming the
 * flag or the field, the value and what to write instead. Caller unrefs. */
json_t *manifest_build(const struct family_set *set, const struct manifest_options *o, GError **error);

/* The family that a --vendor names; NULL when none. */
const struct family *manifest_vendor(const struct family_set *set, const char *word);

/* Calls f for each pod in an object: the object itself, its templates, or those
 * of the items of a List. The pod has metadata and spec (borrowed); `where` says
 * which for people ("Deployment default/web", "Job default/a spec.tasks[1].template").
 * Returns the number of pods. */
unsigned manifest_pods(json_t *object,
                       void (*f)(json_t *pod, const char *where, const char *namespace_, void *data),
                       void *data);

#endif
