/* SPDX-License-Identifier: Apache-2.0
 *
 * Reading profiles. sim_profile_load() is declared in sim.h.
 */
#ifndef HAMI_SIM_PROFILE_H
#define HAMI_SIM_PROFILE_H

#include "sim.h"

/* Parses n bytes of YAML; `file` is what errors call it. 0, or -1 with err. */
int sim_profile_parse(const char *text, size_t n, const char *file, struct sim_profile *ret, char *err,
                      size_t err_size);

/* Names and texts of the shipped profiles; NULL behind the last. */
const char *sim_profile_shipped(unsigned i);
const char *sim_profile_shipped_text(unsigned i);

#endif
