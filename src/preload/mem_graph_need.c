/* SPDX-License-Identifier: Apache-2.0
 *
 * What a graph's own allocations need at once, from its nodes and edges.
 *
 * An allocation may take what a free node before it gave back, where "before"
 * means a path of dependencies: two branches may run in any order. Each byte
 * that is freed is counted on once, so that whatever order the driver chooses,
 * no more than the answer lives at one time. Where order cannot be found out,
 * or would cost too much, nothing is counted on and the answer is the sum. Of a
 * graph with more nodes or deeper children than are looked at the answer is more
 * than there is: what they hide is not given.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "preload/mem_engine.h"
#include "preload/mem_graph.h"

#define NODES_MAX (1u << 24)
#define EDGES_MAX (1u << 22)
#define MEMORY_NODES_MAX 2048u
#define ORDER_BYTES_MAX (UINT64_C(64) << 20)
#define DEPTH_MAX 32u
#define NOWHERE UINT32_MAX

struct memory_node {
    uint64_t ptr, bytes; /* of a free node: what it can give to later allocations */
    bool taken;          /* an allocation whose free node was found */
};

struct graph_walk {
    CUgraphNode *nodes;
    uint32_t n;
    uint32_t *memory_of; /* node -> its place in allocs, or frees | FREE_BIT; NOWHERE */
    struct memory_node *allocs, *frees;
    uint32_t n_allocs, n_frees;
    uint64_t sum;
    bool keeps;       /* an allocation outlives the graph's launch */
    uint32_t devices; /* a bit for each that an allocation takes memory of */
};

#define FREE_BIT (UINT32_C(1) << 31)

/* ---- memory for a walk ---- */

static void *take_pages(uint64_t n)
{
    int saved = errno;
    void *p = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    errno = saved;
    return p == MAP_FAILED ? NULL : p;
}

static void give_pages(void *p, uint64_t n)
{
    int saved = errno;

    if (p)
        munmap(p, n);
    errno = saved;
}

static uint64_t add_capped(uint64_t a, uint64_t b)
{
    return a > MEM_BYTES_MAX - b ? MEM_BYTES_MAX : a + b;
}

/* ---- the nodes ---- */

static bool look_at_alloc(struct graph_walk *w, uint32_t i)
{
    CUDA_MEM_ALLOC_NODE_PARAMS params = {0};
    uint64_t bytes;
    int device;

    if (real.cuGraphMemAllocNodeGetParams(w->nodes[i], &params) != CUDA_SUCCESS)
        return false;
    bytes = params.bytesize < MEM_BYTES_MAX ? params.bytesize : MEM_BYTES_MAX;
    w->sum = add_capped(w->sum, bytes);
    device = params.poolProps.location.type == CU_MEM_LOCATION_TYPE_DEVICE
                 ? slice_device_of(params.poolProps.location.id)
                 : -1;
    w->devices |= device >= 0 ? UINT32_C(1) << device : 0;
    if (w->n_allocs < MEMORY_NODES_MAX) {
        w->memory_of[i] = w->n_allocs;
        w->allocs[w->n_allocs] = (struct memory_node){.ptr = params.dptr, .bytes = bytes};
    }
    w->n_allocs++;
    return true;
}

static void look_at_free(struct graph_walk *w, uint32_t i)
{
    CUdeviceptr ptr = 0;

    if (w->n_frees >= MEMORY_NODES_MAX || real.cuGraphMemFreeNodeGetParams(w->nodes[i], &ptr) != CUDA_SUCCESS)
        return;
    w->memory_of[i] = w->n_frees | FREE_BIT;
    w->frees[w->n_frees++] = (struct memory_node){.ptr = ptr};
}

static bool need_below(CUgraph graph, unsigned depth, struct mem_graph_need *ret);

static bool look_at_child(struct graph_walk *w, uint32_t i, unsigned depth, uint64_t *children)
{
    CUgraph child = NULL;
    struct mem_graph_need need;

    if (real.cuGraphChildGraphNodeGetGraph(w->nodes[i], &child) != CUDA_SUCCESS)
        return true; /* of a kind that has none */
    if (depth >= DEPTH_MAX)
        need = (struct mem_graph_need){.bytes = MEM_BYTES_MAX, .keeps = true};
    else if (!need_below(child, depth + 1, &need))
        return false;
    *children = add_capped(*children, need.bytes);
    w->devices |= need.devices;
    w->keeps |= need.keeps;
    return true;
}

