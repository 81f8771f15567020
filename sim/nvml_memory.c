/* SPDX-License-Identifier: Apache-2.0
 *
 * Memory of devices. What is used is physical use of all processes; under a
 * per-cgroup limit (driver R615) a process sees its own control group's share.
 * A card without memory of its own (gb10) has no figures.
 */
#include "nvml.h"
#include "wall.h"

#include <string.h>

struct memory {
    uint64_t total, used;
};

static nvmlReturn_t memory_of(nvmlDevice_t device, struct memory *ret)
{
    struct sim_nvml_device d;
    nvmlReturn_t r = sim_nvml_device(device, &d);
    if (r != NVML_SUCCESS)
        return r;
    if (d.profile->unified_memory)
        return NVML_ERROR_NOT_SUPPORTED;
    ret->total = sim_part_bytes(d.index, d.part);
    ret->used = sim_inspect_mem_used(d.index, d.part == 0 ? UINT32_MAX : d.part);
    struct sim_wall_view wall;
    if (sim_wall_of_caller(d.index, &wall) && wall.hard_bytes < ret->total) {
        ret->total = wall.hard_bytes;
        ret->used = wall.used_bytes;
    }
    if (ret->used > ret->total)
        ret->used = ret->total;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetMemoryInfo(nvmlDevice_t device, nvmlMemory_t *memory)
{
    struct memory m;
    nvmlReturn_t r = memory_of(device, &m);
    if (r == NVML_SUCCESS && memory == NULL)
        r = NVML_ERROR_INVALID_ARGUMENT;
    if (r != NVML_SUCCESS)
        return r;
    memory->total = m.total;
    memory->free = m.total - m.used;
    memory->used = m.used;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetMemoryInfo_v2(nvmlDevice_t device, nvmlMemory_v2_t *memory)
{
    struct memory m;
    nvmlReturn_t r = memory_of(device, &m);
    if (r == NVML_SUCCESS && memory == NULL)
        r = NVML_ERROR_INVALID_ARGUMENT;
    if (r != NVML_SUCCESS)
        return r;
    if (!sim_nvml_versioned(memory, SIM_NVML_VERSION(nvmlMemory_v2_t, 2)))
        return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    memory->total = m.total;
    memory->reserved = 0;
    memory->free = m.total - m.used;
    memory->used = m.used;
    return NVML_SUCCESS;
}

uint64_t hami_sim_system_bytes(nvmlDevice_t device)
{
    struct sim_nvml_device d;
    if (sim_nvml_device(device, &d) != NVML_SUCCESS || !d.profile->unified_memory)
        return 0;
    return d.profile->mem_bytes;
}

/* Each context maps its command buffers there: two mebibytes, as is usual. */
nvmlReturn_t nvmlDeviceGetBAR1MemoryInfo(nvmlDevice_t device, nvmlBAR1Memory_t *memory)
{
    struct sim_nvml_device d;
    nvmlReturn_t r = sim_nvml_card(device, &d);
    if (r == NVML_SUCCESS && memory == NULL)
        r = NVML_ERROR_INVALID_ARGUMENT;
    if (r != NVML_SUCCESS)
        return r;
    if (d.profile->unified_memory)
        return NVML_ERROR_NOT_SUPPORTED;
    uint64_t used = 1 << 20;
    sim_lock();
    for (uint32_t i = 0; i < sim_state->n_processes; i++)
        if (sim_state->processes[i].used != 0)
            used += (uint64_t)sim_state->processes[i].contexts[d.index] * (2 << 20);
    sim_unlock();
    memory->bar1Total = d.profile->bar1_bytes;
    memory->bar1Used = used < memory->bar1Total ? used : memory->bar1Total;
    memory->bar1Free = memory->bar1Total - memory->bar1Used;
    return NVML_SUCCESS;
}

/* ---- the wall ---- */

/* The limits belong to whole cards; a driver without them does not know the calls. */
static nvmlReturn_t walled_card(nvmlDevice_t device, const char *name, struct sim_nvml_device *ret)
{
    nvmlReturn_t r = sim_nvml_card(device, ret);
    if (r != NVML_SUCCESS)
        return r;
    if (!sim_state->profile.memory_limits || sim_nvml_mig(ret->profile) || ret->profile->unified_memory)
        return NVML_ERROR_NOT_SUPPORTED;
    return name != NULL && name[0] == '/' ? NVML_SUCCESS : NVML_ERROR_INVALID_ARGUMENT;
}

nvmlReturn_t nvmlDeviceSetMemoryLimits_v1(nvmlDevice_t device, nvmlSetMemoryLimits_v1_t *limits)
{
    struct sim_nvml_device d;
    if (limits == NULL)
        return NVML_ERROR_INVALID_ARGUMENT;
    nvmlReturn_t r = walled_card(device, limits->nameSpace, &d);
    if (r != NVML_SUCCESS)
        return r;
    if (!sim_wall_may_set())
        return NVML_ERROR_NO_PERMISSION;
    if (limits->softLimit > limits->hardLimit)
        return NVML_ERROR_INVALID_ARGUMENT;
    switch (sim_wall_set(d.index, limits->nameSpace, limits->softLimit, limits->hardLimit)) {
    case SIM_WALL_SET:
        return NVML_SUCCESS;
    case SIM_WALL_NO_CGROUP:
        return NVML_ERROR_NOT_FOUND;
    case SIM_WALL_FULL:
        break;
    }
    return NVML_ERROR_INSUFFICIENT_RESOURCES;
}

nvmlReturn_t nvmlDeviceGetMemoryLimits_v1(nvmlDevice_t device, nvmlGetMemoryLimits_v1_t *limits)
{
    struct sim_nvml_device d;
    struct sim_wall_view wall;
    if (limits == NULL)
        return NVML_ERROR_INVALID_ARGUMENT;
    nvmlReturn_t r = walled_card(device, limits->nameSpace, &d);
    if (r != NVML_SUCCESS)
        return r;
    sim_wall_get(d.index, limits->nameSpace, &wall);
    limits->softLimit = wall.soft_bytes;
    limits->hardLimit = wall.hard_bytes;
    limits->currentUsed = wall.used_bytes;
    return NVML_SUCCESS;
}
