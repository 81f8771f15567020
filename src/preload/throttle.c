/* SPDX-License-Identifier: Apache-2.0
 *
 * The gate: who may launch how much, and when.
 *
 * A launch needs three things: tokens of its slice (bucket.h), the device's
 * turn (board.h) and room in flight. It then gets credit for a chunk of
 * estimated work, opens a batch on its stream (batch.h) and launches without
 * asking until the credit is spent. The batch's measured stretch is charged;
 * estimates only bound what is in flight.
 *
 * Invariants:
 *   1. Nothing waits without a bound: for tokens at most LOOK_NS before the
 *      limit is read again, for a measurement at most STUCK_NS beyond its
 *      expected end, for a turn at most the board's lease. A launch that waits
 *      for another rank's launch can therefore not block that one for ever.
 *   2. Wake-ups are computed: the moment the tokens suffice, the expected end
 *      of the oldest batch, the end of a lease.
 *   3. No lock is held while the driver is called or while waiting.
 *   4. Driver calls of ours are made in relaxed capture mode, whether or not a
 *      capture is open: another thread may begin one while we wait. Launches
 *      into a capture are not gated: they do not run.
 *   5. The result and the arguments of the user's call are not looked at.
 */
#include "preload/throttle.h"

#include <stdatomic.h>
#include <stddef.h>
#include <string.h>

#include "preload/card.h"
#include "preload/compute.h"
#include "preload/joint.h"
#include "preload/measure.h"
#include "preload/turn.h"

#define MS UINT64_C(1000000)
#define CHUNK_NS LANE_CHUNK_NS         /* credit taken at once */
#define CHUNK_MIN_NS INT64_C(20000)    /* below, every launch is measured by itself */
#define GRANT_NS INT64_C(250000)       /* tokens that must be there before a grant */
#define PIPE_NS INT64_C(2000000)       /* estimated work in flight */
#define PIPE_SHORT_NS INT64_C(1000000) /* ... beside somebody in a hurry */
#define PIPE_ALONE_NS                                                                                        \
    INT64_C(6000000)   /* ... when nobody waits: a host that is slow to wake us must not let the device idle \
                        */
#define PIPE_BATCHES 2 /* ... however long they are */
#define CROWD_BATCHES 20 /* of METER_BATCHES unmeasured: something long lies before them */
#define CROWD_STEP_NS (2 * MS)
#define OPEN_NS INT64_C(1000000)       /* tokens that all devices of a group must have to open */
#define STEP_NS (500 * UINT64_C(1000)) /* how often a closed one looks at the others */
#define LOOK_NS (50 * MS)              /* a live change is seen within this */
#define STUCK_NS (100 * MS)
#define BURST_NS INT64_C(2000000)      /* tokens kept over an idle time */
#define RUN_MAX_NS INT64_C(1500000)    /* below BURST_NS: an idle process can always begin */
#define WAIT_CAP_NS INT64_C(100000000) /* tokens kept while waiting for them or for the turn */
#define FREE_BUDGET 128
#define FREE_FAST_NS (5 * MS)

_Atomic bool cards_gated;
struct prices prices;
struct port_lock prices_lock;

/* What a launch asks for. */
struct request {
    struct lane *lane;
    struct card *card;
    int64_t price_ns; /* 0 = unknown */
    bool waited;
    bool single;       /* one launch and no more */
    uint64_t since_ns; /* it asks */
};

/* ---- ending a run of launches ------------------------------------------ */

static void take_counts(struct lane *lane, struct batch *batch)
{
    for (uint32_t i = 0; i < lane->n_touched; i++) {
        struct lane_entry *e = &lane->entries[lane->touched[i]];
        if (e->stream != batch->stream || e->count == 0)
            continue;
        batch->launches += e->count;
        batch->estimate_ns += e->price_ns * e->count;
        if (batch->n_parts < BATCH_PARTS)
            batch->parts[batch->n_parts++] = (struct batch_part){
                .function = e->function, .size = e->size, .count = e->count, .price_ns = e->price_ns};
        e->count = 0;
    }
}

