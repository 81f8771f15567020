/* SPDX-License-Identifier: Apache-2.0
 *
 * The last slot, which all share who come when the others are taken. Who is
 * stopped or starved on the way into it holds nobody up, who holds its lock
 * and only waits for a processor is waited for, and who is killed while it is
 * taken or given back leaves a sum that is exact.
 *
 * The others are one open file that has their LIFE locks.
 */
#include "scene.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "region/lock.h"

#define SHARED (REGION_SLOTS - 1)
#define FIRST 1000      /* bytes that the first slot's process holds */
#define MEMBER 50       /* bytes that a member holds */
#define STARVED_MS 2500 /* longer than anybody waits for who does not go on */
#define SAMPLES 200
#define MOVES 40
#define WAITS_MS 10
#define CALLS 12 /* the last ones of who joins */
#define STEPS 150
#define STRIDE 5 /* an operation of the ledger is some 15 instructions */

/* Slots 1 to 1022 are taken. */
struct house {
    struct scene *s;
    struct region r; /* slot 0 */
    int others;
};

static void house_fill(struct house *h, struct scene *s)
{
    h->s = s;
    scene_join(s, &h->r);
    g_assert_true(ledger_reserve(&h->r, h->r.slot, 0, FIRST, SCENE_LIMIT));
    h->others = open(s->path, O_RDWR | O_CLOEXEC);
    for (unsigned i = 1; i < SHARED; i++) {
        g_assert_cmpint(region_lock(h->others, F_WRLCK, REGION_LOCK_LIFE + i), ==, 0);
        atomic_store(&h->r.ext->members[i].pid_ns, 1); /* not one of ours: judged by the lock */
        h->r.base->procs[i].pid = 1;
        atomic_fetch_or(&h->r.ext->slot_map[i / 64], UINT64_C(1) << i % 64);
    }
}

static void house_empty(struct house *h)
{
    g_assert_cmpuint(ledger_used(&h->r, 0), ==, FIRST);
    close(h->others);
    region_close(&h->r);
}

static _Atomic uint32_t *shared_lock(const struct region *r)
{
    return &r->ext->members[SHARED].lock;
}

static bool is_shared_in_use(const struct region *r)
{
    return r->base->procs[SHARED].pid || atomic_load(&r->ext->slot_map[SHARED / 64]) >> SHARED % 64;
}

/* Comes, works and goes. */
static void visit(const struct house *h)
{
    struct region r;
    atomic_store(&h->r.ext->sweep_cursor, 1); /* does not happen to look at the shared slot on its way in */
    scene_join(h->s, &r);
    g_assert_cmpint(r.slot, ==, SHARED);
    g_assert_true(ledger_reserve(&r, SHARED, 0, 7, SCENE_LIMIT));
    ledger_release(&r, SHARED, 0, 7);
    region_slot_release(&r, SHARED);
    region_close(&r);
}

/* ---- stopped, and killed, on the way in and out ---- */

static void stand_still(void)
{
    if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
        _exit(2);
    raise(SIGSTOP);
}

static int joins(void *arg)
{
    const struct house *h = arg;
    struct region r;
    if (region_open(&r, h->s->path, &h->s->limits) < 0)
        return 1;
    stand_still();
    return region_slot_claim(&r) != SHARED || !ledger_reserve(&r, SHARED, 0, MEMBER, SCENE_LIMIT);
}

static int leaves(void *arg)
{
    const struct house *h = arg;
    struct region r;
    scene_join(h->s, &r);
    if (r.slot != SHARED || !ledger_reserve(&r, SHARED, 0, MEMBER, SCENE_LIMIT))
        return 1;
    stand_still();
    region_slot_release(&r, SHARED);
    return 0;
}

static int lives_and_dies(void *arg)
{
    const struct house *h = arg;
    struct region r;
    scene_join(h->s, &r);
    ledger_reserve(&r, SHARED, 0, MEMBER, SCENE_LIMIT);
    return 0;
}

/* Frees what somebody left who died; the shared slot is looked at first. */
static int cleans(void *arg)
{
    const struct house *h = arg;
    struct region r;
    if (region_open(&r, h->s->path, &h->s->limits) < 0 || scene_wait(scene_fork(lives_and_dies, arg)) != 0)
        return 1;
    atomic_store(&r.ext->sweep_cursor, SHARED);
    stand_still();
    region_reclaim_quick(&r);
    return 0;
}

static pid_t start(struct house *h, int (*body)(void *))
{
    int status;
    atomic_store(&h->r.ext->swept_ns, region_now_ns()); /* the thousand others were looked at just now */
    pid_t pid = scene_fork(body, h);
    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    g_assert_true(WIFSTOPPED(status));
    return pid;
}

