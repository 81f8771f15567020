/* SPDX-License-Identifier: Apache-2.0
 *
 * Wrappers of the entries that create, destroy and switch contexts.
 *
 * Invariants:
 *   1. contexts holds every context of this process that we have seen, each
 *      with its device; counts[d] is their number on device d plus creations
 *      in progress.
 *   2. While counts[d] is not 0 the process is charged once for what the
 *      driver takes for its presence on device d (mem_overhead.h). When it
 *      returns to 0 the driver has freed everything the process had there.
 *   3. A thread's remembered context is dropped by every call here that can
 *      change it, and everybody's when a context ends.
 */
#include "preload/ctx.h"

#include "preload/compute.h"
#include "preload/identity.h"
#include "preload/mem_engine.h"
#include "preload/mem_overhead.h"

enum ctx_kind {
    CTX_OWN = 1, /* counts: created, primary, green or met as somebody's current context */
    CTX_ALIAS,   /* the CUcontext of a green context; owner = the green context */
};

_Thread_local struct ctx_here ctx_here_cache __attribute__((tls_model("initial-exec")));
_Atomic uint64_t ctx_epoch = 1;

static struct mem_table contexts;
static _Atomic uint32_t counts[REGION_DEVICES];
static _Atomic(CUcontext) primaries[REGION_DEVICES];

uint32_t ctx_count(unsigned d)
{
    return atomic_load_explicit(&counts[d], memory_order_relaxed);
}

static void here_forget(void)
{
    ctx_here_cache.epoch = 0;
    compute_context_switched();
}

void ctx_forget(void)
{
    atomic_fetch_add_explicit(&ctx_epoch, 1, memory_order_release);
}

static void count_drop(unsigned d, bool has_ended)
{
    if (atomic_fetch_sub(&counts[d], 1) == 1) {
        mem_device_gone(d);
        overhead_end(d);
    } else if (has_ended) {
        overhead_changed(d);
    }
}

/* ---- creation ---- */

struct admission {
    int device; /* -1: nothing to account */
    CUdevice ordinal;
    bool first;
    uint64_t reserved; /* for one that is not the first, until it is measured */
    struct identity_look look;
};

/* Counts a context that is about to be created, and reserves what it takes: the
 * process's first one, and each that will be `another` for sure. */
static CUresult admit(struct admission *a, CUdevice ordinal, bool another)
{
    CUresult r = mem_enter();

    a->device = -1;
    a->ordinal = ordinal;
    a->first = false;
    a->reserved = 0;
    if (r != CUDA_SUCCESS)
        return r == MEM_PASS ? CUDA_SUCCESS : r;
    a->device = slice_device_of(ordinal);
    if (a->device < 0)
        return CUDA_SUCCESS;
    a->first = atomic_fetch_add(&counts[a->device], 1) == 0;
    if (a->first)
        r = overhead_begin((unsigned)a->device);
    else if (another)
        r = overhead_another((unsigned)a->device, &a->reserved);
    if (r != CUDA_SUCCESS)
        atomic_fetch_sub(&counts[a->device], 1);
    else if (a->first)
        identity_before_context(&a->look, (unsigned)a->device);
    return r;
}

static bool add(uint64_t handle, int device, CUdevice ordinal)
{
    struct mem_entry e = {
        .key = handle, .device = (uint16_t)device, .kind = CTX_OWN, .extra = (uint32_t)ordinal};
    struct mem_entry old = {0};

    return mem_table_put(&contexts, &e, &old) && !old.key;
}

/* The count of the admission becomes that of the context, unless it was
 * known. `ctx` may be NULL for a green context, which has none yet. */
static CUresult created(const struct admission *a, CUresult r, uint64_t handle, CUcontext ctx)
{
    here_forget();
    if (a->device < 0)
        return r;
    mem_release((unsigned)a->device, a->reserved);
    if (r != CUDA_SUCCESS || !add(handle, a->device, a->ordinal)) {
        count_drop((unsigned)a->device, false);
        return r;
    }
    if (a->first) {
        identity_after_context(&a->look, (unsigned)a->device);
        overhead_measure((unsigned)a->device, ctx);
    } else {
        overhead_changed((unsigned)a->device);
    }
    return r;
}

