/* SPDX-License-Identifier: Apache-2.0
 *
 * Called at the first context of a slice and by the helper thread. One caller
 * at a time; a second one goes without an answer rather than wait.
 */
#include "preload/mem_self.h"

#include <stdatomic.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "preload/identity.h"
#include "preload/real.h"
#include "preload/slice.h"

#define PROCESSES_MAX 1024
#define SECOND_US 1000000ULL

static _Atomic uint32_t busy;
static bool initialized;
static nvmlDevice_t handles[REGION_DEVICES];
static nvmlProcessInfo_t processes[PROCESSES_MAX];
static nvmlProcessUtilizationSample_t samples[PROCESSES_MAX];
static unsigned long long newest[REGION_DEVICES]; /* sample seen, of any process: us, by the wall clock */

static bool handle_of(unsigned d)
{
    if (!initialized)
        initialized = real_nvml.nvmlInit_v2() == NVML_SUCCESS;
    if (!initialized)
        return false;
    if (!handles[d] &&
        real_nvml.nvmlDeviceGetHandleByUUID(slice.region.base->uuids[d], &handles[d]) != NVML_SUCCESS)
        handles[d] = NULL;
    return handles[d];
}

static bool list_processes(unsigned d, unsigned *ret_count)
{
    unsigned count = PROCESSES_MAX;
    nvmlReturn_t r = real_nvml.nvmlDeviceGetComputeRunningProcesses_v3(handles[d], &count, processes);

    if (r == NVML_ERROR_FUNCTION_NOT_FOUND) {
        count = PROCESSES_MAX;
        r = real_nvml.nvmlDeviceGetComputeRunningProcesses_v2(handles[d], &count, processes);
    }
    if (r != NVML_SUCCESS || count > PROCESSES_MAX)
        return false;
    *ret_count = count;
    return true;
}

/* Our pid on the host, with the library's lists for us alone; 0 = not now. */
static unsigned begin(void)
{
    identity_learn();
    int32_t hostpid = __atomic_load_n(&slice.region.base->procs[slice.slot].hostpid, __ATOMIC_RELAXED);
    return hostpid <= 0 || atomic_exchange(&busy, 1) ? 0 : (unsigned)hostpid;
}

bool mem_self_used(unsigned d, uint64_t *ret_bytes)
{
    unsigned count = 0, hostpid = begin();
    bool found = false;

    if (!hostpid)
        return false;
    if (handle_of(d) && list_processes(d, &count)) {
        for (unsigned i = 0; i < count && !found; i++) {
            uint64_t used = processes[i].usedGpuMemory;

            found = processes[i].pid == hostpid && used != UINT64_MAX;
            if (found)
                *ret_bytes = used;
        }
    }
    atomic_store(&busy, 0);
    return found;
}

bool mem_self_is_asked(void)
{
    return atomic_load_explicit(&busy, memory_order_relaxed) != 0;
}

/* The machine's, whatever a preloaded library makes of the time for the program. */
static unsigned long long wall_us(void)
{
    struct timespec t = {0};

    syscall(SYS_clock_gettime, CLOCK_REALTIME, &t);
    return (unsigned long long)t.tv_sec * SECOND_US + (unsigned long long)t.tv_nsec / 1000;
}

/* A sample from the future was taken before the clock was set back, or is nonsense: it is not what we have
 * seen, or nothing from now on would be newer. */
bool mem_self_sm_percent(unsigned d, uint64_t *ret_percent)
{
    unsigned n = PROCESSES_MAX, hostpid = begin();
    unsigned long long ours = 0, last, latest;

    if (!hostpid)
        return false;
    latest = wall_us() + SECOND_US;
    last = newest[d] <= latest ? newest[d] : latest - 3 * SECOND_US;
    if (!handle_of(d) ||
        real_nvml.nvmlDeviceGetProcessUtilization(handles[d], samples, &n, last) != NVML_SUCCESS)
        n = 0;
    newest[d] = last;
    for (unsigned i = 0; i < n && i < PROCESSES_MAX; i++) {
        unsigned long long taken = samples[i].timeStamp;

        if (taken <= last || taken > latest)
            continue;
        newest[d] = taken > newest[d] ? taken : newest[d];
        if (samples[i].pid != hostpid || taken < ours)
            continue;
        ours = taken;
        *ret_percent = samples[i].smUtil;
    }
    atomic_store(&busy, 0);
    return ours != 0;
}

void mem_self_after_fork(void)
{
    atomic_store(&busy, 0);
    initialized = false;
    for (unsigned d = 0; d < REGION_DEVICES; d++)
        handles[d] = NULL;
}
