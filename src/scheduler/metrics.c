/* SPDX-License-Identifier: Apache-2.0
 *
 * GET /metrics: every name, label and unit of scheduler.md section 1.4, read
 * from the ledger at the moment of the scrape; with --legacy-metrics the names
 * before 2.9 besides; and what tells how this service itself fares.
 * contract/metrics.def lists them; docs/reference/metrics.md is made from it.
 */
#include <string.h>

#include "model/family.h"
#include "scheduler/service.h"

enum metric {
#define METRIC(symbol, name, type, labels, help) METRIC_##symbol,
#include "metrics.def"
#undef METRIC
    METRICS
};

static const struct {
    const char *name, *type, *help;
} words[METRICS] = {
#define METRIC(symbol, name, type, labels, help) [METRIC_##symbol] = {name, type, help},
#include "metrics.def"
#undef METRIC
};

/* One scrape, going out piece by piece: nothing of 100 MB is ever held, and
 * filter calls are answered in between. Nodes are those of its begin. */
struct scrape {
    const struct scheduler *s;
    GString *out;       /* the piece */
    enum metric metric; /* the family that is being written, */
    GArray *nodes;      /* of ClusterNode, */
    guint node;         /* and how far */
};

#define PIECE_BYTES (120u << 10)

static void text(GString *out, const char *words_)
{
    g_string_append_len(out, words_, (gssize)strlen(words_));
}

static void number(GString *out, uint64_t value)
{
    char digits[20];
    size_t n = sizeof digits;
    do
        digits[--n] = (char)('0' + value % 10);
    while (value /= 10);
    g_string_append_len(out, digits + n, (gssize)(sizeof digits - n));
}

static void head(GString *out, enum metric m)
{
    g_string_append_printf(out, "# HELP %s %s\n# TYPE %s %s\n", words[m].name, words[m].help, words[m].name,
                           words[m].type);
}

static void label(GString *out, const char *key, const char *value)
{
    text(out, key);
    g_string_append_len(out, "=\"", 2);
    while (*value) {
        size_t plain = strcspn(value, "\n\"\\");
        g_string_append_len(out, value, (gssize)plain);
        value += plain;
        if (*value) {
            g_string_append_c(out, '\\');
            g_string_append_c(out, *value == '\n' ? 'n' : *value);
            value++;
        }
    }
    g_string_append_len(out, "\",", 2);
}

static void label_number(GString *out, const char *key, uint64_t value)
{
    text(out, key);
    g_string_append_len(out, "=\"", 2);
    number(out, value);
    g_string_append_len(out, "\",", 2);
}

static void open_sample(GString *out, enum metric m)
{
    text(out, words[m].name);
    g_string_append_c(out, '{');
}

static void close_sample(GString *out, double value)
{
    char digits[G_ASCII_DTOSTR_BUF_SIZE];
    text(out, "zone=\"vGPU\"} ");
    if (value >= 0 && value < 9e15 && value == (double)(uint64_t)value)
        number(out, (uint64_t)value);
    else
        text(out, g_ascii_formatd(digits, sizeof digits, "%.6g", value));
    g_string_append_c(out, '\n');
}

/* ---- cards ------------------------------------------------------------- */

static const struct family *family_of(const struct scrape *w, const struct card *c)
{
    return w->s->families->rows[c->family];
}

static uint32_t cores_in_use(const struct family *f, const struct card_use *u)
{
    return f->cores_kind == FAMILY_CORES_MASK ? (uint32_t)__builtin_popcount(u->cores) : u->cores;
}

static uint32_t cores_of(const struct family *f, const struct card *c)
{
    return f->cores_kind == FAMILY_CORES_MASK ? (uint32_t)__builtin_popcount(c->cores) : c->cores;
}

/* AMD counts compute units; its ratios are percent (the reference rounds up). */
static double normalised(const struct family *f, const struct card *c, uint32_t cores)
{
    if (f->cores_kind != FAMILY_CORES_OF_TOTAL || c->cores == 0)
        return cores;
    uint64_t percent = ((uint64_t)cores * 100 + c->cores - 1) / c->cores;
    return (double)percent;
}

