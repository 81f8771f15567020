/* SPDX-License-Identifier: Apache-2.0
 *
 * POST /filter (scheduler.md sections 1.1, 6.1, 6.9): chooses one node and its
 * cards from memory and reserves them; nothing is written. Repeating the call
 * for a pod gives up its earlier reservation first, so that the answer is the
 * same as for a first call.
 *
 * The body is scanned in place; names are looked up as they come. Keys are
 * accepted in any case, as the reference does.
 */
#include <math.h>
#include <string.h>

#include "base/json_write.h"
#include "scheduler/assigned.h"
#include "scheduler/candidates.h"
#include "scheduler/simulate.h"

#define SUCCESS_LIST_MAX 500 /* bytes: names around it are up to 253 long, a message 1024 */

#define HELD_MAX 64
#define REASONS_US 100000 /* for saying node by node why; the rest gets the commonest reason */

struct args {
    bool has_pod, has_nodes;
    struct pod_object pod;
    const char *pod_at; /* its text */
    size_t pod_len;
    const char *nodes; /* text of Nodes, when not null */
    size_t nodes_len;
    struct candidates names;
    const char *fault;
};

/* A call that waits for the caches. */
struct held {
    struct http_responder *responder;
    GBytes *body;
};

bool extender_scan(struct json_scan *scan, const char *body, size_t len)
{
    json_scan_init(scan, body, len);
    if (json_scan_peek(scan) != JSON_IS_OBJECT)
        json_scan_fail(scan, scan->at == scan->end ? "EOF" : "the body is no JSON object");
    return json_scan_object(scan);
}

static void args_scan(struct scheduler *s, const char *body, size_t len, struct args *a)
{
    struct json_scan scan;
    struct json_text key;
    memset(a, 0, offsetof(struct args, pod));
    a->nodes = NULL;
    a->names = (struct candidates){0};
    a->fault = NULL;
    if (extender_scan(&scan, body, len))
        while (json_scan_key(&scan, &key)) {
            bool null = json_scan_peek(&scan) == JSON_IS_NULL;
            if (json_text_reads_any_case(key, "pod") && !null && !a->has_pod) {
                a->pod_at = scan.at;
                a->has_pod = pod_object_scan(s->reader, &scan, &a->pod);
                a->pod_len = (size_t)(scan.at - a->pod_at);
            } else if (json_text_reads_any_case(key, "nodenames") && !null)
                candidates_read(s, &scan, &a->names);
            else if (json_text_reads_any_case(key, "nodes") && !null)
                a->has_nodes = json_scan_raw(&scan, &a->nodes, &a->nodes_len);
            else
                json_scan_skip(&scan);
        }
    if (!json_scan_end(&scan))
        a->fault = scan.fault;
}

/* ---- answers ----------------------------------------------------------- */

static void respond(struct http_responder *responder, GString *out)
{
    gsize len = out->len;
    g_autoptr(GBytes) bytes = g_bytes_new_take(g_string_free(out, FALSE), len);
    http_respond_bytes(responder, 200, "application/json", bytes);
}

static void respond_error(struct scheduler *s, struct http_responder *responder, const char *message)
{
    GString *out = g_string_new("{\"Nodes\":null,\"NodeNames\":null,\"FailedNodes\":null,"
                                "\"FailedAndUnresolvableNodes\":null,\"Error\":");
    s->count.filter_errors++;
    json_write_string(out, message);
    g_string_append(out, "}\n");
    respond(responder, out);
}

/* names: JSON text of an array, or NULL. */
static void respond_names(struct http_responder *responder, const char *names, size_t len, const char *failed)
{
    GString *out = g_string_sized_new(len + (failed ? strlen(failed) : 0) + 128);
    g_string_append(out, "{\"Nodes\":null,\"NodeNames\":");
    if (names)
        g_string_append_len(out, names, (gssize)len);
    else
        g_string_append(out, "null");
    g_string_append_printf(out, ",\"FailedNodes\":%s,\"FailedAndUnresolvableNodes\":null,\"Error\":\"\"}\n",
                           failed ? failed : "null");
    respond(responder, out);
}

