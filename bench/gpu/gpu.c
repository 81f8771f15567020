/* SPDX-License-Identifier: Apache-2.0
 *
 * The GPU benchmark's program; bench/gpu/run calls it. One measurement each:
 *
 *   gpu inventory                       the card, as this process sees it
 *   gpu calibrate                       arithmetic laps of one 20 us chunk
 *   gpu launch ROUNDS BATCH             wrapped and native launches, by shape
 *   gpu alloc ROUNDS BATCH              wrapped and native allocations, by path
 *   gpu cap LIMIT_BYTES [PATH]          what each path grants before it refuses
 *   gpu race ROUNDS                     four processes of a slice allocate at once
 *   gpu hold BYTES                      allocates, then waits for its end
 *   gpu reach BYTES                     after a line: time until BYTES are granted
 *   gpu start N                         cuInit and context of N processes at once
 *   gpu flood SHAPE CHUNKS LAPS         saturating tenant; finished work over time
 *   gpu victim LAPS GAP_US REQUESTS     latency of requests of 50 kernels
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gpu.h"

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    int arguments; /* at least */
} commands[] = {
    {"inventory", inventory_main, 0},
    {"calibrate", calibrate_main, 0},
    {"launch", launch_main, 2},
    {"alloc", alloc_main, 2},
    {"cap", cap_main, 1},
    {"race", race_main, 1},
    {"hold", hold_main, 1},
    {"reach", reach_main, 1},
    {"start", start_main, 1},
    {"flood", flood_main, 3},
    {"victim", victim_main, 3},
};

void must(CUresult r, const char *what)
{
    if (r == CUDA_SUCCESS)
        return;
    fprintf(stderr, "gpu: %s: CUDA error %d\n", what, (int)r);
    exit(1);
}

bool wait_for_word(const char *ready)
{
    char line[64];
    puts(ready);
    fflush(stdout);
    return fgets(line, sizeof line, stdin) != NULL;
}

void print_series(const char *name, const double *samples, size_t n)
{
    fputs(name, stdout);
    for (size_t i = 0; i < n; i++)
        printf(" %.2f", samples[i]);
    putchar('\n');
    fflush(stdout);
}

int main(int argc, char **argv)
{
    for (size_t i = 0; argc > 1 && i < sizeof commands / sizeof commands[0]; i++)
        if (strcmp(argv[1], commands[i].name) == 0 && argc - 2 >= commands[i].arguments)
            return commands[i].run(argc - 2, argv + 2);
    fprintf(stderr, "usage: gpu COMMAND ARGUMENTS...; the top of bench/gpu/gpu.c lists them\n");
    return 2;
}
