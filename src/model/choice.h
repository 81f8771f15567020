/* SPDX-License-Identifier: Apache-2.0
 *
 * One container's request for cards of one family on one node: the situation
 * that the generic engine (sched/choose_cards.c) and the families' hooks
 * (src/vendor) share. Scratch of one decision; nothing here outlives it.
 */
#ifndef HAMI_MODEL_CHOICE_H
#define HAMI_MODEL_CHOICE_H

#include "model/node.h"
#include "model/pod.h"

struct choice {
    const struct family *family;
    const struct node_spec *node;
    const struct card *cards;   /* all cards of the node */
    const struct card_use *use; /* with what this pod's earlier containers take */
    uint32_t n_cards;
    const struct pod_request *pod;
    const struct card_request *request;
    const struct card_grant *earlier; /* of this pod, earlier containers */
    uint32_t n_earlier;
    /* In a search for whatever fits (sched/search_pod.h): what the request has to do without, a row per
     * card; else NULL. Any bit: the card; of a card in MIG mode bit s: an instance that starts at slice s
     * (all bits: the card). */
    const uint16_t *avoid;

    /* Cards that pass every rule, best first, by the pod's policy; ties by
     * index. A pick hook takes request->n_cards of them into picked[], or one
     * MIG card several times, or (AWS Neuron) as many devices as hold the cores
     * that are asked for. It is called whenever there is a candidate, so it, and
     * not the caller, says that they are too few. */
    uint32_t n_candidates;
    uint16_t candidates[CARD_PER_NODE];
    uint32_t n_picked;
    struct card_grant picked[CARD_PER_NODE];
    int reason; /* enum sched_reason when the hook answers false */
};

/* What the request takes of a card, by the family's rules: memory of percent
 * and whole, CUs, free cores of a mask, aux, slices, shape; card, slot and flags
 * are filled as well. False when the card cannot say: no sufficient shape
 * (SCHED_MODE), or too few free cores of a mask (SCHED_CORES); *ret_reason may
 * be NULL.
 *
 * An amount with CARD_GRANT_ONLINE is not held to the rules of compute.
 * A card in MIG mode is limited by its memory slices alone (card_use.mig_mask):
 * its compute is not compared, since the profiles' shares are rounded up (seven
 * of 15 % are legal), and the amount here is what is asked for; the profile
 * follows from what is free (vendor/mig.h). */
bool choice_amount(const struct choice *c, uint32_t card, struct card_grant *ret, int *ret_reason);

/* Mask of the lowest n cores of a FAMILY_CORES_MASK card that are free; 0 when there are fewer. */
uint32_t choice_free_cores(const struct choice *c, uint32_t card, uint32_t n);

#endif
