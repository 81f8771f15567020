/* SPDX-License-Identifier: Apache-2.0
 *
 * Opening, joining and reading a region. Used by the preload library (which
 * joins it as a process) and by the host (which creates and inspects it).
 *
 * No function here logs, exits, allocates from the heap, installs a handler
 * or changes the umask. Errors are returned as negative errno values.
 */
#ifndef HAMI_REGION_REGION_H
#define HAMI_REGION_REGION_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "region/extension.h"
#include "region/identity.h"
#include "region/layout.h"

/* A process's mapping of a region. Zero it, then region_open(). One per
 * process; its functions may be called from any thread. The child of a fork
 * must region_close() what it inherited before it does anything else with it:
 * that closes the child's descriptor and mapping and leaves the parent's slot
 * and locks alone. */
struct region {
    struct region_base *base;
    struct region_ext *ext;
    int fd;           /* -1 when private */
    uint64_t device;  /* of the file, with inode: a daemon may have closed fd and */
    uint64_t inode;   /* opened another file in its place */
    bool is_private;  /* anonymous: the file could not be used */
    _Atomic int slot; /* of this process, -1 = none */
    struct region_identity self;
    _Atomic uint32_t busy;         /* one thread at a time in claim, release and reclaim */
    _Atomic uint64_t reclaimed_ns; /* when ledger_reserve_or_reclaim() last looked for the dead ... */
    _Atomic uint64_t searched_ns;  /* ... and when thoroughly */
    _Atomic uint64_t queried_ns;   /* when ledger_used_by_living() did */
};

/* Limits a new region starts with; an existing region keeps its own. */
struct region_limits {
    uint32_t n_devices;
    char uuids[REGION_DEVICES][REGION_UUID_BYTES];
    uint64_t mem_bytes[REGION_DEVICES];
    uint32_t cores_pct[REGION_DEVICES];
    int32_t priority;
    uint32_t source; /* enum region_source: who says so */
};

enum region_source {
    REGION_SOURCE_NONE = 0,     /* provisional: nobody said anything yet */
    REGION_SOURCE_ENV = 1,      /* this process's environment */
    REGION_SOURCE_PID1_ENV = 2, /* the container's first process */
    REGION_SOURCE_OVERRIDE = 3, /* /overrideEnv */
    REGION_SOURCE_HOST = 4,     /* a grant, or the host's agent */
};

/* Opens or creates the region file at path and validates or initialises it.
 * What a foreign, truncated or hostile file holds is replaced only when no
 * process is attached; limits are replaced only when nobody had set any, or by
 * the host. Waits at most one second for another process that is initialising.
 * Returns 0 or
 *   -ENOENT -EACCES -EROFS ...  as open() says (the directory is not created)
 *   -ELOOP    path is a symbolic link          -EINVAL  it is no regular file
 *   -ENOSPC   no room for what we touch        -EAGAIN  somebody held it for a second
 *   -EBUSY    unusable content, and somebody is attached
 * On failure nothing is left open; the caller decides on region_open_private().
 * The host opens regions only before it starts a workload: the file can be
 * truncated by those who may write it, and a mapping then raises SIGBUS. */
int region_open(struct region *r, const char *path, const struct region_limits *initial);
int region_open_private(struct region *r, const struct region_limits *initial);
void region_close(struct region *r);

/* False when the program has closed our descriptor. Limits and ledger go on
 * working, and the slot stays ours because the mapping keeps its lock; only
 * claiming, releasing and reclaiming are off, and our death ends the slot. */
bool region_owns_fd(const struct region *r);

/* Claims the lowest free slot for the calling process. Slots never move. When
 * 1023 are taken, all further processes share slot 1023: their sum stays
 * exact, but is given back only when the last of them is gone. Returns the
 * index or a negative errno. Also lets go of a few dead processes' slots. */
int region_slot_claim(struct region *r);

/* Gives the slot and everything it holds back. Does nothing when called by
 * another process than the one that claimed it. */
void region_slot_release(struct region *r, int slot);

/* False when somebody else has taken the slot away: an older library that
 * compacts slots, or a hostile writer. */
bool region_slot_intact(const struct region *r);

/* Reclaims what dead processes left. Returns the number of slots freed. May be
 * killed at any instruction; the next call goes on where it stopped. */
int region_reclaim(struct region *r);

/* The same at a tenth of the price: overlooks processes whose child, made by a
 * bare clone(), has kept their descriptor. */
int region_reclaim_quick(struct region *r);

/* A consistent, bounded copy for readers outside the slice: read with pread,
 * never mapped, so that a truncated file cannot kill the reader. */
struct region_process_view {
    int32_t slot, pid, hostpid, status;
    uint64_t used[REGION_DEVICES]; /* bytes, all kinds */
};
struct region_view {
    uint32_t n_devices;
    char uuids[REGION_DEVICES][REGION_UUID_BYTES];
    uint64_t limit[REGION_DEVICES];
    uint32_t sm_limit[REGION_DEVICES];
    uint64_t used[REGION_DEVICES]; /* bytes charged, in flight included */
    uint64_t
        held[REGION_DEVICES]; /* sum over the processes: differs from used for a moment, or when forged */
    uint64_t peak[REGION_DEVICES];
    uint64_t oom_count[REGION_DEVICES];
    uint64_t spilled[REGION_DEVICES];      /* of used: bytes that live in host memory */
    uint64_t thrash_count[REGION_DEVICES]; /* seconds in which kernels ran meanwhile */
    uint64_t busy_ns[REGION_DEVICES];      /* device time charged since creation */
    uint64_t throttled_ns[REGION_DEVICES]; /* time launches waited */
    uint64_t launches[REGION_DEVICES];
    uint32_t util_pct[REGION_DEVICES]; /* 0 to 100, as monitors see it: sampled where nothing is charged */
    int32_t recent_kernel;
    int32_t utilization_switch;
    int32_t priority;
    uint32_t source; /* enum region_source */
    uint64_t last_kernel_time;
    bool suspended;
    uint32_t n_processes;
    struct region_process_view processes[REGION_SLOTS];
};

/* -EPROTO when the file is not a region, else as open() and read() say. Values
 * are the workload's word: bounded and terminated, but not believed. */
int region_read(const char *path, struct region_view *ret);

/* Host-side controls on a region file: single writes, nothing is mapped.
 * 0 or a negative errno; -EPROTO when the file is not a region of ours. */
int region_set_limits(const char *path, const struct region_limits *limits);
int region_set_suspended(const char *path, bool suspended);

/* 1 when a process is attached to the file, 0 when none is, or -errno. Works
 * from any pid namespace, trusts nothing that is written in the file. */
int region_is_attached(const char *path);

/* Replaces the file by a fresh one with these limits, for a region whose
 * holder died. -EBUSY while a process is attached. */
int region_reset(const char *path, const struct region_limits *limits);

#endif
