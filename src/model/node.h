/* SPDX-License-Identifier: Apache-2.0
 *
 * A node as the scheduler knows it: its cards and the few further facts that
 * decide placement.
 */
#ifndef HAMI_MODEL_NODE_H
#define HAMI_MODEL_NODE_H

#include <stdbool.h>
#include <stdint.h>

#include "model/card.h"

#define NODE_NAME_MAX 253

struct node_spec {
    const char *name;
    uint32_t n_cards;
    struct card *cards; /* ordered by family, then index */
    /* Bandwidth score of each pair, n_cards * n_cards, or NULL: 0 everywhere.
     * 10 (across sockets) ... 60 (same board), 100 per NVLink. */
    const uint16_t *pair_score;
    /* MetaX: by number of cards 1..16, 0 = not said. */
    const uint32_t *topology_losses, *topology_scores;
    bool soft_slicing;        /* hami-vnpu-core on this node */
    bool contiguous_anywhere; /* AWS inf*: any window of devices */
    bool die_mode;            /* Vastai */
};

static inline uint32_t node_pair_score(const struct node_spec *n, uint32_t a, uint32_t b)
{
    return n->pair_score ? n->pair_score[a * n->n_cards + b] : 0;
}

#endif
