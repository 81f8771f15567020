/* SPDX-License-Identifier: Apache-2.0
 *
 * What memory calls may cost, counted in instructions, in calls of the driver
 * (tens of nanoseconds each on a card, whatever they cost here) and in system
 * calls; see cost.h.
 */
#include <stdlib.h>

#include "cost.h"

#define MIB (UINT64_C(1) << 20)
#define BLOCK 512

/* ---- ways to take memory and give it back ---- */

static struct {
    CUdeviceptr address;
    CUmemGenericAllocationHandle handle, kept;
    CUarray array;
    CUmipmappedArray mipmap;
    CUmemoryPool pool;
    CUgraph graph;
    CUgraphExec exec;
} held;

static const CUmemAllocationProp on_card = {.type = CU_MEM_ALLOCATION_TYPE_PINNED,
                                            .location = {.type = CU_MEM_LOCATION_TYPE_DEVICE, .id = 0}};

static CUresult plain_take(const struct real_cuda *cu)
{
    return cu->cuMemAlloc_v2(&held.address, BLOCK);
}

static CUresult plain_give(const struct real_cuda *cu)
{
    return cu->cuMemFree_v2(held.address);
}

static CUresult pitched_take(const struct real_cuda *cu)
{
    size_t pitch;
    return cu->cuMemAllocPitch_v2(&held.address, &pitch, 500, 4, 4);
}

static CUresult managed_take(const struct real_cuda *cu)
{
    return cu->cuMemAllocManaged(&held.address, BLOCK, CU_MEM_ATTACH_GLOBAL);
}

static CUresult array_take(const struct real_cuda *cu)
{
    const CUDA_ARRAY_DESCRIPTOR shape = {64, 16, CU_AD_FORMAT_FLOAT, 1};
    return cu->cuArrayCreate_v2(&held.array, &shape);
}

static CUresult array_give(const struct real_cuda *cu)
{
    return cu->cuArrayDestroy(held.array);
}

static CUresult mipmap_take(const struct real_cuda *cu)
{
    const CUDA_ARRAY3D_DESCRIPTOR shape = {64, 16, 0, CU_AD_FORMAT_FLOAT, 1, 0};
    return cu->cuMipmappedArrayCreate(&held.mipmap, &shape, 1);
}

static CUresult mipmap_give(const struct real_cuda *cu)
{
    return cu->cuMipmappedArrayDestroy(held.mipmap);
}

static CUresult async_take(const struct real_cuda *cu)
{
    return cu->cuMemAllocAsync(&held.address, BLOCK, NULL);
}

static CUresult async_give(const struct real_cuda *cu)
{
    return cu->cuMemFreeAsync(held.address, NULL);
}

static CUresult from_pool_take(const struct real_cuda *cu)
{
    const CUmemPoolProps props = {.allocType = CU_MEM_ALLOCATION_TYPE_PINNED, .location = on_card.location};
    if (!held.pool && cu->cuMemPoolCreate(&held.pool, &props) != CUDA_SUCCESS)
        return CUDA_ERROR_UNKNOWN;
    return cu->cuMemAllocFromPoolAsync(&held.address, BLOCK, held.pool, NULL);
}

static CUresult created_take(const struct real_cuda *cu)
{
    return cu->cuMemCreate(&held.handle, BLOCK, &on_card, 0);
}

static CUresult created_give(const struct real_cuda *cu)
{
    return cu->cuMemRelease(held.handle);
}

static CUresult keep_one(const struct real_cuda *cu)
{
    return held.kept ? CUDA_SUCCESS : cu->cuMemCreate(&held.kept, BLOCK, &on_card, 0);
}

/* At addresses of its own, two megabytes apart. */
static CUresult mapped_take(const struct real_cuda *cu)
{
    static uint64_t number;
    if (keep_one(cu) != CUDA_SUCCESS)
        return CUDA_ERROR_UNKNOWN;
    held.address = (UINT64_C(0x600000) + number++ % 100000) * 2 * MIB;
    return cu->cuMemMap(held.address, 2 * MIB, 0, held.kept, 0);
}

