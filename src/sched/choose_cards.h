/* SPDX-License-Identifier: Apache-2.0
 *
 * Which cards of one node one container's request gets, and why the others
 * not: the rules in the order in which the field's schedulers test and report
 * (scheduler.md 6.4, vendors.md 2.4), the order of cards by policy (6.3), the
 * picks that a family's row can say. Pure.
 */
#ifndef HAMI_SCHED_CHOOSE_CARDS_H
#define HAMI_SCHED_CHOOSE_CARDS_H

#include "model/choice.h"
#include "model/reason.h"

/* What a namespace may still take. Resources are numbers of the cluster's
 * table (FIT_NO_RESOURCE = the family has none). */
#define FIT_NO_RESOURCE UINT16_MAX
#define FIT_LIMITS_MAX (2 * FAMILIES_MAX)
struct fit_limit {
    uint16_t resource;
    int64_t limit,
        used; /* used: MiB or cores, without the pod that is being placed; limit: the quota's own unit */
};
struct fit_quota {
    const uint16_t *mem_resource, *cores_resource; /* by family */
    const struct family_set *families;
    uint32_t n;
    struct fit_limit limits[FIT_LIMITS_MAX];
};

/* Filled for every card of the family when the answer is not SCHED_FITS. */
struct choose_report {
    enum sched_reason reason;       /* the main one */
    bool tried;                     /* else the reason concerns the node, and what follows is not filled */
    uint32_t first, n_cards;        /* cards of the family: first ... first + n_cards - 1 */
    uint8_t reasons[CARD_PER_NODE]; /* enum sched_reason of card first + i; SCHED_FITS = it would have done */
    uint32_t n_fitting;             /* cards that would have done, */
    enum sched_reason set_reason;   /* and why they do not as a set */
    uint32_t set_n, set_of;         /* "set_n/set_of <reason>"; set_of 0 = n_fitting of n_cards */
};

/* Fills c->candidates and c->picked. quota may be NULL. */
enum sched_reason choose_cards(struct choice *c, const struct fit_quota *quota, struct choose_report *ret);

/* Do the picks, with what earlier containers have, take more than is left? */
bool choose_over_quota(const struct fit_quota *q, const struct choice *c);

/* What the limit allows of the family's resource, in MiB or cores; -1 = it is not of this family. */
int64_t choose_limit(const struct fit_quota *q, const struct family *f, const struct fit_limit *limit);

/* All of a compute share that may be granted of a card. */
uint32_t choose_cores_total(const struct family *f, const struct card *card);

/* May fewer cards than asked for answer the request? Cores of a mask are asked
 * for in devices of a customary size; a hook may find them on larger ones. */
bool choose_may_merge(const struct family *f, const struct card_request *r);

/* Do the family's cards have modes (hami-core, mig, mps) that a pod can ask for? */
bool choose_has_modes(const struct family *f);

#endif
