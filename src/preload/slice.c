/* SPDX-License-Identifier: Apache-2.0
 *
 * Attaching to the slice, its limits and its devices.
 *
 * Invariants:
 *   1. state becomes SLICE_ON last: who reads SLICE_ON with acquire sees the
 *      region, the slot and the devices.
 *   2. The lock is held over file access and the region's own bounded waits,
 *      never over a driver call; it is made new in the child of a fork.
 *   3. Nothing here ends the program. A region that cannot be used is replaced
 *      by a private one with the same limits; a grant that cannot be read means
 *      that nothing may be taken.
 *   4. errno is what it was.
 */
#include "preload/slice.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <unistd.h>

#include "preload/config.h"
#include "preload/ctx.h"
#include "preload/devices.h"
#include "preload/grant_map.h"
#include "preload/hook.h"
#include "preload/identity.h"
#include "preload/lane_layout.h"
#include "preload/life.h"
#include "preload/log.h"
#include "preload/real.h"
#include "preload/visible.h"
#include "region/extension.h"
#include "region/layout.h"

struct slice slice;

static const int32_t gate_unknown[GATE_SUSPENDED_AT / 4 + 1] = {-1};
_Static_assert(offsetof(struct region_base, recent_kernel) + GATE_SUSPENDED_AT ==
                   REGION_EXT_OFFSET + offsetof(struct region_ext, suspended),
               "one word is found from the other");
const volatile int32_t *_Atomic slice_gate_words = gate_unknown;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct config config;
static struct grant grant;          /* as attached; only read while state is SLICE_ON */
static _Atomic uint64_t grant_seen; /* the epoch bytes the limits are of */

static struct devices_ordinals ordinals;
static _Atomic int8_t ordinal_index[DEVICES_ORDINALS]; /* region index + 1; 0 = not ours */
static _Atomic uint32_t n_ordinals;

/* ---- limits ------------------------------------------------------------ */

/* Takes the figures of a grant. Devices keep the index they were attached with:
 * each is found by its UUID. */
static void take_grant(const struct grant *from)
{
    slice.policy = from->policy;
    slice.priority = from->priority;
    slice.oversubscribe = from->oversubscribe;
    for (uint32_t i = 0; i < from->n_devices; i++) {
        const struct grant_device *device = &from->devices[i];
        int d = slice_device_of_uuid(device->uuid);
        if (d < 0 || d == slice.denied) {
            log_error("grant names device %s anew; restart the program to use it", device->uuid);
            continue;
        }
        atomic_store_explicit(&slice.grant_mem[d], device->mem_bytes, memory_order_relaxed);
        atomic_store_explicit(&slice.grant_cores[d], device->cores_pct >= 100 ? 0 : device->cores_pct,
                              memory_order_relaxed);
        memcpy(slice.board[d], device->board, sizeof slice.board[d]);
    }
}

/* The host changed the grant. One thread reads, the others go on with the
 * limits they have. A grant that became unreadable changes nothing. */
static void reread_grant(uint64_t epoch)
{
    static struct grant fresh; /* too large for the stack of an application's thread */
    int saved = errno;
    if (pthread_mutex_trylock(&lock) != 0)
        return;
    if (atomic_load_explicit(&grant_seen, memory_order_relaxed) != epoch) {
        int result = grant_map_read(&fresh, &epoch);
        if (result == 0)
            take_grant(&fresh);
        if (result != -1)
            atomic_store_explicit(&grant_seen, epoch, memory_order_relaxed);
    }
    pthread_mutex_unlock(&lock);
    errno = saved;
}

static inline bool grant_changed(uint64_t *ret_epoch)
{
    *ret_epoch = *slice.grant_epoch;
    return unlikely(*ret_epoch != atomic_load_explicit(&grant_seen, memory_order_relaxed));
}

