/* SPDX-License-Identifier: Apache-2.0
 *
 * NVML's lists of cards: only those of the slice, numbered from 0 in NVML's
 * order. Where no grant names them the driver's own list counts: a container
 * has only its cards there.
 *
 * Invariants:
 *   1. A card is the slice's when the grant names it or one of its instances;
 *      an instance when the grant names it or its card.
 *   2. The library is asked first: its errors are the caller's.
 *   3. Nothing is remembered: handles end with nvmlShutdown, cards get lost.
 */
#include "preload/hook.h"
#include "preload/nvml_view.h"
#include "preload/real.h"

enum { CARDS_MAX = 64 }; /* more are not looked at */

struct cards {
    unsigned n;
    nvmlDevice_t at[CARDS_MAX];
};

/* SLICE_ON: there are cards to hide. A process without a grant is not attached
 * for the sake of a list. */
static enum slice_state view(void)
{
    enum slice_state state = slice_check();
    if (state == SLICE_REFUSED)
        return state;
    return slice.has_grant ? slice_attach_nvml() : SLICE_OFF;
}

static bool has_instance_of_ours(nvmlDevice_t card)
{
    unsigned n = 0;
    if (real_nvml.nvmlDeviceGetMaxMigDeviceCount(card, &n) != NVML_SUCCESS)
        return false;
    for (unsigned i = 0; i < n && i < CARDS_MAX; i++) {
        nvmlDevice_t instance;
        if (real_nvml.nvmlDeviceGetMigDeviceHandleByIndex(card, i, &instance) == NVML_SUCCESS &&
            nvml_view_device(instance) >= 0)
            return true;
    }
    return false;
}

static bool is_ours(nvmlDevice_t device)
{
    nvmlDevice_t card;
    if (nvml_view_device(device) >= 0)
        return true;
    if (real_nvml.nvmlDeviceGetDeviceHandleFromMigDeviceHandle(device, &card) == NVML_SUCCESS)
        return nvml_view_device(card) >= 0;
    return has_instance_of_ours(device);
}

static void find_ours(struct cards *ret)
{
    unsigned n = 0;
    nvmlDevice_t card;
    ret->n = 0;
    if (real_nvml.nvmlDeviceGetCount_v2(&n) != NVML_SUCCESS)
        return;
    for (unsigned i = 0; i < n && i < CARDS_MAX; i++)
        if (real_nvml.nvmlDeviceGetHandleByIndex_v2(i, &card) == NVML_SUCCESS && is_ours(card))
            ret->at[ret->n++] = card;
}

/* ---- by number --------------------------------------------------------- */

static nvmlReturn_t count_ours(nvmlReturn_t result, unsigned *count)
{
    struct cards ours;
    enum slice_state state = result == NVML_SUCCESS && count ? view() : SLICE_OFF;
    if (state == SLICE_REFUSED)
        return NVML_ERROR_NO_PERMISSION;
    if (state == SLICE_ON) {
        find_ours(&ours);
        *count = ours.n;
    }
    return result;
}

HOOK nvmlReturn_t nvmlDeviceGetCount(unsigned int *count)
{
    return count_ours(real_nvml.nvmlDeviceGetCount(count), count);
}

HOOK nvmlReturn_t nvmlDeviceGetCount_v2(unsigned int *count)
{
    return count_ours(real_nvml.nvmlDeviceGetCount_v2(count), count);
}

/* The library's own answer decides only where nothing is hidden; of our cards
 * there are never more than of its. */
static nvmlReturn_t pick(nvmlReturn_t result, unsigned index, nvmlDevice_t *device)
{
    struct cards ours;
    enum slice_state state = result == NVML_ERROR_UNINITIALIZED || !device ? SLICE_OFF : view();
    if (state == SLICE_REFUSED)
        return NVML_ERROR_NO_PERMISSION;
    if (state != SLICE_ON)
        return result;
    find_ours(&ours);
    *device = index < ours.n ? ours.at[index] : NULL;
    return index < ours.n ? NVML_SUCCESS : NVML_ERROR_INVALID_ARGUMENT;
}

HOOK nvmlReturn_t nvmlDeviceGetHandleByIndex(unsigned int index, nvmlDevice_t *device)
{
    return pick(real_nvml.nvmlDeviceGetHandleByIndex(index, device), index, device);
}

