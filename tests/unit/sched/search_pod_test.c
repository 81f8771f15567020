/* SPDX-License-Identifier: Apache-2.0
 *
 * A pod fits when there is an assignment by the rules: every assignment is
 * tried on small nodes, with the rules of scheduler.md 6.4 written down once
 * more. And more room never hurts: what fits on a node fits there when a pod
 * ends, whatever the family.
 */
#include <string.h>

#include "../seed.h"
#include "world.h"

enum { CARDS = 4, REQUESTS = 3, TAKEN_MAX = 16 };

/* ---- the rules once more -------------------------------------------------------- */

static const struct kind {
    const char *name, *word;
    bool whole_alone; /* all of the compute share: no company */
    bool equal;       /* slices of one size */
    bool one_card;    /* for all containers */
    bool cut;         /* MIG */
    bool counted;     /* against the quota */
} kinds[] = {
    {"NVIDIA", "NVIDIA", .whole_alone = true, .counted = true},
    {"NVIDIA in MIG mode", "NVIDIA", .cut = true, .counted = true},
    {"DCU", "DCU", .whole_alone = true},
    {"vXPU", "XPU", .equal = true},
    {"Moore Threads", "Mthreads", .one_card = true},
};

struct geometry {
    uint32_t n;
    struct card_shape shapes[6];
};

static const struct geometry geometries[] = {
    {5,
     {{.name = "1g.5gb",
       .mem_bytes = MIB(4864),
       .slices = 1,
       .n_placements = 7,
       .placements = {{0, 1}, {1, 1}, {2, 1}, {3, 1}, {4, 1}, {5, 1}, {6, 1}}},
      {.name = "2g.10gb",
       .mem_bytes = MIB(9856),
       .slices = 2,
       .n_placements = 3,
       .placements = {{0, 2}, {2, 2}, {4, 2}}},
      {.name = "3g.20gb",
       .mem_bytes = MIB(19968),
       .slices = 3,
       .n_placements = 2,
       .placements = {{0, 4}, {4, 4}}},
      {.name = "4g.20gb", .mem_bytes = MIB(19968), .slices = 4, .n_placements = 1, .placements = {{0, 4}}},
      {.name = "7g.40gb", .mem_bytes = MIB(40192), .slices = 7, .n_placements = 1, .placements = {{0, 8}}}}},
    {6,
     {{.name = "1g.10gb",
       .mem_bytes = MIB(9984),
       .slices = 1,
       .n_placements = 7,
       .placements = {{0, 1}, {1, 1}, {2, 1}, {3, 1}, {4, 1}, {5, 1}, {6, 1}}},
      {.name = "1g.20gb",
       .mem_bytes = MIB(20096),
       .slices = 1,
       .n_placements = 4,
       .placements = {{0, 2}, {2, 2}, {4, 2}, {6, 2}}},
      {.name = "2g.20gb",
       .mem_bytes = MIB(20096),
       .slices = 2,
       .n_placements = 3,
       .placements = {{0, 2}, {2, 2}, {4, 2}}},
      {.name = "3g.40gb",
       .mem_bytes = MIB(40448),
       .slices = 3,
       .n_placements = 2,
       .placements = {{0, 4}, {4, 4}}},
      {.name = "4g.40gb", .mem_bytes = MIB(40448), .slices = 4, .n_placements = 1, .placements = {{0, 4}}},
      {.name = "7g.80gb", .mem_bytes = MIB(81152), .slices = 7, .n_placements = 1, .placements = {{0, 8}}}}},
    {3,
     {{.name = "1g.6gb",
       .mem_bytes = MIB(5952),
       .slices = 1,
       .n_placements = 4,
       .placements = {{0, 1}, {1, 1}, {2, 1}, {3, 1}}},
      {.name = "2g.12gb",
       .mem_bytes = MIB(12032),
       .slices = 2,
       .n_placements = 2,
       .placements = {{0, 2}, {2, 2}}},
      {.name = "4g.24gb", .mem_bytes = MIB(24192), .slices = 4, .n_placements = 1, .placements = {{0, 4}}}}},
};

