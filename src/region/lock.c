/* SPDX-License-Identifier: Apache-2.0 */
#include "region/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "region/identity.h"

#define STARVED_WAITS 30

static int lock_call(int fd, int command, short type, off_t byte, off_t n, struct flock *ret)
{
    *ret = (struct flock){.l_type = type, .l_whence = SEEK_SET, .l_start = byte, .l_len = n};
    return syscall(SYS_fcntl, fd, command, ret) < 0 ? -errno : 0;
}

int region_lock(int fd, short type, off_t byte)
{
    struct flock fl;
    int rc = lock_call(fd, F_OFD_SETLK, type, byte, 1, &fl);
    return rc == -EACCES ? -EAGAIN : rc;
}

void region_lock_name(int fd, short type)
{
    struct flock fl;
    lock_call(fd, F_SETLK, type, REGION_LOCK_NAME, 1, &fl);
}

int32_t region_lock_namer(int fd)
{
    struct flock fl;
    bool is_held = lock_call(fd, F_GETLK, F_WRLCK, REGION_LOCK_NAME, 1, &fl) == 0 && fl.l_type != F_UNLCK;
    return is_held ? fl.l_pid : 0;
}

/* A waiting fcntl cannot be bounded without a signal; holders keep a lock for
 * some ten microseconds, so short sleeps that grow are enough. */
void region_pause(long *pause_ns)
{
    *pause_ns = *pause_ns == 0 ? 20000 : *pause_ns < 2000000 ? *pause_ns * 2 : *pause_ns;
    nanosleep(&(struct timespec){.tv_nsec = *pause_ns}, NULL);
}

struct region_patience region_patience(void)
{
    return (struct region_patience){.deadline_ns = region_now_ns() + REGION_WAIT_NS};
}

bool region_patience_over(struct region_patience *p, int32_t holder)
{
    if (region_now_ns() <= p->deadline_ns)
        return false;
    int32_t self = holder == getpid() ? (int32_t)syscall(SYS_gettid) : 0;
    if (p->starved == STARVED_WAITS || holder <= 0 || !region_is_runnable(holder, self))
        return true;
    p->starved++;
    p->deadline_ns += REGION_WAIT_NS;
    return false;
}

uint64_t region_now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

bool region_lock_held(int fd, off_t byte, off_t n)
{
    struct flock fl;
    return lock_call(fd, F_OFD_GETLK, F_WRLCK, byte, n, &fl) < 0 || fl.l_type != F_UNLCK;
}

int region_stat(int fd, struct stat *ret)
{
    return syscall(SYS_fstat, fd, ret) < 0 ? -errno : 0;
}
