/* SPDX-License-Identifier: Apache-2.0
 *
 * For read_region.py: joins the region at argv[1] with known limits and bytes,
 * says "ready", and leaves when its input ends.
 */
#include <stdio.h>
#include <string.h>

#include "region/ledger.h"

int main(int argc, char **argv)
{
    struct region r = {0};
    struct region_limits limits = {.n_devices = 3,
                                   .uuids = {"GPU-aaaa", "GPU-bbbb", "GPU-cccc"},
                                   .mem_bytes = {1000000, 2000000, 0},
                                   .cores_pct = {30, 0, 100},
                                   .priority = 1,
                                   .source = REGION_SOURCE_HOST};
    if (argc < 2 || region_open(&r, argv[1], &limits) < 0)
        return 1;
    int slot = region_slot_claim(&r);
    ledger_charge_kind(&r, slot, 0, LEDGER_CONTEXT, 100);
    ledger_charge_kind(&r, slot, 0, LEDGER_MODULE, 20);
    ledger_reserve(&r, slot, 0, 3000, 1000000);
    ledger_reserve(&r, slot, 2, 77, 0);
    ledger_release(&r, slot, 2, 7);
    ledger_count_oom(&r, 1);
    puts("ready");
    fflush(stdout);
    getchar();
    region_slot_release(&r, slot);
    region_close(&r);
    return 0;
}
