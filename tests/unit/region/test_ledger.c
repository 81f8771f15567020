/* SPDX-License-Identifier: Apache-2.0
 *
 * The ledger: exactness alone, against a model, among threads, among
 * processes, and with processes that are killed at random.
 */
#include "scene.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- alone ---- */

static void reserve_takes_the_last_byte_and_refuses_one_more(struct scene *s, gconstpointer unused)
{
    (void)unused;
    struct region r;
    scene_join(s, &r);
    g_assert_true(ledger_reserve(&r, r.slot, 0, SCENE_LIMIT - 1, SCENE_LIMIT));
    g_assert_false(ledger_reserve(&r, r.slot, 0, 2, SCENE_LIMIT));
    g_assert_true(ledger_reserve(&r, r.slot, 0, 1, SCENE_LIMIT));
    g_assert_false(ledger_reserve(&r, r.slot, 0, 1, SCENE_LIMIT));
    g_assert_cmpuint(ledger_used(&r, 0), ==, SCENE_LIMIT);
    region_close(&r);
}

static void huge_sizes_are_refused_not_wrapped(struct scene *s, gconstpointer unused)
{
    (void)unused;
    static const uint64_t huge[] = {UINT64_MAX, UINT64_MAX - 1, UINT64_C(1) << 63, UINT64_MAX - 99};
    struct region r;
    scene_join(s, &r);
    g_assert_true(ledger_reserve(&r, r.slot, 0, 100, 0));
    for (size_t i = 0; i < G_N_ELEMENTS(huge); i++)
        g_assert_false(ledger_reserve(&r, r.slot, 0, huge[i], SCENE_LIMIT));
    g_assert_false(ledger_reserve(&r, r.slot, 0, UINT64_MAX - 99, 0));
    g_assert_true(ledger_reserve(&r, r.slot, 0, UINT64_MAX - 100, 0));
    ledger_charge(&r, r.slot, 0, UINT64_MAX);
    g_assert_cmpuint(ledger_used(&r, 0), ==, UINT64_MAX);
    region_close(&r);
}

static void zero_bytes_always_fit(struct scene *s, gconstpointer unused)
{
    (void)unused;
    struct region r;
    scene_join(s, &r);
    ledger_charge(&r, r.slot, 0, 2 * SCENE_LIMIT);
    g_assert_true(ledger_reserve(&r, r.slot, 0, 0, SCENE_LIMIT));
    region_close(&r);
}

static void limit_zero_means_no_limit(struct scene *s, gconstpointer unused)
{
    (void)unused;
    struct region r;
    scene_join(s, &r);
    g_assert_true(ledger_reserve(&r, r.slot, 1, UINT64_C(1) << 50, 0));
    g_assert_cmpuint(ledger_used(&r, 0), ==, 0);
    region_close(&r);
}

static void charge_may_pass_the_limit_and_blocks_reservations(struct scene *s, gconstpointer unused)
{
    (void)unused;
    struct region r;
    scene_join(s, &r);
    ledger_charge(&r, r.slot, 0, SCENE_LIMIT + 5);
    g_assert_false(ledger_reserve(&r, r.slot, 0, 1, SCENE_LIMIT));
    ledger_release(&r, r.slot, 0, 6);
    g_assert_true(ledger_reserve(&r, r.slot, 0, 1, SCENE_LIMIT));
    region_close(&r);
}

static void release_never_gives_more_than_the_slot_holds(struct scene *s, gconstpointer unused)
{
    (void)unused;
    struct region a, b;
    scene_join(s, &a);
    scene_join(s, &b);
    ledger_charge(&a, a.slot, 0, 100);
    ledger_charge(&b, b.slot, 0, 50);
    ledger_release(&b, b.slot, 0, 80);
    ledger_release(&b, b.slot, 0, UINT64_MAX);
    g_assert_cmpuint(ledger_used(&a, 0), ==, 100);
    g_assert_cmpuint(ledger_held(&a, b.slot, 0), ==, 0);
    region_close(&a);
    region_close(&b);
}

