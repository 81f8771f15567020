/* SPDX-License-Identifier: Apache-2.0
 *
 * One collection of the API server, followed: LIST in pages, then WATCH with
 * bookmarks, for ever.
 *
 * 1. begin, object*, synced, object*, then begin again when the list had to be
 *    taken anew (410): what was not seen between begin and synced is gone.
 *    A begin may be followed by another begin (a list that failed half-way).
 * 2. Versions never go back: lists are consistent reads.
 * 3. A page at a time is in memory, split without building a tree.
 * 4. Nothing is polled; after a failure it waits longer and longer, jittered. Who may list and not watch
 * (403) is given whole lists instead, one after the other.
 * 5. A stream on which not even a bookmark comes is believed dead after a while and opened anew where it was:
 *    a proxy may keep a connection alive whose other end is gone.
 * Callbacks come from the client's context, never from kube_watch_start().
 * kube_watch_free() may be called inside a callback; none follows it.
 * Sources: Kubernetes API concepts, "Efficient detection of changes"; client-go
 * tools/cache Reflector; apiserver storage/cacher (bookmarks every minute).
 */
#ifndef HAMI_KUBE_WATCH_H
#define HAMI_KUBE_WATCH_H

#include "kube/client.h"

#define KUBE_OBJECT_MAX (8u << 20) /* bytes of one object; etcd's own bound is 1.5 MiB, 3 with options */

enum kube_event {
    KUBE_ADDED,
    KUBE_MODIFIED,
    KUBE_DELETED,
};

struct kube_watch_vtable {
    void (*begin)(void *data, uint64_t generation);
    /* One object as the server wrote it: valid JSON of its kind, borrowed
     * during the call, not NUL-terminated. Items of a list are ADDED and lack
     * kind and apiVersion. An object may come twice. */
    void (*object)(void *data, enum kube_event event, const char *json, size_t len);
    void (*synced)(void *data);
    /* Once per streak of failures; may be NULL. */
    void (*error)(void *data, const GError *error);
};

/* Zero = the default beside it. Strings are copied. */
struct kube_watch_options {
    const char *path;           /* "/api/v1/pods" */
    const char *label_selector; /* NULL = all */
    const char *field_selector; /* NULL = all */
    uint32_t page;              /* objects per page; 500. Halved where a page is too large */
    uint32_t watch_min_s;       /* the server ends a watch after 5 min ... */
    uint32_t watch_max_s;       /* ... to 10 min */
    uint32_t backoff_first_ms;  /* 500 */
    uint32_t backoff_cap_ms;    /* 10 s */
    uint32_t silent_ms;         /* without event or bookmark a stream is dead; 150 s */
    uint32_t grace_ms;          /* beyond the time the server was asked to end after; 60 s */
    /* Half of it to all of it between lists where watching is denied again and again; 15 s. */
    uint32_t relist_ms;
};

struct kube_watch_counters {
    uint64_t lists, pages, watches, events, bookmarks, failures, expired, overdue;
    gint64 last_event_us; /* monotonic; events and bookmarks; 0 = never */
    bool synced;          /* the last list is complete */
    bool watching;        /* a stream is open */
};

typedef struct kube_watch KubeWatch;

KubeWatch *kube_watch_new(KubeClient *client, const struct kube_watch_options *options,
                          const struct kube_watch_vtable *vtable, void *data);
void kube_watch_start(KubeWatch *watch);
void kube_watch_free(KubeWatch *watch);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(KubeWatch, kube_watch_free)

struct kube_watch_counters kube_watch_counters(const KubeWatch *watch);

#endif
