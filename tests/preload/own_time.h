/* SPDX-License-Identifier: Apache-2.0
 *
 * A process that lives in a time of its own, in which computing takes next to
 * none and waiting none of ours, so that a busy host changes nothing. The
 * library's and the simulated driver's calls are bound to these. For one file
 * of a test program.
 *
 * The library's helper thread comes by every 100 ms of real time. While it is
 * awake no time is jumped over: on a host that keeps it from running, what it
 * has in hand would else seem to take for ever.
 */
#ifndef HAMI_TESTS_PRELOAD_OWN_TIME_H
#define HAMI_TESTS_PRELOAD_OWN_TIME_H

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "sim/inspect.h"
#include "support.h"

static uint64_t clock_ns; /* 0: the machine's own */

int clock_gettime(clockid_t id, struct timespec *ret)
{
    if (clock_ns == 0)
        return (int)syscall(SYS_clock_gettime, id, ret);
    uint64_t now = __atomic_add_fetch(&clock_ns, 100, __ATOMIC_RELAXED);
    *ret = (struct timespec){.tv_sec = (time_t)(now / 1000000000), .tv_nsec = (long)(now % 1000000000)};
    return 0;
}

static pthread_mutex_t helper_is_awake = PTHREAD_MUTEX_INITIALIZER;
static __thread bool is_helper;

int prctl(int option, ...)
{
    va_list list;
    unsigned long a[4];
    va_start(list, option);
    for (int i = 0; i < 4; i++)
        a[i] = va_arg(list, unsigned long);
    va_end(list);
    if (option == PR_SET_NAME && !is_helper && strcmp((const char *)a[0], "hami-helper") == 0) {
        is_helper = true;
        pthread_mutex_lock(&helper_is_awake);
    }
    return (int)syscall(SYS_prctl, option, a[0], a[1], a[2], a[3]);
}

int nanosleep(const struct timespec *length, struct timespec *left)
{
    if (is_helper)
        pthread_mutex_unlock(&helper_is_awake);
    int result = (int)syscall(SYS_nanosleep, length, left);
    if (is_helper)
        pthread_mutex_lock(&helper_is_awake);
    return result;
}

/* False: it waits for work, which it does awake, or is stuck. */
static inline bool helper_sleeps(void)
{
    struct timespec limit;
    syscall(SYS_clock_gettime, CLOCK_REALTIME, &limit);
    limit.tv_sec += 1;
    return pthread_mutex_timedlock(&helper_is_awake, &limit) == 0;
}

static inline void wait_until(uint64_t due_ns)
{
    bool sleeps = helper_sleeps();
    uint64_t now = __atomic_load_n(&clock_ns, __ATOMIC_RELAXED);
    while (now < due_ns &&
           !__atomic_compare_exchange_n(&clock_ns, &now, due_ns, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        ;
    if (sleeps)
        pthread_mutex_unlock(&helper_is_awake);
}

int clock_nanosleep(clockid_t id, int flags, const struct timespec *due, struct timespec *left)
{
    if (clock_ns == 0)
        return syscall(SYS_clock_nanosleep, id, flags, due, left) == 0 ? 0 : EINTR;
    wait_until((uint64_t)due->tv_sec * 1000000000 + (uint64_t)due->tv_nsec);
    return 0;
}

static inline uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* From here on; work that was begun is over. False: there is no simulated machine to look at. */
static inline bool own_time_begin(void)
{
    char error[256];
    if (sim_state_open_path(getenv("HAMI_SIM_STATE"), error, sizeof error) != 0) {
        kit_tell("%s", error);
        return false;
    }
    kit_cuda()->cuCtxSynchronize();
    bool sleeps = helper_sleeps();
    clock_ns = now_ns();
    if (sleeps)
        pthread_mutex_unlock(&helper_is_awake);
    return true;
}

/* This process's part of the card's time from one moment to another, in percent. */
static inline double share(uint64_t from, uint64_t to)
{
    uint64_t busy = sim_inspect_busy_ns(0, UINT32_MAX, getpid(), from, to);
    return 100.0 * (double)busy / (double)(to - from);
}

#endif
