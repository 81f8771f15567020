/* SPDX-License-Identifier: Apache-2.0
 *
 * The engine's rules: what is charged, when it is refused, what a refusal
 * leaves untouched, what queries say.
 */
#include <glib.h>

#include "abi/cuda_api.h"
#include "fake_driver.h"
#include "preload/mem_engine.h"
#include "region/extension.h"

#define used(d) ledger_used(&slice.region, d)

static void exactly_the_limit_is_given_and_not_one_byte_more(void)
{
    CUdeviceptr a = 0, b = 0x1234;

    fake_begin(10 * MIB, 0);
    g_assert_cmpint(cuMemAlloc_v2(&a, 10 * MIB - 1), ==, CUDA_SUCCESS);
    g_assert_cmpuint(used(0), ==, 10 * MIB - 1);
    g_assert_cmpint(cuMemAlloc_v2(&b, 2), ==, CUDA_ERROR_OUT_OF_MEMORY);
    g_assert_cmpuint(b, ==, 0x1234);
    g_assert_cmpint(cuMemAlloc_v2(&b, 1), ==, CUDA_SUCCESS);
    g_assert_cmpuint(used(0), ==, 10 * MIB);
    g_assert_cmpint(cuMemFree_v2(a), ==, CUDA_SUCCESS);
    g_assert_cmpint(cuMemFree_v2(b), ==, CUDA_SUCCESS);
    g_assert_cmpuint(used(0), ==, 0);
    fake_end();
}

static void a_refusal_does_not_reach_the_driver(void)
{
    CUdeviceptr p = 0;

    fake_begin(MIB, 0);
    g_assert_cmpint(cuMemAlloc_v2(&p, 2 * MIB), ==, CUDA_ERROR_OUT_OF_MEMORY);
    g_assert_cmpuint(fake.calls, ==, 0);
    g_assert_cmpuint(ledger_oom_count(&slice.region, 0), ==, 1);
    g_assert_cmpstr(fake.last_line, ==, "Device 0 OOM 2097152 / 1048576");
    fake_end();
}

static void refusals_are_logged_at_most_once_a_second(void)
{
    CUdeviceptr p = 0;

    fake_begin(MIB, 0);
    for (int i = 0; i < 1000; i++)
        g_assert_cmpint(cuMemAlloc_v2(&p, 2 * MIB), ==, CUDA_ERROR_OUT_OF_MEMORY);
    g_assert_cmpuint(fake.logged, <=, 2);
    g_assert_cmpuint(ledger_oom_count(&slice.region, 0), ==, 1000);
    fake_end();
}

static void a_driver_failure_is_passed_on_and_cancels(void)
{
    CUdeviceptr p = 0x77;
    size_t pitch = 5;
    CUarray array = NULL;
    CUmemGenericAllocationHandle h = 9;
    CUmemAllocationProp prop = {.type = CU_MEM_ALLOCATION_TYPE_PINNED,
                                .location = {.type = CU_MEM_LOCATION_TYPE_DEVICE}};
    CUDA_ARRAY3D_DESCRIPTOR d = {.Width = 64, .Height = 64, .Format = CU_AD_FORMAT_FLOAT, .NumChannels = 1};

    fake_begin(10 * MIB, 0);
    fake.fail_next = CUDA_ERROR_LAUNCH_FAILED;
    g_assert_cmpint(cuMemAlloc_v2(&p, MIB), ==, CUDA_ERROR_LAUNCH_FAILED);
    fake.fail_next = CUDA_ERROR_ECC_UNCORRECTABLE;
    g_assert_cmpint(cuMemAllocManaged(&p, MIB, 1), ==, CUDA_ERROR_ECC_UNCORRECTABLE);
    fake.fail_next = CUDA_ERROR_OUT_OF_MEMORY;
    g_assert_cmpint(cuMemAllocPitch_v2(&p, &pitch, 100, 100, 4), ==, CUDA_ERROR_OUT_OF_MEMORY);
    fake.fail_next = CUDA_ERROR_NOT_SUPPORTED;
    g_assert_cmpint(cuMemAllocAsync(&p, MIB, NULL), ==, CUDA_ERROR_NOT_SUPPORTED);
    fake.fail_next = CUDA_ERROR_INVALID_VALUE;
    g_assert_cmpint(cuArray3DCreate_v2(&array, &d), ==, CUDA_ERROR_INVALID_VALUE);
    fake.fail_next = CUDA_ERROR_INVALID_DEVICE;
    g_assert_cmpint(cuMemCreate(&h, 2 * MIB, &prop, 0), ==, CUDA_ERROR_INVALID_DEVICE);
    g_assert_cmpuint(p, ==, 0x77);
    g_assert_cmpuint(pitch, ==, 5);
    g_assert_null(array);
    g_assert_cmpuint(h, ==, 9);
    g_assert_cmpuint(used(0), ==, 0);
    fake_end();
}