static CUresult mapped_give(const struct real_cuda *cu)
{
    return cu->cuMemUnmap(held.address, 2 * MIB);
}

/* The handle of an address in the middle of a large mapping. */
static CUresult retained_take(const struct real_cuda *cu)
{
    const CUdeviceptr at = UINT64_C(0x700000) * MIB, small = UINT64_C(0x6f0000) * MIB;
    if (!held.kept) {
        keep_one(cu);
        cu->cuMemMap(small, 2 * MIB, 0, held.kept, 0);
        cu->cuMemMap(at, 65536 * MIB, 0, held.kept, 0);
    }
    /* NOLINTNEXTLINE(performance-no-int-to-ptr): the interface takes an address as a pointer */
    return cu->cuMemRetainAllocationHandle(&held.handle, (void *)(uintptr_t)(at + 40000 * MIB));
}

static CUresult exported_take(const struct real_cuda *cu)
{
    int fd;
    keep_one(cu);
    return cu->cuMemExportToShareableHandle(&fd, held.kept, CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR, 0);
}

static CUresult nothing_give(const struct real_cuda *cu)
{
    (void)cu;
    return CUDA_SUCCESS;
}

static CUresult imported_take(const struct real_cuda *cu)
{
    return cu->cuMemImportFromShareableHandle(&held.handle, NULL, CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR);
}

static CUresult handed_out_take(const struct real_cuda *cu)
{
    CUipcMemHandle handle;
    return cu->cuIpcGetMemHandle(&handle, 4096);
}

static CUresult opened_take(const struct real_cuda *cu)
{
    return cu->cuIpcOpenMemHandle_v2(&held.address, (CUipcMemHandle){{0}}, 1);
}

static CUresult opened_give(const struct real_cuda *cu)
{
    return cu->cuIpcCloseMemHandle(held.address);
}

static CUresult graph_take(const struct real_cuda *cu)
{
    CUDA_MEM_ALLOC_NODE_PARAMS params = {.poolProps = {.location = on_card.location}, .bytesize = BLOCK};
    CUgraphNode node;
    if (cu->cuGraphCreate(&held.graph, 0) != CUDA_SUCCESS ||
        cu->cuGraphAddMemAllocNode(&node, held.graph, NULL, 0, &params) != CUDA_SUCCESS)
        return CUDA_ERROR_UNKNOWN;
    return cu->cuGraphAddMemFreeNode(&node, held.graph, NULL, 0, params.dptr);
}

static CUresult graph_give(const struct real_cuda *cu)
{
    return cu->cuGraphDestroy(held.graph);
}

static CUresult launched_take(const struct real_cuda *cu)
{
    if (!held.exec && (graph_take(cu) != CUDA_SUCCESS ||
                       cu->cuGraphInstantiateWithFlags(&held.exec, held.graph, 0) != CUDA_SUCCESS))
        return CUDA_ERROR_UNKNOWN;
    return cu->cuGraphLaunch(held.exec, NULL);
}

#define WAYS(X)                                                                                              \
    X(plain, plain_take, plain_give)                                                                         \
    X(pitched, pitched_take, plain_give)                                                                     \
    X(managed, managed_take, plain_give)                                                                     \
    X(array, array_take, array_give)                                                                         \
    X(mipmap, mipmap_take, mipmap_give)                                                                      \
    X(async, async_take, async_give)                                                                         \
    X(from_pool, from_pool_take, async_give)                                                                 \
    X(created, created_take, created_give)                                                                   \
    X(mapped, mapped_take, mapped_give)                                                                      \
    X(retained, retained_take, created_give)                                                                 \
    X(exported, exported_take, nothing_give)                                                                 \
    X(imported, imported_take, created_give)                                                                 \
    X(handed_out, handed_out_take, nothing_give)                                                             \
    X(opened, opened_take, opened_give)                                                                      \
    X(graph, graph_take, graph_give)                                                                         \
    X(launched, launched_take, nothing_give)

