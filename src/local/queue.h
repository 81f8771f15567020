/* SPDX-License-Identifier: Apache-2.0
 *
 * Waiting without polling: for a slice to end, a process to die, the queue to
 * move on. Everything that may change the ledger rings the bell; deaths come
 * by process descriptors and control group events.
 */
#ifndef HAMI_LOCAL_QUEUE_H
#define HAMI_LOCAL_QUEUE_H

#include "local/broker.h"

struct watch;

/* Watches the bell, every live slice and every waiter ahead of `ticket` (0 =
 * none). What happens from here on is not missed: open, look, then wait. */
struct watch *watch_open(struct broker *b, int64_t ticket, GError **error);
void watch_close(struct watch *w);
typedef struct watch Watch;
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Watch, watch_close)

/* Has watch_wait() end as well when nobody reads any more what is written to `fd`, a pipe or a socket; it
 * stays the caller's. Once for a watch, before waiting. */
void watch_reader(struct watch *w, int fd);
bool watch_reader_gone(const struct watch *w);

/* True when something happened; false at the deadline (monotonic microseconds,
 * 0 = none). */
bool watch_wait(struct watch *w, gint64 deadline_us);

/* Whether nobody that still lives is ahead of the ticket. */
bool queue_is_head(struct broker *b, int64_t ticket, bool *ret, GError **error);

/* Joins and leaves the queue of this process. */
bool queue_join(struct broker *b, int64_t *ret_ticket, GError **error);
void queue_leave(struct broker *b, int64_t ticket);

#endif
