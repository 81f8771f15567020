/* SPDX-License-Identifier: Apache-2.0
 *
 * Hints that lower one figure of a request to the largest value that fits
 * somewhere. A node is only searched when it takes more than the best node so
 * far, so that most nodes cost one try, and many none: what is free of their
 * cards bounds what they could take.
 */
#include <string.h>

#include "sched/explain_view.h"

#define NEVER_BY_AMOUNT                                                                                      \
    (EXPLAIN_BIT(SCHED_UNHEALTHY) | EXPLAIN_BIT(SCHED_CORDONED) | EXPLAIN_BIT(SCHED_TYPE) |                  \
     EXPLAIN_BIT(SCHED_UUID) | EXPLAIN_BIT(SCHED_QOS) | EXPLAIN_BIT(SCHED_CLASS))
#define HELPED_BY_NUMBER                                                                                     \
    (EXPLAIN_BIT(SCHED_FITS) | EXPLAIN_BIT(SCHED_QUOTA) | EXPLAIN_BIT(SCHED_SLICES) |                        \
     EXPLAIN_BIT(SCHED_MODE) | EXPLAIN_BIT(SCHED_CUSTOM))
#define STEPS_MAX 256

/* A figure that is lowered: from below `limit` in whole units, or one of the
 * steps (descending) where only certain values may be asked for. */
struct figure {
    int request;
    void (*put)(const struct family *f, struct card_request *r, uint64_t value);
    uint64_t (*free)(const struct explain_view *v, const struct explain_node *node,
                     const struct explain_card *card); /* at most this of the card */
    uint64_t limit, unit;
    uint64_t helps; /* reasons that a lower figure can remove */
    uint32_t n_steps;
    uint64_t steps[STEPS_MAX];
};

static const struct family *family_of(const struct explain_view *v, int request)
{
    return v->families->rows[v->pod->requests[request].family];
}

static struct card_request *start(struct explain_view *v, int request)
{
    v->changed = *v->pod;
    return &v->changed.requests[request];
}

static bool is_named(const char *resource)
{
    return resource && *resource;
}

/* ---- search ------------------------------------------------------------------ */

/* The least of the `needed` cards with the most free. */
static uint64_t bound_of(const struct explain_view *v, uint32_t i, const struct figure *f)
{
    const struct explain_node *node = &v->e->nodes[i];
    uint64_t most[CARD_PER_NODE], mask = f->helps | EXPLAIN_BIT(SCHED_FITS);
    uint32_t n = 0, needed = explain_needed(v, i);
    for (uint32_t c = 0; c < node->n_cards; c++) {
        uint64_t value = f->free(v, node, &node->cards[c]);
        uint32_t at = n;
        if (!(mask & EXPLAIN_BIT(node->cards[c].reason)))
            continue;
        for (; at > 0 && most[at - 1] < value; at--)
            if (at < CARD_PER_NODE)
                most[at] = most[at - 1];
        if (at < CARD_PER_NODE)
            most[at] = value;
        n = MIN(n + 1, CARD_PER_NODE);
    }
    return n >= needed && needed ? most[needed - 1] : 0;
}

static bool try_value(struct explain_view *v, uint32_t i, const struct figure *f, uint64_t value)
{
    f->put(family_of(v, f->request), &v->changed.requests[f->request], value);
    return explain_try(v, i);
}

/* Steps need not be monotone (cards whose slices have one size): each is tried. */
static uint64_t highest_step(struct explain_view *v, uint32_t i, const struct figure *f, uint64_t best)
{
    for (uint32_t s = 0; s < f->n_steps && f->steps[s] > best; s++)
        if (f->steps[s] <= f->limit && try_value(v, i, f, f->steps[s]))
            return f->steps[s];
    return best;
}

/* More than `best` on node i, or best. */
static uint64_t highest_on(struct explain_view *v, uint32_t i, const struct figure *f, uint64_t best)
{
    if (f->n_steps)
        return highest_step(v, i, f, best);
    uint64_t bound = bound_of(v, i, f), high = MIN(bound, f->limit) / f->unit, low = best / f->unit + 1;
    if (high < low)
        return best;
    if (!try_value(v, i, f, low * f->unit)) /* most nodes have no more than the best so far */
        return best;
    if (high == low || try_value(v, i, f, high * f->unit))
        return high * f->unit;
    while (low + 1 < high) {
        uint64_t middle = low + (high - low) / 2;
        if (try_value(v, i, f, middle * f->unit))
            low = middle;
        else
            high = middle;
    }
    return low * f->unit;
}

