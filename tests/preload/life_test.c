/* SPDX-License-Identifier: Apache-2.0
 *
 * Processes that fork, clone, exec, daemonise, are interrupted and end.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "region/region.h"
#include "support.h"

#define MIB (UINT64_C(1) << 20)

static struct region_view *view_of(struct kit *kit)
{
    static struct region_view view;
    g_assert_cmpint(region_read(kit_region(kit), &view), ==, 0);
    return &view;
}

/* ---- small bodies ---- */

static unsigned open_files(void)
{
    unsigned n = 0;
    DIR *dir = opendir("/proc/self/fd");
    while (dir && readdir(dir))
        n++;
    if (dir)
        closedir(dir);
    return n;
}

static int wait_for(pid_t pid)
{
    int status = -1;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

static CUresult take(uint64_t bytes)
{
    CUdeviceptr p;
    return kit_cuda()->cuMemAlloc_v2(&p, (size_t)bytes);
}

/* ---- fork ---- */

/* The child of a fork before cuInit is a process of the slice of its own. */
static int fork_before_init(int argc, char **argv)
{
    (void)argc, (void)argv;
    kit_cuda();
    pid_t pid = fork();
    kit_context(0);
    if (take(64 * MIB) != CUDA_SUCCESS)
        _exit(1);
    if (pid == 0)
        _exit(0);
    return wait_for(pid);
}

/* The child of a fork after cuInit does not touch the parent's slot. */
static int fork_after_init(int argc, char **argv)
{
    (void)argc, (void)argv;
    kit_context(0);
    if (take(64 * MIB) != CUDA_SUCCESS)
        return 1;
    kit_tell("attached");
    kit_hear();
    for (int i = 0; i < 3; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            take(64 * MIB); /* whatever a driver says to a copy: not on the parent's account */
            exit(0);        /* exit handlers and destructors run */
        }
        if (wait_for(pid) != 0)
            return 2;
    }
    kit_tell("forked");
    kit_hear();
    return 0;
}

/* A raw clone bypasses every fork handler. */
static int raw_clone(int argc, char **argv)
{
    (void)argc, (void)argv;
    kit_context(0);
    if (take(64 * MIB) != CUDA_SUCCESS)
        return 1;
    kit_tell("attached");
    kit_hear();
    long pid = syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, 0);
    if (pid == 0) {
        take(64 * MIB);
        kit_cuda()->cuInit(0);
        _exit(0);
    }
    if (wait_for((pid_t)pid) != 0)
        return 2;
    kit_tell("cloned");
    kit_hear();
    return 0;
}

static int in_shared_memory(void *argument)
{
    (void)argument;
    kit_cuda()->cuInit(0);
    return 0;
}

/* A child that shares the parent's memory must not make the parent forget. */
static int clone_vm(int argc, char **argv)
{
    static char stack[256 << 10];
    (void)argc, (void)argv;
    kit_context(0);
    int pid = clone(in_shared_memory, stack + sizeof stack, CLONE_VM | CLONE_VFORK | SIGCHLD, NULL);
    if (pid < 0 || wait_for(pid) != 0)
        return 1;
    return take(64 * MIB) == CUDA_SUCCESS ? 0 : 2;
}

static int vfork_and_spawn(int argc, char **argv)
{
    (void)argc, (void)argv;
    extern char **environ;
    char *const program[] = {(char *)(uintptr_t) "true", NULL};
    kit_context(0);
    pid_t pid = vfork();
    if (pid == 0) {
        execlp("true", "true", NULL);
        _exit(9);
    }
    if (wait_for(pid) != 0 || posix_spawnp(&pid, "true", NULL, NULL, program, environ) != 0 ||
        wait_for(pid) != 0)
        return 1;
    return take(64 * MIB) == CUDA_SUCCESS ? 0 : 2;
}

/* Forks a chain of children, each of which uses the device: neither handlers
 * nor descriptors may add up. */
