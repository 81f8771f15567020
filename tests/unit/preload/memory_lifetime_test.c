/* SPDX-License-Identifier: Apache-2.0
 *
 * How long memory stays charged: physical objects, pools, graphs, contexts.
 * After every step the ledger equals what the driver has physically given.
 */
#include <glib.h>
#include <unistd.h>

#include "abi/cuda_api.h"
#include "fake_driver.h"
#include "region/extension.h"
#include "region/ledger.h"

CUresult fake_graph_launch(unsigned d, uint64_t n);

static void check(unsigned d, uint64_t expected)
{
    memory_settle();
    g_assert_cmpuint(ledger_used(&slice.region, d), ==, expected);
    g_assert_cmpuint(fake.taken[d], ==, expected);
}

static CUmemGenericAllocationHandle create(size_t n, CUmemLocationType type, int id, CUresult expected)
{
    CUmemAllocationProp prop = {.type = CU_MEM_ALLOCATION_TYPE_PINNED, .location = {.type = type, .id = id}};
    CUmemGenericAllocationHandle h = 0;

    g_assert_cmpint(cuMemCreate(&h, n, &prop, 0), ==, expected);
    return h;
}

#define VA UINT64_C(0x300000000000)

/* ---- physical objects ---- */

static void created_memory_is_charged_until_its_last_hold_ends(void)
{
    CUmemGenericAllocationHandle h;

    fake_begin(64 * MIB, 0);
    h = create(4 * MIB, CU_MEM_LOCATION_TYPE_DEVICE, 0, CUDA_SUCCESS);
    check(0, 4 * MIB);
    g_assert_cmpint(cuMemMap(VA, 4 * MIB, 0, h, 0), ==, CUDA_SUCCESS);
    g_assert_cmpint(cuMemRelease(h), ==, CUDA_SUCCESS); /* before the unmap, as llama.cpp does */
    check(0, 4 * MIB);
    g_assert_cmpint(cuMemUnmap(VA, 4 * MIB), ==, CUDA_SUCCESS);
    check(0, 0);
    h = create(4 * MIB, CU_MEM_LOCATION_TYPE_DEVICE, 0, CUDA_SUCCESS);
    g_assert_cmpint(cuMemMap(VA, 4 * MIB, 0, h, 0), ==, CUDA_SUCCESS);
    g_assert_cmpint(cuMemUnmap(VA, 4 * MIB), ==, CUDA_SUCCESS);
    check(0, 4 * MIB);
    g_assert_cmpint(cuMemRelease(h), ==, CUDA_SUCCESS);
    check(0, 0);
    fake_end();
}

static void release_before_unmap_cannot_be_repeated_past_the_limit(void)
{
    fake_begin(16 * MIB, 0);
    for (unsigned i = 0; i < 4; i++) {
        CUmemGenericAllocationHandle h = create(4 * MIB, CU_MEM_LOCATION_TYPE_DEVICE, 0, CUDA_SUCCESS);
        g_assert_cmpint(cuMemMap(VA + i * 4 * MIB, 4 * MIB, 0, h, 0), ==, CUDA_SUCCESS);
        g_assert_cmpint(cuMemRelease(h), ==, CUDA_SUCCESS);
    }
    create(2 * MIB, CU_MEM_LOCATION_TYPE_DEVICE, 0, CUDA_ERROR_OUT_OF_MEMORY);
    check(0, 16 * MIB);
    g_assert_cmpint(cuMemUnmap(VA, 16 * MIB), ==, CUDA_SUCCESS); /* all four at once */
    check(0, 0);
    fake_end();
}

static void every_mapping_and_every_retained_handle_holds(void)
{
    CUmemGenericAllocationHandle h, retained = 0;

    fake_begin(64 * MIB, 0);
    h = create(4 * MIB, CU_MEM_LOCATION_TYPE_DEVICE, 0, CUDA_SUCCESS);
    g_assert_cmpint(cuMemMap(VA, 4 * MIB, 0, h, 0), ==, CUDA_SUCCESS);
    g_assert_cmpint(cuMemMap(VA + 64 * MIB, 4 * MIB, 0, h, 0), ==, CUDA_SUCCESS);
    g_assert_cmpint(cuMemRetainAllocationHandle(&retained, (void *)(uintptr_t)(VA + MIB)), ==, CUDA_SUCCESS);
    g_assert_cmpint(cuMemRelease(h), ==, CUDA_SUCCESS);
    g_assert_cmpint(cuMemUnmap(VA, 4 * MIB), ==, CUDA_SUCCESS);
    check(0, 4 * MIB);
    g_assert_cmpint(cuMemUnmap(VA + 64 * MIB, 4 * MIB), ==, CUDA_SUCCESS);
    check(0, 4 * MIB);
    g_assert_cmpint(cuMemRelease(retained), ==, CUDA_SUCCESS);
    check(0, 0);
    g_assert_cmpint(cuMemRelease(retained), ==, CUDA_ERROR_INVALID_VALUE);
    check(0, 0);
    fake_end();
}

