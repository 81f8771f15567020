/* SPDX-License-Identifier: Apache-2.0
 *
 * A thread's part of the throttle: the credit it may spend without asking. What
 * is here is touched by its thread alone and makes up the hot path.
 *
 * Invariants:
 *   1. Without a limit a launch is one decrement of `left`; with one it is one
 *      lookup, one comparison and one subtraction from `credit`.
 *   2. An entry whose kind is not part of the open batches costs more than any
 *      credit: closing makes every kind of launch ask again once.
 *   3. lane_stamp changes when credit anywhere must not be used any more: a
 *      capture began, a context went away, the turn was taken from us.
 *   4. launch.S knows lane_pass() by heart; both use lane_layout.h.
 */
#ifndef HAMI_PRELOAD_LANE_H
#define HAMI_PRELOAD_LANE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "abi/cuda.h"
#include "preload/hook.h"
#include "preload/lane_layout.h"

enum { LANE_ENTRIES = 128, LANE_STREAMS = 4, LANE_TOUCHED = 48 };

#define LANE_SWITCHED 0x80000000u /* in stamp: the thread may have another context */
#define LANE_CHUNK_NS INT64_C(500000)
#define LANE_CLOSED_NS (INT64_MAX / 4) /* price of a closed entry */

/* Launches of one kind: same function, stream and size. */
struct lane_entry {
    _Alignas(64) uint64_t tag;
    int64_t price_ns;
    uint32_t count;
    uint32_t size;
    const void *function;
    CUstream stream;
};

struct card;
struct batch;

struct lane {
    int64_t credit_ns;
    uint32_t stamp;
    uint32_t n_open;
    struct batch *open[LANE_STREAMS];
    struct card *card;
    CUcontext context;
    int64_t chunk_ns;    /* what it may ask for at once */
    int64_t pace_ns;     /* while it starves the device: work that it launches in 2 ms ... */
    int64_t sample_ns;   /* ... and work until a launch is measured by itself */
    bool starves;        /* its launches come so slowly that the device waits for them */
    int64_t linger_ns;   /* for which batches may still lie open until the next ones are looked into */
    uint64_t dice;       /* nobody outside knows where it began */
    uint64_t visited_ns; /* last time it asked */
    int32_t budget;      /* launches it gets while nothing limits it */
    int tid;
    uint32_t n_touched;
    uint8_t touched[LANE_TOUCHED];
    struct lane_entry entries[LANE_ENTRIES];
};
_Static_assert(offsetof(struct lane, credit_ns) == LANE_CREDIT_AT &&
                   offsetof(struct lane, stamp) == LANE_STAMP_AT &&
                   offsetof(struct lane, entries) == LANE_ENTRIES_AT &&
                   (LANE_MASK | 63) == LANE_ENTRIES * sizeof(struct lane_entry) - 1,
               "launch.S goes by these");
_Static_assert(offsetof(struct lane_entry, tag) == LANE_ENTRY_TAG_AT &&
                   offsetof(struct lane_entry, price_ns) == LANE_ENTRY_PRICE_AT &&
                   offsetof(struct lane_entry, count) == LANE_ENTRY_COUNT_AT,
               "launch.S goes by these");

/* The part that must be reached without a call: small, in static TLS. */
struct lane_tls {
    int64_t left; /* launches that need not ask; below 0 while a limit is in force */
    struct lane *lane;
};
_Static_assert(offsetof(struct lane_tls, left) == 0 && offsetof(struct lane_tls, lane) == LANE_TLS_LANE_AT,
               "launch.S goes by these");

extern OURS __thread struct lane_tls lane_tls;
extern OURS struct lane lane_none; /* of a thread that has no lane yet: nothing passes, nothing is written */
extern OURS _Atomic uint32_t lane_stamp;

/* log2 of the number of blocks, of those in 32 bits: more of them in one launch
 * share the class of a few, which costs an estimate its sharpness. */
static inline uint32_t lane_size(uint32_t blocks)
{
    return 31u - (uint32_t)__builtin_clz(blocks | 1);
}

// NOLINTNEXTLINE(performance-no-int-to-ptr): the driver's own constant
#define LANE_PER_THREAD ((CUstream)2)
// NOLINTNEXTLINE(performance-no-int-to-ptr): the same; what is not of a non-blocking stream comes before it
#define LANE_LEGACY ((CUstream)1)

/* A stream argument of a per-thread entry that means "default" is named by the
 * handle that means the thread's own stream everywhere. */
static inline CUstream lane_own_stream(CUstream stream)
{
    return stream ? stream : LANE_PER_THREAD;
}

static inline uint64_t lane_tag(const void *function, uint32_t size, CUstream stream)
{
    return (uint64_t)(uintptr_t)function + (uint64_t)(uintptr_t)stream * LANE_BY_STREAM +
           (uint64_t)size * LANE_BY_SIZE;
}

static inline struct lane_entry *lane_entry_of(struct lane *lane, uint64_t tag)
{
    uint64_t at = tag * LANE_MIX >> LANE_SHIFT & LANE_MASK;
    return &lane->entries[at / sizeof(struct lane_entry)];
}

/* Nothing limits the thread: launch. */
static inline bool lane_is_free(void)
{
    return --lane_tls.left >= 0;
}

/* The launch was paid for: launch. */
static inline bool lane_pays(const void *function, uint32_t size, CUstream stream)
{
    struct lane *lane = lane_tls.lane;
    uint64_t tag = lane_tag(function, size, stream);
    struct lane_entry *e = lane_entry_of(lane, tag);
    if (unlikely(e->tag != tag || lane->credit_ns < e->price_ns ||
                 lane->stamp != atomic_load_explicit(&lane_stamp, memory_order_relaxed)))
        return false;
    lane->credit_ns -= e->price_ns;
    e->count++;
    return true;
}

/* True: launch, nothing else to do. */
static inline bool lane_pass(const void *function, uint32_t size, CUstream stream)
{
    return likely(lane_is_free()) || lane_pays(function, size, stream);
}

/* The calling thread's lane, if it has one. */
static inline struct lane *lane_here(void)
{
    return lane_tls.lane != &lane_none ? lane_tls.lane : NULL;
}

/* The calling thread's lane, made on first use; NULL when there is no memory. */
struct lane *lane_get(void);

/* The child of a fork has only the lanes it makes itself. */
void lane_after_fork(void);

#endif
