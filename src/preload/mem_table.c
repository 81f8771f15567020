/* SPDX-License-Identifier: Apache-2.0
 *
 * Open addressing with linear probing and backward-shift deletion: no
 * tombstones, so that the cost does not grow with the number of frees.
 *
 * The pair insert/remove is the library's hottest path that takes a lock. It
 * costs one atomic exchange and two cache lines: the shard and the entry.
 */
#include "preload/mem_table.h"

#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>

#define FIRST_BITS 3 /* MEM_TABLE_FIRST entries, in the table itself */
#define PAGE_BITS 7  /* 128 entries: one page */
#define SPINS 64

static inline void pause_cpu(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

void __attribute__((noinline)) mem_lock_wait(_Atomic uint32_t *lock)
{
    int saved = errno;

    for (unsigned i = 0;; i++) {
        if (!atomic_load_explicit(lock, memory_order_relaxed) &&
            !atomic_exchange_explicit(lock, 1, memory_order_acquire))
            break;
        if (i < SPINS)
            pause_cpu();
        else
            sched_yield(); /* the holder lost its processor inside a few instructions */
    }
    errno = saved;
}

/* Addresses are multiples of 256 and more, often in equal steps: two rounds of
 * multiply and fold, or the steps gather in some places. The shard comes from
 * the low bits, the position from those above. */
static inline uint64_t hash(uint64_t key)
{
    uint64_t h = key * UINT64_C(0x9E3779B97F4A7C15);
    h = (h ^ h >> 32) * UINT64_C(0xD6E8FEB86659FD93);
    return h ^ h >> 32;
}

static inline struct mem_shard *shard_of(struct mem_table *t, uint64_t h)
{
    return &t->shards[h % MEM_TABLE_SHARDS];
}

static inline uint64_t home(uint64_t h, uint32_t bits)
{
    return (h >> 4) & ((UINT64_C(1) << bits) - 1);
}

/* The position of key, or of the hole where it belongs. */
static inline uint64_t find(const struct mem_shard *s, uint64_t key, uint64_t h)
{
    uint64_t mask = (UINT64_C(1) << s->bits) - 1;
    uint64_t i = home(h, s->bits);

    while (s->entries[i].key && s->entries[i].key != key)
        i = (i + 1) & mask;
    return i;
}

static struct mem_entry *array_new(uint32_t bits)
{
    int saved = errno;
    void *p = mmap(NULL, sizeof(struct mem_entry) << bits, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    errno = saved;
    return p == MAP_FAILED ? NULL : p;
}

static void array_free(struct mem_shard *s)
{
    int saved = errno;

    if (s->bits > FIRST_BITS)
        munmap(s->entries, sizeof(struct mem_entry) << s->bits);
    errno = saved;
}

/* The new array is a mapped one: the first is not returned to. */
static bool __attribute__((noinline)) resize(struct mem_shard *s, uint32_t bits)
{
    struct mem_shard bigger = {.bits = bits, .entries = array_new(bits)};

    if (!bigger.entries)
        return false;
    for (uint64_t i = 0; i < UINT64_C(1) << s->bits; i++)
        if (s->entries[i].key)
            bigger.entries[find(&bigger, s->entries[i].key, hash(s->entries[i].key))] = s->entries[i];
    array_free(s);
    s->entries = bigger.entries;
    s->bits = bits;
    return true;
}

/* A full shard that cannot grow still takes entries up to its last but one, so
 * that a search ends. */
static bool __attribute__((noinline)) grow(struct mem_table *t, struct mem_shard *s)
{
    _Static_assert(MEM_TABLE_FIRST == 1 << FIRST_BITS, "the first array");
    if (s->entries)
        return resize(s, s->bits < PAGE_BITS ? PAGE_BITS : s->bits + 1) || s->count + 2 <= UINT64_C(1)
                                                                                               << s->bits;
    s->entries = t->first[s - t->shards];
    s->bits = FIRST_BITS;
    return true;
}

/* Room for one more entry, as it is. */
static inline bool has_room(const struct mem_shard *s)
{
    return s->entries && s->count + 1 <= (UINT64_C(1) << s->bits) / 4 * 3;
}

static inline void enter(struct mem_shard *s, uint64_t h, const struct mem_entry *e,
                         struct mem_entry *ret_old)
{
    struct mem_entry *place = &s->entries[find(s, e->key, h)];

    if (likely(!place->key))
        s->count++;
    else if (ret_old)
        *ret_old = *place;
    place->key = e->key;
    place->bytes = e->bytes;
    place->owner = e->owner;
    place->meta = e->meta;
}

/* When the shard has to be waited for, or to grow. */
static bool __attribute__((noinline)) add_slowly(struct mem_table *t, uint64_t key, uint64_t bytes,
                                                 void *owner, uint64_t meta, struct mem_entry *ret_old)
{
    struct mem_entry e = {.key = key, .bytes = bytes, .owner = owner, .meta = meta};
    uint64_t h = hash(key);
    struct mem_shard *s = shard_of(t, h);
    bool fits;

    mem_lock(&s->lock);
    fits = has_room(s) || grow(t, s);
    if (fits)
        enter(s, h, &e, ret_old);
    mem_unlock(&s->lock);
    return fits;
}

/* What is seldom done is another function's, called as the last act, so that this
 * one keeps no registers for it. */
bool mem_table_add(struct mem_table *t, uint64_t key, uint64_t bytes, void *owner, uint64_t meta,
                   struct mem_entry *ret_old)
{
    struct mem_entry e = {.key = key, .bytes = bytes, .owner = owner, .meta = meta};
    uint64_t h = hash(key);
    struct mem_shard *s = shard_of(t, h);

    if (ret_old)
        ret_old->key = 0;
    if (unlikely(!mem_lock_try(&s->lock)))
        return add_slowly(t, key, bytes, owner, meta, ret_old);
    if (unlikely(!has_room(s))) {
        mem_unlock(&s->lock);
        return add_slowly(t, key, bytes, owner, meta, ret_old);
    }
    enter(s, h, &e, ret_old);
    mem_unlock(&s->lock);
    return true;
}

bool mem_table_put(struct mem_table *t, const struct mem_entry *e, struct mem_entry *ret_old)
{
    return mem_table_add(t, e->key, e->bytes, e->owner, e->meta, ret_old);
}

/* Closes the hole at i: entries behind it move up unless that would put them
 * before their home. */
static inline void remove_at(struct mem_shard *s, uint64_t i)
{
    uint64_t mask = (UINT64_C(1) << s->bits) - 1;

    for (uint64_t j = (i + 1) & mask; s->entries[j].key; j = (j + 1) & mask) {
        uint64_t from_home = (j - home(hash(s->entries[j].key), s->bits)) & mask;
        if (from_home >= ((j - i) & mask)) {
            s->entries[i] = s->entries[j];
            i = j;
        }
    }
    s->entries[i].key = 0;
    s->count--;
}

static inline bool take(struct mem_shard *s, uint64_t key, uint64_t h, struct mem_entry *ret)
{
    uint64_t i;

    if (unlikely(!s->entries || !key))
        return false;
    i = find(s, key, h);
    if (unlikely(s->entries[i].key != key))
        return false;
    *ret = s->entries[i];
    remove_at(s, i);
    return true;
}

static inline bool is_thin(const struct mem_shard *s)
{
    return s->bits > PAGE_BITS && s->count < UINT64_C(1) << s->bits >> 4;
}

/* After one was taken. */
static bool __attribute__((noinline)) shrink(struct mem_shard *s)
{
    mem_lock(&s->lock);
    if (is_thin(s))
        resize(s, s->bits - 2 < PAGE_BITS ? PAGE_BITS : s->bits - 2);
    mem_unlock(&s->lock);
    return true;
}

static bool __attribute__((noinline)) take_waiting(struct mem_table *t, uint64_t key, struct mem_entry *ret)
{
    uint64_t h = hash(key);
    struct mem_shard *s = shard_of(t, h);
    bool found;

    mem_lock(&s->lock);
    found = take(s, key, h, ret);
    mem_unlock(&s->lock);
    return found;
}

bool mem_table_take(struct mem_table *t, uint64_t key, struct mem_entry *ret)
{
    uint64_t h = hash(key);
    struct mem_shard *s = shard_of(t, h);
    bool found, empty;

    if (unlikely(!mem_lock_try(&s->lock)))
        return take_waiting(t, key, ret);
    found = take(s, key, h, ret);
    empty = is_thin(s);
    mem_unlock(&s->lock);
    return unlikely(found && empty) ? shrink(s) : found;
}

bool mem_table_get(struct mem_table *t, uint64_t key, struct mem_entry *ret)
{
    uint64_t h = hash(key);
    struct mem_shard *s = shard_of(t, h);
    bool found = false;

    mem_lock(&s->lock);
    if (s->entries) {
        uint64_t i = find(s, key, h);
        found = s->entries[i].key == key && key;
        if (found)
            *ret = s->entries[i];
    }
    mem_unlock(&s->lock);
    return found;
}

void mem_table_sweep(struct mem_table *t, bool (*match)(struct mem_entry *e, void *arg), void *arg)
{
    for (unsigned n = 0; n < MEM_TABLE_SHARDS; n++) {
        struct mem_shard *s = &t->shards[n];

        mem_lock(&s->lock);
        for (uint64_t i = 0; s->entries && i < UINT64_C(1) << s->bits;) {
            if (s->entries[i].key && match(&s->entries[i], arg))
                remove_at(s, i); /* what moved here is looked at next */
            else
                i++;
        }
        mem_unlock(&s->lock);
    }
}

uint64_t mem_table_count(struct mem_table *t)
{
    uint64_t count = 0;

    for (unsigned n = 0; n < MEM_TABLE_SHARDS; n++) {
        mem_lock(&t->shards[n].lock);
        count += t->shards[n].count;
        mem_unlock(&t->shards[n].lock);
    }
    return count;
}

void mem_table_forget(struct mem_table *t)
{
    for (unsigned n = 0; n < MEM_TABLE_SHARDS; n++) {
        struct mem_shard *s = &t->shards[n];

        /* A thread of the parent may have been inside; its half-done work is
         * dropped unseen, and its array is left to the copy-on-write pages. */
        if (s->entries)
            memset(t->first[n], 0, sizeof t->first[n]);
        memset(s, 0, sizeof *s);
    }
}
