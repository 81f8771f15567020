/* SPDX-License-Identifier: Apache-2.0
 *
 * Pools where the driver is rarely asked: whatever threads do, the ledger holds
 * what the driver has taken, before any settlement; after one it holds exactly
 * that; and an allocation that finds room where the pool has memory asks the
 * driver for nothing but the block.
 */
#include <glib.h>
#include <stdlib.h>

#include "abi/cuda_api.h"
#include "fake_driver.h"
#include "preload/mem_engine.h"
#include "preload/mem_spans.h"
#include "region/ledger.h"

/* ---- questions ---- */

static _Atomic unsigned questions;
static struct real_cuda driver;

/* Answers are old by the time they arrive. */
static CUresult counted_attribute(CUmemoryPool pool, CUmemPool_attribute attribute, void *value)
{
    CUresult r = driver.cuMemPoolGetAttribute(pool, attribute, value);

    if (questions++ % 2)
        g_thread_yield();
    return r;
}

/* A stream that does not get on: what is freed on it is no longer used, and
 * nobody else may have it either. */
static CUdeviceptr stuck[16];
static unsigned n_stuck;
static uint64_t stuck_bytes;
#define STUCK_BLOCK (40 * MIB)

static CUresult stuck_free(CUdeviceptr ptr, CUstream stream)
{
    (void)stream;
    stuck[n_stuck++] = ptr;
    stuck_bytes += STUCK_BLOCK;
    return CUDA_SUCCESS;
}

static CUresult attribute_when_stuck(CUmemoryPool pool, CUmemPool_attribute attribute, void *value)
{
    CUresult r = driver.cuMemPoolGetAttribute(pool, attribute, value);

    if (r == CUDA_SUCCESS && attribute == CU_MEMPOOL_ATTR_USED_MEM_CURRENT)
        *(cuuint64_t *)value -= stuck_bytes;
    return r;
}

static CUresult slow_alloc(CUdeviceptr *ret, size_t n, CUstream stream)
{
    CUresult r = driver.cuMemAllocAsync(ret, n, stream);

    if (questions % 3 == 0)
        g_thread_yield();
    return r;
}

static CUresult counted_pool(CUmemoryPool *ret, CUdevice dev)
{
    questions++;
    return driver.cuDeviceGetMemPool(ret, dev);
}

static CUresult counted_stream(CUstream stream, CUcontext *ret)
{
    (void)stream;
    questions++;
    *ret = fake_context(0);
    return CUDA_SUCCESS;
}

static CUmemoryPool own_pool(void)
{
    CUmemoryPool pool;

    g_assert_cmpint(real.cuDeviceGetDefaultMemPool(&pool, 0), ==, CUDA_SUCCESS);
    return pool;
}

static void set_threshold(uint64_t bytes)
{
    g_assert_cmpint(cuMemPoolSetAttribute(own_pool(), CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, &bytes), ==,
                    CUDA_SUCCESS);
}

static void begin(void)
{
    fake_begin(64 * MIB, 0);
    fake.scattered = true;
    driver = real;
    real.cuMemPoolGetAttribute = counted_attribute;
    real.cuMemAllocAsync = slow_alloc;
    real.cuDeviceGetMemPool = counted_pool;
    real.cuStreamGetCtx = counted_stream;
}

static CUdeviceptr take(size_t n, CUstream stream)
{
    CUdeviceptr p = 0;

    g_assert_cmpint(cuMemAllocAsync(&p, n, stream), ==, CUDA_SUCCESS);
    return p;
}

static void give(CUdeviceptr p, CUstream stream)
{
    g_assert_cmpint(cuMemFreeAsync(p, stream), ==, CUDA_SUCCESS);
}

static void synchronize(void)
{
    fake_pools_synchronized();
    memory_settle();
}

