/* SPDX-License-Identifier: Apache-2.0
 *
 * Accounting of processes. It is off until a privileged caller turns it on,
 * and knows the processes that run; those that have ended are forgotten.
 */
#include "nvml_process.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static _Atomic uint32_t *mode_of(const struct sim_nvml_device *d)
{
    return &sim_state->devices[d->index].accounting;
}

nvmlReturn_t nvmlDeviceGetAccountingMode(nvmlDevice_t device, nvmlEnableState_t *mode)
{
    struct sim_nvml_device d;
    nvmlReturn_t r = sim_nvml_card(device, &d);
    if (r == NVML_SUCCESS && mode == NULL)
        r = NVML_ERROR_INVALID_ARGUMENT;
    if (r == NVML_SUCCESS)
        *mode = atomic_load(mode_of(&d)) ? NVML_FEATURE_ENABLED : NVML_FEATURE_DISABLED;
    return r;
}

nvmlReturn_t nvmlDeviceSetAccountingMode(nvmlDevice_t device, nvmlEnableState_t mode)
{
    struct sim_nvml_device d;
    nvmlReturn_t r = sim_nvml_card(device, &d);
    if (r == NVML_SUCCESS && mode != NVML_FEATURE_ENABLED && mode != NVML_FEATURE_DISABLED)
        r = NVML_ERROR_INVALID_ARGUMENT;
    if (r == NVML_SUCCESS && geteuid() != 0)
        r = NVML_ERROR_NO_PERMISSION;
    if (r == NVML_SUCCESS)
        atomic_store(mode_of(&d), mode == NVML_FEATURE_ENABLED);
    return r;
}

static unsigned buffer_size(const struct sim_nvml_device *d)
{
    (void)d;
    return SIM_PROCESSES;
}

nvmlReturn_t nvmlDeviceGetAccountingBufferSize(nvmlDevice_t device, unsigned int *size)
{
    return sim_nvml_number(device, size, buffer_size);
}

static nvmlReturn_t accounted(nvmlDevice_t device, struct sim_nvml_device *d)
{
    nvmlReturn_t r = sim_nvml_card(device, d);
    return r == NVML_SUCCESS && atomic_load(mode_of(d)) == 0 ? NVML_ERROR_NOT_SUPPORTED : r;
}

nvmlReturn_t nvmlDeviceGetAccountingPids(nvmlDevice_t device, unsigned int *count, unsigned int *pids)
{
    struct sim_nvml_device d;
    size_t n;
    nvmlReturn_t r = accounted(device, &d);
    if (r == NVML_SUCCESS && (count == NULL || (*count > 0 && pids == NULL)))
        r = NVML_ERROR_INVALID_ARGUMENT;
    if (r != NVML_SUCCESS)
        return r;
    struct sim_process_view *views = sim_nvml_processes(&d, &n);
    if (views == NULL)
        return NVML_ERROR_MEMORY;
    unsigned room = *count;
    for (size_t i = 0; i < n && n <= room; i++)
        pids[i] = (unsigned)views[i].pid;
    free(views);
    *count = (unsigned)n;
    return n > room ? NVML_ERROR_INSUFFICIENT_SIZE : NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetAccountingStats(nvmlDevice_t device, unsigned int pid, nvmlAccountingStats_t *stats)
{
    struct sim_nvml_device d;
    size_t n;
    nvmlReturn_t r = accounted(device, &d);
    if (r == NVML_SUCCESS && stats == NULL)
        r = NVML_ERROR_INVALID_ARGUMENT;
    if (r != NVML_SUCCESS)
        return r;
    struct sim_process_view *views = sim_nvml_processes(&d, &n);
    if (views == NULL)
        return NVML_ERROR_MEMORY;
    uint64_t total = sim_part_bytes(d.index, 0), now = sim_now();
    r = NVML_ERROR_NOT_FOUND;
    for (size_t i = 0; i < n && r != NVML_SUCCESS; i++) {
        if ((unsigned)views[i].pid != pid)
            continue;
        uint64_t since = sim_state->processes[views[i].slot].attached_ns, age = now > since ? now - since : 1;
        memset(stats, 0, sizeof(*stats));
        stats->gpuUtilization = (unsigned)(views[i].busy_ns * 100 / age);
        stats->memoryUtilization = (unsigned)(views[i].mem_bytes * 100 / total);
        stats->maxMemoryUsage = views[i].mem_bytes;
        stats->startTime = sim_nvml_epoch_us(since);
        stats->isRunning = 1; /* and time stays 0 as long as it does */
        r = NVML_SUCCESS;
    }
    free(views);
    return r;
}
