/* SPDX-License-Identifier: Apache-2.0
 *
 * The gate's patience, on a clock of our own: whom it believes for how long.
 */
#include <glib.h>
#include <string.h>
#include <time.h>

#include "preload/log.h"

static guint64 clock_ns = 1000000000000;
static void (*each_sleep)(void);
static unsigned sleeps, complaints;

static int fake_gettime(clockid_t clock, struct timespec *t)
{
    (void)clock;
    t->tv_sec = (time_t)(clock_ns / 1000000000);
    t->tv_nsec = (long)(clock_ns % 1000000000);
    return 0;
}

static int fake_sleep(const struct timespec *t, struct timespec *rest)
{
    (void)rest;
    clock_ns += (guint64)t->tv_sec * 1000000000 + (guint64)t->tv_nsec;
    sleeps++;
    if (each_sleep)
        each_sleep();
    return 0;
}

void log_line(enum log_level level, const char *file, int line, const char *format, ...)
{
    (void)level, (void)file, (void)line, (void)format;
    complaints++;
}

#define clock_gettime fake_gettime
#define nanosleep fake_sleep
#include "preload/monitor.c"
#undef clock_gettime
#undef nanosleep

struct slice slice;
static struct region_base *base;
static struct region_ext *ext;
static guint64 began, until_ns;

static void begin(void (*sleeping)(void))
{
    base = g_new0(struct region_base, 1);
    void *at = NULL; /* page-aligned as in a mapped region */
    g_assert_cmpint(posix_memalign(&at, 4096, sizeof *ext), ==, 0);
    ext = memset(at, 0, sizeof *ext);
    slice.region.base = base;
    slice.region.ext = ext;
    slice.slot = 3;
    base->procs[3].status = REGION_SLOT_RUNNING;
    each_sleep = sleeping;
    sleeps = complaints = 0;
    began = clock_ns;
}

static double finish(void)
{
    g_assert_cmpint(base->procs[3].status, ==, REGION_SLOT_RUNNING);
    g_free(base);
    free(ext);
    slice.region.base = NULL;
    slice.region.ext = NULL;
    return (double)(clock_ns - began) / 1e9;
}

static void an_open_gate_does_not_sleep(void)
{
    begin(NULL);
    base->recent_kernel = 2;
    slice_gate();
    g_assert_cmpuint(sleeps, ==, 0);
    finish();
}

static void a_process_without_region_has_no_gate(void)
{
    slice.region.base = NULL;
    slice_gate();
}

static void a_dead_monitors_block_ends_after_a_minute_and_a_trial(void)
{
    begin(NULL);
    base->recent_kernel = -1;
    slice_gate();
    g_assert_cmpint(base->recent_kernel, ==, 0);
    g_assert_cmpuint(complaints, ==, 1);
    double seconds = finish();
    g_assert_cmpfloat(seconds, >, 65);
    g_assert_cmpfloat(seconds, <, 68);
}

/* Comes by every five seconds and blocks for ten minutes. */
static void living_monitor(void)
{
    if ((clock_ns - began) / 5000000000 % 2 == 0)
        return;
    if (clock_ns < until_ns && base->recent_kernel >= 0)
        base->recent_kernel = -1;
    if (clock_ns >= until_ns && base->recent_kernel < 0)
        base->recent_kernel = 0;
}

static void a_living_monitor_blocks_as_long_as_it_likes(void)
{
    begin(living_monitor);
    until_ns = clock_ns + 600 * SECOND_NS;
    base->recent_kernel = -1;
    slice_gate();
    g_assert_cmpuint(complaints, ==, 0);
    double seconds = finish();
    g_assert_cmpfloat(seconds, >=, 600);
    g_assert_cmpfloat(seconds, <, 625);
}

static void host_with_a_heartbeat(void)
{
    ext->host_seen_ns = clock_ns;
    if (clock_ns > began + 300 * SECOND_NS)
        base->recent_kernel = 0;
}

static void a_hosts_heartbeat_keeps_its_block(void)
{
    begin(host_with_a_heartbeat);
    base->recent_kernel = -1;
    ext->host_seen_ns = clock_ns;
    slice_gate();
    g_assert_cmpuint(complaints, ==, 0);
    g_assert_cmpfloat(finish(), >=, 300);
}

static void lift_after_an_hour(void)
{
    if (clock_ns > began + 3600 * SECOND_NS)
        ext->suspended = 0;
}

static void suspension_has_no_time_limit(void)
{
    begin(lift_after_an_hour);
    ext->suspended = 1;
    slice_gate();
    g_assert_cmpuint(complaints, ==, 0);
    g_assert_cmpfloat(finish(), >=, 3600);
}

static void waiting_is_visible_and_answers_within_20_ms(void)
{
    begin(lift_after_an_hour);
    ext->suspended = 1;
    slice_gate();
    g_assert_cmpfloat((double)(clock_ns - began) / sleeps, <, 20.5e6);
    g_assert_cmpfloat((double)(clock_ns - began) / sleeps, >, 15e6);
    finish();
}

static void publishing_is_rare_and_keeps_blocks(void)
{
    begin(NULL);
    base->recent_kernel = 1;
    monitor_publish(clock_ns);
    g_assert_cmpint(base->recent_kernel, ==, 2);
    g_assert_cmpuint(base->last_kernel_time, ==, clock_ns / SECOND_NS);
    base->recent_kernel = 0;
    monitor_publish(clock_ns + SECOND_NS / 2);
    g_assert_cmpint(base->recent_kernel, ==, 0); /* less than a second ago */
    base->recent_kernel = -1;
    monitor_publish(clock_ns + 2 * SECOND_NS);
    g_assert_cmpint(base->recent_kernel, ==, -1);
    finish();
}

