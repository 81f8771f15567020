/* SPDX-License-Identifier: Apache-2.0
 *
 * The process beside the command: starts it inside the slice, passes signals
 * and stops on, waits, ends what it left behind.
 */
#ifndef HAMI_LOCAL_SUPERVISE_H
#define HAMI_LOCAL_SUPERVISE_H

#include "local/launch.h"

/* Returns the command's exit status (128 + n by signal), or hami's own with
 * *error set when it could not be started. ready_fd: see launch_say_ready(). */
int supervise(struct broker *b, const struct launch *l, struct ledger_slice *s, int ready_fd, GError **error);

/* Tells the process that `run --detach` came from that the command has started. */
void launch_say_ready(int fd, const char *id);

#endif