/* ---- events ------------------------------------------------------------ */

static void emit(struct scheduler *s, const struct pod_object *p, const char *type, const char *reason,
                 const char *message)
{
    struct kube_object_ref about = {"v1", "Pod", p->namespace_, p->name, p->uid};
    if (s->o.events == SCHEDULER_EVENTS_ALL ||
        (s->o.events == SCHEDULER_EVENTS_FAILURES && strcmp(type, "Warning") == 0))
        kube_events_emit(s->events, &about, type, reason, message);
}

/* Nodes of one reason; an event's message ends at 1024 bytes anyway. */
static void add_node(GHashTable *codes, const char *code, const char *node)
{
    GPtrArray *nodes = g_hash_table_lookup(codes, code);
    if (!nodes) {
        nodes = g_ptr_array_new_with_free_func(g_free);
        g_hash_table_insert(codes, g_strdup(code), nodes);
    }
    g_ptr_array_add(nodes, g_strdup(node));
}

/* "1/4 CardInsufficientMemory, 3/4 CardTypeMismatch": each code once. */
static void tally_reasons(GHashTable *codes, const char *why, const char *node)
{
    g_auto(GStrv) parts = g_strsplit(why, ", ", -1);
    for (char **p = parts; *p; p++) {
        const char *space = strchr(*p, ' ');
        if (!space || !strchr(*p, '/'))
            continue;
        add_node(codes, space + 1, node);
    }
}

