/* SPDX-License-Identifier: Apache-2.0
 *
 * Preloaded into every emulated program (tests/images/enter): qemu-user answers
 * a program that opens its own /proc/<pid>/stat with a text of its own, whose
 * start time is that of the emulator's first thread; a fork's child is even
 * told its parent's. All other processes are told the kernel's. libvgpu.so
 * compares the two to tell a process from another one with the same pid, so
 * that under the emulator the living look dead. Here the kernel's text is
 * opened: the emulator knows the file by its path, not by folder and name.
 *
 * Only open() is looked after: that is what the region's code calls.
 */
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static int is_own_stat(const char *path)
{
    char own[32];
    snprintf(own, sizeof own, "/proc/%d/stat", getpid());
    return strcmp(path, own) == 0 || strcmp(path, "/proc/self/stat") == 0;
}

static int open_own_stat(int flags)
{
    int folder = (int)syscall(SYS_openat, AT_FDCWD, "/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
    int fd = folder < 0 ? -1 : (int)syscall(SYS_openat, folder, "stat", flags, 0);
    if (folder >= 0)
        syscall(SYS_close, folder);
    return fd;
}

static int open_any(const char *path, int flags, mode_t mode)
{
    return is_own_stat(path) ? open_own_stat(flags) : (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

#define OPEN(name)                                                                                           \
    int name(const char *path, int flags, ...);                                                              \
    int name(const char *path, int flags, ...)                                                               \
    {                                                                                                        \
        va_list more;                                                                                        \
        va_start(more, flags);                                                                               \
        mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0;                              \
        va_end(more);                                                                                        \
        return open_any(path, flags, mode);                                                                  \
    }

OPEN(open)
OPEN(open64)
