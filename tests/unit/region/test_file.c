/* SPDX-License-Identifier: Apache-2.0
 *
 * The region file: creation, validation, everything that can be wrong with it.
 */
#include "scene.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "region/lock.h"

#define SKIPPED 77

static void write_file(const char *path, off_t at, const void *data, size_t n)
{
    int fd = open(path, O_RDWR | O_CREAT, 0600);
    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(pwrite(fd, data, n, at), ==, (ssize_t)n);
    close(fd);
}

static int open_result(const struct scene *s)
{
    struct region r;
    int rc = region_open(&r, s->path, &s->limits);
    region_close(&r);
    return rc;
}

/* A region that works: limits as asked for, and the ledger counts. */
static void assert_usable(const struct scene *s)
{
    struct region r;
    scene_join(s, &r);
    g_assert_cmpuint(r.base->limit[0], ==, SCENE_LIMIT);
    g_assert_cmpuint(r.base->sm_limit[0], ==, 30);
    g_assert_cmpuint(ledger_used(&r, 0), ==, 0);
    g_assert_true(ledger_reserve(&r, r.slot, 0, SCENE_LIMIT, SCENE_LIMIT));
    g_assert_false(ledger_reserve(&r, r.slot, 0, 1, SCENE_LIMIT));
    region_slot_release(&r, r.slot);
    region_close(&r);
}

static void new_file_is_world_writable_whatever_the_umask(struct scene *s, gconstpointer unused)
{
    (void)unused;
    struct stat st;
    mode_t before = umask(077);
    assert_usable(s);
    g_assert_cmpint(umask(before), ==, 077); /* and was not changed */
    g_assert_cmpint(stat(s->path, &st), ==, 0);
    g_assert_cmpint(st.st_mode & 07777, ==, 0666);
    g_assert_cmpint(st.st_size, ==, REGION_FILE_BYTES);
}

static void semaphores_are_as_sem_init_leaves_them(struct scene *s, gconstpointer unused)
{
    (void)unused;
    struct region r;
    sem_t expected;
    memset(&expected, 0, sizeof expected);
    sem_init(&expected, 1, 1);
    scene_join(s, &r);
    g_assert_true(memcmp(&r.base->sem, &expected, sizeof expected) == 0);
    g_assert_true(memcmp(&r.base->sem_postinit, &expected, sizeof expected) == 0);
    g_assert_cmpint(sem_trywait(&r.base->sem), ==, 0);
    region_close(&r);
}

static void errno_is_left_alone(struct scene *s, gconstpointer unused)
{
    (void)unused;
    struct region r;
    errno = 4711;
    g_assert_cmpint(region_open(&r, "/nowhere/at/all", &s->limits), ==, -ENOENT);
    g_assert_cmpint(errno, ==, 4711);
    region_open(&r, s->path, &s->limits);
    region_slot_claim(&r);
    region_reclaim(&r);
    region_slot_release(&r, r.slot);
    region_close(&r);
    g_assert_cmpint(errno, ==, 4711);
}

static const struct content {
    const char *what;
    off_t at;
    const char *data;
    size_t n;
    off_t size; /* of the file in the end */
} contents[] = {
    {"zero_length", 0, "", 0, 0},
    {"one_byte", 0, "x", 1, 1},
    {"cut_in_the_slots", 0, "\x4e\xf7\x2f\x01\1\0\0\0\2", 9, 100000},
    {"cut_one_byte_short", 0, "\x4e\xf7\x2f\x01\1\0\0\0\2", 9, REGION_BASE_BYTES - 1},
    {"zeroes", 0, "", 0, REGION_FILE_BYTES},
    {"garbage", 0, "garbage everywhere, also in the head", 36, REGION_FILE_BYTES},
    {"wrong_magic", 0, "\x4f\xf7\x2f\x01\1\0\0\0\2", 9, REGION_FILE_BYTES},
    {"layout_0", 0, "\x4e\xf7\x2f\x01\0\0\0\0\0", 9, 1197896},
    {"major_2", 0, "\x4e\xf7\x2f\x01\2\0\0\0\0", 9, REGION_BASE_BYTES},
    {"huge_sparse", 0, "huge", 4, (off_t)1 << 36},
};

static void replaces(struct scene *s, gconstpointer data)
{
    const struct content *row = data;
    write_file(s->path, row->at, row->data, row->n);
    g_assert_cmpint(truncate(s->path, row->size), ==, 0);
    assert_usable(s);
    assert_usable(s);
}