/* ---- two slices under one monitor ---- */

/* The monitor's round, every five seconds, for one card that both slices have: it counts activity down, and
 * a slice of lower priority is blocked while one of higher priority counts as active. */
static struct region_base *slices[2]; /* by priority: 0 goes before 1 */
static guint64 next_round_ns, next_publish_ns, high_from_ns, high_until_ns, let_go_ns;

static void monitor_round(void)
{
    bool is_active[2] = {false, false};
    for (int p = 0; p < 2; p++)
        if (slices[p]->recent_kernel > 0)
            is_active[p] = --slices[p]->recent_kernel > 0;
    for (int p = 0; p < 2; p++) {
        bool blocks = p == 1 && is_active[0];
        if (blocks && slices[p]->recent_kernel >= 0)
            slices[p]->recent_kernel = -1;
        if (!blocks && slices[p]->recent_kernel < 0) {
            slices[p]->recent_kernel = 0;
            let_go_ns = next_round_ns;
        }
    }
}

static void others_move(void)
{
    while (clock_ns >= next_publish_ns) {
        if (next_publish_ns >= high_from_ns && next_publish_ns < high_until_ns) {
            slice.region.base = slices[0];
            monitor_publish(next_publish_ns);
            slice.region.base = slices[1];
        }
        next_publish_ns += SECOND_NS / 10; /* its helper comes by so often */
    }
    while (clock_ns >= next_round_ns) {
        monitor_round();
        next_round_ns += 5 * SECOND_NS;
    }
}

/* The moment of low's next launch; each takes a millisecond. */
static guint64 low_launches(void)
{
    slice_gate();
    guint64 at = clock_ns;
    clock_ns += SECOND_NS / 1000;
    others_move();
    return at;
}

static void high_priority_blocks_within_a_round_and_for_two_after(void)
{
    for (unsigned phase = 0; phase < 50; phase++) { /* of the monitor's rounds */
        begin(others_move);
        slices[0] = g_new0(struct region_base, 1);
        slices[1] = base;
        next_publish_ns = clock_ns;
        next_round_ns = clock_ns + SECOND_NS + phase * (SECOND_NS / 10);
        high_from_ns = clock_ns + 12 * SECOND_NS;
        high_until_ns = high_from_ns + 33 * SECOND_NS;
        guint64 last_before = 0, first_after = 0, launches_before = 0;
        for (guint64 at = low_launches(); at < high_until_ns + 30 * SECOND_NS; at = low_launches()) {
            launches_before += at < high_from_ns;
            if (at < high_until_ns)
                last_before = at;
            else if (!first_after)
                first_after = at;
        }
        g_assert_cmpuint(launches_before, >=, 11900); /* nobody else works: never blocked */
        g_assert_cmpuint(last_before, <=, high_from_ns + 5 * SECOND_NS + SECOND_NS / 20);
        g_assert_cmpuint(let_go_ns, >=, high_until_ns);
        g_assert_cmpuint(first_after, >=, let_go_ns);
        g_assert_cmpuint(first_after, <=, let_go_ns + SECOND_NS / 40);
        g_assert_cmpuint(first_after, <=, high_until_ns + 10 * SECOND_NS + SECOND_NS / 20);
        g_assert_cmpuint(complaints, ==, 0);
        g_free(slices[0]);
        finish();
    }
}

/* ---- a block that is written while activity is published ---- */

static gint publishes, publisher_ends;

static gpointer publish_for_ever(gpointer now)
{
    for (guint64 at = *(guint64 *)now; !g_atomic_int_get(&publisher_ends); at += 2 * SECOND_NS) {
        monitor_publish(at);
        g_atomic_int_inc(&publishes);
    }
    return NULL;
}

static void a_block_is_never_overwritten_by_a_publication_under_way(void)
{
    begin(NULL);
    guint64 now = clock_ns;
    g_atomic_int_set(&publisher_ends, 0);
    GThread *publisher = g_thread_new("publisher", publish_for_ever, &now);
    unsigned lost = 0;
    for (unsigned round = 0; round < 8000; round++) {
        __atomic_store_n(&base->recent_kernel, 0, __ATOMIC_SEQ_CST);
        for (volatile unsigned i = 0; i < round % 64; i = i + 1)
            ;
        __atomic_store_n(&base->recent_kernel, -1, __ATOMIC_SEQ_CST);
        for (gint seen = g_atomic_int_get(&publishes); g_atomic_int_get(&publishes) - seen < 2;)
            g_thread_yield(); /* what was under way has ended */
        lost += __atomic_load_n(&base->recent_kernel, __ATOMIC_SEQ_CST) != -1;
    }
    g_atomic_int_set(&publisher_ends, 1);
    g_thread_join(publisher);
    g_assert_cmpuint(lost, ==, 0);
    finish();
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define TEST(name) g_test_add_func("/gate/" #name, name)
    TEST(an_open_gate_does_not_sleep);
    TEST(a_process_without_region_has_no_gate);
    TEST(a_dead_monitors_block_ends_after_a_minute_and_a_trial);
    TEST(a_living_monitor_blocks_as_long_as_it_likes);
    TEST(a_hosts_heartbeat_keeps_its_block);
    TEST(suspension_has_no_time_limit);
    TEST(waiting_is_visible_and_answers_within_20_ms);
    TEST(publishing_is_rare_and_keeps_blocks);
    TEST(high_priority_blocks_within_a_round_and_for_two_after);
    TEST(a_block_is_never_overwritten_by_a_publication_under_way);
    return g_test_run();
}
