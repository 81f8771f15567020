/* SPDX-License-Identifier: Apache-2.0
 *
 * See wall.h.
 */
#include "wall.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

bool sim_wall_may_set(void)
{
    return geteuid() == 0;
}

/* "/sys/fs/cgroup/a/b/" and "/a/b" are the same group. */
static void plain_name(const char *name, char *ret, size_t size)
{
    static const char *const mounts[] = {"/sys/fs/cgroup/unified", "/sys/fs/cgroup"};
    for (size_t i = 0; i < sizeof(mounts) / sizeof(mounts[0]); i++) {
        size_t n = strlen(mounts[i]);
        if (strncmp(name, mounts[i], n) == 0 && (name[n] == '/' || name[n] == '\0')) {
            name += n;
            break;
        }
    }
    snprintf(ret, size, "%s", name[0] != '\0' ? name : "/");
    size_t n = strlen(ret);
    while (n > 1 && ret[n - 1] == '/')
        ret[--n] = '\0';
}

static bool below(const char *cgroup, const char *limit)
{
    size_t n = strlen(limit);
    if (n == 1) /* the root: everything */
        return true;
    return strncmp(cgroup, limit, n) == 0 && (cgroup[n] == '\0' || cgroup[n] == '/');
}

static uint64_t used_below(unsigned device, const char *limit)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < sim_state->n_processes && i < SIM_PROCESSES; i++) {
        const struct sim_process *p = &sim_state->processes[i];
        if (p->used != 0 && below(sim_state->cgroups[p->cgroup % SIM_CGROUPS], limit))
            sum += p->mem_bytes[device];
    }
    return sum;
}

/* Lock held. The limit above `cgroup` that has the least room left. */
static const struct sim_memory_limit *tightest(unsigned device, const char *cgroup, uint64_t *ret_room)
{
    const struct sim_memory_limit *found = NULL;
    *ret_room = UINT64_MAX;
    for (uint32_t i = 0; sim_state->profile.memory_limits && i < SIM_MEMORY_LIMITS; i++) {
        const struct sim_memory_limit *l = &sim_state->memory_limits[i];
        if (l->used == 0 || l->device != device || l->hard_bytes == UINT64_MAX || !below(cgroup, l->cgroup))
            continue;
        uint64_t used = used_below(device, l->cgroup);
        uint64_t room = used < l->hard_bytes ? l->hard_bytes - used : 0;
        if (found == NULL || room < *ret_room) {
            found = l;
            *ret_room = room;
        }
    }
    return found;
}

uint64_t sim_limit_room(unsigned device, uint32_t cgroup)
{
    uint64_t room;
    tightest(device, sim_state->cgroups[cgroup % SIM_CGROUPS], &room);
    return room;
}

bool sim_wall_of_caller(unsigned device, struct sim_wall_view *ret)
{
    char cgroup[256];
    uint64_t room;
    if (!sim_state->profile.memory_limits)
        return false;
    sim_own_cgroup(cgroup, sizeof(cgroup));
    sim_lock();
    sim_reap(0);
    const struct sim_memory_limit *l = tightest(device, cgroup, &room);
    if (l != NULL)
        *ret = (struct sim_wall_view){l->soft_bytes, l->hard_bytes, used_below(device, l->cgroup)};
    sim_unlock();
    return l != NULL;
}

static struct sim_memory_limit *find(unsigned device, const char *name)
{
    for (uint32_t i = 0; i < SIM_MEMORY_LIMITS; i++) {
        struct sim_memory_limit *l = &sim_state->memory_limits[i];
        if (l->used != 0 && l->device == device && strcmp(l->cgroup, name) == 0)
            return l;
    }
    return NULL;
}

/* Where the tree is mounted here the group has to exist; elsewhere nobody can tell. */
static bool cgroup_exists(const char *name)
{
    static const char *const mounts[] = {"/sys/fs/cgroup/unified", "/sys/fs/cgroup"};
    for (size_t i = 0; i < sizeof(mounts) / sizeof(mounts[0]); i++) {
        char path[512];
        snprintf(path, sizeof(path), "%s/cgroup.procs", mounts[i]);
        if (access(path, F_OK) != 0)
            continue;
        snprintf(path, sizeof(path), "%s%s/cgroup.procs", mounts[i], name);
        return access(path, F_OK) == 0;
    }
    return true;
}

/* A free entry; one whose group has been removed will do. */
static struct sim_memory_limit *find_free(void)
{
    for (uint32_t i = 0; i < SIM_MEMORY_LIMITS; i++)
        if (sim_state->memory_limits[i].used == 0)
            return &sim_state->memory_limits[i];
    for (uint32_t i = 0; i < SIM_MEMORY_LIMITS; i++)
        if (!cgroup_exists(sim_state->memory_limits[i].cgroup))
            return &sim_state->memory_limits[i];
    return NULL;
}

enum sim_wall_result sim_wall_set(unsigned device, const char *name, uint64_t soft_bytes, uint64_t hard_bytes)
{
    char plain[256];
    bool clear = hard_bytes == UINT64_MAX && soft_bytes == 0;
    enum sim_wall_result result = SIM_WALL_SET;
    plain_name(name, plain, sizeof(plain));
    if (!clear && !cgroup_exists(plain))
        return SIM_WALL_NO_CGROUP;
    sim_lock();
    struct sim_memory_limit *l = find(device, plain);
    if (clear) {
        if (l != NULL)
            l->used = 0;
    } else {
        if (l == NULL)
            l = find_free();
        if (l == NULL) {
            result = SIM_WALL_FULL;
        } else {
            l->device = device;
            l->soft_bytes = soft_bytes;
            l->hard_bytes = hard_bytes;
            snprintf(l->cgroup, sizeof(l->cgroup), "%s", plain);
            l->used = 1;
        }
    }
    sim_unlock();
    return result;
}

void sim_wall_get(unsigned device, const char *name, struct sim_wall_view *ret)
{
    char plain[256];
    plain_name(name, plain, sizeof(plain));
    sim_lock();
    sim_reap(0);
    const struct sim_memory_limit *l = find(device, plain);
    ret->soft_bytes = l != NULL ? l->soft_bytes : 0;
    ret->hard_bytes = l != NULL ? l->hard_bytes : UINT64_MAX;
    ret->used_bytes = used_below(device, plain);
    sim_unlock();
}
