/* SPDX-License-Identifier: Apache-2.0
 *
 * The samples of cards and of what pods hold of them: a million lines and more
 * in a large cluster, so they are made of few copies. The samples of a node
 * begin alike and are written side by side: each takes its beginning from the
 * one before.
 */
#include <string.h>

#include "model/family.h"
#include "scheduler/metrics_private.h"

enum word {
    NODE,
    UUID,
    INDEX,
    CORES,
    MEM_LIMIT,
    TYPE,
    NAMESPACE,
    POD_NODE,
    POD,
    CONTAINER,
    POD_UUID,
    END_OF_LABELS,
    WORDS
};

/* What stands between two values; the names before 2.9 in the second row. */
static const struct prom_word words[2][WORDS] = {
    {
        [NODE] = PROM_WORD_OF("{node=\""),
        [UUID] = PROM_WORD_OF("\",device_uuid=\""),
        [INDEX] = PROM_WORD_OF("\",device_index=\""),
        [CORES] = PROM_WORD_OF("\",device_cores=\""),
        [MEM_LIMIT] = PROM_WORD_OF("\",device_memory_limit=\""),
        [TYPE] = PROM_WORD_OF("\",device_type=\""),
        [NAMESPACE] = PROM_WORD_OF("\",namespace=\""),
        [POD_NODE] = PROM_WORD_OF("{node=\""),
        [POD] = PROM_WORD_OF("\",pod=\""),
        [CONTAINER] = PROM_WORD_OF("\",container_index=\""),
        [POD_UUID] = PROM_WORD_OF("\",device_uuid=\""),
        [END_OF_LABELS] = PROM_WORD_OF("\",zone=\"vGPU\"} "),
    },
    {
        [NODE] = PROM_WORD_OF("{nodeid=\""),
        [UUID] = PROM_WORD_OF("\",deviceuuid=\""),
        [INDEX] = PROM_WORD_OF("\",deviceidx=\""),
        [CORES] = PROM_WORD_OF("\",devicecores=\""),
        [MEM_LIMIT] = PROM_WORD_OF("\",devicememorylimit=\""),
        [TYPE] = PROM_WORD_OF("\",devicetype=\""),
        [NAMESPACE] = PROM_WORD_OF("\",podnamespace=\""),
        [POD_NODE] = PROM_WORD_OF("{nodename=\""),
        [POD] = PROM_WORD_OF("\",podname=\""),
        [CONTAINER] = PROM_WORD_OF("\",containeridx=\""),
        [POD_UUID] = PROM_WORD_OF("\",deviceuuid=\""),
        [END_OF_LABELS] = PROM_WORD_OF("\",zone=\"vGPU\"} "),
    },
};

/* Further labels of a family of cards. */
enum { WITH_TYPE = 1, WITH_CORES = 2, WITH_MEM = 4, IS_RATIO = 8 };
static const uint8_t shapes[METRICS] = {
    [METRIC_MEM_LIMIT] = WITH_TYPE,
    [METRIC_CORE_LIMIT] = WITH_TYPE,
    [METRIC_MEM_ALLOCATED] = WITH_TYPE | WITH_CORES,
    [METRIC_SHARED] = WITH_TYPE,
    [METRIC_CORE_ALLOCATED] = WITH_TYPE,
    [METRIC_OVERVIEW] = WITH_TYPE | WITH_CORES | WITH_MEM,
    [METRIC_MEM_RATIO] = WITH_TYPE | IS_RATIO,
    [METRIC_OLD_MEM_LIMIT] = WITH_TYPE,
    [METRIC_OLD_CORE_LIMIT] = WITH_TYPE,
    [METRIC_OLD_MEM_ALLOCATED] = WITH_TYPE | WITH_CORES,
    [METRIC_OLD_SHARED] = WITH_TYPE,
    [METRIC_OLD_CORE_ALLOCATED] = WITH_TYPE,
    [METRIC_OLD_OVERVIEW] = WITH_TYPE | WITH_CORES | WITH_MEM,
    [METRIC_OLD_MEM_PERCENT] = IS_RATIO,
};

/* Of one line, beside its texts: words and numbers. */
#define LINE_ROOM (8 * PROM_WORD + 5 * PROM_NUMBER)

