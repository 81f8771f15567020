/* SPDX-License-Identifier: Apache-2.0
 *
 * Several cards: which are visible in which order, engines of all three
 * schedules, MIG, peers, and memory limits of cgroups. Each case is a child
 * on a machine of its own kind.
 */
#include "machine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sim/inspect.h"

#define CHECK(condition)                                                                                     \
    if (!(condition)) {                                                                                      \
        fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                                      \
        _exit(1);                                                                                            \
    }

/* Runs body in a fork, which has not touched the driver yet, on its own machine. */
static void on_machine(const char *profile, const char *visible, const char *order, void (*body)(void))
{
    char *state = g_strdup_printf("%s-%u", g_getenv("HAMI_SIM_STATE"), g_random_int());
    pid_t pid = fork();
    if (pid == 0) {
        g_setenv("HAMI_SIM", profile, TRUE);
        g_setenv("HAMI_SIM_STATE", state, TRUE);
        if (visible != NULL)
            g_setenv("CUDA_VISIBLE_DEVICES", visible, TRUE);
        if (order != NULL)
            g_setenv("CUDA_DEVICE_ORDER", order, TRUE);
        body();
        _exit(0);
    }
    int status;
    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    unlink(state);
    g_free(state);
    g_assert_cmpint(status, ==, 0);
}

static int n_devices(void)
{
    int n = -1;
    CHECK(cuInit(0) == CUDA_SUCCESS);
    CHECK(cuDeviceGetCount(&n) == CUDA_SUCCESS);
    return n;
}

static void bus_ids(char ret[8][32])
{
    int n = n_devices();
    for (int i = 0; i < n; i++)
        CHECK(cuDeviceGetPCIBusId(ret[i], 32, i) == CUDA_SUCCESS);
}

static CUcontext current(CUdevice dev)
{
    CUcontext ctx;
    CHECK(cuInit(0) == CUDA_SUCCESS);
    CHECK(cuDevicePrimaryCtxRetain(&ctx, dev) == CUDA_SUCCESS);
    CHECK(cuCtxSetCurrent(ctx) == CUDA_SUCCESS);
    return ctx;
}

/* ---- visibility ---- */

static void all_eight(void)
{
    CHECK(n_devices() == 8);
}

static void the_second_and_the_first(void)
{
    char id[8][32], first[32];
    CHECK(n_devices() == 2);
    bus_ids(id);
    CHECK(strcmp(id[0], id[1]) > 0);
    CHECK(cuDeviceGetPCIBusId(first, sizeof(first), 0) == CUDA_SUCCESS);
    CHECK(strcmp(first, id[0]) == 0);
}

static void one_only(void)
{
    CHECK(n_devices() == 1);
}

static void none_at_all(void)
{
    int n;
    CHECK(cuInit(0) == CUDA_ERROR_NO_DEVICE);
    CHECK(cuDeviceGetCount(&n) == CUDA_ERROR_NOT_INITIALIZED);
}

static void visible_devices_choose_and_order_the_cards(void)
{
    on_machine("8xh200,time=virtual", NULL, NULL, all_eight);
    on_machine("8xh200,time=virtual", "1,0", "PCI_BUS_ID", the_second_and_the_first);
    on_machine("8xh200,time=virtual", "2,99,3", NULL, one_only); /* a wrong index ends the list */
    on_machine("8xh200,time=virtual", "3,3", NULL, one_only);
    on_machine("8xh200,time=virtual", "", NULL, none_at_all);
    on_machine("8xh200,time=virtual", "-1", NULL, none_at_all);
    on_machine("8xh200,time=virtual", "GPU-nonsense", NULL, none_at_all);
}

static void by_uuid(void)
{
    char err[256], id[8][32];
    CHECK(sim_state_open(err, sizeof(err)) == 0);
    char *prefix = g_strndup(sim_state->profile.devices[1].uuid, 12);
    g_setenv("CUDA_VISIBLE_DEVICES", prefix, TRUE);
    CHECK(n_devices() == 1);
    bus_ids(id);
    CHECK(g_str_has_suffix(sim_state->profile.devices[1].pci_bus_id, id[0]));
    g_free(prefix);
}

