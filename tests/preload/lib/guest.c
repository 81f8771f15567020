/* SPDX-License-Identifier: Apache-2.0
 *
 * A program that asks its loader for things, for a C library that is not the
 * one this library was made for: whatever is preloaded, its answers are its own.
 */
#include <dlfcn.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

int main(void)
{
    void *self = dlopen(NULL, RTLD_LAZY);
    printf("self %d, a function %d, the next one %d\n", self != NULL, dlsym(self, "puts") == (void *)puts,
           dlsym(RTLD_NEXT, "malloc") != NULL);
    void *missing = dlopen("libnobody.so.9", RTLD_NOW);
    printf("a missing library %d, says why %d\n", missing != NULL, dlerror() != NULL);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0)
        _exit(dlsym(self, "puts") ? 7 : 8);
    int status = 0;
    waitpid(child, &status, 0);
    printf("child %d\n", status >> 8);
    return 0;
}
