/* SPDX-License-Identifier: Apache-2.0
 *
 * hami ps: the slices.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

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

/* ---- table ---------------------------------------------------------------- */

enum { COMMAND = 8, COLUMNS, COMMAND_MIN = 12 };

static const struct {
    const char *title;
    bool right; /* figures */
} columns[COLUMNS] = {{"ID", false},   {"NAME", false},   {"STATE", false},
                      {"CARDS", true}, {"MEMORY", false}, {"CORES", true},
                      {"PROCS", true}, {"AGE", false},    {"COMMAND", false}};

/* Cells in rows of COLUMNS; the first row is the titles. */
static void add_slice(GPtrArray *cells, const struct view_slice *v)
{
    const struct ledger_slice *s = &v->slice;
    guint64 now_ms = (guint64)(g_get_real_time() / 1000);
    guint64 end = s->state == LEDGER_ENDED ? s->ended_ms : now_ms;
    char *row[COLUMNS] = {
        g_strdup(s->id),
        g_strdup(s->name[0] ? s->name : "-"), /* whole: it is what other verbs take */
        state_of(s),
        g_strdup_printf("%u", s->n_shares),
        memory_of(v),
        s->shares[0].cores_pct ? g_strdup_printf("%u%%", s->shares[0].cores_pct) : g_strdup("-"),
        g_strdup_printf("%u", v->region ? v->region->n_processes : 0),
        cli_duration(end > s->created_ms ? end - s->created_ms : 0),
        g_strdup(s->command),
    };
    for (int i = 0; i < COLUMNS; i++)
        g_ptr_array_add(cells, row[i]);
}

static GPtrArray *table(GPtrArray *views)
{
    GPtrArray *cells = g_ptr_array_new_with_free_func(g_free);
    for (int i = 0; i < COLUMNS; i++)
        g_ptr_array_add(cells, g_strdup(columns[i].title));
    for (guint i = 0; i < views->len; i++)
        add_slice(cells, g_ptr_array_index(views, i));
    return cells;
}

/* Bytes of the first characters of a text. */
static size_t cut(const char *text, int characters)
{
    if (!g_utf8_validate(text, -1, NULL))
        return MIN(strlen(text), (size_t)characters);
    return characters < g_utf8_strlen(text, -1) ? (size_t)(g_utf8_offset_to_pointer(text, characters) - text)
                                                : strlen(text);
}

/* Columns are as wide as what stands in them. On a terminal the command takes what is left of the line. */
static void print_table(GPtrArray *cells)
{
    int widths[COLUMNS] = {0}, before = 0, left = G_MAXINT;
    for (guint i = 0; i < cells->len; i++)
        widths[i % COLUMNS] = MAX(widths[i % COLUMNS], (int)strlen(cells->pdata[i]));
    for (int i = 0; i < COMMAND; i++)
        before += widths[i] + 2;
    if (isatty(STDOUT_FILENO))
        left = MAX((int)cli_width() - before, COMMAND_MIN);
    for (guint i = 0; i < cells->len; i++) {
        const char *cell = cells->pdata[i];
        guint column = i % COLUMNS;
        if (column == COMMAND)
            printf("%.*s\n", (int)cut(cell, left), cell);
        else
            printf("%*s  ", columns[column].right ? widths[column] : -widths[column], cell);
    }
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
    if (!as_json) {
        g_autoptr(GPtrArray) cells = table(views);
        print_table(cells);
        return STATUS_OK;
    }
    json_t *list = json_array();
    for (guint i = 0; i < views->len; i++)
        json_array_append_new(list, view_json(NULL, g_ptr_array_index(views, i)));
    return cli_print_json(list);
}

const struct verb verb_ps = {
    .name = "ps",
    .arguments = "",
    .summary = "the slices of this host",
    .text =
        "Memory is used/limit of the first card; a star marks a smaller limit that waits for memory to be\n"
        "freed. PROCS counts the processes that have used the card. AGE of an ended slice is how long it\n"
        "ran. On a terminal the command is cut to what fits the line.",
    .examples = "hami ps\nhami ps --all\nhami ps --json | jq '.[].id'",
    .options = options,
    .run = run,
};
