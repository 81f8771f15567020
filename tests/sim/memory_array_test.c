/* SPDX-License-Identifier: Apache-2.0
 *
 * Arrays of every shape and format, mipmaps and memory that is mapped later.
 */
#include "machine.h"

#include <string.h>

enum { LAYERED = 1, CUBEMAP = 4, SPARSE = 64, DEFERRED = 128 };

static CUDA_ARRAY3D_DESCRIPTOR shape(size_t w, size_t h, size_t d, CUarray_format f, unsigned channels,
                                     unsigned flags)
{
    return (CUDA_ARRAY3D_DESCRIPTOR){w, h, d, f, channels, flags};
}

/* width, height, depth, format, channels, flags, row bytes, rows, slices */
static const struct {
    size_t w, h, d;
    int format;
    unsigned channels, flags, row_bytes, rows, slices;
} shapes[] = {
    {100, 0, 0, CU_AD_FORMAT_UNSIGNED_INT8, 1, 0, 100, 1, 1},
    {100, 0, 7, CU_AD_FORMAT_FLOAT, 2, LAYERED, 800, 1, 7},
    {33, 17, 0, CU_AD_FORMAT_HALF, 4, 0, 264, 17, 1},
    {33, 17, 5, CU_AD_FORMAT_SIGNED_INT32, 1, LAYERED, 132, 17, 5},
    {33, 17, 5, CU_AD_FORMAT_UNSIGNED_INT16, 1, 0, 66, 17, 5},
    {16, 16, 6, CU_AD_FORMAT_FLOAT, 4, CUBEMAP, 256, 16, 6},
    {16, 16, 12, CU_AD_FORMAT_FLOAT, 1, CUBEMAP | LAYERED, 64, 16, 12},
    {64, 64, 0, CU_AD_FORMAT_BC1_UNORM, 4, 0, 128, 16, 1},
    {64, 64, 0, CU_AD_FORMAT_BC7_UNORM, 4, 0, 256, 16, 1},
    {64, 64, 0, CU_AD_FORMAT_UNORM_INT16X4, 4, 0, 512, 64, 1},
};

static void every_shape_keeps_its_bytes(void)
{
    size_t before = machine_free();
    for (unsigned i = 0; i < G_N_ELEMENTS(shapes); i++) {
        CUarray array;
        CUDA_ARRAY3D_DESCRIPTOR d =
            shape(shapes[i].w, shapes[i].h, shapes[i].d, (CUarray_format)shapes[i].format, shapes[i].channels,
                  shapes[i].flags);
        size_t row = shapes[i].row_bytes, total = row * shapes[i].rows * shapes[i].slices;
        guint8 *in = g_malloc(total), *out = g_malloc0(total);
        for (size_t k = 0; k < total; k++)
            in[k] = (guint8)(k * 13 + i);
        assert_ok(cuArray3DCreate_v2(&array, &d));
        g_assert_cmpuint(machine_free(), <, before);
        CUDA_MEMCPY3D c = {.srcMemoryType = CU_MEMORYTYPE_HOST,
                           .srcHost = in,
                           .srcPitch = row,
                           .srcHeight = shapes[i].rows,
                           .dstMemoryType = CU_MEMORYTYPE_ARRAY,
                           .dstArray = array,
                           .WidthInBytes = row,
                           .Height = shapes[i].rows,
                           .Depth = shapes[i].slices};
        assert_ok(cuMemcpy3D_v2(&c));
        CUDA_MEMCPY3D back = {.srcMemoryType = CU_MEMORYTYPE_ARRAY,
                              .srcArray = array,
                              .dstMemoryType = CU_MEMORYTYPE_HOST,
                              .dstHost = out,
                              .dstPitch = row,
                              .dstHeight = shapes[i].rows,
                              .WidthInBytes = row,
                              .Height = shapes[i].rows,
                              .Depth = shapes[i].slices};
        assert_ok(cuMemcpy3D_v2(&back));
        g_assert_true(memcmp(in, out, total) == 0);
        back.WidthInBytes = row + 1;
        g_assert_cmpint(cuMemcpy3D_v2(&back), ==, CUDA_ERROR_INVALID_VALUE);
        CUDA_ARRAY3D_DESCRIPTOR got;
        assert_ok(cuArray3DGetDescriptor_v2(&got, array));
        g_assert_cmpuint(got.Width, ==, d.Width);
        g_assert_cmpuint(got.Flags, ==, d.Flags);
        assert_ok(cuArrayDestroy(array));
        g_assert_cmpint(cuArrayDestroy(array), ==, CUDA_ERROR_INVALID_HANDLE);
        g_free(in);
        g_free(out);
    }
    g_assert_cmpuint(machine_free(), ==, before);
}

