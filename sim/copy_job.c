/* SPDX-License-Identifier: Apache-2.0
 *
 * Checking, timing and performing copies; see copy_job.h.
 */
#include "copy_job.h"

#include <stdlib.h>
#include <string.h>

#include "objects.h"

static pthread_rwlock_t bytes_lock = PTHREAD_RWLOCK_INITIALIZER;

void sim_bytes_lock(bool exchange)
{
    if (exchange)
        pthread_rwlock_wrlock(&bytes_lock);
    else
        pthread_rwlock_rdlock(&bytes_lock);
}

void sim_bytes_unlock(void)
{
    pthread_rwlock_unlock(&bytes_lock);
}

/* ---- checking ---- */

struct resolved {
    uint64_t address, pitch, slice;
    bool real, host, pageable;
    CUdevice device; /* -1: host */
};

static CUresult resolve_array(const struct sim_copy_end *e, const struct sim_copy_request *q,
                              struct resolved *ret)
{
    const struct sim_array *a = sim_array_of(e->array);
    if (!a)
        return CUDA_ERROR_INVALID_HANDLE;
    if (e->x > a->row_bytes || q->width > a->row_bytes - e->x || e->y > a->rows ||
        q->height > a->rows - e->y || e->z > a->slices || q->depth > a->slices - e->z)
        return CUDA_ERROR_INVALID_VALUE;
    ret->address = a->base + e->x + e->y * a->pitch + e->z * a->slice;
    ret->pitch = a->pitch;
    ret->slice = a->slice;
    ret->real = a->real;
    ret->device = a->device;
    return CUDA_SUCCESS;
}

/* Offsets of a pitched box: false when anything overflows. */
static bool box(const struct sim_copy_end *e, const struct sim_copy_request *q, struct resolved *ret,
                uint64_t *ret_bytes)
{
    uint64_t rows, skip, tall, deep, last;
    ret->pitch = e->pitch;
    if (!e->pitch && __builtin_add_overflow(q->width, e->x, &ret->pitch))
        return false;
    rows = e->height;
    if (!e->height && __builtin_add_overflow(q->height, e->y, &rows))
        return false;
    if (__builtin_mul_overflow(ret->pitch, rows, &ret->slice) ||
        __builtin_mul_overflow(ret->pitch, e->y, &skip) || __builtin_mul_overflow(ret->slice, e->z, &deep) ||
        __builtin_add_overflow(skip, e->x, &skip) || __builtin_add_overflow(skip, deep, &skip) ||
        __builtin_add_overflow(e->address, skip, &ret->address))
        return false;
    return !__builtin_mul_overflow(ret->pitch, q->height - 1, &tall) &&
           !__builtin_mul_overflow(ret->slice, q->depth - 1, &deep) &&
           !__builtin_add_overflow(tall, deep, &last) && !__builtin_add_overflow(last, q->width, ret_bytes);
}

static CUresult resolve_linear(const struct sim_copy_end *e, const struct sim_copy_request *q, bool write,
                               struct resolved *ret)
{
    uint64_t bytes;
    struct sim_range r;
    if (!e->address)
        return CUDA_ERROR_INVALID_VALUE;
    if ((e->pitch && q->height * q->depth > 1 && e->pitch < q->width + e->x) ||
        (e->height && q->depth > 1 && e->height < q->height + e->y) || !box(e, q, ret, &bytes))
        return CUDA_ERROR_INVALID_VALUE;
    ret->device = -1;
    ret->real = true;
    bool known = sim_range_find(ret->address, &r);
    if (e->type == CU_MEMORYTYPE_HOST || (e->type == CU_MEMORYTYPE_UNIFIED && !known)) {
        if (!known && sim_arena_at(ret->address))
            return CUDA_ERROR_INVALID_VALUE; /* a freed one */
        ret->host =
            !known || r.host_visible; /* else a device's: driver 580 goes by the address, not the name */
        ret->pageable = !known;
        if (ret->host)
            return CUDA_SUCCESS;
    }
    CUresult rc = sim_range_check(ret->address, bytes, write, &r);
    if (rc != CUDA_SUCCESS && !known && !sim_arena_at(ret->address) && sim_shares_host_memory()) {
        ret->host = ret->pageable = true; /* the device reads the program's own memory */
        return CUDA_SUCCESS;
    }
    if (rc != CUDA_SUCCESS)
        return rc;
    ret->host = r.kind == SIM_MEM_HOST;
    ret->device = ret->host ? -1 : r.device;
    ret->real = r.real;
    if (write && r.kind == SIM_MEM_MANAGED && e->type == CU_MEMORYTYPE_DEVICE)
        sim_managed_touch(ret->address, bytes);
    return CUDA_SUCCESS;
}

