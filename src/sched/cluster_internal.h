/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of the ledger share. See cluster.h.
 *
 * A node lives twice: `struct node` is all that is known of it, `struct
 * hot_node` with its `struct hot_card` rows is what placing looks at for
 * every candidate, a few cache lines. The hot rows are derived: node_refresh()
 * writes them after every change.
 */
#ifndef HAMI_SCHED_CLUSTER_INTERNAL_H
#define HAMI_SCHED_CLUSTER_INTERNAL_H

#include "sched/cluster.h"
#include "sched/pod_store.h"

enum hot_card_flag {
    HOT_USABLE = 1,    /* healthy, not cordoned, a slot free, nobody alone on it */
    HOT_IDLE = 2,      /* nobody on it */
    HOT_UNDIVIDED = 4, /* 100 % of compute in all */
    HOT_EXHAUSTED = 8, /* all compute given away */
    HOT_MODE_SHIFT = 4 /* enum card_mode above */
};

/* Bounds: never less than what is free, in MiB rounded up. */
struct hot_card {
    uint32_t free_mib, total_mib;
    uint32_t free_cores; /* UINT32_MAX where compute is not compared */
    uint32_t uuid_hash;
    uint16_t free_slots;
    uint16_t type;        /* of the type table */
    uint16_t total_cores; /* UINT16_MAX = more than that */
    uint8_t family;
    uint8_t flags;
};

enum hot_node_flag {
    HOT_PRESENT = 1,
    HOT_SOFT = 2,
    HOT_MIG = 4,
    HOT_WHOLE = 8 /* a usable card has all its memory */
};

struct hot_node {
    uint64_t families; /* bit per family with a usable card */
    double score;      /* how full, scheduler.md 6.5 */
    uint64_t rank;     /* by name */
    struct hot_card *cards;
    uint32_t free_mib, free_cores; /* the most of any usable card */
    uint16_t n_cards, n_usable;
    uint16_t type; /* of all cards; 0 = they differ */
    uint8_t flags;
};

/* A card that went away while pods held it. */
struct ghost {
    char *uuid;
    uint16_t family;
};

struct node {
    char *name;
    uint32_t name_len, name_hash;
    struct node_spec spec; /* cards and what they point to live in `block` */
    struct card_use *use;
    void *block;
    char *cordon;
    struct ghost *ghosts;
    uint32_t n_ghosts;
    uint32_t pods, n_pods; /* first of the list */
    uint16_t hot_room;
    bool exists;  /* the slot is taken */
    bool plain;   /* its name reads the same in JSON */
    bool present; /* the node is known, with or without cards */
    bool inexact; /* some sum saturated or overlapped: count anew instead of subtracting */
    bool over;    /* more is taken than there is, by the API server's word */
};

struct quota_limit {
    char *quota;
    uint16_t resource;
    int64_t limit;
};
struct quota_amount {
    uint16_t resource;
    int64_t used, limit; /* limit of the objects, -1 = none */
};
struct namespace_ {
    char *name;
    uint32_t n_pods;
    uint32_t n_amounts, n_limits;
    struct quota_amount *amounts;
    struct quota_limit *limits;
};

struct deadline {
    int64_t at;
    uint32_t pod;
};

/* Scratch that a const cluster may write; kept, so that nothing is allocated while placing. */
struct scratch {
    struct candidate {
        double bound; /* no answer from this node can be better */
        uint32_t node;
    } * candidates;
    uint32_t room;
    uint8_t *verdicts; /* by type and selection: 0 = not asked yet, 1 = wanted, 2 = not */
    uint32_t verdict_room;
    char uid[POD_UID_TEXT];
    struct card_grant grants[POD_GRANTS_MAX];
};

#define CLUSTER_NAME_CLASSES 33 /* rooms of 8, 16 ... 264 bytes */
#define CLUSTER_HOT_CLASSES 8   /* rooms of 1, 2, 4 ... 128 cards */

struct name_row {
    const char *name;
    uint32_t hash, slot; /* slot + 1, 0 = empty */
};

struct type_row {
    char *name;
    uint32_t refs;
};

struct Cluster {
    const struct family_set *families;
    uint64_t mask_families; /* whose cores are a mask */

    struct hot_node *hot; /* by slot, as is `nodes` */
    struct node *nodes;
    uint32_t n_slots, room, n_present, n_mig_nodes;
    uint32_t *order, n_order; /* slots by name */
    struct name_row *names;   /* table */
    uint32_t name_mask;
    GPtrArray *name_chunks; /* names side by side: finding thousands of them must stay in the caches */
    uint32_t name_chunk_used;
    char *name_free[CLUSTER_NAME_CLASSES];
    GPtrArray *hot_chunks;
    uint32_t hot_chunk_used;
    struct hot_card *hot_free[CLUSTER_HOT_CLASSES];
    GArray *free_slots; /* of uint32_t */

