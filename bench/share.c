/* SPDX-License-Identifier: Apache-2.0
 *
 * How exactly compute shares hold: starts tenants as processes of their own,
 * each with limits, over the simulated driver in real time, and measures from
 * the simulator's log of completed intervals what each of them got.
 *
 *   share BUILD_DIR [--quick] [--only TEXT] [--seconds S] [--environment]
 *
 * --environment: for a library that knows no grants (terms.h). A case whose tenant
 * ended says "crashed" instead of figures, and a change it cannot follow "not offered".
 *
 * One line per tenant and case: share asked and measured (bias in points), mean
 * absolute error over 100 ms windows above its floor d(1-q)/2W, and for cases
 * with several tenants the error of their ratio
 * and Jain's index of got/asked. A case with an idle tenant says what is left
 * unused under the default policy; a case with requests says by how much their
 * p99 grows beyond what the quota explains; one beside a tenant without a limit
 * says what its start cost and gave back. Exit status 0; figures inform.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "abi/cuda_api.h"
#include "bench/scratch.h"
#include "bench/share_cases.h"
#include "bench/terms.h"
#include "sim/inspect.h"

#define SECOND_NS UINT64_C(1000000000)
#define WINDOW_NS UINT64_C(100000000)
#define TIMES 65536
#define REQUEST_KERNELS 50

/* Who has no limit fills the driver's queue before it sees its neighbour, with
 * 1024 kernels. What the neighbour earns meanwhile, 100 ms of the device at most,
 * comes back to it in turns that leave it some 2.5 points more than its share:
 * for 4 s. That is part of `in all`; the share is that of the time after. */
#define REPAID_S 4.5

static uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * SECOND_NS + (uint64_t)t.tv_nsec;
}

static _Noreturn void die(const char *what)
{
    fprintf(stderr, "share: %s: %s\n", what, errno ? strerror(errno) : "failed");
    _exit(1);
}

/* ---- a tenant ---------------------------------------------------------- */

#define ENTRIES(X)                                                                                           \
    X(cuInit)                                                                                                \
    X(cuDevicePrimaryCtxRetain)                                                                              \
    X(cuCtxSetCurrent)                                                                                       \
    X(cuModuleLoadData)                                                                                      \
    X(cuModuleGetFunction)                                                                                   \
    X(cuStreamCreate)                                                                                        \
    X(cuStreamSynchronize)                                                                                   \
    X(cuStreamBeginCapture_v2)                                                                               \
    X(cuStreamEndCapture)                                                                                    \
    X(cuGraphInstantiateWithFlags)                                                                           \
    X(cuGraphLaunch)                                                                                         \
    X(cuLaunchKernel)                                                                                        \
    X(cuLaunchKernelEx)                                                                                      \
    X(cuLaunchCooperativeKernel)

static struct {
#define X(name) __typeof__(name) *name;
    ENTRIES(X)
#undef X
} cu;

