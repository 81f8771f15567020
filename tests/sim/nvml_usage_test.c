/* SPDX-License-Identifier: Apache-2.0
 *
 * Utilization in virtual time, where every percentage is known: windows of
 * 100 ms, work of known length.
 */
#include "machine.h"

#include <string.h>
#include <unistd.h>

#include "abi/nvml_api.h"
#include "sim/fault.h"
#include "sim/inspect.h"

#define MS 1000000ULL

static nvmlDevice_t card(void)
{
    char err[256];
    nvmlDevice_t d;
    if (sim_state == NULL) {
        g_assert_cmpint(sim_state_open(err, sizeof(err)), ==, 0);
        g_assert_cmpint(nvmlInit_v2(), ==, NVML_SUCCESS);
    }
    g_assert_cmpint(nvmlDeviceGetHandleByIndex_v2(0, &d), ==, NVML_SUCCESS);
    return d;
}

static void go_to(uint64_t ns)
{
    sim_inspect_advance(ns);
}

/* Begins a window, works for ms of it, and goes to its end. */
static void window_with(unsigned ms)
{
    static CUfunction f;
    CUmodule module;
    uint64_t ns = ms * MS;
    void *parameters[] = {&ns};
    machine_start();
    if (f == NULL) {
        assert_ok(cuModuleLoadData(&module, "image"));
        assert_ok(cuModuleGetFunction(&f, module, "sim_arg"));
    }
    uint64_t start = (sim_now() / (100 * MS) + 1) * 100 * MS;
    go_to(start);
    if (ms > 0) {
        assert_ok(cuLaunchKernel(f, 1, 1, 1, 1, 1, 1, 0, NULL, parameters, NULL));
        assert_ok(cuCtxSynchronize());
    }
    go_to(start + 100 * MS);
}

static unsigned gpu_pct(void)
{
    nvmlUtilization_t u;
    g_assert_cmpint(nvmlDeviceGetUtilizationRates(card(), &u), ==, NVML_SUCCESS);
    return u.gpu;
}

static void test_rates(void)
{
    card();
    static const unsigned rows[] = {40, 0, 99, 1, 75};
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        window_with(rows[i]);
        unsigned pct = gpu_pct();
        g_assert_cmpuint(pct, >=, rows[i] > 0 ? rows[i] - 1 : 0); /* the launch itself begins a little late */
        g_assert_cmpuint(pct, <=, rows[i]);
    }
}

static void test_only_complete_windows_count(void)
{
    card();
    window_with(50);
    unsigned before = gpu_pct();
    go_to(sim_now() + 60 * MS); /* idle, but this window is not over */
    g_assert_cmpuint(gpu_pct(), ==, before);
    go_to(sim_now() + 40 * MS);
    g_assert_cmpuint(gpu_pct(), ==, 0);
}

static void test_process_utilization(void)
{
    nvmlProcessUtilizationSample_t s[4];
    unsigned n = 0;
    card();
    window_with(30);
    g_assert_cmpint(nvmlDeviceGetProcessUtilization(card(), NULL, &n, 0), ==, NVML_ERROR_INSUFFICIENT_SIZE);
    g_assert_cmpuint(n, ==, 1);
    n = 4;
    g_assert_cmpint(nvmlDeviceGetProcessUtilization(card(), s, &n, 0), ==, NVML_SUCCESS);
    g_assert_cmpuint(n, ==, 1);
    g_assert_cmpuint(s[0].pid, ==, (unsigned)getpid());
    g_assert_cmpuint(s[0].smUtil, >=, 29);
    g_assert_cmpuint(s[0].smUtil, <=, 30);
    unsigned long long seen = s[0].timeStamp;
    n = 4;
    g_assert_cmpint(nvmlDeviceGetProcessUtilization(card(), s, &n, seen), ==, NVML_ERROR_NOT_FOUND);
    window_with(60);
    n = 4;
    g_assert_cmpint(nvmlDeviceGetProcessUtilization(card(), s, &n, seen), ==, NVML_SUCCESS);
    g_assert_cmpuint(s[0].timeStamp, >, seen);
    nvmlProcessUtilizationInfo_v1_t info[4];
    nvmlProcessesUtilizationInfo_t list = {.version = sizeof(list) | 1u << 24};
    g_assert_cmpint(nvmlDeviceGetProcessesUtilizationInfo(card(), &list), ==, NVML_ERROR_INSUFFICIENT_SIZE);
    list.procUtilArray = info;
    g_assert_cmpint(nvmlDeviceGetProcessesUtilizationInfo(card(), &list), ==, NVML_SUCCESS);
    g_assert_cmpuint(info[0].smUtil, ==, s[0].smUtil);
}

