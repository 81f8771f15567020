/* SPDX-License-Identifier: Apache-2.0
 *
 * See jail.h. SECURITY.md says what this stops and what not.
 *
 * Invariants:
 *   1. jail_enter() runs in a child of a single-threaded process, before exec.
 *      It either completes every step or the command is not started.
 *   2. Sources of bind mounts are opened before anything is covered.
 *   3. After it the process has no capability that could mount, unmount, enter
 *      a namespace, load code into the kernel, open files by handle or look
 *      into processes that have more.
 */
#include "local/jail.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/status.h"
#include "local/process.h"
#include "local/seccomp.h"

#define PRELOAD "/etc/ld.so.preload"
#define CACHE "/etc/ld.so.cache"
#define VIEW "/etc/hami"

/* CAP_PERFMON, CAP_BPF and CAP_CHECKPOINT_RESTORE by number: older headers lack them. */
static const struct {
    unsigned number;
    const char *name;
} dropped[] = {{CAP_SYS_ADMIN, "sys_admin"},
               {CAP_SYS_PTRACE, "sys_ptrace"},
               {CAP_SYS_MODULE, "sys_module"},
               {CAP_SYS_RAWIO, "sys_rawio"},
               {CAP_SYS_BOOT, "sys_boot"},
               {CAP_DAC_READ_SEARCH, "dac_read_search"},
               {CAP_MKNOD, "mknod"},
               {CAP_MAC_ADMIN, "mac_admin"},
               {CAP_MAC_OVERRIDE, "mac_override"},
               {CAP_SYSLOG, "syslog"},
               {38, "perfmon"},
               {39, "bpf"},
               {40, "checkpoint_restore"}};

const char *const jail_dropped[] = {
    "sys_admin", "sys_ptrace",   "sys_module", "sys_rawio", "sys_boot", "dac_read_search",    "mknod",
    "mac_admin", "mac_override", "syslog",     "perfmon",   "bpf",      "checkpoint_restore", NULL};

static bool capabilities(bool set, struct __user_cap_data_struct data[2])
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    return syscall(set ? SYS_capset : SYS_capget, &header, data) == 0;
}

bool jail_possible(void)
{
    struct __user_cap_data_struct data[2];
    return geteuid() == 0 && capabilities(false, data) && (data[0].effective & 1u << CAP_SYS_ADMIN) &&
           (data[0].effective & 1u << CAP_SETPCAP);
}

/* ---- what the command sees --------------------------------------------- */

static bool exists_or_create(const char *path, bool folder, GError **error)
{
    struct stat st;
    if (stat(path, &st) == 0)
        return true;
    int fd = folder ? mkdir(path, 0755) : open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0) {
        g_set_error(error, STATUS_ERROR, STATUS_DENIED,
                    "%s is needed to mount over and cannot be made: %s; create it, or set protection = no in "
                    "the configuration file",
                    path, g_strerror(errno));
        return false;
    }
    if (!folder)
        close(fd);
    return true;
}

/* The loader's cache with the simulated drivers in front. It depends on the
 * system's cache only, and is made again when that changes. */
static bool make_cache(const struct jail *j, const char *path, GError **error)
{
    g_autofree char *kept = g_build_filename(j->paths->runtime, "ld.so.cache", NULL);
    g_autofree char *conf = g_strconcat(path, ".conf", NULL);
    g_autofree char *text = g_strdup_printf("%s\ninclude /etc/ld.so.conf\n", j->paths->simulator);
    g_autofree char *content = NULL;
    struct stat system = {0}, own = {0}, folder = {0};
    gsize n = 0;
    stat(CACHE, &system);
    stat(j->paths->simulator, &folder);
    if (stat(kept, &own) < 0 || own.st_mtime <= system.st_mtime || own.st_mtime <= folder.st_mtime) {
        const char *const argv[] = {"/sbin/ldconfig", "-X", "-C", path, "-f", conf, NULL};
        int status = -1;
        if (!files_put(conf, 0600, text, -1, error) ||
            !g_spawn_sync(NULL, (char **)(uintptr_t)argv, NULL,
                          G_SPAWN_STDOUT_TO_DEV_NULL | G_SPAWN_STDERR_TO_DEV_NULL, NULL, NULL, NULL, NULL,
                          &status, error))
            return false;
        unlink(conf);
        if (!g_spawn_check_wait_status(status, error) || !g_file_get_contents(path, &content, &n, error) ||
            !g_file_set_contents(kept, content, (gssize)n, error)) {
            g_prefix_error(error, "ldconfig for the simulated driver: ");
            return false;
        }
        return true;
    }
    return g_file_get_contents(kept, &content, &n, error) && files_put(path, 0444, content, (gssize)n, error);
}