static void keeps_the_base_of_an_older_writer(struct scene *s, gconstpointer unused)
{
    (void)unused;
    struct region_base *b = g_new0(struct region_base, 1);
    struct region r;
    b->initialized_flag = REGION_MAGIC;
    b->major_version = 1;
    b->minor_version = 2;
    b->device_num = 1;
    b->limit[0] = 777;
    b->recent_kernel = -1;
    write_file(s->path, 0, b, sizeof *b);
    write_file(s->path, REGION_BASE_BYTES, "", 1);
    g_assert_cmpint(region_open(&r, s->path, &s->limits), ==, 0);
    g_assert_cmpuint(r.base->limit[0], ==, 777);
    g_assert_cmpint(r.base->recent_kernel, ==, -1);
    g_assert_cmpuint(r.ext->magic, ==, REGION_EXT_MAGIC);
    region_close(&r);
    g_free(b);
}

static void accepts_a_longer_file_with_a_newer_minor(struct scene *s, gconstpointer unused)
{
    (void)unused;
    uint32_t minor = 9, total = sizeof(struct region_ext) + 8192;
    assert_usable(s);
    write_file(s->path, REGION_EXT_OFFSET + 12, &minor, 4);
    write_file(s->path, REGION_EXT_OFFSET + 20, &total, 4);
    g_assert_cmpint(truncate(s->path, REGION_FILE_BYTES + 8192), ==, 0);
    assert_usable(s);
    struct region r;
    scene_join(s, &r);
    g_assert_cmpuint(r.ext->minor, ==, 9);
    region_close(&r);
}

static void spoils_only_what_nobody_uses(struct scene *s, gconstpointer unused)
{
    (void)unused;
    struct region live;
    uint32_t no_magic = 0;
    scene_join(s, &live);
    write_file(s->path, 0, &no_magic, 4);
    g_assert_cmpint(open_result(s), ==, -EBUSY);
    region_slot_release(&live, live.slot);
    region_close(&live);
    assert_usable(s);
}

static void symbolic_link_is_not_followed(struct scene *s, gconstpointer unused)
{
    (void)unused;
    char *target = g_build_filename(s->folder, "target", NULL);
    g_assert_cmpint(symlink(target, s->path), ==, 0);
    g_assert_cmpint(open_result(s), ==, -ELOOP);
    g_assert_false(g_file_test(target, G_FILE_TEST_EXISTS));
    g_free(target);
}

static void fifo_is_refused_without_waiting(struct scene *s, gconstpointer unused)
{
    (void)unused;
    struct region_view *v = g_new(struct region_view, 1);
    g_assert_cmpint(mkfifo(s->path, 0666), ==, 0);
    g_assert_cmpint(open_result(s), ==, -EINVAL);
    g_assert_cmpint(region_read(s->path, v), ==, -EPROTO);
    g_assert_true(g_file_test(s->path, G_FILE_TEST_EXISTS));
    g_free(v);
}

static void device_folder_and_socket_are_refused(struct scene *s, gconstpointer unused)
{
    (void)unused;
    struct region r;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    g_assert_cmpint(region_open(&r, "/dev/null", &s->limits), ==, -EINVAL);
    g_assert_cmpint(region_open(&r, s->folder, &s->limits), ==, -EISDIR);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    g_strlcpy(address.sun_path, s->path, sizeof address.sun_path);
    g_assert_cmpint(bind(fd, (struct sockaddr *)&address, sizeof address), ==, 0);
    g_assert_cmpint(open_result(s), ==, -ENXIO);
    close(fd);
}

static void missing_folder_is_named_by_errno(struct scene *s, gconstpointer unused)
{
    (void)unused;
    struct region r;
    char *path = g_build_filename(s->folder, "no", "vgpu.cache", NULL);
    g_assert_cmpint(region_open(&r, path, &s->limits), ==, -ENOENT);
    g_assert_cmpint(r.fd, ==, -1);
    g_assert_null(r.base);
    g_free(path);
}

static int open_as_nobody(void *arg)
{
    const struct scene *s = arg;
    if (geteuid() == 0 &&
        (setgroups(0, NULL) < 0 || setresgid(65534, 65534, 65534) < 0 || setresuid(65534, 65534, 65534) < 0))
        return SKIPPED;
    return open_result(s) == -EACCES ? 0 : 1;
}

