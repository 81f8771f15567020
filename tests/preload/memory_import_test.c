/* SPDX-License-Identifier: Apache-2.0
 *
 * Memory of other processes and other makers: objects and pools that travel as
 * file descriptors, external memory, multicast objects, green contexts.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "support.h"

#define MIB (UINT64_C(1) << 20)

/* Two cards that can multicast; a context takes nothing, unless a test needs
 * to see it. */
#define CARDS(context)                                                                                       \
    KIT_CARDS                                                                                                \
    "  - {name: First Card, memory: 4GiB, sms: 16, compute: 9.0, context: " context "}\n"                    \
    "  - {name: Second Card, memory: 4GiB, sms: 16, compute: 9.0, context: " context "}\n"

static struct kit *kit_limited(const char *cards)
{
    struct kit *kit = kit_new(cards);

    kit_env(kit, "CUDA_DEVICE_MEMORY_LIMIT", "1G");
    return kit;
}

/* ---- bodies ---- */

static uint64_t left_mib(void)
{
    size_t left = 0, total = 0;

    kit_cuda()->cuMemGetInfo_v2(&left, &total);
    return left / MIB;
}

static void step(const char *what, CUresult r)
{
    kit_tell("%s %d %" PRIu64, what, r, left_mib());
}

/* A descriptor of another process, as the exporter told it: "pid fd". */
static int descriptor_of(const char *told)
{
    g_auto(GStrv) words = g_strsplit(told, " ", 2);
    g_autofree char *path = g_strdup_printf("/proc/%s/fd/%s", words[0], words[1]);

    return open(path, O_RDWR | O_CLOEXEC);
}

static CUmemAllocationProp shareable(int ordinal)
{
    return (CUmemAllocationProp){.type = CU_MEM_ALLOCATION_TYPE_PINNED,
                                 .requestedHandleTypes = CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR,
                                 .location = {.type = CU_MEM_LOCATION_TYPE_DEVICE, .id = ordinal}};
}

static int object_offer(int argc, char **argv)
{
    const struct real_cuda *cu = kit_cuda();
    CUmemAllocationProp prop = shareable(0);
    CUmemGenericAllocationHandle h;
    int fd = -1;

    (void)argc, (void)argv;
    kit_context(0);
    step("create", cu->cuMemCreate(&h, 512 * MIB, &prop, 0));
    step("export", cu->cuMemExportToShareableHandle(&fd, h, CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR, 0));
    kit_tell("%d %d", getpid(), fd);
    kit_hear();
    step("release", cu->cuMemRelease(h));
    kit_hear();
    step("again", cu->cuMemAlloc_v2(&(CUdeviceptr){0}, 1024 * MIB));
    return 0;
}

static int object_take(int argc, char **argv)
{
    const struct real_cuda *cu = kit_cuda();
    CUmemGenericAllocationHandle h;
    CUdeviceptr base;
    int fd = descriptor_of(argv[0]);

    (void)argc;
    kit_context(0);
    step("import", cu->cuMemImportFromShareableHandle(&h, (void *)(intptr_t)fd,
                                                      CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR));
    cu->cuMemAddressReserve(&base, 512 * MIB, 0, 0, 0);
    step("map", cu->cuMemMap(base, 512 * MIB, 0, h, 0));
    step("release", cu->cuMemRelease(h));
    step("too much", cu->cuMemAlloc_v2(&(CUdeviceptr){0}, 600 * MIB));
    step("unmap", cu->cuMemUnmap(base, 512 * MIB));
    step("take", cu->cuMemAlloc_v2(&(CUdeviceptr){0}, 500 * MIB));
    return 0;
}

/* The helper naps between visits and waits in futex() once it sleeps. */
static bool helper_of_process_sleeps(int pid)
{
    g_autofree char *tasks = g_strdup_printf("/proc/%d/task", pid);
    g_autoptr(GDir) dir = g_dir_open(tasks, 0, NULL);
    const char *task;

    while (dir && (task = g_dir_read_name(dir)) != NULL) {
        g_autofree char *comm = g_build_filename(tasks, task, "comm", NULL), *name = NULL;
        g_autofree char *call = g_build_filename(tasks, task, "syscall", NULL), *text = NULL;

        if (g_file_get_contents(comm, &name, NULL, NULL) && g_str_has_prefix(name, "hami-helper") &&
            g_file_get_contents(call, &text, NULL, NULL))
            return atoi(text) == SYS_futex;
    }
    return false;
}