static void all_formats_have_a_size(void)
{
    static const struct {
        int format;
        unsigned channels;
    } formats[] = {{CU_AD_FORMAT_NV12, 3},         {CU_AD_FORMAT_P010, 3},
                   {CU_AD_FORMAT_NV16, 3},         {CU_AD_FORMAT_YUY2, 3},
                   {CU_AD_FORMAT_AYUV, 4},         {CU_AD_FORMAT_Y444_PLANAR8, 3},
                   {CU_AD_FORMAT_BC6H_UF16, 3},    {CU_AD_FORMAT_BC4_UNORM, 1},
                   {CU_AD_FORMAT_SNORM_INT8X2, 2}, {CU_AD_FORMAT_UINT16_PLANAR_444, 3}};
    for (unsigned i = 0; i < G_N_ELEMENTS(formats); i++) {
        CUarray array;
        CUDA_ARRAY3D_DESCRIPTOR d =
            shape(64, 64, 0, (CUarray_format)formats[i].format, formats[i].channels, 0);
        assert_ok(cuArray3DCreate_v2(&array, &d));
        assert_ok(cuArrayDestroy(array));
        d.NumChannels = formats[i].channels == 2 ? 4 : 2;
        g_assert_cmpint(cuArray3DCreate_v2(&array, &d), ==, CUDA_ERROR_INVALID_VALUE);
    }
}

static void planes_are_views_of_the_whole(void)
{
    CUarray array, luma, chroma;
    CUDA_ARRAY_DESCRIPTOR d = {64, 32, CU_AD_FORMAT_NV12, 3}, got;
    char in[64], out[64] = "";
    memset(in, 3, sizeof in);
    assert_ok(cuArrayCreate_v2(&array, &d));
    assert_ok(cuArrayGetPlane(&luma, array, 0));
    assert_ok(cuArrayGetPlane(&chroma, array, 1));
    assert_ok(cuArrayGetDescriptor_v2(&got, chroma));
    g_assert_cmpuint(got.Width, ==, 32);
    g_assert_cmpuint(got.Height, ==, 16);
    g_assert_cmpuint(got.NumChannels, ==, 2);
    assert_ok(cuMemcpyHtoA_v2(chroma, 0, in, sizeof in));
    assert_ok(cuMemcpyAtoH_v2(out, chroma, 0, sizeof out));
    g_assert_true(memcmp(in, out, sizeof in) == 0);
    g_assert_cmpint(cuArrayGetPlane(&chroma, array, 2), ==, CUDA_ERROR_INVALID_VALUE);
    g_assert_cmpint(cuArrayDestroy(luma), ==, CUDA_ERROR_INVALID_HANDLE);
    assert_ok(cuArrayDestroy(array));
}

static void bad_descriptors_are_refused(void)
{
    static const struct {
        size_t w, h, d;
        int format;
        unsigned channels, flags;
    } bad[] = {
        {0, 1, 0, CU_AD_FORMAT_FLOAT, 1, 0},
        {1, 0, 1, CU_AD_FORMAT_FLOAT, 1, 0},
        {1, 1, 0, 77, 1, 0},
        {1, 1, 0, CU_AD_FORMAT_FLOAT, 3, 0},
        {1, 1, 0, CU_AD_FORMAT_FLOAT, 0, 0},
        {8, 9, 6, CU_AD_FORMAT_FLOAT, 1, CUBEMAP},
        {8, 8, 5, CU_AD_FORMAT_FLOAT, 1, CUBEMAP},
        {8, 8, 0, CU_AD_FORMAT_FLOAT, 1, LAYERED},
        {1 << 20, 1, 0, CU_AD_FORMAT_FLOAT, 1, 0},
        {8, 8, 0, CU_AD_FORMAT_FLOAT, 1, 1 << 20},
        {8, 8, 4096, CU_AD_FORMAT_FLOAT, 1, LAYERED},
    };
    CUarray array = NULL;
    size_t before = machine_free();
    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        CUDA_ARRAY3D_DESCRIPTOR d =
            shape(bad[i].w, bad[i].h, bad[i].d, (CUarray_format)bad[i].format, bad[i].channels, bad[i].flags);
        g_assert_cmpint(cuArray3DCreate_v2(&array, &d), ==, CUDA_ERROR_INVALID_VALUE);
    }
    CUDA_ARRAY3D_DESCRIPTOR huge = shape(16384, 16384, 16384, CU_AD_FORMAT_FLOAT, 4, 0);
    g_assert_cmpint(cuArray3DCreate_v2(&array, &huge), ==, CUDA_ERROR_OUT_OF_MEMORY);
    g_assert_true(array == NULL);
    g_assert_cmpuint(machine_free(), ==, before);
}

