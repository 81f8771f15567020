/* SPDX-License-Identifier: Apache-2.0
 *
 * Plain, pitched, managed and pinned memory of the simulated driver, and what
 * it says about pointers.
 */
#include "machine.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "sim/fault.h"

#define UNTOUCHED 0xdeadbeefcafeULL

/* ---- plain ---- */

static void bytes_survive_a_round_trip(void)
{
    static const size_t sizes[] = {1, 511, 512, 513, 4096, MIB - 1, MIB, MIB + 1, 3 * MIB + 7};
    for (unsigned i = 0; i < G_N_ELEMENTS(sizes); i++) {
        CUdeviceptr p;
        char *in = g_malloc(sizes[i]), *out = g_malloc0(sizes[i]);
        memset(in, (int)(i + 1), sizes[i]);
        assert_ok(cuMemAlloc_v2(&p, sizes[i]));
        g_assert_cmpuint(p % 512, ==, 0);
        assert_ok(cuMemcpyHtoD_v2(p, in, sizes[i]));
        assert_ok(cuMemcpyDtoH_v2(out, p, sizes[i]));
        g_assert_true(memcmp(in, out, sizes[i]) == 0);
        assert_ok(cuMemFree_v2(p));
        g_free(in);
        g_free(out);
    }
}

static void physical_memory_moves_in_chunks_of_2_mib(void)
{
    size_t before = machine_free();
    CUdeviceptr p[64], big;
    for (unsigned i = 0; i < 64; i++)
        assert_ok(cuMemAlloc_v2(&p[i], 1000));
    g_assert_cmpuint(before - machine_free(), ==, 2 * MIB);
    assert_ok(cuMemAlloc_v2(&big, 2 * MIB + 1));
    g_assert_cmpuint(before - machine_free(), ==, 6 * MIB);
    assert_ok(cuMemFree_v2(big));
    for (unsigned i = 0; i < 64; i++)
        assert_ok(cuMemFree_v2(p[i]));
    g_assert_cmpuint(machine_free(), ==, before);
}

static void bad_sizes_are_refused_and_touch_nothing(void)
{
    CUdeviceptr p = UNTOUCHED;
    size_t before = machine_free(), pitch = 77;
    g_assert_cmpint(cuMemAlloc_v2(&p, 0), ==, CUDA_ERROR_INVALID_VALUE);
    g_assert_cmpint(cuMemAlloc_v2(NULL, 1), ==, CUDA_ERROR_INVALID_VALUE);
    g_assert_cmpint(cuMemAlloc_v2(&p, 1ULL << 63), ==, CUDA_ERROR_OUT_OF_MEMORY);
    g_assert_cmpint(cuMemAlloc_v2(&p, SIZE_MAX), ==, CUDA_ERROR_OUT_OF_MEMORY);
    g_assert_cmpint(cuMemAlloc_v2(&p, before + 2 * MIB), ==, CUDA_ERROR_OUT_OF_MEMORY);
    g_assert_cmpint(cuMemAllocManaged(&p, 0, 1), ==, CUDA_ERROR_INVALID_VALUE);
    g_assert_cmpint(cuMemAllocManaged(&p, 1, 0), ==, CUDA_ERROR_INVALID_VALUE);
    g_assert_cmpint(cuMemAllocManaged(&p, 1, 4), ==, CUDA_ERROR_INVALID_VALUE);
    g_assert_cmpint(cuMemAllocManaged(&p, 1ULL << 63, 1), ==, CUDA_ERROR_OUT_OF_MEMORY);
    static const unsigned elements[] = {0, 1, 2, 3, 5, 12, 32};
    for (unsigned i = 0; i < G_N_ELEMENTS(elements); i++)
        g_assert_cmpint(cuMemAllocPitch_v2(&p, &pitch, 10, 10, elements[i]), ==, CUDA_ERROR_INVALID_VALUE);
    g_assert_cmpint(cuMemAllocPitch_v2(&p, &pitch, 0, 10, 4), ==, CUDA_ERROR_INVALID_VALUE);
    g_assert_cmpint(cuMemAllocPitch_v2(&p, &pitch, 10, 0, 4), ==, CUDA_ERROR_INVALID_VALUE);
    g_assert_cmpint(cuMemAllocPitch_v2(&p, &pitch, 1 << 20, SIZE_MAX / 2, 4), ==, CUDA_ERROR_OUT_OF_MEMORY);
    g_assert_cmpuint(p, ==, UNTOUCHED);
    g_assert_cmpuint(pitch, ==, 77);
    g_assert_cmpuint(machine_free(), ==, before);
}

