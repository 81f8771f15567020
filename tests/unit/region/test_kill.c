/* SPDX-License-Identifier: Apache-2.0
 *
 * Killed at every instruction: a child is stepped N instructions into an
 * operation and killed there, for N = 1, 2, ... until it gets through. After
 * each kill another process must go on at once, the sum must be exact, and
 * reclaiming must leave nothing of the dead. In a third round the other process
 * operates while the child stands still, and the child goes on a little.
 *
 * Short operations are stepped without a gap. Long ones (they read /proc or
 * create the file) are sampled: run to a random system call, then step a random
 * number of instructions. The seed is printed.
 */
#include "scene.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "region/lock.h"

#define OTHERS 1000 /* bytes the surviving process holds */
#define SAMPLES 150
/* Whoever comes after a dead one goes on within a second, which is also the longest wait in the region; the
 * rest is for a machine that is busy with other things. */
#define GOES_ON_US (3 * G_USEC_PER_SEC)
#define STEPS 250 /* after a system call */

struct scenario {
    const char *name;
    void (*before)(struct region *r);                      /* in the child, not stepped */
    void (*step)(const struct scene *s, struct region *r); /* in the child, stepped */
    bool unopened;                                         /* the child starts without a region */
    bool sampled;
};

static void take_some(struct region *r)
{
    ledger_reserve(r, r->slot, 0, 500, SCENE_LIMIT);
}

static void nothing(struct region *r)
{
    (void)r;
}

static void step_reserve(const struct scene *s, struct region *r)
{
    (void)s;
    ledger_reserve(r, r->slot, 0, 70, SCENE_LIMIT);
}

static void step_two_reserves(const struct scene *s, struct region *r)
{
    step_reserve(s, r);
    step_reserve(s, r);
}

static void step_release(const struct scene *s, struct region *r)
{
    (void)s;
    ledger_release(r, r->slot, 0, 200);
}

static void step_refused(const struct scene *s, struct region *r)
{
    (void)s;
    ledger_reserve(r, r->slot, 0, SCENE_LIMIT, SCENE_LIMIT);
}

static void step_charge_context(const struct scene *s, struct region *r)
{
    (void)s;
    ledger_charge_kind(r, r->slot, 0, LEDGER_CONTEXT, 30);
}

static void step_open(const struct scene *s, struct region *r)
{
    region_open(r, s->path, &s->limits);
}

static void step_claim(const struct scene *s, struct region *r)
{
    (void)s;
    region_slot_claim(r);
}

static void step_leave(const struct scene *s, struct region *r)
{
    (void)s;
    region_slot_release(r, r->slot);
}

static void step_reclaim(const struct scene *s, struct region *r)
{
    (void)s;
    region_reclaim(r);
}

/* The child becomes a cleaner: a process of its own dies before it starts. */
static void leave_a_dead_one(struct region *r)
{
    pid_t pid = fork();
    if (pid == 0) {
        struct region_limits none = {0};
        char path[64];
        snprintf(path, sizeof path, "/proc/self/fd/%d", r->fd);
        char real[256] = {0};
        struct region mine;
        if (readlink(path, real, sizeof real - 1) < 0 || region_open(&mine, real, &none) < 0)
            _exit(1);
        region_slot_claim(&mine);
        ledger_reserve(&mine, mine.slot, 0, 4000, SCENE_LIMIT);
        ledger_reserve(&mine, mine.slot, 1, 5000, 0);
        raise(SIGKILL);
    }
    waitpid(pid, NULL, 0);
}

static const struct scenario scenarios[] = {
    {"reserve", take_some, step_reserve, false, false},
    {"first_reserve", nothing, step_reserve, false, false},
    {"two_reserves", take_some, step_two_reserves, false, false},
    {"release", take_some, step_release, false, false},
    {"refusal", take_some, step_refused, false, false},
    {"charge_context", take_some, step_charge_context, false, false},
    {"leave", take_some, step_leave, false, true},
    {"reclaim", leave_a_dead_one, step_reclaim, false, true},
    {"claim", nothing, step_claim, true, true},
    {"open", nothing, step_open, true, true},
};

static int stepped(const struct scene *s, const struct scenario *c)
{
    struct region r = {.fd = -1, .slot = -1};
    bool open_first = c->step != step_open, claim_first = open_first && c->step != step_claim;
    if (open_first && region_open(&r, s->path, &s->limits) < 0)
        return 1;
    if (claim_first && region_slot_claim(&r) < 0)
        return 1;
    c->before(&r);
    if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
        return 2;
    raise(SIGSTOP);
    c->step(s, &r);
    _exit(0);
}