static void kinds_are_told_apart_and_add_up(struct scene *s, gconstpointer unused)
{
    (void)unused;
    struct region r;
    scene_join(s, &r);
    const struct region_used *u = &r.base->procs[r.slot].used[0];
    ledger_charge_kind(&r, r.slot, 0, LEDGER_CONTEXT, 1000);
    ledger_charge_kind(&r, r.slot, 0, LEDGER_MODULE, 200);
    ledger_reserve(&r, r.slot, 0, 30, SCENE_LIMIT);
    g_assert_cmpuint(u->context, ==, 1000);
    g_assert_cmpuint(u->module, ==, 200);
    g_assert_cmpuint(u->data, ==, 30);
    g_assert_cmpuint(u->total, ==, 1230);
    ledger_release_kind(&r, r.slot, 0, LEDGER_CONTEXT, 1000);
    g_assert_cmpuint(u->context, ==, 0);
    g_assert_cmpuint(u->total, ==, 230);
    g_assert_cmpuint(ledger_used(&r, 0), ==, 230);
    region_close(&r);
}

static void peak_and_refusals_are_kept(struct scene *s, gconstpointer unused)
{
    (void)unused;
    struct region r;
    scene_join(s, &r);
    ledger_reserve(&r, r.slot, 0, 700, SCENE_LIMIT);
    ledger_release(&r, r.slot, 0, 600);
    ledger_reserve(&r, r.slot, 0, 10, SCENE_LIMIT);
    ledger_count_oom(&r, 0);
    ledger_count_oom(&r, 0);
    g_assert_cmpuint(ledger_peak(&r, 0), ==, 700);
    g_assert_cmpuint(ledger_oom_count(&r, 0), ==, 2);
    g_assert_cmpuint(ledger_oom_count(&r, 1), ==, 0);
    region_close(&r);
}

static void indices_out_of_range_are_refused(struct scene *s, gconstpointer unused)
{
    (void)unused;
    struct region r, unopened = {.fd = -1, .slot = -1};
    scene_join(s, &r);
    g_assert_false(ledger_reserve(&r, -1, 0, 1, 0));
    g_assert_false(ledger_reserve(&r, r.slot + 1, 0, 1, 0)); /* not ours */
    g_assert_false(ledger_reserve(&r, REGION_SLOTS, 0, 1, 0));
    g_assert_false(ledger_reserve(&r, r.slot, REGION_DEVICES, 1, 0));
    g_assert_false(ledger_reserve(&unopened, -1, 0, 1, 0));
    ledger_charge(&r, r.slot, 99, 1);
    ledger_release(&unopened, 0, 0, 1);
    ledger_count_oom(&r, 99);
    g_assert_cmpuint(ledger_used(&r, 99) + ledger_held(&r, -1, 0) + ledger_used(&unopened, 0), ==, 0);
    region_close(&r);
}

static void thread_that_comes_after_the_release_is_refused(struct scene *s, gconstpointer unused)
{
    (void)unused;
    struct region r;
    scene_join(s, &r);
    int slot = r.slot;
    region_slot_release(&r, slot);
    g_assert_false(ledger_reserve(&r, slot, 0, 1, 0));
    ledger_charge(&r, slot, 0, 1);
    g_assert_cmpuint(ledger_used(&r, 0), ==, 0);
    region_close(&r);
}

static void stuck_slot_lock_refuses_and_parks(struct scene *s, gconstpointer unused)
{
    (void)unused;
    struct region r;
    scene_join(s, &r);
    ledger_charge(&r, r.slot, 0, 500);
    atomic_store(&r.ext->members[r.slot].lock, (uint32_t)getpid()); /* as a handler finds it */
    errno = 4711;
    g_assert_false(ledger_reserve(&r, r.slot, 0, 1, SCENE_LIMIT)); /* after one second */
    ledger_release(&r, r.slot, 0, 200);
    g_assert_cmpint(errno, ==, 4711);
    g_assert_cmpuint(ledger_used(&r, 0), ==, 500);
    atomic_store(&r.ext->members[r.slot].lock, 0);
    g_assert_true(ledger_reserve(&r, r.slot, 0, 1, SCENE_LIMIT));
    g_assert_cmpuint(ledger_used(&r, 0), ==, 301);
    region_close(&r);
}

static void foreign_pid_in_the_slot_lock_is_put_aside(struct scene *s, gconstpointer unused)
{
    (void)unused;
    struct region r;
    scene_join(s, &r);
    atomic_store(&r.ext->members[r.slot].lock, UINT32_MAX);
    g_assert_true(ledger_reserve(&r, r.slot, 0, 1, SCENE_LIMIT));
    region_close(&r);
}

