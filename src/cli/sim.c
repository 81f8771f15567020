/* SPDX-License-Identifier: Apache-2.0
 *
 * hami sim: the simulated machine; finds the word behind it and runs it.
 */
#include "cli/sim.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/words.h"
#include "local/view.h"

const char *sim_chosen_profile, *sim_chosen_state;

static const struct verb *const words[] = {&sim_verb_top, &sim_verb_log, &sim_verb_fault, &sim_verb_profiles};

/* ---- which machine ---- */

bool sim_profile_known(const struct verb *v, const char *profile)
{
    g_autofree struct sim_profile *p = g_new0(struct sim_profile, 1);
    char err[512];
    if (sim_profile_load(profile, p, err, sizeof err) == 0)
        return true;
    cli_usage(v, "--sim %s: %s", profile, g_str_has_prefix(err, "HAMI_SIM: ") ? err + 10 : err);
    return false;
}

static bool is_newer(const struct ledger_slice *a, const struct ledger_slice *b)
{
    bool a_ended = a->state == LEDGER_ENDED, b_ended = b->state == LEDGER_ENDED;
    return a_ended != b_ended ? b_ended : a->created_ms >= b->created_ms;
}

/* Nothing says which machine is meant: that of the newest slice on one, of those that run if any does. */
static void choose_newest(void)
{
    g_autoptr(Broker) b = broker_open(NULL);
    g_autoptr(GPtrArray) views = b ? view_slices(b, false, NULL) : NULL;
    const struct ledger_slice *newest = NULL;
    for (guint i = 0; views && i < views->len; i++) {
        const struct view_slice *v = g_ptr_array_index(views, i);
        if (v->slice.machine[0] && (!newest || is_newer(&v->slice, newest)))
            newest = &v->slice;
    }
    if (!newest)
        return;
    g_setenv("HAMI_SIM", newest->machine, TRUE);
    if (newest->sim_state[0])
        g_setenv("HAMI_SIM_STATE", newest->sim_state, FALSE);
}

static bool is_chosen(void)
{
    const char *profile = g_getenv("HAMI_SIM");
    return sim_chosen_profile || sim_chosen_state || (profile && *profile) ||
           access("/etc/hami/sim", R_OK) == 0;
}

int sim_open(const struct verb *v)
{
    char err[512];
    if (sim_chosen_profile && !sim_profile_known(v, sim_chosen_profile))
        return STATUS_USAGE;
    if (!is_chosen())
        choose_newest();
    if (sim_chosen_profile)
        g_setenv("HAMI_SIM", sim_chosen_profile, TRUE);
    if (sim_chosen_state && !sim_chosen_profile && access(sim_chosen_state, F_OK) == 0) {
        if (sim_state_open_path(sim_chosen_state, err, sizeof err) == 0)
            return STATUS_OK;
    } else {
        if (sim_chosen_state)
            g_setenv("HAMI_SIM_STATE", sim_chosen_state, TRUE);
        if (sim_state_open(err, sizeof err) == 0)
            return STATUS_OK;
    }
    g_autoptr(GError) error = g_error_new(STATUS_ERROR, STATUS_NO_DRIVER, "%s; or give --sim PROFILE", err);
    return cli_fail(v, error);
}

bool sim_devices(const struct verb *v, const char *text, uint32_t *ret_mask)
{
    unsigned n = sim_state->profile.n_devices;
    *ret_mask = 0;
    if (!text || strcmp(text, "all") == 0) {
        *ret_mask = (1u << n) - 1;
        return true;
    }
    g_auto(GStrv) parts = g_strsplit(text, ",", -1);
    for (char **part = parts; *part; part++) {
        guint64 i = 0;
        if (!g_ascii_string_to_unsigned(*part, 10, 0, n - 1, &i, NULL)) {
            cli_usage(v, "--device %s: the machine %s has devices 0 to %u: give some of them, or all", text,
                      sim_state->profile.name, n - 1);
            return false;
        }
        *ret_mask |= 1u << i;
    }
    return true;
}

/* ---- the words ---- */

const struct verb *sim_word(const char *name)
{
    for (gsize i = 0; i < G_N_ELEMENTS(words); i++)
        if (strcmp(words[i]->name + strlen("sim "), name) == 0)
            return words[i];
    return NULL;
}

static int run_word(const struct verb *word, int argc, char **argv)
{
    g_autoptr(GPtrArray) arguments = g_ptr_array_new();
    int status = cli_parse_all(word, argc, argv, arguments);
    return status >= 0 ? status : word->run((int)arguments->len - 1, (char **)arguments->pdata);
}

static int run(int argc, char **argv)
{
    const struct verb *v = cli_verb("sim");
    if (argc == 0) {
        cli_help(v);
        return STATUS_USAGE;
    }
    const struct verb *word = sim_word(argv[0]);
    if (!word) {
        const char *names[] = {"top", "log", "fault", "profiles", NULL},
                   *near = words_nearest(argv[0], names);
        return cli_usage(v, "there is no \"%s\"%s%s%s: give top, log, fault or profiles", argv[0],
                         near ? ", did you mean \"" : "", near ? near : "", near ? "\"" : "");
    }
    return run_word(word, argc, argv);
}

static const struct cli_option options[] = {{0}};

const struct verb verb_sim = {
    .name = "sim",
    .arguments = "top|log|fault|profiles [FLAGS]",
    .summary = "look at a simulated machine, and break it on purpose",
    .text = "top       cards and processes, live\n"
            "log       completed intervals of work: start, end, process, control group\n"
            "fault     inject an XID, a lost card, a hang of NVML, slow copies, heat\n"
            "profiles  the machines that are built in\n\n"
            "Each has a --help of its own. docs/simulator.md tells what the simulator is.",
    .examples = "hami sim profiles\nhami sim top --sim 2xa100-40g\nhami sim log --follow --json\n"
                "hami sim fault xid 79 --device 0",
    .options = options,
    .options_first = true,
    .run = run,
};