static int by_name(gconstpointer a, gconstpointer b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void emit_failure(struct scheduler *s, const struct pod_object *p, uint32_t n_failed,
                         GHashTable *codes)
{
    g_autofree char *summary = g_strdup_printf("no available node, %u nodes do not meet", n_failed);
    GHashTableIter i;
    gpointer code, value;
    emit(s, p, "Warning", "FilteringFailed", summary);
    g_hash_table_iter_init(&i, codes);
    while (g_hash_table_iter_next(&i, &code, &value)) {
        GPtrArray *nodes = value;
        g_autoptr(GString) message = g_string_new("");
        g_ptr_array_sort(nodes, by_name);
        g_string_append_printf(message, "%u nodes %s(", nodes->len, (char *)code);
        for (guint n = 0; n < nodes->len; n++)
            g_string_append_printf(message, "%s%s", n ? "," : "", (char *)nodes->pdata[n]);
        g_string_append_c(message, ')');
        emit(s, p, "Warning", "FilteringFailed", message->str);
    }
}

/* ---- deciding ---------------------------------------------------------- */

/* Why each candidate does not take the pod, as FailedNodes; also tells people. */
static char *failures(struct scheduler *s, const struct pod_object *p, const struct pod_request *r,
                      const struct args *a, enum sched_reason commonest)
{
    g_autoptr(GHashTable) codes =
        g_hash_table_new_full(g_str_hash, g_str_equal, g_free, (GDestroyNotify)g_ptr_array_unref);
    g_autoptr(GString) why = g_string_new("");
    GString *out = g_string_new("{");
    struct json_scan scan;
    struct json_text name;
    uint32_t failed = 0;
    static struct cluster_answer answer;
    int64_t until = g_get_monotonic_time() + REASONS_US;
    json_scan_init(&scan, a->names.at, a->names.len);
    if (json_scan_array(&scan))
        while (json_scan_element(&scan)) {
            if (!json_scan_text(&scan, &name))
                continue;
            ClusterNode n = candidates_find(s, name);
            g_string_truncate(why, 0);
            if (n == CLUSTER_NO_NODE)
                g_string_assign(why, sched_reason_words(SCHED_UNREGISTERED)->code);
            else if (g_get_monotonic_time() < until)
                cluster_fit(s->cluster, r, n, &answer, why);
            else
                g_string_assign(why, sched_reason_words(commonest)->code);
            g_string_append_printf(out, "%s\"%.*s\":", out->len > 1 ? "," : "", (int)name.len, name.at);
            json_write_string(out, why->str);
            g_autofree char *plain = g_strndup(name.at, name.len);
            tally_reasons(codes, why->str, plain);
            failed++;
        }
    g_string_append_c(out, '}');
    emit_failure(s, p, failed, codes);
    return g_string_free(out, FALSE);
}

struct fitting {
    const char *name;
    double score;
};

/* The best one last, as the ledger orders them. */
static int by_score(gconstpointer a, gconstpointer b)
{
    const struct fitting *x = a, *y = b;
    if (x->score > y->score || x->score < y->score)
        return x->score < y->score ? -1 : 1;
    return strcmp(y->name, x->name);
}

static uint32_t count_names(const struct candidates *names)
{
    struct json_scan scan;
    uint32_t n = 0;
    json_scan_init(&scan, names->at, names->len);
    if (json_scan_array(&scan))
        for (; json_scan_element(&scan); n++)
            json_scan_skip(&scan);
    return n;
}

/* What the reference says of a success; the chosen node comes last, so names
 * beyond the end of a message are left out in front. Asks every candidate
 * once more: only for those who want to read it. */
static char *success(struct scheduler *s, const struct pod_request *r, const struct candidates *names,
                     const char *chosen)
{
    static struct cluster_answer answer;
    g_autoptr(GArray) fits = g_array_new(FALSE, FALSE, sizeof(struct fitting));
    g_autoptr(GString) list = g_string_new("");
    double sign = r->node_policy == NODE_SPREAD ? -1 : 1; /* there the lowest wins */
    for (uint32_t i = 0; i < names->n; i++) {
        ClusterNode n = names->nodes[i];
        if (cluster_fit(s->cluster, r, n, &answer, NULL) == SCHED_FITS) {
            struct fitting f = {cluster_node_spec(s->cluster, n)->name, answer.score};
            g_array_append_val(fits, f);
        }
    }
    g_array_sort(fits, by_score);
    for (guint i = fits->len; i-- > 0;) {
        const struct fitting *f = &g_array_index(fits, struct fitting, i);
        g_autofree char *one =
            g_strdup_printf("%s:%.2f%s", f->name, sign * f->score + 0.0, list->len ? "," : "");
        if (list->len + strlen(one) > SUCCESS_LIST_MAX) {
            g_string_prepend(list, "...,");
            break;
        }
        g_string_prepend(list, one);
    }
    return g_strdup_printf("find fit node(%s), %u nodes not fit, %u nodes fit(%s)", chosen,
                           count_names(names) - fits->len, fits->len, list->str);
}

static void placed(struct scheduler *s, const struct pod_object *p, const struct pod_request *r,
                   const struct cluster_answer *answer, const char *said, struct http_responder *responder)
{
    const char *node = cluster_node_spec(s->cluster, answer->node)->name;
    g_autofree char *score = g_strdup_printf("%.2f", answer->score);
    g_autoptr(GString) names = g_string_new("[");
    json_write_string(names, node);
    g_string_append_c(names, ']');
    s->count.filter_fits++;
    assigned_put(s, p->uid, r, answer);
    waiting_remove(s, p->uid);
    log_line(LOG_INFO, "placed", "namespace", p->namespace_, "pod", p->name, "node", node, "score", score,
             NULL);
    if (said)
        emit(s, p, "Normal", "FilteringSucceed", said);
    respond_names(responder, names->str, names->len, NULL);
}

static void unplaced(struct scheduler *s, const struct args *a, const struct pod_request *r,
                     enum sched_reason reason, struct http_responder *responder)
{
    const struct pod_object *p = &a->pod;
    g_autofree char *failed = failures(s, p, r, a, reason);
    log_line(LOG_INFO, "unplaced", "namespace", p->namespace_, "pod", p->name, "reason",
             sched_reason_words(reason)->code, NULL);
    waiting_add(s, r, a->pod_at, a->pod_len);
    respond_names(responder, NULL, 0, failed);
}

/* held: it has a reservation, which it gives up first. */
static void place(struct scheduler *s, const struct args *a, const struct pod_request *r, bool held,
                  struct http_responder *responder)
{
    static struct cluster_answer answer;
    const struct pod_object *p = &a->pod;
    cluster_release(s->cluster, p->uid);
    cluster_place(s->cluster, r, a->names.nodes, a->names.n, &answer);
    g_autofree char *said = answer.reason == SCHED_FITS && s->o.events == SCHEDULER_EVENTS_ALL
                                ? success(s, r, &a->names, cluster_node_spec(s->cluster, answer.node)->name)
                                : NULL;
    if (answer.reason == SCHED_FITS &&
        cluster_reserve(s->cluster, r, &answer, scheduler_now_ms() + s->o.reserve_ms)) {
        if (!held)
            histogram_add(&s->queue_ns, waiting_ms(s, p->uid) * 1000000);
        placed(s, p, r, &answer, said, responder);
    } else {
        unplaced(s, a, r, answer.reason, responder);
    }
    if (held)
        waiting_capacity_changed(s);
}

static void decide(struct scheduler *s, const struct args *a, struct http_responder *responder)
{
    static struct pod_request r;
    const struct pod_object *p = &a->pod;
    g_autofree char *why = NULL;
    struct cluster_pod known;
    if (!vendor_request_parse(s->families, p, &s->defaults, &r, NULL, &why)) {
        emit(s, p, "Warning", "FilteringFailed", why);
        respond_error(s, responder, why);
        return;
    }
    const struct assignment *before = assigned_get(s, p->uid);
    bool held = cluster_pod_get(s->cluster, p->uid, &known);
    if (pod_request_is_empty(&r)) {
        assigned_put(s, p->uid, NULL, NULL);
        respond_names(responder, a->names.at, a->names.len, NULL);
    } else if (held && (known.state != POD_RESERVED || (before && before->unknown))) {
        respond_error(s, responder, "the pod is being bound or is bound already");
    } else {
        place(s, a, &r, held, responder);
    }
    pod_request_clear(&r);
}

static void filter(struct scheduler *s, const char *body, size_t len, struct http_responder *responder)
{
    int64_t start = g_get_monotonic_time();
    static struct args a;
    args_scan(s, body, len, &a);
    s->count.filters++;
    if (a.fault)
        respond_error(s, responder, a.fault);
    else if (!a.has_pod)
        respond_error(s, responder, "extender args missing pod");
    else if (a.has_nodes)
        simulate_filter(s, &a.pod, a.nodes, a.nodes_len, responder);
    else
        decide(s, &a, responder);
    if (a.has_pod)
        pod_object_clear(&a.pod);
    histogram_add(&s->filter_ns, (g_get_monotonic_time() - start) * 1000);
}

static void held_free(struct held *h)
{
    g_bytes_unref(h->body);
    g_free(h);
}

/* Whose caller has left costs nothing any more. */
static void forget_gone(struct scheduler *s)
{
    for (GList *l = s->held.head, *after; l; l = after) {
        struct held *h = l->data;
        after = l->next;
        if (!http_is_gone(h->responder))
            continue;
        http_drop(h->responder);
        held_free(h);
        g_queue_delete_link(&s->held, l);
    }
}

void extender_filter(const struct http_request *request, struct http_responder *responder, void *data)
{
    struct scheduler *s = data;
    if (scheduler_may_decide(s)) {
        filter(s, request->body, request->body_len, responder);
        return;
    }
    /* The caller leads, so we are about to: its lease reaches us in a moment. */
    forget_gone(s);
    struct held *h = g_new(struct held, 1);
    h->responder = responder;
    h->body = g_bytes_new(request->body, request->body_len);
    g_queue_push_tail(&s->held, h);
    leader_asked(s);
    if (s->held.length > HELD_MAX) {
        h = g_queue_pop_head(&s->held);
        respond_error(s, h->responder, "too many calls wait for the caches to fill");
        held_free(h);
    }
}

void extender_answer_held(struct scheduler *s)
{
    struct held *h;
    while ((h = g_queue_pop_head(&s->held))) {
        gsize len;
        const char *body = g_bytes_get_data(h->body, &len);
        if (http_is_gone(h->responder))
            http_drop(h->responder); /* and reserves nothing */
        else
            filter(s, body, len, h->responder);
        held_free(h);
    }
}
