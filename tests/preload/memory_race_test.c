/* SPDX-License-Identifier: Apache-2.0
 *
 * 10 000 races: in each round eight processes ask for random sizes at the same
 * moment, of which only some fit. Never do they hold more than the limit
 * together, and nobody is refused what there was room for.
 *
 * HAMI_TEST_SEED repeats a run, HAMI_TEST_RACES changes the number of rounds.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "support.h"

#define MIB (UINT64_C(1) << 20)
#define RACERS 8
#define LIMIT (100 * MIB)
#define PAGE (2 * (int)MIB)

static const char card[] = KIT_CARDS KIT_CARD("16GiB", "0") "null_model: true\n";

/* Shared by the racers: who was given and who was refused what. */
struct course {
    pthread_barrier_t barrier;
    uint64_t given[RACERS];
    uint64_t refused[RACERS];
    uint64_t overcommits;
    uint64_t spurious;
    uint64_t refusals;
    uint64_t wrong_codes;
    uint64_t most;
};

static struct course *course_map(const char *path, bool create)
{
    int fd = open(path, O_RDWR | O_CLOEXEC | (create ? O_CREAT : 0), 0600);
    void *p;

    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(ftruncate(fd, sizeof(struct course)), ==, 0);
    p = mmap(NULL, sizeof(struct course), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    g_assert_true(p != MAP_FAILED);
    return p;
}

static void judge(struct course *c)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < RACERS; i++)
        sum += c->given[i];
    c->overcommits += sum > LIMIT;
    c->most = sum > c->most ? sum : c->most;
    for (unsigned i = 0; i < RACERS; i++) {
        c->refusals += c->refused[i] != 0;
        c->spurious += c->refused[i] && sum + c->refused[i] <= LIMIT;
    }
}

/* Sizes to the byte, so that sums come close to the limit in every way; or in
 * pages, of which the driver rounds up nothing. */
static uint64_t size_of(GRand *rand, bool pages)
{
    int most = (int)((g_rand_boolean(rand) ? 20 : 60) * MIB);

    return pages ? (uint64_t)g_rand_int_range(rand, 1, most / PAGE + 1) * PAGE
                 : (uint64_t)g_rand_int_range(rand, 1, most);
}

static int race(int argc, char **argv)
{
    const struct real_cuda *cu = kit_cuda();
    struct course *c = course_map(argv[0], false);
    unsigned me = (unsigned)atoi(argv[1]), rounds = (unsigned)atoi(argv[3]);
    bool pages = strcmp(argv[4], "pages") == 0;
    GRand *rand = g_rand_new_with_seed((guint32)strtoul(argv[2], NULL, 10) + me);

    (void)argc;
    kit_context(0);
    for (unsigned round = 0; round < rounds; round++) {
        uint64_t n = size_of(rand, pages);
        CUdeviceptr p = 0;
        CUresult r;

        pthread_barrier_wait(&c->barrier);
        r = cu->cuMemAlloc_v2(&p, n);
        c->given[me] = r == CUDA_SUCCESS ? n : 0;
        c->refused[me] = r == CUDA_SUCCESS ? 0 : n;
        if (r != CUDA_SUCCESS && r != CUDA_ERROR_OUT_OF_MEMORY)
            __atomic_fetch_add(&c->wrong_codes, 1, __ATOMIC_RELAXED);
        if (pthread_barrier_wait(&c->barrier) == PTHREAD_BARRIER_SERIAL_THREAD)
            judge(c);
        pthread_barrier_wait(&c->barrier);
        if (r == CUDA_SUCCESS)
            cu->cuMemFree_v2(p);
    }
    g_rand_free(rand);
    return 0;
}

static void race_all(const char *sizes)
{
    const char *seed_text = g_getenv("HAMI_TEST_SEED"), *rounds_text = g_getenv("HAMI_TEST_RACES");
    g_autofree char *seed = seed_text ? g_strdup(seed_text) : g_strdup_printf("%u", g_random_int() >> 1);
    const char *rounds = rounds_text ? rounds_text : "10000";
    struct kit *kit = kit_new(card);
    g_autofree char *path = kit_path(kit, "course");
    struct course *c = course_map(path, true);
    struct kit_process *racers[RACERS];
    pthread_barrierattr_t attr;

    g_test_message("HAMI_TEST_SEED=%s", seed);
    pthread_barrierattr_init(&attr);
    pthread_barrierattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
    pthread_barrier_init(&c->barrier, &attr, RACERS);
    kit_env(kit, "CUDA_DEVICE_MEMORY_LIMIT", "100m");
    for (unsigned i = 0; i < RACERS; i++) {
        g_autofree char *me = g_strdup_printf("%u", i);
        racers[i] = kit_start(kit, "race", path, me, seed, rounds, sizes, NULL);
    }
    for (unsigned i = 0; i < RACERS; i++)
        g_assert_cmpint(kit_finish(racers[i], NULL, NULL), ==, 0);
    g_test_message("%s races: %" G_GUINT64_FORMAT " refusals, at most %" G_GUINT64_FORMAT
                   " of %" G_GUINT64_FORMAT " bytes held",
                   rounds, c->refusals, c->most, LIMIT);
    g_assert_cmpuint(c->overcommits, ==, 0);
    if (strcmp(sizes, "pages") == 0) /* else what the driver rounds up takes its part, too */
        g_assert_cmpuint(c->spurious, ==, 0);
    g_assert_cmpuint(c->wrong_codes, ==, 0);
    g_assert_cmpuint(c->refusals, >, 0);
    g_assert_cmpuint(c->most, >, LIMIT / 4 * 3);
    munmap(c, sizeof *c);
    kit_free(kit);
}

