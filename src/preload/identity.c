/* SPDX-License-Identifier: Apache-2.0
 *
 * Finding slot.hostpid, in this order: somebody outside wrote it; this process
 * lives in the host's own pid namespace; the broker of the node says it; NVML
 * lists one new process when our first context appears. Otherwise it stays 0:
 * limits hold all the same, and tools show the slice's own account.
 *
 * Invariants:
 *   1. hostpid is only written from 0, by compare and swap: what the host
 *      wrote stays.
 *   2. No step waits longer than 200 ms, no lock is held.
 */
#include "preload/identity.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "preload/hook.h"
#include "preload/log.h"
#include "preload/real.h"

#define HOST_PID_NS UINT64_C(4026531836) /* the kernel's fixed inode of the first pid namespace */
#define BROKER_PATH "/tmp/vgpulock/hostpid/broker.sock"
#define BROKER_WAIT_MS 200

static _Atomic uint32_t learnt; /* generation of fork + 1 for which the steps were taken */

static int32_t *own_hostpid(void)
{
    return slice.slot >= 0 && slice.slot < REGION_SLOTS - 1 ? &slice.region.base->procs[slice.slot].hostpid
                                                            : NULL;
}

static void write_hostpid(int32_t pid)
{
    int32_t nobody = 0, *place = own_hostpid();
    if (place && pid > 0)
        __atomic_compare_exchange_n(place, &nobody, pid, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
}

static bool is_known(void)
{
    int32_t *place = own_hostpid();
    return !place || __atomic_load_n(place, __ATOMIC_RELAXED) != 0;
}

/* The broker's side must be root's: a workload that could put a socket there
 * would choose whose pid it is shown as. */
static bool is_roots(int fd)
{
    struct ucred peer;
    socklen_t n = sizeof peer;
    return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &n) == 0 && peer.uid == 0;
}

static int32_t ask_broker(void)
{
    const char *wanted = secure_getenv("LIBVGPU_HOSTPID_BROKER");
    if (!wanted || strcmp(wanted, "1") != 0)
        return 0;
    struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = BROKER_PATH};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return 0;
    int32_t pid = 0;
    char reply[32];
    struct pollfd waiting = {.fd = fd, .events = POLLIN};
    if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0 && is_roots(fd) &&
        poll(&waiting, 1, BROKER_WAIT_MS) == 1) {
        ssize_t n = recv(fd, reply, sizeof reply, 0);
        pid = n > 0 ? region_hostpid_parse(reply, (size_t)n) : 0;
    }
    close(fd);
    if (!pid)
        log_warn("the pid broker at " BROKER_PATH
                 " did not answer; process lists show the slice's own account");
    return pid;
}

void identity_learn(void)
{
    uint32_t now = slice.generation + 1;
    if (likely(atomic_exchange_explicit(&learnt, now, memory_order_relaxed) == now))
        return;
    int saved = errno;
    if (!is_known()) {
        if (slice.region.self.pid_ns == HOST_PID_NS)
            write_hostpid((int32_t)getpid());
        else
            write_hostpid(ask_broker());
    }
    errno = saved;
}

/* ---- the new one in NVML's list ---- */

static bool list_pids(unsigned d, struct identity_look *look)
{
    nvmlDevice_t device;
    char uuid[REGION_UUID_BYTES];
    nvmlProcessInfo_t infos[128];
    memcpy(uuid, slice.region.base->uuids[d], sizeof uuid);
    uuid[sizeof uuid - 1] = '\0';
    if (real_nvml.nvmlInit_v2() != NVML_SUCCESS)
        return false;
    look->n = sizeof infos / sizeof infos[0];
    bool listed = real_nvml.nvmlDeviceGetHandleByUUID(uuid, &device) == NVML_SUCCESS &&
                  real_nvml.nvmlDeviceGetComputeRunningProcesses_v3(device, &look->n, infos) == NVML_SUCCESS;
    real_nvml.nvmlShutdown();
    for (unsigned i = 0; listed && i < look->n; i++)
        look->pids[i] = infos[i].pid;
    return listed;
}

void identity_before_context(struct identity_look *look, unsigned d)
{
    look->wanted = false;
    if (atomic_load(&slice.state) != SLICE_ON || d >= slice.n_devices || is_known())
        return;
    identity_learn();
    if (!is_known())
        look->wanted = list_pids(d, look);
}

static bool was_there(const struct identity_look *look, unsigned pid)
{
    for (unsigned i = 0; i < look->n; i++)
        if (look->pids[i] == pid)
            return true;
    return false;
}

void identity_after_context(const struct identity_look *before, unsigned d)
{
    struct identity_look after;
    if (!before->wanted || is_known() || !list_pids(d, &after))
        return;
    unsigned fresh = 0, n_fresh = 0;
    for (unsigned i = 0; i < after.n; i++) {
        if (was_there(before, after.pids[i]))
            continue;
        if (after.pids[i] == (unsigned)getpid()) { /* NVML speaks our own pids */
            write_hostpid((int32_t)after.pids[i]);
            return;
        }
        fresh = after.pids[i];
        n_fresh++;
    }
    if (n_fresh == 1)
        write_hostpid((int32_t)fresh);
}
