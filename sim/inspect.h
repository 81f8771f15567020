/* SPDX-License-Identifier: Apache-2.0
 *
 * Looking at a simulated machine from outside: completed intervals, memory,
 * utilization. For `hami sim`, tests, benches and the NVML half; link
 * statically with the machine library. Every function takes and releases the
 * state lock itself; one thread per reader.
 */
#ifndef HAMI_SIM_INSPECT_H
#define HAMI_SIM_INSPECT_H

#include "state.h"

/* Reads a device's log from wherever it stands; begins at 0 for all that is kept. */
struct sim_log_reader {
    unsigned device;
    uint64_t next; /* number of the interval that comes next */
    uint64_t lost; /* intervals overwritten before they were read */
};

/* Plays every queue up to now, so that all that has ended is in the log. */
void sim_inspect_refresh(void);

/* Copies up to n intervals, oldest first; returns how many. */
size_t sim_inspect_read(struct sim_log_reader *reader, struct sim_interval *ret, size_t n);
const char *sim_inspect_cgroup(const struct sim_interval *interval);

/* Compute time used in [from, to) on a part of a device (part: UINT32_MAX for
 * all) by one process (pid 0: by all), including what runs at the moment. */
uint64_t sim_inspect_busy_ns(unsigned device, unsigned part, int pid, uint64_t from_ns, uint64_t to_ns);

uint64_t sim_inspect_copy_ns(unsigned device, unsigned part, int pid, uint64_t from_ns, uint64_t to_ns);

struct sim_process_view {
    int pid; /* as the caller sees it; 0 when it cannot */
    unsigned slot, part;
    uint32_t contexts;
    uint64_t mem_bytes, busy_ns, launches;
    char cgroup[256];
};
/* Processes that hold a context or memory on the device. */
size_t sim_inspect_processes(unsigned device, struct sim_process_view *ret, size_t n);

uint64_t sim_inspect_mem_used(unsigned device, unsigned part); /* part UINT32_MAX: the sum */
uint32_t sim_inspect_queued(unsigned device);                  /* compute work not yet completed */

/* Virtual time by hand: while halted it moves only here. */
void sim_inspect_halt(bool halted);
void sim_inspect_advance(uint64_t to_ns);

#endif
