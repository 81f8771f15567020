/* SPDX-License-Identifier: Apache-2.0
 *
 * Random sequences of calls by several threads against a driver that keeps its
 * own account and fails at random. Whatever happens: what the slots hold adds
 * up to what the ledger says, the limit is never passed, and when all is freed
 * nothing is charged.
 */
#include <glib.h>
#include <stdlib.h>

#include "abi/cuda_api.h"
#include "fake_driver.h"
#include "region/ledger.h"

#define LIMIT (64 * MIB)
#define THREADS 3
#define STEPS 4000
#define HELD 24

struct worker {
    guint32 seed;
    unsigned number;
    CUdeviceptr sync[HELD], async[HELD];
    CUmemGenericAllocationHandle handles[HELD];
    bool mapped[HELD], released[HELD];
};

static uint64_t va(const struct worker *w, unsigned i)
{
    return UINT64_C(0x200000000000) + (w->number * HELD + i) * 8 * MIB;
}

static void plain_step(struct worker *w, GRand *rand, unsigned i)
{
    size_t n = (size_t)g_rand_int_range(rand, 1, 3 * (int)MIB), pitch;
    CUresult r;

    if (w->sync[i]) {
        r = g_rand_boolean(rand) ? cuMemFree_v2(w->sync[i]) : cuMemFreeAsync(w->sync[i], NULL);
        if (r == CUDA_SUCCESS)
            w->sync[i] = 0;
        return;
    }
    switch (g_rand_int_range(rand, 0, 3)) {
    case 0:
        cuMemAlloc_v2(&w->sync[i], n);
        break;
    case 1:
        cuMemAllocManaged(&w->sync[i], n, 1);
        break;
    default:
        cuMemAllocPitch_v2(&w->sync[i], &pitch, n % 5000 + 1, 64, 4);
        break;
    }
}

static void async_step(struct worker *w, GRand *rand, unsigned i)
{
    CUresult r;

    if (!w->async[i]) {
        cuMemAllocAsync(&w->async[i], (size_t)g_rand_int_range(rand, 1, 5 * (int)MIB), NULL);
        return;
    }
    r = g_rand_boolean(rand) ? cuMemFree_v2(w->async[i]) : cuMemFreeAsync(w->async[i], NULL);
    if (r == CUDA_SUCCESS)
        w->async[i] = 0;
}

static void vmm_step(struct worker *w, GRand *rand, unsigned i)
{
    CUmemAllocationProp prop = {.location = {.type = CU_MEM_LOCATION_TYPE_DEVICE, .id = 0}};

    if (!w->handles[i]) {
        w->released[i] = false;
        cuMemCreate(&w->handles[i], 2 * MIB, &prop, 0);
    } else if (g_rand_boolean(rand)) {
        if (!w->mapped[i] && !w->released[i])
            w->mapped[i] = cuMemMap(va(w, i), 2 * MIB, 0, w->handles[i], 0) == CUDA_SUCCESS;
        else if (w->mapped[i] && cuMemUnmap(va(w, i), 2 * MIB) == CUDA_SUCCESS)
            w->mapped[i] = false;
    } else if (!w->released[i]) {
        w->released[i] = cuMemRelease(w->handles[i]) == CUDA_SUCCESS;
    }
    if (w->released[i] && !w->mapped[i])
        w->handles[i] = 0;
}

static void clean(struct worker *w)
{
    CUmemoryPool pool;

    fake.fail_next = 0;
    for (unsigned i = 0; i < HELD; i++) {
        if (w->sync[i])
            g_assert_cmpint(cuMemFree_v2(w->sync[i]), ==, CUDA_SUCCESS);
        if (w->async[i])
            g_assert_cmpint(cuMemFreeAsync(w->async[i], NULL), ==, CUDA_SUCCESS);
        if (w->mapped[i])
            g_assert_cmpint(cuMemUnmap(va(w, i), 2 * MIB), ==, CUDA_SUCCESS);
        if (w->handles[i] && !w->released[i])
            g_assert_cmpint(cuMemRelease(w->handles[i]), ==, CUDA_SUCCESS);
    }
    real.cuDeviceGetDefaultMemPool(&pool, 0);
    cuMemPoolTrimTo(pool, 0);
}

static gpointer work(gpointer argument)
{
    struct worker *w = argument;
    GRand *rand = g_rand_new_with_seed(w->seed);

    cuCtxSetCurrent(fake_context(0));
    for (unsigned step = 0; step < STEPS; step++) {
        unsigned i = (unsigned)g_rand_int_range(rand, 0, HELD);
        if (g_rand_int_range(rand, 0, 20) == 0)
            fake.fail_next = CUDA_ERROR_UNKNOWN;
        switch (g_rand_int_range(rand, 0, 4)) {
        case 0:
            plain_step(w, rand, i);
            break;
        case 1:
            async_step(w, rand, i);
            break;
        case 2:
            vmm_step(w, rand, i);
            break;
        default:
            memory_settle();
            break;
        }
        g_assert_cmpuint(ledger_used(&slice.region, 0), <=, LIMIT);
    }
    g_rand_free(rand);
    return NULL;
}

static void the_ledger_follows_any_sequence_of_calls(void)
{
    const char *text = g_getenv("HAMI_TEST_SEED");
    guint32 seed = text ? (guint32)strtoul(text, NULL, 0) : g_random_int();
    struct worker workers[THREADS] = {0};
    GThread *threads[THREADS];

    g_test_message("HAMI_TEST_SEED=%u", seed);
    fake_begin(LIMIT, 0);
    for (unsigned i = 0; i < THREADS; i++) {
        workers[i].seed = seed + i;
        workers[i].number = i;
        threads[i] = g_thread_new("worker", work, &workers[i]);
    }
    for (unsigned i = 0; i < THREADS; i++)
        g_thread_join(threads[i]);
    memory_settle();
    g_assert_cmpuint(ledger_held(&slice.region, slice.slot, 0), ==, ledger_used(&slice.region, 0));
    for (unsigned i = 0; i < THREADS; i++)
        clean(&workers[i]);
    memory_settle();
    g_assert_cmpuint(ledger_used(&slice.region, 0), ==, 0);
    g_assert_cmpuint(ledger_held(&slice.region, slice.slot, 0), ==, 0);
    fake_end();
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/memory_model/the_ledger_follows_any_sequence_of_calls",
                    the_ledger_follows_any_sequence_of_calls);
    return g_test_run();
}
