/* SPDX-License-Identifier: Apache-2.0
 *
 * A management library for what the simulated one has not: graphics and MPS
 * processes, cards by the dozen, entries that are missing. Its cards are those
 * of OTHER_NVML_CARDS, UUIDs with commas between. Every list of every card
 * holds a stranger, the caller, and another stranger; what each list says they
 * use tells the lists apart. WITHOUT_V3 leaves the newest lists out, as drivers
 * of 2021 do.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "abi/nvml_api.h"

#define MIB (1ULL << 20)
#define STRANGER 1

static int initialised;

static const char *card_at(unsigned index)
{
    const char *at = getenv("OTHER_NVML_CARDS");

    for (unsigned i = 0; at && i < index; i++)
        at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL;
    return at;
}

static unsigned cards(void)
{
    unsigned n = 0;

    while (card_at(n))
        n++;
    return n;
}

/* A handle is the card's number and one. */
static nvmlReturn_t judge(nvmlDevice_t device)
{
    if (!initialised)
        return NVML_ERROR_UNINITIALIZED;
    return device && (uintptr_t)device <= cards() ? NVML_SUCCESS : NVML_ERROR_INVALID_ARGUMENT;
}

nvmlReturn_t nvmlInit_v2(void)
{
    initialised++;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlShutdown(void)
{
    if (!initialised)
        return NVML_ERROR_UNINITIALIZED;
    initialised--;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetCount_v2(unsigned int *count)
{
    if (!initialised)
        return NVML_ERROR_UNINITIALIZED;
    *count = cards();
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetHandleByIndex_v2(unsigned int index, nvmlDevice_t *device)
{
    if (!initialised)
        return NVML_ERROR_UNINITIALIZED;
    if (index >= cards())
        return NVML_ERROR_INVALID_ARGUMENT;
    *device = (nvmlDevice_t)(uintptr_t)(index + 1);
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetUUID(nvmlDevice_t device, char *uuid, unsigned int length)
{
    nvmlReturn_t r = judge(device);
    const char *name = r == NVML_SUCCESS ? card_at((unsigned)(uintptr_t)device - 1) : "";

    if (r == NVML_SUCCESS)
        snprintf(uuid, length, "%.*s", (int)strcspn(name, ","), name);
    return r;
}

nvmlReturn_t nvmlDeviceGetMemoryInfo(nvmlDevice_t device, nvmlMemory_t *memory)
{
    nvmlReturn_t r = judge(device);

    if (r == NVML_SUCCESS)
        *memory = (nvmlMemory_t){.total = 2048 * MIB, .free = 2000 * MIB, .used = 48 * MIB};
    return r;
}

/* ---- lists ---- */

static nvmlReturn_t list(nvmlDevice_t device, unsigned *n, void *infos, size_t bytes, unsigned mib)
{
    nvmlReturn_t r = judge(device);
    unsigned pids[] = {STRANGER, (unsigned)getpid(), STRANGER};

    if (r != NVML_SUCCESS)
        return r;
    if (!infos || *n < 3) {
        *n = 3;
        return NVML_ERROR_INSUFFICIENT_SIZE;
    }
    for (unsigned i = 0; i < 3; i++) {
        nvmlProcessInfo_t info = {.pid = pids[i],
                                  .usedGpuMemory = mib * MIB,
                                  .gpuInstanceId = UINT32_MAX,
                                  .computeInstanceId = UINT32_MAX};
        memcpy((char *)infos + i * bytes, &info, bytes);
    }
    *n = 3;
    return NVML_SUCCESS;
}

#define LIST(symbol, type, mib)                                                                              \
    nvmlReturn_t symbol(nvmlDevice_t device, unsigned int *n, type *infos)                                   \
    {                                                                                                        \
        return list(device, n, infos, sizeof *infos, mib);                                                   \
    }

LIST(nvmlDeviceGetComputeRunningProcesses, nvmlProcessInfo_v1_t, 501)
LIST(nvmlDeviceGetComputeRunningProcesses_v2, nvmlProcessInfo_v2_t, 501)
LIST(nvmlDeviceGetGraphicsRunningProcesses, nvmlProcessInfo_v1_t, 502)
LIST(nvmlDeviceGetGraphicsRunningProcesses_v2, nvmlProcessInfo_v2_t, 502)
LIST(nvmlDeviceGetMPSComputeRunningProcesses, nvmlProcessInfo_v1_t, 503)
LIST(nvmlDeviceGetMPSComputeRunningProcesses_v2, nvmlProcessInfo_v2_t, 503)
#ifndef WITHOUT_V3
LIST(nvmlDeviceGetComputeRunningProcesses_v3, nvmlProcessInfo_t, 501)
LIST(nvmlDeviceGetGraphicsRunningProcesses_v3, nvmlProcessInfo_t, 502)
LIST(nvmlDeviceGetMPSComputeRunningProcesses_v3, nvmlProcessInfo_t, 503)
#endif