static uint64_t highest(struct explain_view *v, const struct figure *f)
{
    uint64_t best = 0;
    for (uint32_t i = 0; i < v->e->n_nodes; i++)
        if (v->e->nodes[i].request == f->request && explain_is_plausible(v, i, f->helps))
            best = highest_on(v, i, f, best);
    return best;
}

/* Do the node's cards have so much free? Unknown for a pod with several
 * requests: only the one that failed first was looked at. */
static bool may_have(const struct explain_view *v, uint32_t i, const struct figure *f, uint64_t value)
{
    return v->pod->n_requests > 1 || bound_of(v, i, f) >= value;
}

/* As explain_add() for one figure, or two, without trying where too little is free. */
static bool add(struct explain_view *v, struct explain_hint hint, const struct figure *f,
                const struct figure *also)
{
    for (uint32_t i = 0; i < v->e->n_nodes; i++)
        if (explain_is_plausible(v, i, f->helps) && may_have(v, i, f, hint.to) &&
            (!also || may_have(v, i, also, hint.also)) && explain_try(v, i) && hint.n_nodes++ == 0)
            hint.example = v->e->nodes[i].node;
    if (hint.n_nodes)
        g_array_append_val(v->hints, hint);
    return hint.n_nodes > 0;
}

static uint64_t rounded(uint64_t value, uint64_t unit, uint64_t base)
{
    uint64_t step = unit;
    while (step <= UINT64_MAX / base && value % (step * base) <= value / 16)
        step *= base;
    return value / step * step;
}

/* A rounder value, binary or decimal, that gives up a sixteenth at most; of what is round already, nothing.
 */
static uint64_t friendly(uint64_t value, uint64_t unit)
{
    return MAX(rounded(value, unit, 2), rounded(value, unit, 10));
}

/* ---- memory ------------------------------------------------------------------ */

/* Compute that follows from memory (vXPU) is the same part of the largest step. */
static void put_mem(const struct family *f, struct card_request *r, uint64_t bytes)
{
    uint64_t last = 0, all = f->cores_unit ? f->cores_unit : 100;
    r->mem_bytes = bytes;
    r->mem_percent = 0;
    if (f->cores_kind != FAMILY_CORES_OF_MEM)
        return;
    for (const uint32_t *step = f->ladder; step && *step; step++)
        last = *step * f->mem_unit_bytes;
    r->cores = (uint32_t)(last ? MIN(bytes * all / last, all) : all);
}

static uint64_t free_mem(const struct explain_view *v, const struct explain_node *node,
                         const struct explain_card *card)
{
    (void)v, (void)node;
    return card->free_bytes;
}

static void add_step(struct figure *f, uint64_t value)
{
    uint32_t at = f->n_steps;
    if (value == 0 || f->n_steps == STEPS_MAX)
        return;
    for (; at > 0 && f->steps[at - 1] < value; at--)
        f->steps[at] = f->steps[at - 1];
    f->steps[at] = value;
    f->n_steps++;
}

/* Values that may be asked for where not every one may. */
static void fill_steps(const struct explain_view *v, struct figure *f)
{
    const struct family *family = family_of(v, f->request);
    if (family->mem_round == FAMILY_ROUND_SHAPES && !v->pod->soft)
        for (uint32_t i = 0; family->shapes && i < family->shapes->n; i++)
            add_step(f, family->shapes->shapes[i].mem_bytes);
    if (family->mem_round == FAMILY_ROUND_LADDER || family->mem_round == FAMILY_ROUND_SET)
        for (const uint32_t *step = family->ladder; step && *step; step++)
            add_step(f, *step * family->mem_unit_bytes);
}

/* Several hard slices are not to be had (Ascend), and several cards are whole
 * ones (Moore Threads). */
static bool memory_is_fixed(const struct explain_view *v, int request)
{
    const struct card_request *r = &v->pod->requests[request];
    const struct family *f = family_of(v, request);
    if (r->mem_none || r->size || !is_named(f->resource[FAMILY_MEM]))
        return true;
    return r->n_cards > 1 && (f->multi_mem_whole || (f->mem_round == FAMILY_ROUND_SHAPES && !v->pod->soft));
}

