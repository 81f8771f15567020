/* SPDX-License-Identifier: Apache-2.0
 *
 * NVIDIA: several MIG instances of one card, cards that are near each other,
 * cards of one NUMA node (scheduler.md section 6.4).
 *
 * Differs from the reference on purpose:
 *   B11  the whole of a card in MIG mode is its largest profile.
 *   B12  with numa-bind every NUMA node is looked at, not the last one alone;
 *        near cards are searched by branch and bound (vendor/near.c), and what
 *        the caller counts against a quota is what was picked.
 */
#include <stddef.h>

#include "model/reason.h"
#include "vendor/hooks.h"
#include "vendor/mig.h"
#include "vendor/near.h"

/* What is taken of a MIG card, bytes: the largest profile when the whole card,
 * or a share that no profile reaches, is asked for (B11). */
static uint64_t instance_bytes(const struct choice *c, uint32_t card, const struct card_grant *amount)
{
    uint64_t largest = mig_largest(c->cards[card].shapes);
    bool relative = c->request->mem_bytes == 0;
    return relative && amount->mem_bytes > largest ? largest : amount->mem_bytes;
}

static uint16_t avoided(const struct choice *c, uint32_t card)
{
    return c->avoid ? c->avoid[card] : 0;
}

int admits_nvidia(const struct choice *c, uint32_t card)
{
    struct card_grant amount;
    struct mig_place ignored;
    if (c->cards[card].mode != CARD_MIG)
        return 0;
    if (!choice_amount(c, card, &amount, NULL) ||
        !mig_place(c->cards[card].shapes, c->use[card].mig_mask, avoided(c, card),
                   instance_bytes(c, card, &amount), &ignored))
        return SCHED_MIG;
    return 0;
}

static void cut_instance(const struct card_shapes *shapes, const struct mig_place *place,
                         struct card_grant *ret)
{
    ret->shape = place->shape;
    ret->mem_bytes = shapes->shapes[place->shape].mem_bytes;
    ret->cores = shapes->shapes[place->shape].cores;
    ret->mig_start = place->start;
    ret->mig_size = place->size;
}

/* As many instances as the card still takes, at most `wanted`. */
static void take_instances(struct choice *c, uint32_t card, const struct card_grant *amount, uint32_t wanted)
{
    const struct card_shapes *shapes = c->cards[card].shapes;
    uint64_t bytes = instance_bytes(c, card, amount);
    uint16_t taken = c->use[card].mig_mask;
    uint32_t slots = c->cards[card].slots;
    struct mig_place place;
    for (uint32_t used = c->use[card].slots; wanted && used < slots; used++, wanted--) {
        if (!(c->avoid ? mig_place_tight : mig_place)(shapes, taken, avoided(c, card), bytes, &place))
            return;
        taken |= mig_slices(place.start, place.size);
        c->picked[c->n_picked] = *amount;
        cut_instance(shapes, &place, &c->picked[c->n_picked++]);
    }
}

static void take(struct choice *c, uint32_t card)
{
    struct card_grant amount;
    if (!choice_amount(c, card, &amount, NULL))
        return;
    if (c->cards[card].mode == CARD_MIG)
        take_instances(c, card, &amount, c->request->n_cards - c->n_picked);
    else
        c->picked[c->n_picked++] = amount;
}

/* Links are between cards; an instance has none to speak of. In a search for whatever fits they are not
 * looked at: finding the nearest set takes long, and it is asked for many. */
static bool has_instances(const struct choice *c, const uint16_t *cards, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (c->cards[cards[i]].mode == CARD_MIG)
            return true;
    return false;
}

/* Where whatever fits is searched for, instances go where the least is left. */
static const uint16_t *fullest_first(const struct choice *c, const uint16_t *cards, uint32_t n, uint16_t *ret)
{
    for (uint32_t i = 0; i < n; i++) {
        uint32_t j = i;
        int taken = __builtin_popcount(c->use[cards[i]].mig_mask);
        for (; j > 0 && taken > __builtin_popcount(c->use[ret[j - 1]].mig_mask); j--)
            ret[j] = ret[j - 1];
        ret[j] = cards[i];
    }
    return ret;
}

static bool pick_among(struct choice *c, const uint16_t *cards, uint32_t n)
{
    uint32_t wanted = c->request->n_cards;
    uint16_t near[CARD_PER_NODE];
    c->n_picked = 0;
    if (c->pod->topology_aware && !c->avoid && n > wanted && !has_instances(c, cards, n)) {
        if (wanted == 1)
            near[0] = near_loneliest(c->node, cards, n);
        else
            near_combination(c->node, cards, n, wanted, near);
        cards = near;
        n = wanted;
    }
    if (c->avoid && has_instances(c, cards, n))
        cards = fullest_first(c, cards, n, near);
    for (uint32_t i = 0; i < n && c->n_picked < wanted; i++)
        take(c, cards[i]);
    return c->n_picked == wanted;
}

static uint32_t of_numa(const struct choice *c, int16_t numa, uint16_t ret[CARD_PER_NODE])
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < c->n_candidates; i++)
        if (c->cards[c->candidates[i]].numa == numa)
            ret[n++] = c->candidates[i];
    return n;
}

static bool is_first_of_numa(const struct choice *c, uint32_t i)
{
    for (uint32_t j = 0; j < i; j++)
        if (c->cards[c->candidates[j]].numa == c->cards[c->candidates[i]].numa)
            return false;
    return true;
}

/* NUMA nodes in the order of their best card; binpack takes the one with the
 * fewest cards to spare, so that large requests keep finding room. */
static bool pick_numa(struct choice *c)
{
    uint16_t cards[CARD_PER_NODE];
    bool tight = c->pod->n_card_policy && c->pod->card_policy[0] == CARD_BINPACK, found = false;
    int16_t best = 0;
    uint32_t best_n = UINT32_MAX;
    for (uint32_t i = 0; i < c->n_candidates; i++) {
        if (!is_first_of_numa(c, i) || (found && !tight))
            continue;
        int16_t numa = c->cards[c->candidates[i]].numa;
        uint32_t n = of_numa(c, numa, cards);
        if (n >= best_n || !pick_among(c, cards, n))
            continue;
        found = true;
        best = numa;
        best_n = n;
    }
    return found && pick_among(c, cards, of_numa(c, best, cards));
}

bool pick_nvidia(struct choice *c)
{
    if (c->request->n_cards == 0 || c->request->n_cards > CARD_PER_NODE) {
        c->reason = SCHED_NO_CARDS;
        return false;
    }
    if (c->pod->numa_bind && pick_numa(c))
        return true;
    if (pick_among(c, c->candidates, c->n_candidates)) {
        c->reason = SCHED_NUMA;
        return !c->pod->numa_bind;
    }
    c->reason = has_instances(c, c->candidates, c->n_candidates) ? SCHED_MIG : SCHED_COUNT;
    return false;
}
