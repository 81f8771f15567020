/* SPDX-License-Identifier: Apache-2.0
 *
 * See board.h.
 */
#include "preload/board.h"

#include <stdatomic.h>
#include <stddef.h>

#define LAG_MAX_NS UINT64_C(50000000)     /* how far behind a newcomer starts */
#define EXTEND_MAX_NS UINT64_C(200000000) /* longest turn by extension */
#define HURRY_NS UINT64_C(50000000)       /* unseen for so long, it is not there */
#define FOREIGN_MAX_NS UINT64_C(20000000) /* longest stretch believed to be the previous holder's */

static uint64_t load(const _Atomic uint64_t *word)
{
    return atomic_load_explicit(word, memory_order_acquire);
}

static void store(_Atomic uint64_t *word, uint64_t value)
{
    atomic_store_explicit(word, value, memory_order_release);
}

static struct board_member *mine(const struct board_seat *seat)
{
    return &seat->board->members[seat->member];
}

static int member_of(uint64_t turn)
{
    int member = (int)(turn & 0xff) - 1;
    return member < BOARD_MEMBERS ? member : -1;
}

/* Signs of life are believed within their span only, never from the future. */
static bool is_recent(uint64_t then, uint64_t now, uint64_t span)
{
    return then != 0 && (then <= now ? now - then < span : then - now < span / 8);
}

/* Most seats are free: that is seen first. */
static inline bool waits(const struct board_member *m, uint64_t now)
{
    return load(&m->want_ns) != 0 && load(&m->owner) != 0 && is_recent(load(&m->seen_ns), now, 200000000);
}

/* ---- seats ------------------------------------------------------------- */

/* A newcomer, or one who was away, has no claim from the time it was not here. */
static void catch_up(struct board_seat *seat, uint64_t now)
{
    uint64_t least = UINT64_MAX;
    for (int i = 0; i < BOARD_MEMBERS; i++) {
        const struct board_member *m = &seat->board->members[i];
        if (i != seat->member && load(&m->owner) && is_recent(load(&m->work_ns), now, 100000000) &&
            load(&m->used_ns) < least)
            least = load(&m->used_ns);
    }
    if (least == UINT64_MAX)
        return;
    uint64_t own = load(&mine(seat)->used_ns), low = least > LAG_MAX_NS ? least - LAG_MAX_NS : 0;
    if (own < low)
        store(&mine(seat)->used_ns, low);
    else if (own > least && own - least > 4 * LAG_MAX_NS)
        store(&mine(seat)->used_ns, least + 4 * LAG_MAX_NS);
}

static void settle_in(struct board_seat *seat, int i, uint64_t now)
{
    seat->member = i;
    store(&mine(seat)->want_ns, 0);
    store(&mine(seat)->group, seat->group);
    store(&mine(seat)->pid_ns, seat->pid_ns);
    store(&mine(seat)->used_ns, 0);
    store(&mine(seat)->seen_ns, now);
    catch_up(seat, now);
}

bool board_sit(struct board_seat *seat, uint64_t now)
{
    if (seat->member >= 0 && load(&mine(seat)->owner) == seat->owner)
        return true;
    seat->member = -1;
    seat->sequence = 0;
    for (int i = 0; i < BOARD_MEMBERS; i++) {
        struct board_member *m = &seat->board->members[i];
        uint64_t owner = load(&m->owner);
        if (owner != 0 && is_recent(load(&m->seen_ns), now, BOARD_GONE_NS))
            continue;
        if (atomic_compare_exchange_strong(&m->owner, &owner, seat->owner)) {
            settle_in(seat, i, now);
            return true;
        }
    }
    return false;
}

void board_leave(struct board_seat *seat)
{
    if (seat->member < 0)
        return;
    store(&mine(seat)->want_ns, 0);
    uint64_t owner = seat->owner;
    atomic_compare_exchange_strong(&mine(seat)->owner, &owner, 0);
    seat->member = -1;
}

