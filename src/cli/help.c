/* SPDX-License-Identifier: Apache-2.0
 *
 * hami help: what there is.
 */
#include <stdio.h>

#include "cli/cli.h"

static bool exits;

static const struct cli_option options[] = {
    {"exit-codes", 0, CLI_FLAG, NULL, "the exit codes and their meaning", &exits},
    {0},
};

static const struct {
    int number;
    const char *name, *meaning;
} codes[] = {
#define EXIT(name, number, meaning) {number, #name, meaning},
#include "exit.def"
#undef EXIT
};

static int run(int argc, char **argv)
{
    const struct verb *v = argc > 0 ? cli_verb(argv[0]) : NULL;
    if (argc > 0 && !v)
        return cli_usage(cli_verb("help"), "no verb is called \"%s\"; `hami help` lists them", argv[0]);
    if (v) {
        cli_help(v);
        return STATUS_OK;
    }
    for (size_t i = 0; exits && i < G_N_ELEMENTS(codes); i++)
        printf("%3d  %-15s %s\n", codes[i].number, codes[i].name, codes[i].meaning);
    if (exits)
        return STATUS_OK;
    printf("hami - accelerators shared by many workloads, on this host and in a cluster\n\nUsage: hami VERB "
           "[FLAGS] "
           "...\n\n");
    for (int i = 0; verbs[i]; i++)
        printf("  %-10s %s\n", verbs[i]->name, verbs[i]->summary);
    printf("\n`hami VERB --help` says more, with examples.\n");
    return STATUS_OK;
}

const struct verb verb_help = {
    .name = "help",
    .arguments = "[VERB]",
    .summary = "what there is",
    .examples = "hami help\nhami help run\nhami help --exit-codes",
    .options = options,
    .run = run,
};
