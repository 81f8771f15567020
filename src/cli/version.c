/* SPDX-License-Identifier: Apache-2.0
 *
 * hami version.
 */
#include <stdio.h>

#include "base/build_info.h"
#include "cli/cli.h"
#include "local/ledger.h"
#include "local/paths.h"

static bool as_json;

static const struct cli_option options[] = {
    {"json", 0, CLI_FLAG, NULL, "as JSON", &as_json},
    {0},
};

static int run(int argc, char **argv)
{
    g_autoptr(Paths) p = paths_new();
    const struct build_info *b = build_info();
    (void)argv;
    if (argc > 0)
        return cli_usage(cli_verb("version"), "takes no argument");
    if (as_json)
        return cli_print_json(json_pack("{s:s, s:s, s:s, s:i, s:i, s:s?, s:s?, s:s, s:s, s:s}", "version",
                                        b->version, "revision", b->revision, "build_date", b->date, "grant",
                                        GRANT_VERSION, "ledger", LEDGER_SCHEMA, "library", p->library,
                                        "simulator", p->simulator, "state", p->state, "runtime", p->runtime,
                                        "config", p->config));
    printf("hami %s (grant %d, ledger %d)\nrevision   %s (%s)\nlibrary    %s\nsimulator  %s\nstate "
           "     %s\nruntime    "
           "%s\nconfig     %s\n",
           b->version, GRANT_VERSION, LEDGER_SCHEMA, b->revision, b->date,
           p->library ? p->library : "not installed", p->simulator ? p->simulator : "not installed", p->state,
           p->runtime, p->config);
    return STATUS_OK;
}

const struct verb verb_version = {
    .name = "version",
    .arguments = "",
    .summary = "versions, and where things lie",
    .examples = "hami version\nhami version --json",
    .options = options,
    .run = run,
};
