/* SPDX-License-Identifier: Apache-2.0
 *
 * See measure.h.
 *
 * Invariants:
 *   1. Each batch is charged once: measured where it can be, else for all the time
 *      that it may have taken (batch_assume).
 *   2. A stretch of time is charged once, whatever ran side by side in it, and
 *      never from before the previous tenant's work had drained.
 *   3. A batch is read until it is forgotten and no more: another thread may open it at once.
 *   4. What a stretch with pauses is charged is the work expected in it, as far as
 *      it has room for that. Room that one leaves is there for the next, and so is
 *      work that found none: expectations err both ways, and streams side by side
 *      share one stretch. Both are bounded by SPARE_NS.
 *   5. A batch that takes far longer than expected stops counting as in flight
 *      (others must not wait for it for ever) and is still charged in the end.
 */
#include "preload/measure.h"

#include <stdatomic.h>

#include "preload/board.h"
#include "preload/hook.h"
#include "preload/turn.h"

#define SLACK_NS UINT64_C(30000)   /* launches this close together leave no pause */
#define QUEUE_NS UINT64_C(5000000) /* a stretch this much too long may be others' */
#define POLL_MIN_NS UINT64_C(20000)
#define POLL_MAX_NS UINT64_C(1000000)
#define WRITE_OFF_NS UINT64_C(100000000)
#define SPARE_NS INT64_C(2000000)
#define DRIFT_MAX 4      /* times the price that a sample is taken to be longer, at most */
#define DRIFT_WEIGHT 16  /* a sample counts for so much of all */
#define SURPRISE_TIMES 8 /* a launch of so many times its price ... */
#define SURPRISE_MIN_NS UINT64_C(50000)
#define SURPRISE_LASTS 10000 /* ... and for so many times as long each is measured */
#define SURPRISE_MAX_NS UINT64_C(30000000000)
#define SURE_NS INT64_C(400000) /* an end predicted better than this may be published ahead */

int64_t measure_unsure_ns(const struct batch *batch)
{
    int64_t unsure = 0;
    port_lock(&prices_lock);
    for (uint32_t i = 0; i < batch->n_parts; i++) {
        const struct batch_part *part = &batch->parts[i];
        unsure += part->price_ns * part->count / 1000 *
                  (int64_t)price_of(&prices, part->function, part->size)->spread_pm;
    }
    port_unlock(&prices_lock);
    return unsure;
}

void measure_watch(struct card *card, uint64_t until_ns)
{
    if (atomic_load_explicit(&card->watched_ns, memory_order_relaxed) < until_ns)
        atomic_store_explicit(&card->watched_ns, until_ns, memory_order_relaxed);
}

bool measure_watches(struct card *card)
{
    uint64_t until = atomic_load_explicit(&card->watched_ns, memory_order_relaxed);
    if (likely(until == 0))
        return false;
    if (port.now() < until)
        return true;
    atomic_compare_exchange_strong(&card->watched_ns, &until, 0); /* the clock is asked no more */
    return false;
}

/* A launch that was picked took so much longer than its price that what is picked
 * does not tell what others of its kind take. */
static void note_surprise(struct card *card, const struct batch *batch, uint64_t own_ns)
{
    uint64_t estimate_ns = (uint64_t)batch->estimate_ns;
    bool surprises = batch->watched && batch->launches == 1 && estimate_ns > 0 && own_ns >= SURPRISE_MIN_NS &&
                     own_ns / SURPRISE_TIMES >= estimate_ns;
    uint64_t lasts = own_ns < SURPRISE_MAX_NS / SURPRISE_LASTS ? own_ns * SURPRISE_LASTS : SURPRISE_MAX_NS;
    if (surprises)
        measure_watch(card, batch->closed_ns + lasts);
}

bool measure_starves(uint64_t issue_ns, int64_t estimate_ns)
{
    return issue_ns > (uint64_t)estimate_ns * 9 / 10 + SLACK_NS;
}

/* May the device have waited between the batch's launches, for a part of its
 * stretch that counts? */
static bool has_pauses(const struct batch *batch, uint64_t own_ns)
{
    uint64_t issue_ns = batch->closed_ns - batch->first_ns;
    if (batch->assumed || batch->estimate_ns == 0 || issue_ns < own_ns / 8)
        return false;
    return batch->slow || measure_starves(issue_ns, batch->beside_ns);
}

/* How far measure_finished() has come: which batch it looked at last. By value, for that one may be another's
 * by now. */
struct claimed {
    const struct batch *batch;
    uint64_t closed_ns;
};

