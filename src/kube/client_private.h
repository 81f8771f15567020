/* SPDX-License-Identifier: Apache-2.0
 *
 * The client's inside, for request.c. For src/kube only.
 */
#ifndef HAMI_KUBE_CLIENT_PRIVATE_H
#define HAMI_KUBE_CLIENT_PRIVATE_H

#include <libsoup/soup.h>

#include "kube/client.h"
#include "kube/credentials.h"

struct kube_client {
    gatomicrefcount references;
    KubeConfig *config;
    struct kube_client_options options; /* defaults filled in; no borrowed strings */
    SoupSession *session;
    GMainContext *context;
    struct kube_credentials *credentials;
    gint64 full_us; /* when the bucket of permits will be full again */
    struct kube_client_counters counters;
};

/* Takes a permit; returns how long to wait before using it. */
gint64 kube_client_permit_us(KubeClient *client, gint64 now_us);

/* A source of the client's context that calls back once. Caller destroys and unrefs. */
GSource *kube_client_timer(KubeClient *client, gint64 wait_us, GSourceFunc callback, void *data);

#endif
