/* SPDX-License-Identifier: Apache-2.0
 *
 * Every way to take device memory: until it is refused, with the right code
 * and nothing written, and never more than the limit as the driver counts it.
 */
#include <string.h>
#include <unistd.h>

#include "support.h"

#define MIB (UINT64_C(1) << 20)
#define LIMIT_MIB 256
#define CHUNK (24 * MIB)

static const char card[] = KIT_CARDS KIT_CARD("16GiB", "0") KIT_CARD("16GiB", "0");

/* ---- the ways ---- */

static const struct real_cuda *cu;
static CUmemoryPool pool;
#define TRIES 200
#define SOME UINT32_MAX /* not a number that has to be: measurements are asked for by the helper, too */

static CUgraphExec execs[TRIES];
static unsigned n_taken;

union out {
    CUdeviceptr ptr;
    CUdeviceptr_v1 ptr_v1;
    CUarray array;
    CUmipmappedArray mipmap;
    CUmemGenericAllocationHandle handle;
    void *any;
};
static union out out;

static CUresult plain(void)
{
    return cu->cuMemAlloc_v2(&out.ptr, CHUNK);
}

static CUresult managed(void)
{
    return cu->cuMemAllocManaged(&out.ptr, CHUNK, CU_MEM_ATTACH_GLOBAL);
}

static CUresult pitched(void)
{
    size_t pitch;

    return cu->cuMemAllocPitch_v2(&out.ptr, &pitch, 8000, CHUNK / 8192, 16);
}

/* There are fewer addresses of 32 bits than the slice has memory: half of it is taken by others. */
static CUresult pitched_v1(void)
{
    unsigned pitch;

    if (n_taken < 5)
        return pitched();
    return cu->cuMemAllocPitch(&out.ptr_v1, &pitch, 8000, CHUNK / 8192, 16);
}

static CUresult async_default(void)
{
    return cu->cuMemAllocAsync(&out.ptr, CHUNK, NULL);
}

static CUresult async_per_thread(void)
{
    return cu->cuMemAllocAsync_ptsz(&out.ptr, CHUNK, NULL);
}

static CUmemoryPool own_pool(void)
{
    CUmemPoolProps props = {.allocType = CU_MEM_ALLOCATION_TYPE_PINNED,
                            .location = {.type = CU_MEM_LOCATION_TYPE_DEVICE, .id = 0}};

    if (!pool && cu->cuMemPoolCreate(&pool, &props) != CUDA_SUCCESS)
        pool = NULL;
    return pool;
}

static CUresult from_pool(void)
{
    return cu->cuMemAllocFromPoolAsync(&out.ptr, CHUNK, own_pool(), NULL);
}

static CUresult from_pool_per_thread(void)
{
    return cu->cuMemAllocFromPoolAsync_ptsz(&out.ptr, CHUNK, own_pool(), NULL);
}

static CUresult created(void)
{
    CUmemAllocationProp prop = {.type = CU_MEM_ALLOCATION_TYPE_PINNED,
                                .location = {.type = CU_MEM_LOCATION_TYPE_DEVICE, .id = 0}};

    return cu->cuMemCreate(&out.handle, CHUNK, &prop, 0);
}

/* create, map, release at once: the mapping alone keeps the memory. */
static CUresult created_and_mapped(void)
{
    static CUdeviceptr base;
    CUmemGenericAllocationHandle h;
    CUresult r;

    if (!base)
        cu->cuMemAddressReserve(&base, UINT64_C(1) << 35, 0, 0, 0);
    r = created();
    if (r != CUDA_SUCCESS)
        return r;
    h = out.handle;
    r = cu->cuMemMap(base + n_taken * CHUNK, CHUNK, 0, h, 0);
    return r == CUDA_SUCCESS ? cu->cuMemRelease(h) : r;
}

