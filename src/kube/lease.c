/* SPDX-License-Identifier: Apache-2.0
 *
 * See lease.h. One request is under way at most, so the object that the next
 * write goes out from is always the newest we know. Whatever decides (a timer,
 * an event, an answer) ends in consider().
 */
#include "kube/lease_private.h"

#include <string.h>
#include <time.h>

#include "kube/client_private.h"

/* Goes on while the machine is suspended, as the others' clocks do. */
static gint64 clock_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_BOOTTIME, &t);
    return (gint64)t.tv_sec * G_USEC_PER_SEC + t.tv_nsec / 1000;
}

static void consider(KubeLease *l);

void kube_lease_drop_source(GSource **source)
{
    if (*source)
        g_source_destroy(*source);
    g_clear_pointer(source, g_source_unref);
}

void kube_lease_unref(KubeLease *l)
{
    if (--l->references)
        return;
    kube_lease_term_clear(&l->term);
    kube_client_unref(l->client);
    g_object_unref(l->cancellable);
    g_free(l->namespace);
    g_free(l->name);
    g_free(l->identity);
    g_free(l->path);
    g_free(l->collection);
    g_free(l);
}

static gboolean on_timer(void *data)
{
    KubeLease *l = data;
    kube_lease_drop_source(&l->timer);
    l->references++;
    consider(l);
    kube_lease_unref(l);
    return G_SOURCE_REMOVE;
}

static void again_in(KubeLease *l, gint64 wait_us)
{
    kube_lease_drop_source(&l->timer);
    l->timer = kube_client_timer(l->client, wait_us, on_timer, l);
}

/* client-go's JitterFactor 1.2, so that candidates do not meet. */
static gint64 jittered_us(KubeLease *l)
{
    kube_jitter jitter = l->client->options.jitter ? l->client->options.jitter : kube_jitter_random;
    uint32_t more_ms = jitter(l->retry_ms / 5 * 6 + 1, l->client->options.jitter_data);
    return ((gint64)l->retry_ms + more_ms) * 1000;
}

bool kube_lease_is_mine(const KubeLease *l)
{
    return kube_lease_term_is_of(&l->term, l->identity);
}

static gint64 free_from_us(KubeLease *l)
{
    return kube_lease_term_free_from_us(&l->term, (gint64)l->duration_ms * 1000);
}

void kube_lease_lose(KubeLease *l)
{
    kube_lease_drop_source(&l->fence);
    if (!l->leading)
        return;
    l->leading = false;
    l->counters.lost++;
    l->vtable.stopped(l->data);
}

static gboolean on_fence(void *data)
{
    KubeLease *l = data;
    kube_lease_drop_source(&l->fence);
    l->references++;
    kube_lease_lose(l);
    if (!l->freed && l->flight == NOTHING)
        again_in(l, jittered_us(l));
    kube_lease_unref(l);
    return G_SOURCE_REMOVE;
}

/* A renewal that began at begin_us is with the server. */
static void renewed(KubeLease *l, gint64 begin_us)
{
    l->valid_until_us = begin_us + (gint64)l->renew_deadline_ms * 1000;
    kube_lease_drop_source(&l->fence);
    l->fence = kube_client_timer(l->client, l->valid_until_us - clock_us(), on_fence, l);
    l->counters.renewals++;
    if (!l->leading) {
        l->leading = true;
        l->counters.acquired++;
        l->vtable.started(l->data);
    }
}

void kube_lease_observe(KubeLease *l, json_t *object, const struct kube_lease_record *record)
{
    bool other = kube_lease_term_observe(&l->term, object, record, clock_us());
    if (other && !kube_lease_is_mine(l) && l->vtable.holder)
        l->vtable.holder(l->data, l->term.record.holder);
}

static void observe_none(KubeLease *l)
{
    kube_lease_term_observe_none(&l->term, l->identity, (gint64)l->duration_ms * 1000);
}

static void failed(KubeLease *l, const GError *error)
{
    l->counters.failures++;
    if (l->told || !l->vtable.error)
        return;
    l->told = true;
    l->vtable.error(l->data, error);
}

bool kube_lease_is_race(const GError *error)
{
    return g_error_matches(error, KUBE_ERROR, KUBE_ERROR_CONFLICT) ||
           g_error_matches(error, KUBE_ERROR, KUBE_ERROR_ALREADY_EXISTS) ||
           g_error_matches(error, KUBE_ERROR, KUBE_ERROR_NOT_FOUND);
}

