/* SPDX-License-Identifier: Apache-2.0
 *
 * Decisions alone: their latency one at a time, and how many a second.
 *
 * latency: each pod is new to the extender and known to the API server; it is
 * deleted `keep` pods later, so that what was set aside for it comes back. Only
 * the call is timed: from the first byte sent to the last received.
 * throughput: each connection asks for the same few pods again and again, each
 * time with other candidates, so that an answer kept from before does not fit.
 */
#include <stdio.h>
#include <string.h>

#include "bench/measure.h"
#include "crowd.h"
#include "load.h"
#include "samples.h"

#define ENOUGH 20 /* samples that are taken however long it takes */

static int begin(const struct options *o, struct http *extender, struct http *api, struct names *names)
{
    if (!o->extender || !o->api || !http_init(extender, o->extender, "Go-http-client/1.1") ||
        !http_init(api, o->api, "replay")) {
        g_printerr("replay: --extender URL and --api URL are needed\n");
        return 2;
    }
    extender->timeout_ms = api->timeout_ms = o->timeout_s * 1000;
    if (load_names(api, names))
        return 0;
    g_printerr("replay: the API server at %s has no nodes or does not answer\n", o->api);
    return 1;
}

/* True when the extender says it is ready, without asking it for anything. */
static bool says_ready(const struct options *o)
{
    struct http probe;
    http_init(&probe, o->extender, "kube-probe");
    probe.timeout_ms = o->timeout_s * 1000;
    bool ready = http_call(&probe, "GET", "/readyz", "", "", 0) == 200;
    http_clear(&probe);
    return ready;
}

/* Says "waiting" when all is prepared, then waits: until /readyz is content (tried every 2 ms, a listening
 * socket cannot be waited for) and a pod was placed among all nodes. */
int verb_ready(const struct options *o, json_t **ret_result)
{
    struct http extender, api;
    struct names names;
    struct arrival a;
    int status = begin(o, &extender, &api, &names);
    if (status)
        return status;
    load_arrival(&a, (uint64_t)o->seed, 9999999, MIX_ONE);
    load_create(&api, &a);
    g_autoptr(GString) request = load_filter_request(&extender, &a, &names, names.nodes->len);
    puts("waiting");
    fflush(stdout);
    double until = now_ns() + o->timeout_s * 1e9;
    bool ready = false;
    while (!ready && now_ns() < until) {
        ready = says_ready(o) && http_exchange(&extender, request->str, request->len) == 200 &&
                load_filter_verdict(extender.body, a.node, sizeof a.node) == VERDICT_NODE;
        if (!ready)
            g_usleep(2000);
    }
    if (ready)
        *ret_result = json_pack("{s:f}", "monotonic_ns", now_ns());
    else
        g_printerr("replay: not ready after %d s: %.300s\n", o->timeout_s, extender.body->str);
    load_delete(&api, &a);
    load_names_clear(&names);
    http_clear(&extender);
    http_clear(&api);
    return !ready;
}

int verb_filter(const struct options *o, json_t **ret_result)
{
    struct http extender, api;
    struct names names;
    int status = begin(o, &extender, &api, &names), verdicts[3] = {0};
    if (status)
        return status;
    size_t candidates = o->all ? names.nodes->len : load_sample_size(names.nodes->len), bytes = 0;
    GArray *samples = samples_new();
    int total = o->warmup + o->count, asked = 0;
    g_autofree struct arrival *arrivals = g_new0(struct arrival, (size_t)total);
    double until = now_ns() + o->seconds * 1e9;
    for (int i = 0; i < total && (now_ns() < until || samples->len < ENOUGH); i++) {
        struct arrival *a = &arrivals[i];
        load_arrival(a, (uint64_t)o->seed, (unsigned)i, o->arrivals ? MIX_ARRIVALS : MIX_ONE);
        load_create(&api, a);
        g_autoptr(GString) request = load_filter_request(&extender, a, &names, candidates);
        http_connect(&extender);
        double before = now_ns();
        int code = http_exchange(&extender, request->str, request->len);
        double after = now_ns();
        enum verdict v =
            code == 200 ? load_filter_verdict(extender.body, a->node, sizeof a->node) : VERDICT_ERROR;
        if (v == VERDICT_ERROR && verdicts[v] == 0)
            g_printerr("replay: filter answered %d: %.300s\n", code, extender.body->str);
        asked = i + 1;
        if (i >= o->warmup || now_ns() >= until) {
            samples_add(samples, after - before);
            verdicts[v]++;
        }
        bytes = request->len;
        if (i >= o->keep)
            load_delete(&api, &arrivals[i - o->keep]);
    }
    for (int i = MAX(0, asked - o->keep); i < asked; i++)
        load_delete(&api, &arrivals[i]);
    *ret_result = samples_json(samples);
    json_object_update_new(*ret_result,
                           json_pack("{s:i, s:i, s:i, s:i, s:i}", "candidates", (int)candidates,
                                     "request_bytes", (int)bytes, "fit", verdicts[VERDICT_NODE], "no_fit",
                                     verdicts[VERDICT_NO_FIT], "errors", verdicts[VERDICT_ERROR]));
    g_array_unref(samples);
    load_names_clear(&names);
    http_clear(&extender);
    http_clear(&api);
    return verdicts[VERDICT_ERROR] ? 1 : 0;
}

/* ---- throughput */

#define PODS_EACH 4

static void ask(struct crowd_member *k)
{
    struct http extender;
    struct names names = *(const struct names *)k->shared;
    GString *requests[PODS_EACH * 8];
    size_t n = load_sample_size(names.nodes->len);
    http_init(&extender, k->options->extender, "Go-http-client/1.1");
    extender.timeout_ms = k->options->timeout_s * 1000;
    names.start = names.nodes->len / 8 * k->number;
    for (unsigned i = 0; i < G_N_ELEMENTS(requests); i++) {
        struct arrival a;
        load_arrival(&a, (uint64_t)k->options->seed, 5000000 + k->number * PODS_EACH + i % PODS_EACH,
                     MIX_ONE);
        g_snprintf(a.uid, sizeof a.uid, "00000000-0000-4000-8000-%012u", a.number);
        g_strlcpy(a.rv, "1", sizeof a.rv);
        requests[i] = load_filter_request(&extender, &a, &names, n);
    }
    for (unsigned i = 0; now_ns() < k->until_ns; i++) {
        const GString *r = requests[i % G_N_ELEMENTS(requests)];
        bool answered = http_exchange(&extender, r->str, r->len) == 200 &&
                        strstr(extender.body->str, "\"NodeNames\":[\"");
        *(answered ? &k->done : &k->errors) += 1;
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(requests); i++)
        g_string_free(requests[i], TRUE);
    http_clear(&extender);
}

int verb_throughput(const struct options *o, json_t **ret_result)
{
    struct http extender, api;
    struct names names;
    int status = begin(o, &extender, &api, &names), n = MAX(1, o->connections);
    if (status)
        return status;
    struct crowd c = crowd_run(o, n, ask, &names);
    *ret_result = json_pack("{s:i, s:i, s:f, s:f, s:f}", "connections", n, "errors", (int)c.errors, "per_s",
                            c.done / c.span_s, "cpu_s", c.cpu_s, "per_core_s", crowd_per_core(&c));
    load_names_clear(&names);
    http_clear(&extender);
    http_clear(&api);
    return 0;
}
