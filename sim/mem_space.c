/* SPDX-License-Identifier: Apache-2.0
 *
 * Two-level segregated fit over address ranges whose bytes are never touched:
 * all bookkeeping lives beside the ranges, so that memory which only counts
 * costs nothing.
 */
#include "mem_space.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define STEP_BITS 3
#define DESCRIPTORS_AT_ONCE 256
#define OWN_BIN_TRIES 4

static unsigned top_bit(uint64_t x)
{
    return 63U - (unsigned)__builtin_clzll(x);
}

/* ---- start bits: a tree of 64-bit words, each bit saying "something below" ---- */

static void start_set(struct sim_region *r, uint64_t i)
{
    for (unsigned level = 0; level < r->levels; level++, i >>= 6) {
        uint64_t *word = &r->starts[level][i >> 6];
        uint64_t old = *word;
        *word = old | (1ULL << (i & 63));
        if (old)
            return;
    }
}

static void start_clear(struct sim_region *r, uint64_t i)
{
    for (unsigned level = 0; level < r->levels; level++, i >>= 6) {
        uint64_t *word = &r->starts[level][i >> 6];
        *word &= ~(1ULL << (i & 63));
        if (*word)
            return;
    }
}

/* The nearest start at or below unit i; unit 0 always is one. */
static uint64_t start_at_or_below(const struct sim_region *r, uint64_t i)
{
    uint64_t mask = ~0ULL >> (63 - (i & 63)); /* own bit counts on the lowest level only */
    for (unsigned level = 0; level < r->levels; level++) {
        uint64_t word = r->starts[level][i >> 6] & mask;
        if (word) {
            i = (i & ~63ULL) + top_bit(word);
            while (level-- > 0)
                i = (i << 6) + top_bit(r->starts[level][i]);
            return i;
        }
        i >>= 6;
        mask = (1ULL << (i & 63)) - 1;
    }
    return 0;
}

static void map_block(struct sim_block *b)
{
    struct sim_region *r = b->region;
    uint64_t unit = (b->base - r->base) >> r->unit_shift;
    r->at[unit] = b;
    start_set(r, unit);
}

static void unmap_block(struct sim_block *b)
{
    struct sim_region *r = b->region;
    uint64_t unit = (b->base - r->base) >> r->unit_shift;
    r->at[unit] = NULL;
    start_clear(r, unit);
}

/* ---- regions ---- */