struct taken {
    uint32_t card, slot;
    uint64_t mem;
    uint32_t cores;
};

struct scene {
    const struct kind *kind;
    const struct geometry *geometry;
    struct world w;
    struct node_spec *node;
    struct card_use use[CARDS];
    struct pod_request r;
    struct fit_quota quota;
    int64_t mem_left, cores_left; /* of the quota; INT64_MAX = none */

    struct taken taken[TAKEN_MAX];
    uint32_t n_taken;
};

static uint64_t mem_of(const struct scene *s, const struct card_request *q, uint32_t card)
{
    uint64_t all = s->node->cards[card].mem_bytes;
    if (q->mem_bytes)
        return q->mem_bytes;
    uint64_t mem = q->mem_percent ? all / POD_MIB * q->mem_percent / 100 * POD_MIB : all;
    uint64_t largest = s->kind->cut ? s->geometry->shapes[s->geometry->n - 1].mem_bytes : all;
    return MIN(mem, largest);
}

/* Alone means: with what the request itself takes of a MIG card. */
static bool has_room(const struct scene *s, const struct card_request *q, uint32_t card,
                     const struct card_use *before, const struct card_use *use)
{
    const struct card *k = &s->node->cards[card];
    const struct card_use *u = &use[card];
    if (u->slots >= k->slots || (s->r.mutex && before[card].slots))
        return false;
    if (s->kind->cut)
        return true;
    if (k->mem_bytes - u->mem_bytes < mem_of(s, q, card) || k->cores - u->cores < q->cores)
        return false;
    if ((s->kind->whole_alone && q->cores == 100 && u->slots) || (q->cores == 0 && u->cores == k->cores))
        return false;
    if (s->kind->equal && u->slots && u->mem_bytes / u->slots != mem_of(s, q, card))
        return false;
    for (uint32_t i = 0; s->kind->one_card && i < s->n_taken; i++)
        if (s->taken[i].card != card)
            return false;
    return true;
}

/* The sum over cards of each one's peak: init containers alone, sidecars beside all that follows. */
static int64_t peak(const struct scene *s, bool memory)
{
    int64_t sum = 0;
    for (uint32_t card = 0; card < s->node->n_cards; card++) {
        int64_t stay = 0, most = 0;
        for (uint32_t slot = 0; slot < s->r.n_slots; slot++) {
            int64_t now = stay;
            for (uint32_t i = 0; i < s->n_taken; i++)
                if (s->taken[i].card == card && s->taken[i].slot == slot)
                    now += memory ? (int64_t)(s->taken[i].mem / POD_MIB) : s->taken[i].cores;
            stay = s->r.slot_kind[slot] == SLOT_INIT ? stay : now;
            most = MAX(most, now);
        }
        sum += most;
    }
    return sum;
}

static bool within_quota(const struct scene *s)
{
    return !s->kind->counted || (peak(s, true) <= s->mem_left && peak(s, false) <= s->cores_left);
}

static void charge(struct card_use *u, uint64_t mem, uint32_t cores, uint16_t mask)
{
    u->mem_bytes += mem;
    u->cores += cores;
    u->slots++;
    u->mig_mask |= mask;
}

static bool exists_from(struct scene *s, uint32_t request, const struct card_use *use);