static void await_sleep_of_helper(const struct kit_process *p)
{
    gint64 deadline = g_get_monotonic_time() + 20 * G_TIME_SPAN_SECOND;

    while (!helper_of_process_sleeps(kit_pid(p))) {
        g_assert_cmpint(g_get_monotonic_time(), <, deadline);
        g_usleep(20000);
    }
}

/* Keeps a mapping of the other's object after the other has let go of it. */
static int object_keep(int argc, char **argv)
{
    const struct real_cuda *cu = kit_cuda();
    CUmemGenericAllocationHandle h;
    CUdeviceptr base;
    int fd = descriptor_of(argv[0]);

    (void)argc;
    kit_context(0);
    cu->cuMemImportFromShareableHandle(&h, (void *)(intptr_t)fd, CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR);
    cu->cuMemAddressReserve(&base, 512 * MIB, 0, 0, 0);
    step("map", cu->cuMemMap(base, 512 * MIB, 0, h, 0));
    cu->cuMemRelease(h);
    kit_hear();
    gint64 deadline = g_get_monotonic_time() + 20 * G_TIME_SPAN_SECOND;
    while (left_mib() > 512 && g_get_monotonic_time() < deadline)
        g_usleep(20000); /* the helpers look once a second */
    kit_tell("charged %s", left_mib() <= 512 ? "again" : "to nobody");
    kit_hear();
    return 0;
}

static int pool_offer(int argc, char **argv)
{
    const struct real_cuda *cu = kit_cuda();
    CUmemPoolProps props = {.allocType = CU_MEM_ALLOCATION_TYPE_PINNED,
                            .handleTypes = CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR,
                            .location = {.type = CU_MEM_LOCATION_TYPE_DEVICE, .id = 0}};
    CUmemPoolPtrExportData data;
    CUmemoryPool pool;
    CUdeviceptr p;
    int fd = -1;

    (void)argc, (void)argv;
    kit_context(0);
    cu->cuMemPoolCreate(&pool, &props);
    step("alloc", cu->cuMemAllocFromPoolAsync(&p, 64 * MIB, pool, NULL));
    cu->cuMemPoolExportPointer(&data, p);
    cu->cuMemPoolExportToShareableHandle(&fd, pool, CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR, 0);
    g_autofree char *text = g_base64_encode((guchar *)&data, sizeof data);
    kit_tell("%d %d", getpid(), fd);
    kit_tell("%s", text);
    kit_hear();
    step("free", cu->cuMemFreeAsync(p, NULL));
    cu->cuCtxSynchronize();
    step("destroy", cu->cuMemPoolDestroy(pool));
    return 0;
}

static int pool_take(int argc, char **argv)
{
    const struct real_cuda *cu = kit_cuda();
    CUmemPoolPtrExportData data = {{0}};
    CUmemoryPool pool;
    CUdeviceptr p;
    gsize n;
    g_autofree guchar *bytes = g_base64_decode(argv[1], &n);
    int fd = descriptor_of(argv[0]);

    (void)argc;
    memcpy(&data, bytes, MIN(n, sizeof data));
    kit_context(0);
    step("import", cu->cuMemPoolImportFromShareableHandle(&pool, (void *)(intptr_t)fd,
                                                          CU_MEM_HANDLE_TYPE_POSIX_FILE_DESCRIPTOR, 0));
    step("pointer", cu->cuMemPoolImportPointer(&p, pool, &data));
    step("too much", cu->cuMemAlloc_v2(&(CUdeviceptr){0}, 1000 * MIB));
    step("free", cu->cuMemFreeAsync(p, NULL));
    cu->cuCtxSynchronize();
    step("destroy", cu->cuMemPoolDestroy(pool));
    return 0;
}

/* A file's bytes seen by the card: nobody's device memory. */
static int external(int argc, char **argv)
{
    const struct real_cuda *cu = kit_cuda();
    CUDA_EXTERNAL_MEMORY_HANDLE_DESC desc = {.type = CU_EXTERNAL_MEMORY_HANDLE_TYPE_OPAQUE_FD,
                                             .size = 64 * MIB};
    CUDA_EXTERNAL_MEMORY_BUFFER_DESC buffer = {.size = 64 * MIB};
    CUexternalMemory memory;
    CUdeviceptr p;

    (void)argc, (void)argv;
    kit_context(0);
    desc.handle.fd = memfd_create("external", MFD_CLOEXEC);
    if (ftruncate(desc.handle.fd, (off_t)desc.size) != 0)
        return 2;
    step("import", cu->cuImportExternalMemory(&memory, &desc));
    step("buffer", cu->cuExternalMemoryGetMappedBuffer(&p, memory, &buffer));
    step("fill", cu->cuMemAlloc_v2(&(CUdeviceptr){0}, 1024 * MIB));
    step("free", cu->cuMemFree_v2(p));
    step("destroy", cu->cuDestroyExternalMemory(memory));
    return 0;
}

