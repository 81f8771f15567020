/* SPDX-License-Identifier: Apache-2.0
 *
 * Tenants that die, cheat, come late, idle, change or differ in rank, on the
 * machine in virtual time. See share_test.c for steady shares.
 */
#include "share_machine.h"

#include <glib.h>
#include <stdlib.h>

static uint64_t seed = 20;

#define RUN(...) machine_run(&(const struct machine_setup){__VA_ARGS__}, seed)

static void say(const struct machine *m, unsigned n, uint64_t from, uint64_t to)
{
    g_test_message("seed %" G_GUINT64_FORMAT, seed);
    for (unsigned i = 0; i < n; i++)
        g_test_message("tenant %u: %.2f%%, longest pause %.1f ms", i, machine_share(m, i, from, to),
                       (double)machine_longest_pause(m, i, from, to) / 1e6);
}

/* ---- death ---- */

static void killed_holder_blocks_nobody_for_a_second(void)
{
    for (unsigned call = 1; call < 4000; call += call < 120 ? 1 : 131) {
        struct machine *m = RUN(.lasts = 3 * S, .tenants = {{.percent = 40, .us = 300, .dies_at_call = call},
                                                            {.percent = 40, .us = 300}});
        g_assert_cmpuint(machine_longest_pause(m, 1, S, 3 * S), <, 900 * MS);
        g_assert_cmpfloat(machine_share(m, 1, 2 * S, 3 * S), >, 39);
        machine_free(m);
    }
}

static void killed_long_kernel_leaves_the_share_of_others(void)
{
    struct machine *m = RUN(.lasts = 4 * S, .tenants = {{.percent = 50, .us = 40000, .dies = 3 * S / 2},
                                                        {.percent = 50, .us = 300}});
    say(m, 2, 3 * S / 2, 4 * S);
    g_assert_cmpuint(machine_longest_pause(m, 1, 3 * S / 2, 4 * S), <, 500 * MS);
    g_assert_cmpfloat(machine_share(m, 1, 2 * S, 4 * S), >, 49);
    machine_free(m);
}

/* ---- cheating ---- */

static void tenant_that_keeps_the_turn_is_passed_over(void)
{
    struct machine *m =
        RUN(.lasts = 8 * S, .tenants = {{.percent = 30, .us = 300},
                                        {.percent = 30, .us = 1, .program = GREEDY, .starts = S}});
    say(m, 1, 2 * S, 8 * S);
    g_assert_cmpuint(machine_longest_pause(m, 0, S, 8 * S), <, 1000 * MS);
    g_assert_cmpfloat(machine_share(m, 0, 4 * S, 8 * S), >, 25);
    machine_free(m);
}

static void noise_on_the_board_stops_nobody(void)
{
    struct machine *m = RUN(.lasts = 6 * S, .tenants = {{.percent = 30, .us = 300},
                                                        {.percent = 30, .us = 300, .program = VANDAL}});
    say(m, 2, 2 * S, 6 * S);
    g_assert_cmpuint(machine_longest_pause(m, 0, S, 6 * S), <, 1000 * MS);
    g_assert_cmpfloat(machine_share(m, 0, 2 * S, 6 * S), >, 15);
    machine_free(m);
}

static void tenant_that_steals_the_turn_again_and_again_stops_nobody(void)
{
    struct machine *m =
        RUN(.lasts = 20 * S,
            .tenants = {{.percent = 30, .us = 300}, {.percent = 30, .us = 1, .program = THIEF, .starts = S}});
    say(m, 1, 5 * S, 20 * S);
    g_assert_cmpuint(machine_longest_pause(m, 0, S, 20 * S), <, 2500 * MS);
    g_assert_cmpfloat(machine_share(m, 0, 5 * S, 20 * S), >, 25);
    machine_free(m);
}

/* Each of its launches is waited for. */
static void tenant_without_events_has_no_more_than_its_share(void)
{
    static const unsigned durations[] = {100, 2000, 300000};
    for (gsize i = 0; i < G_N_ELEMENTS(durations); i++) {
        struct machine *m =
            RUN(.lasts = 12 * S, .tenants = {{.percent = 20, .us = durations[i], .no_events = true}});
        say(m, 1, 2 * S, 12 * S);
        g_assert_cmpfloat(machine_share(m, 0, 2 * S, 12 * S), <, 22);
        g_assert_cmpfloat(machine_share(m, 0, 2 * S, 12 * S), >, 13);
        machine_free(m);
    }
}