/* What is left of request i, from option `from` on: a card, or a place of a profile on one. */
static bool exists(struct scene *s, uint32_t i, uint32_t left, uint32_t from, const struct card_use *before,
                   const struct card_use *use)
{
    const struct card_request *q = &s->r.requests[i];
    if (left == 0)
        return exists_from(s, i + 1, s->r.slot_kind[i] == SLOT_INIT ? before : use);
    uint32_t per_card = s->kind->cut ? s->geometry->n * 8 : 1;
    for (uint32_t option = from; option < s->node->n_cards * per_card; option++) {
        uint32_t card = option / per_card, shape = option % per_card / 8, place = option % 8;
        struct card_use after[CARDS];
        uint64_t mem = mem_of(s, q, card);
        uint32_t cores = q->cores;
        uint16_t mask = 0;
        if (!has_room(s, q, card, before, use))
            continue;
        if (s->kind->cut) {
            const struct card_shape *g = &s->geometry->shapes[shape];
            if (g->mem_bytes < mem || place >= g->n_placements)
                continue;
            mask = (uint16_t)(((1U << g->placements[place].size) - 1) << g->placements[place].start);
            if (mask & use[card].mig_mask)
                continue;
            mem = g->mem_bytes;
            cores = g->cores;
        }
        memcpy(after, use, sizeof after);
        charge(&after[card], mem, cores, mask);
        s->taken[s->n_taken++] = (struct taken){card, i, mem, cores};
        bool found = within_quota(s) && exists(s, i, left - 1, option + 1, before, after);
        s->n_taken--;
        if (found)
            return true;
    }
    return false;
}

static bool exists_from(struct scene *s, uint32_t request, const struct card_use *use)
{
    return request == s->r.n_requests || exists(s, request, s->r.requests[request].n_cards, 0, use, use);
}

/* Is the answer one of them? */
static void check_answer(struct scene *s, const struct pod_grant *g)
{
    struct card_use use[CARDS];
    uint16_t at = 0;
    memcpy(use, s->use, sizeof use);
    s->n_taken = 0;
    for (uint32_t i = 0; i < s->r.n_requests; i++) {
        struct card_use before[CARDS];
        memcpy(before, use, sizeof before);
        for (uint32_t k = 0; k < s->r.requests[i].n_cards; k++, at++) {
            const struct card_grant *a = &g->grants[at];
            uint16_t mask = (uint16_t)(((1U << a->mig_size) - 1) << a->mig_start);
            g_assert_cmpuint(at, <, g->n);
            g_assert_cmpuint(a->slot, ==, i);
            g_assert_true(has_room(s, &s->r.requests[i], a->card, before, use));
            g_assert_false(mask & use[a->card].mig_mask);
            g_assert_cmpuint(a->mem_bytes, >=, mem_of(s, &s->r.requests[i], a->card));
            for (uint32_t m = 1; !s->kind->cut && m <= k; m++)
                g_assert_cmpuint(g->grants[at - m].card, !=, a->card);
            charge(&use[a->card], a->mem_bytes, a->cores, mask);
            s->taken[s->n_taken++] = (struct taken){a->card, i, a->mem_bytes, a->cores};
        }
        if (s->r.slot_kind[i] == SLOT_INIT)
            memcpy(use, before, sizeof use);
    }
    g_assert_cmpuint(at, ==, g->n);
    g_assert_true(within_quota(s));
    s->n_taken = 0;
}

/* ---- random small nodes ----------------------------------------------------------- */

static void use_some(struct scene *s, uint32_t card)
{
    const struct card *k = &s->node->cards[card];
    struct card_use *u = &s->use[card];
    uint32_t n = world_pick(&s->w, 2) ? world_pick(&s->w, MIN(k->slots, 4) + 1) : 0;
    static const uint32_t steps[] = {24576, 49152};
    uint64_t size = MIB(steps[world_pick(&s->w, 2)]);
    for (uint32_t i = 0; i < n; i++) {
        if (s->kind->cut) {
            const struct card_shape *g = &s->geometry->shapes[world_pick(&s->w, s->geometry->n)];
            uint32_t p = world_pick(&s->w, g->n_placements);
            uint16_t mask = (uint16_t)(((1U << g->placements[p].size) - 1) << g->placements[p].start);
            if (!(mask & u->mig_mask))
                charge(u, g->mem_bytes, g->cores, mask);
        } else if (!s->kind->equal) {
            uint64_t mib = (k->mem_bytes - u->mem_bytes) / POD_MIB;
            charge(u, MIB(world_pick(&s->w, (uint32_t)mib + 1)), world_pick(&s->w, k->cores - u->cores + 1),
                   0);
        } else if (k->mem_bytes - u->mem_bytes >= size) {
            charge(u, size, (uint32_t)(size * 100 / k->mem_bytes), 0);
        }
    }
}