/* A lane whose launches leave the device waiting gets smaller batches, so that
 * the pauses between launches are not taken for work. */
static void adapt_chunk(struct lane *lane, const struct batch *batch)
{
    if (batch->estimate_ns > 0 && measure_is_doubtful(batch))
        lane->chunk_ns = batch->launches > 1 ? lane->chunk_ns / 4 : lane->chunk_ns;
    else if (lane->chunk_ns < CHUNK_NS)
        lane->chunk_ns = lane->chunk_ns < CHUNK_MIN_NS ? CHUNK_MIN_NS : lane->chunk_ns * 2;
}

static void close_one(struct lane *lane, struct card *card, struct batch *batch, uint64_t busy_until)
{
    take_counts(lane, batch);
    bool recorded = batch_close(card, batch);
    joint_count(card, batch->launches, batch->closed_ns);
    batch->unsure_ns = measure_unsure_ns(batch);
    adapt_chunk(lane, batch);
    port_lock(&card->lock);
    if (!recorded || batch->launches == 0) {
        if (batch->launches) {
            bucket_charge(card->account, (uint64_t)batch->estimate_ns);
            measure_count(card, batch->launches);
        }
        atomic_fetch_sub(&card->inflight_ns, batch->estimate_ns);
        batch->state = BATCH_FREE;
        port_unlock(&card->lock);
        return;
    }
    uint64_t from = batch->first_ns > busy_until ? batch->first_ns : busy_until;
    batch->due_ns = from + (uint64_t)batch->estimate_ns;
    batch->polled_ns = batch->closed_ns;
    batch->state = BATCH_CLOSED;
    atomic_fetch_add(&card->closed, 1);
    if (batch->probe) {
        card->probes++;
        card->probe_due_ns = batch->closed_ns + STUCK_NS;
    }
    port_unlock(&card->lock);
}

/* Ends the lane's open batches and gives unspent credit back. */
static void lane_close(struct lane *lane)
{
    struct card *card = lane->card;
    if (!card)
        return;
    for (uint32_t i = 0; i < lane->n_open; i++)
        close_one(lane, card, lane->open[i], measure_busy_until(card));
    for (uint32_t i = 0; i < lane->n_touched; i++) {
        lane->entries[lane->touched[i]].count = 0;
        lane->entries[lane->touched[i]].price_ns = LANE_CLOSED_NS;
    }
    if (lane->credit_ns > 0)
        atomic_fetch_sub(&card->inflight_ns, lane->credit_ns);
    if (lane->n_open)
        turn_renew(card);
    lane->credit_ns = 0;
    lane->n_open = 0;
    lane->n_touched = 0;
}

/* ---- asking ------------------------------------------------------------ */

enum verdict { GO, WAIT_TOKENS, WAIT_ROOM, WAIT_TURN };

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* With other devices: open while all have tokens, then up to the one that got
 * furthest. `least` is what the poorest has. */
static bool joint_allows(struct request *r, int64_t least, uint64_t now)
{
    struct card *card = r->card;
    if (card->open && least < GRANT_NS) {
        card->open = false;
    } else if (!card->open && least >= OPEN_NS) {
        card->open = true;
        joint_open(card);
    }
    r->single = !card->open;
    return card->open || joint_is_behind(card, now);
}

/* Short work that somebody waits for begins when there are tokens for all of
 * it: in the middle it would have to give the turn away. */
static int64_t tokens_for_run(struct card *card, int64_t inflight)
{
    int64_t usual = (int64_t)atomic_load_explicit(&card->usual_ns, memory_order_relaxed);
    bool begins = inflight == 0 && atomic_load_explicit(&card->run_ns, memory_order_relaxed) == 0;
    usual = usual < RUN_MAX_NS ? usual : RUN_MAX_NS;
    return begins && usual > GRANT_NS ? usual : GRANT_NS;
}

