/* SPDX-License-Identifier: Apache-2.0
 *
 * Locks on single bytes far behind the end of the region file, held by the
 * open file description: the kernel drops them when the process dies or execs,
 * they work across pid namespaces, and nothing a workload writes into the file
 * can forge, stick or corrupt them. That is why the region needs no robust
 * mutex in shared memory, whose list pointers a neighbour could overwrite.
 *
 *   INIT        held while the file is created, validated or repaired
 *   NAME        held beside INIT, by the process and not by a description, so
 *               that the kernel tells who waits the holder's pid
 *   LIFE + slot held by a slot's owner from claim to death (shared by the
 *               processes of the overflow slot)
 *   WORK + slot held while a slot is claimed, released or reclaimed (of the
 *               overflow slot nobody takes it, see slot.c)
 *
 * A description lives as long as any descriptor or mapping of it, so closing
 * all files does not lose a lock, exec does. (On overlayfs closing does: there
 * a mapping is one of the file below.) A fork's child shares its parent's
 * locks until it closes and unmaps, so where /proc can be asked a held lock is
 * no proof of life. Needs Linux 3.15; older ones answer -EINVAL.
 * Raw system calls: fcntl and fstat of a new glibc would bind symbols that
 * older ones lack.
 */
#ifndef HAMI_REGION_LOCK_H
#define HAMI_REGION_LOCK_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#define REGION_LOCK_INIT ((off_t)1 << 40)
#define REGION_LOCK_NAME (REGION_LOCK_INIT + 1)
#define REGION_LOCK_LIFE (REGION_LOCK_INIT + 4096)
#define REGION_LOCK_WORK (REGION_LOCK_INIT + 8192)
#define REGION_WAIT_NS 1000000000ull /* no wait in here is longer, but for want of processors */

/* Takes (F_WRLCK, F_RDLCK) or drops (F_UNLCK) the lock on one byte without
 * waiting. 0, -EAGAIN when another description holds it, or another -errno. */
int region_lock(int fd, short type, off_t byte);

/* Holds or drops NAME, and asks for the pid of who does: 0 when nobody does, or
 * nobody in our pid namespace. */
void region_lock_name(int fd, short type);
int32_t region_lock_namer(int fd);

/* Before a lock is tried again; 0 at first. */
void region_pause(long *pause_ns);

/* How long anybody waits for a holder who needs microseconds: REGION_WAIT_NS,
 * since it may be stopped. Where it is given no processor, on a host with
 * hundreds of others that want one, giving up would be wrong: it is waited for
 * as long as it could go on and does not run, up to thirty seconds. */
struct region_patience {
    uint64_t deadline_ns, latest_ns;
    int32_t holder;
    uint64_t holder_ran_ns;
};
struct region_patience region_patience(void);

/* Asked again and again. holder: its pid, maybe this process's own, when
 * another thread of it has what is waited for; 0 = cannot be told. Another one
 * than before has its own second. Once it is over the lock is tried once more:
 * who asks may have been given no processor either. */
bool region_patience_over(struct region_patience *p, int32_t holder);

/* True when another open file description holds a lock on any of n bytes, or
 * when it cannot be told: nobody is declared dead for want of an answer. */
bool region_lock_held(int fd, off_t byte, off_t n);

/* The same for the LIFE locks of all slots: is anybody attached? Who frees the
 * overflow slot and has its lock alone is not. */
bool region_lock_attached(int fd);

uint64_t region_now_ns(void); /* CLOCK_MONOTONIC */

int region_stat(int fd, struct stat *ret);

#endif
