/* SPDX-License-Identifier: Apache-2.0
 *
 * A handful of address ranges: where a pool is known to have memory. They only
 * save a question to the driver, so what does not fit is forgotten.
 *
 * Invariants:
 *   1. The ranges neither overlap nor touch; each begins and ends at a multiple
 *      of MEM_SPAN_BYTES, which is the least that a driver adds to a pool.
 *   2. They never sum up to more than the caller says there is.
 */
#ifndef HAMI_PRELOAD_MEM_SPANS_H
#define HAMI_PRELOAD_MEM_SPANS_H

#include <stdbool.h>
#include <stdint.h>

#include "preload/hook.h"

#define MEM_SPANS_MAX 14
#define MEM_SPAN_BYTES (UINT64_C(2) << 20)

struct mem_span {
    uint64_t begin, end;
};

struct mem_spans {
    uint32_t count;
    struct mem_span at[MEM_SPANS_MAX];
};

/* Whether n bytes from begin lie in one of them. */
static inline bool mem_spans_hold(const struct mem_spans *s, uint64_t begin, uint64_t n)
{
    for (uint32_t i = 0; i < s->count; i++) {
        const struct mem_span *span = &s->at[i];

        if (likely(begin >= span->begin && begin < span->end))
            return n <= span->end - begin;
    }
    return false;
}

/* Adds n bytes from begin, rounded outwards. When all would be more than `most`
 * bytes some of the others are gone, nobody knows which: they are forgotten. */
void mem_spans_add(struct mem_spans *s, uint64_t begin, uint64_t n, uint64_t most);

#endif
