/* SPDX-License-Identifier: Apache-2.0
 *
 * Comma lists of annotations and flags: members are trimmed, empty ones
 * ignored, a blank list constrains nothing, and not-lists win. Pure.
 */
#ifndef HAMI_MODEL_LISTS_H
#define HAMI_MODEL_LISTS_H

#include <stdbool.h>
#include <stddef.h>

/* The next member at or behind *at, its length in *ret_len; NULL at the end. list may be NULL. */
const char *lists_next(const char **at, size_t *ret_len);

/* Types match a part of the text whatever the case, UUIDs exactly. */
bool lists_want_type(const char *use, const char * not, const char *type);
bool lists_want_uuid(const char *use, const char * not, const char *uuid);

#endif