static void failed_vmm_calls_change_no_count(void)
{
    CUmemGenericAllocationHandle h;

    fake_begin(64 * MIB, 0);
    h = create(4 * MIB, CU_MEM_LOCATION_TYPE_DEVICE, 0, CUDA_SUCCESS);
    fake.fail_next = CUDA_ERROR_NOT_READY;
    g_assert_cmpint(cuMemRelease(h), ==, CUDA_ERROR_NOT_READY);
    fake.fail_next = CUDA_ERROR_INVALID_VALUE;
    g_assert_cmpint(cuMemMap(VA, 4 * MIB, 0, h, 0), ==, CUDA_ERROR_INVALID_VALUE);
    g_assert_cmpint(cuMemMap(VA, 4 * MIB, 0, h, 0), ==, CUDA_SUCCESS);
    fake.fail_next = CUDA_ERROR_NOT_READY;
    g_assert_cmpint(cuMemUnmap(VA, 4 * MIB), ==, CUDA_ERROR_NOT_READY);
    g_assert_cmpint(cuMemRelease(h), ==, CUDA_SUCCESS);
    check(0, 4 * MIB);
    g_assert_cmpint(cuMemUnmap(VA, 4 * MIB), ==, CUDA_SUCCESS);
    check(0, 0);
    fake_end();
}

static void the_location_decides_who_is_charged(void)
{
    fake_begin(64 * MIB, 64 * MIB);
    create(4 * MIB, CU_MEM_LOCATION_TYPE_DEVICE, 1, CUDA_SUCCESS); /* current device is 0 */
    g_assert_cmpuint(ledger_used(&slice.region, 0), ==, 0);
    check(1, 4 * MIB);
    cuCtxSetCurrent(NULL); /* threads without a context create memory too */
    create(4 * MIB, CU_MEM_LOCATION_TYPE_DEVICE, 0, CUDA_SUCCESS);
    check(0, 4 * MIB);
    create(640 * MIB, CU_MEM_LOCATION_TYPE_HOST, 0, CUDA_SUCCESS);
    create(640 * MIB, CU_MEM_LOCATION_TYPE_HOST_NUMA, 1, CUDA_SUCCESS);
    check(0, 4 * MIB);
    check(1, 4 * MIB);
    fake_end();
}

/* ---- pools ---- */

static void a_pool_is_charged_what_it_reserves(void)
{
    CUdeviceptr p[4] = {0};
    CUmemoryPool pool;

    fake_begin(64 * MIB, 0);
    for (int i = 0; i < 4; i++)
        g_assert_cmpint(cuMemAllocAsync(&p[i], MIB, NULL), ==, CUDA_SUCCESS);
    check(0, 4 * MIB);
    for (int i = 0; i < 4; i++)
        g_assert_cmpint(cuMemFreeAsync(p[i], NULL), ==, CUDA_SUCCESS);
    check(0, 4 * MIB); /* the pool keeps its pages */
    g_assert_cmpint(cuMemAllocAsync(&p[0], 3 * MIB, NULL), ==, CUDA_SUCCESS);
    check(0, 4 * MIB);                                     /* and uses them again */
    g_assert_cmpint(cuMemFree_v2(p[0]), ==, CUDA_SUCCESS); /* cuMemFree takes such pointers too */
    real.cuDeviceGetDefaultMemPool(&pool, 0);
    g_assert_cmpint(cuMemPoolTrimTo(pool, 0), ==, CUDA_SUCCESS);
    check(0, 0);
    fake_end();
}

static void a_pool_cannot_grow_past_the_limit(void)
{
    CUdeviceptr p = 0, q = 42;

    fake_begin(9 * MIB, 0);
    g_assert_cmpint(cuMemAllocAsync(&p, 7 * MIB, NULL), ==, CUDA_SUCCESS);
    check(0, 8 * MIB);
    g_assert_cmpint(cuMemAllocAsync(&q, 2 * MIB, NULL), ==, CUDA_ERROR_OUT_OF_MEMORY);
    g_assert_cmpuint(q, ==, 42);
    check(0, 8 * MIB);
    g_assert_cmpint(cuMemAllocAsync(&q, MIB, NULL), ==, CUDA_SUCCESS); /* fits what is reserved */
    check(0, 8 * MIB);
    fake_end();
}

