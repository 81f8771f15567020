/* SPDX-License-Identifier: Apache-2.0
 *
 * What the memory half of the simulated driver offers to the rest of it:
 * contexts that end, points of synchronisation, graph nodes that copy, set,
 * allocate and free, and bytes for module globals.
 */
#ifndef HAMI_SIM_MEMORY_H
#define HAMI_SIM_MEMORY_H

#include "core.h"

/* A context is being destroyed (or a primary one reset): everything allocated
 * in it is freed. Called before the context's own bytes are given back. */
void sim_memory_context_gone(struct sim_context *ctx);

/* The host has seen work complete (stream, event or context synchronised):
 * pools return what they hold above their release thresholds. Costs one load
 * when nothing was freed asynchronously since the last call. */
void sim_memory_synchronized(void);

/* Device bytes for a module's global variables, zeroed; 0 on failure. They
 * belong to ctx and are found by every copy and pointer query. */
CUdeviceptr sim_memory_global(struct sim_context *ctx, size_t bytes);
void sim_memory_global_free(CUdeviceptr address);

/* ---- events shared between processes: e->shared is set, driver lock held ---- */

struct sim_event;
void sim_event_publish(const struct sim_event *e); /* after its place has changed */
void sim_event_refresh(struct sim_event *e);       /* before its place is used */
void sim_event_unshare(struct sim_event *e);

/* ---- graph nodes ---- */

/* Checks what a copy or set node would do in ctx (NULL: the current one). */
CUresult sim_memory_check_copy(const CUDA_MEMCPY3D *copy);
CUresult sim_memory_check_set(const CUDA_MEMSET_NODE_PARAMS *n);
/* Describes such a node's work at a launch; params must live until it ran. */
void sim_memory_copy_work(const CUDA_MEMCPY3D *copy, struct sim_work *ret);
void sim_memory_set_work(const CUDA_MEMSET_NODE_PARAMS *n, struct sim_work *ret);

/* Allocation nodes. node_new reserves the address (params->dptr is written on
 * success) when the node is added or captured; the bytes are taken from the
 * device's graph pool while a launched graph holds them. */
CUresult sim_memory_node_new(CUDA_MEM_ALLOC_NODE_PARAMS *params);
/* The last graph and executable graph that knew the node are gone. */
void sim_memory_node_drop(CUdeviceptr address);
CUresult sim_memory_node_check_free(CUdeviceptr address);
/* A launch reaches the node. Alloc: OUT_OF_MEMORY, or INVALID_VALUE when it is
 * allocated already (the graph was launched twice without a free). */
CUresult sim_memory_node_alloc(CUdeviceptr address);
CUresult sim_memory_node_free(CUdeviceptr address);

#endif