/* ---- against a model ---- */

#define MODEL_SLOTS 5
#define MODEL_OPS 60000

struct model {
    struct region regions[MODEL_SLOTS];
    uint64_t held[MODEL_SLOTS][2], peak[2];
};

static uint64_t model_used(const struct model *m, unsigned d)
{
    uint64_t sum = 0;
    for (int i = 0; i < MODEL_SLOTS; i++)
        sum += m->held[i][d];
    return sum;
}

static void model_check(const struct model *m, unsigned d)
{
    const struct region *r = &m->regions[0];
    g_assert_cmpuint(ledger_used(r, d), ==, model_used(m, d));
    g_assert_cmpuint(ledger_peak(r, d), ==, m->peak[d]);
    for (int i = 0; i < MODEL_SLOTS; i++) {
        const struct region_used *u = &r->base->procs[m->regions[i].slot].used[d];
        g_assert_cmpuint(u->total, ==, m->held[i][d]);
        g_assert_cmpuint(u->context + u->module + u->data, ==, u->total);
    }
}

static void model_take(struct model *m, int i, unsigned d, uint64_t n)
{
    m->held[i][d] += n;
    m->peak[d] = MAX(m->peak[d], model_used(m, d));
}

static void model_op(struct model *m, const struct scene *s, struct scene_random *random)
{
    int i = (int)(scene_random(random) % MODEL_SLOTS);
    unsigned d = scene_random(random) % 2;
    uint64_t n = scene_random(random) % (scene_random(random) % 8 ? 5000 : SCENE_LIMIT);
    uint64_t limit = d == 0 ? SCENE_LIMIT : 0;
    struct region *r = &m->regions[i];
    switch (scene_random(random) % 64) {
    case 0: /* dies, and a new process comes */
        region_close(r);
        m->held[i][0] = m->held[i][1] = 0;
        g_assert_cmpint(region_reclaim(&m->regions[(i + 1) % MODEL_SLOTS]), ==, 1);
        scene_join(s, r);
        break;
    case 1 ... 31: {
        bool fits = !limit || n == 0 || (model_used(m, d) <= limit && n <= limit - model_used(m, d));
        g_assert_true(ledger_reserve(r, r->slot, d, n, limit) == fits);
        if (fits)
            model_take(m, i, d, n);
        break;
    }
    case 32:
        ledger_charge(r, r->slot, d, n);
        model_take(m, i, d, n);
        break;
    default:
        ledger_release(r, r->slot, d, n);
        m->held[i][d] -= MIN(n, m->held[i][d]);
    }
    model_check(m, d);
}

static void agrees_with_a_model(struct scene *s, gconstpointer unused)
{
    (void)unused;
    struct scene_random random = {scene_seed()};
    struct model m = {0};
    for (int i = 0; i < MODEL_SLOTS; i++)
        scene_join(s, &m.regions[i]);
    for (int op = 0; op < MODEL_OPS; op++)
        model_op(&m, s, &random);
    for (int i = 0; i < MODEL_SLOTS; i++)
        region_slot_release(&m.regions[i], m.regions[i].slot);
    g_assert_cmpuint(ledger_used(&m.regions[0], 0) + ledger_used(&m.regions[0], 1), ==, 0);
    for (int i = 0; i < MODEL_SLOTS; i++)
        region_close(&m.regions[i]);
}

/* ---- threads of one process ---- */

#define THREADS 6
#define THREAD_OPS 40000

struct thread {
    struct region *r;
    uint64_t seed, kept, over;
};

static void *hammer(void *arg)
{
    struct thread *t = arg;
    struct scene_random random = {t->seed};
    for (int i = 0; i < THREAD_OPS; i++) {
        uint64_t n = scene_random(&random) % (SCENE_LIMIT / 4);
        if (t->kept == 0 || scene_random(&random) % 2) {
            if (ledger_reserve(t->r, t->r->slot, 0, n, SCENE_LIMIT))
                t->kept += n;
        } else {
            n = MIN(n, t->kept);
            ledger_release(t->r, t->r->slot, 0, n);
            t->kept -= n;
        }
        t->over += ledger_used(t->r, 0) > SCENE_LIMIT;
    }
    return NULL;
}

