/* SPDX-License-Identifier: Apache-2.0
 *
 * A Kubernetes API client: bytes out, bytes in, failures as KUBE_ERROR.
 *
 * 1. A request is sent again only if it cannot have been carried out (429, a 503 that says when, no
 *    connection) or repeating does no harm: GET, and what says `repeatable`.
 * 2. Nothing is unbounded: time, size of an answer, requests under way, number
 *    of attempts.
 * 3. 401 makes the token be read again, once per request.
 * HTTP/1.1 with connections kept open: a watch that reads slowly cannot hold up
 * the requests beside it. One thread: the one whose default context was current
 * at kube_client_new().
 */
#ifndef HAMI_KUBE_CLIENT_H
#define HAMI_KUBE_CLIENT_H

#include <gio/gio.h>
#include <stdbool.h>
#include <stdint.h>

#include "kube/backoff.h"
#include "kube/config.h"
#include "kube/error.h"

typedef struct kube_client KubeClient;

/* Zero = the default that stands beside it. */
struct kube_client_options {
    const char *user_agent; /* "hami/VERSION" */
    double qps;             /* requests per second; 0 = no limit */
    uint32_t burst;         /* with qps; 10 */
    uint32_t timeout_ms;    /* of a request, all attempts; 30 s */
    size_t answer_max;      /* bytes, unpacked; 64 MiB */
    uint32_t attempts;      /* 5 */
    /* An answer said 403, whoever asked; the error is borrowed. May be NULL. */
    void (*refused)(void *data, const GError *error);
    void *refused_data;
    /* The token's file cannot be read any more and the token read before is used: once until it can be again.
     * The error is borrowed. May be NULL. */
    void (*stale)(void *data, const GError *error);
    void *stale_data;
    /* A request met no answer twice and goes on trying; NULL: the server answers again. Told in turns, so
     * that a server that cannot be reached is known long before a request gives up. The error is borrowed.
     * May be NULL. */
    void (*silent)(void *data, const GError *error);
    void *silent_data;
    bool no_gzip;       /* do not ask for compressed answers */
    kube_jitter jitter; /* for tests; NULL = random */
    void *jitter_data;
};

struct kube_client_counters {
    uint64_t requests, retries, failures, throttled, tokens_read;
    uint64_t sent_bytes, received_bytes; /* bodies */
    uint32_t in_flight;
};

/* The configuration is taken over on success and failure alike. */
KubeClient *kube_client_new(KubeConfig *config, const struct kube_client_options *options, GError **error);
KubeClient *kube_client_ref(KubeClient *client);
/* Requests under way keep it alive. */
void kube_client_unref(KubeClient *client);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(KubeClient, kube_client_unref)

const KubeConfig *kube_client_config(const KubeClient *client);
struct kube_client_counters kube_client_counters(const KubeClient *client);

struct kube_request {
    const char *method;       /* "GET", "POST", "PUT", "PATCH", "DELETE" */
    const char *path;         /* "/api/v1/nodes"; see kube_path() */
    const char *query;        /* "limit=500&...", escaped; NULL = none */
    const char *content_type; /* NULL = application/json; KUBE_MERGE_PATCH, ... */
    const void *body;         /* copied; NULL = none */
    size_t body_len;
    uint32_t timeout_ms; /* 0 = the client's */
    bool repeatable;     /* a repetition does no harm, e.g. a Binding with its uid: 409 */
    bool once;           /* never try again */
    bool unlimited;      /* not subject to qps (leases) */
};
#define KUBE_MERGE_PATCH "application/merge-patch+json"
#define KUBE_STRATEGIC_PATCH "application/strategic-merge-patch+json"
#define KUBE_JSON_PATCH "application/json-patch+json"

/* "/api/v1/namespaces/NS/pods/NAME/binding": joins the segments, each escaped,
 * until NULL. "." and ".." among them make a path that is refused. Caller frees. */
char *kube_path(const char *first, ...) G_GNUC_NULL_TERMINATED;

/* "k=v&k=v", values escaped, pairs whose value is NULL left out. Caller frees. */
char *kube_query(const char *key, ...) G_GNUC_NULL_TERMINATED;

/* The request is copied. The callback's source object is NULL. */
void kube_request_async(KubeClient *client, const struct kube_request *request, GCancellable *cancellable,
                        GAsyncReadyCallback callback, void *data);
/* The answer's body, never NULL on success; caller unrefs. Cancelled:
 * G_IO_ERROR_CANCELLED, else KUBE_ERROR. ret_status may be NULL. */
GBytes *kube_request_finish(GAsyncResult *result, unsigned *ret_status, GError **error);

/* For commands: runs the client's context until the answer is there. Not for
 * use inside its callbacks. */
GBytes *kube_request_sync(KubeClient *client, const struct kube_request *request, unsigned *ret_status,
                          GError **error);

/* An answer without end: the body as a stream once the server said 200.
 * timeout_ms covers the time until then. Tried once. */
void kube_stream_async(KubeClient *client, const struct kube_request *request, GCancellable *cancellable,
                       GAsyncReadyCallback callback, void *data);
GInputStream *kube_stream_finish(GAsyncResult *result, GError **error);

#endif
