/* SPDX-License-Identifier: Apache-2.0
 *
 * Launches that would have no measurement, or whose measurement would end before
 * they do; and kernels that take longer than a share can wait for.
 */
#include <sys/resource.h>

#include "evasion.h"

/* ---- what measures is held ---- */

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

static pthread_barrier_t barrier;

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

static const struct attack attacks[] = {
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

int main(int argc, char **argv)
{
    return evasion_main(argc, argv, attacks, G_N_ELEMENTS(attacks));
}
