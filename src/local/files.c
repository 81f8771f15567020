/* SPDX-License-Identifier: Apache-2.0
 *
 * See files.h.
 */
#include "local/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/status.h"
#include "region/region.h"

struct files *files_of(const struct paths *p, const char *id)
{
    struct files *f = g_new0(struct files, 1);
    f->folder = g_build_filename(p->runtime, "slices", id, NULL);
    f->etc = g_build_filename(f->folder, "etc", NULL);
    f->grant = g_build_filename(f->etc, "grant", NULL);
    f->reg_folder = g_build_filename(f->folder, "region", NULL);
    f->region = g_build_filename(f->reg_folder, "vgpu.cache", NULL);
    return f;
}

void files_free(struct files *f)
{
    if (!f)
        return;
    g_free(f->folder);
    g_free(f->etc);
    g_free(f->grant);
    g_free(f->region);
    g_free(f->reg_folder);
    g_free(f);
}

char *files_board(const struct paths *p, const char *uuid)
{
    return g_build_filename(p->runtime, "board", uuid, NULL);
}

char *files_bell(const struct paths *p)
{
    return g_build_filename(p->runtime, "bell", NULL);
}

static bool fail(const char *path, int number, GError **error)
{
    g_set_error(error, STATUS_ERROR, number == EACCES || number == EROFS ? STATUS_DENIED : STATUS_FAILED,
                "%s: %s%s", path, g_strerror(number),
                number == ENOSPC ? "; make room there, or choose another folder with HAMI_RUNTIME_DIR" : "");
    return false;
}

/* In place: readers may have the file mapped, and it is bound into slices. */
bool files_put(const char *path, int mode, const char *text, gssize n, GError **error)
{
    size_t length = n < 0 ? strlen(text) : (size_t)n;
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, mode);
    if (fd < 0)
        return fail(path, errno, error);
    bool done = fchmod(fd, (mode_t)mode) == 0 && pwrite(fd, text, length, 0) == (ssize_t)length &&
                ftruncate(fd, (off_t)length) == 0;
    int number = errno;
    close(fd);
    return done || fail(path, number, error);
}