/* How often the driver is asked by n pairs on a stream. */
static unsigned asked_by(unsigned n, size_t bytes, CUstream stream)
{
    unsigned before = questions;

    while (n--)
        give(take(bytes, stream), stream);
    return questions - before;
}

static void an_allocation_that_finds_room_asks_nothing(void)
{
    const CUstream stream = (CUstream)(uintptr_t)0x7000;

    begin();
    g_assert_cmpuint(asked_by(1, 3 * MIB, NULL), >, 0);
    g_assert_cmpuint(asked_by(100, 3 * MIB, NULL), ==, 0);
    g_assert_cmpuint(asked_by(100, 512, NULL), ==, 0);
    g_assert_cmpuint(asked_by(1, 3 * MIB, stream), <=, 2); /* whose it is, and its pool */
    g_assert_cmpuint(asked_by(100, 3 * MIB, stream), ==, 0);
    g_assert_cmpuint(asked_by(1, 5 * MIB, NULL), >, 0); /* the pool grows */
    g_assert_cmpuint(asked_by(100, 5 * MIB, NULL), ==, 0);
    g_assert_cmpuint(ledger_used(&slice.region, 0), ==, fake.taken[0]);
    fake_end();
}

static void a_pool_that_keeps_all_is_not_asked_after_a_synchronisation(void)
{
    begin();
    set_threshold(UINT64_MAX);
    asked_by(1, 3 * MIB, NULL);
    synchronize();
    g_assert_cmpuint(asked_by(100, 3 * MIB, NULL), ==, 0);
    set_threshold(0);
    synchronize();
    g_assert_cmpuint(ledger_used(&slice.region, 0), ==, 0);
    g_assert_cmpuint(asked_by(1, 3 * MIB, NULL), >, 0);
    fake_end();
}

/* What may have taken a pool's memory away: the next block, at an address that
 * the pool had memory at, makes it grow, and that is noticed. */
static void by_synchronising(void)
{
    synchronize();
}

static void by_trimming(void)
{
    g_assert_cmpint(cuMemPoolTrimTo(own_pool(), 0), ==, CUDA_SUCCESS);
}

static void by_freeing_at_once(void)
{
    g_assert_cmpint(cuMemFree_v2(take(MIB, NULL)), ==, CUDA_SUCCESS);
}

static void by_want_of_memory(void)
{
    CUdeviceptr p;

    g_assert_cmpint(cuMemAlloc_v2(&p, 64 * MIB), ==, CUDA_SUCCESS);
    g_assert_cmpint(cuMemFree_v2(p), ==, CUDA_SUCCESS);
}

static const struct loss {
    const char *name;
    void (*lose)(void);
} losses[] = {
    {"synchronising", by_synchronising},
    {"trimming", by_trimming},
    {"freeing_at_once", by_freeing_at_once},
    {"want_of_memory", by_want_of_memory},
};

static void what_is_gone_is_not_taken_for_there(gconstpointer data)
{
    const struct loss *loss = data;
    CUdeviceptr p;

    begin();
    asked_by(2, 8 * MIB, NULL);
    loss->lose();
    p = take(8 * MIB, NULL);
    g_assert_cmpuint(fake.taken[0], ==, 8 * MIB);
    g_assert_cmpuint(ledger_used(&slice.region, 0), ==, 8 * MIB);
    give(p, NULL);
    fake_end();
}

static void a_change_of_the_current_pool_is_seen(void)
{
    CUmemPoolProps props = {.location = {.type = CU_MEM_LOCATION_TYPE_HOST}};
    CUmemoryPool host;

    begin();
    asked_by(2, 4 * MIB, NULL);
    g_assert_cmpint(cuMemPoolCreate(&host, &props), ==, CUDA_SUCCESS);
    g_assert_cmpint(cuDeviceSetMemPool(0, host), ==, CUDA_SUCCESS);
    take(32 * MIB, NULL); /* not charged */
    g_assert_cmpuint(ledger_used(&slice.region, 0), ==, 4 * MIB);
    g_assert_cmpint(cuDeviceSetMemPool(0, own_pool()), ==, CUDA_SUCCESS);
    take(8 * MIB, NULL);
    g_assert_cmpuint(ledger_used(&slice.region, 0), ==, 8 * MIB);
    fake_end();
}

