/* SPDX-License-Identifier: Apache-2.0
 *
 * Several processes on one machine: order of their work, what is left of those
 * that are killed, forks, threads and contexts.
 */
#include "machine.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sim/fault.h"
#include "sim/inspect.h"

static CUmodule module;

static CUfunction function(const char *name)
{
    CUfunction f;
    if (module == NULL)
        assert_ok(cuModuleLoadData(&module, "image"));
    assert_ok(cuModuleGetFunction(&f, module, name));
    return f;
}

static void launch(const char *name, unsigned n)
{
    CUfunction f = function(name);
    for (unsigned i = 0; i < n; i++)
        assert_ok(cuLaunchKernel(f, 1, 1, 1, 1, 1, 1, 0, NULL, NULL, NULL));
}

static void look_at_machine(void)
{
    char err[256];
    g_assert_cmpint(sim_state_open(err, sizeof(err)), ==, 0);
}

static void tell(int fd)
{
    char c = 'x';
    machine_send(fd, &c, 1, -1);
}

static void listen_to(int fd)
{
    char c;
    machine_receive(fd, &c, 1);
}

/* ---- children ---- */

static int child_launch_when_told(void)
{
    machine_start();
    function("sim_2ms");
    tell(3);
    listen_to(3);
    launch("sim_2ms", 5);
    tell(3);
    assert_ok(cuCtxSynchronize());
    return 0;
}

static G_NORETURN int child_hold_until_killed(void)
{
    CUdeviceptr p;
    machine_start();
    assert_ok(cuMemAlloc_v2(&p, 512 * MIB));
    launch("sim_20ms", 500); /* ten seconds of work */
    tell(3);
    for (;;)
        pause();
}

/* Lives on the machine as fast as it can until it is killed at a random moment. */
static G_NORETURN int child_churn(void)
{
    CUdeviceptr p;
    machine_start();
    tell(3);
    for (;;) {
        if (cuMemAlloc_v2(&p, 8 * MIB) == CUDA_SUCCESS)
            cuMemFree_v2(p);
        launch("sim_3us", 3);
    }
}

/* Dies in the middle of a change, with the machine's lock held. */
static G_NORETURN int child_die_with_the_lock(void)
{
    CUdeviceptr p;
    machine_start();
    look_at_machine();
    assert_ok(cuMemAlloc_v2(&p, 64 * MIB));
    launch("sim_20ms", 10);
    sim_lock();
    sim_state->devices[0].mem_used[0] += 12345 * MIB;
    struct sim_queue *q = sim_queue_at(0);
    q->entries[q->tail % SIM_RING].state = SIM_ENTRY_QUEUED; /* an entry half written */
    q->pending[7] = 3;
    for (;;)
        raise(SIGKILL);
}

/* ---- tests ---- */

static void work_of_two_processes_is_served_in_order_of_submission(void)
{
    int fd[2];
    GPid pid[2];
    static struct sim_interval v[64];
    look_at_machine();
    struct sim_log_reader reader = {.device = 0, .next = sim_state->devices[0].log.next};
    for (unsigned i = 0; i < 2; i++) {
        pid[i] = machine_child("launch", &fd[i]);
        listen_to(fd[i]);
    }
    tell(fd[0]);
    listen_to(fd[0]); /* all of the first child's work is queued */
    tell(fd[1]);
    listen_to(fd[1]);
    pid_t order[2] = {pid[0], pid[1]};
    for (unsigned i = 0; i < 2; i++)
        machine_join(pid[i]);
    g_assert_cmpuint(sim_inspect_read(&reader, v, 64), ==, 10);
    for (unsigned i = 0; i < 10; i++) {
        g_assert_cmpint(v[i].pid, ==, order[i / 5]);
        g_assert_cmpuint(v[i].end_ns - v[i].start_ns, ==, 2000000);
        if (i > 0)
            g_assert_cmpuint(v[i].start_ns, >=, v[i - 1].end_ns);
        g_assert_cmpuint(strlen(sim_inspect_cgroup(&v[i])), >, 0);
    }
    for (unsigned i = 0; i < 2; i++)
        close(fd[i]);
}

