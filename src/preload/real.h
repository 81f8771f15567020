/* SPDX-License-Identifier: Apache-2.0
 *
 * The genuine driver and management library, one typed pointer per entry of
 * contract/cuda.def and contract/nvml.def. Every pointer starts at a trampoline that looks its symbol
 * up on the first call and then jumps to it with the caller's arguments, so a
 * wrapper calls `real.cuMemAlloc_v2(...)` without a check and pays one
 * indirect call. A symbol the driver does not have answers
 * CUDA_ERROR_NOT_FOUND (NVML: NVML_ERROR_FUNCTION_NOT_FOUND); a driver that
 * is not there answers CUDA_ERROR_NOT_INITIALIZED, cuInit CUDA_ERROR_NO_DEVICE
 * (NVML: NVML_ERROR_LIBRARY_NOT_FOUND).
 */
#ifndef HAMI_PRELOAD_REAL_H
#define HAMI_PRELOAD_REAL_H

#include "abi/cuda_api.h"
#include "abi/nvml_api.h"

struct real_cuda {
#define CUDA(symbol, base, since, stream, class, types) CUresult(*symbol) types;
#include "cuda.def"
#undef CUDA
};

struct real_nvml {
#define NVML(symbol, class, types) nvmlReturn_t(*symbol) types;
#define NVML_TEXT(symbol, class, types) const char *(*symbol)types;
#include "nvml.def"
#include "preload/hook.h"
#undef NVML
#undef NVML_TEXT
};

extern OURS struct real_cuda real;
extern OURS struct real_nvml real_nvml;

#endif