#define CREATE(ret, dev, call)                                                                               \
    struct admission a;                                                                                      \
    CUresult r = admit(&a, (dev), true);                                                                     \
    if (r != CUDA_SUCCESS)                                                                                   \
        return r;                                                                                            \
    r = (call);                                                                                              \
    return created(&a, r, r == CUDA_SUCCESS ? (uint64_t)(uintptr_t) * (ret) : 0,                             \
                   r == CUDA_SUCCESS ? *(ret) : NULL)

HOOK CUresult cuCtxCreate(CUcontext *ret, unsigned int flags, CUdevice dev)
{
    CREATE(ret, dev, real.cuCtxCreate(ret, flags, dev));
}

HOOK CUresult cuCtxCreate_v2(CUcontext *ret, unsigned int flags, CUdevice dev)
{
    CREATE(ret, dev, real.cuCtxCreate_v2(ret, flags, dev));
}

HOOK CUresult cuCtxCreate_v3(CUcontext *ret, CUexecAffinityParam *params, int n, unsigned int flags,
                             CUdevice dev)
{
    CREATE(ret, dev, real.cuCtxCreate_v3(ret, params, n, flags, dev));
}

HOOK CUresult cuCtxCreate_v4(CUcontext *ret, CUctxCreateParams *params, unsigned int flags, CUdevice dev)
{
    CREATE(ret, dev, real.cuCtxCreate_v4(ret, params, flags, dev));
}

HOOK CUresult cuGLCtxCreate(CUcontext *ret, unsigned int flags, CUdevice dev)
{
    CREATE(ret, dev, real.cuGLCtxCreate(ret, flags, dev));
}

HOOK CUresult cuGLCtxCreate_v2(CUcontext *ret, unsigned int flags, CUdevice dev)
{
    CREATE(ret, dev, real.cuGLCtxCreate_v2(ret, flags, dev));
}

HOOK CUresult cuVDPAUCtxCreate(CUcontext *ret, unsigned int flags, CUdevice dev, VdpDevice vdp,
                               VdpGetProcAddress *get)
{
    CREATE(ret, dev, real.cuVDPAUCtxCreate(ret, flags, dev, vdp, get));
}

HOOK CUresult cuVDPAUCtxCreate_v2(CUcontext *ret, unsigned int flags, CUdevice dev, VdpDevice vdp,
                                  VdpGetProcAddress *get)
{
    CREATE(ret, dev, real.cuVDPAUCtxCreate_v2(ret, flags, dev, vdp, get));
}

/* ---- the end of a context ---- */

static bool is_alias_of(struct mem_entry *e, void *green)
{
    return e->kind == CTX_ALIAS && e->owner == green;
}

static CUresult ended(const struct mem_entry *e, bool known, CUresult r)
{
    here_forget();
    if (!known)
        return r;
    if (r != CUDA_SUCCESS) {
        mem_table_put(&contexts, e, NULL);
        return r;
    }
    ctx_forget();
    mem_context_gone((CUcontext)(uintptr_t)e->key);
    count_drop(e->device, true);
    return r;
}

HOOK CUresult cuCtxDestroy(CUcontext ctx)
{
    struct mem_entry e;
    bool known = mem_table_take(&contexts, (uintptr_t)ctx, &e);

    compute_context_ending(ctx);
    return ended(&e, known, real.cuCtxDestroy(ctx));
}

HOOK CUresult cuCtxDestroy_v2(CUcontext ctx)
{
    struct mem_entry e;
    bool known = mem_table_take(&contexts, (uintptr_t)ctx, &e);

    compute_context_ending(ctx);
    return ended(&e, known, real.cuCtxDestroy_v2(ctx));
}

/* One more holder of a context, or one less: bytes counts the extra ones. */
static void holders_add(CUcontext ctx, int64_t n)
{
    struct mem_entry e;

    if (mem_table_take(&contexts, (uintptr_t)ctx, &e)) {
        e.bytes = (uint64_t)((int64_t)e.bytes + n);
        mem_table_put(&contexts, &e, NULL);
    }
}