static void a_killed_process_leaves_neither_memory_nor_work(void)
{
    int fd, status;
    size_t before = machine_free();
    GPid pid = machine_child("hold", &fd);
    listen_to(fd);
    g_assert_cmpuint(before - machine_free(), >=, 512 * MIB);
    g_assert_cmpuint(sim_inspect_queued(0), >, 400);
    CUevent e;
    assert_ok(cuEventCreate(&e, 0));
    launch("sim_1us", 1);
    assert_ok(cuEventRecord(e, NULL));
    g_assert_cmpint(cuEventQuery(e), ==, CUDA_ERROR_NOT_READY); /* behind ten seconds */
    g_assert_cmpint(kill(pid, SIGKILL), ==, 0);
    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    assert_ok(cuEventSynchronize(e)); /* at once now; the test's time limit is the judge */
    g_assert_cmpuint(machine_free(), ==, before);
    g_assert_cmpuint(sim_inspect_queued(0), ==, 0);
    assert_ok(cuEventDestroy_v2(e));
    close(fd);
}

static void a_process_killed_with_the_lock_held_blocks_nobody(void)
{
    size_t before = machine_free();
    for (unsigned i = 0; i < 5; i++) {
        int fd, status;
        GPid pid = machine_child("lock", &fd);
        g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
        g_assert_true(WIFSIGNALED(status));
        close(fd);
        launch("sim_1us", 10);
        assert_ok(cuCtxSynchronize());
        g_assert_cmpuint(machine_free(), ==, before);
        g_assert_cmpuint(sim_inspect_queued(0), ==, 0);
    }
}

static void a_storm_of_kills_leaves_a_sound_machine(void)
{
    GRand *r = g_rand_new_with_seed(machine_seed());
    size_t before = machine_free();
    enum { WORKERS = 3, ROUNDS = 8 };
    for (unsigned round = 0; round < ROUNDS; round++) {
        int fd[WORKERS];
        GPid pid[WORKERS];
        for (unsigned i = 0; i < WORKERS; i++)
            pid[i] = machine_child("churn", &fd[i]);
        for (unsigned i = 0; i < WORKERS; i++)
            listen_to(fd[i]);
        for (unsigned i = 0; i < WORKERS; i++) {
            int status;
            launch("sim_1us", 1 + (unsigned)g_rand_int_range(r, 0, 2000)); /* passes time under contention */
            kill(pid[i], SIGKILL);
            g_assert_cmpint(waitpid(pid[i], &status, 0), ==, pid[i]);
            g_assert_true(WIFSIGNALED(status));
            close(fd[i]);
        }
    }
    assert_ok(cuCtxSynchronize());
    g_assert_true(sim_state->processes[0].used);
    sim_lock();
    sim_reap(0);
    sim_unlock();
    g_assert_cmpuint(machine_free(), ==, before);
    struct sim_process_view views[8];
    g_assert_cmpuint(sim_inspect_processes(0, views, 8), ==, 1);
    g_assert_cmpint(views[0].pid, ==, getpid());
    g_rand_free(r);
}

static void a_forked_child_has_no_driver(void)
{
    pid_t pid = fork();
    if (pid == 0) {
        int n;
        CUdeviceptr p;
        if (cuInit(0) != CUDA_ERROR_NOT_INITIALIZED || cuDeviceGetCount(&n) != CUDA_ERROR_NOT_INITIALIZED ||
            cuMemAlloc_v2(&p, 4096) != CUDA_ERROR_NOT_INITIALIZED)
            _exit(1);
        _exit(0);
    }
    int status;
    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    g_assert_cmpint(status, ==, 0);
    launch("sim_1us", 1);
    assert_ok(cuCtxSynchronize());
}

