/* SPDX-License-Identifier: Apache-2.0
 *
 * NVML inside a slice: what nvidia-smi, nvtop and pynvml ask for.
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "support.h"

#define MIB (UINT64_C(1) << 20)

static const char image[] =
    ".version 7.0\n.target sm_50\n.address_size 64\n.visible .entry spin()\n{\nret;\n}\n";

/* ---- bodies ---- */

static nvmlDevice_t device_at(unsigned index)
{
    nvmlDevice_t device = NULL;
    if (kit_nvml()->nvmlInit_v2() != NVML_SUCCESS ||
        kit_nvml()->nvmlDeviceGetHandleByIndex_v2(index, &device) != NVML_SUCCESS)
        _exit(95);
    return device;
}

/* Launches until the parent has something to say. */
static int work(void)
{
    const struct real_cuda *cu = kit_cuda();
    struct pollfd parent = {.fd = STDIN_FILENO, .events = POLLIN};
    CUfunction function;
    CUmodule module;
    if (cu->cuModuleLoadData(&module, image) != CUDA_SUCCESS ||
        cu->cuModuleGetFunction(&function, module, "spin") != CUDA_SUCCESS)
        return 2;
    while (poll(&parent, 1, 0) == 0) {
        cu->cuLaunchKernel(function, 65535, 1, 1, 256, 1, 1, 0, NULL, NULL, NULL);
        cu->cuCtxSynchronize();
    }
    return 0;
}

/* Holds argv[1] MiB on ordinal argv[0] until the parent says so; works
 * meanwhile when argv[2] is given. */
static int hold(int argc, char **argv)
{
    CUdeviceptr p;
    kit_context(atoi(argv[0]));
    if (kit_cuda()->cuMemAlloc_v2(&p, (size_t)atoi(argv[1]) << 20) != CUDA_SUCCESS)
        return 1;
    kit_tell("holding");
    if (argc > 2)
        return work();
    kit_hear();
    return 0;
}

/* Memory of each device by every interface, before and after cuInit. */
static int memory(int argc, char **argv)
{
    const struct real_nvml *nv = kit_nvml();
    const struct real_cuda *cu = kit_cuda();
    bool cuda_first = argc > 0 && strcmp(argv[0], "cuda-first") == 0;
    unsigned n = 0;
    if (cuda_first)
        cu->cuInit(0);
    nv->nvmlInit_v2();
    nv->nvmlDeviceGetCount_v2(&n);
    for (unsigned i = 0; i < n; i++) {
        nvmlMemory_t v1 = {0};
        nvmlMemory_v2_t v2 = {.version = nvmlMemory_v2};
        nvmlDevice_t device;
        nv->nvmlDeviceGetHandleByIndex_v2(i, &device);
        nvmlReturn_t r1 = nv->nvmlDeviceGetMemoryInfo(device, &v1),
                     r2 = nv->nvmlDeviceGetMemoryInfo_v2(device, &v2);
        kit_tell("%d %d total %llu sums %d %d same %d", r1, r2, v1.total >> 20, v1.free + v1.used == v1.total,
                 v2.free + v2.used + v2.reserved == v2.total,
                 v1.total == v2.total && v1.free == v2.free && v1.used == v2.used);
    }
    return 0;
}

/* NVML's, cuMemGetInfo's and cuDeviceTotalMem's figures of one device. */
static int agree(int argc, char **argv)
{
    (void)argc, (void)argv;
    const struct real_cuda *cu = kit_cuda();
    nvmlMemory_t memory = {0};
    size_t free_bytes, total, device_total;
    CUdeviceptr p;
    kit_context(0);
    nvmlDevice_t device = device_at(0);
    for (int i = 0; i < 5; i++) {
        if (cu->cuMemAlloc_v2(&p, (size_t)(i + 1) * 10000000) != CUDA_SUCCESS ||
            cu->cuMemGetInfo_v2(&free_bytes, &total) != CUDA_SUCCESS ||
            cu->cuDeviceTotalMem_v2(&device_total, 0) != CUDA_SUCCESS ||
            kit_nvml()->nvmlDeviceGetMemoryInfo(device, &memory) != NVML_SUCCESS)
            return 1;
        if (memory.total != total || memory.free != free_bytes || device_total != total)
            return 2;
    }
    return 0;
}

