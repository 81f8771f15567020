/* SPDX-License-Identifier: Apache-2.0
 *
 * What the slot tells monitors about compute: percent of each device's time
 * that this process used, procs[].device_util[].sm.
 */
#ifndef HAMI_PRELOAD_UTILIZATION_H
#define HAMI_PRELOAD_UTILIZATION_H

#include <stdbool.h>
#include <stdint.h>

/* By the helper, at each visit; `worked`: something was submitted since the
 * last. Looks at most once a second, also when nothing is submitted. True while
 * a figure is not 0: a launch may have waited for seconds before it ran, and the
 * helper must not sleep before the figure has fallen. */
bool utilization_publish(uint64_t now_ns, bool worked);

void utilization_after_fork(void);

#endif
