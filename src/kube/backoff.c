/* SPDX-License-Identifier: Apache-2.0
 *
 * See backoff.h.
 */
#include "kube/backoff.h"

#include <glib.h>

uint32_t kube_jitter_random(uint32_t below, void *data)
{
    (void)data;
    return below < 2 ? 0 : g_random_int() % below;
}

uint32_t kube_backoff_next_ms(struct kube_backoff *backoff)
{
    uint64_t wait_ms = MAX(backoff->first_ms, 1u);
    for (uint32_t i = 0; i < backoff->failures && wait_ms < backoff->cap_ms; i++)
        wait_ms *= 2;
    if (backoff->cap_ms)
        wait_ms = MIN(wait_ms, backoff->cap_ms);
    if (backoff->failures < UINT32_MAX)
        backoff->failures++;
    kube_jitter jitter = backoff->jitter ? backoff->jitter : kube_jitter_random;
    uint32_t half = (uint32_t)(wait_ms / 2), rest = (uint32_t)wait_ms - half;
    return half + MIN(jitter(rest, backoff->jitter_data), rest - 1);
}

void kube_backoff_reset(struct kube_backoff *backoff)
{
    backoff->failures = 0;
}
