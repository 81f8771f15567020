/* SPDX-License-Identifier: Apache-2.0
 *
 * Pools and stream-ordered allocation.
 */
#include "machine.h"

#include <string.h>
#include <unistd.h>

static CUstream stream;

static guint64 figure(CUmemoryPool pool, CUmemPool_attribute a)
{
    guint64 v = ~0ULL;
    assert_ok(cuMemPoolGetAttribute(pool, a, &v));
    return v;
}

static CUmemoryPool pool_new(int device, size_t max, unsigned handle_types)
{
    CUmemoryPool pool;
    CUmemPoolProps p = {.allocType = CU_MEM_ALLOCATION_TYPE_PINNED,
                        .handleTypes = (CUmemAllocationHandleType)handle_types,
                        .maxSize = max};
    p.location.type = CU_MEM_LOCATION_TYPE_DEVICE;
    p.location.id = device;
    assert_ok(cuMemPoolCreate(&pool, &p));
    return pool;
}

static void freed_memory_goes_back_at_a_synchronisation(void)
{
    CUmemoryPool pool;
    CUdeviceptr p;
    size_t before = machine_free();
    assert_ok(cuDeviceGetDefaultMemPool(&pool, 0));
    assert_ok(cuMemAllocAsync(&p, 1000, stream));
    g_assert_cmpuint(before - machine_free(), ==, 32 * MIB);
    g_assert_cmpuint(figure(pool, CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT), ==, 32 * MIB);
    g_assert_cmpuint(figure(pool, CU_MEMPOOL_ATTR_USED_MEM_CURRENT), ==, 1024);
    assert_ok(cuMemFreeAsync(p, stream));
    g_assert_cmpuint(figure(pool, CU_MEMPOOL_ATTR_USED_MEM_CURRENT), ==, 0);
    g_assert_cmpuint(before - machine_free(), ==, 32 * MIB);
    assert_ok(cuStreamSynchronize(stream));
    g_assert_cmpuint(machine_free(), ==, before);
    g_assert_cmpuint(figure(pool, CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT), ==, 0);
    g_assert_cmpuint(figure(pool, CU_MEMPOOL_ATTR_RESERVED_MEM_HIGH), >=, 32 * MIB);
    guint64 zero = 0, one = 1;
    g_assert_cmpint(cuMemPoolSetAttribute(pool, CU_MEMPOOL_ATTR_RESERVED_MEM_HIGH, &one), ==,
                    CUDA_ERROR_INVALID_VALUE);
    assert_ok(cuMemPoolSetAttribute(pool, CU_MEMPOOL_ATTR_RESERVED_MEM_HIGH, &zero));
    g_assert_cmpuint(figure(pool, CU_MEMPOOL_ATTR_RESERVED_MEM_HIGH), ==, 0);
}

static void the_threshold_keeps_memory_for_reuse(void)
{
    CUmemoryPool pool = pool_new(0, 0, 0);
    CUdeviceptr p, q;
    guint64 keep = 256 * MIB;
    size_t before = machine_free();
    assert_ok(cuMemPoolSetAttribute(pool, CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, &keep));
    assert_ok(cuMemAllocFromPoolAsync(&p, 100 * MIB, pool, stream));
    assert_ok(cuMemFreeAsync(p, stream));
    assert_ok(cuStreamSynchronize(stream));
    g_assert_cmpuint(before - machine_free(), ==, 100 * MIB);
    assert_ok(cuMemAllocFromPoolAsync(&q, 100 * MIB, pool, stream));
    g_assert_cmpuint(q, ==, p); /* reused */
    g_assert_cmpuint(before - machine_free(), ==, 100 * MIB);
    assert_ok(cuMemFreeAsync(q, stream));
    assert_ok(cuMemPoolTrimTo(pool, 0));
    g_assert_cmpuint(machine_free(), ==, before);
    assert_ok(cuMemPoolDestroy(pool));
    g_assert_cmpint(cuMemPoolTrimTo(pool, 0), ==, CUDA_ERROR_INVALID_VALUE);
}