/* Apart, so that the common case saves no registers. */
static uint64_t __attribute__((noinline, cold)) mem_limit_anew(unsigned d, uint64_t epoch)
{
    reread_grant(epoch);
    return atomic_load_explicit(&slice.grant_mem[d], memory_order_relaxed);
}

uint64_t slice_mem_limit(unsigned d)
{
    if (unlikely(d >= REGION_DEVICES || !slice.region.base))
        return 0;
    if (unlikely((int)d == slice.denied))
        return 1;
    if (!slice.has_grant)
        return __atomic_load_n(&slice.region.base->limit[d], __ATOMIC_RELAXED);
    uint64_t epoch;
    if (grant_changed(&epoch))
        return mem_limit_anew(d, epoch);
    return atomic_load_explicit(&slice.grant_mem[d], memory_order_relaxed);
}

uint32_t slice_cores_limit(unsigned d)
{
    if (unlikely(d >= REGION_DEVICES || !slice.region.base))
        return 0;
    if (slice.has_grant) {
        uint64_t epoch;
        if (grant_changed(&epoch))
            reread_grant(epoch);
        return atomic_load_explicit(&slice.grant_cores[d], memory_order_relaxed);
    }
    uint64_t percent = __atomic_load_n(&slice.region.base->sm_limit[d], __ATOMIC_RELAXED);
    return percent < 100 ? (uint32_t)percent : 0;
}

/* ---- devices ----------------------------------------------------------- */

static bool is_uuid_of_region(unsigned d, const char *uuid)
{
    char copy[REGION_UUID_BYTES];
    memcpy(copy, slice.region.base->uuids[d], sizeof copy); /* shared memory: copied, then bounded */
    copy[sizeof copy - 1] = '\0';
    return devices_same(copy, uuid);
}

/* With a grant its own list counts, which the workload cannot write. */
int slice_device_of_uuid(const char *uuid)
{
    if (!slice.region.base)
        return -1;
    for (unsigned d = 0; d < slice.n_devices; d++)
        if (slice.has_grant ? devices_same(grant.devices[d].uuid, uuid) : is_uuid_of_region(d, uuid))
            return (int)d;
    return -1;
}

/* A card that nobody listed: with a grant it is out of bounds, without one the
 * region learns it. */
