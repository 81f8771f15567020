/* SPDX-License-Identifier: Apache-2.0
 *
 * See scene.h.
 */
#include "scene.h"

#include <string.h>

void scene_init(struct scene *s, uint32_t n, uint32_t n_wanted)
{
    memset(s, 0, sizeof *s);
    s->family = (struct family){.cores_kind = FAMILY_CORES_PERCENT, .mem_unit_bytes = MIB(1)};
    s->node = (struct node_spec){.name = "node", .n_cards = n, .cards = s->cards, .pair_score = s->pairs};
    for (uint32_t i = 0; i < n; i++)
        s->cards[i] = (struct card){.uuid = "",
                                    .type = "",
                                    .mem_bytes = MIB(16384),
                                    .cores = 100,
                                    .slots = 10,
                                    .group = -1,
                                    .index = (uint16_t)i,
                                    .healthy = true};
    s->pod.n_requests = 1;
    s->pod.n_slots = 1;
    s->pod.slot_kind[0] = SLOT_APP;
    s->pod.requests[0].n_cards = n_wanted;
    s->pod.n_card_policy = 1;
    s->pod.card_policy[0] = CARD_SPREAD;
    s->pod.topology_wanted = -1;
    s->choice = (struct choice){.family = &s->family,
                                .node = &s->node,
                                .cards = s->cards,
                                .use = s->use,
                                .n_cards = n,
                                .pod = &s->pod,
                                .request = &s->pod.requests[0]};
    for (uint32_t i = 0; i < n; i++)
        s->choice.candidates[s->choice.n_candidates++] = (uint16_t)i;
}

void scene_candidates(struct scene *s, const char *positions)
{
    g_auto(GStrv) words = g_strsplit(positions, " ", -1);
    s->choice.n_candidates = 0;
    for (char **w = words; *w; w++)
        if (**w)
            s->choice.candidates[s->choice.n_candidates++] = (uint16_t)g_ascii_strtoull(*w, NULL, 10);
}

static void remove_candidate(struct scene *s, uint16_t card)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < s->choice.n_candidates; i++)
        if (s->choice.candidates[i] != card)
            s->choice.candidates[kept++] = s->choice.candidates[i];
    s->choice.n_candidates = kept;
}

void scene_busy(struct scene *s, const char *positions)
{
    g_auto(GStrv) words = g_strsplit(positions, " ", -1);
    for (char **w = words; *w; w++) {
        if (!**w)
            continue;
        uint16_t card = (uint16_t)g_ascii_strtoull(*w, NULL, 10);
        s->use[card].slots = 1;
        s->use[card].mem_bytes = s->cards[card].mem_bytes;
        s->use[card].cores = s->cards[card].cores;
        remove_candidate(s, card);
    }
}

void scene_pair(struct scene *s, uint32_t a, uint32_t b, uint16_t score)
{
    s->pairs[a * s->node.n_cards + b] = s->pairs[b * s->node.n_cards + a] = score;
}

char *scene_picked(const struct scene *s)
{
    GString *text = g_string_new(NULL);
    for (uint32_t i = 0; i < s->choice.n_picked; i++) {
        const struct card_grant *g = &s->choice.picked[i];
        g_string_append_printf(text, "%s%u", i ? " " : "", g->card);
        if (g->mig_size)
            g_string_append_printf(text, ":%s@%u", s->cards[g->card].shapes->shapes[g->shape].name,
                                   g->mig_start);
        if (g->flags & CARD_GRANT_MASK)
            g_string_append_printf(text, "/%u", g->cores);
    }
    return g_string_free(text, FALSE);
}

static struct scene_shapes a100;

static void profile(const char *name, uint64_t mib, uint32_t cores, uint16_t slices, const char *places)
{
    struct card_shape *p = &a100.shapes[a100.n++];
    g_strlcpy(p->name, name, sizeof p->name);
    p->mem_bytes = MIB(mib);
    p->cores = cores;
    p->slices = slices;
    for (const char *at = places; *at; at += 2) { /* a digit for the start, one for the size */
        p->placements[p->n_placements].start = (uint8_t)(at[0] - '0');
        p->placements[p->n_placements++].size = (uint8_t)(at[1] - '0');
    }
}

const struct card_shapes *scene_a100(void)
{
    if (a100.n == 0) {
        profile("1g.5gb", 4864, 15, 1, "01112131415161");
        profile("2g.10gb", 9856, 29, 2, "022242");
        profile("3g.20gb", 19968, 43, 3, "0444");
        profile("4g.20gb", 19968, 58, 4, "04");
        profile("7g.40gb", 40192, 100, 7, "08");
    }
    return (const struct card_shapes *)(const void *)&a100;
}
