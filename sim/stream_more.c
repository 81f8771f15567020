/* SPDX-License-Identifier: Apache-2.0
 *
 * Properties of streams.
 */
#include <string.h>

#include "abi/cuda_api.h"
#include "objects.h"

/* Both forms of an entry that looks at one property of a stream. */
#define LOOK(entry, type, what)                                                                              \
    static CUresult look_##entry(CUstream handle, type *ret, bool per_thread)                                \
    {                                                                                                        \
        struct sim_stream *s;                                                                                \
        CUresult r = sim_stream_resolve(handle, per_thread, &s);                                             \
        if (r == CUDA_SUCCESS && ret == NULL)                                                                \
            r = CUDA_ERROR_INVALID_VALUE;                                                                    \
        if (r == CUDA_SUCCESS)                                                                               \
            *ret = (what);                                                                                   \
        return r;                                                                                            \
    }                                                                                                        \
    CUresult entry(CUstream handle, type *ret)                                                               \
    {                                                                                                        \
        return look_##entry(handle, ret, false);                                                             \
    }                                                                                                        \
    CUresult entry##_ptsz(CUstream handle, type *ret)                                                        \
    {                                                                                                        \
        return look_##entry(handle, ret, true);                                                              \
    }

LOOK(cuStreamGetPriority, int, s->priority)
LOOK(cuStreamGetFlags, unsigned int, s->flags)
LOOK(cuStreamGetId, unsigned long long, s->id)
LOOK(cuStreamGetDevice, CUdevice, s->ctx->ordinal)
LOOK(cuStreamGetCtx, CUcontext, (CUcontext)s->ctx)

static CUresult get_contexts(CUstream handle, CUcontext *ctx, CUgreenCtx *green, bool per_thread)
{
    struct sim_stream *s;
    CUresult r = sim_stream_resolve(handle, per_thread, &s);
    if (r != CUDA_SUCCESS)
        return r;
    if (ctx != NULL)
        *ctx = s->ctx->green ? NULL : (CUcontext)s->ctx;
    if (green != NULL)
        *green = s->ctx->green ? (CUgreenCtx)s->ctx : NULL;
    return CUDA_SUCCESS;
}

CUresult cuStreamGetCtx_v2(CUstream handle, CUcontext *ctx, CUgreenCtx *green)
{
    return get_contexts(handle, ctx, green, false);
}

CUresult cuStreamGetCtx_v2_ptsz(CUstream handle, CUcontext *ctx, CUgreenCtx *green)
{
    return get_contexts(handle, ctx, green, true);
}

CUresult cuStreamGetGreenCtx(CUstream handle, CUgreenCtx *green)
{
    return green == NULL ? CUDA_ERROR_INVALID_VALUE : get_contexts(handle, NULL, green, false);
}

/* ---- attributes ---- */

static CUresult attribute(CUstream handle, CUstreamAttrID id, bool per_thread, struct sim_stream **ret)
{
    if (id < 0 || id >= CU_LAUNCH_ATTRIBUTE_MAX)
        return CUDA_ERROR_INVALID_VALUE;
    return sim_stream_resolve(handle, per_thread, ret);
}

static CUresult get_attribute(CUstream handle, CUstreamAttrID id, CUstreamAttrValue *ret, bool per_thread)
{
    struct sim_stream *s;
    CUresult r = ret == NULL ? CUDA_ERROR_INVALID_VALUE : attribute(handle, id, per_thread, &s);
    if (r != CUDA_SUCCESS)
        return r;
    *ret = s->attributes[id];
    if (id == CU_LAUNCH_ATTRIBUTE_PRIORITY)
        ret->priority = s->priority;
    return CUDA_SUCCESS;
}

static CUresult set_attribute(CUstream handle, CUstreamAttrID id, const CUstreamAttrValue *value,
                              bool per_thread)
{
    struct sim_stream *s;
    CUresult r = value == NULL ? CUDA_ERROR_INVALID_VALUE : attribute(handle, id, per_thread, &s);
    if (r != CUDA_SUCCESS)
        return r;
    s->attributes[id] = *value;
    if (id == CU_LAUNCH_ATTRIBUTE_PRIORITY)
        s->priority = value->priority;
    return CUDA_SUCCESS;
}

CUresult cuStreamGetAttribute(CUstream s, CUstreamAttrID id, CUstreamAttrValue *ret)
{
    return get_attribute(s, id, ret, false);
}

CUresult cuStreamGetAttribute_ptsz(CUstream s, CUstreamAttrID id, CUstreamAttrValue *ret)
{
    return get_attribute(s, id, ret, true);
}

CUresult cuStreamSetAttribute(CUstream s, CUstreamAttrID id, const CUstreamAttrValue *value)
{
    return set_attribute(s, id, value, false);
}

CUresult cuStreamSetAttribute_ptsz(CUstream s, CUstreamAttrID id, const CUstreamAttrValue *value)
{
    return set_attribute(s, id, value, true);
}

static CUresult copy_attributes(CUstream to, CUstream from, bool per_thread)
{
    struct sim_stream *a, *b;
    CUresult r = sim_stream_resolve(to, per_thread, &a);
    if (r == CUDA_SUCCESS)
        r = sim_stream_resolve(from, per_thread, &b);
    if (r == CUDA_SUCCESS)
        memcpy(a->attributes, b->attributes, sizeof(a->attributes));
    return r;
}

CUresult cuStreamCopyAttributes(CUstream to, CUstream from)
{
    return copy_attributes(to, from, false);
}

CUresult cuStreamCopyAttributes_ptsz(CUstream to, CUstream from)
{
    return copy_attributes(to, from, true);
}
