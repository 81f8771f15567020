/* SPDX-License-Identifier: Apache-2.0
 *
 * Prefetching, discarding and advising managed memory, and asking what was
 * advised.
 */
#include "mem_managed.h"

#include <string.h>

#include "abi/cuda_api.h"
#include "copy_job.h"

#define HOST_BIT (1ULL << 63)

bool sim_place_of(const CUmemLocation *l, struct sim_place *ret)
{
    *ret = (struct sim_place){.type = (uint8_t)l->type, .id = (int16_t)l->id};
    switch (l->type) {
    case CU_MEM_LOCATION_TYPE_DEVICE:
        return l->id >= 0 && (unsigned)l->id < sim_device_count();
    case CU_MEM_LOCATION_TYPE_HOST:
        ret->id = SIM_AT_HOST;
        return true;
    case CU_MEM_LOCATION_TYPE_HOST_NUMA:
        return l->id >= 0 && l->id < SIM_DEVICES;
    case CU_MEM_LOCATION_TYPE_HOST_NUMA_CURRENT:
        ret->type = CU_MEM_LOCATION_TYPE_HOST_NUMA;
        ret->id = 0;
        return true;
    default:
        return false;
    }
}

static CUmemLocation location_of(CUdevice device)
{
    CUmemLocation l = {.type =
                           device == SIM_AT_HOST ? CU_MEM_LOCATION_TYPE_HOST : CU_MEM_LOCATION_TYPE_DEVICE};
    l.id = device == SIM_AT_HOST ? 0 : device;
    return l;
}

/* ---- prefetch and discard ---- */

enum { DISCARD = 1, PREFETCH = 2 };

struct transfer {
    int what;
    struct sim_place place;
    uint64_t moved;
};

static CUresult transfer_page(struct sim_managed *m, struct sim_page *p, void *arg)
{
    struct transfer *t = arg;
    int to = t->place.type == CU_MEM_LOCATION_TYPE_DEVICE ? t->place.id : SIM_AT_HOST;
    if (t->what & DISCARD)
        sim_managed_move(m, p, SIM_AT_HOST);
    if (!(t->what & PREFETCH))
        return CUDA_SUCCESS;
    if (p->where != to)
        t->moved += SIM_CHUNK;
    p->prefetched = t->place;
    sim_managed_move(m, p, to); /* what finds no room stays where it is */
    return CUDA_SUCCESS;
}

static CUresult submit_transfer(const struct transfer *t, uint64_t bytes, struct sim_stream *stream)
{
    struct sim_context *ctx = sim_context_current();
    uint64_t moved = t->moved < bytes ? t->moved : bytes;
    unsigned machine = (unsigned)sim_device(sim_context_device(ctx));
    struct sim_work work = {.engine = moved ? SIM_ENGINE_COPY : SIM_ENGINE_NONE,
                            .duration_ns = moved ? sim_copy_ns(machine, moved, true) : 0};
    return sim_submit(stream, &work);
}

static CUresult transfer_one(int what, CUdeviceptr dptr, size_t bytes, const CUmemLocation *location,
                             CUstream handle, bool per_thread)
{
    struct transfer t = {.what = what};
    struct sim_stream *stream;
    CUresult rc = sim_copy_enter();
    if (rc != CUDA_SUCCESS)
        return rc;
    if (!bytes)
        return CUDA_ERROR_INVALID_VALUE;
    if (location && !sim_place_of(location, &t.place))
        return location->type == CU_MEM_LOCATION_TYPE_DEVICE ? CUDA_ERROR_INVALID_DEVICE
                                                             : CUDA_ERROR_INVALID_VALUE;
    rc = sim_stream_resolve(handle, per_thread, &stream);
    if (rc == CUDA_SUCCESS && sim_stream_capturing(stream))
        rc = CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    if (rc == CUDA_SUCCESS)
        rc = sim_managed_pages(dptr, bytes, transfer_page, &t);
    return rc == CUDA_SUCCESS ? submit_transfer(&t, bytes, stream) : rc;
}

struct batch {
    CUdeviceptr *dptrs;
    size_t *sizes;
    size_t count;
    CUmemLocation *locations;
    size_t *firsts; /* index of the first operation that a location applies to */
    size_t n_locations;
};

static CUresult transfer_batch(int what, const struct batch *b, unsigned long long flags, CUstream handle,
                               bool per_thread)
{
    CUresult rc = sim_copy_enter();
    if (rc != CUDA_SUCCESS)
        return rc;
    bool placed = what & PREFETCH;
    if (flags || !b->count || !b->dptrs || !b->sizes)
        return CUDA_ERROR_INVALID_VALUE;
    if (placed &&
        (!b->locations || !b->firsts || !b->n_locations || b->n_locations > b->count || b->firsts[0]))
        return CUDA_ERROR_INVALID_VALUE;
    size_t location = 0;
    for (size_t i = 0; i < b->count && rc == CUDA_SUCCESS; i++) {
        while (placed && location + 1 < b->n_locations && b->firsts[location + 1] <= i)
            location++;
        rc = transfer_one(what, b->dptrs[i], b->sizes[i], placed ? &b->locations[location] : NULL, handle,
                          per_thread);
    }
    return rc;
}

