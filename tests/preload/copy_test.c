/* SPDX-License-Identifier: Apache-2.0
 *
 * Copies and sets under a compute limit: what they do and answer is what the
 * driver does and answers; which of them are gated, and which are not. The
 * shares of all entries: copy_share_test.c.
 */
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <glib/gstdio.h>

#include "compute_kernel.h"
#include "copy_entries.h"
#include "preload/board.h"
#include "region/extension.h"
#include "region/region.h"
#include "sim/inspect.h"

#define KIB ((size_t)1024)
#define MIB ((size_t)1024 * 1024)

static const char counted[] = "base: t4\nname: copies\nreal_bytes_max: 64KiB\n";

static struct region_view *view_of(struct kit *kit)
{
    struct region_view *view = g_new0(struct region_view, 1);
    g_assert_cmpint(region_read(kit_region(kit), view), ==, 0);
    return view;
}

/* The same body bare and under a limit tells the same. */
static void tells_the_same(const char *body, const char *argument)
{
    struct kit *bare = kit_new(NULL), *limited = kit_new(NULL);
    kit_no_preload(bare);
    kit_env(limited, "CUDA_DEVICE_SM_LIMIT", "30");
    g_autofree char *expected = kit_run(bare, body, argument, NULL);
    g_autofree char *got = kit_run(limited, body, argument, NULL);
    g_assert_cmpstr(got, ==, expected);
    kit_free(bare);
    kit_free(limited);
}

/* ---- what arrives ---- */

enum { ROWS = 129 };
#define PITCH (16 * KIB)

static uint32_t mixed(uint32_t i, uint32_t seed)
{
    return (i + 1) * 2654435761u ^ seed;
}

static GChecksum *sum_of(const struct copy_place *p, unsigned char *seen)
{
    GChecksum *sum = g_checksum_new(G_CHECKSUM_SHA256);
    const struct real_cuda *cu = kit_cuda();
    if (cu->cuCtxSynchronize() || cu->cuMemcpyDtoH_v2(seen, p->to, p->bytes))
        exit(91);
    g_checksum_update(sum, seen, (gssize)p->bytes);
    if (cu->cuMemcpyAtoH_v2(seen, p->array_to, 0, p->row))
        exit(92);
    g_checksum_update(sum, seen, (gssize)p->row);
    return sum;
}

/* Fresh contents on either side, one call, what the other side holds then. */
static void tell_result(const struct copy_entry *e, struct copy_place *p, uint32_t seed)
{
    const struct real_cuda *cu = kit_cuda();
    uint32_t *words = g_new(uint32_t, p->bytes / 4);
    for (uint32_t i = 0; i < p->bytes / 4; i++)
        words[i] = mixed(i, seed);
    if (cu->cuMemcpyHtoD_v2(p->from, words, p->bytes) || cu->cuMemcpyHtoA_v2(p->array_from, 0, words, p->row))
        exit(93);
    memset(words, 0x5a, p->bytes);
    if (cu->cuMemcpyHtoD_v2(p->to, words, p->bytes) || cu->cuMemcpyHtoA_v2(p->array_to, 0, words, p->row))
        exit(93);
    CUresult result = e->call(p);
    GChecksum *sum = sum_of(p, (unsigned char *)words);
    kit_tell("%s %d %s", e->name, (int)result, g_checksum_get_string(sum));
    g_checksum_free(sum);
    g_free(words);
}

static int tell_results(int argc, char **argv)
{
    (void)argc;
    struct copy_place p = copy_place_new(ROWS * PITCH, PITCH, 2 * MIB, (CUmemorytype)atoi(argv[0]));
    for (gsize i = 0; i < G_N_ELEMENTS(copy_entries); i++)
        tell_result(&copy_entries[i], &p, (uint32_t)i);
    for (gsize i = 0; i < G_N_ELEMENTS(copy_entries_v1); i++)
        tell_result(&copy_entries_v1[i], &p, (uint32_t)i);
    return 0;
}

static void every_entry_does_what_the_driver_does(void)
{
    tells_the_same("tell_results", G_STRINGIFY(2));
    tells_the_same("tell_results", G_STRINGIFY(1)); /* descriptors that call a device's memory the host's */
}

/* ---- what is answered ---- */

