/* SPDX-License-Identifier: Apache-2.0
 *
 * One engine group of a simulated device and the work queued on it.
 *
 * Pure bookkeeping over memory that the caller has locked; "now" is always a
 * parameter. Submitting computes start and end at once; nothing happens until
 * somebody runs the queue up to a moment, which completes what has ended by
 * then and hands every completed interval to the caller's sink.
 *
 * Invariants:
 *   1. Positions grow by one per entry and are never reused: an entry lives at
 *      entries[position % SIM_RING] while position is in [head, tail).
 *   2. Under FIFO and SPATIAL the end of an entry changes only when `epoch`
 *      does (a killed process's work removed, a change of speed).
 *   3. A queue that a process was killed in the middle of changing is put
 *      right by sim_queue_repair().
 */
#ifndef HAMI_SIM_QUEUE_H
#define HAMI_SIM_QUEUE_H

#include "sim.h"

#define SIM_RING 4096u
#define SIM_PENDING_MAX 1024u /* of one process in one queue; more makes it wait, as a full channel does */
#define SIM_SERVERS 16u
#define SIM_DEPENDENCIES 3u

/* Where a piece of work is: queue number (16 bits) and position (48 bits). 0 is none. */
typedef uint64_t sim_ref;

enum sim_entry_state { SIM_ENTRY_QUEUED = 1, SIM_ENTRY_DONE, SIM_ENTRY_DROPPED };

struct sim_entry {
    uint64_t position;
    uint64_t duration_ns; /* as submitted */
    uint64_t left_ns;     /* time-sliced: not yet served */
    uint64_t ready_ns;    /* not before this moment */
    uint64_t start_ns, end_ns;
    sim_ref after[SIM_DEPENDENCIES]; /* not before these have ended */
    uint32_t state;                  /* enum sim_entry_state */
    uint16_t process;
    uint16_t server;
};

struct sim_queue {
    uint32_t schedule; /* enum sim_schedule */
    uint32_t n_servers;
    uint32_t device, part; /* part: 0 the whole card, 1 + i the MIG slice i */
    uint32_t engine;       /* enum sim_engine */
    uint32_t speed_pm;     /* per mille: 1000 is nominal, 500 takes twice as long */
    uint64_t epoch;
    uint64_t head, tail;
    uint64_t free_ns[SIM_SERVERS];
    uint64_t quantum_ns;
    /* time-sliced */
    uint64_t run_ns;       /* simulated up to here */
    uint64_t slice_end_ns; /* of the process being served */
    uint64_t slice_from_ns;
    uint64_t serving; /* position being served, 0 for none */
    uint32_t pending[SIM_PROCESSES];
    struct sim_entry entries[SIM_RING];
};

/* A stretch of an engine's time that one entry used. */
typedef void (*sim_interval_sink)(void *arg, const struct sim_queue *q, const struct sim_entry *e,
                                  uint64_t start_ns, uint64_t end_ns);

struct sim_push {
    uint16_t process;
    uint64_t duration_ns;
    uint64_t ready_ns; /* at least the moment of submission */
    sim_ref after[SIM_DEPENDENCIES];
};

/* End of another queue's entry, for recomputing; 0 when it is long gone. */
typedef uint64_t (*sim_ref_end)(void *arg, sim_ref ref);

void sim_queue_init(struct sim_queue *q, uint32_t schedule, uint32_t servers, uint64_t quantum_ns);
bool sim_queue_full(const struct sim_queue *q, uint16_t process);

/* Appends; returns the position. The caller has run the queue up to now and seen that it is not full. */
uint64_t sim_queue_push(struct sim_queue *q, const struct sim_push *push);

/* Completes everything that has ended by now. */
void sim_queue_run(struct sim_queue *q, uint64_t now, sim_interval_sink sink, void *arg);

/* Predicted (or, once past, actual) end of a position; 0 when it is no longer known, which means past. */
uint64_t sim_queue_end(const struct sim_queue *q, uint64_t position);

/* Earliest moment at which asking again about position is worth while; under
 * FIFO and SPATIAL the same as its end. */
uint64_t sim_queue_look_again(const struct sim_queue *q, uint64_t position, uint64_t now);

/* Removes a dead process's work: what runs ends now, what waits is gone. */
void sim_queue_drop(struct sim_queue *q, uint16_t process, uint64_t now, sim_interval_sink sink, void *arg);

/* Recomputes what has not started, after a drop or a change of speed. */
void sim_queue_replan(struct sim_queue *q, uint64_t now, sim_ref_end end_of, void *arg);

/* After its lock's owner died inside one of the functions above. */
void sim_queue_repair(struct sim_queue *q);

#endif
