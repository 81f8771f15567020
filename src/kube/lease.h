/* SPDX-License-Identifier: Apache-2.0
 *
 * Leader election on a coordination.k8s.io/v1 Lease, with client-go's rules:
 * whoever holds the record renews it; another takes it once the record has not
 * changed for its duration, by the observer's own clock.
 *
 * 1. kube_lease_is_valid() is false from renew_deadline_ms after the last
 *    renewal *began*: earlier than any other may take over. Writers ask before
 *    each write.
 * 2. `started` and `stopped` alternate, `started` first.
 * 3. A lease that is stopped orderly is released (no holder, one second), and
 *    who waits learns it from its watch: no wait for the duration.
 * Main thread of the client. Source: client-go tools/leaderelection.
 */
#ifndef HAMI_KUBE_LEASE_H
#define HAMI_KUBE_LEASE_H

#include "kube/client.h"

/* Zero = the default beside it. Strings are copied. */
struct kube_lease_options {
    const char *namespace, *name;
    const char *identity;       /* unique among candidates */
    uint32_t duration_ms;       /* 15 s; whole seconds */
    uint32_t renew_deadline_ms; /* 10 s */
    uint32_t retry_ms;          /* 2 s */
    uint32_t
        rest_ms; /* 0; what is found in our name is of a run before this one: it is gone on with after this */
};

struct kube_lease_vtable {
    void (*started)(void *data);
    void (*stopped)(void *data);
    /* Another leads ("" = nobody); may be NULL. */
    void (*holder)(void *data, const char *identity);
    /* Once per streak of failures; may be NULL. */
    void (*error)(void *data, const GError *error);
};

typedef struct kube_lease KubeLease;

/* Fails on options that contradict each other. */
KubeLease *kube_lease_new(KubeClient *client, const struct kube_lease_options *options,
                          const struct kube_lease_vtable *vtable, void *data, GError **error);
void kube_lease_start(KubeLease *lease);

/* Gives the lease back if held (`stopped` comes at once), then calls `done`
 * when the server knows or two seconds have passed; `done` may be NULL. */
void kube_lease_stop(KubeLease *lease, void (*done)(void *data), void *data);
void kube_lease_free(KubeLease *lease);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(KubeLease, kube_lease_free)

bool kube_lease_is_valid(const KubeLease *lease);

/* Who holds it as far as we have seen; "" = nobody. Borrowed. */
const char *kube_lease_holder(const KubeLease *lease);

struct kube_lease_counters {
    uint64_t renewals, failures, acquired, lost;
};
struct kube_lease_counters kube_lease_counters(const KubeLease *lease);

#endif
