/* SPDX-License-Identifier: Apache-2.0
 *
 * Utilization: of devices, of processes, over time.
 *
 * As with the driver, a percentage is the share of the last complete sampling
 * window in which something ran; it changes once per window, is an integer,
 * and says nothing of how much of the card was used. Windows follow one
 * another without a gap, so that a later sample never repeats an earlier one.
 */
#include "nvml_process.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SAMPLES_KEPT 120u

/* ---- time ---- */

/* The difference between the two clocks is taken once: stamps must not jitter. */
static uint64_t epoch_offset_ns(void)
{
    static _Atomic uint64_t offset;
    uint64_t known = atomic_load(&offset);
    if (known != 0)
        return known;
    struct timespec wall;
    clock_gettime(CLOCK_REALTIME, &wall);
    uint64_t now = (uint64_t)wall.tv_sec * 1000000000ULL + (uint64_t)wall.tv_nsec - sim_now();
    return atomic_compare_exchange_strong(&offset, &known, now) ? now : known;
}

uint64_t sim_nvml_epoch_us(uint64_t simulated_ns)
{
    return (simulated_ns + epoch_offset_ns()) / 1000;
}

uint64_t sim_nvml_window(uint64_t *ret_end)
{
    uint64_t length = sim_state->profile.utilization_window_ns, now = sim_now();
    if (length == 0)
        length = 1000000000 / 6;
    *ret_end = now - now % length;
    return *ret_end >= length ? length : 0;
}

/* ---- shares of a window ---- */

static unsigned pct(uint64_t busy, uint64_t length)
{
    uint64_t p = length > 0 ? busy * 100 / length : 0;
    return p > 100 ? 100 : (unsigned)p;
}

static uint32_t part_of(const struct sim_nvml_device *d)
{
    return d->part == 0 ? UINT32_MAX : d->part;
}

unsigned sim_nvml_load_pct(const struct sim_nvml_device *d)
{
    uint64_t end, length = sim_nvml_window(&end);
    return pct(sim_inspect_busy_ns(d->index, part_of(d), 0, end - length, end), length);
}

unsigned sim_nvml_copy_pct(const struct sim_nvml_device *d)
{
    uint64_t end, length = sim_nvml_window(&end);
    return pct(sim_inspect_copy_ns(d->index, part_of(d), 0, end - length, end), length);
}

/* Utilization is not known for slices, nor for a card that is cut. */
static nvmlReturn_t whole_card(nvmlDevice_t device, struct sim_nvml_device *d)
{
    nvmlReturn_t r = sim_nvml_card(device, d);
    return r == NVML_SUCCESS && sim_nvml_mig(d->profile) ? NVML_ERROR_NOT_SUPPORTED : r;
}

nvmlReturn_t nvmlDeviceGetUtilizationRates(nvmlDevice_t device, nvmlUtilization_t *utilization)
{
    struct sim_nvml_device d;
    nvmlReturn_t r = whole_card(device, &d);
    if (r == NVML_SUCCESS && utilization == NULL)
        r = NVML_ERROR_INVALID_ARGUMENT;
    if (r != NVML_SUCCESS)
        return r;
    utilization->gpu = sim_nvml_load_pct(&d);
    utilization->memory = sim_nvml_copy_pct(&d);
    return NVML_SUCCESS;
}

