/* SPDX-License-Identifier: Apache-2.0
 *
 * Why a pod does not fit anywhere: reasons per node and card, counted and
 * grouped, and the smallest changes that would make it fit. Figures only; the
 * wording is the caller's (cli/explain.c, events).
 */
#ifndef HAMI_SCHED_EXPLAIN_POD_H
#define HAMI_SCHED_EXPLAIN_POD_H

#include "sched/cluster.h"

struct explain_card {
    uint16_t card;
    enum sched_reason reason;
    uint64_t free_bytes;
    uint32_t free_cores;
    uint32_t free_slots;
};

struct explain_node {
    ClusterNode node;
    enum sched_reason reason; /* the node's main one */
    uint32_t n_cards;
    struct explain_card *cards; /* of the request that failed first; none when no card was tried */
    int request;                /* which; -1 when the node takes the pod */
};

/* One change of the pod (or of one node's settings) and what it would bring.
 * Every hint holds by itself: with that change and no other, n_nodes nodes take the pod. */
enum explain_change {
    EXPLAIN_MEM,           /* memory of request r -> to bytes, compute as it is */
    EXPLAIN_CORES,         /* cores -> to */
    EXPLAIN_MEM_AND_CORES, /* memory -> to bytes and cores -> also */
    EXPLAIN_COUNT,         /* number of cards (Enflame DRS: size) -> to */
    EXPLAIN_TYPES,         /* drop a type list; from: 0 = use, 1 = not */
    EXPLAIN_UUIDS,         /* drop a UUID list; from: 0, 1 = use_uuids[from], 2, 3 = not_uuids[from - 2] */
    EXPLAIN_MODE,          /* drop the mode */
    EXPLAIN_NUMA,          /* drop numa-bind */
    EXPLAIN_MUTEX,         /* drop `mutex` from the policy */
    EXPLAIN_SLOTS,         /* deviceSplitCount of the nodes -> to */
    EXPLAIN_QUOTA,         /* namespace quota of `annotation` -> to, in the quota's own unit */
    EXPLAIN_CORDON,        /* lift the cordons of the nodes */
    EXPLAIN_WAIT           /* nothing to change: it fits when other pods end */
};
struct explain_hint {
    enum explain_change change;
    int request;       /* which; -1 = the pod as a whole */
    uint64_t from, to; /* from 0 with EXPLAIN_MEM: percent or the whole card */
    uint64_t also;
    const char *annotation; /* the key to change, or the resource; borrowed, may be NULL */
    uint32_t n_nodes;       /* that would then take the pod */
    ClusterNode example;
};

struct explain_group {
    enum sched_reason reason;
    uint32_t n_nodes; /* whose main reason it is */
    uint32_t n_cards; /* that have it */
};

typedef struct Explanation {
    enum sched_reason reason;      /* SCHED_FITS when it does */
    struct cluster_answer *answer; /* when it fits */
    uint32_t n_nodes;
    struct explain_node *nodes;
    uint32_t n_groups;
    struct explain_group *groups; /* most nodes first */
    uint32_t n_hints;
    struct explain_hint *hints; /* smallest change first */
} Explanation;

/* Candidates NULL = every node. Caller frees. */
Explanation *sched_explain_pod(Cluster *c, const struct pod_request *r, const ClusterNode *candidates,
                               uint32_t n);
void explanation_free(Explanation *e);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Explanation, explanation_free)

/* Preemption: pods of lower priority on `node` whose end would make room, the
 * fewest, of those the ones with the lowest priorities, of those the later in
 * `allowed` (the younger, as kube-scheduler lists them). UIDs in a GPtrArray of
 * char * (caller unrefs); NULL when no set of them is enough. Only the ones in
 * `allowed` (NULL-terminated; NULL = any). Nothing is written. */
GPtrArray *sched_victims(Cluster *c, const struct pod_request *r, ClusterNode node,
                         const char *const *allowed);

#endif
