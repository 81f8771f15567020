/* SPDX-License-Identifier: Apache-2.0
 *
 * The state file: creation, mapping, its lock, process slots and what dead
 * processes leave; see state.h.
 */
#include "state.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define SYSTEM_CONFIG "/etc/hami/sim"

struct sim_state *sim_state;
struct sim_process *sim_self;

static int state_fd = -1; /* never closed: the liveness record locks live on it */
static char state_path[256];
static pthread_mutex_t open_lock = PTHREAD_MUTEX_INITIALIZER;

static uint64_t round_up(uint64_t n, uint64_t to)
{
    return (n + to - 1) / to * to;
}

/* ---- which machine ---- */

static void read_line(FILE *f, char *ret, size_t size)
{
    if (fgets(ret, (int)size, f) == NULL)
        ret[0] = '\0';
    ret[strcspn(ret, "\r\n")] = '\0';
}

static int chosen_machine(char *profile, char *path, size_t size, char *err, size_t err_size)
{
    const char *p = getenv("HAMI_SIM"), *s = getenv("HAMI_SIM_STATE");
    profile[0] = path[0] = '\0';
    FILE *f = p == NULL || p[0] == '\0' ? fopen(SYSTEM_CONFIG, "re") : NULL;
    if (f != NULL) {
        read_line(f, profile, size);
        read_line(f, path, size);
        fclose(f);
        p = NULL;
    }
    if (p != NULL && p[0] != '\0')
        snprintf(profile, size, "%s", p);
    if (s != NULL && s[0] != '\0' && f == NULL)
        snprintf(path, size, "%s", s);
    if (profile[0] == '\0') {
        snprintf(err, err_size,
                 "no machine is chosen: set HAMI_SIM to a profile (t4, 2xa100-40g, ...) or a profile file");
        return -1;
    }
    if (path[0] == '\0') {
        const char *base = strrchr(profile, '/');
        snprintf(path, size, "/dev/shm/hami-sim-%u-%s", (unsigned)geteuid(),
                 base != NULL ? base + 1 : profile);
    }
    return 0;
}

