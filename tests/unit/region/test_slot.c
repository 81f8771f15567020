/* SPDX-License-Identifier: Apache-2.0
 *
 * Slots: who gets which, who counts as dead, and what dying gives back.
 */
#include "scene.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "region/lock.h"

#define SKIPPED 77

/* A child that joins and takes bytes, then does as `then` says. */
struct holder {
    const struct scene *s;
    struct scene_flag *held; /* counts children that have joined */
    uint64_t bytes;
    int (*then)(struct region *r);
    const char *name;
};

static int hold(void *arg)
{
    const struct holder *h = arg;
    struct region r;
    if (h->name)
        prctl(PR_SET_NAME, h->name);
    if (region_open(&r, h->s->path, &h->s->limits) < 0 || region_slot_claim(&r) < 0)
        return 1;
    if (!ledger_reserve(&r, r.slot, 0, h->bytes, SCENE_LIMIT))
        return 2;
    scene_flag_set(h->held, atomic_load(&h->held->value) + 1);
    if (h->then)
        return h->then(&r);
    scene_pause();
}

static pid_t start(struct holder *h)
{
    uint32_t before = atomic_load(&h->held->value);
    pid_t pid = scene_fork(hold, h);
    scene_flag_wait(h->held, before + 1);
    return pid;
}

static struct holder holder_of(const struct scene *s, uint64_t bytes)
{
    return (struct holder){.s = s, .held = scene_flag_new(), .bytes = bytes};
}

static void stale_slots_keep_a_neighbours_accounting_exact(struct scene *s, gconstpointer unused)
{
    (void)unused;
    struct holder h = holder_of(s, 100000);
    pid_t p1 = start(&h), p2 = start(&h);
    struct region p4;
    scene_join(s, &p4);
    g_assert_cmpint(p4.slot, ==, 2);
    g_assert_true(ledger_reserve(&p4, p4.slot, 0, 200000, SCENE_LIMIT));
    scene_kill(p1);
    scene_kill(p2);
    pid_t p3 = start(&h);
    g_assert_cmpint(p4.slot, ==, 2);
    g_assert_true(region_slot_intact(&p4));
    g_assert_cmpuint(ledger_held(&p4, p4.slot, 0), ==, 200000);
    g_assert_cmpuint(p4.base->procs[2].used[0].total, ==, 200000);
    g_assert_false(ledger_reserve_or_reclaim(&p4, p4.slot, 0, 900000, SCENE_LIMIT));
    region_reclaim(&p4);
    g_assert_cmpuint(ledger_used(&p4, 0), ==, 300000);
    g_assert_true(ledger_reserve(&p4, p4.slot, 0, 700000, SCENE_LIMIT));
    g_assert_false(ledger_reserve(&p4, p4.slot, 0, 1, SCENE_LIMIT));
    scene_kill(p3);
    region_close(&p4);
    scene_flag_free(h.held);
}

static void killed_process_is_reclaimed_at_the_next_need(struct scene *s, gconstpointer unused)
{
    (void)unused;
    struct holder h = holder_of(s, SCENE_LIMIT);
    struct region r;
    pid_t p = start(&h);
    scene_join(s, &r);
    scene_kill(p);
    g_assert_false(ledger_reserve(&r, r.slot, 0, 1, SCENE_LIMIT));
    g_assert_true(ledger_reserve_or_reclaim(&r, r.slot, 0, SCENE_LIMIT, SCENE_LIMIT));
    g_assert_cmpuint(scene_legacy_sum(&r, 0), ==, SCENE_LIMIT);
    region_close(&r);
    scene_flag_free(h.held);
}

static int leave_by_exit(struct region *r)
{
    (void)r;
    return 0;
}

static int leave_by_release(struct region *r)
{
    region_slot_release(r, r->slot);
    scene_pause();
}

static int leave_by_exec(struct region *r)
{
    (void)r;
    execl("/bin/sleep", "sleep", "60", NULL);
    return 1;
}

static const struct way {
    const char *what;
    int (*then)(struct region *);
} ways[] = {
    {"exit", leave_by_exit},
    {"release", leave_by_release},
    {"exec", leave_by_exec},
};

