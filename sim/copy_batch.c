/* SPDX-License-Identifier: Apache-2.0
 *
 * Batches of copies, and copies that come with attributes. Everything is
 * checked before anything is started, so that a bad entry leaves no half batch.
 */
#include "abi/cuda_api.h"
#include "copy_job.h"

#define NO_INDEX SIZE_MAX

/* ---- attributes ---- */

static bool attributes_fit(const CUmemcpyAttributes *a)
{
    return a->srcAccessOrder >= CU_MEMCPY_SRC_ACCESS_ORDER_STREAM &&
           a->srcAccessOrder <= CU_MEMCPY_SRC_ACCESS_ORDER_ANY &&
           (a->flags & ~(unsigned)CU_MEMCPY_FLAG_PREFER_OVERLAP_WITH_COMPUTE) == 0;
}

/* Each set of attributes says from which copy on it holds. */
static CUresult check_attributes(const CUmemcpyAttributes *attributes, const size_t *firsts, size_t n,
                                 size_t count)
{
    if (!attributes || !firsts || !n || n > count || firsts[0])
        return CUDA_ERROR_INVALID_VALUE;
    for (size_t i = 0; i < n; i++)
        if (!attributes_fit(&attributes[i]) || firsts[i] >= count || (i && firsts[i] <= firsts[i - 1]))
            return CUDA_ERROR_INVALID_VALUE;
    return CUDA_SUCCESS;
}

/* ---- linear ---- */

static struct sim_copy_request linear(CUdeviceptr dst, CUdeviceptr src, size_t bytes)
{
    return (struct sim_copy_request){
        .src = {.type = CU_MEMORYTYPE_UNIFIED, .address = src},
        .dst = {.type = CU_MEMORYTYPE_UNIFIED, .address = dst},
        .width = bytes,
        .height = 1,
        .depth = 1,
    };
}

struct batch {
    CUdeviceptr *dsts, *srcs;
    size_t *sizes;
    size_t count;
};

/* The legacy stream has no order to put a batch in. */
static CUresult batch_stream(CUstream stream, bool per_thread)
{
    bool legacy = (!stream && !per_thread) || stream == (CUstream)1;
    return legacy ? CUDA_ERROR_INVALID_VALUE : sim_copy_enter();
}

static CUresult copy_batch(const struct batch *b, const struct sim_copy_stream *where, size_t *ret_failed)
{
    struct sim_copy_job job;
    CUresult rc = CUDA_SUCCESS;
    for (size_t i = 0; i < b->count; i++) {
        struct sim_copy_request q = linear(b->dsts[i], b->srcs[i], b->sizes[i]);
        rc = b->sizes[i] ? sim_copy_check(&q, &job) : CUDA_ERROR_INVALID_VALUE;
        if (rc != CUDA_SUCCESS) {
            *ret_failed = i;
            return rc;
        }
    }
    for (size_t i = 0; i < b->count && rc == CUDA_SUCCESS; i++) {
        struct sim_copy_request q = linear(b->dsts[i], b->srcs[i], b->sizes[i]);
        rc = sim_copy(&q, where);
    }
    return rc;
}

static CUresult memcpy_batch(const struct batch *b, const CUmemcpyAttributes *attributes,
                             const size_t *firsts, size_t n, size_t *failed, CUstream stream, bool per_thread)
{
    struct sim_copy_stream where = {SIM_COPY_ASYNC, stream, per_thread};
    size_t index = NO_INDEX;
    CUresult rc = batch_stream(stream, per_thread);
    if (rc == CUDA_SUCCESS && (!b->dsts || !b->srcs || !b->sizes || !b->count))
        rc = CUDA_ERROR_INVALID_VALUE;
    if (rc == CUDA_SUCCESS)
        rc = check_attributes(attributes, firsts, n, b->count);
    if (rc == CUDA_SUCCESS)
        rc = copy_batch(b, &where, &index);
    if (rc != CUDA_SUCCESS && failed)
        *failed = index;
    return rc;
}

#define BATCH_V1(name, per_thread)                                                                           \
    CUresult name(CUdeviceptr *dsts, CUdeviceptr *srcs, size_t *sizes, size_t count,                         \
                  CUmemcpyAttributes *attributes, size_t *firsts, size_t n, size_t *failed, CUstream stream) \
    {                                                                                                        \
        struct batch b = {dsts, srcs, sizes, count};                                                         \
        return memcpy_batch(&b, attributes, firsts, n, failed, stream, per_thread);                          \
    }
#define BATCH_V2(name, per_thread)                                                                           \
    CUresult name(CUdeviceptr *dsts, CUdeviceptr *srcs, size_t *sizes, size_t count,                         \
                  CUmemcpyAttributes *attributes, size_t *firsts, size_t n, CUstream stream)                 \
    {                                                                                                        \
        struct batch b = {dsts, srcs, sizes, count};                                                         \
        return memcpy_batch(&b, attributes, firsts, n, NULL, stream, per_thread);                            \
    }
BATCH_V1(cuMemcpyBatchAsync, false)
BATCH_V1(cuMemcpyBatchAsync_ptsz, true)
BATCH_V2(cuMemcpyBatchAsync_v2, false)
BATCH_V2(cuMemcpyBatchAsync_v2_ptsz, true)

static CUresult with_attributes(CUdeviceptr dst, CUdeviceptr src, size_t bytes,
                                const CUmemcpyAttributes *attributes, CUstream stream, bool per_thread)
{
    struct sim_copy_stream where = {SIM_COPY_ASYNC, stream, per_thread};
    struct sim_copy_request q = linear(dst, src, bytes);
    CUresult rc = batch_stream(stream, per_thread);
    if (rc == CUDA_SUCCESS && (!attributes || !attributes_fit(attributes)))
        rc = CUDA_ERROR_INVALID_VALUE;
    return rc == CUDA_SUCCESS ? sim_copy(&q, &where) : rc;
}

