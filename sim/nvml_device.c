/* SPDX-License-Identifier: Apache-2.0
 *
 * Finding devices and what they are.
 */
#include "nvml.h"

#include <stdio.h>
#include <string.h>

/* ---- handles ---- */

nvmlReturn_t nvmlDeviceGetCount_v2(unsigned int *count)
{
    nvmlReturn_t r = sim_nvml_ready();
    if (r == NVML_SUCCESS && count == NULL)
        r = NVML_ERROR_INVALID_ARGUMENT;
    if (r == NVML_SUCCESS)
        *count = sim_state->profile.n_devices;
    return r;
}

nvmlReturn_t nvmlDeviceGetCount(unsigned int *count)
{
    return nvmlDeviceGetCount_v2(count);
}

/* A lost device still has a handle; what is asked through it is refused. */
static nvmlReturn_t hand_out(unsigned index, unsigned part, nvmlDevice_t *device)
{
    struct sim_nvml_device d;
    *device = sim_nvml_handle(index, part);
    return sim_nvml_device(*device, &d);
}

nvmlReturn_t nvmlDeviceGetHandleByIndex_v2(unsigned int index, nvmlDevice_t *device)
{
    nvmlReturn_t r = sim_nvml_ready();
    if (r != NVML_SUCCESS)
        return r;
    if (device == NULL || index >= sim_state->profile.n_devices)
        return NVML_ERROR_INVALID_ARGUMENT;
    return hand_out(index, 0, device);
}

nvmlReturn_t nvmlDeviceGetHandleByIndex(unsigned int index, nvmlDevice_t *device)
{
    return nvmlDeviceGetHandleByIndex_v2(index, device);
}

/* Calls match for cards and slices until it says yes. */
typedef bool (*match_fn)(const struct sim_device_profile *d, unsigned index, unsigned part, const char *text);

static nvmlReturn_t find(match_fn match, const char *text, nvmlDevice_t *device)
{
    nvmlReturn_t r = sim_nvml_ready();
    if (r != NVML_SUCCESS)
        return r;
    if (text == NULL || device == NULL)
        return NVML_ERROR_INVALID_ARGUMENT;
    for (unsigned i = 0; i < sim_state->profile.n_devices; i++) {
        const struct sim_device_profile *d = &sim_state->profile.devices[i];
        for (unsigned part = 0; part <= (sim_nvml_mig(d) ? d->n_mig : 0); part++)
            if (match(d, i, part, text))
                return hand_out(i, part, device);
    }
    return NVML_ERROR_NOT_FOUND;
}

/* A slice has two names: its own, and the old one of card, GPU and compute instance. */
static bool has_uuid(const struct sim_device_profile *d, unsigned index, unsigned part, const char *text)
{
    char old[96];
    (void)index;
    if (part == 0)
        return strcmp(d->uuid, text) == 0;
    snprintf(old, sizeof(old), "MIG-%s/%u/%u", d->uuid, d->mig[part - 1].gi_id, d->mig[part - 1].ci_id);
    return strcmp(d->mig[part - 1].uuid, text) == 0 || strcmp(old, text) == 0;
}

nvmlReturn_t nvmlDeviceGetHandleByUUID(const char *uuid, nvmlDevice_t *device)
{
    return find(has_uuid, uuid, device);
}

static void uuid_bytes(const char *uuid, unsigned char bytes[16])
{
    unsigned n = 0;
    for (const char *p = uuid + 4; *p != '\0' && n < 32; p++) {
        static const char digits[] = "0123456789abcdef";
        const char *d = *p != '-' ? strchr(digits, *p) : NULL;
        if (d == NULL)
            continue;
        bytes[n / 2] = (unsigned char)((n % 2 == 0 ? 0 : bytes[n / 2] << 4) | (d - digits));
        n++;
    }
}

static bool has_uuid_bytes(const struct sim_device_profile *d, unsigned index, unsigned part,
                           const char *text)
{
    unsigned char bytes[16];
    (void)index;
    uuid_bytes(part == 0 ? d->uuid : d->mig[part - 1].uuid, bytes);
    return memcmp(bytes, text, sizeof(bytes)) == 0;
}

