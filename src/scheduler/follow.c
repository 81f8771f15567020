/* SPDX-License-Identifier: Apache-2.0
 *
 * See follow.h. The lease is watched; its age is judged by our own clock, from
 * when we saw it change.
 */
#include "scheduler/follow.h"

#include <string.h>

#include "base/json_members.h"
#include "kube/lease_silence.h"

#define KUBE_SCHEDULER_LEASE_MS 15000
#define ASKED_IN_VAIN_MS 5000
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
    char acquired[64];
    int64_t transitions;
    bool told_too_long, told_asked; /* the latter of this time of standing by */
    guint asked_timer;
};

struct seen_lease {
    struct json_text holder, renewed, acquired;
    int64_t duration_s, transitions;
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
        JSON_MEMBER("acquireTime", read_text, offsetof(struct seen_lease, acquired)),
        JSON_MEMBER("leaseTransitions", read_int, offsetof(struct seen_lease, transitions)),
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

static void tell_too_long(struct follow *f)
{
    if (f->told_too_long || !f->holder[0] || f->s->o.silence_ms < f->duration_ms)
        return;
    f->told_too_long = true;
    g_autofree char *why = g_strdup_printf(
        "--leader-elect-silence=%ums is not shorter than the lease, which ends after %" G_GINT64_FORMAT " ms",
        f->s->o.silence_ms, f->duration_ms);
    log_line(LOG_WARN, "lease-silence", "holder", f->holder, "why", why, NULL);
}

static void take_lease(struct follow *f, const char *json, size_t len, bool deleted)
{
    static const struct json_member members[] = {JSON_MEMBER("spec", read_spec, 0)};
    struct json_scan scan;
    struct seen_lease lease = {.holder = {"", 0, false},
                               .renewed = {"", 0, false},
                               .acquired = {"", 0, false},
                               .duration_s = KUBE_SCHEDULER_LEASE_MS / 1000};
    char time[64] = "";
    json_scan_init(&scan, json, len);
    json_members_read(&scan, members, G_N_ELEMENTS(members), &lease);
    if (deleted || json_text_copy(lease.holder, f->holder, sizeof f->holder) < 0)
        f->holder[0] = '\0';
    if (json_text_copy(lease.acquired, f->acquired, sizeof f->acquired) < 0)
        f->acquired[0] = '\0';
    f->transitions = lease.transitions;
    json_text_copy(lease.renewed, time, sizeof time);
    f->holds = is_ours(f, f->holder);
    if (strcmp(time, f->renewed) != 0) {
        g_strlcpy(f->renewed, time, sizeof f->renewed);
        f->seen_ms = scheduler_now_ms() - (f->silence && f->holds ? age_ms(time) : 0);
    }
    f->duration_ms = CLAMP(lease.duration_s, 1, 3600) * 1000;
    tell_too_long(f);
    if (f->silence)
        kube_silence_seen(f->silence, f->holder, f->acquired, f->renewed);
}

static int64_t valid_ms(const struct follow *f)
{
    int64_t silence_ms = KUBE_SILENCE_VALID_MS(f->s->o.silence_ms);
    return f->silence ? MIN(f->duration_ms, silence_ms) : f->duration_ms;
}

bool follow_is_valid(const struct follow *f)
{
    return f->holds && scheduler_now_ms() - f->seen_ms < valid_ms(f);
}

/* What changes when another takes the lease, though the one before has it again when we see it. */
static char *term_of(const struct follow *f)
{
    return g_strdup_printf("%s %s %" G_GINT64_FORMAT, f->holder, f->acquired, f->transitions);
}

static void follow_object(void *data, enum kube_event event, const char *json, size_t len)
{
    struct follow *f = data;
    struct scheduler *s = f->s;
    g_autofree char *before = term_of(f);
    bool was_valid = follow_is_valid(f), knows_term = f->acquired[0];
    take_lease(f, json, len, event == KUBE_DELETED);
    g_autofree char *now = term_of(f);
    if (s->leading && f->holds && (strcmp(before, now) != 0 || !(was_valid || knows_term))) {
        /* In between, which we did not see (a list came, not all events), another may have led. */
        log_line(LOG_INFO, "leading-again", "holder", f->holder, NULL);
        leader_catch_up(s);
        scheduler_became_ready(s);
    }
    leader_set(s, f->holds, f->holder);
    f->told_asked &= !f->holds;
    if (!was_valid)
        scheduler_goes_on(s);
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

static void renews_seldom(void *data, const char *holder, int64_t pace_ms)
{
    const struct follow *f = data;
    g_autofree char *why =
        g_strdup_printf("the lease is renewed every %" G_GINT64_FORMAT
                        " ms: --leader-elect-silence=%ums has to be five times kube-scheduler's retryPeriod",
                        pace_ms, f->s->o.silence_ms);
    log_line(LOG_WARN, "lease-silence", "holder", holder, "why", why, NULL);
}

static void release_failed(void *data, const GError *error)
{
    (void)data;
    log_line(LOG_WARN, "lease-release", "why", error->message, NULL);
}

static void silence_start(struct follow *f)
{
    static const struct kube_silence_vtable vtable = {lease_released, renews_seldom, release_failed};
    const struct scheduler_options *o = &f->s->o;
    if (o->silence_ms)
        f->silence = kube_silence_new(f->s->client,
                                      &(struct kube_silence_options){.namespace = o->lease_namespace,
                                                                     .name = o->lease_name,
                                                                     .after_ms = o->silence_ms},
                                      &vtable, f);
}

static gboolean on_asked(void *data)
{
    struct follow *f = data;
    const struct scheduler_options *o = &f->s->o;
    f->asked_timer = 0;
    if (f->holds || g_queue_is_empty(&f->s->held))
        return G_SOURCE_REMOVE;
    f->told_asked = true;
    g_autofree char *lease = g_strconcat(o->lease_namespace, "/", o->lease_name, NULL);
    g_autofree char *why =
        g_strdup_printf("a kube-scheduler asks, and its calls wait: this lease is held by %s, not by %s_...; "
                        "it has to be that of kube-scheduler's configuration, and --identity its host's name",
                        f->holder[0] ? f->holder : "nobody", f->host);
    log_line(LOG_WARN, "asked-without-lease", "lease", lease, "why", why, NULL);
    return G_SOURCE_REMOVE;
}

void follow_asked(struct follow *f)
{
    if (!f->holds && !f->told_asked && !f->asked_timer)
        f->asked_timer = g_timeout_add(ASKED_IN_VAIN_MS, on_asked, f);
}

struct follow *follow_start(struct scheduler *s)
{
    static const struct kube_watch_vtable vtable = {begin, follow_object, nothing, follow_failed};
    struct follow *f = g_new0(struct follow, 1);
    g_autofree char *path =
        kube_path("apis", "coordination.k8s.io", "v1", "namespaces", s->o.lease_namespace, "leases", NULL);
    g_autofree char *field = g_strdup_printf("metadata.name=%s", s->o.lease_name);
    uint32_t again_ms = s->o.silence_ms ? s->o.silence_ms / 5 : LEASE_AGAIN_MS;
    f->s = s;
    f->host = g_strdup(s->o.identity && *s->o.identity ? s->o.identity : g_get_host_name());
    f->watch = kube_watch_new(
        s->client, &(struct kube_watch_options){.path = path, .field_selector = field, .relist_ms = again_ms},
        &vtable, f);
    silence_start(f);
    kube_watch_start(f->watch);
    return f;
}

void follow_free(struct follow *f)
{
    g_clear_handle_id(&f->asked_timer, g_source_remove);
    kube_watch_free(f->watch);
    kube_silence_free(f->silence);
    g_free(f->host);
    g_free(f);
}

int64_t follow_between_ms(const struct follow *f)
{
    /* kube-scheduler does not tell when it gives up; by default two thirds of its lease have passed then. Who
     * shortens the lease may shorten its end more. */
    int64_t end_ms = f->duration_ms < KUBE_SCHEDULER_LEASE_MS ? f->duration_ms / 5 : LEADER_BIND_MOST_MS;
    return f->silence ? MIN(end_ms, KUBE_SILENCE_WRITE_MS(f->s->o.silence_ms)) : end_ms;
}
