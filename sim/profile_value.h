/* SPDX-License-Identifier: Apache-2.0
 *
 * The values of a profile: numbers with units, words, and tables that say
 * which key fills which member. Pure; no allocation.
 */
#ifndef HAMI_SIM_PROFILE_VALUE_H
#define HAMI_SIM_PROFILE_VALUE_H

#include "sim.h"

enum sim_field_kind {
    SIM_FIELD_TEXT,    /* char[size] */
    SIM_FIELD_NUMBER,  /* uint32_t, decimal or 0x... */
    SIM_FIELD_SIZE,    /* uint64_t bytes: 16GiB, 256M, 4096 (powers of 1024) */
    SIM_FIELD_KIB,     /* uint32_t KiB, written as a size */
    SIM_FIELD_TIME,    /* uint64_t nanoseconds: 5us, 2ms, 0 */
    SIM_FIELD_RATE,    /* uint64_t bytes per second: 12.5GB/s (powers of 1000) */
    SIM_FIELD_BOOLEAN, /* bool: true, false, yes, no */
    SIM_FIELD_WORD,    /* index of the word in words[] */
    SIM_FIELD_VERSION  /* uint32_t: 13.0 becomes 13000 */
};

struct sim_field {
    const char *key;
    enum sim_field_kind kind;
    uint32_t size;
    size_t offset;
    uint64_t min, max;
    const char *const *words; /* of SIM_FIELD_WORD, ended by NULL */
};

/* Fills the member. False with a reason and remedy (without file, line, key). */
bool sim_field_set(const struct sim_field *field, void *structure, const char *value, char *reason,
                   size_t reason_size);

/* 16 stable bytes from a text, as "GPU-8-4-4-4-12" with the given prefix. */
void sim_uuid_derive(const char *prefix, const char *text, char ret[48]);
bool sim_uuid_valid(const char *prefix, const char *uuid);

#endif