/* The answer of a write; the caller holds a reference. */
static void written(KubeLease *l, GBytes *body, const GError *error)
{
    g_autoptr(GError) why = NULL;
    struct kube_lease_record record;
    json_t *object = kube_lease_read_body(body, &record, &why);
    if (object) {
        l->told = false;
        kube_lease_observe(l, object, &record);
        if (!l->freed)
            renewed(l, l->flight_us);
        if (!l->freed && !l->stopping)
            again_in(l, (gint64)l->retry_ms * 1000);
        return;
    }
    if (kube_lease_is_race(error)) {
        kube_lease_look(l);
        return;
    }
    failed(l, body ? why : error);
    if (!l->freed)
        again_in(l, l->leading ? (gint64)l->retry_ms * 1000 : jittered_us(l));
}

/* The answer of a look; the caller holds a reference. */
static void seen(KubeLease *l, GBytes *body, const GError *error)
{
    g_autoptr(GError) why = NULL;
    struct kube_lease_record record;
    json_t *object = kube_lease_read_body(body, &record, &why);
    bool none = g_error_matches(error, KUBE_ERROR, KUBE_ERROR_NOT_FOUND);
    bool first = !l->term.looked;
    if (!object && !none) {
        failed(l, body ? why : error);
        if (!l->freed)
            again_in(l, jittered_us(l));
        return;
    }
    l->told = false;
    if (object)
        kube_lease_observe(l, object, &record);
    else
        observe_none(l);
    if (l->freed)
        return;
    if (l->leading && object && !kube_lease_is_mine(l))
        kube_lease_lose(l);
    if (l->freed)
        return;
    /* A look after a lost race does not lead to the next race at once. */
    if (first || l->leading || (l->term.record.holder[0] && !kube_lease_is_mine(l)))
        consider(l);
    else
        again_in(l, jittered_us(l));
}

static void on_answer(GObject *source, GAsyncResult *result, void *data)
{
    KubeLease *l = data;
    g_autoptr(GError) error = NULL;
    (void)source;
    g_autoptr(GBytes) body = kube_request_finish(result, NULL, &error);
    enum flight flight = l->flight;
    l->flight = NOTHING;
    if (l->freed) {
        kube_lease_unref(l);
        return;
    }
    if (l->stopping)
        kube_lease_stop_answer(l, flight, body, error);
    else if (flight == WRITING)
        written(l, body, error);
    else
        seen(l, body, error);
    if (l->missed && !l->freed && !l->stopping && l->flight == NOTHING) {
        l->missed = false;
        kube_lease_look(l);
    }
    kube_lease_unref(l);
}

static void send_request(KubeLease *l, enum flight flight, const char *method, const char *path,
                         const char *body)
{
    /* Half the deadline: one request that hangs leaves time for another. */
    uint32_t timeout_ms = flight == RELEASING ? KUBE_LEASE_STOP_MS / 2 : MAX(l->renew_deadline_ms / 2, 1u);
    l->flight = flight;
    l->flight_us = clock_us();
    l->references++;
    kube_lease_drop_source(&l->timer);
    kube_request_async(l->client,
                       &(struct kube_request){.method = method,
                                              .path = path,
                                              .body = body,
                                              .body_len = body ? strlen(body) : 0,
                                              .timeout_ms = timeout_ms,
                                              .once = true,
                                              .unlimited = true},
                       l->cancellable, on_answer, l);
}

void kube_lease_look(KubeLease *l)
{
    l->asked_us = clock_us();
    send_request(l, LOOKING, "GET", l->path, NULL);
}

void kube_lease_send(KubeLease *l, enum kube_lease_write what)
{
    g_autofree char *body = kube_lease_write(l->term.object, what, l->namespace, l->name, l->identity,
                                             l->duration_ms / 1000, g_get_real_time());
    send_request(l, what == KUBE_LEASE_RELEASE ? RELEASING : WRITING, l->term.object ? "PUT" : "POST",
                 l->term.object ? l->path : l->collection, body);
}

/* How long what a run before this one left to us rests still. */
static gint64 rest_us(const KubeLease *l, gint64 now_us)
{
    if (!l->rest_ms || l->counters.acquired || !l->term.object || !kube_lease_is_mine(l))
        return 0;
    return l->term.observed_us + (gint64)l->rest_ms * 1000 - now_us;
}

/* What is to be done now. */
static void consider(KubeLease *l)
{
    gint64 now_us = clock_us();
    if (l->freed || l->stopping || l->flight != NOTHING)
        return;
    if (!l->term.looked) {
        kube_lease_look(l);
    } else if (rest_us(l, now_us) > 0) {
        again_in(l, rest_us(l, now_us));
    } else if (l->term.object && kube_lease_is_mine(l)) {
        kube_lease_send(l, KUBE_LEASE_RENEW); /* also what is left of a run before this one */
    } else if (l->leading || now_us >= free_from_us(l)) {
        kube_lease_send(l, KUBE_LEASE_TAKE);
    } else {
        gint64 wait_us = free_from_us(l) - now_us;
        if (!kube_watch_counters(l->watch).watching)
            wait_us = MIN(wait_us, l->asked_us + (gint64)l->retry_ms * 1000 - now_us);
        if (wait_us > 0)
            again_in(l, wait_us);
        else
            kube_lease_look(l);
    }
}

