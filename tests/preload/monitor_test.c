/* SPDX-License-Identifier: Apache-2.0
 *
 * What a monitor sees and does through the region: activity, blocking,
 * suspending; and the helper thread, which exists for it.
 */
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "compute_kernel.h"
#include "region/extension.h"
#include "region/region.h"
#include "support.h"

static const char image[] =
    ".version 7.0\n.target sm_50\n.address_size 64\n.visible .entry spin()\n{\nret;\n}\n";

/* ---- bodies ---- */

static CUfunction kernel(void)
{
    CUmodule module;
    CUfunction function;
    const struct real_cuda *cu = kit_cuda();
    kit_context(0);
    if (cu->cuModuleLoadData(&module, image) != CUDA_SUCCESS ||
        cu->cuModuleGetFunction(&function, module, "spin") != CUDA_SUCCESS)
        _exit(96);
    return function;
}

static CUresult launch(CUfunction f)
{
    return kit_cuda()->cuLaunchKernel(f, 1, 1, 1, 1, 1, 1, 0, NULL, NULL, NULL);
}

/* Launches once per line heard and tells the result. */
static int launch_on_demand(int argc, char **argv)
{
    (void)argc, (void)argv;
    CUfunction f = kernel();
    kit_tell("ready");
    while (kit_hear())
        kit_tell("%d", launch(f));
    return 0;
}

/* Kernels of 2 ms, one after the other, argv[0] microseconds apart, until the
 * parent has something to say; then it stays. */
static int flood(int argc, char **argv)
{
    const gulong pause_us = argc > 0 ? (gulong)atoi(argv[0]) : 0;
    kit_context(0);
    struct pollfd parent = {.fd = STDIN_FILENO, .events = POLLIN};
    CUfunction f = kernel_of("sim_arg");
    CUstream stream = stream_new();
    kit_tell("ready");
    while (poll(&parent, 1, 0) == 0) {
        if (launch_ns(f, 2000000, stream) || kit_cuda()->cuStreamSynchronize(stream))
            return 1;
        if (pause_us)
            g_usleep(pause_us);
    }
    kit_hear();
    kit_tell("quiet");
    kit_hear();
    return 0;
}

static int allocate_on_demand(int argc, char **argv)
{
    (void)argc, (void)argv;
    kit_context(0);
    kit_tell("ready");
    while (kit_hear()) {
        CUdeviceptr p;
        kit_tell("%d", kit_cuda()->cuMemAlloc_v2(&p, 1 << 20));
    }
    return 0;
}

/* ---- helpers of the tests ---- */

static int32_t read_i32(struct kit *kit, size_t offset)
{
    int32_t value = 0;
    int fd = open(kit_region(kit), O_RDONLY | O_CLOEXEC);
    g_assert_cmpint(pread(fd, &value, sizeof value, (off_t)offset), ==, sizeof value);
    close(fd);
    return value;
}

static void write_i32(struct kit *kit, size_t offset, int32_t value)
{
    int fd = open(kit_region(kit), O_RDWR | O_CLOEXEC);
    g_assert_cmpint(pwrite(fd, &value, sizeof value, (off_t)offset), ==, sizeof value);
    close(fd);
}

#define RECENT offsetof(struct region_base, recent_kernel)

static int64_t utilization_of(struct kit *kit, int slot)
{
    int64_t percent = -1;
    int fd = open(kit_region(kit), O_RDONLY | O_CLOEXEC);
    off_t at = (off_t)(offsetof(struct region_base, procs) + (size_t)slot * sizeof(struct region_slot) +
                       offsetof(struct region_slot, device_util) + offsetof(struct region_util, sm));
    g_assert_cmpint(pread(fd, &percent, sizeof percent, at), ==, sizeof percent);
    close(fd);
    return percent;
}

static int64_t utilization(struct kit *kit)
{
    return utilization_of(kit, 0);
}

/* Waits for a condition for up to five seconds. */
#define EVENTUALLY(condition)                                                                                \
    do {                                                                                                     \
        gint64 until_ = g_get_monotonic_time() + 5 * G_USEC_PER_SEC;                                         \
        while (!(condition) && g_get_monotonic_time() < until_)                                              \
            g_usleep(5000);                                                                                  \
        g_assert_true(condition);                                                                            \
    } while (0)

