/* SPDX-License-Identifier: Apache-2.0
 *
 * Host functions and callbacks in streams.
 */
#include <stdlib.h>

#include "abi/cuda_api.h"
#include "graph.h"

CUresult sim_stream_host(struct sim_stream *s, void (*fn)(void *), void *arg)
{
    pthread_mutex_lock(&sim_driver_lock);
    CUresult r = sim_device_health(s->ctx->device);
    if (r == CUDA_SUCCESS)
        r = sim_defer(s, &(struct sim_deferred){.kind = SIM_DEFERRED_HOST, .fn = fn, .arg = arg});
    pthread_mutex_unlock(&sim_driver_lock);
    return r;
}

static CUresult launch_host(CUstream stream, bool per_thread, CUhostFn fn, void *arg)
{
    struct sim_stream *s;
    CUresult r = sim_stream_resolve(stream, per_thread, &s);
    if (r != CUDA_SUCCESS)
        return r;
    if (fn == NULL)
        return CUDA_ERROR_INVALID_VALUE;
    if (sim_stream_capturing(s)) {
        struct sim_node *n;
        return sim_capture_node(s, CU_GRAPH_NODE_TYPE_HOST, &(union sim_node_params){.host = {fn, arg}}, &n);
    }
    r = sim_capture_legacy_call(s);
    return r == CUDA_SUCCESS ? sim_stream_host(s, fn, arg) : r;
}

CUresult cuLaunchHostFunc(CUstream s, CUhostFn fn, void *arg)
{
    return launch_host(s, false, fn, arg);
}

CUresult cuLaunchHostFunc_ptsz(CUstream s, CUhostFn fn, void *arg)
{
    return launch_host(s, true, fn, arg);
}

CUresult cuLaunchHostFunc_v2(CUstream s, CUhostFn fn, void *arg, unsigned int sync_mode)
{
    (void)sync_mode;
    return launch_host(s, false, fn, arg);
}

CUresult cuLaunchHostFunc_v2_ptsz(CUstream s, CUhostFn fn, void *arg, unsigned int sync_mode)
{
    (void)sync_mode;
    return launch_host(s, true, fn, arg);
}

struct callback {
    CUstreamCallback fn;
    CUstream stream;
    void *arg;
};

static void call_back(void *arg)
{
    struct callback c = *(struct callback *)arg;
    free(arg);
    c.fn(c.stream, CUDA_SUCCESS, c.arg);
}

static CUresult add_callback(CUstream stream, bool per_thread, CUstreamCallback fn, void *arg, unsigned flags)
{
    struct sim_stream *s;
    CUresult r = sim_stream_resolve(stream, per_thread, &s);
    if (r != CUDA_SUCCESS)
        return r;
    if (fn == NULL || flags != 0)
        return CUDA_ERROR_INVALID_VALUE;
    if (sim_stream_capturing(s)) /* callbacks cannot be captured, host functions can */
        return sim_capture_unsafe_stream(s);
    r = sim_capture_legacy_call(s);
    if (r != CUDA_SUCCESS)
        return r;
    struct callback *c = malloc(sizeof(*c));
    if (c == NULL)
        return CUDA_ERROR_OUT_OF_MEMORY;
    *c = (struct callback){fn, stream, arg};
    r = sim_stream_host(s, call_back, c);
    if (r != CUDA_SUCCESS)
        free(c);
    return r;
}

CUresult cuStreamAddCallback(CUstream s, CUstreamCallback fn, void *arg, unsigned int flags)
{
    return add_callback(s, false, fn, arg, flags);
}

CUresult cuStreamAddCallback_ptsz(CUstream s, CUstreamCallback fn, void *arg, unsigned int flags)
{
    return add_callback(s, true, fn, arg, flags);
}
