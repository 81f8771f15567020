/* SPDX-License-Identifier: Apache-2.0
 *
 * Arithmetic of what is taken of a card. Sums saturate instead of wrapping and
 * sets may overlap (a forged annotation can claim anything); whoever keeps a
 * running sum is told when it is no longer exact and has to count anew.
 */
#ifndef HAMI_SCHED_TAKE_H
#define HAMI_SCHED_TAKE_H

#include "model/family.h"
#include "model/pod.h"

/* Adds a charge. False when something saturated or overlapped: then
 * take_remove() would not restore what was. */
bool take_add(const struct family *f, struct card_use *use, const struct card_use *charge);
/* Takes back a charge that take_add() has added exactly. */
void take_remove(const struct family *f, struct card_use *use, const struct card_use *charge);
/* One grant while a pod is being placed. */
void take_grant(const struct family *f, struct card_use *use, const struct card_grant *g);

/* Would the charge stay within the card, beside what is taken? */
bool take_fits(const struct family *f, const struct card *card, const struct card_use *use,
               const struct card_use *charge);
/* Is what is taken within the card? */
bool take_within(const struct family *f, const struct card *card, const struct card_use *use);

static inline bool take_is_empty(const struct card_use *charge)
{
    return charge->slots == 0 && charge->mem_bytes == 0 && charge->cores == 0 && charge->mig_mask == 0;
}

#endif
