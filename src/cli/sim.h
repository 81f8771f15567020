/* SPDX-License-Identifier: Apache-2.0
 *
 * The words behind `hami sim`: each a verb of its own, with its own file.
 */
#ifndef HAMI_CLI_SIM_H
#define HAMI_CLI_SIM_H

#include "cli/cli.h"
#include "sim/state.h"

extern const struct verb sim_verb_top, sim_verb_log, sim_verb_fault, sim_verb_profiles;

/* The verb behind a word, "top" for instance; NULL when there is none. */
const struct verb *sim_word(const char *name);

/* --sim and --state, which every word but `profiles` has. */
extern const char *sim_chosen_profile, *sim_chosen_state;
#define SIM_MACHINE_OPTIONS                                                                                  \
    {"sim",                                                                                                  \
     0,                                                                                                      \
     CLI_TEXT,                                                                                               \
     "PROFILE",                                                                                              \
     "this machine (default: $HAMI_SIM, else the newest slice's)",                                           \
     &sim_chosen_profile},                                                                                   \
    {                                                                                                        \
        "state", 0, CLI_TEXT, "FILE", "its state file, when it is not in the usual place", &sim_chosen_state \
    }

/* True when it is a profile; false with all said of what is wrong with it. */
bool sim_profile_known(const struct verb *v, const char *profile);

/* Maps the chosen machine. STATUS_OK, or the exit status with all said. */
int sim_open(const struct verb *v);

/* "0", "1,3", "all" or NULL (all) to a set of devices; false with all said. */
bool sim_devices(const struct verb *v, const char *text, uint32_t *ret_mask);

#endif
