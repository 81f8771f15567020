/* SPDX-License-Identifier: Apache-2.0
 *
 * The simulated address space, shared by the memory families.
 *
 * A device address is a host address: every device in use owns an arena of
 * reserved address space with a part whose bytes are real (small allocations,
 * managed memory, arrays: copies round-trip) and a part that only counts
 * (allocations above the profile's real_bytes_max, address reservations).
 * Pinned host memory has an arena of its own. Physical memory is taken from
 * the machine in steps of 2 MiB: allocations under 1 MiB share such chunks.
 *
 * Invariants:
 *   1. Bytes of a block that is `real` may be read and written at its address.
 *   2. A chunk holds its 2 MiB of physical memory exactly while something in
 *      it is allocated; a larger block holds its span.
 *   3. Blocks are read and changed only under their arena's lock; what leaves
 *      the lock is a copy (struct sim_range).
 * Any thread may call anything here. The arena lock is held across
 * sim_memory_take/give, never across an effect or a wait.
 */
#ifndef HAMI_SIM_MEM_H
#define HAMI_SIM_MEM_H

#include <pthread.h>

#include "core.h"
#include "mem_space.h"
#include "memory.h"

#define SIM_CHUNK_SHIFT 21
#define SIM_CHUNK (1ULL << SIM_CHUNK_SHIFT)
#define SIM_SMALL_SHIFT 9
#define SIM_SMALL_MAX (1ULL << 20) /* below: shares a chunk */

enum sim_mem_kind {
    SIM_MEM_NONE,
    SIM_MEM_CHUNK,    /* holds small blocks (nested) */
    SIM_MEM_PLAIN,    /* cuMemAlloc, cuMemAllocPitch */
    SIM_MEM_MANAGED,  /* owner: struct sim_managed */
    SIM_MEM_HOST,     /* pinned; owner: struct sim_host */
    SIM_MEM_RESERVED, /* address reservation; owner: struct sim_reservation */
    SIM_MEM_SEGMENT,  /* of a pool (nested); owner: struct sim_pool */
    SIM_MEM_POOLED,   /* stream-ordered; owner: struct sim_pool */
    SIM_MEM_ARRAY,
    SIM_MEM_SPARSE,   /* array whose memory is mapped later */
    SIM_MEM_GRAPH,    /* address of an allocation node; owner: struct sim_graph_block */
    SIM_MEM_SHARED,   /* opened from another process; owner: struct sim_bytes */
    SIM_MEM_EXTERNAL, /* buffer of imported external memory */
    SIM_MEM_GLOBAL    /* module globals */
};

struct sim_arena {
    pthread_mutex_t lock;
    CUdevice device;  /* CUDA ordinal; -1: the host's */
    unsigned machine; /* device of the machine, for take and give */
    uint64_t base, span;
    struct sim_space small, real, counted;
    struct sim_region *real_region, *counted_region;
    uint64_t usable_end;      /* of the real part, from its start */
    struct sim_region *spare; /* bookkeeping of emptied chunks, linked by owner */
    unsigned n_spare;
};

#define SIM_HOST_ARENA (-1)

/* The device's arena, reserved at first use; NULL when the host has no room. */
struct sim_arena *sim_arena(CUdevice device);
/* The 32-bit space of the first entry points; NULL for any but one device. */
struct sim_arena *sim_arena_low(CUdevice device);
/* The arena an address lies in, or NULL. */
struct sim_arena *sim_arena_at(uint64_t address);
void sim_arena_each(void (*visit)(struct sim_arena *arena, void *arg), void *arg);

struct sim_request {
    enum sim_mem_kind kind;
    uint64_t size, align; /* align 0: 512 */
    bool physical;        /* takes memory of the device */
    bool counted;         /* address space only, whatever the size */
    bool real;            /* real bytes, whatever the size */
    struct sim_context *ctx;
    void *owner;
};

/* Both take the arena's lock. The block stays valid until freed. */
CUresult sim_arena_alloc(struct sim_arena *arena, const struct sim_request *q, struct sim_block **ret);
void sim_arena_free(struct sim_arena *arena, struct sim_block *block);
/* The same with the lock held by the caller. */
CUresult sim_arena_alloc_locked(struct sim_arena *arena, const struct sim_request *q, struct sim_block **ret);
void sim_arena_free_locked(struct sim_arena *arena, struct sim_block *block);
/* Address space at a given place; NULL when it is taken. Lock held. */
struct sim_block *sim_arena_take_at(struct sim_arena *arena, const struct sim_request *q, uint64_t address);
/* The innermost used block at address, or NULL; lock held. */
struct sim_block *sim_arena_find(struct sim_arena *arena, uint64_t address);
bool sim_arena_is_physical(const struct sim_block *block);
/* Calls visit for every used block, nested ones included; lock held. visit may
 * free the block it is given. */
void sim_arena_blocks(struct sim_arena *arena, void (*visit)(struct sim_arena *, struct sim_block *, void *),
                      void *arg);
uint64_t sim_block_id(void);

/* What is known of an address; a copy, taken under the lock. */
struct sim_range {
    enum sim_mem_kind kind;
    uint64_t base, size; /* of the allocation, or of the VMM mapping */
    uint64_t id;
    struct sim_context *ctx;
    CUdevice device; /* -1: host */
    bool real, host_visible, registered, sync_memops;
    uint32_t flags;        /* of the kind; of a mapping: the device's access */
    uint64_t handle_types; /* that the memory may be exported as */
    void *owner;
};

/* False when the address is none of ours (pageable host memory). */
bool sim_range_find(uint64_t address, struct sim_range *ret);

/* May [address, address + bytes) be read or written by the device? CUDA_SUCCESS
 * with *ret (of its start), INVALID_VALUE otherwise. bytes > 0. */
CUresult sim_range_check(uint64_t address, uint64_t bytes, bool write, struct sim_range *ret);

/* Current context, its device and the legality of an allocation-like call
 * during capture, in the order in which the driver complains. */
CUresult sim_mem_enter(struct sim_context **ret_ctx, CUdevice *ret_device);

/* Host memory (mem_host.c, mem_register.c). */
bool sim_is_unified(CUdevice device); /* device memory is system memory */
bool sim_shares_host_memory(void);    /* that of the current context is */
void sim_host_free_locked(struct sim_arena *arena, struct sim_block *block);
bool sim_registered_find(uint64_t address, struct sim_range *ret);
void sim_registered_context_gone(struct sim_context *ctx);
/* VMM (mem_vmm_map.c): the mapping at address inside a reservation; lock held. */
bool sim_vmm_range(const struct sim_block *block, uint64_t address, struct sim_range *ret);
/* Pages of managed memory that the device has written become resident. */
void sim_managed_touch(uint64_t address, uint64_t bytes);
/* Managed memory: what is resident must make room; true when bytes were freed. */
bool sim_managed_evict(CUdevice device, uint64_t bytes);
void sim_managed_gone(struct sim_arena *arena, struct sim_block *block);

/* Frees of other families through cuMemFree; the arena's lock held. */
CUresult sim_pool_free(struct sim_arena *arena, struct sim_block *block);
CUresult sim_graph_block_free(struct sim_block *block);

/* Takes physical memory of the arena's device, making room when needed. */
CUresult sim_mem_take(struct sim_arena *arena, uint64_t bytes);
void sim_mem_give(struct sim_arena *arena, uint64_t bytes);

static inline uint64_t sim_round_up(uint64_t n, uint64_t to)
{
    return (n + to - 1) & ~(to - 1);
}

#endif
