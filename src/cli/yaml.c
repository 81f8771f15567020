/* SPDX-License-Identifier: Apache-2.0
 *
 * hami yaml: writes manifests of pods that ask for cards, and checks existing
 * ones as admission would.
 */
#include <stdio.h>
#include <string.h>

#include "base/yaml_json.h"
#include "cli/cli.h"
#include "cli/manifest_flags.h"
#include "vendor/admit.h"
#include "vendor/config.h"
#include "vendor/manifest_lint.h"

static struct manifest_flags flags;
static const char *name, *namespace_, *image, *replicas = "1", *scheduler_name, *check;
static bool as_json;

static const struct cli_option options[] = {
    {"check", 0, CLI_TEXT, "FILE", "check a manifest instead of writing one; - = standard input", &check},
    {"name", 'n', CLI_TEXT, "NAME", "name of the object and its container", &name},
    {"namespace", 0, CLI_TEXT, "NAME", "namespace of the object", &namespace_},
    {"image", 'i', CLI_TEXT, "IMAGE", "image of the container (busybox; it sleeps without a command)",
     &image},
    {"replicas", 0, CLI_TEXT, "N", "of a deployment; parallel pods of a job (1)", &replicas},
    {"scheduler", 0, CLI_TEXT, "NAME", "schedulerName; normally admission sets it", &scheduler_name},
    MANIFEST_FLAGS(flags),
    {"json", 0, CLI_FLAG, NULL, "print JSON", &as_json},
    {0},
};

/* ---- check ------------------------------------------------------------- */

struct checking {
    const struct family_set *families;
    json_t *findings;
    unsigned to_mend; /* errors and warnings */
    const char *where;
};

static void add_finding(struct checking *c, const char *level, const char *where, const char *message)
{
    json_array_append_new(c->findings,
                          json_pack("{s:s,s:s,s:s}", "level", level, "object", where, "message", message));
    c->to_mend += strcmp(level, "note") != 0;
}

static void add_lint(enum lint_level level, const char *message, void *data)
{
    static const char *const names[] = {"error", "warning", "note"};
    struct checking *c = data;
    add_finding(c, names[level], c->where, message);
}

#define OWN_SCHEDULER "hami-scheduler"

/* Why admission leaves the pod alone. */
static char *left_alone(json_t *pod)
{
    const char *its = json_string_value(json_object_get(json_object_get(pod, "spec"), "schedulerName"));
    if (!its || !*its || strcmp(its, "default-scheduler") == 0 || strcmp(its, OWN_SCHEDULER) == 0)
        return g_strdup("asks for no accelerator of the families in force");
    return g_strdup_printf(
        "spec.schedulerName is \"%.253s\": admission leaves it alone, whatever it asks for; "
        "remove it, and it is set to " OWN_SCHEDULER,
        its);
}

static void check_pod(json_t *pod, const char *where, const char *in_namespace, void *data)
{
    struct checking *c = data;
    struct admit_result result = {0};
    struct admit_policy policy = {
        .scheduler_name = OWN_SCHEDULER, .force_overwrite = true, .defaults = {"binpack", "spread"}};
    char *text = json_dumps(pod, JSON_COMPACT);
    vendor_admit_text(c->families, NULL, &policy, text ? text : "", text ? strlen(text) : 0, in_namespace,
                      &result);
    free(text);
    for (guint i = 0; result.refusals && i < result.refusals->len; i++)
        add_finding(c, "error", where, result.refusals->pdata[i]);
    if (!result.allowed && !result.refusals) {
        add_finding(c, "error", where, result.message);
    } else if (!result.ours) {
        g_autofree char *why = left_alone(pod);
        add_finding(c, "note", where, why);
    }
    for (guint i = 0; result.warnings && i < result.warnings->len; i++)
        add_finding(c, "warning", where, result.warnings->pdata[i]);
    admit_result_clear(&result);
    c->where = where;
    manifest_lint(c->families, pod, add_lint, c);
}