static void the_whole_card_can_be_taken_and_not_a_chunk_more(void)
{
    size_t before = machine_free();
    CUdeviceptr all, one;
    assert_ok(cuMemAlloc_v2(&all, before / (2 * MIB) * (2 * MIB)));
    g_assert_cmpuint(machine_free(), <, 2 * MIB);
    g_assert_cmpint(cuMemAlloc_v2(&one, 1), ==, CUDA_ERROR_OUT_OF_MEMORY);
    assert_ok(cuMemFree_v2(all));
    assert_ok(cuMemAlloc_v2(&one, 1));
    assert_ok(cuMemFree_v2(one));
    g_assert_cmpuint(machine_free(), ==, before);
}

static void only_live_bases_can_be_freed(void)
{
    CUdeviceptr p;
    int on_stack = 0;
    assert_ok(cuMemFree_v2(0));
    assert_ok(cuMemAlloc_v2(&p, 4096));
    g_assert_cmpint(cuMemFree_v2(p + 512), ==, CUDA_ERROR_INVALID_VALUE);
    assert_ok(cuMemFree_v2(p));
    g_assert_cmpint(cuMemFree_v2(p), ==, CUDA_ERROR_INVALID_VALUE);
    g_assert_cmpint(cuMemFree_v2((CUdeviceptr)(uintptr_t)&on_stack), ==, CUDA_ERROR_INVALID_VALUE);
    g_assert_cmpint(cuMemFree_v2(~0ULL), ==, CUDA_ERROR_INVALID_VALUE);
}

static void every_call_needs_a_context(void)
{
    CUcontext ctx;
    CUdeviceptr p = UNTOUCHED;
    void *h = NULL;
    size_t n = 5;
    assert_ok(cuCtxGetCurrent(&ctx));
    assert_ok(cuCtxSetCurrent(NULL));
    g_assert_cmpint(cuMemAlloc_v2(&p, 1), ==, CUDA_ERROR_INVALID_CONTEXT);
    g_assert_cmpint(cuMemAllocPitch_v2(&p, &n, 1, 1, 4), ==, CUDA_ERROR_INVALID_CONTEXT);
    g_assert_cmpint(cuMemAllocManaged(&p, 1, 1), ==, CUDA_ERROR_INVALID_CONTEXT);
    g_assert_cmpint(cuMemAllocHost_v2(&h, 1), ==, CUDA_ERROR_INVALID_CONTEXT);
    g_assert_cmpint(cuMemGetInfo_v2(&n, &n), ==, CUDA_ERROR_INVALID_CONTEXT);
    g_assert_cmpint(cuMemcpyHtoD_v2(p, &h, 1), ==, CUDA_ERROR_INVALID_CONTEXT);
    g_assert_cmpint(cuMemFree_v2(4096), ==, CUDA_ERROR_INVALID_CONTEXT);
    g_assert_cmpuint(p, ==, UNTOUCHED);
    g_assert_cmpuint(n, ==, 5);
    assert_ok(cuCtxSetCurrent(ctx));
}

static void a_lost_card_gives_nothing(void)
{
    char err[256];
    CUdeviceptr p = UNTOUCHED;
    size_t before = machine_free();
    g_assert_cmpint(sim_state_open(err, sizeof err), ==, 0);
    sim_fault_lose(0, true);
    g_assert_cmpint(cuMemAlloc_v2(&p, 1), ==, CUDA_ERROR_UNKNOWN);
    g_assert_cmpuint(p, ==, UNTOUCHED);
    sim_fault_lose(0, false);
    assert_ok(cuMemAlloc_v2(&p, 1));
    assert_ok(cuMemFree_v2(p));
    g_assert_cmpuint(machine_free(), ==, before);
}

static void destroying_a_context_frees_what_it_holds(void)
{
    CUcontext ctx;
    CUdeviceptr p, m;
    void *h;
    CUarray a;
    CUDA_ARRAY_DESCRIPTOR d = {64, 64, CU_AD_FORMAT_FLOAT, 1};
    size_t before = machine_free();
    assert_ok(cuCtxCreate_v2(&ctx, 0, 0));
    assert_ok(cuMemAlloc_v2(&p, 100));
    assert_ok(cuMemAlloc_v2(&p, 10 * MIB));
    assert_ok(cuMemAllocManaged(&m, MIB, CU_MEM_ATTACH_GLOBAL));
    assert_ok(cuMemHostAlloc(&h, 4096, 0));
    assert_ok(cuArrayCreate_v2(&a, &d));
    assert_ok(cuCtxDestroy_v2(ctx));
    g_assert_cmpuint(machine_free(), ==, before);
    g_assert_cmpint(cuMemFree_v2(p), ==, CUDA_ERROR_INVALID_VALUE);
    g_assert_cmpint(cuArrayDestroy(a), ==, CUDA_ERROR_INVALID_HANDLE);
}

