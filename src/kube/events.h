/* SPDX-License-Identifier: Apache-2.0
 *
 * Events on objects (core v1, as the reference writes them: source.component),
 * for people who describe a pod.
 *
 * 1. Emitting never waits and never fails: what has no room is counted.
 * 2. The same event within ten minutes is one Event whose count grows.
 * 3. One object cannot crowd out the others: a bucket of 25, one more in five
 *    minutes, each (client-go tools/record). Nor can a namespace, however many
 *    objects it makes: a bucket of 500, 20 more a second.
 */
#ifndef HAMI_KUBE_EVENTS_H
#define HAMI_KUBE_EVENTS_H

#include "kube/client.h"

typedef struct kube_events KubeEvents;

/* Zero = the default beside it. */
struct kube_events_options {
    const char *component;                     /* source.component, e.g. the scheduler's name */
    uint32_t queue_max;                        /* events waiting; 1024 */
    uint32_t in_flight_max;                    /* requests at once; 4 */
    uint32_t burst;                            /* per object; 25 */
    uint32_t refill_s;                         /* per object, seconds for one more; 300 */
    uint32_t namespace_burst, namespace_per_s; /* per namespace; 500, 20 */
    uint32_t window_s;                         /* in which equal ones are counted together; 600 */
    gint64 (*now_us)(void);                    /* monotonic, for tests; NULL = the clock */
};

/* What the event is about. Borrowed during the call. */
struct kube_object_ref {
    const char *api_version, *kind;
    const char *namespace; /* NULL: cluster-wide, the event lies in "default" */
    const char *name, *uid;
};

struct kube_events_counters {
    uint64_t emitted, created, counted_up, dropped_full, dropped_rate, failed;
    uint32_t queued;
};

KubeEvents *kube_events_new(KubeClient *client, const struct kube_events_options *options);
/* What waits is dropped; see kube_events_flush_async(). */
void kube_events_free(KubeEvents *events);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(KubeEvents, kube_events_free)

/* type "Normal" or "Warning"; reason CamelCase; the message is cut at 1024 bytes. */
void kube_events_emit(KubeEvents *events, const struct kube_object_ref *about, const char *type,
                      const char *reason, const char *message);

struct kube_events_counters kube_events_counters(const KubeEvents *events);

/* Calls back when nothing waits or is under way any more. One at a time. */
void kube_events_flush_async(KubeEvents *events, void (*done)(void *data), void *data);

#endif