/* The pool is trimmed, the settlement reads its figure, and an allocation is
 * given the memory back before the figure is used. */
static CUresult regrown_meanwhile(CUmemoryPool pool, CUmemPool_attribute attribute, void *value)
{
    CUresult r;

    real.cuMemPoolGetAttribute = driver.cuMemPoolGetAttribute;
    driver.cuMemPoolTrimTo(pool, 0);
    r = driver.cuMemPoolGetAttribute(pool, attribute, value);
    take(8 * MIB, NULL);
    return r;
}

/* A settlement has read the figure when another thread ends its wait: that one
 * sees what the driver has by then. */
static CUresult synchronized_meanwhile(CUmemoryPool pool, CUmemPool_attribute attribute, void *value)
{
    CUresult r;

    real.cuMemPoolGetAttribute = driver.cuMemPoolGetAttribute;
    r = driver.cuMemPoolGetAttribute(pool, attribute, value);
    synchronize();
    g_assert_cmpuint(fake.taken[0], ==, 0);
    g_assert_cmpuint(ledger_used(&slice.region, 0), ==, 0);
    return r;
}

static void a_settlement_under_way_is_not_relied_on(void)
{
    begin();
    give(take(8 * MIB, NULL), NULL);
    real.cuMemPoolGetAttribute = synchronized_meanwhile;
    memory_settle();
    g_assert_true(real.cuMemPoolGetAttribute == driver.cuMemPoolGetAttribute);
    g_assert_cmpuint(ledger_used(&slice.region, 0), ==, 0);
    synchronize();
    g_assert_cmpuint(mem_unsettled, ==, 0);
    fake_end();
}

static void a_figure_from_before_an_allocation_is_not_used(void)
{
    begin();
    set_threshold(UINT64_MAX);
    asked_by(2, 8 * MIB, NULL);
    real.cuMemPoolGetAttribute = regrown_meanwhile;
    memory_settle();
    g_assert_true(real.cuMemPoolGetAttribute == driver.cuMemPoolGetAttribute);
    g_assert_cmpuint(fake.taken[0], ==, 8 * MIB);
    g_assert_cmpuint(ledger_used(&slice.region, 0), ==, 8 * MIB);
    fake_end();
}

/* ---- any order ---- */

#define LIMIT (64 * MIB)
#define THREADS 3
#define ROUNDS 12
#define STEPS 1500
#define HELD 10

struct worker {
    guint32 seed;
    CUdeviceptr held[HELD];
};

static void step(struct worker *w, GRand *rand)
{
    static const size_t sizes[] = {512, 5000, MIB - 512, MIB, 2 * MIB, 3 * MIB + 77, 6 * MIB, 17 * MIB};
    unsigned i = (unsigned)g_rand_int_range(rand, 0, HELD);
    CUdeviceptr plain;

    switch (g_rand_int_range(rand, 0, 40)) {
    case 0:
        synchronize();
        return;
    case 1:
        cuMemPoolTrimTo(own_pool(), 4 * MIB);
        return;
    case 2:
        if (cuMemAlloc_v2(&plain, 20 * MIB) == CUDA_SUCCESS)
            g_assert_cmpint(cuMemFree_v2(plain), ==, CUDA_SUCCESS);
        return;
    case 3:
        if (w->held[i])
            g_assert_cmpint(cuMemFree_v2(w->held[i]), ==, CUDA_SUCCESS);
        break;
    default:
        if (!w->held[i]) {
            cuMemAllocAsync(&w->held[i], sizes[g_rand_int_range(rand, 0, G_N_ELEMENTS(sizes))], NULL);
            return;
        }
        give(w->held[i], NULL);
    }
    w->held[i] = 0;
}

