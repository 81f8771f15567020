/* SPDX-License-Identifier: Apache-2.0
 *
 * The turn board of a device: one process launches at a time, so that what an
 * event pair measures is what was used. One page, either a file that the host
 * made for all tenants of a card, or the area of the region for the processes
 * of one slice. Pure functions on that page; `now` is a parameter.
 *
 * Invariants:
 *   1. The turn is one word, (sequence, member). It changes only by compare and
 *      swap from a value that was read, and every change increases the
 *      sequence: whoever lost the turn finds out.
 *   2. Nobody waits for a holder longer than its lease, and never longer than
 *      BOARD_HOLD_MAX_NS from the moment it first saw that holder, whatever
 *      the page says. A holder that stops renewing its lease, dies, or idles
 *      longer than BOARD_GRACE_NS while others wait, is passed over.
 *   3. Among those who wait, the one that held the device least for its weight
 *      goes first. One that does not take the free turn within
 *      BOARD_ELECT_NS does not keep the others from it.
 *   4. The page may hold anything: indices are bounded, times are compared
 *      against the reader's own clock, loops have fixed bounds. A tenant that
 *      scribbles can disturb the order of turns, not stop them.
 *   5. Whoever waits for turns much longer than its share explains, by however
 *      many holders, true or false, leaves the board for BOARD_SHUN_NS and goes
 *      without turns.
 */
#ifndef HAMI_PRELOAD_BOARD_H
#define HAMI_PRELOAD_BOARD_H

#include <stdbool.h>
#include <stdint.h>

#define BOARD_MEMBERS 62
#define BOARD_BYTES 4096
#define BOARD_HOLD_MAX_NS UINT64_C(800000000) /* a turn ends after this, come what may */
#define BOARD_LEASE_MAX_NS UINT64_C(500000000)
#define BOARD_GRACE_NS UINT64_C(150000)
#define BOARD_ELECT_NS UINT64_C(3000000)
#define BOARD_STARVE_NS UINT64_C(2000000000)
#define BOARD_SHUN_NS UINT64_C(30000000000)
#define BOARD_GONE_NS UINT64_C(5000000000) /* a member unseen for so long gives its seat away */

#define BOARD_HURRIES UINT64_C(0x100000000)

struct board_member {
    _Atomic uint64_t owner;   /* pid and a hash of its start; 0 = free seat */
    _Atomic uint64_t group;   /* the slice it belongs to */
    _Atomic uint64_t want_ns; /* waiting since; 0 = not waiting */
    _Atomic uint64_t seen_ns; /* last sign of life */
    _Atomic uint64_t work_ns; /* last time it held or wanted the device */
    _Atomic uint64_t used_ns; /* time held, divided by weight */
    _Atomic uint64_t pid_ns;  /* inode of its pid namespace */
    _Atomic uint64_t percent; /* share it is limited to; 0 = not limited; and BOARD_HURRIES */
};

struct board {
    _Atomic uint64_t turn;     /* sequence << 8 | member + 1; low byte 0 = free */
    _Atomic uint64_t lease_ns; /* until when the holder may be silent */
    _Atomic uint64_t idle_ns;  /* since when it has nothing in flight; 0 = works */
    _Atomic uint64_t freed_ns; /* when the turn was given back */
    _Atomic uint32_t bell;     /* futex: rung when the turn may have become free */
    uint32_t pad;
    _Atomic uint64_t drain[4]; /* of the hand-over with sequence s, at s % 4: when the device is free */
    _Atomic uint64_t drain_of[4];
    uint64_t pad2[3];
    struct board_member members[BOARD_MEMBERS];
};
_Static_assert(sizeof(struct board) == BOARD_BYTES, "a board is one page");

/* A process's seat and what it knows; in its own memory. */
struct board_seat {
    struct board *board;
    int member; /* -1 = no seat */
    uint64_t owner, group, pid_ns;
    _Atomic uint32_t weight;   /* 1..400 */
    _Atomic uint32_t percent;  /* share it is limited to; 0 = not limited */
    _Atomic bool hurries;      /* waits for each of its short runs */
    _Atomic uint64_t sequence; /* of the turn we hold; 0 = none */
    uint64_t held_ns;          /* since when */
    uint64_t taken_ns;         /* the same, before it was extended */
    uint64_t seen_turn;        /* another holder's turn word, and since when we see it */
    uint64_t seen_since_ns;
    _Atomic uint32_t fair;  /* percent of the device it can count on; 0 = 100 */
    uint64_t wait_since_ns; /* waiting for the turn since; 0 = not waiting */
    uint64_t tried_ns;      /* the last attempt */
    uint64_t hunger_ns;     /* waits that turns have not made up for */
    uint64_t shun_until_ns; /* starved: without the board until then */
    uint64_t foreign_ns;    /* predicted end of the work before our turn; 0 = none */
};

/* Takes a seat, or finds ours again. False: the board is full. */
bool board_sit(struct board_seat *seat, uint64_t now);
void board_leave(struct board_seat *seat);

/* One attempt to have the turn. True: it is ours. Otherwise *ret_due is when
 * to try again if the bell does not ring before. */
bool board_try(struct board_seat *seat, uint64_t now, bool holder_is_dead, uint64_t *ret_due);

/* The turn did not come for too long: go without it for now. */
bool board_is_shunned(const struct board_seat *seat, uint64_t now);

/* We no longer wait. */
void board_unwant(struct board_seat *seat);

/* Whether the turn that we took is still ours. */
bool board_holds(const struct board_seat *seat);

/* The holder says until when it expects to have work in flight. */
void board_renew(struct board_seat *seat, uint64_t now, uint64_t until_ns);

/* The holder has nothing in flight (idle) or again has something. */
void board_idle(struct board_seat *seat, uint64_t now);
void board_busy(struct board_seat *seat);

/* The turn lasted long enough while others wait, but we would be next again:
 * it goes on without draining. False: somebody else is first. */
bool board_extend(struct board_seat *seat, uint64_t now);

/* Gives the turn back; the device will be free at drained_ns. */
void board_release(struct board_seat *seat, uint64_t now, uint64_t drained_ns);

/* The hand-over `sequence` turned out to be drained at drained_ns. */
void board_drained(struct board *board, uint64_t sequence, uint64_t drained_ns);

/* When the device became free for the turn `sequence`: as published by the one
 * before, bounded by [held, held + 20 ms]; 0 = it was free before. */
uint64_t board_foreign_end(const struct board_seat *seat, uint64_t sequence, uint64_t held_ns);

/* Somebody else waits for the turn. */
bool board_wanted(const struct board_seat *seat, uint64_t now);

/* Somebody else who used the device lately waits for each of its short runs. */
bool board_hurries(const struct board_seat *seat, uint64_t now);

/* Nobody of another slice has used or wanted the device for within_ns. */
bool board_alone(const struct board_seat *seat, uint64_t now, uint64_t within_ns);

/* What the shares of the others who were active lately leave, in percent; at
 * least 10, and divided among those without a limit. */
uint32_t board_left_over(const struct board_seat *seat, uint64_t now, uint64_t within_ns);

/* pid of the holder if it lives in our pid namespace, else 0. */
uint32_t board_holder_pid(const struct board_seat *seat);

#endif
