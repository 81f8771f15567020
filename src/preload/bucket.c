/* SPDX-License-Identifier: Apache-2.0
 *
 * See bucket.h.
 */
#include "preload/bucket.h"

#include <stdatomic.h>

#define STRETCH_MAX_NS                                                                                       \
    (100 * (uint64_t)BUCKET_DEBT_MAX_NS) /* a longer pause earns no more: any debt is paid */
#define FUTURE_NS UINT64_C(1000000000)

static int64_t bounded(int64_t tokens, int64_t cap_ns)
{
    if (tokens < -BUCKET_DEBT_MAX_NS)
        return -BUCKET_DEBT_MAX_NS;
    return tokens > cap_ns ? cap_ns : tokens;
}

/* The stretch of time this caller may grant; 0 when another does. */
static uint64_t take_stretch(struct region_compute *account, uint64_t now_ns)
{
    uint64_t last = atomic_load_explicit(&account->refilled_ns, memory_order_relaxed);
    if (last >= now_ns && last - now_ns < FUTURE_NS)
        return 0;
    if (!atomic_compare_exchange_strong_explicit(&account->refilled_ns, &last, now_ns, memory_order_relaxed,
                                                 memory_order_relaxed))
        return 0;
    if (last == 0 || last > now_ns)
        return 0;
    return now_ns - last > STRETCH_MAX_NS ? STRETCH_MAX_NS : now_ns - last;
}

void bucket_refill(struct region_compute *account, uint32_t percent, uint64_t now_ns, int64_t cap_ns)
{
    int64_t earned = (int64_t)(take_stretch(account, now_ns) * (percent > 100 ? 100 : percent) / 100);
    if (earned == 0)
        return;
    int64_t before = atomic_load_explicit(&account->tokens_ns, memory_order_relaxed), after;
    do {
        int64_t keep = bounded(before, INT64_MAX / 4);
        after = bounded(keep + earned, keep > cap_ns ? keep : cap_ns);
    } while (!atomic_compare_exchange_weak_explicit(&account->tokens_ns, &before, after, memory_order_relaxed,
                                                    memory_order_relaxed));
}

int64_t bucket_balance(const struct region_compute *account)
{
    return bounded(atomic_load_explicit(&account->tokens_ns, memory_order_relaxed), INT64_MAX / 4);
}

void bucket_charge(struct region_compute *account, uint64_t used_ns)
{
    int64_t used = used_ns > (uint64_t)BUCKET_DEBT_MAX_NS ? BUCKET_DEBT_MAX_NS : (int64_t)used_ns;
    atomic_fetch_sub_explicit(&account->tokens_ns, used, memory_order_relaxed);
}

void bucket_forgive(struct region_compute *account)
{
    int64_t tokens = atomic_load_explicit(&account->tokens_ns, memory_order_relaxed);
    if (tokens < 0)
        atomic_compare_exchange_strong_explicit(&account->tokens_ns, &tokens, 0, memory_order_relaxed,
                                                memory_order_relaxed);
}

uint64_t bucket_wait_ns(int64_t missing_ns, uint32_t percent)
{
    if (missing_ns <= 0)
        return 0;
    uint64_t missing =
        missing_ns > 2 * BUCKET_DEBT_MAX_NS ? 2 * (uint64_t)BUCKET_DEBT_MAX_NS : (uint64_t)missing_ns;
    return (missing * 100 + (percent ? percent - 1 : 0)) / (percent ? percent : 1);
}
