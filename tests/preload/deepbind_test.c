/* SPDX-License-Identifier: Apache-2.0
 *
 * A plug-in opened with RTLD_DEEPBIND gets the wrappers like everybody else.
 */
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#include "support.h"

/* Says which object a plug-in opened with the flags gets `name` from. */
static int ask(int argc, char **argv)
{
    g_assert_cmpint(argc, ==, 3);
    void *(*find)(const char *);
    void *plugin = dlopen(argv[0], RTLD_NOW | atoi(argv[1]));
    Dl_info info;
    if (!plugin) {
        kit_tell("not opened: %s", dlerror());
        return 1;
    }
    *(void **)&find = dlsym(plugin, "deep_find");
    void *found = find(argv[2]);
    g_assert_true(found && dladdr(found, &info) != 0);
    kit_tell("%s", strrchr(info.dli_fname, '/') + 1);
    return 0;
}

static const struct kit_body bodies[] = {{"ask", ask}, {0}};

static char *plugin(const char *name)
{
    return g_build_filename(g_getenv("HAMI_BUILD"), "tests", "preload", name, NULL);
}

static void check(const char *file, int flags, const char *name, const char *expected)
{
    struct kit *kit = kit_new("t4");
    g_autofree char *path = plugin(file), *bits = g_strdup_printf("%d", flags);
    g_autofree char *said = kit_run(kit, "ask", path, bits, name, NULL);
    g_assert_cmpstr(g_strstrip(said), ==, expected);
    kit_free(kit);
}

static void a_deep_bound_plugin_gets_wrappers(void)
{
    check("libdeep_now.so", RTLD_DEEPBIND, "cuMemAlloc_v2", "libvgpu.so");
    check("libdeep_now.so", RTLD_DEEPBIND, "cuMemAllocAsync", "libvgpu.so");
}

static void a_lazily_bound_plugin_does_too(void)
{
    check("libdeep_lazy.so", RTLD_DEEPBIND, "cuMemAlloc_v2", "libvgpu.so");
}

static void what_is_not_wrapped_stays_the_drivers(void)
{
    check("libdeep_now.so", RTLD_DEEPBIND, "cuDeviceGetName", "libcuda.so.1");
    check("libdeep_now.so", 0, "cuMemAlloc_v2", "libvgpu.so");
}

int main(int argc, char **argv)
{
    if (kit_is_child(argc, argv))
        return kit_child(argc, argv, bodies);
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/deepbind/a_deep_bound_plugin_gets_wrappers", a_deep_bound_plugin_gets_wrappers);
    g_test_add_func("/deepbind/a_lazily_bound_plugin_does_too", a_lazily_bound_plugin_does_too);
    g_test_add_func("/deepbind/what_is_not_wrapped_stays_the_drivers", what_is_not_wrapped_stays_the_drivers);
    return g_test_run();
}
