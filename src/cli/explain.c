/* SPDX-License-Identifier: Apache-2.0
 *
 * hami explain: why a pod is pending, or where a request would fit; asked of
 * the cluster, of a running `hami scheduler`, or of a snapshot, off line.
 */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/explain_held.h"
#include "cli/explain_text.h"
#include "cli/manifest_flags.h"
#include "model/quantity.h"
#include "scheduler/collect.h"
#include "vendor/admit.h"

static struct manifest_flags flags;
static const char *kubeconfig, *kube_context, *snapshot_file, *node_selector;
static bool as_json, all;

static const struct cli_option options[] = {
    {"kubeconfig", 0, CLI_TEXT, "FILE", "cluster to ask; needs to list nodes, pods and resourcequotas",
     &kubeconfig},
    {"context", 0, CLI_TEXT, "NAME", "context of the kubeconfig", &kube_context},
    {"snapshot", 0, CLI_TEXT, "FILE", "instead of a cluster: /debug/snapshot of `hami scheduler`",
     &snapshot_file},
    {"node-label-selector", 0, CLI_TEXT, "k=v,...", "as given to `hami scheduler`", &node_selector},
    {"all", 'a', CLI_FLAG, NULL, "every node and card", &all},
    {"json", 0, CLI_FLAG, NULL, "print JSON", &as_json},
    MANIFEST_FLAGS(flags),
    {0},
};

static char *config_text; /* of --device-config-file; lives until the end */

static bool scheduler_flags(struct scheduler_options *o, GError **error)
{
    *o = (struct scheduler_options){.kubeconfig = kubeconfig,
                                    .kube_context = kube_context,
                                    .node_selector = node_selector,
                                    .node_policy = "binpack",
                                    .card_policy = "spread",
                                    .vendors = {.enable_ascend = true, .enable_iluvatar = true}};
    if (flags.device_config && !config_text &&
        !cli_read_file("device-config-file", flags.device_config, &config_text, NULL, error))
        return false;
    o->device_config = config_text;
    return true;
}

static Snapshot *open_cluster(GError **error)
{
    struct scheduler_options o;
    g_autofree char *text = NULL;
    gsize len;
    if (!scheduler_flags(&o, error))
        return NULL;
    if (!snapshot_file)
        return collect_snapshot(&o, error);
    Snapshot *s = NULL;
    if (!cli_read_file("snapshot", snapshot_file, &text, &len, error))
        return NULL;
    s = snapshot_parse(text, len, error);
    if (!s)
        g_prefix_error(error, "--snapshot %s: ", snapshot_file);
    return s;
}

/* ---- pods -------------------------------------------------------------- */

struct sought {
    const char *namespace_, *name;
    struct cluster_pod pod;
    bool found;
};

static bool is_sought(const struct cluster_pod *p, void *data)
{
    struct sought *s = data;
    if (strcmp(p->namespace_, s->namespace_) != 0 || strcmp(p->name, s->name) != 0)
        return true;
    s->pod = *p;
    s->found = true;
    return false;
}

static char *waiting_text(const Snapshot *s, const struct pod_reader *reader, const char *namespace_,
                          const char *name)
{
    for (char **w = s->waiting; *w; w++) {
        struct pod_object p;
        const char *why;
        if (!pod_object_parse(reader, *w, strlen(*w), &p, &why))
            continue;
        bool same = strcmp(p.namespace_, namespace_) == 0 && strcmp(p.name, name) == 0;
        pod_object_clear(&p);
        if (same)
            return g_strdup(*w);
    }
    return NULL;
}

