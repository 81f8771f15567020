/* SPDX-License-Identifier: Apache-2.0
 *
 * The throttle's pure parts: tokens, charged stretches, prices and the turn
 * board, against plain models and with hostile content. The seed is printed;
 * HAMI_TEST_SEED repeats a run.
 */
#include <glib.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>

#include "preload/board.h"
#include "preload/bucket.h"
#include "preload/busy.h"
#include "preload/card.h"
#include "preload/lane.h"
#include "preload/measure.h"
#include "preload/port.h"
#include "preload/price.h"

#define MS UINT64_C(1000000)
#define S UINT64_C(1000000000)

static uint32_t seed = 7;

static GRand *dice(void)
{
    g_test_message("seed %u", seed);
    return g_rand_new_with_seed(seed);
}

static uint64_t any_word(GRand *rand)
{
    uint64_t word = (uint64_t)g_rand_int(rand) << 32 | g_rand_int(rand);
    return word >> g_rand_int_range(rand, 0, 64);
}

/* ---- tokens ---- */

static void tokens_grow_by_percent_of_time_up_to_the_cap(void)
{
    struct region_compute a = {0};
    bucket_refill(&a, 30, S, 2 * (int64_t)MS);
    g_assert_cmpint(bucket_balance(&a), ==, 0); /* time before the first look is not granted */
    bucket_refill(&a, 30, S + MS, 2 * (int64_t)MS);
    g_assert_cmpint(bucket_balance(&a), ==, 300000);
    bucket_refill(&a, 30, S + MS, 2 * (int64_t)MS);
    g_assert_cmpint(bucket_balance(&a), ==, 300000);
    bucket_refill(&a, 30, 2 * S, 2 * (int64_t)MS);
    g_assert_cmpint(bucket_balance(&a), ==, 2 * (int64_t)MS);
}

static void what_is_above_the_cap_is_kept_and_debt_is_paid_first(void)
{
    struct region_compute a = {.tokens_ns = 5 * (int64_t)MS, .refilled_ns = S};
    bucket_refill(&a, 50, S + MS, 2 * (int64_t)MS);
    g_assert_cmpint(bucket_balance(&a), ==, 5 * (int64_t)MS);
    bucket_charge(&a, 45 * MS);
    g_assert_cmpint(bucket_balance(&a), ==, -40 * (int64_t)MS);
    g_assert_cmpuint(bucket_wait_ns(40 * (int64_t)MS, 50), ==, 80 * MS);
    bucket_refill(&a, 50, S + 81 * MS, 2 * (int64_t)MS);
    g_assert_cmpint(bucket_balance(&a), ==, 0);
    bucket_charge(&a, MS);
    bucket_forgive(&a);
    g_assert_cmpint(bucket_balance(&a), ==, 0);
}

static void hostile_tokens_stay_in_bounds(void)
{
    g_autoptr(GRand) rand = dice();
    for (int i = 0; i < 20000; i++) {
        struct region_compute a = {.tokens_ns = (int64_t)any_word(rand) * (i % 2 ? 1 : -1),
                                   .refilled_ns = any_word(rand)};
        bucket_refill(&a, g_rand_int(rand), S + any_word(rand) % S, 2 * (int64_t)MS);
        bucket_charge(&a, any_word(rand));
        bucket_refill(&a, 50, 3 * S, 2 * (int64_t)MS);
        g_assert_cmpint(bucket_balance(&a), >=, -BUCKET_DEBT_MAX_NS);
        g_assert_cmpuint(bucket_wait_ns((int64_t)any_word(rand), g_rand_int(rand) % 101), <=,
                         200 * (uint64_t)BUCKET_DEBT_MAX_NS);
    }
}

/* ---- charged stretches ---- */

static void every_nanosecond_is_charged_once(void)
{
    g_autoptr(GRand) rand = dice();
    for (int round = 0; round < 300; round++) {
        struct busy busy = {0};
        bool model[400] = {false};
        for (int i = 0; i < 14; i++) { /* fewer than it remembers: nothing is joined */
            uint64_t from = (uint64_t)g_rand_int_range(rand, 0, 380), fresh = 0;
            uint64_t to = from + (uint64_t)g_rand_int_range(rand, 0, 20);
            for (uint64_t t = from; t < to; t++) {
                fresh += !model[t];
                model[t] = true;
            }
            g_assert_cmpuint(busy_add(&busy, from, to), ==, fresh);
        }
    }
}