static bool prepare_mem(const struct explain_view *v, int request, struct figure *ret)
{
    const struct card_request *r = &v->pod->requests[request];
    const struct family *f = family_of(v, request);
    *ret = (struct figure){.request = request,
                           .put = put_mem,
                           .free = free_mem,
                           .limit = r->mem_bytes ? r->mem_bytes - 1 : UINT64_MAX,
                           .unit = MAX(f->mem_unit_bytes, POD_MIB),
                           .helps = ~(NEVER_BY_AMOUNT | EXPLAIN_BIT(SCHED_EXCLUSIVE))};
    if (f->mem_round != FAMILY_ROUND_CARD_SHAPE)
        ret->helps &= ~EXPLAIN_BIT(SCHED_SLICES);
    fill_steps(v, ret);
    return !memory_is_fixed(v, request);
}

static bool try_mem(struct explain_view *v, int request)
{
    struct figure f;
    if (!prepare_mem(v, request, &f))
        return false;
    struct card_request *r = start(v, request);
    uint64_t best = highest(v, &f), round = f.n_steps ? best : friendly(best, f.unit);
    if (best == 0)
        return false;
    struct explain_hint hint = {.change = EXPLAIN_MEM,
                                .request = request,
                                .from = v->pod->requests[request].mem_bytes,
                                .to = round,
                                .annotation = family_of(v, request)->resource[FAMILY_MEM]};
    f.put(family_of(v, request), r, round);
    if (add(v, hint, &f, NULL))
        return true;
    hint.to = best; /* the rounder value is not always as good: profiles, slices of one size */
    f.put(family_of(v, request), r, best);
    return add(v, hint, &f, NULL);
}

/* ---- compute ----------------------------------------------------------------- */

static void put_cores(const struct family *f, struct card_request *r, uint64_t cores)
{
    (void)f;
    r->cores = (uint32_t)cores;
}

static uint64_t free_share(const struct explain_view *v, const struct explain_node *node,
                           const struct explain_card *card)
{
    const struct card *c = &cluster_node_spec(v->cluster, node->node)->cards[card->card];
    const struct family *f = v->families->rows[c->family];
    if (f->cores_kind == FAMILY_CORES_OF_TOTAL) /* rounded up: a bound */
        return c->cores ? ((uint64_t)card->free_cores + 1) * 100 / c->cores + 1 : 0;
    return c->mode == CARD_MIG ? UINT32_MAX : card->free_cores;
}

static bool prepare_cores(const struct explain_view *v, int request, struct figure *ret)
{
    const struct card_request *r = &v->pod->requests[request];
    const struct family *f = family_of(v, request);
    *ret = (struct figure){.request = request,
                           .put = put_cores,
                           .free = free_share,
                           .limit = MIN(r->cores, f->cores_unit ? f->cores_unit : 100),
                           .unit = 1,
                           .helps = ~NEVER_BY_AMOUNT};
    if (f->mem_round != FAMILY_ROUND_CARD_SHAPE)
        ret->helps &= ~(EXPLAIN_BIT(SCHED_SLICES) | EXPLAIN_BIT(SCHED_MEMORY) | EXPLAIN_BIT(SCHED_MIG));
    if (ret->limit)
        ret->limit--;
    if (r->cores == 0 || r->whole || !is_named(f->resource[FAMILY_CORES]))
        return false;
    if (f->cores_kind == FAMILY_CORES_MASK)
        return r->n_cards == 1;
    return f->cores_kind == FAMILY_CORES_PERCENT || f->cores_kind == FAMILY_CORES_UNITS ||
           f->cores_kind == FAMILY_CORES_OF_TOTAL;
}

static bool try_cores(struct explain_view *v, int request)
{
    struct figure f;
    if (!prepare_cores(v, request, &f))
        return false;
    struct card_request *r = start(v, request);
    uint64_t best = highest(v, &f);
    if (best == 0)
        return false;
    put_cores(NULL, r, best);
    return add(v,
               (struct explain_hint){.change = EXPLAIN_CORES,
                                     .request = request,
                                     .from = v->pod->requests[request].cores,
                                     .to = best,
                                     .annotation = family_of(v, request)->resource[FAMILY_CORES]},
               &f, NULL);
}

/* Where neither alone is enough (a whole card is asked for, and all are
 * shared): as much memory as there is beside any compute, then as much compute
 * as there is beside that memory. */