/* Waits until the other side of an exec or exit has happened. */
static void wait_until_given_back(struct region *r)
{
    for (int i = 0; i < 2000 && ledger_used(r, 0) > 0; i++) {
        region_reclaim(r);
        g_usleep(1000);
    }
}

static void usage_returns_to_zero_after(struct scene *s, gconstpointer data)
{
    const struct way *way = data;
    struct holder h = holder_of(s, 1000);
    struct region r;
    h.then = way->then;
    pid_t p = start(&h);
    scene_join(s, &r);
    wait_until_given_back(&r);
    g_assert_cmpuint(ledger_used(&r, 0), ==, 0);
    g_assert_cmpuint(scene_legacy_sum(&r, 0), ==, 0);
    scene_kill(p);
    region_close(&r);
    scene_flag_free(h.held);
}

static void zombie_is_dead(struct scene *s, gconstpointer unused)
{
    (void)unused;
    struct holder h = holder_of(s, 1000);
    struct region r;
    siginfo_t info;
    h.then = leave_by_exit;
    pid_t p = start(&h);
    waitid(P_PID, (id_t)p, &info, WEXITED | WNOWAIT); /* dead, but not reaped */
    scene_join(s, &r);
    region_reclaim(&r);
    g_assert_cmpuint(ledger_used(&r, 0), ==, 0);
    scene_wait(p);
    region_close(&r);
    scene_flag_free(h.held);
}

static void *sleep_in_thread(void *unused)
{
    (void)unused;
    scene_pause();
}

static int leave_only_the_leader(struct region *r)
{
    pthread_t t;
    (void)r;
    pthread_create(&t, NULL, sleep_in_thread, NULL);
    pthread_exit(NULL);
}

