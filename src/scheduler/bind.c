/* SPDX-License-Identifier: Apache-2.0
 *
 * POST /bind (scheduler.md section 6.6): one write. The assignment travels as
 * annotations of the Binding object, which the API server merges into the pod
 * in the same transaction that binds it, under the pod's UID as precondition.
 *
 * The fate of a write can be: done, refused, or unknown (the connection broke).
 * Only a refusal gives the cards back at once; an unknown one keeps them until it
 * is known (fate.c). It is never sent again by us.
 *
 * With --compat-node-lock, on nodes whose device plugins are others', the locks
 * that those wait for are taken first (nodelock.c): they find their pod by them. With
 * --compat-label the label hami.io/vgpu-node follows in a second write.
 */
#include <string.h>

#include "base/json_write.h"
#include "kube/patch.h"
#include "model/annotation.h"
#include "scheduler/assigned.h"
#include "scheduler/nodelock.h"

struct bind {
    struct scheduler *s;
    struct http_responder *responder;
    char *name, *namespace_, *uid, *node;
    uint64_t decision;      /* number of the assignment that was asked for */
    bool ours;              /* holds cards */
    unsigned wants, locked; /* bits of enum node_lock */
    int64_t start_us;
};

static void bind_free(struct bind *b)
{
    g_free(b->name);
    g_free(b->namespace_);
    g_free(b->uid);
    g_free(b->node);
    g_free(b);
}

static void answer(struct bind *b, const char *error)
{
    struct scheduler *s = b->s;
    GString *out = g_string_new("{\"Error\":");
    struct kube_object_ref about = {"v1", "Pod", b->namespace_, b->name, b->uid};
    json_write_string(out, error ? error : "");
    g_string_append(out, "}\n");
    http_respond(b->responder, 200, "application/json", out->str, out->len);
    g_string_free(out, TRUE);
    histogram_add(&s->bind_ns, (g_get_monotonic_time() - b->start_us) * 1000);
    if (error) {
        s->count.bind_failures++;
        log_line(LOG_WARN, "bind-failed", "namespace", b->namespace_, "pod", b->name, "node", b->node, "why",
                 error, NULL);
        if (s->o.events != SCHEDULER_EVENTS_NONE)
            kube_events_emit(s->events, &about, "Warning", "BindingFailed", error);
    } else {
        log_line(LOG_INFO, "bound", "namespace", b->namespace_, "pod", b->name, "node", b->node, NULL);
        if (s->o.events == SCHEDULER_EVENTS_ALL) {
            g_autofree char *text =
                g_strdup_printf("Successfully binding node [%s] to %s/%s", b->node, b->namespace_, b->name);
            kube_events_emit(s->events, &about, "Normal", "BindingSucceed", text);
        }
    }
    bind_free(b);
}

/* While it waited for a lock, the pod may have been decided anew: what it holds then is not ours to give. */
static bool is_superseded(const struct bind *b)
{
    const struct assignment *a = assigned_get(b->s, b->uid);
    return a && a->number != b->decision;
}

static void give_locks_back(struct bind *b)
{
    for (int kind = NODE_LOCKS; kind-- > 0;)
        if (b->locked & 1u << kind)
            nodelock_release(b->s, b->node, (enum node_lock)kind, b->namespace_, b->name);
}

static void give_back(struct bind *b, const char *error)
{
    bool superseded = is_superseded(b);
    struct cluster_pod pod;
    /* Bound all the same, says the watch: of a binding that a proxy sent twice the second is refused. */
    bool bound = cluster_pod_get(b->s->cluster, b->uid, &pod) && pod.state == POD_BOUND;
    if (!superseded)
        assigned_drop(b->s, b->uid);
    if (!bound || g_strcmp0(pod.node_name, b->node) != 0)
        give_locks_back(b);
    if (!superseded && !bound && b->ours && cluster_release(b->s->cluster, b->uid))
        waiting_capacity_changed(b->s);
    answer(b, error);
}

static void labelled(GObject *source, GAsyncResult *result, gpointer data)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GBytes) done = kube_request_finish(result, NULL, &error);
    (void)source, (void)data;
    if (!done)
        log_line(LOG_WARN, "label-failed", "why", error->message, NULL);
}

/* The reference's pod label. A label's value has 63 characters at most; a
 * longer node name goes without. */
