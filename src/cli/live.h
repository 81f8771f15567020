/* SPDX-License-Identifier: Apache-2.0
 *
 * A picture that is drawn again and again until the user has seen enough.
 */
#ifndef HAMI_CLI_LIVE_H
#define HAMI_CLI_LIVE_H

#include "cli/cli.h"

/* --interval, which may be NULL: 1s. False with all said. */
bool live_interval(const struct verb *v, const char *text, uint64_t *ret_ms);

/* Whether standard output is a terminal that can be drawn on again. */
bool live_possible(void);

/* From here on SIGINT and SIGTERM end the waiting instead of the process. screen: takes the whole terminal
 * for the picture, and keys as they come. */
void live_start(bool screen);

/* Waits for interval_ms: false when the end came first, by a signal or the key q. Without live_start() it
 * only waits. */
bool live_wait(uint64_t interval_ms);

/* Gives the terminal back as it was. */
void live_end(void);

#endif
