/* SPDX-License-Identifier: Apache-2.0
 *
 * The memory limit as programs meet it: what fits, what is refused and how,
 * what queries say, who is charged for contexts, what the dead leave.
 */
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support.h"

#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)
#define CONTEXT_MIB 128

/* A card whose contexts have a round size. */
static const char card[] = KIT_CARDS KIT_CARD("16GiB", "128MiB");

/* ... and one whose contexts take nothing. */
static const char bare_card[] = KIT_CARDS KIT_CARD("16GiB", "0");

static struct kit *kit_limited(const char *limit)
{
    struct kit *kit = kit_new(card);

    kit_env(kit, "CUDA_DEVICE_MEMORY_LIMIT", "%s", limit);
    return kit;
}

static size_t mib(const char *text)
{
    return (size_t)(g_ascii_strtod(text, NULL) * (double)MIB);
}

/* ---- bodies ---- */

/* Allocates each size (MiB) in turn and tells the driver's answers; a leading
 * '-' frees the allocation with that number. "?" tells free and total MiB. */
static int steps(int argc, char **argv)
{
    const struct real_cuda *cu = kit_cuda();
    CUdeviceptr held[64] = {0};
    unsigned n = 0;
    size_t left, total;

    kit_context(0);
    for (int i = 0; i < argc; i++) {
        if (argv[i][0] == '-') {
            kit_tell("%d", cu->cuMemFree_v2(held[g_ascii_strtoull(argv[i] + 1, NULL, 10)]));
        } else if (argv[i][0] == '?') {
            CUresult r = cu->cuMemGetInfo_v2(&left, &total);
            kit_tell("%d %zu %zu", r, left / MIB, total / MIB);
        } else {
            kit_tell("%d", cu->cuMemAlloc_v2(&held[n++], mib(argv[i])));
        }
    }
    return 0;
}

/* As steps, but each step is a line on stdin. */
static int interactive(int argc, char **argv)
{
    const struct real_cuda *cu = kit_cuda();
    CUdeviceptr p;
    size_t left, total;
    char *line;

    (void)argc, (void)argv;
    kit_context(0);
    kit_tell("ready %d", getpid());
    while ((line = kit_hear())) {
        if (line[0] == '?') {
            CUresult r = cu->cuMemGetInfo_v2(&left, &total);
            kit_tell("%d %zu %zu", r, left / MIB, total / MIB);
        } else {
            kit_tell("%d", cu->cuMemAlloc_v2(&p, mib(line)));
        }
    }
    return 0;
}

static void expect(struct kit_process *p, const char *say, const char *expected)
{
    g_autofree char *line = NULL;

    if (say)
        kit_say(p, say);
    line = kit_line(p);
    g_assert_cmpstr(line, ==, expected);
}

static struct kit_process *start_ready(struct kit *kit)
{
    struct kit_process *p = kit_start(kit, "interactive", NULL);
    g_autofree char *line = kit_line(p);

    g_assert_nonnull(line);
    g_assert_true(g_str_has_prefix(line, "ready"));
    return p;
}

/* ---- limits ---- */

static void allocations_up_to_the_limit_succeed_and_one_beyond_is_refused(void)
{
    struct kit *kit = kit_limited("1G");
    g_autofree char *out = NULL, *err = NULL;
    struct kit_process *p =
        kit_start(kit, "steps", "?", "800", "?", "96", "0.000001", "?", "-0", "512", "?", NULL);

    g_assert_cmpint(kit_finish(p, &out, &err), ==, 0);
    g_assert_cmpstr(out, ==, "0 896 1024\n0\n0 96 1024\n0\n2\n0 0 1024\n0\n0\n0 288 1024\n");
    g_assert_nonnull(strstr(err, "Device 0 OOM 1073741825 / 1073741824"));
    kit_free(kit);
}

static void a_process_alone_is_charged_for_its_context(void)
{
    struct kit *kit = kit_limited("1G");
    g_autofree char *out = kit_run(kit, "steps", "?", NULL);

    g_assert_cmpstr(out, ==, "0 896 1024\n");
    kit_free(kit);
}

static void processes_share_one_limit(void)
{
    struct kit *kit = kit_limited("1G");
    struct kit_process *a = start_ready(kit), *b = start_ready(kit);

    expect(a, "?", "0 768 1024"); /* two contexts */
    expect(a, "700", "0");
    expect(b, "100", "2");
    expect(b, "68", "0");
    expect(a, "?", "0 0 1024");
    expect(b, "?", "0 0 1024");
    kit_free(kit);
}

