/* SPDX-License-Identifier: Apache-2.0
 *
 * Memory of graph allocation nodes. A node's address is reserved when the node
 * is made and lives as long as its graphs; physical memory comes from the
 * device's graph pool, which grows to the most ever in use at once and keeps
 * it until it is trimmed.
 */
#ifndef HAMI_SIM_MEM_GRAPH_H
#define HAMI_SIM_MEM_GRAPH_H

#include "mem.h"

/* How captured allocations and frees run at a graph launch (core.h). */
void sim_graph_run_alloc(const void *params, struct sim_work *ret);
void sim_graph_run_free(const void *params, struct sim_work *ret);

#endif
