/* SPDX-License-Identifier: Apache-2.0 */
#include "model/reason.h"

static const struct sched_reason_words words[SCHED_REASONS] = {
#define REASON(symbol, code, text, remedy, cluster_remedy)                                                   \
    [SCHED_##symbol] = {code, text, remedy, cluster_remedy},
#include "reasons.def"
#undef REASON
};

const struct sched_reason_words *sched_reason_words(enum sched_reason reason)
{
    return &words[(unsigned)reason < SCHED_REASONS ? reason : SCHED_NO_CARDS];
}