nvmlReturn_t nvmlDeviceGetHandleByUUIDV(const nvmlUUID_t *uuid, nvmlDevice_t *device)
{
    enum { ASCII = 1, BINARY = 2 };
    if (uuid == NULL)
        return NVML_ERROR_INVALID_ARGUMENT;
    if (!sim_nvml_versioned(uuid, SIM_NVML_VERSION(nvmlUUID_v1_t, 1)))
        return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    if (uuid->type == BINARY)
        return find(has_uuid_bytes, uuid->value.str, device);
    if (uuid->type != ASCII || memchr(uuid->value.str, '\0', sizeof(uuid->value.str)) == NULL)
        return NVML_ERROR_INVALID_ARGUMENT;
    return find(has_uuid, uuid->value.str, device);
}

bool sim_nvml_parse_pci(const char *text, unsigned id[4])
{
    id[3] = 0;
    if (sscanf(text, "%x:%x:%x.%x", &id[0], &id[1], &id[2], &id[3]) >= 3)
        return true;
    id[0] = 0;
    return sscanf(text, "%x:%x.%x", &id[1], &id[2], &id[3]) >= 2;
}

static bool has_pci(const struct sim_device_profile *d, unsigned index, unsigned part, const char *text)
{
    unsigned want[4], have[4];
    (void)index;
    return part == 0 && sim_nvml_parse_pci(text, want) && sim_nvml_parse_pci(d->pci_bus_id, have) &&
           memcmp(want, have, sizeof(want)) == 0;
}

nvmlReturn_t nvmlDeviceGetHandleByPciBusId_v2(const char *bus_id, nvmlDevice_t *device)
{
    return find(has_pci, bus_id, device);
}

nvmlReturn_t nvmlDeviceGetHandleByPciBusId(const char *bus_id, nvmlDevice_t *device)
{
    return find(has_pci, bus_id, device);
}

/* Thirteen digits, as on data-centre boards, that follow from the UUID. */
static void serial_of(const struct sim_device_profile *d, char ret[16])
{
    unsigned char b[16] = {0};
    uint64_t n = 0;
    uuid_bytes(d->uuid, b);
    for (unsigned i = 0; i < 8; i++)
        n = n << 8 | b[i];
    snprintf(ret, 16, "%013llu", (unsigned long long)(n % 10000000000000ULL));
}

static bool has_serial(const struct sim_device_profile *d, unsigned index, unsigned part, const char *text)
{
    char serial[16];
    (void)index;
    serial_of(d, serial);
    return part == 0 && strcmp(serial, text) == 0;
}

nvmlReturn_t nvmlDeviceGetHandleBySerial(const char *serial, nvmlDevice_t *device)
{
    return find(has_serial, serial, device);
}

/* ---- names and numbers ---- */

nvmlReturn_t nvmlDeviceGetName(nvmlDevice_t device, char *name, unsigned int length)
{
    struct sim_nvml_device d;
    char text[160];
    nvmlReturn_t r = sim_nvml_device(device, &d);
    if (r != NVML_SUCCESS)
        return r;
    if (d.part == 0)
        return sim_nvml_text(d.profile->name, name, length);
    snprintf(text, sizeof(text), "%s MIG %s", d.profile->name, d.profile->mig[d.part - 1].profile);
    return sim_nvml_text(text, name, length);
}

nvmlReturn_t nvmlDeviceGetUUID(nvmlDevice_t device, char *uuid, unsigned int length)
{
    struct sim_nvml_device d;
    nvmlReturn_t r = sim_nvml_device(device, &d);
    if (r != NVML_SUCCESS)
        return r;
    return sim_nvml_text(d.part == 0 ? d.profile->uuid : d.profile->mig[d.part - 1].uuid, uuid, length);
}

nvmlReturn_t nvmlDeviceGetSerial(nvmlDevice_t device, char *serial, unsigned int length)
{
    struct sim_nvml_device d;
    char text[16];
    nvmlReturn_t r = sim_nvml_card(device, &d);
    if (r != NVML_SUCCESS)
        return r;
    serial_of(d.profile, text);
    return sim_nvml_text(text, serial, length);
}

nvmlReturn_t nvmlDeviceGetVbiosVersion(nvmlDevice_t device, char *version, unsigned int length)
{
    struct sim_nvml_device d;
    nvmlReturn_t r = sim_nvml_card(device, &d);
    return r != NVML_SUCCESS ? r : sim_nvml_text("00.00.00.00.00", version, length);
}

nvmlReturn_t sim_nvml_number(nvmlDevice_t device, unsigned *ret,
                             unsigned (*of)(const struct sim_nvml_device *d))
{
    struct sim_nvml_device d;
    nvmlReturn_t r = sim_nvml_card(device, &d);
    if (r == NVML_SUCCESS && ret == NULL)
        r = NVML_ERROR_INVALID_ARGUMENT;
    if (r == NVML_SUCCESS)
        *ret = of(&d);
    return r;
}