static int tell_answers(int argc, char **argv)
{
    (void)argc, (void)argv;
    const struct real_cuda *cu = kit_cuda();
    CUmemcpyAttributes attributes = {.srcAccessOrder = CU_MEMCPY_SRC_ACCESS_ORDER_STREAM};
    size_t huge = SIZE_MAX, first = 0, failed = 7;
    kit_tell("%d", cu->cuMemcpyDtoD_v2(4096, 8192, MIB));
    kit_tell("%d", cu->cuMemcpy2D_v2(NULL));
    kit_tell("%d", cu->cuMemsetD8_v2(4096, 0, MIB));
    struct copy_place p = copy_place_new(4 * MIB, PITCH, 64 * KIB, CU_MEMORYTYPE_DEVICE);
    CUdeviceptr late = p.from + 3 * MIB;
    kit_tell("%d", cu->cuMemcpyDtoD_v2(0, 0, MIB));
    kit_tell("%d", cu->cuMemcpyDtoD_v2(p.to, p.from, 0));
    kit_tell("%d", cu->cuMemcpyDtoD_v2(p.to, p.from, huge));
    kit_tell("%d", cu->cuMemcpyAsync(p.to, p.from + 3 * MIB, 2 * MIB, p.stream));
    kit_tell("%d", cu->cuMemcpyHtoD_v2(p.to, NULL, 2 * MIB));
    kit_tell("%d", cu->cuMemcpyHtoDAsync_v2(p.to, copy_host(p.from + 3 * MIB), 2 * MIB, p.stream));
    kit_tell("%d", cu->cuMemcpyDtoH_v2(NULL, p.from, 2 * MIB));
    kit_tell("%d", cu->cuMemcpy2DAsync_v2(NULL, p.stream));
    kit_tell("%d", cu->cuMemcpy3D_v2(NULL));
    kit_tell("%d", cu->cuMemcpy3DPeer(NULL));
    CUDA_MEMCPY2D wide = p.rect;
    wide.WidthInBytes = huge;
    kit_tell("%d", cu->cuMemcpy2D_v2(&wide));
    wide = p.rect;
    wide.srcMemoryType = (CUmemorytype)77;
    kit_tell("%d", cu->cuMemcpy2D_v2(&wide));
    wide.srcMemoryType = CU_MEMORYTYPE_HOST;
    wide.srcHost = NULL;
    kit_tell("%d", cu->cuMemcpy2D_v2(&wide));
    CUDA_MEMCPY3D deep = p.box;
    deep.Depth = huge;
    kit_tell("%d", cu->cuMemcpy3D_v2(&deep));
    kit_tell("%d", cu->cuMemcpyBatchAsync(NULL, NULL, NULL, 5, &attributes, &first, 1, &failed, p.stream));
    kit_tell("%d", cu->cuMemcpyBatchAsync(&p.to, &p.from, &p.bytes, 1, NULL, NULL, 0, &failed, p.stream));
    kit_tell("%d",
             cu->cuMemcpyBatchAsync(&p.to, &p.from, &huge, 1, &attributes, &first, 1, &failed, p.stream));
    kit_tell("%d",
             cu->cuMemcpyBatchAsync(&p.to, &late, &p.bytes, 1, &attributes, &first, 1, &failed, p.stream));
    kit_tell("%zu", failed);
    kit_tell("%d",
             cu->cuMemcpyBatchAsync(&p.to, &p.from, &p.bytes, 1, &attributes, &first, 1, &failed, NULL));
    kit_tell("%d", cu->cuMemcpy3DBatchAsync(3, NULL, &failed, 0, p.stream));
    kit_tell("%d", cu->cuMemcpy3DWithAttributesAsync(NULL, 0, p.stream));
    kit_tell("%d", cu->cuMemsetD32_v2(p.to + 1, 1, MIB));
    kit_tell("%d", cu->cuMemsetD32Async(p.to, 1, huge, p.stream));
    kit_tell("%d", cu->cuMemsetD2D8_v2(p.to, 4, 1, 8, MIB));
    kit_tell("%d", cu->cuMemcpyPeer(p.to, NULL, p.from, NULL, 2 * MIB));
    kit_tell("%d", cu->cuStreamDestroy_v2(p.stream));
    kit_tell("%d", cu->cuMemcpyDtoDAsync_v2(p.to, p.from, 2 * MIB, p.stream));
    kit_tell("%d", cu->cuCtxSynchronize());
    return 0;
}

static void answers_are_the_drivers_own(void)
{
    tells_the_same("tell_answers", NULL);
}

/* ---- captures ---- */