static struct batch *claim_next(struct card *card, struct claimed *last)
{
    struct batch *found = NULL;
    port_lock(&card->lock);
    for (struct batch *b = card->batches.first; b; b = b->next) {
        bool later = !last->batch || b->closed_ns > last->closed_ns ||
                     (b->closed_ns == last->closed_ns && b > last->batch);
        if (b->state == BATCH_CLOSED && !b->meter->claimed && later &&
            (!found || b->closed_ns < found->closed_ns))
            found = b;
    }
    if (found) {
        found->state = BATCH_CLAIMED;
        found->meter->claimed = true;
        *last = (struct claimed){found, found->closed_ns};
    }
    port_unlock(&card->lock);
    return found;
}

/* The same kind of launch throughout teaches its price; a mixture scales the
 * prices it was made of, each by its part. */
static void learn(const struct batch *batch, uint64_t used_ns)
{
    port_lock(&prices_lock);
    for (uint32_t i = 0; i < batch->n_parts; i++) {
        const struct batch_part *part = &batch->parts[i];
        struct price *price = price_of(&prices, part->function, part->size);
        if (part->count == batch->launches)
            price_learn(price, used_ns, part->count);
        else if (batch->estimate_ns > 0 && price->samples)
            price_scale(price, (double)used_ns / (double)batch->estimate_ns,
                        (double)(part->price_ns * part->count) / (double)batch->estimate_ns);
    }
    port_unlock(&prices_lock);
}

void measure_count(struct card *card, uint32_t launches)
{
    atomic_fetch_add_explicit(&card->account->launches, launches, memory_order_relaxed);
    if (card->own)
        atomic_fetch_add_explicit(&card->own->launches, launches, memory_order_relaxed);
}

static void charge(struct card *card, const struct batch *batch, uint64_t used_ns)
{
    bucket_charge(card->account, used_ns);
    atomic_fetch_add_explicit(&card->account->busy_ns, used_ns, memory_order_relaxed);
    if (card->own)
        atomic_fetch_add_explicit(&card->own->busy_ns, used_ns, memory_order_relaxed);
    measure_count(card, batch->launches);
}

/* When the device became free for the turn this batch ran in. */
static uint64_t foreign_end(const struct card *card, const struct batch *batch)
{
    if (!card->seat.board || batch->sequence == 0)
        return 0;
    return board_foreign_end(&card->seat, batch->sequence, batch->held_ns);
}

/* Others may have had work before ours: who was alone on the device fills the
 * driver's queue, and takes turns from its next launches on. Asked where that
 * can be: at first launches and soon after a pause. */
static bool may_have_queued(struct card *card, const struct batch *batch, uint64_t own_ns)
{
    uint64_t returned = atomic_load_explicit(&card->returned_ns, memory_order_relaxed);
    bool possible = batch->estimate_ns == 0 || batch->opened_ns - returned < TURN_AWAY_NS;
    return possible && own_ns > 4 * (uint64_t)batch->estimate_ns + QUEUE_NS &&
           turn_has_neighbours(card, port.now());
}

/* A launch of unknown duration that the host was slow to issue, or whose stretch
 * may be another's, tells nothing: the next one is asked instead. */
static bool probe_is_doubtful(struct card *card, const struct batch *batch, uint64_t own_ns)
{
    uint64_t issue_ns = batch->closed_ns - batch->first_ns;
    if (batch->n_parts == 0 ||
        (own_ns > 0 && issue_ns <= own_ns / 2 + SLACK_NS && !may_have_queued(card, batch, own_ns)))
        return false;
    const struct batch_part *part = &batch->parts[0];
    port_lock(&prices_lock);
    bool doubtful = price_doubt(price_of(&prices, part->function, part->size));
    port_unlock(&prices_lock);
    return doubtful;
}

/* What the device did after the last launch it did without waiting. */
static int64_t backlog_ns(const struct batch *batch, uint64_t from, uint64_t to)
{
    uint64_t since = from > batch->closed_ns ? from : batch->closed_ns;
    return to > since ? (int64_t)(to - since) : 0;
}

/* What launches expected to take work_ns used of a stretch with pauses; the caller holds the card's lock. */
static uint64_t without_pauses(struct card *card, uint64_t fresh_ns, int64_t work_ns)
{
    int64_t spare = card->spare_ns;
    int64_t room = (int64_t)fresh_ns + (spare > 0 ? spare : 0), work = work_ns - (spare < 0 ? spare : 0);
    spare = room - work;
    card->spare_ns = spare > SPARE_NS ? SPARE_NS : spare < -SPARE_NS ? -SPARE_NS : spare;
    return (uint64_t)(room < work ? room : work);
}