static void label(struct bind *b)
{
    struct kube_annotation l = {annotation_vgpu_node, b->node};
    struct kube_target target = {b->namespace_, b->name, b->uid, NULL};
    if (strlen(b->node) <= 63)
        kube_patch_async(b->s->client, &target, NULL, &l, labelled, NULL);
}

/* The answer is the API server's word: bound for certain, with what was reserved. */
static void confirm(struct bind *b)
{
    struct cluster_pod pod;
    if (cluster_pod_get(b->s->cluster, b->uid, &pod) && pod.state != POD_BOUND)
        cluster_bound(b->s->cluster, b->uid, b->namespace_, b->name, b->node, NULL, NULL, 0, pod.priority,
                      false);
}

static bool is_refusal(const GError *error)
{
    unsigned status = kube_error_status(error);
    return status >= 400 && status < 500 && status != 408 && status != 429;
}

static void posted(GObject *source, GAsyncResult *result, gpointer data)
{
    struct bind *b = data;
    struct scheduler *s = b->s;
    g_autoptr(GError) error = NULL;
    g_autoptr(GBytes) done = kube_request_finish(result, NULL, &error);
    (void)source;
    s->binds_in_flight--;
    leader_bind_ended(s);
    if (done) {
        assigned_drop(s, b->uid);
        if (b->ours) {
            confirm(b);
            if (s->o.compat_label)
                label(b);
        }
        answer(b, NULL);
        return;
    }
    s->count.conflicts += g_error_matches(error, KUBE_ERROR, KUBE_ERROR_CONFLICT) ? 1 : 0;
    if (is_refusal(error) || !b->ours) {
        give_back(b, error->message);
        return;
    }
    struct assignment *a = assigned_get(s, b->uid);
    if (a && cluster_unbind(s->cluster, b->uid, INT64_MAX)) {
        a->unknown = true;
        fate_ask(s, b->namespace_, b->name, b->uid);
    } else { /* the watch was faster */
        assigned_drop(s, b->uid);
    }
    answer(b, error->message);
}

/* bind-time is when it is bound, not when it was decided. */
static void set_bind_time(GArray *annotations)
{
    for (guint i = 0; i < annotations->len; i++) {
        struct kube_annotation *a = &g_array_index(annotations, struct kube_annotation, i);
        if (strcmp(a->key, annotation_bind_time) == 0) {
            g_free((char *)(uintptr_t)a->value);
            a->value = g_strdup_printf("%" G_GINT64_FORMAT, g_get_real_time() / G_USEC_PER_SEC);
        }
    }
}

static const char *why_too_late(const struct bind *b)
{
    if (!assigned_get(b->s, b->uid))
        return "the reservation has passed its deadline";
    if (is_superseded(b))
        return "the pod was decided anew meanwhile";
    return scheduler_may_write(b->s) ? NULL : "this instance does not lead any more";
}

static void post(struct bind *b)
{
    g_autoptr(GError) error = NULL;
    struct assignment *a = assigned_get(b->s, b->uid);
    struct kube_target pod = {b->namespace_, b->name, b->uid, NULL};
    const char *late = why_too_late(b);
    if (late) {
        give_back(b, late);
        return;
    }
    set_bind_time(a->annotations);
    g_autofree char *path =
        kube_path("api", "v1", "namespaces", b->namespace_, "pods", b->name, "binding", NULL);
    g_autofree char *body = kube_body_binding(
        &pod, b->node, (struct kube_annotation *)(void *)a->annotations->data, a->annotations->len, &error);
    struct kube_request request = {.method = "POST",
                                   .path = path,
                                   .body = body,
                                   .body_len = body ? strlen(body) : 0,
                                   .once = true,
                                   .timeout_ms = leader_bind_ms(b->s)};
    if (!body || (b->ours && !cluster_binding(b->s->cluster, b->uid))) {
        give_back(b, body ? "the reservation is gone" : error->message);
        return;
    }
    a->deadline_ms = INT64_MAX; /* from now on the API server decides */
    b->s->binds_in_flight++;
    kube_request_async(b->s->client, &request, NULL, posted, b);
}

static void lock_done(const char *error, void *data);

/* The next lock that is wanted; with all of them, the write. */
static void lock(struct bind *b)
{
    for (int kind = 0; kind < NODE_LOCKS; kind++)
        if (b->wants & ~b->locked & 1u << kind) {
            nodelock_take(b->s, b->node, (enum node_lock)kind, b->namespace_, b->name, lock_done, b);
            return;
        }
    post(b);
}

