/* SPDX-License-Identifier: Apache-2.0
 *
 * One tenant of the demonstration: an ordinary CUDA driver program that knows
 * nothing of hami. It opens libcuda.so.1 as any program does, and either
 * floods the card with work (plain launches or one big graph) as fast as the
 * driver takes it, or allocates memory until it is refused.
 *
 *   tenant flood SECONDS KERNEL_US     one line per 100 ms: "<ms> <busy share>"
 *   tenant graph SECONDS KERNEL_US     the same with graphs of 20 kernels
 *   tenant hog STEP_MIB                one line: MiB obtained, error
 *
 * Work is measured by completion: an event is recorded behind every piece of
 * work, and a window's share is the time of the pieces that completed in it.
 */
#include <dlfcn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "abi/cuda_api.h"

#define IN_FLIGHT 4096
#define WINDOW_NS 100000000ULL
#define GRAPH_KERNELS 20

/* A kernel that spins for as many nanoseconds as its parameter says. The
 * simulated driver reads the same parameter and lets that time pass. */
static const char spin_ptx[] = ".version 7.0\n.target sm_70\n.address_size 64\n"
                               ".visible .entry sim_arg_spin(.param .u64 duration_ns)\n{\n"
                               ".reg .u64 %rd<5>;\n.reg .pred %p<2>;\n"
                               "ld.param.u64 %rd1, [duration_ns];\n"
                               "mov.u64 %rd2, %globaltimer;\n"
                               "again:\n"
                               "mov.u64 %rd3, %globaltimer;\n"
                               "sub.u64 %rd4, %rd3, %rd2;\n"
                               "setp.lt.u64 %p1, %rd4, %rd1;\n"
                               "@%p1 bra again;\n"
                               "ret;\n}\n";

static struct {
#define DRIVER_ENTRIES(X)                                                                                    \
    X(cuInit)                                                                                                \
    X(cuDeviceGet)                                                                                           \
    X(cuDevicePrimaryCtxRetain)                                                                              \
    X(cuCtxSetCurrent)                                                                                       \
    X(cuModuleLoadData)                                                                                      \
    X(cuModuleGetFunction)                                                                                   \
    X(cuLaunchKernel)                                                                                        \
    X(cuStreamCreate)                                                                                        \
    X(cuStreamBeginCapture_v2)                                                                               \
    X(cuStreamEndCapture)                                                                                    \
    X(cuGraphInstantiateWithFlags)                                                                           \
    X(cuGraphLaunch)                                                                                         \
    X(cuEventCreate)                                                                                         \
    X(cuEventRecord)                                                                                         \
    X(cuEventQuery)                                                                                          \
    X(cuEventSynchronize)                                                                                    \
    X(cuMemAlloc_v2)                                                                                         \
    X(cuGetErrorName)
#define X(name) __typeof__(name) *name;
    DRIVER_ENTRIES(X)
#undef X
} cu;

struct work {
    CUstream stream;
    CUfunction spin;
    CUgraphExec graph; /* NULL: plain launches */
    unsigned long long kernel_ns;
    unsigned long long piece_ns; /* device time behind one event */
};

static unsigned long long now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (unsigned long long)t.tv_sec * 1000000000ULL + (unsigned long long)t.tv_nsec;
}

static void must(CUresult r, const char *what)
{
    if (r == CUDA_SUCCESS)
        return;
    const char *name = "unknown error";
    if (cu.cuGetErrorName)
        cu.cuGetErrorName(r, &name);
    fprintf(stderr, "tenant: %s: %s\n", what, name);
    exit(1);
}

