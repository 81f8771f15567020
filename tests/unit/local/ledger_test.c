/* SPDX-License-Identifier: Apache-2.0
 *
 * The ledger, settings, and who is alive.
 */
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/status.h"
#include "local/ledger.h"
#include "local/process.h"
#include "local/settings.h"

static char *folder(void)
{
    GError *error = NULL;
    char *path = g_dir_make_tmp("hami-ledger-XXXXXX", &error);
    g_assert_no_error(error);
    return path;
}

static void remove_folder(char *path)
{
    static const char *const files[] = {"ledger.db", "ledger.db-wal", "ledger.db-shm", "lock", "conf"};
    for (size_t i = 0; i < G_N_ELEMENTS(files); i++) {
        g_autofree char *file = g_build_filename(path, files[i], NULL);
        g_unlink(file);
    }
    g_assert_cmpint(g_rmdir(path), ==, 0);
    g_free(path);
}

static struct ledger_slice slice(const char *id, const char *name)
{
    struct ledger_slice s = {
        .state = LEDGER_RUNNING, .holder = {7, 8}, .epoch = 3, .n_shares = 2, .created_ms = 5};
    g_strlcpy(s.id, id, sizeof s.id);
    g_strlcpy(s.name, name, sizeof s.name);
    g_strlcpy(s.shares[0].uuid, "GPU-a", sizeof s.shares[0].uuid);
    g_strlcpy(s.shares[1].uuid, "GPU-b", sizeof s.shares[1].uuid);
    s.shares[0].mem_bytes = s.shares[1].mem_bytes = UINT64_C(1) << 40;
    s.shares[1].pending_bytes = 17;
    s.shares[1].cores_pct = 30;
    return s;
}

static void test_rows_read_back(void)
{
    char *path = folder();
    GError *error = NULL;
    g_autoptr(Ledger) l = ledger_open(path, &error);
    struct ledger_slice s = slice("0badcafe", "it's; DROP"), back;
    g_assert_no_error(error);
    g_assert_true(ledger_begin(l, &error) && ledger_insert(l, &s, &error) && ledger_commit(l, &error));
    g_assert_no_error(error);
    g_assert_true(ledger_find(l, "0badcafe", &back, &error));
    g_assert_true(memcmp(&s, &back, sizeof s) == 0);
    g_assert_true(ledger_find(l, "it's; DROP", &back, &error));
    g_assert_true(ledger_find(l, "0bad", &back, &error));
    g_assert_false(ledger_find(l, "0badcaff", &back, &error));
    g_assert_error(error, STATUS_ERROR, STATUS_NO_SLICE);
    g_assert_nonnull(strstr(error->message, "0badcafe"));
    g_clear_error(&error);
    s.state = LEDGER_ENDED;
    g_assert_true(ledger_begin(l, &error) && ledger_update(l, &s, &error) && ledger_commit(l, &error));
    g_autoptr(GArray) live = ledger_slices(l, true, &error);
    g_assert_cmpuint(live->len, ==, 0);
    ledger_close(g_steal_pointer(&l));
    remove_folder(path);
}

static void test_rollback(void)
{
    char *path = folder();
    GError *error = NULL;
    g_autoptr(Ledger) l = ledger_open(path, &error);
    struct ledger_slice s = slice("00000001", "");
    g_assert_true(ledger_begin(l, &error) && ledger_insert(l, &s, &error));
    ledger_rollback(l);
    g_assert_false(ledger_find(l, "00000001", &s, NULL));
    ledger_close(g_steal_pointer(&l));
    remove_folder(path);
}

