/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/explain_text.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/words.h"
#include "cli/cli.h"
#include "model/quantity.h"

#define NODES_SHOWN 5
#define CARDS_SHOWN 8
#define HINT_WIDTH 78 /* 80 columns, indented by two */
#define LIST_SHOWN 24 /* of the types or UUIDs that a hint drops */

static const struct family *family_of(const struct explain_view *v, int request)
{
    return v->families->rows[v->request->requests[MAX(request, 0)].family];
}

static const char *node_name(const struct explain_view *v, ClusterNode n)
{
    return n == CLUSTER_NO_NODE ? "?" : cluster_node_spec(v->cluster, n)->name;
}

static const char *resource(const struct explain_view *v, const struct explain_hint *h,
                            enum family_resource which)
{
    const char *name = family_of(v, h->request)->resource[which];
    return name && *name ? name : "memory";
}

/* The number that belongs into a manifest. */
static uint64_t units(const struct explain_view *v, const struct explain_hint *h, uint64_t bytes)
{
    uint64_t unit = family_of(v, h->request)->mem_unit_bytes;
    return bytes / (unit ? unit : QUANTITY_MIB);
}

/* "nvidia.com/gpumem 9000 -> 8000"; what a percentage comes to depends on the card, so that an amount
 * takes its place. */
static char *mem_change(const struct explain_view *v, const struct explain_hint *h)
{
    const struct card_request *r = &v->request->requests[MAX(h->request, 0)];
    const char *mem = resource(v, h, FAMILY_MEM);
    uint64_t to = units(v, h, h->to);
    if (h->from)
        return g_strdup_printf("%s %" G_GUINT64_FORMAT " -> %" G_GUINT64_FORMAT, mem, units(v, h, h->from),
                               to);
    if (!r->mem_percent || r->mem_percent == 100)
        return g_strdup_printf("%s whole card -> %" G_GUINT64_FORMAT, mem, to);
    return g_strdup_printf("%s %u -> %s %" G_GUINT64_FORMAT, resource(v, h, FAMILY_MEM_PERCENT),
                           r->mem_percent, mem, to);
}

/* Cores that are asked for without a count are counted together (AWS Neuron). */
static char *count_change(const struct explain_view *v, const struct explain_hint *h)
{
    const struct card_request *r = &v->request->requests[MAX(h->request, 0)];
    bool cores = family_of(v, h->request)->cores_kind == FAMILY_CORES_MASK && !r->whole;
    uint64_t each = cores ? MAX(r->cores, 1u) : 1;
    return g_strdup_printf("%s %" G_GUINT64_FORMAT " -> %" G_GUINT64_FORMAT,
                           resource(v, h, cores ? FAMILY_CORES : FAMILY_COUNT), h->from * each, h->to * each);
}

/* The list that a hint drops. */
static const char *dropped_list(const struct explain_view *v, const struct explain_hint *h)
{
    const struct pod_selection *s = v->request->selections, *end = s + v->request->n_selections;
    while (s < end && s->family != family_of(v, h->request)->id)
        s++;
    if (s == end)
        return NULL;
    if (h->change == EXPLAIN_TYPES)
        return h->from ? s->not_types : s->use_types;
    return h->from < 2 ? s->use_uuids[h->from] : s->not_uuids[h->from & 1];
}

/* " H100", as much of it as a line has room for: a pod's owner wrote it, and perhaps thousands of names. */
static char *dropped_text(const struct explain_view *v, const struct explain_hint *h)
{
    bool is_list = h->change == EXPLAIN_TYPES || h->change == EXPLAIN_UUIDS;
    const char *list = is_list ? dropped_list(v, h) : NULL;
    if (!list)
        return g_strdup("");
    g_autofree char *start = g_strndup(list, 4 * LIST_SHOWN), *valid = g_utf8_make_valid(start, -1);
    words_make_printable(valid, "");
    g_strstrip(valid);
    if (g_utf8_strlen(valid, -1) <= LIST_SHOWN)
        return g_strconcat(" ", valid, NULL);
    g_autofree char *shown = g_utf8_substring(valid, 0, LIST_SHOWN - 3);
    return g_strconcat(" ", shown, "...", NULL);
}

/* What selects cards, to be left out: by its flag where the request is made of flags, else by its annotation.
 */
static char *selection_change(const struct explain_view *v, const struct explain_hint *h)
{
    const char *key = h->annotation ? h->annotation : "what selects cards";
    bool ruled_out = strstr(key, "/no") != NULL; /* nvidia.com/nouse-gputype */
    g_autofree char *list = dropped_text(v, h);
    if (v->held)
        return g_strdup_printf("remove %s%s", key, list);
    switch (h->change) {
    case EXPLAIN_TYPES:
        return g_strdup_printf("leave out --%s%s", ruled_out ? "not-type" : "type", list);
    case EXPLAIN_UUIDS:
        return g_strdup_printf("leave out --%s%s", ruled_out ? "not-uuid" : "uuid", list);
    default:
        return g_strdup(h->change == EXPLAIN_MODE ? "leave out --mode" : "leave out --numa");
    }
}

