/* SPDX-License-Identifier: Apache-2.0
 *
 * The reference's node lock, annotation hami.io/mutex.lock =
 * "<RFC3339>,<namespace>,<pod>" (scheduler.md section 6.7): held from before a
 * binding until that node's device plugin has served the pod. Only for nodes whose
 * plugin needs it.
 *
 * Who has to wait waits for the node's change, not for a clock; in order.
 */
#ifndef HAMI_SCHEDULER_NODELOCK_H
#define HAMI_SCHEDULER_NODELOCK_H

#include "scheduler/service.h"

/* Calls done exactly once, maybe at once: NULL, or why not (borrowed). */
void nodelock_take(struct scheduler *s, const char *node, const char *namespace_, const char *pod,
                   void (*done)(const char *error, void *data), void *data);
/* Gives it back if that pod still holds it. */
void nodelock_release(struct scheduler *s, const char *node, const char *namespace_, const char *pod);
/* The node's lock annotation has changed. */
void nodelock_changed(struct scheduler *s, const char *node);
void nodelock_free(struct scheduler *s);

#endif
