/* SPDX-License-Identifier: Apache-2.0
 *
 * Ordinals: those that are none, cards in every order, contexts of several
 * cards at once, and that nobody gets a context who did not ask for one.
 */
#include <dlfcn.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "region/region.h"
#include "support.h"

#define MIB (UINT64_C(1) << 20)

/* The fastest is not the first on the bus. */
static const char unlike[] =
    KIT_CARDS "  - {name: Small Card, memory: 3GiB, sms: 16, compute: 9.0, context: 128MiB}\n"
              "  - {name: Large Card, memory: 8GiB, sms: 64, compute: 9.0, context: 64MiB}\n";

static const struct real_cuda *cu;

/* ---- ordinals that are none ---- */

static CUresult total(CUdevice d)
{
    return cu->cuDeviceTotalMem_v2(&(size_t){0}, d);
}

static CUresult total_v1(CUdevice d)
{
    return cu->cuDeviceTotalMem(&(unsigned){0}, d);
}

static CUresult create_v1(CUdevice d)
{
    return cu->cuCtxCreate(&(CUcontext){NULL}, 0, d);
}

static CUresult create_v2(CUdevice d)
{
    return cu->cuCtxCreate_v2(&(CUcontext){NULL}, 0, d);
}

static CUresult create_v3(CUdevice d)
{
    return cu->cuCtxCreate_v3(&(CUcontext){NULL}, NULL, 0, 0, d);
}

static CUresult create_v4(CUdevice d)
{
    return cu->cuCtxCreate_v4(&(CUcontext){NULL}, NULL, 0, d);
}

static CUresult create_gl(CUdevice d)
{
    return cu->cuGLCtxCreate_v2(&(CUcontext){NULL}, 0, d);
}

static CUresult create_vdpau(CUdevice d)
{
    return cu->cuVDPAUCtxCreate_v2(&(CUcontext){NULL}, 0, d, 1, NULL);
}

static CUresult retain(CUdevice d)
{
    return cu->cuDevicePrimaryCtxRetain(&(CUcontext){NULL}, d);
}

static CUresult release(CUdevice d)
{
    return cu->cuDevicePrimaryCtxRelease_v2(d);
}

static CUresult release_v1(CUdevice d)
{
    return cu->cuDevicePrimaryCtxRelease(d);
}

static CUresult reset(CUdevice d)
{
    return cu->cuDevicePrimaryCtxReset_v2(d);
}

static CUresult reset_v1(CUdevice d)
{
    return cu->cuDevicePrimaryCtxReset(d);
}

static CUresult create_green(CUdevice d)
{
    CUdevResourceDesc desc = NULL;
    CUdevResource all;

    cu->cuDeviceGetDevResource(0, &all, CU_DEV_RESOURCE_TYPE_SM);
    cu->cuDevResourceGenerateDesc(&desc, &all, 1);
    return cu->cuGreenCtxCreate(&(CUgreenCtx){NULL}, desc, d, CU_GREEN_CTX_DEFAULT_STREAM);
}

static CUresult set_pool(CUdevice d)
{
    CUmemoryPool pool = NULL;

    cu->cuDeviceGetDefaultMemPool(&pool, 0);
    return cu->cuDeviceSetMemPool(d, pool);
}

static CUresult trim_graphs(CUdevice d)
{
    return cu->cuDeviceGraphMemTrim(d);
}

static CUresult create_memory(CUdevice d)
{
    CUmemAllocationProp prop = {.type = CU_MEM_ALLOCATION_TYPE_PINNED,
                                .location = {.type = CU_MEM_LOCATION_TYPE_DEVICE, .id = d}};

    return cu->cuMemCreate(&(CUmemGenericAllocationHandle){0}, 2 * MIB, &prop, 0);
}

static CUresult create_pool(CUdevice d)
{
    CUmemPoolProps props = {.allocType = CU_MEM_ALLOCATION_TYPE_PINNED,
                            .location = {.type = CU_MEM_LOCATION_TYPE_DEVICE, .id = d}};

    return cu->cuMemPoolCreate(&(CUmemoryPool){NULL}, &props);
}

