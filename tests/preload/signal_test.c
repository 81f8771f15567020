/* SPDX-License-Identifier: Apache-2.0
 *
 * Processes that signals interrupt all the time while they wait: for their
 * share, for the host, for the region's lock. Counted are the sleeps of the
 * library, which here end up in this program: one that a signal cut short may
 * begin again, once. Time is only asked for what must not come too early.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "compute_kernel.h"
#include "region/lock.h"
#include "region/region.h"

#define MS UINT64_C(1000000)
#define KERNEL_NS (2 * MS)
#define LAUNCHES 150
#define LIMIT 25

/* ---- what the library sleeps ---- */

static _Atomic unsigned sleeps;
static _Atomic unsigned signals;
static bool tells_first_sleep;

static void count_sleep(const void *caller)
{
    Dl_info info;
    if (dladdr(caller, &info) && info.dli_fname && strstr(info.dli_fname, "libvgpu") && sleeps++ == 0 &&
        tells_first_sleep)
        kit_tell("waits");
}

int nanosleep(const struct timespec *wanted, struct timespec *left);
int nanosleep(const struct timespec *wanted, struct timespec *left)
{
    count_sleep(__builtin_return_address(0));
    return (int)syscall(SYS_nanosleep, wanted, left);
}

int clock_nanosleep(clockid_t id, int flags, const struct timespec *due, struct timespec *left);
int clock_nanosleep(clockid_t id, int flags, const struct timespec *due, struct timespec *left)
{
    count_sleep(__builtin_return_address(0));
    return syscall(SYS_clock_nanosleep, id, flags, due, left) == 0 ? 0 : errno;
}

/* ---- the storm ---- */

static void on_signal(int number)
{
    (void)number;
    signals++;
}

/* Both to this thread, 2000 times a second and 500 times per second of its own work, without SA_RESTART. */
static void storm_begin(void)
{
    struct sigaction action = {.sa_handler = on_signal};
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGUSR1};
    struct itimerspec often = {.it_interval = {0, 500000}, .it_value = {0, 500000}};
    struct itimerval profile = {.it_interval = {0, 2000}, .it_value = {0, 2000}};
    timer_t timer;
    event._sigev_un._tid = (pid_t)syscall(SYS_gettid);
    if (sigaction(SIGUSR1, &action, NULL) || sigaction(SIGPROF, &action, NULL) ||
        timer_create(CLOCK_MONOTONIC, &event, &timer) || timer_settime(timer, 0, &often, NULL) ||
        setitimer(ITIMER_PROF, &profile, NULL))
        _exit(95);
}

static void storm_end(void)
{
    setitimer(ITIMER_PROF, &(struct itimerval){0}, NULL);
    signal(SIGUSR1, SIG_IGN);
}

static bool handlers_are_ours(void)
{
    struct sigaction now;
    return sigaction(SIGUSR1, NULL, &now) == 0 && now.sa_handler == on_signal &&
           sigaction(SIGPROF, NULL, &now) == 0 && now.sa_handler == on_signal;
}

/* ---- bodies: "result sleeps signals ms" ---- */

static void tell(int result, uint64_t since_ns)
{
    kit_tell("%d %u %u %u", handlers_are_ours() ? result : 94, sleeps, signals,
             (unsigned)((region_now_ns() - since_ns) / MS));
}

static int throttled(int argc, char **argv)
{
    (void)argc;
    CUresult result = CUDA_SUCCESS;
    kit_context(0);
    CUfunction f = kernel_of("sim_arg");
    CUstream stream = stream_new();
    for (int i = 0; i < 50; i++) /* what may be kept from before is used up, prices are known */
        if (launch_ns(f, KERNEL_NS, stream))
            return 1;
    if (kit_cuda()->cuStreamSynchronize(stream))
        return 2;
    if (strcmp(argv[0], "storm") == 0)
        storm_begin();
    else
        signal(SIGUSR1, on_signal), signal(SIGPROF, on_signal);
    sleeps = signals = 0;
    uint64_t since_ns = region_now_ns();
    for (int i = 0; i < LAUNCHES && !result; i++) {
        errno = 4242;
        result = launch_ns(f, KERNEL_NS, stream);
        if (errno != 4242)
            return 3;
    }
    tell(result ? (int)result : (int)kit_cuda()->cuStreamSynchronize(stream), since_ns);
    return 0;
}

static int suspended(int argc, char **argv)
{
    (void)argc, (void)argv;
    CUdeviceptr p;
    kit_context(0);
    storm_begin();
    kit_tell("ready");
    while (!kit_hear())
        ;
    sleeps = signals = 0;
    tells_first_sleep = true;
    uint64_t since_ns = region_now_ns();
    errno = 4242;
    CUresult result = kit_cuda()->cuMemAlloc_v2(&p, 1 << 20);
    tell(errno == 4242 ? (int)result : 93, since_ns);
    storm_end();
    return 0;
}

