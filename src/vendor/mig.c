/* SPDX-License-Identifier: Apache-2.0
 *
 * See mig.h. Pure; any thread. Profiles come from a node's annotation, so
 * every figure is checked.
 */
#include "vendor/mig.h"

#include <string.h>

#define SLICES_MAX 16 /* bits of card_use.mig_mask */

uint16_t mig_slices(unsigned start, unsigned size)
{
    if (size == 0 || size > SLICES_MAX || start > SLICES_MAX - size)
        return 0;
    return (uint16_t)(((1U << size) - 1) << start);
}

uint64_t mig_largest(const struct card_shapes *shapes)
{
    uint64_t most = 0;
    for (uint32_t i = 0; shapes && i < shapes->n; i++)
        if (shapes->shapes[i].mem_bytes > most)
            most = shapes->shapes[i].mem_bytes;
    return most;
}

static bool fills_from_top(const char *name)
{
    return strncmp(name, "1g.", 3) == 0 || strncmp(name, "3g.", 3) == 0;
}

static bool find_place(const struct card_shape *s, uint16_t taken, uint16_t avoid, struct mig_place *ret)
{
    bool down = fills_from_top(s->name), found = false;
    unsigned n = s->n_placements < CARD_PLACEMENTS_MAX ? s->n_placements : CARD_PLACEMENTS_MAX;
    for (unsigned i = 0; i < n; i++) {
        unsigned start = s->placements[i].start;
        uint16_t mask = mig_slices(start, s->placements[i].size);
        if (mask == 0 || mask & taken || avoid & 1U << start ||
            (found && (down ? start <= ret->start : start >= ret->start)))
            continue;
        ret->start = (uint8_t)start;
        ret->size = s->placements[i].size;
        found = true;
    }
    return found;
}

/* Memory slices of the free places, of whatever profile, that a mask would block. */
static unsigned harm(const struct card_shapes *shapes, uint16_t taken, uint16_t mask)
{
    unsigned sum = 0;
    for (uint32_t i = 0; i < shapes->n; i++)
        for (unsigned k = 0; k < shapes->shapes[i].n_placements && k < CARD_PLACEMENTS_MAX; k++) {
            uint16_t other =
                mig_slices(shapes->shapes[i].placements[k].start, shapes->shapes[i].placements[k].size);
            sum += other & mask && !(other & taken) ? shapes->shapes[i].placements[k].size : 0;
        }
    return sum;
}

bool mig_place_tight(const struct card_shapes *shapes, uint16_t taken, uint16_t avoid, uint64_t bytes,
                     struct mig_place *ret)
{
    if (!mig_place(shapes, taken, avoid, bytes, ret))
        return false;
    const struct card_shape *s = &shapes->shapes[ret->shape];
    unsigned least = harm(shapes, taken, mig_slices(ret->start, ret->size));
    for (unsigned i = 0; i < s->n_placements && i < CARD_PLACEMENTS_MAX; i++) {
        uint16_t mask = mig_slices(s->placements[i].start, s->placements[i].size);
        if (mask == 0 || mask & taken || avoid & 1U << s->placements[i].start ||
            harm(shapes, taken, mask) >= least)
            continue;
        least = harm(shapes, taken, mask);
        ret->start = s->placements[i].start;
        ret->size = s->placements[i].size;
    }
    return true;
}

static bool is_smaller(const struct card_shape *a, const struct card_shape *b)
{
    return a->mem_bytes != b->mem_bytes ? a->mem_bytes < b->mem_bytes : a->slices < b->slices;
}

bool mig_place(const struct card_shapes *shapes, uint16_t taken, uint16_t avoid, uint64_t bytes,
               struct mig_place *ret)
{
    const struct card_shape *best = NULL;
    for (uint32_t i = 0; shapes && i < shapes->n && i < 255; i++) {
        const struct card_shape *s = &shapes->shapes[i];
        struct mig_place place = {.shape = (uint8_t)i};
        if (s->mem_bytes < bytes || (best && !is_smaller(s, best)) || !find_place(s, taken, avoid, &place))
            continue;
        best = s;
        *ret = place;
    }
    return best != NULL;
}
