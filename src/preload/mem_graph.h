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

/* The most that a graph's allocations, its children's included, may need at once
 * whatever order they run in, and how many of them are its own. False when the
 * driver does not show the graph's nodes. */
bool mem_graph_need(CUgraph graph, uint64_t *ret, uint32_t *ret_allocs);

/* A pointer that may be a graph's was freed outside of it. */
void mem_graph_touch(void);

void mem_graph_after_fork(void);

#endif