/* Names the node: it is the example, and the hint says no other. */
static char *slots_change(const struct explain_view *v, const struct explain_hint *h)
{
    const char *node = node_name(v, h->example);
    if (h->n_nodes == 1)
        return g_strdup_printf("deviceSplitCount of node %s is used up; raise to %" G_GUINT64_FORMAT, node,
                               h->to);
    return g_strdup_printf("deviceSplitCount of node %s + %u more is used up; raise to %" G_GUINT64_FORMAT,
                           node, h->n_nodes - 1, h->to);
}

static char *change_text(const struct explain_view *v, const struct explain_hint *h)
{
    const char *cores = resource(v, h, FAMILY_CORES);
    g_autofree char *mem =
        h->change == EXPLAIN_MEM || h->change == EXPLAIN_MEM_AND_CORES ? mem_change(v, h) : NULL;
    switch (h->change) {
    case EXPLAIN_MEM:
        return g_steal_pointer(&mem);
    case EXPLAIN_CORES:
        return g_strdup_printf("%s %" G_GUINT64_FORMAT " -> %" G_GUINT64_FORMAT, cores, h->from, h->to);
    case EXPLAIN_MEM_AND_CORES:
        return g_strdup_printf("%s and %s -> %" G_GUINT64_FORMAT, mem, cores, h->also);
    case EXPLAIN_COUNT:
        return count_change(v, h);
    case EXPLAIN_TYPES:
    case EXPLAIN_UUIDS:
    case EXPLAIN_MODE:
    case EXPLAIN_NUMA:
        return selection_change(v, h);
    case EXPLAIN_MUTEX:
        return g_strdup_printf("remove `mutex` from %s",
                               v->held ? "hami.io/gpu-scheduler-policy" : "--gpu-policy");
    case EXPLAIN_SLOTS:
        return slots_change(v, h);
    case EXPLAIN_QUOTA:
        return g_strdup_printf("raise the quota limits.%s %" G_GUINT64_FORMAT " -> %" G_GUINT64_FORMAT,
                               h->annotation ? h->annotation : "", h->from, h->to);
    case EXPLAIN_CORDON:
        return g_strdup("lift the cordon (node annotation hami.io/device-cordon)");
    case EXPLAIN_WAIT:
        return g_strdup("change nothing and wait for other pods to end");
    }
    return g_strdup("");
}

/* A figure "-> 7168 fits 3 nodes"; what is to be done, "remove ...: fits 3 nodes". */
static bool is_figure(enum explain_change change)
{
    return change == EXPLAIN_MEM || change == EXPLAIN_CORES || change == EXPLAIN_MEM_AND_CORES ||
           change == EXPLAIN_COUNT;
}

char *explain_hint_text(const struct explain_view *v, const struct explain_hint *h)
{
    g_autofree char *change = change_text(v, h);
    g_autofree char *fits = g_strdup_printf("%s%s fits %u node%s", change, is_figure(h->change) ? "" : ":",
                                            h->n_nodes, h->n_nodes == 1 ? "" : "s");
    g_autofree char *full =
        g_strdup_printf("%s (%s%s)", fits, h->n_nodes > 1 ? "such as " : "", node_name(v, h->example));
    bool is_short = h->change == EXPLAIN_SLOTS || g_utf8_strlen(full, -1) > HINT_WIDTH;
    return is_short ? g_steal_pointer(&fits) : g_steal_pointer(&full);
}

/* ---- for people --------------------------------------------------------- */

static void print_request(const struct explain_view *v)
{
    printf("asks for\n");
    for (unsigned i = 0; i < v->request->n_requests; i++) {
        const struct card_request *r = &v->request->requests[i];
        const struct family *f = v->families->rows[r->family];
        char buf[QUANTITY_TEXT];
        printf("  %s: %u x %s", v->request->slot_name[r->slot] ? v->request->slot_name[r->slot] : "container",
               r->n_cards, f->word);
        if (r->mem_bytes)
            printf(", %s", quantity_format_bytes(r->mem_bytes, buf));
        else if (r->mem_percent)
            printf(", %u %% of the memory", r->mem_percent);
        else if (!r->mem_none)
            printf(", all of the memory");
        if (r->cores)
            printf(", %u%s", r->cores, f->cores_unit == 100 ? " %" : " cores");
        printf("\n");
    }
}