static nvmlReturn_t idle_engine(nvmlDevice_t device, unsigned *utilization, unsigned *period_us)
{
    struct sim_nvml_device d;
    uint64_t end;
    nvmlReturn_t r = whole_card(device, &d);
    if (r == NVML_SUCCESS && (utilization == NULL || period_us == NULL))
        r = NVML_ERROR_INVALID_ARGUMENT;
    if (r != NVML_SUCCESS)
        return r;
    *utilization = 0;
    *period_us = (unsigned)(sim_nvml_window(&end) / 1000);
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetEncoderUtilization(nvmlDevice_t device, unsigned int *utilization,
                                             unsigned int *period_us)
{
    return idle_engine(device, utilization, period_us);
}

nvmlReturn_t nvmlDeviceGetDecoderUtilization(nvmlDevice_t device, unsigned int *utilization,
                                             unsigned int *period_us)
{
    return idle_engine(device, utilization, period_us);
}

nvmlReturn_t nvmlDeviceGetJpgUtilization(nvmlDevice_t device, unsigned int *utilization,
                                         unsigned int *period_us)
{
    return idle_engine(device, utilization, period_us);
}

nvmlReturn_t nvmlDeviceGetOfaUtilization(nvmlDevice_t device, unsigned int *utilization,
                                         unsigned int *period_us)
{
    return idle_engine(device, utilization, period_us);
}

/* ---- of processes ---- */

struct share {
    int pid;
    unsigned sm, memory;
    uint64_t stamp_us;
};

/* Shares of the last window of the processes that used it; the caller frees. */
static struct share *shares_of(const struct sim_nvml_device *d, uint64_t last_seen_us, unsigned *ret_n)
{
    size_t n;
    uint64_t end, length = sim_nvml_window(&end), stamp = sim_nvml_epoch_us(end);
    struct sim_process_view *views = sim_nvml_processes(d, &n);
    struct share *shares = views != NULL ? malloc((n + 1) * sizeof(*shares)) : NULL;
    *ret_n = 0;
    for (size_t i = 0; shares != NULL && i < n && stamp > last_seen_us; i++) {
        int pid = sim_state->processes[views[i].slot].pid; /* as the log has it */
        struct share s = {views[i].pid, 0, 0, stamp};
        s.sm = pct(sim_inspect_busy_ns(d->index, part_of(d), pid, end - length, end), length);
        s.memory = pct(sim_inspect_copy_ns(d->index, part_of(d), pid, end - length, end), length);
        if (s.sm > 0 || s.memory > 0)
            shares[(*ret_n)++] = s;
    }
    free(views);
    return shares;
}

/* As deep as driver 580.159.04 goes for its process figures: more than 124 KiB below the caller. A caller
 * whose stack is too small must not learn it on a real card only. */
__attribute__((noinline)) static void go_deep(void)
{
    volatile char frame[160 << 10];
    for (size_t i = 0; i < sizeof(frame); i += 4096)
        frame[i] = 0;
}

nvmlReturn_t nvmlDeviceGetProcessUtilization(nvmlDevice_t device, nvmlProcessUtilizationSample_t *utilization,
                                             unsigned int *count, unsigned long long last_seen)
{
    struct sim_nvml_device d;
    unsigned n;
    go_deep();
    nvmlReturn_t r = whole_card(device, &d);
    if (r == NVML_SUCCESS && count == NULL)
        r = NVML_ERROR_INVALID_ARGUMENT;
    if (r != NVML_SUCCESS)
        return r;
    struct share *shares = shares_of(&d, last_seen, &n);
    if (shares == NULL)
        return NVML_ERROR_MEMORY;
    if (utilization == NULL) {
        *count = n > 0 ? n : 1; /* room for what may come; asked with NULL the answer is a size */
        r = NVML_ERROR_INSUFFICIENT_SIZE;
    } else if (n == 0) {
        *count = 0;
        r = NVML_ERROR_NOT_FOUND;
    } else if (n > *count) {
        *count = n;
        r = NVML_ERROR_INSUFFICIENT_SIZE;
    } else {
        for (unsigned i = 0; i < n; i++)
            utilization[i] = (nvmlProcessUtilizationSample_t){.pid = (unsigned)shares[i].pid,
                                                              .timeStamp = shares[i].stamp_us,
                                                              .smUtil = shares[i].sm,
                                                              .memUtil = shares[i].memory};
        *count = n;
    }
    free(shares);
    return r;
}

nvmlReturn_t nvmlDeviceGetProcessesUtilizationInfo(nvmlDevice_t device, nvmlProcessesUtilizationInfo_t *info)
{
    struct sim_nvml_device d;
    unsigned n;
    nvmlReturn_t r = whole_card(device, &d);
    if (r == NVML_SUCCESS && info == NULL)
        r = NVML_ERROR_INVALID_ARGUMENT;
    if (r != NVML_SUCCESS)
        return r;
    if (!sim_nvml_versioned(info, SIM_NVML_VERSION(nvmlProcessesUtilizationInfo_v1_t, 1)))
        return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    struct share *shares = shares_of(&d, info->lastSeenTimeStamp, &n);
    if (shares == NULL)
        return NVML_ERROR_MEMORY;
    unsigned room = info->procUtilArray != NULL ? info->processSamplesCount : 0;
    for (unsigned i = 0; i < n && n <= room; i++)
        info->procUtilArray[i] = (nvmlProcessUtilizationInfo_v1_t){.timeStamp = shares[i].stamp_us,
                                                                   .pid = (unsigned)shares[i].pid,
                                                                   .smUtil = shares[i].sm,
                                                                   .memUtil = shares[i].memory};
    free(shares);
    info->processSamplesCount = n;
    if (n == 0)
        return NVML_ERROR_NOT_FOUND;
    return n > room ? NVML_ERROR_INSUFFICIENT_SIZE : NVML_SUCCESS;
}

/* ---- over time ---- */

static unsigned sample(const struct sim_nvml_device *d, nvmlSamplingType_t type, uint64_t from, uint64_t to)
{
    if (type == NVML_MEMORY_UTILIZATION_SAMPLES)
        return pct(sim_inspect_copy_ns(d->index, part_of(d), 0, from, to), to - from);
    if (type == NVML_GPU_UTILIZATION_SAMPLES)
        return pct(sim_inspect_busy_ns(d->index, part_of(d), 0, from, to), to - from);
    return 0; /* encoder and decoder */
}

nvmlReturn_t nvmlDeviceGetSamples(nvmlDevice_t device, nvmlSamplingType_t type, unsigned long long last_seen,
                                  nvmlValueType_t *value_type, unsigned int *count, nvmlSample_t *samples)
{
    struct sim_nvml_device d;
    nvmlReturn_t r = whole_card(device, &d);
    if (r == NVML_SUCCESS && (value_type == NULL || count == NULL))
        r = NVML_ERROR_INVALID_ARGUMENT;
    if (r != NVML_SUCCESS)
        return r;
    if (type != NVML_GPU_UTILIZATION_SAMPLES && type != NVML_MEMORY_UTILIZATION_SAMPLES &&
        type != NVML_ENC_UTILIZATION_SAMPLES && type != NVML_DEC_UTILIZATION_SAMPLES)
        return NVML_ERROR_NOT_SUPPORTED;
    uint64_t end, length = sim_nvml_window(&end);
    unsigned n = 0;
    while (n < SAMPLES_KEPT && end > n * length && sim_nvml_epoch_us(end - n * length) > last_seen)
        n++;
    *value_type = NVML_VALUE_TYPE_UNSIGNED_INT;
    if (samples == NULL) {
        *count = SAMPLES_KEPT;
        return NVML_SUCCESS;
    }
    if (n > *count)
        n = *count; /* the newest ones */
    for (unsigned i = 0; i < n; i++) {
        uint64_t to = end - (uint64_t)(n - 1 - i) * length;
        memset(&samples[i], 0, sizeof(samples[i]));
        samples[i].timeStamp = sim_nvml_epoch_us(to);
        samples[i].sampleValue.uiVal = sample(&d, type, to - length, to);
    }
    *count = n;
    return n > 0 ? NVML_SUCCESS : NVML_ERROR_NOT_FOUND;
}
