/* SPDX-License-Identifier: Apache-2.0
 *
 * What a graph will need is followed as it is built: each allocation node adds
 * its size, each free node of one of the graph's own allocations subtracts it,
 * and the highest sum is the graph's need. It is reserved before the launch
 * that may make the driver take it, and afterwards the charge becomes what the
 * driver says it keeps for graphs on that device. At its instantiation the
 * driver is asked for nodes and edges (mem_graph_need.c): branches may run
 * beside each other, and children bring memory along.
 *
 * Invariants:
 *   1. graphs: key = CUgraph, bytes = highest sum, owner = sum now, extra = how
 *      many allocation nodes it was given.
 *   2. nodes: key = address of an allocation node, owner = its graph. members:
 *      key = graph and number of the node (see member_key), bytes = its
 *      address, so that a graph's end looks at its own nodes alone.
 *   3. execs: key = CUgraphExec, bytes = its need; PLACED after its first
 *      launch, for the driver uses the same memory for every further one, also
 *      while the last one still runs. Not so when the launch leaves memory
 *      behind (KEEPS): freed by others, it may be somebody else's by the next
 *      launch. When one of those was launched since (extra = their number when
 *      this one was placed), or the pool is past the limit, what this one had
 *      may be in use.
 *   4. While `seen` is 0 no graph has memory nodes and nothing is looked up.
 */
#include "preload/mem_graph.h"

#include "preload/mem_engine.h"
#include "preload/mem_pool.h"
#include "preload/memory.h"

#define PLACED 1
#define MANY 2 /* the memory is of several devices */
#define KEEPS 4

static struct mem_table graphs;
static struct mem_table nodes;
static struct mem_table members;
static struct mem_table execs;
static _Atomic uint32_t seen;
static _Atomic uint32_t kept[REGION_DEVICES]; /* launches that left memory behind */

