/* SPDX-License-Identifier: Apache-2.0
 *
 * Lists of the processes on a device, in all the shapes that NVML has had.
 * Pids are those of the caller's pid namespace; processes outside it are not
 * listed. There is neither graphics nor MPS on a simulated card.
 */
#include "nvml_process.h"
#include "nvml.h"

#include <stdlib.h>
#include <string.h>

struct sim_process_view *sim_nvml_processes(const struct sim_nvml_device *d, size_t *ret_n)
{
    struct sim_process_view *all = malloc(SIM_PROCESSES * sizeof(*all));
    size_t n = all != NULL ? sim_inspect_processes(d->index, all, SIM_PROCESSES) : 0, kept = 0;
    for (size_t i = 0; i < n; i++)
        if (all[i].pid > 0 && (d->part == 0 || all[i].part == d->part))
            all[kept++] = all[i];
    *ret_n = kept;
    return all;
}

static void instance_ids(const struct sim_nvml_device *d, unsigned part, unsigned *gi, unsigned *ci)
{
    bool slice = part > 0 && part <= d->profile->n_mig;
    *gi = slice ? d->profile->mig[part - 1].gi_id : SIM_NVML_UNKNOWN;
    *ci = slice ? d->profile->mig[part - 1].ci_id : SIM_NVML_UNKNOWN;
}

/* Writes one record of a list; each version of the list has its own. */
typedef void (*put_fn)(const struct sim_nvml_device *d, const struct sim_process_view *v, void *at);

static void put_v1(const struct sim_nvml_device *d, const struct sim_process_view *v, void *at)
{
    (void)d;
    nvmlProcessInfo_v1_t *info = at;
    memset(info, 0, sizeof(*info));
    info->pid = (unsigned)v->pid;
    info->usedGpuMemory = v->mem_bytes;
}

static void put_v2(const struct sim_nvml_device *d, const struct sim_process_view *v, void *at)
{
    nvmlProcessInfo_v2_t *info = at;
    memset(info, 0, sizeof(*info));
    info->pid = (unsigned)v->pid;
    info->usedGpuMemory = v->mem_bytes;
    instance_ids(d, v->part, &info->gpuInstanceId, &info->computeInstanceId);
}

static void put_detail(const struct sim_nvml_device *d, const struct sim_process_view *v, void *at)
{
    nvmlProcessDetail_v1_t *info = at;
    memset(info, 0, sizeof(*info));
    info->pid = (unsigned)v->pid;
    info->usedGpuMemory = v->mem_bytes;
    instance_ids(d, v->part, &info->gpuInstanceId, &info->computeInstanceId);
}

static nvmlReturn_t list(const struct sim_nvml_device *d, unsigned *count, void *infos, size_t size,
                         put_fn put)
{
    size_t n;
    struct sim_process_view *views = sim_nvml_processes(d, &n);
    if (views == NULL)
        return NVML_ERROR_MEMORY;
    unsigned room = infos != NULL ? *count : 0;
    for (size_t i = 0; i < n && i < room && n <= room; i++)
        put(d, &views[i], (char *)infos + i * size);
    free(views);
    *count = (unsigned)n;
    return n > room ? NVML_ERROR_INSUFFICIENT_SIZE : NVML_SUCCESS;
}

static nvmlReturn_t compute(nvmlDevice_t device, unsigned *count, void *infos, size_t size, put_fn put)
{
    struct sim_nvml_device d;
    nvmlReturn_t r = sim_nvml_device(device, &d);
    if (r == NVML_SUCCESS && (count == NULL || (*count > 0 && infos == NULL)))
        r = NVML_ERROR_INVALID_ARGUMENT;
    return r != NVML_SUCCESS ? r : list(&d, count, infos, size, put);
}

/* A list that is always empty. */
static nvmlReturn_t none(nvmlDevice_t device, unsigned *count)
{
    struct sim_nvml_device d;
    nvmlReturn_t r = sim_nvml_device(device, &d);
    if (r == NVML_SUCCESS && count == NULL)
        r = NVML_ERROR_INVALID_ARGUMENT;
    if (r == NVML_SUCCESS)
        *count = 0;
    return r;
}

nvmlReturn_t nvmlDeviceGetComputeRunningProcesses(nvmlDevice_t device, unsigned int *count,
                                                  nvmlProcessInfo_v1_t *infos)
{
    return compute(device, count, infos, sizeof(*infos), put_v1);
}

nvmlReturn_t nvmlDeviceGetComputeRunningProcesses_v2(nvmlDevice_t device, unsigned int *count,
                                                     nvmlProcessInfo_v2_t *infos)
{
    return compute(device, count, infos, sizeof(*infos), put_v2);
}

nvmlReturn_t nvmlDeviceGetComputeRunningProcesses_v3(nvmlDevice_t device, unsigned int *count,
                                                     nvmlProcessInfo_t *infos)
{
    return compute(device, count, infos, sizeof(*infos), put_v2);
}

#define EMPTY_LIST(symbol, type)                                                                             \
    nvmlReturn_t symbol(nvmlDevice_t device, unsigned int *count, type *infos)                               \
    {                                                                                                        \
        (void)infos;                                                                                         \
        return none(device, count);                                                                          \
    }
EMPTY_LIST(nvmlDeviceGetGraphicsRunningProcesses, nvmlProcessInfo_v1_t)
EMPTY_LIST(nvmlDeviceGetGraphicsRunningProcesses_v2, nvmlProcessInfo_v2_t)
EMPTY_LIST(nvmlDeviceGetGraphicsRunningProcesses_v3, nvmlProcessInfo_t)
EMPTY_LIST(nvmlDeviceGetMPSComputeRunningProcesses, nvmlProcessInfo_v1_t)
EMPTY_LIST(nvmlDeviceGetMPSComputeRunningProcesses_v2, nvmlProcessInfo_v2_t)
EMPTY_LIST(nvmlDeviceGetMPSComputeRunningProcesses_v3, nvmlProcessInfo_t)

nvmlReturn_t nvmlDeviceGetRunningProcessDetailList(nvmlDevice_t device, nvmlProcessDetailList_t *details)
{
    enum { COMPUTE, GRAPHICS, MPS };
    struct sim_nvml_device d;
    nvmlReturn_t r = sim_nvml_device(device, &d);
    if (r != NVML_SUCCESS)
        return r;
    if (details == NULL)
        return NVML_ERROR_INVALID_ARGUMENT;
    if (!sim_nvml_versioned(details, SIM_NVML_VERSION(nvmlProcessDetailList_v1_t, 1)))
        return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    if (details->mode > MPS || (details->numProcArrayEntries > 0 && details->procArray == NULL))
        return NVML_ERROR_INVALID_ARGUMENT;
    if (details->mode != COMPUTE)
        return none(device, &details->numProcArrayEntries);
    return list(&d, &details->numProcArrayEntries, details->procArray, sizeof(*details->procArray),
                put_detail);
}
