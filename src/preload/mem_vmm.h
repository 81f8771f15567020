/* SPDX-License-Identifier: Apache-2.0
 *
 * What other parts of the engine tell mem_vmm.c.
 */
#ifndef HAMI_PRELOAD_MEM_VMM_H
#define HAMI_PRELOAD_MEM_VMM_H

#include <stdint.h>

/* A sparse array or mipmap was destroyed: what was mapped into it is not held
 * by it any more. */
void mem_vmm_array_gone(uint64_t array);

void mem_vmm_after_fork(void);

#endif
