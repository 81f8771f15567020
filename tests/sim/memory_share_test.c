/* SPDX-License-Identifier: Apache-2.0
 *
 * Legacy IPC of memory and events, and memory of graphs.
 */
#include "machine.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- memory ---- */

struct greeting {
    CUipcMemHandle small, large, counted;
    CUdeviceptr offset; /* of the text in the large block */
};

static void importer(void)
{
    struct greeting g;
    CUdeviceptr small, large, again, counted;
    char text[32];
    machine_start();
    machine_receive(3, &g, sizeof g);
    size_t before = machine_free();
    assert_ok(cuIpcOpenMemHandle_v2(&small, g.small, CU_IPC_MEM_LAZY_ENABLE_PEER_ACCESS));
    assert_ok(cuIpcOpenMemHandle_v2(&large, g.large, CU_IPC_MEM_LAZY_ENABLE_PEER_ACCESS));
    assert_ok(cuIpcOpenMemHandle_v2(&again, g.large, CU_IPC_MEM_LAZY_ENABLE_PEER_ACCESS));
    assert_ok(cuIpcOpenMemHandle_v2(&counted, g.counted, CU_IPC_MEM_LAZY_ENABLE_PEER_ACCESS));
    g_assert_cmpuint(large, ==, again);
    g_assert_cmpuint(machine_free(), ==, before);
    assert_ok(cuMemcpyDtoH_v2(text, small, sizeof text));
    g_assert_cmpstr(text, ==, "small");
    assert_ok(cuMemcpyDtoH_v2(text, large + g.offset, sizeof text));
    g_assert_cmpstr(text, ==, "large");
    strcpy(text, "back");
    assert_ok(cuMemcpyHtoD_v2(large + g.offset, text, sizeof text));
    assert_ok(cuIpcCloseMemHandle(large));
    assert_ok(cuMemcpyDtoH_v2(text, large + g.offset, sizeof text)); /* opened twice */
    assert_ok(cuIpcCloseMemHandle(large));
    g_assert_cmpint(cuMemcpyDtoH_v2(text, large, 1), ==, CUDA_ERROR_INVALID_VALUE);
    g_assert_cmpint(cuIpcCloseMemHandle(large), ==, CUDA_ERROR_INVALID_VALUE);
    g_assert_cmpint(cuMemFree_v2(small), ==, CUDA_ERROR_INVALID_VALUE); /* not ours to free */
    assert_ok(cuIpcCloseMemHandle(small));
    assert_ok(cuIpcCloseMemHandle(counted));
}

static void memory_is_seen_by_another_process(void)
{
    int fd;
    struct greeting g = {.offset = 12345};
    CUdeviceptr small, large, counted, p;
    char text[32] = "small";
    size_t before = machine_free();
    assert_ok(cuMemAlloc_v2(&small, 1000));
    assert_ok(cuMemAlloc_v2(&large, 8 * MIB));
    assert_ok(cuMemAlloc_v2(&counted, 512 * MIB));
    assert_ok(cuMemcpyHtoD_v2(small, text, sizeof text));
    strcpy(text, "large");
    assert_ok(cuMemcpyHtoD_v2(large + g.offset, text, sizeof text));
    assert_ok(cuIpcGetMemHandle(&g.small, small));
    assert_ok(cuIpcGetMemHandle(&g.large, large + 7));
    assert_ok(cuIpcGetMemHandle(&g.counted, counted));
    assert_ok(cuMemcpyDtoH_v2(text, small, sizeof text)); /* the exchange kept the bytes */
    g_assert_cmpstr(text, ==, "small");
    g_assert_cmpint(cuIpcOpenMemHandle_v2(&p, g.small, 1), ==, CUDA_ERROR_INVALID_CONTEXT);
    GPid child = machine_child("importer", &fd);
    machine_send(fd, &g, sizeof g, -1);
    machine_join(child);
    close(fd);
    assert_ok(cuMemcpyDtoH_v2(text, large + g.offset, sizeof text));
    g_assert_cmpstr(text, ==, "back");
    assert_ok(cuMemFree_v2(small));
    assert_ok(cuMemFree_v2(large));
    assert_ok(cuMemFree_v2(counted));
    g_assert_cmpuint(machine_settled_free(), ==, before);
}

