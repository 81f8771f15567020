/* SPDX-License-Identifier: Apache-2.0
 *
 * See process.h. One thread.
 */
#include "local/process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/status.h"
#include "region/identity.h"

struct ledger_process process_of(pid_t pid)
{
    struct ledger_process p = {.pid = pid};
    region_presence_of(pid, &p.start_ticks);
    return p;
}

bool process_alive(const struct ledger_process *p)
{
    uint64_t ticks = 0;
    if (p->pid <= 0)
        return false;
    switch (region_presence_of(p->pid, &ticks)) {
    case REGION_PRESENT:
        return ticks == p->start_ticks || p->start_ticks == 0;
    case REGION_HIDDEN:
        return true;
    default:
        return false;
    }
}

int process_open(const struct ledger_process *p)
{
    if (!process_alive(p))
        return -1;
    int fd = (int)syscall(SYS_pidfd_open, p->pid, 0);
    if (fd >= 0 && !process_alive(p)) {
        close(fd);
        return -1;
    }
    return fd;
}

char *process_boot(void)
{
    char *text = NULL;
    if (!g_file_get_contents("/proc/sys/kernel/random/boot_id", &text, NULL, NULL))
        return g_strdup("unknown");
    return g_strstrip(text);
}

/* ---- mounts ------------------------------------------------------------ */

static void mount_free(void *data)
{
    struct process_mount *m = data;
    g_free(m->point);
    g_free(m->type);
    g_free(m->options);
    g_free(m);
}

/* mountinfo writes blanks of paths as octal escapes. */
static char *unescape(const char *text)
{
    return g_strcompress(text);
}

GPtrArray *process_mounts(void)
{
    GPtrArray *mounts = g_ptr_array_new_with_free_func(mount_free);
    g_autofree char *text = NULL;
    g_file_get_contents("/proc/self/mountinfo", &text, NULL, NULL);
    g_auto(GStrv) lines = g_strsplit(text ? text : "", "\n", -1);
    for (char **line = lines; *line; line++) {
        g_auto(GStrv) words = g_strsplit(*line, " ", -1);
        guint n = g_strv_length(words), dash = 6;
        while (dash < n && strcmp(words[dash], "-") != 0)
            dash++;
        if (dash + 1 >= n)
            continue;
        struct process_mount *m = g_new0(struct process_mount, 1);
        m->point = unescape(words[4]);
        m->options = g_strdup(words[5]);
        m->type = g_strdup(words[dash + 1]);
        g_ptr_array_add(mounts, m);
    }
    return mounts;
}

/* ---- control groups ---------------------------------------------------- */

char *cgroup_mount(void)
{
    g_autoptr(GPtrArray) mounts = process_mounts();
    for (guint i = 0; i < mounts->len; i++) {
        struct process_mount *m = g_ptr_array_index(mounts, i);
        if (strcmp(m->type, "cgroup2") == 0)
            return g_strdup(m->point);
    }
    return NULL;
}

char *cgroup_create(const char *base, const char *id, GError **error)
{
    g_autofree char *mount = cgroup_mount();
    if (!mount) {
        g_set_error(error, STATUS_ERROR, STATUS_DENIED, "no control group hierarchy of version 2 is mounted");
        return NULL;
    }
    g_autofree char *parent = g_build_filename(mount, base, NULL);
    g_autofree char *path = g_build_filename(parent, id, NULL);
    for (int tries = 0; tries < 100; tries++) {
        if ((mkdir(parent, 0755) == 0 || errno == EEXIST) && (mkdir(path, 0755) == 0 || errno == EEXIST))
            return g_steal_pointer(&path);
        if (errno != ENOENT) /* else somebody removed the empty base meanwhile */
            break;
    }
    g_set_error(error, STATUS_ERROR, STATUS_DENIED, "%s: %s", path, g_strerror(errno));
    return NULL;
}

bool cgroup_populated(const char *path)
{
    g_autofree char *file = g_build_filename(path, "cgroup.events", NULL);
    g_autofree char *text = NULL;
    return g_file_get_contents(file, &text, NULL, NULL) && strstr(text, "populated 1");
}

static bool write_text(const char *folder, const char *name, const char *text)
{
    g_autofree char *file = g_build_filename(folder, name, NULL);
    int fd = open(file, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    bool done = write(fd, text, strlen(text)) == (ssize_t)strlen(text);
    close(fd);
    return done;
}

static void collect(const char *path, GArray *ret)
{
    g_autofree char *file = g_build_filename(path, "cgroup.procs", NULL);
    g_autofree char *text = NULL;
    if (!g_file_get_contents(file, &text, NULL, NULL))
        return;
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    for (char **line = lines; *line; line++) {
        pid_t pid = atoi(*line);
        if (pid > 0)
            g_array_append_val(ret, pid);
    }
    g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
    for (const char *name; dir && (name = g_dir_read_name(dir));) {
        g_autofree char *below = g_build_filename(path, name, NULL);
        if (g_file_test(below, G_FILE_TEST_IS_DIR))
            collect(below, ret);
    }
}

GArray *cgroup_processes(const char *path)
{
    GArray *pids = g_array_new(FALSE, FALSE, sizeof(pid_t));
    collect(path, pids);
    return pids;
}

bool cgroup_signal(const char *path, int signal)
{
    g_autoptr(GArray) pids = cgroup_processes(path);
    for (guint i = 0; i < pids->len; i++)
        kill(g_array_index(pids, pid_t, i), signal);
    return pids->len > 0;
}

/* Waits for the group to become empty by the event the kernel sends. */
static bool wait_empty(const char *path, unsigned timeout_ms)
{
    g_autofree char *file = g_build_filename(path, "cgroup.events", NULL);
    gint64 end_us = g_get_monotonic_time() + (gint64)timeout_ms * 1000;
    int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    char events[512];
    inotify_add_watch(fd, file, IN_MODIFY);
    while (cgroup_populated(path)) {
        gint64 left_ms = (end_us - g_get_monotonic_time()) / 1000;
        struct pollfd p = {.fd = fd, .events = POLLIN};
        if (left_ms <= 0 || (poll(&p, 1, (int)left_ms) < 0 && errno != EINTR))
            break;
        while (read(fd, events, sizeof events) > 0)
            continue;
    }
    close(fd);
    return !cgroup_populated(path);
}

bool cgroup_kill(const char *path, unsigned timeout_ms)
{
    if (!cgroup_populated(path))
        return true;
    if (!write_text(path, "cgroup.kill", "1"))
        cgroup_signal(path, SIGKILL);
    return wait_empty(path, timeout_ms);
}

static void remove_below(const char *path)
{
    g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
    for (const char *name; dir && (name = g_dir_read_name(dir));) {
        g_autofree char *below = g_build_filename(path, name, NULL);
        if (g_file_test(below, G_FILE_TEST_IS_DIR))
            remove_below(below);
    }
    rmdir(path);
}

void cgroup_remove(const char *path)
{
    g_autofree char *parent = g_path_get_dirname(path);
    remove_below(path);
    rmdir(parent);
}
