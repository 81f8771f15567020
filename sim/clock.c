/* SPDX-License-Identifier: Apache-2.0
 *
 * Time of a simulated machine. Real: CLOCK_MONOTONIC. Virtual: a counter in
 * the state file. A process that waits in virtual time writes down until when;
 * when every process that uses the machine waits, the last one to begin moves
 * the counter to the earliest of those moments and wakes the others. Computing
 * on the host takes no virtual time.
 */
#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "state.h"

static uint64_t monotonic_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000ULL + (uint64_t)t.tv_nsec;
}

uint64_t sim_now(void)
{
    if (sim_state != NULL && sim_state->profile.virtual_time)
        return atomic_load_explicit(&sim_state->virtual_ns, memory_order_acquire);
    return monotonic_ns();
}

/* Waking a sleeper takes 5 to 20 us, as long as a short kernel: the last bit is
 * spun, as the driver's own wait does. */
#define SPIN_NS 15000u

/* A thread's timer slack (50 us by default) would make every wait late. */
static void sleep_real(uint64_t moment_ns)
{
    uint64_t now = monotonic_ns();
    if (moment_ns > now + 2 * SPIN_NS) {
        uint64_t until = moment_ns - SPIN_NS;
        int slack = prctl(PR_GET_TIMERSLACK, 0, 0, 0, 0);
        if (slack > 1)
            prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0);
        struct timespec t = {(time_t)(until / 1000000000ULL), (long)(until % 1000000000ULL)};
        while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR)
            ;
        if (slack > 1)
            prctl(PR_SET_TIMERSLACK, (unsigned long)slack, 0, 0, 0);
    }
    while (monotonic_ns() < moment_ns)
        ;
}

static void futex_wait(_Atomic uint32_t *word, uint32_t seen, uint64_t timeout_ns)
{
    struct timespec t = {(time_t)(timeout_ns / 1000000000ULL), (long)(timeout_ns % 1000000000ULL)};
    syscall(SYS_futex, word, FUTEX_WAIT, seen, &t, NULL, 0);
}

/* Lock held: the earliest awaited moment when all that take part wait, else 0. */
static uint64_t earliest_awaited(void)
{
    uint64_t best = UINT64_MAX;
    for (uint32_t i = 0; i < sim_state->n_processes; i++) {
        const struct sim_process *p = &sim_state->processes[i];
        if (p->used == 0)
            continue;
        if (p->wait_until_ns == 0)
            return 0;
        if (p->wait_until_ns < best)
            best = p->wait_until_ns;
    }
    return best == UINT64_MAX ? 0 : best;
}

static void sleep_virtual(uint64_t moment_ns)
{
    while (sim_now() < moment_ns) {
        uint32_t turn = atomic_load(&sim_state->virtual_turn);
        sim_lock();
        if (sim_self != NULL && (sim_self->wait_until_ns == 0 || sim_self->wait_until_ns > moment_ns))
            sim_self->wait_until_ns = moment_ns;
        uint64_t next = atomic_load(&sim_state->halted) ? 0 : earliest_awaited();
        bool moved = next > sim_now();
        if (moved) {
            atomic_store(&sim_state->virtual_ns, next);
            atomic_fetch_add(&sim_state->virtual_turn, 1);
        } else {
            sim_reap(0);
        }
        sim_unlock();
        if (moved)
            syscall(SYS_futex, &sim_state->virtual_turn, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
        else if (sim_now() < moment_ns)
            futex_wait(&sim_state->virtual_turn, turn, 20000000);
    }
    if (sim_self != NULL)
        sim_self->wait_until_ns = 0;
}

void sim_sleep_until(uint64_t moment_ns)
{
    if (sim_state != NULL && sim_state->profile.virtual_time)
        sleep_virtual(moment_ns);
    else
        sleep_real(moment_ns);
}
