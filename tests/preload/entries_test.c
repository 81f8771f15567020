/* SPDX-License-Identifier: Apache-2.0
 *
 * The older, newer and per-thread spellings of entries that other tests call
 * by their usual name: each is charged, and given back, as its sibling is. What
 * the driver refuses is passed on and costs nothing.
 */
#include <string.h>
#include <unistd.h>

#include "region/region.h"
#include "support.h"

#define MIB (UINT64_C(1) << 20)

/* Two cards that can multicast. */
#define CARDS(context)                                                                                       \
    KIT_CARDS                                                                                                \
    "  - {name: First Card, memory: 4GiB, sms: 16, compute: 9.0, context: " context "}\n"                    \
    "  - {name: Second Card, memory: 4GiB, sms: 16, compute: 9.0, context: " context "}\n"

static const char bare[] = CARDS("0");
static const char costly[] = CARDS("128MiB");

/* ---- what a step cost: MiB that the region has for either card, which settles nothing by itself ---- */

static const struct real_cuda *cu;

static void step(const char *what, CUresult r)
{
    static struct region_view view;

    if (region_read(g_getenv("CUDA_DEVICE_MEMORY_SHARED_CACHE"), &view) != 0)
        view.used[0] = UINT64_MAX;
    kit_tell("%s %d %u %u", what, r, (unsigned)(view.used[0] / MIB), (unsigned)(view.used[1] / MIB));
}

/* ---- memory ---- */

static const CUmemAllocationProp pinned = {.type = CU_MEM_ALLOCATION_TYPE_PINNED,
                                           .location = {.type = CU_MEM_LOCATION_TYPE_DEVICE, .id = 0}};

static void pitch_v1(void)
{
    CUdeviceptr_v1 p = 0;
    unsigned pitch = 0;

    kit_context(0);
    step("take", cu->cuMemAllocPitch(&p, &pitch, 8000, 64 * MIB / 8192, 16));
    step("much",
         cu->cuMemAlloc_v2(&(CUdeviceptr){0}, 900 * MIB)); /* fewer addresses have 32 bits than that */
    step("too much", cu->cuMemAllocPitch(&(CUdeviceptr_v1){0}, &pitch, 8000, 64 * MIB / 8192, 16));
    step("free", cu->cuMemFree(p));
}

static void array_3d_v1(void)
{
    CUDA_ARRAY3D_DESCRIPTOR_v1 d = {
        .Width = 256, .Height = 256, .Depth = 256, .Format = CU_AD_FORMAT_FLOAT, .NumChannels = 1};
    CUarray array = NULL;

    kit_context(0);
    step("take", cu->cuArray3DCreate(&array, &d));
    d.Depth = 4096;
    step("too much", cu->cuArray3DCreate(&(CUarray){NULL}, &d));
    step("destroy", cu->cuArrayDestroy(array));
}

static void free_per_thread(void)
{
    CUdeviceptr p = 0, q = 0;

    kit_context(0);
    step("take", cu->cuMemAllocAsync_ptsz(&p, 64 * MIB, NULL));
    step("take plain", cu->cuMemAlloc_v2(&q, 64 * MIB));
    step("free plain", cu->cuMemFreeAsync_ptsz(q, NULL));
    cu->cuMemFreeAsync_ptsz(p, NULL);
    step("free", cu->cuCtxSynchronize());
}

/* A card's allocations come from the new pool, with what that keeps. */
static void set_pool_of_location(void)
{
    CUmemPoolProps props = {.allocType = CU_MEM_ALLOCATION_TYPE_PINNED,
                            .location = {.type = CU_MEM_LOCATION_TYPE_DEVICE, .id = 0}};
    CUmemLocation here = props.location;
    uint64_t keep = UINT64_MAX;
    CUmemoryPool pool = NULL;
    CUdeviceptr p = 0;

    kit_context(0);
    cu->cuMemAllocAsync(&p, 64 * MIB, NULL); /* the card's own pool is the current one */
    cu->cuMemFreeAsync(p, NULL);
    step("before", cu->cuCtxSynchronize());
    cu->cuMemPoolCreate(&pool, &props);
    cu->cuMemPoolSetAttribute(pool, CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, &keep);
    step("set", cu->cuMemSetMemPool(&here, CU_MEM_ALLOCATION_TYPE_PINNED, pool));
    step("take", cu->cuMemAllocAsync(&p, 64 * MIB, NULL));
    cu->cuMemFreeAsync(p, NULL);
    step("free", cu->cuCtxSynchronize());
    step("again", cu->cuMemAllocAsync(&p, 64 * MIB, NULL));
    step("trim", cu->cuMemPoolTrimTo(pool, 0));
    step("nowhere", cu->cuMemSetMemPool(&here, CU_MEM_ALLOCATION_TYPE_PINNED, NULL));
}