static unsigned count(struct house *h, int (*body)(void *), enum __ptrace_request request)
{
    unsigned n = 0;
    for (pid_t pid = start(h, body); scene_advance(pid, request, 1);)
        n++;
    return n;
}

/* Until it has come to its end. */
static void let_go(pid_t pid)
{
    g_assert_cmpint(ptrace(PTRACE_CONT, pid, NULL, NULL), ==, 0);
    g_assert_cmpint(scene_wait(pid), ==, 0);
}

static void who_is_stopped_while_joining_holds_nobody_up(struct scene *s, gconstpointer unused)
{
    (void)unused;
    struct house h;
    house_fill(&h, s);
    for (unsigned n = count(&h, joins, PTRACE_SYSCALL); n; n--) {
        pid_t pid = start(&h, joins);
        if (!scene_advance(pid, PTRACE_SYSCALL, n))
            continue;
        visit(&h);
        let_go(pid);
        visit(&h); /* the last one: gives back what the other held */
    }
    house_empty(&h);
}

/* What the dead one left is settled by who comes next and given back by who leaves last. */
static void check_after(struct house *h)
{
    visit(h);
    g_assert_cmpuint(ledger_used(&h->r, 0), ==, FIRST);
    g_assert_cmpuint(ledger_held(&h->r, SHARED, 0), ==, 0);
    g_assert_cmpuint(scene_legacy_sum(&h->r, 0), ==, FIRST);
    g_assert_false(is_shared_in_use(&h->r));
    g_assert_cmpuint(atomic_load(shared_lock(&h->r)), ==, 0);
}

static void killed_while_joining(struct scene *s, gconstpointer unused)
{
    (void)unused;
    struct house h;
    struct scene_random random = {scene_seed()};
    house_fill(&h, s);
    unsigned kills = 0, calls = count(&h, joins, PTRACE_SYSCALL);
    check_after(&h);
    for (int i = 0; i < SAMPLES; i++) {
        pid_t pid = start(&h, joins);
        if (scene_advance(pid, PTRACE_SYSCALL, calls - scene_random(&random) % CALLS) &&
            scene_advance(pid, PTRACE_SINGLESTEP, scene_random(&random) % STEPS)) {
            scene_kill(pid);
            kills++;
        }
        check_after(&h);
    }
    g_test_message("killed %u times", kills);
    g_assert_cmpuint(kills, >, SAMPLES / 2);
    house_empty(&h);
}

static void killed_while_freeing(struct scene *s, gconstpointer data)
{
    int (*body)(void *) = *(int (*const *)(void *))data;
    struct house h;
    struct scene_random random = {scene_seed()};
    house_fill(&h, s);
    unsigned n = 1 + scene_random(&random) % STRIDE;
    for (bool is_freed = false; !is_freed; n += STRIDE) {
        pid_t pid = start(&h, body);
        bool is_alive = scene_advance(pid, PTRACE_SINGLESTEP, n);
        is_freed = !is_shared_in_use(&h.r) && atomic_load(shared_lock(&h.r)) == 0;
        if (is_alive)
            scene_kill(pid);
        check_after(&h);
    }
    g_test_message("killed up to instruction %u", n);
    g_assert_cmpuint(n, >, STEPS);
    house_empty(&h);
}

struct newcomer {
    struct house *h;
    struct scene_flag *is_in;
};

static int moves_in(void *arg)
{
    const struct newcomer *n = arg;
    struct region r;
    scene_join(n->h->s, &r);
    if (r.slot != SHARED || !ledger_reserve(&r, SHARED, 0, MEMBER, SCENE_LIMIT))
        return 1;
    scene_flag_set(n->is_in, 1);
    scene_pause();
}

/* Nothing tells that somebody waits: he is given the time in which he would be in. */
static void give_time(const struct scene_flag *is_in)
{
    for (int ms = 0; ms < WAITS_MS && !atomic_load(&is_in->value); ms++)
        g_usleep(1000);
}

