/* SPDX-License-Identifier: Apache-2.0
 *
 * hami scheduler: the service. The flags of the reference's `scheduler` are
 * accepted with their meaning (scheduler.md section 1.3), so that its chart's
 * command line starts this one.
 */
#include "scheduler/scheduler.h"

#include <stdio.h>
#include <string.h>

#include "base/words.h"
#include "cli/cli.h"
#include "model/quantity.h"

static const char *http_bind = "127.0.0.1:8080", *webhook_bind, *metrics_bind = ":9395", *cert_file,
                  *key_file, *client_ca_file, *webhook_configuration, *webhook_names, *trusted_user,
                  *cert_life = "90d", *kubeconfig, *kube_context, *kube_qps, *kube_burst = "10",
                  *kube_timeout, *scheduler_name = "", *node_policy = "binpack", *card_policy = "spread",
                  *node_selector, *device_config_file, *lease_name, *lease_namespace, *identity,
                  *leader_mode = "follow", *lease_duration = "15s", *renew_deadline = "10s",
                  *retry_period = "2s", *silence = "0", *lock_timeout = "5m", *lock_retry = "28s",
                  *reserve_time = "30s", *events = "failures", *admission, *log_format = "text", *verbosity,
                  *print, *ignored;
static const char *force_overwrite = "true", *leader_elect, *legacy_metrics, *enable_ascend, *enable_iluvatar,
                  *compat_label, *compat_node_lock, *compat_handshake, *profiling, *debug;

