/* SPDX-License-Identifier: Apache-2.0
 *
 * Launches that cannot be measured: no memory for a lane or a batch, no events
 * from the driver, a stream that takes none. They are made as with
 * CUDA_LAUNCH_BLOCKING: one at a time, each is waited for, and what that took is
 * charged.
 *
 * Invariants:
 *   1. While one is under way no other launch is granted.
 *   2. Nothing waits without a bound: after BLIND_MAX_NS, of one launch or for
 *      its turn, things go on; that is what a longer kernel is charged.
 */
#ifndef HAMI_PRELOAD_BLIND_H
#define HAMI_PRELOAD_BLIND_H

#include "preload/card.h"

#define BLIND_MAX_NS (UINT64_C(60) * 1000000000)

static inline bool blind_is_under_way(struct card *card, uint64_t now)
{
    uint64_t since = atomic_load_explicit(&card->blind_ns, memory_order_relaxed);
    return unlikely(since != 0) && now - since < BLIND_MAX_NS;
}

/* May the caller launch on the stream now? It asks since then. */
bool blind_begin(struct card *card, CUstream stream, uint64_t since_ns);

/* It has launched. */
void blind_end(void);

#endif