static void threads_share_a_slot_exactly(struct scene *s, gconstpointer unused)
{
    (void)unused;
    struct region r;
    struct thread threads[THREADS];
    pthread_t ids[THREADS];
    uint64_t seed = scene_seed(), kept = 0, over = 0;
    scene_join(s, &r);
    for (int i = 0; i < THREADS; i++) {
        threads[i] = (struct thread){&r, seed + (uint64_t)i, 0, 0};
        pthread_create(&ids[i], NULL, hammer, &threads[i]);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(ids[i], NULL);
        kept += threads[i].kept;
        over += threads[i].over;
    }
    g_assert_cmpuint(over, ==, 0);
    g_assert_cmpuint(ledger_used(&r, 0), ==, kept);
    g_assert_cmpuint(r.base->procs[r.slot].used[0].total, ==, kept);
    region_close(&r);
}

/* ---- processes that are killed at random ---- */

#define WORKERS 4
#define KILLS 250

struct worker {
    const struct scene *s;
    uint64_t seed;
};

static int work(void *arg)
{
    const struct worker *w = arg;
    struct scene_random random = {w->seed};
    struct region r;
    if (region_open(&r, w->s->path, &w->s->limits) < 0 || region_slot_claim(&r) < 0)
        return 1;
    for (;;) {
        uint64_t n = scene_random(&random) % (SCENE_LIMIT / 3);
        if (scene_random(&random) % 2)
            ledger_reserve_or_reclaim(&r, r.slot, 0, n, SCENE_LIMIT);
        else
            ledger_release(&r, r.slot, 0, n);
        if (scene_random(&random) % 256 == 0) {
            region_slot_release(&r, r.slot);
            if (region_slot_claim(&r) < 0)
                return 2;
        }
        if (ledger_used(&r, 0) > SCENE_LIMIT)
            return 3;
    }
}

static void random_kills_leave_nothing_behind(struct scene *s, gconstpointer unused)
{
    (void)unused;
    struct scene_random random = {scene_seed()};
    struct worker w = {.s = s};
    pid_t pids[WORKERS] = {0};
    struct region r;
    scene_join(s, &r);
    for (int i = 0; i < KILLS; i++) {
        pid_t *pid = &pids[scene_random(&random) % WORKERS];
        if (*pid)
            g_assert_cmpint((kill(*pid, SIGKILL), scene_wait(*pid)), ==, -SIGKILL);
        w.seed = scene_random(&random);
        *pid = scene_fork(work, &w);
        for (uint32_t spin = scene_random(&random) % 20000; spin; spin--)
            g_assert_cmpuint(ledger_used(&r, 0), <=, SCENE_LIMIT);
        g_usleep(scene_random(&random) % 2000);
    }
    for (int i = 0; i < WORKERS; i++)
        if (pids[i])
            g_assert_cmpint((kill(pids[i], SIGKILL), scene_wait(pids[i])), ==, -SIGKILL);
    region_reclaim(&r);
    g_assert_cmpuint(ledger_used(&r, 0), ==, 0);
    g_assert_cmpuint(scene_legacy_sum(&r, 0), ==, 0);
    g_assert_cmpint(r.base->proc_num, ==, r.slot + 1);
    region_close(&r);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define TEST(name) g_test_add("/ledger/" #name, struct scene, NULL, scene_setup, name, scene_teardown)
    TEST(reserve_takes_the_last_byte_and_refuses_one_more);
    TEST(huge_sizes_are_refused_not_wrapped);
    TEST(zero_bytes_always_fit);
    TEST(limit_zero_means_no_limit);
    TEST(charge_may_pass_the_limit_and_blocks_reservations);
    TEST(release_never_gives_more_than_the_slot_holds);
    TEST(kinds_are_told_apart_and_add_up);
    TEST(peak_and_refusals_are_kept);
    TEST(indices_out_of_range_are_refused);
    TEST(thread_that_comes_after_the_release_is_refused);
    TEST(stuck_slot_lock_refuses_and_parks);
    TEST(foreign_pid_in_the_slot_lock_is_put_aside);
    TEST(agrees_with_a_model);
    TEST(threads_share_a_slot_exactly);
    TEST(random_kills_leave_nothing_behind);
#undef TEST
    return g_test_run();
}
