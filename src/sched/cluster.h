/* SPDX-License-Identifier: Apache-2.0
 *
 * The ledger of a cluster: nodes, their cards, and the pods that hold parts of
 * them. The one place where capacity is given and taken back.
 *
 * Invariants (asserted by cluster_check(), kept by every function):
 *   1. The use of a card is the sum of the charges of the pods that hold it.
 *   2. What cluster_place() grants keeps every card within its capacity. A node
 *      that re-registers with less than is taken keeps its pods and takes no more.
 *   3. A pod holds at most one grant, found by its UID; releasing it restores the use exactly.
 *   4. Equal inputs give equal answers: ties go to the lower node name, then to
 *      the higher NUMA node and card index (the field's schedulers walk from the end).
 * One thread. Time is a parameter (milliseconds of any monotonic clock).
 * Memory: about 75 bytes per pod and 180 per card; names are stored once.
 */
#ifndef HAMI_SCHED_CLUSTER_H
#define HAMI_SCHED_CLUSTER_H

#include <glib.h>

#include "model/node.h"
#include "model/pod.h"
#include "model/reason.h"
#include "sched/fit_pod.h"

typedef struct Cluster Cluster;
typedef uint32_t ClusterNode; /* slot number; stable while the node exists */
#define CLUSTER_NO_NODE UINT32_MAX

/* The set is borrowed and must outlive the cluster. */
Cluster *cluster_new(const struct family_set *families);
void cluster_free(Cluster *c);

/* ---- nodes ---- */

/* Adds a node or replaces its cards; copies the spec. Pods keep what they hold
 * on cards that are still there (by UUID); what they hold on cards that went
 * away comes back when the card does. */
ClusterNode cluster_node_set(Cluster *c, const struct node_spec *spec);
void cluster_node_remove(Cluster *c,
                         const char *name); /* pods on it stay known, as on a node without cards */
ClusterNode cluster_node_find(const Cluster *c, const char *name, size_t len);
/* How many bytes of the JSON text at `at` are the string that names this node, quotes included; 0: it names
 * another, or is written in another way. For who can guess which it is. */
size_t cluster_node_spelled(const Cluster *c, ClusterNode n, const char *at, const char *end);
const struct node_spec *cluster_node_spec(const Cluster *c, ClusterNode n);
const struct card_use *cluster_node_use(const Cluster *c, ClusterNode n); /* n_cards rows */
uint32_t cluster_node_count(const Cluster *c);
/* Calls f for each node with cards until it returns false. */
void cluster_node_each(const Cluster *c, bool (*f)(ClusterNode n, void *data), void *data);
bool cluster_node_cordon(Cluster *c, ClusterNode n, const char *uuids); /* comma list; replaces */

/* ---- quota: limits.<resource> of ResourceQuota objects; the lowest of several counts ---- */
void cluster_quota_set(Cluster *c, const char *namespace_, const char *quota, const char *resource,
                       int64_t limit);
void cluster_quota_remove(Cluster *c, const char *namespace_, const char *quota);
struct cluster_quota {
    const char *namespace_, *resource;
    int64_t used;  /* MiB, or cores */
    int64_t limit; /* as it was set, in the resource's own unit; -1 = none */
};
void cluster_quota_each(const Cluster *c, bool (*f)(const struct cluster_quota *q, void *data), void *data);
/* NULL, or the resource that the request would take over its namespace's limit (admission: whole-pod peak,
 * percentages count nothing). */
const char *cluster_quota_exceeded(const Cluster *c, const struct pod_request *r);

/* ---- placing ---- */

struct cluster_answer {
    enum sched_reason reason; /* SCHED_FITS, or why no node was found */
    ClusterNode node;
    double score;
    struct pod_grant grant;
};

/* Chooses among the candidates; writes nothing. What the pod itself holds
 * counts as free. When no node is found, the reason is the commonest of (at
 * most 64, evenly spaced) candidates. Duplicate and unknown candidates are harmless. */
void cluster_place(Cluster *c, const struct pod_request *r, const ClusterNode *candidates, uint32_t n,
                   struct cluster_answer *ret);

/* One node: reason and grant. Of reasons that cards differ in, text in the
 * field's form "1/4 CardInsufficientMemory, 3/4 CardTypeMismatch" goes to
 * why (may be NULL, appended). */
