/* SPDX-License-Identifier: Apache-2.0
 *
 * Batches under threads that launch, wait, capture, and end streams and contexts
 * at the same time, over a driver that knows what may still be used: a call of
 * ours with a stream or an event that is gone, or into a capture, fails the test.
 * The seed is printed; HAMI_TEST_SEED repeats a run as far as threads do.
 */
#include <glib.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "preload/card.h"
#include "preload/compute.h"
#include "preload/helper.h"
#include "preload/measure.h"
#include "preload/slice.h"
#include "preload/throttle.h"

enum { WORKERS = 6, STREAMS = 24, CONTEXTS = 10, STEPS = 3000, IDLE_MAX = 16 };
#define LASTS_NS UINT64_C(50000) /* from a mark until it is reached */

static uint64_t seed = 11;

/* ---- the driver ---- */

/* A stream's handle is used again when it ends, a context's never. */
struct place {
    pthread_rwlock_t lock; /* read by who launches there; written by who ends it */
    _Atomic bool ended, captured;
    _Atomic uintptr_t context;
};
static struct place streams[STREAMS], contexts[CONTEXTS];
static _Atomic uint32_t captures;
static _Atomic uintptr_t last_context = 0x1000;
static _Atomic int n_events;
static _Atomic uint64_t n_launches;
static _Atomic bool no_events;

struct event {
    uintptr_t context;
    _Atomic uint64_t recorded;
};

static _Thread_local uintptr_t current;
static _Thread_local uint64_t random_state;

static uint32_t dice(uint32_t below)
{
    random_state = random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(random_state >> 33) % below;
}

static uint64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * UINT64_C(1000000000) + (uint64_t)t.tv_nsec;
}

static uint64_t random_word(void)
{
    return random_state;
}

static void sleep_until(uint64_t due)
{
    struct timespec t = {.tv_sec = (time_t)(due / 1000000000), .tv_nsec = (long)(due % 1000000000)};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
}

static void wait_on(_Atomic uint32_t *word, uint32_t seen, uint64_t due, bool shared)
{
    struct timespec t = {.tv_sec = (time_t)(due / 1000000000), .tv_nsec = (long)(due % 1000000000)};
    (void)shared;
    syscall(SYS_futex, word, FUTEX_WAIT_BITSET, seen, &t, NULL, FUTEX_BITSET_MATCH_ANY);
}

static void wake(_Atomic uint32_t *word, bool shared)
{
    (void)shared;
    syscall(SYS_futex, word, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0);
}

static bool is_alive(uint32_t pid)
{
    return pid == (uint32_t)getpid();
}

static int device(CUstream stream)
{
    (void)stream;
    return 0;
}

static CUcontext context(void)
{
    return (CUcontext)current; // NOLINT(performance-no-int-to-ptr): a handle
}

static CUstream stream_of(unsigned n)
{
    return (CUstream)(uintptr_t)(0x100 + n); // NOLINT(performance-no-int-to-ptr): the same
}

static struct place *place_of(CUstream stream)
{
    return &streams[(uintptr_t)stream - 0x100];
}

static bool lives(uintptr_t context)
{
    for (int i = 0; i < CONTEXTS; i++)
        if (atomic_load(&contexts[i].context) == context)
            return true;
    return false;
}

static bool event_create(CUevent *ret)
{
    if (atomic_load(&no_events))
        return false;
    struct event *e = g_new0(struct event, 1);
    e->context = current;
    atomic_fetch_add(&n_events, 1);
    *ret = (CUevent)e;
    return true;
}

static void event_destroy(CUevent event)
{
    struct event *e = (struct event *)event;
    atomic_fetch_sub(&n_events, 1);
    g_free(e);
}

static bool event_record(CUevent event, CUstream stream)
{
    struct event *e = (struct event *)event;
    struct place *p = place_of(stream);
    g_assert_true(lives(e->context));
    g_assert_false(atomic_load(&p->ended) || atomic_load(&p->captured));
    atomic_store(&e->recorded, now());
    g_assert_false(atomic_load(&p->ended) || atomic_load(&p->captured));
    return true;
}

