/* SPDX-License-Identifier: Apache-2.0
 *
 * The host's side of a region: looking into it and turning its knobs without
 * mapping it, so that a workload that truncates the file or fills it with
 * garbage can make a reader see nonsense, but not crash, hang or overrun it.
 * Any thread; no state.
 */
#include "region/region.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "region/lock.h"

#define BASE_AT(member) ((off_t)offsetof(struct region_base, member))
#define EXT_AT(member) (REGION_EXT_OFFSET + (off_t)offsetof(struct region_ext, member))

static bool read_at(int fd, off_t at, void *ret, size_t n)
{
    return pread(fd, ret, n, at) == (ssize_t)n;
}

static bool write_at(int fd, off_t at, const void *from, size_t n)
{
    return pwrite(fd, from, n, at) == (ssize_t)n;
}

/* Opens a region file that exists. Returns the descriptor or -errno. */
static int open_region(const char *path, int access)
{
    struct stat st;
    uint32_t base[2];
    int fd = open(path, access | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return -errno;
    int rc = region_stat(fd, &st);
    if (rc == 0 && (!S_ISREG(st.st_mode) || st.st_size < REGION_BASE_BYTES ||
                    !read_at(fd, 0, base, sizeof base) || base[0] != REGION_MAGIC || base[1] != REGION_MAJOR))
        rc = -EPROTO;
    if (rc < 0) {
        close(fd);
        return rc;
    }
    return fd;
}

static bool has_ext(int fd)
{
    uint64_t magic;
    uint32_t major;
    return read_at(fd, EXT_AT(magic), &magic, sizeof magic) && magic == REGION_EXT_MAGIC &&
           read_at(fd, EXT_AT(major), &major, sizeof major) && major == REGION_EXT_MAJOR;
}

/* ---- reading ---- */

static bool read_head(int fd, struct region_view *v)
{
    uint64_t n_devices, sm_limit[REGION_DEVICES];
    if (!read_at(fd, BASE_AT(device_num), &n_devices, sizeof n_devices) ||
        !read_at(fd, BASE_AT(uuids), v->uuids, sizeof v->uuids) ||
        !read_at(fd, BASE_AT(limit), v->limit, sizeof v->limit) ||
        !read_at(fd, BASE_AT(sm_limit), sm_limit, sizeof sm_limit) ||
        !read_at(fd, BASE_AT(recent_kernel), &v->recent_kernel, sizeof v->recent_kernel) ||
        !read_at(fd, BASE_AT(utilization_switch), &v->utilization_switch, sizeof v->utilization_switch) ||
        !read_at(fd, BASE_AT(priority), &v->priority, sizeof v->priority) ||
        !read_at(fd, BASE_AT(last_kernel_time), &v->last_kernel_time, sizeof v->last_kernel_time))
        return false;
    v->n_devices = n_devices < REGION_DEVICES ? (uint32_t)n_devices : REGION_DEVICES;
    for (unsigned d = 0; d < REGION_DEVICES; d++) {
        v->uuids[d][REGION_UUID_BYTES - 1] = '\0';
        v->sm_limit[d] = sm_limit[d] <= 100 ? (uint32_t)sm_limit[d] : 100;
    }
    return true;
}

/* Adds without wrapping: a sum of hostile figures must not look small. */
static uint64_t add_capped(uint64_t a, uint64_t b)
{
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

static uint32_t add_percent(uint32_t a, uint64_t b)
{
    return b >= 100 - a ? 100 : a + (uint32_t)b;
}

static bool read_slot(int fd, unsigned i, struct region_view *v)
{
    struct region_slot slot;
    struct region_process_view *p = &v->processes[v->n_processes];
    if (!read_at(fd, BASE_AT(procs) + (off_t)(i * sizeof slot), &slot, sizeof slot))
        return false;
    if (slot.status == REGION_SLOT_FREE)
        return true;
    *p = (struct region_process_view){
        .slot = (int32_t)i, .pid = slot.pid, .hostpid = slot.hostpid, .status = slot.status};
    for (unsigned d = 0; d < REGION_DEVICES; d++) {
        p->used[d] = slot.used[d].total;
        v->held[d] = add_capped(v->held[d], slot.used[d].total);
        v->util_pct[d] = add_percent(v->util_pct[d], slot.device_util[d].sm);
    }
    v->n_processes++;
    return true;
}

static bool read_slots(int fd, struct region_view *v)
{
    int32_t n;
    if (!read_at(fd, BASE_AT(proc_num), &n, sizeof n))
        return false;
    n = n < 0 ? 0 : n > REGION_SLOTS ? REGION_SLOTS : n;
    for (unsigned i = 0; i < (unsigned)n; i++)
        if (!read_slot(fd, i, v))
            return false;
    return true;
}

static bool read_ext(int fd, struct region_view *v)
{
    uint32_t suspended;
    if (!read_at(fd, EXT_AT(suspended), &suspended, sizeof suspended) ||
        !read_at(fd, EXT_AT(limit_source), &v->source, sizeof v->source))
        return false;
    v->suspended = suspended != 0;
    for (unsigned d = 0; d < REGION_DEVICES; d++) {
        struct region_device block;
        off_t at = EXT_AT(devices) + (off_t)(d * sizeof block);
        if (!read_at(fd, at, &block, sizeof block))
            return false;
        v->used[d] = block.word.bytes;
        v->peak[d] = block.peak;
        v->oom_count[d] = block.oom_count;
        v->spilled[d] = block.spilled;
        v->thrash_count[d] = block.thrash_count;
        v->busy_ns[d] = block.compute.busy_ns;
        v->throttled_ns[d] = block.compute.throttled_ns;
        v->launches[d] = block.compute.launches;
    }
    return true;
}

int region_read(const char *path, struct region_view *ret)
{
    int fd = open_region(path, O_RDONLY);
    if (fd < 0)
        return fd;
    memset(ret, 0, sizeof *ret);
    bool ok = read_head(fd, ret) && read_slots(fd, ret);
    memcpy(ret->used, ret->held, sizeof ret->used); /* of an older writer there is nothing better */
    ok = ok && (!has_ext(fd) || read_ext(fd, ret));
    close(fd);
    return ok ? 0 : -EPROTO;
}

/* ---- controls ---- */

static bool write_limits(int fd, const struct region_limits *l, unsigned n)
{
    uint64_t sm_limit[REGION_DEVICES];
    uint32_t source = l->source;
    for (unsigned d = 0; d < n; d++)
        sm_limit[d] = l->cores_pct[d];
    return write_at(fd, BASE_AT(limit), l->mem_bytes, n * sizeof l->mem_bytes[0]) &&
           write_at(fd, BASE_AT(sm_limit), sm_limit, n * sizeof sm_limit[0]) &&
           write_at(fd, BASE_AT(priority), &l->priority, sizeof l->priority) &&
           (!has_ext(fd) || write_at(fd, EXT_AT(limit_source), &source, sizeof source));
}

int region_set_limits(const char *path, const struct region_limits *limits)
{
    if (limits->n_devices > REGION_DEVICES)
        return -EINVAL;
    int fd = open_region(path, O_RDWR);
    if (fd < 0)
        return fd;
    bool ok = write_limits(fd, limits, limits->n_devices);
    close(fd);
    return ok ? 0 : -EIO;
}

int region_set_suspended(const char *path, bool suspended)
{
    uint32_t word = suspended;
    int fd = open_region(path, O_RDWR);
    if (fd < 0)
        return fd;
    int rc = !has_ext(fd) ? -EPROTO : write_at(fd, EXT_AT(suspended), &word, sizeof word) ? 0 : -EIO;
    close(fd);
    return rc;
}

int region_is_attached(const char *path)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return -errno;
    int rc = region_stat(fd, &st);
    if (rc == 0)
        rc = !S_ISREG(st.st_mode) ? -EINVAL : region_lock_attached(fd);
    close(fd);
    return rc;
}

int region_reset(const char *path, const struct region_limits *limits)
{
    struct region r;
    int rc = region_is_attached(path);
    if (rc < 0 && rc != -ENOENT && rc != -ELOOP && rc != -EINVAL)
        return rc;
    if (rc == 1)
        return -EBUSY;
    if (rc != -ENOENT && unlink(path) < 0 && errno != ENOENT)
        return -errno;
    rc = region_open(&r, path, limits);
    if (rc == 0)
        region_close(&r);
    return rc;
}
