/* SPDX-License-Identifier: Apache-2.0
 *
 * Arenas: reserving the address space of a device, handing out blocks of it,
 * finding blocks by address, and the physical memory they stand for.
 *
 * Arenas are aligned to 1 TiB, so that the top bits of an address name its
 * arena without a search. They live as long as the process.
 */
#include "mem.h"

#include "mem_bytes.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define TIB (1ULL << 40)
#define ARENA_SLOTS 128 /* TiB of a 47-bit address space */
#define ARENA_MAX 130
#define LOW_SPAN (256ULL << 20)
#define USABLE_STEP (1ULL << 28) /* pages are made usable this many bytes at a time */
#define KEEP_DIRTY_MAX (4ULL << 20)
#define SPARE_MAX 64

static pthread_mutex_t arenas_lock = PTHREAD_MUTEX_INITIALIZER;
static struct sim_arena *_Atomic by_device[ARENA_MAX]; /* [device + 1] */
static struct sim_arena *_Atomic by_address[ARENA_SLOTS];
static _Atomic uint64_t last_id;

uint64_t sim_block_id(void)
{
    return atomic_fetch_add_explicit(&last_id, 1, memory_order_relaxed) + 1;
}

/* Reserves `span` bytes at a multiple of 1 TiB; 0 on failure. */
static uint64_t reserve(uint64_t span)
{
    char *map = mmap(NULL, span + TIB, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (map == MAP_FAILED)
        return 0;
    uint64_t start = (uint64_t)(uintptr_t)map, base = sim_round_up(start, TIB);
    if (base > start)
        munmap(map, base - start);
    if (base + span < start + span + TIB)
        munmap((void *)(uintptr_t)(base + span), start + TIB - base);
    madvise((void *)(uintptr_t)base, span, MADV_DONTDUMP);
    return base;
}

static struct sim_arena *arena_blank(CUdevice device)
{
    struct sim_arena *a = calloc(1, sizeof *a);
    if (!a)
        return NULL;
    pthread_mutex_init(&a->lock, NULL);
    a->device = device;
    a->machine = sim_device(device) >= 0 ? (unsigned)sim_device(device) : 0;
    sim_space_init(&a->small, SIM_SMALL_SHIFT);
    sim_space_init(&a->real, SIM_CHUNK_SHIFT);
    sim_space_init(&a->counted, SIM_CHUNK_SHIFT);
    return a;
}

static struct sim_arena *arena_new(CUdevice device)
{
    struct sim_arena *a = arena_blank(device);
    if (!a)
        return NULL;
    uint64_t counted = device < 0 ? 0 : sim_device_count() > 4 ? 3 * TIB : 15 * TIB;
    uint64_t base = reserve(TIB + counted);
    for (; !base && counted > 0; base = reserve(TIB + counted))
        counted /= 2;
    if (base)
        a->real_region = sim_region_new(base, TIB, SIM_CHUNK_SHIFT);
    if (a->real_region && counted)
        a->counted_region = sim_region_new(base + TIB, counted & ~(SIM_CHUNK - 1), SIM_CHUNK_SHIFT);
    bool ok = a->real_region && sim_space_add(&a->real, a->real_region);
    if (!ok || (a->counted_region && !sim_space_add(&a->counted, a->counted_region)) ||
        base + TIB + counted > ARENA_SLOTS * TIB) {
        free(a); /* the reservation stays: it costs nothing and the process is about to give up */
        return NULL;
    }
    a->base = base;
    a->span = TIB + counted;
    for (uint64_t slot = base / TIB; slot <= (base + TIB + counted - 1) / TIB; slot++)
        atomic_store_explicit(&by_address[slot], a, memory_order_release);
    return a;
}

/* Address space below 4 GiB, or MAP_FAILED. */
static void *map_low(size_t size)
{
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
#ifdef MAP_32BIT
    return mmap(NULL, size, PROT_NONE, flags | MAP_32BIT, -1, 0);
#else
    for (uintptr_t at = LOW_SPAN; at + size <= UINT64_C(1) << 32; at += LOW_SPAN) {
        void *map = mmap((void *)at, size, PROT_NONE, flags | MAP_FIXED_NOREPLACE, -1, 0);
        if (map == (void *)at)
            return map;
        if (map != MAP_FAILED) /* Linux before 4.17 takes the address for a wish */
            munmap(map, size);
    }
    return MAP_FAILED;
#endif
}

/* The space below 4 GiB: one for the process, for the device that asks first. */
static struct sim_arena *low_new(CUdevice device)
{
    struct sim_arena *a = arena_blank(device);
    char *map = map_low(LOW_SPAN + SIM_CHUNK);
    if (!a || map == MAP_FAILED) {
        free(a);
        return NULL;
    }
    a->base = sim_round_up((uint64_t)(uintptr_t)map, SIM_CHUNK);
    a->span = LOW_SPAN;
    a->real_region = sim_region_new(a->base, LOW_SPAN, SIM_CHUNK_SHIFT);
    if (!a->real_region || !sim_space_add(&a->real, a->real_region)) {
        free(a);
        return NULL;
    }
    atomic_store_explicit(&by_address[0], a, memory_order_release);
    return a;
}

struct sim_arena *sim_arena_low(CUdevice device)
{
    struct sim_arena *_Atomic *slot = &by_device[ARENA_MAX - 1];
    pthread_mutex_lock(&arenas_lock);
    struct sim_arena *a = atomic_load_explicit(slot, memory_order_relaxed);
    if (!a) {
        a = low_new(device);
        atomic_store_explicit(slot, a, memory_order_release);
    }
    pthread_mutex_unlock(&arenas_lock);
    return a && a->device == device ? a : NULL;
}

struct sim_arena *sim_arena(CUdevice device)
{
    struct sim_arena *_Atomic *slot = &by_device[device + 1];
    struct sim_arena *a = atomic_load_explicit(slot, memory_order_acquire);
    if (a)
        return a;
    pthread_mutex_lock(&arenas_lock);
    a = atomic_load_explicit(slot, memory_order_relaxed);
    if (!a) {
        a = arena_new(device);
        atomic_store_explicit(slot, a, memory_order_release);
    }
    pthread_mutex_unlock(&arenas_lock);
    return a;
}

struct sim_arena *sim_arena_at(uint64_t address)
{
    uint64_t slot = address / TIB;
    struct sim_arena *a =
        slot < ARENA_SLOTS ? atomic_load_explicit(&by_address[slot], memory_order_acquire) : NULL;
    return a && address - a->base < a->span ? a : NULL;
}

void sim_arena_each(void (*visit)(struct sim_arena *arena, void *arg), void *arg)
{
    for (unsigned i = 0; i < ARENA_MAX; i++) {
        struct sim_arena *a = atomic_load_explicit(&by_device[i], memory_order_acquire);
        if (a)
            visit(a, arg);
    }
}

/* ---- physical memory ---- */

CUresult sim_mem_take(struct sim_arena *a, uint64_t bytes)
{
    CUresult rc = sim_memory_take(a->machine, bytes);
    if (rc != CUDA_ERROR_OUT_OF_MEMORY)
        return rc;
    bool room = sim_bytes_sweep();
    room = sim_managed_evict(a->device, bytes) || room;
    return room ? sim_memory_take(a->machine, bytes) : rc;
}

void sim_mem_give(struct sim_arena *a, uint64_t bytes)
{
    sim_memory_give(a->machine, bytes);
}

bool sim_arena_is_physical(const struct sim_block *b)
{
    switch (b->kind) {
    case SIM_MEM_CHUNK:
    case SIM_MEM_PLAIN:
    case SIM_MEM_ARRAY:
    case SIM_MEM_SEGMENT:
    case SIM_MEM_GLOBAL:
        return true;
    default:
        return false;
    }
}

/* ---- blocks ---- */

static bool make_usable(struct sim_arena *a, const struct sim_block *b)
{
    uint64_t start = a->real_region->base, end = b->base + b->span - start;
    if (end <= a->usable_end)
        return true;
    uint64_t want = sim_round_up(end, USABLE_STEP);
    if (mprotect((void *)(uintptr_t)(start + a->usable_end), want - a->usable_end, PROT_READ | PROT_WRITE))
        return false;
    a->usable_end = want;
    return true;
}

static void dress(struct sim_arena *a, struct sim_block *b, const struct sim_request *q, bool real)
{
    b->kind = (uint8_t)q->kind;
    b->size = q->size;
    b->ctx = q->ctx;
    b->owner = q->owner;
    b->nested = NULL;
    b->bytes = NULL;
    b->device = a->device;
    b->real = real;
    b->dirty = false;
    b->sync_memops = false;
    b->flags = 0;
    b->charged = -1;
    b->id = sim_block_id();
}

/* A whole number of chunks, from the part with or without bytes. */
static CUresult take_large(struct sim_arena *a, const struct sim_request *q, struct sim_block **ret)
{
    bool real = !q->counted && (q->real || !a->counted_region || q->size <= sim_machine()->real_bytes_max);
    if (q->size > UINT64_MAX / 4)
        return CUDA_ERROR_OUT_OF_MEMORY;
    uint64_t span = sim_round_up(q->size, SIM_CHUNK);
    if (q->physical) {
        CUresult rc = sim_mem_take(a, span);
        if (rc != CUDA_SUCCESS)
            return rc;
    }
    struct sim_block *b = sim_space_take(real ? &a->real : &a->counted, span, q->align);
    if (b && real && !make_usable(a, b)) {
        sim_space_put(&a->real, b);
        b = NULL;
    }
    if (!b) {
        if (q->physical)
            sim_mem_give(a, span);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    dress(a, b, q, real);
    *ret = b;
    return CUDA_SUCCESS;
}

/* Bookkeeping of an emptied chunk is kept for the next one: an allocation that
 * comes and goes alone costs no system call. */
static struct sim_region *chunk_region(struct sim_arena *a, uint64_t base)
{
    struct sim_region *r = a->spare;
    if (!r)
        return sim_region_new(base, SIM_CHUNK, SIM_SMALL_SHIFT);
    a->spare = r->owner;
    a->n_spare--;
    r->base = base;
    return r;
}

static void chunk_region_drop(struct sim_arena *a, struct sim_region *r)
{
    if (a->n_spare >= SPARE_MAX) {
        sim_region_free(r);
        return;
    }
    r->owner = a->spare;
    a->spare = r;
    a->n_spare++;
}

/* One more chunk for small blocks. */
static CUresult add_chunk(struct sim_arena *a, bool physical)
{
    struct sim_request q = {.kind = SIM_MEM_CHUNK, .size = SIM_CHUNK, .physical = physical, .real = true};
    struct sim_block *chunk;
    CUresult rc = take_large(a, &q, &chunk);
    if (rc != CUDA_SUCCESS)
        return rc;
    chunk->nested = chunk_region(a, chunk->base);
    if (!chunk->nested || !sim_space_add(&a->small, chunk->nested)) {
        if (chunk->nested)
            chunk_region_drop(a, chunk->nested);
        chunk->nested = NULL;
        sim_arena_free_locked(a, chunk);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    chunk->nested->owner = chunk;
    return CUDA_SUCCESS;
}

CUresult sim_arena_alloc_locked(struct sim_arena *a, const struct sim_request *q, struct sim_block **ret)
{
    bool small =
        q->size < SIM_SMALL_MAX && q->align < SIM_SMALL_MAX && !q->counted && (q->physical || a->device < 0);
    if (!small)
        return take_large(a, q, ret);
    uint64_t align = q->align ? q->align : 1U << SIM_SMALL_SHIFT;
    struct sim_block *b = sim_space_take(&a->small, q->size, align);
    if (!b) {
        CUresult rc = add_chunk(a, a->device >= 0);
        if (rc != CUDA_SUCCESS)
            return rc;
        b = sim_space_take(&a->small, q->size, align);
        if (!b)
            return CUDA_ERROR_OUT_OF_MEMORY;
    }
    dress(a, b, q, true);
    *ret = b;
    return CUDA_SUCCESS;
}

struct sim_block *sim_arena_take_at(struct sim_arena *a, const struct sim_request *q, uint64_t address)
{
    if (!a->counted_region)
        return NULL;
    struct sim_block *b =
        sim_space_take_at(&a->counted, a->counted_region, address, sim_round_up(q->size, SIM_CHUNK));
    if (b)
        dress(a, b, q, false);
    return b;
}

static void free_large(struct sim_arena *a, struct sim_block *b)
{
    uint64_t taken = sim_arena_is_physical(b) && a->device >= 0 ? b->span : 0;
    if (b->bytes) { /* importers may hold it still */
        if (b->real)
            sim_bytes_unmap(b->base, b->span, true);
        sim_bytes_linger(b->bytes, a->machine, taken);
        b->bytes = NULL;
    } else if (taken) {
        sim_mem_give(a, taken);
    }
    if (b->real && b->dirty && b->span > KEEP_DIRTY_MAX)
        madvise((void *)(uintptr_t)b->base, b->span, MADV_DONTNEED);
    sim_space_put(b->real ? &a->real : &a->counted, b);
}

void sim_arena_free_locked(struct sim_arena *a, struct sim_block *b)
{
    if (b->region->unit_shift == SIM_CHUNK_SHIFT) {
        free_large(a, b);
        return;
    }
    struct sim_region *chunk = sim_space_put(&a->small, b);
    if (!sim_region_unused(chunk))
        return;
    struct sim_block *whole = chunk->owner;
    sim_space_remove(&a->small, chunk);
    chunk_region_drop(a, chunk);
    whole->nested = NULL;
    free_large(a, whole);
}

CUresult sim_arena_alloc(struct sim_arena *a, const struct sim_request *q, struct sim_block **ret)
{
    pthread_mutex_lock(&a->lock);
    CUresult rc = sim_arena_alloc_locked(a, q, ret);
    pthread_mutex_unlock(&a->lock);
    return rc;
}

void sim_arena_free(struct sim_arena *a, struct sim_block *b)
{
    pthread_mutex_lock(&a->lock);
    sim_arena_free_locked(a, b);
    pthread_mutex_unlock(&a->lock);
}

struct sim_block *sim_arena_find(struct sim_arena *a, uint64_t address)
{
    struct sim_region *r = a->real_region;
    if (address - r->base >= r->span) {
        r = a->counted_region;
        if (!r || address - r->base >= r->span)
            return NULL;
    }
    struct sim_block *b = sim_region_find(r, address);
    while (!b->free && b->nested)
        b = sim_region_find(b->nested, address);
    return b->free ? NULL : b;
}

static void visit_region(struct sim_arena *a, struct sim_region *r,
                         void (*visit)(struct sim_arena *, struct sim_block *, void *), void *arg)
{
    uint64_t at = r->base, end = r->base + r->span;
    while (at < end) {
        struct sim_block *b = sim_region_find(r, at);
        at = b->base + b->span; /* before the visit: it may free and join */
        if (!b->free && b->kind == SIM_MEM_CHUNK) {
            uint64_t inner = b->base;
            while (inner < at && b->nested) {
                struct sim_block *small = sim_region_find(b->nested, inner);
                inner = small->base + small->span;
                if (!small->free)
                    visit(a, small, arg);
            }
        } else if (!b->free) {
            visit(a, b, arg);
        }
    }
}

void sim_arena_blocks(struct sim_arena *a, void (*visit)(struct sim_arena *, struct sim_block *, void *),
                      void *arg)
{
    visit_region(a, a->real_region, visit, arg);
    if (a->counted_region)
        visit_region(a, a->counted_region, visit, arg);
}
