/* SPDX-License-Identifier: Apache-2.0
 *
 * Kernel launches in all their forms. In the null model a launch is checked
 * and forgotten: no lock, no clock, so that what a wrapper adds can be seen.
 */
#include <string.h>

#include "abi/cuda_api.h"
#include "objects.h"

struct shape {
    unsigned grid[3], block[3], shared;
};

#define MAX_THREADS 1024u

static bool shape_ok(const struct shape *s)
{
    return s->grid[0] != 0 && s->grid[1] != 0 && s->grid[2] != 0 && s->block[0] != 0 && s->block[1] != 0 &&
           s->block[2] != 0 && s->grid[0] <= 0x7fffffffu && s->grid[1] <= 65535 && s->grid[2] <= 65535 &&
           s->block[0] <= 1024 && s->block[1] <= 1024 && s->block[2] <= 64 &&
           (uint64_t)s->block[0] * s->block[1] * s->block[2] <= MAX_THREADS;
}

static CUresult launch(CUfunction handle, const struct shape *shape, CUstream stream, bool per_thread,
                       void **parameters, void **extra)
{
    struct sim_stream *s;
    struct sim_function *f = sim_function_of(handle);
    if (f == NULL)
        return sim_initialized() ? CUDA_ERROR_INVALID_HANDLE : CUDA_ERROR_NOT_INITIALIZED;
    if (!shape_ok(shape) || (parameters != NULL && extra != NULL))
        return CUDA_ERROR_INVALID_VALUE;
    CUresult r = sim_stream_resolve(stream, per_thread, &s);
    if (r != CUDA_SUCCESS)
        return r;
    if (sim_stream_capturing(s))
        return sim_capture_kernel(s, f, shape->grid, shape->block, shape->shared, parameters, extra);
    r = sim_capture_legacy_call(s);
    if (r != CUDA_SUCCESS)
        return r;
    if (atomic_load_explicit(&sim_null_model, memory_order_relaxed))
        return CUDA_SUCCESS;
    struct sim_work work = {.engine = SIM_ENGINE_COMPUTE};
    uint64_t blocks = (uint64_t)shape->grid[0] * shape->grid[1] * shape->grid[2];
    work.duration_ns = sim_kernel_ns(f, blocks, parameters, extra, s->ctx->sm_count);
    atomic_fetch_add_explicit(&sim_self->launches[s->ctx->device], 1, memory_order_relaxed);
    return sim_submit(s, &work);
}

/* Out of line, so that the null model's way through an entry has no frame to build. */
static __attribute__((noinline)) CUresult launch_shape(CUfunction f, unsigned gx, unsigned gy, unsigned gz,
                                                       unsigned bx, unsigned by, unsigned bz, unsigned shared,
                                                       CUstream stream, bool per_thread, void **parameters,
                                                       void **extra)
{
    return launch(f, &(struct shape){{gx, gy, gz}, {bx, by, bz}, shared}, stream, per_thread, parameters,
                  extra);
}

/* Enough of the checks to be honest, and nothing that costs. */
static inline bool null_launch(CUfunction f, CUstream stream)
{
    return atomic_load_explicit(&sim_null_model, memory_order_relaxed) &&
           atomic_load_explicit(&sim_any_capture, memory_order_relaxed) == 0 &&
           ((uintptr_t)stream <= 2 || sim_object_is(stream, SIM_TAG_STREAM)) &&
           sim_object_is(f, SIM_TAG_FUNCTION);
}

CUresult cuLaunchKernel(CUfunction f, unsigned int gx, unsigned int gy, unsigned int gz, unsigned int bx,
                        unsigned int by, unsigned int bz, unsigned int shared, CUstream stream,
                        void **parameters, void **extra)
{
    if (null_launch(f, stream) && (gx != 0 && bx != 0))
        return CUDA_SUCCESS;
    return launch_shape(f, gx, gy, gz, bx, by, bz, shared, stream, false, parameters, extra);
}

