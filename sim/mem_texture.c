/* SPDX-License-Identifier: Apache-2.0
 *
 * Texture and surface objects: checked descriptions of memory. No kernel reads
 * through them here; what they describe must exist.
 */
#include "abi/cuda_api.h"
#include "mem_array.h"
#include "objects.h"

#define PITCH_ALIGN 32U
#define LINEAR_MAX (1ULL << 27) /* texels of a linear texture */

struct texture {
    uint32_t tag; /* SIM_TAG_TEXTURE or SIM_TAG_SURFACE */
    bool has_view;
    CUDA_RESOURCE_DESC resource;
    CUDA_TEXTURE_DESC sampling;
    CUDA_RESOURCE_VIEW_DESC view;
};

static unsigned texel_bytes(CUarray_format format, unsigned channels)
{
    const struct sim_format *f = sim_format_of(format);
    return f && f->planes == 1 ? sim_element_bytes(f, channels) : 0;
}

static CUresult check_resource(const CUDA_RESOURCE_DESC *d)
{
    struct sim_range r;
    uint64_t bytes;
    unsigned texel;
    if (!d || d->flags)
        return CUDA_ERROR_INVALID_VALUE;
    switch (d->resType) {
    case CU_RESOURCE_TYPE_ARRAY:
        return sim_array_of(d->res.array.hArray) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
    case CU_RESOURCE_TYPE_MIPMAPPED_ARRAY:
        return sim_mipmap_of(d->res.mipmap.hMipmappedArray) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
    case CU_RESOURCE_TYPE_LINEAR:
        texel = texel_bytes(d->res.linear.format, d->res.linear.numChannels);
        bytes = d->res.linear.sizeInBytes;
        if (!texel || !bytes || bytes / texel > LINEAR_MAX)
            return CUDA_ERROR_INVALID_VALUE;
        return sim_range_check(d->res.linear.devPtr, bytes, false, &r);
    case CU_RESOURCE_TYPE_PITCH2D:
        texel = texel_bytes(d->res.pitch2D.format, d->res.pitch2D.numChannels);
        if (!texel || !d->res.pitch2D.width || !d->res.pitch2D.height ||
            d->res.pitch2D.pitchInBytes % PITCH_ALIGN ||
            d->res.pitch2D.width > d->res.pitch2D.pitchInBytes / texel ||
            __builtin_mul_overflow(d->res.pitch2D.pitchInBytes, d->res.pitch2D.height - 1, &bytes))
            return CUDA_ERROR_INVALID_VALUE;
        return sim_range_check(d->res.pitch2D.devPtr, bytes + d->res.pitch2D.width * texel, false, &r);
    default:
        return CUDA_ERROR_INVALID_VALUE;
    }
}

static bool sampling_fits(const CUDA_TEXTURE_DESC *t)
{
    for (unsigned i = 0; i < 3; i++)
        if ((unsigned)t->addressMode[i] > CU_TR_ADDRESS_MODE_BORDER)
            return false;
    return (unsigned)t->filterMode <= CU_TR_FILTER_MODE_LINEAR &&
           (unsigned)t->mipmapFilterMode <= CU_TR_FILTER_MODE_LINEAR;
}

static struct texture *texture_of(CUtexObject handle, enum sim_tag tag)
{
    struct texture *t = (struct texture *)(uintptr_t)handle;
    return sim_object_is(t, tag) ? t : NULL;
}