static int generations(int argc, char **argv)
{
    (void)argc;
    int left = atoi(argv[0]);
    unsigned files = 0;
    kit_cuda();
    while (left-- > 0) {
        pid_t pid = fork();
        if (pid)
            return wait_for(pid);
        kit_cuda()->cuInit(0);
        unsigned now = open_files();
        if (files && now > files)
            _exit(3);
        files = now;
    }
    return 0;
}

static void *fork_in_thread(void *argument)
{
    (void)argument;
    for (int i = 0; i < 20; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            kit_cuda()->cuInit(0);
            _exit(0);
        }
        if (wait_for(pid) != 0)
            return (void *)1;
    }
    return NULL;
}

static int fork_storm(int argc, char **argv)
{
    pthread_t threads[4];
    void *failed = NULL;
    (void)argc, (void)argv;
    kit_context(0);
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, fork_in_thread, NULL);
    for (int i = 0; i < 4; i++) {
        void *result;
        pthread_join(threads[i], &result);
        failed = failed ? failed : result;
    }
    return failed ? 1 : take(64 * MIB) == CUDA_SUCCESS ? 0 : 2;
}

static void *attach_in_thread(void *barrier)
{
    pthread_barrier_wait(barrier);
    return kit_cuda()->cuInit(0) == CUDA_SUCCESS ? NULL : (void *)1;
}

/* Everybody is the first to call. */
static int attach_race(int argc, char **argv)
{
    enum { THREADS = 16 };
    pthread_t threads[THREADS];
    pthread_barrier_t barrier;
    void *failed = NULL;
    (void)argc, (void)argv;
    kit_cuda();
    pthread_barrier_init(&barrier, NULL, THREADS + 1);
    for (int i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, attach_in_thread, &barrier);
    pthread_barrier_wait(&barrier);
    int status = 0;
    for (int i = 0; i < 20; i++) {
        pid_t pid = fork(); /* whatever the others hold at this moment */
        if (pid == 0) {
            alarm(20);
            _exit(kit_cuda()->cuInit(0) != CUDA_SUCCESS);
        }
        status |= wait_for(pid);
    }
    for (int i = 0; i < THREADS; i++) {
        void *result;
        pthread_join(threads[i], &result);
        failed = failed ? failed : result;
    }
    kit_tell("attached");
    kit_hear();
    return failed ? 1 : status;
}

/* ---- descriptors ---- */

static int daemonise(int argc, char **argv)
{
    (void)argc;
    kit_context(0);
    for (int fd = 3; fd < 1024; fd++)
        close(fd);
    int mine[64]; /* takes the numbers that were closed */
    for (int i = 0; i < 64; i++)
        mine[i] = open(argv[0], O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (take(64 * MIB) != CUDA_SUCCESS)
        return 1;
    pid_t pid = fork();
    if (pid == 0) {
        for (int i = 0; i < 64; i++)
            if (mine[i] >= 0 && fcntl(mine[i], F_GETFD) < 0)
                _exit(4); /* closed under our feet */
        _exit(0);
    }
    int status = wait_for(pid);
    struct stat s;
    return status ? status : stat(argv[0], &s) == 0 && s.st_size == 0 ? 0 : 5;
}

static int exec_closes_files(int argc, char **argv)
{
    (void)argc, (void)argv;
    kit_context(0);
    execlp("sh", "sh", "-c", "ls -l /proc/$$/fd | grep -c vgpu.cache", NULL);
    return 1;
}

/* ---- signals ---- */

static volatile sig_atomic_t ticks;

static void on_tick(int signal)
{
    (void)signal;
    ticks++;
}

static int signal_storm(int argc, char **argv)
{
    static const int kept[] = {SIGUSR1, SIGUSR2, SIGCHLD, SIGPROF, SIGSEGV, SIGTERM, SIGINT, SIGBUS};
    struct sigaction action = {.sa_handler = on_tick}, now;
    struct itimerspec every = {.it_interval = {0, 200000}, .it_value = {0, 200000}};
    timer_t timer;
    (void)argc, (void)argv;
    for (unsigned i = 0; i < G_N_ELEMENTS(kept); i++) {
        sigaction(kept[i], NULL, &now);
        if (now.sa_handler != SIG_DFL)
            return 1;
    }
    sigaction(SIGUSR1, &action, NULL); /* without SA_RESTART */
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1};
    timer_create(CLOCK_MONOTONIC, &event, &timer);
    timer_settime(timer, 0, &every, NULL);
    kit_context(0);
    for (int i = 0; i < 3000; i++) {
        CUdeviceptr p;
        errno = 4242;
        if (kit_cuda()->cuMemAlloc_v2(&p, 1 << 20) != CUDA_SUCCESS ||
            kit_cuda()->cuMemFree_v2(p) != CUDA_SUCCESS)
            return 2;
        if (errno != 4242)
            return 3;
    }
    timer_delete(timer);
    sigaction(SIGUSR2, NULL, &now);
    return ticks > 0 && now.sa_handler == SIG_DFL ? 0 : 4;
}