static void mipmaps_hold_the_sum_of_their_levels(void)
{
    CUmipmappedArray m;
    CUarray level;
    CUDA_ARRAY_DESCRIPTOR got;
    CUDA_ARRAY3D_DESCRIPTOR d = shape(1024, 1024, 0, CU_AD_FORMAT_FLOAT, 4, 0);
    size_t before = machine_free();
    assert_ok(cuMipmappedArrayCreate(&m, &d, 99));
    size_t taken = before - machine_free(); /* 16 MiB and a third */
    g_assert_cmpuint(taken, >=, 16 * MIB + 5 * MIB);
    g_assert_cmpuint(taken, <=, 24 * MIB);
    assert_ok(cuMipmappedArrayGetLevel(&level, m, 3));
    assert_ok(cuArrayGetDescriptor_v2(&got, level));
    g_assert_cmpuint(got.Width, ==, 128);
    assert_ok(cuMipmappedArrayGetLevel(&level, m, 10));
    assert_ok(cuArrayGetDescriptor_v2(&got, level));
    g_assert_cmpuint(got.Width, ==, 1);
    g_assert_cmpint(cuMipmappedArrayGetLevel(&level, m, 11), ==, CUDA_ERROR_INVALID_VALUE);
    assert_ok(cuMipmappedArrayDestroy(m));
    g_assert_cmpint(cuMipmappedArrayDestroy(m), ==, CUDA_ERROR_INVALID_HANDLE);
    g_assert_cmpuint(machine_free(), ==, before);
}

static void deferred_arrays_take_memory_when_mapped(void)
{
    CUarray array;
    CUmemGenericAllocationHandle h;
    CUDA_ARRAY_MEMORY_REQUIREMENTS need;
    CUmemAllocationProp p = {.type = CU_MEM_ALLOCATION_TYPE_PINNED};
    CUDA_ARRAY3D_DESCRIPTOR d = shape(512, 512, 0, CU_AD_FORMAT_FLOAT, 1, DEFERRED);
    size_t before = machine_free();
    p.location.type = CU_MEM_LOCATION_TYPE_DEVICE;
    assert_ok(cuArray3DCreate_v2(&array, &d));
    g_assert_cmpuint(machine_free(), ==, before);
    assert_ok(cuArrayGetMemoryRequirements(&need, array, 0));
    g_assert_cmpuint(need.size, ==, MIB);
    assert_ok(cuMemCreate(&h, 2 * MIB, &p, 0));
    CUarrayMapInfo info = {.resourceType = CU_RESOURCE_TYPE_ARRAY,
                           .resource.array = array,
                           .memOperationType = CU_MEM_OPERATION_TYPE_MAP,
                           .memHandle.memHandle = h,
                           .deviceBitMask = 1};
    assert_ok(cuMemMapArrayAsync(&info, 1, NULL));
    assert_ok(cuMemRelease(h));
    g_assert_cmpuint(machine_free(), ==, before - 2 * MIB); /* the mapping holds it */
    info.memOperationType = CU_MEM_OPERATION_TYPE_UNMAP;
    assert_ok(cuMemMapArrayAsync(&info, 1, NULL));
    g_assert_cmpuint(machine_free(), ==, before);
    assert_ok(cuMemCreate(&h, 2 * MIB, &p, 0));
    info.memOperationType = CU_MEM_OPERATION_TYPE_MAP;
    info.memHandle.memHandle = h;
    assert_ok(cuMemMapArrayAsync(&info, 1, NULL));
    assert_ok(cuMemRelease(h));
    info.deviceBitMask = 0;
    g_assert_cmpint(cuMemMapArrayAsync(&info, 1, NULL), ==, CUDA_ERROR_INVALID_VALUE);
    assert_ok(cuArrayDestroy(array));
    g_assert_cmpuint(machine_free(), ==, before); /* what was mapped went with the array */
}

static void sparse_arrays_tell_their_tiles(void)
{
    CUarray array;
    CUDA_ARRAY_SPARSE_PROPERTIES s;
    CUDA_ARRAY3D_DESCRIPTOR d = shape(1024, 1024, 0, CU_AD_FORMAT_FLOAT, 1, SPARSE);
    assert_ok(cuArray3DCreate_v2(&array, &d));
    assert_ok(cuArrayGetSparseProperties(&s, array));
    g_assert_cmpuint(s.tileExtent.width * s.tileExtent.height * 4, ==, 65536);
    assert_ok(cuArrayDestroy(array));
    d.Flags = 0;
    assert_ok(cuArray3DCreate_v2(&array, &d));
    g_assert_cmpint(cuArrayGetSparseProperties(&s, array), ==, CUDA_ERROR_INVALID_VALUE);
    assert_ok(cuArrayDestroy(array));
}

int main(int argc, char **argv)
{
    machine_init(&argc, &argv, "t4,null_model=true,real_bytes_max=64MiB");
    machine_start();
    g_test_add_func("/array/every_shape_keeps_its_bytes", every_shape_keeps_its_bytes);
    g_test_add_func("/array/all_formats_have_a_size", all_formats_have_a_size);
    g_test_add_func("/array/planes_are_views_of_the_whole", planes_are_views_of_the_whole);
    g_test_add_func("/array/bad_descriptors_are_refused", bad_descriptors_are_refused);
    g_test_add_func("/array/mipmaps_hold_the_sum_of_their_levels", mipmaps_hold_the_sum_of_their_levels);
    g_test_add_func("/array/deferred_arrays_take_memory_when_mapped",
                    deferred_arrays_take_memory_when_mapped);
    g_test_add_func("/array/sparse_arrays_tell_their_tiles", sparse_arrays_tell_their_tiles);
    return machine_run();
}
