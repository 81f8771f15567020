/* SPDX-License-Identifier: Apache-2.0
 *
 * The driver's own wall: memory limits of control groups (cgroup v2), as
 * drivers from R615 have them. A limit covers all device memory of every
 * process in the group and below it, contexts included.
 *
 * Names are paths of the cgroup2 tree as the host sees them; a mount point in
 * front (/sys/fs/cgroup) is taken off. All functions take the state lock
 * themselves but sim_limit_room(), which is called with it held.
 */
#ifndef HAMI_SIM_WALL_H
#define HAMI_SIM_WALL_H

#include "state.h"

struct sim_wall_view {
    uint64_t soft_bytes, hard_bytes; /* UINT64_MAX: no limit */
    uint64_t used_bytes;             /* of the group and everything below */
};

enum sim_wall_result { SIM_WALL_SET, SIM_WALL_NO_CGROUP, SIM_WALL_FULL };

bool sim_wall_may_set(void); /* the caller is privileged */

/* soft 0 and hard UINT64_MAX take a limit away. Lowering a limit below what is
 * used refuses what comes next; nothing is taken back. */
enum sim_wall_result sim_wall_set(unsigned device, const char *name, uint64_t soft_bytes,
                                  uint64_t hard_bytes);
void sim_wall_get(unsigned device, const char *name, struct sim_wall_view *ret);

/* The limit that leaves the calling process the least; false without one. */
bool sim_wall_of_caller(unsigned device, struct sim_wall_view *ret);

#endif
