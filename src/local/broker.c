/* SPDX-License-Identifier: Apache-2.0
 *
 * See broker.h.
 *
 * Invariants:
 *   1. A reservation is computed and written inside one transaction: of two
 *      that race for the last slice one wins.
 *   2. The ledger grows before the grant and shrinks after it, so that the sum
 *      of all grants never exceeds a card whatever is killed in between.
 *   3. A slice is freed only when its holder and its command are gone, its
 *      control group is empty and nobody is attached to its region.
 */
#include "local/broker.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/status.h"
#include "local/files.h"
#include "local/process.h"
#include "model/lists.h"
#include "region/region.h"

void broker_close(struct broker *b)
{
    if (!b)
        return;
    ledger_close(b->ledger);
    settings_free(b->settings);
    paths_free(b->paths);
    g_free(b);
}

/* The usual file need not be there; one that is named and missing would leave limits unset. */
static bool config_is_there(const struct paths *p, GError **error)
{
    const char *named = g_getenv("HAMI_CONFIG");
    if (!named || !*named || access(p->config, F_OK) == 0 || errno != ENOENT)
        return true;
    g_set_error(error, STATUS_ERROR, STATUS_CONFIG,
                "HAMI_CONFIG=%s: there is no such file; write it, or unset the variable", p->config);
    return false;
}

struct broker *broker_open(GError **error)
{
    g_autoptr(Broker) b = g_new0(struct broker, 1);
    b->paths = paths_new();
    if (!config_is_there(b->paths, error))
        return NULL;
    b->settings = settings_load(b->paths->config, error);
    if (!b->settings || !paths_create(b->paths, error))
        return NULL;
    b->ledger = ledger_open(b->paths->state, error);
    if (!b->ledger || !broker_settle(b, error))
        return NULL;
    return g_steal_pointer(&b);
}

/* ---- settling ---------------------------------------------------------- */

static bool is_dead(struct broker *b, const struct ledger_slice *s)
{
    g_autoptr(Files) f = files_of(b->paths, s->id);
    if (process_alive(&s->holder) || process_alive(&s->main))
        return false;
    if (s->cgroup[0])
        return !cgroup_populated(s->cgroup);
    return region_is_attached(f->region) != 1;
}

static bool mark_ended(struct broker *b, struct ledger_slice *s, int exit_status, const char *how,
                       GError **error)
{
    s->state = LEDGER_ENDED;
    s->ended_ms = (uint64_t)(g_get_real_time() / 1000);
    s->exit_status = exit_status;
    return ledger_update(b->ledger, s, error) && ledger_event(b->ledger, s->id, "ended", error, "%s", how) &&
           ledger_prune(b->ledger, error);
}

/* A smaller limit takes effect in the ledger once use has fallen below it. */
static bool settle_pending(struct broker *b, struct ledger_slice *s, GError **error)
{
    bool changed = false;
    for (uint32_t i = 0; i < s->n_shares; i++) {
        struct ledger_share *share = &s->shares[i];
        uint64_t used;
        if (!share->pending_bytes || !broker_used(b, s, i, &used) || used > share->pending_bytes)
            continue;
        share->mem_bytes = share->pending_bytes;
        share->pending_bytes = 0;
        changed = true;
    }
    return !changed || (ledger_update(b->ledger, s, error) &&
                        ledger_event(b->ledger, s->id, "resized", error, "the pending limit took effect"));
}

static bool settle_slices(struct broker *b, GPtrArray *ended, GError **error)
{
    g_autofree char *boot = process_boot();
    g_autoptr(GArray) slices = NULL;
    bool rebooted = false;
    if (!ledger_boot(b->ledger, boot, &rebooted, error) || !(slices = ledger_slices(b->ledger, true, error)))
        return false;
    for (guint i = 0; i < slices->len; i++) {
        struct ledger_slice *s = &g_array_index(slices, struct ledger_slice, i);
        if (!rebooted && !is_dead(b, s)) {
            if (!settle_pending(b, s, error))
                return false;
            continue;
        }
        if (!mark_ended(b, s, 128 + SIGKILL,
                        rebooted ? "the host was restarted" : "its holder died without a word", error))
            return false;
        g_ptr_array_add(ended, g_memdup2(s, sizeof *s));
    }
    return true;
}

static void clean_up(struct broker *b, const struct ledger_slice *s)
{
    broker_wall(b, s, true, NULL);
    if (s->cgroup[0])
        cgroup_remove(s->cgroup);
    files_remove(b->paths, s->id);
}

