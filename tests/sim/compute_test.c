/* SPDX-License-Identifier: Apache-2.0
 *
 * Launches, streams, events and their times in virtual time, where every
 * figure is exact.
 */
#include "machine.h"

#include <dlfcn.h>
#include <string.h>

static CUmodule module;

static CUfunction function(const char *name)
{
    CUfunction f;
    assert_ok(cuModuleGetFunction(&f, module, name));
    return f;
}

static void launch(CUfunction f, CUstream s)
{
    assert_ok(cuLaunchKernel(f, 1, 1, 1, 32, 1, 1, 0, s, NULL, NULL));
}

static double elapsed_us(CUevent a, CUevent b)
{
    float ms;
    assert_ok(cuEventElapsedTime(&ms, a, b));
    return (double)ms * 1000;
}

static void start(CUevent *a, CUevent *b, CUstream s)
{
    assert_ok(cuCtxSynchronize());
    assert_ok(cuEventCreate(a, 0));
    assert_ok(cuEventCreate(b, 0));
    assert_ok(cuEventRecord(*a, s));
}

static double stop(CUevent a, CUevent b, CUstream s)
{
    assert_ok(cuEventRecord(b, s));
    assert_ok(cuEventSynchronize(b));
    double us = elapsed_us(a, b);
    assert_ok(cuEventDestroy_v2(a));
    assert_ok(cuEventDestroy_v2(b));
    return us;
}

static void a_kernel_lasts_as_long_as_its_name_says(void)
{
    static const struct {
        const char *name;
        double us;
    } rows[] = {{"sim_300us", 300}, {"sim_20000ns", 20}, {"sim_5ms", 5000}, {"sim_7us_again", 7}};
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++) {
        CUevent a, b;
        start(&a, &b, NULL);
        launch(function(rows[i].name), NULL);
        g_assert_cmpfloat_with_epsilon(stop(a, b, NULL), rows[i].us, 1e-3 * rows[i].us);
    }
}

static void a_kernel_lasts_as_long_as_its_first_parameter_says(void)
{
    guint64 ns = 123000;
    void *parameters[] = {&ns, NULL};
    size_t size = sizeof(ns);
    void *extra[] = {(void *)1, &ns, (void *)2, &size, NULL};
    CUfunction f = function("sim_arg");
    for (unsigned form = 0; form < 2; form++) {
        CUevent a, b;
        start(&a, &b, NULL);
        assert_ok(cuLaunchKernel(f, 1, 1, 1, 1, 1, 1, 0, NULL, form == 0 ? parameters : NULL,
                                 form == 1 ? extra : NULL));
        g_assert_cmpfloat_with_epsilon(stop(a, b, NULL), 123, 0.01);
    }
    assert_ok(cuLaunchKernel(f, 1, 1, 1, 1, 1, 1, 0, NULL, NULL, NULL)); /* no parameters at all */
}

static void a_kernel_without_a_price_is_priced_by_its_waves(void)
{
    CUevent a, b;
    int sms;
    assert_ok(cuDeviceGetAttribute(&sms, CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, 0));
    start(&a, &b, NULL);
    assert_ok(cuLaunchKernel(function("_Z3fooPf"), (unsigned)sms * 3, 1, 1, 32, 1, 1, 0, NULL, NULL, NULL));
    g_assert_cmpfloat_with_epsilon(stop(a, b, NULL), 20 + 3 * 10, 0.01); /* kernel=20us, wave=10us */
    start(&a, &b, NULL);
    assert_ok(
        cuLaunchKernel(function("sim_40us_per_block"), (unsigned)sms, 1, 1, 32, 1, 1, 0, NULL, NULL, NULL));
    g_assert_cmpfloat_with_epsilon(stop(a, b, NULL), 40, 0.01);
}

static void a_program_can_price_its_next_launch(void)
{
    void (*next)(uint64_t) = NULL;
    CUresult (*of)(CUfunction, uint64_t) = NULL;
    *(void **)&next = dlsym(RTLD_DEFAULT, "hami_sim_next_kernel_ns");
    *(void **)&of = dlsym(RTLD_DEFAULT, "hami_sim_kernel_ns");
    g_assert_nonnull(next);
    g_assert_nonnull(of);
    CUevent a, b;
    CUfunction f = function("whatever");
    start(&a, &b, NULL);
    next(777000);
    launch(f, NULL);
    g_assert_cmpfloat_with_epsilon(stop(a, b, NULL), 777, 0.1);
    assert_ok(of(f, 55000));
    start(&a, &b, NULL);
    launch(f, NULL);
    g_assert_cmpfloat_with_epsilon(stop(a, b, NULL), 55, 0.1);
}

