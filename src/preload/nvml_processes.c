/* SPDX-License-Identifier: Apache-2.0
 *
 * Process lists: only the slice's processes, under the pids they have in here.
 *
 * Invariants:
 *   1. Every version of every list is one list: entries of 24 bytes are
 *      gathered, filtered and renamed, then written in the caller's version.
 *   2. A compute list also holds the slice's processes that NVML could not be
 *      matched with: their memory is known from the slice's own account.
 *   3. The protocol of sizes is NVML's: a capacity that is too small gets the
 *      number needed and INSUFFICIENT_SIZE, and nothing is written.
 */
#include <string.h>

#include "preload/hook.h"
#include "preload/nvml_view.h"
#include "preload/real.h"
#include "region/ledger.h"

enum list_kind { LIST_COMPUTE, LIST_GRAPHICS, LIST_MPS };

struct gathered {
    nvmlProcessInfo_t *items;
    unsigned n;
};

enum { SCRATCH_BYTES = 2 * NVML_VIEW_PROCESSES_MAX * sizeof(nvmlProcessInfo_t) };

/* NVML's own list, at most NVML_VIEW_PROCESSES_MAX entries of it. */
static nvmlReturn_t ask(nvmlDevice_t device, enum list_kind kind, nvmlProcessInfo_t *items, unsigned *n)
{
    nvmlReturn_t (*const newest[])(nvmlDevice_t, unsigned *, nvmlProcessInfo_t *) = {
        real_nvml.nvmlDeviceGetComputeRunningProcesses_v3, real_nvml.nvmlDeviceGetGraphicsRunningProcesses_v3,
        real_nvml.nvmlDeviceGetMPSComputeRunningProcesses_v3};
    nvmlReturn_t (*const second[])(nvmlDevice_t, unsigned *, nvmlProcessInfo_v2_t *) = {
        real_nvml.nvmlDeviceGetComputeRunningProcesses_v2, real_nvml.nvmlDeviceGetGraphicsRunningProcesses_v2,
        real_nvml.nvmlDeviceGetMPSComputeRunningProcesses_v2};
    _Static_assert(sizeof(nvmlProcessInfo_v2_t) == sizeof(nvmlProcessInfo_t), "v2 and v3 are one layout");
    *n = NVML_VIEW_PROCESSES_MAX;
    nvmlReturn_t result = newest[kind](device, n, items);
    if (result == NVML_ERROR_FUNCTION_NOT_FOUND) {
        *n = NVML_VIEW_PROCESSES_MAX;
        result = second[kind](device, n, (nvmlProcessInfo_v2_t *)(void *)items);
    }
    if (result == NVML_ERROR_INSUFFICIENT_SIZE) {
        *n = NVML_VIEW_PROCESSES_MAX;
        result = NVML_SUCCESS;
    }
    return result;
}

static uint64_t held_by(int slot, int d)
{
    return d < 0 ? 0 : ledger_held(&slice.region, slot, (unsigned)d);
}

static bool is_listed(const struct gathered *g, unsigned pid)
{
    for (unsigned i = 0; i < g->n; i++)
        if (g->items[i].pid == pid)
            return true;
    return false;
}

static void keep_ours(struct gathered *g, const nvmlProcessInfo_t *all, unsigned n, int d)
{
    for (unsigned i = 0; i < n; i++) {
        int slot = nvml_view_slot(all[i].pid);
        if (slot < 0)
            continue;
        nvmlProcessInfo_t *item = &g->items[g->n++];
        *item = all[i];
        item->pid = nvml_view_pid(slot);
        uint64_t held = held_by(slot, d);
        if (item->usedGpuMemory == (unsigned long long)NVML_VALUE_NOT_AVAILABLE || item->usedGpuMemory < held)
            item->usedGpuMemory = held;
    }
}

static void add_unmatched(struct gathered *g, int d)
{
    for (int slot = 0; slot < REGION_SLOTS && slot < slice.region.base->proc_num; slot++) {
        const struct region_slot *s = &slice.region.base->procs[slot];
        uint64_t held = s->status == REGION_SLOT_FREE || !s->pid ? 0 : held_by(slot, d);
        if (!held || is_listed(g, (unsigned)s->pid) || g->n == NVML_VIEW_PROCESSES_MAX)
            continue;
        g->items[g->n++] = (nvmlProcessInfo_t){.pid = (unsigned)s->pid,
                                               .usedGpuMemory = held,
                                               .gpuInstanceId = UINT32_MAX,
                                               .computeInstanceId = UINT32_MAX};
    }
}

/* The list as this slice sees it. `scratch` holds both lists. */
static nvmlReturn_t gather(nvmlDevice_t device, enum list_kind kind, void *scratch, struct gathered *ret)
{
    nvmlProcessInfo_t *all = scratch;
    unsigned n;
    *ret = (struct gathered){.items = all + NVML_VIEW_PROCESSES_MAX};
    nvmlReturn_t result = ask(device, kind, all, &n);
    if (result != NVML_SUCCESS && !(result == NVML_ERROR_NOT_SUPPORTED && kind == LIST_COMPUTE))
        return result;
    int d = nvml_view_device(device);
    region_reclaim(&slice.region);
    if (result == NVML_SUCCESS)
        keep_ours(ret, all, n, d);
    if (kind == LIST_COMPUTE)
        add_unmatched(ret, d);
    return result == NVML_ERROR_NOT_SUPPORTED && ret->n == 0 ? result : NVML_SUCCESS;
}

