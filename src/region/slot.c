/* SPDX-License-Identifier: Apache-2.0
 *
 * Slots: claiming, releasing, and reclaiming what dead processes left.
 *
 * A slot is in use while its pid is set. Its owner holds the slot's LIFE lock
 * from claim to death; whoever claims, releases or reclaims a slot holds its
 * WORK lock meanwhile, so these exclude each other, and dying in the middle
 * leaves nothing but a slot that looks dead to the next one. Between threads
 * of one process, which share their locks, `busy` excludes.
 *
 * The last slot has any number of owners, who hold LIFE together. Joining them
 * needs no lock that somebody could hold alone: in a crowd one holder that is
 * given no processor would hold up hundreds. So each of them writes the same
 * words in, and only who has LIFE alone may free it, which WORK is no part of.
 *
 * LIFE belongs to the open file description, which lives as long as any
 * descriptor or mapping of it: a daemon that closes all its files keeps it, a
 * program that execs another loses it. So a slot is dead when
 *   - LIFE is free, or
 *   - LIFE is held, but by a child that inherited it: the process that claimed
 *     the slot belongs to our pid namespace and is gone, a zombie, or has
 *     another start time.
 * A process that cannot be looked at (another namespace, hidden /proc) counts
 * as alive as long as LIFE is held.
 *
 * slot_map is a hint that saves walking 2 MB: a bit is set before a slot is
 * taken and cleared after it is free. A wrong bit costs a look, no more.
 *
 * Order of a claim: bit, identity, pid, status, proc_num. Order of freeing:
 * ledger, figures, status, pid, bit, proc_num.
 */
#include "region/region.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "region/ledger.h"
#include "region/lock.h"

#define OVERFLOW_SLOT (REGION_SLOTS - 1)
#define SWEEP_EVERY_NS 50000000
#define SWEEP_AT_JOIN 16 /* slots looked at per join: joining must not get slower with company */

static int32_t slot_pid(const struct region *r, unsigned i)
{
    return __atomic_load_n(&r->base->procs[i].pid, __ATOMIC_ACQUIRE);
}

static int lock_byte(const struct region *r, short type, off_t base, unsigned slot)
{
    return r->is_private ? 0 : region_lock(r->fd, type, base + (off_t)slot);
}

static bool life_is_held(const struct region *r, unsigned slot)
{
    return !r->is_private && region_lock_held(r->fd, REGION_LOCK_LIFE + (off_t)slot, 1);
}

/* ---- one thread at a time ---- */

static bool enter(struct region *r)
{
    struct region_patience patience = region_patience();
    for (bool last = false;; nanosleep(&(struct timespec){.tv_nsec = 50000}, NULL)) {
        uint32_t nobody = 0;
        if (atomic_compare_exchange_strong(&r->busy, &nobody, 1))
            return true;
        if (last)
            return false;
        last = region_patience_over(&patience, r->self.pid);
    }
}

static void leave(struct region *r)
{
    atomic_store(&r->busy, 0);
}

/* ---- the map and proc_num ---- */

static void map_set(struct region *r, unsigned i)
{
    atomic_fetch_or(&r->ext->slot_map[i / 64], UINT64_C(1) << i % 64);
}

static void map_clear(struct region *r, unsigned i)
{
    atomic_fetch_and(&r->ext->slot_map[i / 64], ~(UINT64_C(1) << i % 64));
}

static int32_t map_top(const struct region *r)
{
    for (int w = REGION_SLOTS / 64 - 1; w >= 0; w--) {
        uint64_t bits = atomic_load(&r->ext->slot_map[w]);
        if (bits)
            return w * 64 + 64 - __builtin_clzll(bits);
    }
    return 0;
}

