/* SPDX-License-Identifier: Apache-2.0
 *
 * CUDA arrays in all their shapes, and their first, 32-bit descriptors.
 */
#include "mem_array.h"

#include "abi/cuda_api.h"
#include "objects.h"

struct sim_array *sim_array_of(CUarray handle)
{
    struct sim_array *a = (struct sim_array *)(void *)handle;
    return sim_object_is(a, SIM_TAG_ARRAY) ? a : NULL;
}

/* ---- bytes ---- */

CUresult sim_array_bytes(uint64_t total, unsigned flags, struct sim_context *ctx, CUdevice device,
                         struct sim_block **ret)
{
    bool later = flags & (SIM_ARRAY_SPARSE | SIM_ARRAY_DEFERRED);
    struct sim_arena *a = sim_arena(device);
    struct sim_request q = {
        .kind = later ? SIM_MEM_SPARSE : SIM_MEM_ARRAY,
        .size = sim_round_up(total, SIM_ARRAY_ALIGN),
        .physical = !later,
        .ctx = ctx,
    };
    return a ? sim_arena_alloc(a, &q, ret) : CUDA_ERROR_OUT_OF_MEMORY;
}

void sim_array_bytes_free(struct sim_block *b)
{
    struct sim_arena *a = sim_arena_at(b->base);
    pthread_mutex_lock(&a->lock);
    b->dirty = true;
    sim_arena_free_locked(a, b);
    pthread_mutex_unlock(&a->lock);
}

struct sim_array *sim_array_view(const CUDA_ARRAY3D_DESCRIPTOR *desc, const struct sim_extent *e,
                                 const struct sim_array *like, uint64_t base)
{
    struct sim_array *v = sim_object_new(SIM_TAG_ARRAY, sizeof *v);
    if (!v)
        return NULL;
    v->device = like->device;
    v->ctx = like->ctx;
    v->real = like->real;
    v->view = true;
    v->base = base;
    v->pitch = e->pitch;
    v->slice = e->slice;
    v->row_bytes = e->row_bytes;
    v->rows = e->rows;
    v->slices = e->slices;
    v->desc = *desc;
    return v;
}

/* ---- life ---- */

