/* SPDX-License-Identifier: Apache-2.0
 *
 * Rows of slices, their shares, and cards.
 */
#include <string.h>

#include "base/status.h"
#include "base/words.h"
#include "local/ledger_sql.h"

const char *ledger_state_name(enum ledger_state state)
{
    static const char *const names[] = {"starting", "running", "ended"};
    return (unsigned)state < G_N_ELEMENTS(names) ? names[state] : "unknown";
}

#define SLICE_COLUMNS                                                                                        \
    "id, name, machine, sim_state, cgroup, command, state, holder_pid, holder_start, main_pid, main_start,"  \
    " core_policy, priority, oversubscribe, exclusive, suspended, protected, epoch, created_ms, ended_ms,"   \
    " exit_status, walled"

static void read_slice(Statement *q, struct ledger_slice *s)
{
    *s = (struct ledger_slice){.state = (enum ledger_state)sqlite3_column_int(q, 6),
                               .holder = {sqlite3_column_int(q, 7), (uint64_t)sqlite3_column_int64(q, 8)},
                               .main = {sqlite3_column_int(q, 9), (uint64_t)sqlite3_column_int64(q, 10)},
                               .core_policy = (enum grant_policy)sqlite3_column_int(q, 11),
                               .priority = sqlite3_column_int(q, 12),
                               .oversubscribe = sqlite3_column_int(q, 13) != 0,
                               .exclusive = sqlite3_column_int(q, 14) != 0,
                               .suspended = sqlite3_column_int(q, 15) != 0,
                               .protected = sqlite3_column_int(q, 16) != 0,
                               .epoch = (uint32_t)sqlite3_column_int(q, 17),
                               .created_ms = (uint64_t)sqlite3_column_int64(q, 18),
                               .ended_ms = (uint64_t)sqlite3_column_int64(q, 19),
                               .exit_status = sqlite3_column_int(q, 20),
                               .walled = sqlite3_column_int(q, 21) != 0};
    ledger_text(q, 0, s->id, sizeof s->id);
    ledger_text(q, 1, s->name, sizeof s->name);
    ledger_text(q, 2, s->machine, sizeof s->machine);
    ledger_text(q, 3, s->sim_state, sizeof s->sim_state);
    ledger_text(q, 4, s->cgroup, sizeof s->cgroup);
    ledger_words(q, 5, s->command, sizeof s->command);
}

static bool read_shares(struct ledger *l, struct ledger_slice *s, GError **error)
{
    g_autoptr(Statement) q = ledger_query(
        l, error,
        "SELECT uuid, mem_bytes, pending_bytes, cores_pct FROM shares WHERE slice = ? ORDER BY position", "s",
        s->id);
    int step = q ? 1 : -1;
    while (step >= 0 && (step = ledger_step(l, q, error)) == 1 && s->n_shares < REQUEST_DEVICES_MAX) {
        struct ledger_share *share = &s->shares[s->n_shares++];
        ledger_text(q, 0, share->uuid, sizeof share->uuid);
        share->mem_bytes = (uint64_t)sqlite3_column_int64(q, 1);
        share->pending_bytes = (uint64_t)sqlite3_column_int64(q, 2);
        share->cores_pct = (uint32_t)sqlite3_column_int(q, 3);
    }
    return step >= 0;
}

GArray *ledger_slices(struct ledger *l, bool live_only, GError **error)
{
    g_autoptr(GArray) rows = g_array_new(FALSE, TRUE, sizeof(struct ledger_slice));
    g_autoptr(Statement) q = ledger_query(
        l, error, "SELECT " SLICE_COLUMNS " FROM slices WHERE state < ? ORDER BY created_ms, rowid", "i",
        (int64_t)(live_only ? LEDGER_ENDED : LEDGER_ENDED + 1));
    int step = q ? 1 : -1;
    while (step >= 0 && (step = ledger_step(l, q, error)) == 1) {
        struct ledger_slice s;
        read_slice(q, &s);
        if (!read_shares(l, &s, error))
            return NULL;
        g_array_append_val(rows, s);
    }
    return step < 0 ? NULL : g_steal_pointer(&rows);
}

static bool write_shares(struct ledger *l, const struct ledger_slice *s, GError **error)
{
    for (uint32_t i = 0; i < s->n_shares; i++)
        if (!ledger_run(l,
                        ledger_query(l, error, "INSERT OR REPLACE INTO shares VALUES(?, ?, ?, ?, ?, ?)",
                                     "sisiii", s->id, (int64_t)i, s->shares[i].uuid,
                                     (int64_t)s->shares[i].mem_bytes, (int64_t)s->shares[i].pending_bytes,
                                     (int64_t)s->shares[i].cores_pct),
                        error))
            return false;
    return true;
}

bool ledger_insert(struct ledger *l, const struct ledger_slice *s, GError **error)
{
    return ledger_run(l,
                      ledger_query(l, error, "INSERT INTO slices(id, created_ms) VALUES(?, ?)", "si", s->id,
                                   (int64_t)s->created_ms),
                      error) &&
           ledger_update(l, s, error);
}

