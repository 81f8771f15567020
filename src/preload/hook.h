/* SPDX-License-Identifier: Apache-2.0
 *
 * What every wrapper shares. A wrapper is an exported function with the
 * driver's own name: `HOOK CUresult cuMemAlloc_v2(...)`. Only rows of
 * contract/cuda.def and contract/nvml.def whose class is not PASS have one;
 * the build fails when a row has no wrapper or a wrapper no row.
 */
#ifndef HAMI_PRELOAD_HOOK_H
#define HAMI_PRELOAD_HOOK_H

#define HOOK __attribute__((visibility("default")))
/* In the declaration of a variable that files of this library share: it is
 * reached directly, not by way of an address that the loader writes. */
#define OURS __attribute__((visibility("hidden")))
#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

#endif
