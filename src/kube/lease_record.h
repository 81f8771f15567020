/* SPDX-License-Identifier: Apache-2.0
 *
 * The Lease object as leader election sees it. Pure; for src/kube and its tests.
 */
#ifndef HAMI_KUBE_LEASE_RECORD_H
#define HAMI_KUBE_LEASE_RECORD_H

#include <glib.h>
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* spec of a Lease: what counts as a change of it. */
struct kube_lease_record {
    char holder[256]; /* "" = nobody */
    char acquired[40], renewed[40];
    int64_t duration_s; /* 0 = not set */
    int64_t transitions;
};

/* The object of the answer, which every write goes out from so that what
 * others added to it stays. Caller decrefs. NULL and KUBE_ERROR_PROTOCOL. */
json_t *kube_lease_read(const char *json, size_t len, struct kube_lease_record *ret, GError **error);
/* The same of an answer's body; NULL without one. */
json_t *kube_lease_read_body(GBytes *body, struct kube_lease_record *ret, GError **error);

bool kube_lease_same(const struct kube_lease_record *a, const struct kube_lease_record *b);

enum kube_lease_write {
    KUBE_LEASE_TAKE,    /* for a new holder */
    KUBE_LEASE_RENEW,   /* by the same */
    KUBE_LEASE_RELEASE, /* nobody holds it */
};

/* Body of the PUT, or of the POST where `object` is NULL. now_us: wall clock.
 * Caller frees. */
char *kube_lease_write(json_t *object, enum kube_lease_write what, const char *namespace, const char *name,
                       const char *identity, uint32_t duration_s, gint64 now_us);

#endif
