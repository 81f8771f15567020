/* SPDX-License-Identifier: Apache-2.0
 *
 * Whatever happens to a cluster, in whatever order, its ledger says exactly
 * what the pods hold. Random operations on a few nodes of all kinds of cards,
 * and beside them a second account of the same by other means: by UUID, summed
 * anew. HAMI_TEST_OPS (100000) and HAMI_TEST_SEED choose length and course.
 */
#include <stdlib.h>

#include "chance.h"
#include "fixture.h"
#include "vendor/config.h"

static const struct family_set *set; /* whose families the nodes have */

enum { NODES = 32, PODS = 400, CARDS = 8, SPACES = 4, GRANTS = 24 };

/* ---- the second account ---------------------------------------------------------- */

struct mine { /* a grant, by UUID */
    int card; /* number in the node's universe */
    struct card_grant g;
};

struct pod {
    enum pod_state state;
    bool truth; /* by the API server's word: may exceed what there is */
    bool started, is_text;
    unsigned serial;
    int node, space;
    int64_t deadline;
    unsigned n_slots, n;
    uint8_t kind[8];
    struct mine grants[GRANTS];
};

struct world {
    Cluster *c;
    int64_t now;
    unsigned serial;
    uint64_t asked, placed, forged, bound;
    bool present[NODES];
    unsigned n_cards[NODES];
    int order[NODES][CARDS]; /* universe numbers in the order registered */
    struct card cards[NODES][CARDS];
    char names[NODES][32], uuids[NODES][CARDS][40];
    struct pod pods[PODS];
};

static const char *const spaces[SPACES] = {"default", "team-a", "team-b", "kube-system"};

static const char *uid_of(const struct pod *p)
{
    static char text[64];
    if (p->is_text)
        g_snprintf(text, sizeof text, "mirror-%u", p->serial);
    else
        g_snprintf(text, sizeof text, "%08x-1234-4abc-8def-%012x", p->serial * 2654435761u, p->serial);
    return text;
}

static uint16_t family_of(int node, int card)
{
    return (uint16_t)(node % 3 == 2 && card >= CARDS / 2 ? (node + 1) % (int)set->n : node % (int)set->n);
}

static void add(const struct family *f, struct card_use *to, const struct card_grant *g)
{
    to->mem_bytes = to->mem_bytes + g->mem_bytes < to->mem_bytes ? UINT64_MAX : to->mem_bytes + g->mem_bytes;
    if (f->cores_kind == FAMILY_CORES_MASK)
        to->cores |= g->cores;
    else
        to->cores = to->cores > UINT32_MAX - g->cores ? UINT32_MAX : to->cores + g->cores;
    to->slots = (uint16_t)MIN(to->slots + g->slices, UINT16_MAX);
}

/* The most a pod ever takes of a card, container by container. */
static struct card_use peak(const struct pod *p, int card)
{
    const struct family *f = set->rows[family_of(p->node, card)];
    struct card_use beside = {0}, most = {0};
    for (unsigned slot = 0; slot < p->n_slots; slot++) {
        struct card_use here = beside;
        for (unsigned i = 0; i < p->n; i++)
            if (p->grants[i].card == card && p->grants[i].g.slot == slot)
                add(f, &here, &p->grants[i].g);
        if (p->kind[slot] != SLOT_INIT)
            beside = here;
        if (p->started && p->kind[slot] == SLOT_INIT)
            continue;
        most.mem_bytes = MAX(most.mem_bytes, here.mem_bytes);
        most.cores =
            f->cores_kind == FAMILY_CORES_MASK ? most.cores | here.cores : MAX(most.cores, here.cores);
        most.slots = MAX(most.slots, here.slots);
    }
    return most;
}

