/* SPDX-License-Identifier: Apache-2.0
 *
 * The two halves of a pod's request: what its containers' resources say
 * (container_request.c) and what its annotations say (settings.c). Both
 * collect every fault and go on.
 */
#ifndef HAMI_VENDOR_REQUEST_H
#define HAMI_VENDOR_REQUEST_H

#include "vendor/fault.h"
#include "vendor/parse.h"

/* True when the container asks for cards of the family; ret is then filled except for its slot. */
bool container_request(const struct family *f, const struct pod_container *c, bool soft, GPtrArray *faults,
                       struct card_request *ret);

/* A memory amount in manifest units (of one card) rounded by the family's rule: up to a shape or a step.
 * False when no card can hold it. Shared with admission, which writes the rounded amount down. */
bool container_memory_round(const struct family *f, bool soft, uint64_t *bytes);

/* Whether the pod's annotations select soft slicing for the family. */
bool settings_soft(const struct family *f, const struct pod_object *pod);

/* The words that annotations may hold; what else is in them is a fault. */
extern const char *const settings_node_policies[], *const settings_card_policies[];
extern const char *const settings_yes[], *const settings_no[]; /* of strconv.ParseBool */

/* Policies, weights, modes, classes and selections into ret, whose requests are known. Strings go to
 * ret->arena. */
void settings_read(const struct family_set *set, const struct pod_object *pod,
                   const struct pod_defaults *defaults, struct pod_request *ret, GPtrArray *faults);

/* Everything, with all faults. What is misspelt has its default in ret. */
void vendor_request_read(const struct family_set *set, const struct pod_object *pod,
                         const struct pod_defaults *defaults, struct pod_request *ret, GPtrArray *faults);

#endif
