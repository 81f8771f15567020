/* SPDX-License-Identifier: Apache-2.0
 *
 * Memory that more than one process, device or stream has to do with: who is
 * charged, and until when.
 */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "support.h"

#define MIB (UINT64_C(1) << 20)

static const char cards[] = KIT_CARDS KIT_CARD("4GiB", "0") KIT_CARD("4GiB", "0");

static struct kit *kit_limited(const char *limit)
{
    struct kit *kit = kit_new(cards);

    kit_env(kit, "CUDA_DEVICE_MEMORY_LIMIT", "%s", limit);
    return kit;
}

/* ---- bodies ---- */

static void tell_free(const char *what, CUresult r)
{
    size_t left = 0, total = 0;

    kit_cuda()->cuMemGetInfo_v2(&left, &total);
    kit_tell("%s %d %zu", what, r, left / MIB);
}

#define STEP(name, call) tell_free(name, call)

/* Allocates, offers the block by IPC, and waits. */
static int ipc_offer(int argc, char **argv)
{
    const struct real_cuda *cu = kit_cuda();
    CUipcMemHandle handle;
    CUdeviceptr p;

    (void)argc, (void)argv;
    kit_context(0);
    STEP("alloc", cu->cuMemAlloc_v2(&p, 300 * MIB));
    STEP("get", cu->cuIpcGetMemHandle(&handle, p));
    g_autofree char *text = g_base64_encode((guchar *)&handle, sizeof handle);
    kit_tell("%s", text);
    kit_hear();
    STEP("free", cu->cuMemFree_v2(p));
    kit_hear();
    return 0;
}

static int ipc_take(int argc, char **argv)
{
    const struct real_cuda *cu = kit_cuda();
    CUipcMemHandle handle;
    CUdeviceptr p;
    gsize n;
    g_autofree guchar *bytes = g_base64_decode(argv[0], &n);

    memcpy(&handle, bytes, n < sizeof handle ? n : sizeof handle);
    kit_context(0);
    STEP("before", 0);
    STEP("open", (argc > 1 ? cu->cuIpcOpenMemHandle
                           : cu->cuIpcOpenMemHandle_v2)(&p, handle, CU_IPC_MEM_LAZY_ENABLE_PEER_ACCESS));
    STEP("alloc", cu->cuMemAlloc_v2(&(CUdeviceptr){0}, 700 * MIB));
    STEP("close", cu->cuIpcCloseMemHandle(p));
    return 0;
}

/* Pools of two devices, used from the other one's context. */
static int two_pools(int argc, char **argv)
{
    const struct real_cuda *cu = kit_cuda();
    CUmemPoolProps props = {.allocType = CU_MEM_ALLOCATION_TYPE_PINNED,
                            .location = {.type = CU_MEM_LOCATION_TYPE_DEVICE, .id = 1}};
    CUmemoryPool pool, standard;
    CUdeviceptr p, q;
    cuuint64_t zero = 0;
    CUcontext first = kit_context(0), second;

    (void)argc, (void)argv;
    STEP("create", cu->cuMemPoolCreate(&pool, &props));
    STEP("from pool of second", cu->cuMemAllocFromPoolAsync(&p, 32 * MIB, pool, NULL));
    STEP("from own", cu->cuMemAllocAsync(&q, 64 * MIB, NULL));
    second = kit_context(1);
    STEP("second sees", 0);
    STEP("free first's here", cu->cuMemFreeAsync(q, NULL));
    cu->cuCtxSetCurrent(first);
    cu->cuDeviceGetDefaultMemPool(&standard, 0);
    STEP("reset high", cu->cuMemPoolSetAttribute(standard, CU_MEMPOOL_ATTR_RESERVED_MEM_HIGH, &zero));
    STEP("synchronize", cu->cuCtxSynchronize());
    STEP("trim", cu->cuMemPoolTrimTo(standard, 0));
    STEP("free second's here", cu->cuMemFreeAsync(p, NULL));
    cu->cuCtxSynchronize();
    STEP("destroy", cu->cuMemPoolDestroy(pool));
    cu->cuCtxSetCurrent(second);
    STEP("second sees", 0);
    return 0;
}

