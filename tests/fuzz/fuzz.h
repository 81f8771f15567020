/* SPDX-License-Identifier: Apache-2.0
 *
 * What every fuzz target defines: takes any bytes, returns 0, and must not
 * crash, hang or leak. libFuzzer calls it, and so does replay.c.
 */
#ifndef HAMI_TESTS_FUZZ_H
#define HAMI_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#endif
