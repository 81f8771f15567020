/* SPDX-License-Identifier: Apache-2.0
 *
 * What a preloaded library adds to a launch on this card: batches through the
 * wrapped entry and through the driver's own, alternately in one process, each
 * batch from an empty queue. Prints the paired differences and the driver's
 * own cost in ns per call; without a library both come from the driver.
 */
#include <stdio.h>
#include <stdlib.h>

#include "bench/measure.h"
#include "gpu.h"

#define GRAPH_KERNELS 20

static struct card card;
static CUgraphExec graph;

static void plain(const struct driver *d)
{
    must(d->cuLaunchKernel(card.empty, 1, 1, 1, 32, 1, 1, 0, card.stream, NULL, NULL), "cuLaunchKernel");
}

static void with_config(const struct driver *d)
{
    const CUlaunchConfig config = {1, 1, 1, 32, 1, 1, 0, card.stream, NULL, 0};
    must(d->cuLaunchKernelEx(&config, card.empty, NULL, NULL), "cuLaunchKernelEx");
}

static void cooperative(const struct driver *d)
{
    must(d->cuLaunchCooperativeKernel(card.empty, 1, 1, 1, 32, 1, 1, 0, card.stream, NULL), "cooperative");
}

static void synchronous(const struct driver *d)
{
    plain(d);
    must(d->cuStreamSynchronize(card.stream), "synchronize");
}

static void as_graph(const struct driver *d)
{
    must(d->cuGraphLaunch(graph, card.stream), "cuGraphLaunch");
}

static const struct {
    const char *name;
    void (*once)(const struct driver *);
    unsigned fewer; /* divides the batch: these take longer each */
} shapes[] = {
    {"plain", plain, 1},       {"ex", with_config, 1},    {"coop", cooperative, 1},
    {"sync", synchronous, 10}, {"graph20", as_graph, 10},
};

static double batch_ns(const struct driver *d, void (*once)(const struct driver *), unsigned n)
{
    must(native.cuStreamSynchronize(card.stream), "synchronize");
    double begin = now_ns();
    for (unsigned i = 0; i < n; i++)
        once(d);
    return (now_ns() - begin) / n;
}

int launch_main(int argc, char **argv)
{
    (void)argc;
    unsigned rounds = (unsigned)atoi(argv[0]), batch = (unsigned)atoi(argv[1]);
    double *own = calloc(rounds, sizeof *own), *added = calloc(rounds, sizeof *added);
    char name[64];
    card_open(&card);
    must(cu.cuStreamBeginCapture_v2(card.stream, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL), "begin capture");
    for (int i = 0; i < GRAPH_KERNELS; i++)
        plain(&cu);
    CUgraph captured;
    must(cu.cuStreamEndCapture(card.stream, &captured), "end capture");
    must(cu.cuGraphInstantiateWithFlags(&graph, captured, 0), "instantiate");
    for (size_t s = 0; own && added && s < sizeof shapes / sizeof shapes[0]; s++) {
        unsigned n = batch / shapes[s].fewer ? batch / shapes[s].fewer : 1;
        batch_ns(&native, shapes[s].once, n), batch_ns(&cu, shapes[s].once, n);
        for (unsigned i = 0; i < rounds; i++) {
            own[i] = batch_ns(&native, shapes[s].once, n);
            added[i] = batch_ns(&cu, shapes[s].once, n) - own[i];
        }
        snprintf(name, sizeof name, "native_%s", shapes[s].name);
        print_series(name, own, rounds);
        snprintf(name, sizeof name, "added_%s", shapes[s].name);
        print_series(name, added, rounds);
    }
    free(own);
    free(added);
    printf("preloaded %d\n", cu.cuLaunchKernel != native.cuLaunchKernel);
    return 0;
}
