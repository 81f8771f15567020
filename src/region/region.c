/* SPDX-License-Identifier: Apache-2.0
 *
 * The region file's life: open, create, validate, initialise, map.
 *
 * Everything up to the mapping is decided from what pread() returns, under the
 * INIT lock, so that a file that is truncated, foreign or hostile is found out
 * before a byte of it is mapped:
 *
 *   content                            nobody attached     somebody attached
 *   empty                              written anew        -EBUSY
 *   too short, or base not ours        written anew        -EBUSY
 *   base ours, extension missing       extension added     extension added
 *   base ours, extension not usable    extension anew      -EBUSY
 *   both ours                          kept                kept
 *
 * "Attached" means that a LIFE lock is held, which no content can fake. A
 * program of the older kind holds none, but its base is valid and kept.
 * Both magics are written last: dying half way leaves "not ours".
 */
#include "region/region.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "region/ledger.h"
#include "region/lock.h"

enum content { CONTENT_FOREIGN, CONTENT_BASE, CONTENT_BAD_EXT, CONTENT_GOOD };

/* glibc's semaphore with value 1, shared between processes; written by hand
 * because sem_init is bound to libpthread in older systems. */
static const uint32_t free_semaphore[4] = {1, 0, 128, 0};

static int open_file(const char *path, bool *ret_created)
{
    const int flags = O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;
    *ret_created = false;
    for (int attempt = 0; attempt < 3; attempt++) {
        /* Without O_CREAT first: in a sticky directory the kernel refuses
         * O_CREAT on what another user has created. */
        int fd = open(path, flags);
        if (fd >= 0 || errno != ENOENT)
            return fd >= 0 ? fd : -errno;
        fd = open(path, flags | O_CREAT | O_EXCL, 0666);
        if (fd >= 0) {
            *ret_created = true;
            fchmod(fd, 0666); /* the umask is the program's business */
        }
        if (fd >= 0 || errno != EEXIST)
            return fd >= 0 ? fd : -errno;
    }
    return -EAGAIN;
}

/* The first bytes of a struct: false when the file ends before them. */
static bool read_at(int fd, off_t at, void *ret, size_t n)
{
    return pread(fd, ret, n, at) == (ssize_t)n;
}

static enum content inspect(int fd, off_t size)
{
    uint32_t base[3];
    struct {
        uint64_t magic;
        uint32_t major, minor, header_bytes, total_bytes;
    } ext;
    if (size < REGION_BASE_BYTES || !read_at(fd, 0, base, sizeof base) || base[0] != REGION_MAGIC ||
        base[1] != REGION_MAJOR)
        return CONTENT_FOREIGN;
    if (size < REGION_EXT_OFFSET + (off_t)sizeof ext || !read_at(fd, REGION_EXT_OFFSET, &ext, sizeof ext) ||
        ext.magic == 0)
        return CONTENT_BASE;
    bool usable = ext.magic == REGION_EXT_MAGIC && ext.major == REGION_EXT_MAJOR &&
                  ext.total_bytes >= sizeof(struct region_ext) && size >= REGION_FILE_BYTES;
    return usable ? CONTENT_GOOD : CONTENT_BAD_EXT;
}

static bool is_anyone_attached(const struct region *r)
{
    return !r->is_private && region_lock_attached(r->fd);
}

/* Zeroes from `at` to the end. A hole is punched where that is possible, so
 * that a foreign program which still maps the file reads zeroes instead of
 * taking a SIGBUS. */
static int wipe(int fd, off_t at, off_t size)
{
    if (size > at &&
        syscall(SYS_fallocate, fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, at, size - at) < 0 &&
        ftruncate(fd, at) < 0)
        return -errno;
    return 0;
}

/* Brings the file to its size and makes sure that the pages which every
 * process touches exist, so that a full file system is an error now. */
static int allocate(int fd)
{
    static const struct {
        off_t at, n;
    } ranges[] = {
        {0, offsetof(struct region_base, procs)},
        {offsetof(struct region_base, proc_num), REGION_BASE_BYTES - offsetof(struct region_base, proc_num)},
        {REGION_EXT_OFFSET, offsetof(struct region_ext, boards)},
    };
    struct stat st;
    int rc = region_stat(fd, &st);
    if (rc == 0 && st.st_size < REGION_FILE_BYTES && ftruncate(fd, REGION_FILE_BYTES) < 0)
        rc = -errno;
    for (size_t i = 0; rc == 0 && i < sizeof ranges / sizeof *ranges; i++)
        if (syscall(SYS_fallocate, fd, 0, ranges[i].at, ranges[i].n) < 0 && errno == ENOSPC)
            rc = -ENOSPC;
    return rc;
}

