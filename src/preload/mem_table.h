/* SPDX-License-Identifier: Apache-2.0
 *
 * A hash table from a 64-bit key (an address or a handle) to what the memory
 * engine knows of it. Thousands to millions of entries, any thread.
 *
 * Invariants:
 *   1. A key is present at most once; 0 is never a key.
 *   2. A shard's lock is held for a few dozen instructions, or for moving one
 *      shard to a bigger array; never across a driver call or a callback.
 *   3. Storage is the table itself, and mmap once a shard has more than a few
 *      entries: it may be used from inside any allocator, and what holds
 *      little costs a page or two and no system call.
 *   4. At most 3/4 of a shard's array is in use: a search ends.
 */
#ifndef HAMI_PRELOAD_MEM_TABLE_H
#define HAMI_PRELOAD_MEM_TABLE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "preload/hook.h"

#define MEM_TABLE_SHARDS 16
#define MEM_TABLE_FIRST 8 /* entries of a shard's first array; a power of two */

struct mem_entry {
    uint64_t key;
    uint64_t bytes; /* charged for this entry */
    void *owner;    /* context, pool or physical object; what `kind` says */
    union {
        struct {
            uint16_t device;
            uint8_t kind; /* enum mem_kind */
            uint8_t flags;
            uint32_t extra;
        };
        uint64_t meta; /* the four as one word */
    };
};

static inline uint64_t mem_meta(uint16_t device, uint8_t kind, uint8_t flags)
{
    return (uint64_t)device | (uint64_t)kind << 16 |
           (uint64_t)flags << 24; /* little endian, as all we run on */
}

struct mem_shard {
    _Atomic uint32_t lock;
    uint32_t bits; /* the array has 2^bits entries; 0 = none yet */
    uint64_t count;
    struct mem_entry *entries;
} __attribute__((aligned(64)));

struct mem_table {
    struct mem_shard shards[MEM_TABLE_SHARDS];
    struct mem_entry first[MEM_TABLE_SHARDS][MEM_TABLE_FIRST];
};

/* Adds *e; an entry with the same key is replaced, and *ret_old (may be NULL)
 * says what it was (key 0 = there was none). False when memory ran out. */
bool mem_table_put(struct mem_table *t, const struct mem_entry *e, struct mem_entry *ret_old);

/* As mem_table_put with the entry in registers: an entry written to memory
 * field by field and read back in wider words costs the processor a stall. */
bool mem_table_add(struct mem_table *t, uint64_t key, uint64_t bytes, void *owner, uint64_t meta,
                   struct mem_entry *ret_old);

/* Removes the entry of key and hands it over. False when there is none. */
bool mem_table_take(struct mem_table *t, uint64_t key, struct mem_entry *ret);

bool mem_table_get(struct mem_table *t, uint64_t key, struct mem_entry *ret);

/* Removes every entry for which match(e, arg) says so. match may change what
 * is not the key; it must not call the table or the driver. */
void mem_table_sweep(struct mem_table *t, bool (*match)(struct mem_entry *e, void *arg), void *arg);

/* How many; takes each shard's lock. */
uint64_t mem_table_count(struct mem_table *t);

/* For a fork's child, which has one thread and none of the parent's memory. */
void mem_table_forget(struct mem_table *t);

/* A lock of a few instructions. */
void mem_lock_wait(_Atomic uint32_t *lock);

static inline bool mem_lock_try(_Atomic uint32_t *lock)
{
    return likely(!atomic_exchange_explicit(lock, 1, memory_order_acquire));
}

static inline void mem_lock(_Atomic uint32_t *lock)
{
    if (!mem_lock_try(lock))
        mem_lock_wait(lock);
}

static inline void mem_unlock(_Atomic uint32_t *lock)
{
    atomic_store_explicit(lock, 0, memory_order_release);
}

#endif