static bool look_at_nodes(struct graph_walk *w, unsigned depth, uint64_t *children)
{
    for (uint32_t i = 0; i < w->n; i++) {
        CUgraphNodeType type;

        w->memory_of[i] = NOWHERE;
        if (real.cuGraphNodeGetType(w->nodes[i], &type) != CUDA_SUCCESS)
            return false;
        if (type == CU_GRAPH_NODE_TYPE_MEM_FREE)
            look_at_free(w, i);
        else if (type == CU_GRAPH_NODE_TYPE_MEM_ALLOC
                     ? !look_at_alloc(w, i)
                     : type == CU_GRAPH_NODE_TYPE_GRAPH && !look_at_child(w, i, depth, children))
            return false;
    }
    return true;
}

/* What each free node gives back. An address may serve several allocations, one
 * after the other; which of them a free node is for does not matter, as long as
 * no more is counted on than the smallest has. */
static void match_frees(struct graph_walk *w)
{
    for (uint32_t f = 0; f < w->n_frees; f++) {
        struct memory_node *found = NULL;
        uint64_t least = UINT64_MAX;

        for (uint32_t a = 0; a < w->n_allocs; a++) {
            if (w->allocs[a].ptr != w->frees[f].ptr)
                continue;
            least = w->allocs[a].bytes < least ? w->allocs[a].bytes : least;
            found = w->allocs[a].taken ? found : &w->allocs[a];
        }
        if (found) {
            found->taken = true;
            w->frees[f].bytes = least;
        }
    }
}

static bool keeps_some(const struct graph_walk *w)
{
    for (uint32_t a = 0; a < w->n_allocs && a < MEMORY_NODES_MAX; a++)
        if (!w->allocs[a].taken)
            return true;
    return w->n_allocs > MEMORY_NODES_MAX;
}

/* ---- the order ---- */

struct order {
    CUgraphNode *from, *to; /* edges, by handle */
    uint32_t *edge_to;      /* by node, grouped by where they come from */
    uint32_t *first;        /* of each node's edges; one more at the end */
    uint32_t *waits;        /* edges into a node that were not walked yet */
    uint32_t *queue;
    uint32_t *places; /* hash table of handles -> node */
    uint32_t mask;
    uint64_t *before; /* by node: which free nodes lie before it */
    uint32_t words;
};

static uint32_t *place_of(const struct graph_walk *w, const struct order *o, CUgraphNode node)
{
    uint64_t h = (uintptr_t)node * UINT64_C(0x9e3779b97f4a7c15);

    for (uint32_t at = (uint32_t)(h >> 32) & o->mask;; at = (at + 1) & o->mask)
        if (o->places[at] == 0 || w->nodes[o->places[at] - 1] == node)
            return &o->places[at];
}

static uint32_t index_of(const struct graph_walk *w, const struct order *o, CUgraphNode node)
{
    uint32_t place = *place_of(w, o, node);

    return place ? place - 1 : NOWHERE;
}

/* Groups the edges by the node they come from. False: they name a stranger. */
static bool sort_edges(const struct graph_walk *w, struct order *o, uint32_t n_edges)
{
    for (uint32_t i = 0; i < w->n; i++)
        *place_of(w, o, w->nodes[i]) = i + 1;
    for (uint32_t e = 0; e < n_edges; e++) {
        uint32_t from = index_of(w, o, o->from[e]), to = index_of(w, o, o->to[e]);

        if (from == NOWHERE || to == NOWHERE)
            return false;
        o->first[from + 1]++;
        o->waits[to]++;
    }
    for (uint32_t i = 0; i < w->n; i++)
        o->first[i + 1] += o->first[i];
    memcpy(o->queue, o->first, w->n * sizeof *o->queue);
    for (uint32_t e = 0; e < n_edges; e++)
        o->edge_to[o->queue[index_of(w, o, o->from[e])]++] = index_of(w, o, o->to[e]);
    return true;
}

/* What allocation `a` need not take anew. */
static uint64_t reuse(struct graph_walk *w, const struct order *o, uint32_t node)
{
    const uint64_t *before = &o->before[(uint64_t)node * o->words];
    uint64_t wanted = w->allocs[w->memory_of[node]].bytes, found = 0;

    for (uint32_t f = 0; f < w->n_frees && found < wanted; f++) {
        uint64_t part = before[f / 64] >> f % 64 & 1 ? w->frees[f].bytes : 0;

        part = part < wanted - found ? part : wanted - found;
        w->frees[f].bytes -= part;
        found += part;
    }
    return found;
}