static void ask_some(struct scene *s, struct card_request *q)
{
    struct world *w = &s->w;
    static const uint32_t xpu[] = {24576, 49152, 98304}, mthreads[] = {1024, 4096, 8192, 16384, 32768, 49152};
    q->family = world_family(w, s->kind->word)->id;
    q->n_cards = s->kind->one_card || s->kind->equal ? 1 : 1 + world_pick(w, 3);
    if (s->kind->equal) {
        q->mem_bytes = MIB(xpu[world_pick(w, 3)]);
        q->cores = (uint32_t)(q->mem_bytes * 100 / MIB(98304));
    } else if (s->kind->one_card) {
        q->mem_bytes = MIB(mthreads[world_pick(w, 6)]);
        q->cores = world_pick(w, 17);
    } else if (s->kind->cut) {
        uint64_t some = s->geometry->shapes[world_pick(w, s->geometry->n)].mem_bytes;
        q->mem_bytes = world_pick(w, 8) ? some - MIB(world_pick(w, 2000)) : 0;
    } else {
        q->mem_bytes = world_pick(w, 3) ? MIB(1 + world_pick(w, 30000)) : 0;
        q->mem_percent = world_pick(w, 3) ? 1 + world_pick(w, 100) : 0;
        q->cores = world_pick(w, 3) ? world_pick(w, 60) : world_pick(w, 2) ? 100 : 0;
    }
}

static void set_quota(struct scene *s)
{
    static uint16_t mem[FAMILIES_MAX], cores[FAMILIES_MAX];
    s->mem_left = s->cores_left = INT64_MAX;
    memset(mem, 0xff, sizeof mem);
    memset(cores, 0xff, sizeof cores);
    s->quota = (struct fit_quota){.mem_resource = mem, .cores_resource = cores, .families = s->w.families};
    uint16_t family = s->r.requests[0].family;
    mem[family] = 0;
    cores[family] = 1;
    if (world_pick(&s->w, 3) == 0)
        s->mem_left = 1000 + world_pick(&s->w, 60000);
    if (world_pick(&s->w, 6) == 0)
        s->cores_left = world_pick(&s->w, 200);
    if (s->mem_left != INT64_MAX)
        s->quota.limits[s->quota.n++] =
            (struct fit_limit){.resource = 0, .used = 17, .limit = 17 + s->mem_left};
    if (s->cores_left != INT64_MAX)
        s->quota.limits[s->quota.n++] =
            (struct fit_limit){.resource = 1, .used = 3, .limit = 3 + s->cores_left};
}

