/* SPDX-License-Identifier: Apache-2.0
 *
 * Every wrapped entry, of every version: the driver gets the words that the
 * program gave, once, and the program the driver's answer. The driver is a stub
 * that remembers (lib/echo_driver.c). Parameter types are those of
 * contract/cuda.def, which tests/abi compares with NVIDIA's headers.
 *
 * Left out: what stands from a structure passed by value on, which every ABI passes its own way (the
 * simulated driver's tests of IPC look at it); where an allocation's outputs go, entries that answer or look
 * up themselves (classes INIT, LOOKUP and QUERY), arrays of several elements, and what happens after success,
 * which the simulated driver's tests look at.
 */
#include <dlfcn.h>
#include <string.h>
#include <unistd.h>

#include "support.h"

enum { WORDS = 14, PAGE = 8192, OWN_ANSWER = 714 };

/* What a parameter is, so that the library may read what it points to. */
enum kind { NOTHING, BYTE, SHORT, INT, SIZE, ADDRESS, POINTER, VALUE };
#define KIND(type)                                                                                           \
    _Generic((type *)0,                                                                                      \
             void *: NOTHING,                                                                                \
             unsigned char *: BYTE,                                                                          \
             unsigned short *: SHORT,                                                                        \
             int *: INT,                                                                                     \
             unsigned *: INT,                                                                                \
             size_t *: SIZE,                                                                                 \
             unsigned long long *: ADDRESS,                                                                  \
             CUipcMemHandle *: VALUE,                                                                        \
             default: POINTER),

/* One after the other; nothing that is wrapped has more than WORDS, a few that are not have. */
#define EACH_1(t, ...) KIND(t) __VA_OPT__(EACH_2(__VA_ARGS__))
#define EACH_2(t, ...) KIND(t) __VA_OPT__(EACH_3(__VA_ARGS__))
#define EACH_3(t, ...) KIND(t) __VA_OPT__(EACH_4(__VA_ARGS__))
#define EACH_4(t, ...) KIND(t) __VA_OPT__(EACH_5(__VA_ARGS__))
#define EACH_5(t, ...) KIND(t) __VA_OPT__(EACH_6(__VA_ARGS__))
#define EACH_6(t, ...) KIND(t) __VA_OPT__(EACH_7(__VA_ARGS__))
#define EACH_7(t, ...) KIND(t) __VA_OPT__(EACH_8(__VA_ARGS__))
#define EACH_8(t, ...) KIND(t) __VA_OPT__(EACH_9(__VA_ARGS__))
#define EACH_9(t, ...) KIND(t) __VA_OPT__(EACH_10(__VA_ARGS__))
#define EACH_10(t, ...) KIND(t) __VA_OPT__(EACH_11(__VA_ARGS__))
#define EACH_11(t, ...) KIND(t) __VA_OPT__(EACH_12(__VA_ARGS__))
#define EACH_12(t, ...) KIND(t) __VA_OPT__(EACH_13(__VA_ARGS__))
#define EACH_13(t, ...) KIND(t) __VA_OPT__(EACH_14(__VA_ARGS__))
#define EACH_14(t, ...) KIND(t)

struct row {
    const char *symbol;
    const char *class;
    unsigned char kinds[WORDS];
};
static const struct row rows[] = {
#define CUDA(symbol, base, since, stream, class, types) {#symbol, #class, {EACH_1 types}},
#include "cuda.def"
#undef CUDA
};

static const char *const left_out[] = {"PASS", "INIT", "LOOKUP", "QUERY", NULL};

/* ---- in the program ---- */

struct call {
    unsigned times;
    long words[WORDS];
};
typedef int entry_function(long, long, long, long, long, long, long, long, long, long, long, long, long,
                           long);

static char pages[WORDS][PAGE]; /* zero: empty structures, empty lists */

static long word_of(enum kind kind, long at)
{
    switch (kind) {
    case NOTHING:
        return 0;
    case SIZE:
        return 32 + at;
    case ADDRESS:
        return 0x700000000000 + at * 0x10000;
    case POINTER:
    case VALUE: /* where the ABI passes it by reference */
        return (long)pages[at];
    default:
        return 2 + at;
    }
}

static long mask_of(enum kind kind)
{
    static const long masks[] = {[NOTHING] = 0, [BYTE] = 0xff,  [SHORT] = 0xffff, [INT] = 0xffffffff,
                                 [SIZE] = -1,   [ADDRESS] = -1, [POINTER] = -1};
    return masks[kind];
}

