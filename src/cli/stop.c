/* SPDX-License-Identifier: Apache-2.0
 *
 * hami stop: ends slices.
 */
#include "local/stop.h"
#include "cli/cli.h"

static const char *grace;

static const struct cli_option options[] = {
    {"grace", 0, CLI_TEXT, "TIME", "between SIGTERM and SIGKILL (default: the configuration's, 10s)", &grace},
    {0},
};

static int run(int argc, char **argv)
{
    const struct verb *v = cli_verb("stop");
    g_autoptr(GError) error = NULL;
    int worst = STATUS_OK;
    if (argc == 0)
        return cli_usage(v, "needs a slice; for example: hami stop 6f1e9c02");
    g_autoptr(Broker) b = broker_open(&error);
    if (!b)
        return cli_fail(v, error);
    uint64_t grace_ms = b->settings->grace_ms;
    const char *why = grace ? quantity_parse_duration(grace, &grace_ms) : NULL;
    if (why)
        return cli_usage(v, "--grace %s: %s; for example --grace 5s", grace, why);
    for (int i = 0; i < argc; i++) {
        g_autoptr(GError) problem = NULL;
        if (!stop_slice(b, argv[i], grace_ms, &problem))
            worst = cli_fail(v, problem);
    }
    return worst;
}

const struct verb verb_stop = {
    .name = "stop",
    .arguments = "ID...",
    .summary = "end slices: SIGTERM, then SIGKILL to everything in them",
    .examples = "hami stop 6f1e9c02\nhami stop --grace 1s trainer server",
    .options = options,
    .run = run,
};
