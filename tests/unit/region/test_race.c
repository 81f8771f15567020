/* SPDX-License-Identifier: Apache-2.0
 *
 * Ten thousand seeded races of eight processes for one limit. In each round
 * all take at once until they have had their turns, then all look, then all
 * give back. Nothing may go over, nothing may be refused that would have fit:
 * while takers only take, a refusal of n is right if and only if n does not
 * fit at the end of the round either.
 */
#include "scene.h"

#include <pthread.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#define RACERS 8
#define ROUNDS 10000
#define TURNS 16

struct track {
    pthread_barrier_t barrier;
    uint64_t seed;
    _Atomic uint64_t overcommits, spurious, mismatches, refusals;
};

struct racer {
    const struct scene *s;
    struct track *track;
    unsigned index;
};

struct turn {
    uint64_t n;
    bool taken;
};

static uint64_t race(struct region *r, struct scene_random *random, uint64_t limit, struct turn turns[TURNS])
{
    uint64_t kept = 0;
    for (int i = 0; i < TURNS; i++) {
        turns[i].n = 1 + scene_random(random) % (limit * 4 / (RACERS * TURNS));
        turns[i].taken = ledger_reserve(r, r->slot, 0, turns[i].n, limit);
        kept += turns[i].taken ? turns[i].n : 0;
    }
    return kept;
}

static void judge(struct track *track, const struct region *r, uint64_t limit, const struct turn turns[TURNS])
{
    uint64_t used = ledger_used(r, 0);
    if (used > limit)
        atomic_fetch_add(&track->overcommits, 1);
    for (int i = 0; i < TURNS; i++) {
        if (turns[i].taken)
            continue;
        atomic_fetch_add(&track->refusals, 1);
        if (used <= limit && turns[i].n <= limit - used)
            atomic_fetch_add(&track->spurious, 1);
    }
}

static int run(void *arg)
{
    const struct racer *me = arg;
    struct track *track = me->track;
    struct region r;
    if (region_open(&r, me->s->path, &me->s->limits) < 0 || region_slot_claim(&r) < 0)
        return 1;
    for (uint64_t round = 0; round < ROUNDS; round++) {
        struct scene_random common = {track->seed + round},
                            own = {track->seed + round * RACERS + me->index + 1};
        uint64_t limit = 1000 + scene_random(&common) % SCENE_LIMIT;
        struct turn turns[TURNS];
        pthread_barrier_wait(&track->barrier);
        uint64_t kept = race(&r, &own, limit, turns);
        pthread_barrier_wait(&track->barrier);
        judge(track, &r, limit, turns);
        if (ledger_held(&r, r.slot, 0) != kept)
            atomic_fetch_add(&track->mismatches, 1);
        pthread_barrier_wait(&track->barrier);
        ledger_release(&r, r.slot, 0, kept);
    }
    pthread_barrier_wait(&track->barrier);
    return ledger_used(&r, 0) == 0 ? 0 : 2;
}

static void ten_thousand_races_never_go_over_nor_refuse_what_fits(struct scene *s, gconstpointer unused)
{
    (void)unused;
    pthread_barrierattr_t shared;
    pid_t pids[RACERS];
    struct racer racers[RACERS];
    struct track *track =
        mmap(NULL, sizeof *track, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    g_assert_true(track != MAP_FAILED);
    track->seed = scene_seed();
    pthread_barrierattr_init(&shared);
    pthread_barrierattr_setpshared(&shared, PTHREAD_PROCESS_SHARED);
    pthread_barrier_init(&track->barrier, &shared, RACERS);
    for (unsigned i = 0; i < RACERS; i++) {
        racers[i] = (struct racer){s, track, i};
        pids[i] = scene_fork(run, &racers[i]);
    }
    for (unsigned i = 0; i < RACERS; i++)
        g_assert_cmpint(scene_wait(pids[i]), ==, 0);
    g_test_message("%d races of %d processes, %" G_GUINT64_FORMAT " refusals", ROUNDS, RACERS,
                   (uint64_t)track->refusals);
    g_assert_cmpuint(track->overcommits, ==, 0);
    g_assert_cmpuint(track->spurious, ==, 0);
    g_assert_cmpuint(track->mismatches, ==, 0);
    g_assert_cmpuint(track->refusals, >, ROUNDS);
    munmap(track, sizeof *track);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add("/race/ten_thousand_races_never_go_over_nor_refuse_what_fits", struct scene, NULL, scene_setup,
               ten_thousand_races_never_go_over_nor_refuse_what_fits, scene_teardown);
    return g_test_run();
}
