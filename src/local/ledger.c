/* SPDX-License-Identifier: Apache-2.0
 *
 * Opening the ledger, its schema, transactions, events and the queue; rows of
 * slices and cards are in ledger_rows.c.
 */
#include "local/ledger.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/status.h"
#include "base/words.h"
#include "local/ledger_sql.h"

static const char schema[] =
    "CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;"
    "CREATE TABLE cards(machine TEXT, uuid TEXT, position INTEGER, type TEXT, bus_id TEXT, card INTEGER,"
    " number INTEGER, mem_bytes INTEGER, numa INTEGER, healthy INTEGER, mig INTEGER, unified INTEGER,"
    " PRIMARY KEY(machine, uuid)) WITHOUT ROWID;"
    "CREATE TABLE slices(id TEXT PRIMARY KEY, name TEXT, machine TEXT, sim_state TEXT, cgroup TEXT,"
    " command TEXT, state INTEGER, holder_pid INTEGER, holder_start INTEGER, main_pid INTEGER,"
    " main_start INTEGER, core_policy INTEGER, priority INTEGER, oversubscribe INTEGER, exclusive INTEGER,"
    " suspended INTEGER, protected INTEGER, epoch INTEGER, created_ms INTEGER, ended_ms INTEGER,"
    " exit_status INTEGER, walled INTEGER);"
    "CREATE INDEX slices_by_state ON slices(state);"
    "CREATE TABLE shares(slice TEXT, position INTEGER, uuid TEXT, mem_bytes INTEGER, pending_bytes INTEGER,"
    " cores_pct INTEGER, PRIMARY KEY(slice, position)) WITHOUT ROWID;"
    "CREATE TABLE events(sequence INTEGER PRIMARY KEY AUTOINCREMENT, time_ms INTEGER, slice TEXT, kind TEXT,"
    " text TEXT);"
    "CREATE TABLE waiters(ticket INTEGER PRIMARY KEY AUTOINCREMENT, pid INTEGER, start INTEGER);";

static void set_error(struct ledger *l, GError **error)
{
    int code = sqlite3_errcode(l->db);
    bool broken = code == SQLITE_CORRUPT || code == SQLITE_NOTADB;
    bool unusable = code == SQLITE_CANTOPEN || code == SQLITE_IOERR;
    l->full = code == SQLITE_FULL || (unusable && sqlite3_system_errno(l->db) == ENOSPC);
    g_set_error(
        error, STATUS_ERROR, broken ? STATUS_CONFIG : STATUS_FAILED, "ledger %s: %s%s", l->path,
        sqlite3_errmsg(l->db),
        broken    ? "; stop all slices, move the file away, and a new one is made"
        : l->full ? "; make room there"
        : unusable
            ? "; see what is there (it has to be a file on a disk that works), or choose another folder "
              "with HAMI_STATE_DIR"
            : "");
}

Statement *ledger_query(struct ledger *l, GError **error, const char *sql, const char *types, ...)
{
    Statement *statement = NULL;
    va_list args;
    if (sqlite3_prepare_v2(l->db, sql, -1, &statement, NULL) != SQLITE_OK) {
        set_error(l, error);
        return NULL;
    }
    va_start(args, types);
    for (int i = 0; types[i]; i++) {
        if (types[i] == 's')
            sqlite3_bind_text(statement, i + 1, va_arg(args, const char *), -1, SQLITE_TRANSIENT);
        else
            sqlite3_bind_int64(statement, i + 1, va_arg(args, int64_t));
    }
    va_end(args);
    return statement;
}

int ledger_step(struct ledger *l, Statement *statement, GError **error)
{
    int result = sqlite3_step(statement);
    if (result == SQLITE_ROW)
        return 1;
    if (result == SQLITE_DONE)
        return 0;
    set_error(l, error);
    return -1;
}

bool ledger_run(struct ledger *l, Statement *taken, GError **error)
{
    g_autoptr(Statement) statement = taken;
    int result = statement ? 1 : -1;
    while (result == 1)
        result = ledger_step(l, statement, error);
    return result == 0;
}

