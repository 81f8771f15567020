/* SPDX-License-Identifier: Apache-2.0
 *
 * The driver's objects inside one process: contexts, streams, events,
 * modules and functions.
 *
 * Invariants:
 *   1. The first member of every object is its tag. A destroyed object loses
 *      its tag and its memory is reused late and only for its own kind, so a
 *      stale handle is refused instead of read as something else.
 *   2. `sim_driver_lock` guards all objects of the process. The state file's
 *      lock is taken inside it, never the other way round. Neither is held
 *      while a thread sleeps or while a callback of the program runs.
 */
#ifndef HAMI_SIM_OBJECTS_H
#define HAMI_SIM_OBJECTS_H

#include <pthread.h>

#include "core.h"
#include "state.h"

struct sim_bytes;
struct sim_capture;
struct sim_deferred;
struct sim_event;
struct sim_function;
struct sim_module;

extern pthread_mutex_t sim_driver_lock;

/* ---- object memory (objects.c) ---- */

/* Zeroed memory with its tag set; NULL when there is none. */
void *sim_object_new(enum sim_tag tag, size_t size);
void sim_object_free(void *object);
/* True when the handle points to a live object of this kind. */
static inline bool sim_object_is(const void *handle, enum sim_tag tag)
{
    uintptr_t at = (uintptr_t)handle;
    return at >= 4096 && at % 8 == 0 && *(const uint32_t *)handle == (uint32_t)tag;
}

/* ---- work that has been submitted ---- */

/* What has to end before something may go on: at most one position of each of
 * a few queues, and a moment. */
struct sim_fence {
    sim_ref after[SIM_DEPENDENCIES];
    uint64_t epoch[SIM_DEPENDENCIES];
    uint64_t end_ns[SIM_DEPENDENCIES]; /* as predicted in that epoch */
    uint64_t floor_ns;                 /* and not before this moment */
};

/* state lock not held in these */
void sim_fence_join(struct sim_fence *into, const struct sim_fence *other);
void sim_fence_wait(const struct sim_fence *fence);
bool sim_fence_passed(const struct sim_fence *fence);
uint64_t sim_fence_end(const struct sim_fence *fence); /* predicted or actual moment */
uint64_t sim_fence_look_again(const struct sim_fence *fence);

/* Queues work behind the fence; the fence then stands for the new work.
 * CUDA_ERROR_NOT_READY and a moment to try again when this process's channel
 * is full. */
CUresult sim_engine_push(unsigned device, unsigned part, enum sim_engine engine, uint64_t duration_ns,
                         struct sim_fence *fence, uint64_t *ret_retry_ns);
CUresult sim_device_health(unsigned device); /* CUDA_SUCCESS, or what a lost device answers */

/* ---- contexts ---- */

struct sim_context {
    uint32_t tag;
    bool primary, green;
    bool alive; /* primary: retained at least once since its last reset */
    CUdevice ordinal;
    unsigned device, part;
    unsigned flags, api_version;
    uint32_t retained; /* primary: how often; created: by cuCtxAttach, beside its maker */
    uint64_t id;
    size_t limits[CU_LIMIT_MAX];
    int cache_config, shared_config;
    struct sim_stream *null_stream;
    struct sim_stream *streams;     /* all of this context */
    struct sim_fence blocking;      /* the latest work of all blocking streams */
    struct sim_fence orphans;       /* of destroyed streams */
    struct sim_context *green_home; /* green: the primary context whose memory it uses */
    uint32_t sm_count;
    uint64_t peers; /* bit per machine device */
};

/* The state of one thread that calls the driver. */
struct sim_thread {
    struct sim_context *stack[64];
    unsigned depth;
    struct sim_stream *own[SIM_DEVICES * 2]; /* per-thread default streams, one per context used */
    unsigned n_own;
    CUstreamCaptureMode capture_mode;
    uint64_t next_kernel_ns; /* set by hami_sim_next_kernel_ns, used once */
};
struct sim_thread *sim_thread_self(void); /* NULL only without memory */

struct sim_part {
    unsigned device, part;
};
/* What an ordinal means; false when out of range. */
bool sim_ordinal_part(CUdevice ordinal, struct sim_part *ret);

/* Driver lock held. */
CUresult sim_context_start(struct sim_context *ctx, struct sim_part part);
void sim_context_stop(struct sim_context *ctx);
CUresult sim_primary_retain(CUdevice dev, struct sim_context **ret);
CUresult sim_context_push(struct sim_context *ctx); /* onto the thread's stack */

/* The current context, checked: CUDA_SUCCESS, NOT_INITIALIZED or INVALID_CONTEXT. */
CUresult sim_current(struct sim_context **ret);
bool sim_context_valid(const struct sim_context *ctx);

/* ---- streams ---- */

struct sim_stream {
    uint32_t tag;
    unsigned flags;
    int priority;
    bool null, per_thread;
    struct sim_context *ctx;
    struct sim_stream *next;                             /* in the context's list */
    struct sim_fence done;                               /* passed when everything submitted has completed */
    struct sim_deferred *first_deferred, *last_deferred; /* behind a host function, in order */
    bool host_running;                                   /* the first of them is being called */
    struct sim_stream *next_deferred;                    /* in the list of streams with such work */
    struct sim_capture *capture;
    CUgraphNode *frontier; /* of the capture: what the next node comes after */
    CUgraphEdgeData *frontier_edges;
    size_t n_frontier;
    uint64_t id;
    CUstreamAttrValue attributes[CU_LAUNCH_ATTRIBUTE_MAX];
};

