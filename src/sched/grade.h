/* SPDX-License-Identifier: Apache-2.0
 *
 * How good a pod's cards are on a node beyond how full the node is: links,
 * networks, wings. Every family grades from 0 to 1; its weight says what that
 * is worth beside the base score (vendors.md 6.5: one scale, one sign). Pure.
 */
#ifndef HAMI_SCHED_GRADE_H
#define HAMI_SCHED_GRADE_H

#include "model/node.h"
#include "model/pod.h"

/* The families of a request that grade nodes. */
struct grades {
    uint32_t n;
    const struct family *families[FAMILIES_MAX];
    double most; /* all of them at 1 */
};

void grade_find(const struct family_set *families, const struct pod_request *r, struct grades *ret);
/* `use` is the node's before the pod. */
double grade_sum(const struct grades *g, const struct node_spec *node, const struct card_use *use,
                 const struct pod_request *r, const struct pod_grant *grant);

#endif