static void growth_beyond_the_estimate_is_undone_when_it_does_not_fit(void)
{
    CUdeviceptr p = 0, q = 42;

    fake_begin(40 * MIB, 0);
    fake.pool_growth = 32 * MIB;
    g_assert_cmpint(cuMemAllocAsync(&p, MIB, NULL), ==, CUDA_SUCCESS);
    check(0, 32 * MIB);
    g_assert_cmpint(cuMemAllocAsync(&q, 33 * MIB, NULL), ==, CUDA_ERROR_OUT_OF_MEMORY);
    g_assert_cmpuint(q, ==, 42);
    memory_settle();
    g_assert_cmpuint(ledger_used(&slice.region, 0), <=, 40 * MIB);
    g_assert_cmpuint(fake.taken[0], ==, ledger_used(&slice.region, 0));
    g_assert_cmpint(cuMemFreeAsync(p, NULL), ==, CUDA_SUCCESS);
    g_assert_cmpint(cuMemAlloc_v2(&p, 40 * MIB), ==, CUDA_SUCCESS);
    check(0, 40 * MIB);
    fake_end();
}

static void unused_pool_memory_makes_way_for_a_plain_allocation(void)
{
    CUdeviceptr p = 0;

    fake_begin(16 * MIB, 0);
    g_assert_cmpint(cuMemAllocAsync(&p, 12 * MIB, NULL), ==, CUDA_SUCCESS);
    g_assert_cmpint(cuMemFreeAsync(p, NULL), ==, CUDA_SUCCESS);
    check(0, 12 * MIB);
    g_assert_cmpint(cuMemAlloc_v2(&p, 16 * MIB), ==, CUDA_SUCCESS);
    check(0, 16 * MIB);
    fake_end();
}

/* What another thread may do while the driver is being asked. */
static CUresult (*driver_alloc_async)(CUdeviceptr *, size_t, CUstream);

static CUresult trimmed_meanwhile(CUdeviceptr *ret, size_t n, CUstream stream)
{
    CUmemoryPool pool;
    CUdeviceptr p = 0;

    real.cuDeviceGetDefaultMemPool(&pool, 0);
    g_assert_cmpint(cuMemPoolTrimTo(pool, 0), ==, CUDA_SUCCESS);
    memory_settle();
    g_assert_cmpint(cuMemAlloc_v2(&p, 8 * MIB), ==, CUDA_ERROR_OUT_OF_MEMORY);
    return driver_alloc_async(ret, n, stream);
}

static void memory_that_an_allocation_counts_on_is_not_given_away(void)
{
    CUdeviceptr p = 0, q = 0;

    fake_begin(16 * MIB, 0);
    g_assert_cmpint(cuMemAllocAsync(&p, 8 * MIB, NULL), ==, CUDA_SUCCESS);
    g_assert_cmpint(cuMemAlloc_v2(&q, 8 * MIB), ==, CUDA_SUCCESS);
    g_assert_cmpint(cuMemFreeAsync(p, NULL), ==, CUDA_SUCCESS); /* the pool keeps it */
    driver_alloc_async = real.cuMemAllocAsync;
    real.cuMemAllocAsync = trimmed_meanwhile;
    g_assert_cmpint(cuMemAllocAsync(&p, 8 * MIB, NULL), ==, CUDA_SUCCESS);
    check(0, 16 * MIB);
    fake_end();
}

static CUresult fails_once_asked(CUdeviceptr *ret, size_t n, CUstream stream)
{
    (void)ret, (void)n, (void)stream;
    g_assert_cmpuint(ledger_used(&slice.region, 0), ==, 2 * MIB);
    return CUDA_ERROR_UNKNOWN;
}

static void a_failed_allocation_gives_its_growth_back(void)
{
    CUdeviceptr p = 0;

    fake_begin(16 * MIB, 0);
    real.cuMemAllocAsync = fails_once_asked;
    g_assert_cmpint(cuMemAllocAsync(&p, MIB, NULL), ==, CUDA_ERROR_UNKNOWN);
    check(0, 0);
    fake_end();
}

