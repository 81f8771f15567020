/* SPDX-License-Identifier: Apache-2.0
 *
 * Breaking a simulated machine on purpose, through its state file. For
 * `hami sim fault` and tests; link statically with the machine library. What
 * is set stays until it is cleared.
 */
#ifndef HAMI_SIM_FAULT_H
#define HAMI_SIM_FAULT_H

#include "state.h"

/* The device is off the bus: work and waits answer CUDA_ERROR_UNKNOWN, new
 * contexts CUDA_ERROR_DEVICE_UNAVAILABLE, NVML says GPU_IS_LOST. */
void sim_fault_lose(unsigned device, bool lost);

/* Copies take per_mille / 1000 of their nominal time (1000 clears). */
void sim_fault_slow_copies(unsigned device, uint32_t per_mille);

/* Kernels that have not begun run at this speed: 500 takes twice as long (1000 clears). */
void sim_fault_speed(unsigned device, uint32_t per_mille);

/* Every NVML call on the device blocks this long first (0 clears). */
void sim_fault_hang_nvml(unsigned device, uint32_t ms);

/* An XID for nvmlEventSetWait. Returns its number on this device, from 1. */
uint32_t sim_fault_xid(unsigned device, uint64_t code);

void sim_fault_temperature(unsigned device, uint32_t celsius); /* 0: nominal */
void sim_fault_clear(unsigned device);                         /* all but the XIDs */

#endif
