/* SPDX-License-Identifier: Apache-2.0
 *
 * What libvgpu.so costs a process that has done its work and waits, and how
 * soon a killed process's memory can be had again.
 *
 *   footprint BUILD [--quick]     prints name, target, measured; one figure a line
 *
 * The same program runs as a child with the library and without it; figures
 * are differences between the two, read from /proc.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "abi/cuda_api.h"
#include "bench/scratch.h"

#define LIMIT_MIB 1024
#define KILLS 50

struct child {
    pid_t pid;
    FILE *in, *out; /* its standard input and output */
};

static char self[4096], build[4096], folder[SCRATCH_BYTES];

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static _Noreturn void give_up(const char *what)
{
    fprintf(stderr, "footprint: %s\n", what);
    exit(1);
}

/* ---- the child: an ordinary program ---- */

#define ENTRIES(X)                                                                                           \
    X(cuInit)                                                                                                \
    X(cuDevicePrimaryCtxRetain)                                                                              \
    X(cuCtxSetCurrent)                                                                                       \
    X(cuCtxSynchronize)                                                                                      \
    X(cuMemAlloc_v2)                                                                                         \
    X(cuModuleLoadData)                                                                                      \
    X(cuModuleGetFunction)                                                                                   \
    X(cuLaunchKernel)

static struct {
#define X(name) __typeof__(name) *name;
    ENTRIES(X)
#undef X
} cu;

static int child_main(void)
{
    void *driver = dlopen("libcuda.so.1", RTLD_NOW);
    if (!driver)
        give_up(dlerror());
#define X(name) *(void **)&cu.name = dlsym(driver, #name);
    ENTRIES(X)
#undef X
    CUcontext context;
    CUmodule module;
    CUfunction kernel;
    if (cu.cuInit(0) || cu.cuDevicePrimaryCtxRetain(&context, 0) || cu.cuCtxSetCurrent(context) ||
        cu.cuModuleLoadData(&module, ".version 7.0\n") ||
        cu.cuModuleGetFunction(&kernel, module, "sim_100us"))
        give_up("the driver does not start");
    for (int i = 0; i < 50; i++)
        cu.cuLaunchKernel(kernel, 1, 1, 1, 1, 1, 1, 0, NULL, NULL, NULL);
    cu.cuCtxSynchronize();
    char line[64];
    puts("ready");
    fflush(stdout);
    while (fgets(line, sizeof(line), stdin)) {
        CUdeviceptr p;
        unsigned long mib = strtoul(line, NULL, 10);
        double begin = now_s();
        CUresult r = cu.cuMemAlloc_v2(&p, mib << 20);
        printf("%d %.3f\n", (int)r, (now_s() - begin) * 1e3);
        fflush(stdout);
    }
    return 0;
}

/* ---- the parent ---- */

static struct child start(bool with_library)
{
    int to[2], from[2];
    if (pipe2(to, O_CLOEXEC) != 0 || pipe2(from, O_CLOEXEC) != 0)
        give_up("no pipe");
    struct child c = {.pid = fork()};
    if (c.pid == 0) {
        char text[8300];
        dup2(to[0], 0);
        dup2(from[1], 1);
        snprintf(text, sizeof(text), "%s/sim", build);
        setenv("LD_LIBRARY_PATH", text, 1);
        setenv("HAMI_SIM", "t4", 1);
        snprintf(text, sizeof(text), "%s/machine", folder);
        setenv("HAMI_SIM_STATE", text, 1);
        snprintf(text, sizeof(text), "%s/region", folder);
        setenv("CUDA_DEVICE_MEMORY_SHARED_CACHE", text, 1);
        snprintf(text, sizeof(text), "%dm", LIMIT_MIB);
        setenv("CUDA_DEVICE_MEMORY_LIMIT", text, 1);
        setenv("CUDA_DEVICE_SM_LIMIT", "50", 1);
        snprintf(text, sizeof(text), "%s/libvgpu.so", build);
        if (with_library)
            setenv("LD_PRELOAD", text, 1);
        execl(self, self, "--child", NULL);
        _exit(127);
    }
    close(to[0]);
    close(from[1]);
    c.in = fdopen(to[1], "w");
    c.out = fdopen(from[0], "r");
    char line[64];
    if (!fgets(line, sizeof(line), c.out) || strcmp(line, "ready\n") != 0)
        give_up("a child did not start");
    return c;
}

static void finish(struct child *c)
{
    fclose(c->in);
    fclose(c->out);
    waitpid(c->pid, NULL, 0);
}

/* Asks for an allocation: its result, and how long it took. */
static int allocate(struct child *c, unsigned mib, double *ret_ms)
{
    char line[64];
    int result = -1;
    fprintf(c->in, "%u\n", mib);
    fflush(c->in);
    if (!fgets(line, sizeof(line), c->out) || sscanf(line, "%d %lf", &result, ret_ms) != 2)
        give_up("a child did not answer");
    return result;
}

/* The number behind `key` in a file of /proc/PID; 0 when there is none. */
static double proc_number(pid_t pid, const char *file, const char *key)
{
    char path[64], line[256];
    double value = 0;
    snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, file);
    FILE *f = fopen(path, "re");
    while (f && fgets(line, sizeof(line), f))
        if (strncmp(line, key, strlen(key)) == 0)
            value = strtod(line + strlen(key), NULL);
    if (f)
        fclose(f);
    return value;
}

