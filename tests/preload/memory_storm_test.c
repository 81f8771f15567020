/* SPDX-License-Identifier: Apache-2.0
 *
 * Threads of several processes that make, fill, trim and destroy pools and take
 * plain memory at the limit: it holds but for the steps in which the driver
 * grows a pool, and in the end nothing is held and nothing is charged.
 * HAMI_TEST_SEED repeats a run as far as threads and processes do.
 */
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#include "region/region.h"
#include "support.h"
#include "tests/unit/seed.h"

#define MIB (UINT64_C(1) << 20)
#define LIMIT_MIB 384
#define THREADS 4
#define BLOCKS 12

static const char card[] = KIT_CARDS KIT_CARD("16GiB", "0");

static const struct real_cuda *cu;
static CUcontext ctx;
static unsigned rounds;

struct storm {
    unsigned seed;
    CUmemoryPool pool;
    struct block {
        CUdeviceptr ptr; /* 0 = none */
        bool plain;
    } blocks[BLOCKS];
    unsigned unexpected; /* answers that are neither success nor out of memory */
};

static void note(struct storm *s, CUresult r)
{
    if (r != CUDA_SUCCESS && r != CUDA_ERROR_OUT_OF_MEMORY)
        s->unexpected++;
}

static void pool_new(struct storm *s)
{
    CUmemPoolProps props = {.allocType = CU_MEM_ALLOCATION_TYPE_PINNED,
                            .location = {.type = CU_MEM_LOCATION_TYPE_DEVICE, .id = 0}};
    cuuint64_t keep = rand_r(&s->seed) % 2 ? UINT64_MAX : 0;

    note(s, cu->cuMemPoolCreate(&s->pool, &props));
    note(s, cu->cuMemPoolSetAttribute(s->pool, CU_MEMPOOL_ATTR_RELEASE_THRESHOLD, &keep));
}

static void take(struct storm *s, struct block *b)
{
    size_t n = ((unsigned)rand_r(&s->seed) % 40 + 1) * (rand_r(&s->seed) % 3 ? MIB : 4096);
    int way = rand_r(&s->seed) % 4;
    CUresult r = way == 0   ? cu->cuMemAlloc_v2(&b->ptr, n)
                 : way == 1 ? cu->cuMemAllocAsync(&b->ptr, n, NULL)
                            : cu->cuMemAllocFromPoolAsync(&b->ptr, n, s->pool, NULL);

    note(s, r);
    b->plain = way == 0;
    if (r != CUDA_SUCCESS)
        b->ptr = 0;
}

static void give(struct storm *s, struct block *b)
{
    note(s, !b->plain && rand_r(&s->seed) % 2 ? cu->cuMemFreeAsync(b->ptr, NULL) : cu->cuMemFree_v2(b->ptr));
    b->ptr = 0;
}

static void step(struct storm *s)
{
    struct block *block = &s->blocks[rand_r(&s->seed) % BLOCKS];

    switch (rand_r(&s->seed) % 24) {
    case 0: /* with whatever lives in it */
        note(s, cu->cuMemPoolDestroy(s->pool));
        pool_new(s);
        break;
    case 1:
        note(s, cu->cuMemPoolTrimTo(s->pool, 0));
        break;
    case 2:
        note(s, cu->cuCtxSynchronize());
        break;
    default:
        if (block->ptr)
            give(s, block);
        else
            take(s, block);
    }
}

static void *storm(void *data)
{
    struct storm *s = data;

    cu->cuCtxSetCurrent(ctx);
    pool_new(s);
    for (unsigned i = 0; i < rounds; i++)
        step(s);
    for (unsigned i = 0; i < BLOCKS; i++)
        if (s->blocks[i].ptr)
            give(s, &s->blocks[i]);
    note(s, cu->cuMemPoolDestroy(s->pool));
    return NULL;
}