static void file_without_permissions_is_refused(struct scene *s, gconstpointer unused)
{
    (void)unused;
    assert_usable(s);
    g_assert_cmpint(chmod(s->folder, 0755), ==, 0);
    g_assert_cmpint(chmod(s->path, 0), ==, 0);
    int status = scene_wait(scene_fork(open_as_nobody, s));
    if (status == SKIPPED)
        g_test_skip("cannot become another user");
    else
        g_assert_cmpint(status, ==, 0);
}

/* ---- file systems of our own ---- */

static bool mount_here(const struct scene *s, unsigned long flags, const char *options)
{
    return unshare(CLONE_NEWNS) == 0 && mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
           mount("none", s->folder, "tmpfs", flags, options) == 0;
}

static int on_read_only(void *arg)
{
    const struct scene *s = arg;
    if (!mount_here(s, MS_RDONLY, NULL))
        return SKIPPED;
    return open_result(s) == -EROFS ? 0 : 1;
}

/* Fills the file system to the last page, leaving `spare` pages free. */
static void fill(const struct scene *s, unsigned spare)
{
    char *path = g_build_filename(s->folder, "filler", NULL);
    static char page[4096];
    off_t size = 0;
    int fd = open(path, O_RDWR | O_CREAT, 0600);
    while (write(fd, page, sizeof page) == sizeof page)
        size += 4096;
    if (ftruncate(fd, size - (off_t)spare * 4096) < 0)
        _exit(1);
    close(fd);
    g_free(path);
}

/* Whatever number of pages is free: opening and claiming either work for good
 * or say ENOSPC; they never end in a SIGBUS. */
static int on_full(void *arg)
{
    const struct scene *s = arg;
    int refused = 0, worked = 0;
    if (!mount_here(s, 0, "size=256k"))
        return SKIPPED;
    for (unsigned spare = 0; spare < 24; spare++) {
        struct region r;
        fill(s, spare);
        int rc = region_open(&r, s->path, &s->limits);
        if (rc == 0) {
            int slot = region_slot_claim(&r);
            if (slot >= 0 && !ledger_reserve(&r, slot, 0, 100, SCENE_LIMIT))
                return 2;
            rc = slot < 0 ? slot : 0;
            region_slot_release(&r, slot);
            region_close(&r);
        }
        if (rc != 0 && rc != -ENOSPC)
            return 3;
        refused += rc != 0;
        worked += rc == 0;
        unlink(s->path);
    }
    return refused > 0 && worked > 0 ? 0 : 4;
}

static int private_works(void *arg)
{
    const struct scene *s = arg;
    struct region r;
    if (region_open_private(&r, &s->limits) < 0 || !r.is_private || region_slot_claim(&r) != 0)
        return 1;
    if (r.base->limit[0] != SCENE_LIMIT || !ledger_reserve(&r, 0, 0, SCENE_LIMIT, SCENE_LIMIT) ||
        ledger_reserve_or_reclaim(&r, 0, 0, 1, SCENE_LIMIT))
        return 2;
    region_slot_release(&r, 0);
    if (ledger_used(&r, 0) != 0)
        return 3;
    region_close(&r);
    return 0;
}

static void mounted(struct scene *s, int (*body)(void *))
{
    int status = scene_wait(scene_fork(body, s));
    if (status == SKIPPED)
        g_test_skip("cannot mount a file system here");
    else
        g_assert_cmpint(status, ==, 0);
}

static void read_only_file_system_is_refused(struct scene *s, gconstpointer unused)
{
    (void)unused;
    mounted(s, on_read_only);
}

static void full_file_system_never_ends_in_a_signal(struct scene *s, gconstpointer unused)
{
    (void)unused;
    mounted(s, on_full);
}

static void private_region_enforces_alone(struct scene *s, gconstpointer unused)
{
    (void)unused;
    g_assert_cmpint(scene_wait(scene_fork(private_works, s)), ==, 0);
}

/* ---- who may say what the limits are ---- */

static void first_limits_stay(struct scene *s, gconstpointer unused)
{
    (void)unused;
    struct region_limits other = s->limits;
    struct region r;
    assert_usable(s);
    other.mem_bytes[0] = 5;
    g_assert_cmpint(region_open(&r, s->path, &other), ==, 0);
    g_assert_cmpuint(r.base->limit[0], ==, SCENE_LIMIT);
    region_close(&r);
}