static void forged_handles_are_refused(void)
{
    GRand *rand = g_rand_new_with_seed(machine_seed());
    CUipcMemHandle h;
    CUdeviceptr p = 5;
    for (unsigned i = 0; i < 200; i++) {
        for (unsigned k = 0; k < sizeof h; k++)
            h.reserved[k] = (char)g_rand_int(rand);
        g_assert_cmpint(cuIpcOpenMemHandle_v2(&p, h, 1), ==, CUDA_ERROR_INVALID_HANDLE);
    }
    g_assert_cmpuint(p, ==, 5);
    g_assert_cmpint(cuIpcGetMemHandle(&h, 4096), ==, CUDA_ERROR_INVALID_VALUE);
    assert_ok(cuMemAllocManaged(&p, 4096, 1));
    g_assert_cmpint(cuIpcGetMemHandle(&h, p), ==, CUDA_ERROR_INVALID_VALUE);
    assert_ok(cuMemFree_v2(p));
    g_rand_free(rand);
}

static unsigned open_files(void)
{
    unsigned n = 0;
    GDir *dir = g_dir_open("/proc/self/fd", 0, NULL);
    while (g_dir_read_name(dir) != NULL)
        n++;
    g_dir_close(dir);
    return n;
}

static void sharing_leaves_no_descriptor_behind(void)
{
    CUmemAllocationProp prop = {.type = CU_MEM_ALLOCATION_TYPE_PINNED,
                                .requestedHandleTypes = CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR};
    unsigned before = 0;
    prop.location.type = CU_MEM_LOCATION_TYPE_DEVICE;
    for (unsigned i = 0; i < 20; i++) {
        CUmemGenericAllocationHandle h, twin;
        CUipcMemHandle ipc;
        CUdeviceptr p;
        int fd;
        assert_ok(cuMemCreate(&h, 2 * MIB, &prop, 0));
        assert_ok(cuMemExportToShareableHandle(&fd, h, CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR, 0));
        assert_ok(cuMemImportFromShareableHandle(&twin, (void *)(intptr_t)fd,
                                                 CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR));
        close(fd);
        assert_ok(cuMemRelease(twin));
        assert_ok(cuMemRelease(h));
        assert_ok(cuMemAlloc_v2(&p, 4 * MIB));
        assert_ok(cuIpcGetMemHandle(&ipc, p));
        assert_ok(cuMemFree_v2(p));
        if (i == 0)
            before = open_files(); /* the first round opens what stays */
    }
    g_assert_cmpuint(open_files(), ==, before);
}

/* ---- killed in the middle of things ---- */

/* Takes and gives memory in every way until it is killed. */
static void churner(void)
{
    CUmemAllocationProp prop = {.type = CU_MEM_ALLOCATION_TYPE_PINNED};
    CUmemGenericAllocationHandle h[8] = {0};
    CUdeviceptr p[8] = {0}, q[8] = {0};
    CUstream s;
    guint32 seed;
    machine_start();
    machine_receive(3, &seed, sizeof seed);
    GRand *rand = g_rand_new_with_seed(seed);
    prop.location.type = CU_MEM_LOCATION_TYPE_DEVICE;
    assert_ok(cuStreamCreate(&s, 0));
    for (unsigned round = 0;; round++) {
        unsigned i = (unsigned)g_rand_int_range(rand, 0, 8);
        size_t size = 1 + g_rand_int(rand) % (64U << 20);
        if (p[i])
            assert_ok(cuMemFree_v2(p[i]));
        assert_ok(cuMemAlloc_v2(&p[i], size));
        if (q[i])
            assert_ok(cuMemFreeAsync(q[i], s));
        assert_ok(cuMemAllocAsync(&q[i], size, s));
        if (h[i])
            assert_ok(cuMemRelease(h[i]));
        assert_ok(cuMemCreate(&h[i], 2 * MIB, &prop, 0));
        if (round == 100)
            machine_send(3, "r", 1, -1);
    }
}

static void killed_processes_leave_nothing_taken(void)
{
    enum { CHILDREN = 4 };
    GRand *rand = g_rand_new_with_seed(machine_seed());
    size_t before = machine_settled_free();
    for (unsigned turn = 0; turn < 3; turn++) {
        GPid child[CHILDREN];
        int fd[CHILDREN], status;
        char c;
        for (unsigned i = 0; i < CHILDREN; i++) {
            guint32 seed = g_rand_int(rand);
            child[i] = machine_child("churner", &fd[i]);
            machine_send(fd[i], &seed, sizeof seed, -1);
        }
        for (unsigned i = 0; i < CHILDREN; i++)
            machine_receive(fd[i], &c, 1); /* all are in the middle of it */
        for (unsigned i = 0; i < CHILDREN; i++) {
            kill(child[i], SIGKILL);
            g_assert_cmpint(waitpid(child[i], &status, 0), ==, child[i]);
            close(fd[i]);
        }
        g_assert_cmpuint(machine_settled_free(), ==, before);
    }
    g_rand_free(rand);
}