static void tenant_without_events_leaves_others_theirs(void)
{
    struct machine *m = RUN(.lasts = 6 * S, .tenants = {{.percent = 30, .us = 300},
                                                        {.percent = 30, .us = 2000, .no_events = true}});
    say(m, 2, 2 * S, 6 * S);
    g_assert_cmpfloat(ABS(machine_share(m, 0, 2 * S, 6 * S) - 30), <, 1);
    g_assert_cmpfloat(machine_share(m, 1, 2 * S, 6 * S), <, 31);
    machine_free(m);
}

/* ---- change ---- */

static void live_change_is_in_force_within_100_ms(void)
{
    static const unsigned steps[][2] = {{50, 20}, {20, 80}, {80, 5}, {5, 50}};
    for (gsize i = 0; i < G_N_ELEMENTS(steps); i++) {
        struct machine *m =
            RUN(.lasts = 5 * S,
                .tenants = {
                    {.percent = steps[i][0], .us = 300, .changes = 3 * S, .changes_to = steps[i][1]}});
        g_assert_cmpfloat(ABS(machine_share(m, 0, 2 * S, 3 * S) - steps[i][0]), <, 0.6);
        g_assert_cmpfloat(ABS(machine_share(m, 0, 3 * S + 100 * MS, 3 * S + 200 * MS) - steps[i][1]), <, 3);
        g_assert_cmpfloat(ABS(machine_share(m, 0, 3 * S + 200 * MS, 5 * S) - steps[i][1]), <, 0.6);
        machine_free(m);
    }
}

static void debt_of_a_long_kernel_does_not_delay_a_raise(void)
{
    struct machine *m =
        RUN(.lasts = 6 * S, .tenants = {{.percent = 5, .us = 40000, .changes = 3 * S, .changes_to = 80}});
    g_assert_cmpfloat(machine_share(m, 0, 3 * S + 200 * MS, 6 * S), >, 77);
    machine_free(m);
}

static void share_settles_in_the_first_300_ms(void)
{
    for (unsigned us = 20; us <= 1500; us *= 5) {
        struct machine *m = RUN(.lasts = 3 * S, .tenants = {{.percent = 30, .us = us, .jitter = 90}});
        g_assert_cmpfloat(ABS(machine_share(m, 0, S, S + 300 * MS) - 30), <, 2.5);
        machine_free(m);
    }
}

static void late_joiner_gets_its_share_at_once(void)
{
    struct machine *m = RUN(.lasts = 5 * S, .tenants = {{.percent = 60, .us = 300},
                                                        {.percent = 40, .us = 300, .starts = 2 * S}});
    say(m, 2, 3 * S + 200 * MS, 5 * S);
    g_assert_cmpfloat(ABS(machine_share(m, 1, 3 * S + 200 * MS, 5 * S) - 40), <, 1.5);
    g_assert_cmpfloat(ABS(machine_share(m, 0, 3 * S + 200 * MS, 5 * S) - 60), <, 1.5);
    machine_free(m);
}

static void idle_neighbour_leaves_the_share_where_it_is(void)
{
    struct machine *m = RUN(.lasts = 5 * S, .tenants = {{.percent = 30, .us = 300},
                                                        {.percent = 70, .us = 300, .ends = 3 * S}});
    g_assert_cmpfloat(ABS(machine_share(m, 0, 3 * S + 100 * MS, 5 * S) - 30), <, 0.5);
    machine_free(m);
}

/* ---- policy, priority, rank ---- */

static void policy_default_lends_what_neighbours_leave(void)
{
    struct machine *m =
        RUN(.lasts = 6 * S,
            .tenants = {{.percent = 30, .us = 300, .lends = true},
                        {.percent = 70, .us = 300, .lends = true, .starts = S, .ends = 4 * S}});
    say(m, 2, 2 * S + 200 * MS, 4 * S);
    g_assert_cmpfloat(machine_share(m, 0, S + 200 * MS, 2 * S), >, 98);
    g_assert_cmpfloat(ABS(machine_share(m, 1, 2 * S + 300 * MS, 4 * S) - 70), <, 3);
    g_assert_cmpfloat(ABS(machine_share(m, 0, 2 * S + 300 * MS, 4 * S) - 30), <, 3);
    g_assert_cmpfloat(machine_share(m, 0, 4 * S + 200 * MS, 6 * S), >, 98);
    machine_free(m);
}

