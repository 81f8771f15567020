/* SPDX-License-Identifier: Apache-2.0
 *
 * hami doctor: is isolation in effect?
 */
#include <stdio.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/sim.h"
#include "local/doctor.h"

static bool as_json;
static const char *simulated;

static const struct cli_option options[] = {
    {"sim", 0, CLI_TEXT, "PROFILE", "ask this simulated machine instead of the host's driver", &simulated},
    {"json", 0, CLI_FLAG, NULL, "as JSON", &as_json},
    {0},
};

static void print_row(const struct doctor_row *row)
{
    static const int colours[] = {36, 33, 31};
    const struct doctor_words *w = doctor_words(row->finding);
    bool colour = cli_colour(STDOUT_FILENO);
    g_autofree char *pid = row->pid ? g_strdup_printf(" pid %d", row->pid) : g_strdup("");
    if (colour)
        printf("\033[%dm%-7s\033[0m", colours[w->severity], doctor_severity_name(w->severity));
    else
        printf("%-7s", doctor_severity_name(w->severity));
    printf("  %s%s%s: %s\n", row->slice[0] ? "slice " : "host", row->slice, pid, w->text);
    if (row->detail[0])
        printf("         found:  %s\n", row->detail);
    printf("         remedy: %s\n", w->remedy);
}

static json_t *row_json(const struct doctor_row *row)
{
    const struct doctor_words *w = doctor_words(row->finding);
    g_autofree char *name = g_ascii_strdown(w->name, -1);
    g_autofree char *detail = g_utf8_make_valid(row->detail, -1);
    return json_pack("{s:s, s:s, s:s, s:i, s:s, s:s, s:s}", "finding", name, "severity",
                     doctor_severity_name(w->severity), "slice", row->slice, "pid", row->pid, "detail",
                     detail, "text", w->text, "remedy", w->remedy);
}

static int run(int argc, char **argv)
{
    static const int statuses[] = {STATUS_OK, STATUS_WARNING, STATUS_PROBLEM};
    const struct verb *v = cli_verb("doctor");
    g_autoptr(GError) error = NULL;
    int worst = DOCTOR_NOTE;
    if (argc > 1)
        return cli_usage(v, "takes one slice at most");
    if (simulated && !sim_profile_known(v, simulated))
        return STATUS_USAGE;
    g_autoptr(Broker) b = broker_open(&error);
    g_autofree char *machine = simulated ? broker_machine(simulated) : NULL;
    g_autoptr(GArray) rows = b ? doctor_examine(b, argc ? argv[0] : NULL, machine, &error) : NULL;
    if (!rows)
        return cli_fail(v, error);
    json_t *list = json_array();
    for (guint i = 0; i < rows->len; i++) {
        const struct doctor_row *row = &g_array_index(rows, struct doctor_row, i);
        worst = MAX(worst, (int)doctor_words(row->finding)->severity);
        if (as_json)
            json_array_append_new(list, row_json(row));
        else
            print_row(row);
    }
    if (as_json)
        cli_print_json(list);
    else
        json_decref(list);
    if (!as_json && rows->len == 0)
        printf("nothing found: isolation is in effect\n");
    return statuses[worst];
}

const struct verb verb_doctor = {
    .name = "doctor",
    .arguments = "[ID]",
    .summary = "is isolation in effect, and if not, why",
    .text = "Examines the host and every slice, or one slice: driver, cards, protection, grant, region, the\n"
            "driver's own limits, and each process. Ends with 0 (nothing, or notes), 1 (warnings) or 2\n"
            "(problems); docs/troubleshooting.md explains each finding.",
    .examples = "hami doctor\nhami doctor 6f1e9c02\nhami doctor --json\nhami doctor --sim 2xa100-40g",
    .options = options,
    .run = run,
};
