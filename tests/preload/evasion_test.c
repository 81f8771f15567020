/* SPDX-License-Identifier: Apache-2.0
 *
 * Programs that would have more of a card than their share, by launching so that
 * what they use cannot be told or is not looked at: each gets its share and no
 * more. Looked at in the simulator's own log of what ran, in a time of their own.
 */
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/resource.h>

#include "compute_kernel.h"
#include "own_time.h"

#define US UINT64_C(1000)
#define MS UINT64_C(1000000)
#define MIB ((size_t)1024 * 1024)
#define SETTLES (500 * MS)
#define SECOND (1000 * MS)
#define LASTS (8 * SECOND)
#define PERCENT 20
#define OFF_PP 5 /* what is found by chance takes its time */

/* ---- what the programs have ---- */

static CUcontext context;
static CUfunction kernel; /* one function and size, whatever it takes: prices are kept by these */
static CUstream stream, other_stream;
static CUdeviceptr memory;

static const struct real_cuda *cu(void)
{
    return kit_cuda();
}

/* The host's own work. */
static void works(uint64_t ns)
{
    wait_until(now_ns() + ns);
}

/* A launch that is over when the host has done something else. */
static void launches_and_works(uint64_t ns)
{
    launch_ns(kernel, ns, stream);
    works(ns);
}

static void short_ones(unsigned n, uint64_t each_ns)
{
    for (unsigned i = 0; i < n; i++) {
        launch_ns(kernel, 5 * US, stream);
        works(each_ns);
    }
}

static void waits(void)
{
    cu()->cuStreamSynchronize(stream);
}

/* ---- one thread ---- */

static void works_while_it_runs(void)
{
    launches_and_works(2 * MS);
    waits();
}

static void works_and_polls(void)
{
    launches_and_works(2 * MS);
    cu()->cuStreamQuery(stream);
}

static void every_other_is_long(void)
{
    static unsigned n;
    launches_and_works(n++ % 2 ? 2 * MS : 5 * US);
    waits();
}

static void short_ones_end_a_long_one(void)
{
    launches_and_works(2 * MS);
    short_ones(20, 10 * US);
}

static void short_ones_and_a_wait_end_a_long_one(void)
{
    launches_and_works(2 * MS);
    short_ones(3, 5 * US);
    waits();
}

static void one_of_200_is_long(void)
{
    launches_and_works(4 * MS);
    short_ones(200, 10 * US);
}

static void one_of_300_is_longer(void)
{
    launches_and_works(8 * MS);
    short_ones(300, 7 * US);
}

/* Its batch is no longer than those of a host that is just slow. */
static void one_of_100_is_not_so_long(void)
{
    launches_and_works(1500 * US);
    short_ones(100, 10 * US);
}

static void one_of_30_is_a_little_longer(void)
{
    launches_and_works(240 * US);
    short_ones(30, 10 * US);
}

/* The flood says that this host is not a slow one. */
static void floods_after_a_long_one(void)
{
    launches_and_works(40 * MS);
    short_ones(20, 1 * US);
    waits();
    short_ones(1000, 0);
    waits();
}

static void grow(void)
{
    static uint64_t ns = 5 * US;
    launches_and_works(ns);
    waits();
    ns += ns < 2 * MS ? US / 2 : 0;
}

static void long_ones_on_one_stream_of_two(void)
{
    launch_ns(kernel, 5 * US, other_stream);
    launches_and_works(2 * MS);
    launch_ns(kernel, 5 * US, other_stream);
    cu()->cuStreamSynchronize(other_stream);
}

/* Sizes of one price. */
static void sets_twice_as_long_as_usual(void)
{
    static int n;
    cu()->cuMemsetD8Async(memory, 0, n++ < 50 ? 32 * MIB : 64 * MIB - 4096, stream);
    works(300 * US);
    waits();
}