static int print_placed(const Snapshot *s, const struct cluster_pod *p)
{
    const struct node_spec *spec = p->node == CLUSTER_NO_NODE ? NULL : cluster_node_spec(s->cluster, p->node);
    json_t *cards = json_array();
    if (!as_json)
        printf("pod %s/%s holds cards of node %s\n", p->namespace_, p->name, p->node_name);
    for (unsigned i = 0; spec && i < p->n_grants; i++) {
        const struct card_grant *g = &p->grants[i];
        char buf[QUANTITY_TEXT], cores[EXPLAIN_CORES_TEXT];
        if (!as_json)
            printf("  container %u: card %u %s, %s%s\n", g->slot, spec->cards[g->card].index,
                   spec->cards[g->card].uuid, quantity_format_bytes(g->mem_bytes, buf),
                   explain_cores_text(s->families->rows[spec->cards[g->card].family], g->cores, cores));
        json_array_append_new(cards, json_pack("{s:i,s:s,s:I,s:I}", "slot", (int)g->slot, "uuid",
                                               spec->cards[g->card].uuid, "mem_bytes",
                                               (json_int_t)g->mem_bytes, "cores", (json_int_t)g->cores));
    }
    json_t *out =
        json_pack("{s:b,s:s,s:o}", "placed", 1, "node", p->node_name ? p->node_name : "", "cards", cards);
    if (as_json)
        return cli_print_json(out);
    json_decref(out);
    return STATUS_OK;
}

/* ------------------------------------------------------------------------ */

/* Reads a pod; a new one as admission makes it, which adds cards to their parts and the like. */
static bool read_pod(const Snapshot *s, const struct pod_reader *reader, const char *text, bool is_new,
                     struct pod_object *ret, const char **ret_why)
{
    struct admit_policy policy = {.scheduler_name = "", .defaults = {"binpack", "spread"}};
    struct admit_result result;
    struct json_scan scan;
    if (!is_new)
        return pod_object_parse(reader, text, strlen(text), ret, ret_why);
    json_scan_init(&scan, text, strlen(text));
    if (!pod_object_scan_new(reader, &scan, ret)) {
        *ret_why = scan.fault;
        return false;
    }
    vendor_admit(s->families, &policy, ret, "", &result);
    admit_result_clear(&result); /* what would be refused, the request's reader says */
    return true;
}

/* Explains a pod's text on the snapshot. */
static int explain_text(const struct verb *v, const Snapshot *s, const struct pod_reader *reader,
                        const char *text, bool is_new)
{
    static struct pod_request wanted;
    struct pod_defaults defaults = {"binpack", "spread"};
    struct pod_object pod;
    const char *fault;
    g_autofree char *why = NULL;
    int status = STATUS_OK;
    g_autoptr(GPtrArray) held = is_new ? NULL : explain_held(s->families, text);
    if (!read_pod(s, reader, text, is_new, &pod, &fault))
        return cli_usage(v, "the pod cannot be read: %s", fault);
    if (!vendor_request_parse(s->families, &pod, &defaults, &wanted, NULL, &why)) {
        status = cli_usage(v, "%s", why);
    } else if (pod_request_is_empty(&wanted)) {
        status =
            cli_usage(v, "the pod asks for no card of the families in force%s%s",
                      held && held->len ? ": " : "", held && held->len ? (const char *)held->pdata[0] : "");
        pod_request_clear(&wanted);
    } else {
        g_autoptr(Explanation) e = sched_explain_pod(s->cluster, &wanted, NULL, 0);
        struct explain_view view = {s->families, s->cluster, &wanted, e, held, all};
        status = e->reason == SCHED_FITS ? STATUS_OK : STATUS_NO_FIT;
        if (as_json)
            cli_print_json(explain_json(&view));
        else
            explain_print(&view, pod.namespace_, pod.name);
        pod_request_clear(&wanted);
    }
    pod_object_clear(&pod);
    return status;
}

static int explain_pod(const struct verb *v, const Snapshot *s, const struct pod_reader *reader,
                       const char *id)
{
    g_autoptr(GError) error = NULL;
    g_auto(GStrv) parts = g_strsplit(id, "/", 2);
    const char *namespace_ = parts[1] ? parts[0] : "default", *name = parts[1] ? parts[1] : parts[0];
    struct sought sought = {.namespace_ = namespace_, .name = name};
    struct scheduler_options o;
    cluster_pod_each(s->cluster, is_sought, &sought);
    if (sought.found)
        return print_placed(s, &sought.pod);
    g_autofree char *text = waiting_text(s, reader, namespace_, name);
    if (!text && snapshot_file)
        return cli_usage(
            v,
            "pod %s/%s is not in the snapshot, neither placed nor waiting: hami was not asked for "
            "it; `kubectl describe pod` says what kube-scheduler waits for",
            namespace_, name);
    if (!text && (!scheduler_flags(&o, &error) || !(text = collect_pod(&o, namespace_, name, &error))))
        return cli_fail(v, error);
    return explain_text(v, s, reader, text, false);
}

