/* SPDX-License-Identifier: Apache-2.0
 *
 * Physical objects, reservations and mappings, alone and between processes.
 */
#include "machine.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHUNK (2 * MIB)

static const CUmemAccessDesc both = {.location = {.type = CU_MEM_LOCATION_TYPE_DEVICE, {0}},
                                     .flags = CU_MEM_ACCESS_FLAGS_PROT_READWRITE};

static CUmemAllocationProp device_prop(unsigned handle_types)
{
    CUmemAllocationProp p = {.type = CU_MEM_ALLOCATION_TYPE_PINNED,
                             .requestedHandleTypes = (CUmemAllocationHandleType)handle_types};
    p.location.type = CU_MEM_LOCATION_TYPE_DEVICE;
    return p;
}

static CUmemGenericAllocationHandle create(size_t size, unsigned handle_types)
{
    CUmemGenericAllocationHandle h;
    CUmemAllocationProp p = device_prop(handle_types);
    assert_ok(cuMemCreate(&h, size, &p, 0));
    return h;
}

static CUdeviceptr map(CUmemGenericAllocationHandle h, size_t size)
{
    CUdeviceptr at;
    assert_ok(cuMemAddressReserve(&at, size, 0, 0, 0));
    assert_ok(cuMemMap(at, size, 0, h, 0));
    assert_ok(cuMemSetAccess(at, size, &both, 1));
    return at;
}

static void unmap(CUdeviceptr at, size_t size)
{
    assert_ok(cuMemUnmap(at, size));
    assert_ok(cuMemAddressFree(at, size));
}

static void memory_lives_until_handle_and_mapping_are_gone(void)
{
    size_t before = machine_free();
    CUmemGenericAllocationHandle h = create(8 * CHUNK, 0);
    g_assert_cmpuint(before - machine_free(), ==, 8 * CHUNK);
    CUdeviceptr at = map(h, 8 * CHUNK);
    assert_ok(cuMemRelease(h));
    g_assert_cmpuint(before - machine_free(), ==, 8 * CHUNK);
    g_assert_cmpint(cuMemRelease(h), ==, CUDA_ERROR_INVALID_VALUE);
    CUmemGenericAllocationHandle again;
    assert_ok(cuMemRetainAllocationHandle(&again, (void *)(uintptr_t)(at + CHUNK)));
    g_assert_cmpuint(again, ==, h);
    unmap(at, 8 * CHUNK);
    g_assert_cmpuint(before - machine_free(), ==, 8 * CHUNK);
    assert_ok(cuMemRelease(again));
    g_assert_cmpuint(machine_free(), ==, before);
}

static void two_mappings_show_the_same_bytes(void)
{
    char in[100] = "the same bytes", out[100];
    CUmemGenericAllocationHandle h = create(CHUNK, 0);
    CUdeviceptr a = map(h, CHUNK), b = map(h, CHUNK);
    assert_ok(cuMemcpyHtoD_v2(a + 5000, in, sizeof in));
    assert_ok(cuMemcpyDtoH_v2(out, b + 5000, sizeof out));
    g_assert_cmpstr(in, ==, out);
    unmap(a, CHUNK);
    unmap(b, CHUNK);
    assert_ok(cuMemRelease(h));
}

static void copies_cross_from_one_mapping_into_the_next(void)
{
    CUdeviceptr at;
    CUmemGenericAllocationHandle h[3];
    char *in = g_malloc(3 * CHUNK), *out = g_malloc0(3 * CHUNK);
    for (size_t i = 0; i < 3 * CHUNK; i++)
        in[i] = (char)(i * 31 >> 3);
    assert_ok(cuMemAddressReserve(&at, 4 * CHUNK, 0, 0, 0));
    for (unsigned i = 0; i < 3; i++) {
        h[i] = create(CHUNK, 0);
        assert_ok(cuMemMap(at + i * CHUNK, CHUNK, 0, h[i], 0));
    }
    g_assert_cmpint(cuMemcpyHtoD_v2(at, in, 1), ==, CUDA_ERROR_INVALID_VALUE); /* no access yet */
    assert_ok(cuMemSetAccess(at, 3 * CHUNK, &both, 1));
    assert_ok(cuMemcpyHtoD_v2(at, in, 3 * CHUNK));
    assert_ok(cuMemcpyDtoH_v2(out, at, 3 * CHUNK));
    g_assert_true(memcmp(in, out, 3 * CHUNK) == 0);
    g_assert_cmpint(cuMemcpyHtoD_v2(at + 3 * CHUNK, in, 1), ==, CUDA_ERROR_INVALID_VALUE);
    g_assert_cmpint(cuMemcpyHtoD_v2(at + 2 * CHUNK, in, CHUNK + 1), ==, CUDA_ERROR_INVALID_VALUE);
    g_assert_cmpint(cuMemUnmap(at, CHUNK / 2), ==, CUDA_ERROR_INVALID_VALUE);
    g_assert_cmpint(cuMemUnmap(at, 4 * CHUNK), ==, CUDA_ERROR_INVALID_VALUE);
    g_assert_cmpint(cuMemAddressFree(at, 4 * CHUNK), ==, CUDA_ERROR_INVALID_VALUE);
    assert_ok(cuMemUnmap(at, 3 * CHUNK)); /* several at once */
    assert_ok(cuMemAddressFree(at, 4 * CHUNK));
    for (unsigned i = 0; i < 3; i++)
        assert_ok(cuMemRelease(h[i]));
    g_free(in);
    g_free(out);
}