static void the_first_versions_hand_out_32_bit_pointers(void)
{
    CUdeviceptr_v1 p, base;
    unsigned size, pitch;
    int in = 42, out = 0;
    assert_ok(cuMemAlloc(&p, 1000));
    assert_ok(cuMemcpyHtoD(p, &in, sizeof in));
    assert_ok(cuMemcpyDtoH(&out, p, sizeof out));
    g_assert_cmpint(out, ==, 42);
    assert_ok(cuMemGetAddressRange(&base, &size, p + 10));
    g_assert_cmpuint(base, ==, p);
    g_assert_cmpuint(size, ==, 1000);
    assert_ok(cuMemFree(p));
    assert_ok(cuMemAllocPitch(&p, &pitch, 100, 10, 4));
    g_assert_cmpuint(pitch, ==, 512);
    assert_ok(cuMemFree(p));
}

/* Random sizes and orders against a plain list: blocks never overlap, contents
 * stay, and at the end nothing is taken. */
static void random_histories_keep_blocks_apart(void)
{
    GRand *rand = g_rand_new_with_seed(machine_seed());
    enum { LIVE = 200 };
    struct {
        CUdeviceptr p;
        size_t size;
        guint8 fill;
    } live[LIVE] = {{0}};
    size_t before = machine_free();
    for (unsigned step = 0; step < 6000; step++) {
        unsigned i = (unsigned)g_rand_int_range(rand, 0, LIVE);
        if (live[i].p) {
            guint8 edge[2];
            assert_ok(cuMemcpyDtoH_v2(&edge[0], live[i].p, 1));
            assert_ok(cuMemcpyDtoH_v2(&edge[1], live[i].p + live[i].size - 1, 1));
            g_assert_cmpuint(edge[0], ==, live[i].fill);
            g_assert_cmpuint(edge[1], ==, live[i].fill);
            assert_ok(cuMemFree_v2(live[i].p));
            live[i].p = 0;
            continue;
        }
        live[i].size = 1 + g_rand_int(rand) % (1U << g_rand_int_range(rand, 1, 23));
        live[i].fill = (guint8)g_rand_int(rand);
        assert_ok(cuMemAlloc_v2(&live[i].p, live[i].size));
        assert_ok(cuMemsetD8_v2(live[i].p, live[i].fill, live[i].size));
    }
    for (unsigned i = 0; i < LIVE; i++)
        if (live[i].p)
            assert_ok(cuMemFree_v2(live[i].p));
    g_assert_cmpuint(machine_free(), ==, before);
    g_rand_free(rand);
}

static gpointer hammer(gpointer arg)
{
    CUcontext ctx = arg;
    GRand *rand = g_rand_new_with_seed(GPOINTER_TO_UINT(g_thread_self()));
    assert_ok(cuCtxSetCurrent(ctx));
    for (unsigned i = 0; i < 3000; i++) {
        CUdeviceptr p[4];
        for (unsigned k = 0; k < 4; k++)
            assert_ok(cuMemAlloc_v2(&p[k], 1 + g_rand_int(rand) % 100000));
        for (unsigned k = 0; k < 4; k++)
            assert_ok(cuMemFree_v2(p[k]));
    }
    g_rand_free(rand);
    return NULL;
}

static void threads_share_a_device(void)
{
    CUcontext ctx;
    GThread *threads[4];
    size_t before = machine_free();
    assert_ok(cuCtxGetCurrent(&ctx));
    for (unsigned i = 0; i < 4; i++)
        threads[i] = g_thread_new("hammer", hammer, ctx);
    for (unsigned i = 0; i < 4; i++)
        g_thread_join(threads[i]);
    g_assert_cmpuint(machine_free(), ==, before);
}

/* ---- host ---- */

