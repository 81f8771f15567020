/* SPDX-License-Identifier: Apache-2.0
 *
 * Graphs and stream capture, in virtual time.
 */
#include "machine.h"

#include <string.h>

static CUmodule module;

static CUfunction function(const char *name)
{
    CUfunction f;
    assert_ok(cuModuleGetFunction(&f, module, name));
    return f;
}

static CUDA_KERNEL_NODE_PARAMS kernel(const char *name)
{
    return (CUDA_KERNEL_NODE_PARAMS){.func = function(name),
                                     .gridDimX = 1,
                                     .gridDimY = 1,
                                     .gridDimZ = 1,
                                     .blockDimX = 1,
                                     .blockDimY = 1,
                                     .blockDimZ = 1};
}

static CUgraphNode add_kernel(CUgraph g, const CUgraphNode *before, size_t n, const char *name)
{
    CUgraphNode node;
    CUDA_KERNEL_NODE_PARAMS p = kernel(name);
    assert_ok(cuGraphAddKernelNode_v2(&node, g, before, n, &p));
    return node;
}

/* Virtual microseconds that a launch of the executable takes on the stream. */
static double timed(CUgraphExec exec, CUstream s)
{
    CUevent a, b;
    float ms;
    assert_ok(cuCtxSynchronize());
    assert_ok(cuEventCreate(&a, 0));
    assert_ok(cuEventCreate(&b, 0));
    assert_ok(cuEventRecord(a, s));
    assert_ok(cuGraphLaunch(exec, s));
    assert_ok(cuEventRecord(b, s));
    assert_ok(cuStreamSynchronize(s));
    assert_ok(cuEventElapsedTime(&ms, a, b));
    assert_ok(cuEventDestroy_v2(a));
    assert_ok(cuEventDestroy_v2(b));
    return (double)ms * 1000;
}

static void launch(const char *name, CUstream s)
{
    assert_ok(cuLaunchKernel(function(name), 1, 1, 1, 1, 1, 1, 0, s, NULL, NULL));
}

static CUstream new_stream(void)
{
    CUstream s;
    assert_ok(cuStreamCreate(&s, CU_STREAM_NON_BLOCKING));
    return s;
}

/* ---- graphs ---- */

static void a_graph_takes_as_long_as_its_kernels(void)
{
    CUgraph g;
    CUgraphExec x;
    CUgraphNode n[3];
    assert_ok(cuGraphCreate(&g, 0));
    n[0] = add_kernel(g, NULL, 0, "sim_10us");
    n[1] = add_kernel(g, n, 1, "sim_20us");
    n[2] = add_kernel(g, n, 2, "sim_30us");
    assert_ok(cuGraphInstantiateWithFlags(&x, g, 0));
    assert_ok(cuGraphDestroy(g)); /* the executable lives on */
    CUstream s = new_stream();
    for (unsigned i = 0; i < 3; i++)
        g_assert_cmpfloat_with_epsilon(timed(x, s), 60, 0.1);
    assert_ok(cuGraphExecDestroy(x));
    g_assert_cmpint(cuGraphLaunch(x, s), ==, CUDA_ERROR_INVALID_VALUE);
    assert_ok(cuStreamDestroy_v2(s));
}

