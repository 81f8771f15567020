/* SPDX-License-Identifier: Apache-2.0
 *
 * Counting instructions under callgrind: exact, and the same on every machine.
 * The counts of two runs of different length are subtracted, so that start and
 * end cancel out; what only the first process on a region does is done before,
 * uncounted. Only the thread that runs the body counts: the library's
 * helper comes by so many times a second, whatever the body does.
 */
#ifndef HAMI_TESTS_PRELOAD_COST_H
#define HAMI_TESTS_PRELOAD_COST_H

#include "support.h"

/* A kit over the null driver, with a management library beside it as every host
 * has; NULL, with the test skipped, without valgrind. */
struct kit *cost_kit_new(void);

/* System calls of a body's own thread, with `n` as its first argument; 0, with
 * the test skipped, without strace. */
unsigned cost_system_calls(struct kit *kit, const char *body, unsigned n);

/* Per unit of a body whose first argument is how many. */
struct cost {
    double instructions;
    double driver_calls; /* of this thread that reach the driver, the program's or ours */
};
struct cost cost_of(struct kit *kit, const char *body);
double cost_instructions(struct kit *kit, const char *body);

#endif
