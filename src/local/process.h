/* SPDX-License-Identifier: Apache-2.0
 *
 * Processes as the ledger knows them, and the control groups they live in.
 */
#ifndef HAMI_LOCAL_PROCESS_H
#define HAMI_LOCAL_PROCESS_H

#include <glib.h>
#include <stdbool.h>
#include <sys/types.h>

#include "local/ledger.h"

struct ledger_process process_of(pid_t pid);
bool process_alive(const struct ledger_process *p);

/* A descriptor that becomes readable when the process ends; -1 when it has. */
int process_open(const struct ledger_process *p);

/* Identifies this boot. Caller frees. */
char *process_boot(void);

/* ---- control groups (version 2) ---- */

/* Folder of the second version's hierarchy, or NULL. Caller frees. */
char *cgroup_mount(void);

/* Creates MOUNT/BASE/ID; NULL and *error when the system does not let us. */
char *cgroup_create(const char *base, const char *id, GError **error);

/* True when the folder exists and a process is in it or below. */
bool cgroup_populated(const char *path);

/* Kills everything in it and below; returns when it is empty or after
 * timeout_ms. Then true. */
bool cgroup_kill(const char *path, unsigned timeout_ms);
bool cgroup_signal(const char *path, int signal);

/* All processes in it and below. Caller frees. */
GArray *cgroup_processes(const char *path);

/* Removes the folder, and the base when that was the last in it. */
void cgroup_remove(const char *path);

/* Every mount of the given types: an array of struct process_mount. */
struct process_mount {
    char *point;
    char *type;
    char *options;
};
GPtrArray *process_mounts(void); /* elements and array are freed by g_ptr_array_unref */

#endif
