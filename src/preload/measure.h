/* SPDX-License-Identifier: Apache-2.0
 *
 * Taking in what batches turned out to have used.
 */
#ifndef HAMI_PRELOAD_MEASURE_H
#define HAMI_PRELOAD_MEASURE_H

#include <stdbool.h>
#include <stdint.h>

#include "preload/card.h"

/* Measures and charges the batches that are complete. */
void measure_finished(struct card *card);

/* A launch that has no batch, and was waited for. */
void measure_waited(struct card *card, uint64_t from, uint64_t to);

/* Launches for the account's figures, those of measured batches apart. */
void measure_count(struct card *card, uint32_t launches);

/* When to look again for the next one to complete; UINT64_MAX = none waits. */
uint64_t measure_next(struct card *card, uint64_t now);

/* When everything closed so far is expected to be complete; 0 = it is. */
uint64_t measure_busy_until(struct card *card);

/* By how much the batch's estimate may be wrong. */
int64_t measure_unsure_ns(const struct batch *batch);

/* Whether that expectation is good enough to hand the device over early. */
bool measure_is_sure(struct card *card, uint64_t now);

/* Launches of estimate_ns, made in issue_ns: so slowly that the device may have
 * waited in between. */
bool measure_starves(uint64_t issue_ns, int64_t estimate_ns);

/* Each launch is to be measured by itself, until then. */
void measure_watch(struct card *card, uint64_t until_ns);
bool measure_watches(struct card *card);

#endif
