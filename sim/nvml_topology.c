/* SPDX-License-Identifier: Apache-2.0
 *
 * How cards are joined to one another and to processors.
 *
 * A card's NVLinks are numbered from 0. Where the links of all its pairs would
 * be more than one card can have, they go to switches: then every link serves
 * all peers. Otherwise link after link goes to peer after peer.
 */
#include "nvml.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LINKS_MAX 18u

/* ---- NVLink ---- */

struct link_end {
    bool to_switch;
    unsigned peer;
};

static unsigned links_of_pairs(unsigned index, unsigned *ret_most)
{
    unsigned sum = 0;
    *ret_most = 0;
    for (unsigned i = 0; i < sim_state->profile.n_devices; i++) {
        unsigned n = sim_state->profile.nvlinks[index][i];
        sum += n;
        if (n > *ret_most)
            *ret_most = n;
    }
    return sum;
}

unsigned sim_nvml_link_count(unsigned index)
{
    unsigned most, sum = links_of_pairs(index, &most);
    return sum > LINKS_MAX ? most : sum;
}

static bool link_at(unsigned index, unsigned link, struct link_end *ret)
{
    unsigned most, sum = links_of_pairs(index, &most);
    *ret = (struct link_end){.to_switch = sum > LINKS_MAX};
    if (ret->to_switch)
        return link < most;
    for (unsigned i = 0; i < sim_state->profile.n_devices; i++) {
        unsigned n = sim_state->profile.nvlinks[index][i];
        if (link < n) {
            ret->peer = i;
            return true;
        }
        link -= n;
    }
    return false;
}

/* Cards without NVLink do not support the questions; a link too many is a wrong argument. */
static nvmlReturn_t linked(nvmlDevice_t device, unsigned link, struct link_end *end,
                           struct sim_nvml_device *d)
{
    nvmlReturn_t r = sim_nvml_card(device, d);
    if (r != NVML_SUCCESS)
        return r;
    if (sim_nvml_link_count(d->index) == 0)
        return NVML_ERROR_NOT_SUPPORTED;
    return link_at(d->index, link, end) ? NVML_SUCCESS : NVML_ERROR_INVALID_ARGUMENT;
}

nvmlReturn_t nvmlDeviceGetNvLinkState(nvmlDevice_t device, unsigned int link, nvmlEnableState_t *active)
{
    struct sim_nvml_device d;
    struct link_end end;
    nvmlReturn_t r = linked(device, link, &end, &d);
    if (r == NVML_SUCCESS && active == NULL)
        r = NVML_ERROR_INVALID_ARGUMENT;
    if (r == NVML_SUCCESS)
        *active = NVML_FEATURE_ENABLED;
    return r;
}

nvmlReturn_t nvmlDeviceGetNvLinkVersion(nvmlDevice_t device, unsigned int link, unsigned int *version)
{
    struct sim_nvml_device d;
    struct link_end end;
    nvmlReturn_t r = linked(device, link, &end, &d);
    if (r == NVML_SUCCESS && version == NULL)
        r = NVML_ERROR_INVALID_ARGUMENT;
    if (r == NVML_SUCCESS) /* Volta 2, Ampere 3, Hopper 4, Blackwell 5 */
        *version = d.profile->cc_major >= 10  ? 5
                   : d.profile->cc_major >= 9 ? 4
                   : d.profile->cc_major >= 8 ? 3
                                              : 2;
    return r;
}

nvmlReturn_t nvmlDeviceGetNvLinkCapability(nvmlDevice_t device, unsigned int link,
                                           nvmlNvLinkCapability_t capability, unsigned int *result)
{
    struct sim_nvml_device d;
    struct link_end end;
    nvmlReturn_t r = linked(device, link, &end, &d);
    if (r == NVML_SUCCESS && (result == NULL || (unsigned)capability >= NVML_NVLINK_CAP_COUNT))
        r = NVML_ERROR_INVALID_ARGUMENT;
    if (r == NVML_SUCCESS)
        *result = capability == NVML_NVLINK_CAP_P2P_SUPPORTED || capability == NVML_NVLINK_CAP_P2P_ATOMICS ||
                  capability == NVML_NVLINK_CAP_VALID;
    return r;
}

nvmlReturn_t nvmlDeviceGetNvLinkRemoteDeviceType(nvmlDevice_t device, unsigned int link,
                                                 nvmlIntNvLinkDeviceType_t *type)
{
    struct sim_nvml_device d;
    struct link_end end;
    nvmlReturn_t r = linked(device, link, &end, &d);
    if (r == NVML_SUCCESS && type == NULL)
        r = NVML_ERROR_INVALID_ARGUMENT;
    if (r == NVML_SUCCESS)
        *type = end.to_switch ? NVML_NVLINK_DEVICE_TYPE_SWITCH : NVML_NVLINK_DEVICE_TYPE_GPU;
    return r;
}

