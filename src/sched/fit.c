/* SPDX-License-Identifier: Apache-2.0
 *
 * Feasibility of one device.
 *
 * Invariants:
 *   1. What sched_fit() accepts, sched_use_add() can add: the sums stay within
 *      mem_bytes, cores_pct and split_count of the device.
 *   2. Whole-card rules: somebody exclusive, or somebody with the full 100 % of
 *      an undivided card, is alone on it.
 *   3. No arithmetic can wrap: comparisons subtract what is known to be smaller.
 */
#include "sched/fit.h"

#include <stddef.h>

static uint64_t left64(uint64_t total, uint64_t used)
{
    return total > used ? total - used : 0;
}

static uint32_t cores_wanted(const struct request *r)
{
    return r->cores_pct > 100 ? 100 : r->cores_pct;
}

static bool type_differs(const struct device *d, const struct device_use *use, const struct request *r)
{
    (void)use;
    return !request_type_wanted(r, d->type);
}

static bool uuid_differs(const struct device *d, const struct device_use *use, const struct request *r)
{
    (void)use;
    return !request_uuid_wanted(r, d->uuid);
}

static bool is_unhealthy(const struct device *d, const struct device_use *use, const struct request *r)
{
    (void)use, (void)r;
    return !d->healthy;
}

static bool is_cordoned(const struct device *d, const struct device_use *use, const struct request *r)
{
    (void)use, (void)r;
    return d->cordoned;
}

static bool slices_full(const struct device *d, const struct device_use *use, const struct request *r)
{
    (void)r;
    return use->slices >= d->split_count;
}

static bool whole_card_conflict(const struct device *d, const struct device_use *use, const struct request *r)
{
    bool asks_whole = r->exclusive || (d->cores_pct == 100 && cores_wanted(r) == 100);
    return use->exclusive || (asks_whole && use->slices > 0);
}

static bool memory_short(const struct device *d, const struct device_use *use, const struct request *r)
{
    uint64_t wanted = request_mem_on(r, d);
    return wanted == 0 || left64(d->mem_bytes, use->mem_bytes) < wanted;
}

static bool cores_short(const struct device *d, const struct device_use *use, const struct request *r)
{
    return d->cores_pct && left64(d->cores_pct, use->cores_pct) < cores_wanted(r);
}

static bool cores_gone(const struct device *d, const struct device_use *use, const struct request *r)
{
    return d->cores_pct && use->cores_pct >= d->cores_pct && r->cores_pct == 0;
}

/* In the order in which the field's schedulers test and report. */
static const struct rule {
    enum sched_reason reason;
    bool (*fails)(const struct device *, const struct device_use *, const struct request *);
} rules[] = {
    {SCHED_UNHEALTHY, is_unhealthy}, {SCHED_CORDONED, is_cordoned}, {SCHED_TYPE, type_differs},
    {SCHED_UUID, uuid_differs},      {SCHED_SLICES, slices_full},   {SCHED_EXCLUSIVE, whole_card_conflict},
    {SCHED_MEMORY, memory_short},    {SCHED_CORES, cores_short},    {SCHED_CORES_EXHAUSTED, cores_gone},
};

enum sched_reason sched_fit(const struct device *d, const struct device_use *use, const struct request *r)
{
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
        if (rules[i].fails(d, use, r))
            return rules[i].reason;
    return SCHED_FITS;
}

static bool can_add(const struct device_set *set, const struct request_grant *g)
{
    if (g->n == 0 || g->n > REQUEST_DEVICES_MAX)
        return false;
    for (uint32_t i = 0; i < g->n; i++) {
        uint32_t d = g->shares[i].device;
        if (d >= set->n)
            return false;
        for (uint32_t j = 0; j < i; j++)
            if (set->devices[g->shares[j].device].card == set->devices[d].card)
                return false;
        const struct device *device = &set->devices[d];
        const struct device_use *use = &set->use[d];
        if (use->slices >= device->split_count || use->exclusive || (g->exclusive && use->slices) ||
            left64(device->mem_bytes, use->mem_bytes) < g->shares[i].mem_bytes ||
            (device->cores_pct && left64(device->cores_pct, use->cores_pct) < g->shares[i].cores_pct))
            return false;
    }
    return true;
}

bool sched_use_add(struct device_set *set, const struct request_grant *g)
{
    if (!can_add(set, g))
        return false;
    for (uint32_t i = 0; i < g->n; i++) {
        struct device_use *use = &set->use[g->shares[i].device];
        use->mem_bytes += g->shares[i].mem_bytes;
        use->cores_pct += g->shares[i].cores_pct;
        use->slices++;
        use->exclusive = g->exclusive;
    }
    return true;
}

bool sched_use_remove(struct device_set *set, const struct request_grant *g)
{
    for (uint32_t i = 0; i < g->n; i++) {
        uint32_t d = g->shares[i].device;
        if (d >= set->n || set->use[d].slices == 0 || set->use[d].mem_bytes < g->shares[i].mem_bytes ||
            set->use[d].cores_pct < g->shares[i].cores_pct)
            return false;
    }
    for (uint32_t i = 0; i < g->n; i++) {
        struct device_use *use = &set->use[g->shares[i].device];
        use->mem_bytes -= g->shares[i].mem_bytes;
        use->cores_pct -= g->shares[i].cores_pct;
        use->slices--;
        if (g->exclusive)
            use->exclusive = false;
    }
    return true;
}