/* The process lists of device 0 in every version. */
static int lists(int argc, char **argv)
{
    (void)argc, (void)argv;
    const struct real_nvml *nv = kit_nvml();
    nvmlDevice_t device = device_at(0);
    nvmlProcessInfo_v1_t v1[64];
    nvmlProcessInfo_v2_t v2[64];
    nvmlProcessInfo_t v3[64];
    unsigned n1 = 64, n2 = 64, n3 = 64;
    if (nv->nvmlDeviceGetComputeRunningProcesses(device, &n1, v1) ||
        nv->nvmlDeviceGetComputeRunningProcesses_v2(device, &n2, v2) ||
        nv->nvmlDeviceGetComputeRunningProcesses_v3(device, &n3, v3))
        return 1;
    if (n1 != n2 || n2 != n3)
        return 2;
    kit_tell("%u", n3);
    for (unsigned i = 0; i < n3; i++) {
        if (v1[i].pid != v3[i].pid || v1[i].usedGpuMemory != v3[i].usedGpuMemory || v2[i].pid != v3[i].pid)
            return 3;
        kit_tell("%u %llu", v3[i].pid, v3[i].usedGpuMemory >> 20);
    }
    return 0;
}

/* What each list answers to capacities that are too small, and to odd calls. */
static int sizes(int argc, char **argv)
{
    (void)argc, (void)argv;
    const struct real_nvml *nv = kit_nvml();
    nvmlDevice_t device = device_at(0);
    nvmlProcessInfo_t infos[4];
    unsigned n = 0;
    memset(infos, 0x55, sizeof infos);
    nvmlReturn_t r = nv->nvmlDeviceGetComputeRunningProcesses_v3(device, &n, NULL);
    kit_tell("empty %d %u", r, n);
    n = 1;
    r = nv->nvmlDeviceGetComputeRunningProcesses_v3(device, &n, infos);
    kit_tell("one %d %u untouched %d", r, n, infos[0].pid == 0x55555555);
    n = 4;
    r = nv->nvmlDeviceGetComputeRunningProcesses_v3(device, &n, infos);
    kit_tell("four %d %u untouched %d", r, n, infos[2].pid == 0x55555555);
    n = 0;
    kit_tell("graphics %d %u", nv->nvmlDeviceGetGraphicsRunningProcesses_v3(device, &n, NULL), n);
    n = 0;
    kit_tell("mps %d %u", nv->nvmlDeviceGetMPSComputeRunningProcesses_v3(device, &n, NULL), n);
    return 0;
}

/* Everything that must stay as the library answers it. */
static int odd_calls(int argc, char **argv)
{
    (void)argc, (void)argv;
    const struct real_nvml *nv = kit_nvml();
    nvmlMemory_t v1;
    nvmlMemory_v2_t v2 = {.version = 2};
    nvmlProcessDetailList_t details = {.version = 77};
    nvmlProcessesUtilizationInfo_t usage = {.version = 77};
    unsigned n = 0;
    nvmlDevice_t device = NULL;
    for (int round = 0; round < 3; round++) {
        if (round == 1) {
            nv->nvmlInit_v2();
            nv->nvmlDeviceGetHandleByIndex_v2(0, &device);
        } else if (round == 2) {
            nv->nvmlShutdown();
        }
        kit_tell("%d: %d %d %d %d %d %d %d %d %d %d %d", round, nv->nvmlDeviceGetMemoryInfo(device, &v1),
                 nv->nvmlDeviceGetMemoryInfo(device, NULL), nv->nvmlDeviceGetMemoryInfo_v2(device, &v2),
                 nv->nvmlDeviceGetMemoryInfo_v2(device, NULL),
                 nv->nvmlDeviceGetComputeRunningProcesses_v3(device, NULL, NULL),
                 nv->nvmlDeviceGetComputeRunningProcesses_v3(NULL, &n, NULL),
                 nv->nvmlDeviceGetRunningProcessDetailList(device, &details),
                 nv->nvmlDeviceGetRunningProcessDetailList(device, NULL),
                 nv->nvmlDeviceGetProcessUtilization(device, NULL, NULL, 0),
                 nv->nvmlDeviceGetProcessesUtilizationInfo(device, &usage),
                 nv->nvmlDeviceGetProcessesUtilizationInfo(device, NULL));
    }
    return 0;
}

