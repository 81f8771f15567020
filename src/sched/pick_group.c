/* SPDX-License-Identifier: Apache-2.0 */
#include "sched/pick_group.h"

#include <string.h>

static uint32_t group_size(const struct choice *c, int32_t group)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < c->n_candidates; i++)
        n += c->cards[c->candidates[i]].group == group;
    return n;
}

/* Only where every card of the family names its group, as the field does. */
static bool all_grouped(const struct choice *c, uint32_t first, uint32_t n)
{
    for (uint32_t i = first; i < first + n; i++)
        if (c->cards[i].group < 0)
            return false;
    return n > 0;
}

/* Fills from the groups with the most candidates; equal ones in the order of
 * the policy. Groups may be mixed. */
static void pick_largest_first(const struct choice *c, uint16_t *ret)
{
    uint32_t size[CARD_PER_NODE];
    for (uint32_t i = 0; i < c->n_candidates; i++)
        size[i] = group_size(c, c->cards[c->candidates[i]].group);
    bool taken[CARD_PER_NODE] = {0};
    for (uint32_t n = 0; n < c->request->n_cards;) {
        uint32_t best = UINT32_MAX;
        for (uint32_t i = 0; i < c->n_candidates; i++)
            if (!taken[i] && (best == UINT32_MAX || size[i] > size[best]))
                best = i;
        int32_t group = c->cards[c->candidates[best]].group;
        for (uint32_t i = best; i < c->n_candidates; i++) {
            if (taken[i] || c->cards[c->candidates[i]].group != group)
                continue;
            taken[i] = true;
            if (n < c->request->n_cards)
                ret[n++] = c->candidates[i];
        }
    }
}

/* Modules of two dies (2k, 2k + 1) of which both are candidates. Number of cards found. */
static uint32_t pick_full_pairs(const struct choice *c, uint16_t *ret)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < c->n_candidates; i++)
        for (uint32_t j = i + 1; j < c->n_candidates && n + 2 <= c->request->n_cards; j++) {
            uint16_t a = c->candidates[i], b = c->candidates[j];
            if (c->cards[a].index / 2 != c->cards[b].index / 2)
                continue;
            ret[n++] = a < b ? a : b;
            ret[n++] = a < b ? b : a;
        }
    return n;
}

/* Consecutive idle devices: anywhere, or 1, 4, 8, 16 at multiples of their number. */
static uint32_t pick_window(const struct choice *c, uint32_t first, uint32_t n_cards, uint16_t *ret)
{
    uint32_t n = c->request->n_cards, step = c->node->contiguous_anywhere ? 1 : n;
    bool free[CARD_PER_NODE] = {0};
    if (!c->node->contiguous_anywhere && n != 1 && n != 4 && n != 8 && n != 16)
        return 0;
    for (uint32_t i = 0; i < c->n_candidates; i++)
        free[c->candidates[i] - first] = c->use[c->candidates[i]].slots == 0;
    for (uint32_t start = 0; start + n <= n_cards; start += step) {
        uint32_t run = 0;
        while (run < n && free[start + run])
            run++;
        if (run < n)
            continue;
        for (uint32_t i = 0; i < n; i++)
            ret[i] = (uint16_t)(first + start + i);
        return n;
    }
    return 0;
}

uint32_t pick_group(const struct choice *c, uint32_t first, uint32_t n_cards, uint16_t *ret)
{
    uint32_t wanted = c->request->n_cards;
    if (wanted > 1 && c->family->grouping == FAMILY_GROUP_FULL_PAIRS)
        return pick_full_pairs(c, ret);
    if (wanted > 1 && c->family->grouping == FAMILY_GROUP_WINDOW)
        return pick_window(c, first, n_cards, ret);
    if (c->n_candidates < wanted)
        return c->n_candidates;
    if (c->family->grouping == FAMILY_GROUP_LARGEST_FIRST && wanted > 1 && all_grouped(c, first, n_cards))
        pick_largest_first(c, ret);
    else
        memcpy(ret, c->candidates, wanted * sizeof *ret);
    return wanted;
}
