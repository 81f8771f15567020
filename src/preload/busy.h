/* SPDX-License-Identifier: Apache-2.0
 *
 * The stretches of time that were already charged, so that work that ran side
 * by side on several streams is charged once. Pure; the caller locks.
 *
 * Invariants: stretches are disjoint, not touching and sorted; when there is
 * no room the oldest two are joined (what lies between them counts as charged).
 */
#ifndef HAMI_PRELOAD_BUSY_H
#define HAMI_PRELOAD_BUSY_H

#include <stdint.h>

enum { BUSY_STRETCHES = 16 };

struct busy {
    uint32_t n;
    struct {
        uint64_t from, to;
    } at[BUSY_STRETCHES + 1];
};

/* Adds [from, to) and returns how much of it is new. */
uint64_t busy_add(struct busy *busy, uint64_t from, uint64_t to);

#endif
