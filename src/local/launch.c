/* SPDX-License-Identifier: Apache-2.0
 *
 * See launch.h. The life of a slice: reserve, make files and control group,
 * start, stay, clean up. From the reservation on every way out goes through
 * broker_release(), and when this process is killed, through the next command.
 */
#include "local/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/status.h"
#include "local/environment.h"
#include "local/files.h"
#include "local/jail.h"
#include "local/process.h"
#include "local/queue.h"
#include "local/supervise.h"

/* ---- reserving, maybe after a wait ------------------------------------- */

static bool reserve_once(struct broker *b, const struct launch *l, struct ledger_slice *s,
                         struct launch_refusal *refusal, GError **error)
{
    g_autofree struct driver_inventory *inventory = g_new0(struct driver_inventory, 1);
    return broker_discover(b, l->request.machine, l->request.sim_state, inventory, error) &&
           broker_reserve(b, &l->request, inventory, s, &refusal->machine, &refusal->why, error);
}

/* What reserve_once() would see, while others are ahead: reserves nothing. */
static void look(struct broker *b, const struct launch *l, struct launch_refusal *refusal, GError **error)
{
    g_autofree struct driver_inventory *inventory = g_new0(struct driver_inventory, 1);
    if (broker_discover(b, l->request.machine, l->request.sim_state, inventory, error) &&
        broker_cards(b, l->request.machine, inventory, &refusal->machine, error))
        why_find(&refusal->machine, &l->request.request, &refusal->why);
}

/* True: reserved. False without error: the time is over. */
static bool reserve_in_turn(struct broker *b, const struct launch *l, int64_t ticket, struct ledger_slice *s,
                            struct launch_refusal *refusal, GError **error)
{
    gint64 deadline_us = l->wait_ms ? g_get_monotonic_time() + (gint64)l->wait_ms * 1000 : 0;
    for (;;) {
        bool head = false;
        g_autoptr(GError) problem = NULL;
        g_autoptr(Watch) watch = watch_open(b, ticket, error);
        if (!watch || !broker_settle(b, error) || !queue_is_head(b, ticket, &head, error))
            return false;
        if (head && reserve_once(b, l, s, refusal, &problem))
            return true;
        if (problem) {
            g_propagate_error(error, g_steal_pointer(&problem));
            return false;
        }
        if (!watch_wait(watch, deadline_us))
            return false;
    }
}

/* A request that would not fit an empty machine is not worth waiting for. */
static bool could_ever_fit(const struct launch_refusal *refusal, const struct request *r)
{
    g_autofree struct machine *empty = g_new0(struct machine, 1);
    g_autofree struct why *why = g_new0(struct why, 1);
    *empty = refusal->machine;
    memset(empty->use, 0, sizeof empty->use);
    why_find(empty, r, why);
    return why->reason == SCHED_FITS;
}

/* 0, or the exit status. */
static int reserve(struct broker *b, const struct launch *l, struct ledger_slice *s,
                   struct launch_refusal *refusal, GError **error)
{
    g_autoptr(GError) problem = NULL;
    g_autoptr(GArray) waiters = ledger_waiters(b->ledger, error);
    int64_t ticket = 0;
    if (!waiters)
        return status_of_error(error ? *error : NULL);
    /* Who does not wait may take what is free; who waits does not overtake. */
    bool queued = l->wait && waiters->len > 0;
    if (queued)
        look(b, l, refusal, &problem);
    else if (reserve_once(b, l, s, refusal, &problem))
        return STATUS_OK;
    refusal->never = !problem && !could_ever_fit(refusal, &l->request.request);
    if (!problem && l->wait && !refusal->never) {
        if (queue_join(b, &ticket, &problem)) {
            bool reserved = reserve_in_turn(b, l, ticket, s, refusal, &problem);
            queue_leave(b, ticket);
            if (reserved)
                return STATUS_OK;
        }
        if (!problem)
            return STATUS_TIMED_OUT;
    }
    if (!problem)
        return STATUS_NO_FIT;
    int status = status_of_error(problem);
    g_propagate_error(error, g_steal_pointer(&problem));
    return status;
}

