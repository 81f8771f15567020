/* SPDX-License-Identifier: Apache-2.0
 *
 * Any bytes as a region file, through everything that looks at one: the host's
 * reader and controls, and the life of a process that joins, allocates,
 * reclaims and leaves.
 *
 * Input: the first byte says what the rest is. 'f': the file as it is. 'p':
 * patches {u32 offset, u8 length, bytes} laid over a valid region, so that the
 * fuzzer reaches what lies behind the checks of the header; the top bit of the
 * offset makes it count from the extension.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "region/ledger.h"
#include "tests/fuzz/fuzz.h"

static struct region_limits limits = {
    .n_devices = 2, .mem_bytes = {1 << 20, 0}, .cores_pct = {50, 0}, .source = REGION_SOURCE_ENV};

static const char *path(void)
{
    static char p[64];
    if (!p[0])
        snprintf(p, sizeof p, "/dev/shm/hami-fuzz-region-%d", getpid());
    return p;
}

static void patch(int fd, const uint8_t *data, size_t n)
{
    while (n >= 5) {
        uint32_t at;
        memcpy(&at, data, 4);
        size_t length = data[4] < n - 5 ? data[4] : n - 5;
        off_t where = at >> 31 ? REGION_EXT_OFFSET + (off_t)(at & 0x3fffff) : (off_t)(at & 0x3fffff);
        if (where < REGION_FILE_BYTES && pwrite(fd, data + 5, length, where) < 0)
            return;
        data += 5 + length;
        n -= 5 + length;
    }
}

static void lay_out(const uint8_t *data, size_t n)
{
    struct region r;
    unlink(path());
    if (n && data[0] == 'p' && region_open(&r, path(), &limits) == 0) {
        int slot = region_slot_claim(&r);
        ledger_charge(&r, slot, 0, 4096);
        patch(r.fd, data + 1, n - 1);
        region_close(&r);
        return;
    }
    int fd = open(path(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return;
    if (n > 1 && pwrite(fd, data + 1, n - 1, 0) < 0) {
        close(fd);
        return;
    }
    close(fd);
}

static void live(void)
{
    struct region r;
    if (region_open(&r, path(), &limits) < 0)
        return;
    int slot = region_slot_claim(&r);
    for (unsigned d = 0; d < REGION_DEVICES; d++) {
        if (ledger_reserve_or_reclaim(&r, slot, d, 1000, 1 << 20))
            ledger_release(&r, slot, d, 1000);
        ledger_charge_kind(&r, slot, d, LEDGER_CONTEXT, 100);
        ledger_release_kind(&r, slot, d, LEDGER_CONTEXT, UINT64_MAX / 2);
    }
    region_reclaim(&r);
    region_slot_release(&r, slot);
    region_close(&r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static struct region_view view;
    lay_out(data, n);
    region_read(path(), &view);
    region_is_attached(path());
    live();
    region_set_limits(path(), &limits);
    region_set_suspended(path(), true);
    region_read(path(), &view);
    region_reset(path(), &limits);
    unlink(path());
    return 0;
}
