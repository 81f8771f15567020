/* SPDX-License-Identifier: Apache-2.0
 *
 * How an operation survives its process. Each device has a word {bytes, tag},
 * the tag naming the slot and the sequence number of the operation that wrote
 * it. Each slot has a journal per device:
 *
 *   1. next = held +- n, then intent = seq      now the operation is announced
 *   2. if the word's tag is another slot's, note in that slot's journal that
 *      its operation was applied (helping)
 *   3. compare and swap the word to {bytes +- n, (slot, seq)}; again from 2
 *      when somebody was faster
 *   4. held = next, then done = seq
 *
 * When a process dies, whoever cleans up asks: is intent != done, and if so
 * was that operation applied? It was if and only if the word still carries its
 * tag or somebody noted it as applied before replacing the tag; 2 comes before
 * 3 in everybody's program, so one of the two is always visible. Then held is
 * exact and is given back by one more operation in the dead slot's name, which
 * may in turn be interrupted and resumed at any instruction.
 *
 * Why 16 bytes: with bytes and tag packed into 8, a sequence number of 7 bits
 * would wrap while a helper sleeps between 2 and 3, and a swap could replace a
 * tag that nobody has noted. With 54 bits it does not wrap in a century of
 * allocations, and cmpxchg16b costs some 2 ns more than cmpxchg.
 *
 * Threads of one process share its slot and exclude each other by the slot's
 * lock word. Nobody else ever waits for it: threads die with their process,
 * and a cleaner ignores the word. Only the overflow slot is shared by several
 * processes; there a waiter takes the word over from a dead holder and settles
 * its operation first. A wait is bounded by one second (a handler interrupted
 * its own thread, a debugger stopped one): a reservation is then refused, and
 * what must be recorded is parked in the journal for the next operation. Where
 * the holder could go on and is given no processor, on a host with hundreds of
 * others that want one, a refusal would be wrong: the wait goes on.
 *
 * The sequence numbers of a slot go on from owner to owner and never restart.
 */
#include "region/ledger.h"

#include <errno.h>
#include <sched.h>
#include <time.h>

#include "region/lock.h"

#define SEQ_BITS 54
#define SEQ_MASK ((UINT64_C(1) << SEQ_BITS) - 1)
#define RECLAIM_EVERY_NS 4000000
#define SEARCH_EVERY_NS 100000000
#define QUERY_EVERY_NS 10000000 /* of those who only ask: a loop of questions must not become a search */
#define relaxed memory_order_relaxed
#define COLD __attribute__((noinline, cold))
#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
#define HOT static inline __attribute__((always_inline))

#if defined(__x86_64__)
/* By hand: compilers want a flag for it, and ThreadSanitizer's stand-in for the
 * builtin is atomic among the threads of one process only. */
static inline bool swap_word(struct region_word *w, uint64_t bytes, uint64_t tag, uint64_t new_bytes,
                             uint64_t new_tag)
{
    bool swapped;
    __asm__ volatile("lock cmpxchg16b %1"
                     : "=@ccz"(swapped), "+m"(*w), "+a"(bytes), "+d"(tag)
                     : "b"(new_bytes), "c"(new_tag)
                     : "memory");
    return swapped;
}
#elif defined(__aarch64__)
__extension__ typedef unsigned __int128 two_words;

static inline bool swap_word(struct region_word *w, uint64_t bytes, uint64_t tag, uint64_t new_bytes,
                             uint64_t new_tag)
{
    two_words from = (two_words)tag << 64 | bytes;
    two_words to = (two_words)new_tag << 64 | new_bytes;
    return __sync_bool_compare_and_swap((two_words *)(void *)w, from, to);
}
#else
#error "the ledger needs a 16-byte compare and swap"
#endif

static inline struct region_journal *journal(const struct region *r, unsigned slot, unsigned d)
{
    return &r->ext->members[slot].journal[d];
}

static inline uint64_t load(_Atomic uint64_t *p)
{
    return atomic_load_explicit(p, relaxed);
}

static inline void store(_Atomic uint64_t *p, uint64_t v)
{
    atomic_store_explicit(p, v, relaxed);
}

COLD static void raise_to(_Atomic uint64_t *p, uint64_t v)
{
    uint64_t old = load(p);
    while (old < v && !atomic_compare_exchange_weak(p, &old, v))
        ;
}

