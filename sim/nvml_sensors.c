/* SPDX-License-Identifier: Apache-2.0
 *
 * Clocks, power, temperature, PCIe, ECC and modes. All figures follow from the
 * card's load in the last sampling window and from injected faults, so that
 * the same work shows the same figures on every run.
 */
#include "nvml.h"

#include <string.h>

#define LOAD_HEATS_C 40u /* above idle at full load */
#define SLOWDOWN_C 93u
#define IDLE_CLOCK_MHZ 300u
#define IDLE_MEMORY_CLOCK_MHZ 405u

/* ---- heat and power ---- */

static uint32_t speed_pm(const struct sim_nvml_device *d)
{
    uint32_t pm = atomic_load_explicit(&d->fault->speed_pm, memory_order_relaxed);
    return pm == 0 ? 1000 : pm;
}

unsigned sim_nvml_temperature_c(const struct sim_nvml_device *d)
{
    uint32_t injected = atomic_load_explicit(&d->fault->temperature_c, memory_order_relaxed);
    if (injected > 0)
        return injected;
    if (speed_pm(d) < 1000)
        return SLOWDOWN_C;
    return d->profile->temperature_c + LOAD_HEATS_C * sim_nvml_load_pct(d) / 100;
}

unsigned sim_nvml_power_mw(const struct sim_nvml_device *d)
{
    unsigned idle = d->profile->power_idle_w, limit = d->profile->power_limit_w;
    if (limit < idle)
        idle = limit;
    return idle * 1000 + (limit - idle) * 10 * sim_nvml_load_pct(d);
}

uint64_t sim_nvml_age_ns(void)
{
    uint64_t start = sim_state->profile.virtual_time ? 1000000000 : sim_state->boot_ns, now = sim_now();
    return now > start ? now - start : 0;
}

uint64_t sim_nvml_energy_mj(const struct sim_nvml_device *d)
{
    unsigned idle = d->profile->power_idle_w, limit = d->profile->power_limit_w;
    uint64_t busy = 0;
    sim_lock();
    for (unsigned i = 0; i < SIM_PARTS; i++)
        busy += sim_state->devices[d->index].busy_ns[i];
    sim_unlock();
    return sim_nvml_age_ns() / 1000000 * idle + busy / 1000000 * (limit > idle ? limit - idle : 0);
}

nvmlReturn_t nvmlDeviceGetTemperature(nvmlDevice_t device, nvmlTemperatureSensors_t sensor,
                                      unsigned int *celsius)
{
    if (sensor != NVML_TEMPERATURE_GPU)
        return NVML_ERROR_INVALID_ARGUMENT;
    return sim_nvml_number(device, celsius, sim_nvml_temperature_c);
}

nvmlReturn_t nvmlDeviceGetTemperatureV(nvmlDevice_t device, nvmlTemperature_t *temperature)
{
    unsigned celsius = 0;
    if (temperature == NULL)
        return NVML_ERROR_INVALID_ARGUMENT;
    if (!sim_nvml_versioned(temperature, SIM_NVML_VERSION(nvmlTemperature_v1_t, 1)))
        return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    nvmlReturn_t r = nvmlDeviceGetTemperature(device, temperature->sensorType, &celsius);
    if (r == NVML_SUCCESS)
        temperature->temperature = (int)celsius;
    return r;
}

nvmlReturn_t nvmlDeviceGetTemperatureThreshold(nvmlDevice_t device, nvmlTemperatureThresholds_t threshold,
                                               unsigned int *celsius)
{
    static const unsigned rows[] = {[NVML_TEMPERATURE_THRESHOLD_SHUTDOWN] = 96,
                                    [NVML_TEMPERATURE_THRESHOLD_SLOWDOWN] = SLOWDOWN_C,
                                    [NVML_TEMPERATURE_THRESHOLD_MEM_MAX] = 95,
                                    [NVML_TEMPERATURE_THRESHOLD_GPU_MAX] = 85};
    struct sim_nvml_device d;
    nvmlReturn_t r = sim_nvml_card(device, &d);
    if (r == NVML_SUCCESS && celsius == NULL)
        r = NVML_ERROR_INVALID_ARGUMENT;
    if (r == NVML_SUCCESS && (unsigned)threshold >= sizeof(rows) / sizeof(rows[0]))
        r = NVML_ERROR_NOT_SUPPORTED;
    if (r == NVML_SUCCESS)
        *celsius = rows[threshold];
    return r;
}

