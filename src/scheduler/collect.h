/* SPDX-License-Identifier: Apache-2.0
 *
 * The cluster as `hami scheduler` would see it, read once by whoever may list
 * nodes, pods and quotas: so that `hami explain` needs no access to the service.
 */
#ifndef HAMI_SCHEDULER_COLLECT_H
#define HAMI_SCHEDULER_COLLECT_H

#include "scheduler/scheduler.h"
#include "scheduler/snapshot.h"

/* Follows the three collections until they are complete, then lets go. NULL and error. Caller frees. */
Snapshot *collect_snapshot(const struct scheduler_options *options, GError **error);

/* A pod's text. NULL and error. Caller frees. */
char *collect_pod(const struct scheduler_options *options, const char *namespace_, const char *name,
                  GError **error);

#endif
