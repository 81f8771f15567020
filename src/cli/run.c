/* SPDX-License-Identifier: Apache-2.0
 *
 * hami run: a command in a slice.
 */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "cli/refusal.h"
#include "cli/sim.h"
#include "local/launch.h"

static const char *gpus, *mem, *cores, *policy, *types, *uuids, *not_types, *not_uuids, *priority,
    *core_policy, *name, *waits, *simulated;
static const char *log_file;
static bool oversubscribe, exclusive, detach, quiet, as_json;

static const struct cli_option options[] = {
    {"gpus", 'g', CLI_TEXT, "N", "number of distinct cards (default 1)", &gpus},
    {"mem", 'm', CLI_TEXT, "SIZE|PERCENT", "memory of each: 8G, 512M, 30% (default: the configuration's)",
     &mem},
    {"cores", 'c', CLI_TEXT, "PERCENT", "compute share of each, 1 to 100 (default: no limit)", &cores},
    {"policy", 'p', CLI_TEXT, "POLICY", "which cards: binpack, spread, numa, topology", &policy},
    {"type", 0, CLI_TEXT, "LIST", "only cards whose name has one of these parts", &types},
    {"not-type", 0, CLI_TEXT, "LIST", "no card whose name has one of these parts", &not_types},
    {"uuid", 0, CLI_TEXT, "LIST", "only these cards", &uuids},
    {"not-uuid", 0, CLI_TEXT, "LIST", "none of these cards", &not_uuids},
    {"exclusive", 'x', CLI_FLAG, NULL, "nobody else on the cards", &exclusive},
    {"priority", 0, CLI_TEXT, "0|1", "0 high, 1 low (default 1)", &priority},
    {"core-policy", 0, CLI_TEXT, "POLICY", "when --cores holds: default, force, disable", &core_policy},
    {"oversubscribe", 0, CLI_FLAG, NULL, "let device memory spill to host memory", &oversubscribe},
    {"name", 'n', CLI_TEXT, "NAME", "a name for the slice", &name},
    {"wait", 'w', CLI_MAYBE, "TIME", "queue until it fits, at most TIME (30s, 5m)", &waits},
    {"detach", 'd', CLI_FLAG, NULL, "go on in the background and print the slice's id", &detach},
    {"log", 0, CLI_TEXT, "FILE", "with --detach: append the output to this file", &log_file},
    {"sim", 0, CLI_TEXT, "PROFILE", "on a simulated machine: t4, 2xa100-40g, ... or a file", &simulated},
    {"quiet", 'q', CLI_FLAG, NULL, "no word about missing protection", &quiet},
    {"json", 0, CLI_FLAG, NULL, "say in JSON why nothing fits", &as_json},
    {0},
};

/* An example that starts with = is of a flag whose value stands behind one. */
static bool wrong(const char *flag, const char *value, const char *why, const char *example)
{
    const char *between = *example == '=' ? "=" : " ";
    cli_usage(cli_verb("run"), "--%s%s%s: %s; for example --%s%s%s", flag, between, value, why, flag,
              *example == '=' ? "" : " ", example);
    return false;
}

static bool read_sizes(struct request *r)
{
    const char *why = mem ? quantity_parse_mem(mem, &r->mem) : NULL;
    guint64 n;
    if (why)
        return wrong("mem", mem, why, "8G");
    why = cores ? quantity_parse_percent(cores, &r->cores_pct) : NULL;
    if (why)
        return wrong("cores", cores, why, "30; without it there is no limit");
    if (!gpus)
        return true;
    if (!g_ascii_string_to_unsigned(gpus, 10, 1, REQUEST_DEVICES_MAX, &n, NULL))
        return wrong("gpus", gpus, "is not a number from 1 to 16", "2");
    r->n_devices = (uint32_t)n;
    return true;
}

static bool is_name(const char *text)
{
    size_t n = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-");
    return n > 0 && n < 64 && text[n] == '\0' && text[0] != '-';
}

static bool read_words(struct broker_request *r)
{
    int i = policy ? request_policy_parse(policy) : (int)r->request.policy;
    if (i < 0)
        return wrong("policy", policy, "is none of binpack, spread, numa and topology", "spread");
    r->request.policy = (enum request_policy)i;
    i = core_policy ? settings_core_policy_parse(core_policy) : (int)r->core_policy;
    if (i < 0)
        return wrong("core-policy", core_policy, "is none of default, force and disable", "force");
    r->core_policy = (enum grant_policy)i;
    if (priority && strcmp(priority, "0") != 0 && strcmp(priority, "1") != 0)
        return wrong("priority", priority, "is neither 0 nor 1", "0");
    r->priority = priority && *priority == '0' ? 0 : 1;
    if (name && !is_name(name))
        return wrong("name", name, "is not up to 63 letters, digits, '.', '_' and '-'", "trainer");
    r->name = name;
    return true;
}

/* `--wait 30s COMMAND`: the time looks like the command. Behind -- it is one. What stands before the
 * command is always a word of ours. */
