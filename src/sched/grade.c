/* SPDX-License-Identifier: Apache-2.0 */
#include "sched/grade.h"

#include <glib.h>

static bool is_graded(const struct family *f)
{
    return f->node_score || f->score == FAMILY_SCORE_MAXFRAC || f->score == FAMILY_SCORE_TABLE;
}

static double weight_of(const struct family *f)
{
    return f->score_weight ? f->score_weight : 10;
}

/* The share of each container's cards that are in its largest group, on average. */
static double largest_share(const struct node_spec *node, const struct card_grant *g, uint32_t n)
{
    double sum = 0;
    uint32_t n_slots = 0;
    for (uint32_t i = 0, end; i < n; i = end, n_slots++) {
        uint32_t most = 0;
        for (end = i; end < n && g[end].slot == g[i].slot; end++)
            ;
        for (uint32_t k = i; k < end; k++) {
            uint32_t same = 0;
            if (node->cards[g[k].card].group < 0)
                return 0;
            for (uint32_t m = i; m < end; m++)
                same += node->cards[g[m].card].group == node->cards[g[k].card].group;
            most = MAX(most, same);
        }
        sum += (double)most / (end - i);
    }
    return n_slots ? sum / n_slots : 0;
}

/* MetaX: what its plugin says about as many cards as the pod takes; 2000 at most. */
static double from_table(const struct node_spec *node, enum node_policy policy, uint32_t n)
{
    const uint32_t *table = policy == NODE_SPREAD ? node->topology_scores : node->topology_losses;
    if (!table || n < 1 || n > 16 || table[n] == 0)
        return 0;
    double share = MIN(table[n], 2000) / 2000.0;
    return policy == NODE_SPREAD ? share : 1 - share;
}

static double grade(const struct family *f, const struct node_spec *node, const struct card_use *use,
                    const struct pod_request *r, const struct pod_grant *grant)
{
    struct card_grant mine[POD_GRANTS_MAX];
    uint32_t n = 0;
    for (uint16_t i = 0; i < grant->n; i++)
        if (node->cards[grant->grants[i].card].family == f->id)
            mine[n++] = grant->grants[i];
    if (f->node_score)
        return CLAMP(f->node_score(f, node, use, r, mine, n), 0, 1);
    if (f->score == FAMILY_SCORE_MAXFRAC)
        return largest_share(node, mine, n);
    return from_table(node, r->node_policy, n);
}

void grade_find(const struct family_set *families, const struct pod_request *r, struct grades *ret)
{
    uint64_t left = 0;
    ret->n = 0;
    ret->most = 0;
    for (uint8_t i = 0; i < r->n_requests; i++)
        left |= UINT64_C(1) << r->requests[i].family;
    for (; left; left &= left - 1) {
        const struct family *f = families->rows[__builtin_ctzll(left)];
        if (!is_graded(f))
            continue;
        ret->families[ret->n++] = f;
        ret->most += weight_of(f);
    }
}

double grade_sum(const struct grades *g, const struct node_spec *node, const struct card_use *use,
                 const struct pod_request *r, const struct pod_grant *grant)
{
    double sum = 0;
    for (uint32_t i = 0; i < g->n; i++)
        sum += weight_of(g->families[i]) * grade(g->families[i], node, use, r, grant);
    return sum;
}
