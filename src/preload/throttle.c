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
 * Where the host launches so slowly that the device waits ("starves"), a batch's
 * stretch is more than its work, and each event makes the host slower still.
 * Such a lane gets large batches, charged by price, and the prices are kept true
 * by samples: launches picked at random, by their weight, and measured alone.
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
 *   6. A launch that is gated has a batch, or is waited for (blind.h).
 */
#include "preload/throttle.h"

#include <stdatomic.h>
#include <stddef.h>
#include <string.h>

#include "preload/blind.h"
#include "preload/card.h"
#include "preload/compute.h"
#include "preload/joint.h"
#include "preload/measure.h"
#include "preload/turn.h"

#define MS UINT64_C(1000000)
#define CHUNK_NS LANE_CHUNK_NS         /* credit taken at once */
#define CHUNK_MIN_NS INT64_C(20000)    /* below, every launch is measured by itself */
#define CHUNK_SLOW_NS INT64_C(1000000) /* credit of a lane that starves the device */
#define PACE_NS 2e6                    /* ... lasts about so long (lane.h) */
#define RARE_NS 200000                 /* so far apart, each of its launches is measured */
#define PEEK 16                        /* ... and of so many two together */
#define SAMPLE_NS INT64_C(4000000)  /* of its work lies between two measured launches at most, on average */
#define LONG_NS INT64_C(250000)     /* ... of one launch: worth measuring each */
#define DRIFT_PPM 200000            /* samples so far from their prices: eight times as many */
#define LINGER_NS UINT64_C(2500000) /* a batch lay open for longer than PACE_NS explains ... */
#define LINGER_SEEN_NS UINT64_C(100000000) /* ... and is looked into once in so much of it, on average */
#define LINGER_TIMES 8                     /* ... for so many times as long */
#define LINGER_MAX_NS UINT64_C(10000000000)
#define GRANT_NS INT64_C(250000)       /* tokens that must be there before a grant */
#define PIPE_NS INT64_C(2000000)       /* estimated work in flight */
#define PIPE_SHORT_NS INT64_C(1000000) /* ... beside somebody in a hurry */
#define PIPE_ALONE_NS                                                                                        \
    INT64_C(6000000)   /* ... when nobody waits: a host that is slow to wake us must not let the device idle \
                        */
#define PIPE_BATCHES 2 /* ... however long they are */
#define CROWD_BATCHES 20 /* unmeasured: something long lies before them */
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
    bool apart;        /* the same: it is to be measured by itself ... */
    bool sample;       /* ... because its price is wanted */
    uint64_t since_ns; /* it asks */
};

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* ---- ending a run of launches ------------------------------------------ */

/* The entry's launches become part of the batch. */
static void count_in(struct batch *batch, struct lane_entry *e)
{
    uint32_t i = 0;
    batch->launches += e->count;
    batch->estimate_ns += e->price_ns * e->count;
    while (i < batch->n_parts && (batch->parts[i].function != e->function || batch->parts[i].size != e->size))
        i++;
    if (i < batch->n_parts)
        batch->parts[i].count += e->count;
    else if (i < BATCH_PARTS)
        batch->parts[batch->n_parts++] = (struct batch_part){
            .function = e->function, .size = e->size, .count = e->count, .price_ns = e->price_ns};
    e->count = 0;
}

static void take_counts(struct lane *lane, struct batch *batch)
{
    for (uint32_t i = 0; i < lane->n_touched; i++) {
        struct lane_entry *e = &lane->entries[lane->touched[i]];
        if (e->stream == batch->stream && e->count > 0)
            count_in(batch, e);
    }
}

/* Below 65536; what has come does not tell what comes. */
static uint32_t dice(struct lane *lane)
{
    uint64_t z = lane->dice += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return (uint32_t)(z >> 48);
}

static void grow_chunk(struct lane *lane, int64_t most)
{
    int64_t more = lane->chunk_ns < CHUNK_MIN_NS ? CHUNK_MIN_NS : lane->chunk_ns * 2;
    lane->chunk_ns = more < most ? more : most;
}

/* One launch that was closed at once tells nothing; nor does the rest of a chunk
 * before a synchronisation, which may end with the long ones. */
static bool starves_now(const struct lane *lane, int64_t estimate_ns, uint32_t launches, uint64_t issue_ns)
{
    bool pauses = measure_starves(issue_ns, estimate_ns);
    if (lane->starves)
        return launches == 1 || estimate_ns < lane->chunk_ns / 2 || issue_ns > (uint64_t)estimate_ns * 6 / 10;
    return pauses;
}

/* So much of it until the next look. */
static int64_t linger(struct lane *lane)
{
    return (int64_t)(dice(lane) * (LINGER_SEEN_NS >> 15));
}