static gpointer work(gpointer argument)
{
    struct worker *w = argument;
    GRand *rand = g_rand_new_with_seed(w->seed++);

    cuCtxSetCurrent(fake_context(0));
    for (unsigned i = 0; i < STEPS; i++) {
        step(w, rand);
        /* Beyond the limit is what is being undone: of each thread the largest block and a step. */
        g_assert_cmpuint(ledger_used(&slice.region, 0), <=, LIMIT + THREADS * 26 * MIB);
    }
    g_rand_free(rand);
    return NULL;
}

static void the_ledger_holds_what_the_driver_has_taken(void)
{
    const char *text = g_getenv("HAMI_TEST_SEED");
    guint32 seed = text ? (guint32)strtoul(text, NULL, 0) : g_random_int();
    struct worker workers[THREADS] = {0};

    g_test_message("HAMI_TEST_SEED=%u", seed);
    begin();
    fake.pool_growth = seed % 2 ? 8 * MIB : 2 * MIB;
    set_threshold((const uint64_t[]){0, 9 * MIB, UINT64_MAX}[seed % 3]);
    for (unsigned i = 0; i < THREADS; i++)
        workers[i].seed = seed + i * 1000;
    for (unsigned round = 0; round < ROUNDS; round++) {
        GThread *threads[THREADS];
        for (unsigned i = 0; i < THREADS; i++)
            threads[i] = g_thread_new("worker", work, &workers[i]);
        for (unsigned i = 0; i < THREADS; i++)
            g_thread_join(threads[i]);
        g_assert_cmpuint(ledger_used(&slice.region, 0), >=, fake.taken[0]);
        g_assert_cmpuint(fake.taken[0], <=, LIMIT);
        memory_settle();
        g_assert_cmpuint(ledger_used(&slice.region, 0), ==, fake.taken[0]);
    }
    for (unsigned i = 0; i < THREADS; i++)
        for (unsigned k = 0; k < HELD; k++)
            if (workers[i].held[k])
                give(workers[i].held[k], NULL);
    cuMemPoolTrimTo(own_pool(), 0);
    g_assert_cmpuint(ledger_used(&slice.region, 0), ==, 0);
    g_assert_cmpuint(fake.taken[0], ==, 0);
    fake_end();
}

/* Freed and allocated again on one stuck stream after the other: only one growth
 * past the limit comes to light too late. */
static void streams_that_do_not_get_on_cost_one_block_past_the_limit(void)
{
    CUdeviceptr p = 0;

    begin();
    real.cuMemFreeAsync = stuck_free;
    real.cuMemPoolGetAttribute = attribute_when_stuck;
    for (uintptr_t i = 0; i < 10; i++)
        if (cuMemAllocAsync(&p, STUCK_BLOCK, (CUstream)(0x7000 + 8 * i)) == CUDA_SUCCESS)
            give(p, (CUstream)(0x7000 + 8 * i));
    g_assert_cmpuint(fake.taken[0], <=, 2 * STUCK_BLOCK);
    while (n_stuck) /* they get on */
        driver.cuMemFreeAsync(stuck[--n_stuck], NULL);
    stuck_bytes = 0;
    real.cuMemFreeAsync = driver.cuMemFreeAsync;
    synchronize();
    give(take(STUCK_BLOCK, NULL), NULL);
    synchronize();
    g_assert_cmpuint(ledger_used(&slice.region, 0), ==, fake.taken[0]);
    fake_end();
}

