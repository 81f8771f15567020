/* SPDX-License-Identifier: Apache-2.0
 *
 * What libvgpu.so adds to allocations, refusals and queries: the wrapped call
 * and the driver's own, alternately in one process over the simulated driver,
 * for 0 to 1 M live allocations and 1 to 256 attached processes.
 *
 *   bench-memory [BUILD]      prints name, target, measured; one figure a line
 *
 * A figure is the median over rounds of (wrapped - native), each round a batch
 * long enough for the clock; drift of the machine hits both alike.
 */
#include <dlfcn.h>
#include <errno.h>
#include <libgen.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "abi/cuda_api.h"
#include "bench/native.h"
#include "bench/scratch.h"

#define ROUNDS 31
#define BATCH 2000
#define FIGURE_S 10.0 /* of a route so slow that whole batches would take longer: fewer pairs */
#define FILL_S 30.0
#define BLOCK 512
#define LIMIT_BYTES (UINT64_C(8) << 30)

struct entries {
    CUresult (*init)(unsigned int);
    CUresult (*retain)(CUcontext *, CUdevice);
    CUresult (*set)(CUcontext);
    CUresult (*alloc)(CUdeviceptr *, size_t);
    CUresult (*free)(CUdeviceptr);
    CUresult (*info)(size_t *, size_t *);
};
static struct entries hooked, native;

static void fail(const char *what)
{
    fprintf(stderr, "bench-memory: %s\n", what);
    exit(1);
}

/* ---- the process that measures ---- */

static void *wrapped(void *library, const char *name)
{
    void *address = dlsym(library, name);
    if (!address)
        fail(name);
    return address;
}

static void load(void)
{
    void *library = dlopen("libcuda.so.1", RTLD_NOW);
    CUcontext ctx;
    if (!library)
        fail(dlerror());
#define LOAD(field, name)                                                                                    \
    hooked.field = (__typeof__(hooked.field))wrapped(library, name);                                         \
    native.field = (__typeof__(native.field))genuine(name)
    LOAD(init, "cuInit");
    LOAD(retain, "cuDevicePrimaryCtxRetain");
    LOAD(set, "cuCtxSetCurrent");
    LOAD(alloc, "cuMemAlloc_v2");
    LOAD(free, "cuMemFree_v2");
    LOAD(info, "cuMemGetInfo_v2");
    if (!native.alloc)
        fail("libcuda.so.1 is not loaded");
    if (hooked.alloc == native.alloc)
        fail("libvgpu.so is not preloaded");
    if (hooked.init(0) || hooked.retain(&ctx, 0) || hooked.set(ctx))
        fail("no context on the simulated driver");
}

static int pairs = BATCH;

static double pairs_ns(const struct entries *e)
{
    CUdeviceptr p;
    double begin = now_ns();
    for (int i = 0; i < pairs; i++) {
        if (e->alloc(&p, BLOCK) || e->free(p))
            fail("an allocation failed");
    }
    return (now_ns() - begin) / pairs;
}

static double infos_ns(const struct entries *e)
{
    size_t left, total;
    double begin = now_ns();
    for (int i = 0; i < BATCH; i++)
        e->info(&left, &total);
    return (now_ns() - begin) / BATCH;
}

static double refusals_ns(const struct entries *e)
{
    CUdeviceptr p;
    double begin = now_ns();
    for (int i = 0; i < BATCH; i++)
        if (e->alloc(&p, LIMIT_BYTES - (1 << 20)) != CUDA_ERROR_OUT_OF_MEMORY)
            fail("nothing was refused");
    return (now_ns() - begin) / BATCH;
}

static struct figure compare(double (*batch)(const struct entries *))
{
    return figure_of(batch, &native, &hooked, ROUNDS);
}

/* As many pairs a batch as the time for a figure allows. */
static void size_batches(void)
{
    pairs = 10;
    double most = FIGURE_S * 1e9 / ROUNDS / pairs_ns(&hooked);
    pairs = most < 1 ? 1 : most > BATCH ? BATCH : (int)most;
}

static double pair_figure(const char *what, unsigned long n)
{
    size_batches();
    struct figure f = compare(pairs_ns);
    printf("alloc+free pair, %7lu %-9s  target <= 50 ns   added %6.1f ns   (native %.1f ns)\n", n, what,
           f.added, f.native);
    fflush(stdout);
    return f.added;
}

/* Whether there are as many live allocations at last; *have is how many there are. */
static bool fill(unsigned long *have, unsigned long wanted)
{
    CUdeviceptr p;
    double end = now_ns() + FILL_S * 1e9;
    for (; *have < wanted && now_ns() < end; ++*have)
        if (hooked.alloc(&p, BLOCK))
            fail("a live allocation failed");
    return *have >= wanted;
}

static void live_figures(void)
{
    static const unsigned long steps[] = {0, 1000, 10000, 100000, 1000000};
    double least = 1e9, most = 0;
    unsigned long have = 0;
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        if (!fill(&have, steps[i])) {
            printf("alloc+free pair, %7lu %-9s  only %lu after %.0f s\n", steps[i], "live", have, FILL_S);
            return;
        }
        double added = pair_figure("live", have);
        least = added < least ? added : least;
        most = added > most ? added : most;
    }
    printf("flat over live allocations          target <= 2       max/min %5.2f\n", most / least);
}

