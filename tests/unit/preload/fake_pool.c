/* SPDX-License-Identifier: Apache-2.0
 *
 * How a pool of the fake driver grows and where its blocks lie: in an address
 * range of its own, so that addresses lose their memory and get some again.
 * The tidy pool grows when more is used than reserved, and keeps what is used
 * when trimmed. The scattered one has memory page by page, as on a card: a block
 * goes to the lowest place that has memory throughout, else to the lowest free
 * one, which gets some, and pages in which nothing lives go when it is trimmed.
 */
#include <string.h>

#include "fake_objects.h"

#define GRAIN 512

struct place {
    uint64_t begin, end; /* offsets in the pool's range */
};

static int device_of(const struct fake_pool *p)
{
    return p->host ? -1 : (int)p->device;
}

static uint64_t round_up(uint64_t n, uint64_t step)
{
    return (n + step - 1) / step * step;
}

/* How many pages of [begin, end) have no memory. */
static uint64_t bare_pages(const struct fake_pool *p, uint64_t begin, uint64_t end)
{
    uint64_t n = 0;

    for (uint64_t page = begin / FAKE_PAGE; page * FAKE_PAGE < end; page++)
        n += !p->mapped[page];
    return n;
}

/* First mapped, then any: the index in places where the block belongs, and its
 * offset. A gap is tried from its begin, and from each page inside. */
static bool find_gap(const struct fake_pool *p, uint64_t size, bool mapped, guint *ret_index, uint64_t *ret)
{
    uint64_t from = 0;

    for (guint i = 0; i <= p->places->len; i++) {
        const struct place *next = i < p->places->len ? &g_array_index(p->places, struct place, i) : NULL;
        uint64_t until = next ? next->begin : FAKE_POOL_PAGES * FAKE_PAGE;

        for (uint64_t at = from; at + size <= until; at = (at / FAKE_PAGE + 1) * FAKE_PAGE) {
            if (mapped && bare_pages(p, at, at + size))
                continue;
            *ret = at;
            *ret_index = i;
            return true;
        }
        if (next)
            from = next->end;
    }
    return false;
}

/* Maps what is bare in the range, and more behind it until the pool's size is a
 * multiple of its step. */
static bool map(struct fake_pool *p, uint64_t begin, uint64_t end)
{
    uint64_t grown = p->reserved + bare_pages(p, begin, end) * FAKE_PAGE;

    if (grown == p->reserved)
        return true;
    grown = round_up(grown, fake.pool_growth);
    if (!fake_take(device_of(p), grown - p->reserved))
        return false;
    for (uint64_t page = begin / FAKE_PAGE; p->reserved < grown && page < FAKE_POOL_PAGES; page++)
        if (!p->mapped[page]) {
            p->mapped[page] = true;
            p->reserved += FAKE_PAGE;
        }
    g_assert_cmpuint(p->reserved, ==, grown);
    return true;
}

static bool grow(struct fake_pool *p, uint64_t n)
{
    uint64_t grown = round_up(p->used + n, fake.pool_growth);

    if (grown <= p->reserved)
        return true;
    if (!fake_take(device_of(p), grown - p->reserved))
        return false;
    p->reserved = grown;
    return true;
}

bool fake_pool_take(struct fake_pool *p, uint64_t n, CUdeviceptr *ret)
{
    uint64_t size = round_up(n, GRAIN), at;
    guint i;

    if (!p->places)
        p->places = g_array_new(FALSE, FALSE, sizeof(struct place));
    if (!(fake.scattered && find_gap(p, size, true, &i, &at)) && !find_gap(p, size, false, &i, &at))
        return false;
    if (fake.scattered ? !map(p, at, at + size) : !grow(p, n))
        return false;
    g_array_insert_val(p->places, i, ((struct place){at, at + size}));
    p->used += n;
    *ret = p->base + at;
    return true;
}

static bool is_used(const struct fake_pool *p, uint64_t page)
{
    for (guint i = 0; p->places && i < p->places->len; i++) {
        const struct place *place = &g_array_index(p->places, struct place, i);
        if (place->begin < (page + 1) * FAKE_PAGE && place->end > page * FAKE_PAGE)
            return true;
    }
    return false;
}

static void trim_tidily(struct fake_pool *p, uint64_t keep)
{
    uint64_t want = round_up(p->used > keep ? p->used : keep, FAKE_PAGE);

    if (want >= p->reserved)
        return;
    fake_give(device_of(p), p->reserved - want);
    p->reserved = want;
}

void fake_pool_trim(struct fake_pool *p, uint64_t keep)
{
    if (!fake.scattered) {
        trim_tidily(p, keep < UINT64_MAX - FAKE_PAGE ? keep : UINT64_MAX - FAKE_PAGE);
        return;
    }
    for (uint64_t page = FAKE_POOL_PAGES; page-- > 0 && p->reserved > keep;) {
        if (!p->mapped[page] || is_used(p, page))
            continue;
        p->mapped[page] = false;
        p->reserved -= FAKE_PAGE;
        fake_give(device_of(p), FAKE_PAGE);
    }
}

void fake_pool_end(struct fake_pool *p)
{
    if (!p->destroyed || (p->places && p->places->len))
        return;
    fake_give(device_of(p), p->reserved);
    p->reserved = 0;
    memset(p->mapped, 0, sizeof p->mapped);
}

void fake_pool_give(struct fake_pool *p, CUdeviceptr ptr, uint64_t n)
{
    for (guint i = 0; i < p->places->len; i++)
        if (g_array_index(p->places, struct place, i).begin == ptr - p->base) {
            g_array_remove_index(p->places, i);
            break;
        }
    p->used -= n;
    fake_pool_end(p);
}