static void write_items(const struct gathered *g, void *infos, size_t item_bytes)
{
    for (unsigned i = 0; i < g->n; i++)
        memcpy((char *)infos + i * item_bytes, &g->items[i], item_bytes);
}

/* Version 1 entries are the first 16 bytes of the newer ones. */
_Static_assert(sizeof(nvmlProcessInfo_v1_t) == offsetof(nvmlProcessInfo_t, gpuInstanceId), "v1 is a prefix");

static nvmlReturn_t list(nvmlDevice_t device, enum list_kind kind, unsigned *count, void *infos,
                         size_t item_bytes)
{
    void *scratch = nvml_view_scratch(SCRATCH_BYTES);
    struct gathered g;
    if (!scratch)
        return NVML_ERROR_MEMORY;
    nvmlReturn_t result = gather(device, kind, scratch, &g);
    if (result == NVML_SUCCESS) {
        unsigned capacity = infos ? *count : 0;
        *count = g.n;
        if (g.n > capacity)
            result = NVML_ERROR_INSUFFICIENT_SIZE;
        else
            write_items(&g, infos, item_bytes);
    }
    nvml_view_scratch_free(scratch, SCRATCH_BYTES);
    return result;
}

/* Outside a slice, and where there is nowhere to write the number, the library
 * answers by itself. */
#define LIST(symbol, kind, type)                                                                             \
    HOOK nvmlReturn_t symbol(nvmlDevice_t device, unsigned int *count, type *infos)                          \
    {                                                                                                        \
        enum slice_state state = count ? nvml_view_of_initialised() : SLICE_OFF;                             \
        if (state == SLICE_REFUSED)                                                                          \
            return NVML_ERROR_NO_PERMISSION;                                                                 \
        if (state != SLICE_ON)                                                                               \
            return real_nvml.symbol(device, count, infos);                                                   \
        return list(device, kind, count, infos, sizeof *infos);                                              \
    }

/* Attaching asks NVML for its devices, which only answers when initialised. */
static enum slice_state nvml_view_of_initialised(void)
{
    unsigned n;
    return real_nvml.nvmlDeviceGetCount_v2(&n) == NVML_SUCCESS ? nvml_view() : SLICE_OFF;
}

LIST(nvmlDeviceGetComputeRunningProcesses, LIST_COMPUTE, nvmlProcessInfo_v1_t)
LIST(nvmlDeviceGetComputeRunningProcesses_v2, LIST_COMPUTE, nvmlProcessInfo_v2_t)
LIST(nvmlDeviceGetComputeRunningProcesses_v3, LIST_COMPUTE, nvmlProcessInfo_t)
LIST(nvmlDeviceGetGraphicsRunningProcesses, LIST_GRAPHICS, nvmlProcessInfo_v1_t)
LIST(nvmlDeviceGetGraphicsRunningProcesses_v2, LIST_GRAPHICS, nvmlProcessInfo_v2_t)
LIST(nvmlDeviceGetGraphicsRunningProcesses_v3, LIST_GRAPHICS, nvmlProcessInfo_t)
LIST(nvmlDeviceGetMPSComputeRunningProcesses, LIST_MPS, nvmlProcessInfo_v1_t)
LIST(nvmlDeviceGetMPSComputeRunningProcesses_v2, LIST_MPS, nvmlProcessInfo_v2_t)
LIST(nvmlDeviceGetMPSComputeRunningProcesses_v3, LIST_MPS, nvmlProcessInfo_t)

/* ---- the detail list: one call, three modes ---- */

HOOK nvmlReturn_t nvmlDeviceGetRunningProcessDetailList(nvmlDevice_t device, nvmlProcessDetailList_t *details)
{
    enum slice_state state = details ? nvml_view_of_initialised() : SLICE_OFF;
    if (state == SLICE_REFUSED)
        return NVML_ERROR_NO_PERMISSION;
    if (state != SLICE_ON)
        return real_nvml.nvmlDeviceGetRunningProcessDetailList(device, details);
    /* The library judges version and mode, on a copy without room to write. */
    nvmlProcessDetailList_t probe = *details;
    probe.numProcArrayEntries = 0;
    probe.procArray = NULL;
    nvmlReturn_t result = real_nvml.nvmlDeviceGetRunningProcessDetailList(device, &probe);
    if (result != NVML_SUCCESS && result != NVML_ERROR_INSUFFICIENT_SIZE)
        return result;
    if (details->mode > LIST_MPS)
        return NVML_ERROR_INVALID_ARGUMENT;
    void *scratch = nvml_view_scratch(SCRATCH_BYTES);
    struct gathered g;
    if (!scratch)
        return NVML_ERROR_MEMORY;
    result = gather(device, (enum list_kind)details->mode, scratch, &g);
    if (result == NVML_SUCCESS) {
        unsigned capacity = details->procArray ? details->numProcArrayEntries : 0;
        details->numProcArrayEntries = g.n;
        if (g.n > capacity)
            result = NVML_ERROR_INSUFFICIENT_SIZE;
        for (unsigned i = 0; result == NVML_SUCCESS && i < g.n; i++)
            details->procArray[i] =
                (nvmlProcessDetail_v1_t){.pid = g.items[i].pid,
                                         .usedGpuMemory = g.items[i].usedGpuMemory,
                                         .gpuInstanceId = g.items[i].gpuInstanceId,
                                         .computeInstanceId = g.items[i].computeInstanceId};
    }
    nvml_view_scratch_free(scratch, SCRATCH_BYTES);
    return result;
}