static const char *const ways_into_a_graph[] = {
    "cuMemcpyAsync",        "cuMemcpyDtoDAsync_v2", "cuMemcpyHtoDAsync_v2",
    "cuMemcpyDtoHAsync_v2", "cuMemcpyPeerAsync",    "cuMemcpy2DAsync_v2",
    "cuMemcpy3DAsync_v2",   "cuMemsetD8Async",      "cuMemsetD2D32Async"};

/* Into debt first; then a capture of copies that would take minutes. */
static int capture(int argc, char **argv)
{
    (void)argc;
    const struct real_cuda *cu = kit_cuda();
    struct copy_place p = copy_place_new(1024 * MIB, PITCH, 64 * KIB, CU_MEMORYTYPE_DEVICE);
    size_t nodes = 0, expected = G_N_ELEMENTS(ways_into_a_graph) * 1000;
    CUgraph graph;
    for (int i = 0; i < 4; i++)
        if (cu->cuMemcpyDtoDAsync_v2(p.to, p.from, p.bytes, p.stream))
            return 1;
    if (cu->cuStreamBeginCapture_v2(p.stream, (CUstreamCaptureMode)atoi(argv[0])))
        return 2;
    for (gsize i = 0; i < expected; i++)
        if (copy_call_of(ways_into_a_graph[i / 1000])(&p))
            return 3;
    if (cu->cuStreamEndCapture(p.stream, &graph) || cu->cuGraphGetNodes(graph, NULL, &nodes) ||
        nodes != expected || cu->cuGraphDestroy(graph))
        return 4;
    return cu->cuMemsetD8Async(p.to, 1, p.bytes, p.stream) || cu->cuCtxSynchronize();
}

static void captures_are_neither_gated_nor_invalidated(void)
{
    static const char *const modes[] = {"0", "1", "2"};
    for (gsize i = 0; i < G_N_ELEMENTS(modes); i++) {
        struct kit *kit = kit_new(counted);
        kit_env(kit, "CUDA_DEVICE_SM_LIMIT", "40");
        g_free(kit_run(kit, "capture", modes[i], NULL));
        g_autofree struct region_view *view = view_of(kit);
        g_test_message("%" G_GUINT64_FORMAT " gated", view->launches[0]);
        g_assert_cmpuint(view->launches[0], ==, 5);
        kit_free(kit);
    }
}

/* A graph of copies is gated as a whole. */
static int launch_graph(int argc, char **argv)
{
    (void)argc, (void)argv;
    const struct real_cuda *cu = kit_cuda();
    struct copy_place p = copy_place_new(16 * MIB, PITCH, 64 * KIB, CU_MEMORYTYPE_DEVICE);
    CUgraph graph;
    CUgraphExec exec;
    if (cu->cuStreamBeginCapture_v2(p.stream, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL))
        return 1;
    for (int i = 0; i < 10; i++)
        if (cu->cuMemcpyDtoDAsync_v2(p.to, p.from, p.bytes, p.stream))
            return 2;
    if (cu->cuStreamEndCapture(p.stream, &graph) || cu->cuGraphInstantiateWithFlags(&exec, graph, 0))
        return 3;
    for (int i = 0; i < 20; i++)
        if (cu->cuGraphLaunch(exec, p.stream))
            return 4;
    return cu->cuCtxSynchronize() != CUDA_SUCCESS;
}

static void graph_of_copies_is_gated_as_a_whole(void)
{
    struct kit *kit = kit_new(counted);
    kit_env(kit, "CUDA_DEVICE_SM_LIMIT", "40");
    g_free(kit_run(kit, "launch_graph", NULL));
    g_autofree struct region_view *view = view_of(kit);
    g_assert_cmpuint(view->launches[0], ==, 20);
    g_assert_cmpuint(view->busy_ns[0], >=, 20 * UINT64_C(950000)); /* 10 times 16 MiB at 160 GB/s: 1.06 ms */
    kit_free(kit);
}

/* What a driver refuses while another stream is captured it refuses now. */
static int tell_beside_a_capture(int argc, char **argv)
{
    (void)argc, (void)argv;
    const struct real_cuda *cu = kit_cuda();
    struct copy_place p = copy_place_new(4 * MIB, PITCH, 2 * MIB, CU_MEMORYTYPE_DEVICE);
    for (int mode = 0; mode < 3; mode++)
        for (unsigned flags = 0; flags < 2; flags++)
            for (gsize i = 0; i < G_N_ELEMENTS(copy_entries); i++) {
                CUstream captured;
                CUgraph graph = NULL;
                if (cu->cuStreamCreate(&captured, flags) ||
                    cu->cuStreamBeginCapture_v2(captured, (CUstreamCaptureMode)mode))
                    return 1;
                CUresult one = copy_entries[i].call(&p), two = copy_entries[i].call(&p);
                CUresult end = cu->cuStreamEndCapture(captured, &graph);
                kit_tell("%s %d %u: %d %d %d", copy_entries[i].name, mode, flags, (int)one, (int)two,
                         (int)end);
                if (graph)
                    cu->cuGraphDestroy(graph);
                if (cu->cuStreamDestroy_v2(captured) || cu->cuCtxSynchronize())
                    return 2;
            }
    return 0;
}