static void pass_on(const struct graph_walk *w, struct order *o, uint32_t node, uint32_t *n_queue)
{
    const uint64_t *before = &o->before[(uint64_t)node * o->words];
    uint32_t memory = w->memory_of[node];

    for (uint32_t e = o->first[node]; e < o->first[node + 1]; e++) {
        uint32_t to = o->edge_to[e];
        uint64_t *after = &o->before[(uint64_t)to * o->words];

        for (uint32_t i = 0; i < o->words; i++)
            after[i] |= before[i];
        if (memory != NOWHERE && memory & FREE_BIT)
            after[(memory & ~FREE_BIT) / 64] |= UINT64_C(1) << memory % 64;
        if (--o->waits[to] == 0)
            o->queue[(*n_queue)++] = to;
    }
}

static uint64_t walk_in_order(struct graph_walk *w, struct order *o)
{
    uint32_t n_queue = 0;
    uint64_t reused = 0;

    for (uint32_t i = 0; i < w->n; i++)
        if (o->waits[i] == 0)
            o->queue[n_queue++] = i;
    for (uint32_t at = 0; at < n_queue; at++) {
        uint32_t node = o->queue[at], memory = w->memory_of[node];

        if (memory != NOWHERE && !(memory & FREE_BIT))
            reused += reuse(w, o, node);
        pass_on(w, o, node, &n_queue);
    }
    return reused;
}

/* Bytes of the sum that need not be there at once. */
static uint64_t reused_bytes(struct graph_walk *w, CUgraph graph)
{
    struct order o = {.words = (w->n_frees + 63) / 64, .mask = 1};
    size_t n_edges = 0, got;
    uint64_t total, reused = 0;
    char *at;

    if (!w->n_frees || w->sum == MEM_BYTES_MAX || w->n_allocs > MEMORY_NODES_MAX ||
        real.cuGraphGetEdges(graph, NULL, NULL, &n_edges) != CUDA_SUCCESS || !n_edges || n_edges > EDGES_MAX)
        return 0;
    while (o.mask < 2 * w->n)
        o.mask = o.mask << 1 | 1;
    total = 2 * n_edges * sizeof *o.from + (uint64_t)w->n * o.words * sizeof *o.before +
            (n_edges + 3 * (uint64_t)w->n + 1 + o.mask + 1) * sizeof(uint32_t);
    if (total > ORDER_BYTES_MAX || !(at = take_pages(total)))
        return 0;
    o.from = (CUgraphNode *)(void *)at;
    o.to = o.from + n_edges;
    o.before = (uint64_t *)(void *)(o.to + n_edges);
    o.edge_to = (uint32_t *)(void *)(o.before + (uint64_t)w->n * o.words);
    o.first = o.edge_to + n_edges;
    o.waits = o.first + w->n + 1;
    o.queue = o.waits + w->n;
    o.places = o.queue + w->n;
    got = n_edges;
    if (real.cuGraphGetEdges(graph, o.from, o.to, &got) == CUDA_SUCCESS && got == n_edges &&
        sort_edges(w, &o, (uint32_t)n_edges))
        reused = walk_in_order(w, &o);
    give_pages(at, total);
    return reused;
}

/* ---- the face ---- */

static bool need_below(CUgraph graph, unsigned depth, struct mem_graph_need *ret)
{
    struct graph_walk w = {0};
    size_t n = 0, got;
    uint64_t total, children = 0;
    bool known;
    char *at;

    *ret = (struct mem_graph_need){0};
    if (real.cuGraphGetNodes(graph, NULL, &n) != CUDA_SUCCESS)
        return false;
    if (n > NODES_MAX) {
        *ret = (struct mem_graph_need){.bytes = MEM_BYTES_MAX, .allocs = UINT32_MAX, .keeps = true};
        return true;
    }
    if (!n)
        return true;
    total = n * (sizeof *w.nodes + sizeof *w.memory_of) + 2 * MEMORY_NODES_MAX * sizeof *w.allocs;
    if (!(at = take_pages(total)))
        return false;
    w.allocs = (struct memory_node *)(void *)at;
    w.frees = w.allocs + MEMORY_NODES_MAX;
    w.nodes = (CUgraphNode *)(void *)(w.frees + MEMORY_NODES_MAX);
    w.memory_of = (uint32_t *)(void *)(w.nodes + n);
    w.n = (uint32_t)n;
    got = n;
    known = real.cuGraphGetNodes(graph, w.nodes, &got) == CUDA_SUCCESS && got == n &&
            look_at_nodes(&w, depth, &children);
    if (known) {
        if (w.n_allocs <= MEMORY_NODES_MAX)
            match_frees(&w);
        ret->keeps = w.keeps || keeps_some(&w);
        ret->bytes = add_capped(w.sum - reused_bytes(&w, graph), children);
        ret->allocs = w.n_allocs;
        ret->devices = w.devices;
    }
    give_pages(at, total);
    return known;
}

bool mem_graph_need_of(CUgraph graph, struct mem_graph_need *ret)
{
    return need_below(graph, 0, ret);
}
