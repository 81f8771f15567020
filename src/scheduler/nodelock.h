/* SPDX-License-Identifier: Apache-2.0
 *
 * The locks that device plugins of others wait for (scheduler.md section 6.7), as
 * annotations of the node: held from before a binding until that plugin has
 * served the pod. Only for nodes whose plugin needs them.
 *
 *   hami.io/mutex.lock         "<RFC3339>,<namespace>,<pod>"; who holds it can be told
 *   cambricon.com/dsmlu.lock   "<RFC3339>"; stale after 2 minutes. Whose it is, its
 *                              exact text tells: only we and the plugin write it
 *
 * Who has to wait waits for the node's change, not for a clock; in order.
 */
#ifndef HAMI_SCHEDULER_NODELOCK_H
#define HAMI_SCHEDULER_NODELOCK_H

#include "scheduler/service.h"

/* Calls done exactly once, maybe at once: NULL, or why not (borrowed). */
void nodelock_take(struct scheduler *s, const char *node, enum node_lock kind, const char *namespace_,
                   const char *pod, void (*done)(const char *error, void *data), void *data);
/* Gives it back if that pod still holds it. */
void nodelock_release(struct scheduler *s, const char *node, enum node_lock kind, const char *namespace_,
                      const char *pod);
/* The node's annotations have changed, or a pod on it is gone: its lock keeps nobody out. */
void nodelock_changed(struct scheduler *s, const char *node);
void nodelock_pod_gone(struct scheduler *s, const char *node);
void nodelock_free(struct scheduler *s);

#endif