static void a_card_can_be_named_by_the_beginning_of_its_uuid(void)
{
    on_machine("2xa100-40g,time=virtual", NULL, NULL, by_uuid);
}

/* ---- MIG ---- */

static void first_slice(void)
{
    size_t total;
    int sms;
    CUdeviceptr p;
    current(0);
    CHECK(n_devices() == 1);
    CHECK(cuDeviceTotalMem_v2(&total, 0) == CUDA_SUCCESS);
    CHECK(total == 19968 * MIB);
    CHECK(cuDeviceGetAttribute(&sms, CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, 0) == CUDA_SUCCESS);
    CHECK(sms == 42);
    CHECK(cuMemAlloc_v2(&p, 20000 * MIB) == CUDA_ERROR_OUT_OF_MEMORY);
    CHECK(cuMemAlloc_v2(&p, 18000 * MIB) == CUDA_SUCCESS);
}

static void a_mig_slice_is_a_device_of_its_size(void)
{
    on_machine("a100-mig,time=virtual", NULL, NULL, first_slice);
}

/* ---- schedules ---- */

/* Virtual microseconds that four kernels of 100 us on four streams take. */
static double four_streams(void)
{
    CUmodule m;
    CUfunction f;
    CUstream s[4];
    CUevent a, b;
    float ms;
    current(0);
    CHECK(cuModuleLoadData(&m, "image") == CUDA_SUCCESS);
    CHECK(cuModuleGetFunction(&f, m, "sim_100us") == CUDA_SUCCESS);
    CHECK(cuEventCreate(&a, 0) == CUDA_SUCCESS && cuEventCreate(&b, 0) == CUDA_SUCCESS);
    for (unsigned i = 0; i < 4; i++)
        CHECK(cuStreamCreate(&s[i], 0) == CUDA_SUCCESS);
    CHECK(cuEventRecord(a, NULL) == CUDA_SUCCESS);
    for (unsigned i = 0; i < 4; i++)
        CHECK(cuLaunchKernel(f, 1, 1, 1, 1, 1, 1, 0, s[i], NULL, NULL) == CUDA_SUCCESS);
    CHECK(cuEventRecord(b, NULL) == CUDA_SUCCESS);
    CHECK(cuCtxSynchronize() == CUDA_SUCCESS);
    CHECK(cuEventElapsedTime(&ms, a, b) == CUDA_SUCCESS);
    return (double)ms * 1000;
}

static void serial(void)
{
    double us = four_streams();
    CHECK(us > 399.9 && us < 400.1);
}

static void two_at_once(void)
{
    double us = four_streams();
    CHECK(us > 199.9 && us < 200.1);
}

static void engines_follow_the_schedule_of_the_profile(void)
{
    on_machine("t4,time=virtual", NULL, NULL, serial);
    on_machine("t4,time=virtual,schedule=time-sliced,quantum=50us", NULL, NULL, serial);
    on_machine("t4,time=virtual,schedule=spatial,engines=2", NULL, NULL, two_at_once);
}

