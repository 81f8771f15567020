/* SPDX-License-Identifier: Apache-2.0
 *
 * The memory ledger of a slice: how many bytes its processes hold of each
 * device. One atomic word per device is the truth; each slot keeps what it
 * holds so that a process that dies at any instruction can be subtracted
 * exactly.
 *
 * Invariants:
 *   1. word[d] = sum over live slots of held[d] + operations in progress.
 *   2. A successful ledger_reserve never takes word[d] above the limit it was
 *      given, whatever other processes do at the same time.
 *   3. No step blocks another process, and none leaks when the caller is
 *      killed after it.
 */
#ifndef HAMI_REGION_LEDGER_H
#define HAMI_REGION_LEDGER_H

#include <stdbool.h>
#include <stdint.h>

#include "region/region.h"

/* Takes n bytes of device d for slot if the total stays within limit (0 = no
 * limit). True when taken. Touches no output and makes no system call. */
bool ledger_reserve(struct region *r, int slot, unsigned d, uint64_t n, uint64_t limit);

/* As ledger_reserve without a limit: for what the driver has already taken. */
void ledger_charge(struct region *r, int slot, unsigned d, uint64_t n);

/* Gives n bytes back. */
void ledger_release(struct region *r, int slot, unsigned d, uint64_t n);

/* Bytes held by all processes of the slice, and by one. */
uint64_t ledger_used(const struct region *r, unsigned d);
uint64_t ledger_held(const struct region *r, int slot, unsigned d);

#endif