static unsigned index_of(const struct sim_nvml_device *d)
{
    return d->index;
}

/* Slices are numbered on their own: by their place on the card. */
nvmlReturn_t nvmlDeviceGetIndex(nvmlDevice_t device, unsigned int *index)
{
    struct sim_nvml_device d;
    nvmlReturn_t r = sim_nvml_device(device, &d);
    if (r == NVML_SUCCESS && index == NULL)
        r = NVML_ERROR_INVALID_ARGUMENT;
    if (r == NVML_SUCCESS)
        *index = d.part > 0 ? d.part - 1 : d.index;
    return r;
}

nvmlReturn_t nvmlDeviceGetMinorNumber(nvmlDevice_t device, unsigned int *minor)
{
    return sim_nvml_number(device, minor, index_of);
}

nvmlReturn_t nvmlDeviceGetModuleId(nvmlDevice_t device, unsigned int *id)
{
    return sim_nvml_number(device, id, index_of);
}

static unsigned board_of(const struct sim_nvml_device *d)
{
    unsigned id[4] = {0, 0, 0, 0};
    sim_nvml_parse_pci(d->profile->pci_bus_id, id);
    return id[0] << 16 | id[1] << 8;
}

nvmlReturn_t nvmlDeviceGetBoardId(nvmlDevice_t device, unsigned int *id)
{
    return sim_nvml_number(device, id, board_of);
}

static unsigned zero_of(const struct sim_nvml_device *d)
{
    (void)d;
    return 0;
}

nvmlReturn_t nvmlDeviceGetMultiGpuBoard(nvmlDevice_t device, unsigned int *bool_multi)
{
    return sim_nvml_number(device, bool_multi, zero_of);
}

static unsigned bus_width_of(const struct sim_nvml_device *d)
{
    return d->profile->bus_width_bits;
}

nvmlReturn_t nvmlDeviceGetMemoryBusWidth(nvmlDevice_t device, unsigned int *bits)
{
    return sim_nvml_number(device, bits, bus_width_of);
}

static unsigned numa_of(const struct sim_nvml_device *d)
{
    return d->profile->numa_node;
}

nvmlReturn_t nvmlDeviceGetNumaNodeId(nvmlDevice_t device, unsigned int *node)
{
    return sim_nvml_number(device, node, numa_of);
}

static unsigned cores_of(const struct sim_nvml_device *d)
{
    unsigned per_sm = d->profile->cc_major == 8 && d->profile->cc_minor == 0 ? 64
                      : d->profile->cc_major <= 7                            ? 64
                                                                             : 128;
    return d->profile->sm_count * per_sm;
}

nvmlReturn_t nvmlDeviceGetNumGpuCores(nvmlDevice_t device, unsigned int *cores)
{
    return sim_nvml_number(device, cores, cores_of);
}

static unsigned architecture_of(const struct sim_nvml_device *d)
{
    static const struct {
        unsigned from, architecture; /* compute capability times ten */
    } rows[] = {{100, NVML_DEVICE_ARCH_BLACKWELL}, {90, NVML_DEVICE_ARCH_HOPPER},
                {89, NVML_DEVICE_ARCH_ADA},        {80, NVML_DEVICE_ARCH_AMPERE},
                {75, NVML_DEVICE_ARCH_TURING},     {70, NVML_DEVICE_ARCH_VOLTA},
                {60, NVML_DEVICE_ARCH_PASCAL},     {50, NVML_DEVICE_ARCH_MAXWELL}};
    unsigned cc = d->profile->cc_major * 10 + d->profile->cc_minor;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        if (cc >= rows[i].from)
            return rows[i].architecture;
    return NVML_DEVICE_ARCH_KEPLER;
}

nvmlReturn_t nvmlDeviceGetArchitecture(nvmlDevice_t device, nvmlDeviceArchitecture_t *architecture)
{
    return sim_nvml_number(device, architecture, architecture_of);
}

nvmlReturn_t nvmlDeviceGetBrand(nvmlDevice_t device, nvmlBrandType_t *brand)
{
    struct sim_nvml_device d;
    nvmlReturn_t r = sim_nvml_card(device, &d);
    if (r == NVML_SUCCESS && brand == NULL)
        r = NVML_ERROR_INVALID_ARGUMENT;
    if (r == NVML_SUCCESS)
        *brand = strncmp(d.profile->name, "Tesla", 5) == 0 ? NVML_BRAND_TESLA : NVML_BRAND_NVIDIA;
    return r;
}