static CUresult resolve(const struct sim_copy_end *e, const struct sim_copy_request *q, bool write,
                        struct resolved *ret)
{
    *ret = (struct resolved){.device = -1};
    if (e->lod)
        return CUDA_ERROR_INVALID_VALUE;
    switch (e->type) {
    case CU_MEMORYTYPE_ARRAY:
        return resolve_array(e, q, ret);
    case CU_MEMORYTYPE_HOST:
    case CU_MEMORYTYPE_DEVICE:
    case CU_MEMORYTYPE_UNIFIED:
        return resolve_linear(e, q, write, ret);
    default:
        return CUDA_ERROR_INVALID_VALUE;
    }
}

CUresult sim_copy_enter(void)
{
    struct sim_context *ctx;
    return sim_current(&ctx);
}

CUresult sim_copy_check(const struct sim_copy_request *q, struct sim_copy_job *ret)
{
    struct resolved src, dst;
    *ret = (struct sim_copy_job){0};
    if (!q->width || !q->height || !q->depth)
        return CUDA_SUCCESS;
    CUresult rc = resolve(&q->src, q, false, &src);
    if (rc == CUDA_SUCCESS)
        rc = resolve(&q->dst, q, true, &dst);
    if (rc != CUDA_SUCCESS)
        return rc;
    CUdevice current = sim_context_current() ? sim_context_device(sim_context_current()) : 0;
    *ret = (struct sim_copy_job){
        .src = src.address,
        .src_pitch = src.pitch,
        .src_slice = src.slice,
        .dst = dst.address,
        .dst_pitch = dst.pitch,
        .dst_slice = dst.slice,
        .width = q->width,
        .height = q->height,
        .depth = q->depth,
        .src_real = src.real,
        .dst_real = dst.real,
        .src_host = src.host,
        .dst_host = dst.host,
        .src_pageable = src.pageable,
        .dst_pageable = dst.pageable,
        .device = dst.device >= 0   ? dst.device
                  : src.device >= 0 ? src.device
                                    : current,
    };
    ret->peer = src.device >= 0 ? src.device : ret->device;
    return CUDA_SUCCESS;
}

CUresult sim_set_check(uint64_t dst, uint64_t pitch, uint32_t value, uint8_t element, uint64_t width,
                       uint64_t height, struct sim_copy_job *ret)
{
    struct sim_copy_request q = {
        .dst = {.type = CU_MEMORYTYPE_DEVICE, .address = dst, .pitch = pitch}, .height = height, .depth = 1};
    struct resolved to;
    *ret = (struct sim_copy_job){0};
    if (__builtin_mul_overflow(width, element, &q.width) || (dst & (element - 1U)) ||
        (pitch & (element - 1U)))
        return CUDA_ERROR_INVALID_VALUE;
    if (!width || !height)
        return CUDA_SUCCESS;
    CUresult rc = resolve(&q.dst, &q, true, &to);
    if (rc != CUDA_SUCCESS)
        return rc;
    *ret = (struct sim_copy_job){.dst = to.address,
                                 .dst_pitch = to.pitch,
                                 .dst_slice = to.slice,
                                 .width = q.width,
                                 .height = height,
                                 .depth = 1,
                                 .dst_real = to.real,
                                 .dst_host = to.host,
                                 .is_set = true,
                                 .element = element,
                                 .value = value};
    ret->device = to.device >= 0          ? to.device
                  : sim_context_current() ? sim_context_device(sim_context_current())
                                          : 0;
    ret->peer = ret->device;
    return CUDA_SUCCESS;
}

/* ---- performing ---- */

static void set_row(char *at, const struct sim_copy_job *j)
{
    if (j->element == 1) {
        memset(at, (int)j->value, j->width);
        return;
    }
    for (uint64_t i = 0; i < j->width; i += j->element)
        memcpy(at + i, &j->value, j->element); /* little endian: the low bytes come first */
}

static void copy_row(char *dst, const char *src, const struct sim_copy_job *j)
{
    if (j->src_real)
        memmove(dst, src, j->width);
    else
        memset(dst, 0, j->width); /* bytes that were only counted read as zero */
}

static void perform(const struct sim_copy_job *j)
{
    if (!j->dst_real)
        return;
    sim_bytes_lock(false);
    uint64_t rows = j->height * j->depth;
    for (uint64_t i = 0; i < rows; i++) {
        uint64_t z = i / j->height, y = i % j->height;
        char *dst = (char *)(uintptr_t)(j->dst + z * j->dst_slice + y * j->dst_pitch);
        if (j->is_set)
            set_row(dst, j);
        else
            copy_row(dst, (const char *)(uintptr_t)(j->src + z * j->src_slice + y * j->src_pitch), j);
    }
    sim_bytes_unlock();
}

static void effect(void *arg)
{
    struct sim_copy_job *j = arg;
    perform(j);
    if (j->heap) {
        free(j->staged);
        free(j);
    }
}