static void launches_in_all_forms_take_the_same_time(void)
{
    CUfunction f = function("sim_100us");
    CUlaunchConfig config = {
        .gridDimX = 1, .gridDimY = 1, .gridDimZ = 1, .blockDimX = 1, .blockDimY = 1, .blockDimZ = 1};
    CUstream s;
    assert_ok(cuStreamCreate(&s, CU_STREAM_NON_BLOCKING));
    for (unsigned form = 0; form < 9; form++) {
        CUevent a, b;
        CUstream on = form == 6 ? ((CUstream)2) : form >= 7 ? s : NULL;
        start(&a, &b, on);
        CUDA_LAUNCH_PARAMS multi = {f, 1, 1, 1, 1, 1, 1, 0, s, NULL};
        switch (form) {
        case 0:
            launch(f, NULL);
            break;
        case 1:
            assert_ok(cuLaunchKernelEx(&config, f, NULL, NULL));
            break;
        case 2:
            assert_ok(cuLaunchCooperativeKernel(f, 1, 1, 1, 1, 1, 1, 0, NULL, NULL));
            break;
        case 3:
            assert_ok(cuFuncSetBlockShape(f, 1, 1, 1));
            assert_ok(cuLaunch(f));
            break;
        case 4:
            assert_ok(cuLaunchGrid(f, 1, 1));
            break;
        case 5:
            assert_ok(cuLaunchGridAsync(f, 1, 1, NULL));
            break;
        case 6:
            assert_ok(cuLaunchKernel_ptsz(f, 1, 1, 1, 1, 1, 1, 0, NULL, NULL, NULL));
            break;
        case 7:
            config.hStream = s;
            assert_ok(cuLaunchKernelEx_ptsz(&config, f, NULL, NULL));
            break;
        default:
            assert_ok(cuLaunchCooperativeKernelMultiDevice(&multi, 1, 0));
            break;
        }
        g_assert_cmpfloat_with_epsilon(stop(a, b, on), 100, 0.1);
    }
    assert_ok(cuStreamDestroy_v2(s));
}

static void bad_launches_are_refused(void)
{
    CUfunction f = function("sim_1us");
    void *p[] = {NULL};
    g_assert_cmpint(cuLaunchKernel(NULL, 1, 1, 1, 1, 1, 1, 0, NULL, NULL, NULL), ==,
                    CUDA_ERROR_INVALID_HANDLE);
    g_assert_cmpint(cuLaunchKernel(f, 0, 1, 1, 1, 1, 1, 0, NULL, NULL, NULL), ==, CUDA_ERROR_INVALID_VALUE);
    g_assert_cmpint(cuLaunchKernel(f, 1, 1, 1, 2048, 1, 1, 0, NULL, NULL, NULL), ==,
                    CUDA_ERROR_INVALID_VALUE);
    g_assert_cmpint(cuLaunchKernel(f, 1, 1, 1, 1, 1, 1, 0, NULL, p, p), ==, CUDA_ERROR_INVALID_VALUE);
    g_assert_cmpint(cuLaunchKernelEx(NULL, f, NULL, NULL), ==, CUDA_ERROR_INVALID_VALUE);
}

static void streams_share_one_engine_in_order_of_submission(void)
{
    CUstream s[2];
    CUevent a, b;
    for (unsigned i = 0; i < 2; i++)
        assert_ok(cuStreamCreate(&s[i], CU_STREAM_NON_BLOCKING));
    start(&a, &b, s[0]);
    for (unsigned i = 0; i < 10; i++)
        launch(function("sim_10us"), s[i % 2]);
    g_assert_cmpfloat_with_epsilon(stop(a, b, s[1]), 100, 0.1);
    for (unsigned i = 0; i < 2; i++)
        assert_ok(cuStreamDestroy_v2(s[i]));
}

