/* SPDX-License-Identifier: Apache-2.0
 *
 * What /filter decided and /bind will write: the annotations of pods that are
 * placed and not bound yet. A pod that asks for no cards is remembered with none, so
 * that its bind can be told from one whose reservation was lost.
 */
#ifndef HAMI_SCHEDULER_ASSIGNED_H
#define HAMI_SCHEDULER_ASSIGNED_H

#include "kube/body.h"
#include "scheduler/service.h"

struct assignment {
    uint64_t number; /* of the decision */
    bool ours;       /* holds cards */
    bool asked;      /* a bind for it is under way */
    bool unknown;    /* a bind was sent and its fate is not known yet: the cards stay with it */
    int64_t deadline_ms;
    GArray *annotations; /* of struct kube_annotation; strings are owned */
};

GHashTable *assigned_new(void);
/* Until the reservation's deadline. r and grant NULL: a pod without cards. */
void assigned_put(struct scheduler *s, const char *uid, const struct pod_request *r,
                  const struct cluster_answer *a);
/* Borrowed until the next change; NULL when nothing was decided. */
struct assignment *assigned_get(struct scheduler *s, const char *uid);
void assigned_drop(struct scheduler *s, const char *uid);
/* Drops what passed its deadline. The earliest deadline that is left; INT64_MAX = none. */
int64_t assigned_expire(struct scheduler *s, int64_t now_ms);

#endif