/* Memory bound to a multicast object lives on without its handle. */
static int multicast(int argc, char **argv)
{
    const struct real_cuda *cu = kit_cuda();
    CUmulticastObjectProp shape = {.numDevices = 1, .size = 256 * MIB};
    CUmemAllocationProp prop = shareable(0);
    CUmemGenericAllocationHandle object, h, mapped;
    CUdeviceptr base;

    (void)argc, (void)argv;
    kit_context(0);
    step("object", cu->cuMulticastCreate(&object, &shape));
    step("device", cu->cuMulticastAddDevice(object, 0));
    step("create", cu->cuMemCreate(&h, 256 * MIB, &prop, 0));
    step("bind", cu->cuMulticastBindMem(object, 0, h, 0, 256 * MIB, 0));
    step("twice", cu->cuMulticastBindMem(object, 0, h, 0, 256 * MIB, 0));
    step("release", cu->cuMemRelease(h));
    step("too much", cu->cuMemAlloc_v2(&(CUdeviceptr){0}, 800 * MIB));
    step("unbind", cu->cuMulticastUnbind(object, 0, 0, 256 * MIB));
    step("create", cu->cuMemCreate(&mapped, 256 * MIB, &prop, 0));
    cu->cuMemAddressReserve(&base, 256 * MIB, 0, 0, 0);
    cu->cuMemMap(base, 256 * MIB, 0, mapped, 0);
    step("bind", cu->cuMulticastBindAddr_v2(object, 0, 0, base, 256 * MIB, 0));
    step("release", cu->cuMemRelease(mapped));
    step("unmap", cu->cuMemUnmap(base, 256 * MIB));
    step("end", cu->cuMemRelease(object)); /* unbinds what is left */
    return 0;
}

/* Two green contexts share one primary context's overhead. */
static int green(int argc, char **argv)
{
    const struct real_cuda *cu = kit_cuda();
    CUdevResource all, part[2];
    CUdevResourceDesc desc;
    CUgreenCtx contexts[2];
    CUcontext ctx;
    CUdeviceptr p;
    unsigned groups = 2;

    (void)argc, (void)argv;
    cu->cuInit(0);
    cu->cuDeviceGetDevResource(0, &all, CU_DEV_RESOURCE_TYPE_SM);
    cu->cuDevSmResourceSplitByCount(part, &groups, &all, NULL, 0, 8);
    cu->cuDevResourceGenerateDesc(&desc, part, 1);
    kit_tell("create %d", cu->cuGreenCtxCreate(&contexts[0], desc, 0, CU_GREEN_CTX_DEFAULT_STREAM));
    cu->cuDevResourceGenerateDesc(&desc, part + 1, 1);
    kit_tell("another %d", cu->cuGreenCtxCreate(&contexts[1], desc, 0, CU_GREEN_CTX_DEFAULT_STREAM));
    cu->cuCtxFromGreenCtx(&ctx, contexts[0]);
    step("current", cu->cuCtxSetCurrent(ctx));
    step("alloc", cu->cuMemAlloc_v2(&p, 512 * MIB));
    step("too much", cu->cuMemAlloc_v2(&(CUdeviceptr){0}, 512 * MIB));
    step("free", cu->cuMemFree_v2(p));
    cu->cuCtxSetCurrent(NULL);
    kit_tell("destroy %d", cu->cuGreenCtxDestroy(contexts[0]));
    cu->cuCtxFromGreenCtx(&ctx, contexts[1]);
    step("other", cu->cuCtxSetCurrent(ctx));
    return 0;
}

/* ---- tests ---- */

static void expect(struct kit *kit, const char *body, const char *expected)
{
    g_autofree char *out = NULL;

    g_assert_cmpint(kit_finish(kit_start(kit, body, NULL), &out, NULL), ==, 0);
    g_assert_cmpstr(out, ==, expected);
    kit_free(kit);
}

static void expect_line(struct kit_process *p, const char *expected)
{
    g_autofree char *line = kit_line(p);

    g_assert_cmpstr(line, ==, expected);
}