static void nodes_edges_and_dependencies_can_be_listed(void)
{
    CUgraph g;
    CUgraphNode n[3], list[4], to[4];
    size_t count = 0;
    CUgraphNodeType type;
    assert_ok(cuGraphCreate(&g, 0));
    n[0] = add_kernel(g, NULL, 0, "sim_1us");
    assert_ok(cuGraphAddEmptyNode(&n[1], g, n, 1));
    n[2] = add_kernel(g, n, 2, "sim_1us");
    assert_ok(cuGraphGetNodes(g, NULL, &count));
    g_assert_cmpuint(count, ==, 3);
    count = 4;
    assert_ok(cuGraphGetNodes(g, list, &count));
    g_assert_cmpuint(count, ==, 3);
    g_assert_true(list[2] == n[2] && list[3] == NULL);
    assert_ok(cuGraphGetEdges(g, NULL, NULL, &count));
    g_assert_cmpuint(count, ==, 3);
    assert_ok(cuGraphGetEdges(g, list, to, &count));
    assert_ok(cuGraphGetRootNodes(g, NULL, &count));
    g_assert_cmpuint(count, ==, 1);
    assert_ok(cuGraphNodeGetDependentNodes(n[0], NULL, &count));
    g_assert_cmpuint(count, ==, 2);
    assert_ok(cuGraphNodeGetDependencies(n[2], NULL, &count));
    g_assert_cmpuint(count, ==, 2);
    assert_ok(cuGraphNodeGetType(n[1], &type));
    g_assert_cmpint(type, ==, CU_GRAPH_NODE_TYPE_EMPTY);
    assert_ok(cuGraphRemoveDependencies(g, &n[0], &n[2], 1));
    g_assert_cmpint(cuGraphRemoveDependencies(g, &n[0], &n[2], 1), ==, CUDA_ERROR_INVALID_VALUE);
    assert_ok(cuGraphDestroyNode(n[1]));
    assert_ok(cuGraphGetEdges(g, NULL, NULL, &count));
    g_assert_cmpuint(count, ==, 0);
    assert_ok(cuGraphDestroy(g));
    g_assert_cmpint(cuGraphDestroy(g), ==, CUDA_ERROR_INVALID_VALUE);
}

static void a_cycle_cannot_be_instantiated(void)
{
    CUgraph g;
    CUgraphExec x;
    CUgraphNode n[2];
    assert_ok(cuGraphCreate(&g, 0));
    n[0] = add_kernel(g, NULL, 0, "sim_1us");
    n[1] = add_kernel(g, n, 1, "sim_1us");
    assert_ok(cuGraphAddDependencies(g, &n[1], &n[0], 1));
    CUDA_GRAPH_INSTANTIATE_PARAMS p = {.flags = 0};
    g_assert_cmpint(cuGraphInstantiateWithParams(&x, g, &p), ==, CUDA_ERROR_INVALID_VALUE);
    g_assert_cmpint(p.result_out, ==, CUDA_GRAPH_INSTANTIATE_INVALID_STRUCTURE);
    assert_ok(cuGraphDestroy(g));
}

static void an_executable_can_be_changed_node_by_node(void)
{
    CUgraph g;
    CUgraphExec x;
    unsigned enabled;
    assert_ok(cuGraphCreate(&g, 0));
    CUgraphNode n = add_kernel(g, NULL, 0, "sim_10us");
    assert_ok(cuGraphInstantiateWithFlags(&x, g, 0));
    CUDA_KERNEL_NODE_PARAMS p = kernel("sim_40us"), have;
    assert_ok(cuGraphExecKernelNodeSetParams_v2(x, n, &p));
    g_assert_cmpfloat_with_epsilon(timed(x, NULL), 40, 0.1);
    assert_ok(cuGraphKernelNodeGetParams_v2(n, &have)); /* the graph itself is as it was */
    g_assert_true(have.func == function("sim_10us"));
    assert_ok(cuGraphNodeSetEnabled(x, n, 0));
    assert_ok(cuGraphNodeGetEnabled(x, n, &enabled));
    g_assert_cmpuint(enabled, ==, 0);
    g_assert_cmpfloat_with_epsilon(timed(x, NULL), 0, 0.1);
    assert_ok(cuGraphExecDestroy(x));
    assert_ok(cuGraphDestroy(g));
}

static void an_update_takes_new_parameters_and_refuses_a_new_shape(void)
{
    CUgraph g[3];
    CUgraphExec x;
    CUgraphExecUpdateResultInfo info;
    for (unsigned i = 0; i < 3; i++)
        assert_ok(cuGraphCreate(&g[i], 0));
    CUgraphNode first = add_kernel(g[0], NULL, 0, "sim_10us");
    add_kernel(g[1], NULL, 0, "sim_25us");
    CUgraphNode a = add_kernel(g[2], NULL, 0, "sim_1us");
    add_kernel(g[2], &a, 1, "sim_1us");
    assert_ok(cuGraphInstantiateWithFlags(&x, g[0], 0));
    assert_ok(cuGraphExecUpdate_v2(x, g[1], &info));
    g_assert_cmpint(info.result, ==, CU_GRAPH_EXEC_UPDATE_SUCCESS);
    g_assert_cmpfloat_with_epsilon(timed(x, NULL), 25, 0.1);
    g_assert_cmpint(cuGraphExecUpdate_v2(x, g[2], &info), ==, CUDA_ERROR_GRAPH_EXEC_UPDATE_FAILURE);
    g_assert_cmpint(info.result, ==, CU_GRAPH_EXEC_UPDATE_ERROR_TOPOLOGY_CHANGED);
    CUDA_KERNEL_NODE_PARAMS p = kernel("sim_5us"); /* still answers to the first graph's node */
    assert_ok(cuGraphExecKernelNodeSetParams_v2(x, first, &p));
    g_assert_cmpfloat_with_epsilon(timed(x, NULL), 5, 0.1);
    assert_ok(cuGraphExecDestroy(x));
    for (unsigned i = 0; i < 3; i++)
        assert_ok(cuGraphDestroy(g[i]));
}