/* ---- events ---- */

enum { SETS = 40, AT_LEAST_US = 400000 }; /* 40 sets of 8 GiB take 0.44 s on this card */

struct promise {
    CUipcEventHandle handle;
    gint64 not_before_us;
};

static void waiter(void)
{
    struct promise promise;
    CUevent e;
    CUstream s;
    CUdeviceptr p;
    machine_start();
    assert_ok(cuStreamCreate(&s, CU_STREAM_NON_BLOCKING));
    assert_ok(cuMemAlloc_v2(&p, 64));
    machine_receive(3, &promise, sizeof promise);
    assert_ok(cuIpcOpenEventHandle(&e, promise.handle));
    assert_ok(cuStreamWaitEvent(s, e, 0));
    assert_ok(cuMemsetD8Async(p, 1, 64, s));
    assert_ok(cuEventSynchronize(e));
    g_assert_cmpint(g_get_monotonic_time(), >=, promise.not_before_us);
    assert_ok(cuEventQuery(e));
    assert_ok(cuStreamSynchronize(s));
    assert_ok(cuEventDestroy_v2(e));
}

static void an_event_is_waited_for_in_another_process(void)
{
    int fd;
    struct promise promise;
    CUevent e, own;
    CUstream s;
    CUdeviceptr p;
    GPid child = machine_child("waiter", &fd);
    assert_ok(cuStreamCreate(&s, CU_STREAM_NON_BLOCKING));
    assert_ok(cuEventCreate(&own, CU_EVENT_DISABLE_TIMING));
    g_assert_cmpint(cuIpcGetEventHandle(&promise.handle, own), ==, CUDA_ERROR_INVALID_HANDLE);
    assert_ok(cuEventCreate(&e, CU_EVENT_INTERPROCESS | CU_EVENT_DISABLE_TIMING));
    assert_ok(cuIpcGetEventHandle(&promise.handle, e));
    CUevent twin;
    g_assert_cmpint(cuIpcOpenEventHandle(&twin, promise.handle), ==, CUDA_ERROR_INVALID_CONTEXT);
    assert_ok(cuMemAlloc_v2(&p, 8ULL << 30));
    promise.not_before_us = g_get_monotonic_time() + AT_LEAST_US;
    for (unsigned i = 0; i < SETS; i++)
        assert_ok(cuMemsetD8Async(p, 1, 8ULL << 30, s));
    assert_ok(cuEventRecord(e, s)); /* after the handle was made */
    machine_send(fd, &promise, sizeof promise, -1);
    machine_join(child);
    close(fd);
    assert_ok(cuEventQuery(e));
    assert_ok(cuEventDestroy_v2(e));
    assert_ok(cuMemFree_v2(p));
    assert_ok(cuStreamDestroy_v2(s));
}

/* ---- graphs ---- */

static guint64 graph_figure(CUgraphMem_attribute a)
{
    guint64 v = ~0ULL;
    assert_ok(cuDeviceGetGraphMemAttribute(0, a, &v));
    return v;
}

static void graphs_keep_their_memory_until_trimmed(void)
{
    CUstream s;
    CUgraph graph;
    CUgraphExec exec;
    CUdeviceptr p;
    assert_ok(cuStreamCreate(&s, CU_STREAM_NON_BLOCKING));
    size_t before = machine_settled_free();
    assert_ok(cuStreamBeginCapture_v2(s, CU_STREAM_CAPTURE_MODE_GLOBAL));
    assert_ok(cuMemAllocAsync(&p, 4 * MIB, s));
    assert_ok(cuMemsetD8Async(p, 3, 4 * MIB, s));
    assert_ok(cuMemFreeAsync(p, s));
    assert_ok(cuStreamEndCapture(s, &graph));
    g_assert_cmpuint(machine_free(), ==, before);
    assert_ok(cuGraphInstantiateWithFlags(&exec, graph, 0));
    for (unsigned i = 0; i < 3; i++)
        assert_ok(cuGraphLaunch(exec, s));
    assert_ok(cuStreamSynchronize(s));
    g_assert_cmpuint(graph_figure(CU_GRAPH_MEM_ATTR_USED_MEM_CURRENT), ==, 0);
    g_assert_cmpuint(graph_figure(CU_GRAPH_MEM_ATTR_USED_MEM_HIGH), ==, 4 * MIB);
    g_assert_cmpuint(graph_figure(CU_GRAPH_MEM_ATTR_RESERVED_MEM_CURRENT), ==, 4 * MIB);
    g_assert_cmpuint(machine_free(), ==, before - 4 * MIB);
    assert_ok(cuDeviceGraphMemTrim(0));
    g_assert_cmpuint(machine_free(), ==, before);
    guint64 zero = 0;
    assert_ok(cuDeviceSetGraphMemAttribute(0, CU_GRAPH_MEM_ATTR_RESERVED_MEM_HIGH, &zero));
    g_assert_cmpuint(graph_figure(CU_GRAPH_MEM_ATTR_RESERVED_MEM_HIGH), ==, 0);
    assert_ok(cuGraphExecDestroy(exec));
    assert_ok(cuGraphDestroy(graph));
    assert_ok(cuStreamDestroy_v2(s));
}