static void test_samples(void)
{
    nvmlSample_t s[120];
    nvmlValueType_t type;
    unsigned n = 120;
    card();
    window_with(80);
    window_with(20);
    g_assert_cmpint(nvmlDeviceGetSamples(card(), NVML_GPU_UTILIZATION_SAMPLES, 0, &type, &n, s), ==,
                    NVML_SUCCESS);
    g_assert_cmpuint(n, >=, 2);
    g_assert_cmpuint(s[n - 1].sampleValue.uiVal, <=, 20);
    g_assert_cmpuint(s[n - 1].sampleValue.uiVal, >=, 19);
    g_assert_cmpuint(s[n - 2].sampleValue.uiVal + s[n - 3].sampleValue.uiVal, >=, 79);
    unsigned long long last = s[n - 1].timeStamp;
    n = 120;
    g_assert_cmpint(nvmlDeviceGetSamples(card(), NVML_GPU_UTILIZATION_SAMPLES, last, &type, &n, s), ==,
                    NVML_ERROR_NOT_FOUND);
}

static void test_sensors_follow_the_load(void)
{
    unsigned idle_mw, busy_mw, celsius, mhz;
    nvmlPstates_t state;
    card();
    window_with(0);
    g_assert_cmpint(nvmlDeviceGetPowerUsage(card(), &idle_mw), ==, NVML_SUCCESS);
    g_assert_cmpuint(idle_mw, ==, 9000);
    g_assert_cmpint(nvmlDeviceGetPerformanceState(card(), &state), ==, NVML_SUCCESS);
    g_assert_cmpint(state, ==, NVML_PSTATE_8);
    window_with(90);
    g_assert_cmpint(nvmlDeviceGetPowerUsage(card(), &busy_mw), ==, NVML_SUCCESS);
    g_assert_cmpuint(busy_mw, >, idle_mw);
    g_assert_cmpint(nvmlDeviceGetClockInfo(card(), NVML_CLOCK_SM, &mhz), ==, NVML_SUCCESS);
    g_assert_cmpuint(mhz, ==, 1590);
    nvmlTemperature_t t = {.version = 0x0100000c, .sensorType = NVML_TEMPERATURE_GPU};
    g_assert_cmpint(nvmlDeviceGetTemperatureV(card(), &t), ==, NVML_SUCCESS);
    g_assert_cmpint(nvmlDeviceGetTemperature(card(), NVML_TEMPERATURE_GPU, &celsius), ==, NVML_SUCCESS);
    g_assert_cmpint(t.temperature, ==, (int)celsius);
    g_assert_cmpuint(celsius, >, 34);
}

static void test_thermal_slowdown(void)
{
    unsigned long long reasons;
    unsigned celsius;
    card();
    sim_fault_speed(0, 500);
    g_assert_cmpint(nvmlDeviceGetCurrentClocksEventReasons(card(), &reasons), ==, NVML_SUCCESS);
    g_assert_true((reasons & nvmlClocksThrottleReasonHwThermalSlowdown) != 0);
    g_assert_cmpint(nvmlDeviceGetTemperature(card(), NVML_TEMPERATURE_GPU, &celsius), ==, NVML_SUCCESS);
    g_assert_cmpuint(celsius, >=, 90);
    sim_fault_clear(0);
    g_assert_cmpint(nvmlDeviceGetCurrentClocksEventReasons(card(), &reasons), ==, NVML_SUCCESS);
    g_assert_true((reasons & nvmlClocksThrottleReasonHwThermalSlowdown) == 0);
}

int main(int argc, char **argv)
{
    machine_init(&argc, &argv, "t4,time=virtual,utilization_window=100ms");
    g_test_add_func("/nvml/rate_is_the_busy_share_of_the_last_window", test_rates);
    g_test_add_func("/nvml/rate_changes_only_when_a_window_ends", test_only_complete_windows_count);
    g_test_add_func("/nvml/process_sample_is_not_given_twice", test_process_utilization);
    g_test_add_func("/nvml/samples_are_one_a_window", test_samples);
    g_test_add_func("/nvml/sensors_follow_the_load", test_sensors_follow_the_load);
    g_test_add_func("/nvml/slow_device_reports_heat", test_thermal_slowdown);
    return machine_run();
}