static void load_driver(void)
{
    void *library = dlopen("libcuda.so.1", RTLD_NOW);
    if (!library) {
        fprintf(stderr, "share: %s\n", dlerror());
        _exit(1);
    }
#define X(name)                                                                                              \
    cu.name = (__typeof__(cu.name))dlsym(library, #name);                                                    \
    if (!cu.name)                                                                                            \
        die(#name);
    ENTRIES(X)
#undef X
}

static void check(CUresult result, const char *what)
{
    if (result != CUDA_SUCCESS) {
        fprintf(stderr, "share: %s answers %d\n", what, (int)result);
        _exit(1);
    }
}

static uint64_t random_state;

static uint64_t duration_of(const struct tenant *t)
{
    random_state = random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    uint64_t mean = (uint64_t)t->us * 1000, span = mean * t->jitter / 100;
    return span ? mean - span + (random_state >> 20) % (2 * span + 1) : mean;
}

static CUgraphExec graph_of(CUfunction f, const struct tenant *t, CUstream stream)
{
    CUgraph graph;
    CUgraphExec exec;
    check(cu.cuStreamBeginCapture_v2(stream, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL), "begin capture");
    for (int i = 0; i < 10; i++) {
        uint64_t ns = duration_of(t);
        void *params[] = {&ns};
        check(cu.cuLaunchKernel(f, 132, 1, 1, 128, 1, 1, 0, stream, params, NULL), "captured launch");
    }
    check(cu.cuStreamEndCapture(stream, &graph), "end capture");
    check(cu.cuGraphInstantiateWithFlags(&exec, graph, 0), "instantiate");
    return exec;
}

static void launch(const struct tenant *t, CUfunction f, CUgraphExec exec, CUstream stream)
{
    uint64_t ns = duration_of(t);
    void *params[] = {&ns};
    unsigned grid = t->shape == WIDE ? 16384 : 132;
    CUlaunchConfig config = {.gridDimX = grid,
                             .gridDimY = 1,
                             .gridDimZ = 1,
                             .blockDimX = 128,
                             .blockDimY = 1,
                             .blockDimZ = 1,
                             .hStream = stream};
    switch (t->shape) {
    case COOPERATIVE:
        check(cu.cuLaunchCooperativeKernel(f, grid, 1, 1, 128, 1, 1, 0, stream, params), "launch");
        break;
    case EX:
        check(cu.cuLaunchKernelEx(&config, f, params, NULL), "launch");
        break;
    case GRAPH:
        check(cu.cuGraphLaunch(exec, stream), "graph launch");
        break;
    case SYNC:
    case BURST:
    case IDLE:
    case REQUEST:
    case PEER:
    case WIDE:
    case KERNEL:
        check(cu.cuLaunchKernel(f, grid, 1, 1, 128, 1, 1, 0, stream, params, NULL), "launch");
    }
    if (t->shape == SYNC)
        check(cu.cuStreamSynchronize(stream), "synchronize");
}

/* How long each request took, in a file both sides map. */
struct times {
    uint32_t n;
    double ms[TIMES];
};

static struct times *map_times(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0 || ftruncate(fd, sizeof(struct times)) != 0)
        die(path);
    struct times *times = mmap(NULL, sizeof *times, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (times == MAP_FAILED)
        die(path);
    close(fd);
    return times;
}

static void request(const struct tenant *t, CUfunction f, CUstream stream, struct times *times)
{
    uint64_t begin = now_ns();
    for (int i = 0; i < REQUEST_KERNELS; i++)
        launch(t, f, NULL, stream);
    check(cu.cuStreamSynchronize(stream), "synchronize");
    uint32_t n = times->n;
    times->ms[n % TIMES] = (double)(now_ns() - begin) / 1e6;
    __atomic_store_n(&times->n, n + 1, __ATOMIC_RELEASE);
}

static void burst(const struct tenant *t, CUfunction f, CUstream stream)
{
    for (uint64_t begin = now_ns(); now_ns() - begin < SECOND_NS / 5;)
        launch(t, f, NULL, stream);
    check(cu.cuStreamSynchronize(stream), "synchronize");
    usleep(300000);
}

static _Noreturn void work(const struct tenant *t, CUfunction f, CUgraphExec exec, CUstream stream)
{
    struct times *times = t->shape == REQUEST ? map_times(getenv("SHARE_TIMES")) : NULL;
    for (;;)
        switch (t->shape) {
        case REQUEST:
            request(t, f, stream, times);
            break;
        case BURST:
            burst(t, f, stream);
            break;
        case IDLE:
            pause();
            break;
        default:
            launch(t, f, exec, stream);
        }
}

static _Noreturn void tenant_main(char **argv)
{
    struct tenant t = {
        .us = (unsigned)atoi(argv[0]), .jitter = (unsigned)atoi(argv[1]), .shape = (enum shape)atoi(argv[2])};
    CUcontext ctx;
    CUmodule module;
    CUfunction f;
    CUstream stream;
    random_state = (uint64_t)atoi(argv[3]);
    load_driver();
    check(cu.cuInit(0), "cuInit");
    check(cu.cuDevicePrimaryCtxRetain(&ctx, 0), "context");
    check(cu.cuCtxSetCurrent(ctx), "context");
    check(cu.cuModuleLoadData(&module, ".version 8.0\n.target sm_70\n.address_size 64\n"
                                       ".visible .entry sim_arg(.param .u64 ns)\n{ ret; }\n"),
          "module");
    check(cu.cuModuleGetFunction(&f, module, "sim_arg"), "function");
    check(cu.cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING), "stream");
    CUgraphExec exec = t.shape == GRAPH ? graph_of(f, &t, stream) : NULL;
    work(&t, f, exec, stream);
}

/* ---- the machine ------------------------------------------------------- */

static char scratch[SCRATCH_BYTES];
static const struct terms_way *way = &terms_by_grant;
static const char *build;
static const char *self;

static char *in_scratch(const char *name, unsigned n)
{
    static char ring[8][SCRATCH_BYTES + 32];
    static unsigned next;
    char *place = ring[next++ % 8];
    snprintf(place, sizeof ring[0], "%s/%s%u", scratch, name, n);
    return place;
}

static void write_file(const char *path, const char *text, size_t n)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0 || pwrite(fd, text, n, 0) != (ssize_t)n)
        die(path);
    close(fd);
}

