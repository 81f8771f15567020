/* SPDX-License-Identifier: Apache-2.0
 *
 * Wrappers of the life of executable graphs. Nothing is gated here (uploading
 * and instantiating run no kernel); what a graph was measured to take is
 * forgotten when it changes, and the memory engine is told.
 */
#include "preload/graph.h"

#include "preload/ctx.h"
#include "preload/hook.h"
#include "preload/memory.h"
#include "preload/real.h"
#include "preload/slice.h"
#include "preload/throttle.h"

void graph_memory_changed(void)
{
    if (slice_attach() == SLICE_ON && ctx_here()->device >= 0)
        memory_graph_changed((unsigned)ctx_here()->device);
}

static CUresult made(CUresult result, const CUgraphExec *exec, CUgraph graph)
{
    if (result == CUDA_SUCCESS) {
        memory_graph_instantiated(*exec, graph);
        graph_memory_changed();
    }
    return result;
}

static CUresult changed(CUresult result, CUgraphExec exec)
{
    if (result == CUDA_SUCCESS) {
        throttle_forget(exec);
        graph_memory_changed();
    }
    return result;
}

static CUresult updated(CUresult result, CUgraphExec exec, CUgraph graph)
{
    if (result == CUDA_SUCCESS)
        memory_graph_instantiated(exec, graph);
    return changed(result, exec);
}

HOOK CUresult cuGraphInstantiate(CUgraphExec *ret, CUgraph graph, CUgraphNode *node, char *log, size_t size)
{
    return made(real.cuGraphInstantiate(ret, graph, node, log, size), ret, graph);
}

HOOK CUresult cuGraphInstantiate_v2(CUgraphExec *ret, CUgraph graph, CUgraphNode *node, char *log,
                                    size_t size)
{
    return made(real.cuGraphInstantiate_v2(ret, graph, node, log, size), ret, graph);
}

HOOK CUresult cuGraphInstantiateWithFlags(CUgraphExec *ret, CUgraph graph, unsigned long long flags)
{
    return made(real.cuGraphInstantiateWithFlags(ret, graph, flags), ret, graph);
}

/* A driver may take a graph's memory when it is uploaded, or leave it to the
 * first launch: that reserves what is still missing then. */
static CUresult upload(CUgraphExec exec, CUstream stream, CUresult (*call)(CUgraphExec, CUstream))
{
    struct memory_graph memory;
    CUresult result = memory_graph_begin(exec, &memory);

    if (result != CUDA_SUCCESS)
        return result;
    result = call(exec, stream);
    memory.exec = NULL;
    memory_graph_end(&memory, result);
    if (result == CUDA_SUCCESS)
        graph_memory_changed();
    return result;
}

typedef CUresult instantiate_call(CUgraphExec *ret, CUgraph graph, CUDA_GRAPH_INSTANTIATE_PARAMS *params);

/* Instantiated and uploaded in one call: what is to be reserved is asked for in
 * the name of the parameters, before there is anything executable. */
static CUresult instantiate(CUgraphExec *ret, CUgraph graph, CUDA_GRAPH_INSTANTIATE_PARAMS *params,
                            instantiate_call *call)
{
    CUgraphExec stand_in = (CUgraphExec)(void *)params;
    struct memory_graph memory;
    CUresult result;

    if (!params || !(params->flags & CUDA_GRAPH_INSTANTIATE_FLAG_UPLOAD))
        return made(call(ret, graph, params), ret, graph);
    memory_graph_instantiated(stand_in, graph);
    result = memory_graph_begin(stand_in, &memory);
    memory_graph_instantiated(stand_in, NULL);
    if (result != CUDA_SUCCESS)
        return result;
    result = call(ret, graph, params);
    memory.exec = NULL;
    memory_graph_end(&memory, result);
    return made(result, ret, graph);
}

HOOK CUresult cuGraphInstantiateWithParams(CUgraphExec *ret, CUgraph graph,
                                           CUDA_GRAPH_INSTANTIATE_PARAMS *params)
{
    return instantiate(ret, graph, params, real.cuGraphInstantiateWithParams);
}

HOOK CUresult cuGraphInstantiateWithParams_ptsz(CUgraphExec *ret, CUgraph graph,
                                                CUDA_GRAPH_INSTANTIATE_PARAMS *params)
{
    return instantiate(ret, graph, params, real.cuGraphInstantiateWithParams_ptsz);
}

HOOK CUresult cuGraphExecDestroy(CUgraphExec exec)
{
    memory_graph_instantiated(exec, NULL);
    return changed(real.cuGraphExecDestroy(exec), exec);
}

HOOK CUresult cuGraphExecKernelNodeSetParams(CUgraphExec exec, CUgraphNode node,
                                             const CUDA_KERNEL_NODE_PARAMS_v1 *params)
{
    return changed(real.cuGraphExecKernelNodeSetParams(exec, node, params), exec);
}

HOOK CUresult cuGraphExecKernelNodeSetParams_v2(CUgraphExec exec, CUgraphNode node,
                                                const CUDA_KERNEL_NODE_PARAMS *params)
{
    return changed(real.cuGraphExecKernelNodeSetParams_v2(exec, node, params), exec);
}

HOOK CUresult cuGraphExecNodeSetParams(CUgraphExec exec, CUgraphNode node, CUgraphNodeParams *params)
{
    return changed(real.cuGraphExecNodeSetParams(exec, node, params), exec);
}

HOOK CUresult cuGraphExecUpdate(CUgraphExec exec, CUgraph graph, CUgraphNode *node,
                                CUgraphExecUpdateResult *ret)
{
    return updated(real.cuGraphExecUpdate(exec, graph, node, ret), exec, graph);
}

HOOK CUresult cuGraphExecUpdate_v2(CUgraphExec exec, CUgraph graph, CUgraphExecUpdateResultInfo *info)
{
    return updated(real.cuGraphExecUpdate_v2(exec, graph, info), exec, graph);
}

HOOK CUresult cuGraphUpload(CUgraphExec exec, CUstream stream)
{
    return upload(exec, stream, real.cuGraphUpload);
}

HOOK CUresult cuGraphUpload_ptsz(CUgraphExec exec, CUstream stream)
{
    return upload(exec, stream, real.cuGraphUpload_ptsz);
}
