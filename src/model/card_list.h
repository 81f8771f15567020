/* SPDX-License-Identifier: Apache-2.0
 *
 * A card list being read from an agent's text: checks that every format
 * shares, one place for the first fault, and ownership of the strings. Private
 * to the readers of node_codec.h.
 *
 *     struct card_reader r;
 *     card_reader_init(&r, family);
 *     while (more && (card = card_reader_add(&r)))
 *         card_reader_text(&r, "id", text, len, CARD_UUID_MAX, &card->uuid) ...
 *     return card_reader_end(&r, ret_why);
 *
 * After a fault every call answers false and card_reader_end() frees all.
 */
#ifndef HAMI_MODEL_CARD_LIST_H
#define HAMI_MODEL_CARD_LIST_H

#include <glib.h>

#include "base/json_scan.h"
#include "model/node_codec.h"

struct card_reader {
    const struct family *family;
    struct card_list *list;
    char *why;                        /* the first fault; NULL while all is well */
    const char *infos[CARD_PER_NODE]; /* group words met so far; the place is the group's number */
    uint32_t n_infos;
};

void card_reader_init(struct card_reader *r, const struct family *f);

/* The next card, zeroed but for its family and group -1; NULL when there are
 * too many or after a fault. */
struct card *card_reader_add(struct card_reader *r);

/* "device 3: " and the message; the device is the card added last. False. */
bool card_reader_fail(struct card_reader *r, const char *format, ...) G_GNUC_PRINTF(2, 3);

/* Copies a name. Refused: empty (unless `empty`), too long, not UTF-8, with
 * control characters, or with characters that would break an annotation. */
bool card_reader_text(struct card_reader *r, const char *field, const char *text, size_t len, size_t max,
                      bool empty, const char **ret);
/* The same from a JSON string. */
bool card_reader_json(struct card_reader *r, const char *field, struct json_text text, size_t max, bool empty,
                      const char **ret);

/* "" and the words of card_mode_names. Families that know no modes take any word for none. */
bool card_reader_mode(struct card_reader *r, const char *text, size_t len, uint8_t *ret);

/* The number of a group that has a word for a name. */
int32_t card_reader_group(struct card_reader *r, const char *word, size_t len);

/* Memory that lives as long as the list. */
void *card_reader_alloc(struct card_reader *r, size_t size);

/* The list, ordered by index, when nothing was wrong and no UUID appears twice. */
struct card_list *card_reader_end(struct card_reader *r, char **ret_why);

#endif