static void check_node(const struct world *w, int node)
{
    ClusterNode at = cluster_node_find(w->c, w->names[node], strlen(w->names[node]));
    if (!w->present[node])
        return;
    const struct node_spec *spec = cluster_node_spec(w->c, at);
    const struct card_use *use = cluster_node_use(w->c, at);
    g_assert_cmpuint(spec->n_cards, ==, w->n_cards[node]);
    for (unsigned i = 0; i < w->n_cards[node]; i++) {
        int card = w->order[node][i];
        const struct family *f = set->rows[family_of(node, card)];
        struct card_use sum = {0};
        bool truth = false;
        for (int p = 0; p < PODS; p++) {
            if (w->pods[p].state == POD_NONE || w->pods[p].node != node)
                continue;
            struct card_use one = peak(&w->pods[p], card);
            add(f, &sum,
                &(struct card_grant){.mem_bytes = one.mem_bytes, .cores = one.cores, .slices = one.slots});
            truth |=
                w->pods[p].truth && (one.slots || one.mem_bytes || one.cores); /* forged: without slots too */
        }
        g_assert_cmpstr(spec->cards[i].uuid, ==, w->uuids[node][card]);
        g_assert_cmpuint(use[i].mem_bytes, ==, sum.mem_bytes);
        g_assert_cmpuint(use[i].cores, ==, sum.cores);
        g_assert_cmpuint(use[i].slots, ==, sum.slots);
        if (!truth) {
            g_assert_cmpuint(use[i].mem_bytes, <=, spec->cards[i].mem_bytes);
            g_assert_cmpuint(use[i].slots, <=, spec->cards[i].slots);
            if (f->cores_kind != FAMILY_CORES_MASK)
                g_assert_cmpuint(use[i].cores, <=, choose_cores_total(f, &spec->cards[i]));
        }
    }
}

static bool has_card(const struct world *w, int node, int card)
{
    for (unsigned i = 0; i < w->n_cards[node]; i++)
        if (w->order[node][i] == card)
            return true;
    return false;
}

static void check_pod(const struct world *w, const struct pod *p)
{
    struct cluster_pod got;
    bool known = cluster_pod_get(w->c, uid_of(p), &got);
    g_assert_true(known == (p->state != POD_NONE));
    if (!known)
        return;
    g_assert_cmpint(got.state, ==, p->state);
    g_assert_cmpstr(got.node_name, ==, w->names[p->node]);
    g_assert_cmpstr(got.namespace_, ==, spaces[p->space]);
    g_assert_cmpuint(got.n_grants, ==, p->n);
    for (unsigned i = 0; i < p->n; i++) {
        g_assert_cmpuint(got.grants[i].mem_bytes, ==, p->grants[i].g.mem_bytes);
        g_assert_cmpuint(got.grants[i].slot, ==, p->grants[i].g.slot);
        if (got.grants[i].card < CLUSTER_CARD_GONE)
            g_assert_cmpint(w->order[p->node][got.grants[i].card], ==, p->grants[i].card);
        else
            g_assert_false(has_card(w, p->node, p->grants[i].card));
    }
}

/* ---- what happens ---------------------------------------------------------------- */

static void register_node(struct world *w, int node)
{
    struct card cards[CARDS];
    for (unsigned i = 0; i < w->n_cards[node]; i++)
        cards[i] = w->cards[node][w->order[node][i]];
    cluster_node_set(w->c, &(struct node_spec){.name = w->names[node],
                                               .n_cards = w->n_cards[node],
                                               .cards = cards,
                                               .soft_slicing = node % 2,
                                               .contiguous_anywhere = node % 4 == 0});
    w->present[node] = true;
}

/* Other cards, or the same with other figures, in another order (families stay sorted). */
static void change_node(struct world *w, int node)
{
    unsigned n = 0;
    int by_family[2] = {0, 0};
    uint16_t low = MIN(family_of(node, 0), family_of(node, CARDS - 1));
    for (int half = 0; half < 2; half++)
        for (int k = 0; k < CARDS; k++) {
            int card = node % 5 == 1 ? CARDS - 1 - k : k;
            struct card *it = &w->cards[node][card];
            bool mine = (it->family == low) == (half == 0);
            if (!mine || chance(6) == 0)
                continue;
            it->healthy = chance(12) != 0;
            if (chance(5) == 0)
                it->mem_bytes = MIB(1000 + chance(16) * 1000);
            w->order[node][n++] = card;
            by_family[half]++;
        }
    w->n_cards[node] = n;
    for (int i = 0; i < PODS; i++) /* less than is taken is no fault of the ledger */
        if (w->pods[i].state != POD_NONE && w->pods[i].node == node)
            w->pods[i].truth = true;
    register_node(w, node);
}

static void lose_node(struct world *w, int node)
{
    cluster_node_remove(w->c, w->names[node]);
    w->present[node] = false;
    w->n_cards[node] = 0;
}

