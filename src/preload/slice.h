/* SPDX-License-Identifier: Apache-2.0
 *
 * The process's view of its slice: limits, region, slot and the map from CUDA
 * ordinals to region devices. Everything in libvgpu.so that needs a limit or
 * the region goes through here.
 *
 * Life: nothing exists until the first effective CUDA or NVML call of the
 * process; slice_attach() then reads the limits (grant, region, /overrideEnv,
 * environment, pid 1's environment, in this order), maps the region and claims
 * a slot. After fork the child is unattached again (the generation differs).
 */
#ifndef HAMI_PRELOAD_SLICE_H
#define HAMI_PRELOAD_SLICE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "abi/cuda.h"
#include "preload/hook.h"
#include "preload/lane_layout.h"
#include "region/grant.h"
#include "region/region.h"

enum slice_state {
    SLICE_UNATTACHED = 0,
    SLICE_OFF,     /* nothing to enforce here: setuid program without a grant of the host */
    SLICE_ON,      /* attached */
    SLICE_REFUSED, /* limits should exist and cannot be read: nothing may be taken */
};

/* The largest page a kernel for this processor may have. */
#if defined(__aarch64__)
#define SLICE_PAGE 65536
#else
#define SLICE_PAGE 4096
#endif

/* Lies on pages of its own that the kernel empties in the child of a fork or
 * of a raw clone: the child is unattached again without any code running. What
 * else lay on them would be emptied, too, and what does not begin a page the
 * kernel refuses to empty. */
struct slice {
    _Alignas(SLICE_PAGE) _Atomic uint32_t state; /* enum slice_state */
    _Atomic uint32_t checked; /* slice.c: slice_check() was here since the last try to attach */
    uint32_t generation;      /* of fork: a child starts a new one */
    struct region region;
    int slot;
    bool has_grant;
    bool watched; /* somebody besides this process looks at the region */
    enum grant_policy policy;
    int32_t priority;
    bool oversubscribe;
    uint32_t n_devices; /* of the region */
    int denied;         /* index of every card the grant does not name: nothing may be taken; -1 = none */
    char board[REGION_DEVICES][GRANT_TEXT_MAX];   /* turn boards, empty = none */
    const volatile uint64_t *grant_epoch;         /* 8 bytes of the mapped grant, or a constant */
    _Atomic uint64_t grant_mem[REGION_DEVICES];   /* of the grant: bytes; 0 = unlimited */
    _Atomic uint32_t grant_cores[REGION_DEVICES]; /* of the grant: percent */
    char end[];
};

extern OURS struct slice slice;

/* Attaches if need be. Returns SLICE_ON, SLICE_OFF or SLICE_REFUSED. Cheap
 * when already attached. Never changes errno, never blocks longer than
 * the region's locks do (region/lock.h). */
enum slice_state slice_attach(void);

/* As slice_attach for a process that uses NVML and maybe no CUDA at all: never
 * loads the CUDA driver. */
enum slice_state slice_attach_nvml(void);

/* Before the driver is initialised: SLICE_REFUSED when the grant is broken. */
enum slice_state slice_check(void);

/* life.c only. */
void slice_after_fork(void);

/* The limits in force now: the grant's when there is one, else the region's. */
uint64_t slice_mem_limit(unsigned d);   /* bytes; 0 = unlimited */
uint32_t slice_cores_limit(unsigned d); /* percent 1..99; 0 = unlimited */

/* Region index of a CUDA ordinal or NVML handle's UUID; -1 when not ours. */
int slice_device_of(CUdevice ordinal);
int slice_device_of_uuid(const char *uuid);

/* The CUDA ordinals became known, or changed: cuInit succeeded. */
void slice_map_ordinals(void);

/* Region index of the calling thread's current context; -1 without one. */
int slice_device_current(void);

/* Every launch, graph launch and allocation passes here: waits while the host
 * has suspended the slice or blocked its launches. One load when it is open. */
void slice_gate(void);

/* What slice_gate() looks at, for those on the fast paths, who do without the
 * call and without asking whether there is a region: below 0, or not 0 GATE_SUSPENDED_AT
 * bytes further on, means call it. Until the process is attached these are two
 * words of our own that say so. Not in `slice`, which copies find empty. */
extern OURS const volatile int32_t *_Atomic slice_gate_words;

/* The host lets work through: what slice_gate() would find, without a call. */
static inline bool slice_is_open(void)
{
    const volatile int32_t *words = atomic_load_explicit(&slice_gate_words, memory_order_relaxed);
    return likely(words[0] >= 0) && likely(words[GATE_SUSPENDED_AT / 4] == 0);
}

#endif