static void a_stream_waits_for_an_event_of_another(void)
{
    CUstream s[2];
    CUevent a, b, mark;
    for (unsigned i = 0; i < 2; i++)
        assert_ok(cuStreamCreate(&s[i], CU_STREAM_NON_BLOCKING));
    assert_ok(cuEventCreate(&mark, CU_EVENT_DISABLE_TIMING));
    start(&a, &b, s[1]);
    launch(function("sim_50us"), s[0]);
    assert_ok(cuEventRecord(mark, s[0]));
    assert_ok(cuStreamWaitEvent(s[1], mark, 0));
    g_assert_cmpfloat_with_epsilon(stop(a, b, s[1]), 50, 0.1);
    assert_ok(cuEventDestroy_v2(mark));
    for (unsigned i = 0; i < 2; i++)
        assert_ok(cuStreamDestroy_v2(s[i]));
}

static void queries_say_not_ready_until_the_work_has_ended(void)
{
    CUevent e;
    assert_ok(cuEventCreate(&e, 0));
    assert_ok(cuEventQuery(e)); /* never recorded: nothing to wait for */
    launch(function("sim_1ms"), NULL);
    assert_ok(cuEventRecord(e, NULL));
    g_assert_cmpint(cuEventQuery(e), ==, CUDA_ERROR_NOT_READY);
    g_assert_cmpint(cuStreamQuery(NULL), ==, CUDA_ERROR_NOT_READY);
    assert_ok(cuStreamSynchronize(NULL));
    assert_ok(cuEventQuery(e));
    assert_ok(cuStreamQuery(NULL));
    assert_ok(cuEventDestroy_v2(e));
    g_assert_cmpint(cuEventQuery(e), ==, CUDA_ERROR_INVALID_HANDLE);
}

static void the_legacy_stream_waits_for_blocking_streams_only(void)
{
    CUstream blocking, free;
    CUevent a, b;
    assert_ok(cuStreamCreate(&blocking, 0));
    assert_ok(cuStreamCreate(&free, CU_STREAM_NON_BLOCKING));
    start(&a, &b, NULL);
    launch(function("sim_1ms"), free);
    g_assert_cmpfloat_with_epsilon(stop(a, b, NULL), 0, 0.1);
    start(&a, &b, NULL);
    launch(function("sim_1ms"), blocking);
    g_assert_cmpfloat_with_epsilon(stop(a, b, NULL), 1000, 0.1);
    assert_ok(cuStreamDestroy_v2(blocking));
    assert_ok(cuStreamDestroy_v2(free));
}

static int order[3], n_order;

static void note(void *arg)
{
    order[n_order] = GPOINTER_TO_INT(arg);
    g_atomic_int_inc(&n_order);
}

static void note_stream(CUstream s, CUresult r, void *arg)
{
    (void)s;
    g_assert_cmpint(r, ==, CUDA_SUCCESS);
    note(arg);
}

static void host_functions_run_in_stream_order(void)
{
    CUstream s;
    CUevent e;
    n_order = 0;
    assert_ok(cuStreamCreate(&s, 0));
    assert_ok(cuEventCreate(&e, 0));
    launch(function("sim_1ms"), s);
    assert_ok(cuLaunchHostFunc(s, note, GINT_TO_POINTER(1)));
    launch(function("sim_1ms"), s);
    assert_ok(cuStreamAddCallback(s, note_stream, GINT_TO_POINTER(2), 0));
    assert_ok(cuEventRecord(e, s));
    assert_ok(cuLaunchHostFunc(s, note, GINT_TO_POINTER(3)));
    assert_ok(cuEventSynchronize(e));
    g_assert_cmpint(g_atomic_int_get(&n_order), >=, 2);
    assert_ok(cuStreamSynchronize(s));
    g_assert_cmpint(g_atomic_int_get(&n_order), ==, 3);
    for (int i = 0; i < 3; i++)
        g_assert_cmpint(order[i], ==, i + 1);
    assert_ok(cuEventDestroy_v2(e));
    assert_ok(cuStreamDestroy_v2(s));
}

static void a_stream_waits_for_a_value_another_writes(void)
{
    CUstream s[2];
    CUdeviceptr word;
    for (unsigned i = 0; i < 2; i++)
        assert_ok(cuStreamCreate(&s[i], CU_STREAM_NON_BLOCKING));
    assert_ok(cuMemAlloc_v2(&word, 8));
    assert_ok(cuMemsetD8_v2(word, 0, 8));
    assert_ok(cuStreamWaitValue32(s[0], word, 5, CU_STREAM_WAIT_VALUE_GEQ));
    g_assert_cmpint(cuStreamQuery(s[0]), ==, CUDA_ERROR_NOT_READY);
    assert_ok(cuStreamWriteValue32(s[1], word, 7, 0));
    assert_ok(cuStreamSynchronize(s[0]));
    assert_ok(cuMemFree_v2(word));
    for (unsigned i = 0; i < 2; i++)
        assert_ok(cuStreamDestroy_v2(s[i]));
}

