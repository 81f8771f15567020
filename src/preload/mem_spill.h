/* SPDX-License-Identifier: Apache-2.0
 *
 * Oversubscription (CUDA_OVERSUBSCRIBE=true, or the grant's word): an
 * allocation that fits the slice's limit but not the card is served from
 * managed memory that prefers the device, and the driver moves its pages.
 */
#ifndef HAMI_PRELOAD_MEM_SPILL_H
#define HAMI_PRELOAD_MEM_SPILL_H

#include <stdint.h>

#include "preload/mem_engine.h"

/* Asked after the driver had no room for n reserved bytes. CUDA_SUCCESS and
 * *ret, or CUDA_ERROR_OUT_OF_MEMORY. */
CUresult mem_spill_alloc(const struct ctx_here *here, CUdeviceptr *ret, size_t n);

/* `count` spilled allocations of n bytes together, freed by the driver. */
void mem_spill_freed(unsigned d, uint64_t n, uint32_t count);

/* Whether ptr lies in memory that this process asked for as device memory and
 * got as managed memory. One load when there is none. */
bool mem_is_spilled(CUdeviceptr ptr);

/* Looks for a working set that keeps moving between card and host. */
void mem_spill_tick(uint64_t now_ns);

void mem_spill_after_fork(void);

#endif