static void copies_too_few_to_be_gated(void)
{
    uint64_t end = now_ns() + 4 * MS;
    for (int i = 0; i < 28; i++)
        cu()->cuMemcpyDtoDAsync_v2(memory, memory + 2 * MIB, MIB - 4096, stream);
    while (now_ns() < end)
        launch_ns(kernel, 100 * US, other_stream);
}

/* ---- graphs ---- */

static CUgraphExec exec_of(uint64_t ns, bool sets)
{
    CUgraph graph;
    CUgraphExec exec;
    if (cu()->cuStreamBeginCapture_v2(stream, CU_STREAM_CAPTURE_MODE_RELAXED))
        exit(96);
    launch_ns(kernel, ns, stream);
    if (sets)
        cu()->cuMemsetD8Async(memory, 0, 64 * MIB, stream);
    if (cu()->cuStreamEndCapture(stream, &graph) || cu()->cuGraphInstantiateWithFlags(&exec, graph, 0))
        exit(95);
    return exec;
}

static void sets_in_a_graph(void)
{
    static CUgraphExec exec;
    exec = exec ? exec : exec_of(5 * US, true);
    cu()->cuGraphLaunch(exec, stream);
    works(500 * US);
    waits();
}

/* What is disabled when the graph's price is learned. */
static void disabled_at_first(void)
{
    static CUgraphExec exec;
    static CUgraphNode node;
    static unsigned n;
    if (!exec) {
        CUgraph graph;
        size_t one = 1;
        if (cu()->cuStreamBeginCapture_v2(stream, CU_STREAM_CAPTURE_MODE_RELAXED))
            exit(96);
        launch_ns(kernel, 2 * MS, stream);
        if (cu()->cuStreamEndCapture(stream, &graph) || cu()->cuGraphGetNodes(graph, &node, &one) ||
            cu()->cuGraphInstantiateWithFlags(&exec, graph, 0))
            exit(95);
    }
    if (cu()->cuGraphNodeSetEnabled(exec, node, n++ % 20 > 2))
        exit(93);
    cu()->cuGraphLaunch(exec, stream);
    works(2 * MS);
    waits();
}

static void a_new_graph_each_time(void)
{
    CUgraphExec exec = exec_of(2 * MS, false);
    cu()->cuGraphLaunch(exec, stream);
    works(2 * MS);
    waits();
    cu()->cuGraphExecDestroy(exec);
}

/* ---- threads and contexts ---- */

static pthread_barrier_t barrier;
static uint64_t hidden_ns;

/* One step in two halves: up to where work is queued, and what follows the
 * first thread's own end. */
static void *hidden(void *arg)
{
    (void)arg;
    cu()->cuCtxSetCurrent(context);
    for (;;) {
        pthread_barrier_wait(&barrier);
        for (int i = 0; i < 4; i++)
            launch_ns(kernel, 5 * US, other_stream);
        cu()->cuStreamSynchronize(other_stream);
        for (int i = 0; i < 4; i++)
            launch_ns(kernel, hidden_ns, other_stream);
        pthread_barrier_wait(&barrier);
        pthread_barrier_wait(&barrier);
        cu()->cuStreamSynchronize(other_stream);
        pthread_barrier_wait(&barrier);
    }
    return NULL;
}

/* What one thread did lies within the batch of another that was open all the time. */
static void hides_behind_a_thread(uint64_t ns)
{
    static pthread_t thread;
    hidden_ns = ns;
    if (!thread) {
        pthread_barrier_init(&barrier, NULL, 2);
        pthread_create(&thread, NULL, hidden, NULL);
    }
    launch_ns(kernel, 5 * US, stream);
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier);
    works(4 * ns);
    launch_ns(kernel, 5 * US, stream);
    waits();
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier);
}

static void much_behind_another_thread(void)
{
    hides_behind_a_thread(10 * MS);
}

static void little_behind_another_thread(void)
{
    hides_behind_a_thread(300 * US);
}