/* A process that dies inside a transaction leaves neither a row nor a lock. */
static void test_death_in_transaction(void)
{
    char *path = folder();
    GError *error = NULL;
    g_autoptr(Ledger) first = ledger_open(path, &error);
    ledger_close(g_steal_pointer(&first));
    pid_t pid = fork();
    if (pid == 0) {
        struct ledger_slice s = slice("00000002", "");
        struct ledger *l = ledger_open(path, NULL);
        if (l && ledger_begin(l, NULL) && ledger_insert(l, &s, NULL))
            kill(getpid(), SIGKILL);
        _exit(1);
    }
    int status;
    g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
    g_assert_true(WIFSIGNALED(status));
    g_autoptr(Ledger) l = ledger_open(path, &error);
    struct ledger_slice s;
    g_assert_no_error(error);
    g_assert_true(ledger_begin(l, &error));
    ledger_rollback(l);
    g_assert_false(ledger_find(l, "00000002", &s, NULL));
    ledger_close(g_steal_pointer(&l));
    remove_folder(path);
}

static int open_at_once(const char *path, int gate)
{
    char byte;
    g_autoptr(GError) error = NULL;
    if (read(gate, &byte, 1) != 0)
        return 2;
    g_autoptr(Ledger) l = ledger_open(path, &error);
    if (!l)
        fprintf(stderr, "# %s\n", error->message);
    return l ? 0 : 1;
}

/* The first commands of a host may well be several. */
static void test_made_by_many(void)
{
    enum { ROUNDS = 60, OPENERS = 8 };
    for (int round = 0; round < ROUNDS; round++) {
        char *path = folder();
        int gate[2], status;
        pid_t pids[OPENERS];
        g_assert_cmpint(pipe(gate), ==, 0);
        for (int i = 0; i < OPENERS; i++) {
            pids[i] = fork();
            if (pids[i] == 0) {
                close(gate[1]);
                _exit(open_at_once(path, gate[0]));
            }
        }
        close(gate[0]);
        close(gate[1]);
        for (int i = 0; i < OPENERS; i++) {
            g_assert_cmpint(waitpid(pids[i], &status, 0), ==, pids[i]);
            g_assert_cmpint(status, ==, 0);
        }
        remove_folder(path);
    }
}

static void test_newer_schema(void)
{
    char *path = folder();
    GError *error = NULL;
    g_autoptr(Ledger) l = ledger_open(path, &error);
    ledger_close(g_steal_pointer(&l));
    g_autofree char *file = g_build_filename(path, "ledger.db", NULL);
    int fd = open(file, O_WRONLY);
    const unsigned char version[4] = {0, 0, 0, 99}; /* user_version, at byte 60 */
    g_assert_cmpint(pwrite(fd, version, 4, 60), ==, 4);
    close(fd);
    l = ledger_open(path, &error);
    g_assert_null(l);
    g_assert_error(error, STATUS_ERROR, STATUS_CONFIG);
    g_clear_error(&error);
    g_assert_true(g_file_set_contents(file, "this is no database, whatever it says", -1, NULL));
    l = ledger_open(path, &error);
    g_assert_null(l);
    g_assert_error(error, STATUS_ERROR, STATUS_CONFIG);
    g_clear_error(&error);
    remove_folder(path);
}

static void test_queue_and_events(void)
{
    char *path = folder();
    GError *error = NULL;
    g_autoptr(Ledger) l = ledger_open(path, &error);
    struct ledger_process p = {1, 2};
    int64_t a = 0, b = 0;
    g_assert_true(ledger_begin(l, &error) && ledger_enqueue(l, &p, &a, &error) &&
                  ledger_enqueue(l, &p, &b, &error));
    g_assert_cmpint(a, <, b);
    g_assert_true(ledger_dequeue(l, a, &error));
    for (int i = 0; i < 5100; i++)
        g_assert_true(ledger_event(l, "x", "kind", &error, "%d", i));
    g_assert_true(ledger_prune(l, &error) && ledger_commit(l, &error));
    g_autoptr(GArray) waiters = ledger_waiters(l, &error);
    g_assert_cmpuint(waiters->len, ==, 1);
    g_autoptr(GArray) events = ledger_events(l, 0, NULL, &error);
    g_assert_cmpuint(events->len, ==, 5000);
    g_assert_cmpstr(g_array_index(events, struct ledger_event_row, 4999).text, ==, "5099");
    ledger_close(g_steal_pointer(&l));
    remove_folder(path);
}

