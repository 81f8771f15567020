/* SPDX-License-Identifier: Apache-2.0
 *
 * See cost.h.
 */
#include "cost.h"

#include <limits.h>
#include <string.h>
#include <unistd.h>

#define SHORT 500
#define LONG 2500

static void beside(struct kit *kit, const char *built, const char *name)
{
    g_autofree char *library = g_build_filename(g_getenv("HAMI_BUILD"), built, NULL);
    g_autofree char *link = kit_path(kit, name);
    g_assert_cmpint(symlink(library, link), ==, 0);
}

struct kit *cost_kit_new(void)
{
    g_autofree char *valgrind = g_find_program_in_path("valgrind");
    if (!valgrind) {
        g_test_skip("valgrind is not installed: instructions cannot be counted");
        return NULL;
    }
    struct kit *kit = kit_new(NULL);
    beside(kit, "tests/preload/libnull_driver.so", "libcuda.so.1");
    beside(kit, "sim/libnvidia-ml.so.1", "libnvidia-ml.so.1");
    kit_env(kit, "LD_LIBRARY_PATH", "%s", kit_dir(kit));
    return kit;
}

static uint64_t total_of(const char *path)
{
    g_autofree char *text = NULL;
    g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
    const char *line = strstr(text, "\nsummary: ");
    if (!line)
        line = strstr(text, "\ntotals: ");
    g_assert_nonnull(line);
    return g_ascii_strtoull(strchr(line, ':') + 1, NULL, 10);
}

/* The object that a line names: "cob=(7) path" or, once known, "cob=(7)". */
static unsigned object_of(const char *line, unsigned *driver)
{
    unsigned id = (unsigned)strtoul(strchr(line, '(') + 1, NULL, 10);
    if (strstr(line, "/libnull_driver.so") || strstr(line, "/libcuda.so"))
        *driver = id;
    return id;
}

/* Calls of the driver by others: a line "calls=" belongs to the object of the
 * last "ob=", and calls into that of a "cob=" before it or into the same. */
static uint64_t calls_into_driver(const char *path)
{
    g_autofree char *text = NULL;
    unsigned object = 0, called = 0, driver = UINT_MAX;
    uint64_t sum = 0;
    g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    for (char **line = lines; *line; line++) {
        if (g_str_has_prefix(*line, "ob="))
            called = object = object_of(*line, &driver);
        else if (g_str_has_prefix(*line, "cob="))
            called = object_of(*line, &driver);
        if (!g_str_has_prefix(*line, "calls="))
            continue;
        if (called == driver && object != driver)
            sum += g_ascii_strtoull(*line + strlen("calls="), NULL, 10);
        called = object;
    }
    return sum;
}

struct counts {
    uint64_t instructions, driver_calls;
};

/* The first process makes the region and asks the management library what its
 * context takes, once: its start does not cancel out against another's. */
static void run_uncounted(struct kit *kit, const char *body)
{
    g_autofree char *self = g_file_read_link("/proc/self/exe", NULL);
    const char *argv[] = {self, "--child", body, "1", NULL};
    g_assert_cmpint(kit_finish(kit_start_program(kit, argv), NULL, NULL), ==, 0);
}

static struct counts run_counted(struct kit *kit, const char *body, unsigned n)
{
    g_autofree char *valgrind = g_find_program_in_path("valgrind");
    g_autofree char *self = g_file_read_link("/proc/self/exe", NULL), *count = g_strdup_printf("%u", n);
    g_autofree char *path = kit_path(kit, "callgrind"), *first = kit_path(kit, "callgrind-01");
    g_autofree char *out = g_strdup_printf("--callgrind-out-file=%s", path);
    const char *argv[] = {
        valgrind, "--tool=callgrind", "-q", "--separate-threads=yes", out, self, "--child", body, count,
        NULL};
    g_autofree char *err = NULL;
    int status = kit_finish(kit_start_program(kit, argv), NULL, &err);
    if (status != 0)
        g_test_message("%s", err);
    g_assert_cmpint(status, ==, 0);
    return (struct counts){total_of(first), calls_into_driver(first)};
}

unsigned cost_system_calls(struct kit *kit, const char *body, unsigned n)
{
    g_autofree char *strace = g_find_program_in_path("strace");
    g_autofree char *self = g_file_read_link("/proc/self/exe", NULL), *count = g_strdup_printf("%u", n);
    g_autofree char *path = kit_path(kit, "strace"), *text = NULL;
    const char *argv[] = {strace, "-qq", "-o", path, self, "--child", body, count, NULL};
    unsigned lines = 0;
    if (!strace) {
        g_test_skip("strace is not installed: system calls cannot be counted");
        return 0;
    }
    g_assert_cmpint(kit_finish(kit_start_program(kit, argv), NULL, NULL), ==, 0);
    g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
    for (const char *at = text; (at = strchr(at, '\n')); at++)
        lines++;
    return lines;
}

struct cost cost_of(struct kit *kit, const char *body)
{
    run_uncounted(kit, body);
    struct counts more = run_counted(kit, body, LONG), less = run_counted(kit, body, SHORT);
    return (struct cost){(double)(more.instructions - less.instructions) / (LONG - SHORT),
                         (double)(more.driver_calls - less.driver_calls) / (LONG - SHORT)};
}

double cost_instructions(struct kit *kit, const char *body)
{
    return cost_of(kit, body).instructions;
}
