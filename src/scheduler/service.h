/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of this room share. One thread: everything runs in callbacks
 * of one main loop, so the ledger needs no lock and a filter call is one
 * uninterrupted decision.
 *
 * Invariants:
 *   1. Nothing is granted before nodes and pods are known (synced) nor by an
 *      instance that does not lead.
 *   2. A pod's cards are reserved in the ledger before the answer to /filter
 *      leaves, and stay so until a deadline or, once a binding was sent, the API server's word.
 *   3. The API server is written to by /bind, by waking (waiting.c), by
 *      cleaning a dead agent's handshake, and by nothing else on its own.
 */
#ifndef HAMI_SCHEDULER_SERVICE_H
#define HAMI_SCHEDULER_SERVICE_H

#include "base/json_scan.h"
#include "kube/client.h"
#include "kube/events.h"
#include "kube/lease.h"
#include "kube/watch.h"
#include "net/http_server.h"
#include "sched/cluster.h"
#include "scheduler/histogram.h"
#include "scheduler/scheduler.h"
#include "vendor/config.h"
#include "vendor/parse.h"

/* Taken in this order. */
enum node_lock { NODE_LOCK_DSMLU, NODE_LOCK_MUTEX, NODE_LOCKS };

struct scheduler {
    struct scheduler_options o;
    struct pod_defaults defaults;
    FamilySet *families;
    struct pod_reader *reader;
    Cluster *cluster;
    KubeClient *client;
    KubeEvents *events;
    struct rights *rights;
    GMainLoop *loop;

    KubeWatch *node_watch, *pod_watch, *quota_watch;
    bool nodes_synced, pods_synced, quotas_synced;
    bool pods_live;           /* what comes of pods now has just happened: no list is under way (pods.c) */
    int64_t stranger_ms;      /* when another scheduler was last reported (pods.c) */
    uint64_t node_generation; /* changes when a node comes into the ledger or goes */
    GHashTable *nodes;        /* of struct node_state, by name (nodes.c) */
    GHashTable *quotas;       /* namespace/name -> generation (quotas.c) */
    GHashTable *assigned;     /* uid -> struct assignment (assigned.c) */
    GHashTable *locking[NODE_LOCKS]; /* node -> struct nodelock (nodelock.c) */
    GHashTable *mig_texts;           /* uid -> hami.io/vgpu-mig-allocations (pods.c) */
    GHashTable *waiting;             /* uid -> struct waiting (waiting.c) */
    GHashTable *waiting_shares;      /* namespace -> its part of waiting_cost */
    size_t waiting_cost;
    uint64_t wake_round;
    bool wake_unfinished;
    uint32_t waking;      /* writes under way */
    GHashTable *reloads;  /* node -> struct reload (reload.c) */
    GHashTable *fates;    /* uid -> struct fate (fate.c) */
    GHashTable *owed;     /* nodes without cards on which pods with cards were seen (reload.c) */
    GHashTable *ended;    /* UIDs of pods that ended while a list of a node's pods was under way */
    GQueue held;          /* filter calls that came before we were ready (extender.c) */
    int64_t expire_at_ms; /* when expire_timer fires */
    guint expire_timer, trim_timer, handshake_timer, wake_timer, due_timer;
    uint64_t freed_seen;

    KubeLease *lease;      /* our own */
    int identity_socket;   /* held while we bear our name in it (identity.h); 0 or -1: none */
    struct follow *follow; /* or kube-scheduler's (follow.h) */
    bool leading;
    char *marker;       /* written at ourselves after taking over, not seen yet (leader.c) */
    bool marker_listed; /* seen by the list that is being read: it counts once all of that list is read */
    bool relisting;     /* the same without a pod of our own */
    uint32_t binds_in_flight;
    void (*stop_done)(void *data); /* waits for the last bind */
    void *stop_data;

    HttpServer *extender, *webhook, *metrics;
    bool extender_tls;
    struct certs *certs;

    struct histogram filter_ns, bind_ns, webhook_ns, queue_ns, watch_lag_ns;
    struct {
        uint64_t filters, filter_fits, filter_errors, binds, bind_failures, conflicts, reservations_expired;
        uint64_t admitted, refused, node_events, node_parses, pod_events, foreign_pods, forged_pods,
            strangers, wakes;
    } count;
    bool collecting; /* read once, then stop (collect.c) */
    GError *failure; /* of reading */
};

bool scheduler_is_synced(const struct scheduler *s);
/* Leads, and may still write: the lease is valid. */
bool scheduler_may_write(const struct scheduler *s);
/* Synced, leads, and has seen all that a former leader wrote. */
bool scheduler_may_decide(const struct scheduler *s);
int64_t scheduler_now_ms(void); /* monotonic */
/* Something has a deadline: the timer that ends reservations and assignments fires then, or earlier. */
void scheduler_expire_by(struct scheduler *s, int64_t at_ms);
/* A watch is in trouble: logs, or ends the reading. */
void scheduler_watch_failed(struct scheduler *s, const char *what, const GError *error);
/* After anything that may have made the service ready: answers held calls. */
void scheduler_became_ready(struct scheduler *s);
/* What waited for the right to decide, and may have it now: held calls, and pods that fit. */
void scheduler_goes_on(struct scheduler *s);

/* nodes.c */
void nodes_start(struct scheduler *s);
void nodes_stop(struct scheduler *s);
/* The lock's value, NULL when free; whether the node's device plugins are
 * others' (wait for a lock). */