static bool make_preload(const struct jail *j, GError **error)
{
    g_autofree char *path = g_build_filename(j->files->etc, "ld.so.preload", NULL);
    g_autofree char *library = g_build_filename(j->files->etc, "libvgpu.so", NULL);
    g_autofree char *before = NULL;
    g_file_get_contents(PRELOAD, &before, NULL, NULL);
    g_autofree char *text = g_strdup_printf(VIEW "/libvgpu.so\n%s", before ? before : "");
    return files_put(library, 0444, "", 0, error) && files_put(path, 0444, text, -1, error);
}

bool jail_prepare(const struct jail *j, GError **error)
{
    g_autofree char *cache = g_build_filename(j->files->etc, "ld.so.cache", NULL);
    return exists_or_create(VIEW, true, error) && exists_or_create(PRELOAD, false, error) &&
           make_preload(j, error) &&
           (!j->slice->machine[0] || (exists_or_create(CACHE, false, error) && make_cache(j, cache, error)));
}

/* ---- in the child ------------------------------------------------------ */

static int open_path(const char *path)
{
    return open(path, O_PATH | O_CLOEXEC);
}

static bool bind_fd(int fd, const char *target, unsigned long flags)
{
    char source[64];
    snprintf(source, sizeof source, "/proc/self/fd/%d", fd);
    bool done = fd >= 0 && mount(source, target, NULL, MS_BIND, NULL) == 0 &&
                mount(NULL, target, NULL, MS_REMOUNT | MS_BIND | flags, NULL) == 0;
    int saved = errno;
    if (fd >= 0)
        close(fd);
    errno = saved;
    return done;
}

static bool bind(const char *source, const char *target, unsigned long flags)
{
    return bind_fd(open_path(source), target, flags);
}

static bool cover(const char *folder)
{
    return mount("hami", folder, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "size=1m,mode=0755") == 0;
}

static bool seal(const char *folder)
{
    return mount(NULL, folder, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC,
                 NULL) == 0;
}

/* Only this slice's region and its cards' boards remain of the runtime folder,
 * nothing of the ledger. */
