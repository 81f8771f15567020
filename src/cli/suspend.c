/* SPDX-License-Identifier: Apache-2.0
 *
 * hami suspend: have launches and allocations of slices wait.
 */
#include "cli/slices.h"
#include "local/stop.h"

static bool suspend(struct broker *b, const char *word, GError **error)
{
    return stop_suspend(b, word, true, error);
}

static int run(int argc, char **argv)
{
    return slices_each(cli_verb("suspend"), argc, argv, suspend);
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
