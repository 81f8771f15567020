/* SPDX-License-Identifier: Apache-2.0
 *
 * Measuring: a batch is a run of launches on one stream between a start and an
 * end event. Each context has a meter with events and a clock that maps event
 * times to CLOCK_MONOTONIC, so that stretches of several streams, contexts and
 * tenants can be compared.
 *
 * Invariants:
 *   1. A batch belongs to exactly one of: nobody (FREE), the lane that opened
 *      it (OPEN), the card's list (CLOSED), the thread measuring it (CLAIMED).
 *      State changes under the card's lock; driver calls are made without it.
 *   2. A stream is recorded on only while it is known to live, and runs what it is
 *      given: who destroys it, or has it captured, records the end of its open
 *      batches first (batch_stream_ends), and their lanes find that done.
 *   3. Events live in the meter of their context and go with it; what they would
 *      have told is found out before (batch_context_gone).
 *   4. One thread at a time asks about a meter's batches: a measurement reads
 *      the meter's clock, sharpens it and may give it another base event.
 *   5. A launch lacks no batch because others have one: there are as many batches
 *      as are used at a time, and as many meters as contexts have one in use. Only
 *      memory or the driver can refuse; what is launched then is waited for
 *      (blind.h).
 *   6. Every batch that is closed is measured: where events cannot tell, it took
 *      all the time from its first launch until that was found out.
 */
#ifndef HAMI_PRELOAD_BATCH_H
#define HAMI_PRELOAD_BATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "abi/cuda.h"
#include "preload/lane.h"
#include "preload/price.h"

/* Contexts beyond so many get the meter of one that has nothing in flight, if there is one. */
enum { METERS_USUAL = 6, BATCH_PARTS = 12 };
#define BATCH_MARK_NS UINT64_C(1000) /* an event takes about so much of a device */
enum batch_state { BATCH_FREE = 0, BATCH_OPEN, BATCH_CLOSED, BATCH_CLAIMED };

struct batch_part { /* launches of one function */
    const void *function;
    uint32_t size;
    uint32_t count;
    int64_t price_ns;
};

struct meter;

/* A completed batch on the machine's clock. */
struct measure {
    uint64_t from_ns, to_ns;
};

struct batch {
    enum batch_state state;
    struct meter *meter;
    struct batch *kin;           /* the next of all that its meter ever had */
    struct batch *next, *before; /* free: of its meter's free ones; to be measured: of its card's */
    CUstream stream;
    CUevent start, end;
    bool ended;         /* its end is recorded, or is being so by another thread than its lane's */
    bool recording;     /* a thread is in a driver call with its stream */
    bool known;         /* its events are not asked ... */
    bool assumed;       /* ... and cannot tell; see batch_assume() */
    struct measure was; /* ... this is what they would tell */
    bool probe;         /* one launch of unknown duration */
    bool written_off;   /* took so long that it no longer holds others back */
    uint64_t opened_ns; /* before the start event was recorded */
    uint64_t first_ns;  /* before the first launch */
    uint64_t closed_ns; /* after the end event was recorded */
    uint64_t due_ns;    /* when it is expected to be complete */
    uint64_t polled_ns;
    uint64_t sequence; /* turn it was launched in, and since when */
    uint64_t held_ns;
    int64_t estimate_ns;
    int64_t unsure_ns; /* by how much the estimate may be wrong */
    int64_t beside_ns; /* estimate of all batches of its lane that were open with it, its own too */
    bool slow;         /* several launches of a lane that starves the device */
    bool sample;       /* one of them, whose price is wanted */
    bool watched;      /* one launch, to see whether it is as long as expected */
    uint32_t launches;
    uint32_t n_parts;
    struct batch_part parts[BATCH_PARTS];
};

struct meter {
    struct meter *next;
    CUcontext context;     /* NULL = unused */
    _Atomic(CUevent) base; /* event times are relative to it */
    double base_ns;        /* its time */
    double offset_ns;      /* CLOCK_MONOTONIC minus event time */
    uint64_t based_ns;     /* when base was recorded */
    /* Changed under the lock: */
    bool claimed; /* one of its batches is: base and offset are that thread's */
    uint32_t n_used;
    struct batch *all, *free; /* for good: of whatever context they are */
};

/* Of a card; changed under its lock. */
struct batches {
    struct meter *meters; /* in use, and those whose context went away; the oldest first */
    struct meter *spare;
    struct batch *first, *last; /* closed or claimed, in the order of closing */
};

/* Opens a batch on a stream of the context: records the start event. NULL: not
 * possible. Call without locks: makes driver calls. */
struct batch *batch_open(struct card *card, CUcontext context, CUstream stream);

/* Its first launch was made: sharpens first_ns, of a sample as far as can be. */
void batch_begun(struct batch *batch, bool sample);

/* Records the end event. */
void batch_close(struct card *card, struct batch *batch);

/* It was closed and has launches: whoever asks for it first measures it. The caller holds the card's lock. */
void batch_wait(struct card *card, struct batch *batch);

/* Opened and closed in vain. The caller holds the card's lock. */
void batch_drop(struct batch *batch);

/* CUDA_SUCCESS: complete, *ret filled. CUDA_ERROR_NOT_READY: not yet. Anything
 * else: it cannot be measured. Called by the one who claimed it. */
CUresult batch_measure(struct batch *batch, struct measure *ret);

/* Its events cannot tell: it took all the time until now, of the last BATCH_GONE_NS. Called by the one who
 * closes or measures it. */
void batch_assume(struct batch *batch, uint64_t now);

/* Frees a batch that waited to be measured. The caller holds the card's lock. */
void batch_forget(struct card *card, struct batch *batch);

/* A stream is about to go away, or to run nothing for a while. The caller's own lane has nothing open on it.
 */
void batch_stream_ends(CUstream stream);

#define BATCH_GONE_NS (UINT64_C(60) * 1000000000)

/* A context with all its streams may be about to go away. Waits for what its batches measure, as the driver
 * does for its work, but BATCH_GONE_NS at most. The caller's own lane has nothing open in it. */
void batch_context_gone(CUcontext context);

#endif
