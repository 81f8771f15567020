/* SPDX-License-Identifier: Apache-2.0
 *
 * The node names of a filter call as nodes of the ledger. Read in one pass; a
 * list that is byte for byte that of the call before, with the same nodes
 * registered, is not read again (a scheduler that lists all its nodes sends 15 000
 * names with every pod).
 */
#ifndef HAMI_SCHEDULER_CANDIDATES_H
#define HAMI_SCHEDULER_CANDIDATES_H

#include "scheduler/service.h"

struct candidates {
    const ClusterNode *nodes; /* those that the ledger knows, in the order of the list */
    uint32_t n;
    const char *at; /* the list's text; NULL when it is no array */
    size_t len;
};

/* Steps the scanner over the list. The result is borrowed until the next call. */
void candidates_read(struct scheduler *s, struct json_scan *scan, struct candidates *ret);
/* The ledger's node of that name. */
ClusterNode candidates_find(const struct scheduler *s, struct json_text name);

#endif
