/* SPDX-License-Identifier: Apache-2.0
 *
 * Exit codes and the error domain whose codes they are: a function that fails
 * says with its GError what the executable should answer.
 */
#ifndef HAMI_BASE_STATUS_H
#define HAMI_BASE_STATUS_H

#include <glib.h>

enum status {
#define EXIT(name, number, meaning) STATUS_##name = number,
#include "exit.def"
#undef EXIT
};

#define STATUS_ERROR status_error_quark()
GQuark status_error_quark(void);

/* The code that a failed verb answers with. NULL and foreign domains: FAILED. */
int status_of_error(const GError *error);

/* What the system said, behind GLib's words and the file's name: where the caller names the file itself.
 * Borrowed from the error. */
const char *status_reason(const GError *error);

#endif