static void nobody_moves_in_while_it_is_given_back(struct scene *s, gconstpointer unused)
{
    (void)unused;
    struct house h;
    struct scene_random random = {scene_seed()};
    house_fill(&h, s);
    unsigned steps = count(&h, leaves, PTRACE_SINGLESTEP);
    for (int i = 0; i < MOVES; i++) {
        struct newcomer newcomer = {&h, scene_flag_new()};
        pid_t leaver = start(&h, leaves);
        g_assert_true(scene_advance(leaver, PTRACE_SINGLESTEP, scene_random(&random) % steps));
        pid_t pid = scene_fork(moves_in, &newcomer);
        give_time(newcomer.is_in);
        let_go(leaver);
        scene_flag_wait(newcomer.is_in, 1);
        g_assert_true(is_shared_in_use(&h.r));
        uint64_t held = ledger_held(&h.r, SHARED, 0); /* the leaver's stays where it was not the last one */
        g_assert_true(held == MEMBER || held == 2 * MEMBER);
        scene_kill(pid);
        region_reclaim(&h.r);
        check_after(&h);
        scene_flag_free(newcomer.is_in);
    }
    house_empty(&h);
}

/* ---- who holds the lock ---- */

struct holder {
    struct house *h;
    struct scene_flag *holds;
};

static void hold_starved(_Atomic uint32_t *word, uint32_t value, const struct holder *holder)
{
    pid_t pid = scene_starve(STARVED_MS);
    atomic_store(word, value);
    scene_flag_set(holder->holds, 1);
    scene_work_starved();
    atomic_store(word, 0);
    scene_wait(pid);
}

static int holds_and_goes_on(void *arg)
{
    const struct holder *holder = arg;
    struct region r;
    scene_join(holder->h->s, &r);
    hold_starved(shared_lock(&r), (uint32_t)getpid(), holder);
    scene_pause();
}

static int holds_and_stops(void *arg)
{
    const struct holder *holder = arg;
    struct region r;
    scene_join(holder->h->s, &r);
    atomic_store(shared_lock(&r), (uint32_t)getpid());
    raise(SIGSTOP);
    return 0;
}

static void holder_without_a_processor_is_waited_for(struct scene *s, gconstpointer unused)
{
    (void)unused;
    struct house h;
    struct region r;
    house_fill(&h, s);
    struct holder holder = {&h, scene_flag_new()};
    scene_join(s, &r);
    pid_t pid = scene_fork(holds_and_goes_on, &holder);
    scene_flag_wait(holder.holds, 1);
    g_assert_true(ledger_reserve(&r, SHARED, 0, MEMBER, SCENE_LIMIT));
    scene_kill(pid);
    region_slot_release(&r, SHARED);
    region_close(&r);
    scene_flag_free(holder.holds);
    house_empty(&h);
}

static void stopped_holder_is_not(struct scene *s, gconstpointer unused)
{
    (void)unused;
    int status;
    struct house h;
    struct region r;
    house_fill(&h, s);
    struct holder holder = {&h, NULL};
    scene_join(s, &r);
    pid_t pid = scene_fork(holds_and_stops, &holder);
    g_assert_cmpint(waitpid(pid, &status, WUNTRACED), ==, pid);
    g_assert_true(WIFSTOPPED(status));
    g_assert_false(ledger_reserve(&r, SHARED, 0, MEMBER, SCENE_LIMIT));
    g_assert_cmpuint(atomic_load(shared_lock(&r)), ==, (uint32_t)pid);
    scene_kill(pid);
    g_assert_true(ledger_reserve(&r, SHARED, 0, MEMBER, SCENE_LIMIT)); /* of the dead it is taken over */
    region_slot_release(&r, SHARED);
    region_close(&r);
    house_empty(&h);
}

struct thread_holder {
    struct holder holder;
    _Atomic uint32_t *word;
    uint32_t value;
};

static void *thread_holds(void *arg)
{
    const struct thread_holder *t = arg;
    hold_starved(t->word, t->value, &t->holder);
    return NULL;
}

static void own_thread_without_a_processor_is_waited_for(struct scene *s, gconstpointer unused)
{
    (void)unused;
    struct house h;
    struct region r;
    house_fill(&h, s);
    scene_join(s, &r);
    struct thread_holder t = {{&h, scene_flag_new()}, shared_lock(&r), (uint32_t)getpid()};
    GThread *thread = g_thread_new("holder", thread_holds, &t);
    scene_flag_wait(t.holder.holds, 1);
    g_assert_true(ledger_reserve(&r, SHARED, 0, MEMBER, SCENE_LIMIT));
    g_thread_join(thread);
    region_slot_release(&r, SHARED);
    region_close(&r);
    scene_flag_free(t.holder.holds);
    house_empty(&h);
}

