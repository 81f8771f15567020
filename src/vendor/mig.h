/* SPDX-License-Identifier: Apache-2.0
 *
 * Where the next MIG instance of a card goes: profile and placement, as
 * NVIDIA's hardware allows them (scheduler.md section 6.4).
 */
#ifndef HAMI_VENDOR_MIG_H
#define HAMI_VENDOR_MIG_H

#include <stdbool.h>

#include "model/card.h"

struct mig_place {
    uint8_t shape; /* index into the card's shapes */
    uint8_t start, size;
};

/* The profile with the least memory (then the fewest slices) that is at least
 * `bytes` and finds a place beside the memory slices in `taken`; none starts at
 * a slice of `avoid`. Profiles named
 * 1g.* and 3g.* fill from the top, the others from the bottom, so that an empty
 * A100 takes 3g@4, 2g@0, 1g@3, 1g@2. */
bool mig_place(const struct card_shapes *shapes, uint16_t taken, uint16_t avoid, uint64_t bytes,
               struct mig_place *ret);

/* The same profile where it takes the least from others: of the places that are free, it covers the fewest
 * and smallest. For a search (sched/search_pod.h): what fits is found sooner. */
bool mig_place_tight(const struct card_shapes *shapes, uint16_t taken, uint16_t avoid, uint64_t bytes,
                     struct mig_place *ret);

/* Memory slices as a mask; 0 when they lie outside of it. */
uint16_t mig_slices(unsigned start, unsigned size);

/* The largest profile's memory: what "the whole card" means in MIG mode. */
uint64_t mig_largest(const struct card_shapes *shapes);

#endif
