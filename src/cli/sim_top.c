/* SPDX-License-Identifier: Apache-2.0
 *
 * hami sim top: cards of a simulated machine and who works on them, live.
 */
#include "cli/live.h"
#include "cli/sim.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "sim/inspect.h"

#define WINDOW_NS 1000000000ULL
#define SHOWN 256

static bool once, as_json;
static const char *interval;

static const struct cli_option options[] = {
    {"once", '1', CLI_FLAG, NULL, "print once and end", &once},
    {"json", 0, CLI_FLAG, NULL, "as JSON (with --once: one object, else one a line)", &as_json},
    {"interval", 'i', CLI_TEXT, "TIME", "between two looks (default 1s)", &interval},
    SIM_MACHINE_OPTIONS,
    {0},
};

/* Per mille of the last second in which a process (0: any) had the card's engine. */
static unsigned busy_pm(unsigned d, int pid)
{
    uint64_t now = sim_now(), from = now > WINDOW_NS ? now - WINDOW_NS : 0;
    if (now == from)
        return 0;
    return (unsigned)(sim_inspect_busy_ns(d, UINT32_MAX, pid, from, now) * 1000 / (now - from));
}

static int own_pid(const struct sim_process_view *v)
{
    return sim_state->processes[v->slot].pid; /* as the log has it */
}

static json_t *card_json(unsigned d)
{
    const struct sim_device_profile *p = &sim_state->profile.devices[d];
    g_autofree struct sim_process_view *views = g_new0(struct sim_process_view, SHOWN);
    size_t n = sim_inspect_processes(d, views, SHOWN);
    json_t *processes = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(processes, json_pack("{s:i, s:i, s:s, s:I, s:f, s:I}", "pid", views[i].pid,
                                                   "part", (int)views[i].part, "cgroup", views[i].cgroup,
                                                   "memory_bytes", (json_int_t)views[i].mem_bytes, "busy_pct",
                                                   busy_pm(d, own_pid(&views[i])) / 10.0, "launches",
                                                   (json_int_t)views[i].launches));
    return json_pack("{s:i, s:s, s:s, s:I, s:I, s:f, s:i, s:b, s:o}", "device", (int)d, "name", p->name,
                     "uuid", p->uuid, "memory_bytes", (json_int_t)p->mem_bytes, "memory_used_bytes",
                     (json_int_t)sim_inspect_mem_used(d, UINT32_MAX), "busy_pct", busy_pm(d, 0) / 10.0,
                     "queued", (int)sim_inspect_queued(d), "lost", sim_state->devices[d].fault.lost != 0,
                     "processes", processes);
}

static json_t *frame_json(void)
{
    char path[256];
    json_t *cards = json_array();
    for (unsigned d = 0; d < sim_state->profile.n_devices; d++)
        json_array_append_new(cards, card_json(d));
    sim_state_path(path, sizeof path);
    return json_pack("{s:s, s:s, s:I, s:b, s:o}", "machine", sim_state->profile.name, "state", path, "now_ns",
                     (json_int_t)sim_now(), "virtual_time", sim_state->profile.virtual_time, "cards", cards);
}

static void bar(GString *ret, unsigned pm)
{
    unsigned full = MIN(pm, 1000u) * 20 / 1000;
    for (unsigned i = 0; i < 20; i++)
        g_string_append_c(ret, i < full ? '#' : '.');
}

/* Lines end by clearing what a longer one left behind them. */
static void draw_card(GString *ret, unsigned d, const char *end)
{
    const struct sim_device_profile *p = &sim_state->profile.devices[d];
    g_autofree struct sim_process_view *views = g_new0(struct sim_process_view, SHOWN);
    size_t n = sim_inspect_processes(d, views, SHOWN);
    uint64_t used = sim_inspect_mem_used(d, UINT32_MAX);
    unsigned busy = busy_pm(d, 0);
    g_string_append_printf(ret, "%2u  %-24s %s%s", d, p->name,
                           sim_state->devices[d].fault.lost ? "LOST"
                           : p->mig_enabled                 ? "MIG"
                                                            : "",
                           end);
    g_string_append(ret, "    memory  ");
    bar(ret, (unsigned)((unsigned __int128)used * 1000 / p->mem_bytes));
    g_string_append_printf(ret, " %7" G_GUINT64_FORMAT " / %7" G_GUINT64_FORMAT " MiB%s    compute ",
                           used >> 20, (guint64)(p->mem_bytes >> 20), end);
    bar(ret, busy);
    g_string_append_printf(ret, " %5.1f %%, %u waiting%s", busy / 10.0, sim_inspect_queued(d), end);
    for (size_t i = 0; i < n; i++)
        g_string_append_printf(
            ret,
            "      pid %-8d %7" G_GUINT64_FORMAT " MiB  %5.1f %%  %10" G_GUINT64_FORMAT " launches  %s%s",
            views[i].pid, (guint64)(views[i].mem_bytes >> 20), busy_pm(d, own_pid(&views[i])) / 10.0,
            (guint64)views[i].launches, views[i].cgroup, end);
}

static bool show(bool live)
{
    if (as_json && once)
        return cli_print_json(frame_json()) == STATUS_OK;
    if (as_json) {
        json_t *frame = frame_json();
        json_dumpf(frame, stdout, JSON_COMPACT);
        json_decref(frame);
        putchar('\n');
        return fflush(stdout) == 0;
    }
    const char *end = live ? "\033[K\n" : "\n";
    char path[256];
    g_autoptr(GString) text = g_string_new(live ? "\033[H" : NULL);
    sim_state_path(path, sizeof path);
    g_string_append_printf(text, "%s  %s time  driver %s  %s%s", sim_state->profile.name,
                           sim_state->profile.virtual_time ? "virtual" : "real",
                           sim_state->profile.driver_version, path, end);
    for (unsigned d = 0; d < sim_state->profile.n_devices; d++)
        draw_card(text, d, end);
    if (live) {
        g_string_append(text, "\033[J");
        cli_clip(text);
    }
    fputs(text->str, stdout);
    return fflush(stdout) == 0;
}

static int run(int argc, char **argv)
{
    const struct verb *v = &sim_verb_top;
    uint64_t interval_ms;
    (void)argv;
    if (argc > 0)
        return cli_usage(v, "takes no argument");
    if (!live_interval(v, interval, &interval_ms))
        return STATUS_USAGE;
    int status = sim_open(v);
    if (status != STATUS_OK)
        return status;
    bool live = !once && !as_json && live_possible(), shown;
    once |= !live && !as_json;
    live_start(live);
    do
        shown = show(live);
    while (shown && !once && live_wait(interval_ms));
    live_end();
    return shown ? STATUS_OK : STATUS_FAILED;
}

const struct verb sim_verb_top = {
    .name = "sim top",
    .arguments = "",
    .summary = "cards of a simulated machine and who works on them, live",
    .text = "Compute is the share of the last second in which the card worked. Press q to end. Without a "
            "terminal\n"
            "it prints once.",
    .examples = "hami sim top --sim 2xa100-40g\nhami sim top --once --json | jq '.cards[].busy_pct'",
    .options = options,
    .run = run,
};
