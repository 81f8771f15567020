/* SPDX-License-Identifier: Apache-2.0
 *
 * See fault.h.
 */
#include "fault.h"

#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Wakes whoever waits in nvmlEventSetWait. */
static void tell_nvml(void)
{
    atomic_fetch_add(&sim_state->event_turn, 1);
    syscall(SYS_futex, &sim_state->event_turn, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

static struct sim_fault_state *fault(unsigned device)
{
    return &sim_state->devices[device % SIM_DEVICES].fault;
}

void sim_fault_lose(unsigned device, bool lost)
{
    atomic_store(&fault(device)->lost, lost);
    tell_nvml();
}

void sim_fault_slow_copies(unsigned device, uint32_t per_mille)
{
    atomic_store(&fault(device)->copy_slow_pm, per_mille == 1000 ? 0 : per_mille);
}

void sim_fault_speed(unsigned device, uint32_t per_mille)
{
    uint32_t speed = per_mille == 0 ? 1000 : per_mille;
    atomic_store(&fault(device)->speed_pm, speed);
    sim_lock();
    uint64_t now = sim_now();
    sim_run_device(device, now);
    const struct sim_device_state *d = &sim_state->devices[device];
    for (uint32_t i = 0; i < d->n_queues; i += 2)
        sim_queue_at(d->first_queue + i)->speed_pm = speed;
    sim_replan_all(now);
    sim_unlock();
}

void sim_fault_hang_nvml(unsigned device, uint32_t ms)
{
    atomic_store(&fault(device)->nvml_hang_ms, ms);
}

uint32_t sim_fault_xid(unsigned device, uint64_t code)
{
    struct sim_fault_state *f = fault(device);
    sim_lock();
    uint32_t number = f->xid_next;
    f->xids[number % SIM_XIDS].code = code;
    f->xids[number % SIM_XIDS].time_ns = sim_now();
    atomic_store(&f->xid_next, number + 1);
    sim_unlock();
    tell_nvml();
    return number + 1;
}

void sim_fault_temperature(unsigned device, uint32_t celsius)
{
    atomic_store(&fault(device)->temperature_c, celsius);
}

void sim_fault_clear(unsigned device)
{
    sim_fault_lose(device, false);
    sim_fault_slow_copies(device, 1000);
    sim_fault_speed(device, 1000);
    sim_fault_hang_nvml(device, 0);
    sim_fault_temperature(device, 0);
}
