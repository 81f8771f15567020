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
    uint32_t n;
    struct card *cards;
    void *arena;
};
void card_list_free(struct card_list *list);

/* The text of the family's register annotation, in the family's format.
 * On failure NULL and *ret_why: what is wrong, with the value and its place
 * ("device 3: devmem -1 is negative"). Caller frees both. Duplicate UUIDs,
 * numbers out of range and more than CARD_PER_NODE cards are refused. */
struct card_list *node_codec_parse(const struct family *f, const char *text, size_t len, char **ret_why);

/* The same for families whose cards are synthesised from status.capacity:
 * amount(name) gives the capacity of a resource, 0 when absent. */
struct card_list *node_codec_from_capacity(const struct family *f, const char *node_name,
                                           uint64_t (*amount)(const char *resource, void *data), void *data);

/* Byte-exact writers, in the reference's key order and omit-empty rules. Caller frees. */
char *node_codec_format_colon(const struct card *cards, uint32_t n);
char *node_codec_format_json(const struct card *cards, uint32_t n);

/* Pair scores [{"uuid":..,"score":{..}}] into a n*n table in the order of the
 * cards (caller frees); unknown UUIDs are ignored. NULL and *ret_why as above. */
uint16_t *node_codec_parse_scores(const char *text, size_t len, const struct card *cards, uint32_t n,
                                  char **ret_why);

/* Handshake: "Requesting_2026-11-26 08:15:00" -> the local time as written, seconds
 * as if UTC; false when it is not of that form. */
enum handshake { HANDSHAKE_NONE, HANDSHAKE_REQUESTING, HANDSHAKE_REPORTED, HANDSHAKE_DELETED };
enum handshake node_codec_parse_handshake(const char *text, int64_t *ret_local_seconds);

#endif
