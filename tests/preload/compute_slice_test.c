/* SPDX-License-Identifier: Apache-2.0
 *
 * Captures, policies, live changes, boards and ranks: what the compute engine
 * does besides dividing time. See compute_launch_test.c for the entries.
 */
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "compute_kernel.h"
#include "preload/board.h"
#include "region/extension.h"
#include "region/region.h"

/* Long enough that a slow or emulated host launches faster than a limit allows. */
#define KERNEL_NS 2000000

/* ---- the region, as a monitor maps it ---- */

static struct region_base *map_region(struct kit *kit)
{
    int fd = open(kit_region(kit), O_RDWR | O_CLOEXEC);
    g_assert_cmpint(fd, >=, 0);
    void *base = mmap(NULL, REGION_FILE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    g_assert_true(base != MAP_FAILED);
    close(fd);
    return base;
}

static struct region_compute *account_of(struct region_base *base)
{
    return &((struct region_ext *)(void *)((char *)base + REGION_EXT_OFFSET))->devices[0].compute;
}

static void grant_with(struct kit *kit, unsigned cores, enum grant_policy policy, const char *board)
{
    struct grant g = {.policy = policy, .priority = 1, .n_devices = 1, .id = "compute"};
    g_strlcpy(g.devices[0].uuid, kit_uuid(kit, 0), sizeof g.devices[0].uuid);
    g.devices[0].cores_pct = cores;
    if (board)
        g_strlcpy(g.devices[0].board, board, sizeof g.devices[0].board);
    kit_grant(kit, &g);
}

/* ---- capture ---- */

static atomic_bool other_stops;
static atomic_int other_launched;

static gpointer launch_beside(gpointer f)
{
    kit_context(0);
    CUstream stream = stream_new();
    while (!atomic_load(&other_stops) && launch_ns((CUfunction)f, 200000, stream) == CUDA_SUCCESS)
        atomic_fetch_add(&other_launched, 1);
    kit_cuda()->cuStreamSynchronize(stream);
    return NULL;
}

static int capture_under_throttle(int argc, char **argv)
{
    (void)argc;
    const struct real_cuda *cu = kit_cuda();
    kit_context(0);
    CUfunction f = kernel_of("sim_arg");
    CUstream stream = stream_new();
    CUstreamCaptureMode mode = (CUstreamCaptureMode)atoi(argv[0]);
    for (int i = 0; i < 30; i++) /* into debt first */
        if (launch_ns(f, KERNEL_NS, stream))
            return 1;
    GThread *other = g_thread_new("beside", launch_beside, f);
    for (int round = 0; round < 5; round++) {
        CUgraph graph;
        CUgraphExec exec;
        size_t nodes = 0;
        if (cu->cuStreamBeginCapture_v2(stream, mode))
            return 2;
        for (int i = 0; i < 50; i++)
            if (launch_ns(f, 500000000, stream)) /* never runs, so never charged */
                return 3;
        g_usleep(5000);
        if (cu->cuStreamEndCapture(stream, &graph) || cu->cuGraphGetNodes(graph, NULL, &nodes) || nodes != 50)
            return 4;
        if (cu->cuGraphInstantiateWithFlags(&exec, graph, 0) || cu->cuGraphExecDestroy(exec) ||
            cu->cuGraphDestroy(graph) || launch_ns(f, KERNEL_NS, stream))
            return 5;
    }
    for (int i = 0; i < 1000 && atomic_load(&other_launched) == 0; i++) /* on a busy host it comes late */
        g_usleep(10000);
    atomic_store(&other_stops, true);
    g_thread_join(other);
    kit_tell("%d", atomic_load(&other_launched) > 0);
    return cu->cuStreamSynchronize(stream) != CUDA_SUCCESS;
}

static void captures_are_neither_gated_nor_invalidated(void)
{
    static const char *const modes[] = {"0", "1", "2"};
    for (gsize i = 0; i < G_N_ELEMENTS(modes); i++) {
        struct kit *kit = kit_new(NULL);
        struct region_view *view = g_new0(struct region_view, 1);
        kit_env(kit, "CUDA_DEVICE_SM_LIMIT", "40");
        g_autofree char *out = kit_run(kit, "capture_under_throttle", modes[i], NULL);
        g_assert_cmpstr(out, ==, "1\n");
        g_assert_cmpint(region_read(kit_region(kit), view), ==, 0);
        g_assert_cmpuint(view->busy_ns[0], <, 2000000000u);
        g_free(view);
        kit_free(kit);
    }
}

/* ---- policy ---- */

static int launch_on_request(int argc, char **argv)
{
    (void)argc, (void)argv;
    kit_context(0);
    CUfunction f = kernel_of("sim_arg");
    CUstream stream = stream_new();
    for (const char *line; (line = kit_hear()) != NULL;) {
        int n = atoi(line);
        for (int i = 0; i < n; i++)
            if (launch_ns(f, KERNEL_NS, stream))
                return 1;
        if (kit_cuda()->cuStreamSynchronize(stream))
            return 2;
        kit_tell("%d", n);
    }
    return 0;
}

/* Launches n kernels in the process and tells how many launches waited. */
static uint64_t waits_of(struct kit_process *p, struct region_compute *account, unsigned n)
{
    uint64_t before = atomic_load(&account->waits);
    g_autofree char *text = g_strdup_printf("%u", n);
    kit_say(p, text);
    g_autofree char *answer = kit_line(p);
    g_assert_cmpstr(answer, ==, text);
    return atomic_load(&account->waits) - before;
}

static struct kit_process *started(struct kit *kit, struct region_base **ret)
{
    struct kit_process *p = kit_start(kit, "launch_on_request", NULL);
    kit_say(p, "1");
    g_free(kit_line(p));
    *ret = map_region(kit);
    return p;
}

static void stop(struct kit *kit, struct kit_process *p, struct region_base *base)
{
    kit_kill(p);
    kit_finish(p, NULL, NULL);
    munmap(base, REGION_FILE_BYTES);
    kit_free(kit);
}

static void policy_decides_whether_the_limit_applies(void)
{
    static const struct {
        const char *policy;
        int utilization_switch;
        bool limits;
    } cases[] = {{"force", 0, true},   {"FORCE", 0, true},    {"disable", 1, false}, {"DISABLE", 1, false},
                 {"default", 1, true}, {"default", 0, false}, {NULL, 1, true},       {NULL, 0, false},
                 {"Force", 0, true},   {"dISABLE", 1, false}, {"Default", 1, true},  {"DEFAULT", 0, false}};
    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        struct kit *kit = kit_new(NULL);
        struct region_base *base;
        kit_env(kit, "CUDA_DEVICE_SM_LIMIT", "30");
        kit_env(kit, "GPU_CORE_UTILIZATION_POLICY", cases[i].policy ? "%s" : NULL, cases[i].policy);
        struct kit_process *p = started(kit, &base);
        __atomic_store_n(&base->utilization_switch, cases[i].utilization_switch, __ATOMIC_SEQ_CST);
        bool waited = waits_of(p, account_of(base), 40) > 2;
        g_test_message("%s, switch %d: %s", cases[i].policy, cases[i].utilization_switch,
                       waited ? "waits" : "free");
        g_assert_true(waited == cases[i].limits);
        stop(kit, p, base);
    }
}

