/* SPDX-License-Identifier: Apache-2.0
 *
 * What a family's row cannot say in data: the functions behind `pick` and
 * `admits` of struct family, one file per family (pick_*.c). All are pure: a
 * situation in (model/choice.h), picked cards or a reason out.
 */
#ifndef HAMI_VENDOR_HOOKS_H
#define HAMI_VENDOR_HOOKS_H

#include "model/choice.h"
#include "model/reason.h"

/* Fill c->picked[] and c->n_picked from c->candidates and answer true, or set
 * c->reason and answer false; c->candidates stay as they are. */
bool pick_nvidia(struct choice *c);     /* MIG placements, pair scores, NUMA runs */
bool pick_kunlun(struct choice *c);     /* two wings of four, pairs and quads; kunlun and XPU */
bool pick_metax_sgpu(struct choice *c); /* link zones, online and offline classes */
bool pick_neuron(struct choice *c);     /* windows of devices, free cores of one device */

/* 0, or the enum sched_reason for which a card is no candidate; asked after
 * the generic rules have let the card pass. */
int admits_nvidia(const struct choice *c, uint32_t card);     /* MIG mode: some profile finds a place */
int admits_metax_sgpu(const struct choice *c, uint32_t card); /* application class, QoS */
int admits_xpu(const struct choice *c, uint32_t card);        /* all slices of a card have one size */
int admits_same_card(const struct choice *c, uint32_t card);  /* one card for the whole pod */

/* See struct family. */
double score_kunlun(const struct family *f, const struct node_spec *node, const struct card_use *use,
                    const struct pod_request *pod, const struct card_grant *grants, uint32_t n);
double score_metax_sgpu(const struct family *f, const struct node_spec *node, const struct card_use *use,
                        const struct pod_request *pod, const struct card_grant *grants, uint32_t n);

#endif
