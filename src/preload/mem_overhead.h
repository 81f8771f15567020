/* SPDX-License-Identifier: Apache-2.0
 *
 * What the driver takes on a device for a process's mere presence (contexts,
 * modules, stacks, rounding) beyond the allocations it was asked for. It is
 * charged once per process and device, from the first context there to the
 * last, and published as the slot's context bytes.
 *
 * The figure comes from the driver's own account of this process when the
 * management library gives one and the process knows its host pid; else from
 * the free memory the driver reports right after the first context of the
 * slice. The largest seen is kept in the region, so that the next process is
 * charged before its context is made. No context is ever created to find out.
 */
#ifndef HAMI_PRELOAD_MEM_OVERHEAD_H
#define HAMI_PRELOAD_MEM_OVERHEAD_H

#include <stdbool.h>
#include <stdint.h>

#include "abi/cuda.h"

/* Before the first context on device d: reserves what is known of it, or
 * refuses with CUDA_ERROR_OUT_OF_MEMORY. The forced one charges in any case,
 * for a context that exists already. */
CUresult overhead_begin(unsigned d);
void overhead_begin_forced(unsigned d);

/* Before a further one that the process makes: reserves what the first took, or
 * refuses. The caller releases *ret_reserved before overhead_changed(). */
CUresult overhead_another(unsigned d, uint64_t *ret_reserved);

/* After it. ctx may be NULL when there is no handle to look through. */
void overhead_measure(unsigned d, CUcontext ctx);

/* After a further one, and after one of several has ended. */
void overhead_changed(unsigned d);

/* n more bytes were rounded up. The sum of what is charged and what was rounded
 * up since the last measurement: the slice's use at most. */
uint64_t overhead_expect(unsigned d, uint64_t n);

/* Measures on the calling thread, whatever others do meanwhile; the charge only
 * rises. */
void overhead_now(unsigned d);

/* After the last. */
void overhead_end(unsigned d);

/* Measures again; only the management library is asked. */
void overhead_tick(void);

/* Whether the last measurement was below the charge, and another may lower it. */
bool overhead_falls(void);

void overhead_after_fork(void);

#endif