static void bad_arguments_are_refused(void)
{
    CUmemGenericAllocationHandle h = 77;
    CUdeviceptr at = 77;
    CUmemAllocationProp p = device_prop(0);
    size_t before = machine_free(), g;
    g_assert_cmpint(cuMemCreate(&h, 0, &p, 0), ==, CUDA_ERROR_INVALID_VALUE);
    g_assert_cmpint(cuMemCreate(&h, CHUNK + 4096, &p, 0), ==, CUDA_ERROR_INVALID_VALUE);
    g_assert_cmpint(cuMemCreate(&h, CHUNK, &p, 1), ==, CUDA_ERROR_INVALID_VALUE);
    g_assert_cmpint(cuMemCreate(&h, 1ULL << 63, &p, 0), ==, CUDA_ERROR_OUT_OF_MEMORY);
    p.location.id = 9;
    g_assert_cmpint(cuMemCreate(&h, CHUNK, &p, 0), ==, CUDA_ERROR_INVALID_DEVICE);
    p = device_prop(8);
    g_assert_cmpint(cuMemCreate(&h, CHUNK, &p, 0), ==, CUDA_ERROR_NOT_SUPPORTED);
    p = device_prop(0);
    p.type = CU_MEM_ALLOCATION_TYPE_INVALID;
    g_assert_cmpint(cuMemCreate(&h, CHUNK, &p, 0), ==, CUDA_ERROR_INVALID_VALUE);
    g_assert_cmpint(cuMemGetAllocationGranularity(&g, &p, 0), ==, CUDA_ERROR_INVALID_VALUE);
    p = device_prop(0);
    assert_ok(cuMemGetAllocationGranularity(&g, &p, CU_MEM_ALLOC_GRANULARITY_MINIMUM));
    g_assert_cmpuint(g, ==, CHUNK);
    g_assert_cmpint(cuMemAddressReserve(&at, 0, 0, 0, 0), ==, CUDA_ERROR_INVALID_VALUE);
    g_assert_cmpint(cuMemAddressReserve(&at, CHUNK + 1, 0, 0, 0), ==, CUDA_ERROR_INVALID_VALUE);
    g_assert_cmpint(cuMemAddressReserve(&at, CHUNK, 3, 0, 0), ==, CUDA_ERROR_INVALID_VALUE);
    g_assert_cmpint(cuMemAddressReserve(&at, 1ULL << 62, 0, 0, 0), ==, CUDA_ERROR_OUT_OF_MEMORY);
    g_assert_cmpint(cuMemRelease(123456), ==, CUDA_ERROR_INVALID_VALUE);
    g_assert_cmpuint(h, ==, 77);
    g_assert_cmpuint(at, ==, 77);
    g_assert_cmpuint(machine_free(), ==, before);
}

static void reservations_cost_nothing_and_follow_hints(void)
{
    size_t before = machine_free();
    CUdeviceptr a, b;
    assert_ok(cuMemAddressReserve(&a, 1ULL << 38, 1ULL << 30, 0, 0));
    g_assert_cmpuint(a % (1ULL << 30), ==, 0);
    assert_ok(cuMemAddressReserve(&b, CHUNK, 0, a + (1ULL << 38), 0));
    g_assert_cmpuint(b, ==, a + (1ULL << 38));
    g_assert_cmpuint(machine_free(), ==, before);
    assert_ok(cuMemAddressFree(a, 1ULL << 38));
    assert_ok(cuMemAddressFree(b, CHUNK));
}