static void a_killed_process_gives_everything_back_at_the_next_need(void)
{
    struct kit *kit = kit_limited("1G");
    struct kit_process *a = start_ready(kit), *b = start_ready(kit);

    expect(a, "700", "0");
    expect(b, "600", "2");
    kit_kill(a);
    g_assert_cmpint(kit_finish(a, NULL, NULL), ==, -9);
    expect(b, "896", "0");
    kit_free(kit);
}

static void a_process_that_ends_gives_everything_back(void)
{
    struct kit *kit = kit_limited("1G");

    for (int i = 0; i < 3; i++) {
        g_autofree char *out = kit_run(kit, "steps", "896", "?", NULL);
        g_assert_cmpstr(out, ==, "0\n0 0 1024\n");
    }
    kit_free(kit);
}

static void a_context_that_no_longer_fits_is_refused(void)
{
    struct kit *kit = kit_limited("1G");
    struct kit_process *a = start_ready(kit), *b;
    g_autofree char *err = NULL;

    expect(a, "850", "0");
    b = kit_start(kit, "steps", "?", NULL);
    g_assert_cmpint(kit_finish(b, NULL, &err), ==, 99);
    g_assert_nonnull(strstr(err, "Device 0 OOM"));
    g_assert_nonnull(strstr(err, "no room for another context"));
    kit_free(kit);
}

/* ---- live resize ---- */

static void a_resize_takes_effect_in_running_programs(void)
{
    struct kit *kit = kit_new(card);
    struct grant grant = {.n_devices = 1};
    struct kit_process *p;

    g_strlcpy(grant.devices[0].uuid, kit_uuid(kit, 0), sizeof grant.devices[0].uuid);
    grant.devices[0].mem_bytes = GIB;
    kit_grant(kit, &grant);
    p = start_ready(kit);
    expect(p, "1000", "2");
    grant.devices[0].mem_bytes = 2 * GIB;
    kit_grant(kit, &grant);
    expect(p, "1000", "0");
    expect(p, "?", "0 920 2048");
    grant.devices[0].mem_bytes = GIB / 2; /* below use: nothing is taken away, nothing more is given */
    kit_grant(kit, &grant);
    expect(p, "?", "0 0 512");
    expect(p, "1", "2");
    kit_free(kit);
}

/* ---- the figures agree ---- */

static int figures(int argc, char **argv)
{
    const struct real_cuda *cu = kit_cuda();
    const struct real_nvml *nvml = kit_nvml();
    size_t left = 0, total = 0, device_total = 0;
    CUdeviceptr p;
    nvmlDevice_t device;
    nvmlMemory_t v1 = {0};
    nvmlMemory_v2_t v2 = {.version = (unsigned)sizeof v2 | 2u << 24};

    (void)argc, (void)argv;
    if (!nvml->nvmlInit_v2) {
        kit_tell("no management library");
        return 0;
    }
    kit_context(0);
    cu->cuMemAlloc_v2(&p, 300 * MIB);
    cu->cuMemGetInfo_v2(&left, &total);
    cu->cuDeviceTotalMem_v2(&device_total, 0);
    nvml->nvmlInit_v2();
    nvml->nvmlDeviceGetHandleByIndex_v2(0, &device);
    nvml->nvmlDeviceGetMemoryInfo(device, &v1);
    nvml->nvmlDeviceGetMemoryInfo_v2(device, &v2);
    kit_tell("%zu %zu", left / MIB, total / MIB);
    kit_tell("%zu", device_total / MIB);
    kit_tell("%llu %llu %llu", v1.total / MIB, v1.used / MIB, v1.free / MIB);
    kit_tell("%llu %llu %llu", v2.total / MIB, v2.used / MIB, v2.free / MIB);
    return 0;
}

static void every_query_tells_the_same_figures(void)
{
    struct kit *kit = kit_limited("1G");
    g_autofree char *out = kit_run(kit, "figures", NULL);

    if (g_str_has_prefix(out, "no management"))
        g_test_skip("the simulator was built without its management library");
    else
        g_assert_cmpstr(out, ==, "596 1024\n1024\n1024 428 596\n1024 428 596\n");
    kit_free(kit);
}

