/* SPDX-License-Identifier: Apache-2.0
 *
 * See why.h. Each proposal is tried with place_choose() itself, so that
 * what is proposed does fit.
 */
#include "local/why.h"

#include <stddef.h>

static bool fits(const struct machine *m, const struct request *r)
{
    struct request_grant ignored;
    return place_choose(m, r, &ignored) == SCHED_FITS;
}

/* The highest value in 1..high that fits, 0 when none does. Feasibility only
 * falls as the value grows. */
static uint64_t highest(const struct machine *m, struct request *r, uint64_t high,
                        void (*put)(struct request *, uint64_t))
{
    uint64_t low = 0;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2 + 1;
        put(r, middle);
        if (fits(m, r))
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

static uint64_t largest_mib(const struct machine *m)
{
    uint64_t most = 0;
    for (uint32_t i = 0; i < m->n; i++)
        if (m->cards[i].mem_bytes > most)
            most = m->cards[i].mem_bytes;
    return most / QUANTITY_MIB;
}

static bool try_mem(const struct machine *m, struct request r, struct why *ret)
{
    uint64_t mib = highest(m, &r, largest_mib(m), put_mem);
    ret->mem_bytes = mib * QUANTITY_MIB;
    ret->kind = WHY_CHANGE_MEM;
    return mib > 0;
}

static bool try_cores(const struct machine *m, struct request r, struct why *ret)
{
    ret->cores_pct = (uint32_t)highest(m, &r, 100, put_cores);
    ret->kind = WHY_CHANGE_CORES;
    return ret->cores_pct > 0;
}

static bool try_count(const struct machine *m, struct request r, struct why *ret)
{
    uint64_t most = r.n_devices > REQUEST_DEVICES_MAX ? REQUEST_DEVICES_MAX : r.n_devices;
    ret->n_devices = (uint32_t)highest(m, &r, most, put_count);
    ret->kind = WHY_CHANGE_COUNT;
    return ret->n_devices > 0;
}

static bool try_policy(const struct machine *m, struct request r, struct why *ret)
{
    r.policy = REQUEST_BINPACK;
    ret->kind = WHY_CHANGE_POLICY;
    return fits(m, &r);
}

static bool try_shared(const struct machine *m, struct request r, struct why *ret)
{
    if (!r.exclusive)
        return false;
    r.exclusive = false;
    ret->kind = WHY_CHANGE_SHARED;
    return fits(m, &r);
}

static bool try_mem_and_cores(const struct machine *m, struct request r, struct why *ret)
{
    r.cores_pct = 1;
    uint64_t mib = highest(m, &r, largest_mib(m), put_mem);
    if (mib == 0)
        return false;
    put_mem(&r, mib);
    ret->mem_bytes = mib * QUANTITY_MIB;
    ret->cores_pct = (uint32_t)highest(m, &r, 100, put_cores);
    ret->kind = WHY_CHANGE_MEM_AND_CORES;
    return true;
}

static bool try_lists(const struct machine *m, struct request r, struct why *ret)
{
    r.use_types = r.not_types = r.use_uuids = r.not_uuids = NULL;
    ret->kind = WHY_CHANGE_LISTS;
    return fits(m, &r);
}

typedef bool (*attempt)(const struct machine *, struct request, struct why *);

/* Smallest change first: one figure, then the count, then what was ruled out. */
static const attempt attempts[] = {try_mem,   try_cores, try_shared,       try_policy,
                                   try_lists, try_count, try_mem_and_cores};

void why_find(const struct machine *m, const struct request *r, struct why *ret)
{
    struct request_grant ignored;
    enum sched_reason reasons[MACHINE_CARDS];
    *ret = (struct why){.reason = place_choose(m, r, &ignored)};
    place_reasons(m, r, reasons);
    for (uint32_t i = 0; i < m->n; i++) {
        const struct card *card = &m->cards[i];
        const struct card_use *use = &m->use[i];
        ret->cards[i].reason = reasons[i];
        ret->cards[i].free_bytes = card->mem_bytes > use->mem_bytes ? card->mem_bytes - use->mem_bytes : 0;
        ret->cards[i].free_cores_pct = card->cores > use->cores ? card->cores - use->cores : 0;
    }
    if (ret->reason == SCHED_FITS)
        return;
    for (size_t i = 0; i < sizeof attempts / sizeof *attempts; i++)
        if (attempts[i](m, *r, ret))
            return;
    ret->kind = WHY_CHANGE_NONE;
}