/* ---- ... by entries that the driver above does not have, which see what is charged meanwhile ---- */

static uint64_t charged;
static CUmemoryPool own_pool;

static CUresult fail(void)
{
    charged = used(0);
    return CUDA_ERROR_ECC_UNCORRECTABLE;
}

static CUresult fail_pool(CUdeviceptr *ret, size_t n, CUmemoryPool pool, CUstream stream)
{
    (void)ret, (void)n, (void)pool, (void)stream;
    return fail();
}

static CUresult fail_pitch(CUdeviceptr_v1 *ret, unsigned *pitch, unsigned w, unsigned h, unsigned element)
{
    (void)ret, (void)pitch, (void)w, (void)h, (void)element;
    return fail();
}

static CUresult fail_array_v1(CUarray *ret, const CUDA_ARRAY_DESCRIPTOR_v1 *d)
{
    (void)ret, (void)d;
    return fail();
}

static CUresult fail_array(CUarray *ret, const CUDA_ARRAY_DESCRIPTOR *d)
{
    (void)ret, (void)d;
    return fail();
}

static CUresult fail_solid_v1(CUarray *ret, const CUDA_ARRAY3D_DESCRIPTOR_v1 *d)
{
    (void)ret, (void)d;
    return fail();
}

static CUresult fail_mipmap(CUmipmappedArray *ret, const CUDA_ARRAY3D_DESCRIPTOR *d, unsigned levels)
{
    (void)ret, (void)d, (void)levels;
    return fail();
}

/* Each takes 4 MiB, if it can. */
static CUresult take_pool(void *ret)
{
    return cuMemAllocFromPoolAsync(ret, 4 * MIB, own_pool, NULL);
}

static CUresult take_pitch(void *ret)
{
    return cuMemAllocPitch(ret, &(unsigned){0}, 4096, 1024, 4);
}

static CUresult take_array_v1(void *ret)
{
    CUDA_ARRAY_DESCRIPTOR_v1 d = {1024, 1024, CU_AD_FORMAT_FLOAT, 1};

    return cuArrayCreate(ret, &d);
}

static CUresult take_array(void *ret)
{
    CUDA_ARRAY_DESCRIPTOR d = {1024, 1024, CU_AD_FORMAT_FLOAT, 1};

    return cuArrayCreate_v2(ret, &d);
}

static CUresult take_solid_v1(void *ret)
{
    CUDA_ARRAY3D_DESCRIPTOR_v1 d = {1024, 32, 32, CU_AD_FORMAT_FLOAT, 1, 0};

    return cuArray3DCreate(ret, &d);
}

static CUresult take_mipmap(void *ret)
{
    CUDA_ARRAY3D_DESCRIPTOR d = {1024, 1024, 0, CU_AD_FORMAT_FLOAT, 1, 0};

    return cuMipmappedArrayCreate(ret, &d, 1);
}