static void unused_memory_of_a_pool_is_no_reason_to_refuse(void)
{
    CUmemoryPool hoarder = pool_new(0, 0, 0);
    CUdeviceptr p;
    guint64 all = ~0ULL;
    size_t before = machine_free() / (2 * MIB) * (2 * MIB);
    assert_ok(cuMemPoolSetAttribute(hoarder, CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, &all));
    assert_ok(cuMemAllocFromPoolAsync(&p, before, hoarder, stream));
    g_assert_cmpint(cuMemAllocAsync(&p, before, stream), ==, CUDA_ERROR_OUT_OF_MEMORY);
    assert_ok(cuMemFreeAsync(p, stream));
    assert_ok(cuMemAllocAsync(&p, before, stream)); /* from another pool */
    assert_ok(cuMemFree_v2(p));
    assert_ok(cuStreamSynchronize(stream));
    assert_ok(cuMemPoolDestroy(hoarder));
}

static void bytes_survive_in_pools(void)
{
    CUdeviceptr p[50];
    guint8 v;
    for (unsigned i = 0; i < 50; i++) {
        assert_ok(cuMemAllocAsync(&p[i], 777 * (i + 1), stream));
        assert_ok(cuMemsetD8Async(p[i], (guint8)i, 777 * (i + 1), stream));
    }
    for (unsigned i = 0; i < 50; i++) {
        assert_ok(cuMemcpyDtoH_v2(&v, p[i] + 776 * (i + 1), 1));
        g_assert_cmpuint(v, ==, i);
        assert_ok(i % 2 ? cuMemFreeAsync(p[i], stream) : cuMemFree_v2(p[i]));
    }
    assert_ok(cuStreamSynchronize(stream));
}

static void a_maximum_size_is_kept(void)
{
    CUmemoryPool pool = pool_new(0, 64 * MIB, 0);
    CUdeviceptr p, q = 5;
    assert_ok(cuMemAllocFromPoolAsync(&p, 60 * MIB, pool, stream));
    g_assert_cmpint(cuMemAllocFromPoolAsync(&q, 10 * MIB, pool, stream), ==, CUDA_ERROR_OUT_OF_MEMORY);
    g_assert_cmpuint(q, ==, 5);
    assert_ok(cuMemFreeAsync(p, stream));
    assert_ok(cuMemPoolDestroy(pool));
}

static void the_current_pool_of_a_device_can_be_changed(void)
{
    CUmemoryPool pool = pool_new(0, 0, 0), other = pool_new(1, 0, 0), now, normal;
    CUdeviceptr p;
    assert_ok(cuDeviceGetDefaultMemPool(&normal, 0));
    g_assert_cmpint(cuDeviceSetMemPool(0, other), ==, CUDA_ERROR_INVALID_VALUE);
    assert_ok(cuDeviceSetMemPool(0, pool));
    assert_ok(cuDeviceGetMemPool(&now, 0));
    g_assert_true(now == pool);
    assert_ok(cuMemAllocAsync(&p, 5000, stream));
    CUmemoryPool of;
    assert_ok(cuPointerGetAttribute(&of, CU_POINTER_ATTRIBUTE_MEMPOOL_HANDLE, p));
    g_assert_true(of == pool);
    assert_ok(cuMemPoolDestroy(pool)); /* with an allocation left */
    assert_ok(cuDeviceGetMemPool(&now, 0));
    g_assert_true(now == normal);
    assert_ok(cuMemFreeAsync(p, stream));
    g_assert_cmpint(cuMemPoolDestroy(normal), ==, CUDA_ERROR_INVALID_VALUE);
    assert_ok(cuMemPoolDestroy(other));
}

static void a_pool_of_another_device_takes_its_memory(void)
{
    CUmemoryPool pool = pool_new(1, 0, 0);
    CUdeviceptr p;
    int ordinal = 9;
    size_t before = machine_free();
    assert_ok(cuMemAllocFromPoolAsync(&p, 64 * MIB, pool, stream));
    g_assert_cmpuint(machine_free(), ==, before);
    assert_ok(cuPointerGetAttribute(&ordinal, CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL, p));
    g_assert_cmpint(ordinal, ==, 1);
    assert_ok(cuMemFreeAsync(p, stream));
    assert_ok(cuMemPoolDestroy(pool));
}

