/* SPDX-License-Identifier: Apache-2.0
 *
 * A Node object's text to what concerns us of it, in one pass: name, labels,
 * annotations, capacity and allocatable. Everything is borrowed from the text.
 */
#ifndef HAMI_SCHEDULER_NODE_OBJECT_H
#define HAMI_SCHEDULER_NODE_OBJECT_H

#include "base/json_scan.h"

#define NODE_PAIRS_MAX 512 /* labels, annotations, resources each; more make the node be refused */

struct node_pairs {
    uint32_t n;
    struct {
        struct json_text key, value;
    } pairs[NODE_PAIRS_MAX];
};

struct node_object {
    struct json_text name, resource_version, uid;
    struct node_pairs labels, annotations, capacity, allocatable;
    bool unschedulable;
};

/* False and *ret_why (static) when the text is no Node. */
bool node_object_scan(struct json_scan *s, struct node_object *ret, const char **ret_why);

/* The value, or NULL. */
const struct json_text *node_pair(const struct node_pairs *pairs, const char *key);

/* A quantity as a whole number; 0 when absent, negative or no integer. */
uint64_t node_amount(const struct node_pairs *pairs, const char *resource);

#endif
