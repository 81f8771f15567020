/* SPDX-License-Identifier: Apache-2.0
 *
 * The state file of a simulated machine: layout and access. Mapped read-write
 * by every process that uses the machine, by the NVML half, and by `hami sim`.
 *
 * Invariants:
 *   1. Everything below `lock` is changed only by its holder; a holder that is
 *      killed leaves a state that sim_state_repair() puts right.
 *   2. A device's used memory is the sum over its processes' slots.
 *   3. Process slots do not move. A slot belongs to the process with its pid
 *      and start time; when that is gone, anybody may reap it.
 *   4. The size and the offsets follow from the profile and never change
 *      while the file exists.
 */
#ifndef HAMI_SIM_STATE_H
#define HAMI_SIM_STATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "queue.h"
#include "sim.h"

#define SIM_MAGIC 0x31736d6973696d68ULL
#define SIM_STATE_VERSION 2u
#define SIM_LOG_TOTAL (1u << 19) /* intervals kept, over all devices */
#define SIM_CGROUPS 1024u
#define SIM_MEMORY_LIMITS 256u
#define SIM_XIDS 64u
#define SIM_PARTS (1u + SIM_MIG_SLICES) /* 0 the whole card, 1 + i the MIG slice i */

enum sim_log_kind { SIM_LOG_KERNEL, SIM_LOG_COPY };

/* One completed stretch of engine time. */
struct sim_interval {
    uint64_t start_ns, end_ns;
    int32_t pid;
    uint16_t cgroup; /* index into cgroups[] */
    uint8_t part;
    uint8_t engine; /* enum sim_engine */
};

struct sim_log {
    _Atomic uint64_t next; /* number of intervals ever written */
    uint64_t size;         /* power of two; interval i is at i & (size - 1) */
    uint64_t offset;       /* of the intervals in the file */
};

/* What goes wrong on purpose; written by sim/fault.h, read everywhere. */
struct sim_fault_state {
    _Atomic uint32_t lost;         /* the device has fallen off the bus */
    _Atomic uint32_t copy_slow_pm; /* copies take this many per mille; 0 or 1000 is nominal */
    _Atomic uint32_t speed_pm;     /* of kernels; thermal slow-down below 1000 */
    _Atomic uint32_t nvml_hang_ms; /* every NVML call on the device blocks this long */
    _Atomic uint32_t temperature_c;
    _Atomic uint32_t xid_next; /* XIDs injected so far */
    uint32_t reserved;
    struct {
        uint64_t code, time_ns;
    } xids[SIM_XIDS]; /* the last ones, at number % SIM_XIDS */
};

struct sim_process {
    _Atomic uint32_t used; /* 0 free, 1 taken */
    int32_t pid;           /* as it sees itself */
    uint64_t pid_namespace, start_time;
    uint32_t cgroup;
    uint32_t generation; /* of the slot */
    uint8_t part[SIM_DEVICES];
    uint32_t contexts[SIM_DEVICES];
    uint64_t mem_bytes[SIM_DEVICES];
    uint64_t busy_ns[SIM_DEVICES]; /* completed compute work */
    _Atomic uint64_t launches[SIM_DEVICES];
    uint64_t wait_until_ns; /* virtual time: what it waits for; 0 when it does not */
    uint64_t attached_ns;
};

struct sim_memory_limit {
    uint32_t used;
    uint32_t device;
    uint64_t soft_bytes, hard_bytes;
    char cgroup[256];
};

struct sim_device_state {
    uint64_t mem_used[SIM_PARTS];
    uint64_t busy_ns[SIM_PARTS];
    uint32_t first_queue; /* (compute, copy) of part 0 or of every MIG slice */
    uint32_t n_queues;
    _Atomic uint32_t accounting; /* NVML keeps account of its processes */
    struct sim_fault_state fault;
    struct sim_log log;
};

struct sim_state {
    uint64_t magic;
    uint32_t version;
    _Atomic uint32_t ready;
    uint64_t size;
    uint64_t layout; /* SIM_LAYOUT of the build that made it */
    char key[160];   /* what HAMI_SIM named: name, or path, size and time of the file */
    struct sim_profile profile;
    pthread_mutex_t lock;
    _Atomic uint64_t virtual_ns;
    _Atomic uint32_t virtual_turn; /* futex: changes when virtual time does */
    _Atomic uint32_t event_turn;   /* futex: changes when there is an event for NVML */
    _Atomic uint32_t halted;       /* virtual time moves only by hand */
    uint64_t reaped_ns;
    uint64_t boot_ns;
    uint32_t n_cgroups;
    uint32_t n_processes; /* slots ever used: the highest + 1 */
    uint32_t n_queues;
    uint64_t queues_offset;
    struct sim_device_state devices[SIM_DEVICES];
    struct sim_memory_limit memory_limits[SIM_MEMORY_LIMITS];
    struct sim_process processes[SIM_PROCESSES];
    char cgroups[SIM_CGROUPS][256];
};

/* Two builds with different structures do not share a file. */
#define SIM_LAYOUT (sizeof(struct sim_state) * 65536 + sizeof(struct sim_queue))

extern struct sim_process *sim_self; /* this process's slot; NULL while it has none */
extern struct sim_state *sim_state;  /* NULL before sim_state_open() */

/* Maps the machine that HAMI_SIM (or /etc/hami/sim) names, creating it when it
 * is not there. 0, or -1 with one line in err. Idempotent; any thread. */
int sim_state_open(char *err, size_t err_size);

/* Maps an existing state file by path. */
int sim_state_open_path(const char *path, char *err, size_t err_size);
void sim_state_path(char *ret, size_t size); /* of the mapped machine; "" when none */

void sim_lock(void);
void sim_unlock(void);

/* Takes a slot for this process, or finds its own again; NULL when all are taken. */
struct sim_process *sim_process_attach(void);
/* This process's pid as another process `p` appears to it; 0 when it cannot be seen. */
int sim_process_visible_pid(const struct sim_process *p);
bool sim_process_alive(const struct sim_process *p);

/* Lock held: frees what dead processes left, at most once in `every_ns`. True when something was freed. */
bool sim_reap(uint64_t every_ns);

/* Lock held. */
struct sim_queue *sim_queue_at(uint32_t number);
uint32_t sim_queue_number(unsigned device, unsigned part, unsigned engine);
void sim_run_device(unsigned device, uint64_t now);
void sim_run_queue(uint32_t number, uint64_t now);
void sim_replan_all(uint64_t now);
struct sim_interval *sim_log_at(const struct sim_log *log, uint64_t number);

/* Lock held: memory of a device in bytes as a process in `cgroup` may use it. */
uint64_t sim_part_bytes(unsigned device, unsigned part);
void sim_own_cgroup(char *ret, size_t size); /* of this process, in the cgroup2 tree */
uint64_t sim_limit_room(unsigned device,
                        uint32_t cgroup); /* wall.c: under the cgroup limits; UINT64_MAX without */

/* ---- time (clock.c) ---- */

uint64_t sim_now(void);
/* Sleeps until the moment has come (real time) or makes it come (virtual time). */
void sim_sleep_until(uint64_t moment_ns);

#endif