static int calls;

static void count(void *arg)
{
    (void)arg;
    calls++;
}

static void child_host_and_event_nodes_are_played_in_order(void)
{
    CUgraph inner, outer;
    CUgraphExec x;
    CUgraphNode n[4];
    CUevent e;
    calls = 0;
    assert_ok(cuEventCreate(&e, 0));
    assert_ok(cuGraphCreate(&inner, 0));
    add_kernel(inner, NULL, 0, "sim_15us");
    assert_ok(cuGraphCreate(&outer, 0));
    assert_ok(cuGraphAddChildGraphNode(&n[0], outer, NULL, 0, inner));
    CUDA_HOST_NODE_PARAMS host = {count, NULL};
    assert_ok(cuGraphAddHostNode(&n[1], outer, n, 1, &host));
    assert_ok(cuGraphAddEventRecordNode(&n[2], outer, &n[1], 1, e));
    n[3] = add_kernel(outer, &n[2], 1, "sim_15us");
    assert_ok(cuGraphInstantiateWithFlags(&x, outer, 0));
    CUstream s = new_stream();
    g_assert_cmpfloat_with_epsilon(timed(x, s), 30, 0.1);
    g_assert_cmpint(calls, ==, 1);
    assert_ok(cuEventQuery(e));
    assert_ok(cuGraphExecDestroy(x));
    assert_ok(cuGraphDestroy(outer));
    assert_ok(cuGraphDestroy(inner));
    assert_ok(cuEventDestroy_v2(e));
    assert_ok(cuStreamDestroy_v2(s));
}

static void a_memory_node_takes_memory_only_while_it_is_held(void)
{
    CUgraph g;
    CUgraphExec x;
    CUgraphNode n[3];
    CUDA_MEM_ALLOC_NODE_PARAMS p = {.poolProps = {.allocType = CU_MEM_ALLOCATION_TYPE_PINNED,
                                                  .location = {.type = CU_MEM_LOCATION_TYPE_DEVICE, .id = 0}},
                                    .bytesize = 64 * MIB};
    assert_ok(cuGraphCreate(&g, 0));
    assert_ok(cuGraphAddMemAllocNode(&n[0], g, NULL, 0, &p));
    g_assert_cmpuint(p.dptr, !=, 0);
    n[1] = add_kernel(g, n, 1, "sim_10us");
    assert_ok(cuGraphAddMemFreeNode(&n[2], g, &n[1], 1, p.dptr));
    assert_ok(cuGraphInstantiateWithFlags(&x, g, 0));
    assert_ok(cuGraphLaunch(x, NULL));
    assert_ok(cuCtxSynchronize());
    assert_ok(cuGraphLaunch(x, NULL));
    assert_ok(cuCtxSynchronize());
    assert_ok(cuGraphExecDestroy(x));
    assert_ok(cuGraphDestroy(g));
    assert_ok(cuDeviceGraphMemTrim(0));
}

static void a_conditional_body_runs_when_its_value_says_so(void)
{
    for (unsigned value = 0; value < 2; value++) {
        CUgraph g;
        CUgraphExec x;
        CUgraphNode n;
        CUgraphNodeParams p = {.type = CU_GRAPH_NODE_TYPE_CONDITIONAL};
        assert_ok(cuGraphCreate(&g, 0));
        assert_ok(cuGraphConditionalHandleCreate(&p.conditional.handle, g, NULL, value, 1));
        p.conditional.type = CU_GRAPH_COND_TYPE_IF;
        p.conditional.size = 1;
        assert_ok(cuGraphAddNode_v2(&n, g, NULL, NULL, 0, &p));
        add_kernel(p.conditional.phGraph_out[0], NULL, 0, "sim_10us");
        assert_ok(cuGraphInstantiateWithFlags(&x, g, 0));
        g_assert_cmpfloat_with_epsilon(timed(x, NULL), value * 10, 0.1);
        assert_ok(cuGraphExecDestroy(x));
        assert_ok(cuGraphDestroy(g));
    }
}