CUresult mem_graph_admit(int d, CUdevice ordinal, uint64_t n)
{
    uint64_t limit = d >= 0 ? slice_mem_limit((unsigned)d) : 0;

    if (d < 0)
        return CUDA_SUCCESS;
    if (n > MEM_BYTES_MAX || (limit && n > limit)) {
        mem_refused((unsigned)d, n);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    mem_pool_graph((unsigned)d, ordinal);
    atomic_store_explicit(&seen, 1, memory_order_relaxed);
    return CUDA_SUCCESS;
}

/* ---- what a graph will need ---- */

/* Returns the number of the node that `more` is for. */
static uint32_t sum_change(CUgraph graph, uint64_t more, uint64_t less, unsigned d)
{
    struct mem_entry e;
    uint64_t sum;
    uint32_t number;

    if (!mem_table_take(&graphs, (uintptr_t)graph, &e))
        e = (struct mem_entry){.key = (uintptr_t)graph, .device = (uint16_t)d};
    sum = (uintptr_t)e.owner + more;
    sum = sum > less ? sum - less : 0;
    e.owner = (void *)(uintptr_t)sum;
    e.bytes = e.bytes > sum ? e.bytes : sum;
    number = e.extra;
    if (more && e.extra < UINT32_MAX)
        e.extra++;
    mem_table_put(&graphs, &e, NULL);
    return number;
}

/* A graph's handle is an address of 47 bits and a multiple of 8: a key of its
 * own for each of its first million nodes. Beyond that two may share one; what
 * is lost so is 32 bytes, until the address of that node is used again. */
static uint64_t member_key(CUgraph graph, uint32_t number)
{
    return (uint64_t)(uintptr_t)graph << 17 ^ number;
}

void mem_graph_allocates(CUgraph graph, CUdeviceptr ptr, uint64_t n, unsigned d)
{
    struct mem_entry e = {.key = ptr, .bytes = n, .owner = graph, .device = (uint16_t)d};

    if (!graph || !ptr)
        return;
    mem_table_put(&nodes, &e, NULL);
    e.key = member_key(graph, sum_change(graph, n, 0, d));
    e.bytes = ptr;
    mem_table_put(&members, &e, NULL);
}

void mem_graph_frees(CUgraph graph, CUdeviceptr ptr)
{
    struct mem_entry e;

    if (mem_table_get(&nodes, ptr, &e) && e.owner == graph)
        sum_change(graph, 0, e.bytes, e.device);
}

static void nodes_end(CUgraph graph, uint32_t n)
{
    struct mem_entry member, node;

    for (uint32_t i = 0; i < n; i++)
        if (mem_table_take(&members, member_key(graph, i), &member) &&
            mem_table_take(&nodes, member.bytes, &node) && node.owner != graph)
            mem_table_put(&nodes, &node, NULL); /* another graph has the address by now */
}

HOOK CUresult cuGraphDestroy(CUgraph graph)
{
    struct mem_entry e;
    CUresult r;

    if (likely(!atomic_load_explicit(&seen, memory_order_relaxed)))
        return real.cuGraphDestroy(graph);
    if (!mem_table_take(&graphs, (uintptr_t)graph, &e))
        return real.cuGraphDestroy(graph);
    nodes_end(graph, e.extra);
    r = real.cuGraphDestroy(graph);
    memory_graph_changed(e.device);
    return r;
}

/* ---- executable graphs ---- */

/* A launch that frees what the last one left has its own memory again. */
static bool frees_at_launch(CUgraphExec exec)
{
    cuuint64_t flags = 0;

    return real.cuGraphExecGetFlags(exec, &flags) == CUDA_SUCCESS &&
           flags & CUDA_GRAPH_INSTANTIATE_FLAG_AUTO_FREE_ON_LAUNCH;
}

/* What was followed while the graph was built is in the order of building;
 * what the driver shows of it tells what may run beside what, and children. */
static void look_closer(CUgraphExec exec, CUgraph graph, struct mem_entry *e)
{
    struct mem_graph_need need;

    e->flags |= e->owner ? KEEPS : 0;
    if (!mem_graph_need_of(graph, &need) || need.allocs < e->extra)
        return;
    e->flags &= (uint8_t)~KEEPS;
    if (need.keeps && !frees_at_launch(exec))
        e->flags |= KEEPS;
    e->bytes = need.bytes;
    if (need.devices && !(need.devices >> e->device % 32 & 1))
        e->device = (uint16_t)__builtin_ctz(need.devices);
    if (need.devices & (need.devices - 1))
        e->flags |= MANY;
}

void memory_graph_instantiated(CUgraphExec exec, CUgraph graph)
{
    struct mem_entry e;

    if (likely(!atomic_load_explicit(&seen, memory_order_relaxed)))
        return;
    if (!mem_table_get(&graphs, (uintptr_t)graph, &e))
        e = (struct mem_entry){.device = (uint16_t)ctx_here()->device};
    if (graph)
        look_closer(exec, graph, &e);
    else
        e.bytes = 0;
    e.key = (uintptr_t)exec;
    if (!e.bytes || e.device >= REGION_DEVICES)
        mem_table_take(&execs, (uintptr_t)exec, &e);
    else
        mem_table_put(&execs, &e, NULL);
}

/* Which part of a graph's need is of which device is not followed: while it is
 * launched each of the others holds all of it. */
static void others_release(const struct memory_graph *g, unsigned end)
{
    for (unsigned d = 0; d < end; d++)
        if ((int)d != g->device && mem_pool_graph(d, -1))
            mem_release(d, g->bytes);
}

static CUresult others_reserve(const struct memory_graph *g)
{
    for (unsigned d = 0; d < REGION_DEVICES; d++)
        if ((int)d != g->device && mem_pool_graph(d, -1) && mem_reserve(d, g->bytes) != CUDA_SUCCESS) {
            others_release(g, d);
            return CUDA_ERROR_OUT_OF_MEMORY;
        }
    return CUDA_SUCCESS;
}

static bool has_memory(const struct mem_entry *e, struct mem_pool *p)
{
    return e->flags & PLACED && e->extra == atomic_load_explicit(&kept[e->device], memory_order_relaxed) &&
           !mem_pool_exceeds(p);
}

CUresult memory_graph_begin(CUgraphExec exec, struct memory_graph *ret)
{
    struct mem_entry e;
    struct mem_pool *p;
    CUresult r;

    *ret = (struct memory_graph){.device = -1};
    if (likely(!atomic_load_explicit(&seen, memory_order_relaxed)) || !mem_active())
        return CUDA_SUCCESS;
    if (!mem_table_get(&execs, (uintptr_t)exec, &e) || !(p = mem_pool_graph(e.device, -1)))
        return CUDA_SUCCESS;
    ret->exec = exec;
    ret->bytes = has_memory(&e, p) ? 0 : e.bytes;
    ret->many = e.flags & MANY && ret->bytes;
    ret->keeps = e.flags & KEEPS;
    ret->device = e.device;
    r = mem_pool_reserve(p, ret->bytes, &ret->reserved);
    if (r == CUDA_SUCCESS && unlikely(ret->many) && (r = others_reserve(ret)) != CUDA_SUCCESS)
        mem_pool_cancel(p, ret->bytes, ret->reserved);
    if (r != CUDA_SUCCESS)
        ret->device = -1;
    return r;
}

static void others_launched(const struct memory_graph *g)
{
    for (unsigned d = 0; d < REGION_DEVICES; d++)
        if ((int)d != g->device)
            memory_graph_changed(d);
    others_release(g, REGION_DEVICES);
}

void memory_graph_end(const struct memory_graph *g, CUresult r)
{
    struct mem_pool *p = g->device >= 0 ? mem_pool_graph((unsigned)g->device, -1) : NULL;
    struct mem_entry e;

    if (!p)
        return;
    if (unlikely(g->many))
        others_launched(g);
    if (r != CUDA_SUCCESS) {
        mem_pool_cancel(p, g->bytes, g->reserved);
        return;
    }
    mem_pool_launched(p, g->bytes, g->reserved);
    if (g->keeps)
        atomic_fetch_add_explicit(&kept[g->device], 1, memory_order_relaxed);
    if (g->bytes && !g->keeps && mem_table_take(&execs, (uintptr_t)g->exec, &e)) {
        e.flags |= PLACED;
        e.extra = atomic_load_explicit(&kept[g->device], memory_order_relaxed);
        mem_table_put(&execs, &e, NULL);
    }
}

void memory_graph_changed(unsigned d)
{
    struct mem_pool *p;

    if (likely(!atomic_load_explicit(&seen, memory_order_relaxed)) || !mem_active() || d >= REGION_DEVICES)
        return;
    p = mem_pool_graph(d, -1);
    if (p)
        mem_pool_settle(p);
}

void mem_graph_touch(void)
{
    if (unlikely(atomic_load_explicit(&seen, memory_order_relaxed)))
        mem_pools_touch();
}

/* The next launch has to be given memory again. */
static bool unplace(struct mem_entry *e, void *device)
{
    if (e->device == *(int *)device || e->flags & MANY)
        e->flags &= (uint8_t)~PLACED;
    return false;
}

void mem_graph_trimmed(unsigned d)
{
    int device = (int)d;

    mem_table_sweep(&execs, unplace, &device);
}

HOOK CUresult cuDeviceGraphMemTrim(CUdevice dev)
{
    CUresult r = real.cuDeviceGraphMemTrim(dev);

    int device = r == CUDA_SUCCESS && mem_active() ? slice_device_of(dev) : -1;

    if (device < 0)
        return r;
    mem_graph_trimmed((unsigned)device);
    memory_graph_changed((unsigned)device);
    return r;
}

/* ---- nodes ---- */

/* Where an allocation node takes its memory; -1 when not on a device of ours. */
static int device_of(const CUmemPoolProps *props, CUdevice *ret_ordinal)
{
    *ret_ordinal = props->location.id;
    return props->location.type == CU_MEM_LOCATION_TYPE_DEVICE ? slice_device_of(props->location.id) : -1;
}

static CUresult node_admit(const CUmemPoolProps *props, uint64_t n, int *ret_device)
{
    CUdevice ordinal;
    CUresult r = mem_enter();

    *ret_device = -1;
    if (r != CUDA_SUCCESS)
        return r == MEM_PASS ? CUDA_SUCCESS : r;
    *ret_device = device_of(props, &ordinal);
    return mem_graph_admit(*ret_device, ordinal, n);
}

HOOK CUresult cuGraphAddMemAllocNode(CUgraphNode *ret, CUgraph graph, const CUgraphNode *after,
                                     size_t n_after, CUDA_MEM_ALLOC_NODE_PARAMS *params)
{
    int device = -1;
    CUresult r = params ? node_admit(&params->poolProps, params->bytesize, &device) : CUDA_SUCCESS;

    if (r != CUDA_SUCCESS)
        return r;
    r = real.cuGraphAddMemAllocNode(ret, graph, after, n_after, params);
    if (r == CUDA_SUCCESS && device >= 0)
        mem_graph_allocates(graph, params->dptr, params->bytesize, (unsigned)device);
    return r;
}

HOOK CUresult cuGraphAddMemFreeNode(CUgraphNode *ret, CUgraph graph, const CUgraphNode *after, size_t n_after,
                                    CUdeviceptr ptr)
{
    CUresult r = real.cuGraphAddMemFreeNode(ret, graph, after, n_after, ptr);

    if (r == CUDA_SUCCESS && mem_active())
        mem_graph_frees(graph, ptr);
    return r;
}

static CUresult generic_admit(const CUgraphNodeParams *params, int *ret_device)
{
    *ret_device = -1;
    if (!params || params->type != CU_GRAPH_NODE_TYPE_MEM_ALLOC)
        return CUDA_SUCCESS;
    return node_admit(&params->alloc.poolProps, params->alloc.bytesize, ret_device);
}

static CUresult generic_added(CUgraph graph, const CUgraphNodeParams *params, int device, CUresult r)
{
    if (r != CUDA_SUCCESS || !params || !mem_active())
        return r;
    if (device >= 0)
        mem_graph_allocates(graph, params->alloc.dptr, params->alloc.bytesize, (unsigned)device);
    else if (params->type == CU_GRAPH_NODE_TYPE_MEM_FREE)
        mem_graph_frees(graph, params->free.dptr);
    return r;
}

HOOK CUresult cuGraphAddNode(CUgraphNode *ret, CUgraph graph, const CUgraphNode *after, size_t n_after,
                             CUgraphNodeParams *params)
{
    int device;
    CUresult r = generic_admit(params, &device);

    if (r != CUDA_SUCCESS)
        return r;
    return generic_added(graph, params, device, real.cuGraphAddNode(ret, graph, after, n_after, params));
}

HOOK CUresult cuGraphAddNode_v2(CUgraphNode *ret, CUgraph graph, const CUgraphNode *after,
                                const CUgraphEdgeData *edges, size_t n_after, CUgraphNodeParams *params)
{
    int device;
    CUresult r = generic_admit(params, &device);

    if (r != CUDA_SUCCESS)
        return r;
    return generic_added(graph, params, device,
                         real.cuGraphAddNode_v2(ret, graph, after, edges, n_after, params));
}

HOOK CUresult cuGraphAddNode_v3(CUgraphNode *ret, CUgraph graph, const CUgraphNode *after,
                                const CUgraphEdgeData *edges, size_t n_after, CUgraphNodeParams *params)
{
    int device;
    CUresult r = generic_admit(params, &device);

    if (r != CUDA_SUCCESS)
        return r;
    return generic_added(graph, params, device,
                         real.cuGraphAddNode_v3(ret, graph, after, edges, n_after, params));
}

void mem_graph_after_fork(void)
{
    mem_table_forget(&graphs);
    mem_table_forget(&nodes);
    mem_table_forget(&members);
    mem_table_forget(&execs);
}
