/* SPDX-License-Identifier: Apache-2.0
 *
 * Who shares a card in bench/share.c, and what each of them does.
 */
#ifndef HAMI_BENCH_SHARE_CASES_H
#define HAMI_BENCH_SHARE_CASES_H

#include <stdbool.h>

#define TENANTS 10

/* WIDE launches 16384 blocks instead of 132. BURST works 0.2 s in each 0.5 s,
 * IDLE never, REQUEST notes how long 50 kernels and their synchronisation take.
 * PEER is one more process of the first tenant's slice: their sum is measured. */
enum shape { KERNEL, WIDE, COOPERATIVE, EX, GRAPH, SYNC, BURST, IDLE, REQUEST, PEER };

struct tenant {
    unsigned percent; /* 100 = unlimited */
    unsigned us;      /* mean duration of a kernel */
    unsigned jitter;  /* percent, uniform around the mean */
    enum shape shape;
};

struct test {
    const char *name;
    bool quick;
    unsigned change_to; /* live: new percentage half way; 0 = none */
    struct tenant tenants[TENANTS];
};

extern const char *const shape_names[]; /* by enum shape */
extern const struct test tests[];
extern const unsigned n_tests;

#endif