static void query_figures(void)
{
    struct figure f = compare(infos_ns);
    printf("cuMemGetInfo                        target <= 100 ns  added %6.1f ns   (native %.1f ns)\n",
           f.added, f.native);
    double r[ROUNDS];
    CUdeviceptr p;
    if (hooked.alloc(&p, 4 << 20))
        fail("an allocation failed");
    for (int i = 0; i < ROUNDS; i++)
        r[i] = refusals_ns(&hooked);
    qsort(r, ROUNDS, sizeof r[0], by_value);
    printf("refusal at the limit                target <= 100 ns  %12.1f ns   (slowest batch %.1f ns)\n",
           r[ROUNDS / 2], r[ROUNDS - 1]);
    hooked.free(p);
}

/* One pair per word on stdin, so that the parent can add processes between. */
static int child_main(const char *mode)
{
    char line[32];
    load();
    if (strcmp(mode, "sit") == 0) {
        puts("here");
        fflush(stdout);
        return fgets(line, sizeof line, stdin) != NULL;
    }
    if (strcmp(mode, "live") == 0) {
        query_figures();
        live_figures();
        return 0;
    }
    while (fgets(line, sizeof line, stdin)) {
        pair_figure("attached", strtoul(line, NULL, 10));
        puts(".");
        fflush(stdout);
    }
    return 0;
}

/* ---- the parent ---- */

struct child {
    pid_t pid;
    FILE *in, *out;
};

static struct child start(const char *mode)
{
    int to[2], from[2];
    struct child c;
    if (pipe(to) != 0 || pipe(from) != 0)
        fail(strerror(errno));
    c.pid = fork();
    if (c.pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(to[0], 0);
        dup2(from[1], 1);
        for (int fd = 3; fd < 1024; fd++)
            close(fd);
        execl("/proc/self/exe", "bench-memory", "--child", mode, (char *)NULL);
        _exit(127);
    }
    close(to[0]);
    close(from[1]);
    c.in = fdopen(to[1], "w");
    c.out = fdopen(from[0], "r");
    if (c.pid < 0 || !c.in || !c.out)
        fail(strerror(errno));
    return c;
}

/* Copies the child's lines to our stdout until `end` or its end. */
static void pass_on(struct child *c, const char *end)
{
    char line[256];
    while (fgets(line, sizeof line, c->out)) {
        if (end && strncmp(line, end, strlen(end)) == 0)
            return;
        fputs(line, stdout);
    }
    fflush(stdout);
}

static void finish(struct child *c)
{
    fclose(c->in);
    pass_on(c, NULL);
    fclose(c->out);
    int status = 0;
    if (waitpid(c->pid, &status, 0) == c->pid && status != 0)
        fail("a measuring process failed");
}

static void attached_figures(void)
{
    static const unsigned steps[] = {1, 8, 64, 256};
    static struct child sitters[256];
    struct child measuring = start("attached");
    unsigned n = 1;
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        for (; n < steps[i]; n++) {
            char line[16];
            sitters[n] = start("sit");
            if (!fgets(line, sizeof line, sitters[n].out))
                fail("a process could not attach");
        }
        fprintf(measuring.in, "%u\n", n);
        fflush(measuring.in);
        pass_on(&measuring, ".");
    }
    finish(&measuring);
    while (n-- > 1)
        finish(&sitters[n]);
}

static void environment(const char *build, const char *dir)
{
    char text[4096];
    snprintf(text, sizeof text, "%s/card.yaml", dir);
    FILE *f = fopen(text, "w");
    if (!f)
        fail(text);
    fputs("name: bench\ndriver: 580.65.06\ncuda: 13.0\nnull_model: true\ndevices:\n"
          "  - name: Bench Card\n    memory: 64GiB\n    sms: 16\n    context: 0\n",
          f);
    fclose(f);
    setenv("HAMI_SIM", text, 1);
    snprintf(text, sizeof text, "%s/state", dir);
    setenv("HAMI_SIM_STATE", text, 1);
    snprintf(text, sizeof text, "%s/vgpu.cache", dir);
    setenv("CUDA_DEVICE_MEMORY_SHARED_CACHE", text, 1);
    snprintf(text, sizeof text, "%s/sim", build);
    setenv("LD_LIBRARY_PATH", text, 1);
    snprintf(text, sizeof text, "%s/libvgpu.so", build);
    setenv("LD_PRELOAD", text, 1);
    setenv("CUDA_DEVICE_MEMORY_LIMIT", "8G", 1);
    setenv("LIBCUDA_LOG_LEVEL", "0", 1);
}

static void forget(const char *dir)
{
    static const char *const names[] = {"card.yaml", "state", "vgpu.cache"};
    char path[4096];
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, names[i]);
        unlink(path);
    }
    rmdir(dir);
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "--child") == 0)
        return child_main(argv[2]);
    char self[4096] = "", dir[SCRATCH_BYTES];
    if (readlink("/proc/self/exe", self, sizeof self - 1) < 0 || !scratch_new(dir, "memory"))
        fail(strerror(errno));
    environment(argc > 1 ? argv[1] : dirname(dirname(self)), dir);
    struct child live = start("live");
    finish(&live);
    attached_figures();
    forget(dir);
    return 0;
}
