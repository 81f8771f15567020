/* SPDX-License-Identifier: Apache-2.0
 *
 * Arrays whose memory comes later: sparse ones, by tiles, and deferred ones as
 * a whole. Mapping holds the physical object as a mapping of addresses does;
 * the bytes that copies see are the array's own.
 */
#include <stdlib.h>

#include "abi/cuda_api.h"
#include "copy_job.h"
#include "mem_vmm.h"
#include "objects.h"

#define SINGLE_MIPTAIL 1U

struct sim_array_map {
    struct sim_array_map *next;
    CUarrayMapInfo info; /* the place, as given */
    struct sim_phys *phys;
};

static pthread_mutex_t maps_lock = PTHREAD_MUTEX_INITIALIZER; /* before the VMM lock */

/* ---- properties ---- */

/* Tiles of 64 KiB: by bytes per element (1, 2, 4, 8, 16), flat and deep. */
static const unsigned tiles_2d[5][3] = {
    {256, 256, 1}, {256, 128, 1}, {128, 128, 1}, {128, 64, 1}, {64, 64, 1}};
static const unsigned tiles_3d[5][3] = {{64, 32, 32}, {32, 32, 32}, {32, 32, 16}, {32, 16, 16}, {16, 16, 16}};

static const unsigned *tile_of(const CUDA_ARRAY3D_DESCRIPTOR *d)
{
    const struct sim_format *f = sim_format_of(d->Format);
    unsigned bytes = f ? sim_element_bytes(f, d->NumChannels) : 0;
    bool deep = d->Depth && !(d->Flags & (SIM_ARRAY_LAYERED | SIM_ARRAY_CUBEMAP));
    if (!bytes || bytes > 16 || (bytes & (bytes - 1)))
        return NULL;
    unsigned i = (unsigned)__builtin_ctz(bytes);
    return deep ? tiles_3d[i] : tiles_2d[i];
}

static CUresult sparse_properties(CUDA_ARRAY_SPARSE_PROPERTIES *ret, const CUDA_ARRAY3D_DESCRIPTOR *d,
                                  unsigned levels)
{
    const unsigned *tile = tile_of(d);
    if (!ret || !tile || !(d->Flags & SIM_ARRAY_SPARSE))
        return CUDA_ERROR_INVALID_VALUE;
    CUDA_ARRAY_SPARSE_PROPERTIES p = {.tileExtent = {tile[0], tile[1], tile[2]}};
    unsigned first = 0;
    for (; first < levels; first++) {
        CUDA_ARRAY3D_DESCRIPTOR l = sim_level_descriptor(d, first);
        if (l.Width < tile[0] || l.Height < tile[1] || (tile[2] > 1 && l.Depth < tile[2]))
            break;
    }
    p.miptailFirstLevel = first;
    p.miptailSize = first < levels ? SIM_ARRAY_ALIGN : 0;
    p.flags = d->Flags & (SIM_ARRAY_LAYERED | SIM_ARRAY_CUBEMAP) ? 0 : SINGLE_MIPTAIL;
    *ret = p;
    return CUDA_SUCCESS;
}

CUresult cuArrayGetSparseProperties(CUDA_ARRAY_SPARSE_PROPERTIES *ret, CUarray handle)
{
    if (!sim_initialized())
        return CUDA_ERROR_NOT_INITIALIZED;
    const struct sim_array *a = sim_array_of(handle);
    return a ? sparse_properties(ret, &a->desc, 1) : CUDA_ERROR_INVALID_HANDLE;
}

CUresult cuMipmappedArrayGetSparseProperties(CUDA_ARRAY_SPARSE_PROPERTIES *ret, CUmipmappedArray handle)
{
    if (!sim_initialized())
        return CUDA_ERROR_NOT_INITIALIZED;
    const struct sim_mipmap *m = sim_mipmap_of(handle);
    return m ? sparse_properties(ret, &m->shape.desc, m->n_levels) : CUDA_ERROR_INVALID_HANDLE;
}

static CUresult requirements(CUDA_ARRAY_MEMORY_REQUIREMENTS *ret, const CUDA_ARRAY3D_DESCRIPTOR *d,
                             uint64_t bytes, CUdevice device)
{
    if (device < 0 || (unsigned)device >= sim_device_count())
        return CUDA_ERROR_INVALID_DEVICE;
    if (!ret || !(d->Flags & SIM_ARRAY_DEFERRED))
        return CUDA_ERROR_INVALID_VALUE;
    *ret = (CUDA_ARRAY_MEMORY_REQUIREMENTS){.size = sim_round_up(bytes, SIM_ARRAY_ALIGN),
                                            .alignment = SIM_ARRAY_ALIGN};
    return CUDA_SUCCESS;
}

CUresult cuArrayGetMemoryRequirements(CUDA_ARRAY_MEMORY_REQUIREMENTS *ret, CUarray handle, CUdevice device)
{
    struct sim_extent e;
    if (!sim_initialized())
        return CUDA_ERROR_NOT_INITIALIZED;
    const struct sim_array *a = sim_array_of(handle);
    if (!a)
        return CUDA_ERROR_INVALID_HANDLE;
    CUresult rc = sim_array_extent(&a->desc, &e);
    return rc == CUDA_SUCCESS ? requirements(ret, &a->desc, e.total, device) : rc;
}

CUresult cuMipmappedArrayGetMemoryRequirements(CUDA_ARRAY_MEMORY_REQUIREMENTS *ret, CUmipmappedArray handle,
                                               CUdevice device)
{
    if (!sim_initialized())
        return CUDA_ERROR_NOT_INITIALIZED;
    const struct sim_mipmap *m = sim_mipmap_of(handle);
    return m ? requirements(ret, &m->shape.desc, m->total, device) : CUDA_ERROR_INVALID_HANDLE;
}

