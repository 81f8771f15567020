/* SPDX-License-Identifier: Apache-2.0
 *
 * How libvgpu.so gets between a program and the driver, and how it stays out
 * of the way of everything else.
 */
#include <dlfcn.h>
#include <glib/gstdio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "support.h"

static char *built(const char *name)
{
    g_assert_nonnull(g_getenv("HAMI_BUILD"));
    return g_build_filename(g_getenv("HAMI_BUILD"), name, NULL);
}

/* ---- programs that have nothing to do with CUDA ---- */

/* Standard output of a program, or NULL when it is not installed. */
static char *output_of(struct kit *kit, const char *const argv[])
{
    g_autofree char *path = g_find_program_in_path(argv[0]);
    if (!path)
        return NULL;
    struct kit_process *p = kit_start_program(kit, argv);
    char *out = NULL, *err = NULL;
    int status = kit_finish(p, &out, &err);
    char *all = g_strdup_printf("%d|%s|%s", status, out, err);
    g_free(out);
    g_free(err);
    return all;
}

static void other_programs_do_not_notice(void)
{
    static const char *const programs[][4] = {
        {"true"},
        {"false"},
        {"sh", "-c", "umask; trap; ulimit -n; echo $0"},
        {"python3", "-c",
         "import signal,os,threading;print([signal.getsignal(s) for s in (10,12,17)],"
         "threading.active_count(),os.umask(0))"},
        {"perl", "-e", "print umask"},
        {"java", "-version"},
        {"ping", "-V"},
        {"git", "--version"},
    };
    struct kit *bare = kit_new(NULL), *kit = kit_new(NULL);
    kit_no_preload(bare);
    for (gsize i = 0; i < G_N_ELEMENTS(programs); i++) {
        const char *const argv[] = {programs[i][0], programs[i][1], programs[i][2], NULL};
        g_autofree char *expected = output_of(bare, argv);
        g_autofree char *seen = output_of(kit, argv);
        if (!expected)
            g_test_message("%s: not installed, left out", argv[0]);
        g_assert_cmpstr(seen, ==, expected);
        g_assert_false(g_file_test(kit_region(kit), G_FILE_TEST_EXISTS));
    }
    kit_free(bare);
    kit_free(kit);
}

static void exports_are_the_wrapped_names_and_nothing_else(void)
{
    g_autofree char *library = built("libvgpu.so"), *out = NULL, *expected = NULL;
    g_autofree char *command =
        g_strdup_printf("sh -c \"nm -D --defined-only %s | cut -d' ' -f3 | LC_ALL=C sort\"", library);
    g_autofree char *names = g_strdup_printf(
        "sh -c \"%s/tools/hooks.py names %s/contract/cuda.def %s/contract/nvml.def | LC_ALL=C sort\"",
        g_getenv("HAMI_SOURCE"), g_getenv("HAMI_SOURCE"), g_getenv("HAMI_SOURCE"));
    g_assert_true(g_spawn_command_line_sync(command, &out, NULL, NULL, NULL));
    g_assert_true(g_spawn_command_line_sync(names, &expected, NULL, NULL, NULL));
    g_auto(GStrv) have = g_strsplit(out, "\n", -1);
    g_auto(GStrv) want = g_strsplit(expected, "\n", -1);
    g_assert_cmpuint(g_strv_length(want), >, 100);
    for (char **n = want; *n; n++)
        if (!g_strv_contains((const char *const *)have, *n))
            g_error("%s has no wrapper", *n);
    for (char **n = have; *n; n++)
        if (!g_strv_contains((const char *const *)want, *n))
            g_error("%s is exported and no row of contract/", *n);
}

/* ---- names that are none of ours ---- */

static int look_up_foreign_names(int argc, char **argv)
{
    static const char *const names[] = {"curl_easy_init",
                                        "cublasCreate_v2",
                                        "cudaMalloc",
                                        "custom",
                                        "cuFFTPlan",
                                        "nvmlpy",
                                        "c",
                                        "",
                                        "cu",
                                        "n",
                                        "nv"};
    (void)argc, (void)argv;
    for (gsize i = 0; i < G_N_ELEMENTS(names); i++)
        if (dlsym(RTLD_DEFAULT, names[i]) || dlsym(RTLD_NEXT, names[i]))
            return 1;
    void *first = dlsym(RTLD_NEXT, "open"), *second = dlsym(RTLD_NEXT, "open");
    return first && first == second ? 0 : 2;
}

