/* SPDX-License-Identifier: Apache-2.0
 *
 * NVML on a machine of two cards: handles, structures of all ages, memory,
 * process lists, links, events and injected faults.
 */
#include "machine.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include "abi/nvml_api.h"
#include "sim/fault.h"

#define CARD_MIB 40960ULL

static void look_at_machine(void)
{
    char err[256];
    g_assert_cmpint(sim_state_open(err, sizeof(err)), ==, 0);
}

static nvmlDevice_t card(unsigned index)
{
    nvmlDevice_t d;
    g_assert_cmpint(nvmlDeviceGetHandleByIndex_v2(index, &d), ==, NVML_SUCCESS);
    return d;
}

/* ---- initialisation and handles ---- */

static void test_init_is_counted(void)
{
    unsigned n = 0;
    g_assert_cmpint(nvmlDeviceGetCount_v2(&n), ==, NVML_ERROR_UNINITIALIZED);
    g_assert_cmpint(nvmlDeviceGetGspFirmwareMode(NULL, NULL, NULL), ==, NVML_ERROR_UNINITIALIZED);
    g_assert_cmpint(nvmlShutdown(), ==, NVML_ERROR_UNINITIALIZED);
    g_assert_cmpint(nvmlInit_v2(), ==, NVML_SUCCESS);
    g_assert_cmpint(nvmlInitWithFlags(0), ==, NVML_SUCCESS);
    g_assert_cmpint(nvmlShutdown(), ==, NVML_SUCCESS);
    g_assert_cmpint(nvmlDeviceGetCount_v2(&n), ==, NVML_SUCCESS);
    g_assert_cmpuint(n, ==, 2);
    g_assert_cmpint(nvmlDeviceGetGspFirmwareMode(NULL, NULL, NULL), ==, NVML_ERROR_NOT_SUPPORTED);
    g_assert_cmpint(nvmlShutdown(), ==, NVML_SUCCESS);
    g_assert_cmpint(nvmlDeviceGetCount_v2(&n), ==, NVML_ERROR_UNINITIALIZED);
    g_assert_cmpint(nvmlInit(), ==, NVML_SUCCESS);
}

static void test_handles(void)
{
    char text[96];
    nvmlDevice_t d;
    unsigned index;
    g_assert_cmpint(nvmlDeviceGetHandleByIndex_v2(2, &d), ==, NVML_ERROR_INVALID_ARGUMENT);
    g_assert_cmpint(nvmlDeviceGetUUID(card(1), text, sizeof(text)), ==, NVML_SUCCESS);
    g_assert_cmpint(nvmlDeviceGetHandleByUUID(text, &d), ==, NVML_SUCCESS);
    g_assert_true(d == card(1));
    g_assert_cmpint(nvmlDeviceGetSerial(d, text, sizeof(text)), ==, NVML_SUCCESS);
    g_assert_cmpint(nvmlDeviceGetHandleBySerial(text, &d), ==, NVML_SUCCESS);
    g_assert_true(d == card(1));
    g_assert_cmpint(nvmlDeviceGetHandleByPciBusId_v2("0000:02:00.0", &d), ==, NVML_SUCCESS);
    g_assert_cmpint(nvmlDeviceGetIndex(d, &index), ==, NVML_SUCCESS);
    g_assert_cmpuint(index, ==, 1);
    g_assert_cmpint(nvmlDeviceGetHandleByUUID("GPU-0", &d), ==, NVML_ERROR_NOT_FOUND);
    g_assert_cmpint(nvmlDeviceGetName((nvmlDevice_t)(void *)&d, text, sizeof(text)), ==,
                    NVML_ERROR_INVALID_ARGUMENT);
    g_assert_cmpint(nvmlDeviceGetName(NULL, text, sizeof(text)), ==, NVML_ERROR_INVALID_ARGUMENT);
    g_assert_cmpint(nvmlDeviceGetName(card(0), text, 4), ==, NVML_ERROR_INSUFFICIENT_SIZE);
    g_assert_cmpint(nvmlDeviceGetName(card(0), text, 23), ==, NVML_SUCCESS);
    g_assert_cmpstr(text, ==, "NVIDIA A100-SXM4-40GB");
}