static void more_work_than_a_channel_holds_waits_and_is_not_lost(void)
{
    CUevent a, b;
    CUfunction f = function("sim_1us");
    start(&a, &b, NULL);
    for (unsigned i = 0; i < 5000; i++)
        launch(f, NULL);
    g_assert_cmpfloat_with_epsilon(stop(a, b, NULL), 5000, 0.5);
}

static void legacy_handles_and_stale_ones_are_told_apart(void)
{
    CUstream s;
    assert_ok(cuStreamCreate(&s, 0));
    assert_ok(cuStreamDestroy_v2(s));
    g_assert_cmpint(cuStreamSynchronize(s), ==, CUDA_ERROR_INVALID_HANDLE);
    g_assert_cmpint(cuStreamDestroy_v2(s), ==, CUDA_ERROR_INVALID_HANDLE);
    g_assert_cmpint(cuLaunchKernel((CUfunction)s, 1, 1, 1, 1, 1, 1, 0, NULL, NULL, NULL), ==,
                    CUDA_ERROR_INVALID_HANDLE);
    assert_ok(cuStreamSynchronize(((CUstream)1)));
    assert_ok(cuStreamSynchronize(((CUstream)2)));
}

static void modules_and_libraries_find_any_name(void)
{
    CUmodule m;
    CUlibrary lib;
    CUkernel k;
    CUfunction f;
    CUdeviceptr at;
    size_t bytes;
    const char *name;
    assert_ok(cuModuleLoadDataEx(&m, ".version 7.0", 0, NULL, NULL));
    assert_ok(cuModuleGetFunction(&f, m, "anything"));
    assert_ok(cuFuncGetName(&name, f));
    g_assert_cmpstr(name, ==, "anything");
    assert_ok(cuModuleGetGlobal_v2(&at, &bytes, m, "table"));
    g_assert_cmpuint(bytes, >, 0);
    assert_ok(cuMemsetD8_v2(at, 1, bytes));
    g_assert_cmpint(cuModuleGetFunction(&f, m, ""), ==, CUDA_ERROR_NOT_FOUND);
    g_assert_cmpint(cuModuleLoad(&m, "/nonexistent/x.cubin"), ==, CUDA_ERROR_FILE_NOT_FOUND);
    assert_ok(cuLibraryLoadData(&lib,
                                "\x7f"
                                "ELF",
                                NULL, NULL, 0, NULL, NULL, 0));
    assert_ok(cuLibraryGetKernel(&k, lib, "kernel"));
    assert_ok(cuKernelGetFunction(&f, k));
    launch(f, NULL);
    launch((CUfunction)(void *)k, NULL); /* a kernel may be launched as it is */
    assert_ok(cuCtxSynchronize());
    assert_ok(cuLibraryUnload(lib));
    g_assert_cmpint(cuLibraryGetKernel(&k, lib, "kernel"), ==, CUDA_ERROR_INVALID_HANDLE);
    assert_ok(cuModuleUnload(m));
}

int main(int argc, char **argv)
{
    machine_init(&argc, &argv, "t4,time=virtual,kernel=20us,wave=10us");
    machine_start();
    assert_ok(cuModuleLoadData(&module, "image"));
#define TEST(name) g_test_add_func("/compute/" #name, name)
    TEST(a_kernel_lasts_as_long_as_its_name_says);
    TEST(a_kernel_lasts_as_long_as_its_first_parameter_says);
    TEST(a_kernel_without_a_price_is_priced_by_its_waves);
    TEST(a_program_can_price_its_next_launch);
    TEST(launches_in_all_forms_take_the_same_time);
    TEST(bad_launches_are_refused);
    TEST(streams_share_one_engine_in_order_of_submission);
    TEST(a_stream_waits_for_an_event_of_another);
    TEST(queries_say_not_ready_until_the_work_has_ended);
    TEST(the_legacy_stream_waits_for_blocking_streams_only);
    TEST(host_functions_run_in_stream_order);
    TEST(a_stream_waits_for_a_value_another_writes);
    TEST(more_work_than_a_channel_holds_waits_and_is_not_lost);
    TEST(legacy_handles_and_stale_ones_are_told_apart);
    TEST(modules_and_libraries_find_any_name);
    return machine_run();
}
