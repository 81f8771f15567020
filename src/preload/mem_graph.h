/* SPDX-License-Identifier: Apache-2.0
 *
 * Memory that graphs allocate. The driver keeps one pool of it per device and
 * grows that when a graph with allocation nodes is launched.
 */
#ifndef HAMI_PRELOAD_MEM_GRAPH_H
#define HAMI_PRELOAD_MEM_GRAPH_H

#include <stdbool.h>
#include <stdint.h>

#include "abi/cuda.h"

/* A node of n bytes on region device d (-1: not ours) is to be added to a
 * graph: refused when it could never fit. */
CUresult mem_graph_admit(int d, CUdevice ordinal, uint64_t n);

/* An allocation or a free became part of a graph. */
void mem_graph_allocates(CUgraph graph, CUdeviceptr ptr, uint64_t n, unsigned d);
void mem_graph_frees(CUgraph graph, CUdeviceptr ptr);

/* What a graph's allocations take, its children's included. */
struct mem_graph_need {
    uint64_t bytes;   /* the most at once, whatever order they run in, on all devices together */
    uint32_t allocs;  /* how many nodes of the graph itself */
    uint32_t devices; /* of the region, a bit each */
    bool keeps;       /* an allocation outlives the launch: no node frees it */
};

/* False when the driver does not show the graph's nodes. */
bool mem_graph_need_of(CUgraph graph, struct mem_graph_need *ret);

/* What the driver kept for graphs on device d may be gone. */
void mem_graph_trimmed(unsigned d);

/* A pointer that may be a graph's was freed outside of it. */
void mem_graph_touch(void);

void mem_graph_after_fork(void);

#endif