/* Work of 0.3 to 2 ms that is waited for each time: no tokens may be waited for where none come. */
static void without_a_limit_each_short_work_begins_at_once(void)
{
    static const unsigned durations[] = {300, 600, 1200, 1800};
    for (size_t i = 0; i < G_N_ELEMENTS(durations); i++) {
        struct machine *m =
            RUN(.lasts = 3 * S,
                .tenants = {{.percent = 30, .us = durations[i], .program = SYNCING, .lends = true}});
        g_test_message("lent, %u us: %.1f%%", durations[i], machine_share(m, 0, S, 3 * S));
        g_assert_cmpfloat(machine_share(m, 0, S, 3 * S), >, 85);
        machine_free(m);
        m = RUN(.lasts = 4 * S, .tenants = {{.percent = 30, .us = 300},
                                            {.percent = 0, .us = durations[i], .program = SYNCING}});
        say(m, 2, S, 4 * S);
        g_assert_cmpfloat(ABS(machine_share(m, 0, S, 4 * S) - 30), <, 3.5);
        g_assert_cmpfloat(machine_share(m, 1, S, 4 * S), >, 20);
        machine_free(m);
    }
}

/* The unlimited one fills the driver's queue before it sees that it is not alone.
 * What the other earns meanwhile comes back to it, little by little; no more than
 * its share in all, and from then on exactly that. Time begins at S. */
static void unlimited_tenant_leaves_the_limited_one_its_share(void)
{
    struct machine *m =
        RUN(.lasts = 14 * S, .tenants = {{.percent = 30, .us = 300}, {.percent = 0, .us = 300}});
    say(m, 2, S, 2 * S);
    say(m, 2, 2 * S, 4 * S);
    say(m, 2, 6 * S, 14 * S);
    say(m, 2, S, 14 * S);
    g_assert_cmpfloat(machine_share(m, 0, S, S + S / 2), <, 15);
    g_assert_cmpfloat(machine_share(m, 0, 2 * S, 4 * S), <, 33);
    g_assert_cmpfloat(ABS(machine_share(m, 0, 6 * S, 14 * S) - 30), <, 0.5);
    g_assert_cmpfloat(ABS(machine_share(m, 0, S, 14 * S) - 30), <, 0.5);
    g_assert_cmpfloat(machine_share(m, 1, 6 * S, 14 * S), >, 69);
    machine_free(m);
}

/* Who was alone filled the driver's queue: 1024 kernels lie before the first of
 * the one who comes, or comes again after a pause. */
static void queue_of_a_neighbour_is_not_charged_to_the_one_who_comes(void)
{
    struct machine *m =
        RUN(.lasts = 6 * S, .tenants = {{.percent = 0, .us = 300}, {.percent = 30, .us = 300, .starts = S}});
    say(m, 2, 3 * S, 6 * S);
    g_assert_cmpuint(machine_longest_pause(m, 1, 2 * S + 400 * MS, 6 * S), <, 200 * MS);
    g_assert_cmpfloat(ABS(machine_share(m, 1, 3 * S, 6 * S) - 30), <, 3.5); /* 100 ms of tokens are kept */
    machine_free(m);
}

static void visitor_beside_an_unlimited_tenant_is_served_each_time(void)
{
    struct machine *m =
        RUN(.lasts = 16 * S, .tenants = {{.percent = 0, .us = 300},
                                         {.percent = 10, .us = 300, .program = BURSTY, .us2 = 1500000}});
    say(m, 2, 2 * S, 16 * S);
    g_test_message("%" G_GUINT64_FORMAT " launches", machine_launches(m, 1));
    /* 20 launches are 6 ms of work, 60 ms at 10 %, behind a queue of 307 ms: a visit takes less than 0.5 s */
    g_assert_cmpuint(machine_launches(m, 1), >=, 20 * 15 / 2);
    machine_free(m);
}

static void oversubscribed_card_is_shared_by_weight(void)
{
    struct machine *m =
        RUN(.lasts = 8 * S, .tenants = {{.percent = 90, .us = 300}, {.percent = 45, .us = 300}});
    say(m, 2, 2 * S, 8 * S);
    g_assert_cmpfloat(ABS(machine_share(m, 0, 2 * S, 8 * S) / machine_share(m, 1, 2 * S, 8 * S) - 2), <,
                      0.15);
    machine_free(m);
}

