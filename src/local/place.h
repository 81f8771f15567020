/* SPDX-License-Identifier: Apache-2.0
 *
 * Choosing cards of this host: the engine of the cluster (sched/choose_cards.h)
 * over one node, with the differences that a host has. Bytes are exact, a MIG
 * instance is a card of which only one per physical card goes to a request,
 * and equal cards are taken from the lowest number on.
 */
#ifndef HAMI_LOCAL_PLACE_H
#define HAMI_LOCAL_PLACE_H

#include "local/machine.h"
#include "local/request.h"
#include "model/reason.h"

/* Picks request->n_devices distinct physical cards. SCHED_FITS and *ret, or
 * why not: the reason that the most cards share when none fits, SCHED_COUNT
 * when some do but too few, SCHED_NUMA, or SCHED_NO_CARDS. */
enum sched_reason place_choose(const struct machine *m, const struct request *r, struct request_grant *ret);

/* Why each card does not take one share of the request; SCHED_FITS when it does. */
void place_reasons(const struct machine *m, const struct request *r, enum sched_reason ret[MACHINE_CARDS]);

/* Adds a grant to the use of its cards, or takes it back. False, and nothing
 * changes, when that would take a card above what it has (add) or below zero
 * (remove), or when two shares lie on one physical card (add). */
bool place_add(struct machine *m, const struct request_grant *g);
bool place_remove(struct machine *m, const struct request_grant *g);

#endif
