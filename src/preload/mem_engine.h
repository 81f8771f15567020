/* SPDX-License-Identifier: Apache-2.0
 *
 * Reserve, call the driver, commit or cancel: the steps every allocating
 * wrapper is made of, and the table of what this process holds.
 *
 * Invariants:
 *   1. Bytes are reserved before the driver is asked and given back when it
 *      refuses; bytes are released only after the driver has freed them.
 *   2. A refusal is CUDA_ERROR_OUT_OF_MEMORY and touches no output.
 *   3. An entry leaves the table before the driver is asked to free it, and
 *      returns when the driver refuses: another thread may be given the same
 *      address before the call that freed it has come back to us.
 *   4. No lock is held across a driver call.
 */
#ifndef HAMI_PRELOAD_MEM_ENGINE_H
#define HAMI_PRELOAD_MEM_ENGINE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "abi/cuda.h"
#include "preload/compute.h"
#include "preload/ctx.h"
#include "preload/hook.h"
#include "preload/mem_table.h"
#include "preload/real.h"
#include "preload/slice.h"
#include "region/ledger.h"

/* Not a driver result: the call is none of ours, hand it to the driver. */
#define MEM_PASS ((CUresult)-1)

/* Larger sizes are refused before any arithmetic could wrap. */
#define MEM_BYTES_MAX (UINT64_C(1) << 56)

enum mem_kind {
    MEM_PLAIN = 1, /* cuMemAlloc, pitch, managed; owner = context */
    MEM_ASYNC,     /* stream-ordered; owner = struct mem_pool, bytes live there */
    MEM_ARRAY,     /* arrays and mipmaps; owner = context */
};

enum mem_flag {
    MEM_SPILLED = 1, /* asked for as device memory, lives in managed memory */
};

/* Two key spaces: device addresses, and array handles (host addresses). */
extern OURS struct mem_table mem_pointers;
extern OURS struct mem_table mem_arrays;

CUresult mem_reserve_slow(unsigned d, uint64_t n);

/* Counts a refusal of n bytes and logs it, at most once a second. */
void mem_refused(unsigned d, uint64_t n);

/* Takes n bytes of device d or answers CUDA_ERROR_OUT_OF_MEMORY. */
static inline CUresult mem_reserve(unsigned d, uint64_t n)
{
    if (likely(n <= MEM_BYTES_MAX) &&
        likely(ledger_reserve(&slice.region, slice.slot, d, n, slice_mem_limit(d))))
        return CUDA_SUCCESS;
    return mem_reserve_slow(d, n);
}

/* As mem_reserve for a second try that must not log or search again. */
static inline bool mem_reserve_quietly(unsigned d, uint64_t n)
{
    return n <= MEM_BYTES_MAX && ledger_reserve(&slice.region, slice.slot, d, n, slice_mem_limit(d));
}

static inline void mem_release(unsigned d, uint64_t n)
{
    if (n)
        ledger_release(&slice.region, slice.slot, d, n);
}

static inline void mem_charge(unsigned d, uint64_t n)
{
    if (n)
        ledger_charge(&slice.region, slice.slot, d, n);
}

/* Whether the slice enforces anything in this process: CUDA_SUCCESS = yes,
 * MEM_PASS = no, CUDA_ERROR_OUT_OF_MEMORY = nothing may be taken. */
static inline CUresult mem_enter(void)
{
    uint32_t state = atomic_load_explicit(&slice.state, memory_order_acquire);

    if (unlikely(state != SLICE_ON)) {
        state = (uint32_t)slice_attach();
        if (state != SLICE_ON)
            return state == SLICE_REFUSED ? CUDA_ERROR_OUT_OF_MEMORY : MEM_PASS;
    }
    return CUDA_SUCCESS;
}

/* The driver rounds a small size up to 512 bytes and a large one to 2 MiB. The
 * difference is charged when the driver's account of the process is measured;
 * a program that makes much of it gets that measured soon, and at once where
 * the slice could pass its limit by it. */
void mem_rounding_grew(unsigned d);
extern OURS _Atomic uint64_t mem_rounding;

