/* SPDX-License-Identifier: Apache-2.0
 *
 * Address ranges: handing out and taking back pieces of reserved address
 * space in constant time, and finding the piece that an address lies in.
 *
 * A region is one contiguous range, cut into units of a power of two. Every
 * piece of it, used or free, is a block; blocks of one region are linked in
 * address order. A space is a set of regions of one unit size with the free
 * blocks of all of them sorted into bins by size (two-level segregated fit).
 *
 * Invariants:
 *   1. The blocks of a region cover it without gap or overlap.
 *   2. No two neighbouring blocks of a region are both free.
 *   3. region->at[] holds exactly the blocks that start at each unit, and the
 *      start bits say where those are.
 * The caller serialises all calls on a space and its regions.
 */
#ifndef HAMI_SIM_MEM_SPACE_H
#define HAMI_SIM_MEM_SPACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SIM_SPACE_SIZES 40 /* powers of two of units */
#define SIM_SPACE_STEPS 8  /* bins between two powers */
#define SIM_SPACE_LEVELS 6 /* of the start bits: 64^5 units are plenty */

struct sim_region;
struct sim_context;
struct sim_bytes;

struct sim_block {
    uint64_t base; /* device address */
    uint64_t span; /* bytes of address space, a multiple of the unit */
    uint64_t size; /* bytes asked for; meaningless while free */
    struct sim_block *before, *after;
    struct sim_block *next_free, *prev_free; /* next_free also links unused descriptors */
    struct sim_region *region;
    struct sim_region *nested; /* this block is cut further by another space */
    struct sim_context *ctx;
    struct sim_bytes *bytes; /* shared with other processes, else NULL */
    void *owner;             /* by kind: pool, reservation, managed state, host state */
    uint64_t id;             /* never reused within the process */
    uint8_t kind;
    bool free, real, dirty, sync_memops;
    int32_t device;
    int32_t charged; /* host memory: the device whose memory it takes, -1: none */
    uint32_t flags;
};

struct sim_region {
    uint64_t base, span;
    unsigned unit_shift;
    unsigned levels;
    uint64_t *starts[SIM_SPACE_LEVELS];
    struct sim_block **at;
    size_t map_bytes; /* of the one mapping that holds starts and at */
    void *owner;
};

struct sim_space {
    unsigned unit_shift;
    uint64_t sizes_used;
    uint8_t steps_used[SIM_SPACE_SIZES];
    struct sim_block *bins[SIM_SPACE_SIZES][SIM_SPACE_STEPS];
    struct sim_block *unused; /* descriptors */
};

void sim_space_init(struct sim_space *space, unsigned unit_shift);

/* A region covers [base, base + span); both multiples of the unit. NULL when
 * the host has no memory. */
struct sim_region *sim_region_new(uint64_t base, uint64_t span, unsigned unit_shift);
void sim_region_free(struct sim_region *region);

/* Adds a whole region as one free block; false when the host has no memory. */
bool sim_space_add(struct sim_space *space, struct sim_region *region);
/* Takes a region that is one free block out of the space again. */
void sim_space_remove(struct sim_space *space, struct sim_region *region);
/* True when nothing of the region is in use. */
bool sim_region_unused(const struct sim_region *region);

/* A used block of at least `bytes` (rounded up to units) whose base is a
 * multiple of align (a power of two, at least the unit); NULL when none fits. */
struct sim_block *sim_space_take(struct sim_space *space, uint64_t bytes, uint64_t align);
/* The same at a given address; NULL unless that range is free in `region`. */
struct sim_block *sim_space_take_at(struct sim_space *space, struct sim_region *region, uint64_t base,
                                    uint64_t bytes);
/* Gives a used block back; its region is returned. */
struct sim_region *sim_space_put(struct sim_space *space, struct sim_block *block);

/* The block, used or free, that address lies in; address is inside the region. */
struct sim_block *sim_region_find(const struct sim_region *region, uint64_t address);
/* The first block of the region; follow ->after for the rest. */
struct sim_block *sim_region_first(const struct sim_region *region);

#endif
