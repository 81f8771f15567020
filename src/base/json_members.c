/* SPDX-License-Identifier: Apache-2.0 */
#include "base/json_members.h"

static const struct json_member *find(const struct json_member *rows, size_t n, struct json_text key)
{
    for (size_t i = 0; i < n; i++)
        if (key.escaped ? json_text_reads(key, rows[i].name)
                        : key.len == rows[i].len && memcmp(key.at, rows[i].name, key.len) == 0)
            return &rows[i];
    return NULL;
}

void json_members_read(struct json_scan *s, const struct json_member *rows, size_t n, void *data)
{
    struct json_text key;
    uint32_t seen = 0;
    if (!json_scan_object(s))
        return;
    while (json_scan_key(s, &key)) {
        const struct json_member *row = find(rows, n, key);
        if (!row) {
            json_scan_skip(s);
            continue;
        }
        uint32_t bit = UINT32_C(1) << (row - rows);
        if (s->once && seen & bit)
            json_scan_fail(s, row->twice);
        seen |= bit;
        row->read(s, data, row->at);
    }
}