static void high_priority_weighs_four_times_as_much(void)
{
    struct machine *m = RUN(.lasts = 8 * S, .tenants = {{.percent = 90, .us = 300, .priority = 1},
                                                        {.percent = 90, .us = 300}});
    say(m, 2, 2 * S, 8 * S);
    g_assert_cmpfloat(machine_share(m, 0, 2 * S, 8 * S), >, 74);
    g_assert_cmpfloat(machine_share(m, 1, 2 * S, 8 * S), >, 15);
    machine_free(m);
}

static void high_priority_goes_first_without_any_limit(void)
{
    struct machine *m =
        RUN(.lasts = 8 * S, .tenants = {{.percent = 0, .us = 300, .priority = 1}, {.percent = 0, .us = 300}});
    say(m, 2, 2 * S, 8 * S);
    g_assert_cmpfloat(machine_share(m, 0, 2 * S, 8 * S), >, 74);
    g_assert_cmpfloat(machine_share(m, 1, 2 * S, 8 * S), >, 15);
    machine_free(m);
}

static void processes_of_a_slice_share_its_tokens(void)
{
    for (unsigned n = 2; n <= 4; n++) {
        struct machine_setup setup = {.lasts = 5 * S};
        double sum = 0;
        for (unsigned i = 0; i < n; i++)
            setup.tenants[i] = (struct machine_tenant){.percent = 50, .us = 300, .jitter = 50, .slice = 1};
        struct machine *m = machine_run(&setup, seed);
        for (unsigned i = 0; i < n; i++)
            sum += machine_share(m, i, 2 * S, 5 * S);
        g_test_message("%u processes: %.2f%%", n, sum);
        g_assert_cmpfloat(ABS(sum - 50), <, 0.5);
        machine_free(m);
    }
}

static void processes_of_a_slice_share_without_a_common_board(void)
{
    struct machine *m =
        RUN(.lasts = 5 * S, .no_board = true,
            .tenants = {{.percent = 50, .us = 300, .slice = 1}, {.percent = 50, .us = 300, .slice = 1}});
    double sum = machine_share(m, 0, 2 * S, 5 * S) + machine_share(m, 1, 2 * S, 5 * S);
    g_assert_cmpfloat(ABS(sum - 50), <, 0.6);
    machine_free(m);
}

/* ---- shapes of work ---- */

static void bursts_are_served_and_cost_no_more_than_they_use(void)
{
    struct machine *m = RUN(.lasts = 5 * S, .tenants = {{.percent = 40, .us = 100, .program = BURSTY},
                                                        {.percent = 50, .us = 300}});
    say(m, 2, 2 * S, 5 * S);
    g_assert_cmpfloat(ABS(machine_share(m, 1, 2 * S, 5 * S) - 50), <, 1);
    g_assert_cmpfloat(machine_share(m, 0, 2 * S, 5 * S), >, 4);
    machine_free(m);
}

static void mixed_functions_and_sizes_hold_the_share(void)
{
    static const enum program programs[] = {PAIR, SIZES};
    for (gsize i = 0; i < G_N_ELEMENTS(programs); i++) {
        struct machine *m =
            RUN(.lasts = 6 * S,
                .tenants = {{.percent = 40, .us = 50, .us2 = 2000, .jitter = 30, .program = programs[i]}});
        say(m, 1, 2 * S, 6 * S);
        g_assert_cmpfloat(ABS(machine_share(m, 0, 2 * S, 6 * S) - 40), <, 0.7);
        machine_free(m);
    }
}

static void contended_time_sliced_device_keeps_the_ratio(void)
{
    struct machine *m =
        RUN(.lasts = 7 * S, .slice_ns = 2 * MS,
            .tenants = {{.percent = 30, .us = 300, .jitter = 90}, {.percent = 60, .us = 1500, .jitter = 90}});
    say(m, 2, 2 * S, 7 * S);
    g_assert_cmpfloat(ABS(machine_share(m, 0, 2 * S, 7 * S) - 30), <, 1.5);
    g_assert_cmpfloat(ABS(machine_share(m, 1, 2 * S, 7 * S) - 60), <, 2.5);
    machine_free(m);
}

