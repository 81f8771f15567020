/* SPDX-License-Identifier: Apache-2.0
 *
 * See supervise.h.
 *
 * The command stays in our process group and on our terminal: what the
 * terminal sends reaches both, and only what was sent to us alone is passed
 * on. When it stops we stop, so that the shell's job control sees one job.
 *
 * Invariants:
 *   1. Signals are blocked from before the fork and read from a descriptor:
 *      none is lost between start and wait.
 *   2. The command is not executed before the ledger knows its pid.
 *   3. It dies with us (parent death signal), and what it started with its
 *      control group; without one, whoever is left is inherited and killed.
 */
#include "local/supervise.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/status.h"
#include "local/environment.h"
#include "local/files.h"
#include "local/jail.h"
#include "local/process.h"

/* What the child says through a pipe when it cannot execute the command. */
struct failure {
    int number;
    char step[64];
};

static const int passed_on[] = {SIGHUP,  SIGINT,   SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2,
                                SIGALRM, SIGWINCH, SIGCONT, SIGTSTP, SIGPIPE, SIGURG};

static void fill_mask(sigset_t *mask)
{
    sigemptyset(mask);
    for (size_t i = 0; i < G_N_ELEMENTS(passed_on); i++)
        sigaddset(mask, passed_on[i]);
    sigaddset(mask, SIGCHLD);
}

/* ---- the child --------------------------------------------------------- */

struct start {
    const struct launch *launch;
    const struct jail *jail; /* NULL = unprotected */
    const char *program;
    char **env;
    int go_fd;      /* readable when the ledger knows us */
    int failure_fd; /* closed by exec */
    int cgroup_fd;  /* cgroup.procs, -1 = none */
    sigset_t mask;
};

_Noreturn static void give_up(const struct start *s, const char *step)
{
    struct failure f = {.number = errno};
    g_strlcpy(f.step, step, sizeof f.step);
    if (write(s->failure_fd, &f, sizeof f) < 0)
        _exit(STATUS_FAILED);
    _exit(f.number == ENOENT ? STATUS_NOT_FOUND : STATUS_NOT_EXECUTABLE);
}

_Noreturn static void child(const struct start *s, pid_t parent)
{
    char go;
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
        _exit(STATUS_FAILED);
    if (s->cgroup_fd >= 0 && write(s->cgroup_fd, "0", 1) != 1)
        give_up(s, "joining the control group");
    if (read(s->go_fd, &go, 1) != 1)
        _exit(STATUS_FAILED);
    const char *step = s->jail ? jail_enter(s->jail) : NULL;
    if (step)
        give_up(s, step);
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* losing capabilities cleared it */
    sigprocmask(SIG_SETMASK, &s->mask, NULL);
    execve(s->program, s->launch->argv, s->env);
    give_up(s, "");
}

/* ---- signals and stops ------------------------------------------------- */

static void pass_on(int fd, pid_t pid)
{
    struct signalfd_siginfo info;
    while (read(fd, &info, sizeof info) == (ssize_t)sizeof info) {
        bool from_terminal = info.ssi_code == SI_KERNEL;
        if (info.ssi_signo != SIGCHLD && !from_terminal)
            kill(pid, (int)info.ssi_signo);
    }
}

/* Stops with the command; goes on when the shell says so. */
static void stop_with_it(pid_t pid, int signal_fd)
{
    pass_on(signal_fd, pid);
    kill(getpid(), SIGSTOP);
    kill(pid, SIGCONT);
}

/* Waits for the command. Returns its wait status. */
static int wait_for(pid_t pid, int signal_fd)
{
    for (;;) {
        int status;
        struct pollfd p = {.fd = signal_fd, .events = POLLIN};
        if (poll(&p, 1, -1) < 0 && errno != EINTR)
            return 0;
        pass_on(signal_fd, pid);
        for (pid_t done; (done = waitpid(-1, &status, WNOHANG | WUNTRACED)) > 0;) {
            if (done != pid)
                continue; /* an orphan we inherited */
            if (!WIFSTOPPED(status))
                return status;
            if (WSTOPSIG(status) == SIGTSTP || WSTOPSIG(status) == SIGTTIN || WSTOPSIG(status) == SIGTTOU)
                stop_with_it(pid, signal_fd);
        }
    }
}

