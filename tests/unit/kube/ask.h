/* SPDX-License-Identifier: Apache-2.0
 *
 * One request to a fake server, and its answer once it is there.
 */
#ifndef HAMI_TESTS_KUBE_ASK_H
#define HAMI_TESTS_KUBE_ASK_H

#include <string.h>

#include "tests/unit/kube/fake_api.h"

struct answer {
    bool done;
    GBytes *body;
    unsigned status;
    GError *error;
};

static inline void answer_clear(struct answer *a)
{
    g_clear_pointer(&a->body, g_bytes_unref);
    g_clear_error(&a->error);
    *a = (struct answer){0};
}

static inline void on_answer(GObject *source, GAsyncResult *result, void *data)
{
    struct answer *a = data;
    (void)source;
    a->body = kube_request_finish(result, &a->status, &a->error);
    a->done = true;
}

static inline struct answer ask(KubeClient *client, struct kube_request r)
{
    struct answer a = {0};
    if (r.body && !r.body_len)
        r.body_len = strlen(r.body);
    kube_request_async(client, &r, NULL, on_answer, &a);
    wait_for(&a.done);
    return a;
}

#endif