static CUresult prefetch_v1(CUdeviceptr dptr, size_t bytes, CUdevice device, CUstream stream, bool per_thread)
{
    if (device < SIM_AT_HOST)
        return CUDA_ERROR_INVALID_DEVICE;
    CUmemLocation l = location_of(device);
    return transfer_one(PREFETCH, dptr, bytes, &l, stream, per_thread);
}

CUresult cuMemPrefetchAsync(CUdeviceptr dptr, size_t bytes, CUdevice device, CUstream stream)
{
    return prefetch_v1(dptr, bytes, device, stream, false);
}

CUresult cuMemPrefetchAsync_ptsz(CUdeviceptr dptr, size_t bytes, CUdevice device, CUstream stream)
{
    return prefetch_v1(dptr, bytes, device, stream, true);
}

CUresult cuMemPrefetchAsync_v2(CUdeviceptr dptr, size_t bytes, CUmemLocation location, unsigned flags,
                               CUstream stream)
{
    return flags ? CUDA_ERROR_INVALID_VALUE : transfer_one(PREFETCH, dptr, bytes, &location, stream, false);
}

CUresult cuMemPrefetchAsync_v2_ptsz(CUdeviceptr dptr, size_t bytes, CUmemLocation location, unsigned flags,
                                    CUstream stream)
{
    return flags ? CUDA_ERROR_INVALID_VALUE : transfer_one(PREFETCH, dptr, bytes, &location, stream, true);
}

#define PLACED_BATCH(name, what, per_thread)                                                                 \
    CUresult name(CUdeviceptr *dptrs, size_t *sizes, size_t count, CUmemLocation *locations, size_t *firsts, \
                  size_t n_locations, unsigned long long flags, CUstream stream)                             \
    {                                                                                                        \
        struct batch b = {dptrs, sizes, count, locations, firsts, n_locations};                              \
        return transfer_batch(what, &b, flags, stream, per_thread);                                          \
    }
#define PLAIN_BATCH(name, per_thread)                                                                        \
    CUresult name(CUdeviceptr *dptrs, size_t *sizes, size_t count, unsigned long long flags,                 \
                  CUstream stream)                                                                           \
    {                                                                                                        \
        struct batch b = {.dptrs = dptrs, .sizes = sizes, .count = count};                                   \
        return transfer_batch(DISCARD, &b, flags, stream, per_thread);                                       \
    }
PLACED_BATCH(cuMemPrefetchBatchAsync, PREFETCH, false)
PLACED_BATCH(cuMemPrefetchBatchAsync_ptsz, PREFETCH, true)
PLACED_BATCH(cuMemDiscardAndPrefetchBatchAsync, DISCARD | PREFETCH, false)
PLACED_BATCH(cuMemDiscardAndPrefetchBatchAsync_ptsz, DISCARD | PREFETCH, true)
PLAIN_BATCH(cuMemDiscardBatchAsync, false)
PLAIN_BATCH(cuMemDiscardBatchAsync_ptsz, true)

/* ---- advice ---- */

struct advice {
    CUmem_advise what;
    struct sim_place place;
};

static CUresult advise_page(struct sim_managed *m, struct sim_page *p, void *arg)
{
    const struct advice *a = arg;
    uint64_t bit = a->place.type == CU_MEM_LOCATION_TYPE_DEVICE ? 1ULL << (a->place.id & 63) : HOST_BIT;
    (void)m;
    switch (a->what) {
    case CU_MEM_ADVISE_SET_READ_MOSTLY:
        p->read_mostly = true;
        break;
    case CU_MEM_ADVISE_UNSET_READ_MOSTLY:
        p->read_mostly = false;
        break;
    case CU_MEM_ADVISE_SET_PREFERRED_LOCATION:
        p->preferred = a->place;
        break;
    case CU_MEM_ADVISE_UNSET_PREFERRED_LOCATION:
        p->preferred = (struct sim_place){0};
        break;
    case CU_MEM_ADVISE_SET_ACCESSED_BY:
        p->accessed_by |= bit;
        break;
    case CU_MEM_ADVISE_UNSET_ACCESSED_BY:
        p->accessed_by &= ~bit;
        break;
    }
    return CUDA_SUCCESS;
}

static bool needs_place(CUmem_advise what)
{
    return what == CU_MEM_ADVISE_SET_PREFERRED_LOCATION || what == CU_MEM_ADVISE_SET_ACCESSED_BY ||
           what == CU_MEM_ADVISE_UNSET_ACCESSED_BY;
}

CUresult cuMemAdvise_v2(CUdeviceptr dptr, size_t bytes, CUmem_advise what, CUmemLocation location)
{
    struct advice a = {.what = what};
    CUresult rc = sim_copy_enter();
    if (rc != CUDA_SUCCESS)
        return rc;
    if (what < CU_MEM_ADVISE_SET_READ_MOSTLY || what > CU_MEM_ADVISE_UNSET_ACCESSED_BY || !bytes)
        return CUDA_ERROR_INVALID_VALUE;
    if (needs_place(what) && !sim_place_of(&location, &a.place))
        return location.type == CU_MEM_LOCATION_TYPE_DEVICE ? CUDA_ERROR_INVALID_DEVICE
                                                            : CUDA_ERROR_INVALID_VALUE;
    return sim_managed_pages(dptr, bytes, advise_page, &a);
}

