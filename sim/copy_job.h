/* SPDX-License-Identifier: Apache-2.0
 *
 * One copy or set: everything the driver can copy is a box of rows and slices
 * between two addresses. Entry points fill a description, this module checks
 * it, times it and moves the bytes in stream order.
 */
#ifndef HAMI_SIM_COPY_JOB_H
#define HAMI_SIM_COPY_JOB_H

#include "mem_array.h"

/* One side of a copy as the caller gave it. */
struct sim_copy_end {
    CUmemorytype type;      /* UNIFIED: host or device, by address */
    uint64_t address;       /* of HOST, DEVICE and UNIFIED */
    CUarray array;          /* of ARRAY */
    uint64_t x, y, z;       /* x in bytes */
    uint64_t pitch, height; /* 0: packed */
    uint64_t lod;
};

struct sim_copy_request {
    struct sim_copy_end src, dst;
    uint64_t width, height, depth; /* bytes, rows, slices */
};

/* Checked: addresses of the first byte, and the steps between rows and slices. */
struct sim_copy_job {
    uint64_t src, src_pitch, src_slice;
    uint64_t dst, dst_pitch, dst_slice;
    uint64_t width, height, depth;
    bool src_real, dst_real; /* bytes are stored, not only counted */
    bool src_host, dst_host;
    bool src_pageable, dst_pageable;
    bool is_set, heap;
    uint8_t element; /* of a set: 1, 2 or 4 bytes */
    uint32_t value;
    CUdevice device;
    CUdevice peer; /* the other device, or the same */
    void *staged;
};

enum sim_copy_mode {
    SIM_COPY_SYNC, /* the null stream; the host waits where the driver does */
    SIM_COPY_ASYNC /* the given stream */
};

struct sim_copy_stream {
    enum sim_copy_mode mode;
    CUstream handle;
    bool per_thread;
};

/* CUDA_SUCCESS with a job; a job with width 0 has nothing to do. */
CUresult sim_copy_check(const struct sim_copy_request *q, struct sim_copy_job *ret);
CUresult sim_set_check(uint64_t dst, uint64_t pitch, uint32_t value, uint8_t element, uint64_t width,
                       uint64_t height, struct sim_copy_job *ret);
/* The work of a job at a graph launch; the job is copied. */
void sim_copy_describe(const struct sim_copy_job *job, struct sim_work *ret);
/* Submits, captures or waits, as the stream demands. */
CUresult sim_copy_start(struct sim_copy_job *job, const struct sim_copy_stream *where);
/* Both. */
CUresult sim_copy(const struct sim_copy_request *request, const struct sim_copy_stream *stream);
/* Checks that the driver is up and a context current, as every entry does first. */
CUresult sim_copy_enter(void);

/* Whether a handle is a context's. */
bool sim_context_is(CUcontext handle);

/* Held for reading while bytes move; for writing while the pages behind
 * addresses are exchanged for shared ones. */
void sim_bytes_lock(bool exchange);
void sim_bytes_unlock(void);

#endif
