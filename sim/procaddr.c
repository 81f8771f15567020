/* SPDX-License-Identifier: Apache-2.0
 *
 * cuGetProcAddress: which entry a (name, version, flags) means. Of the rows of
 * one base name the newest that is not newer than the asked version wins; its
 * per-thread twin is handed out when asked for. A driver older than a row does
 * not have it, nor one whose profile lists the symbol as missing.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "abi/cuda_api.h"
#include "state.h"

enum stream_kind { LEGACY, PTSZ, PTDS };

struct row {
    const char *symbol, *base;
    int since;
    enum stream_kind stream;
    void (*entry)(void);
};

static struct row rows[] = {
#define CUDA(symbol, base, since, stream, class, types)                                                      \
    {#symbol, #base, since, stream, (void (*)(void))symbol},
#include "cuda.def"
#undef CUDA
};
#define N_ROWS (sizeof(rows) / sizeof(rows[0]))

static pthread_once_t sorted = PTHREAD_ONCE_INIT;

static int by_base(const void *a, const void *b)
{
    const struct row *x = a, *y = b;
    int c = strcmp(x->base, y->base);
    return c != 0 ? c : x->since - y->since;
}

static void sort_rows(void)
{
    qsort(rows, N_ROWS, sizeof(rows[0]), by_base);
}

static const struct row *first_of(const char *base)
{
    size_t low = 0, high = N_ROWS;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(rows[middle].base, base) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low < N_ROWS && strcmp(rows[low].base, base) == 0 ? &rows[low] : NULL;
}

static bool missing(const char *symbol)
{
    const struct sim_profile *p = &sim_state->profile;
    for (uint32_t i = 0; i < p->n_missing; i++)
        if (strcmp(p->missing[i], symbol) == 0)
            return true;
    return false;
}

/* The chosen row, or NULL with the reason in *why. A per-thread twin is taken
 * only when it belongs to the same generation as the plain row that would be. */
static const struct row *choose(const char *base, int version, bool per_thread,
                                CUdriverProcAddressQueryResult *why)
{
    int driver = (int)sim_state->profile.cuda_version;
    const struct row *plain = NULL, *twin = NULL;
    const struct row *r = first_of(base);
    *why = CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND;
    for (; r != NULL && r < rows + N_ROWS && strcmp(r->base, base) == 0; r++) {
        if (r->since > driver || missing(r->symbol))
            continue;
        *why = CU_GET_PROC_ADDRESS_VERSION_NOT_SUFFICIENT;
        if (r->since > version)
            continue;
        if (r->stream == LEGACY && (plain == NULL || r->since >= plain->since))
            plain = r;
        else if (r->stream != LEGACY && (twin == NULL || r->since >= twin->since))
            twin = r;
    }
    const struct row *best = plain;
    if (twin != NULL && per_thread && (plain == NULL || twin->since >= plain->since))
        best = twin;
    if (best != NULL)
        *why = CU_GET_PROC_ADDRESS_SUCCESS;
    return best;
}

static CUresult look_up(const char *symbol, void **ret, int version, cuuint64_t flags, bool per_thread,
                        CUdriverProcAddressQueryResult *status)
{
    char err[512];
    CUdriverProcAddressQueryResult why = CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND;
    if (symbol == NULL || ret == NULL)
        return CUDA_ERROR_INVALID_VALUE;
    if ((flags & ~3ULL) != 0 || flags == 3)
        return CUDA_ERROR_INVALID_VALUE;
    if (sim_state_open(err, sizeof(err)) != 0)
        return CUDA_ERROR_NOT_INITIALIZED;
    if (version > (int)sim_state->profile.cuda_version)
        return CUDA_ERROR_INVALID_VALUE;
    pthread_once(&sorted, sort_rows);
    if (flags == CU_GET_PROC_ADDRESS_PER_THREAD_DEFAULT_STREAM)
        per_thread = true;
    else if (flags == CU_GET_PROC_ADDRESS_LEGACY_STREAM)
        per_thread = false;
    const struct row *r = choose(symbol, version, per_thread, &why);
    void *entry = NULL;
    if (r != NULL)
        memcpy(&entry, &r->entry, sizeof(entry));
    *ret = entry;
    if (status != NULL)
        *status = why;
    return CUDA_SUCCESS;
}

/* The first version has no status: what is not there is an error. */
CUresult cuGetProcAddress(const char *symbol, void **ret, int version, cuuint64_t flags)
{
    CUresult r = look_up(symbol, ret, version, flags, false, NULL);
    return r == CUDA_SUCCESS && *ret == NULL ? CUDA_ERROR_NOT_FOUND : r;
}

CUresult cuGetProcAddress_v2(const char *symbol, void **ret, int version, cuuint64_t flags,
                             CUdriverProcAddressQueryResult *status)
{
    return look_up(symbol, ret, version, flags, false, status);
}

CUresult cuGetProcAddress_v2_ptsz(const char *symbol, void **ret, int version, cuuint64_t flags,
                                  CUdriverProcAddressQueryResult *status)
{
    return look_up(symbol, ret, version, flags, true, status);
}
