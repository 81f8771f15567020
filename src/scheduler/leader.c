/* SPDX-License-Identifier: Apache-2.0
 *
 * Who decides when several instances run.
 *
 * follow (as the reference's --leader-elect): kube-scheduler in the same pod holds
 * a lease; we lead while its holder is "<our host name>_...". The lease is watched;
 * its age is judged by our own clock, from when we saw it change. With
 * silence_ms it is given back for a holder that is dead (kube/lease_silence.h),
 * and bears whoever leads only as long as that allows.
 * own: a lease of our own (kube/lease.h).
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
#include <string.h>
#include <unistd.h>

#include "base/json_members.h"
#include "kube/lease_silence.h"
#include "kube/patch.h"
#include "model/annotation.h"
#include "scheduler/identity.h"
#include "scheduler/service.h"

#define KUBE_SCHEDULER_LEASE_MS 15000
#define BIND_MOST_MS 5000
/* What a killed process had sent may still be with the API server. */
#define REST_MS 1000
#define LEASE_AGAIN_MS 3000 /* without the right to watch it; it is renewed every 2 seconds */

struct follow {
    struct scheduler *s;
    KubeWatch *watch;
    KubeSilence *silence; /* NULL: only its end ends a lease */
    char *host;
    bool holds;
    int64_t seen_ms; /* of the last change */
    int64_t duration_ms;
    char renewed[64]; /* renewTime as text: a change counts, not its value */
    char holder[512];
};

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

/* From now on nothing is decided until all that was written before is seen. */
static void catch_up(struct scheduler *s)
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

static void set_leading(struct scheduler *s, bool leading, const char *holder)
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
    catch_up(s);
    scheduler_became_ready(s);
}

/* ---- follow ------------------------------------------------------------ */

struct seen_lease {
    struct json_text holder, renewed;
    int64_t duration_s;
};

static void read_text(struct json_scan *scan, void *data, size_t at)
{
    json_scan_text(scan, (struct json_text *)(void *)((char *)data + at));
}

static void read_int(struct json_scan *scan, void *data, size_t at)
{
    json_scan_int(scan, (int64_t *)(void *)((char *)data + at));
}

static void read_spec(struct json_scan *scan, void *data, size_t at)
{
    static const struct json_member members[] = {
        JSON_MEMBER("holderIdentity", read_text, offsetof(struct seen_lease, holder)),
        JSON_MEMBER("renewTime", read_text, offsetof(struct seen_lease, renewed)),
        JSON_MEMBER("leaseDurationSeconds", read_int, offsetof(struct seen_lease, duration_s)),
    };
    (void)at;
    json_members_read(scan, members, G_N_ELEMENTS(members), data);
}

/* "host_uuid" is ours when all before the first "_" is our host name (a mere
 * prefix would take node10 for node1). */
static bool is_ours(const struct follow *f, const char *holder)
{
    size_t n = strlen(f->host);
    return strncmp(holder, f->host, n) == 0 && (holder[n] == '_' || holder[n] == '\0');
}

/* How long ago that was; what is not a time of the past is now. Of our own host only: its clock wrote it. */
static int64_t age_ms(const char *renewed)
{
    g_autoptr(GDateTime) time = g_date_time_new_from_iso8601(renewed, NULL);
    return time ? MAX(0, (g_get_real_time() - g_date_time_to_unix(time) * G_USEC_PER_SEC -
                          g_date_time_get_microsecond(time)) /
                             1000)
                : 0;
}

static void take_lease(struct follow *f, const char *json, size_t len, bool deleted)
{
    static const struct json_member members[] = {JSON_MEMBER("spec", read_spec, 0)};
    struct json_scan scan;
    struct seen_lease lease = {
        .holder = {"", 0, false}, .renewed = {"", 0, false}, .duration_s = KUBE_SCHEDULER_LEASE_MS / 1000};
    char time[64] = "";
    json_scan_init(&scan, json, len);
    json_members_read(&scan, members, G_N_ELEMENTS(members), &lease);
    if (deleted || json_text_copy(lease.holder, f->holder, sizeof f->holder) < 0)
        f->holder[0] = '\0';
    json_text_copy(lease.renewed, time, sizeof time);
    f->holds = is_ours(f, f->holder);
    if (strcmp(time, f->renewed) != 0) {
        g_strlcpy(f->renewed, time, sizeof f->renewed);
        f->seen_ms = scheduler_now_ms() - (f->silence && f->holds ? age_ms(time) : 0);
    }
    f->duration_ms = CLAMP(lease.duration_s, 1, 3600) * 1000;
    if (f->silence)
        kube_silence_seen(f->silence, f->holder, f->renewed);
}