/* ---- mapping ---- */

static bool same_place(const CUarrayMapInfo *a, const CUarrayMapInfo *b)
{
    if (a->subresourceType != b->subresourceType)
        return false;
    if (a->subresourceType == CU_ARRAY_SPARSE_SUBRESOURCE_TYPE_MIPTAIL)
        return a->subresource.miptail.layer == b->subresource.miptail.layer &&
               a->subresource.miptail.offset == b->subresource.miptail.offset;
    return a->subresource.sparseLevel.level == b->subresource.sparseLevel.level &&
           a->subresource.sparseLevel.layer == b->subresource.sparseLevel.layer &&
           a->subresource.sparseLevel.offsetX == b->subresource.sparseLevel.offsetX &&
           a->subresource.sparseLevel.offsetY == b->subresource.sparseLevel.offsetY &&
           a->subresource.sparseLevel.offsetZ == b->subresource.sparseLevel.offsetZ;
}

static void unmap_one(struct sim_array_map **at)
{
    struct sim_array_map *m = *at;
    *at = m->next;
    sim_vmm_lock();
    sim_phys_unmapped(m->phys);
    sim_vmm_unlock();
    free(m);
}

static void unmap_place(struct sim_array *a, const CUarrayMapInfo *info)
{
    struct sim_array_map **at = &a->maps;
    while (*at) {
        if (same_place(&(*at)->info, info))
            unmap_one(at);
        else
            at = &(*at)->next;
    }
}

void sim_array_maps_drop(struct sim_array *a)
{
    pthread_mutex_lock(&maps_lock);
    while (a->maps)
        unmap_one(&a->maps);
    pthread_mutex_unlock(&maps_lock);
}

static struct sim_array *target_of(const CUarrayMapInfo *info)
{
    struct sim_array *a = NULL;
    if (info->resourceType == CU_RESOURCE_TYPE_ARRAY) {
        a = sim_array_of(info->resource.array);
    } else if (info->resourceType == CU_RESOURCE_TYPE_MIPMAPPED_ARRAY) {
        struct sim_mipmap *m = sim_mipmap_of(info->resource.mipmap);
        a = m ? &m->shape : NULL;
    }
    return a && (a->desc.Flags & (SIM_ARRAY_SPARSE | SIM_ARRAY_DEFERRED)) ? a : NULL;
}

static CUresult check_map(const CUarrayMapInfo *info)
{
    if (info->flags || !info->deviceBitMask || !target_of(info) ||
        info->memHandleType != CU_MEM_HANDLE_TYPE_GENERIC ||
        (info->subresourceType != CU_ARRAY_SPARSE_SUBRESOURCE_TYPE_SPARSE_LEVEL &&
         info->subresourceType != CU_ARRAY_SPARSE_SUBRESOURCE_TYPE_MIPTAIL))
        return CUDA_ERROR_INVALID_VALUE;
    if (info->memOperationType == CU_MEM_OPERATION_TYPE_UNMAP)
        return CUDA_SUCCESS;
    if (info->memOperationType != CU_MEM_OPERATION_TYPE_MAP || info->offset % SIM_ARRAY_ALIGN)
        return CUDA_ERROR_INVALID_VALUE;
    sim_vmm_lock();
    const struct sim_phys *p = sim_phys_find(info->memHandle.memHandle);
    bool ok = p && info->offset < p->size;
    sim_vmm_unlock();
    return ok ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

static CUresult apply_map(const CUarrayMapInfo *info)
{
    struct sim_array *a = target_of(info);
    struct sim_array_map *m = NULL;
    CUresult rc = CUDA_SUCCESS;
    pthread_mutex_lock(&maps_lock);
    unmap_place(a, info);
    if (info->memOperationType == CU_MEM_OPERATION_TYPE_MAP) {
        m = malloc(sizeof *m);
        sim_vmm_lock();
        struct sim_phys *p = m ? sim_phys_find(info->memHandle.memHandle) : NULL;
        if (p) {
            p->mappings++;
            *m = (struct sim_array_map){.next = a->maps, .info = *info, .phys = p};
            a->maps = m;
        } else {
            free(m);
            rc = CUDA_ERROR_INVALID_VALUE;
        }
        sim_vmm_unlock();
    }
    pthread_mutex_unlock(&maps_lock);
    return rc;
}

static CUresult map_array(CUarrayMapInfo *list, unsigned count, CUstream handle, bool per_thread)
{
    struct sim_stream *stream;
    CUresult rc = sim_copy_enter();
    if (rc == CUDA_SUCCESS && (!list || !count))
        rc = CUDA_ERROR_INVALID_VALUE;
    if (rc == CUDA_SUCCESS)
        rc = sim_stream_resolve(handle, per_thread, &stream);
    if (rc == CUDA_SUCCESS && sim_stream_capturing(stream))
        rc = CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    for (unsigned i = 0; i < count && rc == CUDA_SUCCESS; i++)
        rc = check_map(&list[i]);
    for (unsigned i = 0; i < count && rc == CUDA_SUCCESS; i++)
        rc = apply_map(&list[i]);
    return rc;
}

CUresult cuMemMapArrayAsync(CUarrayMapInfo *list, unsigned count, CUstream stream)
{
    return map_array(list, count, stream, false);
}

CUresult cuMemMapArrayAsync_ptsz(CUarrayMapInfo *list, unsigned count, CUstream stream)
{
    return map_array(list, count, stream, true);
}
