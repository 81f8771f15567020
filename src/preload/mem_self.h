/* SPDX-License-Identifier: Apache-2.0
 *
 * The driver's own account of this process, from the management library.
 */
#ifndef HAMI_PRELOAD_MEM_SELF_H
#define HAMI_PRELOAD_MEM_SELF_H

#include <stdbool.h>
#include <stdint.h>

/* Bytes of region device d that the driver says this process uses. False when
 * there is no management library, it does not say, or the process does not
 * know its pid on the host. Makes system calls; never on a hot path. */
bool mem_self_used(unsigned d, uint64_t *ret_bytes);

/* Whether another thread is asking right now: then there is no answer for this
 * one, but one soon. */
bool mem_self_is_asked(void);

/* Percent of region device d's time that this process's kernels ran, by the
 * driver's newest sample. False when there is none since the last call. */
bool mem_self_sm_percent(unsigned d, uint64_t *ret_percent);

void mem_self_after_fork(void);

#endif