static void on_begin(void *data, uint64_t generation)
{
    (void)data, (void)generation;
}

static void on_object(void *data, enum kube_event event, const char *json, size_t len)
{
    KubeLease *l = data;
    struct kube_lease_record record;
    json_t *object = kube_lease_read(json, len, &record, NULL);
    if (!object)
        return;
    l->references++;
    if (l->leading || l->flight != NOTHING || l->stopping) {
        /* Events may lag behind our own writes: they make us look, at most. */
        bool mine = event != KUBE_DELETED && strcmp(record.holder, l->identity) == 0;
        json_decref(object);
        if (!mine && l->flight != NOTHING)
            l->missed = true;
        else if (!mine && !l->stopping)
            kube_lease_look(l);
    } else {
        if (event == KUBE_DELETED)
            json_decref(object);
        else
            kube_lease_observe(l, object, &record);
        if (event == KUBE_DELETED)
            observe_none(l);
        consider(l);
    }
    kube_lease_unref(l);
}

static void on_synced(void *data)
{
    (void)data;
}

/* Without its watch a candidate looks now and then: slower, not wrong. */
static void on_watch_error(void *data, const GError *error)
{
    KubeLease *l = data;
    if (l->vtable.error)
        l->vtable.error(l->data, error);
}

static const struct kube_watch_vtable watch_vtable = {on_begin, on_object, on_synced, on_watch_error};

KubeLease *kube_lease_new(KubeClient *client, const struct kube_lease_options *o,
                          const struct kube_lease_vtable *vtable, void *data, GError **error)
{
    uint32_t duration_ms = o->duration_ms ? o->duration_ms : 15000;
    uint32_t deadline_ms = o->renew_deadline_ms ? o->renew_deadline_ms : 10000;
    uint32_t retry_ms = o->retry_ms ? o->retry_ms : 2000;
    if (!o->namespace || !o->name || !o->identity || !o->identity[0] || strlen(o->identity) > 255 ||
        duration_ms % 1000 || deadline_ms >= duration_ms || (uint64_t)retry_ms * 12 / 10 >= deadline_ms) {
        g_set_error(
            error, KUBE_ERROR, KUBE_ERROR_INVALID,
            "lease %s/%s of \"%s\": duration %u ms must be whole seconds and above the renew deadline %u "
            "ms, and that above 1.2 times the retry period %u ms",
            o->namespace ? o->namespace : "", o->name ? o->name : "", o->identity ? o->identity : "",
            duration_ms, deadline_ms, retry_ms);
        return NULL;
    }
    KubeLease *l = g_new0(KubeLease, 1);
    l->references = 1;
    l->client = kube_client_ref(client);
    l->namespace = g_strdup(o->namespace);
    l->name = g_strdup(o->name);
    l->identity = g_strdup(o->identity);
    l->collection =
        kube_path("apis", "coordination.k8s.io", "v1", "namespaces", o->namespace, "leases", NULL);
    l->path =
        kube_path("apis", "coordination.k8s.io", "v1", "namespaces", o->namespace, "leases", o->name, NULL);
    l->duration_ms = duration_ms;
    l->renew_deadline_ms = deadline_ms;
    l->retry_ms = retry_ms;
    l->rest_ms = o->rest_ms;
    l->vtable = *vtable;
    l->data = data;
    l->cancellable = g_cancellable_new();
    g_autofree char *selector = g_strdup_printf("metadata.name=%s", o->name);
    struct kube_watch_options w = {.path = l->collection,
                                   .field_selector = selector,
                                   .backoff_first_ms = retry_ms,
                                   .backoff_cap_ms = 30000};
    l->watch = kube_watch_new(client, &w, &watch_vtable, l);
    return l;
}

void kube_lease_start(KubeLease *l)
{
    kube_watch_start(l->watch);
    again_in(l, 0);
}

void kube_lease_free(KubeLease *l)
{
    if (!l || l->freed)
        return;
    l->freed = true;
    l->leading = false;
    g_clear_pointer(&l->watch, kube_watch_free);
    kube_lease_drop_source(&l->timer);
    kube_lease_drop_source(&l->fence);
    kube_lease_drop_source(&l->stop_timer);
    g_cancellable_cancel(l->cancellable);
    kube_lease_unref(l);
}

bool kube_lease_is_valid(const KubeLease *l)
{
    return l->leading && clock_us() < l->valid_until_us;
}

const char *kube_lease_holder(const KubeLease *l)
{
    return l->term.record.holder;
}

struct kube_lease_counters kube_lease_counters(const KubeLease *l)
{
    return l->counters;
}
