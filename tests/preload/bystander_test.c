/* SPDX-License-Identifier: Apache-2.0
 *
 * What preloading costs a program that never calls CUDA: no system call of
 * ours, and no more instructions than binding our names takes. And that one of
 * another C library, which inherits LD_PRELOAD, still starts.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support.h"

#if defined(__aarch64__)
#define MACHINE "aarch64"
#else
#define MACHINE "x86_64"
#endif

static char *built(const char *name)
{
    g_assert_nonnull(g_getenv("HAMI_BUILD"));
    return g_build_filename(g_getenv("HAMI_BUILD"), name, NULL);
}

/* Some of each: the C library alone, shells, interpreters, a program without a
 * dynamic linker. */
static const struct program {
    const char *argv[4];
    bool is_preloaded;
} programs[] = {
    {{"/bin/true"}, true},
    {{"/bin/sh", "-c", ":"}, true},
    {{"/bin/bash", "-c", ":"}, true},
    {{"/usr/bin/perl", "-e", "1"}, true},
    {{"/usr/bin/python3", "-BS", "-c", "pass"}, true}, /* B: writes no compiled modules */
    {{"/sbin/ldconfig", "-V"}, false},                 /* static, in every Debian */
};

static bool exists(const struct program *p)
{
    if (access(p->argv[0], X_OK) == 0)
        return true;
    g_test_message("%s: not installed, left out", p->argv[0]);
    return false;
}

static int run(struct kit *kit, const char *const tool[], const struct program *p, char **ret_err)
{
    const char *argv[16] = {0};
    gsize n = 0;
    for (; tool[n]; n++)
        argv[n] = tool[n];
    for (gsize i = 0; i < G_N_ELEMENTS(p->argv) && p->argv[i]; i++)
        argv[n++] = p->argv[i];
    return kit_finish(kit_start_program(kit, argv), NULL, ret_err);
}

/* ---- system calls ---- */

/* System calls that loading any library takes. */
static bool is_of_loading(const char *call)
{
    static const char *const calls[] = {"mmap(",   "mprotect(",   "openat(", "read(",   "pread64(",
                                        "fstat(",  "newfstatat(", "close(",  "munmap(", "brk(",
                                        "execve(", "access(",     "+++"};
    for (gsize i = 0; i < G_N_ELEMENTS(calls); i++)
        if (g_str_has_prefix(call, calls[i]))
            return true;
    return false;
}

/* The calls of a traced program in two sums: those of loading, and the rest. */
static void trace(struct kit *kit, const char *library, const struct program *p, unsigned *ret_loading,
                  unsigned *ret_other)
{
    g_autofree char *log = kit_path(kit, "strace"), *content = NULL;
    g_autofree char *preload = g_strconcat("LD_PRELOAD=", library, NULL);
    const char *const tool[] = {"strace", "-E", preload, "-o", log, NULL};
    g_assert_cmpint(run(kit, tool, p, NULL), ==, 0);
    g_assert_true(g_file_get_contents(log, &content, NULL, NULL));
    g_auto(GStrv) lines = g_strsplit(content, "\n", -1);
    *ret_loading = *ret_other = 0;
    for (char **l = lines; *l && **l; l++)
        (is_of_loading(*l) ? ret_loading : ret_other)[0]++;
}

static void a_process_without_cuda_makes_no_system_call_of_ours(void)
{
    g_autofree char *strace = g_find_program_in_path("strace"), *library = built("libvgpu.so"),
                    *empty = built("tests/preload/libchain_a.so");
    if (!strace) {
        g_test_skip("strace is not installed");
        return;
    }
    struct kit *kit = kit_new(NULL);
    kit_no_preload(kit);
    for (gsize i = 0; i < G_N_ELEMENTS(programs); i++) {
        const struct program *p = &programs[i];
        unsigned loading, other, loading_empty, other_empty;
        if (!exists(p))
            continue;
        trace(kit, library, p, &loading, &other);
        trace(kit, empty, p, &loading_empty, &other_empty);
        g_test_message("%s: loading %u calls, an ordinary small library %u", p->argv[0], loading,
                       loading_empty);
        g_assert_cmpuint(other, ==, other_empty);
        g_assert_cmpuint(loading, <=, loading_empty + p->is_preloaded);
    }
    kit_free(kit);
}

