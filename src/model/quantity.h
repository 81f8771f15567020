/* SPDX-License-Identifier: Apache-2.0
 *
 * Quantities of memory and compute: the one home of parsing, printing and
 * MiB/byte conversion. Everything is an integer and checked for overflow; no
 * floating point decides an allocation.
 */
#ifndef HAMI_MODEL_QUANTITY_H
#define HAMI_MODEL_QUANTITY_H

#include <stdbool.h>
#include <stdint.h>

#define QUANTITY_MIB (UINT64_C(1) << 20)
#define QUANTITY_TEXT 32

/* A memory request: bytes, or percent of whatever card is chosen. */
struct quantity_mem {
    uint64_t bytes;   /* 0 when percent is set */
    uint32_t percent; /* 1..100; 0 when bytes is set; both 0 = the whole card */
};

/* "8G", "1.5GiB", "8192m", "8589934592", "30%". Suffixes are binary, case does
 * not matter, a bare number is bytes; less than 1 MiB is taken for a forgotten
 * unit and refused. NULL on success, else why not. */
const char *quantity_parse_mem(const char *text, struct quantity_mem *ret);

/* As above without percent and of any size. */
const char *quantity_parse_bytes(const char *text, uint64_t *ret);

/* "30" or "30%": 1 to 100. */
const char *quantity_parse_percent(const char *text, uint32_t *ret);

/* "1.5", "2", "0.75": a ratio in thousandths, 0.001 to 100. */
const char *quantity_parse_ratio(const char *text, uint32_t *ret_milli);

/* "30s", "5m", "2h", "250ms", "30" (seconds), up to a year. */
const char *quantity_parse_duration(const char *text, uint64_t *ret_ms);

/* floor(total * percent / 100) and floor(total * milli / 1000); saturating. */
uint64_t quantity_percent_of(uint64_t total, uint32_t percent);
uint64_t quantity_scale(uint64_t total, uint32_t milli);

/* MiB to bytes; false on overflow. Bytes to MiB, rounded down. */
bool quantity_bytes_of_mib(uint64_t mib, uint64_t *ret);
uint64_t quantity_mib_of_bytes(uint64_t bytes);

/* For people: "8.0 GiB", "512 MiB", "17 B"; exact where one decimal is. */
const char *quantity_format_bytes(uint64_t bytes, char buf[QUANTITY_TEXT]);

/* As a flag's value that parses back to the same bytes: "8G", "512M", "17". */
const char *quantity_format_flag(uint64_t bytes, char buf[QUANTITY_TEXT]);

/* Goes behind an amount of memory: " and 30 %", or nothing without a compute limit (0). */
const char *quantity_format_share(uint32_t cores_pct, char buf[QUANTITY_TEXT]);

#endif
