/* SPDX-License-Identifier: Apache-2.0 */
#include "region/identity.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { PID_LIMIT = 1 << 22, PID_DIGITS = 7 }; /* PID_MAX_LIMIT of 64-bit Linux */

#define INITIAL_PID_NS UINT64_C(0xeffffffc) /* PROC_PID_INIT_INO of linux/proc_ns.h */

#define FNV_START 0xcbf29ce484222325ull

static uint64_t hash(uint64_t h, const void *data, size_t n)
{
    for (const unsigned char *p = data; n--; p++)
        h = (h ^ *p) * 0x100000001b3ull;
    return h;
}

/* Reads at most size bytes of a file that /proc gives in one piece. Returns
 * the length or -errno. */
static ssize_t read_small(const char *path, char *buf, size_t size)
{
    ssize_t n;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return -errno;
    do
        n = read(fd, buf, size);
    while (n < 0 && errno == EINTR);
    n = n < 0 ? -errno : n;
    close(fd);
    return n;
}

static bool take_number(const char **at, const char *end, uint64_t *ret)
{
    const char *start = *at;
    uint64_t v = 0;
    for (; *at < end && **at >= '0' && **at <= '9'; ++*at)
        v = v * 10 + (uint64_t)(**at - '0');
    *ret = v;
    return *at > start;
}

static const char *skip_fields(const char *at, const char *end, int n)
{
    for (; n && at; n--) {
        at = memchr(at, ' ', (size_t)(end - at));
        at = at ? at + 1 : NULL;
    }
    return at;
}

bool region_stat_parse(const char *text, size_t n, char *ret_state, uint64_t *ret_threads,
                       uint64_t *ret_start_ticks)
{
    const char *end = text + n;
    const char *at = memrchr(text, ')', n);
    if (!at || end - at < 3 || at[1] != ' ')
        return false;
    *ret_state = at[2];
    at = skip_fields(at + 2, end, 17); /* from field 3, the state, to field 20 */
    if (!at || !take_number(&at, end, ret_threads))
        return false;
    at = skip_fields(at, end, 2);
    return at && take_number(&at, end, ret_start_ticks);
}

int32_t region_hostpid_parse(const char *reply, size_t n)
{
    int32_t binary;
    uint64_t value = 0;
    if (n == 0) /* of no reply nothing may be computed, not even its end */
        return 0;
    const char *at = reply, *end = reply + n;
    if (n == sizeof binary && reply[3] == '\0') {
        memcpy(&binary, reply, sizeof binary);
        return binary > 0 && binary < PID_LIMIT ? binary : 0;
    }
    size_t digits = n < PID_DIGITS ? n : PID_DIGITS;
    if (!take_number(&at, reply + digits, &value) || value >= PID_LIMIT)
        return 0;
    return at == end || strchr(" \r\n", *at) ? (int32_t)value : 0;
}

enum region_presence region_presence_of(int32_t pid, uint64_t *ret_start_ticks)
{
    char path[32], text[1024], state;
    uint64_t threads;
    if (pid <= 0)
        return REGION_GONE;
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    ssize_t n = read_small(path, text, sizeof text);
    if (n < 0 || !region_stat_parse(text, (size_t)n, &state, &threads, ret_start_ticks))
        return kill(pid, 0) < 0 && errno == ESRCH ? REGION_GONE : REGION_HIDDEN;
    /* A leader that left its threads behind is a zombie of a living process. */
    if ((state == 'Z' || state == 'X' || state == 'x') && threads <= 1)
        return REGION_GONE;
    return REGION_PRESENT;
}

static bool is_thread_runnable(int32_t pid, int32_t tid)
{
    char path[48], text[1024], state = 0;
    uint64_t threads, start;
    snprintf(path, sizeof path, "/proc/%d/task/%d/stat", pid, tid);
    ssize_t n = read_small(path, text, sizeof text);
    return n > 0 && region_stat_parse(text, (size_t)n, &state, &threads, &start) && state == 'R';
}

bool region_is_runnable(int32_t pid, int32_t but)
{
    char path[32], buf[1024] __attribute__((aligned(8)));
    bool found = false;
    long n;
    snprintf(path, sizeof path, "/proc/%d/task", pid);
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    while (fd >= 0 && !found && (n = syscall(SYS_getdents64, fd, buf, sizeof buf)) > 0)
        for (long at = 0; at < n && !found;) {
            const struct dirent64 *entry = (const void *)(buf + at);
            const char *digits = entry->d_name;
            uint64_t tid;
            found = take_number(&digits, digits + strlen(digits), &tid) && (int32_t)tid != but &&
                    is_thread_runnable(pid, (int32_t)tid);
            at += entry->d_reclen;
        }
    if (fd >= 0)
        close(fd);
    return found;
}

static uint64_t pid_namespace(void)
{
    char link[64];
    uint64_t inode = 0;
    ssize_t n = readlink("/proc/self/ns/pid", link, sizeof link); /* pid:[4026531836] */
    const char *at = n > 0 ? memchr(link, '[', (size_t)n) : NULL;
    if (at) {
        at++;
        take_number(&at, link + n, &inode);
    }
    return inode;
}

void region_identity_self(struct region_identity *ret)
{
    uint64_t start = 0;
    *ret = (struct region_identity){.pid = getpid()};
    if (region_presence_of(ret->pid, &start) == REGION_PRESENT)
        ret->start_ticks = start;
    ret->pid_ns = pid_namespace();
}

uint64_t region_incarnation(const struct region_identity *self)
{
    char boot[64] = {0};
    uint64_t init_start = 0;
    ssize_t n = read_small("/proc/sys/kernel/random/boot_id", boot, sizeof boot);
    uint64_t h = hash(FNV_START, boot, n > 0 ? (size_t)n : 0);
    if (self->pid_ns != INITIAL_PID_NS) /* the host's pid 1 lives as long as the boot */
        region_presence_of(1, &init_start);
    h = hash(h, &self->pid_ns, sizeof self->pid_ns);
    return hash(h, &init_start, sizeof init_start);
}