static CUresult set_pool_of_location(CUdevice d)
{
    CUmemLocation location = {.type = CU_MEM_LOCATION_TYPE_DEVICE, .id = d};
    CUmemoryPool pool = NULL;

    cu->cuDeviceGetDefaultMemPool(&pool, 0);
    return cu->cuMemSetMemPool(&location, CU_MEM_ALLOCATION_TYPE_PINNED, pool);
}

static CUresult graph_node(CUdevice d)
{
    CUDA_MEM_ALLOC_NODE_PARAMS params = {
        .poolProps = {.allocType = CU_MEM_ALLOCATION_TYPE_PINNED,
                      .location = {.type = CU_MEM_LOCATION_TYPE_DEVICE, .id = d}},
        .bytesize = 2 * MIB};
    CUgraph graph = NULL;

    cu->cuGraphCreate(&graph, 0);
    return cu->cuGraphAddMemAllocNode(&(CUgraphNode){NULL}, graph, NULL, 0, &params);
}

static CUresult bind_memory(CUdevice d)
{
    return cu->cuMulticastBindMem_v2(1, d, 0, 2, 0, 2 * MIB, 0);
}

static CUresult bind_address(CUdevice d)
{
    return cu->cuMulticastBindAddr_v2(1, d, 0, 2 * MIB, 2 * MIB, 0);
}

static CUresult unbind(CUdevice d)
{
    return cu->cuMulticastUnbind(1, d, 0, 2 * MIB);
}

static const struct {
    const char *name;
    CUresult (*ask)(CUdevice d);
} askers[] = {
    {"total", total},
    {"total_v1", total_v1},
    {"create_v1", create_v1},
    {"create_v2", create_v2},
    {"create_v3", create_v3},
    {"create_v4", create_v4},
    {"create_gl", create_gl},
    {"create_vdpau", create_vdpau},
    {"retain", retain},
    {"release", release},
    {"release_v1", release_v1},
    {"reset", reset},
    {"reset_v1", reset_v1},
    {"create_green", create_green},
    {"set_pool", set_pool},
    {"trim_graphs", trim_graphs},
    {"create_memory", create_memory},
    {"create_pool", create_pool},
    {"set_pool_of_location", set_pool_of_location},
    {"graph_node", graph_node},
    {"bind_memory", bind_memory},
    {"bind_address", bind_address},
    {"unbind", unbind},
};

/* All of them, before there is a context and with one; in the end there is
 * room for all that the slice has, to the byte. */
static int ask_odd(int argc, char **argv)
{
    static const CUdevice odd[] = {-1, 2, 15, 16, 17, 64, 1000, INT_MAX, INT_MIN};

    (void)argv;
    cu = kit_cuda();
    cu->cuInit(0);
    for (unsigned with_context = 0; with_context < 2; with_context++) {
        for (gsize i = 0; i < G_N_ELEMENTS(askers); i++)
            for (gsize o = 0; o < G_N_ELEMENTS(odd); o++)
                kit_tell("%s %d %d", askers[i].name, odd[o], askers[i].ask(odd[o]));
        if (!with_context)
            kit_context(0);
    }
    kit_tell("room %d", cu->cuMemAlloc_v2(&(CUdeviceptr){0}, (1024 - 128) * MIB));
    if (argc > 0)
        kit_tell("more %d", cu->cuMemAlloc_v2(&(CUdeviceptr){0}, 1));
    return 0;
}

static void an_ordinal_that_is_none_gets_the_drivers_answer(void)
{
    struct kit *kit = kit_new(unlike);

    kit_env(kit, "CUDA_DEVICE_ORDER", "PCI_BUS_ID");
    kit_env(kit, "CUDA_DEVICE_MEMORY_LIMIT", "1G");
    g_autofree char *limited = NULL;
    g_assert_cmpint(kit_finish(kit_start(kit, "ask_odd", "limited", NULL), &limited, NULL), ==, 0);
    kit_no_preload(kit);
    g_autofree char *alone = kit_run(kit, "ask_odd", NULL);
    g_autofree char *expected = g_strconcat(alone, "more 2\n", NULL);
    g_assert_cmpstr(limited, ==, expected);
    g_assert_nonnull(strstr(limited, "total 2 101\n")); /* invalid device */
    g_assert_true(g_str_has_suffix(alone, "room 0\n"));
    kit_free(kit);
}