static CUresult event_query(CUevent event)
{
    struct event *e = (struct event *)event;
    g_assert_true(lives(e->context));
    return now() - atomic_load(&e->recorded) < LASTS_NS ? CUDA_ERROR_NOT_READY : CUDA_SUCCESS;
}

static bool event_between(CUevent from, CUevent to, double *ret_ns)
{
    struct event *a = (struct event *)from, *b = (struct event *)to;
    g_assert_true(lives(a->context) && a->context == b->context);
    *ret_ns = (double)atomic_load(&b->recorded) - (double)atomic_load(&a->recorded);
    return true;
}

static CUresult stream_query(CUstream stream)
{
    g_assert_false(atomic_load(&place_of(stream)->captured));
    return dice(3) ? CUDA_ERROR_NOT_READY : CUDA_SUCCESS;
}

static bool context_push(CUcontext context)
{
    (void)context;
    return true;
}

static void context_pop(void) {}

static bool is_capturing(CUstream stream)
{
    return atomic_load(&place_of(stream)->captured);
}

static CUstreamCaptureMode capture_mode(CUstreamCaptureMode mode)
{
    return mode;
}

struct port port = {
    .now = now,
    .random = random_word,
    .sleep_until = sleep_until,
    .wait = wait_on,
    .wake = wake,
    .is_alive = is_alive,
    .device = device,
    .context = context,
    .event_create = event_create,
    .event_record = event_record,
    .event_query = event_query,
    .stream_query = stream_query,
    .event_between_ns = event_between,
    .event_destroy = event_destroy,
    .context_push = context_push,
    .context_pop = context_pop,
    .is_capturing = is_capturing,
    .capture_mode = capture_mode,
};

/* ---- what else the gate sees ---- */

uint32_t slice_cores_limit(unsigned d)
{
    (void)d;
    return 90;
}

bool compute_capturing(void)
{
    return atomic_load(&captures) != 0;
}

/* ---- what threads do ---- */

static void switch_to(uintptr_t context)
{
    if (current != context)
        compute_context_switched();
    current = context;
}

static void launch(struct place *c, unsigned n)
{
    struct place *s = &streams[n];
    pthread_rwlock_rdlock(&c->lock);
    pthread_rwlock_rdlock(&s->lock);
    switch_to(atomic_load(&c->context));
    for (uint32_t i = dice(12) + 1; i > 0; i--) {
        const void *f = (const void *)(uintptr_t)(0x1000 * (1 + dice(3)));
        if (!lane_pass(f, 3, stream_of(n))) {
            struct throttle_ticket ticket = throttle_begin(f, 3, stream_of(n));
            throttle_end(&ticket);
        }
        if (!atomic_load(&s->captured)) /* nobody begins one meanwhile */
            atomic_fetch_add(&n_launches, 1);
    }
    pthread_rwlock_unlock(&s->lock);
    pthread_rwlock_unlock(&c->lock);
}

static void synchronise(void)
{
    throttle_before_sync();
    throttle_after_sync();
}

static void end_stream(unsigned n)
{
    struct place *s = &streams[n];
    pthread_rwlock_wrlock(&s->lock);
    if (!atomic_load(&s->captured)) {
        compute_stream_ending(stream_of(n));
        atomic_store(&s->ended, true);
        sched_yield();
        atomic_store(&s->ended, false); /* another one with the same handle */
    }
    pthread_rwlock_unlock(&s->lock);
}

static void capture(unsigned n)
{
    struct place *s = &streams[n];
    pthread_rwlock_wrlock(&s->lock);
    bool begins = !atomic_load(&s->captured);
    if (begins) {
        atomic_fetch_add(&captures, 1);
        atomic_fetch_add(&lane_stamp, 1);
        compute_stream_ending(stream_of(n));
    }
    atomic_store(&s->captured, begins);
    if (!begins)
        atomic_fetch_sub(&captures, 1);
    pthread_rwlock_unlock(&s->lock);
}