static void test_uuid_matches_cuda(void)
{
    nvmlUUID_t uuid = {.version = sizeof(nvmlUUID_t) | 1u << 24, .type = 2};
    CUuuid cuda;
    nvmlDevice_t d;
    machine_start();
    assert_ok(cuDeviceGetUuid_v2(&cuda, 1));
    memcpy(uuid.value.bytes, cuda.bytes, sizeof(cuda.bytes));
    g_assert_cmpint(nvmlDeviceGetHandleByUUIDV(&uuid, &d), ==, NVML_SUCCESS);
    g_assert_true(d == card(1));
    uuid.version = 1;
    g_assert_cmpint(nvmlDeviceGetHandleByUUIDV(&uuid, &d), ==, NVML_ERROR_ARGUMENT_VERSION_MISMATCH);
}

static void test_pci_structures(void)
{
    unsigned char bytes[sizeof(nvmlPciInfo_t) + 16];
    nvmlPciInfo_t *pci = (nvmlPciInfo_t *)(void *)bytes;
    static const struct {
        nvmlReturn_t (*get)(nvmlDevice_t, nvmlPciInfo_t *);
        size_t written;
    } rows[] = {{nvmlDeviceGetPciInfo, 32}, {nvmlDeviceGetPciInfo_v2, 52}, {nvmlDeviceGetPciInfo_v3, 68}};
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        memset(bytes, 0xab, sizeof(bytes));
        g_assert_cmpint(rows[i].get(card(0), pci), ==, NVML_SUCCESS);
        g_assert_cmpstr(pci->busIdLegacy, ==, "0000:01:00.0");
        g_assert_cmpuint(pci->pciDeviceId, ==, 0x20b010de);
        for (gsize k = rows[i].written; k < sizeof(bytes); k++)
            g_assert_cmphex(bytes[k], ==, 0xab);
    }
    g_assert_cmpstr(pci->busId, ==, "00000000:01:00.0");
}

static void test_texts_of_errors(void)
{
    g_assert_cmpstr(nvmlErrorString(NVML_SUCCESS), ==, "Success");
    g_assert_cmpstr(nvmlErrorString(NVML_ERROR_NOT_SUPPORTED), ==, "Not Supported");
    g_assert_cmpstr(nvmlErrorString((nvmlReturn_t)12345), ==, "Unknown Error");
}

/* ---- memory and processes ---- */

static void test_memory_versions(void)
{
    nvmlMemory_t v1;
    nvmlMemory_v2_t v2 = {.version = 2};
    CUdeviceptr p;
    machine_start();
    assert_ok(cuMemAlloc_v2(&p, 100 * MIB));
    g_assert_cmpint(nvmlDeviceGetMemoryInfo_v2(card(0), &v2), ==, NVML_ERROR_ARGUMENT_VERSION_MISMATCH);
    v2.version = 0x02000028;
    g_assert_cmpint(nvmlDeviceGetMemoryInfo_v2(card(0), &v2), ==, NVML_SUCCESS);
    g_assert_cmpint(nvmlDeviceGetMemoryInfo(card(0), &v1), ==, NVML_SUCCESS);
    g_assert_cmpuint(v1.total, ==, CARD_MIB * MIB);
    g_assert_cmpuint(v2.total, ==, v2.reserved + v2.free + v2.used);
    g_assert_cmpuint(v1.used, ==, v2.used + v2.reserved);
    g_assert_cmpuint(v1.free, ==, machine_free());
    g_assert_cmpuint(v1.used, >=, 100 * MIB);
    assert_ok(cuMemFree_v2(p));
    g_assert_cmpint(nvmlDeviceGetMemoryInfo(card(1), &v1), ==, NVML_SUCCESS);
    g_assert_cmpuint(v1.used, ==, 0);
}