static void make_scene(struct scene *s, uint32_t seed)
{
    memset(s, 0, sizeof *s);
    world_init(&s->w, seed);
    s->kind = &kinds[world_pick(&s->w, G_N_ELEMENTS(kinds))];
    s->geometry = &geometries[world_pick(&s->w, G_N_ELEMENTS(geometries))];
    uint32_t n = 1 + world_pick(&s->w, s->kind->cut ? 2 : CARDS);
    s->node = world_add_node(&s->w, s->kind->word, n);
    for (uint32_t i = 0; i < n; i++) {
        struct card *k = &s->node->cards[i];
        if (s->kind->cut) {
            k->mode = CARD_MIG;
            k->slots = 7;
            k->shapes = (const struct card_shapes *)(const void *)s->geometry;
            k->mem_bytes = s->geometry->shapes[s->geometry->n - 1].mem_bytes + MIB(768);
        } else if (!s->kind->equal && world_pick(&s->w, 3) == 0) {
            k->mem_bytes /= 2;
        }
        if (world_pick(&s->w, 5) == 0)
            k->slots = (uint16_t)(1 + world_pick(&s->w, 3));
        use_some(s, i);
    }
    world_request(&s->w, &s->r, s->kind->word, 1);
    s->r.n_slots = s->r.n_requests = (uint8_t)(1 + world_pick(&s->w, REQUESTS));
    uint32_t left = s->kind->cut ? 4 : REQUESTS * 3;
    for (uint8_t i = 0; i < s->r.n_slots; i++) {
        struct card_request *q = &s->r.requests[i];
        s->r.slot_kind[i] = (uint8_t)(i + 1 < s->r.n_slots ? world_pick(&s->w, 3) : SLOT_APP);
        q->slot = i;
        ask_some(s, q);
        q->n_cards = MIN(q->n_cards, MAX(left, 1));
        left -= MIN(left, q->n_cards);
    }
    s->r.card_policy[0] = world_pick(&s->w, 2) ? CARD_SPREAD : CARD_BINPACK;
    s->r.mutex = world_pick(&s->w, 6) == 0;
    s->r.topology_aware = world_pick(&s->w, 4) == 0;
    set_quota(s);
}

static unsigned n_fit[G_N_ELEMENTS(kinds)], n_not[G_N_ELEMENTS(kinds)], most_steps;

static void compare(uint32_t seed)
{
    static struct scene s;
    static struct pod_grant g;
    unsigned steps = FIT_STEPS;
    make_scene(&s, seed);
    bool want = exists_from(&s, 0, s.use);
    bool got = fit_pod(s.w.families, s.node, s.use, &s.quota, &s.r, &steps, &g, NULL) == SCHED_FITS;
    if (got != want)
        g_error("seed %u: %s: %s, by all assignments %s (%u cards, %u requests, %u steps left)", seed,
                s.kind->name, got ? "fits" : "does not fit", want ? "it does" : "it does not",
                s.node->n_cards, s.r.n_requests, steps);
    if (got)
        check_answer(&s, &g);
    (got ? n_fit : n_not)[s.kind - kinds]++;
    most_steps = MAX(most_steps, FIT_STEPS - steps);
    world_clear(&s.w);
}

static void fits_exactly_when_an_assignment_exists(void)
{
    uint32_t first = test_seed();
    for (uint32_t i = 0; i < 3000; i++)
        compare(first + i);
    for (size_t i = 0; i < G_N_ELEMENTS(kinds); i++) {
        g_test_message("%s: %u fit, %u do not", kinds[i].name, n_fit[i], n_not[i]);
        g_assert_cmpuint(n_fit[i], >, 0);
        g_assert_cmpuint(n_not[i], >, 0);
    }
    g_test_message("at most %u steps", most_steps);
}

/* ---- some by name --------------------------------------------------------------- */