/* A threshold keeps freed memory in the pool; without one it returns. */
static int threshold(int argc, char **argv)
{
    const struct real_cuda *cu = kit_cuda();
    CUmemoryPool pool;
    CUdeviceptr p;
    cuuint64_t keep = UINT64_MAX;

    (void)argc, (void)argv;
    kit_context(0);
    cu->cuDeviceGetDefaultMemPool(&pool, 0);
    cu->cuMemPoolSetAttribute(pool, CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, &keep);
    STEP("alloc", cu->cuMemAllocAsync(&p, 512 * MIB, NULL));
    STEP("free", cu->cuMemFreeAsync(p, NULL));
    STEP("synchronize", cu->cuStreamSynchronize(NULL));
    STEP("again", cu->cuMemAllocAsync(&p, 512 * MIB, NULL));
    STEP("too much", cu->cuMemAllocAsync(&(CUdeviceptr){0}, 768 * MIB, NULL));
    STEP("free", cu->cuMemFreeAsync(p, NULL));
    cu->cuStreamSynchronize(NULL);
    STEP("plain", cu->cuMemAlloc_v2(&p, 1000 * MIB)); /* takes what the pool does not use */
    return 0;
}

static int pinned_when_full(int argc, char **argv)
{
    const struct real_cuda *cu = kit_cuda();
    CUdeviceptr p;
    void *host, *own = g_malloc0(16 * MIB);

    (void)argc, (void)argv;
    kit_context(0);
    STEP("fill", cu->cuMemAlloc_v2(&p, 1024 * MIB));
    STEP("pinned", cu->cuMemHostAlloc(&host, 16 * MIB, 0));
    STEP("unpinned", cu->cuMemFreeHost(host));
    STEP("pinned v2", cu->cuMemAllocHost_v2(&host, 16 * MIB));
    STEP("pinned v1", cu->cuMemAllocHost(&host, 16 * MIB));
    STEP("registered v2", cu->cuMemHostRegister_v2(own, 8 * MIB, 0x2));
    STEP("registered v1", cu->cuMemHostRegister((char *)own + 8 * MIB, 8 * MIB, 0));
    STEP("unregistered", cu->cuMemHostUnregister(own));
    STEP("reserve", cu->cuMemAddressReserve(&p, UINT64_C(1) << 35, 0, 0, 0));
    return 0;
}

/* What memory is said to be, asked one by one and at once. */
static void tell_attributes(CUdeviceptr p)
{
    static CUpointer_attribute asked[] = {CU_POINTER_ATTRIBUTE_MEMORY_TYPE, CU_POINTER_ATTRIBUTE_IS_MANAGED,
                                          CU_POINTER_ATTRIBUTE_DEVICE_ORDINAL};
    const struct real_cuda *cu = kit_cuda();
    unsigned one[3] = {9, 9, 9}, all[3] = {9, 9, 9};
    void *answers[] = {&all[0], &all[1], &all[2]};

    for (unsigned i = 0; i < G_N_ELEMENTS(asked); i++)
        cu->cuPointerGetAttribute(&one[i], asked[i], p);
    cu->cuPointerGetAttributes(G_N_ELEMENTS(asked), asked, answers, p);
    kit_tell("type %u managed %u device %u, type %u managed %u device %u", one[0], one[1], one[2], all[0],
             all[1], all[2]);
}

static int oversubscribe(int argc, char **argv)
{
    const struct real_cuda *cu = kit_cuda();
    CUdeviceptr p[4] = {0};
    unsigned managed = 9;

    (void)argc, (void)argv;
    kit_context(0);
    for (int i = 0; i < 4; i++)
        STEP("alloc", cu->cuMemAlloc_v2(&p[i], 1536 * MIB));
    cu->cuPointerGetAttribute(&managed, CU_POINTER_ATTRIBUTE_IS_MANAGED, p[3]);
    kit_tell("managed %u", managed);
    for (int i = 0; i < 4; i++)
        tell_attributes(p[i] + MIB);
    STEP("free", cu->cuMemFree_v2(p[3]));
    return 0;
}

/* cuMemAllocAsync in a captured graph, in every capture mode; our own calls
 * must not spoil the capture. */
static int capture_modes(int argc, char **argv)
{
    const struct real_cuda *cu = kit_cuda();

    (void)argc, (void)argv;
    kit_context(0);
    for (int mode = 0; mode <= 2; mode++) {
        CUstream stream;
        CUgraph graph;
        CUgraphExec exec;
        CUdeviceptr p, q;
        size_t left, total;
        cu->cuMemAllocAsync(&q, MIB, NULL); /* leaves something to settle */
        cu->cuMemFreeAsync(q, NULL);
        cu->cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING);
        cu->cuStreamBeginCapture_v2(stream, (CUstreamCaptureMode)mode);
        cu->cuMemAllocAsync(&p, 100 * MIB, stream);
        cu->cuMemGetInfo_v2(&left, &total);
        cu->cuMemFreeAsync(p, stream);
        kit_tell("end %d", cu->cuStreamEndCapture(stream, &graph));
        kit_tell("instantiate %d", cu->cuGraphInstantiateWithFlags(&exec, graph, 0));
        kit_tell("launch %d", cu->cuGraphLaunch(exec, stream));
        cu->cuStreamSynchronize(stream);
        cu->cuGraphExecDestroy(exec);
        cu->cuGraphDestroy(graph);
    }
    cu->cuCtxSynchronize();
    STEP("trim", cu->cuDeviceGraphMemTrim(0));
    return 0;
}