static CUmemoryPool make_pool(CUmemLocationType type, int id)
{
    CUmemPoolProps props = {.allocType = CU_MEM_ALLOCATION_TYPE_PINNED, .location = {.type = type, .id = id}};
    CUmemoryPool pool = NULL;

    g_assert_cmpint(cuMemPoolCreate(&pool, &props), ==, CUDA_SUCCESS);
    return pool;
}

static void explicit_pools_are_charged_to_their_device(void)
{
    CUdeviceptr p = 0;
    CUmemoryPool pool, host;

    fake_begin(64 * MIB, 64 * MIB);
    pool = make_pool(CU_MEM_LOCATION_TYPE_DEVICE, 1);
    host = make_pool(CU_MEM_LOCATION_TYPE_HOST, 0);
    g_assert_cmpint(cuMemAllocFromPoolAsync(&p, 3 * MIB, pool, NULL), ==, CUDA_SUCCESS);
    check(1, 4 * MIB);
    g_assert_cmpint(cuMemAllocFromPoolAsync(&p, 300 * MIB, host, NULL), ==, CUDA_SUCCESS);
    check(0, 0);
    g_assert_cmpint(cuDeviceSetMemPool(0, make_pool(CU_MEM_LOCATION_TYPE_DEVICE, 0)), ==, CUDA_SUCCESS);
    g_assert_cmpint(cuMemAllocAsync(&p, 5 * MIB, NULL), ==, CUDA_SUCCESS); /* the current pool */
    check(0, 6 * MIB);
    fake_end();
}

/* One block in each of a pool's pieces keeps them all. */
static void a_destroyed_pool_is_charged_until_nothing_lives_in_it(void)
{
    CUdeviceptr p[5] = {0};
    CUmemoryPool pool;

    fake_begin(64 * MIB, 0);
    pool = make_pool(CU_MEM_LOCATION_TYPE_DEVICE, 0);
    for (int i = 0; i < 5; i++)
        g_assert_cmpint(cuMemAllocFromPoolAsync(&p[i], 4 * MIB, pool, NULL), ==, CUDA_SUCCESS);
    g_assert_cmpint(cuMemFreeAsync(p[4], NULL), ==, CUDA_SUCCESS);
    g_assert_cmpint(cuMemPoolDestroy(pool), ==, CUDA_SUCCESS); /* what is unused goes with it */
    for (int i = 0; i < 3; i++) {
        g_assert_cmpuint(ledger_used(&slice.region, 0), ==, 16 * MIB);
        g_assert_cmpint(cuMemFreeAsync(p[i], NULL), ==, CUDA_SUCCESS);
    }
    g_assert_cmpuint(ledger_used(&slice.region, 0), ==, 16 * MIB);
    g_assert_cmpint(cuMemFreeAsync(p[3], NULL), ==, CUDA_SUCCESS);
    check(0, 0);
    fake_end();
}

/* ---- graphs ---- */

static void graph_memory_is_reserved_before_the_launch(void)
{
    CUDA_MEM_ALLOC_NODE_PARAMS params = {
        .poolProps.location = {.type = CU_MEM_LOCATION_TYPE_DEVICE, .id = 0}};
    CUgraph graph = (CUgraph)0x100;
    CUgraphExec exec = (CUgraphExec)0x200;
    struct memory_graph g;
    CUgraphNode node;

    fake_begin(16 * MIB, 0);
    params.bytesize = 17 * MIB;
    g_assert_cmpint(cuGraphAddMemAllocNode(&node, graph, NULL, 0, &params), ==, CUDA_ERROR_OUT_OF_MEMORY);
    params.bytesize = 10 * MIB;
    g_assert_cmpint(cuGraphAddMemAllocNode(&node, graph, NULL, 0, &params), ==, CUDA_SUCCESS);
    g_assert_cmpint(cuGraphAddMemFreeNode(&node, graph, NULL, 0, params.dptr), ==, CUDA_SUCCESS);
    g_assert_cmpint(cuGraphAddMemAllocNode(&node, graph, NULL, 0, &params), ==, CUDA_SUCCESS);
    memory_graph_instantiated(exec, graph); /* highest sum: 10 MiB, thanks to the free node */
    check(0, 0);
    g_assert_cmpint(memory_graph_begin(exec, &g), ==, CUDA_SUCCESS);
    g_assert_cmpuint(ledger_used(&slice.region, 0), ==, 10 * MIB);
    memory_graph_end(&g, fake_graph_launch(0, 10 * MIB));
    check(0, 10 * MIB);
    g_assert_cmpint(memory_graph_begin(exec, &g), ==, CUDA_SUCCESS); /* again: nothing more */
    memory_graph_end(&g, CUDA_SUCCESS);
    check(0, 10 * MIB);
    g_assert_cmpint(cuDeviceGraphMemTrim(0), ==, CUDA_SUCCESS);
    check(0, 0);
    fake.limit[0] = 9 * MIB;
    g_assert_cmpint(memory_graph_begin(exec, &g), ==, CUDA_ERROR_OUT_OF_MEMORY);
    check(0, 0);
    g_assert_cmpint(cuGraphDestroy(graph), ==, CUDA_SUCCESS);
    fake_end();
}

