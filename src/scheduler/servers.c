/* SPDX-License-Identifier: Apache-2.0
 *
 * The listeners. Who may call what:
 *
 *   /filter /bind /preempt /debug/snapshot   from this machine, or with a client
 *                                            certificate of --client_ca_file
 *   /webhook                                 over TLS
 *   /healthz /readyz /metrics                anyone
 *
 * With --webhook-bind the webhook has a listener of its own; without, it shares
 * the main one when that has TLS, as the reference's chart expects.
 */
#include <string.h>

#include "scheduler/service.h"

#define BODY_FILTER (64u << 20) /* 15 000 names are half a MiB; whole nodes (autoscaler) are far more */
#define BODY_BIND (1u << 20)
#define BODY_REVIEW (7u << 20)

static void review(const struct http_request *request, struct http_responder *responder, void *data)
{
    struct scheduler *s = data;
    static const char text[] =
        "the webhook is served over TLS only (--cert_file and --key_file, or --webhook-bind)\n";
    if (s->extender_tls)
        review_admit(request, responder, data);
    else
        http_respond(responder, 403, NULL, text, sizeof text - 1);
}

static void healthz(const struct http_request *request, struct http_responder *responder, void *data)
{
    (void)request, (void)data;
    http_respond(responder, 200, NULL, "ok\n", 3);
}

/* Ready means: nodes and pods are known. A standby is ready too, else no second
 * instance could ever be; whether it leads is in /metrics. */
static void readyz(const struct http_request *request, struct http_responder *responder, void *data)
{
    struct scheduler *s = data;
    g_autofree char *text =
        g_strdup_printf("nodes: %s\npods: %s\nquotas: %s\nleading: %s\n",
                        s->nodes_synced ? "known" : "being listed", s->pods_synced ? "known" : "being listed",
                        s->quotas_synced ? "known" : "being listed", scheduler_may_write(s) ? "yes" : "no");
    (void)request;
    http_respond(responder, scheduler_is_synced(s) ? 200 : 503, NULL, text, strlen(text));
}

static const struct http_route main_routes[] = {
    {"POST", "/filter", BODY_FILTER, extender_filter, true},
    {"POST", "/bind", BODY_BIND, extender_bind, true},
    {"POST", "/preempt", BODY_FILTER, extender_preempt, true},
    {"POST", "/webhook", BODY_REVIEW, review, false},
    {"GET", "/healthz", 0, healthz, false},
    {"GET", "/readyz", 0, readyz, false},
    {"GET", "/debug/snapshot", 0, snapshot_serve, true},
};

static const struct http_route webhook_routes[] = {
    {"POST", "/webhook", BODY_REVIEW, review_admit, false},
    {"GET", "/healthz", 0, healthz, false},
    {"GET", "/readyz", 0, readyz, false},
};

static const struct http_route metrics_routes[] = {
    {"GET", "/metrics", 0, metrics_serve, false},
};

static bool given(const char *text)
{
    return text && *text;
}

bool servers_start(struct scheduler *s, GError **error)
{
    struct http_server_options anywhere = {.plain_anywhere = true}, reviews = {.bodies_max = 32u << 20};
    s->extender_tls = given(s->o.cert_file);
    s->extender = http_server_new(main_routes, G_N_ELEMENTS(main_routes), NULL, s);
    if (given(s->o.webhook_bind))
        s->webhook = http_server_new(webhook_routes, G_N_ELEMENTS(webhook_routes), &reviews, s);
    if (!certs_start(s, error) || !http_server_listen(s->extender, s->o.http_bind, error))
        return false;
    if (s->webhook && !http_server_listen(s->webhook, s->o.webhook_bind, error))
        return false;
    if (!given(s->o.metrics_bind))
        return true;
    s->metrics = http_server_new(metrics_routes, G_N_ELEMENTS(metrics_routes), &anywhere, s);
    return http_server_listen(s->metrics, s->o.metrics_bind, error);
}

char *servers_address(const char *asked, const HttpServer *server)
{
    const char *colon = server && asked ? strrchr(asked, ':') : NULL;
    return colon ? g_strdup_printf("%.*s:%u", (int)(colon - asked), asked, http_server_port(server))
                 : g_strdup("none");
}

void servers_stop(struct scheduler *s)
{
    g_clear_pointer(&s->extender, http_server_free);
    g_clear_pointer(&s->webhook, http_server_free);
    g_clear_pointer(&s->metrics, http_server_free);
    certs_stop(s);
}