CUresult cuLaunchKernel_ptsz(CUfunction f, unsigned int gx, unsigned int gy, unsigned int gz, unsigned int bx,
                             unsigned int by, unsigned int bz, unsigned int shared, CUstream stream,
                             void **parameters, void **extra)
{
    if (null_launch(f, stream) && (gx != 0 && bx != 0))
        return CUDA_SUCCESS;
    return launch_shape(f, gx, gy, gz, bx, by, bz, shared, stream, true, parameters, extra);
}

CUresult cuLaunchCooperativeKernel(CUfunction f, unsigned int gx, unsigned int gy, unsigned int gz,
                                   unsigned int bx, unsigned int by, unsigned int bz, unsigned int shared,
                                   CUstream stream, void **parameters)
{
    if (null_launch(f, stream) && (gx != 0 && bx != 0))
        return CUDA_SUCCESS;
    return launch_shape(f, gx, gy, gz, bx, by, bz, shared, stream, false, parameters, NULL);
}

CUresult cuLaunchCooperativeKernel_ptsz(CUfunction f, unsigned int gx, unsigned int gy, unsigned int gz,
                                        unsigned int bx, unsigned int by, unsigned int bz,
                                        unsigned int shared, CUstream stream, void **parameters)
{
    if (null_launch(f, stream) && (gx != 0 && bx != 0))
        return CUDA_SUCCESS;
    return launch_shape(f, gx, gy, gz, bx, by, bz, shared, stream, true, parameters, NULL);
}

static CUresult launch_config(const CUlaunchConfig *c, CUfunction f, void **parameters, void **extra,
                              bool per_thread)
{
    if (c == NULL || (c->numAttrs > 0 && c->attrs == NULL))
        return CUDA_ERROR_INVALID_VALUE;
    if (c->numAttrs == 0 && null_launch(f, c->hStream) && c->gridDimX != 0 && c->blockDimX != 0)
        return CUDA_SUCCESS;
    struct shape shape = {{c->gridDimX, c->gridDimY, c->gridDimZ},
                          {c->blockDimX, c->blockDimY, c->blockDimZ},
                          c->sharedMemBytes};
    return launch(f, &shape, c->hStream, per_thread, parameters, extra);
}

CUresult cuLaunchKernelEx(const CUlaunchConfig *config, CUfunction f, void **parameters, void **extra)
{
    return launch_config(config, f, parameters, extra, false);
}

CUresult cuLaunchKernelEx_ptsz(const CUlaunchConfig *config, CUfunction f, void **parameters, void **extra)
{
    return launch_config(config, f, parameters, extra, true);
}

/* ---- several devices at once: all must be able to, each gets its own launch ---- */

CUresult cuLaunchCooperativeKernelMultiDevice(CUDA_LAUNCH_PARAMS *list, unsigned int n, unsigned int flags)
{
    struct sim_stream *s;
    if (!sim_initialized())
        return CUDA_ERROR_NOT_INITIALIZED;
    if (list == NULL || n == 0 || n > sim_device_count() || flags > 3)
        return CUDA_ERROR_INVALID_VALUE;
    for (unsigned i = 0; i < n; i++) {
        if ((uintptr_t)list[i].hStream <= 2) /* the null stream is not allowed here */
            return CUDA_ERROR_INVALID_VALUE;
        CUresult r = sim_stream_resolve(list[i].hStream, false, &s);
        if (r != CUDA_SUCCESS)
            return r;
        if (sim_stream_capturing(s))
            return sim_capture_unsafe_stream(s);
    }
    CUresult r = CUDA_SUCCESS;
    for (unsigned i = 0; i < n && r == CUDA_SUCCESS; i++) {
        const CUDA_LAUNCH_PARAMS *p = &list[i];
        struct shape shape = {{p->gridDimX, p->gridDimY, p->gridDimZ},
                              {p->blockDimX, p->blockDimY, p->blockDimZ},
                              p->sharedMemBytes};
        r = launch(p->function, &shape, p->hStream, false, p->kernelParams, NULL);
    }
    return r;
}