static void what_the_driver_refuses_is_given_back_by_every_entry(void)
{
    static const struct {
        const char *name;
        CUresult (*take)(void *ret);
    } entries[] = {
        {"cuMemAllocFromPoolAsync", take_pool}, {"cuMemAllocPitch", take_pitch},
        {"cuArrayCreate", take_array_v1},       {"cuArrayCreate_v2", take_array},
        {"cuArray3DCreate", take_solid_v1},     {"cuMipmappedArrayCreate", take_mipmap},
    };
    CUmemPoolProps props = {.allocType = CU_MEM_ALLOCATION_TYPE_PINNED,
                            .location = {.type = CU_MEM_LOCATION_TYPE_DEVICE}};

    for (gsize i = 0; i < G_N_ELEMENTS(entries); i++) {
        uint64_t output = 0x5a5a;

        g_test_message("%s", entries[i].name);
        fake_begin(10 * MIB, 0);
        real.cuMemAllocFromPoolAsync = fail_pool;
        real.cuMemAllocPitch = fail_pitch;
        real.cuArrayCreate = fail_array_v1;
        real.cuArrayCreate_v2 = fail_array;
        real.cuArray3DCreate = fail_solid_v1;
        real.cuMipmappedArrayCreate = fail_mipmap;
        g_assert_cmpint(cuMemPoolCreate(&own_pool, &props), ==, CUDA_SUCCESS);
        charged = 0;
        for (unsigned again = 0; again < 4; again++) { /* three would not fit side by side */
            g_assert_cmpint(entries[i].take(&output), ==, CUDA_ERROR_ECC_UNCORRECTABLE);
            g_assert_cmpuint(charged, >=, 4 * MIB);
            g_assert_cmpuint(used(0), ==, 0);
        }
        g_assert_cmpuint(output, ==, 0x5a5a);
        fake_end();
    }
}

static void a_failed_free_keeps_the_charge(void)
{
    CUdeviceptr p = 0;

    fake_begin(10 * MIB, 0);
    g_assert_cmpint(cuMemAlloc_v2(&p, MIB), ==, CUDA_SUCCESS);
    fake.fail_next = CUDA_ERROR_LAUNCH_FAILED;
    g_assert_cmpint(cuMemFree_v2(p), ==, CUDA_ERROR_LAUNCH_FAILED);
    g_assert_cmpuint(used(0), ==, MIB);
    g_assert_cmpint(cuMemFree_v2(p), ==, CUDA_SUCCESS);
    g_assert_cmpuint(used(0), ==, 0);
    fake_end();
}

static void unknown_double_and_null_frees_are_the_drivers_business(void)
{
    CUdeviceptr p = 0, foreign = 0;

    fake_begin(10 * MIB, 0);
    g_assert_cmpint(real.cuMemAlloc_v2(&foreign, MIB), ==, CUDA_SUCCESS); /* past the hooks */
    g_assert_cmpint(cuMemFree_v2(foreign), ==, CUDA_SUCCESS);
    g_assert_cmpint(cuMemAlloc_v2(&p, MIB), ==, CUDA_SUCCESS);
    g_assert_cmpint(cuMemFree_v2(p), ==, CUDA_SUCCESS);
    g_assert_cmpint(cuMemFree_v2(p), ==, CUDA_ERROR_INVALID_VALUE);
    g_assert_cmpint(cuMemFree_v2(0), ==, CUDA_ERROR_INVALID_VALUE); /* this driver's answer */
    g_assert_cmpuint(used(0), ==, 0);
    fake_end();
}

