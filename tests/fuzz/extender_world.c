/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fuzz/extender_world.h"

#include <string.h>

#include "base/json_write.h"
#include "scheduler/assigned.h"
#include "scheduler/node_cards.h"
#include "scheduler/nodelock.h"
#include "tests/unit/vendor/pods.h"

static struct scheduler service;

/* ---- in the place of the clock ------------------------------------------------ */

gint64 g_get_monotonic_time(void)
{
    return 1000000000;
}

int64_t scheduler_now_ms(void)
{
    return 1000000;
}

void scheduler_expire_by(struct scheduler *s, int64_t at_ms)
{
    (void)s, (void)at_ms;
}

/* ---- in the place of scheduler.c, leader.c, log.c ------------------------------ */

bool scheduler_is_synced(const struct scheduler *s)
{
    return s->nodes_synced && s->pods_synced && s->quotas_synced;
}

uint32_t leader_bind_ms(const struct scheduler *s)
{
    (void)s;
    return 0;
}

bool scheduler_may_write(const struct scheduler *s)
{
    return s->leading;
}

bool scheduler_may_decide(const struct scheduler *s)
{
    return scheduler_is_synced(s) && s->leading;
}

void scheduler_became_ready(struct scheduler *s)
{
    (void)s;
}

void scheduler_watch_failed(struct scheduler *s, const char *what, const GError *error)
{
    (void)s, (void)what, (void)error;
}

void leader_bind_ended(struct scheduler *s)
{
    (void)s;
}

void leader_asked(struct scheduler *s)
{
    (void)s;
}

void leader_saw_marker(struct scheduler *s, const char *marker)
{
    (void)s, (void)marker;
}

void leader_saw_list(struct scheduler *s)
{
    (void)s;
}

void log_line(enum log_level level, const char *event, const char *first_key, ...)
{
    (void)level, (void)event, (void)first_key;
}

/* ---- in the place of net ------------------------------------------------------- */

static struct {
    bool asked;
    GString *body;
    unsigned status;
} answer;

struct http_responder {
    int unused;
};

static struct http_responder responder;

static void answered(struct http_responder *r, unsigned status, const void *body, size_t len)
{
    CHECK(r == &responder && answer.asked && !answer.body);
    answer.body = g_string_new_len(body, (gssize)len);
    answer.status = status;
}

void http_respond(struct http_responder *r, unsigned status, const char *type, const void *body, size_t len)
{
    (void)type;
    answered(r, status, body, len);
}

void http_respond_bytes(struct http_responder *r, unsigned status, const char *type, GBytes *body)
{
    gsize len;
    const void *data = g_bytes_get_data(body, &len);
    (void)type;
    answered(r, status, data, len);
}

void http_drop(struct http_responder *r)
{
    answered(r, 500, "", 0);
}

bool http_is_gone(const struct http_responder *r)
{
    (void)r;
    return false;
}

char *world_call(http_handler handler, const void *body, size_t len)
{
    g_autofree char *text = g_malloc(len + 1); /* exactly as much, so that a read beyond is seen */
    struct http_request request = {
        .method = "POST", .path = "/", .body = text, .body_len = len, .local = true};
    memcpy(text, body, len);
    text[len] = '\0';
    CHECK(!answer.body);
    answer.asked = true;
    handler(&request, &responder, &service);
    return world_answer();
}

char *world_answer(void)
{
    GString *body = g_steal_pointer(&answer.body);
    if (!body)
        return NULL;
    answer.asked = false;
    CHECK(strlen(body->str) == body->len);
    return g_string_free(body, FALSE);
}

unsigned world_status(void)
{
    return answer.status;
}

/* ---- in the place of kube/request.c, events.c, watch.c -------------------------- */

static GQueue requests = G_QUEUE_INIT;

struct reply {
    unsigned status;
    const char *body;
};

void kube_request_async(KubeClient *client, const struct kube_request *r, GCancellable *cancellable,
                        GAsyncReadyCallback callback, void *data)
{
    struct world_request *kept = g_new0(struct world_request, 1);
    (void)client, (void)cancellable;
    CHECK(r->method && r->path && *r->path == '/');
    *kept = (struct world_request){g_strdup(r->method), g_strdup(r->path),
                                   g_strndup(r->body ? r->body : "", r->body_len), callback, data};
    g_queue_push_tail(&requests, kept);
}