static void access_is_kept_per_device(void)
{
    CUmemGenericAllocationHandle h = create(CHUNK, 0);
    CUdeviceptr at;
    unsigned long long flags = 9;
    CUmemAccessDesc peer = {.location = {.type = CU_MEM_LOCATION_TYPE_DEVICE, {1}},
                            .flags = CU_MEM_ACCESS_FLAGS_PROT_READ};
    assert_ok(cuMemAddressReserve(&at, CHUNK, 0, 0, 0));
    g_assert_cmpint(cuMemSetAccess(at, CHUNK, &both, 1), ==, CUDA_ERROR_INVALID_VALUE);
    assert_ok(cuMemMap(at, CHUNK, 0, h, 0));
    g_assert_cmpint(cuMemMap(at, CHUNK, 0, h, 0), ==, CUDA_ERROR_INVALID_VALUE);
    assert_ok(cuMemSetAccess(at, CHUNK, &peer, 1));
    assert_ok(cuMemGetAccess(&flags, &peer.location, at));
    g_assert_cmpuint(flags, ==, 1);
    assert_ok(cuMemGetAccess(&flags, &both.location, at));
    g_assert_cmpuint(flags, ==, 0);
    peer.location.id = 5;
    g_assert_cmpint(cuMemSetAccess(at, CHUNK, &peer, 1), ==, CUDA_ERROR_INVALID_DEVICE);
    unmap(at, CHUNK);
    assert_ok(cuMemRelease(h));
}

static void host_memory_takes_none_of_the_card(void)
{
    size_t before = machine_free();
    CUmemGenericAllocationHandle h;
    CUmemAllocationProp p = device_prop(0);
    static const CUmemLocationType types[] = {CU_MEM_LOCATION_TYPE_HOST, CU_MEM_LOCATION_TYPE_HOST_NUMA,
                                              CU_MEM_LOCATION_TYPE_HOST_NUMA_CURRENT};
    for (unsigned i = 0; i < G_N_ELEMENTS(types); i++) {
        p.location.type = types[i];
        assert_ok(cuMemCreate(&h, CHUNK, &p, 0));
        g_assert_cmpuint(machine_free(), ==, before);
        CUmemAllocationProp got;
        assert_ok(cuMemGetAllocationPropertiesFromHandle(&got, h));
        g_assert_cmpint(got.location.type, ==, types[i]);
        assert_ok(cuMemRelease(h));
    }
}

static void memory_is_created_without_a_context_on_its_own_device(void)
{
    CUcontext ctx;
    CUmemGenericAllocationHandle h;
    CUmemAllocationProp p = device_prop(0);
    size_t before = machine_free();
    p.location.id = 1;
    assert_ok(cuCtxGetCurrent(&ctx));
    assert_ok(cuCtxSetCurrent(NULL));
    assert_ok(cuMemCreate(&h, CHUNK, &p, 0));
    assert_ok(cuCtxSetCurrent(ctx));
    g_assert_cmpuint(machine_free(), ==, before);
    assert_ok(cuMemRelease(h));
}

static void multicast_needs_its_hardware(void)
{
    CUmulticastObjectProp p = {.numDevices = 2, .size = CHUNK};
    CUmemGenericAllocationHandle h;
    g_assert_cmpint(cuMulticastCreate(&h, &p), ==, CUDA_ERROR_NOT_SUPPORTED);
}

/* ---- between processes ---- */

static void importer(void)
{
    char out[64];
    CUmemGenericAllocationHandle h;
    machine_start();
    int fd = machine_receive(3, out, 1);
    size_t before = machine_free();
    assert_ok(
        cuMemImportFromShareableHandle(&h, (void *)(intptr_t)fd, CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR));
    close(fd);
    g_assert_cmpuint(machine_free(), ==, before); /* paid for by the exporter */
    CUdeviceptr at = map(h, CHUNK);
    assert_ok(cuMemRelease(h));
    assert_ok(cuMemcpyDtoH_v2(out, at, sizeof out));
    g_assert_cmpstr(out, ==, "from the exporter");
    strcpy(out, "from the importer");
    assert_ok(cuMemcpyHtoD_v2(at, out, sizeof out));
    machine_send(3, "r", 1, -1);
    machine_receive(3, out, 1);
    strcpy(out, "");
    assert_ok(cuMemcpyDtoH_v2(out, at, sizeof out)); /* the exporter has let go; the bytes live */
    g_assert_cmpstr(out, ==, "from the importer");
    unmap(at, CHUNK);
}