static gpointer use_machine(gpointer data)
{
    CUcontext ctx;
    CUstream s;
    CUevent e;
    (void)data;
    assert_ok(cuDevicePrimaryCtxRetain(&ctx, 0));
    assert_ok(cuCtxSetCurrent(ctx));
    assert_ok(cuStreamCreate(&s, CU_STREAM_NON_BLOCKING));
    assert_ok(cuEventCreate(&e, 0));
    CUfunction f;
    assert_ok(cuModuleGetFunction(&f, module, "sim_1us"));
    for (unsigned i = 0; i < 300; i++) {
        CUdeviceptr p;
        assert_ok(cuLaunchKernel(f, 1, 1, 1, 1, 1, 1, 0, s, NULL, NULL));
        assert_ok(cuLaunchKernel_ptsz(f, 1, 1, 1, 1, 1, 1, 0, NULL, NULL, NULL));
        assert_ok(cuMemAlloc_v2(&p, 4096));
        assert_ok(cuMemFree_v2(p));
        assert_ok(cuEventRecord(e, s));
        if (i % 16 == 0)
            assert_ok(cuEventSynchronize(e));
    }
    assert_ok(cuStreamSynchronize(s));
    assert_ok(cuEventDestroy_v2(e));
    assert_ok(cuStreamDestroy_v2(s));
    assert_ok(cuDevicePrimaryCtxRelease_v2(0));
    return NULL;
}

static void threads_share_a_context_without_losing_anything(void)
{
    GThread *t[6];
    function("sim_1us");
    struct sim_process_view v;
    g_assert_cmpuint(sim_inspect_processes(0, &v, 1), ==, 1);
    guint64 launches = v.launches;
    size_t before = machine_free();
    for (unsigned i = 0; i < G_N_ELEMENTS(t); i++)
        t[i] = g_thread_new("user", use_machine, NULL);
    for (unsigned i = 0; i < G_N_ELEMENTS(t); i++)
        g_thread_join(t[i]);
    assert_ok(cuCtxSynchronize());
    g_assert_cmpuint(sim_inspect_processes(0, &v, 1), ==, 1);
    g_assert_cmpuint(v.launches - launches, ==, 6 * 300 * 2);
    g_assert_cmpuint(machine_free(), ==, before);
}

static void primary_contexts_are_counted_and_created_ones_cost_memory(void)
{
    CUcontext a, b, c, current;
    unsigned flags;
    int active;
    size_t before = machine_free();
    assert_ok(cuDevicePrimaryCtxRetain(&a, 0));
    assert_ok(cuDevicePrimaryCtxRetain(&b, 0));
    g_assert_true(a == b);
    assert_ok(cuDevicePrimaryCtxRelease_v2(0));
    assert_ok(cuDevicePrimaryCtxRelease_v2(0));
    assert_ok(cuDevicePrimaryCtxGetState(0, &flags, &active));
    g_assert_cmpint(active, ==, 1); /* the test program holds one itself */
    assert_ok(cuCtxCreate_v2(&c, CU_CTX_SCHED_SPIN, 0));
    assert_ok(cuCtxGetCurrent(&current));
    g_assert_true(current == c);
    g_assert_cmpuint(machine_free(), <, before);
    assert_ok(cuCtxAttach(&current, 0));
    assert_ok(cuCtxDetach(c)); /* its maker holds it still */
    g_assert_cmpuint(machine_free(), <, before);
    assert_ok(cuCtxDestroy_v2(c));
    assert_ok(cuCtxGetCurrent(&current));
    g_assert_true(current == a);
    g_assert_cmpuint(machine_free(), ==, before);
    g_assert_cmpint(cuCtxDestroy_v2(c), ==, CUDA_ERROR_INVALID_CONTEXT);
    g_assert_cmpint(cuCtxPushCurrent_v2(c), ==, CUDA_ERROR_INVALID_CONTEXT);
    assert_ok(cuCtxPushCurrent_v2(a));
    assert_ok(cuCtxPopCurrent_v2(&current));
    assert_ok(cuCtxPopCurrent_v2(&current));
    g_assert_cmpint(cuCtxPopCurrent_v2(&current), ==, CUDA_ERROR_INVALID_CONTEXT);
    g_assert_cmpint(cuCtxSynchronize(), ==, CUDA_ERROR_INVALID_CONTEXT);
    assert_ok(cuCtxSetCurrent(a));
}