/* ---- what a card is said to have ---- */

static int totals(int argc, char **argv)
{
    int n = 0;
    CUresult r = kit_cuda()->cuInit(0);

    (void)argc, (void)argv;
    cu = kit_cuda();
    if (r != CUDA_SUCCESS) {
        kit_tell("init %d", r);
        return 0;
    }
    cu->cuDeviceGetCount(&n);
    for (int i = 0; i < n; i++) {
        size_t bytes = 0, left = 0, all = 0;
        unsigned old = 0;
        CUcontext ctx;
        cu->cuDeviceTotalMem_v2(&bytes, i);
        cu->cuDeviceTotalMem(&old, i);
        cu->cuCtxCreate_v2(&ctx, 0, i);
        cu->cuMemGetInfo_v2(&left, &all);
        kit_tell("%zu %u %zu", bytes / MIB, (unsigned)(old / MIB), all / MIB);
    }
    return 0;
}

static void assert_totals(struct kit *kit, const char *expected)
{
    g_autofree char *out = kit_run(kit, "totals", NULL);

    g_assert_cmpstr(out, ==, expected);
    kit_free(kit);
}

static void a_limit_above_the_card_tells_what_the_card_has(void)
{
    struct kit *kit = kit_new(unlike);

    kit_env(kit, "CUDA_DEVICE_ORDER", "PCI_BUS_ID");
    kit_env(kit, "CUDA_DEVICE_MEMORY_LIMIT_0", "5G");
    kit_env(kit, "CUDA_DEVICE_MEMORY_LIMIT_1", "5G");
    assert_totals(kit, "3072 3072 3072\n5120 4095 5120\n"); /* the first version has 32 bits */
}

static void limits_follow_cards_that_cuda_orders_by_speed(void)
{
    static const struct {
        const char *order, *visible, *expected;
    } rows[] = {
        {NULL, NULL, "2048 2048 2048\n1024 1024 1024\n"}, /* the driver's own order: fastest first */
        {"FASTEST_FIRST", NULL, "2048 2048 2048\n1024 1024 1024\n"},
        {"FASTEST_FIRST", "1", "1024 1024 1024\n"},
        {"FASTEST_FIRST", "1,0", "1024 1024 1024\n2048 2048 2048\n"},
        {"PCI_BUS_ID", NULL, "1024 1024 1024\n2048 2048 2048\n"},
        {"PCI_BUS_ID", "1", "2048 2048 2048\n"},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        struct kit *kit = kit_new(unlike);
        g_test_message("%s %s", rows[i].order, rows[i].visible);
        kit_env(kit, "CUDA_DEVICE_MEMORY_LIMIT_0", "1G"); /* by the bus, as NVML counts */
        kit_env(kit, "CUDA_DEVICE_MEMORY_LIMIT_1", "2G");
        if (rows[i].order)
            kit_env(kit, "CUDA_DEVICE_ORDER", "%s", rows[i].order);
        if (rows[i].visible)
            kit_env(kit, "CUDA_VISIBLE_DEVICES", "%s", rows[i].visible);
        assert_totals(kit, rows[i].expected);
    }
}

/* The list ends at what is no card; a list without any is a machine without. */
static void an_unusable_list_of_cards_shows_those_before_it(void)
{
    static const struct {
        const char *visible, *expected;
    } rows[] = {
        {"0,7", "1024 1024 1024\n"},
        {"1,7,0", "2048 2048 2048\n"},
        {"1,-1,0", "2048 2048 2048\n"},
        {"1,banana,0", "2048 2048 2048\n"},
        {"7", "init 100\n"},
        {"-1", "init 100\n"},
        {"banana", "init 100\n"},
        {"", "init 100\n"},
        {"GPU-", "init 100\n"},
        {"99999999999999999999", "init 100\n"},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        struct kit *kit = kit_new(unlike);
        g_test_message("'%s'", rows[i].visible);
        kit_env(kit, "CUDA_DEVICE_ORDER", "PCI_BUS_ID");
        kit_env(kit, "CUDA_DEVICE_MEMORY_LIMIT_0", "1G");
        kit_env(kit, "CUDA_DEVICE_MEMORY_LIMIT_1", "2G");
        kit_env(kit, "CUDA_VISIBLE_DEVICES", "%s", rows[i].visible);
        assert_totals(kit, rows[i].expected);
    }
}

