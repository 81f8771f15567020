/* SPDX-License-Identifier: Apache-2.0
 *
 * See blind.h.
 */
#include "preload/blind.h"

#include <stdatomic.h>

#include "preload/compute.h"
#include "preload/measure.h"

#define STEP_MIN_NS UINT64_C(20000)
#define STEP_MAX_NS UINT64_C(1000000)

/* The calling thread's launch. */
static __thread struct {
    struct card *card;
    CUstream stream;
    uint64_t since_ns;
} here;

bool blind_begin(struct card *card, CUstream stream, uint64_t since_ns)
{
    uint64_t now = port.now(), before = atomic_load(&card->blind_ns);
    bool ours = (before == 0 || now - before >= BLIND_MAX_NS) &&
                atomic_compare_exchange_strong(&card->blind_ns, &before, now);
    here.card = card;
    here.stream = stream;
    here.since_ns = now;
    return ours || now - since_ns >= BLIND_MAX_NS;
}

/* A stream that another thread captures is not asked: that would end the capture. */
static bool runs(void)
{
    if (compute_capturing() && port.is_capturing(here.stream))
        return true;
    return port.stream_query(here.stream) == CUDA_ERROR_NOT_READY;
}

void blind_end(void)
{
    CUstreamCaptureMode mode = port.capture_mode(CU_STREAM_CAPTURE_MODE_RELAXED);
    uint64_t now = port.now(), mine = here.since_ns;
    while (now - here.since_ns < BLIND_MAX_NS && runs()) {
        uint64_t step = (now - here.since_ns) / 16;
        step = step < STEP_MIN_NS ? STEP_MIN_NS : step > STEP_MAX_NS ? STEP_MAX_NS : step;
        port.sleep_until(now + step);
        now = port.now();
    }
    port.capture_mode(mode);
    measure_waited(here.card, here.since_ns, now);
    atomic_compare_exchange_strong(&here.card->blind_ns, &mine, 0);
}
