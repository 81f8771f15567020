/* SPDX-License-Identifier: Apache-2.0
 *
 * The lease that kube-scheduler in the same pod holds: we lead while its holder
 * is "<our host name>_...". With silence_ms it is given back for a holder that
 * is dead (kube/lease_silence.h), and bears whoever leads only as long as that
 * allows. For leader.c.
 */
#ifndef HAMI_SCHEDULER_FOLLOW_H
#define HAMI_SCHEDULER_FOLLOW_H

#include "scheduler/service.h"

struct follow *follow_start(struct scheduler *s);
void follow_free(struct follow *f);

/* A call waits for us to lead: says so where that takes longer than any hand-over. */
void follow_asked(struct follow *f);

/* Ours, and nobody else can have it yet. */
bool follow_is_valid(const struct follow *f);
/* From when it is not valid any more until another can have it. */
int64_t follow_between_ms(const struct follow *f);

#endif