static int details(int argc, char **argv)
{
    (void)argc, (void)argv;
    const struct real_nvml *nv = kit_nvml();
    nvmlDevice_t device = device_at(0);
    for (unsigned mode = 0; mode < 4; mode++) {
        nvmlProcessDetail_v1_t items[16];
        nvmlProcessDetailList_t list = {
            .version = nvmlProcessDetailList_v1, .mode = mode, .numProcArrayEntries = 16, .procArray = items};
        nvmlReturn_t r = nv->nvmlDeviceGetRunningProcessDetailList(device, &list);
        kit_tell("%d %u %u", r, r ? 0 : list.numProcArrayEntries,
                 r || !list.numProcArrayEntries ? 0 : items[0].pid);
    }
    return 0;
}

/* The pids that have utilisation samples, by both interfaces. */
static int samples(int argc, char **argv)
{
    (void)argc, (void)argv;
    const struct real_nvml *nv = kit_nvml();
    nvmlDevice_t device = device_at(0);
    nvmlProcessUtilizationSample_t old[64];
    nvmlProcessUtilizationInfo_v1_t fresh[64];
    nvmlProcessesUtilizationInfo_t info = {
        .version = nvmlProcessesUtilizationInfo_v1, .processSamplesCount = 64, .procUtilArray = fresh};
    unsigned n = 64, needed = 0;
    nvmlReturn_t r = nv->nvmlDeviceGetProcessUtilization(device, old, &n, 0);
    kit_tell("%d %u", r, r ? 0 : n);
    for (unsigned i = 0; !r && i < n; i++)
        kit_tell("pid %u", old[i].pid);
    nvmlReturn_t r2 = nv->nvmlDeviceGetProcessUtilization(device, NULL, &needed, 0);
    kit_tell("%d %d", r2 == (n && !r ? NVML_ERROR_INSUFFICIENT_SIZE : NVML_ERROR_NOT_FOUND),
             r ? 1 : needed == n);
    r2 = nv->nvmlDeviceGetProcessesUtilizationInfo(device, &info);
    kit_tell("%d", r2 == r && (r || (info.processSamplesCount == n && fresh[0].pid == old[0].pid)));
    return 0;
}

static int move_the_wall(int argc, char **argv)
{
    (void)argc, (void)argv;
    nvmlDevice_t device = device_at(0);
    nvmlSetMemoryLimits_v1_t limits = {
        .nameSpace = "/sys/fs/cgroup", .softLimit = 0, .hardLimit = UINT64_MAX};
    kit_tell("%d", kit_nvml()->nvmlDeviceSetMemoryLimits_v1(device, &limits));
    return 0;
}

