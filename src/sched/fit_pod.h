/* SPDX-License-Identifier: Apache-2.0
 *
 * Does a whole pod fit on one node: its containers in order. An init container
 * has the node to itself but for the sidecars that started before it; the
 * others run together. Pure.
 */
#ifndef HAMI_SCHED_FIT_POD_H
#define HAMI_SCHED_FIT_POD_H

#include <glib.h>

#include "model/node.h"
#include "model/pod.h"
#include "sched/choose_cards.h"

struct fit_report {
    int request; /* the request that failed first */
    struct choose_report cards;
};

/* Each request takes what it likes best; where that leaves too little for another one, any assignment that
 * keeps the rules will do (sched/search_pod.h). `use` has a row per card: what others take. steps: of a
 * search, counted down over several calls, FIT_STEPS at most in one; NULL = FIT_STEPS. quota and ret_report
 * may be NULL; a report tells why the first choice failed. */
#define FIT_STEPS 2048
enum sched_reason fit_pod(const struct family_set *families, const struct node_spec *node,
                          const struct card_use *use, const struct fit_quota *quota,
                          const struct pod_request *r, unsigned *steps, struct pod_grant *ret,
                          struct fit_report *ret_report);

/* "1/4 CardInsufficientMemory, 3/4 CardTypeMismatch", or the one word of a
 * reason that concerns the node. Appended. */
void fit_report_format(const struct fit_report *report, GString *out);

#endif
