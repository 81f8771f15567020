/* SPDX-License-Identifier: Apache-2.0
 *
 * Several callers at a time, each a thread with a connection of its own, for
 * as long as --seconds says.
 */
#ifndef HAMI_REPLAY_CROWD_H
#define HAMI_REPLAY_CROWD_H

#include "verbs.h"

struct crowd_member {
    const struct options *options;
    const void *shared; /* of all of them, borrowed */
    unsigned number;    /* from 0 */
    double until_ns;
    unsigned done, errors; /* counted by the member */
};

struct crowd {
    unsigned done, errors;
    double span_s, cpu_s; /* cpu_s: of the process --pid; 0 without */
};

/* Returns when all have. */
struct crowd crowd_run(const struct options *options, int n, void (*call)(struct crowd_member *),
                       const void *shared);

/* Calls per second of that process's CPU time; 0 when it is not known. */
double crowd_per_core(const struct crowd *crowd);

#endif