/* ---- contexts ---- */

static void tell_used(const char *what, CUresult r)
{
    static struct region_view view;

    if (region_read(g_getenv("CUDA_DEVICE_MEMORY_SHARED_CACHE"), &view) != 0)
        view.used[0] = UINT64_MAX;
    kit_tell("%s %d %u %u", what, r, (unsigned)(view.used[0] / MIB), (unsigned)(view.used[1] / MIB));
}

static int on_both(int argc, char **argv)
{
    CUcontext first = NULL, second = NULL, own = NULL;
    CUdeviceptr p = 0;

    (void)argc, (void)argv;
    cu = kit_cuda();
    cu->cuInit(0);
    tell_used("retain first", cu->cuDevicePrimaryCtxRetain(&first, 0));
    tell_used("retain second", cu->cuDevicePrimaryCtxRetain(&second, 1));
    tell_used("create on second", cu->cuCtxCreate_v2(&own, 0, 1));
    tell_used("take", cu->cuMemAlloc_v2(&(CUdeviceptr){0}, 32 * MIB));
    cu->cuCtxSetCurrent(first);
    tell_used("take", cu->cuMemAlloc_v2(&p, 16 * MIB));
    tell_used("too much", cu->cuMemAlloc_v2(&(CUdeviceptr){0}, 512 * MIB));
    cu->cuCtxSetCurrent(second);
    tell_used("not too much", cu->cuMemAlloc_v2(&(CUdeviceptr){0}, 512 * MIB));
    tell_used("free first's", cu->cuMemFree_v2(p));
    tell_used("destroy", cu->cuCtxDestroy_v2(own));
    tell_used("release first", cu->cuDevicePrimaryCtxRelease_v2(0));
    tell_used("release second", cu->cuDevicePrimaryCtxRelease_v2(1));
    return 0;
}

static void contexts_of_two_cards_are_charged_to_their_own(void)
{
    struct kit *kit = kit_new(unlike);
    g_autofree char *out = NULL;

    kit_env(kit, "CUDA_DEVICE_ORDER", "PCI_BUS_ID");
    kit_env(kit, "CUDA_DEVICE_MEMORY_LIMIT_0", "600m");
    kit_env(kit, "CUDA_DEVICE_MEMORY_LIMIT_1", "1G");
    g_assert_cmpint(kit_finish(kit_start(kit, "on_both", NULL), &out, NULL), ==, 0);
    g_assert_cmpstr(out, ==,
                    "retain first 0 128 0\nretain second 0 128 64\ncreate on second 0 128 128\n"
                    "take 0 128 160\ntake 0 144 160\ntoo much 2 144 160\nnot too much 0 144 672\n"
                    "free first's 0 128 672\ndestroy 0 128 576\nrelease first 0 0 576\n"
                    "release second 0 0 0\n");
    kit_free(kit);
}

/* Whatever is asked before a context is made makes none. */
static int no_context(int argc, char **argv)
{
    unsigned flags = 9;
    int active = 9;

    (void)argc, (void)argv;
    cu = kit_cuda();
    cu->cuInit(0);
    cu->cuDeviceTotalMem_v2(&(size_t){0}, 0);
    kit_tell("take %d", cu->cuMemAlloc_v2(&(CUdeviceptr){0}, MIB));
    kit_tell("ask %d", cu->cuMemGetInfo_v2(&(size_t){0}, &(size_t){0}));
    kit_tell("nvml %d", kit_nvml()->nvmlInit_v2());
    for (CUdevice d = 0; d < 2; d++) {
        CUresult r = cu->cuDevicePrimaryCtxGetState(d, &flags, &active);
        kit_tell("state %d flags %u active %d", r, flags, active);
        r = cu->cuDevicePrimaryCtxSetFlags(d, CU_CTX_SCHED_YIELD); /* refused beside a context */
        cu->cuDevicePrimaryCtxGetState(d, &flags, &active);
        kit_tell("set %d flags %u active %d", r, flags, active);
    }
    return 0;
}

