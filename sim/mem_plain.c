/* SPDX-License-Identifier: Apache-2.0
 *
 * The plainest device memory: allocation, free and the card's figures. Device
 * memory is host memory that is only touched when the program copies to it.
 */
#include <stdlib.h>
#include <sys/mman.h>

#include "abi/cuda_api.h"
#include "objects.h"

struct block {
    struct block *next;
    CUdeviceptr at;
    size_t bytes;
    unsigned device;
};

#define BUCKETS 4096u
static struct block *buckets[BUCKETS];

static struct block **bucket_of(CUdeviceptr at)
{
    return &buckets[(at >> 12) % BUCKETS];
}

CUresult cuMemAlloc_v2(CUdeviceptr *ret, size_t bytes)
{
    struct sim_context *ctx;
    CUresult r = sim_current(&ctx);
    if (r != CUDA_SUCCESS)
        return r;
    if (ret == NULL || bytes == 0)
        return CUDA_ERROR_INVALID_VALUE;
    size_t size = (bytes + 511) & ~(size_t)511;
    struct block *b = size < bytes ? NULL : malloc(sizeof(*b));
    if (b == NULL)
        return CUDA_ERROR_OUT_OF_MEMORY;
    r = sim_memory_take(ctx->device, size);
    void *at = MAP_FAILED;
    if (r == CUDA_SUCCESS) {
        at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (at == MAP_FAILED)
            sim_memory_give(ctx->device, size);
    }
    if (at == MAP_FAILED) {
        free(b);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    *b = (struct block){NULL, (CUdeviceptr)(uintptr_t)at, size, ctx->device};
    pthread_mutex_lock(&sim_driver_lock);
    b->next = *bucket_of(b->at);
    *bucket_of(b->at) = b;
    pthread_mutex_unlock(&sim_driver_lock);
    *ret = b->at;
    return CUDA_SUCCESS;
}

CUresult cuMemFree_v2(CUdeviceptr at)
{
    struct block *b = NULL;
    if (!sim_initialized())
        return CUDA_ERROR_NOT_INITIALIZED;
    if (at == 0)
        return CUDA_SUCCESS;
    pthread_mutex_lock(&sim_driver_lock);
    for (struct block **p = bucket_of(at); *p != NULL && b == NULL; p = b == NULL ? &(*p)->next : p) {
        if ((*p)->at == at) {
            b = *p;
            *p = b->next;
        }
    }
    pthread_mutex_unlock(&sim_driver_lock);
    if (b == NULL)
        return CUDA_ERROR_INVALID_VALUE;
    munmap((void *)(uintptr_t)at, b->bytes);
    sim_memory_give(b->device, b->bytes);
    free(b);
    return CUDA_SUCCESS;
}

CUresult cuMemGetInfo_v2(size_t *left, size_t *total)
{
    struct sim_context *ctx;
    CUresult r = sim_current(&ctx);
    if (r != CUDA_SUCCESS)
        return r;
    if (left == NULL || total == NULL)
        return CUDA_ERROR_INVALID_VALUE;
    *left = sim_memory_free(ctx->device);
    *total = sim_part_bytes(ctx->device, ctx->part);
    return CUDA_SUCCESS;
}