/* ---- the turn ---------------------------------------------------------- */

bool board_holds(const struct board_seat *seat)
{
    return seat->sequence != 0 && seat->member >= 0 &&
           load(&seat->board->turn) == (seat->sequence << 8 | (uint64_t)(seat->member + 1));
}

/* Is there somebody who waits and should go before us? */
static bool is_first(const struct board_seat *seat, uint64_t now)
{
    uint64_t own = load(&mine(seat)->used_ns);
    for (int i = 0; i < BOARD_MEMBERS; i++) {
        const struct board_member *m = &seat->board->members[i];
        if (i == seat->member || !waits(m, now))
            continue;
        uint64_t used = load(&m->used_ns);
        if (used < own || (used == own && i < seat->member))
            return false;
    }
    return true;
}

/* When the present holder may be passed over, as far as we are concerned. */
static uint64_t passed_over_at(struct board_seat *seat, uint64_t turn, uint64_t now)
{
    if (seat->seen_turn != turn) {
        seat->seen_turn = turn;
        seat->seen_since_ns = now;
    }
    uint64_t at = seat->seen_since_ns + BOARD_HOLD_MAX_NS;
    uint64_t lease = load(&seat->board->lease_ns), idle = load(&seat->board->idle_ns);
    if (lease < at)
        at = lease;
    if (idle != 0 && idle <= now && idle + BOARD_GRACE_NS < at)
        at = idle + BOARD_GRACE_NS;
    return at;
}

static bool take(struct board_seat *seat, uint64_t turn, uint64_t now)
{
    uint64_t sequence = ((turn >> 8) + 1) & (UINT64_MAX >> 8);
    sequence = sequence ? sequence : 1;
    if (!atomic_compare_exchange_strong(&seat->board->turn, &turn,
                                        sequence << 8 | (uint64_t)(seat->member + 1)))
        return false;
    store(&seat->board->idle_ns, 0); /* at once: until then others judge us by the last holder's */
    store(&seat->board->lease_ns, now + 5000000);
    seat->sequence = sequence;
    seat->held_ns = now;
    seat->taken_ns = now;
    seat->foreign_ns = board_foreign_end(seat, sequence, now);
    store(&mine(seat)->want_ns, 0);
    store(&mine(seat)->work_ns, now);
    return true;
}

/* A free turn is for the first in order; the others give it time to come. */
static bool try_free(struct board_seat *seat, uint64_t turn, uint64_t now, uint64_t *ret_due)
{
    uint64_t freed = load(&seat->board->freed_ns);
    uint64_t elect = (freed <= now && now - freed < BOARD_ELECT_NS ? freed : now - BOARD_ELECT_NS);
    if (is_first(seat, now) || now >= elect + BOARD_ELECT_NS)
        return take(seat, turn, now);
    *ret_due = elect + BOARD_ELECT_NS;
    return false;
}

static bool try_once(struct board_seat *seat, uint64_t now, bool holder_is_dead, uint64_t *ret_due)
{
    *ret_due = now + 1000000;
    struct board_member *m = mine(seat);
    if (load(&m->want_ns) == 0) {
        catch_up(seat, now);
        store(&m->want_ns, now);
    }
    store(&m->seen_ns, now);
    store(&m->work_ns, now);
    store(&m->percent, seat->percent | (seat->hurries ? BOARD_HURRIES : 0));
    uint64_t turn = load(&seat->board->turn);
    int holder = member_of(turn);
    if (holder == seat->member && seat->sequence == turn >> 8)
        return true;
    if (holder < 0)
        return try_free(seat, turn, now, ret_due);
    uint64_t at = holder == seat->member || holder_is_dead ? now : passed_over_at(seat, turn, now);
    if (now >= at)
        return take(seat, turn, now);
    *ret_due = at < now + 50000000 ? at : now + 50000000;
    return false;
}

