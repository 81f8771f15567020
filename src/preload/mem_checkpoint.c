/* SPDX-License-Identifier: Apache-2.0
 *
 * Checkpoint and restore of a process's device state: a process that has
 * checkpointed itself holds no device memory, and holds all of it again when
 * it restores itself. What its slot held is kept in its block of the region.
 *
 * Only a process itself may change what its slot holds. One that another
 * process checkpoints stays charged, as somebody who left the room and comes
 * back, and its restore needs nothing; one that checkpointed itself cannot be
 * restored by another, which could not charge it.
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

/* Whether the slot is ours to change. */
static bool is_own(int slot)
{
    return slot >= 0 && slot == slice.slot && slot < REGION_SLOTS - 1;
}

HOOK CUresult cuCheckpointProcessCheckpoint(int pid, CUcheckpointCheckpointArgs *args)
{
    CUresult r = real.cuCheckpointProcessCheckpoint(pid, args);
    int slot = r == CUDA_SUCCESS && mem_active() ? slot_of(pid) : -1;

    for (unsigned d = 0; is_own(slot) && d < REGION_DEVICES; d++) {
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

        if (!n || (is_own(slot) && ledger_reserve_or_reclaim(&slice.region, slot, d, n, slice_mem_limit(d))))
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
    CUresult r = mem_enter();
    int slot = r == CUDA_SUCCESS ? slot_of(pid) : -1;

    if (r != CUDA_SUCCESS && r != MEM_PASS)
        return r;
    if (slot >= 0 && !reserve_again(slot))
        return CUDA_ERROR_OUT_OF_MEMORY;
    r = real.cuCheckpointProcessRestore(pid, args);
    for (unsigned d = 0; is_own(slot) && d < REGION_DEVICES; d++) {
        uint64_t n = atomic_load(parked(slot, d));

        if (r == CUDA_SUCCESS)
            atomic_fetch_sub(parked(slot, d), n);
        else
            ledger_release(&slice.region, slot, d, n);
    }
    return r;
}