/* Tells profiles apart without reading them: a name, or path, size and time. */
static void profile_key(const char *profile, char *ret, size_t size)
{
    struct stat st;
    if (strchr(profile, '/') != NULL && stat(profile, &st) == 0)
        snprintf(ret, size, "%.100s %lld %lld.%09ld", profile, (long long)st.st_size,
                 (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
    else
        snprintf(ret, size, "%.150s", profile);
}

/* ---- creation ---- */

static uint64_t pow2_at_most(uint64_t n)
{
    uint64_t p = 1;
    while (p * 2 <= n)
        p *= 2;
    return p;
}

static uint32_t parts_of(const struct sim_device_profile *d)
{
    return d->mig_enabled && d->n_mig > 0 ? d->n_mig : 1;
}

/* Offsets of logs and queues behind the fixed part; returns the file's size. */
static uint64_t lay_out(struct sim_state *s, const struct sim_profile *profile)
{
    uint64_t at = round_up(sizeof(struct sim_state), 4096);
    uint64_t each = pow2_at_most(SIM_LOG_TOTAL / (profile->n_devices > 0 ? profile->n_devices : 1));
    uint32_t queues = 0;
    for (uint32_t i = 0; i < profile->n_devices; i++) {
        struct sim_device_state *d = &s->devices[i];
        d->log.size = each;
        d->log.offset = at;
        at = round_up(at + each * sizeof(struct sim_interval), 4096);
        d->first_queue = queues;
        d->n_queues = parts_of(&profile->devices[i]) * 2;
        queues += d->n_queues;
    }
    s->n_queues = queues;
    s->queues_offset = at;
    return at + round_up((uint64_t)queues * sizeof(struct sim_queue), 4096);
}

static void init_lock(pthread_mutex_t *lock)
{
    pthread_mutexattr_t a;
    pthread_mutexattr_init(&a);
    pthread_mutexattr_setpshared(&a, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&a, PTHREAD_MUTEX_ROBUST);
    pthread_mutex_init(lock, &a);
    pthread_mutexattr_destroy(&a);
}

static void init_queues(struct sim_state *s)
{
    for (uint32_t d = 0; d < s->profile.n_devices; d++) {
        bool mig = s->profile.devices[d].mig_enabled && s->profile.devices[d].n_mig > 0;
        for (uint32_t i = 0; i < s->devices[d].n_queues; i++) {
            struct sim_queue *q =
                (struct sim_queue *)(void *)((char *)s + s->queues_offset) + s->devices[d].first_queue + i;
            q->device = d;
            q->part = mig ? 1 + i / 2 : 0;
            q->engine = i % 2;
            if (q->engine == 0)
                sim_queue_init(q, (uint32_t)s->profile.schedule,
                               s->profile.schedule == SIM_SPATIAL ? s->profile.engines : 1,
                               s->profile.quantum_ns);
            else
                sim_queue_init(q, SIM_FIFO, 1, 0);
        }
    }
}

/* The creation lock (flock) is held. */
static int create(int fd, const char *profile_name, const char *key, char *err, size_t err_size)
{
    struct sim_profile *profile = calloc(1, sizeof(*profile));
    struct sim_state *plan = calloc(1, sizeof(*plan));
    int r = -1;
    if (profile == NULL || plan == NULL) {
        snprintf(err, err_size, "out of memory");
        goto out;
    }
    if (sim_profile_load(profile_name, profile, err, err_size) != 0)
        goto out;
    uint64_t size = lay_out(plan, profile);
    struct statvfs fs;
    if (fstatvfs(fd, &fs) == 0 && (uint64_t)fs.f_bavail * fs.f_frsize < size) {
        snprintf(err, err_size, "%s: %llu MiB free are too few, a machine needs %llu MiB: set HAMI_SIM_STATE",
                 state_path, (unsigned long long)(fs.f_bavail * fs.f_frsize >> 20),
                 (unsigned long long)(size >> 20) + 1);
        goto out;
    }
    if (ftruncate(fd, 0) != 0 || ftruncate(fd, (off_t)size) != 0) {
        snprintf(err, err_size, "%s: cannot size the state file: %s", state_path, strerror(errno));
        goto out;
    }
    struct sim_state *s = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (s == MAP_FAILED) {
        snprintf(err, err_size, "%s: cannot map the state file: %s", state_path, strerror(errno));
        goto out;
    }
    lay_out(s, profile);
    s->magic = SIM_MAGIC;
    s->version = SIM_STATE_VERSION;
    s->layout = SIM_LAYOUT;
    s->size = size;
    snprintf(s->key, sizeof(s->key), "%s", key);
    s->profile = *profile;
    init_lock(&s->lock);
    init_queues(s);
    s->virtual_ns = 1000000000; /* zero means "none" in many fields */
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    s->boot_ns = (uint64_t)now.tv_sec * 1000000000ULL + (uint64_t)now.tv_nsec;
    atomic_store_explicit(&s->ready, 1, memory_order_release);
    munmap(s, size);
    r = 0;
out:
    free(profile);
    free(plan);
    return r;
}

/* ---- opening ---- */

static struct sim_state *map_existing(int fd, char *err, size_t err_size)
{
    struct stat st;
    if (fstat(fd, &st) != 0 || (uint64_t)st.st_size < sizeof(struct sim_state)) {
        snprintf(err, err_size, "%s: not a state file (too short): remove it", state_path);
        return NULL;
    }
    struct sim_state *s = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (s == MAP_FAILED) {
        snprintf(err, err_size, "%s: cannot map the state file: %s", state_path, strerror(errno));
        return NULL;
    }
    if (s->magic != SIM_MAGIC || s->version != SIM_STATE_VERSION || s->layout != SIM_LAYOUT ||
        s->size != (uint64_t)st.st_size || atomic_load_explicit(&s->ready, memory_order_acquire) != 1) {
        snprintf(err, err_size, "%s: not a state file of this version: remove it", state_path);
        munmap(s, (size_t)st.st_size);
        return NULL;
    }
    return s;
}

/* Whoever is attached holds a record lock on the file, whatever its layout. */
static bool anybody_attached(int fd)
{
    struct flock l = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    return fcntl(fd, F_GETLK, &l) != 0 || l.l_type != F_UNLCK;
}

enum verdict { USE, MAKE, REPLACE, REFUSE };

/* Creation lock held: what to do with the file that is there. */
static enum verdict examine(int fd, const char *key, struct sim_state **ret, char *err, size_t err_size)
{
    struct stat st;
    if (fstat(fd, &st) != 0 || st.st_size == 0)
        return MAKE;
    uint64_t magic = 0;
    if (pread(fd, &magic, sizeof(magic), 0) != (ssize_t)sizeof(magic) || magic != SIM_MAGIC) {
        snprintf(err, err_size, "%s: exists and is not a state file: set HAMI_SIM_STATE to another path",
                 state_path);
        return REFUSE; /* whatever it is, it is not ours to replace */
    }
    struct sim_state *s = map_existing(fd, err, err_size);
    if (s != NULL && strcmp(s->key, key) == 0) {
        *ret = s;
        return USE;
    }
    if (s != NULL) {
        snprintf(err, err_size, "%s: in use by another machine (%.100s): set HAMI_SIM_STATE", state_path,
                 s->key);
        munmap(s, s->size);
    }
    return anybody_attached(fd) ? REFUSE : REPLACE;
}

/* Opens the path with its creation lock held, and sees that it is still the
 * file of that name: another process may have replaced it meanwhile. */
static int open_locked(char *err, size_t err_size)
{
    for (;;) {
        struct stat here, there;
        int fd = open(state_path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
        if (fd < 0) {
            snprintf(err, err_size, "%s: cannot open the state file: %s", state_path, strerror(errno));
            return -1;
        }
        while (flock(fd, LOCK_EX) != 0 && errno == EINTR)
            ;
        if (fstat(fd, &here) == 0 && stat(state_path, &there) == 0 && here.st_ino == there.st_ino &&
            here.st_dev == there.st_dev) {
            /* a tenant may be another user than who created the machine */
            if ((here.st_mode & 0777) != 0666 && here.st_uid == geteuid() && fchmod(fd, 0666) != 0)
                err[0] = '\0';
            return fd;
        }
        close(fd);
    }
}

/* A stale file is replaced, not rewritten: who only looks may have it mapped. */
static int open_machine(char *err, size_t err_size)
{
    char profile[256], key[160];
    if (chosen_machine(profile, state_path, sizeof(state_path), err, err_size) != 0)
        return -1;
    profile_key(profile, key, sizeof(key));
    struct sim_state *s = NULL;
    int fd;
    enum verdict v;
    do {
        fd = open_locked(err, err_size);
        if (fd < 0)
            return -1;
        v = examine(fd, key, &s, err, err_size);
        if (v == REPLACE && unlink(state_path) == 0)
            close(fd);
        else if (v == REPLACE)
            v = REFUSE;
    } while (v == REPLACE);
    struct stat st;
    if (v == MAKE && create(fd, profile, key, err, err_size) == 0)
        s = map_existing(fd, err, err_size);
    else if (v == MAKE && fstat(fd, &st) == 0 && st.st_size == 0)
        unlink(state_path); /* no empty file stays behind a name that is no profile */
    flock(fd, LOCK_UN);
    if (s == NULL) {
        close(fd);
        return -1;
    }
    state_fd = fd;
    sim_state = s;
    return 0;
}

int sim_state_open(char *err, size_t err_size)
{
    pthread_mutex_lock(&open_lock);
    int r = sim_state != NULL ? 0 : open_machine(err, err_size);
    pthread_mutex_unlock(&open_lock);
    return r;
}

int sim_state_open_path(const char *path, char *err, size_t err_size)
{
    pthread_mutex_lock(&open_lock);
    int r = 0;
    if (sim_state == NULL) {
        snprintf(state_path, sizeof(state_path), "%s", path);
        int fd = open(path, O_RDWR | O_CLOEXEC);
        struct sim_state *s = NULL;
        if (fd < 0)
            snprintf(err, err_size, "%s: cannot open the state file: %s", path, strerror(errno));
        else
            s = map_existing(fd, err, err_size);
        if (s == NULL && fd >= 0)
            close(fd);
        if (s != NULL) {
            state_fd = fd;
            sim_state = s;
        }
        r = s != NULL ? 0 : -1;
    }
    pthread_mutex_unlock(&open_lock);
    return r;
}

void sim_state_path(char *ret, size_t size)
{
    snprintf(ret, size, "%s", sim_state != NULL ? state_path : "");
}

/* ---- the lock ---- */

static void repair(void)
{
    for (uint32_t d = 0; d < sim_state->profile.n_devices; d++)
        memset(sim_state->devices[d].mem_used, 0, sizeof(sim_state->devices[d].mem_used));
    for (uint32_t i = 0; i < sim_state->n_processes && i < SIM_PROCESSES; i++) {
        const struct sim_process *p = &sim_state->processes[i];
        for (uint32_t d = 0; p->used != 0 && d < sim_state->profile.n_devices; d++)
            sim_state->devices[d].mem_used[p->part[d] % SIM_PARTS] += p->mem_bytes[d];
    }
    for (uint32_t i = 0; i < sim_state->n_queues; i++)
        sim_queue_repair(sim_queue_at(i));
}

static bool kernel_frees_locks(void)
{
    static _Atomic int known; /* 1: yes, 2: no */
    void *list;
    size_t len;
    if (atomic_load(&known) == 0)
        atomic_store(&known, syscall(SYS_get_robust_list, 0, &list, &len) == 0 ? 1 : 2);
    return atomic_load(&known) == 1;
}

/* qemu-user, which runs programs of another processor, keeps no lists of robust locks: who ends within the
 * lock, be it that the process ends while another thread of it is in there, leaves it held. What the kernel
 * does at a thread's end is done here by whoever has waited for a thread that is gone. It has to be of our
 * own PID namespace. */
static int lock_of_an_emulator(pthread_mutex_t *lock)
{
    _Atomic int *word = (_Atomic int *)&lock->__data.__lock;
    for (;;) {
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += 200000000;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        int r = pthread_mutex_timedlock(lock, &until), held = atomic_load(word),
            owner = held & FUTEX_TID_MASK;
        if (r != ETIMEDOUT)
            return r;
        if (owner != 0 && syscall(SYS_tkill, owner, 0) != 0 && errno == ESRCH)
            atomic_compare_exchange_strong(word, &held, (int)(FUTEX_WAITERS | FUTEX_OWNER_DIED));
    }
}

void sim_lock(void)
{
    pthread_mutex_t *lock = &sim_state->lock;
    if ((kernel_frees_locks() ? pthread_mutex_lock(lock) : lock_of_an_emulator(lock)) == EOWNERDEAD) {
        repair();
        pthread_mutex_consistent(lock);
    }
}

void sim_unlock(void)
{
    pthread_mutex_unlock(&sim_state->lock);
}

/* ---- processes ---- */

static uint64_t start_time_of(int pid)
{
    char path[48], text[1024];
    snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    ssize_t n = read(fd, text, sizeof(text) - 1);
    close(fd);
    if (n <= 0)
        return 0;
    text[n] = '\0';
    const char *p = strrchr(text, ')'); /* the name may hold blanks */
    if (p == NULL || p[1] == '\0' || p[2] == 'Z' || p[2] == 'X')
        return 0;
    for (int field = 2; field < 22; field++) {
        p = strchr(p + 1, ' ');
        if (p == NULL)
            return 0;
    }
    return strtoull(p + 1, NULL, 10);
}

static uint64_t pid_namespace(void)
{
    static _Atomic uint64_t known; /* a process cannot change its own */
    struct stat st;
    if (known == 0 && stat("/proc/self/ns/pid", &st) == 0)
        known = (uint64_t)st.st_ino;
    return known;
}

/* A record lock on the slot's own byte beyond the data tells other pid
 * namespaces that the process lives, and which pid it has there. */
static struct flock slot_lock(const struct sim_process *p, short type)
{
    return (struct flock){.l_type = type,
                          .l_whence = SEEK_SET,
                          .l_start = (off_t)sim_state->size + (p - sim_state->processes),
                          .l_len = 1};
}

/* The record lock goes with the process, even while it is a zombie, and is one
 * system call to ask for. A process loses it early when it closes a descriptor
 * of the state file (daemons close all they have), so no lock is only a reason
 * to look closer. */
bool sim_process_alive(const struct sim_process *p)
{
    struct flock l = slot_lock(p, F_WRLCK);
    if (fcntl(state_fd, F_GETLK, &l) != 0 || l.l_type != F_UNLCK)
        return true;
    if (p->pid_namespace != pid_namespace())
        return false;
    return (kill(p->pid, 0) == 0 || errno == EPERM) && start_time_of(p->pid) == p->start_time;
}

int sim_process_visible_pid(const struct sim_process *p)
{
    if (p->pid_namespace == pid_namespace())
        return p->pid;
    struct flock l = slot_lock(p, F_WRLCK);
    if (fcntl(state_fd, F_GETLK, &l) != 0 || l.l_type == F_UNLCK || l.l_pid <= 0)
        return 0;
    return l.l_pid;
}

void sim_own_cgroup(char *ret, size_t size)
{
    char line[512];
    FILE *f = fopen("/proc/self/cgroup", "re");
    snprintf(ret, size, "/");
    while (f != NULL && fgets(line, sizeof(line), f) != NULL)
        if (strncmp(line, "0::", 3) == 0)
            snprintf(ret, size, "%.*s", (int)strcspn(line + 3, "\n"), line + 3);
    if (f != NULL)
        fclose(f);
}

static uint32_t intern_cgroup(void)
{
    char text[256];
    sim_own_cgroup(text, sizeof(text));
    for (uint32_t i = 0; i < sim_state->n_cgroups; i++)
        if (strcmp(sim_state->cgroups[i], text) == 0)
            return i;
    uint32_t i = sim_state->n_cgroups < SIM_CGROUPS ? sim_state->n_cgroups++ : SIM_CGROUPS - 1;
    snprintf(sim_state->cgroups[i], sizeof(sim_state->cgroups[i]), "%.255s", text);
    return i;
}

static void on_interval(void *arg, const struct sim_queue *q, const struct sim_entry *e, uint64_t start,
                        uint64_t end)
{
    (void)arg;
    struct sim_process *p = &sim_state->processes[e->process];
    struct sim_device_state *d = &sim_state->devices[q->device];
    if (q->engine == 0) {
        p->busy_ns[q->device] += end - start;
        d->busy_ns[q->part] += end - start;
    }
    if (!sim_state->profile.interval_log)
        return;
    uint64_t n = atomic_load_explicit(&d->log.next, memory_order_relaxed);
    *sim_log_at(&d->log, n) =
        (struct sim_interval){start, end, p->pid, (uint16_t)p->cgroup, (uint8_t)q->part, (uint8_t)q->engine};
    atomic_store_explicit(&d->log.next, n + 1, memory_order_release);
}

struct sim_interval *sim_log_at(const struct sim_log *log, uint64_t number)
{
    return (struct sim_interval *)(void *)((char *)sim_state + log->offset) + (number & (log->size - 1));
}

struct sim_queue *sim_queue_at(uint32_t number)
{
    return (struct sim_queue *)(void *)((char *)sim_state + sim_state->queues_offset) + number;
}

uint32_t sim_queue_number(unsigned device, unsigned part, unsigned engine)
{
    return sim_state->devices[device].first_queue + (part > 0 ? part - 1 : 0) * 2 + engine;
}

void sim_run_device(unsigned device, uint64_t now)
{
    const struct sim_device_state *d = &sim_state->devices[device];
    for (uint32_t i = 0; i < d->n_queues; i++)
        sim_queue_run(sim_queue_at(d->first_queue + i), now, on_interval, NULL);
}

void sim_run_queue(uint32_t number, uint64_t now)
{
    sim_queue_run(sim_queue_at(number), now, on_interval, NULL);
}

static uint64_t end_of(void *arg, sim_ref ref)
{
    (void)arg;
    uint32_t queue = (uint32_t)(ref >> 48);
    return queue < sim_state->n_queues ? sim_queue_end(sim_queue_at(queue), ref & 0xffffffffffffULL) : 0;
}

void sim_replan_all(uint64_t now)
{
    for (int round = 0; round < 2; round++) /* twice: queues depend on one another */
        for (uint32_t i = 0; i < sim_state->n_queues; i++)
            sim_queue_replan(sim_queue_at(i), now, end_of, NULL);
}

static void free_slot(struct sim_process *p, uint64_t now)
{
    uint16_t slot = (uint16_t)(p - sim_state->processes);
    for (uint32_t i = 0; i < sim_state->n_queues; i++)
        sim_queue_drop(sim_queue_at(i), slot, now, on_interval, NULL);
    for (uint32_t d = 0; d < sim_state->profile.n_devices; d++) {
        sim_state->devices[d].mem_used[p->part[d] % SIM_PARTS] -= p->mem_bytes[d];
        p->mem_bytes[d] = 0;
        p->contexts[d] = 0;
    }
    p->wait_until_ns = 0;
    atomic_store(&p->used, 0);
}

bool sim_reap(uint64_t every_ns)
{
    uint64_t now = sim_now();
    if (now - sim_state->reaped_ns < every_ns * (1 + sim_state->n_processes / 32)) /* many cost more to ask */
        return false;
    sim_state->reaped_ns = now;
    bool freed = false;
    for (uint32_t i = 0; i < sim_state->n_processes; i++) {
        struct sim_process *p = &sim_state->processes[i];
        if (p->used == 0 || p == sim_self || sim_process_alive(p))
            continue;
        free_slot(p, now);
        freed = true;
    }
    if (freed)
        sim_replan_all(now);
    return freed;
}

struct sim_process *sim_process_attach(void)
{
    struct sim_process *found = NULL;
    sim_lock();
    for (int attempt = 0; attempt < 2 && found == NULL; attempt++) {
        sim_reap(attempt == 0 ? 10000000 : 0);
        for (uint32_t i = 0; i < SIM_PROCESSES && found == NULL; i++)
            if (sim_state->processes[i].used == 0)
                found = &sim_state->processes[i];
    }
    if (found != NULL) {
        uint32_t generation = found->generation + 1;
        memset(found, 0, sizeof(*found));
        found->generation = generation;
        found->pid = getpid();
        found->pid_namespace = pid_namespace();
        found->start_time = start_time_of(found->pid);
        found->cgroup = intern_cgroup();
        found->attached_ns = sim_now();
        struct flock l = slot_lock(found, F_WRLCK);
        (void)fcntl(state_fd, F_SETLK, &l);
        uint32_t slot = (uint32_t)(found - sim_state->processes);
        if (slot + 1 > sim_state->n_processes)
            sim_state->n_processes = slot + 1;
        atomic_store(&found->used, 1);
        sim_self = found;
    }
    sim_unlock();
    return found;
}

uint64_t sim_part_bytes(unsigned device, unsigned part)
{
    const struct sim_device_profile *d = &sim_state->profile.devices[device];
    return part > 0 && part <= d->n_mig ? d->mig[part - 1].mem_bytes : d->mem_bytes;
}
