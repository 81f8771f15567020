/* SPDX-License-Identifier: Apache-2.0
 *
 * Memory that is given back all at once: for the small texts and arrays of one
 * object. A NULL arena is empty; the first piece makes it.
 */
#ifndef HAMI_BASE_ARENA_H
#define HAMI_BASE_ARENA_H

#include <stddef.h>

#include "base/json_scan.h"

/* Room for n bytes, zeroed, aligned for any type. Never NULL. */
void *arena_take(void **arena, size_t n);

/* Copies with a NUL behind. The second unescapes: NULL where json_text_copy() says -1. */
char *arena_text(void **arena, const char *text, size_t len);
char *arena_json(void **arena, struct json_text text);

void arena_free(void *arena);

#endif
