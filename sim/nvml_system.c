/* SPDX-License-Identifier: Apache-2.0
 *
 * Initialisation, versions, errors and device handles of the simulated NVML.
 */
#include "nvml.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static _Atomic unsigned initialized; /* nvmlInit() less nvmlShutdown() */

/* What a handle points to: the position in this array is what it means. */
static char handles[SIM_DEVICES][SIM_PARTS];

/* ---- initialisation ---- */

nvmlReturn_t nvmlInitWithFlags(unsigned int flags)
{
    char err[512] = "";
    (void)flags; /* all of them allow to go on without cards, which is no error here */
    if (sim_state_open(err, sizeof(err)) != 0) {
        if (getenv("HAMI_SIM_DEBUG") != NULL)
            fprintf(stderr, "simulated NVML: %s\n", err);
        return NVML_ERROR_DRIVER_NOT_LOADED;
    }
    atomic_fetch_add(&initialized, 1);
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlInit_v2(void)
{
    return nvmlInitWithFlags(0);
}

nvmlReturn_t nvmlInit(void)
{
    return nvmlInitWithFlags(0);
}

nvmlReturn_t nvmlShutdown(void)
{
    unsigned n = atomic_load(&initialized);
    while (n > 0 && !atomic_compare_exchange_weak(&initialized, &n, n - 1))
        ;
    return n > 0 ? NVML_SUCCESS : NVML_ERROR_UNINITIALIZED;
}

nvmlReturn_t sim_nvml_ready(void)
{
    return atomic_load_explicit(&initialized, memory_order_acquire) > 0 ? NVML_SUCCESS
                                                                        : NVML_ERROR_UNINITIALIZED;
}

/* ---- helpers of all families ---- */

nvmlReturn_t sim_nvml_text(const char *text, char *ret, unsigned size)
{
    size_t n = strlen(text) + 1;
    if (ret == NULL)
        return NVML_ERROR_INVALID_ARGUMENT;
    if (n > size)
        return NVML_ERROR_INSUFFICIENT_SIZE;
    memcpy(ret, text, n);
    return NVML_SUCCESS;
}

bool sim_nvml_versioned(const void *structure, unsigned version)
{
    unsigned given;
    memcpy(&given, structure, sizeof(given));
    return given == version;
}

bool sim_nvml_mig(const struct sim_device_profile *d)
{
    return d->mig_enabled && d->n_mig > 0;
}

static void hang(uint32_t ms)
{
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
    while (nanosleep(&t, &t) != 0)
        ;
}

nvmlDevice_t sim_nvml_handle(unsigned index, unsigned part)
{
    return (nvmlDevice_t)(void *)&handles[index][part];
}

nvmlReturn_t sim_nvml_device(nvmlDevice_t handle, struct sim_nvml_device *ret)
{
    nvmlReturn_t r = sim_nvml_ready();
    if (r != NVML_SUCCESS)
        return r;
    uintptr_t at = (uintptr_t)handle - (uintptr_t)&handles[0][0];
    unsigned index = (unsigned)(at / SIM_PARTS), part = (unsigned)(at % SIM_PARTS);
    if (at >= sizeof(handles) || index >= sim_state->profile.n_devices ||
        part > sim_state->profile.devices[index].n_mig)
        return NVML_ERROR_INVALID_ARGUMENT;
    ret->index = index;
    ret->part = part;
    ret->profile = &sim_state->profile.devices[index];
    ret->fault = &sim_state->devices[index].fault;
    uint32_t ms = atomic_load_explicit(&ret->fault->nvml_hang_ms, memory_order_relaxed);
    if (ms > 0)
        hang(ms);
    return atomic_load_explicit(&ret->fault->lost, memory_order_relaxed) ? NVML_ERROR_GPU_IS_LOST
                                                                         : NVML_SUCCESS;
}

nvmlReturn_t sim_nvml_card(nvmlDevice_t handle, struct sim_nvml_device *ret)
{
    nvmlReturn_t r = sim_nvml_device(handle, ret);
    return r == NVML_SUCCESS && ret->part > 0 ? NVML_ERROR_NOT_SUPPORTED : r;
}

/* ---- the system ---- */

nvmlReturn_t nvmlSystemGetDriverVersion(char *version, unsigned int length)
{
    nvmlReturn_t r = sim_nvml_ready();
    return r != NVML_SUCCESS ? r : sim_nvml_text(sim_state->profile.driver_version, version, length);
}

nvmlReturn_t nvmlSystemGetNVMLVersion(char *version, unsigned int length)
{
    nvmlReturn_t r = sim_nvml_ready();
    return r != NVML_SUCCESS ? r : sim_nvml_text(sim_state->profile.nvml_version, version, length);
}

nvmlReturn_t nvmlSystemGetCudaDriverVersion_v2(int *version)
{
    nvmlReturn_t r = sim_nvml_ready();
    if (r == NVML_SUCCESS && version == NULL)
        r = NVML_ERROR_INVALID_ARGUMENT;
    if (r == NVML_SUCCESS)
        *version = (int)sim_state->profile.cuda_version;
    return r;
}

nvmlReturn_t nvmlSystemGetCudaDriverVersion(int *version)
{
    return nvmlSystemGetCudaDriverVersion_v2(version);
}

nvmlReturn_t nvmlSystemGetDriverBranch(nvmlSystemDriverBranchInfo_t *info, unsigned int length)
{
    nvmlReturn_t r = sim_nvml_ready();
    if (r != NVML_SUCCESS)
        return r;
    if (info == NULL)
        return NVML_ERROR_INVALID_ARGUMENT;
    if (!sim_nvml_versioned(info, SIM_NVML_VERSION(nvmlSystemDriverBranchInfo_v1_t, 1)))
        return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    char branch[80];
    snprintf(branch, sizeof(branch), "r%.*s_00", (int)strcspn(sim_state->profile.driver_version, "."),
             sim_state->profile.driver_version);
    return sim_nvml_text(branch, info->branch, length < sizeof(info->branch) ? length : sizeof(info->branch));
}

nvmlReturn_t nvmlSystemGetProcessName(unsigned int pid, char *name, unsigned int length)
{
    char path[48], text[1024];
    nvmlReturn_t r = sim_nvml_ready();
    if (r != NVML_SUCCESS)
        return r;
    if (name == NULL || length == 0)
        return NVML_ERROR_INVALID_ARGUMENT;
    snprintf(path, sizeof(path), "/proc/%u/cmdline", pid);
    FILE *f = fopen(path, "re");
    size_t n = f != NULL ? fread(text, 1, sizeof(text) - 1, f) : 0;
    if (f != NULL)
        fclose(f);
    if (n == 0)
        return NVML_ERROR_NOT_FOUND;
    text[n] = '\0'; /* the arguments end in zeros: what is left is the program */
    return sim_nvml_text(text, name, length);
}

nvmlReturn_t nvmlSystemGetHicVersion(unsigned int *count, nvmlHwbcEntry_t *entries)
{
    nvmlReturn_t r = sim_nvml_ready();
    (void)entries;
    if (r == NVML_SUCCESS && count == NULL)
        r = NVML_ERROR_INVALID_ARGUMENT;
    if (r == NVML_SUCCESS)
        *count = 0;
    return r;
}

nvmlReturn_t nvmlUnitGetCount(unsigned int *count)
{
    return nvmlSystemGetHicVersion(count, NULL);
}

nvmlReturn_t nvmlGetExcludedDeviceCount(unsigned int *count)
{
    return nvmlSystemGetHicVersion(count, NULL);
}

/* ---- errors ---- */

const char *nvmlErrorString(nvmlReturn_t result)
{
    static const struct {
        nvmlReturn_t code;
        const char *text;
    } rows[] = {
        {NVML_SUCCESS, "Success"},
        {NVML_ERROR_UNINITIALIZED, "Uninitialized"},
        {NVML_ERROR_INVALID_ARGUMENT, "Invalid Argument"},
        {NVML_ERROR_NOT_SUPPORTED, "Not Supported"},
        {NVML_ERROR_NO_PERMISSION, "Insufficient Permissions"},
        {NVML_ERROR_ALREADY_INITIALIZED, "Already Initialized"},
        {NVML_ERROR_NOT_FOUND, "Not Found"},
        {NVML_ERROR_INSUFFICIENT_SIZE, "Insufficient Size"},
        {NVML_ERROR_INSUFFICIENT_POWER, "Insufficient External Power"},
        {NVML_ERROR_DRIVER_NOT_LOADED, "Driver Not Loaded"},
        {NVML_ERROR_TIMEOUT, "Timeout"},
        {NVML_ERROR_IRQ_ISSUE, "Interrupt Request Issue"},
        {NVML_ERROR_LIBRARY_NOT_FOUND, "NVML Shared Library Not Found"},
        {NVML_ERROR_FUNCTION_NOT_FOUND, "Function Not Found"},
        {NVML_ERROR_CORRUPTED_INFOROM, "Corrupted infoROM"},
        {NVML_ERROR_GPU_IS_LOST, "GPU is lost"},
        {NVML_ERROR_RESET_REQUIRED, "GPU requires reset"},
        {NVML_ERROR_OPERATING_SYSTEM, "GPU access blocked by the operating system"},
        {NVML_ERROR_LIB_RM_VERSION_MISMATCH, "Driver/library version mismatch"},
        {NVML_ERROR_IN_USE, "In use by another client"},
        {NVML_ERROR_MEMORY, "Insufficient Memory"},
        {NVML_ERROR_NO_DATA, "No data"},
        {NVML_ERROR_INSUFFICIENT_RESOURCES, "Insufficient Resources"},
        {NVML_ERROR_FREQ_NOT_SUPPORTED, "Frequency not supported"},
        {NVML_ERROR_ARGUMENT_VERSION_MISMATCH, "Argument version mismatch"},
        {NVML_ERROR_DEPRECATED, "Deprecated"},
        {NVML_ERROR_NOT_READY, "System not ready"},
        {NVML_ERROR_GPU_NOT_FOUND, "GPU not found"},
        {NVML_ERROR_INVALID_STATE, "Invalid state"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (rows[i].code == result)
            return rows[i].text;
    return "Unknown Error";
}
