/* SPDX-License-Identifier: Apache-2.0
 *
 * What makes grant and library inescapable for a command that root starts: a
 * mount namespace in which they are read-only and everything of other slices
 * is hidden, without the capabilities and the calls that could undo it.
 */
#ifndef HAMI_LOCAL_JAIL_H
#define HAMI_LOCAL_JAIL_H

#include <stdbool.h>

#include "local/files.h"

struct jail {
    const struct paths *paths;
    const struct files *files;
    const struct ledger_slice *slice;
    bool user_namespaces;
};

/* Root, and allowed to mount? */
bool jail_possible(void);

/* Before the fork: what the command will see as /etc/hami, and the files that
 * the mounts need on the host (an empty /etc/ld.so.preload, /etc/hami). */
bool jail_prepare(const struct jail *j, GError **error);

/* In the child. Returns NULL, or the step that failed (errno says why). */
const char *jail_enter(const struct jail *j);

/* Names of the dropped capabilities, for documentation and doctor. */
extern const char *const jail_dropped[];

#endif