/* Made, and let go of under the handle it was made with: an import keeps it. */
static CUresult created_and_imported(void)
{
    CUmemAllocationProp prop = {.type = CU_MEM_ALLOCATION_TYPE_PINNED,
                                .requestedHandleTypes = CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR,
                                .location = {.type = CU_MEM_LOCATION_TYPE_DEVICE, .id = 0}};
    CUmemGenericAllocationHandle h, again;
    int fd = -1;
    CUresult r = cu->cuMemCreate(&h, CHUNK, &prop, 0);

    if (r == CUDA_SUCCESS)
        r = cu->cuMemExportToShareableHandle(&fd, h, CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR, 0);
    if (r == CUDA_SUCCESS)
        r = cu->cuMemImportFromShareableHandle(&again, (void *)(intptr_t)fd,
                                               CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR);
    if (fd >= 0)
        close(fd);
    return r == CUDA_SUCCESS ? cu->cuMemRelease(h) : r;
}

static CUresult array_2d(void)
{
    CUDA_ARRAY_DESCRIPTOR d = {.Width = 4096, .Height = 1536, .Format = CU_AD_FORMAT_FLOAT, .NumChannels = 1};

    return cu->cuArrayCreate_v2(&out.array, &d);
}

static CUresult array_3d(void)
{
    CUDA_ARRAY3D_DESCRIPTOR d = {
        .Width = 256, .Height = 256, .Depth = 96, .Format = CU_AD_FORMAT_FLOAT, .NumChannels = 1};

    return cu->cuArray3DCreate_v2(&out.array, &d);
}

static CUresult array_3d_v1(void)
{
    CUDA_ARRAY3D_DESCRIPTOR_v1 d = {
        .Width = 256, .Height = 256, .Depth = 96, .Format = CU_AD_FORMAT_FLOAT, .NumChannels = 1};

    return cu->cuArray3DCreate(&out.array, &d);
}

static CUresult mipmapped(void)
{
    CUDA_ARRAY3D_DESCRIPTOR d = {
        .Width = 2048, .Height = 2048, .Format = CU_AD_FORMAT_FLOAT, .NumChannels = 1};

    return cu->cuMipmappedArrayCreate(&out.mipmap, &d, 12);
}

/* The driver clamps the number of levels: none is one. */
static CUresult mipmapped_without_levels(void)
{
    CUDA_ARRAY3D_DESCRIPTOR d = {
        .Width = 4096, .Height = 1536, .Format = CU_AD_FORMAT_FLOAT, .NumChannels = 1};

    return cu->cuMipmappedArrayCreate(&out.mipmap, &d, 0);
}

/* 64 KiB of texels, of which the driver makes 4 MiB. */
static CUresult array_of_short_rows(void)
{
    CUDA_ARRAY_DESCRIPTOR d = {
        .Width = 1, .Height = 65536, .Format = CU_AD_FORMAT_UNSIGNED_INT8, .NumChannels = 1};

    return cu->cuArrayCreate_v2(&out.array, &d);
}

/* All that the slice has and more at once. */
static CUresult layers_of_short_rows(void)
{
    CUDA_ARRAY3D_DESCRIPTOR d = {.Width = 1,
                                 .Height = 65536,
                                 .Depth = 1000,
                                 .Format = CU_AD_FORMAT_UNSIGNED_INT8,
                                 .NumChannels = 1,
                                 .Flags = 0x01};

    return cu->cuArray3DCreate_v2(&out.array, &d);
}

/* The driver makes 2 MiB of each. */
static CUresult odd_megabytes(void)
{
    return cu->cuMemAlloc_v2(&out.ptr, MIB);
}

static CUresult launch(CUgraph graph)
{
    CUresult r = cu->cuGraphInstantiateWithFlags(&execs[n_taken], graph, 0);

    return r == CUDA_SUCCESS ? cu->cuGraphLaunch(execs[n_taken], NULL) : r;
}

static CUresult graph_node(void)
{
    CUDA_MEM_ALLOC_NODE_PARAMS params = {
        .poolProps = {.allocType = CU_MEM_ALLOCATION_TYPE_PINNED,
                      .location = {.type = CU_MEM_LOCATION_TYPE_DEVICE, .id = 0}},
        .bytesize = CHUNK};
    CUgraph graph;
    CUgraphNode node;
    CUresult r = cu->cuGraphCreate(&graph, 0);

    if (r == CUDA_SUCCESS)
        r = cu->cuGraphAddMemAllocNode(&node, graph, NULL, 0, &params);
    return r == CUDA_SUCCESS ? launch(graph) : r;
}