static void late_joiner_is_limited_when_the_switch_comes_back(void)
{
    struct kit *kit = kit_new(NULL);
    struct region_base *base;
    kit_env(kit, "CUDA_DEVICE_SM_LIMIT", "30");
    struct kit_process *p = started(kit, &base);
    __atomic_store_n(&base->utilization_switch, 0, __ATOMIC_SEQ_CST);
    waits_of(p, account_of(base), 10);
    g_assert_cmpuint(waits_of(p, account_of(base), 60), <=, 2);
    __atomic_store_n(&base->utilization_switch, 1, __ATOMIC_SEQ_CST);
    g_assert_cmpuint(waits_of(p, account_of(base), 60), >, 5);
    stop(kit, p, base);
}

/* ---- live change ---- */

static void limit_written_into_the_region_counts_at_the_next_launches(void)
{
    struct kit *kit = kit_new(NULL);
    struct region_base *base;
    struct kit_process *p = started(kit, &base);
    g_assert_cmpuint(waits_of(p, account_of(base), 50), ==, 0);
    __atomic_store_n(&base->sm_limit[0], 20, __ATOMIC_SEQ_CST);
    g_assert_cmpuint(waits_of(p, account_of(base), 50), >, 5);
    g_assert_cmpuint(atomic_load(&account_of(base)->cores_pct), ==, 20);
    __atomic_store_n(&base->sm_limit[0], 100, __ATOMIC_SEQ_CST);
    waits_of(p, account_of(base), 1);
    g_assert_cmpuint(waits_of(p, account_of(base), 50), ==, 0);
    stop(kit, p, base);
}