/* Step 2. Noted values only grow, so a helper that slept does no harm. */
COLD static void note_applied(const struct region *r, unsigned d, uint64_t tag)
{
    raise_to(&journal(r, (unsigned)(tag >> SEQ_BITS) % REGION_SLOTS, d)->applied, tag & SEQ_MASK);
}

/* What older programs read. Owner-only writes; they may see it a moment late. */
static inline void publish(const struct region *r, unsigned slot, unsigned d, struct region_journal *j)
{
    struct region_used *used = &r->base->procs[slot].used[d];
    uint64_t held = load(&j->held), other = load(&j->context) + load(&j->module);
    __atomic_store_n(&used->total, held, __ATOMIC_RELAXED);
    __atomic_store_n(&used->data, held > other ? held - other : 0, __ATOMIC_RELAXED);
}

/* Steps 1 to 4 for slot, whose lock the caller holds, once: when somebody was
 * faster, or another slot has to be helped first, nothing is decided yet. */
enum outcome { REFUSED, TAKEN, UNDECIDED };

HOT enum outcome attempt(struct region *r, unsigned slot, unsigned d, uint64_t take, uint64_t give,
                         uint64_t limit, bool has_helped)
{
    struct region_device *device = &r->ext->devices[d];
    struct region_journal *j = journal(r, slot, d);
    uint64_t next = load(&j->held) + take - give;
    uint64_t seq = (load(&j->done) + 1) & SEQ_MASK;
    uint64_t bytes, after, tag;
    store(&j->next, next);
    atomic_store_explicit(&j->intent, seq, memory_order_release);
    tag = atomic_load_explicit(&device->word.tag, memory_order_acquire);
    bytes = atomic_load_explicit(&device->word.bytes, memory_order_acquire);
    if (unlikely(__builtin_add_overflow(bytes, take, &after) || (after > limit && limit && take))) {
        store(&j->intent, load(&j->done));
        return REFUSED;
    }
    after = after > give ? after - give : 0;
    if (unlikely(tag >> SEQ_BITS != slot)) {
        if (!has_helped)
            return UNDECIDED;
        note_applied(r, d, tag);
    }
    if (unlikely(!swap_word(&device->word, bytes, tag, after, (uint64_t)slot << SEQ_BITS | seq)))
        return UNDECIDED;
    store(&j->held, next);
    atomic_store_explicit(&j->done, seq, memory_order_release);
    if (take && unlikely(after > load(&device->peak)))
        raise_to(&device->peak, after);
    publish(r, slot, d, j);
    return TAKEN;
}

/* Announces itself anew each time, in the same words. `give` is at most held. */
static __attribute__((noinline)) bool operate(struct region *r, unsigned slot, unsigned d, uint64_t take,
                                              uint64_t give, uint64_t limit)
{
    enum outcome outcome;
    do
        outcome = attempt(r, slot, d, take, give, limit, true);
    while (outcome == UNDECIDED);
    return outcome == TAKEN;
}

/* Decides the fate of an operation whose process died inside it. */
static void settle(struct region *r, unsigned slot, unsigned d)
{
    struct region_journal *j = journal(r, slot, d);
    uint64_t intent = atomic_load(&j->intent);
    if (intent == atomic_load(&j->done))
        return;
    bool applied = atomic_load(&r->ext->devices[d].word.tag) == ((uint64_t)slot << SEQ_BITS | intent) ||
                   atomic_load(&j->applied) >= intent;
    if (applied) {
        atomic_store(&j->held, load(&j->next));
        atomic_store(&j->done, intent);
    } else {
        atomic_store(&j->intent, load(&j->done));
    }
}

static void give_back(struct region *r, unsigned slot, unsigned d, uint64_t n)
{
    uint64_t held = load(&journal(r, slot, d)->held);
    n = n < held ? n : held;
    if (n)
        operate(r, slot, d, 0, n, 0);
}

void ledger_abandon(struct region *r, unsigned slot)
{
    for (unsigned d = 0; d < REGION_DEVICES; d++) {
        struct region_journal *j = journal(r, slot, d);
        settle(r, slot, d);
        give_back(r, slot, d, UINT64_MAX);
        atomic_store(&j->parked, 0);
        store(&j->context, 0);
        store(&j->module, 0);
        store(&r->ext->members[slot].checkpointed[d], 0);
    }
}

