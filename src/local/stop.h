/* SPDX-License-Identifier: Apache-2.0
 *
 * Ending, suspending and resuming slices, and waiting for their end.
 */
#ifndef HAMI_LOCAL_STOP_H
#define HAMI_LOCAL_STOP_H

#include "local/broker.h"

/* SIGTERM to all, SIGKILL after grace_ms; returns when the slice is freed. */
bool stop_slice(struct broker *b, const char *word, uint64_t grace_ms, GError **error);

/* Launches and allocations of the slice wait, or go on. */
bool stop_suspend(struct broker *b, const char *word, bool suspended, GError **error);

/* Until the slice has ended. *ret is its last row. STATUS_TIMED_OUT at the
 * deadline (monotonic microseconds, 0 = none). */
bool stop_wait(struct broker *b, const char *word, gint64 deadline_us, struct ledger_slice *ret,
               GError **error);

#endif
