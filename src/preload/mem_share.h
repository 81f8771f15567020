/* SPDX-License-Identifier: Apache-2.0
 *
 * Memory that belongs to somebody else and is used here: opened by IPC,
 * imported from a graphics or another interface. It is never charged here.
 */
#ifndef HAMI_PRELOAD_MEM_SHARE_H
#define HAMI_PRELOAD_MEM_SHARE_H

#include <stdint.h>

/* Bytes of region device d that this process borrows, as far as sizes are
 * known; the driver's own account of the process may contain them. */
uint64_t share_borrowed(unsigned d);

void share_after_fork(void);

#endif