/* Of a card's compute, as node and grant count it: AMD's are asked for by the percent only. */
static const char *cores_unit(const struct family *f)
{
    return f->cores_unit == 100 && f->cores_kind != FAMILY_CORES_OF_TOTAL ? "%" : "cores";
}

const char *explain_cores_text(const struct family *f, uint64_t cores, char buf[EXPLAIN_CORES_TEXT])
{
    if (f->cores_kind == FAMILY_CORES_MASK)
        cores = (uint64_t)__builtin_popcountll(cores);
    if (cores)
        g_snprintf(buf, EXPLAIN_CORES_TEXT, ", %" G_GUINT64_FORMAT " %s", cores,
                   cores == 1 && strcmp(cores_unit(f), "cores") == 0 ? "core" : cores_unit(f));
    return cores ? buf : ", compute not limited";
}

static unsigned n_held(const struct explain_view *v)
{
    return v->held ? v->held->len : 0;
}

static void print_held(const struct explain_view *v)
{
    for (unsigned i = 0; i < n_held(v); i++)
        printf("  %s\n", (const char *)v->held->pdata[i]);
}

static void print_fit(const struct explain_view *v, const char *who)
{
    const struct cluster_answer *a = v->explanation->answer;
    const struct node_spec *spec = cluster_node_spec(v->cluster, a->node);
    char buf[QUANTITY_TEXT], cores[EXPLAIN_CORES_TEXT];
    if (n_held(v))
        printf("%s waits, although node %s has cards for it\n", who, spec->name);
    else
        printf("%s fits: node %s\n", who, spec->name);
    print_held(v);
    if (n_held(v))
        printf("would get\n");
    for (unsigned i = 0; i < a->grant.n; i++) {
        const struct card_grant *g = &a->grant.grants[i];
        const char *slot = v->request->slot_name[g->slot];
        printf("  %s: card %u %s %s, %s%s\n", slot ? slot : "container", spec->cards[g->card].index,
               spec->cards[g->card].uuid, spec->cards[g->card].type, quantity_format_bytes(g->mem_bytes, buf),
               explain_cores_text(v->families->rows[spec->cards[g->card].family], g->cores, cores));
    }
}

static void print_groups(const Explanation *e)
{
    printf("why\n");
    for (uint32_t i = 0; i < e->n_groups; i++) {
        const struct explain_group *g = &e->groups[i];
        const struct sched_reason_words *w = sched_reason_words(g->reason);
        printf("  %5u node%s  %5u card%s  %-34s %s\n", g->n_nodes, g->n_nodes == 1 ? " " : "s", g->n_cards,
               g->n_cards == 1 ? " " : "s", w->code, w->text);
        if (*w->cluster_remedy)
            printf("          %s\n", w->cluster_remedy);
    }
}

static void print_cards(const struct explain_view *v, const struct explain_node *n)
{
    const struct node_spec *spec = cluster_node_spec(v->cluster, n->node);
    char buf[QUANTITY_TEXT];
    for (uint32_t i = 0; i < n->n_cards && (v->all || i < CARDS_SHOWN); i++) {
        const struct explain_card *c = &n->cards[i];
        bool type = c->reason == SCHED_TYPE; /* then which it is */
        printf("    %3u  %-40.40s  free %9s  %4u %-5s  %3u slots  %s%s%s\n", spec->cards[c->card].index,
               spec->cards[c->card].uuid, quantity_format_bytes(c->free_bytes, buf), c->free_cores,
               cores_unit(v->families->rows[spec->cards[c->card].family]), c->free_slots,
               sched_reason_words(c->reason)->code, type ? ": " : "", type ? spec->cards[c->card].type : "");
    }
    if (!v->all && n->n_cards > CARDS_SHOWN)
        printf("    ... %u more cards (--all)\n", n->n_cards - CARDS_SHOWN);
}

static void print_nodes(const struct explain_view *v)
{
    const Explanation *e = v->explanation;
    uint32_t shown = v->all ? e->n_nodes : MIN(e->n_nodes, NODES_SHOWN);
    printf("nodes\n");
    for (uint32_t i = 0; i < shown; i++) {
        printf("  %s: %s\n", node_name(v, e->nodes[i].node), sched_reason_words(e->nodes[i].reason)->text);
        print_cards(v, &e->nodes[i]);
    }
    if (shown < e->n_nodes)
        printf("  ... %u more nodes (--all)\n", e->n_nodes - shown);
}

static void print_hints(const struct explain_view *v)
{
    bool colour = cli_colour(STDOUT_FILENO);
    if (v->explanation->n_hints == 0)
        return;
    printf("what would help (one of these)\n");
    for (uint32_t i = 0; i < v->explanation->n_hints; i++) {
        g_autofree char *text = explain_hint_text(v, &v->explanation->hints[i]);
        printf("  %s%s%s\n", colour ? "\033[32m" : "", text, colour ? "\033[0m" : "");
    }
}

