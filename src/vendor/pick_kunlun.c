/* SPDX-License-Identifier: Apache-2.0
 *
 * Kunlunxin, whole cards and vXPU slices alike. A board has eight cards in two
 * wings, 0-3 and 4-7. Inside a wing all cards are linked; between the wings
 * card i is linked to card i + 4 (vendors.md sections 3.9, 3.10).
 *
 * W21: cards are found by the vendor's number, never by their place in the
 * order of preference, and a node may have several boards.
 */
#include <stddef.h>

#include "model/reason.h"
#include "vendor/hooks.h"

enum { WING = 4, BOARD = 8 };
#define BOARDS_MAX (CARD_PER_NODE / BOARD)
#define LEFT 0x0fU
#define RIGHT 0xf0U

static const uint8_t pairs[] = {0x11, 0x22, 0x44, 0x88}; /* 0-4 1-5 2-6 3-7 */
/* 0-1-4-5 2-3-6-7 0-2-4-6 1-3-5-7 0-3-4-7 1-2-5-6 */
static const uint8_t quads[] = {0x33, 0xcc, 0x55, 0xaa, 0x99, 0x66};

/* Candidates of one board: bits are numbers within it. */
struct board {
    uint8_t free;
    uint16_t card[BOARD]; /* index into the node's cards */
};

static unsigned count(unsigned mask)
{
    return (unsigned)__builtin_popcount(mask);
}

static void map_boards(const struct choice *c, struct board boards[BOARDS_MAX])
{
    for (uint32_t i = 0; i < c->n_candidates; i++) {
        uint16_t card = c->candidates[i];
        unsigned index = c->cards[card].index;
        if (index >= CARD_PER_NODE)
            continue;
        boards[index / BOARD].free |= (uint8_t)(1U << index % BOARD);
        boards[index / BOARD].card[index % BOARD] = card;
    }
}

static bool is_linked(unsigned two)
{
    for (unsigned i = 0; i < sizeof pairs; i++)
        if (two == pairs[i])
            return true;
    return (two & LEFT) == two || (two & RIGHT) == two;
}

/* The first n candidates of the wing, in the order of preference. */
static unsigned prefer(const struct choice *c, const struct board *b, unsigned wing, uint32_t n)
{
    unsigned mask = 0;
    for (uint32_t i = 0; i < c->n_candidates && n; i++) {
        unsigned bit = 1U << c->cards[c->candidates[i]].index % BOARD;
        if (!(wing & bit) || b->card[c->cards[c->candidates[i]].index % BOARD] != c->candidates[i])
            continue;
        mask |= bit;
        n--;
    }
    return mask;
}

/* The wing that is left least useful: how many of its cards are free is looked
 * up in this order, left before right. *ret_rank says how good a find is. */
static unsigned within_wing(const struct choice *c, const struct board *b, uint32_t n, unsigned *ret_rank)
{
    static const uint8_t odd[] = {1, 3, 2, 4}, even[] = {1, 2, 3, 4};
    const uint8_t *order = n % 2 ? odd : even;
    for (unsigned i = n - 1; i < WING; i++)
        for (unsigned wing = LEFT; wing <= RIGHT; wing <<= WING)
            if (count(b->free & wing) == order[i]) {
                *ret_rank = i;
                return prefer(c, b, b->free & wing, n);
            }
    return 0;
}

static unsigned across_wings(const struct board *b, uint32_t n)
{
    unsigned last = 0;
    for (unsigned i = 0; n == 2 && i < sizeof pairs; i++)
        if ((b->free & pairs[i]) == pairs[i])
            return pairs[i];
    for (unsigned i = 0; n == 4 && i < sizeof quads; i++) {
        if ((b->free & quads[i]) != quads[i])
            continue;
        last = quads[i];
        if (count(b->free) != 6 || is_linked(b->free & ~last))
            return last;
    }
    return last;
}

/* Numbers of the board's cards that the request gets, 0 = none. */
static unsigned pick_of_board(const struct choice *c, const struct board *b, uint32_t n, unsigned *ret_rank)
{
    *ret_rank = WING;
    if (n == BOARD)
        return b->free == (LEFT | RIGHT) ? b->free : 0;
    if (n != 1 && n != 2 && n != 4)
        return 0;
    unsigned mask = within_wing(c, b, n, ret_rank);
    return mask ? mask : across_wings(b, n);
}

static bool grant_board(struct choice *c, const struct board *b, unsigned mask)
{
    c->n_picked = 0;
    for (unsigned i = 0; i < BOARD; i++)
        if (mask & 1U << i && choice_amount(c, b->card[i], &c->picked[c->n_picked], NULL))
            c->n_picked++;
    return c->n_picked == c->request->n_cards;
}

bool pick_kunlun(struct choice *c)
{
    struct board boards[BOARDS_MAX] = {0};
    unsigned best_mask = 0, best_rank = UINT32_MAX, best = 0;
    map_boards(c, boards);
    for (unsigned i = 0; i < BOARDS_MAX; i++) {
        unsigned rank, mask = pick_of_board(c, &boards[i], c->request->n_cards, &rank);
        if (mask && rank < best_rank) {
            best = i;
            best_mask = mask;
            best_rank = rank;
        }
    }
    if (best_mask && grant_board(c, &boards[best], best_mask))
        return true;
    c->reason = c->n_candidates < c->request->n_cards ? SCHED_COUNT : SCHED_NUMA;
    return false;
}

/* All slices of a card have one size (vXPU). */
int admits_xpu(const struct choice *c, uint32_t card)
{
    const struct card_use *use = &c->use[card];
    struct card_grant amount;
    if (!choice_amount(c, card, &amount, NULL))
        return SCHED_MEMORY;
    return use->slots && use->mem_bytes / use->slots != amount.mem_bytes ? SCHED_SIZE : 0;
}

/* What is lost when a wing is partly taken: nothing of a full one, most of one
 * whose single taken card leaves an odd number. */
static int bubbles(unsigned taken)
{
    static const int of_wing[WING + 1] = {1, 2, 1, 1, 0};
    if (taken == 0)
        return 1;
    return of_wing[count(taken & LEFT)] + of_wing[count(taken & RIGHT)];
}

static unsigned taken_of_board(const struct family *f, const struct node_spec *node,
                               const struct card_use *use, unsigned board)
{
    unsigned mask = 0;
    for (uint32_t i = 0; i < node->n_cards; i++)
        if (node->cards[i].family == f->id && use[i].slots && node->cards[i].index / BOARD == board)
            mask |= 1U << node->cards[i].index % BOARD;
    return mask;
}

/* The change in bubbles, of the boards that are touched: one fewer is best,
 * two more is worst. (The reference compares the new cards alone with what was
 * taken before, which says nothing about the board that results.) */
double score_kunlun(const struct family *f, const struct node_spec *node, const struct card_use *use,
                    const struct pod_request *pod, const struct card_grant *grants, uint32_t n)
{
    unsigned added[BOARDS_MAX] = {0};
    int change = 0;
    (void)pod;
    for (uint32_t i = 0; i < n; i++) {
        const struct card *card = &node->cards[grants[i].card];
        if (card->family == f->id && card->index < CARD_PER_NODE)
            added[card->index / BOARD] |= 1U << card->index % BOARD;
    }
    for (unsigned b = 0; b < BOARDS_MAX; b++)
        if (added[b]) {
            unsigned before = taken_of_board(f, node, use, b);
            change += bubbles(before | added[b]) - bubbles(before);
        }
    if (change < -1)
        change = -1;
    return change > 2 ? 0 : (double)(2 - change) / 3;
}
