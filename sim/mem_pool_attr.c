/* SPDX-License-Identifier: Apache-2.0
 *
 * Attributes of pools and access to them.
 */
#include <string.h>

#include "abi/cuda_api.h"
#include "mem_pool.h"

#define HOST_BIT (1ULL << 63)

/* ---- attributes ---- */

static uint64_t attribute_of(const struct sim_pool *p, CUmemPool_attribute attribute, size_t *ret_size)
{
    *ret_size = attribute >= CU_MEMPOOL_ATTR_RELEASE_THRESHOLD && attribute <= CU_MEMPOOL_ATTR_USED_MEM_HIGH
                    ? sizeof(uint64_t)
                    : sizeof(int);
    switch (attribute) {
    case CU_MEMPOOL_ATTR_REUSE_FOLLOW_EVENT_DEPENDENCIES:
    case CU_MEMPOOL_ATTR_REUSE_ALLOW_OPPORTUNISTIC:
    case CU_MEMPOOL_ATTR_REUSE_ALLOW_INTERNAL_DEPENDENCIES:
        return (uint64_t)p->reuse[attribute - CU_MEMPOOL_ATTR_REUSE_FOLLOW_EVENT_DEPENDENCIES];
    case CU_MEMPOOL_ATTR_RELEASE_THRESHOLD:
        return p->threshold;
    case CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT:
        return p->reserved;
    case CU_MEMPOOL_ATTR_RESERVED_MEM_HIGH:
        return p->reserved_high;
    case CU_MEMPOOL_ATTR_USED_MEM_CURRENT:
        return p->used;
    case CU_MEMPOOL_ATTR_USED_MEM_HIGH:
        return p->used_high;
    case CU_MEMPOOL_ATTR_ALLOCATION_TYPE:
        return p->props.allocType;
    case CU_MEMPOOL_ATTR_EXPORT_HANDLE_TYPES:
        return p->props.handleTypes;
    case CU_MEMPOOL_ATTR_LOCATION_ID:
        return (uint32_t)p->props.location.id;
    case CU_MEMPOOL_ATTR_LOCATION_TYPE:
        return p->props.location.type;
    case CU_MEMPOOL_ATTR_MAX_POOL_SIZE:
        *ret_size = sizeof(uint64_t);
        return p->props.maxSize;
    case CU_MEMPOOL_ATTR_HW_DECOMPRESS_ENABLED:
    case CU_MEMPOOL_ATTR_LOCALITY_DOMAIN_ID:
        return 0;
    default:
        *ret_size = 0;
        return 0;
    }
}

CUresult cuMemPoolGetAttribute(CUmemoryPool handle, CUmemPool_attribute attribute, void *value)
{
    size_t size;
    if (!sim_initialized())
        return CUDA_ERROR_NOT_INITIALIZED;
    struct sim_pool *p = sim_pool_of(handle);
    if (!p || !value)
        return CUDA_ERROR_INVALID_VALUE;
    pthread_mutex_lock(&p->arena->lock);
    uint64_t v = attribute_of(p, attribute, &size);
    pthread_mutex_unlock(&p->arena->lock);
    if (!size)
        return CUDA_ERROR_INVALID_VALUE;
    memcpy(value, &v, size);
    return CUDA_SUCCESS;
}

static CUresult set_attribute(struct sim_pool *p, CUmemPool_attribute attribute, const void *value)
{
    int on;
    uint64_t bytes;
    switch (attribute) {
    case CU_MEMPOOL_ATTR_REUSE_FOLLOW_EVENT_DEPENDENCIES:
    case CU_MEMPOOL_ATTR_REUSE_ALLOW_OPPORTUNISTIC:
    case CU_MEMPOOL_ATTR_REUSE_ALLOW_INTERNAL_DEPENDENCIES:
        memcpy(&on, value, sizeof on);
        p->reuse[attribute - CU_MEMPOOL_ATTR_REUSE_FOLLOW_EVENT_DEPENDENCIES] = on != 0;
        return CUDA_SUCCESS;
    case CU_MEMPOOL_ATTR_RELEASE_THRESHOLD:
        memcpy(&p->threshold, value, sizeof p->threshold);
        return CUDA_SUCCESS;
    case CU_MEMPOOL_ATTR_RESERVED_MEM_HIGH:
    case CU_MEMPOOL_ATTR_USED_MEM_HIGH:
        memcpy(&bytes, value, sizeof bytes);
        if (bytes) /* the marks can only be reset */
            return CUDA_ERROR_INVALID_VALUE;
        if (attribute == CU_MEMPOOL_ATTR_USED_MEM_HIGH)
            p->used_high = p->used;
        else
            p->reserved_high = p->reserved;
        return CUDA_SUCCESS;
    default:
        return CUDA_ERROR_INVALID_VALUE;
    }
}

