/* SPDX-License-Identifier: Apache-2.0
 *
 * What runs inside the helper process: works through the backends and writes
 * one reply to standard output. Nothing else is written there.
 */
#include "driver/helper.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "driver/backend.h"

static const struct driver_backend *const backends[] = {&driver_nvml};

static bool write_all(int fd, const void *from, size_t n)
{
    const char *p = from;
    while (n) {
        ssize_t done = write(fd, p, n);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return false;
        p += done;
        n -= (size_t)done;
    }
    return true;
}

static const char *answer(const struct driver_backend *b, int argc, char **argv, struct driver_reply *reply)
{
    const char *what = argc > 2 ? argv[2] : "";
    const char *why = b->open();
    if (why)
        return why;
    if (strcmp(what, "discover") == 0 && argc == 3)
        return b->discover(&reply->inventory);
    if (strcmp(what, "set-limit") == 0 && argc == 6)
        return b->set_limit(argv[3], argv[4], strtoull(argv[5], NULL, 10));
    if (strcmp(what, "get-limit") == 0 && argc == 5)
        return b->get_limit(argv[3], argv[4], &reply->limit);
    return "unknown question";
}

int driver_helper_main(int argc, char **argv)
{
    static struct driver_reply reply;
    int fd = dup(STDOUT_FILENO);
    /* A library that prints must not spoil the reply. */
    if (fd < 0 || dup2(STDERR_FILENO, STDOUT_FILENO) < 0)
        return 1;
    for (size_t i = 0; i < sizeof backends / sizeof *backends; i++) {
        const char *why = answer(backends[i], argc, argv, &reply);
        reply.ok = !why;
        snprintf(reply.why, sizeof reply.why, "%s", why ? why : "");
        if (!why)
            break;
    }
    reply.magic = DRIVER_REPLY_MAGIC;
    reply.bytes = sizeof reply;
    bool written = write_all(fd, &reply, sizeof reply);
    _exit(written ? 0 : 1); /* the library's exit handlers may hang */
}
