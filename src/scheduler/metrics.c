/* SPDX-License-Identifier: Apache-2.0
 *
 * GET /metrics: every name, label and unit of scheduler.md section 1.4, read
 * from the ledger at the moment of the scrape; with --legacy-metrics the names
 * before 2.9 besides; and what tells how this service itself fares.
 * contract/metrics.def lists them; docs/reference/metrics.md is made from it.
 */
#include <string.h>

#include "base/build_info.h"
#include "scheduler/metrics_private.h"

const struct metric_words metric_words[METRICS] = {
#define METRIC(symbol, name, type, labels, help) [METRIC_##symbol] = {name, type, help},
#include "metrics.def"
#undef METRIC
};

#define PIECE_BYTES (120u << 10)

static void head(GString *out, enum metric m)
{
    g_string_append_printf(out, "# HELP %s %s\n# TYPE %s %s\n", metric_words[m].name, metric_words[m].help,
                           metric_words[m].name, metric_words[m].type);
}

void metrics_open_sample(GString *out, enum metric m)
{
    g_string_append(out, metric_words[m].name);
    g_string_append_c(out, '{');
}

void metrics_close_sample(GString *out, int64_t value)
{
    g_string_append(out, "zone=\"vGPU\"} ");
    prom_add_value(out, value);
}

/* ---- quotas ------------------------------------------------------------ */

static bool print_quota(const struct cluster_quota *q, void *data)
{
    struct scrape *w = data;
    bool old = metric_is_old(w->metric);
    if (w->metric == METRIC_QUOTA_LIMIT && q->limit < 0)
        return true;
    metrics_open_sample(w->out, w->metric);
    prom_add_label(w->out, old ? "quotanamespace" : "namespace", q->namespace_);
    prom_add_label(w->out, old ? "quotaName" : "quota_name", q->resource);
    if (w->metric != METRIC_QUOTA_LIMIT)
        prom_add_label_number(w->out, "limit", (uint64_t)MAX(q->limit, 0));
    metrics_close_sample(w->out, w->metric == METRIC_QUOTA_LIMIT ? q->limit : q->used);
    return true;
}

/* ---- the service itself ------------------------------------------------- */

/* go_version is the reference's; it says nothing here. */
static void print_build(GString *out)
{
    const struct build_info *b = build_info();
    head(out, METRIC_BUILD);
    g_string_append_printf(out, "%s{", metric_words[METRIC_BUILD].name);
    prom_add_label(out, "version", b->version);
    prom_add_label(out, "revision", b->revision);
    prom_add_label(out, "build_date", b->date);
    prom_add_label(out, "go_version", "");
    prom_add_label(out, "compiler", b->compiler);
    g_string_append_printf(out, "platform=\"%s\"} 1\n", b->platform);
}

static void print_number(GString *out, enum metric m, uint64_t value)
{
    head(out, m);
    g_string_append_printf(out, "%s %" G_GUINT64_FORMAT "\n", metric_words[m].name, value);
}

static void print_times(GString *out, enum metric m, const struct histogram *h)
{
    histogram_print(h, metric_words[m].name, metric_words[m].help, out);
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
    print_number(out, METRIC_STRANGERS, s->count.strangers);
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
    print_times(out, METRIC_QUEUE_SECONDS, &s->queue_ns);
    print_times(out, METRIC_WATCH_LAG_SECONDS, &s->watch_lag_ns);
}

/* ---- in pieces ---------------------------------------------------------- */

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
        metrics_print_migs(w);
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
    if (metrics_is_of_pods(w->metric))
        metrics_print_pods(w, n);
    else
        metrics_print_cards(w, n);
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
    struct http_pieces pieces = {next_piece, scrape_free, w, true};
    (void)request;
    w->s = data;
    w->nodes = g_array_new(FALSE, FALSE, sizeof(ClusterNode));
    cluster_node_each(w->s->cluster, collect, w->nodes);
    http_respond_pieces(responder, 200, "text/plain; version=0.0.4; charset=utf-8", &pieces);
}