static int side_effects(int argc, char **argv)
{
    (void)argc, (void)argv;
    umask(027);
    kit_context(0);
    mode_t mask = umask(0);
    unsigned threads = 0;
    DIR *dir = opendir("/proc/self/task");
    for (struct dirent *e; (e = readdir(dir));)
        threads += e->d_name[0] != '.';
    closedir(dir);
    if (take(1 * MIB) != CUDA_SUCCESS)
        return 1;
    kit_tell("umask %03o threads %u", mask, threads);
    return 0;
}

static int init_and_wait(int argc, char **argv)
{
    kit_context(0);
    CUresult result = take((uint64_t)atoi(argv[0]) * MIB);
    kit_tell("%d", result);
    kit_hear();
    return argc > 1 ? (_exit(0), 0) : 0;
}

static int try_to_take(int argc, char **argv)
{
    (void)argc;
    kit_context(0);
    kit_tell("%d", take((uint64_t)atoi(argv[0]) * MIB));
    return 0;
}

/* ---- tests ---- */

static void run_body(const char *body)
{
    struct kit *kit = kit_new(NULL);
    kit_env(kit, "CUDA_DEVICE_MEMORY_LIMIT", "2G");
    g_free(kit_run(kit, body, NULL));
    kit_free(kit);
}

static void fork_before_init_gives_each_a_slot(void)
{
    run_body("fork_before_init");
}

static void children_of_an_attached_process_leave_its_slot_alone(void)
{
    struct kit *kit = kit_new(NULL);
    kit_env(kit, "CUDA_DEVICE_MEMORY_LIMIT", "2G");
    struct kit_process *p = kit_start(kit, "fork_after_init", NULL);
    g_free(kit_line(p));
    uint64_t before = view_of(kit)->processes[0].used[0];
    g_assert_cmpuint(before, >=, 64 * MIB);
    kit_say(p, "go");
    g_free(kit_line(p));
    g_assert_cmpuint(view_of(kit)->processes[0].used[0], ==, before);
    g_assert_cmpint(view_of(kit)->processes[0].pid, ==, kit_pid(p));
    g_assert_cmpint(view_of(kit)->processes[0].status, ==, REGION_SLOT_RUNNING);
    kit_say(p, "end");
    g_assert_cmpint(kit_finish(p, NULL, NULL), ==, 0);
    kit_free(kit);
}

static void raw_clone_is_noticed(void)
{
    struct kit *kit = kit_new(NULL);
    struct kit_process *p = kit_start(kit, "raw_clone", NULL);
    g_free(kit_line(p));
    uint64_t before = view_of(kit)->processes[0].used[0];
    kit_say(p, "go");
    g_autofree char *line = kit_line(p);
    g_assert_cmpstr(line, ==, "cloned");
    g_assert_cmpuint(view_of(kit)->processes[0].used[0], ==, before);
    g_assert_cmpint(view_of(kit)->processes[0].pid, ==, kit_pid(p));
    kit_say(p, "end");
    g_assert_cmpint(kit_finish(p, NULL, NULL), ==, 0);
    kit_free(kit);
}