static int child_hold(void)
{
    CUdeviceptr p;
    char c = 'x';
    machine_start();
    assert_ok(cuMemAlloc_v2(&p, 200 * MIB));
    machine_send(3, &c, 1, -1);
    machine_receive(3, &c, 1);
    return 0;
}

static void test_process_lists(void)
{
    int fd;
    char c;
    unsigned n = 0;
    nvmlProcessInfo_v1_t v1[8];
    nvmlProcessInfo_t v3[8];
    nvmlProcessDetail_v1_t details[8];
    nvmlProcessDetailList_t list = {
        .version = sizeof(list) | 1u << 24, .numProcArrayEntries = 8, .procArray = details};
    machine_start();
    GPid pid = machine_child("hold", &fd);
    machine_receive(fd, &c, 1);
    g_assert_cmpint(nvmlDeviceGetComputeRunningProcesses_v3(card(0), &n, NULL), ==,
                    NVML_ERROR_INSUFFICIENT_SIZE);
    g_assert_cmpuint(n, ==, 2);
    n = 1;
    memset(v3, 0xab, sizeof(v3));
    g_assert_cmpint(nvmlDeviceGetComputeRunningProcesses_v3(card(0), &n, v3), ==,
                    NVML_ERROR_INSUFFICIENT_SIZE);
    g_assert_cmpuint(n, ==, 2);
    n = 8;
    g_assert_cmpint(nvmlDeviceGetComputeRunningProcesses_v3(card(0), &n, v3), ==, NVML_SUCCESS);
    g_assert_cmpuint(n, ==, 2);
    unsigned his = v3[0].pid == (unsigned)pid ? 0 : 1;
    g_assert_cmpuint(v3[his].pid, ==, (unsigned)pid);
    g_assert_cmpuint(v3[1 - his].pid, ==, (unsigned)getpid());
    g_assert_cmpuint(v3[his].usedGpuMemory, >=, 200 * MIB);
    g_assert_cmpuint(v3[his].gpuInstanceId, ==, 0xffffffff);
    n = 8;
    g_assert_cmpint(nvmlDeviceGetComputeRunningProcesses(card(0), &n, v1), ==, NVML_SUCCESS);
    g_assert_cmpuint(v1[his].usedGpuMemory, ==, v3[his].usedGpuMemory);
    g_assert_cmpint(nvmlDeviceGetRunningProcessDetailList(card(0), &list), ==, NVML_SUCCESS);
    g_assert_cmpuint(list.numProcArrayEntries, ==, 2);
    g_assert_cmpuint(details[his].pid, ==, (unsigned)pid);
    n = 8;
    g_assert_cmpint(nvmlDeviceGetGraphicsRunningProcesses_v3(card(0), &n, v3), ==, NVML_SUCCESS);
    g_assert_cmpuint(n, ==, 0);
    machine_send(fd, &c, 1, -1);
    machine_join(pid);
    close(fd);
    n = 8;
    g_assert_cmpint(nvmlDeviceGetComputeRunningProcesses_v3(card(0), &n, v3), ==, NVML_SUCCESS);
    g_assert_cmpuint(n, ==, 1);
    n = 0;
    g_assert_cmpint(nvmlDeviceGetComputeRunningProcesses_v3(card(1), &n, NULL), ==, NVML_SUCCESS);
}

/* ---- a container of its own ---- */

struct inside {
    int refused; /* errno when a namespace could not be made */
    unsigned count, pid, self;
};

