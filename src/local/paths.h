/* SPDX-License-Identifier: Apache-2.0
 *
 * Where things lie: state, runtime files, configuration, the library and the
 * simulated drivers. HAMI_STATE_DIR, HAMI_RUNTIME_DIR and HAMI_CONFIG move the
 * first three (several independent brokers on one host, tests).
 */
#ifndef HAMI_LOCAL_PATHS_H
#define HAMI_LOCAL_PATHS_H

#include <glib.h>
#include <stdbool.h>

struct paths {
    bool root;        /* effective uid 0 */
    bool own_state;   /* not the default place: another broker's files may exist beside */
    char *executable; /* of this process */
    char *state;      /* ledger, logs of detached slices; 0700 */
    char *runtime;    /* grants, regions, boards; gone after a reboot */
    char *config;     /* the key file; may not exist */
    char *library;    /* libvgpu.so; NULL when it is not there */
    char *simulator;  /* folder of the simulated drivers; NULL when it is not there */
};

/* Finds the places; creates nothing. */
struct paths *paths_new(void);
void paths_free(struct paths *p);
typedef struct paths Paths;
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Paths, paths_free)

/* Creates state and runtime folders. STATUS_DENIED, STATUS_FAILED. */
bool paths_create(const struct paths *p, GError **error);

#endif