static void process_without_limits_does_not_lift_them(struct scene *s, gconstpointer unused)
{
    (void)unused;
    struct region_limits nothing = {.source = REGION_SOURCE_NONE};
    struct region r;
    g_assert_cmpint(region_open(&r, s->path, &nothing), ==, 0);
    region_close(&r);
    assert_usable(s); /* the first who has limits sets them */
    g_assert_cmpint(region_open(&r, s->path, &nothing), ==, 0);
    g_assert_cmpuint(r.base->limit[0], ==, SCENE_LIMIT);
    region_close(&r);
}

static void host_replaces_any_limits(struct scene *s, gconstpointer unused)
{
    (void)unused;
    struct region_limits host = s->limits;
    struct region r;
    assert_usable(s);
    host.source = REGION_SOURCE_HOST;
    host.mem_bytes[0] = 5;
    g_assert_cmpint(region_open(&r, s->path, &host), ==, 0);
    g_assert_cmpuint(r.base->limit[0], ==, 5);
    region_close(&r);
    host.mem_bytes[0] = 6;
    host.cores_pct[0] = 77;
    g_assert_cmpint(region_set_limits(s->path, &host), ==, 0);
    g_assert_cmpint(region_open(&r, s->path, &s->limits), ==, 0);
    g_assert_cmpuint(r.base->limit[0], ==, 6);
    g_assert_cmpuint(r.base->sm_limit[0], ==, 77);
    region_close(&r);
}

/* ---- other processes in the way ---- */

struct creator {
    const struct scene *s;
    struct scene_flag *go, *joined;
};

static int create(void *arg)
{
    const struct creator *c = arg;
    struct region r;
    scene_flag_wait(c->go, 1);
    if (region_open(&r, c->s->path, &c->s->limits) < 0)
        return 1;
    int slot = region_slot_claim(&r);
    if (slot < 0 || !ledger_reserve(&r, slot, 0, 10, SCENE_LIMIT))
        return 2;
    atomic_fetch_add(&c->joined->value, 1);
    scene_flag_wait(c->go, 2);
    return 0;
}

static void forty_creators_at_once_share_one_region(struct scene *s, gconstpointer unused)
{
    (void)unused;
    struct creator c = {s, scene_flag_new(), scene_flag_new()};
    pid_t pids[40];
    struct region r;
    for (int i = 0; i < 40; i++)
        pids[i] = scene_fork(create, &c);
    scene_flag_set(c.go, 1);
    for (int ms = 0; ms < 20000 && atomic_load(&c.joined->value) < 40; ms++)
        g_usleep(1000);
    scene_join(s, &r);
    g_assert_cmpuint(ledger_used(&r, 0), ==, 400);
    scene_flag_set(c.go, 2);
    for (int i = 0; i < 40; i++)
        g_assert_cmpint(scene_wait(pids[i]), ==, 0);
    region_reclaim(&r);
    g_assert_cmpuint(ledger_used(&r, 0), ==, 0);
    region_close(&r);
    scene_flag_free(c.go);
    scene_flag_free(c.joined);
}

static void stuck_initialiser_is_waited_for_one_second(struct scene *s, gconstpointer unused)
{
    (void)unused;
    assert_usable(s);
    int fd = open(s->path, O_RDWR | O_CLOEXEC);
    g_assert_cmpint(region_lock(fd, F_WRLCK, REGION_LOCK_INIT), ==, 0);
    gint64 start = g_get_monotonic_time();
    g_assert_cmpint(open_result(s), ==, -EAGAIN);
    gint64 waited = g_get_monotonic_time() - start;
    g_assert_cmpint(waited, >=, G_USEC_PER_SEC);
    g_assert_cmpint(waited, <, 4 * G_USEC_PER_SEC); /* a busy machine may wake it late */
    close(fd);
    assert_usable(s);
}

/* Is given no processor for longer than anybody waits for who does not go on; or stops. */
struct initialiser {
    const struct scene *s;
    struct scene_flag *holds;
    bool stops;
};

static int initialise(void *arg)
{
    const struct initialiser *i = arg;
    int fd = open(i->s->path, O_RDWR | O_CLOEXEC);
    if (fd < 0 || region_lock(fd, F_WRLCK, REGION_LOCK_INIT) != 0)
        return 1;
    region_lock_name(fd, F_WRLCK);
    if (i->stops)
        raise(SIGSTOP);
    pid_t pid = scene_starve(2500);
    scene_flag_set(i->holds, 1);
    scene_work_starved();
    close(fd);
    return scene_wait(pid);
}