CUresult cuMemcpyWithAttributesAsync(CUdeviceptr dst, CUdeviceptr src, size_t bytes,
                                     CUmemcpyAttributes *attributes, CUstream stream)
{
    return with_attributes(dst, src, bytes, attributes, stream, false);
}

CUresult cuMemcpyWithAttributesAsync_ptsz(CUdeviceptr dst, CUdeviceptr src, size_t bytes,
                                          CUmemcpyAttributes *attributes, CUstream stream)
{
    return with_attributes(dst, src, bytes, attributes, stream, true);
}

/* ---- boxes ---- */

/* Extents count elements where an array takes part, else bytes. */
static unsigned element_of(const CUmemcpy3DOperand *o)
{
    const struct sim_array *a =
        o->type == CU_MEMCPY_OPERAND_TYPE_ARRAY ? sim_array_of(o->op.array.array) : NULL;
    return a ? sim_element_bytes(sim_format_of(a->desc.Format), a->desc.NumChannels) : 0;
}

static bool end_of(const CUmemcpy3DOperand *o, unsigned element, struct sim_copy_end *ret)
{
    *ret = (struct sim_copy_end){0};
    if (o->type == CU_MEMCPY_OPERAND_TYPE_POINTER) {
        ret->type = CU_MEMORYTYPE_UNIFIED;
        ret->address = o->op.ptr.ptr;
        ret->pitch = o->op.ptr.rowLength * element;
        ret->height = o->op.ptr.layerHeight;
        return true;
    }
    if (o->type != CU_MEMCPY_OPERAND_TYPE_ARRAY)
        return false;
    ret->type = CU_MEMORYTYPE_ARRAY;
    ret->array = o->op.array.array;
    ret->x = o->op.array.offset.x * element;
    ret->y = o->op.array.offset.y;
    ret->z = o->op.array.offset.z;
    return true;
}

static CUresult box_of(const CUDA_MEMCPY3D_BATCH_OP *op, struct sim_copy_request *ret)
{
    struct sim_copy_job job;
    unsigned element = element_of(&op->dst);
    if (!element)
        element = element_of(&op->src);
    if (!element)
        element = 1;
    if (!end_of(&op->src, element, &ret->src) || !end_of(&op->dst, element, &ret->dst) ||
        op->srcAccessOrder < CU_MEMCPY_SRC_ACCESS_ORDER_STREAM ||
        op->srcAccessOrder > CU_MEMCPY_SRC_ACCESS_ORDER_ANY ||
        __builtin_mul_overflow(op->extent.width, element, &ret->width))
        return CUDA_ERROR_INVALID_VALUE;
    ret->height = op->extent.height;
    ret->depth = op->extent.depth;
    return sim_copy_check(ret, &job);
}

static CUresult box_batch(size_t count, const CUDA_MEMCPY3D_BATCH_OP *ops, size_t *failed,
                          unsigned long long flags, CUstream stream, bool per_thread)
{
    struct sim_copy_stream where = {SIM_COPY_ASYNC, stream, per_thread};
    struct sim_copy_request q;
    size_t index = NO_INDEX;
    CUresult rc = batch_stream(stream, per_thread);
    if (rc == CUDA_SUCCESS && (!count || !ops || flags))
        rc = CUDA_ERROR_INVALID_VALUE;
    for (size_t i = 0; i < count && rc == CUDA_SUCCESS; i++) {
        rc = box_of(&ops[i], &q);
        if (rc != CUDA_SUCCESS)
            index = i;
    }
    for (size_t i = 0; i < count && rc == CUDA_SUCCESS; i++) {
        rc = box_of(&ops[i], &q);
        if (rc == CUDA_SUCCESS)
            rc = sim_copy(&q, &where);
    }
    if (rc != CUDA_SUCCESS && failed)
        *failed = index;
    return rc;
}

CUresult cuMemcpy3DBatchAsync(size_t count, CUDA_MEMCPY3D_BATCH_OP *ops, size_t *failed,
                              unsigned long long flags, CUstream stream)
{
    return box_batch(count, ops, failed, flags, stream, false);
}

CUresult cuMemcpy3DBatchAsync_ptsz(size_t count, CUDA_MEMCPY3D_BATCH_OP *ops, size_t *failed,
                                   unsigned long long flags, CUstream stream)
{
    return box_batch(count, ops, failed, flags, stream, true);
}

CUresult cuMemcpy3DBatchAsync_v2(size_t count, CUDA_MEMCPY3D_BATCH_OP *ops, unsigned long long flags,
                                 CUstream stream)
{
    return box_batch(count, ops, NULL, flags, stream, false);
}

CUresult cuMemcpy3DBatchAsync_v2_ptsz(size_t count, CUDA_MEMCPY3D_BATCH_OP *ops, unsigned long long flags,
                                      CUstream stream)
{
    return box_batch(count, ops, NULL, flags, stream, true);
}

CUresult cuMemcpy3DWithAttributesAsync(CUDA_MEMCPY3D_BATCH_OP *op, unsigned long long flags, CUstream stream)
{
    return box_batch(1, op, NULL, flags, stream, false);
}

CUresult cuMemcpy3DWithAttributesAsync_ptsz(CUDA_MEMCPY3D_BATCH_OP *op, unsigned long long flags,
                                            CUstream stream)
{
    return box_batch(1, op, NULL, flags, stream, true);
}
