/* SPDX-License-Identifier: Apache-2.0
 *
 * hami stop: ends slices.
 */
#include "local/stop.h"
#include "cli/slices.h"

static const char *grace;

static const struct cli_option options[] = {
    {"grace", 0, CLI_TEXT, "TIME", "between SIGTERM and SIGKILL (default: the configuration's, 10s)", &grace},
    {0},
};

static uint64_t grace_ms;

static bool stop(struct broker *b, const char *word, GError **error)
{
    return stop_slice(b, word, grace ? grace_ms : b->settings->grace_ms, error);
}

static int run(int argc, char **argv)
{
    const struct verb *v = cli_verb("stop");
    const char *why = grace && argc > 0 ? quantity_parse_duration(grace, &grace_ms) : NULL;
    if (why)
        return cli_usage(v, "--grace %s: %s; for example --grace 5s", grace, why);
    return slices_each(v, argc, argv, stop);
}

const struct verb verb_stop = {
    .name = "stop",
    .arguments = "ID...",
    .summary = "end slices: SIGTERM, then SIGKILL to everything in them",
    .examples = "hami stop 6f1e9c02\nhami stop --grace 1s trainer server",
    .options = options,
    .run = run,
};
