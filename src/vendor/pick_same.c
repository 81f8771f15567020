/* SPDX-License-Identifier: Apache-2.0
 *
 * Families whose device plugins know one card per pod: the first container's
 * card is everybody's (Moore Threads, MetaX GPU, Enflame DRS; vendors.md
 * sections 3.5, 3.6, 3.8).
 *
 * W25: the index that is written for the pod is the one that all its
 * containers were fitted to; and the first container only takes a card that
 * has room for the others too.
 */
#include <stddef.h>

#include "model/reason.h"
#include "vendor/hooks.h"

static bool is_ours(const struct choice *c, const struct card_grant *g)
{
    return c->cards[g->card].family == c->family->id;
}

static void add(struct card_use *sum, const struct card_grant *g)
{
    sum->mem_bytes += g->mem_bytes;
    sum->cores += g->cores;
    sum->slots = (uint16_t)(sum->slots + g->slices);
}

static bool has_room(const struct choice *c, uint32_t card, const struct card_use *need)
{
    const struct card *on = &c->cards[card];
    const struct card_use *use = &c->use[card];
    return (uint64_t)use->slots + need->slots <= on->slots && need->mem_bytes <= on->mem_bytes &&
           use->mem_bytes <= on->mem_bytes - need->mem_bytes &&
           (on->cores == 0 || (uint64_t)use->cores + need->cores <= on->cores);
}

/* Init containers one after the other, all others together. */
static bool holds_pod(const struct choice *c, uint32_t card)
{
    struct choice probe = {.family = c->family,
                           .node = c->node,
                           .cards = c->cards,
                           .use = c->use,
                           .n_cards = c->n_cards,
                           .pod = c->pod};
    struct card_use together = {0};
    for (uint32_t i = 0; i < c->pod->n_requests; i++) {
        struct card_grant amount;
        struct card_use alone = {0};
        probe.request = &c->pod->requests[i];
        if (probe.request->family != c->family->id)
            continue;
        if (!choice_amount(&probe, card, &amount, NULL))
            return false;
        add(c->pod->slot_kind[probe.request->slot] == SLOT_INIT ? &alone : &together, &amount);
        if (!has_room(c, card, &alone) || !has_room(c, card, &together))
            return false;
    }
    return true;
}

int admits_same_card(const struct choice *c, uint32_t card)
{
    for (uint32_t i = 0; i < c->n_earlier; i++)
        if (is_ours(c, &c->earlier[i]))
            return c->earlier[i].card == card ? 0 : SCHED_CUSTOM;
    return c->request->n_cards > 1 || holds_pod(c, card) ? 0 : SCHED_CUSTOM;
}
