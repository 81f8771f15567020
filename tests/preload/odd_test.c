/* SPDX-License-Identifier: Apache-2.0
 *
 * Odd arguments and odd programs: what the driver answers bare it answers
 * inside a slice, and nothing is charged for it.
 */
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "compute_kernel.h"
#include "support.h"

#define MIB (UINT64_C(1) << 20)

/* ---- bodies ---- */

static size_t left_bytes(void)
{
    size_t left = 0, total = 0;

    kit_cuda()->cuMemGetInfo_v2(&left, &total);
    return left;
}

/* The answer, and whether anything was taken for good. */
static int odd_sizes(int argc, char **argv)
{
    static const unsigned elements[] = {0, 1, 3, 4, 8, 16, 32};
    static const size_t widths[] = {0, 1, 513}, sizes[] = {0, SIZE_MAX, SIZE_MAX - 511, (size_t)1 << 63};
    const struct real_cuda *cu = kit_cuda();
    CUdeviceptr p;
    size_t pitch;

    (void)argc, (void)argv;
    kit_context(0);
    size_t before = left_bytes();
    for (gsize e = 0; e < G_N_ELEMENTS(elements); e++)
        for (gsize w = 0; w < G_N_ELEMENTS(widths); w++) {
            CUresult r = cu->cuMemAllocPitch_v2(&p, &pitch, widths[w], 3, elements[e]);
            kit_tell("pitch %zu %u: %d %zu", widths[w], elements[e], r, r ? 0 : pitch);
            if (r == CUDA_SUCCESS)
                cu->cuMemFree_v2(p);
        }
    for (gsize s = 0; s < G_N_ELEMENTS(sizes); s++) {
        kit_tell("size %zx: %d %d", sizes[s], cu->cuMemAlloc_v2(&p, sizes[s]),
                 cu->cuMemAllocManaged(&p, sizes[s], CU_MEM_ATTACH_GLOBAL));
    }
    kit_tell("left %d", left_bytes() == before);
    return 0;
}

/* Ordered memory freed at once, plain memory freed in order, and both twice. */
static int odd_frees(int argc, char **argv)
{
    const struct real_cuda *cu = kit_cuda();
    CUdeviceptr p, q;

    (void)argc, (void)argv;
    kit_context(0);
    size_t before = left_bytes();
    CUresult r[6] = {cu->cuMemAllocAsync(&p, 64 * MIB, NULL), cu->cuMemAlloc_v2(&q, 64 * MIB),
                     cu->cuMemFree_v2(p), cu->cuMemFreeAsync(q, NULL)};
    cu->cuCtxSynchronize();
    if (r[3] != CUDA_SUCCESS)
        cu->cuMemFree_v2(q);
    r[4] = cu->cuMemFree_v2(p);
    r[5] = cu->cuMemFree_v2(0);
    kit_tell("%d %d %d %d %d %d left %d", r[0], r[1], r[2], r[3], r[4] != 0, r[5], left_bytes() == before);
    return 0;
}

/* What a callback of a stream lets go of while others wait for it. */
struct burden {
    CUcontext ctx;
    CUstream other;
    CUdeviceptr plain, ordered;
    CUarray array;
    int calls;
    bool freed;
};

static void let_go(void *arg)
{
    const struct real_cuda *cu = kit_cuda();
    struct burden *b = arg;

    cu->cuCtxSetCurrent(b->ctx);
    b->freed = cu->cuMemFree_v2(b->plain) == CUDA_SUCCESS &&
               cu->cuMemFreeAsync(b->ordered, b->other) == CUDA_SUCCESS &&
               cu->cuArrayDestroy(b->array) == CUDA_SUCCESS;
    b->calls++;
}

static void let_go_after(CUstream stream, CUresult r, void *arg)
{
    (void)stream, (void)r;
    let_go(arg);
}

/* The thread waits in a different call each time, or takes memory meanwhile. */
static CUresult meanwhile(unsigned round, CUstream stream)
{
    const struct real_cuda *cu = kit_cuda();
    CUdeviceptr p = 0;

    switch (round % 4) {
    case 0:
        return cu->cuCtxSynchronize();
    case 1:
        return cu->cuStreamSynchronize(stream);
    case 2:
        cu->cuMemAllocAsync(&p, MIB, stream);
        return cu->cuMemFree_v2(p);
    default:
        cu->cuMemAlloc_v2(&p, MIB);
        return cu->cuMemFree_v2(p);
    }
}

