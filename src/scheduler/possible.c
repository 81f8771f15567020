/* SPDX-License-Identifier: Apache-2.0
 *
 * Whether any node could ever hold a pod, were it empty, and what the largest
 * is that one could give. Only where the cluster has every family that is
 * asked for: nodes may be about to come. A quota is no reason: it may be
 * raised, and has its own words. Nor is a card that is out of service today.
 */
#include <string.h>

#include "model/quantity.h"
#include "scheduler/service.h"

#define LOOK_US 50000 /* for a node that could hold a pod; anyone may ask for the impossible all day */

/* What a family's cards could give, wherever. */
struct most {
    uint16_t family;
    uint64_t mem_bytes; /* of one card */
    uint32_t cards;     /* of one node; 0 = no node has any */
    const char *mem_node, *cards_node;
};

struct look {
    struct scheduler *s;
    const struct pod_request *r;
    struct most most[POD_REQUESTS_MAX];
    unsigned n_most;
    const char *last; /* node that has all families; NULL = none */
    bool fits, late;
    int64_t until_us;
    GString *why; /* of the last */
};

static void want_families(struct look *l)
{
    for (unsigned i = 0; i < l->r->n_requests; i++) {
        unsigned m = 0;
        while (m < l->n_most && l->most[m].family != l->r->requests[i].family)
            m++;
        if (m == l->n_most)
            l->most[l->n_most++].family = l->r->requests[i].family;
    }
}

/* False when the node has no card of the family. */
static bool add_node(struct most *m, const struct node_spec *spec)
{
    uint32_t cards = 0;
    for (uint32_t i = 0; i < spec->n_cards; i++) {
        const struct card *c = &spec->cards[i];
        if (c->family != m->family)
            continue;
        cards++;
        if (!m->mem_node || c->mem_bytes > m->mem_bytes) {
            m->mem_bytes = c->mem_bytes;
            m->mem_node = spec->name;
        }
    }
    if (cards > m->cards) {
        m->cards = cards;
        m->cards_node = spec->name;
    }
    return cards > 0;
}

/* The node with its cordons lifted and its faults mended: pods wait for that. */
static const struct node_spec *in_service(const struct node_spec *spec, struct node_spec *ret)
{
    static struct card cards[CARD_PER_NODE];
    bool all = true;
    for (uint32_t i = 0; i < spec->n_cards; i++)
        all &= spec->cards[i].healthy && !spec->cards[i].cordoned;
    if (all)
        return spec;
    memcpy(cards, spec->cards, spec->n_cards * sizeof *cards);
    for (uint32_t i = 0; i < spec->n_cards; i++) {
        cards[i].healthy = true;
        cards[i].cordoned = false;
    }
    *ret = *spec;
    ret->cards = cards;
    return ret;
}

static bool try_empty(ClusterNode n, void *data)
{
    static struct cluster_answer answer;
    struct look *l = data;
    const struct node_spec *spec = cluster_node_spec(l->s->cluster, n);
    bool all = true;
    for (unsigned i = 0; i < l->n_most; i++)
        all &= add_node(&l->most[i], spec);
    l->late = g_get_monotonic_time() > l->until_us;
    if (l->late || !all)
        return !l->late;
    l->last = spec->name;
    g_string_truncate(l->why, 0);
    struct node_spec mended;
    l->fits = cluster_fit_spec(l->s->cluster, l->r, in_service(spec, &mended), &answer, l->why) == SCHED_FITS;
    return !l->fits;
}

static const char *title(const struct look *l, const struct most *m)
{
    return l->s->families->rows[m->family]->title;
}

/* "no node has both": where each of them is. */
static void say_apart(const struct look *l, GString *text)
{
    g_string_append(text, "no node has cards of all the families that it asks for (");
    for (unsigned i = 0; i < l->n_most; i++)
        g_string_append_printf(text, "%s%s is on node %s", i ? ", " : "", title(l, &l->most[i]),
                               l->most[i].cards_node);
    g_string_append(text, "); ask for them in separate pods");
}

/* The largest request of the family, by the names that the manifest has. */
static void say_asked(const struct look *l, const struct most *m, GString *text)
{
    const struct family *f = l->s->families->rows[m->family];
    uint32_t cards = 0;
    uint64_t mem_bytes = 0;
    for (unsigned i = 0; i < l->r->n_requests; i++) {
        const struct card_request *q = &l->r->requests[i];
        if (q->family != m->family)
            continue;
        cards = MAX(cards, q->n_cards);
        mem_bytes = MAX(mem_bytes, q->mem_bytes);
    }
    g_string_append_printf(text, "%s: %u asked for (%s)", f->title, cards, f->resource[FAMILY_COUNT]);
    if (mem_bytes && f->resource[FAMILY_MEM] && *f->resource[FAMILY_MEM])
        g_string_append_printf(text, " of %" G_GUINT64_FORMAT " MiB (%s)", mem_bytes / QUANTITY_MIB,
                               f->resource[FAMILY_MEM]);
}

static void say_most(const struct look *l, GString *text)
{
    char amount[QUANTITY_TEXT];
    g_string_append_printf(text, "no node could hold it even when empty (node %s: %s); ", l->last,
                           l->why->str);
    for (unsigned i = 0; i < l->n_most; i++) {
        const struct most *m = &l->most[i];
        g_string_append(text, i ? "; " : "");
        say_asked(l, m, text);
        g_string_append_printf(text, ", a node has at most %u (%s)", m->cards, m->cards_node);
        if (m->mem_bytes)
            g_string_append_printf(text, ", a card at most %s, which is %" G_GUINT64_FORMAT " MiB (%s)",
                                   quantity_format_bytes(m->mem_bytes, amount), m->mem_bytes / QUANTITY_MIB,
                                   m->mem_node);
    }
    g_string_append(text, "; ask for no more than that, or drop a selection");
}

char *possible_why_not(const struct pod_request *asked, void *data)
{
    static struct pod_request r;
    r = *asked;
    r.namespace_ = NULL;
    g_autoptr(GString) why = g_string_new(""), text = g_string_new("");
    struct look l = {.s = data, .r = &r, .why = why, .until_us = g_get_monotonic_time() + LOOK_US};
    if (!scheduler_is_synced(l.s))
        return NULL;
    want_families(&l);
    cluster_node_each(l.s->cluster, try_empty, &l);
    for (unsigned i = 0; i < l.n_most; i++)
        if (l.most[i].cards == 0)
            return NULL;
    if (l.fits || l.late)
        return NULL;
    if (l.last)
        say_most(&l, text);
    else
        say_apart(&l, text);
    return g_string_free(g_steal_pointer(&text), FALSE);
}
