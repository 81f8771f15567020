/* SPDX-License-Identifier: Apache-2.0
 *
 * NVIDIA's management library. Runs in the helper process only, single
 * threaded; nothing is freed, the process ends.
 *
 * A card that does not answer one question is listed with what it did answer;
 * one that is lost is listed as unhealthy when it still tells its UUID, else
 * among the silent ones.
 */
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysinfo.h>

#include "abi/nvml_api.h"
#include "driver/backend.h"

/* The entries we use. Optional ones may be missing in an older library. */
#define ENTRIES(need, may)                                                                                   \
    need(nvmlInit_v2) need(nvmlErrorString) need(nvmlDeviceGetCount_v2) need(nvmlDeviceGetHandleByIndex_v2)  \
        need(nvmlDeviceGetUUID) need(nvmlDeviceGetName) need(nvmlDeviceGetMemoryInfo)                        \
            need(nvmlDeviceGetHandleByUUID) may(nvmlDeviceGetPciInfo_v3) may(nvmlSystemGetDriverVersion)     \
                may(nvmlDeviceGetNumaNodeId) may(nvmlDeviceGetTopologyCommonAncestor)                        \
                    may(nvmlDeviceGetNvLinkState) may(nvmlDeviceGetNvLinkRemotePciInfo_v2)                   \
                        may(nvmlDeviceGetMigMode) may(nvmlDeviceGetMaxMigDeviceCount)                        \
                            may(nvmlDeviceGetMigDeviceHandleByIndex) may(nvmlDeviceSetMemoryLimits_v1)       \
                                may(nvmlDeviceGetMemoryLimits_v1)

static struct {
#define MEMBER(symbol) __typeof__(symbol) *symbol;
    ENTRIES(MEMBER, MEMBER)
#undef MEMBER
} nvml;

static nvmlDevice_t handles[DRIVER_CARDS];

/* Of the simulated library only. */
static uint64_t (*simulated_system_bytes)(nvmlDevice_t);

static const char *failed(const char *call, nvmlReturn_t result)
{
    static char text[256];
    snprintf(text, sizeof text, "%s answered %d (%s)", call, (int)result, nvml.nvmlErrorString(result));
    return text;
}

