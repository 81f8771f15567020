/* SPDX-License-Identifier: Apache-2.0
 *
 * Verbs that do the same to each slice they are given.
 */
#ifndef HAMI_CLI_SLICES_H
#define HAMI_CLI_SLICES_H

#include "cli/cli.h"
#include "local/broker.h"

/* `act` on every word of argv, also when it fails for one of them: each failure is said, and the status is
 * the last one's. Wants at least one word. */
int slices_each(const struct verb *v, int argc, char **argv,
                bool (*act)(struct broker *b, const char *word, GError **error));

#endif
