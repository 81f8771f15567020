/* SPDX-License-Identifier: Apache-2.0
 *
 * Latencies and what is said about them, and what another process used.
 */
#ifndef HAMI_REPLAY_SAMPLES_H
#define HAMI_REPLAY_SAMPLES_H

#include <glib.h>
#include <jansson.h>
#include <sys/types.h>

/* Doubles, in ns. */
GArray *samples_new(void);
void samples_add(GArray *samples, double value_ns);
/* {"count", "p50_us", "p99_us", "p999_us", "max_us"}; sorts. A new reference. */
json_t *samples_json(GArray *samples);
/* Per second, between the first and the last tenth of these moments; sorts. 0 when there are fewer than 10.
 */
double samples_middle_rate(GArray *moments_ns);

/* CPU time of a process and all its threads in seconds; -1 when it cannot be read. */
double process_cpu_s(pid_t pid);

#endif
