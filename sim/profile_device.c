/* SPDX-License-Identifier: Apache-2.0
 *
 * The keys of a profile's devices, MIG slices and links.
 */
#include "profile_read.h"

#include <stdio.h>
#include <string.h>

#include "abi/nvml_enums.h"

#define MIB (1ULL << 20)
#define GIB (1ULL << 30)

const struct sim_device_profile sim_profile_device_defaults = {
    .context_bytes = 256 * MIB,
    .sm_count = 40,
    .cc_major = 9,
    .clock_mhz = 1500,
    .mem_clock_mhz = 5000,
    .bus_width_bits = 256,
    .l2_kib = 4096,
    .power_limit_w = 300,
    .power_idle_w = 30,
    .temperature_c = 35,
    .pcie_gen = 4,
    .pcie_width = 16,
    .pci_device_id = 0x000010de,
    .pci_subsystem_id = 0x000010de,
    .bar1_bytes = 256 * MIB,
    .host_bytes_per_s = 12000000000,
};

#define D(m) sizeof(((struct sim_device_profile *)0)->m), offsetof(struct sim_device_profile, m)
static const struct sim_field device_fields[] = {
    {"name", SIM_FIELD_TEXT, D(name), 0, 0, NULL},
    {"uuid", SIM_FIELD_TEXT, D(uuid), 0, 0, NULL},
    {"pci", SIM_FIELD_TEXT, D(pci_bus_id), 0, 0, NULL},
    {"pci_device_id", SIM_FIELD_NUMBER, D(pci_device_id), 0, UINT32_MAX, NULL},
    {"pci_subsystem_id", SIM_FIELD_NUMBER, D(pci_subsystem_id), 0, UINT32_MAX, NULL},
    {"pcie_gen", SIM_FIELD_NUMBER, D(pcie_gen), 1, 7, NULL},
    {"pcie_width", SIM_FIELD_NUMBER, D(pcie_width), 1, 32, NULL},
    {"memory", SIM_FIELD_SIZE, D(mem_bytes), 1 * MIB, 1ULL << 46, NULL},
    {"bar1", SIM_FIELD_SIZE, D(bar1_bytes), 1 * MIB, 1ULL << 46, NULL},
    {"context", SIM_FIELD_SIZE, D(context_bytes), 0, 16 * GIB, NULL},
    {"sms", SIM_FIELD_NUMBER, D(sm_count), 1, 4096, NULL},
    {"clock", SIM_FIELD_NUMBER, D(clock_mhz), 1, 100000, NULL},
    {"memory_clock", SIM_FIELD_NUMBER, D(mem_clock_mhz), 1, 100000, NULL},
    {"bus_width", SIM_FIELD_NUMBER, D(bus_width_bits), 1, 65536, NULL},
    {"l2", SIM_FIELD_KIB, D(l2_kib), 0, 1u << 24, NULL},
    {"host_bandwidth", SIM_FIELD_RATE, D(host_bytes_per_s), 1000000, 0, NULL},
    {"device_bandwidth", SIM_FIELD_RATE, D(device_bytes_per_s), 1000000, 0, NULL},
    {"power", SIM_FIELD_NUMBER, D(power_limit_w), 1, 100000, NULL},
    {"power_idle", SIM_FIELD_NUMBER, D(power_idle_w), 0, 100000, NULL},
    {"temperature", SIM_FIELD_NUMBER, D(temperature_c), 1, 120, NULL},
    {"numa", SIM_FIELD_NUMBER, D(numa_node), 0, 1023, NULL},
    {"ecc", SIM_FIELD_BOOLEAN, D(ecc), 0, 0, NULL},
    {"fan", SIM_FIELD_BOOLEAN, D(fan), 0, 0, NULL},
    {"mig_capable", SIM_FIELD_BOOLEAN, D(mig_capable), 0, 0, NULL},
    {"mig_enabled", SIM_FIELD_BOOLEAN, D(mig_enabled), 0, 0, NULL},
    {"unified_memory", SIM_FIELD_BOOLEAN, D(unified_memory), 0, 0, NULL},
    {NULL, 0, 0, 0, 0, 0, NULL},
};
#undef D