static void bad_arguments_are_refused(void)
{
    CUdeviceptr p = 7;
    CUmemoryPool normal, pool = NULL;
    CUmemPoolProps props = {.allocType = CU_MEM_ALLOCATION_TYPE_PINNED};
    assert_ok(cuDeviceGetDefaultMemPool(&normal, 0));
    g_assert_cmpint(cuMemAllocAsync(&p, 0, stream), ==, CUDA_ERROR_INVALID_VALUE);
    g_assert_cmpint(cuMemAllocAsync(NULL, 1, stream), ==, CUDA_ERROR_INVALID_VALUE);
    g_assert_cmpint(cuMemAllocAsync(&p, 1ULL << 63, stream), ==, CUDA_ERROR_OUT_OF_MEMORY);
    g_assert_cmpint(cuMemAllocFromPoolAsync(&p, 1, NULL, stream), ==, CUDA_ERROR_INVALID_VALUE);
    g_assert_cmpint(cuMemFreeAsync(0, stream), ==, CUDA_ERROR_INVALID_VALUE);
    g_assert_cmpint(cuMemFreeAsync(4096, stream), ==, CUDA_ERROR_INVALID_VALUE);
    g_assert_cmpint(cuMemPoolCreate(&pool, &props), ==, CUDA_ERROR_INVALID_VALUE);
    props.location.type = CU_MEM_LOCATION_TYPE_DEVICE;
    props.location.id = 40;
    g_assert_cmpint(cuMemPoolCreate(&pool, &props), ==, CUDA_ERROR_INVALID_DEVICE);
    g_assert_cmpint(cuMemPoolGetAttribute(normal, 99, &p), ==, CUDA_ERROR_INVALID_VALUE);
    g_assert_cmpuint(p, ==, 7);
    CUdeviceptr plain;
    assert_ok(cuMemAlloc_v2(&plain, 100));
    g_assert_cmpint(cuMemFreeAsync(plain, stream), ==, CUDA_ERROR_INVALID_VALUE);
    assert_ok(cuMemFree_v2(plain));
    assert_ok(cuMemAllocAsync(&p, 100, stream));
    assert_ok(cuMemFreeAsync(p, stream));
    g_assert_cmpint(cuMemFreeAsync(p, stream), ==, CUDA_ERROR_INVALID_VALUE);
}

static void access_for_a_peer_is_remembered(void)
{
    CUmemoryPool pool = pool_new(0, 0, 0);
    CUmemAccessDesc peer = {.location = {.type = CU_MEM_LOCATION_TYPE_DEVICE, {1}},
                            .flags = CU_MEM_ACCESS_FLAGS_PROT_READWRITE};
    CUmemAccess_flags flags;
    assert_ok(cuMemPoolGetAccess(&flags, pool, &peer.location));
    g_assert_cmpint(flags, ==, CU_MEM_ACCESS_FLAGS_PROT_NONE);
    assert_ok(cuMemPoolSetAccess(pool, &peer, 1));
    assert_ok(cuMemPoolGetAccess(&flags, pool, &peer.location));
    g_assert_cmpint(flags, ==, CU_MEM_ACCESS_FLAGS_PROT_READWRITE);
    peer.location.id = 0;
    peer.flags = CU_MEM_ACCESS_FLAGS_PROT_NONE;
    g_assert_cmpint(cuMemPoolSetAccess(pool, &peer, 1), ==, CUDA_ERROR_INVALID_VALUE);
    assert_ok(cuMemPoolDestroy(pool));
}

static void random_histories_end_with_nothing_used(void)
{
    GRand *rand = g_rand_new_with_seed(machine_seed());
    CUmemoryPool pool = pool_new(0, 0, 0);
    CUdeviceptr live[100] = {0};
    assert_ok(cuCtxSynchronize()); /* what the tests before left goes first */
    size_t sizes[100], sum = 0, before = machine_free();
    for (unsigned step = 0; step < 4000; step++) {
        unsigned i = (unsigned)g_rand_int_range(rand, 0, 100);
        if (live[i]) {
            assert_ok(cuMemFreeAsync(live[i], stream));
            live[i] = 0;
            sum -= sizes[i];
        } else {
            size_t size = 1 + g_rand_int(rand) % (1U << g_rand_int_range(rand, 4, 26));
            sizes[i] = (size + 511) / 512 * 512;
            assert_ok(cuMemAllocFromPoolAsync(&live[i], size, pool, stream));
            sum += sizes[i];
        }
        if (step % 64 == 0)
            assert_ok(cuStreamSynchronize(stream));
        g_assert_cmpuint(figure(pool, CU_MEMPOOL_ATTR_USED_MEM_CURRENT), ==, sum);
        g_assert_cmpuint(figure(pool, CU_MEMPOOL_ATTR_RESERVED_MEM_CURRENT), ==, before - machine_free());
    }
    for (unsigned i = 0; i < 100; i++)
        if (live[i])
            assert_ok(cuMemFreeAsync(live[i], stream));
    assert_ok(cuCtxSynchronize());
    g_assert_cmpuint(machine_free(), ==, before);
    assert_ok(cuMemPoolDestroy(pool));
    g_rand_free(rand);
}