static int device_unlisted(const char *uuid)
{
    if (slice.has_grant)
        return slice.denied;
    struct region_base *base = slice.region.base;
    uint64_t n = base ? __atomic_load_n(&base->device_num, __ATOMIC_RELAXED) : REGION_DEVICES;
    if (n >= REGION_DEVICES ||
        !__atomic_compare_exchange_n(&base->device_num, &n, n + 1, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
        return -1;
    strncpy(base->uuids[n], uuid, REGION_UUID_BYTES - 1);
    slice.n_devices = (uint32_t)n + 1;
    return (int)n;
}

static void map_ordinals_locked(void)
{
    for (uint32_t i = 0; i < ordinals.n; i++) {
        int d = slice_device_of_uuid(ordinals.of[i].uuid);
        if (d < 0)
            d = slice_device_of_uuid(ordinals.of[i].card);
        if (d < 0)
            d = device_unlisted(ordinals.of[i].uuid);
        atomic_store_explicit(&ordinal_index[i], (int8_t)(d + 1), memory_order_relaxed);
    }
    atomic_store_explicit(&n_ordinals, ordinals.n, memory_order_release);
}

void slice_map_ordinals(void)
{
    struct devices_ordinals fresh;
    int saved = errno;
    if (atomic_load(&slice.state) == SLICE_ON && devices_of_cuda(&fresh)) {
        pthread_mutex_lock(&lock);
        devices_ordinals_copy(&ordinals, &fresh);
        map_ordinals_locked();
        pthread_mutex_unlock(&lock);
    }
    errno = saved;
}

int slice_device_of(CUdevice ordinal)
{
    if (ordinal < 0 || (uint32_t)ordinal >= atomic_load_explicit(&n_ordinals, memory_order_acquire))
        return -1;
    return atomic_load_explicit(&ordinal_index[ordinal], memory_order_relaxed) - 1;
}

int slice_device_current(void)
{
    return ctx_here()->device;
}

/* ---- attaching --------------------------------------------------------- */

static enum slice_state publish(enum slice_state state)
{
    atomic_store_explicit(&slice.state, state, memory_order_release);
    return state;
}

static void limits_of_grant(struct region_limits *limits)
{
    limits->n_devices = grant.n_devices;
    for (uint32_t d = 0; d < grant.n_devices; d++) {
        memcpy(limits->uuids[d], grant.devices[d].uuid, sizeof limits->uuids[d]);
        limits->mem_bytes[d] = grant.devices[d].mem_bytes;
        limits->cores_pct[d] = grant.devices[d].cores_pct;
    }
    limits->priority = grant.priority;
    limits->source = REGION_SOURCE_HOST;
}

static void limits_of_config(struct region_limits *limits, const struct devices_list *machine)
{
    config_read(&config);
    limits->n_devices = machine->n;
    memcpy(limits->uuids, machine->uuids, sizeof limits->uuids);
    memcpy(limits->mem_bytes, config.mem_bytes, sizeof limits->mem_bytes);
    memcpy(limits->cores_pct, config.cores_pct, sizeof limits->cores_pct);
    limits->priority = config.priority;
    limits->source = config.source;
    slice.policy = config.policy;
    slice.priority = config.priority;
    slice.oversubscribe = config.oversubscribe;
}

/* Opens and joins; nothing is left behind on failure. */
static int join_region(const char *path, const struct region_limits *limits)
{
    int result = path ? region_open(&slice.region, path, limits) : region_open_private(&slice.region, limits);
    if (result < 0)
        return result;
    result = region_slot_claim(&slice.region);
    if (result < 0)
        region_close(&slice.region);
    else
        slice.slot = result;
    return result < 0 ? result : 0;
}

static bool open_region(const char *path, const struct region_limits *limits)
{
    int result = join_region(path, limits);
    if (result < 0) {
        log_error(
            "region %s cannot be used: %s; limits hold for this process alone (is its directory writable?)",
            path, strerror(-result));
        result = join_region(NULL, limits);
    }
    if (result < 0)
        log_error("no memory for the slice's account: %s; no device memory will be given", strerror(-result));
    return result == 0;
}

static uint32_t devices_of_region(void)
{
    uint64_t n = __atomic_load_n(&slice.region.base->device_num, __ATOMIC_ACQUIRE);
    return n > REGION_DEVICES ? REGION_DEVICES : (uint32_t)n;
}

static enum slice_state attach_locked(const struct devices_list *machine)
{
    static struct region_limits limits;
    uint64_t epoch = *grant_map_epoch();
    if (slice.has_grant && grant_map(&grant, &epoch) != GRANT_FOUND) /* mapped by slice_check() */
        return publish(SLICE_REFUSED);
    life_empty_in_copies(&slice, sizeof slice);
    memset(&limits, 0, sizeof limits);
    if (slice.has_grant)
        limits_of_grant(&limits);
    else
        limits_of_config(&limits, machine);
    if (!open_region(slice.has_grant ? grant.region : config.cache_path, &limits))
        return publish(SLICE_REFUSED);
    slice.generation = life_attached(&slice.region);
    slice.watched = slice.has_grant || config.cache_named;
    slice.grant_epoch = grant_map_epoch();
    atomic_store_explicit(&grant_seen, epoch, memory_order_relaxed);
    slice.n_devices = slice.has_grant ? grant.n_devices : devices_of_region();
    slice.denied = slice.has_grant && slice.n_devices < REGION_DEVICES ? (int)slice.n_devices : -1;
    if (slice.has_grant)
        take_grant(&grant);
    map_ordinals_locked();
    atomic_store(&slice_gate_words, &slice.region.base->recent_kernel);
    return publish(SLICE_ON);
}

/* Whether there is a grant, and a usable one, is known before the driver is
 * touched. A grant that was repaired counts again from the next cuInit on. A
 * program with more rights than its caller (setuid) heeds the host's grant,
 * which no tenant can write, and nothing else. */
enum slice_state slice_check(void)
{
    enum slice_state state = (enum slice_state)atomic_load_explicit(&slice.state, memory_order_acquire);
    if (state == SLICE_ON || state == SLICE_OFF)
        return state;
    int saved = errno;
    life_begin();
    life_in_child(); /* of a raw clone, which nobody told */
    pthread_mutex_lock(&lock);
    uint64_t epoch;
    state = (enum slice_state)atomic_load(&slice.state);
    if (state != SLICE_ON) {
        enum grant_found found = grant_map(&grant, &epoch);
        bool trusts_nobody = found == GRANT_ABSENT && getauxval(AT_SECURE);
        slice.has_grant = found == GRANT_FOUND;
        state = publish(found == GRANT_BROKEN ? SLICE_REFUSED : trusts_nobody ? SLICE_OFF : SLICE_UNATTACHED);
        atomic_store(&slice.checked, state == SLICE_UNATTACHED);
    }
    pthread_mutex_unlock(&lock);
    errno = saved;
    return state;
}

static enum slice_state attach(bool with_cuda)
{
    enum slice_state state = atomic_exchange(&slice.checked, 0) ? SLICE_UNATTACHED : slice_check();
    if (state != SLICE_UNATTACHED)
        return state;
    int saved = errno;
    struct devices_ordinals cuda;
    cuda.n = 0;
    struct devices_list machine = {0};
    if (with_cuda && !devices_of_cuda(&cuda)) {
        errno = saved;
        return SLICE_OFF; /* the driver is not initialised and will refuse by itself */
    }
    if (!slice.has_grant)
        devices_of_machine(&cuda, !with_cuda, &machine);
    pthread_mutex_lock(&lock);
    state = (enum slice_state)atomic_load(&slice.state);
    if (state == SLICE_UNATTACHED) {
        devices_ordinals_copy(&ordinals, &cuda);
        state = attach_locked(&machine);
    }
    pthread_mutex_unlock(&lock);
    errno = saved;
    return state;
}

enum slice_state slice_attach(void)
{
    enum slice_state state = (enum slice_state)atomic_load_explicit(&slice.state, memory_order_acquire);
    return likely(state != SLICE_UNATTACHED) ? state : attach(true);
}

enum slice_state slice_attach_nvml(void)
{
    enum slice_state state = (enum slice_state)atomic_load_explicit(&slice.state, memory_order_acquire);
    return likely(state != SLICE_UNATTACHED) ? state : attach(false);
}

/* In the child of a fork, before anything else runs there. */
void slice_after_fork(void)
{
    atomic_store(&slice_gate_words, gate_unknown);
    memset(&slice, 0, offsetof(struct slice, end)); /* not the rest of a large page */
    pthread_mutex_init(&lock, NULL);
    atomic_store(&n_ordinals, 0);
    ordinals.n = 0;
}

/* The first effective call of a process. */
HOOK CUresult cuInit(unsigned int flags)
{
    enum slice_state state = slice_check();
    if (unlikely(state == SLICE_REFUSED))
        return CUDA_ERROR_NOT_PERMITTED;
    struct visible visible = {0};
    if (slice.has_grant && state == SLICE_UNATTACHED)
        visible = visible_set(&grant);
    CUresult result = real.cuInit(flags);
    visible_restore(&visible);
    if (result != CUDA_SUCCESS)
        return result;
    state = slice_attach();
    if (unlikely(state == SLICE_REFUSED))
        return CUDA_ERROR_NOT_PERMITTED;
    if (state == SLICE_ON && atomic_load_explicit(&n_ordinals, memory_order_relaxed) == 0)
        slice_map_ordinals();
    if (state == SLICE_ON)
        identity_learn();
    return result;
}
