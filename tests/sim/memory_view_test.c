/* SPDX-License-Identifier: Apache-2.0
 *
 * Descriptions of memory (textures, surfaces, references), memory of other
 * interfaces, and attaching to streams.
 */
#include "machine.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static CUarray array_new(void)
{
    CUarray array;
    CUDA_ARRAY_DESCRIPTOR d = {64, 64, CU_AD_FORMAT_FLOAT, 4};
    assert_ok(cuArrayCreate_v2(&array, &d));
    return array;
}

static void texture_objects_remember_what_they_describe(void)
{
    CUtexObject t = 7;
    CUarray array = array_new();
    CUDA_RESOURCE_DESC r = {.resType = CU_RESOURCE_TYPE_ARRAY, .res.array.hArray = array}, got;
    CUDA_TEXTURE_DESC s = {.filterMode = CU_TR_FILTER_MODE_LINEAR}, sampling;
    CUDA_RESOURCE_VIEW_DESC view;
    assert_ok(cuTexObjectCreate(&t, &r, &s, NULL));
    assert_ok(cuTexObjectGetResourceDesc(&got, t));
    g_assert_true(got.res.array.hArray == array);
    assert_ok(cuTexObjectGetTextureDesc(&sampling, t));
    g_assert_cmpint(sampling.filterMode, ==, CU_TR_FILTER_MODE_LINEAR);
    g_assert_cmpint(cuTexObjectGetResourceViewDesc(&view, t), ==, CUDA_ERROR_INVALID_VALUE);
    assert_ok(cuTexObjectDestroy(t));
    g_assert_cmpint(cuTexObjectDestroy(t), ==, CUDA_ERROR_INVALID_VALUE);
    assert_ok(cuSurfObjectCreate(&t, &r));
    assert_ok(cuSurfObjectDestroy(t));
    assert_ok(cuArrayDestroy(array));
    t = 7;
    g_assert_cmpint(cuTexObjectCreate(&t, &r, &s, NULL), ==, CUDA_ERROR_INVALID_VALUE); /* stale array */
    g_assert_cmpuint(t, ==, 7);
}

static void linear_textures_need_memory_that_exists(void)
{
    CUtexObject t;
    CUdeviceptr p;
    CUDA_TEXTURE_DESC s = {0};
    assert_ok(cuMemAlloc_v2(&p, 4096));
    CUDA_RESOURCE_DESC r = {.resType = CU_RESOURCE_TYPE_LINEAR,
                            .res.linear = {p, CU_AD_FORMAT_FLOAT, 1, 4096}};
    assert_ok(cuTexObjectCreate(&t, &r, &s, NULL));
    assert_ok(cuTexObjectDestroy(t));
    r.res.linear.sizeInBytes = 4097;
    g_assert_cmpint(cuTexObjectCreate(&t, &r, &s, NULL), ==, CUDA_ERROR_INVALID_VALUE);
    r = (CUDA_RESOURCE_DESC){.resType = CU_RESOURCE_TYPE_PITCH2D,
                             .res.pitch2D = {p, CU_AD_FORMAT_FLOAT, 1, 16, 16, 256}};
    assert_ok(cuTexObjectCreate(&t, &r, &s, NULL));
    assert_ok(cuTexObjectDestroy(t));
    r.res.pitch2D.pitchInBytes = 100;
    g_assert_cmpint(cuTexObjectCreate(&t, &r, &s, NULL), ==, CUDA_ERROR_INVALID_VALUE);
    assert_ok(cuMemFree_v2(p));
}

static void references_keep_their_settings(void)
{
    CUtexref t;
    CUarray array = array_new(), got;
    CUfilter_mode filter;
    CUdeviceptr p, where;
    CUarray_format format;
    int channels;
    assert_ok(cuTexRefCreate(&t));
    g_assert_cmpint(cuTexRefGetArray(&got, t), ==, CUDA_ERROR_INVALID_VALUE);
    assert_ok(cuTexRefSetArray(t, array, 1));
    assert_ok(cuTexRefGetArray(&got, t));
    g_assert_true(got == array);
    assert_ok(cuTexRefSetFilterMode(t, CU_TR_FILTER_MODE_LINEAR));
    assert_ok(cuTexRefGetFilterMode(&filter, t));
    g_assert_cmpint(filter, ==, CU_TR_FILTER_MODE_LINEAR);
    g_assert_cmpint(cuTexRefSetAddressMode(t, 3, CU_TR_ADDRESS_MODE_WRAP), ==, CUDA_ERROR_INVALID_VALUE);
    assert_ok(cuTexRefSetFormat(t, CU_AD_FORMAT_HALF, 2));
    assert_ok(cuTexRefGetFormat(&format, &channels, t));
    g_assert_cmpint(format, ==, CU_AD_FORMAT_HALF);
    assert_ok(cuMemAlloc_v2(&p, 256));
    assert_ok(cuTexRefSetAddress_v2(NULL, t, p, 256));
    assert_ok(cuTexRefGetAddress_v2(&where, t));
    g_assert_cmpuint(where, ==, p);
    assert_ok(cuTexRefDestroy(t));
    g_assert_cmpint(cuTexRefDestroy(t), ==, CUDA_ERROR_INVALID_HANDLE);
    assert_ok(cuMemFree_v2(p));
    assert_ok(cuArrayDestroy(array));
}