struct sim_mig_profile {
    char profile[24], uuid[48];
    uint64_t mem_bytes;
    uint32_t sm_count;
};
#define M(m) sizeof(((struct sim_mig_profile *)0)->m), offsetof(struct sim_mig_profile, m)
static const struct sim_field mig_fields[] = {
    {"profile", SIM_FIELD_TEXT, M(profile), 0, 0, NULL},
    {"uuid", SIM_FIELD_TEXT, M(uuid), 0, 0, NULL},
    {"memory", SIM_FIELD_SIZE, M(mem_bytes), 1 * MIB, 1ULL << 46, NULL},
    {"sms", SIM_FIELD_NUMBER, M(sm_count), 1, 4096, NULL},
    {NULL, 0, 0, 0, 0, 0, NULL},
};
#undef M

/* ---- devices ---- */

static bool set_capability(struct sim_profile_reader *r, const yaml_node_t *value,
                           struct sim_device_profile *d)
{
    unsigned major, minor;
    char rest;
    if (sscanf(sim_profile_text(value), "%2u.%1u%c", &major, &minor, &rest) != 2)
        return sim_profile_refuse(r, value, "compute: '%.60s' does not do: give one such as 9.0",
                                  sim_profile_text(value));
    d->cc_major = major;
    d->cc_minor = minor;
    return true;
}

static bool set_mig_key(struct sim_profile_reader *r, const yaml_node_t *key, yaml_node_t *value, void *arg)
{
    int set = sim_profile_set_field(r, mig_fields, key, value, arg);
    return set == 0 ? sim_profile_unknown_key(r, key, mig_fields, "no others") : set > 0;
}

/* "1g.5gb" or "1c.3g.20gb": compute slices of the compute and the GPU instance. */
static bool mig_slices(const char *profile, uint32_t *ci, uint32_t *gi)
{
    unsigned c, g, gb;
    if (sscanf(profile, "%1uc.%1ug.%3ugb", &c, &g, &gb) != 3) {
        if (sscanf(profile, "%1ug.%3ugb", &g, &gb) != 2)
            return false;
        c = g;
    }
    *ci = c;
    *gi = g;
    return c > 0 && g > 0 && c <= g && g <= SIM_MIG_SLICES;
}

static bool set_mig(struct sim_profile_reader *r, const yaml_node_t *list, struct sim_device_profile *d)
{
    if (!sim_profile_need(r, list, YAML_SEQUENCE_NODE, "mig"))
        return false;
    d->n_mig = 0;
    for (const yaml_node_item_t *i = list->data.sequence.items.start; i < list->data.sequence.items.top;
         i++) {
        const yaml_node_t *item = sim_profile_node(r, *i);
        struct sim_mig_profile m = {.mem_bytes = 0};
        if (d->n_mig == SIM_MIG_SLICES)
            return sim_profile_refuse(r, item, "mig: more than %d slices: remove some", SIM_MIG_SLICES);
        if (!sim_profile_need(r, item, YAML_MAPPING_NODE, "mig slice") ||
            !sim_profile_each_pair(r, item, set_mig_key, &m))
            return false;
        uint32_t ci = 0, gi = 0;
        if (!mig_slices(m.profile, &ci, &gi))
            return sim_profile_refuse(r, item, "mig: profile '%s' does not do: give one such as 1g.5gb",
                                      m.profile);
        if (m.mem_bytes == 0 || m.sm_count == 0)
            return sim_profile_refuse(r, item, "mig: %s needs memory and sms: give both", m.profile);
        if (m.uuid[0] != '\0' && !sim_uuid_valid("MIG-", m.uuid))
            return sim_profile_refuse(
                r, item, "uuid: '%s' does not do: give MIG- and 8-4-4-4-12 digits 0-9a-f", m.uuid);
        uint32_t n = d->n_mig++;
        memset(&d->mig[n], 0, sizeof(d->mig[n]));
        memcpy(d->mig[n].profile, m.profile, sizeof(m.profile));
        memcpy(d->mig[n].uuid, m.uuid, sizeof(m.uuid));
        d->mig[n].mem_bytes = m.mem_bytes;
        d->mig[n].sm_count = m.sm_count;
        d->mig[n].gi_slices = gi;
        d->mig[n].ci_slices = ci;
    }
    d->mig_enabled = d->mig_capable = d->n_mig > 0 || d->mig_enabled;
    return true;
}