static void managed_pools_count_wherever_their_memory_is(void)
{
    CUmemPoolProps props = {.allocType = CU_MEM_ALLOCATION_TYPE_MANAGED,
                            .location = {.type = CU_MEM_LOCATION_TYPE_HOST}};
    CUmemoryPool pool = NULL;
    CUdeviceptr p = 0;

    begin();
    g_assert_cmpint(cuMemPoolCreate(&pool, &props), ==, CUDA_SUCCESS);
    g_assert_cmpint(cuMemAllocFromPoolAsync(&p, 65 * MIB, pool, NULL), ==, CUDA_ERROR_OUT_OF_MEMORY);
    g_assert_cmpint(cuMemAllocFromPoolAsync(&p, 40 * MIB, pool, NULL), ==, CUDA_SUCCESS);
    g_assert_cmpuint(ledger_used(&slice.region, 0), >=, 40 * MIB);
    give(p, NULL);
    cuMemPoolDestroy(pool);
    props.allocType = CU_MEM_ALLOCATION_TYPE_PINNED;
    g_assert_cmpint(cuMemPoolCreate(&pool, &props), ==, CUDA_SUCCESS);
    g_assert_cmpint(cuMemAllocFromPoolAsync(&p, 65 * MIB, pool, NULL), ==, CUDA_SUCCESS);
    give(p, NULL);
    cuMemPoolDestroy(pool);
    fake_end();
}

/* ---- spans ---- */

static void spans_join_and_forget(void)
{
    const uint64_t base = UINT64_C(0x302000000), most = 1024 * MIB;
    struct mem_spans s = {0};

    mem_spans_add(&s, base, 512, most);
    g_assert_true(mem_spans_hold(&s, base, 2 * MIB)); /* drivers add whole steps */
    g_assert_false(mem_spans_hold(&s, base, 2 * MIB + 1));
    g_assert_false(mem_spans_hold(&s, base - 1, 1));
    mem_spans_add(&s, base + 4 * MIB, 512, most);
    g_assert_cmpuint(s.count, ==, 2);
    g_assert_false(mem_spans_hold(&s, base, 4 * MIB));
    mem_spans_add(&s, base + 2 * MIB, MIB, most); /* between: all three are one */
    g_assert_cmpuint(s.count, ==, 1);
    g_assert_true(mem_spans_hold(&s, base, 6 * MIB));
    for (unsigned i = 1; i < 40; i++)
        mem_spans_add(&s, base + i * 16 * MIB, 512, most);
    g_assert_cmpuint(s.count, ==, MEM_SPANS_MAX);
    g_assert_true(mem_spans_hold(&s, base, 6 * MIB)); /* the short ones went first */
    g_assert_true(mem_spans_hold(&s, base + 39 * 16 * MIB, 512));
    mem_spans_add(&s, base + 900 * MIB, 4 * MIB, 8 * MIB); /* more than there is */
    g_assert_cmpuint(s.count, ==, 1);
    g_assert_true(mem_spans_hold(&s, base + 900 * MIB, 4 * MIB));
    mem_spans_add(&s, UINT64_MAX - 100, 512, UINT64_MAX);
    g_assert_cmpuint(s.count, ==, 0);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define TEST(name) g_test_add_func("/memory_pool/" #name, name)
    TEST(an_allocation_that_finds_room_asks_nothing);
    TEST(a_pool_that_keeps_all_is_not_asked_after_a_synchronisation);
    for (gsize i = 0; i < G_N_ELEMENTS(losses); i++) {
        g_autofree char *path =
            g_strdup_printf("/memory_pool/what_is_gone_by_%s_is_not_taken_for_there", losses[i].name);
        g_test_add_data_func(path, &losses[i], what_is_gone_is_not_taken_for_there);
    }
    TEST(a_change_of_the_current_pool_is_seen);
    TEST(a_settlement_under_way_is_not_relied_on);
    TEST(a_figure_from_before_an_allocation_is_not_used);
    TEST(the_ledger_holds_what_the_driver_has_taken);
    TEST(managed_pools_count_wherever_their_memory_is);
    TEST(streams_that_do_not_get_on_cost_one_block_past_the_limit);
    TEST(spans_join_and_forget);
    return g_test_run();
}