static bool holds_card(GArray *slices, const char *uuid)
{
    for (guint i = 0; i < slices->len; i++) {
        struct ledger_slice *s = &g_array_index(slices, struct ledger_slice, i);
        for (uint32_t d = 0; d < s->n_shares; d++)
            if (strcmp(s->shares[d].uuid, uuid) == 0)
                return true;
    }
    return false;
}

static bool is_live(GArray *slices, const char *id)
{
    for (guint i = 0; i < slices->len; i++)
        if (strcmp(g_array_index(slices, struct ledger_slice, i).id, id) == 0)
            return true;
    return false;
}

char *broker_cgroup_base(const struct paths *p)
{
    return p->own_state ? g_strdup_printf("hami-%08x", g_str_hash(p->state)) : g_strdup("hami");
}

char *broker_cgroup_folder(const struct paths *p)
{
    g_autofree char *mount = cgroup_mount();
    g_autofree char *base = broker_cgroup_base(p);
    return mount ? g_build_filename(mount, base, NULL) : NULL;
}

GPtrArray *broker_unowned_groups(const char *folder, GArray *slices)
{
    GPtrArray *paths = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GDir) dir = folder ? g_dir_open(folder, 0, NULL) : NULL;
    for (const char *name; dir && (name = g_dir_read_name(dir));) {
        char *path = g_build_filename(folder, name, NULL);
        if (g_file_test(path, G_FILE_TEST_IS_DIR) && !is_live(slices, name))
            g_ptr_array_add(paths, path);
        else
            g_free(path);
    }
    return paths;
}

/* Empty control groups below ours that no live slice owns. */
static bool sweep_groups(struct broker *b, GError **error)
{
    g_autoptr(GArray) slices = ledger_slices(b->ledger, true, error);
    g_autofree char *folder = slices && b->paths->root ? broker_cgroup_folder(b->paths) : NULL;
    g_autoptr(GPtrArray) unowned = broker_unowned_groups(folder, slices);
    for (guint i = 0; i < unowned->len; i++)
        if (!cgroup_populated(unowned->pdata[i]))
            cgroup_remove(unowned->pdata[i]);
    if (folder)
        rmdir(folder); /* does nothing while it has children */
    return slices != NULL;
}

/* A slice that runs although nobody remembers it: its ledger was removed. */
static bool is_in_use(struct broker *b, const char *id)
{
    g_autoptr(Files) f = files_of(b->paths, id);
    return region_is_attached(f->region) == 1;
}

/* Folders and boards that no live slice owns: their slice's end was cut short.
 * Inside a transaction, so that no slice is just being born. */
static bool sweep_files(struct broker *b, GError **error)
{
    g_autoptr(GArray) slices = ledger_slices(b->ledger, true, error);
    g_autofree char *folders = g_build_filename(b->paths->runtime, "slices", NULL);
    g_autofree char *boards = g_build_filename(b->paths->runtime, "board", NULL);
    if (!slices)
        return false;
    g_autoptr(GDir) dir = g_dir_open(folders, 0, NULL);
    for (const char *name; dir && (name = g_dir_read_name(dir));)
        if (!is_live(slices, name) && !is_in_use(b, name))
            files_remove(b->paths, name);
    g_autoptr(GDir) board_dir = g_dir_open(boards, 0, NULL);
    for (const char *name; board_dir && (name = g_dir_read_name(board_dir));) {
        g_autofree char *path = files_board(b->paths, name);
        if (!holds_card(slices, name))
            unlink(path);
    }
    return true;
}

static bool sweep(struct broker *b, GError **error)
{
    if (!ledger_begin(b->ledger, error))
        return false;
    bool swept = sweep_files(b, error) && sweep_groups(b, error);
    ledger_rollback(b->ledger);
    return swept;
}

static bool drop_dead_waiters(struct broker *b, GError **error)
{
    g_autoptr(GArray) waiters = ledger_waiters(b->ledger, error);
    for (guint i = 0; waiters && i < waiters->len; i++) {
        struct ledger_waiter *w = &g_array_index(waiters, struct ledger_waiter, i);
        if (!process_alive(&w->process) && !ledger_dequeue(b->ledger, w->ticket, error))
            return false;
    }
    return waiters != NULL;
}

/* A full disk must not keep anybody from looking, nor from stopping what fills
 * it: what has ended is written down once there is room. */