static void many_stretches_never_overflow_and_stay_sorted(void)
{
    g_autoptr(GRand) rand = dice();
    struct busy busy = {0};
    for (int i = 0; i < 50000; i++) {
        uint64_t from = any_word(rand), to = from + any_word(rand) % 1000;
        g_assert_cmpuint(busy_add(&busy, from, to), <=, 1000);
        g_assert_cmpuint(busy.n, <=, BUSY_STRETCHES);
        for (uint32_t k = 1; k < busy.n; k++)
            g_assert_cmpuint(busy.at[k - 1].to, <, busy.at[k].from);
    }
}

/* ---- prices ---- */

static void price_is_the_mean_and_forgets_on_request(void)
{
    struct prices *list = g_new0(struct prices, 1);
    const void *f = (const void *)(uintptr_t)0x1000, *g = (const void *)(uintptr_t)0x2000;
    price_learn(price_of(list, f, 7), 30000, 10);
    g_assert_cmpuint(price_of(list, f, 7)->mean_ns, ==, 3000);
    g_assert_cmpuint(price_of(list, f, 9)->samples, ==, 0);
    g_assert_cmpuint(price_of(list, g, 7)->samples, ==, 0);
    for (int i = 0; i < 100; i++)
        price_learn(price_of(list, f, 7), i % 2 ? 1000 : 5000, 1);
    g_assert_cmpuint(price_of(list, f, 7)->mean_ns, >, 2000);
    g_assert_cmpuint(price_of(list, f, 7)->mean_ns, <, 4000);
    price_forget(list, f);
    g_assert_cmpuint(price_of(list, f, 7)->samples, ==, 0);
    g_free(list);
}

/* A price of nothing would let any number of launches out unmeasured. */
static void price_of_a_strange_measurement_stays_usable(void)
{
    struct prices *list = g_new0(struct prices, 1);
    struct price *p = price_of(list, (const void *)(uintptr_t)0x1000, 7);
    for (int i = 0; i < 4; i++)
        g_assert_true(price_doubt(p));
    g_assert_false(price_doubt(p));
    price_learn(p, 0, 1);
    g_assert_cmpuint(p->mean_ns, ==, 1000);
    price_scale(p, 0, 1);
    g_assert_cmpuint(p->mean_ns, ==, 1000);
    g_free(list);
}

static void full_price_table_still_answers(void)
{
    struct prices *list = g_new0(struct prices, 1);
    for (uintptr_t i = 1; i < 10 * PRICE_ENTRIES; i++) {
        struct price *p = price_of(list, (const void *)(i << 6), (uint32_t)(i % 32));
        price_learn(p, i, 1);
        g_assert_true(price_of(list, (const void *)(i << 6), (uint32_t)(i % 32)) == p);
    }
    g_free(list);
}

/* ---- the board ---- */

static struct board_seat seat_at(struct board *board, uint64_t n, uint32_t weight)
{
    return (struct board_seat){
        .board = board, .member = -1, .owner = n << 32 | 1, .group = n, .weight = weight};
}

static void turn_goes_to_one_and_comes_back(void)
{
    struct board *board = g_new0(struct board, 1);
    struct board_seat a = seat_at(board, 1, 30), b = seat_at(board, 2, 70);
    uint64_t due;
    g_assert_true(board_sit(&a, S) && board_sit(&b, S));
    g_assert_true(board_try(&a, S, false, &due));
    g_assert_true(board_holds(&a));
    g_assert_false(board_try(&b, S, false, &due));
    g_assert_true(board_wanted(&a, S));
    board_release(&a, S + MS, S + 2 * MS);
    g_assert_true(board_try(&b, S + MS, false, &due));
    g_assert_cmpuint(b.foreign_ns, ==, S + 2 * MS);
    g_assert_false(board_holds(&a));
    g_free(board);
}

