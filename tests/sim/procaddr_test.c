/* SPDX-License-Identifier: Apache-2.0
 *
 * Finding entries: by dlsym, and by name, version and flags; and what the
 * driver says of itself, its devices and its errors.
 */
#include "machine.h"

#include <dlfcn.h>
#include <string.h>
#include <unistd.h>

static const struct {
    const char *symbol, *base;
    int since;
} rows[] = {
#define CUDA(symbol, base, since, stream, class, types) {#symbol, #base, since},
#include "cuda.def"
#undef CUDA
};

static void *driver;

static void every_name_of_the_contract_is_exported(void)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(rows); i++)
        if (dlsym(driver, rows[i].symbol) == NULL)
            g_error("%s is not exported", rows[i].symbol);
    g_assert_null(dlsym(driver, "yaml_parser_initialize"));
    g_assert_null(dlsym(driver, "sim_state_open"));
}

/* name, version, flags -> the entry that is meant */
static void the_newest_entry_not_newer_than_asked_is_given(void)
{
    static const struct {
        const char *name;
        int version;
        cuuint64_t flags;
        const char *symbol; /* NULL: none */
        int why;
    } asks[] = {
        {"cuMemAlloc", 2000, 0, "cuMemAlloc", 0},
        {"cuMemAlloc", 3010, 0, "cuMemAlloc", 0},
        {"cuMemAlloc", 3020, 0, "cuMemAlloc_v2", 0},
        {"cuMemAlloc", 13000, 0, "cuMemAlloc_v2", 0},
        {"cuCtxCreate", 3020, 0, "cuCtxCreate_v2", 0},
        {"cuCtxCreate", 11040, 0, "cuCtxCreate_v3", 0},
        {"cuCtxCreate", 12050, 0, "cuCtxCreate_v4", 0},
        {"cuDeviceGetUuid", 9020, 0, "cuDeviceGetUuid", 0},
        {"cuDeviceGetUuid", 11040, 0, "cuDeviceGetUuid_v2", 0},
        {"cuDevicePrimaryCtxRelease", 10020, 0, "cuDevicePrimaryCtxRelease", 0},
        {"cuDevicePrimaryCtxRelease", 11000, 0, "cuDevicePrimaryCtxRelease_v2", 0},
        {"cuStreamGetCaptureInfo", 10010, 0, "cuStreamGetCaptureInfo", 0},
        {"cuStreamGetCaptureInfo", 11030, 2, "cuStreamGetCaptureInfo_v2_ptsz", 0},
        {"cuStreamGetCaptureInfo", 12030, 0, "cuStreamGetCaptureInfo_v3", 0},
        {"cuCtxGetDevice", 12080, 0, "cuCtxGetDevice", 0},
        {"cuCtxGetDevice", 13000, 0, "cuCtxGetDevice_v2", 0},
        {"cuGetProcAddress", 11030, 0, "cuGetProcAddress", 0},
        {"cuGetProcAddress", 12000, 0, "cuGetProcAddress_v2", 0},
        {"cuLaunchKernel", 4000, 0, "cuLaunchKernel", 0},
        {"cuLaunchKernel", 7000, 0, "cuLaunchKernel", 0},
        {"cuLaunchKernel", 7000, 1, "cuLaunchKernel", 0},
        {"cuLaunchKernel", 7000, 2, "cuLaunchKernel_ptsz", 0},
        {"cuLaunchKernel", 4000, 2, "cuLaunchKernel", 0}, /* the twin is younger */
        {"cuMemcpyHtoD", 7000, 2, "cuMemcpyHtoD_v2_ptds", 0},
        {"cuInit", 12000, 2, "cuInit", 0}, /* no twin */
        {"cuGraphLaunch", 10000, 2, "cuGraphLaunch_ptsz", 0},
        {"cuLaunchKernelEx", 11050, 0, NULL, CU_GET_PROC_ADDRESS_VERSION_NOT_SUFFICIENT},
        {"cuMemAlloc_v2", 13000, 0, NULL, CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND},
        {"cuNoSuchThing", 13000, 0, NULL, CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND},
        {"", 0, 0, NULL, CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND},
        {"cuDeviceGetCliqueCount", 13000, 0, NULL, CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND}, /* of CUDA 13.4 */
    };
    for (unsigned i = 0; i < G_N_ELEMENTS(asks); i++) {
        void *p = &p;
        CUdriverProcAddressQueryResult why = 77;
        g_test_message("%s %d %d", asks[i].name, asks[i].version, (int)asks[i].flags);
        assert_ok(cuGetProcAddress_v2(asks[i].name, &p, asks[i].version, asks[i].flags, &why));
        g_assert_cmpint((int)why, ==, asks[i].why);
        g_assert_true(p == (asks[i].symbol != NULL ? dlsym(driver, asks[i].symbol) : NULL));
        assert_ok(cuGetProcAddress_v2(asks[i].name, &p, asks[i].version, asks[i].flags, NULL));
    }
}