/* Without the turn: is there enough of everything else? */
static enum verdict consider(struct request *r, const struct turn_limit *limit, uint64_t now,
                             uint64_t *ret_due)
{
    struct card *card = r->card;
    int64_t inflight = atomic_load_explicit(&card->inflight_ns, memory_order_relaxed);
    inflight = inflight > 0 ? inflight : 0;
    uint64_t next = measure_next(card, now);
    if (card->probes > 0 && now < card->probe_due_ns) {
        *ret_due = earlier(next, card->probe_due_ns);
        return WAIT_ROOM;
    }
    /* Without a batch a launch could not be measured: many of them would fill the driver's queue. */
    if (atomic_load_explicit(&card->closed, memory_order_relaxed) >= CROWD_BATCHES &&
        now < r->since_ns + STUCK_NS) {
        *ret_due = earlier(next, now + CROWD_STEP_NS);
        return WAIT_ROOM;
    }
    int64_t room = limit->tokens ? bucket_balance(card->account) - inflight : RUN_MAX_NS;
    int64_t others = limit->tokens ? joint_others(card, limit->percent, now) : INT64_MAX;
    int64_t least = limit->tokens ? tokens_for_run(card, inflight) : 0; /* none come without a limit */
    if (others != INT64_MAX ? !joint_allows(r, room < others ? room : others, now) : room < least) {
        int64_t missing = others != INT64_MAX ? OPEN_NS - (room < others ? room : others) : least - room;
        uint64_t due = now + bucket_wait_ns(missing, limit->percent);
        *ret_due = earlier(earlier(due, next), now + (others != INT64_MAX ? STEP_NS : LOOK_NS));
        return WAIT_TOKENS;
    }
    int64_t wanted = r->price_ns > r->lane->chunk_ns ? r->price_ns : r->lane->chunk_ns;
    int64_t flight = inflight + (wanted < CHUNK_NS ? wanted : CHUNK_NS);
    uint32_t closed = atomic_load_explicit(&card->closed, memory_order_relaxed);
    bool full =
        closed >= PIPE_BATCHES && flight > PIPE_NS && (flight > PIPE_ALONE_NS || turn_is_wanted(card, now));
    bool brief = closed > 0 && flight > PIPE_SHORT_NS && turn_is_short(card, now);
    if (next != UINT64_MAX && (full || brief)) {
        *ret_due = next;
        return WAIT_ROOM;
    }
    return GO;
}

/* Credit for a chunk; -1 when nothing limits this launch. */
static int64_t acquire(struct request *r)
{
    struct card *card = r->card;
    uint64_t since = 0, due;
    uint32_t bell = 0;
    for (;;) {
        measure_finished(card);
        uint64_t now = port.now();
        struct turn_limit limit = turn_limit_of(card, now);
        if (!limit.tokens && !limit.turns)
            return -1;
        if (limit.tokens)
            bucket_refill(card->account, limit.percent, now, r->waited ? WAIT_CAP_NS : BURST_NS);
        r->waited = true;
        enum verdict verdict = consider(r, &limit, now, &due);
        if (verdict == GO && !turn_have(card, &limit, now, &due, &bell))
            verdict = WAIT_TURN;
        if (verdict == GO)
            break;
        since = since ? since : now;
        if (verdict == WAIT_TURN) {
            turn_wait(card, earlier(due, measure_next(card, now)), bell);
            continue;
        }
        turn_offer(card, verdict == WAIT_TOKENS, now, &due);
        port.sleep_until(due);
    }
    if (since)
        turn_note_wait(card, since);
    int64_t room = r->lane->chunk_ns < CHUNK_NS ? r->lane->chunk_ns : CHUNK_NS;
    int64_t chunk = r->price_ns > room || r->single ? r->price_ns : room;
    atomic_fetch_add(&card->inflight_ns, chunk);
    return chunk;
}

/* ---- one launch -------------------------------------------------------- */

