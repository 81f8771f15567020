/* SPDX-License-Identifier: Apache-2.0
 *
 * What the families of simulated NVML entries share. NVML looks at the
 * machine's state from outside: it takes no slot in it and holds no memory.
 *
 * Every entry begins with sim_nvml_ready() or sim_nvml_device(), which answer
 * UNINITIALIZED, INVALID_ARGUMENT, GPU_IS_LOST or wait for an injected hang.
 * Any thread; no entry holds a lock while it waits.
 */
#ifndef HAMI_SIM_NVML_H
#define HAMI_SIM_NVML_H

#include "abi/nvml_api.h"
#include "inspect.h"

#define SIM_NVML_VERSION(type, number) ((unsigned)sizeof(type) | (unsigned)(number) << 24)
#define SIM_NVML_UNKNOWN 0xffffffffu /* of instance ids outside MIG */

/* What an nvmlDevice_t stands for. part: 0 the whole card, 1 + i its MIG slice i. */
struct sim_nvml_device {
    unsigned index, part;
    const struct sim_device_profile *profile;
    const struct sim_fault_state *fault;
};

nvmlReturn_t sim_nvml_ready(void);
nvmlReturn_t sim_nvml_device(nvmlDevice_t handle, struct sim_nvml_device *ret);
nvmlReturn_t sim_nvml_card(nvmlDevice_t handle,
                           struct sim_nvml_device *ret); /* NOT_SUPPORTED for MIG slices */
nvmlDevice_t sim_nvml_handle(unsigned index, unsigned part);

/* Copies text to a caller's buffer; INSUFFICIENT_SIZE when it does not fit. */
nvmlReturn_t sim_nvml_text(const char *text, char *ret, unsigned size);

/* True when the caller's structure has this version; the answer is ARGUMENT_VERSION_MISMATCH else. */
bool sim_nvml_versioned(const void *structure, unsigned version);

bool sim_nvml_mig(const struct sim_device_profile *d); /* MIG is on and has slices */

/* Hands out one number of a card. */
nvmlReturn_t sim_nvml_number(nvmlDevice_t device, unsigned *ret,
                             unsigned (*of)(const struct sim_nvml_device *d));

bool sim_nvml_parse_pci(const char *text, unsigned id[4]); /* domain, bus, device, function */
void sim_nvml_fill_pci(const struct sim_device_profile *d, nvmlPciInfo_t *ret);

/* ---- time and load (nvml_usage.c) ---- */

uint64_t sim_nvml_epoch_us(uint64_t simulated_ns); /* a moment of the machine as NVML stamps it */
/* The last complete sampling window: [end - length, end). Length 0 before there is one. */
uint64_t sim_nvml_window(uint64_t *ret_end);
unsigned sim_nvml_load_pct(const struct sim_nvml_device *d); /* of the last window */
unsigned sim_nvml_copy_pct(const struct sim_nvml_device *d);

/* ---- sensors (nvml_sensors.c) ---- */

unsigned sim_nvml_power_mw(const struct sim_nvml_device *d);
unsigned sim_nvml_temperature_c(const struct sim_nvml_device *d);
uint64_t sim_nvml_energy_mj(const struct sim_nvml_device *d);
uint64_t sim_nvml_age_ns(void); /* of the machine */

/* ---- links (nvml_topology.c) ---- */

unsigned sim_nvml_link_count(unsigned index);

/* An extra export: memory of the simulated machine whose card has none of its own, 0 for another card. With a
 * real driver the host's memory is the answer, which the simulated machine need not have. */
uint64_t hami_sim_system_bytes(nvmlDevice_t device);

#endif
