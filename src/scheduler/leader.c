/* SPDX-License-Identifier: Apache-2.0
 *
 * Who decides when several instances run.
 *
 * follow (as the reference's --leader-elect): kube-scheduler in the same pod holds
 * a lease; we lead while its holder is "<our host name>_...". The lease is watched;
 * its age is judged by our own clock, from when we saw it change.
 * own: a lease of our own (kube/lease.h).
 *
 * Fencing: before each write leader_is_valid() is asked, which is false once a
 * lease may have been taken over. Whoever takes over has kept its caches warm
 * and serves at once.
 */
#include <string.h>
#include <unistd.h>

#include "scheduler/service.h"

#define KUBE_SCHEDULER_LEASE_MS 15000

struct follow {
    struct scheduler *s;
    KubeWatch *watch;
    char *host;
    bool holds;
    int64_t seen_ms; /* of the last change */
    int64_t duration_ms;
    char renewed[64]; /* renewTime as text: a change counts, not its value */
};

static void set_leading(struct scheduler *s, bool leading, const char *holder)
{
    if (s->leading == leading)
        return;
    s->leading = leading;
    log_line(LOG_INFO, leading ? "leading" : "standing-by", "holder", holder, NULL);
    if (leading)
        scheduler_became_ready(s);
}

/* ---- follow ------------------------------------------------------------ */

static void scan_spec(struct json_scan *scan, struct json_text *holder, struct json_text *renewed,
                      int64_t *duration_s)
{
    struct json_text key;
    if (!json_scan_object(scan))
        return;
    while (json_scan_key(scan, &key)) {
        if (json_text_is(key, "holderIdentity"))
            json_scan_text(scan, holder);
        else if (json_text_is(key, "renewTime"))
            json_scan_text(scan, renewed);
        else if (json_text_is(key, "leaseDurationSeconds"))
            json_scan_int(scan, duration_s);
        else
            json_scan_skip(scan);
    }
}

/* "host_uuid" is ours when all before the first "_" is our host name (a mere
 * prefix would take node10 for node1). */
static bool is_ours(const struct follow *f, const char *holder)
{
    size_t n = strlen(f->host);
    return strncmp(holder, f->host, n) == 0 && (holder[n] == '_' || holder[n] == '\0');
}

static void follow_object(void *data, enum kube_event event, const char *json, size_t len)
{
    struct follow *f = data;
    struct json_scan scan;
    struct json_text key, holder = {"", 0, false}, renewed = {"", 0, false};
    int64_t duration_s = KUBE_SCHEDULER_LEASE_MS / 1000;
    char identity[512] = "", time[64] = "";
    json_scan_init(&scan, json, len);
    if (json_scan_object(&scan))
        while (json_scan_key(&scan, &key)) {
            if (json_text_is(key, "spec"))
                scan_spec(&scan, &holder, &renewed, &duration_s);
            else
                json_scan_skip(&scan);
        }
    json_text_copy(holder, identity, sizeof identity);
    json_text_copy(renewed, time, sizeof time);
    if (strcmp(time, f->renewed) != 0) {
        g_strlcpy(f->renewed, time, sizeof f->renewed);
        f->seen_ms = scheduler_now_ms();
    }
    f->duration_ms = CLAMP(duration_s, 1, 3600) * 1000;
    f->holds = event != KUBE_DELETED && is_ours(f, identity);
    set_leading(f->s, f->holds, event == KUBE_DELETED ? "" : identity);
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

static void follow_start(struct scheduler *s)
{
    static const struct kube_watch_vtable vtable = {begin, follow_object, nothing, follow_failed};
    struct follow *f = g_new0(struct follow, 1);
    g_autofree char *path =
        kube_path("apis", "coordination.k8s.io", "v1", "namespaces", s->o.lease_namespace, "leases", NULL);
    g_autofree char *field = g_strdup_printf("metadata.name=%s", s->o.lease_name);
    f->s = s;
    f->host = g_strdup(s->o.identity && *s->o.identity ? s->o.identity : g_get_host_name());
    f->watch = kube_watch_new(s->client, &(struct kube_watch_options){.path = path, .field_selector = field},
                              &vtable, f);
    s->follow = f;
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
    g_autofree char *uuid = g_uuid_string_random();
    g_autofree char *identity =
        g_strdup_printf("%s_%s", s->o.identity && *s->o.identity ? s->o.identity : g_get_host_name(), uuid);
    struct kube_lease_options options = {.namespace = s->o.lease_namespace,
                                         .name = s->o.lease_name,
                                         .identity = identity,
                                         .duration_ms = s->o.lease_ms,
                                         .renew_deadline_ms = s->o.renew_ms,
                                         .retry_ms = s->o.retry_ms};
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
        return true;
    }
    if (s->o.leader_own)
        return own_start(s, error);
    follow_start(s);
    return true;
}

void leader_stop(struct scheduler *s, void (*done)(void *), void *data)
{
    if (s->follow) {
        kube_watch_free(s->follow->watch);
        g_free(s->follow->host);
        g_clear_pointer(&s->follow, g_free);
    }
    if (s->lease)
        kube_lease_stop(s->lease, done, data);
    else
        done(data);
}

bool leader_is_valid(const struct scheduler *s)
{
    if (!s->o.leader_elect)
        return true;
    if (s->lease)
        return kube_lease_is_valid(s->lease);
    return s->follow && s->follow->holds && scheduler_now_ms() - s->follow->seen_ms < s->follow->duration_ms;
}