static struct pod *some_pod(struct world *w, enum pod_state state)
{
    for (int tries = 0; tries < 24; tries++) {
        struct pod *p = &w->pods[chance(PODS)];
        if (p->state == state)
            return p;
    }
    return NULL;
}

static void make_request(const struct pod *p, struct pod_request *ret)
{
    static const uint8_t kinds[3] = {SLOT_INIT, SLOT_SIDECAR, SLOT_APP};
    *ret = ask(uid_of(p), 0, 1, 0, 0);
    ret->namespace_ = spaces[p->space];
    ret->node_policy = chance(2) ? NODE_BINPACK : NODE_SPREAD;
    ret->card_policy[0] = chance(2) ? CARD_BINPACK : CARD_SPREAD;
    ret->mutex = chance(20) == 0;
    ret->n_slots = (uint8_t)(chance(4) ? 1 : 1 + chance(4));
    ret->n_requests = ret->n_slots;
    for (uint8_t i = 0; i < ret->n_slots; i++) {
        uint16_t family = (uint16_t)chance(set->n);
        ret->slot_kind[i] = i + 1 < ret->n_slots ? kinds[chance(3)] : SLOT_APP;
        if (i && ret->slot_kind[i - 1] == SLOT_APP)
            ret->slot_kind[i] = SLOT_APP;
        ret->requests[i] = (struct card_request){.family = chance(3) ? (uint16_t)GPU : family,
                                                 .slot = i,
                                                 .n_cards = chance(5) ? 1 : 1 + chance(4),
                                                 .mem_bytes = chance(6) ? MIB(chance(5000)) : 0,
                                                 .mem_percent = chance(3) ? 0 : 1 + chance(100),
                                                 .cores = chance(4) ? chance(40) : chance(120),
                                                 .exclusive = chance(40) == 0};
        if (set->rows[ret->requests[i].family]->cores_kind == FAMILY_CORES_MASK)
            ret->requests[i].cores = 1 + chance(3);
    }
}

static void remember(struct world *w, struct pod *p, const struct pod_grant *g, const uint8_t *kind,
                     unsigned n_slots)
{
    p->n = 0;
    p->n_slots = n_slots;
    memcpy(p->kind, kind, n_slots);
    for (unsigned slot = 0; slot < n_slots; slot++)
        for (uint16_t i = 0; i < g->n; i++)
            if (g->grants[i].slot == slot && g->grants[i].card < w->n_cards[p->node])
                p->grants[p->n++] = (struct mine){w->order[p->node][g->grants[i].card], g->grants[i]};
}

static void distinct_cards(const struct cluster_answer *a)
{
    for (uint16_t i = 0; i < a->grant.n; i++)
        for (uint16_t k = 0; k < i; k++)
            g_assert_false(a->grant.grants[i].slot == a->grant.grants[k].slot &&
                           a->grant.grants[i].card == a->grant.grants[k].card);
}

struct quota_watch {
    const char *space;
    int64_t used[8];
    unsigned n;
};

/* MiB of a unit that a limit counts (scheduler.md 6.8). */
static int64_t memory_factor(const char *resource)
{
    return strcmp(resource, "cambricon.com/mlu.smlu.vmemory") == 0 ? 256 : 1;
}

static bool watch_quota(const struct cluster_quota *q, void *data)
{
    struct quota_watch *watch = data;
    bool checked = strncmp(q->resource, "nvidia", 6) == 0 || strncmp(q->resource, "cambricon", 9) == 0;
    if (strcmp(q->namespace_, watch->space) == 0 && checked && q->limit >= 0 &&
        q->used > q->limit * memory_factor(q->resource))
        watch->used[watch->n++] = q->used;
    return true;
}

/* Whatever is above its limit after a reservation was so before, and did not grow. */
static void check_quota(const struct quota_watch *before, const struct quota_watch *after)
{
    g_assert_cmpuint(after->n, <=, before->n);
    for (unsigned i = 0; i < after->n; i++) {
        bool grew = true;
        for (unsigned k = 0; k < before->n; k++)
            grew &= after->used[i] > before->used[k];
        g_assert_false(grew);
    }
}