/* 210 ends by a clock that ran a year ahead, then one by the right one. */
static void test_clock_set_back(void)
{
    char *path = folder();
    GError *error = NULL;
    g_autoptr(Ledger) l = ledger_open(path, &error);
    struct ledger_slice s = slice("", ""), back;
    uint64_t now_ms = (uint64_t)(g_get_real_time() / 1000);
    s.state = LEDGER_ENDED;
    g_assert_true(ledger_begin(l, &error));
    for (unsigned i = 0; i < 211; i++) {
        g_snprintf(s.id, sizeof s.id, "%08x", i);
        s.ended_ms = i < 210 ? now_ms + UINT64_C(31536000000) : now_ms;
        g_assert_true(ledger_insert(l, &s, &error));
    }
    g_assert_true(ledger_prune(l, &error) && ledger_commit(l, &error));
    g_autoptr(GArray) left = ledger_slices(l, false, &error);
    g_assert_cmpuint(left->len, ==, 200);
    g_assert_true(ledger_find(l, s.id, &back, &error));
    ledger_close(g_steal_pointer(&l));
    remove_folder(path);
}

static void test_liveness(void)
{
    struct ledger_process self = process_of(getpid()), later = self, nobody = {0};
    later.start_ticks++;
    g_assert_true(process_alive(&self));
    g_assert_false(process_alive(&later));
    g_assert_false(process_alive(&nobody));
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    struct ledger_process child = {.pid = pid, .start_ticks = self.start_ticks + 1};
    g_assert_cmpint(waitpid(pid, NULL, 0), ==, pid);
    g_assert_false(process_alive(&child));
}

/* ---- settings ---------------------------------------------------------- */

static struct settings *load(const char *text, GError **error)
{
    char *path = folder();
    g_autofree char *file = g_build_filename(path, "conf", NULL);
    g_assert_true(g_file_set_contents(file, text, -1, NULL));
    struct settings *s = settings_load(file, error);
    remove_folder(path);
    return s;
}

static void test_settings(void)
{
    GError *error = NULL;
    g_autoptr(Settings) none = settings_load("/nonexistent/hami.toml", &error);
    g_assert_no_error(error);
    g_assert_cmpuint(none->split_count, ==, 10);
    g_assert_cmpint(none->core_policy, ==, GRANT_POLICY_FORCE);
    g_autoptr(Settings) s =
        load("# comment\n[cards]\nsplit_count = 3\nmemory_scale = 1.5\ncordon = \"GPU-1,GPU-2\"\n"
             "[defaults]\npolicy = \"spread\"\nmemory = 4G\n[run]\ngrace=2s\nprotection = no\n",
             &error);
    g_assert_no_error(error);
    g_assert_cmpuint(s->split_count, ==, 3);
    g_assert_cmpuint(s->memory_scale_milli, ==, 1500);
    g_assert_cmpstr(s->cordon, ==, "GPU-1,GPU-2");
    g_assert_cmpint(s->policy, ==, REQUEST_SPREAD);
    g_assert_cmpuint(s->memory.bytes, ==, UINT64_C(4) << 30);
    g_assert_cmpuint(s->grace_ms, ==, 2000);
    g_assert_false(s->protect);
}

static void test_comments_behind_values(void)
{
    GError *error = NULL;
    g_autoptr(Settings) s = load("[cards]\nsplit_count = 3   # slices per card\ncordon = \"GPU-1\"# one\n"
                                 "[defaults]\npolicy = 'spread' # 'and' \"quotes\"\nmemory = 4G#\n",
                                 &error);
    g_assert_no_error(error);
    g_assert_cmpuint(s->split_count, ==, 3);
    g_assert_cmpstr(s->cordon, ==, "GPU-1");
    g_assert_cmpint(s->policy, ==, REQUEST_SPREAD);
    g_assert_cmpuint(s->memory.bytes, ==, UINT64_C(4) << 30);
}

