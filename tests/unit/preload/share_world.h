/* SPDX-License-Identifier: Apache-2.0
 *
 * What the parts of the machine in virtual time share; see share_machine.h.
 */
#ifndef HAMI_TESTS_SHARE_WORLD_H
#define HAMI_TESTS_SHARE_WORLD_H

#include <stdatomic.h>

#include "region/extension.h"
#include "region/grant.h"
#include "share_machine.h"

#define SPIN (20 * US) /* how long a barrier kernel runs between two looks at the others */

enum {
    LOG_MAX = 1 << 19,
    EVENTS = 2048,
    REQUESTS_MAX = 1 << 16,
    QUEUE_DEPTH = 1024,
    JOBS = 4096,
    NOBODY = -1
};

struct interval {
    int tenant;
    uint64_t from, to;
};

struct job {
    uint64_t left; /* to run; of a mark in the stream often 0 */
    uint32_t stream;
    int event;    /* NOBODY = kernel */
    bool barrier; /* waits for the other ranks' */
    bool counted;
    uint64_t arrived;
};

/* A tenant's queue at the device. */
struct queue {
    uint64_t first, next; /* jobs are numbered; at n % JOBS */
    struct job jobs[JOBS];
};

struct event {
    bool recorded, done;
    uint64_t at;
};

struct tenant {
    _Atomic bool alive;
    uint64_t clock;   /* its own time; while waiting: when it wakes */
    const void *word; /* it waits on, or NULL */
    uint64_t random;
    uint32_t percent;
    int pid;
    uint64_t launches, waits, calls, event_calls;
    uint64_t barriers; /* reached */
    struct queue queue;
    struct event events[EVENTS];
    uint32_t n_events, n_requests;
    uint64_t requests[REQUESTS_MAX]; /* how long they took */
};

struct device {
    uint64_t at; /* simulated up to here */
    int running; /* time-sliced: whose turn */
    uint64_t slice_end;
    uint32_t n_log;
    struct interval log[LOG_MAX];
};

struct machine {
    struct machine_setup setup;
    _Atomic int baton;
    int slice_fd[MACHINE_TENANTS]; /* what tells slices apart */
    char board[MACHINE_DEVICES][GRANT_TEXT_MAX];
    struct region_base base[MACHINE_TENANTS];
    struct region_ext *ext[MACHINE_TENANTS];
    struct tenant tenants[MACHINE_TENANTS];
    struct device devices[MACHINE_DEVICES];
};

extern struct machine *world;

/* Runs a device's queues up to a moment. */
void device_run(unsigned number, uint64_t until);

/* Marks need no engine: they are reached when all before them is done. */
void pass_marks(struct tenant *t, uint64_t at);

#endif