struct child {
    const struct scene *s;
    const struct scenario *c;
};

static int child_body(void *arg)
{
    const struct child *child = arg;
    return stepped(child->s, child->c);
}

static void operate_beside(struct region *r)
{
    g_assert_true(ledger_reserve(r, r->slot, 0, 10, SCENE_LIMIT));
    ledger_release(r, r->slot, 0, 10);
}

/* Where the child is killed: so many entries and returns of system calls and
 * then instructions into the operation. When `beside` is set, that process
 * makes operations of its own there, and the child goes on for `more`. */
struct point {
    unsigned calls, steps, more;
    struct region *beside;
};

/* Runs a fresh child to the point and kills it. False when it got through. */
static bool kill_at(const struct scene *s, const struct scenario *c, struct point at)
{
    int status;
    pid_t pid = scene_fork(child_body, &(struct child){s, c});
    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    g_assert_true(WIFSTOPPED(status));
    if (!scene_advance(pid, PTRACE_SYSCALL, at.calls) || !scene_advance(pid, PTRACE_SINGLESTEP, at.steps))
        return false;
    if (at.beside)
        operate_beside(at.beside);
    if (!scene_advance(pid, PTRACE_SINGLESTEP, at.more))
        return false;
    scene_kill(pid);
    return true;
}

/* One who was not there when the other died. */
static void check_newcomer(const struct scene *s)
{
    gint64 start = g_get_monotonic_time();
    struct region r;
    scene_join(s, &r);
    g_assert_true(ledger_reserve(&r, r.slot, 0, 10, SCENE_LIMIT));
    ledger_release(&r, r.slot, 0, 10);
    region_slot_release(&r, r.slot);
    region_close(&r);
    g_assert_cmpint(g_get_monotonic_time() - start, <, GOES_ON_US);
}

static uint64_t held_sum(const struct region *r, unsigned d)
{
    uint64_t sum = 0;
    for (int i = 0; i < 8; i++)
        sum += ledger_held(r, i, d);
    return sum;
}

/* `late`: the survivor's next operation comes before the reclaim and replaces
 * whatever tag the dead one has left in the word. */
static void check_survivor(struct region *r, bool late)
{
    gint64 start = g_get_monotonic_time();
    if (late)
        operate_beside(r);
    region_reclaim(r);
    g_assert_cmpuint(ledger_used(r, 0), ==, OTHERS);
    g_assert_cmpuint(ledger_used(r, 1), ==, 0);
    g_assert_cmpuint(held_sum(r, 0), ==, OTHERS);
    g_assert_cmpuint(scene_legacy_sum(r, 0), ==, OTHERS);
    g_assert_cmpint(r->base->proc_num, ==, 1);
    g_assert_cmpuint(atomic_load(&r->ext->slot_map[0]), ==, 1);
    g_assert_true(ledger_reserve(r, r->slot, 0, SCENE_LIMIT - OTHERS, SCENE_LIMIT));
    g_assert_false(ledger_reserve(r, r->slot, 0, 1, SCENE_LIMIT));
    ledger_release(r, r->slot, 0, SCENE_LIMIT - OTHERS);
    g_assert_cmpint(g_get_monotonic_time() - start, <, GOES_ON_US);
}

static unsigned every_instruction(const struct scene *s, const struct scenario *c, struct region *r)
{
    struct scene_random random = {scene_seed()};
    for (unsigned n = 1;; n++) {
        for (int late = 0; late < 2; late++) {
            if (!kill_at(s, c, (struct point){.steps = n}))
                return n;
            check_survivor(r, late);
        }
        kill_at(s, c, (struct point){.steps = n, .more = scene_random(&random) % 80, .beside = r});
        if (scene_random(&random) % 2)
            check_newcomer(s);
        check_survivor(r, scene_random(&random) % 2);
    }
}

static unsigned count_calls(const struct scene *s, const struct scenario *c)
{
    unsigned n = 0;
    while (kill_at(s, c, (struct point){.calls = n}))
        n++;
    return n;
}

static struct point random_point(struct scene_random *random, unsigned n_calls)
{
    return (struct point){.calls = scene_random(random) % n_calls, .steps = scene_random(random) % STEPS};
}

