/* SPDX-License-Identifier: Apache-2.0
 *
 * fake-apiserver: as much of a Kubernetes API server as a scheduler, a client
 * and their tests need, in memory and on plain HTTP; with a cluster made from a
 * seed, counters and faults (control.c). api.h says what it leaves out.
 */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "api.h"

static Server *running;

static void on_signal(int number)
{
    (void)number;
    serve_quit(running);
}

struct options {
    char *listen, *port_file, *kubeconfig, *token;
    int nodes, cards;
    double pods_per_card, latency_ms, bookmark_ms;
    gint64 seed;
    int history;
    gboolean confirm, gzip, die_with_parent;
};

static void generate(struct api *api)
{
    const struct cluster *c = &api->cluster;
    char node[40], pod[64];
    for (uint32_t i = 0; i < c->nodes; i++) {
        cluster_node_name(c, i, node);
        store_put_generated(api->store, R_NODES, node, i);
    }
    for (uint32_t i = 0; i < c->n_pods; i++) {
        cluster_pod_key(c, i, pod);
        store_put_generated(api->store, R_PODS, pod, i);
    }
}

static bool write_file(const char *path, const char *text)
{
    GError *error = NULL;
    if (!path || g_file_set_contents(path, text, -1, &error))
        return true;
    g_printerr("fake-apiserver: %s\n", error->message);
    g_error_free(error);
    return false;
}

static bool announce(const struct api *api, const struct options *o)
{
    unsigned port = serve_port(api->server);
    g_auto(GStrv) address = g_strsplit(o->listen, ":", 2);
    g_autofree char *number = g_strdup_printf("%u\n", port);
    g_autofree char *config =
        g_strdup_printf("apiVersion: v1\nkind: Config\ncurrent-context: fake\nclusters:\n- name: fake\n  "
                        "cluster:\n    server: http://%s:%u\n"
                        "contexts:\n- name: fake\n  context:\n    cluster: fake\n    user: fake\nusers:\n- "
                        "name: fake\n  user:\n    token: \"%s\"\n",
                        address[0], port, o->token ? o->token : "none");
    if (!write_file(o->kubeconfig, config) || !write_file(o->port_file, number))
        return false;
    g_print("fake-apiserver ready on http://%s:%u nodes=%u pods=%u seed=%" G_GINT64_FORMAT "\n", address[0],
            port, api->cluster.nodes, api->cluster.n_pods, o->seed);
    fflush(stdout);
    return true;
}

static bool parse(struct options *o, int argc, char **argv)
{
    const GOptionEntry entries[] = {
        {"listen", 0, 0, G_OPTION_ARG_STRING, &o->listen, "Where to listen (127.0.0.1:0, any port)",
         "IP:PORT"},
        {"port-file", 0, 0, G_OPTION_ARG_FILENAME, &o->port_file, "Write the port here", "FILE"},
        {"kubeconfig", 0, 0, G_OPTION_ARG_FILENAME, &o->kubeconfig, "Write a kubeconfig for clients here",
         "FILE"},
        {"token", 0, 0, G_OPTION_ARG_STRING, &o->token, "Serve only who carries this bearer token", "TEXT"},
        {"nodes", 0, 0, G_OPTION_ARG_INT, &o->nodes, "Nodes to make (0)", "N"},
        {"cards", 0, 0, G_OPTION_ARG_INT, &o->cards, "Cards per node (8)", "N"},
        {"pods-per-card", 0, 0, G_OPTION_ARG_DOUBLE, &o->pods_per_card,
         "Pods bound per card on average, 0 to 2 (2)", "X"},
        {"seed", 0, 0, G_OPTION_ARG_INT64, &o->seed, "Decides cluster and faults (1)", "N"},
        {"latency-ms", 0, 0, G_OPTION_ARG_DOUBLE, &o->latency_ms, "Each request waits so long (0)", "MS"},
        {"bookmark-ms", 0, 0, G_OPTION_ARG_DOUBLE, &o->bookmark_ms, "Bookmarks at most so often (5000)",
         "MS"},
        {"history", 0, 0, G_OPTION_ARG_INT, &o->history, "Changes of a kind that stay readable (50000)", "N"},
        {"confirm", 0, 0, G_OPTION_ARG_NONE, &o->confirm, "Play the device plugins: confirm each binding",
         NULL},
        {"gzip", 0, 0, G_OPTION_ARG_NONE, &o->gzip, "Pack answers of 1 KiB and more for who takes it", NULL},
        {"die-with-parent", 0, 0, G_OPTION_ARG_NONE, &o->die_with_parent,
         "End when the starting process does", NULL},
        {0}};
    g_autoptr(GOptionContext) context = g_option_context_new("- a Kubernetes API server in memory");
    GError *error = NULL;
    g_option_context_add_main_entries(context, entries, NULL);
    if (!g_option_context_parse(context, &argc, &argv, &error)) {
        g_printerr("fake-apiserver: %s\n", error->message);
        g_error_free(error);
        return false;
    }
    if (argc > 1 || o->nodes < 0 || o->nodes > 99999 || o->cards < 1 || o->cards > 64 ||
        o->pods_per_card < 0 || o->pods_per_card > 2 || o->latency_ms < 0 || o->bookmark_ms < 1 ||
        o->history < 1 || o->seed < 0) {
        g_printerr("fake-apiserver: nodes 0..99999, cards 1..64, pods per card 0..2, nothing negative; see "
                   "--help\n");
        return false;
    }
    return true;
}

int main(int argc, char **argv)
{
    struct options o = {
        .nodes = 0, .cards = 8, .pods_per_card = 2, .seed = 1, .bookmark_ms = 5000, .history = 50000};
    o.listen = g_strdup("127.0.0.1:0");
    if (!parse(&o, argc, argv))
        return 2;
    if (o.die_with_parent)
        prctl(PR_SET_PDEATHSIG, SIGTERM);
    struct api api = {.latency_ns = (uint64_t)(o.latency_ms * 1e6),
                      .bookmark_ns = (uint64_t)(o.bookmark_ms * 1e6),
                      .confirm = o.confirm,
                      .gzip = o.gzip,
                      .token = g_strdup(o.token),
                      .identity = "server-0"};
    api.server = running = serve_new(o.listen, api_handle, api_delay, &api);
    if (!running) {
        g_printerr("fake-apiserver: cannot listen on %s: %s\n", o.listen, g_strerror(errno));
        return 1;
    }
    faults_init(&api.faults, (uint64_t)o.seed);
    cluster_init(&api.cluster, (uint64_t)o.seed, (uint32_t)o.nodes, (uint32_t)o.cards, o.pods_per_card);
    api.counters = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    api.watches = g_hash_table_new(NULL, NULL);
    api.store = store_new((size_t)o.history);
    store_set_render(api.store, api_render, &api);
    generate(&api);
    store_set_changed(api.store, watch_changed, &api);
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    bool ready = announce(&api, &o);
    if (ready)
        serve_run(api.server);
    serve_free(api.server);
    store_free(api.store);
    cluster_clear(&api.cluster);
    faults_clear(&api.faults);
    g_hash_table_unref(api.counters);
    g_hash_table_unref(api.watches);
    g_free(api.token);
    g_strfreev(api.refused);
    g_free(o.listen), g_free(o.port_file), g_free(o.kubeconfig), g_free(o.token);
    return !ready;
}