static void captured_copies_run_at_every_launch(void)
{
    CUstream s;
    CUgraph graph;
    CUgraphExec exec;
    CUdeviceptr a, b;
    guint32 v = 1, out = 0;
    assert_ok(cuStreamCreate(&s, CU_STREAM_NON_BLOCKING));
    assert_ok(cuMemAlloc_v2(&a, 64));
    assert_ok(cuMemAlloc_v2(&b, 64));
    assert_ok(cuStreamBeginCapture_v2(s, CU_STREAM_CAPTURE_MODE_GLOBAL));
    assert_ok(cuMemcpyDtoDAsync_v2(b, a, 4, s));
    assert_ok(cuMemcpyDtoHAsync_v2(&out, b, 4, s));
    assert_ok(cuStreamEndCapture(s, &graph));
    assert_ok(cuGraphInstantiateWithFlags(&exec, graph, 0));
    for (v = 1; v < 4; v++) {
        assert_ok(cuMemcpyHtoD_v2(a, &v, 4));
        assert_ok(cuGraphLaunch(exec, s));
        assert_ok(cuStreamSynchronize(s));
        g_assert_cmpuint(out, ==, v);
    }
    assert_ok(cuGraphExecDestroy(exec));
    assert_ok(cuGraphDestroy(graph));
    assert_ok(cuMemFree_v2(a));
    assert_ok(cuMemFree_v2(b));
    assert_ok(cuStreamDestroy_v2(s));
}

static void allocation_in_a_capture_is_refused_unless_relaxed(void)
{
    CUstream s;
    CUgraph graph;
    CUdeviceptr p = 7;
    CUstreamCaptureMode mode = CU_STREAM_CAPTURE_MODE_RELAXED;
    assert_ok(cuStreamCreate(&s, CU_STREAM_NON_BLOCKING));
    assert_ok(cuStreamBeginCapture_v2(s, CU_STREAM_CAPTURE_MODE_GLOBAL));
    assert_ok(cuThreadExchangeStreamCaptureMode(&mode));
    assert_ok(cuMemAlloc_v2(&p, 64));
    assert_ok(cuMemFree_v2(p));
    assert_ok(cuThreadExchangeStreamCaptureMode(&mode));
    p = 7;
    g_assert_cmpint(cuMemAlloc_v2(&p, 64), ==, CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
    g_assert_cmpuint(p, ==, 7);
    g_assert_cmpint(cuStreamEndCapture(s, &graph), ==, CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
    assert_ok(cuStreamDestroy_v2(s));
}

int main(int argc, char **argv)
{
    machine_init(&argc, &argv, "2xa100-40g,real_bytes_max=64MiB");
    if (g_strcmp0(machine_child_name(), "importer") == 0)
        return importer(), 0;
    if (g_strcmp0(machine_child_name(), "waiter") == 0)
        return waiter(), 0;
    if (g_strcmp0(machine_child_name(), "churner") == 0)
        return churner(), 0;
    machine_start();
    g_test_add_func("/ipc/memory_is_seen_by_another_process", memory_is_seen_by_another_process);
    g_test_add_func("/ipc/forged_handles_are_refused", forged_handles_are_refused);
    g_test_add_func("/ipc/sharing_leaves_no_descriptor_behind", sharing_leaves_no_descriptor_behind);
    g_test_add_func("/ipc/killed_processes_leave_nothing_taken", killed_processes_leave_nothing_taken);
    g_test_add_func("/ipc/an_event_is_waited_for_in_another_process",
                    an_event_is_waited_for_in_another_process);
    g_test_add_func("/graph/graphs_keep_their_memory_until_trimmed", graphs_keep_their_memory_until_trimmed);
    g_test_add_func("/graph/captured_copies_run_at_every_launch", captured_copies_run_at_every_launch);
    g_test_add_func("/graph/allocation_in_a_capture_is_refused_unless_relaxed",
                    allocation_in_a_capture_is_refused_unless_relaxed);
    return machine_run();
}