static int child_in_namespace(void)
{
    struct inside inside = {0};
    nvmlProcessInfo_t infos[8];
    char c;
    if (unshare(CLONE_NEWPID | CLONE_NEWNS) != 0) {
        inside.refused = errno;
        machine_send(3, &inside, sizeof(inside), -1);
        return 0;
    }
    pid_t first = fork();
    if (first != 0)
        return waitpid(first, NULL, 0) == first ? 0 : 1;
    g_assert_cmpint(mount("none", "/proc", NULL, MS_PRIVATE, NULL), ==, 0); /* "/" is no mount in a chroot */
    g_assert_cmpint(mount("proc", "/proc", "proc", 0, NULL), ==, 0);
    machine_start();
    g_assert_cmpint(nvmlInit_v2(), ==, NVML_SUCCESS);
    inside.count = 8;
    g_assert_cmpint(nvmlDeviceGetComputeRunningProcesses_v3(card(0), &inside.count, infos), ==, NVML_SUCCESS);
    inside.pid = infos[0].pid;
    inside.self = (unsigned)getpid();
    machine_send(3, &inside, sizeof(inside), -1);
    machine_receive(3, &c, 1);
    return 0;
}

static void test_pids_are_the_callers(void)
{
    int fd;
    struct inside inside;
    nvmlProcessInfo_t infos[8];
    unsigned n = 8;
    machine_start();
    GPid pid = machine_child("namespace", &fd);
    machine_receive(fd, &inside, sizeof(inside));
    if (inside.refused != 0) {
        g_test_skip("a pid namespace cannot be made here: root is needed");
    } else {
        g_assert_cmpuint(inside.count, ==, 1); /* it does not see us */
        g_assert_cmpuint(inside.pid, ==, inside.self);
        g_assert_cmpuint(inside.self, ==, 1);
        g_assert_cmpint(nvmlDeviceGetComputeRunningProcesses_v3(card(0), &n, infos), ==, NVML_SUCCESS);
        g_assert_cmpuint(n, ==, 2); /* we see it, with the pid it has here */
        unsigned his = infos[0].pid == (unsigned)getpid() ? infos[1].pid : infos[0].pid;
        g_assert_cmpuint(his, !=, 1);
        g_assert_cmpint(kill((pid_t)his, 0), ==, 0);
        machine_send(fd, "x", 1, -1);
    }
    machine_join(pid);
    close(fd);
}

static void test_killed_process_is_not_listed(void)
{
    int fd, status;
    char c;
    unsigned n = 8;
    nvmlProcessInfo_t infos[8];
    nvmlMemory_t before, after;
    machine_start();
    g_assert_cmpint(nvmlDeviceGetMemoryInfo(card(0), &before), ==, NVML_SUCCESS);
    GPid pid = machine_child("hold", &fd);
    machine_receive(fd, &c, 1);
    g_assert_cmpint(kill(pid, SIGKILL), ==, 0);
    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    close(fd);
    g_assert_cmpint(nvmlDeviceGetComputeRunningProcesses_v3(card(0), &n, infos), ==, NVML_SUCCESS);
    g_assert_cmpuint(n, ==, 1);
    g_assert_cmpint(nvmlDeviceGetMemoryInfo(card(0), &after), ==, NVML_SUCCESS);
    g_assert_cmpuint(after.used, ==, before.used);
}

/* ---- topology ---- */

static void test_topology(void)
{
    nvmlGpuTopologyLevel_t level;
    nvmlEnableState_t active;
    nvmlPciInfo_t pci;
    nvmlDevice_t near[2];
    nvmlGpuP2PStatus_t p2p;
    unsigned n = 0, links = 0;
    g_assert_cmpint(nvmlDeviceGetTopologyCommonAncestor(card(0), card(1), &level), ==, NVML_SUCCESS);
    g_assert_cmpint(level, ==, NVML_TOPOLOGY_NODE);
    while (nvmlDeviceGetNvLinkState(card(0), links, &active) == NVML_SUCCESS)
        links++;
    g_assert_cmpuint(links, ==, 12);
    g_assert_cmpint(nvmlDeviceGetNvLinkRemotePciInfo_v2(card(0), 11, &pci), ==, NVML_SUCCESS);
    g_assert_cmpstr(pci.busId, ==, "00000000:02:00.0");
    g_assert_cmpint(nvmlDeviceGetTopologyNearestGpus(card(0), NVML_TOPOLOGY_NODE, &n, NULL), ==,
                    NVML_SUCCESS);
    g_assert_cmpuint(n, ==, 1);
    g_assert_cmpint(nvmlDeviceGetTopologyNearestGpus(card(0), NVML_TOPOLOGY_NODE, &n, near), ==,
                    NVML_SUCCESS);
    g_assert_true(near[0] == card(1));
    g_assert_cmpint(nvmlDeviceGetP2PStatus(card(0), card(1), NVML_P2P_CAPS_INDEX_NVLINK, &p2p), ==,
                    NVML_SUCCESS);
    g_assert_cmpint(p2p, ==, NVML_P2P_STATUS_OK);
    unsigned long cpus[16] = {0};
    g_assert_cmpint(nvmlDeviceGetCpuAffinity(card(0), 16, cpus), ==, NVML_SUCCESS);
    g_assert_true((cpus[0] & 1) != 0);
}

