/* SPDX-License-Identifier: Apache-2.0
 *
 * Cards that are near each other, by the node's pair scores (higher = nearer).
 */
#ifndef HAMI_VENDOR_NEAR_H
#define HAMI_VENDOR_NEAR_H

#include "model/node.h"

/* The card whose links to the others are worth least, the first on a tie: for
 * a request of one card, so that the near ones stay together. n > 0. */
uint16_t near_loneliest(const struct node_spec *node, const uint16_t *cards, uint32_t n);

/* The k cards with the highest sum of pair scores, the lexicographically first
 * on a tie, in the order of `cards`. Exact up to 16 cards; beyond, the best of
 * the greedy sets that start at each card. 0 < k < n <= CARD_PER_NODE. */
void near_combination(const struct node_spec *node, const uint16_t *cards, uint32_t n, uint32_t k,
                      uint16_t *ret);

#endif