static void map_array_per_thread(void)
{
    CUDA_ARRAY3D_DESCRIPTOR d = {
        .Width = 4096, .Height = 4096, .Format = CU_AD_FORMAT_FLOAT, .NumChannels = 1, .Flags = 0x80};
    CUmemGenericAllocationHandle h = 0;
    CUarray array = NULL;

    kit_context(0);
    step("array", cu->cuArray3DCreate_v2(&array, &d));
    step("create", cu->cuMemCreate(&h, 64 * MIB, &pinned, 0));
    CUarrayMapInfo info = {.resourceType = CU_RESOURCE_TYPE_ARRAY,
                           .resource.array = array,
                           .memOperationType = CU_MEM_OPERATION_TYPE_MAP,
                           .memHandle.memHandle = h,
                           .deviceBitMask = 1};
    step("map", cu->cuMemMapArrayAsync_ptsz(&info, 1, NULL));
    step("release", cu->cuMemRelease(h));
    info.memOperationType = CU_MEM_OPERATION_TYPE_UNMAP;
    step("unmap", cu->cuMemMapArrayAsync_ptsz(&info, 1, NULL));
}

static CUmemGenericAllocationHandle multicast_object(void)
{
    CUmulticastObjectProp shape = {.numDevices = 1, .size = 64 * MIB};
    CUmemGenericAllocationHandle object = 0;

    kit_context(0);
    cu->cuMulticastCreate(&object, &shape);
    cu->cuMulticastAddDevice(object, 0);
    return object;
}

static void multicast_memory_of_device(void)
{
    CUmemGenericAllocationHandle object = multicast_object(), h = 0;

    step("create", cu->cuMemCreate(&h, 64 * MIB, &pinned, 0));
    step("bind", cu->cuMulticastBindMem_v2(object, 0, 0, h, 0, 64 * MIB, 0));
    step("release", cu->cuMemRelease(h));
    step("unbind", cu->cuMulticastUnbind(object, 0, 0, 64 * MIB));
}

static void multicast_address_v1(void)
{
    CUmemGenericAllocationHandle object = multicast_object(), h = 0;
    CUdeviceptr base = 0;

    step("create", cu->cuMemCreate(&h, 64 * MIB, &pinned, 0));
    cu->cuMemAddressReserve(&base, 64 * MIB, 0, 0, 0);
    cu->cuMemMap(base, 64 * MIB, 0, h, 0);
    step("bind", cu->cuMulticastBindAddr(object, 0, base, 64 * MIB, 0));
    cu->cuMemRelease(h);
    step("unmap", cu->cuMemUnmap(base, 64 * MIB));
    step("end", cu->cuMemRelease(object));
}

/* Also of what the driver does not know. */
static void attributes_at_once(void)
{
    CUpointer_attribute asked[] = {CU_POINTER_ATTRIBUTE_MEMORY_TYPE, CU_POINTER_ATTRIBUTE_IS_MANAGED};
    unsigned type = 9, managed = 9;
    void *answers[] = {&type, &managed};
    CUdeviceptr p = 0;

    kit_context(0);
    cu->cuMemAllocManaged(&p, MIB, CU_MEM_ATTACH_GLOBAL);
    step("managed", cu->cuPointerGetAttributes(2, asked, answers, p));
    kit_tell("%u %u", type, managed);
    step("foreign", cu->cuPointerGetAttributes(2, asked, answers, (uintptr_t)&type));
    kit_tell("%u %u", type, managed);
    step("none", cu->cuPointerGetAttributes(0, NULL, NULL, p));
}

/* ---- contexts ---- */

static void context_v1(void)
{
    CUcontext ctx = NULL;

    step("create", cu->cuCtxCreate(&ctx, 0, 0));
    step("take", cu->cuMemAlloc_v2(&(CUdeviceptr){0}, 64 * MIB));
    step("destroy", cu->cuCtxDestroy(ctx));
    step("again", cu->cuCtxDestroy(ctx));
}

static void context_v3(void)
{
    CUcontext ctx = NULL;

    step("create", cu->cuCtxCreate_v3(&ctx, NULL, 0, 0, 1));
    step("take", cu->cuMemAlloc_v2(&(CUdeviceptr){0}, 64 * MIB));
    step("destroy", cu->cuCtxDestroy_v2(ctx));
}