bool sim_profile_set_device_key(struct sim_profile_reader *r, const yaml_node_t *key, yaml_node_t *value,
                                void *arg)
{
    struct sim_device_profile *d = arg;
    if (strcmp(sim_profile_text(key), "compute") == 0)
        return set_capability(r, value, d);
    if (strcmp(sim_profile_text(key), "mig") == 0)
        return set_mig(r, value, d);
    if (strcmp(sim_profile_text(key), "count") == 0)
        return true; /* repeat() has read it */
    int set = sim_profile_set_field(r, device_fields, key, value, d);
    return set == 0 ? sim_profile_unknown_key(r, key, device_fields, "compute, mig, count") : set > 0;
}

/* How often a list entry stands: its `count`, 1 without; 0 when refused. */
static uint32_t repeat(struct sim_profile_reader *r, const yaml_node_t *map)
{
    static const struct sim_field count[] = {
        {"count", SIM_FIELD_NUMBER, sizeof(uint32_t), 0, 1, SIM_DEVICES, NULL}, {NULL, 0, 0, 0, 0, 0, NULL}};
    uint32_t n = 1;
    for (const yaml_node_pair_t *p = map->data.mapping.pairs.start; p < map->data.mapping.pairs.top; p++)
        if (sim_profile_set_field(r, count, sim_profile_node(r, p->key), sim_profile_node(r, p->value), &n) <
            0)
            return 0;
    return n;
}

bool sim_profile_set_devices(struct sim_profile_reader *r, const yaml_node_t *list,
                             const struct sim_device_profile *common)
{
    struct sim_profile *p = r->p;
    if (!sim_profile_need(r, list, YAML_SEQUENCE_NODE, "devices"))
        return false;
    p->n_devices = 0;
    for (const yaml_node_item_t *i = list->data.sequence.items.start; i < list->data.sequence.items.top;
         i++) {
        const yaml_node_t *item = sim_profile_node(r, *i);
        if (!sim_profile_need(r, item, YAML_MAPPING_NODE, "device"))
            return false;
        uint32_t n = repeat(r, item);
        if (n == 0)
            return false;
        for (uint32_t k = 0; k < n; k++) {
            if (p->n_devices == SIM_DEVICES)
                return sim_profile_refuse(r, item, "devices: more than %d: remove some", SIM_DEVICES);
            p->devices[p->n_devices] = *common;
            if (!sim_profile_each_pair(r, item, sim_profile_set_device_key, &p->devices[p->n_devices++]))
                return false;
        }
    }
    return true;
}

/* ---- links between devices ---- */

struct link {
    uint32_t nvlinks, pcie, a, b;
    bool all, has_pcie, has_pair;
};

static const char *const levels[] = {"internal", "single", "multiple", "hostbridge", "node", "system", NULL};
static const uint8_t level_values[] = {NVML_TOPOLOGY_INTERNAL,   NVML_TOPOLOGY_SINGLE, NVML_TOPOLOGY_MULTIPLE,
                                       NVML_TOPOLOGY_HOSTBRIDGE, NVML_TOPOLOGY_NODE,   NVML_TOPOLOGY_SYSTEM};