/* Two cards of 40960 MiB; the second has company. */
static const struct {
    const char *name;
    uint64_t used_mib;
    uint32_t used_cores;
    uint8_t first; /* enum slot_kind */
    uint64_t mib[2];
    uint32_t cores[2];
    int64_t quota_mib; /* 0 = none */
    const char *want;  /* cards of the two containers; NULL: the pod does not fit */
    bool binpack;
} named[] = {
    {"each its favourite", 1000, 10, SLOT_APP, {2000, 2000}, {10, 10}, 0, "0 1", false},
    {"the idle card is left to the one that needs it whole",
     1000,
     30,
     SLOT_APP,
     {2000, 2000},
     {50, 100},
     0,
     "1 0",
     false},
    {"the larger gap is left to the larger one", 30000, 0, SLOT_APP, {10000, 40000}, {0, 0}, 0, "1 0", false},
    {"no gap is large enough for both", 30000, 0, SLOT_APP, {12000, 40000}, {0, 0}, 0, NULL, false},
    {"an init container is in nobody's way", 30000, 0, SLOT_INIT, {12000, 40000}, {0, 0}, 0, "0 0", false},
    {"each the fullest that will do", 30000, 0, SLOT_INIT, {12000, 9000}, {0, 0}, 0, "0 1", true},
    {"one card's peak is within the quota, two are not",
     30000,
     0,
     SLOT_INIT,
     {12000, 9000},
     {0, 0},
     12000,
     "0 0",
     true},
    {"nor is the least within a smaller quota",
     30000,
     0,
     SLOT_INIT,
     {12000, 9000},
     {0, 0},
     11999,
     NULL,
     true},
};

static char *place_named(size_t row)
{
    static struct pod_grant g;
    struct world w;
    struct pod_request r;
    uint16_t mem[FAMILIES_MAX], cores[FAMILIES_MAX];
    world_init(&w, 1);
    const struct node_spec *node = world_add_node(&w, "NVIDIA", 2);
    struct card_use use[2] = {
        {0}, {.mem_bytes = MIB(named[row].used_mib), .cores = named[row].used_cores, .slots = 1}};
    world_request(&w, &r, "NVIDIA", 1);
    r.n_slots = r.n_requests = 2;
    r.slot_kind[0] = named[row].first;
    r.slot_kind[1] = SLOT_APP;
    r.requests[1] = r.requests[0];
    r.requests[1].slot = 1;
    r.card_policy[0] = named[row].binpack ? CARD_BINPACK : CARD_SPREAD;
    for (int i = 0; i < 2; i++) {
        r.requests[i].mem_bytes = MIB(named[row].mib[i]);
        r.requests[i].cores = named[row].cores[i];
    }
    memset(mem, 0, sizeof mem);
    memset(cores, 0xff, sizeof cores);
    struct fit_quota quota = {.mem_resource = mem, .cores_resource = cores, .families = w.families};
    quota.n = named[row].quota_mib ? 1 : 0;
    quota.limits[0] = (struct fit_limit){.limit = named[row].quota_mib};
    bool fits = fit_pod(w.families, node, use, &quota, &r, NULL, &g, NULL) == SCHED_FITS;
    char *text = fits ? g_strdup_printf("%u %u", g.grants[0].card, g.grants[1].card) : NULL;
    world_clear(&w);
    return text;
}

static void a_container_leaves_room_for_the_next(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(named); i++) {
        g_autofree char *got = place_named(i);
        g_test_message("%s: %s", named[i].name, got ? got : "does not fit");
        g_assert_cmpstr(got, ==, named[i].want);
    }
}

/* One more than there is room for, on cards of which no two are alike: the search ends, and soon. */
static void a_search_is_cut_off(void)
{
    static const struct {
        uint32_t n_cards, n_requests, each;
    } rows[] = {{8, 3, 3}, {16, 33, 1}, {8, 17, 1}, {128, 33, 8}, {128, 3, 43}};
    for (size_t row = 0; row < G_N_ELEMENTS(rows); row++) {
        static struct pod_grant g;
        static struct card_use use[CARD_PER_NODE];
        struct world w;
        struct pod_request r;
        unsigned steps = FIT_STEPS;
        world_init(&w, 1);
        const struct node_spec *node = world_add_node(&w, "NVIDIA", rows[row].n_cards);
        uint32_t per_card = rows[row].n_requests * rows[row].each / rows[row].n_cards;
        for (uint32_t i = 0; i < rows[row].n_cards; i++)
            use[i] = (struct card_use){.mem_bytes = MIB(i), .slots = 1};
        world_request(&w, &r, "NVIDIA", 1);
        r.n_slots = r.n_requests = (uint8_t)rows[row].n_requests;
        for (uint8_t i = 0; i < r.n_requests; i++) {
            r.slot_kind[i] = SLOT_APP;
            r.requests[i] = r.requests[0];
            r.requests[i].slot = i;
            r.requests[i].n_cards = rows[row].each;
            r.requests[i].mem_bytes = MIB(40960 / (per_card + 1) + 200);
        }
        gint64 start = g_get_monotonic_time();
        g_assert_cmpint(fit_pod(w.families, node, use, NULL, &r, &steps, &g, NULL), !=, SCHED_FITS);
        g_test_message("%u cards, %u requests for %u: %u steps left, %" G_GINT64_FORMAT " us",
                       rows[row].n_cards, rows[row].n_requests, rows[row].each, steps,
                       g_get_monotonic_time() - start);
        g_assert_cmpint(g_get_monotonic_time() - start, <, G_USEC_PER_SEC);
        world_clear(&w);
    }
}