static void a_child_in_shared_memory_takes_nothing_from_its_parent(void)
{
    run_body("clone_vm");
}

static void vfork_exec_and_posix_spawn_work(void)
{
    run_body("vfork_and_spawn");
}

static void a_hundred_generations_of_fork_add_nothing_up(void)
{
    struct kit *kit = kit_new(NULL);
    g_free(kit_run(kit, "generations", "100", NULL));
    kit_free(kit);
}

static void one_fork_handler_serves_all_generations(void)
{
    static const char *const generations[] = {"0", "30"};
    g_autofree char *program = g_build_filename(g_getenv("HAMI_BUILD"), "tests/preload/handlers", NULL);

    for (gsize i = 0; i < G_N_ELEMENTS(generations); i++) {
        const char *const argv[] = {program, generations[i], NULL};
        struct kit *kit = kit_new(NULL);
        g_autofree char *out = NULL;
        kit_env(kit, "CUDA_DEVICE_MEMORY_LIMIT", "1G");
        g_assert_cmpint(kit_finish(kit_start_program(kit, argv), &out, NULL), ==, 0);
        g_assert_cmpstr(out, ==, "1\n");
        kit_free(kit);
    }
}

static void forks_from_many_threads_survive(void)
{
    run_body("fork_storm");
}

/* Over a driver without any lock of its own, so that only ours can be caught
 * in the act. */
static void threads_that_race_to_attach_share_one_slot(void)
{
    for (int round = 0; round < 10; round++) {
        struct kit *kit = kit_new(NULL);
        g_autofree char *driver =
            g_build_filename(g_getenv("HAMI_BUILD"), "tests/preload/libold_driver.so", NULL);
        g_autofree char *link = kit_path(kit, "libcuda.so.1");
        g_assert_cmpint(symlink(driver, link), ==, 0);
        kit_env(kit, "LD_LIBRARY_PATH", "%s", kit_dir(kit));
        struct kit_process *p = kit_start(kit, "attach_race", NULL);
        g_autofree char *line = kit_line(p);
        g_assert_cmpstr(line, ==, "attached");
        struct region_view *view = view_of(kit);
        unsigned mine = 0;
        for (unsigned i = 0; i < view->n_processes; i++)
            mine += view->processes[i].pid == kit_pid(p);
        g_assert_cmpuint(mine, ==, 1);
        kit_say(p, "end");
        g_assert_cmpint(kit_finish(p, NULL, NULL), ==, 0);
        kit_free(kit);
    }
}

static void a_daemon_that_closes_all_files_keeps_its_new_ones(void)
{
    struct kit *kit = kit_new(NULL);
    g_autofree char *own = kit_path(kit, "own-file");
    g_free(kit_run(kit, "daemonise", own, NULL));
    kit_free(kit);
}

static void exec_inherits_no_descriptor(void)
{
    struct kit *kit = kit_new(NULL);
    struct kit_process *p = kit_start(kit, "exec_closes_files", NULL);
    g_autofree char *out = NULL;
    g_assert_cmpint(kit_finish(p, &out, NULL), ==, 1); /* grep found none */
    g_assert_cmpstr(out, ==, "0\n");
    kit_free(kit);
}

static void signals_interrupt_nothing_and_stay_the_programs(void)
{
    run_body("signal_storm");
}

static void umask_and_threads_are_left_alone(void)
{
    struct kit *kit = kit_new(NULL), *bare = kit_new(NULL);
    kit_no_preload(bare);
    g_autofree char *out = kit_run(kit, "side_effects", NULL), *native = kit_run(bare, "side_effects", NULL);
    g_assert_cmpstr(out, ==, native);
    kit_free(bare);
    kit_free(kit);
}

