/* SPDX-License-Identifier: Apache-2.0
 *
 * See mem_bytes.h. The bank and the list of lingering bytes have one lock,
 * taken last of all and held for bookkeeping and at most one system call.
 */
#include "mem_bytes.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define BANK_SPAN (1ULL << 40)

struct lingering {
    struct lingering *next;
    struct sim_bytes *bytes;
    unsigned machine;
    uint64_t taken;
};

static pthread_mutex_t bank_lock = PTHREAD_MUTEX_INITIALIZER;
static struct sim_space bank;
static struct sim_region *bank_region;
static int bank_fd = -1;
static struct lingering *lingering;

static int new_file(const char *name, uint64_t size)
{
    int fd = memfd_create(name, MFD_CLOEXEC);
    if (fd >= 0 && ftruncate(fd, (off_t)size) != 0) {
        close(fd);
        fd = -1;
    }
    return fd;
}

/* ---- the bank; bank_lock held ---- */

static bool bank_open(void)
{
    if (bank_fd >= 0)
        return true;
    int fd = new_file("hami-sim-bank", BANK_SPAN);
    if (fd < 0)
        return false;
    sim_space_init(&bank, SIM_CHUNK_SHIFT);
    bank_region = sim_region_new(0, BANK_SPAN, SIM_CHUNK_SHIFT);
    if (!bank_region || !sim_space_add(&bank, bank_region)) {
        close(fd);
        return false;
    }
    bank_fd = fd;
    return true;
}

static struct sim_block *bank_take(uint64_t size)
{
    pthread_mutex_lock(&bank_lock);
    struct sim_block *b = bank_open() ? sim_space_take(&bank, size, SIM_CHUNK) : NULL;
    pthread_mutex_unlock(&bank_lock);
    return b;
}

static void bank_put(struct sim_block *b, bool mapped)
{
    pthread_mutex_lock(&bank_lock);
    if (mapped)
        fallocate(bank_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)b->base, (off_t)b->span);
    sim_space_put(&bank, b);
    pthread_mutex_unlock(&bank_lock);
}

struct sim_bytes *sim_bytes_new(uint64_t size, bool real)
{
    struct sim_bytes *bytes = calloc(1, sizeof *bytes);
    if (!bytes)
        return NULL;
    *bytes = (struct sim_bytes){.size = size, .real = real, .fd = -1, .holder = -1};
    if (!real)
        return bytes;
    bytes->bank = bank_take(size);
    if (bytes->bank)
        return bytes;
    free(bytes);
    return NULL;
}

/* ---- mapping ---- */

bool sim_bytes_map(struct sim_bytes *bytes, uint64_t offset, uint64_t address, uint64_t length)
{
    if (!bytes->real)
        return true;
    bytes->mapped = true;
    int fd = bytes->fd >= 0 ? bytes->fd : bank_fd;
    uint64_t at = offset + (bytes->fd >= 0 ? 0 : bytes->bank->base);
    void *p = mmap((void *)(uintptr_t)address, length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd,
                   (off_t)at);
    return p != MAP_FAILED;
}

void sim_bytes_unmap(uint64_t address, uint64_t length, bool usable)
{
    (void)mmap((void *)(uintptr_t)address, length, usable ? PROT_READ | PROT_WRITE : PROT_NONE,
               MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
}

/* ---- sharing ---- */

/* Copies `size` bytes from an address, or from the bank, into a file; holes
 * stay holes. */
static bool fill(int fd, const struct sim_bytes *bytes, uint64_t from)
{
    char *source = (char *)(uintptr_t)from;
    if (!from) {
        source = mmap(NULL, bytes->size, PROT_READ, MAP_SHARED, bank_fd, (off_t)bytes->bank->base);
        if (source == MAP_FAILED)
            return false;
    }
    static const char zero[SIM_SHARE_PAGE];
    bool ok = true;
    for (uint64_t at = 0; at < bytes->size && ok; at += SIM_SHARE_PAGE) {
        if (memcmp(source + at, zero, SIM_SHARE_PAGE) != 0)
            ok = pwrite(fd, source + at, SIM_SHARE_PAGE, (off_t)at) == (ssize_t)SIM_SHARE_PAGE;
    }
    if (!from)
        munmap(source, bytes->size);
    return ok;
}

bool sim_bytes_share(struct sim_bytes *bytes, const struct sim_share *what, uint64_t from)
{
    if (bytes->fd >= 0)
        return true;
    uint64_t body = bytes->real ? bytes->size : 0;
    int fd = new_file("hami-sim-shared", body + SIM_SHARE_PAGE);
    if (fd < 0)
        return false;
    struct sim_share *share = mmap(NULL, SIM_SHARE_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)body);
    if (share == MAP_FAILED || (body && !fill(fd, bytes, from))) {
        if (share != MAP_FAILED)
            munmap(share, SIM_SHARE_PAGE);
        close(fd);
        return false;
    }
    *share = *what;
    share->magic = SIM_SHARE_MAGIC;
    share->size = bytes->size;
    share->real = bytes->real;
    share->owner = (int32_t)getpid();
    if (bytes->bank)
        bank_put(bytes->bank, bytes->mapped);
    bytes->bank = NULL;
    bytes->share = share;
    bytes->fd = fd;
    return true;
}