#define INPUT_MAX (8u << 20) /* more than the parser takes, so that it says so */

static bool read_file(const char *path, char **ret_text, gsize *ret_len, GError **error)
{
    if (strcmp(path, "-") != 0)
        return cli_read_file(NULL, path, ret_text, ret_len, error);
    GString *all = g_string_new("");
    char buf[4096];
    size_t n;
    while (all->len <= INPUT_MAX && (n = fread(buf, 1, sizeof buf, stdin)) > 0)
        g_string_append_len(all, buf, (gssize)n);
    *ret_len = all->len;
    *ret_text = g_string_free(all, FALSE);
    return true;
}

static void print_findings(json_t *findings)
{
    json_t *f;
    size_t i;
    bool colour = cli_colour(STDOUT_FILENO);
    json_array_foreach(findings, i, f)
    {
        const char *level = json_string_value(json_object_get(f, "level"));
        const char *on = !colour                         ? ""
                         : strcmp(level, "error") == 0   ? "\033[31m"
                         : strcmp(level, "warning") == 0 ? "\033[33m"
                                                         : "";
        printf("%s%-7s%s  %s: %s\n", on, level, *on ? "\033[0m" : "",
               json_string_value(json_object_get(f, "object")),
               json_string_value(json_object_get(f, "message")));
    }
}

/* One that the API server would know what to do with. */
static bool is_object(json_t *document)
{
    return json_string_length(json_object_get(document, "kind")) &&
           json_string_length(json_object_get(document, "apiVersion"));
}

/* A document's pods. What holds none is fine where it is another object of Kubernetes'. */
static unsigned check_document(struct checking *c, json_t *document, size_t number)
{
    unsigned pods = manifest_pods(document, check_pod, c);
    if (pods || is_object(document))
        return pods;
    g_autofree char *why =
        g_strdup_printf("document %zu is no object of Kubernetes' and holds no pod; it needs "
                        "apiVersion and kind",
                        number + 1);
    add_finding(c, "error", check, why);
    return 0;
}

/* Said beside the findings, so that nobody takes it for a judgement. */
static void note_nothing(struct checking *c, size_t n)
{
    g_autofree char *text = g_strdup_printf("nothing to check: %zu object%s, no pod and no template of one",
                                            n, n == 1 ? "" : "s");
    fprintf(stderr, "hami yaml: %s: %s\n", check, text);
    if (as_json)
        add_finding(c, "note", check, text);
}

static int run_check(const struct verb *v, const struct family_set *families)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *text = NULL;
    gsize len = 0;
    json_t *documents = NULL, *document;
    struct checking c = {.families = families};
    unsigned pods = 0;
    size_t i;
    if (!read_file(check, &text, &len, &error))
        return cli_fail(v, error);
    if (!(documents = yaml_json_parse(text, len, &error))) {
        g_prefix_error(&error, "%s: ", check);
        return cli_fail(v, error);
    }
    c.findings = json_array();
    json_array_foreach(documents, i, document) pods += check_document(&c, document, i);
    if (json_array_size(documents) == 0)
        add_finding(&c, "error", check, "it is empty: there is no object in it");
    if (pods == 0 && c.to_mend == 0)
        note_nothing(&c, json_array_size(documents));
    json_decref(documents);
    int status = c.to_mend ? STATUS_USAGE : STATUS_OK;
    if (as_json) {
        int printed = cli_print_json(c.findings);
        return status == STATUS_OK ? printed : status;
    }
    print_findings(c.findings);
    if (json_array_size(c.findings) == 0 && pods)
        printf("%s: %u pod%s, nothing to mend\n", check, pods, pods == 1 ? "" : "s");
    json_decref(c.findings);
    return status;
}

/* ---- write ------------------------------------------------------------- */

