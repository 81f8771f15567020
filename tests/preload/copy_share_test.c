/* SPDX-License-Identifier: Apache-2.0
 *
 * Whoever floods a card with copies or sets gets its share of the card's time,
 * by whichever entry: looked at in the simulator's own log of what ran. The
 * process that floods lives in a time of its own, in which computing takes next
 * to none and waiting none of ours, so that a busy host changes nothing.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "copy_entries.h"
#include "own_time.h"

#define MS UINT64_C(1000000)
#define KIB ((size_t)1024)
#define MIB ((size_t)1024 * 1024)
#define SETTLES (200 * MS)
#define LASTS (1000 * MS)
#define PERCENT 30

/* Bytes that are only counted: nothing is moved while the card "copies". */
static const char profile[] = "base: t4\nname: copies\nreal_bytes_max: 64KiB\n";

/* ---- the process that floods ---- */

/* Tells its share, or a line with the error. */
static int flood(int argc, char **argv)
{
    (void)argc;
    copy_call *call = copy_call_of(argv[0]);
    size_t bytes = strtoull(argv[1], NULL, 10);
    struct copy_place p = copy_place_new(bytes, 16 * KIB, 2 * MIB, (CUmemorytype)strtoul(argv[2], NULL, 10));
    if (strcmp(argv[3], "managed") == 0) {
        if (kit_cuda()->cuMemAllocManaged(&p.to, bytes, CU_MEM_ATTACH_GLOBAL) ||
            kit_cuda()->cuMemAllocManaged(&p.from, bytes, CU_MEM_ATTACH_GLOBAL))
            return 1;
        copy_describe(&p, p.rect.srcMemoryType);
    }
    if (!own_time_begin())
        return 1;
    uint64_t from = now_ns() + SETTLES, to = from + LASTS;
    while (now_ns() < to) {
        CUresult result = call(&p);
        if (result != CUDA_SUCCESS) {
            kit_tell("%s answers %d", argv[0], (int)result);
            return 1;
        }
    }
    kit_tell("%.3f", share(from, to));
    return kit_cuda()->cuCtxSynchronize() != CUDA_SUCCESS;
}

struct row {
    const char *entry;
    size_t bytes;
    CUmemorytype type; /* of descriptors */
    bool managed;
};

static double share_of(const struct row *row, const char *limit)
{
    struct kit *kit = kit_new(profile);
    g_autofree char *bytes = g_strdup_printf("%zu", row->bytes),
                    *type = g_strdup_printf("%u", (unsigned)row->type);
    kit_env(kit, "CUDA_DEVICE_SM_LIMIT", limit ? "%s" : NULL, limit);
    g_autofree char *told =
        kit_run(kit, "flood", row->entry, bytes, type, row->managed ? "managed" : "", NULL);
    g_test_message("%s, %zu bytes: %s", row->entry, row->bytes, told);
    kit_free(kit);
    return g_ascii_strtod(told, NULL);
}

static void gets_its_share(gconstpointer data)
{
    double got = share_of(data, G_STRINGIFY(PERCENT));
    g_assert_cmpfloat(fabs(got - PERCENT), <=, 1);
}

static void unlimited_has_the_card(void)
{
    const struct row row = {"cuMemcpyDtoDAsync_v2", 16 * MIB, CU_MEMORYTYPE_DEVICE, false};
    g_assert_cmpfloat(share_of(&row, NULL), >=, 99);
}

/* ---- rows ---- */

static void add(const char *what, const struct row *row)
{
    g_autofree char *path = g_strdup_printf("/copy_share/%s/%s", what, row->entry);
    g_test_add_data_func(path, row, gets_its_share);
}

/* Below COPY_LARGE only one in some is gated; all are charged. */
static const struct row small[] = {{"cuMemcpyDtoDAsync_v2", 1008 * KIB, CU_MEMORYTYPE_DEVICE, false},
                                   {"cuMemcpyDtoDAsync_v2_ptsz", 64 * KIB, CU_MEMORYTYPE_DEVICE, false},
                                   {"cuMemcpyAsync", 512 * KIB, CU_MEMORYTYPE_DEVICE, false},
                                   {"cuMemcpyHtoDAsync_v2", 512 * KIB, CU_MEMORYTYPE_DEVICE, false},
                                   {"cuMemcpy2DAsync_v2", 512 * KIB, CU_MEMORYTYPE_DEVICE, false},
                                   {"cuMemcpyBatchAsync", 512 * KIB, CU_MEMORYTYPE_DEVICE, false},
                                   {"cuMemsetD8_v2", 512 * KIB, CU_MEMORYTYPE_DEVICE, false},
                                   {"cuMemsetD32Async", 64 * KIB, CU_MEMORYTYPE_DEVICE, false}};

/* The driver goes by the addresses, whatever the descriptor says. */
static const struct row named_otherwise[] = {{"cuMemcpy2DAsync_v2", 16 * MIB, CU_MEMORYTYPE_HOST, false},
                                             {"cuMemcpy2D_v2", 16 * MIB, CU_MEMORYTYPE_UNIFIED, false},
                                             {"cuMemcpy3DAsync_v2", 16 * MIB, CU_MEMORYTYPE_UNIFIED, false},
                                             {"cuMemcpy3DPeerAsync", 16 * MIB, CU_MEMORYTYPE_HOST, false}};

static const struct row managed[] = {{"cuMemcpyDtoDAsync_v2", 16 * MIB, CU_MEMORYTYPE_DEVICE, true},
                                     {"cuMemcpyAsync", 16 * MIB, CU_MEMORYTYPE_DEVICE, true},
                                     {"cuMemcpy2D_v2", 16 * MIB, CU_MEMORYTYPE_UNIFIED, true},
                                     {"cuMemsetD32Async", 16 * MIB, CU_MEMORYTYPE_DEVICE, true}};

int main(int argc, char **argv)
{
    static const struct kit_body bodies[] = {{"flood", flood}, {0}};
    if (kit_is_child(argc, argv))
        return kit_child(argc, argv, bodies);
    g_test_init(&argc, &argv, NULL);
    g_test_set_nonfatal_assertions(); /* one entry that escapes does not hide the others */
    static struct row large[G_N_ELEMENTS(copy_entries)];
    for (gsize i = 0; i < G_N_ELEMENTS(copy_entries); i++) {
        large[i] = (struct row){copy_entries[i].name, 16 * MIB, CU_MEMORYTYPE_DEVICE, false};
        add("flood_gets_its_share_by", &large[i]);
    }
    for (gsize i = 0; i < G_N_ELEMENTS(small); i++)
        add("flood_of_small_ones_gets_its_share_by", &small[i]);
    for (gsize i = 0; i < G_N_ELEMENTS(named_otherwise); i++)
        add("flood_under_another_name_gets_its_share_by", &named_otherwise[i]);
    for (gsize i = 0; i < G_N_ELEMENTS(managed); i++)
        add("flood_of_managed_memory_gets_its_share_by", &managed[i]);
    g_test_add_func("/copy_share/unlimited_has_the_card", unlimited_has_the_card);
    return g_test_run();
}