static unsigned threads_of(const struct kit_process *p, const char *name)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/task", kit_pid(p));
    unsigned n = 0;
    GDir *dir = g_dir_open(path, 0, NULL);
    for (const char *task; dir && (task = g_dir_read_name(dir));) {
        g_autofree char *comm_path = g_strdup_printf("%s/%s/comm", path, task), *comm = NULL;
        if (!name || (g_file_get_contents(comm_path, &comm, NULL, NULL) && g_str_has_prefix(comm, name)))
            n++;
    }
    g_dir_close(dir);
    return n;
}

static void ask(struct kit_process *p)
{
    kit_say(p, "go");
}

static void expect(struct kit_process *p, const char *line)
{
    g_autofree char *got = kit_line(p);
    g_assert_cmpstr(got, ==, line);
}

static struct kit_process *ready(struct kit *kit, const char *body)
{
    struct kit_process *p = kit_start(kit, body, NULL);
    expect(p, "ready");
    return p;
}

static void end(struct kit *kit, struct kit_process *p)
{
    g_assert_cmpint(kit_finish(p, NULL, NULL), ==, 0);
    kit_free(kit);
}

/* A process that waits sleeps in nanosleep and answers nothing. */
static bool is_waiting(struct kit *kit, const struct kit_process *p)
{
    static struct region_view view;
    if (region_read(kit_region(kit), &view) != 0)
        return false;
    for (unsigned i = 0; i < view.n_processes; i++)
        if (view.processes[i].pid == kit_pid(p))
            return view.processes[i].status == REGION_SLOT_SUSPENDED;
    return false;
}

/* ---- tests ---- */

/* A monitor that finds one tenant alone turns its switch off. What it counts as active must not end with
 * that, or it never finds two tenants again. */
static void activity_is_published_whatever_limits(void)
{
    static const struct {
        const char *limit, *policy;
        int32_t utilization_switch;
    } rows[] = {{NULL, NULL, 1},      {NULL, NULL, 0},      {"50", NULL, 1},  {"50", NULL, 0},
                {"50", "disable", 1}, {"50", "disable", 0}, {"100", NULL, 0}, {"50", "force", 0}};
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        struct kit *kit = kit_new(NULL);
        g_test_message("limit %s, policy %s, switch %d", rows[i].limit, rows[i].policy,
                       rows[i].utilization_switch);
        kit_env(kit, "CUDA_DEVICE_SM_LIMIT", rows[i].limit ? "%s" : NULL, rows[i].limit);
        kit_env(kit, "GPU_CORE_UTILIZATION_POLICY", rows[i].policy ? "%s" : NULL, rows[i].policy);
        struct kit_process *p = ready(kit, "launch_on_demand");
        write_i32(kit, offsetof(struct region_base, utilization_switch), rows[i].utilization_switch);
        for (int round = 0; round < 2; round++) {
            write_i32(kit, RECENT, 0); /* as the monitor counts it down */
            ask(p);
            expect(p, "0");
            EVENTUALLY(read_i32(kit, RECENT) == 2 || (ask(p), expect(p, "0"), false));
        }
        g_assert_cmpint(read_i32(kit, offsetof(struct region_base, utilization_switch)), ==,
                        rows[i].utilization_switch);
        static struct region_view view;
        g_assert_cmpint(region_read(kit_region(kit), &view), ==, 0);
        g_assert_cmpint(time(NULL) - (time_t)view.last_kernel_time, <, 10);
        end(kit, p);
    }
}

static void publishing_never_lifts_a_block(void)
{
    struct kit *kit = kit_new(NULL);
    struct kit_process *p = ready(kit, "launch_on_demand");
    ask(p);
    expect(p, "0");
    write_i32(kit, RECENT, -1);
    ask(p);
    EVENTUALLY(is_waiting(kit, p));
    g_usleep(1200000); /* longer than the helper's period of publishing */
    g_assert_cmpint(read_i32(kit, RECENT), ==, -1);
    write_i32(kit, RECENT, 0);
    expect(p, "0");
    end(kit, p);
}

static void block_by_the_monitor_holds_launches_and_its_end_frees_them(void)
{
    struct kit *kit = kit_new(NULL);
    struct kit_process *p = ready(kit, "launch_on_demand");
    for (int i = 0; i < 3; i++) {
        write_i32(kit, RECENT, -1);
        ask(p);
        EVENTUALLY(is_waiting(kit, p));
        write_i32(kit, RECENT, 0);
        expect(p, "0");
        EVENTUALLY(!is_waiting(kit, p));
    }
    end(kit, p);
}

