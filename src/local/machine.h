/* SPDX-License-Identifier: Apache-2.0
 *
 * The cards of this host, what is granted of them, and how near they are to
 * each other: what placing looks at. A MIG instance that exists is a card of
 * its own; `group` says which physical card it is of.
 */
#ifndef HAMI_LOCAL_MACHINE_H
#define HAMI_LOCAL_MACHINE_H

#include <stddef.h>

#include "model/card.h"

#define MACHINE_CARDS 64

struct machine {
    uint32_t n;
    struct card cards[MACHINE_CARDS];                  /* strings are borrowed from `text`, or the caller's */
    struct card_use use[MACHINE_CARDS];                /* in the same order, as are the scores */
    uint16_t pair_score[MACHINE_CARDS][MACHINE_CARDS]; /* higher = nearer */
    struct {
        char uuid[CARD_UUID_MAX + 1], type[CARD_TYPE_MAX + 1];
    } text[MACHINE_CARDS];
    uint32_t
        n_silent; /* cards that are counted and do not answer: numbers to speak of, nothing to place on */
    uint8_t silent[MACHINE_CARDS];
};

/* Points the cards at the machine's own texts: after it was filled, or came
 * from another process as bytes. */
void machine_bind(struct machine *m);

/* Index of a UUID; -1 when it is not there. */
int machine_find(const struct machine *m, const char *uuid);

/* The first member of a comma list that is the beginning of a card's UUID and not all of it; which card's in
 * *ret_card. An empty text: there is none. */
struct machine_word {
    const char *at;
    size_t len;
};
struct machine_word machine_cut_uuid(const struct machine *m, const char *list, uint32_t *ret_card);

/* Score of a pair from the nearest common bridge and the number of NVLinks:
 * the field's figures (10 for across sockets ... 60 same board, 100 per link). */
uint16_t machine_pair_score(unsigned nvml_level, unsigned links);

#endif
