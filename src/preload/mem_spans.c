/* SPDX-License-Identifier: Apache-2.0
 *
 * Adding a range: what it touches becomes part of it; when all places are
 * taken the shortest goes.
 */
#include "preload/mem_spans.h"

static uint64_t length(const struct mem_span *span)
{
    return span->end - span->begin;
}

/* Takes out whatever touches *span, which grows by it; returns what is left.
 * What was passed over touches none of those taken out, so one pass is enough. */
static uint64_t absorb(struct mem_spans *s, struct mem_span *span)
{
    uint64_t left = 0;

    for (uint32_t i = 0; i < s->count;) {
        struct mem_span *other = &s->at[i];

        if (other->begin > span->end || other->end < span->begin) {
            left += length(other);
            i++;
            continue;
        }
        span->begin = other->begin < span->begin ? other->begin : span->begin;
        span->end = other->end > span->end ? other->end : span->end;
        *other = s->at[--s->count];
    }
    return left;
}

static struct mem_span *place(struct mem_spans *s)
{
    struct mem_span *shortest = &s->at[0];

    if (s->count < MEM_SPANS_MAX)
        return &s->at[s->count++];
    for (uint32_t i = 1; i < s->count; i++)
        if (length(&s->at[i]) < length(shortest))
            shortest = &s->at[i];
    return shortest;
}

void mem_spans_add(struct mem_spans *s, uint64_t begin, uint64_t n, uint64_t most)
{
    const uint64_t mask = MEM_SPAN_BYTES - 1;
    struct mem_span mine = {begin & ~mask, (begin + n + mask) & ~mask}, all = mine;

    if (!n || begin + n < begin || mine.end <= mine.begin || length(&mine) > most) {
        s->count = 0;
        return;
    }
    if (absorb(s, &all) + length(&all) > most) {
        s->count = 0;
        all = mine;
    }
    *place(s) = all;
}