static void suspended_slice_waits_with_launches_and_allocations(void)
{
    static const char *const todo[] = {"launch_on_demand", "allocate_on_demand"};
    for (gsize i = 0; i < G_N_ELEMENTS(todo); i++) {
        struct kit *kit = kit_new(NULL);
        struct kit_process *p = ready(kit, todo[i]);
        g_assert_cmpint(region_set_suspended(kit_region(kit), true), ==, 0);
        ask(p);
        EVENTUALLY(is_waiting(kit, p));
        g_assert_cmpint(region_set_suspended(kit_region(kit), false), ==, 0);
        expect(p, "0");
        end(kit, p);
    }
}

static void suspended_process_can_be_killed_and_leaves_nothing(void)
{
    struct kit *kit = kit_new(NULL);
    kit_env(kit, "CUDA_DEVICE_MEMORY_LIMIT", "1G");
    struct kit_process *p = ready(kit, "allocate_on_demand");
    g_assert_cmpint(region_set_suspended(kit_region(kit), true), ==, 0);
    ask(p);
    EVENTUALLY(is_waiting(kit, p));
    kit_kill(p);
    g_assert_cmpint(kit_finish(p, NULL, NULL), ==, -9);
    g_assert_cmpint(region_set_suspended(kit_region(kit), false), ==, 0);
    p = ready(kit, "allocate_on_demand");
    ask(p);
    expect(p, "0");
    end(kit, p);
}

/* A /tmp of its own: without a name for the region the library uses the
 * default one there, which is the whole machine's. */
static const char own_tmp[] =
    "set -e; d=$1; shift; mkdir $d/o; mount -t tmpfs none $d/o; mkdir $d/o/u $d/o/w; "
    "mount -t overlay overlay -o lowerdir=/tmp,upperdir=$d/o/u,workdir=$d/o/w /tmp; rm -f "
    "/tmp/cudevshr.cache; "
    "exec \"$@\"";

static struct kit_process *ready_in_own_tmp(struct kit *kit, const char *body)
{
    g_autofree char *self = g_file_read_link("/proc/self/exe", NULL);
    const char *const argv[] = {"unshare",    "-m", "sh",      "-c", own_tmp, "sh",
                                kit_dir(kit), self, "--child", body, NULL};
    struct kit_process *p = kit_start_program(kit, argv);
    expect(p, "ready");
    return p;
}

static void nobody_to_look_after_means_no_helper(void)
{
    if (getuid() != 0 || system("unshare -m true 2>/dev/null") != 0) {
        g_test_skip("needs root and the right to make namespaces");
        return;
    }
    struct kit *kit = kit_new(NULL), *bare = kit_new(NULL);
    kit_env(kit, "CUDA_DEVICE_MEMORY_SHARED_CACHE", NULL);
    kit_no_preload(bare);
    struct kit_process *native = ready_in_own_tmp(bare, "launch_on_demand");
    struct kit_process *p = ready_in_own_tmp(kit, "launch_on_demand");
    for (int i = 0; i < 5; i++) {
        ask(native);
        expect(native, "0");
        ask(p);
        expect(p, "0");
    }
    g_assert_cmpuint(threads_of(p, NULL), ==, threads_of(native, NULL));
    g_assert_cmpint(kit_finish(native, NULL, NULL), ==, 0);
    kit_free(bare);
    end(kit, p);
}

static void at_most_one_helper_and_none_before_the_first_launch(void)
{
    struct kit *kit = kit_new(NULL);
    kit_env(kit, "CUDA_DEVICE_SM_LIMIT", "90");
    struct kit_process *p = ready(kit, "launch_on_demand");
    g_assert_cmpuint(threads_of(p, "hami-helper"), ==, 0);
    for (int i = 0; i < 5; i++) {
        ask(p);
        expect(p, "0");
    }
    EVENTUALLY(threads_of(p, "hami-helper") == 1);
    end(kit, p);
}

