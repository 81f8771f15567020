/* SPDX-License-Identifier: Apache-2.0
 *
 * fork, raw clone, exit.
 *
 * Invariants:
 *   1. One fork handler per process and its descendants, whatever their number.
 *   2. A copy never touches the parent's slot, lock or helper: it forgets them
 *      and attaches anew when it makes an effective call itself.
 *   3. The parent's file locks belong to the open file; the copy only closes
 *      its descriptor and never unlocks.
 */
#include "preload/life.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "preload/compute.h"
#include "preload/helper.h"
#include "preload/memory.h"
#include "preload/slice.h"
#include "preload/utilization.h"
#include "region/lock.h"

#ifndef MADV_WIPEONFORK
#define MADV_WIPEONFORK 18
#endif

static struct region held;
static struct stat held_file;
static _Atomic pid_t known_pid; /* the process that this state belongs to; 0 = none yet */
static uint32_t generation;

/* What pthread_atfork calls; used directly because this library has none of
 * the start files that pthread_atfork's static part refers to. Weak: musl has
 * no such function, and would not start a program that inherits LD_PRELOAD. */
__attribute__((weak)) int __register_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void),
                                            void *object);

/* A daemon closes every descriptor, ours too, and may have opened another file
 * under its number since. */
static bool fd_is_ours(void)
{
    struct stat now;
    return held.fd >= 0 && region_stat(held.fd, &now) == 0 && now.st_dev == held_file.st_dev &&
           now.st_ino == held_file.st_ino;
}

void life_in_child(void)
{
    int saved = errno;
    if (life_is_stale()) {
        if (held.base && !fd_is_ours())
            held.fd = -1;
        if (held.base)
            region_close(&held);
        atomic_store(&known_pid, getpid());
        generation++;
        slice_after_fork();
        helper_after_fork();
        compute_after_fork();
        memory_after_fork();
        utilization_after_fork();
    }
    errno = saved;
}

void life_begin(void)
{
    static atomic_bool registered;
    if (!atomic_exchange(&registered, true)) {
        atomic_store(&known_pid, getpid());
        if (__register_atfork)
            __register_atfork(NULL, NULL, life_in_child, NULL);
    }
}

void life_empty_in_copies(void *state, size_t bytes)
{
    madvise(state, bytes, MADV_WIPEONFORK);
}

uint32_t life_attached(const struct region *region)
{
    memcpy(&held, region, sizeof held);
    if (held.fd < 0 || region_stat(held.fd, &held_file) != 0)
        held_file = (struct stat){0};
    return generation;
}

/* At an orderly end the slot stops counting for those who only read the
 * region. What the process holds stays charged until it is really gone: its
 * memory is freed by the driver after this, and whoever needs the room finds
 * out (region_reclaim). */
__attribute__((destructor)) static void life_end(void)
{
    if (atomic_load_explicit(&slice.state, memory_order_relaxed) != SLICE_ON || life_is_stale())
        return;
    if (slice.region.base && slice.slot >= 0 && slice.slot < REGION_SLOTS - 1)
        __atomic_store_n(&slice.region.base->procs[slice.slot].status, REGION_SLOT_FREE, __ATOMIC_RELEASE);
}

bool life_is_stale(void)
{
    pid_t pid = atomic_load(&known_pid);
    return pid != 0 && pid != getpid();
}
