/* SPDX-License-Identifier: Apache-2.0
 *
 * This process's part in the turns of a device: which limit applies now, the
 * seat at the board, taking the turn, offering it, giving it back.
 */
#ifndef HAMI_PRELOAD_TURN_H
#define HAMI_PRELOAD_TURN_H

#include <stdbool.h>
#include <stdint.h>

#include "preload/card.h"

/* After a pause of this length others may think that they are alone; and for as
 * long after it their queue may still lie before our work. */
#define TURN_AWAY_NS UINT64_C(500000000)

struct turn_limit {
    uint32_t percent; /* 1..100 */
    bool tokens;      /* the slice's share applies */
    bool turns;       /* launches need the device's turn */
};

/* A tenant that shortens the board's file must not take us with it: called
 * before each use of the board after a pause. */
void turn_check_board(struct card *card);

/* The calling thread's device, or the stream's; NULL when nothing is enforced here. */
struct card *turn_card(CUstream stream);

/* What applies now: reads the limit, the policy and the neighbours anew. */
struct turn_limit turn_limit_of(struct card *card, uint64_t now);

/* True: the turn is ours and may be used now. Otherwise *ret_due is when to ask
 * again unless the bell, seen as *ret_bell, rings before. */
bool turn_have(struct card *card, const struct turn_limit *limit, uint64_t now, uint64_t *ret_due,
               uint32_t *ret_bell);
void turn_wait(struct card *card, uint64_t due, uint32_t bell);

/* We are about to wait, for tokens or for room: whoever waits may have the
 * turn. *due is brought forward to when it can be given back. */
void turn_offer(struct card *card, bool tokens_short, uint64_t now, uint64_t *due);

/* Somebody else waits for the device's turn. */
bool turn_is_wanted(struct card *card, uint64_t now);

/* Somebody else uses the device in short runs and waits for each. */
bool turn_is_short(struct card *card, uint64_t now);

/* Has anybody of another slice used the device in the last second? Looked up
 * now and then. */
bool turn_has_neighbours(struct card *card, uint64_t now);

/* All work is known to be complete. */
void turn_idle(struct card *card);

/* More work is in flight: the lease is extended to its expected end. */
void turn_renew(struct card *card);

/* The batch runs in the present turn. */
void turn_mark(struct card *card, struct batch *batch);

/* For the region's readers. */
void turn_note_wait(struct card *card, uint64_t since_ns);
void turn_note_launches(struct card *card, int32_t launches, uint64_t now);

#endif