/* KiB that belong to the process alone, without what the simulated driver
 * keeps there itself. `file` counts only mappings of that file. */
static double private_kib(pid_t pid, const char *file)
{
    char path[64], line[512];
    double sum = 0, value;
    bool counts = false;
    snprintf(path, sizeof(path), "/proc/%d/smaps", (int)pid);
    FILE *f = fopen(path, "re");
    while (f && fgets(line, sizeof(line), f)) {
        if (line[0] >= 'a' ? line[0] <= 'f' : line[0] >= '0' && line[0] <= '9')
            counts =
                file ? strstr(line, file) != NULL : !strstr(line, "/sim/lib") && !strstr(line, "/machine");
        else if (counts && (sscanf(line, "Private_Dirty: %lf", &value) == 1 ||
                            (file && sscanf(line, "Private_Clean: %lf", &value) == 1)))
            sum += value;
    }
    if (f)
        fclose(f);
    return sum;
}

/* Processor seconds and voluntary switches of all threads. */
static void activity(pid_t pid, double *ret_cpu_s, double *ret_switches)
{
    char path[64], text[1024], *p;
    unsigned long user = 0, system = 0;
    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    FILE *f = fopen(path, "re");
    if (f && fgets(text, sizeof(text), f) && (p = strrchr(text, ')')))
        sscanf(p + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user, &system);
    if (f)
        fclose(f);
    *ret_cpu_s = (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
    *ret_switches = 0;
    for (int tid = pid; tid < pid + 64; tid++) {
        char file[64];
        snprintf(file, sizeof(file), "task/%d/status", tid);
        *ret_switches += proc_number(pid, file, "voluntary_ctxt_switches:");
    }
}

/* Pages of a file that was only just written count as private and dirty. */
static void settle_library(void)
{
    char path[4200];
    snprintf(path, sizeof(path), "%s/libvgpu.so", build);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) != 0)
        give_up("the library cannot be read");
    close(fd);
}

static void measure_idle(unsigned seconds)
{
    settle_library();
    struct child bare = start(false), sliced = start(true);
    struct timespec pause = {.tv_sec = 4};
    nanosleep(&pause, NULL); /* what follows the last launch is over */
    printf("added memory of each process        target <= 300 KB  added %.0f KB\n",
           private_kib(sliced.pid, NULL) - private_kib(bare.pid, NULL));
    printf("library's own pages, once a host    %.0f KB\n", private_kib(sliced.pid, "/libvgpu.so"));
    printf("added threads                       target <= 1   added %.0f\n",
           proc_number(sliced.pid, "status", "Threads:") - proc_number(bare.pid, "status", "Threads:"));
    char path[SCRATCH_BYTES + 16];
    struct stat st;
    snprintf(path, sizeof(path), "%s/region", folder);
    if (stat(path, &st) == 0)
        printf("touched bytes of the region         target <= 64 KB  %.0f KB\n", (double)st.st_blocks / 2);
    double cpu[2], switches[2];
    activity(sliced.pid, &cpu[0], &switches[0]);
    pause.tv_sec = seconds;
    nanosleep(&pause, NULL);
    activity(sliced.pid, &cpu[1], &switches[1]);
    printf("idle CPU over %u s                  target <= 0.005 %%  %.4f %%\n", seconds,
           (cpu[1] - cpu[0]) / seconds * 100);
    printf("idle wake-ups                       target <= 1 /s  %.2f /s\n",
           (switches[1] - switches[0]) / seconds);
    finish(&bare);
    finish(&sliced);
}

/* A process that holds nearly everything is killed; how long does the next one
 * that needs the memory take to get it? */
static void measure_reclaim(void)
{
    double slowest = 0, ms;
    struct child waiting = start(true);
    for (int i = 0; i < KILLS; i++) {
        struct child holder = start(true);
        if (allocate(&holder, 300, &ms) != 0)
            give_up("the holder got no memory");
        kill(holder.pid, SIGKILL);
        finish(&holder);
        if (i == KILLS - 1 && allocate(&waiting, 500, &ms) != 0)
            give_up("memory of a killed process was not given back");
        slowest = ms > slowest && i == KILLS - 1 ? ms : slowest;
    }
    printf("reclaim after SIGKILL, at next need target <= 10 ms  %.3f ms\n", slowest);
    finish(&waiting);
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--child") == 0)
        return child_main();
    if (argc < 2 || !realpath(argv[1], build) || !realpath("/proc/self/exe", self)) {
        fprintf(stderr, "usage: footprint BUILD [--quick]\n");
        return 2;
    }
    if (!scratch_new(folder, "footprint"))
        give_up("no folder for its files");
    setvbuf(stdout, NULL, _IOLBF, 0);
    measure_idle(argc > 2 && strcmp(argv[2], "--quick") == 0 ? 10 : 60);
    measure_reclaim();
    char path[SCRATCH_BYTES + 16];
    static const char *const files[] = {"machine", "region", ""};
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof(path), "%s/%s", folder, files[i]);
        unlink(path);
    }
    return rmdir(folder) == 0 ? 0 : 1;
}
