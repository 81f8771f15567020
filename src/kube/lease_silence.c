/* SPDX-License-Identifier: Apache-2.0
 *
 * See lease_silence.h. One timer, and one request under way at most. The timer
 * is not set anew for each renewal: when it fires it looks how old the last is.
 */
#include "kube/lease_silence.h"

#include <string.h>

#include "kube/client_private.h"
#include "kube/lease_record.h"

#define LOOKS 2
#define MISSING 3                    /* renewals */
#define PACE_US (2 * G_USEC_PER_SEC) /* kube-scheduler's retryPeriod, where nothing else is set */
#define GAPS 5                       /* of which the shortest is a pace to complain of */

enum under_way { NOTHING, LOOK, RELEASE };

struct kube_silence {
    unsigned references; /* the owner's, and one of the request under way */
    bool freed;
    KubeClient *client;
    char *namespace, *name, *path;
    gint64 after_us;
    struct kube_silence_vtable vtable;
    void *data;

    GCancellable *cancellable;
    GSource *timer;
    /* holder and renewed of it; of a release that is under way too, whose own event may come before its
     * answer */
    struct kube_lease_record seen, dead;
    gint64 seen_us, dead_us, asked_us;
    char paced[256]; /* the holder whose pace follows */
    gint64 pace_us;  /* the shortest time between two renewals; 0 = none seen */
    unsigned gaps;
    unsigned looks; /* in a row that found it as it was seen */
    enum under_way under_way;
    bool told; /* of this streak of failures */
};

static void consider(KubeSilence *s);
static void answered(GObject *source, GAsyncResult *result, void *data);

static gboolean on_timer(void *data)
{
    KubeSilence *s = data;
    g_clear_pointer(&s->timer, g_source_unref);
    consider(s);
    return G_SOURCE_REMOVE;
}

static void again_in(KubeSilence *s, gint64 wait_us)
{
    if (!s->timer && s->under_way == NOTHING)
        s->timer = kube_client_timer(s->client, MAX(wait_us, 0), on_timer, s);
}

/* From the first look on, a quarter of the time remains until the last. */
static gint64 between_us(const KubeSilence *s)
{
    return s->after_us / 4;
}

/* As long as that it has to be silent. */
static gint64 due_us(const KubeSilence *s)
{
    return MAX(s->after_us, MISSING * (s->pace_us ? s->pace_us : PACE_US));
}

static void failed(KubeSilence *s, const GError *error)
{
    s->looks = 0;
    if (!s->told)
        s->vtable.error(s->data, error);
    s->told = true;
}

static void unref(KubeSilence *s)
{
    if (--s->references)
        return;
    kube_client_unref(s->client);
    g_object_unref(s->cancellable);
    g_free(s->namespace);
    g_free(s->name);
    g_free(s->path);
    g_free(s);
}

static void ask(KubeSilence *s, enum under_way what, const char *body)
{
    s->under_way = what;
    s->asked_us = g_get_monotonic_time();
    s->references++;
    kube_request_async(s->client,
                       &(struct kube_request){.method = what == LOOK ? "GET" : "PUT",
                                              .path = s->path,
                                              .body = body,
                                              .body_len = body ? strlen(body) : 0,
                                              .timeout_ms = (uint32_t)(between_us(s) / 1000),
                                              .once = true,
                                              .unlimited = true},
                       s->cancellable, answered, s);
}

static void released(KubeSilence *s, GBytes *answer, const GError *error)
{
    s->looks = 0;
    if (answer) {
        s->told = false;
        s->vtable.released(s->data, s->dead.holder, (s->asked_us - s->dead_us) / 1000);
    } else if (!g_error_matches(error, KUBE_ERROR, KUBE_ERROR_CONFLICT)) { /* a conflict: it was renewed */
        failed(s, error);
    }
    again_in(s, between_us(s));
}

