/* SPDX-License-Identifier: Apache-2.0
 *
 * CUDA_VISIBLE_DEVICES inside a slice. The driver reads it at its first cuInit
 * and counts the host's cards; programs mean the slice's, as they would in a
 * container. For that one call the variable is given in UUIDs.
 */
#ifndef HAMI_PRELOAD_VISIBLE_H
#define HAMI_PRELOAD_VISIBLE_H

#include <stdbool.h>
#include <stddef.h>

#include "region/grant.h"

#define VISIBLE_MAX (REGION_DEVICES * (REGION_UUID_BYTES + 1))

/* What a slice with this grant means by `chosen` (NULL = unset: all its cards).
 * False: `chosen` says it already. Pure. */
bool visible_meant(const char *chosen, const struct grant *grant, char ret[VISIBLE_MAX]);

/* Sets the variable for a call of the driver; visible_restore() undoes it. Two
 * threads may do so at once. */
struct visible {
    bool changed;
    char *before; /* the environment's entry; NULL = there was none */
};
struct visible visible_set(const struct grant *grant);
void visible_restore(const struct visible *visible);

#endif