static void holder_is_passed_over_after_lease_idleness_or_death(void)
{
    static const char *const why[] = {"lease", "idle", "dead", "forever"};
    for (unsigned i = 0; i < 4; i++) {
        struct board *board = g_new0(struct board, 1);
        struct board_seat a = seat_at(board, 1, 50), b = seat_at(board, 2, 50);
        uint64_t due, now = S;
        g_assert_true(board_sit(&a, now) && board_sit(&b, now) && board_try(&a, now, false, &due));
        board_renew(&a, now, i == 0 ? now + 20 * MS : now + 400 * MS);
        if (i == 1)
            board_idle(&a, now);
        while (!board_try(&b, now, i == 2, &due) && now < 5 * S) {
            g_assert_cmpuint(due, >, now);
            now = due;
            if (i == 3)
                board_renew(&a, now, UINT64_MAX);
        }
        g_test_message("%s: after %.2f ms", why[i], (double)(now - S) / 1e6);
        g_assert_cmpuint(now - S, <=,
                         i == 0   ? 20 * MS
                         : i == 1 ? BOARD_GRACE_NS
                         : i == 2 ? 0
                                  : BOARD_HOLD_MAX_NS);
        g_assert_false(board_holds(&a));
        g_free(board);
    }
}

static void turn_goes_on_only_while_its_holder_would_be_next(void)
{
    struct board *board = g_new0(struct board, 1);
    struct board_seat a = seat_at(board, 1, 80), b = seat_at(board, 2, 20);
    uint64_t due, now = S;
    unsigned extended = 0;
    g_assert_true(board_sit(&a, now) && board_sit(&b, now) && board_try(&b, now, false, &due));
    board_release(&b, now + 8 * MS, now + 8 * MS);
    now += 8 * MS;
    g_assert_true(board_try(&a, now, false, &due));
    board_renew(&a, now, now + 400 * MS);
    g_assert_false(board_try(&b, now, false, &due));
    for (now += 8 * MS; board_extend(&a, now); now += 8 * MS, extended++)
        board_try(&b, now + 1, false, &due);
    g_assert_cmpuint(extended, ==, 4); /* 80 to 20: four turns for one, and the tie goes to the first seat */
    g_free(board);
}

static void full_board_refuses_and_silent_seats_are_taken(void)
{
    struct board *board = g_new0(struct board, 1);
    struct board_seat seats[BOARD_MEMBERS + 1];
    for (unsigned i = 0; i <= BOARD_MEMBERS; i++) {
        seats[i] = seat_at(board, i + 1, 10);
        g_assert_true(board_sit(&seats[i], S) == (i < BOARD_MEMBERS));
    }
    g_assert_true(board_sit(&seats[BOARD_MEMBERS], S + BOARD_GONE_NS + MS));
    board_leave(&seats[BOARD_MEMBERS]);
    g_assert_cmpint(seats[BOARD_MEMBERS].member, ==, -1);
    g_free(board);
}

/* Whatever is written on the page, one who waits gets the turn in time. */
static void noise_never_keeps_the_turn_away_for_a_second(void)
{
    g_autoptr(GRand) rand = dice();
    for (int round = 0; round < 2000; round++) {
        struct board *board = g_new0(struct board, 1);
        _Atomic uint64_t *words = (_Atomic uint64_t *)(void *)board;
        struct board_seat seat = seat_at(board, 5, 50);
        uint64_t now = S + any_word(rand) % S, since = now, due;
        for (unsigned i = 0; i < sizeof *board / 8; i++)
            words[i] = g_rand_boolean(rand) ? any_word(rand) : now + any_word(rand) % S;
        if (!board_sit(&seat, now)) {
            g_free(board);
            continue;
        }
        while (!board_try(&seat, now, false, &due)) {
            g_assert_cmpuint(due, >, now);
            g_assert_cmpuint(due, <=, now + 50 * MS);
            now = due;
            g_assert_cmpuint(now - since, <, S);
        }
        board_renew(&seat, now, UINT64_MAX);
        board_idle(&seat, now);
        board_busy(&seat);
        (void)board_foreign_end(&seat, seat.sequence, now);
        (void)board_left_over(&seat, now, S);
        (void)board_holder_pid(&seat);
        board_release(&seat, now + MS, now + 2 * MS);
        g_free(board);
    }
}

