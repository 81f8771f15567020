/* SPDX-License-Identifier: Apache-2.0
 *
 * The queue of a simulated engine, alone: order, servers, slices, drops.
 */
#include <glib.h>
#include <string.h>

#include "sim/queue.h"

static struct sim_queue *queue;
static struct sim_entry logged[4096];
static guint64 log_start[4096], log_end[4096];
static unsigned n_logged;

static void sink(void *arg, const struct sim_queue *q, const struct sim_entry *e, uint64_t start,
                 uint64_t end)
{
    (void)arg, (void)q;
    logged[n_logged] = *e;
    log_start[n_logged] = start;
    log_end[n_logged++] = end;
}

static void begin(uint32_t schedule, uint32_t servers, uint64_t quantum)
{
    memset(queue, 0, sizeof(*queue));
    sim_queue_init(queue, schedule, servers, quantum);
    n_logged = 0;
}

static guint64 push(unsigned process, guint64 duration, guint64 ready)
{
    return sim_queue_push(
        queue, &(struct sim_push){.process = (uint16_t)process, .duration_ns = duration, .ready_ns = ready});
}

static void fifo_serves_in_order_of_submission(void)
{
    begin(SIM_FIFO, 1, 0);
    guint64 a = push(1, 100, 10), b = push(2, 50, 20), c = push(1, 30, 500);
    g_assert_cmpuint(sim_queue_end(queue, a), ==, 110);
    g_assert_cmpuint(sim_queue_end(queue, b), ==, 160);
    g_assert_cmpuint(sim_queue_end(queue, c), ==, 530);
    sim_queue_run(queue, 159, sink, NULL);
    g_assert_cmpuint(n_logged, ==, 1);
    sim_queue_run(queue, 1000, sink, NULL);
    g_assert_cmpuint(n_logged, ==, 3);
    g_assert_cmpuint(log_start[2], ==, 500);
    g_assert_cmpuint(sim_queue_end(queue, c), ==, 530);
}

static void spatial_runs_as_many_at_once_as_there_are_servers(void)
{
    begin(SIM_SPATIAL, 2, 0);
    guint64 a = push(1, 100, 0), b = push(2, 100, 0), c = push(3, 100, 0);
    g_assert_cmpuint(sim_queue_end(queue, a), ==, 100);
    g_assert_cmpuint(sim_queue_end(queue, b), ==, 100);
    g_assert_cmpuint(sim_queue_end(queue, c), ==, 200);
}

static void slices_alternate_between_processes(void)
{
    begin(SIM_TIME_SLICED, 1, 10);
    guint64 a = push(1, 30, 0), b = push(2, 30, 0);
    sim_queue_run(queue, 1000, sink, NULL);
    g_assert_cmpuint(sim_queue_end(queue, a), ==, 50);
    g_assert_cmpuint(sim_queue_end(queue, b), ==, 60);
    g_assert_cmpuint(n_logged, ==, 6);
    for (unsigned i = 0; i < 6; i++) {
        g_assert_cmpuint(logged[i].process, ==, 1 + i % 2);
        g_assert_cmpuint(log_end[i] - log_start[i], ==, 10);
    }
}

static void a_process_alone_keeps_the_engine_without_gaps(void)
{
    begin(SIM_TIME_SLICED, 1, 10);
    guint64 last = 0;
    for (unsigned i = 0; i < 7; i++)
        last = push(3, 4, 0);
    sim_queue_run(queue, 1000, sink, NULL);
    g_assert_cmpuint(sim_queue_end(queue, last), ==, 28);
}

static void slices_give_equal_time_whatever_the_length_of_kernels(void)
{
    guint64 used[3] = {0};
    begin(SIM_TIME_SLICED, 1, 1000);
    for (unsigned i = 0; i < 1000; i++)
        push(1, 100, 0);
    for (unsigned i = 0; i < 100; i++)
        push(2, 5000, 0);
    sim_queue_run(queue, 100000, sink, NULL);
    for (unsigned i = 0; i < n_logged; i++)
        used[logged[i].process] += log_end[i] - log_start[i];
    g_assert_cmpuint(used[1], ==, 50000);
    g_assert_cmpuint(used[2], >=, 49000); /* the slice in progress is not logged yet */
}

static void dropping_a_process_moves_the_others_up(void)
{
    begin(SIM_FIFO, 1, 0);
    push(1, 100, 0);
    push(1, 1000, 0);
    guint64 mine = push(2, 50, 0);
    guint64 epoch = queue->epoch;
    sim_queue_drop(queue, 1, 40, sink, NULL);
    sim_queue_replan(queue, 40, NULL, NULL);
    g_assert_cmpuint(queue->epoch, >, epoch);
    g_assert_cmpuint(sim_queue_end(queue, mine), ==, 90);
    g_assert_cmpuint(n_logged, ==, 1);
    g_assert_cmpuint(log_end[0], ==, 40);
    g_assert_cmpuint(queue->pending[1], ==, 0);
}

