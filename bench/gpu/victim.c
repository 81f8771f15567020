/* SPDX-License-Identifier: Apache-2.0
 *
 * A latency-bound tenant: requests of 50 kernels of 20 us, like one decoding
 * step. They arrive at random moments that do not wait for earlier ones (an
 * open loop; a closed one hides queueing), and a request's latency counts from
 * its arrival. GAP_US 0: back to back, for the service time. A neighbour may
 * make the queue grow without end: after three times the planned time and a
 * second the rest is not served, and fewer latencies are printed.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "bench/measure.h"
#include "gpu.h"

#define KERNELS 50
#define REQUESTS 8192

static double random_unit(void)
{
    static uint64_t state = 20260701; /* the same arrivals under every arm */
    state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return ((double)(state >> 11) + 1) / 9007199254740993.0;
}

int victim_main(int argc, char **argv)
{
    (void)argc;
    static double latency_us[REQUESTS];
    struct card c;
    double gap_ns = atof(argv[1]) * 1e3;
    size_t n = strtoul(argv[2], NULL, 10);
    card_open(&c);
    struct kernel k = card_kernel(&c, 1, strtoull(argv[0], NULL, 10));
    n = n > REQUESTS ? REQUESTS : n;
    if (!wait_for_word("ready"))
        return 1;
    double arrival = now_ns(), patience = arrival + 3 * gap_ns * (double)n + 1e9;
    size_t served = 0;
    for (size_t i = 0; i < n && (gap_ns <= 0 || now_ns() < patience); i++) {
        arrival = gap_ns > 0 ? arrival - gap_ns * log(random_unit()) : now_ns();
        double wait = arrival - now_ns();
        if (wait > 0) {
            struct timespec t = {(time_t)(wait / 1e9), (long)fmod(wait, 1e9)};
            nanosleep(&t, NULL);
        }
        for (int j = 0; j < KERNELS; j++)
            card_spin(&c, &k, c.stream);
        must(cu.cuStreamSynchronize(c.stream), "synchronize");
        latency_us[served++] = (now_ns() - arrival) / 1e3;
    }
    print_series("latency_us", latency_us, served);
    return 0;
}
