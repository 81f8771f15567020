/* SPDX-License-Identifier: Apache-2.0
 *
 * The rows of the family table, and making families of a set from them.
 */
#ifndef HAMI_VENDOR_FAMILIES_H
#define HAMI_VENDOR_FAMILIES_H

#include <stddef.h>

#include "model/family.h"

/* The family that has rules of its own beyond its row. */
#define WORD_NVIDIA "NVIDIA"

/* One row per family, in the order in which a set holds them. A row without a
 * word is a pattern: the configuration lists its families (Ascend and Iluvatar
 * chips), and "%s" in its texts stands for the word of each. */
extern const struct family family_rows[];
extern const size_t family_rows_n;

/* A copy of a row for `word` (NULL: the row's own), texts expanded, from the arena (base/arena.h). */
struct family *family_from_row(const struct family *row, const char *word, void **arena);

#endif
