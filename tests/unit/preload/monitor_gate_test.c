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
    return g_test_run();
}
