/* SPDX-License-Identifier: Apache-2.0
 *
 * What a launch, a copy or a set may cost more than the driver's own, in
 * instructions.
 */
#include <stdlib.h>
#include <time.h>

#include "cost.h"

/* Time as it passes natively, not under callgrind: how often the library has to
 * ask depends on it. The library's calls are bound to these. */
static int64_t clock_ns = 1000000000;

int clock_gettime(clockid_t id, struct timespec *ret)
{
    (void)id;
    clock_ns += 100;
    *ret = (struct timespec){.tv_sec = clock_ns / 1000000000, .tv_nsec = clock_ns % 1000000000};
    return 0;
}

int clock_nanosleep(clockid_t id, int flags, const struct timespec *due, struct timespec *left)
{
    (void)id, (void)flags, (void)left;
    int64_t due_ns = due->tv_sec * INT64_C(1000000000) + due->tv_nsec;
    clock_ns = due_ns > clock_ns ? due_ns : clock_ns;
    return 0;
}

typedef CUresult launcher(const struct real_cuda *cu);

static CUfunction f = (CUfunction)(uintptr_t)0x1230;
static CUstream stream = (CUstream)(uintptr_t)0x4560;

static CUresult kernel(const struct real_cuda *cu)
{
    return cu->cuLaunchKernel(f, 132, 1, 1, 128, 1, 1, 0, stream, NULL, NULL);
}

static CUresult kernel_of_thread(const struct real_cuda *cu)
{
    return cu->cuLaunchKernel_ptsz(f, 132, 1, 1, 128, 1, 1, 0, NULL, NULL, NULL);
}

static CUresult cooperative(const struct real_cuda *cu)
{
    return cu->cuLaunchCooperativeKernel(f, 132, 1, 1, 128, 1, 1, 0, stream, NULL);
}

static CUresult extended(const struct real_cuda *cu)
{
    static CUlaunchConfig config = {132, 1, 1, 128, 1, 1, 0, NULL, NULL, 0};
    config.hStream = stream;
    return cu->cuLaunchKernelEx(&config, f, NULL, NULL);
}

static CUresult cooperative_of_thread(const struct real_cuda *cu)
{
    return cu->cuLaunchCooperativeKernel_ptsz(f, 132, 1, 1, 128, 1, 1, 0, NULL, NULL);
}

static CUresult extended_of_thread(const struct real_cuda *cu)
{
    static const CUlaunchConfig config = {132, 1, 1, 128, 1, 1, 0, NULL, NULL, 0};
    return cu->cuLaunchKernelEx_ptsz(&config, f, NULL, NULL);
}

/* The per-thread entries tell the thread's own stream from one that was made. */
static CUresult kernel_on_stream(const struct real_cuda *cu)
{
    return cu->cuLaunchKernel_ptsz(f, 132, 1, 1, 128, 1, 1, 0, stream, NULL, NULL);
}

static CUresult extended_on_stream(const struct real_cuda *cu)
{
    static CUlaunchConfig config = {132, 1, 1, 128, 1, 1, 0, NULL, NULL, 0};
    config.hStream = stream;
    return cu->cuLaunchKernelEx_ptsz(&config, f, NULL, NULL);
}

/* Within the card; to it from the host, whose memory lies below 4096 here. */
#define SMALL ((size_t)64 << 10)
#define LARGE ((size_t)4 << 20)

static CUresult small_copy(const struct real_cuda *cu)
{
    return cu->cuMemcpyDtoDAsync_v2(1 << 20, 1 << 21, SMALL, stream);
}

static CUresult large_copy(const struct real_cuda *cu)
{
    return cu->cuMemcpyDtoDAsync_v2(1 << 20, 1 << 21, LARGE, stream);
}

static CUresult large_copy_by_address(const struct real_cuda *cu)
{
    return cu->cuMemcpyAsync(1 << 20, 1 << 21, LARGE, stream);
}