CUresult cuMemPoolSetAttribute(CUmemoryPool handle, CUmemPool_attribute attribute, void *value)
{
    if (!sim_initialized())
        return CUDA_ERROR_NOT_INITIALIZED;
    struct sim_pool *p = sim_pool_of(handle);
    if (!p || !value || p->imported)
        return CUDA_ERROR_INVALID_VALUE;
    pthread_mutex_lock(&p->arena->lock);
    CUresult rc = set_attribute(p, attribute, value);
    pthread_mutex_unlock(&p->arena->lock);
    return rc;
}

/* ---- access ---- */

static CUresult access_bit(const struct sim_pool *p, const CUmemLocation *l, uint64_t *ret)
{
    switch (l->type) {
    case CU_MEM_LOCATION_TYPE_DEVICE:
        if (l->id < 0 || (unsigned)l->id >= sim_device_count())
            return CUDA_ERROR_INVALID_DEVICE;
        *ret = 1ULL << l->id;
        return CUDA_SUCCESS;
    case CU_MEM_LOCATION_TYPE_HOST:
    case CU_MEM_LOCATION_TYPE_HOST_NUMA:
        *ret = HOST_BIT;
        return p->arena->device < 0 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
    default:
        return CUDA_ERROR_INVALID_VALUE;
    }
}

static uint64_t own_bit(const struct sim_pool *p)
{
    return p->arena->device < 0 ? HOST_BIT : 1ULL << p->arena->device;
}

CUresult cuMemPoolSetAccess(CUmemoryPool handle, const CUmemAccessDesc *descs, size_t count)
{
    uint64_t bit = 0;
    if (!sim_initialized())
        return CUDA_ERROR_NOT_INITIALIZED;
    struct sim_pool *p = sim_pool_of(handle);
    if (!p || !descs || !count)
        return CUDA_ERROR_INVALID_VALUE;
    for (size_t i = 0; i < count; i++) {
        CUresult rc = access_bit(p, &descs[i].location, &bit);
        if (rc != CUDA_SUCCESS)
            return rc;
        unsigned flags = (unsigned)descs[i].flags;
        if (flags > 3 || flags == 2 || (bit == own_bit(p) && flags != CU_MEM_ACCESS_FLAGS_PROT_READWRITE))
            return CUDA_ERROR_INVALID_VALUE;
    }
    pthread_mutex_lock(&p->arena->lock);
    for (size_t i = 0; i < count; i++) {
        access_bit(p, &descs[i].location, &bit);
        p->readable = descs[i].flags & 1 ? p->readable | bit : p->readable & ~bit;
        p->writable = descs[i].flags & 2 ? p->writable | bit : p->writable & ~bit;
    }
    pthread_mutex_unlock(&p->arena->lock);
    return CUDA_SUCCESS;
}

CUresult cuMemPoolGetAccess(CUmemAccess_flags *ret, CUmemoryPool handle, CUmemLocation *location)
{
    uint64_t bit = 0;
    if (!sim_initialized())
        return CUDA_ERROR_NOT_INITIALIZED;
    struct sim_pool *p = sim_pool_of(handle);
    if (!p || !ret || !location)
        return CUDA_ERROR_INVALID_VALUE;
    CUresult rc = access_bit(p, location, &bit);
    if (rc != CUDA_SUCCESS)
        return rc;
    unsigned flags = (p->writable & bit ? 2U : 0U) | (p->readable & bit ? 1U : 0U);
    *ret = bit == own_bit(p) ? CU_MEM_ACCESS_FLAGS_PROT_READWRITE : (CUmemAccess_flags)flags;
    return CUDA_SUCCESS;
}
