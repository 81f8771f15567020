/* SPDX-License-Identifier: Apache-2.0
 *
 * The shared region: the file through which the processes of one slice, and
 * the host, agree on what is used. Bytes 0 to 2 008 951 are layout 1.2 of the
 * field's existing readers and writers and never change. What is new lives in
 * an extension behind them, which those readers never look at.
 *
 * Everything here is written by the workload and therefore hostile to the
 * host: a reader copies, bounds and cross-checks. Limits that must hold come
 * from the grant (region/grant.h), not from here.
 *
 * Integers are little endian, naturally aligned; times are CLOCK_MONOTONIC
 * nanoseconds unless a field says otherwise.
 */
#ifndef HAMI_REGION_LAYOUT_H
#define HAMI_REGION_LAYOUT_H

#include <semaphore.h>
#include <stddef.h>
#include <stdint.h>

#define REGION_MAGIC 19920718
#define REGION_MAJOR 1
#define REGION_MINOR 2
#define REGION_DEVICES 16
#define REGION_SLOTS 1024
#define REGION_UUID_BYTES 96
#define REGION_BASE_BYTES 2008952

enum region_slot_status { REGION_SLOT_FREE = 0, REGION_SLOT_RUNNING = 1, REGION_SLOT_SUSPENDED = 2 };

/* Bytes of device memory a process uses on one device, by kind. */
struct region_used {
    uint64_t context;
    uint64_t module;
    uint64_t data;
    uint64_t offset;
    uint64_t total;
    uint64_t unused[3];
};

struct region_util {
    uint64_t dec;
    uint64_t enc;
    uint64_t sm;
    uint64_t unused[3];
};

struct region_slot {
    int32_t pid;     /* in the container's pid namespace; 0 = free */
    int32_t hostpid; /* in the host's; 0 = not known yet */
    struct region_used used[REGION_DEVICES];
    uint64_t monitorused[REGION_DEVICES];
    struct region_util device_util[REGION_DEVICES];
    int32_t status; /* enum region_slot_status */
    int32_t pad;
    uint64_t seqlock; /* odd while a legacy writer is inside; we keep it even */
    uint64_t unused[2];
};

struct region_base {
    int32_t initialized_flag; /* REGION_MAGIC, written last */
    uint32_t major_version;
    uint32_t minor_version;
    int32_t sm_init_flag;
    uint64_t owner_pid;
    sem_t sem;
    uint64_t device_num;
    char uuids[REGION_DEVICES][REGION_UUID_BYTES];
    uint64_t limit[REGION_DEVICES];    /* bytes; 0 = unlimited */
    uint64_t sm_limit[REGION_DEVICES]; /* percent; 0 and 100 = unlimited */
    struct region_slot procs[REGION_SLOTS];
    int32_t proc_num;
    int32_t utilization_switch; /* 1 = the compute limit applies under policy default */
    int32_t recent_kernel;      /* > 0 active, 0 idle, < 0 the host blocks launches */
    int32_t priority;           /* 0 high, 1 low */
    uint64_t last_kernel_time;  /* unix seconds */
    sem_t sem_postinit;
};

_Static_assert(sizeof(struct region_used) == 64, "used[] entry");
_Static_assert(sizeof(struct region_util) == 48, "device_util[] entry");
_Static_assert(sizeof(struct region_slot) == 1960, "slot");
_Static_assert(offsetof(struct region_slot, monitorused) == 1032, "slot.monitorused");
_Static_assert(offsetof(struct region_slot, device_util) == 1160, "slot.device_util");
_Static_assert(offsetof(struct region_slot, status) == 1928, "slot.status");
_Static_assert(offsetof(struct region_slot, seqlock) == 1936, "slot.seqlock");
_Static_assert(offsetof(struct region_base, sem) == 24, "sem");
_Static_assert(offsetof(struct region_base, device_num) == 56, "device_num");
_Static_assert(offsetof(struct region_base, uuids) == 64, "uuids");
_Static_assert(offsetof(struct region_base, limit) == 1600, "limit");
_Static_assert(offsetof(struct region_base, sm_limit) == 1728, "sm_limit");
_Static_assert(offsetof(struct region_base, procs) == 1856, "procs");
_Static_assert(offsetof(struct region_base, proc_num) == 2008896, "proc_num");
_Static_assert(offsetof(struct region_base, last_kernel_time) == 2008912, "last_kernel_time");
_Static_assert(sizeof(struct region_base) == REGION_BASE_BYTES, "layout 1.2");

#endif