/* ---- more room never hurts ----------------------------------------------------- */

static bool collect(const struct cluster_pod *p, void *uids)
{
    g_ptr_array_add(uids, g_strdup(p->uid));
    return true;
}

/* Up to three containers, of both families of the world. */
static void random_request(struct world *w, struct pod_request *r)
{
    static struct pod_request more;
    world_random_request(w, r);
    while (r->n_slots < REQUESTS && world_pick(w, 2)) {
        world_random_request(w, &more);
        r->requests[r->n_requests] = more.requests[0];
        r->requests[r->n_requests++].slot = r->n_slots;
        r->slot_name[r->n_slots] = "third";
        r->slot_kind[r->n_slots++] = (uint8_t)world_pick(w, 3);
    }
}

static void fits_with_any_pod_removed(uint32_t seed, unsigned *n_checked)
{
    static struct pod_request r;
    static struct cluster_answer a;
    struct world w;
    world_init(&w, seed);
    if (seed % 2)
        w.kinds[1] = w.kinds[0];
    world_add_random_nodes(&w, 1);
    uint32_t n_pods = 1 + world_pick(&w, 8);
    for (int i = 0; i < 100 && w.n_pods < n_pods; i++) {
        random_request(&w, &r);
        world_run(&w, &r);
    }
    if (seed % 3 == 0)
        cluster_quota_set(w.cluster, "default", "q", "nvidia.com/gpumem",
                          20000 + (int64_t)world_pick(&w, 200000));
    g_autoptr(GPtrArray) uids = g_ptr_array_new_with_free_func(g_free);
    cluster_pod_each(w.cluster, collect, uids);
    for (int i = 0; i < 60; i++) {
        random_request(&w, &r);
        if (cluster_fit(w.cluster, &r, w.nodes[0], &a, NULL) != SCHED_FITS)
            continue;
        for (uint32_t k = 0; k < uids->len; k++, ++*n_checked) {
            const char *const uid = uids->pdata[k];
            if (cluster_fit_without(w.cluster, &r, w.nodes[0], &uid, 1, &a) != SCHED_FITS)
                g_error("seed %u: request %d fits, but not without pod %u", seed, i, k);
        }
    }
    world_clear(&w);
}

static void more_room_never_hurts(void)
{
    uint32_t first = test_seed();
    unsigned n = 0;
    for (uint32_t i = 0; i < 600; i++)
        fits_with_any_pod_removed(first + i, &n);
    g_test_message("%u removals", n);
    g_assert_cmpuint(n, >, 0);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/search/fits_exactly_when_an_assignment_exists", fits_exactly_when_an_assignment_exists);
    g_test_add_func("/search/a_container_leaves_room_for_the_next", a_container_leaves_room_for_the_next);
    g_test_add_func("/search/a_search_is_cut_off", a_search_is_cut_off);
    g_test_add_func("/search/more_room_never_hurts", more_room_never_hurts);
    return g_test_run();
}
