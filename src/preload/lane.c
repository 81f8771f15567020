/* SPDX-License-Identifier: Apache-2.0
 *
 * Where lanes come from. They are never freed: a lane whose thread has ended is
 * given to the next thread that needs one, if it is among the first LANES_MAX.
 */
#include "preload/lane.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "preload/port.h"

enum { LANES_MAX = 1024 };

struct lane lane_none; /* its stamp is 0, which lane_stamp never is */
__thread struct lane_tls lane_tls = {.lane = &lane_none};
_Atomic uint32_t lane_stamp = 1; /* always below LANE_SWITCHED */

static struct lane *lanes[LANES_MAX];
static uint32_t n_lanes;
static struct port_lock lock;

static struct lane *lane_of_dead_thread(void)
{
    int saved = errno;
    struct lane *found = NULL;
    for (uint32_t i = 0; i < n_lanes && !found; i++)
        if (syscall(SYS_tgkill, getpid(), lanes[i]->tid, 0) != 0 && errno == ESRCH)
            found = lanes[i];
    errno = saved;
    return found;
}

static struct lane *lane_new(void)
{
    int saved = errno;
    void *memory =
        mmap(NULL, sizeof(struct lane), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    errno = saved;
    if (memory == MAP_FAILED)
        return NULL;
    struct lane *lane = memory;
    for (int i = 0; i < LANE_ENTRIES; i++)
        lane->entries[i].price_ns = LANE_CLOSED_NS;
    lane->chunk_ns = LANE_CHUNK_NS;
    lane->budget = 1;
    if (n_lanes < LANES_MAX)
        lanes[n_lanes++] = lane;
    return lane;
}

struct lane *lane_get(void)
{
    if (likely(lane_here() != NULL))
        return lane_tls.lane;
    int tid = (int)syscall(SYS_gettid);
    port_lock(&lock);
    struct lane *lane = lane_of_dead_thread();
    if (!lane)
        lane = lane_new();
    if (lane) {
        lane->tid = tid;
        lane->dice = port.random();
    }
    port_unlock(&lock);
    if (!lane)
        return NULL;
    lane->stamp = 0; /* what its last thread left open is closed first */
    lane_tls.lane = lane;
    return lane;
}

void lane_after_fork(void)
{
    lane_tls = (struct lane_tls){.lane = &lane_none};
    n_lanes = 0;
    lock = (struct port_lock){0};
}
