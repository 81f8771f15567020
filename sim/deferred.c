/* SPDX-License-Identifier: Apache-2.0
 *
 * Stream work that cannot be given to the engine yet because something on the
 * host comes first: a host function, a callback, a wait for a value in memory.
 * One thread per process, started at the first such call, plays it in order.
 * Callbacks of the program run on that thread, as they do on the driver's own,
 * with no lock held.
 */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

#include "objects.h"

#define POLL_NS 100000u /* how often a value in memory is looked at */

static pthread_cond_t changed; /* new deferred work, or an event got its place */
static pthread_cond_t drained = PTHREAD_COND_INITIALIZER;
static pthread_t player;
static bool playing;
static uint64_t next_number = 1;
static struct sim_stream *list; /* streams with deferred work */

/* ---- order between streams ---- */

static bool legacy_ordered(const struct sim_stream *s)
{
    return s->null || (!s->per_thread && (s->flags & CU_STREAM_NON_BLOCKING) == 0) ||
           (s->per_thread && (s->flags & CU_STREAM_NON_BLOCKING) == 0);
}

/* Deferred work older than `number` that the legacy stream's rules put first. */
static bool older_ahead(const struct sim_stream *s, uint64_t number)
{
    if (!legacy_ordered(s))
        return false;
    for (const struct sim_stream *o = list; o != NULL; o = o->next_deferred)
        if (o != s && o->ctx == s->ctx && legacy_ordered(o) && (o->null || s->null) &&
            o->first_deferred != NULL && o->first_deferred->number < number)
            return true;
    return false;
}

bool sim_must_defer(const struct sim_stream *s)
{
    return s->first_deferred != NULL || (list != NULL && older_ahead(s, UINT64_MAX));
}

/* ---- playing ---- */

static void pop(struct sim_stream *s)
{
    struct sim_deferred *d = s->first_deferred;
    s->first_deferred = d->next;
    if (s->first_deferred == NULL)
        s->last_deferred = NULL;
    free(d);
}

static void play_host(struct sim_stream *s, struct sim_deferred *d)
{
    void (*fn)(void *) = d->fn;
    void *arg = d->arg;
    s->host_running = true;
    pthread_mutex_unlock(&sim_driver_lock);
    fn(arg);
    pthread_mutex_lock(&sim_driver_lock);
    s->host_running = false;
    struct sim_fence f;
    sim_stream_before(s, &f);
    f.floor_ns = sim_now();
    sim_stream_after(s, &f);
}

static void play_work(struct sim_stream *s, struct sim_deferred *d, uint64_t *wake)
{
    struct sim_fence f;
    uint64_t retry = 0;
    sim_stream_before(s, &f);
    CUresult r = sim_submit_fence(s, &d->work, &f, &retry);
    if (r == CUDA_ERROR_NOT_READY) {
        *wake = retry;
        return;
    }
    sim_stream_after(s, &f);
    if (d->work.effect != NULL) {
        struct sim_work w = d->work;
        s->host_running = true;
        pthread_mutex_unlock(&sim_driver_lock);
        w.effect(w.arg);
        pthread_mutex_lock(&sim_driver_lock);
        s->host_running = false;
    }
    *wake = 0;
}

/* Plays the stream's first item when its time has come; *wake is when to look
 * again: 0 after progress, UINT64_MAX when only another change can help. */
static void play_first(struct sim_stream *s, uint64_t *wake)
{
    struct sim_deferred *d = s->first_deferred;
    struct sim_fence f;
    *wake = UINT64_MAX;
    if (s->host_running || older_ahead(s, d->number))
        return;
    sim_stream_before(s, &f);
    switch (d->kind) {
    case SIM_DEFERRED_HOST:
        if (!sim_fence_passed(&f)) {
            *wake = sim_fence_look_again(&f);
            return;
        }
        play_host(s, d);
        break;
    case SIM_DEFERRED_WORK:
        play_work(s, d, wake);
        if (*wake != 0)
            return;
        break;
    case SIM_DEFERRED_RECORD:
        sim_event_place(d->event, s);
        pthread_cond_broadcast(&drained);
        break;
    case SIM_DEFERRED_WAIT:
        if (sim_object_is(d->event, SIM_TAG_EVENT) && d->event->waiting > 0)
            return;
        if (sim_object_is(d->event, SIM_TAG_EVENT))
            sim_event_join(d->event, s);
        break;
    case SIM_DEFERRED_VALUE:
        if (!d->reached(d->arg)) {
            *wake = sim_now() + POLL_NS;
            return;
        }
        free(d->arg);
        break;
    }
    pop(s);
    *wake = 0;
}

