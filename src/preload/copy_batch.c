/* SPDX-License-Identifier: Apache-2.0
 *
 * Wrappers of batches of copies: one is gated as a whole when any copy of it
 * stays within devices.
 *
 * Invariants:
 *   1. No more than LOOKED_AT copies of a batch are looked at; a longer one
 *      counts as large, and where the first ones tell nothing, as within devices.
 *   2. An extent counts elements where an array takes part, of a size that is not
 *      known here: the largest there is.
 */
#include "preload/copy.h"

#define LOOKED_AT ((size_t)1 << 16)
#define EACH_MIN 65536 /* bytes: the shortest copies take as long as one of these */
#define ELEMENT_MAX 16 /* bytes: four channels of 32 bits */

#define BATCH(entry, parameters, arguments, bytes, within, way)                                              \
    COPY_HOOK(entry, parameters, arguments, copy_passes(bytes),                                              \
              copy_asks(bytes) && within ? copy_gate(COPY_BATCH, bytes, way) : copy_free())

static uint64_t sum(uint64_t bytes, uint64_t more)
{
    more = more > EACH_MIN ? more : EACH_MIN;
    return bytes > UINT64_MAX - more ? UINT64_MAX : bytes + more;
}

/* ---- rows of bytes ---- */

static uint64_t bytes_of(const size_t *sizes, size_t n)
{
    uint64_t bytes = n > LOOKED_AT ? COPY_LARGE : 0;
    for (size_t i = 0; sizes && i < n && i < LOOKED_AT; i++)
        bytes = sum(bytes, sizes[i]);
    return bytes;
}

static bool any_within(const CUdeviceptr *dsts, const CUdeviceptr *srcs, size_t n)
{
    if (!dsts || !srcs)
        return false;
    for (size_t i = 0; i < n && i < LOOKED_AT; i++)
        if (copy_is_within(copy_asked(dsts[i]), copy_asked(srcs[i])))
            return true;
    return n > LOOKED_AT;
}

#define LIST CUdeviceptr *dsts, CUdeviceptr *srcs, size_t *sizes, size_t n, CUmemcpyAttributes *attributes
#define ROWS(entry, parameters, arguments, way)                                                              \
    BATCH(entry, parameters, arguments, bytes_of(sizes, n), any_within(dsts, srcs, n), way)

ROWS(cuMemcpyBatchAsync, (LIST, size_t *firsts, size_t n_attributes, size_t *failed, CUstream stream),
     (dsts, srcs, sizes, n, attributes, firsts, n_attributes, failed, stream), copy_on(stream))
ROWS(cuMemcpyBatchAsync_ptsz, (LIST, size_t *firsts, size_t n_attributes, size_t *failed, CUstream stream),
     (dsts, srcs, sizes, n, attributes, firsts, n_attributes, failed, stream), copy_on_own(stream))
ROWS(cuMemcpyBatchAsync_v2, (LIST, size_t *firsts, size_t n_attributes, CUstream stream),
     (dsts, srcs, sizes, n, attributes, firsts, n_attributes, stream), copy_on(stream))
ROWS(cuMemcpyBatchAsync_v2_ptsz, (LIST, size_t *firsts, size_t n_attributes, CUstream stream),
     (dsts, srcs, sizes, n, attributes, firsts, n_attributes, stream), copy_on_own(stream))

/* ---- boxes ---- */

static bool is_array(const CUmemcpy3DOperand *o)
{
    return o->type == CU_MEMCPY_OPERAND_TYPE_ARRAY;
}

static uint64_t volume_of(const CUDA_MEMCPY3D_BATCH_OP *op)
{
    uint64_t elements = copy_times(copy_times(op->extent.width, op->extent.height), op->extent.depth);
    return is_array(&op->dst) || is_array(&op->src) ? copy_times(elements, ELEMENT_MAX) : elements;
}

static uint64_t volumes_of(const CUDA_MEMCPY3D_BATCH_OP *ops, size_t n)
{
    uint64_t bytes = n > LOOKED_AT ? COPY_LARGE : 0;
    for (size_t i = 0; ops && i < n && i < LOOKED_AT; i++)
        bytes = sum(bytes, volume_of(&ops[i]));
    return bytes;
}

static struct copy_end end_of(const CUmemcpy3DOperand *o)
{
    return is_array(o) ? copy_on_device() : copy_asked(o->op.ptr.ptr);
}

static bool any_box_within(const CUDA_MEMCPY3D_BATCH_OP *ops, size_t n)
{
    if (!ops)
        return false;
    for (size_t i = 0; i < n && i < LOOKED_AT; i++)
        if (copy_is_within(end_of(&ops[i].dst), end_of(&ops[i].src)))
            return true;
    return n > LOOKED_AT;
}

#define BOXES(entry, parameters, arguments, n, way)                                                          \
    BATCH(entry, parameters, arguments, volumes_of(ops, n), any_box_within(ops, n), way)
#define OPS CUDA_MEMCPY3D_BATCH_OP *ops
#define FLAGS unsigned long long flags, CUstream stream

BOXES(cuMemcpy3DBatchAsync, (size_t n, OPS, size_t *failed, FLAGS), (n, ops, failed, flags, stream), n,
      copy_on(stream))
BOXES(cuMemcpy3DBatchAsync_ptsz, (size_t n, OPS, size_t *failed, FLAGS), (n, ops, failed, flags, stream), n,
      copy_on_own(stream))
BOXES(cuMemcpy3DBatchAsync_v2, (size_t n, OPS, FLAGS), (n, ops, flags, stream), n, copy_on(stream))
BOXES(cuMemcpy3DBatchAsync_v2_ptsz, (size_t n, OPS, FLAGS), (n, ops, flags, stream), n, copy_on_own(stream))
BOXES(cuMemcpy3DWithAttributesAsync, (OPS, FLAGS), (ops, flags, stream), 1, copy_on(stream))
BOXES(cuMemcpy3DWithAttributesAsync_ptsz, (OPS, FLAGS), (ops, flags, stream), 1, copy_on_own(stream))

/* ---- between the memories of a fabric: at no end the host's ---- */

static uint64_t fabric_bytes_of(const CUDA_FABRIC_COPY_BATCH_OP *ops, size_t n)
{
    uint64_t bytes = n > LOOKED_AT ? COPY_LARGE : 0;
    for (size_t i = 0; ops && i < n && i < LOOKED_AT; i++)
        bytes = sum(bytes, ops[i].size);
    return bytes;
}

#define FABRIC(entry, way)                                                                                   \
    COPY_WITHIN(entry, (size_t n, CUDA_FABRIC_COPY_BATCH_OP * ops, FLAGS), (n, ops, flags, stream),          \
                COPY_BATCH, fabric_bytes_of(ops, n), way)

FABRIC(cuFabricCpyBatchAsync, copy_on(stream))
FABRIC(cuFabricCpyBatchAsync_ptsz, copy_on_own(stream))
