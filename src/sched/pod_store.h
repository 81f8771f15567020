/* SPDX-License-Identifier: Apache-2.0
 *
 * Compact records of the pods that hold cards, found by UID. About 70 bytes for
 * a pod with one card: a UID that is a UUID is kept as its 16 bytes, grants of
 * whole MiB in eight, what is as usual not at all, and records of one size share slabs.
 *
 * A record is named by a handle (never 0); it is stable until the record is
 * removed. Pointers into a record are, too. One thread.
 */
#ifndef HAMI_SCHED_POD_STORE_H
#define HAMI_SCHED_POD_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "model/pod.h"

struct pod_store;

#define POD_UID_TEXT 256 /* longer UIDs are refused */

#define POD_RECORD_NONE 0        /* POD_NONE: no record */
#define POD_RECORD_GRANTS 0xfffu /* the most that fit */
_Static_assert(POD_GRANTS_MAX <= POD_RECORD_GRANTS, "all grants can be counted");

struct pod_record {
    uint32_t node, next, prev; /* list of the pods of a node; the ledger's */
    uint32_t namespace_;       /* number of an interned string; the ledger's */
    uint8_t uid[16];
    uint16_t n_grants : 12;
    uint16_t state : 4; /* enum pod_state */
    uint8_t n_slots;
    uint8_t flags; /* enum pod_record_flag */
    char data[];   /* deadline, priority, name, UID text, slot kinds, grants: pod_store.c */
};
_Static_assert(offsetof(struct pod_record, data) == 36, "no byte lost: there are hundreds of thousands");
enum pod_record_flag {
    POD_RECORD_STARTED = 1,
    POD_RECORD_MARK = 2,      /* the sweep's */
    POD_RECORD_TEXT = 4,      /* the UID is kept as text */
    POD_RECORD_WIDE = 8,      /* grants are kept as they are */
    POD_RECORD_TIMED = 16,    /* has a deadline */
    POD_RECORD_SPILLED = 32,  /* data lives on the heap */
    POD_RECORD_PRIORITY = 64, /* has one that is not 0 */
    POD_RECORD_APPS = 128     /* all slots are SLOT_APP, and not kept */
};

struct pod_facts {
    const char *uid, *name;
    const uint8_t *slot_kind;
    uint8_t n_slots;
    uint16_t n_grants;
    const struct card_grant *grants; /* card numbers as the ledger means them */
    bool timed;
    int64_t deadline;
    int32_t priority;
};

struct pod_store *pod_store_new(void);
void pod_store_free(struct pod_store *s);
uint32_t pod_store_count(const struct pod_store *s);

/* 0 when there is none. */
uint32_t pod_store_find(const struct pod_store *s, const char *uid);
/* A new record; the UID must not be known. node, namespace_ and state are the
 * caller's to set. 0 when the UID is empty or too long. */
uint32_t pod_store_insert(struct pod_store *s, const struct pod_facts *f);
void pod_store_remove(struct pod_store *s, uint32_t pod);
struct pod_record *pod_store_at(const struct pod_store *s, uint32_t pod);
/* The next record's handle behind *at (start with 0) in no special order; 0 at the end. */
uint32_t pod_store_next(const struct pod_store *s, uint32_t *at);

const char *pod_record_name(const struct pod_record *p);
const uint8_t *pod_record_slots(const struct pod_record *p);
void pod_record_uid(const struct pod_record *p, char ret[POD_UID_TEXT]);
void pod_record_grants(const struct pod_record *p, struct card_grant *ret); /* n_grants of them */
int32_t pod_record_priority(const struct pod_record *p);
int64_t pod_record_deadline(const struct pod_record *p);
void pod_record_set_deadline(struct pod_record *p, int64_t deadline); /* of a timed one */

#endif
