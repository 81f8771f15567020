/* SPDX-License-Identifier: Apache-2.0
 *
 * Who decides when several instances run.
 *
 * follow (as the reference's --leader-elect): the lease of kube-scheduler in the
 * same pod (follow.c). own: a lease of our own (kube/lease.h).
 *
 * Fencing: before each write leader_is_valid() is asked, which is false once a
 * lease may have been taken over; a bind is given up before that time has come;
 * and a lease is given back only when no bind is under way.
 *
 * Whoever takes over has kept its caches warm, but the last bindings of the one
 * before may still be on their way through its watch. So it marks its own pod
 * and decides nothing until it sees the mark come back: pods' events come in
 * the order of their writes. Outside a cluster, without a pod, it lists the pods anew.
 */
#include <unistd.h>

#include "kube/patch.h"
#include "model/annotation.h"
#include "scheduler/follow.h"
#include "scheduler/identity.h"
#include "scheduler/service.h"

/* What a killed process had sent may still be with the API server. */
#define REST_MS 1000

static void begin_relist(struct scheduler *s)
{
    s->relisting = true;
    pods_stop(s);
    pods_start(s);
}

static void marked(GObject *source, GAsyncResult *result, gpointer data)
{
    struct scheduler *s = data;
    g_autoptr(GError) error = NULL;
    g_autoptr(GBytes) done = kube_request_finish(result, NULL, &error);
    (void)source;
    if (done || !s->marker)
        return;
    log_line(LOG_WARN, "marker", "why", error->message, NULL);
    g_clear_pointer(&s->marker, g_free);
    begin_relist(s);
}

/* ---- our own pod ---------------------------------------------------------- */

/* The Service of the reference's chart sends admission to pods with the role "leader" (scheduler.md 3.6, 10).
 */
static void patch_own_pod(struct scheduler *s, const char *role, const char *marker, GAsyncReadyCallback done)
{
    struct kube_annotation label = {annotation_role_label, role}, a = {annotation_leading, marker};
    struct kube_target target = {s->o.pod_namespace, s->o.pod_name, NULL, NULL};
    kube_patch_async(s->client, &target, marker ? &a : NULL, &label, done, s);
}

static void role_shown(GObject *source, GAsyncResult *result, gpointer data)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GBytes) done = kube_request_finish(result, NULL, &error);
    (void)source, (void)data;
    if (!done)
        log_line(LOG_WARN, "role-label", "why", error->message, NULL);
}

static bool has_own_pod(const struct scheduler *s)
{
    return s->o.pod_name && s->o.pod_namespace;
}

void leader_catch_up(struct scheduler *s)
{
    bool in_pod = has_own_pod(s);
    if (!s->pod_watch || !s->o.leader_elect) {
        if (in_pod)
            patch_own_pod(s, "leader", NULL, role_shown);
        return;
    }
    if (!in_pod) {
        begin_relist(s);
        return;
    }
    g_free(s->marker);
    s->marker = g_uuid_string_random();
    s->marker_listed = false;
    patch_own_pod(s, "leader", s->marker, marked);
}

void leader_saw_marker(struct scheduler *s, const char *marker)
{
    if (g_strcmp0(s->marker, marker) != 0)
        return;
    g_clear_pointer(&s->marker, g_free);
    scheduler_became_ready(s);
}

void leader_saw_list(struct scheduler *s)
{
    if (!s->relisting)
        return;
    s->relisting = false;
    scheduler_became_ready(s);
}

void leader_set(struct scheduler *s, bool leading, const char *holder)
{
    if (s->leading == leading)
        return;
    s->leading = leading;
    log_line(LOG_INFO, leading ? "leading" : "standing-by", "holder", holder, NULL);
    if (!leading) {
        if (has_own_pod(s))
            patch_own_pod(s, "follower", NULL, role_shown);
        return;
    }
    leader_catch_up(s);
    scheduler_became_ready(s);
}

/* ---- own --------------------------------------------------------------- */

static void started(void *data)
{
    struct scheduler *s = data;
    leader_set(s, true, kube_lease_holder(s->lease));
}

static void stopped(void *data)
{
    struct scheduler *s = data;
    leader_set(s, false, kube_lease_holder(s->lease));
}

static void lease_failed(void *data, const GError *error)
{
    (void)data;
    log_line(LOG_WARN, "lease", "why", error->message, NULL);
}

static bool own_start(struct scheduler *s, GError **error)
{
    static const struct kube_lease_vtable vtable = {started, stopped, NULL, lease_failed};
    const char *host = s->o.identity && *s->o.identity ? s->o.identity : g_get_host_name();
    g_autofree char *identity = identity_of(host, s->o.lease_namespace, s->o.lease_name, &s->identity_socket);
    struct kube_lease_options options = {.namespace = s->o.lease_namespace,
                                         .name = s->o.lease_name,
                                         .identity = identity,
                                         .duration_ms = s->o.lease_ms,
                                         .renew_deadline_ms = s->o.renew_ms,
                                         .retry_ms = s->o.retry_ms,
                                         .rest_ms = REST_MS};
    s->lease = kube_lease_new(s->client, &options, &vtable, s, error);
    if (!s->lease)
        return false;
    kube_lease_start(s->lease);
    return true;
}

/* ------------------------------------------------------------------------ */

bool leader_start(struct scheduler *s, GError **error)
{
    if (!s->o.leader_elect) {
        s->leading = true;
        leader_catch_up(s);
        return true;
    }
    if (s->o.leader_own)
        return own_start(s, error);
    s->follow = follow_start(s);
    return true;
}

static void give_lease_back(struct scheduler *s)
{
    void (*done)(void *) = s->stop_done;
    s->stop_done = NULL;
    if (s->lease)
        kube_lease_stop(s->lease, done, s->stop_data);
    else
        done(s->stop_data);
}

void leader_bind_ended(struct scheduler *s)
{
    if (s->stop_done && s->binds_in_flight == 0)
        give_lease_back(s);
}

void leader_stop(struct scheduler *s, void (*done)(void *), void *data)
{
    g_clear_pointer(&s->follow, follow_free);
    s->stop_done = done;
    s->stop_data = data;
    leader_bind_ended(s);
}

void leader_asked(struct scheduler *s)
{
    if (s->follow)
        follow_asked(s->follow);
}

uint32_t leader_bind_ms(const struct scheduler *s)
{
    if (!s->o.leader_elect)
        return 0;
    int64_t between_ms = s->lease    ? (int64_t)s->o.lease_ms - s->o.renew_ms
                         : s->follow ? follow_between_ms(s->follow)
                                     : LEADER_BIND_MOST_MS;
    return (uint32_t)CLAMP(between_ms, 1, LEADER_BIND_MOST_MS);
}

bool leader_is_valid(const struct scheduler *s)
{
    if (!s->o.leader_elect)
        return true;
    return s->lease ? kube_lease_is_valid(s->lease) : s->follow && follow_is_valid(s->follow);
}
