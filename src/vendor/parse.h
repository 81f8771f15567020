/* SPDX-License-Identifier: Apache-2.0
 *
 * A pod object's text to what the scheduler needs of it, in one pass of the
 * scanner: identity, phase, resources, annotations. Then the request by the
 * families' rules. Used for the extender's Pod, for watch events and for
 * admission alike, so that all three read a pod the same way.
 */
#ifndef HAMI_VENDOR_PARSE_H
#define HAMI_VENDOR_PARSE_H

#include "base/json_scan.h"
#include "model/pod.h"

enum pod_phase { POD_PENDING, POD_RUNNING, POD_SUCCEEDED, POD_FAILED, POD_UNKNOWN };

#define POD_ANNOTATIONS_MAX 64 /* of ours; others are not kept */
#define POD_RESOURCES_MAX 32   /* per container, of ours */

struct pod_resource {
    const char *name;
    struct json_text limit, request; /* quantities as written; len 0 = absent */
};

struct pod_container {
    const char *name;
    bool sidecar, init, privileged;
    bool visible_all; /* env NVIDIA_VISIBLE_DEVICES=all */
    uint8_t n_resources;
    struct pod_resource resources[POD_RESOURCES_MAX];
};

/* Borrowed from the text, or from `arena` where a copy was needed. */
struct pod_object {
    const char *uid, *name, *namespace_, *node, *scheduler, *resource_version, *pod_group;
    const char *runtime_class;
    enum pod_phase phase;
    bool deleting, gated;
    bool inits_done; /* every init container that is not a sidecar ended with 0 */
    int32_t priority;
    uint16_t n_containers; /* init containers first */
    uint16_t n_init;
    struct pod_container *containers;
    uint16_t n_annotations;
    struct {
        const char *key, *value;
    } annotations[POD_ANNOTATIONS_MAX];
    void *arena;
};

/* Keys are kept when the set knows them (selection, writes, policies, hami.io/...). False and
 * *ret_why (static) when the text is no pod. ret is cleared with pod_object_clear(). */
bool pod_object_parse(const struct family_set *set, const char *text, size_t len, struct pod_object *ret,
                      const char **ret_why);
bool pod_object_scan(const struct family_set *set, struct json_scan *s, struct pod_object *ret);
void pod_object_clear(struct pod_object *p);
const char *pod_object_annotation(const struct pod_object *p, const char *key);

/* The cluster's default policies (--node-scheduler-policy, --gpu-scheduler-policy). */
struct pod_defaults {
    const char *node_policy; /* "binpack" */
    const char *card_policy; /* "spread", or a comma list */
};

/* What the pod asks for. False and *ret_why (caller frees; names container,
 * field, value and remedy) when a number or word cannot be understood; such a
 * pod must never be scheduled as one that asks for nothing. */
bool vendor_request_parse(const struct family_set *set, const struct pod_object *pod,
                          const struct pod_defaults *defaults, struct pod_request *ret, char **ret_why);

#endif
