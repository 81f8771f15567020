/* SPDX-License-Identifier: Apache-2.0
 *
 * What is wrong with a pod's manifest and no scheduler ever sees: names that
 * are nearly known ones, and what the API server refuses before or after
 * admission. Pure.
 */
#ifndef HAMI_VENDOR_MANIFEST_LINT_H
#define HAMI_VENDOR_MANIFEST_LINT_H

#include <jansson.h>

#include "model/family.h"

enum lint_level { LINT_ERROR, LINT_WARNING, LINT_NOTE };

/* Calls say for every finding. A warning is a name that is surely meant to be another; a note a name of a
 * known vendor that no family of the set counts. `message` names field and remedy and lives for the call. */
void manifest_lint(const struct family_set *set, json_t *pod,
                   void (*say)(enum lint_level level, const char *message, void *data), void *data);

#endif
