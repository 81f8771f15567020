/* SPDX-License-Identifier: Apache-2.0
 *
 * Cards cut into slices. The slices are those of the profile and stay; each
 * GPU instance holds one compute instance. Making and destroying instances is
 * not modelled.
 */
#include "nvml.h"

#include <string.h>

/* Ids that the driver gives to the profiles of seven-slice cards, by slices. */
static const unsigned profile_ids[] = {0, 19, 14, 9, 5, 0, 0, 0};
static const unsigned profile_enums[] = {
    NVML_GPU_INSTANCE_PROFILE_COUNT,   NVML_GPU_INSTANCE_PROFILE_1_SLICE, NVML_GPU_INSTANCE_PROFILE_2_SLICE,
    NVML_GPU_INSTANCE_PROFILE_3_SLICE, NVML_GPU_INSTANCE_PROFILE_4_SLICE, NVML_GPU_INSTANCE_PROFILE_COUNT,
    NVML_GPU_INSTANCE_PROFILE_6_SLICE, NVML_GPU_INSTANCE_PROFILE_7_SLICE};

static char instances[2][SIM_DEVICES][SIM_PARTS]; /* what handles point to: GPU, compute instances */

static void *instance_handle(bool compute, const struct sim_nvml_device *d, unsigned part)
{
    return &instances[compute][d->index][part];
}

static nvmlReturn_t instance_of(bool compute, const void *handle, struct sim_nvml_device *ret)
{
    uintptr_t at = (uintptr_t)handle - (uintptr_t)&instances[compute][0][0];
    nvmlReturn_t r = sim_nvml_ready();
    if (r != NVML_SUCCESS)
        return r;
    if (at >= sizeof(instances[0]) || at % SIM_PARTS == 0)
        return NVML_ERROR_INVALID_ARGUMENT;
    return sim_nvml_device(sim_nvml_handle((unsigned)(at / SIM_PARTS), (unsigned)(at % SIM_PARTS)), ret);
}

static unsigned slices_of(const struct sim_nvml_device *d, unsigned part)
{
    return d->profile->mig[part - 1].gi_slices & 7;
}

static unsigned start_of(const struct sim_nvml_device *d, unsigned part)
{
    unsigned start = 0;
    for (unsigned p = 1; p < part; p++)
        start += slices_of(d, p);
    return start;
}

/* ---- modes and handles ---- */

nvmlReturn_t nvmlDeviceGetMigMode(nvmlDevice_t device, unsigned int *current, unsigned int *pending)
{
    struct sim_nvml_device d;
    nvmlReturn_t r = sim_nvml_card(device, &d);
    if (r == NVML_SUCCESS && (current == NULL || pending == NULL))
        r = NVML_ERROR_INVALID_ARGUMENT;
    if (r == NVML_SUCCESS && !d.profile->mig_capable)
        r = NVML_ERROR_NOT_SUPPORTED;
    if (r == NVML_SUCCESS)
        *current = *pending = d.profile->mig_enabled ? NVML_DEVICE_MIG_ENABLE : NVML_DEVICE_MIG_DISABLE;
    return r;
}

static unsigned most_slices(const struct sim_nvml_device *d)
{
    return d->profile->mig_capable ? SIM_MIG_SLICES : 0;
}

nvmlReturn_t nvmlDeviceGetMaxMigDeviceCount(nvmlDevice_t device, unsigned int *count)
{
    return sim_nvml_number(device, count, most_slices);
}

nvmlReturn_t nvmlDeviceIsMigDeviceHandle(nvmlDevice_t device, unsigned int *is_mig)
{
    struct sim_nvml_device d;
    nvmlReturn_t r = sim_nvml_device(device, &d);
    if (r == NVML_SUCCESS && is_mig == NULL)
        r = NVML_ERROR_INVALID_ARGUMENT;
    if (r == NVML_SUCCESS)
        *is_mig = d.part > 0;
    return r;
}

nvmlReturn_t nvmlDeviceGetMigDeviceHandleByIndex(nvmlDevice_t device, unsigned int index, nvmlDevice_t *mig)
{
    struct sim_nvml_device d;
    nvmlReturn_t r = sim_nvml_card(device, &d);
    if (r == NVML_SUCCESS && (mig == NULL || index >= SIM_MIG_SLICES))
        r = NVML_ERROR_INVALID_ARGUMENT;
    if (r == NVML_SUCCESS && !d.profile->mig_capable)
        r = NVML_ERROR_NOT_SUPPORTED;
    if (r == NVML_SUCCESS && (!sim_nvml_mig(d.profile) || index >= d.profile->n_mig))
        r = NVML_ERROR_NOT_FOUND;
    if (r == NVML_SUCCESS)
        *mig = sim_nvml_handle(d.index, index + 1);
    return r;
}