/* ---- threads of one slot ---- */

static bool is_dead(uint32_t pid)
{
    uint64_t start;
    return region_presence_of((int32_t)pid, &start) == REGION_GONE;
}

/* Takes the lock word from a process that cannot be inside: in a slot of our
 * own any other pid is garbage, in the overflow slot a dead holder is. */
static bool take_over(struct region *r, unsigned slot, uint32_t owner)
{
    _Atomic uint32_t *lock = &r->ext->members[slot].lock;
    if (owner == 0 || owner == (uint32_t)r->self.pid || (slot == REGION_SLOTS - 1 && !is_dead(owner)))
        return false;
    if (!atomic_compare_exchange_strong(lock, &owner, (uint32_t)r->self.pid))
        return false;
    for (unsigned d = 0; d < REGION_DEVICES; d++)
        settle(r, slot, d);
    return true;
}

COLD static bool slot_lock_slow(struct region *r, unsigned slot)
{
    _Atomic uint32_t *lock = &r->ext->members[slot].lock;
    int saved_errno = errno;
    bool got = false, last = false;
    struct region_patience patience = region_patience();
    for (unsigned turn = 1; !got; turn++) {
        uint32_t owner = 0;
        got = atomic_compare_exchange_strong(lock, &owner, (uint32_t)r->self.pid);
        if (got || last)
            break;
        if (turn % 64 == 0) {
            got = take_over(r, slot, owner);
            last = !got && region_patience_over(&patience, (int32_t)owner);
        }
        if (turn > 256) /* the holder may need the processor that we have */
            nanosleep(&(struct timespec){.tv_nsec = 50000}, NULL);
        else if (turn > 32)
            sched_yield();
    }
    errno = saved_errno;
    return got;
}

COLD static void absorb_parked(struct region *r, unsigned slot, unsigned d)
{
    int64_t parked = atomic_exchange(&journal(r, slot, d)->parked, 0);
    if (parked > 0)
        operate(r, slot, d, (uint64_t)parked, 0, 0);
    else
        give_back(r, slot, d, 0 - (uint64_t)parked);
}

static inline void slot_unlock(struct region *r, unsigned slot)
{
    atomic_store_explicit(&r->ext->members[slot].lock, 0, memory_order_release);
}

HOT bool slot_try(struct region *r, unsigned slot)
{
    uint32_t nobody = 0;
    return likely(atomic_compare_exchange_strong_explicit(
        &r->ext->members[slot].lock, &nobody, (uint32_t)r->self.pid, memory_order_acquire, relaxed));
}

HOT bool has_parked(struct region *r, unsigned slot, unsigned d)
{
    return unlikely(atomic_load_explicit(&journal(r, slot, d)->parked, relaxed) != 0);
}

/* Only the slot that this process has now: a thread that comes late, after
 * the slot was given back, must not write into its next owner's journal. */
static inline bool is_valid(const struct region *r, int slot, unsigned d)
{
    return slot >= 0 && slot == atomic_load_explicit(&r->slot, relaxed) && d < REGION_DEVICES;
}

/* Not for who has waited while the slot was given back. */
static bool slot_lock(struct region *r, unsigned slot, unsigned d)
{
    if (!slot_try(r, slot)) {
        if (!slot_lock_slow(r, slot))
            return false;
        if (!is_valid(r, (int)slot, d)) {
            slot_unlock(r, slot);
            return false;
        }
    }
    if (has_parked(r, slot, d))
        absorb_parked(r, slot, d);
    return true;
}

/* The lock when nobody has it and nothing is parked. */
HOT bool slot_lock_quick(struct region *r, unsigned slot, unsigned d)
{
    if (!slot_try(r, slot))
        return false;
    if (!has_parked(r, slot, d))
        return true;
    slot_unlock(r, slot);
    return false;
}

void ledger_shut(struct region *r, unsigned slot)
{
    if (!slot_try(r, slot))
        slot_lock_slow(r, slot);
}

/* ---- the face ---- */

/* What every allocation runs is straight: the lock at once, one swap. When the
 * lock is not to be had so, or somebody else was at the word, the rest is another
 * function's, and this one keeps no registers for it. */