static bool has(const struct test *test, enum shape shape)
{
    for (unsigned i = 0; i < TENANTS && test->tenants[i].us; i++)
        if (test->tenants[i].shape == shape)
            return true;
    return false;
}

static bool has_unlimited(const struct test *test)
{
    for (unsigned i = 0; i < TENANTS && test->tenants[i].us; i++)
        if (test->tenants[i].percent == 100)
            return true;
    return false;
}

/* Unused time may be borrowed only where that is what the case asks about. */
static struct terms terms_of(const struct test *test, unsigned slice, unsigned percent)
{
    return (struct terms){.slice = slice,
                          .percent = percent,
                          .lends = has(test, IDLE),
                          .folder = scratch,
                          .uuid = sim_state->profile.devices[0].uuid};
}

static void open_machine(const struct test *test)
{
    char err[256];
    if (!scratch_new(scratch, "share"))
        die(scratch);
    setenv("HAMI_SIM", has(test, REQUEST) ? "t4,schedule=time-sliced" : "t4", 1);
    setenv("HAMI_SIM_STATE", in_scratch("machine", 0), 1);
    if (sim_state_open(err, sizeof err) != 0) {
        fprintf(stderr, "share: %s\n", err);
        exit(1);
    }
}

static void close_machine(void)
{
    static const char *const names[] = {"machine", "board", "times"};
    for (unsigned n = 0; n < sizeof names / sizeof names[0]; n++)
        for (unsigned i = 0; i < TENANTS; i++)
            unlink(in_scratch(names[n], i));
    for (unsigned i = 0; i < TENANTS; i++)
        terms_forget(scratch, i);
    rmdir(scratch);
}

/* By tenant; 0 where none was started. */
static pid_t working[TENANTS];