/* A slice, or the refusal that questions about slices get on a whole card. */
static nvmlReturn_t slice(nvmlDevice_t device, const void *ret, struct sim_nvml_device *d)
{
    nvmlReturn_t r = sim_nvml_device(device, d);
    if (r == NVML_SUCCESS && ret == NULL)
        r = NVML_ERROR_INVALID_ARGUMENT;
    return r == NVML_SUCCESS && d->part == 0 ? NVML_ERROR_INVALID_ARGUMENT : r;
}

nvmlReturn_t nvmlDeviceGetDeviceHandleFromMigDeviceHandle(nvmlDevice_t mig, nvmlDevice_t *device)
{
    struct sim_nvml_device d;
    nvmlReturn_t r = slice(mig, device, &d);
    if (r == NVML_SUCCESS)
        *device = sim_nvml_handle(d.index, 0);
    return r;
}

nvmlReturn_t nvmlDeviceGetGpuInstanceId(nvmlDevice_t device, unsigned int *id)
{
    struct sim_nvml_device d;
    nvmlReturn_t r = slice(device, id, &d);
    if (r == NVML_SUCCESS)
        *id = d.profile->mig[d.part - 1].gi_id;
    return r;
}

nvmlReturn_t nvmlDeviceGetComputeInstanceId(nvmlDevice_t device, unsigned int *id)
{
    struct sim_nvml_device d;
    nvmlReturn_t r = slice(device, id, &d);
    if (r == NVML_SUCCESS)
        *id = d.profile->mig[d.part - 1].ci_id;
    return r;
}