/* ---- bodies ---- */

typedef CUresult step(const struct real_cuda *cu);

/* Pairs beside COST_LIVE others that stay. */
static int pairs_of(step *take, step *give, const char *n)
{
    const struct real_cuda *cu = kit_cuda();
    const char *live = getenv("COST_LIVE");

    kit_context(0);
    for (int i = live ? atoi(live) : 0; i > 0; i--)
        if (take(cu) != CUDA_SUCCESS)
            return 1;
    for (int i = atoi(n); i > 0; i--)
        if (take(cu) != CUDA_SUCCESS || give(cu) != CUDA_SUCCESS)
            return 1;
    return 0;
}

#define BODY(name, take, give)                                                                               \
    static int name(int argc, char **argv)                                                                   \
    {                                                                                                        \
        (void)argc;                                                                                          \
        return pairs_of(take, give, argv[0]);                                                                \
    }
WAYS(BODY)
#undef BODY

static int refusals(int argc, char **argv)
{
    const struct real_cuda *cu = kit_cuda();
    CUdeviceptr p;

    (void)argc;
    kit_context(0);
    if (cu->cuMemAlloc_v2(&p, 4 * MIB) != CUDA_SUCCESS)
        return 1;
    for (int i = atoi(argv[0]) + 100; i > 0; i--) /* the first ones search, and log a line */
        if (cu->cuMemAlloc_v2(&p, 1020 * MIB + 1) != CUDA_ERROR_OUT_OF_MEMORY)
            return 1;
    return 0;
}

static int queries(int argc, char **argv)
{
    size_t left, total;

    (void)argc;
    kit_context(0);
    for (int i = atoi(argv[0]); i > 0; i--)
        if (kit_cuda()->cuMemGetInfo_v2(&left, &total) != CUDA_SUCCESS)
            return 1;
    return 0;
}

/* ---- the gates ---- */

struct gate {
    const char *body;
    unsigned live; /* others that stay */
    bool against_driver;
    double most; /* instructions per unit of the body that the library may add */
    double asks; /* driver calls that it may add */
};

/* The null driver's own part, which is the same whatever else lives. */
static struct cost of_the_driver(struct kit *kit, const char *body)
{
    static const char *last;
    static struct cost count;

    if (last != body) {
        kit_no_preload(kit);
        count = cost_of(kit, body);
        last = body;
    }
    return count;
}

static void costs_no_more_than(gconstpointer data)
{
    const struct gate *gate = data;
    struct kit *kit = cost_kit_new();
    struct cost with, without = {0};
    double added, asked;

    if (!kit)
        return;
    kit_env(kit, "CUDA_DEVICE_MEMORY_LIMIT", "1G");
    kit_env(kit, "COST_LIVE", "%u", gate->live);
    with = cost_of(kit, gate->body);
    if (gate->against_driver)
        without = of_the_driver(kit, gate->body);
    added = with.instructions - without.instructions;
    asked = with.driver_calls - without.driver_calls;
    g_test_message(
        "%s, %u live: %.1f instructions and %.2f driver calls added, at most %.0f and %.2f allowed",
        gate->body, gate->live, added, asked, gate->most, gate->asks);
    g_assert_cmpfloat(added, <=, gate->most);
    g_assert_cmpfloat(asked, <=, gate->asks);
    kit_free(kit);
}

/* No way of taking memory calls the system, but for what starts the process
 * and, a few times a second at most, wakes its helper. */