static void test_field_values(void)
{
    nvmlFieldValue_t v[] = {{.fieldId = NVML_FI_DEV_NVLINK_LINK_COUNT}, {.fieldId = 60000}};
    g_assert_cmpint(nvmlDeviceGetFieldValues(card(0), 2, v), ==, NVML_SUCCESS);
    g_assert_cmpint(v[0].nvmlReturn, ==, NVML_SUCCESS);
    g_assert_cmpuint(v[0].value.uiVal, ==, 12);
    g_assert_cmpint(v[1].nvmlReturn, ==, NVML_ERROR_NOT_SUPPORTED);
}

/* ---- events and faults ---- */

static gpointer inject_when_told(gpointer told)
{
    g_async_queue_pop(told);
    sim_fault_xid(1, 79);
    return NULL;
}

static void test_events(void)
{
    nvmlEventSet_t set;
    nvmlEventData_t data;
    GAsyncQueue *told = g_async_queue_new();
    look_at_machine();
    sim_fault_xid(1, 13); /* before the registration: not ours */
    g_assert_cmpint(nvmlEventSetCreate(&set), ==, NVML_SUCCESS);
    g_assert_cmpint(nvmlDeviceRegisterEvents(card(1), 1ULL << 40, set), ==, NVML_ERROR_NOT_SUPPORTED);
    g_assert_cmpint(nvmlDeviceRegisterEvents(card(1), nvmlEventTypeXidCriticalError, set), ==, NVML_SUCCESS);
    g_assert_cmpint(nvmlEventSetWait_v2(set, &data, 0), ==, NVML_ERROR_TIMEOUT);
    GThread *thread = g_thread_new("injects", inject_when_told, told);
    g_async_queue_push(told, told);
    g_assert_cmpint(nvmlEventSetWait_v2(set, &data, 60000), ==, NVML_SUCCESS);
    g_thread_join(thread);
    g_async_queue_unref(told);
    g_assert_true(data.device == card(1));
    g_assert_cmpuint(data.eventType, ==, nvmlEventTypeXidCriticalError);
    g_assert_cmpuint(data.eventData, ==, 79);
    g_assert_cmpint(nvmlEventSetWait_v2(set, &data, 0), ==, NVML_ERROR_TIMEOUT);
    sim_fault_xid(0, 31); /* a card that is not in the set */
    g_assert_cmpint(nvmlEventSetWait_v2(set, &data, 0), ==, NVML_ERROR_TIMEOUT);
    g_assert_cmpint(nvmlEventSetFree(set), ==, NVML_SUCCESS);
}

static void test_lost_device(void)
{
    nvmlMemory_t memory;
    look_at_machine();
    sim_fault_lose(1, true);
    g_assert_cmpint(nvmlDeviceGetMemoryInfo(card(0), &memory), ==, NVML_SUCCESS);
    nvmlDevice_t d;
    g_assert_cmpint(nvmlDeviceGetHandleByIndex_v2(1, &d), ==, NVML_ERROR_GPU_IS_LOST);
    g_assert_cmpint(nvmlDeviceGetMemoryInfo(d, &memory), ==, NVML_ERROR_GPU_IS_LOST);
    sim_fault_clear(1);
    g_assert_cmpint(nvmlDeviceGetMemoryInfo(d, &memory), ==, NVML_SUCCESS);
}