static void a_user_object_dies_with_the_last_that_needs_it(void)
{
    CUgraph g;
    CUuserObject o;
    calls = 0;
    assert_ok(cuUserObjectCreate(&o, NULL, count, 1, CU_USER_OBJECT_NO_DESTRUCTOR_SYNC));
    assert_ok(cuGraphCreate(&g, 0));
    assert_ok(cuGraphRetainUserObject(g, o, 1, CU_GRAPH_USER_OBJECT_MOVE));
    g_assert_cmpint(calls, ==, 0);
    assert_ok(cuGraphDestroy(g));
    g_assert_cmpint(calls, ==, 1);
}

/* ---- capture ---- */

static void capture_records_and_does_not_run(void)
{
    CUstream s = new_stream();
    CUgraph g;
    CUgraphExec x;
    size_t n = 0;
    CUstreamCaptureStatus status;
    assert_ok(cuStreamBeginCapture_v2(s, CU_STREAM_CAPTURE_MODE_GLOBAL));
    assert_ok(cuStreamIsCapturing(s, &status));
    g_assert_cmpint(status, ==, CU_STREAM_CAPTURE_STATUS_ACTIVE);
    for (unsigned i = 0; i < 5; i++)
        launch("sim_10us", s);
    assert_ok(cuLaunchHostFunc(s, count, NULL));
    calls = 0;
    assert_ok(cuStreamEndCapture(s, &g));
    assert_ok(cuStreamQuery(s)); /* nothing was given to the device */
    assert_ok(cuGraphGetNodes(g, NULL, &n));
    g_assert_cmpuint(n, ==, 6);
    assert_ok(cuGraphInstantiateWithFlags(&x, g, 0));
    g_assert_cmpfloat_with_epsilon(timed(x, s), 50, 0.1);
    g_assert_cmpint(calls, ==, 1);
    assert_ok(cuGraphExecDestroy(x));
    assert_ok(cuGraphDestroy(g));
    assert_ok(cuStreamDestroy_v2(s));
}

static void captured_copies_move_bytes_at_each_launch(void)
{
    CUstream s = new_stream();
    CUdeviceptr d;
    CUgraph g;
    CUgraphExec x;
    unsigned *host;
    assert_ok(cuMemHostAlloc((void **)&host, 4096, 0));
    assert_ok(cuMemAlloc_v2(&d, 4096));
    assert_ok(cuStreamBeginCapture_v2(s, CU_STREAM_CAPTURE_MODE_RELAXED));
    assert_ok(cuMemcpyHtoDAsync_v2(d, host, 4, s));
    assert_ok(cuMemcpyDtoHAsync_v2(host + 1, d, 4, s));
    assert_ok(cuStreamEndCapture(s, &g));
    assert_ok(cuGraphInstantiateWithFlags(&x, g, 0));
    for (unsigned i = 1; i < 4; i++) {
        host[0] = i * 1000;
        assert_ok(cuGraphLaunch(x, s));
        assert_ok(cuStreamSynchronize(s));
        g_assert_cmpuint(host[1], ==, i * 1000);
    }
    assert_ok(cuGraphExecDestroy(x));
    assert_ok(cuGraphDestroy(g));
    assert_ok(cuMemFree_v2(d));
    assert_ok(cuMemFreeHost(host));
    assert_ok(cuStreamDestroy_v2(s));
}

