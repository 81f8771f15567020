/* SPDX-License-Identifier: Apache-2.0
 *
 * The gate every launch passes. See throttle.c for how it decides.
 *
 *     if (likely(lane_pass(function, size, stream)))
 *         return real.cuLaunchKernel(...);
 *     struct throttle_ticket ticket = throttle_begin(function, size, stream);
 *     CUresult result = real.cuLaunchKernel(...);
 *     throttle_end(&ticket);
 */
#ifndef HAMI_PRELOAD_THROTTLE_H
#define HAMI_PRELOAD_THROTTLE_H

#include <stdbool.h>
#include <stdint.h>

#include "abi/cuda.h"
#include "preload/lane.h"

struct throttle_ticket {
    struct batch *fresh; /* its first launch */
    bool close;          /* measure up to here at once */
    bool sample;         /* ... to learn what it costs */
    bool blind;          /* ... which is to wait for it: it has no batch */
};

struct throttle_ticket throttle_begin(const void *function, uint32_t size, CUstream stream);
void throttle_end(const struct throttle_ticket *ticket);

/* Around a call that waits for work: before, what was launched gets its end
 * mark; after, it is measured and the turn offered to others. */
void throttle_before_sync(void);
void throttle_after_sync(void);

/* A function or executable graph changed or is gone. */
void throttle_forget(const void *function);

/* Work of this process may still be in flight or unmeasured. */
bool throttle_pending(void);

#endif