static void external_files_show_their_bytes(void)
{
    CUexternalMemory m;
    CUdeviceptr p;
    char text[16] = "external", out[16];
    int fd = memfd_create("external", MFD_CLOEXEC);
    size_t before = machine_free(), page = (size_t)sysconf(_SC_PAGESIZE);
    g_assert_cmpint(ftruncate(fd, 4 * (off_t)page), ==, 0);
    g_assert_cmpint((int)pwrite(fd, text, sizeof text, 2 * (off_t)page), ==, (int)sizeof text);
    CUDA_EXTERNAL_MEMORY_HANDLE_DESC d = {
        .type = CU_EXTERNAL_MEMORY_HANDLE_TYPE_OPAQUE_FD, .handle.fd = fd, .size = 4 * page};
    CUDA_EXTERNAL_MEMORY_BUFFER_DESC buffer = {.offset = 2 * page, .size = 4096};
    assert_ok(cuImportExternalMemory(&m, &d));
    assert_ok(cuExternalMemoryGetMappedBuffer(&p, m, &buffer));
    assert_ok(cuMemcpyDtoH_v2(out, p, sizeof out));
    g_assert_cmpstr(out, ==, text);
    g_assert_cmpint(cuMemcpyDtoH_v2(out, p + 4090, 7), ==, CUDA_ERROR_INVALID_VALUE);
    g_assert_cmpuint(machine_free(), ==, before);
    buffer.offset = 4 * page;
    g_assert_cmpint(cuExternalMemoryGetMappedBuffer(&p, m, &buffer), ==, CUDA_ERROR_INVALID_VALUE);
    assert_ok(cuMemFree_v2(p));
    buffer.offset = page + 2048; /* inside a page, whatever its size */
    assert_ok(cuExternalMemoryGetMappedBuffer(&p, m, &buffer));
    assert_ok(cuMemFree_v2(p));
    assert_ok(cuDestroyExternalMemory(m));
    g_assert_cmpint(cuDestroyExternalMemory(m), ==, CUDA_ERROR_INVALID_HANDLE);
    d.handle.fd = 99999;
    g_assert_cmpint(cuImportExternalMemory(&m, &d), ==, CUDA_ERROR_INVALID_HANDLE);
    d.type = CU_EXTERNAL_MEMORY_HANDLE_TYPE_OPAQUE_WIN32;
    g_assert_cmpint(cuImportExternalMemory(&m, &d), ==, CUDA_ERROR_NOT_SUPPORTED);
}

static void only_managed_memory_is_attached(void)
{
    CUstream s;
    CUdeviceptr m, p;
    assert_ok(cuStreamCreate(&s, 0));
    assert_ok(cuMemAllocManaged(&m, 4096, CU_MEM_ATTACH_HOST));
    assert_ok(cuMemAlloc_v2(&p, 4096));
    assert_ok(cuStreamAttachMemAsync(s, m, 0, CU_MEM_ATTACH_SINGLE));
    g_assert_cmpint(cuStreamAttachMemAsync(NULL, m, 0, CU_MEM_ATTACH_SINGLE), ==, CUDA_ERROR_INVALID_VALUE);
    g_assert_cmpint(cuStreamAttachMemAsync(s, m, 100, CU_MEM_ATTACH_GLOBAL), ==, CUDA_ERROR_INVALID_VALUE);
    g_assert_cmpint(cuStreamAttachMemAsync(s, p, 0, CU_MEM_ATTACH_GLOBAL), ==, CUDA_ERROR_INVALID_VALUE);
    assert_ok(cuMemFree_v2(m));
    assert_ok(cuMemFree_v2(p));
    assert_ok(cuStreamDestroy_v2(s));
}

int main(int argc, char **argv)
{
    machine_init(&argc, &argv, "t4,null_model=true,real_bytes_max=64MiB");
    machine_start();
    g_test_add_func("/texture/objects_remember_what_they_describe",
                    texture_objects_remember_what_they_describe);
    g_test_add_func("/texture/linear_ones_need_memory_that_exists", linear_textures_need_memory_that_exists);
    g_test_add_func("/texture/references_keep_their_settings", references_keep_their_settings);
    g_test_add_func("/external/files_show_their_bytes", external_files_show_their_bytes);
    g_test_add_func("/attach/only_managed_memory_is_attached", only_managed_memory_is_attached);
    return machine_run();
}
