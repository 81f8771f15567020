/* SPDX-License-Identifier: Apache-2.0
 *
 * See joint.h.
 */
#include "preload/joint.h"

#include <stdatomic.h>

#include "preload/slice.h"
#include "region/extension.h"

#define ACTIVE_NS UINT64_C(1000000000)
#define STEPS_MAX 512 /* further apart they do not work in step */

/* The account's spare words that mean something here. */
enum { JOINT_COUNT = 0, JOINT_BASE = 1, JOINT_SEEN = 2 };

static uint64_t word(const struct region_compute *account, int which)
{
    return atomic_load_explicit(&account->reserved[which], memory_order_relaxed);
}

static const struct region_compute *other(const struct card *card, unsigned d, uint64_t now)
{
    const struct region_compute *account = &slice.region.ext->devices[d].compute;
    uint64_t seen = word(account, JOINT_SEEN);
    return account != card->account && seen <= now && now - seen < ACTIVE_NS ? account : NULL;
}

static unsigned devices(void)
{
    return slice.n_devices < REGION_DEVICES ? slice.n_devices : REGION_DEVICES;
}

int64_t joint_others(const struct card *card, uint32_t percent, uint64_t now)
{
    int64_t least = INT64_MAX;
    for (unsigned d = 0; devices() > 1 && d < devices(); d++) {
        const struct region_compute *account = other(card, d, now);
        if (!account)
            continue;
        uint64_t refilled = atomic_load_explicit(&account->refilled_ns, memory_order_relaxed);
        uint64_t since = refilled < now && now - refilled < ACTIVE_NS ? now - refilled : 0;
        int64_t tokens = bucket_balance(account) + (int64_t)(since * percent / 100);
        least = tokens < least ? tokens : least;
    }
    return least;
}

void joint_open(struct card *card)
{
    atomic_store_explicit(&card->account->reserved[JOINT_BASE], word(card->account, JOINT_COUNT),
                          memory_order_relaxed);
}

void joint_count(struct card *card, uint32_t launches, uint64_t now)
{
    if (devices() < 2)
        return;
    atomic_fetch_add_explicit(&card->account->reserved[JOINT_COUNT], launches, memory_order_relaxed);
    atomic_store_explicit(&card->account->reserved[JOINT_SEEN], now, memory_order_relaxed);
}

static uint64_t steps_of(const struct region_compute *account)
{
    return word(account, JOINT_COUNT) - word(account, JOINT_BASE);
}

bool joint_is_behind(const struct card *card, uint64_t now)
{
    uint64_t own = steps_of(card->account);
    for (unsigned d = 0; d < devices(); d++) {
        const struct region_compute *account = other(card, d, now);
        uint64_t steps = account ? steps_of(account) : 0;
        if (steps > own && steps - own < STEPS_MAX)
            return true;
    }
    return false;
}