static void initialiser_without_a_processor_is_waited_for(struct scene *s, gconstpointer unused)
{
    (void)unused;
    assert_usable(s);
    struct initialiser i = {s, scene_flag_new(), false};
    pid_t pid = scene_fork(initialise, &i);
    scene_flag_wait(i.holds, 1);
    g_assert_cmpint(open_result(s), ==, 0);
    g_assert_cmpint(scene_wait(pid), ==, 0);
    scene_flag_free(i.holds);
}

static void stopped_initialiser_is_not(struct scene *s, gconstpointer unused)
{
    (void)unused;
    assert_usable(s);
    int status;
    struct initialiser i = {s, scene_flag_new(), true};
    pid_t pid = scene_fork(initialise, &i);
    g_assert_cmpint(waitpid(pid, &status, WUNTRACED), ==, pid);
    g_assert_true(WIFSTOPPED(status));
    g_assert_cmpint(open_result(s), ==, -EAGAIN);
    scene_kill(pid);
    g_assert_cmpint(open_result(s), ==, 0);
    scene_flag_free(i.holds);
}

/* ---- the host's side ---- */

static void host_sees_what_is_used(struct scene *s, gconstpointer unused)
{
    (void)unused;
    struct region_view *v = g_new(struct region_view, 1);
    struct region r;
    scene_join(s, &r);
    ledger_reserve(&r, r.slot, 0, 900, SCENE_LIMIT);
    ledger_release(&r, r.slot, 0, 300);
    ledger_count_oom(&r, 0);
    g_assert_cmpint(region_set_suspended(s->path, true), ==, 0);
    g_assert_cmpint(region_read(s->path, v), ==, 0);
    g_assert_cmpuint(v->n_devices, ==, 2);
    g_assert_cmpstr(v->uuids[1], ==, "GPU-1");
    g_assert_cmpuint(v->used[0], ==, 600);
    g_assert_cmpuint(v->held[0], ==, 600);
    g_assert_cmpuint(v->peak[0], ==, 900);
    g_assert_cmpuint(v->oom_count[0], ==, 1);
    g_assert_true(v->suspended);
    g_assert_cmpuint(v->source, ==, REGION_SOURCE_ENV);
    g_assert_cmpuint(v->n_processes, ==, 1);
    g_assert_cmpint(v->processes[0].pid, ==, getpid());
    g_assert_cmpuint(v->processes[0].used[0], ==, 600);
    g_assert_cmpuint(atomic_load(&r.ext->suspended), ==, 1);
    region_close(&r);
    g_free(v);
}

static void reader_bounds_hostile_figures(struct scene *s, gconstpointer unused)
{
    (void)unused;
    struct region_view *v = g_new(struct region_view, 1);
    struct region r;
    scene_join(s, &r);
    r.base->device_num = UINT64_MAX;
    r.base->proc_num = INT32_MAX;
    r.base->sm_limit[0] = UINT64_MAX;
    memset(r.base->uuids, 'A', sizeof r.base->uuids);
    for (int i = 0; i < REGION_SLOTS; i++) {
        r.base->procs[i].status = -1;
        memset(r.base->procs[i].used, 0xff, sizeof r.base->procs[i].used);
    }
    atomic_store(&r.ext->magic, 0); /* so that the slots are added up */
    g_assert_cmpint(region_read(s->path, v), ==, 0);
    g_assert_cmpuint(v->n_devices, ==, REGION_DEVICES);
    g_assert_cmpuint(v->n_processes, ==, REGION_SLOTS);
    g_assert_cmpuint(v->sm_limit[0], ==, 100);
    g_assert_cmpuint(v->used[0], ==, UINT64_MAX);
    g_assert_cmpuint(strlen(v->uuids[15]), ==, REGION_UUID_BYTES - 1);
    region_close(&r);
    g_free(v);
}

static void attachment_is_seen_whatever_the_file_says(struct scene *s, gconstpointer unused)
{
    (void)unused;
    struct region r;
    char zeroes[4096] = {0};
    g_assert_cmpint(region_is_attached(s->path), ==, -ENOENT);
    scene_join(s, &r);
    for (off_t at = 0; at < REGION_FILE_BYTES; at += 4096)
        write_file(s->path, at, zeroes,
                   at + 4096 <= REGION_FILE_BYTES ? 4096 : (size_t)(REGION_FILE_BYTES - at));
    g_assert_cmpint(region_is_attached(s->path), ==, 1);
    g_assert_cmpint(region_reset(s->path, &s->limits), ==, -EBUSY);
    region_close(&r);
    g_assert_cmpint(region_is_attached(s->path), ==, 0);
}

