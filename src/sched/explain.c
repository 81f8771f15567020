/* SPDX-License-Identifier: Apache-2.0
 *
 * See explain.h. Each proposal is tried with sched_choose() itself, so that
 * what is proposed does fit.
 */
#include "sched/explain.h"

#include <stddef.h>

#include "sched/choose.h"

static bool fits(const struct device_set *set, const struct request *r)
{
    struct request_grant ignored;
    return sched_choose(set, r, &ignored) == SCHED_FITS;
}

/* The highest value in 1..high that fits, 0 when none does. Feasibility only
 * falls as the value grows. */
static uint64_t highest(const struct device_set *set, struct request *r, uint64_t high,
                        void (*put)(struct request *, uint64_t))
{
    uint64_t low = 0;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2 + 1;
        put(r, middle);
        if (fits(set, r))
            low = middle;
        else
            high = middle - 1;
    }
    return low;
}

static void put_mem(struct request *r, uint64_t mib)
{
    r->mem = (struct quantity_mem){.bytes = mib * QUANTITY_MIB};
}

static void put_cores(struct request *r, uint64_t percent)
{
    r->cores_pct = (uint32_t)percent;
}

static void put_count(struct request *r, uint64_t n)
{
    r->n_devices = (uint32_t)n;
}

static uint64_t largest_mib(const struct device_set *set)
{
    uint64_t most = 0;
    for (uint32_t i = 0; i < set->n; i++)
        if (set->devices[i].mem_bytes > most)
            most = set->devices[i].mem_bytes;
    return most / QUANTITY_MIB;
}

static bool try_mem(const struct device_set *set, struct request r, struct sched_explanation *ret)
{
    uint64_t mib = highest(set, &r, largest_mib(set), put_mem);
    ret->mem_bytes = mib * QUANTITY_MIB;
    ret->kind = SCHED_CHANGE_MEM;
    return mib > 0;
}

static bool try_cores(const struct device_set *set, struct request r, struct sched_explanation *ret)
{
    ret->cores_pct = (uint32_t)highest(set, &r, 100, put_cores);
    ret->kind = SCHED_CHANGE_CORES;
    return ret->cores_pct > 0;
}

static bool try_count(const struct device_set *set, struct request r, struct sched_explanation *ret)
{
    uint64_t most = r.n_devices > REQUEST_DEVICES_MAX ? REQUEST_DEVICES_MAX : r.n_devices;
    ret->n_devices = (uint32_t)highest(set, &r, most, put_count);
    ret->kind = SCHED_CHANGE_COUNT;
    return ret->n_devices > 0;
}

static bool try_policy(const struct device_set *set, struct request r, struct sched_explanation *ret)
{
    r.policy = REQUEST_BINPACK;
    ret->kind = SCHED_CHANGE_POLICY;
    return fits(set, &r);
}

static bool try_shared(const struct device_set *set, struct request r, struct sched_explanation *ret)
{
    if (!r.exclusive)
        return false;
    r.exclusive = false;
    ret->kind = SCHED_CHANGE_SHARED;
    return fits(set, &r);
}

static bool try_mem_and_cores(const struct device_set *set, struct request r, struct sched_explanation *ret)
{
    r.cores_pct = 1;
    uint64_t mib = highest(set, &r, largest_mib(set), put_mem);
    if (mib == 0)
        return false;
    put_mem(&r, mib);
    ret->mem_bytes = mib * QUANTITY_MIB;
    ret->cores_pct = (uint32_t)highest(set, &r, 100, put_cores);
    ret->kind = SCHED_CHANGE_MEM_AND_CORES;
    return true;
}

static bool try_lists(const struct device_set *set, struct request r, struct sched_explanation *ret)
{
    r.use_types = r.not_types = r.use_uuids = r.not_uuids = NULL;
    ret->kind = SCHED_CHANGE_LISTS;
    return fits(set, &r);
}

typedef bool (*attempt)(const struct device_set *, struct request, struct sched_explanation *);

/* Smallest change first: one figure, then the count, then what was ruled out. */
static const attempt attempts[] = {try_mem,   try_cores, try_shared,       try_policy,
                                   try_lists, try_count, try_mem_and_cores};

void sched_explain(const struct device_set *set, const struct request *r, struct sched_explanation *ret)
{
    struct request_grant ignored;
    *ret = (struct sched_explanation){.reason = sched_choose(set, r, &ignored)};
    for (uint32_t i = 0; i < set->n; i++) {
        const struct device *d = &set->devices[i];
        const struct device_use *use = &set->use[i];
        ret->cards[i].reason = sched_fit(d, use, r);
        ret->cards[i].free_bytes = d->mem_bytes > use->mem_bytes ? d->mem_bytes - use->mem_bytes : 0;
        ret->cards[i].free_cores_pct = !d->cores_pct                   ? UINT32_MAX
                                       : d->cores_pct > use->cores_pct ? d->cores_pct - use->cores_pct
                                                                       : 0;
    }
    if (ret->reason == SCHED_FITS)
        return;
    for (size_t i = 0; i < sizeof attempts / sizeof *attempts; i++)
        if (attempts[i](set, *r, ret))
            return;
    ret->kind = SCHED_CHANGE_NONE;
}