/* What an allocation gives goes to a place of the library's own first: the program must not see it when it is
 * refused in the end. A pitch is a second such output. */
static bool is_kept_back(const struct row *row, int at)
{
    return strcmp(row->class, "ALLOC") == 0 &&
           (at == 0 || (at == 1 && g_str_has_prefix(row->symbol, "cuMemAllocPitch")));
}

static bool is_untouched(void)
{
    static const char zero[sizeof pages];

    return memcmp(pages, zero, sizeof pages) == 0;
}

/* A line for each entry that is not handed on as it should be, and the number of those tried. */
static int call_every_entry(int argc, char **argv)
{
    void *driver = dlopen("libcuda.so.1", RTLD_NOW);
    void (*arm)(int) = (void (*)(int))dlsym(driver, "echo_arm");
    const struct call *(*call_of)(int) = (const struct call *(*)(int))dlsym(driver, "echo_call");
    unsigned tried = 0;

    (void)argc, (void)argv;
    if (kit_cuda()->cuInit(0) != CUDA_SUCCESS)
        return 1;
    for (int r = 0; r < (int)G_N_ELEMENTS(rows); r++) {
        const struct row *row = &rows[r];
        if (g_strv_contains(left_out, row->class))
            continue;
        entry_function *f = (entry_function *)dlsym(driver, row->symbol);
        long w[WORDS];
        for (int i = 0; i < WORDS; i++)
            w[i] = word_of(row->kinds[i], i);
        memset(pages, 0, sizeof pages);
        arm(r);
        int answer =
            f(w[0], w[1], w[2], w[3], w[4], w[5], w[6], w[7], w[8], w[9], w[10], w[11], w[12], w[13]);
        const struct call *call = call_of(r);
        if (!is_untouched())
            kit_tell("%s: wrote to the program's memory", row->symbol);
        if (call->times != 1 || answer != OWN_ANSWER)
            kit_tell("%s: %u calls, answer %d", row->symbol, call->times, answer);
        for (int i = 0; i < WORDS && call->times; i++)
            if (!is_kept_back(row, i) && (call->words[i] ^ w[i]) & mask_of(row->kinds[i]))
                kit_tell("%s: word %d is %lx and not %lx", row->symbol, i, call->words[i], w[i]);
        tried++;
    }
    kit_tell("%u", tried);
    return 0;
}

/* ---- tests ---- */

static void every_entry_is_handed_on(const char *memory, const char *share)
{
    struct kit *kit = kit_new(NULL);
    g_autofree char *link = kit_path(kit, "libcuda.so.1");
    g_autofree char *driver =
        g_build_filename(g_getenv("HAMI_BUILD"), "tests/preload/libecho_driver.so", NULL);
    unsigned wrapped = 0;

    for (gsize r = 0; r < G_N_ELEMENTS(rows); r++)
        wrapped += !g_strv_contains(left_out, rows[r].class);
    g_assert_cmpint(symlink(driver, link), ==, 0);
    kit_env(kit, "LD_LIBRARY_PATH", "%s:%s", kit_dir(kit), g_getenv("HAMI_BUILD"));
    if (memory)
        kit_env(kit, "CUDA_DEVICE_MEMORY_LIMIT", "%s", memory);
    if (share)
        kit_env(kit, "CUDA_DEVICE_SM_LIMIT", "%s", share);
    g_autofree char *out = kit_run(kit, "call_every_entry", NULL);
    g_autofree char *expected = g_strdup_printf("%u\n", wrapped);
    g_assert_cmpstr(out, ==, expected);
    kit_free(kit);
}

static void arguments_and_answers_are_handed_on_without_limits(void)
{
    every_entry_is_handed_on(NULL, NULL);
}

static void arguments_and_answers_are_handed_on_under_limits(void)
{
    every_entry_is_handed_on("512m", "30");
}

static const struct kit_body bodies[] = {{"call_every_entry", call_every_entry}, {0}};

int main(int argc, char **argv)
{
    if (kit_is_child(argc, argv))
        return kit_child(argc, argv, bodies);
    g_test_init(&argc, &argv, NULL);
#define TEST(name) g_test_add_func("/echo/" #name, name)
    TEST(arguments_and_answers_are_handed_on_without_limits);
    TEST(arguments_and_answers_are_handed_on_under_limits);
    return g_test_run();
}