static bool card_value(const struct scrape *w, const struct card *c, const struct card_use *u, double *ret)
{
    const struct family *f = family_of(w, c);
    switch (w->metric) {
    case METRIC_MEM_LIMIT:
    case METRIC_OLD_MEM_LIMIT:
        *ret = (double)c->mem_bytes;
        return true;
    case METRIC_CORE_LIMIT:
        *ret = f->cores_kind == FAMILY_CORES_OF_TOTAL && c->cores ? 100 : cores_of(f, c);
        return true;
    case METRIC_OLD_CORE_LIMIT:
        *ret = cores_of(f, c);
        return true;
    case METRIC_MEM_ALLOCATED:
    case METRIC_OLD_MEM_ALLOCATED:
    case METRIC_OVERVIEW:
    case METRIC_OLD_OVERVIEW:
        *ret = (double)u->mem_bytes;
        return true;
    case METRIC_SHARED:
    case METRIC_OLD_SHARED:
        *ret = u->slots;
        return true;
    case METRIC_CORE_ALLOCATED:
        *ret = normalised(f, c, cores_in_use(f, u));
        return true;
    case METRIC_OLD_CORE_ALLOCATED:
        *ret = cores_in_use(f, u);
        return true;
    case METRIC_MEM_RATIO:
    case METRIC_OLD_MEM_PERCENT:
        *ret = c->mem_bytes ? (double)u->mem_bytes / (double)c->mem_bytes : 0;
        return c->mem_bytes > 0;
    default:
        return false;
    }
}

static void card_labels(struct scrape *w, const char *node, const struct card *c)
{
    GString *out = w->out;
    bool old = w->metric >= METRIC_OLD_MEM_LIMIT;
    label(out, old ? "nodeid" : "node", node);
    label(out, old ? "deviceuuid" : "device_uuid", c->uuid);
    label_number(out, old ? "deviceidx" : "device_index", c->index);
    if (w->metric == METRIC_OLD_MEM_PERCENT)
        return;
    if (w->metric == METRIC_MEM_ALLOCATED || w->metric == METRIC_OLD_MEM_ALLOCATED ||
        w->metric == METRIC_OVERVIEW || w->metric == METRIC_OLD_OVERVIEW)
        label_number(out, old ? "devicecores" : "device_cores", cores_of(family_of(w, c), c));
    if (w->metric == METRIC_OVERVIEW || w->metric == METRIC_OLD_OVERVIEW)
        label_number(out, old ? "devicememorylimit" : "device_memory_limit", c->mem_bytes / POD_MIB);
    label(out, old ? "devicetype" : "device_type", c->type);
}

static void print_node(struct scrape *w, ClusterNode n)
{
    const struct node_spec *spec = cluster_node_spec(w->s->cluster, n);
    const struct card_use *use = cluster_node_use(w->s->cluster, n);
    for (uint32_t i = 0; i < spec->n_cards; i++) {
        double value;
        if (!*spec->cards[i].uuid || !card_value(w, &spec->cards[i], &use[i], &value))
            continue;
        open_sample(w->out, w->metric);
        card_labels(w, spec->name, &spec->cards[i]);
        close_sample(w->out, value);
    }
}

/* ---- pods -------------------------------------------------------------- */

static bool print_pod(const struct cluster_pod *p, void *data)
{
    struct scrape *w = data;
    const struct node_spec *spec =
        p->node == CLUSTER_NO_NODE ? NULL : cluster_node_spec(w->s->cluster, p->node);
    bool old = w->metric == METRIC_OLD_POD_MEM || w->metric == METRIC_OLD_POD_CORES;
    bool mem = w->metric == METRIC_POD_MEM || w->metric == METRIC_OLD_POD_MEM;
    for (uint16_t i = 0; spec && i < p->n_grants; i++) {
        const struct card_grant *g = &p->grants[i];
        if (g->card >= spec->n_cards)
            continue;
        const struct card *c = &spec->cards[g->card];
        const struct family *f = family_of(w, c);
        uint32_t cores =
            f->cores_kind == FAMILY_CORES_MASK ? (uint32_t)__builtin_popcount(g->cores) : g->cores;
        open_sample(w->out, w->metric);
        label(w->out, old ? "podnamespace" : "namespace", p->namespace_);
        label(w->out, old ? "nodename" : "node", spec->name);
        label(w->out, old ? "podname" : "pod", p->name);
        label_number(w->out, old ? "containeridx" : "container_index", g->slot);
        label(w->out, old ? "deviceuuid" : "device_uuid", c->uuid);
        close_sample(w->out, mem ? (double)g->mem_bytes : old ? cores : normalised(f, c, cores));
    }
    return true;
}

/* ---- quotas ------------------------------------------------------------ */

static bool print_quota(const struct cluster_quota *q, void *data)
{
    struct scrape *w = data;
    bool old = w->metric == METRIC_OLD_QUOTA_USED;
    if (w->metric == METRIC_QUOTA_LIMIT && q->limit < 0)
        return true;
    open_sample(w->out, w->metric);
    label(w->out, old ? "quotanamespace" : "namespace", q->namespace_);
    label(w->out, old ? "quotaName" : "quota_name", q->resource);
    if (w->metric != METRIC_QUOTA_LIMIT)
        label_number(w->out, "limit", (uint64_t)MAX(q->limit, 0));
    close_sample(w->out, (double)(w->metric == METRIC_QUOTA_LIMIT ? q->limit : q->used));
    return true;
}

