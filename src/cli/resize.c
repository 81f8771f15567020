/* SPDX-License-Identifier: Apache-2.0
 *
 * hami resize: other limits for a slice that runs.
 */
#include <stdio.h>

#include "cli/cli.h"
#include "local/view.h"

static const char *mem, *cores;
static bool pending, as_json;

static const struct cli_option options[] = {
    {"mem", 'm', CLI_TEXT, "SIZE|PERCENT", "new memory limit of each card", &mem},
    {"cores", 'c', CLI_TEXT, "PERCENT", "new compute share of each card, 1 to 100", &cores},
    {"pending", 0, CLI_FLAG, NULL, "below current use: hold the limit now, free the rest when possible",
     &pending},
    {"json", 0, CLI_FLAG, NULL, "print the slice as JSON", &as_json},
    {0},
};

static int run(int argc, char **argv)
{
    g_autoptr(GError) error = NULL;
    const struct verb *v = cli_verb("resize");
    struct broker_resize change = {.has_mem = mem != NULL, .has_cores = cores != NULL, .pending = pending};
    struct ledger_slice s;
    if (argc != 1)
        return cli_usage(v, "needs one slice; for example: hami resize 6f1e9c02 --mem 12G");
    if (!mem && !cores)
        return cli_usage(v, "nothing to change; give --mem, --cores or both");
    const char *why = mem ? quantity_parse_mem(mem, &change.mem) : NULL;
    if (why)
        return cli_usage(v, "--mem %s: %s; for example --mem 8G", mem, why);
    why = cores ? quantity_parse_percent(cores, &change.cores_pct) : NULL;
    if (why)
        return cli_usage(v, "--cores %s: %s; for example --cores 30", cores, why);
    g_autoptr(Broker) b = broker_open(&error);
    if (!b || !ledger_find(b->ledger, argv[0], &s, &error) || !broker_resize(b, &s, &change, &error))
        return cli_fail(v, error);
    if (!as_json)
        return STATUS_OK;
    g_autoptr(GPtrArray) views = view_slices(b, true, &error);
    const struct view_slice *now = views ? view_find(views, s.id) : NULL;
    return now ? cli_print_json(view_json(NULL, now)) : cli_fail(v, error);
}

const struct verb verb_resize = {
    .name = "resize",
    .arguments = "ID",
    .summary = "change a slice's limits while it runs",
    .text = "Larger limits are taken from what is free, smaller ones given back; both hold within 100 ms. A\n"
            "memory limit below what is in use is refused, unless --pending is given.",
    .examples = "hami resize 6f1e9c02 --mem 12G --cores 50\nhami resize trainer --cores 10\n"
                "hami resize trainer --mem 2G --pending",
    .options = options,
    .run = run,
};