static void foreign_names_initialise_nothing(void)
{
    struct kit *kit = kit_new(NULL);
    g_free(kit_run(kit, "look_up_foreign_names", NULL));
    g_assert_false(g_file_test(kit_region(kit), G_FILE_TEST_EXISTS));
    kit_free(kit);
}

static int walk_chain(int argc, char **argv)
{
    char path[8] = "";
    (void)argc, (void)argv;
    int (*chain)(char *) = (int (*)(char *))dlsym(RTLD_DEFAULT, "chain");
    for (int i = 0; i < 2; i++)
        kit_tell("%d %s", chain ? chain(path) : -1, path);
    return 0;
}

static void next_means_next_after_the_caller(void)
{
    struct kit *kit = kit_new(NULL);
    g_autofree char *a = built("tests/preload/libchain_a.so"), *b = built("tests/preload/libchain_b.so"),
                    *c = built("tests/preload/libchain_c.so");
    kit_env(kit, "LD_PRELOAD", "%s:%s:%s:%s", kit_get_env(kit, "LD_PRELOAD"), a, b, c);
    g_autofree char *out = kit_run(kit, "walk_chain", NULL);
    g_assert_cmpstr(out, ==, "3 abc\n3 abc\n");
    kit_free(kit);
}

static int call_private(int argc, char **argv)
{
    (void)argc;
    void *library = dlopen(argv[0], RTLD_NOW | RTLD_LOCAL);
    int (*own)(void *, size_t) = (int (*)(void *, size_t))dlsym(library, "cuMemAlloc_v2");
    return own && own(NULL, 0) == 4711 ? 0 : 1;
}

static void private_function_of_the_same_name_stays_private(void)
{
    struct kit *kit = kit_new(NULL);
    g_autofree char *a = built("tests/preload/libchain_a.so");
    g_free(kit_run(kit, "call_private", a, NULL));
    kit_free(kit);
}

/* ---- names that are ---- */

static const char *object_of(const void *address)
{
    Dl_info info;
    if (!address)
        return "none";
    return dladdr(address, &info) ? strrchr(info.dli_fname, '/') + 1 : "unknown";
}

static int object_of_names(int argc, char **argv)
{
    void *library = dlopen("libcuda.so.1", RTLD_NOW);
    for (int i = 0; i < argc; i++)
        kit_tell("%s", object_of(library ? dlsym(library, argv[i]) : NULL));
    return 0;
}

static void handle_lookup_gives_wrappers_for_wrapped_names_only(void)
{
    struct kit *kit = kit_new(NULL);
    g_autofree char *out = kit_run(kit, "object_of_names", "cuInit", "cuGetProcAddress_v2",
                                   "cuDeviceGetCount", "cuNo", "cuGetExportTable", NULL);
    g_assert_cmpstr(out, ==, "libvgpu.so\nlibvgpu.so\nlibcuda.so.1\nnone\nlibcuda.so.1\n");
    kit_free(kit);
}

/* What CUDA_REDIRECT names was HAMI-core's to load; here it is a file like any other. */
static int look_past_redirect(int argc, char **argv)
{
    (void)argc, (void)argv;
    CUresult result = kit_cuda()->cuInit(0);
    void *driver = dlopen("libcuda.so.1", RTLD_NOW);
    void *other = dlopen(g_getenv("CUDA_REDIRECT"), RTLD_NOW | RTLD_NOLOAD);
    kit_tell("%d %s %s", result, object_of(dlsym(driver, "cuMemAlloc_v2")), other ? "loaded" : "not loaded");
    return 0;
}