static char state_of(pid_t pid)
{
    char path[64], text[512] = {0}, state = '?';
    uint64_t threads, start_ticks;
    g_snprintf(path, sizeof path, "/proc/%d/stat", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = read(fd, text, sizeof text);
    close(fd);
    g_assert_true(n > 0 && region_stat_parse(text, (size_t)n, &state, &threads, &start_ticks));
    return state;
}

static void process_whose_first_thread_left_is_alive(struct scene *s, gconstpointer unused)
{
    (void)unused;
    struct holder h = holder_of(s, 1000);
    struct region r;
    h.then = leave_only_the_leader;
    pid_t p = start(&h);
    while (state_of(p) != 'Z')
        g_usleep(1000);
    scene_join(s, &r);
    g_assert_cmpint(region_reclaim(&r), ==, 0);
    g_assert_cmpuint(ledger_used(&r, 0), ==, 1000);
    scene_kill(p);
    g_assert_cmpint(region_reclaim(&r), ==, 1);
    region_close(&r);
    scene_flag_free(h.held);
}

static void process_with_a_strange_name_is_alive(struct scene *s, gconstpointer data)
{
    struct holder h = holder_of(s, 1000);
    struct region r;
    h.name = data;
    pid_t p = start(&h);
    scene_join(s, &r);
    g_assert_cmpint(region_reclaim(&r), ==, 0);
    g_assert_cmpuint(ledger_used(&r, 0), ==, 1000);
    scene_kill(p);
    g_assert_cmpint(region_reclaim(&r), ==, 1);
    region_close(&r);
    scene_flag_free(h.held);
}

static int close_all_files(struct region *r)
{
    int last = r->fd > 100 ? r->fd : 100;
    for (int fd = 3; fd <= last; fd++)
        close(fd);
    atomic_store(&r->ext->members[r->slot].seen_ns, 0); /* tells the test */
    scene_pause();
}

static void daemon_that_closed_all_files_is_alive(struct scene *s, gconstpointer unused)
{
    (void)unused;
    struct holder h = holder_of(s, 1000);
    struct region r;
    h.then = close_all_files;
    pid_t p = start(&h);
    scene_join(s, &r);
    while (atomic_load(&r.ext->members[0].seen_ns) != 0)
        g_usleep(1000);
    g_assert_cmpint(region_reclaim(&r), ==, 0);
    g_assert_cmpuint(ledger_used(&r, 0), ==, 1000);
    scene_kill(p);
    g_assert_cmpint(region_reclaim(&r), ==, 1);
    region_close(&r);
    scene_flag_free(h.held);
}

/* One that sizes its pools by what is free must not count its dead sibling. */
static void who_asks_what_is_used_is_not_told_of_the_dead(struct scene *s, gconstpointer unused)
{
    (void)unused;
    struct holder h = holder_of(s, 1000);
    struct region r;
    scene_join(s, &r);
    ledger_reserve(&r, r.slot, 0, 500, SCENE_LIMIT);
    pid_t p = start(&h);
    g_assert_cmpuint(ledger_used_by_living(&r, 0), ==, 1500);
    scene_kill(p);
    atomic_store(&r.queried_ns, 0); /* as if it had last asked long ago */
    g_assert_cmpuint(ledger_used_by_living(&r, 0), ==, 500);
    g_assert_cmpuint(ledger_used(&r, 0), ==, 500);
    region_close(&r);
    scene_flag_free(h.held);
}

/* A daemon's descriptors are other files now; what it asks them must neither
 * declare its neighbours dead nor touch those files. */
static int look_through_other_files(struct region *r)
{
    char text[] = "/tmp/hami-region-other-XXXXXX";
    int last = r->fd, fd;
    for (fd = 3; fd <= last; fd++)
        close(fd);
    int other = mkstemp(text);
    unlink(text);
    while (other >= 0 && other < last)
        other = dup(other);
    if (other != last || region_owns_fd(r))
        return 1;
    if (region_reclaim(r) != 0 || region_reclaim_quick(r) != 0)
        return 2;
    ledger_reserve_or_reclaim(r, r->slot, 0, SCENE_LIMIT, SCENE_LIMIT);
    region_slot_release(r, r->slot);
    if (!ledger_reserve(r, r->slot, 0, 5, SCENE_LIMIT))
        return 3; /* the account goes on working */
    region_close(r);
    return write(last, "x", 1) == 1 ? 0 : 4;
}

static void daemon_whose_descriptor_is_another_file_harms_nobody(struct scene *s, gconstpointer unused)
{
    (void)unused;
    struct holder h = holder_of(s, 1000);
    struct region r;
    scene_join(s, &r);
    ledger_reserve(&r, r.slot, 0, 500, SCENE_LIMIT);
    h.then = look_through_other_files;
    g_assert_cmpint(scene_wait(start(&h)), ==, 0);
    g_assert_true(region_slot_intact(&r));
    g_assert_cmpuint(ledger_held(&r, r.slot, 0), ==, 500);
    region_reclaim(&r);
    g_assert_cmpuint(ledger_used(&r, 0), ==, 500);
    region_close(&r);
    scene_flag_free(h.held);
}

/* ---- other pid namespaces ---- */

static int hold_in_namespace(void *arg)
{
    if (unshare(CLONE_NEWPID) < 0)
        return SKIPPED;
    pid_t child = fork();
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        _exit(hold(arg));
    }
    return scene_wait(child) < 0 ? 0 : 1;
}

static void nested_pid_namespace_is_judged_by_its_lock(struct scene *s, gconstpointer unused)
{
    (void)unused;
    struct holder h = holder_of(s, 1000);
    struct region r;
    pid_t p = scene_fork(hold_in_namespace, &h);
    for (int i = 0; i < 5000 && atomic_load(&h.held->value) == 0 && waitpid(p, NULL, WNOHANG) == 0; i++)
        g_usleep(1000);
    if (atomic_load(&h.held->value) == 0) {
        g_test_skip("cannot make a pid namespace here");
        return;
    }
    scene_join(s, &r);
    g_assert_cmpint(r.base->procs[0].pid, ==, 1);
    g_assert_cmpint(region_reclaim(&r), ==, 0);
    g_assert_cmpuint(ledger_used(&r, 0), ==, 1000);
    scene_kill(p); /* and with it its child */
    wait_until_given_back(&r);
    g_assert_cmpuint(ledger_used(&r, 0), ==, 0);
    region_close(&r);
    scene_flag_free(h.held);
}

