/* SPDX-License-Identifier: Apache-2.0
 *
 * NVML on a card that is cut into MIG slices.
 */
#include "machine.h"

#include <string.h>
#include <unistd.h>

#include "abi/nvml_api.h"

static nvmlDevice_t card(void)
{
    nvmlDevice_t d;
    g_assert_cmpint(nvmlInit_v2(), ==, NVML_SUCCESS);
    g_assert_cmpint(nvmlDeviceGetHandleByIndex_v2(0, &d), ==, NVML_SUCCESS);
    return d;
}

static nvmlDevice_t slice(unsigned index)
{
    nvmlDevice_t d;
    g_assert_cmpint(nvmlDeviceGetMigDeviceHandleByIndex(card(), index, &d), ==, NVML_SUCCESS);
    return d;
}

static void test_slices(void)
{
    unsigned current, pending, n, is;
    nvmlDevice_t d;
    char uuid[96];
    g_assert_cmpint(nvmlDeviceGetMigMode(card(), &current, &pending), ==, NVML_SUCCESS);
    g_assert_cmpuint(current, ==, NVML_DEVICE_MIG_ENABLE);
    g_assert_cmpint(nvmlDeviceGetMaxMigDeviceCount(card(), &n), ==, NVML_SUCCESS);
    g_assert_cmpuint(n, ==, 7);
    g_assert_cmpint(nvmlDeviceGetMigDeviceHandleByIndex(card(), 3, &d), ==, NVML_ERROR_NOT_FOUND);
    g_assert_cmpint(nvmlDeviceIsMigDeviceHandle(slice(1), &is), ==, NVML_SUCCESS);
    g_assert_cmpuint(is, ==, 1);
    g_assert_cmpint(nvmlDeviceIsMigDeviceHandle(card(), &is), ==, NVML_SUCCESS);
    g_assert_cmpuint(is, ==, 0);
    g_assert_cmpint(nvmlDeviceGetUUID(slice(1), uuid, sizeof(uuid)), ==, NVML_SUCCESS);
    g_assert_true(g_str_has_prefix(uuid, "MIG-"));
    g_assert_cmpint(nvmlDeviceGetHandleByUUID(uuid, &d), ==, NVML_SUCCESS);
    g_assert_true(d == slice(1));
    g_assert_cmpint(nvmlDeviceGetDeviceHandleFromMigDeviceHandle(d, &d), ==, NVML_SUCCESS);
    g_assert_true(d == card());
}

static void test_attributes(void)
{
    nvmlDeviceAttributes_t a;
    nvmlMemory_t m;
    unsigned id;
    g_assert_cmpint(nvmlDeviceGetAttributes_v2(slice(0), &a), ==, NVML_SUCCESS);
    g_assert_cmpuint(a.multiprocessorCount, ==, 42);
    g_assert_cmpuint(a.gpuInstanceSliceCount, ==, 3);
    g_assert_cmpuint(a.memorySizeMB, ==, 19968);
    g_assert_cmpint(nvmlDeviceGetAttributes_v2(card(), &a), ==, NVML_ERROR_INVALID_ARGUMENT);
    g_assert_cmpint(nvmlDeviceGetMemoryInfo(slice(2), &m), ==, NVML_SUCCESS);
    g_assert_cmpuint(m.total, ==, 4864 * MIB);
    g_assert_cmpint(nvmlDeviceGetGpuInstanceId(slice(2), &id), ==, NVML_SUCCESS);
    g_assert_cmpuint(id, ==, 3);
    g_assert_cmpint(nvmlDeviceGetComputeInstanceId(card(), &id), ==, NVML_ERROR_INVALID_ARGUMENT);
}

static void test_instances(void)
{
    nvmlGpuInstance_t gi[7];
    nvmlComputeInstance_t ci[7];
    nvmlGpuInstanceInfo_t info;
    nvmlComputeInstanceInfo_t compute;
    nvmlGpuInstanceProfileInfo_t profile;
    unsigned n = 0;
    g_assert_cmpint(nvmlDeviceGetGpuInstanceProfileInfo(card(), NVML_GPU_INSTANCE_PROFILE_2_SLICE, &profile),
                    ==, NVML_SUCCESS);
    g_assert_cmpuint(profile.sliceCount, ==, 2);
    g_assert_cmpint(nvmlDeviceGetGpuInstanceProfileInfo(card(), NVML_GPU_INSTANCE_PROFILE_7_SLICE, &profile),
                    ==, NVML_ERROR_NOT_SUPPORTED);
    g_assert_cmpint(nvmlDeviceGetGpuInstances(card(), profile.id != 0 ? profile.id : 14, gi, &n), ==,
                    NVML_SUCCESS);
    g_assert_cmpuint(n, ==, 1);
    g_assert_cmpint(nvmlGpuInstanceGetInfo(gi[0], &info), ==, NVML_SUCCESS);
    g_assert_cmpuint(info.id, ==, 2);
    g_assert_cmpuint(info.placement.start, ==, 3);
    g_assert_true(info.device == card());
    g_assert_cmpint(nvmlGpuInstanceGetComputeInstances(gi[0], NVML_COMPUTE_INSTANCE_PROFILE_2_SLICE, ci, &n),
                    ==, NVML_SUCCESS);
    g_assert_cmpuint(n, ==, 1);
    g_assert_cmpint(nvmlComputeInstanceGetInfo_v2(ci[0], &compute), ==, NVML_SUCCESS);
    g_assert_true(compute.device == slice(1));
    g_assert_cmpint(nvmlGpuInstanceGetInfo((nvmlGpuInstance_t)(void *)&n, &info), ==,
                    NVML_ERROR_INVALID_ARGUMENT);
}

static void test_processes_carry_their_instance(void)
{
    nvmlProcessInfo_t infos[4];
    nvmlUtilization_t u;
    unsigned n = 4;
    machine_start(); /* ordinal 0 is the first slice */
    g_assert_cmpint(nvmlDeviceGetComputeRunningProcesses_v3(card(), &n, infos), ==, NVML_SUCCESS);
    g_assert_cmpuint(n, ==, 1);
    g_assert_cmpuint(infos[0].gpuInstanceId, ==, 1);
    g_assert_cmpuint(infos[0].computeInstanceId, ==, 0);
    n = 4;
    g_assert_cmpint(nvmlDeviceGetComputeRunningProcesses_v3(slice(0), &n, infos), ==, NVML_SUCCESS);
    g_assert_cmpuint(n, ==, 1);
    n = 4;
    g_assert_cmpint(nvmlDeviceGetComputeRunningProcesses_v3(slice(1), &n, infos), ==, NVML_SUCCESS);
    g_assert_cmpuint(n, ==, 0);
    g_assert_cmpint(nvmlDeviceGetUtilizationRates(card(), &u), ==, NVML_ERROR_NOT_SUPPORTED);
}

int main(int argc, char **argv)
{
    machine_init(&argc, &argv, "a100-mig");
    g_test_add_func("/nvml_mig/slices_have_handles_of_their_own", test_slices);
    g_test_add_func("/nvml_mig/attributes_are_those_of_the_slice", test_attributes);
    g_test_add_func("/nvml_mig/instances_are_listed_by_profile", test_instances);
    g_test_add_func("/nvml_mig/processes_carry_their_instance", test_processes_carry_their_instance);
    return machine_run();
}