static bool put_off(const struct broker *b, GError *taken, GError **error)
{
    static bool said;
    if (!ledger_is_full(b->ledger)) {
        g_propagate_error(error, taken);
        return false;
    }
    if (!said)
        g_printerr("hami: %s; until then slices that have ended are not freed\n", taken->message);
    said = true;
    g_error_free(taken);
    return true;
}

bool broker_settle(struct broker *b, GError **error)
{
    g_autoptr(GError) problem = NULL;
    g_autoptr(GPtrArray) ended = g_ptr_array_new_with_free_func(g_free);
    if (!ledger_begin(b->ledger, error))
        return false;
    if (!settle_slices(b, ended, &problem) || !drop_dead_waiters(b, &problem)) {
        ledger_rollback(b->ledger);
        return put_off(b, g_steal_pointer(&problem), error);
    }
    if (!ledger_commit(b->ledger, &problem))
        return put_off(b, g_steal_pointer(&problem), error);
    for (guint i = 0; i < ended->len; i++)
        clean_up(b, g_ptr_array_index(ended, i));
    bool swept = sweep(b, error);
    if (ended->len)
        files_ring(b->paths);
    return swept;
}

/* ---- machines ---------------------------------------------------------- */

char *broker_machine(const char *profile)
{
    const char *comma = strchr(profile, ',');
    g_autofree char *name = comma ? g_strndup(profile, (gsize)(comma - profile)) : g_strdup(profile);
    if (!strchr(name, '/') && !g_str_has_suffix(name, ".yaml"))
        return g_strdup(profile);
    g_autofree char *absolute = g_canonicalize_filename(name, NULL);
    return g_strconcat(absolute, comma, NULL);
}

char *broker_sim_state(const char *machine)
{
    const char *named = g_getenv("HAMI_SIM_STATE");
    const char *base = strrchr(machine, '/');
    if (named && *named)
        return g_canonicalize_filename(named, NULL);
    return g_strdup_printf("/dev/shm/hami-sim-%u-%s", (unsigned)geteuid(), base ? base + 1 : machine);
}

struct driver_source broker_source(const struct broker *b, const char *machine, const char *sim_state)
{
    bool simulated = machine && *machine;
    return (struct driver_source){.helper = b->paths->executable,
                                  .directory = simulated ? b->paths->simulator : NULL,
                                  .profile = simulated ? machine : NULL,
                                  .state = simulated && sim_state && *sim_state ? sim_state : NULL,
                                  .deadline_ms = (unsigned)b->settings->driver_deadline_ms};
}

bool broker_discover(struct broker *b, const char *machine, const char *sim_state,
                     struct driver_inventory *ret, GError **error)
{
    struct driver_source source = broker_source(b, machine, sim_state);
    if (machine && *machine && !b->paths->simulator) {
        g_set_error(error, STATUS_ERROR, STATUS_NO_DRIVER,
                    "--sim %s: the simulated drivers are not installed beside %s", machine,
                    b->paths->executable);
        return false;
    }
    if (!driver_discover(&source, ret, error))
        return false;
    if (!ledger_begin(b->ledger, error))
        return false;
    if (ledger_put_cards(b->ledger, machine ? machine : "", ret, error))
        return ledger_commit(b->ledger, error);
    ledger_rollback(b->ledger);
    return false;
}

bool broker_is_cordoned(const struct broker *b, const char *uuid)
{
    return b->settings->cordon && lists_want_uuid(b->settings->cordon, NULL, uuid);
}

static void fill_card(const struct broker *b, const struct driver_card *card, struct machine *m, uint32_t i)
{
    uint32_t cores = (uint32_t)quantity_scale(100, b->settings->core_scale_milli);
    g_strlcpy(m->text[i].uuid, card->uuid, sizeof m->text[i].uuid);
    g_strlcpy(m->text[i].type, card->name, sizeof m->text[i].type);
    m->cards[i] = (struct card){.group = (int32_t)card->card,
                                .index = (uint16_t)card->index,
                                .mem_bytes = quantity_scale(card->mem_bytes, b->settings->memory_scale_milli),
                                .cores = MAX(cores, 1),
                                .slots = (uint16_t)MIN(b->settings->split_count, UINT16_MAX),
                                .numa = (int16_t)card->numa_node,
                                .healthy = card->healthy != 0};
    m->cards[i].cordoned = broker_is_cordoned(b, card->uuid);
}

