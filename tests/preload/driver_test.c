/* SPDX-License-Identifier: Apache-2.0
 *
 * The driver comes late, goes, comes again, and may have many cards.
 */
#include <dlfcn.h>
#include <stdlib.h>
#include <unistd.h>

#include "region/region.h"
#include "support.h"

#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)

/* Tells the total memory of the first device, in MiB. */
static int tell_total(void)
{
    size_t bytes = 0;
    CUresult result = kit_cuda()->cuInit(0);
    if (result == CUDA_SUCCESS)
        result = kit_cuda()->cuDeviceTotalMem_v2(&bytes, 0);
    kit_tell("%d %zu", result, bytes >> 20);
    return 0;
}

static int nothing(int argc, char **argv)
{
    (void)argc, (void)argv;
    return kit_cuda()->cuInit ? (int)kit_cuda()->cuInit(0) : 97;
}

static void more_cards_than_a_region_counts_do_no_harm(void)
{
    struct kit *kit = kit_new(NULL);
    g_autofree char *driver =
        g_build_filename(g_getenv("HAMI_BUILD"), "tests/preload/libold_driver.so", NULL);
    g_autofree char *link = kit_path(kit, "libcuda.so.1");
    g_assert_cmpint(symlink(driver, link), ==, 0);
    kit_env(kit, "LD_LIBRARY_PATH", "%s", kit_dir(kit));
    kit_env(kit, "OLD_DRIVER_CARDS", "40");
    kit_env(kit, "CUDA_DEVICE_MEMORY_LIMIT", "1G");
    g_free(kit_run(kit, "nothing", NULL));
    static struct region_view view;
    g_assert_cmpint(region_read(kit_region(kit), &view), ==, 0);
    g_assert_cmpuint(view.n_devices, ==, REGION_DEVICES);
    g_assert_cmpuint(view.limit[REGION_DEVICES - 1], ==, GIB);
    kit_free(kit);
}

/* The driver is not ready at first (no such profile), and ready later. */
static int init_late(int argc, char **argv)
{
    (void)argc, (void)argv;
    g_autofree char *profile = g_strdup(g_getenv("HAMI_SIM"));
    g_setenv("HAMI_SIM", "no-such-profile", TRUE);
    for (int i = 0; i < 3; i++)
        if (kit_cuda()->cuInit(0) == CUDA_SUCCESS)
            return 1;
    g_setenv("HAMI_SIM", profile, TRUE);
    return tell_total();
}

static void init_that_fails_and_later_succeeds_attaches_then(void)
{
    struct kit *kit = kit_new(NULL);
    kit_env(kit, "CUDA_DEVICE_MEMORY_LIMIT", "3G");
    struct kit_process *p = kit_start(kit, "init_late", NULL);
    g_autofree char *out = NULL;
    g_assert_cmpint(kit_finish(p, &out, NULL), ==, 0);
    g_assert_cmpstr(out, ==, "0 3072\n");
    kit_free(kit);
}

static int unload(int argc, char **argv)
{
    (void)argc, (void)argv;
    for (int i = 0; i < 5; i++) {
        void *driver = dlopen("libcuda.so.1", RTLD_NOW);
        CUresult (*init)(unsigned) = (CUresult(*)(unsigned))dlsym(driver, "cuInit");
        if (!init || init(0) != CUDA_SUCCESS || dlclose(driver) != 0)
            return 1;
    }
    return tell_total();
}

static void driver_may_be_closed_and_opened_again(void)
{
    struct kit *kit = kit_new(NULL);
    kit_env(kit, "CUDA_DEVICE_MEMORY_LIMIT", "3G");
    g_autofree char *out = kit_run(kit, "unload", NULL);
    g_assert_cmpstr(out, ==, "0 3072\n");
    kit_free(kit);
}

static int reset_loop(int argc, char **argv)
{
    (void)argc, (void)argv;
    const struct real_cuda *cu = kit_cuda();
    for (int i = 0; i < 20; i++) {
        CUdeviceptr p;
        kit_context(0);
        if (cu->cuMemAlloc_v2(&p, 1500 * MIB) != CUDA_SUCCESS ||
            cu->cuDevicePrimaryCtxReset_v2(0) != CUDA_SUCCESS)
            return 1;
    }
    return 0;
}

static void device_resets_give_everything_back(void)
{
    struct kit *kit = kit_new(NULL);
    kit_env(kit, "CUDA_DEVICE_MEMORY_LIMIT", "2G");
    g_free(kit_run(kit, "reset_loop", NULL));
    kit_free(kit);
}

/* What there is of contexts after cuInit: those current, those active, and processes that the board knows. A
 * flag of a primary context can still be chosen. */
static int look_after_init(int argc, char **argv)
{
    const struct real_cuda *cu = kit_cuda();
    const struct real_nvml *nvml = kit_nvml();
    CUcontext current = NULL;
    unsigned flags = 0, processes = 0;
    int active = 0, cards = 0;

    (void)argc, (void)argv;
    if (cu->cuInit(0) != CUDA_SUCCESS || cu->cuDeviceGetCount(&cards) != CUDA_SUCCESS ||
        nvml->nvmlInit_v2() != NVML_SUCCESS)
        return 1;
    for (int d = 0; d < cards; d++) {
        nvmlDevice_t device;
        int one = 0;
        unsigned n = 0;

        if (cu->cuDevicePrimaryCtxGetState(d, &flags, &one) != CUDA_SUCCESS ||
            nvml->nvmlDeviceGetHandleByIndex_v2((unsigned)d, &device) != NVML_SUCCESS)
            return 2;
        nvml->nvmlDeviceGetComputeRunningProcesses_v3(device, &n, NULL);
        active += one;
        processes += n;
    }
    CUresult chosen = cu->cuDevicePrimaryCtxSetFlags_v2(0, CU_CTX_SCHED_BLOCKING_SYNC);
    cu->cuCtxGetCurrent(&current);
    kit_tell("%d cards, %d active, %u processes, %s, %d", cards, active, processes,
             current ? "current" : "none", chosen);
    return 0;
}

static void init_makes_no_context(void)
{
    for (int limited = 0; limited < 2; limited++) {
        struct kit *kit = kit_new("8xh200");
        if (limited) {
            kit_env(kit, "CUDA_DEVICE_MEMORY_LIMIT", "1G");
            kit_env(kit, "CUDA_DEVICE_SM_LIMIT", "30");
        }
        g_autofree char *out = kit_run(kit, "look_after_init", NULL);
        g_assert_cmpstr(out, ==, "8 cards, 0 active, 0 processes, none, 0\n");
        g_assert_true(g_file_test(kit_region(kit), G_FILE_TEST_EXISTS)); /* cuInit was ours */
        kit_free(kit);
    }
}

static const struct kit_body bodies[] = {
    {"look_after_init", look_after_init},
    {"nothing", nothing},
    {"init_late", init_late},
    {"unload", unload},
    {"reset_loop", reset_loop},
    {0},
};

int main(int argc, char **argv)
{
    if (kit_is_child(argc, argv))
        return kit_child(argc, argv, bodies);
    g_test_init(&argc, &argv, NULL);
#define TEST(name) g_test_add_func("/driver/" #name, name)
    TEST(more_cards_than_a_region_counts_do_no_harm);
    TEST(init_that_fails_and_later_succeeds_attaches_then);
    TEST(driver_may_be_closed_and_opened_again);
    TEST(device_resets_give_everything_back);
    TEST(init_makes_no_context);
    return g_test_run();
}
