/* SPDX-License-Identifier: Apache-2.0
 *
 * What lease.c (the election) and lease_stop.c (its end) share.
 */
#ifndef HAMI_KUBE_LEASE_PRIVATE_H
#define HAMI_KUBE_LEASE_PRIVATE_H

#include "kube/lease.h"
#include "kube/lease_term.h"
#include "kube/watch.h"

#define KUBE_LEASE_STOP_MS 2000

enum flight {
    NOTHING,
    LOOKING,
    WRITING,
    RELEASING,
};

struct kube_lease {
    unsigned references;
    bool freed;
    KubeClient *client;
    char *namespace, *name, *identity, *path, *collection;
    uint32_t duration_ms, renew_deadline_ms, retry_ms, rest_ms;
    struct kube_lease_vtable vtable;
    void *data;

    KubeWatch *watch;
    GCancellable *cancellable;
    GSource *timer, *fence, *stop_timer;
    enum flight flight;
    gint64 flight_us; /* when the request under way began */
    bool missed;      /* an event came meanwhile that its answer may be older than */

    struct kube_lease_term term;
    gint64 asked_us; /* when we last looked */
    bool leading;
    gint64 valid_until_us;
    bool told; /* of this streak of failures */
    bool stopping, stopped;
    unsigned releases;
    void (*done)(void *data);
    void *done_data;
    struct kube_lease_counters counters;
};

void kube_lease_drop_source(GSource **source);
void kube_lease_unref(KubeLease *l);

bool kube_lease_is_mine(const KubeLease *l);
/* Takes the object. */
void kube_lease_observe(KubeLease *l, json_t *object, const struct kube_lease_record *record);
/* Somebody else wrote, or the object is gone. */
bool kube_lease_is_race(const GError *error);
/* Ends leadership. The caller holds a reference. */
void kube_lease_lose(KubeLease *l);

/* A request of which on_answer() gets the answer; none may be under way. */
void kube_lease_look(KubeLease *l);
void kube_lease_send(KubeLease *l, enum kube_lease_write what);

/* The answer of whatever was under way when the lease was stopped, or of what
 * the release took; the caller holds a reference. */
void kube_lease_stop_answer(KubeLease *l, enum flight flight, GBytes *body, const GError *error);

#endif
