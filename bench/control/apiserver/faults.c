/* SPDX-License-Identifier: Apache-2.0 */
#include "faults.h"

/* SplitMix64's finaliser. */
uint64_t mix64(uint64_t a, uint64_t b)
{
    uint64_t z = a + b * UINT64_C(0x9E3779B97F4A7C15) + UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

uint64_t hash_text(uint64_t seed, const char *text)
{
    uint64_t h = seed ^ UINT64_C(0xCBF29CE484222325);
    for (; *text; text++)
        h = (h ^ (unsigned char)*text) * UINT64_C(0x100000001B3);
    return mix64(h, seed);
}

static double share(uint64_t bits)
{
    return (double)(bits >> 11) * 0x1p-53;
}

void faults_init(struct faults *f, uint64_t seed)
{
    *f = (struct faults){.seed = seed};
    f->asked = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
    f->cut_done = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free, NULL);
}

void faults_clear(struct faults *f)
{
    g_hash_table_unref(f->asked);
    g_hash_table_unref(f->cut_done);
}

static guint times_asked(struct faults *f, uint64_t what)
{
    guint n = GPOINTER_TO_UINT(g_hash_table_lookup(f->asked, &what)) + 1;
    g_hash_table_replace(f->asked, g_memdup2(&what, sizeof what), GUINT_TO_POINTER(n));
    return n;
}

enum fault faults_request(struct faults *f, const char *method, const char *path)
{
    if (f->errors <= 0)
        return FAULT_NONE;
    uint64_t what = hash_text(hash_text(f->seed, method), path);
    uint64_t bits = mix64(what, times_asked(f, what));
    if (share(bits) >= f->errors)
        return FAULT_NONE;
    return (enum fault)(1 + mix64(bits, 1) % (FAULT_KINDS - 1));
}

enum disturbance faults_event(struct faults *f, unsigned kind, uint64_t rv, uint64_t reader)
{
    if (f->duplicate + f->reorder + f->drop + f->cut <= 0)
        return DISTURB_NONE;
    uint64_t bits = mix64(mix64(f->seed, rv), kind);
    double at = share(bits);
    if ((at -= f->duplicate) < 0)
        return DISTURB_DUPLICATE;
    if ((at -= f->reorder) < 0)
        return DISTURB_REORDER;
    if ((at -= f->drop) < 0)
        return DISTURB_DROP;
    if ((at -= f->cut) >= 0)
        return DISTURB_NONE;
    uint64_t once = mix64(bits, reader);
    return g_hash_table_add(f->cut_done, g_memdup2(&once, sizeof once)) ? DISTURB_CUT : DISTURB_NONE;
}