HOOK CUresult cuCtxAttach(CUcontext *ret, unsigned int flags)
{
    CUresult r = real.cuCtxAttach(ret, flags);

    if (r == CUDA_SUCCESS)
        holders_add(*ret, 1);
    return r;
}

HOOK CUresult cuCtxDetach(CUcontext ctx)
{
    struct mem_entry e;
    CUresult r;

    if (mem_table_get(&contexts, (uintptr_t)ctx, &e) && e.bytes > 0) {
        r = real.cuCtxDetach(ctx);
        if (r == CUDA_SUCCESS)
            holders_add(ctx, -1);
        return r;
    }
    bool known = mem_table_take(&contexts, (uintptr_t)ctx, &e);
    compute_context_ending(ctx);
    return ended(&e, known, real.cuCtxDetach(ctx));
}

/* ---- the primary context ---- */

HOOK CUresult cuDevicePrimaryCtxRetain(CUcontext *ret, CUdevice dev)
{
    struct admission a;
    CUresult r = admit(&a, dev, false);

    if (r != CUDA_SUCCESS)
        return r;
    r = real.cuDevicePrimaryCtxRetain(ret, dev);
    if (r == CUDA_SUCCESS && a.device >= 0)
        atomic_store(&primaries[a.device], *ret);
    return created(&a, r, r == CUDA_SUCCESS ? (uint64_t)(uintptr_t)*ret : 0, r == CUDA_SUCCESS ? *ret : NULL);
}

/* After a release or a reset: the driver says whether the context lives on. A
 * reset frees its memory in any case. */
static CUresult primary_left(CUresult r, CUdevice dev, bool reset)
{
    unsigned int flags;
    int active = 0;
    int device;
    struct mem_entry e;
    CUcontext ctx;

    if (r != CUDA_SUCCESS || !mem_active() || (device = slice_device_of(dev)) < 0)
        return r;
    here_forget();
    ctx = atomic_load(&primaries[device]);
    if (!ctx)
        return r;
    if (real.cuDevicePrimaryCtxGetState(dev, &flags, &active) != CUDA_SUCCESS)
        active = 0;
    if (reset || !active) {
        ctx_forget();
        mem_context_gone(ctx);
    }
    if (!active && mem_table_take(&contexts, (uintptr_t)ctx, &e))
        count_drop((unsigned)device, true);
    return r;
}

/* Measurements are made anew should the context live on. */
static void primary_leaving(CUdevice dev)
{
    int device = mem_active() ? slice_device_of(dev) : -1;

    if (device >= 0 && atomic_load(&primaries[device]))
        compute_context_ending(atomic_load(&primaries[device]));
}

HOOK CUresult cuDevicePrimaryCtxRelease(CUdevice dev)
{
    primary_leaving(dev);
    return primary_left(real.cuDevicePrimaryCtxRelease(dev), dev, false);
}

HOOK CUresult cuDevicePrimaryCtxRelease_v2(CUdevice dev)
{
    primary_leaving(dev);
    return primary_left(real.cuDevicePrimaryCtxRelease_v2(dev), dev, false);
}

HOOK CUresult cuDevicePrimaryCtxReset(CUdevice dev)
{
    primary_leaving(dev);
    return primary_left(real.cuDevicePrimaryCtxReset(dev), dev, true);
}

HOOK CUresult cuDevicePrimaryCtxReset_v2(CUdevice dev)
{
    primary_leaving(dev);
    return primary_left(real.cuDevicePrimaryCtxReset_v2(dev), dev, true);
}

/* ---- green contexts: a share of the primary context's processors. Memory
 * allocated through one belongs to the device and outlives it. ---- */

HOOK CUresult cuGreenCtxCreate(CUgreenCtx *ret, CUdevResourceDesc desc, CUdevice dev, unsigned int flags)
{
    struct admission a;
    CUresult r = admit(&a, dev, false);

    if (r != CUDA_SUCCESS)
        return r;
    r = real.cuGreenCtxCreate(ret, desc, dev, flags);
    return created(&a, r, r == CUDA_SUCCESS ? (uint64_t)(uintptr_t)*ret : 0, NULL);
}