struct sim_stream *sim_stream_new(struct sim_context *ctx, unsigned flags, int priority);
void sim_stream_free(struct sim_stream *s);

/* Driver lock held: what new work in the stream has to wait for, and what the
 * work then changes. */
void sim_stream_before(const struct sim_stream *s, struct sim_fence *ret);
void sim_stream_after(struct sim_stream *s, const struct sim_fence *fence);

/* Driver lock held: gives the work to its engine behind the fence. */
CUresult sim_submit_fence(struct sim_stream *s, const struct sim_work *work, struct sim_fence *fence,
                          uint64_t *ret_retry_ns);
CUresult sim_context_wait(struct sim_context *ctx);

/* ---- capture (capture.c) ---- */

/* What a call that waits for this stream, or for this context, answers now. */
CUresult sim_capture_unsafe_stream(const struct sim_stream *s);
CUresult sim_capture_unsafe_context(const struct sim_context *ctx);
/* What a call on a stream that is not capturing answers when the legacy stream
 * would have to wait for one that is. */
CUresult sim_capture_legacy_call(const struct sim_stream *s);
CUresult sim_capture_legacy_look(const struct sim_stream *s); /* the same without invalidating */
CUresult sim_capture_event_record(struct sim_stream *s, struct sim_event *e, unsigned flags);
CUresult sim_capture_event_wait(struct sim_stream *s, struct sim_event *e, unsigned flags);
void sim_event_leave_capture(struct sim_event *e);
CUresult sim_capture_asked_event(const struct sim_event *e); /* queried or synchronised */
void sim_capture_forget(struct sim_stream *s);               /* the stream is going away */
CUresult sim_capture_kernel(struct sim_stream *s, struct sim_function *f, const unsigned grid[3],
                            const unsigned block[3], unsigned shared, void **parameters, void **extra);
extern _Atomic unsigned sim_any_capture; /* captures in progress in this process */

/* ---- work that waits for the host (deferred.c); driver lock held ---- */

enum sim_deferred_kind {
    SIM_DEFERRED_WORK,
    SIM_DEFERRED_HOST,   /* call fn(arg) when everything before has completed */
    SIM_DEFERRED_RECORD, /* an event */
    SIM_DEFERRED_WAIT,   /* for an event whose record is itself deferred */
    SIM_DEFERRED_VALUE   /* until reached(arg) */
};

struct sim_deferred {
    struct sim_deferred *next;
    enum sim_deferred_kind kind;
    uint64_t number; /* order over all streams */
    struct sim_work work;
    struct sim_event *event;
    void (*fn)(void *arg);
    bool (*reached)(void *arg);
    void *arg;
};

/* True when new work in the stream has to queue up behind deferred work. */
bool sim_must_defer(const struct sim_stream *s);
CUresult sim_defer(struct sim_stream *s, const struct sim_deferred *item);
/* Lets go of the driver lock while it waits until nothing is deferred in the stream. */
void sim_deferred_drain(struct sim_stream *s);
void sim_deferred_await(struct sim_event *e);   /* until the event's record has its place */
void sim_deferred_forget(struct sim_stream *s); /* the stream is going away */

/* ---- events ---- */

struct sim_event {
    uint32_t tag;
    unsigned flags;
    struct sim_context *ctx;
    bool recorded;
    uint32_t waiting; /* records that are still behind a host function */
    struct sim_fence fence;
    struct sim_bytes *shared;   /* with other processes (mem_ipc_event.c) */
    uint64_t capture_id;        /* recorded in that capture; 0: in none */
    CUgraphNode *capture_after; /* nodes it stands for */
    size_t n_capture_after;
};

/* Driver lock held: gives the event the stream's present place, or makes the
 * stream wait for the event's. */
void sim_event_place(struct sim_event *e, struct sim_stream *s);
void sim_event_join(struct sim_event *e, struct sim_stream *s);
void sim_event_set(struct sim_event *e, const struct sim_fence *fence); /* passed with the fence */

/* ---- modules and functions ---- */

struct sim_function {
    uint32_t tag;
    struct sim_module *module;
    struct sim_function *next; /* of the module */
    char *name;
    bool from_parameter;  /* the first parameter says how long it runs */
    uint64_t duration_ns; /* 0: priced by its grid */
    uint64_t block_ns;    /* per block, for sim_<n>ns_per_block */
    int attributes[CU_FUNC_ATTRIBUTE_MAX];
    unsigned legacy_block[3], legacy_shared, legacy_size;
    unsigned char legacy_parameters[256];
};

struct sim_module {
    uint32_t tag; /* SIM_TAG_MODULE or SIM_TAG_LIBRARY */
    struct sim_context *ctx;
    struct sim_function *functions;
    struct sim_module *twin; /* a library's module */
    struct sim_global *globals;
    struct sim_module *next;
};

/* Duration of one launch of f. */
uint64_t sim_kernel_ns(const struct sim_function *f, uint64_t blocks, void **parameters, void **extra,
                       uint32_t sm_count);
void sim_cost_of_name(struct sim_function *f);
void sim_function_defaults(struct sim_function *f);
CUresult sim_module_function(void *module, enum sim_tag tag, const char *name, struct sim_function **ret);
CUresult sim_module_unload(void *module, enum sim_tag tag);
void sim_globals_free(struct sim_module *m);

/* CUfunction or CUkernel to a function; NULL when it is neither. */
struct sim_function *sim_function_of(CUfunction handle);

extern _Atomic bool sim_null_model;

#endif
