/* SPDX-License-Identifier: Apache-2.0
 *
 * Memory and semaphores of other interfaces (Vulkan, dma-buf). Only file
 * descriptors exist on this system. A file that can be mapped gives its bytes;
 * one that cannot only counts. None of it is memory that the device gave, so
 * nothing is taken. What other devices signal is not modelled: a wait on a
 * semaphore is satisfied when the stream reaches it.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "abi/cuda_api.h"
#include "copy_job.h"
#include "mem_bytes.h"
#include "objects.h"

struct external {
    uint32_t tag; /* SIM_TAG_EXTERNAL_MEMORY or SIM_TAG_EXTERNAL_SEMAPHORE */
    int fd;
    uint64_t size;
    bool real; /* the file has that many bytes */
};

static bool takes_fd(unsigned type)
{
    return type == CU_EXTERNAL_MEMORY_HANDLE_TYPE_OPAQUE_FD;
}

/* The descriptor belongs to the driver once the import has succeeded. */
CUresult cuImportExternalMemory(CUexternalMemory *ret, const CUDA_EXTERNAL_MEMORY_HANDLE_DESC *desc)
{
    struct stat st;
    CUresult rc = sim_copy_enter();
    if (rc != CUDA_SUCCESS)
        return rc;
    if (!ret || !desc || !desc->size || (desc->flags & ~1U))
        return CUDA_ERROR_INVALID_VALUE;
    if (!takes_fd(desc->type))
        return CUDA_ERROR_NOT_SUPPORTED;
    if (fstat(desc->handle.fd, &st) != 0)
        return CUDA_ERROR_INVALID_HANDLE;
    struct external *e = sim_object_new(SIM_TAG_EXTERNAL_MEMORY, sizeof *e);
    if (!e)
        return CUDA_ERROR_OUT_OF_MEMORY;
    e->fd = desc->handle.fd;
    e->size = desc->size;
    e->real = S_ISREG(st.st_mode) && (uint64_t)st.st_size >= desc->size;
    *ret = (CUexternalMemory)(void *)e;
    return CUDA_SUCCESS;
}

CUresult cuDestroyExternalMemory(CUexternalMemory handle)
{
    struct external *e = (struct external *)(void *)handle;
    if (!sim_initialized())
        return CUDA_ERROR_NOT_INITIALIZED;
    if (!sim_object_is(e, SIM_TAG_EXTERNAL_MEMORY))
        return CUDA_ERROR_INVALID_HANDLE;
    close(e->fd);
    sim_object_free(e);
    return CUDA_SUCCESS;
}

/* A block of the device's arena that shows the file from `offset` on; where no
 * page begins there, bytes that are only counted. */
static CUresult show(const struct external *e, uint64_t offset, uint64_t size, CUdeviceptr *ret)
{
    struct sim_context *ctx;
    CUdevice device;
    struct sim_block *b;
    CUresult rc = sim_mem_enter(&ctx, &device);
    struct sim_arena *a = rc == CUDA_SUCCESS ? sim_arena(device) : NULL;
    struct sim_bytes *bytes = a ? calloc(1, sizeof *bytes) : NULL;
    if (!bytes)
        return rc != CUDA_SUCCESS ? rc : CUDA_ERROR_OUT_OF_MEMORY;
    bool real = e->real && offset % (uint64_t)sysconf(_SC_PAGESIZE) == 0;
    *bytes = (struct sim_bytes){
        .size = size, .real = real, .fd = real ? fcntl(e->fd, F_DUPFD_CLOEXEC, 3) : -1, .holder = -1};
    struct sim_request q = {
        .kind = SIM_MEM_EXTERNAL, .size = size, .real = real, .counted = !real, .ctx = ctx};
    rc = sim_arena_alloc(a, &q, &b);
    if (rc == CUDA_SUCCESS && !sim_bytes_map(bytes, offset, b->base, sim_round_up(size, SIM_SHARE_PAGE))) {
        sim_arena_free(a, b);
        rc = CUDA_ERROR_MAP_FAILED;
    }
    if (rc != CUDA_SUCCESS) {
        sim_bytes_free(bytes);
        return rc;
    }
    b->bytes = bytes;
    *ret = b->base;
    return CUDA_SUCCESS;
}

CUresult cuExternalMemoryGetMappedBuffer(CUdeviceptr *ret, CUexternalMemory handle,
                                         const CUDA_EXTERNAL_MEMORY_BUFFER_DESC *desc)
{
    const struct external *e = (const struct external *)(const void *)handle;
    if (!sim_initialized())
        return CUDA_ERROR_NOT_INITIALIZED;
    if (!sim_object_is(e, SIM_TAG_EXTERNAL_MEMORY))
        return CUDA_ERROR_INVALID_HANDLE;
    if (!ret || !desc || desc->flags || !desc->size || desc->offset > e->size ||
        desc->size > e->size - desc->offset)
        return CUDA_ERROR_INVALID_VALUE;
    return show(e, desc->offset, desc->size, ret);
}