HOOK nvmlReturn_t nvmlDeviceGetHandleByIndex_v2(unsigned int index, nvmlDevice_t *device)
{
    return pick(real_nvml.nvmlDeviceGetHandleByIndex_v2(index, device), index, device);
}

/* The number that leads back to the handle. Instances are numbered within
 * their card. */
HOOK nvmlReturn_t nvmlDeviceGetIndex(nvmlDevice_t device, unsigned int *index)
{
    struct cards ours;
    nvmlReturn_t result = real_nvml.nvmlDeviceGetIndex(device, index);
    if (result != NVML_SUCCESS || !index || view() != SLICE_ON)
        return result;
    find_ours(&ours);
    for (unsigned i = 0; i < ours.n; i++)
        if (ours.at[i] == device)
            *index = i;
    return result;
}

/* ---- by name ----------------------------------------------------------- */

static nvmlReturn_t admit(nvmlReturn_t result, nvmlDevice_t *device)
{
    enum slice_state state = result == NVML_SUCCESS && device ? view() : SLICE_OFF;
    if (state == SLICE_REFUSED)
        return NVML_ERROR_NO_PERMISSION;
    if (state != SLICE_ON || is_ours(*device))
        return result;
    *device = NULL;
    return NVML_ERROR_NOT_FOUND;
}

#define BY_NAME(symbol, type)                                                                                \
    HOOK nvmlReturn_t symbol(type name, nvmlDevice_t *device)                                                \
    {                                                                                                        \
        return admit(real_nvml.symbol(name, device), device);                                                \
    }

BY_NAME(nvmlDeviceGetHandleByUUID, const char *)
BY_NAME(nvmlDeviceGetHandleByUUIDV, const nvmlUUID_t *)
BY_NAME(nvmlDeviceGetHandleBySerial, const char *)
BY_NAME(nvmlDeviceGetHandleByPciBusId, const char *)
BY_NAME(nvmlDeviceGetHandleByPciBusId_v2, const char *)

HOOK nvmlReturn_t nvmlDeviceGetMigDeviceHandleByIndex(nvmlDevice_t device, unsigned int index,
                                                      nvmlDevice_t *instance)
{
    return admit(real_nvml.nvmlDeviceGetMigDeviceHandleByIndex(device, index, instance), instance);
}

/* ---- neighbours in the topology ---------------------------------------- */

/* Ours of the cards found, in the caller's list: none asked for means how many. */
static nvmlReturn_t give(struct cards *found, unsigned *count, nvmlDevice_t *devices)
{
    unsigned n = 0, room = devices ? *count : 0;
    for (unsigned i = 0; i < found->n && i < CARDS_MAX; i++)
        if (is_ours(found->at[i]))
            found->at[n++] = found->at[i];
    for (unsigned i = 0; i < n && i < room; i++)
        devices[i] = found->at[i];
    *count = n;
    return room > 0 && n > room ? NVML_ERROR_INSUFFICIENT_SIZE : NVML_SUCCESS;
}

#define NEIGHBOURS(symbol, parameters, ...)                                                                  \
    HOOK nvmlReturn_t symbol parameters                                                                      \
    {                                                                                                        \
        struct cards found = {.n = CARDS_MAX};                                                               \
        if (!count || view() != SLICE_ON)                                                                    \
            return real_nvml.symbol(__VA_ARGS__, count, devices);                                            \
        nvmlReturn_t result = real_nvml.symbol(__VA_ARGS__, &found.n, found.at);                             \
        return result == NVML_SUCCESS ? give(&found, count, devices) : result;                               \
    }

NEIGHBOURS(nvmlDeviceGetTopologyNearestGpus,
           (nvmlDevice_t device, nvmlGpuTopologyLevel_t level, unsigned int *count, nvmlDevice_t *devices),
           device, level)
NEIGHBOURS(nvmlSystemGetTopologyGpuSet, (unsigned int cpu, unsigned int *count, nvmlDevice_t *devices), cpu)
NEIGHBOURS(nvmlUnitGetDevices, (nvmlUnit_t unit, unsigned int *count, nvmlDevice_t *devices), unit)
