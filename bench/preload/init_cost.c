/* SPDX-License-Identifier: Apache-2.0
 *
 * What the library adds to cuInit: N processes of one slice call it at the
 * same moment, with the library and without it.
 *
 *   init_cost LIBRARY SIM_FOLDER [N ...]        default N: 1 8 32 128 256
 *
 * Prints the median and the slowest cuInit of all rounds, and what is added to
 * a round's median. The processes are started first and wait at a pipe, so that the
 * cost of starting them is not in the figure.
 */
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench/scratch.h"

static size_t silent; /* processes that ended without a figure */

static double now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

/* In the started process: says it is ready, waits, measures, reports. */
static int measure(void)
{
    void *driver = dlopen("libcuda.so.1", RTLD_NOW);
    int (*init)(unsigned) = driver ? (int (*)(unsigned))dlsym(driver, "cuInit") : NULL;
    char byte = 0;
    if (!init || write(STDOUT_FILENO, "r", 1) != 1 || read(STDIN_FILENO, &byte, 1) < 0)
        return 1;
    double begin = now_us();
    int result = init(0);
    double took = now_us() - begin;
    return result != 0 || write(STDOUT_FILENO, &took, sizeof took) != sizeof took;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* One round of n processes: their cuInit times, sorted, to `took`. */
static void round_of(const char *self, size_t n, double *took)
{
    int start[2], *reports = calloc(n, sizeof *reports);
    if (!reports || pipe(start) != 0)
        exit(1);
    for (size_t i = 0; i < n; i++) {
        int report[2];
        if (pipe(report) != 0)
            exit(1);
        if (fork() == 0) {
            dup2(start[0], STDIN_FILENO);
            dup2(report[1], STDOUT_FILENO);
            for (int fd = 3; fd < 1024; fd++)
                close(fd);
            execl(self, self, "--measure", NULL);
            _exit(127);
        }
        close(report[1]);
        reports[i] = report[0];
    }
    char ready;
    for (size_t i = 0; i < n; i++)
        if (read(reports[i], &ready, 1) != 1)
            fprintf(stderr, "init_cost: a process did not start\n");
    close(start[0]);
    close(start[1]); /* everybody reads the end of the pipe and goes */
    for (size_t i = 0; i < n; i++) {
        if (read(reports[i], &took[i], sizeof took[i]) != sizeof took[i])
            silent++, took[i] = 0;
        close(reports[i]);
    }
    while (wait(NULL) > 0 || errno == EINTR)
        ;
    free(reports);
    qsort(took, n, sizeof *took, by_value);
}

static void use_library(const char *library)
{
    if (library)
        setenv("LD_PRELOAD", library, 1);
    else
        unsetenv("LD_PRELOAD");
}

/* A round is with the library or without, in turns; between two of them the
 * machine is the same, between the first and the last it may not be. So what is
 * added is the middle of the differences, not the difference of the middles. */
static size_t rounds_of(size_t n)
{
    return n == 1 ? 201 : n <= 32 ? 25 : 9;
}

static void compare(const char *self, const char *library, size_t n)
{
    silent = 0;
    size_t rounds = rounds_of(n), total = rounds * n;
    double *with = calloc(total, sizeof *with), *without = calloc(total, sizeof *without);
    double *added = calloc(rounds, sizeof *added);
    for (size_t r = 0; r < rounds; r++) {
        use_library(NULL);
        round_of(self, n, without + r * n);
        use_library(library);
        round_of(self, n, with + r * n);
        added[r] = with[r * n + n / 2] - without[r * n + n / 2];
    }
    qsort(with, total, sizeof *with, by_value);
    qsort(without, total, sizeof *without, by_value);
    qsort(added, rounds, sizeof *added, by_value);
    if (silent) {
        fprintf(stderr, "init_cost: %zu of %zu did not report, %zu at once\n", silent, total * 2, n);
        exit(1);
    }
    printf("cuInit, %3zu at once: alone %.0f us (slowest %.0f), in a slice %.0f us (slowest %.0f), added "
           "%.0f us\n",
           n, without[total / 2], without[total - 1], with[total / 2], with[total - 1], added[rounds / 2]);
    free(with);
    free(without);
    free(added);
}

int main(int argc, char **argv)
{
    static const char *const defaults[] = {"1", "8", "32", "128", "256"};
    char folder[SCRATCH_BYTES], path[SCRATCH_BYTES + 16], command[SCRATCH_BYTES + 16];
    if (argc == 2 && strcmp(argv[1], "--measure") == 0)
        return measure();
    if (argc < 3 || !scratch_new(folder, "init-cost")) {
        fprintf(stderr, "usage: init_cost LIBRARY SIM_FOLDER [N ...]\n");
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    setenv("LD_LIBRARY_PATH", argv[2], 1);
    setenv("HAMI_SIM", "t4-null", 1);
    snprintf(path, sizeof path, "%s/state", folder);
    setenv("HAMI_SIM_STATE", path, 1);
    snprintf(path, sizeof path, "%s/vgpu.cache", folder);
    setenv("CUDA_DEVICE_MEMORY_SHARED_CACHE", path, 1);
    setenv("CUDA_DEVICE_MEMORY_LIMIT", "4G", 1);
    if (argc > 3)
        for (int i = 3; i < argc; i++)
            compare(argv[0], argv[1], strtoul(argv[i], NULL, 10));
    else
        for (size_t i = 0; i < sizeof defaults / sizeof defaults[0]; i++)
            compare(argv[0], argv[1], strtoul(defaults[i], NULL, 10));
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command) != 0;
}
