/* SPDX-License-Identifier: Apache-2.0
 *
 * Ranks: the devices of one slice that work together. A collective kernel
 * spins until every rank has launched its own; a rank that is stopped for want
 * of tokens makes the others spin, and they are charged for it. So the devices
 * of a slice open and close together, and a rank that is stopped may still
 * launch as much as the one that got furthest: all stop at the same launch.
 *
 * Kept in the slice's account of each device, so ranks may be processes,
 * threads, or one thread for all. Whatever stands there, nothing waits longer
 * than for tokens of the device that has least.
 */
#ifndef HAMI_PRELOAD_JOINT_H
#define HAMI_PRELOAD_JOINT_H

#include <stdbool.h>
#include <stdint.h>

#include "preload/card.h"

/* Least tokens of the slice's other devices in use; INT64_MAX = there is none. */
int64_t joint_others(const struct card *card, uint32_t percent, uint64_t now);

/* This device opens, with nothing of it in flight: launches count from here. */
void joint_open(struct card *card);

/* Launches were made on this device. */
void joint_count(struct card *card, uint32_t launches, uint64_t now);

/* Another device of the slice was launched on more often since it opened. */
bool joint_is_behind(const struct card *card, uint64_t now);

#endif
