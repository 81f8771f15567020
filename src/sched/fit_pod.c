/* SPDX-License-Identifier: Apache-2.0
 *
 * Sidecars (scheduler.md 11, B24): they count beside everything that starts
 * after them, where the reference takes them for ordinary init containers.
 */
#include "sched/fit_pod.h"

#include <stdlib.h>
#include <string.h>

#include "sched/search_pod.h"
#include "sched/take.h"

struct situation {
    const struct family_set *families;
    const struct node_spec *node;
    struct card_use use[CARD_PER_NODE]; /* of others, and of this pod's containers that stay */
    struct pod_grant *grant;
};

/* What one request was given is seen by the next: an init container's only
 * as something the pod had earlier, the others' as taken. */
static void keep(struct situation *s, const struct choice *c, uint8_t kind)
{
    for (uint32_t i = 0; i < c->n_picked; i++) {
        s->grant->grants[s->grant->n++] = c->picked[i];
        if (kind != SLOT_INIT)
            take_grant(c->family, &s->use[c->picked[i].card], &c->picked[i]);
    }
}

static enum sched_reason fit_request(struct situation *s, const struct fit_quota *quota,
                                     const struct pod_request *r, const struct card_request *request,
                                     struct choose_report *report)
{
    struct choice c;
    c.family = s->families->rows[request->family];
    c.node = s->node;
    c.cards = s->node->cards;
    c.use = s->use;
    c.n_cards = s->node->n_cards;
    c.pod = r;
    c.request = request;
    c.earlier = s->grant->grants;
    c.n_earlier = s->grant->n;
    c.avoid = NULL;
    c.n_candidates = c.n_picked = 0;
    enum sched_reason reason = choose_cards(&c, quota, report);
    if (reason != SCHED_FITS)
        return reason;
    if (s->grant->n + c.n_picked > POD_GRANTS_MAX)
        return report->reason = SCHED_NO_CARDS;
    keep(s, &c, r->slot_kind[request->slot]);
    return SCHED_FITS;
}

static bool search(const struct family_set *families, const struct node_spec *node,
                   const struct card_use *use, const struct fit_quota *quota, const struct pod_request *r,
                   const struct fit_report *report, unsigned *steps, struct pod_grant *ret)
{
    unsigned mine = steps ? MIN(*steps, FIT_STEPS) : FIT_STEPS, left = mine;
    if (!search_may_help(&report->cards, (uint8_t)report->request))
        return false;
    bool found = search_pod(families, node, use, quota, r, (uint8_t)report->request, &left, ret);
    if (steps)
        *steps -= mine - left;
    return found;
}

enum sched_reason fit_pod(const struct family_set *families, const struct node_spec *node,
                          const struct card_use *use, const struct fit_quota *quota,
                          const struct pod_request *r, unsigned *steps, struct pod_grant *ret,
                          struct fit_report *ret_report)
{
    struct situation s = {.families = families, .node = node, .grant = ret};
    struct fit_report ignored, *report = ret_report ? ret_report : &ignored;
    memcpy(s.use, use, node->n_cards * sizeof *use);
    ret->n = 0;
    for (uint8_t i = 0; i < r->n_requests; i++) {
        report->request = i;
        enum sched_reason reason = fit_request(&s, quota, r, &r->requests[i], &report->cards);
        if (reason != SCHED_FITS)
            return search(families, node, use, quota, r, report, steps, ret) ? SCHED_FITS : reason;
    }
    return SCHED_FITS;
}

/* ---- the field's text ------------------------------------------------------- */

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Several reasons may have one code; the text counts codes. */
static void count_codes(const struct choose_report *r, uint32_t counts[SCHED_REASONS])
{
    for (uint32_t i = 0; i < r->n_cards; i++)
        if (r->reasons[i] != SCHED_FITS)
            counts[r->reasons[i]]++;
    counts[r->set_reason] += r->n_fitting;
    for (uint32_t i = 0; i < SCHED_REASONS; i++)
        for (uint32_t j = 0; counts[i] && j < i; j++)
            if (counts[j] && strcmp(sched_reason_words((enum sched_reason)i)->code,
                                    sched_reason_words((enum sched_reason)j)->code) == 0) {
                counts[j] += counts[i];
                counts[i] = 0;
            }
}

void fit_report_format(const struct fit_report *report, GString *out)
{
    const struct choose_report *r = &report->cards;
    uint32_t counts[SCHED_REASONS] = {0}, n = 0;
    char *parts[SCHED_REASONS];
    if (!r->tried) {
        g_string_append(out, sched_reason_words(r->reason)->code);
        return;
    }
    if (r->set_of) { /* the field says only this */
        g_string_append_printf(out, "%u/%u %s", r->set_n, r->set_of, sched_reason_words(r->set_reason)->code);
        return;
    }
    count_codes(r, counts);
    for (uint32_t i = 0; i < SCHED_REASONS; i++)
        if (counts[i])
            parts[n++] = g_strdup_printf("%u/%u %s", counts[i], r->n_cards,
                                         sched_reason_words((enum sched_reason)i)->code);
    qsort(parts, n, sizeof *parts, by_text);
    for (uint32_t i = 0; i < n; i++) {
        g_string_append_printf(out, "%s%s", i ? ", " : "", parts[i]);
        g_free(parts[i]);
    }
}
