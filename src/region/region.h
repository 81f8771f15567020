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

#include "region/layout.h"

struct region_ext; /* region/extension.h */

/* A process's mapping of a region. Zero it, then region_open(). */
struct region {
    struct region_base *base;
    struct region_ext *ext;
    int fd;          /* -1 when private */
    bool is_private; /* anonymous: the file could not be used */
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
 * Truncated or foreign content is replaced only when no live process is
 * attached. On failure the caller decides on region_open_private(). */
int region_open(struct region *r, const char *path, const struct region_limits *initial);
int region_open_private(struct region *r, const struct region_limits *initial);
void region_close(struct region *r);

/* Claims the lowest free slot for the calling process (1023 is shared when all
 * are taken). Slots never move. Returns the index or a negative errno. */
int region_slot_claim(struct region *r);
void region_slot_release(struct region *r, int slot);

/* Reclaims what dead processes left. Returns the number of slots freed. */
int region_reclaim(struct region *r);

/* A consistent, bounded copy for readers outside the slice: read with pread,
 * never mapped, so that a truncated file cannot kill the reader. */
struct region_process_view {
    int32_t pid, hostpid, status;
    uint64_t used[REGION_DEVICES]; /* bytes, all kinds */
};
struct region_view {
    uint32_t n_devices;
    char uuids[REGION_DEVICES][REGION_UUID_BYTES];
    uint64_t limit[REGION_DEVICES];
    uint32_t sm_limit[REGION_DEVICES];
    uint64_t used[REGION_DEVICES]; /* bytes charged, in flight included */
    uint64_t peak[REGION_DEVICES];
    uint64_t oom_count[REGION_DEVICES];
    uint64_t busy_ns[REGION_DEVICES];      /* device time charged since creation */
    uint64_t throttled_ns[REGION_DEVICES]; /* time launches waited */
    uint64_t launches[REGION_DEVICES];
    int32_t recent_kernel;
    uint64_t last_kernel_time;
    bool suspended;
    uint32_t n_processes;
    struct region_process_view processes[REGION_SLOTS];
};
int region_read(const char *path, struct region_view *ret);

/* Host-side controls on a region file. */
int region_set_limits(const char *path, const struct region_limits *limits);
int region_set_suspended(const char *path, bool suspended);

#endif