static CUresult small_set(const struct real_cuda *cu)
{
    return cu->cuMemsetD8Async(1 << 20, 0, SMALL, stream);
}

static CUresult large_set(const struct real_cuda *cu)
{
    return cu->cuMemsetD8Async(1 << 20, 0, LARGE, stream);
}

static CUresult small_host_copy(const struct real_cuda *cu)
{
    return cu->cuMemcpyHtoDAsync_v2(1 << 20, (const void *)(uintptr_t)64, SMALL, stream);
}

static CUresult large_host_copy(const struct real_cuda *cu)
{
    return cu->cuMemcpyHtoDAsync_v2(1 << 20, (const void *)(uintptr_t)64, LARGE, stream);
}

static CUresult rectangle_of(const struct real_cuda *cu, size_t height)
{
    const CUDA_MEMCPY2D rect = {.srcMemoryType = CU_MEMORYTYPE_DEVICE,
                                .srcDevice = 1 << 20,
                                .dstMemoryType = CU_MEMORYTYPE_DEVICE,
                                .dstDevice = 1 << 21,
                                .WidthInBytes = 4096,
                                .Height = height};
    return cu->cuMemcpy2DAsync_v2(&rect, stream);
}

static CUresult small_rectangle(const struct real_cuda *cu)
{
    return rectangle_of(cu, 16);
}

static CUresult large_rectangle(const struct real_cuda *cu)
{
    return rectangle_of(cu, 1024);
}

/* Small ones that come too seldom to be a flood. */
static CUresult rare_copy(const struct real_cuda *cu)
{
    clock_ns += 1000000;
    return small_copy(cu);
}

/* In runs of 100, so that a count is not the start of things. */
static int launch_by(launcher *launch, const char *n)
{
    const struct real_cuda *cu = kit_cuda();
    kit_context(0);
    for (int i = 0; i < 100 + atoi(n) * 20; i++)
        if (launch(cu))
            return 1;
    return 0;
}

#define BODY(name)                                                                                           \
    static int launch_##name(int argc, char **argv)                                                          \
    {                                                                                                        \
        (void)argc;                                                                                          \
        return launch_by(name, argv[0]);                                                                     \
    }
BODY(kernel)
BODY(kernel_of_thread)
BODY(cooperative)
BODY(extended)
BODY(cooperative_of_thread)
BODY(extended_of_thread)
BODY(kernel_on_stream)
BODY(extended_on_stream)
BODY(rare_copy)
BODY(small_copy)
BODY(large_copy)
BODY(large_copy_by_address)
BODY(small_set)
BODY(large_set)
BODY(small_host_copy)
BODY(large_host_copy)
BODY(small_rectangle)
BODY(large_rectangle)
#undef BODY

struct gate {
    const char *name;
    const char *body;
    const char *limit; /* percent; NULL = none */
    double most;       /* instructions per launch that the library may add */
};

/* Everything that the launching thread does for us is in it: credit asked for, batches opened and measured.
 * The targets are 15 and 40; a gate lies closer where it can. A copy that the driver is asked about
 * takes microseconds. */
