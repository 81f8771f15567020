/* SPDX-License-Identifier: Apache-2.0
 *
 * NVML as a process of the slice sees it: memory, the driver's wall, and who
 * is who.
 *
 * Invariants:
 *   1. The library is asked first, with the caller's own arguments where they
 *      can do no harm: its errors (not initialised, no such handle, a NULL
 *      pointer, an unknown version) are the caller's.
 *   2. No pid of another slice, and no memory of one, is ever shown. What
 *      cannot be matched is left out.
 *   3. Memory figures are those of cuMemGetInfo.
 */
#include "preload/nvml_view.h"

#include <errno.h>
#include <stdatomic.h>
#include <sys/mman.h>

#include "preload/hook.h"
#include "preload/identity.h"
#include "preload/memory.h"
#include "preload/real.h"
#include "region/ledger.h"

enum slice_state nvml_view(void)
{
    enum slice_state state = slice_attach_nvml();
    if (state == SLICE_ON)
        identity_learn();
    return state;
}

int nvml_view_device(nvmlDevice_t device)
{
    char uuid[REGION_UUID_BYTES] = "";
    if (real_nvml.nvmlDeviceGetUUID(device, uuid, sizeof uuid) != NVML_SUCCESS)
        return -1;
    return slice_device_of_uuid(uuid);
}

static const struct region_slot *slots(void)
{
    return slice.region.base->procs;
}

static int slots_used(void)
{
    int n = __atomic_load_n(&slice.region.base->proc_num, __ATOMIC_RELAXED);
    return n < 0 ? 0 : n > REGION_SLOTS ? REGION_SLOTS : n;
}

static bool holds_memory(int slot)
{
    for (unsigned d = 0; d < slice.n_devices; d++)
        if (ledger_held(&slice.region, slot, d))
            return true;
    return false;
}

/* A slot whose host pid nobody could tell is meant by its own pid: where NVML
 * knows this pid namespace it lists that, and only who holds memory is listed. */
int nvml_view_slot(unsigned pid)
{
    for (int i = 0; i < slots_used(); i++) {
        const struct region_slot *s = &slots()[i];
        if (__atomic_load_n(&s->status, __ATOMIC_RELAXED) == REGION_SLOT_FREE || !s->pid)
            continue;
        if (s->hostpid ? (unsigned)s->hostpid == pid : (unsigned)s->pid == pid && holds_memory(i))
            return i;
    }
    return -1;
}

unsigned nvml_view_pid(int slot)
{
    return (unsigned)slots()[slot].pid;
}

unsigned nvml_view_host_pid(unsigned pid)
{
    for (int i = 0; i < slots_used(); i++)
        if (slots()[i].status != REGION_SLOT_FREE && (unsigned)slots()[i].pid == pid)
            return (unsigned)(slots()[i].hostpid ? slots()[i].hostpid : slots()[i].pid);
    return 0;
}

void *nvml_view_scratch(size_t bytes)
{
    void *m = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return m == MAP_FAILED ? NULL : m;
}

void nvml_view_scratch_free(void *scratch, size_t bytes)
{
    if (scratch)
        munmap(scratch, bytes);
}

/* ---- initialisation ---- */

/* Nothing is learnt here: a program that initialises NVML may never ask for
 * anything that concerns the slice. */
HOOK nvmlReturn_t nvmlInit(void)
{
    return real_nvml.nvmlInit();
}

HOOK nvmlReturn_t nvmlInit_v2(void)
{
    return real_nvml.nvmlInit_v2();
}

HOOK nvmlReturn_t nvmlInitWithFlags(unsigned int flags)
{
    return real_nvml.nvmlInitWithFlags(flags);
}

/* ---- memory ---- */

struct view {
    unsigned long long total, free, used;
};

/* What the slice sees of a device with these genuine figures. A device whose
 * memory NVML does not know (`known` false: unified memory) has the limit. */
static bool view_of(nvmlDevice_t device, bool known, struct view genuine, struct view *ret)
{
    int d = nvml_view_device(device);
    uint64_t limit = d < 0 ? 0 : slice_mem_limit((unsigned)d);
    if (!limit)
        return false;
    memory_settle();
    struct memory_figures f =
        memory_figures((unsigned)d, known ? genuine.total : limit, known ? genuine.free : limit);
    *ret = (struct view){.total = f.total, .free = f.free, .used = f.total - f.free};
    return true;
}

/* After the library's answer of either version: NVML_SUCCESS and *figures those
 * of the slice, or *ret_ours false and the library's answer stands. */
static nvmlReturn_t view_memory(nvmlDevice_t device, nvmlReturn_t result, struct view *figures,
                                bool *ret_ours)
{
    *ret_ours = false;
    if (result != NVML_SUCCESS && result != NVML_ERROR_NOT_SUPPORTED)
        return result;
    enum slice_state state = nvml_view();
    if (state != SLICE_ON)
        return state == SLICE_REFUSED ? NVML_ERROR_NO_PERMISSION : result;
    *ret_ours = view_of(device, result == NVML_SUCCESS, *figures, figures);
    return *ret_ours ? NVML_SUCCESS : result;
}

HOOK nvmlReturn_t nvmlDeviceGetMemoryInfo(nvmlDevice_t device, nvmlMemory_t *memory)
{
    nvmlReturn_t result = real_nvml.nvmlDeviceGetMemoryInfo(device, memory);
    if (!memory)
        return result;
    struct view v = {0};
    bool ours;
    if (result == NVML_SUCCESS)
        v = (struct view){.total = memory->total, .free = memory->free};
    result = view_memory(device, result, &v, &ours);
    if (ours)
        *memory = (nvmlMemory_t){.total = v.total, .free = v.free, .used = v.used};
    return result;
}

HOOK nvmlReturn_t nvmlDeviceGetMemoryInfo_v2(nvmlDevice_t device, nvmlMemory_v2_t *memory)
{
    nvmlReturn_t result = real_nvml.nvmlDeviceGetMemoryInfo_v2(device, memory);
    if (!memory)
        return result;
    struct view v = {0};
    bool ours;
    if (result == NVML_SUCCESS)
        v = (struct view){.total = memory->total, .free = memory->free};
    result = view_memory(device, result, &v, &ours);
    if (ours)
        *memory =
            (nvmlMemory_v2_t){.version = memory->version, .total = v.total, .free = v.free, .used = v.used};
    return result;
}

/* ---- the driver's own wall ---- */

HOOK nvmlReturn_t nvmlDeviceGetMemoryLimits_v1(nvmlDevice_t device, nvmlGetMemoryLimits_v1_t *limits)
{
    return real_nvml.nvmlDeviceGetMemoryLimits_v1(device, limits);
}

/* The host sets the wall; a process inside the slice does not move it, not
 * even where it runs as root. */
HOOK nvmlReturn_t nvmlDeviceSetMemoryLimits_v1(nvmlDevice_t device, nvmlSetMemoryLimits_v1_t *limits)
{
    return nvml_view() == SLICE_OFF ? real_nvml.nvmlDeviceSetMemoryLimits_v1(device, limits)
                                    : NVML_ERROR_NO_PERMISSION;
}
