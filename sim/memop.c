/* SPDX-License-Identifier: Apache-2.0
 *
 * Memory operations in streams: wait for a value, write one. Device addresses
 * are host addresses here, so the words are read and written in place.
 */
#include <stdlib.h>

#include "abi/cuda_api.h"
#include "graph.h"

struct wanted {
    CUdeviceptr address;
    uint64_t value;
    bool wide;
    unsigned flags;
};

static uint64_t word_at(CUdeviceptr address, bool wide)
{
    void *p = (void *)(uintptr_t)address;
    return wide ? __atomic_load_n((uint64_t *)p, __ATOMIC_ACQUIRE)
                : __atomic_load_n((uint32_t *)p, __ATOMIC_ACQUIRE);
}

static bool reached(void *arg)
{
    const struct wanted *w = arg;
    uint64_t have = word_at(w->address, w->wide);
    switch (w->flags & 3u) {
    case CU_STREAM_WAIT_VALUE_GEQ: /* cyclic, as documented: the difference is not negative */
        return w->wide ? (int64_t)(have - w->value) >= 0
                       : (int32_t)((uint32_t)have - (uint32_t)w->value) >= 0;
    case CU_STREAM_WAIT_VALUE_EQ:
        return have == w->value;
    case CU_STREAM_WAIT_VALUE_AND:
        return (have & w->value) != 0;
    default:
        return (~(have | w->value) & (w->wide ? UINT64_MAX : UINT32_MAX)) != 0;
    }
}

static void write_word(void *arg)
{
    struct wanted *w = arg;
    void *p = (void *)(uintptr_t)w->address;
    if (w->wide)
        __atomic_store_n((uint64_t *)p, w->value, __ATOMIC_RELEASE);
    else
        __atomic_store_n((uint32_t *)p, (uint32_t)w->value, __ATOMIC_RELEASE);
    free(w);
}

static CUresult one(struct sim_stream *s, const CUstreamBatchMemOpParams *op)
{
    bool wide =
        op->operation == CU_STREAM_MEM_OP_WAIT_VALUE_64 || op->operation == CU_STREAM_MEM_OP_WRITE_VALUE_64;
    bool write =
        op->operation == CU_STREAM_MEM_OP_WRITE_VALUE_32 || op->operation == CU_STREAM_MEM_OP_WRITE_VALUE_64;
    if (op->operation == CU_STREAM_MEM_OP_BARRIER || op->operation == CU_STREAM_MEM_OP_FLUSH_REMOTE_WRITES)
        return CUDA_SUCCESS;
    if (!write && op->operation != CU_STREAM_MEM_OP_WAIT_VALUE_32 && !wide)
        return CUDA_ERROR_NOT_SUPPORTED;
    if (op->waitValue.address % (wide ? 8 : 4) != 0 || op->waitValue.address < 4096)
        return CUDA_ERROR_INVALID_VALUE;
    struct wanted *w = malloc(sizeof(*w));
    if (w == NULL)
        return CUDA_ERROR_OUT_OF_MEMORY;
    *w = (struct wanted){op->waitValue.address, wide ? op->waitValue.value64 : op->waitValue.value, wide,
                         op->waitValue.flags};
    CUresult r;
    if (write) {
        /* in stream order: behind what runs, as a host function would be */
        r = sim_stream_host(s, write_word, w);
    } else {
        pthread_mutex_lock(&sim_driver_lock);
        r = sim_defer(s, &(struct sim_deferred){.kind = SIM_DEFERRED_VALUE, .reached = reached, .arg = w});
        pthread_mutex_unlock(&sim_driver_lock);
    }
    if (r != CUDA_SUCCESS)
        free(w);
    return r;
}

CUresult sim_stream_memops(struct sim_stream *s, const CUstreamBatchMemOpParams *ops, unsigned n)
{
    CUresult r = CUDA_SUCCESS;
    for (unsigned i = 0; i < n && r == CUDA_SUCCESS; i++)
        r = one(s, &ops[i]);
    return r;
}

static CUresult batch(CUstream stream, bool per_thread, unsigned n, CUstreamBatchMemOpParams *ops,
                      unsigned flags)
{
    struct sim_stream *s;
    CUresult r = sim_stream_resolve(stream, per_thread, &s);
    if (r != CUDA_SUCCESS)
        return r;
    if (n > 256 || (n > 0 && ops == NULL) || flags != 0)
        return CUDA_ERROR_INVALID_VALUE;
    if (sim_stream_capturing(s)) {
        struct sim_node *node;
        CUDA_BATCH_MEM_OP_NODE_PARAMS p = {(CUcontext)s->ctx, n, ops, flags};
        return sim_capture_node(s, CU_GRAPH_NODE_TYPE_BATCH_MEM_OP, &(union sim_node_params){.memop = p},
                                &node);
    }
    r = sim_capture_legacy_call(s);
    return r == CUDA_SUCCESS ? sim_stream_memops(s, ops, n) : r;
}

#define BATCH(entry, per_thread)                                                                             \
    CUresult entry(CUstream s, unsigned int n, CUstreamBatchMemOpParams *ops, unsigned int flags)            \
    {                                                                                                        \
        return batch(s, per_thread, n, ops, flags);                                                          \
    }
#define VALUE(entry, per_thread, op, type, member)                                                           \
    CUresult entry(CUstream s, CUdeviceptr address, type value, unsigned int flags)                          \
    {                                                                                                        \
        CUstreamBatchMemOpParams p = {.waitValue = {.operation = op, .address = address, .flags = flags}};   \
        p.waitValue.member = value;                                                                          \
        return batch(s, per_thread, 1, &p, 0);                                                               \
    }
#define FAMILY(name, op32, op64)                                                                             \
    VALUE(name##32, false, op32, cuuint32_t, value)                                                          \
    VALUE(name##32_ptsz, true, op32, cuuint32_t, value)                                                      \
    VALUE(name##32_v2, false, op32, cuuint32_t, value)                                                       \
    VALUE(name##32_v2_ptsz, true, op32, cuuint32_t, value)                                                   \
    VALUE(name##64, false, op64, cuuint64_t, value64)                                                        \
    VALUE(name##64_ptsz, true, op64, cuuint64_t, value64)                                                    \
    VALUE(name##64_v2, false, op64, cuuint64_t, value64)                                                     \
    VALUE(name##64_v2_ptsz, true, op64, cuuint64_t, value64)

BATCH(cuStreamBatchMemOp, false)
BATCH(cuStreamBatchMemOp_ptsz, true)
BATCH(cuStreamBatchMemOp_v2, false)
BATCH(cuStreamBatchMemOp_v2_ptsz, true)
FAMILY(cuStreamWaitValue, CU_STREAM_MEM_OP_WAIT_VALUE_32, CU_STREAM_MEM_OP_WAIT_VALUE_64)
FAMILY(cuStreamWriteValue, CU_STREAM_MEM_OP_WRITE_VALUE_32, CU_STREAM_MEM_OP_WRITE_VALUE_64)
