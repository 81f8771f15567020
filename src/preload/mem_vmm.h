/* SPDX-License-Identifier: Apache-2.0
 *
 * What other parts of the engine tell mem_vmm.c.
 */
#ifndef HAMI_PRELOAD_MEM_VMM_H
#define HAMI_PRELOAD_MEM_VMM_H

#include <stdint.h>

#include <stdbool.h>

#include "abi/cuda.h"
#include "preload/hook.h"

/* A physical allocation, or a multicast object. */
struct mem_object;

/* The object behind a handle or mapped at an address, held for the caller;
 * NULL when it is not known here. */
struct mem_object *mem_vmm_hold_handle(CUmemGenericAllocationHandle h);
struct mem_object *mem_vmm_hold_mapped(CUdeviceptr address);
void mem_vmm_drop(struct mem_object *o);
unsigned mem_vmm_device(const struct mem_object *o); /* of the region */

/* Nobody holds this object any more: if it was a multicast object, what was
 * bound to it is free of it. */
void mem_multicast_gone(const struct mem_object *multicast);
bool mem_multicast_any(void); /* false: nothing is bound to any */
void mem_multicast_after_fork(void);

/* A sparse array or mipmap was destroyed: what was mapped into it is not held
 * by it any more. */
void mem_vmm_array_gone(uint64_t array);

void mem_vmm_after_fork(void);

/* This process has exported or imported memory: who keeps it in the end shows
 * only in the driver's account, so the helper goes on looking. */
extern OURS _Atomic bool mem_shared;

#endif
