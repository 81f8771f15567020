/* SPDX-License-Identifier: Apache-2.0
 *
 * See mem_current.h.
 */
#include "preload/mem_current.h"

#include "preload/real.h"

_Thread_local struct mem_current mem_current[MEM_CURRENT_STREAMS] __attribute__((tls_model("initial-exec")));

struct mem_pool *mem_current_ask(CUstream stream, bool per_thread)
{
    const struct ctx_here *here = ctx_here();
    uint64_t epoch = here->epoch; /* from before anything was asked */
    CUcontext ctx = here->ctx;
    struct ctx_here h = ctx_of_stream(stream, per_thread);
    CUmemoryPool handle = NULL;
    struct mem_pool *pool;

    if (h.device < 0 || real.cuDeviceGetMemPool(&handle, h.ordinal) != CUDA_SUCCESS)
        return NULL;
    pool = mem_pool_of(handle);
    if (pool)
        mem_current[mem_current_place(stream)] = (struct mem_current){stream, ctx, epoch, pool};
    return pool;
}
