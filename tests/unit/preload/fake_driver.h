/* SPDX-License-Identifier: Apache-2.0
 *
 * A driver and a slice for unit tests of the memory engine: the engine's
 * sources are linked statically, `real` is filled with the functions of
 * fake_driver.c, and `slice` is a private region. The driver keeps its own
 * account of what is physically taken, which the tests compare with the ledger.
 *
 * Two devices; a context's handle names its device. Pools grow by 2 MiB.
 */
#ifndef HAMI_TESTS_FAKE_DRIVER_H
#define HAMI_TESTS_FAKE_DRIVER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "preload/memory.h"
#include "preload/real.h"
#include "preload/slice.h"

#define FAKE_DEVICES 2
#define MIB (UINT64_C(1) << 20)

struct fake {
    uint64_t phys_bytes;                  /* of each card */
    _Atomic uint64_t taken[FAKE_DEVICES]; /* physically, by this process */
    _Atomic uint64_t limit[FAKE_DEVICES]; /* of the slice */
    uint64_t pool_growth;                 /* in what steps pools grow */
    bool scattered;                       /* what a pool has unused may be in the wrong place */
    uint64_t context_bytes;               /* the driver takes for the first context on a device */
    _Atomic int fail_next;                /* the next driver call that could fails with this */
    _Atomic uint64_t calls;               /* allocating and freeing calls that reached the driver */
    _Atomic uint64_t gates;               /* slice_gate() calls */
    _Atomic uint64_t logged;              /* lines */
    char last_line[256];
    void (*on_free)(CUdeviceptr ptr); /* called inside cuMemFree_v2 after the block is free */
    bool capturing;
    unsigned woken; /* helper_wake() calls */
};
extern struct fake fake;

/* A new slice with these limits (0 = unlimited), a driver with nothing taken,
 * and a current context on device 0. */
void fake_begin(uint64_t limit0, uint64_t limit1);
void fake_end(void);

/* What waiting for work does to all pools: trims them to their thresholds. */
void fake_pools_synchronized(void);

/* Makes the fake context of a device current, past the engine's wrappers. */
CUcontext fake_context(unsigned d);

#endif