/* Within a card copies and sets have its compute engine to themselves, as kernels
 * of another process do: measured on an H100. Across the bus they run beside. */
static void time_of(const struct sim_copy_job *j, struct sim_work *ret)
{
    uint64_t bytes = j->width * j->height * j->depth;
    bool across = (!j->is_set && j->src_host != j->dst_host) || j->peer != j->device;
    unsigned machine = (unsigned)sim_device(j->device);
    bool untimed = sim_machine()->null_model || (j->src_host && j->dst_host && !j->is_set);
    *ret = (struct sim_work){
        .engine = across ? SIM_ENGINE_COPY : SIM_ENGINE_COMPUTE,
        .duration_ns = untimed ? 0 : sim_copy_ns(machine, bytes, across),
        .effect = effect,
    };
    if (!ret->duration_ns)
        ret->engine = SIM_ENGINE_NONE;
}

void sim_copy_describe(const struct sim_copy_job *job, struct sim_work *ret)
{
    struct sim_copy_job *j = malloc(sizeof *j);
    if (!j) {
        *ret = (struct sim_work){.engine = SIM_ENGINE_NONE};
        return;
    }
    *j = *job;
    j->heap = true;
    time_of(j, ret);
    ret->arg = j;
}

/* A graph launch reaches a captured copy. */
static void run_node(const void *params, struct sim_work *ret)
{
    sim_copy_describe(params, ret);
}

/* Rows of pageable memory are taken at once: the caller may change them as
 * soon as the call returns. */
static CUresult stage(struct sim_copy_job *j)
{
    uint64_t bytes;
    if (!j->dst_real || __builtin_mul_overflow(j->width, j->height * j->depth, &bytes))
        return CUDA_SUCCESS;
    j->staged = malloc(bytes);
    if (!j->staged)
        return CUDA_ERROR_OUT_OF_MEMORY;
    struct sim_copy_job pack = *j;
    pack.dst = (uint64_t)(uintptr_t)j->staged;
    pack.dst_pitch = j->width;
    pack.dst_slice = j->width * j->height;
    perform(&pack);
    j->src = pack.dst;
    j->src_pitch = pack.dst_pitch;
    j->src_slice = pack.dst_slice;
    return CUDA_SUCCESS;
}

static CUresult start_async(struct sim_copy_job *job, struct sim_stream *stream)
{
    if (sim_stream_capturing(stream)) {
        CUgraphNodeType type = job->is_set ? CU_GRAPH_NODE_TYPE_MEMSET : CU_GRAPH_NODE_TYPE_MEMCPY;
        return sim_capture_add(stream, type, job, sizeof *job, run_node);
    }
    struct sim_copy_job *j = malloc(sizeof *j);
    if (!j)
        return CUDA_ERROR_OUT_OF_MEMORY;
    *j = *job;
    j->heap = true;
    struct sim_work work;
    CUresult rc = j->src_pageable ? stage(j) : CUDA_SUCCESS;
    if (rc == CUDA_SUCCESS) {
        time_of(j, &work);
        work.arg = j;
        rc = sim_submit(stream, &work);
    }
    if (rc != CUDA_SUCCESS) {
        free(j->staged);
        free(j);
        return rc;
    }
    return job->dst_pageable ? sim_stream_wait(stream) : CUDA_SUCCESS;
}

/* Copies that touch the host and are not named Async hold the host until done;
 * those within devices, and sets, do not. */
static CUresult start_sync(struct sim_copy_job *job, struct sim_stream *stream)
{
    if (!job->src_host && !job->dst_host)
        return start_async(job, stream);
    struct sim_work work;
    time_of(job, &work);
    work.arg = job;
    CUresult rc = sim_submit(stream, &work);
    return rc == CUDA_SUCCESS ? sim_stream_wait(stream) : rc;
}

CUresult sim_copy_start(struct sim_copy_job *job, const struct sim_copy_stream *where)
{
    struct sim_stream *stream;
    bool sync = where->mode == SIM_COPY_SYNC;
    CUresult rc = sync ? sim_capture_unsafe_call() : CUDA_SUCCESS;
    if (rc == CUDA_SUCCESS)
        rc = sim_stream_resolve(sync ? NULL : where->handle, where->per_thread, &stream);
    if (rc != CUDA_SUCCESS || !job->width)
        return rc;
    return sync ? start_sync(job, stream) : start_async(job, stream);
}

CUresult sim_copy(const struct sim_copy_request *request, const struct sim_copy_stream *stream)
{
    struct sim_copy_job job;
    CUresult rc = sim_copy_enter();
    if (rc == CUDA_SUCCESS)
        rc = sim_copy_check(request, &job);
    return rc == CUDA_SUCCESS ? sim_copy_start(&job, stream) : rc;
}