/* What the sample tells: the end mark took some of it. How far samples are from
 * their prices says how far everything else is, long before each price was
 * corrected by samples of its own. */
static uint64_t note_sample(struct card *card, const struct batch *batch, uint64_t own_ns)
{
    if (batch->estimate_ns <= 0)
        return own_ns;
    own_ns -= own_ns > 2 * BATCH_MARK_NS ? BATCH_MARK_NS : 0;
    double off = (double)own_ns / (double)batch->estimate_ns - 1;
    int32_t off_ppm = off > DRIFT_MAX ? (int32_t)(1e6 * DRIFT_MAX) : (int32_t)(1e6 * off);
    int32_t before = atomic_load_explicit(&card->drift_ppm, memory_order_relaxed);
    atomic_store_explicit(&card->drift_ppm, before + (off_ppm - before) / DRIFT_WEIGHT, memory_order_relaxed);
    return own_ns;
}

/* What the batch's launches are expected to have used. */
static int64_t expected_ns(struct card *card, const struct batch *batch)
{
    double drift = atomic_load_explicit(&card->drift_ppm, memory_order_relaxed) / 1e6;
    return batch->slow ? (int64_t)((double)batch->estimate_ns * (1 + drift)) : batch->estimate_ns;
}

/* Was the device ours for all of the stretch? If not, *ret_most is what can be
 * charged: what was expected, and of a stretch shared with others' queues as
 * much as it earned. */
static bool is_doubtful(struct card *card, const struct batch *batch, uint64_t own_ns, uint64_t *ret_most)
{
    uint64_t estimate_ns = (uint64_t)batch->estimate_ns;
    *ret_most = estimate_ns;
    if (estimate_ns == 0)
        return probe_is_doubtful(card, batch, own_ns);
    if (own_ns <= estimate_ns)
        return false;
    uint64_t earned = own_ns * atomic_load_explicit(&card->account->cores_pct, memory_order_relaxed) / 100;
    *ret_most = earned > estimate_ns ? earned : estimate_ns;
    return may_have_queued(card, batch, own_ns);
}

/* Launches that were not believed cost what the first one did that was. */
static uint64_t owed_for_doubts(const struct batch *batch, uint64_t own_ns)
{
    if (batch->estimate_ns > 0 || batch->n_parts == 0)
        return 0;
    const struct batch_part *part = &batch->parts[0];
    port_lock(&prices_lock);
    uint64_t owed = own_ns * price_doubts_end(price_of(&prices, part->function, part->size));
    port_unlock(&prices_lock);
    return owed;
}

static void settle(struct card *card, struct batch *batch, const struct measure *m)
{
    turn_check_board(card); /* since the last look the driver was asked */
    uint64_t from = m->from_ns, foreign = foreign_end(card, batch);
    from = foreign > from ? (foreign < m->to_ns ? foreign : m->to_ns) : from;
    uint64_t own_ns = m->to_ns - from, owed = 0, most;
    bool pauses = has_pauses(batch, own_ns);
    int64_t work_ns = expected_ns(card, batch), backlog = pauses ? backlog_ns(batch, from, m->to_ns) : 0;
    bool doubtful = !pauses && !batch->assumed && is_doubtful(card, batch, own_ns, &most);
    uint64_t told_ns = own_ns;
    if (batch->sample && !pauses && !doubtful)
        told_ns = note_sample(card, batch, own_ns);
    if (backlog > work_ns) {
        work_ns = backlog;
        learn(batch, (uint64_t)backlog);
    } else if (pauses && batch->launches == 1) { /* nothing can be told, so often as was asked */
        learn(batch, (uint64_t)batch->estimate_ns);
    } else if (!doubtful && !pauses && (!batch->assumed || batch->estimate_ns == 0)) {
        owed = owed_for_doubts(batch, own_ns);
        note_surprise(card, batch, own_ns);
        learn(batch, told_ns);
    }
    port_lock(&card->lock);
    uint64_t fresh = busy_add(&card->busy, from, m->to_ns);
    if (m->to_ns > card->last_end_ns)
        card->last_end_ns = m->to_ns;
    if (pauses)
        fresh = without_pauses(card, fresh, work_ns);
    port_unlock(&card->lock);
    fresh = doubtful && fresh > most ? most : fresh;
    charge(card, batch, fresh + owed);
    if (atomic_fetch_add_explicit(&card->run_ns, fresh + owed, memory_order_relaxed) > CARD_BRIEF_NS)
        atomic_store_explicit(&card->usual_ns, 0, memory_order_relaxed);
    uint64_t sequence = batch->sequence;
    port_lock(&card->lock);
    bool drained = card->last_sequence && sequence == card->last_sequence;
    batch_forget(card, batch);
    port_unlock(&card->lock);
    if (drained && card->seat.board)
        board_drained(card->seat.board, sequence, m->to_ns);
}

