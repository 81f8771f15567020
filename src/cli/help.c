/* SPDX-License-Identifier: Apache-2.0
 *
 * hami help: what there is.
 */
#include <stdio.h>

#include "cli/sim.h"

extern const struct verb verb_help, verb_sim;

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
    const struct verb *v = argc > 0 ? cli_verb(argv[0]) : NULL, *word = NULL;
    if (argc > 0 && !v)
        return cli_unknown_verb(&verb_help, argv[0]);
#ifdef HAMI_WITH_SIM
    if (argc > 1 && v == &verb_sim)
        word = sim_word(argv[1]);
#endif
    if (argc > (word ? 2 : 1))
        return cli_usage(&verb_help, "\"%s\" is one word too many", argv[word ? 2 : 1]);
    if (v) {
        cli_help(word ? word : v);
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
    .arguments = "[VERB [WORD]]",
    .summary = "what there is",
    .examples = "hami help\nhami help run\nhami help sim fault\nhami help --exit-codes",
    .options = options,
    .run = run,
};
