/* SPDX-License-Identifier: Apache-2.0
 *
 * The helper thread.
 *
 * Invariants:
 *   1. At most one per process, and none in a process that nobody limits and
 *      nobody watches. It is created by a submission of work, never earlier.
 *   2. All its signals are blocked; it holds no lock while it sleeps; it never
 *      creates a context and never makes one current.
 *   3. active is set by submitters and cleared by the helper only. While it is
 *      set the helper will look again, so no submission is missed.
 */
#include "preload/helper.h"

#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "preload/compute.h"
#include "preload/log.h"
#include "preload/memory.h"
#include "preload/monitor.h"
#include "preload/slice.h"
#include "preload/utilization.h"

#define VISIT_NS 100000000L
#define IDLE_VISITS 20   /* 2 s without a submission */
#define MEMORY_VISITS 10 /* once a second */
/* The management library is called on it, whose process figures overflow 128 KiB (driver 580.159.04, seen on
 * an H100). Only pages that are used become memory. */
#define STACK_BYTES (1 << 20)

enum { HELPER_NONE = 0, HELPER_RUNNING = 1 };

struct helper helper;
static _Atomic uint32_t state; /* HELPER_... */

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * UINT64_C(1000000000) + (uint64_t)t.tv_nsec;
}

static long futex(_Atomic uint32_t *word, int operation, uint32_t value, const struct timespec *limit)
{
    return syscall(SYS_futex, word, operation, value, limit, NULL, 0);
}

#pragma weak compute_tick

/* True while there is something to look after although nothing is submitted. */
static bool visit(bool worked)
{
    static unsigned visits;
    uint64_t now = now_ns();
    if (atomic_load_explicit(&slice.state, memory_order_acquire) != SLICE_ON)
        return false;
    if (compute_tick)
        compute_tick(now);
    memory_settle();
    if (visits++ % MEMORY_VISITS == 0)
        memory_tick(now);
    if (worked)
        monitor_publish(now);
    return utilization_publish(now, worked);
}

static void *helper_main(void *argument)
{
    (void)argument;
    prctl(PR_SET_NAME, "hami-helper", 0, 0, 0);
    unsigned idle = 0;
    for (;;) {
        bool worked = atomic_exchange_explicit(&helper.active, 0, memory_order_acquire) != 0;
        idle = worked ? 0 : idle + 1;
        bool shows = visit(worked);
        if (idle < IDLE_VISITS || shows) {
            nanosleep(&(struct timespec){.tv_nsec = VISIT_NS}, NULL);
            continue;
        }
        while (atomic_load(&helper.active) == 0) {
            static const struct timespec second = {.tv_sec = 1};
            bool watches = memory_watches();
            futex(&helper.active, FUTEX_WAIT_PRIVATE, 0, watches ? &second : NULL);
            if (watches && atomic_load_explicit(&slice.state, memory_order_acquire) == SLICE_ON)
                memory_tick(now_ns());
        }
        idle = 0;
    }
    return NULL;
}

/* Somebody limits this process, or looks at what it does. */
static bool is_needed(void)
{
    if (slice.watched)
        return true;
    for (unsigned d = 0; d < slice.n_devices; d++)
        if (slice_cores_limit(d) || slice_mem_limit(d))
            return true;
    return false;
}

static void start(void)
{
    sigset_t all, before;
    pthread_attr_t attr;
    pthread_t thread;
    sigfillset(&all);
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &all, &before, (size_t)(_NSIG / 8));
    int result = pthread_attr_init(&attr);
    if (result == 0) {
        pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
        pthread_attr_setstacksize(&attr, STACK_BYTES);
        result = pthread_create(&thread, &attr, helper_main, NULL);
        pthread_attr_destroy(&attr);
    }
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, &before, NULL, (size_t)(_NSIG / 8));
    if (result != 0)
        log_warn("no helper thread: error %d; measurements settle at the next submission", result);
}

__attribute__((cold)) void helper_wake(void)
{
    int saved = errno;
    if (atomic_exchange(&helper.active, 1) == 0 && atomic_load(&slice.state) == SLICE_ON) {
        uint32_t none = HELPER_NONE;
        if (atomic_load(&state) == HELPER_RUNNING)
            futex(&helper.active, FUTEX_WAKE_PRIVATE, 1, NULL);
        else if (is_needed() && atomic_compare_exchange_strong(&state, &none, HELPER_RUNNING))
            start();
    }
    errno = saved;
}

void helper_after_fork(void)
{
    atomic_store(&state, HELPER_NONE);
    atomic_store(&helper.active, 0);
}
