/* SPDX-License-Identifier: Apache-2.0
 *
 * What the driver tells about a pointer.
 */
#include "mem.h"

#include <string.h>

#include "abi/cuda_api.h"
#include "mem_pool.h"

#define NO_DEVICE (-2)

enum { ACCESS_READWRITE = 3 };

/* The value of one attribute: its bytes, and how many of them. */
struct answer {
    union {
        uint64_t u64;
        uint32_t u32;
        int32_t i32;
        const void *pointer;
    };
    uint8_t bytes; /* 0: this pointer has no such attribute */
};

static struct answer of_u32(uint32_t v)
{
    return (struct answer){.u32 = v, .bytes = 4};
}

static struct answer of_u64(uint64_t v)
{
    return (struct answer){.u64 = v, .bytes = 8};
}

static struct answer of_pointer(const void *p)
{
    return (struct answer){.pointer = p, .bytes = sizeof p};
}

static bool is_device_memory(const struct sim_range *r)
{
    return r->kind != SIM_MEM_HOST;
}

static CUdevice ordinal_of(const struct sim_range *r)
{
    if (r->device >= 0)
        return r->device;
    return r->ctx ? sim_context_device(r->ctx) : NO_DEVICE;
}

/* Mapped and pooled memory belongs to no context. */
static const void *context_of(const struct sim_range *r)
{
    return r->kind == SIM_MEM_RESERVED || r->kind == SIM_MEM_POOLED ? NULL : r->ctx;
}

static struct answer pointer_answer(CUpointer_attribute attribute, CUdeviceptr p, const struct sim_range *r)
{
    switch (attribute) {
    case CU_POINTER_ATTRIBUTE_CONTEXT:
        return of_pointer(context_of(r));
    case CU_POINTER_ATTRIBUTE_MEMORY_TYPE:
        return of_u32(is_device_memory(r) ? CU_MEMORYTYPE_DEVICE : CU_MEMORYTYPE_HOST);
    case CU_POINTER_ATTRIBUTE_DEVICE_POINTER:
        return of_u64(p);
    case CU_POINTER_ATTRIBUTE_HOST_POINTER:
        return r->host_visible ? of_u64(p) : (struct answer){0};
    case CU_POINTER_ATTRIBUTE_SYNC_MEMOPS:
        return of_u32(r->sync_memops);
    case CU_POINTER_ATTRIBUTE_BUFFER_ID:
    case CU_POINTER_ATTRIBUTE_MEMORY_BLOCK_ID:
        return of_u64(r->id);
    case CU_POINTER_ATTRIBUTE_IS_MANAGED:
        return of_u32(r->kind == SIM_MEM_MANAGED);
    case CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL:
        return of_u32((uint32_t)ordinal_of(r));
    case CU_POINTER_ATTRIBUTE_IS_LEGACY_CUDA_IPC_CAPABLE:
        return of_u32(r->kind == SIM_MEM_PLAIN);
    case CU_POINTER_ATTRIBUTE_RANGE_START_ADDR:
    case CU_POINTER_ATTRIBUTE_MAPPING_BASE_ADDR:
        return of_u64(r->base);
    case CU_POINTER_ATTRIBUTE_RANGE_SIZE:
    case CU_POINTER_ATTRIBUTE_MAPPING_SIZE:
        return of_u64(r->size);
    case CU_POINTER_ATTRIBUTE_MAPPED:
        return of_u32(1);
    case CU_POINTER_ATTRIBUTE_ALLOWED_HANDLE_TYPES:
        return of_u64(r->kind == SIM_MEM_POOLED ? sim_pool_handle_types(r->owner) : r->handle_types);
    case CU_POINTER_ATTRIBUTE_IS_GPU_DIRECT_RDMA_CAPABLE:
        return of_u32(is_device_memory(r) && r->kind != SIM_MEM_MANAGED);
    case CU_POINTER_ATTRIBUTE_ACCESS_FLAGS:
        return of_u32(r->kind == SIM_MEM_RESERVED ? r->flags : ACCESS_READWRITE);
    case CU_POINTER_ATTRIBUTE_MEMPOOL_HANDLE:
        return of_pointer(r->kind == SIM_MEM_POOLED ? r->owner : NULL);
    case CU_POINTER_ATTRIBUTE_IS_HW_DECOMPRESS_CAPABLE:
    case CU_POINTER_ATTRIBUTE_LOCALITY_DOMAIN_ORDINAL:
        return of_u32(0);
    default:
        return (struct answer){0};
    }
}

/* What cuPointerGetAttributes says of a pointer that is none of the driver's. */
static struct answer foreign_answer(CUpointer_attribute attribute)
{
    struct sim_range none = {.kind = SIM_MEM_HOST, .host_visible = true};
    struct answer a = pointer_answer(attribute, 0, &none);
    memset(&a.u64, 0, sizeof a.u64);
    if (attribute == CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL)
        a.i32 = NO_DEVICE;
    return a;
}

CUresult cuPointerGetAttribute(void *data, CUpointer_attribute attribute, CUdeviceptr p)
{
    struct sim_range r;
    if (!sim_initialized())
        return CUDA_ERROR_NOT_INITIALIZED;
    if (!data || !sim_range_find(p, &r))
        return CUDA_ERROR_INVALID_VALUE;
    struct answer a = pointer_answer(attribute, p, &r);
    if (!a.bytes)
        return CUDA_ERROR_INVALID_VALUE;
    memcpy(data, &a.u64, a.bytes);
    return CUDA_SUCCESS;
}

CUresult cuPointerGetAttributes(unsigned n, CUpointer_attribute *attributes, void **data, CUdeviceptr p)
{
    struct sim_range r;
    if (!sim_initialized())
        return CUDA_ERROR_NOT_INITIALIZED;
    if (!n || !attributes || !data)
        return CUDA_ERROR_INVALID_VALUE;
    for (unsigned i = 0; i < n; i++)
        if (!data[i] || !foreign_answer(attributes[i]).bytes)
            return CUDA_ERROR_INVALID_VALUE;
    bool found = sim_range_find(p, &r);
    for (unsigned i = 0; i < n; i++) {
        struct answer a = found ? pointer_answer(attributes[i], p, &r) : (struct answer){0};
        if (!a.bytes)
            a = foreign_answer(attributes[i]);
        memcpy(data[i], &a.u64, a.bytes);
    }
    return CUDA_SUCCESS;
}

CUresult cuPointerSetAttribute(const void *value, CUpointer_attribute attribute, CUdeviceptr p)
{
    uint32_t on;
    if (!sim_initialized())
        return CUDA_ERROR_NOT_INITIALIZED;
    struct sim_arena *a = sim_arena_at(p);
    if (!value || attribute != CU_POINTER_ATTRIBUTE_SYNC_MEMOPS || !a)
        return CUDA_ERROR_INVALID_VALUE;
    memcpy(&on, value, sizeof on);
    pthread_mutex_lock(&a->lock);
    struct sim_block *b = sim_arena_find(a, p);
    bool found = b && b->kind != SIM_MEM_SEGMENT && p - b->base < b->size;
    if (found)
        b->sync_memops = on != 0;
    pthread_mutex_unlock(&a->lock);
    return found ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}
