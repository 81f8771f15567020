/* SPDX-License-Identifier: Apache-2.0
 *
 * The token bucket of a slice on one device: nanoseconds of device time, shared
 * by the slice's processes. Pure arithmetic on shared memory; `now` is a
 * parameter. Any thread of any process of the slice, without a lock.
 *
 * Invariants:
 *   1. Tokens grow by percent/100 of the wall time; each stretch of time is
 *      granted once (the one who moves refilled_ns forward grants it).
 *   2. Growth stops at the cap the caller gives; what is there is never cut.
 *   3. The balance may be negative: measured use is charged afterwards.
 *   4. The memory is writable by the workload: whatever it holds, results are
 *      bounded and no arithmetic overflows.
 */
#ifndef HAMI_PRELOAD_BUCKET_H
#define HAMI_PRELOAD_BUCKET_H

#include <stdint.h>

#include "region/extension.h"

#define BUCKET_DEBT_MAX_NS (INT64_C(600) * 1000000000) /* more is not remembered */

void bucket_refill(struct region_compute *account, uint32_t percent, uint64_t now_ns, int64_t cap_ns);
int64_t bucket_balance(const struct region_compute *account);
void bucket_charge(struct region_compute *account, uint64_t used_ns);

/* Raises a debt to zero: the time was lent, not taken. */
void bucket_forgive(struct region_compute *account);

/* How long until `missing_ns` more tokens exist. */
uint64_t bucket_wait_ns(int64_t missing_ns, uint32_t percent);

#endif