struct sim_region *sim_region_new(uint64_t base, uint64_t span, unsigned unit_shift)
{
    struct sim_region *r = calloc(1, sizeof *r);
    if (!r)
        return NULL;
    uint64_t units = span >> unit_shift;
    uint64_t words[SIM_SPACE_LEVELS], total = 0;
    for (uint64_t n = units; r->levels < SIM_SPACE_LEVELS; n = words[r->levels - 1]) {
        words[r->levels] = (n + 63) / 64;
        total += words[r->levels++];
        if (words[r->levels - 1] == 1)
            break;
    }
    r->map_bytes = (total + units) * sizeof(uint64_t);
    void *map =
        mmap(NULL, r->map_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (map == MAP_FAILED) {
        free(r);
        return NULL;
    }
    uint64_t *next = map;
    for (unsigned level = 0; level < r->levels; level++) {
        r->starts[level] = next;
        next += words[level];
    }
    r->at = (struct sim_block **)(void *)next;
    r->base = base;
    r->span = span;
    r->unit_shift = unit_shift;
    return r;
}

void sim_region_free(struct sim_region *r)
{
    munmap(r->starts[0], r->map_bytes);
    free(r);
}

struct sim_block *sim_region_first(const struct sim_region *r)
{
    return r->at[0];
}

struct sim_block *sim_region_find(const struct sim_region *r, uint64_t address)
{
    uint64_t unit = (address - r->base) >> r->unit_shift;
    struct sim_block *b = r->at[unit];
    return b ? b : r->at[start_at_or_below(r, unit)];
}

bool sim_region_unused(const struct sim_region *r)
{
    const struct sim_block *first = r->at[0];
    return first && first->free && first->span == r->span;
}

/* ---- descriptors ---- */

static struct sim_block *block_new(struct sim_space *s)
{
    if (!s->unused) {
        struct sim_block *some = calloc(DESCRIPTORS_AT_ONCE, sizeof *some);
        if (!some)
            return NULL;
        for (unsigned i = 0; i < DESCRIPTORS_AT_ONCE; i++) {
            some[i].next_free = s->unused;
            s->unused = &some[i];
        }
    }
    struct sim_block *b = s->unused;
    s->unused = b->next_free;
    return b;
}

static void block_drop(struct sim_space *s, struct sim_block *b)
{
    b->kind = 0;
    b->free = true;
    b->next_free = s->unused;
    s->unused = b;
}

/* ---- bins ---- */

static void bin_of(uint64_t units, unsigned *ret_size, unsigned *ret_step)
{
    unsigned top = top_bit(units);
    *ret_size = top;
    *ret_step = top < STEP_BITS ? (unsigned)(units << (STEP_BITS - top)) & (SIM_SPACE_STEPS - 1)
                                : (unsigned)(units >> (top - STEP_BITS)) & (SIM_SPACE_STEPS - 1);
}

static void bin_insert(struct sim_space *s, struct sim_block *b)
{
    unsigned size, step;
    bin_of(b->span >> s->unit_shift, &size, &step);
    struct sim_block *head = s->bins[size][step];
    b->free = true;
    b->prev_free = NULL;
    b->next_free = head;
    if (head)
        head->prev_free = b;
    s->bins[size][step] = b;
    s->steps_used[size] |= (uint8_t)(1U << step);
    s->sizes_used |= 1ULL << size;
}

static void bin_remove(struct sim_space *s, struct sim_block *b)
{
    if (b->next_free)
        b->next_free->prev_free = b->prev_free;
    if (b->prev_free) {
        b->prev_free->next_free = b->next_free;
    } else {
        unsigned size, step;
        bin_of(b->span >> s->unit_shift, &size, &step);
        s->bins[size][step] = b->next_free;
        if (!b->next_free) {
            s->steps_used[size] &= (uint8_t) ~(1U << step);
            if (!s->steps_used[size])
                s->sizes_used &= ~(1ULL << size);
        }
    }
    b->free = false;
}

/* A free block of at least `units`: one of the first few of its own bin, whose
 * blocks may be too small, else the first of a bin all of whose blocks fit. */
static struct sim_block *bin_search(struct sim_space *s, uint64_t units)
{
    unsigned size, step, tries = OWN_BIN_TRIES;
    bin_of(units, &size, &step);
    if (size >= SIM_SPACE_SIZES)
        return NULL;
    for (struct sim_block *b = s->bins[size][step]; b && tries > 0; b = b->next_free, tries--)
        if (b->span >> s->unit_shift >= units)
            return b;
    unsigned steps = s->steps_used[size] & (0xfeU << step);
    if (!steps) {
        uint64_t sizes = size + 1 < SIM_SPACE_SIZES ? s->sizes_used & (~0ULL << (size + 1)) : 0;
        if (!sizes)
            return NULL;
        size = (unsigned)__builtin_ctzll(sizes);
        steps = s->steps_used[size];
    }
    return s->bins[size][(unsigned)__builtin_ctz(steps)];
}

/* ---- spaces ---- */

void sim_space_init(struct sim_space *s, unsigned unit_shift)
{
    memset(s, 0, sizeof *s);
    s->unit_shift = unit_shift;
}

bool sim_space_add(struct sim_space *s, struct sim_region *r)
{
    struct sim_block *b = block_new(s);
    if (!b)
        return false;
    memset(b, 0, sizeof *b);
    b->base = r->base;
    b->span = r->span;
    b->region = r;
    map_block(b);
    bin_insert(s, b);
    return true;
}

void sim_space_remove(struct sim_space *s, struct sim_region *r)
{
    struct sim_block *b = r->at[0];
    bin_remove(s, b);
    unmap_block(b);
    block_drop(s, b);
}

/* Cuts `b` (not in a bin) after `bytes`; the rest becomes a free block. */
static bool split(struct sim_space *s, struct sim_block *b, uint64_t bytes)
{
    if (b->span == bytes)
        return true;
    struct sim_block *rest = block_new(s);
    if (!rest)
        return false;
    memset(rest, 0, sizeof *rest);
    rest->region = b->region;
    rest->base = b->base + bytes;
    rest->span = b->span - bytes;
    rest->before = b;
    rest->after = b->after;
    if (b->after)
        b->after->before = rest;
    b->after = rest;
    b->span = bytes;
    map_block(rest);
    bin_insert(s, rest);
    return true;
}

/* Cuts the used part [base, base + bytes) out of the free block b. */
static struct sim_block *carve(struct sim_space *s, struct sim_block *b, uint64_t base, uint64_t bytes)
{
    bin_remove(s, b);
    if (base != b->base) {
        if (!split(s, b, base - b->base)) {
            bin_insert(s, b);
            return NULL;
        }
        struct sim_block *front = b;
        b = b->after;
        bin_remove(s, b);
        bin_insert(s, front);
    }
    if (!split(s, b, bytes)) {
        sim_space_put(s, b);
        return NULL;
    }
    return b;
}

struct sim_block *sim_space_take(struct sim_space *s, uint64_t bytes, uint64_t align)
{
    uint64_t unit = 1ULL << s->unit_shift;
    if (!bytes || bytes > UINT64_MAX / 4 || align > UINT64_MAX / 4)
        return NULL;
    bytes = (bytes + unit - 1) & ~(unit - 1);
    uint64_t slack = align > unit ? align - unit : 0;
    struct sim_block *b = bin_search(s, (bytes + slack) >> s->unit_shift);
    if (!b)
        return NULL;
    uint64_t base = slack ? (b->base + align - 1) & ~(align - 1) : b->base;
    return carve(s, b, base, bytes);
}

struct sim_block *sim_space_take_at(struct sim_space *s, struct sim_region *r, uint64_t base, uint64_t bytes)
{
    uint64_t unit = 1ULL << s->unit_shift;
    if (!bytes || bytes > r->span || (base & (unit - 1)) || base < r->base || base - r->base >= r->span)
        return NULL;
    bytes = (bytes + unit - 1) & ~(unit - 1);
    struct sim_block *b = sim_region_find(r, base);
    if (!b->free || b->base + b->span - base < bytes)
        return NULL;
    return carve(s, b, base, bytes);
}

/* Joins b with the neighbour that follows it; both out of the bins. */
static void join(struct sim_space *s, struct sim_block *b, struct sim_block *next)
{
    b->span += next->span;
    b->after = next->after;
    if (next->after)
        next->after->before = b;
    unmap_block(next);
    block_drop(s, next);
}

struct sim_region *sim_space_put(struct sim_space *s, struct sim_block *b)
{
    struct sim_region *r = b->region;
    struct sim_block *before = b->before, *after = b->after;
    b->kind = 0;
    b->nested = NULL;
    b->owner = NULL;
    b->ctx = NULL;
    if (after && after->free) {
        bin_remove(s, after);
        join(s, b, after);
    }
    if (before && before->free) {
        bin_remove(s, before);
        join(s, before, b);
        b = before;
    }
    bin_insert(s, b);
    return r;
}
