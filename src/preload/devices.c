/* SPDX-License-Identifier: Apache-2.0
 *
 * Asking the driver and NVML for UUIDs.
 *
 * Invariants:
 *   1. The order of devices is never derived from an environment variable
 *      alone: CUDA_VISIBLE_DEVICES only decides whether CUDA's own list may be
 *      short of cards, in which case NVML is asked.
 *   2. No context is created. No lock is held by the caller.
 */
#include "preload/devices.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "preload/real.h"

static void format_uuid(char text[48], const char *prefix, const CUuuid *uuid)
{
    const unsigned char *b = (const unsigned char *)uuid->bytes;
    snprintf(text, 48, "%s%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", prefix, b[0],
             b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15]);
}

bool devices_of_cuda(struct devices_ordinals *ret)
{
    int n = 0;
    ret->n = 0;
    if (real.cuDeviceGetCount(&n) != CUDA_SUCCESS || n <= 0)
        return false;
    for (int i = 0; i < n && i < DEVICES_ORDINALS; i++) {
        CUuuid card, instance;
        CUdevice device;
        struct devices_names *of = &ret->of[i];
        memset(of, 0, sizeof *of);
        if (real.cuDeviceGet(&device, i) != CUDA_SUCCESS)
            continue;
        bool has_card = real.cuDeviceGetUuid(&card, device) == CUDA_SUCCESS;
        bool has_instance = real.cuDeviceGetUuid_v2(&instance, device) == CUDA_SUCCESS;
        if (has_card)
            format_uuid(of->card, "GPU-", &card);
        if (has_instance) {
            bool is_card = !has_card || memcmp(&card, &instance, sizeof card) == 0;
            format_uuid(of->uuid, is_card ? "GPU-" : "MIG-", &instance);
        } else {
            memcpy(of->uuid, of->card, sizeof of->uuid);
        }
    }
    ret->n = (uint32_t)(n < DEVICES_ORDINALS ? n : DEVICES_ORDINALS);
    return true;
}

void devices_ordinals_copy(struct devices_ordinals *to, const struct devices_ordinals *from)
{
    memcpy(to, from, offsetof(struct devices_ordinals, of) + from->n * sizeof from->of[0]);
}

static bool devices_of_nvml(bool ready, struct devices_list *ret)
{
    unsigned n = 0;
    memset(ret, 0, sizeof *ret);
    if (!ready && real_nvml.nvmlInit_v2() != NVML_SUCCESS)
        return false;
    if (real_nvml.nvmlDeviceGetCount_v2(&n) != NVML_SUCCESS)
        n = 0;
    for (unsigned i = 0; i < n && i < REGION_DEVICES; i++) {
        nvmlDevice_t device;
        if (real_nvml.nvmlDeviceGetHandleByIndex_v2(i, &device) == NVML_SUCCESS &&
            real_nvml.nvmlDeviceGetUUID(device, ret->uuids[i], REGION_UUID_BYTES) == NVML_SUCCESS)
            ret->n = i + 1;
    }
    if (!ready)
        real_nvml.nvmlShutdown();
    return ret->n > 0;
}

struct place {
    char bus[20]; /* "0000:3b:00.0": texts of one form, their order is the bus's */
    uint32_t ordinal;
};

static int by_bus(const void *a, const void *b)
{
    const struct place *x = a, *y = b;
    int order = strcasecmp(x->bus, y->bus);
    return order ? order : (x->ordinal > y->ordinal) - (x->ordinal < y->ordinal);
}

/* CUDA's list in the order of the bus, which is NVML's. */
static bool devices_by_bus(const struct devices_ordinals *cuda, struct devices_list *ret)
{
    struct place places[DEVICES_ORDINALS];
    for (uint32_t i = 0; i < cuda->n; i++) {
        CUdevice device;
        places[i] = (struct place){.ordinal = i};
        if (real.cuDeviceGet(&device, (int)i) != CUDA_SUCCESS ||
            real.cuDeviceGetPCIBusId(places[i].bus, (int)sizeof places[i].bus, device) != CUDA_SUCCESS)
            places[i].bus[0] = '\0';
        places[i].bus[sizeof places[i].bus - 1] = '\0';
    }
    qsort(places, cuda->n, sizeof places[0], by_bus);
    memset(ret, 0, sizeof *ret);
    for (; ret->n < cuda->n && ret->n < REGION_DEVICES; ret->n++)
        memcpy(ret->uuids[ret->n], cuda->of[places[ret->n].ordinal].uuid, sizeof cuda->of[0].uuid);
    return ret->n > 0;
}

bool devices_of_machine(const struct devices_ordinals *cuda, bool nvml_ready, struct devices_list *ret)
{
    const char *chosen = getenv("CUDA_VISIBLE_DEVICES");
    bool may_be_short = cuda->n == 0 || (chosen && *chosen);
    if ((may_be_short || nvml_ready) && devices_of_nvml(nvml_ready, ret))
        return true;
    return devices_by_bus(cuda, ret);
}

static const char *past_prefix(const char *uuid)
{
    return strncmp(uuid, "GPU-", 4) == 0 || strncmp(uuid, "MIG-", 4) == 0 ? uuid + 4 : uuid;
}

bool devices_same(const char *a, const char *b)
{
    return *a && *b && strcasecmp(past_prefix(a), past_prefix(b)) == 0;
}
