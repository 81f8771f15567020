/* SPDX-License-Identifier: Apache-2.0 */
#include "scheduler/histogram.h"

static const struct {
    int64_t ns;
    const char *text;
} bounds[HISTOGRAM_BOUNDS] = {
    {20000, "0.00002"}, {50000, "0.00005"}, {100000, "0.0001"}, {200000, "0.0002"},
    {500000, "0.0005"}, {1000000, "0.001"}, {2000000, "0.002"}, {5000000, "0.005"},
    {10000000, "0.01"}, {20000000, "0.02"}, {50000000, "0.05"}, {100000000, "0.1"},
    {500000000, "0.5"}, {1000000000, "1"},  {5000000000, "5"},  {10000000000, "10"},
};

void histogram_add(struct histogram *h, int64_t ns)
{
    h->count++;
    h->sum_ns += (uint64_t)MAX(ns, 0);
    for (int i = 0; i < HISTOGRAM_BOUNDS; i++)
        if (ns <= bounds[i].ns) {
            h->le[i]++;
            return;
        }
}

void histogram_print(const struct histogram *h, const char *name, const char *help, GString *out)
{
    uint64_t sum = 0;
    g_string_append_printf(out, "# HELP %s %s\n# TYPE %s histogram\n", name, help, name);
    for (int i = 0; i < HISTOGRAM_BOUNDS; i++) {
        sum += h->le[i];
        g_string_append_printf(out, "%s_bucket{le=\"%s\"} %" G_GUINT64_FORMAT "\n", name, bounds[i].text,
                               sum);
    }
    g_string_append_printf(
        out, "%s_bucket{le=\"+Inf\"} %" G_GUINT64_FORMAT "\n%s_sum %.9f\n%s_count %" G_GUINT64_FORMAT "\n",
        name, h->count, name, (double)h->sum_ns / 1e9, name, h->count);
}
