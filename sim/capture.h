/* SPDX-License-Identifier: Apache-2.0
 *
 * Captures in progress; see capture.c. The functions below are called with
 * the driver lock held.
 */
#ifndef HAMI_SIM_CAPTURE_H
#define HAMI_SIM_CAPTURE_H

#include "graph.h"

struct sim_capture {
    struct sim_graph *graph;
    CUstreamCaptureMode mode;
    uint64_t id;
    struct sim_thread *owner; /* the thread that began it */
    struct sim_stream *origin;
    struct sim_stream **members; /* the origin among them */
    size_t n_members;
    bool invalid;
    bool into_existing; /* the graph was the caller's */
    struct sim_capture *next;
};

CUresult sim_capture_begin(struct sim_stream *s, CUstreamCaptureMode mode, struct sim_graph *into,
                           const CUgraphNode *before, size_t n);
CUresult sim_capture_end(struct sim_stream *s, CUgraph *ret);
CUresult sim_capture_set_frontier(struct sim_stream *s, const CUgraphNode *nodes,
                                  const CUgraphEdgeData *edges, size_t n, bool add);

#endif
