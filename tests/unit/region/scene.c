/* SPDX-License-Identifier: Apache-2.0 */
#include "scene.h"

#include <errno.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "region/lock.h"

void scene_setup(struct scene *s, gconstpointer unused)
{
    (void)unused;
    s->folder = g_dir_make_tmp("hami-region-XXXXXX", NULL);
    g_assert_nonnull(s->folder);
    s->path = g_build_filename(s->folder, "vgpu.cache", NULL);
    s->limits = (struct region_limits){.n_devices = 2,
                                       .uuids = {"GPU-0", "GPU-1"},
                                       .mem_bytes = {SCENE_LIMIT, 0},
                                       .cores_pct = {30, 0},
                                       .source = REGION_SOURCE_ENV};
}

void scene_teardown(struct scene *s, gconstpointer unused)
{
    (void)unused;
    unlink(s->path);
    rmdir(s->folder);
    g_free(s->path);
    g_free(s->folder);
}

void scene_join(const struct scene *s, struct region *r)
{
    *r = (struct region){0};
    g_assert_cmpint(region_open(r, s->path, &s->limits), ==, 0);
    g_assert_cmpint(region_slot_claim(r), >=, 0);
}

pid_t scene_fork(int (*body)(void *arg), void *arg)
{
    fflush(NULL);
    pid_t parent = getpid();
    pid_t pid = fork();
    g_assert_cmpint(pid, >=, 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* nothing outlives the test */
        _exit(getppid() == parent ? body(arg) : 1);
    }
    return pid;
}

int scene_wait(pid_t pid)
{
    int status;
    while (waitpid(pid, &status, 0) < 0)
        g_assert_cmpint(errno, ==, EINTR);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

void scene_kill(pid_t pid)
{
    kill(pid, SIGKILL);
    scene_wait(pid);
}

_Noreturn void scene_pause(void)
{
    for (;;)
        pause();
}

bool scene_advance(pid_t pid, enum __ptrace_request request, unsigned n)
{
    int status;
    for (unsigned i = 0; i < n; i++) {
        g_assert_cmpint(ptrace(request, pid, NULL, NULL), ==, 0);
        g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
        if (WIFEXITED(status)) {
            g_assert_cmpint(WEXITSTATUS(status), ==, 0);
            return false;
        }
        g_assert_true(WIFSTOPPED(status) && WSTOPSIG(status) == SIGTRAP);
    }
    return true;
}

/* On the processor where it is. */
static int keep_busy(void *arg)
{
    const uint64_t *end_ns = arg;
    while (region_now_ns() < *end_ns)
        ;
    return 0;
}

pid_t scene_starve(uint64_t ms)
{
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET((unsigned)sched_getcpu(), &one);
    uint64_t end_ns = region_now_ns() + ms * 1000000;
    g_assert_cmpint(sched_setaffinity(0, sizeof one, &one), ==, 0);
    pid_t pid = scene_fork(keep_busy, &end_ns);
    g_assert_cmpint(sched_setscheduler(0, SCHED_IDLE, &(struct sched_param){0}), ==, 0);
    return pid;
}

void scene_work_starved(void)
{
    const long enough_ns = 60000000; /* ten times what it is given beside somebody in a second */
    struct timespec t;
    do
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    while (t.tv_sec == 0 && t.tv_nsec < enough_ns);
}

struct scene_flag *scene_flag_new(void)
{
    void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    g_assert_true(p != MAP_FAILED);
    return p;
}

void scene_flag_set(struct scene_flag *f, uint32_t value)
{
    atomic_store(&f->value, value);
    syscall(SYS_futex, &f->value, FUTEX_WAKE, G_MAXINT, NULL, NULL, 0);
}

void scene_flag_wait(struct scene_flag *f, uint32_t value)
{
    uint32_t now;
    while ((now = atomic_load(&f->value)) < value)
        syscall(SYS_futex, &f->value, FUTEX_WAIT, now, NULL, NULL, 0);
}

void scene_flag_free(struct scene_flag *f)
{
    munmap(f, 4096);
}

uint64_t scene_seed(void)
{
    const char *text = g_getenv("HAMI_TEST_SEED");
    uint64_t seed = text ? g_ascii_strtoull(text, NULL, 0) : (uint64_t)time(NULL);
    g_test_message("HAMI_TEST_SEED=%" G_GUINT64_FORMAT, seed);
    return seed;
}

uint32_t scene_random(struct scene_random *r)
{
    r->state += 0x9e3779b97f4a7c15u;
    uint64_t z = (r->state ^ r->state >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return (uint32_t)(z >> 32);
}

uint64_t scene_legacy_sum(const struct region *r, unsigned d)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < REGION_SLOTS; i++)
        sum += r->base->procs[i].used[d].total;
    return sum;
}
