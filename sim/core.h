/* SPDX-License-Identifier: Apache-2.0
 *
 * What the families of simulated driver entries (memory, copies, launches,
 * graphs, NVML ...) call to reach the shared machine. Inside one process the
 * driver's objects (contexts, streams, events) are ordinary heap objects whose
 * first member is a tag that is checked on every use, so that a stale or
 * forged handle is refused as the driver would.
 */
#ifndef HAMI_SIM_CORE_H
#define HAMI_SIM_CORE_H

#include "abi/cuda.h"
#include "sim.h"

enum sim_tag {
    SIM_TAG_CONTEXT = 0x43545831,
    SIM_TAG_STREAM,
    SIM_TAG_EVENT,
    SIM_TAG_MODULE,
    SIM_TAG_FUNCTION,
    SIM_TAG_LIBRARY,
    SIM_TAG_KERNEL,
    SIM_TAG_GRAPH,
    SIM_TAG_NODE,
    SIM_TAG_EXEC,
    SIM_TAG_POOL,
    SIM_TAG_ARRAY,
    SIM_TAG_MIPMAP,
    SIM_TAG_GREEN,
    SIM_TAG_TEXTURE,
    SIM_TAG_SURFACE,
    SIM_TAG_TEXREF,
    SIM_TAG_SURFREF,
    SIM_TAG_EXTERNAL_MEMORY,
    SIM_TAG_EXTERNAL_SEMAPHORE,
    SIM_TAG_USER_OBJECT,
    SIM_TAG_LINK
};

/* ---- the machine (state.c) ---- */

/* Maps the machine's state, creating it from the profile when needed, and
 * registers this process. CUDA_SUCCESS, or what cuInit should answer. After
 * fork a child that calls the driver gets CUDA_ERROR_NOT_INITIALIZED. */
CUresult sim_attach(void);
const struct sim_profile *sim_machine(void);
bool sim_initialized(void);

/* Takes and returns physical memory of a device for this process; enforced
 * against the card's size and, where the profile has them, the per-cgroup
 * limits. A process that dies gives back everything. */
CUresult sim_memory_take(unsigned device, uint64_t bytes);
void sim_memory_give(unsigned device, uint64_t bytes);
uint64_t sim_memory_free(unsigned device); /* of the card, or of the MIG slice */

/* CUDA ordinal (after CUDA_VISIBLE_DEVICES and CUDA_DEVICE_ORDER) to machine
 * device; -1 when out of range. With MIG a visible slice is one ordinal. */
int sim_device(CUdevice ordinal);
unsigned sim_device_count(void);

/* ---- contexts and streams (context.c, stream.c) ---- */

struct sim_context; /* what CUcontext points to */
struct sim_stream;  /* what CUstream points to */

struct sim_context *sim_context_current(void); /* NULL when the thread has none */
CUdevice sim_context_device(const struct sim_context *ctx);

/* A CUstream argument to the stream it means: NULL and CU_STREAM_LEGACY are
 * the context's null stream, CU_STREAM_PER_THREAD (or NULL when per_thread)
 * the thread's own. CUDA_ERROR_INVALID_CONTEXT / INVALID_HANDLE otherwise. */
CUresult sim_stream_resolve(CUstream handle, bool per_thread, struct sim_stream **ret);

/* ---- work (engine.c) ---- */

enum sim_engine { SIM_ENGINE_COMPUTE, SIM_ENGINE_COPY, SIM_ENGINE_NONE };

/* One piece of stream-ordered work. `effect` (may be NULL) runs exactly once,
 * in stream order: at once when nothing before it in the stream has an effect
 * outstanding, else when that has run. */
struct sim_work {
    enum sim_engine engine;
    uint64_t duration_ns;
    void (*effect)(void *arg);
    void *arg;
};

/* Appends to the stream. While the stream is being captured the caller must
 * add a graph node instead: sim_stream_capturing() says so. */
CUresult sim_submit(struct sim_stream *stream, const struct sim_work *work);
CUresult sim_stream_wait(struct sim_stream *stream); /* until everything submitted has completed */
bool sim_stream_capturing(const struct sim_stream *stream);

/* Legality of a call that is unsafe during capture (allocations, queries,
 * legacy synchronisation): CUDA_SUCCESS, or the capture error of the mode. */
CUresult sim_capture_unsafe_call(void);

/* Durations of copies and sets from the profile's bandwidths. */
uint64_t sim_copy_ns(unsigned device, uint64_t bytes, bool across_bus);

/* ---- graph nodes of other families (graph.c) ---- */

/* A captured copy, set or allocation: appended to the stream's capture with
 * the stream's dependencies. `params` is copied; `run` is called at each graph
 * launch, in order, to describe the work. For MEM_ALLOC and MEM_FREE `params`
 * is a CUDA_MEM_ALLOC_NODE_PARAMS or a CUdeviceptr and `run` is not used. */
CUresult sim_capture_add(struct sim_stream *stream, CUgraphNodeType type, const void *params,
                         size_t params_size, void (*run)(const void *params, struct sim_work *ret));

#endif