static void raise_proc_num(struct region *r, int32_t least)
{
    int32_t old = __atomic_load_n(&r->base->proc_num, __ATOMIC_SEQ_CST);
    while (old < least && !__atomic_compare_exchange_n(&r->base->proc_num, &old, least, false,
                                                       __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
        ;
}

/* A claimer sets its bit before it looks at proc_num, and we look at the map
 * again after lowering: one of the two sees the other. */
static void lower_proc_num(struct region *r)
{
    int32_t old = __atomic_load_n(&r->base->proc_num, __ATOMIC_SEQ_CST);
    int32_t top = map_top(r);
    if (old != top)
        __atomic_compare_exchange_n(&r->base->proc_num, &old, top, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
    raise_proc_num(r, map_top(r));
}

/* ---- freeing ---- */

static void free_slot(struct region *r, unsigned i)
{
    struct region_slot *slot = &r->base->procs[i];
    struct region_member *member = &r->ext->members[i];
    if (i == OVERFLOW_SLOT) /* whoever joins after our death in here settles first */
        atomic_store(&member->lock, (uint32_t)r->self.pid);
    ledger_abandon(r, i);
    if (i == OVERFLOW_SLOT)
        atomic_store(&member->lock, 0);
    memset(member->compute, 0, sizeof member->compute);
    memset(slot->used, 0, sizeof slot->used);
    memset(slot->monitorused, 0, sizeof slot->monitorused);
    memset(slot->device_util, 0, sizeof slot->device_util);
    __atomic_store_n(&slot->seqlock, 0, __ATOMIC_RELEASE); /* odd, older readers would wait for the dead */
    __atomic_store_n(&slot->status, REGION_SLOT_FREE, __ATOMIC_RELEASE);
    __atomic_store_n(&slot->hostpid, 0, __ATOMIC_RELEASE);
    __atomic_store_n(&slot->pid, 0, __ATOMIC_RELEASE);
    map_clear(r, i);
    lower_proc_num(r);
}

/* `thorough` asks /proc as well, which costs ten times the lock's question. */
static bool is_slot_dead(const struct region *r, unsigned i, bool thorough)
{
    const struct region_member *m = &r->ext->members[i];
    int32_t pid = slot_pid(r, i);
    uint64_t start = 0, claimed = atomic_load(&m->start_ticks);
    if (pid == 0 || !life_is_held(r, i))
        return true; /* without a pid: half claimed or half freed, freeing_lock() tells which */
    if (!thorough || i == OVERFLOW_SLOT || atomic_load(&m->pid_ns) != r->self.pid_ns)
        return false;
    enum region_presence presence = region_presence_of(pid, &start);
    return presence == REGION_GONE || (presence == REGION_PRESENT && claimed && start != claimed);
}

/* What excludes whoever else would free slot i or move in. */
static off_t freeing_lock(unsigned i)
{
    return i == OVERFLOW_SLOT ? REGION_LOCK_LIFE : REGION_LOCK_WORK;
}

/* Looking once without the lock keeps the common case, a living process, free
 * of it. */
static bool reclaim_slot(struct region *r, unsigned i, bool thorough)
{
    if ((int)i == r->slot || !is_slot_dead(r, i, thorough) || lock_byte(r, F_WRLCK, freeing_lock(i), i) < 0)
        return false;
    bool dead = is_slot_dead(r, i, thorough);
    if (dead)
        free_slot(r, i);
    lock_byte(r, F_UNLCK, freeing_lock(i), i);
    return dead;
}

/* Looks at up to n slots in use from the cursor on. */
static int sweep(struct region *r, unsigned n, bool thorough)
{
    int freed = 0;
    unsigned start = atomic_load(&r->ext->sweep_cursor) % REGION_SLOTS;
    unsigned i = start;
    for (unsigned walked = 0; walked < REGION_SLOTS && n; walked++) {
        i = (start + walked) % REGION_SLOTS;
        uint64_t bits = atomic_load(&r->ext->slot_map[i / 64]);
        if (bits == 0 && i % 64 == 0) {
            walked += 63;
        } else if (bits >> i % 64 & 1) {
            freed += reclaim_slot(r, i, thorough);
            n--;
        }
    }
    atomic_store(&r->ext->sweep_cursor, (i + 1) % REGION_SLOTS);
    return freed;
}

static int reclaim(struct region *r, bool thorough)
{
    int saved_errno = errno;
    int freed = 0;
    if (!r->ext || !region_owns_fd(r) || !enter(r)) {
        errno = saved_errno;
        return 0;
    }
    freed = sweep(r, REGION_SLOTS, thorough);
    lower_proc_num(r); /* in case somebody died between freeing and lowering */
    leave(r);
    errno = saved_errno;
    return freed;
}

int region_reclaim(struct region *r)
{
    return reclaim(r, true);
}

int region_reclaim_quick(struct region *r)
{
    return reclaim(r, false);
}

/* ---- claiming ---- */

/* Makes the pages a slot needs exist, so that a full file system is an error
 * here and not a SIGBUS later. File systems without fallocate are trusted. */
static int reserve_pages(const struct region *r, unsigned i)
{
    off_t slot = (off_t)(offsetof(struct region_base, procs) + i * sizeof(struct region_slot));
    off_t member =
        REGION_EXT_OFFSET + (off_t)(offsetof(struct region_ext, members) + i * sizeof(struct region_member));
    if (r->is_private)
        return 0;
    if (syscall(SYS_fallocate, r->fd, 0, slot, (off_t)sizeof(struct region_slot)) < 0 && errno == ENOSPC)
        return -ENOSPC;
    if (syscall(SYS_fallocate, r->fd, 0, member, (off_t)sizeof(struct region_member)) < 0 && errno == ENOSPC)
        return -ENOSPC;
    return 0;
}

static void occupy(struct region *r, unsigned i)
{
    struct region_slot *slot = &r->base->procs[i];
    struct region_member *m = &r->ext->members[i];
    map_set(r, i);
    ledger_abandon(r, i);
    atomic_store(&m->lock, 0);
    atomic_store(&m->start_ticks, r->self.start_ticks);
    atomic_store(&m->pid_ns, r->self.pid_ns);
    atomic_store(&m->seen_ns, region_now_ns());
    __atomic_store_n(&slot->hostpid, 0, __ATOMIC_RELEASE);
    __atomic_store_n(&slot->seqlock, 0, __ATOMIC_RELEASE);
    __atomic_store_n(&slot->pid, r->self.pid, __ATOMIC_RELEASE);
    __atomic_store_n(&slot->status, REGION_SLOT_RUNNING, __ATOMIC_RELEASE);
    raise_proc_num(r, (int32_t)i + 1);
}

/* 0 when slot i is ours now, -EAGAIN to try the next one, or another -errno. */
static int claim_at(struct region *r, unsigned i)
{
    int rc = lock_byte(r, F_WRLCK, REGION_LOCK_WORK, i);
    if (rc < 0)
        return rc;
    rc = slot_pid(r, i) == 0 ? lock_byte(r, F_WRLCK, REGION_LOCK_LIFE, i) : -EAGAIN;
    if (rc == 0) {
        rc = reserve_pages(r, i);
        if (rc == 0)
            occupy(r, i);
        else
            lock_byte(r, F_UNLCK, REGION_LOCK_LIFE, i);
    }
    lock_byte(r, F_UNLCK, REGION_LOCK_WORK, i);
    return rc;
}

static int claim_lowest(struct region *r)
{
    for (unsigned w = 0; w < REGION_SLOTS / 64; w++) {
        uint64_t bits = atomic_load(&r->ext->slot_map[w]);
        for (unsigned b = 0; ~bits && b < 64; b++) {
            unsigned i = w * 64 + b;
            if (bits >> b & 1 || i == OVERFLOW_SLOT)
                continue;
            int rc = claim_at(r, i);
            if (rc != -EAGAIN)
                return rc < 0 ? rc : (int)i;
        }
    }
    return -EAGAIN;
}

/* Every member writes them, in the order of a claim: the first one may be kept
 * from running before it is through. The ledger and its lock are in use. */
static void occupy_together(struct region *r)
{
    struct region_slot *slot = &r->base->procs[OVERFLOW_SLOT];
    struct region_member *m = &r->ext->members[OVERFLOW_SLOT];
    int32_t nobody = 0;
    map_set(r, OVERFLOW_SLOT);
    atomic_store(&m->start_ticks, r->self.start_ticks);
    atomic_store(&m->pid_ns, r->self.pid_ns);
    atomic_store(&m->seen_ns, region_now_ns());
    __atomic_compare_exchange_n(&slot->pid, &nobody, r->self.pid, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
    __atomic_store_n(&slot->status, REGION_SLOT_RUNNING, __ATOMIC_RELEASE);
    raise_proc_num(r, REGION_SLOTS);
}

/* Waits for nobody but who is freeing it, which takes a few microseconds once
 * all of its members are dead; that one's pid is in the slot's lock word. */
static int join_overflow(struct region *r)
{
    int rc = slot_pid(r, OVERFLOW_SLOT) == 0 ? reserve_pages(r, OVERFLOW_SLOT) : 0;
    if (rc < 0)
        return rc;
    const _Atomic uint32_t *lock = &r->ext->members[OVERFLOW_SLOT].lock;
    struct region_patience patience = region_patience();
    bool last = false;
    for (long pause_ns = 0;; region_pause(&pause_ns)) {
        rc = lock_byte(r, F_RDLCK, REGION_LOCK_LIFE, OVERFLOW_SLOT);
        if (rc == 0)
            occupy_together(r);
        if (rc != -EAGAIN || last)
            return rc < 0 ? rc : OVERFLOW_SLOT;
        last = region_patience_over(&patience, (int32_t)atomic_load(lock));
    }
}

/* When all slots are taken, each newcomer would look at a thousand processes. */
static bool sweep_all(struct region *r)
{
    uint64_t now = region_now_ns(), last = atomic_load(&r->ext->swept_ns);
    if (now - last < SWEEP_EVERY_NS || !atomic_compare_exchange_strong(&r->ext->swept_ns, &last, now))
        return false;
    return sweep(r, REGION_SLOTS, true) > 0;
}

static int claim(struct region *r)
{
    if (r->slot >= 0)
        return r->slot;
    sweep(r, SWEEP_AT_JOIN, false);
    int slot = claim_lowest(r);
    if (slot == -EAGAIN && sweep_all(r))
        slot = claim_lowest(r);
    if (slot == -EAGAIN)
        slot = join_overflow(r);
    if (slot >= 0)
        r->slot = slot;
    return slot;
}

int region_slot_claim(struct region *r)
{
    int saved_errno = errno;
    int slot = !r->ext || !(r->is_private || region_owns_fd(r)) ? -EBADF : !enter(r) ? -EAGAIN : 0;
    if (slot == 0) {
        slot = claim(r);
        leave(r);
    }
    errno = saved_errno;
    return slot;
}

/* ---- leaving ---- */

/* Of the last slot only the last member frees it. */
static void release(struct region *r, unsigned i)
{
    atomic_store(&r->slot, -1);
    if (lock_byte(r, F_WRLCK, freeing_lock(i), i) == 0) {
        ledger_shut(r, i);
        free_slot(r, i);
    }
    lock_byte(r, F_UNLCK, REGION_LOCK_LIFE, i);
    lock_byte(r, F_UNLCK, freeing_lock(i), i); /* last: until then nobody looks at LIFE */
}

void region_slot_release(struct region *r, int slot)
{
    int saved_errno = errno;
    if (!r->ext || slot < 0 || slot != r->slot || getpid() != r->self.pid)
        return;
    if (!enter(r)) {
        errno = saved_errno;
        return;
    }
    if (region_slot_intact(r) && (r->is_private || region_owns_fd(r)))
        release(r, (unsigned)slot);
    leave(r);
    errno = saved_errno;
}

bool region_slot_intact(const struct region *r)
{
    return r->ext && r->slot >= 0 &&
           (r->slot == OVERFLOW_SLOT || slot_pid(r, (unsigned)r->slot) == r->self.pid);
}
