/* SPDX-License-Identifier: Apache-2.0
 *
 * What the library may cost, counted in instructions under callgrind: exact,
 * and the same on every machine. The counts of two runs of different length
 * are subtracted, so that start and end cancel out; so is the bare driver's.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "support.h"

#define MIB (UINT64_C(1) << 20)
#define SHORT 500
#define LONG 2500

/* ---- bodies ---- */

static int pairs(int argc, char **argv)
{
    const struct real_cuda *cu = kit_cuda();
    CUdeviceptr p;

    (void)argc;
    kit_context(0);
    for (int i = atoi(argv[0]); i > 0; i--)
        if (cu->cuMemAlloc_v2(&p, 512) != CUDA_SUCCESS || cu->cuMemFree_v2(p) != CUDA_SUCCESS)
            return 1;
    return 0;
}

static int refusals(int argc, char **argv)
{
    const struct real_cuda *cu = kit_cuda();
    CUdeviceptr p;

    (void)argc;
    kit_context(0);
    if (cu->cuMemAlloc_v2(&p, 4 * MIB) != CUDA_SUCCESS)
        return 1;
    for (int i = atoi(argv[0]) + 100; i > 0; i--) /* the first ones search, and log a line */
        if (cu->cuMemAlloc_v2(&p, 1020 * MIB + 1) != CUDA_ERROR_OUT_OF_MEMORY)
            return 1;
    return 0;
}

static int queries(int argc, char **argv)
{
    size_t left, total;

    (void)argc;
    kit_context(0);
    for (int i = atoi(argv[0]); i > 0; i--)
        if (kit_cuda()->cuMemGetInfo_v2(&left, &total) != CUDA_SUCCESS)
            return 1;
    return 0;
}

/* ---- counting ---- */

static uint64_t total_of(const char *path)
{
    g_autofree char *text = NULL;
    const char *line;

    g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
    line = strstr(text, "\nsummary: ");
    if (!line)
        line = strstr(text, "\ntotals: ");
    g_assert_nonnull(line);
    return g_ascii_strtoull(strchr(line, ':') + 1, NULL, 10);
}

static uint64_t run_counted(struct kit *kit, const char *body, unsigned n)
{
    g_autofree char *valgrind = g_find_program_in_path("valgrind");
    g_autofree char *self = g_file_read_link("/proc/self/exe", NULL), *count = g_strdup_printf("%u", n);
    g_autofree char *path = kit_path(kit, "callgrind"),
                    *out = g_strdup_printf("--callgrind-out-file=%s", path);
    const char *argv[] = {valgrind, "--tool=callgrind", "-q", out, self, "--child", body, count, NULL};
    g_autofree char *err = NULL;
    int status = kit_finish(kit_start_program(kit, argv), NULL, &err);

    if (status != 0)
        g_test_message("%s", err);
    g_assert_cmpint(status, ==, 0);
    return total_of(path);
}

static double instructions(struct kit *kit, const char *body)
{
    return (double)(run_counted(kit, body, LONG) - run_counted(kit, body, SHORT)) / (LONG - SHORT);
}

struct gate {
    const char *body;
    bool against_driver;
    double most; /* instructions per call or pair that the library may add */
};

static void costs_no_more_than(gconstpointer data)
{
    const struct gate *gate = data;
    g_autofree char *valgrind = g_find_program_in_path("valgrind");
    g_autofree char *driver = NULL, *link = NULL;
    struct kit *kit;
    double with, without = 0;

    if (!valgrind) {
        g_test_skip("valgrind is not installed: instructions cannot be counted");
        return;
    }
    kit = kit_new(NULL);
    driver = g_build_filename(g_getenv("HAMI_BUILD"), "tests/preload/libnull_driver.so", NULL);
    link = kit_path(kit, "libcuda.so.1");
    g_assert_cmpint(symlink(driver, link), ==, 0);
    kit_env(kit, "LD_LIBRARY_PATH", "%s", kit_dir(kit));
    kit_env(kit, "CUDA_DEVICE_MEMORY_LIMIT", "1G");
    with = instructions(kit, gate->body);
    if (gate->against_driver) {
        kit_no_preload(kit);
        without = instructions(kit, gate->body);
    }
    g_test_message("%s: %.1f instructions added, at most %.0f allowed", gate->body, with - without,
                   gate->most);
    g_assert_cmpfloat(with - without, <=, gate->most);
    kit_free(kit);
}

static const struct gate gates[] = {
    {"pairs", true, 620},
    {"refusals", false, 380},
    {"queries", true, 150},
};

static const struct kit_body bodies[] = {{"pairs", pairs}, {"refusals", refusals}, {"queries", queries}, {0}};

int main(int argc, char **argv)
{
    if (kit_is_child(argc, argv))
        return kit_child(argc, argv, bodies);
    g_test_init(&argc, &argv, NULL);
    for (gsize i = 0; i < G_N_ELEMENTS(gates); i++) {
        g_autofree char *path =
            g_strdup_printf("/memory_cost/%s_cost_no_more_than_their_gate", gates[i].body);
        g_test_add_data_func(path, &gates[i], costs_no_more_than);
    }
    return g_test_run();
}