/* ---- instructions ---- */

/* The whole program under callgrind; 0 where that runs no such program. */
static uint64_t instructions(struct kit *kit, const char *preload, const struct program *p)
{
    g_autofree char *out = kit_path(kit, "callgrind"), *content = NULL;
    g_autofree char *option = g_strconcat("--callgrind-out-file=", out, NULL);
    const char *const tool[] = {"valgrind", "--tool=callgrind", "-q", option, NULL};
    kit_env(kit, "LD_PRELOAD", preload ? "%s" : NULL, preload);
    unlink(out);
    int status = run(kit, tool, p, NULL);
    kit_no_preload(kit);
    if (status != 0 || !g_file_get_contents(out, &content, NULL, NULL))
        return 0;
    const char *line = strstr(content, "\ntotals: ");
    return line ? g_ascii_strtoull(line + strlen("\ntotals: "), NULL, 10) : 0;
}

/* 100 us at some 2000 instructions each; nearly all of them are the dynamic
 * linker's, which binds what the library imports and relocates its tables. */
static void a_process_without_cuda_runs_few_more_instructions(void)
{
    g_autofree char *valgrind = g_find_program_in_path("valgrind"), *library = built("libvgpu.so");
    if (!valgrind) {
        g_test_skip("valgrind is not installed: instructions cannot be counted");
        return;
    }
    struct kit *kit = kit_new(NULL);
    kit_env(kit, "PYTHONHASHSEED", "0");
    kit_env(kit, "PERL_HASH_SEED", "0");
    for (gsize i = 0; i < G_N_ELEMENTS(programs); i++) {
        uint64_t without = exists(&programs[i]) ? instructions(kit, NULL, &programs[i]) : 0;
        if (!without)
            continue;
        uint64_t with = instructions(kit, library, &programs[i]);
        g_test_message("%s: %" G_GINT64_FORMAT " instructions more", programs[i].argv[0],
                       (gint64)with - (gint64)without);
        g_assert_cmpint((gint64)with - (gint64)without, <=, 200000);
    }
    kit_free(kit);
}

/* ---- another C library ---- */

/* Its loader runs programs of ours as well: it takes itself for their C library. */
static void a_program_of_musl_starts_and_keeps_its_loader(void)
{
    g_autofree char *guest = built("tests/preload/guest");
    const struct program p = {{"/lib/ld-musl-" MACHINE ".so.1"}, true};
    const char *const argv[] = {p.argv[0], guest, NULL};
    if (!exists(&p)) {
        g_test_skip("musl is not installed");
        return;
    }
    struct kit *kit = kit_new(NULL);
    for (int preloaded = 1; preloaded >= 0; preloaded--) {
        g_autofree char *out = NULL, *err = NULL;
        if (!preloaded)
            kit_no_preload(kit);
        int status = kit_finish(kit_start_program(kit, argv), &out, &err);
        g_assert_cmpstr(err, ==, "");
        g_assert_cmpint(status, ==, 0);
        g_assert_cmpstr(out, ==,
                        "self 1, a function 1, the next one 1\na missing library 0, says why 1\nchild 7\n");
    }
    kit_free(kit);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define TEST(name) g_test_add_func("/bystander/" #name, name)
    TEST(a_process_without_cuda_makes_no_system_call_of_ours);
    TEST(a_process_without_cuda_runs_few_more_instructions);
    TEST(a_program_of_musl_starts_and_keeps_its_loader);
    return g_test_run();
}
