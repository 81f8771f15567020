/* SPDX-License-Identifier: Apache-2.0
 *
 * Work of this process on the shared machine: pushing it, waiting for it, and
 * asking when it ends. See queue.h for how a moment is computed. Any thread;
 * the state lock is taken and released in here.
 */
#include "objects.h"

/* Other processes' work ahead is looked at again after this long, in case its
 * owner has been killed. */
#define RECHECK_NS 5000000u
#define REAP_EVERY_NS 1000000u

static uint32_t queue_of(sim_ref ref)
{
    return (uint32_t)(ref >> 48);
}

static uint64_t position_of(sim_ref ref)
{
    return ref & 0xffffffffffffULL;
}

CUresult sim_device_health(unsigned device)
{
    if (atomic_load_explicit(&sim_state->devices[device].fault.lost, memory_order_relaxed) != 0)
        return CUDA_ERROR_UNKNOWN;
    return CUDA_SUCCESS;
}

/* State lock held: the prediction of entry i brought up to date. */
static uint64_t refresh(struct sim_fence *f, unsigned i, uint64_t now)
{
    struct sim_queue *q = sim_queue_at(queue_of(f->after[i]));
    if (f->epoch[i] == q->epoch && q->schedule != SIM_TIME_SLICED)
        return f->end_ns[i];
    sim_run_queue(queue_of(f->after[i]), now);
    uint64_t end = sim_queue_end(q, position_of(f->after[i]));
    if (end != 0)
        f->end_ns[i] = end;
    else if (f->end_ns[i] > now)
        f->end_ns[i] = now; /* gone from the ring: long past */
    f->epoch[i] = q->epoch;
    return f->end_ns[i];
}

/* True when nothing about the fence can have changed since it was made. */
static bool settled(const struct sim_fence *f)
{
    for (unsigned i = 0; i < SIM_DEPENDENCIES; i++) {
        if (f->after[i] == 0)
            continue;
        const struct sim_queue *q = sim_queue_at(queue_of(f->after[i]));
        if (q->schedule == SIM_TIME_SLICED || __atomic_load_n(&q->epoch, __ATOMIC_ACQUIRE) != f->epoch[i])
            return false;
    }
    return true;
}

static uint64_t known_end(const struct sim_fence *f)
{
    uint64_t end = f->floor_ns;
    for (unsigned i = 0; i < SIM_DEPENDENCIES; i++)
        if (f->after[i] != 0 && f->end_ns[i] > end)
            end = f->end_ns[i];
    return end;
}

static uint64_t end_locked(const struct sim_fence *fence, uint64_t now)
{
    struct sim_fence f = *fence;
    for (unsigned i = 0; i < SIM_DEPENDENCIES; i++)
        if (f.after[i] != 0)
            refresh(&f, i, now);
    return known_end(&f);
}

uint64_t sim_fence_end(const struct sim_fence *fence)
{
    if (settled(fence))
        return known_end(fence);
    sim_lock();
    uint64_t end = end_locked(fence, sim_now());
    sim_unlock();
    return end;
}

bool sim_fence_passed(const struct sim_fence *fence)
{
    return sim_fence_end(fence) <= sim_now();
}

/* State lock held: when to look at the fence again. */
static uint64_t look_again(const struct sim_fence *f, uint64_t now)
{
    uint64_t at = f->floor_ns;
    for (unsigned i = 0; i < SIM_DEPENDENCIES; i++) {
        if (f->after[i] == 0)
            continue;
        uint64_t m = sim_queue_look_again(sim_queue_at(queue_of(f->after[i])), position_of(f->after[i]), now);
        if (m > at)
            at = m;
    }
    return at;
}

uint64_t sim_fence_look_again(const struct sim_fence *fence)
{
    sim_lock();
    uint64_t now = sim_now(), end = end_locked(fence, now);
    uint64_t at = end <= now ? now : look_again(fence, now);
    sim_unlock();
    return at;
}

static bool others_ahead(const struct sim_fence *f)
{
    for (unsigned i = 0; i < SIM_DEPENDENCIES; i++) {
        if (f->after[i] == 0)
            continue;
        const struct sim_queue *q = sim_queue_at(queue_of(f->after[i]));
        if (q->tail - q->head > q->pending[sim_self - sim_state->processes])
            return true;
    }
    return false;
}

void sim_fence_wait(const struct sim_fence *fence)
{
    for (;;) {
        uint64_t now = sim_now();
        if (settled(fence) && known_end(fence) <= now)
            return;
        sim_lock();
        now = sim_now();
        uint64_t end = end_locked(fence, now);
        uint64_t until = end <= now ? now : look_again(fence, now);
        if (end > now && others_ahead(fence)) {
            if (sim_reap(REAP_EVERY_NS))
                until = now;
            else if (until > now + RECHECK_NS && !sim_state->profile.virtual_time)
                until = now + RECHECK_NS;
        }
        sim_unlock();
        if (end <= now)
            return;
        if (until > now)
            sim_sleep_until(until);
    }
}

