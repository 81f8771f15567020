/* SPDX-License-Identifier: Apache-2.0
 *
 * The picture of `hami top`: pure text of what was seen.
 */
#ifndef HAMI_CLI_TOP_DRAW_H
#define HAMI_CLI_TOP_DRAW_H

#include "local/view.h"

/* Appends one frame. live: every line clears what was behind it. */
void top_draw(GString *ret, GArray *cards, GPtrArray *before, GPtrArray *now, unsigned width, bool colour,
              bool live);

#endif
