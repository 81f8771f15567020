/* SPDX-License-Identifier: Apache-2.0
 *
 * The parts of the fake API server and what they share. One thread.
 *
 *   target.c   URL -> what is meant        read.c     get, list
 *   write.c    create ... delete, binding  watch.c    streams of changes
 *   control.c  counters and faults         api.c      a request's way through
 *
 * What it leaves out: TLS, protobuf, discovery, OpenAPI, validation, defaulting
 * beyond what pods and events need, admission (webhooks are stored, not
 * called), garbage collection, grace periods, server-side apply, authorization
 * beyond a list of what is refused to all.
 */
#ifndef HAMI_FAKE_API_H
#define HAMI_FAKE_API_H

#include <glib.h>
#include <jansson.h>
#include <stdbool.h>

#include "cluster.h"
#include "faults.h"
#include "resource.h"
#include "serve.h"
#include "store.h"

#define VERBS(X) X(get) X(list) X(watch) X(create) X(update) X(patch) X(delete)

enum verb {
#define X(name) VERB_##name,
    VERBS(X)
#undef X
        VERB_KINDS
};

extern const char *const verb_words[VERB_KINDS];

/* What a URL means. */
struct target {
    enum resource kind;
    char namespace[64], name[256];
    char sub[16]; /* "binding", "status", ... or "" */
    GHashTable *query;
};

enum target_result { TARGET_OK, TARGET_UNKNOWN, TARGET_BAD };

struct counter {
    uint64_t calls, bytes_in, bytes_out, failed;
};

struct api {
    Server *server;
    Store *store;
    struct cluster cluster;
    struct faults faults;
    uint64_t latency_ns;
    uint64_t binding_ns; /* of bindings, beyond it */
    uint64_t bookmark_ns;
    bool confirm;   /* plays the device plugins: a binding is confirmed at once */
    bool gzip;      /* packs answers for who takes it, as a real server does above 128 KiB */
    char *token;    /* NULL: anybody */
    char **refused; /* of "VERB RESOURCE"; NULL: nothing */
    char identity[24];
    unsigned restarts;
    GHashTable *counters; /* "agent verb resource" -> struct counter */
    GHashTable *watches;
    uint64_t events_sent, uids;
    double heartbeats; /* node status updates per second, as kubelets send them */
    double handshakes; /* handshake annotations rewritten per second, node after node */
    double flaps;      /* per second: the first node changes between no card and 256 KiB of register */
    void *down_timer, *heartbeat_timer, *handshake_timer, *flap_timer;
    uint32_t heartbeat_node, handshake_node, flap;
    char *flap_register; /* what it had at first */
    /* The request in work. */
    struct counter *counting;
    enum fault fault;
};

enum target_result target_parse(const struct request *request, struct target *ret_target);
void target_clear(struct target *target);
/* "" when it is not given. */
const char *target_query(const struct target *target, const char *name);
bool target_flag(const struct target *target, const char *name);
/* "NAME" or "NAMESPACE/NAME". */
char *target_key(const struct target *target);

void api_handle(void *api, struct request *request);
uint64_t api_delay(void *api, const struct request *request);
void api_render(void *api, enum resource kind, uint32_t number, uint64_t rv, GString *out);

/* Replies; each ends the request, and none of its strings may be used afterwards. */
void api_reply(struct api *api, struct request *request, int code, const GString *body);
void api_reply_version(struct api *api, struct request *request, int code, enum resource kind,
                       const struct version *version);
/* A Status: reason as the API machinery spells it. */
void api_fail(struct api *api, struct request *request, int code, const char *reason, const char *format, ...)
    G_GNUC_PRINTF(5, 6);
void api_append_kind(enum resource kind, const char *suffix, GString *out);
void api_append_version(const struct api *api, enum resource kind, const struct version *version,
                        GString *out);
void api_append_failure(int code, const char *reason, const char *message, GString *out);

void read_get(struct api *api, struct request *request, const struct target *target);
void read_list(struct api *api, struct request *request, const struct target *target);
/* The resourceVersion that is asked for, 0 when none is; false when replied: it is none, or not reached. */
bool read_revision(struct api *api, struct request *request, const struct target *target, uint64_t *ret_rv);
void write_create(struct api *api, struct request *request, const struct target *target);
void write_update(struct api *api, struct request *request, const struct target *target);
void write_patch(struct api *api, struct request *request, const struct target *target);
void write_delete(struct api *api, struct request *request, const struct target *target);
void write_bind(struct api *api, struct request *request, const struct target *target);

void watch_start(struct api *api, struct request *request, const struct target *target);
/* StoreChanged */
void watch_changed(void *api, enum resource kind);
enum watch_end { WATCH_END, WATCH_CUT, WATCH_EXPIRED };
void watch_end_all(struct api *api, enum watch_end how);

void control_handle(struct api *api, struct request *request);
struct counter *control_counter(struct api *api, const struct request *request, enum verb verb,
                                const struct target *target);

#endif
