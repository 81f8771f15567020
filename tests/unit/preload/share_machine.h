/* SPDX-License-Identifier: Apache-2.0
 *
 * A machine in virtual time for the throttle: tenants are processes that run
 * the real code of the gate, one at a time, in the order of their own clocks; a
 * device that runs kernels first in, first out, or by time slices. Every step
 * follows from the seed, so a run can be repeated exactly.
 *
 * What is modelled: kernels with durations, streams, events, the driver's queue
 * depth, the cost of calls, late wake-ups. What is not: threads within a
 * tenant, contexts, capture.
 */
#ifndef HAMI_TESTS_SHARE_MACHINE_H
#define HAMI_TESTS_SHARE_MACHINE_H

#include <stdbool.h>
#include <stdint.h>

#include "region/grant.h"

#define US UINT64_C(1000)
#define MS UINT64_C(1000000)
#define S UINT64_C(1000000000)
#define HIDES_FROM (2 * S) /* a machine's time begins at S */
enum { MACHINE_TENANTS = 6, MACHINE_STREAMS = 8, MACHINE_DEVICES = 4 };

enum program {
    FLOOD,     /* asynchronous launches, as many as the driver takes */
    SYNCING,   /* launch, wait, launch ... */
    BURSTY,    /* 20 launches, wait, 30 ms (or `us2`) of other work */
    BURSTS,    /* 20 launches and `us2` of other work, without waiting */
    PAIR,      /* two functions in turn, `us` and `us2` */
    SIZES,     /* one function in two sizes, `us` and `us2` */
    STREAMS,   /* asynchronous launches round robin over 4 (or `us2`) streams */
    HOSTBOUND, /* launches with pauses as long as the kernel, without waiting */
    GREEDY,    /* takes the turn and renews it for ever, ignores its tokens */
    THIEF,     /* takes the turn a thousand times a second, whoever has it */
    VANDAL,    /* a flood that also writes noise all over the board */
    REQUESTS,  /* 50 launches and a wait, again and again; how long each took is noted */
    RANKS,     /* floods that meet at a barrier kernel with the other RANKS tenants */
    DECODING,  /* 130 launches, each after `us2` of the host's own work, and a wait: the device waits too */
    TWINS,     /* two functions in turn that a lane keeps in one place */
    HIDING, /* short ones, and from HIDES_FROM on one of `us` before each 100 of them, while the host works on
             */
    LAYERS, /* the same with kernels from a tenth of `us` to `us` */
};

/* What a driver's calls take, in ns: of the host, and a mark in a stream of the device. */
struct machine_costs {
    uint32_t record, query, between, launch, mark;
};

struct machine_tenant {
    unsigned percent; /* 0 = unlimited */
    unsigned us;
    unsigned jitter; /* percent, uniform around the mean */
    enum program program;
    unsigned us2;
    uint64_t starts, ends;   /* 0 = never; virtual time */
    uint64_t dies;           /* SIGKILL at this virtual time; 0 = never */
    unsigned dies_at_call;   /* ... or at this call of the port */
    unsigned stalls_at_call; /* the host lets it wait here ... */
    uint64_t stalls_for;     /* ... for so long */
    unsigned slice;          /* tenants of one slice share tokens; 0 = a slice of its own */
    unsigned priority;       /* 0 = as priority 1 */
    unsigned device;
    enum grant_policy policy; /* 0 = force: see machine.c */
    bool lends;               /* policy default */
    uint64_t changes;         /* at this time the limit becomes ... */
    unsigned changes_to;
    bool no_events; /* its driver has none to give */
    uint64_t slows; /* from this time on its kernels take twice as long */
};

struct machine_setup {
    uint64_t lasts;
    uint64_t slice_ns;          /* of the time-sliced device; 0 = first in, first out */
    bool no_board;              /* tenants have no board in common */
    struct machine_costs costs; /* of a `launch` of 0: some usual ones */
    struct machine_tenant tenants[MACHINE_TENANTS];
};

struct machine;

/* Runs the whole of it; free the result. */
struct machine *machine_run(const struct machine_setup *setup, uint64_t seed);
void machine_free(struct machine *machine);

/* Percent of the device's time that the tenant used in [from, to). */
double machine_share(const struct machine *machine, unsigned tenant, uint64_t from, uint64_t to);

/* Mean absolute difference from `percent` over windows. */
double machine_mae(const struct machine *machine, unsigned tenant, double percent, uint64_t from, uint64_t to,
                   uint64_t window);

/* Largest stretch in [from, to) in which the tenant used nothing. */
uint64_t machine_longest_pause(const struct machine *machine, unsigned tenant, uint64_t from, uint64_t to);

/* The latency that 99 % of the tenant's requests kept to. */
uint64_t machine_p99(const struct machine *machine, unsigned tenant);

uint64_t machine_launches(const struct machine *machine, unsigned tenant);
uint64_t machine_waits(const struct machine *machine, unsigned tenant); /* blocking calls of the port */
uint64_t machine_event_calls(const struct machine *machine,
                             unsigned tenant); /* the gate's own calls of the driver */

/* How long a request of the tenant took on average, of those after the first `skip`. */
double machine_request_ns(const struct machine *machine, unsigned tenant, uint32_t skip);

#endif
