/* SPDX-License-Identifier: Apache-2.0
 *
 * Management libraries unlike the simulated one (lib/other_nvml.c): lists of
 * graphics and MPS processes in every version, more cards than a region counts,
 * entries that are missing.
 */
#include <string.h>
#include <unistd.h>

#include "support.h"

#define MIB (UINT64_C(1) << 20)
#define N_CARDS 40

/* ---- bodies ---- */

static nvmlDevice_t device_at(unsigned index)
{
    nvmlDevice_t device = NULL;

    if (kit_nvml()->nvmlInit_v2() != NVML_SUCCESS ||
        kit_nvml()->nvmlDeviceGetHandleByIndex_v2(index, &device) != NVML_SUCCESS)
        _exit(95);
    return device;
}

/* Asks a list for its length, then for its items. */
#define TELL(name, symbol, type)                                                                             \
    do {                                                                                                     \
        type infos[8] = {{0}};                                                                               \
        unsigned n = 0;                                                                                      \
        nvmlReturn_t few, r;                                                                                 \
        if (!kit_nvml()->symbol) {                                                                           \
            kit_tell(name " missing");                                                                       \
            break;                                                                                           \
        }                                                                                                    \
        few = kit_nvml()->symbol(device, &n, NULL);                                                          \
        r = kit_nvml()->symbol(device, &n, infos);                                                           \
        kit_tell(name " %d %d: %u %s %llu", few, r, n,                                                       \
                 infos[0].pid == (unsigned)getpid() ? "ours" : "another", infos[0].usedGpuMemory / MIB);     \
    } while (0)

/* The lists of card 0, where this process has a context and some memory. */
static int lists(int argc, char **argv)
{
    CUdeviceptr p;
    nvmlDevice_t device;

    (void)argc, (void)argv;
    kit_context(0);
    if (kit_cuda()->cuMemAlloc_v2(&p, 100 * MIB) != CUDA_SUCCESS)
        return 1;
    device = device_at(0);
    TELL("compute v1", nvmlDeviceGetComputeRunningProcesses, nvmlProcessInfo_v1_t);
    TELL("compute v2", nvmlDeviceGetComputeRunningProcesses_v2, nvmlProcessInfo_v2_t);
    TELL("compute v3", nvmlDeviceGetComputeRunningProcesses_v3, nvmlProcessInfo_t);
    TELL("graphics v1", nvmlDeviceGetGraphicsRunningProcesses, nvmlProcessInfo_v1_t);
    TELL("graphics v2", nvmlDeviceGetGraphicsRunningProcesses_v2, nvmlProcessInfo_v2_t);
    TELL("graphics v3", nvmlDeviceGetGraphicsRunningProcesses_v3, nvmlProcessInfo_t);
    TELL("mps v1", nvmlDeviceGetMPSComputeRunningProcesses, nvmlProcessInfo_v1_t);
    TELL("mps v2", nvmlDeviceGetMPSComputeRunningProcesses_v2, nvmlProcessInfo_v2_t);
    TELL("mps v3", nvmlDeviceGetMPSComputeRunningProcesses_v3, nvmlProcessInfo_t);
    kit_tell("memory v2 %s", kit_nvml()->nvmlDeviceGetMemoryInfo_v2 ? "there" : "missing");
    return 0;
}

/* Memory of every card, and the number of processes that each one shows. */
static int dozens(int argc, char **argv)
{
    unsigned n = 0;

    (void)argc, (void)argv;
    kit_cuda()->cuInit(0);
    device_at(0);
    kit_nvml()->nvmlDeviceGetCount_v2(&n);
    kit_tell("%u", n);
    for (unsigned i = 0; i < n; i++) {
        nvmlMemory_t memory = {0};
        unsigned shown = 0;
        nvmlReturn_t r = kit_nvml()->nvmlDeviceGetMemoryInfo(device_at(i), &memory);
        nvmlReturn_t r2 = kit_nvml()->nvmlDeviceGetGraphicsRunningProcesses_v3(device_at(i), &shown, NULL);
        kit_tell("%u: %d %llu, %s", i, r, memory.total / MIB,
                 shown <= 1 && (r2 == NVML_SUCCESS || r2 == NVML_ERROR_INSUFFICIENT_SIZE) ? "no stranger"
                                                                                          : "strangers");
    }
    return 0;
}

/* ---- tests ---- */

