/* SPDX-License-Identifier: Apache-2.0
 *
 * Prototypes of every NVML entry, expanded from contract/nvml.def.
 * nvmlErrorString is the only one that does not return nvmlReturn_t.
 */
#ifndef HAMI_ABI_NVML_API_H
#define HAMI_ABI_NVML_API_H

#include "abi/nvml.h"

#define NVML(symbol, class, types) nvmlReturn_t symbol types;
#define NVML_TEXT(symbol, class, types) const char *symbol types;
#include "nvml.def"
#undef NVML
#undef NVML_TEXT

#endif
