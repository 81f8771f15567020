/* SPDX-License-Identifier: Apache-2.0
 *
 * Memory on this card: what a preloaded library adds to each way of getting
 * it, and how exactly each of them keeps to a limit. Every way is a row of one
 * table: ask for bytes, give them back.
 */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/measure.h"
#include "gpu.h"

#define LIVE_MAX 65536
#define COARSE ((size_t)2 << 20)
#define FINE ((size_t)4 << 10)
#define REFUSALS 2000
#define RACERS 4

static struct card card;
static CUmemoryPool pool;

union piece {
    CUdeviceptr address;
    CUmemGenericAllocationHandle handle;
    CUarray array;
    CUmipmappedArray mipmap;
};

/* ---- the ways ---------------------------------------------------------- */

static CUresult plain_get(const struct driver *d, union piece *p, size_t n)
{
    return d->cuMemAlloc_v2(&p->address, n);
}

static CUresult plain_put(const struct driver *d, union piece *p)
{
    return d->cuMemFree_v2(p->address);
}

static CUresult pitch_get(const struct driver *d, union piece *p, size_t n)
{
    size_t pitch, width = n < 4096 ? n : 4096;
    return d->cuMemAllocPitch_v2(&p->address, &pitch, width, n / width, 4);
}

static CUresult managed_get(const struct driver *d, union piece *p, size_t n)
{
    return d->cuMemAllocManaged(&p->address, n, CU_MEM_ATTACH_GLOBAL);
}

static CUresult async_get(const struct driver *d, union piece *p, size_t n)
{
    return d->cuMemAllocAsync(&p->address, n, card.stream);
}

static CUresult async_put(const struct driver *d, union piece *p)
{
    return d->cuMemFreeAsync(p->address, card.stream);
}

static CUresult pool_get(const struct driver *d, union piece *p, size_t n)
{
    const CUmemPoolProps props = {.allocType = CU_MEM_ALLOCATION_TYPE_PINNED,
                                  .location = {.type = CU_MEM_LOCATION_TYPE_DEVICE, .id = 0}};
    if (!pool)
        must(d->cuMemPoolCreate(&pool, &props), "cuMemPoolCreate");
    return d->cuMemAllocFromPoolAsync(&p->address, n, pool, card.stream);
}

static CUresult vmm_get(const struct driver *d, union piece *p, size_t n)
{
    const CUmemAllocationProp props = {.type = CU_MEM_ALLOCATION_TYPE_PINNED,
                                       .location = {.type = CU_MEM_LOCATION_TYPE_DEVICE, .id = 0}};
    return d->cuMemCreate(&p->handle, n < COARSE ? COARSE : n, &props, 0);
}

static CUresult vmm_put(const struct driver *d, union piece *p)
{
    return d->cuMemRelease(p->handle);
}

static CUresult array_get(const struct driver *d, union piece *p, size_t n)
{
    const CUDA_ARRAY_DESCRIPTOR shape = {n / 64, 16, CU_AD_FORMAT_FLOAT, 1};
    return d->cuArrayCreate_v2(&p->array, &shape);
}

static CUresult array_put(const struct driver *d, union piece *p)
{
    return d->cuArrayDestroy(p->array);
}

static CUresult mipmap_get(const struct driver *d, union piece *p, size_t n)
{
    const CUDA_ARRAY3D_DESCRIPTOR shape = {n / 64, 16, 0, CU_AD_FORMAT_FLOAT, 1, 0};
    return d->cuMipmappedArrayCreate(&p->mipmap, &shape, 1);
}

static CUresult mipmap_put(const struct driver *d, union piece *p)
{
    return d->cuMipmappedArrayDestroy(p->mipmap);
}

static const struct way {
    const char *name;
    CUresult (*get)(const struct driver *, union piece *, size_t);
    CUresult (*put)(const struct driver *, union piece *);
    size_t granule; /* the smallest step the driver itself takes */
} ways[] = {
    {"plain", plain_get, plain_put, 4096},     {"pitch", pitch_get, plain_put, 4096},
    {"managed", managed_get, plain_put, 4096}, {"async", async_get, async_put, 4096},
    {"pool", pool_get, async_put, 4096},       {"vmm", vmm_get, vmm_put, COARSE},
    {"array", array_get, array_put, COARSE},   {"mipmap", mipmap_get, mipmap_put, COARSE},
};
#define WAYS (sizeof ways / sizeof ways[0])