static struct pod *arrive(struct world *w)
{
    struct pod *p = chance(8) ? some_pod(w, POD_NONE) : some_pod(w, POD_RESERVED); /* or filtered again */
    struct pod_request r;
    static struct cluster_answer a;
    ClusterNode candidates[NODES * 2];
    uint32_t n = 1 + chance(NODES * 2);
    if (!p)
        return NULL;
    if (p->state == POD_NONE)
        *p = (struct pod){.serial = ++w->serial, .is_text = chance(10) == 0, .space = (int)chance(SPACES)};
    make_request(p, &r);
    for (uint32_t i = 0; i < n; i++)
        candidates[i] = chance(30) ? chance(NODES) : UINT32_MAX - chance(2);
    cluster_place(w->c, &r, candidates, n, &a);
    w->asked++;
    if (a.reason != SCHED_FITS)
        return p;
    w->placed++;
    distinct_cards(&a);
    struct quota_watch before = {.space = spaces[p->space]}, after = before;
    cluster_quota_each(w->c, watch_quota, &before);
    g_assert_true(cluster_reserve(w->c, &r, &a, w->now + 50));
    cluster_quota_each(w->c, watch_quota, &after);
    check_quota(&before, &after);
    int left = p->node;
    bool moved = p->state != POD_NONE;
    const char *name = cluster_node_spec(w->c, a.node)->name;
    p->state = POD_RESERVED;
    p->truth = false;
    p->deadline = w->now + 50;
    for (p->node = 0; strcmp(w->names[p->node], name) != 0; p->node++)
        ;
    remember(w, p, &a.grant, r.slot_kind, r.n_slots);
    if (moved)
        check_node(w, left);
    return p;
}

/* The API server says a pod is bound: the one we bound, or one with whatever annotations. */
static struct pod *forge(struct world *w)
{
    struct pod *p = some_pod(w, chance(2) ? POD_NONE : POD_BOUND);
    struct pod_grant g = {.n = (uint16_t)chance(4)};
    uint8_t kind[4] = {SLOT_INIT, SLOT_SIDECAR, SLOT_APP, SLOT_APP};
    if (!p)
        return NULL;
    int left = p->node;
    bool known = p->state != POD_NONE;
    if (!known)
        *p = (struct pod){.serial = ++w->serial, .is_text = chance(10) == 0, .space = (int)chance(SPACES)};
    p->node = (int)chance(NODES);
    for (uint16_t i = 0; i < g.n; i++)
        g.grants[i] =
            (struct card_grant){.mem_bytes = chance(9) ? MIB(chance(20000)) : UINT64_MAX - chance(9),
                                .cores = chance(9) ? chance(100) : UINT32_MAX,
                                .card = (uint16_t)chance(chance(9) ? CARDS : UINT16_MAX),
                                .slices = (uint16_t)(chance(9) ? 1 : chance(UINT16_MAX)),
                                .mig_start = (uint8_t)(chance(4) ? 0 : chance(8)),
                                .mig_size = (uint8_t)(chance(4) ? 0 : chance(8)),
                                .slot = (uint8_t)chance(chance(9) ? 4 : 200),
                                .shape = CARD_NO_SHAPE};
    cluster_bound(w->c, uid_of(p), spaces[p->space], "forged", w->names[p->node], &g, kind, 4,
                  (int32_t)chance(3), false);
    w->forged++;
    p->started = false;
    p->state = POD_BOUND;
    p->truth = true;
    remember(w, p, &g, kind, 4);
    check_node(w, known ? left : p->node);
    return p;
}

static struct pod *bind_pod(struct world *w)
{
    struct pod *p = some_pod(w, POD_RESERVED);
    if (!p)
        return NULL;
    g_assert_true(cluster_binding(w->c, uid_of(p)));
    p->state = POD_BINDING;
    return p;
}

static struct pod *bind_ends(struct world *w)
{
    struct pod *p = some_pod(w, POD_BINDING);
    if (!p)
        return NULL;
    switch (chance(4)) {
    case 0: /* its fate is unknown */
        g_assert_true(cluster_unbind(w->c, uid_of(p), w->now + 20));
        p->state = POD_RESERVED;
        p->deadline = w->now + 20;
        break;
    case 1: /* the write failed */
        g_assert_true(cluster_release(w->c, uid_of(p)));
        p->state = POD_NONE;
        break;
    default:
        cluster_bound(w->c, uid_of(p), spaces[p->space], "bound", w->names[p->node], NULL, NULL, 0, 0, false);
        p->state = POD_BOUND;
        w->bound++;
    }
    return p;
}