/* However a process ends, what it held is free at the next need. */
static void what_a_process_held_is_free_after_its_end(void)
{
    for (int how = 0; how < 3; how++) {
        struct kit *kit = kit_new(NULL);
        kit_env(kit, "CUDA_DEVICE_MEMORY_LIMIT", "2G");
        struct kit_process *p = kit_start(kit, "init_and_wait", "1500", how == 1 ? "_exit" : NULL, NULL);
        g_autofree char *line = kit_line(p);
        g_assert_cmpstr(line, ==, "0");
        g_autofree char *refused = NULL;
        g_assert_cmpint(kit_finish(kit_start(kit, "try_to_take", "1000", NULL), &refused, NULL), ==, 0);
        g_assert_cmpstr(refused, ==, "2\n");
        if (how == 2)
            kit_kill(p);
        kit_finish(p, NULL, NULL);
        g_autofree char *out = kit_run(kit, "try_to_take", "1500", NULL);
        g_assert_cmpstr(out, ==, "0\n");
        kit_free(kit);
    }
}

static void a_process_that_ended_orderly_counts_for_no_reader(void)
{
    struct kit *kit = kit_new(NULL);
    g_free(kit_run(kit, "try_to_take", "100", NULL));
    struct region_view *view = view_of(kit);
    for (unsigned i = 0; i < view->n_processes; i++)
        g_assert_cmpint(view->processes[i].status, ==, REGION_SLOT_FREE);
    kit_free(kit);
}

/* ---- small stacks ---- */

/* What a frugal thread pool gives its threads, or the least that the C library allows: nothing of ours may
 * take more than a few pages of it. */
static size_t small_stack(void)
{
    long least = sysconf(_SC_THREAD_STACK_MIN);
    return MAX((size_t)MAX(least, 0), 40 * 1024);
}

struct small {
    const char *what; /* "memory", "nvml" */
    CUresult refused;
    unsigned failed; /* calls that should have worked */
};

static void *use_memory(void *data)
{
    struct small *s = data;
    const struct real_cuda *cu = kit_cuda();
    CUdeviceptr p = 0, q = 0;
    CUmemGenericAllocationHandle handle = 0;
    CUmemAllocationProp prop = {.type = CU_MEM_ALLOCATION_TYPE_PINNED,
                                .location = {.type = CU_MEM_LOCATION_TYPE_DEVICE, .id = 0}};
    size_t left, total;

    kit_context(0); /* attaches to the slice */
    s->failed += cu->cuMemAlloc_v2(&p, 64 * MIB) != CUDA_SUCCESS;
    s->failed += cu->cuMemAllocAsync(&q, 64 * MIB, NULL) != CUDA_SUCCESS;
    s->failed += cu->cuMemCreate(&handle, 64 * MIB, &prop, 0) != CUDA_SUCCESS;
    s->failed += cu->cuMemGetInfo_v2(&left, &total) != CUDA_SUCCESS || total != 1024 * MIB;
    s->failed += cu->cuMemRelease(handle) != CUDA_SUCCESS;
    s->failed += cu->cuMemFreeAsync(q, NULL) != CUDA_SUCCESS;
    s->failed += cu->cuMemFree_v2(p) != CUDA_SUCCESS;
    s->refused = cu->cuMemAlloc_v2(&p, 2048 * MIB);
    s->failed += cu->cuMemAlloc_v2(&p, 900 * MIB) != CUDA_SUCCESS; /* once the dead one's is reclaimed */
    return NULL;
}

static void *use_nvml(void *data)
{
    struct small *s = data;
    const struct real_nvml *nv = kit_nvml();
    static nvmlProcessInfo_t infos[64];
    nvmlDevice_t device = NULL;
    nvmlMemory_t memory = {0};
    unsigned n = G_N_ELEMENTS(infos);

    s->failed += nv->nvmlInit_v2() != NVML_SUCCESS;
    s->failed += nv->nvmlDeviceGetHandleByIndex_v2(0, &device) != NVML_SUCCESS;
    s->failed += nv->nvmlDeviceGetMemoryInfo(device, &memory) != NVML_SUCCESS || memory.total != 1024 * MIB;
    s->failed += nv->nvmlDeviceGetComputeRunningProcesses_v3(device, &n, infos) != NVML_SUCCESS;
    s->refused = CUDA_ERROR_OUT_OF_MEMORY;
    return NULL;
}

