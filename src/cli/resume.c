/* SPDX-License-Identifier: Apache-2.0
 *
 * hami resume: let suspended slices go on.
 */
#include "cli/slices.h"
#include "local/stop.h"

static bool resume(struct broker *b, const char *word, GError **error)
{
    return stop_suspend(b, word, false, error);
}

static int run(int argc, char **argv)
{
    return slices_each(cli_verb("resume"), argc, argv, resume);
}

const struct verb verb_resume = {
    .name = "resume",
    .arguments = "ID...",
    .summary = "let suspended slices go on",
    .text = "Undoes `hami suspend`.",
    .examples = "hami resume 6f1e9c02\nhami resume trainer server",
    .run = run,
};
