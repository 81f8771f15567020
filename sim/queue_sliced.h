/* SPDX-License-Identifier: Apache-2.0
 *
 * Time slicing of one engine between processes: round robin with a quantum,
 * first in, first out within a process. The work-conserving variant: a process
 * without work that is ready loses its turn at once.
 */
#ifndef HAMI_SIM_QUEUE_SLICED_H
#define HAMI_SIM_QUEUE_SLICED_H

#include "queue.h"

void sim_sliced_push(struct sim_queue *q, struct sim_entry *e, uint64_t work_ns);
void sim_sliced_run(struct sim_queue *q, uint64_t now, sim_interval_sink sink, void *arg);
uint64_t sim_sliced_look_again(const struct sim_queue *q, uint64_t position, uint64_t now);
void sim_sliced_stop_serving(struct sim_queue *q, uint16_t process, uint64_t now, sim_interval_sink sink,
                             void *arg);

/* queue.c, shared with this file only */
void sim_queue_finish(struct sim_queue *q, struct sim_entry *e, uint32_t state);
void sim_queue_advance_head(struct sim_queue *q);

#endif