const char *nodes_lock_of(const struct scheduler *s, const char *node, enum node_lock kind);
/* Its resourceVersion, kept only with --compat-node-lock; NULL when the node is gone. */
const char *nodes_version_of(const struct scheduler *s, const char *node);
/* The pods on the node are known now: it may take more. */
void nodes_counted(struct scheduler *s, const char *node);
bool nodes_wants_lock(const struct scheduler *s, const char *node);

/* pods.c */
void pods_start(struct scheduler *s);
void pods_stop(struct scheduler *s);
/* A pod in a list that is not the watch's (reload.c, fate.c). */
void pods_listed_again(struct scheduler *s, const char *json, size_t len);

/* reload.c */
void reload_start(struct scheduler *s);
void reload_stop(struct scheduler *s);
void reload_node(struct scheduler *s, const char *node);
/* A pod with cards was seen on a node that has none yet: the node's pods must be listed when it registers. */
void reload_owe(struct scheduler *s, const char *node);
bool reload_is_owed(const struct scheduler *s, const char *node);
void reload_saw_end(struct scheduler *s, const char *uid);

/* fate.c: a binding was sent and its answer lost: asks until it is known what became of it. */
void fate_start(struct scheduler *s);
void fate_stop(struct scheduler *s);
void fate_ask(struct scheduler *s, const char *namespace_, const char *name, const char *uid);

/* quotas.c */
void quotas_start(struct scheduler *s);
void quotas_stop(struct scheduler *s);

/* leader.c */
#define LEADER_BIND_MOST_MS 5000
bool leader_start(struct scheduler *s, GError **error);
void leader_stop(struct scheduler *s, void (*done)(void *), void *data);
bool leader_is_valid(const struct scheduler *s);
/* How long a bind may take: less than between the holder's giving up and another's taking over; 0 = the
 * client's own limit. */
uint32_t leader_bind_ms(const struct scheduler *s);
/* A pod was seen; `marker` is its annotation hami.io/leading. The pods were listed anew. */
void leader_saw_marker(struct scheduler *s, const char *marker);
void leader_saw_list(struct scheduler *s);
void leader_bind_ended(struct scheduler *s);
/* A call waits until we decide. */
void leader_asked(struct scheduler *s);
/* What the lease says, by whoever holds it. */
void leader_set(struct scheduler *s, bool leading, const char *holder);
/* From now on nothing is decided until all that was written before is seen. */
void leader_catch_up(struct scheduler *s);

/* extender.c, bind.c, preempt.c */
void extender_filter(const struct http_request *request, struct http_responder *responder, void *data);
void extender_bind(const struct http_request *request, struct http_responder *responder, void *data);
void extender_preempt(const struct http_request *request, struct http_responder *responder, void *data);
void extender_answer_held(struct scheduler *s);
/* Begins to read the arguments of a call: true when a json_scan_key() comes next. Another fault than that of
 * the scan, in the words in which the reference says it, for what is no object. */
bool extender_scan(struct json_scan *scan, const char *body, size_t len);

/* possible.c: NULL, or why no node could ever hold the pod (caller frees). data: the scheduler. */
char *possible_why_not(const struct pod_request *asked, void *data);

/* review.c */
void review_admit(const struct http_request *http, struct http_responder *responder, void *data);

/* certs.c */
bool certs_start(struct scheduler *s, GError **error);
void certs_stop(struct scheduler *s);

/* waiting.c: pods that found no place, and waking them when one appears */
/* pod: text of the Pod object, copied. */
void waiting_add(struct scheduler *s, const struct pod_request *r, const char *pod, size_t len);
void waiting_remove(struct scheduler *s, const char *uid);
/* A list of all pods begins; a pod was in it that has no node yet; it ends: who was not in it is forgotten.
 */
void waiting_sweep_begin(struct scheduler *s);
bool waiting_seen(struct scheduler *s, const char *uid);
/* How long the pod has waited; 0 = it does not. */
int64_t waiting_ms(const struct scheduler *s, const char *uid);
void waiting_sweep_end(struct scheduler *s);
void waiting_capacity_changed(struct scheduler *s);
/* Their Pod objects, comma-separated (snapshot). */
void waiting_append(GString *out, void *data);
void waiting_free(struct scheduler *s);

/* metrics.c, snapshot.c */
void metrics_serve(const struct http_request *request, struct http_responder *responder, void *data);
void snapshot_serve(const struct http_request *request, struct http_responder *responder, void *data);

/* servers.c */
bool servers_start(struct scheduler *s, GError **error);
void servers_stop(struct scheduler *s);
/* Where a server listens, a port of 0 replaced; "none". Caller frees. */
char *servers_address(const char *asked, const HttpServer *server);

/* trim.c: after starting, memory that only starting needed. */
void trim_memory(void);

/* log.c: one line of key=value on standard error. */
enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };
void log_line(enum log_level level, const char *event, const char *first_key, ...) G_GNUC_NULL_TERMINATED;
void log_set_level(enum log_level level, bool json);
/* From now on lines of LOG_INFO and LOG_DEBUG are written when the thread's default main loop has nothing to
 * do before it waits; false: each at once again, as in the beginning. */
void log_gather(bool on);
void log_flush(void);
/* What device-config.yaml has that nothing reads: texts, one a line. */
void log_config_warnings(const struct scheduler_options *options, const GPtrArray *warnings);

#endif