static void pinned_memory_takes_no_device_memory(void)
{
    void *p;
    CUdeviceptr d;
    unsigned flags;
    size_t before = machine_free();
    assert_ok(cuMemHostAlloc(&p, 64 * MIB, 3));
    g_assert_cmpuint(machine_free(), ==, before);
    memset(p, 1, 4096);
    assert_ok(cuMemHostGetDevicePointer_v2(&d, p, 0));
    g_assert_cmpuint(d, ==, (CUdeviceptr)(uintptr_t)p);
    assert_ok(cuMemHostGetFlags(&flags, p));
    g_assert_cmpuint(flags, ==, 3);
    g_assert_cmpint(cuMemFreeHost((char *)p + 4096), ==, CUDA_ERROR_INVALID_VALUE);
    assert_ok(cuMemFreeHost(p));
    g_assert_cmpint(cuMemFreeHost(p), ==, CUDA_ERROR_INVALID_VALUE);
    g_assert_cmpint(cuMemHostAlloc(&p, 1, 8), ==, CUDA_ERROR_INVALID_VALUE);
    g_assert_cmpint(cuMemHostAlloc(&p, 0, 0), ==, CUDA_ERROR_INVALID_VALUE);
}

static void registered_memory_is_found_and_given_up(void)
{
    char *p = mmap(NULL, 8 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CUmemorytype type;
    CUdeviceptr d;
    assert_ok(cuMemHostRegister_v2(p + 100, 5000, 0));
    g_assert_cmpint(cuMemHostRegister_v2(p + 5000, 5000, 0), ==, CUDA_ERROR_HOST_MEMORY_ALREADY_REGISTERED);
    assert_ok(cuMemHostRegister_v2(p + 8192, 4096, 2));
    assert_ok(
        cuPointerGetAttribute(&type, CU_POINTER_ATTRIBUTE_MEMORY_TYPE, (CUdeviceptr)(uintptr_t)p + 200));
    g_assert_cmpint(type, ==, CU_MEMORYTYPE_HOST);
    assert_ok(cuMemHostGetDevicePointer_v2(&d, p + 300, 0));
    g_assert_cmpint(cuMemHostUnregister(p), ==, CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED);
    assert_ok(cuMemHostUnregister(p + 100));
    g_assert_cmpint(cuMemHostUnregister(p + 100), ==, CUDA_ERROR_HOST_MEMORY_NOT_REGISTERED);
    assert_ok(cuMemHostUnregister(p + 8192));
    munmap(p, 8 * 4096);
    g_assert_cmpint(cuMemHostRegister_v2(p, 4096, 0), ==, CUDA_ERROR_INVALID_VALUE);
    g_assert_cmpint(cuMemHostRegister_v2(NULL, 4096, 0), ==, CUDA_ERROR_INVALID_VALUE);
}

/* ---- managed ---- */

static void managed_memory_is_taken_where_it_is_resident(void)
{
    CUdeviceptr p;
    size_t before = machine_free();
    assert_ok(cuMemAllocManaged(&p, 16 * MIB, CU_MEM_ATTACH_GLOBAL));
    g_assert_cmpuint(machine_free(), ==, before);
    memset((void *)(uintptr_t)p, 5, 16 * MIB); /* the host may write it */
    assert_ok(cuMemPrefetchAsync(p, 8 * MIB, 0, NULL));
    g_assert_cmpuint(machine_free(), ==, before - 8 * MIB);
    int where;
    assert_ok(
        cuMemRangeGetAttribute(&where, sizeof where, CU_MEM_RANGE_ATTRIBUTE_LAST_PREFETCH_LOCATION, p, MIB));
    g_assert_cmpint(where, ==, 0);
    assert_ok(cuMemRangeGetAttribute(&where, sizeof where, CU_MEM_RANGE_ATTRIBUTE_LAST_PREFETCH_LOCATION, p,
                                     16 * MIB));
    g_assert_cmpint(where, ==, -2); /* not the same everywhere */
    assert_ok(cuMemsetD8_v2(p + 8 * MIB, 1, 2 * MIB));
    g_assert_cmpuint(machine_free(), ==, before - 10 * MIB);
    assert_ok(cuMemPrefetchAsync(p, 16 * MIB, -1, NULL));
    g_assert_cmpuint(machine_free(), ==, before);
    assert_ok(cuMemPrefetchAsync(p, 16 * MIB, 0, NULL));
    assert_ok(cuMemFree_v2(p));
    g_assert_cmpuint(machine_free(), ==, before);
    g_assert_cmpint(cuMemPrefetchAsync(p, MIB, 0, NULL), ==, CUDA_ERROR_INVALID_VALUE);
}

static void managed_pages_make_room_for_device_memory(void)
{
    CUdeviceptr m, p;
    size_t before = machine_free() / (2 * MIB) * (2 * MIB);
    assert_ok(cuMemAllocManaged(&m, before + 64 * MIB, CU_MEM_ATTACH_GLOBAL)); /* more than the card */
    assert_ok(cuMemPrefetchAsync(m, before + 64 * MIB, 0, NULL));
    g_assert_cmpuint(machine_free(), <, 2 * MIB);
    assert_ok(cuMemAlloc_v2(&p, 32 * MIB));
    assert_ok(cuMemFree_v2(p));
    g_assert_cmpuint(machine_free() / (2 * MIB), ==, 16);
    assert_ok(cuMemPrefetchAsync(m, before, 0, NULL)); /* what had to go comes back */
    g_assert_cmpuint(machine_free(), <, 2 * MIB);
    assert_ok(cuMemFree_v2(m));
}

static void advice_is_remembered(void)
{
    CUdeviceptr p;
    int v, by[3];
    assert_ok(cuMemAllocManaged(&p, 4 * MIB, CU_MEM_ATTACH_GLOBAL));
    assert_ok(cuMemAdvise(p, 4 * MIB, CU_MEM_ADVISE_SET_READ_MOSTLY, 0));
    assert_ok(cuMemAdvise(p, 4 * MIB, CU_MEM_ADVISE_SET_PREFERRED_LOCATION, -1));
    assert_ok(cuMemAdvise(p, 4 * MIB, CU_MEM_ADVISE_SET_ACCESSED_BY, 1));
    assert_ok(cuMemRangeGetAttribute(&v, 4, CU_MEM_RANGE_ATTRIBUTE_READ_MOSTLY, p, 4 * MIB));
    g_assert_cmpint(v, ==, 1);
    assert_ok(cuMemRangeGetAttribute(&v, 4, CU_MEM_RANGE_ATTRIBUTE_PREFERRED_LOCATION, p, MIB));
    g_assert_cmpint(v, ==, -1);
    assert_ok(cuMemRangeGetAttribute(by, sizeof by, CU_MEM_RANGE_ATTRIBUTE_ACCESSED_BY, p, MIB));
    g_assert_cmpint(by[0], ==, 1);
    g_assert_cmpint(by[1], ==, -2);
    g_assert_cmpint(cuMemAdvise(p, MIB, CU_MEM_ADVISE_SET_ACCESSED_BY, 99), ==, CUDA_ERROR_INVALID_DEVICE);
    g_assert_cmpint(cuMemAdvise(p, 8 * MIB, CU_MEM_ADVISE_SET_READ_MOSTLY, 0), ==, CUDA_ERROR_INVALID_VALUE);
    assert_ok(cuMemFree_v2(p));
}

/* ---- pointers ---- */

static guint64 attribute(CUpointer_attribute a, CUdeviceptr p)
{
    guint64 v = 0;
    assert_ok(cuPointerGetAttribute(&v, a, p));
    return v;
}

static void pointers_tell_what_they_are(void)
{
    CUdeviceptr p, m, base;
    CUcontext ctx;
    void *h;
    size_t size;
    assert_ok(cuCtxGetCurrent(&ctx));
    assert_ok(cuMemAlloc_v2(&p, 1000));
    assert_ok(cuMemAllocManaged(&m, 1000, 1));
    assert_ok(cuMemHostAlloc(&h, 1000, 0));
    CUdeviceptr hp = (CUdeviceptr)(uintptr_t)h;
    g_assert_cmpuint(attribute(CU_POINTER_ATTRIBUTE_MEMORY_TYPE, p + 999), ==, CU_MEMORYTYPE_DEVICE);
    g_assert_cmpuint(attribute(CU_POINTER_ATTRIBUTE_MEMORY_TYPE, hp), ==, CU_MEMORYTYPE_HOST);
    g_assert_cmpuint(attribute(CU_POINTER_ATTRIBUTE_IS_MANAGED, m), ==, 1);
    g_assert_cmpuint(attribute(CU_POINTER_ATTRIBUTE_IS_MANAGED, p), ==, 0);
    g_assert_cmpuint(attribute(CU_POINTER_ATTRIBUTE_CONTEXT, p), ==, (guint64)(uintptr_t)ctx);
    g_assert_cmpuint(attribute(CU_POINTER_ATTRIBUTE_RANGE_START_ADDR, p + 7), ==, p);
    g_assert_cmpuint(attribute(CU_POINTER_ATTRIBUTE_RANGE_SIZE, p + 7), ==, 1000);
    g_assert_cmpuint(attribute(CU_POINTER_ATTRIBUTE_HOST_POINTER, hp + 5), ==, hp + 5);
    g_assert_cmpuint(attribute(CU_POINTER_ATTRIBUTE_BUFFER_ID, p), !=,
                     attribute(CU_POINTER_ATTRIBUTE_BUFFER_ID, m));
    guint64 v = 3;
    g_assert_cmpint(cuPointerGetAttribute(&v, CU_POINTER_ATTRIBUTE_HOST_POINTER, p), ==,
                    CUDA_ERROR_INVALID_VALUE);
    g_assert_cmpint(cuPointerGetAttribute(&v, CU_POINTER_ATTRIBUTE_MEMORY_TYPE, p + 1000), ==,
                    CUDA_ERROR_INVALID_VALUE);
    g_assert_cmpuint(v, ==, 3);
    int on = 1;
    assert_ok(cuPointerSetAttribute(&on, CU_POINTER_ATTRIBUTE_SYNC_MEMOPS, p));
    g_assert_cmpuint(attribute(CU_POINTER_ATTRIBUTE_SYNC_MEMOPS, p), ==, 1);
    assert_ok(cuMemGetAddressRange_v2(&base, &size, p + 10));
    g_assert_cmpuint(base, ==, p);
    g_assert_cmpuint(size, ==, 1000);
    assert_ok(cuMemFree_v2(p));
    assert_ok(cuMemFree_v2(m));
    assert_ok(cuMemFreeHost(h));
    g_assert_cmpint(cuMemGetAddressRange_v2(&base, &size, p), ==, CUDA_ERROR_NOT_FOUND);
}

static void foreign_pointers_have_default_attributes(void)
{
    int x, ordinal = 7;
    CUmemorytype type = CU_MEMORYTYPE_ARRAY;
    void *data[] = {&ordinal, &type};
    CUpointer_attribute a[] = {CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL, CU_POINTER_ATTRIBUTE_MEMORY_TYPE};
    assert_ok(cuPointerGetAttributes(2, a, data, (CUdeviceptr)(uintptr_t)&x));
    g_assert_cmpint(ordinal, ==, -2);
    g_assert_cmpint(type, ==, 0);
}

int main(int argc, char **argv)
{
    machine_init(&argc, &argv, "2xa100-40g,null_model=true,real_bytes_max=64MiB");
    machine_start();
    g_test_add_func("/plain/bytes_survive_a_round_trip", bytes_survive_a_round_trip);
    g_test_add_func("/plain/physical_memory_moves_in_chunks_of_2_mib",
                    physical_memory_moves_in_chunks_of_2_mib);
    g_test_add_func("/plain/bad_sizes_are_refused_and_touch_nothing",
                    bad_sizes_are_refused_and_touch_nothing);
    g_test_add_func("/plain/the_whole_card_can_be_taken_and_not_a_chunk_more",
                    the_whole_card_can_be_taken_and_not_a_chunk_more);
    g_test_add_func("/plain/only_live_bases_can_be_freed", only_live_bases_can_be_freed);
    g_test_add_func("/plain/every_call_needs_a_context", every_call_needs_a_context);
    g_test_add_func("/plain/a_lost_card_gives_nothing", a_lost_card_gives_nothing);
    g_test_add_func("/plain/destroying_a_context_frees_what_it_holds",
                    destroying_a_context_frees_what_it_holds);
    g_test_add_func("/plain/the_first_versions_hand_out_32_bit_pointers",
                    the_first_versions_hand_out_32_bit_pointers);
    g_test_add_func("/plain/random_histories_keep_blocks_apart", random_histories_keep_blocks_apart);
    g_test_add_func("/plain/threads_share_a_device", threads_share_a_device);
    g_test_add_func("/host/pinned_memory_takes_no_device_memory", pinned_memory_takes_no_device_memory);
    g_test_add_func("/host/registered_memory_is_found_and_given_up", registered_memory_is_found_and_given_up);
    g_test_add_func("/managed/memory_is_taken_where_it_is_resident",
                    managed_memory_is_taken_where_it_is_resident);
    g_test_add_func("/managed/pages_make_room_for_device_memory", managed_pages_make_room_for_device_memory);
    g_test_add_func("/managed/advice_is_remembered", advice_is_remembered);
    g_test_add_func("/pointer/pointers_tell_what_they_are", pointers_tell_what_they_are);
    g_test_add_func("/pointer/foreign_pointers_have_default_attributes",
                    foreign_pointers_have_default_attributes);
    return machine_run();
}
