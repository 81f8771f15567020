/* SPDX-License-Identifier: Apache-2.0
 *
 * The card: the driver's entries by both routes, a context, and the kernels.
 */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/native.h"
#include "gpu.h"

#define HOST_DEVICEMAP 2 /* CU_MEMHOSTALLOC_DEVICEMAP */

struct driver cu, native;

/* Duration in the first parameter is for the simulated driver, which runs no
 * code. On a card each block runs `chunks` times `laps` dependent additions and
 * then counts; every gridful of counts is one chunk, written to the host. Work
 * rather than time, because a clock runs on while another tenant has the card. */
static const char ptx[] =
    ".version 7.0\n.target sm_70\n.address_size 64\n"
    ".visible .entry sim_1ns()\n{\nret;\n}\n"
    ".visible .entry sim_arg_spin(.param .u64 duration_ns, .param .u64 chunks, .param .u64 laps,\n"
    "                             .param .u64 device_count, .param .u64 host_count)\n{\n"
    ".reg .u64 %rd<10>;\n.reg .u32 %r<3>;\n.reg .f32 %f<2>;\n.reg .pred %p<6>;\n"
    "ld.param.u64 %rd1, [chunks];\n"
    "ld.param.u64 %rd2, [laps];\n"
    "ld.param.u64 %rd3, [device_count];\n"
    "ld.param.u64 %rd4, [host_count];\n"
    "mov.u32 %r1, %tid.x;\n"
    "mov.u32 %r2, %nctaid.x;\n"
    "cvt.u64.u32 %rd5, %r2;\n"
    "cvt.rn.f32.u32 %f1, %r1;\n"
    "next_chunk:\n"
    "setp.eq.u64 %p1, %rd1, 0;\n"
    "@%p1 bra done;\n"
    "sub.u64 %rd1, %rd1, 1;\n"
    "mov.u64 %rd6, %rd2;\n"
    "next_lap:\n"
    "fma.rn.f32 %f1, %f1, 0f3F7FFFFE, 0f3F800000;\n"
    "sub.u64 %rd6, %rd6, 1;\n"
    "setp.ne.u64 %p2, %rd6, 0;\n"
    "@%p2 bra next_lap;\n"
    "bar.sync 0;\n"
    "setp.ne.u32 %p3, %r1, 0;\n"
    "@%p3 bra next_chunk;\n"
    "atom.global.add.u64 %rd7, [%rd3], 1;\n"
    "add.u64 %rd7, %rd7, 1;\n"
    "rem.u64 %rd8, %rd7, %rd5;\n"
    "setp.ne.u64 %p4, %rd8, 0;\n"
    "@%p4 bra next_chunk;\n"
    "div.u64 %rd9, %rd7, %rd5;\n"
    "st.volatile.global.u64 [%rd4], %rd9;\n"
    "bra next_chunk;\n"
    "done:\n"
    "setp.lt.f32 %p5, %f1, 0fBF800000;\n" /* never, but the compiler cannot know */
    "@%p5 st.global.u64 [%rd3], %rd5;\n"
    "ret;\n}\n";