static struct pod *start_pod(struct world *w)
{
    struct pod *p = some_pod(w, POD_BOUND);
    if (!p)
        return NULL;
    cluster_started(w->c, uid_of(p));
    p->started = true;
    return p;
}

static struct pod *delete_pod(struct world *w)
{
    struct pod *p = &w->pods[chance(PODS)];
    if (p->state == POD_NONE)
        return NULL;
    g_assert_true(cluster_release(w->c, uid_of(p)));
    p->state = POD_NONE;
    g_assert_false(cluster_release(w->c, uid_of(p)));
    return p;
}

static void pass_time(struct world *w)
{
    int64_t next = INT64_MAX;
    w->now += chance(30);
    for (int i = 0; i < PODS; i++) {
        struct pod *p = &w->pods[i];
        if (p->state != POD_RESERVED)
            continue;
        if (p->deadline <= w->now)
            p->state = POD_NONE;
        else
            next = MIN(next, p->deadline);
    }
    g_assert_cmpint(cluster_expire(w->c, w->now), ==, next);
}

static void change_quota(struct world *w)
{
    const char *space = spaces[chance(SPACES)], *quota = chance(2) ? "one" : "two";
    if (chance(3) == 0)
        cluster_quota_remove(w->c, space, quota);
    else
        cluster_quota_set(w->c, space, quota,
                          set->rows[chance(2)]->resource[chance(2) ? FAMILY_MEM : FAMILY_CORES],
                          (int64_t)chance(60000) - 5);
}

static void tell_bound(const struct world *w, Cluster *c, const struct pod *p)
{
    struct pod_grant g = {0};
    for (unsigned i = 0; i < p->n; i++)
        for (unsigned k = 0; k < w->n_cards[p->node]; k++)
            if (w->order[p->node][k] == p->grants[i].card) {
                g.grants[g.n] = p->grants[i].g;
                g.grants[g.n++].card = (uint16_t)k;
            }
    cluster_bound(c, uid_of(p), spaces[p->space], "again", w->names[p->node], &g, p->kind, p->n_slots, 0,
                  p->started);
}

static void forget_vanished(const struct world *w, struct pod *p)
{
    unsigned kept = 0;
    for (unsigned i = 0; i < p->n; i++)
        for (unsigned k = 0; k < w->n_cards[p->node]; k++)
            if (w->order[p->node][k] == p->grants[i].card)
                p->grants[kept++] = p->grants[i];
    p->n = kept;
}

/* A new process knows what the API server knows: nodes, and pods that are bound. */
static void restart(struct world *w)
{
    Cluster *old = w->c;
    w->c = cluster_new(set);
    for (int i = 0; i < NODES; i++)
        if (w->present[i])
            register_node(w, i);
    for (int i = 0; i < PODS; i++) {
        struct pod *p = &w->pods[i];
        if (p->state != POD_BOUND) {
            p->state = POD_NONE;
            continue;
        }
        tell_bound(w, w->c, p);
        p->truth = true;
        forget_vanished(w, p);
    }
    cluster_free(old);
}

/* A watch broke: all that is not in the new list is gone. */
static void sweep(struct world *w)
{
    cluster_sweep_begin(w->c);
    if (chance(4) == 0) {
        for (int i = 0; i < PODS; i++)
            cluster_touch(w->c, uid_of(&w->pods[i]));
        cluster_sweep_begin(w->c);
    }
    for (int i = 0; i < PODS; i++) {
        struct pod *p = &w->pods[i];
        if (p->state != POD_BOUND)
            continue;
        if (chance(10) == 0)
            p->state = POD_NONE;
        else
            cluster_touch(w->c, uid_of(p));
    }
    cluster_sweep_end(w->c);
}

static void cordon(struct world *w, int node)
{
    g_autofree char *list = g_strdup_printf("%s, ,x", w->uuids[node][chance(CARDS)]);
    ClusterNode at = cluster_node_find(w->c, w->names[node], strlen(w->names[node]));
    if (w->present[node])
        g_assert_true(cluster_node_cordon(w->c, at, chance(2) ? list : NULL));
}

