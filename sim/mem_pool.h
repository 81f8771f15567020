/* SPDX-License-Identifier: Apache-2.0
 *
 * Memory pools. A pool takes segments of physical memory from its device and
 * cuts allocations out of them; freed ones are reused at once (the driver
 * would insert the dependency), and segments in which nothing is left go back
 * at the next synchronisation, as far as the release threshold allows.
 *
 * A pool's members are guarded by the lock of its arena.
 */
#ifndef HAMI_SIM_MEM_POOL_H
#define HAMI_SIM_MEM_POOL_H

#include "mem_bytes.h"

#define SIM_POOL_STEP (32ULL << 20) /* a pool grows by at least this much */

struct sim_pool {
    uint32_t tag; /* SIM_TAG_POOL */
    bool is_default, imported;
    bool doomed; /* destroyed while allocations were left */
    struct sim_pool *next;
    struct sim_arena *arena;
    CUmemPoolProps props;
    struct sim_space *spaces; /* [1]: with bytes, [0]: only counted */
    struct sim_segment *segments;
    uint64_t reserved, reserved_high, used, used_high, threshold;
    size_t live; /* allocations */
    int reuse[3];
    uint64_t readable, writable; /* bit per device besides its own; bit 63: host */
    int identity_fd;             /* of an exported or imported pool, else -1 */
};

struct sim_segment {
    struct sim_segment *next;
    struct sim_block *block;
};

/* A pointer taken over from an exporting process. */
struct sim_pool_import {
    struct sim_pool_import *next;
    CUdeviceptr address;
};

/* The live pool behind a handle, or NULL. */
struct sim_pool *sim_pool_of(CUmemoryPool handle);
CUresult sim_pool_new(const CUmemPoolProps *props, struct sim_pool **ret);
uint64_t sim_pool_handle_types(const void *pool);

/* Takes the arena's lock. */
CUresult sim_pool_alloc(struct sim_pool *pool, uint64_t size, struct sim_block **ret);
/* Lock held: gives back unused segments until at most keep bytes are reserved;
 * how many bytes went. */
uint64_t sim_pool_trim(struct sim_pool *pool, uint64_t keep);

/* The pool new asynchronous allocations of a device use, and its default one;
 * NULL without memory. Device -1: the host's. */
struct sim_pool *sim_pool_current(CUdevice device);
struct sim_pool *sim_pool_default(CUdevice device);
CUresult sim_pool_make_current(CUdevice device, struct sim_pool *pool);
void sim_pool_not_current(struct sim_pool *pool);

/* mem_pool_share.c: forgets an imported pointer; false when it is none. */
bool sim_pool_forget_import(CUdeviceptr address);

#endif
