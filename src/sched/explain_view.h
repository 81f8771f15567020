/* SPDX-License-Identifier: Apache-2.0
 *
 * What the parts of an explanation share (explain_pod.c, explain_figures.c,
 * explain_relax.c): the nodes with their reasons, and a place to try things.
 * Scratch of one call.
 *
 * Five thousand nodes have to be explained in about the time of placing five
 * pods, so nothing is tried on a node whose reasons say that it cannot help.
 */
#ifndef HAMI_SCHED_EXPLAIN_VIEW_H
#define HAMI_SCHED_EXPLAIN_VIEW_H

#include "sched/explain_pod.h"
#include "sched/fit_pod.h"

#define EXPLAIN_STEPS_MAX (128 * FIT_STEPS) /* some 200 ms */
#define EXPLAIN_BIT(reason) (UINT64_C(1) << (reason))
#define EXPLAIN_ANY UINT64_MAX /* also where no card was tried */
_Static_assert(SCHED_REASONS <= 64, "a set of reasons is a mask");

struct explain_view {
    const Cluster *cluster;
    const struct family_set *families;
    const struct pod_request *pod;
    struct fit_quota quota;
    uint32_t own; /* the pod's own record, 0 = none: what it holds already does not count against it */
    struct card_use use[CARD_PER_NODE];
    unsigned steps; /* of searching, that are left */
    Explanation *e;
    GArray *hints;              /* of struct explain_hint */
    struct pod_grant grant;     /* of the last try */
    struct pod_request changed; /* shallow copy of *pod */
};

/* Could node i take the pod if cards with a reason of the mask did no longer
 * have it? True whenever that is not known. */
bool explain_is_plausible(const struct explain_view *v, uint32_t i, uint64_t mask);
/* The same, from any card that has one of the reasons. */
bool explain_has_reason(const struct explain_view *v, uint32_t i, uint64_t mask);

/* Cards of node i that may have to serve request q: how many are needed at least. */
uint32_t explain_needed(const struct explain_view *v, uint32_t i);

/* What others take of a node's cards; valid until the next call. */
const struct card_use *explain_use(struct explain_view *v, ClusterNode n);
/* v->changed on node i as it is. */
bool explain_try(struct explain_view *v, uint32_t i);

/* Counts the nodes that take v->changed, of the plausible ones, and adds the
 * hint when there is one. */
bool explain_add(struct explain_view *v, struct explain_hint hint, uint64_t mask);

void explain_figures(struct explain_view *v);
void explain_relax(struct explain_view *v);

#endif