static bool hide_others(const struct jail *j)
{
    const struct ledger_slice *s = j->slice;
    const unsigned long flags = MS_NOSUID | MS_NODEV | MS_NOEXEC;
    int region = open_path(j->files->reg_folder), boards[REQUEST_DEVICES_MAX];
    g_autofree char *board_folder = g_build_filename(j->paths->runtime, "board", NULL);
    for (uint32_t i = 0; i < s->n_shares; i++) {
        g_autofree char *board = files_board(j->paths, s->shares[i].uuid);
        boards[i] = open_path(board);
    }
    if (!cover(j->paths->runtime) || g_mkdir_with_parents(j->files->reg_folder, 0755) < 0 ||
        mkdir(board_folder, 0755) < 0 || !bind_fd(region, j->files->reg_folder, flags))
        return false;
    for (uint32_t i = 0; i < s->n_shares; i++) {
        g_autofree char *board = files_board(j->paths, s->shares[i].uuid);
        int fd = open(board, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
        if (fd < 0 || close(fd) < 0 || !bind_fd(boards[i], board, flags))
            return false;
    }
    return seal(j->paths->runtime) && cover(j->paths->state) && seal(j->paths->state);
}

static bool show_own(const struct jail *j)
{
    const unsigned long flags = MS_RDONLY | MS_NOSUID | MS_NODEV;
    return bind(j->files->etc, VIEW, flags) && bind(j->paths->library, VIEW "/libvgpu.so", flags) &&
           bind(VIEW "/ld.so.preload", PRELOAD, flags) &&
           (!j->slice->machine[0] || bind(VIEW "/ld.so.cache", CACHE, flags));
}

static unsigned long flags_of(const char *options)
{
    static const struct {
        const char *word;
        unsigned long flag;
    } words[] = {{"nosuid", MS_NOSUID},    {"nodev", MS_NODEV}, {"noexec", MS_NOEXEC},
                 {"noatime", MS_NOATIME},  {"ro", MS_RDONLY},   {"nodiratime", MS_NODIRATIME},
                 {"relatime", MS_RELATIME}};
    unsigned long flags = 0;
    g_auto(GStrv) given = g_strsplit(options, ",", -1);
    for (size_t i = 0; i < G_N_ELEMENTS(words); i++)
        if (g_strv_contains((const char *const *)given, words[i].word))
            flags |= words[i].flag;
    return flags;
}

/* Knobs by which root without capabilities could still have the kernel run
 * something outside (core_pattern, uevent helper), or leave its control group. */
static bool freeze_kernel_knobs(void)
{
    static const char *const types[] = {"cgroup",     "cgroup2", "sysfs",    "debugfs", "tracefs",
                                        "securityfs", "bpf",     "configfs", NULL};
    static const char *const files[] = {"/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus"};
    g_autoptr(GPtrArray) mounts = process_mounts();
    for (guint i = 0; i < mounts->len; i++) {
        struct process_mount *m = g_ptr_array_index(mounts, i);
        if (g_strv_contains(types, m->type) &&
            mount(NULL, m->point, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | flags_of(m->options), NULL) < 0 &&
            errno != EINVAL && errno != ENOENT)
            return false;
    }
    for (size_t i = 0; i < G_N_ELEMENTS(files); i++)
        if (!bind(files[i], files[i], MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC) && errno != ENOENT)
            return false;
    return true;
}

static bool drop(unsigned c, struct __user_cap_data_struct data[2])
{
    if (prctl(PR_CAPBSET_DROP, c, 0, 0, 0) < 0 && errno != EINVAL)
        return false;
    data[c / 32].effective &= ~(1u << c % 32);
    data[c / 32].permitted &= ~(1u << c % 32);
    data[c / 32].inheritable &= ~(1u << c % 32);
    return true;
}

static bool drop_capabilities(bool in_chroot)
{
    struct __user_cap_data_struct data[2];
    if (!capabilities(false, data) || prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 ||
        (in_chroot && !drop(CAP_SYS_CHROOT, data)))
        return false;
    for (size_t i = 0; i < G_N_ELEMENTS(dropped); i++)
        if (!drop(dropped[i].number, data))
            return false;
    return capabilities(true, data);
}

/* In a chroot "/" is a folder of a mount that cannot be named from there, and
 * what is mounted below it may be passed on to the host. So the whole tree is
 * mounted once more, upon /proc: that is a mount, and is told to keep it. */
static bool root_becomes_mount(void)
{
    g_autofree char *folder = g_get_current_dir();
    return mount(NULL, "/proc", NULL, MS_SLAVE, NULL) == 0 &&
           mount("/", "/proc", NULL, MS_BIND | MS_REC, NULL) == 0 &&
           mount(NULL, "/proc", NULL, MS_REC | MS_SLAVE, NULL) == 0 && chroot("/proc") == 0 &&
           chdir(folder) == 0;
}

/* What is mounted from now on stays here. The way out of a chroot is chroot(). */
static bool own_mounts(bool *ret_in_chroot)
{
    *ret_in_chroot = false;
    if (unshare(CLONE_NEWNS) < 0)
        return false;
    if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) == 0)
        return true;
    *ret_in_chroot = errno == EINVAL;
    return *ret_in_chroot && root_becomes_mount();
}

const char *jail_enter(const struct jail *j)
{
    bool in_chroot;
    if (!own_mounts(&in_chroot))
        return "mount namespace";
    if (!show_own(j))
        return "mounting grant and library";
    if (!hide_others(j))
        return "hiding other slices";
    if (!freeze_kernel_knobs())
        return "read-only kernel settings";
    if (!j->user_namespaces && !seccomp_forbid_namespaces())
        return "forbidding new user namespaces";
    if (!drop_capabilities(in_chroot))
        return "dropping capabilities";
    return NULL;
}