/* More pools than anybody needs: the last one that can be made. */
static void make_many_pools(void)
{
    CUmemPoolProps props = {.allocType = CU_MEM_ALLOCATION_TYPE_PINNED,
                            .location = {.type = CU_MEM_LOCATION_TYPE_DEVICE, .id = 0}};

    for (unsigned i = 0; i < 300 && n_taken == 0; i++)
        cu->cuMemPoolCreate(&pool, &props);
}

static CUresult from_one_of_many_pools(void)
{
    make_many_pools();
    return from_pool();
}

static CUresult graph_beside_many_pools(void)
{
    make_many_pools();
    return graph_node();
}

static CUDA_MEM_ALLOC_NODE_PARAMS node_params = {
    .poolProps = {.allocType = CU_MEM_ALLOCATION_TYPE_PINNED,
                  .location = {.type = CU_MEM_LOCATION_TYPE_DEVICE, .id = 0}},
    .bytesize = CHUNK};

/* Memory that a launch left and others freed is not there for the next launch:
 * all are launched a second time, and nothing is freed. */
static CUresult graph_again(void)
{
    enum { GRAPHS = 20 }; /* twice what fits; the addresses of 200 are more than an emulated process has */
    CUdeviceptr ptr;
    CUresult r = CUDA_SUCCESS;
    CUgraph graph;
    CUgraphNode node;

    for (unsigned i = 0; n_taken == 0 && i < GRAPHS && r == CUDA_SUCCESS; i++) {
        cu->cuGraphCreate(&graph, 0);
        r = cu->cuGraphAddMemAllocNode(&node, graph, NULL, 0, &node_params);
        ptr = node_params.dptr;
        if (r == CUDA_SUCCESS)
            r = cu->cuGraphInstantiateWithFlags(&execs[i], graph, 0);
        if (r == CUDA_SUCCESS)
            r = cu->cuGraphLaunch(execs[i], NULL);
        if (r == CUDA_SUCCESS)
            r = cu->cuMemFreeAsync(ptr, NULL);
        cu->cuCtxSynchronize();
    }
    if (n_taken >= GRAPHS)
        return CUDA_ERROR_UNKNOWN; /* nothing was refused */
    return r == CUDA_SUCCESS ? cu->cuGraphLaunch(execs[n_taken], NULL) : r;
}

/* A child of a child of a child ... */
static CUresult graph_of_deep_children(void)
{
    CUgraph graph, outer;
    CUgraphNode node;
    CUresult r = cu->cuGraphCreate(&graph, 0);

    if (r == CUDA_SUCCESS)
        r = cu->cuGraphAddMemAllocNode(&node, graph, NULL, 0, &node_params);
    for (unsigned i = 0; i < 40 && r == CUDA_SUCCESS; i++) {
        cu->cuGraphCreate(&outer, 0);
        r = cu->cuGraphAddChildGraphNode(&node, outer, NULL, 0, graph);
        graph = outer;
    }
    return r == CUDA_SUCCESS ? launch(graph) : r;
}

/* What a graph had between its launches another one keeps by the next. */
static CUresult graph_beside_kept_memory(void)
{
    static CUgraphExec pair;
    CUgraphNode node, end;
    CUgraph graph;

    if (!pair) {
        CUDA_MEM_ALLOC_NODE_PARAMS params = node_params;

        params.bytesize = 200 * MIB;
        cu->cuGraphCreate(&graph, 0);
        cu->cuGraphAddMemAllocNode(&node, graph, NULL, 0, &params);
        cu->cuGraphAddMemFreeNode(&end, graph, &node, 1, params.dptr);
        cu->cuGraphInstantiateWithFlags(&pair, graph, 0);
        CUresult r = cu->cuGraphLaunch(pair, NULL);
        for (n_taken = 0; r == CUDA_SUCCESS && n_taken < 8; n_taken++)
            r = graph_node();
        if (r != CUDA_SUCCESS)
            return r;
    }
    return cu->cuGraphLaunch(pair, NULL);
}

/* As many allocations as do not fit, each with a free node of its own: one
 * after the other, or all at once. */