/* Keeps memory alive by an import of its own export only. */
static int import_own(int argc, char **argv)
{
    const struct real_cuda *cu = kit_cuda();
    CUmemAllocationProp prop = {.type = CU_MEM_ALLOCATION_TYPE_PINNED,
                                .requestedHandleTypes = CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR,
                                .location = {.type = CU_MEM_LOCATION_TYPE_DEVICE, .id = 0}};
    CUmemGenericAllocationHandle h, imported;
    size_t left = 0, total;
    int fd = -1;

    (void)argc, (void)argv;
    kit_context(0);
    STEP("create", cu->cuMemCreate(&h, 512 * MIB, &prop, 0));
    STEP("export", cu->cuMemExportToShareableHandle(&fd, h, CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR, 0));
    STEP("import", cu->cuMemImportFromShareableHandle(&imported, (void *)(intptr_t)fd,
                                                      CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR));
    kit_tell("release %d", cu->cuMemRelease(h));
    for (int i = 0; i < 100; i++) { /* the helper looks once a second */
        cu->cuMemGetInfo_v2(&left, &total);
        if (left == 512 * MIB && i > 12)
            break;
        g_usleep(50000);
    }
    STEP("kept", 0);
    return 0;
}

/* Arrays of every kind come and go. */
static int arrays(int argc, char **argv)
{
    const struct real_cuda *cu = kit_cuda();
    CUDA_ARRAY_DESCRIPTOR flat = {
        .Width = 4096, .Height = 4096, .Format = CU_AD_FORMAT_FLOAT, .NumChannels = 4};
    CUDA_ARRAY_DESCRIPTOR_v1 old = {
        .Width = 4096, .Height = 4096, .Format = CU_AD_FORMAT_FLOAT, .NumChannels = 4};
    CUDA_ARRAY3D_DESCRIPTOR deep = {
        .Width = 256, .Height = 256, .Depth = 256, .Format = CU_AD_FORMAT_FLOAT, .NumChannels = 2};
    CUarray a[3] = {0};
    CUmipmappedArray m = NULL;

    (void)argc, (void)argv;
    kit_context(0);
    STEP("flat", cu->cuArrayCreate_v2(&a[0], &flat));
    STEP("old", cu->cuArrayCreate(&a[1], &old));
    STEP("deep", cu->cuArray3DCreate_v2(&a[2], &deep));
    STEP("levels", cu->cuMipmappedArrayCreate(&m, &deep, 1));
    STEP("no more", cu->cuArrayCreate_v2(&(CUarray){NULL}, &flat));
    for (int i = 0; i < 3; i++)
        STEP("destroy", cu->cuArrayDestroy(a[i]));
    STEP("destroy", cu->cuMipmappedArrayDestroy(m));
    return 0;
}

/* ---- tests ---- */

static void expect(struct kit *kit, const char *body, const char *expected)
{
    g_autofree char *out = NULL;

    kit_finish(kit_start(kit, body, NULL), &out, NULL);
    g_assert_cmpstr(out, ==, expected);
    kit_free(kit);
}

static void opened_by(const char *version)
{
    struct kit *kit = kit_limited("1G");
    struct kit_process *offer = kit_start(kit, "ipc_offer", NULL);
    g_autofree char *alloc = kit_line(offer), *get = kit_line(offer), *handle = kit_line(offer), *end = NULL;
    g_autofree char *taken = NULL;

    g_assert_cmpstr(alloc, ==, "alloc 0 724");
    g_assert_cmpstr(get, ==, "get 0 724");
    taken = kit_run(kit, "ipc_take", handle, version, NULL);
    g_assert_cmpstr(taken, ==, "before 0 724\nopen 0 724\nalloc 0 24\nclose 0 24\n");
    kit_say(offer, "free");
    end = kit_line(offer);
    g_assert_true(g_str_has_prefix(end, "free 0"));
    kit_free(kit);
}

static void opened_memory_is_charged_to_who_made_it(void)
{
    opened_by(NULL);
    opened_by("v1");
}

