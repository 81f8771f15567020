/* SPDX-License-Identifier: Apache-2.0
 *
 * See copy.h.
 *
 * Invariants:
 *   1. The user's arguments and the driver's answer are not changed, nor looked
 *      at beyond what tells size, direction and stream.
 *   2. Driver calls of ours are made in relaxed capture mode while a capture is
 *      open; a copy into a capture is not gated, for it does not run.
 *   3. The driver is asked nothing where there is neither a limit nor a neighbour
 *      to take turns with.
 */
#include "preload/copy.h"

#include <stdatomic.h>

#include "preload/batch.h"
#include "preload/compute.h"
#include "preload/ctx.h"
#include "preload/port.h"

#define FLOOD_NS UINT64_C(4000000)  /* COPY_SMALL_EVERY small copies within are a flood */
#define CALM_NS UINT64_C(100000000) /* ... and where they are gated, and so fewer, within this */
#define UNLIMITED 16                /* so few that a new limit is seen soon */

__thread int32_t copy_left; /* a thread asks with its first one: threads may be many, and short-lived */
__thread int32_t copy_unlimited;
const char copy_keys[COPY_KINDS];

/* The thread's part of a flood: small copies that are looked at without asking
 * whether it still is one, and whether one since was within devices. */
static __thread struct {
    int32_t left;
    bool seen;
} flood;

/* When a thread of this process last asked. */
static _Atomic uint64_t asked_ns;

/* There is a limit, or neighbours to take turns with. */
static bool matters(void)
{
    if (slice_attach() != SLICE_ON)
        return false;
    int d = ctx_here()->device;
    if (d < 0 || d >= REGION_DEVICES)
        return false;
    bool limited = slice.policy != GRANT_POLICY_DISABLE && slice_cores_limit((unsigned)d) != 0;
    return limited || slice.board[d][0] != '\0' || !slice_is_open();
}

/* A thread asks about one in COPY_SMALL_EVERY, at moments it does not choose, so
 * that none can have its copies between host and card answer for the others. */
static bool floods(void)
{
    if (flood.left > 0) {
        flood.left--;
        copy_left = 0;
        return true;
    }
    uint64_t now = port.now();
    uint64_t before = atomic_exchange_explicit(&asked_ns, now, memory_order_relaxed);
    bool many =
        before > now || now - before < (flood.seen ? CALM_NS : FLOOD_NS); /* or another thread came by */
    flood.seen = false;
    copy_left = COPY_SMALL_EVERY / 2 + (int32_t)(now % COPY_SMALL_EVERY);
    return many && matters();
}

static void flood_goes_on(void)
{
    flood.seen = true;
    flood.left = flood.left > 0 ? flood.left : COPY_SMALL_EVERY - 1;
    copy_left = 0;
}

bool copy_asks(uint64_t bytes)
{
    if (bytes < COPY_LARGE)
        return floods();
    bool asks = matters();
    copy_unlimited = asks ? 0 : UNLIMITED;
    return asks;
}

/* Managed memory counts as the device's, wherever its pages are. An address
 * that the driver does not know is pageable host memory. */
static bool is_on_device(struct copy_end end)
{
    CUmemorytype type = CU_MEMORYTYPE_HOST;
    return !end.is_asked || (real.cuPointerGetAttribute(&type, CU_POINTER_ATTRIBUTE_MEMORY_TYPE,
                                                        end.address) == CUDA_SUCCESS &&
                             type != CU_MEMORYTYPE_HOST);
}

bool copy_is_within(struct copy_end dst, struct copy_end src)
{
    CUstreamCaptureMode mode = CU_STREAM_CAPTURE_MODE_RELAXED;
    bool capturing = compute_capturing();
    if (unlikely(capturing))
        real.cuThreadExchangeStreamCaptureMode(&mode);
    bool within = is_on_device(dst) && is_on_device(src);
    if (unlikely(capturing))
        real.cuThreadExchangeStreamCaptureMode(&mode);
    return within;
}

struct throttle_ticket copy_gate(enum copy_kind kind, uint64_t bytes, struct copy_way way)
{
    if (bytes < COPY_LARGE)
        flood_goes_on();
    slice_gate();
    if (lane_pass(copy_key(kind), copy_class(bytes), way.stream))
        return copy_free();
    struct throttle_ticket ticket = throttle_begin(copy_key(kind), copy_class(bytes), way.stream);
    if (way.is_synchronous && ticket.fresh) { /* the call may wait for the copy, which begins with it */
        ticket.fresh->sample = ticket.sample;
        ticket.fresh = NULL;
    }
    return ticket;
}

struct throttle_ticket copy_begin(enum copy_kind kind, uint64_t bytes, struct copy_way way,
                                  struct copy_end dst, struct copy_end src)
{
    return copy_asks(bytes) && copy_is_within(dst, src) ? copy_gate(kind, bytes, way) : copy_free();
}

struct throttle_ticket copy_begin_within(enum copy_kind kind, uint64_t bytes, struct copy_way way)
{
    return bytes < COPY_LARGE && !floods() ? copy_free() : copy_gate(kind, bytes, way);
}
