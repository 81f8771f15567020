/* SPDX-License-Identifier: Apache-2.0
 *
 * hami suspend: have launches and allocations of slices wait.
 */
#include "cli/cli.h"
#include "local/stop.h"

static int run(int argc, char **argv)
{
    const struct verb *v = cli_verb("suspend");
    g_autoptr(GError) error = NULL;
    int worst = STATUS_OK;
    if (argc == 0)
        return cli_usage(v, "needs a slice; for example: hami suspend 6f1e9c02");
    g_autoptr(Broker) b = broker_open(&error);
    if (!b)
        return cli_fail(v, error);
    for (int i = 0; i < argc; i++) {
        g_autoptr(GError) problem = NULL;
        if (!stop_suspend(b, argv[i], true, &problem))
            worst = cli_fail(v, problem);
    }
    return worst;
}

const struct verb verb_suspend = {
    .name = "suspend",
    .arguments = "ID...",
    .summary = "have launches and allocations of slices wait",
    .text = "No signal is sent: a process goes on until its next launch or allocation and waits there.\n"
            "Memory stays where it is.",
    .examples = "hami suspend 6f1e9c02\nhami suspend trainer server",
    .run = run,
};