static void a_redirect_to_another_library_is_not_followed(void)
{
    g_autofree char *chain = built("tests/preload/libchain_a.so");
    const char *const targets[] = {chain, "/no/such/library.so"};
    for (gsize i = 0; i < G_N_ELEMENTS(targets); i++) {
        struct kit *kit = kit_new(NULL);
        kit_env(kit, "CUDA_REDIRECT", "%s", targets[i]);
        g_autofree char *out = kit_run(kit, "look_past_redirect", NULL);
        g_assert_cmpstr(out, ==, "0 libvgpu.so not loaded\n");
        kit_free(kit);
    }
}

/* Each way to ask for a wrapped name, before and after the driver is there. */
static int ways_to_ask(int argc, char **argv)
{
    (void)argc;
    kit_tell("%s %s %s", object_of(dlsym(RTLD_DEFAULT, "cuInit")), object_of(dlsym(RTLD_NEXT, "cuInit")),
             object_of(dlsym(dlopen(NULL, RTLD_LAZY), "cuInit")));
    dlopen("libcuda.so.1", strcmp(argv[0], "global") == 0 ? RTLD_NOW | RTLD_GLOBAL : RTLD_NOW);
    kit_tell("%s %s %s", object_of(dlsym(RTLD_DEFAULT, "cuInit")), object_of(dlsym(RTLD_NEXT, "cuInit")),
             object_of(dlsym(dlopen(NULL, RTLD_LAZY), "cuInit")));
    return 0;
}

static void every_way_to_ask_finds_the_wrapper_once_the_driver_is_there(void)
{
    struct kit *kit = kit_new(NULL);
    g_autofree char *out = kit_run(kit, "ways_to_ask", "global", NULL);
    g_assert_cmpstr(out, ==, "none none none\nlibvgpu.so libvgpu.so libvgpu.so\n");
    kit_free(kit);
}

static int ask_by_version(int argc, char **argv)
{
    (void)argc, (void)argv;
    void *library = dlopen("libcuda.so.1", RTLD_NOW), *libc = dlopen("libc.so.6", RTLD_NOW);
    const char *base =
        sizeof(void *) == 8 && G_BYTE_ORDER == G_LITTLE_ENDIAN && dlvsym(libc, "open", "GLIBC_2.2.5")
            ? "GLIBC_2.2.5"
            : "GLIBC_2.17";
    void *plain = dlsym(library, "cuMemAlloc_v2"), *versioned = dlvsym(library, "cuMemAlloc_v2", base);
    kit_tell("%d %d", dlvsym(libc, "open", base) == dlsym(libc, "open"),
             dlvsym(libc, "open", "NO_SUCH") == NULL);
    kit_tell("%d", versioned == NULL || versioned == plain);
    return 0;
}

static void asking_by_version_is_no_way_round(void)
{
    struct kit *kit = kit_new(NULL);
    g_autofree char *out = kit_run(kit, "ask_by_version", NULL);
    g_assert_cmpstr(out, ==, "1 1\n1\n");
    kit_free(kit);
}

static int other_namespace(int argc, char **argv)
{
    (void)argc;
    void *own = dlmopen(LM_ID_NEWLM, argv[0], RTLD_NOW);
    if (!own) {
        fprintf(stderr, "%s\n", dlerror());
        return 1;
    }
    int (*chain)(char *) = (int (*)(char *))dlsym(own, "chain");
    char path[8] = "";
    kit_tell("%d %s", chain ? chain(path) : -1, path);
    return 0;
}

static void a_namespace_of_its_own_works(void)
{
    struct kit *kit = kit_new(NULL);
    g_autofree char *a = built("tests/preload/libchain_a.so");
    g_autofree char *out = kit_run(kit, "other_namespace", a, NULL);
    g_assert_cmpstr(out, ==, "1 a\n");
    kit_free(kit);
}

/* A second driver: its contexts are its own, and so are its entries. */
static int other_driver(int argc, char **argv)
{
    (void)argc, (void)argv;
    void *first = dlopen("libcuda.so.1", RTLD_NOW), *second = dlmopen(LM_ID_NEWLM, "libcuda.so.1", RTLD_NOW);
    if (!first || !second)
        return 1;
    kit_tell("%s %s", object_of(dlsym(first, "cuMemGetInfo_v2")),
             object_of(dlsym(second, "cuMemGetInfo_v2")));
    return 0;
}

