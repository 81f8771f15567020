/* SPDX-License-Identifier: Apache-2.0
 *
 * The profile `t4`, in C, for as long as no YAML loader is linked in: the
 * loader's sim_profile_load() takes this one's place.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sim.h"

__attribute__((weak)) int sim_profile_load(const char *name_or_path, struct sim_profile *ret, char *err,
                                           size_t err_size)
{
    if (strcmp(name_or_path, "t4") != 0 && strcmp(name_or_path, "t4-null") != 0 &&
        strcmp(name_or_path, "t4-virtual") != 0) {
        snprintf(err, err_size, "%s: no such profile: this build knows t4", name_or_path);
        return -1;
    }
    memset(ret, 0, sizeof(*ret));
    snprintf(ret->name, sizeof(ret->name), "%s", name_or_path);
    snprintf(ret->driver_version, sizeof(ret->driver_version), "580.65.06");
    snprintf(ret->nvml_version, sizeof(ret->nvml_version), "13.580.65.06");
    ret->cuda_version = 13000;
    ret->n_devices = 1;
    struct sim_device_profile *d = &ret->devices[0];
    snprintf(d->name, sizeof(d->name), "Tesla T4");
    snprintf(d->uuid, sizeof(d->uuid), "GPU-7c1b5f3e-0d5e-5f0b-9c55-2f1d0f3a6e01");
    snprintf(d->pci_bus_id, sizeof(d->pci_bus_id), "00000000:01:00.0");
    d->mem_bytes = 16ULL << 30;
    d->context_bytes = 256ULL << 20;
    d->sm_count = 40;
    d->cc_major = 7;
    d->cc_minor = 5;
    d->clock_mhz = 1590;
    d->mem_clock_mhz = 5001;
    d->bus_width_bits = 256;
    d->l2_kib = 4096;
    d->power_limit_w = 70;
    ret->schedule = SIM_FIFO;
    ret->quantum_ns = 2000000;
    ret->real_bytes_max = 256ULL << 20;
    ret->memory_limits = true;
    ret->interval_log = true;
    ret->kernel_ns = 5000;
    ret->wave_ns = 1000;
    ret->null_model = strcmp(name_or_path, "t4-null") == 0;
    ret->virtual_time = strcmp(name_or_path, "t4-virtual") == 0;
    return 0;
}
