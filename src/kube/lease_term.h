/* SPDX-License-Identifier: Apache-2.0
 *
 * Whose turn it is by the Lease object, judged by the observer's own clock: a
 * holder's term ends when the record has not changed for its duration. Pure:
 * times come in as microseconds of one clock. For src/kube.
 */
#ifndef HAMI_KUBE_LEASE_TERM_H
#define HAMI_KUBE_LEASE_TERM_H

#include "kube/lease_record.h"

struct kube_lease_term {
    json_t *object; /* newest known; NULL = there is none */
    bool looked;    /* that is known */
    struct kube_lease_record record;
    gint64 observed_us; /* when the record last changed */
    gint64 free_us;     /* until then a record that was deleted counts as held */
};

void kube_lease_term_clear(struct kube_lease_term *term);

bool kube_lease_term_is_of(const struct kube_lease_term *term, const char *identity);

/* Takes the object. Whether the holder is another than before. */
bool kube_lease_term_observe(struct kube_lease_term *term, json_t *object,
                             const struct kube_lease_record *record, gint64 now_us);

/* There is no object. default_us: the duration of a record that names none. */
void kube_lease_term_observe_none(struct kube_lease_term *term, const char *identity, gint64 default_us);

/* When another's term ends; the past when nobody holds it. */
gint64 kube_lease_term_free_from_us(const struct kube_lease_term *term, gint64 default_us);

#endif