static void a_driver_in_a_namespace_of_its_own_keeps_its_entries(void)
{
    struct kit *kit = kit_new(NULL);
    g_autofree char *out = kit_run(kit, "other_driver", NULL);
    g_assert_cmpstr(out, ==, "libvgpu.so libcuda.so.1\n");
    kit_free(kit);
}

/* What a library that interposes the driver, too, finds behind itself. */
static int next_of_driver(int argc, char **argv)
{
    (void)argc, (void)argv;
    void *(*next)(const char *) = (void *(*)(const char *))dlsym(RTLD_DEFAULT, "chain_next");
    bool early = next && next("cuMemGetInfo_v2");
    if (!next || !dlopen("libcuda.so.1", RTLD_NOW | RTLD_GLOBAL))
        return 1;
    kit_tell("%d %s", early, object_of(next("cuMemGetInfo_v2")));
    return 0;
}

static void an_interposer_on_either_side_does_not_get_past_the_wrapper(void)
{
    g_autofree char *library = built("libvgpu.so"), *a = built("tests/preload/libchain_a.so");
    for (int behind = 0; behind < 2; behind++) {
        struct kit *kit = kit_new(NULL);
        kit_env(kit, "LD_PRELOAD", "%s:%s", behind ? library : a, behind ? a : library);
        g_autofree char *out = kit_run(kit, "next_of_driver", NULL);
        g_assert_cmpstr(out, ==, "0 libvgpu.so\n"); /* nothing before the driver is there */
        kit_free(kit);
    }
}

/* ---- the driver is missing, or old ---- */

/* In the environment of the programs under test, not in the test's own. */
static int opens_driver(int argc, char **argv)
{
    (void)argc, (void)argv;
    kit_tell("%s",
             dlopen("libcuda.so.1", RTLD_LAZY) || dlopen("libnvidia-ml.so.1", RTLD_LAZY) ? "yes" : "no");
    return 0;
}

static void missing_driver_answers_as_a_machine_without_a_card(void)
{
    struct kit *kit = kit_new(NULL);
    g_autofree char *program = built("tests/preload/direct");
    kit_env(kit, "LD_LIBRARY_PATH", "%s", g_getenv("HAMI_BUILD"));
    kit_no_preload(kit);
    g_autofree char *has_driver = kit_run(kit, "opens_driver", NULL);
    if (strcmp(has_driver, "yes\n") == 0) {
        g_test_skip("this machine has a driver of its own");
        kit_free(kit);
        return;
    }
    const char *const argv[] = {program, NULL};
    g_autofree char *out = output_of(kit, argv);
    g_assert_cmpstr(out, ==,
                    "0|cuInit 100\ncuMemAlloc_v2 3\ncuMemGetInfo_v2 3\ncuCtxCreate_v4 3\nnvmlInit_v2 12\n"
                    "nvmlDeviceGetComputeRunningProcesses_v3 12\noutputs 1 errno 46\n|");
    kit_free(kit);
}

static void symbol_that_the_driver_lacks_is_not_invented(void)
{
    struct kit *kit = kit_new(NULL);
    g_autofree char *driver = built("tests/preload/libold_driver.so"), *link = kit_path(kit, "libcuda.so.1");
    g_assert_cmpint(symlink(driver, link), ==, 0);
    kit_env(kit, "LD_LIBRARY_PATH", "%s:%s", kit_dir(kit), g_getenv("HAMI_BUILD"));
    g_autofree char *out = kit_run(kit, "object_of_names", "cuCtxCreate_v4", "cuMemAllocAsync",
                                   "cuGetProcAddress_v2", "cuMemAlloc_v2", NULL);
    g_assert_cmpstr(out, ==, "none\nnone\nnone\nlibvgpu.so\n");
    g_autofree char *program = built("tests/preload/direct");
    const char *const argv[] = {program, NULL};
    g_autofree char *direct = output_of(kit, argv);
    g_assert_nonnull(strstr(direct, "cuInit 0\n"));
    g_assert_nonnull(strstr(direct, "cuCtxCreate_v4 500\n"));
    kit_free(kit);
}

