/* SPDX-License-Identifier: Apache-2.0
 *
 * One node in the making, and which of its cards a request gets.
 */
#ifndef HAMI_TESTS_SCHED_BENCH_H
#define HAMI_TESTS_SCHED_BENCH_H

#include "fixture.h"

enum { CARDS = 8 };

struct bench { /* a node in the making */
    struct node_spec node;
    struct card cards[CARDS];
    struct card_use use[CARDS];
    char uuids[CARDS][16];
};

static inline void add_card(struct bench *b, uint16_t family, uint64_t mib, int numa, uint64_t used_mib,
                            uint32_t used_cores, uint16_t used_slots)
{
    uint32_t i = b->node.n_cards++;
    g_snprintf(b->uuids[i], sizeof b->uuids[i], "dev-%u", i);
    b->cards[i] = card(family, b->uuids[i], mib);
    b->cards[i].index = (uint16_t)i;
    b->cards[i].numa = (int16_t)numa;
    b->cards[i].mode = CARD_HAMI_CORE;
    b->use[i] = (struct card_use){.mem_bytes = MIB(used_mib), .cores = used_cores, .slots = used_slots};
    b->node.cards = b->cards;
}

/* "dev-1 dev-0", or the reasons. */
static inline char *result(const struct bench *b, const struct pod_request *r)
{
    struct pod_grant g;
    struct fit_report report;
    GString *text = g_string_new(NULL);
    enum sched_reason reason = fit_pod(families(), &b->node, b->use, NULL, r, NULL, &g, &report);
    if (reason == SCHED_FITS)
        for (uint16_t i = 0; i < g.n; i++)
            g_string_append_printf(text, "%s%s", i ? " " : "", b->cards[g.grants[i].card].uuid);
    else
        fit_report_format(&report, text);
    return g_string_free(text, FALSE);
}

static inline void expect(const char *name, const struct bench *b, const struct pod_request *r,
                          const char *want)
{
    g_autofree char *got = result(b, r);
    g_test_message("%s: %s", name, got);
    g_assert_cmpstr(got, ==, want);
}

#endif