static struct batch *batch_on(const struct lane *lane, CUstream stream)
{
    for (uint32_t i = 0; i < lane->n_open; i++)
        if (lane->open[i]->stream == stream)
            return lane->open[i];
    return NULL;
}

static struct batch *open_on(struct lane *lane, CUstream stream)
{
    if (lane->n_open == LANE_STREAMS)
        return NULL;
    struct card *card = lane->card;
    struct meter *meter = meter_of(card, lane->context);
    struct batch *batch = meter ? batch_open(card, meter, stream) : NULL;
    if (batch) {
        lane->open[lane->n_open++] = batch;
        turn_mark(card, batch);
    }
    return batch;
}

static int64_t price_now(const void *function, uint32_t size)
{
    port_lock(&prices_lock);
    const struct price *p = price_of(&prices, function, size);
    int64_t price = p->samples ? (int64_t)p->mean_ns : 0;
    port_unlock(&prices_lock);
    return price;
}

/* Spends credit on the launch and lets the next ones of its kind pass. */
static void spend(struct lane *lane, const void *function, uint32_t size, CUstream stream, int64_t price)
{
    uint64_t tag = lane_tag(function, size, stream);
    struct lane_entry *e = lane_entry_of(lane, tag);
    if (e->price_ns == LANE_CLOSED_NS || e->tag != tag) {
        *e = (struct lane_entry){
            .tag = tag, .price_ns = price, .size = size, .function = function, .stream = stream};
        lane->touched[lane->n_touched++] = (uint8_t)(e - lane->entries);
    }
    e->count++;
    lane->credit_ns -= price;
}

/* Without a measurement the estimate is charged. */
static void charge_unmeasured(struct lane *lane, int64_t price)
{
    lane->credit_ns -= price;
    atomic_fetch_sub(&lane->card->inflight_ns, price);
    bucket_charge(lane->card->account, (uint64_t)price);
    measure_count(lane->card, 1);
}

/* Two kinds of launches in one place: the other's count would be lost. */
static bool is_taken(struct lane *lane, uint64_t tag)
{
    const struct lane_entry *e = lane_entry_of(lane, tag);
    return e->price_ns != LANE_CLOSED_NS && e->tag != tag;
}

static bool has_room(struct lane *lane, int64_t price, const void *function, uint32_t size, CUstream stream)
{
    return lane->stamp == atomic_load_explicit(&lane_stamp, memory_order_relaxed) && price > 0 &&
           lane->credit_ns >= price && lane->n_touched < LANE_TOUCHED &&
           !is_taken(lane, lane_tag(function, size, stream)) &&
           (batch_on(lane, stream) || lane->n_open < LANE_STREAMS);
}

static struct throttle_ticket gated(struct request *r, const void *function, uint32_t size, CUstream stream)
{
    struct lane *lane = r->lane;
    r->price_ns = price_now(function, size);
    if (!has_room(lane, r->price_ns, function, size, stream)) {
        lane_close(lane);
        int64_t chunk = acquire(r);
        if (chunk < 0)
            return (struct throttle_ticket){NULL, false};
        lane->credit_ns = chunk;
        lane->stamp = atomic_load(&lane_stamp);
    }
    struct batch *known = batch_on(lane, stream), *batch = known ? known : open_on(lane, stream);
    if (!batch) {
        charge_unmeasured(lane, r->price_ns ? r->price_ns : lane->credit_ns);
        return (struct throttle_ticket){NULL, false};
    }
    bool alone = r->price_ns == 0 || lane->credit_ns < 2 * r->price_ns || compute_capturing();
    if (r->price_ns == 0)
        batch->probe = true;
    spend(lane, function, size, stream, r->price_ns);
    return (struct throttle_ticket){known ? NULL : batch, alone};
}

/* Nothing limits this process: the next launches need not even ask. */
static void let_go(struct lane *lane, uint64_t now)
{
    if (now - lane->visited_ns < FREE_FAST_NS)
        lane->budget = lane->budget * 2 > FREE_BUDGET ? FREE_BUDGET : lane->budget * 2;
    else
        lane->budget = 1;
    lane->visited_ns = now;
    lane_tls.left = lane->budget - 1;
}