static void an_imported_object_is_paid_by_its_maker_alone(void)
{
    struct kit *kit = kit_limited(CARDS("0"));
    struct kit_process *offer = kit_start(kit, "object_offer", NULL), *take;

    expect_line(offer, "create 0 512");
    expect_line(offer, "export 0 512");
    g_autofree char *told = kit_line(offer);
    take = kit_start(kit, "object_take", told, NULL);
    expect_line(take, "import 0 512");
    expect_line(take, "map 0 512");
    expect_line(take, "release 0 512");
    expect_line(take, "too much 2 512");
    expect_line(take, "unmap 0 512");
    expect_line(take, "take 0 12");
    g_assert_cmpint(kit_finish(take, NULL, NULL), ==, 0);
    kit_say(offer, "let go");
    expect_line(offer, "release 0 1024"); /* the other one has ended, and is not counted */
    kit_say(offer, "take it all");
    expect_line(offer, "again 0 0");
    g_assert_cmpint(kit_finish(offer, NULL, NULL), ==, 0);
    kit_free(kit);
}

static void an_object_that_only_its_importer_keeps_is_charged_again(void)
{
    struct kit *kit = kit_limited(CARDS("0"));
    struct kit_process *offer = kit_start(kit, "object_offer", NULL), *keep;

    expect_line(offer, "create 0 512");
    expect_line(offer, "export 0 512");
    g_autofree char *told = kit_line(offer);
    keep = kit_start(kit, "object_keep", told, NULL);
    expect_line(keep, "map 0 512");
    await_sleep_of_helper(keep);
    kit_say(offer, "let go");
    g_free(kit_line(offer));
    await_sleep_of_helper(offer); /* what is noticed from here on, a sleeper noticed */
    kit_say(keep, "look");
    expect_line(keep, "charged again");
    kit_say(offer, "take it all");
    expect_line(offer, "again 2 512");
    kit_say(keep, "end");
    g_assert_cmpint(kit_finish(offer, NULL, NULL), ==, 0);
    g_assert_cmpint(kit_finish(keep, NULL, NULL), ==, 0);
    kit_free(kit);
}

static void an_imported_pool_is_paid_by_its_maker_alone(void)
{
    struct kit *kit = kit_limited(CARDS("0"));
    struct kit_process *offer = kit_start(kit, "pool_offer", NULL);

    expect_line(offer, "alloc 0 960");
    g_autofree char *told = kit_line(offer), *data = kit_line(offer);
    g_autofree char *taken = NULL;
    g_assert_cmpint(kit_finish(kit_start(kit, "pool_take", told, data, NULL), &taken, NULL), ==, 0);
    g_assert_cmpstr(taken, ==, "import 0 960\npointer 0 960\ntoo much 2 960\nfree 0 960\ndestroy 0 960\n");
    kit_say(offer, "free");
    expect_line(offer, "free 0 960");
    expect_line(offer, "destroy 0 1024");
    g_assert_cmpint(kit_finish(offer, NULL, NULL), ==, 0);
    kit_free(kit);
}

static void external_memory_is_nobodys_device_memory(void)
{
    expect(kit_limited(CARDS("0")), "external",
           "import 0 1024\nbuffer 0 1024\nfill 0 0\nfree 0 0\ndestroy 0 0\n");
}

static void memory_bound_to_a_multicast_object_stays_charged(void)
{
    expect(kit_limited(CARDS("0")), "multicast",
           "object 0 1024\ndevice 0 1024\ncreate 0 768\nbind 0 768\ntwice 1 768\nrelease 0 768\n"
           "too much 2 768\nunbind 0 1024\ncreate 0 768\nbind 0 768\nrelease 0 768\nunmap 0 768\n"
           "end 0 1024\n");
}

static void green_contexts_cost_one_context_between_them(void)
{
    expect(kit_limited(CARDS("100MiB")), "green",
           "create 0\nanother 0\ncurrent 0 924\nalloc 0 412\ntoo much 2 412\nfree 0 924\ndestroy 0\n"
           "other 0 924\n");
}

static const struct kit_body bodies[] = {
    {"object_offer", object_offer},
    {"object_take", object_take},
    {"object_keep", object_keep},
    {"pool_offer", pool_offer},
    {"pool_take", pool_take},
    {"external", external},
    {"multicast", multicast},
    {"green", green},
    {0},
};

#define TEST(name) g_test_add_func("/memory_import/" #name, name)

int main(int argc, char **argv)
{
    if (kit_is_child(argc, argv))
        return kit_child(argc, argv, bodies);
    g_test_init(&argc, &argv, NULL);
    TEST(an_imported_object_is_paid_by_its_maker_alone);
    TEST(an_object_that_only_its_importer_keeps_is_charged_again);
    TEST(an_imported_pool_is_paid_by_its_maker_alone);
    TEST(external_memory_is_nobodys_device_memory);
    TEST(memory_bound_to_a_multicast_object_stays_charged);
    TEST(green_contexts_cost_one_context_between_them);
    return g_test_run();
}