/* ---- semaphores ---- */

CUresult cuImportExternalSemaphore(CUexternalSemaphore *ret, const CUDA_EXTERNAL_SEMAPHORE_HANDLE_DESC *desc)
{
    struct stat st;
    CUresult rc = sim_copy_enter();
    if (rc != CUDA_SUCCESS)
        return rc;
    if (!ret || !desc || desc->flags)
        return CUDA_ERROR_INVALID_VALUE;
    if (desc->type != CU_EXTERNAL_SEMAPHORE_HANDLE_TYPE_OPAQUE_FD &&
        desc->type != CU_EXTERNAL_SEMAPHORE_HANDLE_TYPE_TIMELINE_SEMAPHORE_FD)
        return CUDA_ERROR_NOT_SUPPORTED;
    if (fstat(desc->handle.fd, &st) != 0)
        return CUDA_ERROR_INVALID_HANDLE;
    struct external *e = sim_object_new(SIM_TAG_EXTERNAL_SEMAPHORE, sizeof *e);
    if (!e)
        return CUDA_ERROR_OUT_OF_MEMORY;
    e->fd = desc->handle.fd;
    *ret = (CUexternalSemaphore)(void *)e;
    return CUDA_SUCCESS;
}

CUresult cuDestroyExternalSemaphore(CUexternalSemaphore handle)
{
    struct external *e = (struct external *)(void *)handle;
    if (!sim_initialized())
        return CUDA_ERROR_NOT_INITIALIZED;
    if (!sim_object_is(e, SIM_TAG_EXTERNAL_SEMAPHORE))
        return CUDA_ERROR_INVALID_HANDLE;
    close(e->fd);
    sim_object_free(e);
    return CUDA_SUCCESS;
}

static void nothing(const void *params, struct sim_work *ret)
{
    (void)params;
    *ret = (struct sim_work){.engine = SIM_ENGINE_NONE};
}

static CUresult pass(const CUexternalSemaphore *handles, const void *params, unsigned n, CUgraphNodeType node,
                     CUstream handle, bool per_thread)
{
    struct sim_stream *stream;
    struct sim_work work = {.engine = SIM_ENGINE_NONE};
    CUresult rc = sim_copy_enter();
    if (rc == CUDA_SUCCESS && (!handles || !params || !n))
        rc = CUDA_ERROR_INVALID_VALUE;
    for (unsigned i = 0; i < n && rc == CUDA_SUCCESS; i++)
        if (!sim_object_is(handles[i], SIM_TAG_EXTERNAL_SEMAPHORE))
            rc = CUDA_ERROR_INVALID_HANDLE;
    if (rc == CUDA_SUCCESS)
        rc = sim_stream_resolve(handle, per_thread, &stream);
    if (rc != CUDA_SUCCESS)
        return rc;
    return sim_stream_capturing(stream) ? sim_capture_add(stream, node, &n, sizeof n, nothing)
                                        : sim_submit(stream, &work);
}

CUresult cuSignalExternalSemaphoresAsync(const CUexternalSemaphore *handles,
                                         const CUDA_EXTERNAL_SEMAPHORE_SIGNAL_PARAMS *params, unsigned n,
                                         CUstream stream)
{
    return pass(handles, params, n, CU_GRAPH_NODE_TYPE_EXT_SEMAS_SIGNAL, stream, false);
}

CUresult cuSignalExternalSemaphoresAsync_ptsz(const CUexternalSemaphore *handles,
                                              const CUDA_EXTERNAL_SEMAPHORE_SIGNAL_PARAMS *params, unsigned n,
                                              CUstream stream)
{
    return pass(handles, params, n, CU_GRAPH_NODE_TYPE_EXT_SEMAS_SIGNAL, stream, true);
}

CUresult cuWaitExternalSemaphoresAsync(const CUexternalSemaphore *handles,
                                       const CUDA_EXTERNAL_SEMAPHORE_WAIT_PARAMS *params, unsigned n,
                                       CUstream stream)
{
    return pass(handles, params, n, CU_GRAPH_NODE_TYPE_EXT_SEMAS_WAIT, stream, false);
}

CUresult cuWaitExternalSemaphoresAsync_ptsz(const CUexternalSemaphore *handles,
                                            const CUDA_EXTERNAL_SEMAPHORE_WAIT_PARAMS *params, unsigned n,
                                            CUstream stream)
{
    return pass(handles, params, n, CU_GRAPH_NODE_TYPE_EXT_SEMAS_WAIT, stream, true);
}