static CUresult refuse_node(CUgraphNode *ret, CUgraph graph, const CUgraphNode *after, size_t n_after,
                            CUDA_MEM_ALLOC_NODE_PARAMS *params)
{
    (void)ret, (void)graph, (void)after, (void)n_after, (void)params;
    return CUDA_ERROR_INVALID_VALUE;
}

/* A node that was not made is not paid for, nor a launch that did not happen. */
static void a_graph_that_the_driver_refuses_costs_nothing(void)
{
    CUDA_MEM_ALLOC_NODE_PARAMS params = {.poolProps.location = {.type = CU_MEM_LOCATION_TYPE_DEVICE, .id = 0},
                                         .bytesize = 10 * MIB,
                                         .dptr = 0x7000};
    CUresult (*genuine)(CUgraphNode *, CUgraph, const CUgraphNode *, size_t, CUDA_MEM_ALLOC_NODE_PARAMS *);
    CUgraph graph = (CUgraph)0x100;
    CUgraphExec exec = (CUgraphExec)0x200;
    struct memory_graph g;
    CUgraphNode node;

    fake_begin(16 * MIB, 0);
    genuine = real.cuGraphAddMemAllocNode;
    real.cuGraphAddMemAllocNode = refuse_node;
    g_assert_cmpint(cuGraphAddMemAllocNode(&node, graph, NULL, 0, &params), ==, CUDA_ERROR_INVALID_VALUE);
    memory_graph_instantiated(exec, graph);
    g_assert_cmpint(memory_graph_begin(exec, &g), ==, CUDA_SUCCESS);
    g_assert_cmpuint(ledger_used(&slice.region, 0), ==, 0);
    memory_graph_end(&g, CUDA_SUCCESS);
    real.cuGraphAddMemAllocNode = genuine;
    g_assert_cmpint(cuGraphAddMemAllocNode(&node, graph, NULL, 0, &params), ==, CUDA_SUCCESS);
    memory_graph_instantiated(exec, graph);
    for (unsigned i = 0; i < 3; i++) {
        g_assert_cmpint(memory_graph_begin(exec, &g), ==, CUDA_SUCCESS);
        g_assert_cmpuint(ledger_used(&slice.region, 0), ==, 10 * MIB);
        memory_graph_end(&g, CUDA_ERROR_LAUNCH_FAILED);
        check(0, 0);
    }
    g_assert_cmpint(cuGraphDestroy(graph), ==, CUDA_SUCCESS);
    fake_end();
}

/* ---- contexts ---- */

static void a_context_that_ends_takes_its_memory_along(void)
{
    CUcontext ctx = NULL;
    CUdeviceptr p = 0, q = 0;

    fake_begin(64 * MIB, 0);
    g_assert_cmpint(cuMemAlloc_v2(&p, MIB), ==, CUDA_SUCCESS);
    g_assert_cmpint(cuCtxCreate_v2(&ctx, 0, 0), ==, CUDA_SUCCESS);
    g_assert_cmpint(cuMemAlloc_v2(&q, 2 * MIB), ==, CUDA_SUCCESS);
    check(0, 3 * MIB);
    g_assert_cmpint(cuCtxDestroy_v2(ctx), ==, CUDA_SUCCESS);
    check(0, MIB);
    cuCtxSetCurrent(fake_context(0));
    g_assert_cmpint(cuDevicePrimaryCtxRetain(&ctx, 0), ==, CUDA_SUCCESS);
    g_assert_cmpint(cuDevicePrimaryCtxRelease_v2(0), ==, CUDA_SUCCESS);
    check(0, MIB); /* another holder */
    g_assert_cmpint(cuDevicePrimaryCtxReset_v2(0), ==, CUDA_SUCCESS);
    check(0, 0);
    fake_end();
}

