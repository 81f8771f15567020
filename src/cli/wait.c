/* SPDX-License-Identifier: Apache-2.0
 *
 * hami wait: until slices have ended.
 */
#include "cli/cli.h"
#include "local/stop.h"

static const char *timeout;

static const struct cli_option options[] = {
    {"timeout", 't', CLI_TEXT, "TIME", "give up after this time", &timeout},
    {0},
};

static int run(int argc, char **argv)
{
    const struct verb *v = cli_verb("wait");
    g_autoptr(GError) error = NULL;
    struct ledger_slice s = {0};
    uint64_t timeout_ms = 0;
    if (argc == 0)
        return cli_usage(v, "needs a slice; for example: hami wait 6f1e9c02");
    const char *why = timeout ? quantity_parse_duration(timeout, &timeout_ms) : NULL;
    if (why)
        return cli_usage(v, "--timeout %s: %s; for example --timeout 30s", timeout, why);
    gint64 deadline_us = timeout ? g_get_monotonic_time() + (gint64)timeout_ms * 1000 : 0;
    g_autoptr(Broker) b = broker_open(&error);
    if (!b)
        return cli_fail(v, error);
    for (int i = 0; i < argc; i++)
        if (!stop_wait(b, argv[i], deadline_us, &s, &error))
            return cli_fail(v, error);
    return s.exit_status;
}

const struct verb verb_wait = {
    .name = "wait",
    .arguments = "ID...",
    .summary = "wait until slices have ended; answers with the last one's exit status",
    .examples = "hami wait 6f1e9c02\nhami wait --timeout 5m trainer server",
    .options = options,
    .run = run,
};
