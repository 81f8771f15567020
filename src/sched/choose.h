/* SPDX-License-Identifier: Apache-2.0
 *
 * Choosing the cards of a request on one node.
 */
#ifndef HAMI_SCHED_CHOOSE_H
#define HAMI_SCHED_CHOOSE_H

#include "sched/fit.h"

/* Picks request->n_devices distinct physical cards. SCHED_FITS and *ret, or
 * why not: the reason that the most cards share when none fits, SCHED_COUNT
 * when some do but too few, SCHED_NUMA, or SCHED_NO_CARDS. Deterministic: ties
 * go to the lower index. */
enum sched_reason sched_choose(const struct device_set *set, const struct request *r,
                               struct request_grant *ret);

/* How full a device is, in millionths: the sum of its slots', compute and
 * memory fractions. */
uint64_t sched_score(const struct device *d, const struct device_use *use);

#endif
