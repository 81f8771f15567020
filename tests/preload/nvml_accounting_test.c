/* SPDX-License-Identifier: Apache-2.0
 *
 * NVML's accounting of processes inside a slice.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "support.h"

/* ---- bodies ---- */

static nvmlDevice_t device_of_first(void)
{
    nvmlDevice_t device = NULL;
    if (kit_nvml()->nvmlInit_v2() != NVML_SUCCESS ||
        kit_nvml()->nvmlDeviceGetHandleByIndex_v2(0, &device) != NVML_SUCCESS)
        _exit(95);
    return device;
}

static int hold(int argc, char **argv)
{
    CUdeviceptr p;
    (void)argc, (void)argv;
    kit_context(0);
    if (kit_cuda()->cuMemAlloc_v2(&p, 100 << 20) != CUDA_SUCCESS)
        return 1;
    kit_tell("holding");
    kit_hear();
    return 0;
}

static int switch_on(int argc, char **argv)
{
    (void)argc, (void)argv;
    kit_tell("%d", kit_nvml()->nvmlDeviceSetAccountingMode(device_of_first(), NVML_FEATURE_ENABLED));
    kit_hear(); /* the machine lives as long as somebody uses it */
    return 0;
}

/* Pids in sight, and what is answered about those of argv. */
static int look(int argc, char **argv)
{
    const struct real_nvml *nv = kit_nvml();
    nvmlDevice_t device = device_of_first();
    unsigned pids[64], n = 64, none = 0;
    nvmlReturn_t r = nv->nvmlDeviceGetAccountingPids(device, &n, pids);
    kit_tell("list %d %u %d", r, r ? 0 : n, nv->nvmlDeviceGetAccountingPids(device, &none, NULL));
    for (int i = 0; i < argc; i++) {
        nvmlAccountingStats_t stats = {0};
        unsigned pid = (unsigned)atoi(argv[i]);
        bool listed = false;
        for (unsigned k = 0; !r && k < n; k++)
            listed |= pids[k] == pid;
        r = nv->nvmlDeviceGetAccountingStats(device, pid, &stats);
        kit_tell("pid %d %d %d", listed, r, stats.maxMemoryUsage >= 100 << 20);
        r = NVML_SUCCESS;
    }
    kit_tell("null %d %d", nv->nvmlDeviceGetAccountingPids(device, NULL, pids),
             nv->nvmlDeviceGetAccountingStats(device, 1, NULL));
    return 0;
}

/* ---- tests ---- */

static struct kit_process *holding(struct kit *kit)
{
    struct kit_process *p = kit_start(kit, "hold", NULL);
    g_autofree char *line = kit_line(p);
    g_assert_cmpstr(line, ==, "holding");
    return p;
}

static void accounting_knows_the_slices_processes_only(void)
{
    struct kit *kit = kit_new(NULL), *other = kit_new(NULL), *bare = kit_new(NULL);
    if (geteuid() != 0) {
        g_test_skip("accounting is switched on by root only");
        return;
    }
    kit_env(other, "HAMI_SIM_STATE", "%s", kit_get_env(kit, "HAMI_SIM_STATE"));
    kit_env(bare, "HAMI_SIM_STATE", "%s", kit_get_env(kit, "HAMI_SIM_STATE"));
    kit_no_preload(bare);
    kit_env(kit, "CUDA_DEVICE_MEMORY_LIMIT", "2G");
    kit_env(other, "CUDA_DEVICE_MEMORY_LIMIT", "2G");
    struct kit_process *mode = kit_start(bare, "switch_on", NULL);
    g_autofree char *on = kit_line(mode);
    g_assert_cmpstr(on, ==, "0");
    struct kit_process *ours = holding(kit), *theirs = holding(other);
    g_autofree char *mine = g_strdup_printf("%d", kit_pid(ours));
    g_autofree char *foreign = g_strdup_printf("%d", kit_pid(theirs));
    g_autofree char *seen = kit_run(kit, "look", mine, foreign, NULL);
    g_autofree char *all = kit_run(bare, "look", mine, foreign, NULL);
    g_test_message("bare: %s", all);
    g_assert_true(g_str_has_prefix(seen, "list 0 1 7\npid 1 0 1\npid 0 6 0\nnull "));
    g_assert_nonnull(strstr(all, "pid 1 0 1\npid 1 0 1\n")); /* the host sees both */
    g_assert_cmpstr(strstr(seen, "null"), ==, strstr(all, "null"));
    kit_free(bare);
    kit_free(other);
    kit_free(kit);
}

static const struct kit_body bodies[] = {{"hold", hold}, {"switch_on", switch_on}, {"look", look}, {0}};

int main(int argc, char **argv)
{
    if (kit_is_child(argc, argv))
        return kit_child(argc, argv, bodies);
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/nvml_accounting/accounting_knows_the_slices_processes_only",
                    accounting_knows_the_slices_processes_only);
    return g_test_run();
}
