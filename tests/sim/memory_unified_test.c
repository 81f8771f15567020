/* SPDX-License-Identifier: Apache-2.0
 *
 * A machine whose device memory is system memory, and tensor maps, which only
 * newer devices have.
 */
#include "machine.h"

#include <string.h>

static void pinned_memory_takes_the_shared_memory(void)
{
    void *p;
    size_t before = machine_free();
    assert_ok(cuMemHostAlloc(&p, 64 * MIB, 0));
    g_assert_cmpuint(before - machine_free(), ==, 64 * MIB);
    assert_ok(cuMemFreeHost(p));
    g_assert_cmpuint(machine_free(), ==, before);
    g_assert_cmpint(cuMemHostAlloc(&p, before + MIB, 0), ==, CUDA_ERROR_OUT_OF_MEMORY);
    g_assert_cmpuint(machine_free(), ==, before);
}

static void the_device_reads_the_programs_own_memory(void)
{
    char in[64] = "mine", out[64] = "";
    assert_ok(cuMemcpyDtoD_v2((CUdeviceptr)(uintptr_t)out, (CUdeviceptr)(uintptr_t)in, sizeof in));
    assert_ok(cuCtxSynchronize());
    g_assert_cmpstr(out, ==, "mine");
}

static void tensor_maps_are_checked(void)
{
    CUdeviceptr p;
    CUtensorMap map;
    cuuint64_t dims[2] = {128, 64}, strides[1] = {512};
    cuuint32_t box[2] = {32, 32}, steps[2] = {1, 1};
    assert_ok(cuMemAlloc_v2(&p, 128 * 64 * 4));
    assert_ok(cuTensorMapEncodeTiled(&map, CU_TENSOR_MAP_DATA_TYPE_FLOAT32, 2, (void *)(uintptr_t)p, dims,
                                     strides, box, steps, 0, 0, 0, 0));
    assert_ok(cuTensorMapReplaceAddress(&map, (void *)(uintptr_t)(p + 64)));
    box[0] = 257;
    g_assert_cmpint(cuTensorMapEncodeTiled(&map, CU_TENSOR_MAP_DATA_TYPE_FLOAT32, 2, (void *)(uintptr_t)p,
                                           dims, strides, box, steps, 0, 0, 0, 0),
                    ==, CUDA_ERROR_INVALID_VALUE);
    memset(&map, 0, sizeof map);
    g_assert_cmpint(cuTensorMapReplaceAddress(&map, (void *)(uintptr_t)p), ==, CUDA_ERROR_INVALID_VALUE);
    assert_ok(cuMemFree_v2(p));
}

int main(int argc, char **argv)
{
    machine_init(&argc, &argv, "gb10,null_model=true,real_bytes_max=64MiB");
    machine_start();
    g_test_add_func("/unified/pinned_memory_takes_the_shared_memory", pinned_memory_takes_the_shared_memory);
    g_test_add_func("/unified/the_device_reads_the_programs_own_memory",
                    the_device_reads_the_programs_own_memory);
    g_test_add_func("/tensor/maps_are_checked", tensor_maps_are_checked);
    return machine_run();
}