static void a_full_channel_says_so(void)
{
    begin(SIM_FIFO, 1, 0);
    for (unsigned i = 0; i < SIM_PENDING_MAX; i++) {
        g_assert_false(sim_queue_full(queue, 1));
        push(1, 1, 0);
    }
    g_assert_true(sim_queue_full(queue, 1));
    g_assert_false(sim_queue_full(queue, 2));
    sim_queue_run(queue, 10, sink, NULL);
    g_assert_false(sim_queue_full(queue, 1));
}

static void half_speed_takes_twice_as_long(void)
{
    begin(SIM_FIFO, 1, 0);
    guint64 a = push(1, 100, 0), b = push(1, 100, 0);
    queue->speed_pm = 500;
    sim_queue_replan(queue, 10, NULL, NULL);
    g_assert_cmpuint(sim_queue_end(queue, a), ==, 100); /* had begun */
    g_assert_cmpuint(sim_queue_end(queue, b), ==, 300);
}

static void repair_counts_again_what_is_pending(void)
{
    begin(SIM_FIFO, 1, 0);
    push(1, 10, 0);
    push(2, 10, 0);
    queue->pending[1] = 99;
    queue->pending[2] = 0;
    sim_queue_repair(queue);
    g_assert_cmpuint(queue->pending[1], ==, 1);
    g_assert_cmpuint(queue->pending[2], ==, 1);
}

/* Whatever is submitted, no engine does two things at once and no work is lost. */
static void no_server_is_ever_used_twice(void)
{
    const char *given = g_getenv("HAMI_TEST_SEED");
    guint32 seed = given != NULL ? (guint32)g_ascii_strtoull(given, NULL, 10) : g_random_int();
    g_test_message("seed %u (HAMI_TEST_SEED chooses it)", seed);
    GRand *r = g_rand_new_with_seed(seed);
    for (unsigned round = 0; round < 30; round++) {
        uint32_t servers = (uint32_t)g_rand_int_range(r, 1, 5);
        uint32_t schedule = (uint32_t)g_rand_int_range(r, 0, 3);
        begin(schedule, schedule == SIM_SPATIAL ? servers : 1, 50);
        guint64 now = 1, work = 0, done = 0;
        for (unsigned i = 0; i < 500; i++) {
            guint64 d = (guint64)g_rand_int_range(r, 1, 300);
            push((unsigned)g_rand_int_range(r, 0, 4), d, now);
            work += d;
            now += (guint64)g_rand_int_range(r, 0, 200);
            sim_queue_run(queue, now, sink, NULL);
        }
        sim_queue_run(queue, now + 1000000, sink, NULL);
        for (unsigned i = 0; i < n_logged; i++)
            done += log_end[i] - log_start[i];
        g_assert_cmpuint(done, ==, work);
        for (unsigned i = 0; i < n_logged; i++)
            for (unsigned j = i + 1; j < n_logged && j < i + 64; j++)
                if (logged[i].server == logged[j].server)
                    g_assert_true(log_end[i] <= log_start[j] || log_end[j] <= log_start[i]);
    }
    g_rand_free(r);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    queue = g_new0(struct sim_queue, 1);
    g_test_add_func("/queue/fifo_serves_in_order_of_submission", fifo_serves_in_order_of_submission);
    g_test_add_func("/queue/spatial_runs_as_many_at_once_as_there_are_servers",
                    spatial_runs_as_many_at_once_as_there_are_servers);
    g_test_add_func("/queue/slices_alternate_between_processes", slices_alternate_between_processes);
    g_test_add_func("/queue/a_process_alone_keeps_the_engine_without_gaps",
                    a_process_alone_keeps_the_engine_without_gaps);
    g_test_add_func("/queue/slices_give_equal_time_whatever_the_length_of_kernels",
                    slices_give_equal_time_whatever_the_length_of_kernels);
    g_test_add_func("/queue/dropping_a_process_moves_the_others_up", dropping_a_process_moves_the_others_up);
    g_test_add_func("/queue/a_full_channel_says_so", a_full_channel_says_so);
    g_test_add_func("/queue/half_speed_takes_twice_as_long", half_speed_takes_twice_as_long);
    g_test_add_func("/queue/repair_counts_again_what_is_pending", repair_counts_again_what_is_pending);
    g_test_add_func("/queue/no_server_is_ever_used_twice", no_server_is_ever_used_twice);
    int rc = g_test_run();
    g_free(queue);
    return rc;
}
