/* SPDX-License-Identifier: Apache-2.0
 *
 * A pod object's text to what the scheduler needs of it, in one pass of the
 * scanner: identity, phase, resources, annotations. Then the request by the
 * families' rules. Used for the extender's Pod, for watch events and for
 * admission alike, so that all three read a pod the same way.
 *
 * Hostile until the last call: texts are bounded by the document, counts by
 * the constants below, and a pod beyond them is no pod.
 */
#ifndef HAMI_VENDOR_PARSE_H
#define HAMI_VENDOR_PARSE_H

#include <glib.h>

#include "base/json_scan.h"
#include "model/pod.h"

enum pod_phase { POD_PENDING, POD_RUNNING, POD_SUCCEEDED, POD_FAILED, POD_UNKNOWN };

#define POD_CONTAINERS_MAX 1024
#define POD_RESOURCES_MAX 32 /* per container, of ours */

struct pod_resource {
    const char *name;                /* the family's own copy of it */
    struct json_text limit, request; /* quantities as written; at NULL = absent */
    bool has_limit, has_request;     /* null included */
};

/* What env NVIDIA_VISIBLE_DEVICES says, which takes the place of what the device plugin says: the kubelet
 * appends a container's own variables, and runtimes read the last. */
enum pod_visible {
    POD_VISIBLE_NOTHING, /* absent, empty, "none" or "void" */
    POD_VISIBLE_ALL,
    POD_VISIBLE_NAMED,
    POD_VISIBLE_ELSEWHERE /* valueFrom */
};

/* The kinds (JSON_IS_NONE = absent) are for who changes the pod. */
struct pod_container {
    const char *name;
    struct pod_resource *resources;
    uint64_t families;    /* that it names a resource of, by their rows */
    struct json_text env; /* the array's text; at NULL = none */
    bool sidecar, init, privileged;
    uint8_t visible;           /* enum pod_visible */
    const char *visible_named; /* the value, for POD_VISIBLE_NAMED */
    uint8_t n_resources;
    uint8_t kind, resources_kind, limits_kind, requests_kind, env_kind; /* enum json_kind */
};

struct pod_annotation {
    const char *key;   /* the reader's own copy of it */
    const char *value; /* NULL = no text */
};

struct pod_key {
    const struct pod_key *next;
    const char *text;
};

/* Texts are borrowed from the pod's text, from the reader, or from `arena`
 * where a copy was needed; both must outlive the object. Absent ones are "". */
struct pod_object {
    const char *uid, *name, *generate_name, *namespace_, *node, *scheduler, *resource_version, *pod_group;
    const char *runtime_class;
    enum pod_phase phase;
    bool deleting, gated;
    bool inits_done; /* every init container that is not a sidecar ended with 0 */
    int32_t priority;
    uint32_t n_containers; /* init containers first */
    uint32_t n_init;
    struct pod_container *containers;
    uint32_t n_annotations; /* of ours, each key once; others are not kept */
    struct pod_annotation *annotations;
    uint8_t metadata_kind, annotations_kind, scheduler_kind, runtime_class_kind; /* enum json_kind */
    /* Of pods that do not exist yet: keys that only the scheduler and agents write, at most 16 of each. */
    const struct pod_key *assigned_annotations, *assigned_labels;
    void *arena;
};

/* Which resource names and annotation keys are ours: made once from a set (which it borrows), then only
 * read, from any thread. Keys are kept when a family selects by or writes them, or when they are in
 * contract/annotations.def. */
struct pod_reader;
struct pod_reader *pod_reader_new(const struct family_set *set);
void pod_reader_free(struct pod_reader *r);
typedef struct pod_reader PodReader;
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PodReader, pod_reader_free)

/* False and *ret_why (static) when the text is no pod. ret is cleared with pod_object_clear(). */
bool pod_object_parse(const struct pod_reader *r, const char *text, size_t len, struct pod_object *ret,
                      const char **ret_why);
/* For what exists already: what cannot be taken (a broken text, more than there can be) is left out, so that
 * nobody hides a pod's cards or its end behind it. Never to decide by. */
bool pod_object_parse_leniently(const struct pod_reader *r, const char *text, size_t len,
                                struct pod_object *ret, const char **ret_why);
/* pod_object_parse() of a value inside a document; on a fault the scanner says why, and ret holds nothing. */
bool pod_object_scan(const struct pod_reader *r, struct json_scan *s, struct pod_object *ret);
/* The same of a pod that is about to be created, for admission: its status is not read, what has two readings
 * (a member twice) is a fault, and any number of containers is taken: who reads its request limits them. */
bool pod_object_scan_new(const struct pod_reader *r, struct json_scan *s, struct pod_object *ret);
void pod_object_clear(struct pod_object *p);
const char *pod_object_annotation(const struct pod_object *p, const char *key); /* NULL = absent */

/* The cluster's default policies (--node-scheduler-policy, --gpu-scheduler-policy). */
struct pod_defaults {
    const char *node_policy; /* "binpack" */
    const char *card_policy; /* "spread", or a comma list */
};

/* What the pod asks for; cleared with pod_request_clear(). False and *ret_why (caller frees; names
 * container, field, value and remedy) when a number or word cannot be understood; such a pod must never be
 * scheduled as one that asks for nothing. Misspelt policies, modes and switches fall back to their default,
 * with a sentence each in `remarks` (of char*; may be NULL). */
bool vendor_request_parse(const struct family_set *set, const struct pod_object *pod,
                          const struct pod_defaults *defaults, struct pod_request *ret, GPtrArray *remarks,
                          char **ret_why);

/* The same of a pod that is bound, and therefore was understood once: whatever its owner wrote since, its
 * containers count by what they ask for, as far as that can be understood. */
void vendor_request_of_bound(const struct family_set *set, const struct pod_object *pod,
                             const struct pod_defaults *defaults, struct pod_request *ret);

#endif