/* Two processes that keep the device busy with kernels of very different length. */
static void sliced_neighbours(void)
{
    char err[256];
    CUmodule m;
    CUfunction f;
    int ready[2];
    CHECK(sim_state_open(err, sizeof(err)) == 0);
    CHECK(pipe(ready) == 0);
    pid_t pid = fork();
    const char *name = pid == 0 ? "sim_3ms" : "sim_100us";
    current(0);
    CHECK(cuModuleLoadData(&m, "image") == CUDA_SUCCESS);
    CHECK(cuModuleGetFunction(&f, m, name) == CUDA_SUCCESS);
    unsigned n = pid == 0 ? 20 : 600;
    char c = 'x';
    CHECK(pid != 0 ? read(ready[0], &c, 1) == 1 : true);
    for (unsigned i = 0; i < n; i++)
        CHECK(cuLaunchKernel(f, 1, 1, 1, 1, 1, 1, 0, NULL, NULL, NULL) == CUDA_SUCCESS);
    if (pid == 0)
        CHECK(write(ready[1], &c, 1) == 1);
    CHECK(cuCtxSynchronize() == CUDA_SUCCESS);
    if (pid == 0)
        _exit(0);
    /* the first 60 ms of both: halves, whatever the kernels' length */
    struct sim_interval v[4096];
    struct sim_log_reader reader = {.device = 0};
    guint64 mine = 0, others = 0, from = 0;
    size_t got = sim_inspect_read(&reader, v, 4096);
    for (size_t i = 0; i < got; i++)
        if (v[i].pid == getpid() && (from == 0 || v[i].start_ns < from))
            from = v[i].start_ns;
    for (size_t i = 0; i < got; i++) {
        if (v[i].start_ns < from || v[i].end_ns > from + 60000000)
            continue;
        *(v[i].pid == getpid() ? &mine : &others) += v[i].end_ns - v[i].start_ns;
    }
    int status;
    CHECK(waitpid(pid, &status, 0) == pid && status == 0);
    CHECK(mine > 25000000 && mine < 35000000);
    CHECK(others > 25000000 && others < 35000000);
}

static void slices_are_equal_between_processes(void)
{
    on_machine("t4,schedule=time-sliced,quantum=1ms", NULL, NULL, sliced_neighbours);
}

/* ---- the null model ---- */

static void nothing_is_queued(void)
{
    char err[256];
    CUmodule m;
    CUfunction f;
    CUstream s;
    CUgraph g;
    CUgraphExec x;
    current(0);
    CHECK(sim_state_open(err, sizeof(err)) == 0);
    CHECK(cuModuleLoadData(&m, "image") == CUDA_SUCCESS);
    CHECK(cuModuleGetFunction(&f, m, "sim_100ms") == CUDA_SUCCESS);
    CHECK(cuStreamCreate(&s, CU_STREAM_NON_BLOCKING) == CUDA_SUCCESS);
    for (unsigned i = 0; i < 100; i++) {
        CHECK(cuLaunchKernel(f, 1, 1, 1, 1, 1, 1, 0, NULL, NULL, NULL) == CUDA_SUCCESS);
        CHECK(cuLaunchKernel(f, 1, 1, 1, 1, 1, 1, 0, s, NULL, NULL) == CUDA_SUCCESS);
    }
    CHECK(cuStreamBeginCapture_v2(s, CU_STREAM_CAPTURE_MODE_GLOBAL) == CUDA_SUCCESS);
    CHECK(cuLaunchKernel(f, 1, 1, 1, 1, 1, 1, 0, s, NULL, NULL) == CUDA_SUCCESS);
    CHECK(cuLaunchKernel_ptsz(f, 1, 1, 1, 1, 1, 1, 0, NULL, NULL, NULL) == CUDA_SUCCESS);
    CHECK(cuStreamEndCapture(s, &g) == CUDA_SUCCESS);
    CHECK(cuGraphInstantiateWithFlags(&x, g, 0) == CUDA_SUCCESS);
    CHECK(cuGraphLaunch(x, s) == CUDA_SUCCESS);
    CHECK(sim_inspect_queued(0) == 0);
    CHECK(cuStreamQuery(s) == CUDA_SUCCESS && cuStreamQuery(NULL) == CUDA_SUCCESS);
    CHECK(cuLaunchKernel(NULL, 1, 1, 1, 1, 1, 1, 0, NULL, NULL, NULL) == CUDA_ERROR_INVALID_HANDLE);
    CHECK(cuLaunchKernel(f, 0, 1, 1, 1, 1, 1, 0, NULL, NULL, NULL) == CUDA_ERROR_INVALID_VALUE);
}

static void the_null_model_queues_nothing_and_still_refuses(void)
{
    on_machine("t4-null", NULL, NULL, nothing_is_queued);
}

/* ---- virtual time ---- */

