/* SPDX-License-Identifier: Apache-2.0
 *
 * Mipmapped arrays: one allocation, each level a view of its part.
 */
#include "abi/cuda_api.h"
#include "mem_array.h"
#include "objects.h"

struct sim_mipmap *sim_mipmap_of(CUmipmappedArray handle)
{
    struct sim_mipmap *m = (struct sim_mipmap *)(void *)handle;
    return sim_object_is(m, SIM_TAG_MIPMAP) ? m : NULL;
}

static uint64_t halved(uint64_t n, unsigned level)
{
    return n == 0 ? 0 : (n >> level) == 0 ? 1 : n >> level;
}

/* Layers and cube faces do not shrink. */
CUDA_ARRAY3D_DESCRIPTOR sim_level_descriptor(const CUDA_ARRAY3D_DESCRIPTOR *desc, unsigned level)
{
    CUDA_ARRAY3D_DESCRIPTOR d = *desc;
    d.Width = halved(desc->Width, level);
    d.Height = halved(desc->Height, level);
    if (!(desc->Flags & (SIM_ARRAY_LAYERED | SIM_ARRAY_CUBEMAP)))
        d.Depth = halved(desc->Depth, level);
    return d;
}

static unsigned most_levels(const CUDA_ARRAY3D_DESCRIPTOR *d)
{
    uint64_t longest = d->Width > d->Height ? d->Width : d->Height;
    if (!(d->Flags & (SIM_ARRAY_LAYERED | SIM_ARRAY_CUBEMAP)) && d->Depth > longest)
        longest = d->Depth;
    unsigned levels = 1;
    for (; longest > 1; longest >>= 1)
        levels++;
    return levels;
}

static CUresult lay_out(struct sim_mipmap *m, const CUDA_ARRAY3D_DESCRIPTOR *desc, unsigned levels)
{
    unsigned most = most_levels(desc);
    m->n_levels = levels < 1 ? 1 : levels > most ? most : levels;
    for (unsigned i = 0; i < m->n_levels; i++) {
        struct sim_extent e;
        CUDA_ARRAY3D_DESCRIPTOR d = sim_level_descriptor(desc, i);
        CUresult rc = sim_array_extent(&d, &e);
        if (rc != CUDA_SUCCESS)
            return rc;
        m->level_base[i] = m->total;
        m->total += e.total;
    }
    return CUDA_SUCCESS;
}

CUresult cuMipmappedArrayCreate(CUmipmappedArray *ret, const CUDA_ARRAY3D_DESCRIPTOR *desc, unsigned levels)
{
    struct sim_context *ctx;
    CUdevice device;
    struct sim_extent e;
    struct sim_mipmap plan = {0};
    CUresult rc = sim_mem_enter(&ctx, &device);
    if (rc != CUDA_SUCCESS)
        return rc;
    if (!ret || !desc)
        return CUDA_ERROR_INVALID_VALUE;
    rc = sim_array_extent(desc, &e);
    if (rc == CUDA_SUCCESS)
        rc = lay_out(&plan, desc, levels);
    if (rc == CUDA_SUCCESS)
        rc = sim_array_bytes(plan.total, desc->Flags, ctx, device, &plan.shape.block);
    if (rc != CUDA_SUCCESS)
        return rc;
    struct sim_mipmap *m = sim_object_new(SIM_TAG_MIPMAP, sizeof *m);
    if (!m) {
        sim_array_bytes_free(plan.shape.block);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    plan.tag = m->tag;
    plan.shape.device = device;
    plan.shape.ctx = ctx;
    plan.shape.real = plan.shape.block->real;
    plan.shape.base = plan.shape.block->base;
    plan.shape.desc = *desc;
    *m = plan;
    m->shape.block->owner = m;
    *ret = (CUmipmappedArray)(void *)m;
    return CUDA_SUCCESS;
}

CUresult cuMipmappedArrayDestroy(CUmipmappedArray handle)
{
    if (!sim_initialized())
        return CUDA_ERROR_NOT_INITIALIZED;
    struct sim_mipmap *m = sim_mipmap_of(handle);
    if (!m)
        return CUDA_ERROR_INVALID_HANDLE;
    CUresult rc = sim_capture_unsafe_call();
    if (rc != CUDA_SUCCESS)
        return rc;
    sim_array_maps_drop(&m->shape);
    for (unsigned i = 0; i < m->n_levels; i++)
        if (m->levels[i])
            sim_object_free(m->levels[i]);
    sim_array_bytes_free(m->shape.block);
    sim_object_free(m);
    return CUDA_SUCCESS;
}

CUresult cuMipmappedArrayGetLevel(CUarray *ret, CUmipmappedArray handle, unsigned level)
{
    struct sim_extent e;
    if (!sim_initialized())
        return CUDA_ERROR_NOT_INITIALIZED;
    struct sim_mipmap *m = sim_mipmap_of(handle);
    if (!m)
        return CUDA_ERROR_INVALID_HANDLE;
    if (!ret || level >= m->n_levels)
        return CUDA_ERROR_INVALID_VALUE;
    CUDA_ARRAY3D_DESCRIPTOR d = sim_level_descriptor(&m->shape.desc, level);
    CUresult rc = sim_array_extent(&d, &e);
    if (rc != CUDA_SUCCESS)
        return rc;
    if (!m->levels[level])
        m->levels[level] = sim_array_view(&d, &e, &m->shape, m->shape.base + m->level_base[level]);
    if (!m->levels[level])
        return CUDA_ERROR_OUT_OF_MEMORY;
    *ret = (CUarray)(void *)m->levels[level];
    return CUDA_SUCCESS;
}