nvmlReturn_t nvmlDeviceGetCudaComputeCapability(nvmlDevice_t device, int *major, int *minor)
{
    struct sim_nvml_device d;
    nvmlReturn_t r = sim_nvml_device(device, &d);
    if (r == NVML_SUCCESS && (major == NULL || minor == NULL))
        r = NVML_ERROR_INVALID_ARGUMENT;
    if (r == NVML_SUCCESS) {
        *major = (int)d.profile->cc_major;
        *minor = (int)d.profile->cc_minor;
    }
    return r;
}

/* ---- PCI ---- */

void sim_nvml_fill_pci(const struct sim_device_profile *d, nvmlPciInfo_t *ret)
{
    unsigned id[4] = {0, 0, 0, 0};
    sim_nvml_parse_pci(d->pci_bus_id, id);
    memset(ret, 0, sizeof(*ret));
    snprintf(ret->busId, sizeof(ret->busId), "%s", d->pci_bus_id);
    snprintf(ret->busIdLegacy, sizeof(ret->busIdLegacy), "%04X:%02X:%02X.%X", id[0] & 0xffff, id[1] & 0xff,
             id[2] & 0xff, id[3] & 0xf);
    ret->domain = id[0];
    ret->bus = id[1];
    ret->device = id[2];
    ret->pciDeviceId = d->pci_device_id;
    ret->pciSubSystemId = d->pci_subsystem_id;
}

/* Older callers have smaller structures: only the first `size` bytes are theirs. */
static nvmlReturn_t give_pci(nvmlDevice_t device, nvmlPciInfo_t *pci, size_t size)
{
    struct sim_nvml_device d;
    nvmlPciInfo_t full;
    nvmlReturn_t r = sim_nvml_device(device, &d);
    if (r == NVML_SUCCESS && pci == NULL)
        r = NVML_ERROR_INVALID_ARGUMENT;
    if (r != NVML_SUCCESS)
        return r;
    sim_nvml_fill_pci(d.profile, &full);
    memcpy((void *)pci, &full, size);
    return r;
}

nvmlReturn_t nvmlDeviceGetPciInfo(nvmlDevice_t device, nvmlPciInfo_t *pci)
{
    return give_pci(device, pci, offsetof(nvmlPciInfo_t, pciSubSystemId));
}

nvmlReturn_t nvmlDeviceGetPciInfo_v2(nvmlDevice_t device, nvmlPciInfo_t *pci)
{
    enum { RESERVED = 16 };
    nvmlReturn_t r = give_pci(device, pci, offsetof(nvmlPciInfo_t, busId));
    if (r == NVML_SUCCESS)
        memset((char *)pci + offsetof(nvmlPciInfo_t, busId), 0, RESERVED);
    return r;
}

nvmlReturn_t nvmlDeviceGetPciInfo_v3(nvmlDevice_t device, nvmlPciInfo_t *pci)
{
    return give_pci(device, pci, sizeof(*pci));
}

nvmlReturn_t nvmlDeviceGetPciInfoExt(nvmlDevice_t device, nvmlPciInfoExt_t *pci)
{
    enum { DISPLAY_CONTROLLER = 3, THREE_D = 2 };
    struct sim_nvml_device d;
    nvmlPciInfo_t full;
    nvmlReturn_t r = sim_nvml_device(device, &d);
    if (r == NVML_SUCCESS && pci == NULL)
        r = NVML_ERROR_INVALID_ARGUMENT;
    if (r != NVML_SUCCESS)
        return r;
    if (!sim_nvml_versioned(pci, SIM_NVML_VERSION(nvmlPciInfoExt_v1_t, 1)))
        return NVML_ERROR_ARGUMENT_VERSION_MISMATCH;
    sim_nvml_fill_pci(d.profile, &full);
    pci->domain = full.domain;
    pci->bus = full.bus;
    pci->device = full.device;
    pci->pciDeviceId = full.pciDeviceId;
    pci->pciSubSystemId = full.pciSubSystemId;
    pci->baseClass = DISPLAY_CONTROLLER;
    pci->subClass = THREE_D;
    memcpy(pci->busId, full.busId, sizeof(pci->busId));
    return NVML_SUCCESS;
}