static void absurd_sizes_are_refused_without_wrapping(void)
{
    static const size_t sizes[] = {(size_t)1 << 63, SIZE_MAX, SIZE_MAX - 511, (size_t)1 << 57};
    CUdeviceptr p = 0;
    size_t pitch = 0;

    fake_begin(0, 0); /* also when nothing is limited */
    for (gsize i = 0; i < G_N_ELEMENTS(sizes); i++) {
        g_assert_cmpint(cuMemAlloc_v2(&p, sizes[i]), ==, CUDA_ERROR_OUT_OF_MEMORY);
        g_assert_cmpint(cuMemAllocManaged(&p, sizes[i], 1), ==, CUDA_ERROR_OUT_OF_MEMORY);
        g_assert_cmpint(cuMemAllocPitch_v2(&p, &pitch, sizes[i], sizes[i], 4), ==, CUDA_ERROR_OUT_OF_MEMORY);
        g_assert_cmpint(cuMemAllocAsync(&p, sizes[i], NULL), ==, CUDA_ERROR_OUT_OF_MEMORY);
    }
    g_assert_cmpuint(used(0), ==, 0);
    fake_end();
}

static void zero_sizes_and_null_outputs_get_the_drivers_answer(void)
{
    CUdeviceptr p = 3;
    size_t pitch = 4;

    fake_begin(MIB, 0);
    g_assert_cmpint(cuMemAlloc_v2(&p, 0), ==, CUDA_ERROR_INVALID_VALUE);
    g_assert_cmpint(cuMemAlloc_v2(NULL, 5), ==, CUDA_ERROR_INVALID_VALUE);
    g_assert_cmpint(cuMemAllocPitch_v2(&p, NULL, 5, 5, 4), ==, CUDA_ERROR_INVALID_VALUE);
    g_assert_cmpint(cuMemAllocPitch_v2(&p, &pitch, 0, 5, 4), ==, CUDA_ERROR_INVALID_VALUE);
    g_assert_cmpint(cuMemAllocPitch_v2(&p, &pitch, 5, 5, 3), ==, CUDA_ERROR_INVALID_VALUE);
    g_assert_cmpint(cuMemAllocPitch_v2(&p, &pitch, 5, 5, 0), ==, CUDA_ERROR_INVALID_VALUE);
    g_assert_cmpuint(p, ==, 3);
    g_assert_cmpuint(pitch, ==, 4);
    g_assert_cmpuint(used(0), ==, 0);
    fake_end();
}

static void pitched_memory_is_charged_by_the_drivers_pitch(void)
{
    CUdeviceptr p = 0;
    size_t pitch = 0;

    fake_begin(10 * MIB, 0);
    g_assert_cmpint(cuMemAllocPitch_v2(&p, &pitch, 100, 100, 4), ==, CUDA_SUCCESS);
    g_assert_cmpuint(pitch, ==, 768);
    g_assert_cmpuint(used(0), ==, 76800);
    g_assert_cmpint(cuMemFree_v2(p), ==, CUDA_SUCCESS);
    fake.limit[0] = 512 * 100; /* the guess would fit, the driver's pitch does not */
    p = 1;
    g_assert_cmpint(cuMemAllocPitch_v2(&p, &pitch, 100, 100, 4), ==, CUDA_ERROR_OUT_OF_MEMORY);
    g_assert_cmpuint(p, ==, 1);
    g_assert_cmpuint(used(0), ==, 0);
    g_assert_cmpuint(fake.taken[0], ==, 0);
    fake_end();
}

static void legacy_entries_are_counted_alike(void)
{
    CUdeviceptr_v1 p = 0;

    fake_begin(MIB, 0);
    g_assert_cmpint(cuMemAlloc(&p, 1000), ==, CUDA_SUCCESS);
    g_assert_cmpuint(used(0), ==, 1000);
    g_assert_cmpint(cuMemFree(p), ==, CUDA_SUCCESS);
    p = 17;
    g_assert_cmpint(cuMemAlloc(&p, 2 * MIB), ==, CUDA_ERROR_OUT_OF_MEMORY);
    g_assert_cmpuint(p, ==, 17);
    g_assert_cmpuint(used(0), ==, 0);
    fake_end();
}