static void *copies(void *ret_tid)
{
    *(pid_t *)ret_tid = (pid_t)syscall(SYS_gettid);
    cu()->cuCtxSetCurrent(context);
    for (int i = 0; i < 32; i++)
        cu()->cuMemcpyDtoDAsync_v2(memory, memory + 2 * MIB, MIB - 4096, stream);
    return NULL;
}

/* Each thread makes so few copies that it would not ask. */
static void short_threads_copy(void)
{
    pthread_t thread;
    pid_t tid = 0;
    pthread_create(&thread, NULL, copies, &tid);
    pthread_join(thread, NULL);
    while (syscall(SYS_tgkill, getpid(), tid, 0) == 0) /* until the next one can have what it had */
        sched_yield();
    works(200 * US);
}

static void *holds(void *arg)
{
    cu()->cuCtxSetCurrent(context);
    launch_ns(kernel, 5 * US, stream);
    pthread_barrier_wait(arg);
    for (;;)
        pause();
    return NULL;
}

/* Threads that launched once and have not ended what they began. */
static void beside_idle_threads(void)
{
    static pthread_barrier_t begun;
    static pthread_t threads[30];
    for (size_t i = 0; !threads[G_N_ELEMENTS(threads) - 1]; i++) {
        pthread_barrier_init(&begun, NULL, 2);
        pthread_create(&threads[i], NULL, holds, &begun);
        pthread_barrier_wait(&begun);
    }
    launch_ns(kernel, 2 * MS, stream);
    waits();
}

/* More contexts than are measured at a time. */
static void one_context_of_many(void)
{
    static bool begun;
    for (int i = 0; !begun && i < 8; i++) {
        CUcontext another;
        if (cu()->cuCtxCreate_v2(&another, 0, 0))
            exit(94);
        kernel = kernel_of("sim_arg");
        stream = stream_new();
        if (i < 7) {
            short_ones(1, 0);
            waits();
        }
    }
    begun = true;
    launch_ns(kernel, 20 * MS, stream);
    waits();
}

/* Threads that have launched once on each of as many streams as a thread may
 * launch on at a time, and keep what measures these. */
enum { HELD_STREAMS = 4 };

static void *holds_streams(void *arg)
{
    cu()->cuCtxSetCurrent(context);
    for (int i = 0; i < HELD_STREAMS; i++)
        launch_ns(kernel, 5 * US, stream_new());
    pthread_barrier_wait(arg);
    for (;;)
        pause();
    return NULL;
}

static void threads_hold_streams(unsigned n)
{
    static pthread_barrier_t begun; /* a thread may be about to leave it when this returns */
    pthread_attr_t small;
    pthread_t thread;
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 256 << 10);
    pthread_barrier_init(&begun, NULL, 2);
    for (unsigned i = 0; i < n; i++) {
        if (pthread_create(&thread, &small, holds_streams, &begun))
            exit(92);
        pthread_barrier_wait(&begun);
    }
    pthread_barrier_destroy(&begun);
}

static void beside(unsigned threads)
{
    static bool begun;
    if (!begun)
        threads_hold_streams(threads);
    begun = true;
    launch_ns(kernel, 2 * MS, stream);
    waits();
}

static void beside_160_idle_streams(void)
{
    beside(160 / HELD_STREAMS);
}

static void beside_600_idle_streams(void)
{
    beside(600 / HELD_STREAMS);
}

static void beside_idle_contexts(void)
{
    static bool begun;
    CUcontext own = context;
    for (int i = 0; !begun && i < 20; i++) {
        if (cu()->cuCtxCreate_v2(&context, 0, 0))
            exit(94);
        threads_hold_streams(1);
    }
    if (!begun && (cu()->cuCtxCreate_v2(&own, 0, 0)))
        exit(94);
    if (!begun) {
        kernel = kernel_of("sim_arg");
        stream = stream_new();
    }
    begun = true;
    launch_ns(kernel, 2 * MS, stream);
    waits();
}

/* The stream says where it runs. */
static void without_a_current_context(void)
{
    cu()->cuCtxSetCurrent(NULL);
    launch_ns(kernel, 2 * MS, stream);
    cu()->cuCtxSetCurrent(context);
    waits();
}