/* Four switches share the links; they are bridges at the end of the bus numbers. */
static void switch_pci(unsigned link, nvmlPciInfo_t *pci)
{
    enum { SWITCHES = 4, FIRST_BUS = 0xf0, NVSWITCH = 0x22a310de };
    memset(pci, 0, sizeof(*pci));
    pci->bus = FIRST_BUS + link % SWITCHES;
    pci->pciDeviceId = NVSWITCH;
    snprintf(pci->busId, sizeof(pci->busId), "00000000:%02X:00.0", pci->bus & 0xff);
    snprintf(pci->busIdLegacy, sizeof(pci->busIdLegacy), "0000:%02X:00.0", pci->bus & 0xff);
}

nvmlReturn_t nvmlDeviceGetNvLinkRemotePciInfo_v2(nvmlDevice_t device, unsigned int link, nvmlPciInfo_t *pci)
{
    struct sim_nvml_device d;
    struct link_end end;
    nvmlReturn_t r = linked(device, link, &end, &d);
    if (r == NVML_SUCCESS && pci == NULL)
        r = NVML_ERROR_INVALID_ARGUMENT;
    if (r != NVML_SUCCESS)
        return r;
    if (end.to_switch)
        switch_pci(link, pci);
    else
        sim_nvml_fill_pci(&sim_state->profile.devices[end.peer], pci);
    return NVML_SUCCESS;
}

/* The first version knows the structure without the long bus id. */
nvmlReturn_t nvmlDeviceGetNvLinkRemotePciInfo(nvmlDevice_t device, unsigned int link, nvmlPciInfo_t *pci)
{
    nvmlPciInfo_t full;
    nvmlReturn_t r = nvmlDeviceGetNvLinkRemotePciInfo_v2(device, link, pci != NULL ? &full : NULL);
    if (r == NVML_SUCCESS)
        memcpy((void *)pci, &full, offsetof(nvmlPciInfo_t, busId));
    return r;
}

/* ---- PCIe and peers ---- */

static nvmlReturn_t pair(nvmlDevice_t one, nvmlDevice_t two, struct sim_nvml_device *a,
                         struct sim_nvml_device *b)
{
    nvmlReturn_t r = sim_nvml_card(one, a);
    return r != NVML_SUCCESS ? r : sim_nvml_card(two, b);
}

nvmlReturn_t nvmlDeviceGetTopologyCommonAncestor(nvmlDevice_t one, nvmlDevice_t two,
                                                 nvmlGpuTopologyLevel_t *level)
{
    struct sim_nvml_device a, b;
    nvmlReturn_t r = pair(one, two, &a, &b);
    if (r == NVML_SUCCESS && level == NULL)
        r = NVML_ERROR_INVALID_ARGUMENT;
    if (r == NVML_SUCCESS)
        *level = (nvmlGpuTopologyLevel_t)sim_state->profile.pcie[a.index][b.index];
    return r;
}

