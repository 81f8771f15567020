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
 *      given, whatever other processes do at the same time, and it fails only
 *      if at one moment during the call there was no room.
 *   3. No step blocks another process, and none leaks when the caller is
 *      killed after it.
 *   4. A slot never gives back more than it holds.
 *   5. used[].total of the legacy slot = held[d], and its context + module +
 *      data = total, whenever no operation is in progress.
 *
 * Any thread of the process that claimed the slot may call these. A slot or
 * device out of range is refused or ignored. errno is left alone.
 */
#ifndef HAMI_REGION_LEDGER_H
#define HAMI_REGION_LEDGER_H

#include <stdbool.h>
#include <stdint.h>

#include "region/region.h"

/* What bytes are for. They count alike; only reports tell them apart. */
enum ledger_kind { LEDGER_DATA, LEDGER_CONTEXT, LEDGER_MODULE };

/* Takes n bytes of device d for slot if the total stays within limit (0 = no
 * limit). True when taken. Touches no output and makes no system call. */
bool ledger_reserve(struct region *r, int slot, unsigned d, uint64_t n, uint64_t limit);

/* As ledger_reserve; when there is no room, looks for dead processes (at most
 * once in 4 ms) and tries once more if one was found. The slow path before
 * "out of memory" is answered. */
bool ledger_reserve_or_reclaim(struct region *r, int slot, unsigned d, uint64_t n, uint64_t limit);

/* As ledger_reserve without a limit: for what the driver has already taken. */
void ledger_charge(struct region *r, int slot, unsigned d, uint64_t n);
void ledger_charge_kind(struct region *r, int slot, unsigned d, enum ledger_kind kind, uint64_t n);

/* Gives n bytes back. */
void ledger_release(struct region *r, int slot, unsigned d, uint64_t n);
void ledger_release_kind(struct region *r, int slot, unsigned d, enum ledger_kind kind, uint64_t n);

/* Of what slot holds of device d, n bytes are of this kind. */
void ledger_mark(struct region *r, int slot, unsigned d, enum ledger_kind kind, uint64_t n);

/* Bytes held by all processes of the slice, and by one. */
uint64_t ledger_used(const struct region *r, unsigned d);
uint64_t ledger_held(const struct region *r, int slot, unsigned d);
/* As ledger_used, for whoever wants to know what is free: what dead processes held is given back first. Looks
 * for them at most once in 10 ms, and only if others hold something. */
uint64_t ledger_used_by_living(struct region *r, unsigned d);
/* How many operations of the slot have begun, plus how many have ended: two equal answers, and nothing was
 * charged or released between. Reads before and after the call stay there. */
uint64_t ledger_operations(const struct region *r, int slot, unsigned d);

/* Highest ledger_used so far; requests refused so far. */
uint64_t ledger_peak(const struct region *r, unsigned d);
uint64_t ledger_oom_count(const struct region *r, unsigned d);
void ledger_count_oom(struct region *r, unsigned d);

/* For slot.c: settles and gives back all that a slot holds, in the slot's own
 * name. The caller excludes everyone else from the slot. */
void ledger_abandon(struct region *r, unsigned slot);

/* For slot.c: waits until no thread of ours is inside the slot and keeps the
 * others out until the slot's next owner; of the overflow slot until it is
 * freed. */
void ledger_shut(struct region *r, unsigned slot);

/* For region.c: sets words that no process accounts for to zero. Harmless
 * when a process attaches at the same time. */
void ledger_repair(struct region *r, bool (*is_attached)(const struct region *));

#endif
