/* SPDX-License-Identifier: Apache-2.0
 *
 * hami sim profiles: the machines that are built in, and any other's meaning.
 */
#include "cli/sim.h"

#include <stdio.h>
#include <string.h>

static bool as_json;

static const struct cli_option options[] = {
    {"json", 0, CLI_FLAG, NULL, "as JSON, with every figure", &as_json},
    {0},
};

static json_t *device_json(const struct sim_device_profile *d)
{
    json_t *mig = json_array();
    for (uint32_t i = 0; i < d->n_mig; i++)
        json_array_append_new(mig, json_pack("{s:s, s:s, s:I, s:i}", "profile", d->mig[i].profile, "uuid",
                                             d->mig[i].uuid, "memory_bytes", (json_int_t)d->mig[i].mem_bytes,
                                             "sms", (int)d->mig[i].sm_count));
    return json_pack("{s:s, s:s, s:s, s:I, s:i, s:i, s:i, s:b, s:o}", "name", d->name, "uuid", d->uuid, "pci",
                     d->pci_bus_id, "memory_bytes", (json_int_t)d->mem_bytes, "sms", (int)d->sm_count,
                     "compute_capability", (int)(d->cc_major * 10 + d->cc_minor), "numa", (int)d->numa_node,
                     "unified_memory", d->unified_memory, "mig", mig);
}

static json_t *profile_json(const struct sim_profile *p)
{
    static const char *const schedules[] = {"fifo", "time-sliced", "spatial"};
    json_t *devices = json_array();
    for (uint32_t i = 0; i < p->n_devices; i++)
        json_array_append_new(devices, device_json(&p->devices[i]));
    return json_pack("{s:s, s:s, s:i, s:s, s:b, s:b, s:o}", "name", p->name, "driver", p->driver_version,
                     "cuda", (int)p->cuda_version, "schedule", schedules[p->schedule % 3], "virtual_time",
                     p->virtual_time, "memory_limits", p->memory_limits, "devices", devices);
}

static void print_row(const struct sim_profile *p)
{
    const struct sim_device_profile *d = &p->devices[0];
    g_autofree char *slices = d->n_mig > 0 ? g_strdup_printf(", %u MIG slices", d->n_mig) : g_strdup("");
    printf("%-12s %2u x %-24s %7.1f GiB  driver %s, CUDA %u.%u%s%s\n", p->name, p->n_devices, d->name,
           (double)d->mem_bytes / (1 << 30), p->driver_version, p->cuda_version / 1000,
           p->cuda_version % 1000 / 10, slices, d->unified_memory ? ", unified memory" : "");
}

/* One machine by name or file: its text when it is built in, else what it comes to. */
static int show(const struct verb *v, const char *name, struct sim_profile *p)
{
    char err[512];
    if (sim_profile_load(name, p, err, sizeof err) != 0)
        return cli_usage(v, "%s", g_str_has_prefix(err, "HAMI_SIM: ") ? err + 10 : err);
    if (as_json)
        return cli_print_json(profile_json(p));
    for (const struct sim_profile_shipped *s = sim_profiles_shipped; s->name; s++)
        if (strcmp(s->name, name) == 0)
            fputs(s->text, stdout);
    if (!strchr(name, '/') && !strchr(name, ','))
        return fflush(stdout) == 0 ? STATUS_OK : STATUS_FAILED;
    print_row(p);
    return fflush(stdout) == 0 ? STATUS_OK : STATUS_FAILED;
}

static int run(int argc, char **argv)
{
    const struct verb *v = &sim_verb_profiles;
    g_autofree struct sim_profile *p = g_new0(struct sim_profile, 1);
    char err[512];
    if (argc > 1)
        return cli_usage(v, "takes one profile at most");
    if (argc == 1)
        return show(v, argv[0], p);
    json_t *all = json_array();
    for (const struct sim_profile_shipped *s = sim_profiles_shipped; s->name; s++) {
        if (sim_profile_load(s->name, p, err, sizeof err) != 0)
            return cli_usage(v, "%s", err);
        if (as_json)
            json_array_append_new(all, profile_json(p));
        else
            print_row(p);
    }
    if (as_json)
        return cli_print_json(all);
    json_decref(all);
    return fflush(stdout) == 0 ? STATUS_OK : STATUS_FAILED;
}

const struct verb sim_verb_profiles = {
    .name = "sim profiles",
    .arguments = "[NAME|FILE]",
    .summary = "the machines that are built in",
    .text = "With a name it prints the profile's text, a start for one of your own; with a file it checks "
            "the file.",
    .examples = "hami sim profiles\nhami sim profiles t4 > mine.yaml\nhami sim profiles ./mine.yaml\n"
                "hami sim profiles --json",
    .options = options,
    .run = run,
};
