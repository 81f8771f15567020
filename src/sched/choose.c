/* SPDX-License-Identifier: Apache-2.0
 *
 * Policies. Each orders the fitting devices, best first; then the first of
 * each physical card are taken. Topology looks at combinations instead, and
 * numa repeats the choice inside each node.
 *
 * Invariants:
 *   1. A grant never has two shares on one physical card.
 *   2. Only devices that sched_fit() accepts are granted.
 *   3. Integer arithmetic only; the same input gives the same output.
 */
#include "sched/choose.h"

#include <string.h>

__extension__ typedef unsigned __int128 wide;

/* Candidates: indices into the set, in order of preference. */
struct candidates {
    uint32_t n;
    uint32_t device[DEVICE_MAX];
};

static uint64_t fraction(uint64_t used, uint64_t total)
{
    return total ? (uint64_t)((wide)used * 1000000 / total) : 0;
}

uint64_t sched_score(const struct device *d, const struct device_use *use)
{
    return fraction(use->slices, d->split_count) + fraction(use->cores_pct, d->cores_pct) +
           fraction(use->mem_bytes, d->mem_bytes);
}

static bool is_before(const struct device_set *set, bool fullest_first, uint32_t a, uint32_t b)
{
    uint64_t sa = sched_score(&set->devices[a], &set->use[a]);
    uint64_t sb = sched_score(&set->devices[b], &set->use[b]);
    if (sa != sb)
        return fullest_first ? sa > sb : sa < sb;
    return a < b;
}

static void sort_candidates(const struct device_set *set, bool fullest_first, struct candidates *c)
{
    for (uint32_t i = 1; i < c->n; i++) {
        uint32_t moving = c->device[i], j = i;
        for (; j > 0 && is_before(set, fullest_first, moving, c->device[j - 1]); j--)
            c->device[j] = c->device[j - 1];
        c->device[j] = moving;
    }
}

/* Keeps the first candidate of each physical card. */
static void one_per_card(const struct device_set *set, struct candidates *c)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < c->n; i++) {
        bool seen = false;
        for (uint32_t j = 0; j < kept; j++)
            seen |= set->devices[c->device[j]].card == set->devices[c->device[i]].card;
        if (!seen)
            c->device[kept++] = c->device[i];
    }
    c->n = kept;
}

static void keep_node(const struct device_set *set, int32_t node, const struct candidates *all,
                      struct candidates *ret)
{
    ret->n = 0;
    for (uint32_t i = 0; i < all->n; i++)
        if (set->devices[all->device[i]].numa_node == node)
            ret->device[ret->n++] = all->device[i];
}

/* All shares on one NUMA node: of the nodes that have enough cards the one
 * with the fewest to spare, so that large requests keep finding room. */
static enum sched_reason choose_numa(const struct device_set *set, uint32_t wanted, struct candidates *c)
{
    struct candidates node, best = {0};
    for (uint32_t i = 0; i < c->n; i++) {
        keep_node(set, set->devices[c->device[i]].numa_node, c, &node);
        if (node.n >= wanted && (best.n == 0 || node.n < best.n))
            best = node;
    }
    if (best.n == 0)
        return SCHED_NUMA;
    *c = best;
    return SCHED_FITS;
}

static uint64_t pair_sum(const struct device_set *set, const uint32_t *devices, uint32_t n)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t j = i + 1; j < n; j++)
            sum += set->pair_score[devices[i]][devices[j]];
    return sum;
}

/* The card that the others miss least: its links are worth the least to a
 * later request for several cards. */
static void choose_loneliest(const struct device_set *set, struct candidates *c)
{
    uint32_t best = 0;
    uint64_t best_sum = UINT64_MAX;
    for (uint32_t i = 0; i < c->n; i++) {
        uint64_t sum = 0;
        for (uint32_t j = 0; j < c->n; j++)
            if (j != i)
                sum += set->pair_score[c->device[i]][c->device[j]];
        if (sum < best_sum) {
            best = i;
            best_sum = sum;
        }
    }
    c->device[0] = c->device[best];
}