/* ---- fork ---- */

static int use_as_child(void *arg)
{
    struct region *inherited = arg;
    int parents = inherited->slot;
    region_slot_release(inherited, parents); /* not ours: nothing happens */
    region_close(inherited);
    return 0;
}

static void forks_child_leaves_its_parents_slot_alone(struct scene *s, gconstpointer unused)
{
    (void)unused;
    struct region r;
    scene_join(s, &r);
    ledger_reserve(&r, r.slot, 0, 1000, SCENE_LIMIT);
    g_assert_cmpint(scene_wait(scene_fork(use_as_child, &r)), ==, 0);
    g_assert_true(region_slot_intact(&r));
    g_assert_cmpuint(ledger_used(&r, 0), ==, 1000);
    g_assert_true(region_is_attached(s->path) == 1);
    struct region other;
    scene_join(s, &other);
    g_assert_cmpint(region_reclaim(&other), ==, 0);
    region_close(&other);
    region_close(&r);
}

static int fork_and_vanish(struct region *r)
{
    (void)r;
    if (fork() == 0)
        scene_pause(); /* keeps the inherited descriptor open */
    return 0;
}

static void kill_orphan(void)
{
    char *children = NULL, *path = g_strdup_printf("/proc/self/task/%d/children", getpid());
    if (g_file_get_contents(path, &children, NULL, NULL) && atoi(children) > 0)
        scene_kill(atoi(children));
    g_free(children);
    g_free(path);
}

/* The slot's owner is gone, its child still has the descriptor and with it the
 * lock; `pid` is put in the owner's place if it is not 0. */
static void inherited_lock(const struct scene *s, pid_t pid)
{
    struct holder h = holder_of(s, 1000);
    struct region r;
    h.then = fork_and_vanish;
    scene_wait(start(&h));
    g_assert_cmpint(region_open(&r, s->path, &s->limits), ==, 0); /* joining would reclaim at once */
    g_assert_true(region_lock_held(r.fd, REGION_LOCK_LIFE, 1));
    if (pid)
        __atomic_store_n(&r.base->procs[0].pid, pid, __ATOMIC_SEQ_CST);
    region_reclaim(&r);
    g_assert_cmpuint(ledger_used(&r, 0), ==, 0);
    region_close(&r);
    scene_flag_free(h.held);
}

static void parents_slot_is_reclaimed_though_a_child_kept_its_descriptor(struct scene *s,
                                                                         gconstpointer unused)
{
    (void)unused;
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    inherited_lock(s, 0);
    kill_orphan();
    prctl(PR_SET_CHILD_SUBREAPER, 0);
}

static void reused_pid_is_not_taken_for_the_dead(struct scene *s, gconstpointer unused)
{
    (void)unused;
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    inherited_lock(s, 1); /* runs, but started at another time */
    kill_orphan();
    prctl(PR_SET_CHILD_SUBREAPER, 0);
}

static int generation(struct region *r, const struct scene *s, int left)
{
    region_close(r);
    if (region_open(r, s->path, &s->limits) < 0 || region_slot_claim(r) < 0)
        return 1;
    if (!ledger_reserve(r, r->slot, 0, 1000, SCENE_LIMIT))
        return 2;
    if (r->fd > 20)
        return 3; /* descriptors pile up */
    if (left == 0)
        return 0;
    pid_t pid = fork();
    if (pid == 0)
        _exit(generation(r, s, left - 1));
    return scene_wait(pid);
}

static int hundred_generations(void *arg)
{
    struct region r = {.fd = -1, .slot = -1};
    return generation(&r, arg, 100);
}

static void hundred_generations_of_forks_leak_nothing(struct scene *s, gconstpointer unused)
{
    (void)unused;
    struct region r;
    g_assert_cmpint(scene_wait(scene_fork(hundred_generations, s)), ==, 0);
    scene_join(s, &r);
    region_reclaim(&r);
    g_assert_cmpuint(ledger_used(&r, 0), ==, 0);
    g_assert_cmpint(r.base->proc_num, ==, r.slot + 1);
    region_close(&r);
}