static void new_grant_counts_in_a_running_flood(void)
{
    struct kit *kit = kit_new(NULL);
    struct region_base *base;
    grant_with(kit, 90, GRANT_POLICY_FORCE, NULL);
    struct kit_process *p = started(kit, &base);
    waits_of(p, account_of(base), 20);
    g_assert_cmpuint(atomic_load(&account_of(base)->cores_pct), ==, 90);
    kit_say(p, "400");
    grant_with(kit, 40, GRANT_POLICY_FORCE, NULL);
    g_free(kit_line(p));
    g_assert_cmpuint(atomic_load(&account_of(base)->cores_pct), ==, 40);
    stop(kit, p, base);
}

/* ---- boards ---- */

static char *board_new(struct kit *kit)
{
    char *path = kit_path(kit, "board");
    g_autofree char *zero = g_malloc0(BOARD_BYTES);
    g_assert_true(g_file_set_contents(path, zero, BOARD_BYTES, NULL));
    return path;
}

static void board_that_is_truncated_kills_nobody(void)
{
    struct kit *kit = kit_new(NULL);
    struct region_base *base;
    g_autofree char *board = board_new(kit);
    grant_with(kit, 50, GRANT_POLICY_FORCE, board);
    struct kit_process *p = started(kit, &base);
    waits_of(p, account_of(base), 20);
    g_assert_cmpint(truncate(board, 0), ==, 0);
    g_assert_cmpuint(waits_of(p, account_of(base), 50), >, 5);
    kit_say(p, "1");
    g_free(kit_line(p));
    stop(kit, p, base);
}

static void board_that_is_missing_is_said_once_and_limits_hold(void)
{
    struct kit *kit = kit_new(NULL);
    g_autofree char *board = kit_path(kit, "no-such-board");
    grant_with(kit, 50, GRANT_POLICY_FORCE, board);
    struct kit_process *p = kit_start(kit, "launch_on_request", NULL);
    kit_say(p, "100");
    g_free(kit_line(p));
    struct region_base *base = map_region(kit);
    g_assert_cmpuint(atomic_load(&account_of(base)->waits), >, 5);
    g_autofree char *err = NULL;
    kit_kill(p);
    kit_finish(p, NULL, &err);
    g_auto(GStrv) lines = g_strsplit(err, "\n", -1);
    g_assert_cmpuint(g_strv_length(lines), ==, 2);
    g_assert_nonnull(strstr(lines[0], "no-such-board"));
    munmap(base, REGION_FILE_BYTES);
    kit_free(kit);
}