static void each_device_has_its_own_limit(void)
{
    CUdeviceptr p = 0, q = 0;

    fake_begin(MIB, 4 * MIB);
    g_assert_cmpint(cuMemAlloc_v2(&p, 3 * MIB), ==, CUDA_ERROR_OUT_OF_MEMORY);
    g_assert_cmpint(cuCtxSetCurrent(fake_context(1)), ==, CUDA_SUCCESS);
    g_assert_cmpint(cuMemAlloc_v2(&q, 3 * MIB), ==, CUDA_SUCCESS);
    g_assert_cmpuint(used(0), ==, 0);
    g_assert_cmpuint(used(1), ==, 3 * MIB);
    g_assert_cmpint(cuCtxSetCurrent(fake_context(0)), ==, CUDA_SUCCESS);
    g_assert_cmpint(cuMemFree_v2(q), ==, CUDA_SUCCESS); /* freed while another device is current */
    g_assert_cmpuint(used(1), ==, 0);
    fake_end();
}

static void a_larger_limit_takes_effect_at_the_next_call(void)
{
    CUdeviceptr p = 0;

    fake_begin(MIB, 0);
    for (int i = 0; i < 100; i++)
        g_assert_cmpint(cuMemAlloc_v2(&p, 2 * MIB), ==, CUDA_ERROR_OUT_OF_MEMORY);
    fake.limit[0] = 2 * MIB;
    g_assert_cmpint(cuMemAlloc_v2(&p, 2 * MIB), ==, CUDA_SUCCESS);
    fake.limit[0] = MIB;
    g_assert_cmpint(cuMemFree_v2(p), ==, CUDA_SUCCESS);
    fake_end();
}

static void a_refused_slice_takes_nothing(void)
{
    CUdeviceptr p = 6;

    fake_begin(0, 0);
    atomic_store(&slice.state, SLICE_REFUSED);
    g_assert_cmpint(cuMemAlloc_v2(&p, 1), ==, CUDA_ERROR_OUT_OF_MEMORY);
    g_assert_cmpint(cuMemAllocAsync(&p, 1, NULL), ==, CUDA_ERROR_OUT_OF_MEMORY);
    g_assert_cmpuint(p, ==, 6);
    g_assert_cmpuint(fake.calls, ==, 0);
    fake_end();
}

static void a_slice_that_is_off_stays_out_of_the_way(void)
{
    CUdeviceptr p = 0;

    fake_begin(1, 0);
    atomic_store(&slice.state, SLICE_OFF);
    g_assert_cmpint(cuMemAlloc_v2(&p, MIB), ==, CUDA_SUCCESS);
    g_assert_cmpint(cuMemFree_v2(p), ==, CUDA_SUCCESS);
    g_assert_cmpuint(fake.calls, ==, 2);
    fake_end();
}

static void without_a_context_the_driver_answers(void)
{
    CUdeviceptr p = 8;
    size_t n = 9;

    fake_begin(MIB, 0);
    cuCtxSetCurrent(NULL);
    g_assert_cmpint(cuMemAlloc_v2(&p, 1), ==, CUDA_ERROR_INVALID_CONTEXT);
    g_assert_cmpint(cuMemGetInfo_v2(&n, &n), ==, CUDA_ERROR_INVALID_CONTEXT);
    g_assert_cmpuint(p, ==, 8);
    g_assert_cmpuint(n, ==, 9);
    g_assert_cmpuint(used(0), ==, 0);
    fake_end();
}

