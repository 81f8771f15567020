/* SPDX-License-Identifier: Apache-2.0
 *
 * The first look at a candidate: what a pod needs at least, in the measures of
 * the hot rows, and whether a node might have it. What is refused here, the
 * rules of choose_cards.c would refuse as well; tests/unit/sched holds both
 * against each other.
 */
#ifndef HAMI_SCHED_NEED_H
#define HAMI_SCHED_NEED_H

#include "sched/cluster_internal.h"

enum { NEED_UUIDS_MAX = 32 };

/* What one request needs of a card, in the measures of the hot rows. Never more than the rules ask. */
struct need {
    uint64_t family_bit;
    uint32_t n_cards;
    uint32_t mib;     /* fixed amount, or */
    uint32_t percent; /* of the card; 100 = all of it */
    uint32_t cores;
    bool cores_of_total, idle, whole_share, some_cores, mig;
    uint8_t family, modes;          /* modes 0 = any */
    uint8_t *verdicts;              /* by type; NULL = any type */
    const struct pod_selection *s;  /* for them */
    uint32_t n_uuids;               /* 0 = any */
    uint32_t uuids[NEED_UUIDS_MAX]; /* hashes */
};

struct needs {
    uint32_t n;
    uint64_t families;
    uint32_t mib, cores, n_cards; /* the most that any request needs of any card */
    bool mig, soft, whole;        /* whole: all memory of some card */
    struct need need[POD_REQUESTS_MAX];
};

/* Uses the cluster's scratch: one at a time. */
void need_make(const Cluster *c, const struct pod_request *r, struct needs *ret);
bool need_may_do(const Cluster *c, const struct needs *needs, const struct hot_node *h);

#endif