/* A tenant works until it is stopped: one that has ended makes figures void. */
static bool crashed(void)
{
    for (unsigned i = 0; i < TENANTS; i++) {
        siginfo_t info = {.si_pid = 0};
        if (working[i] && waitid(P_PID, (id_t)working[i], &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
            info.si_pid)
            return true;
    }
    return false;
}

static void print_crash(const struct test *test)
{
    printf("%-28s crashed\n", test->name);
}

/* percent 0: without the library. */
static pid_t start(const struct test *test, unsigned i, unsigned percent)
{
    const struct tenant *t = &test->tenants[i];
    char us[16], jitter[16], shape[16], seed[16], path[512];
    unsigned slice = t->shape == PEER ? 0 : i;
    struct terms terms = terms_of(test, slice, percent);
    if (t->shape != PEER && !way->write(&terms, 1))
        die("terms");
    snprintf(us, sizeof us, "%u", t->us);
    snprintf(jitter, sizeof jitter, "%u", t->jitter);
    snprintf(shape, sizeof shape, "%d", (int)t->shape);
    snprintf(seed, sizeof seed, "%u", i + 1);
    pid_t pid = fork();
    if (pid != 0)
        return working[i] = pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    setpriority(PRIO_PROCESS, 0, -15); /* where permitted: other programs' bursts are not our subject */
    snprintf(path, sizeof path, "%s/sim", build);
    setenv("LD_LIBRARY_PATH", path, 1);
    snprintf(path, sizeof path, "%s/libvgpu.so", build);
    if (percent)
        setenv("LD_PRELOAD", path, 1);
    setenv("SHARE_TIMES", in_scratch("times", i), 1);
    way->tell(&terms);
    execl(self, self, "--tenant", us, jitter, shape, seed, NULL);
    die(self);
}

/* ---- figures ----------------------------------------------------------- */

struct figures {
    double share, mae, settle_s;
};

static double share_in(int pid, uint64_t from, uint64_t to)
{
    return 100.0 * (double)sim_inspect_busy_ns(0, UINT32_MAX, pid, from, to) / (double)(to - from);
}

/* Time of one kernel at its share, and the pause that this costs. */
static double period_ns(const struct tenant *t, double target)
{
    return t->us * 1e3 * (t->shape == GRAPH ? 10 : 1) * 100 / target;
}

/* The share is that of whole periods: half a one more or less would be 0.67 pp
 * of 3 s for 40 ms kernels at 50 %. */
static struct figures figures_of(const struct tenant *tenant, int pid, double target, uint64_t from,
                                 uint64_t to)
{
    double period = period_ns(tenant, target), whole = floor((double)(to - from) / period) * period;
    struct figures f = {.share = share_in(pid, from, whole > 0 ? from + (uint64_t)whole : to)};
    unsigned n = 0;
    for (uint64_t t = from; t + WINDOW_NS <= to; t += WINDOW_NS, n++)
        f.mae += fabs(share_in(pid, t, t + WINDOW_NS) - target);
    f.mae /= n ? n : 1;
    return f;
}

/* Time from `from` until all later sliding means over 1 s lie within 2 points
 * or 5 % of the target. */
static double settle_of(int pid, double target, uint64_t from, uint64_t to)
{
    double band = fmax(2, 0.05 * target);
    uint64_t settled = from;
    for (uint64_t t = from; t + SECOND_NS <= to; t += WINDOW_NS / 10)
        if (fabs(share_in(pid, t, t + SECOND_NS) - target) > band)
            settled = t + WINDOW_NS / 10;
    return (double)(settled - from) / 1e9;
}

static void sleep_s(double seconds)
{
    usleep((useconds_t)(seconds * 1e6));
}

static bool started(const struct test *test, const pid_t *pids, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        if (test->tenants[i].shape != IDLE && share_in(pids[i], now_ns() - SECOND_NS, now_ns()) <= 0)
            return false;
    return true;
}

static double target_of(const struct test *test, unsigned i)
{
    const struct tenant *t = &test->tenants[i];
    if (t->percent < 100)
        return t->percent;
    double left = 100;
    for (unsigned k = 0; k < TENANTS && test->tenants[k].us; k++)
        left -= k != i ? test->tenants[k].percent : 0;
    return left;
}

static void print_tenant(const struct test *test, unsigned i, const struct figures *f)
{
    const struct tenant *t = &test->tenants[i];
    double target = target_of(test, i), d_ms = t->us / 1000.0 * (t->shape == GRAPH ? 10 : 1);
    double floor = d_ms * (100 - target) / 200 * (t->jitter ? 1 + t->jitter / 100.0 : 1);
    printf("%-28s %-6s %6.1f %7.2f %+6.2f %6.2f %6.2f\n", i ? "" : test->name, shape_names[t->shape], target,
           f->share, f->share - target, f->mae, floor);
}

static void run_change(const struct test *test, pid_t pid, double seconds)
{
    uint64_t before = now_ns();
    sleep_s(seconds / 2);
    uint64_t changed = now_ns();
    struct figures f = figures_of(&test->tenants[0], pid, test->tenants[0].percent, before, changed);
    struct terms terms = terms_of(test, 0, test->change_to);
    if (!way->live && !crashed()) {
        print_tenant(test, 0, &f);
        printf("%-28s to %u: not offered\n", "", test->change_to);
        return;
    }
    if (!way->write(&terms, 2))
        die("terms");
    sleep_s(seconds / 2);
    uint64_t end = now_ns();
    if (crashed()) {
        print_crash(test);
        return;
    }
    print_tenant(test, 0, &f);
    printf("%-28s to %u: %.2f in force after %.3f s (target 0.2)\n", "", test->change_to,
           share_in(pid, changed + 2 * WINDOW_NS, end), settle_of(pid, test->change_to, changed, end));
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Jain's index of got/asked in each second, its 5th percentile; of the tenants
 * that always have work. */
static double jain_p5(const struct test *test, const pid_t *pids, unsigned n, uint64_t from, uint64_t to)
{
    double j[512];
    unsigned windows = 0;
    for (uint64_t t = from; t + SECOND_NS <= to && windows < 512; t += WINDOW_NS, windows++) {
        double sum = 0, squares = 0;
        unsigned counted = 0;
        for (unsigned i = 0; i < n; i++) {
            double x = share_in(pids[i], t, t + SECOND_NS) / target_of(test, i);
            if (test->tenants[i].shape == BURST)
                continue;
            sum += x, squares += x * x, counted++;
        }
        j[windows] = squares > 0 ? sum * sum / (counted * squares) : 0;
    }
    qsort(j, windows, sizeof j[0], by_value);
    return windows ? j[windows * 5 / 100] : 0;
}

static void print_unused(const pid_t *pids, unsigned n, uint64_t from, uint64_t to)
{
    double used = 0;
    for (unsigned i = 0; i < n; i++)
        used += share_in(pids[i], from, to);
    printf("%-28s unused %.4f (target 0.02)\n", "", 1 - used / 100);
}

/* The first tenant's share since the card's first work, which both came for. */
static void print_in_all(const struct test *test, int pid, uint64_t to)
{
    struct sim_log_reader reader = {.device = 0};
    struct sim_interval first;
    if (sim_inspect_read(&reader, &first, 1) == 1 && reader.lost == 0)
        printf("%-28s in all %+.2f pp since the first kernel (target 0.5)\n", "",
               share_in(pid, first.start_ns, to) - target_of(test, 0));
}

static void run_steady(const struct test *test, const pid_t *pids, unsigned n, double seconds)
{
    struct figures f[TENANTS];
    if (has_unlimited(test))
        sleep_s(REPAID_S);
    uint64_t from = now_ns(), first = from - SECOND_NS / 2;
    sleep_s(seconds);
    uint64_t to = now_ns();
    if (crashed()) {
        print_crash(test);
        return;
    }
    for (unsigned i = 0; i < n; i++) {
        f[i] = figures_of(&test->tenants[i], pids[i], target_of(test, i), from, to);
        print_tenant(test, i, &f[i]);
    }
    if (n == 1)
        printf("%-28s settled %.2f s after the first look\n", "",
               settle_of(pids[0], target_of(test, 0), first, to));
    if (has(test, IDLE)) {
        print_unused(pids, n, from, to);
        return;
    }
    for (unsigned i = 1; i < n; i++)
        if (test->tenants[i].shape != BURST)
            printf("%-28s ratio error %+.2f %%\n", "",
                   100 * (f[i - 1].share / f[i].share / (target_of(test, i - 1) / target_of(test, i)) - 1));
    if (has_unlimited(test))
        print_in_all(test, pids[0], to);
    if (n > 1)
        printf("%-28s Jain p5 %.5f\n", "", jain_p5(test, pids, n, from, to));
}

static void stop(const pid_t *pids, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        kill(pids[i], SIGKILL);
        waitpid(pids[i], NULL, 0);
        working[i] = 0;
    }
}

static void await_start(const struct test *test, const pid_t *pids, unsigned n)
{
    for (int i = 0; i < 100 && !started(test, pids, n); i++)
        sleep_s(0.02);
    sleep_s(0.5);
}

/* The victim's p99 beside the tenants after it, of which there are n - 1; NAN when one crashed. */
static double victim_p99(const struct test *test, unsigned n, unsigned percent, double seconds)
{
    pid_t pids[TENANTS];
    static double ms[TIMES];
    for (unsigned i = 0; i < n; i++)
        pids[i] = start(test, i, i && percent ? test->tenants[i].percent : percent);
    await_start(test, pids, n);
    struct times *times = map_times(in_scratch("times", 0));
    uint32_t first = __atomic_load_n(&times->n, __ATOMIC_ACQUIRE), count = 0;
    sleep_s(seconds);
    for (uint32_t last = __atomic_load_n(&times->n, __ATOMIC_ACQUIRE); first < last && count < TIMES; first++)
        ms[count++] = times->ms[first % TIMES];
    bool ended = crashed();
    stop(pids, n);
    times->n = 0;
    munmap(times, sizeof *times);
    qsort(ms, count, sizeof ms[0], by_value);
    return count && !ended ? ms[count * 99 / 100] : NAN;
}

/* Against its own share: half the device may take twice as long, no longer. What
 * the driver does by itself with the same load (quantum 2 ms) is said beside. */
static void run_victim(const struct test *test, double seconds)
{
    double alone = victim_p99(test, 1, 100, seconds / 2);
    double shared = victim_p99(test, 2, test->tenants[0].percent, seconds / 2);
    double bare = victim_p99(test, 2, 0, seconds / 2);
    if (isnan(alone) || isnan(shared)) {
        print_crash(test);
        return;
    }
    printf("%-28s request\n%-28s p99 %.3f ms alone, %.3f ms beside; slower %+.2f %% (target 10)\n",
           test->name, "", alone, shared, 100 * (shared * test->tenants[0].percent / 100 / alone - 1));
    printf("%-28s without the library: p99 %.3f ms beside, by %+.2f %%\n", "", bare,
           100 * (bare * test->tenants[0].percent / 100 / alone - 1));
}

static void run_test(const struct test *test, double seconds)
{
    pid_t pids[TENANTS];
    unsigned n = 0;
    char page[4096] = {0};
    open_machine(test);
    write_file(in_scratch("board", 0), page, sizeof page);
    if (has(test, REQUEST)) {
        run_victim(test, seconds);
    } else {
        for (; n < TENANTS && test->tenants[n].us; n++)
            pids[n] = start(test, n, test->tenants[n].percent);
        await_start(test, pids, n);
        if (test->change_to)
            run_change(test, pids[0], seconds);
        else if (has(test, PEER))
            run_steady(test, &(const pid_t){0}, 1, seconds);
        else
            run_steady(test, pids, n, seconds);
        stop(pids, n);
    }
    fflush(stdout);
    close_machine();
}

/* Each case has a simulated machine of its own, so a process of its own. */
static void run_apart(const struct test *test, double seconds)
{
    pid_t pid = fork();
    if (pid == 0) {
        run_test(test, seconds);
        _exit(0);
    }
    waitpid(pid, NULL, 0);
}

int main(int argc, char **argv)
{
    static char path[512];
    bool quick = false;
    const char *only = NULL;
    double seconds = 0;
    if (argc > 5 && strcmp(argv[1], "--tenant") == 0)
        tenant_main(argv + 2);
    if (argc < 2 || !(build = realpath(argv[1], NULL))) {
        fprintf(stderr, "usage: share BUILD_DIR [--quick] [--only TEXT] [--seconds S] [--environment]\n");
        return 2;
    }
    for (int i = 2; i < argc; i++) {
        quick |= strcmp(argv[i], "--quick") == 0;
        if (strcmp(argv[i], "--environment") == 0)
            way = &terms_by_environment;
        if (strcmp(argv[i], "--only") == 0 && i + 1 < argc)
            only = argv[++i];
        else if (strcmp(argv[i], "--seconds") == 0 && i + 1 < argc)
            seconds = atof(argv[++i]);
    }
    if (readlink("/proc/self/exe", path, sizeof path - 1) < 0)
        die("/proc/self/exe");
    self = path;
    seconds = seconds > 0 ? seconds : quick ? 3 : 6;
    printf("%-28s %-6s %6s %7s %6s %6s %6s   (%% of the device; simulated driver, real time)\n", "case",
           "launch", "asked", "got", "bias", "MAE", "floor");
    fflush(stdout);
    for (unsigned i = 0; i < n_tests; i++)
        if ((!quick || tests[i].quick) && (!only || strstr(tests[i].name, only)))
            run_apart(&tests[i], seconds);
    return 0;
}