static unsigned sampled_instructions(const struct scene *s, const struct scenario *c, struct region *r)
{
    struct scene_random random = {scene_seed()};
    unsigned n_calls = count_calls(s, c), kills = 0;
    region_reclaim(r);
    for (unsigned i = 0; i < SAMPLES; i++) {
        if (!kill_at(s, c, random_point(&random, n_calls)))
            continue;
        if (scene_random(&random) % 2)
            check_newcomer(s);
        check_survivor(r, scene_random(&random) % 2);
        kills++;
    }
    return kills;
}

static void killed_at_every_instruction(struct scene *s, gconstpointer data)
{
    const struct scenario *c = data;
    struct region r;
    scene_join(s, &r);
    g_assert_true(ledger_reserve(&r, r.slot, 0, OTHERS, SCENE_LIMIT));
    unsigned n = c->sampled ? sampled_instructions(s, c, &r) : every_instruction(s, c, &r);
    g_test_message("%s: killed at %u instructions", c->name, n);
    region_slot_release(&r, r.slot);
    region_close(&r);
}

/* A file that is being created has no survivor to look at: whoever comes next
 * must find or make a good one. */
static void killed_while_creating_the_file(struct scene *s, gconstpointer unused)
{
    (void)unused;
    static const struct scenario create = {"create", nothing, step_open, true, true};
    struct scene_random random = {scene_seed()};
    unsigned n_calls = 0;
    for (; kill_at(s, &create, (struct point){.calls = n_calls}); n_calls++)
        unlink(s->path);
    for (unsigned i = 0; i < SAMPLES; i++) {
        struct region r;
        unlink(s->path);
        kill_at(s, &create, random_point(&random, n_calls));
        gint64 start = g_get_monotonic_time();
        scene_join(s, &r);
        g_assert_cmpint(g_get_monotonic_time() - start, <, GOES_ON_US);
        g_assert_cmpuint(r.base->limit[0], ==, SCENE_LIMIT);
        g_assert_cmpint(r.base->initialized_flag, ==, REGION_MAGIC);
        g_assert_true(ledger_reserve(&r, r.slot, 0, SCENE_LIMIT, SCENE_LIMIT));
        region_slot_release(&r, r.slot);
        region_close(&r);
    }
}

/* ---- the same steps as a measure ---- */

static void one_pair(const struct scene *s, struct region *r)
{
    (void)s;
    ledger_reserve(r, r->slot, 0, 70, SCENE_LIMIT);
    ledger_release(r, r->slot, 0, 70);
}

static void two_pairs(const struct scene *s, struct region *r)
{
    one_pair(s, r);
    one_pair(s, r);
}

static void take_and_peak(struct region *r)
{
    ledger_reserve(r, r->slot, 0, 5000, SCENE_LIMIT);
    ledger_release(r, r->slot, 0, 1000);
}

static unsigned length_of(const struct scene *s, void (*step)(const struct scene *, struct region *))
{
    struct scenario c = {"length", take_and_peak, step, false, false};
    unsigned low = 0, high = 4096; /* it is killed at low and gets through at high */
    while (high - low > 1) {
        unsigned middle = (low + high) / 2;
        *(kill_at(s, &c, (struct point){.steps = middle}) ? &low : &high) = middle;
    }
    return high;
}

static void pair_takes_at_most_320_instructions(struct scene *s, gconstpointer unused)
{
    (void)unused;
    unsigned n = length_of(s, two_pairs) - length_of(s, one_pair);
    g_test_message("reserve and release: %u instructions", n);
    g_assert_cmpuint(n, >, 20);
#ifdef __OPTIMIZE__
    g_assert_cmpuint(n, <=, 320);
#else
    g_test_skip("built without optimisation");
#endif
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (size_t i = 0; i < G_N_ELEMENTS(scenarios); i++) {
        char *name = g_strdup_printf("/kill/%s_at_%s_instruction", scenarios[i].name,
                                     scenarios[i].sampled ? "a_sampled" : "every");
        g_test_add(name, struct scene, &scenarios[i], scene_setup, killed_at_every_instruction,
                   scene_teardown);
        g_free(name);
    }
    g_test_add("/kill/create_at_a_sampled_instruction", struct scene, NULL, scene_setup,
               killed_while_creating_the_file, scene_teardown);
    g_test_add("/kill/pair_takes_at_most_320_instructions", struct scene, NULL, scene_setup,
               pair_takes_at_most_320_instructions, scene_teardown);
    return g_test_run();
}
