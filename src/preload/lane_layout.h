/* SPDX-License-Identifier: Apache-2.0
 *
 * The numbers that the hot path in launch.S shares with C: where things lie,
 * and how a launch finds its entry. lane.h and launch.c assert each of them.
 */
#ifndef HAMI_PRELOAD_LANE_LAYOUT_H
#define HAMI_PRELOAD_LANE_LAYOUT_H

/* tag = function + LANE_BY_STREAM * stream + LANE_BY_SIZE * size. Odd numbers of
 * 30 and 31 bits: two launches of different kind with the same tag would need
 * handles that lie more than 8 GiB apart, in exactly that step. Twice the first
 * is a displacement that an instruction of x86-64 has room for. */
#define LANE_BY_STREAM 0x3feb352d
#define LANE_BY_SIZE 0x68bc21eb

/* The tag's entry lies LANE_ENTRIES_AT + (tag * LANE_MIX >> LANE_SHIFT & LANE_MASK)
 * bytes into the lane. */
#define LANE_MIX 0x5bd1e995
#define LANE_SHIFT 24
#define LANE_MASK 0x1fc0

#define LANE_CREDIT_AT 0
#define LANE_STAMP_AT 8
#define LANE_ENTRIES_AT 192
#define LANE_ENTRY_TAG_AT 0
#define LANE_ENTRY_PRICE_AT 8
#define LANE_ENTRY_COUNT_AT 16
#define LANE_TLS_LANE_AT 8

/* The host's two words: the second lies so far behind the first. */
#define GATE_SUSPENDED_AT 2296

#define CONFIG_GRID_AT 0 /* in CUlaunchConfig: three words */
#define CONFIG_STREAM_AT 32

#endif