/* `more` bytes the driver takes on top of n that it was asked for. */
static inline void mem_note_rounding(unsigned d, uint64_t n, uint64_t more)
{
    uint64_t rest = (0 - n - more) & (n + more < (UINT64_C(1) << 20) ? 511 : (UINT64_C(2) << 20) - 1);
    uint64_t sum;

    rest += more;
    if (likely(!rest))
        return;
    sum = atomic_load_explicit(&mem_rounding, memory_order_relaxed) + rest;
    atomic_store_explicit(&mem_rounding, sum, memory_order_relaxed); /* a lost addition does not matter */
    if (unlikely(sum >> 23))
        mem_rounding_grew(d);
}

/* For calls that give back or look: they never wait and never refuse. */
static inline bool mem_active(void)
{
    return likely(atomic_load_explicit(&slice.state, memory_order_acquire) == SLICE_ON);
}

/* mem_enter, the gate and the current device. */
static inline CUresult mem_enter_here(const struct ctx_here **ret)
{
    CUresult r = mem_enter();

    if (unlikely(r != CUDA_SUCCESS))
        return r;
    if (unlikely(!slice_is_open()))
        slice_gate();
    *ret = ctx_here();
    return likely((*ret)->device >= 0) ? CUDA_SUCCESS : MEM_PASS;
}

#pragma weak compute_capturing

/* A unit test of this engine has no compute engine beside it. */
static inline bool mem_capturing(void)
{
    return compute_capturing && compute_capturing();
}

/* Driver calls of our own while the application captures a stream. */
static inline CUstreamCaptureMode mem_quiet_begin(void)
{
    CUstreamCaptureMode mode = CU_STREAM_CAPTURE_MODE_RELAXED;

    if (unlikely(mem_capturing()))
        real.cuThreadExchangeStreamCaptureMode(&mode);
    else
        mode = (CUstreamCaptureMode)-1;
    return mode;
}

static inline void mem_quiet_end(CUstreamCaptureMode mode)
{
    if (unlikely(mode != (CUstreamCaptureMode)-1))
        real.cuThreadExchangeStreamCaptureMode(&mode);
}

/* The steps of a free, for a key the driver frees with `call`. */
#define MEM_FREE(table, address, call)                                                                       \
    __extension__({                                                                                          \
        struct mem_entry entry_;                                                                             \
        bool found_ = mem_table_take((table), (address), &entry_);                                           \
        CUresult result_ = (call);                                                                           \
        if (likely(found_))                                                                                  \
            mem_freed((table), &entry_, result_);                                                            \
        result_;                                                                                             \
    })

void mem_freed_other(struct mem_table *t, const struct mem_entry *e, CUresult r);

/* Records an allocation. On failure the caller frees what the driver gave. */
static inline bool mem_record(struct mem_table *t, const struct mem_entry *e)
{
    struct mem_entry old;

    if (unlikely(!mem_table_add(t, e->key, e->bytes, e->owner, e->meta, &old)))
        return false;
    if (unlikely(old.key)) /* freed behind our back: the driver would not give it twice */
        mem_freed_other(t, &old, CUDA_SUCCESS);
    return true;
}

static inline void mem_freed(struct mem_table *t, const struct mem_entry *e, CUresult r)
{
    if (likely(r == CUDA_SUCCESS && e->kind == MEM_PLAIN && !e->flags))
        ledger_release(&slice.region, slice.slot, e->device, e->bytes);
    else
        mem_freed_other(t, e, r);
}

/* The driver freed everything that belonged to ctx; or, the process having no
 * context left on device d, everything there. */
void mem_context_gone(CUcontext ctx);
void mem_device_gone(unsigned d);

void mem_engine_after_fork(void);

/* What is outstanding: the lowest bit says that something was touched since it
 * was last looked at, the rest counts those who are looking. A look that began
 * before a thread had waited for something is too old for that thread, so it
 * does not pass while another's is under way. */
#define MEM_TOUCHED 1u
#define MEM_LOOKING 2u

/* Anything that memory_settle() would look at. */
extern OURS _Atomic uint32_t mem_unsettled;

/* A look begins: whatever is touched from now on is for a later one. Read-modify-
 * write, not a store: a store may take effect behind the look, and undo the touch
 * of what it came too early to see. */
static inline void mem_look_begin(_Atomic uint32_t *word)
{
    atomic_fetch_add_explicit(word, MEM_LOOKING, memory_order_relaxed);
    atomic_fetch_and_explicit(word, ~MEM_TOUCHED, memory_order_acquire);
}

static inline void mem_look_end(_Atomic uint32_t *word)
{
    atomic_fetch_sub_explicit(word, MEM_LOOKING, memory_order_release);
}

#endif