CUresult cuMemAdvise(CUdeviceptr dptr, size_t bytes, CUmem_advise what, CUdevice device)
{
    if (needs_place(what) && device < SIM_AT_HOST)
        return CUDA_ERROR_INVALID_DEVICE;
    return cuMemAdvise_v2(dptr, bytes, what, location_of(device));
}

/* ---- what was advised ---- */

struct survey {
    bool any, read_mostly;
    struct sim_place preferred, prefetched;
    uint64_t accessed_by;
};

static void merge_place(struct sim_place *into, const struct sim_place *p)
{
    if (into->type != p->type || into->id != p->id)
        *into = (struct sim_place){0};
}

/* An answer holds for a range only when it holds for all of its pages. */
static CUresult survey_page(struct sim_managed *m, struct sim_page *p, void *arg)
{
    struct survey *s = arg;
    (void)m;
    if (!s->any) {
        *s = (struct survey){true, p->read_mostly, p->preferred, p->prefetched, p->accessed_by};
        return CUDA_SUCCESS;
    }
    s->read_mostly = s->read_mostly && p->read_mostly;
    s->accessed_by &= p->accessed_by;
    merge_place(&s->preferred, &p->preferred);
    merge_place(&s->prefetched, &p->prefetched);
    return CUDA_SUCCESS;
}

static int place_device(const struct sim_place *p)
{
    return p->type == CU_MEM_LOCATION_TYPE_DEVICE ? p->id : p->type ? SIM_AT_HOST : SIM_AT_NOWHERE;
}

static void list_accessed_by(uint64_t mask, int *out, size_t n)
{
    size_t used = 0;
    for (int d = 0; d < 63 && used < n; d++)
        if (mask & (1ULL << d))
            out[used++] = d;
    if ((mask & HOST_BIT) && used < n)
        out[used++] = SIM_AT_HOST;
    while (used < n)
        out[used++] = SIM_AT_NOWHERE;
}

static CUresult answer(const struct survey *s, CUmem_range_attribute attribute, void *data, size_t size)
{
    int value = 0;
    if (attribute == CU_MEM_RANGE_ATTRIBUTE_ACCESSED_BY) {
        if (!size || size % sizeof(int))
            return CUDA_ERROR_INVALID_VALUE;
        list_accessed_by(s->accessed_by, data, size / sizeof(int));
        return CUDA_SUCCESS;
    }
    if (size != sizeof value)
        return CUDA_ERROR_INVALID_VALUE;
    switch (attribute) {
    case CU_MEM_RANGE_ATTRIBUTE_READ_MOSTLY:
        value = s->read_mostly;
        break;
    case CU_MEM_RANGE_ATTRIBUTE_PREFERRED_LOCATION:
        value = place_device(&s->preferred);
        break;
    case CU_MEM_RANGE_ATTRIBUTE_LAST_PREFETCH_LOCATION:
        value = place_device(&s->prefetched);
        break;
    case CU_MEM_RANGE_ATTRIBUTE_PREFERRED_LOCATION_TYPE:
        value = s->preferred.type;
        break;
    case CU_MEM_RANGE_ATTRIBUTE_PREFERRED_LOCATION_ID:
        value = s->preferred.id;
        break;
    case CU_MEM_RANGE_ATTRIBUTE_LAST_PREFETCH_LOCATION_TYPE:
        value = s->prefetched.type;
        break;
    case CU_MEM_RANGE_ATTRIBUTE_LAST_PREFETCH_LOCATION_ID:
        value = s->prefetched.id;
        break;
    default:
        return CUDA_ERROR_INVALID_VALUE;
    }
    memcpy(data, &value, sizeof value);
    return CUDA_SUCCESS;
}

CUresult cuMemRangeGetAttribute(void *data, size_t size, CUmem_range_attribute attribute, CUdeviceptr dptr,
                                size_t bytes)
{
    struct survey s = {0};
    CUresult rc = sim_copy_enter();
    if (rc != CUDA_SUCCESS)
        return rc;
    if (!data)
        return CUDA_ERROR_INVALID_VALUE;
    rc = sim_managed_pages(dptr, bytes, survey_page, &s);
    return rc == CUDA_SUCCESS ? answer(&s, attribute, data, size) : rc;
}

CUresult cuMemRangeGetAttributes(void **data, size_t *sizes, CUmem_range_attribute *attributes, size_t n,
                                 CUdeviceptr dptr, size_t bytes)
{
    CUresult rc = sim_copy_enter();
    if (rc == CUDA_SUCCESS && (!data || !sizes || !attributes || !n))
        rc = CUDA_ERROR_INVALID_VALUE;
    for (size_t i = 0; i < n && rc == CUDA_SUCCESS; i++)
        rc = cuMemRangeGetAttribute(data[i], sizes[i], attributes[i], dptr, bytes);
    return rc;
}