/* A part of the text that was written already and is taken again: where, and how much. */
struct again {
    gsize at, len;
};

static char *take_again(char *at, const GString *out, const struct again *a)
{
    return prom_bytes(at, out->str + a->at, a->len);
}

/* `name{node="..."` and the word that follows, once per node. */
static struct again begin_node(struct scrape *w, enum word before, const char *node, enum word behind)
{
    const struct prom_word *word = words[metric_is_old(w->metric)];
    const char *name = metric_words[w->metric].name;
    size_t n = strlen(name), len = strlen(node);
    struct again ret = {.at = w->out->len};
    char *at = prom_room(w->out, n + 2 * len + 2 * PROM_WORD), *start = at;
    at = prom_bytes(at, name, n);
    at = prom_word(at, &word[before]);
    at = prom_text(at, node, len);
    at = prom_word(at, &word[behind]);
    ret.len = (gsize)(at - start);
    prom_done(w->out, at);
    return ret;
}

/* ---- cards ------------------------------------------------------------- */

static const struct family *family_of(const struct scrape *w, const struct card *c)
{
    return w->s->families->rows[c->family];
}

/* AMD counts compute units; its ratios are percent (the reference rounds up). */
static uint64_t normalised(const struct family *f, const struct card *c, uint32_t cores)
{
    if (f->cores_kind != FAMILY_CORES_OF_TOTAL || c->cores == 0)
        return cores;
    return ((uint64_t)cores * 100 + c->cores - 1) / c->cores;
}

static uint64_t card_value(enum metric metric, const struct family *f, const struct card *c,
                           const struct card_use *u)
{
    switch (metric) {
    case METRIC_MEM_LIMIT:
    case METRIC_OLD_MEM_LIMIT:
        return c->mem_bytes;
    case METRIC_CORE_LIMIT:
        return f->cores_kind == FAMILY_CORES_OF_TOTAL && c->cores ? 100 : family_cores(f, c->cores);
    case METRIC_OLD_CORE_LIMIT:
        return family_cores(f, c->cores);
    case METRIC_SHARED:
    case METRIC_OLD_SHARED:
        return u->slots;
    case METRIC_CORE_ALLOCATED:
        return normalised(f, c, family_cores(f, u->cores));
    case METRIC_OLD_CORE_ALLOCATED:
        return family_cores(f, u->cores);
    default: /* what is granted, also of the ratios */
        return u->mem_bytes;
    }
}

/* Product names are the same on all cards of most nodes: the line's end is taken again, too. */
static char *put_type(struct scrape *w, char *at, const char *type, struct again *known,
                      const char **known_type)
{
    const struct prom_word *word = words[metric_is_old(w->metric)];
    if (type == *known_type)
        return take_again(at, w->out, known);
    char *start = at;
    at = prom_word(at, &word[TYPE]);
    at = prom_text(at, type, strlen(type));
    at = prom_word(at, &word[END_OF_LABELS]);
    *known = (struct again){(gsize)(start - w->out->str), (gsize)(at - start)};
    *known_type = type;
    return at;
}

void metrics_print_cards(struct scrape *w, ClusterNode n)
{
    const struct node_spec *spec = cluster_node_spec(w->s->cluster, n);
    const struct card_use *use = cluster_node_use(w->s->cluster, n);
    const struct prom_word *word = words[metric_is_old(w->metric)];
    unsigned shape = shapes[w->metric];
    gsize before = w->out->len;
    struct again begin = begin_node(w, NODE, spec->name, UUID), end = {0};
    const char *end_type = NULL;
    bool first = true;
    for (uint32_t i = 0; i < spec->n_cards; i++) {
        const struct card *c = &spec->cards[i];
        const struct family *f = family_of(w, c);
        size_t len = strlen(c->uuid);
        if (len == 0 || (shape & IS_RATIO && c->mem_bytes == 0))
            continue;
        char *at = prom_room(w->out, LINE_ROOM + begin.len + 2 * len + 2 * strlen(c->type));
        if (!first)
            at = take_again(at, w->out, &begin);
        first = false;
        at = prom_text(at, c->uuid, len);
        at = prom_number(prom_word(at, &word[INDEX]), c->index);
        if (shape & WITH_CORES)
            at = prom_number(prom_word(at, &word[CORES]), family_cores(f, c->cores));
        if (shape & WITH_MEM)
            at = prom_number(prom_word(at, &word[MEM_LIMIT]), c->mem_bytes / POD_MIB);
        at = shape & WITH_TYPE ? put_type(w, at, c->type, &end, &end_type)
                               : prom_word(at, &word[END_OF_LABELS]);
        uint64_t value = card_value(w->metric, f, c, &use[i]);
        at = shape & IS_RATIO ? prom_ratio(at, value, c->mem_bytes) : prom_number(at, value);
        *at++ = '\n';
        prom_done(w->out, at);
    }
    if (first)
        g_string_truncate(w->out, before);
}