/* Puts a library of the build in the place of one of the driver's. */
static void replace(struct kit *kit, const char *name, const char *soname)
{
    g_autofree char *file = g_strdup_printf("%s/tests/preload/lib%s.so", g_getenv("HAMI_BUILD"), name);
    g_autofree char *link = kit_path(kit, soname);

    g_assert_cmpint(symlink(file, link), ==, 0);
    kit_env(kit, "LD_LIBRARY_PATH", "%s:%s/sim", kit_dir(kit), g_getenv("HAMI_BUILD"));
}

static void assert_lists(const char *library, const char *expected)
{
    struct kit *kit = kit_new(NULL);
    g_autofree char *cards = g_strdup(kit_uuid(kit, 0));

    replace(kit, library, "libnvidia-ml.so.1");
    kit_env(kit, "OTHER_NVML_CARDS", "%s", cards);
    kit_env(kit, "CUDA_DEVICE_MEMORY_LIMIT", "2G");
    g_autofree char *out = kit_run(kit, "lists", NULL);
    g_assert_cmpstr(out, ==, expected);
    kit_free(kit);
}

static void every_list_in_every_version_shows_ours_alone(void)
{
    assert_lists("other_nvml", "compute v1 7 0: 1 ours 501\ncompute v2 7 0: 1 ours 501\n"
                               "compute v3 7 0: 1 ours 501\ngraphics v1 7 0: 1 ours 502\n"
                               "graphics v2 7 0: 1 ours 502\ngraphics v3 7 0: 1 ours 502\n"
                               "mps v1 7 0: 1 ours 503\nmps v2 7 0: 1 ours 503\nmps v3 7 0: 1 ours 503\n"
                               "memory v2 missing\n");
}

static void a_library_without_the_newest_entries_serves_the_older_ones(void)
{
    assert_lists("older_nvml", "compute v1 7 0: 1 ours 501\ncompute v2 7 0: 1 ours 501\n"
                               "compute v3 missing\ngraphics v1 7 0: 1 ours 502\n"
                               "graphics v2 7 0: 1 ours 502\ngraphics v3 missing\n"
                               "mps v1 7 0: 1 ours 503\nmps v2 7 0: 1 ours 503\nmps v3 missing\n"
                               "memory v2 missing\n");
}

/* The UUID of a card of lib/old_driver.c. */
static void append_uuid(GString *list, unsigned card)
{
    g_string_append(list, list->len ? ",GPU" : "GPU");
    for (unsigned b = 0; b < 16; b++)
        g_string_append_printf(list, "%s%02x", b == 0 || b == 4 || b == 6 || b == 8 || b == 10 ? "-" : "",
                               0x42 + card);
}

/* A region counts 16: those have the limit, and the others stay the library's. */
static void cards_by_the_dozen_are_all_told_of(void)
{
    struct kit *kit = kit_new(NULL);
    g_autoptr(GString) uuids = g_string_new(NULL), expected = g_string_new(NULL);

    g_string_append_printf(expected, "%u\n", N_CARDS);
    for (unsigned i = 0; i < N_CARDS; i++) {
        append_uuid(uuids, i);
        g_string_append_printf(expected, "%u: 0 %u, no stranger\n", i, i < 16 ? 1024 : 2048);
    }
    replace(kit, "old_driver", "libcuda.so.1");
    replace(kit, "other_nvml", "libnvidia-ml.so.1");
    kit_env(kit, "OLD_DRIVER_CARDS", "%u", N_CARDS);
    kit_env(kit, "OTHER_NVML_CARDS", "%s", uuids->str);
    kit_env(kit, "CUDA_DEVICE_MEMORY_LIMIT", "1G");
    g_autofree char *out = kit_run(kit, "dozens", NULL);
    g_assert_cmpstr(out, ==, expected->str);
    kit_free(kit);
}

static const struct kit_body bodies[] = {{"lists", lists}, {"dozens", dozens}, {0}};

#define TEST(name) g_test_add_func("/nvml_lists/" #name, name)

int main(int argc, char **argv)
{
    if (kit_is_child(argc, argv))
        return kit_child(argc, argv, bodies);
    g_test_init(&argc, &argv, NULL);
    TEST(every_list_in_every_version_shows_ours_alone);
    TEST(a_library_without_the_newest_entries_serves_the_older_ones);
    TEST(cards_by_the_dozen_are_all_told_of);
    return g_test_run();
}
