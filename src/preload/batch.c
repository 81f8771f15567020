/* SPDX-License-Identifier: Apache-2.0
 *
 * See batch.h.
 */
#include "preload/batch.h"

#include <stdatomic.h>
#include <stddef.h>
#include <string.h>

#include "preload/card.h"
#include "preload/measure.h"

enum { GONE_TRIES = 1000 };
#define GONE_STEP_NS 100000
#define REBASE_NS UINT64_C(2000000000) /* a float of milliseconds keeps 1 us for 16 s */

static struct meter *meter_find(struct card *card, CUcontext context)
{
    for (int i = 0; i < METERS; i++)
        if (card->meters[i].context == context)
            return &card->meters[i];
    return NULL;
}

static bool is_quiet(const struct meter *meter)
{
    for (int i = 0; i < meter->n_batches; i++)
        if (meter->batches[i].state != BATCH_FREE)
            return false;
    return true;
}

/* The events of a context that ends, or makes room; destroyed outside the lock. */
struct leftovers {
    uint32_t n;
    CUevent events[2 * METER_BATCHES + 1];
};

static void leave(struct leftovers *left, CUevent *event)
{
    if (*event)
        left->events[left->n++] = *event;
    *event = NULL;
}

static void leave_all(struct leftovers *left, struct meter *meter)
{
    for (int i = 0; i < meter->n_batches; i++) {
        leave(left, &meter->batches[i].start);
        leave(left, &meter->batches[i].end);
    }
    leave(left, &meter->base);
    meter->context = NULL;
}

static void destroy(const struct leftovers *left)
{
    for (uint32_t i = 0; i < left->n; i++)
        port.event_destroy(left->events[i]);
}

/* One that nobody uses: of no context, else of one that has nothing in flight.
 * A batch of a context that went away may still be somebody's. */
static struct meter *meter_free(struct card *card, struct leftovers *left)
{
    for (int i = 0; i < METERS; i++)
        if (!card->meters[i].context && is_quiet(&card->meters[i]))
            return &card->meters[i];
    for (int k = 0; k < METERS; k++) {
        struct meter *meter = &card->meters[card->next_meter++ % METERS];
        if (is_quiet(meter) && !meter->claimed) {
            leave_all(left, meter);
            return meter;
        }
    }
    return NULL;
}

/* Of its batches all that were used are free by now, and without events. */
static void meter_begin(struct card *card, struct meter *meter, CUcontext context)
{
    int used = (int)(meter - card->meters) + 1;
    memset(meter, 0, offsetof(struct meter, batches));
    meter->context = context;
    card->n_meters = used > card->n_meters ? used : card->n_meters;
}

static struct meter *meter_of(struct card *card, CUcontext context)
{
    struct leftovers left;
    left.n = 0; /* and no more: this is done for each batch */
    if (!context)
        return NULL;
    port_lock(&card->lock);
    struct meter *meter = meter_find(card, context);
    if (!meter && (meter = meter_free(card, &left)) != NULL)
        meter_begin(card, meter, context);
    port_unlock(&card->lock);
    destroy(&left);
    return meter;
}

static struct batch *take_free(struct card *card, struct meter *meter, CUcontext context)
{
    struct batch *found = NULL;
    port_lock(&card->lock);
    for (int i = 0; i < METER_BATCHES && !found && meter->context == context; i++)
        if (meter->batches[i].state == BATCH_FREE)
            found = &meter->batches[i];
    if (found) {
        int used = (int)(found - meter->batches) + 1;
        meter->n_batches = used > meter->n_batches ? used : meter->n_batches;
        CUevent start = found->start, end = found->end;
        memset(found, 0, sizeof *found);
        found->state = BATCH_OPEN;
        found->recording = true;
        found->meter = meter;
        found->start = start;
        found->end = end;
    }
    port_unlock(&card->lock);
    return found;
}

