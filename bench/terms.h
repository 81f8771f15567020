/* SPDX-License-Identifier: Apache-2.0
 *
 * How a slice learns its share in bench/share.c: this project's library by a
 * grant, which may change while the slice works; another library by the
 * environment variables that the field's libraries know, which it reads once.
 */
#ifndef HAMI_BENCH_TERMS_H
#define HAMI_BENCH_TERMS_H

#include <stdbool.h>

struct terms {
    unsigned slice, percent; /* 100 = unlimited */
    bool lends;              /* idle time may be borrowed */
    const char *folder, *uuid;
};

struct terms_way {
    /* Before the first process of a slice and, where `live`, for those that run; false: errno says why. */
    bool (*write)(const struct terms *terms, unsigned epoch);
    /* In a process that is about to become one of the slice. */
    void (*tell)(const struct terms *terms);
    bool live;
};

extern const struct terms_way terms_by_grant, terms_by_environment;

/* Removes what either way left in the folder. */
void terms_forget(const char *folder, unsigned slice);

#endif
