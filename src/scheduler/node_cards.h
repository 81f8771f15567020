/* SPDX-License-Identifier: Apache-2.0
 *
 * From a Node object to the cards that the ledger keeps: which families'
 * agents live, what they registered, and what else decides placement.
 */
#ifndef HAMI_SCHEDULER_NODE_CARDS_H
#define HAMI_SCHEDULER_NODE_CARDS_H

#include "model/annotation.h"
#include "scheduler/node_object.h"
#include "scheduler/service.h"

#define NODE_HANDSHAKE_MS 60000
#define NODE_KEY_LOSSES annotation_metax_losses
#define NODE_KEY_SCORES annotation_metax_scores
#define NODE_LABEL_INSTANCE annotation_instance_label

/* Bit i: the agent of family i lives. *ret_recheck_ms: when that may change
 * without an event (monotonic), 0 = never. */
uint64_t node_cards_alive(const struct scheduler *s, const struct node_object *o, int64_t *ret_recheck_ms);

struct node_cards {
    struct node_spec spec; /* borrows what follows */
    GArray *cards;
    GPtrArray *lists;
    uint16_t *pairs;
    uint32_t losses[17], scores[17];
};

/* A malformed register keeps what the ledger has of that family, and is reported. */
void node_cards_read(struct scheduler *s, struct node_object *o, const char *name, uint64_t alive,
                     struct node_cards *ret);
/* After node_cards_read() found none: what the capacity of a node that does not exist yet promises. */
void node_cards_of_template(struct scheduler *s, struct node_object *o, const char *name,
                            struct node_cards *ret);
void node_cards_clear(struct node_cards *n);

#endif