static bool set_between(struct sim_profile_reader *r, const yaml_node_t *value, struct link *l)
{
    static const struct sim_field index = {
        "between", SIM_FIELD_NUMBER, sizeof(uint32_t), 0, 0, SIM_DEVICES - 1, NULL};
    char reason[256];
    l->all = strcmp(sim_profile_text(value), "all") == 0;
    l->has_pair = true;
    if (l->all)
        return true;
    if (value == NULL || value->type != YAML_SEQUENCE_NODE ||
        value->data.sequence.items.top - value->data.sequence.items.start != 2)
        return sim_profile_refuse(r, value, "between: give two device numbers such as [0, 1], or all");
    const yaml_node_item_t *i = value->data.sequence.items.start;
    if (!sim_field_set(&index, &l->a, sim_profile_text(sim_profile_node(r, i[0])), reason, sizeof(reason)) ||
        !sim_field_set(&index, &l->b, sim_profile_text(sim_profile_node(r, i[1])), reason, sizeof(reason)))
        return sim_profile_refuse(r, value, "between: %s", reason);
    return l->a != l->b || sim_profile_refuse(r, value, "between: one device twice: give two");
}

static bool set_link_key(struct sim_profile_reader *r, const yaml_node_t *key, yaml_node_t *value, void *arg)
{
    static const struct sim_field fields[] = {
        {"nvlinks", SIM_FIELD_NUMBER, sizeof(uint32_t), offsetof(struct link, nvlinks), 0, 36, NULL},
        {"pcie", SIM_FIELD_WORD, sizeof(uint32_t), offsetof(struct link, pcie), 0, 0, levels},
        {NULL, 0, 0, 0, 0, 0, NULL}};
    struct link *l = arg;
    if (strcmp(sim_profile_text(key), "between") == 0)
        return set_between(r, value, l);
    if (strcmp(sim_profile_text(key), "pcie") == 0)
        l->has_pcie = true;
    int set = sim_profile_set_field(r, fields, key, value, l);
    return set == 0 ? sim_profile_unknown_key(r, key, fields, "between") : set > 0;
}

static void connect(struct sim_profile *p, uint32_t a, uint32_t b, const struct link *l)
{
    p->nvlinks[a][b] = p->nvlinks[b][a] = (uint8_t)l->nvlinks;
    if (l->has_pcie)
        p->pcie[a][b] = p->pcie[b][a] = level_values[l->pcie];
}

bool sim_profile_set_links(struct sim_profile_reader *r, const yaml_node_t *list)
{
    struct sim_profile *p = r->p;
    if (!sim_profile_need(r, list, YAML_SEQUENCE_NODE, "links"))
        return false;
    for (const yaml_node_item_t *i = list->data.sequence.items.start; i < list->data.sequence.items.top;
         i++) {
        const yaml_node_t *item = sim_profile_node(r, *i);
        struct link l = {.nvlinks = 0};
        if (!sim_profile_need(r, item, YAML_MAPPING_NODE, "link") ||
            !sim_profile_each_pair(r, item, set_link_key, &l))
            return false;
        if (!l.has_pair)
            return sim_profile_refuse(r, item, "links: between is missing: give two device numbers, or all");
        if (!l.all && (l.a >= p->n_devices || l.b >= p->n_devices))
            return sim_profile_refuse(r, item, "between: there are %u devices: give two of 0 to %u",
                                      p->n_devices, p->n_devices > 0 ? p->n_devices - 1 : 0);
        if (!l.all)
            connect(p, l.a, l.b, &l);
        for (uint32_t a = 0; l.all && a < p->n_devices; a++)
            for (uint32_t b = 0; b < a; b++)
                connect(p, a, b, &l);
    }
    return true;
}

static void connect_all(struct sim_profile *p, const struct link *l)
{
    for (uint32_t a = 0; a < p->n_devices; a++)
        for (uint32_t b = 0; b < a; b++) {
            struct link here = *l;
            here.has_pcie &= p->devices[a].numa_node == p->devices[b].numa_node;
            connect(p, a, b, &here);
        }
}

/* nvlinks: between every two cards. pcie: how close the cards of one NUMA node are. */
bool sim_profile_set_topology(struct sim_profile_reader *r, const yaml_node_t *map)
{
    struct link l = {.nvlinks = 0};
    if (!sim_profile_need(r, map, YAML_MAPPING_NODE, "topology") ||
        !sim_profile_each_pair(r, map, set_link_key, &l))
        return false;
    if (l.has_pair)
        return sim_profile_refuse(r, map, "topology: between belongs below links: move it there");
    connect_all(r->p, &l);
    return true;
}
