/* SPDX-License-Identifier: Apache-2.0
 *
 * For programs that call the driver by both routes, through libvgpu.so and past
 * it: the driver's own addresses, and what the library adds. Header only,
 * C library only; wants src/preload/elf_find.c.
 */
#ifndef HAMI_BENCH_NATIVE_H
#define HAMI_BENCH_NATIVE_H

#include <stdlib.h>
#include <string.h>

#include "bench/measure.h"
#include "preload/elf_find.h"

/* The driver's own address, past the library that replaces dlsym; NULL when the driver is not loaded. */
static inline void *genuine(const char *name)
{
    for (const struct link_map *m = elf_objects(); m; m = m->l_next)
        if (strcmp(elf_soname(m->l_addr, m->l_ld), "libcuda.so.1") == 0)
            return elf_find(m->l_addr, m->l_ld, name);
    return NULL;
}

/* Medians, in ns. */
struct figure {
    double native, added;
};

/* Both routes alternately, since a machine that slows down must hit both; `batch` is one round. The entries
 * are what the program makes of them. */
#define FIGURE_ROUNDS_MAX 512
struct entries;
static inline struct figure figure_of(double (*batch)(const struct entries *), const struct entries *native,
                                      const struct entries *hooked, size_t rounds)
{
    double n[FIGURE_ROUNDS_MAX], added[FIGURE_ROUNDS_MAX];
    batch(native), batch(hooked);
    for (size_t i = 0; i < rounds; i++) {
        n[i] = batch(native);
        added[i] = batch(hooked) - n[i];
    }
    qsort(n, rounds, sizeof n[0], by_value);
    qsort(added, rounds, sizeof added[0], by_value);
    return (struct figure){n[rounds / 2], added[rounds / 2]};
}

#endif