static int rage(int argc, char **argv)
{
    pthread_t threads[THREADS];
    struct storm storms[THREADS] = {0};
    CUmemoryPool standard;
    unsigned unexpected = 0;

    (void)argc;
    cu = kit_cuda();
    ctx = kit_context(0);
    rounds = (unsigned)atoi(argv[1]);
    for (unsigned i = 0; i < THREADS; i++) {
        storms[i].seed = (unsigned)strtoul(argv[0], NULL, 10) * THREADS + i;
        pthread_create(&threads[i], NULL, storm, &storms[i]);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        unexpected += storms[i].unexpected;
    }
    cu->cuDeviceGetDefaultMemPool(&standard, 0);
    cu->cuCtxSynchronize();
    cu->cuMemPoolTrimTo(standard, 0);
    kit_tell("done %u", unexpected);
    kit_hear();
    return 0;
}

/* What the driver says is used, again and again, as long as it is asked. */
static int watch(int argc, char **argv)
{
    size_t left = 0, total = 0, most = 0;

    (void)argc;
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that fails does not come to ask for its end */
    kit_context(0);
    kit_tell("ready");
    do {
        for (unsigned i = 0; i < 64; i++) {
            kit_cuda()->cuMemGetInfo_v2(&left, &total);
            most = total - left > most ? total - left : most;
        }
    } while (!g_file_test(argv[0], G_FILE_TEST_EXISTS));
    kit_cuda()->cuMemGetInfo_v2(&left, &total);
    kit_tell("%zu %zu", most, total - left);
    return 0;
}

/* By all processes, without what the driver takes for itself. */
static uint64_t charged(struct kit *kit)
{
    g_autofree struct region_limits *none = g_new0(struct region_limits, 1);
    struct region r;
    uint64_t sum = 0;

    g_assert_cmpint(region_open(&r, kit_region(kit), none), ==, 0);
    for (int i = 0; i < REGION_SLOTS; i++) {
        struct region_journal *j = &r.ext->members[i].journal[0];
        sum += atomic_load(&j->held) - atomic_load(&j->context);
    }
    region_close(&r);
    return sum;
}

static void pools_in_a_storm_stay_within_the_limit_and_end_at_nothing(void)
{
    struct kit *kit = kit_new(card);
    struct kit_process *p[2], *watcher;
    g_autofree char *stop = kit_path(kit, "stop"), *preload = g_strdup(kit_get_env(kit, "LD_PRELOAD"));
    g_autofree char *line = NULL;
    guint64 most, now;
    uint32_t seed = test_seed();

    kit_env(kit, "CUDA_DEVICE_MEMORY_LIMIT", "%dm", LIMIT_MIB);
    kit_no_preload(kit);
    watcher = kit_start(kit, "watch", stop, NULL);
    g_free(kit_line(watcher));
    kit_env(kit, "LD_PRELOAD", "%s", preload);
    for (int i = 0; i < 2; i++) {
        g_autofree char *own = g_strdup_printf("%u", seed + (uint32_t)i);
        p[i] = kit_start(kit, "rage", own, "4000", NULL);
    }
    for (int i = 0; i < 2; i++) {
        g_autofree char *done = kit_line(p[i]);
        g_assert_cmpstr(done, ==, "done 0");
    }
    g_assert_cmpuint(charged(kit), ==, 0);
    g_assert_true(g_file_set_contents(stop, "", 0, NULL));
    line = kit_line(watcher);
    most = g_ascii_strtoull(line, NULL, 10);
    now = g_ascii_strtoull(strchr(line, ' '), NULL, 10);
    g_assert_cmpuint(now, ==, 0);
    for (int i = 0; i < 2; i++) {
        kit_say(p[i], "end");
        g_assert_cmpint(kit_finish(p[i], NULL, NULL), ==, 0);
    }
    g_assert_cmpint(kit_finish(watcher, NULL, NULL), ==, 0);
    /* The driver grows by 32 MiB; what that is too much is undone right after. */
    g_assert_cmpuint(most, <=, (LIMIT_MIB + 2 * THREADS * 32) * MIB);
    kit_free(kit);
}

static const struct kit_body bodies[] = {{"rage", rage}, {"watch", watch}, {0}};

int main(int argc, char **argv)
{
    if (kit_is_child(argc, argv))
        return kit_child(argc, argv, bodies);
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/memory_storm/pools_in_a_storm_stay_within_the_limit_and_end_at_nothing",
                    pools_in_a_storm_stay_within_the_limit_and_end_at_nothing);
    return g_test_run();
}
