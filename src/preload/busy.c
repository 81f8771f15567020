/* SPDX-License-Identifier: Apache-2.0
 *
 * See busy.h.
 */
#include "preload/busy.h"

#include <string.h>

static void remove_at(struct busy *busy, uint32_t i, uint32_t n)
{
    memmove(&busy->at[i], &busy->at[i + n], (busy->n - i - n) * sizeof busy->at[0]);
    busy->n -= n;
}

uint64_t busy_add(struct busy *busy, uint64_t from, uint64_t to)
{
    if (to <= from)
        return 0;
    uint32_t first = 0;
    while (first < busy->n && busy->at[first].to < from)
        first++;
    uint64_t fresh = to - from, low = from, high = to;
    uint32_t last = first;
    for (; last < busy->n && busy->at[last].from <= to; last++) {
        uint64_t a = busy->at[last].from > from ? busy->at[last].from : from;
        uint64_t b = busy->at[last].to < to ? busy->at[last].to : to;
        fresh -= b - a;
        low = busy->at[last].from < low ? busy->at[last].from : low;
        high = busy->at[last].to > high ? busy->at[last].to : high;
    }
    if (last == first) {
        memmove(&busy->at[first + 1], &busy->at[first], (busy->n - first) * sizeof busy->at[0]);
        busy->n++;
    } else {
        remove_at(busy, first + 1, last - first - 1);
    }
    busy->at[first].from = low;
    busy->at[first].to = high;
    if (busy->n > BUSY_STRETCHES) {
        busy->at[1].from = busy->at[0].from;
        remove_at(busy, 0, 1);
    }
    return fresh;
}