static int null_queries(int argc, char **argv)
{
    const struct real_cuda *cu = kit_cuda();
    size_t n = 7;

    (void)argc, (void)argv;
    cu->cuInit(0);
    kit_tell("%d", cu->cuMemGetInfo_v2(&n, &n)); /* no context */
    kit_context(0);
    kit_tell("%d", cu->cuMemGetInfo_v2(NULL, NULL));
    kit_tell("%d", cu->cuMemGetInfo_v2(&n, NULL));
    kit_tell("%zu", n / MIB);
    return 0;
}

static void queries_bear_null_outputs_and_missing_contexts(void)
{
    struct kit *kit = kit_limited("1G");
    g_autofree char *out = kit_run(kit, "null_queries", NULL);

    g_assert_cmpstr(out, ==, "201\n0\n0\n896\n");
    kit_free(kit);
}

/* ---- contexts ---- */

/* Free memory as seen through NVML, which needs no context. */
static void tell_used(const char *what, CUresult r)
{
    const struct real_nvml *nvml = kit_nvml();
    nvmlDevice_t device;
    nvmlMemory_t memory = {0};

    nvml->nvmlInit_v2();
    nvml->nvmlDeviceGetHandleByIndex_v2(0, &device);
    nvml->nvmlDeviceGetMemoryInfo(device, &memory);
    kit_tell("%s %d %llu", what, r, memory.used / MIB);
}

static int contexts(int argc, char **argv)
{
    const struct real_cuda *cu = kit_cuda();
    CUcontext a = NULL, b = NULL, primary = NULL, popped = NULL;
    CUdeviceptr p;

    (void)argc, (void)argv;
    if (!kit_nvml()->nvmlInit_v2) {
        kit_tell("no management library");
        return 0;
    }
    cu->cuInit(0);
    tell_used("init", CUDA_SUCCESS);
    tell_used("create", cu->cuCtxCreate_v2(&a, 0, 0));
    tell_used("create", cu->cuCtxCreate_v4(&b, NULL, 0, 0));
    tell_used("alloc in b", cu->cuMemAlloc_v2(&p, 64 * MIB));
    tell_used("pop", cu->cuCtxPopCurrent_v2(&popped));
    tell_used("alloc in a", cu->cuMemAlloc_v2(&p, 32 * MIB));
    for (int i = 0; i < 3; i++)
        tell_used("retain", cu->cuDevicePrimaryCtxRetain(&primary, 0));
    tell_used("destroy b", cu->cuCtxDestroy_v2(b));
    cu->cuCtxSetCurrent(primary);
    tell_used("alloc in primary", cu->cuMemAlloc_v2(&p, 16 * MIB));
    tell_used("destroy a", cu->cuCtxDestroy_v2(a));
    for (int i = 0; i < 3; i++)
        tell_used("release", cu->cuDevicePrimaryCtxRelease_v2(0));
    return 0;
}

/* Until refused, also of what there was room for by then. */
static int many_contexts(int argc, char **argv)
{
    const struct real_cuda *cu = kit_cuda();
    CUcontext c = NULL;
    CUdeviceptr p;
    CUresult r = CUDA_SUCCESS;
    int n = 0;

    (void)argc, (void)argv;
    cu->cuInit(0);
    while (n < 20 && (r = cu->cuCtxCreate_v2(&c, 0, 0)) == CUDA_SUCCESS)
        n++;
    kit_tell("%d %d", n, r);
    tell_used("destroy", cu->cuCtxDestroy_v2(c));
    tell_used("create", cu->cuCtxCreate_v2(&c, 0, 0));
    tell_used("create", cu->cuCtxCreate_v2(&c, 0, 0));
    tell_used("alloc", cu->cuMemAlloc_v2(&p, 1 * MIB));
    for (int i = 0; i < 1000; i++)
        cu->cuCtxCreate_v2(&c, 0, 0);
    return 0;
}

static void a_further_context_has_to_fit_as_well(void)
{
    struct kit *kit = kit_limited("1G");
    g_autofree char *out = NULL, *log = NULL;

    g_assert_cmpint(kit_finish(kit_start(kit, "many_contexts", NULL), &out, &log), ==, 0);
    g_assert_cmpstr(out, ==, "8 2\ndestroy 0 896\ncreate 0 1024\ncreate 2 1024\nalloc 2 1024\n");
    g_assert_nonnull(strstr(log, "make fewer contexts"));
    g_assert_cmpuint(strlen(log), <, 3000); /* once a second */
    kit_free(kit);
}

