/* SPDX-License-Identifier: Apache-2.0
 *
 * What libvgpu.so adds to a launch: the wrapped call and the driver's own,
 * alternately in one process over the simulated driver (kernels take no time),
 * without and with a limit that is not reached.
 *
 *   bench-launch BUILD       prints name, target, measured; one figure a line
 *
 * A figure is the median over rounds of (wrapped - native), each round a batch
 * long enough for the clock; drift of the machine hits both alike.
 */
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "abi/cuda_api.h"
#include "bench/native.h"
#include "bench/scratch.h"

#define ROUNDS 301
#define BATCH 5000

#define ENTRIES(X)                                                                                           \
    X(cuInit)                                                                                                \
    X(cuDevicePrimaryCtxRetain)                                                                              \
    X(cuCtxSetCurrent)                                                                                       \
    X(cuModuleLoadData)                                                                                      \
    X(cuModuleGetFunction)                                                                                   \
    X(cuStreamCreate)                                                                                        \
    X(cuStreamSynchronize)                                                                                   \
    X(cuLaunchKernel)                                                                                        \
    X(cuLaunchKernelEx)                                                                                      \
    X(cuLaunchCooperativeKernel)

struct entries {
#define X(name) __typeof__(name) *name;
    ENTRIES(X)
#undef X
};
static struct entries hooked, native;
static CUfunction function;
static CUstream stream;

static _Noreturn void fail(const char *what)
{
    fprintf(stderr, "bench-launch: %s\n", what);
    exit(1);
}

static void load(void)
{
    void *library = dlopen("libcuda.so.1", RTLD_NOW);
    CUcontext ctx;
    CUmodule module;
    if (!library)
        fail(dlerror());
#define X(name)                                                                                              \
    hooked.name = (__typeof__(hooked.name))dlsym(library, #name);                                            \
    native.name = (__typeof__(native.name))genuine(#name);
    ENTRIES(X)
#undef X
    if (!native.cuLaunchKernel)
        fail("libcuda.so.1 is not loaded");
    if (hooked.cuLaunchKernel == native.cuLaunchKernel)
        fail("libvgpu.so is not preloaded");
    if (hooked.cuInit(0) || hooked.cuDevicePrimaryCtxRetain(&ctx, 0) || hooked.cuCtxSetCurrent(ctx) ||
        hooked.cuModuleLoadData(&module, ".version 8.0\n.target sm_70\n.address_size 64\n"
                                         ".visible .entry sim_1ns()\n{ ret; }\n") ||
        hooked.cuModuleGetFunction(&function, module, "sim_1ns") ||
        hooked.cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING))
        fail("the simulated driver cannot be used");
}

static double kernels_ns(const struct entries *e)
{
    double begin = now_ns();
    for (int i = 0; i < BATCH; i++)
        if (e->cuLaunchKernel(function, 132, 1, 1, 128, 1, 1, 0, stream, NULL, NULL))
            fail("a launch failed");
    return (now_ns() - begin) / BATCH;
}

static double extended_ns(const struct entries *e)
{
    const CUlaunchConfig config = {132, 1, 1, 128, 1, 1, 0, stream, NULL, 0};
    double begin = now_ns();
    for (int i = 0; i < BATCH; i++)
        if (e->cuLaunchKernelEx(&config, function, NULL, NULL))
            fail("a launch failed");
    return (now_ns() - begin) / BATCH;
}

static double cooperative_ns(const struct entries *e)
{
    double begin = now_ns();
    for (int i = 0; i < BATCH; i++)
        if (e->cuLaunchCooperativeKernel(function, 132, 1, 1, 128, 1, 1, 0, stream, NULL))
            fail("a launch failed");
    return (now_ns() - begin) / BATCH;
}

static void compare(const char *name, const char *target, double (*batch)(const struct entries *))
{
    struct figure f = figure_of(batch, &native, &hooked, ROUNDS);
    printf("%-36s target <= %s ns   added %5.2f ns   (native %.2f ns)\n", name, target, f.added, f.native);
    fflush(stdout);
}

static int child_main(const char *mode)
{
    char name[64];
    const char *target = strcmp(mode, "free") == 0 ? "3" : "8";
    load();
    const char *how = strcmp(mode, "free") == 0 ? "no limit" : "limit 90, not reached";
    snprintf(name, sizeof name, "launch, %s", how);
    compare(name, target, kernels_ns);
    snprintf(name, sizeof name, "KernelEx, %s", how);
    compare(name, target, extended_ns);
    snprintf(name, sizeof name, "cooperative, %s", how);
    compare(name, target, cooperative_ns);
    return 0;
}

static void set_path(const char *variable, const char *format, const char *folder)
{
    char text[4096];
    snprintf(text, sizeof text, "%s/%s", folder, format);
    setenv(variable, text, 1);
}

static void run(const char *build, const char *dir, const char *mode)
{
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        set_path("HAMI_SIM", "card.yaml", dir);
        set_path("HAMI_SIM_STATE", "state", dir);
        set_path("CUDA_DEVICE_MEMORY_SHARED_CACHE", mode, dir);
        set_path("LD_LIBRARY_PATH", "sim", build);
        set_path("LD_PRELOAD", "libvgpu.so", build);
        if (strcmp(mode, "limited") == 0)
            setenv("CUDA_DEVICE_SM_LIMIT", "90", 1);
        execl("/proc/self/exe", "bench-launch", "--child", mode, (char *)NULL);
        _exit(127);
    }
    if (waitpid(pid, &status, 0) != pid || status != 0)
        fail("a measuring process failed");
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "--child") == 0)
        return child_main(argv[2]);
    char dir[SCRATCH_BYTES], path[4096];
    char *build = argc > 1 ? realpath(argv[1], NULL) : NULL;
    if (!build) {
        fprintf(stderr, "usage: bench-launch BUILD\n");
        return 2;
    }
    if (!scratch_new(dir, "launch"))
        fail(strerror(errno));
    snprintf(path, sizeof path, "%s/card.yaml", dir);
    FILE *f = fopen(path, "w");
    if (!f)
        fail(path);
    fputs("name: bench\ndriver: 580.65.06\ncuda: 13.0\nnull_model: true\ndevices:\n"
          "  - name: Bench Card\n    memory: 64GiB\n    sms: 16\n    context: 0\n",
          f);
    fclose(f);
    run(build, dir, "free");
    run(build, dir, "limited");
    static const char *const names[] = {"card.yaml", "state", "free", "limited"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, names[i]);
        unlink(path);
    }
    rmdir(dir);
    free(build);
    return 0;
}