static void a_context_is_charged_once_per_process_and_device(void)
{
    CUcontext a = NULL, b = NULL;

    fake_begin(1024 * MIB, 1024 * MIB);
    fake.context_bytes = 300 * MIB;
    real.cuDevicePrimaryCtxReset_v2(1); /* nobody is on device 1 */
    fake.taken[1] = 0;
    g_assert_cmpint(cuCtxCreate_v2(&a, 0, 1), ==, CUDA_SUCCESS);
    check(1, 300 * MIB); /* learned from what the driver says is free */
    g_assert_cmpuint(slice.region.base->procs[slice.slot].used[1].context, ==, 300 * MIB);
    g_assert_cmpint(cuCtxCreate_v2(&b, 0, 1), ==, CUDA_SUCCESS);
    check(1, 300 * MIB);
    g_assert_cmpint(cuCtxDestroy_v2(a), ==, CUDA_SUCCESS);
    check(1, 300 * MIB);
    g_assert_cmpint(cuCtxDestroy_v2(b), ==, CUDA_SUCCESS);
    check(1, 0);
    g_assert_cmpuint(slice.region.base->procs[slice.slot].used[1].context, ==, 0);
    fake_end();
}

/* The driver has taken more for another thread's rows than is reserved yet. */
static void what_is_under_way_is_not_taken_for_a_context(void)
{
    CUcontext a = NULL;

    fake_begin(1024 * MIB, 1024 * MIB);
    real.cuDevicePrimaryCtxReset_v2(1);
    fake.taken[1] = 16384;
    g_assert_cmpint(cuCtxCreate_v2(&a, 0, 1), ==, CUDA_SUCCESS);
    g_assert_cmpuint(ledger_used(&slice.region, 1), ==, 0);
    g_assert_cmpint(cuCtxDestroy_v2(a), ==, CUDA_SUCCESS);
    fake.taken[1] = 0;
    fake.context_bytes = 300 * MIB;
    g_assert_cmpint(cuCtxCreate_v2(&a, 0, 1), ==, CUDA_SUCCESS);
    check(1, 300 * MIB);
    fake_end();
}

static void a_context_that_cannot_fit_is_refused_once_its_size_is_known(void)
{
    CUcontext a = NULL, b = (CUcontext)0x5;

    fake_begin(1024 * MIB, 200 * MIB);
    fake.context_bytes = 300 * MIB;
    real.cuDevicePrimaryCtxReset_v2(1);
    fake.taken[1] = 0;
    g_assert_cmpint(cuCtxCreate_v2(&a, 0, 1), ==, CUDA_SUCCESS); /* nobody knew */
    g_assert_cmpint(cuCtxDestroy_v2(a), ==, CUDA_SUCCESS);
    g_assert_cmpint(cuCtxCreate_v2(&b, 0, 1), ==, CUDA_ERROR_OUT_OF_MEMORY);
    g_assert_true(b == (CUcontext)0x5);
    check(1, 0);
    fake.limit[1] = 300 * MIB;
    fake.fail_next = CUDA_ERROR_UNKNOWN;
    g_assert_cmpint(cuCtxCreate_v2(&b, 0, 1), ==, CUDA_ERROR_UNKNOWN);
    check(1, 0);
    g_assert_cmpint(cuCtxCreate_v2(&b, 0, 1), ==, CUDA_SUCCESS);
    check(1, 300 * MIB);
    fake_end();
}

static void retain_three_times_release_three_times(void)
{
    CUcontext ctx = NULL;
    CUdeviceptr p = 0;

    fake_begin(1024 * MIB, 1024 * MIB);
    fake.context_bytes = 100 * MIB;
    real.cuDevicePrimaryCtxReset_v2(1);
    fake.taken[1] = 0;
    fake.fail_next = CUDA_ERROR_UNKNOWN;
    g_assert_cmpint(cuDevicePrimaryCtxRetain(&ctx, 1), ==, CUDA_ERROR_UNKNOWN);
    check(1, 0);
    for (int i = 0; i < 3; i++)
        g_assert_cmpint(cuDevicePrimaryCtxRetain(&ctx, 1), ==, CUDA_SUCCESS);
    cuCtxSetCurrent(ctx);
    g_assert_cmpint(cuMemAlloc_v2(&p, MIB), ==, CUDA_SUCCESS);
    for (int i = 0; i < 2; i++) {
        g_assert_cmpint(cuDevicePrimaryCtxRelease_v2(1), ==, CUDA_SUCCESS);
        check(1, 101 * MIB);
    }
    g_assert_cmpint(cuDevicePrimaryCtxRelease_v2(1), ==, CUDA_SUCCESS);
    check(1, 0);
    fake_end();
}