/* Voluntary context switches of the process's helper so far. */
static long switches_of_helper(const struct kit_process *p)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/task", kit_pid(p));
    long n = -1;
    GDir *dir = g_dir_open(path, 0, NULL);
    for (const char *task; dir && (task = g_dir_read_name(dir));) {
        g_autofree char *status_path = g_strdup_printf("%s/%s/status", path, task), *status = NULL;
        if (!g_file_get_contents(status_path, &status, NULL, NULL) ||
            !g_str_has_prefix(status, "Name:\thami-helper"))
            continue;
        char *line = strstr(status, "\nvoluntary_ctxt_switches:");
        n = line ? atol(strchr(line, ':') + 1) : -1;
    }
    g_dir_close(dir);
    return n;
}

/* Sleeps for good ten seconds after the last launch, and comes back. */
static void helper_sleeps_when_nothing_is_launched(void)
{
    struct kit *kit = kit_new(NULL);
    kit_env(kit, "CUDA_DEVICE_SM_LIMIT", "90");
    struct kit_process *p = ready(kit, "launch_on_demand");
    ask(p);
    expect(p, "0");
    EVENTUALLY(threads_of(p, "hami-helper") == 1);
    long before = 0, now = -1;
    for (int second = 0; second < 30 && before != now; second += 2) {
        before = switches_of_helper(p);
        g_usleep(2 * G_USEC_PER_SEC);
        now = switches_of_helper(p);
    }
    g_assert_cmpint(now, >, 0);
    g_assert_cmpint(now, ==, before);
    ask(p);
    expect(p, "0");
    EVENTUALLY(switches_of_helper(p) > now);
    end(kit, p);
}

/* The monitor reads at any time: a figure that is 0 now and then is an alarm. */
static void utilization_is_published_and_does_not_flicker(void)
{
    static const struct {
        const char *limit; /* NULL = none: the figure is the driver's */
        int64_t least, most;
    } rows[] = {{"40", 10, 50}, {NULL, 20, 100}};
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        struct kit *kit = kit_new(NULL);
        if (rows[i].limit)
            kit_env(kit, "CUDA_DEVICE_SM_LIMIT", "%s", rows[i].limit);
        struct kit_process *p = ready(kit, "flood");
        EVENTUALLY(utilization(kit) >= rows[i].least);
        gint64 until = g_get_monotonic_time() + 3 * G_USEC_PER_SEC;
        int64_t least = 100, most = 0;
        for (; g_get_monotonic_time() < until; g_usleep(10000)) {
            int64_t now = utilization(kit);
            least = MIN(least, now), most = MAX(most, now);
        }
        g_test_message("%s: %" G_GINT64_FORMAT " to %" G_GINT64_FORMAT " %%",
                       rows[i].limit ? rows[i].limit : "-", least, most);
        g_assert_cmpint(least, >, 0);
        g_assert_cmpint(most, <=, rows[i].most);
        ask(p);
        expect(p, "quiet");
        EVENTUALLY(utilization(kit) == 0);
        ask(p);
        end(kit, p);
    }
}

/* The least and the most that a slot shows for a while. */
struct span {
    int64_t least, most;
};

static void look(struct kit *kit, int slot, struct span *s)
{
    int64_t now = utilization_of(kit, slot);
    s->least = MIN(s->least, now), s->most = MAX(s->most, now);
}

/* Each process has a helper, which publishes for its own slot alone: neither one that begins nor one that
 * falls silent touches what the other shows. */
