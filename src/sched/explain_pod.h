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
    struct explain_card *cards; /* of the request that failed first */
    int request;                /* which */
};

/* One change of the pod (or of one node's settings) and what it would bring. */
enum explain_change {
    EXPLAIN_MEM,   /* memory of request r -> to_bytes */
    EXPLAIN_CORES, /* cores -> to */
    EXPLAIN_COUNT, /* number of cards -> to */
    EXPLAIN_TYPES, /* drop a type list (which: use or not) */
    EXPLAIN_UUIDS,
    EXPLAIN_MODE,
    EXPLAIN_NUMA,
    EXPLAIN_MUTEX,
    EXPLAIN_SLOTS,  /* deviceSplitCount of a node is used up */
    EXPLAIN_QUOTA,  /* namespace quota */
    EXPLAIN_CORDON, /* lift a cordon */
    EXPLAIN_WAIT    /* nothing to change: it fits when other pods end */
};
struct explain_hint {
    enum explain_change change;
    int request;
    uint64_t from, to;
    const char *annotation; /* the key to change; borrowed, may be NULL */
    uint32_t n_nodes;       /* that would then take the pod */
    ClusterNode example;
};

struct explain_group {
    enum sched_reason reason;
    uint32_t n_nodes, n_cards;
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
 * fewest and lowest first; grants of the victims by UID (borrowed). Number, or
 * -1 when no set of them is enough. Only the ones in `allowed` (NULL = any). */
int sched_victims(Cluster *c, const struct pod_request *r, ClusterNode node, const char *const *allowed,
                  const char **ret_uids, unsigned max);

#endif