void ledger_text(Statement *statement, int column, char *ret, size_t size)
{
    const unsigned char *text = sqlite3_column_text(statement, column);
    g_strlcpy(ret, text ? (const char *)text : "", size);
}

void ledger_words(Statement *statement, int column, char *ret, size_t size)
{
    ledger_text(statement, column, ret, size);
    words_make_printable(ret, "");
}

static bool execute(struct ledger *l, const char *sql, GError **error)
{
    if (sqlite3_exec(l->db, sql, NULL, NULL, NULL) == SQLITE_OK)
        return true;
    set_error(l, error);
    return false;
}

static bool schema_version(struct ledger *l, int *ret, GError **error)
{
    g_autoptr(Statement) q = ledger_query(l, error, "PRAGMA user_version", "");
    if (!q || ledger_step(l, q, error) < 0)
        return false;
    *ret = sqlite3_column_int(q, 0);
    return true;
}

static bool make_schema(struct ledger *l, GError **error)
{
    int version = 0;
    if (!schema_version(l, &version, error))
        return false;
    if (version == LEDGER_SCHEMA)
        return true;
    if (version > LEDGER_SCHEMA) {
        g_set_error(error, STATUS_ERROR, STATUS_CONFIG,
                    "ledger %s has schema %d, this hami knows up to %d; use the newer hami", l->path, version,
                    LEDGER_SCHEMA);
        return false;
    }
    if (!ledger_begin(l, error))
        return false;
    /* Somebody else may have made it while we waited. */
    bool done = schema_version(l, &version, error) &&
                (version == LEDGER_SCHEMA ||
                 (execute(l, schema, error) &&
                  execute(l, "PRAGMA user_version = " G_STRINGIFY(LEDGER_SCHEMA), error)));
    if (done)
        return ledger_commit(l, error);
    ledger_rollback(l);
    return false;
}

bool ledger_is_full(const struct ledger *l)
{
    return l->full;
}

/* ---- the lock ---------------------------------------------------------- */

#define SILENT_MS 2000 /* a transaction takes milliseconds */

/* Somebody who waits for a lock that a stopped process holds should be told. */
struct notice {
    GMutex mutex;
    GCond cond;
    bool done;
    const struct ledger *ledger;
};

/* Who holds it; 0 when the kernel does not say. */
static pid_t holder_of(int fd)
{
    struct stat st;
    g_autofree char *text = NULL;
    if (fstat(fd, &st) < 0 || !g_file_get_contents("/proc/locks", &text, NULL, NULL))
        return 0;
    g_autofree char *file = g_strdup_printf(":%lu", (unsigned long)st.st_ino);
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    for (char **line = lines; *line; line++) {
        int pid = 0;
        char place[64];
        if (sscanf(*line, "%*s FLOCK %*s WRITE %d %63s", &pid, place) == 2 && g_str_has_suffix(place, file))
            return pid;
    }
    return 0;
}

static void *notice_main(void *data)
{
    struct notice *n = data;
    gint64 end_us = g_get_monotonic_time() + SILENT_MS * G_TIME_SPAN_MILLISECOND;
    g_mutex_lock(&n->mutex);
    while (!n->done && g_cond_wait_until(&n->cond, &n->mutex, end_us))
        continue;
    if (!n->done) {
        int pid = holder_of(n->ledger->lock_fd);
        g_autofree char *who = pid ? g_strdup_printf("process %d", pid) : g_strdup("somebody");
        g_printerr("hami: waiting for %s, whose lock %s holds; if that is stopped let it go on, or end it\n",
                   n->ledger->path, who);
    }
    g_mutex_unlock(&n->mutex);
    return NULL;
}

