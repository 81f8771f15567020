/* SPDX-License-Identifier: Apache-2.0 */
#include "region/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "region/identity.h"
#include "region/layout.h"

#define STARVED_NS (30 * REGION_WAIT_NS)
#define RUNS_NS (REGION_WAIT_NS / 5) /* of a second: who has had so much is not kept from running */

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
    uint64_t now = region_now_ns();
    return (struct region_patience){.deadline_ns = now + REGION_WAIT_NS, .latest_ns = now + STARVED_NS};
}

/* What a process has had of processors; without this thread, whose waiting is
 * none of its work. The kernel's name for the clock of another process is its
 * pid (clock_getcpuclockid() of glibc makes the same). */
static uint64_t ran_ns(int32_t pid)
{
    enum { WHOLE_PROCESS = 2 };
    struct timespec all = {0}, own = {0};
    syscall(SYS_clock_gettime, (int32_t)(~(uint32_t)pid << 3 | WHOLE_PROCESS), &all);
    if (pid == getpid())
        syscall(SYS_clock_gettime, CLOCK_THREAD_CPUTIME_ID, &own);
    return (uint64_t)(all.tv_sec - own.tv_sec) * 1000000000u + (uint64_t)all.tv_nsec - (uint64_t)own.tv_nsec;
}

static bool is_starved(struct region_patience *p, int32_t holder)
{
    int32_t self = holder == getpid() ? (int32_t)syscall(SYS_gettid) : 0;
    uint64_t ran = ran_ns(holder), before = p->holder_ran_ns;
    p->holder_ran_ns = ran;
    return ran - before < RUNS_NS && region_is_runnable(holder, self);
}

bool region_patience_over(struct region_patience *p, int32_t holder)
{
    uint64_t now = region_now_ns();
    if (holder > 0 && holder != p->holder) {
        p->holder = holder;
        p->holder_ran_ns = ran_ns(holder);
        p->deadline_ns = now + REGION_WAIT_NS;
    }
    if (now <= p->deadline_ns)
        return now > p->latest_ns;
    p->deadline_ns = now + REGION_WAIT_NS;
    return now > p->latest_ns || holder <= 0 || !is_starved(p, holder);
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

bool region_lock_attached(int fd)
{
    const off_t overflow = REGION_LOCK_LIFE + REGION_SLOTS - 1;
    struct flock fl;
    return region_lock_held(fd, REGION_LOCK_LIFE, REGION_SLOTS - 1) ||
           lock_call(fd, F_OFD_GETLK, F_WRLCK, overflow, 1, &fl) < 0 || fl.l_type == F_RDLCK;
}

int region_stat(int fd, struct stat *ret)
{
    return syscall(SYS_fstat, fd, ret) < 0 ? -errno : 0;
}
