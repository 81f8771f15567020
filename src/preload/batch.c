/* SPDX-License-Identifier: Apache-2.0
 *
 * See batch.h.
 */
#include "preload/batch.h"

#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>

#include "preload/card.h"
#include "preload/compute.h"
#include "preload/measure.h"

enum { GONE_TRIES = 1000, MORE_BYTES = 16384 };
#define GONE_STEP_NS UINT64_C(100000)
#define GONE_STEP_MAX_NS UINT64_C(1000000)
#define GRACE_NS UINT64_C(50000)       /* who was about to launch has done so */
#define REBASE_NS UINT64_C(2000000000) /* a float of milliseconds keeps 1 us for 16 s */

/* ---- room -------------------------------------------------------------- */

static void *memory_new(void)
{
    int saved = errno;
    void *memory = mmap(NULL, MORE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    errno = saved;
    return memory == MAP_FAILED ? NULL : memory;
}

static void meters_more(struct batches *batches)
{
    struct meter *more = memory_new();
    for (size_t i = 0; more && i < MORE_BYTES / sizeof *more; i++) {
        more[i].next = batches->spare;
        batches->spare = &more[i];
    }
}

static void batches_more(struct meter *meter)
{
    struct batch *more = memory_new();
    for (size_t i = 0; more && i < MORE_BYTES / sizeof *more; i++) {
        more[i].meter = meter;
        more[i].kin = meter->all;
        meter->all = &more[i];
        more[i].next = meter->free;
        meter->free = &more[i];
    }
}

static struct meter *meter_find(struct card *card, CUcontext context)
{
    struct meter *meter = card->batches.meters;
    while (meter && meter->context != context)
        meter = meter->next;
    return meter;
}

static void meter_append(struct batches *batches, struct meter *meter)
{
    struct meter **end = &batches->meters;
    while (*end)
        end = &(*end)->next;
    meter->next = NULL;
    *end = meter;
}

/* One that nothing is measured with, out of the list: of a context that went away, or else of the one that
 * came first. *ret_others: how many have a context. A batch of a context that went away may still be
 * somebody's. */
static struct meter *meter_take_quiet(struct batches *batches, bool any, uint32_t *ret_others)
{
    struct meter **found = NULL;
    *ret_others = 0;
    for (struct meter **at = &batches->meters; *at; at = &(*at)->next) {
        bool quiet = (*at)->n_used == 0 && !(*at)->claimed;
        if (quiet && (any || !(*at)->context) && !found)
            found = at;
        *ret_others += (*at)->context != NULL;
    }
    if (!found)
        return NULL;
    struct meter *meter = *found;
    *found = meter->next;
    return meter;
}

static struct meter *meter_take_spare(struct batches *batches)
{
    if (!batches->spare)
        meters_more(batches);
    struct meter *meter = batches->spare;
    if (meter)
        batches->spare = meter->next;
    return meter;
}

static struct meter *meter_take(struct batches *batches)
{
    uint32_t others;
    struct meter *meter = meter_take_quiet(batches, false, &others);
    if (!meter && others < METERS_USUAL)
        meter = meter_take_spare(batches);
    if (!meter)
        meter = meter_take_quiet(batches, true, &others);
    return meter ? meter : meter_take_spare(batches);
}

/* Nobody else has a use for them: no batch can be taken from a meter without a context, or outside the list.
 */
static void destroy_events(struct meter *meter)
{
    for (struct batch *b = meter->all; b; b = b->kin) {
        if (b->start)
            port.event_destroy(b->start);
        if (b->end)
            port.event_destroy(b->end);
        b->start = b->end = NULL;
    }
    if (meter->base)
        port.event_destroy(meter->base);
    meter->base = NULL;
}

/* The caller holds the card's lock. */
static struct batch *take_free(struct meter *meter, CUstream stream)
{
    if (!meter->free)
        batches_more(meter);
    struct batch *found = meter->free;
    if (!found)
        return NULL;
    struct batch fresh = {.state = BATCH_OPEN,
                          .recording = true,
                          .meter = meter,
                          .stream = stream,
                          .kin = found->kin,
                          .start = found->start,
                          .end = found->end};
    meter->free = found->next;
    meter->n_used++;
    *found = fresh;
    return found;
}

/* Another thread may have made one meanwhile; what is not needed can be had by others. */
static struct meter *meter_new(struct card *card, CUcontext context)
{
    port_lock(&card->lock);
    struct meter *meter = meter_take(&card->batches);
    port_unlock(&card->lock);
    if (!meter)
        return NULL;
    destroy_events(meter);
    port_lock(&card->lock);
    struct meter *other = meter_find(card, context);
    meter->context = other ? NULL : context;
    meter_append(&card->batches, meter);
    port_unlock(&card->lock);
    return other ? other : meter;
}

static struct batch *batch_take(struct card *card, CUcontext context, CUstream stream)
{
    struct batch *batch = NULL;
    bool missing;
    do { /* again if its meter, made just now, is another's by now */
        port_lock(&card->lock);
        struct meter *meter = meter_find(card, context);
        batch = meter ? take_free(meter, stream) : NULL;
        missing = meter == NULL;
        port_unlock(&card->lock);
    } while (missing && meter_new(card, context));
    return batch;
}

/* The caller holds the card's lock. */
static void set_free(struct batch *batch)
{
    struct meter *meter = batch->meter;
    batch->state = BATCH_FREE;
    batch->recording = false;
    batch->next = meter->free;
    meter->free = batch;
    meter->n_used--;
}

void batch_drop(struct batch *batch)
{
    set_free(batch);
}

static void give_back(struct card *card, struct batch *batch)
{
    port_lock(&card->lock);
    set_free(batch);
    port_unlock(&card->lock);
}

/* ---- from open to measured --------------------------------------------- */

static bool has_events(struct batch *batch)
{
    return (batch->start || port.event_create(&batch->start)) &&
           (batch->end || port.event_create(&batch->end));
}

/* The clock's zero: an event recorded now. Whoever sees none makes one. */
static bool has_base(struct card *card, struct meter *meter, CUstream stream, uint64_t now)
{
    if (meter->base)
        return true;
    CUevent base = NULL;
    if (!port.event_create(&base))
        return false;
    if (!port.event_record(base, stream)) {
        port.event_destroy(base);
        return false;
    }
    port_lock(&card->lock);
    bool ours = meter->base == NULL;
    if (ours) {
        meter->base = base;
        meter->base_ns = 0;
        meter->based_ns = now;
        meter->offset_ns = (double)now;
    }
    port_unlock(&card->lock);
    if (!ours)
        port.event_destroy(base);
    return true;
}

struct batch *batch_open(struct card *card, CUcontext context, CUstream stream)
{
    struct batch *batch = context ? batch_take(card, context, stream) : NULL;
    if (!batch)
        return NULL;
    batch->opened_ns = port.now();
    if (!has_events(batch) || !has_base(card, batch->meter, stream, batch->opened_ns) ||
        !port.event_record(batch->start, stream)) {
        give_back(card, batch);
        return NULL;
    }
    port_lock(&card->lock);
    batch->recording = false;
    port_unlock(&card->lock);
    batch->first_ns = port.now();
    return batch;
}

/* The kernel reached the device some time during the call; at its end, if the
 * host was not held up. So did the start mark, by which the meter's clock is set
 * as if that had been at the beginning of its own. */
void batch_begun(struct batch *batch, bool sample)
{
    uint64_t call = port.now() - batch->first_ns, early = batch->first_ns - batch->opened_ns + BATCH_MARK_NS;
    uint64_t later = call > early ? call - early : 0;
    batch->sample = sample;
    batch->first_ns += sample && later < call / 2 ? later : call / 2;
}

void batch_assume(struct batch *batch, uint64_t now)
{
    bool ancient = now - batch->first_ns > BATCH_GONE_NS; /* its thread has idled for most of that */
    batch->was = (struct measure){ancient ? now - BATCH_GONE_NS : batch->first_ns, now};
    batch->known = batch->assumed = true;
}

/* Another thread ends it: it has done so in a moment. */
static bool is_ended(struct card *card, struct batch *batch, bool *ret_waits)
{
    port_lock(&card->lock);
    bool ended = batch->ended;
    *ret_waits = ended && batch->recording;
    batch->recording |= !ended;
    port_unlock(&card->lock);
    return ended;
}

void batch_close(struct card *card, struct batch *batch)
{
    bool waits = true, ended = false;
    for (int tries = 0; tries < GONE_TRIES && waits; tries++) {
        ended = is_ended(card, batch, &waits);
        if (waits)
            port.sleep_until(port.now() + GONE_STEP_NS);
    }
    if (ended)
        return;
    bool captured = compute_capturing() && port.is_capturing(batch->stream);
    bool recorded = !captured && port.event_record(batch->end, batch->stream);
    batch->closed_ns = port.now();
    port_lock(&card->lock);
    if (!recorded)
        batch_assume(batch, batch->closed_ns);
    batch->recording = false;
    batch->ended = true;
    port_unlock(&card->lock);
}

void batch_wait(struct card *card, struct batch *batch)
{
    struct batches *all = &card->batches;
    batch->state = BATCH_CLOSED;
    batch->next = NULL;
    batch->before = all->last;
    *(all->last ? &all->last->next : &all->first) = batch;
    all->last = batch;
    atomic_fetch_add(&card->closed, 1);
}

/* Both events bound the offset: the start cannot lie before it was recorded,
 * the end not after it was seen. */
static void sharpen(struct meter *meter, double start, double end, const struct batch *batch,
                    uint64_t seen_ns)
{
    double low = (double)batch->opened_ns - start, high = (double)seen_ns - end;
    if (meter->offset_ns < low)
        meter->offset_ns = low;
    if (meter->offset_ns > high)
        meter->offset_ns = high;
}

/* A fresh zero from time to time; the event of a finished batch becomes it. */
static void rebase(struct meter *meter, struct batch *batch, double start_ns, uint64_t now)
{
    if (now - meter->based_ns < REBASE_NS)
        return;
    CUevent old = meter->base;
    meter->base = batch->start;
    meter->base_ns = start_ns;
    meter->based_ns = now;
    batch->start = old;
}

CUresult batch_measure(struct batch *batch, struct measure *ret)
{
    struct meter *meter = batch->meter;
    if (batch->known) {
        *ret = batch->was;
        return CUDA_SUCCESS;
    }
    CUresult result = port.event_query(batch->end);
    if (result != CUDA_SUCCESS)
        return result;
    uint64_t seen = port.now();
    double start, end;
    if (!port.event_between_ns(meter->base, batch->start, &start) ||
        !port.event_between_ns(meter->base, batch->end, &end))
        return CUDA_ERROR_UNKNOWN;
    start += meter->base_ns;
    end += meter->base_ns;
    sharpen(meter, start, end, batch, seen);
    double from = start + meter->offset_ns, to = end + meter->offset_ns;
    if (from < (double)batch->first_ns)
        from = (double)batch->first_ns;
    ret->from_ns = (uint64_t)from;
    ret->to_ns = to > from ? (uint64_t)to : ret->from_ns;
    rebase(meter, batch, start, seen);
    return CUDA_SUCCESS;
}

void batch_forget(struct card *card, struct batch *batch)
{
    struct batches *all = &card->batches;
    *(batch->before ? &batch->before->next : &all->first) = batch->next;
    *(batch->next ? &batch->next->before : &all->last) = batch->before;
    if (!batch->written_off)
        atomic_fetch_sub(&card->inflight_ns, batch->estimate_ns);
    if (batch->probe && !batch->written_off && card->probes)
        card->probes--;
    atomic_fetch_sub(&card->closed, 1);
    set_free(batch);
}

/* ---- streams that end -------------------------------------------------- */

enum on_stream { NONE, BUSY, TAKEN };

/* One that is open on the stream, for the caller to end. BUSY: its lane is in a driver call with it. */
static enum on_stream take_open(struct card *card, CUstream stream, struct batch **ret)
{
    enum on_stream found = NONE;
    port_lock(&card->lock);
    for (struct meter *meter = card->batches.meters; meter && found != TAKEN; meter = meter->next)
        for (struct batch *b = meter->all; b && found != TAKEN; b = b->kin) {
            if (b->state != BATCH_OPEN || b->stream != stream || b->ended)
                continue;
            found = b->recording ? BUSY : TAKEN;
            if (b->recording)
                continue;
            b->ended = b->recording = true;
            *ret = b;
        }
    port_unlock(&card->lock);
    return found;
}

static bool has_open(struct card *card, CUstream stream)
{
    bool found = false;
    port_lock(&card->lock);
    for (struct meter *meter = card->batches.meters; meter && !found; meter = meter->next)
        for (struct batch *b = meter->all; meter->n_used && b && !found; b = b->kin)
            found = b->state == BATCH_OPEN && b->stream == stream && !b->ended;
    port_unlock(&card->lock);
    return found;
}

static void end(struct card *card, struct batch *batch, CUstream stream)
{
    bool recorded = port.event_record(batch->end, stream);
    uint64_t now = port.now();
    port_lock(&card->lock);
    batch->closed_ns = now;
    if (!recorded)
        batch_assume(batch, now);
    batch->recording = false;
    port_unlock(&card->lock);
}

/* Its lane's next launch asks first, and finds the batch ended; one that was on its way gets there before. */
static void stream_ends(struct card *card, CUstream stream)
{
    struct batch *batch;
    enum on_stream found;
    if (!has_open(card, stream))
        return;
    atomic_fetch_add(&lane_stamp, 1);
    port.sleep_until(port.now() + GRACE_NS);
    for (int tries = 0; tries < GONE_TRIES && (found = take_open(card, stream, &batch)) != NONE; tries++)
        if (found == TAKEN)
            end(card, batch, stream);
        else
            port.sleep_until(port.now() + GONE_STEP_NS);
}

void batch_stream_ends(CUstream stream)
{
    for (int d = 0; d < REGION_DEVICES && (uintptr_t)stream > (uintptr_t)LANE_PER_THREAD; d++)
        if (card_is_ready(&cards[d]))
            stream_ends(&cards[d], stream);
}

/* ---- contexts that end ------------------------------------------------- */

static bool is_recording(const struct meter *meter)
{
    for (const struct batch *b = meter->all; b; b = b->kin)
        if (b->state == BATCH_OPEN && b->recording)
            return true;
    return false;
}

/* Ours alone from now on; *ret is NULL where there is none. False: a thread is in a driver call with one of
 * its events. */
static bool meter_hold(struct card *card, CUcontext context, bool whatever, struct meter **ret)
{
    port_lock(&card->lock);
    struct meter *meter = meter_find(card, context);
    bool possible = !meter || whatever || (!meter->claimed && !is_recording(meter));
    *ret = possible ? meter : NULL;
    if (*ret) {
        meter->context = NULL;
        meter->claimed = true;
        for (struct batch *b = meter->all; b; b = b->kin)
            if (b->state == BATCH_OPEN && !b->ended)
                b->ended = b->recording = true;
    }
    port_unlock(&card->lock);
    return possible;
}

/* A stream without a handle of its own is another thread's: behind the work of all of them comes what is
 * given to the context's common one. */
static void end_open(struct card *card, struct meter *meter, CUcontext context)
{
    for (struct batch *b = meter->all; b; b = b->kin) {
        port_lock(&card->lock);
        bool ours = b->state == BATCH_OPEN && b->recording;
        port_unlock(&card->lock);
        if (!ours)
            continue;
        bool own = (uintptr_t)b->stream > (uintptr_t)LANE_PER_THREAD;
        bool pushed = !own && port.context_push(context);
        end(card, b, own ? b->stream : LANE_LEGACY);
        if (pushed)
            port.context_pop();
    }
}

/* True: it has not come to its end yet. */
static bool still_runs(struct card *card, struct batch *batch, bool whatever)
{
    struct measure m;
    CUresult result = batch_measure(batch, &m);
    if (result == CUDA_ERROR_NOT_READY && !whatever)
        return true;
    uint64_t now = port.now();
    port_lock(&card->lock);
    if (result != CUDA_SUCCESS)
        batch_assume(batch, now);
    batch->was = result == CUDA_SUCCESS ? m : batch->was;
    batch->known = true;
    port_unlock(&card->lock);
    return false;
}

/* A used batch of the meter that is not known yet, from `from` on. */
static struct batch *next_unknown(struct card *card, struct batch *from)
{
    port_lock(&card->lock);
    while (from && (from->state == BATCH_FREE || from->known))
        from = from->kin;
    port_unlock(&card->lock);
    return from;
}

static void await(struct card *card, struct meter *meter)
{
    uint64_t since = port.now(), now = since;
    struct batch *b = next_unknown(card, meter->all);
    while (b) {
        if (!still_runs(card, b, now - since >= BATCH_GONE_NS)) {
            b = next_unknown(card, b->kin);
            continue;
        }
        now = port.now();
        uint64_t step = (now - since) / 16 + GONE_STEP_NS / 4;
        port.sleep_until(now + (step < GONE_STEP_MAX_NS ? step : GONE_STEP_MAX_NS));
        now = port.now();
    }
}

static void context_gone(struct card *card, CUcontext context)
{
    struct meter *meter = NULL;
    for (int tries = 0; !meter_hold(card, context, tries == GONE_TRIES, &meter); tries++)
        port.sleep_until(port.now() + GONE_STEP_NS);
    if (!meter)
        return;
    end_open(card, meter, context);
    await(card, meter);
    destroy_events(meter);
    port_lock(&card->lock);
    meter->claimed = false;
    port_unlock(&card->lock);
    measure_finished(card);
}

void batch_context_gone(CUcontext context)
{
    for (int d = 0; d < REGION_DEVICES && context; d++)
        if (card_is_ready(&cards[d]))
            context_gone(&cards[d], context);
    atomic_fetch_add(&lane_stamp, 1);
}