/* Another thread of ours claims, frees or looks for the dead. */
static void own_thread_that_is_busy_with_slots_is_waited_for(struct scene *s, gconstpointer unused)
{
    (void)unused;
    struct region r;
    g_assert_cmpint(region_open(&r, s->path, &s->limits), ==, 0);
    struct thread_holder t = {{NULL, scene_flag_new()}, &r.busy, 1};
    GThread *thread = g_thread_new("holder", thread_holds, &t);
    scene_flag_wait(t.holder.holds, 1);
    g_assert_cmpint(region_slot_claim(&r), ==, 0);
    g_thread_join(thread);
    region_close(&r);
    scene_flag_free(t.holder.holds);
}

static int frees_and_goes_on(void *arg)
{
    const struct holder *holder = arg;
    struct region r;
    if (region_open(&r, holder->h->s->path, &holder->h->s->limits) < 0 ||
        region_lock(r.fd, F_WRLCK, REGION_LOCK_LIFE + SHARED) < 0)
        return 1;
    hold_starved(shared_lock(&r), (uint32_t)getpid(), holder);
    return 0; /* the kernel drops its locks */
}

static void who_frees_it_without_a_processor_is_waited_for(struct scene *s, gconstpointer unused)
{
    (void)unused;
    struct house h;
    house_fill(&h, s);
    struct holder holder = {&h, scene_flag_new()};
    pid_t pid = scene_fork(frees_and_goes_on, &holder);
    scene_flag_wait(holder.holds, 1);
    visit(&h);
    g_assert_cmpint(scene_wait(pid), ==, 0);
    scene_flag_free(holder.holds);
    house_empty(&h);
}

/* A waiter that is given no processor itself: it looks at the word, and the next time it is given one, the
 * holder has long gone on and sleeps. The library's clock is bound to this one. */
static _Atomic uint32_t *given_back; /* at the third look */
static unsigned looks;

int clock_gettime(clockid_t id, struct timespec *ret)
{
    int result = (int)syscall(SYS_clock_gettime, id, ret);
    if (given_back && ++looks >= 3) {
        atomic_store(given_back, 0);
        ret->tv_sec += 2;
    }
    return result;
}

static int sleeps(void *arg)
{
    (void)arg;
    scene_pause();
}

static void waiter_without_a_processor_looks_once_more(struct scene *s, gconstpointer unused)
{
    (void)unused;
    struct house h;
    struct region r;
    house_fill(&h, s);
    scene_join(s, &r);
    pid_t pid = scene_fork(sleeps, NULL);
    atomic_store(shared_lock(&r), (uint32_t)pid);
    given_back = shared_lock(&r);
    bool granted = ledger_reserve(&r, SHARED, 0, MEMBER, SCENE_LIMIT);
    given_back = NULL;
    g_assert_true(granted);
    scene_kill(pid);
    region_slot_release(&r, SHARED);
    region_close(&r);
    house_empty(&h);
}

/* ---- who is taken to be there ---- */

static void who_frees_it_is_not_attached(struct scene *s, gconstpointer unused)
{
    (void)unused;
    struct region r;
    g_assert_cmpint(region_open(&r, s->path, &s->limits), ==, 0);
    g_assert_cmpint(region_lock(r.fd, F_WRLCK, REGION_LOCK_LIFE + SHARED), ==, 0);
    g_assert_cmpint(region_is_attached(s->path), ==, 0);
    g_assert_cmpint(region_lock(r.fd, F_RDLCK, REGION_LOCK_LIFE + SHARED), ==, 0);
    g_assert_cmpint(region_is_attached(s->path), ==, 1);
    region_close(&r);
    g_assert_cmpint(region_is_attached(s->path), ==, 0);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define TEST(name) g_test_add("/shared/" #name, struct scene, NULL, scene_setup, name, scene_teardown)
    TEST(who_is_stopped_while_joining_holds_nobody_up);
    TEST(killed_while_joining);
    static int (*const leaver)(void *) = leaves, (*const cleaner)(void *) = cleans;
    g_test_add("/shared/killed_while_leaving", struct scene, &leaver, scene_setup, killed_while_freeing,
               scene_teardown);
    g_test_add("/shared/killed_while_cleaning", struct scene, &cleaner, scene_setup, killed_while_freeing,
               scene_teardown);
    TEST(nobody_moves_in_while_it_is_given_back);
    TEST(holder_without_a_processor_is_waited_for);
    TEST(stopped_holder_is_not);
    TEST(own_thread_without_a_processor_is_waited_for);
    TEST(own_thread_that_is_busy_with_slots_is_waited_for);
    TEST(who_frees_it_without_a_processor_is_waited_for);
    TEST(waiter_without_a_processor_looks_once_more);
    TEST(who_frees_it_is_not_attached);
#undef TEST
    return g_test_run();
}