CUresult cuTexObjectCreate(CUtexObject *ret, const CUDA_RESOURCE_DESC *resource,
                           const CUDA_TEXTURE_DESC *sampling, const CUDA_RESOURCE_VIEW_DESC *view)
{
    struct sim_context *ctx;
    CUresult rc = sim_current(&ctx);
    if (rc != CUDA_SUCCESS)
        return rc;
    if (!ret || !sampling || !sampling_fits(sampling))
        return CUDA_ERROR_INVALID_VALUE;
    rc = check_resource(resource);
    if (rc != CUDA_SUCCESS)
        return rc;
    if (view && resource->resType != CU_RESOURCE_TYPE_ARRAY &&
        resource->resType != CU_RESOURCE_TYPE_MIPMAPPED_ARRAY)
        return CUDA_ERROR_INVALID_VALUE; /* only arrays can be seen otherwise */
    struct texture *t = sim_object_new(SIM_TAG_TEXTURE, sizeof *t);
    if (!t)
        return CUDA_ERROR_OUT_OF_MEMORY;
    t->resource = *resource;
    t->sampling = *sampling;
    t->has_view = view != NULL;
    if (view)
        t->view = *view;
    *ret = (CUtexObject)(uintptr_t)t;
    return CUDA_SUCCESS;
}

static CUresult destroy(uint64_t handle, enum sim_tag tag)
{
    if (!sim_initialized())
        return CUDA_ERROR_NOT_INITIALIZED;
    struct texture *t = texture_of(handle, tag);
    if (!t)
        return CUDA_ERROR_INVALID_VALUE;
    sim_object_free(t);
    return CUDA_SUCCESS;
}

CUresult cuTexObjectDestroy(CUtexObject handle)
{
    return destroy(handle, SIM_TAG_TEXTURE);
}

static CUresult resource_of(CUDA_RESOURCE_DESC *ret, uint64_t handle, enum sim_tag tag)
{
    if (!sim_initialized())
        return CUDA_ERROR_NOT_INITIALIZED;
    const struct texture *t = texture_of(handle, tag);
    if (!ret || !t)
        return CUDA_ERROR_INVALID_VALUE;
    *ret = t->resource;
    return CUDA_SUCCESS;
}

CUresult cuTexObjectGetResourceDesc(CUDA_RESOURCE_DESC *ret, CUtexObject handle)
{
    return resource_of(ret, handle, SIM_TAG_TEXTURE);
}

CUresult cuTexObjectGetTextureDesc(CUDA_TEXTURE_DESC *ret, CUtexObject handle)
{
    if (!sim_initialized())
        return CUDA_ERROR_NOT_INITIALIZED;
    const struct texture *t = texture_of(handle, SIM_TAG_TEXTURE);
    if (!ret || !t)
        return CUDA_ERROR_INVALID_VALUE;
    *ret = t->sampling;
    return CUDA_SUCCESS;
}

CUresult cuTexObjectGetResourceViewDesc(CUDA_RESOURCE_VIEW_DESC *ret, CUtexObject handle)
{
    if (!sim_initialized())
        return CUDA_ERROR_NOT_INITIALIZED;
    const struct texture *t = texture_of(handle, SIM_TAG_TEXTURE);
    if (!ret || !t || !t->has_view)
        return CUDA_ERROR_INVALID_VALUE;
    *ret = t->view;
    return CUDA_SUCCESS;
}

/* ---- surfaces: arrays made for it, without sampling ---- */

CUresult cuSurfObjectCreate(CUsurfObject *ret, const CUDA_RESOURCE_DESC *resource)
{
    struct sim_context *ctx;
    CUresult rc = sim_current(&ctx);
    if (rc != CUDA_SUCCESS)
        return rc;
    if (!ret || !resource || resource->resType != CU_RESOURCE_TYPE_ARRAY)
        return CUDA_ERROR_INVALID_VALUE;
    rc = check_resource(resource);
    if (rc != CUDA_SUCCESS)
        return rc;
    struct texture *t = sim_object_new(SIM_TAG_SURFACE, sizeof *t);
    if (!t)
        return CUDA_ERROR_OUT_OF_MEMORY;
    t->resource = *resource;
    *ret = (CUsurfObject)(uintptr_t)t;
    return CUDA_SUCCESS;
}

CUresult cuSurfObjectDestroy(CUsurfObject handle)
{
    return destroy(handle, SIM_TAG_SURFACE);
}

CUresult cuSurfObjectGetResourceDesc(CUDA_RESOURCE_DESC *ret, CUsurfObject handle)
{
    return resource_of(ret, handle, SIM_TAG_SURFACE);
}