static void launch_and_wait(unsigned n)
{
    CUmodule m;
    CUfunction f;
    current(0);
    CHECK(cuModuleLoadData(&m, "image") == CUDA_SUCCESS);
    CHECK(cuModuleGetFunction(&f, m, "sim_1ms") == CUDA_SUCCESS);
    for (unsigned i = 0; i < n; i++) {
        CHECK(cuLaunchKernel(f, 1, 1, 1, 1, 1, 1, 0, NULL, NULL, NULL) == CUDA_SUCCESS);
        CHECK(cuCtxSynchronize() == CUDA_SUCCESS);
    }
}

/* Whatever the processes' real speed, the device is never idle while one has work. */
static void three_in_virtual_time(void)
{
    char err[256];
    int status;
    pid_t pid[3];
    CHECK(sim_state_open(err, sizeof(err)) == 0);
    guint64 from = sim_now();
    for (unsigned i = 0; i < 3; i++) {
        pid[i] = fork();
        if (pid[i] == 0) {
            launch_and_wait(40);
            _exit(0);
        }
    }
    for (unsigned i = 0; i < 3; i++)
        CHECK(waitpid(pid[i], &status, 0) == pid[i] && status == 0);
    CHECK(sim_now() - from == 120 * 1000000ULL);
}

static void by_hand(void)
{
    char err[256];
    CUmodule m;
    CUfunction f;
    current(0);
    CHECK(sim_state_open(err, sizeof(err)) == 0);
    sim_inspect_halt(true);
    guint64 from = sim_now();
    CHECK(cuModuleLoadData(&m, "image") == CUDA_SUCCESS);
    CHECK(cuModuleGetFunction(&f, m, "sim_1ms") == CUDA_SUCCESS);
    CHECK(cuLaunchKernel(f, 1, 1, 1, 1, 1, 1, 0, NULL, NULL, NULL) == CUDA_SUCCESS);
    sim_inspect_advance(from + 999999);
    CHECK(cuStreamQuery(NULL) == CUDA_ERROR_NOT_READY);
    sim_inspect_advance(from + 1000000);
    CHECK(cuStreamQuery(NULL) == CUDA_SUCCESS);
    sim_inspect_halt(false);
}

static void virtual_time_is_the_same_in_every_run(void)
{
    for (unsigned i = 0; i < 3; i++)
        on_machine("t4,time=virtual", NULL, NULL, three_in_virtual_time);
}

static void virtual_time_can_be_moved_by_hand(void)
{
    on_machine("t4,time=virtual", NULL, NULL, by_hand);
}

/* ---- peers, green contexts ---- */

static void peers(void)
{
    int can;
    CHECK(n_devices() == 8);
    CHECK(cuDeviceCanAccessPeer(&can, 0, 1) == CUDA_SUCCESS && can == 1);
    CHECK(cuDeviceCanAccessPeer(&can, 0, 0) == CUDA_SUCCESS && can == 0);
    CHECK(cuDeviceCanAccessPeer(&can, 0, 8) == CUDA_ERROR_INVALID_DEVICE);
    CUcontext b = current(1);
    current(0);
    CHECK(cuCtxEnablePeerAccess(b, 0) == CUDA_SUCCESS);
    CHECK(cuCtxEnablePeerAccess(b, 0) == CUDA_ERROR_PEER_ACCESS_ALREADY_ENABLED);
    CHECK(cuCtxDisablePeerAccess(b) == CUDA_SUCCESS);
    CHECK(cuCtxDisablePeerAccess(b) == CUDA_ERROR_PEER_ACCESS_NOT_ENABLED);
}

static void linked_cards_are_peers(void)
{
    on_machine("8xh200,time=virtual", NULL, NULL, peers);
}