void explain_print(const struct explain_view *v, const char *namespace_, const char *name)
{
    const Explanation *e = v->explanation;
    g_autofree char *pod = g_strdup_printf("pod %s/%s", namespace_, name);
    const char *who = strcmp(name, "request") == 0 ? "the request" : pod;
    if (e->reason == SCHED_FITS) {
        print_fit(v, who);
        print_request(v);
        return;
    }
    printf("%s does not fit: %s\n", who,
           e->n_nodes ? sched_reason_words(e->reason)->text : "no node has cards that are registered");
    print_request(v);
    if (e->n_nodes)
        print_groups(v->explanation);
    print_hints(v);
    if (n_held(v))
        printf("besides\n");
    print_held(v);
    if (e->n_nodes)
        print_nodes(v);
}

/* ---- for machines -------------------------------------------------------- */

static json_t *card_json(const struct node_spec *spec, const struct explain_card *c)
{
    return json_pack("{s:s,s:s,s:i,s:s,s:I,s:i,s:i}", "uuid", spec->cards[c->card].uuid, "type",
                     spec->cards[c->card].type, "index", (int)spec->cards[c->card].index, "reason",
                     sched_reason_words(c->reason)->code, "free_bytes", (json_int_t)c->free_bytes,
                     "free_cores", (int)c->free_cores, "free_slots", (int)c->free_slots);
}

static json_t *nodes_json(const struct explain_view *v)
{
    json_t *nodes = json_array();
    for (uint32_t i = 0; i < v->explanation->n_nodes; i++) {
        const struct explain_node *n = &v->explanation->nodes[i];
        const struct node_spec *spec = cluster_node_spec(v->cluster, n->node);
        json_t *cards = json_array();
        for (uint32_t k = 0; k < n->n_cards; k++)
            json_array_append_new(cards, card_json(spec, &n->cards[k]));
        json_array_append_new(nodes, json_pack("{s:s,s:s,s:o}", "node", spec->name, "reason",
                                               sched_reason_words(n->reason)->code, "cards", cards));
    }
    return nodes;
}

static json_t *answer_json(const struct explain_view *v)
{
    const struct cluster_answer *a = v->explanation->answer;
    const struct node_spec *spec = cluster_node_spec(v->cluster, a->node);
    json_t *cards = json_array();
    for (unsigned i = 0; i < a->grant.n; i++) {
        const struct card_grant *g = &a->grant.grants[i];
        json_array_append_new(cards, json_pack("{s:i,s:s,s:I,s:I}", "slot", (int)g->slot, "uuid",
                                               spec->cards[g->card].uuid, "mem_bytes",
                                               (json_int_t)g->mem_bytes, "cores", (json_int_t)g->cores));
    }
    return json_pack("{s:s,s:f,s:o}", "node", spec->name, "score", a->score, "cards", cards);
}

json_t *explain_json(const struct explain_view *v)
{
    const Explanation *e = v->explanation;
    json_t *groups = json_array(), *hints = json_array(), *held = json_array();
    json_t *out = json_pack("{s:b,s:s}", "fits", e->reason == SCHED_FITS, "reason",
                            sched_reason_words(e->reason)->code);
    for (uint32_t i = 0; i < e->n_groups; i++)
        json_array_append_new(groups,
                              json_pack("{s:s,s:s,s:s,s:i,s:i}", "reason",
                                        sched_reason_words(e->groups[i].reason)->code, "text",
                                        sched_reason_words(e->groups[i].reason)->text, "remedy",
                                        sched_reason_words(e->groups[i].reason)->cluster_remedy, "nodes",
                                        (int)e->groups[i].n_nodes, "cards", (int)e->groups[i].n_cards));
    for (uint32_t i = 0; i < e->n_hints; i++) {
        g_autofree char *text = explain_hint_text(v, &e->hints[i]);
        json_array_append_new(hints, json_pack("{s:s,s:i,s:I,s:I,s:s}", "text", text, "nodes",
                                               (int)e->hints[i].n_nodes, "from", (json_int_t)e->hints[i].from,
                                               "to", (json_int_t)e->hints[i].to, "example",
                                               node_name(v, e->hints[i].example)));
    }
    for (unsigned i = 0; i < n_held(v); i++)
        json_array_append_new(held, json_string(v->held->pdata[i]));
    json_object_set_new(out, "held", held);
    json_object_set_new(out, "groups", groups);
    json_object_set_new(out, "nodes", nodes_json(v));
    json_object_set_new(out, "hints", hints);
    if (e->reason == SCHED_FITS)
        json_object_set_new(out, "placement", answer_json(v));
    return out;
}
