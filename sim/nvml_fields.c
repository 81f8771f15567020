/* SPDX-License-Identifier: Apache-2.0
 *
 * Field values: the numbered figures that monitoring agents ask for in bulk.
 * What is not in the table is not supported, field by field.
 */
#include "nvml.h"

static uint64_t temperature(const struct sim_nvml_device *d)
{
    return sim_nvml_temperature_c(d);
}

static uint64_t power(const struct sim_nvml_device *d)
{
    return sim_nvml_power_mw(d);
}

static uint64_t power_limit(const struct sim_nvml_device *d)
{
    return d->profile->power_limit_w * 1000ULL;
}

static uint64_t power_min(const struct sim_nvml_device *d)
{
    return d->profile->power_limit_w * 500ULL;
}

static uint64_t links(const struct sim_nvml_device *d)
{
    return sim_nvml_link_count(d->index);
}

static uint64_t zero(const struct sim_nvml_device *d)
{
    (void)d;
    return 0;
}

static uint64_t ecc(const struct sim_nvml_device *d)
{
    return d->profile->ecc;
}

static const struct field {
    unsigned id;
    nvmlValueType_t type;
    uint64_t (*of)(const struct sim_nvml_device *d);
} fields[] = {
    {NVML_FI_DEV_ECC_CURRENT, NVML_VALUE_TYPE_UNSIGNED_INT, ecc},
    {NVML_FI_DEV_ECC_PENDING, NVML_VALUE_TYPE_UNSIGNED_INT, ecc},
    {NVML_FI_DEV_ECC_SBE_VOL_TOTAL, NVML_VALUE_TYPE_UNSIGNED_LONG_LONG, zero},
    {NVML_FI_DEV_ECC_DBE_VOL_TOTAL, NVML_VALUE_TYPE_UNSIGNED_LONG_LONG, zero},
    {NVML_FI_DEV_ECC_SBE_AGG_TOTAL, NVML_VALUE_TYPE_UNSIGNED_LONG_LONG, zero},
    {NVML_FI_DEV_ECC_DBE_AGG_TOTAL, NVML_VALUE_TYPE_UNSIGNED_LONG_LONG, zero},
    {NVML_FI_DEV_MEMORY_TEMP, NVML_VALUE_TYPE_UNSIGNED_INT, temperature},
    {NVML_FI_DEV_GPU_TEMP, NVML_VALUE_TYPE_UNSIGNED_INT, temperature},
    {NVML_FI_DEV_TOTAL_ENERGY_CONSUMPTION, NVML_VALUE_TYPE_UNSIGNED_LONG_LONG, sim_nvml_energy_mj},
    {NVML_FI_DEV_NVLINK_LINK_COUNT, NVML_VALUE_TYPE_UNSIGNED_INT, links},
    {NVML_FI_DEV_PCIE_REPLAY_COUNTER, NVML_VALUE_TYPE_UNSIGNED_INT, zero},
    {NVML_FI_DEV_REMAPPED_COR, NVML_VALUE_TYPE_UNSIGNED_INT, zero},
    {NVML_FI_DEV_REMAPPED_UNC, NVML_VALUE_TYPE_UNSIGNED_INT, zero},
    {NVML_FI_DEV_REMAPPED_PENDING, NVML_VALUE_TYPE_UNSIGNED_INT, zero},
    {NVML_FI_DEV_REMAPPED_FAILURE, NVML_VALUE_TYPE_UNSIGNED_INT, zero},
    {NVML_FI_DEV_POWER_AVERAGE, NVML_VALUE_TYPE_UNSIGNED_INT, power},
    {NVML_FI_DEV_POWER_INSTANT, NVML_VALUE_TYPE_UNSIGNED_INT, power},
    {NVML_FI_DEV_POWER_MIN_LIMIT, NVML_VALUE_TYPE_UNSIGNED_INT, power_min},
    {NVML_FI_DEV_POWER_MAX_LIMIT, NVML_VALUE_TYPE_UNSIGNED_INT, power_limit},
    {NVML_FI_DEV_POWER_DEFAULT_LIMIT, NVML_VALUE_TYPE_UNSIGNED_INT, power_limit},
    {NVML_FI_DEV_POWER_CURRENT_LIMIT, NVML_VALUE_TYPE_UNSIGNED_INT, power_limit},
    {NVML_FI_DEV_POWER_REQUESTED_LIMIT, NVML_VALUE_TYPE_UNSIGNED_INT, power_limit},
};

static void fill(const struct sim_nvml_device *d, nvmlFieldValue_t *value)
{
    value->timestamp = (long long)sim_nvml_epoch_us(sim_now());
    value->latencyUsec = 0;
    value->nvmlReturn = NVML_ERROR_NOT_SUPPORTED;
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
        if (fields[i].id == value->fieldId) {
            value->valueType = fields[i].type;
            value->value.ullVal = fields[i].of(d);
            value->nvmlReturn = NVML_SUCCESS;
        }
}

nvmlReturn_t nvmlDeviceGetFieldValues(nvmlDevice_t device, int count, nvmlFieldValue_t *values)
{
    struct sim_nvml_device d;
    nvmlReturn_t r = sim_nvml_card(device, &d);
    if (r == NVML_SUCCESS && (count <= 0 || values == NULL))
        r = NVML_ERROR_INVALID_ARGUMENT;
    for (int i = 0; r == NVML_SUCCESS && i < count; i++)
        fill(&d, &values[i]);
    return r;
}