static void objects_travel_as_file_descriptors(void)
{
    int child_fd, fd = -1;
    char text[64] = "from the exporter";
    size_t before = machine_settled_free();
    GPid child = machine_child("importer", &child_fd);
    CUmemGenericAllocationHandle h = create(CHUNK, CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR);
    CUdeviceptr at = map(h, CHUNK);
    size_t held = machine_free();
    assert_ok(cuMemcpyHtoD_v2(at, text, sizeof text));
    assert_ok(cuMemExportToShareableHandle(&fd, h, CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR, 0));
    machine_send(child_fd, "x", 1, fd);
    close(fd);
    machine_receive(child_fd, text, 1);
    assert_ok(cuMemcpyDtoH_v2(text, at, sizeof text));
    g_assert_cmpstr(text, ==, "from the importer");
    unmap(at, CHUNK);
    assert_ok(cuMemRelease(h));
    g_assert_cmpuint(machine_free(), <=, held); /* the importer still maps it */
    machine_send(child_fd, "g", 1, -1);
    machine_join(child);
    close(child_fd);
    g_assert_cmpuint(machine_settled_free(), ==, before);
}

static void forged_descriptors_are_refused(void)
{
    CUmemGenericAllocationHandle h = 5;
    CUmemGenericAllocationHandle own = create(CHUNK, 0);
    int fd = -1, pipes[2];
    g_assert_cmpint(cuMemExportToShareableHandle(&fd, own, CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR, 0), ==,
                    CUDA_ERROR_INVALID_VALUE); /* not asked for at creation */
    g_assert_cmpint(fd, ==, -1);
    assert_ok(cuMemRelease(own));
    g_assert_cmpint(pipe(pipes), ==, 0);
    static const int bad[] = {-1, 0, 100000};
    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++)
        g_assert_cmpint(cuMemImportFromShareableHandle(&h, (void *)(intptr_t)bad[i], 1), ==,
                        CUDA_ERROR_INVALID_VALUE);
    g_assert_cmpint(cuMemImportFromShareableHandle(&h, (void *)(intptr_t)pipes[0], 1), ==,
                    CUDA_ERROR_INVALID_VALUE);
    g_assert_cmpuint(h, ==, 5);
    close(pipes[0]);
    close(pipes[1]);
}

static void holder(void)
{
    char c;
    machine_start();
    CUmemGenericAllocationHandle h = create(64 * CHUNK, 0);
    CUdeviceptr p;
    assert_ok(cuMemAlloc_v2(&p, 64 * CHUNK));
    (void)h;
    machine_send(3, "r", 1, -1);
    machine_receive(3, &c, 1); /* killed here */
}

static void a_killed_process_gives_everything_back(void)
{
    char c;
    int fd;
    size_t before = machine_free();
    GPid child = machine_child("holder", &fd);
    machine_receive(fd, &c, 1);
    g_assert_cmpuint(machine_free(), <=, before - 128 * CHUNK);
    kill(child, SIGKILL);
    int status;
    g_assert_cmpint(waitpid(child, &status, 0), ==, child);
    close(fd);
    CUdeviceptr p; /* what is needed is there at once */
    assert_ok(cuMemAlloc_v2(&p, before / CHUNK * CHUNK));
    assert_ok(cuMemFree_v2(p));
    g_assert_cmpuint(machine_free(), ==, before);
}

int main(int argc, char **argv)
{
    machine_init(&argc, &argv, "2xa100-40g,null_model=true,real_bytes_max=64MiB");
    if (g_strcmp0(machine_child_name(), "importer") == 0)
        return importer(), 0;
    if (g_strcmp0(machine_child_name(), "holder") == 0)
        return holder(), 0;
    machine_start();
    g_test_add_func("/vmm/memory_lives_until_handle_and_mapping_are_gone",
                    memory_lives_until_handle_and_mapping_are_gone);
    g_test_add_func("/vmm/two_mappings_show_the_same_bytes", two_mappings_show_the_same_bytes);
    g_test_add_func("/vmm/copies_cross_from_one_mapping_into_the_next",
                    copies_cross_from_one_mapping_into_the_next);
    g_test_add_func("/vmm/bad_arguments_are_refused", bad_arguments_are_refused);
    g_test_add_func("/vmm/reservations_cost_nothing_and_follow_hints",
                    reservations_cost_nothing_and_follow_hints);
    g_test_add_func("/vmm/access_is_kept_per_device", access_is_kept_per_device);
    g_test_add_func("/vmm/host_memory_takes_none_of_the_card", host_memory_takes_none_of_the_card);
    g_test_add_func("/vmm/memory_is_created_without_a_context_on_its_own_device",
                    memory_is_created_without_a_context_on_its_own_device);
    g_test_add_func("/vmm/multicast_needs_its_hardware", multicast_needs_its_hardware);
    g_test_add_func("/vmm/objects_travel_as_file_descriptors", objects_travel_as_file_descriptors);
    g_test_add_func("/vmm/forged_descriptors_are_refused", forged_descriptors_are_refused);
    g_test_add_func("/vmm/a_killed_process_gives_everything_back", a_killed_process_gives_everything_back);
    return machine_run();
}
