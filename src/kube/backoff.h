/* SPDX-License-Identifier: Apache-2.0
 *
 * How long to wait before the next attempt: doubling between two bounds, and
 * jittered so that many who failed together do not come back together.
 */
#ifndef HAMI_KUBE_BACKOFF_H
#define HAMI_KUBE_BACKOFF_H

#include <stdint.h>

/* A number below `below` (at least 1). Tests give their own. */
typedef uint32_t (*kube_jitter)(uint32_t below, void *data);
uint32_t kube_jitter_random(uint32_t below, void *data);

struct kube_backoff {
    uint32_t first_ms, cap_ms; /* first_ms at least 1 */
    kube_jitter jitter;        /* NULL = random */
    void *jitter_data;
    uint32_t failures; /* since the last reset */
};

/* The next wait: within [d/2, d), d = first, 2 first, 4 first, ... cap. */
uint32_t kube_backoff_next_ms(struct kube_backoff *backoff);
void kube_backoff_reset(struct kube_backoff *backoff);

#endif
