/* SPDX-License-Identifier: Apache-2.0
 *
 * What agents write about a node's cards, read and written: colon and JSON
 * registers, pair scores, MetaX and Enflame JSON (scheduler.md sections 3.2 -
 * 3.4, vendors.md sections 2.2, 3.7, 3.8). Whoever may patch nodes is
 * hostile: a refused text changes nothing and says why.
 */
#ifndef HAMI_MODEL_NODE_CODEC_H
#define HAMI_MODEL_NODE_CODEC_H

#include <stddef.h>

#include "model/card.h"
#include "model/family.h"

/* Cards with the memory that their strings and shapes live in. Mutable while
 * being filled; card_list_free(NULL) does nothing. */
struct card_list {
    uint32_t n; /* 0 = the agent says that there are none: not an error */
    struct card *cards;
    bool die_mode; /* Vastai: the cards are dies */
    void *arena;
};
void card_list_free(struct card_list *list);

/* The text of the family's register annotation, in the family's format; cards
 * come ordered by index. On failure NULL and *ret_why: what is wrong, with the
 * value and its place ("device 3: devmem -1 is negative"). Caller frees both.
 * Duplicate UUIDs, numbers out of range and more than CARD_PER_NODE cards are
 * refused. The node's name is part of some families' card identifiers. */
struct card_list *node_codec_parse(const struct family *f, const char *node_name, const char *text,
                                   size_t len, char **ret_why);

/* The same for families whose cards are synthesised from status.capacity:
 * amount(name) gives the capacity of a resource, 0 when absent. */
struct card_list *node_codec_from_capacity(const struct family *f, const char *node_name,
                                           uint64_t (*amount)(const char *resource, void *data), void *data,
                                           char **ret_why);

/* A node that does not exist yet, of a family whose agent would register cards: as many as the capacity has
 * whole shares of compute, memory and places evenly among them. NULL without *ret_why: the capacity does not
 * name all three. */
struct card_list *node_codec_from_template(const struct family *f, const char *node_name,
                                           uint64_t (*amount)(const char *resource, void *data), void *data,
                                           char **ret_why);

/* Byte-exact writers, in the reference's key order and omit-empty rules. Caller
 * frees. The family (may be NULL) names the custominfo key of a card's group. */
char *node_codec_format_colon(const struct card *cards, uint32_t n);
char *node_codec_format_json(const struct family *f, const struct card *cards, uint32_t n);

/* Pair scores [{"uuid":..,"score":{..}}] into a n*n table in the order of the
 * cards (caller frees); unknown UUIDs are ignored. NULL and *ret_why as above. */
uint16_t *node_codec_parse_scores(const char *text, size_t len, const struct card *cards, uint32_t n,
                                  char **ret_why);

/* Handshake: "Requesting_2026-11-26 08:15:00" -> the local time as written, in
 * seconds as if it were UTC; HANDSHAKE_NO_TIME when it has none that can be
 * read (also set for the other kinds). Older releases write 2026.11.26. Any
 * other text that is not empty counts as a report. */
#define HANDSHAKE_NO_TIME INT64_MIN
enum handshake { HANDSHAKE_NONE, HANDSHAKE_REQUESTING, HANDSHAKE_REPORTED, HANDSHAKE_DELETED };
enum handshake node_codec_parse_handshake(const char *text, int64_t *ret_local_seconds);

#endif