/* ---- MIG instances: what the device plugin wrote into the pods ----------- */

struct mig {
    struct json_text uuid, instance, profile;
    int64_t start, size, gi, ci;
};

static void scan_placement(struct json_scan *scan, struct mig *m)
{
    struct json_text key;
    if (!json_scan_object(scan))
        return;
    while (json_scan_key(scan, &key)) {
        if (json_text_is(key, "start"))
            json_scan_int(scan, &m->start);
        else if (json_text_is(key, "size"))
            json_scan_int(scan, &m->size);
        else
            json_scan_skip(scan);
    }
}

static bool scan_mig(struct json_scan *scan, struct mig *m)
{
    struct json_text key;
    *m = (struct mig){.start = -1, .size = -1, .gi = -1, .ci = -1};
    if (!json_scan_object(scan))
        return false;
    while (json_scan_key(scan, &key)) {
        if (json_text_is(key, "gpuUUID"))
            json_scan_text(scan, &m->uuid);
        else if (json_text_is(key, "migUUID"))
            json_scan_text(scan, &m->instance);
        else if (json_text_is(key, "profile"))
            json_scan_text(scan, &m->profile);
        else if (json_text_is(key, "placement"))
            scan_placement(scan, m);
        else if (json_text_is(key, "gpuInstanceID"))
            json_scan_int(scan, &m->gi);
        else if (json_text_is(key, "computeInstanceID"))
            json_scan_int(scan, &m->ci);
        else
            json_scan_skip(scan);
    }
    return m->instance.len && m->gi >= 0 && m->ci >= 0 && m->start >= 0 && m->size > 0;
}

static const struct card *card_of(const struct node_spec *spec, const char *uuid)
{
    for (uint32_t i = 0; i < spec->n_cards; i++)
        if (strcmp(spec->cards[i].uuid, uuid) == 0 && spec->cards[i].mode == CARD_MIG)
            return &spec->cards[i];
    return NULL;
}

static void print_mig_sample(struct scrape *w, const struct node_spec *spec, const struct mig *m)
{
    g_autofree char *uuid = json_text_dup(m->uuid), *instance = json_text_dup(m->instance),
                    *profile = json_text_dup(m->profile);
    const struct card *c = uuid ? card_of(spec, uuid) : NULL;
    bool old = w->metric == METRIC_OLD_MIG;
    if (!c || !instance || !profile)
        return;
    open_sample(w->out, w->metric);
    label(w->out, old ? "nodeid" : "node", spec->name);
    label(w->out, old ? "deviceuuid" : "device_uuid", uuid);
    label_number(w->out, old ? "deviceidx" : "device_index", c->index);
    if (old) {
        g_autofree char *name = g_strdup_printf("%s-%" G_GINT64_FORMAT, profile, m->gi);
        label(w->out, "migname", name);
    } else {
        label(w->out, "mig_uuid", instance);
        label(w->out, "profile", profile);
        label_number(w->out, "gpu_instance_id", (uint64_t)m->gi);
        label_number(w->out, "compute_instance_id", (uint64_t)m->ci);
        label_number(w->out, "placement_start", (uint64_t)m->start);
        label_number(w->out, "placement_size", (uint64_t)m->size);
    }
    close_sample(w->out, 1);
}

static void print_migs(struct scrape *w)
{
    GHashTableIter i;
    gpointer uid, text;
    g_hash_table_iter_init(&i, w->s->mig_texts);
    while (g_hash_table_iter_next(&i, &uid, &text)) {
        struct cluster_pod p;
        struct json_scan scan;
        struct mig m;
        if (!cluster_pod_get(w->s->cluster, uid, &p) || p.node == CLUSTER_NO_NODE)
            continue;
        json_scan_init(&scan, text, strlen(text));
        if (json_scan_array(&scan))
            while (json_scan_element(&scan))
                if (scan_mig(&scan, &m))
                    print_mig_sample(w, cluster_node_spec(w->s->cluster, p.node), &m);
    }
}

/* ---- the service itself ------------------------------------------------- */

static void print_build(GString *out)
{
    head(out, METRIC_BUILD);
    g_string_append_printf(out,
                           "%s{version=\"%s\",revision=\"\",build_date=\"\",go_version=\"\",compiler=\"%s\","
                           "platform=\"linux/%s\"} 1\n",
                           words[METRIC_BUILD].name, HAMI_VERSION, "gcc " __VERSION__,
#if defined(__aarch64__)
                           "arm64"
#else
                           "amd64"
#endif
    );
}

static void print_number(GString *out, enum metric m, uint64_t value)
{
    head(out, m);
    g_string_append_printf(out, "%s %" G_GUINT64_FORMAT "\n", words[m].name, value);
}

static void print_times(GString *out, enum metric m, const struct histogram *h)
{
    histogram_print(h, words[m].name, words[m].help, out);
}