/* ---- preparing --------------------------------------------------------- */

static bool set_wall(struct broker *b, struct ledger_slice *s)
{
    g_autoptr(GError) problem = NULL;
    s->walled = s->cgroup[0] && b->settings->driver_wall;
    if (s->walled && !broker_wall(b, s, false, &problem)) {
        g_debug("driver's memory limits: %s", problem->message);
        s->walled = false;
    }
    return true;
}

static bool prepare(struct broker *b, struct ledger_slice *s, GError **error)
{
    g_autoptr(GError) problem = NULL;
    s->protected = b->settings->protect && jail_possible();
    if (b->paths->root) {
        g_autofree char *base = broker_cgroup_base(b->paths);
        g_autofree char *cgroup = cgroup_create(base, s->id, &problem);
        g_strlcpy(s->cgroup, cgroup ? cgroup : "", sizeof s->cgroup);
    }
    if (!files_create(b->paths, s, error) || !set_wall(b, s))
        return false;
    if (!s->protected)
        return true;
    g_autoptr(Files) f = files_of(b->paths, s->id);
    struct jail jail = {b->paths, f, s, b->settings->user_namespaces};
    return jail_prepare(&jail, error);
}

/* ---- saying what is not protected -------------------------------------- */

static bool is_static_elf(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    char head[4096];
    ssize_t got = fd >= 0 ? read(fd, head, sizeof head) : -1;
    if (fd >= 0)
        close(fd);
    if (got < 64 || memcmp(head, "\177ELF", 4) != 0)
        return false;
    return !memmem(head, (size_t)got, "ld-linux", 8) && !memmem(head, (size_t)got, "ld64.so", 7);
}

/* Standard error of whoever started a detached run, until it is told all. */
static int caller_stderr = -1;

static void say(const char *format, ...) G_GNUC_PRINTF(1, 2);
static void say(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vdprintf(caller_stderr >= 0 ? caller_stderr : STDERR_FILENO, format, args);
    va_end(args);
}

static void warn_unprotected(const struct broker *b, const struct launch *l, const struct ledger_slice *s)
{
    g_autofree char *program = g_find_program_in_path(l->argv[0]);
    if (l->quiet)
        return;
    if (!s->protected)
        say("hami: %s: the command can lift its limits by clearing its environment (--quiet hides "
            "this; `hami doctor` explains)\n",
            !b->paths->root         ? "not root"
            : !b->settings->protect ? "protection = no"
                                    : "root without the right to mount");
    else if (!s->cgroup[0])
        say("hami: no control group (version 2) can be made: processes that outlive the command are "
            "found by descent only\n");
    if (program && is_static_elf(program))
        say("hami: %s does not use the GNU dynamic loader: no library can be preloaded into it and "
            "its use of the card is not limited\n",
            program);
}

/* ---- running ----------------------------------------------------------- */

static int run_in_slice(struct broker *b, const struct launch *l, struct ledger_slice *s, int ready_fd,
                        GError **error)
{
    int status = STATUS_FAILED;
    if (prepare(b, s, error) && broker_update(b, s, NULL, NULL, error)) {
        warn_unprotected(b, l, s);
        if (caller_stderr >= 0)
            close(caller_stderr);
        caller_stderr = -1;
        status = supervise(b, l, s, ready_fd, error);
    } else if (error && *error) {
        status = status_of_error(*error);
    }
    if (!broker_release(b, s->id, status, error && *error ? NULL : error) && status == STATUS_OK)
        status = STATUS_FAILED;
    return status;
}

static int run_here(struct broker *b, const struct launch *l, struct launch_refusal *refusal, int ready_fd,
                    GError **error)
{
    struct ledger_slice s = {0};
    if (!b->paths->library) {
        g_set_error(error, STATUS_ERROR, STATUS_FAILED,
                    "libvgpu.so is not installed beside %s; `make install` puts both in place",
                    b->paths->executable);
        return STATUS_FAILED;
    }
    int status = reserve(b, l, &s, refusal, error);
    return status == STATUS_OK ? run_in_slice(b, l, &s, ready_fd, error) : status;
}

