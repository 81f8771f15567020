/* SPDX-License-Identifier: Apache-2.0
 *
 * Looking up C library functions by name at run time; see glibc.h.
 */
#ifndef HAMI_PRELOAD_LATE_H
#define HAMI_PRELOAD_LATE_H

/* The C library's function, wherever its parts keep it; NULL if nowhere. */
void *late_find(const char *name);

#endif
