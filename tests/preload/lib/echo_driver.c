/* SPDX-License-Identifier: Apache-2.0
 *
 * A driver that only remembers what it was given: every wrapped entry keeps the
 * words of its last call, and the one that is armed refuses with an answer of
 * its own. The few entries that the library asks for itself are a machine with
 * one card. No prototypes of the driver's: words are what is looked at.
 */
#include <string.h>

#define WORDS 14
#define PARAMETERS                                                                                           \
    long a, long b, long c, long d, long e, long f, long g, long h, long i, long j, long k, long l, long m,  \
        long n

struct call {
    unsigned times;
    long words[WORDS];
};

enum entry {
#define CUDA(symbol, base, since, stream, class, types) entry_##symbol,
#include "cuda.def"
#undef CUDA
    N_ENTRIES
};

static struct call calls[N_ENTRIES];
static int armed = -1;

void echo_arm(int entry);
const struct call *echo_call(int entry);

void echo_arm(int entry)
{
    memset(calls, 0, sizeof calls);
    armed = entry;
}

const struct call *echo_call(int entry)
{
    return &calls[entry];
}

static long record(enum entry entry, PARAMETERS)
{
    const long words[WORDS] = {a, b, c, d, e, f, g, h, i, j, k, l, m, n};

    calls[entry].times++;
    memcpy(calls[entry].words, words, sizeof words);
    return (int)entry == armed ? 714 : 0; /* CUDA_ERROR_HARDWARE_STACK_ERROR: nobody makes that up */
}

#define ECHO(symbol)                                                                                         \
    long symbol(PARAMETERS);                                                                                 \
    long symbol(PARAMETERS)                                                                                  \
    {                                                                                                        \
        return record(entry_##symbol, a, b, c, d, e, f, g, h, i, j, k, l, m, n);                             \
    }
#define SILENT(symbol)
#define PASS SILENT
#define INIT SILENT
#define LOOKUP SILENT
#define QUERY SILENT
#define ALLOC ECHO
#define FREE ECHO
#define REF ECHO
#define LAUNCH ECHO
#define COPY ECHO
#define CAPTURE ECHO
#define GRAPH ECHO
#define SYNC ECHO
#define CONTEXT ECHO
#define CHECKPOINT ECHO
#define CUDA(symbol, base, since, stream, class, types) class(symbol)
#include "cuda.def"
#undef CUDA

/* ---- what the library asks for itself ---- */

#define ANSWER(symbol, parameters, ...)                                                                      \
    int symbol parameters;                                                                                   \
    int symbol parameters                                                                                    \
    {                                                                                                        \
        __VA_ARGS__;                                                                                         \
        return 0;                                                                                            \
    }
ANSWER(cuInit, (unsigned flags), (void)flags)
ANSWER(cuDriverGetVersion, (int *ret), *ret = 13000)
ANSWER(cuDeviceGetCount, (int *ret), *ret = 1)
ANSWER(cuDeviceGet, (int *ret, int ordinal), *ret = ordinal)
ANSWER(cuDeviceGetUuid_v2, (char *ret, int device), (void)device, memset(ret, 7, 16))
ANSWER(cuDeviceTotalMem_v2, (unsigned long *ret, int device), (void)device, *ret = 1ul << 30)
ANSWER(cuCtxGetCurrent, (long *ret), *ret = 4096)
ANSWER(cuCtxGetDevice, (int *ret), *ret = 0)
