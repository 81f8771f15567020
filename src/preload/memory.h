/* SPDX-License-Identifier: Apache-2.0
 *
 * The memory engine's face to the other parts of the library.
 */
#ifndef HAMI_PRELOAD_MEMORY_H
#define HAMI_PRELOAD_MEMORY_H

#include <stdbool.h>
#include <stdint.h>

#include "abi/cuda.h"

/* Figures every query answers from, so that cuMemGetInfo, cuDeviceTotalMem and
 * NVML never disagree. `phys_total` and `phys_free` are the driver's. */
struct memory_figures {
    uint64_t total;
    uint64_t used;
    uint64_t free;
};
struct memory_figures memory_figures(unsigned d, uint64_t phys_total, uint64_t phys_free);

/* Called at points where the driver may have given memory back or taken it
 * behind our back: synchronisation, graph instantiation and launch, trims.
 * One load when nothing is outstanding. */
void memory_settle(void);

/* A graph became executable, was launched, updated or destroyed: its memory
 * nodes may have changed what the driver reserves on device d. */
void memory_graph_changed(unsigned d);

#endif