static bool wait_for_lock(struct ledger *l)
{
    struct notice n = {.ledger = l};
    int result;
    g_mutex_init(&n.mutex);
    g_cond_init(&n.cond);
    GThread *thread = g_thread_try_new("notice", notice_main, &n, NULL);
    do
        result = flock(l->lock_fd, LOCK_EX);
    while (result < 0 && errno == EINTR);
    int number = errno;
    g_mutex_lock(&n.mutex);
    n.done = true;
    g_cond_signal(&n.cond);
    g_mutex_unlock(&n.mutex);
    if (thread)
        g_thread_join(thread);
    g_mutex_clear(&n.mutex);
    g_cond_clear(&n.cond);
    errno = number;
    return result == 0;
}

static bool take_lock(struct ledger *l, GError **error)
{
    if (flock(l->lock_fd, LOCK_EX | LOCK_NB) == 0 || (errno == EWOULDBLOCK && wait_for_lock(l)))
        return true;
    g_set_error(error, STATUS_ERROR, STATUS_FAILED, "locking the ledger: %s", g_strerror(errno));
    return false;
}

/* Two that turn a new file into one with a write-ahead log at once do not wait
 * for each other: SQLite answers "locked" to one of them. */
static bool set_up(struct ledger *l, GError **error)
{
    if (!take_lock(l, error))
        return false;
    bool done =
        execute(l, "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON", error);
    flock(l->lock_fd, LOCK_UN);
    return done;
}

struct ledger *ledger_open(const char *folder, GError **error)
{
    g_autoptr(Ledger) l = g_new0(struct ledger, 1);
    g_autofree char *lock = g_build_filename(folder, "lock", NULL);
    l->path = g_build_filename(folder, "ledger.db", NULL);
    l->lock_fd = open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (l->lock_fd < 0) {
        g_set_error(error, STATUS_ERROR, errno == EACCES ? STATUS_DENIED : STATUS_FAILED, "%s: %s", lock,
                    g_strerror(errno));
        return NULL;
    }
    if (sqlite3_open_v2(l->path, &l->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL) != SQLITE_OK) {
        set_error(l, error);
        return NULL;
    }
    sqlite3_busy_timeout(l->db, 10000);
    if (!set_up(l, error) || !make_schema(l, error))
        return NULL;
    return g_steal_pointer(&l);
}

void ledger_close(struct ledger *l)
{
    if (!l)
        return;
    ledger_rollback(l);
    if (l->db)
        sqlite3_close(l->db);
    if (l->lock_fd >= 0)
        close(l->lock_fd);
    g_free(l->path);
    g_free(l);
}

bool ledger_begin(struct ledger *l, GError **error)
{
    if (!take_lock(l, error))
        return false;
    l->in_transaction = execute(l, "BEGIN IMMEDIATE", error);
    if (!l->in_transaction)
        flock(l->lock_fd, LOCK_UN);
    return l->in_transaction;
}

static void finish(struct ledger *l)
{
    l->in_transaction = false;
    flock(l->lock_fd, LOCK_UN);
}

/* A full disk has undone it already. */
static void undo(struct ledger *l)
{
    if (!sqlite3_get_autocommit(l->db))
        execute(l, "ROLLBACK", NULL);
}

bool ledger_commit(struct ledger *l, GError **error)
{
    bool done = execute(l, "COMMIT", error);
    if (!done)
        undo(l);
    finish(l);
    return done;
}

void ledger_rollback(struct ledger *l)
{
    if (!l->in_transaction)
        return;
    undo(l);
    finish(l);
}

bool ledger_boot(struct ledger *l, const char *boot, bool *ret_changed, GError **error)
{
    g_autoptr(Statement) q = ledger_query(l, error, "SELECT value FROM meta WHERE key = 'boot'", "");
    char known[64] = "";
    if (!q || ledger_step(l, q, error) < 0)
        return false;
    ledger_text(q, 0, known, sizeof known);
    *ret_changed = strcmp(known, boot) != 0;
    return !*ret_changed ||
           ledger_run(l, ledger_query(l, error, "INSERT OR REPLACE INTO meta VALUES('boot', ?)", "s", boot),
                      error);
}