static void look_ups_that_make_no_sense_are_refused(void)
{
    void *p;
    CUdriverProcAddressQueryResult why;
    g_assert_cmpint(cuGetProcAddress_v2("cuInit", &p, 13010, 0, &why), ==, CUDA_ERROR_INVALID_VALUE);
    g_assert_cmpint(cuGetProcAddress_v2("cuInit", &p, 12000, 4, &why), ==, CUDA_ERROR_INVALID_VALUE);
    g_assert_cmpint(cuGetProcAddress_v2("cuInit", &p, 12000, 3, &why), ==, CUDA_ERROR_INVALID_VALUE);
    g_assert_cmpint(cuGetProcAddress_v2(NULL, &p, 12000, 0, &why), ==, CUDA_ERROR_INVALID_VALUE);
    g_assert_cmpint(cuGetProcAddress_v2("cuInit", NULL, 12000, 0, &why), ==, CUDA_ERROR_INVALID_VALUE);
    g_assert_cmpint(cuGetProcAddress("cuNoSuchThing", &p, 12000, 0), ==, CUDA_ERROR_NOT_FOUND);
    assert_ok(cuGetProcAddress("cuInit", &p, 12000, 0));
}

static void what_is_found_is_what_is_linked(void)
{
    CUresult (*init)(unsigned) = NULL;
    CUdriverProcAddressQueryResult why;
    assert_ok(cuGetProcAddress_v2("cuInit", (void **)&init, 2000, 0, &why));
    assert_ok(init(0));
    g_assert_cmpint(init(1), ==, CUDA_ERROR_INVALID_VALUE);
}

static void private_tables_are_refused(void)
{
    const void *table = &table;
    CUuuid id = {{0}};
    g_assert_cmpint(cuGetExportTable(&table, &id), ==, CUDA_ERROR_NOT_FOUND);
    g_assert_null(table);
}

static void what_is_not_modelled_says_so(void)
{
    CUeglStreamConnection connection = NULL;
    g_assert_cmpint(cuEGLStreamConsumerDisconnect(&connection), ==, CUDA_ERROR_NOT_SUPPORTED);
    g_assert_cmpint(cuGLInit(), ==, CUDA_ERROR_NOT_SUPPORTED);
}

static void a_hidden_symbol_is_not_found_by_dlsym_either(void)
{
    Dl_info info;
    int status;
    const char *tool = g_getenv("HIDE_SYMBOLS");
    if (tool == NULL) {
        g_test_skip("HIDE_SYMBOLS does not say where sim/hide-symbols is");
        return;
    }
    g_assert_cmpint(dladdr(dlsym(driver, "cuInit"), &info), !=, 0);
    char *copy = g_strdup_printf("%s-older", g_getenv("HAMI_SIM_STATE"));
    char *argv[] = {g_strdup(tool), g_strdup(info.dli_fname), copy, g_strdup("cuLaunchKernelEx"), NULL};
    g_assert_true(g_spawn_sync(NULL, argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, NULL, &status, NULL));
    g_assert_cmpint(status, ==, 0);
    void *older = dlopen(copy, RTLD_NOW | RTLD_LOCAL);
    g_assert_nonnull(older);
    g_assert_null(dlsym(older, "cuLaunchKernelEx"));
    g_assert_nonnull(dlsym(older, "cuLaunchKernelEx_ptsz"));
    g_assert_nonnull(dlsym(older, "cuLaunchKernel"));
    unlink(copy);
    for (unsigned i = 0; argv[i] != NULL; i++)
        g_free(argv[i]);
}