static void looked(KubeSilence *s, GBytes *answer, const GError *error)
{
    g_autoptr(GError) why = NULL;
    struct kube_lease_record found;
    json_t *object = kube_lease_read_body(answer, &found, &why);
    if (!object) {
        failed(s, error ? error : why);
        again_in(s, between_us(s));
        return;
    }
    /* A renewal that came meanwhile begins all anew, though this look may have found it. */
    bool same = s->asked_us > s->seen_us && strcmp(found.holder, s->seen.holder) == 0 &&
                strcmp(found.renewed, s->seen.renewed) == 0;
    s->looks = same ? s->looks + 1 : 0;
    if (s->looks < LOOKS) {
        again_in(s, between_us(s));
    } else {
        g_autofree char *body =
            kube_lease_write(object, KUBE_LEASE_RELEASE, s->namespace, s->name, "", 1, g_get_real_time());
        s->dead = s->seen;
        s->dead_us = s->seen_us;
        ask(s, RELEASE, body);
    }
    json_decref(object);
}

static void answered(GObject *source, GAsyncResult *result, void *data)
{
    KubeSilence *s = data;
    g_autoptr(GError) error = NULL;
    g_autoptr(GBytes) answer = kube_request_finish(result, NULL, &error);
    enum under_way what = s->under_way;
    (void)source;
    s->under_way = NOTHING;
    if (!s->freed && what == LOOK)
        looked(s, answer, error);
    else if (!s->freed)
        released(s, answer, error);
    unref(s);
}

static void consider(KubeSilence *s)
{
    gint64 silent_us = g_get_monotonic_time() - s->seen_us;
    if (!s->seen.holder[0] || s->under_way != NOTHING)
        return;
    gint64 left_us = due_us(s) - (s->looks ? 0 : between_us(s)) - silent_us;
    if (left_us > 0)
        again_in(s, MIN(left_us, s->after_us)); /* a pace that is learnt meanwhile may shorten it */
    else
        ask(s, LOOK, NULL);
}

KubeSilence *kube_silence_new(KubeClient *client, const struct kube_silence_options *o,
                              const struct kube_silence_vtable *vtable, void *data)
{
    KubeSilence *s = g_new0(KubeSilence, 1);
    s->references = 1;
    s->client = kube_client_ref(client);
    s->namespace = g_strdup(o->namespace);
    s->name = g_strdup(o->name);
    s->path =
        kube_path("apis", "coordination.k8s.io", "v1", "namespaces", o->namespace, "leases", o->name, NULL);
    s->after_us = (gint64)o->after_ms * 1000;
    s->vtable = *vtable;
    s->data = data;
    s->cancellable = g_cancellable_new();
    return s;
}

/* By the holder's own clock, so that events which come late and together mislead nobody; 0 where one is no
 * time. */
static gint64 gap_us(const char *before, const char *now)
{
    g_autoptr(GDateTime) a = g_date_time_new_from_iso8601(before, NULL);
    g_autoptr(GDateTime) b = g_date_time_new_from_iso8601(now, NULL);
    return a && b ? g_date_time_difference(b, a) : 0;
}

static void learn_pace(KubeSilence *s, const char *holder, const char *acquired, const char *renewed)
{
    if (strcmp(holder, s->paced) != 0) {
        g_strlcpy(s->paced, holder, sizeof s->paced);
        s->pace_us = s->gaps = 0;
    }
    /* Who has just acquired it renews it at once. */
    bool follows = strcmp(holder, s->seen.holder) == 0 && strcmp(acquired, s->seen.renewed) != 0;
    gint64 gap = follows ? gap_us(s->seen.renewed, renewed) : 0;
    if (gap <= 0)
        return;
    s->pace_us = s->pace_us ? MIN(s->pace_us, gap) : gap;
    if (++s->gaps == GAPS && due_us(s) > s->after_us)
        s->vtable.seldom(s->data, holder, s->pace_us / 1000);
}

void kube_silence_seen(KubeSilence *s, const char *holder, const char *acquired, const char *renewed)
{
    if (strcmp(holder, s->seen.holder) == 0 && strcmp(renewed, s->seen.renewed) == 0)
        return;
    if (holder[0])
        learn_pace(s, holder, acquired, renewed);
    g_strlcpy(s->seen.holder, holder, sizeof s->seen.holder);
    g_strlcpy(s->seen.renewed, renewed, sizeof s->seen.renewed);
    s->seen_us = g_get_monotonic_time();
    s->told = false;
    s->looks = 0;
    consider(s);
}

void kube_silence_free(KubeSilence *s)
{
    if (!s)
        return;
    s->freed = true;
    if (s->timer)
        g_source_destroy(s->timer);
    g_clear_pointer(&s->timer, g_source_unref);
    g_cancellable_cancel(s->cancellable);
    unref(s);
}