static void ranks_with_barriers_keep_going_together(void)
{
    struct machine_setup setup = {.lasts = 5 * S};
    for (unsigned i = 0; i < 4; i++)
        setup.tenants[i] =
            (struct machine_tenant){.percent = 50, .us = 400, .program = RANKS, .device = i, .slice = 1};
    struct machine *m = machine_run(&setup, seed);
    say(m, 4, 2 * S, 5 * S);
    /* alone at 50 % a step of 501 us of work takes 1002 us; nobody may stand still */
    g_test_message("%.1f%% of the steps half of a device allows",
                   (double)machine_launches(m, 0) / 2 / (4 * S / (1002 * US)) * 100);
    g_assert_cmpuint(machine_launches(m, 0) / 2, >, 4 * S / (1002 * US) * 90 / 100);
    machine_free(m);
}

/* The first calls are the delicate ones: clocks are set and prices learned. */
static void interrupted_tenant_neither_floods_nor_pays_for_the_pause(void)
{
    for (unsigned n = 3 * 5; n < 3 * 28; n++) {
        struct machine_setup setup = {.lasts = 4 * S,
                                      .tenants = {{.percent = 20, .us = 300, .jitter = 90},
                                                  {.percent = 30, .us = 1500, .jitter = 90},
                                                  {.percent = 40, .us = 100, .jitter = 90}}};
        struct machine_tenant *late = &setup.tenants[n % 3];
        late->stalls_at_call = n / 3;
        late->stalls_for = 600 * MS;
        struct machine *m = machine_run(&setup, seed);
        g_test_message("tenant %u stops at call %u", n % 3, late->stalls_at_call);
        say(m, 3, 2 * S, 4 * S);
        for (unsigned i = 0; i < 3; i++) { /* 100 ms of tokens are kept while waiting: 5 points of 2 s */
            g_assert_cmpfloat(machine_share(m, i, 2 * S, 4 * S), >, 0.95 * setup.tenants[i].percent);
            g_assert_cmpfloat(machine_share(m, i, 2 * S, 4 * S), <, setup.tenants[i].percent + 6);
        }
        machine_free(m);
    }
}

static void waits_are_computed_not_polled(void)
{
    struct machine *m = RUN(.lasts = 5 * S, .tenants = {{.percent = 5, .us = 10000}});
    g_test_message("%" G_GUINT64_FORMAT " waits for %" G_GUINT64_FORMAT " launches", machine_waits(m, 0),
                   machine_launches(m, 0));
    g_assert_cmpuint(machine_waits(m, 0), <, 12 * machine_launches(m, 0) + 100);
    machine_free(m);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    const char *given = g_getenv("HAMI_TEST_SEED");
    if (given)
        seed = strtoull(given, NULL, 10);
#define TEST(name) g_test_add_func("/throttle/" #name, name)
    TEST(killed_holder_blocks_nobody_for_a_second);
    TEST(killed_long_kernel_leaves_the_share_of_others);
    TEST(tenant_that_keeps_the_turn_is_passed_over);
    TEST(noise_on_the_board_stops_nobody);
    TEST(tenant_that_steals_the_turn_again_and_again_stops_nobody);
    TEST(tenant_without_events_has_no_more_than_its_share);
    TEST(tenant_without_events_leaves_others_theirs);
    TEST(live_change_is_in_force_within_100_ms);
    TEST(debt_of_a_long_kernel_does_not_delay_a_raise);
    TEST(share_settles_in_the_first_300_ms);
    TEST(late_joiner_gets_its_share_at_once);
    TEST(idle_neighbour_leaves_the_share_where_it_is);
    TEST(policy_default_lends_what_neighbours_leave);
    TEST(without_a_limit_each_short_work_begins_at_once);
    TEST(unlimited_tenant_leaves_the_limited_one_its_share);
    TEST(queue_of_a_neighbour_is_not_charged_to_the_one_who_comes);
    TEST(visitor_beside_an_unlimited_tenant_is_served_each_time);
    TEST(oversubscribed_card_is_shared_by_weight);
    TEST(high_priority_weighs_four_times_as_much);
    TEST(high_priority_goes_first_without_any_limit);
    TEST(processes_of_a_slice_share_its_tokens);
    TEST(processes_of_a_slice_share_without_a_common_board);
    TEST(bursts_are_served_and_cost_no_more_than_they_use);
    TEST(mixed_functions_and_sizes_hold_the_share);
    TEST(contended_time_sliced_device_keeps_the_ratio);
    TEST(ranks_with_barriers_keep_going_together);
    TEST(interrupted_tenant_neither_floods_nor_pays_for_the_pause);
    TEST(waits_are_computed_not_polled);
    return g_test_run();
}
