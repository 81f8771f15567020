/* SPDX-License-Identifier: Apache-2.0
 *
 * Launches made so that what they use cannot be told, or is not looked at.
 */
#include <sched.h>

#include "evasion.h"

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

static const struct attack attacks[] = {
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
};

int main(int argc, char **argv)
{
    return evasion_main(argc, argv, attacks, G_N_ELEMENTS(attacks));
}
