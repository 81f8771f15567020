/* SPDX-License-Identifier: Apache-2.0
 *
 * Text that was laid out for a wide terminal, for a narrow one. Pure.
 */
#ifndef HAMI_CLI_FOLD_H
#define HAMI_CLI_FOLD_H

#include <glib.h>

/* The text with no line longer than width columns (ASCII), but for words that are longer. Lines of a
 * paragraph flow together; of a table ("flag   meaning") the last column is folded under itself. Caller
 * frees. */
char *fold_text(const char *text, unsigned width);

#endif
