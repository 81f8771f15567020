/* SPDX-License-Identifier: Apache-2.0
 *
 * See price.h.
 */
#include "preload/price.h"

#include <string.h>

#define WEIGHT_MAX 8               /* a measurement counts for 1/8 at least */
#define MEAN_MIN_NS UINT64_C(1000) /* no launch is shorter; bounds how many go out unmeasured */
#define DOUBTS_MAX 4

static uint32_t home_of(const void *function, uint32_t size)
{
    uint64_t h = (uint64_t)(uintptr_t)function * UINT64_C(0x9e3779b97f4a7c15);
    return (uint32_t)(h >> 40) + size * 40503u;
}

struct price *price_of(struct prices *prices, const void *function, uint32_t size)
{
    uint32_t home = home_of(function, size);
    struct price *weakest = &prices->at[home % PRICE_ENTRIES];
    for (uint32_t i = 0; i < PRICE_PROBES; i++) {
        struct price *p = &prices->at[(home + i) % PRICE_ENTRIES];
        if (p->function == function && p->size == size)
            return p;
        if (!p->function) { /* entries are never taken out: it does not lie behind */
            weakest = p;
            break;
        }
        if (p->samples < weakest->samples)
            weakest = p;
    }
    *weakest = (struct price){.function = function, .size = size};
    return weakest;
}

static void set_mean(struct price *price, uint64_t ns)
{
    price->mean_ns = ns > MEAN_MIN_NS ? ns : MEAN_MIN_NS;
}

void price_learn(struct price *price, uint64_t total_ns, uint32_t launches)
{
    if (launches == 0)
        return;
    uint64_t each = total_ns / launches;
    if (price->samples) {
        uint64_t off = each > price->mean_ns ? each - price->mean_ns : price->mean_ns - each;
        uint64_t now_pm = price->mean_ns ? off * 1000 / price->mean_ns : 1000;
        now_pm = now_pm > 4000 ? 4000 : now_pm;
        price->spread_pm = (uint32_t)((price->spread_pm * UINT64_C(3) + now_pm) / 4);
    } else {
        price->spread_pm = 1000;
    }
    uint32_t weight = price->samples < WEIGHT_MAX ? ++price->samples : WEIGHT_MAX;
    int64_t step = ((int64_t)each - (int64_t)price->mean_ns) / (int64_t)weight;
    set_mean(price, (uint64_t)((int64_t)price->mean_ns + step));
}

void price_scale(struct price *price, double ratio, double part)
{
    double step = 1 + (ratio - 1) * part * 0.5;
    step = step > 4 ? 4 : step < 0.25 ? 0.25 : step;
    set_mean(price, (uint64_t)((double)price->mean_ns * step));
}

bool price_doubt(struct price *price)
{
    return price->doubts < DOUBTS_MAX && ++price->doubts;
}

uint32_t price_doubts_end(struct price *price)
{
    uint32_t doubts = price->doubts;
    price->doubts = 0;
    return doubts;
}

void price_forget(struct prices *prices, const void *function)
{
    for (uint32_t i = 0; i < PRICE_ENTRIES; i++)
        if (prices->at[i].function == function)
            prices->at[i].samples = 0;
}