/* Every way to a card: by number and back; argv: UUIDs to find cards by. */
static int cards(int argc, char **argv)
{
    const struct real_nvml *nv = kit_nvml();
    unsigned n = 0, old = 0, index, near = 0;
    nvmlDevice_t device, beyond;
    nvmlPciInfo_t pci;
    char uuid[96];
    if (nv->nvmlDeviceGetCount_v2(&n) != NVML_ERROR_UNINITIALIZED || nv->nvmlInit_v2() != NVML_SUCCESS)
        return 1;
    nv->nvmlDeviceGetCount_v2(&n);
    nv->nvmlDeviceGetCount(&old);
    kit_tell("%u %u beyond %d", n, old, nv->nvmlDeviceGetHandleByIndex_v2(n, &beyond));
    for (unsigned i = 0; i < n; i++) {
        device = device_at(i);
        nv->nvmlDeviceGetUUID(device, uuid, sizeof uuid);
        nv->nvmlDeviceGetIndex(device, &index);
        kit_tell("%u %s", index, uuid);
        for (unsigned k = 0; k < 7; k++)
            if (nv->nvmlDeviceGetMigDeviceHandleByIndex(device, k, &beyond) == NVML_SUCCESS &&
                nv->nvmlDeviceGetUUID(beyond, uuid, sizeof uuid) == NVML_SUCCESS)
                kit_tell("instance %u %s", k, uuid);
    }
    for (int i = 0; i < argc; i++) {
        nvmlReturn_t found = nv->nvmlDeviceGetHandleByUUID(argv[i], &device);
        kit_tell("%d", found);
        if (found == NVML_SUCCESS && nv->nvmlDeviceGetPciInfo_v3(device, &pci) == NVML_SUCCESS)
            kit_tell("%d", nv->nvmlDeviceGetHandleByPciBusId_v2(pci.busId, &device));
    }
    for (int level = 0; n && level <= 50; level += 10) {
        unsigned found = 0;
        nv->nvmlDeviceGetTopologyNearestGpus(device_at(0), (nvmlGpuTopologyLevel_t)level, &found, NULL);
        near += found;
    }
    kit_tell("near %u", near);
    return 0;
}

/* ---- helpers of the tests ---- */

static void assert_output(struct kit *kit, const char *body, const char *argument, const char *expected)
{
    g_autofree char *out = kit_run(kit, body, argument, NULL);
    g_assert_cmpstr(out, ==, expected);
}

static struct kit_process *holding(struct kit *kit, const char *ordinal, const char *mib, const char *launch)
{
    struct kit_process *p = kit_start(kit, "hold", ordinal, mib, launch, NULL);
    g_autofree char *line = kit_line(p);
    g_assert_cmpstr(line, ==, "holding");
    return p;
}

static void let_go(struct kit_process *p)
{
    kit_say(p, "end");
    g_assert_cmpint(kit_finish(p, NULL, NULL), ==, 0);
}

/* Another slice on the same cards. */
static struct kit *neighbour_of(struct kit *kit, const char *profile)
{
    struct kit *other = kit_new(profile);
    kit_env(other, "HAMI_SIM_STATE", "%s", kit_get_env(kit, "HAMI_SIM_STATE"));
    kit_env(other, "CUDA_DEVICE_MEMORY_LIMIT", "2G");
    return other;
}

/* ---- memory ---- */

static void memory_is_the_slices_in_every_version(void)
{
    for (int cuda_first = 0; cuda_first < 2; cuda_first++) {
        struct kit *kit = kit_new("2xa100-40g");
        kit_env(kit, "CUDA_DEVICE_MEMORY_LIMIT_0", "1G");
        kit_env(kit, "CUDA_DEVICE_MEMORY_LIMIT_1", "3G");
        assert_output(kit, "memory", cuda_first ? "cuda-first" : "nvml-first",
                      "0 0 total 1024 sums 1 1 same 1\n0 0 total 3072 sums 1 1 same 1\n");
        kit_env(kit, "CUDA_VISIBLE_DEVICES", "1,0"); /* NVML's order is not CUDA's */
        assert_output(kit, "memory", cuda_first ? "cuda-first" : "nvml-first",
                      "0 0 total 1024 sums 1 1 same 1\n0 0 total 3072 sums 1 1 same 1\n");
        kit_free(kit);
    }
}

static void memory_agrees_with_cuda_to_the_byte(void)
{
    struct kit *kit = kit_new(NULL);
    kit_env(kit, "CUDA_DEVICE_MEMORY_LIMIT", "2G");
    g_free(kit_run(kit, "agree", NULL));
    kit_free(kit);
}

static void memory_that_nvml_does_not_know_is_the_limit(void)
{
    struct kit *kit = kit_new("gb10"), *bare = kit_new("gb10");
    kit_no_preload(bare);
    g_autofree char *native = kit_run(bare, "memory", NULL);
    g_assert_true(g_str_has_prefix(native, "3 3 ")); /* the driver says: not supported */
    kit_env(kit, "CUDA_DEVICE_MEMORY_LIMIT", "5G");
    g_autofree char *out = kit_run(kit, "memory", NULL);
    g_assert_cmpstr(out, ==, "0 0 total 5120 sums 1 1 same 1\n");
    kit_free(bare);
    kit_free(kit);
}

