/* SPDX-License-Identifier: Apache-2.0
 *
 * Utilisation samples and accounting: only of the slice's processes, under the
 * pids they have in here. The rates of a whole device pass: they tell nothing
 * about anybody in particular, and monitors compare them with the host's.
 */
#include "preload/hook.h"
#include "preload/nvml_view.h"
#include "preload/real.h"

HOOK nvmlReturn_t nvmlDeviceGetUtilizationRates(nvmlDevice_t device, nvmlUtilization_t *utilization)
{
    return real_nvml.nvmlDeviceGetUtilizationRates(device, utilization);
}

/* ---- samples, first interface ---- */

static nvmlReturn_t ask_samples(nvmlDevice_t device, nvmlProcessUtilizationSample_t *all, unsigned *n,
                                unsigned long long since)
{
    *n = NVML_VIEW_PROCESSES_MAX;
    nvmlReturn_t result = real_nvml.nvmlDeviceGetProcessUtilization(device, all, n, since);
    return result == NVML_ERROR_INSUFFICIENT_SIZE ? NVML_ERROR_MEMORY : result;
}

/* Keeps and renames our samples in place. */
static unsigned keep_samples(nvmlProcessUtilizationSample_t *all, unsigned n)
{
    unsigned kept = 0;
    for (unsigned i = 0; i < n && i < NVML_VIEW_PROCESSES_MAX; i++) {
        int slot = nvml_view_slot(all[i].pid);
        if (slot < 0)
            continue;
        all[kept] = all[i];
        all[kept++].pid = nvml_view_pid(slot);
    }
    return kept;
}

HOOK nvmlReturn_t nvmlDeviceGetProcessUtilization(nvmlDevice_t device,
                                                  nvmlProcessUtilizationSample_t *samples,
                                                  unsigned int *count, unsigned long long since)
{
    unsigned probe = 0;
    nvmlReturn_t result =
        real_nvml.nvmlDeviceGetProcessUtilization(device, NULL, count ? &probe : NULL, since);
    bool could_answer = count && (result == NVML_SUCCESS || result == NVML_ERROR_INSUFFICIENT_SIZE ||
                                  result == NVML_ERROR_NOT_FOUND);
    enum slice_state state = could_answer ? nvml_view() : SLICE_OFF;
    if (state == SLICE_REFUSED)
        return NVML_ERROR_NO_PERMISSION;
    if (state != SLICE_ON)
        return real_nvml.nvmlDeviceGetProcessUtilization(device, samples, count, since);
    size_t bytes = NVML_VIEW_PROCESSES_MAX * sizeof *samples;
    nvmlProcessUtilizationSample_t *all = nvml_view_scratch(bytes);
    if (!all)
        return NVML_ERROR_MEMORY;
    unsigned n;
    result = ask_samples(device, all, &n, since);
    n = result == NVML_SUCCESS ? keep_samples(all, n) : 0;
    if (result == NVML_SUCCESS) {
        unsigned capacity = samples ? *count : 0;
        *count = n;
        result = n == 0 ? NVML_ERROR_NOT_FOUND : n > capacity ? NVML_ERROR_INSUFFICIENT_SIZE : NVML_SUCCESS;
        for (unsigned i = 0; result == NVML_SUCCESS && i < n; i++)
            samples[i] = all[i];
    }
    nvml_view_scratch_free(all, bytes);
    return result;
}

/* ---- samples, second interface ---- */

