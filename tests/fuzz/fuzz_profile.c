/* SPDX-License-Identifier: Apache-2.0
 *
 * Any bytes as a profile: accepted ones keep every bound that the simulator
 * relies on, refused ones are explained.
 */
#include <stdlib.h>
#include <string.h>

#include "sim/sim.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static struct sim_profile p;
    char err[512] = "";
    if (sim_profile_parse("fuzz.yaml", (const char *)data, n, &p, err, sizeof(err)) != 0) {
        if (memchr(err, '\0', sizeof(err)) == NULL || err[0] == '\0')
            abort();
        return 0;
    }
    if (p.n_devices > SIM_DEVICES || p.engines < 1 || p.engines > 16 || p.quantum_ns == 0 || p.n_costs > 64 ||
        p.n_missing > 64 || p.schedule > SIM_SPATIAL || memchr(p.name, '\0', sizeof(p.name)) == NULL)
        abort();
    for (unsigned i = 0; i < p.n_devices; i++) {
        const struct sim_device_profile *d = &p.devices[i];
        if (d->mem_bytes <= d->context_bytes || d->sm_count == 0 || d->n_mig > SIM_MIG_SLICES ||
            strlen(d->uuid) != 40 || strlen(d->pci_bus_id) != 16)
            abort();
    }
    return 0;
}