static int hold(struct sim_share *share)
{
    int32_t pid = (int32_t)getpid();
    for (int i = 0; i < SIM_SHARE_HOLDERS; i++) {
        int32_t was = __atomic_load_n(&share->holders[i], __ATOMIC_RELAXED);
        bool stale = was != 0 && was != pid && kill(was, 0) != 0 && errno == ESRCH;
        if ((was == 0 || stale) && __atomic_compare_exchange_n(&share->holders[i], &was, pid, false,
                                                               __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
            return i;
    }
    return -1; /* more importers than there is room for: it will not linger for this one */
}

struct sim_bytes *sim_bytes_import(int fd, enum sim_share_kind kind)
{
    struct stat st;
    struct sim_share copy;
    if (fd < 0 || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size < (off_t)SIM_SHARE_PAGE)
        return NULL;
    uint64_t body = (uint64_t)st.st_size - SIM_SHARE_PAGE;
    if (pread(fd, &copy, sizeof copy, (off_t)body) != (ssize_t)sizeof copy || copy.magic != SIM_SHARE_MAGIC ||
        copy.kind != (uint32_t)kind || copy.real > 1 || (copy.real && copy.size != body) ||
        (!copy.real && body) || !copy.size || copy.size % SIM_SHARE_PAGE || copy.size > BANK_SPAN)
        return NULL;
    struct sim_bytes *bytes = calloc(1, sizeof *bytes);
    int own = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    void *share = own < 0 ? MAP_FAILED
                          : mmap(NULL, SIM_SHARE_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, own, (off_t)body);
    if (!bytes || share == MAP_FAILED) {
        if (own >= 0)
            close(own);
        free(bytes);
        return NULL;
    }
    *bytes = (struct sim_bytes){
        .size = copy.size, .real = copy.real != 0, .imported = true, .fd = own, .share = share};
    bytes->holder = hold(share);
    return bytes;
}

bool sim_bytes_held(const struct sim_bytes *bytes)
{
    if (!bytes->share)
        return false;
    for (int i = 0; i < SIM_SHARE_HOLDERS; i++) {
        int32_t pid = __atomic_load_n(&bytes->share->holders[i], __ATOMIC_ACQUIRE);
        if (pid > 0 && (kill(pid, 0) == 0 || errno != ESRCH))
            return true;
    }
    return false;
}

void sim_bytes_free(struct sim_bytes *bytes)
{
    if (bytes->bank)
        bank_put(bytes->bank, bytes->mapped);
    if (bytes->share) {
        if (bytes->holder >= 0)
            __atomic_store_n(&bytes->share->holders[bytes->holder], 0, __ATOMIC_RELEASE);
        munmap(bytes->share, SIM_SHARE_PAGE);
    }
    if (bytes->fd >= 0)
        close(bytes->fd);
    free(bytes);
}

/* ---- lingering ---- */

void sim_bytes_linger(struct sim_bytes *bytes, unsigned machine, uint64_t taken)
{
    struct lingering *l = !bytes->imported && sim_bytes_held(bytes) ? malloc(sizeof *l) : NULL;
    if (!l) {
        if (taken)
            sim_memory_give(machine, taken);
        sim_bytes_free(bytes);
        return;
    }
    *l = (struct lingering){.bytes = bytes, .machine = machine, .taken = taken};
    pthread_mutex_lock(&bank_lock);
    l->next = lingering;
    __atomic_store_n(&lingering, l, __ATOMIC_RELAXED);
    pthread_mutex_unlock(&bank_lock);
}

bool sim_bytes_sweep(void)
{
    if (!__atomic_load_n(&lingering, __ATOMIC_RELAXED))
        return false;
    struct lingering *done = NULL;
    pthread_mutex_lock(&bank_lock);
    for (struct lingering **at = &lingering, *l; (l = *at);) {
        if (sim_bytes_held(l->bytes)) {
            at = &l->next;
            continue;
        }
        *at = l->next;
        l->next = done;
        done = l;
    }
    pthread_mutex_unlock(&bank_lock);
    bool any = done != NULL;
    for (struct lingering *l; (l = done);) {
        done = l->next;
        if (l->taken)
            sim_memory_give(l->machine, l->taken);
        sim_bytes_free(l->bytes);
        free(l);
    }
    return any;
}