static void two_helpers_of_a_slice_leave_each_other_s_figures_alone(void)
{
    /* With a limit they ask for less than it: what one gets of too little is not looked at here. */
    static const char *const limits[] = {"90", NULL}, *const pauses[] = {"6000", "0"};
    for (gsize i = 0; i < G_N_ELEMENTS(limits); i++) {
        struct kit *kit = kit_new(NULL);
        if (limits[i])
            kit_env(kit, "CUDA_DEVICE_SM_LIMIT", "%s", limits[i]);
        struct span first = {100, 0}, second = {100, 0}, alone = {100, 0};
        struct kit_process *p0 = kit_start(kit, "flood", pauses[i], NULL);
        expect(p0, "ready");
        EVENTUALLY(utilization_of(kit, 0) > 0);
        struct kit_process *p1 = kit_start(kit, "flood", pauses[i], NULL);
        for (gint64 until = g_get_monotonic_time() + 5 * G_USEC_PER_SEC;
             utilization_of(kit, 1) <= 0 && g_get_monotonic_time() < until; g_usleep(5000))
            look(kit, 0, &first);
        expect(p1, "ready");
        for (gint64 until = g_get_monotonic_time() + 3 * G_USEC_PER_SEC; g_get_monotonic_time() < until;
             g_usleep(5000)) {
            look(kit, 0, &first);
            look(kit, 1, &second);
        }
        EVENTUALLY(threads_of(p0, "hami-helper") == 1 && threads_of(p1, "hami-helper") == 1);
        ask(p0);
        expect(p0, "quiet");
        for (gint64 until = g_get_monotonic_time() + 10 * G_USEC_PER_SEC;
             utilization_of(kit, 0) != 0 && g_get_monotonic_time() < until; g_usleep(5000))
            look(kit, 1, &alone);
        g_test_message("%s: %" G_GINT64_FORMAT " to %" G_GINT64_FORMAT " and %" G_GINT64_FORMAT
                       " to %" G_GINT64_FORMAT ", alone from %" G_GINT64_FORMAT " %%",
                       limits[i] ? limits[i] : "-", first.least, first.most, second.least, second.most,
                       alone.least);
        g_assert_cmpint(first.least, >, 0);
        g_assert_cmpint(second.least, >, 0);
        g_assert_cmpint(alone.least, >, 0);
        g_assert_cmpint(utilization_of(kit, 0), ==, 0);
        g_assert_cmpint(utilization_of(kit, 1), >, 0);
        if (limits[i])
            g_assert_cmpint(MAX(first.most, second.most), <=, 50);
        ask(p1);
        expect(p1, "quiet");
        ask(p0), ask(p1);
        g_assert_cmpint(kit_finish(p1, NULL, NULL), ==, 0);
        end(kit, p0);
    }
}

/* The slice owes device time: the next launch waits until that is paid. */
static void owe(struct kit *kit, int64_t device_ns)
{
    const int64_t tokens = -device_ns;
    const size_t at = offsetof(struct region_ext, devices) + offsetof(struct region_device, compute) +
                      offsetof(struct region_compute, tokens_ns);
    int fd = open(kit_region(kit), O_RDWR | O_CLOEXEC);
    g_assert_cmpint(pwrite(fd, &tokens, sizeof tokens, REGION_EXT_OFFSET + (off_t)at), ==, sizeof tokens);
    close(fd);
}

/* What it did counts when it is done, long after it was asked for. */
static void figure_falls_to_nothing_after_a_launch_that_had_to_wait(void)
{
    struct kit *kit = kit_new(NULL);
    kit_env(kit, "CUDA_DEVICE_SM_LIMIT", "40");
    struct kit_process *p = ready(kit, "launch_on_demand");
    ask(p);
    expect(p, "0");
    for (int i = 0; i < 3; i++) {
        owe(kit, 680 * 1000 * 1000); /* 1.7 s at 40 %: between the last two looks of an idle helper */
        ask(p);
        expect(p, "0");
        g_usleep(1200 * 1000); /* it has looked */
        EVENTUALLY(utilization(kit) == 0);
    }
    end(kit, p);
}

static const struct kit_body bodies[] = {
    {"flood", flood},
    {"launch_on_demand", launch_on_demand},
    {"allocate_on_demand", allocate_on_demand},
    {0},
};

int main(int argc, char **argv)
{
    if (kit_is_child(argc, argv))
        return kit_child(argc, argv, bodies);
    g_test_init(&argc, &argv, NULL);
#define TEST(name) g_test_add_func("/monitor/" #name, name)
    TEST(activity_is_published_whatever_limits);
    TEST(publishing_never_lifts_a_block);
    TEST(block_by_the_monitor_holds_launches_and_its_end_frees_them);
    TEST(suspended_slice_waits_with_launches_and_allocations);
    TEST(suspended_process_can_be_killed_and_leaves_nothing);
    TEST(utilization_is_published_and_does_not_flicker);
    TEST(two_helpers_of_a_slice_leave_each_other_s_figures_alone);
    TEST(figure_falls_to_nothing_after_a_launch_that_had_to_wait);
    TEST(nobody_to_look_after_means_no_helper);
    TEST(at_most_one_helper_and_none_before_the_first_launch);
    TEST(helper_sleeps_when_nothing_is_launched);
    return g_test_run();
}