/* Launches that fail, of a thread that nothing limits then. */
static void fails_before_it_has_a_context(void)
{
    cu()->cuCtxSetCurrent(NULL);
    for (int i = 0; i < 300; i++)
        launch_ns(kernel, 5 * US, NULL);
    cu()->cuCtxSetCurrent(context);
    for (int i = 0; i < 20; i++)
        launch_ns(kernel, 2 * MS, stream);
    waits();
}

/* ---- what ends before it was measured ---- */

static void a_stream_for_each_launch(void)
{
    CUstream once = stream_new();
    launch_ns(kernel, 2 * MS, once);
    cu()->cuStreamDestroy_v2(once);
    works(100 * US);
}

static void a_stream_for_some_launches(void)
{
    CUstream once = stream_new();
    short_ones(3, 10 * US);
    launch_ns(kernel, 2 * MS, once);
    launch_ns(kernel, 5 * US, once);
    cu()->cuStreamDestroy_v2(once);
    works(100 * US);
}

/* The price stays that of the short ones, which are all that was measured. */
static void a_stream_that_ends_on_a_long_launch(void)
{
    CUstream once = stream_new();
    short_ones(10, 0);
    waits();
    for (int i = 0; i < 3; i++)
        launch_ns(kernel, 5 * US, once);
    launch_ns(kernel, 2 * MS, once);
    cu()->cuStreamDestroy_v2(once);
    cu()->cuStreamQuery(other_stream);
    works(2 * MS);
}

/* ... of a thread that does nothing else. */
static void *ends_a_stream(void *arg)
{
    cu()->cuCtxSetCurrent(context);
    cu()->cuStreamDestroy_v2(*(CUstream *)arg);
    return NULL;
}

static void a_stream_that_another_thread_ends(void)
{
    CUstream once = stream_new();
    pthread_t thread;
    short_ones(10, 0);
    waits();
    for (int i = 0; i < 3; i++)
        launch_ns(kernel, 5 * US, once);
    launch_ns(kernel, 2 * MS, once);
    pthread_create(&thread, NULL, ends_a_stream, &once);
    pthread_join(thread, NULL);
    cu()->cuStreamQuery(other_stream);
    works(2 * MS);
}

/* What ends the stream's measurement would be part of a graph. */
static void *captures(void *arg)
{
    CUgraph graph;
    (void)arg;
    cu()->cuCtxSetCurrent(context);
    for (;;) {
        pthread_barrier_wait(&barrier);
        if (cu()->cuStreamBeginCapture_v2(stream, CU_STREAM_CAPTURE_MODE_RELAXED))
            exit(96);
        pthread_barrier_wait(&barrier);
        pthread_barrier_wait(&barrier);
        if (cu()->cuStreamEndCapture(stream, &graph))
            exit(95);
        cu()->cuGraphDestroy(graph);
        pthread_barrier_wait(&barrier);
    }
    return NULL;
}

static void a_stream_that_another_thread_captures(void)
{
    static pthread_t thread;
    if (!thread) {
        pthread_barrier_init(&barrier, NULL, 2);
        pthread_create(&thread, NULL, captures, NULL);
    }
    short_ones(10, 0);
    waits();
    for (int i = 0; i < 3; i++)
        launch_ns(kernel, 5 * US, stream);
    launch_ns(kernel, 2 * MS, stream);
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier);
    cu()->cuStreamQuery(other_stream);
    works(2 * MS);
    pthread_barrier_wait(&barrier);
    pthread_barrier_wait(&barrier);
}

static void releases_a_context_that_it_keeps(void)
{
    static bool begun;
    if (!begun && (cu()->cuDevicePrimaryCtxRetain(&context, 0) || cu()->cuCtxSetCurrent(context)))
        exit(94);
    if (!begun) {
        kernel = kernel_of("sim_arg");
        stream = stream_new();
    }
    begun = true;
    if (cu()->cuDevicePrimaryCtxRetain(&context, 0))
        exit(94);
    launch_ns(kernel, 2 * MS, stream);
    cu()->cuDevicePrimaryCtxRelease_v2(0);
    works(100 * US);
}

