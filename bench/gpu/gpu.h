/* SPDX-License-Identifier: Apache-2.0
 *
 * What the parts of the GPU benchmark share. The program is an ordinary CUDA
 * driver client: it opens libcuda.so.1, carries its kernels as PTX and prints
 * raw samples, one series a line; bench/gpu/run starts it under each arm and
 * turns samples into figures. Runs on the real and on the simulated driver.
 */
#ifndef HAMI_BENCH_GPU_H
#define HAMI_BENCH_GPU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "abi/cuda_api.h"

#define DRIVER_ENTRIES(X)                                                                                    \
    X(cuInit)                                                                                                \
    X(cuDriverGetVersion)                                                                                    \
    X(cuDeviceGet)                                                                                           \
    X(cuDeviceGetName)                                                                                       \
    X(cuDeviceGetUuid_v2)                                                                                    \
    X(cuDeviceGetAttribute)                                                                                  \
    X(cuDeviceTotalMem_v2)                                                                                   \
    X(cuDevicePrimaryCtxRetain)                                                                              \
    X(cuCtxSetCurrent)                                                                                       \
    X(cuCtxSynchronize)                                                                                      \
    X(cuModuleLoadData)                                                                                      \
    X(cuModuleGetFunction)                                                                                   \
    X(cuLaunchKernel)                                                                                        \
    X(cuLaunchKernelEx)                                                                                      \
    X(cuLaunchCooperativeKernel)                                                                             \
    X(cuStreamCreate)                                                                                        \
    X(cuStreamSynchronize)                                                                                   \
    X(cuStreamBeginCapture_v2)                                                                               \
    X(cuStreamEndCapture)                                                                                    \
    X(cuGraphInstantiateWithFlags)                                                                           \
    X(cuGraphLaunch)                                                                                         \
    X(cuEventCreate)                                                                                         \
    X(cuEventRecord)                                                                                         \
    X(cuEventQuery)                                                                                          \
    X(cuEventSynchronize)                                                                                    \
    X(cuMemGetInfo_v2)                                                                                       \
    X(cuMemAlloc_v2)                                                                                         \
    X(cuMemsetD8_v2)                                                                                         \
    X(cuMemFree_v2)                                                                                          \
    X(cuMemAllocPitch_v2)                                                                                    \
    X(cuMemAllocManaged)                                                                                     \
    X(cuMemAllocAsync)                                                                                       \
    X(cuMemFreeAsync)                                                                                        \
    X(cuMemPoolCreate)                                                                                       \
    X(cuMemPoolDestroy)                                                                                      \
    X(cuMemAllocFromPoolAsync)                                                                               \
    X(cuMemCreate)                                                                                           \
    X(cuMemRelease)                                                                                          \
    X(cuArrayCreate_v2)                                                                                      \
    X(cuArrayDestroy)                                                                                        \
    X(cuMipmappedArrayCreate)                                                                                \
    X(cuMipmappedArrayDestroy)                                                                               \
    X(cuMemHostAlloc)                                                                                        \
    X(cuMemHostGetDevicePointer_v2)                                                                          \
    X(cuMemcpyDtoDAsync_v2)

struct driver {
#define X(name) __typeof__(name) *name;
    DRIVER_ENTRIES(X)
#undef X
};

/* As a client gets them, and the driver's own addresses past a preloaded
 * library; equal where nothing is preloaded. Set by card_open. */
extern struct driver cu, native;

/* Work is counted in chunks: a kernel of n chunks runs n times the same number
 * of arithmetic laps in every block, so that a chunk is the same work whoever
 * else is on the card, and adds each finished chunk to a counter the host
 * reads. The simulated driver takes the first parameter as the duration. */
#define CHUNK_NS UINT64_C(20000)

struct kernel {
    uint64_t duration_ns, chunks, laps;
    CUdeviceptr device_count, host_count;
};

struct card {
    CUdevice device;
    CUcontext context;
    CUfunction spin, empty;
    CUstream stream;
    unsigned sms;
    CUdeviceptr device_count;
    CUdeviceptr host_count;           /* the device's address of *counted */
    const volatile uint64_t *counted; /* finished chunks; stays 0 on the simulated driver */
};

/* Device 0 with its primary context, a stream and the kernels. Ends the
 * process with a message when any of it cannot be had. */
void card_open(struct card *c);

/* A kernel of n chunks with its parameters pointed at by params[0..4]. */
struct kernel card_kernel(const struct card *c, uint64_t chunks, uint64_t laps);
void kernel_params(struct kernel *k, void *params[5]);
void card_spin(const struct card *c, struct kernel *k, CUstream stream);

/* A graph of n spin kernels. */
CUgraphExec card_graph(const struct card *c, struct kernel *k, unsigned n);

/* Ends the process with `what` and the error's number unless r is success. */
void must(CUresult r, const char *what);

/* "ready" to the parent, then waits for its line; false at end of input. */
bool wait_for_word(const char *ready);

/* One line: name and the n samples. */
void print_series(const char *name, const double *samples, size_t n);

/* The subcommands, argv behind their names; return the exit status. */
int inventory_main(int argc, char **argv);
int calibrate_main(int argc, char **argv);
int launch_main(int argc, char **argv);
int alloc_main(int argc, char **argv);
int cap_main(int argc, char **argv);
int race_main(int argc, char **argv);
int hold_main(int argc, char **argv);
int reach_main(int argc, char **argv);
int start_main(int argc, char **argv);
int flood_main(int argc, char **argv);
int victim_main(int argc, char **argv);

#endif
