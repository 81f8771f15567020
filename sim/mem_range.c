/* SPDX-License-Identifier: Apache-2.0
 *
 * What lies at an address: the one place that tells device memory, managed
 * memory, pinned and registered host memory, mapped reservations and foreign
 * memory apart.
 */
#include "mem.h"
#include "objects.h"

static void describe(const struct sim_block *b, struct sim_range *ret)
{
    *ret = (struct sim_range){
        .kind = (enum sim_mem_kind)b->kind,
        .base = b->base,
        .size = b->size,
        .id = b->id,
        .ctx = b->ctx,
        .device = b->device,
        .real = b->real,
        .host_visible = b->kind == SIM_MEM_HOST || b->kind == SIM_MEM_MANAGED,
        .sync_memops = b->sync_memops,
        .flags = b->flags,
        .owner = b->owner,
    };
}

bool sim_range_find(uint64_t address, struct sim_range *ret)
{
    struct sim_arena *a = sim_arena_at(address);
    if (!a)
        return sim_registered_find(address, ret);
    pthread_mutex_lock(&a->lock);
    struct sim_block *b = sim_arena_find(a, address);
    bool found = b != NULL && b->kind != SIM_MEM_SEGMENT;
    if (found) {
        describe(b, ret);
        if (b->kind == SIM_MEM_RESERVED)
            found = sim_vmm_range(b, address, ret);
        else
            found = address - b->base < b->size;
    }
    pthread_mutex_unlock(&a->lock);
    return found;
}

/* Follows adjacent mappings of a reservation until `end`. */
static CUresult check_mapped(const struct sim_block *b, uint64_t address, uint64_t end, struct sim_range *ret)
{
    struct sim_range part;
    bool real = true;
    for (uint64_t at = address; at < end; at = part.base + part.size) {
        describe(b, &part);
        if (!sim_vmm_range(b, at, &part) || !part.flags)
            return CUDA_ERROR_INVALID_VALUE;
        real = real && part.real;
        if (at == address)
            *ret = part;
    }
    ret->real = real;
    return CUDA_SUCCESS;
}

CUresult sim_range_check(uint64_t address, uint64_t bytes, bool write, struct sim_range *ret)
{
    uint64_t end;
    if (__builtin_add_overflow(address, bytes, &end))
        return CUDA_ERROR_INVALID_VALUE;
    struct sim_arena *a = sim_arena_at(address);
    if (!a) {
        bool inside = sim_registered_find(address, ret) && end - ret->base <= ret->size;
        return inside ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
    }
    CUresult rc = CUDA_ERROR_INVALID_VALUE;
    pthread_mutex_lock(&a->lock);
    struct sim_block *b = sim_arena_find(a, address);
    if (b && b->kind == SIM_MEM_RESERVED) {
        rc = check_mapped(b, address, end, ret);
    } else if (b && b->kind != SIM_MEM_SEGMENT && end - b->base <= b->size) {
        describe(b, ret);
        if (write)
            b->dirty = true;
        rc = CUDA_SUCCESS;
    }
    pthread_mutex_unlock(&a->lock);
    return rc;
}

CUresult sim_mem_enter(struct sim_context **ret_ctx, CUdevice *ret_device)
{
    struct sim_context *ctx;
    CUresult rc = sim_current(&ctx);
    if (rc == CUDA_SUCCESS)
        rc = sim_device_health(ctx->device);
    if (rc == CUDA_SUCCESS)
        rc = sim_capture_unsafe_call();
    if (rc != CUDA_SUCCESS)
        return rc;
    *ret_ctx = ctx;
    *ret_device = sim_context_device(ctx);
    return CUDA_SUCCESS;
}
