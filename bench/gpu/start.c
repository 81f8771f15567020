/* SPDX-License-Identifier: Apache-2.0
 *
 * Start-up: n processes call cuInit and make the primary context at the same
 * moment; how long each of them took.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/measure.h"
#include "gpu.h"

#define PROCESSES 256

struct meeting {
    pthread_barrier_t start;
    double took_ms[PROCESSES];
};

static _Noreturn void child(struct meeting *m, unsigned i)
{
    void *library = dlopen("libcuda.so.1", RTLD_NOW);
    CUcontext context;
    __typeof__(cuInit) *init = NULL;
    __typeof__(cuDevicePrimaryCtxRetain) *retain = NULL;
    if (library) {
        init = (__typeof__(init))dlsym(library, "cuInit");
        retain = (__typeof__(retain))dlsym(library, "cuDevicePrimaryCtxRetain");
    }
    pthread_barrier_wait(&m->start);
    double begin = now_ns();
    if (!init || !retain || init(0) != CUDA_SUCCESS || retain(&context, 0) != CUDA_SUCCESS)
        _exit(1);
    m->took_ms[i] = (now_ns() - begin) / 1e6;
    _exit(0);
}

int start_main(int argc, char **argv)
{
    (void)argc;
    unsigned n = (unsigned)atoi(argv[0]), failed = 0;
    pthread_barrierattr_t shared;
    struct meeting *m = mmap(NULL, sizeof *m, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (n < 1 || n > PROCESSES || m == MAP_FAILED)
        return 2;
    pthread_barrierattr_init(&shared);
    pthread_barrierattr_setpshared(&shared, PTHREAD_PROCESS_SHARED);
    pthread_barrier_init(&m->start, &shared, n);
    for (unsigned i = 0; i < n; i++)
        if (fork() == 0)
            child(m, i);
    for (int status; wait(&status) > 0;)
        failed += status != 0;
    print_series("took_ms", m->took_ms, n);
    printf("failed %u\n", failed);
    return 0;
}