enum { COMBINATIONS_MAX = 200000 };

static bool next_combination(uint32_t *pick, uint32_t k, uint32_t n)
{
    for (uint32_t i = k; i-- > 0;) {
        if (pick[i] >= n - k + i)
            continue;
        pick[i]++;
        for (uint32_t j = i + 1; j < k; j++)
            pick[j] = pick[j - 1] + 1;
        return true;
    }
    return false;
}

/* The combination with the highest sum of pair scores, the first on a tie. The
 * search is complete up to 20 cards and bounded beyond. */
static void choose_nearest(const struct device_set *set, uint32_t wanted, struct candidates *c)
{
    uint32_t pick[REQUEST_DEVICES_MAX], best[REQUEST_DEVICES_MAX] = {0}, devices[REQUEST_DEVICES_MAX];
    uint64_t best_sum = 0;
    bool any = false;
    for (uint32_t i = 0; i < wanted; i++)
        pick[i] = i;
    for (unsigned tries = 0; tries < COMBINATIONS_MAX; tries++) {
        for (uint32_t i = 0; i < wanted; i++)
            devices[i] = c->device[pick[i]];
        uint64_t sum = pair_sum(set, devices, wanted);
        if (!any || sum > best_sum) {
            memcpy(best, devices, sizeof best);
            best_sum = sum;
            any = true;
        }
        if (!next_combination(pick, wanted, c->n))
            break;
    }
    memcpy(c->device, best, wanted * sizeof best[0]);
}

static enum sched_reason apply_policy(const struct device_set *set, const struct request *r,
                                      struct candidates *c)
{
    sort_candidates(set, r->policy != REQUEST_SPREAD, c);
    one_per_card(set, c);
    if (c->n < r->n_devices)
        return SCHED_COUNT;
    if (r->policy == REQUEST_NUMA)
        return choose_numa(set, r->n_devices, c);
    if (r->policy == REQUEST_TOPOLOGY && c->n > r->n_devices) {
        if (r->n_devices == 1)
            choose_loneliest(set, c);
        else
            choose_nearest(set, r->n_devices, c);
    }
    return SCHED_FITS;
}

static enum sched_reason most_common(const uint32_t counts[SCHED_REASONS])
{
    enum sched_reason best = SCHED_NO_CARDS;
    for (int i = 0; i < SCHED_REASONS; i++)
        if (counts[i] > counts[best])
            best = (enum sched_reason)i;
    return best;
}

static uint32_t physical_cards(const struct device_set *set)
{
    struct candidates all = {.n = set->n};
    for (uint32_t i = 0; i < set->n; i++)
        all.device[i] = i;
    one_per_card(set, &all);
    return all.n;
}

enum sched_reason sched_choose(const struct device_set *set, const struct request *r,
                               struct request_grant *ret)
{
    uint32_t counts[SCHED_REASONS] = {0};
    struct candidates c = {0};
    if (r->n_devices < 1 || r->n_devices > REQUEST_DEVICES_MAX || r->n_devices > physical_cards(set))
        return SCHED_NO_CARDS;
    for (uint32_t i = 0; i < set->n; i++) {
        enum sched_reason reason = sched_fit(&set->devices[i], &set->use[i], r);
        if (reason == SCHED_FITS)
            c.device[c.n++] = i;
        else
            counts[reason]++;
    }
    if (c.n == 0)
        return most_common(counts);
    enum sched_reason reason = apply_policy(set, r, &c);
    if (reason != SCHED_FITS)
        return reason;
    struct request_grant g = {.n = r->n_devices, .exclusive = r->exclusive};
    for (uint32_t i = 0; i < g.n; i++) {
        g.shares[i].device = c.device[i];
        g.shares[i].mem_bytes = request_mem_on(r, &set->devices[c.device[i]]);
        g.shares[i].cores_pct = r->cores_pct > 100 ? 100 : r->cores_pct;
    }
    *ret = g;
    return SCHED_FITS;
}
