/* SPDX-License-Identifier: Apache-2.0
 *
 * What the compute tests' processes launch: kernels whose first parameter is
 * their duration, by any entry of the driver.
 */
#ifndef HAMI_TESTS_PRELOAD_COMPUTE_KERNEL_H
#define HAMI_TESTS_PRELOAD_COMPUTE_KERNEL_H

#include "support.h"

static const char kernel_text[] = ".version 8.0\n.target sm_70\n.address_size 64\n"
                                  ".visible .entry sim_arg(.param .u64 ns)\n{ ret; }\n"
                                  ".visible .entry sim_500us()\n{ ret; }\n"
                                  ".visible .entry sim_200us()\n{ ret; }\n";

static inline CUfunction kernel_of(const char *name)
{
    CUmodule module;
    CUfunction f;
    if (kit_cuda()->cuModuleLoadData(&module, kernel_text) ||
        kit_cuda()->cuModuleGetFunction(&f, module, name))
        exit(98);
    return f;
}

static inline CUstream stream_new(void)
{
    CUstream stream;
    if (kit_cuda()->cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING))
        exit(97);
    return stream;
}

/* By plain launch, with a duration of its own. */
static inline CUresult launch_ns(CUfunction sim_arg, uint64_t ns, CUstream stream)
{
    void *params[] = {&ns};
    return kit_cuda()->cuLaunchKernel(sim_arg, 8, 1, 1, 32, 1, 1, 0, stream, params, NULL);
}

#endif