static const struct cli_option options[] = {
    {"http_bind", 0, CLI_TEXT, "ADDR", "listener of kube-scheduler: /filter, /bind, ... (127.0.0.1:8080)",
     &http_bind},
    {"webhook-bind", 0, CLI_TEXT, "ADDR", "TLS listener of /webhook, /readyz; without it --http_bind's",
     &webhook_bind},
    {"metrics-bind-address", 0, CLI_TEXT, "ADDR", "listener of /metrics (:9395); empty = none",
     &metrics_bind},
    {"cert_file", 0, CLI_TEXT, "FILE", "serving certificate; none = self-made, for --webhook-bind",
     &cert_file},
    {"key_file", 0, CLI_TEXT, "FILE", "its key; both are read again when they change", &key_file},
    {"client-ca-file", 0, CLI_TEXT, "FILE", "CA of the client certificates that --http_bind asks for",
     &client_ca_file},
    {"webhook-configuration", 0, CLI_TEXT, "NAME", "MutatingWebhookConfiguration that gets the self-made CA",
     &webhook_configuration},
    {"webhook-names", 0, CLI_TEXT, "LIST", "names of the self-made certificate (localhost,127.0.0.1)",
     &webhook_names},
    {"webhook-cert-life", 0, CLI_TEXT, "TIME",
     "of that certificate; renewed after two thirds, or on SIGHUP (90d)", &cert_life},
    {"trusted-user", 0, CLI_TEXT, "NAME", "user who may create pods that carry assignments", &trusted_user},
    {"admission-check", 0, CLI_TEXT, "LIST", "NAME=deny|warn|off,...; names in docs/reference/admission.md",
     &admission},
    {"kubeconfig", 0, CLI_TEXT, "FILE", "else $KUBECONFIG, ~/.kube/config or the pod's service account",
     &kubeconfig},
    {"context", 0, CLI_TEXT, "NAME", "context of the kubeconfig", &kube_context},
    {"kube-qps", 0, CLI_TEXT, "N", "requests a second at most (no limit)", &kube_qps},
    {"kube-burst", 0, CLI_TEXT, "N", "with --kube-qps (10)", &kube_burst},
    {"kube-timeout", 0, CLI_TEXT, "SECONDS", "of a request (30); 0 = none", &kube_timeout},
    {"scheduler-name", 0, CLI_TEXT, "NAME", "profile that admission gives pods to, and source of events",
     &scheduler_name},
    {"node-scheduler-policy", 0, CLI_TEXT, "POLICY", "binpack or spread, where a pod says nothing (binpack)",
     &node_policy},
    {"gpu-scheduler-policy", 0, CLI_TEXT, "POLICY",
     "binpack, spread, numa, mutex, topology-aware or a list (spread)", &card_policy},
    {"node-label-selector", 0, CLI_TEXT, "k=v,...", "nodes that are looked at", &node_selector},
    {"device-config-file", 0, CLI_TEXT, "FILE", "device-config.yaml: resource names, units, chips",
     &device_config_file},
    {"enable-ascend", 0, CLI_MAYBE, "BOOL", "Ascend chips of device-config.yaml", &enable_ascend},
    {"enable-iluvatar", 0, CLI_MAYBE, "BOOL", "Iluvatar chips of device-config.yaml", &enable_iluvatar},
    {"force-overwrite-default-scheduler", 0, CLI_MAYBE, "BOOL",
     "admission may replace default-scheduler (true)", &force_overwrite},
    {"leader-elect", 0, CLI_MAYBE, "BOOL", "only the leader decides", &leader_elect},
    {"leader-elect-as", 0, CLI_TEXT, "MODE",
     "follow kube-scheduler of this host, or own: have a lease (follow)", &leader_mode},
    {"leader-elect-resource-name", 0, CLI_TEXT, "NAME", "the lease", &lease_name},
    {"leader-elect-resource-namespace", 0, CLI_TEXT, "NAME", "its namespace", &lease_namespace},
    {"leader-elect-lease-duration", 0, CLI_TEXT, "TIME", "own: when others may take over (15s)",
     &lease_duration},
    {"leader-elect-renew-deadline", 0, CLI_TEXT, "TIME", "own: when the holder gives up (10s)",
     &renew_deadline},
    {"leader-elect-retry-period", 0, CLI_TEXT, "TIME", "own: between attempts (2s)", &retry_period},
    {"leader-elect-silence", 0, CLI_TEXT, "TIME",
     "follow: when a lease not renewed is given back; 0: at its end (0)", &silence},
    {"identity", 0, CLI_TEXT, "NAME", "this instance in leases (the host's name)", &identity},
    {"reservation-time", 0, CLI_TEXT, "TIME", "how long cards wait for their pod's bind (30s)",
     &reserve_time},
    {"compat-node-lock", 0, CLI_MAYBE, "BOOL", "take the node's lock where its device plugin waits for one",
     &compat_node_lock},
    {"node-lock-timeout", 0, CLI_TEXT, "TIME", "when such a lock may be broken (5m)", &lock_timeout},
    {"node-lock-retry-timeout", 0, CLI_TEXT, "TIME", "how long a bind waits for it (28s)", &lock_retry},
    {"compat-label", 0, CLI_MAYBE, "BOOL", "also set the pod label hami.io/vgpu-node (a second write)",
     &compat_label},
    {"compat-handshake", 0, CLI_MAYBE, "BOOL",
     "answer Reported_ handshakes with Requesting_ (a write per report)", &compat_handshake},
    {"legacy-metrics", 0, CLI_MAYBE, "BOOL", "also the metric names before 2.9", &legacy_metrics},
    {"events", 0, CLI_TEXT, "WHICH", "none, failures or all (failures; kube-scheduler tells of successes)",
     &events},
    {"log-format", 0, CLI_TEXT, "FORMAT", "text or json (text)", &log_format},
    {"v", 'v', CLI_TEXT, "N", "0 warnings, 1-4 decisions, 5 and more everything (4)", &verbosity},
    {"print", 0, CLI_TEXT, "WHAT", "print managed-resources or admission-policy, and stop", &print},
    /* Without effect here: device-config.yaml names the resources, and there are no log files. */
    {"profiling", 0, CLI_MAYBE, "BOOL", NULL, &profiling},
    {"debug", 0, CLI_MAYBE, "BOOL", NULL, &debug},
#define IGNORED(name)                                                                                        \
    {                                                                                                        \
        name, 0, CLI_TEXT, "VALUE", NULL, &ignored                                                           \
    }
    IGNORED("cambricon-mlu-name"),
    IGNORED("cambricon-mlu-memory"),
    IGNORED("cambricon-mlu-cores"),
    IGNORED("dcu-name"),
    IGNORED("dcu-memory"),
    IGNORED("dcu-cores"),
    IGNORED("mthreads-name"),
    IGNORED("mthreads-memory"),
    IGNORED("mthreads-cores"),
    IGNORED("metax-name"),
    IGNORED("metax-vcount"),
    IGNORED("metax-vcore"),
    IGNORED("metax-vmemory"),
    IGNORED("kunlun-name"),
    IGNORED("kunlun-vcount"),
    IGNORED("kunlun-vmemory"),
    IGNORED("enflame-gcu-resource-name"),
    IGNORED("enflame-drs-gcu-resource-name"),
    IGNORED("enflame-gcu-memory-resource-name"),
    IGNORED("enflame-gcu-core-resource-name"),
    IGNORED("enflame-vgcu-resource-name"),
    IGNORED("enflame-vgcu-legacy-resource-name"),
    IGNORED("enflame-vgcu-percentage-resource-name"),
    /* Of releases after 2.10: who may call /refit, which is not here. */
    IGNORED("device-plugin-namespace"),
    IGNORED("device-plugin-service-account"),
    /* klog's */
    IGNORED("stderrthreshold"),
    IGNORED("vmodule"),
    IGNORED("log_dir"),
    IGNORED("log_file"),
    IGNORED("log_file_max_size"),
    IGNORED("log_backtrace_at"),
#undef IGNORED
    {"sgpu-topology-aware", 0, CLI_MAYBE, "BOOL", NULL, &ignored},
/* klog's: a switch takes its value with "=" only, the others take the next word, too. */
#define SWITCH(name)                                                                                         \
    {                                                                                                        \
        name, 0, CLI_MAYBE, "BOOL", NULL, &ignored                                                           \
    }
    SWITCH("logtostderr"),
    SWITCH("alsologtostderr"),
    SWITCH("add_dir_header"),
    SWITCH("skip_headers"),
    SWITCH("skip_log_headers"),
    SWITCH("one_output"),
#undef SWITCH
    {0},
};

