/* SPDX-License-Identifier: Apache-2.0
 *
 * Wrappers of everything that uses the compute engine. Each passes the host's
 * gate and the throttle, then calls the driver with the user's arguments; the
 * driver's answer is the user's.
 *
 * Invariants:
 *   1. Arguments are only read where the driver would read them too: a NULL
 *      configuration is left to the driver to refuse.
 *   2. A stream argument of a per-thread entry that means "default" is named by
 *      the handle that means the thread's own stream everywhere.
 *   3. The product of grid dimensions is computed in 64 bits; whatever it is,
 *      only its logarithm is used.
 */
#include "preload/graph.h"
#include "preload/hook.h"
#include "preload/lane.h"
#include "preload/memory.h"
#include "preload/real.h"
#include "preload/slice.h"
#include "preload/throttle.h"

// NOLINTNEXTLINE(performance-no-int-to-ptr): the driver's own constant
#define PER_THREAD ((CUstream)2)

#define GATED(function, size, stream, call)                                                                  \
    do {                                                                                                     \
        slice_gate();                                                                                        \
        if (likely(lane_pass((function), (size), (stream))))                                                 \
            return call;                                                                                     \
        struct throttle_ticket ticket_ = throttle_begin((function), (size), (stream));                       \
        CUresult result_ = call;                                                                             \
        throttle_end(&ticket_);                                                                              \
        return result_;                                                                                      \
    } while (0)

static inline uint32_t grid_size(unsigned x, unsigned y, unsigned z)
{
    return lane_size((uint64_t)x * y * z);
}

static inline CUstream own_stream(CUstream stream)
{
    return stream ? stream : PER_THREAD;
}

HOOK CUresult cuLaunchKernel(CUfunction f, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by,
                             unsigned bz, unsigned shared, CUstream stream, void **params, void **extra)
{
    GATED(f, grid_size(gx, gy, gz), stream,
          real.cuLaunchKernel(f, gx, gy, gz, bx, by, bz, shared, stream, params, extra));
}

HOOK CUresult cuLaunchKernel_ptsz(CUfunction f, unsigned gx, unsigned gy, unsigned gz, unsigned bx,
                                  unsigned by, unsigned bz, unsigned shared, CUstream stream, void **params,
                                  void **extra)
{
    GATED(f, grid_size(gx, gy, gz), own_stream(stream),
          real.cuLaunchKernel_ptsz(f, gx, gy, gz, bx, by, bz, shared, stream, params, extra));
}

HOOK CUresult cuLaunchKernelEx(const CUlaunchConfig *config, CUfunction f, void **params, void **extra)
{
    if (unlikely(!config))
        return real.cuLaunchKernelEx(config, f, params, extra);
    GATED(f, grid_size(config->gridDimX, config->gridDimY, config->gridDimZ), config->hStream,
          real.cuLaunchKernelEx(config, f, params, extra));
}

HOOK CUresult cuLaunchKernelEx_ptsz(const CUlaunchConfig *config, CUfunction f, void **params, void **extra)
{
    if (unlikely(!config))
        return real.cuLaunchKernelEx_ptsz(config, f, params, extra);
    GATED(f, grid_size(config->gridDimX, config->gridDimY, config->gridDimZ), own_stream(config->hStream),
          real.cuLaunchKernelEx_ptsz(config, f, params, extra));
}

HOOK CUresult cuLaunchCooperativeKernel(CUfunction f, unsigned gx, unsigned gy, unsigned gz, unsigned bx,
                                        unsigned by, unsigned bz, unsigned shared, CUstream stream,
                                        void **params)
{
    GATED(f, grid_size(gx, gy, gz), stream,
          real.cuLaunchCooperativeKernel(f, gx, gy, gz, bx, by, bz, shared, stream, params));
}

HOOK CUresult cuLaunchCooperativeKernel_ptsz(CUfunction f, unsigned gx, unsigned gy, unsigned gz, unsigned bx,
                                             unsigned by, unsigned bz, unsigned shared, CUstream stream,
                                             void **params)
{
    GATED(f, grid_size(gx, gy, gz), own_stream(stream),
          real.cuLaunchCooperativeKernel_ptsz(f, gx, gy, gz, bx, by, bz, shared, stream, params));
}

/* One call for several devices: it starts together, so it is gated once, as a
 * launch of its first part. */
HOOK CUresult cuLaunchCooperativeKernelMultiDevice(CUDA_LAUNCH_PARAMS *list, unsigned n, unsigned flags)
{
    if (unlikely(!list || n == 0))
        return real.cuLaunchCooperativeKernelMultiDevice(list, n, flags);
    GATED(list->function, grid_size(list->gridDimX, list->gridDimY, list->gridDimZ), list->hStream,
          real.cuLaunchCooperativeKernelMultiDevice(list, n, flags));
}

HOOK CUresult cuLaunch(CUfunction f)
{
    GATED(f, 0, NULL, real.cuLaunch(f));
}

HOOK CUresult cuLaunchGrid(CUfunction f, int width, int height)
{
    GATED(f, grid_size((unsigned)width, (unsigned)height, 1), NULL, real.cuLaunchGrid(f, width, height));
}

HOOK CUresult cuLaunchGridAsync(CUfunction f, int width, int height, CUstream stream)
{
    GATED(f, grid_size((unsigned)width, (unsigned)height, 1), stream,
          real.cuLaunchGridAsync(f, width, height, stream));
}

/* The memory that the graph's nodes allocate is reserved first. */
static CUresult graph_launch(CUresult (*launch)(CUgraphExec, CUstream), CUgraphExec exec, CUstream stream)
{
    struct memory_graph memory;
    CUresult result = memory_graph_begin(exec, &memory);
    if (unlikely(result != CUDA_SUCCESS))
        return result;
    result = launch(exec, stream);
    memory_graph_end(&memory, result);
    if (result == CUDA_SUCCESS)
        graph_memory_changed();
    return result;
}

HOOK CUresult cuGraphLaunch(CUgraphExec exec, CUstream stream)
{
    GATED(exec, 0, stream, graph_launch(real.cuGraphLaunch, exec, stream));
}

HOOK CUresult cuGraphLaunch_ptsz(CUgraphExec exec, CUstream stream)
{
    GATED(exec, 0, own_stream(stream), graph_launch(real.cuGraphLaunch_ptsz, exec, stream));
}