static bool map(struct region *r)
{
    int flags = r->is_private ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED;
    void *p = mmap(NULL, (size_t)REGION_FILE_BYTES, PROT_READ | PROT_WRITE, flags, r->fd, 0);
    if (p == MAP_FAILED)
        return false;
    r->base = p;
    r->ext = (struct region_ext *)(void *)((char *)p + REGION_EXT_OFFSET);
    return true;
}

/* ---- initial content ---- */

static void write_limits(struct region *r, const struct region_limits *l)
{
    unsigned n = l->n_devices < REGION_DEVICES ? l->n_devices : REGION_DEVICES;
    for (unsigned d = 0; d < n; d++) {
        memcpy(r->base->uuids[d], l->uuids[d], REGION_UUID_BYTES);
        r->base->uuids[d][REGION_UUID_BYTES - 1] = '\0';
        __atomic_store_n(&r->base->limit[d], l->mem_bytes[d], __ATOMIC_RELAXED);
        __atomic_store_n(&r->base->sm_limit[d], l->cores_pct[d], __ATOMIC_RELAXED);
    }
    r->base->device_num = n;
    r->base->priority = l->priority;
    atomic_store(&r->ext->limit_source, l->source);
}

static void init_base(struct region *r)
{
    struct region_base *b = r->base;
    b->major_version = REGION_MAJOR;
    b->minor_version = REGION_MINOR;
    memcpy(&b->sem, free_semaphore, sizeof free_semaphore);
    memcpy(&b->sem_postinit, free_semaphore, sizeof free_semaphore);
    b->utilization_switch = 1;
    b->recent_kernel = 2;
    b->last_kernel_time = (uint64_t)time(NULL);
}

static void init_ext(struct region *r)
{
    struct region_ext *e = r->ext;
    e->major = REGION_EXT_MAJOR;
    e->minor = REGION_EXT_MINOR;
    e->header_bytes = offsetof(struct region_ext, devices);
    e->total_bytes = sizeof *e;
    e->features = REGION_FEATURES;
    atomic_store(&e->incarnation, region_incarnation(&r->self));
    atomic_store_explicit(&e->magic, REGION_EXT_MAGIC, memory_order_release);
}

static bool has_limits(const struct region_base *b)
{
    uint64_t any = 0;
    for (unsigned d = 0; d < REGION_DEVICES; d++)
        any |= b->limit[d] | b->sm_limit[d];
    return any != 0;
}

/* A base written by an older program keeps the limits it has. */
static void adopt_base(struct region *r, const struct region_limits *initial)
{
    if (has_limits(r->base))
        atomic_store(&r->ext->limit_source, REGION_SOURCE_ENV);
    else
        write_limits(r, initial);
}

static void forget_container(struct region *r)
{
    for (unsigned d = 0; d < REGION_DEVICES; d++)
        memset(&r->ext->devices[d].compute, 0, sizeof r->ext->devices[d].compute);
    if (__atomic_load_n(&r->base->recent_kernel, __ATOMIC_RELAXED) >= 0) /* else the host's word: blocked */
        __atomic_store_n(&r->base->recent_kernel, 2, __ATOMIC_RELAXED);
}

/* The container was started again on the same file: what its dead processes
 * held is given back, device time and limits that they had set are forgotten. */
static void renew(struct region *r, const struct region_limits *initial)
{
    uint64_t incarnation = region_incarnation(&r->self);
    if (is_anyone_attached(r))
        return;
    region_reclaim(r);
    ledger_repair(r, is_anyone_attached);
    if (atomic_load(&r->ext->incarnation) == incarnation)
        return;
    forget_container(r);
    if (atomic_load(&r->ext->limit_source) != REGION_SOURCE_HOST && initial->source != REGION_SOURCE_NONE)
        write_limits(r, initial);
    atomic_store(&r->ext->incarnation, incarnation);
}

/* Limits are replaced when nobody had set any, and by the host. */
static bool wants_limits(const struct region *r, const struct region_limits *initial)
{
    uint32_t source = atomic_load(&r->ext->limit_source);
    return (source == REGION_SOURCE_NONE && initial->source != REGION_SOURCE_NONE) ||
           initial->source == REGION_SOURCE_HOST;
}