static const char *nvml_open(void)
{
    static char text[256];
    void *library = dlopen(driver_nvml.library, RTLD_NOW | RTLD_LOCAL);
    const char *missing = NULL;
    if (!library) {
        snprintf(text, sizeof text, "%s", dlerror());
        return text;
    }
#define NEED(symbol)                                                                                         \
    if (!(*(void **)&nvml.symbol = dlsym(library, #symbol)))                                                 \
        missing = #symbol;
#define MAY(symbol) *(void **)&nvml.symbol = dlsym(library, #symbol);
    ENTRIES(NEED, MAY)
    *(void **)&simulated_system_bytes = dlsym(library, "hami_sim_system_bytes");
    if (missing) {
        snprintf(text, sizeof text, "%s has no entry %s", driver_nvml.library, missing);
        return text;
    }
    nvmlReturn_t result = nvml.nvmlInit_v2();
    return result == NVML_SUCCESS ? NULL : failed("nvmlInit_v2", result);
}

static int32_t numa_of_pci(const char *bus_id)
{
    char path[128], id[32];
    int node = -1;
    /* NVML writes an eight digit domain, sysfs a four digit one. */
    snprintf(id, sizeof id, "%s", strlen(bus_id) > 12 ? bus_id + strlen(bus_id) - 12 : bus_id);
    for (char *c = id; *c; c++)
        if (*c >= 'A' && *c <= 'F')
            *c = (char)(*c | 0x20);
    snprintf(path, sizeof path, "/sys/bus/pci/devices/%s/numa_node", id);
    FILE *f = fopen(path, "re");
    if (!f)
        return -1;
    if (fscanf(f, "%d", &node) != 1)
        node = -1;
    fclose(f);
    return node;
}

/* What a card without memory of its own takes its memory from. */
static uint64_t system_bytes(nvmlDevice_t handle)
{
    struct sysinfo info;
    uint64_t simulated = simulated_system_bytes ? simulated_system_bytes(handle) : 0;
    if (simulated || sysinfo(&info) != 0)
        return simulated;
    return (uint64_t)info.totalram * info.mem_unit;
}

static void fill_memory(nvmlDevice_t handle, struct driver_card *card)
{
    nvmlMemory_t memory = {0};
    nvmlReturn_t result = nvml.nvmlDeviceGetMemoryInfo(handle, &memory);
    card->healthy = result == NVML_SUCCESS || result == NVML_ERROR_NOT_SUPPORTED;
    card->mem_bytes = memory.total;
    card->used_bytes = memory.used;
    if (result == NVML_ERROR_NOT_SUPPORTED) {
        card->unified = 1;
        card->mem_bytes = system_bytes(handle);
        card->used_bytes = 0;
    }
}

static bool fill_card(nvmlDevice_t handle, uint32_t index, struct driver_card *card)
{
    nvmlPciInfo_t pci = {0};
    unsigned node = 0;
    if (nvml.nvmlDeviceGetUUID(handle, card->uuid, sizeof card->uuid) != NVML_SUCCESS)
        return false;
    if (nvml.nvmlDeviceGetName(handle, card->name, sizeof card->name) != NVML_SUCCESS)
        snprintf(card->name, sizeof card->name, "NVIDIA");
    card->card = card->index = index;
    card->numa_node = -1;
    fill_memory(handle, card);
    if (nvml.nvmlDeviceGetPciInfo_v3 && nvml.nvmlDeviceGetPciInfo_v3(handle, &pci) == NVML_SUCCESS) {
        snprintf(card->bus_id, sizeof card->bus_id, "%s", pci.busId);
        card->numa_node = numa_of_pci(pci.busId);
    }
    if (nvml.nvmlDeviceGetNumaNodeId && nvml.nvmlDeviceGetNumaNodeId(handle, &node) == NVML_SUCCESS)
        card->numa_node = (int32_t)node;
    return true;
}

/* The slices of a card in MIG mode stand in its place. */
static bool add_mig(nvmlDevice_t parent, const struct driver_card *card, struct driver_inventory *ret)
{
    unsigned current = 0, pending = 0, most = 0;
    if (!nvml.nvmlDeviceGetMigMode || !nvml.nvmlDeviceGetMaxMigDeviceCount ||
        !nvml.nvmlDeviceGetMigDeviceHandleByIndex ||
        nvml.nvmlDeviceGetMigMode(parent, &current, &pending) != NVML_SUCCESS || current == 0)
        return false;
    if (nvml.nvmlDeviceGetMaxMigDeviceCount(parent, &most) != NVML_SUCCESS)
        return true;
    for (unsigned i = 0; i < most && ret->n < DRIVER_CARDS; i++) {
        nvmlDevice_t handle;
        struct driver_card slice = {0};
        if (nvml.nvmlDeviceGetMigDeviceHandleByIndex(parent, i, &handle) != NVML_SUCCESS ||
            !fill_card(handle, card->index, &slice))
            continue;
        slice.numa_node = card->numa_node;
        memcpy(slice.bus_id, card->bus_id, sizeof slice.bus_id);
        slice.is_mig = 1;
        handles[ret->n] = handle;
        ret->cards[ret->n++] = slice;
    }
    return true;
}

enum { LINKS_MAX = 18 };

/* NVLinks of a card by the bus id they lead to. */
struct link_ends {
    unsigned n;
    char bus_id[LINKS_MAX][32];
};

static void find_links(nvmlDevice_t handle, struct link_ends *ret)
{
    ret->n = 0;
    if (!nvml.nvmlDeviceGetNvLinkState || !nvml.nvmlDeviceGetNvLinkRemotePciInfo_v2)
        return;
    for (unsigned l = 0; l < LINKS_MAX; l++) {
        nvmlEnableState_t active = NVML_FEATURE_DISABLED;
        nvmlPciInfo_t remote = {0};
        if (nvml.nvmlDeviceGetNvLinkState(handle, l, &active) == NVML_SUCCESS &&
            active == NVML_FEATURE_ENABLED &&
            nvml.nvmlDeviceGetNvLinkRemotePciInfo_v2(handle, l, &remote) == NVML_SUCCESS)
            memcpy(ret->bus_id[ret->n++], remote.busId, sizeof remote.busId);
    }
}

static unsigned links_to(const struct link_ends *ends, const char *bus_id)
{
    unsigned n = 0;
    for (unsigned l = 0; l < ends->n; l++)
        n += strncmp(ends->bus_id[l], bus_id, sizeof ends->bus_id[l]) == 0;
    return n;
}

/* Links that lead to no card lead to a switch, by which every card is reached. */
static unsigned links_to_switch(const struct link_ends *ends, const struct driver_inventory *all)
{
    unsigned n = ends->n;
    for (uint32_t i = 0; i < all->n; i++)
        n -= all->cards[i].is_mig ? 0 : links_to(ends, all->cards[i].bus_id);
    return n;
}

static void fill_topology(struct driver_inventory *ret)
{
    static struct link_ends ends[DRIVER_CARDS];
    for (uint32_t i = 0; i < ret->n; i++)
        if (!ret->cards[i].is_mig)
            find_links(handles[i], &ends[i]);
    for (uint32_t i = 0; i < ret->n; i++)
        for (uint32_t j = 0; j < ret->n; j++) {
            nvmlGpuTopologyLevel_t level = NVML_TOPOLOGY_SYSTEM;
            unsigned a = links_to_switch(&ends[i], ret), b = links_to_switch(&ends[j], ret);
            unsigned links = links_to(&ends[i], ret->cards[j].bus_id);
            if (i == j)
                continue;
            if (nvml.nvmlDeviceGetTopologyCommonAncestor)
                nvml.nvmlDeviceGetTopologyCommonAncestor(handles[i], handles[j], &level);
            ret->level[i][j] = (uint8_t)level;
            ret->links[i][j] = (uint8_t)(links ? links : MIN(a, b));
        }
}

static const char *nvml_discover(struct driver_inventory *ret)
{
    unsigned count = 0;
    nvmlReturn_t result = nvml.nvmlDeviceGetCount_v2(&count);
    if (result != NVML_SUCCESS)
        return failed("nvmlDeviceGetCount_v2", result);
    if (nvml.nvmlSystemGetDriverVersion)
        nvml.nvmlSystemGetDriverVersion(ret->driver_version, sizeof ret->driver_version);
    ret->can_limit = nvml.nvmlDeviceSetMemoryLimits_v1 != NULL;
    for (unsigned i = 0; i < count && ret->n < DRIVER_CARDS; i++) {
        nvmlDevice_t handle;
        struct driver_card card = {0};
        if (nvml.nvmlDeviceGetHandleByIndex_v2(i, &handle) != NVML_SUCCESS || !fill_card(handle, i, &card)) {
            if (ret->n_silent < DRIVER_CARDS)
                ret->silent[ret->n_silent++] = (uint8_t)i;
            continue;
        }
        if (add_mig(handle, &card, ret))
            continue;
        handles[ret->n] = handle;
        ret->cards[ret->n++] = card;
    }
    fill_topology(ret);
    return NULL;
}

static const char no_limits[] = "this driver has no memory limits of its own (release 615 and newer have)";

static const char *nvml_set_limit(const char *uuid, const char *cgroup, uint64_t hard_bytes)
{
    nvmlDevice_t handle;
    nvmlSetMemoryLimits_v1_t limits = {.nameSpace = cgroup, .softLimit = 0, .hardLimit = hard_bytes};
    if (!nvml.nvmlDeviceSetMemoryLimits_v1)
        return no_limits;
    nvmlReturn_t result = nvml.nvmlDeviceGetHandleByUUID(uuid, &handle);
    if (result != NVML_SUCCESS)
        return failed("nvmlDeviceGetHandleByUUID", result);
    result = nvml.nvmlDeviceSetMemoryLimits_v1(handle, &limits);
    return result == NVML_SUCCESS ? NULL : failed("nvmlDeviceSetMemoryLimits_v1", result);
}

static const char *nvml_get_limit(const char *uuid, const char *cgroup, struct driver_limit *ret)
{
    nvmlDevice_t handle;
    nvmlGetMemoryLimits_v1_t limits = {.nameSpace = cgroup};
    if (!nvml.nvmlDeviceGetMemoryLimits_v1)
        return no_limits;
    nvmlReturn_t result = nvml.nvmlDeviceGetHandleByUUID(uuid, &handle);
    if (result != NVML_SUCCESS)
        return failed("nvmlDeviceGetHandleByUUID", result);
    result = nvml.nvmlDeviceGetMemoryLimits_v1(handle, &limits);
    if (result != NVML_SUCCESS)
        return failed("nvmlDeviceGetMemoryLimits_v1", result);
    *ret = (struct driver_limit){limits.hardLimit, limits.currentUsed};
    return NULL;
}

const struct driver_backend driver_nvml = {
    .name = "nvml",
    .library = "libnvidia-ml.so.1",
    .open = nvml_open,
    .discover = nvml_discover,
    .set_limit = nvml_set_limit,
    .get_limit = nvml_get_limit,
};
