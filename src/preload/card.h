/* SPDX-License-Identifier: Apache-2.0
 *
 * A device as this process uses it: what it has in flight, its share of the
 * slice's tokens and its seat at the board. One per region device.
 */
#ifndef HAMI_PRELOAD_CARD_H
#define HAMI_PRELOAD_CARD_H

#include <sys/types.h>

#include "preload/batch.h"
#include "preload/board.h"
#include "preload/bucket.h"
#include "preload/busy.h"
#include "preload/hook.h"
#include "preload/port.h"

/* Who waits for so little work at a time is in a hurry: others keep their turns short. */
#define CARD_BRIEF_NS UINT64_C(2000000)

struct card {
    struct port_lock lock;
    int board_fd;
    bool ready;           /* account and board were looked up */
    bool board_is_shared; /* by all tenants of the device, not only by our slice */
    bool open;            /* with the slice's other devices; see joint.h */
    dev_t board_dev;
    ino_t board_ino;
    struct region_compute *account;
    struct region_member_compute *own; /* this process's line in the region */
    struct port_lock turn_lock;        /* the seat's; taken before `lock`, never the other way round */
    struct board_seat seat;            /* the process has one, however many of its threads launch */
    struct batches batches;
    struct busy busy;
    _Atomic uint64_t blind_ns;     /* since when a launch is waited for; 0 = none (blind.h) */
    _Atomic int32_t drift_ppm;     /* by how much samples are longer than their prices, averaged */
    _Atomic uint64_t watched_ns;   /* until then each launch is measured by itself */
    int64_t spare_ns;              /* of stretches with pauses; see measure.c; changed under the lock */
    _Atomic int64_t inflight_ns;   /* granted and not measured yet; changed under the lock */
    _Atomic uint32_t closed;       /* batches that wait to be measured */
    _Atomic uint32_t probes;       /* of them: launches of unknown duration */
    _Atomic uint64_t probe_due_ns; /* nobody waits for them longer than this */
    _Atomic uint64_t last_end_ns;  /* latest measured end */
    uint64_t last_sequence;        /* last turn given back */
    _Atomic uint64_t run_ns;       /* measured since the last synchronisation */
    _Atomic uint64_t usual_ns;     /* the same of the last run; 0 = above CARD_BRIEF_NS */
    _Atomic uint64_t active_ns;    /* last grant */
    _Atomic uint64_t returned_ns;  /* last grant after a pause */
    _Atomic uint64_t looked_ns;    /* at the neighbours; bit 0: there are some */
    _Atomic uint32_t left_over;    /* percent that they leave */
};

extern OURS struct card cards[REGION_DEVICES];

/* Who sees true sees the card's account and seat as well. */
static inline bool card_is_ready(const struct card *card)
{
    return __atomic_load_n(&card->ready, __ATOMIC_ACQUIRE);
}

extern OURS _Atomic bool cards_gated; /* a launch of this process was gated once */
extern OURS struct prices prices;
extern OURS struct port_lock prices_lock;

#endif
