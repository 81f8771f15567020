/* SPDX-License-Identifier: Apache-2.0
 *
 * Graphs, executable graphs and captures inside one process.
 *
 * Invariants (driver lock held for all of this, except while work runs):
 *   1. A graph owns its nodes; nodes keep the order of their creation.
 *   2. An executable graph owns a private copy, ordered so that a node comes
 *      after everything it depends on; `origin` leads back to the original.
 *   3. A child graph and the bodies of conditionals belong to their node.
 */
#ifndef HAMI_SIM_GRAPH_H
#define HAMI_SIM_GRAPH_H

#include "memory.h"
#include "objects.h"

struct sim_node;

struct sim_edge {
    struct sim_node *from;
    CUgraphEdgeData data;
};

/* The parameters of a node, by its type. */
union sim_node_params {
    CUDA_KERNEL_NODE_PARAMS kernel;
    CUDA_MEMCPY3D copy;
    CUDA_MEMSET_NODE_PARAMS set;
    CUDA_HOST_NODE_PARAMS host;
    struct sim_graph *child;
    CUevent event;
    CUDA_EXT_SEM_SIGNAL_NODE_PARAMS signal; /* arrays owned */
    CUDA_EXT_SEM_WAIT_NODE_PARAMS wait;     /* arrays owned */
    CUDA_MEM_ALLOC_NODE_PARAMS alloc;
    CUdeviceptr free;
    CUDA_BATCH_MEM_OP_NODE_PARAMS memop; /* array owned */
    CUDA_CONDITIONAL_NODE_PARAMS conditional;
};

struct sim_node {
    uint32_t tag;
    CUgraphNodeType type;
    struct sim_graph *graph;
    struct sim_node *next;
    struct sim_node *origin; /* in a clone: the node it was made from */
    unsigned id;
    bool disabled; /* in an executable graph */
    struct sim_edge *before;
    size_t n_before;
    union sim_node_params params;
    uint64_t kernel_ns; /* duration, fixed when the parameters were given */
    uint64_t first_parameter;
    void *parameter_list[2];
    unsigned *address_users; /* of an allocation: how many graphs know its address */
    CUgraph bodies[8];       /* of a conditional */
    /* a captured copy or set: how its own family describes it */
    void *blob;
    size_t blob_size;
    void (*run)(const void *params, struct sim_work *ret);
    CUkernelNodeAttrValue attributes[CU_LAUNCH_ATTRIBUTE_MAX];
    struct sim_fence fence; /* during a launch */
    uint64_t mark;          /* of a walk over the graph */
    struct sim_node *copy;  /* while the graph is being copied */
};

struct sim_user_object {
    uint32_t tag;
    CUhostFn destroy;
    void *arg;
    uint32_t references;
};

struct sim_graph {
    uint32_t tag;
    unsigned id, next_node_id;
    struct sim_node *first, *last;
    size_t n_nodes;
    struct sim_graph *parent; /* of a child graph or body */
    bool capturing;           /* a capture is writing into it */
    struct sim_owned {
        struct sim_user_object *object;
        uint32_t count;
    } * owned;
    size_t n_owned;
};

struct sim_exec {
    uint32_t tag;
    unsigned id;
    uint64_t flags;
    struct sim_graph *graph; /* the private copy */
    struct sim_context *ctx;
    bool plain;            /* kernels and empty nodes only */
    bool linear;           /* has nodes that only a stream can order */
    struct sim_fence last; /* of its latest launch; launches do not overlap */
};

/* graph.c */
struct sim_graph *sim_graph_new(void);
void sim_graph_free(struct sim_graph *g);
struct sim_graph *sim_graph_copy(const struct sim_graph *g); /* in dependency order; NULL without memory */
CUresult sim_node_new(struct sim_graph *g, CUgraphNodeType type, const CUgraphNode *before,
                      const CUgraphEdgeData *edges, size_t n, struct sim_node **ret);
void sim_node_remove(struct sim_node *node);
CUresult sim_graph_check(CUgraph graph, struct sim_graph **ret);
CUresult sim_node_check(CUgraphNode node, CUgraphNodeType type, struct sim_node **ret);
uint64_t sim_graph_new_mark(void);
bool sim_graph_sort(struct sim_graph *g); /* false when there is a cycle */

/* user_object.c */
void sim_user_objects_release(struct sim_graph *g);
unsigned sim_conditional_value(CUgraphConditionalHandle handle);

/* graph_node.c: the general parameters as those of their kind; NULL when there are none */
const union sim_node_params *sim_node_specific(const CUgraphNodeParams *p, union sim_node_params *room);

/* graph_params.c: parameters are copied with all they point to */
CUresult sim_node_set(struct sim_node *node, const union sim_node_params *params);
void sim_node_clear(struct sim_node *node);
CUresult sim_node_copy_params(struct sim_node *into, const struct sim_node *from);

/* graph_exec.c */
CUresult sim_exec_launch(struct sim_exec *x, struct sim_stream *s);

/* capture.c */
/* Appends a node to the stream's capture behind its frontier. */
CUresult sim_capture_node(struct sim_stream *s, CUgraphNodeType type, const union sim_node_params *params,
                          struct sim_node **ret);

/* host.c: a host function behind everything in the stream */
CUresult sim_stream_host(struct sim_stream *s, void (*fn)(void *), void *arg);

/* memop.c */
CUresult sim_stream_memops(struct sim_stream *s, const CUstreamBatchMemOpParams *ops, unsigned n);

#endif
