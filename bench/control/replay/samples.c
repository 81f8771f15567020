/* SPDX-License-Identifier: Apache-2.0 */
#include "samples.h"

#include <string.h>
#include <unistd.h>

#include "bench/measure.h"

GArray *samples_new(void)
{
    return g_array_new(FALSE, FALSE, sizeof(double));
}

void samples_add(GArray *s, double value)
{
    g_array_append_val(s, value);
}

static double at(const GArray *s, double share)
{
    guint i = (guint)((double)s->len * share);
    return s->len ? g_array_index(s, double, MIN(i, s->len - 1)) : 0;
}

json_t *samples_json(GArray *s)
{
    g_array_sort(s, by_value);
    return json_pack("{s:i, s:f, s:f, s:f, s:f}", "count", (int)s->len, "p50_us", at(s, 0.5) / 1e3, "p99_us",
                     at(s, 0.99) / 1e3, "p999_us", at(s, 0.999) / 1e3, "max_us", at(s, 1) / 1e3);
}

double samples_middle_rate(GArray *m)
{
    g_array_sort(m, by_value);
    double span = at(m, 0.9) - at(m, 0.1);
    return m->len < 10 || span <= 0 ? 0 : 0.8 * m->len / (span / 1e9);
}

/* User and system time in clock ticks, of living and ended threads. */
static double ticks_s(pid_t pid)
{
    g_autofree char *path = g_strdup_printf("/proc/%d/stat", (int)pid), *text = NULL;
    const char *end = g_file_get_contents(path, &text, NULL, NULL) ? strrchr(text, ')') : NULL;
    g_auto(GStrv) fields = g_strsplit(end ? end : "", " ", 16);
    if (g_strv_length(fields) < 16)
        return -1;
    return (g_ascii_strtod(fields[12], NULL) + g_ascii_strtod(fields[13], NULL)) /
           (double)sysconf(_SC_CLK_TCK);
}

/* The kernel's account in nanoseconds knows only living threads, but a tick of 10 ms would hide a quiet
 * process. */
double process_cpu_s(pid_t pid)
{
    g_autofree char *folder = g_strdup_printf("/proc/%d/task", (int)pid);
    GDir *dir = g_dir_open(folder, 0, NULL);
    double sum = 0, ticks = ticks_s(pid);
    if (!dir)
        return -1;
    for (const char *name; (name = g_dir_read_name(dir));) {
        g_autofree char *path = g_strdup_printf("%s/%s/schedstat", folder, name), *text = NULL;
        if (g_file_get_contents(path, &text, NULL, NULL))
            sum += g_ascii_strtod(text, NULL) / 1e9;
    }
    g_dir_close(dir);
    return MAX(sum, ticks);
}