/* ---- in the background ------------------------------------------------- */

/* What the background process tells the one that the user called. */
#define LOG_MAX (16 << 20)
struct ready {
    int status; /* of a failure; 0 = started */
    char text[1024];
};

/* The log of all detached runs together; a large one makes way, once. */
static char *common_log(const struct broker *b)
{
    char *log = g_build_filename(b->paths->state, "detached.log", NULL);
    g_autofree char *old = g_strconcat(log, ".old", NULL);
    struct stat st;
    if (stat(log, &st) == 0 && st.st_size > LOG_MAX)
        rename(log, old);
    return log;
}

static bool leave_terminal(const struct broker *b, const struct launch *l, GError **error)
{
    g_autofree char *log = l->log ? g_strdup(l->log) : common_log(b);
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    int out = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (out < 0 && l->log) {
        g_set_error(error, STATUS_ERROR, STATUS_FAILED, "--log %s: %s", log, g_strerror(errno));
        return false;
    }
    setsid();
    caller_stderr = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    dup2(null, STDIN_FILENO);
    dup2(out >= 0 ? out : null, STDOUT_FILENO);
    dup2(out >= 0 ? out : null, STDERR_FILENO);
    close(null);
    if (out >= 0)
        close(out);
    return true;
}

static int background(const struct launch *l, int fd)
{
    g_autoptr(GError) error = NULL;
    g_autofree struct launch_refusal *refusal = g_new0(struct launch_refusal, 1);
    struct ready r = {0};
    g_autoptr(Broker) b = broker_open(&error);
    if (b && leave_terminal(b, l, &error))
        r.status = run_here(b, l, refusal, fd, &error);
    else
        r.status = status_of_error(error);
    /* After a start the other end is closed and nobody reads this. */
    if (error || r.status == STATUS_NO_FIT || r.status == STATUS_TIMED_OUT) {
        g_strlcpy(r.text, error ? error->message : "", sizeof r.text);
        if (write(fd, &r, sizeof r) == (ssize_t)sizeof r && !error && write(fd, refusal, sizeof *refusal) < 0)
            return STATUS_FAILED;
    }
    return r.status;
}

static bool read_all(int fd, void *ret, size_t n)
{
    char *at = ret;
    while (n) {
        ssize_t got = read(fd, at, n);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return false;
        at += got;
        n -= (size_t)got;
    }
    return true;
}

static int run_detached(struct broker *b, const struct launch *l, struct launch_refusal *refusal,
                        GError **error)
{
    struct ready r = {0};
    int fds[2];
    /* A database connection must not be carried across a fork. */
    g_clear_pointer(&b->ledger, ledger_close);
    if (pipe2(fds, O_CLOEXEC) < 0)
        return STATUS_FAILED;
    pid_t pid = fork();
    if (pid == 0) {
        close(fds[0]);
        signal(SIGPIPE, SIG_IGN);
        _exit(background(l, fds[1]));
    }
    close(fds[1]);
    bool told = pid > 0 && read_all(fds[0], &r, sizeof r);
    if (told && r.status == STATUS_OK)
        g_print("%s\n", r.text);
    else if (told && r.text[0])
        g_set_error(error, STATUS_ERROR, r.status, "%s", r.text);
    else if (!told || !read_all(fds[0], refusal, sizeof *refusal))
        g_set_error(error, STATUS_ERROR, STATUS_FAILED, "the background process ended without a word");
    machine_bind(&refusal->machine);
    close(fds[0]);
    return told ? r.status : STATUS_FAILED;
}

int launch_run(struct broker *b, const struct launch *l, struct launch_refusal *ret_refusal, GError **error)
{
    return l->detach ? run_detached(b, l, ret_refusal, error) : run_here(b, l, ret_refusal, -1, error);
}

void launch_say_ready(int fd, const char *id)
{
    struct ready r = {.status = STATUS_OK};
    if (fd < 0)
        return;
    g_strlcpy(r.text, id, sizeof r.text);
    if (write(fd, &r, sizeof r) < 0)
        g_debug("nobody waits for the slice's id");
}