static void fill(struct region *r, enum content content, const struct region_limits *initial)
{
    if (content == CONTENT_GOOD) {
        renew(r, initial);
    } else {
        if (content == CONTENT_FOREIGN) {
            init_base(r);
            write_limits(r, initial);
        } else {
            adopt_base(r, initial);
        }
        init_ext(r);
        __atomic_store_n(&r->base->initialized_flag, REGION_MAGIC, __ATOMIC_RELEASE);
    }
    if (wants_limits(r, initial))
        write_limits(r, initial);
}

/* ---- opening ---- */

static int prepare(struct region *r, enum content *ret)
{
    struct stat st;
    int rc = region_stat(r->fd, &st);
    if (rc < 0)
        return rc;
    *ret = inspect(r->fd, st.st_size);
    bool rebuild = *ret == CONTENT_FOREIGN || *ret == CONTENT_BAD_EXT;
    if (rebuild && is_anyone_attached(r))
        return -EBUSY;
    if (*ret == CONTENT_FOREIGN)
        rc = wipe(r->fd, 0, st.st_size);
    else if (*ret != CONTENT_GOOD)
        rc = wipe(r->fd, REGION_EXT_OFFSET, st.st_size);
    return rc < 0 ? rc : allocate(r->fd);
}

static int open_locked(struct region *r, const struct region_limits *initial)
{
    enum content content;
    int rc = prepare(r, &content);
    if (rc < 0)
        return rc;
    if (!map(r))
        return -ENOMEM;
    fill(r, content, initial);
    return 0;
}

/* Without the lock, when there is nothing to decide: the file is good, others
 * are attached and its limits stay. Keeps joining fast in a crowd. */
static bool open_quick(struct region *r, const struct region_limits *initial)
{
    struct stat st;
    if (!is_anyone_attached(r) || region_stat(r->fd, &st) < 0 || inspect(r->fd, st.st_size) != CONTENT_GOOD ||
        !map(r))
        return false;
    if (!wants_limits(r, initial))
        return true;
    munmap(r->base, (size_t)REGION_FILE_BYTES);
    r->base = NULL;
    r->ext = NULL;
    return false;
}

/* Whoever waits for the lock looks again whether it is still needed: once the
 * first process of a crowd has joined, the others need not queue. */
static int open_checked(struct region *r, const struct region_limits *initial)
{
    struct region_patience patience = region_patience();
    bool last = false;
    for (long pause_ns = 0;; region_pause(&pause_ns)) {
        if (open_quick(r, initial))
            return 0;
        int rc = region_lock(r->fd, F_WRLCK, REGION_LOCK_INIT);
        if (rc == 0) {
            region_lock_name(r->fd, F_WRLCK);
            rc = open_locked(r, initial);
            region_lock_name(r->fd, F_UNLCK);
            region_lock(r->fd, F_UNLCK, REGION_LOCK_INIT);
            return rc;
        }
        if (rc != -EAGAIN || last)
            return rc;
        last = region_patience_over(&patience, region_lock_namer(r->fd));
    }
}

int region_open(struct region *r, const char *path, const struct region_limits *initial)
{
    int saved_errno = errno;
    struct stat st;
    bool created;
    *r = (struct region){.fd = open_file(path, &created), .slot = -1};
    if (r->fd < 0) {
        int rc = r->fd;
        r->fd = -1;
        errno = saved_errno;
        return rc;
    }
    region_identity_self(&r->self);
    int rc = region_stat(r->fd, &st);
    r->device = rc == 0 ? st.st_dev : 0;
    r->inode = rc == 0 ? st.st_ino : 0;
    if (rc == 0 && !S_ISREG(st.st_mode))
        rc = -EINVAL;
    if (rc == 0)
        rc = open_checked(r, initial);
    if (rc < 0) {
        region_close(r);
        if (created)
            unlink(path);
    }
    errno = saved_errno;
    return rc;
}

int region_open_private(struct region *r, const struct region_limits *initial)
{
    int saved_errno = errno;
    *r = (struct region){.fd = -1, .is_private = true, .slot = -1};
    region_identity_self(&r->self);
    bool mapped = map(r);
    if (mapped)
        fill(r, CONTENT_FOREIGN, initial);
    errno = saved_errno;
    return mapped ? 0 : -ENOMEM;
}

bool region_owns_fd(const struct region *r)
{
    struct stat st;
    return r->fd >= 0 && region_stat(r->fd, &st) == 0 && st.st_dev == r->device && st.st_ino == r->inode;
}

void region_close(struct region *r)
{
    int saved_errno = errno;
    if (r->base)
        munmap(r->base, (size_t)REGION_FILE_BYTES);
    if (region_owns_fd(r))
        close(r->fd);
    *r = (struct region){.fd = -1, .slot = -1};
    errno = saved_errno;
}