static __attribute__((noinline)) bool operate_and_unlock(struct region *r, unsigned slot, unsigned d,
                                                         uint64_t take, uint64_t give, uint64_t limit)
{
    bool done = operate(r, slot, d, take, give, limit);
    slot_unlock(r, slot);
    return done;
}

static __attribute__((noinline)) bool reserve_waiting(struct region *r, unsigned slot, unsigned d, uint64_t n,
                                                      uint64_t limit)
{
    return slot_lock(r, slot, d) && operate_and_unlock(r, slot, d, n, 0, limit);
}

bool ledger_reserve(struct region *r, int slot, unsigned d, uint64_t n, uint64_t limit)
{
    if (unlikely(!is_valid(r, slot, d)))
        return false;
    if (unlikely(!slot_lock_quick(r, (unsigned)slot, d)))
        return reserve_waiting(r, (unsigned)slot, d, n, limit);
    enum outcome outcome = attempt(r, (unsigned)slot, d, n, 0, limit, false);
    if (unlikely(outcome == UNDECIDED))
        return operate_and_unlock(r, (unsigned)slot, d, n, 0, limit);
    slot_unlock(r, (unsigned)slot);
    return outcome == TAKEN;
}

/* True once per period, for one thread. */
static bool is_due(_Atomic uint64_t *last_ns, uint64_t now, uint64_t period_ns)
{
    uint64_t last = atomic_load(last_ns);
    return now - last >= period_ns && atomic_compare_exchange_strong(last_ns, &last, now);
}

bool ledger_reserve_or_reclaim(struct region *r, int slot, unsigned d, uint64_t n, uint64_t limit)
{
    if (ledger_reserve(r, slot, d, n, limit))
        return true;
    if (!is_valid(r, slot, d) || (limit && n > limit) || r->is_private)
        return false;
    uint64_t now = region_now_ns();
    if (!is_due(&r->reclaimed_ns, now, RECLAIM_EVERY_NS))
        return false;
    int freed = region_reclaim_quick(r);
    if (!freed && is_due(&r->searched_ns, now, SEARCH_EVERY_NS))
        freed = region_reclaim(r);
    return freed > 0 && ledger_reserve(r, slot, d, n, limit);
}

static inline void add_kind(struct region *r, unsigned slot, unsigned d, enum ledger_kind kind, uint64_t take,
                            uint64_t give)
{
    struct region_journal *j = journal(r, slot, d);
    struct region_used *used = &r->base->procs[slot].used[d];
    if (kind == LEDGER_DATA)
        return;
    _Atomic uint64_t *part = kind == LEDGER_CONTEXT ? &j->context : &j->module;
    uint64_t *legacy = kind == LEDGER_CONTEXT ? &used->context : &used->module;
    uint64_t v = load(part) + take;
    store(part, v > give ? v - give : 0);
    __atomic_store_n(legacy, load(part), __ATOMIC_RELAXED);
}

void ledger_mark(struct region *r, int slot, unsigned d, enum ledger_kind kind, uint64_t n)
{
    if (!is_valid(r, slot, d) || !slot_lock(r, (unsigned)slot, d))
        return;
    struct region_journal *j = journal(r, (unsigned)slot, d);
    add_kind(r, (unsigned)slot, d, kind, n, load(kind == LEDGER_CONTEXT ? &j->context : &j->module));
    publish(r, (unsigned)slot, d, j);
    slot_unlock(r, (unsigned)slot);
}

static void park(struct region *r, int slot, unsigned d, int64_t n)
{
    if (is_valid(r, slot, d))
        atomic_fetch_add(&journal(r, (unsigned)slot, d)->parked, n);
}

static void charge(struct region *r, int slot, unsigned d, enum ledger_kind kind, uint64_t n)
{
    if (!is_valid(r, slot, d) || n == 0 || n > INT64_MAX)
        return;
    if (!slot_lock(r, (unsigned)slot, d)) {
        park(r, slot, d, (int64_t)n);
        return;
    }
    add_kind(r, (unsigned)slot, d, kind, n, 0);
    operate(r, (unsigned)slot, d, n, 0, 0);
    slot_unlock(r, (unsigned)slot);
}

