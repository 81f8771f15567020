/* SPDX-License-Identifier: Apache-2.0 */
#include "scheduler/service.h"
#include "scheduler/snapshot.h"

void snapshot_serve(const struct http_request *request, struct http_responder *responder, void *data)
{
    struct scheduler *s = data;
    struct snapshot_source source = {
        .families = s->families,
        .cluster = s->cluster,
        .config = s->o.device_config,
        .enable_ascend = s->o.vendors.enable_ascend,
        .enable_iluvatar = s->o.vendors.enable_iluvatar,
        .append_waiting = waiting_append,
        .data = s,
    };
    (void)request;
    GString *out = snapshot_format(&source);
    gsize len = out->len;
    g_autoptr(GBytes) bytes = g_bytes_new_take(g_string_free(out, FALSE), len);
    http_respond_bytes(responder, 200, "application/json", bytes);
}