static void turn_is_given_back_by_an_idle_process(void)
{
    struct kit *kit = kit_new(NULL);
    struct region_base *base;
    g_autofree char *path = board_new(kit);
    grant_with(kit, 50, GRANT_POLICY_FORCE, path);
    struct kit_process *p = started(kit, &base);
    waits_of(p, account_of(base), 20);
    g_autofree char *bytes = NULL;
    bool free = false;
    for (int i = 0; i < 100 && !free; i++) { /* the helper comes by every 100 ms */
        g_usleep(20000);
        g_free(bytes);
        g_assert_true(g_file_get_contents(path, &bytes, NULL, NULL));
        free = (((struct board *)(void *)bytes)->turn & 0xff) == 0;
    }
    g_assert_true(free);
    stop(kit, p, base);
}

/* ---- figures ---- */

static void unlimited_process_counts_its_launches(void)
{
    struct kit *kit = kit_new(NULL);
    struct region_base *base;
    struct kit_process *p = started(kit, &base);
    waits_of(p, account_of(base), 500);
    uint64_t counted = atomic_load(&account_of(base)->launches);
    g_assert_cmpuint(counted, >, 501 - 128);
    g_assert_cmpuint(counted, <=, 501 + 128);
    g_assert_cmpuint(atomic_load(&account_of(base)->waits), ==, 0);
    g_assert_cmpuint(atomic_load(&account_of(base)->last_launch_ns), >, 0);
    stop(kit, p, base);
}

static void without_nvml(struct kit *kit)
{
    g_autofree char *driver = g_build_filename(g_getenv("HAMI_BUILD"), "sim", "libcuda.so.1", NULL);
    g_autofree char *link = kit_path(kit, "libcuda.so.1");
    g_assert_cmpint(symlink(driver, link), ==, 0);
    kit_env(kit, "LD_LIBRARY_PATH", "%s", kit_dir(kit));
}

/* Nothing in the engine asks NVML: host pids, samples and MIG do not matter. */
static void limit_holds_without_a_management_library(void)
{
    struct kit *kit = kit_new(NULL);
    struct region_base *base;
    without_nvml(kit);
    kit_env(kit, "CUDA_DEVICE_SM_LIMIT", "25");
    struct kit_process *p = started(kit, &base);
    g_assert_cmpuint(waits_of(p, account_of(base), 50), >, 5);
    stop(kit, p, base);
}

/* A process whose pid on the host nobody tells it, on an instance of a card, where NVML knows no utilization.
 */
static struct kit_process *start_in_own_pids(struct kit *kit)
{
    g_autofree char *self = g_file_read_link("/proc/self/exe", NULL);
    const char *const argv[] = {
        "unshare",           "-p", "--fork", "--kill-child", "--mount-proc", self, "--child",
        "launch_on_request", NULL};
    return kit_start_program(kit, argv);
}

static void limit_holds_on_an_instance_and_with_an_unknown_pid(void)
{
    static const struct {
        const char *profile;
        bool own_pids, has_nvml;
    } rows[] = {
        {"a100-mig", false, true}, {"a100-mig", true, true}, {"a100-mig", true, false}, {"t4", true, false}};
    bool may_unshare = getuid() == 0 && system("unshare -p --fork --mount-proc true 2>/dev/null") == 0;
    if (!may_unshare)
        g_test_message("without root and the right to make pid namespaces, their rows are left out");
    for (gsize i = 0; i < G_N_ELEMENTS(rows); i++) {
        if (rows[i].own_pids && !may_unshare)
            continue;
        struct kit *kit = kit_new(rows[i].profile);
        g_test_message("%s, own pids %d, NVML %d", rows[i].profile, rows[i].own_pids, rows[i].has_nvml);
        kit_env(kit, "CUDA_DEVICE_SM_LIMIT", "25");
        if (g_str_has_suffix(rows[i].profile, "mig"))
            kit_env(kit, "CUDA_VISIBLE_DEVICES", "MIG-%s", kit_uuid(kit, 0) + 4);
        if (!rows[i].has_nvml)
            without_nvml(kit);
        struct kit_process *p =
            rows[i].own_pids ? start_in_own_pids(kit) : kit_start(kit, "launch_on_request", NULL);
        kit_say(p, "1");
        g_free(kit_line(p));
        struct region_base *base = map_region(kit);
        g_assert_cmpuint(waits_of(p, account_of(base), 50), >, 5);
        g_assert_cmpuint(atomic_load(&account_of(base)->cores_pct), ==, 25);
        if (!rows[i].has_nvml)
            g_assert_cmpint(base->procs[0].hostpid, ==, 0);
        stop(kit, p, base);
    }
}

