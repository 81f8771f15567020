/* SPDX-License-Identifier: Apache-2.0
 *
 * A thread's part of the throttle: the credit it may spend without asking. What
 * is here is touched by its thread alone and makes up the hot path.
 *
 * Invariants:
 *   1. Without a limit a launch is one decrement of `left`; with one it is one
 *      lookup, one comparison and one subtraction from `credit`.
 *   2. An entry counts only while its `batch` is the lane's: closing the batch
 *      makes every launch ask again once.
 *   3. lane_stamp changes when credit anywhere must not be used any more: a
 *      capture began, a context went away, the turn was taken from us.
 */
#ifndef HAMI_PRELOAD_LANE_H
#define HAMI_PRELOAD_LANE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "abi/cuda.h"
#include "preload/hook.h"

enum { LANE_ENTRIES = 128, LANE_STREAMS = 4, LANE_TOUCHED = 48 };

#define LANE_SWITCHED 0x80000000u /* in stamp: the thread may have another context */
#define LANE_CHUNK_NS INT64_C(500000)

struct lane_entry {
    const void *function;
    CUstream stream;
    uint32_t size;
    uint32_t batch;
    int64_t price_ns;
    uint32_t count;
    uint32_t pad;
};

struct card;
struct batch;

struct lane {
    struct lane_entry entries[LANE_ENTRIES];
    int64_t credit_ns;
    uint32_t batch;
    uint32_t stamp;
    uint32_t n_open;
    uint32_t n_touched;
    struct batch *open[LANE_STREAMS];
    uint8_t touched[LANE_TOUCHED];
    struct card *card;
    CUcontext context;
    int64_t chunk_ns;    /* what it may ask for at once */
    uint64_t visited_ns; /* last time it asked */
    int32_t budget;      /* launches it gets while nothing limits it */
    int32_t pad;
    int tid;
};

/* The part that must be reached without a call: small, in static TLS. */
struct lane_tls {
    int64_t left; /* launches that need not ask; 0 while a limit is in force */
    struct lane *lane;
};

extern __thread struct lane_tls lane_tls;
extern _Atomic uint32_t lane_stamp;

static inline uint32_t lane_size(uint64_t blocks)
{
    return 63u - (uint32_t)__builtin_clzll(blocks | 1);
}

static inline struct lane_entry *lane_entry_of(struct lane *lane, const void *function, uint32_t size,
                                               CUstream stream)
{
    uintptr_t h = (uintptr_t)function ^ ((uintptr_t)stream << 1);
    h ^= h >> 7;
    return &lane->entries[((h >> 4) + size) % LANE_ENTRIES];
}

/* True: launch, nothing else to do. */
static inline bool lane_pass(const void *function, uint32_t size, CUstream stream)
{
    if (likely(lane_tls.left > 0)) {
        lane_tls.left--;
        return true;
    }
    struct lane *lane = lane_tls.lane;
    if (unlikely(!lane))
        return false;
    struct lane_entry *e = lane_entry_of(lane, function, size, stream);
    if (likely(e->function == function && e->stream == stream && e->size == size && e->batch == lane->batch &&
               lane->credit_ns >= e->price_ns &&
               lane->stamp == atomic_load_explicit(&lane_stamp, memory_order_relaxed))) {
        lane->credit_ns -= e->price_ns;
        e->count++;
        return true;
    }
    return false;
}

/* The calling thread's lane, made on first use; NULL when there is no memory. */
struct lane *lane_get(void);

/* The child of a fork has only the lanes it makes itself. */
void lane_after_fork(void);

#endif
