/* SPDX-License-Identifier: Apache-2.0
 *
 * Programs that would have more of a card than their share: each gets its share
 * and no more. Looked at in the simulator's own log of what ran, in a time of
 * their own. For one file of a test program, which has the programs.
 */
#ifndef HAMI_TESTS_PRELOAD_EVASION_H
#define HAMI_TESTS_PRELOAD_EVASION_H

#include <pthread.h>
#include <string.h>

#include "compute_kernel.h"
#include "own_time.h"

#define US UINT64_C(1000)
#define MS UINT64_C(1000000)
#define MIB ((size_t)1024 * 1024)
#define SETTLES (500 * MS)
#define SECOND (1000 * MS)
#define LASTS (8 * SECOND)
#define PERCENT 20
#define OFF_PP 5 /* what is found by chance takes its time */

/* ---- what the programs have ---- */

static CUcontext context;
static CUfunction kernel; /* one function and size, whatever it takes: prices are kept by these */
static CUstream stream, other_stream;
static CUdeviceptr memory;
static uint64_t queued_ns; /* of a program that launches more than the simulator's log can hold */

static inline const struct real_cuda *cu(void)
{
    return kit_cuda();
}

/* The host's own work. */
static inline void works(uint64_t ns)
{
    wait_until(now_ns() + ns);
}

/* A launch that is over when the host has done something else. */
static inline void launches_and_works(uint64_t ns)
{
    launch_ns(kernel, ns, stream);
    works(ns);
}

static inline void short_ones(unsigned n, uint64_t each_ns)
{
    for (unsigned i = 0; i < n; i++) {
        launch_ns(kernel, 5 * US, stream);
        works(each_ns);
    }
}

static inline void waits(void)
{
    cu()->cuStreamSynchronize(stream);
}

/* ---- the process ---- */

struct attack {
    const char *name;
    void (*step)(void); /* again and again */
    uint64_t lasts_ns;
};

#define LASTING(step, ns)                                                                                    \
    {                                                                                                        \
#step, step, ns                                                                                      \
    }
#define ATTACK(step) LASTING(step, LASTS)

static const struct attack *evasions;

/* Tells its share. Short kernels first, so that their price is known. */
static inline int attack(int argc, char **argv)
{
    (void)argc;
    const struct attack *a = evasions;
    while (strcmp(a->name, argv[0]) != 0)
        a++;
    context = kit_context(0);
    kernel = kernel_of("sim_arg");
    stream = stream_new();
    other_stream = stream_new();
    if (cu()->cuMemAlloc_v2(&memory, 128 * MIB) || !own_time_begin())
        return 1;
    for (int i = 0; i < 20; i++) {
        short_ones(10, 0);
        waits();
    }
    uint64_t from = now_ns() + SETTLES, to = from + a->lasts_ns;
    while (now_ns() < to)
        a->step();
    waits();
    double queued = 100.0 * (double)queued_ns / (double)(now_ns() - from);
    kit_tell("%.3f", queued_ns ? queued : share(from, to));
    _exit(0); /* other threads wait for ever */
}

static inline double share_of(const struct attack *a)
{
    struct kit *kit = kit_new("base: t4\nname: bytes_are_counted_only\nreal_bytes_max: 64KiB\n");
    kit_env(kit, "CUDA_DEVICE_SM_LIMIT", "%d", PERCENT);
    g_autofree char *told = kit_run(kit, "attack", a->name, NULL);
    g_test_message("%s: %s", a->name, told);
    kit_free(kit);
    return g_ascii_strtod(told, NULL);
}

/* Never more. Less may be the machine's doing: the library's own thread lives in the world's time, and one
 * that is kept from running for long sees the program's time jump. It is not that three times. */
static inline void gets_its_share(gconstpointer data)
{
    double got = 0;
    for (int i = 0; i < 3 && got < PERCENT - OFF_PP; i++) {
        got = share_of(data);
        g_assert_cmpfloat(got, <=, PERCENT + OFF_PP);
    }
    g_assert_cmpfloat(got, >=, PERCENT - OFF_PP);
}

static inline int evasion_main(int argc, char **argv, const struct attack *attacks, size_t n)
{
    static const struct kit_body bodies[] = {{"attack", attack}, {0}};
    evasions = attacks;
    if (kit_is_child(argc, argv))
        return kit_child(argc, argv, bodies);
    g_test_init(&argc, &argv, NULL);
    g_test_set_nonfatal_assertions(); /* one that gets more does not hide the others */
    for (size_t i = 0; i < n; i++) {
        g_autofree char *path = g_strdup_printf("/evasion/gets_its_share/%s", attacks[i].name);
        g_test_add_data_func(path, &attacks[i], gets_its_share);
    }
    return g_test_run();
}

#endif