static int64_t valid_ms(const struct follow *f)
{
    int64_t silence_ms = KUBE_SILENCE_VALID_MS(f->s->o.silence_ms);
    return f->silence ? MIN(f->duration_ms, silence_ms) : f->duration_ms;
}

static void follow_object(void *data, enum kube_event event, const char *json, size_t len)
{
    struct follow *f = data;
    struct scheduler *s = f->s;
    g_autofree char *before = g_strdup(leader_is_valid(s) ? f->holder : "");
    take_lease(f, json, len, event == KUBE_DELETED);
    if (s->leading && leader_is_valid(s) && strcmp(before, f->holder) != 0) {
        /* In between, which we did not see (a list came, not all events), another may have led. */
        log_line(LOG_INFO, "leading-again", "holder", f->holder, NULL);
        catch_up(s);
        scheduler_became_ready(s);
    }
    set_leading(s, f->holds, f->holder);
}

static void follow_failed(void *data, const GError *error)
{
    (void)data;
    log_line(LOG_WARN, "watch-lease", "why", error->message, NULL);
}

static void nothing(void *data)
{
    (void)data;
}

static void begin(void *data, uint64_t generation)
{
    (void)data, (void)generation;
}

static void lease_released(void *data, const char *holder, int64_t silent_ms)
{
    g_autofree char *silent = g_strdup_printf("%" G_GINT64_FORMAT, silent_ms);
    (void)data;
    log_line(LOG_WARN, "lease-released", "holder", holder, "silent_ms", silent, NULL);
}

static void release_failed(void *data, const GError *error)
{
    (void)data;
    log_line(LOG_WARN, "lease-release", "why", error->message, NULL);
}

static void silence_start(struct follow *f)
{
    static const struct kube_silence_vtable vtable = {lease_released, release_failed};
    const struct scheduler_options *o = &f->s->o;
    if (o->silence_ms)
        f->silence = kube_silence_new(f->s->client,
                                      &(struct kube_silence_options){.namespace = o->lease_namespace,
                                                                     .name = o->lease_name,
                                                                     .after_ms = o->silence_ms},
                                      &vtable, f);
}

static void follow_start(struct scheduler *s)
{
    static const struct kube_watch_vtable vtable = {begin, follow_object, nothing, follow_failed};
    struct follow *f = g_new0(struct follow, 1);
    g_autofree char *path =
        kube_path("apis", "coordination.k8s.io", "v1", "namespaces", s->o.lease_namespace, "leases", NULL);
    g_autofree char *field = g_strdup_printf("metadata.name=%s", s->o.lease_name);
    f->s = s;
    f->host = g_strdup(s->o.identity && *s->o.identity ? s->o.identity : g_get_host_name());
    f->watch = kube_watch_new(
        s->client,
        &(struct kube_watch_options){.path = path, .field_selector = field, .relist_ms = LEASE_AGAIN_MS},
        &vtable, f);
    s->follow = f;
    silence_start(f);
    kube_watch_start(f->watch);
}

/* ---- own --------------------------------------------------------------- */

static void started(void *data)
{
    struct scheduler *s = data;
    set_leading(s, true, kube_lease_holder(s->lease));
}

static void stopped(void *data)
{
    struct scheduler *s = data;
    set_leading(s, false, kube_lease_holder(s->lease));
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
        catch_up(s);
        return true;
    }
    if (s->o.leader_own)
        return own_start(s, error);
    follow_start(s);
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
    if (s->follow) {
        kube_watch_free(s->follow->watch);
        kube_silence_free(s->follow->silence);
        g_free(s->follow->host);
        g_clear_pointer(&s->follow, g_free);
    }
    s->stop_done = done;
    s->stop_data = data;
    leader_bind_ended(s);
}

uint32_t leader_bind_ms(const struct scheduler *s)
{
    if (!s->o.leader_elect)
        return 0;
    /* kube-scheduler does not tell when it gives up; by default two thirds of its lease have passed then. */
    int64_t between_ms = BIND_MOST_MS;
    if (s->lease)
        between_ms = (int64_t)s->o.lease_ms - s->o.renew_ms;
    else if (s->follow && s->follow->silence)
        between_ms = KUBE_SILENCE_WRITE_MS(s->o.silence_ms);
    else if (s->follow && s->follow->duration_ms < KUBE_SCHEDULER_LEASE_MS)
        between_ms = s->follow->duration_ms / 5; /* who shortens the lease may shorten its end more */
    return (uint32_t)CLAMP(between_ms, 1, BIND_MOST_MS);
}

bool leader_is_valid(const struct scheduler *s)
{
    if (!s->o.leader_elect)
        return true;
    if (s->lease)
        return kube_lease_is_valid(s->lease);
    return s->follow && s->follow->holds && scheduler_now_ms() - s->follow->seen_ms < valid_ms(s->follow);
}
