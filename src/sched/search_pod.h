/* SPDX-License-Identifier: Apache-2.0
 *
 * Another choice of cards for a pod whose requests are in each other's way, or
 * above the namespace's quota, when each takes what it likes best. Pure.
 *
 * Requests are placed in order. Where one finds nothing, the ones before it do
 * without one of the cards that it could use, the last request and its least
 * liked card first, and choose again. Every set of cards is chosen once at
 * most, and cards that are alike count as one; of cards in MIG mode the whole
 * card is given up first, then single places. So a pod fits whenever there is
 * an assignment by the rules, and a node with more room takes whatever one with
 * less does, as long as the search is not cut off: a choice among n cards costs
 * 1 + n * n / 256 steps, as sorting them takes longest.
 */
#ifndef HAMI_SCHED_SEARCH_POD_H
#define HAMI_SCHED_SEARCH_POD_H

#include "sched/choose_cards.h"

/* Is it worth a search? `report` and `request` say where the first choice ended. */
bool search_may_help(const struct choose_report *report, uint8_t request);

/* *steps is counted down; 0 = cut off. The arguments are those of fit_pod(). */
bool search_pod(const struct family_set *families, const struct node_spec *node, const struct card_use *use,
                const struct fit_quota *quota, const struct pod_request *r, uint8_t failed, unsigned *steps,
                struct pod_grant *ret);

#endif