static int callbacks(int argc, char **argv)
{
    const struct real_cuda *cu = kit_cuda();
    CUDA_ARRAY_DESCRIPTOR d = {1024, 1024, CU_AD_FORMAT_FLOAT, 1};
    CUcontext ctx = kit_context(0);
    CUstream stream, other;

    (void)argc, (void)argv;
    alarm(60); /* a deadlock ends here */
    cu->cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING);
    cu->cuStreamCreate(&other, CU_STREAM_NON_BLOCKING);
    size_t before = left_bytes();
    for (unsigned round = 0; round < 40; round++) {
        struct burden b = {.ctx = ctx, .other = other};
        cu->cuMemAlloc_v2(&b.plain, 4 * MIB);
        cu->cuMemAllocAsync(&b.ordered, 4 * MIB, stream);
        cu->cuArrayCreate_v2(&b.array, &d);
        CUresult r = round < 20 ? cu->cuLaunchHostFunc(stream, let_go, &b)
                                : cu->cuStreamAddCallback(stream, let_go_after, &b, 0);
        CUresult waited = meanwhile(round, stream);
        cu->cuCtxSynchronize();
        kit_tell("%d %d calls %d freed %d again %d %d left %d", r, waited, b.calls, b.freed,
                 cu->cuMemFree_v2(b.plain), cu->cuMemFree_v2(b.ordered), left_bytes() == before);
    }
    kit_tell("left %d", left_bytes() == before);
    return 0;
}

static int largest_grids(int argc, char **argv)
{
    const struct real_cuda *cu = kit_cuda();
    CUfunction f;

    (void)argc, (void)argv;
    kit_context(0);
    f = kernel_of("sim_1us");
    for (int i = 0; i < 20; i++)
        kit_tell("%d %d", cu->cuLaunchKernel(f, 65535, 65535, 65535, 1, 1, 1, 0, NULL, NULL, NULL),
                 cu->cuLaunchKernel(f, 2147483647, 65535, 65535, 1024, 1, 1, 0, NULL, NULL, NULL));
    kit_tell("%d", cu->cuCtxSynchronize());
    return 0;
}

/* ---- tests ---- */

/* A body says the same bare and inside a slice; the slice's last line is `last`. */
static void says_the_same(const char *body, const char *last)
{
    struct kit *kit = kit_new(NULL), *bare = kit_new(NULL);
    g_autofree char *native = NULL, *seen = NULL;

    kit_no_preload(bare);
    kit_env(kit, "CUDA_DEVICE_MEMORY_LIMIT", "2G");
    kit_env(kit, "CUDA_DEVICE_SM_LIMIT", "90");
    g_assert_cmpint(kit_finish(kit_start(bare, body, NULL), &native, NULL), ==, 0);
    g_assert_cmpint(kit_finish(kit_start(kit, body, NULL), &seen, NULL), ==, 0);
    g_assert_cmpstr(seen, ==, native);
    g_test_message("%s", seen);
    g_assert_true(g_str_has_suffix(seen, last));
    kit_free(bare);
    kit_free(kit);
}

static void odd_sizes_get_the_drivers_answer_and_cost_nothing(void)
{
    says_the_same("odd_sizes", "left 1\n");
}

static void frees_of_either_kind_give_back_what_was_charged(void)
{
    says_the_same("odd_frees", "left 1\n");
}

static void memory_may_be_freed_by_a_callback(void)
{
    says_the_same("callbacks", "0 0 calls 1 freed 1 again 1 1 left 1\nleft 1\n");
}

static void the_largest_grids_neither_wrap_nor_stick(void)
{
    says_the_same("largest_grids", "0\n");
}

static void a_program_with_llvm_openmp_works(void)
{
    static const char text[] = "#include <omp.h>\n#include <stdio.h>\n"
                               "int main(void) { int n = 0;\n#pragma omp parallel for reduction(+ : n)\n"
                               "for (int i = 0; i < 1000; i++) n += i;\nprintf(\"%d\\n\", n); return 0; }\n";
    struct kit *kit = kit_new(NULL);
    g_autofree char *source = kit_path(kit, "omp.c"), *program = kit_path(kit, "omp"), *out = NULL;
    g_autofree char *command = g_strdup_printf("clang -fopenmp=libomp -o %s %s", program, source);
    const char *const argv[] = {program, NULL};
    int status = 0;

    g_assert_true(g_file_set_contents(source, text, -1, NULL));
    if (!g_spawn_command_line_sync(command, NULL, NULL, &status, NULL) || status != 0) {
        g_test_skip("clang or LLVM's OpenMP library is not installed");
    } else {
        g_assert_cmpint(kit_finish(kit_start_program(kit, argv), &out, NULL), ==, 0);
        g_assert_cmpstr(out, ==, "499500\n");
    }
    kit_free(kit);
}

static const struct kit_body bodies[] = {{"odd_sizes", odd_sizes},
                                         {"odd_frees", odd_frees},
                                         {"callbacks", callbacks},
                                         {"largest_grids", largest_grids},
                                         {0}};

#define TEST(name) g_test_add_func("/odd/" #name, name)

int main(int argc, char **argv)
{
    if (kit_is_child(argc, argv))
        return kit_child(argc, argv, bodies);
    g_test_init(&argc, &argv, NULL);
    TEST(odd_sizes_get_the_drivers_answer_and_cost_nothing);
    TEST(frees_of_either_kind_give_back_what_was_charged);
    TEST(memory_may_be_freed_by_a_callback);
    TEST(the_largest_grids_neither_wrap_nor_stick);
    TEST(a_program_with_llvm_openmp_works);
    return g_test_run();
}