static CUresult array_create(CUarray *ret, const CUDA_ARRAY3D_DESCRIPTOR *desc)
{
    struct sim_context *ctx;
    CUdevice device;
    struct sim_extent e;
    struct sim_block *b;
    CUresult rc = sim_mem_enter(&ctx, &device);
    if (rc != CUDA_SUCCESS)
        return rc;
    if (!ret)
        return CUDA_ERROR_INVALID_VALUE;
    rc = sim_array_extent(desc, &e);
    if (rc == CUDA_SUCCESS)
        rc = sim_array_bytes(e.total, desc->Flags, ctx, device, &b);
    if (rc != CUDA_SUCCESS)
        return rc;
    struct sim_array like = {.device = device, .ctx = ctx, .real = b->real};
    struct sim_array *a = sim_array_view(desc, &e, &like, b->base);
    if (!a) {
        sim_array_bytes_free(b);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    a->view = false;
    a->block = b;
    b->owner = a;
    *ret = (CUarray)(void *)a;
    return CUDA_SUCCESS;
}

CUresult cuArray3DCreate_v2(CUarray *ret, const CUDA_ARRAY3D_DESCRIPTOR *desc)
{
    return desc ? array_create(ret, desc) : CUDA_ERROR_INVALID_VALUE;
}

CUresult cuArrayCreate_v2(CUarray *ret, const CUDA_ARRAY_DESCRIPTOR *desc)
{
    if (!desc)
        return CUDA_ERROR_INVALID_VALUE;
    CUDA_ARRAY3D_DESCRIPTOR d = {.Width = desc->Width,
                                 .Height = desc->Height,
                                 .Format = desc->Format,
                                 .NumChannels = desc->NumChannels};
    return array_create(ret, &d);
}

CUresult cuArrayDestroy(CUarray handle)
{
    if (!sim_initialized())
        return CUDA_ERROR_NOT_INITIALIZED;
    struct sim_array *a = sim_array_of(handle);
    if (!a || a->view)
        return CUDA_ERROR_INVALID_HANDLE;
    CUresult rc = sim_capture_unsafe_call();
    if (rc != CUDA_SUCCESS)
        return rc;
    sim_array_maps_drop(a);
    for (unsigned i = 0; i < 3; i++)
        if (a->planes[i])
            sim_object_free(a->planes[i]);
    sim_array_bytes_free(a->block);
    sim_object_free(a);
    return CUDA_SUCCESS;
}

/* ---- queries ---- */

CUresult cuArray3DGetDescriptor_v2(CUDA_ARRAY3D_DESCRIPTOR *ret, CUarray handle)
{
    if (!sim_initialized())
        return CUDA_ERROR_NOT_INITIALIZED;
    const struct sim_array *a = sim_array_of(handle);
    if (!ret || !a)
        return ret ? CUDA_ERROR_INVALID_HANDLE : CUDA_ERROR_INVALID_VALUE;
    *ret = a->desc;
    return CUDA_SUCCESS;
}

CUresult cuArrayGetDescriptor_v2(CUDA_ARRAY_DESCRIPTOR *ret, CUarray handle)
{
    CUDA_ARRAY3D_DESCRIPTOR d;
    CUresult rc = ret ? cuArray3DGetDescriptor_v2(&d, handle) : CUDA_ERROR_INVALID_VALUE;
    if (rc == CUDA_SUCCESS)
        *ret = (CUDA_ARRAY_DESCRIPTOR){d.Width, d.Height, d.Format, d.NumChannels};
    return rc;
}

CUresult cuArrayGetPlane(CUarray *ret, CUarray handle, unsigned index)
{
    CUDA_ARRAY3D_DESCRIPTOR d;
    struct sim_extent whole, e;
    if (!sim_initialized())
        return CUDA_ERROR_NOT_INITIALIZED;
    struct sim_array *a = sim_array_of(handle);
    if (!a)
        return CUDA_ERROR_INVALID_HANDLE;
    if (!ret)
        return CUDA_ERROR_INVALID_VALUE;
    CUresult rc = sim_plane_descriptor(&a->desc, index, &d);
    if (rc == CUDA_SUCCESS)
        rc = sim_array_extent(&a->desc, &whole);
    if (rc == CUDA_SUCCESS)
        rc = sim_array_extent(&d, &e);
    if (rc != CUDA_SUCCESS)
        return rc;
    if (!a->planes[index])
        a->planes[index] = sim_array_view(&d, &e, a, a->base + whole.plane[index]);
    if (!a->planes[index])
        return CUDA_ERROR_OUT_OF_MEMORY;
    *ret = (CUarray)(void *)a->planes[index];
    return CUDA_SUCCESS;
}

/* ---- the first versions ---- */

CUresult cuArray3DCreate(CUarray *ret, const CUDA_ARRAY3D_DESCRIPTOR_v1 *desc)
{
    if (!desc)
        return CUDA_ERROR_INVALID_VALUE;
    CUDA_ARRAY3D_DESCRIPTOR d = {.Width = desc->Width,
                                 .Height = desc->Height,
                                 .Depth = desc->Depth,
                                 .Format = desc->Format,
                                 .NumChannels = desc->NumChannels,
                                 .Flags = desc->Flags};
    return array_create(ret, &d);
}

CUresult cuArrayCreate(CUarray *ret, const CUDA_ARRAY_DESCRIPTOR_v1 *desc)
{
    if (!desc)
        return CUDA_ERROR_INVALID_VALUE;
    CUDA_ARRAY_DESCRIPTOR d = {desc->Width, desc->Height, desc->Format, desc->NumChannels};
    return cuArrayCreate_v2(ret, &d);
}

CUresult cuArray3DGetDescriptor(CUDA_ARRAY3D_DESCRIPTOR_v1 *ret, CUarray handle)
{
    CUDA_ARRAY3D_DESCRIPTOR d;
    CUresult rc = ret ? cuArray3DGetDescriptor_v2(&d, handle) : CUDA_ERROR_INVALID_VALUE;
    if (rc == CUDA_SUCCESS)
        *ret = (CUDA_ARRAY3D_DESCRIPTOR_v1){(unsigned)d.Width, (unsigned)d.Height, (unsigned)d.Depth,
                                            d.Format,          d.NumChannels,      d.Flags};
    return rc;
}

CUresult cuArrayGetDescriptor(CUDA_ARRAY_DESCRIPTOR_v1 *ret, CUarray handle)
{
    CUDA_ARRAY3D_DESCRIPTOR d;
    CUresult rc = ret ? cuArray3DGetDescriptor_v2(&d, handle) : CUDA_ERROR_INVALID_VALUE;
    if (rc == CUDA_SUCCESS)
        *ret = (CUDA_ARRAY_DESCRIPTOR_v1){(unsigned)d.Width, (unsigned)d.Height, d.Format, d.NumChannels};
    return rc;
}
