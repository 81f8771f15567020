/* SPDX-License-Identifier: Apache-2.0
 *
 * How much of the driver libvgpu.so covers: every name of contract/cuda.def,
 * asked of the simulated driver under the library by dlsym, and by
 * cuGetProcAddress_v2 as its base, version and stream twin. A name counts when it
 * is answered, and, where the contract says it is wrapped, by libvgpu.so.
 *
 *   bench-coverage BUILD       prints name, target, measured; one figure a line
 */
#include <dlfcn.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "abi/cuda_api.h"
#include "bench/scratch.h"

enum stream { LEGACY, PTSZ, PTDS };
enum wrapped {
    PASS,
    INIT,
    LOOKUP,
    ALLOC,
    FREE,
    REF,
    QUERY,
    LAUNCH,
    COPY,
    CAPTURE,
    GRAPH,
    SYNC,
    CONTEXT,
    CHECKPOINT
};

static const struct row {
    const char *symbol, *base;
    int since;
    enum stream stream;
    enum wrapped class;
} rows[] = {
#define CUDA(symbol, base, since, stream, class, types) {#symbol, #base, since, stream, class},
#include "cuda.def"
#undef CUDA
};
#define ROWS (sizeof rows / sizeof rows[0])

static _Noreturn void fail(const char *what)
{
    fprintf(stderr, "bench-coverage: %s\n", what);
    exit(1);
}

static bool is_right(const struct row *row, void *address)
{
    Dl_info info;
    if (!address || !dladdr(address, &info) || !info.dli_fname)
        return false;
    return row->class == PASS || strstr(info.dli_fname, "libvgpu") != NULL;
}

/* Uncovered names are told apart on standard error. */
static void print(const char *name, unsigned right, unsigned asked)
{
    printf("%-44s target <= 0 %%   missed %.2f %%   (%u of %u)\n", name,
           asked ? 100.0 * (asked - right) / asked : 100.0, right, asked);
}

static void by_name(void *library)
{
    unsigned right = 0;
    for (size_t i = 0; i < ROWS; i++)
        if (is_right(&rows[i], dlsym(library, rows[i].symbol)))
            right++;
        else
            fprintf(stderr, "dlsym: %s\n", rows[i].symbol);
    print("entry points missed by dlsym", right, ROWS);
}

/* Names younger than the driver are not to be had from it. */
static void by_version(void *library)
{
    unsigned right = 0, asked = 0;
    int version = 0;
    __typeof__(cuDriverGetVersion) *driver_version =
        (__typeof__(driver_version))dlsym(library, "cuDriverGetVersion");
    __typeof__(cuGetProcAddress_v2) *lookup = (__typeof__(lookup))dlsym(library, "cuGetProcAddress_v2");
    if (!driver_version || !lookup || driver_version(&version))
        fail("the simulated driver cannot be used");
    for (size_t i = 0; i < ROWS; i++) {
        void *address = NULL;
        cuuint64_t flags = rows[i].stream == LEGACY ? CU_GET_PROC_ADDRESS_LEGACY_STREAM
                                                    : CU_GET_PROC_ADDRESS_PER_THREAD_DEFAULT_STREAM;
        if (rows[i].since > version || !*rows[i].base)
            continue;
        asked++;
        if (lookup(rows[i].base, &address, rows[i].since, flags, NULL) == CUDA_SUCCESS &&
            is_right(&rows[i], address))
            right++;
        else
            fprintf(stderr, "cuGetProcAddress: %s\n", rows[i].symbol);
    }
    print("entry points missed by cuGetProcAddress", right, asked);
}

static int child_main(void)
{
    void *library = dlopen("libcuda.so.1", RTLD_NOW);
    if (!library)
        fail(dlerror());
    __typeof__(cuInit) *init = (__typeof__(init))dlsym(library, "cuInit");
    if (!init || init(0))
        fail("the simulated driver cannot be used");
    by_name(library);
    by_version(library);
    return 0;
}

static void set_path(const char *variable, const char *name, const char *folder)
{
    char text[4096];
    snprintf(text, sizeof text, "%s/%s", folder, name);
    setenv(variable, text, 1);
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--child") == 0)
        return child_main();
    char dir[SCRATCH_BYTES], path[4096];
    char *build = argc > 1 ? realpath(argv[1], NULL) : NULL;
    int status;
    if (!build) {
        fprintf(stderr, "usage: bench-coverage BUILD\n");
        return 2;
    }
    if (!scratch_new(dir, "coverage"))
        fail(strerror(errno));
    pid_t pid = fork();
    if (pid == 0) {
        setenv("HAMI_SIM", "t4", 1);
        set_path("HAMI_SIM_STATE", "state", dir);
        set_path("CUDA_DEVICE_MEMORY_SHARED_CACHE", "region", dir);
        set_path("LD_LIBRARY_PATH", "sim", build);
        set_path("LD_PRELOAD", "libvgpu.so", build);
        execl("/proc/self/exe", "bench-coverage", "--child", (char *)NULL);
        _exit(127);
    }
    bool done = waitpid(pid, &status, 0) == pid && status == 0;
    static const char *const names[] = {"state", "region"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        snprintf(path, sizeof path, "%s/%s", dir, names[i]);
        unlink(path);
    }
    rmdir(dir);
    free(build);
    return done ? 0 : 1;
}