void files_ring(const struct paths *p)
{
    g_autofree char *bell = files_bell(p);
    files_put(bell, 0600, "", 0, NULL);
    int fd = open(bell, O_WRONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return;
    if (pwrite(fd, "x", 1, 0) < 0)
        g_debug("bell: %s", g_strerror(errno));
    close(fd);
}

static bool make_board(const struct paths *p, const char *uuid, GError **error)
{
    g_autofree char *path = files_board(p, uuid);
    struct stat st;
    if (stat(path, &st) == 0 && st.st_size >= REGION_BOARD_BYTES)
        return true;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
    bool done = fd >= 0 && fchmod(fd, p->root ? 0666 : 0600) == 0 && ftruncate(fd, REGION_BOARD_BYTES) == 0;
    int number = errno;
    if (fd >= 0)
        close(fd);
    return done || fail(path, number, error);
}

static uint64_t limit_of(const struct ledger_share *share)
{
    return share->pending_bytes ? share->pending_bytes : share->mem_bytes;
}

static bool make_grant(const struct paths *p, const struct ledger_slice *s, char buf[GRANT_FILE_BYTES],
                       GError **error)
{
    g_autoptr(Files) f = files_of(p, s->id);
    g_autofree struct grant *g = g_new0(struct grant, 1);
    *g = (struct grant){.epoch = s->epoch,
                        .policy = s->core_policy,
                        .priority = s->priority,
                        .oversubscribe = s->oversubscribe,
                        .n_devices = s->n_shares};
    g_strlcpy(g->id, s->id, sizeof g->id);
    g_strlcpy(g->name, s->name, sizeof g->name);
    g_strlcpy(g->region, f->region, sizeof g->region);
    for (uint32_t i = 0; i < s->n_shares; i++) {
        g_autofree char *board = files_board(p, s->shares[i].uuid);
        g_strlcpy(g->devices[i].uuid, s->shares[i].uuid, sizeof g->devices[i].uuid);
        g_strlcpy(g->devices[i].board, board, sizeof g->devices[i].board);
        g->devices[i].mem_bytes = limit_of(&s->shares[i]);
        g->devices[i].cores_pct = s->shares[i].cores_pct;
        if (strlen(board) >= sizeof g->devices[i].board)
            return fail(board, ENAMETOOLONG, error);
    }
    if (strlen(f->region) >= sizeof g->region || grant_format(g, buf) < 0)
        return fail(f->grant, EINVAL, error);
    return true;
}

static void make_limits(const struct ledger_slice *s, struct region_limits *ret)
{
    *ret = (struct region_limits){
        .n_devices = s->n_shares, .priority = s->priority, .source = REGION_SOURCE_HOST};
    for (uint32_t i = 0; i < s->n_shares; i++) {
        g_strlcpy(ret->uuids[i], s->shares[i].uuid, sizeof ret->uuids[i]);
        ret->mem_bytes[i] = limit_of(&s->shares[i]);
        ret->cores_pct[i] = s->shares[i].cores_pct;
    }
}

static bool make_region(const char *path, const struct ledger_slice *s, GError **error)
{
    g_autofree struct region_limits *limits = g_new0(struct region_limits, 1);
    struct region r = {.fd = -1};
    make_limits(s, limits);
    int result = region_open(&r, path, limits);
    if (result < 0)
        return fail(path, -result, error);
    region_close(&r);
    return true;
}

static bool make_folder(const char *path, int mode, GError **error)
{
    if ((mkdir(path, (mode_t)mode) == 0 || errno == EEXIST) && chmod(path, (mode_t)mode) == 0)
        return true;
    return fail(path, errno, error);
}

bool files_create(const struct paths *p, const struct ledger_slice *s, GError **error)
{
    g_autoptr(Files) f = files_of(p, s->id);
    char grant[GRANT_FILE_BYTES];
    if (!make_folder(f->folder, p->root ? 0755 : 0700, error) ||
        !make_folder(f->etc, p->root ? 0755 : 0700, error) ||
        !make_folder(f->reg_folder, p->root ? 01777 : 0700, error))
        return false;
    for (uint32_t i = 0; i < s->n_shares; i++)
        if (!make_board(p, s->shares[i].uuid, error))
            return false;
    if (!make_region(f->region, s, error) || !make_grant(p, s, grant, error) ||
        !files_put(f->grant, 0444, grant, sizeof grant, error))
        return false;
    if (!s->machine[0])
        return true;
    g_autofree char *sim = g_build_filename(f->etc, "sim", NULL);
    g_autofree char *text = g_strdup_printf("%s\n%s\n", s->machine, s->sim_state);
    return files_put(sim, 0444, text, -1, error);
}

bool files_write_limits(const struct paths *p, const struct ledger_slice *s, GError **error)
{
    g_autoptr(Files) f = files_of(p, s->id);
    g_autofree struct region_limits *limits = g_new0(struct region_limits, 1);
    char grant[GRANT_FILE_BYTES];
    make_limits(s, limits);
    if (!make_grant(p, s, grant, error))
        return false;
    chmod(f->grant, 0644); /* without root the mode binds us, too */
    if (!files_put(f->grant, 0444, grant, sizeof grant, error))
        return false;
    /* The region is the workload's to spoil; the grant is what holds. */
    int result = region_set_limits(f->region, limits);
    if (result < 0)
        g_debug("region of %s: %s", s->id, g_strerror(-result));
    return true;
}

/* ---- removing ---------------------------------------------------------- */

/* What a workload left may be as deep as it liked, and somebody may still write
 * there: no path is walked, nothing is followed, and two folders are open at a
 * time. A folder's own folders are moved up to the top before it goes. */
#define REMOVE_STEPS 1000000 /* the rest is left to the next command's sweep */

static int open_folder(int at, const char *name)
{
    return openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

static bool move_up(int from, const char *name, int top, unsigned *number)
{
    char fresh[32];
    for (int tries = 0; tries < 100; tries++) {
        g_snprintf(fresh, sizeof fresh, "hami.%u", (*number)++);
        if (renameat(from, name, top, fresh) == 0)
            return true;
    }
    return false;
}

static bool is_dot(const char *name)
{
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/* Empties folder `fd` (taken) whose folders are moved to `top`, or, when that
 * is -1, emptied in their turn. False when nothing could be removed. */
static bool empty(int fd, int top, unsigned *number, unsigned *left)
{
    DIR *dir = fdopendir(fd);
    bool any = false;
    if (!dir) {
        close(fd);
        return false;
    }
    for (struct dirent *e; *left && (e = readdir(dir));) {
        if (is_dot(e->d_name))
            continue;
        --*left;
        bool gone = unlinkat(fd, e->d_name, 0) == 0 || unlinkat(fd, e->d_name, AT_REMOVEDIR) == 0;
        int below = gone ? -1 : open_folder(fd, e->d_name);
        if (below >= 0 && top >= 0) {
            close(below);
            gone = move_up(fd, e->d_name, top, number);
        } else if (below >= 0) {
            gone = empty(below, fd, number, left);
            gone |= unlinkat(fd, e->d_name, AT_REMOVEDIR) == 0;
        }
        any |= gone;
    }
    closedir(dir);
    return any;
}

static void remove_tree(const char *path)
{
    unsigned number = 0, left = REMOVE_STEPS;
    int fd;
    while (unlink(path) < 0 && errno != ENOENT && rmdir(path) < 0 && errno != ENOENT &&
           (fd = open_folder(AT_FDCWD, path)) >= 0 && empty(fd, -1, &number, &left))
        continue;
}

void files_remove(const struct paths *p, const char *id)
{
    g_autoptr(Files) f = files_of(p, id);
    remove_tree(f->folder);
}
