/* SPDX-License-Identifier: Apache-2.0
 *
 * The processes of a device as NVML's caller may see them.
 */
#ifndef HAMI_SIM_NVML_PROCESS_H
#define HAMI_SIM_NVML_PROCESS_H

#include "nvml.h"

/* Those of the handle's card or slice that the caller's pid namespace shows.
 * The caller frees the array; NULL when memory is short. */
struct sim_process_view *sim_nvml_processes(const struct sim_nvml_device *d, size_t *ret_n);

#endif
