/* SPDX-License-Identifier: Apache-2.0
 *
 * See share_cases.h. Durations and shares are those of the published figures
 * (kernels of 20 us to 40 ms, shares of 5 to 90 %, 1 to 10 tenants).
 */
#include "bench/share_cases.h"

const char *const shape_names[] = {"kernel", "kernel", "coop", "ex",      "graph",
                                   "sync",   "burst",  "idle", "request", "peer"};

#define STEADY(percent)                                                                                      \
    {                                                                                                        \
        percent, 300, 0, KERNEL                                                                              \
    }
const struct test tests[] = {
    {"alone 20 us async", true, 0, {{50, 20, 0, KERNEL}}},
    {"alone 100 us async", false, 0, {{50, 100, 0, KERNEL}}},
    {"alone 300 us async", true, 0, {{50, 300, 0, KERNEL}}},
    {"alone 1.5 ms async", true, 0, {{50, 1500, 0, KERNEL}}},
    {"alone 10 ms async", true, 0, {{50, 10000, 0, KERNEL}}},
    {"alone 40 ms async", true, 0, {{50, 40000, 0, KERNEL}}},
    {"alone q 5", true, 0, {{5, 100, 0, KERNEL}}},
    {"alone q 10", false, 0, {{10, 300, 0, KERNEL}}},
    {"alone q 25", false, 0, {{25, 300, 0, KERNEL}}},
    {"alone q 30", false, 0, {{30, 1500, 0, KERNEL}}},
    {"alone q 70", false, 0, {{70, 300, 0, KERNEL}}},
    {"alone q 90", true, 0, {{90, 300, 0, KERNEL}}},
    {"alone random 300 us +-90 %", true, 0, {{50, 300, 90, KERNEL}}},
    {"alone random 1.5 ms +-90 %", true, 0, {{50, 1500, 90, KERNEL}}},
    {"alone random 10 ms +-90 %", false, 0, {{50, 10000, 90, KERNEL}}},
    {"alone cooperative", true, 0, {{50, 300, 0, COOPERATIVE}}},
    {"alone KernelEx", false, 0, {{50, 300, 0, EX}}},
    {"alone graph 10 x 100 us", true, 0, {{50, 100, 0, GRAPH}}},
    {"alone grid 16384", true, 0, {{50, 300, 0, WIDE}}},
    {"alone 2 processes", false, 0, {{30, 1500, 0, KERNEL}, {30, 1500, 0, PEER}}},
    {"alone 4 processes",
     true,
     0,
     {{50, 300, 0, KERNEL}, {50, 300, 0, PEER}, {50, 300, 0, PEER}, {50, 300, 0, PEER}}},
    {"alone 4 processes, random",
     true,
     0,
     {{50, 300, 90, KERNEL}, {50, 300, 90, PEER}, {50, 300, 90, PEER}, {50, 300, 90, PEER}}},
    {"alone sync 100 us", true, 0, {{30, 100, 0, SYNC}}},
    {"alone sync 1.5 ms", false, 0, {{50, 1500, 0, SYNC}}},
    {"30/70 fixed 300 us", true, 0, {{30, 300, 0, KERNEL}, {70, 300, 0, KERNEL}}},
    {"30/70 fixed 100 us and 5 ms", true, 0, {{30, 100, 0, KERNEL}, {70, 5000, 0, KERNEL}}},
    {"30/70 random 300 us +-90 %", true, 0, {{30, 300, 90, KERNEL}, {70, 300, 90, KERNEL}}},
    {"30/70 random 1.5 ms +-90 %", false, 0, {{30, 1500, 90, KERNEL}, {70, 1500, 90, KERNEL}}},
    {"20/30/40 fixed", true, 0, {{20, 300, 0, KERNEL}, {30, 300, 0, KERNEL}, {40, 300, 0, KERNEL}}},
    {"20/30/40 random", true, 0, {{20, 300, 90, KERNEL}, {30, 1500, 90, KERNEL}, {40, 100, 90, KERNEL}}},
    {"10/90 fixed 300 us", true, 0, {{10, 300, 0, KERNEL}, {90, 300, 0, KERNEL}}},
    {"4x25 fixed 300 us", true, 0, {STEADY(25), STEADY(25), STEADY(25), STEADY(25)}},
    {"9x10 and one bursty",
     true,
     0,
     {STEADY(10),
      STEADY(10),
      STEADY(10),
      STEADY(10),
      STEADY(10),
      STEADY(10),
      STEADY(10),
      STEADY(10),
      STEADY(10),
      {10, 300, 0, BURST}}},
    {"spare, idle neighbour", true, 0, {STEADY(50), {50, 300, 0, IDLE}}},
    {"victim beside 1 ms kernels", true, 0, {{50, 20, 0, REQUEST}, {50, 1000, 0, KERNEL}}},
    {"30 beside unlimited", false, 0, {{30, 300, 0, KERNEL}, {100, 300, 0, KERNEL}}},
    {"live 50 to 20", true, 20, {{50, 300, 0, KERNEL}}},
    {"live 20 to 80", true, 80, {{20, 1500, 0, KERNEL}}},
};

const unsigned n_tests = sizeof tests / sizeof tests[0];