static void without_a_limit_memory_is_the_drivers(void)
{
    struct kit *kit = kit_new("2xa100-40g"), *bare = kit_new("2xa100-40g");
    kit_no_preload(bare);
    g_autofree char *native = kit_run(bare, "memory", NULL), *out = kit_run(kit, "memory", NULL);
    g_assert_cmpstr(out, ==, native);
    kit_free(bare);
    kit_free(kit);
}

/* ---- cards ---- */

static void a_slice_sees_exactly_its_own_cards(void)
{
    struct kit *kit = kit_new("2xa100-40g");
    for (unsigned own = 0; own < 2; own++) {
        struct grant g = {.n_devices = 1, .devices = {{.mem_bytes = 2048 * MIB}}};
        g_strlcpy(g.devices[0].uuid, kit_uuid(kit, own), sizeof g.devices[0].uuid);
        kit_grant(kit, &g);
        g_autofree char *out = kit_run(kit, "cards", kit_uuid(kit, own), kit_uuid(kit, !own), NULL);
        g_autofree char *expected =
            g_strdup_printf("1 1 beyond 2\n0 %s\n0\n0\n6\nnear 0\n", kit_uuid(kit, own));
        g_assert_cmpstr(out, ==, expected);
        assert_output(kit, "memory", "nvml-first", "0 0 total 2048 sums 1 1 same 1\n");
    }
    struct grant both = {.n_devices = 2, .devices = {{.mem_bytes = 1024 * MIB}, {.mem_bytes = 2048 * MIB}}};
    for (unsigned i = 0; i < 2; i++) /* the grant's order is not NVML's */
        g_strlcpy(both.devices[i].uuid, kit_uuid(kit, !i), sizeof both.devices[i].uuid);
    kit_grant(kit, &both);
    g_autofree char *out = kit_run(kit, "cards", NULL);
    g_autofree char *expected =
        g_strdup_printf("2 2 beyond 2\n0 %s\n1 %s\nnear 1\n", kit_uuid(kit, 0), kit_uuid(kit, 1));
    g_assert_cmpstr(out, ==, expected);
    kit_free(kit);
}

static void a_slice_of_an_instance_sees_its_card_and_no_other_instance(void)
{
    struct kit *kit = kit_new("a100-mig"), *bare = kit_new("a100-mig");
    kit_no_preload(bare);
    g_autofree char *all = kit_run(bare, "cards", NULL);
    char card[64] = "", uuid[64] = "", foreign[64] = "";
    const char *first = strstr(all, "0 GPU-"), *second = strstr(all, "instance 1 MIG-");
    const char *other = strstr(all, "instance 0 MIG-");
    g_assert_true(other && sscanf(other, "instance 0 %63s", foreign) == 1);
    g_assert_true(first && sscanf(first, "0 %63s", card) == 1);
    g_assert_true(second && sscanf(second, "instance 1 %63s", uuid) == 1);
    struct grant g = {.n_devices = 1, .devices = {{.mem_bytes = 2048 * MIB}}};
    g_strlcpy(g.devices[0].uuid, uuid, sizeof g.devices[0].uuid);
    kit_grant(kit, &g);
    g_autofree char *out = kit_run(kit, "cards", foreign, NULL);
    g_autofree char *expected = g_strdup_printf("1 1 beyond 2\n0 %s\ninstance 1 %s\n6\nnear 0\n", card, uuid);
    g_assert_cmpstr(out, ==, expected);
    kit_free(bare);
    kit_free(kit);
}

static void without_a_grant_the_drivers_list_counts(void)
{
    struct kit *kit = kit_new("2xa100-40g"), *bare = kit_new("2xa100-40g");
    kit_no_preload(bare);
    kit_env(kit, "CUDA_DEVICE_MEMORY_LIMIT", "2G");
    g_autofree char *native = kit_run(bare, "cards", NULL), *out = kit_run(kit, "cards", NULL);
    g_assert_cmpstr(out, ==, native);
    g_assert_false(g_file_test(kit_region(kit), G_FILE_TEST_EXISTS)); /* a list alone attaches nobody */
    kit_free(bare);
    kit_free(kit);
}

