/* SPDX-License-Identifier: Apache-2.0
 *
 * Assignment annotations of pods, read and written (scheduler.md section 4,
 * vendors.md section 3): `UUID,TYPE,MiB,cores:` per card, `;` per slot, and the
 * families' own shapes. A pod's annotations are hostile until its binding is
 * known to be ours.
 */
#ifndef HAMI_MODEL_POD_CODEC_H
#define HAMI_MODEL_POD_CODEC_H

#include <stddef.h>

#include "model/node.h"
#include "model/pod.h"

/* One card as an annotation names it. Text is borrowed from the annotation. */
struct pod_codec_device {
    const char *uuid, *type;
    uint16_t uuid_len, type_len;
    uint16_t slot;
    int32_t mem_mib, cores;
};

/* Devices of `text`, at most max; their number, or -1 and *ret_why (caller
 * frees): malformed, negative, out of range, too many slots or devices. */
int pod_codec_parse(const char *text, size_t len, struct pod_codec_device *ret, unsigned max, char **ret_why);

/* The grants of one family as that text. Caller frees. */
char *pod_codec_format(const struct family *f, const struct node_spec *node, const struct pod_grant *g,
                       unsigned n_slots);

/* Grants of all families of a pod that was bound to `node`, from its
 * annotations: get(key) gives an annotation's text or NULL. Cards that the node
 * does not have are left out and counted in *ret_unknown. False and *ret_why
 * when a text is malformed. MIG placements come from hami.io/vgpu-mig-allocations. */
bool pod_codec_restore(const struct family_set *set, const struct node_spec *node,
                       const char *(*get)(const char *key, void *data), void *data, struct pod_grant *ret,
                       unsigned *ret_unknown, char **ret_why);

/* Every annotation that an assignment writes, by the families' tables, in a
 * fixed order: put(key, value) is called once for each. now_ns: wall clock.
 * Includes hami.io/vgpu-node, hami.io/vgpu-time, hami.io/bind-phase=allocating, hami.io/bind-time. */
void pod_codec_write(const struct family_set *set, const struct node_spec *node, const struct pod_request *r,
                     const struct pod_grant *g, int64_t now_ns,
                     void (*put)(const char *key, const char *value, void *data), void *data);

#endif