static void contexts_count_while_they_live(void)
{
    struct kit *kit = kit_limited("2G");
    g_autofree char *out = kit_run(kit, "contexts", NULL);

    if (g_str_has_prefix(out, "no management"))
        g_test_skip("the simulator was built without its management library");
    else
        g_assert_cmpstr(
            out, ==,
            "init 0 0\ncreate 0 128\ncreate 0 256\nalloc in b 0 320\npop 0 320\nalloc in a 0 352\n"
            "retain 0 480\nretain 0 480\nretain 0 480\ndestroy b 0 288\nalloc in primary 0 304\n"
            "destroy a 0 144\nrelease 0 144\nrelease 0 144\nrelease 0 0\n");
    kit_free(kit);
}

/* ---- many at once ---- */

static int hammer_thread_failures;

static gpointer hammer_thread(gpointer ctx)
{
    const struct real_cuda *cu = kit_cuda();
    CUdeviceptr p;

    cu->cuCtxSetCurrent(ctx);
    for (int i = 0; i < 500; i++) {
        CUresult r = cu->cuMemAlloc_v2(&p, (size_t)(1 + i % 7) * MIB);
        if (r == CUDA_SUCCESS)
            r = cu->cuMemFree_v2(p);
        if (r != CUDA_SUCCESS)
            g_atomic_int_inc(&hammer_thread_failures);
    }
    return NULL;
}

/* Four threads that together never need more than is free are never refused. */
static int hammer(int argc, char **argv)
{
    GThread *threads[4];
    CUcontext ctx = kit_context(0);
    size_t left = 0, total;

    (void)argc, (void)argv;
    for (gsize i = 0; i < G_N_ELEMENTS(threads); i++)
        threads[i] = g_thread_new("hammer", hammer_thread, ctx);
    for (gsize i = 0; i < G_N_ELEMENTS(threads); i++)
        g_thread_join(threads[i]);
    kit_cuda()->cuMemGetInfo_v2(&left, &total);
    kit_tell("%d failures", hammer_thread_failures);
    return 0;
}

static void there_is_no_spurious_refusal_while_space_is_free(void)
{
    struct kit *kit = kit_new(bare_card);
    struct kit_process *p[4];

    kit_env(kit, "CUDA_DEVICE_MEMORY_LIMIT", "4G");
    for (gsize i = 0; i < G_N_ELEMENTS(p); i++)
        p[i] = kit_start(kit, "hammer", NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(p); i++) {
        g_autofree char *out = NULL;
        g_assert_cmpint(kit_finish(p[i], &out, NULL), ==, 0);
        g_assert_cmpstr(out, ==, "0 failures\n");
    }
    g_autofree char *out = kit_run(kit, "steps", "?", NULL);
    g_assert_cmpstr(out, ==, "0 4096 4096\n");
    kit_free(kit);
}

static const struct kit_body bodies[] = {
    {"steps", steps},
    {"interactive", interactive},
    {"figures", figures},
    {"null_queries", null_queries},
    {"hammer", hammer},
    {"contexts", contexts},
    {"many_contexts", many_contexts},
    {0},
};

#define TEST(name) g_test_add_func("/memory_limit/" #name, name)

int main(int argc, char **argv)
{
    if (kit_is_child(argc, argv))
        return kit_child(argc, argv, bodies);
    g_test_init(&argc, &argv, NULL);
    TEST(allocations_up_to_the_limit_succeed_and_one_beyond_is_refused);
    TEST(a_process_alone_is_charged_for_its_context);
    TEST(processes_share_one_limit);
    TEST(a_killed_process_gives_everything_back_at_the_next_need);
    TEST(a_process_that_ends_gives_everything_back);
    TEST(a_context_that_no_longer_fits_is_refused);
    TEST(a_resize_takes_effect_in_running_programs);
    TEST(every_query_tells_the_same_figures);
    TEST(queries_bear_null_outputs_and_missing_contexts);
    TEST(contexts_count_while_they_live);
    TEST(a_further_context_has_to_fit_as_well);
    TEST(there_is_no_spurious_refusal_while_space_is_free);
    return g_test_run();
}
