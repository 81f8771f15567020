/* SPDX-License-Identifier: Apache-2.0
 *
 * The verbs, in the order of `hami help`. VERB(name): name.c defines
 * `const struct verb verb_name`.
 */
#ifndef HAMI_CLI_VERBS_H
#define HAMI_CLI_VERBS_H

#ifdef HAMI_WITH_SIM
#define VERBS_SIM VERB(sim)
#else
#define VERBS_SIM
#endif

#define VERBS                                                                                                \
    VERB(run)                                                                                                \
    VERB(ps)                                                                                                 \
    VERB(top)                                                                                                \
    VERB(resize)                                                                                             \
    VERB(stop)                                                                                               \
    VERB(suspend)                                                                                            \
    VERB(resume)                                                                                             \
    VERB(wait)                                                                                               \
    VERB(events)                                                                                             \
    VERB(doctor)                                                                                             \
    VERB(explain)                                                                                            \
    VERB(yaml)                                                                                               \
    VERB(scheduler)                                                                                          \
    VERBS_SIM                                                                                                \
    VERB(version)                                                                                            \
    VERB(help)

#endif
