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
 *   2. A stream is recorded on only while it is known to live: destroying it
 *      takes its open batches away first (batch_stream_gone).
 *   3. Events live in the meter of their context and go with it.
 *   4. One thread at a time asks about a meter's batches: a measurement reads
 *      the meter's clock, sharpens it and may give it another base event.
 */
#ifndef HAMI_PRELOAD_BATCH_H
#define HAMI_PRELOAD_BATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "abi/cuda.h"
#include "preload/lane.h"
#include "preload/price.h"

/* Threads that launched and then did something else each keep a batch for every
 * stream they used: there are more than are ever in flight. */
enum { METERS = 6, METER_BATCHES = 128, BATCH_PARTS = 12 };
#define BATCH_MARK_NS UINT64_C(1000) /* an event takes about so much of a device */
enum batch_state { BATCH_FREE = 0, BATCH_OPEN, BATCH_CLOSED, BATCH_CLAIMED };

struct batch_part { /* launches of one function */
    const void *function;
    uint32_t size;
    uint32_t count;
    int64_t price_ns;
};

struct meter;

struct batch {
    enum batch_state state;
    struct meter *meter;
    CUstream stream;
    CUevent start, end;
    bool orphan;        /* its stream or context is gone */
    bool recording;     /* its lane is in a driver call with its stream */
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
    CUcontext context; /* NULL = unused */
    CUevent base;      /* event times are relative to it */
    double base_ns;    /* its time */
    double offset_ns;  /* CLOCK_MONOTONIC minus event time */
    uint64_t based_ns; /* when base was recorded */
    int n_batches;     /* none behind these was ever used; changed under the lock */
    bool claimed;      /* one of its batches is: base and offset are that thread's; changed under the lock */
    struct batch batches[METER_BATCHES];
};

/* A completed batch on the machine's clock. */
struct measure {
    uint64_t from_ns, to_ns;
};

/* Opens a batch on a stream of the context: records the start event. NULL: not
 * possible. Call without locks: makes driver calls. */
struct batch *batch_open(struct card *card, CUcontext context, CUstream stream);

/* Its first launch was made: sharpens first_ns, of a sample as far as can be. */
void batch_begun(struct batch *batch, bool sample);

/* Records the end event. False: the stream is gone, nothing was recorded. */
bool batch_close(struct card *card, struct batch *batch);

/* CUDA_SUCCESS: complete, *ret filled. CUDA_ERROR_NOT_READY: not yet. Anything
 * else: it cannot be measured. Called by the one who claimed it. */
CUresult batch_measure(struct batch *batch, struct measure *ret);

/* Frees a batch that waited to be measured. The caller holds the card's lock. */
void batch_forget(struct card *card, struct batch *batch);

/* A stream, or a context with all its streams, is about to go away. */
void batch_stream_gone(CUstream stream);
void batch_context_gone(CUcontext context);

#endif
