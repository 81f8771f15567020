/* SPDX-License-Identifier: Apache-2.0
 *
 * Who a process is, and whether it still runs. A pid alone is not enough: it
 * is reused, and means something else in another pid namespace.
 */
#ifndef HAMI_REGION_IDENTITY_H
#define HAMI_REGION_IDENTITY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct region_identity {
    int32_t pid;
    uint64_t start_ticks; /* field 22 of /proc/<pid>/stat; 0 = could not be read */
    uint64_t pid_ns;      /* inode of the pid namespace; 0 = could not be read */
};

enum region_presence {
    REGION_GONE,    /* no such process, or a zombie without threads */
    REGION_PRESENT, /* runs; the start time is known */
    REGION_HIDDEN,  /* exists, but /proc does not show it to us */
};

void region_identity_self(struct region_identity *ret);

/* Looks a pid of our own namespace up. *ret_start_ticks is set when PRESENT. */
enum region_presence region_presence_of(int32_t pid, uint64_t *ret_start_ticks);

/* True when a thread of the process other than `but` runs or waits for a
 * processor. False when all are stopped or sleep, and when it is gone or cannot
 * be looked at. */
bool region_is_runnable(int32_t pid, int32_t but);

/* Parses the text of /proc/<pid>/stat: the name may hold spaces, parentheses
 * and anything else. False when it is not such a text. */
bool region_stat_parse(const char *text, size_t n, char *ret_state, uint64_t *ret_threads,
                       uint64_t *ret_start_ticks);

/* The pid in a broker's reply; 0 = none that Linux gives. Both forms are in use:
 * decimal, maybe with a blank, a line's end or NUL behind it, and the 4 bytes of a
 * number. A pid is below 2^22: 4 bytes of which the last is 0 are a number's. */
int32_t region_hostpid_parse(const char *reply, size_t n);

/* Hash of what makes one run of a container: boot id, pid namespace, start of
 * its first process. */
uint64_t region_incarnation(const struct region_identity *self);

#endif