/* A pod made of the flags. */
static int explain_fit(const struct verb *v, const Snapshot *s, const struct pod_reader *reader)
{
    g_autoptr(GError) error = NULL;
    struct manifest_options o = manifest_flags_options(&flags);
    o.kind = "pod";
    o.name = "request";
    json_t *pod = manifest_build(s->families, &o, &error);
    if (!pod)
        return cli_fail(v, error);
    json_object_set_new(json_object_get(pod, "metadata"), "uid", json_string("request"));
    json_object_set_new(json_object_get(pod, "metadata"), "namespace", json_string("default"));
    g_autofree char *text = json_dumps(pod, JSON_COMPACT);
    json_decref(pod);
    return explain_text(v, s, reader, text, true);
}

static int run(int argc, char **argv)
{
    g_autoptr(GError) error = NULL;
    const struct verb *v = cli_verb("explain");
    const char *what = argc ? argv[0] : NULL, *id = NULL;
    int rest = 0, status;
    if (!what || (strcmp(what, "pod") != 0 && strcmp(what, "fit") != 0))
        return what ? cli_usage(v, "\"%s\" is neither `pod NAMESPACE/NAME` nor `fit FLAGS`", what)
                    : cli_usage(v, "needs `pod NAMESPACE/NAME` or `fit FLAGS`");
    bool is_pod = strcmp(what, "pod") == 0;
    /* The pod's name may stand before the flags or behind them. */
    if (is_pod && argc > 1 && argv[1][0] != '-') {
        id = argv[1];
        argc--, argv++;
    }
    if ((status = cli_parse(v, argc, argv, &rest)) >= 0)
        return status;
    if (is_pod && !id && rest < argc)
        id = argv[rest++];
    if (rest < argc)
        return cli_usage(v, "\"%s\" is one word too many", argv[rest]);
    if (is_pod && !id)
        return cli_usage(v, "which pod? For example: hami explain pod default/demo");
    g_auto(GStrv) labels = g_strsplit(node_selector ? node_selector : "", ",", -1);
    for (char **p = labels; *p; p++)
        if (!strchr(*p, '='))
            return cli_usage(v, "--node-label-selector %s: needs the form key=value", *p);
    g_autoptr(Snapshot) s = open_cluster(&error);
    if (!s)
        return cli_fail(v, error);
    g_autoptr(PodReader) reader = pod_reader_new(s->families);
    status = is_pod ? explain_pod(v, s, reader, id) : explain_fit(v, s, reader);
    g_clear_pointer(&config_text, g_free);
    return status;
}

const struct verb verb_explain = {
    .name = "explain",
    .arguments = "pod NAMESPACE/NAME | fit [FLAGS]",
    .summary = "why a pod is pending, and what would help",
    .text =
        "Reads nodes, pods and quotas of the cluster as `hami scheduler` does and decides as it does. `pod`\n"
        "takes a pod of the cluster, `fit` a request made of flags. Exit status 0 when cards fit, 66 when\n"
        "none do; what else keeps a pod waiting (taints, gates, ...) is said beside it. Give\n"
        "--device-config-file when the cluster's differs from the built-in one.",
    .examples = "hami explain pod default/demo\n"
                "hami explain fit --gpus 2 --mem 20000 --cores 50 --type A100\n"
                "kubectl -n kube-system exec deploy/hami-scheduler -c hami -- hami explain pod default/demo\n"
                "hami explain fit --request nvidia.com/gpu=1,nvidia.com/gpumem=8000\n"
                "hami explain fit --gpus 8 --snapshot snapshot.json --json",
    .options = options,
    .options_first = true,
    .run = run,
};