nvmlReturn_t nvmlDeviceGetPowerUsage(nvmlDevice_t device, unsigned int *milliwatts)
{
    return sim_nvml_number(device, milliwatts, sim_nvml_power_mw);
}

static unsigned power_limit_mw(const struct sim_nvml_device *d)
{
    return d->profile->power_limit_w * 1000;
}

nvmlReturn_t nvmlDeviceGetPowerManagementLimit(nvmlDevice_t device, unsigned int *milliwatts)
{
    return sim_nvml_number(device, milliwatts, power_limit_mw);
}

nvmlReturn_t nvmlDeviceGetPowerManagementDefaultLimit(nvmlDevice_t device, unsigned int *milliwatts)
{
    return sim_nvml_number(device, milliwatts, power_limit_mw);
}

nvmlReturn_t nvmlDeviceGetEnforcedPowerLimit(nvmlDevice_t device, unsigned int *milliwatts)
{
    return sim_nvml_number(device, milliwatts, power_limit_mw);
}

nvmlReturn_t nvmlDeviceGetPowerManagementLimitConstraints(nvmlDevice_t device, unsigned int *min,
                                                          unsigned int *max)
{
    nvmlReturn_t r = sim_nvml_number(device, max, power_limit_mw);
    if (r == NVML_SUCCESS && min == NULL)
        r = NVML_ERROR_INVALID_ARGUMENT;
    if (r == NVML_SUCCESS)
        *min = *max / 2;
    return r;
}

nvmlReturn_t nvmlDeviceGetTotalEnergyConsumption(nvmlDevice_t device, unsigned long long *millijoules)
{
    struct sim_nvml_device d;
    nvmlReturn_t r = sim_nvml_card(device, &d);
    if (r == NVML_SUCCESS && millijoules == NULL)
        r = NVML_ERROR_INVALID_ARGUMENT;
    if (r == NVML_SUCCESS)
        *millijoules = sim_nvml_energy_mj(&d);
    return r;
}

/* ---- clocks ---- */

