/* SPDX-License-Identifier: Apache-2.0
 *
 * What a test or a bench may ask of the simulated libcuda beyond CUDA: the two
 * entries are exported by it (find them with dlsym; a real driver has neither).
 */
#ifndef HAMI_SIM_CONTROL_H
#define HAMI_SIM_CONTROL_H

#include "abi/cuda.h"

/* The calling thread's next launch lasts this long, whatever the kernel. */
void hami_sim_next_kernel_ns(uint64_t ns);

/* Every later launch of the function lasts this long; 0 prices it by its grid. */
CUresult hami_sim_kernel_ns(CUfunction function, uint64_t ns);

#endif