/* ---- measuring ---- */

static unsigned asking, asking_most;

static CUresult another_thread_measures_meanwhile(CUevent event)
{
    (void)event;
    asking++;
    asking_most = MAX(asking, asking_most);
    if (asking < 3)
        measure_finished(&cards[0]);
    asking--;
    return CUDA_SUCCESS;
}

static uint64_t a_second(void)
{
    return S;
}

static bool a_microsecond_between(CUevent from, CUevent to, double *ret_ns)
{
    (void)from, (void)to;
    *ret_ns = 1000;
    return true;
}

/* The clock of a meter may be given another base event by the one who asks. */
static void one_thread_at_a_time_asks_about_a_meter(void)
{
    struct port before = port;
    struct region_compute account = {0};
    struct card *card = &cards[0];
    struct meter meters[2] = {{.n_used = 3}, {.n_used = 3}};
    struct batch batches[6];

    card->account = &account;
    for (int i = 0; i < 6; i++) {
        batches[i] = (struct batch){.meter = &meters[i / 3], .launches = 1};
        batch_wait(card, &batches[i]);
    }
    port.now = a_second;
    port.event_query = another_thread_measures_meanwhile;
    port.event_between_ns = a_microsecond_between;
    measure_finished(card);
    port = before;
    g_assert_cmpuint(asking_most, ==, 2); /* one for each meter */
    g_assert_cmpuint(card->closed, ==, 0);
    g_assert_null(card->batches.first);
    g_assert_cmpuint(meters[0].n_used + meters[1].n_used, ==, 0);
    g_assert_cmpuint(account.launches, ==, 6);
    memset(card, 0, sizeof *card);
}

enum { THREADS = 1200 }; /* more than are kept for others after their end */

static sem_t have_lane, may_end;
static _Atomic int lanes;

static void *takes_a_lane(void *unused)
{
    lanes += lane_get() != NULL;
    sem_post(&have_lane);
    sem_wait(&may_end);
    return unused;
}

static void every_thread_has_a_lane_however_many_there_are(void)
{
    static pthread_t threads[THREADS];
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, 64 << 10);
    sem_init(&have_lane, 0, 0);
    sem_init(&may_end, 0, 0);
    int n = 0;
    while (n < THREADS && pthread_create(&threads[n], &attr, takes_a_lane, NULL) == 0) {
        sem_wait(&have_lane); /* one at a time: this machine's locks are not for threads */
        n++;
    }
    g_assert_cmpint(lanes, ==, n);
    for (int i = 0; i < n; i++)
        sem_post(&may_end);
    for (int i = 0; i < n; i++)
        pthread_join(threads[i], NULL);
    if (n < THREADS)
        g_test_skip("threads are limited here");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    if (g_getenv("HAMI_TEST_SEED"))
        seed = (uint32_t)strtoul(g_getenv("HAMI_TEST_SEED"), NULL, 10);
#define TEST(name) g_test_add_func("/compute_parts/" #name, name)
    TEST(one_thread_at_a_time_asks_about_a_meter);
    TEST(tokens_grow_by_percent_of_time_up_to_the_cap);
    TEST(what_is_above_the_cap_is_kept_and_debt_is_paid_first);
    TEST(hostile_tokens_stay_in_bounds);
    TEST(every_nanosecond_is_charged_once);
    TEST(many_stretches_never_overflow_and_stay_sorted);
    TEST(price_is_the_mean_and_forgets_on_request);
    TEST(price_of_a_strange_measurement_stays_usable);
    TEST(full_price_table_still_answers);
    TEST(turn_goes_to_one_and_comes_back);
    TEST(holder_is_passed_over_after_lease_idleness_or_death);
    TEST(turn_goes_on_only_while_its_holder_would_be_next);
    TEST(full_board_refuses_and_silent_seats_are_taken);
    TEST(noise_never_keeps_the_turn_away_for_a_second);
    TEST(every_thread_has_a_lane_however_many_there_are);
    return g_test_run();
}
