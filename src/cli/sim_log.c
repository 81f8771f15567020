/* SPDX-License-Identifier: Apache-2.0
 *
 * hami sim log: completed intervals of work, oldest first on each card.
 */
#include "cli/live.h"
#include "cli/sim.h"

#include <stdio.h>
#include <string.h>

#include "sim/inspect.h"

#define LOOK_EVERY_MS 100
#define READ_AT_ONCE 512

static bool as_json, follow;
static const char *device, *pid_text, *cgroup, *engine_text;

static const struct cli_option options[] = {
    {"follow", 'f', CLI_FLAG, NULL, "begin now, and go on printing as work ends", &follow},
    {"device", 'd', CLI_TEXT, "N", "only these cards (0 or 0,2; default all)", &device},
    {"pid", 'p', CLI_TEXT, "PID", "only this process, as it sees itself", &pid_text},
    {"cgroup", 0, CLI_TEXT, "PATH", "only this control group and what is below it", &cgroup},
    {"engine", 0, CLI_TEXT, "NAME", "only kernel or copy work", &engine_text},
    {"json", 0, CLI_FLAG, NULL, "as JSON, one object a line", &as_json},
    SIM_MACHINE_OPTIONS,
    {0},
};

struct filter {
    int pid, engine; /* 0 and -1: any */
};

static bool wanted(const struct filter *f, const struct sim_interval *v)
{
    const char *group = sim_inspect_cgroup(v);
    size_t n = cgroup ? strlen(cgroup) : 0;
    return (f->pid == 0 || v->pid == f->pid) && (f->engine < 0 || v->engine == f->engine) &&
           (!cgroup || (strncmp(group, cgroup, n) == 0 && (group[n] == '\0' || group[n] == '/' || n == 1)));
}

static void print_interval(unsigned d, const struct sim_interval *v)
{
    const char *engine = v->engine == SIM_LOG_KERNEL ? "kernel" : "copy";
    if (!as_json) {
        printf("%18.6f  %12.3f us  card %-2u %-6s  pid %-7d  %s\n", (double)v->start_ns / 1e9,
               (double)(v->end_ns - v->start_ns) / 1e3, d, engine, v->pid, sim_inspect_cgroup(v));
        return;
    }
    json_t *j = json_pack("{s:I, s:I, s:i, s:i, s:s, s:i, s:s}", "start_ns", (json_int_t)v->start_ns,
                          "end_ns", (json_int_t)v->end_ns, "device", (int)d, "part", (int)v->part, "engine",
                          engine, "pid", (int)v->pid, "cgroup", sim_inspect_cgroup(v));
    json_dumpf(j, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(j);
}

static void print_new(struct sim_log_reader *reader, const struct filter *f)
{
    static struct sim_interval some[READ_AT_ONCE];
    size_t n;
    uint64_t lost = reader->lost;
    while ((n = sim_inspect_read(reader, some, G_N_ELEMENTS(some))) > 0)
        for (size_t i = 0; i < n; i++)
            if (wanted(f, &some[i]))
                print_interval(reader->device, &some[i]);
    if (reader->lost != lost)
        fprintf(stderr,
                "hami sim log: card %u: %" G_GUINT64_FORMAT
                " intervals were overwritten before they were read\n",
                reader->device, (guint64)(reader->lost - lost));
}

static int read_filter(const struct verb *v, struct filter *ret)
{
    guint64 pid = 0;
    *ret = (struct filter){0, -1};
    if (pid_text && !g_ascii_string_to_unsigned(pid_text, 10, 1, G_MAXINT, &pid, NULL))
        return cli_usage(v, "--pid %s: give the number of a process", pid_text);
    if (engine_text && strcmp(engine_text, "kernel") != 0 && strcmp(engine_text, "copy") != 0)
        return cli_usage(v, "--engine %s: give kernel or copy", engine_text);
    ret->pid = (int)pid;
    if (engine_text)
        ret->engine = strcmp(engine_text, "kernel") == 0 ? SIM_LOG_KERNEL : SIM_LOG_COPY;
    return STATUS_OK;
}

static int run(int argc, char **argv)
{
    const struct verb *v = &sim_verb_log;
    struct sim_log_reader readers[SIM_DEVICES] = {{0}};
    struct filter filter;
    uint32_t mask;
    (void)argv;
    if (argc > 0)
        return cli_usage(v, "takes no argument");
    int status = read_filter(v, &filter);
    if (status == STATUS_OK)
        status = sim_open(v);
    if (status != STATUS_OK)
        return status;
    if (!sim_devices(v, device, &mask))
        return STATUS_USAGE;
    if (!sim_state->profile.interval_log)
        return cli_usage(v, "this machine keeps no log: its profile says `interval_log: false`");
    for (unsigned i = 0; i < sim_state->profile.n_devices; i++) {
        readers[i].device = i;
        readers[i].next = follow ? sim_state->devices[i].log.next : 0;
    }
    live_start(false);
    do {
        for (unsigned i = 0; i < sim_state->profile.n_devices; i++)
            if (mask >> i & 1)
                print_new(&readers[i], &filter);
        if (fflush(stdout) != 0)
            return STATUS_FAILED;
    } while (follow && live_wait(LOOK_EVERY_MS));
    return STATUS_OK;
}

const struct verb sim_verb_log = {
    .name = "sim log",
    .arguments = "",
    .summary = "completed intervals of work on a simulated machine",
    .text =
        "One line for every stretch of time that an engine worked for a process: start in seconds of the\n"
        "machine's clock, length, card, engine, process, control group. The log keeps the newest half\n"
        "million of intervals, shared by the cards.",
    .examples = "hami sim log --device 0\nhami sim log --follow --json | jq .end_ns-.start_ns\n"
                "hami sim log --engine kernel --pid 4711",
    .options = options,
    .run = run,
};