/* ---- processes ---- */

static void lists_show_the_slices_processes_only(void)
{
    struct kit *kit = kit_new(NULL);
    kit_env(kit, "CUDA_DEVICE_MEMORY_LIMIT", "2G");
    struct kit *other = neighbour_of(kit, NULL);
    struct kit_process *ours = holding(kit, "0", "300", NULL), *theirs = holding(other, "0", "500", NULL);
    g_autofree char *out = kit_run(kit, "lists", NULL);
    g_auto(GStrv) lines = g_strsplit(out, "\n", -1);
    g_assert_cmpstr(lines[0], ==, "1");
    g_assert_cmpint(atoi(lines[1]), ==, kit_pid(ours));
    g_assert_cmpint(atoi(strchr(lines[1], ' ')), >=, 300);
    kit_no_preload(other);
    g_autofree char *all = kit_run(other, "lists", NULL);
    g_assert_true(g_str_has_prefix(all, "2\n")); /* the host sees both */
    let_go(ours);
    let_go(theirs);
    kit_free(other);
    kit_free(kit);
}

static void lists_keep_the_protocol_of_sizes(void)
{
    struct kit *kit = kit_new(NULL);
    kit_env(kit, "CUDA_DEVICE_MEMORY_LIMIT", "2G");
    struct kit_process *a = holding(kit, "0", "10", NULL), *b = holding(kit, "0", "20", NULL);
    assert_output(kit, "sizes", NULL,
                  "empty 7 2\none 7 2 untouched 1\nfour 0 2 untouched 1\ngraphics 0 0\nmps 0 0\n");
    let_go(a);
    let_go(b);
    assert_output(kit, "sizes", NULL,
                  "empty 0 0\none 0 0 untouched 1\nfour 0 0 untouched 1\ngraphics 0 0\nmps 0 0\n");
    kit_free(kit);
}

static void detail_list_is_the_same_list(void)
{
    struct kit *kit = kit_new(NULL), *bare = neighbour_of(kit, NULL);
    kit_no_preload(bare);
    struct kit_process *p = holding(kit, "0", "10", NULL);
    g_autofree char *native = kit_run(bare, "details", NULL), *out = kit_run(kit, "details", NULL);
    g_assert_cmpstr(out, ==, native);
    struct kit *other = neighbour_of(kit, NULL);
    struct kit_process *theirs = holding(other, "0", "10", NULL);
    g_autofree char *again = kit_run(kit, "details", NULL);
    g_assert_cmpstr(again, ==, native);
    let_go(theirs);
    let_go(p);
    kit_free(other);
    kit_free(bare);
    kit_free(kit);
}

/* A sampling window that both worked in lies behind us sooner or later. */
static void samples_are_of_the_slices_processes_only(void)
{
    struct kit *kit = kit_new("t4"), *other = neighbour_of(kit, "t4"), *bare = neighbour_of(kit, "t4");
    kit_no_preload(bare);
    struct kit_process *ours = holding(kit, "0", "10", "work"), *theirs = holding(other, "0", "10", "work");
    g_autofree char *mine = g_strdup_printf("pid %d\n", kit_pid(ours));
    g_autofree char *foreign = g_strdup_printf("pid %d\n", kit_pid(theirs));
    bool seen = false;
    for (int i = 0; i < 100 && !seen; i++) {
        g_autofree char *all = kit_run(bare, "samples", NULL), *out = kit_run(kit, "samples", NULL);
        g_assert_null(strstr(out, foreign));
        seen = strstr(all, mine) && strstr(all, foreign) && strstr(out, mine);
        if (seen)
            g_assert_nonnull(strstr(out, "1 1\n1\n"));
        g_usleep(20000);
    }
    g_assert_true(seen);
    let_go(ours);
    let_go(theirs);
    kit_free(bare);
    kit_free(other);
    kit_free(kit);
}