static void faults_break_the_machine_until_they_are_cleared(void)
{
    sim_fault_lose(0, true);
    CUcontext c;
    CUfunction f = function("sim_1us");
    g_assert_cmpint(cuLaunchKernel(f, 1, 1, 1, 1, 1, 1, 0, NULL, NULL, NULL), ==, CUDA_ERROR_UNKNOWN);
    g_assert_cmpint(cuCtxSynchronize(), ==, CUDA_ERROR_UNKNOWN);
    g_assert_cmpint(cuCtxCreate_v2(&c, 0, 0), ==, CUDA_ERROR_DEVICE_UNAVAILABLE);
    sim_fault_clear(0);
    launch("sim_1us", 1);
    assert_ok(cuCtxSynchronize());
    CUevent a, b;
    float ms;
    assert_ok(cuEventCreate(&a, 0));
    assert_ok(cuEventCreate(&b, 0));
    sim_fault_speed(0, 250);
    assert_ok(cuEventRecord(a, NULL));
    launch("sim_500us", 4);
    assert_ok(cuEventRecord(b, NULL));
    assert_ok(cuCtxSynchronize());
    assert_ok(cuEventElapsedTime(&ms, a, b));
    g_assert_cmpfloat((double)ms, >=, 7.99);
    sim_fault_clear(0);
    g_assert_cmpuint(sim_fault_xid(0, 79), ==, 1);
    assert_ok(cuEventDestroy_v2(a));
    assert_ok(cuEventDestroy_v2(b));
}

static void busy_time_is_what_was_run(void)
{
    assert_ok(cuCtxSynchronize());
    guint64 from = sim_now();
    launch("sim_300us", 20);
    assert_ok(cuCtxSynchronize());
    guint64 to = sim_now();
    g_assert_cmpuint(sim_inspect_busy_ns(0, UINT32_MAX, 0, from, to), ==, 20 * 300000);
    g_assert_cmpuint(sim_inspect_busy_ns(0, UINT32_MAX, getpid(), from, to), ==, 20 * 300000);
    g_assert_cmpuint(sim_inspect_busy_ns(0, UINT32_MAX, 1, from, to), ==, 0);
}

int main(int argc, char **argv)
{
    machine_init(&argc, &argv, "t4");
    const char *child = machine_child_name();
    if (child != NULL)
        return strcmp(child, "launch") == 0 ? child_launch_when_told()
               : strcmp(child, "hold") == 0 ? child_hold_until_killed()
               : strcmp(child, "lock") == 0 ? child_die_with_the_lock()
                                            : child_churn();
    machine_start();
    look_at_machine();
#define TEST(name) g_test_add_func("/process/" #name, name)
    TEST(work_of_two_processes_is_served_in_order_of_submission);
    TEST(a_killed_process_leaves_neither_memory_nor_work);
    TEST(a_process_killed_with_the_lock_held_blocks_nobody);
    TEST(a_storm_of_kills_leaves_a_sound_machine);
    TEST(a_forked_child_has_no_driver);
    TEST(threads_share_a_context_without_losing_anything);
    TEST(primary_contexts_are_counted_and_created_ones_cost_memory);
    TEST(faults_break_the_machine_until_they_are_cleared);
    TEST(busy_time_is_what_was_run);
    return machine_run();
}
