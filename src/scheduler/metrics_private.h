/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of /metrics share: metrics.c (families and pieces),
 * metrics_cards.c (cards and pods, nearly all of the text), metrics_mig.c.
 */
#ifndef HAMI_SCHEDULER_METRICS_PRIVATE_H
#define HAMI_SCHEDULER_METRICS_PRIVATE_H

#include "base/prom_text.h"
#include "scheduler/service.h"

enum metric {
#define METRIC(symbol, name, type, labels, help) METRIC_##symbol,
#include "metrics.def"
#undef METRIC
    METRICS
};

struct metric_words {
    const char *name, *type, *help;
};
extern const struct metric_words metric_words[METRICS];

/* One scrape, going out piece by piece: nothing of 100 MB is ever held, and
 * filter calls are answered in between. Nodes are those of its begin. */
struct scrape {
    const struct scheduler *s;
    GString *out;       /* the piece */
    enum metric metric; /* the family that is being written, */
    GArray *nodes;      /* of ClusterNode, */
    guint node;         /* and how far */
};

/* The names before 2.9, which --legacy-metrics adds. */
static inline bool metric_is_old(enum metric m)
{
    return m >= METRIC_OLD_MEM_LIMIT;
}

/* Around labels with a comma behind each. */
void metrics_open_sample(GString *out, enum metric m);
void metrics_close_sample(GString *out, int64_t value);

/* The samples of a node in the scrape's family. */
void metrics_print_cards(struct scrape *w, ClusterNode n);
void metrics_print_pods(struct scrape *w, ClusterNode n);
bool metrics_is_of_pods(enum metric m);

/* All instances. */
void metrics_print_migs(struct scrape *w);

#endif
