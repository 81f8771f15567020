/* SPDX-License-Identifier: Apache-2.0
 *
 * Checkpoint and restore of a process's device state: a checkpointed process
 * holds no device memory, a restored one holds all of it again. The pid is
 * often another process's, so what a slot held is kept in its block of the
 * region, where whoever restores it finds it.
 */
#include <unistd.h>

#include "preload/mem_engine.h"
#include "region/extension.h"

/* The slot of a process of this slice; -1 when it is not one of ours. */
static int slot_of(int pid)
{
    if (pid == getpid() && slice.slot < REGION_SLOTS - 1)
        return slice.slot;
    for (int i = 0; i < REGION_SLOTS - 1; i++) /* the overflow slot is nobody's alone */
        if (__atomic_load_n(&slice.region.base->procs[i].pid, __ATOMIC_ACQUIRE) == pid)
            return i;
    return -1;
}

static _Atomic uint64_t *parked(int slot, unsigned d)
{
    return &slice.region.ext->members[slot].checkpointed[d];
}

HOOK CUresult cuCheckpointProcessCheckpoint(int pid, CUcheckpointCheckpointArgs *args)
{
    CUresult r = real.cuCheckpointProcessCheckpoint(pid, args);
    int slot = r == CUDA_SUCCESS && mem_active() ? slot_of(pid) : -1;

    for (unsigned d = 0; slot >= 0 && d < REGION_DEVICES; d++) {
        uint64_t held = ledger_held(&slice.region, slot, d);

        atomic_fetch_add(parked(slot, d), held);
        ledger_release(&slice.region, slot, d, held);
    }
    return r;
}

/* Takes back what the process held, or nothing. */
static bool reserve_again(int slot)
{
    for (unsigned d = 0; d < REGION_DEVICES; d++) {
        uint64_t n = atomic_load(parked(slot, d));

        if (!n || ledger_reserve_or_reclaim(&slice.region, slot, d, n, slice_mem_limit(d)))
            continue;
        mem_refused(d, n);
        while (d-- > 0)
            ledger_release(&slice.region, slot, d, atomic_load(parked(slot, d)));
        return false;
    }
    return true;
}

HOOK CUresult cuCheckpointProcessRestore(int pid, CUcheckpointRestoreArgs *args)
{
    int slot = mem_active() ? slot_of(pid) : -1;
    CUresult r;

    if (slot >= 0 && !reserve_again(slot))
        return CUDA_ERROR_OUT_OF_MEMORY;
    r = real.cuCheckpointProcessRestore(pid, args);
    for (unsigned d = 0; slot >= 0 && d < REGION_DEVICES; d++) {
        uint64_t n = atomic_load(parked(slot, d));

        if (r == CUDA_SUCCESS)
            atomic_fetch_sub(parked(slot, d), n);
        else
            ledger_release(&slice.region, slot, d, n);
    }
    return r;
}