static void errors_have_names_and_texts(void)
{
    const char *name, *text;
    static const int codes[] = {0, 1, 2, 3, 100, 101, 201, 400, 500, 600, 700, 719, 801, 900, 908, 999};
    for (unsigned i = 0; i < G_N_ELEMENTS(codes); i++) {
        assert_ok(cuGetErrorName((CUresult)codes[i], &name));
        assert_ok(cuGetErrorString((CUresult)codes[i], &text));
        g_assert_true(g_str_has_prefix(name, "CUDA_"));
        g_assert_cmpuint(strlen(text), >, 3);
    }
    assert_ok(cuGetErrorName(CUDA_ERROR_OUT_OF_MEMORY, &name));
    g_assert_cmpstr(name, ==, "CUDA_ERROR_OUT_OF_MEMORY");
    g_assert_cmpint(cuGetErrorName((CUresult)12345, &name), ==, CUDA_ERROR_INVALID_VALUE);
    g_assert_null(name);
}

static void a_device_tells_what_its_profile_says(void)
{
    char name[64], bus[32];
    int value, major, minor;
    CUdevice dev;
    CUuuid uuid;
    assert_ok(cuDeviceGetName(name, sizeof(name), 0));
    g_assert_cmpstr(name, ==, "Tesla T4");
    assert_ok(cuDeviceComputeCapability(&major, &minor, 0));
    g_assert_cmpint(major * 10 + minor, ==, 75);
    assert_ok(cuDeviceGetAttribute(&value, CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, 0));
    g_assert_cmpint(value, ==, 40);
    assert_ok(cuDeviceGetAttribute(&value, CU_DEVICE_ATTRIBUTE_WARP_SIZE, 0));
    g_assert_cmpint(value, ==, 32);
    assert_ok(cuDeviceGetAttribute(&value, (CUdevice_attribute)9999, 0));
    g_assert_cmpint(value, ==, 0);
    assert_ok(cuDeviceGetPCIBusId(bus, sizeof(bus), 0));
    assert_ok(cuDeviceGetByPCIBusId(&dev, bus));
    g_assert_cmpint(dev, ==, 0);
    assert_ok(cuDeviceGetUuid_v2(&uuid, 0));
    g_assert_cmpint(cuDeviceGet(&dev, 1), ==, CUDA_ERROR_INVALID_DEVICE);
    g_assert_cmpint(cuDeviceGetName(name, 10, 7), ==, CUDA_ERROR_INVALID_DEVICE);
}

int main(int argc, char **argv)
{
    machine_init(&argc, &argv, "t4");
    assert_ok(cuInit(0));
    driver = dlopen("libcuda.so.1", RTLD_NOW | RTLD_NOLOAD);
    g_assert_nonnull(driver);
#define TEST(name) g_test_add_func("/procaddr/" #name, name)
    TEST(every_name_of_the_contract_is_exported);
    TEST(the_newest_entry_not_newer_than_asked_is_given);
    TEST(look_ups_that_make_no_sense_are_refused);
    TEST(what_is_found_is_what_is_linked);
    TEST(private_tables_are_refused);
    TEST(what_is_not_modelled_says_so);
    TEST(a_hidden_symbol_is_not_found_by_dlsym_either);
    TEST(errors_have_names_and_texts);
    TEST(a_device_tells_what_its_profile_says);
    return machine_run();
}