/* A batch that lay open for long: whether the device was idle meanwhile, or at
 * work for longer than expected, cannot be told. So now and then the next ones
 * are looked at launch by launch: behind a lane's first one, and then once in so
 * much time as they lay open in all, at a moment that nobody can foretell and
 * that comes in twice as much at most. */
static void look_closer(struct lane *lane, struct card *card, int64_t estimate_ns, uint64_t issue_ns,
                        uint64_t now)
{
    if (issue_ns <= LINGER_NS || !measure_starves(issue_ns, estimate_ns))
        return;
    lane->linger_ns -= (int64_t)earlier(issue_ns, LINGER_SEEN_NS);
    if (lane->linger_ns > 0 && issue_ns < LINGER_SEEN_NS)
        return;
    /* What was too much for one look counts for the next ones. */
    lane->linger_ns += linger(lane);
    if (lane->linger_ns < -(int64_t)LINGER_SEEN_NS)
        lane->linger_ns = -(int64_t)LINGER_SEEN_NS;
    measure_watch(card, now + earlier(LINGER_TIMES * issue_ns, LINGER_MAX_NS));
}

/* A lane whose launches leave the device waiting asks for as much as it can
 * launch in PACE_NS: each batch costs the host time that it has not got, and
 * one that lasted longer would keep the turn. Where launches are rare enough
 * each is measured; now and then two, to see whether they still are. `lasts`: it
 * did so before; a batch that lay open over an idle time is no sign of that. */
static void adapt_slow_chunk(struct lane *lane, int64_t estimate_ns, uint32_t launches, uint64_t issue_ns,
                             bool lasts)
{
    bool lay_open = measure_starves(issue_ns, estimate_ns);
    if (launches == 1 && !lay_open) {
        if (lane->chunk_ns < 2 * estimate_ns && dice(lane) % PEEK == 0)
            lane->chunk_ns = 2 * estimate_ns;
        return;
    }
    lane->pace_ns = (int64_t)((double)estimate_ns * PACE_NS / (double)(issue_ns | 1));
    int64_t fits = lane->pace_ns < CHUNK_SLOW_NS ? lane->pace_ns : CHUNK_SLOW_NS;
    if (launches == 1 || (lasts && issue_ns / (launches - 1) >= RARE_NS))
        lane->chunk_ns = estimate_ns / launches;
    else if (fits < lane->chunk_ns)
        lane->chunk_ns = fits;
    else
        grow_chunk(lane, fits);
}

static void adapt_chunk(struct lane *lane, int64_t estimate_ns, uint32_t launches, uint64_t issue_ns)
{
    if (estimate_ns <= 0)
        return;
    bool before = lane->starves;
    lane->starves = starves_now(lane, estimate_ns, launches, issue_ns);
    if (lane->starves)
        adapt_slow_chunk(lane, estimate_ns, launches, issue_ns, before);
    else
        grow_chunk(lane, CHUNK_NS);
}

/* Returns when. */
static uint64_t close_one(const struct lane *lane, struct card *card, struct batch *batch,
                          uint64_t busy_until)
{
    batch->slow = lane->starves && batch->launches > 1;
    batch_close(card, batch);
    uint64_t now = batch->closed_ns; /* forgotten below, the batch may be another's */
    joint_count(card, batch->launches, batch->closed_ns);
    batch->unsure_ns = measure_unsure_ns(batch);
    port_lock(&card->lock);
    if (batch->launches == 0) {
        batch_drop(batch);
        port_unlock(&card->lock);
        return now;
    }
    uint64_t from = batch->first_ns > busy_until ? batch->first_ns : busy_until;
    batch->due_ns = from + (uint64_t)batch->estimate_ns;
    batch->polled_ns = batch->closed_ns;
    batch_wait(card, batch);
    if (batch->probe) {
        card->probes++;
        card->probe_due_ns = batch->closed_ns + STUCK_NS;
    }
    port_unlock(&card->lock);
    return now;
}

static void close_all(struct lane *lane, struct card *card)
{
    int64_t estimate_ns = 0;
    uint32_t launches = 0;
    uint64_t first_ns = UINT64_MAX, closed_ns = 0;
    for (uint32_t i = 0; i < lane->n_open; i++) {
        struct batch *batch = lane->open[i];
        take_counts(lane, batch);
        estimate_ns += batch->estimate_ns;
        launches += batch->launches;
        first_ns = earlier(first_ns, batch->first_ns);
    }
    for (uint32_t i = 0; i < lane->n_open; i++) {
        lane->open[i]->beside_ns = estimate_ns;
        closed_ns = close_one(lane, card, lane->open[i], measure_busy_until(card));
    }
    adapt_chunk(lane, estimate_ns, launches, closed_ns - first_ns);
    look_closer(lane, card, estimate_ns, closed_ns - first_ns, closed_ns);
    lane->sample_ns -= lane->starves ? estimate_ns : 0;
}