static void print_service(const struct scheduler *s, GString *out)
{
    struct kube_watch_counters nodes = kube_watch_counters(s->node_watch);
    struct kube_client_counters client = kube_client_counters(s->client);
    print_number(out, METRIC_LEADING, scheduler_may_write(s));
    print_number(out, METRIC_SYNCED, scheduler_is_synced(s));
    print_number(out, METRIC_NODES, cluster_node_count(s->cluster));
    print_number(out, METRIC_PODS, cluster_pod_count(s->cluster));
    print_number(out, METRIC_WAITING, s->waiting ? g_hash_table_size(s->waiting) : 0);
    print_number(out, METRIC_FILTERS, s->count.filters);
    print_number(out, METRIC_FITS, s->count.filter_fits);
    print_number(out, METRIC_BINDS, s->count.binds);
    print_number(out, METRIC_BIND_FAILURES, s->count.bind_failures);
    print_number(out, METRIC_CONFLICTS, s->count.conflicts);
    print_number(out, METRIC_EXPIRED, s->count.reservations_expired);
    print_number(out, METRIC_FORGED, s->count.forged_pods);
    print_number(out, METRIC_ADMITTED, s->count.admitted);
    print_number(out, METRIC_REFUSED, s->count.refused);
    print_number(out, METRIC_WAKES, s->count.wakes);
    print_number(out, METRIC_NODE_PARSES, s->count.node_parses);
    print_number(out, METRIC_WATCH_EVENTS, s->count.node_events + s->count.pod_events);
    print_number(out, METRIC_WATCH_RELISTS, nodes.lists);
    print_number(out, METRIC_API_REQUESTS, client.requests);
    print_times(out, METRIC_FILTER_SECONDS, &s->filter_ns);
    print_times(out, METRIC_BIND_SECONDS, &s->bind_ns);
    print_times(out, METRIC_WEBHOOK_SECONDS, &s->webhook_ns);
    print_times(out, METRIC_WATCH_LAG_SECONDS, &s->watch_lag_ns);
}

/* ---- in pieces ---------------------------------------------------------- */

static bool is_of_pods(int m)
{
    return m == METRIC_POD_MEM || m == METRIC_POD_CORES || m == METRIC_OLD_POD_MEM ||
           m == METRIC_OLD_POD_CORES;
}

/* A family whose samples do not go node by node. */
static bool print_whole(struct scrape *w)
{
    switch (w->metric) {
    case METRIC_QUOTA_USED:
    case METRIC_QUOTA_LIMIT:
    case METRIC_OLD_QUOTA_USED:
        cluster_quota_each(w->s->cluster, print_quota, w);
        return true;
    case METRIC_MIG:
    case METRIC_OLD_MIG:
        print_migs(w);
        return true;
    default:
        return false;
    }
}

/* The next node of the family, or the next family. */
static void step(struct scrape *w)
{
    ClusterNode n = w->node < w->nodes->len ? g_array_index(w->nodes, ClusterNode, w->node) : CLUSTER_NO_NODE;
    if (w->metric == METRIC_BUILD) {
        print_build(w->out);
        print_service(w->s, w->out);
        w->metric = w->s->o.legacy_metrics ? METRIC_OLD_MEM_LIMIT : METRICS;
        return;
    }
    if (w->node == 0)
        head(w->out, w->metric);
    if (print_whole(w) || n == CLUSTER_NO_NODE) {
        w->metric++;
        w->node = 0;
        return;
    }
    w->node++;
    if (!cluster_node_spec(w->s->cluster, n)) /* it went away meanwhile */
        return;
    if (is_of_pods((int)w->metric))
        cluster_node_pods(w->s->cluster, n, print_pod, w);
    else
        print_node(w, n);
}

static bool next_piece(GString *piece, void *data)
{
    struct scrape *w = data;
    w->out = piece;
    while (w->metric < METRICS && piece->len < PIECE_BYTES)
        step(w);
    return w->metric < METRICS;
}

static void scrape_free(void *data)
{
    struct scrape *w = data;
    g_array_unref(w->nodes);
    g_free(w);
}

static bool collect(ClusterNode n, void *data)
{
    g_array_append_val((GArray *)data, n);
    return true;
}

void metrics_serve(const struct http_request *request, struct http_responder *responder, void *data)
{
    struct scrape *w = g_new0(struct scrape, 1);
    struct http_pieces pieces = {next_piece, scrape_free, w};
    (void)request;
    w->s = data;
    w->nodes = g_array_new(FALSE, FALSE, sizeof(ClusterNode));
    cluster_node_each(w->s->cluster, collect, w->nodes);
    http_respond_pieces(responder, 200, "text/plain; version=0.0.4; charset=utf-8", &pieces);
}
