/* SPDX-License-Identifier: Apache-2.0 */
#include "kube/lease_term.h"

#include <string.h>

#define DURATION_MAX_S 86400 /* of a foreign record: it must not hold for ever */

void kube_lease_term_clear(struct kube_lease_term *t)
{
    json_decref(t->object);
    *t = (struct kube_lease_term){0};
}

bool kube_lease_term_is_of(const struct kube_lease_term *t, const char *identity)
{
    return strcmp(t->record.holder, identity) == 0;
}

bool kube_lease_term_observe(struct kube_lease_term *t, json_t *object,
                             const struct kube_lease_record *record, gint64 now_us)
{
    bool other = !t->looked || strcmp(record->holder, t->record.holder) != 0;
    if (!t->looked || !t->object || !kube_lease_same(record, &t->record))
        t->observed_us = now_us;
    json_decref(t->object);
    t->object = object;
    t->looked = true;
    t->record = *record;
    return other;
}

static gint64 expires_us(const struct kube_lease_term *t, gint64 default_us)
{
    int64_t duration_s = t->record.duration_s;
    return t->observed_us + (duration_s > 0 ? MIN(duration_s, DURATION_MAX_S) * G_USEC_PER_SEC : default_us);
}

/* Deleting the object does not end the term of who held it: it writes until it
 * has heard of it. */
void kube_lease_term_observe_none(struct kube_lease_term *t, const char *identity, gint64 default_us)
{
    if (t->looked && t->record.holder[0] && !kube_lease_term_is_of(t, identity))
        t->free_us = expires_us(t, default_us);
    json_decref(t->object);
    t->object = NULL;
    t->looked = true;
    t->record = (struct kube_lease_record){0};
}

gint64 kube_lease_term_free_from_us(const struct kube_lease_term *t, gint64 default_us)
{
    if (!t->object)
        return t->free_us;
    return t->record.holder[0] ? expires_us(t, default_us) : 0;
}