static const struct gate gates[] = {
    {"launch_without_limit", "launch_kernel", NULL, 13},
    {"launch_within_its_limit", "launch_kernel", "90", 37},
    {"thread_launch_within_its_limit", "launch_kernel_of_thread", "90", 38},
    {"thread_launch_on_a_stream_within_its_limit", "launch_kernel_on_stream", "90", 39},
    {"cooperative_launch_within_its_limit", "launch_cooperative", "90", 37},
    {"cooperative_thread_launch_within_its_limit", "launch_cooperative_of_thread", "90", 38},
    {"extended_launch_without_limit", "launch_extended", NULL, 13},
    {"extended_launch_within_its_limit", "launch_extended", "90", 39},
    {"extended_thread_launch_within_its_limit", "launch_extended_of_thread", "90", 40},
    {"extended_thread_launch_on_a_stream_within_its_limit", "launch_extended_on_stream", "90", 40},
    {"small_copy_without_limit", "launch_small_copy", NULL, 14},
    {"large_copy_without_limit", "launch_large_copy", NULL, 20},
    {"large_copy_by_address_without_limit", "launch_large_copy_by_address", NULL, 22},
    {"small_set_without_limit", "launch_small_set", NULL, 15},
    {"large_set_without_limit", "launch_large_set", NULL, 21},
    {"small_host_copy_without_limit", "launch_small_host_copy", NULL, 13},
    {"large_host_copy_without_limit", "launch_large_host_copy", NULL, 22},
    {"small_rectangle_without_limit", "launch_small_rectangle", NULL, 22},
    {"rare_small_copy_within_its_limit", "launch_rare_copy", "90", 13},
    {"flood_of_small_copies_within_its_limit", "launch_small_copy", "90", 150},
    {"large_copy_within_its_limit", "launch_large_copy", "90", 48},
    {"large_copy_by_address_within_its_limit", "launch_large_copy_by_address", "90", 285},
    {"large_set_within_its_limit", "launch_large_set", "90", 49},
    {"small_host_copy_within_its_limit", "launch_small_host_copy", "90", 14},
    {"large_host_copy_within_its_limit", "launch_large_host_copy", "90", 195},
    {"large_rectangle_within_its_limit", "launch_large_rectangle", "90", 290},
};

static void costs_no_more_than(gconstpointer data)
{
    const struct gate *gate = data;
    struct kit *kit = cost_kit_new();
    if (!kit)
        return;
    kit_env(kit, "CUDA_DEVICE_SM_LIMIT", gate->limit ? "%s" : NULL, gate->limit);
    double with = cost_instructions(kit, gate->body) / 20;
    struct kit *bare = cost_kit_new();
    kit_no_preload(bare);
    double without = cost_instructions(bare, gate->body) / 20;
    double added = with - without;
    kit_free(bare);
    g_test_message("%s: %.1f instructions added, at most %.0f allowed", gate->name, added, gate->most);
    g_assert_cmpfloat(added, <=, gate->most);
    kit_free(kit);
}

int main(int argc, char **argv)
{
    static const struct kit_body bodies[] = {{"launch_kernel", launch_kernel},
                                             {"launch_kernel_of_thread", launch_kernel_of_thread},
                                             {"launch_cooperative", launch_cooperative},
                                             {"launch_extended", launch_extended},
                                             {"launch_cooperative_of_thread", launch_cooperative_of_thread},
                                             {"launch_extended_of_thread", launch_extended_of_thread},
                                             {"launch_kernel_on_stream", launch_kernel_on_stream},
                                             {"launch_extended_on_stream", launch_extended_on_stream},
                                             {"launch_rare_copy", launch_rare_copy},
                                             {"launch_small_copy", launch_small_copy},
                                             {"launch_large_copy", launch_large_copy},
                                             {"launch_large_copy_by_address", launch_large_copy_by_address},
                                             {"launch_small_set", launch_small_set},
                                             {"launch_large_set", launch_large_set},
                                             {"launch_small_host_copy", launch_small_host_copy},
                                             {"launch_large_host_copy", launch_large_host_copy},
                                             {"launch_small_rectangle", launch_small_rectangle},
                                             {"launch_large_rectangle", launch_large_rectangle},
                                             {0}};
    if (kit_is_child(argc, argv))
        return kit_child(argc, argv, bodies);
    g_test_init(&argc, &argv, NULL);
    g_test_set_nonfatal_assertions(); /* one gate passed does not hide the others */
    for (gsize i = 0; i < G_N_ELEMENTS(gates); i++) {
        g_autofree char *path = g_strdup_printf("/compute_cost/%s_stays_below_its_gate", gates[i].name);
        g_test_add_data_func(path, &gates[i], costs_no_more_than);
    }
    return g_test_run();
}