static void step(struct world *w)
{
    uint32_t what = chance(1000);
    int node = (int)chance(NODES);
    struct pod *p = NULL;
    if (what < 330)
        p = arrive(w);
    else if (what < 530)
        p = bind_pod(w);
    else if (what < 700)
        p = bind_ends(w);
    else if (what < 880)
        p = delete_pod(w);
    else if (what < 910)
        p = forge(w);
    else if (what < 940)
        p = start_pod(w);
    else if (what < 960)
        pass_time(w);
    else if (what < 975)
        change_node(w, node);
    else if (what < 980)
        lose_node(w, node);
    else if (what < 990)
        change_quota(w);
    else if (what < 997)
        cordon(w, node);
    else if (what < 998)
        sweep(w);
    else if (chance(4) == 0)
        restart(w);
    if (p)
        check_pod(w, p);
    check_node(w, p ? p->node : node);
}

static struct world *begin(void)
{
    struct world *w = g_new0(struct world, 1);
    w->c = cluster_new(set);
    for (int i = 0; i < NODES; i++) {
        g_snprintf(w->names[i], sizeof w->names[i], "node-%d", i * 7 % NODES);
        for (int k = 0; k < CARDS; k++) {
            g_snprintf(w->uuids[i][k], sizeof w->uuids[i][k], "GPU-%d-%d", i, k);
            w->cards[i][k] = card(GPU, w->uuids[i][k], 16000);
            w->cards[i][k].family = family_of(i, k);
            w->cards[i][k].index = (uint16_t)k;
            w->cards[i][k].group = k / 2;
            if (set->rows[w->cards[i][k].family]->cores_kind == FAMILY_CORES_MASK)
                w->cards[i][k].cores = 0xf;
        }
        change_node(w, i);
    }
    return w;
}

static void release_everything(struct world *w)
{
    for (int i = 0; i < PODS; i++)
        if (w->pods[i].state != POD_NONE)
            g_assert_true(cluster_release(w->c, uid_of(&w->pods[i])));
    assert_sound(w->c);
    g_assert_cmpuint(cluster_pod_count(w->c), ==, 0);
    g_assert_cmpint(cluster_expire(w->c, INT64_MAX), ==, INT64_MAX);
    for (int i = 0; i < NODES; i++) {
        ClusterNode at = cluster_node_find(w->c, w->names[i], strlen(w->names[i]));
        for (unsigned k = 0; w->present[i] && k < w->n_cards[i]; k++) {
            const struct card_use *use = cluster_node_use(w->c, at);
            g_assert_true(use[k].mem_bytes == 0 && use[k].cores == 0 && use[k].slots == 0 &&
                          use[k].mig_mask == 0 && use[k].exclusive == 0);
        }
    }
}

static bool nothing_used(const struct cluster_quota *q, void *data)
{
    (void)data;
    g_assert_cmpint(q->used, ==, 0);
    return true;
}

static void run(void)
{
    uint64_t n = chance_begin(100000);
    struct world *w = begin();
    for (uint64_t i = 0; i < n; i++) {
        step(w);
        if (i % 1000 == 0)
            assert_sound(w->c);
    }
    assert_sound(w->c);
    g_test_message("%" G_GUINT64_FORMAT " asked, %" G_GUINT64_FORMAT " placed, %" G_GUINT64_FORMAT
                   " bound, %" G_GUINT64_FORMAT " forged",
                   w->asked, w->placed, w->bound, w->forged);
    g_assert_cmpuint(w->placed, >, n / 20);
    release_everything(w);
    cluster_quota_each(w->c, nothing_used, NULL);
    cluster_free(w->c);
    g_free(w);
}

static void ledger_holds_exactly_what_pods_hold(void)
{
    set = families();
    run();
}

static void so_it_does_with_all_families_of_the_field(void)
{
    const struct vendor_options all = {.enable_ascend = true, .enable_iluvatar = true};
    g_autoptr(GError) error = NULL;
    struct family_set *field = vendor_config_parse(NULL, 0, &all, NULL, &error);
    g_assert_no_error(error);
    set = field;
    run();
    vendor_config_free(field);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/ledger/ledger_holds_exactly_what_pods_hold", ledger_holds_exactly_what_pods_hold);
    g_test_add_func("/ledger/so_it_does_with_all_families_of_the_field",
                    so_it_does_with_all_families_of_the_field);
    return g_test_run();
}
