/* SPDX-License-Identifier: Apache-2.0
 *
 * Bodies of Events. Pure; for src/kube and its tests.
 */
#ifndef HAMI_KUBE_EVENT_BODY_H
#define HAMI_KUBE_EVENT_BODY_H

#include "kube/events.h"

#define KUBE_EVENT_TEXT_MAX 1024 /* bytes; events.k8s.io NoteLengthLimit */

/* Of an Event: owned strings, cut and made valid. */
struct kube_event_text {
    char *api_version, *kind, *namespace, *name, *uid; /* the object */
    char *type, *reason, *message;
};
void kube_event_text_init(struct kube_event_text *t, const struct kube_object_ref *about, const char *type,
                          const char *reason, const char *message);
void kube_event_text_clear(struct kube_event_text *t);

/* Where the Event lies. */
const char *kube_event_namespace(const struct kube_event_text *t);

/* "NAME.16 hex digits", a valid object name. Caller frees. */
char *kube_event_name(const char *object, guint64 unique);

/* Times are wall clock, Unix seconds. Callers free. */
char *kube_event_create_body(const struct kube_event_text *t, const char *name, const char *component,
                             unsigned count, gint64 first_s, gint64 last_s);
char *kube_event_count_body(unsigned count, gint64 last_s, const char *message);

#endif