static CUresult graph_of_pairs(bool at_once)
{
    CUgraphNode allocs[20], frees[20];
    CUgraph graph;
    CUresult r = cu->cuGraphCreate(&graph, 0);

    for (unsigned i = 0; i < 20 && r == CUDA_SUCCESS; i++) {
        bool first = at_once || i == 0;
        CUDA_MEM_ALLOC_NODE_PARAMS params = node_params;

        r = cu->cuGraphAddMemAllocNode(&allocs[i], graph, first ? NULL : &frees[i - 1], !first, &params);
        if (r == CUDA_SUCCESS)
            r = cu->cuGraphAddMemFreeNode(&frees[i], graph, &allocs[i], 1, params.dptr);
        for (unsigned before = 0; at_once && before < i && r == CUDA_SUCCESS; before++)
            r = cu->cuGraphAddDependencies(graph, &allocs[i], &frees[before], 1);
    }
    return r == CUDA_SUCCESS ? launch(graph) : r;
}

static CUresult graph_pairs_at_once(void)
{
    return graph_of_pairs(true);
}

/* Fits: the last one waits in memory of its own. */
static CUresult graph_pairs_in_turn(void)
{
    return n_taken ? CUDA_ERROR_OUT_OF_MEMORY : graph_of_pairs(false);
}

/* The memory is a child's, which the parent takes over. */
static CUresult graph_child(void)
{
    CUDA_MEM_ALLOC_NODE_PARAMS params = node_params;
    CUgraph parent, child;
    CUgraphNode node;
    CUresult r = cu->cuGraphCreate(&parent, 0);

    if (r == CUDA_SUCCESS)
        r = cu->cuGraphCreate(&child, 0);
    if (r == CUDA_SUCCESS)
        r = cu->cuGraphAddMemAllocNode(&node, child, NULL, 0, &params);
    if (r == CUDA_SUCCESS)
        r = cu->cuGraphAddNode_v2(
            &node, parent, NULL, NULL, 0,
            &(CUgraphNodeParams){
                .type = CU_GRAPH_NODE_TYPE_GRAPH,
                .graph = {.graph = child, .ownership = CU_GRAPH_CHILD_GRAPH_OWNERSHIP_MOVE}});
    return r == CUDA_SUCCESS ? launch(parent) : r;
}

/* A little of the second card first, then of the one that is looked at. */
static CUresult graph_of_two_cards(void)
{
    CUDA_MEM_ALLOC_NODE_PARAMS other = node_params, params = node_params;
    CUgraph graph;
    CUgraphNode node;
    CUresult r = cu->cuGraphCreate(&graph, 0);

    other.poolProps.location.id = 1;
    other.bytesize = MIB;
    if (r == CUDA_SUCCESS)
        r = cu->cuGraphAddMemAllocNode(&node, graph, NULL, 0, &other);
    if (r == CUDA_SUCCESS)
        r = cu->cuGraphAddMemAllocNode(&node, graph, NULL, 0, &params);
    return r == CUDA_SUCCESS ? launch(graph) : r;
}

/* Drivers take a graph's memory when it is uploaded. */
static CUresult graph_uploaded(bool at_once)
{
    CUDA_GRAPH_INSTANTIATE_PARAMS how = {.flags = CUDA_GRAPH_INSTANTIATE_FLAG_UPLOAD};
    CUgraph graph;
    CUgraphNode node;
    CUresult r = cu->cuGraphCreate(&graph, 0);

    for (unsigned i = 0; i < 20 && r == CUDA_SUCCESS; i++) {
        CUDA_MEM_ALLOC_NODE_PARAMS params = node_params;
        r = cu->cuGraphAddMemAllocNode(&node, graph, NULL, 0, &params);
    }
    if (r == CUDA_SUCCESS && at_once)
        return cu->cuGraphInstantiateWithParams(&execs[n_taken], graph, &how);
    if (r == CUDA_SUCCESS)
        r = cu->cuGraphInstantiateWithFlags(&execs[n_taken], graph, 0);
    return r == CUDA_SUCCESS ? cu->cuGraphUpload(execs[n_taken], NULL) : r;
}