GBytes *kube_request_finish(GAsyncResult *result, unsigned *ret_status, GError **error)
{
    const struct reply *reply = (const void *)result;
    if (ret_status)
        *ret_status = reply->status;
    if (reply->status / 100 == 2)
        return g_bytes_new(reply->body, strlen(reply->body));
    if (reply->status)
        g_propagate_error(error, kube_error_from_answer(reply->status, NULL, "", 0));
    else
        g_set_error(error, KUBE_ERROR, KUBE_ERROR_UNAVAILABLE, "the connection broke");
    return NULL;
}

const struct world_request *world_request(void)
{
    return g_queue_peek_head(&requests);
}

void world_reply(unsigned status, const char *body)
{
    struct world_request *r = g_queue_pop_head(&requests);
    struct reply reply = {status, body ? body : "{}"};
    CHECK(r);
    r->callback(NULL, (GAsyncResult *)(void *)&reply, r->data);
    g_free(r->method);
    g_free(r->path);
    g_free(r->body);
    g_free(r);
}

void kube_events_emit(KubeEvents *events, const struct kube_object_ref *about, const char *type,
                      const char *reason, const char *message)
{
    (void)events;
    CHECK(about->kind && about->name && type && reason && message);
}

struct kube_watch {
    const struct kube_watch_vtable *vtable;
    char *kind;
};

static struct kube_watch watches[3];
static unsigned n_watches;

KubeWatch *kube_watch_new(KubeClient *client, const struct kube_watch_options *options,
                          const struct kube_watch_vtable *vtable, void *data)
{
    struct kube_watch *w = &watches[n_watches++];
    (void)client;
    CHECK(n_watches <= G_N_ELEMENTS(watches) && data == &service);
    *w = (struct kube_watch){vtable, g_path_get_basename(options->path)};
    return w;
}

void kube_watch_start(KubeWatch *w)
{
    (void)w;
}

void kube_watch_free(KubeWatch *w)
{
    (void)w;
}

static const struct kube_watch_vtable *watch_of(const char *kind)
{
    for (unsigned i = 0; i < n_watches; i++)
        if (strcmp(watches[i].kind, kind) == 0)
            return watches[i].vtable;
    abort();
}

void world_event(const char *kind, enum kube_event event, const char *json, size_t len)
{
    watch_of(kind)->object(&service, event, json, len);
}

void world_list_begins(const char *kind)
{
    static uint64_t generation;
    watch_of(kind)->begin(&service, ++generation);
}

void world_list_ends(const char *kind)
{
    watch_of(kind)->synced(&service);
}

/* ---- the cluster ------------------------------------------------------------------ */

static void add_node(const char *name, const char *register_key, const char *cards, const char *capacity)
{
    g_autoptr(GString) text = g_string_new("");
    g_string_printf(text,
                    "{\"metadata\":{\"name\":\"%s\",\"resourceVersion\":\"7\",\"annotations\":{\"%s\":", name,
                    register_key);
    json_write_string(text, cards);
    g_string_append_printf(text, "}},\"status\":{\"capacity\":{%s},\"allocatable\":{%s}}}", capacity,
                           capacity);
    world_event("nodes", KUBE_ADDED, text->str, text->len);
}

static void add_nvidia(const char *name)
{
    g_autoptr(GString) cards = g_string_new("[");
    for (int i = 0; i < 4; i++)
        g_string_append_printf(
            cards,
            "%s{\"id\":\"GPU-%s-%d\",\"index\":%d,\"count\":10,\"devmem\":16000,\"devcore\":100,"
            "\"type\":\"NVIDIA A100\",\"mode\":\"hami-core\",\"health\":true}",
            i ? "," : "", name, i, i);
    g_string_append_c(cards, ']');
    add_node(name, "hami.io/node-nvidia-register", cards->str, "\"nvidia.com/gpu\":\"40\"");
}

