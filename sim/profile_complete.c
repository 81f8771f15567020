/* SPDX-License-Identifier: Apache-2.0
 *
 * What follows from the rest of a profile, and what must hold between its keys.
 */
#include "profile_read.h"

#include <stdio.h>
#include <string.h>

#include "abi/nvml_enums.h"

#define MIB (1ULL << 20)

static bool complete_pci(struct sim_profile_reader *r, const yaml_node_t *at, uint32_t i)
{
    struct sim_device_profile *d = &r->p->devices[i];
    unsigned domain = 0, bus = i + 1, device = 0, function = 0;
    char rest;
    if (d->pci_bus_id[0] != '\0' &&
        sscanf(d->pci_bus_id, "%8x:%2x:%2x.%1u%c", &domain, &bus, &device, &function, &rest) != 4)
        return sim_profile_refuse(r, at, "pci: '%s' does not do: give one such as 0000:3b:00.0",
                                  d->pci_bus_id);
    if (domain > 0xffff || device > 31 || function > 7)
        return sim_profile_refuse(
            r, at, "pci: '%s' does not do: the domain has four digits, the device at most 1f", d->pci_bus_id);
    snprintf(d->pci_bus_id, sizeof(d->pci_bus_id), "%08X:%02X:%02X.%u", domain, bus, device, function);
    for (uint32_t k = 0; k < i; k++)
        if (strcmp(r->p->devices[k].pci_bus_id, d->pci_bus_id) == 0)
            return sim_profile_refuse(r, at, "pci: devices %u and %u both have %s: give each its own", k, i,
                                      d->pci_bus_id);
    return true;
}

static bool complete_uuid(struct sim_profile_reader *r, const yaml_node_t *at, uint32_t i)
{
    struct sim_device_profile *d = &r->p->devices[i];
    char seed[128];
    snprintf(seed, sizeof(seed), "hami-sim/%s/%u", r->p->name, i);
    if (d->uuid[0] == '\0')
        sim_uuid_derive("GPU-", seed, d->uuid);
    if (!sim_uuid_valid("GPU-", d->uuid))
        return sim_profile_refuse(r, at, "uuid: '%s' does not do: give GPU- and 8-4-4-4-12 digits 0-9a-f",
                                  d->uuid);
    for (uint32_t k = 0; k < i; k++)
        if (strcmp(r->p->devices[k].uuid, d->uuid) == 0)
            return sim_profile_refuse(r, at, "uuid: devices %u and %u both have %s: give each its own", k, i,
                                      d->uuid);
    return true;
}

static bool complete_mig(struct sim_profile_reader *r, const yaml_node_t *at, uint32_t i)
{
    struct sim_device_profile *d = &r->p->devices[i];
    uint64_t mem = 0;
    uint32_t sms = 0, slices = 0;
    for (uint32_t m = 0; m < d->n_mig; m++) {
        char seed[128];
        snprintf(seed, sizeof(seed), "hami-sim/%s/%u/%u", r->p->name, i, m);
        if (d->mig[m].uuid[0] == '\0')
            sim_uuid_derive("MIG-", seed, d->mig[m].uuid);
        d->mig[m].gi_id = m + 1; /* 0 is the whole card */
        d->mig[m].ci_id = 0;
        mem += d->mig[m].mem_bytes;
        sms += d->mig[m].sm_count;
        slices += d->mig[m].gi_slices;
    }
    if (mem > d->mem_bytes || sms > d->sm_count || slices > SIM_MIG_SLICES)
        return sim_profile_refuse(
            r, at,
            "mig: the slices of device %u take %llu MiB, %u SMs, %u slices; the card has "
            "%llu MiB, %u SMs, %d slices: take less",
            i, (unsigned long long)(mem / MIB), sms, slices, (unsigned long long)(d->mem_bytes / MIB),
            d->sm_count, SIM_MIG_SLICES);
    return true;
}

bool sim_profile_complete(struct sim_profile_reader *r, const yaml_node_t *at)
{
    struct sim_profile *p = r->p;
    if (p->name[0] == '\0') {
        const char *base = strrchr(r->file, '/');
        snprintf(p->name, sizeof(p->name), "%.63s", base != NULL ? base + 1 : r->file);
        char *dot = strrchr(p->name, '.');
        if (dot != NULL && dot > p->name && strcmp(dot, ".yaml") == 0)
            *dot = '\0';
    }
    if (p->nvml_version[0] == '\0')
        snprintf(p->nvml_version, sizeof(p->nvml_version), "%u.%.20s", p->cuda_version / 1000,
                 p->driver_version);
    for (uint32_t i = 0; i < p->n_devices; i++) {
        const struct sim_device_profile *d = &p->devices[i];
        if (d->name[0] == '\0' || d->mem_bytes == 0)
            return sim_profile_refuse(r, at, "device %u has no %s: give it", i,
                                      d->name[0] == '\0' ? "name" : "memory");
        if (d->context_bytes >= d->mem_bytes)
            return sim_profile_refuse(r, at, "context: of device %u is not below its memory: give less", i);
        if (!complete_pci(r, at, i) || !complete_uuid(r, at, i) || !complete_mig(r, at, i))
            return false;
        for (uint32_t k = 0; k < SIM_DEVICES; k++)
            if (p->pcie[i][k] == 0xff && i != k)
                p->pcie[i][k] =
                    d->numa_node == p->devices[k].numa_node ? NVML_TOPOLOGY_NODE : NVML_TOPOLOGY_SYSTEM;
        p->pcie[i][i] = NVML_TOPOLOGY_INTERNAL;
    }
    return true;
}