static CUresult graph_upload(void)
{
    return graph_uploaded(false);
}

static CUresult graph_instantiated_with_upload(void)
{
    return graph_uploaded(true);
}

static CUresult captured(void)
{
    CUstream stream;
    CUgraph graph = NULL;
    CUdeviceptr p;
    CUresult r = cu->cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING), ended;

    if (r == CUDA_SUCCESS)
        r = cu->cuStreamBeginCapture_v2(stream, CU_STREAM_CAPTURE_MODE_GLOBAL);
    if (r != CUDA_SUCCESS)
        return r;
    r = cu->cuMemAllocAsync(&p, CHUNK, stream);
    ended = cu->cuStreamEndCapture(stream, &graph);
    if (r == CUDA_SUCCESS)
        r = ended;
    return r == CUDA_SUCCESS ? launch(graph) : r;
}

static const struct way {
    const char *name;
    CUresult (*take)(void);
    unsigned fit;          /* how many fit the limit; pools grow by 32 MiB */
    unsigned rounding_mib; /* what the driver rounds up in all, beyond the bytes asked for */
} ways[] = {
    {"plain", plain, 10, 0},
    {"managed", managed, 10, 0},
    {"pitched", pitched, 10, 0},
    {"pitched_v1", pitched_v1, 10, 0},
    {"async_default", async_default, 8, 0},
    {"async_per_thread", async_per_thread, 8, 0},
    {"from_pool", from_pool, 8, 0},
    {"from_pool_per_thread", from_pool_per_thread, 8, 0},
    {"created", created, 10, 0},
    {"created_and_mapped", created_and_mapped, 10, 0},
    {"created_and_imported", created_and_imported, 10, 0},
    {"array_2d", array_2d, 10, 0},
    {"array_3d", array_3d, 10, 0},
    {"array_3d_v1", array_3d_v1, 10, 0},
    {"mipmapped", mipmapped, 12, 8},
    {"mipmapped_without_levels", mipmapped_without_levels, 10, 0},
    {"array_of_short_rows", array_of_short_rows, SOME, 24},
    {"layers_of_short_rows", layers_of_short_rows, 0, 0},
    {"odd_megabytes", odd_megabytes, SOME, 24},
    {"from_one_of_many_pools", from_one_of_many_pools, 8, 0},
    {"graph_beside_many_pools", graph_beside_many_pools, 10, 0},
    {"graph_node", graph_node, 10, 0},
    {"graph_again", graph_again, 10, 0},
    {"graph_of_deep_children", graph_of_deep_children, 0, 0},
    {"graph_beside_kept_memory", graph_beside_kept_memory, 8, 0},
    {"captured", captured, 10, 0},
    {"graph_pairs_at_once", graph_pairs_at_once, 0, 0},
    {"graph_pairs_in_turn", graph_pairs_in_turn, 1, 0},
    {"graph_child", graph_child, 10, 0},
    {"graph_of_two_cards", graph_of_two_cards, 10, 0},
    {"graph_upload", graph_upload, 0, 0},
    {"graph_instantiated_with_upload", graph_instantiated_with_upload, 0, 0},
};

/* ---- bodies ---- */

/* Takes until refused, tells how often and the code, and holds. */
static int take_all(int argc, char **argv)
{
    const struct way *way = NULL;
    CUresult r = CUDA_SUCCESS;
    union out before;

    (void)argc;
    cu = kit_cuda();
    kit_context(0);
    for (gsize i = 0; i < G_N_ELEMENTS(ways); i++)
        if (strcmp(ways[i].name, argv[0]) == 0)
            way = &ways[i];
    while (n_taken < TRIES && r == CUDA_SUCCESS) {
        memset(&out, 0x5a, sizeof out);
        before = out;
        r = way->take();
        n_taken += r == CUDA_SUCCESS;
    }
    kit_tell("%u %d %s", n_taken, r, memcmp(&out, &before, sizeof out) == 0 ? "untouched" : "touched");
    kit_hear();
    return 0;
}

/* Odd sizes until refused: what the driver rounds up is charged by then. All is freed, and nothing more is
 * done: is as much free as before after some looks of the helper? Free now and then, wherever it is between
 * two of them. */