static void reset_starts_afresh(struct scene *s, gconstpointer unused)
{
    (void)unused;
    struct region r;
    struct region_view *v = g_new(struct region_view, 1);
    struct region_limits fresh = s->limits;
    fresh.mem_bytes[0] = 42;
    scene_join(s, &r);
    ledger_reserve(&r, r.slot, 0, 900, SCENE_LIMIT);
    region_close(&r);
    g_assert_cmpint(region_reset(s->path, &fresh), ==, 0);
    g_assert_cmpint(region_read(s->path, v), ==, 0);
    g_assert_cmpuint(v->limit[0], ==, 42);
    g_assert_cmpuint(v->used[0] + v->peak[0] + v->n_processes, ==, 0);
    g_free(v);
}

static void restarted_container_starts_clean(struct scene *s, gconstpointer unused)
{
    (void)unused;
    struct region r;
    struct region_limits later = s->limits;
    scene_join(s, &r);
    ledger_reserve(&r, r.slot, 0, 900, SCENE_LIMIT);
    atomic_store(&r.ext->devices[0].compute.tokens_ns, -123456789);
    atomic_store(&r.ext->incarnation, 1); /* as if written by an earlier run */
    r.base->recent_kernel = -1;           /* the host blocks launches */
    region_close(&r);
    later.mem_bytes[0] = 2 * SCENE_LIMIT;
    g_assert_cmpint(region_open(&r, s->path, &later), ==, 0);
    g_assert_cmpuint(ledger_used(&r, 0), ==, 0);
    g_assert_cmpint(atomic_load(&r.ext->devices[0].compute.tokens_ns), ==, 0);
    g_assert_cmpuint(r.base->limit[0], ==, 2 * SCENE_LIMIT);
    g_assert_cmpint(r.base->proc_num, ==, 0);
    g_assert_cmpint(r.base->recent_kernel, ==, -1);
    region_close(&r);
}

static void word_that_nobody_accounts_for_is_repaired(struct scene *s, gconstpointer unused)
{
    (void)unused;
    struct region r;
    assert_usable(s);
    uint64_t garbage = 123456;
    write_file(s->path, REGION_EXT_OFFSET + 4096, &garbage, 8);
    assert_usable(s);
    scene_join(s, &r);
    ledger_reserve(&r, r.slot, 0, 5, SCENE_LIMIT);
    g_assert_cmpint(open_result(s), ==, 0); /* a second one joins: nothing is lost */
    g_assert_cmpuint(ledger_used(&r, 0), ==, 5);
    region_close(&r);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
#define TEST(name) g_test_add("/region/" #name, struct scene, NULL, scene_setup, name, scene_teardown)
    TEST(new_file_is_world_writable_whatever_the_umask);
    TEST(semaphores_are_as_sem_init_leaves_them);
    TEST(errno_is_left_alone);
    TEST(keeps_the_base_of_an_older_writer);
    TEST(accepts_a_longer_file_with_a_newer_minor);
    TEST(spoils_only_what_nobody_uses);
    TEST(symbolic_link_is_not_followed);
    TEST(fifo_is_refused_without_waiting);
    TEST(device_folder_and_socket_are_refused);
    TEST(missing_folder_is_named_by_errno);
    TEST(file_without_permissions_is_refused);
    TEST(read_only_file_system_is_refused);
    TEST(full_file_system_never_ends_in_a_signal);
    TEST(private_region_enforces_alone);
    TEST(first_limits_stay);
    TEST(process_without_limits_does_not_lift_them);
    TEST(host_replaces_any_limits);
    TEST(forty_creators_at_once_share_one_region);
    TEST(stuck_initialiser_is_waited_for_one_second);
    TEST(initialiser_without_a_processor_is_waited_for);
    TEST(stopped_initialiser_is_not);
    TEST(host_sees_what_is_used);
    TEST(reader_bounds_hostile_figures);
    TEST(attachment_is_seen_whatever_the_file_says);
    TEST(reset_starts_afresh);
    TEST(restarted_container_starts_clean);
    TEST(word_that_nobody_accounts_for_is_repaired);
#undef TEST
    for (size_t i = 0; i < G_N_ELEMENTS(contents); i++) {
        char *name = g_strdup_printf("/region/replaces_file_of_%s", contents[i].what);
        g_test_add(name, struct scene, &contents[i], scene_setup, replaces, scene_teardown);
        g_free(name);
    }
    return g_test_run();
}