/* ---- cuGetProcAddress ---- */

struct row {
    const char *symbol, *base;
    int since;
    bool wrapped;
};

#define PASS 0
#define INIT 1
#define LOOKUP 1
#define ALLOC 1
#define FREE 1
#define REF 1
#define QUERY 1
#define LAUNCH 1
#define COPY 1
#define CAPTURE 1
#define GRAPH 1
#define SYNC 1
#define CONTEXT 1
#define CHECKPOINT 1
static const struct row rows[] = {
#define CUDA(symbol, base, since, stream, class, types) {#symbol, #base, since, class},
#include "cuda.def"
#undef CUDA
};

static bool is_wrapped(const char *symbol)
{
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++)
        if (strcmp(rows[i].symbol, symbol) == 0)
            return rows[i].wrapped;
    return false;
}

/* Which ABI of a base this is: several entries may be one function. */
static const char *abi_of(const char *base, void *address)
{
    static void *library;
    if (!library)
        library = dlopen("libcuda.so.1", RTLD_NOW);
    for (gsize i = 0; address && i < G_N_ELEMENTS(rows); i++)
        if (strcmp(rows[i].base, base) == 0 && dlsym(library, rows[i].symbol) == address)
            return rows[i].symbol;
    return "-";
}

/* Asks for every base at every version at which anything changes, and one
 * before and after, with every flag, by both interfaces. A line for each answer:
 * what was asked, result, status, name and object of the pointer. */
static int ask_for_everything(int argc, char **argv)
{
    static const int extra[] = {0, 1, 11030, 12000, 12090, 13000, 13010, 99000};
    const struct real_cuda *cu = kit_cuda();
    (void)argc, (void)argv;
    kit_context(0);
    for (gsize r = 0; r < G_N_ELEMENTS(rows) + 2; r++) {
        const char *base = r < G_N_ELEMENTS(rows) ? rows[r].base : r == G_N_ELEMENTS(rows) ? "" : "cuNothing";
        for (int v = -1; v < 2 + (int)G_N_ELEMENTS(extra); v++) {
            int version = v < 2 ? (r < G_N_ELEMENTS(rows) ? rows[r].since : 12000) + v : extra[v - 2];
            for (cuuint64_t flags = 0; flags < 4; flags++) {
                void *f1 = NULL, *f2 = NULL;
                CUdriverProcAddressQueryResult status = (CUdriverProcAddressQueryResult)77;
                CUresult r1 = cu->cuGetProcAddress(base, &f1, version, flags);
                CUresult r2 = cu->cuGetProcAddress_v2(base, &f2, version, flags, &status);
                printf("%s %d %d: %d %d %d %d %s %s\n", base, version, (int)flags, r1, r2, status, f1 == f2,
                       abi_of(base, f2), f2 ? object_of(f2) : "none");
            }
        }
    }
    void *f = NULL;
    CUresult no_status = cu->cuGetProcAddress_v2("cuMemAlloc", &f, 12000, 0, NULL);
    printf("null %d %d %d\n", no_status, cu->cuGetProcAddress_v2(NULL, &f, 12000, 0, NULL),
           cu->cuGetProcAddress_v2("cuMemAlloc", NULL, 12000, 0, NULL));
    return 0;
}

