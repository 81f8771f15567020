/* SPDX-License-Identifier: Apache-2.0
 *
 * hami top: cards and slices, live.
 */
#include <stdio.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/live.h"
#include "cli/sim.h"
#include "cli/top_draw.h"

static bool once, as_json;
static const char *simulated, *interval;
static char *machine; /* of --sim */

static const struct cli_option options[] = {
    {"once", '1', CLI_FLAG, NULL, "print once and end", &once},
    {"json", 0, CLI_FLAG, NULL, "as JSON (with --once: one object, else one a line)", &as_json},
    {"interval", 'i', CLI_TEXT, "TIME", "between two looks (default 1s)", &interval},
    {"sim", 0, CLI_TEXT, "PROFILE", "look at this simulated machine's cards as well", &simulated},
    {0},
};

/* Asks the driver once, so that cards without a slice are shown. A host
 * without a driver still shows what the ledger knows. */
static bool look_for_cards(struct broker *b, GError **error)
{
    g_autofree struct driver_inventory *inventory = g_new0(struct driver_inventory, 1);
    if (!simulated) {
        broker_discover(b, NULL, NULL, inventory, NULL);
        return true;
    }
    machine = broker_machine(simulated);
    g_autofree char *state = broker_sim_state(machine);
    return broker_discover(b, machine, state, inventory, error);
}

static json_t *frame_json(GArray *cards, GPtrArray *before, GPtrArray *now)
{
    json_t *card_list = json_array(), *slice_list = json_array();
    for (guint i = 0; i < cards->len; i++)
        json_array_append_new(card_list, view_card_json(&g_array_index(cards, struct view_card, i)));
    for (guint i = 0; i < now->len; i++) {
        const struct view_slice *v = g_ptr_array_index(now, i);
        json_array_append_new(slice_list, view_json(view_find(before, v->slice.id), v));
    }
    return json_pack("{s:I, s:o, s:o}", "time_ms", (json_int_t)(g_get_real_time() / 1000), "cards", card_list,
                     "slices", slice_list);
}

static bool show(struct broker *b, GPtrArray *before, GPtrArray *now, bool live, GError **error)
{
    g_autoptr(GArray) cards = view_cards(b, before, now, error);
    if (!cards)
        return false;
    view_drop_idle_machines(cards, machine);
    if (as_json && once)
        return cli_print_json(frame_json(cards, before, now)) == STATUS_OK;
    if (as_json) {
        json_t *frame = frame_json(cards, before, now);
        json_dumpf(frame, stdout, JSON_COMPACT);
        json_decref(frame);
        putchar('\n');
    } else {
        g_autoptr(GString) text = g_string_new(live ? "\033[H" : NULL);
        top_draw(text, cards, before, now, cli_width(), cli_colour(STDOUT_FILENO), live);
        if (live)
            cli_clip(text);
        fputs(text->str, stdout);
    }
    return fflush(stdout) == 0;
}

static bool loop(struct broker *b, uint64_t interval_ms, bool live, GError **error)
{
    g_autoptr(GPtrArray) before = view_slices(b, true, error);
    bool more = before != NULL;
    while (more) {
        if (!live_wait(once ? MIN(interval_ms, 300) : interval_ms))
            return true;
        g_autoptr(GPtrArray) now = NULL;
        if (!broker_settle(b, error) || !(now = view_slices(b, true, error)) ||
            !show(b, before, now, live, error))
            return *error == NULL;
        g_ptr_array_unref(before);
        before = g_steal_pointer(&now);
        more = !once;
    }
    return before != NULL;
}

static bool run_live(struct broker *b, uint64_t interval_ms, GError **error)
{
    live_start(true);
    bool done = loop(b, interval_ms, true, error);
    live_end();
    return done;
}

static int run(int argc, char **argv)
{
    const struct verb *v = cli_verb("top");
    g_autoptr(GError) error = NULL;
    uint64_t interval_ms;
    (void)argv;
    if (argc > 0)
        return cli_usage(v, "takes no argument");
    if (simulated && !sim_profile_known(v, simulated))
        return STATUS_USAGE;
    if (!live_interval(v, interval, &interval_ms))
        return STATUS_USAGE;
    g_autoptr(Broker) b = broker_open(&error);
    if (!b || !look_for_cards(b, &error))
        return cli_fail(v, error);
    bool live = !once && !as_json && live_possible();
    once |= !live && !as_json;
    bool done = live ? run_live(b, interval_ms, &error) : loop(b, interval_ms, false, &error);
    return done ? STATUS_OK : cli_fail(v, error);
}

const struct verb verb_top = {
    .name = "top",
    .arguments = "",
    .summary = "cards and slices with their use, live",
    .text =
        "Bars show what is used of what is granted; of a card, # is used and + granted to slices. THROTTLED\n"
        "is the part of the time in which launches waited for their share. Press q to end. Without a\n"
        "terminal it prints once. A simulated machine is shown while a slice runs on it, or with --sim.",
    .examples = "hami top\nhami top --once\nhami top --once --json | jq '.slices[].shares'\nhami top --json "
                "--interval 500ms",
    .options = options,
    .run = run,
};