void measure_waited(struct card *card, uint64_t from, uint64_t to)
{
    const struct batch one = {.launches = 1};
    port_lock(&card->lock);
    uint64_t fresh = busy_add(&card->busy, from, to);
    if (to > card->last_end_ns)
        card->last_end_ns = to;
    port_unlock(&card->lock);
    charge(card, &one, fresh);
}

static void write_off_if_stuck(struct card *card, struct batch *batch, uint64_t now)
{
    uint64_t patience = (uint64_t)batch->estimate_ns * 4;
    patience = patience > WRITE_OFF_NS ? patience : WRITE_OFF_NS;
    if (batch->written_off || now < batch->due_ns + patience)
        return;
    batch->written_off = true;
    atomic_fetch_sub(&card->inflight_ns, batch->estimate_ns);
    if (batch->probe && card->probes)
        card->probes--;
}

/* The meter is free for others as soon as its events were asked. */
static CUresult measure_one(struct card *card, struct batch *batch, struct measure *ret)
{
    CUresult result = batch_measure(batch, ret);
    port_lock(&card->lock);
    batch->meter->claimed = false;
    port_unlock(&card->lock);
    return result;
}

void measure_finished(struct card *card)
{
    struct claimed last = {NULL, 0};
    struct batch *batch;
    uint32_t closed = atomic_load_explicit(&card->closed, memory_order_relaxed);
    if (closed == 0)
        return;
    turn_check_board(card);
    for (; closed > 0 && (batch = claim_next(card, &last)) != NULL; closed--) {
        struct measure m;
        CUresult result = measure_one(card, batch, &m);
        uint64_t now = result == CUDA_SUCCESS ? 0 : port.now();
        if (result != CUDA_ERROR_NOT_READY) {
            if (result != CUDA_SUCCESS)
                batch_assume(batch, now);
            settle(card, batch, result == CUDA_SUCCESS ? &m : &batch->was);
            continue;
        }
        port_lock(&card->lock);
        batch->state = BATCH_CLOSED;
        batch->polled_ns = now;
        write_off_if_stuck(card, batch, now);
        port_unlock(&card->lock);
    }
}

static uint64_t poll_at(const struct batch *b, uint64_t now)
{
    if (b->due_ns > now)
        return b->due_ns;
    uint64_t step = (now - b->closed_ns) / 16;
    step = step < POLL_MIN_NS ? POLL_MIN_NS : step > POLL_MAX_NS ? POLL_MAX_NS : step;
    return now + step;
}

uint64_t measure_next(struct card *card, uint64_t now)
{
    uint64_t next = UINT64_MAX;
    if (atomic_load_explicit(&card->closed, memory_order_relaxed) == 0)
        return next;
    port_lock(&card->lock);
    for (const struct batch *b = card->batches.first; b; b = b->next)
        if (b->state == BATCH_CLOSED && !b->written_off && poll_at(b, now) < next)
            next = poll_at(b, now);
    port_unlock(&card->lock);
    return next;
}

uint64_t measure_busy_until(struct card *card)
{
    uint64_t until = 0;
    if (atomic_load_explicit(&card->closed, memory_order_relaxed) == 0)
        return 0;
    port_lock(&card->lock);
    for (const struct batch *b = card->batches.first; b; b = b->next)
        if (b->state == BATCH_CLOSED && !b->written_off && b->due_ns > until)
            until = b->due_ns;
    port_unlock(&card->lock);
    return until;
}

bool measure_is_sure(struct card *card, uint64_t now)
{
    bool sure = true;
    port_lock(&card->lock);
    for (const struct batch *b = card->batches.first; b; b = b->next) {
        if (b->state != BATCH_CLOSED || b->written_off)
            continue;
        bool predictable =
            b->launches > 0 && b->estimate_ns > 0 && b->estimate_ns / (int64_t)b->launches < SURE_NS;
        sure = sure && predictable && b->due_ns > now;
    }
    port_unlock(&card->lock);
    return sure;
}
