/* SPDX-License-Identifier: Apache-2.0
 *
 * Events that several processes record and wait for. What an event stands for
 * is a place in the queues of the machine, which all processes share; the page
 * behind a shared event holds that place.
 */
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "abi/cuda_api.h"
#include "mem_share.h"
#include "objects.h"

#define PLACE_OFFSET 1024
#define TRIES 1000 /* a writer that was killed must not stop the readers */

/* Behind the description of the page; written under a count that is odd while
 * it changes. */
struct shared_place {
    _Atomic uint32_t changes;
    uint32_t recorded;
    struct sim_fence fence;
};
_Static_assert(PLACE_OFFSET + sizeof(struct shared_place) <= SIM_SHARE_PAGE, "one page holds both");
_Static_assert(sizeof(struct sim_share) <= PLACE_OFFSET, "the description comes first");

static struct shared_place *place_of(const struct sim_event *e)
{
    return (struct shared_place *)(void *)((char *)e->shared->share + PLACE_OFFSET);
}

void sim_event_publish(const struct sim_event *e)
{
    struct shared_place *p = place_of(e);
    uint32_t changes = atomic_load_explicit(&p->changes, memory_order_relaxed) | 1U;
    atomic_store_explicit(&p->changes, changes, memory_order_release);
    atomic_thread_fence(memory_order_release);
    p->fence = e->fence;
    p->recorded = e->recorded;
    atomic_store_explicit(&p->changes, changes + 1, memory_order_release);
}

void sim_event_refresh(struct sim_event *e)
{
    const struct shared_place *p = place_of(e);
    for (unsigned i = 0; i < TRIES; i++) {
        uint32_t before = atomic_load_explicit(&p->changes, memory_order_acquire);
        struct sim_fence fence = p->fence;
        bool recorded = p->recorded != 0;
        atomic_thread_fence(memory_order_acquire);
        if ((before & 1U) || before != atomic_load_explicit(&p->changes, memory_order_relaxed))
            continue;
        e->fence = fence;
        e->recorded = recorded;
        return;
    }
}

void sim_event_unshare(struct sim_event *e)
{
    sim_bytes_free(e->shared);
    e->shared = NULL;
}

static bool share(struct sim_event *e)
{
    struct sim_share what = {.kind = SIM_SHARE_EVENT, .machine = e->ctx->device};
    if (e->shared)
        return true;
    struct sim_bytes *bytes = sim_bytes_new(SIM_SHARE_PAGE, false);
    if (!bytes || !sim_bytes_share(bytes, &what, 0)) {
        if (bytes)
            sim_bytes_free(bytes);
        return false;
    }
    e->shared = bytes;
    sim_event_publish(e);
    return true;
}

CUresult cuIpcGetEventHandle(CUipcEventHandle *ret, CUevent handle)
{
    struct sim_event *e = (struct sim_event *)handle;
    struct sim_share_token token;
    if (!sim_initialized())
        return CUDA_ERROR_NOT_INITIALIZED;
    if (!sim_object_is(e, SIM_TAG_EVENT) || !(e->flags & CU_EVENT_INTERPROCESS))
        return CUDA_ERROR_INVALID_HANDLE;
    if (!ret)
        return CUDA_ERROR_INVALID_VALUE;
    pthread_mutex_lock(&sim_driver_lock);
    bool ok = share(e) && sim_share_token_of(e->shared, SIM_SHARE_EVENT, &token);
    pthread_mutex_unlock(&sim_driver_lock);
    if (!ok)
        return CUDA_ERROR_OUT_OF_MEMORY;
    memset(ret, 0, sizeof *ret);
    memcpy(ret, &token, sizeof token);
    return CUDA_SUCCESS;
}

CUresult cuIpcOpenEventHandle(CUevent *ret, CUipcEventHandle handle)
{
    struct sim_context *ctx;
    struct sim_share_token token;
    CUresult rc = sim_current(&ctx);
    if (rc != CUDA_SUCCESS)
        return rc;
    if (!ret)
        return CUDA_ERROR_INVALID_VALUE;
    memcpy(&token, &handle, sizeof token);
    if (token.magic != SIM_SHARE_MAGIC || token.kind != SIM_SHARE_EVENT)
        return CUDA_ERROR_INVALID_HANDLE;
    if (token.pid == (int32_t)getpid())
        return CUDA_ERROR_INVALID_CONTEXT; /* not in the process that made it */
    struct sim_bytes *bytes = sim_share_fetch(&token);
    if (!bytes)
        return CUDA_ERROR_MAP_FAILED;
    struct sim_event *e = sim_object_new(SIM_TAG_EVENT, sizeof *e);
    if (!e) {
        sim_bytes_free(bytes);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    e->ctx = ctx;
    e->flags = CU_EVENT_INTERPROCESS | CU_EVENT_DISABLE_TIMING;
    e->shared = bytes;
    *ret = (CUevent)e;
    return CUDA_SUCCESS;
}
