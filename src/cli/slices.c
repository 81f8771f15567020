/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/slices.h"

int slices_each(const struct verb *v, int argc, char **argv,
                bool (*act)(struct broker *b, const char *word, GError **error))
{
    g_autoptr(GError) error = NULL;
    int status = STATUS_OK;
    if (argc == 0)
        return cli_usage(v, "needs a slice; for example: hami %s 6f1e9c02", v->name);
    g_autoptr(Broker) b = broker_open(&error);
    if (!b)
        return cli_fail(v, error);
    for (int i = 0; i < argc; i++) {
        g_autoptr(GError) problem = NULL;
        if (!act(b, argv[i], &problem))
            status = cli_fail(v, problem);
    }
    return status;
}