static __attribute__((noinline)) void release(struct region *r, int slot, unsigned d, enum ledger_kind kind,
                                              uint64_t n)
{
    if (!is_valid(r, slot, d) || n == 0 || n > INT64_MAX)
        return;
    if (!slot_lock(r, (unsigned)slot, d)) {
        park(r, slot, d, -(int64_t)n);
        return;
    }
    add_kind(r, (unsigned)slot, d, kind, 0, n);
    give_back(r, (unsigned)slot, d, n);
    slot_unlock(r, (unsigned)slot);
}

void ledger_charge_kind(struct region *r, int slot, unsigned d, enum ledger_kind kind, uint64_t n)
{
    charge(r, slot, d, kind, n);
}

void ledger_release_kind(struct region *r, int slot, unsigned d, enum ledger_kind kind, uint64_t n)
{
    release(r, slot, d, kind, n);
}

void ledger_charge(struct region *r, int slot, unsigned d, uint64_t n)
{
    charge(r, slot, d, LEDGER_DATA, n);
}

void ledger_release(struct region *r, int slot, unsigned d, uint64_t n)
{
    if (unlikely(!is_valid(r, slot, d) || n == 0))
        return;
    if (unlikely(n > INT64_MAX || !slot_lock_quick(r, (unsigned)slot, d))) {
        release(r, slot, d, LEDGER_DATA, n);
        return;
    }
    uint64_t held = load(&journal(r, (unsigned)slot, d)->held);
    n = n < held ? n : held;
    if (unlikely(attempt(r, (unsigned)slot, d, 0, n, 0, false) == UNDECIDED))
        operate_and_unlock(r, (unsigned)slot, d, 0, n, 0);
    else
        slot_unlock(r, (unsigned)slot);
}

uint64_t ledger_used(const struct region *r, unsigned d)
{
    return r->ext && d < REGION_DEVICES ? load(&r->ext->devices[d].word.bytes) : 0;
}

COLD static uint64_t used_after_search(struct region *r, unsigned d)
{
    if (is_due(&r->queried_ns, region_now_ns(), QUERY_EVERY_NS))
        region_reclaim_quick(r);
    return ledger_used(r, d);
}

uint64_t ledger_used_by_living(struct region *r, unsigned d)
{
    uint64_t used = ledger_used(r, d);
    /* Who holds all of it alone has nobody to look for, and asks without a clock. */
    if (likely(r->is_private || used <= ledger_held(r, r->slot, d)))
        return used;
    return used_after_search(r, d);
}

uint64_t ledger_held(const struct region *r, int slot, unsigned d)
{
    bool exists = r->ext && (unsigned)slot < REGION_SLOTS && d < REGION_DEVICES;
    return exists ? load(&journal(r, (unsigned)slot, d)->held) : 0;
}

uint64_t ledger_operations(const struct region *r, int slot, unsigned d)
{
    bool exists = r->ext && (unsigned)slot < REGION_SLOTS && d < REGION_DEVICES;
    if (!exists)
        return 0;
    struct region_journal *j = journal(r, (unsigned)slot, d);
    atomic_thread_fence(memory_order_acquire); /* what the caller has read was read before this */
    uint64_t done = atomic_load_explicit(&j->done, memory_order_acquire);
    return done + atomic_load_explicit(&j->intent, memory_order_acquire);
}

uint64_t ledger_peak(const struct region *r, unsigned d)
{
    return r->ext && d < REGION_DEVICES ? load(&r->ext->devices[d].peak) : 0;
}

uint64_t ledger_oom_count(const struct region *r, unsigned d)
{
    return r->ext && d < REGION_DEVICES ? load(&r->ext->devices[d].oom_count) : 0;
}

void ledger_count_oom(struct region *r, unsigned d)
{
    if (r->ext && d < REGION_DEVICES)
        atomic_fetch_add_explicit(&r->ext->devices[d].oom_count, 1, relaxed);
}

/* The swap fails if anyone has charged since the tag was read, so a process
 * that attaches meanwhile loses nothing. */
void ledger_repair(struct region *r, bool (*is_attached)(const struct region *))
{
    for (unsigned d = 0; d < REGION_DEVICES; d++) {
        struct region_word *w = &r->ext->devices[d].word;
        uint64_t tag = atomic_load(&w->tag);
        uint64_t bytes = atomic_load(&w->bytes);
        if (bytes && !is_attached(r))
            swap_word(w, bytes, tag, 0, tag);
    }
}