static void lock_done(const char *error, void *data)
{
    struct bind *b = data;
    unsigned left = b->wants & ~b->locked;
    if (error) {
        give_back(b, error);
        return;
    }
    b->locked |= left & -left;
    lock(b);
}

static bool is_without_node(const struct bind *b)
{
    struct cluster_pod pod;
    return b->ours && cluster_pod_get(b->s->cluster, b->uid, &pod) && pod.node == CLUSTER_NO_NODE;
}

/* The locks of the families whose cards the pod holds. */
static unsigned locks_wanted(const struct bind *b)
{
    static const unsigned bits[] = {
        [FAMILY_LOCK_NODE] = 1u << NODE_LOCK_MUTEX, [FAMILY_LOCK_CAMBRICON] = 1u << NODE_LOCK_DSMLU};
    struct cluster_pod pod;
    unsigned wants = 0;
    if (!b->ours || !nodes_wants_lock(b->s, b->node) || !cluster_pod_get(b->s->cluster, b->uid, &pod))
        return 0;
    const struct node_spec *spec = cluster_node_spec(b->s->cluster, pod.node);
    for (unsigned i = 0; i < pod.n_grants; i++)
        if (pod.grants[i].card < spec->n_cards)
            wants |= bits[b->s->families->rows[spec->cards[pod.grants[i].card].family]->lock];
    return wants;
}

/* NULL, or why the pod must not be bound as asked. Caller frees. */
static char *refusal(struct bind *b)
{
    struct scheduler *s = b->s;
    struct assignment *a = assigned_get(s, b->uid);
    struct cluster_pod pod;
    bool held = cluster_pod_get(s->cluster, b->uid, &pod);
    if (!*b->name || !*b->namespace_ || !*b->uid || !*b->node)
        return g_strdup("PodName, PodNamespace, PodUID and Node are needed");
    if ((held && pod.state != POD_RESERVED) || (a && (a->asked || a->unknown)))
        return g_strdup("the pod is being bound or is bound already");
    if (!a || (a->ours && !held))
        return g_strdup("nothing was decided for this pod lately; the next attempt chooses again");
    if (a->ours && (!pod.node_name || strcmp(pod.node_name, b->node) != 0))
        return g_strdup_printf("cards are reserved on node %s, not on %s",
                               pod.node_name ? pod.node_name : "(gone)", b->node);
    a->asked = true;
    b->decision = a->number;
    b->ours = a->ours;
    return NULL;
}

static void take(struct json_scan *scan, char **field)
{
    struct json_text text;
    char *copy = json_scan_text(scan, &text) ? json_text_dup(text) : NULL;
    if (copy) {
        g_free(*field);
        *field = copy;
    }
}

static const char *scan_args(const char *body, size_t len, struct bind *b)
{
    struct json_scan scan;
    struct json_text key;
    if (extender_scan(&scan, body, len))
        while (json_scan_key(&scan, &key)) {
            if (json_text_reads_any_case(key, "podname"))
                take(&scan, &b->name);
            else if (json_text_reads_any_case(key, "podnamespace"))
                take(&scan, &b->namespace_);
            else if (json_text_reads_any_case(key, "poduid"))
                take(&scan, &b->uid);
            else if (json_text_reads_any_case(key, "node"))
                take(&scan, &b->node);
            else
                json_scan_skip(&scan);
        }
    json_scan_end(&scan);
    return scan.fault;
}

void extender_bind(const struct http_request *request, struct http_responder *responder, void *data)
{
    struct scheduler *s = data;
    struct bind *b = g_new0(struct bind, 1);
    *b = (struct bind){.s = s,
                       .responder = responder,
                       .name = g_strdup(""),
                       .namespace_ = g_strdup(""),
                       .uid = g_strdup(""),
                       .node = g_strdup(""),
                       .start_us = g_get_monotonic_time()};
    s->count.binds++;
    const char *fault = scan_args(request->body, request->body_len, b);
    g_autofree char *why = fault ? g_strdup(fault) : refusal(b);
    if (why) {
        answer(b, why);
        return;
    }
    if (is_without_node(b)) {
        g_autofree char *gone =
            g_strdup_printf("failed to get node %s: it is gone, or has no cards any more", b->node);
        give_back(b, gone);
        return;
    }
    b->wants = locks_wanted(b);
    lock(b);
}
