/* SPDX-License-Identifier: Apache-2.0
 *
 * Copies and sets within device memory use the compute engine: between
 * processes a card is time-sliced, and while one copies nobody else's kernel
 * runs. They pass the gate of launches, priced by kind and size.
 *
 *   Gated   both ends on a device, COPY_LARGE bytes or more; smaller ones while
 *           the process makes more than COPY_SMALL_EVERY of them in 4 ms
 *   Free    what crosses the bus to host memory: it runs on copy engines, beside
 *           everybody's kernels
 *
 * COPY_LARGE: on an H100 (driver 580) the host needs 4 us to submit a copy and
 * 3 us to submit a set, and 1 MiB is copied in 0.7 us at 1.5 TB/s and set in 0.4;
 * a T4 copies it in 7 us. 8 smaller ones in a millisecond are 6 % of a T4, of an
 * H100 less than 1 %; a flood of them is gated like a flood of short kernels.
 *
 * Which copy has both ends on a device: driver 580 goes by the addresses and
 * not by the entry's name or the descriptor's memory types. cuMemcpyHtoD between
 * two device addresses runs as cuMemcpyDtoD. So an end that is called host or
 * unified memory is looked up, where there is something to limit: 0.1 us, and
 * 0.9 us for pageable memory, of which 1 MiB takes 170 us to copy.
 */
#ifndef HAMI_PRELOAD_COPY_H
#define HAMI_PRELOAD_COPY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "abi/cuda.h"
#include "preload/hook.h"
#include "preload/lane.h"
#include "preload/real.h"
#include "preload/slice.h"
#include "preload/throttle.h"

#define COPY_LARGE (UINT64_C(1) << 20)
enum { COPY_SMALL_EVERY = 32 };

/* Which price is asked for. */
enum copy_kind {
    COPY_LINEAR,
    COPY_PEER,
    COPY_RECT,
    COPY_ARRAY,
    COPY_BATCH,
    COPY_SET,
    COPY_SET_RECT,
    COPY_KINDS
};

struct copy_end {
    bool is_asked; /* whether the address is on a device must be found out */
    CUdeviceptr address;
};

/* A synchronous entry runs on the legacy stream, or the thread's own. */
struct copy_way {
    CUstream stream;
    bool is_synchronous;
};

/* Copies below COPY_LARGE that the thread makes before it asks whether they are too many. */
extern OURS __thread int32_t copy_left;

/* Larger ones between any two ends before it asks whether there is a limit. */
extern OURS __thread int32_t copy_unlimited;

static inline struct copy_end copy_on_device(void)
{
    return (struct copy_end){false, 0};
}

static inline struct copy_end copy_asked(CUdeviceptr address)
{
    return (struct copy_end){true, address};
}

static inline struct copy_end copy_asked_host(const void *address)
{
    return copy_asked((CUdeviceptr)(uintptr_t)address);
}

static inline struct copy_way copy_legacy(void)
{
    return (struct copy_way){NULL, true};
}

static inline struct copy_way copy_of_thread(void)
{
    return (struct copy_way){LANE_PER_THREAD, true};
}

static inline struct copy_way copy_on(CUstream stream)
{
    return (struct copy_way){stream, false};
}

static inline struct copy_way copy_on_own(CUstream stream)
{
    return (struct copy_way){lane_own_stream(stream), false};
}

/* Of a copy that is not gated. */
static inline struct throttle_ticket copy_free(void)
{
    return (struct throttle_ticket){0};
}

/* Prices are kept by kind, which has an address for that, and size in powers of
 * two: what a copy takes follows its size, from 64 KiB on. */
extern OURS const char copy_keys[COPY_KINDS];

static inline const void *copy_key(enum copy_kind kind)
{
    return &copy_keys[kind];
}

static inline uint32_t copy_class(uint64_t bytes)
{
    return 63u - (uint32_t)__builtin_clzll(bytes | UINT64_C(65536));
}

/* Sizes that overflow are large; the driver refuses them. */
static inline uint64_t copy_times(uint64_t a, uint64_t b)
{
    uint64_t product;
    return __builtin_mul_overflow(a, b, &product) ? UINT64_MAX : product;
}

/* Nothing to ask, wherever its ends are. */
static inline bool copy_passes(uint64_t bytes)
{
    return bytes < COPY_LARGE ? --copy_left >= 0 : slice_is_open() && --copy_unlimited >= 0;
}

/* ... of one that is known to lie within devices. */
static inline bool copy_passes_within(enum copy_kind kind, uint64_t bytes, struct copy_way way)
{
    if (bytes < COPY_LARGE)
        return --copy_left >= 0;
    return slice_is_open() && lane_pass(copy_key(kind), copy_class(bytes), way.stream);
}

/* A copy that was not passed above may have to be gated: where are its ends? */
bool copy_asks(uint64_t bytes);

/* Both ends lie on a device. Asks the driver. */
bool copy_is_within(struct copy_end dst, struct copy_end src);

/* Gates a copy that lies within devices; throttle_end() follows the driver's
 * call. */
struct throttle_ticket copy_gate(enum copy_kind kind, uint64_t bytes, struct copy_way way);

/* All of it: of a copy that goes from one end to the other, and of one that is
 * known to lie within devices. */
struct throttle_ticket copy_begin(enum copy_kind kind, uint64_t bytes, struct copy_way way,
                                  struct copy_end dst, struct copy_end src);
struct throttle_ticket copy_begin_within(enum copy_kind kind, uint64_t bytes, struct copy_way way);

/* A wrapper: the way of a copy that need not ask ends in a jump with the
 * caller's arguments in place, as that of a launch does (launch.c). */
#define COPY_HOOK(entry, parameters, arguments, passes, ticket_)                                             \
    static __attribute__((noinline)) CUresult asking_##entry parameters                                      \
    {                                                                                                        \
        struct throttle_ticket ticket = ticket_;                                                             \
        CUresult result = real.entry arguments;                                                              \
        throttle_end(&ticket);                                                                               \
        return result;                                                                                       \
    }                                                                                                        \
    HOOK CUresult entry parameters                                                                           \
    {                                                                                                        \
        if (likely(passes))                                                                                  \
            return real.entry arguments;                                                                     \
        return asking_##entry arguments;                                                                     \
    }

/* COPY(entry, (parameters), (arguments), kind, bytes, way, dst, src): ends as
 * above. COPY_WITHIN: both are known to be on a device. */
#define COPY(entry, parameters, arguments, kind, bytes, way, dst, src)                                       \
    COPY_HOOK(entry, parameters, arguments, copy_passes(bytes), copy_begin(kind, bytes, way, dst, src))
#define COPY_WITHIN(entry, parameters, arguments, kind, bytes, way)                                          \
    COPY_HOOK(entry, parameters, arguments, copy_passes_within(kind, bytes, way),                            \
              copy_begin_within(kind, bytes, way))

#endif
