/* SPDX-License-Identifier: Apache-2.0
 *
 * hami resume: let suspended slices go on.
 */
#include "cli/cli.h"
#include "local/stop.h"

static int run(int argc, char **argv)
{
    const struct verb *v = cli_verb("resume");
    g_autoptr(GError) error = NULL;
    int worst = STATUS_OK;
    if (argc == 0)
        return cli_usage(v, "needs a slice; for example: hami resume 6f1e9c02");
    g_autoptr(Broker) b = broker_open(&error);
    if (!b)
        return cli_fail(v, error);
    for (int i = 0; i < argc; i++) {
        g_autoptr(GError) problem = NULL;
        if (!stop_suspend(b, argv[i], false, &problem))
            worst = cli_fail(v, problem);
    }
    return worst;
}

const struct verb verb_resume = {
    .name = "resume",
    .arguments = "ID...",
    .summary = "let suspended slices go on",
    .text = "Undoes `hami suspend`.",
    .examples = "hami resume 6f1e9c02\nhami resume trainer server",
    .run = run,
};
