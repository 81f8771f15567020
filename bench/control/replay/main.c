/* SPDX-License-Identifier: Apache-2.0
 *
 * replay VERB: drives a scheduler extender as kube-scheduler, the API server
 * and Prometheus do, and measures it. Any extender that speaks the contract.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "verbs.h"

static const struct verb {
    const char *name;
    int (*run)(const struct options *, json_t **);
    const char *what;
} verbs[] = {{"ready", verb_ready, "wait until a pod is placed among all nodes; says the moment"},
             {"filter", verb_filter, "latency of decisions, one at a time"},
             {"throughput", verb_throughput, "decisions a second"},
             {"arrive", verb_arrive, "pods arrive, are filtered, bound and deleted"},
             {"check", verb_check, "over-allocation and wrong assignments, from the API server's pods"},
             {"webhook", verb_webhook, "latency and rate of admission reviews over TLS"},
             {"scrape", verb_scrape, "the metrics page"},
             {"writes", verb_writes, "what the API server itself can take"},
             {"certificate", verb_certificate, "make tls.crt and tls.key in --folder"}};

static bool parse(struct options *o, int *argc, char ***argv)
{
    const GOptionEntry entries[] = {
        {"extender", 0, 0, G_OPTION_ARG_STRING, &o->extender, "The extender, http://IP:PORT", "URL"},
        {"api", 0, 0, G_OPTION_ARG_STRING, &o->api, "The API server, http://IP:PORT", "URL"},
        {"url", 0, 0, G_OPTION_ARG_STRING, &o->url, "Webhook or metrics", "URL"},
        {"folder", 0, 0, G_OPTION_ARG_FILENAME, &o->folder, "Of the certificate", "DIR"},
        {"placements", 0, 0, G_OPTION_ARG_FILENAME, &o->placements, "arrive: write who got which cards",
         "FILE"},
        {"gzip", 0, 0, G_OPTION_ARG_NONE, &o->gzip, "scrape: ask for a packed page", NULL},
        {"count", 0, 0, G_OPTION_ARG_INT, &o->count, "How many (1000)", "N"},
        {"warmup", 0, 0, G_OPTION_ARG_INT, &o->warmup, "filter: so many before it counts (100)", "N"},
        {"keep", 0, 0, G_OPTION_ARG_INT, &o->keep, "Pods that stay at a time (filter 32, arrive 1000)", "N"},
        {"connections", 0, 0, G_OPTION_ARG_INT, &o->connections, "At a time (8)", "N"},
        {"binders", 0, 0, G_OPTION_ARG_INT, &o->binders, "arrive: binds at a time (32)", "N"},
        {"containers", 0, 0, G_OPTION_ARG_INT, &o->containers, "webhook: of the pod (10)", "N"},
        {"pid", 0, 0, G_OPTION_ARG_INT, &o->pid, "Process whose CPU time is read", "PID"},
        {"timeout", 0, 0, G_OPTION_ARG_INT, &o->timeout_s, "Of one call, and of ready, in seconds (30)", "S"},
        {"seed", 0, 0, G_OPTION_ARG_INT64, &o->seed, "Decides the pods (1)", "N"},
        {"seconds", 0, 0, G_OPTION_ARG_DOUBLE, &o->seconds,
         "So long; at most for filter (20) and arrive (300); else 3", "S"},
        {"rate", 0, 0, G_OPTION_ARG_DOUBLE, &o->rate, "arrive: pods a second (as fast as it goes)", "X"},
        {"all", 0, 0, G_OPTION_ARG_NONE, &o->all, "Every node is a candidate, no sample", NULL},
        {"mix", 0, 0, G_OPTION_ARG_NONE, &o->arrivals, "All shapes of pods, not only one slice", NULL},
        {"retry", 0, 0, G_OPTION_ARG_NONE, &o->retry, "arrive: a pod that does not fit is tried again", NULL},
        {0}};
    g_autoptr(GOptionContext) context = g_option_context_new("VERB");
    g_autoptr(GString) summary = g_string_new("Verbs:");
    GError *error = NULL;
    for (size_t i = 0; i < G_N_ELEMENTS(verbs); i++)
        g_string_append_printf(summary, "\n  %-12s %s", verbs[i].name, verbs[i].what);
    g_option_context_set_summary(context, summary->str);
    g_option_context_add_main_entries(context, entries, NULL);
    if (g_option_context_parse(context, argc, argv, &error) && *argc == 2 && o->count > 0 && o->warmup >= 0 &&
        o->timeout_s > 0)
        return true;
    g_printerr("replay: %s; see --help\n",
               error ? error->message : "one verb and sensible numbers are needed");
    g_clear_error(&error);
    return false;
}

int main(int argc, char **argv)
{
    struct options o = {.count = 1000,
                        .warmup = 100,
                        .keep = -1,
                        .connections = 8,
                        .binders = 32,
                        .containers = 10,
                        .timeout_s = 30,
                        .seed = 1};
    json_t *result = NULL;
    int status = 2;
    if (!parse(&o, &argc, &argv))
        return 2;
    bool arrive = strcmp(argv[1], "arrive") == 0;
    if (o.keep < 0)
        o.keep = arrive ? 1000 : 32;
    if (o.seconds <= 0)
        o.seconds = arrive ? 300 : strcmp(argv[1], "filter") == 0 ? 20 : 3;
    const struct verb *v = verbs;
    while (v < verbs + G_N_ELEMENTS(verbs) && strcmp(v->name, argv[1]) != 0)
        v++;
    if (v < verbs + G_N_ELEMENTS(verbs))
        status = v->run(&o, &result);
    else
        g_printerr("replay: no verb \"%s\"; see --help\n", argv[1]);
    if (result) {
        char *text = json_dumps(result, JSON_COMPACT | JSON_REAL_PRECISION(16));
        puts(text);
        free(text);
        json_decref(result);
    }
    char **texts[] = {&o.extender, &o.api, &o.url, &o.folder, &o.placements};
    for (size_t i = 0; i < G_N_ELEMENTS(texts); i++)
        g_free(*texts[i]);
    return status;
}