/* NULL, or what is wrong with the name of an object, a container and a label. */
static const char *bad_name(const char *text)
{
    size_t n = strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-");
    if (text[n] || n == 0 || *text == '-' || text[n - 1] == '-')
        return "is not made of small letters, digits and inner dashes, as Kubernetes asks of names";
    return n > 63 ? "is longer than 63 characters" : NULL;
}

static bool is_kind(const char *word)
{
    return strcmp(word, "pod") == 0 || strcmp(word, "deployment") == 0 || strcmp(word, "job") == 0;
}

static int run_write(const struct verb *v, const struct family_set *families, const char *kind,
                     char **command)
{
    g_autoptr(GError) error = NULL;
    guint64 n;
    const char *why;
    if (!is_kind(kind))
        return cli_usage(v, "\"%s\" is none of pod, deployment and job", kind);
    if (!name)
        return cli_usage(v, "--name is needed; for example: hami yaml %s --name demo --gpus 1 --mem 8G",
                         kind);
    if ((why = bad_name(name)))
        return cli_usage(v, "--name %s: %s", name, why);
    if (namespace_ && (why = bad_name(namespace_)))
        return cli_usage(v, "--namespace %s: %s", namespace_, why);
    if (!g_ascii_string_to_unsigned(replicas, 10, 1, 100000, &n, NULL))
        return cli_usage(v, "--replicas %s: is not a number from 1 to 100000", replicas);
    struct manifest_options o = manifest_flags_options(&flags);
    o.kind = kind;
    o.name = name;
    o.namespace_ = namespace_;
    o.image = image;
    o.scheduler_name = scheduler_name;
    o.replicas = (uint32_t)n;
    o.command = (const char *const *)command;
    json_t *object = manifest_build(families, &o, &error);
    if (!object)
        return cli_fail(v, error);
    if (as_json)
        return cli_print_json(object);
    g_autofree char *yaml = yaml_json_format(object);
    json_decref(object);
    return fputs(yaml, stdout) < 0 ? STATUS_FAILED : STATUS_OK;
}

static int run(int argc, char **argv)
{
    const struct verb *v = cli_verb("yaml");
    int rest = 0, status;
    const char *kind = argc ? argv[0] : NULL;
    /* Flags may follow the kind; what follows them is the container's command. */
    if (argc && (status = cli_parse(v, argc, argv, &rest)) >= 0)
        return status;
    g_autoptr(FamilySet) families = manifest_flags_families(v, &flags, &status);
    if (!families)
        return status;
    if (kind && check && !is_kind(kind))
        return cli_usage(v, "--check takes one file, \"%s\" is one too many", kind);
    if (kind && check)
        return cli_usage(v, "\"%s\" and --check exclude each other: write a manifest or check one", kind);
    if (rest < argc && strcmp(argv[rest - 1], "--") != 0)
        return cli_usage(v, "\"%s\" is one word too many; a command for the container follows --",
                         argv[rest]);
    if (check)
        return run_check(v, families);
    if (!kind)
        return cli_usage(v, "needs a kind (pod, deployment, job) or --check FILE");
    return run_write(v, families, kind, argv + rest);
}

const struct verb verb_yaml = {
    .name = "yaml",
    .arguments = "pod|deployment|job [FLAGS] [-- COMMAND...]",
    .summary = "write or check manifests that ask for cards",
    .text =
        "Without --check, prints a manifest for the flags given. With it, every pod and pod template of\n"
        "the file is judged as the admission webhook would, and its names are compared with those that are\n"
        "known; the exit status is 64 when there is an error or a warning, or no object at all. A file of\n"
        "objects without pods is fine; that there was nothing to check is said on standard error.",
    .examples = "hami yaml pod --name demo --gpus 1 --mem 3000 --cores 30 | kubectl apply -f -\n"
                "hami yaml deployment --name web --vendor MLU --mem 8G --node-policy spread\n"
                "hami yaml job --name train --gpus 8 --gpu-policy topology-aware -- python train.py\n"
                "hami yaml --check deployment.yaml",
    .options = options,
    .options_first = true,
    .run = run,
};