/* Kills whatever the command started and left. */
static void end_leftovers(const struct broker *b, const struct ledger_slice *s)
{
    g_autofree char *file = g_strdup_printf("/proc/self/task/%d/children", (int)getpid());
    if (s->cgroup[0])
        cgroup_kill(s->cgroup, (unsigned)b->settings->grace_ms);
    for (;;) {
        g_autofree char *text = NULL;
        if (!g_file_get_contents(file, &text, NULL, NULL))
            break;
        g_auto(GStrv) words = g_strsplit(g_strstrip(text), " ", -1);
        for (char **word = words; *word; word++)
            if (atoi(*word) > 0)
                kill(atoi(*word), SIGKILL);
        if (waitpid(-1, NULL, 0) < 0 && errno != EINTR)
            break;
    }
}

/* ---- starting ---------------------------------------------------------- */

static int not_started(const struct launch *l, const struct failure *f, GError **error)
{
    int status = f->step[0] ? STATUS_DENIED : f->number == ENOENT ? STATUS_NOT_FOUND : STATUS_NOT_EXECUTABLE;
    if (f->step[0])
        g_set_error(error, STATUS_ERROR, status,
                    "%s: %s; set protection = no in the configuration file to run without it", f->step,
                    g_strerror(f->number));
    else
        g_set_error(error, STATUS_ERROR, status, "%s: %s", l->argv[0], g_strerror(f->number));
    return status;
}

static int exit_status(int status)
{
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static int open_cgroup(const struct ledger_slice *s)
{
    g_autofree char *path = g_build_filename(s->cgroup, "cgroup.procs", NULL);
    return s->cgroup[0] ? open(path, O_WRONLY | O_CLOEXEC) : -1;
}

static int supervise_child(struct broker *b, const struct launch *l, struct ledger_slice *s, pid_t pid,
                           int go_fd, int failure_fd, int signal_fd, int ready_fd, GError **error)
{
    struct failure f = {0};
    s->state = LEDGER_RUNNING;
    s->main = process_of(pid);
    bool known = broker_update(b, s, "started", l->argv[0], error);
    if (!known || write(go_fd, "g", 1) != 1)
        kill(pid, SIGKILL);
    close(go_fd);
    bool failed = read(failure_fd, &f, sizeof f) == (ssize_t)sizeof f;
    close(failure_fd);
    if (known && !failed)
        launch_say_ready(ready_fd, s->id);
    if (ready_fd >= 0 && !failed)
        close(ready_fd);
    int status = wait_for(pid, signal_fd);
    end_leftovers(b, s);
    if (failed)
        return not_started(l, &f, error);
    return known ? exit_status(status) : STATUS_FAILED;
}

int supervise(struct broker *b, const struct launch *l, struct ledger_slice *s, int ready_fd, GError **error)
{
    g_autoptr(Files) files = files_of(b->paths, s->id);
    g_auto(GStrv) env = environment_of(b->paths, s);
    g_autofree char *program =
        strchr(l->argv[0], '/') ? g_strdup(l->argv[0]) : g_find_program_in_path(l->argv[0]);
    struct jail jail = {b->paths, files, s, b->settings->user_namespaces};
    struct start start = {.launch = l, .jail = s->protected ? &jail : NULL, .program = program, .env = env};
    sigset_t mask;
    int go[2], failure[2];
    if (!program)
        return not_started(l, &(struct failure){.number = ENOENT}, error);
    if (pipe2(go, O_CLOEXEC) < 0 || pipe2(failure, O_CLOEXEC) < 0) {
        g_set_error(error, STATUS_ERROR, STATUS_FAILED, "pipe: %s", g_strerror(errno));
        return STATUS_FAILED;
    }
    fill_mask(&mask);
    sigprocmask(SIG_BLOCK, &mask, &start.mask);
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    int signal_fd = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
    start.go_fd = go[0];
    start.failure_fd = failure[1];
    start.cgroup_fd = open_cgroup(s);
    pid_t parent = getpid(), pid = fork();
    if (pid == 0) {
        close(go[1]);
        child(&start, parent);
    }
    close(go[0]);
    close(failure[1]);
    if (start.cgroup_fd >= 0)
        close(start.cgroup_fd);
    int status = STATUS_FAILED;
    if (pid > 0)
        status = supervise_child(b, l, s, pid, go[1], failure[0], signal_fd, ready_fd, error);
    else
        g_set_error(error, STATUS_ERROR, STATUS_FAILED, "fork: %s", g_strerror(errno));
    close(signal_fd);
    sigprocmask(SIG_SETMASK, &start.mask, NULL);
    return status;
}