static void settle_in(struct lane *lane, struct card *card, CUcontext context)
{
    lane->stamp &= ~LANE_SWITCHED;
    if (lane->card == card && lane->context == context)
        return;
    lane_close(lane);
    lane->card = card;
    lane->context = context;
}

struct throttle_ticket throttle_begin(const void *function, uint32_t size, CUstream stream)
{
    const struct throttle_ticket nothing = {NULL, false};
    struct lane *lane = lane_get();
    if (!lane)
        return nothing;
    uint64_t now = port.now();
    struct card *card = turn_card();
    if (!card) {
        let_go(lane, now);
        return nothing;
    }
    struct turn_limit limit = turn_limit_of(card, now);
    turn_note_launches(card, limit.tokens || limit.turns ? 0 : lane->budget, now);
    if (!limit.tokens && !limit.turns) {
        lane_close(lane);
        let_go(lane, now);
        return nothing;
    }
    CUstreamCaptureMode mode = port.capture_mode(CU_STREAM_CAPTURE_MODE_RELAXED);
    if (compute_capturing() && port.is_capturing(stream)) {
        port.capture_mode(mode);
        return nothing;
    }
    atomic_store_explicit(&cards_gated, true, memory_order_relaxed);
    settle_in(lane, card, port.context());
    struct request request = {.lane = lane, .card = card, .since_ns = now};
    struct throttle_ticket ticket = gated(&request, function, size, stream);
    port.capture_mode(mode);
    return ticket;
}

static void close_current(void)
{
    CUstreamCaptureMode mode = port.capture_mode(CU_STREAM_CAPTURE_MODE_RELAXED);
    lane_close(lane_tls.lane);
    port.capture_mode(mode);
}

void throttle_end(const struct throttle_ticket *ticket)
{
    if (ticket->fresh) /* the kernel reached the device some time during the call */
        ticket->fresh->first_ns += (port.now() - ticket->fresh->first_ns) / 2;
    if (ticket->close)
        close_current();
}

/* ---- synchronisation --------------------------------------------------- */

void throttle_before_sync(void)
{
    const struct lane *lane = lane_tls.lane;
    if (lane->card && (lane->n_open || lane->credit_ns > 0))
        close_current();
}

/* How much work lies between two synchronisations, if it is little. */
static void run_ends(struct card *card)
{
    if (atomic_load_explicit(&card->closed, memory_order_relaxed))
        return;
    uint64_t run = atomic_exchange_explicit(&card->run_ns, 0, memory_order_relaxed);
    if (run > 0)
        atomic_store_explicit(&card->usual_ns, run <= CARD_BRIEF_NS ? run : 0, memory_order_relaxed);
}

void throttle_after_sync(void)
{
    if (!throttle_pending())
        return;
    CUstreamCaptureMode mode = port.capture_mode(CU_STREAM_CAPTURE_MODE_RELAXED);
    for (int d = 0; d < REGION_DEVICES; d++)
        if (card_is_ready(&cards[d]) &&
            (atomic_load_explicit(&cards[d].closed, memory_order_relaxed) || cards[d].seat.sequence)) {
            measure_finished(&cards[d]);
            run_ends(&cards[d]);
            turn_idle(&cards[d]);
        }
    port.capture_mode(mode);
}

void throttle_forget(const void *function)
{
    port_lock(&prices_lock);
    price_forget(&prices, function);
    port_unlock(&prices_lock);
}

bool throttle_pending(void)
{
    if (likely(!atomic_load_explicit(&cards_gated, memory_order_relaxed)))
        return false;
    for (int d = 0; d < REGION_DEVICES; d++)
        if (card_is_ready(&cards[d]) &&
            (atomic_load_explicit(&cards[d].closed, memory_order_relaxed) || cards[d].seat.sequence))
            return true;
    return false;
}
