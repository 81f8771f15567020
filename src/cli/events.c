/* SPDX-License-Identifier: Apache-2.0
 *
 * hami events: what happened.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "local/queue.h"

static bool as_json, follow;
static const char *since;

static const struct cli_option options[] = {
    {"follow", 'f', CLI_FLAG, NULL, "go on printing as they happen", &follow},
    {"since", 0, CLI_TEXT, "TIME", "only those of the last TIME (10m, 2h)", &since},
    {"json", 0, CLI_FLAG, NULL, "as JSON, one object a line", &as_json},
    {0},
};

static void print_event(const struct ledger_event_row *e)
{
    g_autoptr(GDateTime) utc = g_date_time_new_from_unix_utc((gint64)(e->time_ms / 1000));
    g_autoptr(GDateTime) local = utc ? g_date_time_to_local(utc) : NULL;
    g_autofree char *when = local ? g_date_time_format(local, "%F %T") : g_strdup("?");
    if (!as_json) {
        printf(*e->text ? "%s  %-8s  %-9s  %s\n" : "%s  %-8s  %s%s\n", when, e->slice, e->kind, e->text);
        return;
    }
    json_t *j = json_pack("{s:I, s:I, s:s, s:s, s:s%}", "sequence", (json_int_t)e->sequence, "time_ms",
                          (json_int_t)e->time_ms, "slice", e->slice, "kind", e->kind, "text", e->text,
                          strlen(e->text));
    if (!j)
        return;
    json_dumpf(j, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(j);
}

static int run(int argc, char **argv)
{
    const struct verb *v = cli_verb("events");
    g_autoptr(GError) error = NULL;
    struct ledger_slice s = {0};
    uint64_t since_ms = 0;
    int64_t after = 0;
    const char *why = since ? quantity_parse_duration(since, &since_ms) : NULL;
    if (why)
        return cli_usage(v, "--since %s: %s; for example --since 10m", since, why);
    if (argc > 1)
        return cli_usage(v, "takes one slice at most");
    uint64_t from_ms = since ? (uint64_t)(g_get_real_time() / 1000) - since_ms : 0;
    g_autoptr(Broker) b = broker_open(&error);
    if (!b || (argc == 1 && !ledger_find(b->ledger, argv[0], &s, &error)))
        return cli_fail(v, error);
    for (;;) {
        g_autoptr(Watch) watch = follow ? watch_open(b, 0, &error) : NULL;
        g_autoptr(GArray) events = !follow || watch ? ledger_events(b->ledger, after, s.id, &error) : NULL;
        for (guint i = 0; events && i < events->len; i++) {
            const struct ledger_event_row *e = &g_array_index(events, struct ledger_event_row, i);
            after = e->sequence;
            if (e->time_ms >= from_ms)
                print_event(e);
        }
        if (!events)
            return cli_fail(v, error);
        if (fflush(stdout) != 0 || !follow)
            return STATUS_OK;
        watch_reader(watch, STDOUT_FILENO);
        watch_wait(watch, 0);
        if (watch_reader_gone(watch))
            return STATUS_OK;
        if (!broker_settle(b, &error))
            return cli_fail(v, error);
    }
}

const struct verb verb_events = {
    .name = "events",
    .arguments = "[ID]",
    .summary = "what happened to the slices",
    .examples = "hami events\nhami events --since 1h trainer\nhami events --follow --json",
    .options = options,
    .run = run,
};