bool ledger_update(struct ledger *l, const struct ledger_slice *s, GError **error)
{
    Statement *q =
        ledger_query(l, error,
                     "UPDATE slices SET (" SLICE_COLUMNS ") ="
                     " (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, "
                     "?19, ?20, ?21, ?22)"
                     " WHERE id = ?1",
                     "ssssssiiiiiiiiiiiiiiii", s->id, s->name, s->machine, s->sim_state, s->cgroup,
                     s->command, (int64_t)s->state, (int64_t)s->holder.pid, (int64_t)s->holder.start_ticks,
                     (int64_t)s->main.pid, (int64_t)s->main.start_ticks, (int64_t)s->core_policy,
                     (int64_t)s->priority, (int64_t)s->oversubscribe, (int64_t)s->exclusive,
                     (int64_t)s->suspended, (int64_t)s->protected, (int64_t)s->epoch, (int64_t)s->created_ms,
                     (int64_t)s->ended_ms, (int64_t)s->exit_status, (int64_t)s->walled);
    return ledger_run(l, q, error) && write_shares(l, s, error);
}

/* ---- finding ----------------------------------------------------------- */

static bool is_named(const struct ledger_slice *s, const char *word)
{
    return *word && (strcmp(s->id, word) == 0 || strcmp(s->name, word) == 0); /* most have no name */
}

static bool no_slice(GArray *slices, const char *word, GError **error)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new();
    struct ledger_slice *all = (struct ledger_slice *)(void *)slices->data;
    for (guint i = 0; all && i < slices->len; i++) {
        g_ptr_array_add(names, all[i].id);
        if (all[i].name[0])
            g_ptr_array_add(names, all[i].name);
    }
    g_ptr_array_add(names, NULL);
    const char *near = words_nearest(word, (const char *const *)names->pdata);
    g_set_error(error, STATUS_ERROR, STATUS_NO_SLICE,
                "no slice is called \"%s\"%s%s%s; `hami ps --all` lists them", word,
                near ? ", did you mean \"" : "", near ? near : "", near ? "\"" : "");
    return false;
}

bool ledger_find(struct ledger *l, const char *word, struct ledger_slice *ret, GError **error)
{
    g_autoptr(GArray) slices = ledger_slices(l, false, error);
    struct ledger_slice *best = NULL;
    int starts = 0;
    if (!slices)
        return false;
    for (guint i = 0; i < slices->len; i++) {
        struct ledger_slice *s = &g_array_index(slices, struct ledger_slice, i);
        if (is_named(s, word) && (!best || s->state != LEDGER_ENDED || best->state == LEDGER_ENDED))
            best = s;
    }
    for (guint i = 0; !best && strlen(word) >= 4 && i < slices->len; i++)
        starts += g_str_has_prefix(g_array_index(slices, struct ledger_slice, i).id, word);
    for (guint i = 0; starts == 1 && i < slices->len; i++)
        if (g_str_has_prefix(g_array_index(slices, struct ledger_slice, i).id, word))
            best = &g_array_index(slices, struct ledger_slice, i);
    if (!best)
        return no_slice(slices, word, error);
    *ret = *best;
    return true;
}

/* ---- cards ------------------------------------------------------------- */

bool ledger_put_cards(struct ledger *l, const char *machine, const struct driver_inventory *inventory,
                      GError **error)
{
    /* A card that is no longer listed but still granted stays, as unhealthy. */
    if (!ledger_run(
            l,
            ledger_query(l, error,
                         "DELETE FROM cards WHERE machine = ? AND uuid NOT IN (SELECT uuid FROM shares"
                         " JOIN slices ON slices.id = shares.slice WHERE state < 2)",
                         "s", machine),
            error) ||
        !ledger_run(l, ledger_query(l, error, "UPDATE cards SET healthy = 0 WHERE machine = ?", "s", machine),
                    error))
        return false;
    for (uint32_t i = 0; i < inventory->n; i++) {
        const struct driver_card *c = &inventory->cards[i];
        if (!ledger_run(l,
                        ledger_query(
                            l, error,
                            "INSERT OR REPLACE INTO cards VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                            "ssissiiiiiii", machine, c->uuid, (int64_t)i, c->name, c->bus_id,
                            (int64_t)c->card, (int64_t)c->index, (int64_t)c->mem_bytes, (int64_t)c->numa_node,
                            (int64_t)c->healthy, (int64_t)c->is_mig, (int64_t)c->unified),
                        error))
            return false;
    }
    return true;
}

GArray *ledger_cards(struct ledger *l, GError **error)
{
    g_autoptr(GArray) rows = g_array_new(FALSE, TRUE, sizeof(struct ledger_card));
    g_autoptr(Statement) q = ledger_query(
        l, error,
        "SELECT machine, uuid, type, bus_id, card, number, mem_bytes, numa, healthy, mig, unified"
        " FROM cards ORDER BY machine, position",
        "");
    int step = q ? 1 : -1;
    while (step >= 0 && (step = ledger_step(l, q, error)) == 1) {
        struct ledger_card row = {.card = {.card = (uint32_t)sqlite3_column_int(q, 4),
                                           .index = (uint32_t)sqlite3_column_int(q, 5),
                                           .mem_bytes = (uint64_t)sqlite3_column_int64(q, 6),
                                           .numa_node = sqlite3_column_int(q, 7),
                                           .healthy = (uint32_t)sqlite3_column_int(q, 8),
                                           .is_mig = (uint32_t)sqlite3_column_int(q, 9),
                                           .unified = (uint32_t)sqlite3_column_int(q, 10)}};
        ledger_text(q, 0, row.machine, sizeof row.machine);
        ledger_text(q, 1, row.card.uuid, sizeof row.card.uuid);
        ledger_text(q, 2, row.card.name, sizeof row.card.name);
        ledger_text(q, 3, row.card.bus_id, sizeof row.card.bus_id);
        g_array_append_val(rows, row);
    }
    return step < 0 ? NULL : g_steal_pointer(&rows);
}