static void copies_beside_a_capture_keep_their_answers(void)
{
    tells_the_same("tell_beside_a_capture", NULL);
}

/* ---- what is not gated ---- */

/* Small ones now and then, and any number of copies to and from the host. */
static int copy_ungated(int argc, char **argv)
{
    (void)argc, (void)argv;
    const struct real_cuda *cu = kit_cuda();
    struct copy_place p = copy_place_new(16 * MIB, PITCH, 2 * MIB, CU_MEMORYTYPE_DEVICE);
    void *pinned, *pageable = g_malloc0(16 * MIB);
    if (cu->cuMemHostAlloc(&pinned, 16 * MIB, 0))
        return 1;
    for (int round = 0; round < 10; round++) {
        for (int i = 0; i < 8; i++)
            if (cu->cuMemcpyDtoDAsync_v2(p.to, p.from, 64 * KIB, p.stream) ||
                cu->cuMemsetD8Async(p.to, 0, 64 * KIB, p.stream))
                return 2;
        g_usleep(10000);
    }
    for (int i = 0; i < 50; i++)
        if (cu->cuMemcpyHtoDAsync_v2(p.to, pinned, 16 * MIB, p.stream) ||
            cu->cuMemcpyDtoHAsync_v2(pageable, p.from, 16 * MIB, p.stream) ||
            cu->cuMemcpyAsync(p.to, (CUdeviceptr)(uintptr_t)pinned, 16 * MIB, p.stream) ||
            cu->cuMemcpy(p.to, (CUdeviceptr)(uintptr_t)pageable, 16 * MIB))
            return 3;
    for (int i = 0; i < 1000; i++)
        if (cu->cuMemcpyHtoDAsync_v2(p.to, pinned, 4 * KIB, p.stream) ||
            cu->cuMemcpyAsync((CUdeviceptr)(uintptr_t)pinned, p.from, 4 * KIB, p.stream))
            return 4;
    return cu->cuCtxSynchronize() != CUDA_SUCCESS;
}

static void small_ones_and_copies_across_the_bus_are_not_gated(void)
{
    struct kit *kit = kit_new(counted);
    kit_env(kit, "CUDA_DEVICE_SM_LIMIT", "5");
    g_free(kit_run(kit, "copy_ungated", NULL));
    g_autofree struct region_view *view = view_of(kit);
    g_assert_cmpuint(view->launches[0], ==, 0);
    g_assert_cmpuint(view->busy_ns[0], ==, 0);
    g_assert_cmpuint(view->throttled_ns[0], ==, 0);
    kit_free(kit);
}

/* A copy between host and card that is hidden among others does not answer for them. */
static int hide_among_host_copies(int argc, char **argv)
{
    (void)argc, (void)argv;
    const struct real_cuda *cu = kit_cuda();
    struct copy_place p = copy_place_new(16 * MIB, PITCH, 64 * KIB, CU_MEMORYTYPE_DEVICE);
    void *pinned;
    if (cu->cuMemHostAlloc(&pinned, 4 * KIB, 0))
        return 1;
    for (int i = 0; i < 20000; i++)
        if (i % 32 == 31 ? cu->cuMemcpyHtoDAsync_v2(p.to, pinned, 4 * KIB, p.stream)
                         : cu->cuMemcpyAsync(p.to, p.from, 1000 * KIB, p.stream))
            return 2;
    return cu->cuCtxSynchronize() != CUDA_SUCCESS;
}

static void no_small_copy_answers_for_the_others(void)
{
    struct kit *kit = kit_new(counted);
    kit_env(kit, "CUDA_DEVICE_SM_LIMIT", "60");
    g_free(kit_run(kit, "hide_among_host_copies", NULL));
    g_autofree struct region_view *view = view_of(kit);
    g_test_message("%" G_GUINT64_FORMAT " of 19375 gated", view->launches[0]);
    g_assert_cmpuint(view->launches[0], >=, 19375 * 9 / 10);
    kit_free(kit);
}