static int attaching(int argc, char **argv)
{
    (void)argc, (void)argv;
    CUdeviceptr p;
    kit_cuda();
    storm_begin();
    sleeps = signals = 0;
    tells_first_sleep = true;
    uint64_t since_ns = region_now_ns();
    kit_context(0);
    tell((int)kit_cuda()->cuMemAlloc_v2(&p, 1 << 20), since_ns);
    storm_end();
    kit_hear();
    return 0;
}

/* ---- tests ---- */

struct told {
    int result;
    unsigned sleeps, signals, ms;
};

static struct told heard(struct kit_process *p)
{
    struct told told;
    g_autofree char *line = kit_line(p);
    g_assert_nonnull(line);
    g_test_message("result, sleeps, signals, ms: %s", line);
    g_assert_cmpint(sscanf(line, "%d %u %u %u", &told.result, &told.sleeps, &told.signals, &told.ms), ==, 4);
    g_assert_cmpint(told.result, ==, CUDA_SUCCESS);
    return told;
}

static void end(struct kit *kit, struct kit_process *p)
{
    g_autofree char *err = NULL;
    g_assert_cmpint(kit_finish(p, NULL, &err), ==, 0);
    g_assert_cmpstr(err, ==, "");
    kit_free(kit);
}

static void throttled_process_keeps_its_share(void)
{
    static const char *const kinds[] = {"calm", "storm"};
    for (gsize i = 0; i < G_N_ELEMENTS(kinds); i++) {
        struct kit *kit = kit_new(NULL);
        kit_env(kit, "CUDA_DEVICE_SM_LIMIT", "%d", LIMIT);
        struct kit_process *p = kit_start(kit, "throttled", kinds[i], NULL);
        struct told told = heard(p);
        /* At least this long, however slow the machine: a tenth less for what may have been saved up. */
        g_assert_cmpuint(told.ms, >=, LAUNCHES * KERNEL_NS / MS * 100 / LIMIT * 9 / 10);
        g_assert_cmpuint(told.sleeps, <=, told.signals + 4 * LAUNCHES);
        g_assert_true(i == 0 ? told.signals == 0 : told.signals > 50);
        end(kit, p);
    }
}

static void says(struct kit_process *p, const char *word)
{
    g_autofree char *line = kit_line(p);
    g_assert_cmpstr(line, ==, word);
}

/* It answers within 20 ms, so it looks 50 times a second; at first more often. */
static void assert_no_busy_loop(const struct told *told)
{
    g_assert_cmpuint(told->sleeps, >, 0);
    g_assert_cmpuint(told->sleeps, <=, told->signals + told->ms / 2 + 10);
    g_assert_cmpuint(told->signals, >, 10);
}

static void suspended_process_waits_on(void)
{
    struct kit *kit = kit_new(NULL);
    struct kit_process *p = kit_start(kit, "suspended", NULL);
    says(p, "ready");
    g_assert_cmpint(region_set_suspended(kit_region(kit), true), ==, 0);
    kit_say(p, "go");
    says(p, "waits");
    g_usleep(400000);
    g_assert_cmpint(region_set_suspended(kit_region(kit), false), ==, 0);
    struct told told = heard(p);
    g_assert_cmpuint(told.ms, >=, 250); /* it may have begun late, not ended early */
    assert_no_busy_loop(&told);
    end(kit, p);
}

static void process_that_joins_waits_for_the_lock(void)
{
    struct kit *kit = kit_new(NULL);
    int fd = open(kit_region(kit), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    g_assert_cmpint(region_lock(fd, F_WRLCK, REGION_LOCK_INIT), ==, 0);
    struct kit_process *p = kit_start(kit, "attaching", NULL);
    says(p, "waits");
    g_usleep(400000);
    g_assert_cmpint(region_lock(fd, F_UNLCK, REGION_LOCK_INIT), ==, 0);
    struct told told = heard(p);
    g_assert_cmpuint(told.ms, >=, 250);
    assert_no_busy_loop(&told);
    static struct region_view view;
    g_assert_cmpint(region_read(kit_region(kit), &view), ==, 0);
    g_assert_cmpuint(view.n_processes, ==, 1); /* in the region, not on its own */
    close(fd);
    kit_say(p, "end");
    end(kit, p);
}

int main(int argc, char **argv)
{
    static const struct kit_body bodies[] = {
        {"throttled", throttled}, {"suspended", suspended}, {"attaching", attaching}, {0}};
    if (kit_is_child(argc, argv))
        return kit_child(argc, argv, bodies);
    g_test_init(&argc, &argv, NULL);
#define TEST(name) g_test_add_func("/signal/" #name, name)
    TEST(throttled_process_keeps_its_share);
    TEST(suspended_process_waits_on);
    TEST(process_that_joins_waits_for_the_lock);
    return g_test_run();
}
