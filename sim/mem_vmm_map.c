/* SPDX-License-Identifier: Apache-2.0
 *
 * Address reservations, mappings in them and who may access those.
 *
 * A mapping's addresses show the object's bytes as soon as it is mapped; the
 * driver's own access check is what refuses a copy before cuMemSetAccess.
 */
#include "mem_vmm.h"

#include <stdlib.h>
#include <string.h>

#include "abi/cuda_api.h"

#define HOST_BIT (1ULL << 63)

/* ---- reservations ---- */

CUresult cuMemAddressReserve(CUdeviceptr *ret, size_t size, size_t alignment, CUdeviceptr hint,
                             unsigned long long flags)
{
    if (!sim_initialized())
        return CUDA_ERROR_NOT_INITIALIZED;
    if (!ret || !size || size % SIM_CHUNK || flags || (alignment & (alignment - 1)))
        return CUDA_ERROR_INVALID_VALUE;
    struct sim_arena *a = sim_arena(SIM_VA_ARENA);
    struct sim_reservation *r = a ? calloc(1, sizeof *r) : NULL;
    if (!r)
        return CUDA_ERROR_OUT_OF_MEMORY;
    struct sim_request q = {
        .kind = SIM_MEM_RESERVED, .size = size, .align = alignment, .counted = true, .owner = r};
    struct sim_block *b = NULL;
    pthread_mutex_lock(&a->lock);
    if (hint && !(hint & (SIM_CHUNK - 1)) && (!alignment || hint % alignment == 0))
        b = sim_arena_take_at(a, &q, hint);
    if (!b && sim_arena_alloc_locked(a, &q, &b) != CUDA_SUCCESS)
        b = NULL;
    pthread_mutex_unlock(&a->lock);
    if (!b) {
        free(r);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    *ret = b->base;
    return CUDA_SUCCESS;
}

/* The reservation that holds [address, address + size), or NULL; arena locked. */
static struct sim_block *reservation_at(struct sim_arena *a, uint64_t address, uint64_t size)
{
    uint64_t end;
    if (!a || a != sim_arena_at(address) || !size || __builtin_add_overflow(address, size, &end))
        return NULL;
    struct sim_block *b = sim_arena_find(a, address);
    return b && b->kind == SIM_MEM_RESERVED && end - b->base <= b->size ? b : NULL;
}

CUresult cuMemAddressFree(CUdeviceptr address, size_t size)
{
    if (!sim_initialized())
        return CUDA_ERROR_NOT_INITIALIZED;
    struct sim_arena *a = sim_arena(SIM_VA_ARENA);
    CUresult rc = CUDA_ERROR_INVALID_VALUE;
    if (!a)
        return rc;
    pthread_mutex_lock(&a->lock);
    struct sim_block *b = reservation_at(a, address, size);
    struct sim_reservation *r = b ? b->owner : NULL;
    if (b && b->base == address && b->size == size && !r->n_mappings) {
        sim_arena_free_locked(a, b);
        free(r->mappings);
        free(r);
        rc = CUDA_SUCCESS;
    }
    pthread_mutex_unlock(&a->lock);
    return rc;
}

/* ---- mappings; arena locked ---- */

/* Index of the first mapping that ends above address. */
static size_t first_above(const struct sim_reservation *r, uint64_t address)
{
    size_t low = 0, high = r->n_mappings;
    while (low < high) {
        size_t mid = (low + high) / 2;
        if (r->mappings[mid].base + r->mappings[mid].size <= address)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

static struct sim_mapping *mapping_at(const struct sim_block *b, uint64_t address)
{
    const struct sim_reservation *r = b->owner;
    size_t i = first_above(r, address);
    return i < r->n_mappings && r->mappings[i].base <= address ? &r->mappings[i] : NULL;
}

bool sim_vmm_range(const struct sim_block *b, uint64_t address, struct sim_range *ret)
{
    const struct sim_mapping *m = mapping_at(b, address);
    if (!m)
        return false;
    struct sim_context *ctx = sim_context_current();
    uint64_t bit = ctx ? 1ULL << sim_context_device(ctx) : ~HOST_BIT;
    ret->base = m->base;
    ret->size = m->size;
    ret->id = m->phys->id;
    ret->device = m->phys->device;
    ret->real = m->phys->bytes && m->phys->bytes->real;
    ret->host_visible = (m->writable | m->readable) & HOST_BIT;
    ret->flags = m->writable & bit ? 3 : m->readable & bit ? 1 : 0;
    ret->handle_types = m->phys->prop.requestedHandleTypes;
    ret->owner = m->phys;
    return true;
}

static bool insert(struct sim_reservation *r, const struct sim_mapping *m)
{
    if (r->n_mappings == r->room) {
        size_t room = r->room ? r->room * 2 : 16;
        struct sim_mapping *grown = realloc(r->mappings, room * sizeof *grown);
        if (!grown)
            return false;
        r->mappings = grown;
        r->room = room;
    }
    size_t i = first_above(r, m->base);
    memmove(&r->mappings[i + 1], &r->mappings[i], (r->n_mappings - i) * sizeof *m);
    r->mappings[i] = *m;
    r->n_mappings++;
    return true;
}

static CUresult map_locked(struct sim_arena *a, struct sim_mapping *m, uint64_t handle)
{
    struct sim_block *b = reservation_at(a, m->base, m->size);
    m->phys = sim_phys_find(handle);
    if (!b || !m->phys || m->offset > m->phys->size || m->size > m->phys->size - m->offset)
        return CUDA_ERROR_INVALID_VALUE;
    struct sim_reservation *r = b->owner;
    size_t next = first_above(r, m->base);
    if (next < r->n_mappings && r->mappings[next].base < m->base + m->size)
        return CUDA_ERROR_INVALID_VALUE; /* something is mapped there */
    if (m->phys->bytes && !sim_bytes_map(m->phys->bytes, m->offset, m->base, m->size))
        return CUDA_ERROR_OUT_OF_MEMORY;
    if (!insert(r, m)) {
        sim_bytes_unmap(m->base, m->size, false);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    m->phys->mappings++;
    return CUDA_SUCCESS;
}

CUresult cuMemMap(CUdeviceptr address, size_t size, size_t offset, CUmemGenericAllocationHandle handle,
                  unsigned long long flags)
{
    if (!sim_initialized())
        return CUDA_ERROR_NOT_INITIALIZED;
    struct sim_arena *a = sim_arena(SIM_VA_ARENA);
    if (!a || flags || !size || (address | size | offset) & (SIM_CHUNK - 1))
        return CUDA_ERROR_INVALID_VALUE;
    struct sim_mapping m = {.base = address, .size = size, .offset = offset};
    pthread_mutex_lock(&a->lock);
    sim_vmm_lock();
    CUresult rc = map_locked(a, &m, handle);
    sim_vmm_unlock();
    pthread_mutex_unlock(&a->lock);
    return rc;
}

/* The run of mappings that covers exactly [address, address + size), without
 * gaps; false when it cuts one or misses some. */
static bool whole_mappings(const struct sim_reservation *r, uint64_t address, uint64_t size,
                           size_t *ret_first, size_t *ret_count)
{
    size_t first = first_above(r, address), i = first;
    uint64_t at = address, end = address + size;
    while (at < end && i < r->n_mappings && r->mappings[i].base == at)
        at += r->mappings[i++].size;
    *ret_first = first;
    *ret_count = i - first;
    return at == end;
}

CUresult cuMemUnmap(CUdeviceptr address, size_t size)
{
    if (!sim_initialized())
        return CUDA_ERROR_NOT_INITIALIZED;
    struct sim_arena *a = sim_arena(SIM_VA_ARENA);
    CUresult rc = CUDA_ERROR_INVALID_VALUE;
    size_t first, count;
    if (!a)
        return rc;
    pthread_mutex_lock(&a->lock);
    struct sim_block *b = reservation_at(a, address, size);
    struct sim_reservation *r = b ? b->owner : NULL;
    if (r && whole_mappings(r, address, size, &first, &count)) {
        sim_vmm_lock();
        sim_bytes_unmap(address, size, false);
        for (size_t i = first; i < first + count; i++)
            sim_phys_unmapped(r->mappings[i].phys);
        sim_vmm_unlock();
        memmove(&r->mappings[first], &r->mappings[first + count],
                (r->n_mappings - first - count) * sizeof r->mappings[0]);
        r->n_mappings -= count;
        rc = CUDA_SUCCESS;
    }
    pthread_mutex_unlock(&a->lock);
    return rc;
}

static void remap_in(struct sim_arena *a, struct sim_block *b, void *arg)
{
    const struct sim_phys *phys = arg;
    const struct sim_reservation *r = b->owner;
    (void)a;
    if (b->kind != SIM_MEM_RESERVED)
        return;
    for (size_t i = 0; i < r->n_mappings; i++)
        if (r->mappings[i].phys == phys)
            sim_bytes_map(phys->bytes, r->mappings[i].offset, r->mappings[i].base, r->mappings[i].size);
}

void sim_vmm_remap(struct sim_phys *phys)
{
    sim_arena_blocks(sim_arena(SIM_VA_ARENA), remap_in, phys);
}

struct sim_phys *sim_vmm_pin(uint64_t address, uint64_t bytes, uint64_t *ret_offset)
{
    struct sim_arena *a = sim_arena(SIM_VA_ARENA);
    struct sim_phys *phys = NULL;
    if (!a)
        return NULL;
    pthread_mutex_lock(&a->lock);
    struct sim_block *b = reservation_at(a, address, bytes);
    struct sim_mapping *m = b ? mapping_at(b, address) : NULL;
    if (m && bytes <= m->base + m->size - address) {
        sim_vmm_lock();
        phys = m->phys;
        phys->mappings++;
        *ret_offset = address - m->base + m->offset;
        sim_vmm_unlock();
    }
    pthread_mutex_unlock(&a->lock);
    return phys;
}

/* ---- access ---- */

/* The bit of a location, 0 when it names nothing. */
static uint64_t location_bit(const CUmemLocation *l)
{
    switch (l->type) {
    case CU_MEM_LOCATION_TYPE_DEVICE:
        return l->id >= 0 && (unsigned)l->id < sim_device_count() ? 1ULL << l->id : 0;
    case CU_MEM_LOCATION_TYPE_HOST:
    case CU_MEM_LOCATION_TYPE_HOST_NUMA:
    case CU_MEM_LOCATION_TYPE_HOST_NUMA_CURRENT:
        return HOST_BIT;
    default:
        return 0;
    }
}

static CUresult check_access(const CUmemAccessDesc *descs, size_t count)
{
    if (!descs || !count)
        return CUDA_ERROR_INVALID_VALUE;
    for (size_t i = 0; i < count; i++) {
        if (!location_bit(&descs[i].location))
            return descs[i].location.type == CU_MEM_LOCATION_TYPE_DEVICE ? CUDA_ERROR_INVALID_DEVICE
                                                                         : CUDA_ERROR_INVALID_VALUE;
        if (descs[i].flags != CU_MEM_ACCESS_FLAGS_PROT_NONE &&
            descs[i].flags != CU_MEM_ACCESS_FLAGS_PROT_READ &&
            descs[i].flags != CU_MEM_ACCESS_FLAGS_PROT_READWRITE)
            return CUDA_ERROR_INVALID_VALUE;
    }
    return CUDA_SUCCESS;
}

static void set_access(struct sim_mapping *m, const CUmemAccessDesc *desc)
{
    uint64_t bit = location_bit(&desc->location);
    m->readable = desc->flags & 1 ? m->readable | bit : m->readable & ~bit;
    m->writable = desc->flags & 2 ? m->writable | bit : m->writable & ~bit;
}

CUresult cuMemSetAccess(CUdeviceptr address, size_t size, const CUmemAccessDesc *descs, size_t count)
{
    size_t first, n;
    if (!sim_initialized())
        return CUDA_ERROR_NOT_INITIALIZED;
    CUresult rc = check_access(descs, count);
    struct sim_arena *a = sim_arena(SIM_VA_ARENA);
    if (rc != CUDA_SUCCESS || !a)
        return rc;
    rc = CUDA_ERROR_INVALID_VALUE;
    pthread_mutex_lock(&a->lock);
    struct sim_block *b = reservation_at(a, address, size);
    struct sim_reservation *r = b ? b->owner : NULL;
    if (r && whole_mappings(r, address, size, &first, &n)) {
        for (size_t i = 0; i < n * count; i++)
            set_access(&r->mappings[first + i / count], &descs[i % count]);
        rc = CUDA_SUCCESS;
    }
    pthread_mutex_unlock(&a->lock);
    return rc;
}

CUresult cuMemGetAccess(unsigned long long *ret, const CUmemLocation *location, CUdeviceptr address)
{
    if (!sim_initialized())
        return CUDA_ERROR_NOT_INITIALIZED;
    uint64_t bit = location ? location_bit(location) : 0;
    struct sim_arena *a = sim_arena(SIM_VA_ARENA);
    CUresult rc = CUDA_ERROR_INVALID_VALUE;
    if (!ret || !bit || !a)
        return rc;
    pthread_mutex_lock(&a->lock);
    struct sim_block *b = reservation_at(a, address, 1);
    const struct sim_mapping *m = b ? mapping_at(b, address) : NULL;
    if (m) {
        *ret = (m->writable & bit ? 2U : 0U) | (m->readable & bit ? 1U : 0U);
        rc = CUDA_SUCCESS;
    }
    pthread_mutex_unlock(&a->lock);
    return rc;
}
