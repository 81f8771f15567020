/* SPDX-License-Identifier: Apache-2.0
 *
 * The one thread this library may add to a process. It exists only where
 * somebody has to look after work in flight: a compute limit, or a region that
 * a monitor reads. While work is submitted it visits compute_tick(),
 * memory_settle() and the monitor's fields every 100 ms; 2 s after the last
 * submission, and when what a monitor sees of it has fallen to 0, it sleeps until
 * the next, looking once a second where memory is shared between processes.
 */
#ifndef HAMI_PRELOAD_HELPER_H
#define HAMI_PRELOAD_HELPER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "preload/hook.h"

struct helper {
    _Atomic uint32_t active; /* somebody submitted work since the last visit */
};

extern OURS struct helper helper;

void helper_wake(void);

/* Every submission of work calls this: one load when the helper knows. */
static inline void helper_note(void)
{
    if (unlikely(!atomic_load_explicit(&helper.active, memory_order_relaxed)))
        helper_wake();
}

/* The child of a fork has no helper. */
void helper_after_fork(void);

#endif