static void test_hang(void)
{
    unsigned n;
    look_at_machine();
    gint64 before = g_get_monotonic_time();
    sim_fault_hang_nvml(0, 30);
    g_assert_cmpint(nvmlDeviceGetMinorNumber(card(0), &n), ==, NVML_SUCCESS); /* two calls, two waits */
    sim_fault_clear(0);
    g_assert_cmpint(g_get_monotonic_time() - before, >=, 60000);
}

static void test_accounting(void)
{
    nvmlEnableState_t mode;
    nvmlAccountingStats_t stats;
    unsigned n = 8, pids[8];
    machine_start();
    g_assert_cmpint(nvmlDeviceGetAccountingMode(card(0), &mode), ==, NVML_SUCCESS);
    g_assert_cmpint(mode, ==, NVML_FEATURE_DISABLED);
    g_assert_cmpint(nvmlDeviceGetAccountingPids(card(0), &n, pids), ==, NVML_ERROR_NOT_SUPPORTED);
    if (geteuid() != 0) {
        g_assert_cmpint(nvmlDeviceSetAccountingMode(card(0), NVML_FEATURE_ENABLED), ==,
                        NVML_ERROR_NO_PERMISSION);
        return;
    }
    g_assert_cmpint(nvmlDeviceSetAccountingMode(card(0), NVML_FEATURE_ENABLED), ==, NVML_SUCCESS);
    g_assert_cmpint(nvmlDeviceGetAccountingPids(card(0), &n, pids), ==, NVML_SUCCESS);
    g_assert_cmpuint(n, ==, 1);
    g_assert_cmpint(nvmlDeviceGetAccountingStats(card(0), pids[0], &stats), ==, NVML_SUCCESS);
    g_assert_cmpuint(stats.isRunning, ==, 1);
    g_assert_cmpint(nvmlDeviceGetAccountingStats(card(0), 1u << 30, &stats), ==, NVML_ERROR_NOT_FOUND);
    g_assert_cmpint(nvmlDeviceSetAccountingMode(card(0), NVML_FEATURE_DISABLED), ==, NVML_SUCCESS);
}

int main(int argc, char **argv)
{
    machine_init(&argc, &argv, "2xa100-40g");
    if (machine_child_name() != NULL)
        return strcmp(machine_child_name(), "hold") == 0 ? child_hold() : child_in_namespace();
    g_test_add_func("/nvml/init_and_shutdown_are_counted", test_init_is_counted);
    g_test_add_func("/nvml/handle_is_found_by_uuid_serial_and_address", test_handles);
    g_test_add_func("/nvml/uuid_is_the_one_of_cuda", test_uuid_matches_cuda);
    g_test_add_func("/nvml/old_pci_structures_are_not_overrun", test_pci_structures);
    g_test_add_func("/nvml/every_error_has_a_text", test_texts_of_errors);
    g_test_add_func("/nvml/memory_versions_agree_with_cuda", test_memory_versions);
    g_test_add_func("/nvml/process_lists_follow_the_two_call_protocol", test_process_lists);
    g_test_add_func("/nvml/pids_are_those_of_the_callers_namespace", test_pids_are_the_callers);
    g_test_add_func("/nvml/killed_process_is_not_listed", test_killed_process_is_not_listed);
    g_test_add_func("/nvml/topology_is_the_profiles", test_topology);
    g_test_add_func("/nvml/unknown_field_fails_alone", test_field_values);
    g_test_add_func("/nvml/event_set_sees_each_later_xid_once", test_events);
    g_test_add_func("/nvml/lost_device_refuses_until_cleared", test_lost_device);
    g_test_add_func("/nvml/injected_hang_blocks_every_call", test_hang);
    g_test_add_func("/nvml/accounting_knows_running_processes_when_on", test_accounting);
    return machine_run();
}
