/* SPDX-License-Identifier: Apache-2.0
 *
 * Under which pid NVML and the host know this process: slot.hostpid.
 */
#ifndef HAMI_PRELOAD_IDENTITY_H
#define HAMI_PRELOAD_IDENTITY_H

#include <stdbool.h>

#include "preload/slice.h"

/* Once per process: what can be known without the driver. Cheap afterwards. */
void identity_learn(void);

/* Around the application's own first context on a device: who is new in NVML's
 * list is this process, if just one is. Nothing happens when it is known
 * already, and never a context is created for it. */
struct identity_look {
    bool wanted;
    unsigned n;
    unsigned pids[128];
};
void identity_before_context(struct identity_look *look, unsigned d);
void identity_after_context(const struct identity_look *before, unsigned d);

#endif
