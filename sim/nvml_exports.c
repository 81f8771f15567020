/* SPDX-License-Identifier: Apache-2.0
 *
 * Every entry of contract/nvml.def exists: a weak symbol that answers
 * NOT_SUPPORTED (before initialisation: UNINITIALIZED) unless another file of
 * the simulator defines it.
 */
#include "nvml.h"

nvmlReturn_t sim_nvml_unsupported(void);

__attribute__((used)) nvmlReturn_t sim_nvml_unsupported(void)
{
    nvmlReturn_t r = sim_nvml_ready();
    return r != NVML_SUCCESS ? r : NVML_ERROR_NOT_SUPPORTED;
}

/* Aliases by the assembler: in C the alias would need the prototype of its target. */
#define NVML(symbol, class, types)                                                                           \
    __asm__(".weak " #symbol "\n.type " #symbol ", %function\n.set " #symbol ", sim_nvml_unsupported\n");
#define NVML_TEXT(symbol, class, types)
#include "nvml.def"
#undef NVML
#undef NVML_TEXT
