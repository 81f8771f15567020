/* SPDX-License-Identifier: Apache-2.0
 *
 * Why something does not fit: one enum for explain, events, metrics and tests.
 */
#ifndef HAMI_MODEL_REASON_H
#define HAMI_MODEL_REASON_H

enum sched_reason {
#define REASON(symbol, code, text, remedy, cluster_remedy) SCHED_##symbol,
#include "reasons.def"
#undef REASON
    SCHED_REASONS
};

struct sched_reason_words {
    const char *code; /* the reference's */
    const char *text;
    const char *remedy;         /* on one host; "" where it comes up in a cluster only */
    const char *cluster_remedy; /* for who wrote the pod, or runs the nodes */
};
const struct sched_reason_words *sched_reason_words(enum sched_reason reason);

#endif