static void open_driver(void)
{
    void *lib = dlopen("libcuda.so.1", RTLD_NOW);
    if (!lib) {
        fprintf(stderr, "tenant: %s\n", dlerror());
        exit(1);
    }
#define X(name)                                                                                              \
    *(void **)&cu.name = dlsym(lib, #name);                                                                  \
    if (!cu.name) {                                                                                          \
        fprintf(stderr, "tenant: the driver has no %s\n", #name);                                            \
        exit(1);                                                                                             \
    }
    DRIVER_ENTRIES(X)
#undef X
    CUdevice device;
    CUcontext context;
    must(cu.cuInit(0), "cuInit");
    must(cu.cuDeviceGet(&device, 0), "cuDeviceGet");
    must(cu.cuDevicePrimaryCtxRetain(&context, device), "cuDevicePrimaryCtxRetain");
    must(cu.cuCtxSetCurrent(context), "cuCtxSetCurrent");
}

static void launch_kernel(struct work *w)
{
    void *params[] = {&w->kernel_ns};
    must(cu.cuLaunchKernel(w->spin, 1, 1, 1, 1, 1, 1, 0, w->stream, params, NULL), "cuLaunchKernel");
}

static void launch_piece(struct work *w)
{
    if (w->graph)
        must(cu.cuGraphLaunch(w->graph, w->stream), "cuGraphLaunch");
    else
        launch_kernel(w);
}

static struct work prepare(bool as_graph, unsigned long long kernel_us)
{
    struct work w = {.kernel_ns = kernel_us * 1000, .piece_ns = kernel_us * 1000};
    CUmodule module;
    must(cu.cuModuleLoadData(&module, spin_ptx), "cuModuleLoadData");
    must(cu.cuModuleGetFunction(&w.spin, module, "sim_arg_spin"), "cuModuleGetFunction");
    must(cu.cuStreamCreate(&w.stream, CU_STREAM_NON_BLOCKING), "cuStreamCreate");
    if (as_graph) {
        CUgraph graph;
        must(cu.cuStreamBeginCapture_v2(w.stream, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL),
             "cuStreamBeginCapture");
        for (int i = 0; i < GRAPH_KERNELS; i++)
            launch_kernel(&w);
        must(cu.cuStreamEndCapture(w.stream, &graph), "cuStreamEndCapture");
        must(cu.cuGraphInstantiateWithFlags(&w.graph, graph, 0), "cuGraphInstantiate");
        w.piece_ns *= GRAPH_KERNELS;
    }
    return w;
}

/* Keeps the queue full and reports, window by window, what completed. */
static void flood(struct work *w, double seconds)
{
    CUevent events[IN_FLIGHT];
    for (size_t i = 0; i < IN_FLIGHT; i++)
        must(cu.cuEventCreate(&events[i], CU_EVENT_DISABLE_TIMING), "cuEventCreate");
    unsigned long long submitted = 0, completed = 0, seen = 0;
    unsigned long long start = now_ns(), window_end = start + WINDOW_NS;
    unsigned long long end = start + (unsigned long long)(seconds * 1e9);
    const unsigned long long ahead = w->piece_ns >= 20000000 ? 4 : IN_FLIGHT;
    while (now_ns() < end) {
        if (submitted - completed < ahead) {
            launch_piece(w);
            must(cu.cuEventRecord(events[submitted++ % IN_FLIGHT], w->stream), "cuEventRecord");
        } else {
            must(cu.cuEventSynchronize(events[completed % IN_FLIGHT]), "cuEventSynchronize");
        }
        while (completed < submitted && cu.cuEventQuery(events[completed % IN_FLIGHT]) == CUDA_SUCCESS)
            completed++;
        if (now_ns() >= window_end) {
            double share =
                (double)((completed - seen) * w->piece_ns) / (double)(now_ns() - window_end + WINDOW_NS);
            printf("%llu %.4f\n", (window_end - start) / 1000000, share);
            fflush(stdout);
            seen = completed;
            window_end = now_ns() + WINDOW_NS;
        }
    }
    printf("total %.4f\n", (double)(completed * w->piece_ns) / (double)(now_ns() - start));
}

static int hog(unsigned long step_mib)
{
    unsigned long got = 0;
    CUdeviceptr p;
    CUresult r;
    while ((r = cu.cuMemAlloc_v2(&p, step_mib << 20)) == CUDA_SUCCESS)
        got += step_mib;
    const char *name = "";
    cu.cuGetErrorName(r, &name);
    printf("obtained %lu MiB, then %s\n", got, name);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "hog") == 0) {
        open_driver();
        return hog(strtoul(argv[2], NULL, 10));
    }
    if (argc == 4 && (strcmp(argv[1], "flood") == 0 || strcmp(argv[1], "graph") == 0)) {
        open_driver();
        struct work w = prepare(argv[1][0] == 'g', strtoull(argv[3], NULL, 10));
        flood(&w, strtod(argv[2], NULL));
        return 0;
    }
    fprintf(stderr, "usage: tenant flood|graph SECONDS KERNEL_US | hog STEP_MIB\n");
    return 2;
}
