/* SPDX-License-Identifier: Apache-2.0
 *
 * Any bytes as CUDA_VISIBLE_DEVICES in a slice; the first byte chooses how many
 * cards it has. What is meant are cards of the slice, by their UUIDs, or
 * instances by the names that the program gave; and it means itself.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "preload/visible.h"
#include "tests/fuzz/fuzz.h"

static struct grant cards(unsigned n)
{
    struct grant g = {.n_devices = n};
    for (unsigned i = 0; i < n; i++)
        snprintf(g.devices[i].uuid, sizeof g.devices[i].uuid, "%s-%08x-0000-4000-8000-00000000000%x",
                 i % 5 == 4 ? "MIG" : "GPU", 0xaaaaaaa0u + i, i);
    return g;
}

static bool is_card(const struct grant *g, const char *entry)
{
    for (unsigned i = 0; i < g->n_devices; i++)
        if (strcmp(g->devices[i].uuid, entry) == 0)
            return true;
    return false;
}

static void check_entries(const char *chosen, const struct grant *g, const char *meant)
{
    char copy[VISIBLE_MAX], *rest = copy;
    memcpy(copy, meant, strlen(meant) + 1);
    for (char *entry; *meant && (entry = strsep(&rest, ","));)
        if (!is_card(g, entry) && (strncmp(entry, "MIG-", 4) != 0 || !strstr(chosen, entry)))
            abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    if (n == 0)
        return 0;
    struct grant g = cards(data[0] % (REGION_DEVICES + 1));
    char *chosen = malloc(n), *meant = malloc(VISIBLE_MAX), again[VISIBLE_MAX];
    memcpy(chosen, data + 1, n - 1);
    chosen[n - 1] = '\0';
    bool changed = visible_meant(chosen, &g, meant);
    if (!memchr(meant, '\0', VISIBLE_MAX) || changed != (strcmp(chosen, meant) != 0))
        abort();
    check_entries(chosen, &g, meant);
    if (visible_meant(meant, &g, again) || strcmp(meant, again) != 0)
        abort();
    free(chosen);
    free(meant);
    return 0;
}
