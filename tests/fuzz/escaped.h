/* SPDX-License-Identifier: Apache-2.0
 *
 * A JSON document written anew in another form with the same meaning: every
 * character of every string escaped, other spaces between. Who reads it must
 * come to the same answer.
 */
#ifndef HAMI_TESTS_ESCAPED_H
#define HAMI_TESTS_ESCAPED_H

#include <jansson.h>

/* The caller frees the text with g_free(). */
char *escaped_dump(json_t *value);

#endif
