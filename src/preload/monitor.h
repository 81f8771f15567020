/* SPDX-License-Identifier: Apache-2.0
 *
 * What the host's monitor and this process tell each other through the region.
 */
#ifndef HAMI_PRELOAD_MONITOR_H
#define HAMI_PRELOAD_MONITOR_H

#include <stdint.h>

/* Work was submitted in the last second: says so, at most once a second. */
void monitor_publish(uint64_t now_ns);

#endif