/* Each single holder is bounded by passed_over_at(); a row of them, or of false
 * ones that somebody writes there, is not. An attempt long after the last one
 * is a new wait: the process was stopped, or had nothing to launch. */
static bool is_starved(struct board_seat *seat, uint64_t now)
{
    now = now < seat->tried_ns ? seat->tried_ns : now; /* another thread was here with a later one */
    bool was_away = now - seat->tried_ns > BOARD_STARVE_NS / 2;
    if (seat->wait_since_ns == 0 || was_away)
        seat->wait_since_ns = now;
    if (was_away)
        seat->hunger_ns = 0; /* it went without turns, as when nobody else is there */
    seat->tried_ns = now;
    return seat->hunger_ns + (now - seat->wait_since_ns) > BOARD_STARVE_NS;
}

/* A turn makes up for four times the wait that its length would explain: cards
 * may be overcommitted, and others may have priority. */
static void feed(struct board_seat *seat, uint64_t until)
{
    uint64_t held = until > seat->held_ns ? until - seat->held_ns : 0;
    uint64_t fed = held * 400 / (seat->fair ? seat->fair : 100);
    seat->hunger_ns = seat->hunger_ns > fed ? seat->hunger_ns - fed : 0;
}

bool board_try(struct board_seat *seat, uint64_t now, bool holder_is_dead, uint64_t *ret_due)
{
    bool taken = try_once(seat, now, holder_is_dead, ret_due), starved = is_starved(seat, now);
    if (!taken && !starved)
        return false;
    seat->hunger_ns = taken ? seat->hunger_ns + (seat->tried_ns - seat->wait_since_ns) : 0;
    seat->wait_since_ns = 0;
    if (!taken) {
        seat->shun_until_ns = now + BOARD_SHUN_NS;
        board_leave(seat);
        *ret_due = now;
    }
    return taken;
}

bool board_is_shunned(const struct board_seat *seat, uint64_t now)
{
    return now < seat->shun_until_ns;
}

void board_unwant(struct board_seat *seat)
{
    seat->wait_since_ns = 0;
    if (seat->member >= 0)
        store(&mine(seat)->want_ns, 0);
}

void board_renew(struct board_seat *seat, uint64_t now, uint64_t until_ns)
{
    if (!board_holds(seat))
        return;
    if (until_ns > now + BOARD_LEASE_MAX_NS)
        until_ns = now + BOARD_LEASE_MAX_NS;
    store(&seat->board->lease_ns, until_ns);
    store(&mine(seat)->seen_ns, now);
    store(&mine(seat)->work_ns, now);
}

void board_idle(struct board_seat *seat, uint64_t now)
{
    if (board_holds(seat))
        store(&seat->board->idle_ns, now);
}

void board_busy(struct board_seat *seat)
{
    if (load(&seat->board->idle_ns) != 0 && board_holds(seat))
        store(&seat->board->idle_ns, 0);
}

static void add_used(struct board_seat *seat, uint64_t until)
{
    uint64_t held = until > seat->held_ns ? until - seat->held_ns : 0;
    atomic_fetch_add(&mine(seat)->used_ns, held * 100 / (seat->weight ? seat->weight : 1));
}

bool board_extend(struct board_seat *seat, uint64_t now)
{
    if (!board_holds(seat) || now - seat->taken_ns > EXTEND_MAX_NS)
        return false;
    uint64_t before = load(&mine(seat)->used_ns);
    add_used(seat, now);
    if (!is_first(seat, now)) {
        store(&mine(seat)->used_ns, before);
        return false;
    }
    feed(seat, now);
    seat->held_ns = now;
    return true;
}

