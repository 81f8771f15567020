/* SPDX-License-Identifier: Apache-2.0
 *
 * See near.h. Pure; any thread. Nothing is enumerated into memory (B12).
 */
#include "vendor/near.h"

#include <string.h>

#define EXACT_MAX 16

uint16_t near_loneliest(const struct node_spec *node, const uint16_t *cards, uint32_t n)
{
    uint32_t best = 0;
    uint64_t least = UINT64_MAX;
    for (uint32_t i = 0; i < n; i++) {
        uint64_t sum = 0;
        for (uint32_t j = 0; j < n; j++)
            if (j != i)
                sum += node_pair_score(node, cards[i], cards[j]);
        if (sum < least) {
            best = i;
            least = sum;
        }
    }
    return cards[best];
}

struct search {
    const struct node_spec *node;
    const uint16_t *cards;
    uint32_t n, k;
    uint64_t nearest; /* highest score of any pair */
    uint64_t best_sum;
    bool found;
    uint16_t pick[CARD_PER_NODE], best[CARD_PER_NODE]; /* positions in cards */
};

static uint64_t gain(const struct search *s, uint32_t chosen, uint32_t candidate)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < chosen; i++)
        sum += node_pair_score(s->node, s->cards[s->pick[i]], s->cards[candidate]);
    return sum;
}

static void keep_better(struct search *s, uint64_t sum)
{
    if (s->found && sum <= s->best_sum)
        return;
    memcpy(s->best, s->pick, s->k * sizeof *s->pick);
    s->best_sum = sum;
    s->found = true;
}

/* Depth first in lexicographic order. A branch is left when even the nearest
 * pair for all that is missing would not beat the best; at most 16 levels. */
static void descend(struct search *s, uint32_t chosen, uint32_t from, uint64_t sum)
{
    if (chosen == s->k) {
        keep_better(s, sum);
        return;
    }
    uint64_t missing = (uint64_t)s->k * (s->k - 1) / 2 - (uint64_t)chosen * (chosen ? chosen - 1 : 0) / 2;
    if (s->found && sum + missing * s->nearest <= s->best_sum)
        return;
    for (uint32_t i = from; i + (s->k - chosen) <= s->n; i++) {
        uint64_t more = gain(s, chosen, i);
        s->pick[chosen] = (uint16_t)i;
        descend(s, chosen + 1, i + 1, sum + more);
    }
}

static bool is_picked(const struct search *s, uint32_t chosen, uint32_t candidate)
{
    for (uint32_t i = 0; i < chosen; i++)
        if (s->pick[i] == candidate)
            return true;
    return false;
}

static void sort_positions(uint16_t *positions, uint32_t n)
{
    for (uint32_t i = 1; i < n; i++) {
        uint16_t moving = positions[i];
        uint32_t j = i;
        for (; j > 0 && positions[j - 1] > moving; j--)
            positions[j] = positions[j - 1];
        positions[j] = moving;
    }
}

static void grow_from(struct search *s, uint32_t first)
{
    uint64_t sum = 0;
    s->pick[0] = (uint16_t)first;
    for (uint32_t chosen = 1; chosen < s->k; chosen++) {
        uint32_t next = UINT32_MAX;
        uint64_t most = 0;
        for (uint32_t i = 0; i < s->n; i++) {
            uint64_t more = is_picked(s, chosen, i) ? 0 : gain(s, chosen, i);
            if (!is_picked(s, chosen, i) && (next == UINT32_MAX || more > most)) {
                next = i;
                most = more;
            }
        }
        s->pick[chosen] = (uint16_t)next;
        sum += most;
    }
    sort_positions(s->pick, s->k);
    keep_better(s, sum);
}

static uint64_t nearest_pair(const struct node_spec *node, const uint16_t *cards, uint32_t n)
{
    uint64_t most = 0;
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t j = 0; j < n; j++)
            if (i != j && node_pair_score(node, cards[i], cards[j]) > most)
                most = node_pair_score(node, cards[i], cards[j]);
    return most;
}

void near_combination(const struct node_spec *node, const uint16_t *cards, uint32_t n, uint32_t k,
                      uint16_t *ret)
{
    struct search s = {.node = node, .cards = cards, .n = n, .k = k, .nearest = nearest_pair(node, cards, n)};
    if (n <= EXACT_MAX)
        descend(&s, 0, 0, 0);
    else
        for (uint32_t i = 0; i < n; i++)
            grow_from(&s, i);
    for (uint32_t i = 0; i < k; i++)
        ret[i] = cards[s.best[i]];
}
