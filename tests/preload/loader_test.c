/* SPDX-License-Identifier: Apache-2.0
 *
 * How libvgpu.so gets between a program and the driver, and how it stays out
 * of the way of everything else.
 */
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "support.h"

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

/* ---- names that are ---- */

static int object_of_names(int argc, char **argv)
{
    void *library = dlopen("libcuda.so.1", RTLD_NOW);
    for (int i = 0; i < argc; i++) {
        Dl_info info;
        void *found = library ? dlsym(library, argv[i]) : NULL;
        kit_tell("%s", found && dladdr(found, &info) ? strrchr(info.dli_fname, '/') + 1 : "none");
    }
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

static int init_twice(int argc, char **argv)
{
    (void)argc, (void)argv;
    int n = 0;
    kit_tell("%d", kit_cuda()->cuInit(0));
    kit_tell("%d", kit_cuda()->cuInit(0));
    kit_tell("%d", kit_cuda()->cuDeviceGetCount(&n));
    return n == 0;
}

static void init_attaches_and_stays_silent(void)
{
    struct kit *kit = kit_new(NULL);
    g_autofree char *out = kit_run(kit, "init_twice", NULL);
    g_assert_cmpstr(out, ==, "0\n0\n0\n");
    g_assert_true(g_file_test(kit_region(kit), G_FILE_TEST_EXISTS));
    kit_free(kit);
}

static void missing_driver_answers_no_device(void)
{
    struct kit *kit = kit_new(NULL);
    kit_env(kit, "LD_LIBRARY_PATH", NULL);
    if (dlopen("libcuda.so.1", RTLD_LAZY)) {
        g_test_skip("this machine has a driver of its own");
    } else {
        g_autofree char *out = kit_run(kit, "object_of_names", "cuInit", NULL);
        g_assert_cmpstr(out, ==, "none\n");
    }
    kit_free(kit);
}

static const struct kit_body bodies[] = {
    {"look_up_foreign_names", look_up_foreign_names},
    {"object_of_names", object_of_names},
    {"init_twice", init_twice},
    {0},
};

int main(int argc, char **argv)
{
    if (kit_is_child(argc, argv))
        return kit_child(argc, argv, bodies);
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/loader/foreign_names_initialise_nothing", foreign_names_initialise_nothing);
    g_test_add_func("/loader/handle_lookup_gives_wrappers_for_wrapped_names_only",
                    handle_lookup_gives_wrappers_for_wrapped_names_only);
    g_test_add_func("/loader/init_attaches_and_stays_silent", init_attaches_and_stays_silent);
    g_test_add_func("/loader/missing_driver_answers_no_device", missing_driver_answers_no_device);
    return g_test_run();
}
