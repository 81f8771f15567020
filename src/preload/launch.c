/* SPDX-License-Identifier: Apache-2.0
 *
 * Wrappers of everything that uses the compute engine. Each passes the host's
 * gate and the throttle, then calls the driver with the user's arguments; the
 * driver's answer is the user's.
 *
 * Invariants:
 *   1. The way of a launch that need not ask has no stack frame: both it and
 *      the way of one that must ask end in a jump with the caller's arguments
 *      in place. Where a compiler cannot do that, launch.S does.
 *   2. Arguments are only read where the driver would read them too: a NULL
 *      configuration is left to the driver to refuse.
 *   3. A stream argument of a per-thread entry that means "default" is named by
 *      the handle that means the thread's own stream everywhere.
 *   4. The product of grid dimensions may overflow: whatever it is, only its
 *      logarithm is used, and only to tell kinds of launches apart.
 */
#include "preload/graph.h"
#include "preload/hook.h"
#include "preload/lane.h"
#include "preload/memory.h"
#include "preload/real.h"
#include "preload/slice.h"
#include "preload/throttle.h"

static inline uint32_t grid_size(unsigned x, unsigned y, unsigned z)
{
    return lane_size(x * y * z);
}

/* The slower way, with the gate, and the hook. LAUNCH(entry, (parameters),
 * (arguments), function, size, stream). */
#define ASKING(entry, parameters, arguments, function, size, stream)                                         \
    CUresult asking_##entry parameters;                                                                      \
    __attribute__((noinline)) CUresult asking_##entry parameters                                             \
    {                                                                                                        \
        slice_gate();                                                                                        \
        struct throttle_ticket ticket = throttle_begin((function), (size), (stream));                        \
        CUresult result = real.entry arguments;                                                              \
        throttle_end(&ticket);                                                                               \
        return result;                                                                                       \
    }
#define LAUNCH(entry, parameters, arguments, function, size, stream)                                         \
    ASKING(entry, parameters, arguments, function, size, stream)                                             \
    HOOK CUresult entry parameters                                                                           \
    {                                                                                                        \
        if (likely(slice_is_open() && (lane_is_free() || lane_pays((function), (size), (stream)))))          \
            return real.entry arguments;                                                                     \
        return asking_##entry arguments;                                                                     \
    }

/* The hook is in launch.S where there is one. */
#if defined(__x86_64__)
#define LAUNCH_OFTEN ASKING
_Static_assert(offsetof(CUlaunchConfig, gridDimX) == CONFIG_GRID_AT &&
                   offsetof(CUlaunchConfig, gridDimZ) == CONFIG_GRID_AT + 8 &&
                   offsetof(CUlaunchConfig, hStream) == CONFIG_STREAM_AT,
               "launch.S goes by these");
#else
#define LAUNCH_OFTEN LAUNCH
#endif

#define GRID_PARAMETERS                                                                                      \
    CUfunction f, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,              \
        unsigned shared, CUstream stream, void **params
#define GRID_ARGUMENTS f, gx, gy, gz, bx, by, bz, shared, stream, params

LAUNCH_OFTEN(cuLaunchKernel, (GRID_PARAMETERS, void **extra), (GRID_ARGUMENTS, extra), f,
             grid_size(gx, gy, gz), stream)
LAUNCH_OFTEN(cuLaunchKernel_ptsz, (GRID_PARAMETERS, void **extra), (GRID_ARGUMENTS, extra), f,
             grid_size(gx, gy, gz), lane_own_stream(stream))
LAUNCH_OFTEN(cuLaunchCooperativeKernel, (GRID_PARAMETERS), (GRID_ARGUMENTS), f, grid_size(gx, gy, gz), stream)
LAUNCH_OFTEN(cuLaunchCooperativeKernel_ptsz, (GRID_PARAMETERS), (GRID_ARGUMENTS), f, grid_size(gx, gy, gz),
             lane_own_stream(stream))
LAUNCH(cuLaunch, (CUfunction f), (f), f, 0, NULL)
LAUNCH(cuLaunchGrid, (CUfunction f, int width, int height), (f, width, height), f,
       grid_size((unsigned)width, (unsigned)height, 1), NULL)
LAUNCH(cuLaunchGridAsync, (CUfunction f, int width, int height, CUstream stream), (f, width, height, stream),
       f, grid_size((unsigned)width, (unsigned)height, 1), stream)

/* A NULL configuration has no grid and no stream; the driver says so. */
static inline uint32_t config_size(const CUlaunchConfig *config)
{
    return config ? grid_size(config->gridDimX, config->gridDimY, config->gridDimZ) : 0;
}

static inline CUstream config_stream(const CUlaunchConfig *config)
{
    return config ? config->hStream : NULL;
}

#define CONFIG_PARAMETERS const CUlaunchConfig *config, CUfunction f, void **params, void **extra
LAUNCH_OFTEN(cuLaunchKernelEx, (CONFIG_PARAMETERS), (config, f, params, extra), f, config_size(config),
             config_stream(config))
LAUNCH_OFTEN(cuLaunchKernelEx_ptsz, (CONFIG_PARAMETERS), (config, f, params, extra), f, config_size(config),
             lane_own_stream(config_stream(config)))

/* One call for several devices: it starts together, so it is gated once, as a
 * launch of its first part. */
LAUNCH(cuLaunchCooperativeKernelMultiDevice, (CUDA_LAUNCH_PARAMS * list, unsigned n, unsigned flags),
       (list, n, flags), list &&n ? list->function : NULL,
       list &&n ? grid_size(list->gridDimX, list->gridDimY, list->gridDimZ) : 0,
       list &&n ? list->hStream : NULL)

/* Graphs are launched rarely and do much: here a frame does not matter. */
static CUresult graph_launch(CUgraphExec exec, CUstream stream, CUstream named,
                             CUresult (*launch)(CUgraphExec, CUstream))
{
    slice_gate();
    struct memory_graph memory; /* what the graph's nodes allocate is reserved first */
    CUresult result = memory_graph_begin(exec, &memory);
    if (unlikely(result != CUDA_SUCCESS))
        return result;
    bool passes = lane_pass(exec, 0, named);
    struct throttle_ticket ticket = {0};
    if (!passes)
        ticket = throttle_begin(exec, 0, named);
    result = launch(exec, stream);
    if (!passes)
        throttle_end(&ticket);
    memory_graph_end(&memory, result);
    if (result == CUDA_SUCCESS && memory.device < 0)
        graph_memory_changed(); /* of a graph whose building was not seen */
    return result;
}

HOOK CUresult cuGraphLaunch(CUgraphExec exec, CUstream stream)
{
    return graph_launch(exec, stream, stream, real.cuGraphLaunch);
}

HOOK CUresult cuGraphLaunch_ptsz(CUgraphExec exec, CUstream stream)
{
    return graph_launch(exec, stream, lane_own_stream(stream), real.cuGraphLaunch_ptsz);
}