HOOK CUresult cuGreenCtxDestroy(CUgreenCtx green)
{
    struct mem_entry e;
    bool known = mem_table_take(&contexts, (uintptr_t)green, &e);
    CUresult r = real.cuGreenCtxDestroy(green);

    if (r == CUDA_SUCCESS)
        mem_table_sweep(&contexts, is_alias_of, green);
    return ended(&e, known, r);
}

HOOK CUresult cuCtxFromGreenCtx(CUcontext *ret, CUgreenCtx green)
{
    CUresult r = real.cuCtxFromGreenCtx(ret, green);
    struct mem_entry e;

    if (r == CUDA_SUCCESS && mem_table_get(&contexts, (uintptr_t)green, &e)) {
        e.key = (uintptr_t)*ret;
        e.kind = CTX_ALIAS;
        e.owner = green;
        mem_table_put(&contexts, &e, NULL);
    }
    return r;
}

/* ---- switching ---- */

HOOK CUresult cuCtxSetCurrent(CUcontext ctx)
{
    here_forget();
    return real.cuCtxSetCurrent(ctx);
}

HOOK CUresult cuCtxPushCurrent(CUcontext ctx)
{
    here_forget();
    return real.cuCtxPushCurrent(ctx);
}

HOOK CUresult cuCtxPushCurrent_v2(CUcontext ctx)
{
    here_forget();
    return real.cuCtxPushCurrent_v2(ctx);
}

HOOK CUresult cuCtxPopCurrent(CUcontext *ret)
{
    here_forget();
    return real.cuCtxPopCurrent(ret);
}

HOOK CUresult cuCtxPopCurrent_v2(CUcontext *ret)
{
    here_forget();
    return real.cuCtxPopCurrent_v2(ret);
}

/* ---- the calling thread ---- */

/* A context made by means that pass us by is charged when it is first used. */
static void adopt(const struct ctx_here *h)
{
    if (atomic_fetch_add(&counts[h->device], 1) == 0) {
        overhead_begin_forced((unsigned)h->device);
        overhead_measure((unsigned)h->device, h->ctx);
    }
    if (!add((uintptr_t)h->ctx, h->device, h->ordinal))
        count_drop((unsigned)h->device, false);
}

const struct ctx_here *ctx_here_refresh(void)
{
    struct ctx_here *h = &ctx_here_cache;
    uint64_t epoch = atomic_load_explicit(&ctx_epoch, memory_order_acquire); /* before the driver is asked */
    struct mem_entry e;

    *h = (struct ctx_here){.device = -1};
    if (!mem_active() || real.cuCtxGetCurrent(&h->ctx) != CUDA_SUCCESS || !h->ctx ||
        real.cuCtxGetDevice(&h->ordinal) != CUDA_SUCCESS)
        return h;
    h->device = slice_device_of(h->ordinal);
    if (h->device >= 0 && !mem_table_get(&contexts, (uintptr_t)h->ctx, &e))
        adopt(h);
    h->epoch = epoch;
    return h;
}

#define STREAM_LEGACY ((uintptr_t)1)
#define STREAM_PER_THREAD ((uintptr_t)2)

struct ctx_here ctx_of_stream(CUstream stream, bool per_thread)
{
    struct ctx_here h = *ctx_here();
    struct mem_entry e;
    CUcontext ctx = NULL;
    CUresult r;

    if ((uintptr_t)stream <= STREAM_PER_THREAD)
        return h;
    r = per_thread ? real.cuStreamGetCtx_ptsz(stream, &ctx) : real.cuStreamGetCtx(stream, &ctx);
    if (r == CUDA_SUCCESS && ctx != h.ctx && mem_table_get(&contexts, (uintptr_t)ctx, &e)) {
        h.ctx = ctx;
        h.device = e.device;
        h.ordinal = (CUdevice)e.extra;
    }
    return h;
}

void ctx_after_fork(void)
{
    mem_table_forget(&contexts);
    for (unsigned d = 0; d < REGION_DEVICES; d++) {
        atomic_store(&counts[d], 0);
        atomic_store(&primaries[d], NULL);
    }
    here_forget();
    ctx_forget();
}