static int refused(const char *flag, const char *value, const char *why)
{
    return cli_usage(cli_verb("scheduler"), "--%s %s: %s", flag, value, why);
}

/* ---- kinds of values: 0, or the status of what was said ------------------- */

static int take_bool(const char *flag, const char *value, bool *ret)
{
    static const char *const yes[] = {"", "true", "1", "t", "T", "TRUE", "True"}, *const no[] = {
                                                                                      "false", "0",
                                                                                      "f",     "F",
                                                                                      "FALSE", "False"};
    *ret = false;
    if (!value)
        return 0;
    for (size_t i = 0; i < G_N_ELEMENTS(yes); i++)
        if (strcmp(value, yes[i]) == 0) {
            *ret = true;
            return 0;
        }
    for (size_t i = 0; i < G_N_ELEMENTS(no); i++)
        if (strcmp(value, no[i]) == 0)
            return 0;
    return refused(flag, value, "is neither true nor false");
}

static int take_time(const char *flag, const char *value, uint32_t *ret_ms)
{
    uint64_t ms = 0;
    const char *why = strcmp(value, "0") == 0 ? NULL : quantity_parse_duration(value, &ms);
    *ret_ms = (uint32_t)MIN(ms, (uint64_t)G_MAXINT);
    return why ? refused(flag, value, why) : 0;
}

static int take_number(const char *flag, const char *value, uint64_t min, uint64_t max, uint64_t *ret)
{
    g_autofree char *why =
        g_strdup_printf("is not a number from %" G_GUINT64_FORMAT " to %" G_GUINT64_FORMAT, min, max);
    return g_ascii_string_to_unsigned(value, 10, min, max, ret, NULL) ? 0 : refused(flag, value, why);
}

/* A month is more than the milliseconds of take_time(). */
static int take_life(uint32_t *ret_s)
{
    uint64_t ms = 0;
    const char *why = quantity_parse_duration(cert_life, &ms);
    if (!why && ms < 2000)
        why = "is shorter than two seconds";
    *ret_s = (uint32_t)(ms / 1000);
    return why ? refused("webhook-cert-life", cert_life, why) : 0;
}

/* Shorter is not told apart from an API server that takes a moment. */
static int take_silence(uint32_t *ret_ms)
{
    int status = take_time("leader-elect-silence", silence, ret_ms);
    if (!status && *ret_ms && *ret_ms < 500)
        status = refused("leader-elect-silence", silence, "is shorter than 500ms, and not 0");
    return status;
}

