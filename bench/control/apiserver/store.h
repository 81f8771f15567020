/* SPDX-License-Identifier: Apache-2.0
 *
 * Every object with its history: what an API server keeps in etcd and in its
 * watch cache.
 *
 * Invariants:
 *   1. One revision counter for all kinds; each change takes the next number.
 *   2. A version never changes once made; whoever keeps one holds a reference.
 *   3. The log of a kind has every change after `compacted`, oldest first, with
 *      the state before and after. So the store can be read as it was at any
 *      revision >= compacted, and a watch is a position in the log.
 *   4. Text holds one JSON object without kind and apiVersion. metadata comes
 *      first in it, and in metadata: name, namespace, uid, resourceVersion.
 *   5. A generated object has no text until its first change; it is rendered
 *      whenever it is read.
 * One thread. Keys are "NAME" or "NAMESPACE/NAME".
 */
#ifndef HAMI_FAKE_STORE_H
#define HAMI_FAKE_STORE_H

#include <glib.h>
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "resource.h"

struct version {
    unsigned refs;
    uint32_t generated; /* 1 + its number in the generator; 0: text holds it */
    uint64_t rv;
    size_t size;
    char text[];
};

enum change { CHANGE_ADDED, CHANGE_MODIFIED, CHANGE_DELETED };

struct change_event {
    uint64_t rv;
    enum change what;
    char *key;                 /* GRefString */
    struct version *now, *was; /* now of a deletion: the last state under the deletion's revision */
};

typedef struct store Store;

/* Writes the text of generated object `number` (0, 1, ...) of a kind, with this revision, to out. */
typedef void (*StoreRender)(void *user, enum resource kind, uint32_t number, uint64_t rv, GString *out);
/* Called after every change. */
typedef void (*StoreChanged)(void *user, enum resource kind);
/* Called for each object of a snapshot; true when it counts against the limit. */
typedef bool (*StoreVisit)(void *user, const char *key, const struct version *version);

/* history: how many changes of a kind stay readable. */
Store *store_new(size_t history);
void store_free(Store *store);
void store_set_render(Store *store, StoreRender render, void *user);
void store_set_changed(Store *store, StoreChanged changed, void *user);

uint64_t store_revision(const Store *store);
uint64_t store_compacted(const Store *store, enum resource kind);
size_t store_count(const Store *store, enum resource kind);

/* NULL when there is none. Borrowed until the next change. */
const struct version *store_get(const Store *store, enum resource kind, const char *key);
void version_append(const Store *store, enum resource kind, const struct version *version, GString *out);
/* A new reference for the caller. */
json_t *version_parse(const Store *store, enum resource kind, const struct version *version);

/* Writes object (changed: metadata is put in order and gets the new revision) under key.
 * Says what was stored; the same content as before is no change and gets no revision. */
const struct version *store_put(Store *store, enum resource kind, const char *key, json_t *object);
void store_put_generated(Store *store, enum resource kind, const char *key, uint32_t number);
/* The last state under the deletion's revision; NULL when there was none. */
const struct version *store_remove(Store *store, enum resource kind, const char *key);

/* Visits what existed at revision rv with keys below prefix ("" for all) and after `after` (NULL: from the
 * start), in key order, until `limit` counted (0: no limit). False when rv is compacted away. ret_more says
 * whether something may follow. */
bool store_snapshot(Store *store, enum resource kind, const char *prefix, const char *after, uint64_t rv,
                    size_t limit, StoreVisit visit, void *user, bool *ret_more);

/* Position of the first change after rv, in [first, next]; false when that is compacted away. */
bool store_position(const Store *store, enum resource kind, uint64_t rv, uint64_t *ret_position);
/* NULL at the end of the log; *ret_lost when the position was compacted away. */
const struct change_event *store_event(const Store *store, enum resource kind, uint64_t position,
                                       bool *ret_lost);

/* Forgets the history of every kind: older revisions are gone. */
void store_compact(Store *store);
/* As compact, and lets the revision counter go on at rv (which may be lower: a restored backup). */
void store_rebase(Store *store, uint64_t rv);

#endif