static bool is_stray_time(char **argv)
{
    uint64_t ignored;
    return waits && !*waits && strcmp(argv[-1], "--") != 0 && g_ascii_isdigit(argv[0][0]) &&
           !quantity_parse_duration(argv[0], &ignored);
}

static bool read_wait(struct launch *l)
{
    const char *why = waits && *waits ? quantity_parse_duration(waits, &l->wait_ms) : NULL;
    if (is_stray_time(l->argv)) {
        cli_usage(cli_verb("run"), "--wait takes its time behind an equals sign: --wait=%s", l->argv[0]);
        return false;
    }
    l->wait = waits != NULL;
    return !why || wrong("wait", waits, why, "=30s");
}

/* A list that names nothing is a variable that was not set, not a wish for all. */
static bool read_lists(struct request *r)
{
    const struct {
        const char *flag, *value, *example;
    } lists[] = {{"type", types, "A100"},
                 {"not-type", not_types, "T4"},
                 {"uuid", uuids, "GPU-bbec0b01-1e2a-54f5-a93c-b6959d27d151"},
                 {"not-uuid", not_uuids, "GPU-bbec0b01-1e2a-54f5-a93c-b6959d27d151"}};
    for (size_t i = 0; i < G_N_ELEMENTS(lists); i++)
        if (lists[i].value && lists[i].value[strspn(lists[i].value, ", ")] == '\0')
            return wrong(lists[i].flag, lists[i].value, "names no card", lists[i].example);
    r->use_types = types;
    r->not_types = not_types;
    r->use_uuids = uuids;
    r->not_uuids = not_uuids;
    r->exclusive = exclusive;
    return true;
}

static int report(const struct launch *l, const struct launch_refusal *refusal, int status)
{
    if (as_json) {
        cli_print_json(refusal_json(&l->request.request, refusal));
        return status;
    }
    refusal_print(cli_verb("run"), &l->request.request, refusal, l->wait);
    if (status == STATUS_TIMED_OUT)
        fprintf(stderr, "  gave up after --wait=%s\n", waits);
    return status;
}

static int run(int argc, char **argv)
{
    g_autoptr(GError) error = NULL;
    g_autofree struct launch_refusal *refusal = g_new0(struct launch_refusal, 1);
    const struct verb *v = cli_verb("run");
    if (argc == 0)
        return cli_usage(v, "no command; for example: hami run --mem 8G --cores 30 -- python train.py");
    if (log_file && !detach)
        return cli_usage(v, "--log %s: goes with --detach; without it write > %s behind the command",
                         log_file, log_file);
    if (simulated && !sim_profile_known(v, simulated))
        return STATUS_USAGE;
    g_autoptr(Broker) b = broker_open(&error);
    if (!b)
        return cli_fail(v, error);
    g_autofree char *machine = simulated ? broker_machine(simulated) : NULL;
    g_autofree char *state_file = simulated ? broker_sim_state(machine) : NULL;
    g_autofree char *command = g_strjoinv(" ", argv);
    for (char *c = command; *c; c++) /* one line, and nothing that a terminal would obey */
        *c = g_ascii_iscntrl(*c) ? ' ' : *c;
    struct launch l = {.argv = argv, .detach = detach, .log = log_file, .quiet = quiet};
    l.request = (struct broker_request){
        .request = {.n_devices = 1,
                    .mem = b->settings->memory,
                    .cores_pct = b->settings->cores_pct,
                    .policy = b->settings->policy},
        .machine = machine,
        .sim_state = state_file,
        .command = command,
        .core_policy = b->settings->core_policy,
        .oversubscribe = oversubscribe,
    };
    if (!read_lists(&l.request.request) || !read_sizes(&l.request.request) || !read_words(&l.request) ||
        !read_wait(&l))
        return STATUS_USAGE;
    int status = launch_run(b, &l, refusal, &error);
    if (error)
        cli_fail(v, error);
    else if (refusal->why.reason != SCHED_FITS && (status == STATUS_NO_FIT || status == STATUS_TIMED_OUT))
        return report(&l, refusal, status);
    else if (status == STATUS_TIMED_OUT && refusal->machine.n > 0)
        fprintf(stderr, "hami run: gave up after --wait=%s: it would fit, but others wait in front\n", waits);
    return status;
}

const struct verb verb_run = {
    .name = "run",
    .arguments = "[--] COMMAND [ARGUMENT...]",
    .summary = "start a command in a slice of this host's cards",
    .text = "Picks cards, reserves the slice, starts COMMAND under its limits, passes signals and the exit\n"
            "status on, and gives the slice back. Flags come first; everything after COMMAND is its own.\n"
            "As root the command lives in its own control group and mount namespace, where limits and\n"
            "library are read-only; otherwise a program that clears its environment is not limited.",
    .examples = "hami run --mem 8G --cores 30 -- python train.py\n"
                "hami run --gpus 2 --mem 50% --policy topology -- torchrun job.py\n"
                "hami run --sim 2xa100-40g --mem 4G -- ./program\n"
                "hami run --wait=5m --name trainer --exclusive -- ./train\n"
                "id=$(hami run --detach --log serve.log --mem 2G -- ./serve); hami stop $id",
    .options = options,
    .options_first = true,
    .run = run,
};
