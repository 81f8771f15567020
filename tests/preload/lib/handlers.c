/* SPDX-License-Identifier: Apache-2.0
 *
 * A program that counts which fork handlers are registered from libvgpu.so
 * while it uses the driver, forks, uses it again in the child, and so on:
 * argv[1] generations, each with threads of its own. Tells the number that the
 * last one has.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "abi/cuda_api.h"

static unsigned registered;

int __register_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void), void *object);

/* In the place of the C library's, which it calls. */
__attribute__((visibility("default"))) int __register_atfork(void (*prepare)(void), void (*parent)(void),
                                                             void (*child)(void), void *object)
{
    int (*next)(void (*)(void), void (*)(void), void (*)(void), void *);
    void (*any)(void) = child ? child : prepare ? prepare : parent;
    Dl_info from = {0};

    *(void **)&next = dlsym(RTLD_NEXT, "__register_atfork");
    if (any && dladdr(*(void **)&any, &from) && from.dli_fname && strstr(from.dli_fname, "libvgpu.so"))
        registered++;
    return next ? next(prepare, parent, child, object) : 0;
}

static CUresult (*init)(unsigned);
static CUresult (*count)(int *);

static void *use(void *arg)
{
    int n = 0;

    return init(0) == CUDA_SUCCESS && count(&n) == CUDA_SUCCESS ? NULL : arg;
}

/* Whether the driver answered, to a few threads at once. */
static int use_by_threads(void)
{
    pthread_t threads[4];
    void *failed = NULL;
    int failures = 0;

    for (unsigned i = 0; i < 4; i++)
        if (pthread_create(&threads[i], NULL, use, &failures) != 0)
            return -1;
    for (unsigned i = 0; i < 4; i++) {
        pthread_join(threads[i], &failed);
        failures += failed != NULL;
    }
    return failures;
}

int main(int argc, char **argv)
{
    int left = argc > 1 ? atoi(argv[1]) : 0, status = 0;
    void *driver = dlopen("libcuda.so.1", RTLD_NOW);

    if (!driver)
        return 2;
    *(void **)&init = dlsym(driver, "cuInit");
    *(void **)&count = dlsym(driver, "cuDeviceGetCount");
    for (bool first = true; use_by_threads() == 0 || !first;
         first = false) { /* a copy cannot use the driver */
        pid_t pid;

        if (left-- == 0) {
            printf("%u\n", registered);
            return 0;
        }
        pid = fork();
        if (pid < 0)
            return 4;
        if (pid > 0)
            return waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : 5;
    }
    return 3;
}
