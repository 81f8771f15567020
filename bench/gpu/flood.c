/* SPDX-License-Identifier: Apache-2.0
 *
 * A saturating tenant: keeps the card's queue full with kernels of one shape
 * and tells how much work was finished when. A second thread samples: the
 * chunks the card has counted, or where nothing counts (on the simulated
 * driver, for copies) the pieces whose events have come. Which of the two is
 * printed as `counted`.
 *
 *   stdin: a line starts it, the next line or the end stops it
 *   stdout: "ready"; at the end "sample T_NS CHUNKS" lines, monotonic clock
 */
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench/measure.h"
#include "gpu.h"

#define RING 1024
#define SAMPLES 16384
#define SAMPLE_NS 5000000L
#define GRAPH_KERNELS 100
#define COPY_BYTES ((size_t)256 << 20)
#define AHEAD_NS 40000000ULL /* work kept in the queue, at least two pieces */

static struct card card;
static struct kernel kernel;
static CUgraphExec graph;
static CUdeviceptr source, target;
static CUevent events[RING];
static uint64_t piece_chunks;
static atomic_ulong submitted, completed;
static atomic_bool done;
static double sample_ns[SAMPLES], sample_chunks[SAMPLES];
static size_t samples;

static void launch_plain(void)
{
    card_spin(&card, &kernel, card.stream);
}

static void launch_ex(void)
{
    void *params[5];
    const CUlaunchConfig config = {card.sms, 1, 1, 128, 1, 1, 0, card.stream, NULL, 0};
    kernel_params(&kernel, params);
    must(cu.cuLaunchKernelEx(&config, card.spin, params, NULL), "cuLaunchKernelEx");
}

static void launch_coop(void)
{
    void *params[5];
    kernel_params(&kernel, params);
    must(cu.cuLaunchCooperativeKernel(card.spin, card.sms, 1, 1, 128, 1, 1, 0, card.stream, params), "coop");
}

static void launch_graph(void)
{
    must(cu.cuGraphLaunch(graph, card.stream), "cuGraphLaunch");
}

static void launch_copy(void)
{
    must(cu.cuMemcpyDtoDAsync_v2(target, source, COPY_BYTES, card.stream), "copy");
}

static const struct {
    const char *name;
    void (*launch)(void);
} shapes[] = {{"kernel", launch_plain},
              {"ex", launch_ex},
              {"coop", launch_coop},
              {"graph", launch_graph},
              {"copy", launch_copy}};

/* The completed prefix of the pieces; only the sampling thread moves it. */
static void follow_events(void)
{
    unsigned long at = atomic_load(&completed);
    while (at < atomic_load(&submitted) && cu.cuEventQuery(events[at % RING]) == CUDA_SUCCESS)
        at++;
    atomic_store(&completed, at);
}

static void *sample(void *unused)
{
    struct timespec pause = {0, 500000};
    double next = now_ns(), most = 0;
    must(cu.cuCtxSetCurrent(card.context), "cuCtxSetCurrent");
    while (!atomic_load(&done)) {
        follow_events();
        if (now_ns() >= next && samples < SAMPLES) {
            double count =
                *card.counted ? (double)*card.counted : (double)(atomic_load(&completed) * piece_chunks);
            most = count > most ? count : most; /* blocks may report out of order */
            sample_ns[samples] = now_ns();
            sample_chunks[samples++] = most;
            next += SAMPLE_NS;
        }
        nanosleep(&pause, NULL);
    }
    return unused;
}

static bool told_to_stop(void)
{
    struct pollfd in = {.fd = 0, .events = POLLIN};
    return poll(&in, 1, 0) > 0;
}

static void flood(void (*launch)(void))
{
    uint64_t piece_ns = piece_chunks * CHUNK_NS;
    unsigned long ahead = AHEAD_NS / piece_ns < 2 ? 2 : AHEAD_NS / piece_ns;
    ahead = ahead > RING / 2 ? RING / 2 : ahead;
    for (unsigned long n = 0; !told_to_stop();) {
        if (n - atomic_load(&completed) >= ahead) {
            must(cu.cuEventSynchronize(events[(n - ahead) % RING]), "cuEventSynchronize");
            while (n - atomic_load(&completed) >= ahead) {
                struct timespec moment = {0, 100000};
                nanosleep(&moment, NULL); /* until the sampling thread has seen it too */
            }
        }
        launch();
        must(cu.cuEventRecord(events[n % RING], card.stream), "cuEventRecord");
        atomic_store(&submitted, ++n);
    }
}

static int prepare(const char *shape)
{
    for (int i = 0; i < (int)(sizeof shapes / sizeof shapes[0]); i++) {
        if (strcmp(shape, shapes[i].name) != 0)
            continue;
        piece_chunks = kernel.chunks;
        if (shapes[i].launch == launch_graph) {
            piece_chunks *= GRAPH_KERNELS;
            graph = card_graph(&card, &kernel, GRAPH_KERNELS);
        }
        if (shapes[i].launch == launch_copy) {
            must(cu.cuMemAlloc_v2(&source, COPY_BYTES), "cuMemAlloc");
            must(cu.cuMemAlloc_v2(&target, COPY_BYTES), "cuMemAlloc");
        }
        for (int e = 0; e < RING; e++)
            must(cu.cuEventCreate(&events[e], CU_EVENT_DISABLE_TIMING), "cuEventCreate");
        return i;
    }
    fprintf(stderr, "gpu: no shape %s\n", shape);
    exit(2);
}

int flood_main(int argc, char **argv)
{
    (void)argc;
    pthread_t sampler;
    card_open(&card);
    kernel = card_kernel(&card, strtoull(argv[1], NULL, 10), strtoull(argv[2], NULL, 10));
    int shape = prepare(argv[0]);
    if (!wait_for_word("ready"))
        return 1;
    if (pthread_create(&sampler, NULL, sample, NULL) != 0)
        return 1;
    flood(shapes[shape].launch);
    atomic_store(&done, true);
    pthread_join(sampler, NULL);
    printf("counted %d\n", *card.counted != 0);
    for (size_t i = 0; i < samples; i++)
        printf("sample %.0f %.0f\n", sample_ns[i], sample_chunks[i]);
    return 0;
}
