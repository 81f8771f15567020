/* SPDX-License-Identifier: Apache-2.0
 *
 * Executable graphs: what the launch wrapper shares with their other entries.
 */
#ifndef HAMI_PRELOAD_GRAPH_H
#define HAMI_PRELOAD_GRAPH_H

/* A graph of the calling thread's device became executable, ran or ended. */
void graph_memory_changed(void);

#endif