/* ---- sparse arrays ---- */

static CUresult map_arrays(CUarrayMapInfo *infos, unsigned int count, CUstream stream)
{
    (void)infos, (void)count, (void)stream;
    return CUDA_SUCCESS;
}

static CUarrayMapInfo tile(CUarray array, unsigned x, CUmemOperationType operation,
                           CUmemGenericAllocationHandle h)
{
    CUarrayMapInfo info = {.resourceType = CU_RESOURCE_TYPE_ARRAY,
                           .resource.array = array,
                           .subresourceType = CU_ARRAY_SPARSE_SUBRESOURCE_TYPE_SPARSE_LEVEL,
                           .subresource.sparseLevel.offsetX = x,
                           .memOperationType = operation,
                           .memHandleType = CU_MEM_HANDLE_TYPE_GENERIC,
                           .memHandle.memHandle = h};
    return info;
}

/* The fake driver does not follow tiles: only the ledger is looked at. */
static void memory_mapped_into_a_sparse_array_stays_charged(void)
{
    CUDA_ARRAY3D_DESCRIPTOR d = {
        .Width = 64, .Height = 64, .Format = CU_AD_FORMAT_FLOAT, .NumChannels = 1, .Flags = 0x40};
    CUmemGenericAllocationHandle h;
    CUarrayMapInfo infos[2];
    CUarray array = NULL;

    fake_begin(64 * MIB, 0);
    real.cuMemMapArrayAsync = map_arrays;
    g_assert_cmpint(cuArray3DCreate_v2(&array, &d), ==, CUDA_SUCCESS);
    g_assert_cmpuint(ledger_used(&slice.region, 0), ==, 0); /* a sparse array owns nothing */
    h = create(4 * MIB, CU_MEM_LOCATION_TYPE_DEVICE, 0, CUDA_SUCCESS);
    infos[0] = tile(array, 0, CU_MEM_OPERATION_TYPE_MAP, h);
    infos[1] = tile(array, 128, CU_MEM_OPERATION_TYPE_MAP, h);
    g_assert_cmpint(cuMemMapArrayAsync(infos, 2, NULL), ==, CUDA_SUCCESS);
    g_assert_cmpint(cuMemRelease(h), ==, CUDA_SUCCESS);
    g_assert_cmpuint(ledger_used(&slice.region, 0), ==, 4 * MIB);
    infos[0] = tile(array, 0, CU_MEM_OPERATION_TYPE_UNMAP, 0);
    g_assert_cmpint(cuMemMapArrayAsync(infos, 1, NULL), ==, CUDA_SUCCESS);
    g_assert_cmpuint(ledger_used(&slice.region, 0), ==, 4 * MIB);
    g_assert_cmpint(cuArrayDestroy(array), ==, CUDA_SUCCESS); /* takes the last tile along */
    g_assert_cmpuint(ledger_used(&slice.region, 0), ==, 0);
    fake_end();
}

/* ---- checkpoints ---- */

static CUresult checkpoint(int pid, CUcheckpointCheckpointArgs *args)
{
    (void)pid, (void)args;
    return CUDA_SUCCESS;
}

static CUresult restore(int pid, CUcheckpointRestoreArgs *args)
{
    (void)pid, (void)args;
    return CUDA_SUCCESS;
}

static void a_checkpointed_process_holds_nothing_until_it_is_restored(void)
{
    CUdeviceptr p = 0, q = 0;

    fake_begin(64 * MIB, 0);
    real.cuCheckpointProcessCheckpoint = checkpoint;
    real.cuCheckpointProcessRestore = restore;
    g_assert_cmpint(cuMemAlloc_v2(&p, 40 * MIB), ==, CUDA_SUCCESS);
    g_assert_cmpint(cuCheckpointProcessCheckpoint(getpid(), NULL), ==, CUDA_SUCCESS);
    g_assert_cmpuint(ledger_used(&slice.region, 0), ==, 0);
    g_assert_true(ledger_reserve(&slice.region, slice.slot, 0, 30 * MIB, 64 * MIB)); /* somebody takes it */
    g_assert_cmpint(cuCheckpointProcessRestore(getpid(), NULL), ==, CUDA_ERROR_OUT_OF_MEMORY);
    g_assert_cmpuint(ledger_used(&slice.region, 0), ==, 30 * MIB);
    ledger_release(&slice.region, slice.slot, 0, 30 * MIB);
    g_assert_cmpint(cuCheckpointProcessRestore(getpid(), NULL), ==, CUDA_SUCCESS);
    g_assert_cmpuint(ledger_used(&slice.region, 0), ==, 40 * MIB);
    g_assert_cmpint(cuMemAlloc_v2(&q, 25 * MIB), ==, CUDA_ERROR_OUT_OF_MEMORY);
    g_assert_cmpint(cuMemFree_v2(p), ==, CUDA_SUCCESS);
    check(0, 0);
    fake_end();
}