/* Ends the lane's open batches and gives unspent credit back. */
static void lane_close(struct lane *lane)
{
    struct card *card = lane->card;
    if (!card)
        return;
    if (lane->n_open)
        close_all(lane, card);
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
    if (unlikely(blind_is_under_way(card, now)) && now < r->since_ns + BLIND_MAX_NS) {
        *ret_due = now + STEP_NS;
        return WAIT_ROOM;
    }
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
    int64_t room = limit->tokens ? bucket_balance(card->account) - inflight : CHUNK_NS;
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

/* While long work runs, tokens are earned for what comes after it: that is not an idle time. Nor is it one
 * when a lane that starves the device has work lying there uncharged, or when threads that do something else
 * hold credit: it has to be there before anything is launched. */
static int64_t kept_tokens(const struct request *r)
{
    int64_t inflight = atomic_load_explicit(&r->card->inflight_ns, memory_order_relaxed);
    bool counts = inflight > PIPE_ALONE_NS || (!r->waited && r->lane->starves && inflight > 0);
    return (r->waited ? WAIT_CAP_NS : BURST_NS) + (counts ? inflight : 0);
}

/* How much at once. A lane that starves the device stops where a sample is due. */
static int64_t chunk_of(const struct request *r, uint64_t now)
{
    const struct lane *lane = r->lane;
    int64_t room = lane->chunk_ns < CHUNK_SLOW_NS ? lane->chunk_ns : CHUNK_SLOW_NS;
    if (lane->starves && turn_is_wanted(r->card, now))
        room /= 2;
    if (lane->starves && lane->sample_ns < room)
        room = lane->sample_ns;
    return r->price_ns > room || r->single || r->apart ? r->price_ns : room;
}

/* Credit for a chunk; -1 when nothing limits this launch. */
static int64_t acquire(struct request *r)
{
    struct card *card = r->card;
    uint64_t since = 0, due, now;
    uint32_t bell = 0;
    for (;;) {
        measure_finished(card);
        now = port.now();
        struct turn_limit limit = turn_limit_of(card, now);
        if (!limit.tokens && !limit.turns)
            return -1;
        if (limit.tokens)
            bucket_refill(card->account, limit.percent, now, kept_tokens(r));
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
    int64_t chunk = chunk_of(r, now);
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
    struct batch *batch = batch_open(card, lane->context, stream);
    if (batch) {
        lane->open[lane->n_open++] = batch;
        turn_mark(card, batch);
    }
    return batch;
}

/* *ret_guess: it was not measured often enough to be charged. */
static int64_t price_now(const void *function, uint32_t size, bool *ret_guess)
{
    port_lock(&prices_lock);
    const struct price *p = price_of(&prices, function, size);
    int64_t price = p->samples ? (int64_t)p->mean_ns : 0;
    *ret_guess = p->samples < PRICE_FEW;
    port_unlock(&prices_lock);
    return price;
}

/* A lane that starves the device measures what it can afford to, and what it
 * must, by itself; the rest is charged by price. */
static bool stands_apart(const struct lane *lane, int64_t price, bool guess)
{
    return (lane->starves && (guess || price >= LONG_NS)) || measure_watches(lane->card);
}

/* Spends credit on the launch and lets the next ones of its kind pass. */
static void spend(struct lane *lane, const void *function, uint32_t size, CUstream stream, int64_t price)
{
    uint64_t tag = lane_tag(function, size, stream);
    struct lane_entry *e = lane_entry_of(lane, tag);
    bool closed = e->price_ns == LANE_CLOSED_NS;
    if (closed)
        lane->touched[lane->n_touched++] = (uint8_t)(e - lane->entries);
    else if (e->tag != tag && e->count > 0) /* two kinds in one place */
        count_in(batch_on(lane, e->stream), e);
    if (closed || e->tag != tag)
        *e = (struct lane_entry){
            .tag = tag, .price_ns = price, .size = size, .function = function, .stream = stream};
    e->count++;
    lane->credit_ns -= price;
}

/* One that will have no batch: with what it needs but for that, and alone of its kind. */
__attribute__((cold, noinline)) static struct throttle_ticket unmeasured(struct request *r, CUstream stream)
{
    lane_close(r->lane);
    do {
        int64_t chunk = acquire(r);
        if (chunk < 0)
            return (struct throttle_ticket){0};
        atomic_fetch_sub(&r->card->inflight_ns, chunk);
    } while (!blind_begin(r->card, stream, r->since_ns));
    return (struct throttle_ticket){.close = true, .blind = true};
}

static bool has_room(const struct lane *lane, int64_t price, CUstream stream)
{
    return lane->stamp == atomic_load_explicit(&lane_stamp, memory_order_relaxed) && price > 0 &&
           lane->credit_ns >= price && lane->n_touched < LANE_TOUCHED &&
           (batch_on(lane, stream) || lane->n_open < LANE_STREAMS);
}

/* The lane's work until it is time again: at random, so that launches in a
 * pattern have their turn by what they take of it. */
static int64_t next_sample(struct lane *lane)
{
    int32_t drift = atomic_load_explicit(&lane->card->drift_ppm, memory_order_relaxed);
    int64_t mean = 2 * lane->pace_ns < SAMPLE_NS ? 2 * lane->pace_ns : SAMPLE_NS;
    if (drift > DRIFT_PPM || drift < -DRIFT_PPM)
        mean /= 8;
    return (int64_t)dice(lane) * (2 * mean) >> 16;
}

static struct throttle_ticket gated(struct request *r, const void *function, uint32_t size, CUstream stream)
{
    struct lane *lane = r->lane;
    bool guess;
    r->price_ns = price_now(function, size, &guess);
    if (!has_room(lane, r->price_ns, stream) || stands_apart(lane, r->price_ns, guess)) {
        lane_close(lane);
        bool due = lane->starves && lane->sample_ns < r->price_ns && r->price_ns < LONG_NS;
        r->sample = r->price_ns > 0 && (due || (lane->starves && guess));
        r->apart = r->sample || stands_apart(lane, r->price_ns, guess);
        if (due)
            lane->sample_ns = next_sample(lane);
        int64_t chunk = acquire(r);
        if (chunk < 0)
            return (struct throttle_ticket){0};
        lane->credit_ns = chunk;
        lane->stamp = atomic_load(&lane_stamp);
    }
    struct batch *known = batch_on(lane, stream), *batch = known ? known : open_on(lane, stream);
    if (!batch)
        return unmeasured(r, stream);
    bool alone = r->price_ns == 0 || lane->credit_ns < 2 * r->price_ns || compute_capturing();
    if (r->price_ns == 0)
        batch->probe = true;
    batch->watched = r->apart;
    spend(lane, function, size, stream, r->price_ns);
    return (struct throttle_ticket){.fresh = known ? NULL : batch, .close = alone, .sample = r->sample};
}

/* Another kind of launch within the credit: as the next ones of its kind, it
 * asks neither the driver nor the clock. */
static bool joins(struct lane *lane, const void *function, uint32_t size, CUstream stream,
                  struct throttle_ticket *ret)
{
    bool guess;
    if (!batch_on(lane, stream) || compute_capturing())
        return false;
    int64_t price = price_now(function, size, &guess);
    if (!has_room(lane, price, stream) || stands_apart(lane, price, guess))
        return false;
    spend(lane, function, size, stream, price);
    *ret = (struct throttle_ticket){.close = lane->credit_ns < price};
    return true;
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

/* There was no memory for a lane. */
__attribute__((cold, noinline)) static struct throttle_ticket without_lane(CUstream stream)
{
    struct throttle_ticket ticket = {0};
    uint64_t now = port.now();
    struct card *card = turn_card(stream);
    struct turn_limit limit = card ? turn_limit_of(card, now) : (struct turn_limit){0};
    if (!limit.tokens && !limit.turns)
        return ticket;
    turn_note_launches(card, 0, now);
    struct request request = {.lane = &lane_none, .card = card, .since_ns = now};
    CUstreamCaptureMode mode = port.capture_mode(CU_STREAM_CAPTURE_MODE_RELAXED);
    if (!compute_capturing() || !port.is_capturing(stream)) {
        atomic_store_explicit(&cards_gated, true, memory_order_relaxed);
        ticket = unmeasured(&request, stream);
    }
    port.capture_mode(mode);
    return ticket;
}

struct throttle_ticket throttle_begin(const void *function, uint32_t size, CUstream stream)
{
    const struct throttle_ticket nothing = {0};
    struct throttle_ticket ticket;
    struct lane *lane = lane_get();
    if (unlikely(!lane))
        return without_lane(stream);
    if (joins(lane, function, size, stream, &ticket))
        return ticket;
    uint64_t now = port.now();
    struct card *card = turn_card(stream);
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
    ticket = gated(&request, function, size, stream);
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
    if (ticket->fresh)
        batch_begun(ticket->fresh, ticket->sample);
    if (ticket->close && unlikely(ticket->blind))
        blind_end();
    else if (ticket->close)
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