/* ---- a limit that comes later ---- */

/* Copies of 0.4 ms each, and waits for them. */
static int copy_on_request(int argc, char **argv)
{
    (void)argc;
    copy_call *call = copy_call_of(argv[0]);
    struct copy_place p = copy_place_new(64 * MIB, PITCH, 64 * KIB, CU_MEMORYTYPE_DEVICE);
    for (const char *line; (line = kit_hear()) != NULL;) {
        for (int i = 0; i < atoi(line); i++)
            if (call(&p))
                return 1;
        if (kit_cuda()->cuCtxSynchronize())
            return 2;
        kit_tell("%s", line);
    }
    return 0;
}

static uint64_t waits_of(struct kit_process *p, struct region_ext *ext, const char *copies)
{
    uint64_t before = atomic_load(&ext->devices[0].compute.waits);
    kit_say(p, copies);
    g_free(kit_line(p));
    return atomic_load(&ext->devices[0].compute.waits) - before;
}

static void limit_that_comes_later_counts(gconstpointer entry)
{
    struct kit *kit = kit_new(counted);
    struct kit_process *p = kit_start(kit, "copy_on_request", entry, NULL);
    kit_say(p, "1");
    g_free(kit_line(p));
    int fd = open(kit_region(kit), O_RDWR | O_CLOEXEC);
    struct region_base *base = mmap(NULL, REGION_FILE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    g_assert_true(base != MAP_FAILED);
    close(fd);
    struct region_ext *ext = (void *)((char *)base + REGION_EXT_OFFSET);
    g_assert_cmpuint(waits_of(p, ext, "100"), ==, 0);
    __atomic_store_n(&base->sm_limit[0], 30, __ATOMIC_SEQ_CST);
    g_assert_cmpuint(waits_of(p, ext, "150"), >, 5);
    __atomic_store_n(&base->sm_limit[0], 100, __ATOMIC_SEQ_CST);
    waits_of(p, ext, "20");
    g_assert_cmpuint(waits_of(p, ext, "100"), ==, 0);
    munmap(base, REGION_FILE_BYTES);
    kit_kill(p);
    kit_finish(p, NULL, NULL);
    kit_free(kit);
}

/* ---- beside a neighbour ---- */

static int flood(int argc, char **argv)
{
    copy_call *call = copy_call_of(argv[0]);
    struct copy_place p = copy_place_new(strtoull(argv[1], NULL, 10), PITCH, 2 * MIB, CU_MEMORYTYPE_DEVICE);
    (void)argc;
    kit_tell("ready");
    for (;;)
        if (call(&p) != CUDA_SUCCESS)
            return 1;
}

static int launch_kernels(int argc, char **argv)
{
    (void)argc, (void)argv;
    kit_context(0);
    CUfunction f = kernel_of("sim_200us");
    CUstream stream = stream_new();
    kit_tell("ready");
    while (kit_cuda()->cuLaunchKernel(f, 8, 1, 1, 32, 1, 1, 0, stream, NULL, NULL) == CUDA_SUCCESS)
        ;
    return 1;
}

struct row {
    const char *entry;
    size_t bytes;
};

/* Two slices of one card, with a turn board between them. */
static struct kit *tenant_new(struct kit *beside, unsigned percent, const char *board)
{
    struct kit *kit = kit_new(counted);
    struct grant g = {.policy = GRANT_POLICY_FORCE, .priority = 1, .n_devices = 1};
    if (beside) {
        kit_env(kit, "HAMI_SIM", "%s", kit_get_env(beside, "HAMI_SIM"));
        kit_env(kit, "HAMI_SIM_STATE", "%s", kit_get_env(beside, "HAMI_SIM_STATE"));
    }
    g_snprintf(g.id, sizeof g.id, "tenant%u", percent);
    g_strlcpy(g.devices[0].uuid, kit_uuid(kit, 0), sizeof g.devices[0].uuid);
    g_strlcpy(g.devices[0].board, board, sizeof g.devices[0].board);
    g.devices[0].cores_pct = percent;
    kit_grant(kit, &g);
    return kit;
}

static uint64_t now_ns(void)
{
    return (uint64_t)g_get_monotonic_time() * 1000;
}

static double share(const struct kit_process *p, uint64_t from, uint64_t to)
{
    return 100.0 * (double)sim_inspect_busy_ns(0, UINT32_MAX, kit_pid(p), from, to) / (double)(to - from);
}

static void await_ready(struct kit_process *p)
{
    g_autofree char *line = kit_line(p);
    g_assert_cmpstr(line, ==, "ready");
}

/* In real time, so that a busy host takes something from both: never more than the share, and what there is
 * as it was divided. Exactly, alone: copy_share_test.c. Each case in a process of its own, for a process
 * looks at one machine. */
static bool is_fair(double copies, double kernels)
{
    return copies <= 31 && kernels <= 71 && copies >= kernels * 30 / 70 * 0.8 && kernels >= 50;
}

static void shares_beside_a_neighbour(const struct row *row)
{
    g_autofree char *bytes = g_strdup_printf("%zu", row->bytes), *empty = g_malloc0(BOARD_BYTES);
    struct kit *copies, *kernels;
    char error[256];
    double got = 0, other = 0;
    g_autofree char *folder = g_dir_make_tmp("hami-board-XXXXXX", NULL);
    g_autofree char *board = g_build_filename(folder, "board", NULL);
    g_assert_true(g_file_set_contents(board, empty, BOARD_BYTES, NULL));
    copies = tenant_new(NULL, 30, board);
    kernels = tenant_new(copies, 70, board);
    struct kit_process *a = kit_start(copies, "flood", row->entry, bytes, NULL);
    struct kit_process *b = kit_start(kernels, "launch_kernels", NULL);
    await_ready(a);
    await_ready(b);
    g_assert_cmpint(sim_state_open_path(kit_get_env(copies, "HAMI_SIM_STATE"), error, sizeof error), ==, 0);
    for (int tries = 0; tries < 10 && !is_fair(got, other); tries++) {
        g_usleep(500000);
        uint64_t from = now_ns();
        g_usleep(1500000);
        uint64_t to = now_ns();
        got = share(a, from, to);
        other = share(b, from, to);
        g_test_message("%s: %.2f %% beside kernels with %.2f %%", row->entry, got, other);
    }
    kit_free(kernels);
    kit_free(copies);
    g_unlink(board);
    g_rmdir(folder);
    g_assert_true(is_fair(got, other));
}

static void shares_hold_beside_a_neighbour(gconstpointer data)
{
    if (!g_test_subprocess()) {
        g_test_trap_subprocess(NULL, 0, 0);
        g_test_trap_assert_passed();
        return;
    }
    shares_beside_a_neighbour(data);
}

int main(int argc, char **argv)
{
    static const struct kit_body bodies[] = {{"tell_results", tell_results},
                                             {"tell_answers", tell_answers},
                                             {"capture", capture},
                                             {"launch_graph", launch_graph},
                                             {"tell_beside_a_capture", tell_beside_a_capture},
                                             {"copy_ungated", copy_ungated},
                                             {"hide_among_host_copies", hide_among_host_copies},
                                             {"copy_on_request", copy_on_request},
                                             {"flood", flood},
                                             {"launch_kernels", launch_kernels},
                                             {0}};
    static const struct row rows[] = {{"cuMemcpyDtoDAsync_v2", 64 * MIB}, {"cuMemcpyDtoD_v2", 16 * MIB},
                                      {"cuMemcpyAsync", 64 * MIB},        {"cuMemcpy2DAsync_v2", 64 * MIB},
                                      {"cuMemcpyHtoDAsync_v2", 64 * MIB}, {"cuMemsetD8Async", 64 * MIB}};
    if (kit_is_child(argc, argv))
        return kit_child(argc, argv, bodies);
    g_test_init(&argc, &argv, NULL);
#define TEST(name) g_test_add_func("/copy/" #name, name)
    TEST(every_entry_does_what_the_driver_does);
    TEST(answers_are_the_drivers_own);
    TEST(captures_are_neither_gated_nor_invalidated);
    TEST(graph_of_copies_is_gated_as_a_whole);
    TEST(copies_beside_a_capture_keep_their_answers);
    TEST(small_ones_and_copies_across_the_bus_are_not_gated);
    TEST(no_small_copy_answers_for_the_others);
    g_test_add_data_func("/copy/limit_that_comes_later_counts/cuMemcpyAsync", "cuMemcpyAsync",
                         limit_that_comes_later_counts);
    g_test_add_data_func("/copy/limit_that_comes_later_counts/cuMemsetD8_v2", "cuMemsetD8_v2",
                         limit_that_comes_later_counts);
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autofree char *path = g_strdup_printf("/copy/shares_hold_beside_a_neighbour/%s", rows[i].entry);
        g_test_add_data_func(path, &rows[i], shares_hold_beside_a_neighbour);
    }
    return g_test_run();
}