static void queries_agree_with_each_other_and_the_limit(void)
{
    CUdeviceptr p = 0;
    size_t left = 0, total = 0, device_total = 0;

    fake_begin(100 * MIB, 0);
    g_assert_cmpint(cuMemAlloc_v2(&p, 30 * MIB), ==, CUDA_SUCCESS);
    g_assert_cmpint(cuMemGetInfo_v2(&left, &total), ==, CUDA_SUCCESS);
    g_assert_cmpint(cuDeviceTotalMem_v2(&device_total, 0), ==, CUDA_SUCCESS);
    g_assert_cmpuint(total, ==, 100 * MIB);
    g_assert_cmpuint(left, ==, 70 * MIB);
    g_assert_cmpuint(device_total, ==, total);
    g_assert_cmpuint(memory_figures(0, fake.phys_bytes, fake.phys_bytes).used, ==, 30 * MIB);
    g_assert_cmpint(cuMemGetInfo_v2(NULL, &total), ==, CUDA_SUCCESS);
    g_assert_cmpint(cuMemGetInfo_v2(&left, NULL), ==, CUDA_SUCCESS);
    g_assert_cmpint(cuMemGetInfo_v2(NULL, NULL), ==, CUDA_SUCCESS);
    fake.limit[0] = 10 * MIB; /* a resize below what is used */
    g_assert_cmpint(cuMemGetInfo_v2(&left, &total), ==, CUDA_SUCCESS);
    g_assert_cmpuint(left, ==, 0);
    g_assert_cmpuint(total, ==, 10 * MIB);
    fake.limit[0] = UINT64_C(1) << 40; /* more than the card has */
    g_assert_cmpint(cuMemGetInfo_v2(&left, &total), ==, CUDA_SUCCESS);
    g_assert_cmpuint(total, ==, fake.phys_bytes);
    g_assert_cmpuint(left, ==, fake.phys_bytes - 30 * MIB);
    fake.limit[0] = 0; /* unlimited: the driver's own figures */
    g_assert_cmpint(cuMemGetInfo_v2(&left, &total), ==, CUDA_SUCCESS);
    g_assert_cmpuint(total, ==, fake.phys_bytes);
    g_assert_cmpuint(left, ==, fake.phys_bytes - 30 * MIB);
    fake_end();
}

static void free_is_never_more_than_the_card_has_left(void)
{
    CUdeviceptr p = 0;
    size_t left = 0, total = 0;

    fake_begin(UINT64_C(12) << 30, 0);
    g_assert_cmpint(real.cuMemAlloc_v2(&p, UINT64_C(10) << 30), ==, CUDA_SUCCESS); /* a neighbour */
    g_assert_cmpint(cuMemGetInfo_v2(&left, &total), ==, CUDA_SUCCESS);
    g_assert_cmpuint(left, ==, UINT64_C(6) << 30);
    g_assert_cmpuint(total, ==, UINT64_C(12) << 30);
    fake_end();
}

/* The address may be handed out again before the call that freed it returns. */
static CUdeviceptr reused;

static void reuse(CUdeviceptr ptr)
{
    struct mem_entry e = {.key = ptr, .bytes = 5, .owner = fake_context(0), .kind = MEM_PLAIN};

    fake.on_free = NULL;
    g_assert_true(mem_reserve_quietly(0, 5));
    g_assert_true(mem_record(&mem_pointers, &e)); /* as another thread's cuMemAlloc would */
    reused = ptr;
}

static void an_address_reused_during_its_free_stays_charged(void)
{
    CUdeviceptr p = 0;

    fake_begin(10 * MIB, 0);
    g_assert_cmpint(cuMemAlloc_v2(&p, MIB), ==, CUDA_SUCCESS);
    fake.on_free = reuse;
    g_assert_cmpint(cuMemFree_v2(p), ==, CUDA_SUCCESS);
    g_assert_cmpuint(reused, ==, p);
    g_assert_cmpuint(used(0), ==, 5);
    fake_end();
}

static void every_allocation_passes_the_gate(void)
{
    CUdeviceptr p = 0;

    fake_begin(0, 0);
    cuMemAlloc_v2(&p, 1);
    cuMemAllocManaged(&p, 1, 1);
    cuMemAllocAsync(&p, 1, NULL);
    g_assert_cmpuint(fake.gates, ==, 3);
    cuMemFree_v2(p);
    g_assert_cmpuint(fake.gates, ==, 3);
    fake_end();
}