/* Calls per second: the reference's flag is a floating number. */
static int take_rate(const char *flag, const char *value, double *ret)
{
    char *end;
    *ret = g_ascii_strtod(value, &end);
    bool is_good = *value && !*end && *ret >= 0 && *ret <= 1000000;
    return is_good ? 0 : refused(flag, value, "is not a number from 0 to 1000000");
}

static int take_word(const char *flag, const char *value, const char *const *words, int *ret)
{
    for (*ret = 0; words[*ret]; ++*ret)
        if (strcmp(words[*ret], value) == 0)
            return 0;
    g_autofree char *all = words_join(words);
    g_autofree char *why = g_strdup_printf("is none of %s", all);
    return refused(flag, value, why);
}

static int take_checks(enum admit_level levels[ADMIT_CHECKS])
{
    static const char *const names[] = {
#define ADMIT(symbol, name, text) name,
#include "admission.def"
#undef ADMIT
        NULL,
    };
    static const char *const words[] = {"deny", "warn", "off", NULL};
    g_auto(GStrv) parts = g_strsplit(admission ? admission : "", ",", -1);
    for (char **p = parts; *p; p++) {
        int check, level, status;
        char *value = strchr(*p, '=');
        if (!value)
            return refused("admission-check", *p, "needs NAME=deny, NAME=warn or NAME=off");
        *value++ = '\0';
        if ((status = take_word("admission-check", *p, names, &check)) ||
            (status = take_word("admission-check", value, words, &level)))
            return status;
        levels[check] = (enum admit_level)level;
    }
    return 0;
}

static int take_selector(void)
{
    g_auto(GStrv) parts = g_strsplit(node_selector ? node_selector : "", ",", -1);
    for (char **p = parts; *p; p++)
        if (!strchr(*p, '='))
            return refused("node-label-selector", *p, "needs the form key=value");
    return 0;
}

static int take_policies(void)
{
    static const char *const nodes[] = {"binpack", "spread", NULL};
    static const char *const cards[] = {"binpack", "spread", "numa", "mutex", "topology-aware", NULL};
    g_auto(GStrv) parts = g_strsplit(card_policy, ",", -1);
    int at, status = take_word("node-scheduler-policy", node_policy, nodes, &at);
    for (char **p = parts; *p && !status; p++)
        status = take_word("gpu-scheduler-policy", g_strstrip(*p), cards, &at);
    return status;
}

/* ------------------------------------------------------------------------ */

static int fill(struct scheduler_options *o)
{
    static const char *const modes[] = {"follow", "own", NULL},
                             *const which[] = {"none", "failures", "all", NULL},
                             *const formats[] = {"text", "json", NULL};
    uint64_t burst = 0, timeout_s = 0, level = 4;
    int mode, event, format, status;
    if ((status = take_bool("enable-ascend", enable_ascend, &o->vendors.enable_ascend)) ||
        (status = take_bool("enable-iluvatar", enable_iluvatar, &o->vendors.enable_iluvatar)) ||
        (status = take_bool("force-overwrite-default-scheduler", force_overwrite, &o->force_overwrite)) ||
        (status = take_bool("leader-elect", leader_elect, &o->leader_elect)) ||
        (status = take_bool("legacy-metrics", legacy_metrics, &o->legacy_metrics)) ||
        (status = take_bool("compat-label", compat_label, &o->compat_label)) ||
        (status = take_bool("compat-node-lock", compat_node_lock, &o->compat_node_lock)) ||
        (status = take_bool("compat-handshake", compat_handshake, &o->compat_handshake)) ||
        (status = take_time("node-lock-timeout", lock_timeout, &o->lock_timeout_ms)) ||
        (status = take_time("node-lock-retry-timeout", lock_retry, &o->lock_retry_ms)) ||
        (status = take_time("reservation-time", reserve_time, &o->reserve_ms)) ||
        (status = take_time("leader-elect-lease-duration", lease_duration, &o->lease_ms)) ||
        (status = take_time("leader-elect-renew-deadline", renew_deadline, &o->renew_ms)) ||
        (status = take_time("leader-elect-retry-period", retry_period, &o->retry_ms)) ||
        (status = take_silence(&o->silence_ms)) || (status = take_life(&o->cert_life_s)) ||
        (status = kube_qps ? take_rate("kube-qps", kube_qps, &o->kube_qps) : 0) ||
        (status = take_number("kube-burst", kube_burst, 1, 1000000, &burst)) ||
        (status = kube_timeout ? take_number("kube-timeout", kube_timeout, 0, 3600, &timeout_s) : 0) ||
        (status = verbosity ? take_number("v", *verbosity == '=' ? verbosity + 1 : verbosity, 0, 100, &level)
                            : 0) ||
        (status = take_word("leader-elect-as", leader_mode, modes, &mode)) ||
        (status = take_word("events", events, which, &event)) ||
        (status = take_word("log-format", log_format, formats, &format)) ||
        (status = take_checks(o->admission)) || (status = take_policies()) || (status = take_selector()))
        return status;
    if (!cert_file != !key_file)
        return refused(cert_file ? "cert_file" : "key_file", cert_file ? cert_file : key_file,
                       "--cert_file and --key_file go together");
    if (o->leader_elect && !(lease_name && *lease_name && lease_namespace && *lease_namespace))
        return refused("leader-elect", "true",
                       "needs --leader-elect-resource-name and --leader-elect-resource-namespace");
    o->leader_own = mode == 1;
    if (o->silence_ms && o->leader_own)
        return refused("leader-elect-silence", silence,
                       "is for --leader-elect-as=follow; own has --leader-elect-lease-duration");
    if (o->silence_ms && !o->leader_elect)
        return refused("leader-elect-silence", silence, "needs --leader-elect");
    o->events = (enum scheduler_events)event;
    o->kube_burst = (uint32_t)burst;
    o->kube_timeout_ms = kube_timeout && !timeout_s ? UINT32_MAX : (uint32_t)timeout_s * 1000;
    o->log_level = (uint32_t)level;
    o->log_json = format == 1;
    return 0;
}

