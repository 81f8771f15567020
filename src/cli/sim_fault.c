/* SPDX-License-Identifier: Apache-2.0
 *
 * hami sim fault: breaks a simulated machine on purpose.
 */
#include "cli/sim.h"

#include <stdio.h>
#include <string.h>

#include "sim/fault.h"

static bool as_json;
static const char *device;

static const struct cli_option options[] = {
    {"device", 'd', CLI_TEXT, "N", "which cards (0 or 0,2; default all)", &device},
    {"json", 0, CLI_FLAG, NULL, "print what is injected as JSON", &as_json},
    SIM_MACHINE_OPTIONS,
    {0},
};

static void inject_xid(unsigned d, uint64_t value)
{
    sim_fault_xid(d, value);
}

static void inject_lost(unsigned d, uint64_t value)
{
    (void)value;
    sim_fault_lose(d, true);
}

static void inject_hang(unsigned d, uint64_t value)
{
    sim_fault_hang_nvml(d, (uint32_t)value);
}

static void inject_slow_copies(unsigned d, uint64_t value)
{
    sim_fault_slow_copies(d, (uint32_t)value);
}

static void inject_thermal(unsigned d, uint64_t value)
{
    sim_fault_speed(d, (uint32_t)value);
}

static void inject_temperature(unsigned d, uint64_t value)
{
    sim_fault_temperature(d, (uint32_t)value);
}

static void inject_clear(unsigned d, uint64_t value)
{
    (void)value;
    sim_fault_clear(d);
}

static const struct fault {
    const char *name, *value; /* NULL: takes none */
    uint64_t min, max;
    void (*inject)(unsigned device, uint64_t value);
} faults[] = {
    {"xid", "an XID code such as 79", 1, 999, inject_xid},
    {"lost", NULL, 0, 0, inject_lost},
    {"hang", "milliseconds such as 2000", 0, 3600000, inject_hang},
    {"slow-copies", "per mille of the usual time such as 5000", 1000, 1000000, inject_slow_copies},
    {"thermal", "per mille of the usual speed such as 700", 1, 1000, inject_thermal},
    {"temperature", "degrees Celsius such as 90", 0, 150, inject_temperature},
    {"clear", NULL, 0, 0, inject_clear},
};

/* ---- what is injected ---- */

static json_t *state_json(unsigned i)
{
    const struct sim_fault_state *f = &sim_state->devices[i].fault;
    json_t *xids = json_array();
    uint32_t next = f->xid_next, first = next > SIM_XIDS ? next - SIM_XIDS : 0;
    for (uint32_t n = first; n < next; n++)
        json_array_append_new(xids, json_integer((json_int_t)f->xids[n % SIM_XIDS].code));
    uint32_t copies = f->copy_slow_pm, speed = f->speed_pm;
    return json_pack("{s:i, s:b, s:i, s:i, s:i, s:i, s:o}", "device", (int)i, "lost", f->lost != 0, "hang_ms",
                     (int)f->nvml_hang_ms, "copies_per_mille", (int)(copies ? copies : 1000),
                     "speed_per_mille", (int)(speed ? speed : 1000), "temperature_c", (int)f->temperature_c,
                     "xids", xids);
}

static int print_state(uint32_t mask)
{
    json_t *all = json_array();
    for (unsigned i = 0; i < sim_state->profile.n_devices; i++)
        if (mask >> i & 1)
            json_array_append_new(all, state_json(i));
    if (as_json)
        return cli_print_json(all);
    json_decref(all);
    printf("CARD  LOST  NVML-HANG  COPIES  SPEED   TEMPERATURE  XIDS\n");
    for (unsigned i = 0; i < sim_state->profile.n_devices; i++) {
        const struct sim_fault_state *f = &sim_state->devices[i].fault;
        uint32_t copies = f->copy_slow_pm, speed = f->speed_pm;
        g_autofree char *heat =
            f->temperature_c ? g_strdup_printf("%u C", f->temperature_c) : g_strdup("usual");
        if (mask >> i & 1)
            printf("%4u  %-4s  %6u ms  x%5.2f  x%5.3f  %-11s  %u\n", i, f->lost ? "yes" : "no",
                   f->nvml_hang_ms, (copies ? copies : 1000) / 1000.0, (speed ? speed : 1000) / 1000.0, heat,
                   f->xid_next);
    }
    return fflush(stdout) == 0 ? STATUS_OK : STATUS_FAILED;
}

/* ---- the verb ---- */

static const struct fault *find_fault(const char *name)
{
    for (gsize i = 0; i < G_N_ELEMENTS(faults); i++)
        if (strcmp(faults[i].name, name) == 0)
            return &faults[i];
    return NULL;
}

static int run(int argc, char **argv)
{
    const struct verb *v = &sim_verb_fault;
    const struct fault *f = argc > 0 ? find_fault(argv[0]) : NULL;
    guint64 value = 0;
    uint32_t mask;
    if (argc > 0 && !f)
        return cli_usage(
            v,
            "there is no fault \"%s\": give xid, lost, hang, slow-copies, thermal, temperature or "
            "clear",
            argv[0]);
    if (f && !f->value && argc > 1)
        return cli_usage(v, "%s takes no value", f->name);
    if (f && f->value &&
        (argc != 2 || !g_ascii_string_to_unsigned(argv[1], 10, f->min, f->max, &value, NULL)))
        return cli_usage(v, "%s%s%s: give %s (%" G_GUINT64_FORMAT " to %" G_GUINT64_FORMAT ")", f->name,
                         argc > 1 ? " " : "", argc > 1 ? argv[1] : "", f->value, (guint64)f->min,
                         (guint64)f->max);
    int status = sim_open(v);
    if (status != STATUS_OK)
        return status;
    if (!sim_devices(v, device, &mask))
        return STATUS_USAGE;
    for (unsigned i = 0; f && i < sim_state->profile.n_devices; i++)
        if (mask >> i & 1)
            f->inject(i, value);
    return f && !as_json ? STATUS_OK : print_state(mask);
}

const struct verb sim_verb_fault = {
    .name = "sim fault",
    .arguments = "[FAULT [VALUE]]",
    .summary = "break a simulated machine on purpose",
    .text = "Without a word it prints what is injected. A fault stays until `clear`; XIDs are history.\n"
            "  xid CODE               an event for nvmlEventSetWait\n"
            "  lost                   the card falls off the bus\n"
            "  hang MS                every NVML call on the card blocks that long\n"
            "  slow-copies PER_MILLE  5000: copies take five times as long\n"
            "  thermal PER_MILLE      700: kernels run at 70 %, NVML tells of heat\n"
            "  temperature C          NVML shows this one\n"
            "  clear                  mend everything again",
    .examples = "hami sim fault\nhami sim fault xid 79 --device 0\nhami sim fault thermal 700 --device 0,1\n"
                "hami sim fault clear",
    .options = options,
    .run = run,
};
