/* SPDX-License-Identifier: Apache-2.0
 *
 * Starting a command in a slice and staying beside it until it ends.
 */
#ifndef HAMI_LOCAL_LAUNCH_H
#define HAMI_LOCAL_LAUNCH_H

#include "local/broker.h"

struct launch {
    struct broker_request request;
    char **argv;      /* the command */
    bool wait;        /* queue when nothing is free */
    uint64_t wait_ms; /* 0 = for ever */
    bool detach;      /* go on in the background */
    const char *log; /* with detach: the file that gets the output; NULL = detached.log in the state folder */
    bool quiet;      /* no word about what is not protected */
};

/* The grant does not fit: what the caller prints. */
struct launch_refusal {
    struct machine machine;
    struct why why; /* SCHED_FITS: there is room, but others wait in front */
    bool never;     /* an empty host would not take it either: waiting is of no use */
};

/* Blocks until the command has ended (or, detached, has started) and returns
 * its exit status, or hami's own with *error set. *ret_refusal is filled when
 * the status is STATUS_NO_FIT or STATUS_TIMED_OUT. With detach the slice's id
 * is printed on standard output, and the broker's ledger is closed. The calling process must have one thread.
 */
int launch_run(struct broker *b, const struct launch *l, struct launch_refusal *ret_refusal, GError **error);

#endif
