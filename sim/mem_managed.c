/* SPDX-License-Identifier: Apache-2.0
 *
 * Allocation of managed memory and the residency of its pages.
 *
 * Lock order: arena lock, then the lock here; physical memory is taken and
 * given back under it.
 */
#include "mem_managed.h"

#include <stdlib.h>

#include "abi/cuda_api.h"

static pthread_mutex_t managed_lock = PTHREAD_MUTEX_INITIALIZER;
static struct sim_managed *all;
static uint64_t moves;

/* ---- residency; managed_lock held ---- */

static void leave(struct sim_page *p)
{
    if (p->where >= 0)
        sim_memory_give((unsigned)sim_device(p->where), SIM_CHUNK);
    p->where = SIM_AT_HOST;
}

/* Drops pages of one allocation from a device until `bytes` are free. */
static uint64_t evict_from(struct sim_managed *m, CUdevice device, uint64_t bytes)
{
    uint64_t freed = 0;
    for (size_t i = 0; i < m->n_pages && freed < bytes; i++) {
        if (m->pages[i].where != device)
            continue;
        leave(&m->pages[i]);
        freed += SIM_CHUNK;
    }
    return freed;
}

static bool is_resident(const struct sim_managed *m, CUdevice device)
{
    for (size_t i = 0; i < m->n_pages; i++)
        if (m->pages[i].where == device)
            return true;
    return false;
}

static bool evict(CUdevice device, uint64_t bytes, const struct sim_managed *except)
{
    uint64_t freed = 0;
    while (freed < bytes) {
        struct sim_managed *oldest = NULL;
        for (struct sim_managed *m = all; m; m = m->next)
            if (m != except && (!oldest || m->used < oldest->used) && is_resident(m, device))
                oldest = m;
        if (!oldest)
            break;
        freed += evict_from(oldest, device, bytes - freed);
    }
    return freed > 0;
}

CUresult sim_managed_move(struct sim_managed *m, struct sim_page *p, int to)
{
    if (p->where == to)
        return CUDA_SUCCESS;
    if (to >= 0) {
        unsigned machine = (unsigned)sim_device(to);
        CUresult rc = sim_memory_take(machine, SIM_CHUNK);
        if (rc == CUDA_ERROR_OUT_OF_MEMORY && evict(to, SIM_CHUNK, m))
            rc = sim_memory_take(machine, SIM_CHUNK);
        if (rc != CUDA_SUCCESS)
            return rc;
    }
    leave(p);
    p->where = (int16_t)to;
    m->used = ++moves;
    return CUDA_SUCCESS;
}

bool sim_managed_evict(CUdevice device, uint64_t bytes)
{
    if (!__atomic_load_n(&all, __ATOMIC_RELAXED))
        return false;
    pthread_mutex_lock(&managed_lock);
    bool freed = evict(device, bytes, NULL);
    pthread_mutex_unlock(&managed_lock);
    return freed;
}

CUresult sim_managed_pages(uint64_t address, uint64_t bytes,
                           CUresult (*visit)(struct sim_managed *managed, struct sim_page *page, void *arg),
                           void *arg)
{
    uint64_t end;
    struct sim_arena *a = sim_arena_at(address);
    if (!a || !bytes || __builtin_add_overflow(address, bytes, &end))
        return CUDA_ERROR_INVALID_VALUE;
    CUresult rc = CUDA_ERROR_INVALID_VALUE;
    pthread_mutex_lock(&a->lock);
    struct sim_block *b = sim_arena_find(a, address);
    if (b && b->kind == SIM_MEM_MANAGED && end - b->base <= b->size) {
        struct sim_managed *m = b->owner;
        rc = CUDA_SUCCESS;
        pthread_mutex_lock(&managed_lock);
        for (uint64_t i = (address - b->base) >> SIM_CHUNK_SHIFT;
             rc == CUDA_SUCCESS && i <= (end - 1 - b->base) >> SIM_CHUNK_SHIFT; i++)
            rc = visit(m, &m->pages[i], arg);
        pthread_mutex_unlock(&managed_lock);
    }
    pthread_mutex_unlock(&a->lock);
    return rc;
}

static CUresult touch_page(struct sim_managed *m, struct sim_page *p, void *arg)
{
    const CUdevice *device = arg;
    return sim_managed_move(m, p, *device);
}

void sim_managed_touch(uint64_t address, uint64_t bytes)
{
    struct sim_context *ctx = sim_context_current();
    if (!ctx)
        return;
    CUdevice device = sim_context_device(ctx);
    sim_managed_pages(address, bytes, touch_page, &device); /* a full device leaves the page where it is */
}

/* ---- allocation ---- */

static struct sim_managed *managed_new(uint64_t size, unsigned attach)
{
    size_t n = (size_t)(sim_round_up(size, SIM_CHUNK) >> SIM_CHUNK_SHIFT);
    struct sim_managed *m = calloc(1, sizeof *m + n * sizeof m->pages[0]);
    if (!m)
        return NULL;
    m->size = size;
    m->n_pages = n;
    m->attach = attach;
    for (size_t i = 0; i < n; i++)
        m->pages[i].where = SIM_AT_HOST;
    return m;
}

static void enlist(struct sim_managed *m)
{
    pthread_mutex_lock(&managed_lock);
    m->next = all;
    if (all)
        all->prev = m;
    __atomic_store_n(&all, m, __ATOMIC_RELAXED);
    pthread_mutex_unlock(&managed_lock);
}

void sim_managed_gone(struct sim_arena *a, struct sim_block *b)
{
    (void)a;
    struct sim_managed *m = b->owner;
    pthread_mutex_lock(&managed_lock);
    for (size_t i = 0; i < m->n_pages; i++)
        leave(&m->pages[i]);
    if (m->next)
        m->next->prev = m->prev;
    if (m->prev)
        m->prev->next = m->next;
    else
        __atomic_store_n(&all, m->next, __ATOMIC_RELAXED);
    pthread_mutex_unlock(&managed_lock);
    b->dirty = true; /* the host may have written it */
    free(m);
}

CUresult cuMemAllocManaged(CUdeviceptr *dptr, size_t bytes, unsigned flags)
{
    struct sim_context *ctx;
    CUdevice device;
    CUresult rc = sim_mem_enter(&ctx, &device);
    if (rc != CUDA_SUCCESS)
        return rc;
    if (!dptr || !bytes || (flags != CU_MEM_ATTACH_GLOBAL && flags != CU_MEM_ATTACH_HOST))
        return CUDA_ERROR_INVALID_VALUE;
    struct sim_arena *a = sim_arena(device);
    if (!a || bytes > a->real_region->span)
        return CUDA_ERROR_OUT_OF_MEMORY;
    struct sim_managed *m = managed_new(bytes, flags);
    if (!m)
        return CUDA_ERROR_OUT_OF_MEMORY;
    struct sim_request q = {.kind = SIM_MEM_MANAGED, .size = bytes, .real = true, .ctx = ctx, .owner = m};
    struct sim_block *b;
    rc = sim_arena_alloc(a, &q, &b);
    if (rc != CUDA_SUCCESS) {
        free(m);
        return rc;
    }
    m->base = b->base;
    enlist(m);
    *dptr = b->base;
    return CUDA_SUCCESS;
}