/* As a tool does that checkpoints a program from outside. */
static void another_process_is_checkpointed_and_restored_as_charged(void)
{
    enum { SLOT = 5, PID = 4242 };
    struct region_journal *journal;

    fake_begin(64 * MIB, 0);
    real.cuCheckpointProcessCheckpoint = checkpoint;
    real.cuCheckpointProcessRestore = restore;
    journal = &slice.region.ext->members[SLOT].journal[0];
    slice.region.base->procs[SLOT].pid = PID;
    atomic_store(&journal->held, 40 * MIB);
    atomic_store(&slice.region.ext->devices[0].word.bytes, 40 * MIB);
    for (int i = 0; i < 2; i++) {
        g_assert_cmpint(cuCheckpointProcessCheckpoint(PID, NULL), ==, CUDA_SUCCESS);
        g_assert_cmpuint(ledger_used(&slice.region, 0), ==, 40 * MIB);
        g_assert_cmpint(cuCheckpointProcessRestore(PID, NULL), ==, CUDA_SUCCESS);
        g_assert_cmpuint(ledger_used(&slice.region, 0), ==, 40 * MIB);
        g_assert_cmpuint(atomic_load(&journal->held), ==, 40 * MIB);
    }
    atomic_store(&slice.region.ext->members[SLOT].checkpointed[0], MIB); /* it checkpointed itself */
    g_assert_cmpint(cuCheckpointProcessRestore(PID, NULL), ==, CUDA_ERROR_OUT_OF_MEMORY);
    fake_end();
}

static void a_forked_child_forgets_what_its_parent_holds(void)
{
    CUdeviceptr p = 0;

    fake_begin(64 * MIB, 0);
    g_assert_cmpint(cuMemAlloc_v2(&p, MIB), ==, CUDA_SUCCESS);
    memory_after_fork();
    g_assert_cmpint(cuMemFree_v2(p), ==, CUDA_SUCCESS); /* unknown now: the driver's answer, no uncharge */
    g_assert_cmpuint(ledger_used(&slice.region, 0), ==, MIB);
    fake_end();
}

#define TEST(name) g_test_add_func("/memory_lifetime/" #name, name)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    TEST(created_memory_is_charged_until_its_last_hold_ends);
    TEST(release_before_unmap_cannot_be_repeated_past_the_limit);
    TEST(every_mapping_and_every_retained_handle_holds);
    TEST(failed_vmm_calls_change_no_count);
    TEST(the_location_decides_who_is_charged);
    TEST(a_pool_is_charged_what_it_reserves);
    TEST(a_pool_cannot_grow_past_the_limit);
    TEST(growth_beyond_the_estimate_is_undone_when_it_does_not_fit);
    TEST(unused_pool_memory_makes_way_for_a_plain_allocation);
    TEST(memory_that_an_allocation_counts_on_is_not_given_away);
    TEST(a_failed_allocation_gives_its_growth_back);
    TEST(explicit_pools_are_charged_to_their_device);
    TEST(a_destroyed_pool_is_charged_until_nothing_lives_in_it);
    TEST(graph_memory_is_reserved_before_the_launch);
    TEST(a_graph_that_the_driver_refuses_costs_nothing);
    TEST(a_context_that_ends_takes_its_memory_along);
    TEST(a_context_is_charged_once_per_process_and_device);
    TEST(what_is_under_way_is_not_taken_for_a_context);
    TEST(a_context_that_cannot_fit_is_refused_once_its_size_is_known);
    TEST(retain_three_times_release_three_times);
    TEST(memory_mapped_into_a_sparse_array_stays_charged);
    TEST(a_checkpointed_process_holds_nothing_until_it_is_restored);
    TEST(another_process_is_checkpointed_and_restored_as_charged);
    TEST(a_forked_child_forgets_what_its_parent_holds);
    return g_test_run();
}
