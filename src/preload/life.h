/* SPDX-License-Identifier: Apache-2.0
 *
 * What becomes of the library's state when the process is copied.
 */
#ifndef HAMI_PRELOAD_LIFE_H
#define HAMI_PRELOAD_LIFE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "region/region.h"

/* Before the first lock of a process is taken: from now on its copies know
 * that they are copies. */
void life_begin(void);

/* Whole pages at `state` read as zeros in every copy of the process. */
void life_empty_in_copies(void *state, size_t bytes);

/* Remembers what a copy of this process must let go of. Returns the process's
 * generation of fork. */
uint32_t life_attached(const struct region *region);

/* True in a copy made past pthread_atfork (raw clone) that was not told yet. */
bool life_is_stale(void);

/* Lets go of everything that belongs to the parent. */
void life_in_child(void);

#endif