static void green(void)
{
    CUdevResource all, part;
    CUdevResourceDesc desc;
    CUgreenCtx g;
    CUcontext ctx;
    CUstream s;
    unsigned groups = 1;
    current(0);
    CHECK(cuDeviceGetDevResource(0, &all, CU_DEV_RESOURCE_TYPE_SM) == CUDA_SUCCESS);
    CHECK(all.sm.smCount == 40);
    CHECK(cuDevSmResourceSplitByCount(&part, &groups, &all, NULL, 0, 10) == CUDA_SUCCESS);
    CHECK(part.sm.smCount == 10);
    CHECK(cuDevResourceGenerateDesc(&desc, &part, 1) == CUDA_SUCCESS);
    CHECK(cuGreenCtxCreate(&g, desc, 0, 1) == CUDA_SUCCESS);
    CHECK(cuCtxFromGreenCtx(&ctx, g) == CUDA_SUCCESS);
    CHECK(cuCtxPushCurrent_v2(ctx) == CUDA_SUCCESS);
    CHECK(cuGreenCtxStreamCreate(&s, g, CU_STREAM_NON_BLOCKING, 0) == CUDA_SUCCESS);
    CHECK(cuStreamSynchronize(s) == CUDA_SUCCESS);
    CHECK(cuGreenCtxDestroy(g) == CUDA_SUCCESS);
    CHECK(cuGreenCtxDestroy(g) == CUDA_ERROR_INVALID_CONTEXT);
}

static void a_green_context_has_its_share_of_the_processors(void)
{
    on_machine("t4,time=virtual", NULL, NULL, green);
}

/* ---- the driver's own memory limits ---- */

static void limited(void)
{
    char err[256];
    CUdeviceptr p, q;
    size_t left, total;
    current(0);
    CHECK(sim_state_open(err, sizeof(err)) == 0);
    CHECK(cuMemGetInfo_v2(&left, &total) == CUDA_SUCCESS && left > 2048 * MIB);
    sim_lock();
    sim_state->memory_limits[0] =
        (struct sim_memory_limit){.used = 1, .device = 0, .hard_bytes = 1024 * MIB, .cgroup = "/"};
    sim_unlock();
    CHECK(cuMemGetInfo_v2(&left, &total) == CUDA_SUCCESS && left < 1024 * MIB);
    CHECK(cuMemAlloc_v2(&p, 512 * MIB) == CUDA_SUCCESS);
    CHECK(cuMemAlloc_v2(&q, 512 * MIB) == CUDA_ERROR_OUT_OF_MEMORY); /* the context counts */
    CHECK(cuMemFree_v2(p) == CUDA_SUCCESS);
}

static void a_cgroup_cannot_take_more_than_its_hard_limit(void)
{
    on_machine("t4,time=virtual,memory_limits=true", NULL, NULL, limited);
}

/* ---- missing symbols ---- */

static void older_driver(void)
{
    int version;
    void *p;
    CUdriverProcAddressQueryResult why;
    CHECK(cuDriverGetVersion(&version) == CUDA_SUCCESS && version == 12040);
    CHECK(cuGetProcAddress_v2("cuCtxCreate", &p, 12040, 0, &why) == CUDA_SUCCESS);
    CHECK(p == (void *)cuCtxCreate_v3);
    CHECK(cuGetProcAddress_v2("cuCtxCreate", &p, 12050, 0, &why) == CUDA_ERROR_INVALID_VALUE);
    CHECK(cuGetProcAddress_v2("cuDeviceGetHostAtomicCapabilities", &p, 12040, 0, &why) == CUDA_SUCCESS);
    CHECK(p == NULL && why == CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND);
}

static void an_older_driver_hands_out_older_entries(void)
{
    on_machine("t4,cuda=12.4", NULL, NULL, older_driver);
}

int main(int argc, char **argv)
{
    machine_init(&argc, &argv, "t4");
#define TEST(name) g_test_add_func("/device/" #name, name)
    TEST(visible_devices_choose_and_order_the_cards);
    TEST(a_card_can_be_named_by_the_beginning_of_its_uuid);
    TEST(a_mig_slice_is_a_device_of_its_size);
    TEST(engines_follow_the_schedule_of_the_profile);
    TEST(slices_are_equal_between_processes);
    TEST(the_null_model_queues_nothing_and_still_refuses);
    TEST(virtual_time_is_the_same_in_every_run);
    TEST(virtual_time_can_be_moved_by_hand);
    TEST(linked_cards_are_peers);
    TEST(a_green_context_has_its_share_of_the_processors);
    TEST(a_cgroup_cannot_take_more_than_its_hard_limit);
    TEST(an_older_driver_hands_out_older_entries);
    return machine_run();
}