static void give_back(struct card *card, struct batch *batch)
{
    port_lock(&card->lock);
    batch->state = BATCH_FREE;
    batch->recording = false;
    port_unlock(&card->lock);
}

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
    struct meter *meter = meter_of(card, context);
    struct batch *batch = meter ? take_free(card, meter, context) : NULL;
    if (!batch)
        return NULL;
    batch->stream = stream;
    batch->opened_ns = port.now();
    if (!has_events(batch) || !has_base(card, meter, stream, batch->opened_ns) ||
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

bool batch_close(struct card *card, struct batch *batch)
{
    port_lock(&card->lock);
    bool gone = batch->orphan;
    batch->recording = !gone;
    port_unlock(&card->lock);
    bool recorded = !gone && port.event_record(batch->end, batch->stream);
    batch->closed_ns = port.now();
    port_lock(&card->lock);
    batch->recording = false;
    port_unlock(&card->lock);
    return recorded;
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

/* Takes the batches away from their lanes. True: one is just in a driver call. */
static bool orphan_stream(struct card *card, CUstream stream)
{
    bool busy = false;
    port_lock(&card->lock);
    for (int m = 0; m < card->n_meters; m++)
        for (int i = 0; i < card->meters[m].n_batches; i++) {
            struct batch *b = &card->meters[m].batches[i];
            if (b->state != BATCH_OPEN || b->stream != stream)
                continue;
            b->orphan = true;
            busy |= b->recording;
        }
    port_unlock(&card->lock);
    return busy;
}

static void stream_gone(struct card *card, CUstream stream)
{
    for (int tries = 0; tries < GONE_TRIES && orphan_stream(card, stream); tries++)
        port.sleep_until(port.now() + GONE_STEP_NS);
}

void batch_stream_gone(CUstream stream)
{
    for (int d = 0; d < REGION_DEVICES; d++)
        if (card_is_ready(&cards[d]))
            stream_gone(&cards[d], stream);
}

void batch_forget(struct card *card, struct batch *batch)
{
    batch->state = BATCH_FREE;
    if (!batch->written_off)
        atomic_fetch_sub(&card->inflight_ns, batch->estimate_ns);
    if (batch->probe && !batch->written_off && card->probes)
        card->probes--;
    atomic_fetch_sub(&card->closed, 1);
}

/* What is closed can no longer be asked; what is open has no stream to end on. */
static void meter_drop(struct card *card, struct meter *meter, struct leftovers *left)
{
    for (int i = 0; i < METER_BATCHES; i++) {
        struct batch *b = &meter->batches[i];
        b->orphan = true;
        if (b->state == BATCH_CLOSED) {
            bucket_charge(card->account, (uint64_t)b->estimate_ns);
            measure_count(card, b->launches);
            batch_forget(card, b);
        }
    }
    leave_all(left, meter);
}

static bool is_measured_now(const struct meter *meter)
{
    for (int i = 0; i < METER_BATCHES; i++)
        if (meter->batches[i].state == BATCH_CLAIMED || meter->batches[i].recording)
            return true;
    return false;
}

/* False: a thread is in a driver call with one of its events. */
static bool drop_context(struct card *card, CUcontext context, bool whatever)
{
    struct leftovers left = {0};
    port_lock(&card->lock);
    struct meter *meter = meter_find(card, context);
    bool possible = !meter || whatever || !is_measured_now(meter);
    if (meter && possible)
        meter_drop(card, meter, &left);
    port_unlock(&card->lock);
    destroy(&left);
    return possible;
}

void batch_context_gone(CUcontext context)
{
    for (int d = 0; d < REGION_DEVICES && context; d++)
        for (int tries = 0;
             card_is_ready(&cards[d]) && !drop_context(&cards[d], context, tries == GONE_TRIES); tries++)
            port.sleep_until(port.now() + GONE_STEP_NS);
    atomic_fetch_add(&lane_stamp, 1);
}