static void oversubscription_spills_to_managed_memory(void)
{
    CUdeviceptr p = 0;
    unsigned int managed = 7;
    CUipcMemHandle handle;

    fake_begin(UINT64_C(32) << 30, 0);
    g_assert_cmpint(cuMemAlloc_v2(&p, UINT64_C(20) << 30), ==, CUDA_ERROR_OUT_OF_MEMORY);
    slice.oversubscribe = true;
    g_assert_cmpint(cuMemAlloc_v2(&p, UINT64_C(20) << 30), ==, CUDA_SUCCESS);
    g_assert_cmpuint(used(0), ==, UINT64_C(20) << 30);
    g_assert_cmpuint(slice.region.ext->devices[0].spilled, ==, UINT64_C(20) << 30);
    g_assert_cmpint(cuPointerGetAttribute(&managed, CU_POINTER_ATTRIBUTE_IS_MANAGED, p), ==, CUDA_SUCCESS);
    g_assert_cmpuint(managed, ==, 0);
    g_assert_cmpint(cuIpcGetMemHandle(&handle, p), ==, CUDA_ERROR_INVALID_VALUE);
    atomic_store(&slice.region.ext->devices[0].compute.launches, 5);
    memory_tick(0);
    g_assert_cmpuint(slice.region.ext->devices[0].thrash_count, ==, 1);
    g_assert_nonnull(g_strrstr(fake.last_line, "thrashes"));
    g_assert_cmpint(cuMemFree_v2(p), ==, CUDA_SUCCESS);
    g_assert_cmpuint(used(0), ==, 0);
    g_assert_cmpuint(slice.region.ext->devices[0].spilled, ==, 0);
    fake_end();
}

static void arrays_are_charged_until_they_are_destroyed(void)
{
    CUDA_ARRAY3D_DESCRIPTOR d = {.Width = 256, .Height = 64, .Format = CU_AD_FORMAT_FLOAT, .NumChannels = 1};
    CUarray a = NULL, b = NULL;

    fake_begin(100000, 0);
    g_assert_cmpint(cuArray3DCreate_v2(&a, &d), ==, CUDA_SUCCESS);
    g_assert_nonnull(a);
    g_assert_cmpuint(used(0), ==, 65536);
    g_assert_cmpint(cuArray3DCreate_v2(&b, &d), ==, CUDA_ERROR_OUT_OF_MEMORY);
    g_assert_null(b);
    fake.fail_next = CUDA_ERROR_NOT_READY;
    g_assert_cmpint(cuArrayDestroy(a), ==, CUDA_ERROR_NOT_READY);
    g_assert_cmpuint(used(0), ==, 65536);
    g_assert_cmpint(cuArrayDestroy(a), ==, CUDA_SUCCESS);
    g_assert_cmpuint(used(0), ==, 0);
    fake_end();
}

static void rounding_beyond_what_was_asked_gets_measured(void)
{
    CUdeviceptr p = 0;

    fake_begin(0, 0);
    for (int i = 0; i < 100; i++)
        g_assert_cmpint(cuMemAlloc_v2(&p, 2 * MIB), ==, CUDA_SUCCESS);
    g_assert_cmpuint(fake.woken, ==, 0);
    for (int i = 0; i < 9; i++) /* a megabyte of rounding each */
        g_assert_cmpint(cuMemAlloc_v2(&p, MIB), ==, CUDA_SUCCESS);
    g_assert_cmpuint(fake.woken, ==, 1);
    fake_end();
}

/* ---- how often the management library is asked ---- */

static unsigned lists_asked, others_asked;

static nvmlReturn_t asked_init(void)
{
    others_asked++;
    return NVML_SUCCESS;
}

static nvmlReturn_t asked_handle(const char *uuid, nvmlDevice_t *ret)
{
    others_asked++;
    *ret = (nvmlDevice_t)(uintptr_t)uuid;
    return NVML_SUCCESS;
}