static void pools_belong_to_their_device_wherever_they_are_used(void)
{
    expect(kit_limited("1G"), "two_pools",
           "create 0 1024\n"
           "from pool of second 0 1024\n"
           "from own 0 960\n"
           "second sees 0 992\n"
           "free first's here 0 992\n"
           "reset high 0 960\n"
           "synchronize 0 1024\n"
           "trim 0 1024\n"
           "free second's here 0 1024\n"
           "destroy 0 1024\n"
           "second sees 0 1024\n");
}

static void a_release_threshold_keeps_the_charge(void)
{
    expect(kit_limited("1G"), "threshold",
           "alloc 0 512\n"
           "free 0 512\n"
           "synchronize 0 512\n"
           "again 0 512\n"
           "too much 2 512\n"
           "free 0 512\n"
           "plain 0 24\n");
}

static void host_memory_and_address_space_are_free(void)
{
    expect(kit_limited("1G"), "pinned_when_full",
           "fill 0 0\npinned 0 0\nunpinned 0 0\npinned v2 0 0\npinned v1 0 0\nregistered v2 0 0\nregistered "
           "v1 0 0\n"
           "unregistered 0 0\nreserve 0 0\n");
}

#define LIKE_DEVICE_MEMORY                                                                                   \
    "type 2 managed 0 device 0, type 2 managed 0 device 0\n" /* 2: CU_MEMORYTYPE_DEVICE */
#define LIKE_NOTHING                                                                                         \
    "type 9 managed 9 device 9, type 0 managed 0 device 4294967294\n" /* the driver's own: -2 */

static void oversubscription_gives_more_than_the_card_has(void)
{
    struct kit *kit = kit_limited("6G");

    kit_env(kit, "CUDA_OVERSUBSCRIBE", "true");
    expect(kit, "oversubscribe",
           "alloc 0 4608\nalloc 0 3072\nalloc 0 1536\nalloc 0 0\nmanaged 0\n" LIKE_DEVICE_MEMORY
               LIKE_DEVICE_MEMORY LIKE_DEVICE_MEMORY LIKE_DEVICE_MEMORY "free 0 1536\n");
}

static void without_oversubscription_the_card_is_the_end(void)
{
    expect(kit_limited("6G"), "oversubscribe",
           "alloc 0 2560\nalloc 0 1024\nalloc 2 1024\nalloc 2 1024\nmanaged 9\n" LIKE_DEVICE_MEMORY
               LIKE_DEVICE_MEMORY LIKE_NOTHING LIKE_NOTHING "free 0 1024\n");
}

static void captures_of_allocations_survive_in_every_mode(void)
{
    expect(kit_limited("1G"), "capture_modes",
           "end 0\ninstantiate 0\nlaunch 0\nend 0\ninstantiate 0\nlaunch 0\nend 0\ninstantiate 0\nlaunch 0\n"
           "trim 0 1024\n");
}

static void memory_kept_by_an_import_is_charged_in_the_end(void)
{
    expect(kit_limited("1G"), "import_own",
           "create 0 512\nexport 0 512\nimport 0 512\nrelease 0\nkept 0 512\n");
}

static void destroyed_arrays_give_everything_back(void)
{
    expect(kit_limited("900m"), "arrays",
           "flat 0 644\nold 0 388\ndeep 0 260\nlevels 0 132\nno more 2 132\n"
           "destroy 0 388\ndestroy 0 644\ndestroy 0 772\ndestroy 0 900\n");
}

static const struct kit_body bodies[] = {
    {"arrays", arrays},
    {"import_own", import_own},
    {"ipc_offer", ipc_offer},
    {"ipc_take", ipc_take},
    {"two_pools", two_pools},
    {"threshold", threshold},
    {"pinned_when_full", pinned_when_full},
    {"oversubscribe", oversubscribe},
    {"capture_modes", capture_modes},
    {0},
};

#define TEST(name) g_test_add_func("/memory_share/" #name, name)

int main(int argc, char **argv)
{
    if (kit_is_child(argc, argv))
        return kit_child(argc, argv, bodies);
    g_test_init(&argc, &argv, NULL);
    TEST(opened_memory_is_charged_to_who_made_it);
    TEST(memory_kept_by_an_import_is_charged_in_the_end);
    TEST(destroyed_arrays_give_everything_back);
    TEST(pools_belong_to_their_device_wherever_they_are_used);
    TEST(a_release_threshold_keeps_the_charge);
    TEST(host_memory_and_address_space_are_free);
    TEST(oversubscription_gives_more_than_the_card_has);
    TEST(without_oversubscription_the_card_is_the_end);
    TEST(captures_of_allocations_survive_in_every_mode);
    return g_test_run();
}