static void add_use(struct machine *m, const struct ledger_slice *s)
{
    for (uint32_t i = 0; i < s->n_shares; i++) {
        int at = machine_find(m, s->shares[i].uuid);
        if (at < 0)
            continue;
        m->use[at].mem_bytes += s->shares[i].mem_bytes;
        m->use[at].cores += s->shares[i].cores_pct;
        m->use[at].slots++;
        m->use[at].exclusive += s->exclusive;
    }
}

bool broker_cards(struct broker *b, const char *machine, const struct driver_inventory *inventory,
                  struct machine *ret, GError **error)
{
    g_autoptr(GArray) slices = ledger_slices(b->ledger, true, error);
    if (!slices)
        return false;
    memset(ret, 0, sizeof *ret);
    ret->n = MIN(inventory->n, MACHINE_CARDS);
    ret->n_silent = MIN(inventory->n_silent, MACHINE_CARDS);
    memcpy(ret->silent, inventory->silent, ret->n_silent);
    for (uint32_t i = 0; i < ret->n; i++) {
        fill_card(b, &inventory->cards[i], ret, i);
        for (uint32_t j = 0; j < ret->n; j++)
            ret->pair_score[i][j] =
                i == j ? 0 : machine_pair_score(inventory->level[i][j], inventory->links[i][j]);
    }
    machine_bind(ret);
    for (guint i = 0; i < slices->len; i++) {
        const struct ledger_slice *s = &g_array_index(slices, struct ledger_slice, i);
        if (strcmp(s->machine, machine ? machine : "") == 0)
            add_use(ret, s);
    }
    return true;
}

/* ---- reserving --------------------------------------------------------- */

static bool name_is_free(struct broker *b, const char *name, GError **error)
{
    g_autoptr(GArray) slices = ledger_slices(b->ledger, true, error);
    for (guint i = 0; slices && i < slices->len; i++) {
        struct ledger_slice *s = &g_array_index(slices, struct ledger_slice, i);
        bool is_id = strcmp(s->id, name) == 0;
        if (!is_id && strcmp(s->name, name) != 0)
            continue;
        g_set_error(error, STATUS_ERROR, STATUS_USAGE,
                    "--name %s: slice %s has this %s and still runs; choose another, or `hami stop %s`", name,
                    s->id, is_id ? "id" : "name", s->id);
        return false;
    }
    return slices != NULL;
}

/* As a list of cards to avoid it would quietly avoid nothing. */
static bool uuids_are_whole(const struct machine *m, const struct request *r, GError **error)
{
    const struct {
        const char *flag, *list;
    } lists[] = {{"uuid", r->use_uuids}, {"not-uuid", r->not_uuids}};
    for (size_t i = 0; i < G_N_ELEMENTS(lists); i++) {
        uint32_t card;
        struct machine_word cut = machine_cut_uuid(m, lists[i].list, &card);
        if (!cut.len)
            continue;
        g_set_error(error, STATUS_ERROR, STATUS_USAGE, "--%s %.*s: only the beginning of a UUID; write %s",
                    lists[i].flag, (int)cut.len, cut.at, m->cards[card].uuid);
        return false;
    }
    return true;
}

/* Into the driver's order, whatever order they were liked in: CUDA numbers them
 * as the grant does, NVML as the driver does, and the two should agree. */
static void sort_shares(const struct machine *m, const struct request_grant *g, struct ledger_slice *s)
{
    uint32_t n = 0;
    for (uint32_t card = 0; card < m->n; card++)
        for (uint32_t i = 0; i < g->n; i++) {
            if (g->shares[i].device != card)
                continue;
            struct ledger_share *share = &s->shares[n++];
            g_strlcpy(share->uuid, m->cards[card].uuid, sizeof share->uuid);
            share->mem_bytes = g->shares[i].mem_bytes;
            share->cores_pct = g->shares[i].cores_pct;
        }
}

static void fill_slice(const struct broker *b, const struct broker_request *r, const struct machine *m,
                       const struct request_grant *g, struct ledger_slice *s)
{
    *s = (struct ledger_slice){.state = LEDGER_STARTING,
                               .holder = process_of(getpid()),
                               .core_policy = r->core_policy,
                               .priority = r->priority,
                               .oversubscribe = r->oversubscribe || b->settings->memory_scale_milli > 1000,
                               .exclusive = g->exclusive,
                               .epoch = 1,
                               .created_ms = (uint64_t)(g_get_real_time() / 1000),
                               .n_shares = g->n};
    g_snprintf(s->id, sizeof s->id, "%08x", g_random_int());
    g_strlcpy(s->name, r->name ? r->name : "", sizeof s->name);
    g_strlcpy(s->machine, r->machine ? r->machine : "", sizeof s->machine);
    g_strlcpy(s->sim_state, r->sim_state ? r->sim_state : "", sizeof s->sim_state);
    g_strlcpy(s->command, r->command ? r->command : "", sizeof s->command);
    sort_shares(m, g, s);
}