/* ---- pods -------------------------------------------------------------- */

struct pods_of_node {
    struct scrape *scrape;
    const struct node_spec *spec;
    struct again begin;
    bool any;
};

static bool is_of_memory(enum metric m)
{
    return m == METRIC_POD_MEM || m == METRIC_OLD_POD_MEM;
}

bool metrics_is_of_pods(enum metric m)
{
    return is_of_memory(m) || m == METRIC_POD_CORES || m == METRIC_OLD_POD_CORES;
}

/* The labels tell a container and a card: several instances of one card are one sample. */
static bool is_same_sample(const struct card_grant *a, const struct card_grant *b)
{
    return a->slot == b->slot && a->card == b->card;
}

static bool is_told_already(const struct cluster_pod *p, uint16_t i)
{
    uint16_t k = 0;
    while (k < i && !is_same_sample(&p->grants[k], &p->grants[i]))
        k++;
    return k < i;
}

/* Of the grant and the later ones of its sample. */
static uint64_t sample_value(const struct scrape *w, const struct card *c, const struct cluster_pod *p,
                             uint16_t i)
{
    const struct family *f = family_of(w, c);
    uint64_t mem_bytes = 0;
    uint32_t cores = 0;
    for (uint16_t k = i; k < p->n_grants; k++)
        if (is_same_sample(&p->grants[k], &p->grants[i])) {
            mem_bytes += p->grants[k].mem_bytes;
            cores += family_cores(f, p->grants[k].cores);
        }
    if (is_of_memory(w->metric))
        return mem_bytes;
    return metric_is_old(w->metric) ? cores : normalised(f, c, cores);
}

/* What an init container had is given back once all of them ended (scheduler.md 4.6). */
static bool is_given_back(const struct cluster_pod *p, const struct card_grant *g)
{
    return p->started && p->slot_kind[g->slot] == SLOT_INIT;
}

static bool print_pod(const struct cluster_pod *p, void *data)
{
    struct pods_of_node *node = data;
    struct scrape *w = node->scrape;
    const struct prom_word *word = words[metric_is_old(w->metric)];
    size_t space_len = strlen(p->namespace_), name_len = strlen(p->name);
    for (uint16_t i = 0; i < p->n_grants; i++) {
        const struct card_grant *g = &p->grants[i];
        if (g->card >= node->spec->n_cards || is_given_back(p, g) || is_told_already(p, i))
            continue;
        const struct card *c = &node->spec->cards[g->card];
        size_t len = strlen(c->uuid);
        char *at = prom_room(w->out, LINE_ROOM + node->begin.len + 2 * (space_len + name_len + len));
        if (node->any)
            at = take_again(at, w->out, &node->begin);
        node->any = true;
        at = prom_text(at, p->namespace_, space_len);
        at = prom_text(prom_word(at, &word[POD]), p->name, name_len);
        at = prom_number(prom_word(at, &word[CONTAINER]), g->slot);
        at = prom_text(prom_word(at, &word[POD_UUID]), c->uuid, len);
        at = prom_number(prom_word(at, &word[END_OF_LABELS]), sample_value(w, c, p, i));
        *at++ = '\n';
        prom_done(w->out, at);
    }
    return true;
}

void metrics_print_pods(struct scrape *w, ClusterNode n)
{
    struct pods_of_node node = {.scrape = w, .spec = cluster_node_spec(w->s->cluster, n)};
    gsize before = w->out->len;
    node.begin = begin_node(w, POD_NODE, node.spec->name, NAMESPACE);
    cluster_node_pods(w->s->cluster, n, print_pod, &node);
    if (!node.any)
        g_string_truncate(w->out, before);
}