static void a_context_for_each_launch(void)
{
    CUcontext once;
    if (cu()->cuCtxCreate_v2(&once, 0, 0))
        exit(94);
    launch_ns(kernel_of("sim_arg"), 20 * MS, stream_new());
    cu()->cuCtxDestroy_v2(once);
}

static void captures_after_a_launch(void)
{
    CUgraph graph;
    launch_ns(kernel, 2 * MS, stream);
    if (cu()->cuStreamBeginCapture_v2(stream, CU_STREAM_CAPTURE_MODE_RELAXED))
        exit(96);
    works(100 * US);
    if (cu()->cuStreamEndCapture(stream, &graph))
        exit(95);
    cu()->cuGraphDestroy(graph);
}

/* ---- kernels of seconds, and of minutes ---- */

static uint64_t queued_ns; /* more than the simulator's log can hold */

static void queues(uint64_t ns)
{
    queued_ns += ns;
    launch_ns(kernel, ns, stream);
}

static void queues_for(uint64_t lasts_ns, uint64_t each_ns, uint64_t works_ns)
{
    uint64_t end = now_ns() + lasts_ns;
    while (now_ns() < end) {
        queues(each_ns);
        works(works_ns);
    }
}

static void two_seconds_each_twelve_seconds(void)
{
    queues_for(12 * SECOND, 500 * US, 0);
    waits();
    queues(2 * SECOND);
    works(2 * SECOND);
    waits();
}

static void eight_seconds_each_thirty_of_a_slow_host(void)
{
    queues_for(30 * SECOND, 20 * US, 120 * US);
    queues(8 * SECOND);
    works(8 * SECOND);
}

/* Under a price of microseconds all of them go at once. */
static void minutes_at_once(void)
{
    for (int i = 0; i < 50; i++)
        queues(4 * SECOND);
    waits();
    for (int i = 0; i < 1000; i++)
        queues(5 * US);
    waits();
}

/* ---- memory that the library does not get ---- */

static pthread_barrier_t launching;

static void *launches_without_a_lane(void *arg)
{
    (void)arg;
    cu()->cuCtxSetCurrent(context);
    pthread_barrier_wait(&launching);
    for (;;) {
        pthread_barrier_wait(&launching);
        launch_ns(kernel, 2 * MS, stream);
        launch_ns(kernel, 2 * MS, stream);
        cu()->cuStreamSynchronize(stream);
        pthread_barrier_wait(&launching);
    }
    return NULL;
}

/* A thread whose first launch finds no memory. */
static void a_thread_without_memory(void)
{
    static pthread_t thread;
    if (!thread) {
        pthread_barrier_init(&launching, NULL, 2);
        pthread_create(&thread, NULL, launches_without_a_lane, NULL);
        pthread_barrier_wait(&launching);
        if (setrlimit(RLIMIT_AS, &(struct rlimit){1 << 20, 1 << 20}))
            exit(91);
    }
    pthread_barrier_wait(&launching);
    pthread_barrier_wait(&launching);
}

/* ---- the process ---- */

struct attack {
    const char *name;
    void (*step)(void); /* again and again */
    uint64_t lasts_ns;
};

