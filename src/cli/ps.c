/* SPDX-License-Identifier: Apache-2.0
 *
 * hami ps: the slices.
 */
#include <stdio.h>
#include <string.h>

#include "cli/cli.h"
#include "local/view.h"

static bool all, as_json;

static const struct cli_option options[] = {
    {"all", 'a', CLI_FLAG, NULL, "ended slices as well", &all},
    {"json", 0, CLI_FLAG, NULL, "as JSON", &as_json},
    {0},
};

static char *memory_of(const struct view_slice *v)
{
    char used[QUANTITY_TEXT], limit[QUANTITY_TEXT];
    const struct ledger_share *s = &v->slice.shares[0];
    return g_strdup_printf("%s/%s%s", v->region ? quantity_format_bytes(v->region->used[0], used) : "-",
                           quantity_format_bytes(s->pending_bytes ? s->pending_bytes : s->mem_bytes, limit),
                           s->pending_bytes ? "*" : "");
}

static char *state_of(const struct ledger_slice *s)
{
    if (s->state == LEDGER_ENDED)
        return g_strdup_printf("ended (%d)", s->exit_status);
    return g_strdup(s->suspended ? "suspended" : ledger_state_name(s->state));
}

/* A name is shown whole: it is what other verbs take. */
static int name_width(GPtrArray *views)
{
    size_t width = 12;
    for (guint i = 0; i < views->len; i++)
        width = MAX(width, strlen(((const struct view_slice *)g_ptr_array_index(views, i))->slice.name));
    return (int)width;
}

static void print_slice(const struct view_slice *v, int name_column)
{
    const struct ledger_slice *s = &v->slice;
    guint64 now_ms = (guint64)(g_get_real_time() / 1000);
    g_autofree char *state = state_of(s);
    g_autofree char *memory = memory_of(v);
    g_autofree char *cores =
        s->shares[0].cores_pct ? g_strdup_printf("%u%%", s->shares[0].cores_pct) : g_strdup("-");
    guint64 end = s->state == LEDGER_ENDED ? s->ended_ms : now_ms;
    g_autofree char *age = cli_duration(end > s->created_ms ? end - s->created_ms : 0);
    printf("%-8s  %-*s  %-11s  %5u  %-21s  %5s  %5u  %-9s  %s\n", s->id, name_column,
           s->name[0] ? s->name : "-", state, s->n_shares, memory, cores,
           v->region ? v->region->n_processes : 0, age, s->command);
}

static int run(int argc, char **argv)
{
    g_autoptr(GError) error = NULL;
    const struct verb *v = cli_verb("ps");
    (void)argv;
    if (argc > 0)
        return cli_usage(v, "takes no argument");
    g_autoptr(Broker) b = broker_open(&error);
    g_autoptr(GPtrArray) views = b ? view_slices(b, !all, &error) : NULL;
    if (!views)
        return cli_fail(v, error);
    json_t *list = json_array();
    if (!as_json)
        printf("%-8s  %-*s  %-11s  %5s  %-21s  %5s  %5s  %-9s  %s\n", "ID", name_width(views), "NAME",
               "STATE", "CARDS", "MEMORY", "CORES", "PROCS", "AGE", "COMMAND");
    for (guint i = 0; i < views->len; i++) {
        if (as_json)
            json_array_append_new(list, view_json(NULL, g_ptr_array_index(views, i)));
        else
            print_slice(g_ptr_array_index(views, i), name_width(views));
    }
    if (as_json)
        return cli_print_json(list);
    json_decref(list);
    return STATUS_OK;
}

const struct verb verb_ps = {
    .name = "ps",
    .arguments = "",
    .summary = "the slices of this host",
    .text =
        "Memory is used/limit of the first card; a star marks a smaller limit that waits for memory to be\n"
        "freed. PROCS counts the processes that have used the card.",
    .examples = "hami ps\nhami ps --all\nhami ps --json | jq '.[].id'",
    .options = options,
    .run = run,
};
