/* SPDX-License-Identifier: Apache-2.0
 *
 * What preloading a library adds to a process that never calls CUDA: starts a
 * program many times, alternately with and without it, and compares the
 * medians (so that drift of the machine hits both alike).
 *
 *   spawn_cost LIBRARY PROGRAM ROUNDS
 */
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

static double now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static double run_us(const char *program, char *const env[])
{
    char *argv[] = {strdup(program), NULL};
    pid_t pid;
    int status;
    double begin = now_us();
    if (posix_spawn(&pid, program, NULL, NULL, argv, env) != 0 || waitpid(pid, &status, 0) != pid ||
        status != 0) {
        fprintf(stderr, "spawn_cost: %s did not run\n", program);
        exit(1);
    }
    double end = now_us();
    free(argv[0]);
    return end - begin;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(stderr, "usage: spawn_cost LIBRARY PROGRAM ROUNDS\n");
        return 2;
    }
    size_t n = strtoul(argv[3], NULL, 10);
    char preload[4096];
    snprintf(preload, sizeof preload, "LD_PRELOAD=%s", argv[1]);
    char *with_env[] = {preload, NULL}, *without_env[] = {NULL};
    double *with = calloc(n, sizeof *with), *without = calloc(n, sizeof *without);
    for (size_t i = 0; i < n; i++) {
        without[i] = run_us(argv[2], without_env);
        with[i] = run_us(argv[2], with_env);
    }
    qsort(with, n, sizeof *with, by_value);
    qsort(without, n, sizeof *without, by_value);
    printf("%s: alone %.0f us, preloaded %.0f us, added %.0f us (medians of %zu; fastest: %.0f, %.0f, added "
           "%.0f)\n",
           argv[2], without[n / 2], with[n / 2], with[n / 2] - without[n / 2], n, without[0], with[0],
           with[0] - without[0]);
    free(with);
    free(without);
    return 0;
}
