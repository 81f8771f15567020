/* SPDX-License-Identifier: Apache-2.0
 *
 * Occupancy: how many blocks fit on an SM by threads, blocks, registers and
 * shared memory.
 */
#include "abi/cuda_api.h"
#include "objects.h"

static int device_attribute(CUdevice_attribute a)
{
    struct sim_context *ctx;
    int value = 0;
    if (sim_current(&ctx) == CUDA_SUCCESS)
        cuDeviceGetAttribute(&value, a, ctx->ordinal);
    return value;
}

static int least(int a, int b)
{
    return a < b ? a : b;
}

static int blocks_per_sm(const struct sim_function *f, int block_size, size_t shared)
{
    int threads = device_attribute(CU_DEVICE_ATTRIBUTE_MAX_THREADS_PER_MULTIPROCESSOR);
    int blocks = device_attribute(CU_DEVICE_ATTRIBUTE_MAX_BLOCKS_PER_MULTIPROCESSOR);
    int bytes = device_attribute(CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_MULTIPROCESSOR);
    int registers = device_attribute(CU_DEVICE_ATTRIBUTE_MAX_REGISTERS_PER_MULTIPROCESSOR);
    int rounded = (block_size + 31) / 32 * 32;
    int n = least(threads / rounded, blocks);
    n = least(n, registers / (rounded * f->attributes[CU_FUNC_ATTRIBUTE_NUM_REGS]));
    if (shared > 0)
        n = shared > (size_t)bytes ? 0 : least(n, bytes / (int)shared);
    return n;
}

static CUresult check(CUfunction handle, int block_size, struct sim_function **ret)
{
    struct sim_context *ctx;
    CUresult r = sim_current(&ctx);
    if (r != CUDA_SUCCESS)
        return r;
    *ret = sim_function_of(handle);
    if (*ret == NULL)
        return CUDA_ERROR_INVALID_HANDLE;
    return block_size > 0 ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

CUresult cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int *ret, CUfunction handle, int block_size,
                                                              size_t shared, unsigned int flags)
{
    struct sim_function *f;
    CUresult r = ret == NULL || flags > 1 ? CUDA_ERROR_INVALID_VALUE : check(handle, block_size, &f);
    if (r == CUDA_SUCCESS)
        *ret = block_size > 1024 ? 0 : blocks_per_sm(f, block_size, shared);
    return r;
}

CUresult cuOccupancyMaxActiveBlocksPerMultiprocessor(int *ret, CUfunction f, int block_size, size_t shared)
{
    return cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(ret, f, block_size, shared, 0);
}

CUresult cuOccupancyMaxPotentialBlockSizeWithFlags(int *grid, int *block, CUfunction handle,
                                                   CUoccupancyB2DSize shared_of, size_t shared, int limit,
                                                   unsigned int flags)
{
    struct sim_function *f;
    CUresult r = grid == NULL || block == NULL || flags > 1 ? CUDA_ERROR_INVALID_VALUE : check(handle, 1, &f);
    if (r != CUDA_SUCCESS)
        return r;
    int best = 0, best_size = 32, most = limit > 0 && limit < 1024 ? limit : 1024;
    for (int size = most; size >= 32; size -= 32) {
        int threads = blocks_per_sm(f, size, shared_of != NULL ? shared_of(size) : shared) * size;
        if (threads > best) {
            best = threads;
            best_size = size;
        }
    }
    *block = best_size;
    *grid = best / best_size * device_attribute(CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT);
    return CUDA_SUCCESS;
}

CUresult cuOccupancyMaxPotentialBlockSize(int *grid, int *block, CUfunction f, CUoccupancyB2DSize shared_of,
                                          size_t shared, int limit)
{
    return cuOccupancyMaxPotentialBlockSizeWithFlags(grid, block, f, shared_of, shared, limit, 0);
}

CUresult cuOccupancyAvailableDynamicSMemPerBlock(size_t *ret, CUfunction handle, int blocks, int block_size)
{
    struct sim_function *f;
    CUresult r = ret == NULL || blocks <= 0 ? CUDA_ERROR_INVALID_VALUE : check(handle, block_size, &f);
    if (r != CUDA_SUCCESS)
        return r;
    size_t all = (size_t)device_attribute(CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_MULTIPROCESSOR);
    size_t one = (size_t)device_attribute(CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK);
    size_t share = all / (size_t)blocks;
    *ret = share < one ? share : one;
    return CUDA_SUCCESS;
}

CUresult cuOccupancyMaxPotentialClusterSize(int *ret, CUfunction handle, const CUlaunchConfig *config)
{
    struct sim_function *f;
    CUresult r = ret == NULL || config == NULL ? CUDA_ERROR_INVALID_VALUE : check(handle, 1, &f);
    if (r == CUDA_SUCCESS)
        *ret = device_attribute(CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR) >= 9 ? 8 : 1;
    return r;
}

CUresult cuOccupancyMaxActiveClusters(int *ret, CUfunction handle, const CUlaunchConfig *config)
{
    struct sim_function *f;
    CUresult r = ret == NULL || config == NULL ? CUDA_ERROR_INVALID_VALUE : check(handle, 1, &f);
    if (r != CUDA_SUCCESS)
        return r;
    int threads = (int)(config->blockDimX * config->blockDimY * config->blockDimZ);
    int size = 1;
    for (unsigned i = 0; i < config->numAttrs; i++)
        if (config->attrs[i].id == CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION)
            size = (int)(config->attrs[i].value.clusterDim.x * config->attrs[i].value.clusterDim.y *
                         config->attrs[i].value.clusterDim.z);
    int per_sm = threads > 0 && threads <= 1024 ? blocks_per_sm(f, threads, config->sharedMemBytes) : 0;
    *ret = per_sm * device_attribute(CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT) / (size > 0 ? size : 1);
    return CUDA_SUCCESS;
}
