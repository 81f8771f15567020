/* SPDX-License-Identifier: Apache-2.0
 *
 * What the library adds to dlsym and cuGetProcAddress, by kind of name.
 *
 *   lookup_cost LIBRARY SIM_FOLDER
 */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { CALLS = 200000, KINDS = 5 };

static const char *const kinds[KINDS] = {
    "dlsym of a C function", "dlsym of a name like cublas...", "dlsym of a driver entry that passes",
    "dlsym of a wrapped driver entry", "cuGetProcAddress of a wrapped entry"};

static double now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static int measure(void)
{
    static const char *const names[] = {"malloc", "cublasCreate_v2", "cuDeviceGetCount", "cuMemAlloc_v2"};
    void *driver = dlopen("libcuda.so.1", RTLD_NOW), *libc = dlopen("libc.so.6", RTLD_NOW), *volatile found;
    if (!driver)
        return 1;
    int (*ask)(const char *, void **, int, unsigned long) =
        (int (*)(const char *, void **, int, unsigned long))dlsym(driver, "cuGetProcAddress");
    for (int k = 0; k < KINDS; k++) {
        double best = 1e12;
        for (int repeat = 0; repeat < 5; repeat++) {
            double begin = now_ns();
            for (int i = 0; i < CALLS / 5; i++) {
                void *p = NULL;
                if (k < 4)
                    p = dlsym(k == 0 ? libc : driver, names[k]);
                else
                    ask("cuMemAlloc", &p, 12000, 0);
                found = p;
            }
            double each = (now_ns() - begin) / (CALLS / 5);
            best = each < best ? each : best;
        }
        printf("%f\n", best);
    }
    (void)found;
    return 0;
}

static void run(const char *self, const char *library, double *ret)
{
    char command[4096];
    snprintf(command, sizeof command, "%s%s %s --measure", library ? "LD_PRELOAD=" : "",
             library ? library : "", self);
    FILE *f = popen(command, "r");
    for (int k = 0; f && k < KINDS; k++)
        if (fscanf(f, "%lf", &ret[k]) != 1)
            ret[k] = 0;
    if (f)
        pclose(f);
}

int main(int argc, char **argv)
{
    double with[KINDS] = {0}, without[KINDS] = {0};
    if (argc == 2 && strcmp(argv[1], "--measure") == 0)
        return measure();
    if (argc != 3) {
        fprintf(stderr, "usage: lookup_cost LIBRARY SIM_FOLDER\n");
        return 2;
    }
    char state[] = "/tmp/hami-lookup-cost-XXXXXX";
    int fd = mkstemp(state);
    if (fd >= 0)
        close(fd);
    unlink(state);
    setenv("LD_LIBRARY_PATH", argv[2], 1);
    setenv("HAMI_SIM", "t4-null", 1);
    setenv("HAMI_SIM_STATE", state, 1);
    run(argv[0], NULL, without);
    run(argv[0], argv[1], with);
    for (int k = 0; k < KINDS; k++)
        printf("%-38s alone %6.0f ns, preloaded %6.0f ns, added %6.0f ns\n", kinds[k], without[k], with[k],
               with[k] - without[k]);
    unlink(state);
    return 0;
}