    GHashTable *type_ids; /* text -> id + 1 */
    struct type_row *types;
    uint32_t n_types, type_room;
    GHashTable *shapes; /* interned struct shapes_row */

    struct pod_store *pods;
    GArray
        *deadlines; /* heap of struct deadline; an entry of a pod that is not reserved until then is void */
    uint32_t n_reserved;
    bool sweeping;
    uint8_t mark; /* POD_RECORD_MARK or 0: what touched pods carry */

    GHashTable *namespace_ids; /* text -> number + 1 */
    GPtrArray *namespaces;     /* of struct namespace_, NULL = free */
    GPtrArray *resources;      /* of char* */
    uint16_t mem_resource[FAMILIES_MAX], cores_resource[FAMILIES_MAX];
    int64_t mem_factor[2 * FAMILIES_MAX]; /* by resource; 1 for compute */

    uint64_t freed;
    const char *broken; /* the first invariant seen broken on the way */
    struct scratch *scratch;
};

/* nodes: cluster.c */
uint32_t cluster_node_slot(Cluster *c, const char *name); /* finds or makes */
void cluster_node_drop_if_unused(Cluster *c, ClusterNode at);
void node_refresh(Cluster *c, ClusterNode at, bool forced); /* forced: may exceed what there is */
void node_recount(Cluster *c, ClusterNode at);
/* Of a card, or of one that went away. */
static inline const struct family *node_family(const Cluster *c, const struct node *n, uint16_t card)
{
    return c->families->rows[card < CLUSTER_CARD_GONE ? n->spec.cards[card].family
                                                      : n->ghosts[card - CLUSTER_CARD_GONE].family];
}
double node_score(const Cluster *c, const struct node_spec *spec, const struct card_use *use);

/* names of nodes and their order: cluster_names.c */
void names_init(Cluster *c);
void names_clear(Cluster *c);
void names_enter(Cluster *c, ClusterNode n, const char *name); /* copies the name */
void names_leave(Cluster *c, ClusterNode n);                   /* and frees it */
uint32_t names_hash(const char *text, size_t len);

/* copies of cards: cluster_cards.c */
void cards_init(Cluster *c);
void cards_clear(Cluster *c);
void cards_copy(Cluster *c, ClusterNode n, const struct node_spec *spec); /* spec, use, block, hot rows */
void cards_free(Cluster *c, ClusterNode n);
/* The same in two steps: what takes their place may be made of them. */
struct detached_cards {
    struct node_spec spec;
    void *block;
    struct hot_card *hot;
    uint16_t hot_room;
};
void cards_detach(Cluster *c, ClusterNode n, struct detached_cards *ret);
void cards_discard(Cluster *c, struct detached_cards *cards);

/* pods: cluster_pods.c */
struct charges { /* what a pod counts for, by card */
    uint32_t n;
    uint16_t card[POD_GRANTS_MAX];
    struct card_use use[POD_GRANTS_MAX];
};
void pod_charges(const struct pod_record *p, struct charges *ret);
void pod_take(Cluster *c, const struct pod_record *p); /* adds to its node's cards */
void pod_count_quota(Cluster *c, const struct pod_record *p,
                     int sign); /* adds to its namespace, or takes back */
int64_t pod_quota(const Cluster *c, const struct pod_record *p, uint16_t resource);
/* Takes the pod off its node; the node goes with it if nothing else keeps it, unless keep_node. */
void pod_drop(Cluster *c, uint32_t pod, bool keep_node);
/* Rewrites the card numbers of the node's pods: to(card, data). */
void pods_renumber(Cluster *c, ClusterNode at, uint16_t (*to)(uint16_t card, const void *data),
                   const void *data);
/* What the node's pods but those few take of its cards. */
void node_use_without(const Cluster *c, ClusterNode at, const uint32_t *pods, uint32_t n_pods,
                      struct card_use *ret);
void deadline_push(Cluster *c, int64_t at, uint32_t pod);

/* quota: cluster_quota.c */
void quota_init(Cluster *c);
void quota_clear(Cluster *c);
uint32_t quota_namespace(Cluster *c, const char *name); /* finds or makes; counts one more pod */
void quota_namespace_unref(Cluster *c, uint32_t number);
const struct namespace_ *quota_find(const Cluster *c, const char *name);
void quota_add(Cluster *c, uint32_t number, uint16_t resource, int64_t amount);
/* What the namespace may still take, without the pod; n = 0 without a limit. */
void quota_view(const Cluster *c, const char *namespace_, uint32_t without_pod, struct fit_quota *ret);
/* Would what is asked for exceed it whatever the node? */
bool quota_refuses(const Cluster *c, const struct pod_request *r, const struct fit_quota *quota);
int64_t quota_scaled(const Cluster *c, uint16_t resource, int64_t limit); /* MiB, or cores */

#endif