/* One server, or slices of one: a process's later work ends later. Several
 * servers: by the predictions, which can only be compared within an epoch. */
static bool ends_later(sim_ref ref, uint64_t epoch, uint64_t end_ns, const struct sim_fence *than, unsigned i)
{
    const struct sim_queue *q = sim_queue_at(queue_of(ref));
    bool later = position_of(ref) > position_of(than->after[i]);
    if (q->n_servers == 1)
        return later;
    if (epoch != than->epoch[i])
        return later; /* the older prediction is worth nothing */
    return end_ns > than->end_ns[i] || (end_ns == than->end_ns[i] && later);
}

static void join_one(struct sim_fence *into, sim_ref ref, uint64_t epoch, uint64_t end_ns)
{
    unsigned spare = SIM_DEPENDENCIES;
    for (unsigned i = 0; i < SIM_DEPENDENCIES; i++) {
        if (into->after[i] == 0) {
            spare = i;
        } else if (queue_of(into->after[i]) == queue_of(ref)) {
            if (ends_later(ref, epoch, end_ns, into, i)) {
                into->after[i] = ref;
                into->epoch[i] = epoch;
                into->end_ns[i] = end_ns;
            }
            return;
        }
    }
    if (spare == SIM_DEPENDENCIES) { /* too many: stand on the prediction */
        if (end_ns != UINT64_MAX && end_ns > into->floor_ns)
            into->floor_ns = end_ns;
        return;
    }
    into->after[spare] = ref;
    into->epoch[spare] = epoch;
    into->end_ns[spare] = end_ns;
}

void sim_fence_join(struct sim_fence *into, const struct sim_fence *other)
{
    if (other->floor_ns > into->floor_ns)
        into->floor_ns = other->floor_ns;
    for (unsigned i = 0; i < SIM_DEPENDENCIES; i++)
        if (other->after[i] != 0)
            join_one(into, other->after[i], other->epoch[i], other->end_ns[i]);
}

/* State lock held: when there may be room in a queue that is full for this process. */
static uint64_t room_at(const struct sim_queue *q, uint16_t slot, uint64_t now)
{
    uint64_t first = q->head;
    while (first < q->tail && q->pending[slot] >= SIM_PENDING_MAX &&
           (q->entries[first % SIM_RING].process != slot ||
            q->entries[first % SIM_RING].state != SIM_ENTRY_QUEUED))
        first++;
    uint64_t until = sim_queue_look_again(q, first, now);
    if (until > now + RECHECK_NS && !sim_state->profile.virtual_time)
        until = now + RECHECK_NS;
    return until > now ? until : now + 1000;
}

CUresult sim_engine_push(unsigned device, unsigned part, enum sim_engine engine, uint64_t duration_ns,
                         struct sim_fence *fence, uint64_t *ret_retry_ns)
{
    CUresult r = sim_device_health(device);
    if (r != CUDA_SUCCESS)
        return r;
    uint32_t number = sim_queue_number(device, part, engine == SIM_ENGINE_COPY ? 1 : 0);
    struct sim_queue *q = sim_queue_at(number);
    struct sim_push push = {.process = (uint16_t)(sim_self - sim_state->processes),
                            .duration_ns = duration_ns};
    sim_lock();
    uint64_t now = sim_now();
    sim_run_queue(number, now);
    if (sim_queue_full(q, push.process)) {
        *ret_retry_ns = room_at(q, push.process, now);
        sim_reap(REAP_EVERY_NS);
        sim_unlock();
        return CUDA_ERROR_NOT_READY;
    }
    push.ready_ns = now;
    uint64_t end = end_locked(fence, now);
    if (end == UINT64_MAX) /* time-sliced: behind it by order in the same queue, by a guess in another */
        end = queue_of(fence->after[0]) == number ? now : look_again(fence, now);
    if (end > now)
        push.ready_ns = end;
    for (unsigned i = 0; i < SIM_DEPENDENCIES; i++)
        push.after[i] = fence->after[i];
    uint64_t position = sim_queue_push(q, &push);
    struct sim_fence before = *fence;
    *fence = (struct sim_fence){.after = {(sim_ref)number << 48 | position},
                                .epoch = {q->epoch},
                                .end_ns = {sim_queue_end(q, position)}};
    for (unsigned i = 0; i < SIM_DEPENDENCIES; i++) /* their ends are guesses: keep waiting for them too */
        if (before.after[i] != 0 && queue_of(before.after[i]) != number &&
            sim_queue_at(queue_of(before.after[i]))->schedule == SIM_TIME_SLICED)
            join_one(fence, before.after[i], before.epoch[i], before.end_ns[i]);
    sim_unlock();
    return CUDA_SUCCESS;
}
