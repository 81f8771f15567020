/* SPDX-License-Identifier: Apache-2.0
 *
 * Where a measuring program keeps its files: a folder of its own below TMPDIR,
 * so that who started it can remove what it left behind when it was killed, or
 * in memory, where no disk is measured. Header only, C library only.
 */
#ifndef HAMI_BENCH_SCRATCH_H
#define HAMI_BENCH_SCRATCH_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* Room for the folder and for what lies in it, in a base of ordinary length. */
#define SCRATCH_BYTES 128

/* false: errno says why. */
static inline bool scratch_new(char path[SCRATCH_BYTES], const char *name)
{
    const char *base = getenv("TMPDIR");
    if (!base || !*base)
        base = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    snprintf(path, SCRATCH_BYTES, "%s/hami-%s-XXXXXX", base, name);
    return mkdtemp(path) != NULL;
}

#endif
