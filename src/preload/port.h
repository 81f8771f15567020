/* SPDX-License-Identifier: Apache-2.0
 *
 * Everything the throttle needs from outside: clock, sleep, futex and the few
 * driver calls that measure. A table, so that the same code runs against a
 * simulated machine in virtual time (tests/unit/preload/share_*.c). Used off
 * the hot path only.
 */
#ifndef HAMI_PRELOAD_PORT_H
#define HAMI_PRELOAD_PORT_H

#include <stdbool.h>
#include <stdint.h>

#include "abi/cuda.h"
#include "preload/hook.h"

struct port {
    uint64_t (*now)(void);                /* CLOCK_MONOTONIC ns */
    uint64_t (*random)(void);             /* what nobody can guess */
    void (*sleep_until)(uint64_t due_ns); /* may return early */
    /* Waits while *word == seen, until due_ns at most; may return early. */
    void (*wait)(_Atomic uint32_t *word, uint32_t seen, uint64_t due_ns, bool shared);
    void (*wake)(_Atomic uint32_t *word, bool shared);
    bool (*is_alive)(uint32_t pid);
    int (*device)(CUstream stream); /* region index of the thread's device, or the stream's; -1 = none */
    CUcontext (*context)(void);     /* the thread's current one, or NULL */
    bool (*event_create)(CUevent *ret);
    bool (*event_record)(CUevent event, CUstream stream);
    CUresult (*event_query)(CUevent event);
    CUresult (*stream_query)(CUstream stream);
    bool (*event_between_ns)(CUevent from, CUevent to, double *ret_ns);
    void (*event_destroy)(CUevent event);
    bool (*context_push)(CUcontext context);
    void (*context_pop)(void);
    bool (*is_capturing)(CUstream stream);
    CUstreamCaptureMode (*capture_mode)(CUstreamCaptureMode mode); /* returns the previous one */
};

extern OURS struct port port;

/* A lock of this process for short sections without any call outside. */
struct port_lock {
    _Atomic uint32_t word; /* 0 free, 1 taken, 2 taken and waited for */
};
void port_lock(struct port_lock *lock);
void port_unlock(struct port_lock *lock);

#endif
