/* SPDX-License-Identifier: Apache-2.0
 *
 * JSON text by appending, where a tree would only be built to be printed.
 */
#ifndef HAMI_BASE_JSON_WRITE_H
#define HAMI_BASE_JSON_WRITE_H

#include <glib.h>

/* A string with its quotes; bytes that are no UTF-8 become U+FFFD. */
void json_write_string(GString *out, const char *text);

#endif