static void unlist(struct sim_stream *s)
{
    for (struct sim_stream **p = &list; *p != NULL; p = &(*p)->next_deferred) {
        if (*p == s) {
            *p = s->next_deferred;
            s->next_deferred = NULL;
            return;
        }
    }
}

/* One pass over all streams; the earliest moment at which another is worth while. */
static uint64_t play_all(void)
{
    uint64_t earliest = UINT64_MAX;
    for (struct sim_stream *s = list; s != NULL;) {
        uint64_t wake = 0;
        while (s->first_deferred != NULL && wake == 0)
            play_first(s, &wake);
        if (s->first_deferred == NULL) {
            unlist(s);
            pthread_cond_broadcast(&drained);
            return 0; /* the list has changed: begin again */
        }
        if (wake < earliest)
            earliest = wake;
        s = s->next_deferred;
    }
    return earliest;
}

static void wait_until(uint64_t moment)
{
    if (sim_state->profile.virtual_time && moment != UINT64_MAX) {
        pthread_mutex_unlock(&sim_driver_lock);
        sim_sleep_until(moment);
        pthread_mutex_lock(&sim_driver_lock);
    } else if (moment == UINT64_MAX) {
        pthread_cond_wait(&changed, &sim_driver_lock);
    } else {
        struct timespec t = {(time_t)(moment / 1000000000ULL), (long)(moment % 1000000000ULL)};
        pthread_cond_timedwait(&changed, &sim_driver_lock, &t);
    }
}

static void *play(void *arg)
{
    (void)arg;
    pthread_mutex_lock(&sim_driver_lock);
    for (;;) {
        uint64_t moment = play_all();
        if (moment > sim_now())
            wait_until(moment);
    }
    return NULL;
}

static bool start_player(void)
{
    if (playing)
        return true;
    sigset_t all, old;
    pthread_condattr_t a;
    pthread_condattr_init(&a);
    pthread_condattr_setclock(&a, CLOCK_MONOTONIC);
    pthread_cond_init(&changed, &a);
    pthread_condattr_destroy(&a);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    playing = pthread_create(&player, NULL, play, NULL) == 0;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (playing)
        pthread_detach(player);
    return playing;
}

CUresult sim_defer(struct sim_stream *s, const struct sim_deferred *item)
{
    struct sim_deferred *d = malloc(sizeof(*d));
    if (d == NULL || !start_player()) {
        free(d);
        return CUDA_ERROR_OUT_OF_MEMORY;
    }
    *d = *item;
    d->next = NULL;
    d->number = next_number++;
    if (s->last_deferred != NULL) {
        s->last_deferred->next = d;
    } else {
        s->first_deferred = d;
        s->next_deferred = list;
        list = s;
    }
    s->last_deferred = d;
    pthread_cond_broadcast(&changed);
    return CUDA_SUCCESS;
}

void sim_deferred_drain(struct sim_stream *s)
{
    while (sim_object_is(s, SIM_TAG_STREAM) && sim_must_defer(s))
        pthread_cond_wait(&drained, &sim_driver_lock);
}

void sim_deferred_await(struct sim_event *e)
{
    while (sim_object_is(e, SIM_TAG_EVENT) && e->waiting > 0)
        pthread_cond_wait(&drained, &sim_driver_lock);
}

void sim_deferred_forget(struct sim_stream *s)
{
    if (s->first_deferred == NULL)
        return;
    while (s->host_running)
        pthread_cond_wait(&drained, &sim_driver_lock);
    while (s->first_deferred != NULL)
        pop(s);
    unlist(s);
    pthread_cond_broadcast(&drained);
}
