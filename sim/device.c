/* SPDX-License-Identifier: Apache-2.0
 *
 * Questions about devices.
 */
#include <stdio.h>
#include <string.h>

#include "abi/cuda_api.h"
#include "objects.h"

/* The ordinal's profile and part, or what the call answers. */
static CUresult device_of(CUdevice dev, struct sim_part *part, const struct sim_device_profile **ret)
{
    if (!sim_initialized())
        return CUDA_ERROR_NOT_INITIALIZED;
    if (!sim_ordinal_part(dev, part))
        return CUDA_ERROR_INVALID_DEVICE;
    *ret = &sim_state->profile.devices[part->device];
    return CUDA_SUCCESS;
}

CUresult cuDeviceGetCount(int *count)
{
    if (count == NULL)
        return CUDA_ERROR_INVALID_VALUE;
    if (!sim_initialized())
        return CUDA_ERROR_NOT_INITIALIZED;
    *count = (int)sim_device_count();
    return CUDA_SUCCESS;
}

CUresult cuDeviceGet(CUdevice *device, int ordinal)
{
    struct sim_part part;
    if (!sim_initialized())
        return CUDA_ERROR_NOT_INITIALIZED;
    if (device == NULL)
        return CUDA_ERROR_INVALID_VALUE;
    if (!sim_ordinal_part(ordinal, &part))
        return CUDA_ERROR_INVALID_DEVICE;
    *device = ordinal;
    return CUDA_SUCCESS;
}

CUresult cuDeviceGetName(char *name, int len, CUdevice dev)
{
    struct sim_part part;
    const struct sim_device_profile *d;
    CUresult r = device_of(dev, &part, &d);
    if (r != CUDA_SUCCESS)
        return r;
    if (name == NULL || len <= 0)
        return CUDA_ERROR_INVALID_VALUE;
    if (part.part > 0)
        snprintf(name, (size_t)len, "%s MIG %s", d->name, d->mig[part.part - 1].profile);
    else
        snprintf(name, (size_t)len, "%s", d->name);
    return CUDA_SUCCESS;
}

CUresult cuDeviceTotalMem_v2(size_t *bytes, CUdevice dev)
{
    struct sim_part part;
    const struct sim_device_profile *d;
    CUresult r = device_of(dev, &part, &d);
    if (r == CUDA_SUCCESS && bytes == NULL)
        r = CUDA_ERROR_INVALID_VALUE;
    if (r == CUDA_SUCCESS)
        *bytes = sim_part_bytes(part.device, part.part);
    return r;
}

CUresult cuDeviceTotalMem(unsigned int *bytes, CUdevice dev)
{
    size_t n = 0;
    CUresult r = bytes == NULL ? CUDA_ERROR_INVALID_VALUE : cuDeviceTotalMem_v2(&n, dev);
    if (r == CUDA_SUCCESS)
        *bytes = n > 0xffffffffu ? 0xffffffffu : (unsigned)n;
    return r;
}

CUresult cuDeviceComputeCapability(int *major, int *minor, CUdevice dev)
{
    struct sim_part part;
    const struct sim_device_profile *d;
    CUresult r = device_of(dev, &part, &d);
    if (r == CUDA_SUCCESS && (major == NULL || minor == NULL))
        r = CUDA_ERROR_INVALID_VALUE;
    if (r == CUDA_SUCCESS) {
        *major = (int)d->cc_major;
        *minor = (int)d->cc_minor;
    }
    return r;
}

/* "GPU-" or "MIG-" and 8-4-4-4-12 hexadecimal digits to 16 bytes. */
static void uuid_bytes(const char *text, char bytes[16])
{
    unsigned n = 0, high = 0;
    memset(bytes, 0, 16);
    for (const char *p = text + 4; *p != '\0' && n < 32; p++) {
        int v = *p >= '0' && *p <= '9' ? *p - '0' : *p >= 'a' && *p <= 'f' ? *p - 'a' + 10 : -1;
        if (v < 0)
            continue;
        if (n % 2 == 0)
            high = (unsigned)v;
        else
            bytes[n / 2] = (char)(high << 4 | (unsigned)v);
        n++;
    }
}

CUresult cuDeviceGetUuid_v2(CUuuid *uuid, CUdevice dev)
{
    struct sim_part part;
    const struct sim_device_profile *d;
    CUresult r = device_of(dev, &part, &d);
    if (r == CUDA_SUCCESS && uuid == NULL)
        r = CUDA_ERROR_INVALID_VALUE;
    if (r == CUDA_SUCCESS)
        uuid_bytes(part.part > 0 ? d->mig[part.part - 1].uuid : d->uuid, uuid->bytes);
    return r;
}

CUresult cuDeviceGetUuid(CUuuid *uuid, CUdevice dev)
{
    struct sim_part part;
    const struct sim_device_profile *d;
    CUresult r = device_of(dev, &part, &d);
    if (r == CUDA_SUCCESS && uuid == NULL)
        r = CUDA_ERROR_INVALID_VALUE;
    if (r == CUDA_SUCCESS) /* the first version names the card even under MIG */
        uuid_bytes(d->uuid, uuid->bytes);
    return r;
}

/* CUDA has a four-digit domain, the profile (as NVML) an eight-digit one. */
static const char *short_bus_id(const struct sim_device_profile *d)
{
    return strlen(d->pci_bus_id) > 12 ? d->pci_bus_id + 4 : d->pci_bus_id;
}

CUresult cuDeviceGetPCIBusId(char *text, int len, CUdevice dev)
{
    struct sim_part part;
    const struct sim_device_profile *d;
    CUresult r = device_of(dev, &part, &d);
    if (r != CUDA_SUCCESS)
        return r;
    if (text == NULL || len <= 0)
        return CUDA_ERROR_INVALID_VALUE;
    snprintf(text, (size_t)len, "%s", short_bus_id(d));
    return CUDA_SUCCESS;
}

static bool parse_bus_id(const char *text, unsigned id[4])
{
    id[3] = 0;
    if (sscanf(text, "%x:%x:%x.%x", &id[0], &id[1], &id[2], &id[3]) >= 3)
        return true;
    id[0] = 0;
    return sscanf(text, "%x:%x.%x", &id[1], &id[2], &id[3]) >= 2;
}

CUresult cuDeviceGetByPCIBusId(CUdevice *device, const char *text)
{
    unsigned want[4], have[4];
    if (!sim_initialized())
        return CUDA_ERROR_NOT_INITIALIZED;
    if (device == NULL || text == NULL || !parse_bus_id(text, want))
        return CUDA_ERROR_INVALID_VALUE;
    for (unsigned i = 0; i < sim_device_count(); i++) {
        const struct sim_device_profile *d = &sim_state->profile.devices[sim_device((CUdevice)i)];
        if (parse_bus_id(d->pci_bus_id, have) && memcmp(want, have, sizeof(want)) == 0) {
            *device = (CUdevice)i;
            return CUDA_SUCCESS;
        }
    }
    return CUDA_ERROR_INVALID_DEVICE;
}