/* ---- what an older monitor sees ---- */

static void proc_num_follows_the_highest_slot_both_ways(struct scene *s, gconstpointer unused)
{
    (void)unused;
    struct region a, b, c;
    scene_join(s, &a);
    scene_join(s, &b);
    scene_join(s, &c);
    g_assert_cmpint(a.base->proc_num, ==, 3);
    g_assert_cmpint(a.base->procs[1].status, ==, REGION_SLOT_RUNNING);
    region_slot_release(&b, b.slot);
    g_assert_cmpint(a.base->proc_num, ==, 3);
    g_assert_cmpint(a.base->procs[1].status, ==, REGION_SLOT_FREE);
    g_assert_cmpint(a.base->procs[1].pid, ==, 0);
    g_assert_cmpint(a.base->procs[2].pid, ==, getpid()); /* did not move */
    region_slot_release(&c, c.slot);
    g_assert_cmpint(a.base->proc_num, ==, 1);
    g_assert_cmpint(region_slot_claim(&c), ==, 1); /* the lowest one free */
    region_slot_release(&a, a.slot);
    g_assert_cmpint(b.base->proc_num, ==, 2);
    region_close(&a);
    region_close(&b);
    region_close(&c);
}

static void freed_slot_leaves_no_figures(struct scene *s, gconstpointer unused)
{
    (void)unused;
    struct region a;
    static const struct region_slot zero;
    scene_join(s, &a);
    ledger_reserve(&a, a.slot, 0, 5, 0);
    a.base->procs[0].monitorused[1] = 7;
    a.base->procs[0].device_util[1].sm = 7;
    a.base->procs[0].hostpid = 7;
    region_slot_release(&a, a.slot);
    g_assert_true(memcmp(&a.base->procs[0], &zero, sizeof zero) == 0);
    region_close(&a);
}

static void slot_taken_away_is_noticed(struct scene *s, gconstpointer unused)
{
    (void)unused;
    struct region a;
    scene_join(s, &a);
    g_assert_true(region_slot_intact(&a));
    a.base->procs[0].pid = 1;
    g_assert_false(region_slot_intact(&a));
    region_close(&a);
}

static void garbage_in_the_map_costs_nothing_but_a_look(struct scene *s, gconstpointer unused)
{
    (void)unused;
    struct region a, b;
    scene_join(s, &a);
    memset(a.ext->slot_map, 0xff, sizeof a.ext->slot_map);
    scene_join(s, &b);
    g_assert_cmpint(b.slot, !=, a.slot);
    memset(a.ext->slot_map, 0, sizeof a.ext->slot_map);
    struct region c;
    scene_join(s, &c);
    g_assert_cmpint(c.slot, !=, a.slot); /* live slots are not given out twice */
    g_assert_cmpint(c.slot, !=, b.slot);
    region_close(&a);
    region_close(&b);
    region_close(&c);
}

/* ---- reading /proc ---- */

static const struct stat_text {
    const char *text;
    bool ok;
    char state;
    uint64_t threads, start;
} stat_texts[] = {
    {"1 (sh) S 0 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 3 0 777 9", true, 'S', 3, 777},
    {"1 (a b) Z) R 0 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 42", true, 'R', 1, 42},
    {"1 () Z 0 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 42\n", true, 'Z', 1, 42},
    {"1 (((() X 0 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 42", true, 'X', 1, 42},
    {"", false, 0, 0, 0},
    {"1 (sh", false, 0, 0, 0},
    {"1 (sh)", false, 0, 0, 0},
    {"1 (sh) S 0 1 1", false, 0, 0, 0},
    {"1 (sh) S 0 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 3 0 x", false, 0, 0, 0},
};

static void process_stat_is_parsed_whatever_the_name(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(stat_texts); i++) {
        const struct stat_text *row = &stat_texts[i];
        char state = 0;
        uint64_t threads = 0, start_ticks = 0;
        g_assert_true(region_stat_parse(row->text, strlen(row->text), &state, &threads, &start_ticks) ==
                      row->ok);
        if (row->ok) {
            g_assert_cmpint(state, ==, row->state);
            g_assert_cmpuint(threads, ==, row->threads);
            g_assert_cmpuint(start_ticks, ==, row->start);
        }
    }
}