/* The wrapper of exactly the ABI that the bare driver would have handed out. */
static void compare_every_answer(const char *profile)
{
    struct kit *bare = kit_new(profile), *kit = kit_new(profile);
    kit_no_preload(bare);
    g_autofree char *native = kit_run(bare, "ask_for_everything", NULL),
                    *seen = kit_run(kit, "ask_for_everything", NULL);
    g_auto(GStrv) a = g_strsplit(native, "\n", -1);
    g_auto(GStrv) b = g_strsplit(seen, "\n", -1);
    g_assert_cmpuint(g_strv_length(a), ==, g_strv_length(b));
    unsigned wrapped = 0;
    for (guint i = 0; a[i] && *a[i]; i++) {
        char *last = strrchr(a[i], ' ');
        g_autofree char *question = g_strndup(a[i], (gsize)(last - a[i]));
        const char *name = strrchr(question, ' ') ? strrchr(question, ' ') + 1 : "";
        bool hooked = strcmp(last, " libcuda.so.1") == 0 && is_wrapped(name);
        g_autofree char *expected = hooked ? g_strconcat(question, " libvgpu.so", NULL) : g_strdup(a[i]);
        g_assert_cmpstr(b[i], ==, expected);
        wrapped += hooked;
    }
    g_test_message("%u answers, %u of them wrappers", g_strv_length(a), wrapped);
    g_assert_cmpuint(wrapped, >, 100);
    kit_free(bare);
    kit_free(kit);
}

static void every_answer_of_get_proc_address_keeps_its_abi(void)
{
    compare_every_answer("8xh200");
}

static void an_old_drivers_answers_keep_their_abi(void)
{
    compare_every_answer("driver: 535.104.05\ncuda: 12.2\nmissing: [cuMemAllocAsync, cuCtxCreate_v3]\n"
                         "devices:\n  - name: Tesla T4\n    memory: 15GiB\n");
}

/* ---- company ---- */

static int init_and_look_up(int argc, char **argv)
{
    (void)argc, (void)argv;
    int n = 0;
    for (int i = 0; i < 1000; i++)
        free(malloc((size_t)i));
    if (kit_cuda()->cuInit(0) != CUDA_SUCCESS || kit_cuda()->cuInit(0) != CUDA_SUCCESS)
        return 1;
    return kit_cuda()->cuDeviceGetCount(&n) != CUDA_SUCCESS || n == 0;
}

static void init_attaches_and_stays_silent(void)
{
    struct kit *kit = kit_new(NULL);
    g_free(kit_run(kit, "init_and_look_up", NULL));
    g_assert_true(g_file_test(kit_region(kit), G_FILE_TEST_EXISTS));
    kit_free(kit);
}

static void other_allocators_work_on_either_side(gconstpointer data)
{
    const char *allocator = data;
    g_autofree char *library = built("libvgpu.so");
    for (int first = 0; first < 2; first++) {
        struct kit *kit = kit_new(NULL);
        kit_env(kit, "LD_PRELOAD", "%s:%s", first ? allocator : library, first ? library : allocator);
        struct kit_process *p = kit_start(kit, "init_and_look_up", NULL);
        g_autofree char *err = NULL;
        g_assert_cmpint(kit_finish(p, NULL, &err), ==, 0);
        if (strstr(err, "cannot be preloaded"))
            g_test_skip("not installed");
        else
            g_assert_cmpstr(err, ==, "");
        kit_free(kit);
    }
}

static void run_program(const char *name, const char *expected)
{
    struct kit *kit = kit_new(NULL);
    g_autofree char *program = built(name);
    const char *const argv[] = {program, NULL};
    g_autofree char *out = output_of(kit, argv);
    g_assert_cmpstr(out, ==, expected);
    kit_free(kit);
}

static void common_global_names_stay_the_programs(void)
{
    run_program("tests/preload/globals", "0|21\n|");
}

static void sanitized_programs_work(void)
{
    static const char *const sanitizers[] = {"asan", "tsan", "ubsan"};
    unsigned run = 0;
    for (gsize i = 0; i < G_N_ELEMENTS(sanitizers); i++) {
        g_autofree char *name = g_strconcat("tests/preload/globals_", sanitizers[i], NULL);
        g_autofree char *program = built(name);
        if (!g_file_test(program, G_FILE_TEST_EXISTS)) {
            g_test_message("%s: the compiler has none, left out", sanitizers[i]);
            continue;
        }
        run_program(name, "0|21\n|");
        run++;
    }
    if (run == 0)
        g_test_skip("the compiler has no sanitizer");
}

/* A sanitizer that is a library of its own insists on being the first: it is preloaded before us, which also
 * /etc/ld.so.preload allows, or told not to look. */
