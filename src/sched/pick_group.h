/* SPDX-License-Identifier: Apache-2.0
 *
 * The picks that a family's row can say (family.grouping): from the largest
 * group, whole modules only, a window of devices (vendors.md 6.2). Pure.
 */
#ifndef HAMI_SCHED_PICK_GROUP_H
#define HAMI_SCHED_PICK_GROUP_H

#include "model/choice.h"

/* Cards of the request out of c->candidates into ret (CARD_PER_NODE rows);
 * their number, less than asked for when no set does. The family's cards are
 * first ... first + n_cards - 1. */
uint32_t pick_group(const struct choice *c, uint32_t first, uint32_t n_cards, uint16_t *ret);

#endif
