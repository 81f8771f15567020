/* SPDX-License-Identifier: Apache-2.0
 *
 * What every measuring program of this folder needs: the monotonic clock and
 * the order of samples. Header only, C library only.
 */
#ifndef HAMI_BENCH_MEASURE_H
#define HAMI_BENCH_MEASURE_H

#include <time.h>

static inline double now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static inline int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

#endif