static void odd_calls_get_the_librarys_own_answers(void)
{
    struct kit *kit = kit_new(NULL), *bare = kit_new(NULL);
    kit_no_preload(bare);
    kit_env(kit, "CUDA_DEVICE_MEMORY_LIMIT", "2G");
    g_autofree char *native = kit_run(bare, "odd_calls", NULL);
    assert_output(kit, "odd_calls", NULL, native);
    kit_free(bare);
    kit_free(kit);
}

static void the_drivers_wall_is_not_moved_from_inside(void)
{
    static const char profile[] =
        "driver: 615.10.01\ncuda: 13.0\nmemory_limits: true\ndevices:\n  - name: Wall\n    memory: 16GiB\n";
    struct kit *kit = kit_new(profile), *bare = kit_new(profile);
    kit_no_preload(bare);
    g_autofree char *native = kit_run(bare, "move_the_wall", NULL);
    g_test_message("bare: %s", native);
    assert_output(kit, "move_the_wall", NULL, "4\n");
    kit_free(bare);
    kit_free(kit);
}

static void in_a_pid_namespace_tools_see_the_pids_of_the_namespace(void)
{
    if (getuid() != 0 || system("unshare -pf --mount-proc true 2>/dev/null") != 0) {
        g_test_skip("needs root and the right to make namespaces");
        return;
    }
    struct kit *kit = kit_new(NULL), *other = neighbour_of(kit, NULL);
    g_autofree char *self = g_file_read_link("/proc/self/exe", NULL);
    g_autofree char *script =
        g_strdup_printf("mkfifo %s/end; %s --child hold 0 100 <%s/end & sleep 0; exec 3>%s/end; "
                        "for i in $(seq 100); do test \"$(%s --child lists | head -1)\" = 1 && break; done; "
                        "echo shell $!; %s --child lists",
                        kit_dir(kit), self, kit_dir(kit), kit_dir(kit), self, self);
    struct kit_process *theirs = holding(other, "0", "500", NULL);
    const char *const argv[] = {"unshare", "-pf", "--mount-proc", "sh", "-c", script, NULL};
    struct kit_process *p = kit_start_program(kit, argv);
    g_autofree char *out = NULL;
    g_assert_cmpint(kit_finish(p, &out, NULL), ==, 0);
    const char *shell = strstr(out, "shell ");
    g_assert_nonnull(shell);
    int pid = atoi(shell + 6), listed = 0;
    g_assert_cmpint(sscanf(strchr(shell, '\n'), "\n1\n%d", &listed), ==, 1);
    g_assert_cmpint(listed, ==, pid);
    let_go(theirs);
    kit_free(other);
    kit_free(kit);
}

static const struct kit_body bodies[] = {
    {"hold", hold},
    {"memory", memory},
    {"cards", cards},
    {"agree", agree},
    {"lists", lists},
    {"sizes", sizes},
    {"details", details},
    {"odd_calls", odd_calls},
    {"samples", samples},
    {"move_the_wall", move_the_wall},
    {0},
};

int main(int argc, char **argv)
{
    if (kit_is_child(argc, argv))
        return kit_child(argc, argv, bodies);
    g_test_init(&argc, &argv, NULL);
#define TEST(name) g_test_add_func("/nvml/" #name, name)
    TEST(memory_is_the_slices_in_every_version);
    TEST(memory_agrees_with_cuda_to_the_byte);
    TEST(memory_that_nvml_does_not_know_is_the_limit);
    TEST(without_a_limit_memory_is_the_drivers);
    TEST(a_slice_sees_exactly_its_own_cards);
    TEST(a_slice_of_an_instance_sees_its_card_and_no_other_instance);
    TEST(without_a_grant_the_drivers_list_counts);
    TEST(lists_show_the_slices_processes_only);
    TEST(lists_keep_the_protocol_of_sizes);
    TEST(detail_list_is_the_same_list);
    TEST(samples_are_of_the_slices_processes_only);
    TEST(odd_calls_get_the_librarys_own_answers);
    TEST(the_drivers_wall_is_not_moved_from_inside);
    TEST(in_a_pid_namespace_tools_see_the_pids_of_the_namespace);
    return g_test_run();
}
