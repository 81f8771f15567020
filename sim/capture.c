/* SPDX-License-Identifier: Apache-2.0
 *
 * Stream capture.
 */
#include "objects.h"

_Atomic unsigned sim_any_capture;

bool sim_stream_capturing(const struct sim_stream *s)
{
    return s->capture != NULL;
}

CUresult sim_capture_unsafe_call(void)
{
    return CUDA_SUCCESS;
}

CUresult sim_capture_unsafe_stream(const struct sim_stream *s)
{
    (void)s;
    return CUDA_SUCCESS;
}

CUresult sim_capture_unsafe_context(const struct sim_context *ctx)
{
    (void)ctx;
    return CUDA_SUCCESS;
}

CUresult sim_capture_legacy_call(const struct sim_stream *s)
{
    (void)s;
    return CUDA_SUCCESS;
}

CUresult sim_capture_event_record(struct sim_stream *s, struct sim_event *e, unsigned flags)
{
    (void)s, (void)e, (void)flags;
    return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
}

CUresult sim_capture_event_wait(struct sim_stream *s, struct sim_event *e, unsigned flags)
{
    (void)s, (void)e, (void)flags;
    return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
}

void sim_event_leave_capture(struct sim_event *e)
{
    e->capture = NULL;
}

CUresult sim_capture_kernel(struct sim_stream *s, struct sim_function *f, const unsigned grid[3],
                            const unsigned block[3], unsigned shared, void **parameters, void **extra)
{
    (void)s, (void)f, (void)grid, (void)block, (void)shared, (void)parameters, (void)extra;
    return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
}
