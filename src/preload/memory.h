/* SPDX-License-Identifier: Apache-2.0
 *
 * The memory engine's face to the other parts of the library.
 *
 * Who wraps what, so that no row of contract/cuda.def is wrapped twice:
 *   mem_*.c   ALLOC, FREE, REF, QUERY, CHECKPOINT; of GRAPH the entries that
 *             add nodes: cuGraphAddMemAllocNode, cuGraphAddMemFreeNode,
 *             cuGraphAddNode and its _v2 and _v3; and cuGraphDestroy
 *   ctx.c     CONTEXT
 *   compute   LAUNCH, COPY, CAPTURE, SYNC; of GRAPH instantiation, update, upload,
 *             parameter changes and destruction of executable graphs. It calls
 *             memory_graph_instantiated() after instantiation and update,
 *             memory_graph_begin() and _end() around graph launches and
 *             uploads, memory_graph_changed() after destruction, and
 *             memory_settle() after synchronisation.
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

/* A stream has ended: its handle may be given to another. */
void memory_stream_ended(void);

/* Around every launch of an executable graph: reserves what its allocation
 * nodes will make the driver take, or answers CUDA_ERROR_OUT_OF_MEMORY, and
 * afterwards charges what the driver took. One load each while no graph of the
 * process allocates memory. */
struct memory_graph {
    int device; /* -1: nothing to do */
    bool many;  /* other devices hold as much meanwhile */
    bool keeps; /* the launch leaves memory behind */
    uint64_t bytes, reserved;
    CUgraphExec exec; /* NULL: not launched yet */
};
CUresult memory_graph_begin(CUgraphExec exec, struct memory_graph *ret);
void memory_graph_end(const struct memory_graph *g, CUresult r);

/* exec was made from, or updated to, graph; NULL: it is about to end. */
void memory_graph_instantiated(CUgraphExec exec, CUgraph graph);

/* A graph was uploaded, launched by other means, or destroyed: the driver may
 * keep more or less for graphs on device d. */
void memory_graph_changed(unsigned d);

/* The helper thread's visit, about once a second: measures what the driver
 * holds for this process beyond its allocations and watches for thrashing. */
void memory_tick(uint64_t now_ns);

/* Whether memory_tick() has to go on although no work is submitted. */
bool memory_watches(void);

/* The child of a fork forgets what its parent holds: it has no context. */
void memory_after_fork(void);

#endif
