/* SPDX-License-Identifier: Apache-2.0
 *
 * Lists of words: the nearest one to a mistyped word, membership, joining.
 */
#ifndef HAMI_BASE_WORDS_H
#define HAMI_BASE_WORDS_H

#include <glib.h>

/* The word of the NULL-terminated list nearest to `word`, or NULL when none is
 * within a third of its length (at least two) of it. Borrowed from the list. */
const char *words_nearest(const char *word, const char *const *list);

/* "a", "a and b", "a, b and c". Caller frees. */
char *words_join(const char *const *list);

/* What others wrote, made fit for a terminal and for JSON, in place: bytes that
 * are no UTF-8 and characters that are not printed (controls, marks of
 * direction) become "?", but for those in `kept`. */
void words_make_printable(char *text, const char *kept);

#endif