static bool insert(struct broker *b, const struct ledger_slice *s, GError **error)
{
    char text[QUANTITY_TEXT], share[QUANTITY_TEXT];
    return ledger_insert(b->ledger, s, error) &&
           ledger_event(b->ledger, s->id, "reserved", error, "%s%s%u card%s, %s%s of each: %s", s->name,
                        s->name[0] ? ": " : "", s->n_shares, s->n_shares == 1 ? "" : "s",
                        quantity_format_bytes(s->shares[0].mem_bytes, text),
                        quantity_format_share(s->shares[0].cores_pct, share), s->command) &&
           ledger_commit(b->ledger, error);
}

bool broker_reserve(struct broker *b, const struct broker_request *r,
                    const struct driver_inventory *inventory, struct ledger_slice *ret,
                    struct machine *ret_machine, struct why *ret_why, GError **error)
{
    struct request_grant g;
    if (!ledger_begin(b->ledger, error))
        return false;
    bool fine = (!r->name || name_is_free(b, r->name, error)) &&
                broker_cards(b, r->machine, inventory, ret_machine, error) &&
                uuids_are_whole(ret_machine, &r->request, error);
    if (fine && (why_find(ret_machine, &r->request, ret_why), ret_why->reason == SCHED_FITS) &&
        place_choose(ret_machine, &r->request, &g) == SCHED_FITS && place_add(ret_machine, &g)) {
        fill_slice(b, r, ret_machine, &g, ret);
        if (insert(b, ret, error))
            return true;
    }
    ledger_rollback(b->ledger);
    return false;
}

bool broker_update(struct broker *b, const struct ledger_slice *s, const char *kind, const char *text,
                   GError **error)
{
    if (!ledger_begin(b->ledger, error))
        return false;
    if (ledger_update(b->ledger, s, error) &&
        (!kind || ledger_event(b->ledger, s->id, kind, error, "%s", text)))
        return ledger_commit(b->ledger, error);
    ledger_rollback(b->ledger);
    return false;
}

bool broker_release(struct broker *b, const char *id, int exit_status, GError **error)
{
    struct ledger_slice s;
    g_autofree char *how = exit_status > 128 ? g_strdup_printf("by signal %d", exit_status - 128)
                                             : g_strdup_printf("with exit status %d", exit_status);
    if (!ledger_find(b->ledger, id, &s, error))
        return false;
    clean_up(b, &s);
    if (!ledger_begin(b->ledger, error))
        return false;
    if (!mark_ended(b, &s, exit_status, how, error)) {
        ledger_rollback(b->ledger);
        return false;
    }
    bool done = ledger_commit(b->ledger, error) && sweep(b, error);
    files_ring(b->paths);
    return done;
}

bool broker_used(struct broker *b, const struct ledger_slice *s, uint32_t i, uint64_t *ret)
{
    g_autoptr(Files) f = files_of(b->paths, s->id);
    g_autofree struct region_view *view = g_new0(struct region_view, 1);
    if (i >= REGION_DEVICES || region_read(f->region, view) < 0)
        return false;
    *ret = MAX(view->used[i], view->held[i]);
    return true;
}

void broker_signal(struct broker *b, const struct ledger_slice *s, int signal)
{
    (void)b;
    if (s->cgroup[0] && cgroup_signal(s->cgroup, signal))
        return;
    /* The holder passes signals on while it has no command yet; a command that
     * has just died is its to bury. */
    const struct ledger_process *p = s->main.pid ? &s->main : &s->holder;
    if (process_alive(p))
        kill(p->pid, signal);
}

bool broker_wall(struct broker *b, const struct ledger_slice *s, bool clear, GError **error)
{
    struct driver_source source = broker_source(b, s->machine, s->sim_state);
    if (!s->cgroup[0] || !s->walled)
        return true;
    for (uint32_t i = 0; i < s->n_shares; i++) {
        uint64_t hard = clear ? DRIVER_NO_LIMIT : s->shares[i].mem_bytes;
        if (!driver_set_limit(&source, s->shares[i].uuid, s->cgroup, hard, error))
            return false;
    }
    return true;
}