static void test_bad_settings(void)
{
    static const struct {
        const char *text, *says;
    } rows[] = {{"[cards]\nsplit_count = none\n", "split_count"},
                {"[cards]\nsplitcount = 3\n", "did you mean \"split_count\""},
                {"[cards]\nmemory_scale = 0\n", "memory_scale"},
                {"[run]\nprotection = maybe\n", "neither yes nor no"},
                {"[nowhere]\nx = 1\n", "[nowhere]: give [cards], [defaults] or [run]"},
                {"[cards]\nsplit_count = # 3\n", "split_count"},
                {"[defaults]\npolicy = \"spread\" x\n", "policy"},
                {"[cards]\ncordon = \"GPU-1\n", "cordon = \"GPU-1 is not UUIDs"},
                {"[cards]\ncordon = [\"GPU-1\", \"GPU-2\"]\n", "in one pair of quotes"},
                {"[cards]\nsplit_count = 1\n[run]\n[cards]\nsplit_count=2\n",
                 "line 5: [cards] split_count is said twice; keep one of them"},
                {"no section = 1\n", "a line is [section], key = value"}};
    for (size_t i = 0; i < G_N_ELEMENTS(rows); i++) {
        g_autoptr(GError) error = NULL;
        g_assert_null(load(rows[i].text, &error));
        g_assert_error(error, STATUS_ERROR, STATUS_CONFIG);
        g_test_message("%s", error->message);
        g_assert_nonnull(strstr(error->message, rows[i].says));
    }
}

/* What cannot be read whole is not taken for no wish. */
static void test_odd_files(void)
{
    char *path = folder();
    g_autofree char *file = g_build_filename(path, "conf", NULL);
    g_autoptr(GError) pipe = NULL, binary = NULL;
    g_assert_cmpint(mkfifo(file, 0600), ==, 0);
    g_assert_null(settings_load(file, &pipe));
    g_assert_nonnull(strstr(pipe->message, "is no regular file; write one"));
    g_unlink(file);
    g_assert_true(g_file_set_contents(file, "[cards]\nsplit_count = 1\0", 25, NULL));
    g_assert_null(settings_load(file, &binary));
    g_assert_nonnull(strstr(binary->message, "NUL byte"));
    remove_folder(path);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/ledger/rows_read_back_and_are_found_by_id_start_or_name", test_rows_read_back);
    g_test_add_func("/ledger/a_rolled_back_slice_never_was", test_rollback);
    g_test_add_func("/ledger/death_in_a_transaction_leaves_no_row_and_no_lock", test_death_in_transaction);
    g_test_add_func("/ledger/many_that_make_it_at_once_all_get_it", test_made_by_many);
    g_test_add_func("/ledger/a_newer_or_damaged_file_is_refused_with_a_remedy", test_newer_schema);
    g_test_add_func("/ledger/queue_keeps_order_and_events_are_pruned", test_queue_and_events);
    g_test_add_func("/ledger/the_last_to_end_is_kept_when_the_clock_was_set_back", test_clock_set_back);
    g_test_add_func("/process/a_reused_pid_is_somebody_else", test_liveness);
    g_test_add_func("/settings/defaults_and_every_kind_of_value", test_settings);
    g_test_add_func("/settings/a_comment_may_stand_behind_a_value", test_comments_behind_values);
    g_test_add_func("/settings/a_pipe_is_not_waited_for_and_a_nul_byte_hides_nothing", test_odd_files);
    g_test_add_func("/settings/nonsense_names_file_key_and_remedy", test_bad_settings);
    return g_test_run();
}
