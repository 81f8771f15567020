/* SPDX-License-Identifier: Apache-2.0
 *
 * `hami explain --snapshot` of any file: a ledger that is sound, and that is
 * the same once it is written and read again; or an error.
 */
#include <stdlib.h>
#include <string.h>

#include "scheduler/snapshot.h"
#include "tests/fuzz/fuzz.h"

static GString *written(const Snapshot *s)
{
    return snapshot_format(&(struct snapshot_source){
        .families = s->families, .cluster = s->cluster, .enable_ascend = true, .enable_iluvatar = true});
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Snapshot) s = snapshot_parse((const char *)data, size, &error);
    if ((s == NULL) != (error != NULL))
        abort();
    if (!s) {
        if (!g_utf8_validate(error->message, -1, NULL))
            abort();
        return 0;
    }
    g_autofree char *broken = cluster_check(s->cluster);
    if (broken)
        abort();
    GString *text = written(s);
    g_autoptr(Snapshot) again = snapshot_parse(text->str, text->len, &error);
    if (!again || cluster_pod_count(again->cluster) != cluster_pod_count(s->cluster) ||
        cluster_node_count(again->cluster) != cluster_node_count(s->cluster))
        abort();
    g_string_free(text, TRUE);
    return 0;
}