static const struct reply {
    const char *name;
    char bytes[16];
    size_t n;
    int32_t pid;
} replies[] = {
    {"decimal", "4242", 4, 4242},
    {"decimal and a line's end", "4242\n", 5, 4242},
    {"decimal and NUL", "31337", 6, 31337},
    {"one digit", "7", 1, 7},
    {"three digits and a line's end", "123\n", 4, 123},
    {"the largest", "4194303", 7, 4194303},
    {"a number", "\x92\x10\0", 4, 4242},
    {"a number whose first byte is a digit's", "\x31\x45\x02", 4, 0x024531},
    {"a number that begins with two digits", "42\x03", 4, 0x033234},
    {"more than there can be", "4194304", 7, 0},
    {"far more than there can be", "42949672960001", 14, 0},
    {"a number that is too large", "\0\0\x40", 4, 0},
    {"a negative number", "\xff\xff\xff\xff", 4, 0},
    {"a number of none", "\0\0\0", 4, 0},
    {"half a number", "\x92\x10", 2, 0},
    {"a word", "nonsense", 8, 0},
    {"a word behind it", "4242x", 5, 0},
    {"a minus", "-4242", 5, 0},
    {"nothing", "", 0, 0},
};

static void reply_of_a_broker_is_a_pid_or_nothing(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(replies); i++) {
        g_autofree char *exact = g_memdup2(replies[i].bytes, replies[i].n);
        g_test_message("%s", replies[i].name);
        g_assert_cmpint(region_hostpid_parse(exact, replies[i].n), ==, replies[i].pid);
    }
}

int main(int argc, char **argv)
{
    static const char *const names[] = {"a b", "Z) Z 0 (", ") R 1", "", "))))", "x\ny"};
    g_test_init(&argc, &argv, NULL);
#define TEST(name) g_test_add("/slot/" #name, struct scene, NULL, scene_setup, name, scene_teardown)
    TEST(stale_slots_keep_a_neighbours_accounting_exact);
    TEST(killed_process_is_reclaimed_at_the_next_need);
    TEST(zombie_is_dead);
    TEST(process_whose_first_thread_left_is_alive);
    TEST(reused_pid_is_not_taken_for_the_dead);
    TEST(who_asks_what_is_used_is_not_told_of_the_dead);
    TEST(daemon_that_closed_all_files_is_alive);
    TEST(daemon_whose_descriptor_is_another_file_harms_nobody);
    TEST(nested_pid_namespace_is_judged_by_its_lock);
    TEST(forks_child_leaves_its_parents_slot_alone);
    TEST(parents_slot_is_reclaimed_though_a_child_kept_its_descriptor);
    TEST(hundred_generations_of_forks_leak_nothing);
    TEST(proc_num_follows_the_highest_slot_both_ways);
    TEST(freed_slot_leaves_no_figures);
    TEST(slot_taken_away_is_noticed);
    TEST(garbage_in_the_map_costs_nothing_but_a_look);
#undef TEST
    for (size_t i = 0; i < G_N_ELEMENTS(ways); i++) {
        char *name = g_strdup_printf("/slot/usage_returns_to_zero_after_%s", ways[i].what);
        g_test_add(name, struct scene, &ways[i], scene_setup, usage_returns_to_zero_after, scene_teardown);
        g_free(name);
    }
    for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
        char *name = g_strdup_printf("/slot/process_with_a_strange_name_is_alive/%zu", i);
        g_test_add(name, struct scene, names[i], scene_setup, process_with_a_strange_name_is_alive,
                   scene_teardown);
        g_free(name);
    }
    g_test_add_func("/slot/process_stat_is_parsed_whatever_the_name",
                    process_stat_is_parsed_whatever_the_name);
    g_test_add_func("/slot/reply_of_a_broker_is_a_pid_or_nothing", reply_of_a_broker_is_a_pid_or_nothing);
    return g_test_run();
}