/* ---- death ---- */

static void killed_holder_of_a_turn_holds_up_nobody(void)
{
    struct kit *kit = kit_new(NULL);
    struct region_base *base;
    g_autofree char *path = board_new(kit);
    grant_with(kit, 50, GRANT_POLICY_FORCE, path);
    struct kit_process *p = started(kit, &base);
    for (int i = 0; i < 10; i++) {
        struct kit_process *other = kit_start(kit, "launch_on_request", NULL);
        kit_say(other, "100000");
        kit_say(p, "30"); /* both of the slice, in turns */
        g_free(kit_line(p));
        kit_kill(other);
        kit_finish(other, NULL, NULL);
        gint64 since = g_get_monotonic_time();
        waits_of(p, account_of(base), 10);
        g_assert_cmpint(g_get_monotonic_time() - since, <, 5 * G_USEC_PER_SEC); /* 1 s, and a busy machine */
    }
    stop(kit, p, base);
}

static int fork_and_launch(int argc, char **argv)
{
    (void)argc, (void)argv;
    kit_context(0);
    CUfunction f = kernel_of("sim_arg");
    for (int i = 0; i < 20; i++)
        if (launch_ns(f, KERNEL_NS, NULL))
            return 1;
    pid_t pid = fork();
    int status;
    if (pid == 0) /* the driver refuses a forked child; ours must not wait or crash before that */
        _exit(launch_ns(f, KERNEL_NS, NULL) == CUDA_SUCCESS);
    if (waitpid(pid, &status, 0) != pid || status != 0)
        return 2;
    for (int i = 0; i < 20; i++)
        if (launch_ns(f, KERNEL_NS, NULL))
            return 3;
    return kit_cuda()->cuCtxSynchronize() != CUDA_SUCCESS;
}

static void child_of_a_fork_takes_nothing_from_its_parent(void)
{
    struct kit *kit = kit_new(NULL);
    kit_env(kit, "CUDA_DEVICE_SM_LIMIT", "40");
    g_free(kit_run(kit, "fork_and_launch", NULL));
    kit_free(kit);
}

int main(int argc, char **argv)
{
    static const struct kit_body bodies[] = {{"capture_under_throttle", capture_under_throttle},
                                             {"launch_on_request", launch_on_request},
                                             {"fork_and_launch", fork_and_launch},
                                             {0}};
    if (kit_is_child(argc, argv))
        return kit_child(argc, argv, bodies);
    g_test_init(&argc, &argv, NULL);
#define TEST(name) g_test_add_func("/compute/" #name, name)
    TEST(captures_are_neither_gated_nor_invalidated);
    TEST(policy_decides_whether_the_limit_applies);
    TEST(late_joiner_is_limited_when_the_switch_comes_back);
    TEST(limit_written_into_the_region_counts_at_the_next_launches);
    TEST(new_grant_counts_in_a_running_flood);
    TEST(board_that_is_truncated_kills_nobody);
    TEST(board_that_is_missing_is_said_once_and_limits_hold);
    TEST(turn_is_given_back_by_an_idle_process);
    TEST(unlimited_process_counts_its_launches);
    TEST(limit_holds_without_a_management_library);
    TEST(limit_holds_on_an_instance_and_with_an_unknown_pid);
    TEST(killed_holder_of_a_turn_holds_up_nobody);
    TEST(child_of_a_fork_takes_nothing_from_its_parent);
    return g_test_run();
}
