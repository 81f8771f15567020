/* SPDX-License-Identifier: Apache-2.0
 *
 * Every way of launching is gated, counted and charged alike, and none is
 * changed. Looked at through the region's figures and the number of waits, not
 * through time.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "compute_kernel.h"
#include "region/region.h"

enum { LAUNCHES = 60 };

/* ---- all entries ---- */

static CUgraphExec graph_of(CUfunction f, CUstream stream)
{
    const struct real_cuda *cu = kit_cuda();
    CUgraph graph;
    CUgraphExec exec;
    if (cu->cuStreamBeginCapture_v2(stream, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL) ||
        cu->cuLaunchKernel(f, 8, 1, 1, 32, 1, 1, 0, stream, NULL, NULL) ||
        cu->cuStreamEndCapture(stream, &graph) || cu->cuGraphInstantiateWithFlags(&exec, graph, 0))
        exit(96);
    return exec;
}

static CUresult launch_by(const char *entry, CUfunction f, CUgraphExec exec, CUstream stream)
{
    const struct real_cuda *cu = kit_cuda();
    CUlaunchConfig config = {.gridDimX = 8,
                             .gridDimY = 1,
                             .gridDimZ = 1,
                             .blockDimX = 32,
                             .blockDimY = 1,
                             .blockDimZ = 1,
                             .hStream = stream};
    CUDA_LAUNCH_PARAMS multi = {f, 8, 1, 1, 32, 1, 1, 0, stream, NULL};
#define BY(name, call)                                                                                       \
    if (strcmp(entry, #name) == 0)                                                                           \
        return cu->name ? cu->name call : CUDA_ERROR_NOT_FOUND;
    BY(cuLaunchKernel, (f, 8, 1, 1, 32, 1, 1, 0, stream, NULL, NULL))
    BY(cuLaunchKernel_ptsz, (f, 8, 1, 1, 32, 1, 1, 0, NULL, NULL, NULL))
    BY(cuLaunchKernelEx, (&config, f, NULL, NULL))
    BY(cuLaunchKernelEx_ptsz, (&config, f, NULL, NULL))
    BY(cuLaunchCooperativeKernel, (f, 8, 1, 1, 32, 1, 1, 0, stream, NULL))
    BY(cuLaunchCooperativeKernel_ptsz, (f, 8, 1, 1, 32, 1, 1, 0, stream, NULL))
    BY(cuLaunchCooperativeKernelMultiDevice, (&multi, 1, 0))
    BY(cuLaunch, (f))
    BY(cuLaunchGrid, (f, 8, 1))
    BY(cuLaunchGridAsync, (f, 8, 1, stream))
    BY(cuGraphLaunch, (exec, stream))
    BY(cuGraphLaunch_ptsz, (exec, NULL))
#undef BY
    return CUDA_ERROR_UNKNOWN;
}

static int launch_many(int argc, char **argv)
{
    (void)argc;
    const struct real_cuda *cu = kit_cuda();
    kit_context(0);
    CUfunction f = kernel_of("sim_500us");
    CUstream stream = stream_new();
    CUgraphExec exec = strncmp(argv[0], "cuGraph", 7) == 0 ? graph_of(f, stream) : NULL;
    if (cu->cuFuncSetBlockShape)
        cu->cuFuncSetBlockShape(f, 32, 1, 1);
    for (int i = 0; i < LAUNCHES; i++) {
        CUresult result = launch_by(argv[0], f, exec, stream);
        if (result != CUDA_SUCCESS) {
            kit_tell("%d", result);
            return 1;
        }
    }
    return cu->cuCtxSynchronize() != CUDA_SUCCESS;
}

static void is_gated(const void *data)
{
    const char *entry = data;
    struct kit *kit = kit_new(NULL);
    struct region_view *view = g_new0(struct region_view, 1);
    kit_env(kit, "CUDA_DEVICE_SM_LIMIT", "50");
    g_free(kit_run(kit, "launch_many", entry, NULL));
    g_assert_cmpint(region_read(kit_region(kit), view), ==, 0);
    g_test_message("%s: %" G_GUINT64_FORMAT " launches, %.1f ms charged, %.1f ms waited", entry,
                   view->launches[0], (double)view->busy_ns[0] / 1e6, (double)view->throttled_ns[0] / 1e6);
    g_assert_cmpuint(view->launches[0], ==, LAUNCHES);
    g_assert_cmpuint(view->busy_ns[0], >=, LAUNCHES * 450000u);
    g_assert_cmpuint(view->busy_ns[0], <=, LAUNCHES * 750000u);
    g_assert_cmpuint(view->throttled_ns[0], >, 0);
    g_free(view);
    kit_free(kit);
}

/* ---- answers ---- */

static int tell_answers(int argc, char **argv)
{
    (void)argc, (void)argv;
    const struct real_cuda *cu = kit_cuda();
    kit_tell("%d", cu->cuLaunchKernel(NULL, 1, 1, 1, 1, 1, 1, 0, NULL, NULL, NULL));
    kit_context(0);
    CUfunction f = kernel_of("sim_200us");
    kit_tell("%d", cu->cuLaunchKernel(NULL, 1, 1, 1, 1, 1, 1, 0, NULL, NULL, NULL));
    kit_tell("%d", cu->cuLaunchKernel(f, 0, 1, 1, 1, 1, 1, 0, NULL, NULL, NULL));
    kit_tell("%d", cu->cuLaunchKernel(f, 1, 1, 1, 4096, 1, 1, 0, NULL, NULL, NULL));
    kit_tell("%d", cu->cuLaunchKernel(f, 65535, 65535, 65535, 1, 1, 1, 0, NULL, NULL, NULL));
    kit_tell("%d", cu->cuLaunchKernel(f, 0x7fffffff, 65535, 65535, 1, 1, 1, 0, NULL, NULL, NULL));
    kit_tell("%d", cu->cuLaunchKernelEx(NULL, f, NULL, NULL));
    kit_tell("%d", cu->cuGraphLaunch(NULL, NULL));
    kit_tell("%d", cu->cuLaunchKernel(f, 1, 1, 1, 1, 1, 1, 0, NULL, NULL, NULL));
    kit_tell("%d", cu->cuCtxSynchronize());
    kit_tell("%d", cu->cuStreamSynchronize(NULL));
    return 0;
}

static void answers_are_the_drivers_own(void)
{
    struct kit *bare = kit_new(NULL), *limited = kit_new(NULL);
    kit_no_preload(bare);
    kit_env(limited, "CUDA_DEVICE_SM_LIMIT", "30");
    g_autofree char *expected = kit_run(bare, "tell_answers", NULL);
    g_autofree char *got = kit_run(limited, "tell_answers", NULL);
    g_assert_cmpstr(got, ==, expected);
    kit_free(bare);
    kit_free(limited);
}

static int launch_and_free_things(int argc, char **argv)
{
    (void)argc, (void)argv;
    const struct real_cuda *cu = kit_cuda();
    for (int round = 0; round < 20; round++) {
        CUcontext ctx;
        if (cu->cuInit(0) || cu->cuCtxCreate_v2(&ctx, 0, 0))
            return 1;
        CUfunction f = kernel_of("sim_arg");
        for (int s = 0; s < 6; s++) {
            CUstream stream = stream_new();
            for (int i = 0; i < 5; i++)
                if (launch_ns(f, 50000, stream))
                    return 2;
            if (s % 2 && cu->cuStreamSynchronize(stream))
                return 3;
            if (cu->cuStreamDestroy_v2(stream))
                return 4;
        }
        if (launch_ns(f, 50000, NULL) || cu->cuCtxDestroy_v2(ctx))
            return 5;
    }
    CUcontext primary;
    for (int round = 0; round < 10; round++) {
        if (cu->cuDevicePrimaryCtxRetain(&primary, 0) || cu->cuCtxSetCurrent(primary))
            return 6;
        CUfunction f = kernel_of("sim_arg");
        if (launch_ns(f, 50000, NULL) || launch_ns(f, 50000, NULL) || cu->cuDevicePrimaryCtxReset_v2(0))
            return 7;
    }
    return 0;
}

static void streams_contexts_and_resets_end_with_work_unmeasured(void)
{
    struct kit *kit = kit_new(NULL);
    kit_env(kit, "CUDA_DEVICE_SM_LIMIT", "60");
    g_free(kit_run(kit, "launch_and_free_things", NULL));
    kit_free(kit);
}

/* ---- threads ---- */

static gpointer flood(gpointer f)
{
    kit_context(0);
    CUstream stream = stream_new();
    for (int i = 0; i < 100; i++)
        if (launch_ns((CUfunction)f, 200000, stream))
            return GINT_TO_POINTER(1);
    return GINT_TO_POINTER(kit_cuda()->cuStreamSynchronize(stream) != CUDA_SUCCESS);
}

static int flood_from_threads(int argc, char **argv)
{
    (void)argc, (void)argv;
    kit_context(0);
    CUfunction f = kernel_of("sim_arg");
    GThread *threads[4];
    int bad = 0;
    for (int i = 0; i < 4; i++)
        threads[i] = g_thread_new("flood", flood, f);
    for (int i = 0; i < 4; i++)
        bad += GPOINTER_TO_INT(g_thread_join(threads[i]));
    return bad;
}

static void threads_share_the_credit_of_their_process(void)
{
    struct kit *kit = kit_new(NULL);
    struct region_view *view = g_new0(struct region_view, 1);
    kit_env(kit, "CUDA_DEVICE_SM_LIMIT", "50");
    g_free(kit_run(kit, "flood_from_threads", NULL));
    g_assert_cmpint(region_read(kit_region(kit), view), ==, 0);
    g_test_message("%" G_GUINT64_FORMAT " launches, %.1f ms charged of 80", view->launches[0],
                   (double)view->busy_ns[0] / 1e6);
    g_assert_cmpuint(view->launches[0], ==, 400);
    g_assert_cmpuint(view->busy_ns[0], >=, 76000000);
    g_assert_cmpuint(view->busy_ns[0], <=, 100000000);
    g_free(view);
    kit_free(kit);
}

int main(int argc, char **argv)
{
    static const struct kit_body bodies[] = {{"launch_many", launch_many},
                                             {"tell_answers", tell_answers},
                                             {"launch_and_free_things", launch_and_free_things},
                                             {"flood_from_threads", flood_from_threads},
                                             {0}};
    static const char *const entries[] = {"cuLaunchKernel",
                                          "cuLaunchKernel_ptsz",
                                          "cuLaunchKernelEx",
                                          "cuLaunchKernelEx_ptsz",
                                          "cuLaunchCooperativeKernel",
                                          "cuLaunchCooperativeKernel_ptsz",
                                          "cuLaunchCooperativeKernelMultiDevice",
                                          "cuLaunch",
                                          "cuLaunchGrid",
                                          "cuLaunchGridAsync",
                                          "cuGraphLaunch",
                                          "cuGraphLaunch_ptsz"};
    if (kit_is_child(argc, argv))
        return kit_child(argc, argv, bodies);
    g_test_init(&argc, &argv, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(entries); i++) {
        g_autofree char *path = g_strdup_printf("/launch/is_gated_and_charged_by/%s", entries[i]);
        g_test_add_data_func(path, entries[i], is_gated);
    }
    g_test_add_func("/launch/answers_are_the_drivers_own", answers_are_the_drivers_own);
    g_test_add_func("/launch/streams_contexts_and_resets_end_with_work_unmeasured",
                    streams_contexts_and_resets_end_with_work_unmeasured);
    g_test_add_func("/launch/threads_share_the_credit_of_their_process",
                    threads_share_the_credit_of_their_process);
    return g_test_run();
}