static void makes_no_system_calls(gconstpointer data)
{
    struct kit *kit = cost_kit_new();
    unsigned few, many;

    if (!kit)
        return;
    kit_env(kit, "CUDA_DEVICE_MEMORY_LIMIT", "1G");
    cost_system_calls(kit, data, 0); /* makes the region */
    few = cost_system_calls(kit, data, 10);
    many = cost_system_calls(kit, data, 1010);
    g_test_message("%s: %u system calls by 10, %u by 1010", (const char *)data, few, many);
    g_assert_cmpuint(many, <=, few + 3);
    kit_free(kit);
}

/* What the first objects cost: a table begins in memory that is there. */
static void begins_with_few_system_calls(gconstpointer data)
{
    struct kit *kit = cost_kit_new();
    unsigned none, twenty;

    if (!kit)
        return;
    kit_env(kit, "CUDA_DEVICE_MEMORY_LIMIT", "1G");
    cost_system_calls(kit, data, 0); /* makes the region */
    none = cost_system_calls(kit, data, 0);
    kit_env(kit, "COST_LIVE", "20");
    twenty = cost_system_calls(kit, data, 0);
    g_test_message("%s: %u system calls by none, %u by twenty that stay", (const char *)data, none, twenty);
    g_assert_cmpuint(twenty, <=, none + 2);
    kit_free(kit);
}

/* What is above 300 a call: an array's exact size is computed from a table of
 * formats, a graph is its creation, two nodes and its end. Nobody asks the
 * driver but who must: a retained handle's and an opened block's size, what a
 * graph's end may have given back and what its launch may have taken. */
static const struct gate gates[] = {
    {"plain", 0, true, 530, 0},     {"plain", 5000, true, 565, 0},  {"pitched", 0, true, 580, 0},
    {"managed", 0, true, 525, 0},   {"array", 0, true, 795, 0},     {"array", 5000, true, 830, 0},
    {"mipmap", 0, true, 775, 0},    {"async", 0, true, 435, 0},     {"async", 5000, true, 440, 0},
    {"from_pool", 0, true, 450, 0}, {"created", 0, true, 590, 0},   {"created", 5000, true, 625, 0},
    {"mapped", 0, true, 420, 0},    {"mapped", 5000, true, 520, 0}, {"retained", 0, true, 665, 1},
    {"exported", 0, true, 155, 0},  {"imported", 0, true, 380, 0},  {"handed_out", 0, true, 40, 0},
    {"opened", 0, true, 280, 1},    {"opened", 5000, true, 285, 1}, {"graph", 0, true, 1360, 1},
    {"graph", 1000, true, 1710, 1}, {"launched", 0, true, 505, 1},  {"refusals", 0, false, 320, 0},
    {"queries", 0, true, 150, 0},
};

int main(int argc, char **argv)
{
#define ROW(name, take, give) {#name, name},
    static const struct kit_body bodies[] = {WAYS(ROW){"refusals", refusals}, {"queries", queries}, {0}};
#undef ROW
    if (kit_is_child(argc, argv))
        return kit_child(argc, argv, bodies);
    g_test_init(&argc, &argv, NULL);
    g_test_set_nonfatal_assertions(); /* one gate passed does not hide the others */
    for (gsize i = 0; i < G_N_ELEMENTS(gates); i++) {
        g_autofree char *path = g_strdup_printf("/memory_cost/%s_among_%u_cost_no_more_than_their_gate",
                                                gates[i].body, gates[i].live);
        g_test_add_data_func(path, &gates[i], costs_no_more_than);
    }
    for (const struct kit_body *b = bodies; b->name; b++) {
        g_autofree char *path = g_strdup_printf("/memory_cost/%s_makes_no_system_calls", b->name);
        g_test_add_data_func(path, b->name, makes_no_system_calls);
    }
    for (gsize i = 0; i < 3; i++) {
        static const char *const first[] = {"plain", "array", "created"};
        g_autofree char *path = g_strdup_printf("/memory_cost/%s_begins_with_few_system_calls", first[i]);
        g_test_add_data_func(path, first[i], begins_with_few_system_calls);
    }
    return g_test_run();
}
