/* SPDX-License-Identifier: Apache-2.0
 *
 * Host memory of the program's own that it registered: a sorted table of
 * ranges, since these lie anywhere.
 */
#include "mem.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "abi/cuda_api.h"

enum { REGISTER_FLAGS = 15, REGISTER_IOMEMORY = 4 };

struct registered {
    uint64_t base, size, id;
    struct sim_context *ctx;
    CUdevice device;
    unsigned flags;
};

static pthread_rwlock_t table_lock = PTHREAD_RWLOCK_INITIALIZER;
static struct registered *table;
static size_t n_table, table_room;

/* Index of the first entry that ends above address. */
static size_t first_above(uint64_t address)
{
    size_t low = 0, high = n_table;
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (table[mid].base + table[mid].size <= address)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

bool sim_registered_find(uint64_t address, struct sim_range *ret)
{
    if (!__atomic_load_n(&n_table, __ATOMIC_RELAXED))
        return false;
    pthread_rwlock_rdlock(&table_lock);
    size_t i = first_above(address);
    bool found = i < n_table && table[i].base <= address;
    if (found)
        *ret = (struct sim_range){
            .kind = SIM_MEM_HOST,
            .base = table[i].base,
            .size = table[i].size,
            .id = table[i].id,
            .ctx = table[i].ctx,
            .device = table[i].device,
            .real = true,
            .host_visible = true,
            .registered = true,
            .flags = table[i].flags,
        };
    pthread_rwlock_unlock(&table_lock);
    return found;
}

static CUresult table_insert(const struct registered *r)
{
    size_t i = first_above(r->base);
    if (i < n_table && table[i].base < r->base + r->size)
        return CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED;
    if (n_table == table_room) {
        size_t room = table_room ? table_room * 2 : 64;
        struct registered *grown = realloc(table, room * sizeof *grown);
        if (!grown)
            return CUDA_ERROR_OUT_OF_MEMORY;
        table = grown;
        table_room = room;
    }
    memmove(&table[i + 1], &table[i], (n_table - i) * sizeof *table);
    table[i] = *r;
    __atomic_store_n(&n_table, n_table + 1, __ATOMIC_RELAXED);
    return CUDA_SUCCESS;
}

/* Every page exists: registering what is not mapped is refused. */
static bool is_mapped(uint64_t base, uint64_t size)
{
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    uint64_t start = base & ~(page - 1);
    return msync((void *)(uintptr_t)start, base + size - start, MS_ASYNC) == 0;
}

CUresult cuMemHostRegister_v2(void *p, size_t bytes, unsigned flags)
{
    struct sim_context *ctx;
    CUdevice device;
    CUresult rc = sim_mem_enter(&ctx, &device);
    if (rc != CUDA_SUCCESS)
        return rc;
    uint64_t base = (uint64_t)(uintptr_t)p, end;
    if (!p || !bytes || (flags & ~(unsigned)REGISTER_FLAGS) || __builtin_add_overflow(base, bytes, &end))
        return CUDA_ERROR_INVALID_VALUE;
    if (flags & REGISTER_IOMEMORY)
        return CUDA_ERROR_NOT_SUPPORTED;
    struct sim_range r;
    if (sim_arena_at(base))
        return sim_range_find(base, &r) ? CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED
                                        : CUDA_ERROR_INVALID_VALUE;
    if (!is_mapped(base, bytes))
        return CUDA_ERROR_INVALID_VALUE;
    struct registered entry = {base, bytes, sim_block_id(), ctx, device, flags};
    pthread_rwlock_wrlock(&table_lock);
    rc = table_insert(&entry);
    pthread_rwlock_unlock(&table_lock);
    return rc;
}

CUresult cuMemHostRegister(void *p, size_t bytes, unsigned flags)
{
    return cuMemHostRegister_v2(p, bytes, flags);
}

CUresult cuMemHostUnregister(void *p)
{
    if (!sim_initialized())
        return CUDA_ERROR_NOT_INITIALIZED;
    if (!sim_context_current())
        return CUDA_ERROR_INVALID_CONTEXT;
    CUresult rc = sim_capture_unsafe_call();
    if (rc != CUDA_SUCCESS)
        return rc;
    if (!p)
        return CUDA_ERROR_INVALID_VALUE;
    uint64_t base = (uint64_t)(uintptr_t)p;
    pthread_rwlock_wrlock(&table_lock);
    size_t i = first_above(base);
    if (i < n_table && table[i].base == base) {
        memmove(&table[i], &table[i + 1], (n_table - i - 1) * sizeof *table);
        __atomic_store_n(&n_table, n_table - 1, __ATOMIC_RELAXED);
    } else {
        rc = CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED;
    }
    pthread_rwlock_unlock(&table_lock);
    return rc;
}

void sim_registered_context_gone(struct sim_context *ctx)
{
    size_t kept = 0;
    pthread_rwlock_wrlock(&table_lock);
    for (size_t i = 0; i < n_table; i++)
        if (table[i].ctx != ctx)
            table[kept++] = table[i];
    __atomic_store_n(&n_table, kept, __ATOMIC_RELAXED);
    pthread_rwlock_unlock(&table_lock);
}
