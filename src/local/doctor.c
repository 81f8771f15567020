/* SPDX-License-Identifier: Apache-2.0
 *
 * See doctor.h: the host's part.
 */
#include "local/doctor.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/status.h"
#include "base/words.h"
#include "local/jail.h"
#include "local/process.h"
#include "model/lists.h"

static const struct doctor_words words[DOCTOR_FINDINGS] = {
#define FINDING(symbol, severity, text, remedy)                                                              \
    [DOCTOR_##symbol] = {#symbol, DOCTOR_##severity, text, remedy},
#include "findings.def"
#undef FINDING
};

const struct doctor_words *doctor_words(enum doctor_finding finding)
{
    return &words[(unsigned)finding < DOCTOR_FINDINGS ? finding : 0];
}

const char *doctor_severity_name(enum doctor_severity severity)
{
    static const char *const names[] = {"note", "warning", "problem"};
    return names[severity];
}

void doctor_add(GArray *rows, enum doctor_finding finding, const char *slice, int32_t pid, const char *format,
                ...)
{
    struct doctor_row row = {.finding = finding, .pid = pid};
    va_list args;
    va_start(args, format);
    g_vsnprintf(row.detail, sizeof row.detail, format, args);
    va_end(args);
    g_strlcpy(row.slice, slice, sizeof row.slice);
    words_make_printable(row.detail, "");
    g_array_append_val(rows, row);
}

static void examine_driver(struct broker *b, const char *machine, GArray *rows)
{
    g_autofree struct driver_inventory *inventory = g_new0(struct driver_inventory, 1);
    g_autofree char *state = machine ? broker_sim_state(machine) : NULL;
    g_autoptr(GError) error = NULL;
    if (!broker_discover(b, machine, state, inventory, &error)) {
        doctor_add(rows, DOCTOR_NO_DRIVER, "", 0, "%s", error->message);
        return;
    }
    for (uint32_t i = 0; i < inventory->n; i++)
        if (!inventory->cards[i].healthy)
            doctor_add(rows, DOCTOR_CARD_UNHEALTHY, "", 0, "card %u %s", inventory->cards[i].index,
                       inventory->cards[i].uuid);
    for (uint32_t i = 0; i < inventory->n_silent; i++)
        doctor_add(rows, DOCTOR_CARD_UNHEALTHY, "", 0, "card %u is counted by the driver and does not answer",
                   inventory->silent[i]);
    if (!inventory->can_limit)
        doctor_add(rows, DOCTOR_NO_WALL, "", 0, "driver %s", inventory->driver_version);
}

/* Cards of two simulated machines may have the same UUID. */
static bool has_card(const struct ledger_slice *s, const struct ledger_card *c)
{
    for (uint32_t k = 0; k < s->n_shares; k++)
        if (strcmp(s->shares[k].uuid, c->card.uuid) == 0 && strcmp(s->machine, c->machine) == 0)
            return true;
    return false;
}

/* Of the machine in question, or a slice's card that its driver no longer lists. What the ledger remembers of
 * another machine that nothing runs on is old. */
static bool matters(const struct ledger_card *c, const char *machine, const GArray *slices)
{
    bool held = strcmp(c->machine, machine ? machine : "") == 0;
    for (guint i = 0; !held && i < slices->len; i++)
        held = has_card(&g_array_index(slices, struct ledger_slice, i), c);
    return held;
}

static void examine_lost_cards(struct broker *b, const char *machine, const GArray *slices, GArray *rows)
{
    g_autoptr(GArray) cards = ledger_cards(b->ledger, NULL);
    for (guint i = 0; cards && i < cards->len; i++) {
        struct ledger_card *c = &g_array_index(cards, struct ledger_card, i);
        if (!c->card.healthy && matters(c, machine, slices))
            doctor_add(rows, DOCTOR_CARD_UNHEALTHY, "", 0, "%s %s", c->card.name, c->card.uuid);
    }
}

/* A UUID that is misspelt, or only begun, has no effect. Cards that are gone for now, and those of simulated
 * machines, are in the ledger. */
static void examine_cordon(struct broker *b, GArray *rows)
{
    g_autoptr(GArray) cards = ledger_cards(b->ledger, NULL);
    const char *at = b->settings->cordon, *word;
    size_t n;
    while (cards && at && (word = lists_next(&at, &n))) {
        bool known = false;
        for (guint i = 0; i < cards->len; i++) {
            const char *uuid = g_array_index(cards, struct ledger_card, i).card.uuid;
            known |= strlen(uuid) == n && strncmp(uuid, word, n) == 0;
        }
        if (!known)
            doctor_add(rows, DOCTOR_CORDON_UNKNOWN, "", 0, "%.*s", (int)MIN(n, 96), word);
    }
}

/* The cards of one slice, asked of its own driver. */
static void examine_slice_cards(struct broker *b, const struct ledger_slice *s, GArray *rows)
{
    g_autofree struct driver_inventory *inventory = g_new0(struct driver_inventory, 1);
    g_autoptr(GError) error = NULL;
    bool simulated = s->machine[0];
    if (!broker_discover(b, simulated ? s->machine : NULL, simulated ? s->sim_state : NULL, inventory,
                         &error)) {
        doctor_add(rows, DOCTOR_NO_DRIVER, s->id, 0, "%s", error->message);
        return;
    }
    g_autoptr(GArray) cards = ledger_cards(b->ledger, NULL);
    for (guint i = 0; cards && i < cards->len; i++) {
        struct ledger_card *c = &g_array_index(cards, struct ledger_card, i);
        if (!c->card.healthy && has_card(s, c))
            doctor_add(rows, DOCTOR_CARD_UNHEALTHY, s->id, 0, "%s %s", c->card.name, c->card.uuid);
    }
}

static void examine_protection(struct broker *b, GArray *rows)
{
    g_autofree char *group = cgroup_mount();
    if (!b->paths->library)
        doctor_add(rows, DOCTOR_NO_LIBRARY, "", 0, "%s", b->paths->executable);
    if (!b->paths->root)
        doctor_add(rows, DOCTOR_NOT_ROOT, "", 0, "uid %u", (unsigned)geteuid());
    else if (!b->settings->protect || !jail_possible())
        doctor_add(rows, DOCTOR_NOT_PROTECTED, "", 0, "%s",
                   b->settings->protect ? "the right to mount is missing" : b->paths->config);
    else if (b->settings->user_namespaces)
        doctor_add(rows, DOCTOR_NAMESPACES_ALLOWED, "", 0, "%s", b->paths->config);
    if (b->paths->root && (!group || access(group, W_OK) < 0))
        doctor_add(rows, DOCTOR_NO_CGROUP, "", 0, "%s", group ? group : "none is mounted");
}

static void examine_preload(GArray *rows)
{
    g_autofree char *text = NULL;
    const char *env = g_getenv("LD_PRELOAD");
    g_file_get_contents("/etc/ld.so.preload", &text, NULL, NULL);
    if (text && strstr(text, "libvgpu"))
        doctor_add(rows, DOCTOR_FOREIGN_PRELOAD, "", 0, "/etc/ld.so.preload");
    if (env && strstr(env, "libvgpu"))
        doctor_add(rows, DOCTOR_FOREIGN_PRELOAD, "", 0, "LD_PRELOAD=%s", env);
}

/* By the kernel's name of a process, which has 15 characters at most. */
static const char *const other_brokers[] = {"nvidia-device-plugin", "nvidia-cuda-mps-control",
                                            "vgpu-device-plugin", "gpu-manager", "nvidia-mig-manager"};

static void examine_others(GArray *rows)
{
    g_autoptr(GDir) proc = g_dir_open("/proc", 0, NULL);
    for (const char *name; proc && (name = g_dir_read_name(proc));) {
        g_autofree char *file = g_build_filename("/proc", name, "comm", NULL);
        g_autofree char *comm = NULL;
        if (!g_ascii_isdigit(name[0]) || !g_file_get_contents(file, &comm, NULL, NULL))
            continue;
        g_strchomp(comm);
        for (size_t i = 0; i < G_N_ELEMENTS(other_brokers); i++)
            if (*comm && strncmp(comm, other_brokers[i], 15) == 0)
                doctor_add(rows, DOCTOR_OTHER_BROKER, "", atoi(name), "%s", other_brokers[i]);
    }
}

/* Slices that outlived their row: somebody removed the ledger. */
static void examine_strays(struct broker *b, GArray *slices, GArray *rows)
{
    g_autofree char *folder = broker_cgroup_folder(b->paths);
    g_autoptr(GPtrArray) unowned = broker_unowned_groups(folder, slices);
    for (guint i = 0; i < unowned->len; i++)
        if (cgroup_populated(unowned->pdata[i]))
            doctor_add(rows, DOCTOR_STRAY_GROUP, "", 0, "%s", (const char *)unowned->pdata[i]);
}

/* A slice that is being set up has no files yet; of one whose command is over its holder removes them before
 * it says so in the ledger. */
static bool lasts(struct broker *b, const struct ledger_slice *s)
{
    struct ledger_slice now;
    if (s->state != LEDGER_RUNNING || !ledger_find(b->ledger, s->id, &now, NULL))
        return false;
    return now.state == LEDGER_RUNNING && (process_alive(&now.main) || !process_alive(&now.holder));
}

static void examine_slice(struct broker *b, const struct ledger_slice *s, GArray *rows)
{
    guint before = rows->len;
    doctor_slice(b, s, rows);
    if (rows->len > before && !lasts(b, s))
        g_array_set_size(rows, before);
}

GArray *doctor_examine(struct broker *b, const char *word, const char *machine, GError **error)
{
    g_autoptr(GArray) rows = g_array_new(FALSE, TRUE, sizeof(struct doctor_row));
    struct ledger_slice s;
    if (word) {
        if (!ledger_find(b->ledger, word, &s, error))
            return NULL;
        if (s.state == LEDGER_ENDED) {
            g_set_error(error, STATUS_ERROR, STATUS_NO_SLICE, "slice %s has ended with exit status %d", s.id,
                        s.exit_status);
            return NULL;
        }
        examine_slice_cards(b, &s, rows);
        examine_slice(b, &s, rows);
        return g_steal_pointer(&rows);
    }
    g_autoptr(GArray) slices = ledger_slices(b->ledger, true, error);
    if (!slices)
        return NULL;
    examine_protection(b, rows);
    examine_driver(b, machine, rows);
    examine_lost_cards(b, machine, slices, rows);
    examine_cordon(b, rows);
    examine_preload(rows);
    examine_others(rows);
    examine_strays(b, slices, rows);
    for (guint i = 0; i < slices->len; i++)
        examine_slice(b, &g_array_index(slices, struct ledger_slice, i), rows);
    return g_steal_pointer(&rows);
}
