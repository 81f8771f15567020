/* SPDX-License-Identifier: Apache-2.0
 *
 * The filter call that carries whole nodes (scheduler.md section 6.9): what the
 * cluster autoscaler asks about nodes that do not exist yet. Each is taken as
 * empty; nothing is reserved or written.
 */
#ifndef HAMI_SCHEDULER_SIMULATE_H
#define HAMI_SCHEDULER_SIMULATE_H

#include "scheduler/service.h"

void simulate_filter(struct scheduler *s, struct pod_object *p, const char *nodes, size_t len,
                     struct http_responder *responder);

#endif