nvmlReturn_t nvmlDeviceGetP2PStatus(nvmlDevice_t one, nvmlDevice_t two, nvmlGpuP2PCapsIndex_t index,
                                    nvmlGpuP2PStatus_t *status)
{
    struct sim_nvml_device a, b;
    nvmlReturn_t r = pair(one, two, &a, &b);
    if (r == NVML_SUCCESS && (status == NULL || (unsigned)index >= NVML_P2P_CAPS_INDEX_UNKNOWN))
        r = NVML_ERROR_INVALID_ARGUMENT;
    if (r != NVML_SUCCESS)
        return r;
    bool nvlink = sim_state->profile.nvlinks[a.index][b.index] > 0;
    bool near = sim_state->profile.pcie[a.index][b.index] < NVML_TOPOLOGY_SYSTEM;
    bool wants_nvlink = index == NVML_P2P_CAPS_INDEX_NVLINK || index == NVML_P2P_CAPS_INDEX_ATOMICS;
    *status = nvlink || (near && !wants_nvlink) ? NVML_P2P_STATUS_OK : NVML_P2P_STATUS_NOT_SUPPORTED;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceOnSameBoard(nvmlDevice_t one, nvmlDevice_t two, int *same)
{
    struct sim_nvml_device a, b;
    nvmlReturn_t r = pair(one, two, &a, &b);
    if (r == NVML_SUCCESS && same == NULL)
        r = NVML_ERROR_INVALID_ARGUMENT;
    if (r == NVML_SUCCESS)
        *same = a.index == b.index;
    return r;
}

/* Writes those of the cards that the mask names; the usual protocol of counts. */
static nvmlReturn_t give_cards(uint32_t mask, unsigned *count, nvmlDevice_t *devices)
{
    unsigned n = 0, room = devices != NULL ? *count : 0;
    for (unsigned i = 0; i < sim_state->profile.n_devices; i++)
        if ((mask >> i & 1) != 0 && n++ < room)
            devices[n - 1] = sim_nvml_handle(i, 0);
    *count = n;
    return room > 0 && n > room ? NVML_ERROR_INSUFFICIENT_SIZE : NVML_SUCCESS;
}

nvmlReturn_t nvmlDeviceGetTopologyNearestGpus(nvmlDevice_t device, nvmlGpuTopologyLevel_t level,
                                              unsigned int *count, nvmlDevice_t *devices)
{
    struct sim_nvml_device d;
    uint32_t mask = 0;
    nvmlReturn_t r = sim_nvml_card(device, &d);
    if (r == NVML_SUCCESS && count == NULL)
        r = NVML_ERROR_INVALID_ARGUMENT;
    if (r != NVML_SUCCESS)
        return r;
    for (unsigned i = 0; i < sim_state->profile.n_devices; i++)
        if (i != d.index && sim_state->profile.pcie[d.index][i] == (unsigned)level)
            mask |= 1u << i;
    return give_cards(mask, count, devices);
}

/* ---- processors ---- */

/* The processors of a NUMA node as the kernel lists them ("0-3,8"); false when there is no such node. */
static bool node_cpus(unsigned node, unsigned long *set, unsigned words)
{
    char path[80], text[1024];
    snprintf(path, sizeof(path), "/sys/devices/system/node/node%u/cpulist", node);
    FILE *f = fopen(path, "re");
    if (f == NULL)
        return false;
    bool read = fgets(text, sizeof(text), f) != NULL;
    fclose(f);
    for (char *p = text; read && *p >= '0' && *p <= '9';) {
        unsigned long first = strtoul(p, &p, 10), last = *p == '-' ? strtoul(p + 1, &p, 10) : first;
        for (unsigned long cpu = first; cpu <= last && cpu / 64 < words; cpu++)
            set[cpu / 64] |= 1UL << cpu % 64;
        p += *p == ',';
    }
    return read;
}

/* This host may have fewer nodes than the profile: then all processors are near. */
static void cpus_near(unsigned node, unsigned long *set, unsigned words)
{
    memset(set, 0, words * sizeof(*set));
    if (node_cpus(node, set, words))
        return;
    long n = sysconf(_SC_NPROCESSORS_CONF);
    for (long cpu = 0; cpu < n && (unsigned long)cpu / 64 < words; cpu++)
        set[cpu / 64] |= 1UL << cpu % 64;
}

nvmlReturn_t nvmlDeviceGetCpuAffinityWithinScope(nvmlDevice_t device, unsigned int size, unsigned long *set,
                                                 nvmlAffinityScope_t scope)
{
    struct sim_nvml_device d;
    nvmlReturn_t r = sim_nvml_card(device, &d);
    if (r == NVML_SUCCESS && (set == NULL || size == 0 || scope > 1))
        r = NVML_ERROR_INVALID_ARGUMENT;
    if (r == NVML_SUCCESS)
        cpus_near(d.profile->numa_node, set, size);
    return r;
}

nvmlReturn_t nvmlDeviceGetCpuAffinity(nvmlDevice_t device, unsigned int size, unsigned long *set)
{
    return nvmlDeviceGetCpuAffinityWithinScope(device, size, set, 0);
}

nvmlReturn_t nvmlDeviceGetMemoryAffinity(nvmlDevice_t device, unsigned int size, unsigned long *set,
                                         nvmlAffinityScope_t scope)
{
    struct sim_nvml_device d;
    nvmlReturn_t r = sim_nvml_card(device, &d);
    if (r == NVML_SUCCESS && (set == NULL || size == 0 || scope > 1))
        r = NVML_ERROR_INVALID_ARGUMENT;
    if (r != NVML_SUCCESS)
        return r;
    memset(set, 0, size * sizeof(*set));
    if (d.profile->numa_node / 64 < size)
        set[d.profile->numa_node / 64] |= 1UL << d.profile->numa_node % 64;
    return NVML_SUCCESS;
}

nvmlReturn_t nvmlSystemGetTopologyGpuSet(unsigned int cpu, unsigned int *count, nvmlDevice_t *devices)
{
    unsigned long set[64];
    uint32_t mask = 0;
    nvmlReturn_t r = sim_nvml_ready();
    if (r == NVML_SUCCESS && (count == NULL || cpu / 64 >= sizeof(set) / sizeof(set[0])))
        r = NVML_ERROR_INVALID_ARGUMENT;
    if (r != NVML_SUCCESS)
        return r;
    for (unsigned i = 0; i < sim_state->profile.n_devices; i++) {
        cpus_near(sim_state->profile.devices[i].numa_node, set, sizeof(set) / sizeof(set[0]));
        if ((set[cpu / 64] >> cpu % 64 & 1) != 0)
            mask |= 1u << i;
    }
    return give_cards(mask, count, devices);
}