/* The memory is there until the last holder has let go. */
static void attached(void)
{
    CUcontext ctx = NULL, again = NULL;

    step("create", cu->cuCtxCreate_v2(&ctx, 0, 0));
    step("take", cu->cuMemAlloc_v2(&(CUdeviceptr){0}, 64 * MIB));
    step("attach", cu->cuCtxAttach(&again, 0));
    step("detach", cu->cuCtxDetach(again));
    step("take", cu->cuMemAlloc_v2(&(CUdeviceptr){0}, 64 * MIB));
    step("detach", cu->cuCtxDetach(ctx));
}

/* What is allocated is of the context that the thread has come to. */
static void pushed(CUresult (*push)(CUcontext), CUresult (*pop)(CUcontext *))
{
    CUcontext first = NULL, second = NULL, popped = NULL;

    cu->cuCtxCreate_v2(&first, 0, 0);
    cu->cuCtxCreate_v2(&second, 0, 1);
    step("take", cu->cuMemAlloc_v2(&(CUdeviceptr){0}, 16 * MIB));
    step("push", push(first));
    step("take", cu->cuMemAlloc_v2(&(CUdeviceptr){0}, 32 * MIB));
    step("pop", pop(&popped));
    step("take", cu->cuMemAlloc_v2(&(CUdeviceptr){0}, 64 * MIB));
    kit_tell("%s", popped == first ? "the first" : "another");
}

static void pushed_v1(void)
{
    pushed(cu->cuCtxPushCurrent, cu->cuCtxPopCurrent);
}

static void pushed_v2(void)
{
    pushed(cu->cuCtxPushCurrent_v2, cu->cuCtxPopCurrent_v2);
}

static void primary_v1(void)
{
    CUcontext ctx = NULL;

    step("retain", cu->cuDevicePrimaryCtxRetain(&ctx, 0));
    step("retain", cu->cuDevicePrimaryCtxRetain(&ctx, 0));
    cu->cuCtxSetCurrent(ctx);
    step("take", cu->cuMemAlloc_v2(&(CUdeviceptr){0}, 64 * MIB));
    step("release", cu->cuDevicePrimaryCtxRelease(0));
    step("release", cu->cuDevicePrimaryCtxRelease(0));
    step("release", cu->cuDevicePrimaryCtxRelease(0));
}

static void primary_reset_v1(void)
{
    CUcontext ctx = NULL;

    step("retain", cu->cuDevicePrimaryCtxRetain(&ctx, 0));
    cu->cuDevicePrimaryCtxRetain(&ctx, 0);
    cu->cuCtxSetCurrent(ctx);
    step("take", cu->cuMemAlloc_v2(&(CUdeviceptr){0}, 64 * MIB));
    step("reset", cu->cuDevicePrimaryCtxReset(0));
    step("retain", cu->cuDevicePrimaryCtxRetain(&ctx, 0));
}

/* The simulated driver draws nothing: it has no such context to give. */
static void of_graphics(void)
{
    CUcontext ctx = NULL;

    step("create", cu->cuCtxCreate_v2(&ctx, 0, 0)); /* by now it is known what one takes */
    ctx = NULL;
    step("gl", cu->cuGLCtxCreate(&ctx, 0, 0));
    step("gl v2", cu->cuGLCtxCreate_v2(&ctx, 0, 0));
    step("vdpau", cu->cuVDPAUCtxCreate(&ctx, 0, 0, 1, NULL));
    step("vdpau v2", cu->cuVDPAUCtxCreate_v2(&ctx, 0, 0, 1, NULL));
    kit_tell("%s", ctx ? "a context" : "none");
}

/* Waiting for a context gives back what its pools keep no longer. */
static void synchronized_v2(void)
{
    CUcontext ctx = kit_context(0);
    CUdeviceptr p = 0;

    cu->cuMemAllocAsync(&p, 64 * MIB, NULL);
    step("free", cu->cuMemFreeAsync(p, NULL));
    step("wait", cu->cuCtxSynchronize_v2(ctx));
    step("no context", cu->cuCtxSynchronize_v2((CUcontext)&p));
}

/* ---- the table ---- */

