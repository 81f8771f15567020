/* SPDX-License-Identifier: Apache-2.0
 *
 * What the region's tests share: a folder of their own, regions in it, and
 * child processes that run one function and report by their exit status.
 */
#ifndef HAMI_TESTS_REGION_SCENE_H
#define HAMI_TESTS_REGION_SCENE_H

#include <glib.h>
#include <stdint.h>
#include <sys/ptrace.h>
#include <sys/types.h>

#include "region/ledger.h"
#include "region/region.h"

#define SCENE_LIMIT 1000000

struct scene {
    char *folder;
    char *path; /* of the region; not created yet */
    struct region_limits limits;
};

/* A fresh folder, and limits of SCENE_LIMIT bytes on device 0, none on 1. */
void scene_setup(struct scene *s, gconstpointer unused);
void scene_teardown(struct scene *s, gconstpointer unused);

/* Opens and joins; asserts that both work. */
void scene_join(const struct scene *s, struct region *r);

/* Runs body(arg) in a child, which exits with what it returns; a body that
 * must hang around waits in scene_pause(). */
pid_t scene_fork(int (*body)(void *arg), void *arg);
int scene_wait(pid_t pid);  /* exit status, or -signal */
void scene_kill(pid_t pid); /* SIGKILL and wait */
_Noreturn void scene_pause(void);

/* Lets a child that asked to be traced, and stands still, go on n times. False when it has exited, with 0. */
bool scene_advance(pid_t pid, enum __ptrace_request request, unsigned n);

/* From here on this thread is given next to no processor: it has the least claim to one that a process made
 * for the purpose keeps busy for so long. Returns that process. Then works until it has been given some. */
pid_t scene_starve(uint64_t ms);
void scene_work_starved(void);

/* A word through which parent and children tell each other where they are. */
struct scene_flag {
    _Atomic uint32_t value;
};
struct scene_flag *scene_flag_new(void);
void scene_flag_set(struct scene_flag *f, uint32_t value);
void scene_flag_wait(struct scene_flag *f, uint32_t value); /* until it is >= value */
void scene_flag_free(struct scene_flag *f);

/* Seeded random numbers; the seed is printed and comes from HAMI_TEST_SEED. */
struct scene_random {
    uint64_t state;
};
uint64_t scene_seed(void);
uint32_t scene_random(struct scene_random *r);

/* Sum of used[d].total over all slots, as an older monitor adds it up. */
uint64_t scene_legacy_sum(const struct region *r, unsigned d);

#endif