void board_release(struct board_seat *seat, uint64_t now, uint64_t drained_ns)
{
    uint64_t sequence = seat->sequence, turn = sequence << 8 | (uint64_t)(seat->member + 1);
    if (sequence == 0 || seat->member < 0)
        return;
    seat->sequence = 0;
    add_used(seat, drained_ns);
    feed(seat, drained_ns);
    store(&mine(seat)->work_ns, now);
    if (load(&seat->board->turn) != turn)
        return;
    store(&seat->board->drain_of[sequence % 4], 0);
    store(&seat->board->drain[sequence % 4], drained_ns);
    store(&seat->board->drain_of[sequence % 4], sequence);
    store(&seat->board->freed_ns, now);
    if (atomic_compare_exchange_strong(&seat->board->turn, &turn, sequence << 8))
        atomic_fetch_add(&seat->board->bell, 1);
}

void board_drained(struct board *board, uint64_t sequence, uint64_t drained_ns)
{
    if (load(&board->drain_of[sequence % 4]) == sequence)
        store(&board->drain[sequence % 4], drained_ns);
}

uint64_t board_foreign_end(const struct board_seat *seat, uint64_t sequence, uint64_t held_ns)
{
    uint64_t before = sequence - 1;
    if (load(&seat->board->drain_of[before % 4]) != before)
        return 0;
    uint64_t end = load(&seat->board->drain[before % 4]);
    if (end <= held_ns)
        return 0;
    return end - held_ns < FOREIGN_MAX_NS ? end : held_ns + FOREIGN_MAX_NS;
}

bool board_wanted(const struct board_seat *seat, uint64_t now)
{
    const struct board_member *own = seat->member >= 0 ? mine(seat) : NULL, *first = seat->board->members;
    for (const struct board_member *m = first; m < first + BOARD_MEMBERS; m++)
        if (load(&m->want_ns) != 0 && m != own && waits(m, now))
            return true;
    return false;
}

bool board_hurries(const struct board_seat *seat, uint64_t now)
{
    for (int i = 0; i < BOARD_MEMBERS; i++) {
        const struct board_member *m = &seat->board->members[i];
        if ((load(&m->percent) & BOARD_HURRIES) && i != seat->member && load(&m->owner) &&
            is_recent(load(&m->work_ns), now, HURRY_NS))
            return true;
    }
    return false;
}

bool board_alone(const struct board_seat *seat, uint64_t now, uint64_t within_ns)
{
    for (int i = 0; i < BOARD_MEMBERS; i++) {
        const struct board_member *m = &seat->board->members[i];
        if (i != seat->member && load(&m->owner) && load(&m->group) != seat->group &&
            is_recent(load(&m->work_ns), now, within_ns))
            return false;
    }
    return true;
}

/* Has a member before this one of the same slice been counted? */
static bool is_counted(const struct board *board, int i, uint64_t group)
{
    for (int k = 0; k < i; k++)
        if (load(&board->members[k].owner) && load(&board->members[k].group) == group)
            return true;
    return false;
}

uint32_t board_left_over(const struct board_seat *seat, uint64_t now, uint64_t within_ns)
{
    uint64_t taken = 0, unlimited = 1;
    for (int i = 0; i < BOARD_MEMBERS; i++) {
        const struct board_member *m = &seat->board->members[i];
        uint64_t group = load(&m->group), percent = load(&m->percent) & (BOARD_HURRIES - 1);
        if (i == seat->member || !load(&m->owner) || group == seat->group ||
            !is_recent(load(&m->work_ns), now, within_ns) || is_counted(seat->board, i, group))
            continue;
        taken += percent < 100 ? percent : 100;
        unlimited += percent == 0;
    }
    /* a little less, so that hand-overs do not come out of the shares */
    return (uint32_t)((taken < 82 ? 92 - taken : 10) / unlimited);
}

uint32_t board_holder_pid(const struct board_seat *seat)
{
    int holder = member_of(load(&seat->board->turn));
    if (holder < 0 || load(&seat->board->members[holder].pid_ns) != seat->pid_ns)
        return 0;
    return (uint32_t)(load(&seat->board->members[holder].owner) >> 32);
}
