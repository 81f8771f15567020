/* SPDX-License-Identifier: Apache-2.0
 *
 * The library in other tests' programs under valgrind's memcheck: nothing is
 * read that was not written, nothing beyond what was allocated. The sanitizers'
 * builds cannot look into a preloaded library; this looks at the one that ships.
 */
#include <unistd.h>

#include "support.h"

enum { FOUND = 97 };

static const struct run {
    const char *name;
    const char *program, *body;
    const char *driver; /* of tests/preload; NULL = the simulated one */
    const char *memory, *share;
} runs[] = {
    {"every_entry", "echo", "call_every_entry", "libecho_driver.so", NULL, NULL},
    {"every_entry_under_limits", "echo", "call_every_entry", "libecho_driver.so", "512m", "30"},
    {"figures", "memory_limit", "figures", NULL, "1G", NULL},
    {"odd_queries", "memory_limit", "null_queries", NULL, "1G", NULL},
    {"contexts", "memory_limit", "contexts", NULL, "1G", NULL},
    {"launches", "compute_launch", "tell_answers", NULL, "1G", "30"},
    {"lists_of_processes", "nvml", "lists", NULL, "1G", NULL},
    {"odd_calls_of_nvml", "nvml", "odd_calls", NULL, "1G", NULL},
};

static void memcheck_finds_nothing(gconstpointer data)
{
    const struct run *run = data;
    g_autofree char *valgrind = g_find_program_in_path("valgrind");
    if (!valgrind) {
        g_test_skip("valgrind is not installed");
        return;
    }
    struct kit *kit = kit_new(NULL);
    g_autofree char *folder = g_build_filename(g_getenv("HAMI_BUILD"), "tests/preload", NULL);
    g_autofree char *program = g_strdup_printf("%s/preload_%s_test", folder, run->program);
    g_autofree char *error = g_strdup_printf("--error-exitcode=%d", FOUND), *err = NULL;
    if (run->driver) {
        g_autofree char *driver = g_build_filename(folder, run->driver, NULL);
        g_autofree char *link = kit_path(kit, "libcuda.so.1");
        g_assert_cmpint(symlink(driver, link), ==, 0);
        kit_env(kit, "LD_LIBRARY_PATH", "%s", kit_dir(kit));
    }
    kit_env(kit, "CUDA_DEVICE_MEMORY_LIMIT", run->memory ? "%s" : NULL, run->memory);
    kit_env(kit, "CUDA_DEVICE_SM_LIMIT", run->share ? "%s" : NULL, run->share);
    const char *const argv[] = {valgrind, "-q",      "--leak-check=no", error,
                                program,  "--child", run->body,         NULL};
    int status = kit_finish(kit_start_program(kit, argv), NULL, &err);
    if (status != 0)
        g_test_message("%s", err);
    g_assert_cmpint(status, ==, 0);
    g_assert_true(g_file_test(kit_region(kit), G_FILE_TEST_EXISTS)); /* the library was there */
    kit_free(kit);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_set_nonfatal_assertions(); /* one finding does not hide the others */
    for (gsize i = 0; i < G_N_ELEMENTS(runs); i++) {
        g_autofree char *path = g_strdup_printf("/memcheck/finds_nothing_in_%s", runs[i].name);
        g_test_add_data_func(path, &runs[i], memcheck_finds_nothing);
    }
    return g_test_run();
}
