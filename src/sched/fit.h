/* SPDX-License-Identifier: Apache-2.0
 *
 * Does a device take a request, and if not, why: the one rule that choice,
 * explanation and the ledger's own check share. Pure: plain values in, plain
 * values out.
 */
#ifndef HAMI_SCHED_FIT_H
#define HAMI_SCHED_FIT_H

#include "model/device.h"
#include "model/reason.h"
#include "model/request.h"

/* The first reason, in the order of the table in fit.c, why the device does
 * not take one share of the request; SCHED_FITS when it does. */
enum sched_reason sched_fit(const struct device *d, const struct device_use *use, const struct request *r);

/* Adds a grant to the use of its devices, or takes it back. False, and nothing
 * changes, when that would take a device above what it has (add) or below zero
 * (remove), or when two shares lie on one physical card (add). */
bool sched_use_add(struct device_set *set, const struct request_grant *g);
bool sched_use_remove(struct device_set *set, const struct request_grant *g);

#endif
