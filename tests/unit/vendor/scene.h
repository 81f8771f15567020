/* SPDX-License-Identifier: Apache-2.0
 *
 * One decision on one node, built in place: a family, eight or more cards,
 * what is taken of them, a pod with requests.
 */
#ifndef HAMI_TESTS_VENDOR_SCENE_H
#define HAMI_TESTS_VENDOR_SCENE_H

#include <glib.h>

#include "model/choice.h"
#include "vendor/hooks.h"

#define MIB(n) ((uint64_t)(n) << 20)
#define SCENE_SHAPES 8

struct scene_shapes {
    uint32_t n;
    struct card_shape shapes[SCENE_SHAPES];
};

struct scene {
    struct family family;
    struct node_spec node;
    struct card cards[CARD_PER_NODE];
    struct card_use use[CARD_PER_NODE];
    uint16_t pairs[CARD_PER_NODE * CARD_PER_NODE];
    struct pod_request pod;
    struct choice choice;
};

/* n healthy idle cards of 16 GiB, 100 %, 10 slots; index = position; all are
 * candidates in that order; one request for n_wanted cards. */
void scene_init(struct scene *s, uint32_t n, uint32_t n_wanted);
/* Candidates by position, in order of preference: "5 0 1". */
void scene_candidates(struct scene *s, const char *positions);
/* Marks cards as taken and removes them from the candidates. */
void scene_busy(struct scene *s, const char *positions);
void scene_pair(struct scene *s, uint32_t a, uint32_t b, uint16_t score);
/* "0 1 4" of the picked cards' positions; with MIG "0:3g.20gb@4"; with masks "0/3". Caller frees. */
char *scene_picked(const struct scene *s);
/* The profiles of an A100 with 40 GB, as NVML lists them. */
const struct card_shapes *scene_a100(void);

#endif
