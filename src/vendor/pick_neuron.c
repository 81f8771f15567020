/* SPDX-License-Identifier: Apache-2.0
 *
 * AWS Neuron: consecutive devices, or cores of one device (vendors.md section
 * 3.11).
 *
 * W22: the number of cores is each device's own, not the one of the first node
 * that was seen, and may be any; a request for cores is counted as a whole, so
 * that four cores are one device of an inf1 and two of an inf2. Lists of UUIDs
 * and `mutex` hold for windows too, since only candidates are looked at, and
 * windows are made of device numbers, not of places in the order of preference.
 */
#include <stddef.h>

#include "model/reason.h"
#include "vendor/hooks.h"

static unsigned count(uint32_t mask)
{
    return (unsigned)__builtin_popcount(mask);
}

static bool is_idle(const struct choice *c, uint32_t card)
{
    return c->use[card].slots == 0 && c->use[card].cores == 0;
}

/* Whole devices are handed out in blocks that share links: any run on inf*,
 * 1, 4, 8 or 16 devices at a multiple of their number elsewhere. */
static bool may_start(const struct choice *c, uint32_t index, uint32_t n)
{
    if (c->node->contiguous_anywhere)
        return true;
    return (n == 1 || n == 4 || n == 8 || n == 16) && index % n == 0;
}

static bool grant_window(struct choice *c, const uint16_t *by_index, uint32_t start, uint32_t n)
{
    c->n_picked = 0;
    for (uint32_t i = start; i < start + n; i++) {
        struct card_grant *g = &c->picked[c->n_picked];
        (void)choice_amount(c, by_index[i], g, NULL);
        g->cores = c->cards[by_index[i]].cores;
        c->n_picked++;
    }
    return true;
}

#define NO_DEVICE UINT16_MAX

static bool pick_window(struct choice *c, uint32_t n)
{
    uint16_t by_index[CARD_PER_NODE];
    uint32_t run = 0;
    for (uint32_t i = 0; i < CARD_PER_NODE; i++)
        by_index[i] = NO_DEVICE;
    for (uint32_t i = 0; i < c->n_candidates; i++) {
        uint16_t card = c->candidates[i];
        if (c->cards[card].index < CARD_PER_NODE && is_idle(c, card))
            by_index[c->cards[card].index] = card;
    }
    for (uint32_t i = 0; i < CARD_PER_NODE; i++) {
        run = by_index[i] == NO_DEVICE ? 0 : run + 1;
        if (run >= n && may_start(c, i + 1 - n, n))
            return grant_window(c, by_index, i + 1 - n, n);
    }
    c->reason = c->n_candidates < n ? SCHED_COUNT : may_start(c, 0, n) ? SCHED_NUMA : SCHED_MODE;
    return false;
}

static bool grant_one(struct choice *c, uint32_t card, uint32_t mask)
{
    (void)choice_amount(c, card, &c->picked[0], NULL);
    c->picked[0].cores = mask;
    c->n_picked = 1;
    return true;
}

/* Any device with enough free cores, the best by the pod's policy. */
static bool pick_cores(struct choice *c, uint32_t cores)
{
    for (uint32_t i = 0; i < c->n_candidates; i++) {
        uint32_t mask = choice_free_cores(c, c->candidates[i], cores);
        if (mask)
            return grant_one(c, c->candidates[i], mask);
    }
    c->reason = SCHED_CORES;
    return false;
}

static bool pick_device(struct choice *c)
{
    for (uint32_t i = 0; i < c->n_candidates; i++)
        if (is_idle(c, c->candidates[i]))
            return grant_one(c, c->candidates[i], c->cards[c->candidates[i]].cores);
    c->reason = SCHED_COUNT;
    return false;
}

bool pick_neuron(struct choice *c)
{
    uint32_t n = c->request->n_cards;
    if (n == 0 || n > CARD_PER_NODE || c->n_candidates == 0) {
        c->reason = SCHED_NO_CARDS;
        return false;
    }
    if (c->request->whole)
        return n == 1 ? pick_device(c) : pick_window(c, n);
    uint64_t cores = (uint64_t)n * c->request->cores;
    uint32_t per_device = count(c->cards[c->candidates[0]].cores);
    if (cores <= per_device)
        return pick_cores(c, (uint32_t)cores);
    if (cores % per_device == 0 && cores / per_device <= CARD_PER_NODE)
        return pick_window(c, (uint32_t)(cores / per_device));
    c->reason = SCHED_MODE;
    return false;
}