static const struct attack attacks[] = {
#define LASTING(step, ns)                                                                                    \
    {                                                                                                        \
#step, step, ns                                                                                      \
    }
#define ATTACK(step) LASTING(step, LASTS)
    ATTACK(works_while_it_runs),
    ATTACK(works_and_polls),
    ATTACK(every_other_is_long),
    ATTACK(short_ones_end_a_long_one),
    ATTACK(short_ones_and_a_wait_end_a_long_one),
    ATTACK(one_of_200_is_long),
    ATTACK(one_of_300_is_longer),
    ATTACK(one_of_100_is_not_so_long),
    ATTACK(one_of_30_is_a_little_longer),
    ATTACK(floods_after_a_long_one),
    ATTACK(grow),
    ATTACK(long_ones_on_one_stream_of_two),
    ATTACK(sets_twice_as_long_as_usual),
    ATTACK(copies_too_few_to_be_gated),
    ATTACK(sets_in_a_graph),
    ATTACK(disabled_at_first),
    ATTACK(a_new_graph_each_time),
    ATTACK(much_behind_another_thread),
    ATTACK(little_behind_another_thread),
    ATTACK(short_threads_copy),
    ATTACK(beside_idle_threads),
    ATTACK(one_context_of_many),
    ATTACK(beside_160_idle_streams),
    ATTACK(beside_600_idle_streams),
    ATTACK(beside_idle_contexts),
    ATTACK(without_a_current_context),
    ATTACK(fails_before_it_has_a_context),
    ATTACK(a_stream_for_each_launch),
    ATTACK(a_stream_for_some_launches),
    ATTACK(a_stream_that_ends_on_a_long_launch),
    ATTACK(a_stream_that_another_thread_ends),
    ATTACK(a_stream_that_another_thread_captures),
    ATTACK(releases_a_context_that_it_keeps),
    ATTACK(a_context_for_each_launch),
    ATTACK(captures_after_a_launch),
    LASTING(two_seconds_each_twelve_seconds, 600 * SECOND),
    LASTING(eight_seconds_each_thirty_of_a_slow_host, 1500 * SECOND),
    LASTING(minutes_at_once, 2500 * SECOND),
    ATTACK(a_thread_without_memory),
};

/* Tells its share. Short kernels first, so that their price is known. */
static int attack(int argc, char **argv)
{
    (void)argc;
    const struct attack *a = attacks;
    while (strcmp(a->name, argv[0]) != 0)
        a++;
    context = kit_context(0);
    kernel = kernel_of("sim_arg");
    stream = stream_new();
    other_stream = stream_new();
    if (cu()->cuMemAlloc_v2(&memory, 128 * MIB) || !own_time_begin())
        return 1;
    for (int i = 0; i < 20; i++) {
        short_ones(10, 0);
        waits();
    }
    uint64_t from = now_ns() + SETTLES, to = from + a->lasts_ns;
    while (now_ns() < to)
        a->step();
    waits();
    double queued = 100.0 * (double)queued_ns / (double)(now_ns() - from);
    kit_tell("%.3f", queued_ns ? queued : share(from, to));
    _exit(0); /* other threads wait for ever */
}

static void gets_its_share(gconstpointer data)
{
    const struct attack *a = data;
    struct kit *kit = kit_new("base: t4\nname: bytes_are_counted_only\nreal_bytes_max: 64KiB\n");
    kit_env(kit, "CUDA_DEVICE_SM_LIMIT", "%d", PERCENT);
    g_autofree char *told = kit_run(kit, "attack", a->name, NULL);
    g_test_message("%s: %s", a->name, told);
    kit_free(kit);
    g_assert_cmpfloat(g_ascii_strtod(told, NULL), <=, PERCENT + OFF_PP);
    g_assert_cmpfloat(g_ascii_strtod(told, NULL), >=, PERCENT - OFF_PP);
}

int main(int argc, char **argv)
{
    static const struct kit_body bodies[] = {{"attack", attack}, {0}};
    if (kit_is_child(argc, argv))
        return kit_child(argc, argv, bodies);
    g_test_init(&argc, &argv, NULL);
    g_test_set_nonfatal_assertions(); /* one that gets more does not hide the others */
    for (gsize i = 0; i < G_N_ELEMENTS(attacks); i++) {
        g_autofree char *path = g_strdup_printf("/evasion/gets_its_share/%s", attacks[i].name);
        g_test_add_data_func(path, &attacks[i], gets_its_share);
    }
    return g_test_run();
}