static void end_context(struct place *c)
{
    pthread_rwlock_wrlock(&c->lock);
    compute_context_ending(
        (CUcontext)atomic_load(&c->context)); // NOLINT(performance-no-int-to-ptr): a handle
    atomic_store(&c->context, atomic_fetch_add(&last_context, 0x10));
    pthread_rwlock_unlock(&c->lock);
}

/* A stream is of one context, as long as that lives. */
static void step(void)
{
    unsigned n = dice(STREAMS);
    switch (dice(40)) {
    case 0:
        end_stream(n);
        break;
    case 1:
        capture(n);
        break;
    case 2:
        if (dice(4) == 0)
            end_context(&contexts[dice(CONTEXTS)]);
        break;
    case 3:
    case 4:
        synchronise();
        break;
    case 5:
        compute_tick(now());
        break;
    case 6:
        if (dice(8) == 0)
            atomic_store(&no_events, !atomic_load(&no_events));
        break;
    default:
        launch(&contexts[n % CONTEXTS], n);
    }
}

static void *works(void *number)
{
    random_state = seed * 1000003 + (uintptr_t)number;
    for (int i = 0; i < STEPS; i++)
        step();
    synchronise();
    return NULL;
}

static void begin(void)
{
    static struct region_base base;
    static struct region_ext ext;
    slice.region.base = &base;
    slice.region.ext = &ext;
    slice.region.fd = -1;
    slice.region.base->utilization_switch = 1;
    slice.slot = -1;
    slice.n_devices = 1;
    slice.policy = GRANT_POLICY_FORCE;
    slice.priority = 1;
    for (int i = 0; i < STREAMS; i++)
        pthread_rwlock_init(&streams[i].lock, NULL);
    for (int i = 0; i < CONTEXTS; i++) {
        pthread_rwlock_init(&contexts[i].lock, NULL);
        contexts[i].context = atomic_fetch_add(&last_context, 0x10);
    }
}

static uint32_t in_use(const struct card *card)
{
    uint32_t n = 0;
    for (const struct meter *m = card->batches.meters; m; m = m->next) {
        uint32_t used = 0;
        for (const struct batch *b = m->all; b; b = b->kin)
            used += b->state != BATCH_FREE;
        g_assert_cmpuint(used, ==, m->n_used);
        n += used;
    }
    return n;
}

static void every_launch_is_counted_once_and_nothing_is_left(void)
{
    pthread_t threads[WORKERS];
    struct card *card = &cards[0];
    g_test_message("seed %" G_GUINT64_FORMAT, seed);
    begin();
    for (uintptr_t i = 0; i < WORKERS; i++)
        pthread_create(&threads[i], NULL, works, (void *)i); // NOLINT(performance-no-int-to-ptr): a number
    for (int i = 0; i < WORKERS; i++)
        pthread_join(threads[i], NULL);
    while (atomic_load(&card->closed)) {
        measure_finished(card);
        sleep_until(now() + LASTS_NS);
    }
    g_assert_cmpuint(in_use(card), ==, 0);
    g_assert_cmpint(atomic_load(&card->inflight_ns), ==, 0);
    g_assert_cmpuint(atomic_load(&card->blind_ns), ==, 0);
    g_assert_cmpuint(card->account->launches, ==, atomic_load(&n_launches));
    for (int i = 0; i < CONTEXTS; i++)
        compute_context_ending((CUcontext)contexts[i].context); // NOLINT(performance-no-int-to-ptr): a handle
    g_assert_cmpint(atomic_load(&n_events), ==, 0);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    const char *given = g_getenv("HAMI_TEST_SEED");
    if (given)
        seed = strtoull(given, NULL, 10);
    g_test_add_func("/batch/every_launch_is_counted_once_and_nothing_is_left",
                    every_launch_is_counted_once_and_nothing_is_left);
    return g_test_run();
}
