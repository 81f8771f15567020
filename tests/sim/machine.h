/* SPDX-License-Identifier: Apache-2.0
 *
 * A simulated machine of its own for each test program: a state file in a
 * temporary directory that is removed at the end, and a current context.
 */
#ifndef HAMI_TEST_SIM_MACHINE_H
#define HAMI_TEST_SIM_MACHINE_H

#include <glib.h>

#include "abi/cuda_api.h"

#define MIB (1024ULL * 1024)

/* Chooses the profile (a name, with settings behind commas) and the state file;
 * before anything of CUDA is called. */
void machine_init(int *argc, char ***argv, const char *profile);
/* cuInit and the primary context of device 0 made current. */
void machine_start(void);
int machine_run(void);

/* Free bytes of the current device. */
size_t machine_free(void);
/* The same after processes that have ended were noticed: a request that does
 * not fit makes the driver look. */
size_t machine_settled_free(void);

/* Runs this program again as `--child name` on the same machine. *ret_fd: our
 * end of a socket whose other end is the child's descriptor 3. */
GPid machine_child(const char *name, int *ret_fd);
void machine_join(GPid child); /* must exit with 0 */
/* The name, in a child; NULL in the test itself. */
const char *machine_child_name(void);

void machine_send(int fd, const void *data, size_t size, int descriptor); /* descriptor -1: none */
int machine_receive(int fd, void *data, size_t size);                     /* -1: none came */

/* A seed, printed; HAMI_TEST_SEED chooses it. */
guint32 machine_seed(void);

#define assert_ok(call) g_assert_cmpint(call, ==, CUDA_SUCCESS)

#endif