static int on_a_small_stack(int argc, char **argv)
{
    struct small s = {.what = argv[0]};
    pthread_attr_t attr;
    pthread_t thread;

    (void)argc;
    kit_cuda(), kit_nvml(); /* the linker's own stack is not what is looked at */
    pthread_attr_init(&attr);
    if (pthread_attr_setstacksize(&attr, small_stack()) != 0 ||
        pthread_create(&thread, &attr, strcmp(s.what, "nvml") ? use_memory : use_nvml, &s) != 0)
        return 97;
    pthread_join(thread, NULL);
    pthread_attr_destroy(&attr);
    kit_tell("refused %d, failed %u", s.refused, s.failed);
    return 0;
}

static int take_and_be_killed(int argc, char **argv)
{
    (void)argc, (void)argv;
    kit_context(0);
    if (take(800 * MIB) != CUDA_SUCCESS)
        return 1;
    raise(SIGKILL);
    return 2;
}

static void a_thread_with_a_small_stack_may_do_everything(void)
{
    static const char *const whats[] = {"memory", "nvml"};
    for (gsize i = 0; i < G_N_ELEMENTS(whats); i++) {
        struct kit *kit = kit_new(KIT_CARDS KIT_CARD("16GiB", "0"));
        kit_env(kit, "CUDA_DEVICE_MEMORY_LIMIT", "1G");
        g_assert_cmpint(kit_finish(kit_start(kit, "take_and_be_killed", NULL), NULL, NULL), ==, -SIGKILL);
        g_autofree char *out = NULL;
        g_test_message("%s", whats[i]);
        g_assert_cmpint(kit_finish(kit_start(kit, "on_a_small_stack", whats[i], NULL), &out, NULL), ==, 0);
        g_assert_cmpstr(out, ==, "refused 2, failed 0\n");
        kit_free(kit);
    }
}

static const struct kit_body bodies[] = {
    {"on_a_small_stack", on_a_small_stack},
    {"take_and_be_killed", take_and_be_killed},
    {"fork_before_init", fork_before_init},
    {"fork_after_init", fork_after_init},
    {"raw_clone", raw_clone},
    {"clone_vm", clone_vm},
    {"vfork_and_spawn", vfork_and_spawn},
    {"generations", generations},
    {"fork_storm", fork_storm},
    {"attach_race", attach_race},
    {"daemonise", daemonise},
    {"exec_closes_files", exec_closes_files},
    {"signal_storm", signal_storm},
    {"side_effects", side_effects},
    {"init_and_wait", init_and_wait},
    {"try_to_take", try_to_take},
    {0},
};

int main(int argc, char **argv)
{
    if (kit_is_child(argc, argv))
        return kit_child(argc, argv, bodies);
    g_test_init(&argc, &argv, NULL);
#define TEST(name) g_test_add_func("/life/" #name, name)
    TEST(fork_before_init_gives_each_a_slot);
    TEST(children_of_an_attached_process_leave_its_slot_alone);
    TEST(raw_clone_is_noticed);
    TEST(a_child_in_shared_memory_takes_nothing_from_its_parent);
    TEST(vfork_exec_and_posix_spawn_work);
    TEST(a_hundred_generations_of_fork_add_nothing_up);
    TEST(one_fork_handler_serves_all_generations);
    TEST(forks_from_many_threads_survive);
    TEST(threads_that_race_to_attach_share_one_slot);
    TEST(a_daemon_that_closes_all_files_keeps_its_new_ones);
    TEST(exec_inherits_no_descriptor);
    TEST(signals_interrupt_nothing_and_stay_the_programs);
    TEST(umask_and_threads_are_left_alone);
    TEST(what_a_process_held_is_free_after_its_end);
    TEST(a_process_that_ended_orderly_counts_for_no_reader);
    TEST(a_thread_with_a_small_stack_may_do_everything);
    return g_test_run();
}
