/* SPDX-License-Identifier: Apache-2.0
 *
 * A histogram of durations with fixed bounds, as Prometheus counts them.
 */
#ifndef HAMI_SCHEDULER_HISTOGRAM_H
#define HAMI_SCHEDULER_HISTOGRAM_H

#include <glib.h>
#include <stdint.h>

#define HISTOGRAM_BOUNDS 16

struct histogram {
    uint64_t count, sum_ns;
    uint64_t le[HISTOGRAM_BOUNDS]; /* not cumulated */
};

void histogram_add(struct histogram *h, int64_t ns);
/* HELP, TYPE and samples in seconds. */
void histogram_print(const struct histogram *h, const char *name, const char *help, GString *out);

#endif