static bool try_mem_and_cores(struct explain_view *v, int request)
{
    struct figure mem, cores;
    if (!prepare_mem(v, request, &mem) || !prepare_cores(v, request, &cores) || cores.limit == 0)
        return false;
    struct card_request *r = start(v, request);
    mem.helps |= cores.helps;
    cores.helps = mem.helps;
    put_cores(NULL, r, 1);
    uint64_t bytes = highest(v, &mem);
    if (bytes == 0)
        return false;
    bytes = mem.n_steps ? bytes : friendly(bytes, mem.unit);
    mem.put(family_of(v, request), r, bytes);
    uint64_t share = highest(v, &cores);
    if (share == 0)
        return false;
    put_cores(NULL, r, share);
    return add(v,
               (struct explain_hint){.change = EXPLAIN_MEM_AND_CORES,
                                     .request = request,
                                     .from = v->pod->requests[request].mem_bytes,
                                     .to = bytes,
                                     .also = share,
                                     .annotation = family_of(v, request)->resource[FAMILY_MEM]},
               &mem, &cores);
}

/* ---- number of cards --------------------------------------------------------- */

static void put_count(const struct family *f, struct card_request *r, uint64_t n)
{
    (void)f;
    r->n_cards = (uint32_t)n;
}

static void put_size(const struct family *f, struct card_request *r, uint64_t n)
{
    (void)f;
    r->size = (uint16_t)n;
}

static bool count_allowed(const struct family *f, uint64_t n)
{
    switch (f->count_rule) {
    case FAMILY_COUNT_POWER_8:
        return n == 1 || n == 2 || n == 4 || n == 8;
    case FAMILY_COUNT_EVEN:
        return n % 2 == 0;
    case FAMILY_COUNT_ANY:
    case FAMILY_COUNT_IS_SIZE:
        break;
    }
    return true;
}

/* Fewer cards need fewer of a kind, so the plausibility by number does not
 * hold: every node with one usable card is looked at. A smaller size takes less
 * of everything. */
static bool has_usable(const struct explain_view *v, uint32_t i, const struct figure *f)
{
    const struct explain_node *node = &v->e->nodes[i];
    if (v->pod->n_requests > 1 || node->reason == SCHED_NO_CARDS)
        return true;
    return explain_has_reason(v, i, f->helps);
}

static uint64_t highest_count(struct explain_view *v, const struct figure *f)
{
    uint64_t best = 0;
    for (uint32_t i = 0; i < v->e->n_nodes; i++)
        if (v->e->nodes[i].request == f->request && has_usable(v, i, f))
            best = highest_step(v, i, f, best);
    return best;
}

static void try_count(struct explain_view *v, int request)
{
    const struct card_request *asked = &v->pod->requests[request];
    const struct family *family = family_of(v, request);
    struct figure f = {.request = request,
                       .put = asked->size ? put_size : put_count,
                       .helps = asked->size ? ~NEVER_BY_AMOUNT : HELPED_BY_NUMBER};
    uint64_t from = asked->size ? asked->size : asked->n_cards;
    f.limit = from ? from - 1 : 0;
    for (uint64_t n = MIN(f.limit, CARD_PER_NODE); n > 0; n--)
        if (count_allowed(family, n))
            add_step(&f, n);
    struct card_request *r = start(v, request);
    uint64_t best = f.n_steps ? highest_count(v, &f) : 0;
    struct explain_hint hint = {.change = EXPLAIN_COUNT,
                                .request = request,
                                .from = from,
                                .to = best,
                                .annotation = family->resource[FAMILY_COUNT]};
    if (best == 0)
        return;
    f.put(family_of(v, request), r, best);
    for (uint32_t i = 0; i < v->e->n_nodes; i++)
        if (has_usable(v, i, &f) && explain_try(v, i) && hint.n_nodes++ == 0)
            hint.example = v->e->nodes[i].node;
    g_array_append_val(v->hints, hint);
}

static bool is_failing(const Explanation *e, int request)
{
    for (uint32_t i = 0; i < e->n_nodes; i++)
        if (e->nodes[i].request == request)
            return true;
    return false;
}

void explain_figures(struct explain_view *v)
{
    for (int request = 0; request < v->pod->n_requests; request++) {
        if (!is_failing(v->e, request))
            continue;
        bool mem = try_mem(v, request), cores = try_cores(v, request);
        if (!mem && !cores)
            try_mem_and_cores(v, request);
        try_count(v, request);
    }
}