static void a_forked_stream_must_be_joined(void)
{
    for (unsigned joined = 0; joined < 2; joined++) {
        CUstream s = new_stream(), side = new_stream();
        CUevent fork, join;
        CUgraph g;
        assert_ok(cuEventCreate(&fork, CU_EVENT_DISABLE_TIMING));
        assert_ok(cuEventCreate(&join, CU_EVENT_DISABLE_TIMING));
        assert_ok(cuStreamBeginCapture_v2(s, CU_STREAM_CAPTURE_MODE_GLOBAL));
        launch("sim_10us", s);
        assert_ok(cuEventRecord(fork, s));
        assert_ok(cuStreamWaitEvent(side, fork, 0));
        launch("sim_10us", side);
        g_assert_cmpint(cuStreamEndCapture(side, &g), ==, CUDA_ERROR_STREAM_CAPTURE_UNMATCHED);
        g_assert_cmpint(cuStreamEndCapture(s, &g), ==, CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
        g_assert_null(g);
        assert_ok(cuStreamBeginCapture_v2(s, CU_STREAM_CAPTURE_MODE_GLOBAL));
        launch("sim_10us", s);
        assert_ok(cuEventRecord(fork, s));
        assert_ok(cuStreamWaitEvent(side, fork, 0));
        launch("sim_10us", side);
        assert_ok(cuEventRecord(join, side));
        if (joined)
            assert_ok(cuStreamWaitEvent(s, join, 0));
        CUresult r = cuStreamEndCapture(s, &g);
        g_assert_cmpint(r, ==, joined ? CUDA_SUCCESS : CUDA_ERROR_STREAM_CAPTURE_UNJOINED);
        if (joined)
            assert_ok(cuGraphDestroy(g));
        assert_ok(cuEventDestroy_v2(fork));
        assert_ok(cuEventDestroy_v2(join));
        assert_ok(cuStreamDestroy_v2(s));
        assert_ok(cuStreamDestroy_v2(side));
    }
}

/* One call that is not allowed during a capture, and what it answers. */
struct illegal {
    const char *name;
    CUresult answer;
    gboolean invalidates;
    gboolean unsafe; /* only because of the mode: relaxed allows it */
};

static CUresult make_illegal_call(unsigned which, CUstream s, CUevent captured)
{
    CUdeviceptr p;
    CUgraph g;
    CUresult r;
    switch (which) {
    case 0:
        r = cuMemAlloc_v2(&p, 4096);
        if (r == CUDA_SUCCESS)
            cuMemFree_v2(p);
        return r;
    case 1:
        return cuStreamSynchronize(s);
    case 2:
        return cuStreamQuery(s);
    case 3:
        return cuCtxSynchronize();
    case 4:
        return cuEventQuery(captured);
    case 5:
        return cuEventSynchronize(captured);
    case 6:
        return cuStreamBeginCapture_v2(s, CU_STREAM_CAPTURE_MODE_GLOBAL);
    case 7:
        return cuLaunchKernel(function("sim_1us"), 1, 1, 1, 1, 1, 1, 0, NULL, NULL, NULL);
    case 8:
        return cuStreamAddCallback(s, NULL, NULL, 0) == CUDA_ERROR_INVALID_VALUE
                   ? cuStreamAddCallback(s, (CUstreamCallback)(void (*)(void))count, NULL, 0)
                   : CUDA_SUCCESS;
    default:
        return cuStreamEndCapture(NULL, &g);
    }
}

static void each_illegal_call_answers_its_own_error(void)
{
    static const struct illegal rows[] = {
        {"alloc", CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, TRUE, TRUE},
        {"synchronize stream", CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, TRUE, FALSE},
        {"query stream", CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, TRUE, FALSE},
        {"synchronize context", CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, TRUE, FALSE},
        {"query event", CUDA_ERROR_CAPTURED_EVENT, TRUE, FALSE},
        {"synchronize event", CUDA_ERROR_CAPTURED_EVENT, TRUE, FALSE},
        {"begin again", CUDA_ERROR_ILLEGAL_STATE, FALSE, FALSE},
        {"use the legacy stream", CUDA_ERROR_STREAM_CAPTURE_IMPLICIT, TRUE, FALSE},
        {"add a callback", CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, TRUE, FALSE},
        {"end another", CUDA_ERROR_ILLEGAL_STATE, FALSE, FALSE},
    };
    for (unsigned mode = CU_STREAM_CAPTURE_MODE_GLOBAL; mode <= CU_STREAM_CAPTURE_MODE_RELAXED; mode++) {
        for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
            CUstream s;
            CUevent e;
            CUgraph g;
            gboolean allowed = rows[i].unsafe && mode == CU_STREAM_CAPTURE_MODE_RELAXED;
            g_test_message("mode %u: %s", mode, rows[i].name);
            assert_ok(cuStreamCreate(&s, 0));
            assert_ok(cuEventCreate(&e, 0));
            assert_ok(cuStreamBeginCapture_v2(s, (CUstreamCaptureMode)mode));
            launch("sim_1us", s);
            assert_ok(cuEventRecord(e, s));
            g_assert_cmpint(make_illegal_call(i, s, e), ==, allowed ? CUDA_SUCCESS : rows[i].answer);
            CUresult end = cuStreamEndCapture(s, &g);
            g_assert_cmpint(end, ==,
                            rows[i].invalidates && !allowed ? CUDA_ERROR_STREAM_CAPTURE_INVALIDATED
                                                            : CUDA_SUCCESS);
            if (end == CUDA_SUCCESS)
                assert_ok(cuGraphDestroy(g));
            assert_ok(cuEventDestroy_v2(e));
            assert_ok(cuStreamDestroy_v2(s));
        }
    }
}