static int run(int argc, char **argv)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *config = NULL;
    const struct verb *v = cli_verb("scheduler");
    struct scheduler_options o = {
        .http_bind = http_bind,
        .webhook_bind = webhook_bind,
        .metrics_bind = metrics_bind,
        .cert_file = cert_file,
        .key_file = key_file,
        .client_ca_file = client_ca_file,
        .webhook_configuration = webhook_configuration,
        .webhook_names = webhook_names,
        .trusted_user = trusted_user,
        .kubeconfig = kubeconfig,
        .kube_context = kube_context,
        .scheduler_name = scheduler_name,
        .node_policy = node_policy,
        .card_policy = card_policy,
        .node_selector = node_selector,
        .lease_name = lease_name,
        .lease_namespace = lease_namespace,
        .identity = identity,
        .pod_name = g_getenv("POD_NAME"),
        .pod_namespace = g_getenv("POD_NAMESPACE"),
        .device_config_name = device_config_file,
    };
    if (argc > 0 && strcmp(argv[0], "version") == 0)
        return cli_verb("version")->run(argc - 1, argv + 1);
    if (argc > 0)
        return cli_usage(v, "takes no arguments, only flags; \"%s\" is one", argv[0]);
    int status = fill(&o);
    if (status)
        return status;
    if (device_config_file && *device_config_file &&
        !cli_read_file("device-config-file", device_config_file, &config, NULL, &error))
        return cli_fail(v, error);
    o.device_config = config;
    if (print) {
        g_autofree char *text = scheduler_print(&o, print, &error);
        return text ? (fputs(text, stdout), STATUS_OK) : cli_fail(v, error);
    }
    status = scheduler_run(&o, &error);
    return status >= 0 ? status : cli_fail(v, error);
}

const struct verb verb_scheduler = {
    .name = "scheduler",
    .arguments = "",
    .summary = "place pods on cards for a kube-scheduler",
    .text =
        "A kube-scheduler asks it, as its extender, for a node and cards (/filter) and to bind (/bind); the\n"
        "API server asks it to admit pods (/webhook). It follows nodes, pods and quotas by watching, "
        "decides\n"
        "in memory and writes once per pod. The flags of HAMi's scheduler are accepted with their meaning;\n"
        "resources are named by device-config.yaml alone, as there. BOOL is true where it is left out.",
    .examples = "hami scheduler --scheduler-name hami-scheduler --device-config-file device-config.yaml\n"
                "hami scheduler --kubeconfig ~/.kube/config --webhook-bind :9443\n"
                ""
                "hami scheduler --print managed-resources --device-config-file device-config.yaml",
    .options = options,
    .run = run,
};