enum { GIVE_BACKS = 3, LOOKS = 500 };

static const char *give_back_once(void)
{
    size_t before = 0, left = 0, total;
    CUdeviceptr p[TRIES];
    unsigned n = 0, looks = 0;

    cu->cuMemGetInfo_v2(&before, &total);
    while (n < TRIES && cu->cuMemAlloc_v2(&p[n], MIB + 1) == CUDA_SUCCESS)
        n++;
    for (unsigned i = 0; i < n; i++)
        cu->cuMemFree_v2(p[i]);
    do {
        g_usleep(20000);
        cu->cuMemGetInfo_v2(&left, &total);
    } while (left < before && ++looks < LOOKS);
    return n == TRIES || looks == 0 ? "never charged" : looks < LOOKS ? "back" : "kept";
}

static int give_back(int argc, char **argv)
{
    const char *said = "back";

    (void)argc, (void)argv;
    cu = kit_cuda();
    kit_context(0);
    for (unsigned i = 0; i < GIVE_BACKS && strcmp(said, "back") == 0; i++) {
        said = give_back_once();
        g_usleep(300000 * i);
    }
    kit_tell("%s", said);
    return 0;
}

static int physical(int argc, char **argv)
{
    size_t left = 0, total = 0;

    (void)argc, (void)argv;
    kit_context(0);
    kit_cuda()->cuMemGetInfo_v2(&left, &total);
    kit_tell("%zu", total - left);
    return 0;
}

/* ---- tests ---- */

/* What the driver says is used on the card, asked by a bare process. */
static uint64_t physical_bytes(struct kit *kit)
{
    g_autofree char *preload = g_strdup(kit_get_env(kit, "LD_PRELOAD"));
    g_autofree char *text = NULL;

    kit_no_preload(kit);
    text = kit_run(kit, "physical", NULL);
    kit_env(kit, "LD_PRELOAD", "%s", preload);
    return g_ascii_strtoull(text, NULL, 10);
}

static void a_way_ends_at_the_limit(gconstpointer data)
{
    const struct way *way = data;
    struct kit *kit = kit_new(card);
    struct kit_process *p;
    g_autofree char *line = NULL, *expected = g_strdup_printf("%u 2 untouched", way->fit);
    const char *ends = way->fit == SOME ? strchr(expected, ' ') : expected;

    kit_env(kit, "CUDA_DEVICE_MEMORY_LIMIT", "%dm", LIMIT_MIB);
    p = kit_start(kit, "take_all", way->name, NULL);
    line = kit_line(p);
    g_assert_cmpstr(way->fit == SOME ? strchr(line, ' ') : line, ==, ends);
    g_assert_cmpuint(physical_bytes(kit), <=, (LIMIT_MIB + way->rounding_mib) * MIB);
    kit_say(p, "end");
    g_assert_cmpint(kit_finish(p, NULL, NULL), ==, 0);
    kit_free(kit);
}

static void what_was_rounded_up_is_given_back(void)
{
    struct kit *kit = kit_new(card);
    struct kit_process *p;
    g_autofree char *line = NULL;

    kit_env(kit, "CUDA_DEVICE_MEMORY_LIMIT", "%dm", LIMIT_MIB);
    p = kit_start(kit, "give_back", NULL);
    line = kit_line(p);
    g_assert_cmpstr(line, ==, "back");
    g_assert_cmpint(kit_finish(p, NULL, NULL), ==, 0);
    kit_free(kit);
}

static const struct kit_body bodies[] = {
    {"take_all", take_all}, {"give_back", give_back}, {"physical", physical}, {0}};

int main(int argc, char **argv)
{
    if (kit_is_child(argc, argv))
        return kit_child(argc, argv, bodies);
    g_test_init(&argc, &argv, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(ways); i++) {
        g_autofree char *path = g_strdup_printf("/memory_paths/%s_memory_ends_at_the_limit", ways[i].name);
        g_test_add_data_func(path, &ways[i], a_way_ends_at_the_limit);
    }
    g_test_add_func("/memory_paths/what_was_rounded_up_is_given_back", what_was_rounded_up_is_given_back);
    return g_test_run();
}