enum sched_reason cluster_fit(const Cluster *c, const struct pod_request *r, ClusterNode n,
                              struct cluster_answer *ret, GString *why);

/* The same with the reason of every card, or as if the given pods had ended (preemption). */
enum sched_reason cluster_fit_report(const Cluster *c, const struct pod_request *r, ClusterNode n,
                                     struct cluster_answer *ret, struct fit_report *ret_report);
enum sched_reason cluster_fit_without(const Cluster *c, const struct pod_request *r, ClusterNode at,
                                      const char *const *uids, unsigned n_uids, struct cluster_answer *ret);

/* The same on a node that is not part of the cluster, as if it were empty (autoscaler). */
enum sched_reason cluster_fit_spec(const Cluster *c, const struct pod_request *r,
                                   const struct node_spec *spec, struct cluster_answer *ret, GString *why);

/* ---- pods ---- */

enum pod_state {
    POD_NONE,
    POD_RESERVED, /* chosen; gone at the deadline unless bound */
    POD_BINDING,  /* the write is under way: no deadline */
    POD_BOUND     /* seen bound */
};

struct cluster_pod {
    const char *uid, *namespace_, *name;
    ClusterNode node; /* CLUSTER_NO_NODE while its node is unknown */
    const char *node_name;
    enum pod_state state;
    int32_t priority;
    bool started; /* init containers are over */
    uint16_t n_slots;
    const uint8_t *slot_kind;
    uint16_t n_grants;
    const struct card_grant *grants; /* card >= CLUSTER_CARD_GONE: the node has it no more */
};
#define CLUSTER_CARD_GONE 0x8000

/* Reserves an answer's grant until deadline_ms; an earlier reservation of the
 * same UID is replaced, one that is being bound or bound is an error (false).
 * False also when the grant no longer fits. */
bool cluster_reserve(Cluster *c, const struct pod_request *r, const struct cluster_answer *a,
                     int64_t deadline_ms);
bool cluster_binding(Cluster *c, const char *uid); /* RESERVED -> BINDING */
bool cluster_unbind(
    Cluster *c, const char *uid,
    int64_t deadline_ms); /* BINDING -> RESERVED: the write failed, or its fate is unknown until then */
/* A pod that is bound for certain, from the API server. Replaces whatever was
 * reserved under the UID; counts even where it overcommits (it is the truth).
 * g NULL = it keeps what it holds under its UID on that node (slot_kind and n_slots are then not read).
 * Grants of cards or slots that do not exist are left out. */
void cluster_bound(Cluster *c, const char *uid, const char *namespace_, const char *name, const char *node,
                   const struct pod_grant *g, const uint8_t *slot_kind, unsigned n_slots, int32_t priority,
                   bool started);
void cluster_started(Cluster *c, const char *uid);
bool cluster_release(Cluster *c, const char *uid); /* true when it held something */
/* What ret and p point to is borrowed until the next call of any function here that gives a pod. Nothing
 * may be changed from within f. */
bool cluster_pod_get(const Cluster *c, const char *uid, struct cluster_pod *ret);
void cluster_pod_each(const Cluster *c, bool (*f)(const struct cluster_pod *p, void *data), void *data);
/* The node's; uid is NULL: who walks them all for every scrape does not want it written out. */
void cluster_node_pods(const Cluster *c, ClusterNode n, bool (*f)(const struct cluster_pod *p, void *data),
                       void *data);
uint32_t cluster_pod_count(const Cluster *c);
/* Releases reservations whose deadline has passed; the next deadline, or INT64_MAX. */
int64_t cluster_expire(Cluster *c, int64_t now_ms);

/* For a sweep after a new LIST: marks, and releases the bound pods that were not touched by
 * cluster_bound() or cluster_touch() since. */
void cluster_sweep_begin(Cluster *c);
void cluster_sweep_end(Cluster *c);
void cluster_touch(Cluster *c, const char *uid);

/* NULL, or a description of the invariant that is broken (caller frees). */
char *cluster_check(const Cluster *c);

/* Counts every change that frees capacity; a waiter compares. */
uint64_t cluster_freed(const Cluster *c);

#endif