static const struct entry {
    const char *name;
    void (*run)(void);
    const char *cards;
    const char *expected; /* step, answer, MiB used of the first and the second card */
} entries[] = {
    {"cuMemAllocPitch", pitch_v1, bare, "take 0 64 0\nmuch 0 964 0\ntoo much 2 964 0\nfree 0 900 0\n"},
    {"cuArray3DCreate", array_3d_v1, bare, "take 0 64 0\ntoo much 2 64 0\ndestroy 0 0 0\n"},
    {"cuMemFreeAsync_ptsz", free_per_thread, bare,
     "take 0 64 0\ntake plain 0 128 0\nfree plain 1 128 0\nfree 0 64 0\n"},
    {"cuMemSetMemPool", set_pool_of_location, bare,
     "before 0 0 0\nset 0 0 0\ntake 0 64 0\nfree 0 64 0\nagain 0 64 0\ntrim 0 64 0\nnowhere 1 64 0\n"},
    {"cuMemMapArrayAsync_ptsz", map_array_per_thread, bare,
     "array 0 0 0\ncreate 0 64 0\nmap 0 64 0\nrelease 0 64 0\nunmap 0 0 0\n"},
    {"cuMulticastBindMem_v2", multicast_memory_of_device, bare,
     "create 0 64 0\nbind 0 64 0\nrelease 0 64 0\nunbind 0 0 0\n"},
    {"cuMulticastBindAddr", multicast_address_v1, bare,
     "create 0 64 0\nbind 0 64 0\nunmap 0 64 0\nend 0 0 0\n"},
    {"cuPointerGetAttributes", attributes_at_once, bare,
     "managed 0 1 0\n2 1\nforeign 0 1 0\n0 0\nnone 1 1 0\n"},
    {"cuCtxCreate", context_v1, costly, "create 0 128 0\ntake 0 192 0\ndestroy 0 0 0\nagain 201 0 0\n"},
    {"cuCtxCreate_v3", context_v3, costly, "create 0 0 128\ntake 0 0 192\ndestroy 0 0 0\n"},
    {"cuCtxAttach", attached, costly,
     "create 0 128 0\ntake 0 192 0\nattach 0 192 0\ndetach 0 192 0\ntake 0 256 0\ndetach 0 0 0\n"},
    {"cuCtxPushCurrent", pushed_v1, costly,
     "take 0 128 144\npush 0 128 144\ntake 0 160 144\npop 0 160 144\ntake 0 160 208\nthe first\n"},
    {"cuCtxPushCurrent_v2", pushed_v2, costly,
     "take 0 128 144\npush 0 128 144\ntake 0 160 144\npop 0 160 144\ntake 0 160 208\nthe first\n"},
    {"cuDevicePrimaryCtxRelease", primary_v1, costly,
     "retain 0 128 0\nretain 0 128 0\ntake 0 192 0\nrelease 0 192 0\nrelease 0 0 0\nrelease 201 0 0\n"},
    {"cuDevicePrimaryCtxReset", primary_reset_v1, costly,
     "retain 0 128 0\ntake 0 192 0\nreset 0 0 0\nretain 0 128 0\n"},
    {"cuGLCtxCreate", of_graphics, costly,
     "create 0 128 0\ngl 801 128 0\ngl v2 801 128 0\nvdpau 801 128 0\nvdpau v2 801 128 0\nnone\n"},
    {"cuCtxSynchronize_v2", synchronized_v2, bare, "free 0 64 0\nwait 0 0 0\nno context 201 0 0\n"},
};

static int call(int argc, char **argv)
{
    (void)argc;
    cu = kit_cuda();
    cu->cuInit(0);
    for (gsize i = 0; i < G_N_ELEMENTS(entries); i++)
        if (strcmp(entries[i].name, argv[0]) == 0)
            entries[i].run();
    return 0;
}

static void an_entry_is_charged_as_its_sibling(gconstpointer data)
{
    const struct entry *entry = data;
    struct kit *kit = kit_new(entry->cards);
    g_autofree char *out = NULL;

    kit_env(kit, "CUDA_DEVICE_MEMORY_LIMIT", "1G");
    g_assert_cmpint(kit_finish(kit_start(kit, "call", entry->name, NULL), &out, NULL), ==, 0);
    g_assert_cmpstr(out, ==, entry->expected);
    kit_free(kit);
}

static const struct kit_body bodies[] = {{"call", call}, {0}};

int main(int argc, char **argv)
{
    if (kit_is_child(argc, argv))
        return kit_child(argc, argv, bodies);
    g_test_init(&argc, &argv, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(entries); i++) {
        g_autofree char *path = g_strdup_printf("/entries/%s_is_charged_as_its_sibling", entries[i].name);
        g_test_add_data_func(path, &entries[i], an_entry_is_charged_as_its_sibling);
    }
    return g_test_run();
}