static void begin(struct scheduler *s)
{
    s->o = (struct scheduler_options){.scheduler_name = "hami-scheduler",
                                      .node_policy = "binpack",
                                      .card_policy = "spread",
                                      .vendors = {true, true},
                                      .lock_timeout_ms = 300000,
                                      .lock_retry_ms = 5000,
                                      .reserve_ms = 30000,
                                      .events = SCHEDULER_EVENTS_ALL};
    s->families = pods_families();
    s->reader = pod_reader_new(s->families);
    s->cluster = cluster_new(s->families);
    s->assigned = assigned_new();
    for (int kind = 0; kind < NODE_LOCKS; kind++)
        s->locking[kind] = g_hash_table_new(g_str_hash, g_str_equal);
    s->mig_texts = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    s->defaults = (struct pod_defaults){s->o.node_policy, s->o.card_policy};
    s->leading = true;
    g_queue_init(&s->held);
    fate_start(s);
    reload_start(s);
    nodes_start(s);
    pods_start(s);
    quotas_start(s);
    s->nodes_synced = s->pods_synced = s->quotas_synced = true;
    add_nvidia("gpu-a");
    add_nvidia("gpu-b");
    add_node("metax", "metax-tech.com/node-gpu-devices",
             "[{\"uuid\":\"GPU-x-0\",\"totalDevCount\":4,\"totalCompute\":100,\"totalVRam\":65536,\"numa\":0,"
             "\"healthy\":true,\"qosPolicy\":\"best-effort\",\"linkZone\":1},{\"uuid\":\"GPU-x-1\","
             "\"totalDevCount\":4,"
             "\"totalCompute\":100,\"totalVRam\":65536,\"numa\":1,\"healthy\":true,\"linkZone\":2}]",
             "\"metax-tech.com/sgpu\":\"8\"");
    add_node("empty", "x/y", "", "");
    CHECK(cluster_node_count(s->cluster) == 3);
}

struct scheduler *world(void)
{
    if (!service.cluster)
        begin(&service);
    return &service;
}

void world_check(void)
{
    g_autofree char *broken = cluster_check(service.cluster);
    if (broken)
        g_printerr("%s\n", broken);
    CHECK(!broken);
}

static bool note_uid(const struct cluster_pod *p, void *data)
{
    g_ptr_array_add(data, g_strdup(p->uid));
    return true;
}

static void drop_waiting(struct scheduler *s)
{
    g_autofree gpointer *uids = s->waiting ? g_hash_table_get_keys_as_array(s->waiting, NULL) : NULL;
    for (gpointer *uid = uids; uid && *uid; uid++) {
        g_autofree char *copy = g_strdup(*uid);
        waiting_remove(s, copy);
    }
    CHECK(s->waiting_cost == 0);
}

void world_reset(void)
{
    struct scheduler *s = world();
    g_autoptr(GPtrArray) uids = g_ptr_array_new_with_free_func(g_free);
    while (world_request())
        world_reply(409, NULL);
    cluster_pod_each(s->cluster, note_uid, uids);
    for (guint i = 0; i < uids->len; i++)
        cluster_release(s->cluster, uids->pdata[i]);
    g_hash_table_remove_all(s->assigned);
    g_hash_table_remove_all(s->mig_texts);
    g_hash_table_remove_all(s->fates); /* whose timers never run */
    drop_waiting(s);
    g_clear_handle_id(&s->wake_timer, g_source_remove);
    g_free(world_answer());
    CHECK(cluster_pod_count(s->cluster) == 0 && g_queue_is_empty(&s->held));
    world_check();
}

static bool has_real(json_t *value)
{
    const char *key;
    json_t *child;
    size_t i;
    bool found = json_is_real(value);
    json_object_foreach(value, key, child) found |= has_real(child);
    json_array_foreach(value, i, child) found |= has_real(child);
    return found;
}

bool world_is_ambiguous(json_t *value, const char *text, size_t len)
{
    g_autoptr(GHashTable) seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    const char *key;
    json_t *child;
    json_object_foreach(value, key, child) if (!g_hash_table_add(seen, g_ascii_strdown(key, -1))) return true;
    return has_real(value) || g_strstr_len(text, (gssize)len, "-0");
}

json_t *world_member(const json_t *object, const char *name)
{
    const char *key;
    json_t *child;
    json_object_foreach((json_t *)(uintptr_t)object, key,
                        child) if (g_ascii_strcasecmp(key, name) == 0) return json_is_null(child)
        ? NULL
        : child;
    return NULL;
}