/* ---- cost -------------------------------------------------------------- */

static double pairs_ns(const struct driver *d, const struct way *way, size_t bytes, unsigned n)
{
    union piece p;
    must(native.cuStreamSynchronize(card.stream), "synchronize");
    double begin = now_ns();
    for (unsigned i = 0; i < n; i++) {
        must(way->get(d, &p, bytes), way->name);
        must(way->put(d, &p), way->name);
    }
    return (now_ns() - begin) / n;
}

static void compare(const char *label, const struct way *way, size_t bytes, unsigned rounds, unsigned n)
{
    double *own = calloc(rounds, sizeof *own), *added = calloc(rounds, sizeof *added);
    char name[64];
    if (!own || !added)
        exit(1);
    pairs_ns(&native, way, bytes, n), pairs_ns(&cu, way, bytes, n);
    for (unsigned i = 0; i < rounds; i++) {
        own[i] = pairs_ns(&native, way, bytes, n);
        added[i] = pairs_ns(&cu, way, bytes, n) - own[i];
    }
    snprintf(name, sizeof name, "native_%s", label);
    print_series(name, own, rounds);
    snprintf(name, sizeof name, "added_%s", label);
    print_series(name, added, rounds);
    free(own);
    free(added);
}

int alloc_main(int argc, char **argv)
{
    static const struct {
        const char *label;
        size_t way, bytes;
        unsigned fewer, live;
    } rows[] = {
        {"plain_512B", 0, 512, 1, 0},
        {"plain_64KiB", 0, 65536, 1, 0},
        {"plain_2MiB", 0, COARSE, 10, 0},
        {"plain_256MiB", 0, COARSE * 128, 20, 0},
        {"async_2MiB", 3, COARSE, 1, 0},
        {"vmm_2MiB", 5, COARSE, 10, 0},
        {"managed_2MiB", 2, COARSE, 20, 0},
        {"plain_512B_1000live", 0, 512, 1, 1000},
        {"plain_512B_10000live", 0, 512, 1, 10000},
    };
    (void)argc;
    unsigned rounds = (unsigned)atoi(argv[0]), batch = (unsigned)atoi(argv[1]), live = 0;
    union piece kept;
    card_open(&card);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        for (; live < rows[i].live; live++)
            must(plain_get(&cu, &kept, 512), "a live allocation");
        unsigned n = batch / rows[i].fewer ? batch / rows[i].fewer : 1;
        compare(rows[i].label, &ways[rows[i].way], rows[i].bytes, rounds, n);
    }
    printf("preloaded %d\n", cu.cuMemAlloc_v2 != native.cuMemAlloc_v2);
    return 0;
}

/* ---- limits ------------------------------------------------------------ */

/* Takes pieces of `step` until refused or `most` bytes are had. */
static size_t fill(const struct way *way, union piece *pieces, size_t *count, size_t step, size_t most)
{
    size_t got = 0;
    while (got + step <= most && *count < LIVE_MAX && way->get(&cu, &pieces[*count], step) == CUDA_SUCCESS) {
        got += step;
        ++*count;
    }
    return got;
}

static void cap(const struct way *way, size_t limit)
{
    static union piece pieces[LIVE_MAX];
    size_t count = 0, ceiling = limit + (64 << 20), left, total;
    size_t got = fill(way, pieces, &count, COARSE, ceiling);
    if (way->granule < COARSE)
        got += fill(way, pieces, &count, FINE, ceiling - got);
    must(cu.cuMemGetInfo_v2(&left, &total), "cuMemGetInfo");
    printf("cap_%s %zu %zu %zu\n", way->name, got, left, total);
    while (count > 0)
        must(way->put(&cu, &pieces[--count]), way->name);
    must(cu.cuCtxSynchronize(), "synchronize");
    if (pool)
        must(cu.cuMemPoolDestroy(pool), "cuMemPoolDestroy");
    pool = NULL;
}

