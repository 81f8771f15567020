/* SPDX-License-Identifier: Apache-2.0
 *
 * Any bytes as a page of a list, an event of a watch, a Status and a Lease.
 * What is given on points into the input and is an object.
 */
#include <stdlib.h>
#include <string.h>

#include "kube/error.h"
#include "kube/lease_record.h"
#include "kube/watch_parse.h"
#include "tests/fuzz/fuzz.h"

static const char *begin;
static size_t total;

static bool on_item(const char *json, size_t len, void *data)
{
    (void)data;
    if (json < begin || len < 2 || json + len > begin + total || json[0] != '{' || json[len - 1] != '}')
        abort();
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static struct kube_page page;
    struct kube_frame frame;
    struct kube_lease_record record;
    const char *fault = NULL;
    begin = (const char *)data;
    total = n;
    if (kube_page_parse(begin, n, on_item, NULL, &page, &fault) ? !page.version[0] : !fault)
        abort();
    if (kube_frame_parse(begin, n, &frame, &fault)) {
        on_item(frame.object, frame.len, NULL);
        if (frame.type != KUBE_FRAME_ERROR && !frame.version[0])
            abort();
    } else if (!fault) {
        abort();
    }
    g_autoptr(GError) answer = kube_error_from_answer(409, "7", begin, n);
    g_autoptr(GError) status = kube_error_from_status(begin, n);
    if (!answer || !status || !g_utf8_validate(answer->message, -1, NULL) ||
        !g_utf8_validate(status->message, -1, NULL))
        abort();
    json_t *lease = kube_lease_read(begin, n, &record, NULL);
    if (lease) {
        char *body = kube_lease_write(lease, KUBE_LEASE_TAKE, "ns", "l", "me", 15, 0);
        if (!body)
            abort();
        g_free(body);
    }
    json_decref(lease);
    return 0;
}
