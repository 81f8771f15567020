/* SPDX-License-Identifier: Apache-2.0
 *
 * The compute engine's face to the other parts of the library.
 */
#ifndef HAMI_PRELOAD_COMPUTE_H
#define HAMI_PRELOAD_COMPUTE_H

#include <stdbool.h>
#include <stdint.h>

#include "abi/cuda.h"

/* True while any stream capture that the library knows of is open: internal
 * driver calls must then be made in relaxed capture mode. */
bool compute_capturing(void);

/* The helper thread's periodic visit (every 100 ms while work is in flight):
 * returns held turns, publishes activity, settles measurements. */
void compute_tick(uint64_t now_ns);

/* The calling thread may now have another context: neither its credit, nor what
 * it may launch without asking, is used up on another device. One load when it
 * has none. */
void compute_context_switched(void);

/* A context or stream is about to end, the stream maybe only to be captured; the driver has not been told. */
void compute_context_ending(CUcontext ctx);
void compute_stream_ending(CUstream stream);

/* The child of a fork forgets measurements, credit and turns. */
void compute_after_fork(void);

#endif