HOOK nvmlReturn_t nvmlDeviceGetProcessesUtilizationInfo(nvmlDevice_t device,
                                                        nvmlProcessesUtilizationInfo_t *info)
{
    if (!info)
        return real_nvml.nvmlDeviceGetProcessesUtilizationInfo(device, info);
    nvmlProcessesUtilizationInfo_t mine = *info;
    mine.processSamplesCount = 0;
    mine.procUtilArray = NULL;
    nvmlReturn_t result = real_nvml.nvmlDeviceGetProcessesUtilizationInfo(device, &mine);
    bool could_answer =
        result == NVML_SUCCESS || result == NVML_ERROR_INSUFFICIENT_SIZE || result == NVML_ERROR_NOT_FOUND;
    enum slice_state state = could_answer ? nvml_view() : SLICE_OFF;
    if (state == SLICE_REFUSED)
        return NVML_ERROR_NO_PERMISSION;
    if (state != SLICE_ON)
        return real_nvml.nvmlDeviceGetProcessesUtilizationInfo(device, info);
    size_t bytes = NVML_VIEW_PROCESSES_MAX * sizeof *mine.procUtilArray;
    nvmlProcessUtilizationInfo_v1_t *all = nvml_view_scratch(bytes);
    if (!all)
        return NVML_ERROR_MEMORY;
    mine = *info;
    mine.processSamplesCount = NVML_VIEW_PROCESSES_MAX;
    mine.procUtilArray = all;
    result = real_nvml.nvmlDeviceGetProcessesUtilizationInfo(device, &mine);
    if (result == NVML_SUCCESS) {
        unsigned kept = 0;
        for (unsigned i = 0; i < mine.processSamplesCount && i < NVML_VIEW_PROCESSES_MAX; i++) {
            int slot = nvml_view_slot(all[i].pid);
            if (slot < 0)
                continue;
            all[kept] = all[i];
            all[kept++].pid = nvml_view_pid(slot);
        }
        unsigned capacity = info->procUtilArray ? info->processSamplesCount : 0;
        info->processSamplesCount = kept;
        info->lastSeenTimeStamp = mine.lastSeenTimeStamp;
        result = kept == 0         ? NVML_ERROR_NOT_FOUND
                 : kept > capacity ? NVML_ERROR_INSUFFICIENT_SIZE
                                   : NVML_SUCCESS;
        for (unsigned i = 0; result == NVML_SUCCESS && i < kept; i++)
            info->procUtilArray[i] = all[i];
    }
    nvml_view_scratch_free(all, bytes);
    return result;
}

/* ---- accounting ---- */

HOOK nvmlReturn_t nvmlDeviceGetAccountingPids(nvmlDevice_t device, unsigned int *count, unsigned int *pids)
{
    unsigned probe = 0;
    nvmlReturn_t result = real_nvml.nvmlDeviceGetAccountingPids(device, count ? &probe : NULL, NULL);
    bool could_answer = count && (result == NVML_SUCCESS || result == NVML_ERROR_INSUFFICIENT_SIZE);
    enum slice_state state = could_answer ? nvml_view() : SLICE_OFF;
    if (state == SLICE_REFUSED)
        return NVML_ERROR_NO_PERMISSION;
    if (state != SLICE_ON)
        return real_nvml.nvmlDeviceGetAccountingPids(device, count, pids);
    size_t bytes = NVML_VIEW_PROCESSES_MAX * sizeof *pids;
    unsigned *all = nvml_view_scratch(bytes), n = NVML_VIEW_PROCESSES_MAX, kept = 0;
    if (!all)
        return NVML_ERROR_MEMORY;
    result = real_nvml.nvmlDeviceGetAccountingPids(device, &n, all);
    for (unsigned i = 0; result == NVML_SUCCESS && i < n && i < NVML_VIEW_PROCESSES_MAX; i++) {
        int slot = nvml_view_slot(all[i]);
        if (slot >= 0)
            all[kept++] = nvml_view_pid(slot);
    }
    if (result == NVML_SUCCESS) {
        unsigned capacity = pids ? *count : 0;
        *count = kept;
        result = kept > capacity ? NVML_ERROR_INSUFFICIENT_SIZE : NVML_SUCCESS;
        for (unsigned i = 0; result == NVML_SUCCESS && i < kept; i++)
            pids[i] = all[i];
    }
    nvml_view_scratch_free(all, bytes);
    return result;
}

HOOK nvmlReturn_t nvmlDeviceGetAccountingStats(nvmlDevice_t device, unsigned int pid,
                                               nvmlAccountingStats_t *stats)
{
    enum slice_state state = stats ? nvml_view() : SLICE_OFF;
    if (state == SLICE_REFUSED)
        return NVML_ERROR_NO_PERMISSION;
    if (state != SLICE_ON)
        return real_nvml.nvmlDeviceGetAccountingStats(device, pid, stats);
    unsigned host = nvml_view_host_pid(pid);
    return host ? real_nvml.nvmlDeviceGetAccountingStats(device, host, stats) : NVML_ERROR_NOT_FOUND;
}

HOOK nvmlReturn_t nvmlDeviceGetAccountingStats_v2(nvmlDevice_t device, nvmlAccountingStats_v2_t *stats)
{
    enum slice_state state = stats ? nvml_view() : SLICE_OFF;
    if (state == SLICE_REFUSED)
        return NVML_ERROR_NO_PERMISSION;
    if (state != SLICE_ON)
        return real_nvml.nvmlDeviceGetAccountingStats_v2(device, stats);
    unsigned shown = stats->pid;
    stats->pid = nvml_view_host_pid(shown);
    nvmlReturn_t result =
        stats->pid ? real_nvml.nvmlDeviceGetAccountingStats_v2(device, stats) : NVML_ERROR_NOT_FOUND;
    stats->pid = shown;
    return result;
}
