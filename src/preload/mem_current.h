/* SPDX-License-Identifier: Apache-2.0
 *
 * The pool that cuMemAllocAsync takes from: the current one of the stream's
 * device. Two questions to the driver, whose answers each thread remembers for
 * the streams it last used.
 *
 * Invariant: an answer is used only while ctx_epoch and the thread's context are
 * what they were before the driver was asked. ctx_epoch moves on after every
 * call that can change an answer: the end of a context, of a stream (its handle
 * may be given to another) or of a pool, and a change of a current pool.
 */
#ifndef HAMI_PRELOAD_MEM_CURRENT_H
#define HAMI_PRELOAD_MEM_CURRENT_H

#include <stdbool.h>
#include <stdint.h>

#include "preload/ctx.h"
#include "preload/mem_pool.h"

#define MEM_CURRENT_STREAMS 4 /* a power of two */

/* Place of a stream in the thread's memory: handles are addresses. */
static inline unsigned mem_current_place(CUstream stream)
{
    uint64_t h = (uint64_t)(uintptr_t)stream * UINT64_C(0x9E3779B97F4A7C15);

    return (unsigned)(h >> 62);
}
_Static_assert(MEM_CURRENT_STREAMS == 1 << 2, "two bits");

struct mem_current {
    CUstream stream;
    CUcontext ctx;  /* the thread's, not the stream's */
    uint64_t epoch; /* 0 = nothing is remembered here */
    struct mem_pool *pool;
};

extern OURS _Thread_local struct mem_current mem_current[MEM_CURRENT_STREAMS]
    __attribute__((tls_model("initial-exec")));

struct mem_pool *mem_current_ask(CUstream stream, bool per_thread);

/* NULL: none, or not of this slice. Entries that mean different things by the
 * same handle mean streams of the same context. */
static inline struct mem_pool *mem_current_pool(CUstream stream, bool per_thread)
{
    const struct mem_current *c = &mem_current[mem_current_place(stream)];

    if (likely(c->stream == stream && c->ctx == ctx_here_cache.ctx &&
               c->epoch == atomic_load_explicit(&ctx_epoch, memory_order_relaxed) &&
               ctx_here_cache.epoch == c->epoch))
        return c->pool;
    return mem_current_ask(stream, per_thread);
}

#endif
