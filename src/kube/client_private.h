/* SPDX-License-Identifier: Apache-2.0
 *
 * The client's inside, for request.c. For src/kube only.
 */
#ifndef HAMI_KUBE_CLIENT_PRIVATE_H
#define HAMI_KUBE_CLIENT_PRIVATE_H

#include <libsoup/soup.h>

#include "kube/client.h"
#include "kube/credentials.h"

/* libsoup asks every idle connection of a session whether it is still open, several times for each request,
 * and each asking goes through all of GIO's and GnuTLS' layers. So requests take the first of several
 * sessions that has a connection to spare, and those that nobody needs are not asked. */
enum { KUBE_LANES = 16, KUBE_LANE_CONNECTIONS = 2, KUBE_ASIDE_CONNECTIONS = 64 };
struct kube_lane {
    SoupSession *session; /* NULL until it is needed */
    unsigned requests;    /* under way */
};

struct kube_client {
    gatomicrefcount references;
    KubeConfig *config;
    struct kube_client_options options; /* defaults filled in; strings are ours */
    GTlsDatabase *anchors;              /* NULL without TLS */
    struct kube_lane lanes[KUBE_LANES];
    struct kube_lane aside; /* watches, and leases, which must not wait behind anything */
    GMainContext *context;
    struct kube_credentials *credentials;
    GTlsCertificate *shown; /* to the server, by the connections of the lanes; NULL: none */
    gint64 full_us;         /* when the bucket of permits will be full again */
    bool silent;            /* options.silent was told so */
    GQueue deadlines;       /* struct kube_deadline: of the calls under way */
    GSource *clock;         /* rings for all of them, */
    gint64 clock_us;        /* at that moment; G_MAXINT64 = never */
    struct kube_client_counters counters;
};

/* One of many that nearly never comes: a source for each would be looked at in every turn of the main loop.
 */
struct kube_deadline {
    GList link; /* data: itself; NULL when it is not set */
    gint64 at_us;
    void (*passed)(void *data); /* it is not set any more then */
    void *data;
};
void kube_deadline_set(KubeClient *client, struct kube_deadline *d, gint64 at_us, void (*passed)(void *data),
                       void *data);
void kube_deadline_drop(KubeClient *client, struct kube_deadline *d);

/* Where a request goes; the caller counts it in and out. */
struct kube_lane *kube_client_lane(KubeClient *client, bool aside);

/* Which certificate a request shows; NULL = none. Borrowed until the next call. Before kube_client_lane(). */
GTlsCertificate *kube_client_certificate(KubeClient *client);

/* Takes a permit; returns how long to wait before using it. */
gint64 kube_client_permit_us(KubeClient *client, gint64 now_us);

/* A source of the client's context that calls back once. Caller destroys and unrefs. */
GSource *kube_client_timer(KubeClient *client, gint64 wait_us, GSourceFunc callback, void *data);

#endif