nvmlReturn_t nvmlDeviceGetAttributes_v2(nvmlDevice_t device, nvmlDeviceAttributes_t *attributes)
{
    struct sim_nvml_device d;
    nvmlReturn_t r = slice(device, attributes, &d);
    if (r != NVML_SUCCESS)
        return r;
    memset(attributes, 0, sizeof(*attributes));
    attributes->multiprocessorCount = d.profile->mig[d.part - 1].sm_count;
    attributes->sharedCopyEngineCount = slices_of(&d, d.part);
    attributes->sharedDecoderCount = slices_of(&d, d.part) / 2;
    attributes->gpuInstanceSliceCount = slices_of(&d, d.part);
    attributes->computeInstanceSliceCount = d.profile->mig[d.part - 1].ci_slices;
    attributes->memorySizeMB = d.profile->mig[d.part - 1].mem_bytes >> 20;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetAttributes(nvmlDevice_t device, nvmlDeviceAttributes_t *attributes)
{
    return nvmlDeviceGetAttributes_v2(device, attributes);
}

/* ---- GPU instances ---- */

static nvmlReturn_t mig_card(nvmlDevice_t device, const void *ret, struct sim_nvml_device *d)
{
    nvmlReturn_t r = sim_nvml_card(device, d);
    if (r == NVML_SUCCESS && ret == NULL)
        r = NVML_ERROR_INVALID_ARGUMENT;
    return r == NVML_SUCCESS && !sim_nvml_mig(d->profile) ? NVML_ERROR_NOT_SUPPORTED : r;
}

/* Known are the profiles that the card's slices have. */
static nvmlReturn_t profile_info(nvmlDevice_t device, unsigned profile, nvmlGpuInstanceProfileInfo_t *info)
{
    struct sim_nvml_device d;
    nvmlReturn_t r = mig_card(device, info, &d);
    if (r != NVML_SUCCESS)
        return r;
    if (profile >= NVML_GPU_INSTANCE_PROFILE_COUNT)
        return NVML_ERROR_INVALID_ARGUMENT;
    memset(info, 0, sizeof(*info));
    for (unsigned part = 1; part <= d.profile->n_mig; part++) {
        unsigned slices = slices_of(&d, part);
        if (profile_enums[slices] != profile)
            continue;
        info->id = profile_ids[slices];
        info->sliceCount = slices;
        info->instanceCount = SIM_MIG_SLICES / slices;
        info->multiprocessorCount = d.profile->mig[part - 1].sm_count;
        info->copyEngineCount = slices;
        info->decoderCount = slices / 2;
        info->memorySizeMB = d.profile->mig[part - 1].mem_bytes >> 20;
        return NVML_SUCCESS;
    }
    return NVML_ERROR_NOT_SUPPORTED;
}

nvmlReturn_t nvmlDeviceGetGpuInstanceProfileInfo(nvmlDevice_t device, unsigned int profile,
                                                 nvmlGpuInstanceProfileInfo_t *info)
{
    return profile_info(device, profile, info);
}

nvmlReturn_t nvmlDeviceGetGpuInstances(nvmlDevice_t device, unsigned int profile_id,
                                       nvmlGpuInstance_t *handles, unsigned int *count)
{
    struct sim_nvml_device d;
    unsigned n = 0;
    nvmlReturn_t r = mig_card(device, count, &d);
    if (r != NVML_SUCCESS)
        return r;
    for (unsigned part = 1; part <= d.profile->n_mig; part++)
        if (profile_ids[slices_of(&d, part)] == profile_id) {
            if (handles != NULL)
                handles[n] = instance_handle(false, &d, part);
            n++;
        }
    *count = n;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetGpuInstanceRemainingCapacity(nvmlDevice_t device, unsigned int profile_id,
                                                       unsigned int *count)
{
    struct sim_nvml_device d;
    nvmlReturn_t r = mig_card(device, count, &d);
    (void)profile_id;
    if (r == NVML_SUCCESS)
        *count = 0;
    return r;
}

nvmlReturn_t nvmlDeviceGetGpuInstanceById(nvmlDevice_t device, unsigned int id, nvmlGpuInstance_t *handle)
{
    struct sim_nvml_device d;
    nvmlReturn_t r = mig_card(device, handle, &d);
    for (unsigned part = 1; r == NVML_SUCCESS && part <= d.profile->n_mig; part++)
        if (d.profile->mig[part - 1].gi_id == id) {
            *handle = instance_handle(false, &d, part);
            return NVML_SUCCESS;
        }
    return r != NVML_SUCCESS ? r : NVML_ERROR_NOT_FOUND;
}

nvmlReturn_t nvmlGpuInstanceGetInfo(nvmlGpuInstance_t instance, nvmlGpuInstanceInfo_t *info)
{
    struct sim_nvml_device d;
    nvmlReturn_t r = instance_of(false, instance, &d);
    if (r == NVML_SUCCESS && info == NULL)
        r = NVML_ERROR_INVALID_ARGUMENT;
    if (r != NVML_SUCCESS)
        return r;
    info->device = sim_nvml_handle(d.index, 0);
    info->id = d.profile->mig[d.part - 1].gi_id;
    info->profileId = profile_ids[slices_of(&d, d.part)];
    info->placement.start = start_of(&d, d.part);
    info->placement.size = slices_of(&d, d.part);
    return NVML_SUCCESS;
}

/* ---- compute instances: one in every GPU instance ---- */

nvmlReturn_t nvmlGpuInstanceGetComputeInstances(nvmlGpuInstance_t instance, unsigned int profile_id,
                                                nvmlComputeInstance_t *handles, unsigned int *count)
{
    struct sim_nvml_device d;
    nvmlReturn_t r = instance_of(false, instance, &d);
    if (r == NVML_SUCCESS && count == NULL)
        r = NVML_ERROR_INVALID_ARGUMENT;
    if (r != NVML_SUCCESS)
        return r;
    *count = d.profile->mig[d.part - 1].ci_slices == profile_id + 1;
    if (*count > 0 && handles != NULL)
        handles[0] = instance_handle(true, &d, d.part);
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlGpuInstanceGetComputeInstanceById(nvmlGpuInstance_t instance, unsigned int id,
                                                   nvmlComputeInstance_t *handle)
{
    struct sim_nvml_device d;
    nvmlReturn_t r = instance_of(false, instance, &d);
    if (r == NVML_SUCCESS && handle == NULL)
        r = NVML_ERROR_INVALID_ARGUMENT;
    if (r == NVML_SUCCESS && d.profile->mig[d.part - 1].ci_id != id)
        r = NVML_ERROR_NOT_FOUND;
    if (r == NVML_SUCCESS)
        *handle = instance_handle(true, &d, d.part);
    return r;
}

nvmlReturn_t nvmlComputeInstanceGetInfo_v2(nvmlComputeInstance_t instance, nvmlComputeInstanceInfo_t *info)
{
    struct sim_nvml_device d;
    nvmlReturn_t r = instance_of(true, instance, &d);
    if (r == NVML_SUCCESS && info == NULL)
        r = NVML_ERROR_INVALID_ARGUMENT;
    if (r != NVML_SUCCESS)
        return r;
    info->device = sim_nvml_handle(d.index, d.part);
    info->gpuInstance = instance_handle(false, &d, d.part);
    info->id = d.profile->mig[d.part - 1].ci_id;
    info->profileId = d.profile->mig[d.part - 1].ci_slices - 1;
    info->placement.start = 0;
    info->placement.size = d.profile->mig[d.part - 1].ci_slices;
    return NVML_SUCCESS;
}

/* The first version ends before the placement. */
nvmlReturn_t nvmlComputeInstanceGetInfo(nvmlComputeInstance_t instance, nvmlComputeInstanceInfo_t *info)
{
    nvmlComputeInstanceInfo_t full;
    nvmlReturn_t r = nvmlComputeInstanceGetInfo_v2(instance, info != NULL ? &full : NULL);
    if (r == NVML_SUCCESS)
        memcpy(info, &full, offsetof(nvmlComputeInstanceInfo_t, placement));
    return r;
}