static nvmlReturn_t asked_list(nvmlDevice_t device, unsigned *n, nvmlProcessInfo_t *ret)
{
    (void)device;
    lists_asked++;
    *n = 1;
    *ret = (nvmlProcessInfo_t){.pid = 4711, .usedGpuMemory = used(0)};
    return NVML_SUCCESS;
}

/* Hundreds of processes share the management library's lock: the work of one may not multiply the questions.
 */
static void management_library_is_asked_once_a_second_and_after_8_mib_of_rounding(void)
{
    static const struct {
        uint64_t limit, bytes;
        unsigned each_second, more; /* questions that rounding causes near the limit */
    } rows[] = {{0, MIB, 500, 0},
                {64 * MIB, 4096, 500, 0},
                {64 * MIB, 100, 500, 0},
                {6 * MIB, 1 * MIB + 1, 80, 80 / 8}}; /* each rounds up by 1 MiB; at 8 MiB it is looked */
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        CUdeviceptr p;
        fake_begin(rows[i].limit, 0);
        real_nvml.nvmlInit_v2 = asked_init;
        real_nvml.nvmlDeviceGetHandleByUUID = asked_handle;
        real_nvml.nvmlDeviceGetComputeRunningProcesses_v3 = asked_list;
        slice.region.base->procs[slice.slot].hostpid = 4711;
        lists_asked = others_asked = 0;
        for (unsigned second = 1; second <= 20; second++) {
            memory_tick(second * UINT64_C(1000000000));
            for (unsigned n = 0; n < rows[i].each_second; n++) {
                g_assert_cmpint(cuMemAlloc_v2(&p, rows[i].bytes), ==, CUDA_SUCCESS);
                g_assert_cmpint(cuMemFree_v2(p), ==, CUDA_SUCCESS);
            }
        }
        g_test_message("%u lists, %u other questions", lists_asked, others_asked);
        g_assert_cmpuint(lists_asked, <=, 20 * (FAKE_DEVICES + rows[i].more));
        g_assert_cmpuint(lists_asked, >=, 20);
        g_assert_cmpuint(others_asked, <=, 1 + FAKE_DEVICES);
        fake_end();
    }
}

#define TEST(name) g_test_add_func("/memory_engine/" #name, name)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    TEST(exactly_the_limit_is_given_and_not_one_byte_more);
    TEST(a_refusal_does_not_reach_the_driver);
    TEST(refusals_are_logged_at_most_once_a_second);
    TEST(a_driver_failure_is_passed_on_and_cancels);
    TEST(what_the_driver_refuses_is_given_back_by_every_entry);
    TEST(a_failed_free_keeps_the_charge);
    TEST(unknown_double_and_null_frees_are_the_drivers_business);
    TEST(absurd_sizes_are_refused_without_wrapping);
    TEST(zero_sizes_and_null_outputs_get_the_drivers_answer);
    TEST(pitched_memory_is_charged_by_the_drivers_pitch);
    TEST(legacy_entries_are_counted_alike);
    TEST(each_device_has_its_own_limit);
    TEST(a_larger_limit_takes_effect_at_the_next_call);
    TEST(a_refused_slice_takes_nothing);
    TEST(a_slice_that_is_off_stays_out_of_the_way);
    TEST(without_a_context_the_driver_answers);
    TEST(queries_agree_with_each_other_and_the_limit);
    TEST(free_is_never_more_than_the_card_has_left);
    TEST(an_address_reused_during_its_free_stays_charged);
    TEST(every_allocation_passes_the_gate);
    TEST(arrays_are_charged_until_they_are_destroyed);
    TEST(rounding_beyond_what_was_asked_gets_measured);
    TEST(oversubscription_spills_to_managed_memory);
    TEST(management_library_is_asked_once_a_second_and_after_8_mib_of_rounding);
    return g_test_run();
}