static void open_driver(void)
{
    void *library = dlopen("libcuda.so.1", RTLD_NOW);
    if (!library) {
        fprintf(stderr, "gpu: %s\n", dlerror());
        exit(1);
    }
#define X(name)                                                                                              \
    cu.name = (__typeof__(cu.name))dlsym(library, #name);                                                    \
    native.name = (__typeof__(native.name))genuine(#name);                                                   \
    if (!cu.name) {                                                                                          \
        fprintf(stderr, "gpu: the driver has no %s\n", #name);                                               \
        exit(1);                                                                                             \
    }                                                                                                        \
    if (!native.name)                                                                                        \
        native.name = cu.name;
    DRIVER_ENTRIES(X)
#undef X
}

void card_open(struct card *c)
{
    CUmodule module;
    void *host;
    int sms = 0;
    memset(c, 0, sizeof *c);
    open_driver();
    must(cu.cuInit(0), "cuInit");
    must(cu.cuDeviceGet(&c->device, 0), "cuDeviceGet");
    must(cu.cuDeviceGetAttribute(&sms, CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, c->device), "attribute");
    c->sms = (unsigned)sms;
    must(cu.cuDevicePrimaryCtxRetain(&c->context, c->device), "cuDevicePrimaryCtxRetain");
    must(cu.cuCtxSetCurrent(c->context), "cuCtxSetCurrent");
    must(cu.cuModuleLoadData(&module, ptx), "cuModuleLoadData");
    must(cu.cuModuleGetFunction(&c->spin, module, "sim_arg_spin"), "cuModuleGetFunction");
    must(cu.cuModuleGetFunction(&c->empty, module, "sim_1ns"), "cuModuleGetFunction");
    must(cu.cuStreamCreate(&c->stream, CU_STREAM_NON_BLOCKING), "cuStreamCreate");
    must(cu.cuMemAlloc_v2(&c->device_count, 4096), "cuMemAlloc");
    must(cu.cuMemsetD8_v2(c->device_count, 0, 4096), "cuMemsetD8");
    must(cu.cuMemHostAlloc(&host, 4096, HOST_DEVICEMAP), "cuMemHostAlloc");
    must(cu.cuMemHostGetDevicePointer_v2(&c->host_count, host, 0), "cuMemHostGetDevicePointer");
    memset(host, 0, 4096);
    must(cu.cuCtxSynchronize(), "cuCtxSynchronize"); /* the stream does not wait for the setting of memory */
    c->counted = host;
}

struct kernel card_kernel(const struct card *c, uint64_t chunks, uint64_t laps)
{
    return (struct kernel){.duration_ns = chunks * CHUNK_NS,
                           .chunks = chunks,
                           .laps = laps ? laps : 1,
                           .device_count = c->device_count,
                           .host_count = c->host_count};
}

void kernel_params(struct kernel *k, void *params[5])
{
    params[0] = &k->duration_ns;
    params[1] = &k->chunks;
    params[2] = &k->laps;
    params[3] = &k->device_count;
    params[4] = &k->host_count;
}

void card_spin(const struct card *c, struct kernel *k, CUstream stream)
{
    void *params[5];
    kernel_params(k, params);
    must(cu.cuLaunchKernel(c->spin, c->sms, 1, 1, 128, 1, 1, 0, stream, params, NULL), "cuLaunchKernel");
}

CUgraphExec card_graph(const struct card *c, struct kernel *k, unsigned n)
{
    CUgraph graph;
    CUgraphExec exec;
    must(cu.cuStreamBeginCapture_v2(c->stream, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL), "begin capture");
    for (unsigned i = 0; i < n; i++)
        card_spin(c, k, c->stream);
    must(cu.cuStreamEndCapture(c->stream, &graph), "end capture");
    must(cu.cuGraphInstantiateWithFlags(&exec, graph, 0), "instantiate");
    return exec;
}

int inventory_main(int argc, char **argv)
{
    (void)argc, (void)argv;
    struct card c;
    CUuuid uuid;
    char name[128] = "";
    int version = 0;
    size_t left, total;
    card_open(&c);
    must(cu.cuDeviceGetName(name, sizeof name, c.device), "cuDeviceGetName");
    must(cu.cuDeviceGetUuid_v2(&uuid, c.device), "cuDeviceGetUuid");
    must(cu.cuDriverGetVersion(&version), "cuDriverGetVersion");
    must(cu.cuMemGetInfo_v2(&left, &total), "cuMemGetInfo");
    printf("name %s\nuuid GPU-", name);
    for (int i = 0; i < 16; i++)
        printf("%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", (unsigned char)uuid.bytes[i]);
    printf("\ncuda %d.%d\nsms %u\ntotal_bytes %zu\nfree_bytes %zu\n", version / 1000, version % 1000 / 10,
           c.sms, total, left);
    return 0;
}

/* Laps that make a chunk 20 us on an idle card at working clocks. On the
 * simulated driver nothing counts; the answer is 0 and no one needs it. */
int calibrate_main(int argc, char **argv)
{
    (void)argc, (void)argv;
    struct card c;
    double best = 0;
    card_open(&c);
    struct kernel k = card_kernel(&c, 100, 1000);
    double until = now_ns() + 2e9; /* clocks ramp up within */
    do {
        double begin = now_ns();
        card_spin(&c, &k, c.stream);
        must(cu.cuStreamSynchronize(c.stream), "synchronize");
        double took = now_ns() - begin;
        best = best == 0 || took < best ? took : best;
    } while (*c.counted && now_ns() < until);
    printf("laps %.0f\n", *c.counted ? 1000.0 * (double)CHUNK_NS * 100 / best : 0);
    return 0;
}
