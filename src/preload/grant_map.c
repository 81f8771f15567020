/* SPDX-License-Identifier: Apache-2.0
 *
 * Reading the grant.
 *
 * Invariants:
 *   1. The mapping is read-only and whole: a file shorter than
 *      GRANT_FILE_BYTES is refused before it is mapped.
 *   2. What is parsed is a copy. A copy caught while the host writes is taken
 *      again, for at most 100 ms.
 *   3. Called by one thread at a time (slice.c holds its lock).
 */
#include "preload/grant_map.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "preload/log.h"

static const char *mapped; /* GRANT_FILE_BYTES, or NULL */
static char mapped_path[GRANT_TEXT_MAX] = GRANT_PATH;
static const volatile uint64_t constant_epoch; /* as if one that never changes */

static int open_grant(const char *path)
{
    return open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
}

static enum grant_found broken(const char *path, const char *why)
{
    log_error(
        "grant %s cannot be used: %s; no device memory will be given until it is repaired (hami doctor)",
        path, why);
    return GRANT_BROKEN;
}

/* Returns a descriptor, or -1 with *ret_found saying what that means. */
static int find_grant(const char **path, enum grant_found *ret_found)
{
    *path = GRANT_PATH;
    int fd = open_grant(*path);
    if (fd >= 0)
        return fd;
    *ret_found = GRANT_ABSENT;
    if (errno != ENOENT && errno != ENOTDIR) {
        *ret_found = broken(*path, strerror(errno));
        return -1;
    }
    const char *named = secure_getenv("HAMI_GRANT");
    if (!named || !*named)
        return -1;
    *path = named;
    fd = open_grant(named);
    if (fd < 0)
        *ret_found = broken(named, strerror(errno));
    return fd;
}

enum grant_found grant_map(struct grant *ret, uint64_t *ret_epoch)
{
    enum grant_found found = GRANT_FOUND;
    if (!mapped) {
        const char *path;
        int fd = find_grant(&path, &found);
        if (fd < 0)
            return found;
        off_t size = lseek(fd, 0, SEEK_END);
        void *m = size >= GRANT_FILE_BYTES ? mmap(NULL, GRANT_FILE_BYTES, PROT_READ, MAP_SHARED, fd, 0)
                                           : MAP_FAILED;
        int error = errno;
        close(fd);
        if (m == MAP_FAILED)
            return broken(path, size < GRANT_FILE_BYTES ? "it is shorter than a grant, which has 8192 bytes"
                                                        : strerror(error));
        mapped = m;
        snprintf(mapped_path, sizeof mapped_path, "%s", path);
    }
    for (int tries = 0;; tries++) {
        int result = grant_map_read(ret, ret_epoch);
        if (result == 0)
            return GRANT_FOUND;
        if (result == -2)
            return GRANT_BROKEN;
        if (tries == 100)
            return broken(mapped_path, "it stays half written");
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
}

int grant_map_read(struct grant *ret, uint64_t *ret_epoch)
{
    static char copy[GRANT_FILE_BYTES];
    struct grant_error error;
    if (!mapped)
        return -2;
    uint64_t before = *grant_map_epoch();
    atomic_thread_fence(memory_order_acquire);
    memcpy(copy, mapped, sizeof copy);
    if (before != *grant_map_epoch())
        return -1;
    if (grant_parse(copy, sizeof copy, ret, &error) == 0) {
        /* A processor may show the first and the last line of a new grant before the lines between. By now,
         * microseconds later, it shows all. */
        atomic_thread_fence(memory_order_acquire);
        if (memcmp(copy, mapped, sizeof copy) != 0)
            return -1;
        *ret_epoch = before;
        return 0;
    }
    if (strcmp(error.key, "end") == 0)
        return -1;
    log_error("grant %s line %u, %s: %s; limits stay as they were, or nothing is given (hami doctor)",
              mapped_path, error.line, error.key, error.reason);
    return -2;
}

const volatile uint64_t *grant_map_epoch(void)
{
    return mapped ? (const volatile uint64_t *)(const volatile void *)(mapped + GRANT_EPOCH_OFFSET)
                  : &constant_epoch;
}

void grant_unmap(void)
{
    if (mapped)
        munmap((void *)(uintptr_t)mapped, GRANT_FILE_BYTES);
    mapped = NULL;
}