static void eight_processes_never_exceed_the_limit_by_a_byte(void)
{
    race_all("bytes");
}

static void nobody_is_refused_what_there_is_room_for(void)
{
    race_all("pages");
}

/* ---- threads at one handle ---- */

static CUdeviceptr mapped;

/* Takes references to what is mapped and lets go of them. */
static void *retain_and_release(void *barrier)
{
    const struct real_cuda *cu = kit_cuda();
    CUmemGenericAllocationHandle h;

    pthread_barrier_wait(barrier);
    for (int i = 0; i < 20000; i++)
        /* NOLINTNEXTLINE(performance-no-int-to-ptr): the interface takes an address as a pointer */
        if (cu->cuMemRetainAllocationHandle(&h, (void *)(uintptr_t)mapped) != CUDA_SUCCESS ||
            cu->cuMemRelease(h) != CUDA_SUCCESS)
            return barrier;
    return NULL;
}

static int references(int argc, char **argv)
{
    const struct real_cuda *cu = kit_cuda();
    const CUmemAllocationProp prop = {.type = CU_MEM_ALLOCATION_TYPE_PINNED,
                                      .location = {.type = CU_MEM_LOCATION_TYPE_DEVICE, .id = 0}};
    CUmemGenericAllocationHandle h;
    size_t before, between, after, total;
    pthread_barrier_t barrier;
    pthread_t threads[4];

    (void)argc, (void)argv;
    kit_context(0);
    cu->cuMemGetInfo_v2(&before, &total);
    if (cu->cuMemCreate(&h, 32 * MIB, &prop, 0) != CUDA_SUCCESS ||
        cu->cuMemAddressReserve(&mapped, 32 * MIB, 0, 0, 0) != CUDA_SUCCESS ||
        cu->cuMemMap(mapped, 32 * MIB, 0, h, 0) != CUDA_SUCCESS)
        return 1;
    pthread_barrier_init(&barrier, NULL, G_N_ELEMENTS(threads));
    for (gsize i = 0; i < G_N_ELEMENTS(threads); i++)
        if (pthread_create(&threads[i], NULL, retain_and_release, &barrier) != 0)
            return 1;
    for (gsize i = 0; i < G_N_ELEMENTS(threads); i++) {
        void *failed;
        pthread_join(threads[i], &failed);
        if (failed)
            return 2;
    }
    cu->cuMemGetInfo_v2(&between, &total);
    if (cu->cuMemRelease(h) != CUDA_SUCCESS || cu->cuMemUnmap(mapped, 32 * MIB) != CUDA_SUCCESS)
        return 3;
    cu->cuMemGetInfo_v2(&after, &total);
    kit_tell("%zu MiB charged, then %zu", (before - between) / MIB, (before - after) / MIB);
    return 0;
}

static void threads_at_one_handle_lose_no_reference(void)
{
    struct kit *kit = kit_new(card);

    kit_env(kit, "CUDA_DEVICE_MEMORY_LIMIT", "100m");
    for (int round = 0; round < 5; round++) {
        g_autofree char *out = kit_run(kit, "references", NULL);
        g_assert_cmpstr(out, ==, "32 MiB charged, then 0\n");
    }
    kit_free(kit);
}

static const struct kit_body bodies[] = {{"race", race}, {"references", references}, {0}};

int main(int argc, char **argv)
{
    if (kit_is_child(argc, argv))
        return kit_child(argc, argv, bodies);
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/memory_race/eight_processes_never_exceed_the_limit_by_a_byte",
                    eight_processes_never_exceed_the_limit_by_a_byte);
    g_test_add_func("/memory_race/nobody_is_refused_what_there_is_room_for",
                    nobody_is_refused_what_there_is_room_for);
    g_test_add_func("/memory_race/threads_at_one_handle_lose_no_reference",
                    threads_at_one_handle_lose_no_reference);
    return g_test_run();
}
