/* SPDX-License-Identifier: Apache-2.0
 *
 * How long copies and sets take.
 */
#include "objects.h"

#define BUS_BYTES_PER_US 12000u /* PCIe 3.0 x16, as measured by everybody */

uint64_t sim_copy_ns(unsigned device, uint64_t bytes, bool across_bus)
{
    const struct sim_device_profile *d = &sim_state->profile.devices[device];
    uint64_t per_us = d->host_bytes_per_s / 1000000;
    if (!across_bus || d->unified_memory) /* else double data rate, read and written */
        per_us = d->device_bytes_per_s > 0 ? d->device_bytes_per_s / 2000000
                                           : (uint64_t)d->mem_clock_mhz * 2 * d->bus_width_bits / 8 / 2;
    if (per_us == 0)
        per_us = BUS_BYTES_PER_US;
    uint64_t ns = 1500 + (uint64_t)((unsigned __int128)bytes * 1000 / per_us);
    uint32_t slow =
        atomic_load_explicit(&sim_state->devices[device].fault.copy_slow_pm, memory_order_relaxed);
    return slow == 0 ? ns : (uint64_t)((unsigned __int128)ns * slow / 1000);
}
