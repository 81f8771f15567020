/* SPDX-License-Identifier: Apache-2.0
 *
 * An explanation in words for people, and as JSON for machines.
 */
#ifndef HAMI_CLI_EXPLAIN_TEXT_H
#define HAMI_CLI_EXPLAIN_TEXT_H

#include <jansson.h>

#include "sched/explain_pod.h"

struct explain_view {
    const struct family_set *families;
    Cluster *cluster;
    const struct pod_request *request;
    const Explanation *explanation;
    const GPtrArray *held; /* what else keeps the pod waiting; NULL of a request made of flags */
    bool all;              /* every node and card, not only the first few */
};

/* The verdict first. "request" is the name of one made of flags. */
void explain_print(const struct explain_view *v, const char *namespace_, const char *name);
json_t *explain_json(const struct explain_view *v);

/* ", 30 %" or ", 2 cores", as the family counts what was granted, or that there is no limit. */
#define EXPLAIN_CORES_TEXT 40
const char *explain_cores_text(const struct family *f, uint64_t cores, char buf[EXPLAIN_CORES_TEXT]);

/* "nvidia.com/gpumem 8000 -> 7168 fits 3 nodes (such as node-a)"; without the example where a terminal's line
 * would not hold it. Caller frees. */
char *explain_hint_text(const struct explain_view *v, const struct explain_hint *h);

#endif