static nvmlReturn_t clock_of(nvmlDevice_t device, nvmlClockType_t type, bool max, unsigned *mhz)
{
    struct sim_nvml_device d;
    nvmlReturn_t r = sim_nvml_card(device, &d);
    if (r == NVML_SUCCESS && (mhz == NULL || (unsigned)type > NVML_CLOCK_VIDEO))
        r = NVML_ERROR_INVALID_ARGUMENT;
    if (r != NVML_SUCCESS)
        return r;
    bool memory = type == NVML_CLOCK_MEM;
    unsigned full = memory ? d.profile->mem_clock_mhz : d.profile->clock_mhz;
    unsigned idle = memory ? IDLE_MEMORY_CLOCK_MHZ : IDLE_CLOCK_MHZ;
    if (max)
        *mhz = full;
    else if (sim_nvml_load_pct(&d) == 0)
        *mhz = idle < full ? idle : full;
    else
        *mhz = memory ? full : (unsigned)((uint64_t)full * speed_pm(&d) / 1000);
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetClockInfo(nvmlDevice_t device, nvmlClockType_t type, unsigned int *mhz)
{
    return clock_of(device, type, false, mhz);
}

nvmlReturn_t nvmlDeviceGetMaxClockInfo(nvmlDevice_t device, nvmlClockType_t type, unsigned int *mhz)
{
    return clock_of(device, type, true, mhz);
}

nvmlReturn_t nvmlDeviceGetApplicationsClock(nvmlDevice_t device, nvmlClockType_t type, unsigned int *mhz)
{
    return clock_of(device, type, true, mhz);
}

nvmlReturn_t nvmlDeviceGetDefaultApplicationsClock(nvmlDevice_t device, nvmlClockType_t type,
                                                   unsigned int *mhz)
{
    return clock_of(device, type, true, mhz);
}

nvmlReturn_t nvmlDeviceGetClock(nvmlDevice_t device, nvmlClockType_t type, nvmlClockId_t id,
                                unsigned int *mhz)
{
    return clock_of(device, type, id != NVML_CLOCK_ID_CURRENT, mhz);
}

nvmlReturn_t nvmlDeviceGetMaxCustomerBoostClock(nvmlDevice_t device, nvmlClockType_t type, unsigned int *mhz)
{
    return clock_of(device, type, true, mhz);
}

/* One speed of memory, one of the rest. */
nvmlReturn_t nvmlDeviceGetSupportedMemoryClocks(nvmlDevice_t device, unsigned int *count, unsigned int *mhz)
{
    struct sim_nvml_device d;
    nvmlReturn_t r = sim_nvml_card(device, &d);
    if (r == NVML_SUCCESS && count == NULL)
        r = NVML_ERROR_INVALID_ARGUMENT;
    if (r == NVML_SUCCESS && (*count < 1 || mhz == NULL))
        r = NVML_ERROR_INSUFFICIENT_SIZE;
    if (r == NVML_SUCCESS)
        mhz[0] = d.profile->mem_clock_mhz;
    if (r == NVML_SUCCESS || r == NVML_ERROR_INSUFFICIENT_SIZE)
        *count = 1;
    return r;
}

nvmlReturn_t nvmlDeviceGetSupportedGraphicsClocks(nvmlDevice_t device, unsigned int memory_mhz,
                                                  unsigned int *count, unsigned int *mhz)
{
    struct sim_nvml_device d;
    nvmlReturn_t r = sim_nvml_card(device, &d);
    if (r == NVML_SUCCESS && memory_mhz != d.profile->mem_clock_mhz)
        return NVML_ERROR_NOT_FOUND;
    r = nvmlDeviceGetSupportedMemoryClocks(device, count, mhz);
    if (r == NVML_SUCCESS)
        mhz[0] = d.profile->clock_mhz;
    return r;
}

nvmlReturn_t nvmlDeviceGetCurrentClocksEventReasons(nvmlDevice_t device, unsigned long long *reasons)
{
    struct sim_nvml_device d;
    nvmlReturn_t r = sim_nvml_card(device, &d);
    if (r == NVML_SUCCESS && reasons == NULL)
        r = NVML_ERROR_INVALID_ARGUMENT;
    if (r != NVML_SUCCESS)
        return r;
    *reasons = speed_pm(&d) < 1000
                   ? nvmlClocksThrottleReasonHwSlowdown | nvmlClocksThrottleReasonHwThermalSlowdown
               : sim_nvml_load_pct(&d) == 0 ? nvmlClocksEventReasonGpuIdle
                                            : nvmlClocksEventReasonNone;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetCurrentClocksThrottleReasons(nvmlDevice_t device, unsigned long long *reasons)
{
    return nvmlDeviceGetCurrentClocksEventReasons(device, reasons);
}

nvmlReturn_t nvmlDeviceGetSupportedClocksEventReasons(nvmlDevice_t device, unsigned long long *reasons)
{
    nvmlReturn_t r = nvmlDeviceGetCurrentClocksEventReasons(device, reasons);
    if (r == NVML_SUCCESS)
        *reasons = nvmlClocksThrottleReasonHwSlowdown | nvmlClocksThrottleReasonHwThermalSlowdown |
                   nvmlClocksEventReasonGpuIdle;
    return r;
}

nvmlReturn_t nvmlDeviceGetSupportedClocksThrottleReasons(nvmlDevice_t device, unsigned long long *reasons)
{
    return nvmlDeviceGetSupportedClocksEventReasons(device, reasons);
}

static unsigned pstate_of(const struct sim_nvml_device *d)
{
    return sim_nvml_load_pct(d) > 0 ? NVML_PSTATE_0 : NVML_PSTATE_8;
}

nvmlReturn_t nvmlDeviceGetPerformanceState(nvmlDevice_t device, nvmlPstates_t *pstate)
{
    unsigned n = 0;
    nvmlReturn_t r = sim_nvml_number(device, &n, pstate_of);
    if (r == NVML_SUCCESS && pstate == NULL)
        r = NVML_ERROR_INVALID_ARGUMENT;
    if (r == NVML_SUCCESS)
        *pstate = (nvmlPstates_t)n;
    return r;
}

nvmlReturn_t nvmlDeviceGetPowerState(nvmlDevice_t device, nvmlPstates_t *pstate)
{
    return nvmlDeviceGetPerformanceState(device, pstate);
}

/* ---- PCIe ---- */

static unsigned pcie_gen(const struct sim_nvml_device *d)
{
    return d->profile->pcie_gen;
}

static unsigned pcie_width(const struct sim_nvml_device *d)
{
    return d->profile->pcie_width;
}

nvmlReturn_t nvmlDeviceGetCurrPcieLinkGeneration(nvmlDevice_t device, unsigned int *generation)
{
    return sim_nvml_number(device, generation, pcie_gen);
}

nvmlReturn_t nvmlDeviceGetMaxPcieLinkGeneration(nvmlDevice_t device, unsigned int *generation)
{
    return sim_nvml_number(device, generation, pcie_gen);
}

nvmlReturn_t nvmlDeviceGetGpuMaxPcieLinkGeneration(nvmlDevice_t device, unsigned int *generation)
{
    return sim_nvml_number(device, generation, pcie_gen);
}

nvmlReturn_t nvmlDeviceGetCurrPcieLinkWidth(nvmlDevice_t device, unsigned int *width)
{
    return sim_nvml_number(device, width, pcie_width);
}

nvmlReturn_t nvmlDeviceGetMaxPcieLinkWidth(nvmlDevice_t device, unsigned int *width)
{
    return sim_nvml_number(device, width, pcie_width);
}

static unsigned pcie_speed_mbps(const struct sim_nvml_device *d)
{
    static const unsigned rows[] = {0, 2500, 5000, 8000, 16000, 32000, 64000, 128000};
    return rows[d->profile->pcie_gen < sizeof(rows) / sizeof(rows[0]) ? d->profile->pcie_gen : 0];
}

nvmlReturn_t nvmlDeviceGetPcieSpeed(nvmlDevice_t device, unsigned int *mbps)
{
    return sim_nvml_number(device, mbps, pcie_speed_mbps);
}

/* The log knows how long copies took, not which way they went: half each. */
static unsigned pcie_kib_per_s(const struct sim_nvml_device *d)
{
    return (unsigned)(d->profile->host_bytes_per_s / 1024 * sim_nvml_copy_pct(d) / 200);
}

nvmlReturn_t nvmlDeviceGetPcieThroughput(nvmlDevice_t device, nvmlPcieUtilCounter_t counter,
                                         unsigned int *kib_per_s)
{
    if ((unsigned)counter >= NVML_PCIE_UTIL_COUNT)
        return NVML_ERROR_INVALID_ARGUMENT;
    return sim_nvml_number(device, kib_per_s, pcie_kib_per_s);
}

static unsigned zero_of(const struct sim_nvml_device *d)
{
    (void)d;
    return 0;
}

nvmlReturn_t nvmlDeviceGetPcieReplayCounter(nvmlDevice_t device, unsigned int *replays)
{
    return sim_nvml_number(device, replays, zero_of);
}

/* ---- fan, ECC and modes ---- */

nvmlReturn_t nvmlDeviceGetNumFans(nvmlDevice_t device, unsigned int *fans)
{
    struct sim_nvml_device d;
    nvmlReturn_t r = sim_nvml_card(device, &d);
    if (r == NVML_SUCCESS && fans == NULL)
        r = NVML_ERROR_INVALID_ARGUMENT;
    if (r == NVML_SUCCESS)
        *fans = d.profile->fan ? 1 : 0;
    return r;
}

static unsigned fan_pct(const struct sim_nvml_device *d)
{
    unsigned celsius = sim_nvml_temperature_c(d);
    return celsius < 100 ? celsius : 100;
}

nvmlReturn_t nvmlDeviceGetFanSpeed(nvmlDevice_t device, unsigned int *percent)
{
    struct sim_nvml_device d;
    nvmlReturn_t r = sim_nvml_card(device, &d);
    if (r != NVML_SUCCESS)
        return r;
    return d.profile->fan ? sim_nvml_number(device, percent, fan_pct) : NVML_ERROR_NOT_SUPPORTED;
}

nvmlReturn_t nvmlDeviceGetFanSpeed_v2(nvmlDevice_t device, unsigned int fan, unsigned int *percent)
{
    return fan > 0 ? NVML_ERROR_INVALID_ARGUMENT : nvmlDeviceGetFanSpeed(device, percent);
}

static nvmlReturn_t ecc_card(nvmlDevice_t device)
{
    struct sim_nvml_device d;
    nvmlReturn_t r = sim_nvml_card(device, &d);
    return r == NVML_SUCCESS && !d.profile->ecc ? NVML_ERROR_NOT_SUPPORTED : r;
}

nvmlReturn_t nvmlDeviceGetEccMode(nvmlDevice_t device, nvmlEnableState_t *current, nvmlEnableState_t *pending)
{
    nvmlReturn_t r = ecc_card(device);
    if (r == NVML_SUCCESS && (current == NULL || pending == NULL))
        r = NVML_ERROR_INVALID_ARGUMENT;
    if (r == NVML_SUCCESS)
        *current = *pending = NVML_FEATURE_ENABLED;
    return r;
}

nvmlReturn_t nvmlDeviceGetTotalEccErrors(nvmlDevice_t device, nvmlMemoryErrorType_t type,
                                         nvmlEccCounterType_t counter, unsigned long long *errors)
{
    nvmlReturn_t r = ecc_card(device);
    if (r == NVML_SUCCESS && (errors == NULL || (unsigned)type > NVML_MEMORY_ERROR_TYPE_UNCORRECTED ||
                              (unsigned)counter > NVML_AGGREGATE_ECC))
        r = NVML_ERROR_INVALID_ARGUMENT;
    if (r == NVML_SUCCESS)
        *errors = 0;
    return r;
}

nvmlReturn_t nvmlDeviceGetMemoryErrorCounter(nvmlDevice_t device, nvmlMemoryErrorType_t type,
                                             nvmlEccCounterType_t counter, nvmlMemoryLocation_t location,
                                             unsigned long long *errors)
{
    if ((unsigned)location >= NVML_MEMORY_LOCATION_COUNT)
        return NVML_ERROR_INVALID_ARGUMENT;
    return nvmlDeviceGetTotalEccErrors(device, type, counter, errors);
}

/* Entries whose answer is the same on every simulated card. */
static nvmlReturn_t fixed(nvmlDevice_t device, unsigned value, void *ret)
{
    struct sim_nvml_device d;
    nvmlReturn_t r = sim_nvml_card(device, &d);
    if (r == NVML_SUCCESS && ret == NULL)
        r = NVML_ERROR_INVALID_ARGUMENT;
    if (r == NVML_SUCCESS)
        memcpy(ret, &value, sizeof(value));
    return r;
}

nvmlReturn_t nvmlDeviceGetPersistenceMode(nvmlDevice_t device, nvmlEnableState_t *mode)
{
    return fixed(device, NVML_FEATURE_ENABLED, mode);
}

nvmlReturn_t nvmlDeviceGetComputeMode(nvmlDevice_t device, nvmlComputeMode_t *mode)
{
    return fixed(device, NVML_COMPUTEMODE_DEFAULT, mode);
}

nvmlReturn_t nvmlDeviceGetPowerManagementMode(nvmlDevice_t device, nvmlEnableState_t *mode)
{
    return fixed(device, NVML_FEATURE_ENABLED, mode);
}

nvmlReturn_t nvmlDeviceGetVirtualizationMode(nvmlDevice_t device, nvmlGpuVirtualizationMode_t *mode)
{
    return fixed(device, NVML_GPU_VIRTUALIZATION_MODE_NONE, mode);
}

nvmlReturn_t nvmlDeviceGetPowerSource(nvmlDevice_t device, nvmlPowerSource_t *source)
{
    return fixed(device, 0, source); /* the wall socket */
}