static void refusals(size_t limit)
{
    static double ns[REFUSALS];
    union piece p;
    for (size_t i = 0; i < REFUSALS; i++) {
        double begin = now_ns();
        if (plain_get(&cu, &p, limit) == CUDA_SUCCESS)
            return;
        ns[i] = now_ns() - begin;
    }
    print_series("refusal_ns", ns, REFUSALS);
}

int cap_main(int argc, char **argv)
{
    size_t limit = strtoull(argv[0], NULL, 10);
    card_open(&card);
    for (size_t i = 0; i < WAYS; i++)
        if (argc < 2 || strcmp(argv[1], ways[i].name) == 0)
            cap(&ways[i], limit);
    refusals(limit);
    return 0;
}

/* Each racer wants three eighths of what the contexts of all leave: two fit,
 * three would not. */
struct race {
    pthread_barrier_t round;
    size_t room;
    size_t granted[RACERS];
    unsigned over, served;
};

static _Noreturn void racer(struct race *r, unsigned me, unsigned rounds)
{
    union piece p;
    size_t total;
    card_open(&card);
    pthread_barrier_wait(&r->round);
    if (me == 0)
        must(cu.cuMemGetInfo_v2(&r->room, &total), "cuMemGetInfo");
    for (unsigned i = 0; i < rounds; i++) {
        pthread_barrier_wait(&r->round);
        size_t want = r->room / 8 * 3;
        r->granted[me] = plain_get(&cu, &p, want) == CUDA_SUCCESS ? want : 0;
        pthread_barrier_wait(&r->round);
        size_t sum = 0;
        for (unsigned k = 0; k < RACERS; k++)
            sum += r->granted[k];
        if (me == 0) {
            r->over += sum > r->room;
            r->served += sum > 0;
        }
        pthread_barrier_wait(&r->round);
        if (r->granted[me])
            must(plain_put(&cu, &p), "free");
    }
    _exit(0);
}

int race_main(int argc, char **argv)
{
    (void)argc;
    unsigned rounds = (unsigned)atoi(argv[0]), failed = 0;
    pthread_barrierattr_t shared;
    pid_t racers[RACERS];
    struct race *r = mmap(NULL, sizeof *r, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (r == MAP_FAILED)
        return 1;
    pthread_barrierattr_init(&shared);
    pthread_barrierattr_setpshared(&shared, PTHREAD_PROCESS_SHARED);
    pthread_barrier_init(&r->round, &shared, RACERS);
    for (unsigned i = 0; i < RACERS; i++)
        if ((racers[i] = fork()) == 0)
            racer(r, i, rounds);
    for (unsigned i = 0; i < RACERS; i++) {
        int status;
        if (wait(&status) > 0 && status != 0 && failed++ == 0)
            for (unsigned k = 0; k < RACERS; k++)
                kill(racers[k], SIGKILL); /* or they wait for it at the barrier for ever */
    }
    printf("race %u %u %u %u\n", rounds, r->served, r->over, failed);
    return failed != 0;
}

/* ---- a killed neighbour's memory --------------------------------------- */

int hold_main(int argc, char **argv)
{
    (void)argc;
    size_t bytes = strtoull(argv[0], NULL, 10);
    union piece p;
    card_open(&card);
    if (bytes)
        must(plain_get(&cu, &p, bytes), "cuMemAlloc");
    struct kernel k = card_kernel(&card, 5000, 1000); /* some tens of milliseconds */
    card_spin(&card, &k, card.stream);
    must(cu.cuStreamSynchronize(card.stream), "synchronize");
    while (wait_for_word("ready"))
        card_spin(&card, &k, card.stream);
    return 0;
}

int reach_main(int argc, char **argv)
{
    (void)argc;
    union piece p;
    size_t bytes = strtoull(argv[0], NULL, 10);
    card_open(&card);
    if (!wait_for_word("ready"))
        return 1;
    double begin = now_ns();
    bool at_once = true;
    while (plain_get(&cu, &p, bytes) != CUDA_SUCCESS && now_ns() - begin < 10e9)
        at_once = false;
    printf("reach_ms %.3f %d\n", (now_ns() - begin) / 1e6, at_once);
    return 0;
}