static void initialising_makes_no_context(void)
{
    struct kit *kit = kit_new(unlike);

    kit_env(kit, "CUDA_DEVICE_MEMORY_LIMIT", "1G");
    kit_env(kit, "CUDA_DEVICE_SM_LIMIT", "50");
    g_autofree char *out = kit_run(kit, "no_context", NULL);
    g_assert_cmpstr(out, ==,
                    "take 201\nask 201\nnvml 0\n"
                    "state 0 flags 0 active 0\nset 0 flags 2 active 0\n"
                    "state 0 flags 0 active 0\nset 0 flags 2 active 0\n");
    kit_free(kit);
}

/* ---- the export table ---- */

static int look_up(int argc, char **argv)
{
    CUresult (*ask)(const char *, void **, int, cuuint64_t, CUdriverProcAddressQueryResult *);
    void *driver = dlopen("libcuda.so.1", RTLD_NOW), *found = NULL;
    const void *table = NULL;
    CUresult (*get)(const void **, const CUuuid *);
    int n = 0;

    (void)argc, (void)argv;
    *(void **)&get = dlsym(driver, "cuGetExportTable");
    *(void **)&ask = dlsym(driver, "cuGetProcAddress_v2");
    if (!get || ask("cuGetExportTable", &found, 12000, 0, NULL) != CUDA_SUCCESS || !found)
        return 1;
    kit_tell("table %d", get(&table, &(CUuuid){.bytes = "nobody's table"}));
    kit_tell("count %d", kit_cuda()->cuDeviceGetCount(&n)); /* not initialised */
    kit_tell("region %s", access(g_getenv("CUDA_DEVICE_MEMORY_SHARED_CACHE"), F_OK) == 0 ? "made" : "none");
    kit_tell("init %d", kit_cuda()->cuInit(0));
    kit_tell("region %s", access(g_getenv("CUDA_DEVICE_MEMORY_SHARED_CACHE"), F_OK) == 0 ? "made" : "none");
    return 0;
}

static void looking_up_the_export_table_initialises_nothing(void)
{
    struct kit *kit = kit_new(unlike);

    kit_env(kit, "CUDA_DEVICE_MEMORY_LIMIT", "1G");
    g_autofree char *out = kit_run(kit, "look_up", NULL);
    g_assert_true(g_str_has_suffix(out, "\ncount 3\nregion none\ninit 0\nregion made\n"));
    g_autofree char *answer = g_strndup(out, strcspn(out, "\n"));
    kit_no_preload(kit);
    g_autofree char *alone = kit_run(kit, "look_up", NULL);
    g_assert_true(g_str_has_prefix(alone, answer));
    kit_free(kit);
}

static const struct kit_body bodies[] = {
    {"ask_odd", ask_odd},       {"totals", totals},   {"on_both", on_both},
    {"no_context", no_context}, {"look_up", look_up}, {0},
};

#define TEST(name) g_test_add_func("/devices/" #name, name)

int main(int argc, char **argv)
{
    if (kit_is_child(argc, argv))
        return kit_child(argc, argv, bodies);
    g_test_init(&argc, &argv, NULL);
    TEST(an_ordinal_that_is_none_gets_the_drivers_answer);
    TEST(a_limit_above_the_card_tells_what_the_card_has);
    TEST(limits_follow_cards_that_cuda_orders_by_speed);
    TEST(an_unusable_list_of_cards_shows_those_before_it);
    TEST(contexts_of_two_cards_are_charged_to_their_own);
    TEST(initialising_makes_no_context);
    TEST(looking_up_the_export_table_initialises_nothing);
    return g_test_run();
}