static void sanitized_programs_with_a_shared_runtime_work(void)
{
    g_autofree char *program = built("tests/preload/globals_asan_shared"), *library = built("libvgpu.so");
    g_autofree char *command = g_strdup_printf("ldd %s", program), *needed = NULL;
    g_auto(GStrv) words = NULL;
    const char *runtime = NULL;
    if (g_spawn_command_line_sync(command, &needed, NULL, NULL, NULL))
        words = g_strsplit_set(needed, " \t\n", -1);
    for (char **w = words; w && *w; w++)
        if (g_path_is_absolute(*w) && strstr(*w, "/libasan.so"))
            runtime = *w;
    if (!runtime) {
        g_test_skip("there is no shared address sanitizer");
        return;
    }
    for (int first = 0; first < 2; first++) {
        struct kit *kit = kit_new(NULL);
        const char *const argv[] = {program, NULL};
        if (first)
            kit_env(kit, "LD_PRELOAD", "%s:%s", runtime, library);
        kit_env(kit, "ASAN_OPTIONS", "detect_leaks=0%s", first ? "" : ":verify_asan_link_order=0");
        g_autofree char *out = output_of(kit, argv);
        g_assert_cmpstr(out, ==, "0|21\n|");
        g_assert_true(g_file_test(kit_region(kit), G_FILE_TEST_EXISTS)); /* we were there */
        kit_free(kit);
    }
}

static const struct kit_body bodies[] = {
    {"look_up_foreign_names", look_up_foreign_names},
    {"walk_chain", walk_chain},
    {"call_private", call_private},
    {"object_of_names", object_of_names},
    {"look_past_redirect", look_past_redirect},
    {"ways_to_ask", ways_to_ask},
    {"ask_by_version", ask_by_version},
    {"other_namespace", other_namespace},
    {"other_driver", other_driver},
    {"next_of_driver", next_of_driver},
    {"ask_for_everything", ask_for_everything},
    {"init_and_look_up", init_and_look_up},
    {"opens_driver", opens_driver},
    {0},
};

int main(int argc, char **argv)
{
    static const char *const allocators[] = {"libjemalloc.so.2", "libtcmalloc_minimal.so.4",
                                             "libmimalloc.so.2"};
    if (kit_is_child(argc, argv))
        return kit_child(argc, argv, bodies);
    g_test_init(&argc, &argv, NULL);
#define TEST(name) g_test_add_func("/loader/" #name, name)
    TEST(other_programs_do_not_notice);
    TEST(exports_are_the_wrapped_names_and_nothing_else);
    TEST(foreign_names_initialise_nothing);
    TEST(next_means_next_after_the_caller);
    TEST(private_function_of_the_same_name_stays_private);
    TEST(handle_lookup_gives_wrappers_for_wrapped_names_only);
    TEST(a_redirect_to_another_library_is_not_followed);
    TEST(every_way_to_ask_finds_the_wrapper_once_the_driver_is_there);
    TEST(asking_by_version_is_no_way_round);
    TEST(a_namespace_of_its_own_works);
    TEST(a_driver_in_a_namespace_of_its_own_keeps_its_entries);
    TEST(an_interposer_on_either_side_does_not_get_past_the_wrapper);
    TEST(missing_driver_answers_as_a_machine_without_a_card);
    TEST(symbol_that_the_driver_lacks_is_not_invented);
    TEST(every_answer_of_get_proc_address_keeps_its_abi);
    TEST(an_old_drivers_answers_keep_their_abi);
    TEST(init_attaches_and_stays_silent);
    for (gsize i = 0; i < G_N_ELEMENTS(allocators); i++) {
        g_autofree char *path =
            g_strconcat("/loader/other_allocators_work_on_either_side/", allocators[i], NULL);
        g_test_add_data_func(path, allocators[i], other_allocators_work_on_either_side);
    }
    TEST(common_global_names_stay_the_programs);
    TEST(sanitized_programs_work);
    TEST(sanitized_programs_with_a_shared_runtime_work);
    return g_test_run();
}