/* ---- between processes ---- */

static void importer(void)
{
    CUmemoryPool pool;
    CUmemPoolPtrExportData data;
    CUdeviceptr p;
    char text[32];
    machine_start();
    assert_ok(cuStreamCreate(&stream, 0));
    int fd = machine_receive(3, &data, sizeof data);
    assert_ok(cuMemPoolImportFromShareableHandle(&pool, (void *)(intptr_t)fd, 1, 0));
    close(fd);
    assert_ok(cuMemPoolImportPointer(&p, pool, &data));
    assert_ok(cuMemcpyDtoH_v2(text, p, sizeof text));
    g_assert_cmpstr(text, ==, "pooled");
    strcpy(text, "answered");
    assert_ok(cuMemcpyHtoD_v2(p, text, sizeof text));
    g_assert_cmpint(cuMemAllocFromPoolAsync(&p, 10, pool, stream), ==, CUDA_ERROR_INVALID_VALUE);
    assert_ok(cuMemFreeAsync(p, stream));
    assert_ok(cuMemPoolDestroy(pool));
}

static void pointers_of_a_pool_travel(void)
{
    int child_fd, fd;
    CUdeviceptr p;
    CUmemPoolPtrExportData data;
    char text[32] = "pooled";
    GPid child = machine_child("importer", &child_fd);
    CUmemoryPool pool = pool_new(0, 0, CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR);
    assert_ok(cuMemAllocFromPoolAsync(&p, sizeof text, pool, stream));
    assert_ok(cuMemcpyHtoD_v2(p, text, sizeof text));
    assert_ok(cuMemPoolExportPointer(&data, p));
    assert_ok(cuMemPoolExportToShareableHandle(&fd, pool, CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR, 0));
    machine_send(child_fd, &data, sizeof data, fd);
    close(fd);
    machine_join(child);
    close(child_fd);
    assert_ok(cuMemcpyDtoH_v2(text, p, sizeof text));
    g_assert_cmpstr(text, ==, "answered");
    assert_ok(cuMemFreeAsync(p, stream));
    assert_ok(cuMemPoolDestroy(pool));
}

int main(int argc, char **argv)
{
    machine_init(&argc, &argv, "2xa100-40g,null_model=true,real_bytes_max=64MiB");
    if (machine_child_name() != NULL)
        return importer(), 0;
    machine_start();
    assert_ok(cuStreamCreate(&stream, 0));
    g_test_add_func("/pool/freed_memory_goes_back_at_a_synchronisation",
                    freed_memory_goes_back_at_a_synchronisation);
    g_test_add_func("/pool/the_threshold_keeps_memory_for_reuse", the_threshold_keeps_memory_for_reuse);
    g_test_add_func("/pool/unused_memory_of_a_pool_is_no_reason_to_refuse",
                    unused_memory_of_a_pool_is_no_reason_to_refuse);
    g_test_add_func("/pool/bytes_survive_in_pools", bytes_survive_in_pools);
    g_test_add_func("/pool/a_maximum_size_is_kept", a_maximum_size_is_kept);
    g_test_add_func("/pool/the_current_pool_of_a_device_can_be_changed",
                    the_current_pool_of_a_device_can_be_changed);
    g_test_add_func("/pool/a_pool_of_another_device_takes_its_memory",
                    a_pool_of_another_device_takes_its_memory);
    g_test_add_func("/pool/bad_arguments_are_refused", bad_arguments_are_refused);
    g_test_add_func("/pool/access_for_a_peer_is_remembered", access_for_a_peer_is_remembered);
    g_test_add_func("/pool/random_histories_end_with_nothing_used", random_histories_end_with_nothing_used);
    g_test_add_func("/pool/pointers_of_a_pool_travel", pointers_of_a_pool_travel);
    return machine_run();
}