/* ---- events ------------------------------------------------------------ */

bool ledger_event(struct ledger *l, const char *slice, const char *kind, GError **error, const char *format,
                  ...)
{
    va_list args;
    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    return ledger_run(l,
                      ledger_query(l, error,
                                   "INSERT INTO events(time_ms, slice, kind, text) VALUES(?, ?, ?, ?)",
                                   "isss", (int64_t)(g_get_real_time() / 1000), slice, kind, text),
                      error);
}

GArray *ledger_events(struct ledger *l, int64_t after, const char *slice, GError **error)
{
    g_autoptr(GArray) rows = g_array_new(FALSE, TRUE, sizeof(struct ledger_event_row));
    g_autoptr(Statement) q =
        ledger_query(l, error,
                     "SELECT sequence, time_ms, slice, kind, text FROM events WHERE sequence > ?1 AND"
                     " (?2 = '' OR slice = ?2) ORDER BY sequence",
                     "is", after, slice ? slice : "");
    int step = q ? 1 : -1;
    while (step >= 0 && (step = ledger_step(l, q, error)) == 1) {
        struct ledger_event_row row = {.sequence = sqlite3_column_int64(q, 0),
                                       .time_ms = (uint64_t)sqlite3_column_int64(q, 1)};
        ledger_text(q, 2, row.slice, sizeof row.slice);
        ledger_text(q, 3, row.kind, sizeof row.kind);
        ledger_words(q, 4, row.text, sizeof row.text);
        g_array_append_val(rows, row);
    }
    return step < 0 ? NULL : g_steal_pointer(&rows);
}

/* An end that lies ahead is of a clock that was set back since: older than any. */
bool ledger_prune(struct ledger *l, GError **error)
{
    return ledger_run(l,
                      ledger_query(l, error,
                                   "DELETE FROM slices WHERE state = 2 AND id NOT IN"
                                   " (SELECT id FROM slices WHERE state = 2"
                                   " ORDER BY ended_ms > ?, ended_ms DESC, rowid DESC LIMIT 200)",
                                   "i", (int64_t)(g_get_real_time() / 1000)),
                      error) &&
           execute(l,
                   "DELETE FROM shares WHERE slice NOT IN (SELECT id FROM slices);"
                   "DELETE FROM events WHERE sequence <= (SELECT max(sequence) FROM events) - 5000",
                   error);
}

/* ---- queue ------------------------------------------------------------- */

bool ledger_enqueue(struct ledger *l, const struct ledger_process *p, int64_t *ret_ticket, GError **error)
{
    if (!ledger_run(l,
                    ledger_query(l, error, "INSERT INTO waiters(pid, start) VALUES(?, ?)", "ii",
                                 (int64_t)p->pid, (int64_t)p->start_ticks),
                    error))
        return false;
    *ret_ticket = sqlite3_last_insert_rowid(l->db);
    return true;
}

bool ledger_dequeue(struct ledger *l, int64_t ticket, GError **error)
{
    return ledger_run(l, ledger_query(l, error, "DELETE FROM waiters WHERE ticket = ?", "i", ticket), error);
}

GArray *ledger_waiters(struct ledger *l, GError **error)
{
    g_autoptr(GArray) rows = g_array_new(FALSE, TRUE, sizeof(struct ledger_waiter));
    g_autoptr(Statement) q =
        ledger_query(l, error, "SELECT ticket, pid, start FROM waiters ORDER BY ticket", "");
    int step = q ? 1 : -1;
    while (step >= 0 && (step = ledger_step(l, q, error)) == 1) {
        struct ledger_waiter row = {
            .ticket = sqlite3_column_int64(q, 0),
            .process = {sqlite3_column_int(q, 1), (uint64_t)sqlite3_column_int64(q, 2)}};
        g_array_append_val(rows, row);
    }
    return step < 0 ? NULL : g_steal_pointer(&rows);
}