static void waiting_across_captures_answers_merge_and_isolation(void)
{
    CUstream a = new_stream(), b = new_stream();
    CUevent in_b, outside;
    CUgraph g;
    assert_ok(cuEventCreate(&in_b, CU_EVENT_DISABLE_TIMING));
    assert_ok(cuEventCreate(&outside, CU_EVENT_DISABLE_TIMING));
    assert_ok(cuEventRecord(outside, b));
    assert_ok(cuStreamBeginCapture_v2(a, CU_STREAM_CAPTURE_MODE_RELAXED));
    assert_ok(cuStreamBeginCapture_v2(b, CU_STREAM_CAPTURE_MODE_RELAXED));
    launch("sim_1us", b);
    assert_ok(cuEventRecord(in_b, b));
    g_assert_cmpint(cuStreamWaitEvent(a, in_b, 0), ==, CUDA_ERROR_STREAM_CAPTURE_MERGE);
    g_assert_cmpint(cuLaunchKernel(function("sim_1us"), 1, 1, 1, 1, 1, 1, 0, a, NULL, NULL), ==,
                    CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
    g_assert_cmpint(cuStreamEndCapture(a, &g), ==, CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
    g_assert_cmpint(cuStreamEndCapture(b, &g), ==, CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
    assert_ok(cuStreamBeginCapture_v2(a, CU_STREAM_CAPTURE_MODE_RELAXED));
    g_assert_cmpint(cuStreamWaitEvent(a, outside, 0), ==, CUDA_ERROR_STREAM_CAPTURE_ISOLATION);
    g_assert_cmpint(cuStreamEndCapture(a, &g), ==, CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
    g_assert_cmpint(cuStreamBeginCapture_v2(NULL, CU_STREAM_CAPTURE_MODE_RELAXED), ==,
                    CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
    assert_ok(cuEventDestroy_v2(in_b));
    assert_ok(cuEventDestroy_v2(outside));
    assert_ok(cuStreamDestroy_v2(a));
    assert_ok(cuStreamDestroy_v2(b));
}

static CUresult alloc_in_thread, end_in_thread;
static gboolean relaxed_thread;

static gpointer other_thread(gpointer data)
{
    CUcontext ctx;
    CUdeviceptr p;
    CUgraph g;
    assert_ok(cuDevicePrimaryCtxRetain(&ctx, 0));
    assert_ok(cuCtxSetCurrent(ctx));
    CUstreamCaptureMode mode = CU_STREAM_CAPTURE_MODE_RELAXED;
    if (relaxed_thread)
        assert_ok(cuThreadExchangeStreamCaptureMode(&mode));
    alloc_in_thread = cuMemAlloc_v2(&p, 4096);
    if (alloc_in_thread == CUDA_SUCCESS)
        assert_ok(cuMemFree_v2(p));
    end_in_thread = cuStreamEndCapture(data, &g);
    assert_ok(cuDevicePrimaryCtxRelease_v2(0));
    return NULL;
}

static void modes_decide_what_other_threads_may_do(void)
{
    static const struct {
        CUstreamCaptureMode mode;
        gboolean relaxed;
        CUresult alloc, end_there, end_here;
    } rows[] = {
        {CU_STREAM_CAPTURE_MODE_GLOBAL, FALSE, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED,
         CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD, CUDA_ERROR_STREAM_CAPTURE_INVALIDATED},
        {CU_STREAM_CAPTURE_MODE_GLOBAL, TRUE, CUDA_SUCCESS, CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD,
         CUDA_SUCCESS},
        {CU_STREAM_CAPTURE_MODE_THREAD_LOCAL, FALSE, CUDA_SUCCESS, CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD,
         CUDA_SUCCESS},
        {CU_STREAM_CAPTURE_MODE_RELAXED, FALSE, CUDA_SUCCESS, CUDA_SUCCESS, CUDA_ERROR_ILLEGAL_STATE},
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        CUstream s = new_stream();
        CUgraph g;
        relaxed_thread = rows[i].relaxed;
        assert_ok(cuStreamBeginCapture_v2(s, rows[i].mode));
        g_thread_join(g_thread_new("other", other_thread, s));
        g_assert_cmpint(alloc_in_thread, ==, rows[i].alloc);
        g_assert_cmpint(end_in_thread, ==, rows[i].end_there);
        CUresult r = cuStreamEndCapture(s, &g);
        g_assert_cmpint(r, ==, rows[i].end_here);
        if (r == CUDA_SUCCESS)
            assert_ok(cuGraphDestroy(g));
        assert_ok(cuStreamDestroy_v2(s));
    }
}

static void capture_info_tells_the_graph_and_what_comes_next(void)
{
    CUstream s = new_stream();
    CUgraph g, end;
    CUgraphNode extra;
    const CUgraphNode *nodes;
    const CUgraphEdgeData *edges;
    CUstreamCaptureStatus status;
    cuuint64_t id = 0;
    size_t n = 0;
    assert_ok(cuStreamBeginCapture_v2(s, CU_STREAM_CAPTURE_MODE_GLOBAL));
    launch("sim_1us", s);
    assert_ok(cuStreamGetCaptureInfo_v3(s, &status, &id, &g, &nodes, &edges, &n));
    g_assert_cmpuint(n, ==, 1);
    g_assert_cmpuint(id, !=, 0);
    assert_ok(cuGraphAddEmptyNode(&extra, g, nodes, n));
    assert_ok(cuStreamUpdateCaptureDependencies(s, &extra, 1, 1));
    launch("sim_1us", s);
    assert_ok(cuStreamGetCaptureInfo_v2(s, &status, NULL, NULL, &nodes, &n));
    g_assert_cmpuint(n, ==, 1);
    CUgraphNode last = nodes[0], before;
    n = 1;
    assert_ok(cuGraphNodeGetDependencies(last, &before, &n));
    g_assert_true(before == extra);
    assert_ok(cuStreamEndCapture(s, &end));
    g_assert_true(end == g);
    assert_ok(cuStreamGetCaptureInfo_v2(s, &status, NULL, NULL, NULL, NULL));
    g_assert_cmpint(status, ==, CU_STREAM_CAPTURE_STATUS_NONE);
    assert_ok(cuGraphDestroy(g));
    assert_ok(cuStreamDestroy_v2(s));
}

int main(int argc, char **argv)
{
    machine_init(&argc, &argv, "t4,time=virtual");
    machine_start();
    assert_ok(cuModuleLoadData(&module, "image"));
#define TEST(name) g_test_add_func("/graph/" #name, name)
    TEST(a_graph_takes_as_long_as_its_kernels);
    TEST(nodes_edges_and_dependencies_can_be_listed);
    TEST(a_cycle_cannot_be_instantiated);
    TEST(an_executable_can_be_changed_node_by_node);
    TEST(an_update_takes_new_parameters_and_refuses_a_new_shape);
    TEST(child_host_and_event_nodes_are_played_in_order);
    TEST(a_memory_node_takes_memory_only_while_it_is_held);
    TEST(a_conditional_body_runs_when_its_value_says_so);
    TEST(a_user_object_dies_with_the_last_that_needs_it);
    TEST(capture_records_and_does_not_run);
    TEST(captured_copies_move_bytes_at_each_launch);
    TEST(a_forked_stream_must_be_joined);
    TEST(each_illegal_call_answers_its_own_error);
    TEST(waiting_across_captures_answers_merge_and_isolation);
    TEST(modes_decide_what_other_threads_may_do);
    TEST(capture_info_tells_the_graph_and_what_comes_next);
    return machine_run();
}
