/* SPDX-License-Identifier: Apache-2.0
 *
 * Which context, and so which device, the calling thread works on, and which
 * contexts this process has. Contexts take device memory themselves; the first
 * one of a process on a device is where that is charged (mem_overhead.h).
 */
#ifndef HAMI_PRELOAD_CTX_H
#define HAMI_PRELOAD_CTX_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "abi/cuda.h"
#include "preload/hook.h"

/* The calling thread's current context, remembered until a call that can
 * change it: a wrapper of ours on the same thread, or the end of a context. */
struct ctx_here {
    CUcontext ctx; /* NULL = no current context */
    int device;    /* region index; -1 = none, or not of this slice */
    CUdevice ordinal;
    uint64_t epoch; /* of ctx_epoch when this was true; 0 = never */
};

extern OURS _Thread_local struct ctx_here ctx_here_cache __attribute__((tls_model("initial-exec")));
extern OURS _Atomic uint64_t ctx_epoch;

const struct ctx_here *ctx_here_refresh(void);

/* What threads remember of contexts, streams and current pools is asked anew. */
void ctx_forget(void);

/* Never NULL; valid until the thread's next driver call. */
static inline const struct ctx_here *ctx_here(void)
{
    if (likely(ctx_here_cache.epoch == atomic_load_explicit(&ctx_epoch, memory_order_relaxed)))
        return &ctx_here_cache;
    return ctx_here_refresh();
}

/* The device a stream belongs to: region index, and its CUDA ordinal. */
struct ctx_here ctx_of_stream(CUstream stream, bool per_thread);

/* A handle stays one from cuCtxCreate or cuDevicePrimaryCtxRetain until its
 * end; how many this process has on device d. */
uint32_t ctx_count(unsigned d);

void ctx_after_fork(void);

#endif
